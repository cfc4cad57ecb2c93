"""The pages of the queue and the case through HTTP, signed in for real, on SQLite and PostgreSQL."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from itertools import pairwise

import httpx
import pytest
from msgspec import structs

from serving.console import queue_page as queue_page_module
from serving.console.case_page import ROUTES as CASE_ROUTES
from serving.console.queue_page import ROUTES as QUEUE_ROUTES
from serving.domain.console_user import ConsoleRole
from serving.domain.flag_reason import FlagReason
from serving.domain.review_case import CaseState, Verdict
from serving.stop_requests.answering import answer
from serving.stop_requests.stop_requesting import request_due
from serving.store.case_queue import case_of, update_case
from serving.store.stop_requests import stop_requests_of_case
from tests.serving.case_desk import MINUTE, CaseDesk, a_desk
from tests.serving.console_browser import Browser, ConsoleServer

VOID = {"meta", "link", "input", "br", "hr", "img"}
ME = "fraud-user"


class _Page(HTMLParser):
    """Checks that what is opened is closed, that ids are unique, labels and headings are in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.pointed_at: set[str] = set()
        self.labelled: set[str] = set()
        self.fields: set[str] = set()
        self.headings: list[int] = []
        self.keys: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        assert len(known) == len(attrs), (tag, attrs)
        assert not {"style", "onclick", "onsubmit"} & set(known)
        if tag not in VOID:
            self.open.append(tag)
        if "id" in known:
            self.ids.append(known["id"] or "")
        for name in ("for", "aria-labelledby", "aria-describedby"):
            self.pointed_at |= set((known.get(name) or "").split())
        if tag == "label":
            self.labelled.add(known.get("for") or "")
        if tag in {"input", "select", "textarea"} and known.get("type") != "hidden":
            self.fields.add(known.get("id") or f"{tag} without an id")
        if re.fullmatch(r"h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if "data-key" in known:
            self.keys.append(known["data-key"] or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, (tag, self.getpos())


def checked(response: httpx.Response, status: int = 200) -> str:
    """The page, once it is found well-formed and accessible as far as text can tell."""
    assert response.status_code == status, response.text
    page = _Page(response.text)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids)), page.ids
    assert page.pointed_at <= set(page.ids)
    assert page.fields <= page.labelled
    assert page.headings[0] == 1
    assert all(later <= earlier + 1 for earlier, later in pairwise(page.headings))
    assert len(page.keys) == len(set(page.keys)), page.keys
    tables = response.text.count("<table")
    assert response.text.count("<caption") == tables
    return response.text


@dataclass
class Team:
    """A console, a desk with case1 on its store, and a browser of the fraud team."""

    server: ConsoleServer
    desk: CaseDesk
    browser: Browser

    def get(self, path: str, status: int = 200) -> str:
        self.server.clock.now = self.desk.now
        return checked(self.browser.get(path), status)

    def post(self, path: str, status: int = 303, **fields: str) -> str:
        """The address that a step leads to, or the page that says why it was refused."""
        self.server.clock.now = self.desk.now
        response = self.browser.post(path, fields)
        if status == 303:
            assert response.status_code == 303, response.text
            return response.headers["location"]
        return checked(response, status)

    def step(self, name: str, status: int = 303, **fields: str) -> str:
        return self.post(f"/cases/case1/{name}", status, **fields)

    def stopped(self) -> str:
        """The id of the stop request, once the stop has taken effect."""
        self.step("claim")
        self.step("stop")
        self.desk.now += MINUTE
        request_due(self.desk.scope)
        with self.desk.store.reading() as tx:
            return stop_requests_of_case(tx, "case1")[0].request.stop_request_id


@pytest.fixture
def team(database_url: str) -> Iterator[Team]:
    with ConsoleServer(database_url, routes=(*QUEUE_ROUTES, *CASE_ROUTES)) as server:
        desk = a_desk(server.scope.store, device_id="device-1")
        server.clock.now = desk.now
        yield Team(server, desk, server.signed_in(ConsoleRole.FRAUD))


def test_the_queue_shows_cases_in_the_order_of_work(team: Team) -> None:
    team.desk.order("2")
    with team.desk.store.writing("someone") as tx:
        tx.execute("UPDATE review_cases SET priority = 5 WHERE case_id = 'case2'")
    page = team.get("/")
    assert page.index("/console/cases/case2") < page.index("/console/cases/case1")
    assert "data-countdown" in page
    assert 'data-key="n"' in page
    assert "2 open, 0 claimed" in page


