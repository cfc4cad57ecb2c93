"""What an order shares with other orders, and what it says about itself: pure functions of one row.

Two orders are linked when they have an entity in common: the customer, the device, the place where the
parcel goes, the e-mail domain, the network, the merchant.
"""

import ipaddress
from collections.abc import Mapping
from typing import Any

from features.declarations import EntityKind
from features.instants import DAY_MS, HOUR_MS

Keys = dict[EntityKind, str]
"""The key of each entity that an order has; one that is not known has no entry."""

NIGHT_ENDS_HOUR_UTC = 5
RESELLABLE_CATEGORIES = frozenset(
    {"computers_phones", "gift_cards", "jewellery", "media_software", "tickets_travel"}
)
_SEPARATOR = "\x1f"
_OCTETS = frozenset(str(octet) for octet in range(256))


def address_key(
    street: str | None, house_number: str | None, postal_code: str | None, country: str | None
) -> str | None:
    """One key for one place, however it is written; None where street or postal code are missing.

    >>> written = address_key("Haupt-Straße", "12 A", "10115", "DE")
    >>> written == address_key("hauptstrasse", "12a", "10115", "DE")
    True
    """
    if not street or not postal_code:
        return None
    place = "".join(filter(str.isalnum, f"{street}{house_number or ''}".casefold()))
    return f"{country or ''}{_SEPARATOR}{postal_code.replace(' ', '')}{_SEPARATOR}{place}"


def ip_prefix(address: str | None) -> str | None:
    """The network of an address: the first 24 bits of IPv4, 48 of IPv6; None where it is no address.

    >>> ip_prefix("100.64.7.9"), ip_prefix("2001:db8:1:2::7"), ip_prefix("nonsense")
    ('100.64.7.0/24', '2001:db8:1::/48', None)
    >>> ip_prefix("::ffff:100.64.7.9")
    '100.64.7.0/24'
    """
    if not address:
        return None
    parts = address.split(".")
    if len(parts) == 4 and all(part in _OCTETS for part in parts):
        return f"{parts[0]}.{parts[1]}.{parts[2]}.0/24"
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    if parsed.version == 4:
        return None
    if parsed.ipv4_mapped is not None:
        return ip_prefix(str(parsed.ipv4_mapped))
    return str(ipaddress.ip_network((parsed, 48), strict=False))


def delivery_key(row: Mapping[str, Any], prefix: str = "delivery") -> str | None:
    """The place that an order's parcel goes to; of an event, the new place."""
    return address_key(
        row.get(f"{prefix}_street"),
        row.get(f"{prefix}_house_number"),
        row.get(f"{prefix}_postal_code"),
        row.get(f"{prefix}_country"),
    )


def order_keys(row: Mapping[str, Any], address: str | None = None) -> Keys:
    """The entities of an order.

    row: of the orders contract. address: the place where the parcel goes, where that was changed since.
    """
    customer = row["customer_id"]
    device = row.get("device_id")
    address = address or delivery_key(row)
    known = {
        EntityKind.ORDER: row["order_id"],
        EntityKind.CUSTOMER: customer,
        EntityKind.MERCHANT: row["merchant_id"],
        EntityKind.DEVICE: device,
        EntityKind.DELIVERY_ADDRESS: address,
        EntityKind.EMAIL_DOMAIN: row["contact_email"].rpartition("@")[2].casefold(),
        EntityKind.IP_PREFIX: ip_prefix(row.get("ip_address")),
        EntityKind.CUSTOMER_DEVICE: None if device is None else f"{customer}{_SEPARATOR}{device}",
        EntityKind.CUSTOMER_ADDRESS: None if address is None else f"{customer}{_SEPARATOR}{address}",
    }
    return {kind: key for kind, key in known.items() if key}


def address_keys(customer_id: str, address: str) -> Keys:
    """The entities that a change of the delivery address adds to an order."""
    return {
        EntityKind.DELIVERY_ADDRESS: address,
        EntityKind.CUSTOMER_ADDRESS: f"{customer_id}{_SEPARATOR}{address}",
    }


def hour_utc(instant_ms: int) -> int:
    """The hour of the day in UTC, 0 to 23."""
    return instant_ms % DAY_MS // HOUR_MS


def shared_attributes(row: Mapping[str, Any]) -> tuple[int, int, int]:
    """What an order adds to its entities: amount in cents, ordered at night, sells again easily."""
    return (
        row["amount_cents"],
        int(hour_utc(row["occurred_at"]) < NIGHT_ENDS_HOUR_UTC),
        int(row["item_category"] in RESELLABLE_CATEGORIES),
    )


def own_attributes(row: Mapping[str, Any]) -> tuple[int, ...]:
    """An order's own columns of the fact THIS_ORDER, as at checkout, after seen_from and seen_until."""
    amount_cents, night, resellable = shared_attributes(row)
    category = row["item_category"]
    return (
        amount_cents,
        hour_utc(row["occurred_at"]),
        night,
        resellable,
        int(row["kind"] == "service"),
        int(category == "computers_phones"),
        int(category == "gift_cards"),
        int(category == "jewellery"),
        int(category == "media_software"),
        int(delivery_key(row) != delivery_key(row, "billing")),
        int(row["delivery_name"].casefold() != row["billing_name"].casefold()),
        int(row.get("device_id") is None),
        int(row.get("contact_phone") is None),
    )


def change_attributes(row: Mapping[str, Any]) -> tuple[int, int, int] | None:
    """What an order event says about risk: address changed, redirected, booked; None for any other."""
    kind = row["kind"]
    if kind not in {"address_changed", "delivery_redirected", "shipment_booked"}:
        return None
    return int(kind == "address_changed"), int(kind == "delivery_redirected"), int(kind == "shipment_booked")
