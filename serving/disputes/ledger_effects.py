"""What a dispute does in the ledger: its order's invoices pause and go on, its end credits and pays back.

Every row is written in the transaction of the step that causes it, under an id that the dispute gives it:
what a killed worker began is done whole or not at all, and nothing twice. Pauses and outcomes that the back
office writes about the same order are left alone.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data_contracts.between_rows.arrivals import AppendStatus
from data_contracts.contract import Contract
from data_contracts.invoice_adjustments import INVOICE_ADJUSTMENTS, REASON_RETURNED_DEBIT
from data_contracts.invoice_pauses import DISPUTE, INVOICE_PAUSES
from data_contracts.invoice_payments import INVOICE_PAYMENTS
from data_contracts.invoices import INVOICES
from data_contracts.order_outcomes import ORDER_OUTCOMES
from features.invoice_state import InvoiceState
from features.online import invoice_states, visible_rows
from features.supersession import seeing_all
from serving.domain.dispute import Dispute
from serving.domain.dispute_money import InvoiceBalance, relief_of
from serving.domain.errors import RiskError
from serving.requests.case_scope import CaseScope
from serving.store.investigations import settlement_rows
from serving.store.ledger import append
from serving.store.store import Transaction

Row = Mapping[str, Any]


class DisputeRowRefused(RiskError):
    """The ledger did not take what follows from the step; the message names the rule. Nothing was kept."""


@dataclass(frozen=True, kw_only=True)
class DisputedInvoice:
    """One invoice of the order with its state now, and the pauses of it that this dispute has begun."""

    row: Row
    state: InvoiceState
    overpaid_cents: int
    own_pauses: tuple[Row, ...]

    @property
    def invoice_id(self) -> str:
        """Of the invoice."""
        return str(self.row["invoice_id"])

    @property
    def balance(self) -> InvoiceBalance:
        """Its amounts."""
        return InvoiceBalance(
            invoice_id=self.invoice_id,
            net_cents=self.state.net_amount_cents,
            outstanding_cents=min(self.state.outstanding_cents, self.state.net_amount_cents),
            overpaid_cents=self.overpaid_cents,
        )


@dataclass(frozen=True, kw_only=True)
class ReliefGiven:
    """What was taken off in one step: credited of what was unpaid, and paid back. Minor units."""

    credited_cents: int
    refunded_cents: int


def disputed_invoices(
    tx: Transaction, scope: CaseScope, *, customer_id: str, order_id: str, dispute_id: str
) -> list[DisputedInvoice]:
    """The standing invoices of an order, the oldest first."""
    rows = settlement_rows(tx, customer_id)
    as_of_ms = seeing_all(scope.now_ms(), *rows.values())
    states = invoice_states(rows, as_of_ms, scope.policy.settlement_terms)
    money = _money_kept(rows, as_of_ms)
    pauses = [
        pause
        for pause in visible_rows(INVOICE_PAUSES, rows, as_of_ms)
        if str(pause["pause_id"]).startswith(f"{dispute_id}-")
    ]
    invoices = [row for row in visible_rows(INVOICES, rows, as_of_ms) if row["order_id"] == order_id]
    return [
        DisputedInvoice(
            row=row,
            state=(state := states[row["invoice_id"]]),
            overpaid_cents=max(money.get(row["invoice_id"], 0) - state.net_amount_cents, 0),
            own_pauses=tuple(pause for pause in pauses if pause["invoice_id"] == row["invoice_id"]),
        )
        for row in sorted(invoices, key=lambda row: (row["occurred_at"], row["invoice_id"]))
    ]


def _money_kept(rows: Mapping[str, Sequence[Row]], as_of_ms: int) -> dict[str, int]:
    """The customer's money on each invoice: payments less all that went back."""
    kept: dict[str, int] = {}
    for row in visible_rows(INVOICE_PAYMENTS, rows, as_of_ms):
        kept[row["invoice_id"]] = kept.get(row["invoice_id"], 0) + row["amount_cents"]
    for row in visible_rows(INVOICE_ADJUSTMENTS, rows, as_of_ms):
        if row["kind"] == "refund" or row["reason"] == REASON_RETURNED_DEBIT:
            kept[row["invoice_id"]] = kept.get(row["invoice_id"], 0) - row["amount_cents"]
    return kept


