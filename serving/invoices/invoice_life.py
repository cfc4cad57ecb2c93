"""Use cases: an invoice shown with its life, and the invoices that fall due."""

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import UNSET

from data_contracts.instants import DAY_MS
from data_contracts.invoice_adjustments import INVOICE_ADJUSTMENTS
from data_contracts.invoice_charges import INVOICE_CHARGES
from data_contracts.invoice_pauses import INVOICE_PAUSES
from data_contracts.invoice_payments import INVOICE_PAYMENTS
from data_contracts.invoices import INVOICES
from data_contracts.progress import Progress, no_progress
from features.instants import NEVER
from features.online import LedgerRows, invoice_states_when, visible_rows
from features.settlement_terms import SettlementTerms
from serving.domain.errors import UnknownInvoice
from serving.domain.policy import Policy
from serving.invoices.invoice_answers import DueInvoice, InvoiceEvent, InvoiceLife, InvoiceNotice
from serving.invoices.known_invoices import KnownInvoice, invoices_when, known_from_ms
from serving.invoices.reminding import next_notice_of
from serving.requests.answer_fields import Instant, instant_or_none
from serving.requests.case_scope import CaseScope
from serving.store.credit_rows import credit_rows, credit_rows_of
from serving.store.invoice_looks import customers_with_due_invoices
from serving.store.standing_rows import standing_row
from serving.store.store import Transaction

CUSTOMERS_AT_ONCE = 200


def invoice_life(tx: Transaction, invoice_id: str, policy: Policy, *, now_ms: int) -> InvoiceLife:
    """An invoice as it stands now, with all that is known of it. Raises UnknownInvoice."""
    found = standing_row(tx, INVOICES, invoice_id)
    if found is None:
        raise UnknownInvoice(f"there is no invoice {invoice_id}")
    rows = credit_rows(tx, found["customer_id"])
    known_ms = known_from_ms(rows, now_ms)
    invoice = invoices_when(rows, known_ms - 1, policy.settlement_terms, known_ms=known_ms)[invoice_id]
    charges = [
        row for row in visible_rows(INVOICE_CHARGES, rows, known_ms) if row["invoice_id"] == invoice_id
    ]
    row, state = invoice.row, invoice.state
    timeline = sorted(
        _timeline(row, rows, charges, policy.settlement_terms, known_ms), key=lambda event: event[0]
    )
    return InvoiceLife(
        invoice_id=invoice_id,
        order_id=row["order_id"],
        customer_id=row["customer_id"],
        currency=row["currency"],
        phase=invoice.phase,
        amount_cents=row["amount_cents"],
        received_cents=state.received_cents,
        credited_cents=row["amount_cents"] - state.net_amount_cents,
        charged_back_cents=state.charged_back_cents,
        outstanding_cents=state.outstanding_cents,
        overpaid_cents=state.overpaid_cents,
        covered_cents=invoice.covered_cents,
        asked_cents=invoice.asked_cents,
        fees_cents=sum(charge["amount_cents"] for charge in charges),
        issued_at=Instant(row["occurred_at"]),
        due_at=Instant(row["due_at"]),
        moved_due_at=instant_or_none(None if state.due_at == NEVER else state.due_at),
        days_past_due=_days_past_due(invoice, now_ms),
        next_notice=_next_notice(invoice, charges, policy, now_ms),
        timeline=tuple(event for _, event in timeline),
    )


def due_invoices(scope: CaseScope, within_days: int, progress: Progress = no_progress) -> list[DueInvoice]:
    """The invoices that are due, or will be within some days, and that customers are asked to pay.

    The longest due first. Only customers are read of whom something falls due, or of whom news came.
    """
    now_ms = scope.now_ms()
    until_ms = now_ms + within_days * DAY_MS
    with scope.store.reading() as tx:
        customers = customers_with_due_invoices(tx, until_ms, now_ms=now_ms)
    found: list[tuple[int, DueInvoice]] = []
    for start in range(0, len(customers), CUSTOMERS_AT_ONCE):
        some = customers[start : start + CUSTOMERS_AT_ONCE]
        with scope.store.reading() as tx:
            rows_of = credit_rows_of(tx, some)
        for rows in rows_of.values():
            found += _due_of(rows, scope.policy, now_ms=now_ms, until_ms=until_ms)
        progress("read customers", done=start + len(some), total=len(customers))
    return [due for _, due in sorted(found, key=lambda one: (one[0], one[1].invoice_id))]


