"""The lives of two orders for a first look, from the decision to the merchant's settlement note.

One order is amended, invoiced, returned in part and paid; one is disputed until its merchant's time is over.
The use cases are those of the routes and of the worker; nothing about their answers is fixed.
"""

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from data_contracts.instants import DAY_MS, MINUTE_MS, instant_ms, moment, rfc3339
from serving.cases.settling_orders import settle_due
from serving.checkout.amendment_body import amendment_body
from serving.checkout.checkout_answers import OwnOrder
from serving.checkout.checkout_scoring import score
from serving.checkout.order_amendment import amend
from serving.checkout.order_body import order_body
from serving.checkout.order_shipment import ship
from serving.checkout.order_steps import take_step
from serving.checkout.order_views import own_order_view
from serving.disputes.customer_steps import customer_view
from serving.disputes.opening import open_by_customer
from serving.disputes.passed_deadlines import expire_due_disputes, pause_late_invoices
from serving.disputes.returns_not_booked import dispute_return
from serving.domain.decision import Outcome
from serving.domain.dispute import DisputeReason
from serving.domain.order_numbers import OrderAddress
from serving.domain.order_step import OrderStep
from serving.domain.settlement_period import Period
from serving.events.event_intake import judged, take_in
from serving.events.sent_rows import rows_of
from serving.first_look.life_sandbox import LifeSandbox
from serving.first_look.sample_orders import new_customer, sample_order_body
from serving.requests.request_scope import RequestScope
from serving.returns.looking_at_returns import look_at_returns
from serving.returns.return_answers import BookingBody, ReturnBody
from serving.returns.returning import announce, book
from serving.settlement.note_answers import LINES_MAXIMUM, SettlementNote
from serving.settlement.notes import settlement_note
from serving.store.api_keys import Caller, Role

CHECKOUT = Caller(name="sample-checkout", role=Role.CHECKOUT, merchant_id=None)
BACK_OFFICE = Caller(name="sample-back-office", role=Role.LEDGER, merchant_id=None)
PORTAL = Caller(name="sample-portal", role=Role.PORTAL, merchant_id=None)

RETURNED_ORDER_CENTS = 8_990
AMENDED_CENTS = 10_990
ANNOUNCED_CENTS = 4_000
BOOKED_CENTS = 3_000
RETURN_FEE_CENTS = 295
DISPUTED_ORDER_CENTS = 3_990
DAYS_UNTIL_BOOKED = 2
PAID_BEFORE_CENTS = (4_500, 6_200, 5_400)
"""Invoices of earlier orders, each paid on time: of a stranger a model may want more than that."""


class NoOrderLifeError(Exception):
    """The life of the sample orders cannot be shown; the message says why."""


class Until(enum.Enum):
    """What the instant beside a step is: the end of a reservation, a due date, the begin of a pause, or the
    end of the merchant's time to answer a dispute.
    """

    HELD = "held to"
    DUE = "due"
    PAUSED = "paused"
    MERCHANT_ANSWERS = "answer by"
    NOTHING_OWED = "nothing owed"


@dataclass(frozen=True, kw_only=True)
class LifeStep:
    """What happened to an order, and how the order stands after that.

    held_cents: of the limit, beside its invoices. owed_cents: of all its invoices. until_at: RFC 3339; None
    where nothing is held and nothing owed.
    """

    at: str
    order_id: str
    what: str
    held_cents: int
    owed_cents: int
    until: Until
    until_at: str | None


@dataclass(frozen=True, kw_only=True)
class OrderLife:
    """Both lives in the order of what happened, and the merchant's notes of the months that they touch.

    notes: the earliest month first; the closing balance of the last one is what the merchant is owed.
    """

    returned_order_id: str
    disputed_order_id: str
    dispute_id: str
    merchant_id: str
    currency: str
    steps: tuple[LifeStep, ...]
    notes: tuple[SettlementNote, ...]


def order_life(sandbox: LifeSandbox) -> OrderLife:
    """Let both orders live in the sandbox; some weeks of its time pass.

    Raises NoOrderLifeError where the champion does not approve an order, or a row is refused; and what the
    use cases raise.
    """
    return _Life(sandbox).lived()


