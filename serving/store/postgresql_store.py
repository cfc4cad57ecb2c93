"""The store on PostgreSQL: locks by customer, limits with each transaction, commits that may be unknown."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from serving.store.errors import CommitUnknown, StoreBusy, StoreUnavailable
from serving.store.store import BESIDE_REQUESTS, Row, RunningWriters, StoreLimits, Transaction
from serving.store.withdrawal import Withdrawal


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

    def with_commas(self, column: str) -> str:
        return f"string_agg({column}, ',')"

    def lock(self, name: str) -> None:
        self.execute("SELECT pg_advisory_xact_lock(hashtextextended(?, 0))", (name,))

    def lock_everyone(self) -> None:
        # Whoever writes about a customer moves the customer's clock.
        self.execute("LOCK TABLE customer_clocks IN EXCLUSIVE MODE")

    def running_writers(self) -> RunningWriters:
        ((oldest, following),) = self.execute(
            "SELECT pg_snapshot_xmin(now)::text::bigint, pg_snapshot_xmax(now)::text::bigint "
            "FROM pg_current_snapshot() AS now"
        )
        return RunningWriters(oldest=int(oldest), next=int(following))


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
        """Raise StoreUnavailable where the store cannot be read or written now; changes nothing."""
        # As a writer: a standby answers every question and keeps nothing.
        with self.writing() as tx:
            tx.execute("DELETE FROM alembic_version WHERE 1 = 0")

    def count_anew(self) -> None:
        """Let PostgreSQL see how many rows there are: by itself it looks a minute later or so."""
        with self.writing() as tx:
            tx.execute("ANALYZE")

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
