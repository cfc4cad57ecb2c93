"""The merchant's form about a dispute: what it shows, what it takes, and what it refuses, as pages."""

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from data_contracts.instants import DAY_MS
from serving.disputes import service_desk
from serving.disputes.dispute_link import dispute_link
from serving.domain.dispute import DisputeState
from serving.domain.text_files import LANGUAGES
from serving.in_force.model_watch import ModelWatch
from serving.in_force.policy_watch import PolicyInForce
from serving.merchant_form.dispute_form_app import dispute_form_app
from serving.merchant_form.form_pages import SECURITY_HEADERS
from serving.requests.request_scope import RequestScope, StoreDoor
from serving.requests.route_declaration import DISPUTE_FORM_BODY_BYTES
from serving.requests.store_access import StoreAccess
from serving.stop_requests.form_link import link_token
from serving.store.dispute_files import files_of_dispute
from serving.store.disputes import update_dispute
from serving.store.tables import metadata
from tests.serving.dispute_desk import DisputeDesk, a_dispute_desk
from tests.serving.shadow_desk import KnownModels

HOST = "pay.example"
PNG = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + (1).to_bytes(4, "big") * 2 + b"\x08\x02\0\0\0"
BOMB = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + (30_000).to_bytes(4, "big") * 2 + b"\x08\x02\0\0\0"
TURNED = "one\u202eowt <script>alert(1)</script> " + "x" * 300
PERSONAL = ("c1", "Mustermann", "@example.com", "Heidestra", "1980")


@dataclass
class Site:
    """The form before a store with one invoiced order."""

    desk: DisputeDesk
    access: StoreAccess
    folder: Path
    tokens: dict[str, str] = field(default_factory=dict)

    def token_of(self, dispute_id: str) -> str:
        if dispute_id not in self.tokens:
            with self.desk.store.writing("someone") as tx:
                link = dispute_link(tx, self.desk.scope, dispute_id)
            self.tokens[dispute_id] = link.removeprefix(f"https://{HOST}/dispute/")
        return self.tokens[dispute_id]

    def request(self, method: str, address: str, **more: Any) -> httpx.Response:
        async def sent() -> httpx.Response:
            transport = httpx.ASGITransport(dispute_form_app(self.access), raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url=f"https://{HOST}") as client:
                return await client.request(method, address, **more)

        return asyncio.run(sent())

    def get(self, dispute_id: str, query: str = "?lang=en") -> httpx.Response:
        return self.request("GET", f"/{self.token_of(dispute_id)}{query}")

    def post(
        self, dispute_id: str, fields: dict[str, str], file: tuple[str, bytes] | None = None, **headers: str
    ) -> httpx.Response:
        # A browser sends a nameless empty file where none was chosen; httpx has no way to say that.
        name, content = file or ("", b"")
        parts = [(f'name="{field}"', value.encode()) for field, value in fields.items()]
        parts.append((f'name="file"; filename="{name}"\r\nContent-Type: image/png', content))
        body = b"".join(
            b"--here\r\nContent-Disposition: form-data; " + head.encode() + b"\r\n\r\n" + value + b"\r\n"
            for head, value in parts
        )
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        named["content-type"] = "multipart/form-data; boundary=here"
        address = f"/{self.token_of(dispute_id)}?lang=en"
        return self.request("POST", address, content=body + b"--here--\r\n", headers=named)

    def answer(
        self,
        dispute_id: str,
        kind: str = "goods_as_described",
        file: tuple[str, bytes] | None = None,
        **more: str,
    ) -> httpx.Response:
        return self.post(dispute_id, {"step": "answer", "kind": kind, **more}, file)

    def led_to(self, dispute_id: str, response: httpx.Response) -> str:
        """The page to which what was taken leads, as text."""
        assert response.status_code == 303, response.text
        return text_of(self.get(dispute_id, response.headers["location"]))

    def files(self, dispute_id: str) -> list[str]:
        with self.desk.store.reading() as tx:
            return [file.name for file in files_of_dispute(tx, dispute_id)]

    def everything(self) -> dict[str, list[Any]]:
        with self.desk.store.reading() as tx:
            return {
                name: sorted(repr(tuple(row)) for row in tx.execute(f"SELECT * FROM {name}"))
                for name in metadata.tables
            }


