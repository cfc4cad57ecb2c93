"""UCI Taiwan's card statements as a ledger.

The flat table is unrolled into the ledger, so that features come from events as they do at checkout:

- one credit account a person, opened on one constant day (the source does not say when);
- one `account_balances` row a month: statement balance, limit, amount paid in the month, days past due
  (30 for each month of delay; the codes -2 no use, -1 paid in full and 0 revolving are all 0 days: they
  show in balances and payments);
- one order and invoice a statement with something to pay, due in the following month;
- the payment of a month pays the invoice of the month before. April's paid a statement that the source does
  not hold: it stands in the balance row alone.

The days within the months are ours: every statement is of the 25th, is due on the 15th and is paid on the
10th. Sex, education, marriage and age are protected and do not enter the ledger: personal data are
placeholders, the birth date is one constant. Sex and age lie beside it, in a file that is no contract and
that no feature can read, so that a validation report can measure fairness.
"""

import datetime as dt
import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from data_contracts.account_balances import ACCOUNT_BALANCES
from data_contracts.contract import Contract
from data_contracts.credit_accounts import CREDIT_ACCOUNTS
from data_contracts.customers import CUSTOMERS
from data_contracts.instants import instant_ms
from data_contracts.invoice_payments import INVOICE_PAYMENTS
from data_contracts.invoices import INVOICES
from data_contracts.ledger_folder import LABELS_FILE, PROTECTED_ATTRIBUTES_FILE, PROTOCOL_FILE
from data_contracts.merchants import MERCHANTS
from data_contracts.orders import ORDERS
from data_contracts.parquet_ledger import write_table
from data_contracts.progress import Progress, no_progress

Int64Array = NDArray[np.int64]
StringArray = NDArray[np.str_]

MONTHS = tuple(dt.date(2005, month, 1) for month in range(4, 10))
"""The months of the statements, oldest first, as the arrays below hold them."""
STATEMENT_DAY, PAYMENT_DAY, DUE_DAY = 25, 10, 15
TAIPEI = dt.timezone(dt.timedelta(hours=8))
OPENED_AT = dt.datetime(2005, 1, 1, tzinfo=TAIPEI)
"""When every account was opened and every person registered, for want of the truth."""
AS_OF = dt.datetime(2005, 10, 1, tzinfo=dt.UTC)
"""The moment of every decision: September's statement is known, October's payment is not."""
KNOWN_AT = dt.datetime(2005, 11, 1, tzinfo=dt.UTC)
"""When it was known whether October's payment was made."""
BIRTH_DATE = dt.date(1970, 1, 1)
"""The same adult for everybody: the source's age is protected and no part of the ledger."""
CENTS_PER_DOLLAR = 100
DAYS_PER_MONTH_LATE = 30
CURRENCY = "TWD"
MERCHANT_ID = "uci-card-issuer"
SEXES = {1: "male", 2: "female"}

PROTOCOL = """\
# How models are compared on this ledger: one snapshot has no later period to test on.
split = "stratified_k_fold"
folds = 5
seed = 0
label_description = "no sufficient payment in October 2005, the month after the last statement"
"""


@dataclass(frozen=True, kw_only=True)
class CardHolders:
    """The source's columns that are imported. Months oldest first, amounts in whole New Taiwan dollars.

    person: shape (n,), the source's ID; limit, defaulted: shape (n,).
    months_late, billed, paid: shape (n, 6); months_late is negative or 0 when nothing is late.
    """

    person: Int64Array
    limit: Int64Array
    months_late: Int64Array
    billed: Int64Array
    paid: Int64Array
    defaulted: Int64Array

    def __len__(self) -> int:
        return len(self.person)


@dataclass(frozen=True, kw_only=True)
class ImportSummary:
    """How many rows an import wrote."""

    customers: int
    account_balances: int
    invoices: int
    invoice_payments: int
    decisions: int
    bad: int

    def to_json(self) -> dict[str, int]:
        """The figures by name."""
        return asdict(self)


def write_ledger(holders: CardHolders, out: Path, progress: Progress = no_progress) -> ImportSummary:
    """Unroll the table into the ledger folder `out`, replacing what was there."""
    tables: list[tuple[Contract, dict[str, Any]]] = [
        (MERCHANTS, _merchant_columns()),
        (CUSTOMERS, _customer_columns(holders)),
        (CREDIT_ACCOUNTS, _account_columns(holders)),
        (ACCOUNT_BALANCES, _balance_columns(holders)),
        (ORDERS, _order_columns(holders)),
        (INVOICES, _invoice_columns(holders)),
        (INVOICE_PAYMENTS, _payment_columns(holders)),
    ]
    step = f"write the ledger of {len(holders):,} people"
    rows: dict[str, int] = {}
    for done, (contract, columns) in enumerate(tables):
        progress(step, done=done, total=len(tables))
        rows[contract.name] = write_table(out, contract, columns)
    _write_labels(holders, out)
    (out / PROTOCOL_FILE).write_text(PROTOCOL, encoding="utf-8")
    progress(step, done=len(tables), total=len(tables))
    return ImportSummary(
        customers=rows[CUSTOMERS.name],
        account_balances=rows[ACCOUNT_BALANCES.name],
        invoices=rows[INVOICES.name],
        invoice_payments=rows[INVOICE_PAYMENTS.name],
        decisions=len(holders),
        bad=int(holders.defaulted.sum()),
    )


