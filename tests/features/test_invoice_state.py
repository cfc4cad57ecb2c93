"""One invoice's life, told in cases that can be checked by hand."""

import pytest

from features.feature_sets import INVOICE_ELIGIBILITY
from features.online import features_at, invoice_states
from tests.builders import DAY, a_pause, a_payment, an_adjustment, an_invoice, ms
from tests.histories import CREDIT_CONTRACT_NAMES, History

ISSUED = ms("2025-03-01")
DUE = ISSUED + 14 * DAY


def history(**rows: list[dict[str, object]]) -> History:
    return {name: rows.get(name, []) for name in CREDIT_CONTRACT_NAMES}


def feature(name: str, rows: History, as_of: int) -> float:
    values = features_at(rows, as_of, INVOICE_ELIGIBILITY)
    return values[INVOICE_ELIGIBILITY.names.index(name)]


def test_a_payment_booked_after_the_decision_is_not_seen() -> None:
    rows = history(
        invoices=[an_invoice(at=ISSUED)],
        invoice_payments=[a_payment(at=DUE - DAY, recorded_at=DUE + 3 * DAY)],
    )
    assert feature("overdue_cents_last", rows, DUE + 2 * DAY) == 10_000
    assert feature("overdue_cents_last", rows, DUE + 3 * DAY) == 10_000
    assert feature("overdue_cents_last", rows, DUE + 3 * DAY + 1) == 0
    assert feature("late_payment_count_90d", rows, DUE + 3 * DAY + 1) == 0


def test_an_invoice_paid_at_the_very_due_instant_is_on_time_and_a_millisecond_later_is_late() -> None:
    on_time = history(invoices=[an_invoice(at=ISSUED)], invoice_payments=[a_payment(at=DUE)])
    late = history(invoices=[an_invoice(at=ISSUED)], invoice_payments=[a_payment(at=DUE + 1)])
    assert feature("late_payment_count_90d", on_time, DUE + DAY) == 0
    assert feature("late_payment_count_90d", late, DUE + DAY) == 1


def test_paused_days_are_not_late_days() -> None:
    rows = history(
        invoices=[an_invoice(at=ISSUED)],
        invoice_pauses=[
            a_pause(started_at=DUE - 4 * DAY),
            a_pause(started_at=DUE - 4 * DAY, ended_at=DUE + 6 * DAY),
        ],
    )
    assert feature("overdue_invoice_count_last", rows, DUE + 5 * DAY) == 0
    assert feature("overdue_invoice_count_last", rows, DUE + 10 * DAY) == 0
    assert feature("overdue_days_sum_last", rows, DUE + 12 * DAY) == 2.0


def test_lateness_stands_still_while_a_dispute_pauses_an_overdue_invoice() -> None:
    rows = history(invoices=[an_invoice(at=ISSUED)], invoice_pauses=[a_pause(started_at=DUE + 5 * DAY)])
    assert feature("late_payment_days_sum_90d", rows, DUE + 30 * DAY) == 5.0
    assert feature("overdue_invoice_count_last", rows, DUE + 30 * DAY) == 0
    state = invoice_states(rows, DUE + 30 * DAY)["i1"]
    assert state.paused
    assert state.is_overdue(DUE + 30 * DAY)


def test_a_correction_is_seen_only_from_when_it_was_recorded() -> None:
    wrong = a_payment(at=DUE - DAY, amount_cents=1_000, event_id="wrong")
    right = {**wrong, "event_id": "right", "corrects": "wrong", "amount_cents": 10_000}
    right["recorded_at"] = DUE + 8 * DAY
    rows = history(invoices=[an_invoice(at=ISSUED)], invoice_payments=[wrong, right])
    assert feature("outstanding_cents_last", rows, DUE + 8 * DAY) == 9_000
    assert feature("outstanding_cents_last", rows, DUE + 8 * DAY + 1) == 0


def test_a_returned_order_is_neither_owed_nor_counted_as_paid_on_time() -> None:
    rows = history(invoices=[an_invoice(at=ISSUED)], invoice_adjustments=[an_adjustment(at=ISSUED + DAY)])
    assert feature("outstanding_cents_last", rows, DUE + DAY) == 0
    assert feature("on_time_payment_count_730d", rows, DUE + DAY) == 0


@pytest.mark.parametrize(("days", "counted"), [(0, 0), (1, 1), (90, 1), (91, 0)])
def test_a_late_invoice_counts_from_its_due_date_until_the_window_has_passed(days: int, counted: int) -> None:
    rows = history(invoices=[an_invoice(at=ISSUED)])
    assert feature("late_payment_count_90d", rows, DUE + days * DAY) == counted


def test_an_overpaid_and_refunded_invoice_is_settled() -> None:
    rows = history(
        invoices=[an_invoice(at=ISSUED)],
        invoice_payments=[a_payment(at=DUE - DAY, amount_cents=12_000)],
        invoice_adjustments=[an_adjustment(at=DUE, kind="refund", amount_cents=2_000)],
    )
    state = invoice_states(rows, DUE + DAY)["i1"]
    assert (state.outstanding_cents, state.paid_at) == (0, DUE - DAY)
