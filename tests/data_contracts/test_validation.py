import datetime as dt
import json
import stat

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import bonitas
from data_contracts.contract import DEFAULT_CLOCK_TOLERANCE_MS
from data_contracts.ledger_contracts import CONTRACTS
from data_contracts.parquet_ledger import (
    UnreadableLedgerFile,
    arrow_schema,
    conforming,
    has_table,
    read_table,
)
from data_contracts.rules import Rule
from data_contracts.validation import quarantine
from data_contracts.validation.arrow_columns import frame_of_table
from data_contracts.validation.folder_check import validate_folder
from data_contracts.validation.judged_frame import judge_frame
from data_contracts.validation.judged_table import JudgedTable
from data_contracts.validation.validation_benchmark import run

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


@pytest.fixture
def a_small_book(write_rows, a_row):
    """One customer with an account, a balance and an inquiry: quicker than a book of all contracts."""
    names = ("customers", "credit_accounts", "account_balances", "credit_inquiries")
    return write_rows({name: [a_row(name)] for name in names})


@pytest.fixture
def report(tmp_path):
    return tmp_path / "report"


@pytest.fixture
def accepted(tmp_path):
    return tmp_path / "accepted"


@pytest.fixture
def validate(report, accepted):
    def run_once(directory, **options):
        before = contents(directory)
        try:
            return validate_folder(
                directory, report_directory=report, accepted_directory=accepted, now=NOW, **options
            )
        finally:
            assert contents(directory) == before

    return run_once


def contents(directory):
    """Every file below a folder with its bytes."""
    return {file.relative_to(directory): file.read_bytes() for file in directory.rglob("*") if file.is_file()}


def counts_of(result, contract):
    return next(counts for counts in result.contracts if counts.contract == contract)


def refused(report, contract):
    return [
        (row["row"].get("event_id"), [(broken["column"], broken["rule"]) for broken in row["violations"]])
        for row in quarantine.read(report, contract)
    ]


def check_invariant(result):
    for counts in result.contracts:
        assert counts.read == counts.accepted + counts.quarantined + counts.repeated


def test_a_good_book_is_accepted_whole(a_good_book, validate, report, accepted):
    steps = []
    result = validate(a_good_book, progress=lambda step, *, done, total: steps.append((step, done, total)))
    assert (result.read, result.accepted, result.quarantined, result.repeated) == (13, 13, 0, 0)
    assert list((report / "quarantine").glob("*")) == []
    for contract in CONTRACTS.values():
        assert read_table(accepted, contract) == read_table(a_good_book, contract)
    assert steps[-1] == ("validate", 13, 13)
    assert "every row is good" in result.report_file.read_text()


def test_bad_rows_are_copied_to_quarantine_and_a_second_run_says_the_same(
    write_rows, a_row, validate, report, accepted
):
    orders = [
        a_row("orders"),
        a_row("orders"),
        a_row("orders", event_id="e-2", order_id="o-2", amount_cents=-1, delivery_name="Secret\x1bName"),
        a_row("orders", event_id="e-3", order_id="o-3", vat_cents=5000),
        a_row("orders", event_id="e-4", order_id="o-4", merchant_id="nobody"),
        a_row("orders", event_id="e-5", order_id="o-5", occurred_at=-(2**60)),
    ]
    events = [a_row("order_events"), a_row("order_events", event_id="e-6", order_id="o-3")]
    tables = {"merchants": [a_row("merchants")], "customers": [a_row("customers")]}
    directory = write_rows({**tables, "orders": orders, "order_events": events})
    result = validate(directory)
    check_invariant(result)
    assert counts_of(result, "orders").broken_rules == {
        ("amount_cents", Rule.RANGE): 1,
        ("delivery_name", Rule.CONTROL_CHARACTERS): 1,
        ("vat_cents", Rule.NOT_ABOVE): 1,
        ("merchant_id", Rule.UNKNOWN_REFERENCE): 1,
        ("occurred_at", Rule.RANGE): 1,
    }
    assert counts_of(result, "orders").repeated == 1
    assert refused(report, "order_events") == [("e-6", [("order_id", "reference_quarantined")])]
    assert read_table(accepted, CONTRACTS["orders"])["event_id"].to_pylist() == ["orders-1"]
    assert read_table(accepted, CONTRACTS["orders"]).schema == arrow_schema(CONTRACTS["orders"])

    rows = {row["row"]["event_id"]: row for row in quarantine.read(report, "orders")}
    assert rows["e-2"]["row"]["delivery_name"] == "Secret\x1bName"
    assert rows["e-2"]["row"]["occurred_at"] == "2025-06-15T15:06:40.000Z"
    assert rows["e-5"]["row"]["occurred_at"] == -(2**60)
    assert {broken["column"]: broken["value"] for broken in rows["e-2"]["violations"]} == {
        "amount_cents": "-1",
        "delivery_name": "'Secret\\x1bName'",
    }
    assert rows["e-2"]["contract"] == "orders"
    assert stat.S_IMODE(quarantine.quarantine_file(report, "orders").stat().st_mode) == 0o600

    page = result.report_file.read_text()
    assert "Secret" not in page
    assert "•••" in page
    assert "control_characters" in page
    summary = json.loads((report / "validation.json").read_text())
    assert summary == result.to_json()
    assert summary["quarantined"] == 5

    first = contents(accepted), contents(report / "quarantine")
    again = validate(directory)
    assert again.contracts == result.contracts
    assert (contents(accepted), contents(report / "quarantine")) == first
    good = validate_folder(accepted, report_directory=report.with_name("again"), now=NOW)
    assert (good.quarantined, good.repeated, good.accepted) == (0, 0, 4)


