"""Balances: how far the limits of the credit accounts are used, how steadily, and with what arrears.

Only credit that is drawn and paid back at will has a limit that can be used: cards, current accounts, mail
order. The amount of a loan or an instalment credit is debt and no room: as a limit, one more loan of 10,000
with 4,000 left would make a customer look less in debt. What is left of those is a sum of its own.

A plain standard deviation cannot have a direction: raising a low balance makes the path steadier.
The mean of the *square* of the utilisation can: it grows with every balance, and among paths of one
mean it is larger the more the path swings. It stands for volatility here.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from features.account_age import AccountRow
from features.declarations import Direction, FactKind, Feature, FeatureGroup, Measure, in_window
from features.instants import NEVER, Int64Array

UTILISATION_BPS_CAP = 20_000
"""Utilisation is counted up to twice the limit."""

PAID_BACK_BY_PLAN = ("instalment", "loan")
"""Kinds of credit account whose limit is the amount that was lent."""

StatementRow = tuple[int, int, str | int, int, int, int, int, int]
"""seen_from, seen_until, account_id, happened_at, balance_cents, limit_cents, paid_cents (-1: unknown),
days_past_due (-1: unknown)"""

Whole = TypeVar("Whole", int, Int64Array)


def statement_columns(
    occurred_at: Whole,
    balance_cents: Whole,
    limit_cents: Whole,
    paid_cents: Whole,
    days_past_due: Whole,
    is_drawn_at_will: Whole,
) -> tuple[Whole, ...]:
    """The columns of `FactKind.STATEMENT` after the interval of knowledge.

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
    return (
        occurred_at,
        drawn,
        limit,
        utilisation,
        utilisation * utilisation,
        has_limit,
        paid_cents * reports_payments,
        (owed + paid_cents) * reports_payments,
        days_past_due * reports_arrears,
    )


def is_drawn_at_will(kind: str | None) -> int:
    """1 for a kind of account whose limit can be used, and for an account that nobody told of; else 0."""
    return 0 if kind in PAID_BACK_BY_PLAN else 1


def statement_facts(
    statements: Sequence[tuple[StatementRow, int]], accounts: Sequence[AccountRow]
) -> list[tuple[int, ...]]:
    """Every state of the statements of one account, with the kind that the account had in our knowledge.

    statements: each with the instant from which it is counted. accounts: the rows of the account.
    """
    facts = []
    for row, occurred_at in statements:
        instants = {at for account in accounts for at in account[:2] if row[0] < at < row[1]}
        starts = sorted({row[0], *instants})
        for seen_from, seen_until in zip(starts, [*starts[1:], row[1]], strict=True):
            known = [account for account in accounts if account[0] <= seen_from < account[1]]
            at_will = is_drawn_at_will(known[-1][3] if known else None)
            own_columns = statement_columns(occurred_at, row[4], row[5], row[6], row[7], at_will)
            facts.append((seen_from, seen_until, *own_columns))
    return facts


def account_facts(
    accounts: Sequence[AccountRow], statements: Sequence[StatementRow]
) -> list[tuple[int, ...]]:
    """Every state that one credit account went through in our knowledge.

    accounts: the rows of one account_id; statements: its statements.
    """
    instants = {row[0] for row in accounts} | {row[1] for row in accounts if row[1] != NEVER}
    instants |= {row[0] for row in statements} | {row[1] for row in statements if row[1] != NEVER}
    starts = sorted(instants)
    facts = []
    for seen_from, seen_until in zip(starts, [*starts[1:], NEVER], strict=True):
        known = [row for row in accounts if row[0] <= seen_from < row[1]]
        if known:
            newest = newest_statement(row for row in statements if row[0] <= seen_from < row[1])
            facts.append(account_fact(seen_from, seen_until, known[-1], newest))
    return facts


def newest_statement(known: Iterable[StatementRow]) -> StatementRow | None:
    """The latest statement by the day it describes, then by when it was recorded, then by its figures."""
    return max(known, key=lambda row: (row[3], row[0], row[4:]), default=None)


def account_fact(
    seen_from: int, seen_until: int, account: AccountRow, newest: StatementRow | None
) -> tuple[int, ...]:
    """An account and its newest statement as the integers of `FactKind.ACCOUNT`."""
    is_open = 1 if account[5] == NEVER else 0
    is_instalment = 1 if account[3] == "instalment" else 0
    balance, limit, days_past_due = (max(newest[4], 0), newest[5], max(newest[7], 0)) if newest else (0, 0, 0)
    is_at_will = is_drawn_at_will(account[3])
    return (
        seen_from,
        seen_until,
        account[4],
        -account[4] * is_open,
        is_open,
        is_open * is_instalment,
        is_instalment,
        balance * is_open * is_at_will,
        limit * is_open * is_at_will,
        balance * is_open * (1 - is_at_will),
        days_past_due * is_open,
    )


