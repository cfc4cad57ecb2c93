"""Stop requests: which answers are taken, when they are due, and what follows from them."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.domain.answer_consequences import ConsequenceCode, consequences
from serving.domain.merchant_answer import AnswerInvalid, AnswerKind, MerchantAnswer, parse_answer
from serving.domain.stop_request import (
    LATER_ANSWERS,
    NEXT_STATES,
    AnswerEffect,
    StopRequest,
    StopRequestNotWithdrawable,
    StopRequestPolicy,
    StopRequestState,
    StopRequestWithdrawn,
    expire,
    record_delivery,
    take_answer,
    withdraw,
)

POLICY = StopRequestPolicy(
    answer_hours=48,
    recallable_carriers=frozenset({"PostNord", "Schenker Privpak"}),
    no_answer_moves_liability=True,
    link_days=90,
)
LENIENT = replace(POLICY, no_answer_moves_liability=False)
REQUESTED_AT_MS = 1_780_000_000_000
DELIVERED_AT_MS = REQUESTED_AT_MS + 5_000
DUE_AT_MS = DELIVERED_AT_MS + 48 * 3_600_000
UNDELIVERED = StopRequest(
    stop_request_id="s1",
    order_id="o1",
    merchant_id="m1",
    state=StopRequestState.REQUESTED,
    requested_at_ms=REQUESTED_AT_MS,
    first_delivered_at_ms=None,
    answer_due_at_ms=None,
    answers=(),
)
REQUEST = record_delivery(UNDELIVERED, DELIVERED_AT_MS, POLICY)
EXPIRED = expire(REQUEST, DUE_AT_MS)


def answer(
    kind: AnswerKind = AnswerKind.STOPPED_BEFORE_SHIPPING,
    *,
    carrier: str = "PostNord",
    tracking_number: str = "SE123",
    at_ms: int = DUE_AT_MS - 1,
    note: str | None = None,
) -> MerchantAnswer:
    is_tracked = kind is AnswerKind.SHIPPED_WITH_TRACKING
    return MerchantAnswer(
        kind=kind,
        carrier=carrier if is_tracked else None,
        tracking_number=tracking_number if is_tracked else None,
        answered_at_ms=at_ms,
        note=note,
    )


def after(*answers: MerchantAnswer, request: StopRequest = REQUEST) -> StopRequest:
    for one in answers:
        request, effect = take_answer(request, one, POLICY)
        assert effect is AnswerEffect.NEW
    return request


def mistakes(
    kind: str | None = "shipped_with_tracking",
    carrier: str | None = "DHL",
    tracking_number: str | None = "1",
    note: str | None = None,
) -> list[str]:
    with pytest.raises(AnswerInvalid) as caught:
        parse_answer(kind=kind, carrier=carrier, tracking_number=tracking_number, note=note, answered_at_ms=1)
    return [mistake.field for mistake in caught.value.mistakes]


def codes(request: StopRequest, policy: StopRequestPolicy = POLICY) -> list[str]:
    return [consequence.code.value for consequence in consequences(request, policy)]


def test_a_tracked_shipment_needs_carrier_and_tracking_number() -> None:
    assert mistakes(carrier=None, tracking_number="  ") == ["carrier", "tracking_number"]
    assert mistakes(carrier="\u00a0\u200b", tracking_number="\u2060") == ["carrier", "tracking_number"]


@pytest.mark.parametrize("kind", [kind for kind in AnswerKind if kind.value != "shipped_with_tracking"])
def test_any_other_answer_refuses_carrier_and_tracking_number(kind: AnswerKind) -> None:
    assert mistakes(kind=kind.value) == ["carrier", "tracking_number"]
    parsed = parse_answer(kind=kind.value, carrier=" ", tracking_number=None, note="", answered_at_ms=1)
    assert parsed == answer(kind, at_ms=1)


@pytest.mark.parametrize("kind", [None, "", "maybe", "SHIPPED_WITH_TRACKING"])
def test_an_unknown_kind_is_named_without_blaming_other_fields(kind: str | None) -> None:
    assert mistakes(kind=kind) == ["kind"]


def test_every_mistake_of_an_answer_is_named_at_once() -> None:
    assert mistakes(kind="no", carrier="x" * 101, tracking_number="1\n2", note="x" * 2_001) == [
        "kind",
        "carrier",
        "tracking_number",
        "note",
    ]


def test_the_message_of_an_invalid_answer_names_fields_and_rules() -> None:
    with pytest.raises(AnswerInvalid, match=r"^carrier: is required for shipped_with_tracking$"):
        parse_answer(
            kind="shipped_with_tracking", carrier="", tracking_number="1", note=None, answered_at_ms=1
        )


def test_texts_of_an_answer_are_kept_without_what_nobody_sees() -> None:
    parsed = parse_answer(
        kind=" shipped_with_tracking ",
        carrier="\u200ePostNord\u00a0",
        tracking_number=" SE\u00ad123\n",
        note=" a ",
        answered_at_ms=7,
    )
    assert parsed == answer(AnswerKind.SHIPPED_WITH_TRACKING, at_ms=7, note="a")


def test_the_first_delivery_starts_the_deadline_and_a_second_one_does_not_move_it() -> None:
    assert (REQUEST.first_delivered_at_ms, REQUEST.answer_due_at_ms) == (DELIVERED_AT_MS, DUE_AT_MS)
    assert record_delivery(REQUEST, DELIVERED_AT_MS + 1, POLICY) is REQUEST


def test_a_request_expires_at_the_instant_it_is_due() -> None:
    assert expire(REQUEST, DUE_AT_MS - 1) is REQUEST
    assert EXPIRED.state is StopRequestState.EXPIRED


def test_a_request_that_reached_nobody_never_expires() -> None:
    assert expire(UNDELIVERED, DUE_AT_MS * 2) is UNDELIVERED


def test_an_answered_request_does_not_expire() -> None:
    answered = after(answer())
    assert expire(answered, DUE_AT_MS) is answered


def test_an_answer_before_the_request_was_seen_delivered_is_taken_and_never_late() -> None:
    early = after(answer(at_ms=DUE_AT_MS * 2), request=UNDELIVERED)
    assert early.state is StopRequestState.ANSWERED
    assert not early.has_missed_deadline


def test_an_answer_at_the_instant_it_is_due_is_late_and_one_millisecond_before_is_not() -> None:
    assert not after(answer(at_ms=DUE_AT_MS - 1)).has_missed_deadline
    assert after(answer(at_ms=DUE_AT_MS)).has_missed_deadline


def test_an_answer_after_expiry_is_taken_and_noted_as_late() -> None:
    late = answer(at_ms=DUE_AT_MS + 1)
    request = after(late, request=EXPIRED)
    assert (request.state, request.current_answer) == (StopRequestState.ANSWERED, late)
    assert request.is_late(late)
    assert request.has_missed_deadline


def test_a_tracking_number_found_after_the_deadline_does_not_make_a_timely_answer_late() -> None:
    found = answer(AnswerKind.SHIPPED_WITH_TRACKING, at_ms=DUE_AT_MS + 1)
    request = after(answer(AnswerKind.SHIPPED_WITHOUT_TRACKING), found)
    assert request.is_late(found)
    assert not request.has_missed_deadline
    assert codes(request) == ["provider_recalls_parcel"]


def test_an_identical_second_answer_is_harmless() -> None:
    request = after(answer(AnswerKind.SHIPPED_WITH_TRACKING))
    again = answer(
        AnswerKind.SHIPPED_WITH_TRACKING, carrier=" postnord", tracking_number="SE123 ", at_ms=DUE_AT_MS
    )
    assert take_answer(request, again, POLICY) == (request, AnswerEffect.REPEATED)


def test_the_same_answer_with_a_new_note_is_kept_and_with_a_known_note_is_not() -> None:
    request = after(answer(), answer(note="Held at the warehouse."))
    assert len(request.answers) == 2
    for note in (None, " Held at the warehouse. "):
        assert take_answer(request, answer(note=note), POLICY) == (request, AnswerEffect.REPEATED)


def test_another_tracking_number_contradicts_the_first() -> None:
    request = after(answer(AnswerKind.SHIPPED_WITH_TRACKING))
    other = answer(AnswerKind.SHIPPED_WITH_TRACKING, tracking_number="SE124")
    assert take_answer(request, other, POLICY) == (request, AnswerEffect.CONTRADICTED)


@pytest.mark.parametrize("first", list(AnswerKind))
@pytest.mark.parametrize("second", list(AnswerKind))
def test_a_second_answer_is_new_only_where_life_allows_it(first: AnswerKind, second: AnswerKind) -> None:
    allowed = {
        ("shipped_with_tracking", "parcel_returned"),
        ("shipped_without_tracking", "parcel_returned"),
        ("shipped_without_tracking", "shipped_with_tracking"),
        ("service_cannot_be_cut", "service_cut"),
    }
    before = after(answer(first))
    request, effect = take_answer(before, answer(second), POLICY)
    if (first.value, second.value) in allowed:
        assert (effect, len(request.answers)) == (AnswerEffect.NEW, 2)
    else:
        expected = AnswerEffect.REPEATED if first is second else AnswerEffect.CONTRADICTED
        assert (request, effect) == (before, expected)


def test_a_withdrawn_request_takes_no_answer() -> None:
    withdrawn = withdraw(REQUEST)
    with pytest.raises(StopRequestWithdrawn, match="s1"):
        take_answer(withdrawn, answer(), POLICY)
    assert codes(withdrawn) == []


def test_an_expired_request_can_be_withdrawn_and_the_silence_then_costs_nothing() -> None:
    expired = expire(REQUEST, DUE_AT_MS)
    assert codes(expired) == ["liability_moves_to_merchant"]
    withdrawn = withdraw(expired)
    assert withdrawn.state is StopRequestState.WITHDRAWN
    assert codes(withdrawn) == []


def test_withdrawing_twice_is_harmless() -> None:
    withdrawn = withdraw(REQUEST)
    assert withdraw(withdrawn) is withdrawn


def test_an_answered_request_cannot_be_withdrawn() -> None:
    with pytest.raises(StopRequestNotWithdrawable, match="answered"):
        withdraw(after(answer()))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (AnswerKind.STOPPED_BEFORE_SHIPPING, ["invoice_cancelled"]),
        (AnswerKind.SHIPPED_WITH_TRACKING, ["provider_recalls_parcel"]),
        (AnswerKind.SHIPPED_WITHOUT_TRACKING, ["liability_moves_to_merchant"]),
        (AnswerKind.SERVICE_CUT, ["service_cut", "invoice_cancelled"]),
        (AnswerKind.SERVICE_CANNOT_BE_CUT, ["wait_for_dispute"]),
        (AnswerKind.PARCEL_RETURNED, ["order_returned"]),
    ],
)
def test_every_answer_has_its_consequences(kind: AnswerKind, expected: list[str]) -> None:
    assert codes(after(answer(kind))) == expected


@pytest.mark.parametrize(
    ("carrier", "code"),
    [
        ("POSTNORD", "provider_recalls_parcel"),
        (" schenker privpak ", "provider_recalls_parcel"),
        ("Schenker\u00a0 Privpak", "provider_recalls_parcel"),
        ("DHL", "merchant_recalls_parcel"),
        ("PostNord Express", "merchant_recalls_parcel"),
    ],
)
def test_the_provider_recalls_parcels_of_the_carriers_in_the_policy_only(carrier: str, code: str) -> None:
    assert codes(after(answer(AnswerKind.SHIPPED_WITH_TRACKING, carrier=carrier))) == [code]


def test_nothing_follows_while_there_is_time_to_answer() -> None:
    assert codes(UNDELIVERED) == codes(REQUEST) == []


def test_no_answer_in_time_moves_liability_where_the_policy_says_so() -> None:
    assert codes(EXPIRED) == ["liability_moves_to_merchant"]
    assert codes(EXPIRED, LENIENT) == []


def test_a_late_answer_moves_liability_unless_nothing_is_lost() -> None:
    late = {kind: codes(after(answer(kind, at_ms=DUE_AT_MS), request=EXPIRED)) for kind in AnswerKind}
    moved = {kind.value for kind, found in late.items() if "liability_moves_to_merchant" in found}
    assert moved == {"shipped_with_tracking", "shipped_without_tracking", "service_cannot_be_cut"}


ANSWERS = st.builds(
    answer,
    st.sampled_from(AnswerKind),
    carrier=st.sampled_from(["PostNord", " postnord ", "DHL"]),
    tracking_number=st.sampled_from(["SE123", "SE124"]),
    note=st.sampled_from([None, "one", "two"]),
)
STEPS = st.one_of(ANSWERS, st.sampled_from(["deliver", "expire", "withdraw"]))
WAITS_MS = st.sampled_from([0, 1, 48 * 3_600_000])


def step(request: StopRequest, what: MerchantAnswer | str, now_ms: int) -> tuple[StopRequest, bool]:
    """The request after one step, and whether the step was refused."""
    if what == "deliver":
        return record_delivery(request, now_ms, POLICY), False
    if what == "expire":
        return expire(request, now_ms), False
    try:
        if isinstance(what, MerchantAnswer):
            request, effect = take_answer(request, replace(what, answered_at_ms=now_ms), POLICY)
            return request, effect is AnswerEffect.CONTRADICTED
        return withdraw(request), False
    except (StopRequestWithdrawn, StopRequestNotWithdrawable):
        return request, True


@given(st.lists(st.tuples(STEPS, WAITS_MS), max_size=12))
def test_no_sequence_of_steps_leaves_the_legal_states(steps: list[tuple[MerchantAnswer | str, int]]) -> None:
    request, now_ms = UNDELIVERED, REQUESTED_AT_MS
    for what, wait_ms in steps:
        now_ms += wait_ms
        before = request
        request, was_refused = step(before, what, now_ms)
        assert request.state is before.state or request.state in NEXT_STATES[before.state]
        assert request.answers[: len(before.answers)] == before.answers
        assert not was_refused or request == before
        # A step taken twice at the same instant does what it did the first time, or nothing.
        assert step(request, what, now_ms) == (request, was_refused)
        assert bool(request.answers) == (request.state is StopRequestState.ANSWERED)
        assert (request.first_delivered_at_ms is None) == (request.answer_due_at_ms is None)
        assert request.state is not StopRequestState.EXPIRED or now_ms >= (request.answer_due_at_ms or 0) > 0
        follows = [consequence.code for consequence in consequences(request, POLICY)]
        assert len(set(follows)) == len(follows)
    kinds = [given_answer.kind for given_answer in request.answers]
    for earlier, later in itertools.pairwise(kinds):
        assert later is earlier or later in LATER_ANSWERS[earlier]


@given(st.sampled_from(AnswerKind), st.integers(0, 10**12), st.booleans())
def test_every_consequence_comes_with_a_sentence(kind: AnswerKind, at_ms: int, strict: bool) -> None:
    request = after(answer(kind, at_ms=REQUESTED_AT_MS + at_ms))
    found = consequences(request, replace(POLICY, no_answer_moves_liability=strict))
    assert found
    assert all(one.sentence.endswith(".") and isinstance(one.code, ConsequenceCode) for one in found)
