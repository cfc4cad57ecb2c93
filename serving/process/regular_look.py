"""A look at what changes elsewhere, again and again beside the requests."""

import threading
from collections.abc import Callable


class RegularLook:
    """Calls `look` once when it starts, and every few seconds afterwards in a thread of its own.

    look: catches what it can fail with, or the looking ends. name: of the thread.
    """

    def __init__(self, look: Callable[[], None], *, name: str, every_seconds: float) -> None:
        self._look = look
        self._every_seconds = every_seconds
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Look once, here and now, and go on in the background."""
        self._look()
        self._thread.start()

    def stop(self) -> None:
        """End the thread; returns when it has ended."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(self._every_seconds):
            self._look()
