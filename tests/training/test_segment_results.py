"""Parts of the test decisions: they add up, agree with slow twins, and are judged beyond chance only."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score

from evidence.customer_bootstrap import CustomerBootstrap, customer_bootstrap
from training.validation.figures import probability_bands
from training.validation.segment_results import (
    FEWEST_TO_JUDGE,
    THE_REST,
    Partition,
    ProbabilityFinding,
    largest_segments,
    partition_by,
    partition_by_rank,
    segment_results,
)

probabilities = st.lists(st.floats(min_value=0.0, max_value=1.0), min_size=1, max_size=60)


def few_draws(rows: int, seed: int = 0) -> CustomerBootstrap:
    customers = np.array([f"c{row // 2}" for row in range(rows)], dtype=object)
    return customer_bootstrap(customers, seed=seed, rounds=20)


@given(probabilities)
@settings(max_examples=40)
def test_bands_partition_the_decisions(values: list[float]) -> None:
    probability = np.array(values)
    label = (np.arange(len(values)) % 2).astype(np.int8)
    for partition in (probability_bands(probability), partition_by_rank(probability, 10)):
        results = segment_results(partition, label, probability, few_draws(len(values)), with_auc=False)
        assert sum(result.decisions for result in results) == len(values)
        assert sum(result.bads for result in results) == label.sum()
        expected = sum(result.mean_probability * result.decisions for result in results)
        assert expected == pytest.approx(probability.sum())
        for result in results:
            assert result.bad_rate.low <= result.bad_rate.value <= result.bad_rate.high


@given(probabilities)
@settings(max_examples=40)
def test_a_higher_probability_is_never_in_a_lower_part_and_equals_stay_together(values: list[float]) -> None:
    probability = np.sort(np.array(values))
    for partition in (probability_bands(probability), partition_by_rank(probability, 10)):
        assert (np.diff(partition.place) >= 0).all()
        for value in probability:
            assert len(np.unique(partition.place[probability == value])) == 1


def test_rows_of_one_customer_without_a_bad_prove_little() -> None:
    rows = 40
    one = customer_bootstrap(np.array(["one"] * rows, dtype=object), seed=0, rounds=20)
    each = customer_bootstrap(np.arange(rows).astype(str).astype(object), seed=0, rounds=20)
    label, probability = np.zeros(rows, dtype=np.int8), np.full(rows, 0.1)
    partition = partition_by(np.array(["m"] * rows, dtype=object))
    upper = {}
    for name, drawn in (("one", one), ("each", each)):
        (result,) = segment_results(partition, label, probability, drawn)
        upper[name] = result.bad_rate.high
    for name, customers in (("one", 1), ("each", rows)):
        ends = binomtest(0, customers).proportion_ci(0.95, method="wilson")
        assert upper[name] == pytest.approx(ends.high)


def test_a_table_agrees_with_a_slow_twin() -> None:
    generator = np.random.default_rng(2)
    probability = generator.random(900)
    label = (generator.random(900) < probability).astype(np.int8)
    merchant = np.array([f"m{number}" for number in generator.integers(0, 4, 900)], dtype=object)
    results = segment_results(partition_by(merchant), label, probability, few_draws(900))
    assert [result.name for result in results] == sorted(set(merchant))
    for result in results:
        rows = [row for row in range(900) if merchant[row] == result.name]
        bads = sum(int(label[row]) for row in rows)
        assert (result.decisions, result.bads) == (len(rows), bads)
        assert result.bad_rate.value == pytest.approx(bads / len(rows))
        assert result.mean_probability == pytest.approx(sum(probability[row] for row in rows) / len(rows))
        assert result.auc is not None
        assert result.auc.value == pytest.approx(roc_auc_score(label[rows], probability[rows]))


def test_a_total_of_a_draw_is_the_sum_over_the_customers_drawn() -> None:
    bootstrap = few_draws(10)
    column, group = np.arange(10.0), np.array([0, 1] * 5)
    totals = bootstrap.totals_by_group(column, group, 2)
    for draw, weight in enumerate(bootstrap.weights()):
        for place in (0, 1):
            twin = sum(weight[row] * column[row] for row in range(10) if group[row] == place)
            assert totals[draw, place] == pytest.approx(twin)
    assert (bootstrap.drawn >= 0).all()
    assert all(weight[0] == weight[1] for weight in bootstrap.weights())


def test_true_probabilities_are_seldom_called_wrong_and_halved_ones_always() -> None:
    generator = np.random.default_rng(4)
    accused = 0
    for _ in range(40):
        probability = generator.beta(1, 15, 1500)
        label = (generator.random(1500) < probability).astype(np.int8)
        parts = partition_by(generator.integers(0, 8, 1500).astype(str).astype(object))
        findings = {
            result.probability_finding
            for result in segment_results(parts, label, probability, few_draws(1500), with_auc=False)
        }
        accused += bool(findings & {ProbabilityFinding.TOO_HIGH, ProbabilityFinding.TOO_LOW})
        whole = Partition(names=("all",), place=np.zeros(1500, dtype=np.intp))
        halved = segment_results(whole, label, probability / 2, few_draws(1500), with_auc=False)
        assert halved[0].probability_finding is ProbabilityFinding.TOO_LOW
    assert accused <= 6


def test_a_part_with_few_bad_orders_is_shown_and_not_judged() -> None:
    label = np.zeros(40, dtype=np.int8)
    label[: FEWEST_TO_JUDGE - 1] = 1
    parts = Partition(names=("small",), place=np.zeros(40, dtype=np.intp))
    result = segment_results(parts, label, np.full(40, 0.01), few_draws(40))[0]
    assert result.probability_finding is ProbabilityFinding.TOO_FEW
    assert result.auc is None


def test_small_merchants_are_put_together_unless_one_is_wrong() -> None:
    generator = np.random.default_rng(6)
    merchant = np.concatenate(
        [np.repeat([f"large-{n:02}" for n in range(12)], 200), np.repeat(["small-1", "small-2"], 60)]
    ).astype(object)
    probability = np.full(len(merchant), 0.1)
    label = (generator.random(len(merchant)) < 0.1).astype(np.int8)
    label[merchant == "small-2"] = np.arange(60) % 2
    results = largest_segments(partition_by(merchant), label, probability, few_draws(len(merchant)))
    names = [result.name for result in results]
    assert names[-1] == THE_REST
    assert "small-2" in names
    assert "small-1" not in names
    assert sum(result.decisions for result in results) == len(merchant)
