"""From when until when a ledger row is what we know: the two clocks and the one rule of what stands.

Of the rows of one thing that are recorded before `as_of` and not corrected by then, the one that
*happened* last stands, whenever it arrived; among equal instants the one that arrived last. When it happened
is what was sent: of a clock that runs ahead two states rank as it told them, and one of them outranks a state
that truly happened later by less than the lead, which is the price of it. The rows of
one thing are those with one key where rows are states, and the answers to one question; any other row is a
thing of its own. Until a correction is recorded, nobody knows that the corrected row was wrong: until then
the row stands.

A row may stand in several intervals. Of a customer's states A (1 October) and B (2 October), B stands; when
B is corrected to 30 September, A stands again. A decision at `as_of` sees a row that stands in an interval
with `seen_from < as_of <= seen_until`.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data_contracts.contract import Contract
from data_contracts.sent_instants import HAPPENED_AT, begun_before_it, happened_at, happened_at_of_columns
from features.instants import NEVER, Int64Array

LedgerRow = Mapping[str, Any]
"""A row in ledger row form: instants in ms since 1970 UTC; what is null may be left out."""


class SeenInterval(NamedTuple):
    """A row stands for decisions with `seen_from < as_of <= seen_until`; NEVER where no end is known."""

    seen_from: int
    seen_until: int


def as_counted(contract: Contract, row: LedgerRow) -> LedgerRow:
    """The row with no past instant later than its `recorded_at`, and none before what it cannot precede.

    A sender's clock may run a little ahead; such a row counts from when it was recorded. A date without a
    time may be written before what it cannot precede; it counts as that. The row ranks by what was sent all
    the same, and carries that along as `happened_at`.

    >>> from data_contracts.credit_inquiries import CREDIT_INQUIRIES
    >>> as_counted(CREDIT_INQUIRIES, {"occurred_at": 5_900, "recorded_at": 5_000})
    {'occurred_at': 5000, 'recorded_at': 5000, 'happened_at': 5900}
    """
    if _counts_as_sent(contract, row):
        return row
    recorded_at = row["recorded_at"]
    counted = {
        name: recorded_at
        for name in contract.past_columns
        if (instant := row.get(name)) is not None and instant > recorded_at
    }
    for later, earlier in contract.never_before:
        instant = counted.get(later, row.get(later))
        if instant is not None and instant < (begun := counted.get(earlier, row[earlier])):
            counted[later] = begun
    return {**row, **counted, HAPPENED_AT: happened_at(contract, row)}


def _counts_as_sent(contract: Contract, row: LedgerRow) -> bool:
    """Whether nothing of a row counts otherwise than it was sent, as of nearly every one."""
    recorded_at = row["recorded_at"]
    for name in contract.past_columns:
        instant = row.get(name)
        if instant is not None and instant > recorded_at:
            return False
    for later, earlier in contract.never_before:
        instant = row.get(later)
        if instant is not None and instant < row[earlier]:
            return False
    return True


def standing_rows(contract: Contract, known: Sequence[LedgerRow]) -> list[LedgerRow]:
    """The rows that stand among those that are known, in the order given; `as_counted`.

    known: rows of one contract, of any number of things, all recorded before the moment of decision.
    """
    corrected = {row["corrects"] for row in known if "corrects" in row}
    standing = [row for row in known if row["event_id"] not in corrected] if corrected else known
    counted = _all_as_counted(contract, standing)
    if len(counted) < 2 or not (contract.rows_are_states or contract.answers):
        return counted
    latest: dict[tuple[Any, ...], LedgerRow] = {}
    for row in counted:
        thing = contract.thing_of(row) or (row["event_id"],)
        other = latest.get(thing)
        if other is None or rank_of(contract, row) > rank_of(contract, other):
            latest[thing] = row
    return list(latest.values())


def _all_as_counted(contract: Contract, rows: Sequence[LedgerRow]) -> list[LedgerRow]:
    if contract.past_columns == ("occurred_at",) and not contract.never_before:
        # A decision reads dozens of such rows: one comparison each.
        return [
            row if row["occurred_at"] <= row["recorded_at"] else as_counted(contract, row) for row in rows
        ]
    return [as_counted(contract, row) for row in rows]


def rank_of(contract: Contract, row: LedgerRow) -> tuple[int, int, str]:
    """The row of the highest rank stands: what happened last, as it was sent, then what arrived last.

    Rows that share both instants say the same, or their file is refused: the id makes the choice among
    equals repeatable and decides nothing.
    """
    return happened_at(contract, row), row["recorded_at"], row["event_id"]


def latest_of(contract: Contract, rows: Sequence[LedgerRow]) -> LedgerRow | None:
    """The row that stands among all rows of one thing, whatever was recorded by now; None without rows.

    For a thing whose rows are no states: the one that was not corrected.
    """
    standing = standing_rows(contract, rows)
    if len(standing) == 1:
        return standing[0]
    return max(standing, key=lambda row: rank_of(contract, row), default=None)


def seeing_all(now_ms: int, *rows_of_kinds: Sequence[LedgerRow]) -> int:
    """The first instant after now at which each of these rows is seen.

    A row may be recorded a few milliseconds ahead of the clock, and is news all the same.

    >>> seeing_all(1_000, [{"recorded_at": 990}], [{"recorded_at": 1_004}]), seeing_all(1_000)
    (1005, 1001)
    """
    recorded: list[int] = [row["recorded_at"] for rows in rows_of_kinds for row in rows]
    return max([now_ms, *recorded]) + 1


class Version(NamedTuple):
    """One row of a thing. rank: the highest one stands. place: of the row among the caller's."""

    rank: tuple[int, ...]
    recorded_at: int
    corrected_at: int
    place: int


