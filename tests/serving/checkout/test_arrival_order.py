"""Facts arrive in any order; once all have arrived, the checkout sees the same."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_contracts.between_rows.arrivals import AppendStatus
from data_contracts.ledger_contracts import CONTRACTS
from features.feature_sets import INVOICE_ELIGIBILITY
from features.settlement_terms import USUAL_TERMS
from serving.checkout.decision_inputs import DecisionInputs, inputs_at
from serving.store.credit_rows import credit_rows
from serving.store.ledger import append, held_count
from serving.store.ledger_rows import entity_of
from serving.store.open_store import open_store
from serving.store.store import Store
from tests.builders import (
    DAY,
    Row,
    a_balance,
    a_charge,
    a_customer,
    a_merchant,
    a_pause,
    a_payment,
    a_row,
    an_account,
    an_adjustment,
    an_inquiry,
    an_invoice,
    an_order,
    ms,
)
from tests.proof_size import examples

pytestmark = pytest.mark.long_proof
ORDERED = ms("2026-05-01")
ISSUED = ORDERED + DAY
DUE = ISSUED + 14 * DAY
NOW = ms("2026-08-01")
AHEAD = NOW + 60_000
HOUR = 3_600_000

FACTS: tuple[tuple[str, Row], ...] = (
    ("merchants", a_merchant(at=ORDERED - 90 * DAY)),
    ("customers", a_customer(event_id="z-first", at=ORDERED - 60 * DAY, identity_status="unverified")),
    ("customers", a_customer(event_id="m-second", at=ORDERED - 40 * DAY)),
    ("customers", a_customer(event_id="a-third", at=ORDERED - 20 * DAY, phone_confirmed_at=None)),
    *(
        (
            "customers",
            a_customer(
                event_id=event_id,
                at=AHEAD + later,
                identity_status=identity,
                **dict.fromkeys(("registered_at", "email_confirmed_at"), ORDERED - 60 * DAY),
                **dict.fromkeys(("phone_confirmed_at", "personal_data_confirmed_at")),
            ),
        )
        for event_id, later, identity in (("y-ahead", 0, "unverified"), ("b-ahead", 1_000, "verified"))
    ),
    ("credit_accounts", an_account(opened_at=ORDERED - 400 * DAY)),
    ("credit_accounts", an_account(opened_at=ORDERED - 400 * DAY, closed_at=ORDERED + 9 * DAY)),
    ("account_balances", a_balance(at=ORDERED - 9 * DAY)),
    ("account_balances", a_balance(at=ORDERED - 5 * DAY, balance_cents=90_000)),
    ("account_balances", a_balance(at=AHEAD, balance_cents=70_000)),
    ("account_balances", a_balance(at=AHEAD + 1_000, balance_cents=80_000)),
    ("credit_inquiries", an_inquiry(at=ORDERED - 3 * DAY)),
    # The order was sent too small and too late, and its correction makes room for its invoices.
    ("orders", an_order(at=ISSUED + 9 * DAY, amount_cents=100, vat_cents=0)),
    (
        "orders",
        {**an_order(at=ORDERED, amount_cents=10_000, event_id="order-right"), "corrects": "order-o1"},
    ),
    ("invoices", an_invoice("i1", at=ISSUED, amount_cents=10_000)),
    ("invoice_adjustments", an_adjustment("i1", at=ISSUED + 2 * DAY)),
    ("invoices", an_invoice("i2", at=ISSUED + 3 * DAY, due_at=DUE, amount_cents=9_000)),
    ("invoice_pauses", a_pause("i2", started_at=ISSUED + 4 * DAY)),
    ("invoice_pauses", a_pause("i2", started_at=ISSUED + 4 * DAY, ended_at=ISSUED + 8 * DAY)),
    *(
        (
            "invoice_pauses",
            {
                **a_pause("i2", started_at=ISSUED + 4 * DAY, ended_at=ISSUED + days * DAY),
                "event_id": f"ended-{days}-days-later",
                "occurred_at": AHEAD + days,
            },
        )
        for days in (9, 7)
    ),
    ("invoice_payments", a_payment("i2", at=DUE + 9 * DAY, amount_cents=4_000)),
    ("invoice_payments", a_payment("i2", at=DUE + 20 * DAY, amount_cents=4_700)),
    (
        "invoice_adjustments",
        an_adjustment("i2", at=DUE + 21 * DAY, kind="refund", reason="goodwill", amount_cents=900),
    ),
    ("invoice_charges", a_charge("i2", at=DUE + 5 * DAY)),
    # A transfer was booked on the wrong invoice; its reference belongs to the last payment, which came twice.
    ("invoice_payments", a_payment("i1", at=ISSUED, event_id="wrong", amount_cents=77, bank_reference="R1")),
    (
        "invoice_payments",
        {**a_payment("i1", at=ISSUED, event_id="wrong-corrected", amount_cents=0), "corrects": "wrong"},
    ),
    (
        "invoice_payments",
        a_payment("i2", at=DUE + 30 * DAY, event_id="last", amount_cents=0, bank_reference="R1"),
    ),
    (
        "order_events",
        a_row("order_events", "shipped", ISSUED, None, order_id="o1", customer_id="c1", kind="shipped"),
    ),
    (
        "order_outcomes",
        a_row(
            "order_outcomes",
            "decided",
            DUE,
            None,
            order_id="o1",
            customer_id="c1",
            kind="dispute_decided_for_merchant",
        ),
    ),
)
"""One customer's life: no two states of one thing began at one instant, and every rule is kept. The states
that began at AHEAD or later come from a clock that is ahead of the ledger's."""


