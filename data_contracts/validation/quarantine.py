"""Quarantine: every refused row, whole, with the reasons, as one JSON object per line.

    REPORT/quarantine/orders.jsonl
    {"quarantined_at": "...", "contract": "orders", "row": {...}, "is_consequence": false,
     "violations": [{"column": ..., "rule": ..., "value": ..., "message": ..., "consequence_of": null}]}

The files hold personal data and are readable by their owner only.
"""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_contracts.ledger_contracts import ALL_CONTRACTS
from data_contracts.private_files import private_file, private_folder
from data_contracts.rules import Rule, Violation

QUARANTINE_FOLDER = "quarantine"
MASK = "•••"
"""Stands for a personal value; values of columns nobody declared may be personal and are masked too."""


@dataclass(frozen=True, kw_only=True)
class QuarantinedRow:
    """One refused row: all of its values as they were read, and every rule that it breaks.

    causes: for each violation the refused row, by contract and event_id, from which it follows, or None;
        empty where none follows from another row.
    """

    contract: str
    row: Mapping[str, Any]
    violations: tuple[Violation, ...]
    causes: tuple[str | None, ...] = ()

    @property
    def is_consequence(self) -> bool:
        """Whether the row breaks no rule but for other refused rows."""
        return bool(self.causes) and all(cause is not None for cause in self.causes)

    @property
    def event_id_shown(self) -> str:
        """The row's event_id; masked where it is no identifier and may hold anything at all."""
        is_broken = any(
            violation.column == "event_id" and violation.rule is not Rule.EVENT_ID_REUSED
            for violation in self.violations
        )
        return MASK if is_broken else str(self.row.get("event_id"))

    def to_json(self, quarantined_at: str) -> str:
        """One line of a quarantine file; values that JSON does not know are written as text."""
        return json.dumps(
            {
                "quarantined_at": quarantined_at,
                "contract": self.contract,
                "is_consequence": self.is_consequence,
                "violations": [
                    {
                        "column": violation.column,
                        "rule": violation.rule.value,
                        "value": violation.value_repr,
                        "message": violation.message,
                        "consequence_of": cause,
                    }
                    for violation, cause in zip(
                        self.violations, self.causes or (None,) * len(self.violations), strict=True
                    )
                ],
                "row": self.row,
            },
            default=repr,
        )


def quarantine_file(directory: Path, contract: str) -> Path:
    """Where the refused rows of a contract lie below the report folder `directory`."""
    return directory / QUARANTINE_FOLDER / f"{contract}.jsonl"


def begin_anew(directory: Path) -> None:
    """Remove the refused rows of an earlier report in the same folder: they lie in what it validated."""
    private_folder(directory)
    for contract in ALL_CONTRACTS:
        quarantine_file(directory, contract.name).unlink(missing_ok=True)


def append(directory: Path, contract: str, rows: Iterable[QuarantinedRow], *, quarantined_at: str) -> None:
    """Append rows to the contract's quarantine file, on disk before this returns."""
    path = quarantine_file(directory, contract)
    private_file(path)
    with path.open("a", encoding="utf-8") as file:
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
