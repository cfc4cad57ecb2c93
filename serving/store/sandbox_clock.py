"""The clock of a store: the machine's, and in a sandbox one that can be moved on, by whom every process goes.

A store is a sandbox where it was marked as one while it was new and empty; nothing takes the mark away. How
far its clock is ahead lies in the store as steps: each names the instant of the machine's clock from which it
counts. That lies a second ahead when a step is written, and processes look twice a second, so that all of
them change at once and none stamps an instant that lies before what another has stamped already.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from data_contracts.instants import DAY_MS
from serving.store.errors import StoreError, StoreUnavailable
from serving.store.schema_revisions import OLDEST_CODE_TABLE
from serving.store.store import Store, Transaction, now_ms

Clock = Callable[[], int]
"""Milliseconds since 1970 UTC."""

LOOK_SECONDS = 0.5
EFFECTIVE_AFTER_MS = 1_000
SANDBOX_REVISION = "0015"
"""Code of before would go by the machine's clock."""
LONGEST_STEP_MS = 3_660 * DAY_MS
"""Ten years: a step further is a mistake of units."""
_LOCK = "sandbox-clock"


class NoSandbox(StoreError):
    """The store is no sandbox: its clock is the machine's, and nothing moves it."""


class NotEmpty(StoreError):
    """The store holds rows already, so that it cannot be made a sandbox any more."""


class StepRefused(StoreError):
    """The clock of a sandbox is moved forward, and by ten years at most at a time."""


@dataclass(frozen=True, kw_only=True)
class ClockStep:
    """From `effective_at_ms` on, by the machine's clock, the sandbox is `ahead_ms` ahead of it."""

    effective_at_ms: int
    ahead_ms: int


def clock_steps(tx: Transaction) -> tuple[ClockStep, ...]:
    """In their order; () where the store is no sandbox."""
    rows = tx.execute("SELECT effective_at_ms, ahead_ms FROM sandbox_clock_steps ORDER BY step")
    return tuple(ClockStep(effective_at_ms=int(at_ms), ahead_ms=int(ahead_ms)) for at_ms, ahead_ms in rows)


def ahead_ms_at(steps: Sequence[ClockStep], machine_ms: int) -> int:
    """How far a sandbox is ahead at an instant of the machine's clock.

    >>> steps = ClockStep(effective_at_ms=10, ahead_ms=0), ClockStep(effective_at_ms=50, ahead_ms=900)
    >>> [ahead_ms_at(steps, machine_ms) for machine_ms in (5, 49, 50, 60)]
    [0, 0, 900, 900]
    """
    return next((step.ahead_ms for step in reversed(steps) if step.effective_at_ms <= machine_ms), 0)


class SandboxClock:
    """The clock of a sandbox as this process has last read it. machine_now_ms: the machine's clock."""

    def __init__(self, steps: Sequence[ClockStep], *, machine_now_ms: Clock = now_ms) -> None:
        self._steps = tuple(steps)
        self._machine_now_ms = machine_now_ms

    def now_ms(self) -> int:
        """The time in the sandbox, milliseconds since 1970 UTC."""
        machine_ms = self._machine_now_ms()
        return machine_ms + ahead_ms_at(self._steps, machine_ms)

    def ahead_ms(self) -> int:
        """How far it is ahead of the machine's clock now."""
        return ahead_ms_at(self._steps, self._machine_now_ms())

    def look(self, store: Store) -> None:
        """Take over what was written since. Raises StoreUnavailable, also where the store is no sandbox."""
        with store.reading() as tx:
            steps = clock_steps(tx)
        if not steps:
            raise StoreUnavailable("the store was a sandbox and is none now: start the process anew")
        self._steps = steps


def sandbox_of(store: Store) -> SandboxClock | None:
    """The clock of a sandbox; None where the store is none. Raises StoreUnavailable."""
    with store.reading() as tx:
        steps = clock_steps(tx)
    return SandboxClock(steps) if steps else None


def clock_of(store: Store) -> Clock:
    """By which a store goes now; in a sandbox as of this look. Raises StoreUnavailable."""
    sandbox = sandbox_of(store)
    return now_ms if sandbox is None else sandbox.now_ms


def mark_as_sandbox(store: Store, *, machine_now_ms: Clock = now_ms) -> None:
    """Make a new store a sandbox, for good; harmless where it is one.

    Raises NotEmpty where any of its tables holds a row, StoreUnavailable.
    """
    from serving.store.tables import metadata  # noqa: PLC0415 - SQLAlchemy, which no service process loads

    with store.writing(_LOCK) as tx:
        if clock_steps(tx):
            return
        tx.lock_everyone()
        for table in metadata.sorted_tables:
            if tx.execute(f'SELECT 1 FROM "{table.name}" LIMIT 1'):  # noqa: S608 - a declared name
                raise NotEmpty(
                    f"the store holds rows (in {table.name}): only a new and empty one becomes a sandbox"
                )
        machine_ms = machine_now_ms()
        _write_step(tx, 0, asked_at_ms=machine_ms, effective_at_ms=machine_ms, ahead_ms=0)
        tx.execute(
            f"UPDATE {OLDEST_CODE_TABLE} SET version_num = ? WHERE version_num < ?",  # noqa: S608 - a constant
            (SANDBOX_REVISION, SANDBOX_REVISION),
        )


def advance(store: Store, by_ms: int, *, machine_now_ms: Clock = now_ms) -> ClockStep:
    """Move a sandbox's clock on; every process goes by it from the step's instant on.

    by_ms: on top of all steps before. Raises NoSandbox, StepRefused, StoreUnavailable.
    """
    if not 0 < by_ms <= LONGEST_STEP_MS:
        raise StepRefused("the clock of a sandbox is moved forward, by ten years at most at a time")
    with store.writing(_LOCK) as tx:
        steps = clock_steps(tx)
        if not steps:
            raise NoSandbox("the store is no sandbox: its clock is the machine's, and nothing moves it")
        machine_ms = machine_now_ms()
        # Never before a step that is still to come: it would take this one back.
        effective_at_ms = max(machine_ms + EFFECTIVE_AFTER_MS, steps[-1].effective_at_ms)
        step = ClockStep(effective_at_ms=effective_at_ms, ahead_ms=steps[-1].ahead_ms + by_ms)
        _write_step(
            tx,
            len(steps),
            asked_at_ms=machine_ms,
            effective_at_ms=step.effective_at_ms,
            ahead_ms=step.ahead_ms,
        )
    return step


def wait_until_effective(step: ClockStep) -> None:
    """Until the machine's clock has come to a step."""
    while (left_ms := step.effective_at_ms - now_ms()) > 0:
        time.sleep(left_ms / 1_000)


def _write_step(
    tx: Transaction, number: int, *, asked_at_ms: int, effective_at_ms: int, ahead_ms: int
) -> None:
    tx.execute(
        "INSERT INTO sandbox_clock_steps (step, asked_at_ms, effective_at_ms, ahead_ms) VALUES (?, ?, ?, ?)",
        (number, asked_at_ms, effective_at_ms, ahead_ms),
    )
