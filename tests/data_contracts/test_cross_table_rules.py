import numpy as np
import pyarrow as pa
import pytest

from data_contracts.between_rows.cross_table_rules import judge_ledger
from data_contracts.between_rows.ledger_columns import LedgerColumns, needed_columns, no_rows
from data_contracts.contract import MAXIMUM_CLOCK_TOLERANCE_MS
from data_contracts.ledger_contracts import CONTRACTS
from data_contracts.rules import Rule
from tests.builders import ms

NOW_MS = 1_800_000_000_000


def judged(tables, failed=(), now_ms=NOW_MS):
    """The verdicts on rows in ledger row form; `failed` names event_ids that broke a rule of their own."""
    columns = {}
    for name, rows in tables.items():
        contract = CONTRACTS[name]
        values = {column: [row.get(column) for row in rows] for column in needed_columns(contract)}
        passed = np.array([row["event_id"] not in failed for row in rows], dtype=np.bool_)
        table = pa.table(values, schema=no_rows(contract).columns.schema)
        columns[name] = LedgerColumns(columns=table, passed=passed)

    def full_rows(contract, positions):
        return [tables[contract.name][position] for position in positions]

    return judge_ledger(columns, now_ms=now_ms, full_rows=full_rows)


def broken(tables, failed=(), now_ms=NOW_MS):
    """Every (contract, position, column, rule) that the verdicts name."""
    return {
        (name, position, column, rule)
        for name, verdict in judged(tables, failed, now_ms).items()
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
    later = a_row(
        "customers", event_id="e-2", language="en", occurred_at=a_row("customers")["occurred_at"] + 1
    )
    assert broken(a_book(customers=[later])) == set()


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


def later(a_row, contract, seconds, **changes):
    """A row that was recorded some seconds after the first of its contract."""
    return a_row(contract, recorded_at=a_row(contract)["recorded_at"] + seconds * 1000, **changes)


def test_the_currency_that_stands_counts(a_row):
    order = a_row("orders")
    corrected = later(a_row, "orders", 1, event_id="e-2", corrects="orders-1", currency="SEK")
    tables = {
        "merchants": [a_row("merchants")],
        "customers": [a_row("customers")],
        "orders": [order, corrected],
        "invoices": [
            later(a_row, "invoices", 2),
            later(a_row, "invoices", 3, currency="SEK", event_id="e-3"),
        ],
    }
    assert broken(tables) == {("invoices", 0, "currency", Rule.CURRENCY_DIFFERS)}


@pytest.mark.parametrize("contract", ["orders", "invoices"])
def test_a_correction_keeps_the_currency_of_what_refers_to_it(a_book, a_row, contract):
    first = a_row(contract)["event_id"]
    corrected = later(a_row, contract, 9, event_id="e-2", corrects=first, currency="SEK")
    found = broken(a_book(**{contract: [corrected]}))
    assert found == {(contract, 1, "currency", Rule.CURRENCY_DIFFERS)}


TIMED_ROWS = [
    ("invoices", {"invoice_id": "i-2", "amount_cents": 1}),
    ("invoice_adjustments", {}),
    ("invoice_charges", {}),
    ("invoice_pauses", {"pause_id": "p-2"}),
    ("order_events", {}),
    ("order_outcomes", {}),
]
HOUR_MS = 3_600_000


@pytest.mark.parametrize(("contract", "changes"), TIMED_ROWS, ids=[name for name, _ in TIMED_ROWS])
@pytest.mark.parametrize(
    ("named_at", "at", "fits"),
    [
        # Two machines' clocks may be five minutes apart.
        ("2026-10-02T14:30:00.500", "2026-10-02T14:25:00.500", True),
        ("2026-10-02T14:30:00.500", "2026-10-02T14:25:00.499", False),
        # A second without its fraction, a minute without its seconds.
        ("2026-10-02T14:30:00.500", "2026-10-02T14:25:00", True),
        ("2026-10-02T14:31:59.999", "2026-10-02T14:26:00", True),
        ("2026-10-02T14:32:00.000", "2026-10-02T14:26:00", False),
        # A date without a time: midnight in UTC, in Berlin, on Kiritimati (UTC+14); no day before it.
        ("2026-10-02T14:30:00", "2026-10-02T00:00:00", True),
        ("2026-10-02T21:59:00", "2026-10-01T22:00:00", True),
        ("2026-10-02T23:59:00", "2026-10-01T10:00:00", True),
        ("2026-10-02T23:59:00", "2026-10-01T09:45:00", False),
        ("2026-10-02T14:30:00", "2026-10-02T00:00:01", False),
    ],
)
def test_nothing_happens_before_what_it_names_but_for_clocks_and_dates(
    a_row, contract, changes, named_at, at, fits
):
    moment, named = ms(at), ms(named_at)
    tables = {name: [a_row(name)] for name in ("merchants", "customers")}
    tables["orders"] = [a_row("orders", occurred_at=named, recorded_at=named)]
    if "order_id" not in a_row(contract):
        tables["invoices"] = [a_row("invoices", occurred_at=named, recorded_at=named, due_at=named + 1)]
        tables["invoice_payments"] = [a_row("invoice_payments", occurred_at=named, recorded_at=named)]
    row = a_row(contract, event_id="e-2", occurred_at=moment, recorded_at=named + HOUR_MS, **changes)
    started = {"started_at": moment} if "started_at" in row else {}
    tables[contract] = [{**row, **started}]
    expected = set() if fits else {(contract, 0, "occurred_at", Rule.BEFORE_REFERENCE)}
    assert broken(tables, now_ms=ms("2026-12-01")) == expected


def test_a_pause_does_not_begin_before_its_invoice(a_book, a_row):
    # Else the due date would move by a year.
    long_ago = a_row("invoice_pauses")["started_at"] - 365 * 24 * HOUR_MS + 1
    pause = a_row("invoice_pauses", event_id="e-2", pause_id="p-2", started_at=long_ago)
    assert broken(a_book(invoice_pauses=[pause])) == {
        ("invoice_pauses", 1, "started_at", Rule.BEFORE_REFERENCE)
    }


def test_money_may_come_any_time_before_its_invoice(a_book, a_row):
    long_before = a_row("invoice_payments", event_id="e-2", occurred_at=1)
    assert broken(a_book(invoice_payments=[long_before])) == set()


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
        ("invoice_adjustments", 0, "amount_cents", Rule.REFUNDED_ABOVE_PAID),
        ("invoice_payments", 1, "corrects", Rule.REFERENCE_QUARANTINED),
        ("invoice_payments", 2, "corrects", Rule.REFERENCE_QUARANTINED),
    }


