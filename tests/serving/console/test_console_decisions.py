"""The pages Decisions and Overview, through HTTP and a real sign-in: what they show, to whom, and how."""

import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from features.model_files import ModelFiles
from serving.checkout.amendment_body import amendment_body
from serving.checkout.checkout_scoring import score
from serving.checkout.order_amendment import amend
from serving.checkout.order_body import OrderBody
from serving.console import decision_features, decision_page, decision_search_page, overview_page
from serving.domain.console_user import ConsoleRole
from serving.domain.decision import Reason, Recourse
from serving.domain.order_numbers import OrderAddress
from serving.domain.reasons import REASON_CODES, RECOURSE_CODES, reason_text, recourse_text
from serving.figures.flow_overview import MEANINGS
from serving.in_force.model_watch import ModelRegistry, ModelWatch, RegistryUnreachableError
from serving.in_force.scorer import (
    ChampionModel,
    ModelNotUsableError,
    ReplayModel,
    load_model,
    load_replay_model,
)
from serving.store.api_keys import Caller, Role
from serving.store.decision_log import decision_of
from serving.store.store import Store
from tests.builders import DAY, Row, a_customer, a_document_hmac, a_merchant, a_payment, an_invoice, an_order
from tests.serving.console_browser import START, Browser, ConsoleServer
from tests.serving.http.conftest import a_model_document, write_model

ROUTES = (*decision_search_page.ROUTES, *decision_page.ROUTES, *overview_page.ROUTES)
CHECKOUT = Caller(name="shop", role=Role.CHECKOUT, merchant_id=None)
VOID = {"meta", "link", "input", "br", "hr", "img"}
PERSONAL = {
    "delivery_name": "Xaver Geheimnis",
    "delivery_street": "Verborgener Weg",
    "delivery_house_number": "4711b",
    "delivery_postal_code": "99998",
    "delivery_city": "Nirgendwo",
    "contact_email": "secret.person@example.org",
    "contact_phone": "+49 151 99887766",
    "device_id": "device-very-secret",
    "ip_address": "203.0.113.77",
}
BIRTH_DATE = "1977-07-17"


class OneModel(ModelRegistry):
    """A registry that knows one version of one model, and counts how often it was read."""

    def __init__(self, folder: Path) -> None:
        super().__init__("sqlite:///not-asked.db", folder)
        self.folder = folder
        self.is_reachable = True
        self.loaded = 0

    def version_under(self, model_name: str, alias: str) -> str | None:  # noqa: ARG002 - it knows one model
        return "1"

    def load(self, model_name: str, version: str) -> ChampionModel:
        if not self.is_reachable:
            raise RegistryUnreachableError("away")
        self.loaded += 1
        return load_model(self.files(), name=model_name, version=version)

    def load_for_replay(self, model_name: str, version: str) -> ReplayModel:
        if not self.is_reachable:
            raise RegistryUnreachableError("away")
        self.loaded += 1
        return load_replay_model(self.files(), name=model_name, version=version)

    def files(self) -> ModelFiles:
        try:
            return ModelFiles.read(self.folder)
        except OSError as problem:
            raise ModelNotUsableError(str(problem)) from problem


