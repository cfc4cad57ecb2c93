"""The rows that tie orders to entities, as arrays: the twin of `features.order_links` for a whole folder.

Entities are numbered. What names one is brought to its one form once for each distinct value, not for each
row: a book names the same devices, places and mailboxes again and again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data_contracts.contract import Contract
from data_contracts.parquet_ledger import empty_table, has_table, read_table
from features.decisions import Decisions, NoDecisionsError
from features.entities import EntityKind
from features.instants import NEVER, Int64Array
from features.order_facts import OrderAttributes, attributes_of_orders
from features.order_links import (
    PLACE_PARTS,
    PLAIN_KEYS,
    delivery_key,
    shared_place,
)
from features.supersession import (
    counted_milliseconds,
    happened_milliseconds,
    needed_columns,
    seen_rows,
)


@dataclass(frozen=True, kw_only=True)
class StandingRows:
    """Rows of a contract, once for each interval in which they stand.

    table and arrays: one entry for each interval, instants in ms; happened_at: by which states rank.
    """

    table: pa.Table
    seen_from: Int64Array
    seen_until: Int64Array
    occurred_at: Int64Array
    recorded_at: Int64Array
    happened_at: Int64Array

    def __len__(self) -> int:
        return len(self.seen_from)

    def texts(self, name: str) -> NDArray[np.object_]:
        """A column of texts, shape (n,)."""
        return np.asarray(self.table[name].to_numpy(zero_copy_only=False), dtype=object)

    def take(self, places: NDArray[np.intp]) -> "StandingRows":
        """The rows at some places."""
        return StandingRows(
            table=self.table.take(pa.array(places)),
            seen_from=self.seen_from[places],
            seen_until=self.seen_until[places],
            occurred_at=self.occurred_at[places],
            recorded_at=self.recorded_at[places],
            happened_at=self.happened_at[places],
        )

    def as_recorded(self) -> "StandingRows":
        """The rows in the order in which they were recorded."""
        return self.take(_places_by(self, ("recorded_at",)))


def standing_rows_of(
    directory: Path, contract: Contract, names: Sequence[str], kinds: Sequence[str] | None = None
) -> StandingRows:
    """The rows of a contract, or those of some kinds, in the order of the folder."""
    wanted = list(dict.fromkeys([*needed_columns(contract), *contract.key, *names]))
    table = (
        read_table(directory, contract, wanted)
        if has_table(directory, contract)
        else empty_table(contract).select(wanted)
    )
    seen = seen_rows(contract, table)
    if kinds is not None:
        is_wanted = pc.is_in(table["kind"], value_set=pa.array(kinds))
        if "new_delivery_street" in table.column_names:
            # Whatever an event is called, one that names another place moves the parcel.
            is_wanted = pc.or_(is_wanted, pc.is_valid(table["new_delivery_street"]))
        seen = seen.where(is_wanted.to_numpy()[seen.place])
    return StandingRows(
        table=table.take(pa.array(seen.place)),
        seen_from=seen.seen_from,
        seen_until=seen.seen_until,
        occurred_at=counted_milliseconds(contract, table, "occurred_at")[seen.place],
        recorded_at=counted_milliseconds(contract, table, "recorded_at")[seen.place],
        happened_at=happened_milliseconds(contract, table)[seen.place],
    )


def places_in(column: pa.ChunkedArray, texts: pa.Array | pa.ChunkedArray) -> Int64Array:
    """Where each text of a column stands among distinct ones; -1 where it does not."""
    values = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
    place = pc.fill_null(pc.index_in(column, value_set=values), -1)
    return np.asarray(place.to_numpy(), dtype=np.int64)


class OrderLinks:
    """Orders and changes of where their parcels go, in the order in which they happened.

    Attributes of links, shapes (n_links,): `entity[kind]` the number of what a link names, -1 where nothing;
    `order` and `customer` by number; `seen_from`, `seen_until` and `occurred_at` in ms; `attributes`
    of the orders. `order_of_row`: of each row of the orders that were given.
    `order_ids`, `customer_ids`: the names by number.
    """

    def __init__(self, orders: StandingRows, events: StandingRows) -> None:
        """orders, events: as they were recorded."""
        self.order_of_row, self.order_ids = _numbered(orders.table["order_id"])
        self._customer_of_row, self.customer_ids = _numbered(orders.table["customer_id"])
        self._orders = orders
        self._first_row = np.unique(self.order_of_row, return_index=True)[1]
        self._entities_count: dict[EntityKind, int] = {}
        self._plain = {
            EntityKind.ORDER: _where_named(self.order_of_row, self.order_ids),
            EntityKind.CUSTOMER: _where_named(self._customer_of_row, self.customer_ids),
        }
        for kind, (columns, key) in PLAIN_KEYS.items():
            names = _Names()
            self._plain[kind] = names.numbers(orders.table.select(columns), key)
            self._entities_count[kind] = len(names)
        places = _Names()
        self._place_of_row = places.numbers(_address_columns(orders, "delivery"), delivery_key)
        place = places.numbers(
            _address_columns(events, "new_delivery"), lambda row: delivery_key(row, "new_delivery")
        )
        is_shared = np.array([shared_place(name) is not None for name in places], dtype=bool)
        self._shared = np.append(np.where(is_shared, np.arange(len(places)), -1), -1)
        self._entities_count[EntityKind.DELIVERY_ADDRESS] = len(places)

        order = places_in(events.table["order_id"], self.order_ids)
        is_move = np.flatnonzero((order >= 0) & (place >= 0))
        moves = events.take(is_move)
        self._move_order, self._move_place = order[is_move], place[is_move]
        self._move_rank = np.argsort(_sorted_places(moves))
        self._moves = moves
        # Of whom a parcel was moved, and what was in it, says the first row of its order.
        row_of_move = self._first_row[self._move_order]
        both = _joined_rows(orders, moves)
        in_order = _sorted_places(both)
        of_rows = np.concatenate([np.arange(len(orders)), row_of_move])[in_order]
        of_orders = self._entities(np.arange(len(orders)), self._place_of_row)
        of_moves = self._entities(row_of_move, self._move_place)
        self.entity: dict[EntityKind, Int64Array] = {}
        for kind, numbers in of_orders.items():
            is_moved = kind in {EntityKind.DELIVERY_ADDRESS, EntityKind.CUSTOMER_ADDRESS}
            moved = of_moves[kind] if is_moved else np.full(len(moves), -1, dtype=np.int64)
            self.entity[kind] = np.concatenate([numbers, moved])[in_order]
        self.order = self.order_of_row[of_rows]
        self.customer = self._customer_of_row[of_rows]
        # Before its order is known, nothing can be said about whose parcel was moved.
        known_from = np.maximum(moves.seen_from, orders.seen_from[row_of_move])
        self.seen_from = np.concatenate([orders.seen_from, known_from])[in_order]
        self.seen_until = both.seen_until[in_order]
        self.occurred_at = both.occurred_at[in_order]
        attributes = attributes_of_orders(orders.table, orders.occurred_at)
        self.attributes = OrderAttributes(*(column[of_rows] for column in attributes))

    def _entities(self, rows: NDArray[np.intp], place: Int64Array) -> dict[EntityKind, Int64Array]:
        """What rows of the orders name when their parcels go to the places; by number, -1 where nothing."""
        customer = self._customer_of_row[rows]
        plain = {kind: numbers[rows] for kind, numbers in self._plain.items()}
        count = self._entities_count
        return {
            **plain,
            EntityKind.DELIVERY_ADDRESS: self._shared[place],
            EntityKind.CUSTOMER_DEVICE: _paired(customer, plain[EntityKind.DEVICE], count[EntityKind.DEVICE]),
            EntityKind.CUSTOMER_ADDRESS: _paired(customer, place, count[EntityKind.DELIVERY_ADDRESS]),
        }

    def crowded_from(self, kind: EntityKind, customers_maximum: int) -> Int64Array:
        """From when on more customers than that are known to have named each entity, corrected or not.

        kind: one of LINKING. NEVER for an entity that is never so, and in the last place, for none. Shape
        (n_entities + 1,).
        """
        named = np.flatnonzero(self.entity[kind] >= 0)
        entity, seen_from = self.entity[kind][named], self.seen_from[named]
        pair = entity * len(self.customer_ids) + self.customer[named]
        by_pair = np.lexsort((seen_from, pair))
        earliest = by_pair[np.unique(pair[by_pair], return_index=True)[1]]
        entity, seen_from = entity[earliest], seen_from[earliest]
        order = np.lexsort((seen_from, entity))
        entity, seen_from = entity[order], seen_from[order]
        one_too_many = np.searchsorted(entity, np.arange(self._entities_count[kind])) + customers_maximum
        crowded_from = np.full(self._entities_count[kind] + 1, NEVER, dtype=np.int64)
        is_there = np.flatnonzero(one_too_many < len(entity))
        at = one_too_many[is_there]
        is_crowded = entity[at] == is_there
        crowded_from[is_there[is_crowded]] = seen_from[at[is_crowded]]
        return crowded_from

    def entities_of(self, decisions: Decisions) -> dict[EntityKind, Int64Array]:
        """The entities of each decision's order as known at its moment; by number, -1 where it names none.

        Shapes (n_decisions,). Raises NoDecisionsError for an order that is not known then.
        """
        order = places_in(pa.chunked_array([pa.array(decisions.decision_id, pa.string())]), self.order_ids)
        as_of_ms = decisions.as_of_ms
        row = _last_standing(order, as_of_ms, self.order_of_row, self._orders, np.arange(len(self._orders)))
        if len(unknown := np.flatnonzero(row < 0)):
            name = decisions.decision_id[unknown[0]]
            raise NoDecisionsError(f"order {name} is not known at the moment of its decision")
        # The parcel goes where it was sent last, whichever message of that arrived last.
        move = _last_standing(order, as_of_ms, self._move_order, self._moves, self._move_rank)
        place = self._place_of_row[row]
        place[move >= 0] = self._move_place[move[move >= 0]]
        return self._entities(row, place)


class _Names(dict[str, int]):
    """Numbers 0, 1, 2, ... of the distinct names that were met."""

    def numbers(self, columns: pa.Table, key: Callable[[Mapping[str, Any]], str | None]) -> Int64Array:
        """The number of each row's name, -1 where it has none; rows that are equal are asked for it once."""
        codes, first = _distinct(columns)
        names = [key(row) for row in columns.take(pa.array(first)).to_pylist()]
        numbers = [self.setdefault(name, len(self)) if name else -1 for name in names]
        return np.array(numbers, dtype=np.int64)[codes]


