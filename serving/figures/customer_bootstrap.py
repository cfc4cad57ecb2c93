"""Intervals for sums over orders: a bootstrap by customer, because one has several orders.

A bootstrap cannot doubt what it never saw: none drawn from none is none. So a share's interval is the wider
of the bootstrap's and of Wilson's, end by end, and a share of none or all has Wilson's on the number of
customers. The validation reports have the same rule.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from features.instants import Float64Array, Int64Array

BOOTSTRAP_ROUNDS = 400
LOW, HIGH = 0.025, 0.975


@dataclass(frozen=True, kw_only=True)
class Rate:
    """A share, or a difference of shares, with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Amount:
    """An amount, or a difference of amounts, with its 95 % interval, in cents.

    low_cents, high_cents: None where no customer adds anything to it, because nothing then says how much
        the next one might.
    """

    cents: int
    low_cents: int | None
    high_cents: int | None


@dataclass(frozen=True, kw_only=True)
class Totals:
    """Sums by name: as they are, shape (), and in each round of the bootstrap, shape (rounds,).

    customers: by name, how many customers have an order that is not 0 in that column. Ann has three orders
        with "bad" 1, 1 and 0, Ben has one with 0: the sum of "bad" is 2, and its customers are 1.
    """

    point: dict[str, float]
    rounds: dict[str, Float64Array]
    customers: dict[str, int]

    def amount(self, name: str, minus: str | None = None) -> Amount:
        """The sum of that name, or the difference of two, in cents."""
        point, rounds = self.point[name], self.rounds[name]
        if minus is not None:
            point, rounds = point - self.point[minus], rounds - self.rounds[minus]
        if not rounds.any():
            return Amount(cents=round(point), low_cents=None, high_cents=None)
        low, high = np.quantile(rounds, [LOW, HIGH])
        return Amount(cents=round(point), low_cents=round(float(low)), high_cents=round(float(high)))

    def rate(self, part: str, whole: str) -> Rate | None:
        """The sum of `part` by that of `whole`, which counts orders; None where the whole is empty.

        The wider of the bootstrap's interval and of Wilson's on the number of orders, end by end. A share of
        none or all has Wilson's on the number of customers in the whole: their orders may all go one way.
        """
        if self.point[whole] == 0:
            return None
        value = self.point[part] / self.point[whole]
        if value in {0.0, 1.0}:
            low, high = self._by_customers(value, whole)
            return Rate(value=value, low=low, high=high)
        low, high = wilson_interval(self.point[part], self.point[whole])
        drawn = _quotient(self.rounds[part], self.rounds[whole])
        if len(drawn):
            drawn_low, drawn_high = np.quantile(drawn, [LOW, HIGH])
            low, high = min(low, float(drawn_low)), max(high, float(drawn_high))
        return Rate(value=value, low=low, high=high)

    def rate_difference(self, one: tuple[str, str], other: tuple[str, str]) -> Rate | None:
        """One share minus another, paired; None where a whole is empty. one, other: (part, whole).

        Where both are shares of none or all, no round differs from another. There it is Newcombe's hybrid
        score interval (Statistics in Medicine 17, 1998: method 10 on pages 873 to 890; the one for pairs on
        pages 2635 to 2650 is the same there, because its correlation is 0 where a margin is empty) from
        Wilson's ends on the numbers of customers.
        """
        if self.point[one[1]] == 0 or self.point[other[1]] == 0:
            return None
        shares = [self.point[part] / self.point[whole] for part, whole in (one, other)]
        value = shares[0] - shares[1]
        is_drawn = (self.rounds[one[1]] > 0) & (self.rounds[other[1]] > 0)
        if set(shares) <= {0.0, 1.0} or not is_drawn.any():
            low, high = newcombe_interval(
                (shares[0], *self._by_customers(shares[0], one[1])),
                (shares[1], *self._by_customers(shares[1], other[1])),
            )
            return Rate(value=value, low=low, high=high)
        drawn = (
            self.rounds[one[0]][is_drawn] / self.rounds[one[1]][is_drawn]
            - self.rounds[other[0]][is_drawn] / self.rounds[other[1]][is_drawn]
        )
        low, high = np.quantile(drawn, [LOW, HIGH])
        return Rate(value=value, low=float(low), high=float(high))

    def _by_customers(self, share: float, whole: str) -> tuple[float, float]:
        customers = self.customers[whole]
        return wilson_interval(share * customers, customers)


