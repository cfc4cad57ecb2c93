"""One invoice's life, told in cases that can be checked by hand."""

import pytest

from features.feature_sets import INVOICE_ELIGIBILITY
from features.invoice_state import InvoiceState
from features.online import features_at, invoice_states
from features.settlement_terms import SettlementTerms
from tests.builders import DAY, Row, a_pause, a_payment, an_adjustment, an_invoice, ms
from tests.histories import CREDIT_CONTRACT_NAMES, HOUR, History

ISSUED = ms("2025-03-01")
DUE = ISSUED + 14 * DAY
LATE = DUE + 3 * DAY
"""When the grace of an invoice due at DUE is over."""
TERMS = SettlementTerms(materiality_cents=500, grace_days=3)


def history(**rows: list[Row]) -> History:
    return {name: rows.get(name, []) for name in CREDIT_CONTRACT_NAMES}


def feature(name: str, rows: History, as_of: int) -> float:
    values = features_at(rows, as_of, INVOICE_ELIGIBILITY)
    return values[INVOICE_ELIGIBILITY.names.index(name)]


def state_of(rows: History, as_of: int) -> InvoiceState:
    return invoice_states(rows, as_of, TERMS)["i1"]


def paid(*payments: Row, **more: list[Row]) -> History:
    return history(invoices=[an_invoice(at=ISSUED)], invoice_payments=list(payments), **more)


def test_a_payment_booked_after_the_decision_is_not_seen() -> None:
    rows = paid(a_payment(at=DUE - DAY, recorded_at=LATE + 2 * DAY))
    assert feature("overdue_cents_last", rows, LATE) == 0
    assert feature("overdue_cents_last", rows, LATE + 1) == 10_000
    assert feature("overdue_cents_last", rows, LATE + 2 * DAY) == 10_000
    assert feature("overdue_cents_last", rows, LATE + 2 * DAY + 1) == 0
    assert feature("late_payment_days_sum_90d", rows, LATE + 2 * DAY + 1) == 0


@pytest.mark.parametrize("after_due", [-5 * DAY, 0, 10 * HOUR, 3 * DAY])
def test_a_payment_by_the_due_date_or_within_the_grace_is_the_same(after_due: int) -> None:
    as_of = DUE + 30 * DAY
    punctual = features_at(paid(a_payment(at=DUE)), as_of, INVOICE_ELIGIBILITY)
    assert features_at(paid(a_payment(at=DUE + after_due)), as_of, INVOICE_ELIGIBILITY) == punctual


def test_beyond_the_grace_lateness_begins_with_nothing_and_grows_with_the_days() -> None:
    as_of = DUE + 60 * DAY
    days = [
        feature("late_payment_days_sum_90d", paid(a_payment(at=DUE + late)), as_of)
        for late in (3 * DAY, 3 * DAY + 12 * HOUR, 4 * DAY, 9 * DAY, 40 * DAY)
    ]
    assert days == [0, 0.5, 1, 6, 37]
    on_time = [
        feature("on_time_payment_count_730d", paid(a_payment(at=at)), as_of) for at in (LATE, LATE + 1)
    ]
    assert on_time == [1, 0]


@pytest.mark.parametrize("short_cents", [0, 3, 350, 500])
def test_an_invoice_that_is_short_by_what_is_immaterial_is_paid_from_the_payment_on(short_cents: int) -> None:
    rows = paid(a_payment(at=DUE - DAY, amount_cents=10_000 - short_cents))
    state = state_of(rows, DUE + 90 * DAY)
    assert (state.paid_at, state.owed_cents, state.outstanding_cents) == (DUE - DAY, 0, short_cents)
    assert not state.is_overdue(DUE + 90 * DAY)
    as_of = DUE + 30 * DAY
    for name, value in zip(
        INVOICE_ELIGIBILITY.names,
        features_at(paid(a_payment(at=DUE - DAY)), as_of, INVOICE_ELIGIBILITY),
        strict=True,
    ):
        # Only where cents are added up does one that is missing count, as a cent.
        if name.startswith("on_time_payment_ratio"):
            assert feature(name, rows, as_of) == pytest.approx(value - short_cents / 20_000)
        elif name.startswith("on_time_cents_sum") and value:
            assert feature(name, rows, as_of) == value - short_cents
        else:
            assert feature(name, rows, as_of) == value


def test_a_cent_more_than_what_is_immaterial_is_owed() -> None:
    rows = paid(a_payment(at=DUE - DAY, amount_cents=9_499))
    state = state_of(rows, LATE + 1)
    assert (state.paid_at, state.owed_cents) == (None, 501)
    assert state.is_overdue(LATE + 1)
    assert not state.is_overdue(LATE)


def test_of_two_part_payments_the_one_that_leaves_what_is_immaterial_pays() -> None:
    rows = paid(
        a_payment(at=DUE - DAY, amount_cents=5_000),
        a_payment(at=DUE + DAY, amount_cents=4_800),
        a_payment(at=DUE + 20 * DAY, amount_cents=200),
    )
    assert state_of(rows, DUE + 30 * DAY).paid_at == DUE + DAY


