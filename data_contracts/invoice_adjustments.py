"""Credit notes, which lower what is owed, and refunds, which pay money back."""

from data_contracts.contract import Column, ColumnType, Contract, amount_cents, currency, customer_reference
from data_contracts.invoices import invoice_reference

INVOICE_ADJUSTMENTS = Contract(
    name="invoice_adjustments",
    description=(
        "A credit note lowers what is owed on an invoice; a refund pays money back to the customer. "
        "Outstanding = invoice - credit notes - payments + refunds."
    ),
    occurred_at_description="when the credit note was issued or the money left",
    key=("event_id",),
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
            allowed=("chargeback", "dispute", "fraud", "goodwill", "overpayment", "return"),
        ),
        amount_cents("amount_cents", "amount of the adjustment"),
        currency(),
    ),
)
