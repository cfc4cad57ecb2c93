"""Who paid too much on one invoice is not refused for another, as far as the money goes."""

from typing import Any

import pytest

from features.settlement_terms import USUAL_TERMS
from serving.checkout.decision_inputs import inputs_at
from serving.domain.decision import AccountStanding
from tests.builders import DAY, Row, a_customer, a_payment, an_adjustment, an_invoice, an_order, ms

NOW = ms("2026-06-01")
OLD = NOW - 100 * DAY
ANEW = NOW - 60 * DAY
"""When an invoice was issued that is overdue now."""


def standing(*rows: Row, at: int = NOW, others: Any = None, **more: Any) -> AccountStanding:
    by_contract: dict[str, list[Row]] = {"customers": [a_customer(at=0)]}
    for row in rows:
        kind = row["event_id"].split("-")[0]
        contract = {"payment": "invoice_payments", "adjustment": "invoice_adjustments"}.get(kind, "invoices")
        by_contract.setdefault(contract, []).append(row)
    if others:
        more["other_accounts"] = others
    return inputs_at(
        by_contract,
        an_order(at=NOW),
        reserved_cents=0,
        as_of_ms=at,
        feature_set=None,
        terms=USUAL_TERMS,
        **more,
    ).standing


def owed(found: AccountStanding) -> tuple[int, list[tuple[str, int]]]:
    """What is outstanding, and what of it is overdue."""
    return found.outstanding_cents, [
        (one.invoice_id, one.outstanding_cents) for one in found.overdue_invoices
    ]


CREDITED = [an_invoice("i1", at=OLD), an_adjustment("i1", at=OLD + DAY)]
REISSUED = an_invoice("i2", at=ANEW)
ON_THE_FIRST = a_payment("i1", at=ANEW + DAY)


def test_money_on_the_first_invoice_pays_the_one_that_was_issued_anew() -> None:
    assert owed(standing(*CREDITED, REISSUED)) == (10_000, [("i2", 10_000)])
    assert owed(standing(*CREDITED, REISSUED, ON_THE_FIRST)) == (0, [])


def test_one_transfer_for_two_invoices_pays_both() -> None:
    both = [an_invoice("i1", at=OLD), a_payment("i1", at=OLD + DAY, amount_cents=20_000)]
    assert owed(standing(*both, REISSUED)) == (0, [])


def test_the_money_counts_from_when_it_was_known_and_until_it_is_paid_back_or_moved() -> None:
    late = a_payment("i1", at=ANEW + DAY, recorded_at=NOW - 9 * DAY)
    back = an_adjustment(
        "i1", at=NOW - 5 * DAY, kind="refund", reason="overpayment", event_id="adjustment-back"
    )
    rows = [*CREDITED, REISSUED, late, back]
    overdue = [
        [one.invoice_id for one in standing(*rows, at=NOW - day * DAY).overdue_invoices]
        for day in (9, 8, 5, 4)
    ]
    assert overdue == [["i2"], [], [], ["i2"]]
    moved = a_payment("i2", at=ANEW + DAY, event_id="payment-moved", corrects=ON_THE_FIRST["event_id"])
    found = standing(*CREDITED, REISSUED, ON_THE_FIRST, moved)
    assert (owed(found), found.paid_invoice_count) == ((0, []), 1)


def test_what_is_not_covered_stays_overdue_oldest_due_paid_first() -> None:
    oldest = an_invoice("i3", at=ANEW - 5 * DAY, amount_cents=4_000)
    found = standing(*CREDITED, REISSUED, oldest, ON_THE_FIRST)
    assert owed(found) == (4_000, [("i2", 4_000)])


def test_what_is_left_after_it_and_immaterial_is_not_overdue() -> None:
    found = standing(*CREDITED, REISSUED, a_payment("i1", at=ANEW, amount_cents=9_500))
    assert owed(found) == (500, [])


def test_it_pays_nothing_in_another_currency_and_nothing_that_is_not_due() -> None:
    in_sek = {**REISSUED, "currency": "SEK"}
    assert owed(standing(*CREDITED, in_sek, ON_THE_FIRST)) == (10_000, [("i2", 10_000)])
    fresh = an_invoice("i2", at=NOW - DAY)
    assert owed(standing(*CREDITED, fresh, ON_THE_FIRST)) == (10_000, [])


def test_money_on_one_account_pays_for_the_persons_other_account() -> None:
    other = {"c2": {"invoices": [{**REISSUED, "customer_id": "c2"}]}}
    assert owed(standing(*CREDITED, others=other)) == (10_000, [("i2", 10_000)])
    assert owed(standing(*CREDITED, ON_THE_FIRST, others=other)) == (0, [])


@pytest.mark.parametrize("counts", [True, False])
def test_a_decision_of_an_earlier_revision_saw_none_of_it(counts: bool) -> None:
    found = standing(*CREDITED, REISSUED, ON_THE_FIRST, counts_overpayments=counts)
    assert owed(found) == ((0, []) if counts else (10_000, [("i2", 10_000)]))
