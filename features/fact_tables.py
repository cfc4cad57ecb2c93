"""Facts of many customers as columns of integers, derived from a Parquet ledger.

Invoices and accounts with an ordinary history (one row, at most one payment; statements in order)
are derived by array arithmetic; the others, with pauses, refunds or corrections, one by one with the
functions that the checkout uses. Tests hold the two ways equal.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import starmap
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data_contracts.account_balances import ACCOUNT_BALANCES
from data_contracts.contract import ColumnType, Contract
from data_contracts.credit_accounts import CREDIT_ACCOUNTS
from data_contracts.credit_inquiries import CREDIT_INQUIRIES
from data_contracts.customers import CUSTOMERS
from data_contracts.invoice_adjustments import INVOICE_ADJUSTMENTS
from data_contracts.invoice_charges import INVOICE_CHARGES
from data_contracts.invoice_pauses import INVOICE_PAUSES
from data_contracts.invoice_payments import INVOICE_PAYMENTS
from data_contracts.invoices import INVOICES
from data_contracts.parquet_ledger import empty_table, has_table, read_table
from data_contracts.sent_instants import HAPPENED_AT
from features.account_facts import (
    PAID_BACK_BY_PLAN,
    AccountRow,
    StatementRow,
    account_facts,
    ordinary_account_facts,
    portfolio_facts,
    statement_fact,
    statement_facts,
)
from features.credit_inquiries import CREDIT_SEEKING_PURPOSES
from features.declarations import FACT_COLUMNS, FactKind
from features.instants import NEVER, Int64Array
from features.invoice_facts import (
    InvoiceRow,
    MovementRow,
    PauseRow,
    adjustment_kind,
    invoice_facts,
    ordinary_invoice_facts,
)
from features.invoice_state import Movement, MovementKind
from features.settlement_terms import SettlementTerms
from features.supersession import (
    counted_milliseconds,
    happened_milliseconds,
    needed_columns,
    seen_rows,
    whole_numbers,
)

Row = TypeVar("Row", bound=tuple[Any, ...])

FactTable = dict[str, Int64Array]
"""Facts of one kind: `entity` (code of the customer) and the kind's columns, each of shape (n_facts,)."""

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class EntityRows:
    """Rows of one contract as integers, ascending by `entity` (code of the customer)."""

    entity: Int64Array
    columns: dict[str, Int64Array]

    def __getitem__(self, name: str) -> Int64Array:
        return self.columns[name]

    def of_entities(self, start: int, stop: int) -> "EntityRows":
        """The rows of the entities start..stop-1, coded anew from 0."""
        low, high = np.searchsorted(self.entity, [start, stop])
        columns = {name: values[low:high] for name, values in self.columns.items()}
        return EntityRows(entity=self.entity[low:high] - start, columns=columns)

    def where(self, mask: BoolArray) -> "EntityRows":
        """The rows that `mask`, of shape (n_rows,), picks."""
        columns = {name: values[mask] for name, values in self.columns.items()}
        return EntityRows(entity=self.entity[mask], columns=columns)

    def grouped(self, by: str, *names: str) -> dict[int, list[tuple[int, ...]]]:
        """The rows as tuples of the named columns, by the value of one column."""
        groups: defaultdict[int, list[tuple[int, ...]]] = defaultdict(list)
        rows = zip(*(self.columns[name].tolist() for name in names), strict=True)
        for key, row in zip(self.columns[by].tolist(), rows, strict=True):
            groups[key].append(row)
        return groups

    def rows_by(self, by: str, row_type: type[Row]) -> dict[int, list[Row]]:
        """The rows as a type whose fields are named as the columns are, by the value of one column."""
        groups: defaultdict[int, list[Row]] = defaultdict(list)
        for key, row in zip(self.columns[by].tolist(), self._rows(row_type), strict=True):
            groups[key].append(row)
        return groups

    def _rows(self, row_type: type[Row]) -> Iterator[Row]:
        fields: tuple[str, ...] = row_type._fields  # type: ignore[attr-defined]  # each is a NamedTuple
        return starmap(row_type, zip(*(self.columns[name].tolist() for name in fields), strict=True))