def _day(month: dt.date, day: int, *, months_later: int = 0, hour: int = 0) -> int:
    """An hour of a day of a month in Taipei, in ms since 1970 UTC."""
    years, index = divmod(month.month - 1 + months_later, 12)
    return instant_ms(dt.datetime(month.year + years, index + 1, day, hour, tzinfo=TAIPEI))


STATEMENT_AT = np.array([_day(month, STATEMENT_DAY, hour=12) for month in MONTHS])
PAID_AT = np.array([_day(month, PAYMENT_DAY, hour=12) for month in MONTHS])
# Local midnight after the due day, as the contract says.
DUE_AT = np.array([_day(month, DUE_DAY + 1, months_later=1) for month in MONTHS])
MONTH_NAMES = np.array([month.strftime("%Y-%m") for month in MONTHS])


def _customer_ids(holders: CardHolders) -> StringArray:
    return np.char.add("uci-", np.char.zfill(holders.person.astype(str), 5))


def _monthly_ids(prefix: str, customers: StringArray, months: StringArray) -> StringArray:
    return np.char.add(np.char.add(np.char.add(prefix, customers), "-"), months)


def _repeat(value: object, rows: int) -> NDArray[np.object_]:
    return np.full(rows, value, dtype=object)


def _envelope(event_ids: StringArray, occurred_at: Int64Array) -> dict[str, Any]:
    """Everything was known when it happened: the source has one clock."""
    return {"event_id": event_ids, "occurred_at": occurred_at, "recorded_at": occurred_at}


def _merchant_columns() -> dict[str, Any]:
    """The lender as a merchant, because an order names one; all of it invented."""
    opened_at = instant_ms(OPENED_AT)
    return {
        "event_id": ["uci-merchant"],
        "occurred_at": [opened_at],
        "recorded_at": [opened_at],
        "merchant_id": [MERCHANT_ID],
        "name": ["Card issuer"],
        "country": ["TW"],
        "language": ["en"],
        "email": ["card-issuer@uci-taiwan.invalid"],
        "has_portal_account": [False],
        "category": ["groceries"],
        "handover_cutoff_local_time": ["12:00"],
    }


def _customer_columns(holders: CardHolders) -> dict[str, Any]:
    customers = _customer_ids(holders)
    rows = len(holders)
    opened_at = np.full(rows, instant_ms(OPENED_AT))
    return {
        **_envelope(np.char.add("customer-", customers), opened_at),
        "customer_id": customers,
        "registered_at": opened_at,
        "given_name": _repeat("Card", rows),
        "family_name": _repeat("Holder", rows),
        "birth_date": _repeat(BIRTH_DATE, rows),
        "email": np.char.add(customers, "@uci-taiwan.invalid"),
        "phone": _repeat("+886 20000000", rows),
        "residence_street": _repeat("Unknown", rows),
        "residence_house_number": _repeat("1", rows),
        "residence_postal_code": _repeat("000", rows),
        "residence_city": _repeat("Unknown", rows),
        "residence_country": _repeat("TW", rows),
        "language": _repeat("en", rows),
        "identity_status": _repeat("unverified", rows),
        # All are called the same here: so that each stays a person of their own.
        "identity_document_hmac": np.array(
            [hashlib.sha256(customer.encode()).hexdigest() for customer in customers.tolist()]
        ),
    }


def _account_columns(holders: CardHolders) -> dict[str, Any]:
    customers = _customer_ids(holders)
    opened_at = np.full(len(holders), instant_ms(OPENED_AT))
    return {
        **_envelope(np.char.add("account-", customers), opened_at),
        "account_id": np.char.add("card-", customers),
        "customer_id": customers,
        "kind": _repeat("credit_card", len(holders)),
        "opened_at": opened_at,
        "currency": _repeat(CURRENCY, len(holders)),
    }


