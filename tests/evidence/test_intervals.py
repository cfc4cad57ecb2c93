"""Intervals and the bootstrap by customer: held to theory, to scipy and to published examples."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from evidence.customer_bootstrap import customer_bootstrap
from evidence.intervals import Interval, newcombe_interval, wilson_interval


def test_the_interval_of_a_mean_is_that_of_theory() -> None:
    random = np.random.default_rng(5)
    good = (random.random(4_000) < 0.3).astype(np.float64)
    bootstrap = customer_bootstrap(np.arange(4_000).astype(object), seed=1)
    rate = bootstrap.totals({"part": good, "whole": np.ones(4_000)}).rate("part", "whole")
    assert rate is not None
    half = 1.96 * np.sqrt(rate.value * (1 - rate.value) / 4_000)
    assert rate.low == pytest.approx(rate.value - half, abs=0.003)
    assert rate.high == pytest.approx(rate.value + half, abs=0.003)


def test_orders_of_one_customer_are_drawn_together() -> None:
    random = np.random.default_rng(5)
    by_customer = (random.random(200) < 0.3).astype(np.float64)
    orders = np.repeat(by_customer, 20)
    customers = np.repeat(np.arange(200), 20).astype(object)
    whole = np.ones(len(orders))
    drawn = customer_bootstrap(customers, seed=1).totals({"part": orders, "whole": whole})
    few = customer_bootstrap(np.arange(200).astype(object), seed=1).totals(
        {"part": by_customer, "whole": np.ones(200)}
    )
    assert drawn.rounds["part"].tolist() == (20 * few.rounds["part"]).tolist()
    all_orders, customers_only = drawn.rate("part", "whole"), few.rate("part", "whole")
    assert all_orders is not None
    assert customers_only is not None
    assert all_orders.value == customers_only.value
    assert all_orders.low == pytest.approx(customers_only.low, abs=0.005)
    assert all_orders.high == pytest.approx(customers_only.high, abs=0.005)


def ends_of(interval: Interval) -> tuple[float, float]:
    return interval.low, interval.high


def wilson_by_scipy(successes: int, trials: int) -> tuple[float, float]:
    ends = binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    return float(ends.low), float(ends.high)


@given(st.integers(1, 100_000), st.floats(0, 1))
def test_wilsons_interval_is_that_of_scipy(trials: int, share: float) -> None:
    successes = round(share * trials)
    assert ends_of(wilson_interval(successes, trials)) == pytest.approx(
        wilson_by_scipy(successes, trials), abs=1e-12
    )
    low, high = ends_of(wilson_interval(share * trials, trials))
    assert 0 <= low <= share * trials / trials <= high <= 1


def test_a_share_needs_trials_and_no_more_successes_than_these() -> None:
    for successes, trials in ((0, 0), (2, 1), (-1, 3)):
        with pytest.raises(ValueError, match="have no share"):
            wilson_interval(successes, trials)


def test_one_bad_customer_among_few_leaves_room_on_both_sides() -> None:
    one_bad = np.array([1.0] + [0.0] * 39)
    totals = customer_bootstrap(np.array(["one"] * 40, dtype=object), seed=1).totals(
        {"part": one_bad, "whole": np.ones(40)}
    )
    rate = totals.rate("part", "whole")
    assert rate is not None
    # Every round draws the same share of the only customer's orders.
    assert (rate.low, rate.high) == pytest.approx(wilson_by_scipy(1, 40))


def test_the_interval_of_a_difference_is_newcombes() -> None:
    # The examples of Newcombe's table II, method 10: 56/70 less 48/80, and 9/10 less 3/10.
    for one, other, ends in (
        ((56, 70), (48, 80), (0.0524, 0.3339)),
        ((9, 10), (3, 10), (0.1705, 0.8090)),
        ((10, 10), (0, 20), (0.6791, 1.0)),
        ((10, 10), (0, 10), (0.6075, 1.0)),
    ):
        found = newcombe_interval(wilson_interval(*one), wilson_interval(*other))
        assert ends_of(found) == pytest.approx(ends, abs=5e-5)


def test_a_share_of_named_sums_is_that_of_groups_and_of_a_slow_twin() -> None:
    random = np.random.default_rng(7)
    customers = np.array([f"c{number}" for number in random.integers(0, 60, 300)], dtype=object)
    bad, whole = (random.random(300) < 0.2).astype(np.float64), np.ones(300)
    bootstrap = customer_bootstrap(customers, seed=3, rounds=25)
    named = bootstrap.totals({"bad": bad, "whole": whole})
    grouped = bootstrap.totals_by_group(bad, np.zeros(300, dtype=np.intp), 1)[:, 0]
    assert [named.point["bad"], *named.rounds["bad"].tolist()] == pytest.approx(grouped.tolist())
    # The twin draws as a person would: round by round, customer by customer in the order of their names.
    generator, names = np.random.default_rng(3), sorted(set(customers))
    for total in grouped[1:].tolist():
        copies = dict(zip(names, generator.poisson(1.0, len(names)).tolist(), strict=True))
        assert total == sum(copies[name] * one for name, one in zip(customers, bad.tolist(), strict=True))
