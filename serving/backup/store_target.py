"""The database into which a backup's tables go: refused where it holds data, filled, counted and migrated."""

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, exc, inspect, make_url, text

from data_contracts.private_files import private_file, private_folder
from data_contracts.progress import Progress
from serving.backup.backup import rows_part
from serving.backup.backup_file import (
    BackupError,
    BackupReader,
    Manifest,
    TableInBackup,
    sync_folder,
    unfinished_beside,
)
from serving.backup.home_files import database_files, sqlite_file
from serving.backup.store_rows import INTEGER, quoted, read_rows
from serving.store.deliveries import DROPPED, WAITING
from serving.store.errors import StoreUnavailable
from serving.store.migrate import HEAD_REVISION, alembic_config, sqlalchemy_url
from serving.store.open_store import SQLITE_PREFIX
from serving.store.sandbox_clock import SANDBOX_REVISION
from serving.store.schema_revisions import OLDEST_CODE_TABLE, SCHEMA_TABLE
from serving.store.tables import metadata

_REVISIONS = (OLDEST_CODE_TABLE, SCHEMA_TABLE)


@dataclass(frozen=True, kw_only=True)
class StoreRestored:
    """rows: of each table, counted in the database as the backup had it, before any migration."""

    schema_revision: str
    rows: dict[str, int]
    dropped_deliveries: int


def shown(database_url: str) -> str:
    """The address of a database without its password."""
    return make_url(database_url).render_as_string(hide_password=True)


def refuse_newer_schema(file: Path, manifest: Manifest) -> None:
    """Raises BackupError where this code does not know the tables of a backup."""
    scripts = ScriptDirectory.from_config(alembic_config(None))
    known = {script.revision for script in scripts.walk_revisions()}
    if manifest.schema_revision not in known:
        raise BackupError(
            f"{file} holds tables of revision {manifest.schema_revision}, this release knows them up to "
            f"{HEAD_REVISION}: restore it with the release that made it ({manifest.code_version}), or a "
            "newer one"
        )


@contextmanager
def _connected(database_url: str) -> Iterator[Connection]:
    """One transaction on a database. Raises StoreUnavailable."""
    engine = create_engine(sqlalchemy_url(database_url))
    try:
        with engine.begin() as connection:
            yield connection
    except exc.DBAPIError as problem:
        raise StoreUnavailable(f"{shown(database_url)}: {problem.orig}") from problem
    except (psycopg.Error, sqlite3.Error) as problem:
        # Rows go in through the driver itself.
        raise StoreUnavailable(f"{shown(database_url)}: {problem}") from problem
    finally:
        engine.dispose()


def refuse_store_with_data(database_url: str) -> None:
    """Raises BackupError where a database holds rows of ours or tables of others, StoreUnavailable."""
    file = sqlite_file(database_url)
    if file is not None and not file.exists():
        return
    with _connected(database_url) as connection:
        _refuse_data(connection, shown(database_url))


def _refuse_data(connection: Connection, name: str) -> list[str]:
    """The tables that are there and empty."""
    there = sorted(inspect(connection).get_table_names())
    foreign = [table for table in there if table not in metadata.tables and table not in _REVISIONS]
    if foreign:
        raise BackupError(
            f"{name} holds tables of something else ({', '.join(foreign[:5])}): name another database"
        )
    for table in there:
        if table in _REVISIONS:
            continue
        if connection.execute(text(f"SELECT 1 FROM {quoted(table)} LIMIT 1")).first():  # noqa: S608 - a declared name
            raise BackupError(f"{name} holds data (in {table}): restore into a database without any")
    return there


def restored_sqlite(
    file: Path, backup: BackupReader, *, without_deliveries: bool, progress: Progress
) -> StoreRestored:
    """Restore the store into a SQLite file, which is there once it is whole."""
    private_folder(file.parent)
    unfinished = unfinished_beside(file)
    private_file(unfinished)
    try:
        come = restored_store(
            f"{SQLITE_PREFIX}{unfinished}", backup, without_deliveries=without_deliveries, progress=progress
        )
        with unfinished.open("rb") as written:
            os.fsync(written.fileno())
        for log in database_files(file)[1:]:
            # Of the empty store that may lie there: read with the new file, they would damage it.
            log.unlink(missing_ok=True)
        unfinished.replace(file)
        sync_folder(file.parent)
    finally:
        unfinished.unlink(missing_ok=True)
    return come


