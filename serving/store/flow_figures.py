"""What the overview counts, in SQL: sums by day of checkout decisions, and what befell flagged orders.

Orders are summed up by the worker in `daily_flow`: a view adds only what was decided since. Everything
about flagged orders is found by the history of cases, which has an index by action and time; no checkout
decision writes there. All instants are milliseconds since 1970 UTC.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from serving.domain.merchant_answer import AnswerKind
from serving.domain.review_case import Action, CaseOrigin, CaseState, Verdict
from serving.domain.stop_request import StopAction
from serving.store.decision_search import first_id_at
from serving.store.store import Transaction

FIRST_ID = ""


@dataclass(frozen=True, kw_only=True)
class OrderVerdict:
    """What a decision said about an order, and when."""

    as_of_ms: int
    merchant_id: str
    outcome: str


@dataclass(frozen=True, kw_only=True)
class FlowChange:
    """One decision, and the one about the same order that it replaced, None for an order's first."""

    decision_id: str
    after: OrderVerdict
    before: OrderVerdict | None


@dataclass(frozen=True, kw_only=True)
class OrderSums:
    """Sums of orders by ISO date, and by merchant: (orders, approved). counted_to: see `flow_changes`."""

    by_day: dict[str, tuple[int, int]]
    by_merchant: dict[str, tuple[int, int]]
    counted_to: str


@dataclass(frozen=True, kw_only=True)
class Flagged:
    """An order that the screening put before the team."""

    at_ms: int
    merchant_id: str


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A flagged order with a verdict."""

    at_ms: int
    merchant_id: str
    is_released: bool


@dataclass(frozen=True, kw_only=True)
class Answered:
    """A merchant's answers to one stop request.

    waited_ms: from its first delivery to the first answer; None where it was answered undelivered.
    stopped_at_ms: when the merchant first said what stopped the order; None where it was not stopped, or
        where the case was released since.
    """

    merchant_id: str
    answered_at_ms: int
    waited_ms: int | None
    stopped_at_ms: int | None
    amount_cents: int
    currency: str


class _Case(msgspec.Struct):
    origin: CaseOrigin
    verdict: Verdict | None
    opened_at_ms: int
    closed_at_ms: int | None


class _Stakes(msgspec.Struct):
    amount_cents: int
    currency: str


class _CaseRecord(msgspec.Struct):
    case: _Case
    stakes: _Stakes


class _Answer(msgspec.Struct):
    kind: AnswerKind
    answered_at_ms: int


class _Request(msgspec.Struct):
    first_delivered_at_ms: int | None
    answers: tuple[_Answer, ...]


class _RequestRecord(msgspec.Struct):
    request: _Request


class _Opening(msgspec.Struct):
    origin: CaseOrigin


_case_record = msgspec.json.Decoder(_CaseRecord).decode
_request_record = msgspec.json.Decoder(_RequestRecord).decode
_opening = msgspec.json.Decoder(_Opening).decode

STOPPED_KINDS = frozenset(
    {AnswerKind.STOPPED_BEFORE_SHIPPING, AnswerKind.SERVICE_CUT, AnswerKind.PARCEL_RETURNED}
)
"""The answers that say that an order was stopped in time."""


def flow_changes(tx: Transaction, *, counted_to: str, until_ms: int, limit: int) -> list[FlowChange]:
    """The decisions after `counted_to` and before an instant, the earliest first: a range of the key.

    An order that was amended is the same order: what was decided about that is left out.

    counted_to: a decision id; FIRST_ID for all.
    """
    rows = tx.execute(
        "SELECT made.decision_id, made.as_of_ms, made.merchant_id, made.outcome, "
        "earlier.as_of_ms, earlier.merchant_id, earlier.outcome FROM "
        "(SELECT decision_id, order_id, as_of_ms, merchant_id, outcome FROM decisions "
        "WHERE decision_id > ? AND decision_id < ? AND amends = 0 ORDER BY decision_id LIMIT ?) AS made "
        "LEFT JOIN decisions AS earlier ON earlier.decision_id = "
        "(SELECT known.decision_id FROM decisions AS known WHERE known.order_id = made.order_id "
        "AND known.as_of_ms <= made.as_of_ms AND known.decision_id < made.decision_id AND known.amends = 0 "
        "ORDER BY known.as_of_ms DESC, known.decision_id DESC LIMIT 1) ORDER BY made.decision_id",
        (counted_to, first_id_at(until_ms), limit),
    )
    return [
        FlowChange(
            decision_id=row[0],
            after=OrderVerdict(as_of_ms=int(row[1]), merchant_id=row[2], outcome=row[3]),
            before=None
            if row[4] is None
            else OrderVerdict(as_of_ms=int(row[4]), merchant_id=row[5], outcome=row[6]),
        )
        for row in rows
    ]


def flow_counted_to(tx: Transaction, time_zone: str) -> str:
    """The last decision that the sums of a time zone's days count."""
    rows = tx.execute("SELECT counted_to FROM flow_progress WHERE time_zone = ?", (time_zone,))
    return str(rows[0][0]) if rows else FIRST_ID


