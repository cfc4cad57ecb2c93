"""Opens a migrated store by its URL: SQLite or PostgreSQL."""

from contextlib import ExitStack
from pathlib import Path

from serving.store.errors import StoreNotMigrated
from serving.store.schema_revisions import revisions_of, why_not_usable
from serving.store.sqlite_store import SqliteStore
from serving.store.store import BESIDE_REQUESTS, Store, StoreLimits

SQLITE_PREFIX = "sqlite:///"


def sqlite_path(database_url: str) -> Path | None:
    """The file of a SQLite store; None for a server's."""
    return (
        Path(database_url.removeprefix(SQLITE_PREFIX)).absolute()
        if database_url.startswith(SQLITE_PREFIX)
        else None
    )


def opened_unchecked(database_url: str, limits: StoreLimits = BESIDE_REQUESTS) -> Store:
    """A store whatever its tables are, for who makes them. Raises as `open_store`."""
    file = sqlite_path(database_url)
    if file is not None:
        return SqliteStore(file, limits)
    # psycopg takes a tenth of a service's start, and the embedded store does without it.
    from serving.store.postgresql_store import PostgresqlStore  # noqa: PLC0415 - see above

    return PostgresqlStore(database_url, limits)


def open_store(database_url: str, limits: StoreLimits = BESIDE_REQUESTS) -> Store:
    """Open a migrated store.

    Raises StoreUnavailable if the database cannot be reached (StoreBusy where it is locked, StoreLost where
    its file is none), StoreNotMigrated if this code may not work on its tables (`schema_revisions`).
    """
    store = opened_unchecked(database_url, limits)
    with ExitStack() as on_failure:
        on_failure.callback(store.close)
        _refuse_other_revision(store)
        on_failure.pop_all()
    return store


def _refuse_other_revision(store: Store) -> None:
    found = revisions_of(store)
    if found is None:
        raise StoreNotMigrated("the store has no tables yet: run `bonitas migrate`")
    problem = why_not_usable(found)
    if problem is not None:
        raise StoreNotMigrated(problem)
