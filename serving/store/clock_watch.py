"""Keeps the clock of a sandbox at hand: a thread reads twice a second how far it was moved."""

import logging
from collections.abc import Callable

from serving.process.regular_look import RegularLook
from serving.store.errors import StoreError
from serving.store.sandbox_clock import LOOK_SECONDS, SandboxClock
from serving.store.store import Store

LOG = logging.getLogger("bonitas.store")


class ClockWatch:
    """Looks as long as the store is a sandbox or not known; of a store that is known to be real, never.

    sandbox: its clock, None while that is not known or where the store is none. is_real: whether it is known
        to be none.
    A look that fails leaves the clock as it was read last.
    """

    def __init__(
        self,
        open_store: Callable[[], Store],
        *,
        sandbox: Callable[[], SandboxClock | None],
        is_real: Callable[[], bool],
    ) -> None:
        self._open_store = open_store
        self._sandbox = sandbox
        self._is_real = is_real
        self._problem: str | None = None
        self._told_ms: int | None = None
        self._looking: RegularLook | None = None

    def start(self) -> None:
        """Look once, here and now, and go on in the background where the store may be a sandbox."""
        if not self._is_real():
            self._looking = RegularLook(self.look, name="sandbox-clock", every_seconds=LOOK_SECONDS)
            self._looking.start()

    def stop(self) -> None:
        """End the looking; returns when it has ended."""
        if self._looking is not None:
            self._looking.stop()

    def look(self) -> None:
        """Look once."""
        sandbox = self._sandbox()
        if sandbox is None:
            return
        try:
            sandbox.look(self._open_store())
        except StoreError as problem:
            # Told once and not at each look: it may last.
            if str(problem) != self._problem:
                LOG.warning("sandbox_clock_not_read", extra={"reason": str(problem)})
            self._problem = str(problem)
            return
        except Exception:  # one look that fails must not end the looking, or the clock stands still
            LOG.exception("sandbox_clock_look_failed")
            return
        self._problem = None
        ahead_ms = sandbox.ahead_ms()
        if ahead_ms != self._told_ms:
            LOG.info("sandbox_clock", extra={"ahead_seconds": ahead_ms / 1_000})
        self._told_ms = ahead_ms
