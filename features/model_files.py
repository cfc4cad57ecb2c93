"""The files of a registered model: their bytes, read once, and the fingerprint that is kept of them.

Training keeps the fingerprint of a version where it registers it: as tags in the registry, and in the
history of champions (`features.alias_lines`). Whoever loads the version reads each file once, compares, and
builds the model from those same bytes, so that nothing can be changed between the look and the use.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlparse

MODEL_FILE = "model.json"
SHA256_TAG = "model_files_sha256"
FILES_TAG = "model_files"
"""Tags of a model version: the hash over all files, and JSON with the hash of each."""


@dataclass(frozen=True, kw_only=True)
class FilesFingerprint:
    """SHA-256, in hexadecimal, over names and contents of all files, and over the content of each by name."""

    sha256: str
    files: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """The fingerprint as JSON values."""
        return {"sha256": self.sha256, "files": dict(self.files)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "FilesFingerprint":
        """What `to_json` gave. Raises KeyError or TypeError for anything else."""
        return cls(sha256=str(document["sha256"]), files=dict(document["files"]))

    def to_tags(self) -> dict[str, str]:
        """The fingerprint as tags of a model version."""
        return {SHA256_TAG: self.sha256, FILES_TAG: json.dumps(dict(self.files), sort_keys=True)}

    @classmethod
    def from_tags(cls, tags: Mapping[str, str]) -> "FilesFingerprint | None":
        """What the tags of a version say; None for one that was registered before fingerprints were kept.

        Tags can be edited: where the hashes of single files cannot be read, the one over all still counts.
        """
        if SHA256_TAG not in tags:
            return None
        try:
            files = dict(json.loads(tags[FILES_TAG]))
        except (KeyError, TypeError, ValueError):
            files = {}
        return cls(sha256=tags[SHA256_TAG], files=files)


@dataclass(frozen=True, kw_only=True)
class RecordedFingerprint:
    """A fingerprint that was kept when a version was registered or put in place.

    said_by: where, in words. is_registration: whether it is the line that every registration writes.
    """

    fingerprint: FilesFingerprint
    said_by: str
    is_registration: bool = False


@dataclass(frozen=True, kw_only=True)
class ModelFiles:
    """Every file of a model's folder in memory. contents: by name below the folder, with slashes."""

    contents: Mapping[str, bytes]

    @classmethod
    def read(cls, folder: Path) -> "ModelFiles":
        """Read each file of a folder once, those of its folders too. Raises OSError."""
        if not folder.is_dir():
            raise NotADirectoryError(f"{folder} is no folder")
        contents: dict[str, bytes] = {}
        for directory, _, names in os.walk(folder, onerror=_raise, followlinks=True):
            for name in names:
                file = Path(directory) / name
                contents[file.relative_to(folder).as_posix()] = file.read_bytes()
        return cls(contents=contents)

    @cached_property
    def fingerprint(self) -> FilesFingerprint:
        """Depends on names and contents alone, not on the order in which a disk gives them."""
        files = {name: hashlib.sha256(self.contents[name]).hexdigest() for name in sorted(self.contents)}
        return FilesFingerprint(
            sha256=hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest(), files=files
        )

    def text(self, name: str) -> str:
        """A file as UTF-8 text. Raises KeyError where there is none, ValueError where it is no text."""
        return self.contents[name].decode("utf-8")

    def document(self) -> Any:
        """What model.json says. Raises KeyError where there is none, ValueError where it is no JSON."""
        return json.loads(self.text(MODEL_FILE))


def _raise(problem: OSError) -> None:
    """os.walk passes over what it cannot read, unless told otherwise."""
    raise problem


BELOW_THE_ARTIFACT_ROOT = "mlflow-artifacts"
"""MLflow's own scheme for places that are named from a root: the root moves, the names stay."""

_RUN_ID = re.compile("[0-9a-f]{32}")


def uri_below_the_artifact_root(folder: str) -> str:
    """How the registry names a folder below the artefact root, so that the home can be copied or moved.

    >>> uri_below_the_artifact_root("order-risk")
    'mlflow-artifacts:/order-risk'
    """
    return f"{BELOW_THE_ARTIFACT_ROOT}:/{quote(folder)}"


