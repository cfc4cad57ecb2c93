"""Every figure of the overview, on either database, beside a slow and obvious twin."""

import zoneinfo
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.domain.case_stakes import CaseStakes
from serving.domain.merchant_answer import AnswerKind, MerchantAnswer
from serving.domain.policy_reader import parse_policy
from serving.domain.review_case import (
    Action,
    CaseOrigin,
    CaseState,
    ReviewCase,
    Verdict,
    claim,
    decide,
    open_case,
    reopen,
    withdraw_stop,
)
from serving.domain.stop_request import StopAction, StopRequest, StopRequestState
from serving.figures import flow_overview
from serving.figures.flow_overview import FlowFigures, Overview, overview, sum_up_orders
from serving.in_force.policy_activation import POLICY_FILE
from serving.requests.case_scope import CaseScope
from serving.store.case_queue import StoredCase, append_history, insert_case
from serving.store.decision_log import LoggedDecision, append_decision
from serving.store.decision_search import first_id_at
from serving.store.stop_requests import StoredStopRequest, insert_stop_request
from serving.store.store import Store
from tests.builders import DAY, ms
from tests.serving.logged_decisions import a_logged_decision

POLICY = parse_policy(POLICY_FILE.read_text())
BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
NOW = ms("2026-04-10T12:00:00")
HOUR, MINUTE = 3_600_000, 60_000
STOPPED = {AnswerKind.STOPPED_BEFORE_SHIPPING, AnswerKind.SERVICE_CUT, AnswerKind.PARCEL_RETURNED}
TABLES = (
    "decisions",
    "daily_flow",
    "flow_progress",
    "review_cases",
    "case_history",
    "stop_requests",
)


@dataclass(frozen=True)
class Asked:
    """A stop request, and the case behind it as it is now."""

    request: StopRequest
    amount_cents: int
    currency: str


@dataclass
class History:
    decisions: list[LoggedDecision] = field(default_factory=list)
    cases: list[ReviewCase] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    reopened_at: dict[str, int] = field(default_factory=dict)
    steps: list[tuple[str, int, Action | StopAction, dict[str, Any]]] = field(default_factory=list)


def scope_of(store: Store, now: int = NOW) -> CaseScope:
    return CaseScope(store=store, policy=POLICY, now_ms=lambda: now, public_url="https://pay.example")


def a_decision(number: int, at: int, order_id: str, merchant_id: str, outcome: str) -> LoggedDecision:
    return a_logged_decision(
        f"{first_id_at(at)}{number:016x}",
        order_id=order_id,
        merchant_id=merchant_id,
        outcome=outcome,
        as_of_ms=at,
    )


def empty(store: Store) -> None:
    with store.writing("test") as tx:
        for table in TABLES:
            tx.execute(f"DELETE FROM {table}")


def keep_decisions(store: Store, decisions: Sequence[LoggedDecision]) -> None:
    with store.writing("test") as tx:
        for decision in decisions:
            append_decision(tx, decision)


def keep_cases(store: Store, history: History) -> None:
    amounts = {asked.request.order_id: asked for asked in history.asked}
    with store.writing("test") as tx:
        for case in history.cases:
            asked = amounts.get(case.order_id)
            stakes = CaseStakes(
                probability=0.5,
                amount_cents=asked.amount_cents if asked else 1,
                currency=asked.currency if asked else "EUR",
                ordered_at_ms=case.opened_at_ms - 60_000,
                handover_at_ms=case.opened_at_ms + 3_600_000,
                left=False,
                recallable=True,
                is_service=False,
            )
            insert_case(tx, StoredCase(case=case, stakes=stakes, priority=1, reasons=()))
            if asked:
                stored = StoredStopRequest(request=asked.request, case_id=case.case_id, version=1)
                insert_stop_request(tx, stored)
        for case_id, at, action, detail in history.steps:
            if isinstance(action, Action):
                append_history(tx, case_id, at_ms=at, actor="ann", action=action, detail=detail)
            else:
                append_history(tx, case_id, at_ms=at, actor="merchant", action=action, detail=detail)


def local_day(at: int) -> date:
    return datetime.fromtimestamp(at / 1000, UTC).astimezone(BERLIN).date()


