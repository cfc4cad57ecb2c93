"""Which version of a model was champion when, who put it there and why, for ever.

Kept in `champions/MODEL.jsonl` below the artefact root; `alias_history` says how. An alias moved
without this product is written down as `found`, as of when it was noticed.
"""

import enum
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from features.model_files import FilesFingerprint
from training.registry.alias_history import (
    AliasHistory,
    files_from_json,
    files_to_json,
    iso_milliseconds,
    version_now,
)


class ChangeKind(enum.Enum):
    """How a version came to be champion."""

    TRAINED = "trained"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"
    FOUND = "found"
    """The alias was moved by other means than this product's commands."""


@dataclass(frozen=True, kw_only=True)
class ChampionChange:
    """A version became champion.

    version: None where the alias was found to be gone.
    at: UTC. failed_gates: what an override passed over, each as `name: finding`.
    files: what the version's files were; None where no version stands there, or where nobody kept it.
    """

    version: str | None
    kind: ChangeKind
    by: str
    reason: str
    at: datetime
    failed_gates: tuple[str, ...] = ()
    files: FilesFingerprint | None = None

    def to_json(self) -> dict[str, Any]:
        """The change as JSON values."""
        return {
            "version": self.version,
            "kind": self.kind.value,
            "by": self.by,
            "reason": self.reason,
            "at": iso_milliseconds(self.at),
            "failed_gates": list(self.failed_gates),
            **files_to_json(self.files),
        }


def version_before(changes: tuple[ChampionChange, ...]) -> str | None:
    """The champion that a rollback restores: the one in force before the present one was put there.

    A rollback takes its change back, so the next one goes a step further and not forth again. None where
    there is none.
    """
    stack: list[str] = []
    for change in changes:
        if change.version is None:
            continue
        if change.kind is ChangeKind.ROLLED_BACK:
            while stack and stack[-1] != change.version:
                stack.pop()
        if not stack or stack[-1] != change.version:
            stack.append(change.version)
    if stack and stack[-1] == version_now(changes):
        stack.pop()
    return stack[-1] if stack else None


class ChampionHistory(AliasHistory[ChampionChange]):
    """The histories of champions below one folder, one file for each model."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, _change)


def _change(document: dict[str, Any]) -> ChampionChange:
    return ChampionChange(
        version=document["version"],
        kind=ChangeKind(document["kind"]),
        by=document["by"],
        reason=document["reason"],
        at=datetime.fromisoformat(document["at"]),
        failed_gates=tuple(document["failed_gates"]),
        files=files_from_json(document),
    )
