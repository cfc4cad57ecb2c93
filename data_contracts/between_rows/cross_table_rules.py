"""The rules between rows over a whole ledger: columns at once where nothing is in doubt, else row by row.

Most orders of a book cannot break a rule, in whatever order their rows arrived: arithmetic over whole columns
says so. The rows of the others are replayed as the ledger would have taken them, in the order in which they
were recorded, by the same rules (`rules_between_rows`) and the same steps (`arrivals`). So a folder and a
ledger that took the same rows accept the same ones.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_contracts.between_rows.arrivals import AppendResult, AppendStatus, take
from data_contracts.between_rows.book import Arrival
from data_contracts.between_rows.book_in_memory import BookInMemory
from data_contracts.between_rows.doubtful_rows import Doubts
from data_contracts.between_rows.ledger_columns import LedgerColumns, Mask, no_rows
from data_contracts.between_rows.reference_rules import CURRENCY_REFERENCES
from data_contracts.between_rows.sifted_rows import NumberedThings, Positions, SiftedRows, mask_of
from data_contracts.between_rows.undecidable_states import undecidable_rows
from data_contracts.between_rows.waits import Wait, WaitKind
from data_contracts.contract import DEFAULT_CLOCK_TOLERANCE_MS, Contract
from data_contracts.ledger_contracts import ALL_CONTRACTS, CONTRACTS
from data_contracts.rules import Rule


@dataclass(frozen=True, kw_only=True)
class CrossTableVerdict:
    """What the rules between rows say about one contract.

    accepted: shape (n_rows,), rows that broke no rule at all and repeat no other.
    repeated: shape (n_rows,), rows that say again, under the same event_id or bank reference, what a row
        before them says.
    broken: for every refused row that passed its own rules, position -> (column, rule).
    corrects: for every accepted row that corrects a repeated one, position -> event_id of what stands.
    """

    accepted: Mask
    repeated: Mask
    broken: Mapping[int, tuple[tuple[str, Rule], ...]]
    corrects: Mapping[int, str]


FullRows = Callable[[Contract, Sequence[int]], Sequence[Mapping[str, Any]]]
"""The whole rows at some positions of a contract: equal where the rows are, whatever form the values have."""


def judge_ledger(
    tables: Mapping[str, LedgerColumns],
    *,
    now_ms: int,
    full_rows: FullRows,
    clock_tolerance_ms: int = DEFAULT_CLOCK_TOLERANCE_MS,
) -> dict[str, CrossTableVerdict]:
    """Apply every rule between rows to a whole ledger.

    tables: by contract name; a contract without rows may be missing.
    now_ms: the present, milliseconds since 1970 UTC: nothing was recorded after it.
    full_rows: asked only about rows that share an event_id, a bank reference, or thing and both instants.
    clock_tolerance_ms: how far two machines' clocks may be apart.
    """
    undecidable: dict[str, set[int]] = {contract.name: set() for contract in ALL_CONTRACTS}
    while True:
        ledger = _Ledger(tables, full_rows, clock_tolerance_ms)
        ledger.judge(now_ms, undecidable)
        # What is refused for it may have been what else rests on, or what made another row doubtful.
        if not ledger.find_undecidable(undecidable):
            return {name: verdict for name, verdict in ledger.verdicts().items() if name in tables}


class _Ledger:
    """A whole ledger while it is judged."""

    def __init__(
        self, tables: Mapping[str, LedgerColumns], full_rows: FullRows, clock_tolerance_ms: int
    ) -> None:
        self.tables = {
            contract.name: SiftedRows(contract, tables.get(contract.name) or no_rows(contract))
            for contract in ALL_CONTRACTS
        }
        self._full_rows = full_rows
        self._clock_tolerance_ms = clock_tolerance_ms
        self._things: dict[str, NumberedThings] = {}
        self._named: dict[tuple[str, str], Positions] = {}
        self._shared_ids = pa.array([], pa.string())

    def verdicts(self) -> dict[str, CrossTableVerdict]:
        """What was found."""
        return {
            name: CrossTableVerdict(
                accepted=table.accepted & ~table.repeated,
                repeated=table.repeated,
                broken={position: tuple(rules) for position, rules in table.broken.items()},
                corrects=table.corrects,
            )
            for name, table in self.tables.items()
        }

    def judge(self, now_ms: int, undecidable: Mapping[str, set[int]]) -> None:
        """Refuse, repeat or accept every row."""
        for name, table in self.tables.items():
            table.refuse(table.recorded_at > now_ms, "recorded_at", Rule.RECORDED_IN_FUTURE)
            table.refuse(mask_of(len(table.accepted), undecidable[name]), "occurred_at", Rule.UNDECIDABLE)
            itself = pc.equal(table.strings("event_id"), table.strings("corrects"))
            is_own = pc.fill_null(itself, False).to_numpy(zero_copy_only=False)
            table.refuse(is_own, "corrects", Rule.CORRECTS_ITSELF)
            table.sent = table.accepted.copy()
        self._find_copies()
        while self._refuse_dangling():
            pass
        Doubts(self.tables, self._things, self._named, self._clock_tolerance_ms).find()
        chosen = self._connected()
        if any(mask.any() for mask in chosen.values()):
            self._replay(chosen)
        for name, table in self.tables.items():
            table.repeated |= table.copies & table.accepted & ~chosen[name]

    # One event_id, one row

    def _find_copies(self) -> None:
        """Rows under one event_id: copies of the first where they say the same, else all are in doubt."""
        ids = [table.strings("event_id").filter(pa.array(table.accepted)) for table in self.tables.values()]
        everything = pa.chunked_array(ids, type=pa.string())
        if pc.count_distinct(everything).as_py() == len(everything):
            return
        counts = pc.value_counts(everything)
        self._shared_ids = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
        groups: defaultdict[str, list[tuple[str, int]]] = defaultdict(list)
        rows: dict[tuple[str, int], Mapping[str, Any]] = {}
        for name, table in self.tables.items():
            ids = table.strings("event_id")
            is_shared = pc.is_in(ids, value_set=self._shared_ids, skip_nulls=True)
            positions = self._in_order(table, table.accepted & is_shared.to_numpy(zero_copy_only=False))
            event_ids = ids.take(pa.array(positions, pa.int64())).to_pylist()
            for position, event_id in zip(positions, event_ids, strict=True):
                groups[event_id].append((name, position))
            for position, row in self._contents(table.contract, positions).items():
                rows[name, position] = row
        for places in groups.values():
            first, *others = places
            same = all(place[0] == first[0] and rows[place] == rows[first] for place in others)
            for name, position in others if same else places:
                table = self.tables[name]
                (table.copies if same else table.doubtful)[position] = True

    def _contents(self, contract: Contract, places: Sequence[int]) -> dict[int, dict[str, Any]]:
        """What rows say: all but `recorded_at`."""
        return {
            place: {name: value for name, value in row.items() if name != "recorded_at"}
            for place, row in zip(places, self._full_rows(contract, places) if places else (), strict=True)
        }

    @staticmethod
    def _in_order(table: SiftedRows, mask: Mask) -> list[int]:
        """The rows of the mask in the order in which they arrived; an id decides what nothing else does."""
        positions = np.flatnonzero(mask)
        keys = pa.table(
            {
                "recorded_at": table.recorded_at[positions],
                "occurred_at": table.occurred_at[positions],
                "event_id": table.strings("event_id").take(pa.array(positions)),
            }
        )
        order = pc.sort_indices(keys, sort_keys=[(name, "ascending") for name in keys.column_names])
        ordered: list[int] = positions[order.to_numpy()].tolist()
        return ordered

    # What can never be let in

    def _refuse_dangling(self) -> bool:
        """Refuse rows that name what no row is about, or correct what is not there; whether any did."""
        found = False
        self._things.clear()
        for table in self.tables.values():
            for column, reference in table.contract.references():
                target = self.tables[reference.contract]
                # The contract stands after those that it refers to, so their rows are sifted already.
                if reference.contract not in self._things:
                    self._things[reference.contract] = NumberedThings.of(target, reference.column)
                values = table.strings(column.name)
                named = self._things[reference.contract].named_by(values)
                self._named[table.contract.name, column.name] = np.where(table.first, named, -1)
                # A row that waits in vain still keeps others from its event_id: that is for the replay.
                missing = table.accepted & (named < 0) & ~table.doubtful
                if missing.any():
                    found = True
                    self._refuse_missing(table, missing, column.name, target, reference.column)
        return self._refuse_dangling_corrections() or found

    def _refuse_dangling_corrections(self) -> bool:
        found = False
        for table in self.tables.values():
            rows = np.flatnonzero(table.accepted & ~table.doubtful & table.is_present("corrects"))
            if not len(rows):
                continue
            # The row may be of another contract: then the correction is refused for that, in the replay.
            there = pa.chunked_array(
                [one.strings("event_id").filter(pa.array(one.accepted)) for one in self.tables.values()]
            )
            corrected = table.strings("corrects").take(pa.array(rows))
            is_there = pc.is_in(corrected, value_set=there, skip_nulls=True).to_numpy(zero_copy_only=False)
            if not is_there.all():
                found = True
                missing = mask_of(len(table.accepted), rows[~is_there])
                self._refuse_missing(table, missing, "corrects", table, "event_id")
        return found

    @staticmethod
    def _refuse_missing(
        table: SiftedRows, missing: Mask, column: str, target: SiftedRows, target_column: str
    ) -> None:
        known = pc.is_in(table.strings(column), value_set=target.strings(target_column), skip_nulls=True)
        quarantined = known.to_numpy(zero_copy_only=False)
        table.refuse(missing & ~quarantined, column, Rule.UNKNOWN_REFERENCE)
        table.refuse(missing & quarantined, column, Rule.REFERENCE_QUARANTINED)

    # Replay

    def _connected(self) -> dict[str, Mask]:
        """The doubtful rows, with every row whose verdict may hang together with theirs."""
        chosen = {name: table.accepted & table.doubtful for name, table in self.tables.items()}
        fresh = chosen
        while any(mask.any() for mask in fresh.values()):
            touched: defaultdict[str, list[pa.Array]] = defaultdict(list)
            for name, mask in fresh.items():
                if mask.any():
                    for space, values in self._given(self.tables[name], mask):
                        touched[space].append(values)
            fresh = {}
            for name, table in self.tables.items():
                wanted = np.zeros(len(table.accepted), dtype=np.bool_)
                for space, column in _taken(table.contract):
                    if space in touched:
                        values = pa.chunked_array(touched[space], pa.string())
                        own = (
                            table.unique_values()
                            if column == table.contract.unique
                            else table.strings(column)
                        )
                        found = pc.is_in(own, value_set=values, skip_nulls=True)
                        # A row that waits in vain still holds its event_id, and may close a circle.
                        among = table.sent if space in _EVENT_SPACES else table.accepted
                        wanted |= found.to_numpy(zero_copy_only=False) & among
                fresh[name] = wanted & ~chosen[name]
            chosen = {name: chosen[name] | mask for name, mask in fresh.items()}
        return chosen

    def _given(self, table: SiftedRows, mask: Mask) -> list[tuple[str, pa.Array]]:
        """The ids of some rows by which others hang together with them, each with its space of ids."""
        contract = table.contract
        columns = [("corrects", "corrected"), ("event_id", "correcting")]
        columns += [(column.name, reference.contract) for column, reference in contract.references()]
        columns += [(name, contract.name) for name in contract.key if name != "event_id"]
        given = [
            (space, table.strings(column).filter(pa.array(mask)).drop_null()) for column, space in columns
        ]
        if contract.unique is not None:
            values = table.unique_values().filter(pa.array(mask)).drop_null()
            given.append((f"{contract.name}.{contract.unique}", values))
        return [(space, values) for space, values in given if len(values)]

    def _replay(self, chosen: Mapping[str, Mask]) -> None:
        """Take the chosen rows one by one, as the ledger would have."""
        book = BookInMemory()
        arrivals = sorted(self._arrivals(chosen), key=lambda sent: sent.order)
        on_their_way: dict[str, _Sent] = {}
        for sent in arrivals:
            result = take(book, sent.arrival, self._clock_tolerance_ms)
            self._settle(sent, result, book)
            # What is refused may be let in after all, but not what its event_id was refused to.
            if result.status in {AppendStatus.HELD, AppendStatus.REFUSED} and (
                result.rule is not Rule.EVENT_ID_REUSED
            ):
                on_their_way[sent.arrival.event_id] = sent
            for other in result.readmitted:
                self._settle(on_their_way[other.event_id], other, book)
        for event_id, (held, broken) in book.held.items():
            is_refused = broken.rule is Rule.UNKNOWN_REFERENCE and self._is_among_the_rows(held.wait)
            rule = Rule.REFERENCE_QUARANTINED if is_refused else broken.rule
            self._note(on_their_way[event_id], broken.column, rule)

    def _settle(self, sent: "_Sent", result: AppendResult, book: BookInMemory) -> None:
        """Note what became of a row, in place of what became of it before."""
        table, position = self.tables[sent.name], sent.position
        table.broken.pop(position, None)
        table.accepted[position] = result.status is AppendStatus.ACCEPTED
        if result.status is AppendStatus.REPEATED:
            table.repeated[position] = True
        elif result.status is AppendStatus.REFUSED and result.rule is not None:
            self._note(sent, result.column or "", result.rule)
        elif result.status is AppendStatus.ACCEPTED:
            corrects = book.accepted[sent.arrival.event_id].row.get("corrects")
            if corrects != sent.arrival.row.get("corrects"):
                table.corrects[position] = str(corrects)

    def _is_among_the_rows(self, wait: Wait) -> bool:
        sought = pa.scalar(wait.id, pa.string())
        if wait.kind is WaitKind.EVENT:
            columns = [table.strings("event_id") for table in self.tables.values()]
        else:
            contract = CONTRACTS[wait.kind.value]
            columns = [self.tables[contract.name].strings(contract.key[0])]
        return any(pc.index(column, sought).as_py() >= 0 for column in columns)

    def _note(self, sent: "_Sent", column: str, rule: Rule) -> None:
        self.tables[sent.name].broken.setdefault(sent.position, []).append((column, rule))

    def _arrivals(self, chosen: Mapping[str, Mask]) -> list["_Sent"]:
        arrivals = []
        for number, (name, table) in enumerate(self.tables.items()):
            positions = np.flatnonzero(chosen[name]).tolist()
            rows = table.columns.take(pa.array(positions, pa.int64())).to_pylist()
            contents = self._contents(table.contract, self._shared(table, chosen[name]))
            for position, partial in zip(positions, rows, strict=True):
                content = contents.get(position)
                row = dict(content or {})
                row |= {column: value for column, value in partial.items() if value is not None}
                arrivals.append(
                    _Sent(
                        order=(row["recorded_at"], number, row["occurred_at"], row["event_id"], position),
                        name=name,
                        position=position,
                        arrival=Arrival(
                            contract=table.contract, row=row, content=(name, content or position)
                        ),
                    )
                )
        return arrivals

    def _shared(self, table: SiftedRows, chosen: Mask) -> list[int]:
        """The chosen rows that are compared with others as a whole."""
        shared = pc.is_in(table.strings("event_id"), value_set=self._shared_ids, skip_nulls=True)
        mask = shared.to_numpy(zero_copy_only=False)
        if table.contract.unique is not None:
            values = table.unique_values()
            counts = pc.value_counts(values.filter(pa.array(chosen)).drop_null())
            several = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
            mask |= pc.is_in(values, value_set=several, skip_nulls=True).to_numpy(zero_copy_only=False)
        return [int(position) for position in np.flatnonzero(mask & chosen)]

    # Which of two states stands

    def find_undecidable(self, undecidable: Mapping[str, set[int]]) -> bool:
        """Add the accepted rows of which nobody can tell which stands; whether there are new ones."""
        found = False
        for name, table in self.tables.items():
            places = undecidable_rows(table, self._contents) if table.contract.has_states else set()
            found |= not places <= undecidable[name]
            undecidable[name].update(places)
        return found


@dataclass(frozen=True)
class _Sent:
    """A row on its way through the replay. order: by recording, then by contract and happening."""

    order: tuple[int, int, int, str, int]
    name: str
    position: int
    arrival: Arrival


_EVENT_SPACES = ("corrected", "correcting")


def _taken(contract: Contract) -> list[tuple[str, str]]:
    """The columns by which a contract's rows hang together with others, with the space of their ids."""
    taken = [("corrected", "event_id"), ("corrected", "corrects"), ("correcting", "corrects")]
    taken += [(contract.name, name) for name in contract.key if name != "event_id"]
    # Orders that share a customer or a merchant alone have nothing to do with each other.
    taken += [
        (reference.contract, column.name)
        for column, reference in contract.references()
        if reference.contract in CURRENCY_REFERENCES
    ]
    if contract.unique is not None:
        taken.append((f"{contract.name}.{contract.unique}", contract.unique))
    return taken