def test_the_parts_that_refresh_are_the_same_without_the_frame(team: Team) -> None:
    page = team.get("/?holder=nobody&state=open")
    urls = re.findall(r'data-refresh-url="([^"]+)"', page)
    assert len(urls) == 2
    for url in urls:
        part = team.browser.get(url.removeprefix("/console").replace("&amp;", "&"))
        assert part.status_code == 200
        assert "<html" not in part.text
        assert part.text.strip() in page


def test_pages_of_the_queue_follow_each_other(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_page_module, "PAGE_SIZE", 2)
    for number in range(2, 6):
        team.desk.order(str(number))
    seen: list[str] = []
    path: str | None = "/"
    while path is not None:
        page = team.get(path)
        seen += re.findall(r'href="/console/cases/(case\d)"', page)
        link = re.search(r'href="/console(/\?[^"]*after=[^"]*)" data-key="l"', page)
        path = link.group(1).replace("&amp;", "&") if link else None
    assert sorted(seen) == ["case1", "case2", "case3", "case4", "case5"]


@pytest.mark.parametrize(
    "query", ["after=nonsense", "after=1.closed.x", "state=x&origin=y", "search=%00", "after=9.open.%00"]
)
def test_an_address_that_makes_no_sense_shows_the_queue(team: Team, query: str) -> None:
    assert "/console/cases/case1" in team.get(f"/?{query}")


def test_a_search_finds_by_order_customer_and_case(team: Team) -> None:
    for named in ("o1", "c1", "case1", " case1 "):
        assert "/console/cases/case1" in team.get(f"/?search={named}")
    assert "No case has" in team.get("/?search=%3Cscript%3E")


def test_filters_leave_out_what_is_not_wanted(team: Team) -> None:
    for query in ("state=closed", "origin=sampled", "merchant=m9", "holder=bob"):
        assert "/console/cases/case1" not in team.get(f"/?{query}")
    assert "/console/cases/case1" in team.get("/?state=open&origin=flagged&merchant=m1")


def test_claiming_the_next_case_leads_to_it_and_giving_back_to_the_queue(team: Team) -> None:
    assert team.post("/queue/claim-next") == "/console/cases/case1"
    assert team.desk.case().reviewer == ME
    assert "The case is yours." in team.get("/cases/case1")
    assert "held by you" in team.get("/")
    assert team.post("/queue/claim-next") == "/console/"
    assert "No case is waiting." in team.get("/")
    assert team.step("give-back", 303, **{"from": "queue"}) == "/console/"
    assert team.desk.case().state is CaseState.OPEN


def test_a_case_that_is_not_there_is_not_found(team: Team) -> None:
    team.get("/cases/case_nothing", 404)
    team.get("/cases/case_nothing/stop", 404)
    team.post("/cases/case_nothing/claim", 404)
    team.post("/cases/case_nothing/investigation/open", 404, investigation_reason="why")
    team.get("/cases/%01", 404)


def test_the_customer_is_contacted_and_the_outcome_recorded(team: Team) -> None:
    team.step("claim")
    page = team.get("/cases/case1")
    assert "+49 30 1234567" in page
    team.step("contact")
    assert "What came of the contact?" in team.get("/cases/case1")
    assert "must be one of" in team.step("contact-outcome", 422, outcome="maybe")
    team.step("contact-outcome", outcome="confirmed")
    assert "The customer placed the order" in team.get("/cases/case1")
    team.step("release")
    assert team.desk.case().verdict is Verdict.RELEASED


def test_a_stop_asks_first_and_shows_what_the_merchant_gets(team: Team) -> None:
    team.get("/cases/case1/stop", 409)
    team.step("claim")
    page = team.get("/cases/case1/stop")
    assert "Bitte stoppen Sie die Bestellung o1" in page
    assert 'lang="de"' in page
    assert "Mustermann" not in page
    assert team.desk.case().verdict is None
    team.step("stop")
    page = team.get("/cases/case1")
    assert 'data-key="u"' in page
    assert "data-countdown" in page
    team.step("undo")
    assert team.desk.case().state is CaseState.CLAIMED
    team.step("stop")
    team.desk.now += MINUTE
    assert "A stop can be undone for" in team.step("undo", 409)


def test_a_stop_in_effect_is_withdrawn_and_a_closed_case_re_opened_with_a_reason(team: Team) -> None:
    team.stopped()
    assert "Withdraw the stop" in team.get("/cases/case1")
    team.step("withdraw")
    assert "Withdrawn" in team.get("/cases/case1")
    assert "is required" in team.step("reopen", 422, reason=" ")
    team.step("reopen", reason="the customer called")
    assert "the customer called" in team.get("/cases/case1")


def test_another_reviewer_is_told_who_holds_the_case(team: Team) -> None:
    other = team.server.signed_in(ConsoleRole.ADMIN)
    team.step("claim")
    page = checked(other.post("/cases/case1/release"), 409)
    assert f"{ME} holds this case." in page
    assert team.desk.case().verdict is None