def replace_column(file, name, values):
    table = pq.read_table(file)
    place = table.schema.get_field_index(name)
    with_values = table.append_column(name, values) if place < 0 else table.set_column(place, name, values)
    pq.write_table(with_values, file)


def cells_that_both_checks_find(contract, table):
    """What the batch check finds in rows as they lie in a file, and the check row by row of a load too."""
    by_batch = set(judge_frame(contract, frame_of_table(contract, table)))
    one_by_one = JudgedTable(contract=contract, files=())
    passed = one_by_one.judge_one_by_one(table, DEFAULT_CLOCK_TOLERANCE_MS)
    found = {
        (row, column, rule) for row, broken in one_by_one.broken.items() for column, rule in broken.items()
    }
    assert found == by_batch
    assert {row for row, is_good in enumerate(passed.tolist()) if not is_good} == {row for row, _, _ in found}
    return found


@pytest.mark.parametrize(
    ("contract", "column", "values", "rule"),
    [
        ("invoice_payments", "amount_cents", pa.array(["1190"]), "type"),
        ("invoice_payments", "amount_cents", pa.array([1190.0]), "type"),
        ("invoice_payments", "amount_cents", pa.array([2**63], pa.uint64()), "type"),
        ("invoice_payments", "currency", pa.array([978]), "type"),
        ("invoice_payments", "method", pa.array([["card"]]), "type"),
        ("invoice_payments", "recorded_at", pa.array([1_750_000_001_000]), "type"),
        ("invoice_payments", "recorded_at", pa.array(["2025-06-15T15:06:41Z"]), "type"),
        ("invoice_payments", "recorded_at", pa.array([1_750_000_001_000], pa.timestamp("ms")), "type"),
        ("invoice_payments", "customer_id", pa.array([b"c\xff"]).cast(pa.binary()), "type"),
        ("invoice_payments", "customer_id", pa.array([None], pa.null()), "missing"),
        ("customers", "birth_date", pa.array(["1990-02-28"]), "type"),
        ("customers", "birth_date", pa.array([-(2**30)], pa.int32()).cast(pa.date32()), "range"),
        ("customers", "birth_date", pa.array([2_932_897], pa.int32()).cast(pa.date32()), "range"),
        ("customers", "loyalty_points", pa.array([7]), "unknown_column"),
        ("merchants", "has_portal_account", pa.array([1]), "type"),
    ],
)
def test_a_column_of_another_type_is_refused_value_by_value(
    write_rows, a_row, rows_file, contract, column, values, rule
):
    directory = write_rows({contract: [a_row(contract)]})
    replace_column(rows_file(directory, contract), column, values)
    table = pq.read_table(rows_file(directory, contract))
    assert (0, column, Rule(rule)) in cells_that_both_checks_find(CONTRACTS[contract], table)


