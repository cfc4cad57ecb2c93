"""What is worth an alarm: every check of a run, judged together.

A check raises its level only if both hold: chance does not explain the difference, all checks of the run
taken together, and the difference is large enough to matter. The first keeps a hundred checks a month
from crying wolf, the second keeps large books from alarming about what nobody would act on.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evidence.multiple_tests import holm

FAMILY_WISE_CHANCE = 0.01
"""Chance that a run without any drift has one significant check or more: one false alarm in a hundred."""


class Level(enum.Enum):
    """How much a check matters."""

    QUIET = "quiet"
    NOTICE = "notice"
    ALARM = "alarm"

    @property
    def rank(self) -> int:
        """0, 1 and 2, as the metrics give it."""
        return list(Level).index(self)


class Section(enum.Enum):
    """What a check is about."""

    CONTRACTS = "contracts"
    INPUTS = "inputs"
    FEATURES = "features"
    SCORE = "score"
    REASONS = "reasons"
    RATES = "rates"
    ESTIMATED = "estimated"
    REALISED = "realised"
    CALIBRATION = "calibration"
    CONSISTENCY = "consistency"
    CHAMPION = "champion"


COLUMN_SECTIONS = frozenset({Section.CONTRACTS, Section.INPUTS, Section.FEATURES})

NEXT_STEP = {
    Section.CONTRACTS: "read the refused rows with their reasons (quarantine/ beside the validation's "
    "report, or quarantined_events in the store) and tell whoever sends them",
    Section.INPUTS: "ask what changed at the checkouts or merchants; if it is meant to stay, compare models "
    "on the new orders",
    Section.FEATURES: "look whether a source broke (all zeros, all missing) before asking whether customers "
    "changed",
    Section.SCORE: "look at the features and inputs that moved; if they are right, retrain and compare",
    Section.REASONS: "look at the rule or feature behind the reason that grew, and at the last policy change",
    Section.RATES: "look at the reasons and at the last change of policy and champion",
    Section.ESTIMATED: "look at the score and at who orders; wait for labels before changing a cut-off",
    Section.REALISED: "look at the vintage by merchant and by score band; retrain, and tighten the cut-off "
    "meanwhile if losses call for it",
    Section.CALIBRATION: "retrain or recalibrate: cut-offs and limits rest on the probabilities",
    Section.CONSISTENCY: "do not trust new decisions until it is explained: replay the decision (bonitas "
    "decisions replay ID)",
    Section.CHAMPION: "see bonitas history MODEL for who did it and why, and watch the realised figures",
}


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A check before it is known whether chance explains it.

    p_value: None where there is nothing for chance to explain, such as a feature that differs.
    worst_level: the level if it is significant. is_judged: False where too little is known to say.
    """

    section: Section
    model: str | None
    name: str
    worst_level: Level
    p_value: float | None
    is_judged: bool
    finding: str


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was looked at, and what came of it.

    adjusted_p_value: Holm's, so that the whole run is judged; None where chance does not come into it.
    """

    section: Section
    model: str | None
    name: str
    level: Level
    is_judged: bool
    p_value: float | None
    adjusted_p_value: float | None
    finding: str

    @property
    def next_step(self) -> str:
        """What to do about it."""
        return NEXT_STEP[self.section]

    def to_json(self) -> dict[str, Any]:
        """The check as JSON values."""
        return {
            "section": self.section.value,
            "model": self.model,
            "name": self.name,
            "level": self.level.value,
            "judged": self.is_judged,
            "p_value": self.p_value,
            "adjusted_p_value": self.adjusted_p_value,
            "finding": self.finding,
            "next_step": self.next_step if self.level is not Level.QUIET else None,
        }


def judged(candidates: Sequence[Candidate]) -> tuple[Check, ...]:
    """Judge all candidates of a run together; the worst come first, else in the order given.

    Half of the family-wise chance belongs to the many columns and features, half to the few figures that
    they are watched for: a hundred features may not drown a bad rate that has doubled.
    """
    adjusted: dict[int, float] = {}
    for are_columns in (True, False):
        tested = [
            place
            for place, candidate in enumerate(candidates)
            if candidate.is_judged
            and candidate.p_value is not None
            and (candidate.section in COLUMN_SECTIONS) is are_columns
        ]
        found = holm([candidates[place].p_value or 0.0 for place in tested])
        adjusted.update(zip(tested, np.minimum(2 * found, 1.0).tolist(), strict=True))
    checks = []
    for place, candidate in enumerate(candidates):
        counts = candidate.is_judged and adjusted.get(place, 0.0) <= FAMILY_WISE_CHANCE
        checks.append(
            Check(
                section=candidate.section,
                model=candidate.model,
                name=candidate.name,
                level=candidate.worst_level if counts else Level.QUIET,
                is_judged=candidate.is_judged,
                p_value=candidate.p_value,
                adjusted_p_value=adjusted.get(place),
                finding=candidate.finding,
            )
        )
    return tuple(sorted(checks, key=lambda check: -check.level.rank))
