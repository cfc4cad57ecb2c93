"""Where an invoice is in its life, in one word: derived from its state, here and nowhere else."""

import enum

from features.invoice_state import InvoiceState


class InvoicePhase(enum.Enum):
    """The closed list of words for an invoice at one moment."""

    ISSUED = "issued"
    """Its due date, moved by the pauses that ended, has not passed, and nothing was paid."""
    PARTLY_PAID = "partly_paid"
    """The same, and a part of it was paid."""
    DUE = "due"
    """Past the due date and within the grace; or past it for ever, where too little is left to be owed."""
    OVERDUE = "overdue"
    """Something is owed past the due date and the grace."""
    PAUSED = "paused"
    """A return is under way or a dispute is open, and the invoice is not paid."""
    PAID = "paid"
    """By the customer's money; what is left is immaterial."""
    OVERPAID = "overpaid"
    """More money came in than it comes to, by whatever reason, and was neither paid back nor moved."""
    CREDITED = "credited"
    """Credit notes left too little to be owed, and none of the customer's money was kept for it."""
    CANCELLED = "cancelled"
    """Credited as a whole."""
    CHARGED_BACK = "charged_back"
    """One of the last two, by a chargeback or with one."""


IS_DEMANDED = frozenset(
    {InvoicePhase.ISSUED, InvoicePhase.PARTLY_PAID, InvoicePhase.DUE, InvoicePhase.OVERDUE}
)
"""The phases in which the customer is asked to pay."""


def phase_of(state: InvoiceState, as_of_ms: int) -> InvoicePhase:
    """The word for an invoice in a state, at an instant in ms.

    Of an invoice of 100.00, due at 30 with a grace of 3 days:

    >>> from data_contracts.instants import DAY_MS
    >>> from features.instants import NEVER
    >>> from features.invoice_state import Movement, MovementKind, invoice_state
    >>> from features.settlement_terms import SettlementTerms
    >>> def phase(day, *movements, pauses=(), charged_back_cents=0):
    ...     kept = [Movement(at * DAY_MS, kind, cents) for at, kind, cents in movements]
    ...     state = invoice_state(issued_at=0, due_at=30 * DAY_MS, amount_cents=10_000, movements=kept,
    ...         pauses=[(a * DAY_MS, b if b == NEVER else b * DAY_MS) for a, b in pauses],
    ...         terms=SettlementTerms(), charged_back_cents=charged_back_cents)
    ...     return phase_of(state, day * DAY_MS).value
    >>> paid, note, refund = MovementKind.PAYMENT, MovementKind.CREDIT_NOTE, MovementKind.CREDITED_REFUND
    >>> back, sent_back = MovementKind.RETURNED_DEBIT, MovementKind.MONEY_BACK
    >>> phase(30), phase(31), phase(33), phase(34)
    ('issued', 'due', 'due', 'overdue')
    >>> phase(20, (10, paid, 4_000)), phase(40, (10, paid, 4_000))
    ('partly_paid', 'overdue')
    >>> phase(20, (10, paid, 9_500)), phase(20, (10, paid, 10_001)), phase(40, (35, paid, 10_000))
    ('paid', 'overpaid', 'paid')
    >>> phase(20, (10, paid, 10_001), (11, sent_back, 1)), phase(40, (10, paid, 10_000), (20, back, 10_000))
    ('paid', 'overdue')
    >>> phase(20, pauses=[(10, NEVER)]), phase(39, pauses=[(10, 20)]), phase(45, pauses=[(10, 20)])
    ('paused', 'issued', 'overdue')
    >>> phase(20, (10, paid, 10_000), pauses=[(5, NEVER)]), phase(50, pauses=[(40, NEVER)])
    ('paid', 'paused')
    >>> phase(20, (10, note, 10_000)), phase(20, (10, note, 9_600)), phase(20, (10, note, 5_000))
    ('cancelled', 'credited', 'issued')
    >>> phase(20, (9, paid, 10_000), (10, note, 10_000)), phase(20, (9, paid, 10_000), (10, refund, 10_000))
    ('overpaid', 'cancelled')
    >>> phase(20, (10, note, 10_000), charged_back_cents=10_000)
    'charged_back'
    """
    if state.overpaid_cents:
        return InvoicePhase.OVERPAID
    if state.paid_at is not None or state.cancelled:
        if state.is_settled:
            return InvoicePhase.PAID
        if state.charged_back_cents:
            return InvoicePhase.CHARGED_BACK
        return InvoicePhase.CANCELLED if state.cancelled else InvoicePhase.CREDITED
    if state.paused:
        return InvoicePhase.PAUSED
    # Here begins what integrators will be told as `invoice.overdue`; above, as `invoice.paused`.
    if state.is_overdue(as_of_ms):
        return InvoicePhase.OVERDUE
    if state.due_at < as_of_ms:
        return InvoicePhase.DUE
    return InvoicePhase.PARTLY_PAID if state.received_cents else InvoicePhase.ISSUED
