"""The lines in which training keeps what stood under an alias when, as training and serving read them.

One file for each model and alias below the artefact root, `champions/MODEL.jsonl` and `shadows/MODEL.jsonl`:
plain text of JSON objects, each with the SHA-256 of the line before it. What the lines mean and how they are
added, `training.registry.alias_history` says. Serving reads from them what a version's files were.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from features.model_files import (
    FilesFingerprint,
    ModelFiles,
    RecordedFingerprint,
    lacks_registration,
    not_as_registered,
    registration_missing,
    what_differs,
)

CHAMPIONS_FOLDER = "champions"
SHADOWS_FOLDER = "shadows"
NO_LINE = "0" * 64
"""Stands for the hash of the line before the first."""
REGISTERED = "registered"
ANNOUNCED = "announced"
OUTCOME = "outcome"
"""Kinds of line: a version was registered; a change is about to happen; what came of it."""
FILES_KEY = "model_files"
"""Under which a line keeps the fingerprint of the version that it names; older lines have none."""


class LineDamagedError(Exception):
    """A line was changed, removed or cannot be read; the message names file and line and says what to do."""


@dataclass(frozen=True, kw_only=True)
class AliasLine:
    """One line. number: from 1 on. sha256: of the line, which the next one must name."""

    number: int
    document: dict[str, Any]
    sha256: str


def alias_file(folder: Path, model_name: str) -> Path:
    """Where the lines of a model are, in the folder of an alias."""
    return folder / f"{model_name}.jsonl"


def cannot_be_read(file: Path, number: int, problem: Exception) -> str:
    """What to say of a line that is no line."""
    return f"{file}, line {number}: cannot be read ({problem!r}); restore the file from a backup"


def verified_lines(file: Path, content: bytes) -> Iterator[AliasLine]:
    """The whole lines of a file's content, each once the hash of the one before it was verified.

    A last line without its end was never finished and is left out. Raises LineDamagedError.
    """
    line_before = NO_LINE
    for number, line in enumerate(content[: content.rfind(b"\n") + 1].splitlines(keepends=True), start=1):
        try:
            document = json.loads(line)
            named = document["line_before"]
        except (KeyError, TypeError, ValueError) as problem:
            raise LineDamagedError(cannot_be_read(file, number, problem)) from problem
        if named != line_before:
            raise LineDamagedError(
                f"{file}, line {number}: the line before it was changed or removed; restore the file from a "
                "backup"
            )
        line_before = hashlib.sha256(line).hexdigest()
        yield AliasLine(number=number, document=document, sha256=line_before)


@dataclass(frozen=True, kw_only=True)
class _Kept:
    at: datetime
    recorded: RecordedFingerprint


def recorded_fingerprints(
    artifact_root: Path, model_name: str, version: str, tags: Mapping[str, str]
) -> tuple[RecordedFingerprint, ...]:
    """What the registry, by the version's tags, and the histories of its model keep of its files.

    The registry's comes first; there is none where neither keeps anything. A version that was registered
    anew, in a registry that begins anew, has nothing to do with an earlier one of the same number: only what
    was written from its registration on counts, and every registration writes a line. Raises
    LineDamagedError, and OSError for a history that is there and cannot be read.
    """
    kept: list[_Kept] = []
    for folder in (CHAMPIONS_FOLDER, SHADOWS_FOLDER):
        file = alias_file(artifact_root / folder, model_name)
        if file.exists():
            kept += _kept_in(file, file.read_bytes(), version)
    registered_at = max((one.at for one in kept if one.recorded.is_registration), default=None)
    by_histories = (one.recorded for one in kept if registered_at is None or one.at >= registered_at)
    by_registry = FilesFingerprint.from_tags(tags)
    if by_registry is None:
        return tuple(by_histories)
    return (RecordedFingerprint(fingerprint=by_registry, said_by="the registry"), *by_histories)


def why_not_registered(
    files: ModelFiles,
    recorded: Sequence[RecordedFingerprint],
    *,
    artifact_root: Path,
    model_name: str,
    version: str,
    where: str,
) -> str | None:
    """What a person must know where the files at a place are not what was registered, or nobody can tell."""
    difference = what_differs(files, recorded)
    if difference is not None:
        return not_as_registered(model_name, version, difference, where)
    if lacks_registration(recorded):
        history = alias_file(artifact_root / CHAMPIONS_FOLDER, model_name)
        return registration_missing(model_name, version, history)
    return None


def _kept_in(file: Path, content: bytes, version: str) -> Iterator[_Kept]:
    for line in verified_lines(file, content):
        document = line.document
        if document.get("version") != version or document.get(FILES_KEY) is None:
            continue
        try:
            kept = _Kept(
                at=datetime.fromisoformat(document["at"]).astimezone(UTC),
                recorded=RecordedFingerprint(
                    fingerprint=FilesFingerprint.from_json(document[FILES_KEY]),
                    said_by=f"{file}, line {line.number}",
                    is_registration=document["line"] == REGISTERED,
                ),
            )
        except (KeyError, TypeError, ValueError) as problem:
            raise LineDamagedError(cannot_be_read(file, line.number, problem)) from problem
        yield kept
