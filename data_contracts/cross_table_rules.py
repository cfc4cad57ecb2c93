"""Rules between the rows of a ledger: ids, references, corrections and clocks, over whole columns at once.

Every rule looks only at rows that are still accepted, so a row whose referenced row is refused is refused
as well. Contracts are judged in the order in which they refer to each other.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data_contracts.contract import Column, Contract, Reference
from data_contracts.ledger_contracts import ALL_CONTRACTS
from data_contracts.row_check import Rule

Mask = NDArray[np.bool_]
Positions = NDArray[np.int64]

TIMED_REFERENCES = frozenset({"orders", "invoices"})
"""A row must not occur before the order or invoice that it names. Customers, merchants and accounts may
become known to us after something about them happened."""

CURRENCY_REFERENCES = frozenset({"orders", "invoices", "credit_accounts"})


@dataclass(frozen=True, kw_only=True)
class LedgerColumns:
    """The columns of one contract that rules between rows read; null where a value broke its own rule.

    columns: event_id, corrects, occurred_at, recorded_at (both int64 milliseconds), the key, the entity,
        the references, customer_id and currency, as far as the contract has them.
    passed: shape (n_rows,), whether the row broke no rule of its own.
    """

    columns: pa.Table
    passed: Mask


@dataclass(frozen=True, kw_only=True)
class CrossTableVerdict:
    """What the rules between rows say about one contract.

    accepted: shape (n_rows,), rows that broke no rule at all and repeat no other.
    repeated: shape (n_rows,), rows that say again, under the same event_id, what an accepted row says.
    broken: for every refused row that passed its own rules, position -> (column, rule).
    """

    accepted: Mask
    repeated: Mask
    broken: Mapping[int, tuple[tuple[str, Rule], ...]]


SameContent = Callable[[Contract, Sequence[tuple[int, int]]], Sequence[bool]]
"""Whether the two rows of each pair say the same, `recorded_at` aside."""


def needed_columns(contract: Contract) -> tuple[str, ...]:
    """The columns of a contract that rules between rows read."""
    wanted = {"event_id", "corrects", "occurred_at", "recorded_at", "customer_id", "currency"}
    wanted |= {*contract.key, contract.entity, *(column.name for column, _ in contract.references())}
    return tuple(column.name for column in contract.columns if column.name in wanted)


def judge_ledger(
    tables: Mapping[str, LedgerColumns], *, now_ms: int, same_content: SameContent
) -> dict[str, CrossTableVerdict]:
    """Apply every rule between rows to a whole ledger.

    tables: by contract name; a contract without rows may be missing.
    now_ms: the present, milliseconds since 1970 UTC: nothing was recorded after it.
    same_content: asked only about rows that share an event_id.
    """
    judged: dict[str, _Table] = {}
    event_ids = _reused_across_contracts(tables)
    for contract in ALL_CONTRACTS:
        if contract.name in tables:
            table = _Table(contract, tables[contract.name])
            table.refuse(table.accepted & event_ids[contract.name], "event_id", Rule.EVENT_ID_REUSED)
            _judge_contract(table, judged, now_ms=now_ms, same_content=same_content)
            judged[contract.name] = table
    return {
        name: CrossTableVerdict(
            accepted=table.accepted,
            repeated=table.repeated,
            broken={position: tuple(rules) for position, rules in table.broken.items()},
        )
        for name, table in judged.items()
    }


class _Table:
    """One contract's rows while they are judged."""

    def __init__(self, contract: Contract, rows: LedgerColumns) -> None:
        self.contract = contract
        self.columns = rows.columns.combine_chunks()
        self.accepted: Mask = rows.passed.copy()
        self.repeated: Mask = np.zeros(len(rows.passed), dtype=np.bool_)
        self.broken: dict[int, list[tuple[str, Rule]]] = {}
        self.recorded_at: NDArray[np.int64] = self.integers("recorded_at")
        self.occurred_at: NDArray[np.int64] = self.integers("occurred_at")

    def __contains__(self, name: str) -> bool:
        return name in self.columns.column_names

    def strings(self, name: str) -> pa.Array:
        """The values of a column as one Arrow array."""
        column = self.columns.column(name)
        return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()

    def integers(self, name: str) -> NDArray[np.int64]:
        """The values of an integer column; 0 for null, which only refused rows hold."""
        values: NDArray[np.int64] = pc.fill_null(self.strings(name), 0).to_numpy(zero_copy_only=False)
        return values

    def refuse(self, mask: Mask, column: str, rule: Rule) -> None:
        """Take rows out of the accepted ones for breaking a rule."""
        for position in np.flatnonzero(mask).tolist():
            self.broken.setdefault(position, []).append((column, rule))
        self.accepted &= ~mask

    def in_order(self, mask: Mask) -> Positions:
        """The rows of the mask by (recorded_at, event_id): the order in which they were known."""
        positions = np.flatnonzero(mask)
        ids = self.strings("event_id").take(pa.array(positions))
        order = pc.sort_indices(
            pa.table({"recorded_at": self.recorded_at[positions], "event_id": ids}),
            sort_keys=[("recorded_at", "ascending"), ("event_id", "ascending")],
        ).to_numpy()
        ordered: Positions = positions[order]
        return ordered


