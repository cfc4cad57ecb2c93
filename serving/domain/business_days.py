"""Deadlines that are counted in business days, on the calendar of the place where somebody has to answer.

No business days are Saturdays, Sundays and the public holidays of the country, with those of its part where
one is named. What a public holiday is, the library `holidays` says by its category `public`: days off by law,
with those that a country moves to another day. Not among them are days on which banks or most offices close
by custom or by agreement: Christmas Eve and New Year's Eve in Germany, Sweden and Denmark, Midsummer Eve in
Sweden (in Finland both eves are days off), Constitution Day in Denmark, Good Friday in Austria. In the
Netherlands Liberation Day counts every fifth year; in Denmark Great Prayer Day counts until 2023.

Calendars change with the library's version and with the law: whoever sets a deadline stores the instant, and
nobody computes one anew that was told.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from data_contracts.instants import instant_ms, moment
from serving.domain.errors import UnknownCalendar

_FIRST_DAY_OF_WEEKEND = 5


@dataclass(frozen=True, kw_only=True)
class BusinessCalendar:
    """Whose days are counted.

    country: ISO 3166-1 alpha-2. region: a part of it by ISO 3166-2, such as DE-BY; None for the holidays of
    the whole country alone. time_zone: the IANA name of the zone whose midnights part the days.
    Raises UnknownCalendar where the library knows no such country or part, or there is no such zone. Where it
    knows no parts of a country with holidays of their own (DK, NL, SE), each stands for the whole.
    """

    country: str
    region: str | None = None
    time_zone: str

    def __post_init__(self) -> None:
        if self.region is not None and not self.region.startswith(f"{self.country}-"):
            raise UnknownCalendar(f"{self.region} is no part of {self.country}")
        _part_with_holidays(self.country, self.region)
        _zone(self.time_zone)

    def is_business_day(self, day: date) -> bool:
        """Whether a local day counts.

        >>> calendar = BusinessCalendar(country="DE", time_zone="Europe/Berlin")
        >>> calendar.is_business_day(date(2026, 12, 24)), calendar.is_business_day(date(2026, 12, 25))
        (True, False)
        """
        if day.weekday() >= _FIRST_DAY_OF_WEEKEND:
            return False
        part = _part_with_holidays(self.country, self.region)
        return day not in _public_holidays(self.country, part, day.year)


def deadline_after(start_ms: int, business_days: int, calendar: BusinessCalendar) -> int:
    """When the last of so many business days has ended: the local midnight after it, in ms since 1970 UTC.

    start_ms: the instant from which is counted; its own local day is not counted, whatever the hour.
    business_days: at least 1. Raises ValueError for fewer.
    What happens at `at_ms` is in time where `at_ms < deadline`: a second before it is, a second after is not.

    From Wednesday, 23 December 2026, two business days in Germany are the 24th and, after Christmas and a
    weekend, Monday the 28th:

    >>> berlin = BusinessCalendar(country="DE", time_zone="Europe/Berlin")
    >>> start_ms = instant_ms(datetime(2026, 12, 23, 15, 0, tzinfo=ZoneInfo("Europe/Berlin")))
    >>> moment(deadline_after(start_ms, 2, berlin)).astimezone(ZoneInfo("Europe/Berlin")).isoformat()
    '2026-12-29T00:00:00+01:00'
    """
    if business_days < 1:
        raise ValueError("a deadline lies one business day ahead at least")
    zone = _zone(calendar.time_zone)
    day = moment(start_ms).astimezone(zone).date()
    left = business_days
    while left:
        day += timedelta(days=1)
        left -= calendar.is_business_day(day)
    after = day + timedelta(days=1)
    # A midnight that the clocks skip stands for the instant at which they do; of two, the first counts.
    return instant_ms(datetime(after.year, after.month, after.day, tzinfo=zone).astimezone(UTC))


@lru_cache(maxsize=1024)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as problem:
        raise UnknownCalendar(f"there is no time zone {name!r}") from problem


@lru_cache(maxsize=1024)
def _part_with_holidays(country: str, region: str | None) -> str | None:
    """The library's name of a part; None for the whole country. Raises UnknownCalendar."""
    import holidays  # noqa: PLC0415 a tenth of a second, and the service starts without it

    # The library takes three letters for a country too.
    parts = holidays.list_supported_countries().get(country) if len(country) == 2 else None
    if parts is None:
        raise UnknownCalendar(f"the public holidays of {country} are not known")
    if region is None:
        return None
    part = region.removeprefix(f"{country}-")
    if part in parts:
        return part
    # The Netherlands have parts by school holidays, none of which is one of ISO 3166-2.
    if any(known.isupper() or known.isdigit() for known in parts):
        raise UnknownCalendar(f"the public holidays of {region} are not known")
    return None


@lru_cache(maxsize=4096)
def _public_holidays(country: str, part: str | None, year: int) -> frozenset[date]:
    # A calendar of the library that grows by itself would be shared between threads.
    import holidays  # noqa: PLC0415 as above

    return frozenset(
        holidays.country_holidays(
            country, subdiv=part, years=year, expand=False, categories=(holidays.PUBLIC,)
        )
    )