class LedgerByCustomer:
    """The credit rows of a ledger folder as integers, restricted to some customers.

    customers: ascending customer ids; a customer's code is its place among them.
    terms: by which invoices are judged.
    """

    def __init__(self, directory: Path, customers: pa.Array, terms: SettlementTerms) -> None:
        self._directory = directory
        self._customers = customers
        self._terms = terms
        self._codes: dict[str, pa.Array] = {}
        self._registrations = self._read(CUSTOMERS, "registered_at")
        self._accounts = self._read(CREDIT_ACCOUNTS, "account_id", "kind", "opened_at", "closed_at")
        self._statements = self._read(
            ACCOUNT_BALANCES,
            "account_id",
            "occurred_at",
            HAPPENED_AT,
            "balance_cents",
            "limit_cents",
            "paid_cents",
            "days_past_due",
        )
        self._inquiries = self._read(CREDIT_INQUIRIES, "occurred_at", "purpose")
        self._invoices = self._read(INVOICES, "invoice_id", "occurred_at", "due_at", "amount_cents")
        self._payments = self._read(INVOICE_PAYMENTS, "invoice_id", "occurred_at", "amount_cents")
        self._adjustments = self._read(
            INVOICE_ADJUSTMENTS, "invoice_id", "occurred_at", "kind", "reason", "amount_cents"
        )
        self._charges = self._read(INVOICE_CHARGES, "occurred_at", "kind")
        self._pauses = self._read(INVOICE_PAUSES, "invoice_id", "started_at", "ended_at")

    def _read(self, contract: Contract, *names: str) -> EntityRows:
        """The rows of a contract, once for each interval in which they stand."""
        sent = [name for name in names if name != HAPPENED_AT]
        wanted = list(dict.fromkeys([*needed_columns(contract), contract.entity, *sent]))
        if has_table(self._directory, contract):
            table = read_table(self._directory, contract, wanted)
        else:
            table = empty_table(contract).select(wanted)
        codes = pc.index_in(table[contract.entity], value_set=self._customers)
        table = table.filter(pc.is_valid(codes))
        entity = pc.drop_null(codes).to_numpy().astype(np.int64)
        seen = seen_rows(contract, table)
        entity = entity[seen.place]
        columns = {"seen_from": seen.seen_from, "seen_until": seen.seen_until}
        for name in names:
            columns[name] = self._integers(contract, table, name)[seen.place]
        if np.any(entity[1:] < entity[:-1]):
            order = np.argsort(entity, kind="stable")
            entity = entity[order]
            columns = {name: values[order] for name, values in columns.items()}
        return EntityRows(entity=entity, columns=columns)

    def _integers(self, contract: Contract, table: pa.Table, name: str) -> Int64Array:
        if name == HAPPENED_AT:
            return happened_milliseconds(contract, table)
        column = contract.column(name)
        values = table[name]
        if column.type is ColumnType.TIMESTAMP:
            return counted_milliseconds(contract, table, name)
        if column.type is ColumnType.INT64:
            return whole_numbers(values, missing=-1 if column.nullable else 0)
        if column.allowed is not None:
            return whole_numbers(pc.index_in(values, value_set=pa.array(column.allowed)))
        # An id is coded by its place among the ids that the contract which owns it holds.
        if name not in self._codes:
            self._codes[name] = pc.unique(values)
        return whole_numbers(pc.index_in(values, value_set=self._codes[name]), missing=-1)

    def facts(self, start: int, stop: int) -> dict[FactKind, FactTable]:
        """The facts of the customers coded start..stop-1, coded anew from 0."""
        registrations = self._registrations.of_entities(start, stop)
        charges = self._charges.of_entities(start, stop)
        inquiries = self._inquiries.of_entities(start, stop)
        accounts = self._accounts.of_entities(start, stop)
        statements = self._statements.of_entities(start, stop)
        reminders = charges.where(charges["kind"] == _code(INVOICE_CHARGES, "kind", "reminder"))
        seeking = [_code(CREDIT_INQUIRIES, "purpose", purpose) for purpose in CREDIT_SEEKING_PURPOSES]
        return {
            FactKind.INVOICE: _invoice_table(
                self._invoices.of_entities(start, stop),
                self._payments.of_entities(start, stop),
                self._adjustments.of_entities(start, stop),
                self._pauses.of_entities(start, stop),
                self._terms,
            ),
            FactKind.REMINDER: _row_table(FactKind.REMINDER, reminders, (reminders["occurred_at"],)),
            FactKind.INQUIRY: _row_table(
                FactKind.INQUIRY,
                inquiries,
                (inquiries["occurred_at"], np.isin(inquiries["purpose"], seeking).astype(np.int64)),
            ),
            FactKind.STATEMENT: _statement_table(accounts, statements),
            FactKind.ACCOUNT: _account_table(accounts, statements),
            FactKind.PORTFOLIO: _portfolio_table(accounts),
            FactKind.REGISTRATION: _row_table(
                FactKind.REGISTRATION,
                registrations,
                (np.ones(len(registrations.entity), dtype=np.int64), -registrations["registered_at"]),
            ),
        }


