"""Which order a merchant's own number stands for, and where it is named: notices, forms, the console."""

from pathlib import Path

import msgspec
import pytest

from data_contracts.between_rows.arrivals import AppendStatus
from data_contracts.rules import Rule
from serving.cases.case_dossier import case_dossier
from serving.domain.errors import UnknownOrder
from serving.domain.order_numbers import OrderAddress, order_id_for
from serving.domain.review_case import Verdict
from serving.stop_requests.merchant_notices import stop_request_preview
from serving.stop_requests.stop_requesting import request_stop, view
from serving.store.case_search import cases_named
from serving.store.decision_log import append_decision
from serving.store.decision_search import DecisionFilter, find_decisions
from serving.store.deliveries import deliveries_of
from serving.store.loading import load_folder
from serving.store.merchant_orders import keep_number, order_id_at, order_under, orders_numbered
from serving.store.store import Store
from tests.builders import DAY, Row, a_customer, a_merchant, an_order, write_ledger
from tests.serving.case_desk import MINUTE, CaseDesk, a_desk
from tests.serving.store.test_decision_search import a_decision
from tests.serving.store.test_store import NOW, T0, append_row


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
    assert (shown.order_id, shown.merchant_order_number) == ("o1", "1001")


def test_the_order_id_that_we_make_is_an_id_and_tells_merchant_and_number_apart() -> None:
    made = {order_id_for(merchant, number) for merchant in ("m", "m1") for number in ("1", "11", "1-1")}
    assert len(made) == 6
    assert all(len(order_id) <= 64 for order_id in made)


def numbered(order_id: str, number: str, **changes: str) -> Row:
    row = an_order(order_id, at=T0, event_id=f"order-{order_id}", **changes)
    return {**row, "merchant_order_number": number}


def with_merchants(store: Store) -> None:
    for merchant_id in ("m1", "m2"):
        append_row(
            store, "merchants", a_merchant(merchant_id, event_id=f"merchant-{merchant_id}", at=T0 - DAY)
        )
    append_row(store, "customers", a_customer(at=T0 - DAY))


def test_a_number_is_unique_at_its_merchant_until_it_is_corrected_away(store: Store) -> None:
    with_merchants(store)
    assert append_row(store, "orders", numbered("o1", "1")).status is AppendStatus.ACCEPTED
    assert append_row(store, "orders", numbered("o2", "1", merchant_id="m2")).status is AppendStatus.ACCEPTED
    taken = append_row(store, "orders", numbered("o3", "1"))
    assert (taken.rule, taken.column) == (Rule.MERCHANT_ORDER_NUMBER_REUSED, "merchant_order_number")
    same_number = {**numbered("o1", "1"), "event_id": "again", "corrects": "order-o1"}
    assert append_row(store, "orders", same_number).status is AppendStatus.ACCEPTED
    freed = append_row(store, "orders", {**numbered("o1", "9"), "event_id": "freed", "corrects": "again"})
    assert [entered.event_id for entered in freed.readmitted] == ["order-o3"]
    with store.reading() as tx:
        assert [order_under(tx, "m1", number) for number in ("1", "9")] == ["o3", "o1"]
        assert order_under(tx, "m2", "1") == "o2"


def test_a_number_of_the_ledger_stands_for_no_other_order_of_a_folder(store: Store, tmp_path: Path) -> None:
    with_merchants(store)
    append_row(store, "orders", numbered("o1", "1"))
    others = numbered("o2", "1", customer_id="c2"), numbered("o3", "1", customer_id="c2", merchant_id="m2")
    again = numbered("o4", "4", customer_id="c2"), numbered("o5", "4", customer_id="c3")
    book = {
        "merchants": [
            a_merchant(merchant, event_id=f"merchant-{merchant}", at=T0 - DAY) for merchant in ("m1", "m2")
        ],
        "customers": [a_customer(name, event_id=f"customer-{name}", at=T0 - DAY) for name in ("c2", "c3")],
        "orders": [{**row, "recorded_at": T0 + place} for place, row in enumerate((*others, *again))],
    }
    result = load_folder(store, write_ledger(tmp_path / "book", book), now_ms=NOW)
    refused = {refusal["event_id"]: refusal["reason"].split(":")[0] for refusal in result.refused}
    assert refused == dict.fromkeys(["order-o2", "order-o5"], "merchant_order_number_reused")
    with store.reading() as tx:
        found = [order_under(tx, *named) for named in (("m1", "1"), ("m2", "1"), ("m1", "4"))]
    assert found == ["o1", "o3", "o4"]
