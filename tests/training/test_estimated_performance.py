"""Estimates without labels, against labels drawn by the thousand and judged by scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from training.monitoring.estimated_performance import (
    estimated_performance,
    expected_auc,
    expected_auc_change,
    mean_change,
)


def naive_expected_auc(probability: list[float]) -> float:
    favourable = possible = 0.0
    for i, bad in enumerate(probability):
        for j, other in enumerate(probability):
            if i != j:
                pair = bad * (1 - other)
                possible += pair
                favourable += pair * (1.0 if bad > other else 0.5 if bad == other else 0.0)
    return favourable / possible


@pytest.mark.parametrize("decimals", [2, 10])
def test_the_estimates_are_what_labels_drawn_from_the_probabilities_give(decimals: int) -> None:
    generator = np.random.default_rng(1)
    probability = np.clip(generator.beta(0.6, 9, 400).round(decimals), 0.01, 0.99)
    drawn = []
    for _ in range(150):
        label = generator.random(400) < probability
        drawn.append(
            (
                label.mean(),
                roc_auc_score(label, probability),
                average_precision_score(label, probability),
                brier_score_loss(label, probability),
            )
        )
    found = estimated_performance(probability, seed=2, draws=1000)
    truth = np.array(drawn)
    ours = (found.bad_rate, found.auc, found.average_precision, found.brier)
    for place, interval in enumerate(ours):
        assert interval.value == pytest.approx(truth[:, place].mean(), abs=0.3 * truth[:, place].std())
        inside = (truth[:, place] >= interval.low) & (truth[:, place] <= interval.high)
        assert 0.9 <= inside.mean() <= 0.99


@given(st.lists(st.sampled_from([0.0, 0.01, 0.2, 0.2, 0.5, 0.97, 1.0]), min_size=2, max_size=20))
def test_the_expected_area_counts_pairs_as_two_loops_do(probability: list[float]) -> None:
    values = np.array(probability)
    if values.sum() * (1 - values).sum() - np.sum(values * (1 - values)) <= 1e-12:
        return
    assert expected_auc(values) == pytest.approx(naive_expected_auc(probability))


def test_a_change_of_the_expected_area_is_judged_as_a_bootstrap_by_customers_would() -> None:
    generator = np.random.default_rng(3)
    customer = generator.integers(0, 150, 1200)
    level = generator.beta(0.6, 9, 150)
    probability = np.clip(level[customer] * generator.uniform(0.5, 1.5, 1200), 0.001, 0.95)
    is_later = np.arange(1200) >= 900
    sides = (probability[~is_later], probability[is_later], customer[~is_later], customer[is_later])
    changes = {"area": expected_auc_change(*sides), "mean": mean_change(*sides)}
    drawn: dict[str, list[float]] = {"area": [], "mean": []}
    for _ in range(500):
        copies = generator.poisson(1, 150)[customer]
        one, other = (np.repeat(probability[side], copies[side]) for side in (~is_later, is_later))
        drawn["area"].append(expected_auc(other) - expected_auc(one))
        drawn["mean"].append(other.mean() - one.mean())
    for name, change in changes.items():
        z = abs(change.later - change.earlier) / np.std(drawn[name])
        assert change.p_value == pytest.approx(2 * (1 - _normal_cdf(z)), abs=0.08)


def _normal_cdf(z: float) -> float:
    from scipy.stats import norm

    return float(norm.cdf(z))


def test_probabilities_that_allow_no_bad_decision_are_refused() -> None:
    with pytest.raises(ValueError, match="possible"):
        estimated_performance(np.zeros(10))
