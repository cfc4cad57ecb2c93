"""Orders: what a customer wanted to pay by invoice, where it goes and from which device."""

from data_contracts.contract import (
    IDENTIFIER_PATTERN,
    Column,
    ColumnType,
    Contract,
    NotAbove,
    Reference,
    amount_cents,
    country,
    currency,
    customer_reference,
    identifier,
)
from data_contracts.network_address import NETWORK_ADDRESSES_PATTERN


def _address(prefix: str, what: str) -> tuple[Column, ...]:
    return (
        Column(
            name=f"{prefix}_name", type=ColumnType.STRING, description=f"name of the {what}", personal=True
        ),
        Column(
            name=f"{prefix}_street",
            type=ColumnType.STRING,
            description=f"street of the {what}",
            personal=True,
        ),
        Column(
            name=f"{prefix}_house_number",
            type=ColumnType.STRING,
            description=f"house number of the {what}",
            nullable=True,
            missing_means="not given; invoice is then refused",
            max_length=20,
            personal=True,
        ),
        Column(
            name=f"{prefix}_postal_code",
            type=ColumnType.STRING,
            description=f"postal code of the {what}",
            max_length=12,
            personal=True,
        ),
        Column(
            name=f"{prefix}_city", type=ColumnType.STRING, description=f"city of the {what}", personal=True
        ),
        country(f"{prefix}_country", f"country of the {what}, ISO 3166-1 alpha-2"),
    )


ORDERS = Contract(
    name="orders",
    description="One order that was to be paid by invoice, as it was at checkout.",
    occurred_at_description="when the customer ordered",
    key=("order_id",),
    unique="merchant_order_number",
    unique_within="merchant_id",
    own_columns=(
        identifier("order_id", "the order"),
        customer_reference(),
        identifier(
            "merchant_id",
            "the merchant that sells",
            reference=Reference(contract="merchants", column="merchant_id"),
        ),
        Column(
            name="merchant_order_number",
            type=ColumnType.STRING,
            description="the merchant's own number of the order: no other order of the merchant has it",
            nullable=True,
            missing_means="the merchant's own number is the order_id, or not known",
            pattern=IDENTIFIER_PATTERN,
            max_length=64,
        ),
        amount_cents("amount_cents", "order total including VAT", minimum=1),
        amount_cents("vat_cents", "VAT contained in `amount_cents`"),
        currency(),
        Column(
            name="kind",
            type=ColumnType.STRING,
            description="what is sold",
            allowed=("goods", "service"),
        ),
        Column(
            name="item_category",
            type=ColumnType.STRING,
            description="category of the most valuable item",
            allowed=(
                "clothing",
                "computers_phones",
                "cosmetics",
                "food",
                "furniture",
                "gift_cards",
                "household",
                "jewellery",
                "media_software",
                "other",
                "tickets_travel",
                "toys_sports",
            ),
        ),
        *_address("delivery", "recipient"),
        *_address("billing", "person who pays"),
        Column(
            name="contact_email",
            type=ColumnType.STRING,
            description="e-mail address given with the order",
            personal=True,
        ),
        Column(
            name="contact_phone",
            type=ColumnType.STRING,
            description="telephone number given with the order",
            nullable=True,
            missing_means="not given",
            max_length=40,
            personal=True,
        ),
        Column(
            name="device_id",
            type=ColumnType.STRING,
            description="pseudonymous id of the device",
            nullable=True,
            missing_means="the checkout does not identify devices",
            max_length=64,
            personal=True,
        ),
        Column(
            name="ip_address",
            type=ColumnType.STRING,
            description="IP address of the device, or the list of those that forwarded the order",
            nullable=True,
            missing_means="not passed on",
            pattern=NETWORK_ADDRESSES_PATTERN,
            pattern_in_words="an IP address, one with its port, or a list of them",
            personal=True,
        ),
    ),
    own_row_rules=(NotAbove(smaller="vat_cents", larger="amount_cents"),),
)
