"""What an order shares with other orders, and what it says about itself: pure functions of one row.

Two orders are linked when they have an entity in common: the customer, the device, the place where the
parcel goes, the mailbox, the telephone, the e-mail domain, the network, the merchant. Every entity is named
by its one form. A value that says nothing, such as the device `unknown`, names none.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from data_contracts.instants import DAY_MS, HOUR_MS
from data_contracts.network_address import first_public_address
from data_contracts.text_form import in_one_form, plain_letters, says_nothing
from features.contact_keys import email_domain, mailbox_key, phone_key
from features.declarations import EntityKind
from features.place_key import is_parcel_station, place_key

Keys = dict[EntityKind, str]
"""The key of each entity that an order has; one that is not known has no entry."""

NIGHT_ENDS_HOUR_UTC = 5
RESELLABLE_CATEGORIES = frozenset(
    {"computers_phones", "gift_cards", "jewellery", "media_software", "tickets_travel"}
)
_SEPARATOR = "\x1f"
_HEXADECIMAL = re.compile(r"[0-9A-Fa-f-]{16,}")


_PARCEL_STATION = "\x1e"
"""Before the key of a place where everybody has parcels sent."""


@lru_cache(maxsize=65536)
def ip_prefix(address: str | None) -> str | None:
    """The network of an address: the first 24 bits of IPv4, 48 of IPv6; None where it has no public one.

    >>> ip_prefix("100.64.7.9"), ip_prefix("2001:db8:1:2::7"), ip_prefix("nonsense")
    ('100.64.7.0/24', '2001:db8:1::/48', None)
    >>> ip_prefix("::ffff:100.64.7.9"), ip_prefix("1.2.3.4:8080, 10.0.0.1"), ip_prefix("192.168.0.1")
    ('100.64.7.0/24', '1.2.3.0/24', None)
    """
    public = first_public_address(address)
    if public is None:
        return None
    if public.version == 4:
        return f"{str(public).rpartition('.')[0]}.0/24"
    return str(ipaddress.ip_network((public, 48), strict=False))


@lru_cache(maxsize=65536)
def device_key(device_id: str | None) -> str | None:
    """One key for one device; None where the id says nothing.

    >>> device_key("unknown"), device_key("00000000-0000-0000-0000-000000000000"), device_key(" dev-1 ")
    (None, None, 'dev-1')
    """
    if device_id is None or says_nothing(device_id):
        return None
    form = in_one_form(device_id)
    return form.lower() if _HEXADECIMAL.fullmatch(form) else form


def delivery_key(row: Mapping[str, Any], prefix: str = "delivery") -> str | None:
    """The place that an order's parcel goes to; of an event, the new place."""
    street = row.get(f"{prefix}_street")
    key = place_key(
        street,
        row.get(f"{prefix}_house_number"),
        row.get(f"{prefix}_postal_code"),
        row.get(f"{prefix}_country"),
    )
    return f"{_PARCEL_STATION}{key}" if key is not None and is_parcel_station(street) else key


def order_keys(row: Mapping[str, Any], address: str | None = None) -> Keys:
    """The entities of an order.

    row: of the orders contract. address: the place where the parcel goes, where that was changed since.
    """
    customer = row["customer_id"]
    device = device_key(row.get("device_id"))
    address = address or delivery_key(row)
    known = {
        EntityKind.ORDER: row["order_id"],
        EntityKind.CUSTOMER: customer,
        EntityKind.MERCHANT: row["merchant_id"],
        EntityKind.DEVICE: device,
        EntityKind.DELIVERY_ADDRESS: shared_place(address),
        EntityKind.MAILBOX: mailbox_key(row["contact_email"]),
        EntityKind.PHONE: _phone_key_of(row),
        EntityKind.EMAIL_DOMAIN: email_domain(row["contact_email"]),
        EntityKind.IP_PREFIX: ip_prefix(row.get("ip_address")),
        EntityKind.CUSTOMER_DEVICE: None if device is None else f"{customer}{_SEPARATOR}{device}",
        EntityKind.CUSTOMER_ADDRESS: None if address is None else f"{customer}{_SEPARATOR}{address}",
    }
    return {kind: key for kind, key in known.items() if key}


def address_keys(customer_id: str, address: str) -> Keys:
    """The entities that a change of the delivery address adds to an order."""
    shared = shared_place(address)
    own = {EntityKind.CUSTOMER_ADDRESS: f"{customer_id}{_SEPARATOR}{address}"}
    return own if shared is None else {EntityKind.DELIVERY_ADDRESS: shared, **own}


def _phone_key_of(row: Mapping[str, Any]) -> str | None:
    phone = row.get("contact_phone")
    return phone_key(phone, row.get("billing_country")) or phone_key(phone, row.get("delivery_country"))


PLAIN_KEYS: dict[EntityKind, tuple[tuple[str, ...], Callable[[Mapping[str, Any]], str | None]]] = {
    EntityKind.MERCHANT: (("merchant_id",), lambda row: row["merchant_id"]),
    EntityKind.DEVICE: (("device_id",), lambda row: device_key(row["device_id"])),
    EntityKind.MAILBOX: (("contact_email",), lambda row: mailbox_key(row["contact_email"])),
    EntityKind.PHONE: (("contact_phone", "billing_country", "delivery_country"), _phone_key_of),
    EntityKind.EMAIL_DOMAIN: (("contact_email",), lambda row: email_domain(row["contact_email"])),
    EntityKind.IP_PREFIX: (("ip_address",), lambda row: ip_prefix(row["ip_address"])),
}
"""The columns of an order that name an entity, and its key by them, as `order_keys` gives it.

Of entities that are neither the order, its customer nor a place.
"""


def shared_place(address: str | None) -> str | None:
    """The place where it can tell of whoever else has parcels sent to it; a parcel station tells nothing."""
    return None if address is None or address.startswith(_PARCEL_STATION) else address


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
        int(plain_letters(row["delivery_name"]) != plain_letters(row["billing_name"])),
        int(device_key(row.get("device_id")) is None),
        int(row.get("contact_phone") is None),
    )


def change_attributes(row: Mapping[str, Any]) -> tuple[int, int, int] | None:
    """What an order event says about risk: address changed, redirected, booked; None for any other."""
    kind = row["kind"]
    if kind not in {"address_changed", "delivery_redirected", "shipment_booked"}:
        return None
    return int(kind == "address_changed"), int(kind == "delivery_redirected"), int(kind == "shipment_booked")
