"""Pauses of an invoice: a return under way, an open dispute, an order that the merchant had stopped."""

from data_contracts.contract import (
    Column,
    ColumnType,
    Contract,
    NotBefore,
    customer_reference,
    identifier,
)
from data_contracts.invoices import invoice_reference

DISPUTE = "dispute"
"""The reason of a pause for an open dispute."""
ORDER_STOPPED = "order_stopped"
"""The reason of a pause for an invoice that came after the merchant had said that it stopped the order."""
RETURN = "return"
"""The reason of a pause for goods on their way back."""

INVOICE_PAUSES = Contract(
    name="invoice_pauses",
    description=(
        "The state of a pause: begun, later ended by a second row with the same pause_id. Paused time is "
        "not late and moves the due date."
    ),
    occurred_at_description="when this state of the pause began: its start or its end",
    key=("pause_id",),
    rows_are_states=True,
    own_columns=(
        identifier("pause_id", "the pause"),
        invoice_reference(),
        customer_reference(),
        Column(
            name="reason",
            type=ColumnType.STRING,
            description="why the invoice is paused",
            allowed=(DISPUTE, ORDER_STOPPED, RETURN),
        ),
        Column(
            name="started_at",
            type=ColumnType.TIMESTAMP,
            description="when the pause began",
            unit="UTC, milliseconds",
            past=True,
        ),
        Column(
            name="ended_at",
            type=ColumnType.TIMESTAMP,
            description="when the pause ended",
            unit="UTC, milliseconds",
            past=True,
            nullable=True,
            missing_means="the pause lasts",
        ),
        Column(
            name="carrier",
            type=ColumnType.STRING,
            description="carrier of the return parcel",
            nullable=True,
            missing_means="a dispute, or the carrier is unknown",
            max_length=60,
        ),
        Column(
            name="tracking_number",
            type=ColumnType.STRING,
            description="tracking number of the return parcel: the proof of the return",
            nullable=True,
            missing_means="a dispute, or a return without proof",
            max_length=60,
        ),
    ),
    own_row_rules=(
        NotBefore(later="ended_at", earlier="started_at"),
        NotBefore(later="occurred_at", earlier="started_at"),
        NotBefore(later="occurred_at", earlier="ended_at", moves=False),
    ),
)
