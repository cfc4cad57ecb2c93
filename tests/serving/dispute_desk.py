"""A store with one invoiced order that can be disputed, and a clock that stands still until told."""

from dataclasses import dataclass
from typing import Any

from data_contracts.between_rows.arrivals import AppendResult, AppendStatus
from data_contracts.instants import DAY_MS
from data_contracts.ledger_contracts import CONTRACTS
from features.invoice_state import InvoiceState
from features.online import invoice_states, visible_rows
from features.supersession import seeing_all
from serving.disputes import customer_steps, merchant_steps, opening, service_desk
from serving.disputes.dispute_answers import CustomerDispute, DeskDispute, MerchantDispute
from serving.disputes.identity_claims import bring_claims_to_cases, follow_cases
from serving.disputes.passed_deadlines import (
    expire_due_disputes,
    pause_late_invoices,
    raise_overdue_disputes,
)
from serving.domain.dispute import Dispute
from serving.domain.policy import Policy
from serving.domain.policy_reader import parse_policy
from serving.in_force.policy_activation import POLICY_FILE
from serving.requests.case_scope import CaseScope
from serving.store.api_keys import Caller, Role
from serving.store.deliveries import Delivery, due
from serving.store.disputes import dispute_history_of, dispute_of
from serving.store.investigations import settlement_rows
from serving.store.ledger import append
from serving.store.store import Store
from tests.builders import DAY, Row, a_customer, a_merchant, a_payment, an_invoice, an_order, ms

START = ms("2026-06-01T10:00:00")
MINUTE = 60_000
SECOND = 1_000
PORTAL = Caller(name="portal", role=Role.PORTAL, merchant_id=None)
SHOP = Caller(name="shop", role=Role.MERCHANT, merchant_id="m1")


