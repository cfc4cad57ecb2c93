import json
from typing import Any

import pytest

from serving.benchmarks.stage_figures import stage_times, times_between
from serving.checkout.score_stages import Stage
from serving.store.store import now_ms
from tests.builders import DAY, a_payment, a_row, an_invoice, an_order
from tests.serving.http.conftest import (
    ONLY_FOR_TRAINING,
    Shop,
    as_event,
    order_body,
    packages_with_libraries,
    processes_below,
)

WHOLE_ANSWER = {
    "decision_id",
    "order_id",
    "merchant_order_number",
    "outcome",
    "score",
    "probability_of_default",
    "limit_cents",
    "available_cents",
    "limit_basis",
    "reasons",
    "failed_rules",
    "alternatives",
    "recourse",
    "model",
    "policy_version",
    "decided_at",
    "reserved_until",
    "degraded",
}


def pointers(answer: Any) -> set[str]:
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == answer.status_code
    return {error["pointer"] for error in answer.json().get("errors", [])}


def test_no_process_of_a_server_that_decides_by_boosted_trees_has_loaded_what_only_training_needs(
    shop: Shop,
) -> None:
    loaded = [packages_with_libraries(process) for process in processes_below(shop.server.process_id)]
    assert any("lightgbm" in packages for packages in loaded)
    for packages in loaded:
        assert not packages & ONLY_FOR_TRAINING


def test_a_verified_stranger_is_approved_and_the_checkout_sees_the_whole_answer(shop: Shop) -> None:
    shop.customer("stranger")
    answer = shop.score("o-stranger", "stranger")
    assert answer["outcome"] == "approved"
    assert set(answer) == WHOLE_ANSWER
    assert answer["model"] == {"name": "invoice-eligibility", "version": "1"}
    assert answer["alternatives"] == []
    assert 100 <= answer["score"] <= 999
    assert shop.get(f"/v1/decisions/{answer['decision_id']}").json() == answer


def test_a_refusal_by_score_names_reasons_in_the_language_asked_for(shop: Shop) -> None:
    shop.customer("late")
    start = now_ms() - 300 * DAY
    for month in range(6):
        at = start + month * 30 * DAY
        ids = {"order_id": f"o-late-{month}"}
        shop.events(
            as_event("orders", an_order(f"o-late-{month}", "late", at=at)),
            as_event("invoices", an_invoice(f"i-late-{month}", "late", at=at, **ids)),
            as_event("invoice_payments", a_payment(f"i-late-{month}", "late", at=at + 60 * DAY)),
        )
    german = shop.score("o-late-new", "late", language="de")
    assert german["outcome"] == "declined"
    assert 1 <= len(german["reasons"]) <= 4
    assert german["reasons"][0]["code"] == "late_payments"
    assert "verspätet" in german["reasons"][0]["text"]
    assert german["alternatives"]
    english = shop.post("/v1/score", order_body("o-late-new", "late"), Accept_Language="en-GB,en").json()
    assert "late" in english["reasons"][0]["text"]


def test_an_implausible_address_is_declined_and_names_the_field(shop: Shop) -> None:
    shop.customer("hasty")
    body = order_body("o-hasty", "hasty")
    body["delivery"]["house_number"] = ""
    body["billing"]["name"] = "Erika 2 Mustermann"
    answer = shop.post("/v1/score", body).json()
    assert answer["outcome"] == "declined"
    fields = {reason["field"] for reason in answer["reasons"]}
    assert fields == {"/delivery/house_number", "/billing/name"}


