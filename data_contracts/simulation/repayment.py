"""What becomes of each invoice: paid in time, late, in parts, or never; returned, disputed, reminded."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_contracts.instants import DAY_MS, HOUR_MS, MINUTE_MS
from data_contracts.simulation.book_calendar import BookCalendar, Instants
from data_contracts.simulation.fulfilment import Fulfilment
from data_contracts.simulation.merchants_book import Merchants
from data_contracts.simulation.orders_book import Orders, is_service
from data_contracts.simulation.people import People
from data_contracts.simulation.temperament import Temperament
from data_contracts.simulation.unbooked_returns import draw_unbooked_returns

Positions = NDArray[np.int64]
Flags = NDArray[np.bool_]
Numbers = NDArray[np.float64]

BAD_AFTER_DAYS = 60
NEVER = np.int64(2**62)
NO_PAUSE, RETURN, DISPUTE = 0, 1, 2

PAYMENT_METHODS = ("bank_transfer", "card", "direct_debit", "wallet", "collection_agency")
DIRECT_DEBIT, COLLECTION_AGENCY = 2, 4
"""Their places among the methods."""


@dataclass(frozen=True, kw_only=True)
class Repayment:
    """The life of the invoice of each order (as if none were cancelled).

    due: end of the due date as the invoice says it; real_due: moved by the pause.
    pause: NO_PAUSE, RETURN or DISPUTE; pause_start, pause_end: meaningless for NO_PAUSE.
    is_booked: the merchant booked the return. became_dispute_at: when a return that was not booked became a
        dispute, which lasts until pause_end; NEVER for none.
    credit_cents: credit note at the end of the pause.
    paid_at, paid_cents: the last payment, NEVER and 0 for none; part_at, part_cents: a payment before.
    debit_returned_at: when the bank took the last payment back; repaid_at: when that was paid again. NEVER.
    defaulted: not paid in full when the invoice was 60 unpaused days past due.
    """

    due: Instants
    real_due: Instants
    pause: Positions
    pause_start: Instants
    pause_end: Instants
    is_booked: Flags
    became_dispute_at: Instants
    credit_cents: Positions
    chargeback: Flags
    dispute_for_customer: Flags
    part_at: Instants
    part_cents: Positions
    paid_at: Instants
    paid_cents: Positions
    method: Positions
    debit_returned_at: Instants
    repaid_at: Instants
    settled: Instants
    defaulted: Flags

    def take(self, at: NDArray[Any]) -> "Repayment":
        """The invoices at positions, or under a mask."""
        return Repayment(**{field.name: getattr(self, field.name)[at] for field in fields(self)})


def _sigmoid(values: Numbers) -> Numbers:
    result: Numbers = 1.0 / (1.0 + np.exp(-values))
    return result


def _intercept_for_rate(log_odds: Numbers, rate: float) -> float:
    """What to add to the log-odds so that their mean probability is `rate`."""
    low, high = -30.0, 30.0
    for _ in range(60):
        middle = (low + high) / 2
        if _sigmoid(log_odds + middle).mean() < rate:
            low = middle
        else:
            high = middle
    return (low + high) / 2


_DEFAULT_RATE = 0.055
_STRESS_IN_DEFAULT = 2.05
_DISCIPLINE_IN_DEFAULT = 1.2
_NOISE_IN_DEFAULT = 0.3
_FRAUD_PAID = 0.10


def _draw_behaviour(
    random: np.random.Generator,
    calendar: BookCalendar,
    *,
    orders: Orders,
    merchants: Merchants,
    temperament: Temperament,
    due: Instants,
) -> tuple[Flags, Numbers]:
    """Whether each invoice fails to be paid, and else how many days late it is paid (0: in time)."""
    size = len(orders)
    customer, merchant = orders.customer, orders.merchant
    fraud = orders.fraud > 0
    stress = temperament.stress_at(calendar, customer, due)
    discipline = temperament.discipline[customer]
    size_effect = np.log(orders.amount_cents / 10_000)
    log_odds = (
        _STRESS_IN_DEFAULT * stress
        - _DISCIPLINE_IN_DEFAULT * discipline
        + merchants.risk[merchant]
        + 0.18 * size_effect
        + _NOISE_IN_DEFAULT * random.standard_normal(size)
    )
    honest = log_odds[~fraud] if (~fraud).any() else log_odds
    odds = log_odds + (_intercept_for_rate(honest, _DEFAULT_RATE) if size else 0.0)
    fails = random.random(size) < _sigmoid(odds)
    fails = np.where(fraud, random.random(size) >= _FRAUD_PAID, fails)
    late = random.random(size) < _sigmoid(-2.05 + 0.8 * stress - 0.95 * discipline)
    late_days = 1.0 + random.exponential(np.exp(1.75 + 0.22 * stress - 0.2 * discipline), size)
    late_days = np.minimum(late_days, 40.0 + 14.0 * random.random(size))
    return fails, np.where(late, late_days, 0.0)


def draw_repayment(
    random: np.random.Generator,
    calendar: BookCalendar,
    *,
    orders: Orders,
    people: People,
    merchants: Merchants,
    temperament: Temperament,
    fulfilment: Fulfilment,
    invoiced_cents: Positions,
    of_returns: np.random.Generator,
) -> Repayment:
    """Draw what becomes of the invoice of every order.

    invoiced_cents: what each invoice is about, all of the order or a part. of_returns: which returns nobody
    books, a stream of its own.
    """
    size = len(orders)
    customer, merchant = orders.customer, orders.merchant
    country = people.country[customer]
    issued = fulfilment.issued
    due = calendar.end_of_due_date(country, issued, merchants.term_days[merchant])
    fraud = orders.fraud > 0

    fails, late_days = _draw_behaviour(
        random, calendar, orders=orders, merchants=merchants, temperament=temperament, due=due
    )

    # Returns and disputes pause the invoice.
    service = is_service(orders, merchants)
    roll = random.random(size)
    return_rate = np.where(service | fraud, 0.0, merchants.return_rate[merchant])
    dispute_rate = np.where(fraud, 0.0, merchants.dispute_rate[merchant])
    pause = np.select([roll < return_rate, roll < return_rate + dispute_rate], [RETURN, DISPUTE], NO_PAUSE)
    wait = np.where(pause == RETURN, random.uniform(0.5, 10.0, size), random.uniform(1.0, 24.0, size))
    pause_start = fulfilment.delivered + (wait * DAY_MS).astype(np.int64)
    length = np.where(pause == RETURN, random.uniform(3.0, 13.0, size), random.uniform(6.0, 38.0, size))
    unbooked = draw_unbooked_returns(of_returns, is_return=pause == RETURN)
    pause_length = np.where(pause == NO_PAUSE, 0, (length * DAY_MS).astype(np.int64)) + unbooked.waited_ms
    became_dispute_at = np.where(unbooked.disputed, pause_start + pause_length, NEVER)
    pause_length += unbooked.dispute_ms
    pause_end = pause_start + pause_length
    amount = invoiced_cents
    for_customer = ((pause == DISPUTE) & (random.random(size) < 0.45)) | unbooked.for_customer
    whole = random.random(size) < 0.55
    part_kept = (random.uniform(0.2, 0.85, size) * amount).astype(np.int64)
    credit = np.select(
        [for_customer, unbooked.unbooked, (pause == RETURN) & whole, pause == RETURN],
        [amount, np.zeros_like(amount), amount, part_kept],
        0,
    )

    def real(instants: Instants) -> Instants:
        # What would have happened during the pause or after it happens that much later.
        moved = (pause != NO_PAUSE) & (instants >= pause_start)
        return np.where(moved, instants + pause_length, instants)

    eager = random.random(size) < 0.3
    share = np.where(eager, random.beta(1.0, 6.0, size), random.beta(3.2, 1.3, size))
    in_time = issued + 10 * MINUTE_MS + (share * (due - issued - 20 * MINUTE_MS)).astype(np.int64)
    # Who is late pays at some hour of a day, not at a multiple of days.
    too_late = due + (late_days * DAY_MS).astype(np.int64) - random.integers(0, 14 * HOUR_MS, size)
    too_late = np.maximum(too_late, due + HOUR_MS)
    collected = fails & ~fraud & (random.random(size) < 0.3)
    collected_at = due + (random.uniform(75, 330, size) * DAY_MS).astype(np.int64)
    planned = np.select([collected, fails, late_days > 0], [collected_at, NEVER // 2, too_late], in_time)
    paid_at = np.where(planned >= NEVER // 2, NEVER, real(planned))

    credited_before = (pause != NO_PAUSE) & (paid_at >= pause_end)
    owed = amount - np.where(credited_before, credit, 0)
    part_share = random.uniform(0.15, 0.75, size)
    failing_part = fails & ~fraud & (random.random(size) < 0.22)
    paying_part = ~fails & (pause == NO_PAUSE) & (random.random(size) < 0.045)
    part_planned = np.where(
        failing_part,
        due + (random.uniform(-6.0, 45.0, size) * DAY_MS).astype(np.int64),
        issued + 5 * MINUTE_MS + (random.random(size) * (planned - issued - 10 * MINUTE_MS)).astype(np.int64),
    )
    has_part = failing_part | paying_part
    part_cents = np.where(has_part, ((amount - credit) * part_share).astype(np.int64), 0)
    part_at = np.where(part_cents > 0, real(np.where(has_part, part_planned, due)), NEVER)
    paid_cents = np.where(paid_at < NEVER, owed - part_cents, 0)
    method = random.choice(4, size, p=(0.74, 0.06, 0.14, 0.06))
    defaulted = fails & (amount - credit - part_cents > 0)
    # A whole return leaves nothing to pay, whoever the customer is.
    settled = np.where((amount - credit) <= 0, np.minimum(pause_end, paid_at), paid_at)
    return Repayment(
        due=due,
        real_due=real(due),
        pause=pause,
        pause_start=pause_start,
        pause_end=pause_end,
        is_booked=(pause == RETURN) & ~unbooked.unbooked,
        became_dispute_at=became_dispute_at,
        credit_cents=credit,
        chargeback=for_customer & (random.random(size) < 0.5),
        dispute_for_customer=for_customer,
        part_at=part_at,
        part_cents=part_cents,
        paid_at=np.where(paid_cents > 0, paid_at, NEVER),
        paid_cents=np.where(paid_at < NEVER, np.maximum(paid_cents, 0), 0),
        method=np.where(collected, COLLECTION_AGENCY, method),
        debit_returned_at=np.full(size, NEVER),
        repaid_at=np.full(size, NEVER),
        settled=settled,
        defaulted=defaulted,
    )


def orders_in_arrears(
    random: np.random.Generator, *, orders: Orders, repayment: Repayment, called_off: Flags
) -> Flags:
    """Which orders would meet an older overdue invoice of the same customer, which blocks them.

    orders: by customer and time. An order that is blocked or called off leaves no invoice and blocks none;
    a few days of lateness are let pass half of the time, as small amounts are.
    """
    first = np.searchsorted(orders.customer, orders.customer, side="left")
    rank = np.arange(len(orders)) - first
    tolerated = random.random(len(orders)) < 0.5
    blocked = np.zeros(len(orders), dtype=np.bool_)
    by_rank = np.argsort(rank, kind="stable")
    ends = np.cumsum(np.bincount(rank, minlength=1))
    for this_rank in range(1, len(ends)):
        here = by_rank[ends[this_rank - 1] : ends[this_rank]]
        now = orders.occurred[here]
        for back in range(1, this_rank + 1):
            older = here - back
            patience = np.where(tolerated[here], 10 * DAY_MS, 0)
            overdue = (repayment.real_due[older] + patience <= now) & (now < repayment.settled[older])
            blocked[here] |= overdue & ~blocked[older] & ~called_off[older]
    return blocked
