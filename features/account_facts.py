"""Credit accounts as integers: the facts that features of account age, and of the newest balances, count.

A new column is a field of `AccountFact`, a line in `account_fact` and a line in its array twin below it;
portfolios have one form only.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Generic, NamedTuple

import numpy as np
from numpy.typing import NDArray

from data_contracts.account_balances import ACCOUNT_BALANCES
from data_contracts.credit_accounts import CREDIT_ACCOUNTS
from data_contracts.sent_instants import HAPPENED_AT
from features.account_rows import (
    AccountRow,
    StatementRow,
    account_rows_by,
    drawn_at_will,
    is_drawn_at_will,
    newest_statement,
)
from features.fact_tables import FactTable, Whole, derived_one_by_one, fact_table, joined, repeated
from features.instants import NEVER, Int64Array
from features.ledger_columns import EntityRows, RowsRead, code_of


class AccountFact(NamedTuple, Generic[Whole]):
    """The columns of `FactKind.ACCOUNT`. last_...: by the newest statement, 0 without one or once closed.

    minus_opened_at: for an open account the instant it was opened, negative, so that ages can be summed: two
    accounts opened at 100 and 120 add up to -220, and at instant 150 to 2 * 150 - 220 = 80.
    last_plan_balance_cents: of loans and instalment credit, which have no limit that could be used.
    """

    seen_from: Whole
    seen_until: Whole
    opened_at: Whole
    minus_opened_at: Whole
    open: Whole
    open_instalment: Whole
    instalment: Whole
    last_balance_cents: Whole
    last_limit_cents: Whole
    last_plan_balance_cents: Whole
    last_days_past_due: Whole


class PortfolioFact(NamedTuple):
    """The columns of `FactKind.PORTFOLIO`: the open accounts of one customer; instants in ms, negative."""

    seen_from: int
    seen_until: int
    one: int
    minus_oldest_opened_at: int
    minus_newest_opened_at: int


def account_fact(
    seen_from: int, seen_until: int, account: AccountRow, newest: StatementRow | None
) -> tuple[int, ...]:
    """An account and its newest statement as the integers of `FactKind.ACCOUNT`, in the order of the fields
    of `AccountFact`.
    """
    is_open = 1 if account.closed_at == NEVER else 0
    is_instalment = 1 if account.kind == "instalment" else 0
    balance, limit, days_past_due = 0, 0, 0
    if newest is not None:
        balance, limit = max(newest.balance_cents, 0), newest.limit_cents
        days_past_due = max(newest.days_past_due, 0)
    is_at_will = is_drawn_at_will(account.kind)
    # A plain tuple: with names, which nobody reads of a single fact, to make it takes ten times as long.
    return (
        seen_from,
        seen_until,
        account.opened_at,
        -account.opened_at * is_open,
        is_open,
        is_open * is_instalment,
        is_instalment,
        balance * is_open * is_at_will,  # last_balance_cents
        limit * is_open * is_at_will,  # last_limit_cents
        balance * is_open * (1 - is_at_will),  # last_plan_balance_cents
        days_past_due * is_open,
    )


def ordinary_account_facts(
    seen_from: Int64Array,
    seen_until: Int64Array,
    *,
    opened_at: Int64Array,
    closed_at: Int64Array,
    is_instalment: Int64Array,
    is_at_will: Int64Array,
    balance: Int64Array,
    limit: Int64Array,
    days_past_due: Int64Array,
) -> AccountFact[Int64Array]:
    """`account_fact` of many accounts, each with its newest statement; all of shape (n_facts,).

    is_instalment, is_at_will: 0 or 1, by the kind. balance, limit, days_past_due: 0 without a statement.
    """
    is_open = (closed_at == NEVER).astype(np.int64)
    return AccountFact(
        seen_from=seen_from,
        seen_until=seen_until,
        opened_at=opened_at,
        minus_opened_at=-opened_at * is_open,
        open=is_open,
        open_instalment=is_open * is_instalment,
        instalment=is_instalment,
        last_balance_cents=balance * is_open * is_at_will,
        last_limit_cents=limit * is_open * is_at_will,
        last_plan_balance_cents=balance * is_open * (1 - is_at_will),
        last_days_past_due=days_past_due * is_open,
    )


def account_facts(
    accounts: Sequence[AccountRow], statements: Sequence[StatementRow]
) -> list[tuple[int, ...]]:
    """Every state that one credit account went through in our knowledge.

    accounts: the rows of one account_id; statements: its statements.
    """
    instants = {row.seen_from for rows in (accounts, statements) for row in rows}
    instants |= {row.seen_until for rows in (accounts, statements) for row in rows}
    starts = sorted(instants - {NEVER})
    facts = []
    for seen_from, seen_until in zip(starts, [*starts[1:], NEVER], strict=True):
        known = [row for row in accounts if row.seen_from <= seen_from < row.seen_until]
        if known:
            newest = newest_statement(
                row for row in statements if row.seen_from <= seen_from < row.seen_until
            )
            facts.append(account_fact(seen_from, seen_until, known[-1], newest))
    return facts


def account_table(rows: RowsRead) -> FactTable:
    """The facts of the accounts of many customers.

    An account is ordinary where it has one standing row, and statements that follow it and one another.
    """
    accounts, statements = rows[CREDIT_ACCOUNTS.name], rows[ACCOUNT_BALANCES.name]
    in_order = statements.at(np.lexsort((statements["seen_from"], statements["account_id"])))
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
        repeated(known),
        known[accounts["seen_until"] != NEVER],
        in_order["account_id"][in_order["seen_until"] != NEVER],
        in_order["account_id"][1:][steps_back],
        in_order["account_id"][in_order["seen_from"] <= first_seen],
    ]
    is_special = np.isin(known, np.concatenate(special))
    ordinary = known[~is_special]
    return joined(
        _ordinary_account_table(
            accounts.where(~is_special), in_order.where(np.isin(in_order["account_id"], ordinary))
        ),
        _special_account_table(accounts.where(is_special), statements),
    )


def _special_account_table(accounts: EntityRows, statements: EntityRows) -> FactTable:
    """Facts of accounts derived one by one."""
    wanted = accounts["account_id"]
    rows = account_rows_by(accounts, "account_id")
    theirs = statements.where(np.isin(statements["account_id"], wanted))
    by_account = theirs.rows_by("account_id", StatementRow)
    entity_of = dict(zip(wanted.tolist(), accounts.entity.tolist(), strict=True))
    return derived_one_by_one(
        AccountFact, entity_of, lambda code: account_facts(rows[code], by_account.get(code, []))
    )


def _ordinary_account_table(accounts: EntityRows, statements: EntityRows) -> FactTable:
    """Facts of accounts as arrays: each without a statement, and then by each statement until the next."""
    place = np.argsort(accounts["account_id"], kind="stable")
    by_code = accounts["account_id"][place]
    owner = place[np.searchsorted(by_code, statements["account_id"])]
    seen_until = np.full(len(statements), NEVER, dtype=np.int64)
    has_next = statements["account_id"][1:] == statements["account_id"][:-1]
    seen_until[:-1][has_next] = statements["seen_from"][1:][has_next]
    is_first = np.ones(len(statements), dtype=bool)
    is_first[1:] = ~has_next
    until_first = np.full(len(accounts), NEVER, dtype=np.int64)
    until_first[owner[is_first]] = statements["seen_from"][is_first]
    none = np.zeros(len(accounts), dtype=np.int64)
    return joined(
        _table_of_states(
            accounts,
            np.arange(len(accounts)),
            accounts["seen_from"],
            until_first,
            balance=none,
            limit=none,
            days_past_due=none,
        ),
        _table_of_states(
            accounts,
            owner,
            statements["seen_from"],
            seen_until,
            balance=np.maximum(statements["balance_cents"], 0),
            limit=statements["limit_cents"],
            days_past_due=np.maximum(statements["days_past_due"], 0),
        ),
    )


def _table_of_states(
    accounts: EntityRows,
    owner: NDArray[np.intp],
    seen_from: Int64Array,
    seen_until: Int64Array,
    *,
    balance: Int64Array,
    limit: Int64Array,
    days_past_due: Int64Array,
) -> FactTable:
    """owner: the place of each state's account among the accounts."""
    kind = accounts["kind"][owner]
    facts = ordinary_account_facts(
        seen_from,
        seen_until,
        opened_at=accounts["opened_at"][owner],
        closed_at=accounts["closed_at"][owner],
        is_instalment=(kind == code_of(CREDIT_ACCOUNTS, "kind", "instalment")).astype(np.int64),
        is_at_will=drawn_at_will(kind),
        balance=balance,
        limit=limit,
        days_past_due=days_past_due,
    )
    return fact_table(accounts.entity[owner], facts)


