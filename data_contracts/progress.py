"""How long work tells its caller where it stands, without knowing about terminals."""

from typing import Protocol


class Progress(Protocol):
    """Called now and then during long work; `done` of `total` units of `step` are finished."""

    def __call__(self, step: str, *, done: int, total: int) -> None:
        """Take note; must return quickly."""


def no_progress(step: str, *, done: int, total: int) -> None:
    """Tell nobody."""
