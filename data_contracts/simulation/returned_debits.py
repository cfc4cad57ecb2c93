"""Debits that the bank takes back: the invoice is unpaid again, and most are paid a second time."""

import dataclasses

import numpy as np

from data_contracts.instants import DAY_MS
from data_contracts.simulation.orders_book import Orders
from data_contracts.simulation.repayment import (
    BAD_AFTER_DAYS,
    DIRECT_DEBIT,
    NEVER,
    NO_PAUSE,
    Repayment,
)

_RETURNED_RATE = 0.012
_PAID_AGAIN = 0.85


def with_returned_debits(random: np.random.Generator, *, orders: Orders, repayment: Repayment) -> Repayment:
    """The repayment where some of the debits were returned.

    Only of invoices that one debit paid and nothing paused, so that what is owed anew is that debit.
    """
    size = len(orders)
    plain = (repayment.pause == NO_PAUSE) & (repayment.part_at == NEVER) & (repayment.paid_at < NEVER)
    hit = plain & (repayment.method == DIRECT_DEBIT) & (orders.fraud == 0)
    hit &= random.random(size) < _RETURNED_RATE
    returned_at = repayment.paid_at + (random.uniform(1.5, 12.0, size) * DAY_MS).astype(np.int64)
    paid_again = random.random(size) < _PAID_AGAIN
    wait = ((1.0 + random.exponential(7.0, size)) * DAY_MS).astype(np.int64)
    repaid_at = np.where(paid_again, returned_at + np.minimum(wait, 45 * DAY_MS), NEVER)
    settled = np.where(hit, repaid_at, repayment.settled)
    return dataclasses.replace(
        repayment,
        debit_returned_at=np.where(hit, returned_at, NEVER),
        repaid_at=np.where(hit, repaid_at, NEVER),
        settled=settled,
        defaulted=repayment.defaulted | (hit & (settled > repayment.real_due + BAD_AFTER_DAYS * DAY_MS)),
    )
