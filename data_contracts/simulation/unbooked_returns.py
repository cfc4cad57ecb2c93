"""Returns that the merchant never books: the pause ends and the invoice stands, or it becomes a dispute."""

from dataclasses import dataclass

import numpy as np

from data_contracts.instants import DAY_MS
from data_contracts.simulation.book_calendar import Instants
from data_contracts.simulation.fulfilment import Flags

_UNBOOKED_RATE = 0.055
_DISPUTED = 0.55
_FOR_CUSTOMER = 0.6


@dataclass(frozen=True, kw_only=True)
class UnbookedReturns:
    """What becomes of each return.

    unbooked: never booked. disputed: of those, the ones that become a dispute, decided for the customer where
    `for_customer`. waited_ms: how much longer the return is waited for; dispute_ms: how long the dispute
    lasts, 0 for none.
    """

    unbooked: Flags
    disputed: Flags
    for_customer: Flags
    waited_ms: Instants
    dispute_ms: Instants


def draw_unbooked_returns(random: np.random.Generator, *, is_return: Flags) -> UnbookedReturns:
    """Draw which of the returns are never booked."""
    size = len(is_return)
    unbooked = is_return & (random.random(size) < _UNBOOKED_RATE)
    disputed = unbooked & (random.random(size) < _DISPUTED)
    waited = (random.uniform(8.0, 18.0, size) * DAY_MS).astype(np.int64)
    lasts = (random.uniform(6.0, 34.0, size) * DAY_MS).astype(np.int64)
    return UnbookedReturns(
        unbooked=unbooked,
        disputed=disputed,
        for_customer=disputed & (random.random(size) < _FOR_CUSTOMER),
        waited_ms=np.where(unbooked, waited, 0),
        dispute_ms=np.where(disputed, lasts, 0),
    )
