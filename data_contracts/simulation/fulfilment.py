"""From checkout to the customer's door: confirmed, shipped, delivered, or cancelled before that."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_contracts.instants import DAY_MS, HOUR_MS, MINUTE_MS
from data_contracts.simulation.book_calendar import Instants
from data_contracts.simulation.merchants_book import Merchants
from data_contracts.simulation.orders_book import Orders, is_service, order_ids
from data_contracts.simulation.people import People, customer_ids
from data_contracts.simulation.recording_delay import within_hours, within_minutes
from data_contracts.simulation.text_columns import chosen, joined, numbered, text_where

Positions = NDArray[np.int64]
Flags = NDArray[np.bool_]

CARRIERS = ("DHL", "Hermes", "DPD", "GLS", "PostNord", "Schenker Privpak")
_CARRIER_WEIGHTS = (0.46, 0.18, 0.14, 0.10, 0.08, 0.04)

_CONFIRMED, _BOOKED, _SHIPPED, _DELIVERED, _CANCELLED, _RETURNED, _REDIRECTED = range(7)
_KINDS = (
    "confirmed", "shipment_booked", "shipped", "delivered", "cancelled", "returned", "delivery_redirected",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Fulfilment:
    """When each order passed each station; a service is confirmed, and delivered at once.

    issued: when the invoice is issued; meaningless where `cancelled`.
    """

    cancelled: Flags
    confirmed: Instants
    shipped: Instants
    issued: Instants
    delivered: Instants
    carrier: Positions

    def take(self, at: NDArray[Any]) -> "Fulfilment":
        """The orders at positions, or under a mask."""
        return Fulfilment(**{field.name: getattr(self, field.name)[at] for field in fields(self)})


def draw_fulfilment(random: np.random.Generator, *, orders: Orders, merchants: Merchants) -> Fulfilment:
    """Draw the stations of every order, none of them cancelled yet."""
    size = len(orders)
    service = is_service(orders, merchants)
    confirmed = orders.occurred + random.integers(5_000, 20 * MINUTE_MS, size)
    slow = merchants.ships_slowly[orders.merchant]
    wait = random.gamma(2.0, 0.7, size) * slow + 0.15
    shipped = confirmed + np.where(service, 0.0, np.minimum(wait, 12.0) * DAY_MS).astype(np.int64)
    issued = shipped + random.integers(MINUTE_MS, HOUR_MS, size)
    on_the_way = np.where(service, 0.0, (0.8 + random.gamma(2.0, 0.7, size)) * DAY_MS).astype(np.int64)
    return Fulfilment(
        cancelled=np.zeros(size, dtype=np.bool_),
        confirmed=confirmed,
        shipped=shipped,
        issued=issued,
        delivered=issued + on_the_way + MINUTE_MS,
        carrier=random.choice(len(CARRIERS), size, p=_CARRIER_WEIGHTS),
    )


def order_event_rows(
    random: np.random.Generator,
    *,
    orders: Orders,
    merchants: Merchants,
    people: People,
    fulfilment: Fulfilment,
    returned: Instants,
) -> dict[str, Any]:
    """The ledger columns of `order_events`.

    returned: when the parcel of each order came back to the merchant, -1 for never.
    """
    goes_on = ~fulfilment.cancelled
    parcel = goes_on & ~is_service(orders, merchants)
    booked = np.maximum(fulfilment.shipped - 5 * HOUR_MS, fulfilment.confirmed + MINUTE_MS)
    cancelled_at = fulfilment.confirmed + (random.random(len(orders)) * 0.9 * DAY_MS).astype(np.int64)
    # Parcels are redirected by neighbours on holiday as well as by thieves.
    redirect_rate = np.where(orders.fraud > 0, 0.12, 0.012)
    redirected = parcel & (random.random(len(orders)) < redirect_rate)
    parts = [
        (goes_on, fulfilment.confirmed, _CONFIRMED),
        (parcel, booked, _BOOKED),
        (parcel, fulfilment.shipped, _SHIPPED),
        (parcel, fulfilment.delivered, _DELIVERED),
        (fulfilment.cancelled, cancelled_at, _CANCELLED),
        (parcel & (returned >= 0), returned, _RETURNED),
        (redirected, (fulfilment.shipped + fulfilment.delivered) // 2, _REDIRECTED),
    ]
    order = np.concatenate([np.flatnonzero(mask) for mask, _, _ in parts])
    occurred = np.concatenate([instants[mask] for mask, instants, _ in parts])
    kind = np.concatenate([np.full(int(mask.sum()), kind) for mask, _, kind in parts])
    by_carrier = (kind == _SHIPPED) | (kind == _DELIVERED) | (kind == _BOOKED)
    # One shop in some forgets the tracking number.
    tracked = by_carrier & ((order * 7919) % 100 >= 4)
    new = kind == _REDIRECTED
    place = (2 + (order % 2)) * len(people) + orders.customer[order]
    recipient = np.where(order % 3 == 0, (order * 31) % len(people), orders.customer[order])
    reported = (kind == _DELIVERED) | (kind == _RETURNED) | new
    recorded = np.where(reported, within_hours(random, occurred), within_minutes(random, occurred))
    addresses = people.addresses
    return {
        "order_id": order_ids(order),
        "customer_id": customer_ids(orders.customer[order]),
        "kind": chosen(_KINDS, kind),
        "carrier": text_where(by_carrier, chosen(CARRIERS, fulfilment.carrier[order])),
        "tracking_number": text_where(
            tracked, joined("TN", numbered("", 10_000_000 + order, width=10), "DE")
        ),
        "new_delivery_name": text_where(new, people.full_names(recipient)),
        "new_delivery_street": text_where(new, addresses.streets(place)),
        "new_delivery_house_number": text_where(new, addresses.house_numbers(place)),
        "new_delivery_postal_code": text_where(new, addresses.postal_codes(place)),
        "new_delivery_city": text_where(new, addresses.cities(place)),
        "new_delivery_country": text_where(new, addresses.countries(place)),
        "occurred_at": occurred,
        "recorded_at": recorded,
    }
