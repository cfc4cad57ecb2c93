"""Which files of a home a backup holds besides the two databases, and what it leaves out."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from features.model_files import local_folder
from serving.backup.backup_file import UNFINISHED
from serving.in_force.registry_file import RegistryFile
from serving.process.settings import EVIDENCE_FOLDER, Settings
from serving.store.known_stores import FILE as KNOWN_STORES
from serving.store.open_store import SQLITE_PREFIX

STORE_FILE = "bonitas.db"
REGISTRY_FILE = "mlflow.db"
LOST_AND_FOUND = "lost+found"
_KEPT_FOLDERS = ("mlartifacts", "book", EVIDENCE_FOLDER)
_KEPT_FILES = ("*.key", "*.toml", "*.json", "*.txt", "loaded-*")
"""Keys and notes of `bonitas run`, policies, what a person put beside them; no logs, and no other backups."""


@dataclass(frozen=True, kw_only=True)
class HomeFiles:
    """files: by their place in the home, with slashes. left_out: what else lies there, in words."""

    files: dict[str, Path]
    left_out: tuple[str, ...]


def home_files(settings: Settings, *, besides: Path) -> HomeFiles:
    """The files of a home that a restored one needs, and the policy file of the settings.

    besides: the backup itself, which may lie there. Raises OSError.
    """
    home = settings.home
    files: dict[str, Path] = {}
    left_out: list[str] = []
    own = {besides.absolute()}
    for database in (sqlite_file(settings.database_url), registry_file(settings)):
        if database is not None:
            own.update(database_files(database))
    for entry in sorted(home.iterdir()) if home.is_dir() else ():
        if entry.name in _KEPT_FOLDERS and entry.is_dir():
            files |= {file.relative_to(home).as_posix(): file for file in _files_below(entry)}
        elif entry.is_file() and any(entry.match(pattern) for pattern in _KEPT_FILES):
            files[entry.name] = entry
        elif entry not in own and entry.name != KNOWN_STORES and not entry.name.endswith(UNFINISHED):
            left_out.append(f"{entry.name}{'/' if entry.is_dir() else ''} of the home")
    policy = settings.policy_file
    if policy is not None and policy not in files.values():
        files[policy.name if policy.name not in files else f"settings-{policy.name}"] = policy
    return HomeFiles(files=files, left_out=tuple(left_out))


def _files_below(folder: Path) -> Iterator[Path]:
    for directory, folders, names in os.walk(folder, followlinks=True):
        folders.sort()
        yield from (Path(directory) / name for name in sorted(names))


def sqlite_file(url: str) -> Path | None:
    """The file of a SQLite database; None for another database."""
    return Path(url.removeprefix(SQLITE_PREFIX)).absolute() if url.startswith(SQLITE_PREFIX) else None


def database_files(file: Path) -> tuple[Path, ...]:
    """A SQLite database and the logs that may lie beside it."""
    return file, *(file.with_name(file.name + log) for log in ("-wal", "-shm", "-journal"))


def registry_file(settings: Settings) -> Path | None:
    """The registry's database where it is a plain file; None for a tracking server or another address."""
    registry = RegistryFile.at(settings.mlflow_uri)
    return None if registry is None else registry.file.absolute()


def copy_database(source: Path, target: Path) -> None:
    """Copy one state of a SQLite database, which others may write to meanwhile. Raises sqlite3.Error."""
    with (
        closing(sqlite3.connect(f"{source.as_uri()}?mode=rw", uri=True, timeout=20)) as reading,
        closing(sqlite3.connect(target)) as writing,
    ):
        # Thrown away before long: nobody waits for the disk.
        writing.execute("PRAGMA synchronous=OFF")
        reading.backup(writing)


def models_elsewhere(registry: Path, artifact_root: Path) -> list[str]:
    """The versions whose files do not lie below the artefact root, in words. Raises sqlite3.Error."""
    with closing(sqlite3.connect(f"{registry.as_uri()}?mode=ro", uri=True)) as connection:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'model_versions'").fetchone():
            return []
        versions = connection.execute(
            "SELECT name, version, source FROM model_versions WHERE current_stage <> 'Deleted_Internal'"
        ).fetchall()
    found = []
    for name, version, source in versions:
        folder = local_folder(source, artifact_root)
        if folder is None or not folder.is_relative_to(artifact_root):
            found.append(f"the files of {name} {version}, which lie at {source}")
    return found