def _code(contract: Contract, column: str, value: str) -> int:
    return (contract.column(column).allowed or ()).index(value)


def _row_table(kind: FactKind, rows: EntityRows, own_columns: Sequence[Int64Array]) -> FactTable:
    """Facts that are single rows, seen as long as the row is."""
    columns = (rows["seen_from"], rows["seen_until"], *own_columns)
    return {"entity": rows.entity, **dict(zip(FACT_COLUMNS[kind], columns, strict=True))}


def _tuple_table(kind: FactKind, entities: Sequence[int], facts: Sequence[tuple[int, ...]]) -> FactTable:
    """Facts derived one by one."""
    names = FACT_COLUMNS[kind]
    columns = np.array(facts, dtype=np.int64).reshape(len(facts), len(names))
    table = {name: np.ascontiguousarray(columns[:, index]) for index, name in enumerate(names)}
    return {"entity": np.array(entities, dtype=np.int64), **table}


def _joined(*tables: FactTable) -> FactTable:
    return {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}


def _derived_one_by_one(
    kind: FactKind, subjects: dict[int, int], derive: Callable[[int], Sequence[tuple[int, ...]]]
) -> FactTable:
    """Derive the facts of each subject (invoice or account code, with its entity) by itself."""
    entities: list[int] = []
    facts: list[tuple[int, ...]] = []
    for subject, entity in subjects.items():
        derived = derive(subject)
        facts += derived
        entities += [entity] * len(derived)
    return _tuple_table(kind, entities, facts)


def _invoice_table(
    invoices: EntityRows,
    payments: EntityRows,
    adjustments: EntityRows,
    pauses: EntityRows,
    terms: SettlementTerms,
) -> FactTable:
    known = invoices["invoice_id"]
    special = [
        _repeated(known),
        known[invoices["seen_until"] != NEVER],
        _repeated(payments["invoice_id"]),
        payments["invoice_id"][payments["seen_until"] != NEVER],
        adjustments["invoice_id"],
        pauses["invoice_id"],
    ]
    is_special = np.isin(known, np.concatenate(special))
    return _joined(
        _ordinary_invoice_table(invoices.where(~is_special), payments, terms),
        special_invoice_table(invoices.where(is_special), payments, adjustments, pauses, terms),
    )


def _repeated(codes: Int64Array) -> Int64Array:
    values, counts = np.unique(codes, return_counts=True)
    return np.asarray(values[counts > 1], dtype=np.int64)


