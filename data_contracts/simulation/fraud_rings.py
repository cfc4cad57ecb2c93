"""Fraud: rings, fresh accounts, accounts opened in a victim's name, and accounts taken over."""

import numpy as np
from numpy.typing import NDArray

from data_contracts.instants import DAY_MS, HOUR_MS, MINUTE_MS
from data_contracts.simulation.book_calendar import BookCalendar, Instants
from data_contracts.simulation.merchants_book import ITEMS_OF_CATEGORY, RESELLABLE, Merchants
from data_contracts.simulation.orders_book import Orders, amounts_cents, device_of, times_of_day
from data_contracts.simulation.people import HONEST, MISUSE, RING, People

Positions = NDArray[np.int64]

TAKEN_OVER = 4
"""An order by somebody else on an honest customer's account; the other kinds are the account's purpose."""

_TAKEN_OVER_SHARE = 0.0016
_NIGHT_SHARE = 0.35


def _merchant_choice(random: np.random.Generator, merchants: Merchants, size: int) -> Positions:
    # What sells again easily draws fraud, but not only that, and honest customers buy it as well.
    weight = merchants.popularity * np.where(RESELLABLE[merchants.category], 5.0, 1.0)
    return random.choice(len(merchants), size, p=weight / weight.sum())


def _at_night(
    random: np.random.Generator, calendar: BookCalendar, country: Positions, instants: Instants
) -> Instants:
    night = random.random(len(instants)) < _NIGHT_SHARE
    midnight = calendar.local_midnight(country, calendar.local_day(country, instants))
    hour = np.where(
        night, random.integers(0, 5 * HOUR_MS, len(instants)), times_of_day(random, len(instants))
    )
    return midnight + hour


def _orders_of_dishonest_accounts(
    random: np.random.Generator, calendar: BookCalendar, people: People, merchants: Merchants
) -> Orders:
    accounts = np.flatnonzero(people.purpose != HONEST)
    most = np.array([0, 4, 2, 2])[people.purpose[accounts]]
    count = random.integers(1, most + 1)
    customer = np.repeat(accounts, count)
    size = len(customer)
    purpose, ring = people.purpose[customer], people.ring[customer]
    wait = random.exponential(2.5, size) + np.where(random.random(size) < 0.3, 12.0, 0.0)
    occurred = people.verified[customer] + HOUR_MS + (wait * DAY_MS).astype(np.int64)
    night = _at_night(random, calendar, people.country[customer], occurred)
    occurred = np.where(night > people.verified[customer] + 10 * MINUTE_MS, night, occurred)
    merchant = _merchant_choice(random, merchants, size)
    # A ring has one to three places where parcels are taken in, and a few devices.
    drop = 3 * len(people) + (np.maximum(ring, 0) * 3 + random.integers(0, 3, size)) % len(people)
    uses_drop = (purpose == RING) & (random.random(size) < 0.75)
    uses_own_drop = (purpose == MISUSE) & (random.random(size) < 0.3)
    home = people.home[customer]
    delivery = np.select([uses_drop, uses_own_drop], [drop, 3 * len(people) + customer], home)
    ring_device = 3 * len(people) + (np.maximum(ring, 0) * 3 + random.integers(0, 3, size)) % len(people)
    device = np.where(
        (purpose == RING) & (random.random(size) < 0.7),
        ring_device,
        device_of(people, customer, 0 * customer),
    )
    device = np.where(random.random(size) < 0.08, -1, device)
    recipient = np.where(
        (purpose == RING) & (random.random(size) < 0.25), random.integers(0, len(people), size), customer
    )
    return Orders(
        customer=customer,
        merchant=merchant,
        occurred=occurred,
        item=ITEMS_OF_CATEGORY[merchants.category[merchant], random.integers(0, 3, size)],
        amount_cents=amounts_cents(random, merchants, merchant, scale=np.full(size, 1.35)),
        delivery=delivery,
        billing=home,
        recipient=recipient,
        device=device,
        ip_slot=np.where(
            (purpose == RING) & (random.random(size) < 0.5),
            -1 - np.maximum(ring, 0),
            random.integers(0, 2**40, size),
        ),
        fraud=purpose,
    )


def _orders_on_taken_accounts(
    random: np.random.Generator,
    calendar: BookCalendar,
    people: People,
    merchants: Merchants,
    honest: Orders,
) -> Orders:
    first = np.searchsorted(honest.customer, honest.customer, side="left")
    known = np.flatnonzero(np.arange(len(honest)) - first >= 2)
    wanted = min(len(known), round(len(honest) * _TAKEN_OVER_SHARE / 1.3))
    after = np.repeat(random.choice(known, wanted, replace=False), random.integers(1, 3, wanted))
    customer = honest.customer[after]
    size = len(customer)
    gap = random.integers(3 * DAY_MS, 90 * DAY_MS, len(after))
    occurred = _at_night(random, calendar, people.country[customer], honest.occurred[after] + gap)
    merchant = _merchant_choice(random, merchants, size)
    home = people.home_at(customer, occurred)
    drop = 3 * len(people) + customer
    ring_place = 3 * len(people) + random.integers(0, max(3, int(people.ring.max()) * 3 + 3), size)
    elsewhere = random.random(size)
    delivery = np.select([elsewhere < 0.55, elsewhere < 0.8], [drop, ring_place % (4 * len(people))], home)
    stranger = np.where(elsewhere < 0.55, drop, ring_place)
    own_device = random.random(size) < 0.12
    return Orders(
        customer=customer,
        merchant=merchant,
        occurred=occurred,
        item=ITEMS_OF_CATEGORY[merchants.category[merchant], random.integers(0, 3, size)],
        amount_cents=amounts_cents(random, merchants, merchant, scale=np.full(size, 1.3)),
        delivery=delivery,
        billing=home,
        recipient=np.where(random.random(size) < 0.3, random.integers(0, len(people), size), customer),
        device=np.where(own_device, device_of(people, customer, 0 * customer), stranger),
        ip_slot=random.integers(0, 2**40, size),
        fraud=np.full(size, TAKEN_OVER),
    )


def draw_fraud(
    random: np.random.Generator,
    calendar: BookCalendar,
    *,
    people: People,
    merchants: Merchants,
    honest: Orders,
) -> list[Orders]:
    """Draw the fraudulent orders beside the `honest` ones (which are sorted by customer and time)."""
    latest = calendar.end_ms - 2 * HOUR_MS
    parts = [
        _orders_of_dishonest_accounts(random, calendar, people, merchants),
        _orders_on_taken_accounts(random, calendar, people, merchants, honest),
    ]
    return [part.take((part.occurred < latest) & (part.occurred >= calendar.start_ms)) for part in parts]