def middle(values: Sequence[int]) -> int | None:
    ordered = sorted(values)
    if not ordered:
        return None
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else round((ordered[half - 1] + ordered[half]) / 2)


def slow_figures(history: History, days: Sequence[date], merchant_id: str | None = None) -> FlowFigures:
    """The figures of some days by looking at everything."""

    def counts(at: int, whose: str) -> bool:
        return local_day(at) in days and merchant_id in {None, whose}

    newest: dict[str, LoggedDecision] = {}
    for decision in sorted(history.decisions, key=lambda one: one.decision_id):
        newest[decision.order_id] = decision
    orders = [one for one in newest.values() if counts(one.as_of_ms, one.merchant_id)]
    flagged = [case for case in history.cases if case.origin is CaseOrigin.FLAGGED]
    judged = [
        case
        for case in flagged
        if case.state is CaseState.CLOSED
        and case.closed_at_ms is not None
        and counts(case.closed_at_ms, case.merchant_id)
    ]
    verdict_of = {case.order_id: case.verdict for case in history.cases}
    stopped: list[Asked] = []
    answers: list[int] = []
    for asked in history.asked:
        request = asked.request
        if not request.answers:
            continue
        first, last = request.answers[0], request.answers[-1]
        said_at = min(answer.answered_at_ms for answer in request.answers if answer.kind is last.kind)
        is_released = verdict_of[request.order_id] is Verdict.RELEASED
        if last.kind in STOPPED and not is_released and counts(said_at, request.merchant_id):
            stopped.append(asked)
        delivered = request.first_delivered_at_ms
        if delivered is not None and counts(first.answered_at_ms, request.merchant_id):
            answers.append(first.answered_at_ms - delivered)
    currencies = sorted({asked.currency for asked in stopped})
    return FlowFigures(
        orders=len(orders),
        approved=sum(one.outcome == "approved" for one in orders),
        flagged=sum(counts(case.opened_at_ms, case.merchant_id) for case in flagged),
        judged=len(judged),
        released=sum(case.verdict is Verdict.RELEASED for case in judged),
        stopped=len(stopped),
        saved_cents=tuple(
            (currency, sum(asked.amount_cents for asked in stopped if asked.currency == currency))
            for currency in currencies
        ),
        answer_ms=middle(answers),
    )


def slow_overview(history: History, now: int) -> Overview:
    days = [local_day(now) - timedelta(days=ago) for ago in range(29, -1, -1)]
    merchants = sorted({one.merchant_id for one in history.decisions})
    by_merchant = [(merchant_id, slow_figures(history, days, merchant_id)) for merchant_id in merchants]
    waits = [
        now - history.reopened_at.get(case.case_id, case.opened_at_ms)
        for case in history.cases
        if case.state is CaseState.OPEN
    ]
    return Overview(
        days=tuple((day, slow_figures(history, [day])) for day in days),
        merchants=tuple(
            sorted(
                (entry for entry in by_merchant if entry[1].orders),
                key=lambda entry: (-entry[1].orders, entry[0]),
            )
        ),
        window=slow_figures(history, days),
        queue=flow_overview.QueueAge(
            waiting=len(waits), median_ms=middle(waits), oldest_ms=max(waits) if waits else None
        ),
        counted_until_ms=None,
    )


# From before the window, over the day on which clocks are turned, to now.
instants = st.integers(NOW - 34 * DAY, NOW - 2 * HOUR)
merchant_ids = st.sampled_from(["m1", "m2", "m3"])


@st.composite
def decision_logs(draw: st.DrawFn) -> list[LoggedDecision]:
    drawn = draw(
        st.lists(
            st.tuples(
                instants,
                st.sampled_from(["o1", "o2", "o3", "o4", "o5"]),
                merchant_ids,
                st.sampled_from(["approved", "declined"]),
            ),
            max_size=12,
        )
    )
    return [a_decision(number, *columns) for number, columns in enumerate(sorted(drawn))]


@st.composite
def histories(draw: st.DrawFn) -> History:
    history = History(decisions=draw(decision_logs()))
    for number in range(draw(st.integers(0, 6))):
        _draw_case(draw, history, number)
    return history


