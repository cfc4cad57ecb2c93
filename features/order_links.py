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

from data_contracts.network_address import first_public_address
from data_contracts.text_form import in_one_form, says_nothing
from features.contact_keys import email_domain, mailbox_key, phone_key
from features.entities import EntityKind
from features.place_key import is_parcel_station, place_key

Keys = dict[EntityKind, str]
"""The key of each entity that an order has; one that is not known has no entry."""

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

PLACE_PARTS = ("street", "house_number", "postal_code", "country")
"""What a place is named by, after `delivery_`, and after `new_delivery_` in an event."""

LINK_COLUMNS = tuple(
    dict.fromkeys(
        (
            "order_id",
            "customer_id",
            *(column for columns, _ in PLAIN_KEYS.values() for column in columns),
            *(f"delivery_{part}" for part in PLACE_PARTS),
        )
    )
)
"""The columns of an order by which it names its entities."""

MOVE_COLUMNS = ("order_id", "kind", *(f"new_delivery_{part}" for part in PLACE_PARTS))
"""The columns of an order event by which it names a new place."""


def shared_place(address: str | None) -> str | None:
    """The place where it can tell of whoever else has parcels sent to it; a parcel station tells nothing."""
    return None if address is None or address.startswith(_PARCEL_STATION) else address
