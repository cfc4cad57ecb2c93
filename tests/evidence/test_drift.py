"""Drift against scipy's own tests, and against shuffling customers by brute force."""

import numpy as np
import pytest
from scipy.stats import chi2_contingency, hypergeom

from evidence.drift import Binned, binned_categories, binned_numbers, drift, homogeneity


def of_customers(
    generator: np.random.Generator, customers: int, orders: int, *, shift: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Values that a customer mostly repeats, and the customers."""
    customer = generator.integers(0, customers, orders)
    usual = np.random.default_rng(5).normal(0, 1, customers)
    return usual[customer] + generator.normal(0, 0.3, orders) + shift, customer


def test_with_one_decision_a_customer_it_is_pearsons_chi_square_test() -> None:
    generator = np.random.default_rng(1)
    earlier, later = generator.integers(0, 5, 4000), generator.choice(5, 900, p=[0.22, 0.2, 0.2, 0.2, 0.18])
    both = Binned(names=tuple("abcde"), earlier=earlier, later=later)
    ours = homogeneity(both, np.arange(4000), 4000 + np.arange(900)).p_value
    assert ours == pytest.approx(chi2_contingency(both.counts(), correction=False).pvalue, rel=0.05)


def test_the_limit_of_chance_is_where_the_test_becomes_significant() -> None:
    generator = np.random.default_rng(2)
    values, customer = of_customers(generator, 300, 3000)
    both = binned_numbers(values[:2500], values[2500:])
    test = homogeneity(both, customer[:2500], customer[2500:])
    share = both.counts() / both.counts().sum(axis=1, keepdims=True)
    common = both.counts().sum(axis=0) / both.counts().sum()
    distance = float(np.sum((share[1] - share[0]) ** 2 / common))
    assert test.chance_stability_index(test.p_value) == pytest.approx(distance)


def test_customers_with_many_orders_do_not_make_chance_look_like_drift() -> None:
    naive = ours = 0
    for seed in range(200):
        generator = np.random.default_rng(seed)
        who = generator.permutation(120)
        earlier, later = (generator.choice(side, 600) for side in (who[:80], who[80:]))
        usual = generator.normal(0, 1, 120)
        both = binned_numbers(usual[earlier], usual[later], bins=5)
        naive += chi2_contingency(both.counts(), correction=False).pvalue < 0.05
        ours += homogeneity(both, earlier, later).p_value < 0.05
    assert naive > 100
    assert ours <= 20


def test_the_p_value_is_that_of_shuffling_customers() -> None:
    generator = np.random.default_rng(4)
    customers, orders = 160, 5
    usual = np.repeat(generator.normal(0, 1, customers), orders) + generator.normal(
        0, 0.4, customers * orders
    )
    usual[: 80 * orders] -= 0.25
    customer = np.repeat(np.arange(customers), orders)
    edges = np.quantile(usual, [0.25, 0.5, 0.75])
    code = np.searchsorted(edges, usual)

    def distance(is_later: np.ndarray) -> float:
        counts = np.array([np.bincount(code[side], minlength=4) for side in (~is_later, is_later)])
        share = counts / counts.sum(axis=1, keepdims=True)
        return float(np.sum((share[1] - share[0]) ** 2 / (counts.sum(axis=0) / counts.sum())))

    is_later = customer >= 80
    found = distance(is_later)
    shuffled = [distance(generator.permutation(customers)[customer] >= 80) for _ in range(2000)]
    both = Binned(names=tuple("abcd"), earlier=code[~is_later], later=code[is_later])
    ours = homogeneity(both, customer[~is_later], customer[is_later]).p_value
    assert 0.005 < ours < 0.5
    assert ours == pytest.approx(np.mean(np.array(shuffled) >= found), abs=0.04)


@pytest.mark.parametrize("size", [(1800, 300), (360, 60)])
@pytest.mark.parametrize("share", [0.01, 0.02, 0.03])
def test_a_rare_value_is_called_drift_no_more_often_than_by_shuffling(
    size: tuple[int, int], share: float
) -> None:
    earlier, later = size
    rare = round(share * sum(size))
    # One decision a customer: how many rare ones shuffling puts on the later side is hypergeometric.
    places = np.arange(min(rare, later) + 1)
    chance = hypergeom(sum(size), rare, later).pmf(places)
    gap = np.abs((rare - places) / earlier - places / later)
    shuffled = np.array([chance[gap >= one - 1e-12].sum() for one in gap])
    ours = []
    for now in places.tolist():
        both = Binned(
            names=("0", "above 0"),
            earlier=(np.arange(earlier) < rare - now).astype(np.int64),
            later=(np.arange(later) < now).astype(np.int64),
        )
        ours.append(homogeneity(both, np.arange(earlier), earlier + np.arange(later)).p_value)
    for level in (0.05, 0.01, 1e-3, 1e-4):
        assert chance[np.array(ours) <= level].sum() <= level
    assert ours[0] >= 0.4 * shuffled[0]
    assert np.all(np.array(ours)[shuffled < 1e-8] < 1e-3)


def test_a_side_that_happens_to_have_no_rare_value_is_no_drift() -> None:
    both = Binned(
        names=("0", "above 0"),
        earlier=np.repeat([0, 1], [343, 17]),
        later=np.zeros(60, dtype=np.int64),
    )
    ours = homogeneity(both, np.arange(360), 360 + np.arange(60)).p_value
    assert ours == pytest.approx(chi2_contingency(both.counts(), correction=False).pvalue, abs=0.01)


@pytest.mark.parametrize("broken", [0.0, np.nan])
def test_a_source_that_sends_nothing_any_more_is_seen(broken: float) -> None:
    generator = np.random.default_rng(6)
    before = np.where(generator.random(2000) < 0.4, 0.0, generator.gamma(2, 3, 2000))
    months = np.arange(2000) % 4
    found = drift(
        "paid", binned_numbers(before, np.full(400, broken)), np.arange(2000), np.arange(400), months
    )
    assert found.stability_index > 1
    assert found.test is not None
    assert found.test.p_value < 1e-10
    assert ("missing" if np.isnan(broken) else "0:") in found.largest_change


def test_a_new_merchant_is_a_category_of_its_own_and_rare_ones_go_together() -> None:
    earlier = np.array(["m1"] * 500 + ["m2"] * 498 + ["rare", None], dtype=object)
    later = np.array(["m1"] * 150 + ["m2"] * 60 + ["new"] * 90, dtype=object)
    both = binned_categories(earlier, later)
    assert set(both.names) == {"m1", "m2", "new", "other"}
    assert both.counts().sum(axis=1).tolist() == [1000, 300]


def test_what_grows_a_little_each_month_shows_as_usual() -> None:
    generator = np.random.default_rng(7)
    months = np.repeat(np.arange(5, -1, -1), 800)
    before = generator.normal(0, 1, len(months)) - 0.3 * (months + 1)
    now = generator.normal(0, 1, 800)
    growing = drift("age", binned_numbers(before, now), np.arange(4800), np.arange(800), months)
    assert growing.usual_index is not None
    assert growing.stability_index > 0.25
    assert growing.stability_index < 1.5 * growing.usual_index


def test_few_decisions_are_not_judged() -> None:
    both = binned_numbers(np.arange(1000.0), np.arange(20.0))
    assert drift("x", both, np.arange(1000), np.arange(20), np.zeros(1000, dtype=np.int64)).test is None