def _draw_case(draw: st.DrawFn, history: History, number: int) -> None:
    at = draw(instants)
    origin = draw(st.sampled_from(CaseOrigin))
    case = open_case(
        case_id=f"case{number}",
        order_id=f"flagged{number}",
        customer_id="c1",
        merchant_id=draw(merchant_ids),
        origin=origin,
        now_ms=at,
        policy=POLICY.review,
    )
    history.steps.append((case.case_id, at, Action.OPENED, {"origin": origin.value, "trigger": "approved"}))
    ways = {
        "waiting": [],
        "released": [Action.RELEASED],
        "stopped": [Action.STOP_DECIDED],
        "withdrawn": [Action.STOP_DECIDED, Action.STOP_WITHDRAWN],
        "re-opened": [Action.RELEASED, Action.REOPENED],
        "judged again": [Action.RELEASED, Action.REOPENED, Action.STOP_DECIDED],
    }
    for action in ways[draw(st.sampled_from(sorted(ways)))]:
        at = min(at + draw(st.integers(1, 4 * DAY)), NOW)
        case = _step(case, action, at)
        history.steps.append((case.case_id, at, action, {}))
        if action is Action.REOPENED:
            history.reopened_at[case.case_id] = at
    history.cases.append(case)
    if draw(st.booleans()):
        _draw_request(draw, history, case)


def _step(case: ReviewCase, action: Action, at: int) -> ReviewCase:
    policy = POLICY.review
    match action:
        case Action.RELEASED:
            return decide(claim(case, "ann", at, policy), "ann", Verdict.RELEASED, at, policy)
        case Action.STOP_DECIDED:
            return decide(claim(case, "ann", at, policy), "ann", Verdict.STOP, at, policy)
        case Action.STOP_WITHDRAWN:
            return withdraw_stop(case, "ann", at, policy, role="admin")
        case _:
            return reopen(case, "somebody asked", at, policy)


def _draw_request(draw: st.DrawFn, history: History, case: ReviewCase) -> None:
    requested_at = min(case.opened_at_ms + draw(st.integers(0, DAY)), NOW)
    at = delivered_at = min(requested_at + draw(st.integers(0, DAY)), NOW)
    answers = []
    for kind in draw(st.lists(st.sampled_from(AnswerKind), max_size=3)):
        at = min(at + draw(st.integers(0, 3 * DAY)), NOW)
        answers.append(
            MerchantAnswer(kind=kind, carrier=None, tracking_number=None, answered_at_ms=at, note=None)
        )
        history.steps.append((case.case_id, at, StopAction.ANSWERED, {"kind": kind.value}))
    request = StopRequest(
        stop_request_id=f"stp_{case.case_id}",
        order_id=case.order_id,
        merchant_id=case.merchant_id,
        state=StopRequestState.ANSWERED if answers else StopRequestState.REQUESTED,
        requested_at_ms=requested_at,
        first_delivered_at_ms=draw(st.sampled_from([delivered_at, None])),
        answer_due_at_ms=None,
        answers=tuple(answers),
    )
    amount_cents = draw(st.integers(1, 500_000))
    currency = draw(st.sampled_from(["EUR", "SEK"]))
    history.asked.append(Asked(request=request, amount_cents=amount_cents, currency=currency))


@settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)  # the store is emptied by every example
@given(history=histories())
def test_every_figure_is_what_its_slow_twin_says(store: Store, history: History) -> None:
    empty(store)
    keep_decisions(store, history.decisions)
    keep_cases(store, history)
    expected = slow_overview(history, NOW)
    assert overview(store, POLICY, NOW) == expected
    assert sum_up_orders(scope_of(store)) == len(history.decisions)
    assert overview(store, POLICY, NOW) == expected


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(decisions=decision_logs(), share=st.floats(0, 1))
def test_orders_are_counted_the_same_wherever_the_worker_stands(
    store: Store, monkeypatch: pytest.MonkeyPatch, decisions: list[LoggedDecision], share: float
) -> None:
    monkeypatch.setattr(flow_overview, "CHANGES_PER_WRITE", 2)
    empty(store)
    already = int(share * len(decisions))
    keep_decisions(store, decisions[:already])
    sum_up_orders(scope_of(store))
    keep_decisions(store, decisions[already:])
    expected = slow_overview(History(decisions=decisions), NOW)
    assert overview(store, POLICY, NOW) == expected
    sum_up_orders(scope_of(store))
    assert overview(store, POLICY, NOW) == expected


