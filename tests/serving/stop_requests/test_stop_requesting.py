"""Stop requests on SQLite and PostgreSQL: who is asked once, what an answer leads to, what nobody may see."""

import base64
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import pytest

from serving.cases.case_review import take_step
from serving.cases.possible_steps import Step
from serving.domain.case_stakes import CaseStakes
from serving.domain.merchant_answer import AnswerInvalid
from serving.domain.policy import Policy
from serving.domain.policy_reader import parse_policy
from serving.domain.review_case import (
    CaseOrigin,
    Verdict,
    claim,
    decide,
    open_case,
    reopen,
    undo_stop,
    withdraw_stop,
)
from serving.domain.stop_request import StopRequest, StopRequestWithdrawn
from serving.in_force.policy_activation import POLICY_FILE
from serving.requests.case_scope import CaseScope
from serving.stop_requests import stop_requesting
from serving.stop_requests.answering import AnswerContradicts, answer
from serving.stop_requests.form_link import LINK_KEY, LinkExpired, LinkInvalid, link_token, read_token
from serving.stop_requests.locked_stop_request import StopRequestMoved, UnknownStopRequest
from serving.stop_requests.recalls import RecallStepInvalid, finish_recall, open_recalls
from serving.stop_requests.sending_again import NoticeOvertaken, fallback_text, send_again
from serving.stop_requests.stop_requesting import (
    expire_due,
    reached,
    request_due,
    request_stop,
    withdraw,
)
from serving.store.case_queue import StoredCase, case_of, history_of, insert_case, update_case
from serving.store.deliveries import deliveries_of
from serving.store.open_store import open_store
from serving.store.outbox import CHECK_CASE, take_message, waiting_messages
from serving.store.stop_requests import (
    StopRequestMovedError,
    due_for_expiry,
    open_recall_tasks,
    signing_key,
    stop_request_of,
    stop_requests_of_order,
    update,
)
from serving.store.store import Store
from tests.builders import DAY, Row, ms
from tests.serving.as_sent import as_sent

START = ms("2026-06-01T10:00:00")
SECOND = 1_000
HOUR = 3_600_000
WITH_TRACKING = {"kind": "shipped_with_tracking", "tracking_number": "SE123"}


@dataclass
class Desk:
    """A store with one case about order o1 of merchant m1, and a clock that stands still until told."""

    store: Store
    policy: Policy
    now: int = START

    @property
    def scope(self) -> CaseScope:
        return CaseScope(
            store=self.store, policy=self.policy, now_ms=lambda: self.now, public_url="https://pay.example"
        )

    def open_case(self, case_id: str, order_id: str, origin: CaseOrigin = CaseOrigin.FLAGGED) -> None:
        case = open_case(
            case_id=case_id,
            order_id=order_id,
            customer_id="customer-erika",
            merchant_id="m1",
            origin=origin,
            now_ms=self.now,
            policy=self.policy.review,
        )
        stakes = CaseStakes(
            probability=0.9,
            amount_cents=50_000,
            currency="EUR",
            ordered_at_ms=self.now - 3 * SECOND,
            handover_at_ms=self.now + HOUR,
            left=False,
            recallable=True,
            is_service=False,
        )
        reasons = ({"code": "shared_device", "text": "Many customers use this device"},)
        with self.store.writing("someone") as tx:
            insert_case(tx, StoredCase(case=case, stakes=stakes, priority=1, reasons=reasons))

    def step(self, change: Callable[..., Any], *args: Any, case_id: str = "case1", **more: Any) -> None:
        with self.store.writing(f"case-{case_id}") as tx:
            stored = case_of(tx, case_id)
            assert stored is not None
            after = change(stored.case, *args, **more)
            update_case(tx, replace(stored, case=after), version_before=stored.case.version)

    def is_service(self) -> None:
        """The order of the case is one of a service."""
        with self.store.writing("case-case1") as tx:
            stored = case_of(tx, "case1")
            assert stored is not None
            changed = replace(stored, stakes=replace(stored.stakes, is_service=True))
            update_case(tx, changed, version_before=stored.case.version)

    def decide_stop(self, case_id: str = "case1") -> None:
        self.step(claim, "ann", self.now, self.policy.review, case_id=case_id)
        self.step(decide, "ann", Verdict.STOP, self.now, self.policy.review, case_id=case_id)

    def ask(self, case_id: str = "case1") -> StopRequest | None:
        with self.store.writing("someone") as tx:
            return request_stop(tx, self.scope, case_id)

    def asked(self) -> str:
        """The id of a request that has reached its merchant."""
        self.decide_stop()
        self.now += 30 * SECOND
        request = self.ask()
        assert request is not None
        self.reach(request.stop_request_id)
        return request.stop_request_id

    def reach(self, stop_request_id: str) -> None:
        with self.store.writing("delivery") as tx:
            reached(tx, self.scope, stop_request_id, self.now)

    def answer(self, stop_request_id: str, kind: str, merchant_id: str = "m1", **more: str) -> Row:
        given: dict[str, str | None] = {"carrier": None, "tracking_number": None, "note": None, **more}
        return as_sent(answer(self.scope, stop_request_id, merchant_id=merchant_id, kind=kind, **given))

    def withdraw(self) -> StopRequest | None:
        with self.store.writing("case-case1") as tx:
            return withdraw(tx, self.scope, "case1")

    def history(self) -> list[tuple[str, str]]:
        with self.store.reading() as tx:
            return [(entry.actor, entry.action) for entry in history_of(tx, "case1")]

    def of_order(self) -> list[str]:
        with self.store.reading() as tx:
            return [stored.request.stop_request_id for stored in stop_requests_of_order(tx, "o1")]


