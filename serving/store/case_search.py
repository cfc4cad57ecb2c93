"""The queue of review cases in pages, search by id, counts by state, and the orders linked to one, in SQL.

A page is read by key: its cost does not grow with the pages before it. All instants are milliseconds since
1970 UTC.
"""

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import msgspec

from data_contracts.order_outcomes import FRAUD_OUTCOMES, ORDER_OUTCOMES
from data_contracts.orders import ORDERS
from features.entities import EntityKind
from features.online import visible_rows
from features.supersession import seeing_all, standing_rows
from serving.domain.review_case import CaseOrigin, CaseState
from serving.store.case_queue import StoredCase, stored_case
from serving.store.merchant_orders import orders_numbered
from serving.store.store import Transaction

UNFINISHED = (CaseState.OPEN, CaseState.CLAIMED, CaseState.CONTACTING_CUSTOMER)
COUNT_MAXIMUM = 10_000
LOOKED_AT_MAXIMUM = 10_000
"""A filter that hardly any case meets gives up after so many; the next page goes on from there."""
FOUND_MAXIMUM = 100
_ROWS_PER_READ = 250

_PAGE = (
    "SELECT priority, case_id, merchant_id, reviewer, record FROM review_cases WHERE state = ? "
    "ORDER BY priority DESC, case_id DESC LIMIT ?"
)
_PAGE_AFTER = (
    "SELECT priority, case_id, merchant_id, reviewer, record FROM review_cases WHERE state = ? "
    "AND (priority, case_id) < (?, ?) ORDER BY priority DESC, case_id DESC LIMIT ?"
)
_decode = msgspec.json.Decoder(dict[str, Any]).decode


@dataclass(frozen=True, kw_only=True)
class QueuePlace:
    """Where a case stood in the order of work when it was read."""

    priority: int
    state: CaseState
    case_id: str


@dataclass(frozen=True, kw_only=True)
class QueueFilter:
    """Which cases of the queue are wanted; None for any.

    states: at least one; of equally urgent cases, those of the first state come first.
    reviewer: who holds a case, or gave its verdict.
    """

    states: tuple[CaseState, ...] = UNFINISHED
    origin: CaseOrigin | None = None
    merchant_id: str | None = None
    reviewer: str | None = None


@dataclass(frozen=True, kw_only=True)
class QueuePage:
    """Cases in the order of work. after: where the next page begins, None where nothing follows."""

    cases: tuple[StoredCase, ...]
    after: QueuePlace | None


@dataclass(frozen=True, kw_only=True)
class CaseCount:
    """How many cases are in a state; counting ends at COUNT_MAXIMUM, and `is_more` says that it did."""

    count: int
    is_more: bool


@dataclass(frozen=True, kw_only=True)
class SharingOrder:
    """An order that names an entity, such as a device."""

    order_id: str
    customer_id: str
    occurred_at_ms: int


@dataclass(frozen=True, kw_only=True)
class _Row:
    priority: int
    rank: int
    case_id: str
    merchant_id: str
    reviewer: str | None
    record: str

    @property
    def order_of_work(self) -> tuple[int, int]:
        # Not the id: how databases order texts is their own affair, and each state comes in that order.
        return -self.priority, self.rank


def queue_page(tx: Transaction, wanted: QueueFilter, *, after: QueuePlace | None, limit: int) -> QueuePage:
    """The cases that follow a place in the order of work, or the first ones.

    Of equally urgent cases in one state the higher id comes first. A page can hold fewer than `limit`
    cases, or none, and still have an `after`: then LOOKED_AT_MAXIMUM were looked at.

    Raises ValueError for a place in a state that is not wanted.
    """
    rows = heapq.merge(
        *(_rows(tx, wanted.states, rank, after) for rank in range(len(wanted.states))),
        key=lambda row: row.order_of_work,
    )
    found: list[StoredCase] = []
    last: QueuePlace | None = None
    for number, row in enumerate(rows):
        if len(found) == limit or number == LOOKED_AT_MAXIMUM:
            return QueuePage(cases=tuple(found), after=last)
        last = QueuePlace(priority=row.priority, state=wanted.states[row.rank], case_id=row.case_id)
        if _is_wanted(row, wanted):
            found.append(stored_case(row.priority, row.record))
    return QueuePage(cases=tuple(found), after=None)


def _rows(
    tx: Transaction, states: tuple[CaseState, ...], rank: int, after: QueuePlace | None
) -> Iterator[_Row]:
    """The cases in one state in the order of work, read as far as they are asked for."""
    key = None if after is None else _key_in_state(states, rank, after)
    state = states[rank].value
    while True:
        read = (
            tx.execute(_PAGE, (state, _ROWS_PER_READ))
            if key is None
            else tx.execute(_PAGE_AFTER, (state, *key, _ROWS_PER_READ))
        )
        for row in read:
            yield _Row(
                priority=int(row[0]),
                rank=rank,
                case_id=row[1],
                merchant_id=row[2],
                reviewer=row[3],
                record=row[4],
            )
        if len(read) < _ROWS_PER_READ:
            return
        key = (int(read[-1][0]), read[-1][1])


def _key_in_state(states: tuple[CaseState, ...], rank: int, after: QueuePlace) -> tuple[int, str]:
    """Below which (priority, case_id) the cases of one state follow a place; no id is below the empty one."""
    after_rank = states.index(after.state)
    if rank == after_rank:
        return after.priority, after.case_id
    return (after.priority, "") if rank < after_rank else (after.priority + 1, "")


