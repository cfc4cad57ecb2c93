"""The ledger rows of invoices, and of all that hangs on them."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from data_contracts.instants import DAY_MS, HOUR_MS, MINUTE_MS
from data_contracts.invoice_adjustments import REASON_RETURNED_DEBIT
from data_contracts.simulation.book_calendar import Instants
from data_contracts.simulation.fulfilment import CARRIERS, Fulfilment
from data_contracts.simulation.orders_book import Orders, order_ids
from data_contracts.simulation.people import customer_ids
from data_contracts.simulation.recording_delay import by_bank, within_hours, within_minutes
from data_contracts.simulation.repayment import (
    COLLECTION_AGENCY,
    NEVER,
    NO_PAUSE,
    PAYMENT_METHODS,
    RETURN,
    Positions,
    Repayment,
)
from data_contracts.simulation.text_columns import (
    chosen,
    joined,
    numbered,
    stacked,
    text_where,
    where_present,
)

_REMINDERS = (
    (3, "reminder", 0),
    (17, "reminder", 250),
    (31, "late_fee", 500),
    (45, "collection_notice", 1500),
)


@dataclass(frozen=True, kw_only=True)
class BilledOrders:
    """Orders, or the rest of some, as invoices bill them; one position each.

    orders: with what is billed as their amount. order: the position of each among all orders. invoice: the
    number of its invoice.
    """

    orders: Orders
    order: Positions
    invoice: Positions


@dataclass(frozen=True, kw_only=True)
class InvoiceRows:
    """Ledger columns of everything that hangs on invoices; `corrects` as positions, -1 for none."""

    invoices: dict[str, Any]
    payments: dict[str, Any]
    payment_corrects: Positions
    adjustments: dict[str, Any]
    charges: dict[str, Any]
    pauses: dict[str, Any]

    def and_below(self, other: "InvoiceRows") -> "InvoiceRows":
        """These rows, and those of other invoices below them."""
        moved = np.where(other.payment_corrects >= 0, other.payment_corrects + len(self.payment_corrects), -1)
        return InvoiceRows(
            invoices=stacked([self.invoices, other.invoices]),
            payments=stacked([self.payments, other.payments]),
            payment_corrects=np.concatenate([self.payment_corrects, moved]),
            adjustments=stacked([self.adjustments, other.adjustments]),
            charges=stacked([self.charges, other.charges]),
            pauses=stacked([self.pauses, other.pauses]),
        )


def _of_invoice(billed: BilledOrders, at: Positions, *, with_currency: bool = True) -> dict[str, Any]:
    columns = {
        "invoice_id": numbered("inv-", billed.invoice[at] + 1, width=8),
        "customer_id": customer_ids(billed.orders.customer[at]),
    }
    if with_currency:
        columns["currency"] = chosen(("EUR",), np.zeros(len(at), dtype=np.int64))
    return columns


def invoice_rows(
    random: np.random.Generator,
    of_returns: np.random.Generator,
    *,
    bills: BilledOrders,
    fulfilment: Fulfilment,
    repayment: Repayment,
    fraud_written_off: Instants,
) -> InvoiceRows:
    """The ledger columns of invoices, payments, adjustments, charges and pauses.

    fraud_written_off: when an invoice was cleared because its order was found to be fraud, -1 for never.
    of_returns: of debits and goods that come back, a stream of its own.
    """
    orders = bills.orders
    billed = np.flatnonzero(~fulfilment.cancelled)
    issued = fulfilment.issued[billed]
    issued_known = issued + random.integers(1_000, 4 * MINUTE_MS, len(billed))
    known = np.zeros(len(orders), dtype=np.int64)
    known[billed] = issued_known
    invoices = {
        **_of_invoice(bills, billed),
        "order_id": order_ids(bills.order[billed]),
        "amount_cents": orders.amount_cents[billed],
        "due_at": repayment.due[billed],
        "occurred_at": issued,
        "recorded_at": issued_known,
    }
    payments, payment_corrects, overpaid, paid_known = _payment_rows(random, bills, repayment, billed, known)
    adjustments = _adjustment_rows(random, bills, repayment, billed, overpaid, fraud_written_off, paid_known)
    charges = _charge_rows(random, bills, repayment, billed, fraud_written_off)
    pauses = _pause_rows(random, bills, repayment, billed)
    returned, again = _returned_debit_rows(of_returns, bills, repayment, billed, paid_known)
    return InvoiceRows(
        invoices=invoices,
        payments=stacked([payments, again]),
        payment_corrects=np.concatenate([payment_corrects, np.full(len(again["recorded_at"]), -1)]),
        adjustments=stacked([adjustments, returned]),
        charges=charges,
        pauses=stacked([pauses, _later_dispute_rows(of_returns, bills, repayment, billed)]),
    )


def _payment_rows(
    random: np.random.Generator,
    bills: BilledOrders,
    repayment: Repayment,
    billed: Positions,
    known: Instants,
) -> tuple[dict[str, Any], Positions, tuple[Positions, Positions, Instants], Instants]:
    orders = bills.orders
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
    method[: len(parts)] = np.where(method[: len(parts)] == COLLECTION_AGENCY, 0, method[: len(parts)])
    recorded = by_bank(random, occurred, at_once=(method == 1) | (method == 3))
    recorded = np.maximum(recorded, known[invoice] + 1_000)

    wrong = np.flatnonzero(random.random(len(invoice)) < 0.003)
    booked = amount.copy()
    booked[wrong] = np.where(wrong % 3 == 0, amount[wrong] // 10, amount[wrong] * 9 // 10 + 1)
    corrected_at = recorded[wrong] + random.integers(DAY_MS, 9 * DAY_MS, len(wrong))
    picked = np.concatenate([np.arange(len(invoice)), wrong])
    rows = {
        **_of_invoice(bills, invoice[picked]),
        "amount_cents": np.concatenate([booked, amount[wrong]]),
        "method": chosen(PAYMENT_METHODS, method[picked]),
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
    bills: BilledOrders,
    repayment: Repayment,
    billed: Positions,
    overpaid: tuple[Positions, Positions, Instants],
    fraud_written_off: Instants,
    paid_known: Instants,
) -> dict[str, Any]:
    orders = bills.orders
    credited = billed[repayment.credit_cents[billed] > 0]
    disputed = np.where(repayment.chargeback[credited], 2, 1)
    reason = np.where(repayment.is_booked[credited], 0, disputed)
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
        **_of_invoice(bills, invoice),
        "kind": chosen(("credit_note", "refund"), is_refund),
        "reason": chosen(_REASONS, np.concatenate([part[2] for part in parts])),
        "amount_cents": np.concatenate([part[3] for part in parts]),
        "occurred_at": occurred,
        "recorded_at": within_hours(random, occurred),
    }


def _charge_rows(
    random: np.random.Generator,
    bills: BilledOrders,
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
        # Between a debit and its return nothing is owed.
        came_back = repayment.debit_returned_at[billed]
        due &= (came_back == NEVER) | (sent < repayment.paid_at[billed] + DAY_MS // 2) | (sent > came_back)
        invoices.append(billed[due])
        levels.append(np.full(int(due.sum()), level))
        instants.append(sent[due])
    invoice, level_of_row = np.concatenate(invoices), np.concatenate(levels)
    occurred = np.concatenate(instants) + random.integers(0, HOUR_MS, len(invoice))
    return {
        **_of_invoice(bills, invoice),
        "kind": chosen([kind for _, kind, _ in _REMINDERS], level_of_row),
        "level": level_of_row + 1,
        "amount_cents": np.array([fee for _, _, fee in _REMINDERS])[level_of_row],
        "occurred_at": occurred,
        "recorded_at": within_minutes(random, occurred),
    }


def _pause_rows(
    random: np.random.Generator, bills: BilledOrders, repayment: Repayment, billed: Positions
) -> dict[str, Any]:
    paused = billed[repayment.pause[billed] != NO_PAUSE]
    invoice = np.concatenate([paused, paused])
    start = repayment.pause_start[paused]
    end = np.minimum(repayment.pause_end, repayment.became_dispute_at)[paused]
    recorded = within_hours(random, start)
    ended_known = np.maximum(within_hours(random, end), recorded + 1_000)
    is_return = repayment.pause[invoice] == RETURN
    carrier = random.integers(0, len(CARRIERS), len(paused))
    return {
        **_of_invoice(bills, invoice, with_currency=False),
        "pause_id": numbered("pau-", bills.invoice[invoice] + 1, width=8),
        "reason": chosen(("return", "dispute"), np.where(is_return, 0, 1)),
        "started_at": np.concatenate([start, start]),
        "ended_at": where_present(np.concatenate([np.full(len(paused), -1), end])),
        "carrier": text_where(is_return, chosen(CARRIERS, np.concatenate([carrier, carrier]))),
        "tracking_number": text_where(
            is_return, joined("RET", numbered("", bills.invoice[invoice] + 1, width=10))
        ),
        "occurred_at": np.concatenate([start, end]),
        "recorded_at": np.concatenate([recorded, ended_known]),
    }


def _later_dispute_rows(
    random: np.random.Generator, bills: BilledOrders, repayment: Repayment, billed: Positions
) -> dict[str, Any]:
    """The pauses of disputes over returns that nobody booked: each begins when the return's ends."""
    disputed = billed[repayment.became_dispute_at[billed] < NEVER]
    start, end = repayment.became_dispute_at[disputed], repayment.pause_end[disputed]
    recorded = within_minutes(random, start)
    ended_known = np.maximum(within_hours(random, end), recorded + 1_000)
    invoice = np.concatenate([disputed, disputed])
    return {
        **_of_invoice(bills, invoice, with_currency=False),
        "pause_id": joined(numbered("pau-", bills.invoice[invoice] + 1, width=8), "-dispute"),
        "reason": chosen(("dispute",), np.zeros(len(invoice), dtype=np.int64)),
        "started_at": np.concatenate([start, start]),
        "ended_at": where_present(np.concatenate([np.full(len(disputed), -1), end])),
        "occurred_at": np.concatenate([start, end]),
        "recorded_at": np.concatenate([recorded, ended_known]),
    }


