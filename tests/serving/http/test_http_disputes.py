"""Disputes over HTTP: who may ask for what, one key twice, and files as bodies and downloads."""

import pytest

from serving.store.api_keys import create_key
from serving.store.open_store import open_store
from serving.store.store import now_ms
from tests.builders import an_invoice
from tests.serving.http.conftest import Row, Shop, as_event

OCTETS = "application/octet-stream"


@pytest.fixture(scope="module")
def portal(shop: Shop) -> str:
    store = open_store(shop.settings.database_url)
    try:
        return create_key(store, name="customer-app", role="portal", merchant_id=None, now_ms=now_ms())
    finally:
        store.close()


def invoiced(shop: Shop, number: str) -> None:
    shop.customer(f"dis-c{number}")
    shop.score(f"dis-o{number}", f"dis-c{number}", amount_cents=5_000)
    invoice = an_invoice(
        f"dis-i{number}", f"dis-c{number}", at=now_ms(), order_id=f"dis-o{number}", amount_cents=5_000
    )
    shop.events(as_event("invoices", invoice))


def opened(shop: Shop, portal: str, number: str, **body: object) -> Row:
    invoiced(shop, number)
    said = {"customer_id": f"dis-c{number}", "reason": "not_received", **body}
    answer = shop.post(f"/v1/orders/dis-o{number}/disputes", said, key=portal)
    assert answer.status_code == 201, answer.text
    document: Row = answer.json()
    return document


def test_a_dispute_goes_from_the_portal_to_its_merchant_and_to_nobody_else(shop: Shop, portal: str) -> None:
    dispute = opened(shop, portal, "1", text="It never came.", amount_cents=2_000)
    path = f"/v1/disputes/{dispute['dispute_id']}"
    listed = shop.get("/v1/disputes?state=open", key=shop.merchant_key).json()["disputes"]
    assert path.rpartition("/")[2] in {one["dispute_id"] for one in listed}
    seen = shop.get(path, key=shop.merchant_key).json()
    assert (seen["text"], seen["amount_cents"], seen["waits_for"]) == ("It never came.", 2_000, "merchant")
    assert not {"customer_id", "statements", "police_report"} & set(seen)
    assert shop.get(path, key=shop.other_merchant_key).status_code == 404
    assert shop.get(f"{path}?customer_id=dis-c1", key=portal).json()["customer_id"] == "dis-c1"
    assert shop.get(f"{path}?customer_id=another", key=portal).status_code == 404
    assert shop.get(path, key=portal).status_code == 422
    for key in (shop.checkout_key, shop.ledger_key):
        assert shop.get(path, key=key).status_code == 403
    answered = shop.post(f"{path}/answer", {"kind": "goods_as_described"}, key=shop.merchant_key)
    assert answered.json()["state"] == "answered"
    assert shop.post(f"{path}/answer", {"kind": "other"}, key=shop.merchant_key).status_code == 422
    for who in (portal, shop.other_merchant_key):
        assert shop.post(f"{path}/give-in", {}, key=who).status_code in {403, 404}
    given = shop.post(f"{path}/give-in", None, key=shop.merchant_key).json()
    assert (given["outcome"], given["credited_cents"]) == ("settled_by_merchant", 2_000)


def test_an_order_of_another_customer_is_not_known_and_wrong_fields_are_named(
    shop: Shop, portal: str
) -> None:
    invoiced(shop, "2")
    path = "/v1/orders/dis-o2/disputes"
    body = {"customer_id": "dis-c1", "reason": "not_received"}
    assert shop.post(path, body, key=portal).status_code == 404
    for change, pointer in (
        ({"reason": "bored"}, "/reason"),
        ({"amount_cents": 5_001}, "/amount_cents"),
        ({"amount_cents": "5"}, "/amount_cents"),
        ({"amount_cents": True}, "/amount_cents"),
        ({"reason": "other"}, "/text"),
        ({"police_report": "A/1"}, "/police_report"),
        ({"colour": "red"}, "/colour"),
    ):
        answer = shop.post(path, {**body, "customer_id": "dis-c2", **change}, key=portal)
        assert answer.status_code == 422, answer.text
        assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    assert shop.post(path, body, key=shop.merchant_key).status_code == 403


