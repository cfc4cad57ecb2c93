"""From a verdict to the merchant's answer, over real HTTP, with a worker beside the service."""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from serving.first_look.sample_merchant import SampleMerchant, sample_merchant
from serving.in_force.policy_activation import POLICY_FILE
from serving.process.server import running_server
from serving.process.settings import Settings
from serving.store.api_keys import create_key
from serving.store.deliveries import current_secrets
from serving.store.migrate import migrate
from serving.store.open_store import open_store
from serving.store.sandbox_clock import mark_as_sandbox
from serving.store.store import now_ms
from tests.serving.http.conftest import (
    Row,
    Shop,
    a_model_document,
    free_port,
    opened,
    prepared,
    register_champion,
    write_model,
)
from tests.serving.http.test_http_review import a_risk_model_document, cases_about

SECONDS_TO_ARRIVE = 30.0


@dataclass(frozen=True)
class Desk:
    """A shop whose merchant m1 listens on loopback, with everyone's keys."""

    shop: Shop
    team_key: str
    merchant: SampleMerchant
    secret: str

    def stopped(self, name: str) -> tuple[str, Row]:
        """A case about an order that was stopped, and the notice that the merchant got."""
        for customer in (f"{name}-one", f"{name}-two"):
            self.shop.customer(customer)
            self.shop.score(f"o-{customer}", customer, device_id=f"device-{name}")
        case = cases_about(self.shop, self.team_key, {f"o-{name}-one"})[f"o-{name}-one"]
        path = f"/v1/cases/{case['case_id']}"
        for step in ("claim", "stop"):
            assert self.shop.post(f"{path}/{step}", key=self.team_key).status_code == 200
        while True:
            # Of an older request it may still be told that it has expired.
            notice = self.merchant.next_notice(self.secret, within_seconds=SECONDS_TO_ARRIVE)
            if notice["data"]["order_id"] == case["order_id"]:
                return case["case_id"], notice

    def answer(self, stop_request_id: str, key: str, **body: str) -> httpx.Response:
        return self.shop.post(f"/v1/stop-requests/{stop_request_id}/answer", body, key=key)

    def delivery(self, stop_request_id: str) -> Row:
        """The first notice, once its attempt is on record: the merchant may have it a moment before."""
        deadline = time.monotonic() + SECONDS_TO_ARRIVE
        while True:
            delivery: Row = self.shown(stop_request_id, self.team_key).json()["deliveries"][0]
            if delivery["state"] == "delivered" or time.monotonic() > deadline:
                return delivery
            time.sleep(0.1)

    def shown(self, stop_request_id: str, key: str) -> httpx.Response:
        return self.shop.get(f"/v1/stop-requests/{stop_request_id}", key=key)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with opened_desk(tmp_path_factory.mktemp("stop")) as desk:
        yield desk


@contextmanager
def opened_desk(home: Path, *, is_sandbox: bool = False, processes: int = 1) -> Iterator[Desk]:
    """A running service with its worker. processes: that answer."""
    policy_file = home / "policy.toml"
    policy_file.write_text(POLICY_FILE.read_text().replace("undo_seconds = 30", "undo_seconds = 1"))
    settings = Settings.from_env(
        {
            "BONITAS_HOME": str(home),
            "BONITAS_MODEL_POLL_SECONDS": "0.3",
            "BONITAS_POLICY": str(policy_file),
            "BONITAS_ALLOW_PRIVATE_ENDPOINTS": "1",
        }
    )
    if is_sandbox:
        migrate(settings.database_url)
        with closing(open_store(settings.database_url)) as store:
            mark_as_sandbox(store)
    keys = prepared(settings)
    register_champion(settings, write_model(home / "credit", a_model_document("scorecard")))
    risk = Settings.from_env({"BONITAS_HOME": str(home), "BONITAS_MODEL": "order-risk"})
    register_champion(risk, write_model(home / "risk", a_risk_model_document()))
    store = open_store(settings.database_url)
    team_key = create_key(store, name="team", role="fraud", merchant_id=None, now_ms=now_ms())
    with store.writing("webhook-secret") as tx:
        secret = current_secrets(tx, "m1", now_ms())[0]
    store.close()
    with (
        sample_merchant() as merchant,
        running_server(
            settings,
            port=free_port(),
            workers=processes,
            log_file=home / "server.log",
            with_worker=True,
        ) as server,
    ):
        shop = opened(server, settings, keys)
        account = merchant.account_event(datetime.now(UTC))
        shop.events({**account, "merchant_id": "m1"})
        yield Desk(shop, team_key, merchant, secret)
        shop.client.close()


