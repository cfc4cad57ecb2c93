"""The orders: when honest customers buy, what, where it goes and from which device."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from data_contracts.instants import DAY_MS, HOUR_MS
from data_contracts.simulation.book_calendar import MONTH_MS, BookCalendar, Instants
from data_contracts.simulation.merchants_book import (
    ITEM_CATEGORIES,
    ITEMS_OF_CATEGORY,
    SERVICE,
    Merchants,
    merchant_ids,
)
from data_contracts.simulation.people import HONEST, People, customer_ids
from data_contracts.simulation.recording_delay import within_minutes
from data_contracts.simulation.temperament import Temperament
from data_contracts.simulation.text_columns import chosen, joined, numbered, text_where

Positions = NDArray[np.int64]
Flags = NDArray[np.bool_]

_MONTH_WEIGHTS = np.array([0.95, 0.88, 0.95, 1.0, 1.0, 0.95, 0.9, 0.88, 1.0, 1.06, 1.4, 1.45])
_WEEKDAY_WEIGHTS = np.array([1.1, 1.0, 0.98, 0.98, 0.95, 0.88, 1.15])
_HOUR_WEIGHTS = np.array(
    [
        1.2,
        0.7,
        0.4,
        0.3,
        0.3,
        0.5,
        1.2,
        2.4,
        3.6,
        4.4,
        4.8,
        5.0,
        5.4,
        5.2,
        4.9,
        5.0,
        5.4,
        6.0,
        6.8,
        7.6,
        8.0,
        7.2,
        5.0,
        2.6,
    ]
)
_ORDERS_PER_MONTH = 0.58
_MOST_ORDERS = 90


@dataclass(frozen=True, kw_only=True)
class Orders:
    """Every order that was placed, one position each.

    fraud: what the order truly is, as `fraud_rings` numbers it; 0 is honest. No ledger row says it.
    delivery, billing: positions in the pool of addresses.  recipient: customer whose name is on the parcel.
    device: position in the pool of devices, -1 when the checkout does not identify it.
    ip_slot: orders of one slot come from one IP address.
    """

    customer: Positions
    merchant: Positions
    occurred: Instants
    item: Positions
    amount_cents: Positions
    delivery: Positions
    billing: Positions
    recipient: Positions
    device: Positions
    ip_slot: Positions
    fraud: Positions

    def __len__(self) -> int:
        return len(self.customer)

    def take(self, at: NDArray[Any]) -> "Orders":
        """The orders at positions, or under a mask."""
        return Orders(**{field.name: getattr(self, field.name)[at] for field in fields(self)})


def in_time_order(parts: list[Orders]) -> Orders:
    """All orders of several parts, by customer and then by time."""
    names = [field.name for field in fields(Orders)]
    whole = Orders(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})
    return whole.take(np.lexsort((whole.occurred, whole.customer)))


def times_of_day(random: np.random.Generator, size: int) -> Instants:
    """Times after local midnight, most of them in the evening."""
    hour = random.choice(24, size, p=_HOUR_WEIGHTS / _HOUR_WEIGHTS.sum())
    return hour * HOUR_MS + random.integers(0, HOUR_MS, size)


def device_of(people: People, customer: Positions, slot: Positions) -> Positions:
    """The position in the pool of devices of a customer's device number 0, 1 or 2."""
    return slot * len(people) + customer


def _day_weights(calendar: BookCalendar) -> tuple[int, NDArray[np.float64]]:
    first = calendar.start_ms // DAY_MS
    days = np.arange(first, calendar.end_ms // DAY_MS)
    month = days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) % 12
    return first, _MONTH_WEIGHTS[month] * _WEEKDAY_WEIGHTS[(days + 3) % 7]