def special_invoice_table(
    invoices: EntityRows,
    payments: EntityRows,
    adjustments: EntityRows,
    pauses: EntityRows,
    terms: SettlementTerms,
) -> FactTable:
    """Facts of invoices derived one by one with `invoice_facts`."""
    wanted = invoices["invoice_id"]
    rows = invoices.rows_by("invoice_id", InvoiceRow)
    movements: defaultdict[int, list[MovementRow]] = defaultdict(list)
    for code, paid in (
        payments.where(np.isin(payments["invoice_id"], wanted))
        .grouped("invoice_id", "seen_from", "seen_until", "occurred_at", "amount_cents")
        .items()
    ):
        movements[code] += [
            MovementRow(seen_from, seen_until, Movement(occurred_at, MovementKind.PAYMENT, cents))
            for seen_from, seen_until, occurred_at, cents in paid
        ]
    kinds = INVOICE_ADJUSTMENTS.column("kind").allowed or ()
    reasons = INVOICE_ADJUSTMENTS.column("reason").allowed or ()
    for code, adjusted in adjustments.grouped(
        "invoice_id", "seen_from", "seen_until", "occurred_at", "kind", "reason", "amount_cents"
    ).items():
        movements[code] += [
            MovementRow(
                seen_from,
                seen_until,
                Movement(occurred_at, adjustment_kind(kinds[kind], reasons[reason]), cents),
            )
            for seen_from, seen_until, occurred_at, kind, reason, cents in adjusted
        ]
    paused = pauses.rows_by("invoice_id", PauseRow)

    def derive(code: int) -> Sequence[tuple[int, ...]]:
        return invoice_facts(rows.get(code, []), movements.get(code, []), paused.get(code, []), terms)

    subjects = dict(zip(wanted.tolist(), invoices.entity.tolist(), strict=True))
    return _derived_one_by_one(FactKind.INVOICE, subjects, derive)


def _ordinary_invoice_table(invoices: EntityRows, payments: EntityRows, terms: SettlementTerms) -> FactTable:
    """Facts of invoices with one standing row and at most one standing payment."""
    unpaid_until = np.full(len(invoices.entity), NEVER, dtype=np.int64)
    paid_cents = np.zeros(len(invoices.entity), dtype=np.int64)
    paid_at = np.zeros(len(invoices.entity), dtype=np.int64)
    order = np.argsort(payments["invoice_id"], kind="stable")
    codes = payments["invoice_id"][order]
    place = np.searchsorted(codes, invoices["invoice_id"])
    has_payment = place < len(codes)
    has_payment[has_payment] = codes[place[has_payment]] == invoices["invoice_id"][has_payment]
    payment = order[place[has_payment]]
    unpaid_until[has_payment] = payments["seen_from"][payment]
    paid_cents[has_payment] = payments["amount_cents"][payment]
    paid_at[has_payment] = np.maximum(payments["occurred_at"][payment], invoices["occurred_at"][has_payment])

    is_first_seen_unpaid = invoices["seen_from"] < unpaid_until
    unpaid = _ordinary_states(
        invoices, invoices["seen_from"], unpaid_until, np.zeros_like(paid_cents), paid_at, terms
    )
    seen_paid_from = np.maximum(invoices["seen_from"], unpaid_until)
    paid = _ordinary_states(
        invoices, seen_paid_from, np.full_like(paid_at, NEVER), paid_cents, paid_at, terms
    )
    return _joined(
        {name: values[is_first_seen_unpaid] for name, values in unpaid.items()},
        {name: values[has_payment] for name, values in paid.items()},
    )


def _ordinary_states(
    invoices: EntityRows,
    seen_from: Int64Array,
    seen_until: Int64Array,
    paid_cents: Int64Array,
    paid_at: Int64Array,
    terms: SettlementTerms,
) -> FactTable:
    facts = ordinary_invoice_facts(
        seen_from,
        seen_until,
        issued_at=invoices["occurred_at"],
        due_at=invoices["due_at"],
        amount_cents=invoices["amount_cents"],
        paid_cents=paid_cents,
        paid_at=paid_at,
        terms=terms,
    )
    return {"entity": invoices.entity, **facts._asdict()}


