"""The book of rows that stand and those that wait, as the steps of an arrival ask for it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from data_contracts.between_rows.known_rows import KnownRows, LedgerRow
from data_contracts.between_rows.waits import Broken, Wait
from data_contracts.contract import Contract


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """A row that keeps its contract, as it arrives.

    content: equals that of another row exactly where both say the same, `recorded_at` aside.
    """

    contract: Contract
    row: LedgerRow
    content: object

    @property
    def event_id(self) -> str:
        """The key of the row."""
        return str(self.row["event_id"])


@dataclass(frozen=True, kw_only=True)
class Held:
    """A row that waits, or a refused one that is judged again when what it rests on changes.

    wait: what it waits for, or rests on. arrived: held rows come in in this order, as far as what they wait
        for allows it. is_refused: then nothing stands or waits under its event_id.
    """

    arrival: Arrival
    wait: Wait
    arrived: tuple[int, str]
    is_refused: bool = False


class Book(KnownRows, Protocol):
    """The rows that stand and those that wait, and what a row that arrives does to them."""

    def content_under(self, event_id: str) -> object | None:
        """The content that stands, waits or was a repetition under an event_id; None where there is none."""
        ...

    def first_of(self, event_id: str) -> str | None:
        """The event_id under which a transfer stands that was repeated under this one; None for others."""
        ...

    def correcting(self, arrival: Arrival, event_id: str) -> Arrival:
        """The arrival as a correction of the row under another event_id."""
        ...

    def waiting_for(self, waits: Collection[Wait]) -> Sequence[Held]:
        """The held rows that wait for any of these, and the refused ones that rest on them."""
        ...

    def waiting_under(self, event_id: str) -> Held | None:
        """The row that waits, or was refused, under an event_id."""
        ...

    def waiting_about(self, contract_name: str, subject_id: str) -> Sequence[Held]:
        """The held and refused rows of a contract with this key."""
        ...

    def may_be_on_its_way(self, wait: Wait) -> bool:
        """Whether another writer may just be bringing what is missing; returns when that has ended."""
        ...

    def accept(self, arrival: Arrival) -> int | None:
        """Let a row in: its `recorded_at` in ms, None where another writer was faster with its event_id."""
        ...

    def keep_repeated(self, arrival: Arrival, first_event_id: str) -> None:
        """Remember under which event_id the same transfer stands: a correction may name this one."""
        ...

    def hold(self, arrival: Arrival, broken: Broken) -> None:
        """Let a row wait."""
        ...

    def claim(self, held: Held) -> bool:
        """Keep other writers from a held or refused row; False where it is that no more."""
        ...

    def wait_on(self, held: Held, broken: Broken) -> None:
        """Let a held or refused row wait for something else, in its old place."""
        ...

    def release(self, held: Held) -> None:
        """Take a row out of those that wait, or take its refusal back."""
        ...

    def refuse(self, held: Held, broken: Broken) -> None:
        """Keep a row that was held, and turned out wrong, with the reason; it waits no more."""
        ...

    def keep_refused(self, arrival: Arrival, wait: Wait, arrived: tuple[int, str] | None) -> None:
        """Keep a refused row to judge it again. arrived: its place among those that waited, if it did."""
        ...

    def rest_on(self, held: Held, wait: Wait | None) -> None:
        """Judge a refused row again when something else changes; never more for None."""
        ...
