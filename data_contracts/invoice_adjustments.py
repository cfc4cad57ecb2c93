"""Credit notes, which lower what is owed, and refunds, which pay money back."""

from data_contracts.contract import (
    Column,
    ColumnType,
    Contract,
    amount_cents,
    bank_reference,
    currency,
    customer_reference,
)
from data_contracts.invoices import invoice_reference

REASON_RETURNED_DEBIT = "returned_debit"
REASON_CHARGEBACK = "chargeback"
REASONS_OWED_ANEW = ("overpayment", REASON_RETURNED_DEBIT)
"""A refund for one of these raises what is owed by its amount; for any other, less is owed by as much."""

INVOICE_ADJUSTMENTS = Contract(
    name="invoice_adjustments",
    description=(
        "A credit note lowers what is owed on an invoice; a refund pays money back to the customer. A refund "
        "for a return, a dispute, a chargeback, a fraud or out of goodwill brings its own credit where no "
        "credit note did: it leaves nothing owed on a paid invoice. A debit that the bank took back "
        "(returned_debit) and an over-payment that is paid back (overpayment) bring none: after a returned "
        "debit the invoice is unpaid again."
    ),
    occurred_at_description="when the credit note was issued or the money left",
    key=("event_id",),
    unique="bank_reference",
    unique_in_one_form=True,
    own_columns=(
        invoice_reference(),
        customer_reference(),
        Column(
            name="kind",
            type=ColumnType.STRING,
            description="what was adjusted",
            allowed=("credit_note", "refund"),
        ),
        Column(
            name="reason",
            type=ColumnType.STRING,
            description="why",
            allowed=(
                REASON_CHARGEBACK,
                "dispute",
                "fraud",
                "goodwill",
                "overpayment",
                "return",
                "returned_debit",
            ),
        ),
        amount_cents("amount_cents", "amount of the adjustment"),
        currency(),
        bank_reference(
            "the bank's reference of the returned debit or of the money sent back: one that comes again "
            "under another event_id is `repeated` and counts once; a returned debit may have the reference "
            "of its payment",
            missing_means="the bank gave none, or no money moved: known by its event_id alone",
        ),
    ),
)