def intervals_of_one_thing(versions: Sequence[Version]) -> list[tuple[int, SeenInterval]]:
    """When each row of one thing stands: pairs of its place and an interval, by time.

    At any moment the highest rank stands among the rows that are recorded and not corrected.
    """
    edges = sorted(
        {version.recorded_at for version in versions}
        | {version.corrected_at for version in versions if version.corrected_at < NEVER}
    )
    arriving = sorted(versions, key=lambda version: version.recorded_at)
    arrived = 0
    known: list[tuple[tuple[int, ...], Version]] = []
    intervals: list[tuple[int, SeenInterval]] = []
    for edge, next_edge in zip(edges, [*edges[1:], NEVER], strict=True):
        while arrived < len(arriving) and arriving[arrived].recorded_at <= edge:
            version = arriving[arrived]
            heappush(known, (tuple(-part for part in version.rank), version))
            arrived += 1
        while known and known[0][1].corrected_at <= edge:
            heappop(known)
        if not known:
            continue
        place = known[0][1].place
        if intervals and intervals[-1][0] == place and intervals[-1][1].seen_until == edge:
            intervals[-1] = (place, SeenInterval(intervals[-1][1].seen_from, next_edge))
        else:
            intervals.append((place, SeenInterval(edge, next_edge)))
    return intervals


@dataclass(frozen=True, kw_only=True)
class SeenRows:
    """The intervals in which rows of a table stand, in the table's order; a row may have several or none.

    place: of the row in the table. All shapes (n_intervals,), instants in ms.
    """

    place: NDArray[np.intp]
    seen_from: Int64Array
    seen_until: Int64Array

    def where(self, mask: NDArray[np.bool_]) -> "SeenRows":
        """The intervals that `mask` picks."""
        return SeenRows(
            place=self.place[mask], seen_from=self.seen_from[mask], seen_until=self.seen_until[mask]
        )

    def stand_at(self, as_of_ms: int) -> NDArray[np.intp]:
        """The places of the rows that a decision at `as_of_ms` sees."""
        return np.asarray(self.place[(self.seen_from < as_of_ms) & (as_of_ms <= self.seen_until)])


def needed_columns(contract: Contract) -> tuple[str, ...]:
    """The columns that `seen_rows` reads."""
    answers = contract.answers
    things = contract.key if answers is None else (answers.about, answers.column)
    instants = ("occurred_at", "recorded_at", *begun_before_it(contract))
    return tuple(dict.fromkeys(("event_id", "corrects", *instants, *things)))


def seen_rows(contract: Contract, table: pa.Table) -> SeenRows:
    """When each row of a table stands.

    table: rows of one contract for any number of things, with `needed_columns`.
    """
    recorded_at = milliseconds(table["recorded_at"])
    place = np.arange(table.num_rows, dtype=np.intp)
    corrected_at = _corrected_at(table, recorded_at)
    if table.num_rows == 0 or not (contract.rows_are_states or contract.answers):
        return SeenRows(place=place, seen_from=recorded_at, seen_until=corrected_at)
    happened = happened_milliseconds(contract, table)
    thing = _things(contract, table)
    seen_until, is_tangled = _as_they_arrived(thing, happened, recorded_at, corrected_at)
    if not is_tangled.any():
        return SeenRows(place=place, seen_from=recorded_at, seen_until=seen_until)
    names = table["event_id"].filter(pa.array(is_tangled)).to_pylist()
    name_rank = np.zeros(table.num_rows, dtype=np.int64)
    name_rank[is_tangled] = np.argsort(np.argsort(np.array(names, dtype=object)))
    versions: defaultdict[int, list[Version]] = defaultdict(list)
    for row in np.flatnonzero(is_tangled).tolist():
        rank = (int(happened[row]), int(recorded_at[row]), int(name_rank[row]))
        versions[int(thing[row])].append(Version(rank, int(recorded_at[row]), int(corrected_at[row]), row))
    pairs = [pair for own in versions.values() for pair in intervals_of_one_thing(own)]
    places = np.array([row for row, _ in pairs], dtype=np.intp)
    intervals = np.array([interval for _, interval in pairs], dtype=np.int64).reshape(len(pairs), 2)
    plain = ~is_tangled
    joined = np.concatenate([place[plain], places])
    order = np.argsort(joined, kind="stable")
    return SeenRows(
        place=joined[order],
        seen_from=np.concatenate([recorded_at[plain], intervals[:, 0]])[order],
        seen_until=np.concatenate([seen_until[plain], intervals[:, 1]])[order],
    )


