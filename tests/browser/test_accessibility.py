"""axe-core on every page, in both colour schemes."""

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.browser.conftest import Office, sign_in

pytestmark = pytest.mark.browser


def serious(page: Any) -> list[str]:
    """What axe calls serious or critical, with where it is."""
    found = Axe().run(page).response["violations"]
    return [
        f"{violation['id']}: {node['target']}"
        for violation in found
        if violation["impact"] in {"serious", "critical"}
        for node in violation["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_issue_on_any_page(office: Office, browser: Any, scheme: str) -> None:
    case = office.flagged(f"axe-{scheme}", size=3)
    context = browser.new_context(color_scheme=scheme)
    page = context.new_page()
    page.goto(f"{office.url}/console/sign-in")
    issues = {"sign-in": serious(page)}
    sign_in(page, office)
    case_path = f"/console/cases/{case['case_id']}"
    assert page.request.get(f"{office.url}{case_path}").ok
    page.goto(f"{office.url}{case_path}")
    page.get_by_role("button", name="Claim this case").click()
    page.get_by_text("Held by you").wait_for()
    decision_id = office.shop.get(f"/v1/orders/{case['order_id']}").json()["decision_id"]
    for path in (
        "/console/",
        case_path,
        f"{case_path}/stop",
        "/console/decisions",
        f"/console/decisions/{decision_id}",
        "/console/overview",
        "/console/no-such-page",
    ):
        page.goto(f"{office.url}{path}")
        issues[path] = serious(page)
    page.goto(f"{office.url}{case_path}/stop")
    page.get_by_role("button", name="Stop the order").click()
    notice = office.asked_to_stop()
    merchant = browser.new_context(color_scheme=scheme, locale="de-DE").new_page()
    merchant.goto(notice["data"]["answer_url"])
    issues["merchant form"] = serious(merchant)
    merchant.locator("button[type=submit]").click()
    issues["merchant form with mistakes"] = serious(merchant)
    merchant.locator("#kind-stopped_before_shipping").check()
    merchant.locator("button[type=submit]").click()
    issues["merchant form answered"] = serious(merchant)
    merchant.goto(f"{office.url}/stop/nothing.here")
    issues["merchant form, dead link"] = serious(merchant)
    page.goto(f"{office.url}{case_path}")
    issues["case after the answer"] = serious(page)
    assert {name: found for name, found in issues.items() if found} == {}
