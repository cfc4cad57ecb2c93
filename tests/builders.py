"""Valid ledger rows by default; a test names only what matters. Instants are ms since 1970 UTC."""

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from data_contracts.contract import ColumnType, Contract
from data_contracts.ledger_contracts import CONTRACTS
from data_contracts.parquet_ledger import arrow_schema, write_table

Row = dict[str, Any]
DAY = 86_400_000


def ms(text: str) -> int:
    """An ISO date or date-time, UTC where it has no offset, as milliseconds."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


def a_row(contract: str, event_id: str, occurred_at: int, recorded_at: int | None, **columns: Any) -> Row:
    """A row of `contract`; recorded when it occurred unless told otherwise."""
    row: Row = {
        "event_id": event_id,
        "occurred_at": occurred_at,
        "recorded_at": occurred_at if recorded_at is None else recorded_at,
        **columns,
    }
    known = {column.name for column in CONTRACTS[contract].columns}
    assert set(row) <= known, set(row) - known
    return row


def a_document_hmac(name: str) -> str:
    """What a sender makes of the number of an identity document, one for each name."""
    return hmac.new(b"a key of the sender's", name.encode(), hashlib.sha256).hexdigest()


def contact_of(customer_id: str) -> tuple[str, str]:
    """E-mail address and telephone number, which customers share only where a test says so."""
    if customer_id == "c1":
        return "erika@example.com", "+49 30 1234567"
    own = hashlib.sha256(customer_id.encode()).hexdigest()
    return f"erika.{own[:16]}@example.com", f"+49 30 {2_000_000 + int(own[:8], 16) % 8_000_000}"


def a_customer(
    customer_id: str = "c1",
    *,
    event_id: str = "customer-1",
    at: int = 0,
    recorded_at: int | None = None,
    **more: Any,
) -> Row:
    """A customer of whom only id, contact and identity document are their own."""
    columns: Row = {
        "registered_at": at,
        "given_name": "Erika",
        "family_name": "Mustermann",
        "birth_date": "1980-05-17",
        "email": contact_of(customer_id)[0],
        "phone": contact_of(customer_id)[1],
        "residence_street": "Heidestraße",
        "residence_house_number": "17",
        "residence_postal_code": "51147",
        "residence_city": "Köln",
        "residence_country": "DE",
        "language": "de",
        "identity_status": "verified",
        "identity_document_expires_on": "2035-01-31",
        "identity_document_hmac": a_document_hmac(customer_id),
        "email_confirmed_at": at,
        "phone_confirmed_at": at,
        "personal_data_confirmed_at": at,
    }
    return a_row("customers", event_id, at, recorded_at, customer_id=customer_id, **{**columns, **more})


def a_merchant(merchant_id: str = "m1", *, event_id: str = "merchant-1", at: int = 0, **more: Any) -> Row:
    columns: Row = {
        "name": "Musterladen",
        "country": "DE",
        "language": "de",
        "email": "shop@example.com",
        "has_portal_account": True,
        "category": "fashion",
        "handover_cutoff_local_time": "16:00",
    }
    return a_row("merchants", event_id, at, None, merchant_id=merchant_id, **{**columns, **more})


def an_order(
    order_id: str = "o1", customer_id: str = "c1", *, event_id: str | None = None, at: int, **more: Any
) -> Row:
    columns: Row = {
        "merchant_id": "m1",
        "amount_cents": 10_000,
        "vat_cents": 1_597,
        "currency": "EUR",
        "kind": "goods",
        "item_category": "clothing",
        "contact_email": contact_of(customer_id)[0],
        "contact_phone": contact_of(customer_id)[1],
    }
    for prefix in ("delivery", "billing"):
        columns |= {
            f"{prefix}_name": "Erika Mustermann",
            f"{prefix}_street": "Heidestraße",
            f"{prefix}_house_number": "17",
            f"{prefix}_postal_code": "51147",
            f"{prefix}_city": "Köln",
            f"{prefix}_country": "DE",
        }
    return a_row(
        "orders",
        event_id or f"order-{order_id}",
        at,
        None,
        order_id=order_id,
        customer_id=customer_id,
        **{**columns, **more},
    )


def an_invoice(
    invoice_id: str = "i1",
    customer_id: str = "c1",
    *,
    at: int,
    due_at: int | None = None,
    amount_cents: int = 10_000,
    recorded_at: int | None = None,
    event_id: str | None = None,
    **more: Any,
) -> Row:
    return a_row(
        "invoices",
        event_id or f"invoice-{invoice_id}",
        at,
        recorded_at,
        **{"order_id": "o1", "currency": "EUR", **more},
        invoice_id=invoice_id,
        customer_id=customer_id,
        amount_cents=amount_cents,
        due_at=at + 14 * DAY if due_at is None else due_at,
    )


def a_payment(
    invoice_id: str = "i1",
    customer_id: str = "c1",
    *,
    at: int,
    recorded_at: int | None = None,
    amount_cents: int = 10_000,
    event_id: str | None = None,
    **more: Any,
) -> Row:
    return a_row(
        "invoice_payments",
        event_id or f"payment-{invoice_id}-{at}",
        at,
        recorded_at,
        **{"currency": "EUR", "method": "bank_transfer", **more},
        invoice_id=invoice_id,
        customer_id=customer_id,
        amount_cents=amount_cents,
    )


def an_adjustment(
    invoice_id: str = "i1",
    customer_id: str = "c1",
    *,
    at: int,
    kind: str = "credit_note",
    amount_cents: int = 10_000,
    recorded_at: int | None = None,
    event_id: str | None = None,
    **more: Any,
) -> Row:
    return a_row(
        "invoice_adjustments",
        event_id or f"adjustment-{invoice_id}-{at}",
        at,
        recorded_at,
        **{"currency": "EUR", "reason": "return", **more},
        invoice_id=invoice_id,
        customer_id=customer_id,
        kind=kind,
        amount_cents=amount_cents,
    )


def a_pause(
    invoice_id: str = "i1",
    customer_id: str = "c1",
    *,
    started_at: int,
    ended_at: int | None = None,
    pause_id: str | None = None,
    recorded_at: int | None = None,
    event_id: str | None = None,
    **more: Any,
) -> Row:
    pause_id = pause_id or f"pause-{invoice_id}"
    occurred_at = started_at if ended_at is None else ended_at
    return a_row(
        "invoice_pauses",
        event_id or f"{pause_id}-{'start' if ended_at is None else 'end'}",
        occurred_at,
        recorded_at,
        **{"reason": "dispute", **more},
        pause_id=pause_id,
        invoice_id=invoice_id,
        customer_id=customer_id,
        started_at=started_at,
        ended_at=ended_at,
    )


def a_charge(
    invoice_id: str = "i1", customer_id: str = "c1", *, at: int, kind: str = "reminder", **more: Any
) -> Row:
    return a_row(
        "invoice_charges",
        f"charge-{invoice_id}-{at}",
        at,
        more.pop("recorded_at", None),
        **{"level": 1, "amount_cents": 0, "currency": "EUR", **more},
        invoice_id=invoice_id,
        customer_id=customer_id,
        kind=kind,
    )


def an_inquiry(
    customer_id: str = "c1",
    *,
    at: int,
    purpose: str = "loan",
    recorded_at: int | None = None,
    event_id: str | None = None,
) -> Row:
    return a_row(
        "credit_inquiries",
        event_id or f"inquiry-{customer_id}-{at}",
        at,
        recorded_at,
        customer_id=customer_id,
        purpose=purpose,
        bureau="Musterauskunft",
    )


def an_account(
    account_id: str = "a1",
    customer_id: str = "c1",
    *,
    opened_at: int,
    closed_at: int | None = None,
    kind: str = "credit_card",
    recorded_at: int | None = None,
    event_id: str | None = None,
    **more: Any,
) -> Row:
    occurred_at = opened_at if closed_at is None else closed_at
    return a_row(
        "credit_accounts",
        event_id or f"account-{account_id}-{'open' if closed_at is None else 'closed'}",
        occurred_at,
        recorded_at,
        **{"currency": "EUR", **more},
        account_id=account_id,
        customer_id=customer_id,
        kind=kind,
        opened_at=opened_at,
        closed_at=closed_at,
    )


def a_balance(
    account_id: str = "a1",
    customer_id: str = "c1",
    *,
    at: int,
    balance_cents: int = 20_000,
    limit_cents: int = 100_000,
    paid_cents: int | None = None,
    days_past_due: int | None = None,
    recorded_at: int | None = None,
    event_id: str | None = None,
    **more: Any,
) -> Row:
    return a_row(
        "account_balances",
        event_id or f"balance-{account_id}-{at}",
        at,
        recorded_at,
        **{"currency": "EUR", **more},
        account_id=account_id,
        customer_id=customer_id,
        balance_cents=balance_cents,
        limit_cents=limit_cents,
        paid_cents=paid_cents,
        days_past_due=days_past_due,
    )


def arrow_table(contract: Contract, rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Rows in ledger row form as a table of the contract."""
    schema = arrow_schema(contract)
    listed = list(rows)
    arrays = []
    for column in contract.columns:
        values = [row.get(column.name) for row in listed]
        if column.type is ColumnType.DATE:
            values = [None if value is None else date.fromisoformat(value) for value in values]
        if column.type is ColumnType.TIMESTAMP:
            arrays.append(pa.array(values, pa.int64()).cast(schema.field(column.name).type))
        else:
            arrays.append(pa.array(values, schema.field(column.name).type))
    return pa.Table.from_arrays(arrays, schema=schema)


def write_ledger(directory: Path, rows: Mapping[str, Iterable[Mapping[str, Any]]]) -> Path:
    """Write rows in ledger row form, by contract name, as a ledger folder."""
    for name, contract_rows in rows.items():
        contract = CONTRACTS[name]
        table = arrow_table(contract, contract_rows)
        if table.num_rows:
            write_table(directory, contract, table)
    return directory