def test_the_same_key_opens_one_dispute_and_gets_the_same_answer(shop: Shop, portal: str) -> None:
    invoiced(shop, "3")
    body = {"customer_id": "dis-c3", "reason": "amount_wrong"}
    first = shop.post("/v1/orders/dis-o3/disputes", body, key=portal, Idempotency_Key="d3")
    again = shop.post("/v1/orders/dis-o3/disputes", body, key=portal, Idempotency_Key="d3")
    assert first.json() == again.json()
    other = shop.post(
        "/v1/orders/dis-o3/disputes", {**body, "reason": "other"}, key=portal, Idempotency_Key="d3"
    )
    assert other.status_code == 422
    path = f"/v1/disputes/{first.json()['dispute_id']}"
    said = {"customer_id": "dis-c3", "text": "Too much."}
    one = shop.post(f"{path}/statement", said, key=portal, Idempotency_Key="s3")
    assert shop.post(f"{path}/withdraw", {"customer_id": "dis-c3"}, key=portal).status_code == 200
    assert shop.post(f"{path}/statement", said, key=portal, Idempotency_Key="s3").json() == one.json()
    listed = shop.get("/v1/customers/dis-c3/disputes", key=portal).json()["disputes"]
    assert [known["state"] for known in listed] == ["closed"]


def test_a_claim_of_misuse_is_nothing_that_its_merchant_hears_of(shop: Shop, portal: str) -> None:
    dispute = opened(shop, portal, "4", reason="not_my_order", police_report="ST/1/2026")
    path = f"/v1/disputes/{dispute['dispute_id']}"
    assert dispute["waits_for"] == "fraud_team"
    assert shop.get(path, key=shop.merchant_key).status_code == 404
    for name, body in (("answer", {"kind": "goods_as_described"}), ("give-in", {})):
        assert shop.post(f"{path}/{name}", body, key=shop.merchant_key).status_code == 404
    listed = shop.get("/v1/disputes", key=shop.merchant_key).json()["disputes"]
    assert dispute["dispute_id"] not in {one["dispute_id"] for one in listed}


def test_a_file_goes_in_as_a_body_and_comes_out_as_a_download(shop: Shop, portal: str) -> None:
    dispute = opened(shop, portal, "5")
    path = f"/v1/disputes/{dispute['dispute_id']}/files"

    def send(key: str, content: bytes, content_type: str = OCTETS, **query: str) -> tuple[int, Row]:
        headers = {"Authorization": f"Bearer {key}", "Content-Type": content_type}
        answer = shop.client.post(path, params=query, content=content, headers=headers)
        return answer.status_code, answer.json()

    status, file = send(portal, b"It was wet.", name="wet \u00e4.txt", customer_id="dis-c5")
    assert (status, file["media_type"]) == (201, "text/plain; charset=utf-8")
    download = shop.get(f"{path}/{file['file_id']}?customer_id=dis-c5", key=portal)
    assert (download.content, download.headers["content-type"]) == (b"It was wet.", OCTETS)
    assert download.headers["content-disposition"].startswith('attachment; filename="wet__.txt"')
    assert download.headers["x-content-type-options"] == "nosniff"
    assert shop.get(f"{path}/{file['file_id']}", key=shop.merchant_key).status_code == 404
    assert send(portal, b"x", name="a.txt", customer_id="dis-c1")[0] == 404
    assert send(shop.merchant_key, b"x", name="a.txt", customer_id="dis-c5")[0] == 422
    assert send(shop.merchant_key, b"x", "text/html", name="a.txt")[0] == 415
    for name, content, field in (
        ("../a.txt", b"x", "/name"),
        ("a\u202etxt.exe", b"x", "/name"),
        ("a.pdf", b"x", "/name"),
        ("a.pdf", b"MZ\x90", "/file"),
    ):
        status, problem = send(shop.merchant_key, content, name=name)
        assert (status, problem["errors"][0]["pointer"]) == (422, field)
    assert send(shop.merchant_key, b"x" * (5 * 1024 * 1024 + 1), name="a.txt")[0] == 413


def test_a_list_is_asked_for_in_words_that_there_are(shop: Shop) -> None:
    for query in ("state=opened", "limit=0", "limit=201", "limit=x", "colour=red", "limit=%D9%A1"):
        assert shop.get(f"/v1/disputes?{query}", key=shop.merchant_key).status_code == 422, query
    assert shop.get("/v1/disputes?state=closed&limit=1", key=shop.merchant_key).status_code == 200