def _reused_across_contracts(tables: Mapping[str, LedgerColumns]) -> dict[str, Mask]:
    """Rows whose event_id stands in a row of an earlier contract: one id names one row of the ledger."""
    reused: dict[str, Mask] = {}
    seen: list[pa.Array] = []
    everything = pa.chunked_array(
        [chunk for table in tables.values() for chunk in table.columns.column("event_id").chunks],
        type=pa.string(),
    )
    within = {
        name: pc.count_distinct(table.columns.column("event_id")).as_py() for name, table in tables.items()
    }
    clean = pc.count_distinct(everything).as_py() == sum(within.values())
    for contract in ALL_CONTRACTS:
        if contract.name not in tables:
            continue
        table = tables[contract.name]
        ids = table.columns.column("event_id")
        if clean or not seen:
            reused[contract.name] = np.zeros(len(ids), dtype=np.bool_)
        else:
            known = pc.is_in(ids, value_set=pa.chunked_array(seen), skip_nulls=True)
            reused[contract.name] = known.to_numpy() & table.passed
        if not clean:
            accepted = ids.filter(pa.array(table.passed & ~reused[contract.name]))
            seen.extend(accepted.chunks)
    return reused


def _judge_contract(
    table: _Table, judged: Mapping[str, _Table], *, now_ms: int, same_content: SameContent
) -> None:
    table.refuse(table.accepted & (table.recorded_at > now_ms), "recorded_at", Rule.RECORDED_IN_FUTURE)
    _judge_event_ids(table, same_content)
    for column, reference in table.contract.references():
        _judge_reference(table, column, reference, judged.get(reference.contract))
    _judge_corrections(table)
    _judge_keys(table)
    # A key that was refused may have been the one that a correction rests on.
    _judge_corrections(table)


def _later_duplicates(table: _Table, values: pa.Array, mask: Mask) -> list[tuple[int, int]]:
    """Pairs (first row, later row) of the mask's rows that share a value, in the order they were known."""
    if pc.count_distinct(values.filter(pa.array(mask)), mode="only_valid").as_py() == int(mask.sum()):
        return []
    codes = _codes(values)
    counts = np.bincount(codes[mask], minlength=1)
    ordered = table.in_order(mask & (counts[np.minimum(codes, len(counts) - 1)] > 1))
    first: dict[int, int] = {}
    pairs = []
    for position in ordered.tolist():
        code = int(codes[position])
        if code in first:
            pairs.append((first[code], position))
        else:
            first[code] = position
    return pairs


def _codes(values: pa.Array) -> Positions:
    """A number per distinct value; nulls share the largest."""
    indices = values.dictionary_encode().indices
    codes: Positions = pc.fill_null(indices.cast(pa.int64()), len(values)).to_numpy(zero_copy_only=False)
    return codes


def _mask_of(table: _Table, positions: Sequence[int]) -> Mask:
    mask = np.zeros(len(table.accepted), dtype=np.bool_)
    mask[list(positions)] = True
    return mask


def _judge_event_ids(table: _Table, same_content: SameContent) -> None:
    pairs = _later_duplicates(table, table.strings("event_id"), table.accepted)
    if not pairs:
        return
    same = same_content(table.contract, pairs)
    repeated = _mask_of(table, [later for (_, later), equal in zip(pairs, same, strict=True) if equal])
    reused = _mask_of(table, [later for (_, later), equal in zip(pairs, same, strict=True) if not equal])
    table.repeated |= repeated
    table.accepted &= ~repeated
    table.refuse(reused, "event_id", Rule.EVENT_ID_REUSED)