def _is_wanted(row: _Row, wanted: QueueFilter) -> bool:
    if wanted.merchant_id not in {None, row.merchant_id} or wanted.reviewer not in {None, row.reviewer}:
        return False
    return wanted.origin is None or _decode(row.record)["case"]["origin"] == wanted.origin.value


def cases_named(tx: Transaction, named: str) -> list[StoredCase]:
    """The cases whose id, order id, merchant's order number or customer id is this text, the newest first.

    At most FOUND_MAXIMUM.
    """
    rows: dict[str, tuple[Any, str]] = {}
    sought = [(column, named) for column in ("case_id", "order_id", "customer_id")]
    sought += [("order_id", order_id) for order_id in orders_numbered(tx, named, FOUND_MAXIMUM)]
    for column, value in sought:
        for priority, case_id, record in tx.execute(
            f"SELECT priority, case_id, record FROM review_cases WHERE {column} = ? LIMIT ?",  # noqa: S608 - constants
            (value, FOUND_MAXIMUM),
        ):
            rows[case_id] = (priority, record)
    found = [stored_case(*row) for row in rows.values()]
    found.sort(key=lambda stored: (stored.case.opened_at_ms, stored.case.case_id), reverse=True)
    return found[:FOUND_MAXIMUM]


def count_cases(tx: Transaction) -> dict[CaseState, CaseCount]:
    """How many cases are in each state, by the index alone and never more than COUNT_MAXIMUM of them."""
    return {state: _count(tx, state) for state in CaseState}


def _count(tx: Transaction, state: CaseState) -> CaseCount:
    rows = tx.execute(
        "SELECT count(*) FROM (SELECT 1 FROM review_cases WHERE state = ? LIMIT ?) AS counted",
        (state.value, COUNT_MAXIMUM + 1),
    )
    count = int(rows[0][0])
    return CaseCount(count=min(count, COUNT_MAXIMUM), is_more=count > COUNT_MAXIMUM)


def case_ids_about(tx: Transaction, order_ids: list[str]) -> dict[str, str]:
    """The case of each order that has one, by order id."""
    if not order_ids:
        return {}
    marks = ", ".join("?" * len(order_ids))
    return {
        str(order_id): str(case_id)
        for order_id, case_id in tx.execute(
            f"SELECT order_id, case_id FROM review_cases WHERE order_id IN ({marks})",  # noqa: S608 - placeholders only
            order_ids,
        )
    }


def orders_sharing(
    tx: Transaction, entity: EntityKind, key: str, *, limit: int, confirmed: bool = False
) -> list[SharingOrder]:
    """The newest orders that name an entity, each once: one indexed read.

    entity: one of `order_links.INDEXED`. confirmed: only those about which fraud was found.
    """
    rows = tx.execute(
        "SELECT order_id, customer_id, occurred_at_ms FROM order_links WHERE entity_kind = ? "
        "AND entity_key = ? AND is_finding = ? ORDER BY occurred_at_ms DESC, event_id DESC LIMIT ?",
        # An order may name one entity more than once, where it was corrected or redirected.
        (entity.value, key, int(confirmed), 2 * limit),
    )
    newest: dict[str, SharingOrder] = {}
    for order_id, customer_id, occurred_at_ms in rows:
        newest.setdefault(
            order_id,
            SharingOrder(order_id=order_id, customer_id=customer_id, occurred_at_ms=int(occurred_at_ms)),
        )
    return list(islice(newest.values(), limit))


def standing_orders(tx: Transaction, order_ids: list[str]) -> dict[str, dict[str, Any]]:
    """The row that stands about each of these orders, by order id."""
    if not order_ids:
        return {}
    marks = ", ".join("?" * len(order_ids))
    rows = [
        _decode(body)
        for (body,) in tx.execute(
            f"SELECT body FROM ledger_events WHERE contract = ? AND subject_id IN ({marks})",  # noqa: S608 - placeholders only
            (ORDERS.name, *order_ids),
        )
    ]
    return {row["order_id"]: dict(row) for row in standing_rows(ORDERS, rows)}


def count_orders_of_customer(tx: Transaction, customer_id: str) -> int:
    """How many orders the ledger holds of a customer."""
    rows = tx.execute(
        "SELECT count(DISTINCT subject_id) FROM ledger_events WHERE entity_id = ? AND contract = ?",
        (customer_id, ORDERS.name),
    )
    return int(rows[0][0])


def confirmed_among(tx: Transaction, orders: Iterable[SharingOrder], now_ms: int) -> set[str]:
    """Of these orders, those about which a finding of fraud stands: one that was corrected does not."""
    customer_of = {order.order_id: order.customer_id for order in orders}
    if not customer_of:
        return set()
    customers = sorted(set(customer_of.values()))
    marks = ", ".join("?" * len(customers))
    rows = [
        _decode(body)
        for (body,) in tx.execute(
            f"SELECT body FROM ledger_events WHERE contract = ? AND entity_id IN ({marks})",  # noqa: S608 - placeholders only
            (ORDER_OUTCOMES.name, *customers),
        )
    ]
    as_of_ms = seeing_all(now_ms, rows)
    standing = visible_rows(ORDER_OUTCOMES, {ORDER_OUTCOMES.name: rows}, as_of_ms)
    return {row["order_id"] for row in standing if row["kind"] in FRAUD_OUTCOMES} & set(customer_of)
