"""The life of an invoice over HTTP."""

from serving.store.store import now_ms
from tests.builders import DAY, a_payment, an_invoice, an_order
from tests.serving.http.conftest import Shop, as_event


def test_the_back_office_and_the_checkout_see_how_an_invoice_stands(shop: Shop) -> None:
    shop.customer("billed")
    at = now_ms() - 30 * DAY
    shop.events(
        as_event("orders", an_order("o-billed", "billed", at=at)),
        as_event("invoices", an_invoice("i-billed", "billed", at=at, order_id="o-billed")),
        as_event("invoice_payments", a_payment("i-billed", "billed", at=at + DAY, amount_cents=12_000)),
    )
    for key in (shop.ledger_key, shop.checkout_key):
        answer = shop.get("/v1/invoices/i-billed", key=key)
        assert answer.status_code == 200, answer.text
        life = answer.json()
        assert (life["phase"], life["overpaid_cents"], life["outstanding_cents"]) == ("overpaid", 2_000, 0)
        assert [one["name"] for one in life["timeline"]] == ["issued", "paid"]
    unknown = shop.get("/v1/invoices/i-nobodys", key=shop.ledger_key)
    assert unknown.status_code == 404
    assert unknown.json()["type"].endswith("unknown-invoice")
    assert shop.get("/v1/invoices/i-billed", key=shop.merchant_key).status_code == 403
