"""What became of the rows of a folder that was loaded."""

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class LoadResult:
    """What became of a folder's rows.

    loaded, repeated: number of rows, by contract. refused: event_id and reason of each row that breaks a rule
        between rows, beside the folder's other rows or beside those of the ledger: its rule and what to do.
    """

    loaded: dict[str, int] = field(default_factory=dict)
    repeated: dict[str, int] = field(default_factory=dict)
    refused: list[dict[str, str]] = field(default_factory=list)

    def refuse(self, event_id: str, reason: str) -> None:
        """Note a row that does not enter."""
        self.refused.append({"event_id": event_id, "reason": reason})

    @property
    def refused_count(self) -> int:
        """How many rows did not enter."""
        return len(self.refused)

    def to_json(self) -> dict[str, Any]:
        """The result as JSON values."""
        return asdict(self)
