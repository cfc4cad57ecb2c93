"""What happens after an order, asked of the running service by those whose part it is."""

import pytest

from serving.store.api_keys import create_key
from serving.store.open_store import open_store
from serving.store.store import now_ms
from tests.builders import Row, an_invoice
from tests.serving.http.conftest import Shop, as_event


@pytest.fixture(scope="module")
def portal_key(shop: Shop) -> str:
    store = open_store(shop.settings.database_url)
    try:
        return create_key(store, name="returns-app", role="portal", merchant_id=None, now_ms=now_ms())
    finally:
        store.close()


def an_invoiced_order(shop: Shop, order_id: str, customer_id: str) -> None:
    shop.customer(customer_id)
    shop.score(order_id, customer_id, amount_cents=10_000, vat_cents=0, merchant_order_number=f"N-{order_id}")
    shop.post(f"/v1/orders/{order_id}/confirm")
    invoice = an_invoice(f"i-{order_id}", customer_id, at=now_ms(), amount_cents=10_000, order_id=order_id)
    shop.events(as_event("invoices", invoice))


def test_goods_leave_and_come_back_and_the_next_order_has_the_room_again(shop: Shop, portal_key: str) -> None:
    an_invoiced_order(shop, "o-goods-back", "sender-back")
    own = "/v1/orders/N-o-goods-back"
    refused = shop.post(f"{own}/ship", {}, key=shop.merchant_key)
    assert (refused.status_code, refused.json()["type"]) == (
        409,
        "urn:bonitas:problem:liability-not-accepted",
    )
    assert "N-o-goods-back" in refused.json()["detail"]
    body = {"carrier": "PostNord", "tracking_number": "SE1"}
    shipped = shop.post(f"{own}/ship", body, key=shop.merchant_key).json()
    assert (shipped["warnings"], shipped["shipments"][0]["tracking_number"]) == ([], "SE1")
    before = shop.score("o-goods-before", "sender-back")["available_cents"]
    shop.post("/v1/orders/o-goods-before/cancel")

    sent = {"customer_id": "sender-back", "amount_cents": 6_000, "tracking_number": "R1"}
    announced = shop.post("/v1/orders/o-goods-back/returns", sent, key=portal_key).json()
    assert (announced["state"], announced["paused_invoices"]) == ("announced", ["i-o-goods-back"])
    goods = f"/v1/returns/{announced['return_id']}"
    assert shop.get("/v1/returns?state=announced", key=shop.merchant_key).json()["returns"] == [
        shop.get(goods, key=shop.merchant_key).json()
    ]
    assert shop.get(f"{goods}?customer_id=sender-back", key=portal_key).json() == announced
    booked = shop.post(f"{goods}/book", {"return_fee_cents": 500}, key=shop.merchant_key).json()
    assert (booked["state"], booked["booked_cents"], "paused_invoices" in booked) == ("booked", 6_000, False)
    shown: list[Row] = shop.get("/v1/customers/sender-back/returns", key=portal_key).json()["returns"]
    assert [(one["state"], one["paused_invoices"]) for one in shown] == [("booked", [])]
    assert shop.score("o-goods-after", "sender-back")["available_cents"] == before + 5_500

    credit = {"reason": "goodwill", "amount_cents": 4_501}
    too_much = shop.post(f"{own}/credit", credit, key=shop.merchant_key)
    assert (too_much.status_code, too_much.json()["type"]) == (
        409,
        "urn:bonitas:problem:credit-above-invoiced",
    )
    let_off = shop.post(f"{own}/credit", {**credit, "amount_cents": 4_500}, key=shop.merchant_key).json()
    assert (let_off["still_invoiced_cents"], "refunded_cents" in let_off) == (0, False)


def test_each_role_has_its_part_and_a_portal_its_named_customer(shop: Shop, portal_key: str) -> None:
    an_invoiced_order(shop, "o-goods-parts", "sender-parts")
    announce = "/v1/orders/o-goods-parts/returns"
    for key in (shop.checkout_key, shop.merchant_key, shop.ledger_key):
        assert shop.post(announce, {"customer_id": "sender-parts"}, key=key).status_code == 403
    for path in ("ship", "credit"):
        assert shop.post(f"/v1/orders/o-goods-parts/{path}", {}, key=portal_key).status_code == 403
    assert shop.post(announce, {"customer_id": "somebody-else"}, key=portal_key).status_code == 404
    wrong = shop.post(announce, {"customer_id": 5, "amount_cents": 0, "colour": "red"}, key=portal_key)
    assert wrong.status_code == 422
    assert [error["pointer"] for error in wrong.json()["errors"]] == [
        "/colour",
        "/customer_id",
        "/amount_cents",
    ]
    by_number = {"customer_id": "sender-parts", "amount_cents": 100}
    made = shop.post("/v1/orders/N-o-goods-parts/returns?merchant_id=m1", by_number, key=portal_key).json()
    goods = f"/v1/returns/{made['return_id']}"
    assert shop.post(f"{goods}/book", {}, key=portal_key).status_code == 403
    shown = shop.get("/v1/orders/o-goods-parts?customer_id=sender-parts", key=portal_key).json()
    assert (shown["owed_cents"], shown["invoices"][0]["invoice_id"]) == (10_000, "i-o-goods-parts")
    assert shown["invoices"][0]["paused_since"] == made["announced_at"]
    for query in ("", "?customer_id=somebody-else"):
        assert shop.get(f"/v1/orders/o-goods-parts{query}", key=portal_key).status_code == 404
    for key in (portal_key, shop.other_merchant_key):
        assert shop.get(goods, key=key).status_code == 404
    assert shop.get(f"{goods}?customer_id=somebody-else", key=portal_key).status_code == 404
    assert shop.post(f"{goods}/confirm", key=shop.ledger_key).json()["confirmed_at"]
    assert shop.post(f"{goods}/confirm", key=shop.other_merchant_key).status_code == 404


def test_a_portal_asks_for_a_review_for_the_customer_it_names_and_for_nobody_else(
    shop: Shop, portal_key: str
) -> None:
    shop.customer("refused-app", identity_status="unverified")
    declined = shop.score("o-goods-refused-app", "refused-app")
    path = f"/v1/decisions/{declined['decision_id']}/review-request"
    for body in ({}, {"customer_id": "somebody-else"}):
        assert shop.post(path, body, key=portal_key).status_code == 404
    assert shop.post(path, {"customer_id": "somebody-else"}).status_code == 404
    asked = shop.post(path, {"customer_id": "refused-app", "note": "It is verified."}, key=portal_key)
    assert (asked.status_code, asked.json()["state"]) == (202, "review_requested")
