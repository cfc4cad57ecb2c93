"""Bring a database's tables to the revision that this code needs, with Alembic.

In two steps: what only adds is done while code of before runs; what takes something away is left until it is
asked for, and is refused while a process runs that still needs it.
"""

import logging
import os
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_contracts.private_files import private_file
from serving.store.errors import StoreBusy, StoreNotMigrated, StoreUnavailable
from serving.store.open_store import opened_unchecked, sqlite_path
from serving.store.running_processes import MIGRATING, running_processes
from serving.store.schema_revisions import (
    BEFORE_TWO_STEPS,
    OLDEST_CODE_TABLE,
    SCHEMA_TABLE,
    THIS_CODE,
    CodeRevisions,
    StoreRevisions,
    oldest_code_for,
    revisions_of,
    why_not_usable,
)
from serving.store.store import Store, now_ms

LOG = logging.getLogger("bonitas.store")
HEAD_REVISION = THIS_CODE.own
_MIGRATIONS = Path(__file__).parent / "migrations"
_VERSIONS = _MIGRATIONS / "versions"
LOCK_SECONDS = 1.0
"""So long a migration on PostgreSQL waits for a table's lock: whoever comes after waits behind it."""
TRY_FOR_SECONDS = 60.0
PAUSE_SECONDS = 1.0


def sqlalchemy_url(database_url: str) -> str:
    """The URL as SQLAlchemy wants it: PostgreSQL through psycopg 3."""
    return database_url.replace("postgresql://", "postgresql+psycopg://", 1)


@dataclass(frozen=True, kw_only=True)
class Migrated:
    """schema: the revision of the tables now. left: a migration that contracts and was not done; or None."""

    schema: str
    left: str | None


def migrate(database_url: str) -> str:
    """Create the tables, or do the step that only adds; harmless when all is done. Returns the revision.

    Raises as `migrate_in_steps`.
    """
    return migrate_in_steps(database_url).schema


def migrate_in_steps(
    database_url: str,
    *,
    contract: bool = False,
    code: CodeRevisions = THIS_CODE,
    versions: Path = _VERSIONS,
) -> Migrated:
    """Bring a store to this code's revision, whole or not at all.

    contract: also what takes something away from code of before; a new store has it from the beginning.
    A store that newer code has migrated stays as it is where this code may go on with it.
    Raises StoreUnavailable if the database cannot be reached or is none, StoreBusy while others hold its
    tables, StoreNotMigrated where it is newer than this code, or where a process that runs needs what would
    be taken away.
    """
    file = sqlite_path(database_url)
    if file is None:
        return _when_the_tables_are_free(lambda: _migrated(database_url, contract, code, versions))
    if not file.exists():
        with _new_file(file) as unfinished:
            _migrated(f"sqlite:///{unfinished}", contract, code, versions)
    return _migrated(database_url, contract, code, versions)


@contextmanager
def _new_file(file: Path) -> Iterator[Path]:
    """A store takes its place once it is whole: one that was cut short would look like one that was lost."""
    unfinished = file.with_name(f".{file.name}.{os.getpid()}-{secrets.token_hex(4)}.unfinished")
    private_file(unfinished)
    try:
        with closing(sqlite3.connect(unfinished)) as connection:
            # So that there is a beginning of a database, and not an empty file.
            connection.execute("PRAGMA journal_mode=WAL")
        yield unfinished
        try:
            # Not by renaming: that would take the place of whatever is there meanwhile.
            os.link(unfinished, file)
        except FileExistsError:
            LOG.info("store_made_by_another", extra={"file": str(file)})
        except OSError:
            # A file system without links.
            unfinished.rename(file)
    finally:
        unfinished.unlink(missing_ok=True)


def _when_the_tables_are_free(work: Callable[[], Migrated]) -> Migrated:
    until = time.monotonic() + TRY_FOR_SECONDS
    while True:
        try:
            return work()
        except StoreBusy:
            # Let those in who waited behind this one, before the next try.
            if time.monotonic() > until:
                raise
            time.sleep(PAUSE_SECONDS)


