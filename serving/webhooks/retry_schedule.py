"""When a failed delivery is tried again: the waits between ten attempts, and what a receiver asks for."""

import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MOST_RETRY_AFTER_SECONDS = 24 * 60 * 60

WAITS_SECONDS = (0, 5, 60, 300, 1_800, 7_200, 18_000, 36_000, 79_200, 122_400)
"""The wait before each of the ten attempts, counted from the failure before it: about three days in all."""

JITTER_SHARE = 0.1


def retry_after(value: str | None, now: datetime) -> int | None:
    """Seconds to wait by a Retry-After header, at most a day; None where it is missing or says nothing.

    >>> retry_after("120", datetime(2026, 1, 1, tzinfo=UTC))
    120
    >>> retry_after("Thu, 01 Jan 2026 00:01:00 GMT", datetime(2026, 1, 1, tzinfo=UTC))
    60
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        # Beyond ten digits it is more than the cap anyway, and int() refuses thousands of them.
        digits = text.lstrip("0")
        return MOST_RETRY_AFTER_SECONDS if len(digits) > 10 else _capped(int(digits or "0"))
    try:
        moment = parsedate_to_datetime(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return _capped((moment - now).total_seconds())
    except (ValueError, OverflowError):
        # The header is advice from a stranger: one that nobody can read is the same as none.
        return None


def next_attempt_after_ms(attempt_number: int, retry_after_seconds: int | None, jitter: float) -> int | None:
    """Milliseconds from the failure of an attempt to the next, None after the tenth. Raises ValueError.

    attempt_number: of the attempt that failed, from 1 on; 0 before the first.
    retry_after_seconds: what the receiver asked for; the next attempt is never earlier.
    jitter: in [0, 1), random; keeps messages that failed together from returning together.

    >>> [next_attempt_after_ms(number, None, 0.5) for number in (0, 1, 2, 10)]
    [0, 5000, 60000, None]
    """
    if attempt_number < 0:
        raise ValueError("an attempt number is not negative")
    if not 0 <= jitter < 1:
        raise ValueError("jitter lies in [0, 1)")
    if attempt_number >= len(WAITS_SECONDS):
        return None
    planned = WAITS_SECONDS[attempt_number] * 1_000 * (1 + JITTER_SHARE * (2 * jitter - 1))
    asked_for = (retry_after_seconds or 0) * 1_000 * (1 + JITTER_SHARE * jitter)
    return math.ceil(max(planned, asked_for))


def _capped(seconds: float) -> int:
    return min(max(math.ceil(seconds), 0), MOST_RETRY_AFTER_SECONDS)