def _statement_table(accounts: EntityRows, statements: EntityRows) -> FactTable:
    known = accounts["account_id"]
    order = np.argsort(known, kind="stable")
    by_code = known[order]
    place = np.minimum(np.searchsorted(by_code, statements["account_id"]), max(len(by_code) - 1, 0))
    has_account = np.isin(statements["account_id"], known)
    owner = order[place[has_account]]
    is_special = np.zeros(len(statements.entity), dtype=bool)
    is_special[has_account] = accounts["seen_from"][owner] > statements["seen_from"][has_account]
    changed = np.concatenate([_repeated(known), known[accounts["seen_until"] != NEVER]])
    is_special |= np.isin(statements["account_id"], changed)
    is_at_will = np.ones(len(statements.entity), dtype=np.int64)
    is_at_will[has_account] = _drawn_at_will(accounts["kind"][owner])
    ordinary = statements.where(~is_special)
    facts = statement_fact(
        ordinary["seen_from"],
        ordinary["seen_until"],
        ordinary["occurred_at"],
        ordinary["balance_cents"],
        ordinary["limit_cents"],
        ordinary["paid_cents"],
        ordinary["days_past_due"],
        is_at_will[~is_special],
    )
    return _joined(
        {"entity": ordinary.entity, **facts._asdict()},
        special_statement_table(accounts, statements.where(is_special)),
    )


def special_statement_table(accounts: EntityRows, statements: EntityRows) -> FactTable:
    """Facts of statements derived one account at a time with `statement_facts`."""
    rows = _account_rows(accounts, "account_id")
    by_account = statements.rows_by("account_id", StatementRow)
    counted = statements.grouped("account_id", "occurred_at")

    def derive(code: int) -> Sequence[tuple[int, ...]]:
        own = by_account.get(code, [])
        instants = [occurred_at for (occurred_at,) in counted[code]]
        return statement_facts(list(zip(own, instants, strict=True)), rows.get(code, []))

    subjects = dict(zip(statements["account_id"].tolist(), statements.entity.tolist(), strict=True))
    return _derived_one_by_one(FactKind.STATEMENT, subjects, derive)


def _account_table(accounts: EntityRows, statements: EntityRows) -> FactTable:
    order = np.lexsort((statements["seen_from"], statements["account_id"]))
    in_order = EntityRows(
        entity=statements.entity[order],
        columns={name: values[order] for name, values in statements.columns.items()},
    )
    same_account = in_order["account_id"][1:] == in_order["account_id"][:-1]
    steps_back = same_account & (
        (in_order["seen_from"][1:] <= in_order["seen_from"][:-1])
        | (in_order[HAPPENED_AT][1:] <= in_order[HAPPENED_AT][:-1])
    )
    known = accounts["account_id"]
    account_seen_from = dict(zip(known.tolist(), accounts["seen_from"].tolist(), strict=True))
    first_seen = np.array(
        [account_seen_from.get(code, NEVER) for code in in_order["account_id"].tolist()], dtype=np.int64
    )
    special = [
        _repeated(known),
        known[accounts["seen_until"] != NEVER],
        in_order["account_id"][in_order["seen_until"] != NEVER],
        in_order["account_id"][1:][steps_back],
        in_order["account_id"][in_order["seen_from"] <= first_seen],
    ]
    is_special = np.isin(known, np.concatenate(special))
    ordinary = known[~is_special]
    return _joined(
        _ordinary_account_table(
            accounts.where(~is_special), in_order.where(np.isin(in_order["account_id"], ordinary))
        ),
        special_account_table(accounts.where(is_special), statements),
    )


