"""Settlement notes over real HTTP: who may read whose, in which form, and what is refused by name."""

import csv
import io
from collections.abc import Iterator
from zoneinfo import ZoneInfo

import httpx
import pytest

from serving.cases.settling_orders import settle_due
from serving.domain.settlement_period import Period
from serving.in_force.policy_activation import PolicyFile, active_policy
from serving.requests.case_scope import CaseScope
from serving.store.api_keys import Role, create_key
from serving.store.open_store import open_store
from serving.store.store import Store, now_ms
from tests.builders import DAY, Row, a_merchant, an_adjustment, an_invoice, an_order
from tests.serving.http.conftest import Shop, as_event
from tests.serving.policy_versions import a_policy_file

NOTES = "/v1/settlement-notes"
PERIOD = Period.at(now_ms(), ZoneInfo("Europe/Berlin")).text
MERCHANT, OTHER = "settled-m1", "settled-m2"
"""Merchants of these tests alone: the service is that of all tests."""


@pytest.fixture(scope="module")
def store(shop: Shop) -> Iterator[Store]:
    opened = open_store(shop.settings.database_url)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def keys(shop: Shop, store: Store) -> dict[Role, str]:
    def key(role: str, merchant_id: str | None = None) -> str:
        return create_key(store, name=f"notes-{role}", role=role, merchant_id=merchant_id, now_ms=now_ms())

    row = a_merchant(MERCHANT, event_id=MERCHANT, at=now_ms() - 500 * DAY)
    shop.events(as_event("merchants", row))
    return {
        Role.CHECKOUT: shop.checkout_key,
        Role.MERCHANT: key("merchant", MERCHANT),
        Role.LEDGER: shop.ledger_key,
        Role.FRAUD: key("fraud"),
        Role.ADMIN: key("admin"),
        Role.PORTAL: key("portal"),
    }


@pytest.fixture(scope="module")
def merchants_key(keys: dict[Role, str]) -> str:
    return keys[Role.MERCHANT]


@pytest.fixture(scope="module")
def others_key(shop: Shop, store: Store) -> str:
    """Of a merchant to whom nothing was posted."""
    row = a_merchant(OTHER, event_id=OTHER, at=now_ms() - 500 * DAY)
    shop.events(as_event("merchants", row))
    return create_key(store, name="notes-other", role="merchant", merchant_id=OTHER, now_ms=now_ms())


@pytest.fixture(scope="module", autouse=True)
def settled(shop: Shop, store: Store, keys: dict[Role, str]) -> None:
    """100.00 invoiced for m1, of which 30.00 came back, as the worker settles it."""
    shop.customer("settled-1")
    at = now_ms() // 1000 * 1000 - 9_863
    at_merchant = {"merchant_id": MERCHANT, "merchant_order_number": "M-77"}
    rows: list[tuple[str, Row]] = [
        ("orders", an_order("settled-o1", "settled-1", at=at - DAY, **at_merchant)),
        ("invoices", an_invoice("settled-i1", "settled-1", at=at, order_id="settled-o1")),
        ("invoice_adjustments", an_adjustment("settled-i1", "settled-1", at=at + 1, amount_cents=3_000)),
    ]
    shop.events(*(as_event(contract, row) for contract, row in rows))
    active_policy(store, lambda: PolicyFile.read(None), now_ms=now_ms())
    scope = CaseScope(
        store=store,
        # Whenever the test runs, what it sends is settled.
        policy=a_policy_file("any", settles_from="2020-01-01").policy,
        now_ms=now_ms,
        public_url="http://127.0.0.1",
    )
    while settle_due(scope):
        pass


def ask(shop: Shop, key: str, accept: str | None = None, **query: str | int) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key}", **({} if accept is None else {"Accept": accept})}
    return shop.client.get(NOTES, params=query, headers=headers)


