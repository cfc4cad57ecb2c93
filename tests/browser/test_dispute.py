"""A dispute in a real browser from both sides: the merchant's form and the service desk's pages."""

from typing import Any

import pytest

from serving.console.sign_in import add_user
from serving.store.api_keys import create_key
from serving.store.open_store import open_store
from serving.store.store import now_ms
from tests.browser.conftest import PASSWORD, Office, sign_in
from tests.browser.test_accessibility import serious
from tests.builders import an_invoice
from tests.serving.http.conftest import Row, as_event

pytestmark = pytest.mark.browser


def opened(office: Office, portal: str, name: str) -> Row:
    office.shop.customer(name)
    office.shop.score(f"o-{name}", name, amount_cents=5_000)
    invoice = an_invoice(f"i-{name}", name, at=now_ms(), order_id=f"o-{name}", amount_cents=5_000)
    office.shop.events(as_event("invoices", invoice))
    body = {
        "customer_id": name,
        "reason": "not_received",
        "text": "The parcel\u202e never came. " + "x" * 200,
        "amount_cents": 2_000,
    }
    answer = office.shop.post(f"/v1/orders/o-{name}/disputes", body, key=portal)
    assert answer.status_code == 201, answer.text
    document: Row = answer.json()
    return document


def merchant_answers(merchant: Any, page_url: str) -> dict[str, list[str]]:
    """From the page of open items by the form, with a mistake first; what axe found on the way."""
    merchant.goto(page_url)
    issues = {"open items": serious(merchant)}
    merchant.locator('a[href*="/dispute/"]').last.click()
    assert merchant.locator("html").get_attribute("lang") == "de"
    issues["form"] = serious(merchant)
    assert merchant.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    merchant.locator("#kind-shipped_with_tracking").check()
    merchant.locator("#carrier").fill("PostNord")
    merchant.locator("#file").set_input_files(
        {"name": "foto.png", "mimeType": "image/png", "buffer": b"no picture \x00"}
    )
    merchant.get_by_role("button", name="Antwort senden").click()
    assert merchant.get_by_role("alert").is_visible()
    issues["form with mistakes"] = serious(merchant)
    assert merchant.locator("#carrier").input_value() == "PostNord"
    merchant.locator("#tracking_number").fill("SE123456789")
    merchant.locator("#file").set_input_files(
        {"name": "beleg.txt", "mimeType": "text/plain", "buffer": b"Zugestellt."}
    )
    merchant.get_by_role("button", name="Antwort senden").click()
    merchant.get_by_text("Vielen Dank für Ihre Antwort").wait_for()
    assert merchant.get_by_text("beleg.txt").is_visible()
    issues["form answered"] = serious(merchant)
    return issues


def desk_decides(desk: Any, dispute_id: str, judged: Any) -> dict[str, list[str]]:
    """From the queue to the decision, with a mistake first. judged: what looks at a page."""
    assert desk.get_by_role("heading", name="Disputes").is_visible()
    issues = {"queue": judged(desk)}
    desk.get_by_role("link", name=dispute_id).click()
    desk.get_by_role("button", name="Claim this dispute").click()
    desk.get_by_text("Held by you").wait_for()
    with desk.expect_download() as download:
        desk.get_by_role("link", name="beleg.txt").click()
    assert download.value.suggested_filename == "beleg.txt"
    desk.locator("#decide-for-customer").check()
    desk.locator("#decide-award_cents").fill("99.00")
    desk.locator("#decide-text").fill("There is no proof of delivery.")
    desk.get_by_role("button", name="Decide the dispute").click()
    assert desk.get_by_role("alert").is_visible()
    assert desk.locator("#decide-text").input_value() == "There is no proof of delivery."
    issues["dispute with mistakes"] = judged(desk)
    desk.locator("#decide-award_cents").fill("15.00")
    desk.get_by_role("button", name="Decide the dispute").click()
    desk.get_by_text("The dispute is decided.").wait_for()
    issues["dispute decided"] = judged(desk)
    return issues


@pytest.mark.parametrize(("scheme", "with_script"), [("light", True), ("dark", True), ("light", False)])
def test_a_dispute_goes_through_from_both_sides_and_axe_finds_nothing_serious(
    office: Office, browser: Any, scheme: str, with_script: bool
) -> None:
    """Without script all works as well; axe is a script itself, and then sees the merchant's side alone."""
    name = f"dispute-{scheme}-{'script' if with_script else 'plain'}"
    store = open_store(office.shop.settings.database_url)
    portal = create_key(store, name=f"app-{name}", role="portal", merchant_id=None, now_ms=now_ms())
    add_user(store, name=f"sue-{name}", role="service", password=PASSWORD, now_ms=now_ms())
    store.close()
    dispute_id = opened(office, portal, name)["dispute_id"]
    listed = office.shop.get("/v1/open-items", key=office.shop.merchant_key).json()
    merchant = browser.new_context(
        color_scheme=scheme, locale="de-DE", viewport={"width": 390, "height": 844}
    ).new_page()
    issues = merchant_answers(merchant, listed["page_url"])
    said = {"customer_id": name, "text": "Nobody rang the bell."}
    assert office.shop.post(f"/v1/disputes/{dispute_id}/statement", said, key=portal).status_code == 200
    desk = browser.new_context(color_scheme=scheme, java_script_enabled=with_script).new_page()
    sign_in(desk, office, f"sue-{name}")
    issues |= desk_decides(desk, dispute_id, serious if with_script else lambda _page: [])
    merchant.reload()
    assert merchant.get_by_text("There is no proof of delivery.").is_visible()
    issues["form closed"] = serious(merchant)
    assert {place: found for place, found in issues.items() if found} == {}
