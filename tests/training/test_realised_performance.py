"""Realised figures against scikit-learn, brute force and the bootstrap by customers."""

import numpy as np
import pytest
from scipy.stats import binom, norm, poisson_binom
from sklearn.metrics import brier_score_loss, roc_auc_score

from training.evaluation import evaluate
from training.monitoring.realised_performance import clustered_auc, expected_bads, realised_performance


def labelled(
    seed: int, decisions: int = 3000, customers: int = 3000, *, factor: float = 1.0, alike: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels with exactly these probabilities times `factor`; a customer's are alike to some degree."""
    generator = np.random.default_rng(seed)
    customer = generator.integers(0, customers, decisions)
    probability = np.clip(generator.beta(0.8, 20, decisions), 0.001, 0.4)
    common = np.sqrt(alike) * generator.normal(size=customers)[customer]
    own = np.sqrt(1 - alike) * generator.normal(size=decisions)
    return (norm.cdf(common + own) < factor * probability).astype(np.int8), probability, customer


def test_area_and_brier_score_are_those_of_scikit_learn_also_with_ties() -> None:
    label, probability, customer = labelled(1)
    probability = probability.round(2)
    found = realised_performance(label, probability, customer)
    assert found.auc is not None
    assert found.auc.value == pytest.approx(roc_auc_score(label, probability))
    assert found.brier == pytest.approx(brier_score_loss(label, probability))


def test_the_interval_of_the_area_is_that_of_a_bootstrap_by_customers() -> None:
    label, probability, customer = labelled(2, 4000, 400, alike=0.6)
    bootstrapped = evaluate(label, probability, customer.astype(str).astype(object), rounds=400).auc
    found = clustered_auc(label, probability, customer)
    assert found is not None
    assert found[0].high - found[0].low == pytest.approx(bootstrapped.high - bootstrapped.low, rel=0.2)


def test_spiegelhalters_z_is_the_standardised_brier_score() -> None:
    label, probability, _ = labelled(3)
    excess = np.mean((label - probability) ** 2) - np.mean(probability * (1 - probability))
    variance = np.sum((1 - 2 * probability) ** 2 * probability * (1 - probability)) / len(label) ** 2
    found = realised_performance(label, probability, np.arange(len(label)))
    assert abs(found.spiegelhalter_z) <= abs(excess / np.sqrt(variance)) + 1e-9
    assert found.spiegelhalter_z == pytest.approx(excess / np.sqrt(variance), rel=0.06)


def test_calibrated_probabilities_are_rarely_doubted_however_alike_a_customers_orders_are() -> None:
    doubts = np.zeros(2)
    for seed in range(200):
        found = realised_performance(*labelled(seed, 1000, 200, alike=0.5))
        doubts += [found.count_p_value < 0.05, found.spiegelhalter_p_value < 0.05]
    assert np.all(doubts <= 200 * 0.09)


def test_a_doubled_bad_rate_is_not_explained_by_chance() -> None:
    found = realised_performance(*labelled(5, 2000, 1500, factor=2.0, alike=0.3))
    assert found.observed_to_expected.low > 1.5
    assert found.count_p_value < 1e-4
    assert found.bads > found.expected_high


@pytest.mark.parametrize("bads", [0, 1, 5, 12, 18])
def test_the_p_value_of_a_count_of_independent_decisions_is_exact_at_few_expected(bads: int) -> None:
    probability = np.random.default_rng(8).beta(1, 19, 100)
    expected = poisson_binom(probability.tolist())
    label = (np.arange(100) < bads).astype(np.int8)
    found = realised_performance(label, probability, np.arange(100))
    assert found.count_is_exact
    tails = expected.cdf(bads), expected.sf(bads - 1)
    assert found.count_p_value == pytest.approx(min(2 * min(tails), 1.0), rel=1e-6)


@pytest.mark.parametrize("bad_customers", [4, 8, 15, 22, 27, 32])
def test_the_p_value_of_a_count_in_clusters_is_that_of_as_many_customers(bad_customers: int) -> None:
    customers, orders, share = 300, 4, 0.05
    customer = np.repeat(np.arange(customers), orders)
    label = (customer < bad_customers).astype(np.int8)
    found = realised_performance(label, np.full(len(customer), share), customer)
    assert not found.count_is_exact
    exact = binom(customers, share)
    twice = min(2 * min(exact.cdf(bad_customers), exact.sf(bad_customers - 1)), 1.0)
    assert np.log(found.count_p_value) == pytest.approx(np.log(twice), abs=np.log(1.5))


def test_calibrated_probabilities_are_doubted_no_more_often_than_said_at_five_expected_bads() -> None:
    generator = np.random.default_rng(9)
    probability = generator.beta(1, 19, 100)
    runs = 50_000
    bads = np.concatenate(
        [(generator.random((1000, 100)) < probability).sum(axis=1) for _ in range(runs // 1000)]
    )
    p_value = np.array(
        [
            realised_performance(
                (np.arange(100) < count).astype(np.int8), probability, np.arange(100)
            ).count_p_value
            for count in range(int(bads.max()) + 1)
        ]
    )[bads]
    for level in (0.05, 0.01, 1e-3, 4e-4):
        assert (p_value <= level).mean() <= level + 4 * np.sqrt(level / runs)
        # So few counts are possible that a level is not met exactly, but no tail is forgotten either.
        assert (p_value <= level).mean() >= level / 10


def test_probabilities_of_nothing_are_refuted_by_anything() -> None:
    label = np.array([0, 1, 0], dtype=np.int8)
    customer = np.array([1, 1, 2])
    assert realised_performance(label, np.zeros(3), customer).count_p_value == 0.0
    assert realised_performance(np.zeros(3, dtype=np.int8), np.zeros(3), customer).count_p_value == 1.0


def test_the_expected_range_is_exact() -> None:
    probability = np.random.default_rng(6).beta(1, 12, 300)
    at_most = np.cumsum(poisson_binom(probability.tolist()).pmf(np.arange(301)))
    low, high = expected_bads(probability)
    assert (at_most[low - 1] if low else 0.0) <= 0.025 < at_most[low]
    assert at_most[high - 1] < 0.975 <= at_most[high]


def test_large_numbers_get_the_range_of_the_normal_distribution() -> None:
    probability = np.full(30_000, 0.03)
    low, high = expected_bads(probability)
    assert abs(low - 842) <= 2
    assert abs(high - 958) <= 2


def test_bands_cover_every_decision_once() -> None:
    label, probability, customer = labelled(7)
    found = realised_performance(label, probability, customer)
    assert sum(band.decisions for band in found.bands) == len(label)
    assert sum(band.bads for band in found.bands) == found.bads
