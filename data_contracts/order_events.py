"""What happened to an order after checkout: shipped, delivered, redirected, cancelled."""

from data_contracts.contract import (
    AMOUNT_CENTS_MAXIMUM,
    COUNTRY_PATTERN,
    Column,
    ColumnType,
    Contract,
    Reference,
    RequiredWhen,
    customer_reference,
    identifier,
)

AMENDED = "amended"
"""The kind of an event that changed what was ordered, or where it goes."""


def order_reference() -> Column:
    """The order that an event or outcome belongs to."""
    return identifier("order_id", "the order", reference=Reference(contract="orders", column="order_id"))


def _new_address_part(name: str, description: str, max_length: int = 200) -> Column:
    return Column(
        name=f"new_delivery_{name}",
        type=ColumnType.STRING,
        description=f"{description} after a change of the delivery address",
        nullable=True,
        missing_means="the event does not change it",
        max_length=max_length,
        personal=True,
        free_blanks=True,
    )


_NEW_ADDRESS = (
    _new_address_part("name", "recipient"),
    _new_address_part("street", "street"),
    _new_address_part("house_number", "house number", 20),
    _new_address_part("postal_code", "postal code", 12),
    _new_address_part("city", "city"),
    Column(
        name="new_delivery_country",
        type=ColumnType.STRING,
        description="country after a change of the delivery address, ISO 3166-1 alpha-2",
        nullable=True,
        missing_means="the event does not change it",
        pattern=COUNTRY_PATTERN,
        max_length=2,
    ),
)

ORDER_EVENTS = Contract(
    name="order_events",
    description="One event in the life of an order after checkout.",
    occurred_at_description="when it happened",
    key=("event_id",),
    # The parcel of an order goes to one place at a time.
    state_of=("order_id",),
    state_columns=tuple(column.name for column in _NEW_ADDRESS),
    own_columns=(
        order_reference(),
        customer_reference(),
        Column(
            name="kind",
            type=ColumnType.STRING,
            description="what happened",
            allowed=(
                "address_changed",
                AMENDED,
                "cancelled",
                "confirmed",
                "delivered",
                "delivery_redirected",
                "extended",
                "released",
                "returned",
                "shipment_booked",
                "shipped",
            ),
        ),
        Column(
            name="carrier",
            type=ColumnType.STRING,
            description="carrier of the parcel",
            nullable=True,
            missing_means="not shipped by a carrier",
            max_length=60,
        ),
        Column(
            name="tracking_number",
            type=ColumnType.STRING,
            description="tracking number of the parcel",
            nullable=True,
            missing_means="shipped without one, or no shipment",
            max_length=60,
        ),
        *_NEW_ADDRESS,
        Column(
            name="new_amount_cents",
            type=ColumnType.INT64,
            description="what the whole order comes to after an amendment, including VAT",
            unit="minor units of the order's `currency`",
            nullable=True,
            missing_means="the event does not change it",
            minimum=1,
            maximum=AMOUNT_CENTS_MAXIMUM,
        ),
    ),
    own_row_rules=(RequiredWhen(column="new_amount_cents", when_column="kind", equals=AMENDED),),
)
