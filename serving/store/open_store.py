"""Opens a migrated store by its URL: SQLite or PostgreSQL."""

from contextlib import ExitStack
from pathlib import Path

from serving.store.errors import StoreNotMigrated, StoreUnavailable
from serving.store.migrate import HEAD_REVISION
from serving.store.sqlite_store import SqliteStore
from serving.store.store import BESIDE_REQUESTS, Store, StoreLimits

SQLITE_PREFIX = "sqlite:///"


def open_store(database_url: str, limits: StoreLimits = BESIDE_REQUESTS) -> Store:
    """Open a migrated store.

    Raises StoreUnavailable if the database cannot be reached (StoreBusy where it is locked),
    StoreNotMigrated if its tables are not those of this code.
    """
    store: Store
    if database_url.startswith(SQLITE_PREFIX):
        store = SqliteStore(Path(database_url.removeprefix(SQLITE_PREFIX)), limits)
    else:
        # psycopg takes a tenth of a service's start, and the embedded store does without it.
        from serving.store.postgresql_store import PostgresqlStore  # noqa: PLC0415 - see above

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
