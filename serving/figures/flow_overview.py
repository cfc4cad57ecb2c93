"""The overview: how orders flow from checkout to a stop, by day and by merchant, each figure defined once.

Days are those of the policy's default time zone. Amounts are whole cents, summed for each currency alone.
The worker sums up orders in the background (`sum_up_orders`); a view adds what came since.
"""

import enum
import zoneinfo
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from statistics import median
from types import MappingProxyType

from data_contracts.instants import moment
from serving.domain.decision import Outcome
from serving.domain.policy import Policy
from serving.requests.case_scope import CaseScope
from serving.store.decision_log import SETTLED_AFTER_MS
from serving.store.flow_figures import (
    Answered,
    Flagged,
    FlowChange,
    Judged,
    add_to_flow,
    answered_requests,
    flagged_orders,
    flow_changes,
    flow_counted_to,
    judged_orders,
    open_since,
    order_sums,
)
from serving.store.store import Store

WINDOW_DAYS = 30
MERCHANTS_MAXIMUM = 20
CHANGES_PER_WRITE = 1_000
WRITES_PER_ROUND = 20
UNCOUNTED_MAXIMUM = 5_000
"""Decisions that a view adds to the sums at most; more wait only while the worker is behind or down."""


class Figure(enum.StrEnum):
    """The figures of the overview."""

    ORDERS = "orders"
    APPROVAL_RATE = "approval_rate"
    FLAGGED = "flagged"
    STOPPED = "stopped"
    SAVED = "saved"
    ANSWER_TIME = "answer_time"
    FALSE_ALARM_RATE = "false_alarm_rate"
    QUEUE_AGE = "queue_age"


MEANINGS: Mapping[Figure, str] = MappingProxyType(
    {
        Figure.ORDERS: (
            "Orders that a checkout asked about and that got an answer, each counted once, on the day of its "
            "newest decision; answers without a decision, given in an outage, are not kept and not counted."
        ),
        Figure.APPROVAL_RATE: "The share of these orders whose newest decision approves invoice.",
        Figure.FLAGGED: (
            "Approved orders that the fraud screening put before the team, on the day their case was opened."
        ),
        Figure.STOPPED: (
            "Stop requests whose present answer says that the order was stopped before shipping, that access "
            "to the service was cut or that the parcel came back, on the day the merchant first said so; "
            "not those whose case was released since."
        ),
        Figure.SAVED: "The amounts of the orders that were stopped in time, for each currency.",
        Figure.ANSWER_TIME: (
            "The median time from the first delivery of a stop request to the merchant's first answer, on "
            "the day of that answer; requests without an answer are left out."
        ),
        Figure.FALSE_ALARM_RATE: (
            "The share of released orders among the flagged orders with a verdict, on the day of the verdict."
        ),
        Figure.QUEUE_AGE: (
            "How long the open cases that nobody holds have been waiting now, since they were opened or last "
            "re-opened: the median and the oldest."
        ),
    }
)
"""What each figure says, in one sentence; the page shows it as help."""

OrderCounts = tuple[int, int]
"""(orders, approved)."""


@dataclass(frozen=True, kw_only=True)
class FlowFigures:
    """The figures of one day, of one merchant or of all.

    judged: flagged orders with a verdict. saved_cents: by currency, in the order of their codes.
    answer_ms: None where no merchant answered.
    """

    orders: int
    approved: int
    flagged: int
    judged: int
    released: int
    stopped: int
    saved_cents: tuple[tuple[str, int], ...]
    answer_ms: int | None

    @property
    def approval_rate(self) -> float | None:
        """None where there are no orders."""
        return self.approved / self.orders if self.orders else None

    @property
    def false_alarm_rate(self) -> float | None:
        """None where there are no verdicts."""
        return self.released / self.judged if self.judged else None


@dataclass(frozen=True, kw_only=True)
class QueueAge:
    """How long open cases wait. median_ms, oldest_ms: None for an empty queue."""

    waiting: int
    median_ms: int | None
    oldest_ms: int | None


@dataclass(frozen=True, kw_only=True)
class FlowFacts:
    """What the figures rest on. orders_by_day: by ISO date; the rest may lie outside the window."""

    orders_by_day: Mapping[str, OrderCounts]
    orders_by_merchant: Mapping[str, OrderCounts]
    flagged: Sequence[Flagged]
    judged: Sequence[Judged]
    answered: Sequence[Answered]
    open_since_ms: Sequence[int]


