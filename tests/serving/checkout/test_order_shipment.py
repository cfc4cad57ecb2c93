"""A parcel leaves: with proof, or at the merchant's own risk, of which it hears before it matters."""

from typing import Any

import pytest

from data_contracts.instants import HOUR_MS, rfc3339
from serving.checkout.order_shipment import MerchantShippedOrderState
from serving.domain.decision import Outcome
from serving.domain.errors import (
    FieldsInvalid,
    IdempotencyConflict,
    LiabilityNotAccepted,
    OrderAlreadyClosed,
    OrderNotApproved,
    OrderStopRequested,
    UnknownOrder,
)
from serving.domain.merchant_answer import AnswerKind, MerchantAnswer
from serving.domain.order_numbers import OrderAddress
from serving.domain.order_step import OrderStep
from serving.domain.stop_request import StopRequest, StopRequestState
from serving.store.api_keys import Caller, Role
from serving.store.stop_requests import StoredStopRequest, insert_stop_request
from serving.store.store import Store
from tests.builders import a_merchant
from tests.serving.checkout.a_fulfilled_order import MERCHANT, FulfilledOrder, a_fulfilled_order

TRACKED = {"carrier": "PostNord", "tracking_number": "SE1"}


@pytest.fixture
def order(store: Store, database_url: str) -> FulfilledOrder:
    return a_fulfilled_order(store, database_url)


def shipped(order: FulfilledOrder) -> list[dict[str, Any]]:
    return [row for row in order.rows("order_events") if row["kind"] == "shipped"]


def test_a_tracked_parcel_is_a_row_of_the_ledger_and_the_same_one_again_changes_nothing(
    order: FulfilledOrder,
) -> None:
    first = order.ship(**TRACKED, key="k")
    (row,) = shipped(order)
    assert (row["carrier"], row["tracking_number"], row["order_id"]) == ("PostNord", "SE1", "o1")
    assert first.warnings == ()
    assert [(one.carrier, one.tracking_number) for one in first.shipments] == [("PostNord", "SE1")]
    assert order.ship(**TRACKED, key="k") == first
    assert order.ship(**TRACKED).shipments == first.shipments
    with pytest.raises(IdempotencyConflict):
        order.ship(carrier="PostNord", tracking_number="SE2", key="k")
    second = order.ship(carrier="DHL", tracking_number="JD1")
    assert [one.tracking_number for one in second.shipments] == ["SE1", "JD1"]
    assert len(shipped(order)) == 2


def test_who_ships_without_tracking_is_told_before_and_has_to_say_so(order: FulfilledOrder) -> None:
    for body in ({}, {"carrier": " ", "tracking_number": ""}):
        with pytest.raises(LiabilityNotAccepted, match="geht die Haftung für die Bestellung o1 auf Sie über"):
            order.ship(**body)
    assert shipped(order) == []
    at_risk = order.ship(accept_liability=True)
    (warning,) = at_risk.warnings
    assert (warning.code, "liegt bei Ihnen" in warning.text) == ("liability_is_merchants", True)
    assert order.ship(accept_liability=True).shipments == at_risk.shipments
    assert len(shipped(order)) == 1
    # Told again without accepting: it stands already, so nothing is asked anew.
    assert order.ship().warnings == at_risk.warnings
    assert order.ship(**TRACKED).warnings == ()


def test_the_warning_is_in_the_language_of_the_merchant_and_names_its_own_number(
    order: FulfilledOrder,
) -> None:
    order.desk.row("merchants", a_merchant(event_id="moved", at=order.desk.now, language="sv"))
    order.desk.decide("o2", "c1", merchant_order_number="R-7")
    with pytest.raises(LiabilityNotAccepted, match="order R-7 på er"):
        order.ship(to=OrderAddress(name="R-7", merchant_id="m1"), caller=MERCHANT)


