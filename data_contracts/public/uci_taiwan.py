"""UCI "Default of Credit Card Clients" (Taiwan, 2005): six months of 30,000 people's real card statements.

`uci_taiwan_ledger` says how the flat table becomes a ledger.

The data: I-Cheng Yeh, UCI Machine Learning Repository, CC BY 4.0.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import xlrd

from data_contracts.progress import Progress, no_progress
from data_contracts.public.package_archive import FetchFailed, PackageArchive, fetch_member
from data_contracts.public.uci_taiwan_ledger import (
    CardHolders,
    ImportSummary,
    Int64Array,
    write_ledger,
    write_protected_attributes,
)

ARCHIVE = PackageArchive(
    requirement="dccc-scoring-model==0.0.4",
    archive_sha256="ace51ebe27d1cf89d31a6c5a84b0d5ebc2b968de832b714f6bbfb0eb3cfa41ab",
    member="scoringmodel/data/default_of_credit_card_clients.xls",
    member_sha256="0947deea999a1f8b2b3e4fd68cc2c7faea0891795fe14dcf63b06b7abf302f14",
)


SOURCE_MONTHS = ("6", "5", "4", "3", "2", "1")
"""How the source numbers the months, oldest first; the newest delay alone is called PAY_0."""
LABEL_COLUMN = "default payment next month"
PROTECTED_COLUMNS = ("SEX", "EDUCATION", "MARRIAGE", "AGE")
HEADER_ROW = 1


def fetch(cache_directory: Path, *, file: Path | None = None, progress: Progress = no_progress) -> Path:
    """Get the source's .xls into `cache_directory`, checked by its checksum, and return its path.

    file: a local copy of the .xls or of the archive that holds it, instead of a download.
    Raises FetchFailed.
    """
    return fetch_member(ARCHIVE, cache_directory, file=file, progress=progress)


def import_ledger(source: Path, out: Path, progress: Progress = no_progress) -> ImportSummary:
    """Write the ledger folder `out` from the source's .xls.

    Beside the ledger lie labels.parquet, protocol.toml and, to measure with, protected_attributes.parquet.
    Raises FetchFailed if `source` is not that table.
    """
    columns = _columns_of(source, progress)
    holders = card_holders_of(columns)
    missing = {"SEX", "AGE"} - set(columns)
    if missing:
        raise FetchFailed(f"the table lacks the columns {', '.join(sorted(missing))}")
    summary = write_ledger(holders, out, progress)
    write_protected_attributes(holders, sex=columns["SEX"], age_years=columns["AGE"], out=out)
    return summary


def read_card_holders(source: Path, progress: Progress = no_progress) -> CardHolders:
    """Read the columns that are imported; the protected ones are left in the file.

    Raises FetchFailed if `source` is no .xls or lacks a column.
    """
    return card_holders_of(_columns_of(source, progress))


def read_flat_table(source: Path, progress: Progress = no_progress) -> pa.Table:
    """The source's own table, one row a person, all numbers, its protected columns included; without the ID.

    For measuring estimators on what is published about it; the ledger never holds the protected columns.
    Raises FetchFailed if `source` is no .xls or lacks a column.
    """
    columns = _columns_of(source, progress)
    # Refuses a table that lacks one of the columns that are imported.
    card_holders_of(columns)
    missing = set(PROTECTED_COLUMNS) - set(columns)
    if missing:
        raise FetchFailed(f"the table lacks the columns {', '.join(sorted(missing))}")
    return pa.table(
        {name: pa.array(column, pa.float64()) for name, column in columns.items() if name != "ID"}
    )


def _columns_of(source: Path, progress: Progress) -> dict[str, list[float]]:
    step = f"read {source.name}"
    progress(step, done=0, total=1)
    try:
        sheet = xlrd.open_workbook(str(source), on_demand=True).sheet_by_index(0)
    except (xlrd.XLRDError, OSError) as problem:
        raise FetchFailed(f"{source} cannot be read as .xls: {problem}") from problem
    header = [str(name) for name in sheet.row_values(HEADER_ROW)] if sheet.nrows > HEADER_ROW else []
    columns = {name: sheet.col_values(place, HEADER_ROW + 1) for place, name in enumerate(header)}
    progress(step, done=1, total=1)
    return columns


def card_holders_of(columns: Mapping[str, Sequence[float]]) -> CardHolders:
    """The imported part of the source's table, given by its column names.

    Raises FetchFailed if a column is missing.
    """
    delays = [f"PAY_{'0' if month == '1' else month}" for month in SOURCE_MONTHS]
    bills = [f"BILL_AMT{month}" for month in SOURCE_MONTHS]
    payments = [f"PAY_AMT{month}" for month in SOURCE_MONTHS]
    missing = {"ID", "LIMIT_BAL", LABEL_COLUMN, *delays, *bills, *payments} - set(columns)
    if missing:
        raise FetchFailed(f"the table lacks the columns {', '.join(sorted(missing))}")

    def whole(name: str) -> Int64Array:
        return np.rint(np.asarray(columns[name], dtype=np.float64)).astype(np.int64)

    return CardHolders(
        person=whole("ID"),
        limit=whole("LIMIT_BAL"),
        months_late=np.column_stack([whole(name) for name in delays]),
        billed=np.column_stack([whole(name) for name in bills]),
        paid=np.column_stack([whole(name) for name in payments]),
        defaulted=whole(LABEL_COLUMN),
    )