def test_a_file_of_strings_for_amounts_goes_to_quarantine(
    a_small_book, validate, report, accepted, rows_file
):
    replace_column(rows_file(a_small_book, "account_balances"), "balance_cents", pa.array(["-5"]))
    result = validate(a_small_book)
    check_invariant(result)
    assert refused(report, "account_balances") == [("account-balances-1", [("balance_cents", "type")])]
    assert not has_table(accepted, CONTRACTS["account_balances"])


def test_another_width_or_unit_is_brought_to_the_contracts_type(a_small_book, validate, accepted, rows_file):
    contract = CONTRACTS["account_balances"]
    expected = read_table(a_small_book, contract)
    file = rows_file(a_small_book, "account_balances")
    replace_column(file, "limit_cents", pa.array([100], pa.int32()))
    replace_column(file, "currency", pa.array(["EUR"]).dictionary_encode())
    replace_column(file, "account_id", pa.array(["a-1"], pa.large_string()))
    replace_column(file, "recorded_at", pa.array([1_750_000_001_000_999], pa.timestamp("us", "UTC")))
    replace_column(file, "occurred_at", pa.array([1_750_000_000_000], pa.timestamp("ms", "Asia/Tokyo")))
    replace_column(file, "corrects", pa.array([None], pa.null()))
    assert validate(a_small_book).quarantined == 0
    assert read_table(accepted, contract) == expected
    assert pq.read_table(rows_file(accepted, "account_balances")) == expected
    assert read_table(a_small_book, contract) == expected


def test_text_that_is_no_utf8_is_refused_and_kept(a_small_book, validate, report, rows_file):
    file = rows_file(a_small_book, "credit_inquiries")
    broken = pa.Array.from_buffers(pa.string(), 1, pa.array([b"b\xff"]).buffers())
    replace_column(file, "bureau", broken)
    validate(a_small_book)
    assert refused(report, "credit_inquiries") == [("credit-inquiries-1", [("bureau", "type")])]
    (row,) = quarantine.read(report, "credit_inquiries")
    assert row["row"]["bureau"].encode("utf-8", "surrogateescape") == b"b\xff"


def _texts(*values):
    """A text column of bytes that nobody looked at."""
    return pa.array(values, pa.binary()).view(pa.string())


@pytest.mark.parametrize(
    ("contract", "column", "values"),
    [
        ("credit_inquiries", "bureau", _texts(b"b\xff", b"schufa")),
        ("credit_inquiries", "bureau", _texts(b"b\xed\xa0\x80", b"schufa").cast(pa.large_string())),
        ("credit_inquiries", "bureau", pa.array([b"b\xff", b"b"], pa.binary_view()).view(pa.string_view())),
        (
            "credit_inquiries",
            "bureau",
            pa.DictionaryArray.from_arrays(pa.array([0, 1]), _texts(b"b\xff", b"schufa")),
        ),
        ("credit_inquiries", "customer_id", _texts(b"c\xc0\xaf", b"c-1")),
        ("credit_inquiries", "corrects", _texts(b"\xfe", b"e-7")),
        ("account_balances", "balance_cents", pa.array([2**63, 100], pa.uint64())),
        ("account_balances", "days_past_due", pa.array([2**64 - 1, 3], pa.uint64())),
        ("account_balances", "recorded_at", pa.array([2**60, 1_750_000_001], pa.timestamp("s", "UTC"))),
        ("customers", "birth_date", pa.array([2**62, 86_400_000], pa.int64()).view(pa.date64())),
    ],
)
def test_a_value_that_no_column_of_the_contract_holds_takes_nothing_from_the_rows_beside_it(
    write_rows, a_row, rows_file, contract, column, values
):
    directory = write_rows({contract: [a_row(contract), a_row(contract)]})
    file = rows_file(directory, contract)
    declared = CONTRACTS[contract]
    table = pq.read_table(file)
    table = table.set_column(table.column_names.index(column), column, values)
    cells = {(row, name) for row, name, _ in cells_that_both_checks_find(declared, table)}
    assert (0, column) in cells
    assert (1, column) not in cells
    first, second = conforming(declared.column(column), table).to_pylist()
    assert first is None
    assert second is not None


