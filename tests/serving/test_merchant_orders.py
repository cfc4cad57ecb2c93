"""Which order a merchant's own number stands for, and where it is named: notices, forms, the console."""

import msgspec
import pytest

from serving.case_dossier import case_dossier
from serving.domain.errors import UnknownOrder
from serving.domain.order_numbers import OrderAddress, order_id_for
from serving.domain.review_case import Verdict
from serving.merchant_notices import stop_request_preview
from serving.stop_requesting import request_stop, view
from serving.store.case_search import cases_named
from serving.store.decision_log import append_decision
from serving.store.decision_search import DecisionFilter, find_decisions
from serving.store.deliveries import deliveries_of
from serving.store.merchant_orders import keep_number, order_id_at, order_under, orders_numbered
from serving.store.store import Store
from tests.serving.case_desk import MINUTE, CaseDesk, a_desk
from tests.serving.test_decision_search import a_decision


@pytest.fixture
def desk(store: Store) -> CaseDesk:
    """A desk with a case about an order that its merchant calls 1001."""
    return a_desk(store, merchant_order_number="1001")


def test_a_number_stands_for_an_order_of_its_merchant_alone(desk: CaseDesk) -> None:
    with desk.store.writing("test") as tx:
        keep_number(tx, merchant_id="m2", number="1001", order_id="o9")
        assert [order_under(tx, merchant, "1001") for merchant in ("m1", "m2", "m3")] == ["o1", "o9", None]
        assert orders_numbered(tx, "1001", 10) == ["o1", "o9"]
        assert order_id_at(tx, OrderAddress(name="1001", merchant_id="m1")) == "o1"
        # To its merchant a numbered order has no other name; to others our id is one.
        with pytest.raises(UnknownOrder, match="no decision was made about order o1"):
            order_id_at(tx, OrderAddress(name="o1", merchant_id="m1"))
        assert order_id_at(tx, OrderAddress(name="o1")) == "o1"


def test_an_order_without_a_number_is_found_by_its_order_id_by_its_merchant(store: Store) -> None:
    desk = a_desk(store)
    with desk.store.reading() as tx:
        assert [order_under(tx, merchant, "o1") for merchant in ("m1", "m2")] == ["o1", None]


def test_a_corrected_number_stands_for_the_order_as_well(desk: CaseDesk) -> None:
    with desk.store.reading() as tx:
        ((body,),) = tx.execute("SELECT body FROM ledger_events WHERE contract = 'orders'")
    row = msgspec.json.decode(body)
    desk.row(
        "orders", {**row, "event_id": "again", "corrects": row["event_id"], "merchant_order_number": "7"}
    )
    with desk.store.reading() as tx:
        assert [order_under(tx, "m1", number) for number in ("1001", "7")] == ["o1", "o1"]


def test_an_operator_finds_case_and_decisions_by_the_merchants_number(desk: CaseDesk) -> None:
    with desk.store.writing("test") as tx:
        append_decision(tx, a_decision(1))
        append_decision(tx, a_decision(2, order_id="o2"))
        assert [stored.case.case_id for stored in cases_named(tx, "1001")] == ["case1"]
        found = find_decisions(tx, DecisionFilter(name="1001"), before=None, limit=5).decisions
        assert [decision.order_id for decision in found] == ["o1"]
        assert cases_named(tx, "100") == []
    order = case_dossier(desk.scope, "case1", reviewer="ann", role="fraud").order
    assert order is not None
    assert order.merchant_order_number == "1001"


def test_the_merchant_is_asked_about_its_own_number(desk: CaseDesk) -> None:
    desk.decided(Verdict.STOP)
    desk.now += MINUTE
    with desk.store.writing("case-case1") as tx:
        request = request_stop(tx, desk.scope, "case1")
        assert request is not None
        (notice,) = deliveries_of(tx, request.stop_request_id)
        case = cases_named(tx, "case1")[0]
        preview = stop_request_preview(
            tx, desk.policy, order_id="o1", merchant_id="m1", stakes=case.stakes, now_ms=desk.now
        )
    data = msgspec.json.decode(notice.body)["data"]
    assert (data["order_id"], data["merchant_order_number"]) == ("o1", "1001")
    assert "1001" in data["text"]
    assert "1001" in preview.subject
    shown = view(desk.scope, request.stop_request_id, merchant_id="m1")
    assert (shown["order_id"], shown["merchant_order_number"]) == ("o1", "1001")


def test_the_order_id_that_we_make_is_an_id_and_tells_merchant_and_number_apart() -> None:
    made = {order_id_for(merchant, number) for merchant in ("m", "m1") for number in ("1", "11", "1-1")}
    assert len(made) == 6
    assert all(len(order_id) <= 64 for order_id in made)
