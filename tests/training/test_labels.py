"""Who is bad, who is good, and who is not labelled, in cases that can be checked by hand."""

from pathlib import Path

import pytest

from tests.builders import (
    DAY,
    Row,
    a_customer,
    a_merchant,
    a_pause,
    a_payment,
    a_row,
    an_adjustment,
    an_invoice,
    an_order,
    ms,
    write_ledger,
)
from training.labels import order_labels

ORDERED = ms("2025-03-01")
DUE = ORDERED + 14 * DAY
MATURED = DUE + 61 * DAY


def labels(folder: Path, cut_off: int = MATURED, **rows: list[Row]) -> dict[str, int]:
    book = write_ledger(
        folder / str(cut_off),
        {
            "merchants": [a_merchant(at=ORDERED)],
            "customers": [a_customer(at=ORDERED)],
            "orders": [an_order(at=ORDERED)],
            "invoices": [an_invoice(at=ORDERED)],
            **rows,
        },
    )
    found = order_labels(book, cut_off)
    return dict(zip(found.decisions.decision_id.tolist(), found.label.tolist(), strict=True))


def an_outcome(kind: str, at: int) -> Row:
    return a_row("order_outcomes", f"outcome-{kind}", at, None, order_id="o1", customer_id="c1", kind=kind)


def test_an_unpaid_invoice_is_bad_once_it_is_more_than_60_days_past_due(tmp_path: Path) -> None:
    assert labels(tmp_path, DUE + 60 * DAY) == {}
    assert labels(tmp_path, DUE + 60 * DAY + 1) == {"o1": 1}


@pytest.mark.parametrize(("days_late", "label"), [(-3, 0), (0, 0), (60, 0), (61, 1), (200, 1)])
def test_a_late_payment_is_bad_only_beyond_60_days(tmp_path: Path, days_late: int, label: int) -> None:
    paid = DUE + days_late * DAY
    cut_off = DUE + 300 * DAY
    assert labels(tmp_path, cut_off, invoice_payments=[a_payment(at=paid)]) == {"o1": label}


def test_an_early_payer_is_not_labelled_before_everybody_else_of_that_day(tmp_path: Path) -> None:
    paid = [a_payment(at=ORDERED + DAY)]
    assert labels(tmp_path, DUE + 30 * DAY, invoice_payments=paid) == {}
    assert labels(tmp_path, MATURED, invoice_payments=paid) == {"o1": 0}


@pytest.mark.parametrize(("paid_cents", "label"), [(5_000, 1), (9_499, 1), (9_500, 0), (9_997, 0)])
def test_a_part_payment_saves_the_order_only_where_what_is_left_is_immaterial(
    tmp_path: Path, paid_cents: int, label: int
) -> None:
    part = [a_payment(at=DUE, amount_cents=paid_cents)]
    assert labels(tmp_path, MATURED, invoice_payments=part) == {"o1": label}


def test_an_invoice_too_small_to_be_owed_is_no_default(tmp_path: Path) -> None:
    assert labels(tmp_path, MATURED, invoices=[an_invoice(at=ORDERED, amount_cents=500)]) == {"o1": 0}


def test_goodwill_paid_back_on_a_paid_invoice_is_no_default_and_a_returned_debit_is(tmp_path: Path) -> None:
    paid = [a_payment(at=DUE)]
    for reason, label in (("goodwill", 0), ("returned_debit", 1)):
        back = [an_adjustment(at=DUE + DAY, kind="refund", reason=reason, amount_cents=1_000)]
        found = labels(tmp_path / reason, MATURED, invoice_payments=paid, invoice_adjustments=back)
        assert found == {"o1": label}


@pytest.mark.parametrize(("again", "label"), [(None, 0), (6, 1), (4, 0)])
def test_a_dispute_counts_as_it_was_decided_last_whichever_decision_arrived_last(
    tmp_path: Path, again: int | None, label: int
) -> None:
    first = {**an_outcome("dispute_decided_for_customer", DUE + 5 * DAY), "recorded_at": DUE + 20 * DAY}
    rows = [first]
    if again is not None:
        rows.append(an_outcome("dispute_decided_for_merchant", DUE + again * DAY))
    assert labels(tmp_path, MATURED, order_outcomes=rows) == {"o1": label}