@pytest.mark.parametrize(
    ("contract", "column", "values"),
    [
        ("account_balances", "balance_cents", pa.array([100], pa.uint64())),
        ("account_balances", "limit_cents", pa.array([100]).dictionary_encode()),
        ("merchants", "has_portal_account", pa.array([True]).dictionary_encode()),
        (
            "merchants",
            "has_portal_account",
            pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1], pa.int8())),
        ),
        ("customers", "birth_date", pa.array([86_400_000], pa.int64()).view(pa.date64())),
        ("credit_inquiries", "bureau", pa.array(["schufa"], pa.string_view())),
    ],
)
def test_what_passes_the_check_is_what_is_kept(write_rows, a_row, rows_file, contract, column, values):
    directory = write_rows({contract: [a_row(contract)]})
    declared = CONTRACTS[contract]
    table = pq.read_table(rows_file(directory, contract))
    table = table.set_column(table.column_names.index(column), column, values)
    refused_columns = {name for _, name, _ in cells_that_both_checks_find(declared, table)}
    is_kept = conforming(declared.column(column), table).null_count == 0
    assert is_kept == (column not in refused_columns)


def test_one_broken_text_of_a_file_leaves_the_other_rows_accepted_and_whole(
    a_small_book, validate, report, accepted, rows_file
):
    file = rows_file(a_small_book, "credit_inquiries")
    table = pq.read_table(file)
    table = pa.concat_tables([table, table])
    table = table.set_column(table.column_names.index("event_id"), "event_id", [["inquiry-1", "inquiry-2"]])
    pq.write_table(
        table.set_column(table.column_names.index("bureau"), "bureau", _texts(b"b\xff", b"b")), file
    )
    validate(a_small_book)
    assert refused(report, "credit_inquiries") == [("inquiry-1", [("bureau", "type")])]
    kept = read_table(accepted, CONTRACTS["credit_inquiries"])
    assert kept.select(["event_id", "bureau"]).to_pylist() == [{"event_id": "inquiry-2", "bureau": "b"}]
    with pytest.raises(UnreadableLedgerFile, match="column bureau holds string that is no"):
        read_table(a_small_book, CONTRACTS["credit_inquiries"])


def test_unknown_and_missing_columns_are_violations(a_small_book, validate, report, accepted, rows_file):
    file = rows_file(a_small_book, "credit_inquiries")
    table = pq.read_table(file).drop_columns(["bureau"])
    pq.write_table(table.append_column("note", pa.array([float("nan")])), file)
    unused = rows_file(a_small_book, "account_balances")
    pq.write_table(pq.read_table(unused).append_column("note", pa.array([None], pa.string())), unused)
    validate(a_small_book)
    ((_, broken),) = refused(report, "credit_inquiries")
    assert broken == [("bureau", "missing"), ("note", "unknown_column")]
    assert refused(report, "account_balances") == []
    names = pq.read_schema(rows_file(accepted, "account_balances")).names
    assert names == [column.name for column in CONTRACTS["account_balances"].columns]


def test_a_file_from_before_a_nullable_column_is_valid(a_small_book, validate, accepted, rows_file):
    file = rows_file(a_small_book, "account_balances")
    pq.write_table(pq.read_table(file).drop_columns(["paid_cents", "corrects"]), file)
    assert validate(a_small_book).accepted == 4
    assert read_table(accepted, CONTRACTS["account_balances"])["paid_cents"].to_pylist() == [None]


def test_several_files_are_judged_together_and_written_as_one(
    a_small_book, validate, report, accepted, rows_file
):
    file = rows_file(a_small_book, "credit_inquiries")
    table = pq.read_table(file)
    other = table.set_column(0, "event_id", pa.array(["second"]))
    bad = table.set_column(0, "event_id", pa.array(["third"]))
    bad = bad.set_column(bad.column_names.index("purpose"), "purpose", pa.array(["nonsense"]))
    both = pa.concat_tables([other.cast(table.schema), bad.cast(table.schema)])
    pq.write_table(both, file.with_name("part-00001.parquet"))
    pq.write_table(bad.set_column(0, "event_id", pa.array(["fourth"])), file.with_name("part-00002.parquet"))
    result = validate(a_small_book)
    check_invariant(result)
    assert [event_id for event_id, _ in refused(report, "credit_inquiries")] == ["third", "fourth"]
    kept = pq.read_table(rows_file(accepted, "credit_inquiries"))["event_id"].to_pylist()
    assert kept == ["credit-inquiries-1", "second"]


