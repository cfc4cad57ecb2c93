"""A worse history is worse in each feature: the ground on which the model's directions stand."""

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from data_contracts.invoice_adjustments import REASONS_OWED_ANEW
from features.declarations import Direction
from features.feature_sets import INVOICE_ELIGIBILITY
from features.online import features_at, invoice_states
from tests.builders import DAY
from tests.histories import History, as_of_moments, histories
from tests.proof_size import examples
from training.worse_histories import (
    with_a_higher_balance,
    with_a_larger_invoice,
    with_a_later_payment,
    with_a_shorter_payment,
    with_a_statement_no_better,
    with_an_earlier_account,
    with_an_earlier_registration,
    with_an_inquiry,
    with_an_unpaid_invoice,
    without_row,
)

pytestmark = pytest.mark.long_proof
thorough = examples(15_000)
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


def has_refund_with_credit(history: History, invoice_id: str) -> bool:
    return any(
        row["invoice_id"] == invoice_id and row["kind"] == "refund" and row["reason"] not in REASONS_OWED_ANEW
        for row in history["invoice_adjustments"]
    )


@thorough
@given(plain_histories, as_of_moments, st.data())
def test_a_payment_made_later_or_shorter_or_never_improves_nothing(
    history: History, as_of: int, data: Any
) -> None:
    assume(history["invoice_payments"])
    place = data.draw(st.integers(0, len(history["invoice_payments"]) - 1))
    # Of a refund that brings its own credit, what was paid too much is used up first: there, who pays less is
    # credited more.
    assume(not has_refund_with_credit(history, history["invoice_payments"][place]["invoice_id"]))
    days = data.draw(st.integers(1, 200))
    assert_no_feature_is_better(history, with_a_later_payment(history, place, days * DAY), as_of)
    cents = data.draw(st.sampled_from([1, 3, 350, 500, 501, 5_000, 10_000]))
    assert_no_feature_is_better(history, with_a_shorter_payment(history, place, cents), as_of)
    assert_no_feature_is_better(history, without_row(history, "invoice_payments", place), as_of)


@thorough
@given(plain_histories, as_of_moments, st.integers(1, 800), st.sampled_from([1, 499, 501, 1_000, 899_000]))
def test_one_more_unpaid_invoice_improves_nothing_and_a_larger_one_neither(
    history: History, as_of: int, days_before: int, cents: int
) -> None:
    def unpaid(amount_cents: int) -> History:
        issued_at = as_of - days_before * DAY
        return with_an_unpaid_invoice(
            history,
            customer_id="c1",
            issued_at=issued_at,
            due_at=issued_at + 14 * DAY,
            amount_cents=amount_cents,
            currency="EUR",
        )

    assert_no_feature_is_better(history, unpaid(cents), as_of)
    assert_no_feature_is_better(unpaid(cents), unpaid(cents * 10), as_of)


@thorough
@given(plain_histories, as_of_moments, st.data())
def test_an_open_invoice_that_is_larger_improves_nothing(history: History, as_of: int, data: Any) -> None:
    states = invoice_states(history, as_of, INVOICE_ELIGIBILITY.terms)
    open_places = [
        place
        for place, row in enumerate(history["invoices"])
        if row["invoice_id"] in states and states[row["invoice_id"]].owed_cents
    ]
    assume(open_places)
    larger = with_a_larger_invoice(history, data.draw(st.sampled_from(open_places)), 5_000)
    assert_no_feature_is_better(history, larger, as_of)


@thorough
@given(plain_histories, as_of_moments, st.integers(1, 800))
def test_one_more_inquiry_improves_nothing(history: History, as_of: int, days_before: int) -> None:
    worse = with_an_inquiry(history, customer_id="c1", at=as_of - days_before * DAY)
    assert_no_feature_is_better(history, worse, as_of)


@thorough
@given(plain_histories, as_of_moments, st.data())
def test_one_more_statement_that_is_as_bad_as_any_improves_nothing(
    history: History, as_of: int, data: Any
) -> None:
    assume(history["account_balances"])
    place = data.draw(st.integers(0, len(history["account_balances"]) - 1))
    worse = with_a_statement_no_better(history, place, at=as_of - data.draw(st.integers(1, 60)) * DAY)
    assume(worse is not None)
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
    with_it = with_an_inquiry(history, customer_id="c1", at=as_of - 365 * DAY - 1)
    assert features_at(with_it, as_of, INVOICE_ELIGIBILITY) == features_at(
        history, as_of, INVOICE_ELIGIBILITY
    )
