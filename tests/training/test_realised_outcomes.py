"""What orders brought and lost, by rows that can be followed by hand."""

from pathlib import Path

import pytest

from tests.builders import (
    DAY,
    Row,
    a_customer,
    a_merchant,
    a_payment,
    a_row,
    an_adjustment,
    an_invoice,
    an_order,
    ms,
    write_ledger,
)
from training.realised_outcomes import RealisedOutcomes, realised_outcomes

ORDERED = ms("2025-03-01")
DUE = ORDERED + 14 * DAY
HORIZON = DUE + 60 * DAY
LATER = HORIZON + 100 * DAY


def outcomes(folder: Path, cut_off: int = LATER, **rows: list[Row]) -> RealisedOutcomes:
    given = {
        "merchants": [a_merchant(at=ORDERED)],
        "customers": [a_customer(at=ORDERED)],
        "orders": [an_order(at=ORDERED)],
        "invoices": [an_invoice(at=ORDERED)],
        **rows,
    }
    return realised_outcomes(write_ledger(folder, given), cut_off)


def only(found: RealisedOutcomes) -> tuple[int, bool, bool, int, int]:
    assert found.order_id.tolist() == ["o1"]
    columns = (found.label, found.is_fraud, found.is_invoiced, found.owed_cents, found.lost_cents)
    label, fraud, invoiced, owed, lost = (column.tolist()[0] for column in columns)
    return label, fraud, invoiced, owed, lost


@pytest.mark.parametrize(
    ("paid", "expected"),
    [
        ([], (1, False, True, 10_000, 10_000)),
        ([(DUE, 10_000)], (0, False, True, 10_000, 0)),
        ([(HORIZON, 10_000)], (0, False, True, 10_000, 0)),
        ([(DUE, 4_000)], (1, False, True, 10_000, 6_000)),
        # What is paid after the horizon is a recovery: the loss stays what it was then.
        ([(DUE, 4_000), (HORIZON + 1, 6_000)], (1, False, True, 10_000, 6_000)),
    ],
)
def test_the_loss_is_what_was_owed_at_the_horizon(
    tmp_path: Path, paid: list[tuple[int, int]], expected: tuple[int, bool, bool, int, int]
) -> None:
    payments = [a_payment(at=at, amount_cents=cents) for at, cents in paid]
    assert only(outcomes(tmp_path, invoice_payments=payments)) == expected


def test_a_credit_note_lowers_what_is_owed_and_a_whole_one_leaves_nothing(tmp_path: Path) -> None:
    part = [an_adjustment(at=ORDERED + DAY, amount_cents=3_000)]
    assert only(outcomes(tmp_path / "part", invoice_adjustments=part)) == (1, False, True, 7_000, 7_000)
    whole = [an_adjustment(at=ORDERED + DAY)]
    assert only(outcomes(tmp_path / "whole", invoice_adjustments=whole)) == (-1, False, True, 0, 0)


def test_a_young_order_has_no_label_and_no_loss(tmp_path: Path) -> None:
    assert only(outcomes(tmp_path, cut_off=HORIZON)) == (-1, False, True, 10_000, 0)


def test_fraud_is_no_credit_loss_and_an_order_without_invoice_is_not_there(tmp_path: Path) -> None:
    found = a_row(
        "order_outcomes",
        "outcome-1",
        ORDERED + DAY,
        None,
        order_id="o1",
        customer_id="c1",
        kind="fraud_chargeback",
    )
    assert only(outcomes(tmp_path / "fraud", order_outcomes=[found])) == (-1, True, True, 10_000, 0)
    assert len(outcomes(tmp_path / "none", invoices=[]).order_id) == 0


def test_the_parts_of_a_split_order_are_added_up(tmp_path: Path) -> None:
    invoices = [
        an_invoice("i1", at=ORDERED, amount_cents=6_000),
        an_invoice("i2", at=ORDERED, amount_cents=4_000),
    ]
    payments = [a_payment("i1", at=DUE, amount_cents=6_000)]
    found = outcomes(tmp_path, invoices=invoices, invoice_payments=payments)
    assert only(found) == (1, False, True, 10_000, 4_000)