@pytest.fixture
def desk(store: Store) -> Desk:
    made = Desk(store, parse_policy(POLICY_FILE.read_text()))
    made.open_case("case1", "o1")
    return made


def view(scope: CaseScope, stop_request_id: str, *, merchant_id: str | None) -> Row:
    return as_sent(stop_requesting.view(scope, stop_request_id, merchant_id=merchant_id))


def codes(document: Row) -> list[str]:
    return [follows["code"] for follows in document["consequences"]]


def test_a_verdict_leads_to_one_request_once_it_has_taken_effect(desk: Desk) -> None:
    assert desk.ask() is None
    desk.decide_stop()
    desk.now += 29 * SECOND
    assert desk.ask() is None
    desk.now += SECOND
    request = desk.ask()
    assert request is not None
    assert (request.order_id, request.merchant_id, request.requested_at_ms) == ("o1", "m1", desk.now)
    assert request.stop_request_id.startswith("stp_")
    assert desk.ask() is None
    assert desk.of_order() == [request.stop_request_id]
    assert desk.history() == [("system", "stop_requested")]


def test_an_undone_stop_asks_nobody(desk: Desk) -> None:
    desk.decide_stop()
    desk.step(undo_stop, "ann", desk.now, desk.policy.review)
    desk.now += DAY
    assert desk.ask() is None
    desk.step(decide, "ann", Verdict.STOP, desk.now, desk.policy.review)
    desk.now += HOUR
    assert desk.ask() is not None
    assert len(desk.of_order()) == 1


def test_a_refused_order_and_an_unknown_case_lead_to_no_request(desk: Desk) -> None:
    desk.open_case("case2", "o2", CaseOrigin.REVIEW_REQUESTED)
    desk.decide_stop("case2")
    desk.now += HOUR
    assert desk.ask("case2") is None
    assert desk.ask("case_nothing") is None


def test_two_threads_ask_for_one_verdict_once(desk: Desk, database_url: str) -> None:
    desk.decide_stop()
    desk.now += HOUR
    together = threading.Barrier(2)

    def asks(number: int) -> StopRequest | None:
        own = open_store(database_url)
        scope = replace(desk.scope, store=own)
        together.wait()
        with own.writing(f"worker-{number}") as tx:
            made = request_stop(tx, scope, "case1")
        own.close()
        return made

    with ThreadPoolExecutor(2) as pool:
        made = [request for request in pool.map(asks, range(2)) if request is not None]
    assert len(made) == 1
    assert desk.of_order() == [made[0].stop_request_id]