def _distinct(columns: pa.Table) -> tuple[Int64Array, NDArray[np.intp]]:
    """A number for each distinct row, missing values being equal, and the first row that has each."""
    codes = np.zeros(columns.num_rows, dtype=np.int64)
    for column in columns.columns:
        encoded = column.combine_chunks().dictionary_encode(null_encoding="encode")
        codes = codes * len(encoded.dictionary) + encoded.indices.to_numpy(zero_copy_only=False)
        # Numbered anew for each column: products of many large numbers would not fit.
        _, first, codes = np.unique(codes, return_index=True, return_inverse=True)
    return codes, first


def _numbered(column: pa.ChunkedArray) -> tuple[Int64Array, pa.Array]:
    encoded = column.combine_chunks().dictionary_encode()
    return encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64), encoded.dictionary


def _where_named(numbers: Int64Array, names: pa.Array) -> Int64Array:
    """The numbers, -1 for that of an empty name."""
    is_empty = pc.equal(names, "").to_numpy(zero_copy_only=False)
    return np.where(is_empty[numbers], -1, numbers)


def _address_columns(rows: StandingRows, prefix: str) -> pa.Table:
    return rows.table.select([f"{prefix}_{part}" for part in PLACE_PARTS])


def _paired(customer: Int64Array, other: Int64Array, others_count: int) -> Int64Array:
    """A number for each customer with something else, -1 where that is missing."""
    return np.where(other < 0, -1, customer * others_count + other)


