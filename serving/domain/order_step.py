"""What may be done to an order after its decision: one table of states and steps."""

import enum

from serving.domain.errors import OrderAlreadyClosed, OrderNotApproved, OrderNotConfirmed, OrderNotInvoiced
from serving.domain.reservation import HOLDING, ReservationState


class OrderStep(enum.StrEnum):
    """The steps, by the kind of the ledger row that keeps each.

    CONFIRMED: the customer has ordered. CANCELLED: the order will not be. RELEASED: what of it is not
    invoiced will not be. EXTENDED: it holds its part of the limit for longer. AMENDED: it comes to another
    amount, or goes to another address. SHIPPED: goods of it left the merchant.
    """

    CONFIRMED = "confirmed"
    CANCELLED = "cancelled"
    RELEASED = "released"
    EXTENDED = "extended"
    AMENDED = "amended"
    SHIPPED = "shipped"


_REFUSALS = {
    (OrderStep.RELEASED, ReservationState.RESERVED): OrderNotInvoiced,
    (OrderStep.RELEASED, ReservationState.CONFIRMED): OrderNotInvoiced,
    (OrderStep.EXTENDED, ReservationState.RESERVED): OrderNotConfirmed,
}
_WHY_NOT = {
    OrderNotInvoiced: "has no invoice yet: cancel it instead",
    OrderNotConfirmed: "is not confirmed: confirm it instead",
}
_TAKEN = frozenset(
    {
        (OrderStep.CONFIRMED, ReservationState.RESERVED),
        (OrderStep.CANCELLED, ReservationState.RESERVED),
        (OrderStep.CANCELLED, ReservationState.CONFIRMED),
        (OrderStep.RELEASED, ReservationState.PARTLY_INVOICED),
        (OrderStep.EXTENDED, ReservationState.CONFIRMED),
        (OrderStep.EXTENDED, ReservationState.PARTLY_INVOICED),
        (OrderStep.AMENDED, ReservationState.RESERVED),
        (OrderStep.AMENDED, ReservationState.CONFIRMED),
        (OrderStep.AMENDED, ReservationState.PARTLY_INVOICED),
        (OrderStep.SHIPPED, ReservationState.RESERVED),
        (OrderStep.SHIPPED, ReservationState.CONFIRMED),
        (OrderStep.SHIPPED, ReservationState.PARTLY_INVOICED),
        (OrderStep.SHIPPED, ReservationState.INVOICED),
    }
)
_DONE_ALREADY = frozenset(
    {
        (OrderStep.CONFIRMED, ReservationState.CONFIRMED),
        (OrderStep.CANCELLED, ReservationState.CANCELLED),
        (OrderStep.RELEASED, ReservationState.INVOICED),
    }
)
_NEED_TIME_LEFT = frozenset({OrderStep.CONFIRMED, OrderStep.EXTENDED, OrderStep.AMENDED, OrderStep.SHIPPED})


def is_to_be_taken(step: OrderStep, state: ReservationState | None, *, has_expired: bool, order: str) -> bool:
    """Whether a step changes an order; False where it is as the step would leave it.

    state: of its reservation; None where it never had one. order: in words, for the message.
    Raises OrderNotApproved (also where its reservation expired), OrderNotConfirmed, OrderNotInvoiced,
    OrderAlreadyClosed.
    """
    if state is None or state is ReservationState.RELEASED:
        raise OrderNotApproved(f"{order} is not approved")
    if (step, state) in _DONE_ALREADY:
        return False
    if (step, state) in _TAKEN:
        if has_expired and state in HOLDING and step in _NEED_TIME_LEFT:
            # Only what nobody confirmed can be scored again.
            then = "score it again" if state is ReservationState.RESERVED else "score a new order instead"
            raise OrderNotApproved(f"the reservation of {order} expired; {then}")
        return True
    refusal = _REFUSALS.get((step, state))
    if refusal is not None:
        raise refusal(f"{order} {_WHY_NOT[refusal]}")
    rest = "; its rest can be released" if state in HOLDING else ""
    raise OrderAlreadyClosed(f"{order} is {state.value.replace('_', ' ')}{rest}")
