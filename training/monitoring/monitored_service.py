"""What the service's own record tells about a window of time: its answers, verdicts and logged features.

It comes as plain arrays: training and serving do not import each other.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from data_contracts.instants import DAY_MS
from evidence.drift import LEAST_DECISIONS, Binned, Drift, binned_categories, drift, homogeneity
from features.instants import Int64Array
from training.monitoring.checks import Candidate, Section
from training.monitoring.monitored_folder import RowCounts, numbers_of
from training.monitoring.period import Period
from training.monitoring.watched_figures import (
    consistency_candidate,
    contract_candidate,
    drift_candidate,
    rate_candidate,
    unavailable_candidate,
)

APPROVED, DECLINED, UNAVAILABLE = "approved", "declined", "unavailable"


@dataclass(frozen=True, kw_only=True)
class LoggedDecisions:
    """Checkout decisions of window and reference as the service logged them; arrays of shape (n,).

    outcome: approved, declined or unavailable. main_reason: code of the first reason, None where there is
    none.
    """

    customer_id: NDArray[np.object_]
    as_of_ms: Int64Array
    outcome: NDArray[np.object_]
    main_reason: NDArray[np.object_]


@dataclass(frozen=True, kw_only=True)
class Verdicts:
    """Flagged orders that the team judged; arrays of shape (n,). merchant_id: whose order it was."""

    at_ms: Int64Array
    merchant_id: NDArray[np.object_]
    is_released: NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class FeatureComparison:
    """Logged features of one model, rebuilt by the offline engine from the store's ledger.

    not_comparable: decisions that read another version of the feature set. differences: id, feature,
    logged and rebuilt value.
    """

    model: str
    compared: int
    not_comparable: int
    differences: tuple[tuple[str, str, float, float], ...]


@dataclass(frozen=True, kw_only=True)
class LiveRecord:
    """What the service's store tells of window and reference."""

    decisions: LoggedDecisions
    verdicts: Verdicts
    events: dict[str, RowCounts]
    comparisons: tuple[FeatureComparison, ...]


@dataclass(frozen=True, kw_only=True)
class WeekOfDecisions:
    """Logged decisions of one week by outcome. week: ISO date of its Monday."""

    week: str
    approved: int
    declined: int
    unavailable: int


def live_checks(live: LiveRecord, period: Period) -> tuple[Drift | None, list[Candidate]]:
    """The drift of the reasons, None where too little was declined, and every check of the record.

    The approval rate is approved over approved and declined: an outage is no refusal. The release rate is
    the share of flagged orders, judged in the window, that the team released: how often people overrode
    the model.
    """
    candidates = [
        contract_candidate(
            f"{contract}, sent to the service",
            refused_before=counts.refused_before,
            accepted_before=counts.accepted_before,
            refused=counts.refused,
            accepted=counts.accepted,
        )
        for contract, counts in sorted(live.events.items())
    ]
    reasons = _reasons(live.decisions, period)
    if reasons is not None:
        candidates.append(drift_candidate(Section.REASONS, None, reasons))
    log = live.decisions
    answered = log.outcome != UNAVAILABLE
    candidates += _rate(
        "approval rate",
        log.outcome[answered] == APPROVED,
        log.as_of_ms[answered],
        log.customer_id[answered],
        period,
    )
    window = period.is_window(log.as_of_ms)
    if window.any():
        unavailable = int((log.outcome[window] == UNAVAILABLE).sum())
        candidates.append(unavailable_candidate(unavailable, int(window.sum())))
    verdicts = live.verdicts
    # A wave of fraud meets one merchant at a time, so merchants are the unit here.
    candidates += _rate("release rate", verdicts.is_released, verdicts.at_ms, verdicts.merchant_id, period)
    candidates += [
        consistency_candidate(
            found.model,
            compared=found.compared,
            not_comparable=found.not_comparable,
            differences=found.differences,
        )
        for found in live.comparisons
        if found.compared or found.not_comparable
    ]
    return reasons, candidates


def _reasons(log: LoggedDecisions, period: Period) -> Drift | None:
    """The main reason of each refusal."""
    declined = log.outcome == DECLINED
    window, reference = (
        declined & period.is_window(log.as_of_ms),
        declined & period.is_reference(log.as_of_ms),
    )
    if not window.any() or not reference.any():
        return None
    customer = numbers_of(log.customer_id)
    return drift(
        "main reason of refusals",
        binned_categories(log.main_reason[reference], log.main_reason[window]),
        customer[reference],
        customer[window],
        period.month_of(log.as_of_ms[reference]),
    )


def _rate(
    name: str,
    is_hit: NDArray[np.bool_],
    at_ms: Int64Array,
    unit: NDArray[np.object_],
    period: Period,
) -> list[Candidate]:
    window, reference = period.is_window(at_ms), period.is_reference(at_ms)
    if not window.any():
        return []
    hits = is_hit.astype(np.int64)
    later = float(hits[window].mean())
    earlier = float(hits[reference].mean()) if reference.any() else None
    test = None
    if min(window.sum(), reference.sum()) >= LEAST_DECISIONS:
        units = numbers_of(unit)
        both = Binned(names=("no", "yes"), earlier=hits[reference], later=hits[window])
        if both.counts().sum(axis=0).all():
            test = homogeneity(both, units[reference], units[window])
    return [rate_candidate(name, earlier, later, int(window.sum()), test)]


def weeks_of(log: LoggedDecisions) -> tuple[WeekOfDecisions, ...]:
    """Logged decisions by week and outcome, the earliest first; weeks without any are left out."""
    # 1970 began on a Thursday, so that the Monday of its first week was three days earlier.
    weeks = (log.as_of_ms // DAY_MS + 3) // 7
    counts = Counter(zip(weeks.tolist(), log.outcome.tolist(), strict=True))
    return tuple(
        WeekOfDecisions(
            week=(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=7 * week - 3)).date().isoformat(),
            approved=counts[week, APPROVED],
            declined=counts[week, DECLINED],
            unavailable=counts[week, UNAVAILABLE],
        )
        for week in sorted(set(weeks.tolist()))
    )
