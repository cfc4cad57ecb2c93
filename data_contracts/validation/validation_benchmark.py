"""How long validation takes beside reading: a generated book of good rows, read, then validated."""

import datetime as dt
import importlib
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_contracts.contract import DEFAULT_CLOCK_TOLERANCE_MS, Contract
from data_contracts.instants import DAY_MS, MINUTE_MS
from data_contracts.ledger_contracts import ALL_CONTRACTS, CONTRACTS
from data_contracts.parquet_ledger import has_table, read_table, write_table
from data_contracts.progress import Progress, no_progress
from data_contracts.validation.folder_check import validate_folder

_START_MS = 1_700_000_000_000


def run(rows: int, progress: Progress = no_progress) -> dict[str, Any]:
    """Time reading and validating a folder of about `rows` good rows.

    Reading is `read_table` of every contract, from files that the page cache holds, as validation finds
    them too. Returns rows, read_seconds, import_seconds (of Great Expectations, once per process),
    validate_seconds without it, ratio = validate_seconds / read_seconds and rows_per_second.
    """
    folder = Path(tempfile.mkdtemp(prefix="bonitas-validation-"))
    try:
        progress("generate rows", done=0, total=rows)
        written = write_good_rows(folder / "book", rows)
        started = time.perf_counter()
        for contract in ALL_CONTRACTS:
            if has_table(folder / "book", contract):
                read_table(folder / "book", contract)
        read_seconds = time.perf_counter() - started
        started = time.perf_counter()
        importlib.import_module("great_expectations.expectations")

        import_seconds = time.perf_counter() - started
        started = time.perf_counter()
        result = validate_folder(
            folder / "book",
            report_directory=folder / "report",
            progress=progress,
            now=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
            clock_tolerance_ms=DEFAULT_CLOCK_TOLERANCE_MS,
        )
        validate_seconds = time.perf_counter() - started
    finally:
        shutil.rmtree(folder)
    return {
        "rows": written,
        "accepted": result.accepted,
        "read_seconds": round(read_seconds, 3),
        "import_seconds": round(import_seconds, 3),
        "validate_seconds": round(validate_seconds, 3),
        "ratio": round(validate_seconds / read_seconds, 2),
        "rows_per_second": round(written / validate_seconds),
    }


def write_good_rows(directory: Path, rows: int) -> int:
    """Write a ledger folder of about `rows` rows that keep every contract; returns how many there are.

    A fifth each are orders, invoices, payments and balances, a tenth inquiries, the rest customers,
    accounts and merchants.
    """
    orders = max(1, rows // 5)
    customers = max(1, rows // 20)
    accounts = max(1, rows // 20)
    merchants = min(200, max(1, rows // 1000))
    order = np.arange(orders)
    buyer = order % customers
    ordered_at = _START_MS + (order % 365) * DAY_MS
    holder = np.arange(accounts) % customers
    balance = np.arange(orders)
    of_account = balance % accounts
    inquiry = np.arange(rows // 10)
    address = {"street": "Hauptstraße", "house_number": "12a", "postal_code": "10115", "city": "Berlin"}
    delivery = {
        "street": _ids("Straße ", order % 9973),
        "house_number": _ids("", 1 + order % 199),
        "postal_code": _ids("", 10_000 + order % 89_999),
        "city": _ids("Ort ", order % 1009),
    }
    tables: dict[str, dict[str, Any]] = {
        "merchants": {
            "merchant_id": _ids("m", np.arange(merchants)),
            "name": "Möbel & Mehr", "country": "DE", "language": "de", "email": "risk@shop.example",
            "has_portal_account": True, "category": "home_garden", "handover_cutoff_local_time": "16:30",
        },
        "customers": {
            "customer_id": _ids("c", np.arange(customers)),
            "registered_at": np.full(customers, _START_MS - 400 * DAY_MS),
            "given_name": "Zoë", "family_name": "Maß", "birth_date": dt.date(1990, 2, 28),
            "email": _ids("zoe.mass", np.arange(customers), "@mail.example"), "phone": "+49 30 1234567",
            **{f"residence_{part}": value for part, value in address.items()},
            "residence_country": "DE", "language": "de", "identity_status": "verified",
        },
        "credit_accounts": {
            "account_id": _ids("a", np.arange(accounts)), "customer_id": _ids("c", holder),
            "kind": "credit_card", "opened_at": np.full(accounts, _START_MS - 300 * DAY_MS),
            "currency": "EUR",
        },
        "account_balances": {
            "account_id": _ids("a", of_account), "customer_id": _ids("c", of_account % customers),
            "balance_cents": balance % 500_000, "limit_cents": np.full(orders, 500_000), "currency": "EUR",
        },
        "credit_inquiries": {
            "customer_id": _ids("c", inquiry % customers), "purpose": "loan", "bureau": "bureau-one",
        },
        "orders": {
            "order_id": _ids("o", order), "customer_id": _ids("c", buyer),
            "merchant_id": _ids("m", order % merchants), "amount_cents": 1000 + order % 90_000,
            "vat_cents": (1000 + order % 90_000) * 19 // 119, "currency": "EUR", "kind": "goods",
            "item_category": "clothing", "delivery_name": _ids("Zoë Maß ", order),
            "billing_name": _ids("Zoë Maß ", buyer),
            **{f"delivery_{part}": value for part, value in delivery.items()},
            **{f"billing_{part}": value for part, value in address.items()},
            "delivery_country": "DE", "billing_country": "DE",
            "contact_email": _ids("zoe.mass", buyer, "@mail.example"), "contact_phone": "+49 30 1234567",
            "device_id": _ids("d", buyer), "ip_address": _ids("203.0.113.", order % 256),
        },
        "invoices": {
            "invoice_id": _ids("i", order), "order_id": _ids("o", order), "customer_id": _ids("c", buyer),
            "amount_cents": 1000 + order % 90_000, "currency": "EUR", "due_at": ordered_at + 16 * DAY_MS,
        },
        "invoice_payments": {
            "invoice_id": _ids("i", order), "customer_id": _ids("c", buyer),
            "amount_cents": 1000 + order % 90_000, "currency": "EUR", "method": "bank_transfer",
        },
    }  # fmt: skip
    occurred_at = {
        "orders": ordered_at,
        "invoices": ordered_at + 2 * DAY_MS,
        "invoice_payments": ordered_at + 9 * DAY_MS,
        # A statement of each account every month.
        "account_balances": _START_MS - 200 * DAY_MS + balance // accounts * 30 * DAY_MS,
    }
    written = 0
    for name, columns in tables.items():
        contract = CONTRACTS[name]
        length = max(len(value) for value in columns.values() if isinstance(value, (np.ndarray, pa.Array)))
        moments = occurred_at.get(name, np.full(length, _START_MS - 200 * DAY_MS))
        written += write_table(directory, contract, _whole(contract, columns, length, moments))
    return written


def _whole(contract: Contract, columns: dict[str, Any], length: int, occurred_at: Any) -> dict[str, Any]:
    return {
        "event_id": _ids(contract.name.replace("_", "-"), np.arange(length)),
        "occurred_at": occurred_at,
        "recorded_at": occurred_at + MINUTE_MS,
        **{
            name: value if isinstance(value, (np.ndarray, pa.Array)) else pa.repeat(pa.scalar(value), length)
            for name, value in columns.items()
        },
    }


def _ids(prefix: str, numbers: Any, suffix: str = "") -> pa.Array:
    return pc.binary_join_element_wise(prefix, pa.array(numbers).cast(pa.string()), suffix, "")
