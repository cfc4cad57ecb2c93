import numpy as np
import pyarrow as pa
import pytest

from data_contracts.contract import ColumnType
from data_contracts.cross_table_rules import LedgerColumns, judge_ledger, needed_columns
from data_contracts.ledger_contracts import CONTRACTS
from data_contracts.row_check import Rule

NOW_MS = 1_800_000_000_000


def judged(tables, failed=()):
    """The verdicts on rows in ledger row form; `failed` names event_ids that broke a rule of their own."""
    columns = {}
    for name, rows in tables.items():
        contract = CONTRACTS[name]
        arrays = {
            column: pa.array(
                [row.get(column) for row in rows],
                pa.int64() if contract.column(column).type is ColumnType.TIMESTAMP else pa.string(),
            )
            for column in needed_columns(contract)
        }
        passed = np.array([row["event_id"] not in failed for row in rows], dtype=np.bool_)
        columns[name] = LedgerColumns(columns=pa.table(arrays), passed=passed)

    def same_content(contract, pairs):
        rows = tables[contract.name]
        return [
            {**rows[first], "recorded_at": 0} == {**rows[later], "recorded_at": 0} for first, later in pairs
        ]

    return judge_ledger(columns, now_ms=NOW_MS, same_content=same_content)


def broken(tables, failed=()):
    """Every (contract, position, column, rule) that the verdicts name."""
    return {
        (name, position, column, rule)
        for name, verdict in judged(tables, failed).items()
        for position, rules in verdict.broken.items()
        for column, rule in rules
    }


@pytest.fixture
def a_book(a_row):
    """One valid row per contract, with further rows where a test adds them."""

    def build(**further):
        tables = {name: [a_row(name)] for name in CONTRACTS}
        for name, rows in further.items():
            tables[name] = tables[name] + rows
        return tables

    return build


def test_a_book_whose_rows_fit_together_is_accepted_whole(a_book):
    assert broken(a_book()) == set()
    assert all(verdict.accepted.all() for verdict in judged(a_book()).values())


def test_a_row_that_was_sent_twice_is_repeated_and_no_error(a_book, a_row):
    again = a_row("orders", recorded_at=a_row("orders")["recorded_at"] + 5)
    verdict = judged(a_book(orders=[again]))["orders"]
    assert verdict.broken == {}
    assert verdict.accepted.tolist() == [True, False]
    assert verdict.repeated.tolist() == [False, True]


def test_an_event_id_with_other_content_is_refused_and_the_first_stays(a_book, a_row):
    other = a_row("orders", order_id="o-2", recorded_at=a_row("orders")["recorded_at"] + 5)
    assert broken(a_book(orders=[other])) == {("orders", 1, "event_id", Rule.EVENT_ID_REUSED)}


def test_one_event_id_names_one_row_of_the_whole_ledger(a_book, a_row):
    event = a_row("order_events", event_id="orders-1")
    assert broken(a_book(order_events=[event])) == {("order_events", 1, "event_id", Rule.EVENT_ID_REUSED)}


def test_a_second_order_with_the_same_id_is_refused(a_book, a_row):
    second = a_row("orders", event_id="e-2", recorded_at=a_row("orders")["recorded_at"] + 5)
    assert broken(a_book(orders=[second])) == {("orders", 1, "order_id", Rule.KEY_REUSED)}


def test_a_later_state_of_a_customer_has_the_same_key(a_book, a_row):
    assert broken(a_book(customers=[a_row("customers", event_id="e-2", language="en")])) == set()


@pytest.mark.parametrize(
    ("contract", "column"),
    [
        ("orders", "merchant_id"),
        ("orders", "customer_id"),
        ("invoices", "order_id"),
        ("invoice_payments", "invoice_id"),
        ("invoice_pauses", "invoice_id"),
        ("account_balances", "account_id"),
        ("order_events", "order_id"),
    ],
)
def test_a_reference_to_nothing_is_refused(a_book, a_row, contract, column):
    stray = a_row(contract, event_id="stray", **{column: "nobody"})
    key = CONTRACTS[contract].key[0]
    if key != "event_id":
        stray[key] = "stray-key"
    assert broken(a_book(**{contract: [stray]})) >= {(contract, 1, column, Rule.UNKNOWN_REFERENCE)}


