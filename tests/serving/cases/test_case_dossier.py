"""The dossier of a case on SQLite and PostgreSQL: what it holds, what it leaves out, and who can do what."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, cast
from zoneinfo import ZoneInfo

import pytest

from data_contracts.order_events import ORDER_EVENTS
from data_contracts.order_outcomes import ORDER_OUTCOMES
from features.feature_sets import ORDER_RISK
from serving.cases.case_dossier import CaseDossier, case_dossier
from serving.cases.case_review import take_step
from serving.cases.investigating import ask_merchant, open_by_hand
from serving.cases.linked_orders import LINKED_MAXIMUM, SharedBy
from serving.cases.order_facts import order_facts
from serving.cases.possible_steps import Step, possible_steps
from serving.cases.timeline import TimelineEntry, TimelineSource
from serving.console.case_words import REASON, TITLE, detail_of, title_of
from serving.console.link_picture import ROW_HEIGHT, link_picture
from serving.console.locale_forms import Locale
from serving.domain.errors import RiskError, UnknownCase
from serving.domain.flag_reason import FlagReason
from serving.domain.investigation import InvestigationAction
from serving.domain.liability import Bearer
from serving.domain.review_case import Action, CaseOrigin, CaseState
from serving.domain.stop_request import StopAction
from serving.domain.verified_contacts import CustomerContact
from serving.stop_requests.answering import answer
from serving.stop_requests.locked_stop_request import UnknownStopRequest
from serving.stop_requests.recalls import finish_recall
from serving.stop_requests.stop_requesting import request_due
from serving.store.case_queue import Screening, append_screening, case_of, update_case
from serving.store.deliveries import deliveries_of
from serving.store.store import Store, Transaction
from serving.store.waiting_looks import LINKED_FRAUD
from tests.builders import DAY, Row, a_customer, a_row, an_order
from tests.serving.case_desk import MINUTE, CaseDesk, a_desk


@pytest.fixture
def desk(store: Store) -> CaseDesk:
    return a_desk(store, device_id="device-1")


def look(desk: CaseDesk, case_id: str = "case1", reviewer: str = "ann", role: str = "fraud") -> CaseDossier:
    return case_dossier(desk.scope, case_id, reviewer=reviewer, role=role)


def step(desk: CaseDesk, taken: Step, text: str | None = None, reviewer: str = "ann") -> None:
    take_step(desk.scope, "case1", taken, reviewer=reviewer, text=text)
    desk.now += 1_000


def stopped(desk: CaseDesk) -> str:
    """The id of the stop request of the case."""
    step(desk, Step.CLAIM)
    step(desk, Step.STOP)
    desk.now += MINUTE
    request_due(desk.scope)
    return look(desk).stop_requests[0].request.stop_request_id


def other_order(desk: CaseDesk, number: str, **columns: Any) -> None:
    """An order of another customer that shares nothing unless told."""
    apart = {
        "delivery_street": f"Another Street {number}",
        "contact_email": f"someone{number}@example.com",
        "device_id": f"device-of-{number}",
    }
    desk.order(number, **{**apart, **columns})


def test_an_unknown_case_is_refused(desk: CaseDesk) -> None:
    with pytest.raises(UnknownCase):
        look(desk, "case_nothing")


def test_it_names_order_customer_and_merchant(desk: CaseDesk) -> None:
    seen = look(desk)
    assert seen.order is not None
    assert (seen.order.amount_cents, seen.order.kind) == (10_000, "goods")
    assert seen.order.delivery.lines == ("Heidestraße 17", "51147 Köln", "DE")
    assert seen.order.billing is None
    assert seen.customer is not None
    assert (seen.customer.name, seen.customer.order_count) == ("Erika Mustermann", 1)
    assert seen.merchant is not None
    assert (seen.merchant.name, seen.merchant.language) == ("Musterladen", "de")


def test_a_contact_detail_is_held_only_if_it_was_verified_before_the_order(desk: CaseDesk) -> None:
    desk.row(
        "customers",
        a_customer(
            event_id="customer-1-later",
            at=desk.now,
            email="taken-over@example.com",
            email_confirmed_at=desk.now,
            phone_confirmed_at=desk.now - 300 * DAY,
        ),
    )
    seen = look(desk)
    assert seen.customer is not None
    email, phone = seen.customer.channels
    assert (email.value, email.is_given_with_order) == (None, False)
    assert (phone.value, phone.is_given_with_order) == ("+49 30 1234567", True)
    assert "taken-over" not in repr(seen)
    assert "1980-05-17" not in repr(seen)


def test_a_parcel_that_was_sent_elsewhere_shows_both_places(desk: CaseDesk) -> None:
    desk.event(
        "address_changed",
        new_delivery_street="Packstation",
        new_delivery_postal_code="10115",
        new_delivery_city="Berlin",
        new_delivery_country="DE",
    )
    order = look(desk).order
    assert order is not None
    assert order.first_delivery is not None
    assert order.delivery.lines == ("Packstation", "10115 Berlin", "DE")
    assert order.delivery.name == order.first_delivery.name == "Erika Mustermann"


def test_where_a_parcel_was_sent_before_its_order_was_decided_anew_is_not_shown() -> None:
    place: Row = {"street": "Packstation", "postal_code": "10115", "city": "Berlin", "country": "DE"}
    to = {f"new_delivery_{name}": text for name, text in place.items()}
    first: Row = an_order(at=1_000)
    anew: Row = {**an_order(at=3_000), "event_id": "anew", "corrects": first["event_id"]}
    for at, is_moved in ((2_000, False), (4_000, True)):
        event: Row = a_row("order_events", "moved", at, at, order_id="o1", customer_id="c1", **to)
        order = order_facts([first, anew], [{**event, "kind": "address_changed"}])
        assert order is not None
        assert (order.first_delivery is not None) is is_moved


def test_linked_orders_name_what_they_share_confirmed_ones_first(desk: CaseDesk) -> None:
    other_order(desk, "2", device_id="device-1")
    other_order(desk, "3", contact_email="ERIKA@example.com")
    desk.order("4", device_id="device-4", contact_email="four@example.com")
    other_order(desk, "5")
    desk.outcome("identity_misuse_upheld", order_id="o4")
    links = look(desk).links
    assert [(order.order_id, order.shared, order.is_confirmed_fraud) for order in links.orders] == [
        ("o4", (SharedBy.DELIVERY_ADDRESS,), True),
        ("o3", (SharedBy.EMAIL,), False),
        ("o2", (SharedBy.DEVICE,), False),
    ]
    assert [order.case_id for order in links.orders] == ["case4", "case3", "case2"]
    assert not links.is_more
    assert not any(order.is_same_customer for order in links.orders)


def test_a_finding_that_was_corrected_confirms_nothing(desk: CaseDesk) -> None:
    other_order(desk, "2", device_id="device-1")
    finding = desk.outcome("identity_misuse_upheld", order_id="o2")
    desk.outcome("identity_misuse_rejected", order_id="o2", corrects=finding)
    assert [order.is_confirmed_fraud for order in look(desk).links.orders] == [False]


def test_of_many_linked_orders_the_confirmed_one_is_named_and_the_rest_is_cut(desk: CaseDesk) -> None:
    for number in range(2, LINKED_MAXIMUM + 5):
        other_order(desk, str(number), device_id="device-1")
    desk.outcome("fraud_chargeback", order_id="o2")
    links = look(desk).links
    assert len(links.orders) == LINKED_MAXIMUM
    assert links.is_more
    assert (links.orders[0].order_id, links.orders[0].is_confirmed_fraud) == ("o2", True)
    picture = link_picture(links)
    assert picture is not None
    heights = [placed.y for placed in picture.orders]
    assert min(heights) >= 0
    assert max(heights) <= picture.height
    assert all(later - earlier == ROW_HEIGHT for earlier, later in pairwise(heights))


def test_without_links_there_is_no_picture(desk: CaseDesk) -> None:
    assert link_picture(look(desk).links) is None


def test_reasons_are_measured_against_the_largest(desk: CaseDesk) -> None:
    reasons = (
        FlagReason(code="shared_device", text="x", unit="count", value=4.0, usual=1.0, contribution=2.0),
        FlagReason(code="order_night", text="y", unit="flag", value=None, usual=None, contribution=0.5),
    )
    with desk.store.writing("someone") as tx:
        stored = case_of(tx, "case1")
        assert stored is not None
        after = replace(stored, reasons=reasons, case=replace(stored.case, version=2))
        update_case(tx, after, version_before=1)
    assert [(reason.share, reason.value) for reason in look(desk).reasons] == [(1.0, 4.0), (0.25, None)]


def test_the_timeline_is_everything_in_order(desk: CaseDesk) -> None:
    with desk.store.writing("someone") as tx:
        append_screening(
            tx,
            Screening(
                screening_id="scr1",
                order_id="o1",
                as_of_ms=desk.now,
                trigger="order_approved",
                outcome="flagged",
                model_name="order-risk",
                model_version="7",
                feature_set_version="1",
                policy_version="1",
                features=(),
                record={"probability": 0.4},
            ),
        )
    desk.now += 1_000
    step(desk, Step.CLAIM)
    step(desk, Step.NOTE, "<b>called</b> twice")
    desk.event("shipped", carrier="PostNord")
    seen = look(desk)
    assert [(entry.source, entry.name) for entry in seen.timeline] == [
        (TimelineSource.ORDER, "ordered"),
        (TimelineSource.SCREENING, "flagged"),
        (TimelineSource.CASE, "claimed"),
        (TimelineSource.CASE, "note_added"),
        (TimelineSource.ORDER_EVENT, "shipped"),
    ]
    assert [entry.detail["note"] for entry in seen.notes] == ["<b>called</b> twice"]
    assert seen.screening is not None


def test_a_stop_request_comes_with_answers_consequences_notices_and_recall(desk: CaseDesk) -> None:
    stop_request_id = stopped(desk)
    answer(
        desk.scope,
        stop_request_id,
        merchant_id="m1",
        kind="shipped_with_tracking",
        carrier="PostNord",
        tracking_number="SE123",
        note=None,
    )
    seen = look(desk)
    (file,) = seen.stop_requests
    assert file.request.answers
    assert [follows.code.value for follows in file.request.consequences] == ["provider_recalls_parcel"]
    assert [(told.event_type, told.delivery_id in file.resendable) for told in file.request.deliveries] == [
        ("stop_request.created", False)
    ]
    assert file.request.recall is not None
    assert (file.request.recall.result, file.recalled_by) == (None, None)
    finish_recall(desk.scope, stop_request_id, "recalled", "ann")
    (recalled,) = look(desk).stop_requests
    assert recalled.request.recall != file.request.recall
    assert recalled.recalled_by == "ann"
    assert seen.liability is not None
    assert seen.liability.bearer is Bearer.NOBODY_YET


def test_a_case_without_its_order_in_the_ledger_is_shown_all_the_same(desk: CaseDesk) -> None:
    with desk.store.writing("someone") as tx:
        tx.execute("DELETE FROM ledger_events")
    seen = look(desk)
    assert (seen.order, seen.customer, seen.merchant, seen.liability) == (None, None, None, None)
    assert seen.preview is not None
    assert seen.preview.language == "en"
    assert Step.CLAIM in seen.steps


def test_the_preview_is_the_notice_but_for_its_link_and_names_nobody(desk: CaseDesk) -> None:
    preview = look(desk).preview
    assert preview is not None
    assert preview.language == "de"
    assert "Bitte stoppen Sie die Bestellung o1" in preview.text.subject
    assert "Mustermann" not in preview.text.body
    desk.order("9", origin=CaseOrigin.REVIEW_REQUESTED)
    assert look(desk, "case9").preview is None


def test_steps_follow_the_case(desk: CaseDesk) -> None:
    assert look(desk).steps == {Step.CLAIM}
    step(desk, Step.CLAIM)
    held = {Step.GIVE_BACK, Step.NOTE, Step.CONTACT, Step.RELEASE, Step.STOP}
    assert look(desk).steps == held
    assert look(desk, reviewer="bob").steps == frozenset()
    step(desk, Step.CONTACT)
    assert look(desk).steps == held - {Step.CONTACT} | {Step.CONTACT_OUTCOME}
    step(desk, Step.STOP)
    assert look(desk).steps == {Step.UNDO, Step.WITHDRAW}
    assert look(desk, reviewer="bob").steps == {Step.WITHDRAW}
    assert look(desk, reviewer="bob", role="analyst").steps == frozenset()
    desk.now += MINUTE
    assert look(desk).steps == {Step.WITHDRAW, Step.REOPEN}


@pytest.mark.parametrize("reviewer", ["ann", "bob"])
def test_what_is_possible_is_what_the_use_case_takes(desk: CaseDesk, reviewer: str) -> None:
    texts = {Step.NOTE: "a note", Step.CONTACT_OUTCOME: "denied", Step.REOPEN: "a reason"}
    for beginning in (Step.CLAIM, Step.CONTACT, Step.CONTACT_OUTCOME, Step.STOP, Step.UNDO, Step.RELEASE):
        step(desk, beginning, texts.get(beginning))
        promised = look(desk, reviewer=reviewer).steps
        for tried in Step:
            took = _would_take(desk, tried, reviewer, texts.get(tried))
            if tried is not Step.CLAIM:
                assert took == (tried in promised), (beginning, tried)


class _TakenError(Exception):
    """Ends the transaction that took the step."""


@dataclass
class _NeverKept:
    """A store that rolls every write back."""

    store: Store

    @contextmanager
    def writing(self, *lock: str) -> Iterator[Transaction]:
        with self.store.writing(*lock) as tx:
            yield tx
            raise _TakenError


def _would_take(desk: CaseDesk, tried: Step, reviewer: str, text: str | None) -> bool:
    """Whether the step is taken when it is really tried; nothing of it is kept."""
    scope = replace(desk.scope, store=cast("Store", _NeverKept(desk.store)))
    try:
        take_step(scope, "case1", tried, reviewer=reviewer, text=text)
    except _TakenError:
        return True
    except RiskError:
        return False
    raise AssertionError("the step was kept")


def test_a_customer_without_a_verified_contact_cannot_be_contacted(desk: CaseDesk) -> None:
    step(desk, Step.CLAIM)
    contacts = [CustomerContact(channel="email", verified_at_ms=None)]
    steps = possible_steps(
        desk.stored(), contacts, reviewer="ann", role="fraud", now_ms=desk.now, policy=desk.policy.review
    )
    assert Step.CONTACT not in steps
    assert desk.case().state is CaseState.CLAIMED


@pytest.mark.parametrize("verified", ["before the order", "between order and case", "after the case"])
def test_a_contact_is_offered_exactly_where_the_step_takes_it(desk: CaseDesk, verified: str) -> None:
    stored = desk.stored()
    assert stored.stakes.ordered_at_ms + 1 < stored.case.opened_at_ms, "or the two could be mistaken"
    at = {
        "before the order": stored.stakes.ordered_at_ms - 1,
        "between order and case": stored.stakes.ordered_at_ms + 1,
        "after the case": stored.case.opened_at_ms + 1,
    }[verified]
    confirmed = {"email_confirmed_at": at, "phone_confirmed_at": at}
    desk.row("customers", a_customer(event_id="customer-1-later", at=desk.now, **confirmed))
    step(desk, Step.CLAIM)
    is_offered = Step.CONTACT in look(desk).steps
    assert is_offered == (verified == "before the order")
    assert is_offered == _would_take(desk, Step.CONTACT, "ann", None)


def test_a_question_goes_to_the_merchant_once_and_needs_a_request(desk: CaseDesk) -> None:
    opened_at_ms = desk.now
    open_by_hand(desk.scope, "case1", reason="looks odd", by="ann")
    with pytest.raises(UnknownStopRequest):
        ask_merchant(desk.scope, "case1", "Where did it go?", "ann")
    found = look(desk).investigation
    assert found is not None
    assert found.questions == ()
    stop_request_id = stopped(desk)
    assert look(desk).can_ask_merchant
    ask_merchant(desk.scope, "case1", "Where did it go?", "ann")
    ask_merchant(desk.scope, "case1", "And when?", "ann")
    with desk.store.reading() as tx:
        told = [delivery.event_type for delivery in deliveries_of(tx, stop_request_id)]
    assert told == ["stop_request.created", *["stop_request.information_requested"] * 2]
    found = look(desk).investigation
    assert found is not None
    assert [asked.text for asked in found.questions] == ["Where did it go?", "And when?"]
    assert found.opened_at == opened_at_ms


def test_every_code_that_a_reviewer_can_meet_has_words() -> None:
    actions = {known.value for actions in (Action, StopAction, InvestigationAction) for known in actions}
    assert set(TITLE[TimelineSource.CASE]) == actions
    for source, contract in (
        (TimelineSource.ORDER_EVENT, ORDER_EVENTS),
        (TimelineSource.OUTCOME, ORDER_OUTCOMES),
    ):
        kind = next(column for column in contract.columns if column.name == "kind")
        assert set(TITLE[source]) == set(kind.allowed or ())
    assert {feature.reason_code for feature in ORDER_RISK.features} <= set(REASON)


def test_a_reopening_by_the_system_is_told_in_words(desk: CaseDesk) -> None:
    entry = TimelineEntry(
        at_ms=0, source=TimelineSource.CASE, name="reopened", actor="system", detail={"reason": LINKED_FRAUD}
    )
    locale = Locale(language="en", zone=ZoneInfo("UTC"), now_ms=0)
    assert title_of(entry) == "Case re-opened"
    assert detail_of(entry, locale) == ["Fraud was confirmed about a linked order"]
