"""Which version of a model stood under an alias when, for ever: the mechanism, for any kind of change.

MLflow keeps only where an alias points now, and lets its tags be changed and deleted. So a history is
a file of its own, `MODEL.jsonl` in a folder of the alias below the artefact root: plain text that can be
read with no database, copied with any backup, and that outlives the service's store and the registry.
Lines are only ever added, each with the SHA-256 of the line before it, so that a changed or missing line
is noticed.

A change takes two lines: it is *announced* before the alias moves and its *outcome* is written after. A
process that dies in between leaves an announcement without outcome; whoever comes next asks the registry
where the alias points and writes the outcome. Writers exclude each other by a lock on the file, so all
that move an alias must share the artefact root.

A line that puts a version in place names the fingerprint of its files, and so does a line of its own that is
written when a version is *registered*: serving compares with them what it loads (`features.alias_lines`).
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from data_contracts.private_files import private_folder
from features.alias_lines import (
    ANNOUNCED,
    FILES_KEY,
    NO_LINE,
    OUTCOME,
    REGISTERED,
    LineDamagedError,
    alias_file,
    cannot_be_read,
    verified_lines,
)
from features.model_files import FilesFingerprint
from training.errors import TrainingError


class HistoryDamagedError(TrainingError):
    """A line of the history was changed, removed or cannot be read; the message names file and line."""


class AliasChange(Protocol):
    """A version came under an alias. version: None where none stands there any more."""

    @property
    def version(self) -> str | None:
        """The version that the alias names from then on."""
        ...

    def to_json(self) -> dict[str, Any]:
        """The change as JSON values."""
        ...


Change = TypeVar("Change", bound=AliasChange)


def iso_milliseconds(at: datetime) -> str:
    """An instant as the lines keep it."""
    return at.isoformat(timespec="milliseconds")


def files_to_json(files: FilesFingerprint | None) -> dict[str, Any]:
    """The part of a line that names a version's files; empty where they are not known."""
    return {} if files is None else {FILES_KEY: files.to_json()}


def files_from_json(document: dict[str, Any]) -> FilesFingerprint | None:
    """What a line names of a version's files; None for a line from before they were named."""
    return FilesFingerprint.from_json(document[FILES_KEY]) if FILES_KEY in document else None


def version_now(changes: tuple[Change, ...]) -> str | None:
    """The version under the alias after these changes."""
    return changes[-1].version if changes else None


@dataclass(frozen=True, kw_only=True)
class _Read(Generic[Change]):
    changes: tuple[Change, ...]
    pending: Change | None
    last_line_hash: str


def _unreadable(file: Path, problem: OSError) -> HistoryDamagedError:
    return HistoryDamagedError(f"{file} cannot be read ({problem.strerror}); restore it from a backup")


class HistoryWriter(Generic[Change]):
    """One model's history while its lock is held."""

    def __init__(self, descriptor: int, read: _Read[Change]) -> None:
        self._descriptor = descriptor
        self._hash = read.last_line_hash
        self.changes = read.changes
        self.pending = read.pending

    def announce(self, change: Change) -> None:
        """Write down what is about to happen; on disk when this returns."""
        if self.pending is not None:
            raise ValueError("the change announced before has no outcome yet")
        self._append({"line": ANNOUNCED, **change.to_json()})
        self.pending = change

    def settle(self, *, took_effect: bool) -> None:
        """Write down what came of the announced change; on disk when this returns."""
        if self.pending is None:
            raise ValueError("no change was announced")
        self._append({"line": OUTCOME, "took_effect": took_effect})
        if took_effect:
            self.changes = (*self.changes, self.pending)
        self.pending = None

    def note_registered(self, version: str, files: FilesFingerprint, at: datetime) -> None:
        """Write down what the files of a new version are; on disk when this returns."""
        self._append(
            {"line": REGISTERED, "version": version, "at": iso_milliseconds(at), **files_to_json(files)}
        )

    def _append(self, document: dict[str, Any]) -> None:
        line = json.dumps({**document, "line_before": self._hash}, ensure_ascii=False).encode() + b"\n"
        written = 0
        while written < len(line):
            written += os.write(self._descriptor, line[written:])
        os.fsync(self._descriptor)
        self._hash = hashlib.sha256(line).hexdigest()


class AliasHistory(Generic[Change]):
    """The histories below one folder, one file for each model.

    read_change: makes a change of what `to_json` gave; may raise KeyError, TypeError or ValueError.
    """

    def __init__(self, folder: Path, read_change: Callable[[dict[str, Any]], Change]) -> None:
        self._folder = folder
        self._read_change = read_change

    def changes(self, model_name: str) -> tuple[Change, ...]:
        """Every change that took effect, oldest first. Raises HistoryDamagedError."""
        file = self._file(model_name)
        try:
            content = file.read_bytes() if file.exists() else b""
        except OSError as problem:
            raise _unreadable(file, problem) from problem
        return self._read(file, content).changes

    @contextmanager
    def writing(self, model_name: str) -> Iterator["HistoryWriter[Change]"]:
        """Hold the history of one model against all other writers, on this machine or a shared disk.

        Raises HistoryDamagedError: nothing is added to a history that was tampered with, or cannot be read.
        """
        file = self._file(model_name)
        try:
            private_folder(self._folder)
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as problem:
            raise _unreadable(file, problem) from problem
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            content = file.read_bytes()
            whole = content[: content.rfind(b"\n") + 1]
            if len(whole) < len(content):
                # A line without its end was never finished, and nothing was done on its account.
                os.ftruncate(descriptor, len(whole))
            yield HistoryWriter(descriptor, self._read(file, whole))
        finally:
            os.close(descriptor)

    def _file(self, model_name: str) -> Path:
        return alias_file(self._folder, model_name)

    def _read(self, file: Path, content: bytes) -> _Read[Change]:
        changes: list[Change] = []
        pending: Change | None = None
        last_line_hash = NO_LINE
        try:
            for line in verified_lines(file, content):
                last_line_hash = line.sha256
                try:
                    kind = line.document["line"]
                    if kind == ANNOUNCED:
                        pending = self._read_change(line.document)
                    elif kind != REGISTERED:
                        if line.document["took_effect"] and pending is not None:
                            changes.append(pending)
                        pending = None
                except (KeyError, TypeError, ValueError) as problem:
                    raise HistoryDamagedError(cannot_be_read(file, line.number, problem)) from problem
        except LineDamagedError as damaged:
            raise HistoryDamagedError(str(damaged)) from damaged
        return _Read(changes=tuple(changes), pending=pending, last_line_hash=last_line_hash)
