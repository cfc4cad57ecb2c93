"""Balances: how far the limits of the credit accounts are used, how steadily, and with what arrears.

Only credit that is drawn and paid back at will has a limit that can be used: cards, current accounts, mail
order. The amount of a loan or an instalment credit is debt and no room: as a limit, one more loan of 10,000
with 4,000 left would make a customer look less in debt. What is left of those is a sum of its own.

A plain standard deviation cannot have a direction: raising a low balance makes the path steadier.
The mean of the *square* of the utilisation can: it grows with every balance, and among paths of one
mean it is larger the more the path swings. It stands for volatility here.
"""

from dataclasses import replace

from features.declarations import Direction, FactKind, Feature, FeatureGroup, Measure, in_window


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