@dataclass(frozen=True, kw_only=True)
class Overview:
    """All figures: by day, the last one being today, and of the merchants with most orders.

    counted_until_ms: up to when orders are counted, None where all are.
    """

    days: tuple[tuple[date, FlowFigures], ...]
    merchants: tuple[tuple[str, FlowFigures], ...]
    window: FlowFigures
    queue: QueueAge
    counted_until_ms: int | None

    @property
    def today(self) -> FlowFigures:
        """The figures of the day that is not over yet."""
        return self.days[-1][1]


@dataclass
class _Tally:
    orders: int = 0
    approved: int = 0
    flagged: int = 0
    judged: int = 0
    released: int = 0
    stopped: int = 0
    saved_cents: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    answers_ms: list[int] = field(default_factory=list)

    def figures(self) -> FlowFigures:
        return FlowFigures(
            orders=self.orders,
            approved=self.approved,
            flagged=self.flagged,
            judged=self.judged,
            released=self.released,
            stopped=self.stopped,
            saved_cents=tuple(sorted(self.saved_cents.items())),
            answer_ms=_median(self.answers_ms),
        )


def _median(values: Sequence[int]) -> int | None:
    return round(median(values)) if values else None


def day_of(instant_ms: int, zone: zoneinfo.ZoneInfo) -> date:
    """The local date of an instant.

    >>> day_of(1_767_222_000_000, zoneinfo.ZoneInfo("Europe/Berlin"))
    datetime.date(2026, 1, 1)
    """
    return moment(instant_ms).astimezone(zone).date()


def start_of(day: date, zone: zoneinfo.ZoneInfo) -> int:
    """The instant at which a local date begins.

    >>> start_of(date(2026, 1, 1), zoneinfo.ZoneInfo("Europe/Berlin"))
    1767222000000
    """
    return round(datetime.combine(day, time.min, tzinfo=zone).timestamp()) * 1_000


def days_until(today: date, count: int = WINDOW_DAYS) -> tuple[date, ...]:
    """So many days up to today, today included."""
    return tuple(today - timedelta(days=ago) for ago in reversed(range(count)))


def counts_of(changes: Iterable[FlowChange], zone: zoneinfo.ZoneInfo) -> dict[tuple[str, str], OrderCounts]:
    """What decisions add to the orders of each ISO date and merchant.

    A decision about an order that was decided before takes the order away from the earlier one's day, so
    that the sum over all decisions counts each order once, with its newest.
    """
    counts: defaultdict[tuple[str, str], OrderCounts] = defaultdict(lambda: (0, 0))
    for change in changes:
        for verdict, sign in ((change.after, 1), (change.before, -1)):
            if verdict is not None:
                key = (day_of(verdict.as_of_ms, zone).isoformat(), verdict.merchant_id)
                approved = sign if verdict.outcome == Outcome.APPROVED.value else 0
                counts[key] = _added(counts[key], (sign, approved))
    return dict(counts)


def _added(counts: OrderCounts, more: OrderCounts) -> OrderCounts:
    return counts[0] + more[0], counts[1] + more[1]


def sum_up_orders(scope: CaseScope) -> int:
    """The worker's part: add the decisions that have settled to the sums of their days.

    Returns how many. Works in small steps and computes outside of any write, so that no checkout waits.
    Raises StoreUnavailable.
    """
    name = scope.policy.order_risk.default_time_zone
    zone = zoneinfo.ZoneInfo(name)
    done = 0
    for _ in range(WRITES_PER_ROUND):
        with scope.store.reading() as tx:
            seen = flow_counted_to(tx, name)
            until_ms = scope.now_ms() - SETTLED_AFTER_MS
            changes = flow_changes(tx, counted_to=seen, until_ms=until_ms, limit=CHANGES_PER_WRITE)
        if not changes:
            break
        counts = counts_of(changes, zone)
        with scope.store.writing("daily-flow") as tx:
            # Another worker that was faster has counted them.
            if not add_to_flow(tx, name, counts, seen_counted_to=seen, counted_to=changes[-1].decision_id):
                break
        done += len(changes)
        if len(changes) < CHANGES_PER_WRITE:
            break
    return done


