"""What a ledger folder tells about a window of time: rows that broke their contract, and who ordered what."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data_contracts.instants import HOUR_MS, instant_ms
from data_contracts.ledger_contracts import ALL_CONTRACTS
from data_contracts.ledger_folder_error import LedgerFolderError
from data_contracts.orders import ORDERS
from data_contracts.parquet_ledger import has_table, read_table
from data_contracts.validation import quarantine
from data_contracts.validation.accepted_folder import read_accepted_file
from evidence.drift import Drift, binned_categories, binned_numbers, drift
from features.instants import Float64Array, Int64Array
from features.supersession import milliseconds
from training.errors import TrainingError
from training.monitoring.period import Period

CATEGORIES = (
    "merchant_id",
    "kind",
    "item_category",
    "currency",
    "delivery_country",
    "billing_country",
)
PRESENCE = ("delivery_house_number", "billing_house_number", "contact_phone", "device_id", "ip_address")


@dataclass(frozen=True, kw_only=True)
class RowCounts:
    """Rows of one kind that came, by what became of them and when."""

    refused_before: int
    accepted_before: int
    refused: int
    accepted: int


def row_counts(directory: Path, period: Period) -> dict[str, RowCounts]:
    """Rows of each contract recorded in window and reference: those that stand, and those in quarantine.

    The refused ones are those of the validation that wrote the folder; of a folder that no validation wrote
    nothing is known but what an earlier release moved to its quarantine. A refused row counts at its own
    `recorded_at`; where that cannot be read, when it was quarantined. Raises LedgerFolderError where the
    report with the refused rows is gone.
    """
    report = _report_folder(directory)
    counts = {}
    for contract in ALL_CONTRACTS:
        refused = np.array(
            [_refused_at_ms(entry) for entry in quarantine.read(report, contract.name)], dtype=np.int64
        )
        accepted = np.empty(0, dtype=np.int64)
        if has_table(directory, contract):
            accepted = milliseconds(read_table(directory, contract, ["recorded_at"])["recorded_at"])
        if len(refused) or len(accepted):
            counts[contract.name] = RowCounts(
                refused_before=int(period.is_reference(refused).sum()),
                accepted_before=int(period.is_reference(accepted).sum()),
                refused=int(period.is_window(refused).sum()),
                accepted=int(period.is_window(accepted).sum()),
            )
    return counts


def _report_folder(directory: Path) -> Path:
    """Below which the quarantine of a ledger folder lies."""
    accepted = read_accepted_file(directory)
    if accepted is None:
        return directory
    if accepted.refused and not (accepted.report / quarantine.QUARANTINE_FOLDER).is_dir():
        raise LedgerFolderError(
            f"the {accepted.refused} rows that were refused beside {directory} lie no more in "
            f"{accepted.report}: restore that folder, or validate the rows again"
        )
    return accepted.report


def _refused_at_ms(entry: dict[str, Any]) -> int:
    recorded_at = entry["row"].get("recorded_at")
    for text in (recorded_at, entry["quarantined_at"]):
        try:
            instant = datetime.fromisoformat(text)
        except (TypeError, ValueError):
            continue
        if instant.tzinfo is not None:
            return instant_ms(instant)
    raise TrainingError(f"a quarantined row of {entry['contract']} does not say when it was quarantined")


def input_drifts(directory: Path, period: Period) -> tuple[Drift, ...]:
    """How far the columns of orders have moved.

    Of an e-mail address only its domain is looked at, of the columns that may be missing only whether they
    are. What was recorded after the window's end is not seen, so that a day looked back at gives what that
    day's run gave. Raises TrainingError where window or reference has no order.
    """
    names = [ORDERS.entity, "occurred_at", "recorded_at", "corrects", "amount_cents", "vat_cents"]
    names.append("contact_email")
    orders = read_table(directory, ORDERS, [*names, *CATEGORIES, *PRESENCE])
    orders = orders.filter(pc.is_null(orders["corrects"]))
    orders = orders.filter(pa.array(milliseconds(orders["recorded_at"]) < period.window_until_ms))
    ordered_at = milliseconds(orders["occurred_at"])
    window, reference = period.is_window(ordered_at), period.is_reference(ordered_at)
    for mask, what in ((window, "window"), (reference, "reference")):
        if not mask.any():
            raise TrainingError(
                f"{directory} has no order in the {what}: choose --as-of, --days and --reference-days "
                "within the time that it covers"
            )
    customer = numbers_of(orders[ORDERS.entity].to_numpy(zero_copy_only=False))
    hour = ordered_at // HOUR_MS
    domain = pc.replace_substring_regex(orders["contact_email"], pattern="^.*@", replacement="")
    numbers: dict[str, Float64Array] = {
        "amount_cents": _numbers(orders["amount_cents"]),
        "vat_ratio": _numbers(orders["vat_cents"]) / _numbers(orders["amount_cents"]),
        "hour_utc": (hour % 24).astype(np.float64),
        # 1970 began on a Thursday.
        "weekday_utc": ((hour // 24 + 3) % 7).astype(np.float64),
    }
    categories: dict[str, pa.ChunkedArray] = {
        **{name: orders[name] for name in CATEGORIES},
        "contact_email_domain": domain,
        **{f"{name}_missing": pc.cast(pc.is_null(orders[name]), pa.string()) for name in PRESENCE},
    }
    found = [(name, binned_numbers(values[reference], values[window])) for name, values in numbers.items()]
    for name, column in categories.items():
        values = column.to_numpy(zero_copy_only=False)
        found.append((name, binned_categories(values[reference], values[window])))
    months = period.month_of(ordered_at[reference])
    return tuple(drift(name, binned, customer[reference], customer[window], months) for name, binned in found)


def were_recorded_before(directory: Path, order_id: NDArray[np.object_], until_ms: int) -> NDArray[np.bool_]:
    """Which orders the folder knew before an instant. Shape (n,); an order that it does not hold is not."""
    orders = read_table(directory, ORDERS, ["order_id", "recorded_at"])
    known = orders["order_id"].filter(pa.array(milliseconds(orders["recorded_at"]) < until_ms))
    found = pc.is_in(pa.array(order_id, pa.string()), value_set=known.combine_chunks())
    return np.asarray(found.to_numpy(zero_copy_only=False), dtype=bool)


def _numbers(column: pa.ChunkedArray) -> Float64Array:
    return np.asarray(column.to_numpy(), dtype=np.float64)


def numbers_of(ids: NDArray[np.object_]) -> Int64Array:
    """A number for each id, the same for the same, in the ids' order. Shape (n,)."""
    if len(ids) == 0:
        return np.empty(0, dtype=np.int64)
    _, numbers = np.unique(ids.astype(str), return_inverse=True)
    return np.asarray(numbers, dtype=np.int64)
