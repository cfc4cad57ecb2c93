"""Which version of a model ran as shadow when, who started or ended it and why, for ever.

Kept in `shadows/MODEL.jsonl` below the artefact root; `alias_history` says how. An alias moved
without this product is written down as `found`, as of when it was noticed.
"""

import enum
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from features.model_files import FilesFingerprint
from training.registry.alias_history import AliasHistory, files_from_json, files_to_json, iso_milliseconds


class ShadowChangeKind(enum.Enum):
    """What happened to the shadow of a model."""

    STARTED = "started"
    STOPPED = "stopped"
    FOUND = "found"
    """The alias was moved by other means than this product's commands."""


@dataclass(frozen=True, kw_only=True)
class ShadowChange:
    """A version became the shadow, or none is any more.

    version: None from when there is no shadow. at: UTC.
    answers_from: decisions made from then on get the shadow's answer; None where it was not started by us.
    files: what the version's files were; None where no version stands there, or where nobody kept it.
    """

    version: str | None
    kind: ShadowChangeKind
    by: str
    reason: str
    at: datetime
    answers_from: datetime | None = None
    files: FilesFingerprint | None = None

    def to_json(self) -> dict[str, Any]:
        """The change as JSON values."""
        return {
            "version": self.version,
            "kind": self.kind.value,
            "by": self.by,
            "reason": self.reason,
            "at": iso_milliseconds(self.at),
            "answers_from": None if self.answers_from is None else iso_milliseconds(self.answers_from),
            **files_to_json(self.files),
        }


class ShadowHistory(AliasHistory[ShadowChange]):
    """The histories of shadows below one folder, one file for each model."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, _change)


def _change(document: dict[str, Any]) -> ShadowChange:
    answers_from = document["answers_from"]
    return ShadowChange(
        version=document["version"],
        kind=ShadowChangeKind(document["kind"]),
        by=document["by"],
        reason=document["reason"],
        at=datetime.fromisoformat(document["at"]),
        answers_from=None if answers_from is None else datetime.fromisoformat(answers_from),
        files=files_from_json(document),
    )
