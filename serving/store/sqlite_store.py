"""The store in a SQLite file: one writer, durable commits, a checkpoint in a thread of its own."""

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from serving.store.errors import StoreBusy, StoreLost, StoreNotMigrated, StoreUnavailable
from serving.store.store import BESIDE_REQUESTS, Row, RunningWriters, StoreLimits, Transaction
from serving.store.withdrawal import Withdrawal

CHECKPOINT_INTERVAL_S = 0.5
WAL_REUSE_PAGES = 2_000
WAL_LEFT_PAGES = 1_000
"""More than these are not moved between two writes: it would take too long."""
DISK_FULL = "the disk of the store is full"
ROOM_BYTES = 1024 * 1024
"""Free space below which only writing tells whether there is room."""
_BEGINNING = b"SQLite format 3\0"
_SQLITE_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_PROTOCOL})


def _sqlite_error(problem: sqlite3.Error) -> StoreUnavailable:
    # Extended codes name the kind of lock above the lowest byte; the module's own errors have no code.
    code = getattr(problem, "sqlite_errorcode", 0) & 0xFF
    return StoreBusy(str(problem)) if code in _SQLITE_BUSY else StoreUnavailable(str(problem))


class _SqliteTransaction:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        try:
            return self._connection.execute(sql, parameters).fetchall()
        except sqlite3.Error as problem:
            raise _sqlite_error(problem) from problem

    def execute_many(self, sql: str, parameters: Sequence[Sequence[object]]) -> None:
        try:
            self._connection.executemany(sql, parameters)
        except sqlite3.Error as problem:
            raise _sqlite_error(problem) from problem

    def with_commas(self, column: str) -> str:
        return f"group_concat({column}, ',')"

    def lock(self, name: str) -> None:
        """Nothing to do: SQLite has one writer."""

    def lock_everyone(self) -> None:
        """Nothing to do: SQLite has one writer."""

    def running_writers(self) -> RunningWriters:
        """Nobody whose commit is still to come has got a position in any log: SQLite has one writer."""
        return RunningWriters(oldest=0, next=0)


BEGIN_WRITING = "BEGIN IMMEDIATE"


@dataclass
class _Block:
    """A transaction that several share. has_parts: one of them has begun in it and was not rolled back."""

    is_begun: bool = True
    has_parts: bool = False