def opened(folder: Path, empty_sqlite: bytes) -> Iterator[Store]:
    file = folder / "bonitas.db"
    file.write_bytes(empty_sqlite)
    store = open_store(f"sqlite:///{file}")
    yield store
    store.close()


def seen_by_the_checkout(store: Store) -> DecisionInputs:
    with store.reading() as tx:
        rows = credit_rows(tx, "c1")
    order = {name: value for name, value in an_order("o9", at=NOW).items() if value is not None}
    return inputs_at(
        rows, order, reserved_cents=0, as_of_ms=NOW + DAY, feature_set=INVOICE_ELIGIBILITY, terms=USUAL_TERMS
    )


def all_arrive(store: Store, facts: list[tuple[str, Row]]) -> DecisionInputs:
    for contract_name, row in facts:
        contract = CONTRACTS[contract_name]
        sent = {name: value for name, value in row.items() if name != "recorded_at" and value is not None}
        with store.writing(entity_of(contract, sent)) as tx:
            # The clock stands still: rows that arrive in one millisecond still have an order.
            status = append(tx, contract, sent, NOW).status
        # What a correction that is still to come makes fit is refused until then.
        assert status is not AppendStatus.REPEATED, row["event_id"]
    with store.reading() as tx:
        assert held_count(tx) == 0
        assert tx.execute("SELECT count(*) FROM ledger_events") == [(len(facts),)]
        assert tx.execute("SELECT count(*) FROM refused_events") == [(0,)]
    return seen_by_the_checkout(store)


@examples(2_500)
@given(arrivals=st.permutations(FACTS))
def test_in_whatever_order_facts_arrive_the_checkout_sees_the_same_in_the_end(
    tmp_path_factory: pytest.TempPathFactory, empty_sqlite: bytes, arrivals: list[tuple[str, Row]]
) -> None:
    folder = tmp_path_factory.mktemp("arrivals")
    for store in opened(folder, empty_sqlite):
        as_they_happened = all_arrive(store, list(FACTS))
    for store in opened(folder, empty_sqlite):
        assert all_arrive(store, list(arrivals)) == as_they_happened
    applicant: Any = as_they_happened.applicant
    assert (applicant.identity_status, applicant.phone_confirmed) == ("verified", False)
    assert as_they_happened.standing.outstanding_cents == 300
