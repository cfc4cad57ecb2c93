"""A merchant's own key finds out no limit, does not use one up, and does not ask without end."""

from serving.checkout.replay import replay
from serving.domain.order_numbers import order_id_for
from serving.domain.policy_reader import parse_policy
from serving.in_force.model_watch import ModelRegistry
from serving.in_force.policy_activation import POLICY_FILE
from serving.store.api_keys import Role
from serving.store.open_store import open_store
from serving.store.reservations import reservation_of
from tests.serving.http.conftest import Row, Shop, order_body

BOUNDS = parse_policy(POLICY_FILE.read_text()).merchant_keys
assert BOUNDS is not None
PER_HOUR = BOUNDS.questions_per_customer_hour


def asked(shop: Shop, path: str, order_id: str, customer_id: str, cents: int, **more: str) -> Row:
    """A merchant's own key asks."""
    body = order_body(order_id, customer_id, amount_cents=cents, vat_cents=0)
    answer = shop.post(path, body, key=shop.merchant_key, **more)
    assert answer.status_code == 200, answer.text
    document: Row = answer.json()
    assert not {"limit_cents", "available_cents", "reasons", "recourse", "score"} & set(document)
    return document


def available(shop: Shop, customer_id: str) -> int:
    cents: int = shop.post("/v1/precheck", order_body("o-look", customer_id)).json()["available_cents"]
    return cents


def test_prechecks_and_orders_of_a_merchants_key_tell_limits_between_two_steps_from_each_other_never(
    shop: Shop,
) -> None:
    told = []
    for customer_id, used_cents in (("searched-1", 0), ("searched-2", 1_234)):
        shop.customer(customer_id)
        if used_cents:
            shop.score(f"o-{customer_id}-used", customer_id, amount_cents=used_cents, vat_cents=0)
        limit_cents = available(shop, customer_id) + used_cents
        up_to = BOUNDS.largest_step_within(limit_cents * BOUNDS.unconfirmed_share_percent // 100)
        amounts = (up_to, up_to + 1, limit_cents - 1_234, limit_cents, limit_cents + 1)
        asks = [asked(shop, "/v1/precheck", "o-search", customer_id, cents)["outcome"] for cents in amounts]
        orders = [
            asked(shop, "/v1/score", f"o-{customer_id}", customer_id, cents)["outcome"]
            for cents in reversed(amounts[:4])
        ]
        assert (asks, orders) == (["approved", *["declined"] * 4], [*["declined"] * 3, "approved"])
        told.append((asks, orders))
    assert told[0] == told[1]
    assert available(shop, "searched-1") > 0


def test_a_merchants_key_asks_about_a_customer_so_often_and_no_more(shop: Shop) -> None:
    shop.customer("asked-about")
    shop.customer("asked-about-2")
    for number in range(PER_HOUR):
        asked(shop, "/v1/precheck", f"o-ask-{number}", "asked-about", 1_000 + number)
    scored = asked(shop, "/v1/score", "o-asked", "asked-about", 2_500, Idempotency_Key="asked-1")
    for number in range(PER_HOUR - 1):
        asked(shop, "/v1/score", "o-asked", "asked-about", 2_400 + number)
    for path in ("/v1/precheck", "/v1/score"):
        refused = shop.post(path, order_body("o-asked-2", "asked-about"), key=shop.merchant_key)
        assert refused.status_code == 429, refused.text
        assert refused.json()["type"] == "urn:bonitas:problem:too-many-questions"
        assert 3_500 < int(refused.headers["retry-after"]) <= 3_600
    refused = shop.post("/score", order_body("o-asked-2", "asked-about"), key=shop.merchant_key)
    assert refused.status_code == 429
    assert shop.get("/v1/orders/o-asked-2").status_code == 404
    # The same request again is no question, and who else asks is not held up.
    assert asked(shop, "/v1/score", "o-asked", "asked-about", 2_500, Idempotency_Key="asked-1") == scored
    asked(shop, "/v1/precheck", "o-ask", "asked-about-2", 1_000)
    body = order_body("o-ask", "asked-about", merchant_id="m2")
    assert shop.post("/v1/precheck", body, key=shop.other_merchant_key).status_code == 200
    assert shop.score("o-asked-3", "asked-about", amount_cents=1_000, vat_cents=0)["outcome"] == "approved"


def test_orders_of_a_merchants_key_hold_a_share_for_half_an_hour_and_so_many_at_once(shop: Shop) -> None:
    shop.customer("held")
    limit_cents = available(shop, "held")
    most = limit_cents * BOUNDS.unconfirmed_share_percent // 100
    decisions = [asked(shop, "/v1/score", f"o-held-{number}", "held", 2_500) for number in range(4)]
    assert [decision["outcome"] for decision in decisions] == ["approved"] * 3 + ["declined"]
    whole = shop.get(f"/v1/decisions/{decisions[3]['decision_id']}").json()
    assert [rule["code"] for rule in whole["failed_rules"]] == ["merchant_orders_open"]
    assert (whole["reasons"][0]["field"], whole["recourse"][0]["code"]) == (None, "finish_open_orders")
    shop.post("/v1/orders/o-held-0/cancel", key=shop.merchant_key)
    decisions.append(asked(shop, "/v1/score", "o-held-4", "held", limit_cents - 7_500))
    whole = shop.get(f"/v1/decisions/{decisions[4]['decision_id']}").json()
    assert [rule["code"] for rule in whole["failed_rules"]] == ["merchant_order_amount"]
    most_now = (BOUNDS.largest_step_within(most) - 5_000) // 100
    assert f"bis {most_now},00 EUR möglich" in whole["reasons"][0]["text"]
    # Others still have the rest, and what was begun ends by itself.
    assert available(shop, "held") == limit_cents - 5_000
    rest = shop.score("o-held-rest", "held", amount_cents=limit_cents - 5_000, vat_cents=0)
    assert rest["outcome"] == "approved"
    store = open_store(shop.settings.database_url)
    registry = ModelRegistry(shop.settings.mlflow_uri, shop.settings.artifact_root)
    try:
        with store.reading() as tx:
            by_key, by_checkout = (
                reservation_of(tx, "held", order_id_for("m1", "o-held-1")),
                reservation_of(tx, "held", "o-held-rest"),
            )
            assert by_key is not None
            assert by_checkout is not None
        assert (by_key.placed_by, by_checkout.placed_by) == (Role.MERCHANT, Role.CHECKOUT)
        assert 23 * 3_600_000 < by_checkout.expires_at_ms - by_key.expires_at_ms <= 24 * 3_600_000
        for decision in decisions:
            result = replay(store, registry, decision["decision_id"])
            assert result.is_identical, result.to_json()
    finally:
        store.close()
