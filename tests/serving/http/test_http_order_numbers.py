"""A merchant names its orders by numbers of its own: they collide with nobody's, and tell of nobody's."""

import pytest

from serving.checkout.replay import replay
from serving.domain.order_numbers import order_id_for
from serving.in_force.model_watch import ModelRegistry
from serving.store.open_store import open_store
from serving.store.store import now_ms
from tests.builders import DAY, an_order
from tests.serving.http.conftest import Row, Shop, as_event, order_body
from tests.serving.http.test_http_score import pointers


def numbered(number: str, customer_id: str, **changes: object) -> Row:
    """The body of an order that is named by its merchant's number alone."""
    body = order_body("", customer_id, merchant_order_number=number, **changes)
    del body["order_id"]
    return body


def decided(shop: Shop, body: Row, key: str | None = None, **headers: str) -> Row:
    answer = shop.post("/v1/score", body, key=key, **headers)
    assert answer.status_code == 200, answer.text
    document: Row = answer.json()
    return document


def test_two_merchants_use_one_number_and_neither_learns_of_the_others_order(shop: Shop) -> None:
    shop.customer("of-two-shops")
    keys = {"m1": shop.merchant_key, "m2": shop.other_merchant_key}
    bodies = {
        merchant: numbered("1001", "of-two-shops", merchant_id=merchant, amount_cents=2_500)
        for merchant in keys
    }
    # The other one's number is nothing to a merchant before it has an order of its own under it.
    first = decided(shop, bodies["m1"], keys["m1"], Idempotency_Key="two-1")
    assert shop.get("/v1/orders/1001", key=keys["m2"]).status_code == 404
    assert shop.post("/v1/orders/1001/confirm", key=keys["m2"]).status_code == 404
    second = decided(shop, bodies["m2"], keys["m2"], Idempotency_Key="two-1")
    assert (first["outcome"], second["outcome"]) == ("approved", "approved")
    assert (first["merchant_order_number"], second["merchant_order_number"]) == ("1001", "1001")
    assert first["order_id"] != second["order_id"]
    assert decided(shop, bodies["m1"], keys["m1"], Idempotency_Key="two-1") == first
    assert shop.post("/v1/orders/1001/cancel", key=keys["m2"]).json()["order_id"] == second["order_id"]
    assert shop.get(f"/v1/orders/{first['order_id']}").json()["state"] == "reserved"
    assert shop.post("/v1/orders/1001/confirm", key=keys["m1"]).json()["order_id"] == first["order_id"]
    assert shop.get(f"/v1/orders/{first['order_id']}").json()["state"] == "confirmed"
    # Our ids, of whomever, name nothing to a merchant's key; nor does another merchant in the query.
    for path in (second["order_id"], first["order_id"], "1001?merchant_id=m2"):
        unknown = shop.get(f"/v1/orders/{path}", key=keys["m1"])
        assert unknown.status_code == 404, unknown.text


def test_a_merchants_number_that_is_anothers_order_id_is_its_own_order(shop: Shop) -> None:
    shop.customer("squatted")
    others = shop.score("o-squat", "squatted", merchant_id="m2", amount_cents=1_000, vat_cents=0)
    assert others["merchant_order_number"] is None
    body = order_body("o-squat", "squatted", amount_cents=2_500)
    # A merchant's `order_id`, as it was sent before there were numbers, is its number.
    own = decided(shop, body, shop.merchant_key)
    assert (own["outcome"], own["merchant_order_number"]) == ("approved", "o-squat")
    assert own["order_id"] == order_id_for("m1", "o-squat")
    assert shop.get("/v1/orders/o-squat", key=shop.merchant_key).json() == own
    assert shop.get("/v1/orders/o-squat").json()["merchant_id"] == "m2"


def test_a_checkout_names_an_order_by_order_id_or_by_merchant_and_number(shop: Shop) -> None:
    shop.customer("by-number")
    by_checkout = decided(shop, numbered("A-7", "by-number", amount_cents=4_000))
    assert by_checkout["order_id"] == order_id_for("m1", "A-7")
    assert by_checkout["available_cents"] == by_checkout["limit_cents"]
    # The merchant's own key, the number and our id all mean the one order: its amount is replaced.
    again = decided(shop, numbered("A-7", "by-number", amount_cents=2_500), shop.merchant_key)
    assert again["order_id"] == by_checkout["order_id"]
    look = shop.post("/v1/precheck", numbered("A-7", "by-number")).json()
    assert look["available_cents"] == by_checkout["limit_cents"]
    shown = shop.get("/v1/orders/A-7?merchant_id=m1").json()
    assert shown == shop.get(f"/v1/orders/{again['order_id']}").json()
    assert (shown["merchant_order_number"], shown["reserved_cents"]) == ("A-7", 2_500)
    assert shop.get("/v1/orders/A-7").status_code == 404
    assert shop.get("/v1/orders/A-7?merchant_id=m2").status_code == 404
    confirmed = shop.post("/v1/orders/A-7/confirm?merchant_id=m1", Idempotency_Key="by-number-1")
    assert confirmed.json()["state"] == "confirmed"
    assert shop.post("/v1/orders/A-7/confirm", key=shop.merchant_key).status_code == 200


