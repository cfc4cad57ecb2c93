"""Use case of the worker: customers are told of invoices that fall due, with the fees that policy names.

A look at a customer is one transaction under the customer's lock: it reads the customer's rows, writes what
is due as ledger rows, and keeps when to look again. A worker that is killed leaves nothing half done, and two
that look at once write each row once: its event_id is made of invoice, kind and level.

A fee whose reminder should not have gone out, by what is known now (it was paid, covered, paused or not yet
due then), is corrected to 0 by another row. Once at 0 it stays there. The reminder still counts as sent.

The ledger row is all that happens so far. Whoever brings messages to customers (a mail, the app) or to
integrators (`invoice.overdue`, `invoice.paused`) has `_written` leave one in the same transaction.
"""

import hashlib
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from data_contracts.between_rows.arrivals import AppendStatus
from data_contracts.invoice_charges import INVOICE_CHARGES
from features.instants import NEVER
from features.online import LedgerRows, visible_rows
from serving.domain.policy import Policy
from serving.domain.reminders import Notice, fee_cents, next_notice
from serving.invoices.known_invoices import KnownInvoice, invoices_when, known_from_ms
from serving.requests.case_scope import CaseScope
from serving.store.credit_rows import credit_rows
from serving.store.invoice_looks import (
    LONGEST_MS,
    customers_to_look_at,
    is_look_due,
    keep_next_look,
)
from serving.store.ledger import append
from serving.store.store import Transaction

LOG = logging.getLogger("bonitas.reminders")
CUSTOMERS_AT_ONCE = 20
"""Looked at in one transaction: a commit for each would hold up others longer."""
VOID = "-void"


@dataclass(frozen=True, kw_only=True)
class InvoiceLook:
    """What a look at a customer's invoices comes to.

    charges: rows of `invoice_charges` to append, without `recorded_at`. look_at_ms: when to look again, None
        where only news leads to another look. due_at_ms: when the first of what is asked for falls due.
    """

    charges: tuple[dict[str, Any], ...]
    look_at_ms: int | None
    due_at_ms: int | None


def look_at_due_invoices(scope: CaseScope, limit: int = CUSTOMERS_AT_ONCE) -> int:
    """Look at the customers whose look is due; returns at how many. Raises StoreUnavailable."""
    with scope.store.reading() as tx:
        customers = customers_to_look_at(tx, limit, now_ms=scope.now_ms())
    if not customers:
        return 0
    with scope.store.writing(*customers) as tx:
        for customer_id in customers:
            # Another worker may have been faster.
            if is_look_due(tx, customer_id, now_ms=scope.now_ms()):
                _look_at(tx, customer_id, scope.policy, scope.now_ms())
    return len(customers)


def _look_at(tx: Transaction, customer_id: str, policy: Policy, now_ms: int) -> None:
    look = look_at(credit_rows(tx, customer_id), policy, now_ms=now_ms)
    for row in look.charges:
        _written(tx, row, policy, now_ms)
    # After the rows: they ask for a look themselves, and this was it.
    keep_next_look(tx, customer_id, look_at_ms=look.look_at_ms, due_at_ms=look.due_at_ms)


def _written(tx: Transaction, row: Mapping[str, Any], policy: Policy, now_ms: int) -> None:
    result = append(tx, INVOICE_CHARGES, row, now_ms, clock_tolerance_ms=policy.clock_tolerance_ms)
    if result.status is not AppendStatus.ACCEPTED:
        # One row that cannot be written must not keep the other customers' from being written.
        LOG.error(
            "invoice_charge_not_taken", extra={"event_id": row["event_id"], "reason": result.message or ""}
        )


