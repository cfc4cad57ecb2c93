"""What an instant stands for that another machine sent: how far it can be trusted, and when it happened.

Banks send dates without times, people leave seconds away, clocks run ahead. A row keeps its instants as they
were sent. For windows, ages and what is visible it counts from when it was recorded at the latest
(`features.supersession.as_counted`); of two states of one thing the later is told by what was sent, because
clamped to their records all states of a clock that runs ahead would rank by arrival.
"""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from data_contracts.contract import FARTHEST_ZONE_AHEAD_MS, MAXIMUM_CLOCK_TOLERANCE_MS, Contract
from data_contracts.instants import DAY_MS, MINUTE_MS

HAPPENED_AT = "happened_at"
"""A row whose instants were changed for counting carries under this name when it happened, as it was sent."""

QUARTER_OF_AN_HOUR_MS = 15 * MINUTE_MS
DATE_ALONE_MS = DAY_MS + FARTHEST_ZONE_AHEAD_MS
"""A date without a time is written as a midnight: of its day in the writer's zone, which may begin 14 hours
before the day in UTC does. What truly happened on that day lies up to 24 + 14 hours after the midnight."""

Whole = TypeVar("Whole", int, Any)


def may_stand_for_up_to_ms(written_ms: Whole) -> Whole:
    """How much later than it was written an instant may truly lie, because the writer left its end away.

    A whole quarter of an hour may be some zone's midnight: a date without a time. A whole minute or second
    may be any moment within it. Written without branches, so that it serves an int and an array alike.

    >>> may_stand_for_up_to_ms(0) == 38 * 3_600_000
    True
    >>> may_stand_for_up_to_ms(60_000), may_stand_for_up_to_ms(61_000), may_stand_for_up_to_ms(61_001)
    (59999, 999, 0)
    """
    of_a_second = (written_ms % 1_000 == 0) * 999
    of_a_minute = (written_ms % 60_000 == 0) * 59_000
    return of_a_second + of_a_minute + (written_ms % QUARTER_OF_AN_HOUR_MS == 0) * (DATE_ALONE_MS - 59_999)


def may_lie_ahead_by_ms(written_ms: Whole) -> Whole:
    """How far before an instant the day may have begun of which it is the date: up to 14 hours, else 0.

    >>> may_lie_ahead_by_ms(0) == 14 * 3_600_000, may_lie_ahead_by_ms(1)
    (True, 0)
    """
    return (written_ms % QUARTER_OF_AN_HOUR_MS == 0) * FARTHEST_ZONE_AHEAD_MS


def happened_at(contract: Contract, row: Mapping[str, Any]) -> int:
    """By when states rank, in ms: `occurred_at` as it was sent.

    A date that is written before what it cannot precede (a pause ended on the day on which it began) comes
    just after that. No clock is ahead by more than the highest tolerance: what is sent as later still
    happened, at the latest, when it was recorded.

    >>> from data_contracts.credit_inquiries import CREDIT_INQUIRIES
    >>> happened_at(CREDIT_INQUIRIES, {"occurred_at": 5_900, "recorded_at": 5_000})
    5900
    >>> happened_at(CREDIT_INQUIRIES, {"occurred_at": 3_600_001, "recorded_at": 0})
    0
    """
    kept: int | None = row.get(HAPPENED_AT)
    if kept is not None:
        return kept
    happened: int = row["occurred_at"]
    for later, earlier in contract.never_before:
        if later == "occurred_at" and happened < row[earlier]:
            happened = row[earlier] + 1
    recorded_at: int = row["recorded_at"]
    return happened if happened <= recorded_at + MAXIMUM_CLOCK_TOLERANCE_MS else recorded_at


def happened_at_of_columns(
    occurred_at: NDArray[np.int64], recorded_at: NDArray[np.int64], begun: Iterable[NDArray[np.int64]]
) -> NDArray[np.int64]:
    """`happened_at` of whole columns of one shape. begun: the columns `begun_before_it` names."""
    happened = occurred_at
    for earlier in begun:
        happened = np.where(happened < earlier, earlier + 1, happened)
    return np.where(happened <= recorded_at + MAXIMUM_CLOCK_TOLERANCE_MS, happened, recorded_at)


def begun_before_it(contract: Contract) -> list[str]:
    """The columns of instants that a state's `occurred_at` never precedes."""
    return [earlier for later, earlier in contract.never_before if later == "occurred_at"]