def test_a_reference_to_a_contract_without_rows_is_refused(a_row):
    found = broken({"credit_inquiries": [a_row("credit_inquiries")]})
    assert found == {("credit_inquiries", 0, "customer_id", Rule.UNKNOWN_REFERENCE)}


def test_what_refers_to_a_quarantined_row_is_quarantined_down_the_line(a_book):
    tables = a_book()
    found = broken(tables, failed={"orders-1"})
    assert ("invoices", 0, "order_id", Rule.REFERENCE_QUARANTINED) in found
    assert ("invoice_payments", 0, "invoice_id", Rule.REFERENCE_QUARANTINED) in found
    assert ("order_outcomes", 0, "order_id", Rule.REFERENCE_QUARANTINED) in found
    accepted = {name for name, verdict in judged(tables, {"orders-1"}).items() if verdict.accepted.all()}
    assert accepted == {"merchants", "customers", "credit_accounts", "account_balances", "credit_inquiries"}


def test_a_payment_of_another_customer_is_refused(a_book, a_row):
    other = a_row("customers", event_id="e-2", customer_id="c-2")
    payment = a_row("invoice_payments", event_id="e-3", customer_id="c-2")
    found = broken(a_book(customers=[other], invoice_payments=[payment]))
    assert found == {("invoice_payments", 1, "customer_id", Rule.CUSTOMER_DIFFERS)}


@pytest.mark.parametrize(
    ("contract", "changes"),
    [
        ("invoices", {"invoice_id": "i-2"}),
        ("invoice_payments", {}),
        ("invoice_adjustments", {}),
        ("invoice_charges", {}),
        ("account_balances", {}),
    ],
)
def test_a_currency_that_differs_is_refused(a_book, a_row, contract, changes):
    odd = a_row(contract, event_id="e-2", currency="SEK", **changes)
    assert broken(a_book(**{contract: [odd]})) == {(contract, 1, "currency", Rule.CURRENCY_DIFFERS)}


def test_the_currency_of_a_correction_counts_too(a_book, a_row):
    invoice = a_row("invoices")
    corrected = a_row(
        "invoices",
        event_id="e-2",
        corrects="invoices-1",
        currency="SEK",
        recorded_at=invoice["recorded_at"] + 5,
    )
    order = a_row(
        "orders", event_id="e-3", corrects="orders-1", currency="SEK", recorded_at=invoice["recorded_at"]
    )
    payment = a_row("invoice_payments", event_id="e-4", currency="SEK")
    assert broken(a_book(orders=[order], invoices=[corrected], invoice_payments=[payment])) == set()


@pytest.mark.parametrize(
    ("contract", "changes"),
    [("invoices", {"invoice_id": "i-2"}), ("invoice_payments", {}), ("order_events", {})],
)
def test_nothing_happens_before_the_order_or_invoice_that_it_names(a_book, a_row, contract, changes):
    before = a_row(contract)["occurred_at"] - 1
    early = a_row(contract, event_id="e-2", occurred_at=before, **changes)
    assert broken(a_book(**{contract: [early]})) == {(contract, 1, "occurred_at", Rule.BEFORE_REFERENCE)}


def test_nothing_was_recorded_in_the_future(a_book, a_row):
    late = a_row("credit_inquiries", event_id="e-2", recorded_at=NOW_MS + 1)
    now = a_row("credit_inquiries", event_id="e-3", recorded_at=NOW_MS)
    found = broken(a_book(credit_inquiries=[late, now]))
    assert found == {("credit_inquiries", 1, "recorded_at", Rule.RECORDED_IN_FUTURE)}


def correction(a_row, number, corrects, **changes):
    recorded_at = a_row("invoice_payments")["recorded_at"] + number
    return a_row(
        "invoice_payments", event_id=f"e-{number}", corrects=corrects, recorded_at=recorded_at, **changes
    )


