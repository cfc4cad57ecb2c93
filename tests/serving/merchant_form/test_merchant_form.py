"""The merchant's web form on SQLite and PostgreSQL: what it shows, what it takes, what it never tells."""

import asyncio
import base64
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.domain.answer_consequences import ConsequenceCode
from serving.domain.local_forms import local_amount
from serving.domain.merchant_answer import AnswerInvalid, AnswerKind, MistakeCode, parse_answer
from serving.domain.merchant_texts import answer_label, consequence_text, field_label, merchant_text
from serving.domain.policy_reader import parse_policy
from serving.domain.review_case import Verdict
from serving.domain.stop_request import StopRequestState
from serving.domain.text_files import LANGUAGE_NAMES, LANGUAGES
from serving.in_force.model_watch import ModelWatch
from serving.in_force.policy_activation import POLICY_FILE, PolicyFile
from serving.in_force.policy_watch import PolicyInForce
from serving.merchant_form.form_app import merchant_form_app
from serving.merchant_form.form_body import EnteredAnswer, FormUnreadable, parse_form
from serving.merchant_form.form_language import page_language, preferred_language
from serving.merchant_form.form_pages import SECURITY_HEADERS, form_page
from serving.merchant_form.form_view import form_view
from serving.requests.case_scope import CaseScope
from serving.requests.request_scope import RequestScope, StoreDoor
from serving.requests.route_declaration import MERCHANT_FORM_BODY_BYTES
from serving.requests.store_access import StoreAccess
from serving.stop_requests.answering import answer
from serving.stop_requests.form_link import LinkExpired, link_token
from serving.stop_requests.locked_stop_request import StopRequestMoved
from serving.stop_requests.stop_requesting import expire_due, reached, request_stop, view, withdraw
from serving.store.case_queue import case_of, update_case
from serving.store.errors import StoreUnavailable
from serving.store.migrate import migrate
from serving.store.open_store import open_store
from serving.store.stop_requests import stop_requests_of_case
from serving.store.store import Store
from serving.store.tables import metadata
from tests.builders import DAY, Row, a_merchant
from tests.serving.as_sent import as_sent
from tests.serving.case_desk import HOUR, START, CaseDesk
from tests.serving.conftest import written_by_another
from tests.serving.shadow_desk import KnownModels

FORM = "application/x-www-form-urlencoded"
HOST = "pay.example"
TRACKED = {"kind": "shipped_with_tracking", "carrier": "PostNord", "tracking_number": "SE123"}
VOID = frozenset({"meta", "input", "link", "br", "hr", "img"})
PERSONAL = ("Erika", "Mustermann", "erika@example.com", "Heidestra", "51147", "Köln", "1234567", "1980-05-17")
REASONS = ("shared_device", "Many customers use this device", "fraud", "suspic", "probability", "0.9")


