"""Which step an order takes in which state: every pair of them has an answer."""

import pytest

from serving.domain.errors import (
    OrderAlreadyClosed,
    OrderNotApproved,
    OrderNotConfirmed,
    OrderNotInvoiced,
    RiskError,
)
from serving.domain.order_step import OrderStep, is_to_be_taken
from serving.domain.reservation import ReservationState as State

ANSWERS: dict[State | None, tuple[bool | type[RiskError], ...]] = {
    # by step: confirmed, cancelled, released, extended, amended, shipped
    None: (OrderNotApproved,) * 6,
    State.RELEASED: (OrderNotApproved,) * 6,
    State.RESERVED: (True, True, OrderNotInvoiced, OrderNotConfirmed, True, True),
    State.CONFIRMED: (False, True, OrderNotInvoiced, True, True, True),
    State.PARTLY_INVOICED: (OrderAlreadyClosed, OrderAlreadyClosed, True, True, True, True),
    State.INVOICED: (OrderAlreadyClosed, OrderAlreadyClosed, False, *(OrderAlreadyClosed,) * 2, True),
    State.CANCELLED: (OrderAlreadyClosed, False, *(OrderAlreadyClosed,) * 4),
}


@pytest.mark.parametrize("state", [State.RESERVED, State.CONFIRMED, State.PARTLY_INVOICED])
def test_only_an_expired_order_that_nobody_confirmed_is_to_be_scored_again(state: State) -> None:
    then = "score it again" if state is State.RESERVED else "score a new order instead"
    with pytest.raises(OrderNotApproved, match=f"order o1 expired; {then}$"):
        is_to_be_taken(OrderStep.AMENDED, state, has_expired=True, order="order o1")


def answer_to(step: OrderStep, state: State | None, *, has_expired: bool) -> bool | type[RiskError]:
    try:
        return is_to_be_taken(step, state, has_expired=has_expired, order="order o1")
    except RiskError as refusal:
        return type(refusal) if "order o1" in str(refusal) else RiskError


@pytest.mark.parametrize("state", [None, *State])
def test_every_step_has_one_answer_in_every_state(state: State | None) -> None:
    assert tuple(answer_to(step, state, has_expired=False) for step in OrderStep) == ANSWERS[state]


@pytest.mark.parametrize("state", [None, *State])
def test_an_order_whose_time_is_over_takes_no_step_but_what_gives_it_up(state: State | None) -> None:
    giving_up = {OrderStep.CANCELLED, OrderStep.RELEASED}
    for step, usual in zip(OrderStep, ANSWERS[state], strict=True):
        # What is invoiced holds nothing that could end.
        needs_time = usual is True and step not in giving_up and state is not State.INVOICED
        expected = OrderNotApproved if needs_time else usual
        assert answer_to(step, state, has_expired=True) == expected
