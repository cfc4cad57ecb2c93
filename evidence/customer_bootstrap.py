"""A bootstrap that draws customers, not orders: what sums, means and shares might have been with others.

All orders of a customer are drawn together, so a customer who orders weekly does not pass for fifty.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from evidence.intervals import (
    AmountInterval,
    Interval,
    amount_interval,
    interval_around,
    newcombe_interval,
    share_interval,
    wilson_interval,
)

BOOTSTRAP_ROUNDS = 400


@dataclass(frozen=True, kw_only=True)
class Totals:
    """Sums by name: as they are, shape (), and in each round of the bootstrap, shape (rounds,).

    customers: how many have an order that is not 0 there, by name; of every sum that is the whole of a share.
    """

    point: dict[str, float]
    rounds: dict[str, NDArray[np.float64]]
    customers: dict[str, int]

    def amount(self, name: str, minus: str | None = None) -> AmountInterval:
        """The sum of that name, or the difference of two, in cents."""
        point, rounds = self.point[name], self.rounds[name]
        if minus is not None:
            point, rounds = point - self.point[minus], rounds - self.rounds[minus]
        return amount_interval(point, rounds)

    def rate(self, part: str, whole: str) -> Interval | None:
        """The sum of `part` by that of `whole`, which counts orders; None where the whole is empty.

        See `share_interval`.
        """
        if self.point[whole] == 0:
            return None
        return share_interval(
            self._shares(part, whole),
            hits=self.point[part],
            trials=self.point[whole],
            customers=self.customers[whole],
        )

    def rate_difference(self, one: tuple[str, str], other: tuple[str, str]) -> Interval | None:
        """One share minus another, paired; None where a whole is empty. one, other: (part, whole).

        Where both are shares of none or all, no round differs from another. There it is Newcombe's interval
        from Wilson's ends on the numbers of customers. The one for pairs (Statistics in Medicine 17, 1998,
        pages 2635 to 2650) is the same there, because its correlation is 0 where a margin is empty.
        """
        if self.point[one[1]] == 0 or self.point[other[1]] == 0:
            return None
        shares, other_shares = self._shares(*one), self._shares(*other)
        drawn = (shares - other_shares)[1:]
        drawn = drawn[np.isfinite(drawn)]
        if {float(shares[0]), float(other_shares[0])} <= {0.0, 1.0} or len(drawn) == 0:
            return newcombe_interval(
                self._by_customers(float(shares[0]), one[1]),
                self._by_customers(float(other_shares[0]), other[1]),
            )
        return interval_around(shares[0] - other_shares[0], drawn)

    def _shares(self, part: str, whole: str) -> NDArray[np.float64]:
        """The share itself, then round by round, shape (1 + rounds,); NaN where the whole is not drawn."""
        parts = np.append(self.point[part], self.rounds[part])
        wholes = np.append(self.point[whole], self.rounds[whole])
        shares = np.full(len(wholes), np.nan)
        np.divide(parts, wholes, out=shares, where=wholes > 0)
        return shares

    def _by_customers(self, share: float, whole: str) -> Interval:
        customers = self.customers[whole]
        return wilson_interval(share * customers, customers)


@dataclass(frozen=True, kw_only=True, eq=False)
class CustomerBootstrap:
    """How often each customer is drawn in each round; the same draws for every question.

    customer: shape (n,), the customer's place of every row. drawn: shape (rounds, n_customers).
    """

    customer: NDArray[np.intp]
    drawn: NDArray[np.uint8]

    @property
    def rounds(self) -> int:
        """How many times customers are drawn."""
        return len(self.drawn)

    @property
    def customers(self) -> int:
        """How many customers there are, also those without a row here (see `where`)."""
        return int(self.drawn.shape[1])

    def where(self, mask: NDArray[np.bool_]) -> "CustomerBootstrap":
        """The same draws for the rows that `mask` picks."""
        return CustomerBootstrap(customer=self.customer[mask], drawn=self.drawn)

    def round_weights(self) -> Iterator[NDArray[np.float64]]:
        """The weight of every row, shape (n,), round by round."""
        for drawn in self.drawn:
            yield drawn[self.customer].astype(np.float64)

    def weights(self) -> Iterator[NDArray[np.float64]]:
        """The weight of every row, shape (n,): first one for each, then round by round."""
        yield np.ones(len(self.customer))
        yield from self.round_weights()

    def totals(self, columns: dict[str, NDArray[np.float64]]) -> Totals:
        """Sum each column of shape (n,) over all rows, and over the rows of each round."""
        by_customer = np.column_stack(
            [np.bincount(self.customer, values, self.customers) for values in columns.values()]
        )
        rounds = np.array([drawn.astype(np.float64) @ by_customer for drawn in self.drawn])
        return Totals(
            point={name: float(by_customer[:, place].sum()) for place, name in enumerate(columns)},
            rounds={name: rounds[:, place] for place, name in enumerate(columns)},
            customers={name: len(np.unique(self.customer[values != 0])) for name, values in columns.items()},
        )

    def totals_by_group(
        self, column: NDArray[np.float64], group: NDArray[np.intp], groups: int
    ) -> NDArray[np.float64]:
        """The sum of a column, shape (n,), in each group: itself, then round by round.

        Shape (1 + rounds, groups).
        """
        by_customer = csr_array((column, (group, self.customer)), shape=(groups, self.customers))
        everybody = np.ones(self.customers)
        draws = [by_customer @ drawn.astype(np.float64) for drawn in self.drawn]
        return np.array([by_customer @ everybody, *draws])

    def customers_by_group(
        self, column: NDArray[np.float64], group: NDArray[np.intp], groups: int
    ) -> NDArray[np.intp]:
        """How many customers have a row that is not 0 in each group; column: shape (n,). Shape (groups,)."""
        counted = column != 0
        pairs = np.unique(np.column_stack([group[counted], self.customer[counted]]), axis=0)
        return np.bincount(pairs[:, 0], minlength=groups)

    def means(self, columns: NDArray[np.float64]) -> NDArray[np.float64]:
        """The mean of each column, shape (n, k): shape (1 + rounds, k), itself, then round by round."""
        return np.array([weight @ columns / max(weight.sum(), 1.0) for weight in self.weights()])

    def highest(self, values: NDArray[np.int64], is_counted: NDArray[np.bool_]) -> NDArray[np.int64]:
        """The highest value of each customer's counted rows, shape (n_customers,), -1 where there is none.

        values, is_counted: shape (n,); values not below 0.
        """
        found = np.full(self.customers, -1, dtype=np.int64)
        np.maximum.at(found, self.customer[is_counted], values[is_counted])
        return found


def customer_bootstrap(
    customer_id: NDArray[np.object_], *, seed: int, rounds: int = BOOTSTRAP_ROUNDS
) -> CustomerBootstrap:
    """Draw customers: in each round every one as often as a Poisson variable of mean 1 says.

    customer_id: shape (n,), of every row.
    """
    customers, customer = np.unique(customer_id.astype(str), return_inverse=True)
    generator = np.random.default_rng(seed)
    drawn = np.empty((rounds, len(customers)), dtype=np.uint8)
    for place in range(rounds):
        drawn[place] = generator.poisson(1.0, len(customers))
    return CustomerBootstrap(customer=customer, drawn=drawn)
