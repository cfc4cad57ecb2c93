"""A worse history is worse in each feature: the ground on which the model's directions stand."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from data_contracts.invoice_adjustments import REASONS_OWED_ANEW
from features.account_rows import PAID_BACK_BY_PLAN
from features.declarations import Direction
from features.feature_sets import INVOICE_ELIGIBILITY
from features.online import features_at
from tests.builders import DAY
from tests.histories import History, as_of_moments, histories
from tests.proof_size import examples
from training.gates.worse_histories import (
    with_a_higher_balance,
    with_a_larger_invoice,
    with_a_late_payment,
    with_a_later_payment,
    with_a_pause_from,
    with_a_shorter_payment,
    with_a_statement_no_better,
    with_an_earlier_account,
    with_an_earlier_registration,
    with_an_inquiry,
    with_an_unpaid_invoice,
    with_more_days_past_due,
    with_one_more_loan,
    without_row,
)

pytestmark = pytest.mark.long_proof
thorough = examples(5_000)
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


def is_overpaid(history: History, invoice: Mapping[str, Any]) -> bool:
    """Of such an invoice, more would be kept if it were larger."""
    rows = [
        row
        for contract in ("invoice_payments", "invoice_adjustments")
        for row in history[contract]
        if row["invoice_id"] == invoice["invoice_id"]
    ]
    return sum(row["amount_cents"] for row in rows) > invoice["amount_cents"]


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
@given(
    plain_histories,
    as_of_moments,
    st.integers(1, 1500),
    st.integers(1, 700),
    st.none() | st.integers(1, 400),
    st.sampled_from([499, 8_990]),
)
def test_a_debt_that_is_older_improves_nothing(
    history: History, as_of: int, days_before: int, older_days: int, paused_days: int | None, cents: int
) -> None:
    def unpaid_since(days: int) -> History:
        issued_at = as_of - days * DAY
        unpaid = with_an_unpaid_invoice(
            history,
            customer_id="c1",
            issued_at=issued_at,
            due_at=issued_at + 14 * DAY,
            amount_cents=cents,
            currency="EUR",
        )
        if paused_days is None:
            return unpaid
        paused_at = as_of - min(paused_days, days_before) * DAY
        return with_a_pause_from(unpaid, customer_id="c1", at=paused_at)

    assert_no_feature_is_better(unpaid_since(days_before), unpaid_since(days_before + older_days), as_of)


@thorough
@given(
    plain_histories,
    as_of_moments,
    st.integers(1, 800),
    st.integers(1, 400),
    st.sampled_from([400, 1_000, 2_000, 50_000]),
)
def test_one_more_invoice_that_was_paid_late_improves_nothing(
    history: History, as_of: int, paid_days_before: int, late_days: int, cents: int
) -> None:
    paid_at = as_of - paid_days_before * DAY
    due_at = paid_at - INVOICE_ELIGIBILITY.terms.grace_ms - late_days * DAY
    worse = with_a_late_payment(
        history,
        customer_id="c1",
        issued_at=due_at - 14 * DAY,
        due_at=due_at,
        paid_at=paid_at,
        amount_cents=cents,
        currency="EUR",
    )
    assert_no_feature_is_better(history, worse, as_of)


@thorough
@given(plain_histories, as_of_moments, st.data())
def test_an_invoice_that_is_larger_improves_nothing(history: History, as_of: int, data: Any) -> None:
    places = [
        place
        for place, row in enumerate(history["invoices"])
        if not is_overpaid(history, row) and not has_refund_with_credit(history, row["invoice_id"])
    ]
    assume(places)
    place = data.draw(st.sampled_from(places))
    larger = with_a_larger_invoice(history, place, data.draw(st.sampled_from([1, 300, 500, 5_000])))
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
    at = as_of - data.draw(st.integers(1, 60)) * DAY
    worse = [
        with_a_statement_no_better(history, place, at=at) for place in range(len(history["account_balances"]))
    ]
    for one in worse:
        if one is not None:
            assert_no_feature_is_better(history, one, as_of)


@thorough
@given(
    plain_histories,
    as_of_moments,
    st.integers(2, 20),
    st.sampled_from(PAID_BACK_BY_PLAN),
    st.sampled_from([0, 400_000, 2_000_000]),
)
def test_one_more_loan_improves_nothing(
    history: History, as_of: int, days_before: int, kind: str, left_cents: int
) -> None:
    opened_at = as_of - days_before * DAY
    worse = with_one_more_loan(
        history, as_of, customer_id="c1", kind=kind, opened_at=opened_at, left_cents=left_cents
    )
    assume(worse is not None)
    assert_no_feature_is_better(history, worse, as_of)


@thorough
@given(plain_histories, as_of_moments, st.data())
def test_a_higher_balance_at_the_same_limit_or_more_days_past_due_improve_nothing(
    history: History, as_of: int, data: Any
) -> None:
    statements = history["account_balances"]
    # Two statements of one account for the same day, recorded at the same instant, contradict each other:
    # which one is the last is then decided by their figures.
    moments = {(row["account_id"], row["occurred_at"], row["recorded_at"]) for row in statements}
    assume(statements and len(moments) == len(statements))
    place = data.draw(st.integers(0, len(history["account_balances"]) - 1))
    cents = data.draw(st.integers(1, 200_000))
    assert_no_feature_is_better(history, with_a_higher_balance(history, place, cents), as_of)
    in_arrears = with_more_days_past_due(history, place, data.draw(st.integers(1, 90)))
    if in_arrears is not None:
        assert_no_feature_is_better(history, in_arrears, as_of)


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
