"""Who bears the loss of a high-risk order, and what the merchant is paid."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from serving.domain.answer_consequences import ConsequenceCode, consequences
from serving.domain.liability import (
    Bearer,
    FactsInvalid,
    Liability,
    RiskFacts,
    Shipment,
    TakenBack,
    liability_of,
)
from serving.domain.merchant_answer import AnswerKind, MerchantAnswer
from serving.domain.settlement import Account, fraud_lines
from serving.domain.stop_request import LATER_ANSWERS, StopRequest, StopRequestPolicy, StopRequestState

POLICY = StopRequestPolicy(
    answer_hours=48,
    recallable_carriers=frozenset({"PostNord"}),
    no_answer_moves_liability=True,
    link_days=90,
)
LENIENT = replace(POLICY, no_answer_moves_liability=False)
DUE_AT_MS = 1_780_000_000_000
IN_TIME, LATE = DUE_AT_MS - 1, DUE_AT_MS
FACTS = RiskFacts(
    amount_cents=11_900,
    vat_cents=1_900,
    invoiced_cents=None,
    currency="EUR",
    is_service=False,
    shipment=Shipment.WITH_TRACKING,
    taken_back=None,
    stop_request=None,
    is_confirmed_fraud=True,
    is_disputed=False,
    is_invoice_unpaid=False,
)
SERVICE = replace(FACTS, is_service=True, shipment=Shipment.NOT_SHIPPED)


def request_of(
    *kinds: AnswerKind, state: StopRequestState = StopRequestState.ANSWERED, at_ms: int = IN_TIME
) -> StopRequest:
    """A delivered stop request; the first answer at `at_ms`, any other one a millisecond later."""
    return StopRequest(
        stop_request_id="s1",
        order_id="o1",
        merchant_id="m1",
        state=state,
        requested_at_ms=DUE_AT_MS - 48 * 3_600_000,
        first_delivered_at_ms=DUE_AT_MS - 48 * 3_600_000,
        answer_due_at_ms=DUE_AT_MS,
        answers=tuple(answer_of(kind, at_ms + number) for number, kind in enumerate(kinds)),
    )


def answer_of(kind: AnswerKind, at_ms: int) -> MerchantAnswer:
    is_tracked = kind is AnswerKind.SHIPPED_WITH_TRACKING
    return MerchantAnswer(
        kind=kind,
        carrier="PostNord" if is_tracked else None,
        tracking_number="SE123" if is_tracked else None,
        answered_at_ms=at_ms,
        note=None,
    )


def answered(facts: RiskFacts, *kinds: AnswerKind, at_ms: int = IN_TIME) -> RiskFacts:
    return replace(facts, stop_request=request_of(*kinds, at_ms=at_ms))


def bearer(facts: RiskFacts, policy: StopRequestPolicy = POLICY) -> Bearer:
    return liability_of(facts, policy).bearer


def settled(facts: RiskFacts) -> list[tuple[str, int]]:
    return [(line.text.value, line.amount_cents) for line in fraud_lines(facts, liability_of(facts, POLICY))]


NOT_SHIPPED = replace(FACTS, shipment=Shipment.NOT_SHIPPED)
EXPIRED = replace(FACTS, stop_request=request_of(state=StopRequestState.EXPIRED))
WAITING = replace(FACTS, stop_request=request_of(state=StopRequestState.REQUESTED))


def test_a_merchant_that_met_the_requirements_is_paid_the_amount_without_vat() -> None:
    met = answered(NOT_SHIPPED, AnswerKind.SHIPPED_WITH_TRACKING)
    assert bearer(met) is Bearer.PROVIDER
    assert settled(met) == [("return, fraud", -11_900), ("fraud policy", 10_000)]


def test_the_loss_of_the_provider_is_the_amount_without_vat() -> None:
    lines = fraud_lines(FACTS, liability_of(FACTS, POLICY))
    postings = [(posting.account, posting.amount_cents) for line in lines for posting in line.postings]
    assert postings == [
        (Account.MERCHANT_PAYABLE, 11_900),
        (Account.CUSTOMER_RECEIVABLE, -11_900),
        (Account.MERCHANT_PAYABLE, -10_000),
        (Account.FRAUD_LOSSES, 10_000),
    ]


def test_shipping_without_a_tracking_number_moves_liability_to_the_merchant() -> None:
    breach = answered(NOT_SHIPPED, AnswerKind.SHIPPED_WITHOUT_TRACKING)
    assert bearer(breach) is Bearer.MERCHANT
    assert settled(breach) == [("return, fraud", -11_900)]
    assert bearer(replace(FACTS, shipment=Shipment.WITHOUT_TRACKING)) is Bearer.MERCHANT


def test_liability_that_moved_is_named_before_the_fraud_is_confirmed_but_nothing_is_settled() -> None:
    breach = answered(replace(FACTS, is_confirmed_fraud=False), AnswerKind.SHIPPED_WITHOUT_TRACKING)
    untracked = replace(breach, shipment=Shipment.WITHOUT_TRACKING)
    assert bearer(untracked) is Bearer.MERCHANT
    assert settled(untracked) == []


def test_a_tracking_number_on_record_counts_although_the_merchant_knew_none() -> None:
    assert bearer(answered(FACTS, AnswerKind.SHIPPED_WITHOUT_TRACKING)) is Bearer.PROVIDER


def test_a_tracking_number_found_later_moves_liability_back_to_the_provider() -> None:
    found = answered(NOT_SHIPPED, AnswerKind.SHIPPED_WITHOUT_TRACKING, AnswerKind.SHIPPED_WITH_TRACKING)
    assert bearer(found) is Bearer.PROVIDER


def test_no_answer_in_time_moves_liability_where_the_policy_says_so() -> None:
    assert bearer(EXPIRED) is Bearer.MERCHANT
    assert settled(EXPIRED) == [("return, fraud", -11_900)]
    assert bearer(EXPIRED, LENIENT) is Bearer.PROVIDER


def test_a_late_answer_counts_as_none_in_time() -> None:
    late = answered(FACTS, AnswerKind.SHIPPED_WITH_TRACKING, at_ms=LATE)
    assert bearer(late) is Bearer.MERCHANT
    assert bearer(late, LENIENT) is Bearer.PROVIDER


def test_every_breach_is_named_to_the_merchant() -> None:
    both = answered(NOT_SHIPPED, AnswerKind.SHIPPED_WITHOUT_TRACKING, at_ms=LATE)
    assert liability_of(both, POLICY).reasons == (
        "The merchant did not answer the stop request in time.",
        "The order was shipped without a tracking number, which is a breach of the agreement.",
        "The order is confirmed as fraud, so the claim goes back to the merchant.",
    )


@pytest.mark.parametrize("at_ms", [IN_TIME, LATE])
@pytest.mark.parametrize(
    ("facts", "kind"),
    [
        (NOT_SHIPPED, AnswerKind.STOPPED_BEFORE_SHIPPING),
        (FACTS, AnswerKind.PARCEL_RETURNED),
        (SERVICE, AnswerKind.SERVICE_CUT),
    ],
)
def test_nobody_bears_a_loss_when_the_goods_were_held_or_came_back(
    facts: RiskFacts, kind: AnswerKind, at_ms: int
) -> None:
    stopped = answered(facts, kind, at_ms=at_ms)
    assert (bearer(stopped), settled(stopped)) == (Bearer.NOBODY, [])


def test_a_service_that_cannot_be_cut_waits_for_a_dispute_and_is_the_providers_loss_once_confirmed() -> None:
    service = answered(SERVICE, AnswerKind.SERVICE_CANNOT_BE_CUT)
    assert bearer(replace(service, is_confirmed_fraud=False)) is Bearer.NOBODY_YET
    assert bearer(service) is Bearer.PROVIDER


def test_a_service_needs_no_tracking_number() -> None:
    with_a_letter = replace(SERVICE, shipment=Shipment.WITHOUT_TRACKING)
    assert bearer(with_a_letter) is Bearer.PROVIDER


def test_nobody_bears_the_loss_yet_while_the_merchant_has_time_to_answer() -> None:
    assert (bearer(WAITING), settled(WAITING)) == (Bearer.NOBODY_YET, [])
    request = replace(request_of(state=StopRequestState.REQUESTED), first_delivered_at_ms=None)
    undelivered = replace(FACTS, stop_request=replace(request, answer_due_at_ms=None))
    assert liability_of(undelivered, POLICY).reasons == (
        "The stop request has not reached the merchant yet.",
    )


def test_nobody_bears_a_loss_where_nothing_was_shipped() -> None:
    assert (bearer(NOT_SHIPPED), settled(NOT_SHIPPED)) == (Bearer.NOBODY, [])


def test_a_dispute_or_an_unpaid_invoice_keeps_liability_open_until_fraud_is_confirmed() -> None:
    unconfirmed = replace(FACTS, is_confirmed_fraud=False)
    assert bearer(unconfirmed) is Bearer.NOBODY
    assert bearer(replace(unconfirmed, is_disputed=True)) is Bearer.NOBODY_YET
    assert bearer(replace(unconfirmed, is_invoice_unpaid=True)) is Bearer.NOBODY_YET


def test_a_withdrawn_stop_request_asks_nothing_of_the_merchant() -> None:
    withdrawn = replace(FACTS, stop_request=request_of(state=StopRequestState.WITHDRAWN))
    assert bearer(withdrawn) is Bearer.PROVIDER
    harmless = replace(withdrawn, is_confirmed_fraud=False, shipment=Shipment.WITHOUT_TRACKING)
    assert bearer(harmless) is Bearer.NOBODY


@pytest.mark.parametrize(
    ("facts", "kind"),
    [
        (FACTS, AnswerKind.STOPPED_BEFORE_SHIPPING),
        (FACTS, AnswerKind.SERVICE_CANNOT_BE_CUT),
        (FACTS, AnswerKind.SERVICE_CUT),
        (SERVICE, AnswerKind.SHIPPED_WITH_TRACKING),
        (SERVICE, AnswerKind.PARCEL_RETURNED),
    ],
)
def test_an_answer_against_the_record_is_cleared_up_before_anyone_bears_the_loss(
    facts: RiskFacts, kind: AnswerKind
) -> None:
    conflicting = answered(facts, kind)
    assert (bearer(conflicting), settled(conflicting)) == (Bearer.NOBODY_YET, [])


HELD_OR_RETURNED = pytest.mark.parametrize(
    ("facts", "kind", "owed"),
    [
        (NOT_SHIPPED, AnswerKind.STOPPED_BEFORE_SHIPPING, "remove the invoice or register"),
        (FACTS, AnswerKind.PARCEL_RETURNED, "register the order as returned"),
        (SERVICE, AnswerKind.SERVICE_CUT, "remove the invoice"),
    ],
)


@HELD_OR_RETURNED
def test_the_merchant_bears_the_claim_of_an_order_that_it_only_says_was_stopped(
    facts: RiskFacts, kind: AnswerKind, owed: str
) -> None:
    standing = replace(answered(facts, kind), invoiced_cents=11_900)
    waiting = liability_of(replace(standing, is_confirmed_fraud=False), POLICY)
    assert waiting.bearer is Bearer.NOBODY_YET
    assert owed in waiting.reasons[0]
    assert (bearer(standing), settled(standing)) == (Bearer.MERCHANT, [("return, fraud", -11_900)])
    assert liability_of(standing, POLICY).reasons == (
        *waiting.reasons,
        "The order is confirmed as fraud and the invoice stands, so the claim goes back to the merchant.",
    )


@HELD_OR_RETURNED
def test_a_removed_invoice_or_a_registered_return_bears_out_what_the_merchant_says(
    facts: RiskFacts, kind: AnswerKind, owed: str
) -> None:
    removed = replace(answered(facts, kind), invoiced_cents=0)
    returned = replace(removed, invoiced_cents=11_900, taken_back=TakenBack.RETURNED)
    assert [bearer(removed), bearer(returned)] == [Bearer.NOBODY, Bearer.NOBODY]
    assert owed not in liability_of(returned, POLICY).reasons[0]


def test_what_is_credited_already_is_not_taken_again() -> None:
    credited = replace(FACTS, invoiced_cents=5_950)
    assert settled(credited) == [("return, fraud", -5_950), ("fraud policy", 5_000)]
    breach = replace(credited, shipment=Shipment.WITHOUT_TRACKING)
    assert settled(breach) == [("return, fraud", -5_950)]
    all_of_it = replace(FACTS, invoiced_cents=0)
    assert (bearer(all_of_it), settled(all_of_it)) == (Bearer.NOBODY, [])


def test_half_a_cent_of_tax_is_rounded_up_and_a_line_of_nothing_is_left_out() -> None:
    halves = replace(FACTS, amount_cents=2, vat_cents=1)
    assert settled(replace(halves, invoiced_cents=3)) == [("return, fraud", -3), ("fraud policy", 1)]
    assert settled(replace(halves, invoiced_cents=1)) == [("return, fraud", -1)]


@pytest.mark.parametrize("delivered_at_ms", [None, DUE_AT_MS - 48 * 3_600_000])
def test_a_confirmed_fraud_shipped_without_tracking_is_a_breach_while_the_request_still_waits(
    delivered_at_ms: int | None,
) -> None:
    request = replace(request_of(state=StopRequestState.REQUESTED), first_delivered_at_ms=delivered_at_ms)
    untracked = replace(FACTS, shipment=Shipment.WITHOUT_TRACKING, stop_request=request)
    assert (bearer(untracked), settled(untracked)) == (Bearer.MERCHANT, [("return, fraud", -11_900)])
    assert bearer(replace(untracked, is_confirmed_fraud=False)) is Bearer.NOBODY_YET
    assert bearer(answered(untracked, AnswerKind.SHIPPED_WITH_TRACKING)) is Bearer.PROVIDER


@pytest.mark.parametrize(("amount_cents", "vat_cents"), [(0, 0), (-1, 0), (100, -1), (100, 100)])
def test_amounts_that_cannot_be_are_refused(amount_cents: int, vat_cents: int) -> None:
    with pytest.raises(FactsInvalid, match="_cents: must be at least"):
        replace(FACTS, amount_cents=amount_cents, vat_cents=vat_cents)


def answer_chains() -> list[tuple[AnswerKind, ...]]:
    """Every sequence of answers that a stop request can take."""
    chains: list[tuple[AnswerKind, ...]] = []
    longer: list[tuple[AnswerKind, ...]] = [(kind,) for kind in AnswerKind]
    while longer:
        chains += longer
        longer = [(*chain, kind) for chain in longer for kind in LATER_ANSWERS[chain[-1]]]
    return chains


REQUESTS = st.one_of(
    st.none(),
    st.sampled_from(
        [request_of(state=state) for state in StopRequestState if state is not StopRequestState.ANSWERED]
    ),
    st.builds(
        lambda chain, at_ms: request_of(*chain, at_ms=at_ms),
        st.sampled_from(answer_chains()),
        st.sampled_from([IN_TIME, LATE]),
    ),
)
ALL_FACTS = st.integers(1, 10**12).flatmap(
    lambda amount_cents: st.builds(
        RiskFacts,
        amount_cents=st.just(amount_cents),
        vat_cents=st.integers(0, amount_cents - 1),
        invoiced_cents=st.one_of(st.none(), st.integers(0, 2 * amount_cents)),
        currency=st.sampled_from(["EUR", "SEK"]),
        is_service=st.booleans(),
        shipment=st.sampled_from(Shipment),
        taken_back=st.one_of(st.none(), st.none(), st.sampled_from(TakenBack)),
        stop_request=REQUESTS,
        is_confirmed_fraud=st.booleans(),
        is_disputed=st.booleans(),
        is_invoice_unpaid=st.booleans(),
    )
)
STOPPED_OR_RETURNED = {
    AnswerKind.STOPPED_BEFORE_SHIPPING,
    AnswerKind.SERVICE_CUT,
    AnswerKind.PARCEL_RETURNED,
}
POLICIES = st.sampled_from([POLICY, LENIENT])


@given(ALL_FACTS, st.sampled_from(Bearer))
def test_postings_of_every_line_balance_and_show_what_the_merchant_receives(
    facts: RiskFacts, who: Bearer
) -> None:
    for line in fraud_lines(facts, Liability(bearer=who, reasons=())):
        assert sum(posting.amount_cents for posting in line.postings) == 0
        payable = [one for one in line.postings if one.account is Account.MERCHANT_PAYABLE]
        assert [one.amount_cents for one in payable] == [-line.amount_cents]
        assert line.currency == facts.currency


@given(ALL_FACTS, POLICIES)
def test_what_is_settled_adds_up_to_what_the_bearer_loses(
    facts: RiskFacts, policy: StopRequestPolicy
) -> None:
    liability = liability_of(facts, policy)
    lines = fraud_lines(facts, liability)
    total = sum(line.amount_cents for line in lines)
    claim_cents = facts.amount_cents if facts.invoiced_cents is None else facts.invoiced_cents
    if not facts.is_confirmed_fraud or liability.bearer in {Bearer.NOBODY, Bearer.NOBODY_YET}:
        assert lines == ()
    elif liability.bearer is Bearer.PROVIDER:
        # What the merchant is short of is the tax that it corrects itself, to the nearest cent.
        assert abs(-total - Fraction(claim_cents * facts.vat_cents, facts.amount_cents)) <= Fraction(1, 2)
        assert 0 <= -total <= claim_cents
        assert [line.amount_cents for line in lines[:1]] == [-claim_cents]
    else:
        assert [line.amount_cents for line in lines] == [-claim_cents]
    assert all(line.amount_cents for line in lines)


@given(ALL_FACTS, POLICIES)
def test_nobody_bears_a_loss_where_nothing_is_claimed_or_the_order_was_taken_back(
    facts: RiskFacts, policy: StopRequestPolicy
) -> None:
    if facts.taken_back is not None or facts.invoiced_cents == 0:
        assert bearer(facts, policy) is Bearer.NOBODY


@given(ALL_FACTS, POLICIES)
def test_every_judgement_gives_its_reasons_in_sentences(facts: RiskFacts, policy: StopRequestPolicy) -> None:
    reasons = liability_of(facts, policy).reasons
    assert reasons
    assert all(reason[0].isupper() and reason.endswith(".") for reason in reasons)


@given(ALL_FACTS, POLICIES)
def test_the_provider_bears_the_loss_of_confirmed_fraud_only(
    facts: RiskFacts, policy: StopRequestPolicy
) -> None:
    assert bearer(facts, policy) is not Bearer.PROVIDER or facts.is_confirmed_fraud


@given(ALL_FACTS, POLICIES)
def test_the_merchant_bears_no_loss_of_a_stop_request_that_no_consequence_announced(
    facts: RiskFacts, policy: StopRequestPolicy
) -> None:
    request = facts.standing_stop_request
    assume(request is not None and facts.shipment is not Shipment.WITHOUT_TRACKING)
    assert request is not None
    if bearer(facts, policy) is Bearer.MERCHANT:
        codes = {consequence.code for consequence in consequences(request, policy)}
        assert codes & {
            ConsequenceCode.LIABILITY_MOVES_TO_MERCHANT,
            ConsequenceCode.INVOICE_CANCELLED,
            ConsequenceCode.ORDER_RETURNED,
        }


def with_more_evidence(facts: RiskFacts) -> list[RiskFacts]:
    """The same order, had the merchant done more of what it owes."""
    better = []
    if facts.shipment is Shipment.WITHOUT_TRACKING:
        better.append(replace(facts, shipment=Shipment.WITH_TRACKING))
    request = facts.stop_request
    if request is None or request.state is StopRequestState.WITHDRAWN:
        return better
    if AnswerKind.SHIPPED_WITH_TRACKING in (
        LATER_ANSWERS[request.answers[-1].kind] if request.answers else ()
    ):
        found = answer_of(AnswerKind.SHIPPED_WITH_TRACKING, LATE + 9)
        better.append(replace(facts, stop_request=replace(request, answers=(*request.answers, found))))
    if request.answers:
        better.append(answered(facts, *(one.kind for one in request.answers), at_ms=IN_TIME))
    else:
        # That the order was stopped or came back is no evidence of fulfilment.
        fulfilled = [chain for chain in answer_chains() if chain[-1] not in STOPPED_OR_RETURNED]
        better += [answered(facts, *chain, at_ms=IN_TIME) for chain in fulfilled]
    return better


@given(ALL_FACTS, POLICIES)
def test_more_evidence_of_fulfilment_never_moves_liability_from_provider_to_merchant(
    facts: RiskFacts, policy: StopRequestPolicy
) -> None:
    if bearer(facts, policy) is Bearer.PROVIDER:
        assert all(bearer(better, policy) is not Bearer.MERCHANT for better in with_more_evidence(facts))
