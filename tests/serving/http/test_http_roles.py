"""What a key of each role may write, asked of the running service; and what it tries in vain."""

from typing import Any

import pytest

from data_contracts.ledger_contracts import CONTRACTS
from serving.events.event_permissions import WRITERS, kinds_of
from serving.store.api_keys import Role, create_key, list_keys, rotate_key
from serving.store.open_store import open_store
from serving.store.store import now_ms
from tests.builders import DAY, Row, a_customer, a_merchant, a_payment, a_row, an_invoice, an_order
from tests.serving.http.conftest import Shop, as_event

AT = (now_ms() - 30 * DAY) // 1000 * 1000 + 137


@pytest.fixture(scope="module")
def keys(shop: Shop) -> dict[Role, str]:
    store = open_store(shop.settings.database_url)
    fraud, admin, portal = (
        create_key(store, name=f"roles-{role}", role=role, merchant_id=None, now_ms=now_ms())
        for role in ("fraud", "admin", "portal")
    )
    store.close()
    return {
        Role.CHECKOUT: shop.checkout_key,
        Role.MERCHANT: shop.merchant_key,
        Role.LEDGER: shop.ledger_key,
        Role.FRAUD: fraud,
        Role.ADMIN: admin,
        Role.PORTAL: portal,
    }


def sent(shop: Shop, key: str, *events: Row) -> list[Row]:
    answer = shop.post("/v1/events", {"events": list(events)}, key=key)
    assert answer.status_code == 200, answer.text
    results: list[Row] = answer.json()["results"]
    return results


def refused_at(results: list[Row]) -> list[list[str]]:
    return [
        [error["pointer"] for error in result.get("errors", ()) if "not_permitted" in error["detail"]]
        for result in results
    ]


def an_event(kind: str, order_id: str, customer_id: str, event_id: str, **columns: Any) -> Row:
    row = a_row("order_events", event_id, now_ms() - 1_000, None, order_id=order_id, customer_id=customer_id,
                kind=kind, **columns)  # fmt: skip
    return as_event("order_events", row)


def a_finding(kind: str, order_id: str, customer_id: str, event_id: str, **columns: Any) -> Row:
    row = a_row("order_outcomes", event_id, now_ms() - 1_000, None, order_id=order_id,
                customer_id=customer_id, kind=kind, **columns)  # fmt: skip
    return as_event("order_outcomes", row)


@pytest.mark.parametrize("role", Role, ids=lambda role: role.value)
def test_every_contract_and_kind_is_open_to_the_roles_of_the_table_and_to_no_other(
    shop: Shop, keys: dict[Role, str], role: Role
) -> None:
    rows = [
        {"contract": contract.name, "kind": kind}
        for contract in CONTRACTS.values()
        for kind in (kinds_of(contract) or (None,))
    ]
    # A row that is wrong for everybody: the body as a whole is nobody's to refuse.
    answer = shop.post("/v1/events", {"events": [*rows, 5]}, key=keys[role])
    if not any(role in writers for writers in WRITERS.values()):
        assert answer.status_code == 403
        return
    results = answer.json()["results"]
    assert {result["status"] for result in results} == {"rejected"}
    for place, (row, result) in enumerate(zip(rows, results, strict=False)):
        permission = WRITERS[str(row["contract"])].get(role)
        if permission is None:
            expected = [f"/events/{place}/contract"]
        else:
            is_allowed = permission.kinds is None or row["kind"] in permission.kinds
            expected = [] if is_allowed else [f"/events/{place}/kind"]
        assert refused_at([result]) == [expected], (row, result)


def test_a_checkout_s_key_writes_no_finding_no_merchant_no_identity_and_no_debt_but_what_happened(
    shop: Shop,
) -> None:
    shop.customer("victim-of-roles", identity_status="unverified")
    assert shop.score("o-victim-of-roles", "victim-of-roles")["outcome"] == "declined"
    invoice = an_invoice("i-invented", "victim-of-roles", order_id="o-victim-of-roles", at=AT + DAY)
    attacks = [
        a_finding("stop_request_upheld", "o-victim-of-roles", "victim-of-roles", "found-by-a-shop"),
        as_event("merchants", a_merchant("m2", event_id="moved", at=now_ms() - 1, email="me@evil.example")),
        as_event("customers", a_customer("victim-of-roles", event_id="verified", at=now_ms() - 1)),
        as_event("orders", an_order("o-invented", "victim-of-roles", at=AT)),
        as_event("invoices", invoice),
        as_event("invoice_payments", a_payment("i-invented", "victim-of-roles", at=AT + 2 * DAY)),
    ]
    for attack in attacks:
        alone = shop.post("/v1/events", attack, key=shop.checkout_key)
        assert (alone.status_code, alone.json()["type"]) == (403, "urn:bonitas:problem:forbidden")
        assert alone.json()["errors"][0]["pointer"] == "/contract"
    together = shop.post("/v1/events", {"events": attacks}, key=shop.checkout_key)
    assert together.status_code == 403
    assert [error["pointer"] for error in together.json()["errors"]] == [
        f"/events/{place}/contract" for place in range(len(attacks))
    ]
    shipped = an_event(
        "shipped", "o-victim-of-roles", "victim-of-roles", "victim-shipped", carrier="PostNord"
    )
    results = sent(shop, shop.checkout_key, *attacks, shipped)
    assert [result["status"] for result in results] == ["rejected"] * len(attacks) + ["accepted"]
    assert refused_at(results) == [[f"/events/{place}/contract"] for place in range(len(attacks))] + [[]]
    again = shop.score("o-victim-2", "victim-of-roles")
    assert "identity_not_verified" in {reason["code"] for reason in again["reasons"]}


