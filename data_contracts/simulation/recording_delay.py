"""How long after it happened a row is recorded: banks rest on weekends, bureaus report late."""

import numpy as np

from data_contracts.instants import DAY_MS, HOUR_MS, MINUTE_MS
from data_contracts.simulation.book_calendar import Instants


def within_minutes(random: np.random.Generator, occurred: Instants) -> Instants:
    """Recorded by our own systems: seconds to a few minutes later."""
    return occurred + random.integers(50, 3 * MINUTE_MS, len(occurred))


def within_hours(random: np.random.Generator, occurred: Instants) -> Instants:
    """Reported by a partner: mostly within the hour, now and then the next day."""
    delay = random.exponential(2.5 * HOUR_MS, len(occurred)).astype(np.int64)
    return occurred + MINUTE_MS + np.minimum(delay, 3 * DAY_MS)


def by_bank(random: np.random.Generator, occurred: Instants, *, at_once: np.ndarray) -> Instants:
    """Payments: at once by card and wallet; else on one of the next bank days, never on a weekend."""
    recorded = occurred + (random.gamma(1.6, 0.42, len(occurred)) * DAY_MS).astype(np.int64) + 10 * MINUTE_MS
    # 1970-01-01 was a Thursday, so that day 2 of the era was a Saturday.
    weekday = (recorded // DAY_MS + 3) % 7
    recorded += np.where(weekday >= 5, (7 - weekday) * DAY_MS, 0)
    return np.where(at_once, occurred + random.integers(500, 20 * MINUTE_MS, len(occurred)), recorded)


def within_days(random: np.random.Generator, occurred: Instants, *, mean_days: float) -> Instants:
    """Reported in batches: some days later, the tail twice and three times as long."""
    delay = random.gamma(2.0, mean_days / 2.0, len(occurred)) * DAY_MS
    return occurred + HOUR_MS + delay.astype(np.int64)