def test_a_merchant_answers_and_sees_its_own_orders_only(desk: Desk) -> None:
    stop_request_id = desk.asked()
    with pytest.raises(UnknownStopRequest) as of_another:
        desk.answer(stop_request_id, "stopped_before_shipping", "m2")
    assert str(of_another.value) == f"there is no stop request {stop_request_id}"
    with pytest.raises(UnknownStopRequest):
        view(desk.scope, stop_request_id, merchant_id="m2")
    with pytest.raises(UnknownStopRequest):
        desk.answer("stp_nothing", "stopped_before_shipping")
    with pytest.raises(UnknownStopRequest):
        desk.reach("stp_nothing")
    assert view(desk.scope, stop_request_id, merchant_id="m1")["answers"] == []


@pytest.mark.parametrize(
    ("given", "follows", "is_recalled"),
    [
        ({"kind": "stopped_before_shipping"}, ["invoice_cancelled"], False),
        ({**WITH_TRACKING, "carrier": " postnord"}, ["provider_recalls_parcel"], True),
        ({**WITH_TRACKING, "carrier": "Schenker Privpak"}, ["provider_recalls_parcel"], True),
        ({**WITH_TRACKING, "carrier": "Another"}, ["merchant_recalls_parcel"], False),
        ({"kind": "shipped_without_tracking"}, ["liability_moves_to_merchant"], False),
        ({"kind": "service_cut"}, ["service_cut", "invoice_cancelled"], False),
        ({"kind": "service_cannot_be_cut"}, ["wait_for_dispute"], False),
        ({"kind": "parcel_returned"}, ["order_returned"], False),
    ],
)
def test_each_answer_has_its_consequences(
    desk: Desk, given: dict[str, str], follows: list[str], is_recalled: bool
) -> None:
    if given["kind"].startswith("service"):
        desk.is_service()
    stop_request_id = desk.asked()
    answered = desk.answer(stop_request_id, **given, note="as asked")
    assert (answered["state"], codes(answered)) == ("answered", follows)
    assert (answered["recall"] is not None) is is_recalled
    assert [entry["note"] for entry in answered["answers"]] == ["as asked"]
    assert answered == view(desk.scope, stop_request_id, merchant_id="m1")
    with desk.store.reading() as tx:
        entry = history_of(tx, "case1")[-1]
        assert len(open_recall_tasks(tx, 10)) == is_recalled
    assert (entry.actor, entry.action) == ("merchant", "stop_answered")
    assert entry.detail["consequences"] == follows
    assert entry.detail["note"] == "as asked"


def test_an_invalid_answer_names_every_mistake_and_changes_nothing(desk: Desk) -> None:
    stop_request_id = desk.asked()
    with pytest.raises(AnswerInvalid) as invalid:
        desk.answer(stop_request_id, "shipped_with_tracking")
    assert [mistake.field for mistake in invalid.value.mistakes] == ["carrier", "tracking_number"]
    assert view(desk.scope, stop_request_id, merchant_id="m1")["state"] == "requested"


def test_a_repeated_answer_is_harmless(desk: Desk) -> None:
    stop_request_id = desk.asked()
    first = desk.answer(stop_request_id, **WITH_TRACKING, carrier="PostNord")
    desk.now += HOUR
    assert desk.answer(stop_request_id, **WITH_TRACKING, carrier="postnord ") == first
    assert [action for _, action in desk.history()] == ["stop_requested", "stop_answered"]


def test_a_later_note_reaches_the_case_and_opens_no_second_recall(desk: Desk) -> None:
    stop_request_id = desk.asked()
    desk.answer(stop_request_id, **WITH_TRACKING, carrier="PostNord")
    after = desk.answer(stop_request_id, **WITH_TRACKING, carrier="PostNord", note="not collected yet")
    assert len(after["answers"]) == 2
    assert [action for _, action in desk.history()].count("stop_answered") == 2
    with desk.store.reading() as tx:
        assert len(open_recall_tasks(tx, 10)) == 1