def test_what_was_typed_is_not_lost_and_never_becomes_markup(team: Team) -> None:
    note = "<script>alert(1)</script>\nsecond \"line\" & 'more'"
    team.step("claim")
    page = team.step("note", 422, note=note + "x" * 4_000)
    assert "&lt;script&gt;alert(1)" in page
    team.step("note", note=note)
    page = team.get("/cases/case1")
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;<br>second" in page


def test_a_recall_and_a_notice_are_followed_up(team: Team) -> None:
    stop_request_id = team.stopped()
    with team.desk.store.writing("someone") as tx:
        tx.execute("UPDATE deliveries SET state = 'given_up', next_attempt_at_ms = NULL")
        ((delivery_id,),) = tx.execute("SELECT delivery_id FROM deliveries")
    assert "Send it again" in team.get("/cases/case1")
    team.post(f"/cases/case1/deliveries/{delivery_id}/resend")
    assert "Being sent" in team.get("/cases/case1")
    team.post("/cases/case1/deliveries/nothing/resend", 409)
    given = {"carrier": "PostNord", "tracking_number": "SE1<23>", "note": "<i>sorry</i>"}
    answer(team.desk.scope, stop_request_id, merchant_id="m1", kind="shipped_with_tracking", **given)
    page = team.get("/cases/case1")
    assert "The order has already been shipped, with a tracking number" in page
    assert "&lt;i&gt;sorry" in page
    assert "What came of the recall?" in page
    path = f"/cases/case1/stop-requests/{stop_request_id}/recall-result"
    team.post(path, 422, result="lost")
    team.post(path, result="failed")
    assert "The parcel could not be recalled" in team.get("/cases/case1")
    team.post("/cases/case1/stop-requests/stp_x/recall-result", 409, result="failed")
    # What asks the merchant to stop is not sent again once it has answered.
    assert "Send it again" not in team.get("/cases/case1")
    team.post(f"/cases/case1/deliveries/{delivery_id}/resend", 409)


def test_an_investigation_is_opened_asked_in_and_concluded(team: Team) -> None:
    team.post("/cases/case1/investigation/open", 422, investigation_reason="")
    team.post("/cases/case1/investigation/open", investigation_reason="looks odd")
    assert "no form to answer in" in team.post("/cases/case1/investigation/question", 409, question="Where?")
    team.post("/cases/case1/investigation/conclude", 409, finding="fraud_confirmed")
    team.stopped()
    team.post("/cases/case1/investigation/question", 422, question="")
    team.post("/cases/case1/investigation/question", question="Where did it go?")
    assert "Where did it go?" in team.get("/cases/case1")
    team.post("/cases/case1/investigation/conclude", 422, finding="perhaps")
    team.post("/cases/case1/investigation/conclude", finding="fraud_confirmed")
    page = team.get("/cases/case1")
    assert "Fraud confirmed" in page
    assert "Liability and settlement" in page


def test_linked_orders_are_drawn_and_listed(team: Team) -> None:
    for number in ("2", "3"):
        team.desk.order(number, device_id="device-1")
    team.desk.outcome("fraud_chargeback", order_id="o2")
    page = team.get("/cases/case1")
    assert page.count('href="/console/cases/case2"') == 2
    assert page.count("<circle") == 1
    assert "o2, fraud confirmed" in page
    assert "Linked orders, those with a confirmed fraud first" in page


def test_reasons_have_words_values_and_bars(team: Team) -> None:
    reason = FlagReason(
        code="shared_device",
        text="customers first seen in the window with the same device, this one too",
        unit="count",
        value=4.0,
        usual=1.0,
        contribution=2.0,
    )
    other = structs.replace(reason, code="order_night", value=None)
    with team.desk.store.writing("someone") as tx:
        stored = case_of(tx, "case1")
        assert stored is not None
        renewed = replace(stored, reasons=(reason, other))
        update_case(tx, renewed, version_before=1)
    page = team.get("/cases/case1")
    assert "Several customers on this device" in page
    assert 'class="bar-danger" width="100.0"' in page
    assert "not known" in page
    assert "Several customers on this device, Ordered at night" in team.get("/")


def test_an_analyst_sees_neither_queue_nor_case(team: Team) -> None:
    analyst = team.server.signed_in(ConsoleRole.ANALYST)
    for path in ("/", "/queue/rows", "/queue/counts", "/cases/case1", "/cases/case1/stop"):
        assert analyst.get(path).status_code == 403
    assert analyst.post("/cases/case1/claim").status_code == 403
    assert "Mustermann" not in analyst.get("/cases/case1").text