def _balance_columns(holders: CardHolders) -> dict[str, Any]:
    people, months = (index.ravel() for index in np.indices(holders.billed.shape))
    customers = _customer_ids(holders)[people]
    months_late = np.maximum(holders.months_late[people, months], 0)
    return {
        **_envelope(_monthly_ids("balance-", customers, MONTH_NAMES[months]), STATEMENT_AT[months]),
        "account_id": np.char.add("card-", customers),
        "customer_id": customers,
        "balance_cents": holders.billed[people, months] * CENTS_PER_DOLLAR,
        "limit_cents": holders.limit[people] * CENTS_PER_DOLLAR,
        "paid_cents": holders.paid[people, months] * CENTS_PER_DOLLAR,
        "days_past_due": months_late * DAYS_PER_MONTH_LATE,
        "currency": _repeat(CURRENCY, len(people)),
    }


def _order_columns(holders: CardHolders) -> dict[str, Any]:
    """What a statement asks for, as one order: the source does not hold the single purchases."""
    people, months = np.nonzero(holders.billed > 0)
    customers = _customer_ids(holders)[people]
    rows = len(people)
    orders = _monthly_ids("", customers, MONTH_NAMES[months])
    address = {
        f"{prefix}_{part}": _repeat(value, rows)
        for prefix in ("delivery", "billing")
        for part, value in (
            ("name", "Card Holder"),
            ("street", "Unknown"),
            ("house_number", "1"),
            ("postal_code", "000"),
            ("city", "Unknown"),
            ("country", "TW"),
        )
    }
    return {
        **_envelope(np.char.add("order-", orders), STATEMENT_AT[months]),
        "order_id": orders,
        "customer_id": customers,
        "merchant_id": _repeat(MERCHANT_ID, rows),
        "amount_cents": holders.billed[people, months] * CENTS_PER_DOLLAR,
        "vat_cents": np.zeros(rows, dtype=np.int64),
        "currency": _repeat(CURRENCY, rows),
        "kind": _repeat("service", rows),
        "item_category": _repeat("other", rows),
        **address,
        "contact_email": np.char.add(customers, "@uci-taiwan.invalid"),
    }


def _invoice_columns(holders: CardHolders) -> dict[str, Any]:
    people, months = np.nonzero(holders.billed > 0)
    customers = _customer_ids(holders)[people]
    orders = _monthly_ids("", customers, MONTH_NAMES[months])
    return {
        **_envelope(np.char.add("invoice-", orders), STATEMENT_AT[months]),
        "invoice_id": orders,
        "order_id": orders,
        "customer_id": customers,
        "amount_cents": holders.billed[people, months] * CENTS_PER_DOLLAR,
        "currency": _repeat(CURRENCY, len(people)),
        "due_at": DUE_AT[months],
    }


def _payment_columns(holders: CardHolders) -> dict[str, Any]:
    """What a month paid towards the invoice of the month before, as far as there was one."""
    people, billed_months = np.nonzero((holders.billed[:, :-1] > 0) & (holders.paid[:, 1:] > 0))
    months = billed_months + 1
    customers = _customer_ids(holders)[people]
    return {
        **_envelope(_monthly_ids("payment-", customers, MONTH_NAMES[months]), PAID_AT[months]),
        "invoice_id": _monthly_ids("", customers, MONTH_NAMES[billed_months]),
        "customer_id": customers,
        "amount_cents": holders.paid[people, months] * CENTS_PER_DOLLAR,
        "currency": _repeat(CURRENCY, len(people)),
        "method": _repeat("bank_transfer", len(people)),
    }


def _write_labels(holders: CardHolders, out: Path) -> None:
    instant = pa.timestamp("ms", tz="UTC")
    customers = _customer_ids(holders)
    labels = pa.table(
        {
            "decision_id": pa.array(np.char.add("decision-", customers), pa.string()),
            "customer_id": pa.array(customers, pa.string()),
            "as_of": pa.array(np.full(len(holders), instant_ms(AS_OF))).cast(instant),
            "label": pa.array(holders.defaulted, pa.int8()),
            "known_at": pa.array(np.full(len(holders), instant_ms(KNOWN_AT))).cast(instant),
        }
    )
    pq.write_table(labels, out / LABELS_FILE, compression="zstd")


def write_protected_attributes(
    holders: CardHolders, *, sex: Sequence[float], age_years: Sequence[float], out: Path
) -> None:
    """Put what fairness is measured by beside the ledger; sex by the source's codes, both of shape (n,)."""
    table = pa.table(
        {
            "customer_id": pa.array(_customer_ids(holders), pa.string()),
            "sex": pa.array([SEXES.get(round(code)) for code in sex], pa.string()),
            "age_years": pa.array([round(age) for age in age_years], pa.int16()),
        }
    )
    pq.write_table(table, out / PROTECTED_ATTRIBUTES_FILE, compression="zstd")