@pytest.mark.parametrize("cents", [0, 1, 399, 400])
def test_an_invoice_too_small_to_be_owed_is_as_good_late_as_unpaid(cents: int) -> None:
    invoice = an_invoice(at=ISSUED, amount_cents=400)
    rows = history(invoices=[invoice], invoice_payments=[a_payment(at=DUE + 50 * DAY, amount_cents=cents)])
    as_of = DUE + 80 * DAY
    assert features_at(rows, as_of, INVOICE_ELIGIBILITY) == features_at(history(), as_of, INVOICE_ELIGIBILITY)
    assert state_of(rows, as_of).outstanding_cents == 400 - cents


def test_what_was_received_counts_and_not_what_was_invoiced() -> None:
    def of(amount_cents: int, paid_cents: int) -> History:
        return history(
            invoices=[an_invoice(f"i{n}", at=ISSUED, amount_cents=amount_cents) for n in range(5)],
            invoice_payments=[a_payment(f"i{n}", at=DUE, amount_cents=paid_cents) for n in range(5)],
        )

    assert feature("on_time_cents_sum_185d", of(2_500, 2_500), LATE + DAY) == 12_500
    assert feature("on_time_cents_sum_185d", of(3_000, 2_500), LATE + DAY) == 12_500
    assert feature("on_time_payment_ratio_180d", of(2_500, 2_500), LATE + DAY) == 17_500 / 22_500
    assert feature("on_time_payment_ratio_180d", of(3_000, 2_500), LATE + DAY) == 17_500 / 25_000
    assert features_at(of(1_000, 500), LATE + DAY, INVOICE_ELIGIBILITY) == features_at(
        history(), LATE + DAY, INVOICE_ELIGIBILITY
    )


def test_other_terms_count_otherwise() -> None:
    strict = SettlementTerms(materiality_cents=0, grace_days=0)
    rows = paid(a_payment(at=DUE + HOUR, amount_cents=9_997))
    state = invoice_states(rows, DUE + DAY, strict)["i1"]
    assert state.is_overdue(DUE + DAY)
    assert INVOICE_ELIGIBILITY.under(strict).version_under_terms != INVOICE_ELIGIBILITY.version
    assert INVOICE_ELIGIBILITY.under(TERMS) is INVOICE_ELIGIBILITY


def test_paused_days_are_not_late_days() -> None:
    rows = paid(
        invoice_pauses=[
            a_pause(started_at=DUE - 4 * DAY),
            a_pause(started_at=DUE - 4 * DAY, ended_at=DUE + 6 * DAY),
        ],
    )
    assert feature("overdue_invoice_count_last", rows, DUE + 5 * DAY) == 0
    assert feature("overdue_invoice_count_last", rows, DUE + 13 * DAY) == 0
    assert feature("overdue_days_sum_last", rows, DUE + 15 * DAY) == 2.0


def test_lateness_stands_still_while_a_dispute_pauses_an_overdue_invoice() -> None:
    rows = paid(invoice_pauses=[a_pause(started_at=DUE + 5 * DAY)])
    assert feature("late_payment_days_sum_90d", rows, DUE + 30 * DAY) == 2.0
    assert feature("overdue_invoice_count_last", rows, DUE + 30 * DAY) == 0
    state = state_of(rows, DUE + 30 * DAY)
    assert state.paused
    assert state.is_overdue(DUE + 30 * DAY)


def test_a_correction_is_seen_only_from_when_it_was_recorded() -> None:
    wrong = a_payment(at=DUE - DAY, amount_cents=1_000, event_id="wrong")
    right = {**wrong, "event_id": "right", "corrects": "wrong", "amount_cents": 10_000}
    right["recorded_at"] = DUE + 8 * DAY
    rows = paid(wrong, right)
    assert feature("outstanding_cents_last", rows, DUE + 8 * DAY) == 9_000
    assert feature("outstanding_cents_last", rows, DUE + 8 * DAY + 1) == 0


def test_a_returned_order_is_neither_owed_nor_counted_as_paid_on_time() -> None:
    rows = paid(invoice_adjustments=[an_adjustment(at=ISSUED + DAY)])
    assert feature("outstanding_cents_last", rows, DUE + DAY) == 0
    assert feature("on_time_payment_count_730d", rows, LATE + DAY) == 0


@pytest.mark.parametrize(("days", "counted"), [(7, 0), (8, 1), (180, 1), (181, 0)])
def test_a_late_invoice_counts_until_its_due_date_leaves_the_window(days: int, counted: int) -> None:
    rows = paid(a_payment(at=DUE + 20 * DAY, recorded_at=DUE + 8 * DAY - 1))
    assert feature("late_payment_over_7d_count_180d", rows, DUE + days * DAY) == counted


