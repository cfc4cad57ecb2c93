"""The timeline of a case: what happened to its order, and who did what, by the instant."""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from serving.cases.order_facts import Row
from serving.store.case_queue import HistoryEntry, Screening


class TimelineSource(enum.Enum):
    """Where an entry of the timeline comes from."""

    ORDER = "order"
    ORDER_EVENT = "order_event"
    SCREENING = "screening"
    CASE = "case"
    OUTCOME = "outcome"


@dataclass(frozen=True, kw_only=True)
class TimelineEntry:
    """One thing that happened. name: of its kind, as the source names it. actor: None for ledger rows."""

    at_ms: int
    source: TimelineSource
    name: str
    actor: str | None
    detail: Mapping[str, Any]


def timeline_of(
    versions: Sequence[Row],
    events: Sequence[Row],
    outcomes: Sequence[Row],
    screenings: Sequence[Screening],
    history: Sequence[HistoryEntry],
) -> tuple[TimelineEntry, ...]:
    """All entries, the earliest first. screenings: the newest first."""
    entries = [
        TimelineEntry(
            at_ms=row["occurred_at"],
            source=TimelineSource.ORDER,
            name="ordered" if number == 0 else "order_corrected",
            actor=None,
            detail={},
        )
        for number, row in enumerate(versions)
    ]
    entries += [
        TimelineEntry(
            at_ms=row["occurred_at"],
            source=source,
            name=row["kind"],
            actor=None,
            detail={name: row[name] for name in ("carrier", "tracking_number") if row.get(name) is not None},
        )
        for source, rows in ((TimelineSource.ORDER_EVENT, events), (TimelineSource.OUTCOME, outcomes))
        for row in rows
    ]
    entries += [
        TimelineEntry(
            at_ms=screening.as_of_ms,
            source=TimelineSource.SCREENING,
            name=screening.outcome,
            actor=None,
            detail={
                "probability": screening.record["probability"],
                "trigger": screening.trigger,
                "model": f"{screening.model_name} {screening.model_version}",
            },
        )
        for screening in reversed(screenings)
    ]
    entries += [
        TimelineEntry(
            at_ms=entry.at_ms,
            source=TimelineSource.CASE,
            name=entry.action,
            actor=entry.actor,
            detail=entry.detail,
        )
        for entry in history
    ]
    # The sort is stable: what happened at one instant stays in its order.
    return tuple(sorted(entries, key=lambda entry: entry.at_ms))