def _order_times(
    random: np.random.Generator, calendar: BookCalendar, people: People
) -> tuple[Positions, Instants]:
    able = np.flatnonzero((people.purpose == HONEST) & (people.verified >= 0))
    able = able[people.verified[able] < calendar.end_ms - 2 * DAY_MS]
    opens = np.maximum(people.verified[able] + HOUR_MS, calendar.start_ms)
    active_months = random.exponential(30.0, len(able)) + 0.5
    closes = np.minimum(opens + (active_months * MONTH_MS).astype(np.int64), calendar.end_ms - DAY_MS)
    closes = np.maximum(closes, opens + HOUR_MS)
    rate = _ORDERS_PER_MONTH * random.gamma(0.75, 1.0 / 0.75, len(able))
    count = random.poisson(rate * (closes - opens) / MONTH_MS)
    is_new = people.verified[able] >= calendar.start_ms
    first_at_once = is_new & (random.random(len(able)) < 0.9)
    count = np.minimum(count + (~first_at_once & (count == 0)), _MOST_ORDERS)

    first_day, weights = _day_weights(calendar)
    cumulated = np.concatenate([[0.0], np.cumsum(weights)])
    repeats = np.repeat(np.arange(len(able)), count)
    grid = np.arange(len(cumulated)) * DAY_MS + first_day * DAY_MS
    low = np.interp(opens, grid, cumulated)[repeats]
    high = np.interp(closes, grid, cumulated)[repeats]
    when = np.interp(low + random.random(len(repeats)) * (high - low), cumulated, grid).astype(np.int64)
    customer = able[repeats]
    country = people.country[customer]
    day = calendar.local_day(country, when)
    timed = calendar.local_midnight(country, day) + times_of_day(random, len(when))
    timed = np.where((timed > opens[repeats]) & (timed < calendar.end_ms - HOUR_MS), timed, when)

    at_once = able[first_at_once]
    soon = opens[first_at_once] + (random.exponential(0.8, len(at_once)) * DAY_MS).astype(np.int64)
    soon = np.minimum(soon, calendar.end_ms - HOUR_MS)
    return np.concatenate([at_once, customer]), np.concatenate([soon, timed])


def amounts_cents(
    random: np.random.Generator, merchants: Merchants, merchant: Positions, *, scale: NDArray[np.float64]
) -> Positions:
    """Order totals: log-normal around the merchant's median, as shops price them."""
    amount = merchants.median_cents[merchant] * scale * np.exp(0.7 * random.standard_normal(len(merchant)))
    cents = np.clip(amount, 900, 300_000).astype(np.int64)
    ending = random.choice(np.array([0, 5, 9, 50, 95, 99]), len(merchant))
    return cents // 100 * 100 + np.where(random.random(len(merchant)) < 0.8, ending, cents % 100)