def known_account_facts(
    accounts: Iterable[AccountRow], newest_of: Mapping[str | int, StatementRow]
) -> list[tuple[int, ...]]:
    """The facts of account rows that all stand. newest_of: the newest statement by the account's id."""
    return [account_fact(0, NEVER, account, newest_of.get(account.account_id)) for account in accounts]


def portfolio_fact(seen_from: int, seen_until: int, known: Sequence[AccountRow]) -> list[PortfolioFact]:
    """The fact of `FactKind.PORTFOLIO` from the account rows known, none if no account is open."""
    opened = [row.opened_at for row in known if row.closed_at == NEVER]
    if not opened:
        return []
    return [
        PortfolioFact(
            seen_from=seen_from,
            seen_until=seen_until,
            one=1,
            minus_oldest_opened_at=-min(opened),
            minus_newest_opened_at=-max(opened),
        )
    ]


def portfolio_facts(accounts: Sequence[AccountRow]) -> list[PortfolioFact]:
    """Every state that the set of a customer's open accounts went through in our knowledge."""
    instants = {at for row in accounts for at in (row.seen_from, row.seen_until)}
    starts = sorted(instants - {NEVER})
    facts: list[PortfolioFact] = []
    for seen_from, seen_until in zip(starts, [*starts[1:], NEVER], strict=True):
        facts += portfolio_fact(
            seen_from, seen_until, [row for row in accounts if row.seen_from <= seen_from < row.seen_until]
        )
    return facts


def portfolio_table(rows: RowsRead) -> FactTable:
    """The facts of the portfolios of many customers, derived one by one."""
    accounts = account_rows_by(rows[CREDIT_ACCOUNTS.name], "entity")
    return derived_one_by_one(
        PortfolioFact,
        {entity: entity for entity in accounts},
        lambda entity: portfolio_facts(accounts[entity]),
    )
