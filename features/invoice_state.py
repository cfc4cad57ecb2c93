"""The state of one invoice as far as it is known: what is owed, since when, and how late.

The same function serves the features (offline and online), the labels and the arrears rule.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from features.instants import NEVER


@dataclass(frozen=True, kw_only=True, slots=True)
class InvoiceState:
    """One invoice, judged by the rows known at some moment. Instants in ms since 1970 UTC, amounts in cents.

    due_at: due date moved by the pauses that ended; NEVER while a pause holds back a due date not yet
        reached, and for an invoice that credit notes cancelled.
    paid_at: when the invoice was paid in full for good, None if it is not.
    lateness_ms: final or frozen lateness (negative: paid early); None while it runs on or nothing is due.
    paused: whether a pause is running.
    outstanding_cents: principal still owed, never negative.
    """

    issued_at: int
    due_at: int
    paid_at: int | None
    lateness_ms: int | None
    paused: bool
    cancelled: bool
    net_amount_cents: int
    outstanding_cents: int

    def lateness_at(self, as_of_ms: int) -> int:
        """Lateness in ms at an instant, paused time left out; at most 0 when nothing is late."""
        if self.cancelled or self.due_at == NEVER:
            return 0
        if self.lateness_ms is not None:
            return self.lateness_ms
        return as_of_ms - self.due_at

    def is_overdue(self, as_of_ms: int) -> bool:
        """Whether something is owed past its due date, paused or not."""
        return self.outstanding_cents > 0 and self.due_at < as_of_ms


def invoice_state(
    *,
    issued_at: int,
    due_at: int,
    amount_cents: int,
    movements: Sequence[tuple[int, int]],
    credited_cents: int,
    pauses: Sequence[tuple[int, int]],
) -> InvoiceState:
    """Judge an invoice by its known rows.

    movements: (occurred_at, cents) of payments and credit notes (negative) and refunds (positive).
    credited_cents: the part of the movements that is credit notes, as a positive amount.
    pauses: (started_at, ended_at), ended_at NEVER while a pause lasts.
    """
    outstanding, paid_at = _paid_off(amount_cents, issued_at, movements)
    effective_due_at, lateness_ms, paused = _timing(due_at, paid_at, _union(pauses))
    cancelled = credited_cents >= amount_cents
    return InvoiceState(
        issued_at=issued_at,
        due_at=NEVER if cancelled else effective_due_at,
        paid_at=paid_at,
        lateness_ms=lateness_ms,
        paused=paused,
        cancelled=cancelled,
        net_amount_cents=max(amount_cents - credited_cents, 0),
        outstanding_cents=max(outstanding, 0),
    )


def _paid_off(
    amount_cents: int, issued_at: int, movements: Sequence[tuple[int, int]]
) -> tuple[int, int | None]:
    """What is owed after all movements, and since when nothing is."""
    outstanding = amount_cents
    paid_at: int | None = None
    for occurred_at, cents in sorted(movements):
        owed_before = outstanding
        outstanding += cents
        if outstanding <= 0 < owed_before:
            paid_at = max(occurred_at, issued_at)
    return outstanding, paid_at if outstanding <= 0 else None


def _timing(
    due_at: int, paid_at: int | None, pauses: Sequence[tuple[int, int]]
) -> tuple[int, int | None, bool]:
    """The due date as moved by the pauses, the lateness where it no longer runs, and whether a pause runs.

    The due date moves by *all* ended pauses, also by those after the payment: so which window an
    invoice falls into does not depend on when it was paid.
    """
    moved_due_at = due_at
    paused_until_paid = 0
    open_since = NEVER
    for started_at, ended_at in pauses:
        if ended_at == NEVER:
            open_since = started_at
        else:
            moved_due_at += ended_at - started_at
        if paid_at is not None and started_at < paid_at:
            paused_until_paid += min(ended_at, paid_at) - started_at
    is_paused = open_since != NEVER
    lateness_ms: int | None = None
    if paid_at is not None:
        lateness_ms = paid_at - due_at - paused_until_paid
    elif is_paused and open_since >= moved_due_at:
        lateness_ms = open_since - moved_due_at
    return (NEVER if open_since < moved_due_at else moved_due_at), lateness_ms, is_paused


def _union(pauses: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The pauses as disjoint intervals in order: a dispute during a return pauses the invoice once."""
    merged: list[tuple[int, int]] = []
    for started_at, ended_at in sorted(pauses):
        if merged and started_at <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], ended_at))
        else:
            merged.append((started_at, ended_at))
    return merged
