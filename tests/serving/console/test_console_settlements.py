"""The console's page of settlement notes: who sees it, what stands there, and what is said of a slip."""

import html
import re
from collections.abc import Iterator

import pytest

from serving.console.settlements_page import ROUTES
from serving.domain.console_user import ConsoleRole
from serving.store.store import Store
from tests.builders import an_adjustment, an_invoice
from tests.serving.cases.settling import a_settling_desk
from tests.serving.console_browser import Browser, ConsoleServer


@pytest.fixture
def server(database_url: str, store: Store) -> Iterator[ConsoleServer]:
    """A console in July 2026, after 100.00 were invoiced in June and 30.00 credited in the same month."""
    desk = a_settling_desk(store)
    desk.row("invoices", an_invoice(at=desk.now))
    desk.settle_all()
    desk.row("invoice_adjustments", an_adjustment(at=desk.now, amount_cents=2_000))
    desk.settle_all()
    desk.row("invoice_adjustments", an_adjustment(at=desk.now, amount_cents=1_000))
    desk.settle_all()
    with ConsoleServer(database_url) as started:
        started.clock.now = desk.now
        yield started


def text_of(page: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def shown(browser: Browser, path: str) -> str:
    answer = browser.get(path)
    assert answer.status_code == 200, answer.text
    return answer.text


def test_the_page_shows_balances_sums_and_lines_and_leads_to_the_file(server: ConsoleServer) -> None:
    browser = server.signed_in(ConsoleRole.ANALYST)
    page = shown(browser, "/settlements?merchant=m1&period=2026-06")
    said = text_of(page)
    for part in ("EUR 66.00", "Payout", "Fee", "Return (reversed)", "Open: more may be posted."):
        assert part.replace("EUR 66.00", "66.00") in said, part
    [link] = re.findall(r'href="/console(/settlements/[^"]*/csv)"', page)
    file = browser.get(html.unescape(link))
    assert file.headers["content-type"].startswith("text/csv")
    assert file.headers["content-disposition"] == 'attachment; filename="settlement-m1-2026-06.csv"'
    assert file.text.endswith("closing balance,,,,,EUR,66.00,6600\r\n")
    assert len(file.text.splitlines()) == 8


def test_the_page_begins_with_the_month_that_runs(server: ConsoleServer) -> None:
    page = shown(server.signed_in(ConsoleRole.FRAUD), "/settlements")
    assert 'value="2026-06"' in page
    assert "<table" not in page
    assert "Nothing was posted" in shown(
        server.signed_in(ConsoleRole.FRAUD), "/settlements?merchant=m1&period=2026-05"
    )


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("merchant=m1&period=2026-13", "Period: must be a month such as 2026-11."),
        ("merchant=nobody&period=2026-06", "There is no such merchant."),
        ("merchant=m1&period=2026-06&after=x", "After: is none that a page named as next."),
    ],
)
def test_a_slip_is_said_on_the_page(server: ConsoleServer, query: str, said: str) -> None:
    answer = server.signed_in(ConsoleRole.ADMIN).get(f"/settlements?{query}")
    assert answer.status_code == 422
    assert said in text_of(answer.text)


def test_a_file_of_nobody_or_of_no_month_is_none(server: ConsoleServer) -> None:
    browser = server.signed_in(ConsoleRole.ADMIN)
    assert browser.get("/settlements/nobody/2026-06/csv").status_code == 404
    assert browser.get("/settlements/m1/never/csv").status_code == 404


def test_the_service_desk_sees_no_settlement(server: ConsoleServer) -> None:
    for role in set(ConsoleRole) - ROUTES[0].roles:
        browser = server.signed_in(role)
        assert browser.get("/settlements?merchant=m1").status_code == 403
        assert browser.get("/settlements/m1/2026-06/csv").status_code == 403


def test_what_is_typed_is_shown_as_text(server: ConsoleServer) -> None:
    answer = server.signed_in(ConsoleRole.ADMIN).get('/settlements?merchant="><script>x</script>')
    assert "<script>x" not in answer.text
