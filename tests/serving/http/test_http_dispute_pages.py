"""The pages of disputes on a running service: the merchant's form, its open items, and the service desk's."""

import re
from urllib.parse import urlsplit

import httpx
import pytest

from serving.console.sign_in import add_user
from serving.store.api_keys import create_key
from serving.store.open_store import open_store
from serving.store.store import now_ms
from tests.builders import an_invoice
from tests.serving.http.conftest import Row, Shop, as_event

PASSWORD = "correct horse battery"  # noqa: S105 - of a user of the tests


@pytest.fixture(scope="module")
def portal(shop: Shop) -> str:
    store = open_store(shop.settings.database_url)
    try:
        for name, role in (("desk-sue", "service"), ("team-ann", "fraud")):
            add_user(store, name=name, role=role, password=PASSWORD, now_ms=now_ms())
        return create_key(store, name="page-portal", role="portal", merchant_id=None, now_ms=now_ms())
    finally:
        store.close()


def disputed(shop: Shop, portal: str, number: str) -> Row:
    shop.customer(f"pages-c{number}")
    shop.score(f"pages-o{number}", f"pages-c{number}", amount_cents=5_000)
    invoice = an_invoice(
        f"pages-i{number}", f"pages-c{number}", at=now_ms(), order_id=f"pages-o{number}", amount_cents=5_000
    )
    shop.events(as_event("invoices", invoice))
    body = {"customer_id": f"pages-c{number}", "reason": "not_received", "amount_cents": 2_000}
    answer = shop.post(f"/v1/orders/pages-o{number}/disputes", body, key=portal)
    assert answer.status_code == 201, answer.text
    document: Row = answer.json()
    return document


def open_items(shop: Shop, key: str) -> Row:
    answer = shop.get("/v1/open-items", key=key)
    assert answer.status_code == 200, answer.text
    document: Row = answer.json()
    return document


def signed_in(shop: Shop, name: str) -> httpx.Client:
    browser = httpx.Client(base_url=shop.server.url, timeout=20, follow_redirects=True)
    page = browser.get("/console/sign-in").text
    answer = browser.post(
        "/console/sign-in", data={"name": name, "password": PASSWORD, "csrf_token": token_in(page)}
    )
    assert answer.status_code == 200, answer.text
    return browser


def token_in(page: str) -> str:
    found = re.search(r'name="csrf_token" value="([0-9a-f]{64})"', page)
    assert found, page
    return found[1]


def test_a_merchant_finds_its_dispute_on_its_page_and_answers_it_with_a_file(shop: Shop, portal: str) -> None:
    dispute = disputed(shop, portal, "1")
    listed = open_items(shop, shop.merchant_key)
    item = next(one for one in listed["items"] if one["id"] == dispute["dispute_id"])
    assert (item["kind"], item["amount_cents"], item["due_at"]) == ("dispute", 2_000, dispute["due_at"])
    others = open_items(shop, shop.other_merchant_key)
    assert dispute["dispute_id"] not in {one["id"] for one in others["items"]}
    for key in (portal, shop.checkout_key, shop.ledger_key):
        assert shop.get("/v1/open-items", key=key).status_code == 403
    with httpx.Client(base_url=shop.server.url, timeout=20) as browser:
        page = browser.get(urlsplit(listed["page_url"]).path, params={"lang": "en"})
        assert page.status_code == 200
        form = urlsplit(next(iter(re.findall(r'href="([^"]*/dispute/[^"?]*)', page.text)))).path
        assert f"{form}?lang=en" in page.text
        assert "pages-c1" not in page.text
        assert browser.get(form).status_code == 200
        sent = browser.post(
            form,
            data={"step": "answer", "kind": "goods_as_described"},
            files={"file": ("proof.txt", b"It was fine.", "text/plain")},
        )
        assert sent.status_code == 303, sent.text
        wrong = browser.post(
            form,
            data={"step": "answer", "kind": "goods_as_described"},
            files={"file": ("../proof.txt", b"<svg>", "text/plain")},
        )
        assert wrong.status_code == 422
        assert browser.get(urlsplit(listed["page_url"]).path + "x").status_code == 404
        assert browser.get("/open-items/nonsense").status_code == 404
        assert browser.post("/open-items/nonsense").status_code == 405
    seen = shop.get(f"/v1/disputes/{dispute['dispute_id']}", key=shop.merchant_key).json()
    assert seen["state"] == "answered"
    assert [file["name"] for file in seen["files"]] == ["proof.txt"]


def test_the_service_desk_claims_and_decides_by_its_own_pages(shop: Shop, portal: str) -> None:
    dispute = disputed(shop, portal, "2")
    path = f"/v1/disputes/{dispute['dispute_id']}"
    shop.post(f"{path}/answer", {"kind": "goods_as_described"}, key=shop.merchant_key)
    said = {"customer_id": "pages-c2", "text": "It never came."}
    assert shop.post(f"{path}/statement", said, key=portal).status_code == 200
    desk = signed_in(shop, "desk-sue")
    queue = desk.get("/console/disputes")
    assert dispute["dispute_id"] in queue.text
    assert desk.get("/console/decisions").status_code == 403
    page = desk.get(f"/console/disputes/{dispute['dispute_id']}")
    token = token_in(page.text)
    address = f"/console/disputes/{dispute['dispute_id']}"
    assert desk.post(f"{address}/claim", data={"csrf_token": "0" * 64}).status_code == 403
    assert desk.post(f"{address}/claim", data={"csrf_token": token}).status_code == 200
    fields = {"csrf_token": token, "outcome": "for_customer", "award_cents": "15.00", "text": "No proof."}
    decided = desk.post(f"{address}/decide", data=fields)
    assert "The dispute is decided." in decided.text
    desk.close()
    ended = shop.get(path, key=shop.merchant_key).json()
    assert (ended["outcome"], ended["credited_cents"], ended["decision"]) == (
        "for_customer",
        1_500,
        "No proof.",
    )
    team = signed_in(shop, "team-ann")
    assert team.get(f"/console/disputes/{dispute['dispute_id']}").status_code == 403
    team.close()
