"""The stages of an answer to a checkout, and how long each of them takes."""

from collections.abc import Callable, Mapping
from enum import StrEnum


class Stage(StrEnum):
    """What is done one after the other, from the decoded body to the answer.

    BODY: the order is checked and brought to one form. TURN: it waits for the lock of its customer, or for
    the one writer, and looks for an earlier answer. READ: rows are read, and features computed. JUDGE: model
    and rules. KEEP: decision, order and reservation are written. COMMIT: all that is made durable, together
    with the decisions that were ready at the same time.
    """

    BODY = "body"
    TURN = "turn"
    READ = "read"
    JUDGE = "judge"
    KEEP = "keep"
    COMMIT = "commit"


class StageClock:
    """Takes the time of the stages of one answer. seconds_now: a clock that never goes back."""

    def __init__(self, seconds_now: Callable[[], float]) -> None:
        self._seconds_now = seconds_now
        self._last_ended_at = seconds_now()
        self._seconds: dict[Stage, float] = {}

    def ended(self, stage: Stage) -> None:
        """All since the end of the stage before was this stage; one that is begun anew counts each time."""
        now = self._seconds_now()
        self._seconds[stage] = self._seconds.get(stage, 0.0) + now - self._last_ended_at
        self._last_ended_at = now

    @classmethod
    def stopped(cls) -> "StageClock":
        """For whoever does not ask how long the stages take."""
        return cls(lambda: 0.0)

    @property
    def seconds(self) -> Mapping[Stage, float]:
        """Of the stages that ended."""
        return self._seconds
