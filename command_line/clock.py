"""The clock of the commands, and the instants that a person names as days."""

from datetime import UTC, date, datetime


def now_ms() -> int:
    """The present instant, in milliseconds since 1970 UTC."""
    return int(datetime.now(UTC).timestamp() * 1000)


def today() -> date:
    """The day in UTC."""
    return datetime.now(UTC).date()


def midnight_ms(day: datetime) -> int:
    """When a day begins in UTC, in milliseconds since 1970; the time zone of `day` is not looked at."""
    return int(day.replace(tzinfo=UTC).timestamp() * 1000)