def draw_orders(
    random: np.random.Generator,
    calendar: BookCalendar,
    *,
    people: People,
    merchants: Merchants,
    temperament: Temperament,
) -> Orders:
    """Draw every order that honest customers place, by customer and time."""
    customer, occurred = _order_times(random, calendar, people)
    order = np.lexsort((occurred, customer))
    customer, occurred = customer[order], occurred[order]
    size = len(customer)
    favourites = random.choice(len(merchants), (len(people), 3), p=merchants.popularity)
    merchant = np.where(
        random.random(size) < 0.6,
        favourites[customer, random.integers(0, 3, size)],
        random.choice(len(merchants), size, p=merchants.popularity),
    )
    prices = 1.0 + 0.07 * calendar.share_of_book(occurred)
    stress = temperament.stress_at(calendar, customer, occurred)
    scale = prices * np.exp(0.12 * temperament.means[customer] + 0.05 * stress)
    home = people.home_at(customer, occurred)
    elsewhere = random.random(size) < 0.09
    other_place = np.where(
        random.random(size) < 0.7, 2 * len(people) + customer, home[random.integers(0, size, size)]
    )
    # A gift goes to another name; families order for each other.
    household = people.household[customer]
    gift = random.random(size) < np.where(household != customer, 0.25, 0.04)
    someone = np.where(random.random(size) < 0.5, household, random.integers(0, len(people), size))
    owner = np.where((household != customer) & (random.random(size) < 0.45), household, customer)
    slot = np.minimum(random.geometric(0.72, size) - 1, 1)
    # A customer's second device replaces the first one some time in the book.
    renewed = calendar.share_of_book(occurred) > (people.phone[customer] % 1000) / 450
    slot = np.where(renewed, 2 - slot, slot)
    device = np.where(random.random(size) < 0.06, -1, device_of(people, owner, slot))
    travelling = random.random(size) < 0.15
    week = (occurred // DAY_MS) // np.array([1, 14, 90, 400])[household % 4]
    ip_slot = np.where(travelling, random.integers(0, 2**40, size), household * 100_000 + week)
    return Orders(
        customer=customer,
        merchant=merchant,
        occurred=occurred,
        item=ITEMS_OF_CATEGORY[merchants.category[merchant], random.integers(0, 3, size)],
        amount_cents=amounts_cents(random, merchants, merchant, scale=scale),
        delivery=np.where(elsewhere, other_place, home),
        billing=home,
        recipient=np.where(gift, someone, customer),
        device=device,
        ip_slot=ip_slot,
        fraud=np.zeros(size, dtype=np.int64),
    )


def order_ids(order: Positions) -> Any:
    """Ids of the orders at positions `order`."""
    return numbered("ord-", order + 1, width=8)


def is_service(orders: Orders, merchants: Merchants) -> Flags:
    """Which orders are over a service."""
    service: Flags = SERVICE[merchants.category[orders.merchant]]
    return service


def _ip_addresses(ip_slot: Positions) -> Any:
    """Addresses of 100.64.0.0/10, which belongs to nobody on the public internet."""
    mixed = ip_slot.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(29)
    low = (mixed & np.uint64(0x3FFFFF)).astype(np.int64)
    parts = (64 + (low >> 16), (low >> 8) & 255, low & 255)
    return joined(
        "100.",
        numbered("", parts[0], width=1),
        ".",
        numbered("", parts[1], width=1),
        ".",
        numbered("", parts[2], width=1),
    )


def order_rows(
    random: np.random.Generator,
    *,
    orders: Orders,
    people: People,
    merchants: Merchants,
    device_codes: Positions,
) -> dict[str, Any]:
    """The ledger columns of `orders`."""
    size = len(orders)
    addresses = people.addresses
    food = merchants.category[orders.merchant] == 5
    rate = np.where(food, 7, 19)
    customer = orders.customer
    has_phone = random.random(size) < 0.8
    devices = joined("dev-", numbered("", device_codes, width=12))
    return {
        "order_id": order_ids(np.arange(size)),
        "customer_id": customer_ids(customer),
        "merchant_id": merchant_ids(orders.merchant),
        "amount_cents": orders.amount_cents,
        "vat_cents": orders.amount_cents * rate // (100 + rate),
        "currency": chosen(("EUR",), np.zeros(size, dtype=np.int64)),
        "kind": chosen(("goods", "service"), is_service(orders, merchants).astype(np.int64)),
        "item_category": chosen(ITEM_CATEGORIES, orders.item),
        "delivery_name": people.full_names(orders.recipient),
        "delivery_street": addresses.streets(orders.delivery),
        "delivery_house_number": addresses.house_numbers(orders.delivery),
        "delivery_postal_code": addresses.postal_codes(orders.delivery),
        "delivery_city": addresses.cities(orders.delivery),
        "delivery_country": addresses.countries(orders.delivery),
        "billing_name": people.full_names(customer),
        "billing_street": addresses.streets(orders.billing),
        "billing_house_number": addresses.house_numbers(orders.billing),
        "billing_postal_code": addresses.postal_codes(orders.billing),
        "billing_city": addresses.cities(orders.billing),
        "billing_country": addresses.countries(orders.billing),
        "contact_email": people.emails().take(customer),
        "contact_phone": text_where(has_phone, people.phones().take(customer)),
        "device_id": text_where(orders.device >= 0, devices.take(np.maximum(orders.device, 0))),
        "ip_address": pc.if_else(random.random(size) < 0.97, _ip_addresses(orders.ip_slot), None),
        "occurred_at": orders.occurred,
        "recorded_at": within_minutes(random, orders.occurred),
    }
