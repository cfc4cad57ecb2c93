"""What monitoring reads of the store, on both databases."""

from collections import Counter
from typing import Any

import numpy as np

from data_contracts.ledger_contracts import CONTRACTS
from features.feature_sets import INVOICE_ELIGIBILITY
from features.online import features_at
from serving.figures.monitoring_record import EventsThatCame, ServiceRecord, read_record
from serving.store import decision_window
from serving.store.credit_rows import credit_rows
from serving.store.decision_log import LoggedDecision, append_decision
from serving.store.decision_search import first_id_at
from serving.store.ledger import append
from serving.store.quarantined_rows import quarantine_row
from serving.store.store import Store
from tests.builders import DAY, a_customer, a_merchant, an_invoice, an_order, ms

NOW = ms("2026-06-01")
WINDOW = NOW - 30 * DAY
REFERENCE = NOW - 90 * DAY


def a_known_customer(store: Store, customer_id: str) -> None:
    at = NOW - 200 * DAY
    rows = [
        ("customers", a_customer(customer_id, event_id=f"customer-{customer_id}", at=at)),
        ("orders", an_order(f"old-{customer_id}", customer_id, at=at)),
        ("invoices", an_invoice(f"i-{customer_id}", customer_id, at=at, order_id=f"old-{customer_id}")),
    ]
    with store.writing(customer_id) as tx:
        append(tx, CONTRACTS["merchants"], a_merchant(at=at), at)
        for contract, row in rows:
            append(tx, CONTRACTS[contract], row, at)


def decide(store: Store, number: int, customer_id: str, as_of_ms: int, **changes: Any) -> str:
    """Log a decision with the features that the online evaluator gives."""
    decision_id = f"{first_id_at(as_of_ms)}{number:016x}"
    reasons = [{"code": "overdue_invoice"}, {"code": "score_too_low"}]
    with store.writing(customer_id) as tx:
        features = features_at(credit_rows(tx, customer_id), as_of_ms, INVOICE_ELIGIBILITY)
        decision = {
            "decision_id": decision_id,
            "order_id": f"o{number}",
            "customer_id": customer_id,
            "merchant_id": "m1",
            "outcome": "approved",
            "as_of_ms": as_of_ms,
            "model_name": "invoice-eligibility",
            "model_version": "1",
            "feature_set_version": INVOICE_ELIGIBILITY.version,
            "policy_version": "1",
            "features": tuple(features),
            **changes,
        }
        answer = {"reasons": reasons if decision["outcome"] == "declined" else []}
        append_decision(tx, LoggedDecision(**decision, record={"answer": answer}))
    return decision_id


def read(store: Store, *, sample: int = 200) -> ServiceRecord:
    return read_record(
        store,
        [INVOICE_ELIGIBILITY],
        reference_from_ms=REFERENCE,
        window_from_ms=WINDOW,
        window_until_ms=NOW,
        sample=sample,
    )


def test_answers_of_window_and_reference_come_in_order_page_by_page(store: Store, monkeypatch: Any) -> None:
    monkeypatch.setattr(decision_window, "PAGE", 2)
    a_known_customer(store, "c1")
    decide(store, 1, "c1", REFERENCE - 1)
    for number in range(2, 7):
        decide(store, number, "c1", REFERENCE + number * DAY)
    decide(store, 7, "c1", NOW - 1, outcome="declined")
    decide(store, 8, "c1", NOW)
    record = read(store)
    assert record.as_of_ms.tolist() == [*(REFERENCE + number * DAY for number in range(2, 7)), NOW - 1]
    assert record.outcome.tolist() == ["approved"] * 5 + ["declined"]
    assert record.main_reason.tolist() == [None] * 5 + ["overdue_invoice"]


