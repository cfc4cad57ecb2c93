"""The states of a return: every step from every state has one outcome, and none leaves the machine."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_contracts.instants import DAY_MS
from serving.domain.errors import PolicyInvalid
from serving.domain.goods_return import (
    GoodsReturn,
    ReturnClosed,
    ReturnPause,
    ReturnPolicy,
    ReturnState,
    booked,
    confirmed,
    due_at_ms,
    run_out,
    with_proof,
)
from serving.domain.policy_reader import parse_policy
from serving.in_force.policy_activation import POLICY_FILE

POLICY = ReturnPolicy(limit_days_with_proof=28, limit_days_without_proof=14)
START = 1_000 * DAY_MS


def a_return(*, is_late: bool = False, tracking_number: str | None = None) -> GoodsReturn:
    has_proof = tracking_number is not None
    return GoodsReturn(
        return_id="ret_1",
        order_id="o1",
        merchant_order_number=None,
        customer_id="c1",
        merchant_id="m1",
        state=ReturnState.ANNOUNCED,
        amount_cents=100,
        currency="EUR",
        positions=(),
        carrier=None,
        tracking_number=tracking_number,
        announced_at_ms=START,
        due_at_ms=due_at_ms(START, has_proof=has_proof, policy=POLICY),
        pauses=(ReturnPause(invoice_id="i1", pause_id="p1", is_begun=not is_late),),
    )


def in_state(state: ReturnState) -> GoodsReturn:
    match state:
        case ReturnState.ANNOUNCED:
            return a_return()
        case ReturnState.BOOKED:
            return booked(a_return(), START + 1, cents=100)
        case ReturnState.NOT_BOOKED:
            return run_out(a_return(tracking_number="T1"), START + 28 * DAY_MS)
        case ReturnState.LAPSED:
            return run_out(a_return(), START + 14 * DAY_MS)


AFTER = {
    # by state: confirmed, with proof, booked, out of time
    ReturnState.ANNOUNCED: ("announced", "announced", "booked", "lapsed"),
    ReturnState.BOOKED: ("booked", "booked", "booked", "booked"),
    ReturnState.NOT_BOOKED: ("not_booked", "not_booked", "booked", "not_booked"),
    ReturnState.LAPSED: ("lapsed", "lapsed", "booked", "lapsed"),
}


@pytest.mark.parametrize("state", ReturnState)
def test_every_step_from_every_state_leads_to_one(state: ReturnState) -> None:
    goods = in_state(state)
    assert goods.state is state
    steps = (
        confirmed(goods, START + 2, POLICY),
        with_proof(goods, carrier=None, tracking_number="T2", policy=POLICY),
        booked(goods, START + 2, cents=100),
        run_out(goods, START + 99 * DAY_MS),
    )
    assert tuple(after.state for after in steps) == AFTER[state]


def test_the_last_millisecond_is_in_time() -> None:
    without, proved = a_return(), a_return(tracking_number="T1")
    for goods, days, state in ((without, 14, ReturnState.LAPSED), (proved, 28, ReturnState.NOT_BOOKED)):
        due = START + days * DAY_MS
        assert run_out(goods, due - 1) == goods
        assert run_out(goods, due).state is state


def test_proof_that_comes_later_gives_the_longer_limit_from_the_announcement_on() -> None:
    proved = with_proof(a_return(), carrier="DHL", tracking_number="T1", policy=POLICY)
    assert (proved.tracking_number, proved.due_at_ms) == ("T1", START + 28 * DAY_MS)
    again = with_proof(proved, carrier="GLS", tracking_number="T2", policy=POLICY)
    assert again == proved
    said = confirmed(a_return(), START + 5, POLICY)
    assert (said.has_proof, said.due_at_ms) == (True, START + 28 * DAY_MS)
    assert confirmed(said, START + 9, POLICY) == said


def test_a_pause_after_the_due_date_waits_for_somebody_else_s_word() -> None:
    late = a_return(is_late=True)
    assert [pause.is_begun for pause in confirmed(late, START + 1, POLICY).pauses] == [True]
    proved = with_proof(late, carrier=None, tracking_number="T1", policy=POLICY)
    assert [pause.is_begun for pause in proved.pauses] == [False]
    lapsed = run_out(late, START + 14 * DAY_MS)
    assert [(pause.is_begun, pause.is_ended) for pause in lapsed.pauses] == [(False, False)]
    assert [pause.is_begun for pause in confirmed(lapsed, START + 15 * DAY_MS, POLICY).pauses] == [False]


def test_what_is_booked_ends_its_pauses_and_is_not_booked_otherwise() -> None:
    done = booked(a_return(is_late=True), START + 1, cents=80, fee_cents=5)
    assert [(pause.is_begun, pause.is_ended) for pause in done.pauses] == [(True, True)]
    assert done.confirmed_at_ms == START + 1
    assert booked(done, START + 2, cents=80, fee_cents=5) == done
    for cents, fee_cents in ((79, 5), (80, 4)):
        with pytest.raises(ReturnClosed):
            booked(done, START + 2, cents=cents, fee_cents=fee_cents)


STEP = st.sampled_from(["confirm", "proof", "book", "time"])


@given(st.lists(st.tuples(STEP, st.integers(0, 10 * DAY_MS)), max_size=12), st.booleans())
def test_whatever_happens_a_pause_ends_once_and_never_begins_again(
    steps: list[tuple[str, int]], is_late: bool
) -> None:
    goods, now = a_return(is_late=is_late), START
    for step, later in steps:
        before, now = goods, now + later
        if step == "confirm":
            goods = confirmed(goods, now, POLICY)
        elif step == "proof":
            goods = with_proof(goods, carrier=None, tracking_number="T1", policy=POLICY)
        elif step == "book":
            goods = booked(goods, now, cents=100)
        else:
            goods = run_out(goods, now)
        for was, pause in zip(before.pauses, goods.pauses, strict=True):
            assert pause.is_begun >= was.is_begun
            assert pause.is_ended >= was.is_ended
            assert pause.is_begun or not pause.is_ended
        assert goods.due_at_ms >= before.due_at_ms
        if before.state is ReturnState.BOOKED:
            assert goods == before
    if goods.state in {ReturnState.BOOKED, ReturnState.LAPSED}:
        assert all(pause.is_ended or not pause.is_begun for pause in goods.pauses)


def test_a_policy_of_before_returns_has_the_usual_limits_and_one_that_says_them_is_checked() -> None:
    text = POLICY_FILE.read_text()
    section = "[returns]\nlimit_days_with_proof = 28\nlimit_days_without_proof = 14\n"
    assert section in text
    assert parse_policy(text.replace(section, "")).returns == ReturnPolicy()
    shorter = text.replace("limit_days_with_proof = 28", "limit_days_with_proof = 20")
    assert parse_policy(shorter).returns.limit_days_with_proof == 20
    with pytest.raises(PolicyInvalid, match=r"returns\.limit_days_without_proof: must not be above"):
        parse_policy(text.replace("limit_days_with_proof = 28", "limit_days_with_proof = 13"))
    with pytest.raises(PolicyInvalid, match=r"returns\.days"):
        parse_policy(text.replace(section, f"{section}days = 1\n"))
