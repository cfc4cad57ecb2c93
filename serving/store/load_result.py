"""What became of the rows of a folder that was loaded."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_contracts.ledger_contracts import CONTRACTS
from data_contracts.validation import quarantine
from data_contracts.validation.judged_table import KeptRows
from data_contracts.validation.quarantine import QuarantinedRow
from data_contracts.validation.validation_result import BrokenRule

WHAT_TO_DO = "mend the row, or correct what it contradicts, and load again"


@dataclass(kw_only=True)
class LoadResult:
    """What became of a folder's rows.

    validated_at: when `bonitas data validate` accepted the folder, RFC 3339; None where the rows were judged
        by their contracts on their way in.
    changes: in words, what is no more as it was accepted.
    loaded, repeated: number of rows, by contract.
    refused: event_id and reason of each row that breaks a rule of its contract, or one between rows, beside
        the folder's other rows or beside those of the ledger.
    report_directory: where the refused rows are kept, None where nobody asked for that.
    """

    validated_at: str | None = None
    changes: tuple[str, ...] = ()
    loaded: dict[str, int] = field(default_factory=dict)
    repeated: dict[str, int] = field(default_factory=dict)
    refused: list[dict[str, str]] = field(default_factory=list)
    report_directory: Path | None = None
    _kept: dict[str, KeptRows] = field(default_factory=dict)
    _unwritten: list[QuarantinedRow] = field(default_factory=list)

    def refuse(self, row: QuarantinedRow) -> None:
        """Note a row that does not enter; `write_refused` puts it into quarantine."""
        broken = "; ".join(f"{one.rule.value}: {one.message}" for one in row.violations)
        self.refused.append({"event_id": row.event_id_shown, "reason": f"{broken}; {WHAT_TO_DO}"})
        kept = self._kept.setdefault(row.contract, KeptRows(sample=[]))
        # The tally has it from here on; the rows themselves go to the file.
        self._unwritten.extend(kept.watching([row]))

    def write_refused(self, quarantined_at: str) -> None:
        """Put the rows that were refused since the last call into quarantine."""
        if self.report_directory is not None:
            for contract in dict.fromkeys(row.contract for row in self._unwritten):
                rows = (row for row in self._unwritten if row.contract == contract)
                quarantine.append(self.report_directory, contract, rows, quarantined_at=quarantined_at)
        self._unwritten.clear()

    @property
    def refused_count(self) -> int:
        """How many rows did not enter."""
        return len(self.refused)

    @property
    def quarantine_folder(self) -> Path | None:
        """Where the refused rows lie; None where there are none, or nobody asked for them."""
        if self.report_directory is None or not self.refused:
            return None
        return self.report_directory / quarantine.QUARANTINE_FOLDER

    def refused_of(self, contract: str) -> int:
        """How many rows of a contract did not enter."""
        return self._kept[contract].rows if contract in self._kept else 0

    def reasons(self) -> Iterator[tuple[str, BrokenRule]]:
        """What the refused rows broke, by contract, most often first."""
        for name, contract in CONTRACTS.items():
            if name in self._kept:
                for reason in self._kept[name].reasons(contract):
                    yield name, reason

    def to_json(self) -> dict[str, Any]:
        """The result as JSON values."""
        broken_rules: dict[str, list[dict[str, Any]]] = {}
        for contract, reason in self.reasons():
            broken_rules.setdefault(contract, []).append(reason.to_json())
        return {
            "validated_at": self.validated_at,
            "changed_since_validation": list(self.changes),
            "loaded": self.loaded,
            "repeated": self.repeated,
            "refused": self.refused,
            "broken_rules": broken_rules,
            "quarantine": None if self.quarantine_folder is None else str(self.quarantine_folder),
        }
