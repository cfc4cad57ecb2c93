"""The machine's clock, and the instants that a person names as days; the store's is `state.now_in`."""

from datetime import UTC, date, datetime

from data_contracts.instants import instant_ms


def now_ms() -> int:
    """The present instant by the machine's clock, in milliseconds since 1970 UTC."""
    return instant_ms(datetime.now(UTC))


def today() -> date:
    """The day in UTC."""
    return datetime.now(UTC).date()


def midnight_ms(day: datetime) -> int:
    """When a day begins in UTC, in milliseconds since 1970; the time zone of `day` is not looked at."""
    return instant_ms(day.replace(tzinfo=UTC))
