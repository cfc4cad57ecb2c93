"""Connections and transactions: SQLite by default, PostgreSQL by URL, with the raw drivers.

A transaction speaks SQL with `?` placeholders on both. Each thread has a connection of its own. Nothing waits
for somebody else's lock longer than the store's limits say: it raises StoreBusy then.
"""

import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from serving.store.errors import CommitUnknown, StoreBusy, StoreLost, StoreNotMigrated, StoreUnavailable
from serving.store.migrate import HEAD_REVISION
from serving.store.withdrawal import Withdrawal

CHECKPOINT_INTERVAL_S = 0.5
WAL_REUSE_PAGES = 2_000
WAL_LEFT_PAGES = 1_000
"""More than these are not moved between two writes: it would take too long."""
SQLITE_PREFIX = "sqlite:///"

Row = tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class StoreLimits:
    """How long one call may take that waits for somebody else, in seconds.

    sqlite_lock_wait_s, postgresql_lock_wait_s: for a lock, then StoreBusy; on PostgreSQL for each lock.
    connect_s: for a connection across the network, for each address of the server; at least 2.
    statement_s: for a statement across the network; None for as long as it takes.
    """

    sqlite_lock_wait_s: float
    postgresql_lock_wait_s: float
    connect_s: int
    statement_s: float | None


BESIDE_REQUESTS = StoreLimits(
    sqlite_lock_wait_s=10.0, postgresql_lock_wait_s=10.0, connect_s=10, statement_s=None
)
"""Of the worker and of commands: nobody waits for them at a checkout."""
IN_REQUESTS = StoreLimits(sqlite_lock_wait_s=0.0, postgresql_lock_wait_s=0.05, connect_s=2, statement_s=5.0)
"""Of a service process: its event loop may not wait at all, its few threads not long; StoreAccess does it."""


class Transaction(Protocol):
    """One transaction. Raises StoreUnavailable when the database fails."""

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        """Run one statement with `?` placeholders; the rows that it gives, if any."""
        ...

    def execute_many(self, sql: str, parameters: Sequence[Sequence[object]]) -> None:
        """Run one statement for each tuple of parameters."""
        ...

    def lock(self, name: str) -> None:
        """Wait until no other writer holds this id, then hold it until the end of the transaction."""
        ...

    def lock_everyone(self) -> None:
        """Keep every other writer of any customer out until the end of the transaction."""
        ...


class Store(Protocol):
    """Where decisions, ledger and all that belongs to them are kept."""

    @contextmanager
    def writing(self, *lock: str) -> Iterator[Transaction]:
        """A transaction that commits at the end, or rolls back on an exception.

        lock: ids (customers, merchants) whose rows are read and written: no other writer of the same
            id runs at the same time.
        """
        ...

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        """A read-only transaction that sees one state of the store."""
        ...

    @contextmanager
    def withdrawable(self, withdrawal: Withdrawal) -> Iterator[None]:
        """Inside the block, this thread's transactions end where the work is withdrawn before a commit."""
        ...

    def check(self) -> None:
        """Raise StoreUnavailable where the store cannot be read or written now; changes nothing."""
        ...

    def close(self) -> None:
        """Close every connection."""
        ...


def open_store(database_url: str, limits: StoreLimits = BESIDE_REQUESTS) -> Store:
    """Open a migrated store.

    Raises StoreUnavailable if the database cannot be reached (StoreBusy where it is locked),
    StoreNotMigrated if its tables are not those of this code.
    """
    store: Store
    if database_url.startswith(SQLITE_PREFIX):
        store = SqliteStore(Path(database_url.removeprefix(SQLITE_PREFIX)), limits)
    else:
        store = PostgresqlStore(database_url, limits)
    with ExitStack() as on_failure:
        on_failure.callback(store.close)
        _refuse_other_revision(store)
        on_failure.pop_all()
    return store


