"""Age of the accounts: older open accounts improve the score, freshly opened ones do not."""

from collections.abc import Sequence

from data_contracts.instants import DAY_MS
from features.declarations import Direction, FactKind, Feature, FeatureGroup, Measure, in_window
from features.instants import NEVER

AccountRow = tuple[int, int, str | int, str, int, int]
"""seen_from, seen_until, account_id or its code, kind, opened_at, closed_at (NEVER while it is open)"""


def portfolio_facts(accounts: Sequence[AccountRow]) -> list[tuple[int, ...]]:
    """Every state that the set of a customer's open accounts went through in our knowledge."""
    instants = {row[0] for row in accounts} | {row[1] for row in accounts if row[1] != NEVER}
    starts = sorted(instants)
    facts = []
    for seen_from, seen_until in zip(starts, [*starts[1:], NEVER], strict=True):
        facts += portfolio_fact(
            seen_from, seen_until, [row for row in accounts if row[0] <= seen_from < row[1]]
        )
    return facts


def portfolio_fact(seen_from: int, seen_until: int, known: Sequence[AccountRow]) -> list[tuple[int, ...]]:
    """The fact of `FactKind.PORTFOLIO` from the account rows known, none if no account is open."""
    opened = [row[4] for row in known if row[5] == NEVER]
    if not opened:
        return []
    return [(seen_from, seen_until, 1, -min(opened), -max(opened))]


def _age(name: str, description: str, numerator: Measure, denominator: Measure | None = None) -> Feature:
    return Feature(
        name=name,
        description=description,
        group=FeatureGroup.ACCOUNT_AGE,
        unit="days",
        direction=Direction.HIGHER_IS_BETTER,
        reason_code="young_accounts",
        missing_means="0: no open account",
        numerator=numerator,
        denominator=denominator,
        scale=DAY_MS,
    )


def _count(name: str, description: str, direction: Direction, reason_code: str, measure: Measure) -> Feature:
    return Feature(
        name=name,
        description=description,
        group=FeatureGroup.ACCOUNT_AGE,
        unit="count",
        direction=direction,
        reason_code=reason_code,
        missing_means="0: no such account",
        numerator=measure,
    )


_OPEN_ACCOUNTS = Measure(fact=FactKind.ACCOUNT, value="open")

ACCOUNT_AGE_FEATURES: tuple[Feature, ...] = (
    _age(
        "registration_age_days",
        "age of the customer's account with the provider",
        Measure(fact=FactKind.REGISTRATION, value="minus_registered_at", runs="one"),
    ),
    _age(
        "account_age_days_max",
        "age of the oldest open credit account",
        Measure(fact=FactKind.PORTFOLIO, value="minus_oldest_opened_at", runs="one"),
    ),
    _age(
        "account_age_days_min",
        "age of the newest open credit account",
        Measure(fact=FactKind.PORTFOLIO, value="minus_newest_opened_at", runs="one"),
    ),
    _age(
        "account_age_days_mean",
        "mean age of the open credit accounts",
        Measure(fact=FactKind.ACCOUNT, value="minus_opened_at", runs="open"),
        _OPEN_ACCOUNTS,
    ),
    *(
        _count(
            f"opened_account_count_{days}d",
            f"credit accounts opened in the last {days} days",
            Direction.HIGHER_IS_WORSE,
            "young_accounts",
            in_window(FactKind.ACCOUNT, "opened_at", days),
        )
        for days in (365,)
    ),
    _count(
        "instalment_opened_count_365d",
        "instalment credits taken up in the last 365 days",
        Direction.HIGHER_IS_WORSE,
        "frequent_instalments",
        in_window(FactKind.ACCOUNT, "opened_at", 365, value="instalment"),
    ),
    _count(
        "open_instalment_count_last",
        "instalment credits still open",
        Direction.HIGHER_IS_WORSE,
        "frequent_instalments",
        Measure(fact=FactKind.ACCOUNT, value="open_instalment"),
    ),
)
