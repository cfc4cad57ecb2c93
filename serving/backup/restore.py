"""Use case: a backup becomes a home again, or a store in any database with the home's files beside it.

Nothing is written before the whole file was verified and the target is known to hold nothing. The files lie
in a folder of their own until the store is whole; then all takes its place.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from data_contracts.private_files import private_folder
from data_contracts.progress import Progress, no_progress
from serving.backup.backup_file import BackupError, BackupReader, opened_backup, sync_folder
from serving.backup.home_files import LOST_AND_FOUND, STORE_FILE, database_files, sqlite_file
from serving.backup.store_target import (
    refuse_newer_schema,
    refuse_store_with_data,
    restored_sqlite,
    restored_store,
)
from serving.store.known_stores import FILE as KNOWN_STORES
from serving.store.open_store import SQLITE_PREFIX

_UNFINISHED = ".unfinished-restore"
_POSTGRESQL_PREFIX = "postgresql://"


@dataclass(frozen=True, kw_only=True)
class RestoreTarget:
    """Where a backup goes. home: None where the store alone is restored."""

    database_url: str
    home: Path | None

    @classmethod
    def named(cls, target: str, *, home: Path, store_only: bool) -> "RestoreTarget":
        """By what a person named: a database, with the files below `home`, or a folder for everything.

        Raises BackupError.
        """
        if target.startswith((SQLITE_PREFIX, _POSTGRESQL_PREFIX)):
            return cls(database_url=target, home=None if store_only else home)
        if "://" in target:
            raise BackupError("a database is named by sqlite:///FILE or postgresql://...; else name a folder")
        if store_only:
            raise BackupError(
                "the store alone goes into a database: name it by sqlite:///FILE or postgresql://..."
            )
        folder = Path(target).absolute()
        return cls(database_url=f"{SQLITE_PREFIX}{folder / STORE_FILE}", home=folder)


@dataclass(frozen=True, kw_only=True)
class Restored:
    """What was restored. rows: of each table, counted in the target. dropped_deliveries: that waited.

    schema_revision: of the store now; it was migrated where the backup's was older.
    """

    target: RestoreTarget
    made_at: str
    schema_revision: str
    rows: dict[str, int]
    files: int
    dropped_deliveries: int
    left_out: list[str]


def restore(
    file: Path, target: RestoreTarget, *, without_deliveries: bool, progress: Progress = no_progress
) -> Restored:
    """Restore a backup into a target that holds nothing yet.

    without_deliveries: messages to merchants that wait are dropped, because another store sends them.
    Raises BackupError, BackupDamagedError, StoreUnavailable, and OSError.
    """
    with opened_backup(file) as backup:
        refuse_newer_schema(file, backup.manifest)
        if target.home is not None:
            _refuse_home_with_data(target)
        refuse_store_with_data(target.database_url)
        with _files_in_place(backup, target.home) as files:
            store_file = sqlite_file(target.database_url)
            come = (
                restored_store(
                    target.database_url, backup, without_deliveries=without_deliveries, progress=progress
                )
                if store_file is None
                else restored_sqlite(
                    store_file, backup, without_deliveries=without_deliveries, progress=progress
                )
            )
        return Restored(
            target=target,
            made_at=backup.manifest.made_at,
            schema_revision=come.schema_revision,
            rows=come.rows,
            files=files,
            dropped_deliveries=come.dropped_deliveries,
            left_out=backup.manifest.left_out,
        )


def _refuse_home_with_data(target: RestoreTarget) -> None:
    home = target.home
    if home is None or not home.exists():
        return
    if not home.is_dir():
        raise BackupError(f"{home} is no folder")
    if (home / _UNFINISHED).exists():
        raise BackupError(f"a restore into {home} did not end: empty the folder and begin again")
    # An empty store may lie there already: what it holds is looked at by itself.
    store = sqlite_file(target.database_url)
    own = () if store is None else database_files(store)
    found = sorted(
        entry.name
        for entry in home.iterdir()
        if entry.name not in {LOST_AND_FOUND, KNOWN_STORES} and entry not in own
    )
    if found:
        raise BackupError(
            f"{home} holds {', '.join(found[:5])}{' and more' if len(found) > 5 else ''}: "
            "restore into a folder that is empty or not there yet"
        )


@contextmanager
def _files_in_place(backup: BackupReader, home: Path | None) -> Iterator[int]:
    """Lay the home's files ready beside their places; they take them where the block ends well."""
    if home is None:
        yield 0
        return
    private_folder(home)
    ready = home / _UNFINISHED
    ready.mkdir(mode=0o700)
    try:
        files = backup.home_files()
        for name, place in files:
            _write(backup, name, ready.joinpath(*place.parts))
        yield len(files)
        for entry in sorted(ready.iterdir()):
            entry.rename(home / entry.name)
        sync_folder(home)
    finally:
        shutil.rmtree(ready)


def _write(backup: BackupReader, name: str, file: Path) -> None:
    private_folder(file.parent)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as target, backup.part(name) as source:
        shutil.copyfileobj(source, target)
        target.flush()
        os.fsync(target.fileno())
