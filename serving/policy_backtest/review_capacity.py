"""Proposes from which probability on orders are flagged, so that the fraud team can look at what comes."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_contracts.instants import DAY_MS
from evidence.customer_bootstrap import BOOTSTRAP_ROUNDS
from evidence.intervals import HIGH, LOW
from features.instants import Float64Array, Int64Array

PER_MILLE = 1_000


@dataclass(frozen=True, kw_only=True)
class FlagProposal:
    """From which probability of fraud on, in per mille, and what that gives.

    low, high: where 95 % of the bootstrap's rounds put it, which draws days.
    reviews_for_flags_per_day: what is left of the capacity beside the random sample.
    flagged_share_above: of the days, on how many more than that is flagged.
    fraud_found: share of the confirmed fraud among all orders that is flagged, None without any.
    fraud_cents_per_day, review_cents_per_day: confirmed fraud among the flagged orders, and what
    reviewing them costs (None without costs).
    """

    present: int
    proposed: int
    low: int
    high: int
    days: int
    orders: int
    reviews_per_day: int
    reviews_for_flags_per_day: float
    flagged_per_day_present: float
    flagged_per_day: float
    flagged_share_above: float
    busiest_day: int
    fraud_found_present: float | None
    fraud_found: float | None
    fraud_cents_per_day: float
    review_cents_per_day: float | None

    def to_json(self) -> dict[str, Any]:
        """The proposal as JSON values."""
        return asdict(self)


def propose_flag(
    probability: Float64Array,
    as_of_ms: Int64Array,
    amount_cents: Int64Array,
    is_fraud: NDArray[np.bool_],
    *,
    present: int,
    reviews_per_day: int,
    sample_share: float,
    review_cents: int | None,
    seed: int = 0,
) -> FlagProposal:
    """The lowest threshold at which the flagged orders and the random sample fit the team's day on average.

    probability: of fraud at approval, of every approved order, shape (n_orders,); the other arrays likewise.
    sample_share: of the orders that are not flagged, so many are reviewed at random.
    Raises ValueError without orders.
    """
    if len(probability) == 0:
        raise ValueError("orders are needed")
    day = as_of_ms // DAY_MS
    first = int(day.min())
    days = int(day.max()) - first + 1
    # Flagged from t per mille on: t <= 1000 p. The first t that does not flag an order is one above.
    highest = np.clip(np.floor(np.round(probability * PER_MILLE, 9)).astype(np.int64), 0, PER_MILLE)
    by_day = np.zeros((days, PER_MILLE + 2))
    np.add.at(by_day, (day - first, highest), 1.0)
    flagged = np.cumsum(by_day[:, ::-1], axis=1)[:, ::-1]
    orders_per_day = flagged[:, 0]
    proposed = _lowest_fitting(flagged.mean(axis=0), orders_per_day.mean(), reviews_per_day, sample_share)
    generator = np.random.default_rng(seed)
    drawn = []
    for _ in range(BOOTSTRAP_ROUNDS):
        of_days = generator.integers(0, days, days)
        drawn.append(
            _lowest_fitting(
                flagged[of_days].mean(axis=0), orders_per_day[of_days].mean(), reviews_per_day, sample_share
            )
        )
    is_flagged = highest >= proposed
    frauds = int(is_fraud.sum())
    left = reviews_per_day - sample_share * float((orders_per_day - flagged[:, proposed]).mean())
    return FlagProposal(
        present=present,
        proposed=proposed,
        low=round(float(np.quantile(drawn, LOW))),
        high=round(float(np.quantile(drawn, HIGH))),
        days=days,
        orders=len(probability),
        reviews_per_day=reviews_per_day,
        reviews_for_flags_per_day=left,
        flagged_per_day_present=float(flagged[:, present].mean()),
        flagged_per_day=float(flagged[:, proposed].mean()),
        flagged_share_above=float((flagged[:, proposed] > left).mean()),
        busiest_day=int(flagged[:, proposed].max()),
        fraud_found_present=float((is_fraud & (highest >= present)).sum() / frauds) if frauds else None,
        fraud_found=float((is_fraud & is_flagged).sum() / frauds) if frauds else None,
        fraud_cents_per_day=float(amount_cents[is_fraud & is_flagged].sum() / days),
        review_cents_per_day=None
        if review_cents is None
        else float(flagged[:, proposed].mean() * review_cents),
    )


def _lowest_fitting(
    flagged_per_day: Float64Array, orders_per_day: float, reviews_per_day: int, sample_share: float
) -> int:
    """The lowest threshold from 1 to 1,000 per mille whose reviews fit; 1,000 where none does."""
    reviews = flagged_per_day + sample_share * (orders_per_day - flagged_per_day)
    fitting = np.flatnonzero(reviews[1 : PER_MILLE + 1] <= reviews_per_day)
    return int(fitting[0]) + 1 if len(fitting) else PER_MILLE
