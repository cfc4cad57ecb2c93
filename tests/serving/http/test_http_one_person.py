"""Two accounts of one person at a running service: one limit, the same arrears, no word of the other."""

import json

from serving.checkout.replay import replay
from serving.in_force.model_watch import ModelRegistry
from serving.store.api_keys import create_key
from serving.store.decision_log import decision_of
from serving.store.open_store import open_store
from serving.store.store import now_ms
from tests.builders import DAY, a_document_hmac, a_payment, a_row, an_invoice, an_order
from tests.serving.http.conftest import Row, Shop, as_event, order_body

NO_DOCUMENT: Row = {"identity_document_hmac": None}


def precheck(shop: Shop, customer_id: str, **changes: object) -> Row:
    answer = shop.post("/v1/precheck", order_body(f"o-pre-{customer_id}", customer_id, **changes))
    assert answer.status_code == 200, answer.text
    document: Row = answer.json()
    return document


def an_overdue_invoice(shop: Shop, customer_id: str, invoice_id: str) -> None:
    at = now_ms() - 60 * DAY
    order_id = f"o-{invoice_id}"
    shop.events(
        as_event("orders", an_order(order_id, customer_id, at=at)),
        as_event("invoices", an_invoice(invoice_id, customer_id, at=at, order_id=order_id)),
    )


def test_who_owes_and_opens_a_new_account_has_the_arrears_there_too(shop: Shop) -> None:
    shop.customer("debtor", given_name="Dora", **NO_DOCUMENT)
    an_overdue_invoice(shop, "debtor", "i-debtor")
    # Another spelling, and only the new account's document was checked.
    shop.customer("debtor-again", given_name="DORA", residence_street="Heidestr.", family_name="Muster-Mann")
    refused = shop.score("o-debtor-again", "debtor-again")
    assert refused["outcome"] == "declined"
    assert [reason["code"] for reason in refused["reasons"]] == ["open_arrears"]
    assert "i-debtor" in refused["reasons"][0]["text"]
    assert [(step["code"], step["sufficient"]) for step in refused["recourse"]] == [("settle_invoice", True)]
    assert precheck(shop, "debtor-again")["outcome"] == "declined"
    # The answer, by whatever way it is asked for, names no other account.
    for document in (refused, shop.get(f"/v1/decisions/{refused['decision_id']}").json()):
        named = json.dumps(document).replace("debtor-again", "").replace("i-debtor", "")
        assert "debtor" not in named
    at = now_ms() - DAY
    shop.events(as_event("invoice_payments", a_payment("i-debtor", "debtor", at=at)))
    assert shop.score("o-debtor-again", "debtor-again")["outcome"] == "approved"
    # The son of the same name at the same address owes nothing.
    shop.customer("debtors-son", given_name="Dora", birth_date="2001-01-01", **NO_DOCUMENT)
    assert precheck(shop, "debtors-son")["available_cents"] > precheck(shop, "debtor")["available_cents"]


def test_accounts_of_one_person_have_one_limit_between_them_and_each_decision_replays(shop: Shop) -> None:
    document = {"identity_document_hmac": a_document_hmac("shared-limit")}
    shop.customer("shared-limit-1", **document)
    first = shop.score("o-shared-limit-1", "shared-limit-1", amount_cents=9_000)
    shop.customer("shared-limit-2", **document)
    second = shop.score("o-shared-limit-2", "shared-limit-2", amount_cents=4_000)
    assert (first["outcome"], second["outcome"]) == ("approved", "approved")
    assert second["limit_cents"] == first["limit_cents"]
    assert second["available_cents"] == first["available_cents"] - 9_000
    assert precheck(shop, "shared-limit-1")["available_cents"] == second["available_cents"] - 4_000
    # The order itself is left out when it is scored again, and what the other account holds is not.
    assert shop.score("o-shared-limit-1", "shared-limit-1", amount_cents=1_000)["available_cents"] == (
        first["available_cents"] - 4_000
    )
    # A decision sees the other account as it was then, whatever comes later.
    an_overdue_invoice(shop, "shared-limit-2", "i-shared-limit")
    third = shop.score("o-shared-limit-3", "shared-limit-1")
    assert third["outcome"] == "declined"
    store = open_store(shop.settings.database_url)
    try:
        for answer, others in ((first, []), (second, ["shared-limit-1"]), (third, ["shared-limit-2"])):
            with store.reading() as tx:
                logged = decision_of(tx, answer["decision_id"])
            assert logged is not None
            assert logged.record["other_accounts"] == others
            result = replay(
                store,
                ModelRegistry(shop.settings.mlflow_uri, shop.settings.artifact_root),
                answer["decision_id"],
            )
            assert result.is_identical, result.to_json()
    finally:
        store.close()


def test_the_victim_of_a_confirmed_fraud_owes_nothing_for_what_was_ordered_in_their_name(shop: Shop) -> None:
    shop.customer("victim", given_name="Vera")
    shop.customer("in-veras-name", given_name="Vera", **NO_DOCUMENT)
    assert shop.score("o-vera", "in-veras-name", amount_cents=4_000)["outcome"] == "approved"
    an_overdue_invoice(shop, "in-veras-name", "i-vera")
    assert [reason["code"] for reason in precheck(shop, "victim")["reasons"]] == ["open_arrears"]

    store = open_store(shop.settings.database_url)
    try:
        fraud_team = create_key(store, name="veras-fraud", role="fraud", merchant_id=None, now_ms=now_ms())
    finally:
        store.close()

    def upheld(order_id: str) -> Row:
        of_whom = {"order_id": order_id, "customer_id": "in-veras-name", "kind": "identity_misuse_upheld"}
        return a_row("order_outcomes", f"upheld-{order_id}", now_ms(), None, **of_whom)

    shop.events(as_event("order_outcomes", upheld("o-i-vera")), key=fraud_team)
    allowed = precheck(shop, "victim")
    assert (allowed["outcome"], allowed["available_cents"]) == ("approved", allowed["limit_cents"] - 4_000)
    # Nor does the order in their name that waits for its invoice take anything of their limit.
    shop.events(as_event("order_outcomes", upheld("o-vera")), key=fraud_team)
    assert precheck(shop, "victim")["available_cents"] == allowed["limit_cents"]
    decided = shop.score("o-victim", "victim")
    assert decided["outcome"] == "approved"
    # A finding that is taken back was none: what is owed is owed again, and decisions stay as they were.
    withdrawn = {**upheld("o-i-vera"), "event_id": "vera-withdrawn", "kind": "finding_withdrawn"}
    shop.events(as_event("order_outcomes", {**withdrawn, "corrects": "upheld-o-i-vera"}), key=fraud_team)
    assert precheck(shop, "victim")["outcome"] == "declined"
    store = open_store(shop.settings.database_url)
    try:
        registry = ModelRegistry(shop.settings.mlflow_uri, shop.settings.artifact_root)
        result = replay(store, registry, decided["decision_id"])
    finally:
        store.close()
    assert result.is_identical, result.to_json()