def test_a_contradiction_is_refused_and_noted_once_for_the_team(desk: Desk) -> None:
    stop_request_id = desk.asked()
    before = desk.answer(stop_request_id, "stopped_before_shipping")
    for _ in range(2):
        with pytest.raises(AnswerContradicts):
            desk.answer(stop_request_id, "shipped_without_tracking")
    assert view(desk.scope, stop_request_id, merchant_id="m1") == before
    with desk.store.reading() as tx:
        history = history_of(tx, "case1")
    assert [entry.action for entry in history] == [
        "stop_requested",
        "stop_answered",
        "stop_answer_contradicted",
    ]
    assert history[-1].detail["kind"] == "shipped_without_tracking"


def test_a_parcel_that_came_back_replaces_the_recall_that_was_under_way(desk: Desk) -> None:
    stop_request_id = desk.asked()
    desk.answer(stop_request_id, **WITH_TRACKING, carrier="PostNord")
    desk.now += HOUR
    returned = desk.answer(stop_request_id, "parcel_returned")
    assert codes(returned) == ["order_returned"]
    assert [entry["kind"] for entry in returned["answers"]] == ["shipped_with_tracking", "parcel_returned"]
    assert returned["recall"]["result"] == "recalled"
    assert desk.history()[-1] == ("merchant", "recall_finished")
    with desk.store.reading() as tx:
        assert open_recall_tasks(tx, 10) == []


def test_only_the_first_delivery_starts_the_clock(desk: Desk) -> None:
    desk.decide_stop()
    desk.now += HOUR
    request = desk.ask()
    assert request is not None
    unreached = view(desk.scope, request.stop_request_id, merchant_id="m1")
    assert unreached["answer_due_at"] is None
    desk.now = ms("2026-06-02T08:00:00")
    desk.reach(request.stop_request_id)
    desk.now += HOUR
    desk.reach(request.stop_request_id)
    due = view(desk.scope, request.stop_request_id, merchant_id="m1")["answer_due_at"]
    assert due == "2026-06-03T08:00:00.000Z"


def test_a_request_expires_at_its_deadline_and_liability_moves(desk: Desk) -> None:
    stop_request_id = desk.asked()
    desk.now += 24 * HOUR - 1
    assert expire_due(desk.scope) == 0
    desk.now += 1
    assert expire_due(desk.scope) == 1
    assert expire_due(desk.scope) == 0
    expired = view(desk.scope, stop_request_id, merchant_id="m1")
    assert (expired["state"], codes(expired)) == ("expired", ["liability_moves_to_merchant"])
    assert desk.history()[-1] == ("system", "stop_expired")


def test_a_request_that_reached_nobody_never_expires(desk: Desk) -> None:
    desk.decide_stop()
    desk.now += HOUR
    desk.ask()
    desk.now += 365 * DAY
    assert expire_due(desk.scope) == 0


def test_a_late_answer_is_taken_and_marked_and_what_it_costs_depends_on_the_goods(desk: Desk) -> None:
    stop_request_id = desk.asked()
    desk.now += 25 * HOUR
    expire_due(desk.scope)
    late = desk.answer(stop_request_id, **WITH_TRACKING, carrier="PostNord")
    assert late["state"] == "answered"
    assert late["answers"][0]["late"] is True
    assert codes(late) == ["provider_recalls_parcel", "liability_moves_to_merchant"]
    assert codes(desk.answer(stop_request_id, "parcel_returned")) == ["order_returned"]


def test_a_recall_is_finished_once_with_one_result(desk: Desk) -> None:
    stop_request_id = desk.asked()
    with pytest.raises(RecallStepInvalid, match="no parcel"):
        finish_recall(desk.scope, stop_request_id, "recalled", "ann")
    desk.answer(stop_request_id, **WITH_TRACKING, carrier="PostNord")
    with desk.store.reading() as tx:
        (task,) = open_recall_tasks(tx, 10)
    assert (task.carrier, task.tracking_number, task.result) == ("PostNord", "SE123", None)
    with pytest.raises(RecallStepInvalid, match="recalled, failed"):
        finish_recall(desk.scope, stop_request_id, "lost", "ann")
    desk.now += HOUR
    done = finish_recall(desk.scope, stop_request_id, "failed", "ann")
    assert done.recall.result.value == "failed"
    desk.now += HOUR
    assert finish_recall(desk.scope, stop_request_id, "failed", "bob") == done
    with pytest.raises(RecallStepInvalid, match="another result"):
        finish_recall(desk.scope, stop_request_id, "recalled", "bob")
    assert desk.history()[-1] == ("ann", "recall_finished")
    with desk.store.reading() as tx:
        assert open_recall_tasks(tx, 10) == []


