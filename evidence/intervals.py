"""A figure with its 95 % interval: of a share, of a difference, of an amount; and how one is found.

A bootstrap cannot doubt what it never saw: none drawn from none is none. So a share's interval is the wider
of the bootstrap's and of Wilson's, end by end, and a share of none or all has Wilson's on the number of
customers. Every report has this rule from here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

LOW, HIGH = 0.025, 0.975
"""Where the ends of a 95 % interval lie among the rounds of a bootstrap."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A figure such as a share, or a difference of two, and its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}]"


@dataclass(frozen=True, kw_only=True)
class CountedShare(Interval):
    """The share `count` of `of` with its 95 % interval.

    >>> print(counted_share(1, 10))
    10.0% [1.8%, 40.4%]
    """

    count: int
    of: int

    def __str__(self) -> str:
        return f"{self.value:.1%} [{self.low:.1%}, {self.high:.1%}]"


@dataclass(frozen=True, kw_only=True)
class AmountInterval:
    """An amount, or a difference of amounts, with its 95 % interval, in cents.

    low_cents, high_cents: None where no customer adds anything to it, because nothing then says how much
        the next one might.
    """

    cents: int
    low_cents: int | None
    high_cents: int | None


def interval_around(value: float, drawn: NDArray[np.float64] | Sequence[float]) -> Interval:
    """A figure with the middle 95 % of what a bootstrap drew; drawn: shape (rounds,), at least one."""
    low, high = np.quantile(drawn, [LOW, HIGH])
    return Interval(value=float(value), low=float(low), high=float(high))


def interval_of(draws: NDArray[np.float64]) -> Interval | None:
    """The figure in the first place with the middle 95 % of the others, shape (1 + rounds,).

    NaN is a round that has no figure. None where the figure is NaN, or all rounds are.
    """
    others = draws[1:][np.isfinite(draws[1:])]
    if not np.isfinite(draws[0]) or len(others) == 0:
        return None
    return interval_around(draws[0], others)


def amount_interval(cents: float, drawn: NDArray[np.float64] | Sequence[float]) -> AmountInterval:
    """An amount with the middle 95 % of what a bootstrap drew, shape (rounds,); all in cents.

    >>> amount_interval(0.0, [0.0, 0.0])
    AmountInterval(cents=0, low_cents=None, high_cents=None)
    """
    if not np.any(drawn):
        return AmountInterval(cents=round(cents), low_cents=None, high_cents=None)
    ends = interval_around(cents, drawn)
    return AmountInterval(cents=round(cents), low_cents=round(ends.low), high_cents=round(ends.high))


def wilson_interval(hits: float, trials: float) -> Interval:
    """Wilson's 95 % score interval of a share (Journal of the American Statistical Association 22, 1927).

    hits: from 0 to `trials`, not always whole: an inferred number of orders is not, and scipy's `binomtest`
    takes whole ones only; a test holds this to it.

    >>> print(wilson_interval(0, 10))
    0.0000 [0.0000, 0.2775]

    Raises ValueError without trials, or with more hits than trials.
    """
    if not (0 <= hits <= trials and trials > 0):
        raise ValueError(f"{hits} hits in {trials} trials have no share")
    z = float(norm.ppf(HIGH))
    share = hits / trials
    centre = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z * np.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2)) / (1 + z**2 / trials)
    # Rounding must not put an end past the share that it belongs to.
    low, high = min(max(float(centre - half), 0.0), share), max(min(float(centre + half), 1.0), share)
    return Interval(value=share, low=low, high=high)


def counted_share(count: int, of: int) -> CountedShare:
    """A share of independent trials with Wilson's interval. Raises ValueError as `wilson_interval` does."""
    found = wilson_interval(count, of)
    return CountedShare(value=found.value, low=found.low, high=found.high, count=count, of=of)


def share_interval(draws: NDArray[np.float64], *, hits: float, trials: float, customers: int) -> Interval:
    """The interval of a share: the wider of the bootstrap's and of Wilson's, end by end.

    draws: as in `interval_of`. trials, customers: above 0. A share of none or all has Wilson's on the number
    of customers, because their rows may all go one way: 40 paid orders of one customer say as much as one.

    >>> print(share_interval(np.zeros(3), hits=0, trials=40, customers=1))
    0.0000 [0.0000, 0.7935]
    """
    if hits in {0, trials}:
        return wilson_interval(customers if hits else 0, customers)
    wilson, found = wilson_interval(hits, trials), interval_of(draws)
    if found is None:
        return wilson
    return Interval(value=wilson.value, low=min(wilson.low, found.low), high=max(wilson.high, found.high))


def newcombe_interval(one: Interval, other: Interval) -> Interval:
    """The difference of two shares, with an interval made of the interval of each.

    Newcombe's hybrid score interval (Statistics in Medicine 17, 1998: method 10 on pages 873 to 890).

    >>> nothing_of_ten = wilson_interval(0, 10)
    >>> print(newcombe_interval(nothing_of_ten, nothing_of_ten))
    0.0000 [-0.2775, 0.2775]
    """
    difference = one.value - other.value
    below = np.hypot(one.value - one.low, other.high - other.value)
    above = np.hypot(one.high - one.value, other.value - other.low)
    return Interval(value=difference, low=float(difference - below), high=float(difference + above))
