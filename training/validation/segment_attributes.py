"""What else is known of each decision: merchant, country, first or repeat order, age, sex.

For measuring only, never features. Everything is taken as it was known at the decision: a residence that
was recorded later is not seen.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data_contracts.contract import Contract
from data_contracts.customers import CUSTOMERS
from data_contracts.ledger_folder import PROTECTED_ATTRIBUTES_FILE
from data_contracts.orders import ORDERS
from data_contracts.parquet_ledger import has_table, read_parquet_file, read_table
from features.decisions import Decisions
from features.instants import Float64Array, Int64Array
from features.supersession import milliseconds

UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class SegmentAttributes:
    """Attributes of decisions, each of shape (n_decisions,), None where the data do not have it.

    merchant_id, country, sex: str objects, `unknown` where it is not known of this decision. country: of
        residence. is_repeat: whether an earlier order of the customer was known. age_years: whole years by
        the UTC date of the decision, NaN where no birth date was known.
    """

    merchant_id: NDArray[np.object_] | None
    is_repeat: NDArray[np.bool_] | None
    country: NDArray[np.object_] | None
    age_years: Float64Array | None
    sex: NDArray[np.object_] | None


def segment_attributes(directory: Path, decisions: Decisions) -> SegmentAttributes:
    """Read the attributes of decisions from a ledger folder."""
    merchant_id, is_repeat = _of_orders(directory, decisions)
    country, age_years = _of_customers(directory, decisions)
    sex, given_age_years = _protected(directory, decisions)
    return SegmentAttributes(
        merchant_id=merchant_id,
        is_repeat=is_repeat,
        country=country,
        age_years=age_years if given_age_years is None else given_age_years,
        sex=sex,
    )


def _of_orders(
    directory: Path, decisions: Decisions
) -> tuple[NDArray[np.object_] | None, NDArray[np.bool_] | None]:
    if not has_table(directory, ORDERS):
        return None, None
    orders = read_table(
        directory, ORDERS, ["order_id", "customer_id", "merchant_id", "recorded_at", "corrects"]
    )
    orders = orders.filter(pc.is_null(orders["corrects"]))
    place = _places(decisions.decision_id, orders["order_id"])
    if not (place >= 0).any():
        # The decisions are not about orders: a data set with labels of its own.
        return None, None
    recorded_at = milliseconds(orders["recorded_at"])
    merchants = orders["merchant_id"].to_numpy(zero_copy_only=False)
    earlier = _known_before(orders["customer_id"], recorded_at, decisions)[1]
    own_is_known = (place >= 0) & (recorded_at[place] < decisions.as_of_ms)
    merchant_id = np.where(place >= 0, merchants[place], UNKNOWN)
    return merchant_id.astype(object), (earlier - own_is_known) > 0


def _of_customers(
    directory: Path, decisions: Decisions
) -> tuple[NDArray[np.object_] | None, Float64Array | None]:
    if not has_table(directory, CUSTOMERS):
        return None, None
    states = _by_event(
        directory, CUSTOMERS, ["customer_id", "recorded_at", "residence_country", "birth_date"]
    )
    last = _known_before(states["customer_id"], milliseconds(states["recorded_at"]), decisions)[0]
    countries = pc.fill_null(states["residence_country"], UNKNOWN).to_numpy(zero_copy_only=False)
    born = states["birth_date"].to_numpy(zero_copy_only=False).astype("datetime64[D]")
    known = last >= 0
    country = np.where(known, countries[last], UNKNOWN).astype(object)
    age_years = np.where(known, whole_years(born[last], decisions.as_of_ms), np.nan)
    return country, age_years


def _protected(
    directory: Path, decisions: Decisions
) -> tuple[NDArray[np.object_] | None, Float64Array | None]:
    file = directory / PROTECTED_ATTRIBUTES_FILE
    if not file.exists():
        return None, None
    table = read_parquet_file(file)
    place = _places(decisions.customer_id, table["customer_id"])
    sex = age_years = None
    if "sex" in table.column_names:
        sexes = pc.fill_null(table["sex"], UNKNOWN).to_numpy(zero_copy_only=False)
        sex = np.where(place >= 0, sexes[place], UNKNOWN).astype(object)
    if "age_years" in table.column_names:
        ages = pc.cast(table["age_years"], pa.float64()).to_numpy(zero_copy_only=False)
        age_years = np.where(place >= 0, ages[place], np.nan)
    return sex, age_years


def whole_years(born: NDArray[np.datetime64], as_of_ms: Int64Array) -> Float64Array:
    """Completed years of life at each instant, by its UTC date; NaN where the birth date is missing.

    >>> whole_years(np.array(["2000-02-29"], dtype="datetime64[D]"), np.array([951782400000]))
    array([0.])
    """
    day = as_of_ms.astype("datetime64[ms]").astype("datetime64[D]")
    years = day.astype("datetime64[Y]").astype(np.int64) - born.astype("datetime64[Y]").astype(np.int64)
    before_birthday = _day_of_year(day) < _day_of_year(born)
    return np.where(np.isnat(born), np.nan, (years - before_birthday).astype(np.float64))


def _day_of_year(day: NDArray[np.datetime64]) -> Int64Array:
    """Month times 100 plus day of the month, so that leap days do not shift what follows."""
    month = day.astype("datetime64[M]")
    return np.asarray(
        (month.astype(np.int64) % 12) * 100 + (day - month.astype("datetime64[D]")).astype(np.int64)
    )


def _by_event(directory: Path, contract: Contract, names: list[str]) -> pa.Table:
    """Rows in the order of their event ids, which settles what was recorded in one millisecond."""
    return read_table(directory, contract, ["event_id", *names]).sort_by("event_id")


def _places(wanted: NDArray[np.object_], among: pa.ChunkedArray) -> NDArray[np.intp]:
    """Where each wanted id stands in a column, -1 where it does not."""
    found = pc.index_in(pa.array(wanted, pa.string()), value_set=among.combine_chunks())
    return np.asarray(pc.fill_null(found, -1).to_numpy(zero_copy_only=False), dtype=np.intp)


def _known_before(
    customer_id: pa.ChunkedArray, recorded_at_ms: Int64Array, decisions: Decisions
) -> tuple[NDArray[np.intp], Int64Array]:
    """The customer's last row known at each decision (-1 for none), and how many were known.

    Rows and decisions are laid on one time line per customer; a row recorded at the very instant of a
    decision comes after it.
    """
    rows = len(recorded_at_ms)
    people = np.concatenate([customer_id.to_numpy(zero_copy_only=False), decisions.customer_id]).astype(str)
    _, person = np.unique(people, return_inverse=True)
    instant = np.concatenate([recorded_at_ms, decisions.as_of_ms])
    is_row = np.arange(len(person)) < rows
    line = np.lexsort((is_row, instant, person))
    row_here = is_row[line]
    person_here = person[line]
    newest = np.maximum.accumulate(np.where(row_here, np.arange(len(line)), -1))
    source = line[np.maximum(newest, 0)]
    own = (newest >= 0) & (person[source] == person_here)
    counted = np.cumsum(row_here)
    first = np.searchsorted(person_here, person_here, side="left")
    before_person = np.where(first > 0, counted[first - 1], 0)
    last = np.empty(len(line), dtype=np.intp)
    known = np.empty(len(line), dtype=np.int64)
    last[line] = np.where(own, source, -1)
    known[line] = counted - before_person
    return last[rows:], known[rows:]
