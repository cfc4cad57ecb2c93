"""What the customer of a dispute gets back of its order's invoices, to the cent. Amounts in minor units."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class InvoiceBalance:
    """One invoice of a disputed order, as the ledger has it.

    net_cents: the invoice less what was credited. outstanding_cents: of it, what is not paid.
    overpaid_cents: money of the customer above the invoice less credits, which is theirs in any case.
    """

    invoice_id: str
    net_cents: int
    outstanding_cents: int
    overpaid_cents: int = 0

    @property
    def paid_cents(self) -> int:
        """Of the net amount, what was paid."""
        return self.net_cents - self.outstanding_cents


@dataclass(frozen=True, kw_only=True)
class Relief:
    """What is taken off one invoice. counts: what less is owed in all, never more than the net amount."""

    invoice_id: str
    credit_note_cents: int
    refund_cents: int
    counts_cents: int


def disputable_cents(invoices: Sequence[InvoiceBalance]) -> int:
    """What the invoices of an order come to, what was credited taken off."""
    return sum(invoice.net_cents for invoice in invoices)


def relief_of(invoices: Sequence[InvoiceBalance], wanted_cents: int | None) -> tuple[Relief, ...]:
    """What to take off each invoice so that so much less is owed in all; at most all that is invoiced.

    What is unpaid is credited first, the oldest invoice's before the others'; what was paid is paid back. On
    an over-paid invoice a refund would be taken out of the over-payment, so a credit note goes with it.

    invoices: the oldest first. wanted_cents: None for all of them.

    Of 100.00, of which 60.00 are paid, 70.00 were disputed: 40.00 are credited and 30.00 paid back.

    >>> invoice = InvoiceBalance(invoice_id="i1", net_cents=10_000, outstanding_cents=4_000)
    >>> relief_of([invoice], 7_000)
    (Relief(invoice_id='i1', credit_note_cents=4000, refund_cents=3000, counts_cents=7000),)
    >>> relief_of([invoice], 0)
    ()
    """
    left_cents = disputable_cents(invoices)
    if wanted_cents is not None:
        left_cents = min(left_cents, wanted_cents)
    credited: dict[str, int] = {}
    for invoice in invoices:
        credited[invoice.invoice_id] = min(left_cents, invoice.outstanding_cents)
        left_cents -= credited[invoice.invoice_id]
    reliefs = []
    for invoice in invoices:
        refund_cents = min(left_cents, invoice.paid_cents)
        left_cents -= refund_cents
        unpaid_cents = credited[invoice.invoice_id]
        if unpaid_cents + refund_cents:
            reliefs.append(
                Relief(
                    invoice_id=invoice.invoice_id,
                    credit_note_cents=unpaid_cents + (refund_cents if invoice.overpaid_cents else 0),
                    refund_cents=refund_cents,
                    counts_cents=unpaid_cents + refund_cents,
                )
            )
    return tuple(reliefs)