def test_a_checkout_tells_only_of_orders_that_were_decided_here(shop: Shop) -> None:
    shop.customer("buyer-of-roles")
    shop.score("o-decided", "buyer-of-roles")
    shop.events(as_event("orders", an_order("o-elsewhere", "buyer-of-roles", at=AT)))
    shop.events(an_event("delivery_redirected", "o-elsewhere", "buyer-of-roles", "redirected"))
    elsewhere = an_event("shipped", "o-elsewhere", "buyer-of-roles", "shipped-1")
    unknown = an_event("shipped", "o-of-nobody", "buyer-of-roles", "shipped-2")
    covered = an_event("delivered", "o-decided", "buyer-of-roles", "covered", corrects="redirected")
    ahead = an_event("delivered", "o-decided", "buyer-of-roles", "ahead", corrects="comes-later")
    ours = an_event("delivered", "o-decided", "buyer-of-roles", "delivered")
    amended = an_event("returned", "o-decided", "buyer-of-roles", "returned", corrects="delivered")
    results = sent(shop, shop.checkout_key, elsewhere, unknown, covered, ahead, ours, amended)
    refusals = ["/events/0/order_id", "/events/1/order_id", "/events/2/corrects", "/events/3/corrects"]
    assert refused_at(results) == [*([refusal] for refusal in refusals), [], []]
    assert [result["status"] for result in results[4:]] == ["accepted", "accepted"]
    assert sent(shop, shop.ledger_key, elsewhere)[0]["status"] == "accepted"


def test_the_back_office_tells_of_disputes_and_the_fraud_team_of_fraud_and_neither_takes_back_the_other_s(
    shop: Shop, keys: dict[Role, str]
) -> None:
    shop.customer("disputed")
    shop.events(as_event("orders", an_order("o-disputed", "disputed", at=AT)))

    def finding(kind: str, event_id: str, **columns: Any) -> Row:
        return a_finding(kind, "o-disputed", "disputed", event_id, **columns)

    upheld, dispute = (
        finding("identity_misuse_upheld", "upheld"), finding("dispute_decided_for_customer", "dispute"),
    )  # fmt: skip
    office, team = shop.ledger_key, keys[Role.FRAUD]
    assert refused_at(sent(shop, office, upheld, dispute)) == [["/events/0/kind"], []]
    assert refused_at(sent(shop, team, upheld, dispute | {"event_id": "of-the-team"})) == [
        [], ["/events/1/kind"],
    ]  # fmt: skip
    assert shop.post("/v1/events", finding("fraud_chargeback", "charged"), key=office).status_code == 403
    for key, other, own in ((office, "upheld", "dispute"), (team, "dispute", "upheld")):
        in_vain = [
            finding("finding_withdrawn", f"take-back-{other}", corrects=other),
            finding("finding_withdrawn", f"take-back-early-{other}", corrects="not-there-yet"),
        ]
        mine = finding("finding_withdrawn", f"take-back-{own}", corrects=own)
        results = sent(shop, key, *in_vain, mine)
        assert refused_at(results) == [["/events/0/corrects"], ["/events/1/corrects"], []]
        assert results[2]["status"] == "accepted", results[2]


def test_rows_that_wait_are_the_back_office_s_to_see_and_to_end(shop: Shop, keys: dict[Role, str]) -> None:
    for role, key in keys.items():
        is_allowed = role is Role.LEDGER
        assert (shop.get("/v1/events/held", key=key).status_code == 200) is is_allowed, role
        ended = shop.post("/v1/events/held/not-there/end", {"reason": "why"}, key=key)
        assert ended.status_code == (404 if is_allowed else 403)


def test_an_expired_key_is_told_so_a_replaced_one_works_on_and_the_use_is_kept(shop: Shop) -> None:
    store = open_store(shop.settings.database_url)
    try:
        expired = create_key(
            store, name="expired", role="checkout", merchant_id=None, now_ms=0, expires_at_ms=1_000
        )
        first = create_key(store, name="replaced", role="checkout", merchant_id=None, now_ms=now_ms())
        second = rotate_key(store, name="replaced", now_ms=now_ms(), overlap_ms=DAY)
        answer = shop.get("/v1/orders/o-none", key=expired)
        assert (answer.status_code, answer.json()["type"]) == (401, "urn:bonitas:problem:key-expired")
        for secret in (first, second):
            assert shop.get("/v1/orders/o-none", key=secret).status_code == 404
        last_used = {}
        while last_used.get("replaced") is None:
            last_used = {key.name: key.last_used_at_ms for key in list_keys(store)}
        assert last_used["expired"] is None
    finally:
        store.close()