def add_to_flow(
    tx: Transaction,
    time_zone: str,
    sums: Mapping[tuple[str, str], tuple[int, int]],
    *,
    seen_counted_to: str,
    counted_to: str,
) -> bool:
    """Add to the sums of days; False, and nothing changes, where another worker was faster.

    sums: orders and approved orders to add, by ISO date and merchant; negative where a day loses some.
    """
    if seen_counted_to == FIRST_ID:
        moved = tx.execute(
            "INSERT INTO flow_progress (time_zone, counted_to) VALUES (?, ?) "
            "ON CONFLICT (time_zone) DO NOTHING RETURNING time_zone",
            (time_zone, counted_to),
        )
    else:
        moved = tx.execute(
            "UPDATE flow_progress SET counted_to = ? WHERE time_zone = ? AND counted_to = ? "
            "RETURNING time_zone",
            (counted_to, time_zone, seen_counted_to),
        )
    if not moved:
        return False
    tx.execute_many(
        "INSERT INTO daily_flow (time_zone, day, merchant_id, orders, approved) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (time_zone, day, merchant_id) DO UPDATE SET "
        "orders = daily_flow.orders + excluded.orders, approved = daily_flow.approved + excluded.approved",
        [
            (time_zone, day, merchant_id, orders, approved)
            for (day, merchant_id), (orders, approved) in sorted(sums.items())
        ],
    )
    return True


def order_sums(tx: Transaction, time_zone: str, *, first_day: str, last_day: str) -> OrderSums:
    """The sums of orders over days, both ends included, as far as they were counted."""
    given = (time_zone, first_day, last_day)
    by_day = tx.execute(
        "SELECT day, sum(orders), sum(approved) FROM daily_flow "
        "WHERE time_zone = ? AND day >= ? AND day <= ? GROUP BY day",
        given,
    )
    by_merchant = tx.execute(
        "SELECT merchant_id, sum(orders), sum(approved) FROM daily_flow "
        "WHERE time_zone = ? AND day >= ? AND day <= ? GROUP BY merchant_id",
        given,
    )
    return OrderSums(
        by_day={row[0]: (int(row[1]), int(row[2])) for row in by_day},
        by_merchant={row[0]: (int(row[1]), int(row[2])) for row in by_merchant},
        counted_to=flow_counted_to(tx, time_zone),
    )