def test_a_name_of_a_locale_says_the_language_and_a_text_is_kept_as_it_was_sent(shop: Shop) -> None:
    shop.customer("locale")
    body = order_body("o-locale", "locale", language="de_DE", currency="SEK")
    body["delivery"]["name"] = " Jo\u0308rg\u00a0Weber "
    body["delivery"]["postal_code"] = f"D-{body['delivery']['postal_code']} "
    answer = shop.post("/v1/score", body).json()
    assert [reason["code"] for reason in answer["reasons"]] == ["other_currency"]
    assert "nur in EUR" in answer["reasons"][0]["text"]
    for tag in ("DE", "de-AT", "de_DE.UTF-8", "", " "):
        again = shop.post("/v1/precheck", {**body, "language": tag}, Accept_Language="de_AT")
        assert "nur in EUR" in again.json()["reasons"][0]["text"]


def test_malformed_fields_are_all_named_in_one_problem(shop: Shop) -> None:
    body = order_body("o bad", "c", amount_cents=1.5, currency="XXX", surprise=1, language=7)
    del body["delivery"]["city"]
    body["contact"] = "none"
    body["billing"]["planet"] = "Mars"
    answer = shop.post("/v1/score", body)
    assert answer.status_code == 422
    assert pointers(answer) == {
        "/order_id",
        "/amount_cents",
        "/currency",
        "/surprise",
        "/language",
        "/delivery/city",
        "/contact",
        "/billing/planet",
    }


@pytest.mark.parametrize(
    ("content", "content_type", "status"),
    [
        (b"{", "application/json", 422),
        (b"[]", "application/json", 422),
        (b'"' + b"x" * 70_000 + b'"', "application/json", 413),
        (b"{}", "text/plain", 415),
        (b"[" * 40_000, "application/json", 422),
        (b'{"amount_cents": 100, "amount_cents": 8990}', "application/json", 422),
    ],
)
def test_a_body_that_cannot_be_read_is_a_problem(
    shop: Shop, content: bytes, content_type: str, status: int
) -> None:
    answer = shop.client.post(
        "/v1/score",
        content=content,
        headers={"Authorization": f"Bearer {shop.checkout_key}", "Content-Type": content_type},
    )
    assert answer.status_code == status
    pointers(answer)


def test_unknown_paths_and_wrong_methods_are_problems(shop: Shop) -> None:
    nowhere = shop.get("/v1/nothing/at/all")
    assert (nowhere.status_code, nowhere.headers["content-type"]) == (404, "application/problem+json")
    wrong = shop.get("/v1/score")
    assert wrong.status_code == 405
    pointers(wrong)
    assert wrong.headers["allow"] == "POST"