def pause_invoices(tx: Transaction, scope: CaseScope, dispute: Dispute) -> int:
    """Pause what is unpaid of the order in the dispute's present round; returns how many invoices.

    Where nothing is unpaid the last invoice is paused, which changes nothing that is owed: so the ledger
    knows of the dispute. One that this round has paused before stays as it is.
    """
    invoices = _invoices_of(tx, scope, dispute)
    wanted = [invoice for invoice in invoices if invoice.state.outstanding_cents > 0]
    is_known = any(invoice.own_pauses for invoice in invoices)
    if not wanted and not is_known:
        wanted = invoices[-1:]
    paused = 0
    for invoice in wanted:
        pause_id = f"{_id_of(dispute, invoice)}-{dispute.pause_round}"
        if any(pause["pause_id"] == pause_id for pause in invoice.own_pauses):
            continue
        begins_at_ms = max(scope.now_ms(), invoice.row["occurred_at"])
        row = {
            "event_id": f"{pause_id}-begun",
            "occurred_at": begins_at_ms,
            "pause_id": pause_id,
            "invoice_id": invoice.invoice_id,
            "customer_id": dispute.customer_id,
            "reason": DISPUTE,
            "started_at": begins_at_ms,
        }
        _append(tx, scope, INVOICE_PAUSES, row)
        paused += 1
    return paused


def end_pauses(tx: Transaction, scope: CaseScope, dispute: Dispute) -> None:
    """End every pause of the dispute that lasts; the due dates move by the paused time."""
    for invoice in _invoices_of(tx, scope, dispute):
        for pause in invoice.own_pauses:
            if pause.get("ended_at") is not None:
                continue
            ends_at_ms = max(scope.now_ms(), pause["started_at"])
            row = {
                "event_id": f"{pause['pause_id']}-ended",
                "occurred_at": ends_at_ms,
                "pause_id": pause["pause_id"],
                "invoice_id": invoice.invoice_id,
                "customer_id": dispute.customer_id,
                "reason": DISPUTE,
                "started_at": pause["started_at"],
                "ended_at": ends_at_ms,
            }
            _append(tx, scope, INVOICE_PAUSES, row)


def give_relief(
    tx: Transaction, scope: CaseScope, dispute: Dispute, wanted_cents: int | None, reason: str
) -> ReliefGiven:
    """Credit and pay back so much of the order's invoices, at most what they come to.

    wanted_cents: None for all that is invoiced and not credited. reason: of the ledger's adjustments.
    """
    invoices = {invoice.invoice_id: invoice for invoice in _invoices_of(tx, scope, dispute)}
    reliefs = relief_of([invoice.balance for invoice in invoices.values()], wanted_cents)
    for relief in reliefs:
        invoice = invoices[relief.invoice_id]
        for kind, amount_cents in (
            ("credit_note", relief.credit_note_cents),
            ("refund", relief.refund_cents),
        ):
            if amount_cents:
                row = {
                    "event_id": f"{_id_of(dispute, invoice)}-{kind.replace('_', '-')}-{dispute.version}",
                    "occurred_at": max(scope.now_ms(), invoice.row["occurred_at"]),
                    "invoice_id": relief.invoice_id,
                    "customer_id": dispute.customer_id,
                    "kind": kind,
                    "reason": reason,
                    "amount_cents": amount_cents,
                    "currency": invoice.row["currency"],
                }
                _append(tx, scope, INVOICE_ADJUSTMENTS, row)
    refunded_cents = sum(relief.refund_cents for relief in reliefs)
    in_all_cents = sum(relief.counts_cents for relief in reliefs)
    return ReliefGiven(credited_cents=in_all_cents - refunded_cents, refunded_cents=refunded_cents)


def is_invoiced(tx: Transaction, scope: CaseScope, dispute: Dispute) -> bool:
    """Whether the ledger has an invoice of the order."""
    return bool(_invoices_of(tx, scope, dispute))


def write_outcome(tx: Transaction, scope: CaseScope, dispute: Dispute, kind: str, at_ms: int) -> None:
    """Write a finding about the order, by the dispute's step. at_ms: not before the order was placed."""
    row = {
        "event_id": f"{dispute.dispute_id}-outcome-{dispute.version}-{kind.partition('_')[0]}",
        "occurred_at": at_ms,
        "order_id": dispute.order_id,
        "customer_id": dispute.customer_id,
        "kind": kind,
    }
    _append(tx, scope, ORDER_OUTCOMES, row)


def _invoices_of(tx: Transaction, scope: CaseScope, dispute: Dispute) -> list[DisputedInvoice]:
    return disputed_invoices(
        tx,
        scope,
        customer_id=dispute.customer_id,
        order_id=dispute.order_id,
        dispute_id=dispute.dispute_id,
    )


def _id_of(dispute: Dispute, invoice: DisputedInvoice) -> str:
    # An id of an invoice may be as long as an id of the ledger may be at all.
    digest = hashlib.sha256(invoice.invoice_id.encode()).hexdigest()[:12]
    return f"{dispute.dispute_id}-{digest}"


def _append(tx: Transaction, scope: CaseScope, contract: Contract, row: dict[str, Any]) -> None:
    result = append(tx, contract, row, scope.now_ms(), clock_tolerance_ms=scope.policy.clock_tolerance_ms)
    if result.status not in {AppendStatus.ACCEPTED, AppendStatus.REPEATED}:
        raise DisputeRowRefused(f"{row['event_id']} was {result.status.value}: {result.message}")
