import datetime as dt
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_contracts.ledger_contracts import ALL_CONTRACTS, CONTRACTS
from data_contracts.parquet_ledger import (
    NoSuchLedgerTable,
    UnreadableLedgerFile,
    arrow_schema,
    empty_table,
    has_table,
    read_table,
    table_folder,
    write_table,
)

INQUIRIES = CONTRACTS["credit_inquiries"]


def some_inquiries(**changes):
    return {
        "event_id": ["e-2", "e-1", "e-3"],
        "occurred_at": [3000, 1000, 1000],
        "recorded_at": [4000, 2000, 2000],
        "customer_id": ["c-2", "c-2", "c-1"],
        "purpose": ["loan"] * 3,
        "bureau": ["b"] * 3,
    } | changes


def test_what_was_written_is_read_sorted_by_entity_and_time(tmp_path):
    assert write_table(tmp_path, INQUIRIES, some_inquiries()) == 3
    table = read_table(tmp_path, INQUIRIES)
    assert table.schema == arrow_schema(INQUIRIES)
    assert table["event_id"].to_pylist() == ["e-3", "e-1", "e-2"]
    assert table["recorded_at"].to_pylist()[0] == dt.datetime(1970, 1, 1, 0, 0, 2, tzinfo=dt.UTC)
    assert table["corrects"].null_count == 3


def test_a_table_of_arrow_is_written_as_it_is(tmp_path):
    write_table(tmp_path, INQUIRIES, some_inquiries())
    table = read_table(tmp_path, INQUIRIES)
    write_table(tmp_path / "again", INQUIRIES, table)
    assert read_table(tmp_path / "again", INQUIRIES) == table


def test_writing_replaces_what_was_there(tmp_path):
    write_table(tmp_path, INQUIRIES, some_inquiries())
    write_table(tmp_path, INQUIRIES, {name: values[:1] for name, values in some_inquiries().items()})
    assert read_table(tmp_path, INQUIRIES, ["event_id"])["event_id"].to_pylist() == ["e-2"]


def test_an_unknown_column_is_refused(tmp_path):
    with pytest.raises(ValueError, match="unknown columns"):
        write_table(tmp_path, INQUIRIES, some_inquiries(note=["a", "b", "c"]))


def test_a_missing_required_column_is_refused(tmp_path):
    columns = some_inquiries()
    del columns["bureau"]
    with pytest.raises(ValueError, match="bureau is required"):
        write_table(tmp_path, INQUIRIES, columns)


def drop_column(file, name):
    pq.write_table(pq.read_table(file).drop_columns([name]), file)


@pytest.mark.parametrize("older", ["the only file", "the first file", "the last file"])
def test_files_from_before_a_nullable_column_are_read_with_nulls(tmp_path, older):
    write_table(tmp_path, INQUIRIES, some_inquiries(corrects=["x", "y", "z"]))
    file = table_folder(tmp_path, INQUIRIES) / "part-00000.parquet"
    newer = file.with_name("part-00001.parquet")
    if older != "the only file":
        shutil.copy(file, newer)
    drop_column(newer if older == "the last file" else file, "corrects")
    expected = {
        "the only file": [None] * 3,
        "the first file": [None] * 3 + ["z", "y", "x"],
        "the last file": ["z", "y", "x"] + [None] * 3,
    }[older]
    table = read_table(tmp_path, INQUIRIES)
    assert table.schema == arrow_schema(INQUIRIES)
    assert table["corrects"].to_pylist() == expected
    assert read_table(tmp_path, INQUIRIES, ["corrects"])["corrects"].to_pylist() == expected


def test_a_file_without_a_required_column_is_no_ledger_file(tmp_path):
    write_table(tmp_path, INQUIRIES, some_inquiries())
    drop_column(table_folder(tmp_path, INQUIRIES) / "part-00000.parquet", "bureau")
    with pytest.raises(UnreadableLedgerFile, match="bureau"):
        read_table(tmp_path, INQUIRIES)


def test_a_folder_without_rows_says_so(tmp_path):
    assert not has_table(tmp_path, INQUIRIES)
    with pytest.raises(NoSuchLedgerTable, match="credit_inquiries"):
        read_table(tmp_path, INQUIRIES)


@pytest.mark.parametrize("contract", ALL_CONTRACTS, ids=lambda contract: contract.name)
def test_every_contract_has_an_empty_table(contract):
    assert empty_table(contract).num_rows == 0


def test_money_is_never_a_float():
    for contract in ALL_CONTRACTS:
        for field in arrow_schema(contract):
            assert not pa.types.is_floating(field.type)