def flagged_orders(tx: Transaction, from_ms: int, until_ms: int) -> list[Flagged]:
    """The cases that were opened in [from_ms, until_ms) because the screening flagged the order."""
    rows = tx.execute(
        "SELECT case_history.at_ms, review_cases.merchant_id, case_history.detail FROM case_history "
        "JOIN review_cases ON review_cases.case_id = case_history.case_id "
        "WHERE case_history.action = ? AND case_history.at_ms >= ? AND case_history.at_ms < ?",
        (Action.OPENED.value, from_ms, until_ms),
    )
    return [
        Flagged(at_ms=int(row[0]), merchant_id=row[1])
        for row in rows
        if _opening(row[2]).origin is CaseOrigin.FLAGGED
    ]


def judged_orders(tx: Transaction, from_ms: int, until_ms: int) -> list[Judged]:
    """The flagged cases whose present verdict was given in [from_ms, until_ms)."""
    rows = tx.execute(
        "SELECT merchant_id, record FROM review_cases WHERE state = ? AND case_id IN "
        "(SELECT case_id FROM case_history WHERE action IN (?, ?, ?) AND at_ms >= ? AND at_ms < ?)",
        (
            CaseState.CLOSED.value,
            Action.RELEASED.value,
            Action.STOP_DECIDED.value,
            Action.STOP_WITHDRAWN.value,
            from_ms,
            until_ms,
        ),
    )
    judged: list[Judged] = []
    for merchant_id, record in rows:
        case = _case_record(record).case
        at_ms = case.closed_at_ms
        if case.origin is CaseOrigin.FLAGGED and at_ms is not None and from_ms <= at_ms < until_ms:
            is_released = case.verdict is Verdict.RELEASED
            judged.append(Judged(at_ms=at_ms, merchant_id=merchant_id, is_released=is_released))
    return judged


def answered_requests(tx: Transaction, from_ms: int, until_ms: int) -> list[Answered]:
    """The stop requests with any answer in [from_ms, until_ms); what else they tell may lie before it."""
    rows = tx.execute(
        "SELECT stop_requests.merchant_id, stop_requests.record, review_cases.record FROM stop_requests "
        "JOIN review_cases ON review_cases.case_id = stop_requests.case_id "
        "WHERE stop_requests.case_id IN "
        "(SELECT case_id FROM case_history WHERE action = ? AND at_ms >= ? AND at_ms < ?)",
        (StopAction.ANSWERED.value, from_ms, until_ms),
    )
    return [answered for row in rows if (answered := _answered(row)) is not None]


def _answered(row: tuple[Any, ...]) -> Answered | None:
    request = _request_record(row[1]).request
    known = _case_record(row[2])
    if not request.answers:
        return None
    first, last = request.answers[0], request.answers[-1]
    delivered_at_ms = request.first_delivered_at_ms
    is_waited_for = delivered_at_ms is not None and delivered_at_ms <= first.answered_at_ms
    is_stopped = last.kind in STOPPED_KINDS and known.case.verdict is not Verdict.RELEASED
    stopped = (answer.answered_at_ms for answer in request.answers if answer.kind is last.kind)
    return Answered(
        merchant_id=row[0],
        answered_at_ms=first.answered_at_ms,
        waited_ms=first.answered_at_ms - delivered_at_ms
        if delivered_at_ms is not None and is_waited_for
        else None,
        stopped_at_ms=next(stopped) if is_stopped else None,
        amount_cents=known.stakes.amount_cents,
        currency=known.stakes.currency,
    )


def open_since(tx: Transaction) -> list[int]:
    """Since when each open case waits: since it was opened, or last re-opened."""
    # Tied to text, or SQLite would look through all re-openings, the latest first, for each case.
    rows = tx.execute(
        "SELECT review_cases.record, (SELECT max(case_history.at_ms) FROM case_history "
        "WHERE case_history.case_id = review_cases.case_id AND case_history.action || '' = ?) "
        "FROM review_cases WHERE state = ?",
        (Action.REOPENED.value, CaseState.OPEN.value),
    )
    return [
        _case_record(record).case.opened_at_ms if reopened_at_ms is None else int(reopened_at_ms)
        for record, reopened_at_ms in rows
    ]
