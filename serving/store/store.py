"""What a store is: connections and transactions, the same for SQLite and PostgreSQL, with the raw drivers.

A transaction speaks SQL with `?` placeholders on both. Each thread has a connection of its own. Nothing waits
for somebody else's lock longer than the store's limits say: it raises StoreBusy then.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol

from serving.store.withdrawal import Withdrawal

Row = tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class StoreLimits:
    """How long one call may take that waits for somebody else, in seconds.

    sqlite_lock_wait_s, postgresql_lock_wait_s: for a lock, then StoreBusy; on PostgreSQL for each lock.
    connect_s: for a connection across the network, for each address of the server; at least 2.
    statement_s: for a statement across the network; None for as long as it takes.
    sqlite_cache_mib: pages of the file that each connection keeps in memory.
    """

    sqlite_lock_wait_s: float
    postgresql_lock_wait_s: float
    connect_s: int
    statement_s: float | None
    sqlite_cache_mib: int = 64


BESIDE_REQUESTS = StoreLimits(
    sqlite_lock_wait_s=10.0, postgresql_lock_wait_s=10.0, connect_s=10, statement_s=None
)
"""Of the worker and of commands: nobody waits for them at a checkout."""
IN_WORKER = replace(BESIDE_REQUESTS, sqlite_cache_mib=16)
"""It reads little at a time, and several may run on one machine."""
IN_REQUESTS = StoreLimits(
    sqlite_lock_wait_s=0.0, postgresql_lock_wait_s=0.05, connect_s=2, statement_s=5.0, sqlite_cache_mib=16
)
"""Of a service process: its event loop may not wait at all, its few threads not long; StoreAccess does it.

Its cache is small because of the commits: where a write parted a page, SQLite looks at every page that it
keeps, which took half a millisecond of a commit with 64 MiB. What is not kept the system has in its memory.
"""


@dataclass(frozen=True, kw_only=True)
class RunningWriters:
    """Who writes now, by the numbers that the database gives its writers in the order in which they begin.

    oldest: every writer below it has ended. next: of the writer that begins next.
    """

    oldest: int
    next: int


class Transaction(Protocol):
    """One transaction. Raises StoreUnavailable when the database fails."""

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        """Run one statement with `?` placeholders; the rows that it gives, if any."""
        ...

    def execute_many(self, sql: str, parameters: Sequence[Sequence[object]]) -> None:
        """Run one statement for each tuple of parameters."""
        ...

    def with_commas(self, column: str) -> str:
        """SQL for the texts that a column has in a group of rows: one text, with commas between them."""
        ...

    def lock(self, name: str) -> None:
        """Wait until no other writer holds this id, then hold it until the end of the transaction."""
        ...

    def lock_everyone(self) -> None:
        """Keep every other writer of any customer out until the end of the transaction."""
        ...

    def running_writers(self) -> RunningWriters:
        """Who writes now: of those that have ended, a later statement sees all that they committed."""
        ...


class Store(Protocol):
    """Where decisions, ledger and all that belongs to them are kept."""

    def writing(self, *lock: str) -> AbstractContextManager[Transaction]:
        """A transaction that commits at the end, or rolls back on an exception.

        lock: ids (customers, merchants) whose rows are read and written: no other writer of the same
            id runs at the same time.
        """
        ...

    def reading(self) -> AbstractContextManager[Transaction]:
        """A read-only transaction that sees one state of the store."""
        ...

    @contextmanager
    def withdrawable(self, withdrawal: Withdrawal) -> Iterator[None]:
        """Inside the block, this thread's transactions end where the work is withdrawn before a commit."""
        ...

    def check(self) -> None:
        """Raise StoreUnavailable where the store cannot be read or written now; changes nothing."""
        ...

    def count_anew(self) -> None:
        """After many rows came in at once: let the database see how many there are, for its query plans."""
        ...

    def close(self) -> None:
        """Close every connection."""
        ...


def now_ms() -> int:
    """The clock at the rim: milliseconds since 1970 UTC."""
    return time.time_ns() // 1_000_000