def test_paused_days_do_not_count_towards_the_sixty(tmp_path: Path) -> None:
    pauses = [a_pause(started_at=DUE), a_pause(started_at=DUE, ended_at=DUE + 30 * DAY)]
    assert labels(tmp_path, DUE + 90 * DAY, invoice_pauses=pauses) == {}
    assert labels(tmp_path, DUE + 90 * DAY + 1, invoice_pauses=pauses) == {"o1": 1}


def test_a_payment_recorded_after_the_cut_off_is_not_known(tmp_path: Path) -> None:
    paid = [a_payment(at=DUE, recorded_at=MATURED)]
    assert labels(tmp_path, MATURED, invoice_payments=paid) == {"o1": 1}
    assert labels(tmp_path, MATURED + 1, invoice_payments=paid) == {"o1": 0}


def test_a_dispute_decided_for_the_customer_is_no_default(tmp_path: Path) -> None:
    outcomes = [an_outcome("dispute_decided_for_customer", DUE + 5 * DAY)]
    assert labels(tmp_path, MATURED, order_outcomes=outcomes) == {"o1": 0}


def test_confirmed_fraud_is_no_credit_default_and_is_left_unlabelled(tmp_path: Path) -> None:
    outcomes = [an_outcome("identity_misuse_upheld", DUE + 5 * DAY)]
    assert labels(tmp_path, MATURED, order_outcomes=outcomes) == {}


def test_a_wholly_returned_order_is_left_unlabelled(tmp_path: Path) -> None:
    returned = [an_adjustment(at=ORDERED + 5 * DAY)]
    assert labels(tmp_path, MATURED, invoice_adjustments=returned) == {}


def test_an_order_with_two_invoices_is_bad_if_one_of_them_is(tmp_path: Path) -> None:
    invoices = [an_invoice("i1", at=ORDERED), an_invoice("i2", at=ORDERED)]
    paid = [a_payment("i1", at=DUE)]
    assert labels(tmp_path, MATURED, invoices=invoices, invoice_payments=paid) == {"o1": 1}


def elsewhere(**more: Row) -> dict[str, list[Row]]:
    """A second order of the same customer whose invoice was credited before it was paid."""
    return {
        "orders": [an_order(at=ORDERED), an_order("o2", at=ORDERED - DAY)],
        "invoices": [an_invoice(at=ORDERED), an_invoice("i2", at=ORDERED - DAY, order_id="o2")],
        "invoice_adjustments": [an_adjustment("i2", at=ORDERED), *(row for row in [more.get("back")] if row)],
        "invoice_payments": [row for name, row in more.items() if name != "back"],
    }


@pytest.mark.parametrize(("paid_days_after_due", "label"), [(-3, 0), (60, 0), (61, 1)])
def test_money_on_a_credited_invoice_saves_the_one_issued_anew_where_it_came_in_time(
    tmp_path: Path, paid_days_after_due: int, label: int
) -> None:
    cut_off = DUE + 100 * DAY
    paid = a_payment("i2", at=DUE + paid_days_after_due * DAY)
    assert labels(tmp_path, cut_off, **elsewhere(paid=paid)) == {"o1": label}


def test_money_that_was_not_known_at_the_cut_off_or_was_paid_back_saves_nothing(tmp_path: Path) -> None:
    cut_off = DUE + 100 * DAY
    unknown = a_payment("i2", at=DUE, recorded_at=cut_off)
    assert labels(tmp_path / "a", cut_off, **elsewhere(paid=unknown)) == {"o1": 1}
    back = an_adjustment(
        "i2", at=DUE + 80 * DAY, kind="refund", reason="overpayment", event_id="adjustment-back"
    )
    paid = a_payment("i2", at=DUE)
    assert labels(tmp_path / "b", cut_off, **elsewhere(paid=paid, back=back)) == {"o1": 1}
    moved = a_payment("i1", at=DUE + 80 * DAY)
    assert labels(tmp_path / "c", cut_off, **elsewhere(paid=paid, back=back, moved=moved)) == {"o1": 0}


def test_too_little_money_elsewhere_saves_nothing(tmp_path: Path) -> None:
    for cents, label in ((9_499, 1), (9_500, 0)):
        paid = a_payment("i2", at=DUE, amount_cents=cents)
        assert labels(tmp_path / str(cents), DUE + 100 * DAY, **elsewhere(paid=paid)) == {"o1": label}