def test_a_stop_reaches_the_merchant_whose_answer_has_its_consequence(desk: Desk) -> None:
    case_id, notice = desk.stopped("recall")
    stop_request_id = notice["data"]["stop_request_id"]
    assert notice["type"] == "stop_request.created"
    assert notice["data"]["order_id"] == "o-recall-one"
    answered = desk.answer(
        stop_request_id,
        desk.shop.merchant_key,
        kind="shipped_with_tracking",
        carrier="PostNord",
        tracking_number="SE1",
    )
    assert answered.status_code == 200, answered.text
    assert [follows["code"] for follows in answered.json()["consequences"]] == ["provider_recalls_parcel"]
    seen = desk.shown(stop_request_id, desk.team_key).json()
    assert seen["case_id"] == case_id
    assert seen["recall"]["result"] is None
    assert [attempt["status"] for attempt in desk.delivery(stop_request_id)["attempts"]] == [204]
    done = desk.shop.post(
        f"/v1/stop-requests/{stop_request_id}/recall-result", {"result": "recalled"}, key=desk.team_key
    )
    assert done.json()["recall"]["result"] == "recalled"
    history = desk.shop.get(f"/v1/cases/{case_id}", key=desk.team_key).json()["history"]
    told = [entry["action"] for entry in history]
    assert [told.index(action) for action in ("stop_decided", "stop_requested", "stop_answered")] == sorted(
        told.index(action) for action in ("stop_decided", "stop_requested", "stop_answered")
    )


def test_a_second_identical_answer_is_harmless_and_a_contradicting_one_is_refused(desk: Desk) -> None:
    _, notice = desk.stopped("twice")
    stop_request_id = notice["data"]["stop_request_id"]
    assert desk.delivery(stop_request_id)["state"] == "delivered"
    first = desk.answer(stop_request_id, desk.shop.merchant_key, kind="stopped_before_shipping")
    again = desk.answer(stop_request_id, desk.shop.merchant_key, kind="stopped_before_shipping")
    assert first.json() == again.json()
    other = desk.answer(stop_request_id, desk.shop.merchant_key, kind="shipped_without_tracking")
    assert (other.status_code, other.json()["type"]) == (409, "urn:bonitas:problem:contradicting-answer")


def test_a_merchant_sees_and_answers_its_own_requests_only(desk: Desk) -> None:
    _, notice = desk.stopped("own")
    stop_request_id = notice["data"]["stop_request_id"]
    shop = desk.shop
    assert desk.shown(stop_request_id, shop.merchant_key).status_code == 200
    assert "case_id" not in desk.shown(stop_request_id, shop.merchant_key).json()
    assert desk.shown(stop_request_id, shop.other_merchant_key).status_code == 404
    assert desk.shown(stop_request_id, shop.checkout_key).status_code == 403
    kind = {"kind": "stopped_before_shipping"}
    assert desk.answer(stop_request_id, shop.other_merchant_key, **kind).status_code == 404
    assert desk.answer(stop_request_id, shop.checkout_key, **kind).status_code == 403
    assert desk.answer(stop_request_id, desk.team_key, **kind).status_code == 403
    result = f"/v1/stop-requests/{stop_request_id}/recall-result"
    assert shop.post(result, {"result": "recalled"}, key=shop.merchant_key).status_code == 403


def test_a_malformed_answer_is_refused_with_the_field_and_the_rule(desk: Desk) -> None:
    _, notice = desk.stopped("malformed")
    stop_request_id = notice["data"]["stop_request_id"]
    for body, pointers in (
        ({}, ["/kind"]),
        ({"kind": "lost"}, ["/kind"]),
        ({"kind": "shipped_with_tracking"}, ["/carrier", "/tracking_number"]),
        ({"kind": 3, "colour": "red"}, ["/colour", "/kind"]),
    ):
        refused = desk.shop.post(
            f"/v1/stop-requests/{stop_request_id}/answer", body, key=desk.shop.merchant_key
        )
        assert refused.status_code == 422, body
        assert sorted(error["pointer"] for error in refused.json()["errors"]) == pointers
    assert desk.shown(stop_request_id, desk.shop.merchant_key).json()["answers"] == []


def test_a_notice_can_be_sent_again_by_hand_under_the_same_id(desk: Desk) -> None:
    _, notice = desk.stopped("again")
    stop_request_id = notice["data"]["stop_request_id"]
    delivery = desk.delivery(stop_request_id)
    path = f"/v1/deliveries/{delivery['delivery_id']}/resend"
    assert desk.shop.post(path, key=desk.shop.merchant_key).status_code == 403
    assert desk.shop.post("/v1/deliveries/none/resend", key=desk.team_key).status_code == 404
    assert desk.shop.post(path, key=desk.team_key).json()["state"] == "waiting"
    assert desk.merchant.next_notice(desk.secret, within_seconds=SECONDS_TO_ARRIVE) == notice


def test_a_step_under_an_idempotency_key_is_taken_once(desk: Desk) -> None:
    case_id, _ = desk.stopped("once")
    path = f"/v1/cases/{case_id}/reopen"
    body = {"reason": "a call from the customer"}
    first = desk.shop.post(path, body, key=desk.team_key, Idempotency_Key="reopen-1")
    again = desk.shop.post(path, body, key=desk.team_key, Idempotency_Key="reopen-1")
    assert first.status_code == 200
    assert first.json() == again.json()
    other = desk.shop.post(path, {"reason": "another"}, key=desk.team_key, Idempotency_Key="reopen-1")
    assert other.status_code == 422