def local_folder(uri: str, artifact_root: Path) -> Path | None:
    """Where a folder of the registry lies on this machine; None where it lies elsewhere.

    Earlier releases named the folders of runs by the whole path in the home where they were trained: of such
    a name only what stands below the artefact root counts, so that a copied home reads its own files. A
    folder that training did not write is where its name says.

    >>> run = "order-risk/0123456789abcdef0123456789abcdef/artifacts/model"
    >>> root = Path("/copy/mlartifacts")
    >>> names = (f"mlflow-artifacts:/{run}", f"file:///first/mlartifacts/{run}")
    >>> {str(local_folder(name, root)) for name in names}
    {'/copy/mlartifacts/order-risk/0123456789abcdef0123456789abcdef/artifacts/model'}
    >>> local_folder("file:///elsewhere/model", root), local_folder("s3://bucket/model", root)
    (PosixPath('/elsewhere/model'), None)
    """
    address = urlparse(uri)
    if address.scheme == BELOW_THE_ARTIFACT_ROOT:
        return artifact_root.joinpath(*_parts_below(unquote(address.path)))
    if address.scheme not in {"", "file"}:
        return None
    folder = Path(unquote(address.path))
    parts = folder.parts
    for place in range(1, len(parts) - 3):
        root, _, run_id, inside = parts[place : place + 4]
        if root == artifact_root.name and _RUN_ID.fullmatch(run_id) and inside == "artifacts":
            return artifact_root.joinpath(*parts[place + 1 :])
    return folder


def _parts_below(path: str) -> list[str]:
    """The parts of a path, none of which leads up: a registry can be edited."""
    return [part for part in path.split("/") if part not in {"", ".", ".."}]


def what_differs(found: ModelFiles, recorded: Sequence[RecordedFingerprint]) -> str | None:
    """In words, how the files differ from what was kept of them anywhere; None where they do not.

    >>> kept = ModelFiles(contents={"model.json": b"1", "booster.txt": b"2"}).fingerprint
    >>> by_registry = [RecordedFingerprint(fingerprint=kept, said_by="the registry")]
    >>> what_differs(ModelFiles(contents={"model.json": b"3", "x": b""}), by_registry)
    'booster.txt is missing, model.json was changed, x was added (says the registry)'
    """
    for one in recorded:
        if one.fingerprint.sha256 != found.fingerprint.sha256:
            return f"{_changes(found.fingerprint, one.fingerprint)} (says {one.said_by})"
    return None


def _changes(found: FilesFingerprint, kept: FilesFingerprint) -> str:
    changes = []
    for name in sorted({*found.files, *kept.files}):
        if name not in found.files:
            changes.append(f"{name} is missing")
        elif name not in kept.files:
            changes.append(f"{name} was added")
        elif found.files[name] != kept.files[name]:
            changes.append(f"{name} was changed")
    # A record that was edited may name each file as it is now, and another hash over all of them.
    return ", ".join(changes) or "its files have another hash than the one kept"


def lacks_registration(recorded: Sequence[RecordedFingerprint]) -> bool:
    """Whether a hash was kept, but not by the line that every registration writes beside it.

    Then the line is gone, and nobody can tell what else was changed: tags can be edited.
    """
    return bool(recorded) and not any(one.is_registration for one in recorded)


def registration_missing(model_name: str, version: str, history: Path) -> str:
    """What a person must know of a version whose registration is gone from the history."""
    return (
        f"nobody can tell whether {model_name} {version} is what was registered: {history} does not say so; "
        f"restore it from a backup, or train a new version: bonitas train {model_name} DIR"
    )


def record_unreadable(model_name: str, version: str, problem: OSError) -> str:
    """What a person must know of a version whose history is there and cannot be read."""
    return (
        f"nobody can tell whether {model_name} {version} is what was registered: the record of its files "
        f"cannot be read ({problem}); make it readable or restore it from a backup"
    )


def not_as_registered(model_name: str, version: str, difference: str, where: str) -> str:
    """What a person must know of a version whose files differ: which, how, where, and what to do."""
    return (
        f"{model_name} {version} is not what was registered: {difference}; restore "
        f"{where} from a backup, or train a new version: bonitas train {model_name} DIR"
    )


def registered_without_hash(model_name: str, version: str) -> str:
    """What a person must know of a version that nobody can vouch for."""
    return (
        f"{model_name} {version} was registered by an older release, which kept no hash of its files: "
        f"train a new version: bonitas train {model_name} DIR"
    )