class _Life:
    def __init__(self, sandbox: LifeSandbox) -> None:
        self._sandbox = sandbox
        self._scope: RequestScope = sandbox.scope
        begun = moment(self._scope.now_ms())
        mark = begun.strftime("%Y%m%d%H%M%S")
        self._begun = begun
        self._merchant_id = f"life-shop-{mark}"
        self._returned, self._disputed = f"life-{mark}-1", f"life-{mark}-2"
        self._customer, self._customer_row = new_customer(
            f"life-{mark}", begun, "Lena", "Sommer", registered_days_ago=400
        )
        self._customer_id: str = self._customer["customer_id"]
        self._steps: list[LifeStep] = []

    def lived(self) -> OrderLife:
        self._feed(*self._before())
        self._amended()
        self._invoiced(self._returned, AMENDED_CENTS, "DHL", "00340434161094000011")
        self._partly_returned()
        dispute_id = self._disputed_until_chargeback()
        ends_ms = self._scope.now_ms()
        return OrderLife(
            returned_order_id=self._returned,
            disputed_order_id=self._disputed,
            dispute_id=dispute_id,
            merchant_id=self._merchant_id,
            currency="EUR",
            steps=tuple(self._steps),
            notes=tuple(
                settlement_note(self._scope.cases, self._merchant_id, period, limit=LINES_MAXIMUM)
                for period in self._periods(ends_ms)
            ),
        )

    def _amended(self) -> None:
        self._decided(self._returned, RETURNED_ORDER_CENTS)
        self._confirmed(self._returned)
        amended = amend(
            self._scope,
            OrderAddress(name=self._returned),
            amendment_body({"new_amount_cents": AMENDED_CENTS}, now_ms=self._scope.now_ms()),
            caller=CHECKOUT,
            idempotency_key=None,
            accepted_language="en",
        )
        if amended.ordered_cents != AMENDED_CENTS:
            outcome = "not judged" if amended.judgement is None else amended.judgement.outcome.value
            raise NoOrderLifeError(f"the larger basket of the sample order is {outcome}")
        self._keep(self._returned, "amended: a larger basket, judged anew")

    def _partly_returned(self) -> None:
        goods = announce(
            self._scope,
            OrderAddress(name=self._returned),
            ReturnBody(
                customer_id=self._customer_id,
                amount_cents=ANNOUNCED_CENTS,
                carrier="DHL",
                tracking_number="00340434161094000028",
            ),
            caller=PORTAL,
            idempotency_key=None,
        )
        self._keep(self._returned, "return announced: its invoice pauses")
        self._sandbox.advance_by_ms(DAYS_UNTIL_BOOKED * DAY_MS)
        booked = BookingBody(amount_cents=BOOKED_CENTS, return_fee_cents=RETURN_FEE_CENTS)
        book(self._scope, goods.return_id, booked, caller=CHECKOUT, idempotency_key=None)
        self._keep(self._returned, "return booked in part: due date moved")
        owed_cents = self._view(self._returned).owed_cents
        self._feed(self._payment(self._returned, owed_cents, self._now()))
        self._keep(self._returned, "the customer pays the rest")

    def _disputed_until_chargeback(self) -> str:
        self._decided(self._disputed, DISPUTED_ORDER_CENTS)
        self._confirmed(self._disputed)
        self._invoiced(self._disputed, DISPUTED_ORDER_CENTS, "DPD", "01505012345678")
        opened = open_by_customer(
            self._scope.cases,
            self._disputed,
            customer_id=self._customer_id,
            reason=DisputeReason.NOT_RECEIVED.value,
            text="Nothing has arrived.",
            amount_cents=None,
            police_report=None,
            caller=PORTAL,
            idempotency_key=None,
        )
        if opened.due_at is None:
            raise NoOrderLifeError(f"dispute {opened.dispute_id} has no time by which the merchant answers")
        due_at_ms = int(opened.due_at)
        self._keep(
            self._disputed,
            "disputed (not received): its invoice pauses",
            until=(Until.MERCHANT_ANSWERS, rfc3339(due_at_ms)),
        )
        self._sandbox.advance_by_ms(due_at_ms - self._scope.now_ms() + MINUTE_MS)
        self._work()
        closed = customer_view(self._scope.cases, opened.dispute_id, self._customer_id)
        if closed.outcome is None or closed.ground is None:
            raise NoOrderLifeError(f"dispute {opened.dispute_id} stayed open after its time")
        self._keep(
            self._disputed,
            f"the merchant stays silent: decided {closed.outcome.value.replace('_', ' ')}, chargeback",
        )
        return opened.dispute_id

    def _decided(self, order_id: str, amount_cents: int) -> None:
        body = sample_order_body(order_id, self._customer, self._merchant_id, amount_cents)
        answer = score(
            self._scope,
            order_body(body, now_ms=self._scope.now_ms()),
            caller=CHECKOUT,
            idempotency_key=None,
            accepted_language="en",
        ).document
        if answer.outcome is not Outcome.APPROVED:
            why = "; ".join(reason.text for reason in answer.reasons)
            raise NoOrderLifeError(f"the sample order is {answer.outcome.value}: {why}")
        self._keep(order_id, f"approved at {answer.score} points")

    def _confirmed(self, order_id: str) -> None:
        take_step(
            self._scope,
            OrderAddress(name=order_id),
            OrderStep.CONFIRMED,
            caller=CHECKOUT,
            idempotency_key=None,
        )
        self._keep(order_id, "confirmed: the customer has ordered")

    def _invoiced(self, order_id: str, amount_cents: int, carrier: str, tracking_number: str) -> None:
        ship(
            self._scope,
            OrderAddress(name=order_id),
            {"carrier": carrier, "tracking_number": tracking_number},
            caller=CHECKOUT,
            idempotency_key=None,
        )
        self._keep(order_id, f"shipped with {carrier}, tracked")
        self._feed(self._invoice(order_id, amount_cents, self._now()))
        self._keep(order_id, "invoiced")

    def _view(self, order_id: str) -> OwnOrder:
        return own_order_view(self._scope, OrderAddress(name=order_id), customer_id=self._customer_id)

    def _keep(self, order_id: str, what: str, *, until: tuple[Until, str] | None = None) -> None:
        """Note a step with how its order stands after the worker's turn."""
        self._work()
        view = self._view(order_id)
        kind, at = until or _until(view)
        self._steps.append(
            LifeStep(
                at=rfc3339(self._scope.now_ms()),
                order_id=order_id,
                what=what,
                held_cents=view.reserved_cents,
                owed_cents=view.owed_cents,
                until=kind,
                until_at=at,
            )
        )

    def _work(self) -> None:
        """A turn of the worker's chores that such orders need."""
        cases = self._scope.cases
        expire_due_disputes(cases)
        pause_late_invoices(cases)
        look_at_returns(cases, dispute_return)
        while settle_due(cases):
            pass

    def _now(self) -> datetime:
        return moment(self._scope.now_ms())

    def _periods(self, ends_ms: int) -> Iterator[Period]:
        zone = ZoneInfo(self._scope.policy.order_risk.default_time_zone)
        last = Period.at(ends_ms, zone)
        period = Period.at(instant_ms(self._begun), zone)
        while period != last:
            yield period
            period = period.next
        yield last

    def _before(self) -> Iterator[dict[str, Any]]:
        """The ledger rows of what was before: the merchants, the customer, and invoices that were paid."""
        opened = self._begun - timedelta(days=500)
        earlier_shop = f"{self._merchant_id}-before"
        for merchant_id in (self._merchant_id, earlier_shop):
            yield {
                **_envelope("merchants", merchant_id, opened),
                "merchant_id": merchant_id,
                "name": "Sample Shop",
                "country": "DE",
                "language": "en",
                "email": "orders@shop.example",
                "has_portal_account": False,
                "category": "electronics",
                "handover_cutoff_local_time": "17:00",
            }
        yield self._customer_row
        for number, cents in enumerate(PAID_BEFORE_CENTS, start=1):
            order_id = f"{self._customer_id}-before-{number}"
            at = self._begun - timedelta(days=300 - 60 * number)
            body = sample_order_body(order_id, self._customer, earlier_shop, cents)
            flat = {name: value for name, value in body.items() if name != "language"}
            for group in ("delivery", "billing", "contact"):
                flat |= {f"{group}_{name}": text for name, text in flat.pop(group).items()}
            yield {**_envelope("orders", order_id, at), **flat}
            yield self._invoice(order_id, cents, at + timedelta(days=1))
            yield self._payment(order_id, cents, at + timedelta(days=8))

    def _invoice(self, order_id: str, amount_cents: int, at: datetime) -> dict[str, Any]:
        return {
            **_envelope("invoices", f"invoice-{order_id}", at),
            "invoice_id": f"invoice-{order_id}",
            "order_id": order_id,
            "customer_id": self._customer_id,
            "amount_cents": amount_cents,
            "currency": "EUR",
            "due_at": _stamp(self._due_at(at)),
        }

    def _payment(self, order_id: str, amount_cents: int, at: datetime) -> dict[str, Any]:
        return {
            **_envelope("invoice_payments", f"payment-{order_id}", at),
            "invoice_id": f"invoice-{order_id}",
            "customer_id": self._customer_id,
            "amount_cents": amount_cents,
            "currency": "EUR",
            "method": "bank_transfer",
        }

    def _due_at(self, issued: datetime) -> datetime:
        """The local midnight that ends the last day of the policy's term."""
        zone = ZoneInfo(self._scope.policy.order_risk.default_time_zone)
        last_day = issued.astimezone(zone).date() + timedelta(days=self._scope.policy.invoice_term_days)
        return datetime.combine(last_day + timedelta(days=1), time(), tzinfo=zone)

    def _feed(self, *rows: dict[str, Any]) -> None:
        sent = list(judged(self._scope, rows_of({"events": list(rows)}), caller=BACK_OFFICE))
        results = take_in(self._scope, sent, caller=BACK_OFFICE)
        if results.accepted != len(rows):
            refused = [result for result in results.results if result.status != "accepted"]
            raise NoOrderLifeError(f"the ledger did not take a sample row: {refused}")


def _until(view: OwnOrder) -> tuple[Until, str | None]:
    """Until when an order holds its amount, else when the next of its invoices is due."""
    if view.reserved_cents:
        return Until.HELD, None if view.reserved_until is None else str(view.reserved_until)
    owed = [invoice for invoice in view.invoices if invoice.owed_cents]
    for invoice in owed:
        if invoice.paused_since is not None:
            return Until.PAUSED, invoice.paused_since
    due = [invoice.due_at for invoice in owed if invoice.due_at is not None]
    return (Until.DUE, min(due)) if due else (Until.NOTHING_OWED, None)


def _envelope(contract: str, event_id: str, at: datetime) -> dict[str, Any]:
    return {"contract": contract, "event_id": f"{contract}-{event_id}", "occurred_at": _stamp(at)}


def _stamp(at: datetime) -> str:
    return rfc3339(instant_ms(at))
