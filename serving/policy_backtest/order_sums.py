"""What a backtest adds up about the orders under a mask: its columns, and the name of each sum."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from features.instants import Float64Array
from serving.policy_backtest.order_evidence import KNOWN, REALISED, Evidence, OrderEvidence, OrderWorth
from serving.policy_backtest.policy_replay import ReplayedOrders

ALL_ORDERS = "orders"
"""The name of the number of all orders."""


@dataclass(frozen=True, kw_only=True)
class MoneySums:
    """Names of sums in cents: the fee, what was or will be lost, handling, and what is left of it."""

    margin: str
    loss: str
    handling: str
    net: str


@dataclass(frozen=True, kw_only=True)
class NetSums:
    """Names of the two ends of a net amount in cents, from the worst that the unknown orders may bring."""

    worst: str
    best: str


@dataclass(frozen=True, kw_only=True)
class CostSums:
    """Names of sums in cents. realised: of known outcomes. expected: of invoices that are too young.

    net_bounds, net_inferred: both, with the range of the orders never invoiced.
    """

    realised: MoneySums
    expected: MoneySums
    net_bounds: NetSums
    net_inferred: NetSums


@dataclass(frozen=True, kw_only=True)
class OrderSums:
    """Names of what is added up about the orders under one mask.

    orders: how many. known: with a known outcome; bad: not paid. judged: known or never invoiced.
    bad_or_unknown: not paid, or never invoiced. bad_inferred_low, bad_inferred_high: not paid, and what
    reject inference makes of those never invoiced. costs: None without costs.
    """

    orders: str
    known: str
    bad: str
    judged: str
    bad_or_unknown: str
    bad_inferred_low: str
    bad_inferred_high: str
    costs: CostSums | None


@dataclass(kw_only=True)
class SummedColumns:
    """The columns that are added up, each of shape (n,) under its name; more with each mask.

    worth: None without costs. reject_factors: how many times as likely not to be paid as the model says an
    order is that was never invoiced, at least and at most.
    """

    orders: ReplayedOrders
    evidence: OrderEvidence
    worth: OrderWorth | None
    reject_factors: tuple[float, float]
    columns: dict[str, Float64Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.columns[ALL_ORDERS] = np.ones(len(self.orders))

    def under(self, mask: NDArray[np.bool_], prefix: str) -> OrderSums:
        """Add the columns of the orders under `mask`, shape (n,). prefix: no other mask's; of their names."""

        def summed(name: str, values: NDArray[np.bool_] | Float64Array) -> str:
            self.columns[f"{prefix}_{name}"] = np.where(mask, values, 0).astype(np.float64)
            return f"{prefix}_{name}"

        known = self.evidence.is_one_of(*KNOWN)
        bad = self.evidence.is_one_of(Evidence.NOT_PAID)
        unknown = self.evidence.is_one_of(Evidence.NEVER_INVOICED)
        inferred = [
            np.minimum(self.orders.probability_of_default * factor, 1.0) for factor in self.reject_factors
        ]
        return OrderSums(
            orders=summed("orders", np.ones(len(self.orders))),
            known=summed("known", known),
            bad=summed("bad", bad),
            judged=summed("judged", known | unknown),
            bad_or_unknown=summed("bad_or_unknown", bad | unknown),
            bad_inferred_low=summed("bad_inferred_low", bad + unknown * inferred[0]),
            bad_inferred_high=summed("bad_inferred_high", bad + unknown * inferred[1]),
            costs=None if self.worth is None else self._costs(self.worth, summed),
        )

    def _costs(self, worth: OrderWorth, summed: Callable[[str, Float64Array], str]) -> CostSums:
        realised = self.evidence.is_one_of(*REALISED)
        young = self.evidence.is_one_of(Evidence.MATURING)
        unknown = self.evidence.is_one_of(Evidence.NEVER_INVOICED)

        def money(part: str, chosen: NDArray[np.bool_]) -> MoneySums:
            return MoneySums(
                margin=summed(f"{part}_margin", worth.fee_cents * chosen),
                loss=summed(f"{part}_loss", worth.loss_cents * chosen),
                handling=summed(f"{part}_handling", worth.handling_cents * chosen),
                net=summed(f"{part}_net", worth.net_cents * chosen),
            )

        seen = worth.net_cents * (realised | young)
        open_net = (worth.fee_cents - worth.handling_cents) * unknown
        return CostSums(
            realised=money("realised", realised),
            expected=money("expected", young),
            net_bounds=NetSums(
                worst=summed("net_worst", seen + open_net - worth.at_stake_cents * unknown),
                best=summed("net_best", seen + open_net),
            ),
            net_inferred=NetSums(
                worst=summed("net_inferred_worst", seen + open_net - worth.loss_high_cents * unknown),
                best=summed("net_inferred_best", seen + open_net - worth.loss_low_cents * unknown),
            ),
        )
