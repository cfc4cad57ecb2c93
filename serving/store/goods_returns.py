"""Returns of goods in SQL, and when the worker looks at each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from serving.domain.goods_return import GoodsReturn, ReturnState
from serving.store.store import Transaction

_COLUMNS = "record FROM goods_returns"
_decode = msgspec.json.Decoder(dict[str, Any]).decode


def _return(row: Sequence[Any]) -> GoodsReturn:
    return msgspec.convert(_decode(row[0]), GoodsReturn)


def keep_return(tx: Transaction, goods: GoodsReturn, *, is_looked_at: bool = False) -> None:
    """Keep a return's state; the caller holds the locks of its customer and its order.

    is_looked_at: by the worker, which looks again when the return runs out. Else a look that waits for news
        of the ledger still does.
    """
    look_at_ms = goods.due_at_ms if goods.state is ReturnState.ANNOUNCED else None
    if goods.is_open and not is_looked_at:
        waiting = tx.execute("SELECT look_at_ms FROM goods_returns WHERE return_id = ?", (goods.return_id,))
        known = [int(at_ms) for (at_ms,) in waiting if at_ms is not None]
        look_at_ms = min([*known, *([] if look_at_ms is None else [look_at_ms])], default=None)
    tx.execute(
        "INSERT INTO goods_returns (return_id, order_id, customer_id, merchant_id, state, announced_at_ms, "
        "look_at_ms, record) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (return_id) DO UPDATE SET "
        "state = excluded.state, look_at_ms = excluded.look_at_ms, record = excluded.record",
        (
            goods.return_id,
            goods.order_id,
            goods.customer_id,
            goods.merchant_id,
            goods.state.value,
            goods.announced_at_ms,
            look_at_ms,
            msgspec.json.encode(goods).decode(),
        ),
    )


def return_of(tx: Transaction, return_id: str) -> GoodsReturn | None:
    """One return by its id."""
    rows = tx.execute(f"SELECT {_COLUMNS} WHERE return_id = ?", (return_id,))
    return _return(rows[0]) if rows else None


def returns_of_order(tx: Transaction, order_id: str) -> list[GoodsReturn]:
    """All returns of an order, the earliest announced first."""
    rows = tx.execute(f"SELECT {_COLUMNS} WHERE order_id = ?", (order_id,))
    return _in_order(rows)


def returns_of_customer(tx: Transaction, customer_id: str) -> list[GoodsReturn]:
    """All returns of a customer, the earliest announced first."""
    rows = tx.execute(f"SELECT {_COLUMNS} WHERE customer_id = ?", (customer_id,))
    return _in_order(rows)


def returns_in_state(
    tx: Transaction, state: ReturnState, *, merchant_id: str | None, limit: int
) -> list[GoodsReturn]:
    """The returns in a state, of one merchant or of all, the earliest announced first."""
    whose, values = ("", ()) if merchant_id is None else ("AND merchant_id = ? ", (merchant_id,))
    rows = tx.execute(
        f"SELECT {_COLUMNS} WHERE state = ? {whose}ORDER BY announced_at_ms, return_id LIMIT ?",
        (state.value, *values, limit),
    )
    return [_return(row) for row in rows]


def _in_order(rows: Sequence[Sequence[Any]]) -> list[GoodsReturn]:
    found = [_return(row) for row in rows]
    return sorted(found, key=lambda goods: (goods.announced_at_ms, goods.return_id))


@dataclass(frozen=True, kw_only=True)
class ReturnToLookAt:
    """What is locked before the worker looks at a return."""

    return_id: str
    order_id: str
    customer_id: str


def returns_to_look_at(tx: Transaction, now_ms: int, limit: int) -> list[ReturnToLookAt]:
    """The returns that run out, or about which the ledger has news: one indexed read."""
    rows = tx.execute(
        "SELECT return_id, order_id, customer_id FROM goods_returns WHERE look_at_ms <= ? "
        "ORDER BY look_at_ms, return_id LIMIT ?",
        (now_ms, limit),
    )
    return [
        ReturnToLookAt(return_id=return_id, order_id=order_id, customer_id=customer_id)
        for return_id, order_id, customer_id in rows
    ]


def look_at_returns_of(tx: Transaction, order_id: str, now_ms: int) -> None:
    """The ledger has news about the order's goods: the worker looks at its open returns."""
    tx.execute(
        "UPDATE goods_returns SET look_at_ms = ? WHERE order_id = ? "
        "AND state IN ('announced', 'not_booked', 'lapsed')",
        (now_ms, order_id),
    )


def look_later(tx: Transaction, return_id: str, at_ms: int) -> None:
    """A return could not be looked at: the worker tries again then."""
    tx.execute("UPDATE goods_returns SET look_at_ms = ? WHERE return_id = ?", (at_ms, return_id))