def test_a_correction_keeps_customer_and_key(a_book, a_row):
    other = a_row("customers", event_id="e-9", customer_id="c-2")
    inquiry = a_row("credit_inquiries", event_id="e-2", customer_id="c-2", corrects="credit-inquiries-1")
    order = a_row("orders", event_id="e-3", order_id="o-3", corrects="orders-1")
    elsewhere = a_row("order_events", event_id="e-4", corrects="order-outcomes-1")
    found = broken(
        a_book(customers=[other], credit_inquiries=[inquiry], orders=[order], order_events=[elsewhere])
    )
    assert found == {
        ("credit_inquiries", 1, "corrects", Rule.CORRECTS_OTHER_KEY),
        ("orders", 1, "corrects", Rule.CORRECTS_OTHER_KEY),
        ("order_events", 1, "corrects", Rule.CORRECTS_OTHER_KEY),
    }


def test_a_correction_that_was_recorded_first_waits_for_what_it_corrects(a_book, a_row):
    early = correction(a_row, -1, "invoice-payments-1")
    assert broken(a_book(invoice_payments=[early])) == set()


def test_a_row_does_not_correct_itself_nor_rows_each_other(a_book, a_row):
    itself = correction(a_row, 2, "e-2")
    one, two, three = correction(a_row, 3, "e-4"), correction(a_row, 4, "e-5"), correction(a_row, 5, "e-3")
    after_them = correction(a_row, 6, "e-5")
    found = broken(a_book(invoice_payments=[itself, one, two, three, after_them]))
    assert found == {
        ("invoice_payments", 1, "corrects", Rule.CORRECTS_ITSELF),
        ("invoice_payments", 2, "corrects", Rule.CORRECTS_ITSELF),
        ("invoice_payments", 3, "corrects", Rule.CORRECTS_ITSELF),
        ("invoice_payments", 4, "corrects", Rule.CORRECTS_ITSELF),
        ("invoice_payments", 5, "corrects", Rule.REFERENCE_QUARANTINED),
    }


# Amounts: order o-1 comes to 1190, and invoice i-1 bills all of it.