def test_a_request_can_be_withdrawn_while_the_policy_lets_it_and_then_takes_no_answer(desk: Desk) -> None:
    stop_request_id = desk.asked()
    desk.now += 29 * SECOND
    desk.step(withdraw_stop, "ann", desk.now, desk.policy.review, role="fraud")
    withdrawn = desk.withdraw()
    assert withdrawn is not None
    assert withdrawn.stop_request_id == stop_request_id
    assert desk.withdraw() is None
    assert view(desk.scope, stop_request_id, merchant_id="m1")["state"] == "withdrawn"
    with pytest.raises(StopRequestWithdrawn):
        desk.answer(stop_request_id, "stopped_before_shipping")
    desk.now += 30 * DAY
    assert expire_due(desk.scope) == 0


def test_a_request_is_not_withdrawn_once_answered_nor_where_there_is_none(desk: Desk) -> None:
    assert desk.withdraw() is None
    stop_request_id = desk.asked()
    desk.answer(stop_request_id, "stopped_before_shipping")
    assert desk.withdraw() is None
    assert view(desk.scope, stop_request_id, merchant_id="m1")["state"] == "answered"


def test_an_order_has_one_standing_request_however_often_its_case_is_stopped(desk: Desk) -> None:
    first = desk.asked()
    desk.step(reopen, "new facts", desk.now, desk.policy.review)
    desk.decide_stop()
    desk.now += 30 * SECOND
    assert desk.ask() is None
    assert desk.of_order() == [first]


def test_an_order_whose_request_was_withdrawn_can_be_stopped_again(desk: Desk) -> None:
    first = desk.asked()
    assert desk.withdraw() is not None
    desk.step(reopen, "new facts", desk.now, desk.policy.review)
    desk.decide_stop()
    desk.now += 30 * SECOND
    second = desk.ask()
    assert second is not None
    assert desk.of_order() == [first, second.stop_request_id]


def test_an_open_recall_is_listed_until_it_has_a_result(desk: Desk) -> None:
    stop_request_id = desk.asked()
    assert open_recalls(desk.scope, 10) == []
    desk.answer(stop_request_id, **WITH_TRACKING, carrier="PostNord")
    assert [task.stop_request_id for task in open_recalls(desk.scope, 10)] == [stop_request_id]
    finish_recall(desk.scope, stop_request_id, "failed", "ann")
    assert open_recalls(desk.scope, 10) == []


def test_a_view_shows_nothing_about_a_person_and_no_reason(desk: Desk) -> None:
    stop_request_id = desk.asked()
    desk.answer(stop_request_id, **WITH_TRACKING, carrier="PostNord")
    finish_recall(desk.scope, stop_request_id, "recalled", "ann")
    of_merchant = view(desk.scope, stop_request_id, merchant_id="m1")
    of_team = view(desk.scope, stop_request_id, merchant_id=None)
    assert set(of_merchant) == {
        "stop_request_id",
        "order_id",
        "merchant_order_number",
        "state",
        "requested_at",
        "answer_due_at",
        "answers",
        "consequences",
        "recall",
    }
    assert set(of_merchant["recall"]) == {"carrier", "tracking_number", "opened_at", "result", "done_at"}
    assert {name: of_team[name] for name in of_merchant} == of_merchant
    assert set(of_team) - set(of_merchant) == {"case_id", "merchant_id", "first_delivered_at", "deliveries"}
    text = json.dumps(of_merchant)
    with desk.store.reading() as tx:
        text += "".join(delivery.body for delivery in deliveries_of(tx, stop_request_id))
    for hidden in ("customer-erika", 'ann"', "reason", "probability", "device", "reviewer", "fraud"):
        assert hidden not in text.casefold()


