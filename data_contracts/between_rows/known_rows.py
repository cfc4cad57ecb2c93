"""The rows that stand in a ledger, as the rules ask for them."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from data_contracts.contract import Contract

LedgerRow = Mapping[str, Any]
"""A row in ledger row form: instants in ms since 1970 UTC, amounts in whole minor units, nulls left out."""


class KnownRows(Protocol):
    """What the rules ask of the rows that stand in a ledger."""

    def is_known(self, contract: Contract, subject_id: str) -> bool:
        """Whether any row of the contract has this key."""
        ...

    def about(self, contract: Contract, subject_id: str) -> Sequence[LedgerRow]:
        """Every row of the contract with this key, corrected ones too."""
        ...

    def standing(self, contract: Contract, customer_id: str, column: str, value: str) -> Sequence[LedgerRow]:
        """The customer's rows of the contract with this value, without those that another row corrects."""
        ...

    def event(self, event_id: str) -> tuple[Contract, LedgerRow] | None:
        """The row under an event_id."""
        ...

    def is_corrected(self, event_id: str) -> bool:
        """Whether a row corrects the row under this event_id."""
        ...

    def with_unique(self, contract: Contract, value: str) -> Sequence[LedgerRow]:
        """Every row of the contract with this value in its `unique` column, corrected ones too."""
        ...

    def corrects_of_waiting(self, event_id: str) -> str | None:
        """What the row that waits under this event_id corrects; None where none waits, or it is none."""
        ...


def versions_of(row: LedgerRow, known: KnownRows) -> list[LedgerRow]:
    """The row that this one corrects, and this one; nothing for a row that corrects none."""
    if row.get("corrects") is None:
        return []
    corrected = known.event(row["corrects"])
    return [row] if corrected is None else [row, corrected[1]]


def standing_about(contract: Contract, subject_id: str, known: KnownRows) -> list[LedgerRow]:
    """The rows of the contract with this key that no other row corrects."""
    rows = known.about(contract, subject_id)
    corrected = {row["corrects"] for row in rows if row.get("corrects") is not None}
    return [row for row in rows if row["event_id"] not in corrected]
