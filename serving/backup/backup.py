"""Use case: all state of a home in one file, while the service goes on deciding.

All tables of the store are of one moment: one transaction reads them, from a copy where the store is a SQLite
file. The registry is copied after it, and the models' files after that: what a decision names is in the
registry, and what that names is there.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from data_contracts.instants import instant_ms, rfc3339
from data_contracts.progress import Progress, no_progress
from serving.backup.backup_file import (
    FORMAT,
    HOME_PARTS,
    STORE_PARTS,
    UNFINISHED,
    BackupError,
    BackupWriter,
    Manifest,
    TableInBackup,
    written_backup,
)
from serving.backup.home_files import (
    REGISTRY_FILE,
    STORE_FILE,
    copy_database,
    home_files,
    models_elsewhere,
    registry_file,
    sqlite_file,
)
from serving.backup.store_rows import quoted, write_rows
from serving.process.settings import Settings
from serving.store.errors import StoreUnavailable
from serving.store.migrate import HEAD_REVISION
from serving.store.open_store import SQLITE_PREFIX, open_store
from serving.store.schema_revisions import SCHEMA_TABLE
from serving.store.store import Store
from serving.store.tables import metadata


@dataclass(frozen=True, kw_only=True)
class BackupMade:
    """file: with how many bytes. rows: of each table. left_out: what the file does not hold, in words."""

    file: Path
    size_bytes: int
    rows: dict[str, int]
    files: int
    left_out: Sequence[str]


def back_up(
    settings: Settings, file: Path, *, made_at: datetime, progress: Progress = no_progress
) -> BackupMade:
    """Write a backup of store, registry, models and the home's other files.

    Raises BackupError, StoreUnavailable, StoreNotMigrated, and OSError for what cannot be read or written.
    """
    with written_backup(file) as writer, _store_at_rest(settings, file, progress) as store:
        revision, tables = _add_store(
            writer, store, progress, is_postgresql=not settings.database_url.startswith(SQLITE_PREFIX)
        )
        left_out = _add_registry(writer, settings)
        of_home = home_files(settings, besides=file)
        for done, (place, source) in enumerate(of_home.files.items()):
            writer.add_file(f"{HOME_PARTS}/{place}", source)
            progress("files", done=done + 1, total=len(of_home.files))
        left_out += of_home.left_out
        writer.finish(
            Manifest(
                format=FORMAT,
                code_version=version("bonitas"),
                made_at=rfc3339(instant_ms(made_at)),
                schema_revision=revision,
                tables=tables,
                parts=writer.parts,
                left_out=left_out,
            )
        )
    return BackupMade(
        file=file,
        size_bytes=file.stat().st_size,
        rows={name: table.rows for name, table in tables.items()},
        files=sum(name.startswith(f"{HOME_PARTS}/") for name in writer.parts),
        left_out=left_out,
    )


@contextmanager
def _store_at_rest(settings: Settings, file: Path, progress: Progress) -> Iterator[Store]:
    """The store, of which a long read holds nobody up."""
    store = open_store(settings.database_url)
    source = sqlite_file(settings.database_url)
    if source is None:
        try:
            yield store
        finally:
            store.close()
        return
    store.close()
    # A long read would keep the log from starting anew, and at its end the disk would hold up commits.
    progress("copy the store", done=0, total=1)
    with TemporaryDirectory(prefix=f".{file.name}.", suffix=UNFINISHED, dir=file.parent) as folder:
        copy = Path(folder) / STORE_FILE
        try:
            copy_database(source, copy)
        except sqlite3.Error as problem:
            raise StoreUnavailable(f"the store cannot be copied: {problem}") from problem
        progress("copy the store", done=1, total=1)
        copied = open_store(f"{SQLITE_PREFIX}{copy}")
        try:
            yield copied
        finally:
            copied.close()


def _add_store(
    writer: BackupWriter, store: Store, progress: Progress, *, is_postgresql: bool
) -> tuple[str, dict[str, TableInBackup]]:
    tables: dict[str, TableInBackup] = {}
    with store.reading() as tx:
        ((revision,),) = tx.execute(f"SELECT version_num FROM {SCHEMA_TABLE}")  # noqa: S608 - a constant
        if revision > HEAD_REVISION:
            raise BackupError(
                f"the store is at revision {revision}, this release knows {HEAD_REVISION}: "
                "make the backup with the newer release"
            )
        total = sum(
            int(tx.execute(f"SELECT count(*) FROM {quoted(table.name)}")[0][0])  # noqa: S608 - a declared name
            for table in metadata.sorted_tables
        )
        done = 0

        def tell(rows: int) -> None:
            nonlocal done
            done += rows
            progress("store", done=done, total=total)

        for table in metadata.sorted_tables:
            with writer.part(rows_part(table.name)) as sink:
                tables[table.name] = write_rows(tx, table, sink, tell, is_postgresql=is_postgresql)
    return str(revision), tables


def rows_part(table: str) -> str:
    """The part that holds a table's rows."""
    return f"{STORE_PARTS}/{table}.jsonl"


def _add_registry(writer: BackupWriter, settings: Settings) -> list[str]:
    """Add the registry's database; returns what is not in the backup, in words."""
    registry = registry_file(settings)
    if registry is None:
        return ["the model registry, which has an address of its own: back it up together with this"]
    if not registry.exists():
        return []
    try:
        with TemporaryDirectory(prefix="bonitas-backup-") as folder:
            copy = Path(folder) / REGISTRY_FILE
            copy_database(registry, copy)
            writer.add_file(f"{HOME_PARTS}/{REGISTRY_FILE}", copy)
            return models_elsewhere(copy, settings.artifact_root)
    except sqlite3.Error as problem:
        raise BackupError(f"the model registry {registry} cannot be copied: {problem}") from problem