def test_a_request_leaves_a_signed_notice_with_a_link_that_opens_the_form(desk: Desk) -> None:
    stop_request_id = desk.asked()
    with desk.store.reading() as tx:
        (notice,) = deliveries_of(tx, stop_request_id)
    body = json.loads(notice.body)
    assert body["type"] == "stop_request.created"
    assert body["data"]["order_id"] == "o1"
    assert body["data"]["amount_cents"] == 50_000
    address, _, token = body["data"]["answer_url"].rpartition("/")
    assert address == "https://pay.example/stop"
    assert read_token(desk.scope, token) == stop_request_id


def test_a_withdrawn_request_takes_back_the_notice_that_still_waits_and_sends_another(desk: Desk) -> None:
    desk.decide_stop()
    desk.now += 30 * SECOND
    request = desk.ask()
    assert request is not None
    assert desk.withdraw() is not None
    with desk.store.reading() as tx:
        states = {kept.event_type: kept.state for kept in deliveries_of(tx, request.stop_request_id)}
    assert states == {"stop_request.created": "dropped", "stop_request.withdrawn": "waiting"}


def test_the_merchant_is_told_once_that_the_time_to_answer_is_over(desk: Desk) -> None:
    stop_request_id = desk.asked()
    desk.now += 2 * DAY
    assert expire_due(desk.scope) == 1
    assert expire_due(desk.scope) == 0
    with desk.store.reading() as tx:
        told = [kept.event_type for kept in deliveries_of(tx, stop_request_id)]
    assert told == ["stop_request.created", "stop_request.expired"]


def test_an_email_in_place_of_a_webhook_says_the_same_and_none_is_written_once_it_is_answered(
    desk: Desk,
) -> None:
    stop_request_id = desk.asked()
    with desk.store.writing("someone") as tx:
        (notice,) = deliveries_of(tx, stop_request_id)
        written = fallback_text(tx, desk.scope, notice)
    assert written is not None
    assert written.body == json.loads(notice.body)["data"]["text"]
    assert json.loads(notice.body)["data"]["answer_url"] in written.body
    desk.answer(stop_request_id, "stopped_before_shipping")
    with desk.store.writing("someone") as tx:
        assert fallback_text(tx, desk.scope, notice) is None


def test_a_request_that_moved_meanwhile_is_not_overwritten(desk: Desk) -> None:
    stop_request_id = desk.asked()
    with desk.store.reading() as tx:
        before = stop_request_of(tx, stop_request_id)
        assert before is not None
        assert due_for_expiry(tx, desk.now + 2 * DAY, 10) == [before]
    desk.answer(stop_request_id, "stopped_before_shipping")
    with pytest.raises(StopRequestMovedError), desk.store.writing("someone") as tx:
        update(tx, replace(before, version=before.version + 1), version_before=before.version)
    assert view(desk.scope, stop_request_id, merchant_id="m1")["state"] == "answered"


def a_token(desk: Desk, stop_request_id: str = "stp_1") -> str:
    with desk.store.writing("someone") as tx:
        return link_token(tx, desk.scope, stop_request_id)


def test_a_link_names_its_request_for_the_days_of_the_policy_and_holds_nothing_else(desk: Desk) -> None:
    token = a_token(desk)
    payload = token.split(".")[0]
    expires_at_ms = desk.now + desk.policy.stop_requests.link_days * DAY
    assert base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)) == f"stp_1.{expires_at_ms}".encode()
    desk.now = expires_at_ms - 1
    assert read_token(desk.scope, token) == "stp_1"
    desk.now += 1
    with pytest.raises(LinkExpired):
        read_token(desk.scope, token)


def test_a_link_that_was_altered_anywhere_is_refused(desk: Desk) -> None:
    token = a_token(desk)
    for position, character in enumerate(token):
        for other in "AB":
            if character != other:
                altered = f"{token[:position]}{other}{token[position + 1 :]}"
                with pytest.raises(LinkInvalid):
                    read_token(desk.scope, altered)
    for nonsense in ("", ".", "ä.ö", token + "=", token + "\n", token * 2, token.split(".")[0]):
        with pytest.raises(LinkInvalid):
            read_token(desk.scope, nonsense)


