import gzip

import pytest

from data_contracts.public.gmsc import ARCHIVE, LABEL_COLUMN, NEEDED_COLUMNS, fetch, read_flat_table
from data_contracts.public.package_archive import FetchFailed


def a_source(tmp_path, *, columns=("id", *NEEDED_COLUMNS), rows=(), **values):
    """A file like the published one; values: what a column holds in the first row instead of 1."""
    first = [values.get(name, "1") for name in columns]
    lines = [",".join(columns), ",".join(first), *rows]
    file = tmp_path / "creditscoring1.csv.gz"
    file.write_bytes(gzip.compress("\n".join(lines).encode()))
    return file


def test_the_table_holds_the_needed_columns_and_neither_the_source_s_number_nor_a_made_up_income(tmp_path):
    table = read_flat_table(a_source(tmp_path, MonthlyIncome="", rows=[",".join(["2"] * 12)]))
    assert tuple(table.column_names) == NEEDED_COLUMNS
    assert table["MonthlyIncome"].to_pylist() == [None, 2]


def test_codes_among_the_counts_are_handed_on_for_the_declaration_to_tell(tmp_path):
    table = read_flat_table(a_source(tmp_path, NumberOfTimes90DaysLate="98"))
    assert table["NumberOfTimes90DaysLate"].to_pylist() == [98]


@pytest.mark.parametrize("name", ["DebtRatio", "age", LABEL_COLUMN])
def test_a_table_without_a_needed_column_is_refused_by_the_column_s_name(tmp_path, name):
    with pytest.raises(FetchFailed, match=name):
        read_flat_table(a_source(tmp_path, columns=[column for column in NEEDED_COLUMNS if column != name]))


def test_a_text_where_numbers_belong_is_refused_by_the_column_s_name(tmp_path):
    with pytest.raises(FetchFailed, match="DebtRatio is not of numbers"):
        read_flat_table(a_source(tmp_path, DebtRatio="much"))


def test_a_person_without_a_label_is_refused(tmp_path):
    with pytest.raises(FetchFailed, match=f"{LABEL_COLUMN} has 1 rows without"):
        read_flat_table(a_source(tmp_path, rows=[",".join(["2", "", *["2"] * 10])]))


def test_what_is_no_csv_is_refused(tmp_path):
    file = tmp_path / "creditscoring1.csv.gz"
    file.write_bytes(b"no gzip")
    with pytest.raises(FetchFailed, match="cannot be read as CSV"):
        read_flat_table(file)


def test_a_file_with_another_checksum_is_refused_by_name_and_expected_checksum(tmp_path):
    file = a_source(tmp_path)
    with pytest.raises(FetchFailed, match=rf"has the sha256 .* expected {ARCHIVE.archive_sha256}"):
        fetch(tmp_path / "cache", file=file)
    assert not (tmp_path / "cache").exists()


def test_a_file_that_is_not_there_is_refused_by_its_name(tmp_path):
    with pytest.raises(FetchFailed, match=r"nowhere\.whl cannot be read"):
        fetch(tmp_path / "cache", file=tmp_path / "nowhere.whl")