def special_account_table(accounts: EntityRows, statements: EntityRows) -> FactTable:
    """Facts of accounts derived one by one with `account_facts`."""
    wanted = accounts["account_id"]
    rows = _account_rows(accounts, "account_id")
    by_account = statements.where(np.isin(statements["account_id"], wanted)).rows_by(
        "account_id", StatementRow
    )

    def derive(code: int) -> Sequence[tuple[int, ...]]:
        return account_facts(rows[code], by_account.get(code, []))

    subjects = dict(zip(wanted.tolist(), accounts.entity.tolist(), strict=True))
    return _derived_one_by_one(FactKind.ACCOUNT, subjects, derive)


def _account_rows(accounts: EntityRows, by: str) -> dict[int, list[AccountRow]]:
    """The account rows in the form of the one-by-one functions, in the order in which they were recorded."""
    kinds = CREDIT_ACCOUNTS.column("kind").allowed or ()
    groups: defaultdict[int, list[AccountRow]] = defaultdict(list)
    keys = accounts.entity if by == "entity" else accounts[by]
    for key, seen_from, seen_until, account, kind, opened_at, closed_at in zip(
        keys.tolist(),
        *(
            accounts[name].tolist()
            for name in ("seen_from", "seen_until", "account_id", "kind", "opened_at", "closed_at")
        ),
        strict=True,
    ):
        groups[key].append(AccountRow(seen_from, seen_until, account, kinds[kind], opened_at, closed_at))
    return groups


def _ordinary_account_table(accounts: EntityRows, statements: EntityRows) -> FactTable:
    """Facts of accounts with one standing row, whose statements follow it and one another."""
    place = np.argsort(accounts["account_id"], kind="stable")
    by_code = accounts["account_id"][place]
    owner = place[np.searchsorted(by_code, statements["account_id"])]
    seen_until = np.full(len(statements.entity), NEVER, dtype=np.int64)
    has_next = statements["account_id"][1:] == statements["account_id"][:-1]
    seen_until[:-1][has_next] = statements["seen_from"][1:][has_next]
    is_first = np.ones(len(statements.entity), dtype=bool)
    is_first[1:] = ~has_next
    until_first = np.full(len(accounts.entity), NEVER, dtype=np.int64)
    until_first[owner[is_first]] = statements["seen_from"][is_first]
    none = np.zeros(len(accounts.entity), dtype=np.int64)
    return _joined(
        _ordinary_account_states(
            accounts, np.arange(len(accounts.entity)), accounts["seen_from"], until_first, none, none, none
        ),
        _ordinary_account_states(
            accounts,
            owner,
            statements["seen_from"],
            seen_until,
            np.maximum(statements["balance_cents"], 0),
            statements["limit_cents"],
            np.maximum(statements["days_past_due"], 0),
        ),
    )


def _ordinary_account_states(
    accounts: EntityRows,
    owner: NDArray[np.intp],
    seen_from: Int64Array,
    seen_until: Int64Array,
    balance: Int64Array,
    limit: Int64Array,
    days_past_due: Int64Array,
) -> FactTable:
    kind = accounts["kind"][owner]
    facts = ordinary_account_facts(
        seen_from,
        seen_until,
        opened_at=accounts["opened_at"][owner],
        closed_at=accounts["closed_at"][owner],
        is_instalment=(kind == _code(CREDIT_ACCOUNTS, "kind", "instalment")).astype(np.int64),
        is_at_will=_drawn_at_will(kind),
        balance=balance,
        limit=limit,
        days_past_due=days_past_due,
    )
    return {"entity": accounts.entity[owner], **facts._asdict()}


def _drawn_at_will(kinds: Int64Array) -> Int64Array:
    """The array twin of `is_drawn_at_will`. kinds: codes of the column."""
    plans = [_code(CREDIT_ACCOUNTS, "kind", kind) for kind in PAID_BACK_BY_PLAN]
    return (~np.isin(kinds, plans)).astype(np.int64)


def _portfolio_table(accounts: EntityRows) -> FactTable:
    rows = _account_rows(accounts, "entity")
    return _derived_one_by_one(
        FactKind.PORTFOLIO, {entity: entity for entity in rows}, lambda entity: portfolio_facts(rows[entity])
    )