def test_a_link_that_another_key_signed_is_refused(desk: Desk) -> None:
    token = a_token(desk)
    with desk.store.writing("someone") as tx:
        tx.execute("DELETE FROM signing_keys WHERE name = ?", (LINK_KEY,))
    with pytest.raises(LinkInvalid):
        read_token(desk.scope, token)
    assert read_token(desk.scope, a_token(desk, "stp_2")) == "stp_2"
    with pytest.raises(LinkInvalid):
        read_token(desk.scope, token)


def test_all_who_need_a_key_at_once_get_the_same_and_another_name_another(
    desk: Desk, database_url: str
) -> None:
    together = threading.Barrier(4)

    def makes(number: int) -> bytes:
        own = open_store(database_url)
        together.wait()
        with own.writing(f"worker-{number}") as tx:
            key = signing_key(tx, "key", START)
        own.close()
        return key

    with ThreadPoolExecutor(4) as pool:
        keys = set(pool.map(makes, range(4)))
    assert len(keys) == 1
    assert len(keys.pop()) == 32
    with desk.store.writing("someone") as tx:
        assert signing_key(tx, "key", START) != signing_key(tx, "other", START)


def test_an_answer_that_meets_a_change_from_outside_is_told_to_look_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_request_id = desk.asked()

    def moved(*args: Any, **more: Any) -> None:
        raise StopRequestMovedError("changed meanwhile")

    monkeypatch.setattr("serving.stop_requests.locked_stop_request.update", moved)
    with pytest.raises(StopRequestMoved):
        desk.answer(stop_request_id, "stopped_before_shipping")


def test_an_answer_about_a_service_does_not_fit_goods_nor_the_other_way_round(desk: Desk) -> None:
    stop_request_id = desk.asked()
    with pytest.raises(AnswerInvalid, match="goods"):
        desk.answer(stop_request_id, "service_cut")
    desk.is_service()
    with pytest.raises(AnswerInvalid, match="service"):
        desk.answer(stop_request_id, "shipped_without_tracking")
    assert view(desk.scope, stop_request_id, merchant_id="m1")["answers"] == []


def test_a_second_stop_of_an_answered_order_asks_nobody_but_is_judged_and_watched(desk: Desk) -> None:
    stop_request_id = desk.asked()
    desk.answer(stop_request_id, "stopped_before_shipping")
    for step in (Step.REOPEN, Step.CLAIM, Step.STOP):
        take_step(desk.scope, "case1", step, reviewer="ann", text="new facts")
    desk.now += 31 * SECOND
    with desk.store.writing("someone") as tx:
        for message in waiting_messages(tx, (CHECK_CASE,), 100, due_at_ms=desk.now + 10 * DAY):
            take_message(tx, message)
    assert request_due(desk.scope) == 1
    assert desk.of_order() == [stop_request_id]
    with desk.store.reading() as tx:
        left = waiting_messages(tx, (CHECK_CASE,), 100, due_at_ms=desk.now + 10 * DAY)
    assert sorted(message.payload["why"] for message in left) == ["invoice_watch", "verdict"]


def test_a_new_request_takes_back_the_withdrawal_of_the_one_before_that_still_waits(desk: Desk) -> None:
    first = desk.asked()
    assert desk.withdraw() is not None
    desk.step(reopen, "new facts", desk.now, desk.policy.review)
    desk.decide_stop()
    desk.now += 30 * SECOND
    second = desk.ask()
    assert second is not None
    with desk.store.reading() as tx:
        of_first = {kept.event_type: kept.state for kept in deliveries_of(tx, first)}
        of_second = {kept.event_type: kept.state for kept in deliveries_of(tx, second.stop_request_id)}
    assert of_first["stop_request.withdrawn"] == "dropped"
    assert of_second == {"stop_request.created": "waiting"}


def test_an_answer_ends_what_still_asks_for_one_and_nothing_of_it_is_sent_again(desk: Desk) -> None:
    stop_request_id = desk.asked()
    desk.answer(stop_request_id, "stopped_before_shipping")
    with desk.store.reading() as tx:
        (notice,) = deliveries_of(tx, stop_request_id)
    assert notice.state == "dropped"
    with pytest.raises(NoticeOvertaken):
        send_again(desk.scope, notice.delivery_id, "ann")