def test_a_service_needs_no_tracking_number(order: FulfilledOrder) -> None:
    order.desk.decide("o2", "c1", kind="service")
    answer = order.ship(to=OrderAddress(name="o2", merchant_id=None))
    assert (len(answer.shipments), answer.warnings) == (1, ())


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"carrier": "PostNord"}, ["/tracking_number"]),
        ({"tracking_number": "SE1"}, ["/carrier"]),
        ({"carrier": "x" * 61, "tracking_number": "y" * 61}, ["/carrier", "/tracking_number"]),
        ({"carrier": 5, "accept_liability": "yes", "colour": "red"},
         ["/colour", "/carrier", "/accept_liability"]),
        ({**TRACKED, "shipped_at": "yesterday"}, ["/shipped_at"]),
        ({**TRACKED, "shipped_at": "2099-01-01T00:00:00Z"}, ["/shipped_at"]),
        ({**TRACKED, "shipped_at": "2020-01-01T00:00:00Z"}, ["/shipped_at"]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_by_its_field(
    order: FulfilledOrder, body: dict[str, Any], where: list[str]
) -> None:
    with pytest.raises(FieldsInvalid) as refused:
        order.ship(**body)
    assert [error.pointer for error in refused.value.errors] == where
    assert shipped(order) == []


def test_what_left_while_the_order_held_its_amount_may_be_told_later_and_no_other(
    order: FulfilledOrder,
) -> None:
    left_at = order.desk.now
    order.desk.now += order.desk.policy.reservation_hours_confirmed * HOUR_MS
    with pytest.raises(OrderNotApproved, match="expired"):
        order.ship(**TRACKED)
    order.ship(**TRACKED, shipped_at=rfc3339(left_at))
    assert [row["occurred_at"] for row in shipped(order)] == [left_at]


def test_only_an_approved_order_that_stands_is_shipped_and_only_its_own(order: FulfilledOrder) -> None:
    order.desk.customer("c2")
    order.desk.decide("declined", "nobody-knows")
    with pytest.raises(OrderNotApproved):
        order.ship(**TRACKED, to=OrderAddress(name="declined", merchant_id=None))
    with pytest.raises(UnknownOrder):
        order.ship(**TRACKED, caller=Caller(name="m-two", role=Role.MERCHANT, merchant_id="m2"))
    seen = order.ship(**TRACKED, caller=MERCHANT, to=OrderAddress(name="o1", merchant_id="m1"))
    assert isinstance(seen, MerchantShippedOrderState)
    order.invoice(20_000)
    assert order.ship(carrier="DHL", tracking_number="JD1").outcome is Outcome.APPROVED
    order.desk.decide("o3", "c1")
    address = OrderAddress(name="o3", merchant_id=None)
    order.step(OrderStep.CANCELLED, of=address)
    with pytest.raises(OrderAlreadyClosed):
        order.ship(**TRACKED, to=address)


def asked_to_stop(order: FulfilledOrder, state: StopRequestState, kind: AnswerKind | None) -> None:
    now = order.desk.now
    answers = () if kind is None else (
        MerchantAnswer(kind=kind, carrier=None, tracking_number=None, answered_at_ms=now, note=None),
    )  # fmt: skip
    request = StopRequest(
        stop_request_id="stp_1", order_id="o1", merchant_id="m1", state=state, requested_at_ms=now,
        first_delivered_at_ms=None, answer_due_at_ms=None, answers=answers,
    )  # fmt: skip
    with order.desk.store.writing("test") as tx:
        insert_stop_request(tx, StoredStopRequest(request=request, case_id="case1", version=1))


@pytest.mark.parametrize(
    ("state", "kind", "may_leave"),
    [
        (StopRequestState.REQUESTED, None, False),
        (StopRequestState.EXPIRED, None, False),
        (StopRequestState.ANSWERED, AnswerKind.STOPPED_BEFORE_SHIPPING, False),
        (StopRequestState.ANSWERED, AnswerKind.SERVICE_CUT, False),
        (StopRequestState.ANSWERED, AnswerKind.SHIPPED_WITH_TRACKING, True),
        (StopRequestState.ANSWERED, AnswerKind.SHIPPED_WITHOUT_TRACKING, True),
        (StopRequestState.WITHDRAWN, None, True),
    ],
)
def test_an_order_that_is_to_be_stopped_does_not_leave(
    order: FulfilledOrder, state: StopRequestState, kind: AnswerKind | None, may_leave: bool
) -> None:
    asked_to_stop(order, state, kind)
    if may_leave:
        assert order.ship(**TRACKED).warnings == ()
    else:
        with pytest.raises(OrderStopRequested, match="o1 anzuhalten"):
            order.ship(**TRACKED)
    assert len(shipped(order)) == may_leave
