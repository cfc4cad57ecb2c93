"""Labels of amended, partly invoiced, returned and disputed orders against the oracle, at any cut-off."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import DAY, write_ledger
from tests.histories import History, as_of_moments
from tests.naive_labels import naive_label
from tests.order_lives import order_lives
from tests.proof_size import examples
from training.labels import order_labels

pytestmark = pytest.mark.long_proof
with_files = examples(1_000)
later = st.one_of(as_of_moments, as_of_moments.map(lambda moment: moment + 100 * DAY))


def labels(history: History, cut_off: int) -> dict[str, tuple[int, int]]:
    with tempfile.TemporaryDirectory() as folder:
        found = order_labels(write_ledger(Path(folder), history), cut_off)
    return {
        order_id: (label, known_at)
        for order_id, label, known_at in zip(
            found.decisions.decision_id.tolist(),
            found.label.tolist(),
            found.known_at_ms.tolist(),
            strict=True,
        )
    }


def order_ids(history: History) -> set[str]:
    return {row["order_id"] for row in history["orders"]}


@with_files
@given(order_lives(), later)
def test_every_label_is_what_its_description_says(history: History, cut_off: int) -> None:
    oracle = {one: naive_label(one, history, cut_off) for one in order_ids(history)}
    expected = {one: label for one, label in oracle.items() if label is not None}
    found = labels(history, cut_off)
    if may_hold_money_paid_too_much(history):
        # What such money covers has a twin of its own: it makes a bad label good, and nothing else.
        assert {one: (found[one][0] or label, at) for one, (label, at) in expected.items()} == expected
        assert {one: at for one, (_, at) in found.items()} == {one: at for one, (_, at) in expected.items()}
        return
    assert found == expected


def may_hold_money_paid_too_much(history: History) -> bool:
    """Whether more may have come in for an invoice than was owed, by any of its rows."""
    for invoice in history["invoices"]:
        of_invoice = [
            (row["amount_cents"], name)
            for name in ("invoice_payments", "invoice_adjustments")
            for row in history[name]
            if row["invoice_id"] == invoice["invoice_id"]
        ]
        paid_cents = sum(cents for cents, name in of_invoice if name == "invoice_payments")
        if paid_cents and sum(cents for cents, _ in of_invoice) > invoice["amount_cents"]:
            return True
    return False


@with_files
@given(order_lives(), later)
def test_what_is_recorded_at_or_after_the_cut_off_changes_no_label(history: History, cut_off: int) -> None:
    known = {
        # The orders are asked about, whenever they became known.
        name: [row for row in rows if name == "orders" or row["recorded_at"] < cut_off]
        for name, rows in history.items()
    }
    assert labels(history, cut_off) == labels(known, cut_off)


@with_files
@given(order_lives(), later)
def test_an_amendment_changes_no_label(history: History, cut_off: int) -> None:
    """What is owed say the invoices, whatever was ordered first."""
    without = {**history, "order_events": []}
    assert labels(history, cut_off) == labels(without, cut_off)