def test_logged_features_are_rebuilt_offline_and_a_wrong_one_is_named(store: Store) -> None:
    for customer_id in ("c1", "c2"):
        a_known_customer(store, customer_id)
    decide(store, 1, "c1", WINDOW + DAY)
    decide(store, 2, "nobody-knows-me", WINDOW + DAY)
    decide(store, 3, "c2", WINDOW + DAY, feature_set_version="another")
    decide(store, 4, "c2", WINDOW - DAY, features=(0.0,) * len(INVOICE_ELIGIBILITY.names))
    (rebuilt,) = read(store).rebuilt
    assert (rebuilt.compared, rebuilt.not_comparable, rebuilt.differences) == (2, 1, ())
    with store.reading() as tx:
        right = features_at(credit_rows(tx, "c2"), WINDOW + 2 * DAY, INVOICE_ELIGIBILITY)
    place = INVOICE_ELIGIBILITY.names.index("overdue_invoice_count_last")
    wrong = np.array(right)
    wrong[place] += 1
    decision_id = decide(store, 5, "c2", WINDOW + 2 * DAY, features=tuple(wrong.tolist()))
    (rebuilt,) = read(store).rebuilt
    assert rebuilt.compared == 3
    expected = (decision_id, "overdue_invoice_count_last", float(wrong[place]), float(right[place]))
    assert rebuilt.differences == (expected,)


def test_a_sample_is_drawn_where_the_log_is_long(store: Store) -> None:
    a_known_customer(store, "c1")
    for number in range(1, 6):
        decide(store, number, "c1", WINDOW + number * DAY)
    (rebuilt,) = read(store, sample=3).rebuilt
    assert rebuilt.compared == 3


def test_every_decision_has_the_same_chance_to_be_drawn_whichever_page_it_is_on(
    store: Store, monkeypatch: Any
) -> None:
    monkeypatch.setattr(decision_window, "PAGE", 2)
    a_known_customer(store, "c1")
    ids = [decide(store, number, "c1", WINDOW + number * DAY) for number in range(1, 6)]
    decide(store, 6, "c1", WINDOW + 3 * DAY, feature_set_version="another")
    drawn: Counter[str] = Counter()
    for seed in range(300):
        log = decision_window.checkout_features(
            store, WINDOW, NOW, feature_set_version=INVOICE_ELIGIBILITY.version, sample=2, seed=seed
        )
        found = [one.log_id for one in log.logged]
        assert found == sorted(found)
        assert (len(found), log.not_comparable) == (2, 1)
        drawn.update(found)
    # 120 are expected of each, with a standard deviation of 8.5.
    assert sorted(drawn) == ids
    assert all(85 <= drawn[one] <= 155 for one in ids)


def test_between_two_pages_no_transaction_is_open(store: Store, monkeypatch: Any) -> None:
    monkeypatch.setattr(decision_window, "PAGE", 2)
    a_known_customer(store, "c1")
    for number in range(1, 6):
        decide(store, number, "c1", WINDOW + number * DAY)
    pages = 0
    for _ in decision_window.answers_between(store, WINDOW, NOW):
        pages += 1
        # A write of this thread would be refused inside a reader's transaction.
        decide(store, 10 + pages, "c1", WINDOW - pages * DAY)
    assert pages == 3


def test_events_are_counted_before_the_window_and_in_it(store: Store) -> None:
    with store.writing("m1") as tx:
        append(tx, CONTRACTS["merchants"], a_merchant(at=REFERENCE), REFERENCE)
        for number, at_ms in enumerate([WINDOW - 1, WINDOW, WINDOW + 1]):
            quarantine_row(
                tx,
                quarantine_id=f"q{number}",
                contract_name="orders",
                violations=[],
                body="{}",
                now_ms=at_ms,
            )
        quarantine_row(tx, quarantine_id="q", contract_name=None, violations=[], body="{", now_ms=WINDOW)
    events = read(store).events
    assert events["orders"] == EventsThatCame(refused_before=1, refused=2)
    assert events["merchants"] == EventsThatCame(accepted_before=1)
    assert events["unknown"] == EventsThatCame(refused=1)


def test_an_empty_store_tells_of_nothing(store: Store) -> None:
    record = read(store)
    assert len(record.as_of_ms) == len(record.verdict_at_ms) == 0
    assert record.events == {}
    assert record.rebuilt[0].compared == 0
