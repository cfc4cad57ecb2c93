"""A merchant's open items: what is on the list, in which order, and who sees the page of it."""

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from data_contracts.instants import DAY_MS
from serving.disputes import service_desk
from serving.disputes.dispute_link import read_dispute_token
from serving.disputes.open_items import OF_EACH_KIND_MAXIMUM, OpenItems, open_items
from serving.domain.goods_return import GoodsReturn, ReturnState
from serving.domain.stop_request import StopRequest, StopRequestState
from serving.domain.text_files import LANGUAGES
from serving.in_force.model_watch import ModelWatch
from serving.in_force.policy_watch import PolicyInForce
from serving.merchant_form.open_items_app import open_items_app
from serving.requests.request_scope import RequestScope, StoreDoor
from serving.requests.store_access import StoreAccess
from serving.stop_requests.form_link import LinkInvalid, read_token
from serving.store.goods_returns import keep_return
from serving.store.stop_requests import StoredStopRequest, insert_stop_request
from tests.serving.dispute_desk import DisputeDesk, a_dispute_desk
from tests.serving.shadow_desk import KnownModels

HOST = "https://pay.example"


@dataclass
class Site:
    desk: DisputeDesk
    access: StoreAccess

    def stop(self, name: str, due_at_ms: int | None, *, merchant_id: str = "m1", order: str = "o1") -> None:
        request = StopRequest(
            stop_request_id=name,
            order_id=order,
            merchant_id=merchant_id,
            state=StopRequestState.REQUESTED,
            requested_at_ms=self.desk.now,
            first_delivered_at_ms=None,
            answer_due_at_ms=due_at_ms,
            answers=(),
            merchant_order_number=None,
        )
        with self.desk.store.writing("m1") as tx:
            insert_stop_request(tx, StoredStopRequest(request=request, case_id=f"case-{name}", version=1))

    def goods(self, name: str, state: ReturnState, *, number: str | None = None) -> None:
        goods = GoodsReturn(
            return_id=name,
            order_id="o1",
            merchant_order_number=number,
            customer_id="c1",
            merchant_id="m1",
            state=state,
            amount_cents=3_000,
            currency="EUR",
            positions=(),
            carrier=None,
            tracking_number=None,
            announced_at_ms=self.desk.now,
            due_at_ms=self.desk.now + 3 * DAY_MS,
            pauses=(),
        )
        with self.desk.store.writing("c1") as tx:
            keep_return(tx, goods)

    def listed(self, merchant_id: str = "m1") -> OpenItems:
        return open_items(self.desk.scope, merchant_id)

    def get(self, token: str, query: str = "?lang=en", method: str = "GET") -> httpx.Response:
        async def sent() -> httpx.Response:
            transport = httpx.ASGITransport(open_items_app(self.access), raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url=HOST) as client:
                return await client.request(method, f"/{token}{query}")

        return asyncio.run(sent())


@pytest.fixture
def site(database_url: str, tmp_path: Path) -> Iterator[Site]:
    door = StoreDoor(database_url)
    desk = a_dispute_desk(door.open())
    scope = RequestScope(
        door=door,
        watch=ModelWatch(KnownModels(), "invoice-eligibility", poll_seconds=60.0, on_change=lambda: None),
        policy_in_force=PolicyInForce(policy=desk.policy),
        public_url=HOST,
        now_ms=lambda: desk.now,
        evidence_folder=tmp_path / "evidence",
    )
    access = StoreAccess()
    access.start(scope, threads=2 if database_url.startswith("postgresql") else 0)
    yield Site(desk, access)
    access.stop()
    door.close()


def text_of(answer: httpx.Response) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.text.partition("</style>")[2]))


def token_of(listed: OpenItems) -> str:
    return listed.page_url.removeprefix(f"{HOST}/open-items/")


