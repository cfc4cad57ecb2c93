"""Intervals for sums over orders: a bootstrap by customer, because one has several orders."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from features.instants import Float64Array

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
    """An amount, or a difference of amounts, with its 95 % interval, in cents."""

    cents: int
    low_cents: int
    high_cents: int


@dataclass(frozen=True, kw_only=True)
class Totals:
    """Sums by name: as they are, shape (), and in each round of the bootstrap, shape (rounds,).

    customers: how many there are.
    """

    point: dict[str, float]
    rounds: dict[str, Float64Array]
    customers: int

    def amount(self, name: str, minus: str | None = None) -> Amount:
        """The sum of that name, or the difference of two, in cents."""
        point, rounds = self.point[name], self.rounds[name]
        if minus is not None:
            point, rounds = point - self.point[minus], rounds - self.rounds[minus]
        low, high = np.quantile(rounds, [LOW, HIGH])
        return Amount(cents=round(point), low_cents=round(float(low)), high_cents=round(float(high)))

    def rate(self, part: str, whole: str) -> Rate | None:
        """The sum of `part` by that of `whole`; None where the whole is empty.

        A bootstrap cannot doubt a share of none or all, so there it is Wilson's interval on the number of
        customers.
        """
        if self.point[whole] == 0:
            return None
        value = self.point[part] / self.point[whole]
        if value in {0.0, 1.0}:
            low, high = wilson_interval(
                round(value * min(self.point[whole], self.customers)),
                round(min(self.point[whole], self.customers)),
            )
            return Rate(value=value, low=low, high=high)
        drawn = _quotient(self.rounds[part], self.rounds[whole])
        low, high = np.quantile(drawn, [LOW, HIGH])
        return Rate(value=value, low=float(low), high=float(high))

    def rate_difference(self, one: tuple[str, str], other: tuple[str, str]) -> Rate | None:
        """One share minus another, paired; None where a whole is empty. one, other: (part, whole)."""
        if self.point[one[1]] == 0 or self.point[other[1]] == 0:
            return None
        value = self.point[one[0]] / self.point[one[1]] - self.point[other[0]] / self.point[other[1]]
        is_drawn = (self.rounds[one[1]] > 0) & (self.rounds[other[1]] > 0)
        drawn = (
            self.rounds[one[0]][is_drawn] / self.rounds[one[1]][is_drawn]
            - self.rounds[other[0]][is_drawn] / self.rounds[other[1]][is_drawn]
        )
        low, high = np.quantile(drawn, [LOW, HIGH]) if len(drawn) else (value, value)
        return Rate(value=value, low=float(low), high=float(high))


def _quotient(part: Float64Array, whole: Float64Array) -> Float64Array:
    """The shares of the rounds in which the whole is not empty."""
    is_drawn = whole > 0
    return np.asarray(part[is_drawn] / whole[is_drawn], dtype=np.float64)


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """Wilson's 95 % score interval of a share.

    >>> tuple(round(end, 3) for end in wilson_interval(0, 10))
    (0.0, 0.278)

    Raises ValueError without trials.
    """
    ends = binomtest(successes, trials).proportion_ci(HIGH - LOW, method="wilson")
    return float(ends.low), float(ends.high)


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
            customers=self.customers,
        )

    def weights(self) -> Iterator[Float64Array]:
        """The weight of each order, shape (n_orders,), round by round; the rounds of `totals`."""
        generator = np.random.default_rng(self._seed)
        for _ in range(self.rounds):
            yield generator.poisson(1.0, self.customers).astype(np.float64)[self._place]
