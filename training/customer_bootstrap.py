"""Intervals of sums, shares and ranks under a bootstrap that draws customers, not orders.

All orders of a customer are drawn together, so a customer who orders weekly does not pass for fifty.
Every result holds the estimate itself in its first row and one draw in each further row.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.stats import binomtest, norm

from features.instants import Float64Array
from training.evaluation import BOOTSTRAP_ROUNDS, Interval, auc_under_weights

CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True, eq=False)
class CustomerBootstrap:
    """How often each customer is drawn in each round.

    customer: shape (n,), the customer's place of every row. drawn: shape (rounds, n_customers).
    """

    customer: NDArray[np.intp]
    drawn: NDArray[np.uint8]

    def where(self, mask: NDArray[np.bool_]) -> "CustomerBootstrap":
        """The same draws for the rows that `mask` picks."""
        return CustomerBootstrap(customer=self.customer[mask], drawn=self.drawn)

    def weights(self) -> Iterator[Float64Array]:
        """The weight of every row, shape (n,): first one for each, then round by round."""
        yield np.ones(len(self.customer))
        for drawn in self.drawn:
            yield drawn[self.customer].astype(np.float64)

    def totals(self, column: Float64Array, group: NDArray[np.intp], groups: int) -> Float64Array:
        """The sum of a column, shape (n,), in each group: shape (1 + rounds, groups)."""
        by_customer = csr_array((column, (group, self.customer)), shape=(groups, self.drawn.shape[1]))
        everybody = np.ones(self.drawn.shape[1])
        draws = [by_customer @ drawn.astype(np.float64) for drawn in self.drawn]
        return np.array([by_customer @ everybody, *draws])

    def customers(self, column: Float64Array, group: NDArray[np.intp], groups: int) -> NDArray[np.intp]:
        """How many customers have a row that is not 0 in each group; column: shape (n,). Shape (groups,)."""
        counted = column != 0
        pairs = np.unique(np.column_stack([group[counted], self.customer[counted]]), axis=0)
        return np.bincount(pairs[:, 0], minlength=groups)

    def means(self, columns: Float64Array) -> Float64Array:
        """The mean of each column, shape (n, k): shape (1 + rounds, k)."""
        return np.array([weight @ columns / max(weight.sum(), 1.0) for weight in self.weights()])

    def auc(self, label: NDArray[np.int8], probability: Float64Array) -> Float64Array:
        """The AUC, shape (1 + rounds,); NaN in a round that draws only one kind of label."""
        return auc_under_weights(label, probability, self.weights())


def customer_bootstrap(
    customer_id: NDArray[np.object_], *, seed: int, rounds: int = BOOTSTRAP_ROUNDS
) -> CustomerBootstrap:
    """Draw customers: in each round every one as often as a Poisson variable of mean 1 says."""
    customers, customer = np.unique(customer_id.astype(str), return_inverse=True)
    drawn = np.random.default_rng(seed).poisson(1.0, (rounds, len(customers)))
    return CustomerBootstrap(customer=customer, drawn=drawn.astype(np.uint8))


def interval_of(draws: Float64Array) -> Interval | None:
    """The estimate in the first place with the middle 95 % of the others; None where there is none."""
    others = draws[1:][np.isfinite(draws[1:])]
    if not np.isfinite(draws[0]) or len(others) == 0:
        return None
    low, high = np.quantile(others, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(value=float(draws[0]), low=float(low), high=float(high))


def share_interval(draws: Float64Array, *, hits: int, trials: int, customers: int) -> Interval:
    """The interval of a share: the wider of the bootstrap's and of Wilson's, end by end.

    Few or no hits make a bootstrap too sure of itself: none drawn from none is none. A share of none or all
    has Wilson's on the number of customers: their rows may all go one way. The policy backtest has the same
    rule. trials, customers: above 0.
    """
    wilson = wilson_interval(hits, trials)
    if hits in {0, trials}:
        return wilson_interval(customers if hits else 0, customers)
    found = interval_of(draws)
    if found is None:
        return wilson
    return Interval(value=wilson.value, low=min(wilson.low, found.low), high=max(wilson.high, found.high))


def wilson_interval(hits: int, trials: int) -> Interval:
    """Wilson's 95 % interval of a share of independent trials, of which there is at least one.

    >>> print(wilson_interval(0, 10))
    0.0000 [0.0000, 0.2775]
    """
    ends = binomtest(hits, trials).proportion_ci(CONFIDENCE, method="wilson")
    return Interval(value=hits / trials, low=float(ends.low), high=float(ends.high))


def family_wise_z(comparisons: int) -> float:
    """How many standard errors a figure must be off so that chance does it in one table out of twenty.

    Bonferroni: a table of many rows would otherwise nearly always have one row beyond its interval.

    >>> round(family_wise_z(1), 2), round(family_wise_z(20), 2)
    (1.96, 3.02)
    """
    return float(norm.ppf(1 - (1 - CONFIDENCE) / (2 * max(comparisons, 1))))