def text_of(answer: httpx.Response) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.text.partition("</style>")[2]))


@pytest.fixture
def site(database_url: str, tmp_path: Path) -> Iterator[Site]:
    door = StoreDoor(database_url)
    desk = a_dispute_desk(door.open())
    watch = ModelWatch(KnownModels(), "invoice-eligibility", poll_seconds=60.0, on_change=lambda: None)
    scope = RequestScope(
        door=door,
        watch=watch,
        policy_in_force=PolicyInForce(policy=desk.policy),
        public_url=f"https://{HOST}",
        now_ms=lambda: desk.now,
        evidence_folder=tmp_path / "evidence",
    )
    access = StoreAccess()
    access.start(scope, threads=2 if database_url.startswith("postgresql") else 0)
    yield Site(desk, access, tmp_path / "evidence")
    access.stop()
    door.close()


def test_the_page_says_what_is_disputed_why_and_until_when_at_the_merchants_place(site: Site) -> None:
    dispute_id = site.desk.open(text="It never came.", amount_cents=4_000).dispute_id
    page = text_of(site.get(dispute_id))
    for words in ("EUR 100.00", "EUR 40.00", "The goods have not arrived", "It never came.", "(CEST)"):
        assert words in page
    assert not [name for name in PERSONAL if name in page.replace("/c1", "")]
    answer = site.get(dispute_id)
    for name, value in SECURITY_HEADERS.items():
        assert answer.headers[name] == value


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_state_of_the_page_is_there_in_every_language(site: Site, language: str) -> None:
    dispute_id = site.desk.open(amount_cents=4_000).dispute_id
    known = site.desk.dispute(dispute_id)
    for state in set(DisputeState) - {DisputeState.WITH_FRAUD_TEAM, DisputeState.CLOSED}:
        now = site.desk.dispute(dispute_id)
        moved = replace(known, state=state, version=now.version + 1)
        with site.desk.store.writing("c1") as tx:
            update_dispute(tx, moved, version_before=now.version)
        answer = site.get(dispute_id, f"?lang={language}")
        assert (answer.status_code, answer.headers["content-language"]) == (200, language)
        assert "{" not in text_of(answer)


def test_an_answer_with_its_evidence_is_taken_once_and_the_page_says_what_follows(site: Site) -> None:
    dispute_id = site.desk.open().dispute_id
    said = {"carrier": "PostNord", "tracking_number": "SE123", "text": "Left with a neighbour."}
    first = site.answer(dispute_id, "shipped_with_tracking", ("proof.png", PNG), **said)
    page = site.led_to(dispute_id, first)
    for words in ("Thank you for your answer", "We have your answer.", "SE123", "proof.png", "a neighbour"):
        assert words in page
    again = site.answer(dispute_id, "shipped_with_tracking", ("proof.png", PNG), **said)
    assert "we already have this answer" in site.led_to(dispute_id, again)
    shown = site.get(dispute_id).text
    assert 'value="shipped_with_tracking" checked' in shown
    assert 'value="SE123"' in shown
    more = site.answer(dispute_id, "shipped_with_tracking", ("second.txt", b"Signed."), **said)
    assert "Thank you" in site.led_to(dispute_id, more)
    assert sorted(site.files(dispute_id)) == ["proof.png", "second.txt"]
    assert len(site.desk.dispute(dispute_id).answers) == 1


