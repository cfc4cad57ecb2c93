"""The exact sign-flip test by customer, beside full enumeration, scipy's tests and its own promise."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, norm, permutation_test

from evidence.sign_flip import sign_flip_p_value


def by_enumeration(nets: list[int]) -> float:
    """All choices of signs, one after another."""
    sums = [
        abs(sum(sign * abs(net) for sign, net in zip(signs, nets, strict=True)))
        for signs in itertools.product((-1, 1), repeat=len(nets))
    ]
    return sum(one >= abs(sum(nets)) for one in sums) / len(sums)


@given(st.lists(st.integers(-6, 6), max_size=10))
@settings(max_examples=80)
def test_it_is_the_share_of_all_choices_of_signs_that_are_at_least_as_far_from_zero(nets: list[int]) -> None:
    assert sign_flip_p_value(nets) == pytest.approx(by_enumeration(nets))
    assert sign_flip_p_value([-net for net in nets]) == sign_flip_p_value(nets)


@given(won=st.integers(0, 400), lost=st.integers(0, 400))
@settings(max_examples=60)
def test_with_at_most_one_discordant_decision_of_each_customer_it_is_mcnemars_exact_test(
    won: int, lost: int
) -> None:
    expected = binomtest(won, won + lost, 0.5).pvalue if won + lost else 1.0
    found = sign_flip_p_value([1] * won + [-1] * lost + [0] * 7)
    assert found == pytest.approx(expected, rel=1e-9, abs=0)


def test_it_agrees_with_scipys_permutation_test_of_paired_samples() -> None:
    nets = np.array([3, 3, -1, 2, 1, 1, -2, 5, 1, 0, 2])
    found = permutation_test(
        (nets, np.zeros_like(nets)),
        lambda one, other: np.sum(one - other),
        permutation_type="samples",
        n_resamples=np.inf,
    )
    assert sign_flip_p_value(nets.tolist()) == pytest.approx(found.pvalue)


def test_many_customers_with_many_tries_come_near_the_normal_distribution() -> None:
    nets = [1] * 30_000 + [-1] * 29_700 + [2] * 3_000 + [-2] * 2_950 + [4] * 150 + [-4] * 150
    # Continuity: the sums are two apart.
    expected = 2 * norm.sf((abs(sum(nets)) - 1) / np.sqrt(sum(net * net for net in nets)))
    assert sign_flip_p_value(nets) == pytest.approx(expected, rel=1e-3)


def test_of_twelve_customers_with_three_tries_each_chance_alone_convinces_at_most_one_in_twenty() -> None:
    signs = np.random.default_rng(20_260_601).choice([-1, 1], size=(2_000, 12))
    by_customer = [sign_flip_p_value((3 * drawn).tolist()) < 0.05 for drawn in signs]
    misled = [binomtest(3 * won, 36, 0.5).pvalue < 0.05 for won in range(13)]
    by_decision = [misled[won] for won in (signs > 0).sum(axis=1)]
    assert np.mean(by_customer) < 0.05 + 2 * np.sqrt(0.05 * 0.95 / 2_000)
    assert np.mean(by_decision) > 0.1, "the clusters are such that the test by decision is misled"


def test_tries_of_differing_number_keep_the_promise_too() -> None:
    random = np.random.default_rng(7)
    rejected = []
    for _ in range(1_500):
        tries = random.integers(1, 8, 40)
        rejected.append(sign_flip_p_value((tries * random.choice([-1, 1], 40)).tolist()) < 0.05)
    assert np.mean(rejected) < 0.05 + 2 * np.sqrt(0.05 * 0.95 / len(rejected))
