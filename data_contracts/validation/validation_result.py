"""What a validation found: the tally of each contract, and where report and quarantine lie."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_contracts.invoices import INVOICES
from data_contracts.ledger_folder import (
    NotRead,
)
from data_contracts.rules import Rule
from data_contracts.validation import quarantine


@dataclass(frozen=True, kw_only=True)
class BrokenRule:
    """How often rows of one contract break one rule in one column.

    consequences: how many of them break it because of another refused row. example_event_id, example_value:
    of one of them, one that is no consequence where there is one; personal values are masked.
    """

    column: str
    rule: Rule
    rows: int
    consequences: int
    example_event_id: str
    example_value: str
    message: str

    def to_json(self) -> dict[str, Any]:
        """The figures as JSON values."""
        return {
            "column": self.column,
            "rule": self.rule.value,
            "rows": self.rows,
            "consequences": self.consequences,
            "example": {"event_id": self.example_event_id, "value": self.example_value},
            "message": self.message,
        }


@dataclass(frozen=True, kw_only=True)
class ContractCounts:
    """What became of the rows of one contract: read = accepted + quarantined + repeated.

    consequences: quarantined rows that break no rule but for other refused rows. reasons: what was broken,
    most often first; a row may break several rules.
    """

    contract: str
    read: int
    accepted: int
    quarantined: int
    repeated: int
    consequences: int = 0
    reasons: tuple[BrokenRule, ...] = ()

    @property
    def broken_rules(self) -> Mapping[tuple[str, Rule], int]:
        """How often each (column, rule) was broken."""
        return {(reason.column, reason.rule): reason.rows for reason in self.reasons}


@dataclass(frozen=True, kw_only=True)
class ValidationResult:
    """The outcome of one validation.

    not_read: what lies in the folder and nobody judged. accepted_directory: where the accepted rows were
    written, None where that was not asked for; fingerprint: of the files there.
    """

    directory: Path
    validated_at: dt.datetime
    contracts: tuple[ContractCounts, ...]
    not_read: tuple[NotRead, ...]
    seconds: float
    report_file: Path
    accepted_directory: Path | None = None
    fingerprint: str | None = None

    @property
    def read(self) -> int:
        """Rows read."""
        return sum(counts.read for counts in self.contracts)

    @property
    def accepted(self) -> int:
        """Rows that keep every rule."""
        return sum(counts.accepted for counts in self.contracts)

    @property
    def quarantined(self) -> int:
        """Rows that were refused; they lie in quarantine, beside the report."""
        return sum(counts.quarantined for counts in self.contracts)

    @property
    def consequences(self) -> int:
        """Refused rows that break no rule but for other refused rows."""
        return sum(counts.consequences for counts in self.contracts)

    @property
    def refused_invoices(self) -> int:
        """Invoices that were refused: each may hide a real debt."""
        return sum(counts.quarantined for counts in self.contracts if counts.contract == INVOICES.name)

    @property
    def repeated(self) -> int:
        """Rows left out because another row says the same under the same event_id or bank reference."""
        return sum(counts.repeated for counts in self.contracts)

    @property
    def quarantine_folder(self) -> Path:
        """Where the refused rows lie."""
        return self.report_file.parent / quarantine.QUARANTINE_FOLDER

    def to_json(self) -> dict[str, Any]:
        """The result as one JSON object, without any personal value of a row."""
        return {
            "directory": str(self.directory),
            "validated_at": self.validated_at.isoformat(),
            "read": self.read,
            "accepted": self.accepted,
            "quarantined": self.quarantined,
            "consequences": self.consequences,
            "refused_invoices": self.refused_invoices,
            "repeated": self.repeated,
            "seconds": round(self.seconds, 3),
            "report": str(self.report_file),
            "quarantine": str(self.quarantine_folder) if self.quarantined else None,
            "accepted_folder": None if self.accepted_directory is None else str(self.accepted_directory),
            "fingerprint": self.fingerprint,
            "not_read": [{"path": one.path, "reason": one.reason} for one in self.not_read],
            "contracts": {
                counts.contract: {
                    "read": counts.read,
                    "accepted": counts.accepted,
                    "quarantined": counts.quarantined,
                    "consequences": counts.consequences,
                    "repeated": counts.repeated,
                    "broken_rules": [reason.to_json() for reason in counts.reasons],
                }
                for counts in self.contracts
            },
        }
