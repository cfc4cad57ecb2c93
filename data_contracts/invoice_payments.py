"""Payments of invoices, whole or in part."""

from data_contracts.contract import Column, ColumnType, Contract, amount_cents, currency, customer_reference
from data_contracts.invoices import invoice_reference

INVOICE_PAYMENTS = Contract(
    name="invoice_payments",
    description=(
        "One payment towards an invoice. A payment that was booked by mistake is corrected to an amount of 0."
    ),
    occurred_at_description="value date of the payment: when the customer paid",
    key=("event_id",),
    own_columns=(
        invoice_reference(),
        customer_reference(),
        amount_cents("amount_cents", "amount paid"),
        currency(),
        Column(
            name="method",
            type=ColumnType.STRING,
            description="how it was paid",
            allowed=("bank_transfer", "card", "cash", "collection_agency", "direct_debit", "wallet"),
        ),
    ),
)