def test_a_missing_or_unknown_key_is_refused(shop: Shop) -> None:
    for headers in ({}, {"Authorization": "Bearer nobody"}, {"Authorization": "Basic x"}):
        answer = shop.client.post("/v1/score", json=order_body("o", "c"), headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"


def test_an_unknown_merchant_is_named(shop: Shop) -> None:
    shop.customer("wanderer")
    foreseen = shop.post("/v1/precheck", order_body("o-wander", "wanderer", merchant_id="nobody"))
    assert (foreseen.status_code, pointers(foreseen)) == (422, {"/merchant_id"})
    answer = shop.post("/v1/score", order_body("o-wander", "wanderer", merchant_id="nobody"))
    assert answer.status_code == 422
    assert pointers(answer) == {"/merchant_id"}
    assert shop.get("/v1/orders/o-wander").status_code == 404


def test_the_same_idempotency_key_gets_the_same_decision_and_with_another_body_is_refused(shop: Shop) -> None:
    shop.customer("careful")
    body = order_body("o-careful", "careful")
    first = shop.post("/v1/score", body, Idempotency_Key="k-1")
    again = shop.post("/v1/score", body, Idempotency_Key="k-1")
    assert first.json() == again.json()
    other = shop.post("/v1/score", {**body, "amount_cents": 6_000}, Idempotency_Key="k-1")
    assert other.status_code == 422
    assert other.json()["type"].endswith("idempotency-key-reused")
    assert shop.post("/v1/score", body).json()["decision_id"] != first.json()["decision_id"]


def test_an_unconfirmed_order_may_be_scored_again_and_its_reservation_is_replaced(shop: Shop) -> None:
    shop.customer("chooser")
    first = shop.score("o-choose", "chooser", amount_cents=9_000, vat_cents=1_000)
    second = shop.score("o-choose", "chooser", amount_cents=3_000, vat_cents=400)
    assert second["outcome"] == "approved"
    assert second["available_cents"] == first["available_cents"]
    order = shop.get("/v1/orders/o-choose").json()
    assert (order["reserved_cents"], order["decision_id"]) == (3_000, second["decision_id"])
    broken = order_body("o-choose", "chooser")
    broken["delivery"]["house_number"] = None
    assert shop.post("/v1/score", broken).json()["outcome"] == "declined"
    assert shop.get("/v1/orders/o-choose").json()["state"] == "released"


def test_a_confirmed_order_is_not_scored_again_and_a_cancelled_one_frees_the_limit(shop: Shop) -> None:
    shop.customer("buyer")
    first = shop.score("o-buy", "buyer")
    assert shop.post("/v1/orders/o-buy/confirm").json()["state"] == "confirmed"
    assert shop.post("/v1/orders/o-buy/confirm").json()["state"] == "confirmed"
    assert shop.post("/v1/score", order_body("o-buy", "buyer")).status_code == 409
    held = shop.post("/v1/precheck", order_body("o-buy-2", "buyer")).json()
    assert held["available_cents"] == first["available_cents"] - 5_000
    assert shop.post("/v1/orders/o-buy/cancel").json()["state"] == "cancelled"
    assert shop.post("/v1/orders/o-buy/confirm").status_code == 409
    free = shop.post("/v1/precheck", order_body("o-buy-2", "buyer")).json()
    assert free["available_cents"] == first["available_cents"]
    assert free["decision_id"] is None
    assert shop.get("/v1/orders/o-buy-2").status_code == 404


def test_an_order_in_parts_holds_its_rest_until_that_is_released_and_longer_where_it_is_extended(
    shop: Shop,
) -> None:
    shop.customer("in-parts")
    first = shop.score("o-parts", "in-parts", amount_cents=20_000, vat_cents=0)
    assert first["outcome"] == "approved"
    early = shop.post("/v1/orders/o-parts/extend")
    assert (early.status_code, early.json()["title"]) == (409, "The order is not confirmed")
    confirmed = shop.post("/v1/orders/o-parts/confirm").json()
    early = shop.post("/v1/orders/o-parts/release")
    assert (early.status_code, early.json()["title"]) == (409, "The order has no invoice")
    invoice = an_invoice("i-part", "in-parts", at=now_ms(), amount_cents=12_000, order_id="o-parts")
    shop.events(as_event("invoices", invoice))
    parts = shop.get("/v1/orders/o-parts").json()
    assert (parts["state"], parts["reserved_cents"]) == ("partly_invoiced", 8_000)
    assert parts["reserved_until"] == confirmed["reserved_until"]
    beside = order_body("o-beside", "in-parts")
    free_cents = shop.post("/v1/precheck", beside).json()["available_cents"]
    assert free_cents == first["available_cents"] - 20_000
    assert shop.post("/v1/orders/o-parts/cancel").status_code == 409
    extended = shop.post("/v1/orders/o-parts/extend").json()
    assert extended["reserved_until"] > parts["reserved_until"]
    released = shop.post("/v1/orders/o-parts/release").json()
    assert (released["state"], released["reserved_cents"], released["reserved_until"]) == (
        "invoiced",
        0,
        None,
    )
    assert shop.post("/v1/orders/o-parts/release").json() == released
    assert shop.post("/v1/precheck", beside).json()["available_cents"] == free_cents + 8_000
    assert shop.post("/v1/orders/o-parts/extend").status_code == 409


def test_an_amended_order_frees_what_it_is_less_and_is_judged_for_what_it_is_more(shop: Shop) -> None:
    shop.customer("amender")
    first = shop.score("o-amend", "amender", amount_cents=20_000, vat_cents=0)
    confirmed = shop.post("/v1/orders/o-amend/confirm").json()
    smaller = shop.post("/v1/orders/o-amend/amend", {"new_amount_cents": 15_000}).json()
    assert (smaller["ordered_cents"], smaller["reserved_cents"]) == (15_000, 15_000)
    assert smaller["judgement"] is None
    beside = order_body("o-beside-amended", "amender")
    free_cents = shop.post("/v1/precheck", beside).json()["available_cents"]
    assert free_cents == first["available_cents"] - 15_000
    too_much = {"new_amount_cents": free_cents + 15_001}
    declined = shop.post("/v1/orders/o-amend/amend", too_much, Idempotency_Key="amend-1").json()
    assert set(declined["judgement"]) == WHOLE_ANSWER
    assert declined["judgement"]["outcome"] == "declined"
    assert [rule["code"] for rule in declined["judgement"]["failed_rules"]] == ["credit_limit"]
    assert {**declined, "judgement": None} == smaller
    assert shop.post("/v1/orders/o-amend/amend", too_much, Idempotency_Key="amend-1").json() == declined
    elsewhere = {**order_body("o-amend", "amender")["delivery"], "street": "Am Ring"}
    body = {"new_amount_cents": free_cents + 15_000, "delivery": elsewhere}
    larger = shop.post("/v1/orders/o-amend/amend", body).json()
    assert (larger["judgement"]["outcome"], larger["reserved_until"]) == (
        "approved",
        confirmed["reserved_until"],
    )
    assert shop.post("/v1/precheck", beside).json()["available_cents"] == 0
    implausible = {"delivery": {**elsewhere, "street": "1234567"}}
    refused = shop.post("/v1/orders/o-amend/amend", implausible).json()["judgement"]
    assert {reason["field"] for reason in refused["reasons"]} == {"/delivery/street"}
    invoice = an_invoice("i-amend", "amender", at=now_ms(), amount_cents=12_000, order_id="o-amend")
    shop.events(as_event("invoices", invoice))
    below = shop.post("/v1/orders/o-amend/amend", {"new_amount_cents": 11_999})
    assert (below.status_code, below.json()["title"]) == (409, "More of the order is invoiced")
    last = shop.post("/v1/orders/o-amend/amend", {"new_amount_cents": 12_500}).json()
    assert (last["state"], last["reserved_cents"]) == ("partly_invoiced", 500)
    assert pointers(shop.post("/v1/orders/o-amend/amend", {"delivery": {"city": 5}})) >= {"/delivery/city"}
    row = a_row("order_events", "o-amend-fed", now_ms(), None, order_id="o-amend", customer_id="amender")
    fed = as_event("order_events", {**row, "kind": "amended", "new_amount_cents": 13_000})
    assert shop.post("/v1/events", {"events": [fed]}, key=shop.checkout_key).status_code == 403
    shop.events(fed)
    assert shop.get("/v1/orders/o-amend").json()["reserved_cents"] == 1_000


def test_an_order_id_of_another_customer_is_refused_and_reserves_nothing(shop: Shop) -> None:
    shop.customer("owner")
    shop.customer("intruder")
    assert shop.score("o-owned", "owner", amount_cents=2_000, vat_cents=300)["outcome"] == "approved"
    answer = shop.post("/v1/score", order_body("o-owned", "intruder"))
    assert answer.status_code == 409
    assert "another order" in answer.json()["title"]
    order = shop.get("/v1/orders/o-owned").json()
    assert (order["customer_id"], order["reserved_cents"]) == ("owner", 2_000)


def test_exactly_the_limit_passes_and_one_cent_more_does_not(shop: Shop) -> None:
    shop.customer("exact")
    limit = shop.post("/v1/precheck", order_body("o-exact", "exact")).json()["limit_cents"]
    over = shop.score("o-exact", "exact", amount_cents=limit + 1)
    assert over["outcome"] == "declined"
    assert [rule["code"] for rule in over["failed_rules"]] == ["credit_limit"]
    assert shop.score("o-exact", "exact", amount_cents=limit)["outcome"] == "approved"


def test_a_merchant_sees_outcome_and_alternatives_of_its_own_orders_only(shop: Shop) -> None:
    shop.customer("private")
    allowed = {
        "decision_id",
        "order_id",
        "merchant_order_number",
        "outcome",
        "alternatives",
        "reserved_until",
    }
    mine, other = shop.merchant_key, shop.other_merchant_key
    body = order_body("o-private", "private")
    answers = [
        shop.post("/v1/score", body, key=mine),
        shop.post("/v1/precheck", body, key=mine),
        shop.get("/v1/orders/o-private", key=mine),
        shop.post("/v1/orders/o-private/confirm", key=mine),
        shop.post("/v1/orders/o-private/cancel", key=mine),
    ]
    decision_id = answers[0].json()["decision_id"]
    answers.append(shop.get(f"/v1/decisions/{decision_id}", key=mine))
    for answer in answers:
        assert answer.status_code == 200, answer.text
        assert set(answer.json()) <= allowed
    refused = [
        (403, shop.post("/v1/score", body, key=other)),
        (403, shop.post("/v1/precheck", body, key=other)),
        (404, shop.get("/v1/orders/o-private", key=other)),
        (404, shop.get(f"/v1/decisions/{decision_id}", key=other)),
        (404, shop.post("/v1/orders/o-private/confirm", key=other)),
        (404, shop.post("/v1/orders/o-private/cancel", key=other)),
        (403, shop.post(f"/v1/decisions/{decision_id}/review-request", key=other)),
        (403, shop.post(f"/v1/decisions/{decision_id}/review-request", key=mine)),
        (403, shop.post("/v1/events", {"events": []}, key=mine)),
        (403, shop.post("/score", body, key=other)),
    ]
    for status, answer in refused:
        assert answer.status_code == status, answer.text
    assert set(shop.post("/score", order_body("o-private-2", "private"), key=mine).json()) <= allowed


def test_a_person_may_be_asked_to_look_at_a_refusal_but_not_at_an_approval(shop: Shop) -> None:
    shop.customer("young", birth_date="2020-01-01")
    refused = shop.score("o-young", "young")
    assert refused["outcome"] == "declined"
    path = f"/v1/decisions/{refused['decision_id']}/review-request"
    assert shop.post(path, {"note": "please look again"}).status_code == 202
    assert shop.post(path).status_code == 202
    assert shop.post(path, {"wish": 1}).status_code == 422
    shop.customer("fine")
    approved = shop.score("o-fine", "fine")
    assert shop.post(f"/v1/decisions/{approved['decision_id']}/review-request").status_code == 409
    assert shop.post("/v1/decisions/none/review-request").status_code == 404


def test_events_are_judged_one_by_one_and_good_rows_stay(shop: Shop) -> None:
    shop.customer("eventful")
    at = now_ms() - 5 * DAY
    order = as_event("orders", an_order("o-ev", "eventful", at=at))
    payment = as_event("invoice_payments", a_payment("i-ev", "eventful", at=at + DAY))
    bad = {**as_event("orders", an_order("o-ev2", "eventful", at=at)), "amount_cents": -1, "colour": "red"}
    stamped = {
        **as_event("orders", an_order("o-ev3", "eventful", at=at)),
        "recorded_at": "2026-01-01T00:00:00Z",
    }
    answer = shop.post(
        "/v1/events", {"events": [order, payment, bad, stamped, {"contract": "wishes"}, 5]}
    ).json()
    statuses = [result["status"] for result in answer["results"]]
    assert statuses == ["accepted", "held", "rejected", "rejected", "rejected", "rejected"]
    assert (answer["accepted"], answer["held"], answer["rejected"]) == (1, 1, 4)
    where = {error["pointer"] for error in answer["results"][2]["errors"]}
    assert where == {"/events/2/amount_cents", "/events/2/colour"}
    assert answer["results"][3]["errors"][0]["pointer"] == "/events/3/recorded_at"
    assert shop.post("/v1/events", order).json()["results"][0]["status"] == "repeated"
    changed = shop.post("/v1/events", {**order, "amount_cents": 12}).json()["results"][0]
    assert changed["status"] == "rejected"
    invoice = as_event("invoices", an_invoice("i-ev", "eventful", at=at, order_id="o-ev"))
    admitted = shop.post("/v1/events", invoice).json()["results"][0]
    assert admitted["readmitted"] == [payment["event_id"]]


def test_events_that_would_happen_later_are_refused_at_the_field_that_was_sent(shop: Shop) -> None:
    future = as_event("orders", an_order("o-later", "c", at=now_ms() + DAY))
    result = shop.post("/v1/events", future).json()["results"][0]
    assert [error["pointer"] for error in result["errors"]] == ["/occurred_at"]


def test_bentoml_s_own_client_gets_the_same_answer(shop: Shop) -> None:
    shop.customer("bento")
    answer = shop.post("/score", order_body("o-bento", "bento"))
    assert answer.status_code == 200, answer.text
    assert set(answer.json()) == WHOLE_ANSWER
    assert shop.post("/score", {"order_id": 7}).status_code == 422


def test_the_service_publishes_its_contract_its_health_and_its_metrics(shop: Shop) -> None:
    document = shop.client.get("/v1/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert {"503", "504"} <= set(document["paths"]["/v1/score"]["post"]["responses"])
    assert "/v1/score" in document["paths"]
    assert "amount_cents" in json.dumps(document["components"]["schemas"]["event_invoices"])
    assert shop.client.get("/livez").status_code == 200
    assert shop.client.get("/readyz").status_code == 200
    assert "bonitas_decisions_total" in shop.client.get("/metrics").text


def test_every_moment_of_an_answer_belongs_to_a_stage_that_metrics_show(shop: Shop) -> None:
    shop.customer("staged")
    before = stage_times(shop.client.get("/metrics").text)
    whole_before = figure(shop, "bonitas_score_seconds_sum")
    for number in range(3):
        assert shop.score(f"staged-{number}", "staged")["outcome"] == "approved"
    measured = times_between(before, stage_times(shop.client.get("/metrics").text))
    assert {stage: times.count for stage, times in measured.items()} == dict.fromkeys(Stage, 3)
    whole = figure(shop, "bonitas_score_seconds_sum") - whole_before
    assert 0.9 * whole < sum(times.seconds for times in measured.values()) <= whole


def figure(shop: Shop, series: str) -> float:
    (value,) = [
        line.split()[1]
        for line in shop.client.get("/metrics").text.splitlines()
        if line.startswith(f"{series} ")
    ]
    return float(value)


def test_metrics_go_by_route_so_that_orders_leave_no_time_series_behind(shop: Shop) -> None:
    assert shop.get("/v1/orders/o-never-seen").status_code == 404
    metrics = shop.client.get("/metrics").text
    assert 'bonitas_requests_total{method="GET",route="/v1/orders/{order_id}",status="404"}' in metrics
    assert "o-never-seen" not in metrics


def test_no_log_line_names_a_person(shop: Shop) -> None:
    log = (shop.settings.home / "server.log").read_text()
    assert "model_in_force" in log
    assert "Mustermann" not in log
    assert "erika@example.com" not in log


def test_the_front_page_is_the_console_and_loads_nothing_from_elsewhere(shop: Shop) -> None:
    first = shop.client.get("/")
    assert (first.status_code, first.headers["location"]) == (307, "/console/")
    page = shop.client.get("/", follow_redirects=True)
    assert page.url.path == "/console/sign-in"
    assert "googletagmanager" not in page.text