def _feature(
    name: str,
    description: str,
    unit: str,
    numerator: Measure,
    *,
    direction: Direction = Direction.HIGHER_IS_WORSE,
    reason_code: str = "high_utilisation",
    numerator_plus: int = 0,
    denominator: Measure | None = None,
    denominator_plus: int = 0,
    scale: int = 1,
    missing_means: str = "0: no statement",
) -> Feature:
    return Feature(
        name=name,
        description=description,
        group=FeatureGroup.BALANCES,
        unit=unit,
        direction=direction,
        reason_code=reason_code,
        missing_means=missing_means,
        numerator=numerator,
        numerator_plus=numerator_plus,
        denominator=denominator,
        denominator_plus=denominator_plus,
        scale=scale,
    )


def _statements(window_days: int, value: str | None = None) -> Measure:
    return in_window(FactKind.STATEMENT, "occurred_at", window_days, value=value)


def _statements_above(column: str, above: int, window_days: int) -> Measure:
    measure = _statements(window_days)
    return replace(measure, above_column=column, above=above)


BALANCE_FEATURES: tuple[Feature, ...] = (
    _feature(
        "limit_utilisation_ratio_last",
        "balance over limit, all open accounts that are drawn at will together, by their newest statements",
        "ratio",
        Measure(fact=FactKind.ACCOUNT, value="last_balance_cents"),
        denominator=Measure(fact=FactKind.ACCOUNT, value="last_limit_cents"),
        missing_means="0: no open account with a limit",
    ),
    *(
        _feature(
            f"limit_utilisation_ratio_mean_{days}d",
            f"balance over limit of accounts that are drawn at will, summed over the statements of the last "
            f"{days} days",
            "ratio",
            _statements(days, "balance_cents"),
            denominator=_statements(days, "limit_cents"),
        )
        for days in (95, 185)
    ),
    *(
        _feature(
            f"limit_utilisation_square_mean_{days}d",
            f"mean squared utilisation, statements of the last {days} days: high when high or volatile",
            "ratio squared",
            _statements(days, "utilisation_bps_squared"),
            denominator=_statements(days, "has_limit"),
            scale=100_000_000,
        )
        for days in (185,)
    ),
    *(
        _feature(
            f"limit_utilisation_over_{percent}pct_count_{days}d",
            f"statements of the last {days} days that showed more than {percent} % of the limit used",
            "count",
            _statements_above("utilisation_bps", percent * 100, days),
        )
        for percent, days in ((50, 185), (80, 185))
    ),
    _feature(
        "credit_limit_cents_sum_last",
        "limits of all open accounts that are drawn at will, by their newest statements",
        "cents",
        Measure(fact=FactKind.ACCOUNT, value="last_limit_cents"),
        direction=Direction.NONE,
        reason_code="few_accounts",
    ),
    _feature(
        "plan_balance_cents_sum_last",
        "what is left of open loans and instalment credits, by their newest statements",
        "cents",
        Measure(fact=FactKind.ACCOUNT, value="last_plan_balance_cents"),
        reason_code="frequent_instalments",
    ),
    *(
        _feature(
            f"statement_paid_ratio_{days}d",
            f"amounts paid over amounts payable (balance before payment), statements of the last "
            f"{days} days, counted with 10.00 paid of 10.00 more",
            "ratio",
            _statements(days, "paid_cents"),
            direction=Direction.HIGHER_IS_BETTER,
            reason_code="low_repayment",
            numerator_plus=1000,
            denominator=_statements(days, "payable_cents"),
            denominator_plus=1000,
            missing_means="1.0: nothing was payable",
        )
        for days in (35, 95, 185)
    ),
    *(
        _feature(
            f"statement_paid_cents_sum_{days}d",
            f"amounts paid into credit accounts, statements of the last {days} days",
            "cents",
            _statements(days, "paid_cents"),
            direction=Direction.HIGHER_IS_BETTER,
            reason_code="low_repayment",
            missing_means="0: no statement, or no source that reports payments",
        )
        for days in (35, 95, 185)
    ),
    _feature(
        "account_days_past_due_sum_last",
        "days past due of all open credit accounts, by their newest statements",
        "days",
        Measure(fact=FactKind.ACCOUNT, value="last_days_past_due"),
        reason_code="arrears_elsewhere",
    ),
    *(
        _feature(
            f"statement_days_past_due_sum_{days}d",
            f"days past due, added up over the statements of the last {days} days",
            "days",
            _statements(days, "days_past_due"),
            reason_code="arrears_elsewhere",
        )
        for days in (95, 185)
    ),
    *(
        _feature(
            f"statement_past_due_over_{past_due}d_count_{days}d",
            f"statements of the last {days} days that were more than {past_due} days past due",
            "count",
            _statements_above("days_past_due", past_due, days),
            reason_code="arrears_elsewhere",
        )
        for past_due, days in ((0, 65), (0, 185), (30, 185), (60, 365))
    ),
)