def test_a_correction_of_a_correction_is_accepted(a_book, a_row):
    first = correction(a_row, 2, "invoice-payments-1", amount_cents=0)
    second = correction(a_row, 3, "e-2", amount_cents=5)
    assert broken(a_book(invoice_payments=[second, first])) == set()


def test_a_row_is_corrected_once(a_book, a_row):
    first = correction(a_row, 2, "invoice-payments-1", amount_cents=0)
    second = correction(a_row, 3, "invoice-payments-1", amount_cents=5)
    found = broken(a_book(invoice_payments=[second, first]))
    assert found == {("invoice_payments", 1, "corrects", Rule.CORRECTED_TWICE)}


def test_a_correction_names_a_row_that_is_there(a_book, a_row):
    stray = correction(a_row, 2, "nothing")
    found = broken(a_book(invoice_payments=[stray]))
    assert found == {("invoice_payments", 1, "corrects", Rule.UNKNOWN_REFERENCE)}


def test_a_correction_of_a_refused_row_is_refused_and_so_is_its_own(a_book, a_row):
    first = correction(a_row, 2, "invoice-payments-1")
    second = correction(a_row, 3, "e-2")
    found = broken(a_book(invoice_payments=[first, second]), failed={"invoice-payments-1"})
    assert found == {
        ("invoice_payments", 1, "corrects", Rule.REFERENCE_QUARANTINED),
        ("invoice_payments", 2, "corrects", Rule.REFERENCE_QUARANTINED),
    }


def test_a_correction_keeps_customer_and_key(a_book, a_row):
    other = a_row("customers", event_id="e-9", customer_id="c-2")
    inquiry = a_row("credit_inquiries", event_id="e-2", customer_id="c-2", corrects="credit-inquiries-1")
    order = a_row("orders", event_id="e-3", order_id="o-3", corrects="orders-1")
    itself = a_row("order_events", event_id="e-4", corrects="e-4")
    found = broken(
        a_book(customers=[other], credit_inquiries=[inquiry], orders=[order], order_events=[itself])
    )
    assert found == {
        ("credit_inquiries", 1, "corrects", Rule.CORRECTS_OTHER_KEY),
        ("orders", 1, "corrects", Rule.CORRECTS_OTHER_KEY),
        ("order_events", 1, "corrects", Rule.CORRECTS_OTHER_KEY),
    }


def test_a_correction_is_not_known_before_what_it_corrects(a_book, a_row):
    early = correction(a_row, -1, "invoice-payments-1")
    found = broken(a_book(invoice_payments=[early]))
    assert found == {("invoice_payments", 1, "recorded_at", Rule.BEFORE_REFERENCE)}


def test_the_accepted_rows_of_any_book_are_accepted_again(a_book, a_row):
    rng = np.random.default_rng(5)
    tables = {name: [] for name in CONTRACTS}
    for name in CONTRACTS:
        for number in range(40):
            changes = {
                column.name: f"{column.name[0]}-{rng.integers(1, 6)}"
                for column in CONTRACTS[name].columns
                if column.reference is not None or (column.name in CONTRACTS[name].key)
            }
            changes["event_id"] = f"{name[:2]}-{rng.integers(1, 60)}"
            changes["recorded_at"] = a_row(name)["recorded_at"] + int(rng.integers(0, 10))
            if number and rng.random() < 0.3:
                changes["corrects"] = tables[name][int(rng.integers(0, number))]["event_id"]
            tables[name].append(a_row(name, **changes))
    verdicts = judged(tables)
    for name, verdict in verdicts.items():
        refused = np.zeros(len(verdict.accepted), dtype=np.bool_)
        refused[list(verdict.broken)] = True
        counted = verdict.accepted.astype(int) + verdict.repeated.astype(int) + refused.astype(int)
        assert counted.tolist() == [1] * len(tables[name])
    kept = {
        name: [row for row, keep in zip(tables[name], verdict.accepted, strict=True) if keep]
        for name, verdict in verdicts.items()
    }
    assert sum(map(len, kept.values())) > 10
    assert broken(kept) == set()
