"""Card orders as the features read them, and which of them one client placed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.instants import Int64Array
from features.intervals import DecisionAxis


@dataclass(frozen=True, kw_only=True)
class CardOrders:
    """Card orders in ascending order of time. All arrays of shape (n,).

    occurred_ms: instant. amount_mills: in thousandths of the currency's unit, as the source has them.
    card_number, card, address, device, email_domain, product: codes; -1 where the order names none.
        card_number is one part of card.
    running_totals_mills: totals that came with the order of what its client had spent before it, each by a
        rule of its own, the most telling first; 0 where there was nothing.
    finding: 1 found to be fraud, 0 not, -1 never to be known here. It counts FINDING_DELAY_DAYS later.
    """

    occurred_ms: Int64Array
    amount_mills: Int64Array
    card_number: Int64Array
    card: Int64Array
    address: Int64Array
    device: Int64Array
    email_domain: Int64Array
    product: Int64Array
    running_totals_mills: tuple[Int64Array, ...]
    finding: NDArray[np.int8]

    def __post_init__(self) -> None:
        if np.any(np.diff(self.occurred_ms) < 0):
            raise ValueError("the orders must ascend by time")

    def __len__(self) -> int:
        return len(self.occurred_ms)


def dense_codes(*columns: Int64Array) -> Int64Array:
    """Codes 0, 1, 2, ... of the distinct rows of some columns; -1 where any column is negative.

    >>> dense_codes(np.array([7, 7, 3, -1]), np.array([1, 1, 1, 1]))
    array([ 1,  1,  0, -1])
    """
    absent = np.zeros(len(columns[0]), dtype=bool)
    codes = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        absent |= column < 0
        values, place = np.unique(column, return_inverse=True)
        codes = np.unique(codes * len(values) + place, return_inverse=True)[1].astype(np.int64)
    present = np.flatnonzero(~absent)
    answer = np.full(len(codes), -1, dtype=np.int64)
    answer[present] = np.unique(codes[present], return_inverse=True)[1]
    return answer


def last_earlier(key: Int64Array, wanted: Int64Array, occurred_ms: Int64Array) -> NDArray[np.intp]:
    """For each row the last strictly earlier row whose `key` is this row's `wanted`, or -1.

    All arrays of shape (n,). A negative key or wish matches nothing. Of several rows at one instant the last
    in the table is taken.
    """
    rows = len(key)
    place = np.unique(np.concatenate([key, wanted]), return_inverse=True)[1].astype(np.int64)
    axis = DecisionAxis.of(place, np.concatenate([occurred_ms, occurred_ms]))
    keys = axis.keys_of(place, np.concatenate([occurred_ms, occurred_ms]))
    order = np.argsort(keys[:rows], kind="stable")
    before = np.searchsorted(keys[:rows][order], keys[rows:], side="left") - 1
    found = order[np.maximum(before, 0)]
    matches = (before >= 0) & (place[:rows][found] == place[rows:]) & (wanted >= 0)
    return np.where(matches, found, -1)


def previous_order_of_client(orders: CardOrders) -> NDArray[np.intp]:
    """The order that a client placed before each one, shape (n,); -1 where none is recognised.

    The source names no client. But an order carries the totals that its client had spent before. So the
    previous order is the last earlier one on the same card whose total plus amount is this order's total.
    Totals are compared in hundredths, because they are rounded in the source.
    """
    previous = np.full(len(orders), -1, dtype=np.intp)
    scale = np.int64(1)
    for total in orders.running_totals_mills:
        scale = np.maximum(scale, (total + orders.amount_mills).max() // 10 + 2)
    for total in orders.running_totals_mills:
        after = orders.card * scale + np.rint((total + orders.amount_mills) / 10).astype(np.int64)
        before = orders.card * scale + np.rint(total / 10).astype(np.int64)
        can_match = (total > 0) & (orders.card >= 0)
        found = last_earlier(
            np.where(orders.card >= 0, after, -1), np.where(can_match, before, -1), orders.occurred_ms
        )
        previous = np.where(previous >= 0, previous, found)
    return previous


def clients_of(previous: NDArray[np.intp]) -> Int64Array:
    """A code for each chain of orders: the row of its first order. Shape (n,).

    >>> clients_of(np.array([-1, 0, -1, 1]))
    array([0, 0, 2, 0])
    """
    first = np.where(previous >= 0, previous, np.arange(len(previous)))
    while True:
        further = first[first]
        if np.array_equal(further, first):
            return first.astype(np.int64)
        first = further
