"""Age of the accounts: older open accounts improve the score, freshly opened ones do not."""

from data_contracts.instants import DAY_MS
from features.declarations import Direction, FactKind, Feature, FeatureGroup, Measure, in_window


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
