"""Connections and transactions: SQLite by default, PostgreSQL by URL, with the raw drivers.

A transaction speaks SQL with `?` placeholders on both. Each thread has a connection of its own.
"""

import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import psycopg

from serving.store.errors import StoreNotMigrated, StoreUnavailable
from serving.store.migrate import HEAD_REVISION

BUSY_TIMEOUT_S = 10.0
CHECKPOINT_INTERVAL_S = 0.5
WAL_REUSE_PAGES = 2_000
SQLITE_PREFIX = "sqlite:///"

Row = tuple[Any, ...]


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

    def close(self) -> None:
        """Close every connection."""
        ...


def open_store(database_url: str) -> Store:
    """Open a migrated store.

    Raises StoreUnavailable if the database cannot be reached, StoreNotMigrated if its tables are not
    those of this code.
    """
    store: Store
    if database_url.startswith(SQLITE_PREFIX):
        store = SqliteStore(Path(database_url.removeprefix(SQLITE_PREFIX)))
    else:
        store = PostgresqlStore(database_url)
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


class _SqliteTransaction:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        try:
            return self._connection.execute(sql, parameters).fetchall()
        except sqlite3.Error as problem:
            raise StoreUnavailable(str(problem)) from problem

    def execute_many(self, sql: str, parameters: Sequence[Sequence[object]]) -> None:
        try:
            self._connection.executemany(sql, parameters)
        except sqlite3.Error as problem:
            raise StoreUnavailable(str(problem)) from problem

    def lock(self, name: str) -> None:
        """Nothing to do: SQLite has one writer."""

    def lock_everyone(self) -> None:
        """Nothing to do: SQLite has one writer."""


class SqliteStore:
    """The embedded store: WAL, durable commits, and the checkpoint in a thread of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        if not path.exists():
            raise StoreNotMigrated(f"{path} does not exist: run `bonitas migrate`")
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._log_is_long = threading.Event()
        self._checkpointer = threading.Thread(target=self._checkpoint, name="wal-checkpoint", daemon=True)
        self._checkpointer.start()

    def _connect(self) -> sqlite3.Connection:
        try:
            connection = sqlite3.connect(
                self._path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            # The checkpoint would cost one request in a thousand ten milliseconds: a thread does it.
            connection.execute("PRAGMA wal_autocheckpoint=0")
            connection.execute("PRAGMA cache_size=-64000")
        except sqlite3.Error as problem:
            raise StoreUnavailable(str(problem)) from problem
        with self._lock:
            self._connections.append(connection)
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
                _busy, wal_pages, _moved = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                if wal_pages > WAL_REUSE_PAGES:
                    self._log_is_long.set()
            except (sqlite3.Error, StoreUnavailable):
                # A request that meets the same trouble reports it; the checkpoint just tries again.
                connection = None

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
        connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_S * 1000:.0f}")

    @contextmanager
    def writing(self, *lock: str) -> Iterator[Transaction]:  # noqa: ARG002 - SQLite has one writer for all ids
        """A write transaction; SQLite lets one run at a time, whatever the ids."""
        with self._transaction("BEGIN IMMEDIATE") as tx:
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
        fails, it raises StoreUnavailable and none of them happened.
        """
        with self._transaction("BEGIN IMMEDIATE"):
            self._local.together = True
            try:
                yield
            finally:
                self._local.together = False

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[Transaction]:
        connection = self._connection()
        tx = _SqliteTransaction(connection)
        together = getattr(self._local, "together", False)
        begin, commit, rollback = (
            ("SAVEPOINT part", "RELEASE part", "ROLLBACK TO part")
            if together
            else (begin, "COMMIT", "ROLLBACK")
        )
        if begin == "BEGIN IMMEDIATE" and self._log_is_long.is_set():
            self._start_log_over(connection)
        tx.execute(begin)
        try:
            yield tx
            tx.execute(commit)
        except BaseException:
            if connection.in_transaction:
                connection.execute(rollback)
                if together:
                    connection.execute(commit)
            raise

    def close(self) -> None:
        """Stop the checkpoint thread and close every connection."""
        self._closing.set()
        self._checkpointer.join()
        with self._lock:
            for connection in self._connections:
                connection.close()
            self._connections.clear()
        self._local = threading.local()


@lru_cache(maxsize=512)
def _with_percent_placeholders(sql: str) -> str:
    return sql.replace("?", "%s")


class _PostgresqlTransaction:
    def __init__(self, connection: "psycopg.Connection[Row]") -> None:
        self._connection = connection

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        try:
            cursor = self._connection.execute(_with_percent_placeholders(sql).encode(), parameters)
            return cursor.fetchall() if cursor.description is not None else []
        except psycopg.Error as problem:
            raise StoreUnavailable(str(problem)) from problem

    def execute_many(self, sql: str, parameters: Sequence[Sequence[object]]) -> None:
        try:
            with self._connection.cursor() as cursor:
                cursor.executemany(_with_percent_placeholders(sql).encode(), parameters)
        except psycopg.Error as problem:
            raise StoreUnavailable(str(problem)) from problem

    def lock(self, name: str) -> None:
        self.execute("SELECT pg_advisory_xact_lock(hashtextextended(?, 0))", (name,))

    def lock_everyone(self) -> None:
        # Whoever writes about a customer moves the customer's clock.
        self.execute("LOCK TABLE customer_clocks IN EXCLUSIVE MODE")


class PostgresqlStore:
    """The store on PostgreSQL: writers of the same customer wait for each other, others do not."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._local = threading.local()
        self._connections: list[psycopg.Connection[Row]] = []
        self._lock = threading.Lock()

    def _connection(self) -> "psycopg.Connection[Row]":
        connection: psycopg.Connection[Row] | None = getattr(self._local, "connection", None)
        if connection is None or connection.closed:
            try:
                connection = psycopg.connect(self._url, autocommit=True, prepare_threshold=1)
            except psycopg.Error as problem:
                raise StoreUnavailable(str(problem)) from problem
            self._local.connection = connection
            with self._lock:
                self._connections.append(connection)
        return connection

    @contextmanager
    def writing(self, *lock: str) -> Iterator[Transaction]:
        """A write transaction that holds an advisory lock on each id, taken in one order."""
        with self._transaction("BEGIN") as tx:
            for name in sorted(set(lock)):
                tx.lock(name)
            yield tx

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        """A read transaction on one snapshot."""
        with self._transaction("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY") as tx:
            yield tx

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[Transaction]:
        connection = self._connection()
        tx = _PostgresqlTransaction(connection)
        try:
            tx.execute(begin)
        except StoreUnavailable:
            # The server closed an idle connection: nothing was begun, so a new one may try once.
            if not connection.closed:
                raise
            connection = self._connection()
            tx = _PostgresqlTransaction(connection)
            tx.execute(begin)
        try:
            yield tx
            tx.execute("COMMIT")
        except BaseException:
            if not connection.closed:
                connection.rollback()
            raise

    def close(self) -> None:
        """Close every connection."""
        with self._lock:
            for connection in self._connections:
                connection.close()
            self._connections.clear()
        self._local = threading.local()


def now_ms() -> int:
    """The clock at the rim: milliseconds since 1970 UTC."""
    return time.time_ns() // 1_000_000
