"""What a case shows of its order: as it stands in the ledger now, and where its parcel goes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from data_contracts.amended_orders import ordered_cents, since_decided
from data_contracts.order_events import ORDER_EVENTS
from data_contracts.orders import ORDERS
from features.order_links import delivery_key
from features.supersession import latest_of

_ADDRESS_PARTS = ("street", "house_number", "postal_code", "city", "country")

Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Address:
    """A place as lines of text. name: of the recipient, None for a residence."""

    name: str | None
    lines: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class OrderFacts:
    """The order as it stands in the ledger now.

    delivery: where the parcel goes now. first_delivery: where it was to go at checkout, None where that is
        the same. billing: None where it is the same as at checkout.
    carrier, tracking_number: of the newest shipment, None where none is recorded.
    merchant_order_number: the merchant's own, None where it has none.
    """

    ordered_at_ms: int
    amount_cents: int
    currency: str
    kind: str
    item_category: str
    delivery: Address
    first_delivery: Address | None
    billing: Address | None
    carrier: str | None
    tracking_number: str | None
    merchant_order_number: str | None


def order_facts(versions: Sequence[Row], events: Sequence[Row]) -> OrderFacts | None:
    """The order by its rows and those of its events that are visible now; None without a row."""
    row = latest_of(ORDERS, versions)
    if row is None:
        return None
    first = address_of(row, "delivery")
    moves = [event for event in since_decided(row, events) if delivery_key(event, "new_delivery") is not None]
    delivery = first
    move = latest_of(ORDER_EVENTS, moves)
    if move is not None:
        moved = address_of(move, "new_delivery")
        # An event that changes the place may leave the recipient as it was.
        delivery = moved if moved.name is not None else replace(moved, name=first.name)
    billing = address_of(row, "billing")
    shipments = [event for event in events if event.get("carrier") or event.get("tracking_number")]
    shipment = latest_of(ORDER_EVENTS, shipments) or {}
    return OrderFacts(
        ordered_at_ms=row["occurred_at"],
        amount_cents=ordered_cents(row, events),
        currency=row["currency"],
        kind=row["kind"],
        item_category=row["item_category"],
        delivery=delivery,
        first_delivery=None if first == delivery else first,
        billing=None if billing == first else billing,
        carrier=shipment.get("carrier"),
        tracking_number=shipment.get("tracking_number"),
        merchant_order_number=row.get("merchant_order_number"),
    )


def address_of(row: Row, prefix: str) -> Address:
    """The place whose columns begin with a prefix, such as `delivery`."""
    part = {name: row.get(f"{prefix}_{name}") for name in _ADDRESS_PARTS}
    lines = (
        " ".join(text for text in (part["street"], part["house_number"]) if text),
        " ".join(text for text in (part["postal_code"], part["city"]) if text),
        part["country"] or "",
    )
    return Address(name=row.get(f"{prefix}_name"), lines=tuple(line for line in lines if line))