def _judge_reference(table: _Table, column: Column, reference: Reference, target: _Table | None) -> None:
    values = table.strings(column.name)
    present = table.accepted & pc.is_valid(values).to_numpy(zero_copy_only=False)
    if target is None:
        table.refuse(present, column.name, Rule.UNKNOWN_REFERENCE)
        return
    # The first row that was known under a key stands for it; further rows are states or corrections.
    accepted = np.flatnonzero(target.accepted)
    order = accepted[np.argsort(target.recorded_at[accepted], kind="stable")]
    target_keys = target.strings(reference.column).take(pa.array(order))
    encoded = target_keys.dictionary_encode()
    codes = encoded.indices.to_numpy(zero_copy_only=False)
    _, first_of_code = np.unique(codes, return_index=True)
    where = pc.index_in(values, value_set=encoded.dictionary)
    found_code: Positions = pc.fill_null(where.cast(pa.int64()), -1).to_numpy(zero_copy_only=False)
    missing = present & (found_code < 0)
    if missing.any():
        refused = pc.is_in(values, value_set=target.strings(reference.column)).to_numpy(zero_copy_only=False)
        table.refuse(missing & refused, column.name, Rule.REFERENCE_QUARANTINED)
        table.refuse(missing & ~refused, column.name, Rule.UNKNOWN_REFERENCE)
    found = np.flatnonzero(table.accepted & (found_code >= 0))
    if not len(found):
        return
    code_of_found = found_code[found]
    if reference.contract in TIMED_REFERENCES:
        earliest = np.full(len(first_of_code), np.iinfo(np.int64).max)
        np.minimum.at(earliest, codes, target.occurred_at[order])
        early = found[table.occurred_at[found] < earliest[code_of_found]]
        table.refuse(_mask_of(table, early.tolist()), "occurred_at", Rule.BEFORE_REFERENCE)
    for name, rule, contracts in (
        ("customer_id", Rule.CUSTOMER_DIFFERS, None),
        ("currency", Rule.CURRENCY_DIFFERS, CURRENCY_REFERENCES),
    ):
        if name == column.name or name not in table or name not in target:
            continue
        if contracts is not None and reference.contract not in contracts:
            continue
        own = table.strings(name).take(pa.array(found))
        others = target.strings(name)
        theirs = others.take(pa.array(order[first_of_code[code_of_found]]))
        suspects = np.flatnonzero(pc.not_equal(own, theirs).to_numpy(zero_copy_only=False))
        if not len(suspects):
            continue
        # A correction or a later state may carry another value: any accepted row of the key will do.
        wanted = set(code_of_found[suspects].tolist())
        rows_of_code: dict[int, set[Any]] = {}
        for place in np.flatnonzero(np.isin(codes, list(wanted))).tolist():
            rows_of_code.setdefault(int(codes[place]), set()).add(others[int(order[place])].as_py())
        differing = [
            int(found[suspect])
            for suspect in suspects.tolist()
            if own[suspect].as_py() not in rows_of_code[int(code_of_found[suspect])]
        ]
        table.refuse(_mask_of(table, differing), name, rule)


def _judge_corrections(table: _Table) -> None:
    """To a fixpoint: a correction of a refused row is refused, and so is what corrects that."""
    corrects = table.strings("corrects")
    is_correction = pc.is_valid(corrects).to_numpy(zero_copy_only=False)
    if not (is_correction & table.accepted).any():
        return
    ids = table.strings("event_id")
    same_columns = dict.fromkeys((*table.contract.key, table.contract.entity))
    same_columns.pop("event_id", None)
    while True:
        before = int(table.accepted.sum())
        rows = np.flatnonzero(is_correction & table.accepted)
        candidates = np.flatnonzero(table.accepted)
        found = pc.index_in(corrects.take(pa.array(rows)), value_set=ids.take(pa.array(candidates)))
        place: Positions = pc.fill_null(found.cast(pa.int64()), -1).to_numpy(zero_copy_only=False)
        missing = rows[place < 0]
        if len(missing):
            known = pc.is_in(corrects.take(pa.array(missing)), value_set=ids).to_numpy(zero_copy_only=False)
            table.refuse(_mask_of(table, missing[known].tolist()), "corrects", Rule.REFERENCE_QUARANTINED)
            table.refuse(_mask_of(table, missing[~known].tolist()), "corrects", Rule.UNKNOWN_REFERENCE)
        rows, corrected = rows[place >= 0], candidates[place[place >= 0]]
        other = rows == corrected
        for name in same_columns:
            values = table.strings(name)
            differs = pc.not_equal(values.take(pa.array(rows)), values.take(pa.array(corrected)))
            other |= pc.fill_null(differs, True).to_numpy(zero_copy_only=False)
        table.refuse(_mask_of(table, rows[other].tolist()), "corrects", Rule.CORRECTS_OTHER_KEY)
        early = ~other & (table.recorded_at[rows] < table.recorded_at[corrected])
        table.refuse(_mask_of(table, rows[early].tolist()), "recorded_at", Rule.BEFORE_REFERENCE)
        twice = _later_duplicates(table, corrects, is_correction & table.accepted)
        table.refuse(_mask_of(table, [later for _, later in twice]), "corrects", Rule.CORRECTED_TWICE)
        if int(table.accepted.sum()) == before:
            return


def _judge_keys(table: _Table) -> None:
    contract = table.contract
    if contract.rows_are_states or contract.key == ("event_id",):
        return
    first_rows = table.accepted & pc.is_null(table.strings("corrects")).to_numpy(zero_copy_only=False)
    # Every such contract of the ledger has a key of one column; more would be joined here.
    (name,) = contract.key
    pairs = _later_duplicates(table, table.strings(name), first_rows)
    table.refuse(_mask_of(table, [later for _, later in pairs]), name, Rule.KEY_REUSED)