@dataclass
class Site:
    """The form before a store with one case and its stop request, asked and delivered."""

    desk: CaseDesk
    access: StoreAccess
    stop_request_id: str = ""
    tokens: dict[str, str] = field(default_factory=dict)

    @property
    def store(self) -> Store:
        return self.desk.store

    @property
    def token(self) -> str:
        return self.token_of(self.stop_request_id)

    def token_of(self, stop_request_id: str) -> str:
        if stop_request_id not in self.tokens:
            with self.store.writing("someone") as tx:
                self.tokens[stop_request_id] = link_token(tx, self.desk.scope, stop_request_id)
        return self.tokens[stop_request_id]

    def request(self, method: str, address: str, **more: Any) -> httpx.Response:
        async def sent() -> httpx.Response:
            transport = httpx.ASGITransport(merchant_form_app(self.access), raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url=f"https://{HOST}") as client:
                return await client.request(method, address, **more)

        return asyncio.run(sent())

    def get(self, query: str = "?lang=en", **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.request("GET", f"/{self.token}{query}", headers=named)

    def post(self, given: dict[str, str], query: str = "?lang=en", **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.request("POST", f"/{self.token}{query}", data=given, headers=named)

    def answered(self, given: dict[str, str], query: str = "?lang=en") -> httpx.Response:
        """The page to which an answer that was taken leads."""
        response = self.post(given, query)
        assert response.status_code == 303, response.text
        return self.get(response.headers["location"])

    def ask(self, case_id: str = "case1") -> str:
        """A stop request that has reached its merchant."""
        self.desk.decided(Verdict.STOP, case_id=case_id)
        with self.store.writing("someone") as tx:
            stored = case_of(tx, case_id)
            assert stored is not None
            reasons = ({"code": "shared_device", "text": "Many customers use this device"},)
            update_case(tx, replace(stored, reasons=reasons), version_before=stored.case.version)
            request = request_stop(tx, self.desk.scope, case_id)
            assert request is not None
            reached(tx, self.desk.scope, request.stop_request_id, self.desk.now)
        return request.stop_request_id

    def withdraw(self) -> None:
        with self.store.writing("case-case1") as tx:
            assert withdraw(tx, self.desk.scope, "case1") is not None

    def document(self) -> Row:
        return as_sent(view(self.desk.scope, self.stop_request_id, merchant_id="m1"))

    def everything(self) -> dict[str, list[Any]]:
        """All rows of all tables."""
        with self.store.reading() as tx:
            return {
                name: sorted(repr(tuple(row)) for row in tx.execute(f"SELECT * FROM {name}"))
                for name in metadata.tables
            }


def a_site(database_url: str, store: Store, *, merchant: Row | None = None, **order: Any) -> Site:
    desk = CaseDesk(store, parse_policy(POLICY_FILE.read_text()))
    desk.row("merchants", a_merchant(at=START - 500 * DAY, **(merchant or {})))
    desk.order("1", **order)
    scope = RequestScope(
        door=StoreDoor(database_url),
        watch=ModelWatch(KnownModels(), "credit", poll_seconds=60, on_change=lambda: None),
        policy_in_force=PolicyInForce(policy=PolicyFile.read(None).policy),
        public_url=f"https://{HOST}",
        now_ms=lambda: desk.now,
    )
    access = StoreAccess()
    access.start(scope, threads=0 if database_url.startswith("sqlite") else 1)
    site = Site(desk, access)
    site.stop_request_id = site.ask()
    return site


def end(site: Site) -> None:
    site.access.stop()
    assert site.access.scope is not None
    site.access.scope.door.close()


@pytest.fixture
def site(database_url: str, store: Store) -> Iterator[Site]:
    """Goods of a German merchant."""
    made = a_site(database_url, store)
    yield made
    end(made)


@pytest.fixture
def service_site(database_url: str, store: Store) -> Iterator[Site]:
    """A service of a Swedish merchant, whose country the policy does not name."""
    made = a_site(database_url, store, merchant={"language": "sv", "country": "SE"}, kind="service")
    yield made
    end(made)


@dataclass
class Element:
    tag: str
    attributes: dict[str, str | None]
    text: str = ""


class Page(HTMLParser):
    """A page as a strict reader sees it: every element is closed in order, no id twice."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[Element] = []
        self._open: list[Element] = []
        self.feed(html)
        self.close()
        assert not self._open, f"not closed: {self._open}"
        ids = [one.attributes["id"] for one in self.elements if "id" in one.attributes]
        assert len(ids) == len(set(ids)), ids

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), attrs
        element = Element(tag, dict(attrs))
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self._open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.text += data

    def all(self, tag: str, **attributes: str) -> list[Element]:
        return [
            one
            for one in self.elements
            if one.tag == tag
            and all(one.attributes.get(name) == wanted for name, wanted in attributes.items())
        ]

    def ids(self) -> set[str | None]:
        return {one.attributes["id"] for one in self.elements if "id" in one.attributes}

    def kinds(self) -> list[str | None]:
        return [one.attributes["value"] for one in self.elements if one.attributes.get("name") == "kind"]


def checked_page(response: httpx.Response) -> Page:
    """The page, once its headers, structure and labels were checked."""
    for name, value in SECURITY_HEADERS.items():
        assert response.headers[name] == value
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    page = Page(response.text)
    language = response.headers["content-language"]
    assert [one.attributes["lang"] for one in page.all("html")] == [language]
    assert len(page.all("h1")) == len(page.all("main")) == len(page.all("title")) == 1
    assert page.all("title")[0].text.strip()
    assert page.all("h1")[0].text in page.all("title")[0].text
    labelled = {one.attributes["for"] for one in page.all("label")}
    for one in page.elements:
        if one.tag in {"input", "textarea"} and one.attributes.get("type") != "hidden":
            assert one.attributes["id"] in labelled
        for name in ("aria-describedby", "aria-labelledby"):
            assert set((one.attributes.get(name) or "").split()) <= page.ids()
        if one.tag == "a" and (one.attributes["href"] or "").startswith("#"):
            assert (one.attributes["href"] or "")[1:] in page.ids()
    assert labelled <= page.ids()
    assert all(page.all("legend") and one.text.strip() for one in page.all("legend"))
    assert not page.all("script")
    assert not any(
        name.startswith("on") or name == "style" for one in page.elements for name in one.attributes
    )
    assert [one.text for one in page.all("a", **{"aria-current": "true"})] == [LANGUAGE_NAMES[language]]
    return page


def test_the_page_names_provider_order_amount_deadline_and_customer_service(site: Site) -> None:
    page = checked_page(site.get("?lang=de"))
    text = page.all("main")[0].text
    provider = site.desk.policy.provider
    assert merchant_text("form.heading", "de", order_id="o1") == page.all("h1")[0].text
    introduction = merchant_text(
        "form.introduction", "de", provider_name=provider.name, merchant_name="Musterladen"
    )
    assert introduction in text
    assert local_amount(10_000, "EUR", "de") in text
    assert provider.customer_service in text
    # 10:03 UTC and a day is the next day's noon in Berlin, in summer.
    assert "Bitte antworten Sie bis 2. Juni 2026, 12:04 Uhr (MESZ)." in text


def test_the_deadline_is_in_the_zone_of_the_policy_where_the_country_has_none(service_site: Site) -> None:
    assert "2. Juni 2026, 12:04 Uhr (MESZ)" not in service_site.get("?lang=sv").text
    assert "2 juni 2026 kl. 12:04 (CEST)" in service_site.get("?lang=sv").text


def test_before_the_first_delivery_the_page_says_how_long_there_is_to_answer(site: Site) -> None:
    site.desk.order("2")
    site.desk.decided(Verdict.STOP, case_id="case2")
    with site.store.writing("someone") as tx:
        request = request_stop(tx, site.desk.scope, "case2")
    assert request is not None
    page = site.request("GET", f"/{site.token_of(request.stop_request_id)}?lang=en")
    assert "Please answer within 24 hours." in page.text


def test_only_the_answers_that_fit_goods_are_offered_for_goods(site: Site) -> None:
    page = checked_page(site.get())
    assert page.kinds() == [
        "stopped_before_shipping",
        "shipped_with_tracking",
        "shipped_without_tracking",
        "parcel_returned",
    ]
    assert not [one for one in page.elements if "checked" in one.attributes]
    refused = site.post({"kind": "service_cut"})
    assert refused.status_code == 422
    assert merchant_text("error.answer_required", "en") in refused.text
    assert site.document()["state"] == "requested"


def test_only_the_answers_that_fit_a_service_are_offered_for_a_service(service_site: Site) -> None:
    page = checked_page(service_site.get())
    assert page.kinds() == ["service_cut", "service_cannot_be_cut"]
    assert "carrier" not in page.ids()
    assert service_site.post(TRACKED).status_code == 422


def test_all_answers_are_offered_where_the_ledger_does_not_know_the_order(site: Site) -> None:
    with site.store.writing("someone") as tx:
        tx.execute("DELETE FROM ledger_events WHERE contract = 'orders'")
    page = checked_page(site.get())
    assert page.kinds() == [kind.value for kind in AnswerKind]
    assert "EUR\u00a0100.00" in page.all("main")[0].text


@pytest.mark.parametrize(
    ("given", "follows"),
    [
        ({"kind": "stopped_before_shipping"}, ["invoice_cancelled"]),
        (TRACKED, ["provider_recalls_parcel"]),
        ({**TRACKED, "carrier": "Another"}, ["merchant_recalls_parcel"]),
        ({"kind": "shipped_without_tracking"}, ["liability_moves_to_merchant"]),
        ({"kind": "parcel_returned"}, ["order_returned"]),
    ],
)
@pytest.mark.parametrize("language", LANGUAGES)
def test_each_answer_about_goods_is_taken_and_says_what_follows(
    site: Site, given: dict[str, str], follows: list[str], language: str
) -> None:
    sent = {"carrier": "", "tracking_number": "", "note": "as asked", **given}
    response = site.answered(sent, f"?lang={language}")
    text = checked_page(response).all("main")[0].text
    assert response.headers["content-language"] == language
    assert answer_label(AnswerKind(given["kind"]), language) in text
    assert merchant_text("form.thanks_heading", language) in text
    assert f"{field_label('note', language)}: as asked" in text
    assert [one["code"] for one in site.document()["consequences"]] == follows
    for code in ConsequenceCode:
        assert (consequence_text(code, language) in text) is (code.value in follows)


@pytest.mark.parametrize(
    ("kind", "follows"),
    [("service_cut", ["service_cut", "invoice_cancelled"]), ("service_cannot_be_cut", ["wait_for_dispute"])],
)
def test_each_answer_about_a_service_is_taken_and_says_what_follows(
    service_site: Site, kind: str, follows: list[str]
) -> None:
    text = checked_page(service_site.answered({"kind": kind}, "?lang=sv")).all("main")[0].text
    for code in ConsequenceCode:
        assert (consequence_text(code, "sv") in text) is (code.value in follows)


def test_the_answer_leads_back_to_the_same_link_so_that_a_reload_is_harmless(site: Site) -> None:
    response = site.post(TRACKED, "?lang=da")
    assert (response.status_code, response.headers["location"]) == (303, "?lang=da")
    for name, value in SECURITY_HEADERS.items():
        assert response.headers[name] == value
    before = site.everything()
    assert site.get("?lang=da").text == site.get("?lang=da").text
    assert site.everything() == before


def test_the_same_answer_again_changes_nothing_and_is_said_to_be_known(site: Site) -> None:
    site.answered(TRACKED)
    before = site.everything()
    again = site.answered({**TRACKED, "note": ""})
    assert merchant_text("error.already_answered", "en") in again.text
    assert site.everything() == before


def test_a_further_note_is_kept_without_asking_for_the_shipment_again(site: Site) -> None:
    page = checked_page(site.answered(TRACKED))
    assert page.kinds() == ["shipped_with_tracking", "parcel_returned"]
    assert "carrier" not in page.ids()
    after = site.answered({"kind": "shipped_with_tracking", "note": "not collected yet"})
    answers = site.document()["answers"]
    assert [one["note"] for one in answers] == [None, "not collected yet"]
    assert [one["tracking_number"] for one in answers] == ["SE123", "SE123"]
    assert merchant_text("form.thanks_heading", "en") in after.text


def test_after_an_answer_that_nothing_can_change_only_a_note_is_asked_for(site: Site) -> None:
    page = checked_page(site.answered({"kind": "stopped_before_shipping"}))
    assert page.kinds() == ["stopped_before_shipping"]
    assert page.all("input", type="radio") == []
    site.answered({"kind": "stopped_before_shipping", "note": "returned to the shelf"})
    assert len(site.document()["answers"]) == 2


def test_a_tracking_number_can_be_added_and_a_parcel_can_come_back_later(site: Site) -> None:
    page = checked_page(site.answered({"kind": "shipped_without_tracking"}))
    assert page.kinds() == ["shipped_without_tracking", "shipped_with_tracking", "parcel_returned"]
    assert {"carrier", "tracking_number"} <= page.ids()
    site.answered(TRACKED)
    site.answered({"kind": "parcel_returned"})
    assert [one["kind"] for one in site.document()["answers"]] == [
        "shipped_without_tracking",
        "shipped_with_tracking",
        "parcel_returned",
    ]


def test_an_answer_that_contradicts_an_earlier_one_is_refused_and_keeps_what_was_entered(site: Site) -> None:
    site.answered({"kind": "stopped_before_shipping"})
    refused = site.post({**TRACKED, "note": "it left after all"})
    assert refused.status_code == 409
    page = checked_page(refused)
    assert merchant_text("error.contradicting_answer", "en") in page.all("div", role="alert")[0].text
    assert "it left after all" in page.all("textarea")[0].text
    assert len(site.document()["answers"]) == 1


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_mistake_stands_next_to_its_field_and_in_the_summary(site: Site, language: str) -> None:
    refused = site.post(
        {"kind": "shipped_with_tracking", "carrier": "x" * 101, "tracking_number": " ", "note": "y" * 2001},
        f"?lang={language}",
    )
    assert refused.status_code == 422
    page = checked_page(refused)
    summary = page.all("div", role="alert")[0]
    assert "autofocus" in summary.attributes
    expected = {
        "carrier": merchant_text(
            "error.field_too_long", language, field=field_label("carrier", language), maximum="100"
        ),
        "tracking_number": merchant_text(
            "error.field_required", language, field=field_label("tracking_number", language)
        ),
        "note": merchant_text(
            "error.field_too_long", language, field=field_label("note", language), maximum="2000"
        ),
    }
    for name, text in expected.items():
        assert [one.text for one in page.all("a", href=f"#{name}")] == [text]
        assert text in page.all("p", id=f"{name}-error")[0].text
        (entry,) = [one for one in page.elements if one.attributes.get("id") == name]
        assert entry.attributes["aria-invalid"] == "true"
        assert f"{name}-error" in (entry.attributes["aria-describedby"] or "")
    assert page.all("input", id="carrier")[0].attributes["value"] == "x" * 101
    assert "y" * 2001 in page.all("textarea")[0].text
    assert "checked" in page.all("input", id="kind-shipped_with_tracking")[0].attributes
    assert site.document()["answers"] == []


def test_an_empty_form_asks_for_an_answer(site: Site) -> None:
    empty = site.request("POST", f"/{site.token}", headers={"content-type": FORM})
    for response in (site.post({"kind": "", "note": ""}), empty):
        assert response.status_code == 422
        assert checked_page(response).all("a", href="#kind-stopped_before_shipping")


def test_shipment_details_that_do_not_fit_the_answer_are_shown_again_with_their_mistake(site: Site) -> None:
    site.answered(TRACKED)
    refused = site.post({"kind": "parcel_returned", "carrier": "PostNord"})
    assert refused.status_code == 422
    page = checked_page(refused)
    assert page.all("input", id="carrier")[0].attributes["value"] == "PostNord"


def test_each_mistake_of_a_field_has_its_code() -> None:
    def codes(**given: str) -> list[MistakeCode]:
        texts: dict[str, str | None] = {"kind": None, "carrier": None, "tracking_number": None, "note": None}
        with pytest.raises(AnswerInvalid) as invalid:
            parse_answer(**{**texts, **given}, answered_at_ms=1)
        return [mistake.code for mistake in invalid.value.mistakes]

    tracked = {"kind": "shipped_with_tracking", "tracking_number": "1"}
    assert codes() == [MistakeCode.ANSWER_REQUIRED]
    assert codes(**tracked) == [MistakeCode.FIELD_REQUIRED]
    assert codes(kind="service_cut", carrier="DHL") == [MistakeCode.FIELD_NOT_WANTED]
    assert codes(**tracked, carrier="a\tb") == [MistakeCode.FIELD_NOT_ONE_LINE]
    assert codes(**tracked, carrier="DHL", note="n" * 2001) == [MistakeCode.FIELD_TOO_LONG]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_withdrawn_request_says_so_and_takes_no_answer(site: Site, language: str) -> None:
    site.withdraw()
    before = site.everything()
    shown, refused = site.get(f"?lang={language}"), site.post({"kind": "nonsense"}, f"?lang={language}")
    assert (shown.status_code, refused.status_code) == (200, 409)
    for response in (shown, refused):
        page = checked_page(response)
        assert merchant_text("error.request_withdrawn", language) in page.all("main")[0].text
        assert page.all("form") == []
    assert site.everything() == before


def test_a_request_withdrawn_in_the_same_moment_takes_no_answer(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_late(scope: CaseScope, stop_request_id: str, **more: Any) -> Row:
        with scope.store.writing("case-case1") as tx:
            assert withdraw(tx, scope, "case1") is not None
        return answer(scope, stop_request_id, **more)

    monkeypatch.setattr("serving.merchant_form.form_app.answer", too_late)
    refused = site.post(TRACKED)
    assert refused.status_code == 409
    assert merchant_text("error.request_withdrawn", "en") in refused.text
    assert site.document()["state"] == StopRequestState.WITHDRAWN.value


def test_a_request_that_somebody_else_changed_is_to_be_looked_at_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def moved(*args: Any, **more: Any) -> Row:
        raise StopRequestMoved("changed meanwhile")

    monkeypatch.setattr("serving.merchant_form.form_app.answer", moved)
    refused = site.post(TRACKED)
    assert refused.status_code == 409
    page = checked_page(refused)
    assert merchant_text("error.changed_meanwhile", "en") in page.all("main")[0].text
    assert page.all("input", id="carrier")[0].attributes["value"] == "PostNord"


def test_a_request_that_was_not_answered_in_time_says_so_and_can_still_be_answered(site: Site) -> None:
    token = site.token
    site.desk.now += 2 * DAY
    assert expire_due(site.desk.scope) == 1
    page = checked_page(site.get())
    text = page.all("main")[0].text
    assert "You can still answer." in text
    assert consequence_text(ConsequenceCode.LIABILITY_MOVES_TO_MERCHANT, "en") in text
    site.answered({"kind": "stopped_before_shipping"})
    assert site.tokens[site.stop_request_id] == token


def test_an_expired_link_says_so_kindly_and_takes_nothing(site: Site) -> None:
    assert site.token
    site.desk.now += site.desk.policy.stop_requests.link_days * DAY
    before = site.everything()
    for response in (site.get(), site.post(TRACKED)):
        assert response.status_code == 410
        assert merchant_text("error.link_expired", "en") in checked_page(response).all("main")[0].text
        assert "o1" not in checked_page(response).all("main")[0].text
    with pytest.raises(LinkExpired):
        form_view(site.desk.scope, site.token)
    assert site.everything() == before


def test_a_link_that_is_not_ours_gives_nothing_away(site: Site) -> None:
    signature = site.token.partition(".")[2]
    payload = base64.urlsafe_b64encode(f"stp_other.{site.desk.now + DAY}".encode()).decode().rstrip("=")
    pages = set()
    for token in (
        "nothing",
        f"{payload}.{signature}",
        site.token[:-1],
        site.token + "A",
        site.token_of("stp_of_nothing"),
        "%00",
        "%FF.%FE",
        "a/b",
        "",
    ):
        for method in ("GET", "POST"):
            content = {"data": {"kind": "stopped_before_shipping"}} if method == "POST" else {}
            response = site.request(method, f"/{token}?lang=en", **content)
            assert response.status_code == 404, (method, token)
            checked_page(response)
            pages.add(response.text)
    assert len(pages) == 1
    assert "o1" not in Page(pages.pop()).all("main")[0].text
    assert site.document()["state"] == "requested"


def test_a_link_shows_and_answers_its_own_order_only(site: Site) -> None:
    site.desk.order("2", amount_cents=77_700)
    other_id = site.ask("case2")
    other = site.token_of(other_id)
    assert "EUR\u00a0777.00" in site.request("GET", f"/{other}?lang=en").text
    assert "EUR\u00a0777.00" not in site.get().text
    assert site.request("POST", f"/{other}", data={"kind": "parcel_returned"}).status_code == 303
    assert site.document()["answers"] == []
    with site.store.reading() as tx:
        assert stop_requests_of_case(tx, "case2")[0].request.current_answer is not None


def test_opening_a_link_changes_nothing(site: Site) -> None:
    assert site.token
    before = site.everything()
    assert any(before.values())
    for method in ("GET", "HEAD"):
        response = site.request(method, f"/{site.token}?lang=en&again=1")
        assert response.status_code == 200
        for name, value in SECURITY_HEADERS.items():
            assert response.headers[name] == value
    assert merchant_text("error.already_answered", "en") not in site.get("?again=1&lang=en").text
    assert site.everything() == before


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_page_tells_a_reason_or_anything_of_a_person(site: Site, language: str) -> None:
    with site.store.reading() as tx:
        stored = "".join(row[0] for row in tx.execute("SELECT body FROM ledger_events"))
        stored += "".join(row[0] for row in tx.execute("SELECT record FROM review_cases"))
    assert all(detail in stored for detail in (*PERSONAL[:5], *REASONS[:2]))
    query = f"?lang={language}"
    pages = [
        site.get(query),
        site.post({"kind": ""}, query),
        site.answered({"kind": "stopped_before_shipping"}, query),
        site.post(TRACKED, query),
        site.request("GET", f"/nothing{query}"),
    ]
    for page in pages:
        shown = checked_page(page).all("body")[0].text
        # Customer service is the provider's, and stands on every page of the form.
        shown = shown.replace(site.desk.policy.provider.customer_service, "")
        for hidden in (*PERSONAL, *REASONS):
            assert hidden.casefold() not in shown.casefold()
        assert not any(
            detail in (value or "") for one in Page(page.text).elements for value in one.attributes.values()
            for detail in PERSONAL
        )  # fmt: skip


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("da", "da"),
        ("de-AT,de;q=0.9,en;q=0.8", "de"),
        ("en;q=0.5, sv;q=0.7", "sv"),
        ("fi, nl;q=0.1", "nl"),
        ("sv;q=0, da;q=0.001", "da"),
        ("NL", "nl"),
        ("en;q=0.8,nl;q=0.8", "en"),
        ("fi", None),
        ("*", None),
        ("", None),
        ("sv;q=0", None),
        ("sv;q=2", None),
        ("sv;q=nan", None),
        ("sv;level=1", None),
        (";;;,,=", None),
    ],
)
def test_the_language_is_the_one_that_the_browser_likes_best(header: str, expected: str | None) -> None:
    assert preferred_language(header) == expected
    assert page_language(chosen=None, accept_language=header, merchant_language="de") == (expected or "de")
    assert page_language(chosen="xx", accept_language=header, merchant_language=None) == (expected or "en")
    assert page_language(chosen="sv", accept_language=header, merchant_language="de") == "sv"


def test_the_language_is_the_readers_then_the_browsers_then_the_merchants(service_site: Site) -> None:
    def language(query: str, accepted: str | None = None) -> str:
        headers = {} if accepted is None else {"Accept_Language": accepted}
        response = service_site.get(query, **headers)
        checked_page(response)
        return str(response.headers["content-language"])

    assert language("") == "sv"
    assert language("", "fi") == "sv"
    assert language("", "nl;q=0.2,da;q=0.4") == "da"
    assert language("?lang=nl", "da") == "nl"
    assert language("?lang=tlh", "da") == "da"


def test_the_language_stays_from_the_page_through_the_answer(service_site: Site) -> None:
    page = checked_page(service_site.get("", Accept_Language="nl"))
    (form,) = page.all("form")
    assert form.attributes["action"] == "?lang=nl"
    response = service_site.post({"kind": "service_cut"}, form.attributes["action"] or "")
    assert response.headers["location"] == "?lang=nl"
    assert service_site.get("?lang=nl").headers["content-language"] == "nl"


def test_the_style_is_the_one_that_the_security_policy_allows(site: Site) -> None:
    response = site.get()
    (style,) = re.findall(r"<style>(.*?)</style>", response.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert response.headers["content-security-policy"] == (
        f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    )
    assert "<" not in style


def test_what_is_no_form_is_refused_before_it_is_looked_at(site: Site) -> None:
    before = site.everything()

    def status(content: bytes, content_type: str = FORM, method: str = "POST", **headers: str) -> int:
        response = site.request(
            method,
            f"/{site.token}?lang=en",
            content=content,
            headers={"content-type": content_type, **headers},
        )
        assert checked_page(response).all("a", href="?lang=en")
        return response.status_code

    assert status(b"{}", "application/json") == 415
    assert status(b"kind=service_cut", "multipart/form-data; boundary=x") == 415
    assert status(b"kind=service_cut", **{"Content-Encoding": "gzip"}) == 415
    assert status(b"note=" + b"x" * MERCHANT_FORM_BODY_BYTES) == 413
    assert status(b"kind=a&kind=b") == 422
    assert status(b"kind=a&other=b") == 422
    assert status(b"kind=%FF") == 422
    assert status(b"kind=\xff") == 422
    assert status(b"kind") == 422
    assert status(b"&".join([b"kind=a"] * 100)) == 422
    assert status(b"kind=parcel_returned", method="PUT") == 405
    assert status(b"kind=parcel_returned", Origin="https://evil.example") == 403
    assert status(b"kind=parcel_returned", Origin="https://pay.example.evil.example") == 403
    assert status(b"kind=parcel_returned", Origin="nonsense") == 403
    assert site.everything() == before


def test_a_body_without_a_length_is_cut_off_at_the_limit(site: Site) -> None:
    async def stream() -> Any:
        for _ in range(20):
            yield b"x" * 1024

    response = site.request("POST", f"/{site.token}", content=stream(), headers={"content-type": FORM})
    assert "content-length" not in response.request.headers
    assert response.status_code == 413


@pytest.mark.parametrize("origin", [f"https://{HOST}", f"https://{HOST.upper()}", "null"])
def test_a_form_of_this_site_is_taken_whatever_its_browser_calls_the_origin(site: Site, origin: str) -> None:
    assert site.post({"kind": "parcel_returned"}, Origin=origin).status_code == 303


def test_the_origin_is_ours_behind_a_proxy_that_renames_the_host(site: Site) -> None:
    sent = site.post({"kind": "parcel_returned"}, Origin=f"https://{HOST}", Host="10.0.0.7:3000")
    assert sent.status_code == 303


@pytest.mark.parametrize("starting", [True, False])
def test_without_a_store_the_merchant_is_asked_to_try_again(
    site: Site, monkeypatch: pytest.MonkeyPatch, starting: bool
) -> None:
    def down(*args: Any) -> Any:
        raise StoreUnavailable("down")

    scope = site.access.scope
    assert site.token
    if starting:
        site.access.scope = None
    else:
        monkeypatch.setattr(StoreDoor, "open", down)
    for language in LANGUAGES:
        for response in (site.get(f"?lang={language}"), site.post(TRACKED, f"?lang={language}")):
            assert response.status_code == 503
            assert int(response.headers["retry-after"]) > 0
            shown = checked_page(response).all("main")[0].text
            assert merchant_text("error.try_again", language) in shown
    site.access.scope = scope


def test_while_another_process_writes_the_form_is_shown_and_its_answer_is_to_be_sent_again(
    site: Site, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert site.token
    before = site.everything()
    with written_by_another(database_url, "stop_requests"):
        assert site.get().status_code == 200
        monkeypatch.setattr("serving.requests.request_patience.LOCK_WAIT_S", 0.1)
        response = site.post(TRACKED)
        assert response.status_code == 503
        assert merchant_text("error.try_again", "en") in checked_page(response).all("main")[0].text
    assert site.everything() == before
    assert site.post(TRACKED).status_code == 303


def test_a_mistake_of_ours_is_a_page_too(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any) -> Any:
        raise RuntimeError("a secret of the inside")

    monkeypatch.setattr("serving.merchant_form.form_app.form_view", broken)
    response = site.get()
    assert response.status_code == 500
    assert "secret" not in response.text
    checked_page(response)


def test_what_a_merchant_enters_is_text_and_never_markup(site: Site) -> None:
    attack = """"'><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7*7 }}</textarea>"""
    entered = {"kind": "shipped_with_tracking", "carrier": attack, "tracking_number": attack, "note": attack}
    refused = site.post({**entered, "tracking_number": ""})
    assert refused.status_code == 422
    assert checked_page(refused).all("input", id="carrier")[0].attributes["value"] == attack
    page = checked_page(site.answered(entered))
    assert page.all("img") == []
    assert page.all("main")[0].text.count(attack) == 3
    checked_page(site.get("?lang=%22%3E%3Cscript%3E"))


def test_a_note_of_several_lines_and_odd_characters_is_kept_as_it_is(site: Site) -> None:
    note = "first\nsecond \u0000\u202e\U0001f4e6 end"
    site.answered({"kind": "parcel_returned", "note": note.replace("\n", "\r\n")})
    assert site.document()["answers"][0]["note"] == note
    again = site.post({"kind": "parcel_returned", "note": note})
    assert again.headers["location"] == "?lang=en&again=1"


def test_the_entered_note_begins_with_the_line_break_that_it_began_with(site: Site) -> None:
    refused = site.post({"kind": "", "note": "\r\n\r\nlate"})
    assert checked_page(refused).all("textarea")[0].text == "\n\n\nlate"


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("code", list(ConsequenceCode))
def test_every_state_of_a_page_renders_in_every_language(
    site: Site, language: str, code: ConsequenceCode
) -> None:
    opened = form_view(site.desk.scope, site.token)
    for state in StopRequestState:
        shown = replace(opened, request=replace(opened.request, state=state), follows=(code,))
        html = form_page(shown, language, is_repeated=True)
        Page(html)
        assert (consequence_text(code, language) in html) is (state is not StopRequestState.WITHDRAWN)
    assert not re.search(r"[{}]", Page(html).all("body")[0].text)


def test_a_form_is_read_as_a_browser_sends_it() -> None:
    assert parse_form(b"") == EnteredAnswer()
    assert parse_form(b"kind=&note=") == EnteredAnswer(kind="", note="")
    sent = urlencode({"kind": "x", "note": "Grüße +1 & mehr"}).encode()
    assert parse_form(sent) == EnteredAnswer(kind="x", note="Grüße +1 & mehr")
    for wrong in (b"kind", b"&", b"kind=a&&note=b", b"kind=%ZZ%FF", "note=ü".encode(), b"Kind=a", b"=a"):
        with pytest.raises(FormUnreadable):
            parse_form(wrong)


@pytest.fixture(scope="module")
def one_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One site for very many requests."""
    file: Path = tmp_path_factory.mktemp("form") / "bonitas.db"
    url = f"sqlite:///{file}"
    migrate(url)
    store = open_store(url)
    made = a_site(url, store)
    yield made
    end(made)
    store.close()


FORM_LIKE = st.lists(
    st.tuples(
        st.sampled_from(["kind", "carrier", "tracking_number", "note", "other"]),
        st.sampled_from([kind.value for kind in AnswerKind]) | st.text(max_size=120),
    ),
    max_size=5,
).map(lambda pairs: urlencode(pairs, errors="replace").encode())


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=200) | FORM_LIKE)
def test_whatever_is_sent_is_an_answer_or_a_page_that_says_what_is_wrong(
    one_site: Site, content: bytes
) -> None:
    response = one_site.request(
        "POST", f"/{one_site.token}?lang=en", content=content, headers={"content-type": FORM}
    )
    assert response.status_code in {303, 409, 422}
    if response.status_code != 303:
        checked_page(response)
    checked_page(one_site.get())


@settings(max_examples=100)
@given(token=st.text(max_size=80), accepted=st.text(st.characters(max_codepoint=126, min_codepoint=32)))
def test_whatever_link_is_opened_is_a_page(one_site: Site, token: str, accepted: str) -> None:
    path = "/" + "".join(f"%{byte:02X}" for byte in token.encode(errors="replace"))
    response = one_site.request("GET", path, headers={"accept-language": accepted})
    assert response.status_code == 404
    checked_page(response)


def test_an_answer_is_in_time_until_its_deadline_and_late_from_it_on(site: Site) -> None:
    assert site.token
    site.desk.now += 24 * HOUR
    site.answered(TRACKED)
    assert site.document()["answers"][0]["late"] is True
