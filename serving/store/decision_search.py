"""Finding checkout decisions, the newest first, in pages by key, in SQL. No index serves this alone.

Decision ids grow with time (`dec_`, the milliseconds as eleven hexadecimal digits, then chance), so the
primary key is the order of time and a span of time is a range of ids.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from data_contracts.orders import ORDERS
from serving.domain.decision import Outcome
from serving.store.store import Transaction

LOOKED_AT_MAXIMUM = 5_000
"""A filter that hardly any decision meets gives up after so many; the next page goes on from there."""

_COLUMNS = (
    "decisions.decision_id, decisions.order_id, decisions.customer_id, decisions.merchant_id, "
    "decisions.outcome, decisions.as_of_ms, decisions.record"
)
_IS_NAMED = "decisions.decision_id = ? OR decisions.order_id = ? OR decisions.customer_id = ?"
_NUMBERED = "SELECT order_id FROM merchant_orders WHERE merchant_order_number = ?"
_ORDER_ROW_PREFIX = "order-"


class _Order(msgspec.Struct):
    amount_cents: int
    currency: str


class _Answer(msgspec.Struct):
    score: int | None


class _Record(msgspec.Struct):
    order: _Order
    answer: _Answer


_decode = msgspec.json.Decoder(_Record).decode


@dataclass(frozen=True, kw_only=True)
class DecisionFilter:
    """Which decisions are wanted; None for any.

    name: a decision, order or customer id, or a merchant's own order number. Decisions about a customer whom
    the ledger did not know then are not found by `name` but by `customer_id`, which looks through all
    decisions, the newest first.
    from_ms, until_ms: half-open, milliseconds since 1970 UTC.
    """

    name: str | None = None
    customer_id: str | None = None
    outcome: Outcome | None = None
    merchant_id: str | None = None
    from_ms: int | None = None
    until_ms: int | None = None


@dataclass(frozen=True, kw_only=True)
class FoundDecision:
    """A decision in a list. score: in points, None where no model took part."""

    decision_id: str
    order_id: str
    customer_id: str
    merchant_id: str
    outcome: Outcome
    as_of_ms: int
    amount_cents: int
    currency: str
    score: int | None


@dataclass(frozen=True, kw_only=True)
class DecisionPage:
    """One page. next_before: where the next page begins, None at the end of all; also a page that holds
    fewer than it might, or nothing, can have a next one.
    """

    decisions: tuple[FoundDecision, ...]
    next_before: str | None


def first_id_at(instant_ms: int, prefix: str = "dec_") -> str:
    """What every id of a decision at or after an instant is not below, and every earlier one is.

    prefix: of another kind of ids that grow with time.

    >>> first_id_at(1_767_225_600_123)
    'dec_19b76daa87b'
    """
    return f"{prefix}{max(instant_ms, 0):011x}"


def find_decisions(
    tx: Transaction,
    wanted: DecisionFilter,
    *,
    before: str | None,
    limit: int,
    looked_at_maximum: int = LOOKED_AT_MAXIMUM,
) -> DecisionPage:
    """The decisions that are wanted, the newest first.

    before: `next_before` of the page before this one, None for the first page.
    """
    span, span_values = _span(wanted, before)
    filters, filter_values = _filters(wanted)
    if wanted.name is not None:
        return _page(_named(tx, wanted.name, span + filters, [*span_values, *filter_values], limit), limit)
    last_looked_at = None
    if filters:
        last_looked_at = _id_after(tx, span, span_values, looked_at_maximum)
        if last_looked_at is not None:
            span = [*span, "decisions.decision_id >= ?"]
            span_values = [*span_values, last_looked_at]
    rows = tx.execute(
        f"SELECT {_COLUMNS} FROM decisions {_where(span + filters)} "  # noqa: S608 - constants
        "ORDER BY decisions.decision_id DESC LIMIT ?",
        (*span_values, *filter_values, limit + 1),
    )
    return _page(rows, limit, otherwise=last_looked_at)


def _span(wanted: DecisionFilter, before: str | None) -> tuple[list[str], list[object]]:
    bounds: list[tuple[str, object]] = []
    if before is not None:
        bounds.append(("decisions.decision_id < ?", before))
    if wanted.from_ms is not None:
        bounds.append(("decisions.decision_id >= ?", first_id_at(wanted.from_ms)))
    if wanted.until_ms is not None:
        bounds.append(("decisions.decision_id < ?", first_id_at(wanted.until_ms)))
    return [condition for condition, _ in bounds], [value for _, value in bounds]


def _filters(wanted: DecisionFilter) -> tuple[list[str], list[object]]:
    outcome = None if wanted.outcome is None else wanted.outcome.value
    given: list[tuple[str, object]] = [
        ("decisions.outcome = ?", outcome),
        ("decisions.merchant_id = ?", wanted.merchant_id),
        ("decisions.customer_id = ?", wanted.customer_id),
    ]
    asked = [(condition, value) for condition, value in given if value is not None]
    return [condition for condition, _ in asked], [value for _, value in asked]


def _where(conditions: Sequence[str]) -> str:
    return f"WHERE {' AND '.join(conditions)}" if conditions else ""


def _id_after(tx: Transaction, span: list[str], values: Sequence[object], count: int) -> str | None:
    """The last of so many ids; None where there are fewer."""
    rows = tx.execute(
        f"SELECT decision_id FROM decisions {_where(span)} "  # noqa: S608 - constants
        "ORDER BY decisions.decision_id DESC LIMIT 1 OFFSET ?",
        (*values, count - 1),
    )
    return None if not rows else str(rows[0][0])


def _named(
    tx: Transaction, name: str, conditions: list[str], values: Sequence[object], limit: int
) -> list[tuple[Any, ...]]:
    # A decision leaves the order in the ledger as a row that is named after it, among its customer's rows.
    conditions = [
        "decisions.decision_id = named.decision_id",
        f"({_IS_NAMED} OR decisions.order_id IN ({_NUMBERED}))",
        *conditions,
    ]
    return tx.execute(
        f"SELECT {_COLUMNS} FROM ("  # noqa: S608 - constants
        "SELECT decision_id FROM decisions WHERE decision_id = ? "
        "UNION SELECT decision_id FROM decisions WHERE order_id = ? "
        f"UNION SELECT decision_id FROM decisions WHERE order_id IN ({_NUMBERED}) "
        "UNION SELECT substr(event_id, ?) FROM ledger_events WHERE entity_id = ? AND contract = ?"
        f") AS named CROSS JOIN decisions {_where(conditions)} "
        "ORDER BY decisions.decision_id DESC LIMIT ?",
        (
            name,
            name,
            name,
            len(_ORDER_ROW_PREFIX) + 1,
            name,
            ORDERS.name,
            name,
            name,
            name,
            name,
            *values,
            limit + 1,
        ),
    )


def _page(rows: Sequence[tuple[Any, ...]], limit: int, *, otherwise: str | None = None) -> DecisionPage:
    found = tuple(_found(row) for row in rows[:limit])
    is_cut_off = len(rows) > limit
    return DecisionPage(decisions=found, next_before=found[-1].decision_id if is_cut_off else otherwise)


def _found(row: tuple[Any, ...]) -> FoundDecision:
    record = _decode(row[6])
    return FoundDecision(
        decision_id=row[0],
        order_id=row[1],
        customer_id=row[2],
        merchant_id=row[3],
        outcome=Outcome(row[4]),
        as_of_ms=int(row[5]),
        amount_cents=record.order.amount_cents,
        currency=record.order.currency,
        score=record.answer.score,
    )