def an_invoice(a_row, seconds, amount_cents, number=2, **changes):
    ids = {"event_id": f"invoice-{number}", "invoice_id": f"i-{number}"}
    return later(a_row, "invoices", seconds, amount_cents=amount_cents, **{**ids, **changes})


def an_adjustment(a_row, seconds, kind, amount_cents, event_id="a-2", **changes):
    changes = {"kind": kind, "amount_cents": amount_cents, "event_id": event_id, **changes}
    return later(a_row, "invoice_adjustments", seconds, **changes)


def test_an_invoice_above_its_order_is_refused_and_takes_with_it_what_names_it(a_book, a_row):
    above = an_invoice(a_row, 1, 1191)
    payment = later(a_row, "invoice_payments", 2, event_id="p-2", invoice_id="i-2")
    assert broken(a_book(invoices=[above], invoice_payments=[payment])) == {
        ("invoices", 1, "amount_cents", Rule.ABOVE_ORDER),
        ("invoice_payments", 1, "invoice_id", Rule.REFERENCE_QUARANTINED),
    }


def test_an_order_is_invoiced_in_parts_up_to_its_amount(a_book, a_row):
    tables = a_book(invoices=[an_invoice(a_row, 1, 190), an_invoice(a_row, 2, 1, number=3)])
    tables["invoices"][0]["amount_cents"] = 1000
    assert broken(tables) == {("invoices", 2, "amount_cents", Rule.SUM_ABOVE_ORDER)}


@pytest.mark.parametrize("seconds", [1, 3])
def test_what_a_credit_note_took_off_is_invoiced_anew_whichever_comes_first(a_book, a_row, seconds):
    credited = an_adjustment(a_row, seconds, "credit_note", 190)
    fits, is_too_much = an_invoice(a_row, 2, 190), an_invoice(a_row, 4, 1, number=3)
    found = broken(a_book(invoices=[fits, is_too_much], invoice_adjustments=[credited]))
    assert found == {("invoices", 2, "amount_cents", Rule.SUM_ABOVE_ORDER)}


@pytest.mark.parametrize(
    ("contract", "changes", "rule"),
    [
        ("orders", {"amount_cents": 1189, "vat_cents": 0}, Rule.ORDER_BELOW_INVOICED),
        ("invoices", {"amount_cents": 189}, Rule.INVOICE_BELOW_CREDITED),
        ("invoices", {"amount_cents": 1191}, Rule.ABOVE_ORDER),
    ],
)
def test_what_limits_other_rows_is_not_corrected_below_them(a_book, a_row, contract, changes, rule):
    credited = an_adjustment(a_row, 1, "credit_note", 190)
    anew = an_invoice(a_row, 2, 190)
    corrected = later(a_row, contract, 3, event_id="e-2", corrects=a_row(contract)["event_id"], **changes)
    tables = a_book(invoice_adjustments=[credited], invoices=[anew])
    position = len(tables[contract])
    tables[contract].append(corrected)
    assert broken(tables) == {(contract, position, "amount_cents", rule)}


def test_a_credit_note_is_not_taken_back_under_the_invoice_that_replaced_it(a_book, a_row):
    credited = an_adjustment(a_row, 1, "credit_note", 190)
    corrected = an_adjustment(a_row, 3, "credit_note", 189, event_id="a-3", corrects="a-2")
    found = broken(a_book(invoice_adjustments=[credited, corrected], invoices=[an_invoice(a_row, 2, 190)]))
    assert found == {("invoice_adjustments", 2, "amount_cents", Rule.SUM_ABOVE_ORDER)}


def test_a_correction_is_judged_without_the_row_that_it_replaces(a_book, a_row):
    lower = an_invoice(a_row, 1, 1000, number=1, event_id="e-2", corrects="invoices-1")
    credited = an_adjustment(a_row, 2, "credit_note", 900)
    less = an_adjustment(a_row, 3, "credit_note", 1000, event_id="a-3", corrects="a-2")
    assert broken(a_book(invoices=[lower], invoice_adjustments=[credited, less])) == set()


def test_the_credit_notes_of_an_invoice_do_not_pass_it(a_book, a_row):
    whole, more = (
        an_adjustment(a_row, 1, "credit_note", 1190),
        an_adjustment(a_row, 2, "credit_note", 1, "a-3"),
    )
    found = broken(a_book(invoice_adjustments=[whole, more]))
    assert found == {("invoice_adjustments", 2, "amount_cents", Rule.CREDITED_ABOVE_INVOICE)}