def test_a_decision_that_has_not_settled_is_left_to_the_view(store: Store) -> None:
    keep_decisions(store, [a_decision(1, NOW - 10 * MINUTE, "o1", "m1", "approved")])
    keep_decisions(store, [a_decision(2, NOW - 10_000, "o2", "m1", "declined")])
    assert sum_up_orders(scope_of(store)) == 1
    assert (overview(store, POLICY, NOW).today.orders, overview(store, POLICY, NOW).today.approved) == (2, 1)
    assert sum_up_orders(scope_of(store, NOW + 2 * MINUTE)) == 1
    assert sum_up_orders(scope_of(store, NOW + 2 * MINUTE)) == 0


def test_an_order_that_is_decided_again_moves_to_the_day_and_outcome_of_its_newest_decision(
    store: Store,
) -> None:
    keep_decisions(store, [a_decision(1, NOW - 2 * DAY, "o1", "m1", "declined")])
    sum_up_orders(scope_of(store))
    keep_decisions(store, [a_decision(2, NOW - DAY, "o1", "m1", "approved")])
    sum_up_orders(scope_of(store))
    days = [figures for _, figures in overview(store, POLICY, NOW).days]
    assert [(one.orders, one.approved) for one in days[-3:]] == [(0, 0), (1, 1), (0, 0)]


def test_two_workers_count_every_decision_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow_overview, "CHANGES_PER_WRITE", 3)
    decisions = [
        a_decision(number, NOW - DAY + number, f"o{number}", "m1", "approved") for number in range(60)
    ]
    keep_decisions(store, decisions)
    with ThreadPoolExecutor(2) as pool:
        counted = sum(sum(pool.map(lambda _: sum_up_orders(scope_of(store)), range(2))) for _ in range(30))
    assert counted == len(decisions)
    assert overview(store, POLICY, NOW).window.orders == len(decisions)


def test_a_view_says_how_far_it_counted_while_the_worker_is_behind(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow_overview, "UNCOUNTED_MAXIMUM", 3)
    decisions = [
        a_decision(number, NOW - DAY + number, f"o{number}", "m1", "approved") for number in range(5)
    ]
    keep_decisions(store, decisions)
    behind = overview(store, POLICY, NOW)
    assert (behind.window.orders, behind.counted_until_ms) == (3, NOW - DAY + 2)
    sum_up_orders(scope_of(store))
    caught_up = overview(store, POLICY, NOW)
    assert (caught_up.window.orders, caught_up.counted_until_ms) == (5, None)


def test_days_of_another_time_zone_are_counted_apart(store: Store) -> None:
    at = ms("2026-04-09T22:30:00")
    keep_decisions(store, [a_decision(1, at, "o1", "m1", "approved")])
    in_london = replace(POLICY, order_risk=replace(POLICY.order_risk, default_time_zone="Europe/London"))
    for policy, orders_today in ((POLICY, 1), (in_london, 0)):
        sum_up_orders(replace(scope_of(store), policy=policy))
        shown = overview(store, policy, NOW)
        assert (shown.today.orders, shown.window.orders) == (orders_today, 1)


def test_only_the_merchants_with_most_orders_are_shown(store: Store) -> None:
    decisions = [
        a_decision(number, NOW - DAY + number, f"o{number}", f"m{number % 30:02d}", "approved")
        for number in range(45)
    ]
    keep_decisions(store, decisions)
    shown = [merchant_id for merchant_id, _ in overview(store, POLICY, NOW).merchants]
    assert shown == [f"m{number:02d}" for number in range(20)]


def test_a_rate_of_nothing_is_nothing(store: Store) -> None:
    today = overview(store, POLICY, NOW).today
    assert (today.approval_rate, today.false_alarm_rate, today.answer_ms) == (None, None, None)


def test_each_figure_has_its_meaning_and_its_title() -> None:
    from serving.console.overview_page import TITLES

    assert set(flow_overview.MEANINGS) == set(flow_overview.Figure) == set(TITLES)