def look_at(rows: LedgerRows, policy: Policy, *, now_ms: int) -> InvoiceLook:
    """What is to be written about one customer's invoices now, and when to look again; changes nothing.

    rows: all of the customer's. Under a policy that leaves reminders to the ledger nothing is written.
    """
    known_ms = known_from_ms(rows, now_ms)
    # By all that is recorded: what the customer's clock has dated ahead of ours is not put off.
    invoices = invoices_when(rows, known_ms - 1, policy.settlement_terms, known_ms=known_ms)
    open_invoices = {one: invoice for one, invoice in invoices.items() if invoice.asked_cents > 0}
    charges: list[dict[str, Any]] = []
    if policy.reminders.is_written_here:
        charges += _to_be_corrected(rows, policy, known_ms)
        standing = visible_rows(INVOICE_CHARGES, rows, known_ms)
        taken = {row["event_id"] for row in rows.get(INVOICE_CHARGES.name, ())}
        for invoice in open_invoices.values():
            charges += _to_be_told(invoice, standing, taken, policy, now_ms)
    due = [
        one.state.due_at for one in open_invoices.values() if one.is_asked_for and one.state.due_at != NEVER
    ]
    return InvoiceLook(
        charges=tuple(charges),
        look_at_ms=_next_look_ms(open_invoices.values(), rows, policy, now_ms, known_ms),
        due_at_ms=min(due, default=None),
    )


def _next_look_ms(
    open_invoices: Iterable[KnownInvoice], rows: LedgerRows, policy: Policy, now_ms: int, known_ms: int
) -> int | None:
    """A day later while something is owed, or earlier where something is due before; None otherwise."""
    standing = visible_rows(INVOICE_CHARGES, rows, known_ms)
    looks = []
    for invoice in open_invoices:
        looks.append(now_ms + LONGEST_MS)
        notice = next_notice_of(invoice, standing, policy, now_ms)
        if notice is not None and notice.at_ms > now_ms:
            looks.append(notice.at_ms)
    return min(looks, default=None)


def next_notice_of(
    invoice: KnownInvoice, charges: Iterable[Mapping[str, Any]], policy: Policy, now_ms: int
) -> Notice | None:
    """What the customer is told of an invoice next; None where of nothing, as things stand.

    charges: of the customer, those that stand.
    """
    if not invoice.is_asked_for or invoice.state.due_at == NEVER:
        return None
    sent = [
        Notice(row["kind"], row["level"], row["occurred_at"])
        for row in charges
        if row["invoice_id"] == invoice.row["invoice_id"]
    ]
    return next_notice(
        policy.reminders,
        issued_at_ms=invoice.state.issued_at,
        due_at_ms=invoice.state.due_at,
        sent=sent,
        now_ms=now_ms,
    )


def _to_be_told(
    invoice: KnownInvoice,
    charges: Iterable[Mapping[str, Any]],
    taken: set[str],
    policy: Policy,
    now_ms: int,
) -> Iterator[dict[str, Any]]:
    notice = next_notice_of(invoice, charges, policy, now_ms)
    if notice is None or notice.at_ms > now_ms:
        return
    row = invoice.row
    event_id = event_id_of(row["invoice_id"], notice.kind, notice.level)
    # Taken by a row that was corrected to another invoice or level: it was told all the same.
    if event_id not in taken:
        yield {
            "event_id": event_id,
            "occurred_at": now_ms,
            "invoice_id": row["invoice_id"],
            "customer_id": row["customer_id"],
            "kind": notice.kind,
            "level": notice.level,
            "amount_cents": fee_cents(policy.reminders, notice, row["currency"]),
            "currency": row["currency"],
        }


def _to_be_corrected(rows: LedgerRows, policy: Policy, known_ms: int) -> Iterator[dict[str, Any]]:
    """Corrections to 0 of fees of the worker's that should not have been charged, by what is known now."""
    for charge in visible_rows(INVOICE_CHARGES, rows, known_ms):
        own_id = event_id_of(charge["invoice_id"], charge["kind"], charge["level"])
        if charge["event_id"] != own_id or charge["amount_cents"] == 0:
            continue
        sent_at = charge["occurred_at"]
        then = invoices_when(rows, sent_at, policy.settlement_terms, known_ms=known_ms)
        invoice = then.get(charge["invoice_id"])
        if invoice is None or not invoice.is_asked_for or invoice.state.due_at >= sent_at:
            kept = {name: value for name, value in charge.items() if name != "recorded_at"}
            yield {
                **kept,
                "event_id": own_id + VOID,
                "corrects": own_id,
                "amount_cents": 0,
            }


def event_id_of(invoice_id: str, kind: str, level: int) -> str:
    """The event_id of what the worker tells of an invoice: the same whoever writes it, and whenever."""
    named = f"{invoice_id}\n{kind}\n{level}"
    return f"told-{hashlib.sha256(named.encode()).hexdigest()[:32]}"