def _corrected_at(table: pa.Table, recorded_at: Int64Array) -> Int64Array:
    """When the correction of each row was recorded, NEVER where there is none."""
    corrected_at = np.full(table.num_rows, NEVER, dtype=np.int64)
    corrections = np.flatnonzero(pc.is_valid(table["corrects"]).to_numpy(zero_copy_only=False))
    if len(corrections):
        found = pc.index_in(table["corrects"].take(pa.array(corrections)), value_set=table["event_id"])
        is_here = pc.is_valid(found).to_numpy(zero_copy_only=False)
        places = pc.drop_null(found).to_numpy(zero_copy_only=False)
        np.minimum.at(corrected_at, places, recorded_at[corrections[is_here]])
    return corrected_at


def _things(contract: Contract, table: pa.Table) -> Int64Array:
    """A number for what each row is about, as `_thing` tells it."""
    answers = contract.answers
    if answers is None:
        return _codes([table[name] for name in contract.key])
    kinds = pa.array(list(answers.question_of))
    questions = pa.array(list(answers.question_of.values()))
    question = questions.take(pc.index_in(table[answers.column].combine_chunks(), value_set=kinds))
    has_none = pc.is_null(question)
    # An answer without a question is about itself alone.
    about = pc.if_else(has_none, table["event_id"].combine_chunks(), table[answers.about].combine_chunks())
    return _codes([pa.chunked_array([about]), pa.chunked_array([pc.fill_null(question, "")])])


def _codes(columns: Sequence[pa.ChunkedArray]) -> Int64Array:
    """A number for each distinct combination of values."""
    codes = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        encoded = column.combine_chunks().dictionary_encode()
        indices = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        codes = codes * (len(encoded.dictionary) + 1) + indices
    return codes


def _as_they_arrived(
    thing: Int64Array, happened: Int64Array, recorded_at: Int64Array, corrected_at: Int64Array
) -> tuple[Int64Array, NDArray[np.bool_]]:
    """Until when each row stands where states arrived in the order in which they happened.

    Returns those ends, and which rows belong to a thing with a correction, or with states that arrived
    otherwise: of these the ends mean nothing.
    """
    order = np.lexsort((happened, recorded_at, thing))
    same_thing = thing[order][1:] == thing[order][:-1]
    earlier, later = order[:-1][same_thing], order[1:][same_thing]
    seen_until = np.full(len(thing), NEVER, dtype=np.int64)
    seen_until[earlier] = recorded_at[later]
    is_out_of_step = corrected_at < NEVER
    steps_back = happened[later] < happened[earlier]
    # Equal in both instants: they say the same, and the id's order makes the choice repeatable.
    is_tied = (happened[later] == happened[earlier]) & (recorded_at[later] == recorded_at[earlier])
    is_out_of_step[later[steps_back | is_tied]] = True
    tangled_things = np.unique(thing[is_out_of_step])
    return seen_until, np.isin(thing, tangled_things) if len(tangled_things) else is_out_of_step


def milliseconds(column: pa.ChunkedArray, *, missing: int = NEVER) -> Int64Array:
    """A timestamp column as int64 milliseconds since 1970 UTC, `missing` where null."""
    integers = pc.cast(pc.cast(column, pa.timestamp("ms", tz="UTC")), pa.int64())
    return np.asarray(pc.fill_null(integers, missing).to_numpy(), dtype=np.int64)


def counted_milliseconds(
    contract: Contract, table: pa.Table, name: str, *, missing: int = NEVER
) -> Int64Array:
    """A timestamp column of a ledger table as `as_counted` gives it, `missing` where null.

    table: with `recorded_at` and what the column never precedes.
    """
    instants = milliseconds(table[name], missing=missing)
    if name not in contract.past_columns:
        return instants
    recorded_at = milliseconds(table["recorded_at"])
    counted = np.minimum(instants, recorded_at)
    for later, earlier in contract.never_before:
        if later == name:
            counted = np.maximum(counted, np.minimum(milliseconds(table[earlier]), recorded_at))
    return np.where(instants == missing, missing, counted)


def happened_milliseconds(contract: Contract, table: pa.Table) -> Int64Array:
    """When each row of a ledger table happened, as `happened_at` tells it.

    table: with `needed_columns`.
    """
    occurred_at, recorded_at, *begun = (
        milliseconds(table[name]) for name in ("occurred_at", "recorded_at", *begun_before_it(contract))
    )
    return happened_at_of_columns(occurred_at, recorded_at, begun)


def whole_numbers(column: pa.ChunkedArray, *, missing: int = 0) -> Int64Array:
    """An integer column as int64, `missing` where null."""
    return np.asarray(pc.fill_null(column, missing).to_numpy(), dtype=np.int64)
