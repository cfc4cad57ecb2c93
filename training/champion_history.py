"""Which version of a model was champion when, who put it there and why, for ever.

MLflow keeps only where the alias points now, and lets its tags be changed and deleted. So the history is
a file of its own, `champions/MODEL.jsonl` below the artefact root: plain text that can be read with no
database, copied with any backup, and that outlives the service's store and the registry. Lines are only
ever added, each with the SHA-256 of the line before it, so that a changed or missing line is noticed.

A change takes two lines: it is *announced* before the alias moves and its *outcome* is written after. A
process that dies in between leaves an announcement without outcome; whoever comes next asks the registry
where the alias points and writes the outcome. An alias moved without this product is written down as
`found`, as of when it was noticed. Writers exclude each other by a lock on the file, so all that change
champions must share the artefact root.
"""

import enum
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from training.errors import TrainingError

_NO_LINE = "0" * 64


class ChangeKind(enum.Enum):
    """How a version came to be champion."""

    TRAINED = "trained"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"
    FOUND = "found"
    """The alias was moved by other means than this product's commands."""


class HistoryDamagedError(TrainingError):
    """A line of the history was changed, removed or cannot be read; the message names file and line."""


@dataclass(frozen=True, kw_only=True)
class ChampionChange:
    """A version became champion.

    version: None where the alias was found to be gone.
    at: UTC. failed_gates: what an override passed over, each as `name: finding`.
    """

    version: str | None
    kind: ChangeKind
    by: str
    reason: str
    at: datetime
    failed_gates: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The change as JSON values."""
        return {
            "version": self.version,
            "kind": self.kind.value,
            "by": self.by,
            "reason": self.reason,
            "at": self.at.isoformat(timespec="milliseconds"),
            "failed_gates": list(self.failed_gates),
        }


def version_now(changes: tuple[ChampionChange, ...]) -> str | None:
    """The champion after these changes."""
    return changes[-1].version if changes else None


def version_before(changes: tuple[ChampionChange, ...]) -> str | None:
    """The champion that a rollback restores: the one in force before the present one was put there.

    A rollback takes its change back, so the next one goes a step further and not forth again. None where
    there is none.
    """
    stack: list[str | None] = []
    for change in changes:
        if change.kind is ChangeKind.ROLLED_BACK:
            while stack and stack[-1] != change.version:
                stack.pop()
        if not stack or stack[-1] != change.version:
            stack.append(change.version)
    if stack:
        stack.pop()
    earlier = [version for version in stack if version is not None]
    return earlier[-1] if earlier else None


class ChampionHistory:
    """The histories below one folder, one file for each model."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def changes(self, model_name: str) -> tuple[ChampionChange, ...]:
        """Every change that took effect, oldest first. Raises HistoryDamagedError."""
        file = self._file(model_name)
        return _read(file, file.read_bytes()).changes if file.exists() else ()

    @contextmanager
    def writing(self, model_name: str) -> Iterator["HistoryWriter"]:
        """Hold the history of one model against all other writers, on this machine or a shared disk.

        Raises HistoryDamagedError: nothing is added to a history that was tampered with.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        file = self._file(model_name)
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            content = file.read_bytes()
            whole = content[: content.rfind(b"\n") + 1]
            if len(whole) < len(content):
                # A line without its end was never finished, and nothing was done on its account.
                os.ftruncate(descriptor, len(whole))
            yield HistoryWriter(descriptor, _read(file, whole))
        finally:
            os.close(descriptor)

    def _file(self, model_name: str) -> Path:
        return self._folder / f"{model_name}.jsonl"


@dataclass(frozen=True, kw_only=True)
class _Read:
    changes: tuple[ChampionChange, ...]
    pending: ChampionChange | None
    last_line_hash: str


class HistoryWriter:
    """One model's history while its lock is held."""

    def __init__(self, descriptor: int, read: _Read) -> None:
        self._descriptor = descriptor
        self._hash = read.last_line_hash
        self.changes = read.changes
        self.pending = read.pending

    def announce(self, change: ChampionChange) -> None:
        """Write down what is about to happen; on disk when this returns."""
        if self.pending is not None:
            raise ValueError("the change announced before has no outcome yet")
        self._append({"line": "announced", **change.to_json()})
        self.pending = change

    def settle(self, *, took_effect: bool) -> None:
        """Write down what came of the announced change; on disk when this returns."""
        if self.pending is None:
            raise ValueError("no change was announced")
        self._append({"line": "outcome", "took_effect": took_effect})
        if took_effect:
            self.changes = (*self.changes, self.pending)
        self.pending = None

    def _append(self, document: dict[str, Any]) -> None:
        line = json.dumps({**document, "line_before": self._hash}, ensure_ascii=False).encode() + b"\n"
        written = 0
        while written < len(line):
            written += os.write(self._descriptor, line[written:])
        os.fsync(self._descriptor)
        self._hash = hashlib.sha256(line).hexdigest()


def _read(file: Path, content: bytes) -> _Read:
    changes: list[ChampionChange] = []
    pending: ChampionChange | None = None
    line_before = _NO_LINE
    for number, line in enumerate(content[: content.rfind(b"\n") + 1].splitlines(keepends=True), start=1):
        try:
            document = json.loads(line)
            if document["line_before"] != line_before:
                raise HistoryDamagedError(
                    f"{file}, line {number}: the line before it was changed or removed; restore the file "
                    "from a backup"
                )
            if document["line"] == "announced":
                pending = _change(document)
            elif pending is not None and document["took_effect"]:
                changes.append(pending)
                pending = None
            else:
                pending = None
        except (KeyError, TypeError, ValueError) as problem:
            raise HistoryDamagedError(
                f"{file}, line {number}: cannot be read ({problem!r}); restore the file from a backup"
            ) from problem
        line_before = hashlib.sha256(line).hexdigest()
    return _Read(changes=tuple(changes), pending=pending, last_line_hash=line_before)


def _change(document: dict[str, Any]) -> ChampionChange:
    return ChampionChange(
        version=document["version"],
        kind=ChangeKind(document["kind"]),
        by=document["by"],
        reason=document["reason"],
        at=datetime.fromisoformat(document["at"]),
        failed_gates=tuple(document["failed_gates"]),
    )
