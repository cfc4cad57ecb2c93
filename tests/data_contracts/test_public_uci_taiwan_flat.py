import pytest

from data_contracts.public import uci_taiwan
from data_contracts.public.package_archive import FetchFailed
from data_contracts.public.uci_taiwan import LABEL_COLUMN, PROTECTED_COLUMNS, read_flat_table

MONTHLY = ("BILL_AMT", "PAY_AMT")


@pytest.fixture
def source(monkeypatch):
    """The columns as they are read from the .xls, two people's."""
    names = ["ID", "LIMIT_BAL", LABEL_COLUMN, *PROTECTED_COLUMNS]
    names += [f"PAY_{month}" for month in (0, 2, 3, 4, 5, 6)]
    names += [f"{kind}{month}" for kind in MONTHLY for month in range(1, 7)]
    columns = {name: [1.0, 0.0] for name in names}
    monkeypatch.setattr(uci_taiwan, "_columns_of", lambda *_: columns)
    return columns


def test_the_flat_table_is_the_source_s_own_without_its_numbering(source, tmp_path):
    table = read_flat_table(tmp_path / "table.xls")
    assert set(table.column_names) == set(source) - {"ID"}
    assert table[LABEL_COLUMN].to_pylist() == [1.0, 0.0]


@pytest.mark.parametrize("name", ["AGE", "PAY_0", LABEL_COLUMN])
def test_a_table_without_a_needed_column_is_refused_by_the_column_s_name(source, tmp_path, name):
    del source[name]
    with pytest.raises(FetchFailed, match=name):
        read_flat_table(tmp_path / "table.xls")
