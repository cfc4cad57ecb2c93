"""Random lives of orders: the limit holds what is outstanding and what may still be invoiced, to the cent."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_contracts.between_rows.arrivals import AppendStatus
from data_contracts.instants import HOUR_MS
from data_contracts.ledger_contracts import CONTRACTS
from features.online import invoice_states
from features.settlement_terms import USUAL_TERMS
from features.supersession import seeing_all
from serving.checkout.amendment_body import amendment_body
from serving.checkout.order_amendment import amend
from serving.checkout.order_steps import take_step
from serving.checkout.replay import replay
from serving.domain.decision import Outcome
from serving.domain.errors import (
    OrderAlreadyClosed,
    OrderBelowInvoiced,
    OrderNotApproved,
    OrderNotConfirmed,
    OrderNotInvoiced,
)
from serving.domain.order_numbers import OrderAddress
from serving.domain.order_step import OrderStep
from serving.store.credit_rows import credit_rows
from serving.store.decision_log import decision_of
from serving.store.ledger import append
from serving.store.reservations import reservation_of, reserved_cents
from serving.store.store import Store
from tests.builders import Row, a_pause, a_payment, an_adjustment, an_invoice
from tests.proof_size import examples
from tests.serving.checkout.naive_order_life import STATES, NaiveInvoice, NaiveOrder
from tests.serving.shadow_desk import CALLER, START, ShadowDesk, a_shadow_desk

NEVER = 2**63 - 1
NOT_NOW = (OrderAlreadyClosed, OrderBelowInvoiced, OrderNotApproved, OrderNotConfirmed, OrderNotInvoiced)


@dataclass
class Life:
    """One customer's orders as the product keeps them, and beside them as the twin does."""

    desk: ShadowDesk
    customer_id: str
    orders: dict[str, NaiveOrder] = field(default_factory=dict)
    invoices: dict[str, NaiveInvoice] = field(default_factory=dict)
    decisions: list[str] = field(default_factory=list)
    seen: list[tuple[int, dict[str, tuple[int, int]]]] = field(default_factory=list)
    """Of moments that are past: the instant, and what was owed and how late, by invoice_id."""

    def exposure_cents(self) -> int:
        outstanding = sum(invoice.outstanding_cents() for invoice in self.invoices.values())
        return outstanding + sum(order.held_cents(self.desk.now) for order in self.orders.values())

    def sends(self, contract: str, row: Row) -> bool:
        """Whether the ledger takes a row; what it refuses or holds has changed nothing."""
        sent = {name: value for name, value in row.items() if name != "recorded_at" and value is not None}
        self.desk.now += 1
        with self.desk.store.writing(self.customer_id) as tx:
            result = append(tx, CONTRACTS[contract], sent, self.desk.now)
        return result.status is AppendStatus.ACCEPTED

    def order(self, cents: int, _hours: int) -> None:
        order_id = f"{self.customer_id}-o{len(self.decisions)}"
        before_cents = self.exposure_cents()
        decision_id = self.desk.decide(order_id, self.customer_id, amount_cents=cents)
        self.decisions.append(decision_id)
        with self.desk.store.reading() as tx:
            decision = decision_of(tx, decision_id)
        assert decision is not None
        answer = decision.record["answer"]
        fits = before_cents + cents <= answer["limit_cents"]
        failed = {failure["code"] for failure in answer["failed_rules"]}
        assert answer["available_cents"] == max(answer["limit_cents"] - before_cents, 0)
        # Of whom the score gets no limit at all, the limit is not what failed.
        assert not (fits and "credit_limit" in failed)
        if answer["outcome"] == Outcome.APPROVED.value:
            assert fits
            self.orders[order_id] = NaiveOrder(rest=cents, until=self.until(order_id))

    def until(self, order_id: str) -> int:
        with self.desk.store.reading() as tx:
            reservation = reservation_of(tx, self.customer_id, order_id)
        assert reservation is not None
        return reservation.expires_at_ms

    def step(self, step: OrderStep, order_id: str) -> bool:
        self.desk.now += 1
        address = OrderAddress(name=order_id, merchant_id=None)
        try:
            take_step(self.desk.scope(), address, step, caller=CALLER, idempotency_key=None)
        except NOT_NOW:
            return False
        return True

    def confirm(self, cents: int, _hours: int) -> None:
        order_id = self.an_order(cents)
        if order_id and self.step(OrderStep.CONFIRMED, order_id):
            order = self.orders[order_id]
            assert order.state in {"reserved", "confirmed"}
            order.state, order.until = "confirmed", self.until(order_id)

    def extend(self, cents: int, _hours: int) -> None:
        order_id = self.an_order(cents)
        if order_id and self.step(OrderStep.EXTENDED, order_id):
            order = self.orders[order_id]
            assert order.until <= self.until(order_id)
            order.until = self.until(order_id)

    def cancel(self, cents: int, _hours: int) -> None:
        order_id = self.an_order(cents)
        if order_id and self.step(OrderStep.CANCELLED, order_id):
            assert self.orders[order_id].state in {"reserved", "confirmed", "cancelled"}
            self.orders[order_id].state = "cancelled"

    def release(self, cents: int, _hours: int) -> None:
        order_id = self.an_order(cents)
        if order_id and self.step(OrderStep.RELEASED, order_id):
            order = self.orders[order_id]
            assert order.state in {"partly_invoiced", "invoiced"}
            if order.state == "partly_invoiced":
                order.release()

    def amend(self, cents: int, _hours: int) -> None:
        order_id = self.an_order(cents)
        if order_id is None:
            return
        order, before_cents = self.orders[order_id], self.exposure_cents()
        self.desk.now += 1_000
        body = amendment_body({"new_amount_cents": cents}, now_ms=self.desk.now)
        address = OrderAddress(name=order_id, merchant_id=None)
        try:
            answer: Any = amend(
                self.desk.scope(),
                address,
                body,
                caller=CALLER,
                idempotency_key=None,
                accepted_language=None,
            )
        except NOT_NOW:
            return
        if answer.judgement is not None:
            self.decisions.append(answer.judgement.decision_id)
        if answer.judgement is None or answer.judgement.outcome is Outcome.APPROVED:
            order.amend(cents)
            # An order that its invoices did not use up may grow beyond them, but not beyond the limit.
            if answer.judgement is not None:
                assert self.exposure_cents() <= answer.judgement.limit_cents
        else:
            assert self.exposure_cents() == before_cents
        assert answer.ordered_cents == order.total

    def invoice(self, cents: int, hours: int) -> None:
        order_id = self.an_order(cents)
        if order_id is None:
            return
        order, at = self.orders[order_id], self.desk.now + 1
        invoice_id = f"{order_id}-i{len(self.invoices)}"
        due_at = at + (1 + hours) * HOUR_MS
        row = an_invoice(
            invoice_id, self.customer_id, at=at, due_at=due_at, amount_cents=cents, order_id=order_id
        )
        # One that comes to more waits for a credit note, and is let in at some later step.
        if cents <= order.rest + order.gone:
            assert self.sends("invoices", row)
            order.invoice(cents)
            self.invoices[invoice_id] = NaiveInvoice(order_id, at, due_at, cents)

    def credit(self, cents: int, hours: int) -> None:
        found = self.an_invoice(hours)
        if found is None:
            return
        invoice_id, invoice = found
        at = self.desk.now + 1
        row = an_adjustment(invoice_id, self.customer_id, at=at, amount_cents=cents)
        if self.sends("invoice_adjustments", row):
            assert invoice.credited_cents + cents <= invoice.cents
            invoice.credited_cents += cents
            invoice.movements.append((at, cents))
            self.orders[invoice.order_id].credit(cents)
        else:
            assert invoice.credited_cents + cents > invoice.cents

    def pay(self, cents: int, hours: int) -> None:
        found = self.an_invoice(hours)
        if found is None:
            return
        invoice_id, invoice = found
        # The bank may tell of it days later.
        at = max(self.desk.now + 1 - hours * HOUR_MS, invoice.issued_at)
        row = a_payment(
            invoice_id,
            self.customer_id,
            at=at,
            amount_cents=cents,
            event_id=f"{invoice_id}-p{len(invoice.movements)}",
        )
        assert self.sends("invoice_payments", row)
        invoice.movements.append((at, cents))

    def return_debit(self, cents: int, hours: int) -> None:
        found = self.an_invoice(hours)
        if found is None or found[1].credited_cents:
            # What a credit and a returned debit come to together, the tests of the invoice's state tell.
            return
        invoice_id, invoice = found
        at = self.desk.now + 1
        about: Row = {"kind": "refund", "reason": "returned_debit", "event_id": f"{invoice_id}-back-{at}"}
        row = an_adjustment(invoice_id, self.customer_id, at=at, amount_cents=cents, **about)
        # One that comes to more than was paid waits for a payment.
        if cents <= sum(moved for _, moved in invoice.movements):
            assert self.sends("invoice_adjustments", row)
            invoice.movements.append((at, -cents))

    def pause(self, _cents: int, hours: int) -> None:
        found = self.an_invoice(hours)
        if found is None:
            return
        invoice_id, invoice = found
        started_at = max(self.desk.now + 1 - hours * HOUR_MS // 4, invoice.issued_at)
        pause = a_pause(
            invoice_id, self.customer_id, started_at=started_at,
            pause_id=f"{invoice_id}-pause{len(invoice.pauses)}",
        )  # fmt: skip
        if self.sends("invoice_pauses", pause):
            invoice.pauses.append((started_at, None))

    def resume(self, _cents: int, hours: int) -> None:
        found = self.an_invoice(hours)
        if found is None:
            return
        invoice_id, invoice = found
        for number, (started_at, ended_at) in enumerate(invoice.pauses):
            if ended_at is None:
                at = self.desk.now + 1
                pause = a_pause(
                    invoice_id, self.customer_id, started_at=started_at, ended_at=at,
                    pause_id=f"{invoice_id}-pause{number}",
                )  # fmt: skip
                assert self.sends("invoice_pauses", pause)
                invoice.pauses[number] = (started_at, at)
                return

    def wait(self, _cents: int, hours: int) -> None:
        self.desk.now += hours * HOUR_MS

    def an_order(self, cents: int) -> str | None:
        ids = sorted(self.orders)
        return ids[cents % len(ids)] if ids else None

    def an_invoice(self, hours: int) -> tuple[str, NaiveInvoice] | None:
        ids = sorted(self.invoices)
        return (ids[hours % len(ids)], self.invoices[ids[hours % len(ids)]]) if ids else None

    def agrees(self, states_before: dict[str, str]) -> dict[str, str]:
        """The product and the twin agree now; the orders' states."""
        with self.desk.store.reading() as tx:
            rows = credit_rows(tx, self.customer_id)
            held_cents = reserved_cents(tx, self.customer_id, self.desk.now, excluding_order_id="")
            kept = {one: reservation_of(tx, self.customer_id, one) for one in self.orders}
        now = seeing_all(self.desk.now, *rows.values())
        known = invoice_states(rows, now, USUAL_TERMS)
        assert set(known) == set(self.invoices)
        for invoice_id, twin in self.invoices.items():
            state = known[invoice_id]
            assert state.outstanding_cents == twin.outstanding_cents(), invoice_id
            if not state.cancelled:
                assert max(state.lateness_at(now), 0) == twin.late_ms(now), (invoice_id, twin)
        outstanding_cents = sum(state.outstanding_cents for state in known.values())
        assert outstanding_cents + held_cents == self.exposure_cents()
        states = {one: reservation.state.value for one, reservation in kept.items() if reservation}
        assert states == {one: order.state for one, order in self.orders.items()}
        for order_id, before in states_before.items():
            assert states[order_id] in STATES[before], (order_id, before)
        self.seen.append((now, _told(rows, now)))
        return states

    def is_replayed(self) -> None:
        """What was known at every past moment is told now as it was then, and so is every decision."""
        with self.desk.store.reading() as tx:
            rows = credit_rows(tx, self.customer_id)
        for as_of, told in self.seen:
            assert _told(rows, as_of) == told
        for decision_id in self.decisions:
            replayed = replay(self.desk.store, self.desk.registry, decision_id)
            assert replayed.is_identical, (replayed.differences, replayed.ledger_differences)
            assert replayed.ledger_not_compared is None


def _told(rows: Any, as_of: int) -> dict[str, tuple[int, int]]:
    states = invoice_states(rows, as_of, USUAL_TERMS)
    return {one: (state.outstanding_cents, state.lateness_at(as_of)) for one, state in states.items()}


STEPS: dict[str, Callable[[Life, int, int], None]] = {
    "order": Life.order,
    "confirm": Life.confirm,
    "extend": Life.extend,
    "cancel": Life.cancel,
    "release": Life.release,
    "amend": Life.amend,
    "invoice": Life.invoice,
    "credit": Life.credit,
    "pay": Life.pay,
    "return_debit": Life.return_debit,
    "pause": Life.pause,
    "resume": Life.resume,
    "wait": Life.wait,
}
OFTEN = ("order", "confirm", "amend", "invoice", "invoice", "credit", "pay", "wait")
CENTS = st.one_of(
    st.sampled_from([100, 2_000, 2_001, 5_000, 5_003, 10_000, 20_000]), st.integers(100, 26_000)
)
HOURS = st.one_of(st.integers(0, 48), st.sampled_from([72, 24 * 8, 24 * 31]))
A_STEP = st.tuples(st.sampled_from([*STEPS, *OFTEN]), CENTS, HOURS)


@pytest.fixture
def desk(store: Store, database_url: str) -> ShadowDesk:
    return a_shadow_desk(store, database_url)


@pytest.mark.long_proof
@examples(10_000)
@given(steps=st.lists(A_STEP, min_size=4, max_size=24))
def test_whatever_becomes_of_orders_the_limit_holds_them_to_the_cent(
    desk: ShadowDesk, steps: list[tuple[str, int, int]]
) -> None:
    number = next(NUMBERS)
    life = Life(desk, f"c{number}")
    desk.now = START
    # Nobody's other account: a person's accounts share one limit.
    desk.customer(life.customer_id, birth_date=str(date.fromordinal(ADULTS - number)))
    states: dict[str, str] = {}
    life.order(steps[0][1], 0)
    for name, cents, hours in steps:
        STEPS[name](life, cents, hours)
        states = life.agrees(states)
    life.is_replayed()


NUMBERS = count(1)
ADULTS = date(2000, 1, 1).toordinal()
