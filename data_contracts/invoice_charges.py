"""Notices, reminders, late fees and hand-overs to collection."""

from data_contracts.contract import Column, ColumnType, Contract, amount_cents, currency, customer_reference
from data_contracts.invoices import invoice_reference

DUE_NOTICE = "due_notice"
"""The kind of a friendly notice before the due date: no reminder, and without a fee."""
REMINDER = "reminder"
COLLECTION_NOTICE = "collection_notice"
FEE_CENTS_MAXIMUM = 10_000_000
"""A hundred thousand major units, of whatever currency: beyond it, a fee is a mistake of scale."""

INVOICE_CHARGES = Contract(
    name="invoice_charges",
    description=(
        "A notice or reminder that was sent, with its fee (which may be 0). Fees are owed beside the "
        "invoice: they neither use up the credit limit nor decide whether the invoice is paid."
    ),
    occurred_at_description="when the reminder was sent or the fee was charged",
    key=("event_id",),
    own_columns=(
        invoice_reference(),
        customer_reference(),
        Column(
            name="kind",
            type=ColumnType.STRING,
            description="what was sent or charged",
            allowed=(COLLECTION_NOTICE, DUE_NOTICE, "late_fee", REMINDER),
        ),
        Column(
            name="level",
            type=ColumnType.INT64,
            description="how many of its kind this makes for the invoice",
            unit="count",
            minimum=1,
            maximum=9,
        ),
        amount_cents("amount_cents", "the fee; 0 for a free reminder", maximum=FEE_CENTS_MAXIMUM),
        currency(),
    ),
)
