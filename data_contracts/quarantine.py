"""Quarantine: every refused row, whole, with the reasons, as one JSON object per line.

    DIR/quarantine/orders.jsonl
    {"quarantined_at": "...", "contract": "orders", "row": {...},
     "violations": [{"column": ..., "rule": ..., "value": ..., "message": ...}]}

The files hold personal data and are readable by their owner only.
"""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_contracts.row_check import Violation

QUARANTINE_FOLDER = "quarantine"


@dataclass(frozen=True, kw_only=True)
class QuarantinedRow:
    """One refused row: all of its values as they were read, and every rule that it breaks."""

    contract: str
    row: Mapping[str, Any]
    violations: tuple[Violation, ...]

    def to_json(self, quarantined_at: str) -> str:
        """One line of a quarantine file; values that JSON does not know are written as text."""
        return json.dumps(
            {
                "quarantined_at": quarantined_at,
                "contract": self.contract,
                "violations": [
                    {
                        "column": violation.column,
                        "rule": violation.rule.value,
                        "value": violation.value_repr,
                        "message": violation.message,
                    }
                    for violation in self.violations
                ],
                "row": self.row,
            },
            default=repr,
        )


def quarantine_file(directory: Path, contract: str) -> Path:
    """Where the refused rows of a contract lie below the ledger folder `directory`."""
    return directory / QUARANTINE_FOLDER / f"{contract}.jsonl"


def append(directory: Path, contract: str, rows: Iterable[QuarantinedRow], *, quarantined_at: str) -> None:
    """Append rows to the contract's quarantine file, on disk before this returns."""
    path = quarantine_file(directory, contract)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(
        path, "a", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, mode=0o600)
    ) as file:
        file.writelines(row.to_json(quarantined_at) + "\n" for row in rows)
        file.flush()
        os.fsync(file.fileno())


def read(directory: Path, contract: str) -> list[dict[str, Any]]:
    """Every quarantined row of a contract as decoded JSON, oldest first; empty if there is none."""
    path = quarantine_file(directory, contract)
    if not path.exists():
        return []
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]
