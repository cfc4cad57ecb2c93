"""How much of each month is labelled by now, and how long labels take."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data_contracts.instants import DAY_MS
from evidence.intervals import Interval, wilson_interval
from features.decisions import Decisions
from features.instants import Int64Array
from training.validation.segment_results import partition_by_month

DELAY_SHARES = (0.1, 0.5, 0.9, 0.99)


@dataclass(frozen=True, kw_only=True)
class LabelledDecisions:
    """All decisions of the data with what is known of them at the cut-off; each of shape (n,).

    label: 1 bad, 0 good, -1 not known. known_at_ms: since when it was known that a bad one is bad, any value
        for the others; None where the data do not say.
    """

    as_of_ms: Int64Array
    label: NDArray[np.int8]
    known_at_ms: Int64Array | None


@dataclass(frozen=True, kw_only=True)
class MonthMaturity:
    """The decisions of one UTC month. bad_rate: among the labelled ones, Wilson's interval; None without."""

    month: str
    decisions: int
    labelled: int
    bads: int
    bad_rate: Interval | None


@dataclass(frozen=True, kw_only=True)
class LabelDelay:
    """After how many days this share of the bad labels was known."""

    share: float
    days: float


@dataclass(frozen=True, kw_only=True)
class LabelMaturity:
    """months: oldest first. delays: empty where the data do not say when labels were known."""

    months: tuple[MonthMaturity, ...]
    delays: tuple[LabelDelay, ...]
    labelled_share: float


def labelled_decisions(
    everything: Decisions,
    labelled: Decisions,
    label: NDArray[np.int8],
    known_at_ms: Int64Array,
) -> LabelledDecisions:
    """Lay labels beside all decisions; label and known_at_ms are of `labelled`, whose ids are in both."""
    of_id = {name: place for place, name in enumerate(labelled.decision_id.tolist())}
    place = np.array([of_id.get(name, -1) for name in everything.decision_id.tolist()], dtype=np.intp)
    has_label = place >= 0
    return LabelledDecisions(
        as_of_ms=everything.as_of_ms,
        label=np.where(has_label, label[place], -1).astype(np.int8),
        known_at_ms=np.where(has_label, known_at_ms[place], 0),
    )


def label_maturity(decisions: LabelledDecisions) -> LabelMaturity:
    """Count by month; there is at least one decision."""
    months = partition_by_month(decisions.as_of_ms)
    known, bad = decisions.label >= 0, decisions.label == 1
    size = len(months.names)
    counts, labelled, bads = (
        np.bincount(months.place, mask, size).astype(int).tolist()
        for mask in (np.ones(len(known)), known, bad)
    )
    delays: tuple[LabelDelay, ...] = ()
    if decisions.known_at_ms is not None and bad.any():
        days = (decisions.known_at_ms[bad] - decisions.as_of_ms[bad]) / DAY_MS
        delays = tuple(
            LabelDelay(share=share, days=float(np.quantile(days, share))) for share in DELAY_SHARES
        )
    return LabelMaturity(
        months=tuple(
            MonthMaturity(
                month=name,
                decisions=counts[place],
                labelled=labelled[place],
                bads=bads[place],
                bad_rate=wilson_interval(bads[place], labelled[place]) if labelled[place] else None,
            )
            for place, name in enumerate(months.names)
        ),
        delays=delays,
        labelled_share=float(known.mean()),
    )
