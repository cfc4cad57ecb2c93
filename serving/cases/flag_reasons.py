"""Why the order of a case was flagged, each reason beside the largest."""

from collections.abc import Sequence
from dataclasses import dataclass

from msgspec import UNSET, UnsetType

from serving.domain.flag_reason import FlagReason


@dataclass(frozen=True, kw_only=True)
class WeighedReason:
    """One reason why the order was flagged, as its page shows it.

    unit: "" where it was not kept. usual: the value of an ordinary order, None where that is not known.
    contribution: what it adds to the log-odds of fraud. share: of the largest contribution, from 0 to 1.
    """

    code: str
    text: str
    unit: str
    value: float | None
    usual: float | None
    contribution: float
    share: float


def weighed_reasons(stored: Sequence[FlagReason]) -> tuple[WeighedReason, ...]:
    """The reasons as the last screening that flagged the order left them, in its order."""
    contributions = [_known(reason.contribution) or 0.0 for reason in stored]
    largest = max(contributions, default=0.0)
    return tuple(
        WeighedReason(
            code=reason.code,
            text=reason.text,
            unit="" if reason.unit is UNSET else reason.unit,
            value=_known(reason.value),
            usual=_known(reason.usual),
            contribution=contribution,
            share=max(0.0, contribution / largest) if largest > 0 else 0.0,
        )
        for reason, contribution in zip(stored, contributions, strict=True)
    )


def _known(value: float | UnsetType | None) -> float | None:
    return None if value is UNSET else value
