"""What becomes of each invoice: paid in time, late, in parts, or never; returned, disputed, reminded."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_contracts.instants import DAY_MS, HOUR_MS, MINUTE_MS
from data_contracts.simulation.book_calendar import BookCalendar, Instants
from data_contracts.simulation.fraud_rings import TAKEN_OVER
from data_contracts.simulation.fulfilment import CARRIERS, Fulfilment
from data_contracts.simulation.merchants_book import Merchants
from data_contracts.simulation.orders_book import Orders, is_service, order_ids
from data_contracts.simulation.people import People, customer_ids
from data_contracts.simulation.recording_delay import by_bank, within_hours, within_minutes
from data_contracts.simulation.temperament import Temperament
from data_contracts.simulation.text_columns import chosen, joined, numbered, text_where, where_present

Positions = NDArray[np.int64]
Flags = NDArray[np.bool_]
Numbers = NDArray[np.float64]

BAD_AFTER_DAYS = 60
NEVER = np.int64(2**62)
NO_PAUSE, RETURN, DISPUTE = 0, 1, 2

_METHODS = ("bank_transfer", "card", "direct_debit", "wallet", "collection_agency")
_COLLECTION = 4
_REMINDERS = (
    (3, "reminder", 0),
    (17, "reminder", 250),
    (31, "late_fee", 500),
    (45, "collection_notice", 1500),
)


@dataclass(frozen=True, kw_only=True)
class Repayment:
    """The life of the invoice of each order (as if none were cancelled).

    due: end of the due date as the invoice says it; real_due: moved by the pause.
    pause: NO_PAUSE, RETURN or DISPUTE; pause_start, pause_end: meaningless for NO_PAUSE.
    credit_cents: credit note at the end of the pause.
    paid_at, paid_cents: the last payment, NEVER and 0 for none; part_at, part_cents: a payment before.
    defaulted: not paid in full when the invoice was 60 unpaused days past due.
    """

    due: Instants
    real_due: Instants
    pause: Positions
    pause_start: Instants
    pause_end: Instants
    credit_cents: Positions
    chargeback: Flags
    dispute_for_customer: Flags
    part_at: Instants
    part_cents: Positions
    paid_at: Instants
    paid_cents: Positions
    method: Positions
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
    odds = log_odds + _intercept_for_rate(log_odds[~fraud] if (~fraud).any() else log_odds, _DEFAULT_RATE)
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
) -> Repayment:
    """Draw what becomes of the invoice of every order."""
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
    pause_length = np.where(pause == NO_PAUSE, 0, (length * DAY_MS).astype(np.int64))
    pause_end = pause_start + pause_length
    amount = orders.amount_cents
    for_customer = (pause == DISPUTE) & (random.random(size) < 0.45)
    whole = random.random(size) < 0.55
    part_kept = (random.uniform(0.2, 0.85, size) * amount).astype(np.int64)
    credit = np.select(
        [(pause == RETURN) & whole, pause == RETURN, for_customer], [amount, part_kept, amount], 0
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
        credit_cents=credit,
        chargeback=for_customer & (random.random(size) < 0.5),
        dispute_for_customer=for_customer,
        part_at=part_at,
        part_cents=part_cents,
        paid_at=np.where(paid_cents > 0, paid_at, NEVER),
        paid_cents=np.where(paid_at < NEVER, np.maximum(paid_cents, 0), 0),
        method=np.where(collected, _COLLECTION, method),
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


@dataclass(frozen=True, kw_only=True)
class InvoiceRows:
    """Ledger columns of everything that hangs on invoices; `corrects` as positions, -1 for none."""

    invoices: dict[str, Any]
    payments: dict[str, Any]
    payment_corrects: Positions
    adjustments: dict[str, Any]
    charges: dict[str, Any]
    pauses: dict[str, Any]


def _invoice_ids(invoice: Positions) -> Any:
    return numbered("inv-", invoice + 1, width=8)


def _of_invoice(orders: Orders, invoice: Positions, *, with_currency: bool = True) -> dict[str, Any]:
    columns = {
        "invoice_id": _invoice_ids(invoice),
        "customer_id": customer_ids(orders.customer[invoice]),
    }
    if with_currency:
        columns["currency"] = chosen(("EUR",), np.zeros(len(invoice), dtype=np.int64))
    return columns


def invoice_rows(
    random: np.random.Generator,
    *,
    orders: Orders,
    fulfilment: Fulfilment,
    repayment: Repayment,
    fraud_written_off: Instants,
) -> InvoiceRows:
    """The ledger columns of invoices, payments, adjustments, charges and pauses.

    fraud_written_off: when an invoice was cleared because its order was found to be fraud, -1 for never.
    """
    billed = np.flatnonzero(~fulfilment.cancelled)
    issued = fulfilment.issued[billed]
    issued_known = issued + random.integers(1_000, 4 * MINUTE_MS, len(billed))
    known = np.zeros(len(orders), dtype=np.int64)
    known[billed] = issued_known
    invoices = {
        **_of_invoice(orders, billed),
        "order_id": order_ids(billed),
        "amount_cents": orders.amount_cents[billed],
        "due_at": repayment.due[billed],
        "occurred_at": issued,
        "recorded_at": issued_known,
    }
    payments, payment_corrects, overpaid, paid_known = _payment_rows(random, orders, repayment, billed, known)
    return InvoiceRows(
        invoices=invoices,
        payments=payments,
        payment_corrects=payment_corrects,
        adjustments=_adjustment_rows(
            random, orders, repayment, billed, overpaid, fraud_written_off, paid_known
        ),
        charges=_charge_rows(random, orders, repayment, billed, fraud_written_off),
        pauses=_pause_rows(random, orders, repayment, billed),
    )


def _payment_rows(
    random: np.random.Generator, orders: Orders, repayment: Repayment, billed: Positions, known: Instants
) -> tuple[dict[str, Any], Positions, tuple[Positions, Positions, Instants], Instants]:
    parts = billed[repayment.part_at[billed] < NEVER]
    lasts = billed[repayment.paid_at[billed] < NEVER]
    extra = np.zeros(len(orders), dtype=np.int64)
    plain = lasts[(repayment.pause[lasts] == NO_PAUSE) & (random.random(len(lasts)) < 0.006)]
    rounded_up = (orders.amount_cents[plain] // 1000 + 1) * 1000 - orders.amount_cents[plain]
    extra[plain] = np.where(random.random(len(plain)) < 0.3, repayment.paid_cents[plain], rounded_up)
    invoice = np.concatenate([parts, lasts])
    occurred = np.concatenate([repayment.part_at[parts], repayment.paid_at[lasts]])
    amount = np.concatenate([repayment.part_cents[parts], (repayment.paid_cents + extra)[lasts]])
    method = repayment.method[invoice]
    method[: len(parts)] = np.where(method[: len(parts)] == _COLLECTION, 0, method[: len(parts)])
    recorded = by_bank(random, occurred, at_once=(method == 1) | (method == 3))
    recorded = np.maximum(recorded, known[invoice] + 1_000)

    wrong = np.flatnonzero(random.random(len(invoice)) < 0.003)
    booked = amount.copy()
    booked[wrong] = np.where(wrong % 3 == 0, amount[wrong] // 10, amount[wrong] * 9 // 10 + 1)
    corrected_at = recorded[wrong] + random.integers(DAY_MS, 9 * DAY_MS, len(wrong))
    picked = np.concatenate([np.arange(len(invoice)), wrong])
    rows = {
        **_of_invoice(orders, invoice[picked]),
        "amount_cents": np.concatenate([booked, amount[wrong]]),
        "method": chosen(_METHODS, method[picked]),
        "occurred_at": occurred[picked],
        "recorded_at": np.concatenate([recorded, corrected_at]),
    }
    corrects = np.concatenate([np.full(len(invoice), -1), wrong])
    refund_at = repayment.paid_at[plain] + random.integers(5 * DAY_MS, 20 * DAY_MS, len(plain))
    paid_known = np.zeros(len(orders), dtype=np.int64)
    np.maximum.at(paid_known, invoice[picked], rows["recorded_at"])
    return rows, corrects, (plain, extra[plain], refund_at), paid_known


_REASONS = ("return", "dispute", "chargeback", "overpayment", "goodwill", "fraud")


def _adjustment_rows(
    random: np.random.Generator,
    orders: Orders,
    repayment: Repayment,
    billed: Positions,
    overpaid: tuple[Positions, Positions, Instants],
    fraud_written_off: Instants,
    paid_known: Instants,
) -> dict[str, Any]:
    credited = billed[repayment.credit_cents[billed] > 0]
    reason = np.where(repayment.pause[credited] == RETURN, 0, np.where(repayment.chargeback[credited], 2, 1))
    already_paid = repayment.paid_at[credited] < repayment.pause_end[credited]
    refunded, refund_reason = credited[already_paid], reason[already_paid]
    refunded_at = repayment.pause_end[refunded] + random.integers(HOUR_MS, 7 * DAY_MS, len(refunded))
    calm = billed[(repayment.pause[billed] == NO_PAUSE) & (repayment.paid_at[billed] < NEVER)]
    kind_to = calm[(random.random(len(calm)) < 0.003) & (fraud_written_off[calm] < 0)]
    goodwill = np.maximum(orders.amount_cents[kind_to] // 20, 1)
    goodwill_at = repayment.paid_at[kind_to] + random.integers(DAY_MS, 9 * DAY_MS, len(kind_to))
    plain, extra, extra_at = overpaid
    cleared = billed[fraud_written_off[billed] >= 0]
    paid = np.where(repayment.paid_at[cleared] < fraud_written_off[cleared], repayment.paid_cents[cleared], 0)
    still_owed = orders.amount_cents[cleared] - paid
    cleared, still_owed = cleared[still_owed > 0], still_owed[still_owed > 0]
    later = random.integers(HOUR_MS, 5 * DAY_MS, len(kind_to))

    def once_paid(invoice: Positions, planned: Instants) -> Instants:
        # Money goes back when it is seen that it came, and how much it was.
        return np.maximum(planned, paid_known[invoice] + HOUR_MS)

    # invoice, is a refund, reason, amount, occurred
    parts = [
        (credited, 0, reason, repayment.credit_cents[credited], repayment.pause_end[credited]),
        (refunded, 1, refund_reason, repayment.credit_cents[refunded], once_paid(refunded, refunded_at)),
        (kind_to, 0, np.full(len(kind_to), 4), goodwill, goodwill_at),
        (kind_to, 1, np.full(len(kind_to), 4), goodwill, once_paid(kind_to, goodwill_at + later)),
        (plain, 1, np.full(len(plain), 3), extra, once_paid(plain, extra_at)),
        (cleared, 0, np.full(len(cleared), 5), still_owed, fraud_written_off[cleared]),
    ]
    invoice = np.concatenate([part[0] for part in parts])
    is_refund = np.concatenate([np.full(len(part[0]), part[1]) for part in parts])
    occurred = np.concatenate([part[4] for part in parts])
    return {
        **_of_invoice(orders, invoice),
        "kind": chosen(("credit_note", "refund"), is_refund),
        "reason": chosen(_REASONS, np.concatenate([part[2] for part in parts])),
        "amount_cents": np.concatenate([part[3] for part in parts]),
        "occurred_at": occurred,
        "recorded_at": within_hours(random, occurred),
    }


def _charge_rows(
    random: np.random.Generator,
    orders: Orders,
    repayment: Repayment,
    billed: Positions,
    fraud_written_off: Instants,
) -> dict[str, Any]:
    invoices, levels, instants = [], [], []
    ends = np.where(fraud_written_off >= 0, np.minimum(fraud_written_off, NEVER), repayment.settled)
    ends = np.minimum(ends, repayment.settled)
    for level, (days, _, _) in enumerate(_REMINDERS):
        planned = repayment.due[billed] + days * DAY_MS + 9 * HOUR_MS
        paused = (repayment.pause[billed] != NO_PAUSE) & (planned >= repayment.pause_start[billed])
        sent = planned + np.where(paused, (repayment.pause_end - repayment.pause_start)[billed], 0)
        # A payment is known some days after it was made, so that a reminder can cross it.
        due = sent < ends[billed] + DAY_MS // 2
        invoices.append(billed[due])
        levels.append(np.full(int(due.sum()), level))
        instants.append(sent[due])
    invoice, level_of_row = np.concatenate(invoices), np.concatenate(levels)
    occurred = np.concatenate(instants) + random.integers(0, HOUR_MS, len(invoice))
    return {
        **_of_invoice(orders, invoice),
        "kind": chosen([kind for _, kind, _ in _REMINDERS], level_of_row),
        "level": level_of_row + 1,
        "amount_cents": np.array([fee for _, _, fee in _REMINDERS])[level_of_row],
        "occurred_at": occurred,
        "recorded_at": within_minutes(random, occurred),
    }


def _pause_rows(
    random: np.random.Generator, orders: Orders, repayment: Repayment, billed: Positions
) -> dict[str, Any]:
    paused = billed[repayment.pause[billed] != NO_PAUSE]
    invoice = np.concatenate([paused, paused])
    start, end = repayment.pause_start[paused], repayment.pause_end[paused]
    recorded = within_hours(random, start)
    ended_known = np.maximum(within_hours(random, end), recorded + 1_000)
    is_return = repayment.pause[invoice] == RETURN
    carrier = random.integers(0, len(CARRIERS), len(paused))
    return {
        **_of_invoice(orders, invoice, with_currency=False),
        "pause_id": numbered("pau-", invoice + 1, width=8),
        "reason": chosen(("return", "dispute"), np.where(is_return, 0, 1)),
        "started_at": np.concatenate([start, start]),
        "ended_at": where_present(np.concatenate([np.full(len(paused), -1), end])),
        "carrier": text_where(is_return, chosen(CARRIERS, np.concatenate([carrier, carrier]))),
        "tracking_number": text_where(is_return, joined("RET", numbered("", invoice + 1, width=10))),
        "occurred_at": np.concatenate([start, end]),
        "recorded_at": np.concatenate([recorded, ended_known]),
    }


STOPPED, MISUSE_UPHELD, FRAUD_CHARGEBACK, NEVER_FOUND = 0, 1, 2, 3


@dataclass(frozen=True, kw_only=True)
class FraudFindings:
    """How the fraud of each order came to light; meaningless for honest orders.

    finding: STOPPED, MISUSE_UPHELD, FRAUD_CHARGEBACK or NEVER_FOUND.
    stopped_early: the merchant stopped the order before it was shipped.
    found: when it was decided.
    """

    finding: Positions
    stopped_early: Flags
    found: Instants

    def take(self, at: NDArray[Any]) -> "FraudFindings":
        """The orders at positions, or under a mask."""
        return FraudFindings(**{field.name: getattr(self, field.name)[at] for field in fields(self)})


def draw_findings(random: np.random.Generator, *, orders: Orders) -> FraudFindings:
    """Draw how and when the fraud is found, weeks after the order for most."""
    size = len(orders)
    taken_over = orders.fraud == TAKEN_OVER
    roll = random.random(size)
    finding = np.digitize(roll, (0.33, 0.70, 0.86))
    finding = np.where(taken_over & (roll > 0.9), MISUSE_UPHELD, finding)
    weeks = np.where(finding == STOPPED, random.gamma(1.5, 0.7, size), 3.0 + random.gamma(2.5, 2.2, size))
    return FraudFindings(
        finding=finding,
        stopped_early=(finding == STOPPED) & (random.random(size) < 0.55),
        found=orders.occurred + 3 * DAY_MS + (weeks * 7 * DAY_MS).astype(np.int64),
    )


_OUTCOMES = (
    "stop_request_upheld", "identity_misuse_upheld", "fraud_chargeback", "dispute_decided_for_customer",
    "dispute_decided_for_merchant", "review_released", "stop_request_rejected", "identity_misuse_rejected",
)  # fmt: skip


def order_outcome_rows(
    random: np.random.Generator,
    *,
    orders: Orders,
    fulfilment: Fulfilment,
    repayment: Repayment,
    findings: FraudFindings,
) -> dict[str, Any]:
    """The ledger columns of `order_outcomes`."""
    fraud = orders.fraud > 0
    found = np.flatnonzero(fraud & (findings.finding != NEVER_FOUND))
    disputed = np.flatnonzero((repayment.pause == DISPUTE) & ~fulfilment.cancelled)
    suspected = np.flatnonzero(~fraud & (random.random(len(orders)) < 0.012))
    cleared_kind = 5 + random.choice(3, len(suspected), p=(0.7, 0.18, 0.12))
    order = np.concatenate([found, disputed, suspected])
    kind = np.concatenate(
        [findings.finding[found], np.where(repayment.dispute_for_customer[disputed], 3, 4), cleared_kind]
    )
    occurred = np.concatenate(
        [
            findings.found[found],
            repayment.pause_end[disputed],
            orders.occurred[suspected] + random.integers(6 * HOUR_MS, 25 * DAY_MS, len(suspected)),
        ]
    )
    return {
        "order_id": order_ids(order),
        "customer_id": customer_ids(orders.customer[order]),
        "kind": chosen(_OUTCOMES, kind),
        "occurred_at": occurred,
        "recorded_at": within_hours(random, occurred),
    }