@dataclass
class DisputeDesk:
    """Order o1 of customer c1 at merchant m1 over 100.00, invoiced as i1."""

    store: Store
    policy: Policy
    now: int = START

    @property
    def scope(self) -> CaseScope:
        return CaseScope(
            store=self.store, policy=self.policy, now_ms=lambda: self.now, public_url="https://pay.example"
        )

    def offer(self, contract: str, row: Row) -> AppendResult:
        """A ledger row as an intake takes it in or not; every row a minute after the one before."""
        sent = {name: value for name, value in row.items() if name != "recorded_at" and value is not None}
        self.now += MINUTE
        with self.store.writing(str(sent.get("customer_id", "m1"))) as tx:
            return append(tx, CONTRACTS[contract], sent, self.now)

    def row(self, contract: str, row: Row) -> None:
        """A ledger row that is taken in."""
        result = self.offer(contract, row)
        assert result.status is AppendStatus.ACCEPTED, result

    def invoice(self, invoice_id: str = "i1", amount_cents: int = 10_000, **columns: Any) -> None:
        self.row("invoices", an_invoice(invoice_id, at=self.now, amount_cents=amount_cents, **columns))

    def pay(self, amount_cents: int, invoice_id: str = "i1") -> None:
        self.row("invoice_payments", a_payment(invoice_id, at=self.now, amount_cents=amount_cents))

    def open(self, reason: str = "not_received", **columns: Any) -> CustomerDispute:
        self.now += MINUTE
        said: dict[str, Any] = {"text": None, "amount_cents": None, "police_report": None, **columns}
        return opening.open_by_customer(
            self.scope,
            said.pop("order_id", "o1"),
            customer_id=said.pop("customer_id", "c1"),
            reason=reason,
            caller=PORTAL,
            idempotency_key=said.pop("idempotency_key", None),
            **said,
        )

    def answer(self, dispute_id: str, kind: str = "goods_as_described", **columns: Any) -> MerchantDispute:
        said: dict[str, Any] = {"text": None, "carrier": None, "tracking_number": None, **columns}
        return merchant_steps.answer_dispute(
            self.scope, dispute_id, merchant_id="m1", kind=kind, caller=SHOP, **said
        )

    def give_in(self, dispute_id: str, part: str = "disputed_part") -> MerchantDispute:
        return merchant_steps.give_in_dispute(
            self.scope, dispute_id, merchant_id="m1", part=part, caller=SHOP
        )

    def statement(self, dispute_id: str, text: str = "It is broken.") -> CustomerDispute:
        return customer_steps.make_statement(
            self.scope, dispute_id, customer_id="c1", text=text, caller=PORTAL, idempotency_key=None
        )

    def withdraw(self, dispute_id: str) -> CustomerDispute:
        return customer_steps.withdraw_dispute(
            self.scope, dispute_id, customer_id="c1", caller=PORTAL, idempotency_key=None
        )

    def complain(self, dispute_id: str, text: str = "I disagree.") -> CustomerDispute:
        return customer_steps.make_complaint(
            self.scope, dispute_id, customer_id="c1", text=text, caller=PORTAL, idempotency_key=None
        )

    def decide(
        self, dispute_id: str, outcome: str, award_cents: int | None = None, by: str = "sue"
    ) -> DeskDispute:
        service_desk.claim_dispute(self.scope, dispute_id, by=by)
        return service_desk.decide_dispute(
            self.scope, dispute_id, outcome=outcome, award_cents=award_cents, text="By the photos.", by=by
        )

    def at_the_desk(self, **columns: Any) -> str:
        """A dispute that waits for a decision."""
        dispute_id = self.open(**columns).dispute_id
        self.answer(dispute_id)
        self.statement(dispute_id)
        return dispute_id

    def work(self) -> int:
        """One round of all the worker's chores about disputes."""
        return (
            expire_due_disputes(self.scope)
            + pause_late_invoices(self.scope)
            + bring_claims_to_cases(self.scope)
            + follow_cases(self.scope)
            + raise_overdue_disputes(self.scope)
        )

    def dispute(self, dispute_id: str) -> Dispute:
        with self.store.reading() as tx:
            known = dispute_of(tx, dispute_id)
        assert known is not None
        return known

    def actions(self, dispute_id: str) -> list[str]:
        with self.store.reading() as tx:
            return [entry.action for entry in dispute_history_of(tx, dispute_id)]

    def rows(self, contract: str, customer_id: str = "c1") -> list[Row]:
        """What stands of a contract."""
        with self.store.reading() as tx:
            rows = settlement_rows(tx, customer_id)
        as_of_ms = seeing_all(self.now, *rows.values())
        return [dict(row) for row in visible_rows(CONTRACTS[contract], rows, as_of_ms)]

    def invoices(self) -> dict[str, InvoiceState]:
        with self.store.reading() as tx:
            rows = settlement_rows(tx, "c1")
        as_of_ms = seeing_all(self.now, *rows.values())
        return invoice_states(rows, as_of_ms, self.policy.settlement_terms)

    def state(self, invoice_id: str = "i1") -> InvoiceState:
        return self.invoices()[invoice_id]

    def adjustments(self) -> list[tuple[str, str, int]]:
        return sorted(
            (row["kind"], row["reason"], row["amount_cents"]) for row in self.rows("invoice_adjustments")
        )

    def outcomes(self) -> list[str]:
        return [row["kind"] for row in self.rows("order_outcomes")]

    def messages(self) -> list[Delivery]:
        with self.store.reading() as tx:
            return due(tx, self.now + DAY_MS, 100)

    def told(self) -> list[tuple[str, str]]:
        return sorted((message.event_type, message.channel) for message in self.messages())


def a_dispute_desk(
    store: Store, *, merchant: Row | None = None, invoiced: bool = True, **order: Any
) -> DisputeDesk:
    """A desk. merchant, order: other columns than usual."""
    desk = DisputeDesk(store, parse_policy(POLICY_FILE.read_text()))
    desk.row("merchants", a_merchant(at=START - 500 * DAY, **(merchant or {})))
    desk.row("customers", a_customer("c1", event_id="customer-1", at=desk.now - 400 * DAY))
    desk.row("orders", an_order("o1", "c1", at=desk.now, **order))
    if invoiced:
        desk.invoice()
    return desk
