"""The rules between rows over a whole ledger: columns at once where nothing is in doubt, else row by row.

Most orders of a book cannot break a rule, in whatever order their rows arrived: arithmetic over whole columns
says so. The rows of the others are replayed as the ledger would have taken them, in the order in which they
were recorded, by the same rules (`data_contracts.rules_between_rows`) and the same steps
(`data_contracts.arrivals`). So a folder and a ledger that took the same rows accept the same ones.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data_contracts.arrivals import AppendResult, AppendStatus, take
from data_contracts.between_rows.book import Arrival
from data_contracts.between_rows.book_in_memory import BookInMemory
from data_contracts.between_rows.reference_rules import CURRENCY_REFERENCES, MAY_COME_BEFORE, TIMED_REFERENCES
from data_contracts.between_rows.waits import Wait, WaitKind
from data_contracts.contract import DEFAULT_CLOCK_TOLERANCE_MS, Column, ColumnType, Contract, Reference
from data_contracts.ledger_contracts import ALL_CONTRACTS, CONTRACTS
from data_contracts.order_outcomes import DISPUTE_DECISIONS
from data_contracts.rules import Rule
from data_contracts.sent_instants import (
    begun_before_it,
    happened_at_of_columns,
    may_stand_for_up_to_ms,
)

Mask = NDArray[np.bool_]
Positions = NDArray[np.int64]

LARGEST = np.iinfo(np.int64).max
SMALLEST = np.iinfo(np.int64).min

_READ_BY_RULES = ("customer_id", "currency", "amount_cents", "kind", "reason")
"""Columns that rules between rows read, in the contracts that have them, beside ids and instants."""


@dataclass(frozen=True, kw_only=True)
class LedgerColumns:
    """The columns of one contract that rules between rows read; null where a value broke its own rule.

    columns: `needed_columns`; instants as int64 milliseconds since 1970 UTC.
    passed: shape (n_rows,), whether the row broke no rule of its own.
    """

    columns: pa.Table
    passed: Mask


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


def needed_columns(contract: Contract) -> tuple[str, ...]:
    """The columns of a contract that rules between rows read."""
    wanted = {"event_id", "corrects", "occurred_at", "recorded_at", *_READ_BY_RULES}
    wanted |= {*contract.key, *contract.state_of, *contract.state_columns}
    wanted |= {contract.entity, *contract.past_columns}
    wanted |= {column.name for column, _ in contract.references()}
    wanted |= {name for name in (contract.unique, contract.unique_within) if name is not None}
    return tuple(column.name for column in contract.columns if column.name in wanted)


def no_rows(contract: Contract) -> LedgerColumns:
    """The columns of a contract without rows."""
    fields = [
        (name, pa.string() if contract.column(name).type is ColumnType.STRING else pa.int64())
        for name in needed_columns(contract)
    ]
    return LedgerColumns(columns=pa.schema(fields).empty_table(), passed=np.zeros(0, dtype=np.bool_))


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


class _Table:
    """One contract's rows while they are judged.

    accepted: rows that were not refused so far. sent: rows that a ledger would have been sent.
    copies: rows that say again, under their event_id, what an earlier row says.
    doubtful: rows that may break a rule, in some order of arrival.
    """

    def __init__(self, contract: Contract, rows: LedgerColumns) -> None:
        self.contract = contract
        self.columns = rows.columns.combine_chunks()
        self.accepted: Mask = rows.passed.copy()
        self.repeated: Mask = np.zeros(len(rows.passed), dtype=np.bool_)
        self.sent: Mask = self.accepted
        self.copies: Mask = np.zeros(len(rows.passed), dtype=np.bool_)
        self.doubtful: Mask = np.zeros(len(rows.passed), dtype=np.bool_)
        self.broken: dict[int, list[tuple[str, Rule]]] = {}
        self.corrects: dict[int, str] = {}
        self.recorded_at = self.integers("recorded_at")
        self.occurred_at = self.integers("occurred_at")

    def __contains__(self, name: str) -> bool:
        return name in self.columns.column_names

    def strings(self, name: str) -> pa.Array:
        """The values of a column as one Arrow array."""
        column = self.columns.column(name)
        return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()

    def unique_values(self) -> pa.Array:
        """What no two standing rows may share, as `Contract.unique_value` says; null for rows without."""
        within, unique = self.contract.unique_within, self.contract.unique
        if unique is None:
            return pa.nulls(len(self.accepted), pa.string())
        if within is None:
            return self.strings(unique)
        return pc.binary_join_element_wise(self.strings(within), self.strings(unique), " ")

    def integers(self, name: str) -> NDArray[np.int64]:
        """The values of an integer column; 0 for null, which only refused rows hold."""
        values: NDArray[np.int64] = pc.fill_null(self.strings(name), 0).to_numpy(zero_copy_only=False)
        return values

    def is_present(self, name: str) -> Mask:
        """Which rows have a value in a column."""
        present: Mask = pc.is_valid(self.strings(name)).to_numpy(zero_copy_only=False)
        return present

    def equals(self, name: str, value: str) -> Mask:
        """Which rows have this value in a column."""
        equal = pc.fill_null(pc.equal(self.strings(name), value), False)
        found: Mask = equal.to_numpy(zero_copy_only=False)
        return found

    def refuse(self, mask: Mask, column: str, rule: Rule) -> None:
        """Take rows out of the accepted ones for breaking a rule."""
        for position in np.flatnonzero(mask & self.accepted).tolist():
            self.broken.setdefault(position, []).append((column, rule))
        self.accepted &= ~mask

    @property
    def first(self) -> Mask:
        """The rows that count: accepted, and no copies."""
        return self.accepted & ~self.copies


@dataclass(frozen=True)
class _Things:
    """The things that a contract's rows are about, numbered by their key.

    keys: one for each thing. code: shape (n_rows,), the number of each row's thing, -1 for rows that do not
        count. several: shape (n_things,), whether more than one row is about it.
    """

    table: _Table
    keys: pa.Array
    code: Positions
    first_row: Positions
    several: Mask

    @classmethod
    def of(cls, table: _Table, column: str) -> "_Things":
        """The things that the rows which count are about."""
        rows = np.flatnonzero(table.first)
        encoded = table.strings(column).take(pa.array(rows)).dictionary_encode()
        codes = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        code = np.full(len(table.accepted), -1, dtype=np.int64)
        code[rows] = codes
        count = len(encoded.dictionary)
        first_row = np.zeros(count, dtype=np.int64)
        first_row[codes[::-1]] = rows[::-1]
        several = np.bincount(codes, minlength=count) > 1
        return cls(table, encoded.dictionary, code, first_row, several)

    def named_by(self, values: pa.Array) -> Positions:
        """The number of the thing that each value names, -1 where there is none."""
        found = pc.index_in(values, value_set=self.keys, skip_nulls=True)
        codes: Positions = pc.fill_null(found.cast(pa.int64()), -1).to_numpy(zero_copy_only=False)
        return codes

    def mixed(self, column: str) -> Mask:
        """Shape (n_things,): the things whose rows do not agree in a column."""
        mixed: Mask = np.zeros(len(self.keys), dtype=np.bool_)
        if not self.several.any():
            return mixed
        rows = np.flatnonzero((self.code >= 0) & self.several[np.maximum(self.code, 0)])
        values = self.table.strings(column)
        differ = pc.not_equal(
            values.take(pa.array(rows)), values.take(pa.array(self.first_row[self.code[rows]]))
        )
        mixed[self.code[rows[pc.fill_null(differ, True).to_numpy(zero_copy_only=False)]]] = True
        return mixed

    def lowest(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        """The lowest value of each thing's rows."""
        result = np.full(len(self.keys), LARGEST, dtype=np.int64)
        rows = self.code >= 0
        np.minimum.at(result, self.code[rows], values[rows])
        return result

    def highest(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        """The highest value of each thing's rows."""
        result = np.full(len(self.keys), SMALLEST, dtype=np.int64)
        rows = self.code >= 0
        np.maximum.at(result, self.code[rows], values[rows])
        return result

    def sums(self, codes: Positions, values: NDArray[np.int64], counted: Mask) -> NDArray[np.int64]:
        """The sum of the counted values that belong to each thing; codes of -1 belong to none."""
        result = np.zeros(len(self.keys), dtype=np.int64)
        rows = counted & (codes >= 0)
        np.add.at(result, codes[rows], values[rows])
        return result


class _Ledger:
    """A whole ledger while it is judged."""

    def __init__(
        self, tables: Mapping[str, LedgerColumns], full_rows: FullRows, clock_tolerance_ms: int
    ) -> None:
        self.tables = {
            contract.name: _Table(contract, tables.get(contract.name) or no_rows(contract))
            for contract in ALL_CONTRACTS
        }
        self._full_rows = full_rows
        self._clock_tolerance_ms = clock_tolerance_ms
        self._things: dict[str, _Things] = {}
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
            table.refuse(_mask(len(table.accepted), undecidable[name]), "occurred_at", Rule.UNDECIDABLE)
            itself = pc.equal(table.strings("event_id"), table.strings("corrects"))
            is_own = pc.fill_null(itself, False).to_numpy(zero_copy_only=False)
            table.refuse(is_own, "corrects", Rule.CORRECTS_ITSELF)
            table.sent = table.accepted.copy()
        self._find_copies()
        while self._refuse_dangling():
            pass
        self._find_doubtful()
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
    def _in_order(table: _Table, mask: Mask) -> list[int]:
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
                    self._things[reference.contract] = _Things.of(target, reference.column)
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
                missing = _mask(len(table.accepted), rows[~is_there])
                self._refuse_missing(table, missing, "corrects", table, "event_id")
        return found

    @staticmethod
    def _refuse_missing(
        table: _Table, missing: Mask, column: str, target: _Table, target_column: str
    ) -> None:
        known = pc.is_in(table.strings(column), value_set=target.strings(target_column), skip_nulls=True)
        quarantined = known.to_numpy(zero_copy_only=False)
        table.refuse(missing & ~quarantined, column, Rule.UNKNOWN_REFERENCE)
        table.refuse(missing & quarantined, column, Rule.REFERENCE_QUARANTINED)

    # What may break a rule

    def _find_doubtful(self) -> None:
        for table in self.tables.values():
            self._doubt_corrections(table)
            self._doubt_keys(table)
            for column, reference in table.contract.references():
                self._doubt_reference(table, column, reference)
        self._doubt_amounts()
        self._doubt_dispute_decisions()
        # A row that names what is in doubt is in doubt itself; contracts stand in the order of reference.
        for table in self.tables.values():
            for column, reference in table.contract.references():
                things = self._things[reference.contract]
                doubted: Mask = np.zeros(len(things.keys) + 1, dtype=np.bool_)
                doubted[things.code[things.table.doubtful & (things.code >= 0)]] = True
                table.doubtful |= doubted[self._named[table.contract.name, column.name]]

    @staticmethod
    def _doubt_corrections(table: _Table) -> None:
        rows = np.flatnonzero(table.first & table.is_present("corrects"))
        if not len(rows):
            return
        candidates = np.flatnonzero(table.first)
        corrects = table.strings("corrects").take(pa.array(rows))
        found = pc.index_in(corrects, value_set=table.strings("event_id").take(pa.array(candidates)))
        place: Positions = pc.fill_null(found.cast(pa.int64()), -1).to_numpy(zero_copy_only=False)
        doubtful = place < 0
        corrected = candidates[np.maximum(place, 0)]
        for name in dict.fromkeys((*table.contract.key, table.contract.entity)):
            if name != "event_id":
                values = table.strings(name)
                differs = pc.not_equal(values.take(pa.array(rows)), values.take(pa.array(corrected)))
                doubtful |= pc.fill_null(differs, True).to_numpy(zero_copy_only=False)
        doubtful |= np.bincount(corrected, minlength=len(table.accepted))[corrected] > 1
        # Following the corrections back, a row that comes to no first row is in a circle.
        back = np.arange(len(table.accepted))
        back[rows] = corrected
        for _ in range(max(1, len(rows).bit_length())):
            back = back[back]
        is_correction = _mask(len(table.accepted), rows)
        doubtful |= is_correction[back[rows]]
        table.doubtful[rows[doubtful]] = True

    @staticmethod
    def _doubt_keys(table: _Table) -> None:
        contract = table.contract
        if contract.unique is not None:
            _doubt_shared_values(table)
        if contract.key == ("event_id",):
            return
        (key,) = contract.key
        if not contract.rows_are_states:
            _doubt_duplicates(table, key, table.first & ~table.is_present("corrects"))
        elif contract.entity != key:
            things = _Things.of(table, key)
            for name in (contract.entity, "invoice_id"):
                if name in table:
                    mixed = np.append(things.mixed(name), False)
                    table.doubtful |= mixed[things.code]

    def _doubt_reference(self, table: _Table, column: Column, reference: Reference) -> None:
        if reference.contract not in CURRENCY_REFERENCES:
            return
        things = self._things[reference.contract]
        named = self._named[table.contract.name, column.name]
        rows = np.flatnonzero(named >= 0)
        code = named[rows]
        for name in ("customer_id", "currency"):
            if name in table and name in things.table and name != column.name:
                own = table.strings(name).take(pa.array(rows))
                theirs = things.table.strings(name).take(pa.array(things.first_row[code]))
                differs = pc.fill_null(pc.not_equal(own, theirs), True).to_numpy(zero_copy_only=False)
                table.doubtful[rows[differs | things.mixed(name)[code]]] = True
        if reference.contract in TIMED_REFERENCES and table.contract.name not in MAY_COME_BEFORE:
            earliest = things.highest(things.table.occurred_at)[code]
            for name in table.contract.past_columns:
                written = table.integers(name)[rows]
                latest = written + may_stand_for_up_to_ms(written) + self._clock_tolerance_ms
                table.doubtful[rows[(latest < earliest) & table.is_present(name)[rows]]] = True

    def _doubt_amounts(self) -> None:
        invoices, orders = self.tables["invoices"], self._things["orders"]
        order_of_invoice = self._named["invoices", "order_id"]
        amounts = invoices.integers("amount_cents")
        invoiced = orders.sums(order_of_invoice, amounts, invoices.first)
        above = np.append(invoiced > orders.lowest(orders.table.integers("amount_cents")), False)
        invoices.doubtful |= above[order_of_invoice]
        adjustments, payments = self.tables["invoice_adjustments"], self.tables["invoice_payments"]
        things = self._things["invoices"]
        named = self._named["invoice_adjustments", "invoice_id"]
        cents = adjustments.integers("amount_cents")
        is_credit_note = adjustments.equals("kind", "credit_note")
        credited = things.sums(named, cents, adjustments.first & is_credit_note)
        refunded = things.sums(named, cents, adjustments.first & ~is_credit_note)
        standing = payments.first & ~self._is_corrected(payments)
        named_by_payment = self._named["invoice_payments", "invoice_id"]
        paid = things.sums(named_by_payment, payments.integers("amount_cents"), standing)
        too_much = np.append((credited > things.lowest(amounts)) | (refunded > paid), False)
        adjustments.doubtful |= too_much[named]

    @staticmethod
    def _is_corrected(table: _Table) -> Mask:
        corrects = table.strings("corrects").filter(pa.array(table.first))
        found = pc.is_in(table.strings("event_id"), value_set=corrects, skip_nulls=True)
        corrected: Mask = found.to_numpy(zero_copy_only=False)
        return corrected

    def _doubt_dispute_decisions(self) -> None:
        outcomes, pauses = self.tables["order_outcomes"], self.tables["invoice_pauses"]
        things = self._things["invoices"]
        disputed_at = np.full(len(self._things["orders"].keys) + 1, LARGEST, dtype=np.int64)
        certain = pauses.first & pauses.equals("reason", "dispute") & ~self._is_corrected(pauses)
        named = self._named["invoice_pauses", "invoice_id"]
        # An invoice of several rows may have been another order's: that is left to the replay.
        certain &= (named >= 0) & ~np.append(things.several, True)[named]
        orders = self._named["invoices", "order_id"][things.first_row[named[certain]]]
        np.minimum.at(disputed_at, orders, pauses.integers("started_at")[certain])
        disputed_at[-1] = LARGEST
        kinds = outcomes.strings("kind")
        decides = pc.is_in(kinds, value_set=pa.array(DISPUTE_DECISIONS), skip_nulls=True)
        latest = (
            outcomes.occurred_at + may_stand_for_up_to_ms(outcomes.occurred_at) + self._clock_tolerance_ms
        )
        unfounded = disputed_at[self._named["order_outcomes", "order_id"]] > latest
        outcomes.doubtful |= outcomes.first & decides.to_numpy(zero_copy_only=False) & unfounded

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

    def _given(self, table: _Table, mask: Mask) -> list[tuple[str, pa.Array]]:
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

    def _shared(self, table: _Table, chosen: Mask) -> list[int]:
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
            places = self._undecidable_rows(table) if table.contract.has_states else set()
            found |= not places <= undecidable[name]
            undecidable[name].update(places)
        return found

    def _undecidable_rows(self, table: _Table) -> set[int]:
        mask = table.accepted & ~table.repeated
        things = _things(table)
        rows = np.flatnonzero(mask & things.is_valid().to_numpy(zero_copy_only=False))
        begun = [table.integers(name) for name in begun_before_it(table.contract)]
        happened = happened_at_of_columns(table.occurred_at, table.recorded_at, begun)[rows]
        recorded_at = table.recorded_at[rows]
        codes = things.take(pa.array(rows)).dictionary_encode().indices.to_numpy()
        mixed = codes.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= recorded_at.astype(np.uint64) * np.uint64(0xC2B2AE3D27D4EB4F)
        mixed ^= happened.astype(np.uint64) * np.uint64(0x165667B19E3779F9)
        if pc.count_distinct(pa.array(mixed)).as_py() == len(rows):
            return set()
        groups: defaultdict[tuple[int, int, int], list[int]] = defaultdict(list)
        _, inverse, counts = np.unique(mixed, return_inverse=True, return_counts=True)
        for place in np.flatnonzero(counts[inverse] > 1).tolist():
            key = int(codes[place]), int(happened[place]), int(recorded_at[place])
            groups[key].append(int(rows[place]))
        together = [places for places in groups.values() if len(places) > 1]
        members = sorted(place for places in together for place in places)
        contents = self._contents(table.contract, members)
        corrected_at = dict(
            zip(
                table.strings("corrects").filter(pa.array(mask)).to_pylist(),
                table.recorded_at[mask].tolist(),
                strict=True,
            )
        )
        undecidable: set[int] = set()
        for places in together:
            standing = [
                place
                for place in places
                if corrected_at.get(contents[place]["event_id"], LARGEST) > table.recorded_at[place]
            ]
            said = [table.contract.says(contents[place]) for place in standing]
            if any(one != said[0] for one in said):
                undecidable.update(standing)
        return undecidable


def _things(table: _Table) -> pa.Array:
    """The thing that each row is a state of, shape (n_rows,); null: the row stands beside all others."""
    answers = table.contract.answers
    if answers is None:
        (column,) = table.contract.state_of
        things = table.strings(column)
        if not table.contract.state_columns:
            return things
        is_state = np.any([table.is_present(name) for name in table.contract.state_columns], axis=0)
        return pc.if_else(pa.array(is_state), things, pa.scalar(None, things.type))
    kinds = table.strings(answers.column).dictionary_encode()
    questions = [answers.question_of.get(kind) for kind in kinds.dictionary.to_pylist()]
    question = pa.array(questions, pa.string()).take(kinds.indices)
    return pc.binary_join_element_wise(table.strings(answers.about), question, "\n")


def _mask(rows: int, positions: Any) -> Mask:
    mask: Mask = np.zeros(rows, dtype=np.bool_)
    mask[list(positions)] = True
    return mask


def _doubt_shared_values(table: _Table) -> None:
    """Doubt the rows whose unique value rows of several things have; versions of one thing may share it."""
    values = table.unique_values()
    rows = np.flatnonzero(table.first & values.is_valid().to_numpy(zero_copy_only=False))
    if not len(rows):
        return
    codes = values.take(pa.array(rows)).dictionary_encode().indices.to_numpy(zero_copy_only=False)
    things = table.strings(table.contract.key[0]).take(pa.array(rows)).dictionary_encode().indices
    thing = things.to_numpy(zero_copy_only=False)
    first_thing = np.zeros(codes.max() + 1, dtype=thing.dtype)
    first_thing[codes[::-1]] = thing[::-1]
    is_shared = np.zeros(len(first_thing), dtype=np.bool_)
    is_shared[codes[thing != first_thing[codes]]] = True
    table.doubtful[rows[is_shared[codes]]] = True


def _doubt_duplicates(table: _Table, column: str, mask: Mask) -> None:
    rows = np.flatnonzero(mask)
    values = table.strings(column).take(pa.array(rows))
    if pc.count_distinct(values).as_py() == len(rows):
        return
    codes = values.dictionary_encode().indices.to_numpy(zero_copy_only=False)
    table.doubtful[rows[np.bincount(codes)[codes] > 1]] = True


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
