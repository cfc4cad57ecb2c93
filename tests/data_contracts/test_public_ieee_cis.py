import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pytest

from data_contracts.public.ieee_cis import (
    ARCHIVE,
    NEEDED_COLUMNS,
    TEXT_COLUMNS,
    fetch,
    orders_of,
    read_orders,
)
from data_contracts.public.package_archive import FetchFailed


def a_table(**changes):
    columns = {name: [""] * 3 if name in TEXT_COLUMNS else [1.0, 2.0, 3.0] for name in NEEDED_COLUMNS}
    columns |= {
        "isFraud": [0, 1, 0],
        "TransactionID": [11, 12, 10],
        "TransactionDT": [200, 100, 100],
        "TransactionAmt": [68.5, 25.763, 0.25],
        "ProductCD": ["W", "C", "W"],
    }
    return pa.table(columns | changes)


def test_orders_ascend_by_time_and_then_by_number():
    orders = orders_of(a_table())
    assert orders.order_number.tolist() == [10, 12, 11]
    assert orders.occurred_ms.tolist() == [100_000, 100_000, 200_000]
    assert orders.amount_mills.tolist() == [250, 25_763, 68_500]
    assert orders.is_fraud.tolist() == [0, 1, 0]


def test_texts_are_numbered_and_an_empty_text_or_cell_is_missing():
    orders = orders_of(a_table(addr1=pa.array([None, 5.0, 6.0])))
    assert orders.column("ProductCD").tolist() == [1, 0, 1]
    assert np.isnan(orders.column("R_emaildomain")).all()
    assert np.isnan(orders.column("addr1")).tolist() == [False, False, True]


def test_neither_the_label_nor_the_order_of_rows_is_a_column_for_a_model():
    names = set(orders_of(a_table()).names)
    assert not names & {"isFraud", "TransactionID", "TransactionDT"}


@pytest.mark.parametrize("name", ["V307", "card1", "isFraud"])
def test_a_table_without_a_needed_column_is_refused_by_the_columns_name(name):
    with pytest.raises(FetchFailed, match=name):
        orders_of(a_table().drop_columns([name]))


def test_a_gap_where_none_may_be_is_refused_by_the_columns_name():
    with pytest.raises(FetchFailed, match="TransactionDT has 1 rows without"):
        orders_of(a_table(TransactionDT=pa.array([1, None, 2])))


def test_a_text_where_numbers_belong_is_refused_by_the_columns_name():
    with pytest.raises(FetchFailed, match="card2 is not of numbers"):
        orders_of(a_table(card2=["a", "b", "c"]))


def test_the_second_reading_takes_the_parquet_copy_and_tells_the_same(tmp_path):
    source = tmp_path / "train.csv"
    pa_csv.write_csv(a_table(), source)
    first = read_orders(source)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["train.csv", "train.parquet"]
    second = read_orders(source)
    assert np.array_equal(first.values, second.values, equal_nan=True)
    assert first.names == second.names


def test_a_file_with_another_checksum_is_refused_by_name_and_expected_checksum(tmp_path):
    file = tmp_path / "train.csv"
    file.write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(FetchFailed, match=rf"train\.csv has the sha256 .* expected {ARCHIVE.archive_sha256}"):
        fetch(tmp_path / "cache", file=file)
    assert not (tmp_path / "cache").exists()