def test_a_refund_waits_for_the_payment_that_it_pays_back(a_book, a_row):
    # One cent is refunded already.
    early = an_adjustment(a_row, -9, "refund", 1189)
    assert broken(a_book(invoice_adjustments=[early])) == set()
    more = an_adjustment(a_row, 1, "refund", 1, "a-3")
    found = broken(a_book(invoice_adjustments=[early, more]))
    assert found == {("invoice_adjustments", 2, "amount_cents", Rule.REFUNDED_ABOVE_PAID)}


def test_a_debit_is_returned_whole_whatever_of_it_was_refunded(a_book, a_row):
    # One cent of it is refunded already.
    returned = an_adjustment(a_row, 1, "refund", 1190, reason="returned_debit")
    assert broken(a_book(invoice_adjustments=[returned])) == set()
    twice = an_adjustment(a_row, 2, "refund", 1, "a-3", reason="returned_debit")
    found = broken(a_book(invoice_adjustments=[returned, twice]))
    assert found == {("invoice_adjustments", 2, "amount_cents", Rule.REFUNDED_ABOVE_PAID)}


def test_a_payment_that_was_taken_back_is_true_also_under_a_refund(a_book, a_row):
    gone = later(a_row, "invoice_payments", 5, event_id="e-2", corrects="invoice-payments-1", amount_cents=0)
    assert broken(a_book(invoice_payments=[gone])) == set()


@pytest.mark.parametrize("kind", ["dispute_decided_for_customer", "dispute_decided_for_merchant"])
def test_a_dispute_is_decided_where_there_is_one(a_row, kind):
    tables = {name: [a_row(name)] for name in ("merchants", "customers", "orders")}
    tables["order_outcomes"] = [a_row("order_outcomes", kind=kind)]
    assert broken(tables) == {("order_outcomes", 0, "kind", Rule.NOT_INVOICED)}
    tables["invoices"] = [later(a_row, "invoices", 1)]
    tables["invoice_pauses"] = [a_row("invoice_pauses")]
    assert broken(tables) == {("order_outcomes", 0, "kind", Rule.NOT_DISPUTED)}
    tables["invoice_pauses"] = [later(a_row, "invoice_pauses", 2, reason="dispute")]
    assert broken(tables) == set()


def test_a_dispute_is_decided_only_after_it_began_but_for_clocks_and_dates(a_row):
    began = a_row("invoice_pauses")["started_at"]
    hour = 3_600_000

    def found(decided_at):
        recorded_at = began + 90 * 24 * hour
        outcome = a_row("order_outcomes", kind="dispute_decided_for_customer", occurred_at=decided_at)
        order = a_row("orders", occurred_at=began - 90 * 24 * hour)
        invoice = a_row("invoices", occurred_at=began - 90 * 24 * hour)
        tables = {name: [a_row(name)] for name in CONTRACTS}
        tables |= {
            "orders": [order],
            "invoices": [invoice],
            "invoice_pauses": [a_row("invoice_pauses", reason="dispute")],
        }
        tables["order_outcomes"] = [{**outcome, "recorded_at": recorded_at}]
        return broken(tables)

    too_early = {("order_outcomes", 0, "kind", Rule.NOT_DISPUTED)}
    to_the_ms = began - 300_000 + (1 if began % 1_000 == 0 else 0)
    assert found(to_the_ms) == set()
    assert found(to_the_ms - 2) == too_early
    midnight = began // (24 * hour) * 24 * hour
    assert found(midnight) == set()
    assert found(midnight - 48 * hour) == too_early


def test_a_dispute_may_begin_before_the_invoice_of_its_order_and_a_return_may_not(a_row):
    tables = {name: [a_row(name)] for name in CONTRACTS if name != "order_outcomes"}
    invoiced = tables["invoices"][0]["occurred_at"]
    tables["orders"] = [a_row("orders", occurred_at=invoiced - 2 * 86_400_000)]

    def found(reason, began):
        pause = a_row("invoice_pauses", reason=reason, started_at=began)
        return broken({**tables, "invoice_pauses": [pause]})

    assert found("dispute", invoiced - 2 * 86_400_000 + 1) == set()
    before = {("invoice_pauses", 0, "started_at", Rule.BEFORE_REFERENCE)}
    assert found("return", invoiced - 2 * 86_400_000 + 1) == before
    assert found("dispute", invoiced - 4 * 86_400_000 + 1) == before


