"""Invoices, issued when an order is fulfilled."""

from data_contracts.contract import (
    After,
    Column,
    ColumnType,
    Contract,
    Reference,
    amount_cents,
    currency,
    customer_reference,
    identifier,
)


def invoice_reference() -> Column:
    """The invoice that a payment, pause, charge or adjustment belongs to."""
    return identifier(
        "invoice_id", "the invoice", reference=Reference(contract="invoices", column="invoice_id")
    )


INVOICES = Contract(
    name="invoices",
    description="One invoice over an order or a part of it.",
    occurred_at_description="when the invoice was issued",
    key=("invoice_id",),
    own_columns=(
        identifier("invoice_id", "the invoice"),
        identifier(
            "order_id", "the order it bills", reference=Reference(contract="orders", column="order_id")
        ),
        customer_reference(),
        amount_cents("amount_cents", "amount to be paid", minimum=1),
        currency(),
        Column(
            name="due_at",
            type=ColumnType.TIMESTAMP,
            description=(
                "the instant at which the due date has ended at the customer's residence (local midnight "
                "after it): paid before it is on time"
            ),
            unit="UTC, milliseconds",
        ),
    ),
    own_row_rules=(After(later="due_at", earlier="occurred_at"),),
)