def test_an_order_of_a_checkout_carries_both_and_a_number_stands_for_one_order(shop: Shop) -> None:
    shop.customer("with-both")
    both = order_body("o-both", "with-both", merchant_order_number="B-1", amount_cents=1_000, vat_cents=0)
    assert decided(shop, both)["order_id"] == "o-both"
    assert decided(shop, both)["order_id"] == "o-both"
    assert shop.get("/v1/orders/B-1", key=shop.merchant_key).json()["order_id"] == "o-both"
    assert decided(shop, numbered("B-1", "with-both"), shop.merchant_key)["order_id"] == "o-both"
    taken = shop.post("/v1/score", {**both, "order_id": "o-both-2"})
    assert (taken.status_code, taken.json()["title"]) == (
        409,
        "The merchant's number belongs to another order",
    )
    # Of another merchant the same number is free.
    assert decided(shop, {**both, "order_id": "o-both-3", "merchant_id": "m2"})["order_id"] == "o-both-3"


def test_an_order_from_before_there_were_numbers_keeps_its_order_id_as_number(shop: Shop) -> None:
    shop.customer("from-before")
    first = shop.score("o-before", "from-before", amount_cents=1_000, vat_cents=0)
    shown = shop.get("/v1/orders/o-before", key=shop.merchant_key).json()
    assert (shown["order_id"], shown["decision_id"]) == ("o-before", first["decision_id"])
    again = decided(shop, numbered("o-before", "from-before"), shop.merchant_key)
    assert again["order_id"] == "o-before"
    confirmed = shop.post("/v1/orders/o-before/confirm", key=shop.merchant_key)
    assert confirmed.status_code == 200
    assert shop.get("/v1/orders/o-before").json()["state"] == "confirmed"


@pytest.mark.parametrize("sent_by", ["checkout", "merchant", "other merchant"])
def test_nobody_takes_the_order_id_that_we_make_for_a_number(shop: Shop, sent_by: str) -> None:
    key, merchant_id = {
        "checkout": (shop.checkout_key, "m1"),
        "merchant": (shop.merchant_key, "m1"),
        "other merchant": (shop.other_merchant_key, "m2"),
    }[sent_by]
    made = order_id_for("m1", "9009")
    for number in (None, "9010"):
        body = order_body(made, "squatter", merchant_id=merchant_id, merchant_order_number=number)
        if sent_by != "checkout" and number is None:
            # To a merchant's key that is but a number of its own.
            own = decided(shop, body, key)
            assert own["order_id"] == order_id_for(merchant_id, made) != made
            continue
        refused = shop.post("/v1/score", body, key=key)
        assert (refused.status_code, pointers(refused)) == (422, {"/order_id"})
    if sent_by == "checkout":
        right = order_body(made, "squatter", merchant_order_number="9009")
        assert decided(shop, right)["order_id"] == made


def test_a_feed_takes_no_order_id_that_we_make_for_another(shop: Shop) -> None:
    shop.customer("fed-orders")
    made = order_id_for("m1", "8008")
    at = now_ms() - DAY
    fed = [
        as_event("orders", {**an_order(made, "fed-orders", at=at, event_id=f"fed-{place}"), **more})
        for place, more in enumerate(
            (
                {},
                {"merchant_order_number": "8009"},
                {"merchant_order_number": "8008", "merchant_id": "m2"},
                {"merchant_order_number": "8008"},
            )
        )
    ]
    results = shop.post("/v1/events", {"events": fed}).json()["results"]
    assert [result["status"] for result in results] == ["rejected"] * 3 + ["accepted"]
    assert {result["errors"][0]["pointer"][-9:] for result in results[:3]} == {"/order_id"}


def test_what_is_wrong_with_a_number_is_said_of_the_field_that_was_sent(shop: Shop) -> None:
    for key, body, where in (
        (shop.merchant_key, numbered("no number", "c"), "/merchant_order_number"),
        (shop.merchant_key, order_body("no number", "c"), "/order_id"),
        (shop.merchant_key, {**numbered("", "c"), "merchant_order_number": None}, "/merchant_order_number"),
        (shop.checkout_key, {**numbered("", "c"), "merchant_order_number": None}, "/order_id"),
        (shop.checkout_key, numbered("x" * 65, "c"), "/merchant_order_number"),
    ):
        refused = shop.post("/v1/score", body, key=key)
        assert (refused.status_code, pointers(refused)) == (422, {where})


def test_a_decision_about_a_numbered_order_replays(shop: Shop) -> None:
    shop.customer("numbered-replay")
    ids = [
        decided(shop, numbered("R-1", "numbered-replay"))["decision_id"],
        decided(shop, numbered("R-2", "numbered-replay"), shop.merchant_key)["decision_id"],
    ]
    store = open_store(shop.settings.database_url)
    registry = ModelRegistry(shop.settings.mlflow_uri, shop.settings.artifact_root)
    try:
        for decision_id in ids:
            result = replay(store, registry, decision_id)
            assert result.is_identical, result.to_json()
    finally:
        store.close()