def a_transfer(a_row, seconds, event_id, **changes):
    changes = {"bank_reference": "2026-10-02/77", "event_id": event_id, **changes}
    return later(a_row, "invoice_payments", seconds, **changes)


def test_a_transfer_that_was_imported_twice_counts_once(a_book, a_row):
    verdict = judged(a_book(invoice_payments=[a_transfer(a_row, 1, "p-2"), a_transfer(a_row, 2, "p-3")]))
    assert verdict["invoice_payments"].repeated.tolist() == [False, False, True]
    assert verdict["invoice_payments"].broken == {}


@pytest.mark.parametrize("written", ["RF18 5390/A", "rf185390/a", " RF18  5390/a ", "RF18\u00a05390/A"])
def test_a_bank_reference_is_one_however_its_letters_and_blanks_are_written(a_book, a_row, written):
    first = a_transfer(a_row, 1, "p-2", bank_reference="RF18 5390/A")
    again, other = (a_transfer(a_row, 2, "p-3", bank_reference=text) for text in (written, "RF18 5390/B"))
    assert judged(a_book(invoice_payments=[first, again]))["invoice_payments"].repeated.tolist() == [
        False, False, True,
    ]  # fmt: skip
    assert not judged(a_book(invoice_payments=[first, other]))["invoice_payments"].repeated.any()
    found = broken(a_book(invoice_payments=[first, {**again, "amount_cents": 7}]))
    assert found == {("invoice_payments", 2, "bank_reference", Rule.BANK_REFERENCE_REUSED)}


def test_a_bank_reference_stands_for_one_transfer_until_it_is_corrected_away(a_book, a_row):
    first, other = a_transfer(a_row, 1, "p-2"), a_transfer(a_row, 2, "p-3", amount_cents=7)
    found = broken(a_book(invoice_payments=[first, other]))
    assert found == {("invoice_payments", 2, "bank_reference", Rule.BANK_REFERENCE_REUSED)}
    kept = a_transfer(a_row, 3, "p-4", corrects="p-2", amount_cents=9)
    dropped = a_transfer(a_row, 5, "p-5", corrects="p-4", amount_cents=0, bank_reference=None)
    anew = a_transfer(a_row, 6, "p-6", amount_cents=11)
    assert broken(a_book(invoice_payments=[first, kept, dropped, anew])) == set()
    # Who imports the first transfer once more does not bring back what was corrected.
    again = judged(a_book(invoice_payments=[first, kept, dropped, a_transfer(a_row, 6, "p-7")]))
    assert again["invoice_payments"].repeated.tolist() == [False] * 4 + [True]


@pytest.mark.parametrize(
    ("contract", "changes"),
    [
        ("customers", {"identity_status": "unverified"}),
        ("merchants", {"has_portal_account": False}),
        ("credit_accounts", {"kind": "credit_card"}),
        ("invoice_pauses", {"tracking_number": "another"}),
        ("account_balances", {"balance_cents": 77}),
    ],
)
def test_states_of_which_nobody_can_tell_which_stands_are_refused_each_of_them(a_row, contract, changes):
    def refused_for_it(rows):
        tables = {name: [a_row(name)] for name in CONTRACTS}
        tables[contract] = rows
        return {
            rows[position]["event_id"]
            for name, position, column, rule in broken(tables)
            if (name, column, rule) == (contract, "occurred_at", Rule.UNDECIDABLE)
        }

    one, other = a_row(contract, event_id="e-1"), a_row(contract, event_id="e-2", **changes)
    assert refused_for_it([one, other]) == {"e-1", "e-2"}
    # The same under two ids says nothing new; whoever happened or was recorded later stands.
    assert refused_for_it([one, {**one, "event_id": "e-2"}]) == set()
    assert refused_for_it([one, {**other, "recorded_at": other["recorded_at"] + 1}]) == set()
    assert refused_for_it([one, {**other, "occurred_at": other["occurred_at"] + 1}]) == set()
    assert refused_for_it([one, {**other, "corrects": "e-1"}]) == set()

    # A clock that is ahead tells them apart; one that is ahead by hours is none.
    def ahead_by(first_ms, second_ms):
        now = one["recorded_at"]
        moved = {**other, "occurred_at": now + second_ms}
        return refused_for_it([{**one, "occurred_at": now + first_ms}, moved])

    assert ahead_by(1, 2) == set()
    assert (
        ahead_by(2, 2)
        == ahead_by(MAXIMUM_CLOCK_TOLERANCE_MS + 1, MAXIMUM_CLOCK_TOLERANCE_MS + 2)
        == {
            "e-1",
            "e-2",
        }
    )


