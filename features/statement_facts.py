"""Statements of credit accounts as integers: the facts that features of balances count.

A new column is a field of `StatementFact` and a line in `statement_fact`, which serves one and many alike.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Generic, NamedTuple

import numpy as np

from data_contracts.account_balances import ACCOUNT_BALANCES
from data_contracts.credit_accounts import CREDIT_ACCOUNTS
from features.account_rows import (
    AccountRow,
    StatementRow,
    account_rows_by,
    drawn_at_will,
    is_drawn_at_will,
)
from features.fact_tables import FactTable, Whole, derived_one_by_one, fact_table, joined, repeated
from features.instants import NEVER
from features.ledger_columns import EntityRows, RowsRead
from features.supersession import LedgerRow

UTILISATION_BPS_CAP = 20_000
"""Utilisation is counted up to twice the limit."""


class StatementFact(NamedTuple, Generic[Whole]):
    """The columns of `FactKind.STATEMENT`.

    balance_cents, limit_cents: of credit that is drawn at will, else 0. has_limit: 0 or 1.
    utilisation_bps: balance over limit in ten thousandths, at most UTILISATION_BPS_CAP.
    paid_cents: 0 where it was not reported; payable_cents: what was owed before it, 0 likewise.
    """

    seen_from: Whole
    seen_until: Whole
    occurred_at: Whole
    balance_cents: Whole
    limit_cents: Whole
    utilisation_bps: Whole
    utilisation_bps_squared: Whole
    has_limit: Whole
    paid_cents: Whole
    payable_cents: Whole
    days_past_due: Whole


def statement_fact(
    seen_from: Whole,
    seen_until: Whole,
    *,
    occurred_at: Whole,
    balance_cents: Whole,
    limit_cents: Whole,
    paid_cents: Whole,
    days_past_due: Whole,
    is_drawn_at_will: Whole,
) -> tuple[Whole, ...]:
    """A statement, or many as arrays, as the integers of `FactKind.STATEMENT`, in the order of the fields of
    `StatementFact`.

    is_drawn_at_will: 0 where the account is PAID_BACK_BY_PLAN, else 1.
    Written without branches, so that one line serves an int and an int64 array alike.
    """
    owed = balance_cents * (balance_cents > 0)
    drawn = owed * is_drawn_at_will
    limit = limit_cents * is_drawn_at_will
    has_limit = (limit > 0) * 1
    limit_or_one = limit + (limit == 0)
    uncapped = drawn * 10_000 // limit_or_one * has_limit
    is_capped = uncapped > UTILISATION_BPS_CAP
    utilisation = uncapped * (uncapped <= UTILISATION_BPS_CAP) + UTILISATION_BPS_CAP * is_capped
    reports_payments = paid_cents >= 0
    reports_arrears = days_past_due >= 0
    # A plain tuple: with names, which nobody reads of a single fact, to make it takes ten times as long.
    return (
        seen_from,
        seen_until,
        occurred_at,
        drawn,  # balance_cents
        limit,
        utilisation,
        utilisation * utilisation,
        has_limit,
        paid_cents * reports_payments,
        (owed + paid_cents) * reports_payments,  # payable_cents
        days_past_due * reports_arrears,
    )


def statement_facts(
    statements: Sequence[StatementRow], accounts: Sequence[AccountRow]
) -> list[tuple[int, ...]]:
    """Every state of the statements of one account, with the kind that the account had in our knowledge.

    accounts: the rows of that account.
    """
    facts = []
    for row in statements:
        instants = {
            at
            for account in accounts
            for at in (account.seen_from, account.seen_until)
            if row.seen_from < at < row.seen_until
        }
        starts = sorted({row.seen_from, *instants})
        for seen_from, seen_until in zip(starts, [*starts[1:], row.seen_until], strict=True):
            known = [account for account in accounts if account.seen_from <= seen_from < account.seen_until]
            facts.append(
                statement_fact(
                    seen_from,
                    seen_until,
                    occurred_at=row.occurred_at,
                    balance_cents=row.balance_cents,
                    limit_cents=row.limit_cents,
                    paid_cents=row.paid_cents,
                    days_past_due=row.days_past_due,
                    is_drawn_at_will=is_drawn_at_will(known[-1].kind if known else None),
                )
            )
    return facts


def known_statements(rows: Iterable[LedgerRow], at_will_of: Mapping[str | int, int]) -> list[tuple[int, ...]]:
    """The facts of statements that all stand.

    at_will_of: `is_drawn_at_will` of the accounts that are known.
    """
    return [
        statement_fact(
            0,
            NEVER,
            occurred_at=row["occurred_at"],
            balance_cents=row["balance_cents"],
            limit_cents=row["limit_cents"],
            paid_cents=-1 if (paid_cents := row.get("paid_cents")) is None else paid_cents,
            days_past_due=-1 if (days_past_due := row.get("days_past_due")) is None else days_past_due,
            is_drawn_at_will=at_will_of.get(row["account_id"], 1),
        )
        for row in rows
    ]


def statement_table(rows: RowsRead) -> FactTable:
    """The facts of the statements of many customers.

    A statement is ordinary where its account has one standing row, which is not recorded after it.
    """
    accounts, statements = rows[CREDIT_ACCOUNTS.name], rows[ACCOUNT_BALANCES.name]
    known = accounts["account_id"]
    order = np.argsort(known, kind="stable")
    by_code = known[order]
    place = np.minimum(np.searchsorted(by_code, statements["account_id"]), max(len(by_code) - 1, 0))
    has_account = np.isin(statements["account_id"], known)
    owner = order[place[has_account]]
    is_special = np.zeros(len(statements), dtype=bool)
    is_special[has_account] = accounts["seen_from"][owner] > statements["seen_from"][has_account]
    changed = np.concatenate([repeated(known), known[accounts["seen_until"] != NEVER]])
    is_special |= np.isin(statements["account_id"], changed)
    is_at_will = np.ones(len(statements), dtype=np.int64)
    is_at_will[has_account] = drawn_at_will(accounts["kind"][owner])
    ordinary = statements.where(~is_special)
    facts = statement_fact(
        ordinary["seen_from"],
        ordinary["seen_until"],
        occurred_at=ordinary["occurred_at"],
        balance_cents=ordinary["balance_cents"],
        limit_cents=ordinary["limit_cents"],
        paid_cents=ordinary["paid_cents"],
        days_past_due=ordinary["days_past_due"],
        is_drawn_at_will=is_at_will[~is_special],
    )
    return joined(
        fact_table(ordinary.entity, StatementFact(*facts)),
        _special_statement_table(accounts, statements.where(is_special)),
    )


def _special_statement_table(accounts: EntityRows, statements: EntityRows) -> FactTable:
    """Facts of statements derived one account at a time."""
    rows = account_rows_by(accounts, "account_id")
    by_account = statements.rows_by("account_id", StatementRow)
    entity_of = dict(zip(statements["account_id"].tolist(), statements.entity.tolist(), strict=True))
    return derived_one_by_one(
        StatementFact, entity_of, lambda code: statement_facts(by_account[code], rows.get(code, []))
    )
