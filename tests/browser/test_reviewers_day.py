"""A reviewer's whole day in a real browser, and the merchant's side of it."""

import io
import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.browser.conftest import Office, sign_in

pytestmark = pytest.mark.browser

SCREENSHOTS = os.environ.get("BONITAS_SCREENSHOTS")


def shot(page: Any, name: str) -> None:
    """A picture for the README, where `make screenshots` asks for them."""
    if SCREENSHOTS:
        taken = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        # A page has few colours, and a palette makes its picture half as large.
        taken.quantize(256, dither=Image.Dither.NONE).save(Path(SCREENSHOTS) / f"{name}.png", optimize=True)


def merchant_answers(browser: Any, url: str) -> None:
    """On a telephone, without JavaScript, in Swedish, and with a mistake first."""
    merchant = browser.new_context(
        locale="sv-SE", java_script_enabled=False, viewport={"width": 390, "height": 844}
    ).new_page()
    merchant.goto(url)
    assert merchant.locator("html").get_attribute("lang") == "sv"
    shot(merchant, "merchant_form")
    merchant.locator("#kind-shipped_with_tracking").check()
    merchant.get_by_role("button", name="Skicka svar").click()
    assert merchant.get_by_role("alert").is_visible()
    merchant.locator("#carrier").fill("PostNord")
    merchant.locator("#tracking_number").fill("SE123456789")
    merchant.get_by_role("button", name="Skicka svar").click()
    merchant.get_by_text("SE123456789").first.wait_for()
    assert merchant.get_by_text("Tack för ert svar").is_visible()
    merchant.locator("h1").scroll_into_view_if_needed()
    shot(merchant, "merchant_answered")


def test_from_sign_in_to_the_merchants_answer(office: Office, browser: Any) -> None:
    case = office.flagged("day", size=3)
    context = browser.new_context(locale="de-DE", viewport={"width": 1280, "height": 1000})
    page = context.new_page()
    page.goto(f"{office.url}/console/")
    assert page.url.startswith(f"{office.url}/console/sign-in")
    shot(page, "sign_in")
    sign_in(page, office)
    assert page.get_by_role("heading", name="Queue").is_visible()
    page.get_by_text(case["order_id"]).first.wait_for()
    shot(page, "queue")

    page.goto(f"{office.url}/console/cases/{case['case_id']}")
    page.keyboard.press("t")
    page.get_by_text("Held by you").wait_for()
    page.keyboard.press("m")
    page.keyboard.type("three orders, one device")
    page.get_by_role("button", name="Keep the note").click()
    page.get_by_text("three orders, one device").first.wait_for()
    page.get_by_role("button", name="Contact the customer").click()
    page.locator("#outcome-denied").check()
    page.get_by_role("button", name="Record it").click()
    page.get_by_role("heading", name="Why it was flagged").wait_for()
    shot(page, "case")

    page.get_by_role("link", name="Stop the order").click()
    assert page.get_by_role("heading", name="Notice to the merchant").is_visible()
    shot(page, "stop")
    page.get_by_role("button", name="Stop the order").click()
    page.get_by_role("button", name="Undo the stop").click()
    page.get_by_text("Held by you").wait_for()
    page.get_by_role("link", name="Stop the order").click()
    page.get_by_role("button", name="Stop the order").click()
    page.get_by_text("Until then it can be undone").wait_for()

    notice = office.asked_to_stop()
    merchant_answers(browser, notice["data"]["answer_url"])
    page.goto(f"{office.url}/console/cases/{case['case_id']}")
    page.get_by_text("SE123456789").first.wait_for()
    page.get_by_role("heading", name="Stop requests").scroll_into_view_if_needed()
    assert page.get_by_role("heading", name="Stop requests").is_visible()
    shot(page, "case_answered")
    page.get_by_role("link", name="Decisions").click()
    page.get_by_text(case["order_id"]).first.wait_for()
    shot(page, "decisions")
    page.get_by_role("link", name="Overview").click()
    page.get_by_role("heading", name="Overview").wait_for()
    shot(page, "overview")
    page.get_by_role("button", name="Sign out").click()
    page.goto(f"{office.url}/console/cases/{case['case_id']}")
    assert page.url.startswith(f"{office.url}/console/sign-in")


def test_a_decision_is_replayed_and_comes_out_the_same(office: Office, browser: Any) -> None:
    case = office.flagged("replayed")
    page = browser.new_context(viewport={"width": 1280, "height": 1000}).new_page()
    sign_in(page, office, "ada")
    page.goto(f"{office.url}/console/decisions?search={case['order_id']}")
    page.locator("table a").first.click()
    page.get_by_role("button", name="Replay").click()
    page.get_by_text("bit for bit").first.wait_for()
    assert "Mustermann" not in page.content()
    shot(page, "decision")


def test_new_cases_appear_without_a_reload(office: Office, browser: Any) -> None:
    page = browser.new_context().new_page()
    sign_in(page, office)
    page.goto(f"{office.url}/console/")
    case = office.flagged("fresh")
    page.get_by_text(case["order_id"]).first.wait_for(timeout=60_000)


def test_one_key_claims_the_case_that_loses_most(office: Office, browser: Any) -> None:
    office.flagged("keyed")
    page = browser.new_context().new_page()
    sign_in(page, office)
    page.keyboard.press("n")
    page.get_by_text("Held by you").wait_for()
    assert "/console/cases/" in page.url
    page.get_by_role("button", name="Give back").click()
