"""What an instant looks like: whole milliseconds since 1970 UTC, and its forms as datetime and as text.

Inside, instants and spans are such milliseconds; a `datetime` or a text is made at the rim, here.
"""

import re
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final

SECOND_MS: Final = 1_000
MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 86_400_000
"""Milliseconds in a day of 24 hours; windows are counted in such days."""

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

EARLIEST_DATE = date(1900, 1, 1)
LATEST_DATE = date(9999, 12, 31)
EARLIEST_TIMESTAMP_MS = (EARLIEST_DATE - EPOCH.date()).days * DAY_MS
LATEST_TIMESTAMP_MS = ((LATEST_DATE - EPOCH.date()).days + 1) * DAY_MS - 1
"""Dates and timestamps lie in the years 1900 to 9999; beyond them, a date is a mistake."""

RFC3339_PATTERN = (
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)

_matches_rfc3339 = re.compile(RFC3339_PATTERN).fullmatch
_ONE_MS = timedelta(milliseconds=1)


def moment(milliseconds: int) -> datetime:
    """An instant as an aware datetime in UTC, exactly; elsewhere by `.astimezone(zone)`.

    Raises OverflowError before the year 1 and after 9999.

    >>> moment(1767225600123).isoformat()
    '2026-01-01T00:00:00.123000+00:00'
    """
    return EPOCH + timedelta(milliseconds=milliseconds)


def instant_ms(at: datetime) -> int:
    """The millisecond in which an aware datetime lies.

    >>> instant_ms(moment(1767225600123))
    1767225600123
    >>> instant_ms(datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC))
    -1
    """
    return (at - EPOCH) // _ONE_MS


def timestamp_ms(text: str) -> int | None:
    """The instant of an RFC 3339 string in milliseconds since 1970 UTC; None if it is none.

    >>> timestamp_ms("2026-01-01T01:00:00.1239+01:00")
    1767225600123
    >>> timestamp_ms("2026-02-30T00:00:00Z"), timestamp_ms("2026-01-01T00:00:00")
    (None, None)
    """
    if _matches_rfc3339(text) is None:
        return None
    try:
        elapsed = datetime.fromisoformat(text.upper()) - EPOCH
    except ValueError:
        return None
    return elapsed.days * DAY_MS + elapsed.seconds * SECOND_MS + elapsed.microseconds // 1000


def rfc3339(milliseconds: int) -> str:
    """The RFC 3339 string of an instant between the years 1900 and 9999.

    >>> rfc3339(1767225600123)
    '2026-01-01T00:00:00.123Z'
    """
    seconds, of_a_second = divmod(milliseconds, SECOND_MS)
    return f"{_rfc3339_to_the_second(seconds)}.{of_a_second:03d}Z"


@lru_cache(maxsize=1024)
def _rfc3339_to_the_second(seconds: int) -> str:
    # Kept: what is answered within one second names that second many times, and to write it takes 3 us.
    return moment(seconds * SECOND_MS).isoformat(timespec="seconds").removesuffix("+00:00")


def iso_instant(milliseconds: int, timespec: str = "milliseconds") -> str:
    """The ISO 8601 string of an instant with its offset, as it stands in the registry and in reports.

    timespec: how fine, as for `datetime.isoformat`.

    >>> iso_instant(1), iso_instant(1999, "seconds")
    ('1970-01-01T00:00:00.001+00:00', '1970-01-01T00:00:01+00:00')
    """
    return moment(milliseconds).isoformat(timespec=timespec)