class SqliteStore:
    """The embedded store: WAL, durable commits, and the checkpoint in a thread of its own."""

    def __init__(self, path: Path, limits: StoreLimits = BESIDE_REQUESTS) -> None:
        self._path = path.absolute()
        self._lock_wait_s = limits.sqlite_lock_wait_s
        self._cache_kib = limits.sqlite_cache_mib * 1024
        try:
            self._file = _identity(self._path)
        except FileNotFoundError as problem:
            raise StoreNotMigrated(f"{path} does not exist: run `bonitas migrate`") from problem
        _refuse_what_is_no_database(self._path)
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._log_is_long = threading.Event()
        self._has_failed = threading.Event()
        self._checkpointer: threading.Thread | None = None

    def _connect(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = None
        try:
            connection = sqlite3.connect(
                # rw: where the file is gone, a new empty one would be made in its place.
                f"{self._path.as_uri()}?mode=rw",
                uri=True,
                timeout=self._lock_wait_s,
                isolation_level=None,
                check_same_thread=False,
            )
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            # The checkpoint would cost one request in a thousand ten milliseconds: a thread does it.
            connection.execute("PRAGMA wal_autocheckpoint=0")
            connection.execute(f"PRAGMA cache_size=-{self._cache_kib}")
        except sqlite3.Error as problem:
            if connection is not None:
                connection.close()
            raise _sqlite_error(problem) from problem
        with self._lock:
            self._connections.append(connection)
            if self._checkpointer is None and not self._closing.is_set():
                self._checkpointer = threading.Thread(
                    target=self._checkpoint, name="wal-checkpoint", daemon=True
                )
                self._checkpointer.start()
        return connection

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._connect()
        return connection

    def _checkpoint(self) -> None:
        connection: sqlite3.Connection | None = None
        while not self._closing.wait(CHECKPOINT_INTERVAL_S):
            try:
                connection = connection or self._connect()
                _busy, wal_pages, moved = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            except (sqlite3.Error, StoreUnavailable):
                # A request that meets the same trouble reports it; the checkpoint just tries again.
                if connection is not None:
                    self._discard(connection)
                connection = None
            else:
                # What a long reader holds back is moved here once it has ended, not between two writes.
                if wal_pages > WAL_REUSE_PAGES and wal_pages - moved <= WAL_LEFT_PAGES:
                    self._log_is_long.set()

    def _discard(self, connection: sqlite3.Connection) -> None:
        with self._lock:
            # Whoever closes the store meanwhile has closed it already.
            if connection in self._connections:
                self._connections.remove(connection)
                connection.close()

    def _start_log_over(self, connection: sqlite3.Connection) -> None:
        """Between two writes, move the few pages that the checkpoint left, so that the log begins anew.

        Under steady load the checkpoint alone never catches up: the log would grow without end, and a
        commit that makes a file longer waits twice as long for the disk.
        """
        self._log_is_long.clear()
        # Whoever still reads the log, or another process that writes, is not waited for.
        with suppress(sqlite3.OperationalError):  # the write that follows meets the same trouble and says so
            connection.execute("PRAGMA busy_timeout=0")
            connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
        connection.execute(f"PRAGMA busy_timeout={self._lock_wait_s * 1000:.0f}")

    def check(self) -> None:
        """Raise StoreUnavailable where the store cannot be read or written now; changes nothing.

        Where a transaction failed since, or where there is little room left on the disk, it writes as well.
        StoreLost where its file is gone or another one is in its place: SQLite itself would go on with
        what no name leads to any more. StoreBusy where another process writes just now.
        """
        try:
            is_there = _identity(self._path) == self._file
        except OSError as problem:
            raise StoreLost(f"the file of the store cannot be found: {problem.strerror}") from problem
        if not is_there:
            raise StoreLost("another file lies where the store's was")
        # One statement: the write lock is not held while this thread waits for the interpreter.
        tx = _SqliteTransaction(self._connection())
        tx.execute("DELETE FROM alembic_version WHERE 0")
        room_bytes = self._room_bytes()
        if self._has_failed.is_set() or room_bytes < ROOM_BYTES:
            tx.execute("UPDATE alembic_version SET version_num = version_num")
        if self._has_failed.is_set() and room_bytes < ROOM_BYTES:
            # One page found a place; a decision writes many.
            raise StoreUnavailable(DISK_FULL)
        self._has_failed.clear()

    def _room_bytes(self) -> int:
        """What is free on the disk for this user."""
        try:
            disk = os.statvfs(self._path)
        except OSError as problem:
            raise StoreLost(f"the file of the store cannot be found: {problem.strerror}") from problem
        return disk.f_bavail * disk.f_frsize

    def count_anew(self) -> None:
        """Nothing to do: SQLite plans without counts, by the indexes alone."""

    @contextmanager
    def withdrawable(self, withdrawal: Withdrawal) -> Iterator[None]:  # noqa: ARG002 - it answers at once
        """Nothing to do: SQLite leaves nobody waiting for an answer."""
        yield

    def writing(self, *lock: str) -> AbstractContextManager[Transaction]:  # noqa: ARG002 - SQLite has one writer for all ids
        """A write transaction; SQLite lets one run at a time, whatever the ids."""
        return self._transaction(BEGIN_WRITING)

    def reading(self) -> AbstractContextManager[Transaction]:
        """A read transaction on one snapshot."""
        return self._transaction("BEGIN")

    @contextmanager
    def committing_together(self) -> Iterator[None]:
        """Transactions of this thread inside the block become durable together, at its end.

        Each still rolls back for itself. Nothing may be answered before the block ends; when its commit
        fails, it raises StoreUnavailable and none of them happened. Where the first of them is rolled back,
        the lock is free until the next begins: that one raises StoreBusy if another process took it.
        """
        connection = self._connection()
        if not getattr(self._local, "has_committed_together", False):
            # What a part changes is copied for its rollback, beyond 64 KiB to a file made for each part.
            _SqliteTransaction(connection).execute("PRAGMA temp_store=MEMORY")
            self._local.has_committed_together = True
        with self._rolled_back_on_failure(connection):
            self._begin_writing(connection)
            block = self._local.block = _Block()
            try:
                yield
            finally:
                self._local.block = None
            if block.is_begun:
                _SqliteTransaction(connection).execute("COMMIT")

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[Transaction]:
        connection = self._connection()
        tx = _SqliteTransaction(connection)
        block: _Block | None = getattr(self._local, "block", None)
        if block is None:
            with self._rolled_back_on_failure(connection):
                if begin == BEGIN_WRITING:
                    self._begin_writing(connection)
                else:
                    tx.execute(begin)
                yield tx
                tx.execute("COMMIT")
        elif block.has_parts:
            tx.execute("SAVEPOINT part")
            try:
                yield tx
                tx.execute("RELEASE part")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK TO part")
                    connection.execute("RELEASE part")
                raise
        else:
            # Nothing to keep from before it, so it needs no savepoint, which copies each page that changes.
            if not block.is_begun:
                self._begin_writing(connection)
                block.is_begun = True
            block.has_parts = True
            try:
                yield tx
            except BaseException:
                block.is_begun = block.has_parts = False
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def _begin_writing(self, connection: sqlite3.Connection) -> None:
        if self._log_is_long.is_set():
            self._start_log_over(connection)
        _SqliteTransaction(connection).execute(BEGIN_WRITING)

    @contextmanager
    def _rolled_back_on_failure(self, connection: sqlite3.Connection) -> Iterator[None]:
        try:
            yield
        except BaseException as problem:
            if isinstance(problem, StoreUnavailable) and not isinstance(problem, StoreBusy):
                self._has_failed.set()
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def close(self) -> None:
        """Stop the checkpoint thread and close every connection."""
        self._closing.set()
        with self._lock:
            checkpointer = self._checkpointer
        if checkpointer is not None:
            checkpointer.join()
        with self._lock:
            for connection in self._connections:
                connection.close()
            self._connections.clear()
        self._local = threading.local()


def _refuse_what_is_no_database(path: Path) -> None:
    """SQLite itself would take an empty file for an empty database."""
    try:
        with path.open("rb") as file:
            beginning = file.read(len(_BEGINNING))
    except OSError as problem:
        raise StoreUnavailable(f"{path} cannot be read: {problem.strerror}") from problem
    if beginning != _BEGINNING:
        is_empty = not beginning
        raise StoreLost(
            f"the store {path} is {'an empty file' if is_empty else 'no database'}: `bonitas migrate` says "
            "what to do"
        )


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino
