"""Credit accounts and their statements as integers: the facts that features of balances and age count.

A new column is a field of its fact, a line where the fact is made of one row, and a line in the array twin
below it; statements have one function for both.
"""

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from features.instants import NEVER, Int64Array

UTILISATION_BPS_CAP = 20_000
"""Utilisation is counted up to twice the limit."""

PAID_BACK_BY_PLAN = ("instalment", "loan")
"""Kinds of credit account whose limit is the amount that was lent."""

Whole = TypeVar("Whole", int, Int64Array)


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
    """A statement of an account, in an interval of our knowledge. paid_cents, days_past_due: -1 unknown."""

    seen_from: int
    seen_until: int
    account_id: str | int
    happened_at: int
    balance_cents: int
    limit_cents: int
    paid_cents: int
    days_past_due: int


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


def is_drawn_at_will(kind: str | None) -> int:
    """1 for a kind of account whose limit can be used, and for an account that nobody told of; else 0."""
    return 0 if kind in PAID_BACK_BY_PLAN else 1


def statement_fact(
    seen_from: Whole,
    seen_until: Whole,
    occurred_at: Whole,
    balance_cents: Whole,
    limit_cents: Whole,
    paid_cents: Whole,
    days_past_due: Whole,
    is_drawn_at_will: Whole,
) -> StatementFact[Whole]:
    """A statement, or many as arrays, as the integers of `FactKind.STATEMENT`.

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
    # Not by calling the type, which takes twice as long for names: the checkout waits for it.
    return StatementFact.__new__(
        StatementFact,
        seen_from=seen_from,
        seen_until=seen_until,
        occurred_at=occurred_at,
        balance_cents=drawn,
        limit_cents=limit,
        utilisation_bps=utilisation,
        utilisation_bps_squared=utilisation * utilisation,
        has_limit=has_limit,
        paid_cents=paid_cents * reports_payments,
        payable_cents=(owed + paid_cents) * reports_payments,
        days_past_due=days_past_due * reports_arrears,
    )


def statement_facts(
    statements: Sequence[tuple[StatementRow, int]], accounts: Sequence[AccountRow]
) -> list[StatementFact[int]]:
    """Every state of the statements of one account, with the kind that the account had in our knowledge.

    statements: each with the instant from which it is counted. accounts: the rows of the account.
    """
    facts = []
    for row, occurred_at in statements:
        instants = {
            at
            for account in accounts
            for at in (account.seen_from, account.seen_until)
            if row.seen_from < at < row.seen_until
        }
        starts = sorted({row.seen_from, *instants})
        for seen_from, seen_until in zip(starts, [*starts[1:], row.seen_until], strict=True):
            known = [account for account in accounts if account.seen_from <= seen_from < account.seen_until]
            at_will = is_drawn_at_will(known[-1].kind if known else None)
            facts.append(
                statement_fact(
                    seen_from,
                    seen_until,
                    occurred_at,
                    row.balance_cents,
                    row.limit_cents,
                    row.paid_cents,
                    row.days_past_due,
                    at_will,
                )
            )
    return facts


_rank_of_statement = attrgetter(
    "happened_at", "seen_from", "balance_cents", "limit_cents", "paid_cents", "days_past_due"
)


def newest_statement(known: Iterable[StatementRow]) -> StatementRow | None:
    """The latest statement by the day it describes, then by when it was recorded, then by its figures."""
    return max(known, key=_rank_of_statement, default=None)


def account_fact(
    seen_from: int, seen_until: int, account: AccountRow, newest: StatementRow | None
) -> AccountFact[int]:
    """An account and its newest statement as the integers of `FactKind.ACCOUNT`."""
    is_open = 1 if account.closed_at == NEVER else 0
    is_instalment = 1 if account.kind == "instalment" else 0
    balance, limit, days_past_due = 0, 0, 0
    if newest is not None:
        balance, limit = max(newest.balance_cents, 0), newest.limit_cents
        days_past_due = max(newest.days_past_due, 0)
    is_at_will = is_drawn_at_will(account.kind)
    # As for statements.
    return AccountFact.__new__(
        AccountFact,
        seen_from=seen_from,
        seen_until=seen_until,
        opened_at=account.opened_at,
        minus_opened_at=-account.opened_at * is_open,
        open=is_open,
        open_instalment=is_open * is_instalment,
        instalment=is_instalment,
        last_balance_cents=balance * is_open * is_at_will,
        last_limit_cents=limit * is_open * is_at_will,
        last_plan_balance_cents=balance * is_open * (1 - is_at_will),
        last_days_past_due=days_past_due * is_open,
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
) -> list[AccountFact[int]]:
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