def _migrated(database_url: str, contract: bool, code: CodeRevisions, versions: Path) -> Migrated:
    # SQLAlchemy and Alembic take a second to import, and the service does without them.
    from alembic import command  # noqa: PLC0415 - see above
    from alembic.script import ScriptDirectory  # noqa: PLC0415 - see above
    from sqlalchemy import exc  # noqa: PLC0415 - see above

    steps = [
        _Step(revision=str(found.revision), works_with_code_since=oldest_code_for(found))
        for found in reversed(
            list(ScriptDirectory.from_config(alembic_config(None, versions)).walk_revisions())
        )
    ]
    with closing(opened_unchecked(database_url)) as store:
        there = revisions_of(store)
        if there is not None and there.schema > steps[-1].revision:
            problem = why_not_usable(there, code)
            if problem is not None:
                raise StoreNotMigrated(problem)
            return Migrated(schema=there.schema, left=None)
        plan = _plan(steps, there, contract=contract)
        if there is None or plan.to > there.schema:
            _load_what_migrations_need(versions)
            try:
                with _one_writer(database_url) as connection:
                    # Another process may have been faster since.
                    there = _revisions_in(connection)
                    plan = _plan(steps, there, contract=contract)
                    if there is not None and plan.works_with_code_since > there.works_with_code_since:
                        _refuse_while_older_code_runs(store, there, plan.works_with_code_since)
                    command.upgrade(alembic_config(connection, versions), plan.to)
            except exc.DatabaseError as problem:
                if getattr(problem.orig, "sqlstate", None) == "55P03":
                    raise StoreBusy("others hold the store's tables") from problem
                raise StoreUnavailable(str(problem)) from problem
    if plan.to < code.needs:
        raise StoreNotMigrated(
            f"the store is at revision {plan.to}, and {plan.left}, which takes away what older code needs, "
            "is still to come: end what runs of earlier releases, then `bonitas migrate --contract`"
        )
    return Migrated(schema=plan.to, left=plan.left)


def _load_what_migrations_need(versions: Path) -> None:
    """Carry them out in memory: what is imported takes seconds, and nobody writes to the store meanwhile."""
    from alembic import command  # noqa: PLC0415 - as in _migrated
    from sqlalchemy import create_engine  # noqa: PLC0415 - as in _migrated

    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        command.upgrade(alembic_config(connection, versions), BEFORE_TWO_STEPS)
    engine.dispose()


@dataclass(frozen=True, kw_only=True)
class _Step:
    revision: str
    works_with_code_since: str


@dataclass(frozen=True, kw_only=True)
class _Plan:
    to: str
    works_with_code_since: str
    left: str | None


def _plan(steps: Sequence[_Step], there: StoreRevisions | None, *, contract: bool) -> _Plan:
    """How far to go now. steps: all that this code comes with, in their order."""
    reached, oldest = ("", "") if there is None else (there.schema, there.works_with_code_since)
    for step in steps:
        if step.revision <= reached:
            continue
        contracts = step.works_with_code_since > oldest and step.revision > BEFORE_TWO_STEPS
        if contracts and not contract and there is not None:
            return _Plan(to=reached, works_with_code_since=oldest, left=step.revision)
        reached, oldest = step.revision, step.works_with_code_since
    return _Plan(to=reached, works_with_code_since=oldest, left=None)


def _refuse_while_older_code_runs(store: Store, there: StoreRevisions, needed: str) -> None:
    if there.schema <= BEFORE_TWO_STEPS:
        # Code of then does not register: that it has ended is for whoever migrates to know.
        return
    with store.reading() as tx:
        older = [one for one in running_processes(tx, now_ms()) if one.code_revision < needed]
    if older:
        raise StoreNotMigrated(
            f"what is to be taken away is still needed by {', '.join(one.in_words() for one in older)}: "
            "end them, or wait a minute where they were killed"
        )


@contextmanager
def _one_writer(database_url: str) -> Iterator[Any]:
    """One transaction for all steps, in which nobody else migrates and no process registers."""
    from sqlalchemy import create_engine, event  # noqa: PLC0415 - as in _migrated

    engine = create_engine(sqlalchemy_url(database_url))
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def _leave_transactions_to_us(connection: Any, _record: Any) -> None:
            # The module begins none for what changes tables, so that half a migration would stay.
            connection.isolation_level = None
            connection.execute("PRAGMA busy_timeout=10000")

        @event.listens_for(engine, "begin")
        def _begin(connection: Any) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    try:
        with engine.begin() as connection:
            if engine.dialect.name != "sqlite":
                connection.exec_driver_sql(f"SET LOCAL lock_timeout = {round(LOCK_SECONDS * 1000)}")
                connection.exec_driver_sql(
                    "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (MIGRATING,)
                )
            yield connection
    finally:
        engine.dispose()


def _revisions_in(connection: Any) -> StoreRevisions | None:
    from sqlalchemy import inspect  # noqa: PLC0415 - as in _migrated

    def only_row(table: str) -> str | None:
        if not inspect(connection).has_table(table):
            return None
        row = connection.exec_driver_sql(f"SELECT version_num FROM {table}").first()  # noqa: S608 - a constant
        return None if row is None else str(row[0])

    oldest = only_row(OLDEST_CODE_TABLE)
    return None if oldest is None else StoreRevisions.said(oldest=oldest, schema=only_row(SCHEMA_TABLE))


def alembic_config(connection: Any, versions: Path = _VERSIONS) -> Any:
    """Alembic's configuration for an open connection, without a file."""
    from alembic.config import Config  # noqa: PLC0415 - as in _migrated

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.set_main_option("version_locations", str(versions))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