def _refuse_other_revision(store: Store) -> None:
    try:
        with store.reading() as tx:
            rows = tx.execute("SELECT version_num FROM alembic_version")
    except StoreUnavailable as problem:
        if "alembic_version" in str(problem):
            raise StoreNotMigrated("the store has no tables yet: run `bonitas migrate`") from problem
        raise
    if not rows or rows[0][0] != HEAD_REVISION:
        found = rows[0][0] if rows else "none"
        raise StoreNotMigrated(
            f"the store is at revision {found}, this code needs {HEAD_REVISION}: run `bonitas migrate`"
        )


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

    def lock(self, name: str) -> None:
        """Nothing to do: SQLite has one writer."""

    def lock_everyone(self) -> None:
        """Nothing to do: SQLite has one writer."""


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
        try:
            self._file = _identity(self._path)
        except FileNotFoundError as problem:
            raise StoreNotMigrated(f"{path} does not exist: run `bonitas migrate`") from problem
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._log_is_long = threading.Event()
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
            connection.execute("PRAGMA cache_size=-64000")
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
        _SqliteTransaction(self._connection()).execute("DELETE FROM alembic_version WHERE 0")

    @contextmanager
    def withdrawable(self, withdrawal: Withdrawal) -> Iterator[None]:  # noqa: ARG002 - it answers at once
        """Nothing to do: SQLite leaves nobody waiting for an answer."""
        yield

    @contextmanager
    def writing(self, *lock: str) -> Iterator[Transaction]:  # noqa: ARG002 - SQLite has one writer for all ids
        """A write transaction; SQLite lets one run at a time, whatever the ids."""
        with self._transaction(BEGIN_WRITING) as tx:
            yield tx

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        """A read transaction on one snapshot."""
        with self._transaction("BEGIN") as tx:
            yield tx

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
        except BaseException:
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


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


@lru_cache(maxsize=512)
def _with_percent_placeholders(sql: str) -> str:
    return sql.replace("?", "%s")


_POSTGRESQL_BUSY = (
    psycopg.errors.LockNotAvailable,
    # One of two transactions that wait for each other was rolled back: it may simply try again.
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
)