def _returned_debit_rows(
    random: np.random.Generator,
    bills: BilledOrders,
    repayment: Repayment,
    billed: Positions,
    paid_known: Instants,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The adjustments of debits that came back, and the payments that followed them."""
    returned = billed[repayment.debit_returned_at[billed] < NEVER]
    returned_at = np.maximum(repayment.debit_returned_at[returned], paid_known[returned] + HOUR_MS)
    known_at = within_hours(random, returned_at)
    is_paid = repayment.repaid_at[returned] < NEVER
    again = returned[is_paid]
    again_at = np.maximum(repayment.repaid_at[again], known_at[is_paid] + HOUR_MS)
    count = len(returned)
    adjustments = {
        **_of_invoice(bills, returned),
        "kind": chosen(("refund",), np.zeros(count, dtype=np.int64)),
        "reason": chosen((REASON_RETURNED_DEBIT,), np.zeros(count, dtype=np.int64)),
        "amount_cents": repayment.paid_cents[returned],
        "occurred_at": returned_at,
        "recorded_at": known_at,
    }
    payments = {
        **_of_invoice(bills, again),
        "amount_cents": repayment.paid_cents[again],
        "method": chosen(PAYMENT_METHODS, np.zeros(len(again), dtype=np.int64)),
        "occurred_at": again_at,
        "recorded_at": by_bank(random, again_at, at_once=np.zeros(len(again), dtype=np.bool_)),
    }
    return adjustments, payments
