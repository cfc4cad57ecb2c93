"""Rows of credit accounts and of their statements, as the facts of both are made of them.

A new column of the ledger is a field of the row and a line where a row is read for one customer; for many
customers the columns are read by the fields' names.
"""

from collections import defaultdict
from collections.abc import Iterable
from itertools import starmap
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np

from data_contracts.account_balances import ACCOUNT_BALANCES
from data_contracts.credit_accounts import CREDIT_ACCOUNTS
from data_contracts.sent_instants import HAPPENED_AT
from features.instants import NEVER, Int64Array
from features.ledger_columns import ColumnsRead, EntityRows, code_of, own_columns, values_of
from features.supersession import LedgerRow

PAID_BACK_BY_PLAN = ("instalment", "loan")
"""Kinds of credit account whose limit is the amount that was lent."""


class AccountRow(NamedTuple):
    """A row of a credit account, in an interval of our knowledge.

    account_id: the id or its code. closed_at: NEVER while it is open.
    """

    seen_from: int
    seen_until: int
    account_id: str | int
    kind: str
    opened_at: int
    closed_at: int


class StatementRow(NamedTuple):
    """A statement of an account, in an interval of our knowledge.

    occurred_at: from when it counts, in ms; happened_at: by which it ranks. paid_cents, days_past_due: -1
    unknown.
    """

    seen_from: int
    seen_until: int
    account_id: str | int
    occurred_at: int
    happened_at: int
    balance_cents: int
    limit_cents: int
    paid_cents: int
    days_past_due: int


ACCOUNT_COLUMNS = (
    ColumnsRead(CREDIT_ACCOUNTS, own_columns(AccountRow)),
    ColumnsRead(ACCOUNT_BALANCES, own_columns(StatementRow)),
)
"""What the facts of accounts, statements and portfolios are made of."""


def is_drawn_at_will(kind: str | None) -> int:
    """1 for a kind of account whose limit can be used, and for an account that nobody told of; else 0."""
    return 0 if kind in PAID_BACK_BY_PLAN else 1


def drawn_at_will(kinds: Int64Array) -> Int64Array:
    """`is_drawn_at_will` of many accounts. kinds: codes of the column."""
    plans = [code_of(CREDIT_ACCOUNTS, "kind", kind) for kind in PAID_BACK_BY_PLAN]
    return (~np.isin(kinds, plans)).astype(np.int64)


def known_accounts(rows: Iterable[LedgerRow]) -> list[AccountRow]:
    """The account rows of one customer, which all stand."""
    return [
        # Without names, with which each would take twice as long: the checkout waits for it.
        AccountRow(
            0,
            NEVER,
            row["account_id"],
            row["kind"],
            row["opened_at"],
            NEVER if (closed_at := row.get("closed_at")) is None else closed_at,
        )
        for row in rows
    ]


def known_statement(row: LedgerRow) -> StatementRow:
    """A row of an account's balance that stands. seen_from: when it was recorded, by which it ranks."""
    paid_cents, days_past_due = row.get("paid_cents"), row.get("days_past_due")
    return StatementRow(
        seen_from=row["recorded_at"],
        seen_until=NEVER,
        account_id=row["account_id"],
        occurred_at=row["occurred_at"],
        happened_at=row.get(HAPPENED_AT, row["occurred_at"]),
        balance_cents=row["balance_cents"],
        limit_cents=row["limit_cents"],
        paid_cents=-1 if paid_cents is None else paid_cents,
        days_past_due=-1 if days_past_due is None else days_past_due,
    )


def account_rows_by(accounts: EntityRows, by: str) -> dict[int, list[AccountRow]]:
    """The account rows of many customers, in the order in which they were recorded.

    by: `account_id`, or `entity` for the customer's code.
    """
    kinds = values_of(CREDIT_ACCOUNTS, "kind")
    values: dict[str, list[Any]] = {name: accounts[name].tolist() for name in AccountRow._fields}
    values["kind"] = [kinds[code] for code in values["kind"]]
    keys = accounts.entity if by == "entity" else accounts[by]
    groups: defaultdict[int, list[AccountRow]] = defaultdict(list)
    for key, row in zip(keys.tolist(), starmap(AccountRow, zip(*values.values(), strict=True)), strict=True):
        groups[key].append(row)
    return groups


_rank_of_statement = attrgetter(
    "happened_at", "seen_from", "balance_cents", "limit_cents", "paid_cents", "days_past_due"
)


def newest_statement(known: Iterable[StatementRow]) -> StatementRow | None:
    """The latest statement by the day it describes, then by when it was recorded, then by its figures."""
    return max(known, key=_rank_of_statement, default=None)


def newest_statements(rows: Iterable[LedgerRow]) -> dict[str | int, StatementRow]:
    """The newest statement of each account, of rows that all stand, as `newest_statement` ranks them."""
    newest: dict[str | int, tuple[tuple[int, int], list[LedgerRow]]] = {}
    for row in rows:
        account_id = row["account_id"]
        instants = row.get(HAPPENED_AT, row["occurred_at"]), row["recorded_at"]
        known = newest.get(account_id)
        if known is None or instants > known[0]:
            newest[account_id] = instants, [row]
        elif instants == known[0]:
            known[1].append(row)
    # Only those that are equal in both instants are read for their figures: the checkout waits for it.
    return {
        account_id: known_statement(equals[0])
        if len(equals) == 1
        else max(map(known_statement, equals), key=_rank_of_statement)
        for account_id, (_, equals) in newest.items()
    }