def test_mistakes_stand_at_their_fields_with_what_was_typed(site: Site) -> None:
    dispute_id = site.desk.open().dispute_id
    before = site.everything()
    wrong = site.answer(dispute_id, "replacement_sent", carrier="A\u202eB", text="Kept <b>text</b>.")
    assert wrong.status_code == 422
    for anchor in ("carrier", "tracking_number"):
        assert f'id="{anchor}-error"' in wrong.text
        assert f'href="#{anchor}"' in wrong.text
    assert "Kept &lt;b&gt;text&lt;/b&gt;." in wrong.text
    assert 'value="replacement_sent" checked' in wrong.text
    nothing = site.post(dispute_id, {"step": "answer"})
    assert 'id="kind-error"' in nothing.text
    both = site.answer(dispute_id, "other", ("a.exe", b"MZ\0\0"))
    assert {'id="text-error"' in both.text, 'id="file-error"' in both.text} == {True}
    assert site.everything() == before
    assert not site.folder.exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("photo.png", b"%PDF-1.7"),
        ("page.html", b"<!doctype html><script>alert(1)</script>"),
        ("drawing.txt", b"<svg onload=alert(1)>"),
        ("bomb.png", BOMB),
        ("../../etc/passwd.png", PNG),
        ("..\\..\\a.png", PNG),
        ("a\u202egnp.png", PNG),
        ("empty.txt", b""),
        ("x" * 130 + ".png", PNG),
        ("large.png", PNG + b"\0" * (5 * 1024 * 1024)),
        ("program.exe", b"MZ\x90\0"),
    ],
    ids=lambda value: value[:12] if isinstance(value, str) else "",
)
def test_a_file_that_is_not_what_may_come_is_refused_and_the_text_kept(
    site: Site, name: str, content: bytes
) -> None:
    dispute_id = site.desk.open().dispute_id
    before = site.everything()
    answer = site.answer(dispute_id, "other", (name, content), text="Kept text.")
    assert answer.status_code == 422, answer.text
    assert 'id="file-error"' in answer.text
    assert "Kept text." in answer.text
    assert site.everything() == before
    assert not site.folder.exists()


def test_what_is_no_form_of_this_page_is_refused_before_anything_is_taken(site: Site) -> None:
    dispute_id = site.desk.open().dispute_id
    path, before = f"/{site.token_of(dispute_id)}", site.everything()
    multipart = {"content-type": "multipart/form-data; boundary=x"}
    part = b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
    for status, body, headers in (
        (415, b"step=give_in&part=whole_order", {"content-type": "application/x-www-form-urlencoded"}),
        (415, b"{}", {"content-type": "application/json"}),
        (415, b"x", {**multipart, "content-encoding": "gzip"}),
        (422, b"nonsense", multipart),
        (422, b"", {"content-type": "multipart/form-data"}),
        (422, part % (b"step", b"give_in") * 2 + b"--x--\r\n", multipart),
        (422, part % (b"colour", b"red") + b"--x--\r\n", multipart),
        (422, part % (b"step", b"destroy") + b"--x--\r\n", multipart),
        (422, part % (b"text", b"x" * 20_000) + b"--x--\r\n", multipart),
        (422, part % (b"step", b"give_in") * 50 + b"--x--\r\n", multipart),
        (413, b"x" * (DISPUTE_FORM_BODY_BYTES + 1), multipart),
        (403, part % (b"step", b"give_in") + b"--x--\r\n", {**multipart, "origin": "https://evil.example"}),
    ):
        answer = site.request("POST", path, content=body, headers=headers)
        assert answer.status_code == status, (status, body[:60], answer.text)
        assert "<h1>" in answer.text
    assert site.request("DELETE", path).status_code == 405
    assert site.everything() == before


def test_a_link_that_is_not_ours_is_too_old_or_is_about_something_else_gives_nothing_away(site: Site) -> None:
    dispute_id = site.desk.open().dispute_id
    with site.desk.store.writing("someone") as tx:
        stop_token = link_token(tx, site.desk.scope, dispute_id)
        unknown = dispute_link(tx, site.desk.scope, "dsp_nothing").rpartition("/")[2]
    token = site.token_of(dispute_id)
    payload, _, signature = token.partition(".")
    for wrong in (stop_token, unknown, "x", f"{payload}.{signature[::-1]}", f"{payload}x.{signature}", "%00"):
        for method in ("GET", "POST"):
            assert site.request(method, f"/{wrong}").status_code == 404, wrong
    site.desk.now += site.desk.policy.stop_requests.link_days * DAY_MS
    assert site.get(dispute_id).status_code == 410
    assert site.answer(dispute_id).status_code == 410
    assert not site.desk.dispute(dispute_id).answers


