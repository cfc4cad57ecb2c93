"""Over which invoices of an order a credit is spread, and what of it is money that goes back. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from serving.domain.errors import CreditAboveInvoiced


@dataclass(frozen=True, kw_only=True, order=True)
class CreditableInvoice:
    """One invoice as far as a credit is concerned, in minor units; ordered by age.

    creditable_cents: what was invoiced less all that was credited. unpaid_cents: what of that is not paid.
    uncovered_cents: what refunds gave back that brought their own credit, without a credit note.
    """

    issued_at_ms: int
    invoice_id: str
    creditable_cents: int
    unpaid_cents: int
    uncovered_cents: int = 0


@dataclass(frozen=True, kw_only=True)
class CreditPart:
    """What one invoice is credited, in minor units.

    note_cents: of the credit note. refund_cents: of the money that goes back, 0 where nothing of it was paid.
    """

    invoice_id: str
    credited_cents: int
    note_cents: int
    refund_cents: int


def spread_credit(invoices: Iterable[CreditableInvoice], credit_cents: int) -> tuple[CreditPart, ...]:
    """The parts of a credit, the oldest invoice first.

    Less is owed before money goes back: first the unpaid parts of all invoices, the oldest first; then the
    paid ones, which are refunded. The credit note is over all of a part and the refund over the paid rest, so
    that the credit notes say what was credited. note_cents has an earlier refund on top that came without a
    credit note: on an invoice that is paid up, two things that were given back would else count as one.
    Raises CreditAboveInvoiced.

    >>> paid = CreditableInvoice(issued_at_ms=1, invoice_id="a", creditable_cents=100, unpaid_cents=0)
    >>> open_ = CreditableInvoice(issued_at_ms=2, invoice_id="b", creditable_cents=50, unpaid_cents=50)
    >>> [(part.invoice_id, part.note_cents, part.refund_cents) for part in spread_credit([open_, paid], 70)]
    [('a', 20, 20), ('b', 50, 0)]
    """
    by_age = sorted(invoices)
    creditable_cents = sum(invoice.creditable_cents for invoice in by_age)
    if credit_cents > creditable_cents:
        raise CreditAboveInvoiced(
            f"{credit_cents} would be credited; {creditable_cents} are invoiced, earlier credits taken off"
        )
    left_cents = credit_cents
    unpaid: dict[str, int] = {}
    paid: dict[str, int] = {}
    for invoice in by_age:
        unpaid[invoice.invoice_id] = min(invoice.unpaid_cents, invoice.creditable_cents, left_cents)
        left_cents -= unpaid[invoice.invoice_id]
    for invoice in by_age:
        paid[invoice.invoice_id] = min(invoice.creditable_cents - unpaid[invoice.invoice_id], left_cents)
        left_cents -= paid[invoice.invoice_id]
    parts = []
    for invoice in by_age:
        credited_cents = unpaid[invoice.invoice_id] + paid[invoice.invoice_id]
        if credited_cents:
            parts.append(
                CreditPart(
                    invoice_id=invoice.invoice_id,
                    credited_cents=credited_cents,
                    note_cents=credited_cents + invoice.uncovered_cents,
                    refund_cents=paid[invoice.invoice_id],
                )
            )
    return tuple(parts)