class Console:
    """A console over a store in which a checkout decides with a real model."""

    def __init__(self, server: ConsoleServer, registry: OneModel) -> None:
        watch = ModelWatch(registry, "invoice-eligibility", poll_seconds=3600.0, on_change=lambda: None)
        watch.look()
        self.server, self.registry = server, registry
        self.scope = server.access.scope = replace(server.scope, watch=watch)
        self._row("merchants", a_merchant(at=START - 500 * DAY))

    @property
    def store(self) -> Store:
        return self.scope.store

    def _row(self, contract: str, row: Row) -> None:
        from data_contracts.between_rows.arrivals import AppendStatus
        from data_contracts.ledger_contracts import CONTRACTS
        from serving.store.ledger import append

        sent = {name: value for name, value in row.items() if name != "recorded_at" and value is not None}
        self.server.clock.now += 1_000
        with self.store.writing("test") as tx:
            result = append(tx, CONTRACTS[contract], sent, self.server.clock.now)
        assert result.status is AppendStatus.ACCEPTED, result

    def customer(self, customer_id: str, **changes: Any) -> None:
        at = START - 400 * DAY
        row = a_customer(customer_id, event_id=f"customer-{customer_id}", at=at, **changes)
        self._row("customers", {**row, "personal_data_confirmed_at": START - 10 * DAY})

    def late_payer(self, customer_id: str) -> None:
        """A customer who pays, but late, so that the model has something to say."""
        self.customer(customer_id, birth_date=BIRTH_DATE)
        at = START - 100 * DAY
        self._row("orders", an_order(f"past-{customer_id}", customer_id, at=at))
        self._row(
            "invoices", an_invoice(f"i-{customer_id}", customer_id, at=at, order_id=f"past-{customer_id}")
        )
        self._row("invoice_payments", a_payment(f"i-{customer_id}", customer_id, at=START - DAY))

    def decided(self, order_id: str, customer_id: str, **changes: Any) -> str:
        """Decide an order, and the id of the decision."""
        envelope = {"event_id", "occurred_at", "recorded_at"}
        row = {
            name: value
            for name, value in an_order(order_id, customer_id, at=0, **{**PERSONAL, **changes}).items()
            if name not in envelope
        }
        self.server.clock.now += 1_000
        answer = score(
            self.scope,
            OrderBody(row=row, language="de"),
            caller=CHECKOUT,
            idempotency_key=None,
            accepted_language=None,
        )
        return str(answer.document.decision_id)

    def signed_in(self, role: ConsoleRole = ConsoleRole.FRAUD) -> Browser:
        return self.server.signed_in(role)


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"), a_model_document("scorecard"))


@pytest.fixture
def console(database_url: str, model_folder: Path) -> Iterator[Console]:
    with ConsoleServer(database_url, routes=ROUTES) as server:
        yield Console(server, OneModel(model_folder))