def restored_store(
    database_url: str, backup: BackupReader, *, without_deliveries: bool, progress: Progress
) -> StoreRestored:
    """Restore the store into a database in one transaction; an older one is migrated at its end.

    Raises BackupError where counts differ in the end, StoreUnavailable.
    """
    manifest = backup.manifest
    with _connected(database_url) as connection:
        if connection.dialect.name == "sqlite":
            # The file is thrown away unless it is finished, and written to the disk at the end.
            connection.exec_driver_sql("PRAGMA synchronous=OFF")
        for empty in _refuse_data(connection, shown(database_url)):
            connection.exec_driver_sql(f"DROP TABLE {quoted(empty)}")
        command.upgrade(alembic_config(connection), manifest.schema_revision)
        _refuse_other_columns(connection, manifest)
        total = sum(table.rows for table in manifest.tables.values())
        done = 0
        for name, table in manifest.tables.items():
            # A migration may have left rows in a new store: the backup's own are all that counts.
            connection.exec_driver_sql(f"DELETE FROM {quoted(name)}")  # noqa: S608 - a table that is there
            with backup.part(rows_part(name)) as lines:
                for page in read_rows(lines, list(table.columns.values())):
                    insert_rows(connection, name, table, page)
                    done += len(page)
                    progress("restore the store", done=done, total=total)
            go_on_numbering(connection, name, table)
        rows = _counted(connection, manifest)
        command.upgrade(alembic_config(connection), "head")
        _keep_older_code_off_a_sandbox(connection)
        dropped = _drop_waiting(connection) if without_deliveries else 0
        if connection.dialect.name == "postgresql":
            # Without counts its plans are those of empty tables, until it looks by itself.
            connection.exec_driver_sql("ANALYZE")
    return StoreRestored(schema_revision=HEAD_REVISION, rows=rows, dropped_deliveries=dropped)


def _refuse_other_columns(connection: Connection, manifest: Manifest) -> None:
    """The names in a backup go into SQL: they are those of its revision's tables, or it is refused."""
    inspector = inspect(connection)
    there = {
        name: {column["name"] for column in inspector.get_columns(name)}
        for name in inspector.get_table_names()
        if name not in _REVISIONS
    }
    if set(manifest.tables) != set(there):
        differing = sorted(set(manifest.tables) ^ set(there))
        raise BackupError(f"the backup does not hold the tables of its revision: {', '.join(differing)}")
    for name, table in manifest.tables.items():
        unknown = sorted(set(table.columns) - there[name])
        if unknown:
            raise BackupError(
                f"the backup's {name} has columns that its revision has not: {', '.join(unknown)}"
            )


def insert_rows(connection: Connection, name: str, table: TableInBackup, page: list[list[Any]]) -> None:
    """Write rows with the values of all their columns, also of those that the database numbers itself."""
    columns = ", ".join(map(quoted, table.columns))
    driver: Any = connection.connection.driver_connection
    if connection.dialect.name == "sqlite":
        marks = ", ".join("?" for _ in table.columns)
        driver.executemany(f"INSERT INTO {quoted(name)} ({columns}) VALUES ({marks})", page)  # noqa: S608 - names of tables that are there
        return
    # COPY, unlike INSERT, takes values for columns that are always numbered by the database.
    with driver.cursor() as cursor, cursor.copy(f"COPY {quoted(name)} ({columns}) FROM STDIN") as rows:
        for row in page:
            rows.write_row(row)


def go_on_numbering(connection: Connection, name: str, table: TableInBackup) -> None:
    """Where the database numbers rows, the next number is beyond all that were ever given."""
    if connection.dialect.name == "sqlite":
        if table.last_number and _has_table(connection, "sqlite_sequence"):
            # A table that never had a row has no line there.
            connection.exec_driver_sql("DELETE FROM sqlite_sequence WHERE name = ?", (name,))
            connection.exec_driver_sql("INSERT INTO sqlite_sequence VALUES (?, ?)", (name, table.last_number))
        return
    for column in (column for column, kind in table.columns.items() if kind == INTEGER):
        sequence = connection.exec_driver_sql(
            "SELECT pg_get_serial_sequence(%s, %s)", (quoted(name), column)
        ).scalar_one()
        if sequence is not None:
            find = f"SELECT max({quoted(column)}) FROM {quoted(name)}"  # noqa: S608 - as above
            highest = connection.exec_driver_sql(find).scalar_one()
            last = max(highest or 0, table.last_number or 0)
            connection.exec_driver_sql("SELECT setval(%s, %s, %s)", (sequence, max(last, 1), last > 0))


def _has_table(connection: Connection, name: str) -> bool:
    found = connection.exec_driver_sql("SELECT 1 FROM sqlite_master WHERE name = ?", (name,))
    return found.first() is not None


def _counted(connection: Connection, manifest: Manifest) -> dict[str, int]:
    rows: Mapping[str, int] = {
        name: connection.exec_driver_sql(f"SELECT count(*) FROM {quoted(name)}").scalar_one()  # noqa: S608 - as above
        for name in manifest.tables
    }
    differing = [
        f"{name} has {rows[name]} instead of {table.rows}"
        for name, table in manifest.tables.items()
        if rows[name] != table.rows
    ]
    if differing:
        raise BackupError(f"not every row arrived, so nothing was restored: {', '.join(differing)}")
    return dict(rows)


def _keep_older_code_off_a_sandbox(connection: Connection) -> None:
    """Which code may work on a store is no row of a backup; a sandbox is one again by its own rows."""
    connection.execute(
        text(
            f"UPDATE {OLDEST_CODE_TABLE} SET version_num = :since WHERE version_num < :since "  # noqa: S608 - a constant
            "AND EXISTS (SELECT 1 FROM sandbox_clock_steps)"
        ),
        {"since": SANDBOX_REVISION},
    )


def _drop_waiting(connection: Connection) -> int:
    dropped = connection.execute(
        text(
            "UPDATE deliveries SET state = :dropped, next_attempt_at_ms = NULL WHERE state = :waiting "
            "RETURNING delivery_id"
        ),
        {"dropped": DROPPED, "waiting": WAITING},
    )
    return len(dropped.all())