def shown_invoice(scope: CaseScope, invoice_id: str) -> InvoiceLife:
    """`invoice_life` by the store as it is now. Raises UnknownInvoice and StoreUnavailable."""
    with scope.store.reading() as tx:
        return invoice_life(tx, invoice_id, scope.policy, now_ms=scope.now_ms())


def _due_of(
    rows: LedgerRows, policy: Policy, *, now_ms: int, until_ms: int
) -> Iterator[tuple[int, DueInvoice]]:
    known_ms = known_from_ms(rows, now_ms)
    charges = visible_rows(INVOICE_CHARGES, rows, known_ms)
    for invoice_id, invoice in invoices_when(
        rows, known_ms - 1, policy.settlement_terms, known_ms=known_ms
    ).items():
        due_at = invoice.state.due_at
        # While a pause holds the due date back it is NEVER, beyond every day.
        if invoice.is_asked_for and due_at <= until_ms:
            yield (
                due_at,
                DueInvoice(
                    invoice_id=invoice_id,
                    customer_id=invoice.row["customer_id"],
                    currency=invoice.row["currency"],
                    phase=invoice.phase,
                    asked_cents=invoice.asked_cents,
                    due_at=Instant(due_at),
                    days_past_due=_days_past_due(invoice, now_ms),
                    next_notice=_next_notice(invoice, charges, policy, now_ms),
                ),
            )


def _days_past_due(invoice: KnownInvoice, now_ms: int) -> int:
    return max(invoice.state.lateness_at(now_ms), 0) // DAY_MS


def _next_notice(
    invoice: KnownInvoice, charges: list[Mapping[str, Any]], policy: Policy, now_ms: int
) -> InvoiceNotice | None:
    """What the worker tells next; None also where the ledger is the writer, who alone knows."""
    if not policy.reminders.is_written_here:
        return None
    notice = next_notice_of(invoice, charges, policy, now_ms)
    if notice is None:
        return None
    return InvoiceNotice(kind=notice.kind, level=notice.level, at=Instant(notice.at_ms))


def _timeline(
    invoice: Mapping[str, Any],
    rows: LedgerRows,
    charges: list[Mapping[str, Any]],
    terms: SettlementTerms,
    known_ms: int,
) -> Iterator[tuple[int, InvoiceEvent]]:
    """What happened to an invoice by the rows that stand, each with its instant; in no order."""
    invoice_id = invoice["invoice_id"]

    def own(contract: Any) -> list[Mapping[str, Any]]:
        return [row for row in visible_rows(contract, rows, known_ms) if row["invoice_id"] == invoice_id]

    def event(row: Mapping[str, Any], name: str, at_ms: int, **more: Any) -> tuple[int, InvoiceEvent]:
        known_at = Instant(row["recorded_at"])
        return at_ms, InvoiceEvent(at=Instant(at_ms), known_at=known_at, name=name, **more)

    issued = {"amount_cents": invoice["amount_cents"], "due_at": Instant(invoice["due_at"])}
    yield event(invoice, "issued", invoice["occurred_at"], **issued)
    for row in own(INVOICE_PAYMENTS):
        yield event(row, "paid", row["occurred_at"], amount_cents=row["amount_cents"])
    for row in own(INVOICE_ADJUSTMENTS):
        moved = {"amount_cents": row["amount_cents"], "reason": row["reason"]}
        yield event(row, row["kind"], row["occurred_at"], **moved)
    for row in own(INVOICE_PAUSES):
        yield event(row, "paused", row["started_at"], reason=row["reason"])
        ended_at = row.get("ended_at")
        if ended_at is not None:
            states = invoice_states_when(rows, ended_at, terms, known_ms=known_ms)
            state = states.get(invoice_id)
            # It ended before the invoice was issued, or another pause holds the due date back.
            due_at = UNSET if state is None or state.due_at == NEVER else Instant(state.due_at)
            yield event(row, "resumed", ended_at, reason=row["reason"], due_at=due_at)
    for row in charges:
        told = {"amount_cents": row["amount_cents"], "level": row["level"]}
        yield event(row, row["kind"], row["occurred_at"], **told)