@pytest.mark.parametrize("days", [181, 400, 4_000])
def test_what_is_owed_leaves_no_window_before_it_is_paid(days: int) -> None:
    as_of = DUE + days * DAY
    assert feature("late_payment_over_7d_count_180d", paid(), as_of) == 1
    assert feature("late_payment_days_sum_90d", paid(), as_of) == days - 3
    assert feature("on_time_payment_ratio_180d", paid(), as_of) == 5_000 / 20_000
    assert feature("outstanding_to_on_time_ratio_365d", paid(), as_of) == 10
    assert feature("unpaid_share_over_180d_sum_last", paid(), as_of) == 1


@pytest.mark.parametrize("reason", ["return", "goodwill", "dispute", "chargeback", "fraud"])
@pytest.mark.parametrize("note_at", [None, DUE - HOUR, DUE, DUE + HOUR])
def test_money_paid_back_because_less_is_owed_leaves_nothing_owed(reason: str, note_at: int | None) -> None:
    adjustments = [an_adjustment(at=DUE, kind="refund", reason=reason, amount_cents=1_000)]
    if note_at is not None:
        adjustments.append(an_adjustment(at=note_at, reason=reason, amount_cents=1_000, event_id="note"))
    state = state_of(paid(a_payment(at=DUE - DAY), invoice_adjustments=adjustments), DUE + 90 * DAY)
    assert (state.paid_at, state.outstanding_cents, state.received_cents) == (DUE - DAY, 0, 9_000)


def test_a_debit_that_the_bank_took_back_makes_the_invoice_unpaid_again() -> None:
    taken_back = an_adjustment(at=DUE + DAY, kind="refund", reason="returned_debit")
    rows = paid(a_payment(at=DUE - DAY), invoice_adjustments=[taken_back])
    assert state_of(rows, DUE + DAY).paid_at == DUE - DAY
    assert state_of(rows, DUE + DAY + 1).outstanding_cents == 10_000
    assert state_of(rows, LATE + 1).is_overdue(LATE + 1)


@pytest.mark.parametrize("note_at", [None, DUE - HOUR, DUE + HOUR])
@pytest.mark.parametrize("back_cents", [4_000, 10_000])
def test_a_debit_that_was_returned_after_a_refund_is_owed_in_full(
    back_cents: int, note_at: int | None
) -> None:
    adjustments = [
        an_adjustment(at=DUE, kind="refund", amount_cents=back_cents),
        an_adjustment(at=DUE + DAY, kind="refund", reason="returned_debit", event_id="returned"),
    ]
    if note_at is not None:
        adjustments.append(an_adjustment(at=note_at, amount_cents=back_cents, event_id="note"))
    rows = paid(a_payment(at=DUE - DAY), invoice_adjustments=adjustments)
    state = state_of(rows, LATE + 1)
    assert (state.outstanding_cents, state.net_amount_cents) == (10_000, 10_000 - back_cents)
    assert state.is_overdue(LATE + 1)
    # Paid anew it is as it was before the debit came back, also on the day of it.
    for again in (DUE + DAY, DUE + 2 * DAY):
        anew = paid(a_payment(at=DUE - DAY), a_payment(at=again), invoice_adjustments=adjustments)
        state = state_of(anew, LATE + 1)
        assert (state.outstanding_cents, state.received_cents) == (0, 10_000 - back_cents)


def test_a_dispute_that_began_before_the_invoice_pauses_it_from_its_issue() -> None:
    pause = a_pause(started_at=ISSUED - 2 * DAY, ended_at=ISSUED + 5 * DAY)
    assert state_of(paid(invoice_pauses=[pause]), DUE).due_at == DUE + 5 * DAY
    over = a_pause(started_at=ISSUED - 2 * DAY, ended_at=ISSUED - DAY)
    assert state_of(paid(invoice_pauses=[over]), DUE).due_at == DUE


def test_an_overpaid_and_refunded_invoice_is_settled() -> None:
    back = an_adjustment(at=DUE, kind="refund", reason="overpayment", amount_cents=2_000)
    rows = paid(a_payment(at=DUE - DAY, amount_cents=12_000), invoice_adjustments=[back])
    state = state_of(rows, DUE + DAY)
    assert (state.outstanding_cents, state.paid_at, state.net_amount_cents) == (0, DUE - DAY, 10_000)


def test_an_invoice_credited_away_and_refunded_whole_is_cancelled_and_helps_nobody() -> None:
    back = an_adjustment(at=DUE, kind="refund", reason="return")
    rows = paid(a_payment(at=DUE - DAY), invoice_adjustments=[back])
    state = state_of(rows, LATE + DAY)
    assert state.cancelled
    assert feature("on_time_cents_sum_185d", rows, LATE + DAY) == 0


@pytest.mark.parametrize("cents", [100, 1_999, 2_000])
def test_what_counts_for_a_customer_begins_at_twenty(cents: int) -> None:
    rows = history(
        invoices=[an_invoice(f"i{n}", at=ISSUED, amount_cents=cents) for n in range(5)],
        invoice_payments=[a_payment(f"i{n}", at=DUE, amount_cents=cents) for n in range(5)],
    )
    counted = 5 if cents == 2_000 else 0
    for name in ("on_time_payment_count_365d", "on_time_payment_count_730d"):
        assert feature(name, rows, LATE + DAY) == counted
