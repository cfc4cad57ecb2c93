"""Decisions are found by any of their ids, the newest first, in pages that together are all, on either."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.domain.decision import Outcome
from serving.store.decision_log import LoggedDecision, append_decision
from serving.store.decision_search import DecisionFilter, find_decisions, first_id_at
from serving.store.sqlite_store import SqliteStore
from serving.store.store import Store, Transaction
from tests.builders import DAY, ms
from tests.serving.logged_decisions import a_logged_decision

START = ms("2026-06-01T10:00:00")
CUSTOMERS, ORDERS, MERCHANTS = ("c1", "c2", "c3"), ("o1", "o2", "o3", "o4"), ("m1", "m2")
OUTCOMES = (Outcome.APPROVED, Outcome.DECLINED)


def a_decision(
    number: int,
    *,
    at: int = START,
    order_id: str = "o1",
    customer_id: str = "c1",
    merchant_id: str = "m1",
    outcome: Outcome = Outcome.APPROVED,
) -> LoggedDecision:
    return a_logged_decision(
        f"{first_id_at(at)}{number:016x}",
        order_id=order_id,
        customer_id=customer_id,
        merchant_id=merchant_id,
        outcome=outcome.value,
        as_of_ms=at,
        record={
            "order": {"amount_cents": 1_000 + number, "currency": "EUR", "more": "ignored"},
            "answer": {"score": number, "outcome": outcome.value},
        },
    )


def keep(store: Store, decisions: Sequence[LoggedDecision], known: Sequence[str] = CUSTOMERS) -> None:
    """Write decisions; those about known customers leave their order in the ledger, as a checkout does."""
    with store.writing("test") as tx:
        tx.execute("DELETE FROM decisions")
        tx.execute("DELETE FROM ledger_events")
        for decision in decisions:
            append_decision(tx, decision)
            if decision.customer_id in known:
                _leave_order(tx, decision)


def _leave_order(tx: Transaction, decision: LoggedDecision) -> None:
    tx.execute(
        "INSERT INTO ledger_events (entity_id, contract, event_id, subject_id, occurred_at_ms, "
        "recorded_at_ms, content_sha256, body) VALUES (?, 'orders', ?, ?, ?, ?, '', '{}')",
        (
            decision.customer_id,
            f"order-{decision.decision_id}",
            decision.order_id,
            decision.as_of_ms,
            decision.as_of_ms,
        ),
    )


def pages(store: Store, wanted: DecisionFilter, *, limit: int = 2, looked_at: int = 3) -> list[list[str]]:
    """The ids of every page, by following `next_before` to the end."""
    found: list[list[str]] = []
    before = None
    while True:
        with store.reading() as tx:
            page = find_decisions(tx, wanted, before=before, limit=limit, looked_at_maximum=looked_at)
        found.append([decision.decision_id for decision in page.decisions])
        assert len(found[-1]) <= limit
        if page.next_before is None:
            return found
        assert before is None or page.next_before < before
        before = page.next_before


def slowly(decisions: Sequence[LoggedDecision], wanted: DecisionFilter, known: Sequence[str]) -> list[str]:
    """The same by looking at every decision."""
    return [
        decision.decision_id
        for decision in sorted(decisions, key=lambda one: one.decision_id, reverse=True)
        if (
            wanted.name is None
            or wanted.name in {decision.decision_id, decision.order_id}
            or (wanted.name == decision.customer_id and decision.customer_id in known)
        )
        and wanted.customer_id in {None, decision.customer_id}
        and (wanted.outcome is None or wanted.outcome.value == decision.outcome)
        and wanted.merchant_id in {None, decision.merchant_id}
        and (wanted.from_ms is None or decision.as_of_ms >= wanted.from_ms)
        and (wanted.until_ms is None or decision.as_of_ms < wanted.until_ms)
    ]


@st.composite
def histories(draw: st.DrawFn) -> list[LoggedDecision]:
    drawn = draw(
        st.lists(
            st.tuples(
                st.integers(0, 4),
                st.sampled_from(ORDERS),
                st.sampled_from(CUSTOMERS),
                st.sampled_from(MERCHANTS),
                st.sampled_from(OUTCOMES),
            ),
            max_size=14,
        )
    )
    return [
        a_decision(
            number, at=START + day * DAY, order_id=order, customer_id=customer, merchant_id=shop, outcome=said
        )
        for number, (day, order, customer, shop, said) in enumerate(drawn)
    ]


names: st.SearchStrategy[str | None] = st.one_of(
    st.none(), st.sampled_from([*ORDERS, *CUSTOMERS, "nobody", f"{first_id_at(START)}{0:016x}"])
)
filters = st.builds(
    DecisionFilter,
    name=names,
    customer_id=st.sampled_from([None, None, *CUSTOMERS]),
    outcome=st.sampled_from([None, *OUTCOMES]),
    merchant_id=st.sampled_from([None, *MERCHANTS]),
    from_ms=st.sampled_from([None, START, START + DAY]),
    until_ms=st.sampled_from([None, START + 2 * DAY]),
)


@settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)  # the store is emptied by every example
@given(history=histories(), wanted=filters, limit=st.integers(1, 4), looked_at=st.integers(1, 6))
def test_pages_together_are_all_that_is_wanted_and_none_comes_twice(
    store: Store, history: list[LoggedDecision], wanted: DecisionFilter, limit: int, looked_at: int
) -> None:
    known = CUSTOMERS[:2]
    keep(store, history, known)
    found = [name for page in pages(store, wanted, limit=limit, looked_at=looked_at) for name in page]
    assert found == slowly(history, wanted, known)


def test_a_decision_is_found_by_its_id_its_order_and_its_customer(store: Store) -> None:
    one = a_decision(1, order_id="o1", customer_id="c1")
    other = a_decision(2, at=START + DAY, order_id="o2", customer_id="c2", outcome=Outcome.DECLINED)
    keep(store, [one, other])
    for name in (one.decision_id, "o1", "c1"):
        assert pages(store, DecisionFilter(name=name)) == [[one.decision_id]]
    assert pages(store, DecisionFilter(name="unknown")) == [[]]


def test_what_is_shown_of_a_decision_comes_from_its_record(store: Store) -> None:
    keep(store, [a_decision(7, outcome=Outcome.DECLINED)])
    with store.reading() as tx:
        (found,) = find_decisions(tx, DecisionFilter(), before=None, limit=5).decisions
    assert (found.amount_cents, found.currency, found.score) == (1_007, "EUR", 7)
    assert (found.outcome, found.as_of_ms) == (Outcome.DECLINED, START)


def test_a_customer_whom_the_ledger_did_not_know_is_found_by_looking_through_all(store: Store) -> None:
    stranger = a_decision(1, customer_id="c3")
    keep(store, [stranger, *(a_decision(number, at=START + DAY) for number in range(2, 9))], known=["c1"])
    assert pages(store, DecisionFilter(name="c3")) == [[]]
    searched = pages(store, DecisionFilter(customer_id="c3"), looked_at=3)
    assert searched == [[], [], [stranger.decision_id]]


def test_a_filter_that_nothing_meets_gives_up_and_goes_on(store: Store) -> None:
    keep(store, [a_decision(number) for number in range(9)])
    assert pages(store, DecisionFilter(merchant_id="m2"), looked_at=4) == [[], [], []]


@pytest.mark.parametrize(
    ("wanted", "reads_by"),
    [
        (DecisionFilter(), {"(decision_id<?)"}),
        (DecisionFilter(name="c1"), {"ledger_events", "decisions_by_order", "(decision_id=?)"}),
        (DecisionFilter(from_ms=START), {"(decision_id>? AND decision_id<?)"}),
    ],
)
def test_no_search_reads_the_whole_table(
    store: Store, wanted: DecisionFilter, reads_by: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if not isinstance(store, SqliteStore):
        pytest.skip("the plan is read from SQLite")
    asked: list[tuple[str, Any]] = []
    with store.reading() as tx:
        execute = tx.execute

        def noting(sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
            asked.append((sql, parameters))
            return execute(sql, parameters)

        monkeypatch.setattr(tx, "execute", noting)
        find_decisions(tx, wanted, before="dec_9", limit=5)
        plan = " ".join(
            str(row[3]) for sql, values in asked for row in execute(f"EXPLAIN QUERY PLAN {sql}", values)
        )
    assert "SCAN decisions" not in plan
    assert all(part in plan for part in reads_by), plan