def _quotient(part: Float64Array, whole: Float64Array) -> Float64Array:
    """The shares of the rounds in which the whole is not empty."""
    is_drawn = whole > 0
    return np.asarray(part[is_drawn] / whole[is_drawn], dtype=np.float64)


def wilson_interval(successes: float, trials: float) -> tuple[float, float]:
    """Wilson's 95 % score interval of a share (Journal of the American Statistical Association 22, 1927).

    successes: from 0 to `trials`, not always whole: an inferred number of orders is not.

    >>> tuple(round(end, 3) for end in wilson_interval(0, 10))
    (0.0, 0.278)

    Raises ValueError without trials, or with more successes than trials.
    """
    if not (0 <= successes <= trials and trials > 0):
        raise ValueError(f"{successes} successes in {trials} trials have no share")
    z = float(norm.ppf(HIGH))
    share = successes / trials
    centre = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z * np.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2)) / (1 + z**2 / trials)
    # Rounding must not put an end past the share that it belongs to.
    return min(max(float(centre - half), 0.0), share), max(min(float(centre + half), 1.0), share)


def newcombe_interval(
    one: tuple[float, float, float], other: tuple[float, float, float]
) -> tuple[float, float]:
    """The interval of a difference of two shares from the interval of each: (share, low, high).

    >>> nothing_of_ten = (0.0, *wilson_interval(0, 10))
    >>> tuple(round(end, 3) for end in newcombe_interval(nothing_of_ten, nothing_of_ten))
    (-0.278, 0.278)
    """
    difference = one[0] - other[0]
    below = np.hypot(one[0] - one[1], other[2] - other[0])
    above = np.hypot(one[2] - one[0], other[0] - other[1])
    return float(difference - below), float(difference + above)


class CustomerBootstrap:
    """Draws customers with replacement (Poisson weights), the same ones for every question.

    customer_id: shape (n_orders,), at least one order.
    """

    def __init__(
        self, customer_id: NDArray[np.object_], *, seed: int, rounds: int = BOOTSTRAP_ROUNDS
    ) -> None:
        customers, place = np.unique(customer_id.astype(str), return_inverse=True)
        self._place = place.astype(np.intp)
        self.customers = len(customers)
        self._seed = seed
        self.rounds = rounds

    def totals(self, columns: dict[str, Float64Array]) -> Totals:
        """Sum each column of shape (n_orders,) over all orders, and over the orders of each round."""
        by_customer = np.column_stack(
            [np.bincount(self._place, values, self.customers) for values in columns.values()]
        )
        generator = np.random.default_rng(self._seed)
        rounds = np.array(
            [
                generator.poisson(1.0, self.customers).astype(np.float64) @ by_customer
                for _ in range(self.rounds)
            ]
        )
        return Totals(
            point={name: float(by_customer[:, place].sum()) for place, name in enumerate(columns)},
            rounds={name: rounds[:, place] for place, name in enumerate(columns)},
            customers={name: self._having(values) for name, values in columns.items()},
        )

    def _having(self, values: Float64Array) -> int:
        return len(np.unique(self._place[values != 0]))

    def highest(self, values: Int64Array, is_counted: NDArray[np.bool_]) -> Int64Array:
        """The highest value of each customer's counted orders, shape (n_customers,), -1 where there is none.

        values, is_counted: shape (n_orders,); values not below 0.
        """
        found = np.full(self.customers, -1, dtype=np.int64)
        np.maximum.at(found, self._place[is_counted], values[is_counted])
        return found

    def weights(self) -> Iterator[Float64Array]:
        """The weight of each order, shape (n_orders,), round by round; the rounds of `totals`."""
        generator = np.random.default_rng(self._seed)
        for _ in range(self.rounds):
            yield generator.poisson(1.0, self.customers).astype(np.float64)[self._place]
