"""The days and months of a simulated book, and the local midnights of its customers' zones."""

import datetime as dt
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from data_contracts.instants import DAY_MS

Instants = NDArray[np.int64]
"""Milliseconds since 1970 UTC."""

MONTH_MS = int(30.4375 * DAY_MS)
MONTHS_OF_HISTORY = 12
"""How far the customers' credit history reaches back before the first order of the book."""

COUNTRIES = ("DE", "AT", "NL", "FI")
COUNTRY_WEIGHTS = (0.92, 0.045, 0.025, 0.01)
_ZONES = ("Europe/Berlin", "Europe/Vienna", "Europe/Amsterdam", "Europe/Helsinki")

_EPOCH = dt.date(1970, 1, 1)


def _months_before(day: dt.date, months: int) -> dt.date:
    years, month = divmod(day.year * 12 + day.month - 1 - months, 12)
    # Every month has a 28th, and a book that begins three days early is as good.
    return dt.date(years, month + 1, min(day.day, 28))


def instant_ms(day: dt.date) -> int:
    """Midnight UTC at the beginning of `day`."""
    return (day - _EPOCH).days * DAY_MS


@dataclass(frozen=True, kw_only=True)
class BookCalendar:
    """The span of the book.

    start_ms, end_ms: the first order is not before, the last recorded row is before.
    midnights: shape (zone, day), the instants of local midnights from `first_day` on.
    """

    start_ms: int
    end_ms: int
    first_day: int
    midnights: NDArray[np.int64]

    @property
    def history_start_ms(self) -> int:
        """Where the monthly grid of latent states begins."""
        return self.start_ms - MONTHS_OF_HISTORY * MONTH_MS

    @property
    def grid_months(self) -> int:
        """How many months the grid of latent states has."""
        return (self.end_ms - self.history_start_ms) // MONTH_MS + 2

    def grid_month(self, instants: Instants) -> NDArray[np.int64]:
        """The month of the grid that each instant lies in; instants outside it count to its ends."""
        months = (instants - self.history_start_ms) // MONTH_MS
        return np.clip(months, 0, self.grid_months - 1)

    def share_of_book(self, instants: Instants) -> NDArray[np.float64]:
        """How far through the book each instant lies: 0 at its start, 1 at its end, clipped."""
        return np.clip((instants - self.start_ms) / (self.end_ms - self.start_ms), 0.0, 1.0)

    def local_midnight(self, country: NDArray[np.int64], local_day: NDArray[np.int64]) -> Instants:
        """The instant at which each local day (days since 1970) begins in each country."""
        midnights: Instants = self.midnights[country, local_day - self.first_day]
        return midnights

    def local_day(self, country: NDArray[np.int64], instants: Instants) -> NDArray[np.int64]:
        """The local calendar day (days since 1970) of each instant in each country."""
        days = np.empty(len(instants), dtype=np.int64)
        for zone in range(len(_ZONES)):
            here = country == zone
            days[here] = np.searchsorted(self.midnights[zone], instants[here], side="right") - 1
        return days + self.first_day

    def end_of_due_date(
        self, country: NDArray[np.int64], issued: Instants, term_days: NDArray[np.int64]
    ) -> Instants:
        """The local midnight at which the due date, `term_days` after the local day of issue, has ended."""
        return self.local_midnight(country, self.local_day(country, issued) + term_days + 1)


def book_calendar(*, months: int, ends_on: dt.date) -> BookCalendar:
    """The calendar of a book of `months` months that ends on `ends_on`, 00:00 UTC."""
    starts_on = _months_before(ends_on, months)
    first_day = (starts_on - _EPOCH).days - 800
    last_day = (ends_on - _EPOCH).days + 800
    midnights = np.empty((len(_ZONES), last_day - first_day), dtype=np.int64)
    for zone, name in enumerate(_ZONES):
        zone_info = ZoneInfo(name)
        for offset in range(last_day - first_day):
            day = _EPOCH + dt.timedelta(days=first_day + offset)
            midnight = dt.datetime(day.year, day.month, day.day, tzinfo=zone_info)
            midnights[zone, offset] = int(midnight.timestamp()) * 1000
    return BookCalendar(
        start_ms=instant_ms(starts_on), end_ms=instant_ms(ends_on), first_day=first_day, midnights=midnights
    )