def test_the_merchant_answers_through_the_link_and_the_page_says_what_follows(desk: Desk) -> None:
    _, notice = desk.stopped("form")
    url = notice["data"]["answer_url"]
    assert url.startswith(desk.shop.server.url)
    opened_page = httpx.get(url, headers={"Accept-Language": "sv"})
    assert opened_page.status_code == 200
    assert 'lang="sv"' in opened_page.text
    stop_request_id = notice["data"]["stop_request_id"]
    assert desk.shown(stop_request_id, desk.team_key).json()["answers"] == []
    desk.merchant.answer_by_form(url, kind="shipped_with_tracking", carrier="DHL", tracking_number="1Z")
    shown = desk.shown(stop_request_id, desk.team_key).json()
    assert [given["kind"] for given in shown["answers"]] == ["shipped_with_tracking"]
    assert [follows["code"] for follows in shown["consequences"]] == ["merchant_recalls_parcel"]
    assert httpx.get(url[:-3] + "abc").status_code == 404


def test_an_investigation_asks_the_merchant_and_its_finding_settles_the_order(desk: Desk) -> None:
    case_id, notice = desk.stopped("later")
    path = f"/v1/cases/{case_id}/investigation"
    assert desk.shop.post(path, {"reason": ""}, key=desk.team_key).status_code == 422
    assert desk.shop.post(path, {"reason": "a call"}, key=desk.shop.merchant_key).status_code == 403
    assert desk.shop.post(path, {"reason": "a call"}, key=desk.team_key).json()["state"] == "open"
    asked = desk.shop.post(f"{path}/question", {"question": "Who signed?"}, key=desk.team_key)
    assert asked.status_code == 200
    question = desk.merchant.next_notice(desk.secret, within_seconds=SECONDS_TO_ARRIVE)
    assert question["data"]["question"] == "Who signed?"
    refused = desk.shop.post(f"{path}/finding", {"finding": "who knows"}, key=desk.team_key)
    assert refused.status_code == 422
    found = desk.shop.post(f"{path}/finding", {"finding": "fraud_confirmed"}, key=desk.team_key)
    assert found.json()["outcome"] == "stop_request_upheld"
    case = desk.shop.get(f"/v1/cases/{case_id}", key=desk.team_key).json()
    assert case["liability"]["bearer"] in {"nobody", "nobody_yet"}  # it never left, and may still be stopped
    assert case["investigation"]["finding"] == "fraud_confirmed"
    assert case["stop_requests"][0]["stop_request_id"] == notice["data"]["stop_request_id"]


def test_a_merchant_lists_its_own_requests_and_the_team_all_of_them(desk: Desk) -> None:
    case_id, notice = desk.stopped("listed")
    stop_request_id = notice["data"]["stop_request_id"]
    desk.delivery(stop_request_id)

    def listed(key: str, query: str = "?limit=500") -> dict[str, Row]:
        answer = desk.shop.get(f"/v1/stop-requests{query}", key=key)
        assert answer.status_code == 200, answer.text
        return {request["stop_request_id"]: request for request in answer.json()["stop_requests"]}

    shown = desk.shown(stop_request_id, desk.shop.merchant_key).json()
    seen = listed(desk.shop.merchant_key)[stop_request_id]
    assert seen == {name: shown[name] for name in seen}
    assert seen["answer_due_at"] is not None
    assert listed(desk.shop.other_merchant_key) == {}
    teams = listed(desk.team_key)[stop_request_id]
    assert teams == {**seen, "case_id": case_id, "merchant_id": "m1"}
    desk.answer(stop_request_id, desk.shop.merchant_key, kind="stopped_before_shipping")
    assert stop_request_id not in listed(desk.shop.merchant_key)
    assert stop_request_id in listed(desk.shop.merchant_key, "?state=answered&limit=500")
    for key in (desk.shop.checkout_key, desk.shop.ledger_key):
        assert desk.shop.get("/v1/stop-requests", key=key).status_code == 403
    refused = desk.shop.get("/v1/stop-requests?state=lost&limit=0&colour=red", key=desk.team_key)
    assert (refused.status_code, refused.json()["errors"]) == (
        422,
        [
            {"pointer": "/colour", "detail": "there is no such parameter"},
            {"pointer": "/state", "detail": "state must be one of requested, answered, expired, withdrawn"},
            {"pointer": "/limit", "detail": "limit must be from 1 to 500"},
        ],
    )
    for after in ("x", "1.", ".stp_1", "-1.stp_1", "9" * 17 + ".stp_1", "1.%00"):
        refused = desk.shop.get(f"/v1/stop-requests?after={after}", key=desk.team_key)
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/after"), after