def test_two_decisions_of_one_dispute_at_the_same_instants_are_refused_and_findings_are_not(a_book, a_row):
    pause = a_row("invoice_pauses", reason="dispute")

    def refused(*kinds):
        rows = [later(a_row, "order_outcomes", 5, event_id=kind, kind=kind) for kind in kinds]
        found = broken({**a_book(), "invoice_pauses": [pause], "order_outcomes": rows})
        assert {(name, column, rule) for name, _, column, rule in found} <= {
            ("order_outcomes", "occurred_at", Rule.UNDECIDABLE)
        }
        return {kinds[position] for _, position, _, _ in found}

    decided = ("dispute_decided_for_customer", "dispute_decided_for_merchant")
    assert refused(*decided, "review_released", "stop_request_upheld") == set(decided)
    assert refused("dispute_decided_for_merchant", "review_released", "stop_request_upheld") == set()


def test_two_places_of_one_order_at_the_same_instants_are_refused_and_other_events_are_not(a_row):
    def refused(*events):
        rows = [a_row("order_events", event_id=f"e-{place}", **event) for place, event in enumerate(events)]
        tables = {name: [a_row(name)] for name in CONTRACTS}
        found = broken({**tables, "order_events": rows})
        assert {(name, column, rule) for name, _, column, rule in found} <= {
            ("order_events", "occurred_at", Rule.UNDECIDABLE)
        }
        return {position for _, position, _, _ in found}

    here, there = ({"new_delivery_street": street, "new_delivery_postal_code": "1"} for street in ("A", "B"))
    moved, redirected = {"kind": "address_changed"}, {"kind": "delivery_redirected"}
    assert refused(moved | here, redirected | there, {"kind": "cancelled"}, {"kind": "confirmed"}) == {0, 1}
    assert refused(moved | here, redirected | here) == set()
    assert refused(moved | here, moved | there | {"corrects": "e-0"}) == set()


def test_what_rests_on_undecidable_states_is_refused_with_them(a_book, a_row):
    other = a_row("credit_accounts", event_id="e-2", kind="credit_card")
    assert broken(a_book(credit_accounts=[other])) == {
        ("credit_accounts", 0, "occurred_at", Rule.UNDECIDABLE),
        ("credit_accounts", 1, "occurred_at", Rule.UNDECIDABLE),
        ("account_balances", 0, "account_id", Rule.REFERENCE_QUARANTINED),
    }


@pytest.mark.parametrize("contract", ["credit_accounts", "invoice_pauses"])
def test_all_states_of_a_thing_belong_to_one_customer(a_book, a_row, contract):
    other = a_row("customers", event_id="e-2", customer_id="c-2")
    changes = {"event_id": "e-3", "customer_id": "c-2"}
    if contract == "invoice_pauses":
        order = later(a_row, "orders", 1, event_id="e-4", order_id="o-2", customer_id="c-2")
        invoice = later(
            a_row, "invoices", 2, event_id="e-5", order_id="o-2", invoice_id="i-2", customer_id="c-2"
        )
        tables = a_book(customers=[other], orders=[order], invoices=[invoice])
        changes["invoice_id"] = "i-2"
    else:
        tables = a_book(customers=[other])
    tables[contract].append(later(a_row, contract, 3, **changes))
    assert broken(tables) == {(contract, 1, "customer_id", Rule.CUSTOMER_DIFFERS)}


def test_all_states_of_a_pause_are_about_one_invoice_unless_a_correction_moves_it(a_book, a_row):
    other = an_invoice(a_row, 1, 0)
    (begin,) = a_book()["invoice_pauses"]
    moved = later(a_row, "invoice_pauses", 3, event_id="e-3", invoice_id=other["invoice_id"])
    found = broken(a_book(invoices=[other], invoice_pauses=[moved]))
    assert found == {("invoice_pauses", 1, "invoice_id", Rule.INVOICE_DIFFERS)}
    correction = {**moved, "event_id": "e-4", "corrects": begin["event_id"]}
    after_it = later(a_row, "invoice_pauses", 4, event_id="e-5", invoice_id=other["invoice_id"])
    assert broken(a_book(invoices=[other], invoice_pauses=[correction, after_it])) == set()


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