def test_all_that_waits_for_the_merchant_is_listed_with_the_most_urgent_first(site: Site) -> None:
    site.stop("stp_late", None)
    site.stop("stp_soon", site.desk.now + 1_000)
    site.stop("stp_other", site.desk.now, merchant_id="m2")
    site.goods("ret_1", ReturnState.ANNOUNCED)
    site.goods("ret_2", ReturnState.BOOKED)
    dispute_id = site.desk.open(amount_cents=4_000).dispute_id
    items = site.listed().items
    assert [item.id for item in items] == ["stp_soon", "ret_1", dispute_id, "stp_late"]
    assert [item.amount_cents for item in items] == [10_000, 3_000, 4_000, 10_000]
    assert items[1].answer_url is None
    assert read_token(site.desk.scope, str(items[0].answer_url).rpartition("/")[2]) == "stp_soon"
    assert read_dispute_token(site.desk.scope, str(items[2].answer_url).rpartition("/")[2]) == dispute_id
    assert [item.id for item in site.listed("m2").items] == ["stp_other"]


def test_a_dispute_is_listed_only_while_it_waits_for_the_merchant(site: Site) -> None:
    dispute_id = site.desk.at_the_desk()
    assert site.listed().items == ()
    service_desk.claim_dispute(site.desk.scope, dispute_id, by="sue")
    service_desk.ask_merchant(site.desk.scope, dispute_id, text="Who signed?", by="sue")
    assert [item.id for item in site.listed().items] == [dispute_id]
    site.desk.give_in(dispute_id)
    assert site.listed().items == ()


def test_a_claim_of_misuse_is_on_no_list(site: Site) -> None:
    site.desk.open("not_my_order")
    assert site.listed().items == ()


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_shows_the_same_with_a_way_to_each_form_and_nothing_of_a_person(
    site: Site, language: str
) -> None:
    token = token_of(site.listed())
    assert "<li>\n<p>" not in site.get(token).text
    site.stop("stp_1", site.desk.now + 1_000)
    site.stop("stp_2", None)
    site.goods("ret_1", ReturnState.ANNOUNCED, number="A\u202e1<b>")
    site.desk.open(text="My own words.")
    page = site.get(token, f"?lang={language}")
    assert page.status_code == 200
    assert page.text.count('class="way"') == 3
    assert len(re.findall(rf'href="{HOST}/(?:stop|dispute)/[^"]+\?lang={language}"', page.text)) == 3
    assert "{" not in text_of(page)
    shown = page.text.partition("<main>")[2]
    assert not [word for word in ("My own words.", "<b>", "Mustermann", "@example") if word in shown]
    for place in re.finditer("\u202e", page.text):
        assert page.text.rfind("<bdi>", 0, place.start()) > page.text.rfind("</bdi>", 0, place.start())


def test_the_page_is_read_only_and_its_link_is_no_other_and_ends(site: Site) -> None:
    dispute_id = site.desk.open().dispute_id
    listed = site.listed()
    token = token_of(listed)
    assert site.get(token, method="HEAD").status_code == 200
    assert site.get(token, method="POST").status_code == 405
    other = str(listed.items[0].answer_url).rpartition("/")[2]
    for wrong in (other, "nonsense", f"{token}x", token[::-1], "%00", "x" * 500):
        assert site.get(wrong).status_code == 404, wrong
    with pytest.raises(LinkInvalid):
        read_dispute_token(site.desk.scope, token)
    site.desk.now += site.desk.policy.stop_requests.link_days * DAY_MS
    assert site.get(token).status_code == 410
    assert dispute_id not in site.get(token).text


def test_the_link_of_a_merchant_with_the_longest_id_works(site: Site) -> None:
    listed = site.listed("m" * 200)
    assert text_of(site.get(token_of(listed))).strip().endswith("There is nothing open.")


def test_more_than_the_most_of_a_kind_is_said(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.disputes.open_items.OF_EACH_KIND_MAXIMUM", 1)
    assert OF_EACH_KIND_MAXIMUM == 200
    site.stop("stp_1", site.desk.now + 1_000)
    assert not site.listed().has_more
    site.stop("stp_2", site.desk.now + 2_000)
    listed = site.listed()
    assert [item.id for item in listed.items] == ["stp_1"]
    assert listed.has_more
    assert "There is more" in text_of(site.get(token_of(listed)))