def test_refused_invoices_are_told_apart_because_they_may_hide_debt(write_rows, a_row, validate):
    tables = {name: [a_row(name)] for name in ("merchants", "customers", "orders")}
    above = a_row("invoices", amount_cents=899_000)
    result = validate(write_rows({**tables, "invoices": [above]}))
    assert (result.refused_invoices, result.to_json()["refused_invoices"]) == (1, 1)
    assert "1 invoices were refused" in result.report_file.read_text()


def test_the_terminal_says_so_too_and_the_tolerance_between_clocks_can_be_said(write_rows, a_row, report):
    def validate(*options):
        command = ["data", "validate", str(directory), "--report", str(report)]
        return CliRunner().invoke(bonitas.main, [*command, *options])

    tables = {name: [a_row(name)] for name in ("merchants", "customers")}
    ahead = a_row("orders")["recorded_at"] + 10_000
    directory = write_rows({**tables, "orders": [a_row("orders", occurred_at=ahead)]})
    assert validate("--clock-tolerance-seconds", "10").exit_code == 0
    directory = write_rows(
        {**tables, "orders": [a_row("orders")], "invoices": [a_row("invoices", amount_cents=1191)]}
    )
    done = validate()
    assert (done.exit_code, "1 invoices were refused: each may hide a real debt" in done.stdout) == (1, True)
    directory = write_rows({**tables, "orders": [a_row("orders", occurred_at=ahead)]})
    assert validate("--clock-tolerance-seconds", "9").exit_code == 1


def test_a_transfer_imported_twice_stays_once(write_rows, a_row, validate, accepted):
    tables = {name: [a_row(name)] for name in ("merchants", "customers", "orders", "invoices")}
    twice = [a_row("invoice_payments", event_id=f"e-{n}", bank_reference="R 1") for n in (1, 2)]
    directory = write_rows({**tables, "invoice_payments": twice})
    result = validate(directory)
    check_invariant(result)
    assert counts_of(result, "invoice_payments").repeated == 1
    assert read_table(accepted, CONTRACTS["invoice_payments"])["event_id"].to_pylist() == ["e-1"]


def test_more_bad_rows_than_any_sample_holds_are_all_kept(write_rows, a_row, validate, report):
    rows = [a_row("credit_inquiries", event_id=f"e-{n}", purpose="nonsense") for n in range(1500)]
    directory = write_rows({"customers": [a_row("customers")], "credit_inquiries": rows})
    assert validate(directory).quarantined == 1500
    assert len(quarantine.read(report, "credit_inquiries")) == 1500


def test_a_corrupt_file_is_named_and_nothing_is_written(a_good_book, validate, report, accepted, rows_file):
    replace_column(rows_file(a_good_book, "invoices"), "currency", pa.array(["SEK"]))
    file = rows_file(a_good_book, "orders")
    file.write_bytes(b"PAR1 not really")
    with pytest.raises(UnreadableLedgerFile, match=r"orders.part-00000\.parquet"):
        validate(a_good_book)
    assert not report.exists()
    assert not accepted.exists()


def test_a_damaged_page_is_named_too(a_small_book, validate, rows_file):
    file = rows_file(a_small_book, "customers")
    content = bytearray(file.read_bytes())
    content[4:400] = bytes(396)
    file.write_bytes(bytes(content))
    with pytest.raises(UnreadableLedgerFile, match="customers"):
        validate(a_small_book)


def test_an_empty_folder_is_valid_and_no_folder_is_an_error(tmp_path, validate):
    (tmp_path / "empty").mkdir()
    assert validate(tmp_path / "empty").read == 0
    with pytest.raises(FileNotFoundError, match="nowhere"):
        validate(tmp_path / "nowhere")


def test_an_empty_file_is_valid(a_small_book, validate, rows_file):
    file = rows_file(a_small_book, "credit_inquiries")
    pq.write_table(pq.read_table(file).slice(0, 0), file)
    assert validate(a_small_book).read == 3


def test_the_benchmark_writes_nothing_but_good_rows():
    figures = run(2000)
    assert figures["rows"] == figures["accepted"]
    assert figures["ratio"] > 0