@pytest.mark.parametrize("role", Role, ids=lambda role: role.value)
def test_the_back_office_and_the_merchant_read_a_note_and_nobody_else(
    shop: Shop, keys: dict[Role, str], role: Role
) -> None:
    answer = ask(shop, keys[role], merchant_id=MERCHANT, period=PERIOD)
    if role not in {Role.LEDGER, Role.ADMIN, Role.MERCHANT}:
        assert answer.status_code == 403
        return
    note = answer.json()
    assert (note["merchant_id"], note["period"], note["is_closed"], note["next"]) == (
        MERCHANT,
        PERIOD,
        False,
        None,
    )
    assert [(line["text"], line["amount_cents"]) for line in note["lines"]] == [
        ("payout", 10_000),
        ("fee", -400),
        ("return", -3_000),
    ]
    assert {
        (line["order_id"], line["merchant_order_number"], line["invoice_id"]) for line in note["lines"]
    } == {("settled-o1", "M-77", "settled-i1")}
    assert note["balances"] == [
        {"currency": "EUR", "opening_cents": 0, "posted_cents": 6_600, "closing_cents": 6_600}
    ]


def test_a_merchants_key_reads_its_own_notes_without_a_name_and_no_others(
    shop: Shop, merchants_key: str, others_key: str
) -> None:
    assert ask(shop, merchants_key, period=PERIOD).json()["merchant_id"] == MERCHANT
    other = ask(shop, others_key, period=PERIOD).json()
    assert (other["merchant_id"], other["lines"], other["balances"]) == (OTHER, [], [])
    refused = ask(shop, others_key, merchant_id=MERCHANT, period=PERIOD)
    unknown = ask(shop, shop.ledger_key, merchant_id="m99", period=PERIOD)
    assert (refused.status_code, unknown.status_code) == (404, 404)
    assert refused.json()["type"] == unknown.json()["type"]
    assert ask(shop, shop.ledger_key, merchant_id="m\x001", period=PERIOD).status_code == 404


@pytest.mark.parametrize(
    ("query", "pointers"),
    [
        ({}, ["/period", "/merchant_id"]),
        ({"merchant_id": MERCHANT, "period": "2026-13"}, ["/period"]),
        ({"merchant_id": MERCHANT, "period": PERIOD, "format": "pdf"}, ["/format"]),
        ({"merchant_id": MERCHANT, "period": PERIOD, "limit": "0"}, ["/limit"]),
        ({"merchant_id": MERCHANT, "period": PERIOD, "limit": "1001"}, ["/limit"]),
        ({"merchant_id": MERCHANT, "period": PERIOD, "after": "x"}, ["/after"]),
        ({"merchant_id": MERCHANT, "period": PERIOD, "month": "1"}, ["/month"]),
        ({"merchant_id": "", "period": PERIOD}, ["/merchant_id"]),
    ],
)
def test_what_is_wrong_with_a_question_is_named(shop: Shop, query: Row, pointers: list[str]) -> None:
    answer = ask(shop, shop.ledger_key, **query)
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == pointers


def test_the_lines_come_in_pages(shop: Shop, merchants_key: str) -> None:
    first = ask(shop, merchants_key, period=PERIOD, limit=2).json()
    second = ask(shop, merchants_key, period=PERIOD, limit=2, after=first["next"]).json()
    assert [line["text"] for line in (*first["lines"], *second["lines"])] == ["payout", "fee", "return"]
    assert second["next"] is None
    assert first["sums"] == second["sums"]


@pytest.mark.parametrize(("accept", "query"), [("text/csv", {}), (None, {"format": "csv"})])
def test_a_note_is_a_file_for_whoever_asks_for_csv(
    shop: Shop, merchants_key: str, accept: str | None, query: dict[str, str]
) -> None:
    answer = ask(shop, merchants_key, accept, period=PERIOD, **query)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    assert (
        answer.headers["content-disposition"] == f'attachment; filename="settlement-{MERCHANT}-{PERIOD}.csv"'
    )
    assert answer.headers["x-content-type-options"] == "nosniff"
    rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert [(row["text"], row["amount"]) for row in rows] == [
        ("opening balance", "0.00"),
        ("payout", "100.00"),
        ("fee", "-4.00"),
        ("return", "-30.00"),
        ("closing balance", "66.00"),
    ]
    assert ask(shop, merchants_key, "text/csv", period=PERIOD, format="json").json()["period"] == PERIOD
