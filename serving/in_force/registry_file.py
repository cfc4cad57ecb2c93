"""MLflow's registry where it is a SQLite file, read without MLflow, which takes seconds to import.

Only tables of the revision that is known here are read: for any other registry MLflow itself is asked.
"""

import os
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

Answer = TypeVar("Answer")

KNOWN_REVISION = "dc11669786a5"
"""Of MLflow's tables, as the MLflow that is installed makes them; a test holds the two together."""

_LOCK_PATIENCE_SECONDS = 20.0
"""How long a writer is waited for; MLflow waits as long."""

_WORKSPACE = "default"
_DELETED = "Deleted_Internal"


class NotReadableHereError(Exception):
    """The registry has other tables than those known here: ask MLflow."""


class RegistryFileError(Exception):
    """The registry's file is gone, is empty, or cannot be read now; nobody else may make it anew."""


@dataclass(frozen=True, kw_only=True)
class RegisteredVersion:
    """What the registry says of a version: where its files are, and its tags."""

    source: str
    tags: Mapping[str, str]


class RegistryFile:
    """The registry in one SQLite file; opened anew for every question, so that any thread may ask."""

    def __init__(self, file: Path) -> None:
        self.file = file

    @classmethod
    def at(cls, tracking_uri: str) -> "RegistryFile | None":
        """The registry under an address of SQLAlchemy's form; None where that names no plain file.

        >>> RegistryFile.at("http://mlflow:5000") is RegistryFile.at("sqlite:///:memory:") is None
        True
        """
        path = tracking_uri.removeprefix("sqlite:///")
        if path in {tracking_uri, "", ":memory:"} or "?" in path:
            return None
        return cls(Path(path))

    def version_under(self, model_name: str, alias: str) -> str | None:
        """The version that an alias names; None when there is no such model, alias or version.

        Raises NotReadableHereError and RegistryFileError.
        """

        def question(connection: sqlite3.Connection) -> str | None:
            found = connection.execute(
                "SELECT v.version FROM registered_model_aliases a"
                " JOIN model_versions v"
                " ON v.workspace = a.workspace AND v.name = a.name AND v.version = a.version"
                " WHERE a.workspace = ? AND a.name = ? AND a.alias = ? AND v.current_stage <> ?",
                (_WORKSPACE, model_name, alias, _DELETED),
            ).fetchone()
            return None if found is None else str(found[0])

        return self._ask(question)

    def version(self, model_name: str, version: str) -> RegisteredVersion | None:
        """What is registered as a version; None when there is no such model or version.

        Raises NotReadableHereError and RegistryFileError.
        """
        try:
            named = (_WORKSPACE, model_name, int(version))
        except ValueError:
            return None

        def question(connection: sqlite3.Connection) -> RegisteredVersion | None:
            found = connection.execute(
                "SELECT source FROM model_versions"
                " WHERE workspace = ? AND name = ? AND version = ? AND current_stage <> ?",
                (*named, _DELETED),
            ).fetchone()
            if found is None:
                return None
            tags = connection.execute(
                "SELECT key, value FROM model_version_tags WHERE workspace = ? AND name = ? AND version = ?",
                named,
            )
            return RegisteredVersion(source=found[0], tags=dict(tags.fetchall()))

        return self._ask(question)

    def require_there(self) -> None:
        """Raise RegistryFileError where there is no file, or an empty one: MLflow would make a new registry.

        Then no model would stand under any name, and nothing would say that the registry was lost.
        """
        try:
            size_bytes = self.file.stat().st_size
        except OSError as error:
            raise RegistryFileError(
                f"the model registry {self.file} is not there: {error.strerror}"
            ) from error
        if size_bytes == 0:
            raise RegistryFileError(f"the model registry {self.file} is an empty file")

    def _ask(self, question: Callable[[sqlite3.Connection], Answer]) -> Answer:
        self.require_there()
        if os.environ.get("MLFLOW_ENABLE_WORKSPACES"):
            raise NotReadableHereError("which workspace is meant, MLflow knows")
        try:
            # Read and write, or the rest of a write that was cut short could not be rolled back; not created.
            address = f"{self.file.absolute().as_uri()}?mode=rw"
            with closing(sqlite3.connect(address, timeout=_LOCK_PATIENCE_SECONDS, uri=True)) as connection:
                # One transaction, so that a version and its tags are of one moment.
                connection.execute("BEGIN")
                revision = connection.execute("SELECT version_num FROM alembic_version").fetchall()
                if revision != [(KNOWN_REVISION,)]:
                    raise NotReadableHereError(f"tables of revision {revision}")
                if connection.execute(
                    "SELECT 1 FROM registered_models WHERE workspace <> ?", (_WORKSPACE,)
                ).fetchone():
                    raise NotReadableHereError("it has workspaces")
                return question(connection)
        except sqlite3.Error as error:
            raise RegistryFileError(f"the model registry {self.file} cannot be read: {error}") from error
