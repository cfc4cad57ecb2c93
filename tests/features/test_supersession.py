"""What stands: of the rows of one thing, the one that happened last, whenever it arrived."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_contracts.contract import MAXIMUM_CLOCK_TOLERANCE_MS, Contract
from data_contracts.customers import CUSTOMERS
from data_contracts.invoice_pauses import INVOICE_PAUSES
from data_contracts.order_outcomes import ORDER_OUTCOMES
from features.feature_sets import INVOICE_ELIGIBILITY
from features.instants import NEVER
from features.online import invoice_states, visible_rows
from features.supersession import seen_rows
from tests.builders import DAY, Row, a_customer, a_pause, a_row, an_invoice, arrow_table, ms
from tests.naive_features import visible
from tests.proof_size import examples

pytestmark = pytest.mark.long_proof
OCTOBER = ms("2026-10-01")
STEP = MAXIMUM_CLOCK_TOLERANCE_MS // 3


def standing(contract: Contract, rows: list[Row], as_of: int) -> list[str]:
    return sorted(row["event_id"] for row in visible_rows(contract, {contract.name: rows}, as_of))


def intervals(contract: Contract, rows: list[Row]) -> list[tuple[str, int, int]]:
    seen = seen_rows(contract, arrow_table(contract, rows))
    ids = [rows[place]["event_id"] for place in seen.place.tolist()]
    return list(zip(ids, seen.seen_from.tolist(), seen.seen_until.tolist(), strict=True))


def a_state(event_id: str, day: int, arrives: int, **more: Any) -> Row:
    """The customer's state of a day of October, which arrives on another."""
    at = OCTOBER + day * DAY
    return a_customer(event_id=event_id, at=at, recorded_at=OCTOBER + arrives * DAY, **more)


def test_an_older_state_that_arrives_later_does_not_stand() -> None:
    rows = [a_state("second", 2, 2, identity_status="unverified"), a_state("first", 1, 5)]
    assert standing(CUSTOMERS, rows, OCTOBER + 9 * DAY) == ["second"]
    assert intervals(CUSTOMERS, rows) == [("second", OCTOBER + 2 * DAY, NEVER)]


def test_a_pause_whose_begin_arrives_after_its_end_has_ended() -> None:
    begins, ends = OCTOBER + DAY, OCTOBER + 3 * DAY
    end = a_pause(started_at=begins, ended_at=ends)
    begin = a_pause(started_at=begins, recorded_at=ends + DAY)
    rows = {"invoices": [an_invoice(at=OCTOBER)], INVOICE_PAUSES.name: [end, begin]}
    as_of = OCTOBER + 40 * DAY
    state = invoice_states(rows, as_of, INVOICE_ELIGIBILITY.terms)["i1"]
    assert not state.paused
    assert state.is_overdue(as_of)


@pytest.mark.parametrize("arrival", [("begin", "end"), ("end", "begin")])
def test_a_pause_that_ended_by_the_date_of_the_day_on_which_it_began_has_ended(
    arrival: tuple[str, str],
) -> None:
    begins = OCTOBER + DAY + 52_200_100
    states = {
        "begin": a_pause(started_at=begins),
        "end": a_pause(started_at=begins, ended_at=OCTOBER + DAY),
    }
    recorded = OCTOBER + 2 * DAY
    pauses = [{**states[name], "recorded_at": recorded + place} for place, name in enumerate(arrival)]
    assert standing(INVOICE_PAUSES, pauses, OCTOBER + 9 * DAY) == ["pause-i1-end"]
    assert [entry[0] for entry in intervals(INVOICE_PAUSES, pauses) if entry[2] == NEVER] == ["pause-i1-end"]
    (row,) = visible_rows(INVOICE_PAUSES, {INVOICE_PAUSES.name: pauses}, OCTOBER + 9 * DAY)
    assert row["ended_at"] == begins


def test_of_two_states_of_one_instant_the_one_that_arrived_last_stands_whatever_their_ids() -> None:
    for names in (("a", "b"), ("b", "a")):
        rows = [a_state(names[0], 1, 2), a_state(names[1], 1, 3)]
        assert standing(CUSTOMERS, rows, OCTOBER + 9 * DAY) == [names[1]]
        assert [entry[0] for entry in intervals(CUSTOMERS, rows)] == list(names)


def test_a_state_stands_again_when_the_one_that_replaced_it_is_corrected_to_an_earlier_day() -> None:
    corrected = {**a_state("corrected", 0, 7), "corrects": "second"}
    rows = [a_state("first", 1, 1), a_state("second", 2, 2), corrected]
    day = OCTOBER + DAY
    assert standing(CUSTOMERS, rows, OCTOBER + 7 * DAY) == ["second"]
    assert standing(CUSTOMERS, rows, OCTOBER + 7 * DAY + 1) == ["first"]
    assert intervals(CUSTOMERS, rows) == [
        ("first", day, OCTOBER + 2 * DAY),
        ("first", OCTOBER + 7 * DAY, NEVER),
        ("second", OCTOBER + 2 * DAY, OCTOBER + 7 * DAY),
    ]


def test_a_state_from_a_clock_that_ran_ahead_counts_from_its_record() -> None:
    ahead = a_customer(event_id="ahead", at=OCTOBER + 60_000, recorded_at=OCTOBER)
    (row,) = visible_rows(CUSTOMERS, {CUSTOMERS.name: [ahead]}, OCTOBER + 1)
    assert row["occurred_at"] == row["registered_at"] == OCTOBER


