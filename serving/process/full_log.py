"""Messages that nobody can take: a log on a full disk, or behind a pipe that was closed, ends no process."""

import sys
from contextlib import suppress
from typing import Any, TextIO


class _LossyStream:
    """A text stream whose failed writes are lost."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write what can be written; the length of the text, as if it all were."""
        with suppress(OSError):  # there is nowhere left to say so
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """As above."""
        with suppress(OSError):  # as above
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def lose_what_cannot_be_logged() -> None:
    """Let what this process says on stderr be lost where it cannot be written, instead of ending it."""
    if not isinstance(sys.stderr, _LossyStream):
        sys.stderr = _LossyStream(sys.stderr)
