"""The moments to compute features for: one per order, those of a label file, or random ones."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from data_contracts.ledger_folder import LABELS_FILE
from data_contracts.orders import ORDERS
from data_contracts.parquet_ledger import has_table, read_parquet_file, read_table
from features.instants import Int64Array
from features.supersession import milliseconds


@dataclass(frozen=True, kw_only=True)
class Decisions:
    """The moments to compute features for. All shapes (n_decisions,).

    decision_id, customer_id: str objects; as_of_ms: instants in ms since 1970 UTC.
    """

    decision_id: NDArray[np.object_]
    customer_id: NDArray[np.object_]
    as_of_ms: Int64Array

    def __len__(self) -> int:
        return len(self.as_of_ms)

    def where(self, mask: NDArray[np.bool_]) -> "Decisions":
        """The decisions that `mask` picks."""
        return Decisions(
            decision_id=self.decision_id[mask],
            customer_id=self.customer_id[mask],
            as_of_ms=self.as_of_ms[mask],
        )


class NoDecisionsError(Exception):
    """There is nothing to compute features for."""


def order_decisions(directory: Path) -> Decisions:
    """One decision per order of a ledger folder, at the moment of the order.

    Raises NoDecisionsError if the folder holds no orders.
    """
    if not has_table(directory, ORDERS):
        raise NoDecisionsError(f"{directory} holds no orders; simulate or import a ledger first")
    orders = read_table(directory, ORDERS, ["order_id", "customer_id", "occurred_at", "corrects"])
    orders = orders.filter(pc.is_null(orders["corrects"]))
    return Decisions(
        decision_id=orders["order_id"].to_numpy(zero_copy_only=False),
        customer_id=orders["customer_id"].to_numpy(zero_copy_only=False),
        as_of_ms=milliseconds(orders["occurred_at"]),
    )


def label_decisions(directory: Path) -> Decisions:
    """The decisions that a label file names (DIR/labels.parquet: decision_id, customer_id, as_of)."""
    labels = read_parquet_file(directory / LABELS_FILE, ["decision_id", "customer_id", "as_of"])
    return Decisions(
        decision_id=labels["decision_id"].to_numpy(zero_copy_only=False),
        customer_id=labels["customer_id"].to_numpy(zero_copy_only=False),
        as_of_ms=milliseconds(labels["as_of"]),
    )


def folder_decisions(directory: Path) -> Decisions:
    """The decisions of a ledger folder: those of its label file where there is one, else one per order.

    Raises NoDecisionsError if there are neither labels nor orders.
    """
    if (directory / LABELS_FILE).exists():
        return label_decisions(directory)
    return order_decisions(directory)


def sampled_decisions(directory: Path, count: int, seed: int) -> Decisions:
    """Random decisions for measuring: customers of the ledger at moments between its first and last order.

    Raises NoDecisionsError if the folder holds no orders.
    """
    orders = order_decisions(directory)
    if len(orders) == 0:
        raise NoDecisionsError(f"{directory} holds no orders to sample moments from")
    generator = np.random.default_rng(seed)
    customers = np.unique(orders.customer_id.astype(str)).astype(object)
    return Decisions(
        decision_id=np.array([f"sample-{index}" for index in range(count)], dtype=object),
        customer_id=customers[generator.integers(0, len(customers), count)],
        as_of_ms=generator.integers(orders.as_of_ms.min(), orders.as_of_ms.max() + 1, count),
    )