@pytest.mark.parametrize("arrival", [("earlier", "later"), ("later", "earlier")])
def test_of_two_states_of_a_clock_that_runs_ahead_the_later_stands_whichever_arrives_first(
    arrival: tuple[str, str],
) -> None:
    sent = {"earlier": OCTOBER + 60_000, "later": OCTOBER + 61_000}
    rows = [
        a_customer(event_id=name, at=sent[name], recorded_at=OCTOBER + place)
        for place, name in enumerate(arrival)
    ]
    assert standing(CUSTOMERS, rows, OCTOBER + DAY) == ["later"]
    assert [entry[0] for entry in intervals(CUSTOMERS, rows) if entry[2] == NEVER] == ["later"]


def test_a_state_of_a_clock_that_runs_ahead_outranks_what_happened_later_by_less_than_its_lead() -> None:
    ahead = a_customer(event_id="ahead", at=OCTOBER + 60_000, recorded_at=OCTOBER)
    within, beyond = (
        a_customer(event_id=name, at=OCTOBER + after, recorded_at=OCTOBER + after)
        for name, after in (("within", 59_999), ("beyond", 60_000))
    )
    assert standing(CUSTOMERS, [ahead, within], OCTOBER + DAY) == ["ahead"]
    assert standing(CUSTOMERS, [ahead, within, beyond], OCTOBER + DAY) == ["beyond"]


def test_no_clock_is_ahead_by_hours_and_such_a_state_ranks_by_its_record() -> None:
    ahead = a_customer(event_id="ahead", at=OCTOBER + MAXIMUM_CLOCK_TOLERANCE_MS + 1, recorded_at=OCTOBER)
    after = a_customer(event_id="after", at=OCTOBER, recorded_at=OCTOBER + 1)
    for rows in ([ahead, after], [after, ahead]):
        assert standing(CUSTOMERS, rows, OCTOBER + DAY) == ["after"]
        assert [entry[0] for entry in intervals(CUSTOMERS, rows) if entry[2] == NEVER] == ["after"]


def a_finding(event_id: str, kind: str, day: int, arrives: int, **more: Any) -> Row:
    at, recorded = OCTOBER + day * DAY, OCTOBER + arrives * DAY
    columns = {"order_id": "o1", "customer_id": "c1", "kind": kind, **more}
    return a_row("order_outcomes", event_id, at, recorded, **columns)


def test_of_two_answers_to_one_question_the_one_that_was_given_last_stands() -> None:
    rows = [
        a_finding("again", "dispute_decided_for_merchant", 5, 5),
        a_finding("first", "dispute_decided_for_customer", 1, 8),
        a_finding("other", "identity_misuse_upheld", 2, 2),
        a_finding("another", "identity_misuse_rejected", 3, 3),
        a_finding("elsewhere", "dispute_decided_for_customer", 1, 3, order_id="o2"),
        a_finding("released", "review_released", 1, 1),
        a_finding("released-2", "review_released", 2, 2),
    ]
    expected = ["again", "another", "elsewhere", "other", "released", "released-2"]
    assert standing(ORDER_OUTCOMES, rows, OCTOBER + 9 * DAY) == expected
    last = [entry[0] for entry in intervals(ORDER_OUTCOMES, rows) if entry[2] == NEVER]
    assert sorted(last) == expected


@st.composite
def states_of_two_things(draw: st.DrawFn) -> list[Row]:
    """States and corrections of two customers, no two of which arrive at one instant; occurrences collide.

    Some come from a clock that is ahead, by less than the highest tolerance or by more.
    """
    count = draw(st.integers(1, 9))
    arrivals = draw(st.permutations(range(count)))
    rows: list[Row] = []
    for number, arrives in enumerate(arrivals):
        at = OCTOBER + draw(st.integers(-3, arrives + 4)) * STEP
        customer = draw(st.sampled_from(["c1", "c2"]))
        row = a_customer(customer, event_id=f"e{number}", at=at, recorded_at=OCTOBER + arrives * STEP)
        rows.append(row)
    for row in rows:
        earlier = [
            other
            for other in rows
            if other["customer_id"] == row["customer_id"] and other["recorded_at"] < row["recorded_at"]
        ]
        taken = {other.get("corrects") for other in rows}
        free = [other["event_id"] for other in earlier if other["event_id"] not in taken]
        if free and draw(st.integers(0, 2)) == 0:
            row["corrects"] = draw(st.sampled_from(free))
    return rows


@examples(10_000)
@given(states_of_two_things())
def test_the_table_and_the_single_decision_see_what_the_rule_says_at_every_moment(rows: list[Row]) -> None:
    seen = intervals(CUSTOMERS, rows)
    for step in range(len(rows) + 1):
        for as_of in (OCTOBER + step * STEP, OCTOBER + step * STEP + 1):
            expected = sorted(row["event_id"] for row in visible(rows, as_of, "customer_id"))
            assert standing(CUSTOMERS, rows, as_of) == expected
            assert sorted(name for name, start, end in seen if start < as_of <= end) == expected


@examples(10_000)
@given(states_of_two_things(), st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_matter_once_all_have_arrived(rows: list[Row], random: Any) -> None:
    plain = [{**row, "corrects": None} for row in rows]
    distinct = list({(row["customer_id"], row["occurred_at"]): row for row in plain}.values())
    arrivals = [row["recorded_at"] for row in distinct]
    random.shuffle(arrivals)
    late = OCTOBER + 1000 * DAY
    # Each arrives after it happened, in any order.
    shuffled = [
        {**row, "recorded_at": late + arrival} for row, arrival in zip(distinct, arrivals, strict=True)
    ]
    end = 10 * late
    expected = {
        max((row for row in distinct if row["customer_id"] == customer), key=lambda row: row["occurred_at"])[
            "event_id"
        ]
        for customer in {row["customer_id"] for row in plain}
    }
    assert set(standing(CUSTOMERS, shuffled, end)) == expected