NETWORK_PARAMETERS = {
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""libpq's: a server that is not reached any more breaks the connection after about ten seconds."""


def _postgresql_error(problem: psycopg.Error) -> StoreUnavailable:
    is_busy = isinstance(problem, _POSTGRESQL_BUSY)
    return StoreBusy(str(problem)) if is_busy else StoreUnavailable(str(problem))


class _PostgresqlTransaction:
    def __init__(self, connection: "psycopg.Connection[Row]") -> None:
        self._connection = connection

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        try:
            cursor = self._connection.execute(_with_percent_placeholders(sql).encode(), parameters)
            return cursor.fetchall() if cursor.description is not None else []
        except psycopg.Error as problem:
            raise _postgresql_error(problem) from problem

    def execute_many(self, sql: str, parameters: Sequence[Sequence[object]]) -> None:
        try:
            with self._connection.cursor() as cursor:
                cursor.executemany(_with_percent_placeholders(sql).encode(), parameters)
        except psycopg.Error as problem:
            raise _postgresql_error(problem) from problem

    def lock(self, name: str) -> None:
        self.execute("SELECT pg_advisory_xact_lock(hashtextextended(?, 0))", (name,))

    def lock_everyone(self) -> None:
        # Whoever writes about a customer moves the customer's clock.
        self.execute("LOCK TABLE customer_clocks IN EXCLUSIVE MODE")


class PostgresqlStore:
    """The store on PostgreSQL: writers of the same customer wait for each other, others do not."""

    def __init__(self, database_url: str, limits: StoreLimits = BESIDE_REQUESTS) -> None:
        self._url = database_url
        self._limits = limits
        self._local = threading.local()
        self._connections: list[psycopg.Connection[Row]] = []
        self._lock = threading.Lock()
        # Milliseconds. With each transaction and not for the session, of which a pooler may give us another.
        statement_ms = 0 if limits.statement_s is None else round(limits.statement_s * 1000)
        self._set_limits = (
            f"SET LOCAL lock_timeout = {round(limits.postgresql_lock_wait_s * 1000)}; "
            f"SET LOCAL statement_timeout = {statement_ms}"
        )

    def _connect(self) -> "psycopg.Connection[Row]":
        try:
            own = {"connect_timeout": self._limits.connect_s, **NETWORK_PARAMETERS}
            given = conninfo_to_dict(self._url)
            missing = {name: value for name, value in own.items() if name not in given}
            connection = psycopg.connect(
                make_conninfo(self._url, **missing), autocommit=True, prepare_threshold=1
            )
        except psycopg.Error as problem:
            raise _postgresql_error(problem) from problem
        with self._lock:
            self._connections.append(connection)
        return connection

    def _connection(self) -> "psycopg.Connection[Row]":
        connection: psycopg.Connection[Row] | None = getattr(self._local, "connection", None)
        if connection is not None and connection.closed:
            with self._lock:
                # Whoever closes the store meanwhile has forgotten it already.
                if connection in self._connections:
                    self._connections.remove(connection)
            connection.close()
            connection = None
        if connection is None:
            connection = self._local.connection = self._connect()
        return connection

    @contextmanager
    def writing(self, *lock: str) -> Iterator[Transaction]:
        """A write transaction that holds an advisory lock on each id, taken in one order.

        Raises CommitUnknown where the connection breaks during the commit.
        """
        with self._transaction("BEGIN", is_writing=True) as tx:
            for name in sorted(set(lock)):
                tx.lock(name)
            yield tx

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        """A read transaction on one snapshot."""
        begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
        with self._transaction(begin, is_writing=False) as tx:
            yield tx

    @contextmanager
    def withdrawable(self, withdrawal: Withdrawal) -> Iterator[None]:
        """Inside the block, this thread's transactions end where the work is withdrawn before a commit."""
        self._local.withdrawal = withdrawal
        try:
            yield
        finally:
            self._local.withdrawal = None

    def check(self) -> None:
        """Raise StoreUnavailable where the store cannot be read now; changes nothing."""
        with self.reading() as tx:
            tx.execute("SELECT version_num FROM alembic_version")

    @contextmanager
    def _transaction(self, begin: str, *, is_writing: bool) -> Iterator[Transaction]:
        withdrawal: Withdrawal | None = getattr(self._local, "withdrawal", None)
        connection = self._connection()
        try:
            try:
                self._begin(connection, begin, withdrawal)
            except StoreUnavailable:
                # The server closed an idle connection: nothing was begun, so a new one may try once.
                if not connection.closed:
                    raise
                if withdrawal is not None:
                    withdrawal.ended()
                connection = self._connection()
                self._begin(connection, begin, withdrawal)
            yield _PostgresqlTransaction(connection)
            if withdrawal is not None and is_writing:
                withdrawal.commits()
            _commit(connection, is_writing=is_writing)
        except BaseException:
            _roll_back(connection)
            raise
        finally:
            if withdrawal is not None:
                withdrawal.ended()

    def _begin(
        self, connection: "psycopg.Connection[Row]", begin: str, withdrawal: Withdrawal | None
    ) -> None:
        if withdrawal is not None:
            withdrawal.begins(connection.pgconn.socket)
        try:
            # In one message, and unprepared, because only one statement can be prepared at a time.
            connection.execute(f"{begin}; {self._set_limits}".encode(), prepare=False)
        except psycopg.Error as problem:
            raise _postgresql_error(problem) from problem

    def close(self) -> None:
        """Close every connection."""
        with self._lock:
            for connection in self._connections:
                connection.close()
            self._connections.clear()
        self._local = threading.local()


def _commit(connection: "psycopg.Connection[Row]", *, is_writing: bool) -> None:
    try:
        # Unprepared, because to prepare it would be a message more, and one more that may be lost.
        connection.execute("COMMIT", prepare=False)
    except psycopg.Error as problem:
        if is_writing and connection.closed:
            raise CommitUnknown(f"the connection broke during the commit: {problem}") from problem
        raise _postgresql_error(problem) from problem


def _roll_back(connection: "psycopg.Connection[Row]") -> None:
    if connection.closed:
        return
    try:
        connection.rollback()
    except psycopg.Error:
        # The server rolls back what it does not hear of again.
        connection.close()


def now_ms() -> int:
    """The clock at the rim: milliseconds since 1970 UTC."""
    return time.time_ns() // 1_000_000
