"""A book of rows held in dicts."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from data_contracts.between_rows.book import Arrival, Held
from data_contracts.between_rows.known_rows import LedgerRow
from data_contracts.between_rows.waits import Broken, Wait
from data_contracts.contract import Contract


@dataclass
class BookInMemory:
    """A book of rows held in dicts, for the replay of a folder and for what is only supposed.

    Rows of an entity are not told apart by it: a book holds the rows of few orders.
    """

    accepted: dict[str, Arrival] = field(default_factory=dict)
    held: dict[str, tuple[Held, Broken]] = field(default_factory=dict)
    repeated: dict[str, tuple[str, Arrival]] = field(default_factory=dict)
    refused: list[tuple[Arrival, Broken]] = field(default_factory=list)
    _judged_again: dict[str, Held] = field(default_factory=dict)
    _arrived: int = 0
    _about: defaultdict[tuple[str, str, str], list[LedgerRow]] = field(
        default_factory=lambda: defaultdict(list)
    )
    _corrections: dict[str, LedgerRow] = field(default_factory=dict)
    _waiting: defaultdict[Wait, dict[str, Held]] = field(default_factory=lambda: defaultdict(dict))
    _waiting_about: defaultdict[tuple[str, str], dict[str, Held]] = field(
        default_factory=lambda: defaultdict(dict)
    )

    def is_known(self, contract: Contract, subject_id: str) -> bool:
        """See KnownRows."""
        return bool(self.about(contract, subject_id))

    def about(self, contract: Contract, subject_id: str) -> Sequence[LedgerRow]:
        """See KnownRows."""
        return self._about.get((contract.name, contract.key[0], subject_id), ())

    def standing(self, contract: Contract, customer_id: str, column: str, value: str) -> Sequence[LedgerRow]:
        """See KnownRows."""
        return [
            row
            for row in self._about.get((contract.name, column, value), ())
            if row["customer_id"] == customer_id and row["event_id"] not in self._corrections
        ]

    def event(self, event_id: str) -> tuple[Contract, LedgerRow] | None:
        """See KnownRows."""
        arrival = self.accepted.get(event_id)
        return None if arrival is None else (arrival.contract, arrival.row)

    def is_corrected(self, event_id: str) -> bool:
        """See KnownRows."""
        return event_id in self._corrections

    def correction_of(self, event_id: str) -> LedgerRow | None:
        """The row that corrects the row under an event_id."""
        return self._corrections.get(event_id)

    def with_unique(self, contract: Contract, value: str) -> Sequence[LedgerRow]:
        """See KnownRows."""
        return self._about.get((contract.name, contract.unique or "", value), ())

    def corrects_of_waiting(self, event_id: str) -> str | None:
        """See KnownRows."""
        entry = self.held.get(event_id)
        return None if entry is None else entry[0].arrival.row.get("corrects")

    def content_under(self, event_id: str) -> object | None:
        """See Book."""
        if event_id in self.accepted:
            return self.accepted[event_id].content
        if event_id in self.repeated:
            return self.repeated[event_id][1].content
        return self.held[event_id][0].arrival.content if event_id in self.held else None

    def first_of(self, event_id: str) -> str | None:
        """See Book."""
        return self.repeated[event_id][0] if event_id in self.repeated else None

    def correcting(self, arrival: Arrival, event_id: str) -> Arrival:
        """See Book; a content that is compared holds the name of the contract and what the row says."""
        content = arrival.content
        if isinstance(content, tuple) and isinstance(content[1], Mapping):
            content = content[0], {**content[1], "corrects": event_id}
        return replace(arrival, row={**arrival.row, "corrects": event_id}, content=content)

    def waiting_for(self, waits: Collection[Wait]) -> Sequence[Held]:
        """See Book."""
        return [held for wait in waits for held in self._waiting.get(wait, {}).values()]

    def waiting_under(self, event_id: str) -> Held | None:
        """See Book."""
        return self.held[event_id][0] if event_id in self.held else self._judged_again.get(event_id)

    def waiting_about(self, contract_name: str, subject_id: str) -> Sequence[Held]:
        """See Book."""
        return list(self._waiting_about.get((contract_name, subject_id), {}).values())

    def may_be_on_its_way(self, wait: Wait) -> bool:  # noqa: ARG002 - nobody else writes
        """See Book."""
        return False

    def accept(self, arrival: Arrival) -> int | None:
        """See Book; here rows keep the `recorded_at` that they carry."""
        row, contract = arrival.row, arrival.contract
        self.accepted[arrival.event_id] = arrival
        columns = {*contract.key, *(column.name for column, _ in contract.references())}
        for name in columns:
            if row.get(name) is not None:
                self._about[contract.name, name, row[name]].append(row)
        unique_value = contract.unique_value(row)
        if unique_value is not None:
            self._about[contract.name, contract.unique or "", unique_value].append(row)
        if row.get("corrects") is not None:
            self._corrections[row["corrects"]] = row
        return int(row.get("recorded_at", 0))

    def keep_repeated(self, arrival: Arrival, first_event_id: str) -> None:
        """See Book."""
        self.repeated[arrival.event_id] = first_event_id, arrival

    def hold(self, arrival: Arrival, broken: Broken) -> None:
        """See Book."""
        self.keep_waiting(arrival, broken, self._next_place())

    def _next_place(self) -> tuple[int, str]:
        self._arrived += 1
        return self._arrived, ""

    def keep_waiting(self, arrival: Arrival, broken: Broken, arrived: tuple[int, str]) -> None:
        """Let a row wait in a place of its own."""
        if broken.wait is None:
            raise ValueError("a row that is refused does not wait")
        held = Held(arrival=arrival, wait=broken.wait, arrived=arrived)
        self.held[arrival.event_id] = (held, broken)
        self._find_by(held)

    def _find_by(self, held: Held) -> None:
        self._waiting[held.wait][held.arrival.event_id] = held
        self._waiting_about[_subject(held.arrival)][held.arrival.event_id] = held

    def claim(self, held: Held) -> bool:
        """See Book."""
        return held.arrival.event_id in (self._judged_again if held.is_refused else self.held)

    def wait_on(self, held: Held, broken: Broken) -> None:
        """See Book."""
        self.release(held)
        self.keep_waiting(held.arrival, broken, held.arrived)

    def release(self, held: Held) -> None:
        """See Book."""
        event_id = held.arrival.event_id
        standing = self._judged_again.pop(event_id) if held.is_refused else self.held.pop(event_id)[0]
        del self._waiting[standing.wait][event_id]
        del self._waiting_about[_subject(held.arrival)][event_id]

    def refuse(self, held: Held, broken: Broken) -> None:
        """See Book."""
        self.release(held)
        self.refused.append((held.arrival, broken))

    def keep_refused(self, arrival: Arrival, wait: Wait, arrived: tuple[int, str] | None) -> None:
        """See Book."""
        place = arrived or self._next_place()
        held = Held(arrival=arrival, wait=wait, arrived=place, is_refused=True)
        self._judged_again[arrival.event_id] = held
        self._find_by(held)

    def rest_on(self, held: Held, wait: Wait | None) -> None:
        """See Book."""
        self.release(held)
        if wait is not None:
            self.keep_refused(held.arrival, wait, held.arrived)


def _subject(arrival: Arrival) -> tuple[str, str]:
    return arrival.contract.name, str(arrival.row[arrival.contract.key[0]])
