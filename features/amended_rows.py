"""Orders as they came to be amended: each row once for every amount that it had, in our knowledge."""

import dataclasses
from collections import defaultdict
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from data_contracts.amended_orders import ordered_cents
from data_contracts.order_events import AMENDED
from data_contracts.sent_instants import HAPPENED_AT
from features.link_columns import StandingRows, places_in
from features.supersession import SeenInterval


class _Seen(NamedTuple):
    """A ledger row, in an interval of our knowledge."""

    interval: SeenInterval
    row: dict[str, Any]


class _Piece(NamedTuple):
    """An order's row, by its place, while it came to an amount."""

    place: int
    interval: SeenInterval
    amount_cents: int


def with_amendments(orders: StandingRows, amendments: StandingRows) -> StandingRows:
    """The rows of orders, those of amended orders cut where the amount changes, which it then says.

    orders: with `order_id` and `amount_cents`. amendments: events of the kind `amended`, with `order_id` and
    `new_amount_cents`. Rows of orders that were never amended stay as they are.
    """
    amended = amendments.table["order_id"].unique()
    is_amended = places_in(orders.table["order_id"], amended) >= 0
    if not is_amended.any():
        return orders
    events_of: defaultdict[str, list[_Seen]] = defaultdict(list)
    for event in _rows_seen(amendments, np.arange(len(amendments)), ("order_id", "new_amount_cents")):
        events_of[event.row["order_id"]].append(_Seen(event.interval, {**event.row, "kind": AMENDED}))
    places = np.flatnonzero(is_amended)
    pieces = [
        piece
        for place, order in zip(
            places.tolist(),
            _rows_seen(orders, places, ("order_id", "amount_cents", "corrects")),
            strict=True,
        )
        for piece in _pieces(place, order, events_of[order.row["order_id"]])
    ]
    plain = np.flatnonzero(~is_amended)
    cut = orders.take(np.concatenate([plain, np.array([piece.place for piece in pieces], dtype=np.intp)]))
    at = cut.table.column_names.index("amount_cents")
    cents = cut.table["amount_cents"].to_numpy().copy()
    cents[len(plain) :] = [piece.amount_cents for piece in pieces]
    seen_from, seen_until = cut.seen_from.copy(), cut.seen_until.copy()
    seen_from[len(plain) :] = [piece.interval.seen_from for piece in pieces]
    seen_until[len(plain) :] = [piece.interval.seen_until for piece in pieces]
    return dataclasses.replace(
        cut,
        table=cut.table.set_column(at, cut.table.schema.field("amount_cents"), pa.array(cents)),
        seen_from=seen_from,
        seen_until=seen_until,
    )


def _rows_seen(rows: StandingRows, places: np.ndarray, names: tuple[str, ...]) -> list[_Seen]:
    """The rows at some places as `ordered_cents` reads them."""
    columns = rows.table.select(["event_id", *names]).take(pa.array(places)).to_pylist()
    return [
        _Seen(
            SeenInterval(seen_from, seen_until),
            {**row, "occurred_at": occurred_at, "recorded_at": recorded_at, HAPPENED_AT: happened_at},
        )
        for row, seen_from, seen_until, occurred_at, recorded_at, happened_at in zip(
            columns,
            rows.seen_from[places].tolist(),
            rows.seen_until[places].tolist(),
            rows.occurred_at[places].tolist(),
            rows.recorded_at[places].tolist(),
            rows.happened_at[places].tolist(),
            strict=True,
        )
    ]


def _pieces(place: int, order: _Seen, events: list[_Seen]) -> list[_Piece]:
    """The intervals of an order's row between the moments at which its amendments came and went."""
    begins, ends = order.interval
    edges = {edge for event in events for edge in event.interval if begins < edge < ends}
    starts = sorted({begins, *edges})
    pieces = []
    for start, end in zip(starts, [*starts[1:], ends], strict=True):
        known = [one.row for one in events if one.interval.seen_from <= start < one.interval.seen_until]
        pieces.append(_Piece(place, SeenInterval(start, end), ordered_cents(order.row, known)))
    return pieces
