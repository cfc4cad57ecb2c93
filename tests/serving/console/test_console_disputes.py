"""The service desk's pages: the queue of disputes, a dispute from both sides, and every step taken."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest

from serving.disputes import evidence
from serving.domain.console_user import ConsoleRole
from serving.domain.dispute import Party
from serving.domain.typed_amounts import AmountUnreadable, typed_cents
from tests.serving.console_browser import Browser, ConsoleServer
from tests.serving.dispute_desk import DisputeDesk, a_dispute_desk

TURNED = "one\u202eowt <script>alert(1)</script> " + "x" * 300


@dataclass
class Desk:
    server: ConsoleServer
    desk: DisputeDesk
    folder: Path

    def browser(self, role: ConsoleRole = ConsoleRole.SERVICE) -> Browser:
        self.server.clock.now = self.desk.now
        return self.server.signed_in(role)

    def another(self) -> Browser:
        self.server.clock.now = self.desk.now
        self.server.add_user("una", ConsoleRole.SERVICE)
        browser = self.server.browser()
        assert browser.sign_in("una").status_code == 303
        return browser

    def file(self, dispute_id: str, party: Party, name: str, content: bytes) -> str:
        stored = evidence.store_evidence(
            self.desk.scope, self.folder, dispute_id, party=party, name=name, content=content
        )
        return evidence.note_evidence(self.desk.scope, stored, by="someone").file_id


@pytest.fixture
def desk(database_url: str, tmp_path: Path) -> Iterator[Desk]:
    with ConsoleServer(database_url) as server:
        folder = tmp_path / "evidence"
        server.access.scope = replace(server.scope, evidence_folder=folder)
        yield Desk(server, a_dispute_desk(server.scope.store), folder)


def text_of(answer: httpx.Response) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.text))


def took(browser: Browser, dispute_id: str, step: str, **fields: str) -> httpx.Response:
    answer = browser.post(f"/disputes/{dispute_id}/{step}", fields)
    assert answer.status_code == 303, text_of(answer)
    return browser.get(f"/disputes/{dispute_id}")


def test_a_sign_in_of_the_service_desk_leads_to_the_disputes_and_to_nothing_of_the_fraud_team(
    desk: Desk,
) -> None:
    browser = desk.browser()
    signed_in = browser.get("/sign-in")
    assert signed_in.headers["location"] == "/console/disputes"
    page = browser.get("/disputes")
    assert re.findall(r'<li><a href="([^"]+)"', page.text) == ["/console/disputes"]
    for path in ("/", "/cases/1", "/decisions", "/overview", "/settlements"):
        assert browser.get(path).status_code == 403
    for role in (ConsoleRole.FRAUD, ConsoleRole.ANALYST):
        assert desk.browser(role).get("/disputes").status_code == 403


def test_the_queue_shows_what_is_due_first_and_each_tab_its_own(desk: Desk) -> None:
    browser = desk.browser()
    assert "No dispute is here." in text_of(browser.get("/disputes"))
    dispute_id = desk.desk.open(amount_cents=4_000).dispute_id
    assert dispute_id in browser.get("/disputes?show=waiting").text
    assert dispute_id not in browser.get("/disputes").text
    desk.desk.answer(dispute_id)
    desk.desk.statement(dispute_id)
    shown = text_of(browser.get("/disputes"))
    for words in (dispute_id, "The goods have not arrived", "EUR 40.00", "m1", "To be decided", "Nobody"):
        assert words in shown
    assert "(CEST)" in shown, "the due time is local"
    assert dispute_id not in browser.get("/disputes?show=mine").text
    took(browser, dispute_id, "claim")
    assert dispute_id in browser.get("/disputes?show=mine").text
    took(browser, dispute_id, "decide", outcome="for_merchant", text="By the photos.")
    assert dispute_id in browser.get("/disputes?show=closed").text
    desk.desk.complain(dispute_id)
    assert dispute_id in browser.get("/disputes?show=complaints").text
    assert dispute_id in browser.get("/disputes?show=nonsense").text


def test_a_dispute_is_claimed_asked_about_and_decided_with_reasons(desk: Desk) -> None:
    dispute_id = desk.desk.at_the_desk(amount_cents=4_000)
    browser = desk.browser()
    page = browser.get(f"/disputes/{dispute_id}")
    assert "Claim this dispute" in page.text
    assert 'name="outcome"' not in page.text
    refused = browser.post(f"/disputes/{dispute_id}/decide", {"outcome": "for_customer", "text": "Yes."})
    assert refused.status_code == 409
    assert "Nobody works on this dispute. Claim it first." in text_of(refused)
    took(browser, dispute_id, "claim")
    assert "Waiting for the merchant" in text_of(
        took(browser, dispute_id, "ask-merchant", text="Who signed?")
    )
    desk.desk.answer(dispute_id, "other", text="A neighbour.")
    took(browser, dispute_id, "claim")
    assert "Waiting for the customer" in text_of(took(browser, dispute_id, "ask-customer", text="Is it so?"))
    desk.desk.statement(dispute_id, "No.")
    took(browser, dispute_id, "claim")
    ended = text_of(
        took(browser, dispute_id, "decide", outcome="for_customer", award_cents="25,50", text="No proof.")
    )
    for words in ("For the customer.", "Credited EUR 25.50", "No proof.", "Who signed?", "A neighbour."):
        assert words in ended
    assert desk.desk.adjustments() == [("credit_note", "chargeback", 2_550)]


def test_what_was_typed_wrongly_is_marked_at_its_field_and_kept(desk: Desk) -> None:
    dispute_id = desk.desk.at_the_desk(amount_cents=4_000)
    browser = desk.browser()
    took(browser, dispute_id, "claim")
    for fields, field in (
        ({"outcome": "for_customer", "award_cents": "many", "text": "Kept text."}, "award_cents"),
        ({"outcome": "for_customer", "award_cents": "40.01", "text": "Kept text."}, "award_cents"),
        ({"outcome": "for_merchant", "award_cents": "1", "text": "Kept text."}, "award_cents"),
        ({"outcome": "nobody", "text": "Kept text."}, "outcome"),
        ({"outcome": "for_customer", "award_cents": "1.00", "text": "  "}, "text"),
        ({"outcome": "for_customer", "text": "x" * 4_001}, "text"),
    ):
        answer = browser.post(f"/disputes/{dispute_id}/decide", fields)
        assert answer.status_code == 422, fields
        assert f'id="decide-{field}-mistake"' in answer.text
        assert fields["text"].strip() in answer.text
    before = desk.server.rows()
    assert browser.post(f"/disputes/{dispute_id}/decide", {"text": "x"}, token=None).status_code == 403
    assert desk.server.rows() == before


def test_a_complaint_is_looked_at_by_somebody_else_and_may_go_to_a_committee(desk: Desk) -> None:
    dispute_id = desk.desk.at_the_desk()
    browser = desk.browser()
    took(browser, dispute_id, "claim")
    took(browser, dispute_id, "decide", outcome="for_merchant", text="It was signed for.")
    desk.desk.complain(dispute_id, "The signature is not mine.")
    page = browser.get(f"/disputes/{dispute_id}")
    assert "You decided about this dispute; somebody else looks a second time." in text_of(page)
    assert "Claim this dispute" not in page.text
    assert browser.post(f"/disputes/{dispute_id}/claim", {}).status_code == 409
    other = desk.another()
    took(other, dispute_id, "claim")
    assert other.post(f"/disputes/{dispute_id}/refer", {"committee": " "}).status_code == 422
    referred = text_of(took(other, dispute_id, "refer", committee="Schlichtungsstelle"))
    assert "Referred to Schlichtungsstelle" in referred
    took(other, dispute_id, "claim")
    ended = text_of(
        took(other, dispute_id, "committee-result", outcome="for_customer", text="Their finding.")
    )
    assert "Decided by a committee" in ended
    assert desk.desk.adjustments() == [("credit_note", "chargeback", 10_000)]


def test_a_second_look_never_leaves_the_customer_worse_off(desk: Desk) -> None:
    dispute_id = desk.desk.at_the_desk()
    desk.desk.decide(dispute_id, "for_customer", 2_000)
    desk.desk.complain(dispute_id)
    browser = desk.browser()
    took(browser, dispute_id, "claim")
    worse = browser.post(f"/disputes/{dispute_id}/second-look", {"outcome": "for_merchant", "text": "No."})
    assert worse.status_code == 409
    assert "keeps at least what was decided before" in text_of(worse)
    ended = took(browser, dispute_id, "second-look", outcome="for_customer", text="All of it.")
    assert "Decided by a second look" in text_of(ended)


def test_evidence_of_both_sides_comes_as_downloads_only(desk: Desk) -> None:
    dispute_id = desk.desk.at_the_desk()
    own = desk.file(dispute_id, Party.CUSTOMER, "brøken.txt", b"It is broken.")
    theirs = desk.file(dispute_id, Party.MERCHANT, "proof.pdf", b"%PDF-1.7 <script>alert(1)</script>")
    browser = desk.browser()
    page = browser.get(f"/disputes/{dispute_id}").text
    for file_id, content in ((own, b"It is broken."), (theirs, b"%PDF-1.7 <script>alert(1)</script>")):
        path = f"/disputes/{dispute_id}/files/{file_id}"
        assert f'href="/console{path}" download' in page
        answer = browser.get(path)
        assert answer.content == content
        assert answer.headers["content-disposition"].startswith("attachment; ")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-type"] == "application/octet-stream"
    for role in (ConsoleRole.FRAUD, ConsoleRole.ANALYST):
        assert desk.browser(role).get(path).status_code == 403
    for wrong in ("fil_nothing", "..%2f..%2fetc%2fpasswd", "a%00b"):
        assert browser.get(f"/disputes/{dispute_id}/files/{wrong}").status_code == 404


def test_an_admin_reads_a_dispute_and_takes_no_step(desk: Desk) -> None:
    dispute_id = desk.desk.at_the_desk()
    admin = desk.browser(ConsoleRole.ADMIN)
    page = admin.get(f"/disputes/{dispute_id}")
    assert page.status_code == 200
    assert "Claim this dispute" not in page.text
    assert admin.post(f"/disputes/{dispute_id}/claim", {}).status_code == 403


def test_no_page_of_a_claim_of_misuse_says_anything_of_the_fraud_teams(desk: Desk) -> None:
    dispute_id = desk.desk.open("not_my_order", police_report="ST/1/2026").dispute_id
    desk.desk.work()
    browser = desk.browser()
    for path in ("/disputes?show=waiting", f"/disputes/{dispute_id}"):
        page = browser.get(path)
        assert dispute_id in page.text
        assert not re.search(
            r"case_|/cases|probabilit|fraud|score|flagged|device", text_of(page), re.IGNORECASE
        )


def test_what_customers_and_merchants_write_is_text_that_turns_nothing_else(desk: Desk) -> None:
    dispute_id = desk.desk.open(text=TURNED).dispute_id
    desk.desk.answer(dispute_id, "other", text=TURNED)
    desk.desk.statement(dispute_id, TURNED)
    page = desk.browser().get(f"/disputes/{dispute_id}").text
    assert "<script>alert" not in page
    for place in re.finditer("\u202e", page):
        assert page.rfind("<bdi", 0, place.start()) > page.rfind("</bdi>", 0, place.start())
    for wrong in ("dsp_nothing", "a%00b", "%E2%80%AE"):
        assert desk.browser().get(f"/disputes/{wrong}").status_code == 404


@pytest.mark.parametrize(
    ("text", "currency", "cents"), [("1", "EUR", 100), ("0.05", "EUR", 5), ("1,234", "KWD", 1_234)]
)
def test_a_typed_amount_is_whole_minor_units(text: str, currency: str, cents: int) -> None:
    assert typed_cents(text, currency) == cents


@pytest.mark.parametrize("text", ["", "-1", "1.000,00", "1e3", "٣", "12.345", "1 000", "9" * 13])
def test_a_typed_amount_that_could_be_two_is_refused(text: str) -> None:
    with pytest.raises(AmountUnreadable, match=r"such as 12\.50"):
        typed_cents(text, "EUR")