class Page(HTMLParser):
    """Reads a page strictly: every element is closed, ids are unique, headings descend by one."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.open: list[str] = []
        self.ids: Counter[str] = Counter()
        self.named: set[str] = set()
        self.headings: list[int] = []
        self.tables: list[set[str]] = []
        self.labelled: set[str] = set()
        self.fields: set[str] = set()
        self.links: list[str] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._note(tag, given)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._note(tag, dict(attrs))

    def _note(self, tag: str, given: dict[str, str | None]) -> None:
        assert "style" not in given
        assert not any(name.startswith("on") for name in given)
        if given.get("id"):
            self.ids[str(given["id"])] += 1
        for name in ("aria-labelledby", "aria-describedby", "for"):
            self.named |= set(str(given.get(name) or "").split())
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag == "table":
            self.tables.append(set())
        if tag in {"caption", "thead", "tbody"}:
            self.tables[-1].add(tag)
        if tag == "th":
            assert given.get("scope") in {"col", "row"}
        if tag == "label":
            self.labelled.add(str(given["for"]))
        if tag in {"input", "select", "textarea"} and given.get("type") != "hidden":
            self.fields.add(str(given["id"]))
        if tag == "a":
            self.links.append(str(given["href"]))

    def handle_endtag(self, tag: str) -> None:
        assert self.open
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.words.append(" ".join(data.split()))

    @property
    def text(self) -> str:
        return " ".join(self.words)

    def check(self) -> None:
        assert max(self.ids.values(), default=1) == 1, self.ids
        assert self.named <= set(self.ids), self.named - set(self.ids)
        assert self.headings[0] == 1
        assert self.headings.count(1) == 1
        assert all(
            after <= before + 1 for before, after in zip(self.headings, self.headings[1:], strict=False)
        )
        assert all(table == {"caption", "thead", "tbody"} for table in self.tables)
        assert self.fields <= self.labelled


def shown(browser: Browser, path: str, status: int = 200) -> Page:
    answer = browser.get(path)
    assert answer.status_code == status, answer.text
    page = Page(answer.text)
    page.check()
    return page


def test_the_pages_stand_in_the_navigation_of_everyone_but_the_service_desk(console: Console) -> None:
    for role in set(ConsoleRole) - {ConsoleRole.SERVICE}:
        links = shown(console.signed_in(role), "/decisions").links
        assert {"/console/decisions", "/console/overview"} <= set(links)
    assert console.signed_in(ConsoleRole.SERVICE).get("/decisions").status_code == 403


def test_nobody_sees_a_decision_without_signing_in(console: Console) -> None:
    console.customer("c1")
    decision_id = console.decided("o1", "c1")
    browser = console.server.browser()
    for path in ("/decisions", f"/decisions/{decision_id}", "/overview"):
        answer = browser.get(path)
        assert answer.status_code == 303
        assert "/sign-in" in answer.headers["location"]


def test_a_decision_is_found_by_each_of_its_ids_and_by_filters(console: Console) -> None:
    console.customer("c1")
    console.customer("c2", identity_status="unverified")
    approved = console.decided("o1", "c1")
    declined = console.decided("o2", "c2")
    stranger = console.decided("o3", "nobody-knows-me")
    browser = console.signed_in()

    def found(query: str) -> list[str]:
        links = shown(browser, f"/decisions?{query}").links
        return [link.rsplit("/", 1)[1] for link in links if link.startswith("/console/decisions/")]

    assert found("") == [stranger, declined, approved]
    for name in ("o1", "c1", approved, f" {approved} "):
        assert found(f"q={name}") == [approved]
    assert found("outcome=approved") == [approved]
    assert found("outcome=declined&merchant=m1") == [stranger, declined]
    assert found("merchant=another") == []
    assert found("day=2026-06-01") == [stranger, declined, approved]
    assert found("day=2026-06-02") == []
    assert found("q=nobody-knows-me") == []
    assert found("q=nobody-knows-me&thorough=1") == [stranger]
    assert found("q=%00") == found("")


def test_pages_of_decisions_follow_each_other(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decision_search_page, "PAGE_SIZE", 2)
    console.customer("c1")
    ids = [console.decided(f"o{number}", "c1", amount_cents=200) for number in range(5)]
    browser = console.signed_in()
    found: list[str] = []
    path = "/decisions?outcome=approved"
    while path:
        page = shown(browser, path)
        found += [link.rsplit("/", 1)[1] for link in page.links if link.startswith("/console/decisions/")]
        earlier = [link for link in page.links if "before=" in link]
        path = earlier[0].removeprefix("/console") if earlier else ""
    assert found == ids[::-1]


def test_a_day_that_is_none_is_told(console: Console) -> None:
    for day in ("yesterday", "0001-01-01", "9999-12-31"):
        page = shown(console.signed_in(), f"/decisions?day={day}", status=422)
        assert "Day: give a date such as 2026-03-01." in page.text


def test_a_decision_shows_all_that_it_rested_on(console: Console) -> None:
    console.late_payer("late")
    console.customer("account-beside", identity_document_hmac=a_document_hmac("late"))
    decision_id = console.decided("o1", "late")
    with console.store.reading() as tx:
        logged = decision_of(tx, decision_id)
    assert logged is not None
    assert logged.features is not None
    answer = logged.record["answer"]
    page = shown(console.signed_in(), f"/decisions/{decision_id}")
    for feature in console.scope.model.model.feature_set.features:  # type: ignore[union-attr]  # there is one
        assert feature.name in page.text
        assert " ".join(feature.description.split()) in page.text
    for part in ("reasons", "recourse"):
        assert all(" ".join(entry["text"].split()) in page.text for entry in answer[part])
    assert answer["reasons"]
    assert all(rule["code"] in page.text for rule in answer["failed_rules"])
    assert all(name.replace("_", " ") in page.text for name in answer["alternatives"])
    assert "account-beside" in page.text
    assert answer["limit_basis"].replace("_", " ") in page.text
    assert logged.policy_version in page.text
    assert "invoice-eligibility 1" in page.text
    assert BIRTH_DATE in page.text
    assert all(value in page.text for value in PERSONAL.values())


def test_a_decision_about_an_amendment_says_so_and_counts_what_is_invoiced_once(console: Console) -> None:
    console.customer("c-amends")
    console.decided("o-amends", "c-amends", amount_cents=9_000, vat_cents=0)
    at = console.server.clock.now
    console._row("invoices", an_invoice("i-a", "c-amends", at=at, amount_cents=4_000, order_id="o-amends"))
    decisions = []
    for cents in (10_000, 10_000_000):
        console.server.clock.now += 1_000
        answer = amend(
            console.scope,
            OrderAddress(name="o-amends", merchant_id=None),
            amendment_body({"new_amount_cents": cents}, now_ms=console.server.clock.now),
            caller=CHECKOUT,
            idempotency_key=None,
            accepted_language=None,
        )
        assert answer.judgement is not None
        decisions.append(answer.judgement.decision_id)
    browser = console.signed_in()
    approved, declined = (shown(browser, f"/decisions/{decision_id}") for decision_id in decisions)
    assert "About an amendment Amount" in approved.text
    assert "About an amendment: the order stands as it was Amount" in declined.text
    for page in (approved, declined):
        assert re.search(r"Other approved orders, not yet invoiced \D*0[.,]00\b", page.text)
        assert re.search(r"Of this order, invoiced already \D*40[.,]00\b", page.text)


def test_an_analyst_sees_no_personal_detail(console: Console) -> None:
    console.late_payer("late")
    console.customer("young", birth_date="2010-10-11", identity_document_expires_on="2035-03-07")
    console.customer("expired", birth_date=BIRTH_DATE, identity_document_expires_on="2024-02-29")
    ids = [console.decided(f"o-{name}", name) for name in ("late", "young", "expired")]
    hidden = [*PERSONAL.values(), BIRTH_DATE, "2010-10-11", "11. Oktober 2028", "2035-03-07", "2024-02-29"]
    hidden += ["29. Februar 2024", "Geheimnis", "Verborgener", "Köln", "Heidestraße", "Mustermann"]
    for role, sees in ((ConsoleRole.ANALYST, False), (ConsoleRole.FRAUD, True), (ConsoleRole.ADMIN, True)):
        browser = console.signed_in(role)
        pages = [shown(browser, f"/decisions/{decision_id}") for decision_id in ids]
        replayed = [browser.post(f"/decisions/{decision_id}/replay") for decision_id in ids]
        pages += [Page(answer.text) for answer in replayed]
        pages += [shown(browser, "/decisions"), shown(browser, "/overview")]
        html = unquote(" ".join(page.html for page in pages))
        assert [value for value in hidden if value in html] == (hidden if sees else [])
        assert "late_payment_days_sum_730d" in html


def test_every_text_that_can_hold_a_date_of_a_person_is_withheld() -> None:
    cents = ("outstanding_cents", "available_cents", "minimum_order_cents", "maximum_order_cents")
    data: tuple[tuple[str, str | int], ...] = (
        ("from_date", "2028-10-11"),
        ("expired_on", "2024-02-29"),
        ("minimum_age_years", 18),
        ("counts_after_days", 14),
        ("unconfirmed_minutes", 30),
        ("invoice_id", "i1"),
        ("currency", "EUR"),
        ("country", "FR"),
        *((name, 1) for name in cents),
    )
    texts = {
        code: reason_text(Reason(code=code, group="", field="/a", data=data), "de") for code in REASON_CODES
    }
    texts |= {
        code: recourse_text(Recourse(code=code, field="/a", data=data), "de") for code in RECOURSE_CODES
    }
    with_a_date = {
        code for code, text in texts.items() if "11. Oktober 2028" in text or "29. Februar 2024" in text
    }
    assert with_a_date == decision_page.TEXTS_WITH_PERSONAL_DATA


def test_a_replay_comes_out_the_same(console: Console) -> None:
    console.late_payer("late")
    decision_id = console.decided("o1", "late")
    console.server.clock.now += DAY
    answer = console.signed_in(ConsoleRole.ANALYST).post(f"/decisions/{decision_id}/replay")
    assert answer.status_code == 200
    page = Page(answer.text)
    page.check()
    assert "identical" in page.text
    assert console.registry.loaded == 2, "the champion, and the version as the registry has it"


def test_a_replay_names_exactly_what_differs(console: Console) -> None:
    console.late_payer("late")
    decision_id = console.decided("o1", "late")
    with console.store.writing("test") as tx:
        tx.execute(
            "UPDATE decisions SET record = replace(record, ?, ?)",
            ('"decision_id":', '"degraded_before":1,"decision_id":'),
        )
        tx.execute("UPDATE ledger_events SET body = replace(body, '1977-07-17', '1977-07-18')")
    page = Page(console.signed_in().post(f"/decisions/{decision_id}/replay").text)
    page.check()
    assert "different" in page.text
    assert "degraded_before" in page.text
    assert "applicant" in page.text
    assert "bit for bit" not in page.text


def test_a_decision_of_another_release_is_shown_by_name_and_replayed_without_the_ledger(
    console: Console, model_folder: Path, tmp_path: Path
) -> None:
    console.late_payer("late")
    decision_id = console.decided("o1", "late")
    document = json.loads((model_folder / "model.json").read_text())
    document["feature_set"]["version"] = "of-old"
    console.registry.folder = write_model(tmp_path / "older", document)
    with console.store.writing("test") as tx:
        tx.execute("UPDATE decisions SET feature_set_version = 'of-old', model_version = '0'")
        tx.execute("UPDATE decisions SET record = replace(record, ?, ?)", ('"version":"1"', '"version":"0"'))
        # Nor did that release keep by which files its model judged.
        ((record,),) = tx.execute("SELECT record FROM decisions")
        kept_then = {
            name: value for name, value in json.loads(record).items() if name != "model_files_sha256"
        }
        tx.execute("UPDATE decisions SET record = ?", (json.dumps(kept_then, separators=(",", ":")),))
        tx.execute("UPDATE ledger_events SET body = replace(body, '1977-07-17', '1977-07-18')")
    browser = console.signed_in()
    page = shown(browser, f"/decisions/{decision_id}")
    assert "Feature set of-old is not the one that this release computes." in page.text
    assert document["features"][0] in page.text
    page = Page(browser.post(f"/decisions/{decision_id}/replay").text)
    page.check()
    assert "identical" in page.text
    assert "ledger not compared" in page.text
    assert "The decision was made under feature set of-old, which this release does not compute" in page.text
    assert "the ledger as of then gives the same inputs" not in page.text
    shutil.rmtree(console.registry.folder)
    decision_features._earlier_model.cache_clear()
    page = shown(browser, f"/decisions/{decision_id}")
    assert "The names of its features are not known; their values are shown in their order." in page.text
    assert "feature 1" in page.text


def test_a_replay_without_the_registry_says_so(console: Console) -> None:
    console.customer("c1")
    decision_id = console.decided("o1", "c1")
    console.registry.is_reachable = False
    page = Page(console.signed_in().post(f"/decisions/{decision_id}/replay").text)
    assert "not replayed" in page.text
    assert "The model registry cannot be reached now. Try again." in page.text


def test_an_earlier_version_is_read_once_for_what_was_usual(console: Console) -> None:
    console.customer("c1")
    decision_id = console.decided("o1", "c1")
    console.scope.watch._in_force = replace(  # a newer champion decides by now
        console.scope.model,
        model=replace(console.scope.model.model, version="2"),  # type: ignore[type-var]  # there is one
    )
    browser = console.signed_in()
    before = console.registry.loaded
    for _ in range(2):
        shown(browser, f"/decisions/{decision_id}")
    assert console.registry.loaded == before + 1
    console.registry.is_reachable = False
    shown(browser, f"/decisions/{decision_id}")


def test_a_replay_needs_the_token_of_the_session(console: Console) -> None:
    console.customer("c1")
    decision_id = console.decided("o1", "c1")
    assert console.signed_in().post(f"/decisions/{decision_id}/replay", token=None).status_code == 403


@pytest.mark.parametrize("decision_id", ["dec_none", "%00", "a%0Ab", "x" * 3_000])
def test_there_is_no_such_decision(console: Console, decision_id: str) -> None:
    browser = console.signed_in()
    assert browser.get(f"/decisions/{decision_id}").status_code == 404
    assert browser.post(f"/decisions/{decision_id}/replay").status_code == 404


def test_what_others_wrote_is_shown_as_text(console: Console) -> None:
    evil = '<script>alert("1")</script>'
    console.customer("c1")
    console._row("merchants", a_merchant('m"><b>', event_id="merchant-evil", at=START - 500 * DAY))
    decision_id = console.decided(
        '"><img src=x>', "c1", delivery_name=evil, delivery_city="'\"&", merchant_id='m"><b>'
    )
    browser = console.signed_in()
    for path in (f"/decisions/{decision_id}", "/decisions", f"/decisions?q={evil}", "/overview"):
        page = shown(browser, path)
        assert evil not in page.html
        assert "<img src=x>" not in page.html
        assert "<b>" not in page.html


def test_a_decision_without_a_model_says_why(console: Console) -> None:
    console.customer("c1", identity_status="unverified")
    console.scope.watch._in_force = replace(
        console.scope.model, model=None, technical_reason="no champion yet"
    )
    decision_id = console.decided("o1", "c1")
    page = shown(console.signed_in(), f"/decisions/{decision_id}")
    assert "Decided without a model: no champion yet" in page.text
    assert "No model took part in this decision." in page.text


def test_the_overview_shows_today_and_says_what_each_figure_means(console: Console) -> None:
    console.customer("c1")
    console.customer("c2", identity_status="unverified")
    console.decided("o1", "c1")
    console.decided("o2", "c2")
    page = shown(console.signed_in(ConsoleRole.ANALYST), "/overview")
    assert "Orders 2 2 in 30 days" in page.text
    assert "Approval rate 50.0% 50.0% in 30 days" in page.text
    assert all(meaning in page.text for meaning in MEANINGS.values())
    assert "m1" in page.text


def test_the_overview_of_nothing_is_a_page_too(console: Console) -> None:
    page = shown(console.signed_in(), "/overview")
    assert "There were no orders in the last 30 days." in page.text
    assert "nobody waits" in page.text


def test_every_chart_has_its_figures_as_text(console: Console) -> None:
    console.customer("c1")
    console.decided("o1", "c1")
    html = shown(console.signed_in(), "/overview").html
    charts = re.findall(r'<svg class="chart".*?</svg>', html, re.DOTALL)
    assert len(charts) == 7
    for chart in charts:
        labels = re.search(r'role="img" aria-labelledby="(\S+) (\S+)"', chart)
        assert labels
        title = re.search(rf'<title id="{labels[1]}">([^<]+)</title>', chart)
        assert title
        assert re.search(rf'<desc id="{labels[2]}">[^<]+</desc>', chart)
        assert f"<caption>{title[1]}</caption>" in html
        assert "fill=" not in chart
