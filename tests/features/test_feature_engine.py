"""The features against the oracle, offline against online, and what must never change them."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.decisions import Decisions
from features.feature_sets import INVOICE_ELIGIBILITY
from features.offline import build_features
from features.online import facts_at, features_at, invoice_states, measure_at
from tests.builders import DAY, write_ledger
from tests.histories import CREDIT_CONTRACT_NAMES, History, as_of_moments, histories
from tests.naive_features import naive_features
from tests.order_lives import LIFE_CONTRACT_NAMES, order_lives
from tests.proof_size import examples

pytestmark = pytest.mark.long_proof
thorough = examples(5_000)
with_files = examples(1_500)


def named(values: list[float]) -> dict[str, float]:
    return dict(zip(INVOICE_ELIGIBILITY.names, values, strict=True))


def online(history: History, as_of: int) -> dict[str, float]:
    return named(features_at(history, as_of, INVOICE_ELIGIBILITY))


def offline(history: History, customer_ids: list[str], as_of: list[int]) -> np.ndarray:
    decisions = Decisions(
        decision_id=np.array([str(i) for i in range(len(as_of))], dtype=object),
        customer_id=np.array(customer_ids, dtype=object),
        as_of_ms=np.array(as_of, dtype=np.int64),
    )
    with tempfile.TemporaryDirectory() as folder:
        write_ledger(Path(folder), history)
        return build_features(Path(folder), decisions, INVOICE_ELIGIBILITY).values


@thorough
@given(histories(), as_of_moments)
def test_every_feature_is_what_its_description_says(history: History, as_of: int) -> None:
    expected = naive_features(history, as_of)
    assert online(history, as_of) == {name: expected[name] for name in INVOICE_ELIGIBILITY.names}


@thorough
@given(order_lives(), as_of_moments)
def test_every_feature_of_whole_lives_of_orders_is_what_its_description_says(
    history: History, as_of: int
) -> None:
    expected = naive_features(history, as_of)
    assert online(history, as_of) == {name: expected[name] for name in INVOICE_ELIGIBILITY.names}


@with_files
@given(order_lives("c1"), order_lives("c2"), st.lists(as_of_moments, min_size=1, max_size=8))
def test_an_offline_row_of_whole_lives_equals_the_online_row_bit_for_bit(
    one: History, other: History, moments: list[int]
) -> None:
    both = {name: one[name] + other[name] for name in LIFE_CONTRACT_NAMES}
    customers = ["c1", "c2"] * len(moments)
    as_of = [moment for moment in moments for _ in range(2)]
    matrix = offline(both, customers, as_of)
    for row, customer, moment in zip(matrix, customers, as_of, strict=True):
        history = one if customer == "c1" else other
        assert np.array(features_at(history, moment, INVOICE_ELIGIBILITY)).tobytes() == row.tobytes()


@with_files
@given(histories("c1"), histories("c2"), st.lists(as_of_moments, min_size=1, max_size=8))
def test_an_offline_row_equals_the_online_row_bit_for_bit(
    one: History, other: History, moments: list[int]
) -> None:
    both = {name: one[name] + other[name] for name in CREDIT_CONTRACT_NAMES}
    customers = ["c1", "c2"] * len(moments)
    as_of = [moment for moment in moments for _ in range(2)]
    matrix = offline(both, customers, as_of)
    for row, customer, moment in zip(matrix, customers, as_of, strict=True):
        history = one if customer == "c1" else other
        assert np.array(features_at(history, moment, INVOICE_ELIGIBILITY)).tobytes() == row.tobytes()


@thorough
@given(histories(), as_of_moments)
def test_what_is_recorded_at_or_after_the_decision_changes_nothing(history: History, as_of: int) -> None:
    known = {name: [row for row in rows if row["recorded_at"] < as_of] for name, rows in history.items()}
    assert online(history, as_of) == online(known, as_of)


@thorough
@given(histories(), as_of_moments, st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(history: History, as_of: int, random: object) -> None:
    shuffled = {name: sorted(rows, key=lambda _: random.random()) for name, rows in history.items()}  # type: ignore[attr-defined]  # Hypothesis' Random
    assert online(shuffled, as_of) == online(history, as_of)


@with_files
@given(histories("c1"), histories("c2"), as_of_moments)
def test_other_customers_change_nothing(one: History, other: History, as_of: int) -> None:
    both = {name: one[name] + other[name] for name in CREDIT_CONTRACT_NAMES}
    assert offline(both, ["c1"], [as_of]).tobytes() == offline(one, ["c1"], [as_of]).tobytes()


@thorough
@given(histories(), as_of_moments, st.integers(-2000, 2000))
def test_a_shift_of_all_times_changes_nothing(history: History, as_of: int, days: int) -> None:
    instants = (
        "occurred_at",
        "recorded_at",
        "due_at",
        "started_at",
        "ended_at",
        "opened_at",
        "closed_at",
        "registered_at",
    )
    shifted = {
        name: [
            {k: v + days * DAY if k in instants and v is not None else v for k, v in row.items()}
            for row in rows
        ]
        for name, rows in history.items()
    }
    assert online(shifted, as_of + days * DAY) == online(history, as_of)


@thorough
@given(histories(), as_of_moments)
def test_the_prepared_evaluator_adds_up_what_the_declarations_say(history: History, as_of: int) -> None:
    facts = facts_at(history, as_of, invoice_states(history, as_of, INVOICE_ELIGIBILITY.terms))
    for feature, value in zip(
        INVOICE_ELIGIBILITY.features, features_at(history, as_of, INVOICE_ELIGIBILITY), strict=True
    ):
        below = feature.denominator_plus
        if feature.denominator is not None:
            below += measure_at(feature.denominator, facts[feature.denominator.fact], as_of)
        above = measure_at(feature.numerator, facts[feature.numerator.fact], as_of) + feature.numerator_plus
        expected = above / (below * feature.scale) if below else feature.when_empty
        assert value == expected
