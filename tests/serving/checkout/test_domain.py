"""What is decided at checkout, at the boundaries where it turns."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from features.feature_sets import INVOICE_ELIGIBILITY
from serving.domain import policy_rules
from serving.domain.checkout_decision import decide
from serving.domain.credit_limit import credit_terms
from serving.domain.decision import (
    AccountStanding,
    Applicant,
    CreditAssessment,
    Decision,
    FeatureContribution,
    Order,
    Outcome,
    OverdueInvoice,
    Reason,
    Recourse,
    RepaidInvoice,
    TechnicalFailure,
)
from serving.domain.errors import PolicyInvalid
from serving.domain.policy_reader import parse_policy
from serving.domain.policy_rules import completed_years
from serving.domain.reasons import (
    LANGUAGES,
    REASON_CODES,
    RECOURSE_CODES,
    adverse_reasons,
    reason_text,
    recourse_text,
)
from tests.serving.checkout.an_order import ADDRESS, ORDER

POLICY_TEXT = (Path(__file__).parents[3] / "serving" / "in_force" / "policy.toml").read_text()
POLICY = parse_policy(POLICY_TEXT)
AS_OF = datetime(2026, 6, 15, 12, 0, tzinfo=UTC)
APPLICANT = Applicant(
    birth_date=date(1980, 5, 17),
    residence_country="DE",
    identity_status="verified",
    identity_document_expires_on=date(2030, 1, 31),
    email_confirmed=True,
    phone_confirmed=True,
    personal_data_confirmed_at=AS_OF - timedelta(days=100),
)
STANDING = AccountStanding(
    outstanding_cents=0,
    reserved_cents=0,
    overdue_invoices=(),
    paid_invoice_count=6,
    repaid_invoices=(RepaidInvoice(repaid_cents=50_000, days_since_paid=60, on_time=True),) * 6,
)
GOOD = CreditAssessment(probability_of_default=0.01, score=650)
NO_MODEL = TechnicalFailure(code="no_model", detail="no champion")
NO_STORE = TechnicalFailure(code="no_store", detail="cannot be read")


def decided(
    order: Order = ORDER,
    applicant: Applicant | None = APPLICANT,
    standing: AccountStanding | TechnicalFailure = STANDING,
    assessment: CreditAssessment | TechnicalFailure = GOOD,
    as_of: datetime = AS_OF,
) -> Decision:
    return decide(order, applicant, standing, assessment, POLICY, as_of=as_of)


def codes(decision: Decision) -> list[str]:
    return [failure.code for failure in decision.failed_rules]


def test_a_good_customer_is_approved_without_reasons() -> None:
    decision = decided()
    assert (decision.outcome, decision.reasons, decision.alternatives) == (Outcome.APPROVED, (), ())


def test_17_years_and_364_days_is_refused_and_18_years_0_days_is_not() -> None:
    turning = replace(APPLICANT, birth_date=date(2008, 6, 16))
    assert codes(decided(applicant=turning)) == ["under_age"]
    assert decided(applicant=replace(turning, birth_date=date(2008, 6, 15))).outcome is Outcome.APPROVED


def test_the_age_counts_by_the_local_date_at_the_residence() -> None:
    turning = replace(APPLICANT, birth_date=date(2008, 6, 16))
    # 22:30 UTC on 15 June is half past midnight on 16 June in Berlin.
    assert decided(applicant=turning, as_of=AS_OF.replace(hour=22, minute=30)).outcome is Outcome.APPROVED
    assert codes(decided(applicant=turning, as_of=AS_OF.replace(hour=21, minute=30))) == ["under_age"]


def test_who_was_born_on_29_february_comes_of_age_on_1_march_of_a_common_year() -> None:
    assert completed_years(date(2008, 2, 29), date(2026, 2, 28)) == 17
    assert completed_years(date(2008, 2, 29), date(2026, 3, 1)) == 18
    assert completed_years(date(2004, 2, 29), date(2024, 2, 29)) == 20


@given(st.dates(date(1900, 1, 1), date(2010, 1, 1)), st.dates(date(2011, 1, 1), date(2099, 12, 31)))
def test_the_birthday_is_the_first_day_of_the_new_age(birth: date, day: date) -> None:
    years = completed_years(birth, day)
    first = policy_rules.birthday(birth, years)
    assert completed_years(birth, first) == years
    assert completed_years(birth, first - timedelta(days=1)) == years - 1


def overdue(paused: bool, cents: int = 5_000) -> AccountStanding:
    invoice = OverdueInvoice(invoice_id="i1", outstanding_cents=cents, days_past_due=9, paused=paused)
    return replace(STANDING, outstanding_cents=cents, overdue_invoices=(invoice,))


def test_an_overdue_paused_invoice_does_not_block_and_an_unpaused_one_does() -> None:
    assert decided(standing=overdue(paused=True)).outcome is Outcome.APPROVED
    assert codes(decided(standing=overdue(paused=False))) == ["open_arrears"]


def test_arrears_up_to_the_tolerance_do_not_block() -> None:
    tolerance = POLICY.materiality_cents
    assert decided(standing=overdue(False, tolerance)).outcome is Outcome.APPROVED
    assert codes(decided(standing=overdue(False, tolerance + 1))) == ["open_arrears"]


def test_exactly_the_limit_passes_and_one_cent_more_does_not() -> None:
    limit = credit_terms(GOOD.score, STANDING, POLICY).limit_cents
    standing = replace(STANDING, outstanding_cents=60_000, reserved_cents=30_000)
    exact = replace(ORDER, amount_cents=limit - 90_000)
    assert decided(order=exact, standing=standing).outcome is Outcome.APPROVED
    above = decided(order=replace(exact, amount_cents=limit - 90_000 + 1), standing=standing)
    assert codes(above) == ["credit_limit"]
    assert above.available_cents == limit - 90_000
    assert [(step.code, step.sufficient) for step in above.recourse] == [("stay_under_amount", True)]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"residence_country": None}, "no_residence"),
        ({"residence_country": "FR"}, "country_not_offered"),
        ({"identity_status": "pending"}, "identity_not_verified"),
        ({"identity_document_expires_on": None}, "identity_not_verified"),
        ({"identity_document_expires_on": date(2026, 6, 14)}, "identity_document_expired"),
        ({"email_confirmed": False}, "email_not_confirmed"),
        ({"phone_confirmed": False}, "phone_not_confirmed"),
        ({"personal_data_confirmed_at": None}, "personal_data_not_current"),
        ({"personal_data_confirmed_at": AS_OF - timedelta(days=731)}, "personal_data_not_current"),
    ],
)
def test_an_account_that_is_not_fully_verified_is_refused_by_name(change: dict[str, Any], code: str) -> None:
    assert codes(decided(applicant=replace(APPLICANT, **change))) == [code]


def test_an_identity_document_is_good_through_its_last_day() -> None:
    assert (
        decided(applicant=replace(APPLICANT, identity_document_expires_on=date(2026, 6, 15))).outcome
        is Outcome.APPROVED
    )


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"house_number": None}, "/delivery/house_number"),
        ({"house_number": "-"}, "/delivery/house_number"),
        ({"name": "."}, "/delivery/name"),
        ({"name": "Erika Mu5termann"}, "/delivery/name"),
        ({"name": "Test Test"}, "/delivery/name"),
        ({"street": "123"}, "/delivery/street"),
        ({"postal_code": "5114"}, "/delivery/postal_code"),
        ({"city": "K0ln"}, "/delivery/city"),
        ({"country": "XX"}, "/delivery/country"),
    ],
)
def test_an_implausible_detail_is_refused_and_the_field_named(change: dict[str, Any], field: str) -> None:
    decision = decided(order=replace(ORDER, delivery=replace(ADDRESS, **change)))
    assert [failure.field for failure in decision.failed_rules] == [field]
    assert [(step.code, step.field) for step in decision.recourse] == [("correct_field", field)]


def test_a_country_that_is_not_offered_is_named_once_and_no_address_is_called_wrong() -> None:
    in_helsinki = replace(
        ADDRESS,
        street="Mannerheimintie",
        house_number="12 B",
        postal_code="00100",
        city="Helsinki",
        country="FI",
    )
    at_home = replace(ORDER, delivery=in_helsinki, billing=in_helsinki)
    resident = replace(APPLICANT, residence_country="FI")
    assert codes(decided(order=at_home, applicant=resident)) == ["country_not_offered"]
    for order, field in (
        (at_home, "/delivery/country"),
        (replace(at_home, delivery=ADDRESS), "/billing/country"),
    ):
        decision = decided(order=order)
        assert [(rule.code, rule.field) for rule in decision.failed_rules] == [
            ("order_country_not_offered", field)
        ]
        assert [(step.code, step.field) for step in decision.recourse] == [
            ("order_to_offered_country", field)
        ]
        assert "FI" in reason_text(decision.reasons[0], "en")
    in_amsterdam = replace(in_helsinki, postal_code="1012 AB", city="Amsterdam", country="NL")
    both = decided(order=replace(at_home, billing=in_amsterdam), applicant=resident)
    assert codes(both) == ["country_not_offered", "order_country_not_offered"]


@pytest.mark.parametrize(
    "name", ["Jean-Luc O\u2019Neill", "Anna-Maria von der Tann", "Łukasz Żak", "Dr. Ida Ng", "José da Silva"]
)
def test_real_names_are_plausible(name: str) -> None:
    assert decided(order=replace(ORDER, delivery=replace(ADDRESS, name=name))).outcome is Outcome.APPROVED


@pytest.mark.parametrize("house_number", ["1", "17a", "12-14", "3 1/2", "5 B"])
def test_real_house_numbers_are_plausible(house_number: str) -> None:
    order = replace(ORDER, delivery=replace(ADDRESS, house_number=house_number))
    assert decided(order=order).outcome is Outcome.APPROVED


def test_another_currency_than_the_limits_is_declined() -> None:
    decision = decided(order=replace(ORDER, currency="SEK"))
    assert codes(decision) == ["other_currency"]
    assert decision.recourse[0].sufficient


def test_every_amount_is_named_in_its_own_currency_whatever_the_order_is_in() -> None:
    (invoice,) = overdue(False).overdue_invoices
    in_crowns = replace(STANDING, overdue_invoices=(replace(invoice, currency="CZK"),))
    order = replace(ORDER, currency="CHF", amount_cents=POLICY.maximum_order_cents + 1)
    decision = decided(order=order, standing=in_crowns)
    currency_of = {failure.code: dict(failure.data)["currency"] for failure in decision.failed_rules}
    assert currency_of == {"open_arrears": "CZK", "other_currency": "EUR", "amount_too_large": "EUR"}
    assert "CZK 50.00" in reason_text(decision.reasons[0], "en")
    small = decided(order=replace(order, amount_cents=POLICY.minimum_order_cents - 1))
    assert [dict(failure.data)["currency"] for failure in small.failed_rules] == ["EUR", "EUR"]
    # A decision of earlier days is replayed with what it said, and its record has no currencies.
    before = decide(order, APPLICANT, overdue(False), GOOD, POLICY, as_of=AS_OF, revision=2)
    assert [dict(failure.data)["currency"] for failure in before.failed_rules] == ["CHF", "EUR", "CHF"]


def test_every_failed_rule_is_recorded_and_at_most_four_are_named() -> None:
    worst = replace(
        APPLICANT,
        birth_date=date(2015, 1, 1),
        identity_status="unverified",
        email_confirmed=False,
        phone_confirmed=False,
        personal_data_confirmed_at=None,
    )
    decision = decided(order=replace(ORDER, currency="SEK"), applicant=worst, standing=overdue(False))
    assert len(decision.failed_rules) == 7
    assert [reason.code for reason in decision.reasons] == [
        "under_age",
        "open_arrears",
        "identity_not_verified",
        "email_not_confirmed",
    ]


def test_a_customer_whom_nobody_knows_is_declined_with_what_to_do() -> None:
    decision = decided(applicant=None)
    assert codes(decision) == ["customer_unknown"]
    assert [step.code for step in decision.recourse] == ["open_account"]


@pytest.mark.parametrize(
    ("standing", "assessment"), [(STANDING, NO_MODEL), (NO_STORE, NO_MODEL), (NO_STORE, GOOD)]
)
def test_without_model_or_history_the_answer_is_unavailable_and_says_nothing_about_the_person(
    standing: AccountStanding | TechnicalFailure, assessment: CreditAssessment | TechnicalFailure
) -> None:
    decision = decided(standing=standing, assessment=assessment)
    assert decision.outcome is Outcome.UNAVAILABLE
    assert {reason.group for reason in decision.reasons} == {"technical"}
    assert decision.alternatives
    assert decision.degraded


def test_a_minor_is_declined_even_when_no_model_is_there() -> None:
    minor = replace(APPLICANT, birth_date=date(2010, 1, 1))
    decision = decided(applicant=minor, assessment=NO_MODEL)
    assert (decision.outcome, codes(decision)) == (Outcome.DECLINED, ["under_age"])


def test_settling_the_overdue_invoice_is_offered_only_as_sufficient_where_it_is() -> None:
    assert decided(standing=overdue(False)).recourse[0] == Recourse(
        code="settle_invoice",
        data=decided(standing=overdue(False)).failed_rules[0].data,
        sufficient=True,
    )
    low = replace(GOOD, score=300, probability_of_default=0.6)
    assert not decided(standing=overdue(False), assessment=low).recourse[0].sufficient


def with_available(cents: int) -> AccountStanding:
    limit = credit_terms(GOOD.score, STANDING, POLICY).limit_cents
    return replace(STANDING, outstanding_cents=limit - cents)


@pytest.mark.parametrize(
    ("amount", "available", "named"),
    [
        # The smaller of two amounts is named, which is found only once the larger one is kept.
        (POLICY.maximum_order_cents + 1, 29_900, [("stay_under_amount", 29_900)]),
        (30_000, 29_900, [("stay_under_amount", 29_900)]),
        # Less than the smallest order is available: no amount leads anywhere.
        (POLICY.maximum_order_cents + 1, POLICY.minimum_order_cents - 1, []),
        (POLICY.minimum_order_cents - 1, POLICY.minimum_order_cents - 1, []),
        (POLICY.minimum_order_cents - 1, 29_900, [("reach_amount", POLICY.minimum_order_cents)]),
    ],
)
def test_the_amount_that_is_named_is_one_that_suffices(
    amount: int, available: int, named: list[tuple[str, int]]
) -> None:
    decision = decided(order=replace(ORDER, amount_cents=amount), standing=with_available(available))
    assert [(step.code, amount_of(step)) for step in decision.recourse] == named
    assert all(step.sufficient for step in decision.recourse)


@pytest.mark.parametrize(
    ("amount", "available", "named"),
    [
        (POLICY.maximum_order_cents + 1, 29_900, [(POLICY.maximum_order_cents, False)]),
        (30_000, 29_900, [(29_900, True)]),
        (30_000, POLICY.minimum_order_cents - 1, [(POLICY.minimum_order_cents - 1, False)]),
        (30_000, 0, []),
    ],
)
def test_a_decision_of_the_first_judgement_revision_comes_out_with_the_steps_that_it_named(
    amount: int, available: int, named: list[tuple[int, bool]]
) -> None:
    order = replace(ORDER, amount_cents=amount)
    first = decide(order, APPLICANT, with_available(available), GOOD, POLICY, as_of=AS_OF, revision=1)
    assert [(amount_of(step), step.sufficient) for step in first.recourse] == named


def test_what_fails_only_once_the_arrears_are_settled_is_named_with_them() -> None:
    standing = replace(overdue(False, 5_000), outstanding_cents=with_available(100).outstanding_cents)
    order = replace(ORDER, amount_cents=20_000, currency="SEK")
    steps = decided(order=order, standing=standing).recourse
    assert [(step.code, step.sufficient) for step in steps] == [
        ("settle_invoice", True),
        ("order_in_currency", True),
        ("stay_under_amount", True),
    ]
    assert recourse_text(steps[2], "en") == "Stay at or below EUR 51.00."


def amount_of(step: Recourse) -> int:
    amounts = [value for name, value in step.data if name.endswith("_cents")]
    assert len(amounts) == 1
    return int(amounts[0])


def contribution(feature: str, value: float, added: float) -> FeatureContribution:
    declared = next(f for f in INVOICE_ELIGIBILITY.features if f.name == feature)
    return FeatureContribution(
        feature=feature,
        reason_code=declared.reason_code,
        group=declared.group.value,
        value=value,
        contribution=added,
    )


def test_reasons_are_the_strongest_adverse_contributions_first() -> None:
    assessment = replace(
        GOOD,
        score=300,
        contributions=(
            contribution("late_payment_days_sum_730d", 4, 0.9),
            contribution("credit_inquiry_count_365d", 7, 1.2),
            contribution("limit_utilisation_ratio_mean_185d", 0.2, -0.3),
            contribution("account_age_days_max", 90, 0.1),
        ),
    )
    assert [reason.code for reason in adverse_reasons(assessment, STANDING)] == [
        "many_credit_inquiries",
        "late_payments",
        "young_accounts",
    ]


def test_late_payments_are_never_named_to_someone_who_paid_none_late() -> None:
    stranger = replace(
        GOOD,
        score=300,
        contributions=(
            contribution("on_time_payment_ratio_730d", 0.5, 1.0),
            contribution("late_payment_days_sum_730d", 0, 0.2),
        ),
    )
    reasons = adverse_reasons(stranger, replace(STANDING, paid_invoice_count=0))
    assert [reason.code for reason in reasons] == ["short_payment_history"]


def test_every_reason_code_of_a_feature_has_words() -> None:
    assert {feature.reason_code for feature in INVOICE_ELIGIBILITY.features} <= REASON_CODES


DATA = (
    ("minimum_age_years", 18),
    ("from_date", "2027-01-01"),
    ("invoice_id", "i1"),
    ("outstanding_cents", 1234),
    ("days_past_due", 3),
    ("expired_on", "2026-01-01"),
    ("currency", "EUR"),
    ("minimum_order_cents", 100),
    ("maximum_order_cents", 5_000_00),
    ("available_cents", 99),
    ("counts_after_days", 14),
    ("unconfirmed_minutes", 30),
    ("country", "FR"),
)


@pytest.mark.parametrize("language", [*LANGUAGES, "fi"])
def test_every_code_has_words_in_every_language_and_english_for_the_rest(language: str) -> None:
    for code in REASON_CODES:
        text = reason_text(Reason(code=code, group="x", field="/delivery/city", data=DATA), language)
        assert text
        assert "{" not in text
    for code in RECOURSE_CODES:
        text = recourse_text(Recourse(code=code, field="/delivery/city", data=DATA), language)
        assert text
        assert "{" not in text


standings = st.builds(
    AccountStanding,
    outstanding_cents=st.one_of(st.integers(0, 400_000), st.integers(0, 100_000)),
    reserved_cents=st.one_of(st.just(0), st.integers(0, 100_000)),
    overdue_invoices=st.lists(
        st.builds(
            OverdueInvoice,
            invoice_id=st.sampled_from(["i1", "i2"]),
            outstanding_cents=st.integers(1, 50_000),
            days_past_due=st.integers(1, 90),
            paused=st.booleans(),
        ),
        max_size=2,
        unique_by=lambda invoice: invoice.invoice_id,
    ).map(tuple),
    paid_invoice_count=st.integers(0, 10),
    repaid_invoices=st.lists(
        st.builds(
            RepaidInvoice,
            repaid_cents=st.integers(1, 200_000),
            days_since_paid=st.integers(0, 60),
            on_time=st.booleans(),
        ),
        max_size=6,
    ).map(tuple),
)
scores = st.integers(100, 999)
applicants = st.builds(
    Applicant,
    birth_date=st.dates(date(1930, 1, 1), date(2020, 1, 1)),
    residence_country=st.sampled_from([None, "DE", "AT", "FR"]),
    identity_status=st.sampled_from(["verified", "verified", "pending"]),
    identity_document_expires_on=st.sampled_from([None, date(2020, 1, 1), date(2040, 1, 1)]),
    email_confirmed=st.booleans(),
    phone_confirmed=st.booleans(),
    personal_data_confirmed_at=st.sampled_from([None, AS_OF]),
)
orders = st.builds(
    replace,
    st.just(ORDER),
    amount_cents=st.one_of(st.integers(1, 700_000), st.integers(1, 200)),
    currency=st.sampled_from(["EUR", "EUR", "SEK"]),
    delivery=st.sampled_from([ADDRESS, ADDRESS, replace(ADDRESS, house_number=None)]),
)
assessments = st.one_of(
    st.just(NO_MODEL), scores.map(lambda s: CreditAssessment(probability_of_default=0.1, score=s))
)


@given(
    orders,
    st.one_of(st.none(), applicants, st.just(APPLICANT)),
    st.one_of(standings, st.just(NO_STORE)),
    assessments,
)
def test_deciding_is_total_and_fails_closed(
    order: Order,
    applicant: Applicant | None,
    standing: AccountStanding | TechnicalFailure,
    assessment: CreditAssessment | TechnicalFailure,
) -> None:
    decision = decided(order, applicant, standing, assessment)
    assert decision == decided(order, applicant, standing, assessment)
    assert len(decision.reasons) <= 4
    match decision.outcome:
        case Outcome.APPROVED:
            assert not decision.failed_rules
            assert isinstance(assessment, CreditAssessment)
            assert isinstance(standing, AccountStanding)
            assert decision.limit_cents is not None
            assert standing.exposure_cents + order.amount_cents <= decision.limit_cents
        case Outcome.DECLINED:
            assert decision.failed_rules
            assert decision.reasons
            assert decision.alternatives
        case Outcome.UNAVAILABLE:
            assert TechnicalFailure in {type(standing), type(assessment)}


Inputs = tuple[Order, Applicant | None, AccountStanding | TechnicalFailure]


def taken(step: Recourse, inputs: Inputs) -> Inputs:
    """What the inputs are once a step is taken, from the words of the answer alone."""
    order, applicant, standing = inputs
    data = dict(step.data)
    match step.code:
        case "settle_invoice":
            assert isinstance(standing, AccountStanding)
            left = [one for one in standing.overdue_invoices if one.invoice_id != data["invoice_id"]]
            outstanding = max(standing.outstanding_cents - int(data["outstanding_cents"]), 0)
            standing = replace(standing, overdue_invoices=tuple(left), outstanding_cents=outstanding)
        case "stay_under_amount":
            order = replace(order, amount_cents=min(order.amount_cents, amount_of(step)))
        case "reach_amount":
            order = replace(order, amount_cents=max(order.amount_cents, amount_of(step)))
        case "order_in_currency":
            order = replace(order, currency=str(data["currency"]))
        case "correct_field" | "order_to_offered_country":
            order = replace(order, delivery=ADDRESS)
        case "open_account":
            # In which country and currency the account will be, nobody knows yet.
            applicant, order = APPLICANT, replace(order, currency="EUR")
        case "wait_for_age":
            assert applicant is not None
            applicant = replace(applicant, birth_date=APPLICANT.birth_date)
        case "verify_identity":
            assert applicant is not None
            applicant = replace(
                applicant, identity_status="verified", identity_document_expires_on=date(2030, 1, 1)
            )
        case "confirm_email" | "confirm_phone":
            assert applicant is not None
            applicant = replace(applicant, **{f"{step.code.removeprefix('confirm_')}_confirmed": True})
        case "confirm_personal_data":
            assert applicant is not None
            applicant = replace(applicant, personal_data_confirmed_at=AS_OF)
        case _:
            raise AssertionError(step.code)
    return order, applicant, standing


@settings(max_examples=400)
@given(
    orders,
    st.one_of(st.none(), applicants, st.just(APPLICANT), st.just(APPLICANT)),
    st.one_of(standings, standings, standings, st.just(NO_STORE)),
    assessments,
)
def test_steps_called_sufficient_suffice_and_an_amount_is_named_only_where_it_helps(
    order: Order,
    applicant: Applicant | None,
    standing: AccountStanding | TechnicalFailure,
    assessment: CreditAssessment | TechnicalFailure,
) -> None:
    decision = decided(order, applicant, standing, assessment)
    named = [step.code for step in decision.recourse]
    assert named.count("stay_under_amount") + named.count("reach_amount") <= 1
    inputs: Inputs = (order, applicant, standing)
    for step in decision.recourse:
        inputs = taken(step, inputs)
    mended = decided(*inputs, assessment)
    can_be_taken_today = not {"open_account", "wait_for_age"} & set(named)
    if named:
        is_sufficient = mended.outcome is Outcome.APPROVED and can_be_taken_today
        assert {step.sufficient for step in decision.recourse} == {is_sufficient}
    if {"stay_under_amount", "reach_amount"} & set(named):
        assert codes(mended) in ([], ["score_below_cut_off"])
        assert mended.outcome is not Outcome.UNAVAILABLE


@given(standings, st.integers(1, 300_000), scores, st.integers(0, 899), st.integers(0, 100_000))
def test_a_lower_score_or_more_exposure_never_turns_a_refusal_into_an_approval(
    standing: AccountStanding, amount: int, score: int, lower: int, more: int
) -> None:
    order = replace(ORDER, amount_cents=amount)
    better = decided(order, standing=standing, assessment=replace(GOOD, score=score))
    worse = decided(
        order,
        standing=replace(standing, outstanding_cents=standing.outstanding_cents + more),
        assessment=replace(GOOD, score=max(score - lower, 100)),
    )
    assert not (worse.outcome is Outcome.APPROVED and better.outcome is not Outcome.APPROVED)


def test_strangers_meet_their_own_cut_off_and_limit() -> None:
    stranger = credit_terms(650, replace(STANDING, paid_invoice_count=0, repaid_invoices=()), POLICY)
    established = credit_terms(650, STANDING, POLICY)
    assert stranger.cut_off == POLICY.cut_off_stranger
    assert established.cut_off == POLICY.cut_off_known
    assert stranger.limit_cents < established.limit_cents
    assert credit_terms(POLICY.limits[0].from_points - 1, STANDING, POLICY).limit_cents == 0


@pytest.mark.parametrize(
    ("before", "after", "mistake"),
    [
        ("minimum_age_years = 18", "minimum_age_years = 12", "minimum_age_years: must be from 18"),
        ("minimum_age_years = 18", 'minimum_age_years = "18"', "minimum_age_years: must be a whole number"),
        ("invoice_term_days = 14", "", "invoice_term_days: is missing"),
        ("clock_tolerance_seconds = 300", "clock_tolerance_seconds = 3601", "must be from 0 to 3600"),
        ("invoice_term_days = 14", "invoice_term_days = 14\nfancy = 1", "fancy: is no field of a policy"),
        ("from_points = 560", "from_points = 400", "ascending order"),
        ("counts_after_days = 14", "", "limit_growth.counts_after_days: is missing"),
        ("counted_from_cents = 2_000", "counted_from_cents = 0", "counted_from_cents: must be from 1"),
        ("stranger_cents = 25_000", "stranger_cents = 1", "must not fall with a better score"),
        ('name = "wallet"', 'name = "barter"', "alternatives[4].name"),
        ('time_zone = "Europe/Berlin"', 'time_zone = "Mars/Base"', "countries.DE.time_zone"),
        ("version =", "version", "is no TOML"),
    ],
)
def test_a_mistake_in_a_policy_is_named(before: str, after: str, mistake: str) -> None:
    assert before in POLICY_TEXT
    with pytest.raises(PolicyInvalid) as refused:
        parse_policy(POLICY_TEXT.replace(before, after, 1))
    assert any(mistake in named for named in refused.value.mistakes), refused.value.mistakes


def test_a_policy_from_before_the_tolerance_between_clocks_means_five_minutes() -> None:
    line = "clock_tolerance_seconds = 300\n"
    assert line in POLICY_TEXT
    assert parse_policy(POLICY_TEXT.replace(line, "")).clock_tolerance_ms == 300_000
    assert (
        parse_policy(POLICY_TEXT.replace(line, "clock_tolerance_seconds = 7\n")).clock_tolerance_ms == 7_000
    )


def test_all_mistakes_of_a_policy_are_named_at_once() -> None:
    wrong = POLICY_TEXT.replace("minimum_age_years = 18", "minimum_age_years = 1").replace(
        "invoice_term_days = 14", "invoice_term_days = 0"
    )
    with pytest.raises(PolicyInvalid) as refused:
        parse_policy(wrong)
    assert len(refused.value.mistakes) == 2