def _joined_rows(orders: StandingRows, moves: StandingRows) -> StandingRows:
    return StandingRows(
        table=pa.concat_tables([rows.table.select(["event_id"]) for rows in (orders, moves)]),
        seen_from=np.concatenate([orders.seen_from, moves.seen_from]),
        seen_until=np.concatenate([orders.seen_until, moves.seen_until]),
        occurred_at=np.concatenate([orders.occurred_at, moves.occurred_at]),
        recorded_at=np.concatenate([orders.recorded_at, moves.recorded_at]),
        happened_at=np.concatenate([orders.happened_at, moves.happened_at]),
    )


def _sorted_places(rows: StandingRows) -> NDArray[np.intp]:
    """The places of rows in the order in which they happened; of equals, in which they were recorded."""
    return _places_by(rows, ("happened_at", "recorded_at"))


def _places_by(rows: StandingRows, instants: Sequence[str]) -> NDArray[np.intp]:
    """The places of rows by some instants, then by event_id, then as they come."""
    columns = {name: getattr(rows, name) for name in instants}
    table = pa.table({**columns, "event_id": rows.table["event_id"], "place": np.arange(len(rows))})
    keys = [(name, "ascending") for name in table.column_names]
    return np.asarray(pc.sort_indices(table, sort_keys=keys).to_numpy(), dtype=np.intp)


def _last_standing(
    order: Int64Array,
    as_of_ms: Int64Array,
    order_of_row: Int64Array,
    rows: StandingRows,
    rank: NDArray[np.intp],
) -> Int64Array:
    """For decisions about orders: the row of the highest rank that stands at its moment, -1 where none does.

    order, as_of_ms: shape (n_decisions,); order_of_row, rank: shape (n_rows,).
    """
    by_order = np.lexsort((rank, order_of_row))
    orders = order_of_row[by_order]
    start = np.searchsorted(orders, order, side="left")
    end = np.searchsorted(orders, order, side="right")
    found = np.full(len(order), -1, dtype=np.int64)
    # Rows from the last to the first: few orders have more than one.
    for back in range(1, int((end - start).max(initial=0)) + 1):
        asked = np.flatnonzero((found < 0) & (end - back >= start))
        row = by_order[end[asked] - back]
        stands = (rows.seen_from[row] < as_of_ms[asked]) & (as_of_ms[asked] <= rows.seen_until[row])
        found[asked[stands]] = row[stands]
    return found
