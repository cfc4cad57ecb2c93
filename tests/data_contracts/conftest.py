"""Builders of valid ledger rows: a test changes only what it is about."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from data_contracts.ledger_contracts import CONTRACTS
from data_contracts.parquet_ledger import arrow_schema, table_folder, write_table

DAY_MS = 86_400_000
START_MS = 1_750_000_000_000

ADDRESS = {
    "street": "Straße des 17. Juni", "house_number": "12a", "postal_code": "10623", "city": "Berlin"
}  # fmt: skip

OWN_VALUES: Mapping[str, Mapping[str, Any]] = {
    "merchants": {
        "merchant_id": "m-1", "name": "Möbel & Mehr", "country": "DE", "holiday_region": "DE-BE",
        "language": "de", "email": "risk@shop.example", "endpoint_url": "https://shop.example/hooks",
        "has_portal_account": True, "category": "home_garden", "handover_cutoff_local_time": "16:30",
    },
    "customers": {
        "customer_id": "c-1", "registered_at": START_MS, "given_name": "Zoë", "family_name": "Maß",
        "birth_date": "1990-02-28", "email": "zoe@mail.example", "phone": "+49 30 1234567",
        **{f"residence_{part}": value for part, value in ADDRESS.items()}, "residence_country": "DE",
        "language": "de", "identity_status": "verified", "identity_document_expires_on": "2030-01-01",
        "email_confirmed_at": START_MS,
    },
    "credit_accounts": {
        "account_id": "a-1", "customer_id": "c-1", "kind": "loan", "opened_at": START_MS, "currency": "EUR",
    },
    "account_balances": {
        "account_id": "a-1", "customer_id": "c-1", "balance_cents": -5, "limit_cents": 100, "currency": "EUR",
        "paid_cents": 7,
    },
    "credit_inquiries": {"customer_id": "c-1", "purpose": "loan", "bureau": "bureau one"},
    "orders": {
        "order_id": "o-1", "customer_id": "c-1", "merchant_id": "m-1", "amount_cents": 1190, "vat_cents": 190,
        "currency": "EUR", "kind": "goods", "item_category": "food", "delivery_name": "Zoë Maß",
        "billing_name": "Zoë Maß", **{f"delivery_{part}": value for part, value in ADDRESS.items()},
        **{f"billing_{part}": value for part, value in ADDRESS.items()}, "delivery_country": "DE",
        "billing_country": "DE", "contact_email": "zoe@mail.example", "ip_address": "2001:db8::1",
    },
    "invoices": {
        "invoice_id": "i-1", "order_id": "o-1", "customer_id": "c-1", "amount_cents": 1190, "currency": "EUR",
        "due_at": START_MS + 14 * DAY_MS,
    },
    "invoice_payments": {
        "invoice_id": "i-1", "customer_id": "c-1", "amount_cents": 1190, "currency": "EUR", "method": "card",
    },
    "invoice_adjustments": {
        "invoice_id": "i-1", "customer_id": "c-1", "kind": "refund", "reason": "return", "amount_cents": 1,
        "currency": "EUR",
    },
    "invoice_charges": {
        "invoice_id": "i-1", "customer_id": "c-1", "kind": "reminder", "level": 1, "amount_cents": 0,
        "currency": "EUR",
    },
    "invoice_pauses": {
        "pause_id": "p-1", "invoice_id": "i-1", "customer_id": "c-1", "reason": "return",
        "started_at": START_MS, "tracking_number": "00340434161094042557",
    },
    "order_events": {"order_id": "o-1", "customer_id": "c-1", "kind": "shipped", "carrier": "DHL"},
    "order_outcomes": {"order_id": "o-1", "customer_id": "c-1", "kind": "review_released"},
}  # fmt: skip

RowBuilder = Callable[..., dict[str, Any]]
LedgerWriter = Callable[[Mapping[str, Sequence[Mapping[str, Any]]]], Path]


def _a_row(contract: str, **changes: Any) -> dict[str, Any]:
    row = {
        "event_id": f"{contract.replace('_', '-')}-1",
        "occurred_at": START_MS,
        "recorded_at": START_MS + 1000,
        **OWN_VALUES[contract],
        **changes,
    }
    return {name: value for name, value in row.items() if value is not None}


@pytest.fixture(scope="session")
def a_row() -> RowBuilder:
    """A valid row of a contract in ledger row form; None leaves a column out."""
    return _a_row


@pytest.fixture
def write_rows(tmp_path: Path) -> LedgerWriter:
    """Writes rows in ledger row form, whole contracts at a time, and gives the ledger folder."""

    def write(tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> Path:
        directory = tmp_path / "book"
        for name, rows in tables.items():
            contract = CONTRACTS[name]
            schema = arrow_schema(contract)
            columns = {}
            for column in contract.columns:
                values = [row.get(column.name) for row in rows]
                if column.type.value == "date":
                    columns[column.name] = pa.array(values, pa.string()).cast(pa.date32())
                else:
                    columns[column.name] = pa.array(values, schema.field(column.name).type)
            write_table(directory, contract, columns)
        directory.mkdir(exist_ok=True)
        return directory

    return write


@pytest.fixture
def a_good_book(write_rows: LedgerWriter) -> Path:
    """A ledger folder with one valid row in every contract, each referring to the others."""
    return write_rows({name: [_a_row(name)] for name in CONTRACTS})


@pytest.fixture(scope="session")
def rows_file() -> Callable[[Path, str], Path]:
    """The one Parquet file of a contract in a folder."""

    def find(directory: Path, contract: str) -> Path:
        (file,) = table_folder(directory, CONTRACTS[contract]).glob("*.parquet")
        return file

    return find
