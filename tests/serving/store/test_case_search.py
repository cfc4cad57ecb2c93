"""The queue in pages, search and counts on SQLite and PostgreSQL, against a plain sort of all cases."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import sqlalchemy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.domain.case_stakes import CaseStakes
from serving.domain.flag_reason import FlagReason
from serving.domain.policy_reader import parse_policy
from serving.domain.review_case import CaseOrigin, CaseState, open_case
from serving.in_force.policy_activation import POLICY_FILE
from serving.store import case_search
from serving.store.case_queue import StoredCase, insert_case
from serving.store.case_search import (
    UNFINISHED,
    CaseCount,
    QueueFilter,
    QueuePlace,
    case_ids_about,
    cases_named,
    count_cases,
    queue_page,
)
from serving.store.store import Store, Transaction
from serving.store.tables import metadata
from tests.builders import ms

START = ms("2026-06-01T10:00:00")
POLICY = parse_policy(POLICY_FILE.read_text())


def a_case(
    number: int,
    *,
    state: CaseState = CaseState.OPEN,
    priority: int = 0,
    origin: CaseOrigin = CaseOrigin.FLAGGED,
    merchant: str = "m1",
    reviewer: str | None = None,
) -> StoredCase:
    case = open_case(
        case_id=f"case_{number:06x}",
        order_id=f"o{number}",
        customer_id=f"c{number % 3}",
        merchant_id=merchant,
        origin=origin,
        now_ms=START + number,
        policy=POLICY.review,
    )
    stakes = CaseStakes(
        probability=0.9,
        amount_cents=10_000,
        currency="EUR",
        ordered_at_ms=START - 60_000,
        handover_at_ms=START + 3_600_000,
        left=False,
        recallable=True,
        is_service=False,
    )
    reasons = (FlagReason(code="shared_device", text='"origin":"sampled"'),)
    return StoredCase(
        case=replace(case, state=state, reviewer=reviewer), stakes=stakes, priority=priority, reasons=reasons
    )


def keep(store: Store, cases: Sequence[StoredCase]) -> None:
    with store.writing("someone") as tx:
        tx.execute("DELETE FROM review_cases")
        for stored in cases:
            insert_case(tx, stored)


def all_pages(tx: Transaction, wanted: QueueFilter, limit: int) -> list[StoredCase]:
    found: list[StoredCase] = []
    after: QueuePlace | None = None
    while True:
        page = queue_page(tx, wanted, after=after, limit=limit)
        assert len(page.cases) <= limit
        found += page.cases
        if page.after is None:
            return found
        assert page.after != after
        after = page.after


def in_order_of_work(cases: Sequence[StoredCase], wanted: QueueFilter) -> list[StoredCase]:
    """The slow twin: filter and sort everything."""
    meant = [
        stored
        for stored in cases
        if stored.case.state in wanted.states
        and wanted.origin in {None, stored.case.origin}
        and wanted.merchant_id in {None, stored.case.merchant_id}
        and wanted.reviewer in {None, stored.case.reviewer}
    ]
    meant.sort(key=lambda stored: stored.case.case_id, reverse=True)
    meant.sort(key=lambda stored: (-stored.priority, wanted.states.index(stored.case.state)))
    return meant


QUEUES = st.lists(
    st.builds(
        lambda state, priority, origin, merchant, reviewer: (state, priority, origin, merchant, reviewer),
        st.sampled_from(CaseState),
        st.integers(0, 3) | st.integers(0, 2**40),
        st.sampled_from(CaseOrigin),
        st.sampled_from(["m1", "m2"]),
        st.sampled_from([None, "ann", "bob"]),
    ),
    max_size=25,
)
FILTERS = st.builds(
    QueueFilter,
    states=st.sampled_from([UNFINISHED, (CaseState.CLOSED,), (CaseState.OPEN,), tuple(CaseState)]),
    origin=st.none() | st.sampled_from(CaseOrigin),
    merchant_id=st.sampled_from([None, "m1", "m2"]),
    reviewer=st.sampled_from([None, "ann"]),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    queue=QUEUES, wanted=FILTERS, limit=st.integers(1, 6), rows=st.integers(1, 4), looked=st.integers(1, 30)
)
def test_the_pages_together_are_all_cases_in_the_order_of_work_and_none_twice(
    store: Store,
    queue: list[tuple[CaseState, int, CaseOrigin, str, str]],
    wanted: QueueFilter,
    limit: int,
    rows: int,
    looked: int,
) -> None:
    cases = [
        a_case(number, state=state, priority=priority, origin=origin, merchant=merchant, reviewer=reviewer)
        for number, (state, priority, origin, merchant, reviewer) in enumerate(queue)
    ]
    keep(store, cases)
    with pytest.MonkeyPatch.context() as patched, store.reading() as tx:
        patched.setattr(case_search, "_ROWS_PER_READ", rows)
        patched.setattr(case_search, "LOOKED_AT_MAXIMUM", looked)
        assert all_pages(tx, wanted, limit) == in_order_of_work(cases, wanted)


def test_a_case_that_comes_while_one_pages_moves_no_other(store: Store) -> None:
    cases = [a_case(number, priority=number * 10) for number in range(10)]
    keep(store, cases)
    with store.reading() as tx:
        first = queue_page(tx, QueueFilter(), after=None, limit=4)
    with store.writing("someone") as tx:
        insert_case(tx, a_case(99, priority=1_000))
    with store.reading() as tx:
        second = queue_page(tx, QueueFilter(), after=first.after, limit=4)
    assert [stored.priority for stored in (*first.cases, *second.cases)] == [90, 80, 70, 60, 50, 40, 30, 20]


def test_a_place_in_another_state_is_refused(store: Store) -> None:
    place = QueuePlace(priority=1, state=CaseState.CLOSED, case_id="case_1")
    with store.reading() as tx, pytest.raises(ValueError, match="tuple"):
        queue_page(tx, QueueFilter(), after=place, limit=4)


def test_a_case_is_found_by_its_own_the_orders_or_the_customers_id_and_by_no_part_of_it(store: Store) -> None:
    keep(store, [a_case(number) for number in range(7)])
    with store.reading() as tx:
        by_customer = [stored.case.order_id for stored in cases_named(tx, "c1")]
        by_order = [stored.case.order_id for stored in cases_named(tx, "o5")]
        by_case = [stored.case.order_id for stored in cases_named(tx, "case_000005")]
        assert cases_named(tx, "case_") == cases_named(tx, "%") == cases_named(tx, "") == []
    assert by_customer == ["o4", "o1"]
    assert by_order == by_case == ["o5"]


def test_counting_ends_at_its_maximum(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(case_search, "COUNT_MAXIMUM", 5)
    closed = [a_case(number, state=CaseState.CLOSED) for number in range(6)]
    keep(store, [*closed, *(a_case(number) for number in range(6, 11))])
    with store.reading() as tx:
        counts = count_cases(tx)
    assert counts == {
        CaseState.OPEN: CaseCount(count=5, is_more=False),
        CaseState.CLAIMED: CaseCount(count=0, is_more=False),
        CaseState.CONTACTING_CUSTOMER: CaseCount(count=0, is_more=False),
        CaseState.CLOSED: CaseCount(count=5, is_more=True),
    }


def test_the_case_of_each_order_that_has_one(store: Store) -> None:
    keep(store, [a_case(1), a_case(2)])
    with store.reading() as tx:
        assert case_ids_about(tx, ["o2", "o9"]) == {"o2": "case_000002"}
        assert case_ids_about(tx, []) == {}


@pytest.mark.parametrize(
    "sql",
    [
        case_search._PAGE,
        case_search._PAGE_AFTER,
        "SELECT count(*) FROM (SELECT 1 FROM review_cases WHERE state = ? LIMIT ?) AS counted",
    ],
)
def test_pages_and_counts_come_from_the_index_without_a_sort(tmp_path: Path, sql: str) -> None:
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path / 'plan.db'}")
    metadata.create_all(engine)
    with engine.connect() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", (1,) * sql.count("?")).fetchall()
    engine.dispose()
    steps = " / ".join(row[3] for row in plan)
    assert "review_cases_in_order_of_work (state=?" in steps
    assert "TEMP B-TREE" not in steps
    if "(priority, case_id) <" in sql:
        assert "(priority,case_id)<(?,?)" in steps
    if "count" in sql:
        assert "COVERING INDEX" in steps


def test_a_search_reads_each_index(tmp_path: Path) -> None:
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path / 'plan.db'}")
    metadata.create_all(engine)
    with engine.connect() as connection:
        for column in ("case_id", "order_id", "customer_id"):
            plan = connection.exec_driver_sql(
                f"EXPLAIN QUERY PLAN SELECT record FROM review_cases WHERE {column} = ?", ("x",)
            ).fetchall()
            assert all(row[3].startswith("SEARCH") for row in plan), plan
    engine.dispose()


def test_more_cases_than_one_read_holds_are_paged_through(store: Store) -> None:
    keep(store, [a_case(number, priority=number % 7) for number in range(1_200)])
    with store.reading() as tx:
        found = all_pages(tx, QueueFilter(), 100)
    assert len({stored.case.case_id for stored in found}) == 1_200
    assert all(one.priority >= other.priority for one, other in pairwise(found))
