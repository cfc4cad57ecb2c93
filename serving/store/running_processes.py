"""Which processes work on a store, and of which revision their code is: each says so every few seconds.

A migration that takes something away asks here whether code that still needs it is running.
"""

import os
import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from data_contracts.instants import DAY_MS, SECOND_MS
from serving.store.schema_revisions import THIS_CODE, require_usable
from serving.store.store import Store, Transaction

SAID_EVERY_SECONDS = 20.0
MIGRATING = "bonitas-migration"
"""The lock of whoever migrates, and of a process that registers."""
RUNNING_MS = 60 * SECOND_MS
"""A process that has said nothing for so long does not run. Machines' clocks must not be further apart."""


class ProcessKind(Enum):
    """What a process does."""

    SERVICE = "service"
    WORKER = "worker"


@dataclass(frozen=True, kw_only=True)
class RunningProcess:
    """A process as it registered. code_revision: the last migration that its code comes with."""

    process_id: str
    kind: str
    host: str
    pid: int
    code_revision: str
    started_at_ms: int
    seen_at_ms: int

    @classmethod
    def this(cls, kind: ProcessKind, now_ms: int) -> "RunningProcess":
        """The one that asks, as of its start."""
        return cls(
            process_id=secrets.token_hex(8),
            kind=kind.value,
            host=socket.gethostname(),
            pid=os.getpid(),
            code_revision=THIS_CODE.own,
            started_at_ms=now_ms,
            seen_at_ms=now_ms,
        )

    def in_words(self) -> str:
        """Who it is, for whoever is to end it."""
        return f"{self.kind} {self.pid} on {self.host} (code of revision {self.code_revision})"


_COLUMNS = "process_id, kind, host, pid, code_revision, started_at_ms, seen_at_ms"


def say_that_it_runs(tx: Transaction, process: RunningProcess, now_ms: int) -> None:
    """Register a process, and again. Raises StoreNotMigrated where its code may not work here any more."""
    # Either a migration that takes something away finds the row, or it is found here.
    tx.lock(MIGRATING)
    require_usable(tx)
    tx.execute(
        f"INSERT INTO running_processes ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?) "  # noqa: S608 - a constant
        "ON CONFLICT (process_id) DO UPDATE SET seen_at_ms = excluded.seen_at_ms",
        (
            process.process_id,
            process.kind,
            process.host,
            process.pid,
            process.code_revision,
            process.started_at_ms,
            now_ms,
        ),
    )
    tx.execute("DELETE FROM running_processes WHERE seen_at_ms < ?", (now_ms - DAY_MS,))
    # Of a clock that was ahead: whoever runs says so again, who does not is silent from now on.
    tx.execute(
        "UPDATE running_processes SET seen_at_ms = ? WHERE seen_at_ms > ?", (now_ms, now_ms + RUNNING_MS)
    )


def say_that_it_ended(tx: Transaction, process: RunningProcess) -> None:
    """Take a process out that ends by itself; one that is killed is taken out by its silence."""
    tx.execute("DELETE FROM running_processes WHERE process_id = ?", (process.process_id,))


class Registration:
    """Keeps a process registered; for one thread. monotonic: a clock in seconds that only moves on."""

    def __init__(
        self,
        kind: ProcessKind,
        *,
        now_ms: Callable[[], int],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._process = RunningProcess.this(kind, now_ms())
        self._now_ms = now_ms
        self._monotonic = monotonic
        self._due_at = monotonic()

    def renew(self, store: Store) -> None:
        """Say that it runs, where that is due. Raises StoreUnavailable, and as `say_that_it_runs`."""
        if self._monotonic() < self._due_at:
            return
        with store.writing() as tx:
            say_that_it_runs(tx, self._process, self._now_ms())
        self._due_at = self._monotonic() + SAID_EVERY_SECONDS

    def end(self, store: Store) -> None:
        """Say that it has ended. Raises StoreUnavailable."""
        with store.writing() as tx:
            say_that_it_ended(tx, self._process)


def running_processes(tx: Transaction, now_ms: int) -> list[RunningProcess]:
    """Who runs. In doubt a process does: an instant ahead of now counts as now."""
    rows = tx.execute(
        f"SELECT {_COLUMNS} FROM running_processes WHERE seen_at_ms > ? ORDER BY kind, host, pid",  # noqa: S608 - a constant
        (now_ms - RUNNING_MS,),
    )
    return [
        RunningProcess(
            process_id=row[0],
            kind=row[1],
            host=row[2],
            pid=int(row[3]),
            code_revision=row[4],
            started_at_ms=int(row[5]),
            seen_at_ms=int(row[6]),
        )
        for row in rows
    ]