def overview(store: Store, policy: Policy, now_ms: int) -> Overview:
    """All figures as of now. Reads bounded ranges only. Raises StoreUnavailable."""
    name = policy.order_risk.default_time_zone
    zone = zoneinfo.ZoneInfo(name)
    days = days_until(day_of(now_ms, zone))
    from_ms, until_ms = start_of(days[0], zone), start_of(days[-1] + timedelta(days=1), zone)
    with store.reading() as tx:
        sums = order_sums(tx, name, first_day=days[0].isoformat(), last_day=days[-1].isoformat())
        changes = flow_changes(tx, counted_to=sums.counted_to, until_ms=until_ms, limit=UNCOUNTED_MAXIMUM)
        flagged = flagged_orders(tx, from_ms, until_ms)
        judged = judged_orders(tx, from_ms, until_ms)
        answered = answered_requests(tx, from_ms, until_ms)
        waiting = open_since(tx)
    by_day, by_merchant = dict(sums.by_day), dict(sums.by_merchant)
    shown = {day.isoformat() for day in days}
    for (day, merchant_id), counts in counts_of(changes, zone).items():
        if day in shown:
            by_day[day] = _added(by_day.get(day, (0, 0)), counts)
            by_merchant[merchant_id] = _added(by_merchant.get(merchant_id, (0, 0)), counts)
    facts = FlowFacts(
        orders_by_day=by_day,
        orders_by_merchant=by_merchant,
        flagged=flagged,
        judged=judged,
        answered=answered,
        open_since_ms=waiting,
    )
    is_complete = len(changes) < UNCOUNTED_MAXIMUM
    return overview_of(
        facts,
        days=days,
        zone=zone,
        now_ms=now_ms,
        counted_until_ms=None if is_complete else changes[-1].after.as_of_ms,
    )


def overview_of(
    facts: FlowFacts,
    *,
    days: Sequence[date],
    zone: zoneinfo.ZoneInfo,
    now_ms: int,
    counted_until_ms: int | None = None,
) -> Overview:
    """The figures of these facts, each counted on its own day; a pure function."""
    tallies = {day: _Tally() for day in days}
    of_merchant: defaultdict[str, _Tally] = defaultdict(_Tally)
    window = _Tally()

    def counted_at(at_ms: int, merchant_id: str) -> tuple[_Tally, ...]:
        of_day = tallies.get(day_of(at_ms, zone))
        return () if of_day is None else (of_day, of_merchant[merchant_id], window)

    _count_orders(facts, tallies, of_merchant, window)
    for flagged in facts.flagged:
        for tally in counted_at(flagged.at_ms, flagged.merchant_id):
            tally.flagged += 1
    for judged in facts.judged:
        for tally in counted_at(judged.at_ms, judged.merchant_id):
            tally.judged += 1
            tally.released += judged.is_released
    for answered in facts.answered:
        if answered.stopped_at_ms is not None:
            for tally in counted_at(answered.stopped_at_ms, answered.merchant_id):
                tally.stopped += 1
                tally.saved_cents[answered.currency] += answered.amount_cents
        if answered.waited_ms is not None:
            for tally in counted_at(answered.answered_at_ms, answered.merchant_id):
                tally.answers_ms.append(answered.waited_ms)
    ranked = sorted(
        (merchant_id for merchant_id, tally in of_merchant.items() if tally.orders),
        key=lambda merchant_id: (-of_merchant[merchant_id].orders, merchant_id),
    )
    return Overview(
        days=tuple((day, tally.figures()) for day, tally in tallies.items()),
        merchants=tuple(
            (merchant_id, of_merchant[merchant_id].figures()) for merchant_id in ranked[:MERCHANTS_MAXIMUM]
        ),
        window=window.figures(),
        queue=queue_age(facts.open_since_ms, now_ms),
        counted_until_ms=counted_until_ms,
    )


def _count_orders(
    facts: FlowFacts, tallies: Mapping[date, _Tally], of_merchant: defaultdict[str, _Tally], window: _Tally
) -> None:
    for day, tally in tallies.items():
        counts = facts.orders_by_day.get(day.isoformat(), (0, 0))
        tally.orders, tally.approved = counts
        window.orders, window.approved = _added((window.orders, window.approved), counts)
    for merchant_id, (orders, approved) in facts.orders_by_merchant.items():
        of_merchant[merchant_id].orders, of_merchant[merchant_id].approved = orders, approved


def queue_age(open_since_ms: Sequence[int], now_ms: int) -> QueueAge:
    """How long cases wait that are open since these instants.

    >>> queue_age([0, 1_000, 5_000], 6_000)
    QueueAge(waiting=3, median_ms=5000, oldest_ms=6000)
    """
    waits = [max(now_ms - since_ms, 0) for since_ms in open_since_ms]
    return QueueAge(waiting=len(waits), median_ms=_median(waits), oldest_ms=max(waits, default=None))
