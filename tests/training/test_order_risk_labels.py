"""Which order counts as fraud, which as none, and which as not known, in cases checked by hand."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from features.decisions import NoDecisionsError
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
from training.errors import TrainingError
from training.labels import ledger_end_ms
from training.order_risk_labels import (
    CALIBRATION_SHARE,
    LABEL_DELAY_DAYS,
    MINIMUM_FRAUDS,
    OrderLabels,
    delayed_split,
    order_risk_labels,
)

ORDERED = ms("2025-01-15T10:00:00")
CUT_OFF = ORDERED + 200 * DAY
FRAUD = ("fraud_chargeback", "identity_misuse_upheld", "stop_request_upheld")
CLEARED = (
    "review_released",
    "stop_request_rejected",
    "identity_misuse_rejected",
    "dispute_decided_for_merchant",
)
PAID = {"invoices": [an_invoice(at=ORDERED)], "invoice_payments": [a_payment(at=ORDERED + 10 * DAY)]}
OWED = {"invoices": [an_invoice(at=ORDERED)]}


def an_outcome(
    kind: str,
    *,
    order_id: str = "o1",
    at: int = ORDERED + 40 * DAY,
    recorded_at: int | None = None,
    event_id: str | None = None,
    **more: str,
) -> Row:
    return a_row(
        "order_outcomes",
        event_id or f"outcome-{order_id}-{kind}",
        at,
        recorded_at,
        **more,
        order_id=order_id,
        customer_id="c1",
        kind=kind,
    )


def as_mapping(labels: OrderLabels) -> dict[str, int]:
    return dict(zip(labels.decisions.decision_id.tolist(), labels.label.tolist(), strict=True))


def a_book(folder: Path, rows: dict[str, list[Row]]) -> Path:
    return write_ledger(
        folder,
        {
            "merchants": [a_merchant(at=ORDERED)],
            "customers": [a_customer(at=ORDERED)],
            "orders": [an_order(at=ORDERED)],
            **rows,
        },
    )


_BOOKS = itertools.count()


def labels(folder: Path, cut_off: int = CUT_OFF, **rows: list[Row]) -> dict[str, int]:
    return as_mapping(order_risk_labels(a_book(folder / f"book-{next(_BOOKS)}", rows), cut_off))


@pytest.mark.parametrize("kind", FRAUD)
@pytest.mark.parametrize("invoices", [{}, OWED, PAID])
def test_a_finding_of_fraud_is_fraud_whether_paid_or_not(
    tmp_path: Path, kind: str, invoices: dict[str, list[Row]]
) -> None:
    assert labels(tmp_path, order_outcomes=[an_outcome(kind)], **invoices) == {"o1": 1}


@pytest.mark.parametrize("kind", CLEARED)
@pytest.mark.parametrize("invoices", [{}, OWED])
def test_a_cleared_order_is_no_fraud_even_if_it_is_not_paid(
    tmp_path: Path, kind: str, invoices: dict[str, list[Row]]
) -> None:
    assert labels(tmp_path, order_outcomes=[an_outcome(kind)], **invoices) == {"o1": 0}


def test_an_order_whose_invoices_are_all_paid_in_full_is_no_fraud(tmp_path: Path) -> None:
    two = [an_invoice("i1", at=ORDERED), an_invoice("i2", at=ORDERED)]
    first, second = a_payment("i1", at=ORDERED + DAY), a_payment("i2", at=ORDERED + DAY)
    assert labels(tmp_path, **PAID) == {"o1": 0}
    assert labels(tmp_path, invoices=two, invoice_payments=[first]) == {"o1": -1}
    assert labels(tmp_path, invoices=two, invoice_payments=[first, second]) == {"o1": 0}


def test_an_order_with_no_outcome_and_no_paid_invoice_is_not_labelled(tmp_path: Path) -> None:
    nearly = [a_payment(at=ORDERED + DAY, amount_cents=9_499)]
    assert labels(tmp_path) == {"o1": -1}
    assert labels(tmp_path, **OWED) == {"o1": -1}
    assert labels(tmp_path, **OWED, invoice_payments=nearly) == {"o1": -1}


def test_a_dispute_decided_for_the_customer_says_nothing_about_fraud(tmp_path: Path) -> None:
    decided = [an_outcome("dispute_decided_for_customer")]
    assert labels(tmp_path, order_outcomes=decided, **OWED) == {"o1": -1}
    assert labels(tmp_path, order_outcomes=decided, **PAID) == {"o1": 0}


def test_a_returned_invoice_was_never_paid_and_says_nothing(tmp_path: Path) -> None:
    returned = [an_adjustment("i1", at=ORDERED + 5 * DAY)]
    two = [an_invoice("i1", at=ORDERED), an_invoice("i2", at=ORDERED)]
    paid = [a_payment("i2", at=ORDERED + 10 * DAY)]
    assert labels(tmp_path, **OWED, invoice_adjustments=returned) == {"o1": -1}
    assert labels(tmp_path, invoices=two, invoice_adjustments=returned) == {"o1": -1}
    assert labels(tmp_path, invoices=two, invoice_adjustments=returned, invoice_payments=paid) == {"o1": 0}


def test_an_invoice_half_returned_and_half_paid_is_paid_in_full(tmp_path: Path) -> None:
    half = [an_adjustment(at=ORDERED + 5 * DAY, amount_cents=5_000)]
    rest = [a_payment(at=ORDERED + 10 * DAY, amount_cents=5_000)]
    assert labels(tmp_path, **OWED, invoice_adjustments=half) == {"o1": -1}
    assert labels(tmp_path, **OWED, invoice_adjustments=half, invoice_payments=rest) == {"o1": 0}


@pytest.mark.parametrize(("fraud", "cleared"), list(itertools.product(FRAUD, CLEARED)))
@pytest.mark.parametrize("days_between", [-10, 10])
def test_a_finding_wins_over_clearance_whichever_came_first(
    tmp_path: Path, fraud: str, cleared: str, days_between: int
) -> None:
    both = [
        an_outcome(fraud, at=ORDERED + 40 * DAY),
        an_outcome(cleared, at=ORDERED + (40 + days_between) * DAY),
    ]
    assert labels(tmp_path, order_outcomes=both) == {"o1": 1}


@pytest.mark.parametrize(("kind", "label"), [("fraud_chargeback", 1), ("review_released", 0)])
def test_an_outcome_counts_only_from_when_it_was_recorded(tmp_path: Path, kind: str, label: int) -> None:
    late = [an_outcome(kind, at=ORDERED + DAY, recorded_at=CUT_OFF)]
    assert labels(tmp_path, CUT_OFF, order_outcomes=late) == {"o1": -1}
    assert labels(tmp_path, CUT_OFF + 1, order_outcomes=late) == {"o1": label}


def test_a_payment_counts_only_from_when_it_was_recorded(tmp_path: Path) -> None:
    late = [a_payment(at=ORDERED + DAY, recorded_at=CUT_OFF)]
    assert labels(tmp_path, CUT_OFF, **OWED, invoice_payments=late) == {"o1": -1}
    assert labels(tmp_path, CUT_OFF + 1, **OWED, invoice_payments=late) == {"o1": 0}


@pytest.mark.parametrize(
    ("before", "after", "labels_then"),
    [
        ("fraud_chargeback", "dispute_decided_for_merchant", (1, 0)),
        ("fraud_chargeback", "dispute_decided_for_customer", (1, -1)),
        ("stop_request_rejected", "stop_request_upheld", (0, 1)),
        ("identity_misuse_upheld", "identity_misuse_rejected", (1, 0)),
    ],
)
def test_a_corrected_outcome_counts_as_its_correction_says(
    tmp_path: Path, before: str, after: str, labels_then: tuple[int, int]
) -> None:
    corrected = [
        an_outcome(before, event_id="first"),
        an_outcome(after, event_id="second", corrects="first", recorded_at=CUT_OFF),
    ]
    assert labels(tmp_path, CUT_OFF, order_outcomes=corrected) == {"o1": labels_then[0]}
    assert labels(tmp_path, CUT_OFF + 1, order_outcomes=corrected) == {"o1": labels_then[1]}


def test_an_outcome_of_one_order_does_not_label_another_of_the_same_customer(tmp_path: Path) -> None:
    orders = [an_order("o1", at=ORDERED), an_order("o2", at=ORDERED)]
    found = labels(tmp_path, orders=orders, order_outcomes=[an_outcome("fraud_chargeback", order_id="o2")])
    assert found == {"o1": -1, "o2": 1}


@pytest.mark.parametrize("rows", [{}, PAID, {"order_outcomes": [an_outcome("fraud_chargeback")]}])
def test_an_order_younger_than_the_label_delay_is_not_there_at_all(
    tmp_path: Path, rows: dict[str, list[Row]]
) -> None:
    # The order is judged in the millisecond after it was recorded.
    just_too_young = ORDERED + 1 + LABEL_DELAY_DAYS * DAY
    assert labels(tmp_path, just_too_young, **rows) == {}
    assert set(labels(tmp_path, just_too_young + 1, **rows)) == {"o1"}


def test_an_order_is_there_once_even_when_it_was_corrected(tmp_path: Path) -> None:
    orders = [
        an_order(at=ORDERED),
        an_order(event_id="again", at=ORDERED, corrects="order-o1", amount_cents=12_000)
        | {"recorded_at": ORDERED + 150 * DAY},
    ]
    book = a_book(tmp_path, {"orders": orders, **PAID})
    found = order_risk_labels(book, CUT_OFF)
    assert as_mapping(found) == {"o1": 0}
    assert found.decisions.as_of_ms.tolist() == [ORDERED + 1]


def test_a_folder_without_orders_is_refused(tmp_path: Path) -> None:
    book = write_ledger(tmp_path, {"merchants": [a_merchant(at=ORDERED)]})
    with pytest.raises(NoDecisionsError, match="holds no orders"):
        delayed_split(book)


def a_long_book(*, orders: int = 800, fraud_every: int = 4, from_order: int = 0) -> dict[str, list[Row]]:
    """Two orders a day: each is paid after 20 days or charged back after 30, or, now and then, after 200.

    from_order: the first order that may be fraud.
    """
    book: dict[str, list[Row]] = {
        "merchants": [a_merchant(at=ORDERED)],
        "customers": [a_customer(at=ORDERED)],
        "orders": [],
        "invoices": [],
        "invoice_payments": [],
        "order_outcomes": [],
    }
    for number in range(orders):
        name, at = f"o{number}", ORDERED + number * DAY // 2
        book["orders"].append(an_order(name, at=at))
        book["invoices"].append(an_invoice(f"i{number}", order_id=name, at=at))
        if number >= from_order and number % fraud_every == 0:
            found = at + (200 if number % (7 * fraud_every) == 0 else 30) * DAY
            book["order_outcomes"].append(an_outcome("fraud_chargeback", order_id=name, at=found))
        else:
            book["invoice_payments"].append(a_payment(f"i{number}", at=at + 20 * DAY))
    end = ORDERED + orders * DAY // 2 + 40 * DAY
    for rows in (book["order_outcomes"], book["invoice_payments"]):
        rows[:] = [row for row in rows if row["recorded_at"] < end]
    book["merchants"].append(a_merchant(event_id="merchant-2", at=end, name="Musterladen II"))
    return book


def test_the_gap_before_the_test_period_is_as_long_as_the_label_delay(tmp_path: Path) -> None:
    split = delayed_split(write_ledger(tmp_path, a_long_book()))
    as_of = split.training.decisions.as_of_ms
    assert (as_of + LABEL_DELAY_DAYS * DAY < split.test_starts_ms).all()
    assert split.test_starts_ms - as_of.max() < (LABEL_DELAY_DAYS + 2) * DAY
    assert split.test.decisions.as_of_ms.min() == split.test_starts_ms
    assert not set(split.training.decisions.decision_id) & set(split.test.decisions.decision_id)


def test_training_has_labels_only_and_the_test_period_every_order(tmp_path: Path) -> None:
    book = write_ledger(tmp_path, a_long_book())
    split = delayed_split(book)
    everything = order_risk_labels(book, ledger_end_ms(book))
    wanted = everything.decisions.as_of_ms >= split.test_starts_ms
    assert set(split.training.label.tolist()) == {0, 1}
    assert set(split.test.label.tolist()) == {-1, 0, 1}
    assert split.test.decisions.decision_id.tolist() == everything.decisions.decision_id[wanted].tolist()
    assert len(split.test) == pytest.approx(0.3 * len(everything), abs=1)


def test_the_calibration_part_is_the_latest_of_training(tmp_path: Path) -> None:
    split = delayed_split(write_ledger(tmp_path, a_long_book()))
    as_of, late = split.training.decisions.as_of_ms, split.calibration
    assert as_of[late].min() > as_of[~late].max()
    assert late.mean() == pytest.approx(CALIBRATION_SHARE, abs=0.01)


def test_what_is_recorded_once_the_test_period_began_changes_no_training_label(tmp_path: Path) -> None:
    rows = a_long_book()
    before = delayed_split(write_ledger(tmp_path / "before", rows))
    starts = before.test_starts_ms
    known = as_mapping(before.training)
    findings = {row["order_id"]: row["event_id"] for row in rows["order_outcomes"]}
    later = [
        an_outcome("dispute_decided_for_merchant", order_id=name, at=starts, corrects=findings[name])
        if known[name] == 1
        else an_outcome("fraud_chargeback", order_id=name, at=starts + place % 5)
        for place, name in enumerate(known)
    ]
    added = {**rows, "order_outcomes": [*rows["order_outcomes"], *later]}
    book = write_ledger(tmp_path / "after", added)
    after = delayed_split(book)
    assert after.test_starts_ms == starts
    assert as_mapping(after.training) == known
    assert np.array_equal(after.calibration, before.calibration)
    turned = as_mapping(order_risk_labels(book, ledger_end_ms(book)))
    assert all(turned[name] == 1 - label for name, label in known.items())


def test_labels_at_a_moment_are_those_of_a_book_that_ends_there(tmp_path: Path) -> None:
    rows = a_long_book()
    moment = ORDERED + 250 * DAY
    cut = {name: [row for row in listed if row["recorded_at"] < moment] for name, listed in rows.items()}
    whole = order_risk_labels(write_ledger(tmp_path / "whole", rows), moment)
    until_then = order_risk_labels(write_ledger(tmp_path / "cut", cut), moment)
    assert as_mapping(whole) == as_mapping(until_then)
    assert set(whole.label.tolist()) == {-1, 0, 1}


def test_a_book_without_old_orders_is_refused_with_the_delay(tmp_path: Path) -> None:
    book = a_book(tmp_path, {"order_outcomes": [an_outcome("fraud_chargeback", at=ORDERED + 80 * DAY)]})
    with pytest.raises(TrainingError, match="no order is older than 90 days; simulate or export a longer"):
        delayed_split(book)


def test_too_little_fraud_in_training_is_refused_with_the_numbers(tmp_path: Path) -> None:
    rows = a_long_book()
    before = delayed_split(write_ledger(tmp_path / "enough", rows))
    known = as_mapping(before.training)
    frauds = [name for name, label in known.items() if label == 1]

    def with_training_frauds(count: int) -> dict[str, list[Row]]:
        cleared = set(frauds[count:])
        outcomes = [
            {**row, "kind": "review_released"} if row["order_id"] in cleared else row
            for row in rows["order_outcomes"]
        ]
        return {**rows, "order_outcomes": outcomes}

    enough = write_ledger(tmp_path / "just-enough", with_training_frauds(MINIMUM_FRAUDS))
    assert (delayed_split(enough).training.label == 1).sum() == MINIMUM_FRAUDS
    scarce = write_ledger(tmp_path / "scarce", with_training_frauds(MINIMUM_FRAUDS - 1))
    message = (
        f"the training period has 19 confirmed frauds among {len(known)} orders; at least 20 are needed: "
        "use more customers or months"
    )
    with pytest.raises(TrainingError, match=message):
        delayed_split(scarce)


def test_too_little_fraud_in_the_test_period_is_refused_with_the_numbers(tmp_path: Path) -> None:
    rows = a_long_book()
    split = delayed_split(write_ledger(tmp_path / "enough", rows))
    tested = set(split.test.decisions.decision_id.tolist())
    rows["order_outcomes"] = [row for row in rows["order_outcomes"] if row["order_id"] not in tested]
    message = f"the test period has 0 confirmed frauds among {len(split.test)} orders; at least 20 are needed"
    with pytest.raises(TrainingError, match=message):
        delayed_split(write_ledger(tmp_path / "scarce", rows))


def test_a_split_as_of_a_day_is_the_split_of_a_ledger_that_ended_there(tmp_path: Path) -> None:
    rows = a_long_book(orders=900)
    day = ORDERED + 400 * DAY
    past = {contract: [row for row in kind if row["recorded_at"] < day] for contract, kind in rows.items()}
    asked = delayed_split(write_ledger(tmp_path / "whole", rows), day)
    ended = delayed_split(write_ledger(tmp_path / "past", past))
    assert asked.test_starts_ms < delayed_split(tmp_path / "whole").test_starts_ms
    assert abs(asked.test_starts_ms - ended.test_starts_ms) < DAY
    assert asked.training.decisions.as_of_ms.max() < day
    assert asked.test.decisions.as_of_ms.max() + LABEL_DELAY_DAYS * DAY < day
