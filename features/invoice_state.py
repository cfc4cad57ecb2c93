"""The state of one invoice as far as it is known: what is owed, since when, and how late.

The same function serves the features (offline and online), the labels, the arrears rule and the reminders;
`invoice_phase` names the state in one word.
"""

import enum
from collections.abc import Sequence
from typing import NamedTuple, assert_never

import msgspec

from features.instants import NEVER
from features.settlement_terms import SettlementTerms


class MovementKind(enum.IntEnum):
    """What a movement does to what is owed. Among movements of one instant, the order in which they count."""

    CREDIT_NOTE = 0
    """Lowers what is owed: less was delivered, or a price was cut."""
    PAYMENT = 1
    """Money of the customer."""
    RETURNED_DEBIT = 2
    """A payment that the bank took back: owed anew."""
    MONEY_BACK = 3
    """What was paid too much and left again."""
    CREDITED_REFUND = 4
    """Money that left because less was owed: it brings its own credit where no credit note did."""


class Movement(NamedTuple):
    """One payment or adjustment of an invoice. cents: never negative; the kind says which way it goes."""

    occurred_at: int
    kind: MovementKind
    cents: int


class InvoiceState(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One invoice, judged by the rows known at some moment. Instants in ms since 1970 UTC, amounts in cents.

    A Struct, which is made five times as fast as a tuple with names: every decision makes one an invoice.

    due_at: due date moved by the pauses that ended; NEVER while a pause holds back a due date not yet
        reached, and for an invoice that was credited away and of which nothing is owed.
    late_from: due_at and the grace; NEVER where due_at is.
    paid_at: when it was paid for good, up to what is immaterial; None if it is not. Being small is not being
        paid: also of an invoice of 4.00 a part has to come in.
    lateness_ms: since the due date, final or frozen (negative: paid early); None while it runs on or nothing
        is due.
    paused: whether a pause is running.
    net_amount_cents: the invoice without what was credited.
    received_cents: money of the customer that was kept for it, at most the net amount.
    outstanding_cents: what is left to the cent, never negative: it uses up the credit limit.
    owed_cents: the same, 0 where it is immaterial.
    overpaid_cents: money of the customer beyond what the invoice comes to, which was not paid back.
    charged_back_cents: what of the invoice was credited or paid back by chargebacks.
    is_material: whether more than what is immaterial was left of it by credit notes. An invoice of which less
        was left counts against nobody, late or unpaid.
    """

    issued_at: int
    due_at: int
    late_from: int
    paid_at: int | None
    lateness_ms: int | None
    paused: bool
    cancelled: bool
    net_amount_cents: int
    received_cents: int
    outstanding_cents: int
    owed_cents: int
    overpaid_cents: int
    charged_back_cents: int
    is_material: bool

    @property
    def is_settled(self) -> bool:
        """Whether it was really paid: not cancelled, not credited away."""
        return self.paid_at is not None and not self.cancelled and self.received_cents > 0

    @property
    def is_paid_on_time(self) -> bool:
        """Whether it was paid by its due date or within the grace."""
        return (
            self.is_settled
            and self.lateness_ms is not None
            and (self.due_at == NEVER or self.lateness_ms <= self.late_from - self.due_at)
        )

    def lateness_at(self, as_of_ms: int) -> int:
        """Time since the due date at an instant, paused time left out; at most 0 when nothing is late."""
        if self.cancelled or self.due_at == NEVER:
            return 0
        if self.lateness_ms is not None:
            return self.lateness_ms
        return as_of_ms - self.due_at

    def is_overdue(self, as_of_ms: int) -> bool:
        """Whether something is owed past the due date and the grace, paused or not."""
        return self.owed_cents > 0 and self.late_from < as_of_ms


def invoice_state(
    *,
    issued_at: int,
    due_at: int,
    amount_cents: int,
    movements: Sequence[Movement],
    pauses: Sequence[tuple[int, int]],
    terms: SettlementTerms,
    charged_back_cents: int = 0,
) -> InvoiceState:
    """Judge an invoice by its known rows.

    movements: in any order. pauses: (started_at, ended_at), ended_at NEVER while a pause lasts; what of them
        lies before the invoice pauses nothing. charged_back_cents: of the movements, those by chargebacks.

    >>> credited = Movement(20, MovementKind.CREDIT_NOTE, 10_000)
    >>> paid = Movement(25, MovementKind.PAYMENT, 10_000)
    >>> state = invoice_state(issued_at=10, due_at=30, amount_cents=10_000, movements=[paid, credited],
    ...     pauses=[], terms=SettlementTerms())
    >>> state.outstanding_cents, state.overpaid_cents, state.cancelled
    (0, 10000, True)
    """
    course = _course(amount_cents, issued_at, movements, terms.materiality_cents)
    effective_due_at, paused = due_at, False
    lateness_ms: int | None = None
    if pauses:
        since_issued = [(max(begun, issued_at), max(ended_at, issued_at)) for begun, ended_at in pauses]
        effective_due_at, lateness_ms, paused = _timing(due_at, course.paid_at, _union(since_issued))
    elif course.paid_at is not None:
        lateness_ms = course.paid_at - due_at
    outstanding = max(course.outstanding_cents, 0)
    # Who was paid back for a return and then had the debit returned owes the money, though nothing is billed.
    cancelled = course.credited_cents >= amount_cents and outstanding == 0
    net = max(amount_cents - course.credited_cents, 0)
    known_due_at = NEVER if cancelled else effective_due_at
    return InvoiceState(
        issued_at=issued_at,
        due_at=known_due_at,
        late_from=NEVER if known_due_at == NEVER else known_due_at + terms.grace_ms,
        paid_at=course.paid_at,
        lateness_ms=lateness_ms,
        paused=paused,
        cancelled=cancelled,
        net_amount_cents=net,
        received_cents=min(course.totals.received, net),
        outstanding_cents=outstanding,
        owed_cents=outstanding if outstanding > terms.materiality_cents else 0,
        overpaid_cents=0 if outstanding else min(-course.outstanding_cents, course.totals.received),
        charged_back_cents=charged_back_cents,
        is_material=not cancelled and amount_cents - course.totals.credited_by_note > terms.materiality_cents,
    )


class _Totals(NamedTuple):
    """What an invoice's movements so far add up to, in cents.

    most_kept: the most that its payments ever came to, returned debits taken off.
    """

    paid: int = 0
    returned: int = 0
    most_kept: int = 0
    credited_by_note: int = 0
    money_back: int = 0
    refunded_with_credit: int = 0

    def plus(self, movement: Movement) -> "_Totals":
        cents = movement.cents
        match movement.kind:
            case MovementKind.CREDIT_NOTE:
                return self._replace(credited_by_note=self.credited_by_note + cents)
            case MovementKind.PAYMENT:
                kept = self.paid + cents - self.returned
                return self._replace(paid=self.paid + cents, most_kept=max(self.most_kept, kept))
            case MovementKind.RETURNED_DEBIT:
                return self._replace(returned=self.returned + cents)
            case MovementKind.MONEY_BACK:
                return self._replace(money_back=self.money_back + cents)
            case MovementKind.CREDITED_REFUND:
                return self._replace(refunded_with_credit=self.refunded_with_credit + cents)
            case _:
                assert_never(movement.kind)

    def balance_of(self, amount_cents: int) -> tuple[int, int]:
        """What is left of an invoice, negative where too much was paid; and what was credited.

        A refund out of credit notes or over-payments uses them up; for the rest of it less is owed by as much
        as was paid back. On a paid invoice of 100, a refund of 10 leaves nothing owed, with a credit note of
        10 beside it or without. Only money that came in can be paid back so.

        A debit that is returned afterwards makes the refund no gift: whether it used up a credit note is told
        by what the payments had come to. Of a returned 100 the whole 100 is owed, with the note or without.
        """
        kept = self.paid - self.returned
        left = amount_cents - kept - self.credited_by_note + self.money_back
        had_come_to = max(kept, min(self.most_kept, amount_cents))
        too_much = had_come_to + self.credited_by_note - self.money_back - amount_cents
        refunded = min(self.refunded_with_credit, self.paid)
        covered = min(refunded, max(too_much, 0))
        return left + covered, self.credited_by_note + refunded - covered

    @property
    def received(self) -> int:
        """The customer's money that was kept."""
        return max(self.paid - self.returned - self.money_back - self.refunded_with_credit, 0)


class _Course(NamedTuple):
    totals: _Totals
    outstanding_cents: int
    credited_cents: int
    paid_at: int | None


def _course(
    amount_cents: int, issued_at: int, movements: Sequence[Movement], materiality_cents: int
) -> _Course:
    """What is owed after all movements, and since when no more than what is immaterial."""
    immaterial = min(materiality_cents, amount_cents - 1)
    if not [movement for movement in movements if movement.kind is not MovementKind.PAYMENT]:
        return _course_of_payments(amount_cents, issued_at, movements, immaterial)
    totals = _Totals()
    outstanding, credited = amount_cents, 0
    paid_at: int | None = None
    for movement in sorted(movements):
        owed_before = outstanding
        totals = totals.plus(movement)
        outstanding, credited = totals.balance_of(amount_cents)
        if outstanding <= immaterial < owed_before:
            paid_at = max(movement.occurred_at, issued_at)
    return _Course(totals, outstanding, credited, paid_at if outstanding <= immaterial else None)


def _course_of_payments(
    amount_cents: int, issued_at: int, payments: Sequence[Movement], immaterial_cents: int
) -> _Course:
    """The same where nothing was credited and nothing came back, as on most invoices."""
    left = amount_cents
    paid_at: int | None = None
    for payment in sorted(payments):
        if left - payment.cents <= immaterial_cents < left:
            paid_at = max(payment.occurred_at, issued_at)
        left -= payment.cents
    return _Course(_Totals(paid=amount_cents - left), left, 0, paid_at)


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
