"""A worse history is worse in each feature: the ground on which the model's directions stand."""

from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from features.declarations import Direction
from features.feature_sets import INVOICE_ELIGIBILITY
from features.online import features_at
from tests.builders import DAY, an_inquiry
from tests.histories import History, as_of_moments, histories
from tests.worse_histories import (
    with_a_higher_balance,
    with_a_later_payment,
    with_an_earlier_account,
    with_an_earlier_registration,
)

thorough = settings(
    max_examples=200,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
plain_histories = histories(corrections=False)


def assert_no_feature_is_better(before: History, worse: History, as_of: int) -> None:
    pairs = zip(
        INVOICE_ELIGIBILITY.features,
        features_at(before, as_of, INVOICE_ELIGIBILITY),
        features_at(worse, as_of, INVOICE_ELIGIBILITY),
        strict=True,
    )
    for feature, was, now in pairs:
        match feature.direction:
            case Direction.HIGHER_IS_WORSE:
                assert now >= was, f"{feature.name} fell from {was} to {now}"
            case Direction.HIGHER_IS_BETTER:
                assert now <= was, f"{feature.name} rose from {was} to {now}"
            case Direction.NONE:
                assert now == was, f"{feature.name} has no direction but moved from {was} to {now}"


@thorough
@given(plain_histories, as_of_moments, st.data())
def test_a_payment_made_later_improves_nothing(history: History, as_of: int, data: Any) -> None:
    assume(history["invoice_payments"])
    place = data.draw(st.integers(0, len(history["invoice_payments"]) - 1))
    days = data.draw(st.integers(1, 200))
    assert_no_feature_is_better(history, with_a_later_payment(history, place, days * DAY), as_of)


@thorough
@given(plain_histories, as_of_moments, st.integers(1, 800))
def test_one_more_inquiry_improves_nothing(history: History, as_of: int, days_before: int) -> None:
    inquiry = an_inquiry(at=as_of - days_before * DAY, event_id="one-more")
    worse = {**history, "credit_inquiries": [*history["credit_inquiries"], inquiry]}
    assert_no_feature_is_better(history, worse, as_of)


@thorough
@given(plain_histories, as_of_moments, st.data())
def test_a_higher_balance_at_the_same_limit_improves_nothing(history: History, as_of: int, data: Any) -> None:
    statements = history["account_balances"]
    # Two statements of one account for the same day, recorded at the same instant, contradict each other:
    # which one is the last is then decided by their figures.
    moments = {(row["account_id"], row["occurred_at"], row["recorded_at"]) for row in statements}
    assume(statements and len(moments) == len(statements))
    place = data.draw(st.integers(0, len(history["account_balances"]) - 1))
    cents = data.draw(st.integers(1, 200_000))
    assert_no_feature_is_better(history, with_a_higher_balance(history, place, cents), as_of)


@thorough
@given(plain_histories, as_of_moments, st.data())
def test_an_account_opened_later_improves_nothing(history: History, as_of: int, data: Any) -> None:
    assume(history["credit_accounts"])
    accounts = sorted({row["account_id"] for row in history["credit_accounts"]})
    account_id = data.draw(st.sampled_from(accounts))
    days = data.draw(st.integers(1, 2000))
    better = with_an_earlier_account(history, account_id, days * DAY)
    assert_no_feature_is_better(better, history, as_of)


@thorough
@given(plain_histories, as_of_moments, st.integers(1, 2000))
def test_a_later_registration_improves_nothing(history: History, as_of: int, days: int) -> None:
    assert_no_feature_is_better(with_an_earlier_registration(history, days * DAY), history, as_of)


@thorough
@given(plain_histories, as_of_moments)
def test_an_inquiry_beyond_the_longest_window_changes_nothing(history: History, as_of: int) -> None:
    inquiry = an_inquiry(at=as_of - 365 * DAY - 1, event_id="long-past")
    with_it = {**history, "credit_inquiries": [*history["credit_inquiries"], inquiry]}
    assert features_at(with_it, as_of, INVOICE_ELIGIBILITY) == features_at(
        history, as_of, INVOICE_ELIGIBILITY
    )
