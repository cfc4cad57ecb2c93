"""Payments of invoices, whole or in part."""

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

INVOICE_PAYMENTS = Contract(
    name="invoice_payments",
    description=(
        "One payment towards an invoice. A payment that was booked by mistake is corrected to an amount of 0."
    ),
    occurred_at_description="value date of the payment: when the customer paid",
    key=("event_id",),
    unique="bank_reference",
    unique_in_one_form=True,
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
        bank_reference(
            "the bank's reference of the transfer: a transfer that comes again under another event_id is "
            "`repeated` and counts once; the parts of one transfer that pays several invoices are numbered: "
            "`REF/1`, `REF/2`",
            missing_means="the bank gave none, or it was no transfer: known by its event_id alone",
        ),
    ),
)