def test_a_claim_that_is_with_the_fraud_team_is_no_page_of_its_merchant(site: Site) -> None:
    dispute_id = site.desk.open("not_my_order").dispute_id
    assert site.get(dispute_id).status_code == 404
    assert site.answer(dispute_id).status_code == 404


def test_opening_the_link_changes_nothing(site: Site) -> None:
    dispute_id = site.desk.open().dispute_id
    site.token_of(dispute_id)
    before = site.everything()
    for query in ("", "?lang=de", "?sent=new", "?sent=nonsense", "?lang=%E2%80%AE"):
        assert site.get(dispute_id, query).status_code == 200
    assert site.request("HEAD", f"/{site.token_of(dispute_id)}").status_code == 200
    assert site.everything() == before


def test_the_merchant_gives_in_by_a_part_or_by_the_whole_order(site: Site) -> None:
    dispute_id = site.desk.open(amount_cents=4_000).dispute_id
    nothing = site.post(dispute_id, {"step": "give_in"})
    assert nothing.status_code == 422
    assert 'id="part-error"' in nothing.text
    page = site.led_to(dispute_id, site.post(dispute_id, {"step": "give_in", "part": "disputed_part"}))
    assert "You have accepted the claim." in page
    assert "EUR 40.00" in page
    assert site.desk.adjustments() == [("credit_note", "dispute", 4_000)]
    assert "<form" not in site.get(dispute_id).text
    late = site.answer(dispute_id)
    assert late.status_code == 409
    assert "cannot be answered any more" in text_of(late)


def test_an_answer_one_instant_too_late_is_refused_and_one_before_is_taken(site: Site) -> None:
    dispute_id = site.desk.open().dispute_id
    due = site.desk.dispute(dispute_id).due_at_ms
    assert due is not None
    site.desk.now = due
    late = site.answer(dispute_id)
    assert late.status_code == 409
    assert "The time to answer is over" in text_of(late)
    site.desk.now = due - 1
    assert "We have your answer." in site.led_to(dispute_id, site.answer(dispute_id))


def test_a_question_is_shown_and_its_answer_is_typed_anew(site: Site) -> None:
    dispute_id = site.desk.at_the_desk()
    service_desk.claim_dispute(site.desk.scope, dispute_id, by="sue")
    service_desk.ask_merchant(site.desk.scope, dispute_id, text="Who <i>signed</i>?", by="sue")
    page = site.get(dispute_id).text
    assert "Who &lt;i&gt;signed&lt;/i&gt;?" in page
    assert "checked" not in page
    assert "It is broken." not in page, "statements are seen by the desk alone"
    assert "We are deciding" in site.led_to(dispute_id, site.answer(dispute_id, "other", text="A neighbour."))
    site.desk.decide(dispute_id, "for_merchant")
    ended = text_of(site.get(dispute_id))
    assert "decided in your favour" in ended
    assert "By the photos." in ended, "the reasons are read here"


def test_what_either_side_writes_is_text_that_turns_nothing_else(site: Site) -> None:
    dispute_id = site.desk.open(text=TURNED).dispute_id
    site.answer(dispute_id, "other", text=TURNED)
    page = site.get(dispute_id).text
    assert "<script" not in page
    for place in re.finditer("\u202e", page):
        inside = page.rfind("<bdi", 0, place.start()) > page.rfind("</bdi>", 0, place.start())
        in_field = page.rfind("<textarea", 0, place.start()) > page.rfind("</textarea>", 0, place.start())
        assert inside or in_field
