"""Why the order of a case was flagged, each reason beside the largest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class FlagReason:
    """One reason why the order was flagged.

    usual: the value of an ordinary order, None where that is not known.
    contribution: what it adds to the log-odds of fraud. share: of the largest contribution, from 0 to 1.
    """

    code: str
    text: str
    unit: str
    value: float | None
    usual: float | None
    contribution: float
    share: float


def flag_reasons(stored: Sequence[Mapping[str, Any]]) -> tuple[FlagReason, ...]:
    """The reasons as the last screening that flagged the order left them, in its order."""
    largest = max((float(reason.get("contribution", 0.0)) for reason in stored), default=0.0)
    return tuple(
        FlagReason(
            code=reason["code"],
            text=reason["text"],
            unit=reason.get("unit", ""),
            value=reason.get("value"),
            usual=reason.get("usual"),
            contribution=float(reason.get("contribution", 0.0)),
            share=max(0.0, float(reason.get("contribution", 0.0)) / largest) if largest > 0 else 0.0,
        )
        for reason in stored
    )
