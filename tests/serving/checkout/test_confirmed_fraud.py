"""What was confirmed as fraud is not owed by whoever is named as its customer."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_contracts.order_outcomes import FRAUD_OUTCOMES, ORDER_OUTCOMES
from features.settlement_terms import USUAL_TERMS
from serving.checkout.decision_inputs import DecisionInputs, inputs_at, orders_of_fraud
from serving.domain.decision import AccountStanding
from tests.builders import DAY, Row, a_customer, a_payment, a_row, an_invoice, an_order, ms

NOW = ms("2026-06-01")
KINDS = next(column.allowed for column in ORDER_OUTCOMES.columns if column.name == "kind")
Rows = dict[str, list[Row]]


def found(kind: str, order_id: str, *, event_id: str = "found", at: int = NOW - DAY, **more: Any) -> Row:
    return a_row("order_outcomes", event_id, at, None, order_id=order_id, customer_id="c1", kind=kind, **more)


def account(outcomes: list[Row], *numbers: int) -> Rows:
    """Invoices of which every third is overdue, every third open and every third paid."""
    issued = [NOW - days * DAY for days in (60, 5, 90)]
    invoices = [
        an_invoice(f"i{number}", order_id=f"o{number}", at=issued[number % 3], event_id=f"invoice-{number}")
        for number in numbers
    ]
    payments = [
        a_payment(f"i{number}", at=NOW - 80 * DAY, event_id=f"payment-{number}")
        for number in numbers
        if number % 3 == 2
    ]
    return {
        "customers": [a_customer(at=NOW - 900 * DAY)],
        "invoices": invoices,
        "invoice_payments": payments,
        "order_outcomes": outcomes,
    }


def inputs_of(rows: Rows, others: dict[str, Rows] | None = None, *, as_of: int = NOW) -> DecisionInputs:
    return inputs_at(
        rows,
        an_order(at=NOW),
        reserved_cents=0,
        as_of_ms=as_of,
        feature_set=None,
        terms=USUAL_TERMS,
        other_accounts=others or {},
    )


def standing_of(rows: Rows, **more: Any) -> AccountStanding:
    return inputs_of(rows, **more).standing


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(KINDS)), max_size=6), st.booleans())
def test_the_standing_is_that_without_the_invoices_of_confirmed_fraud(
    findings: list[tuple[int, str]], is_other_account: bool
) -> None:
    outcomes = [
        found(kind, f"o{number}", event_id=f"found-{place}") for place, (number, kind) in enumerate(findings)
    ]
    fraud = {number for number, kind in findings if kind in FRAUD_OUTCOMES}
    numbers = list(range(6))
    random.Random(len(findings)).shuffle(numbers)
    everything = account(outcomes, *numbers)
    without = account([], *(number for number in range(6) if number not in fraud))
    if is_other_account:
        own = account([])
        assert standing_of(own, others={"c2": everything}) == standing_of(own, others={"c2": without})
    else:
        assert standing_of(everything) == standing_of(without)


@pytest.mark.parametrize("kind", FRAUD_OUTCOMES)
def test_a_finding_counts_from_when_it_is_known_until_it_is_withdrawn(kind: str) -> None:
    upheld = found(kind, "o0")
    withdrawn = found("finding_withdrawn", "o0", event_id="withdrawn", at=NOW + DAY, corrects="found")
    rows = account([upheld, withdrawn], 0)
    owed = [
        standing_of(rows, as_of=as_of).outstanding_cents > 0
        for as_of in (NOW - DAY, NOW - DAY + 1, NOW + DAY, NOW + DAY + 1)
    ]
    assert owed == [True, False, False, True]
    assert orders_of_fraud(rows, NOW) == {"o0"}
