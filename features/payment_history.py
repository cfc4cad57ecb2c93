"""Payment history: how a customer paid the invoices that fell due, and what is open now.

Every windowed feature counts *invoices by their due date* (moved by pauses), never payments by
theirs: a sum of recent payments would grow when a payment comes late. So each feature can only get
worse when a payment comes later, on whole histories and not only feature by feature.

**Nothing unpaid and nothing late helps.** Counts, sums and shares that speak for a customer take what was
paid on time only, and so do the denominators of what speaks against: one more open invoice, or one paid
late, would dilute a late share. They take the money that was received, not what was invoiced: of 30.00 with
25.00 paid, 25.00 count. And they take nothing below a floor of amount: five invoices of 1.00 prove nothing.

**No debt grows old.** What was settled leaves a window with its due date; what is owed stays in every window
until it is paid.

An invoice enters a window once its grace is over, so that a transfer that is under way is not held
against anybody. Lateness begins there, with nothing, and grows with the days.
"""

from data_contracts.instants import DAY_MS
from features.declarations import Direction, FactKind, Feature, FeatureGroup, Measure, in_window

_WORSE = Direction.HIGHER_IS_WORSE
_BETTER = Direction.HIGHER_IS_BETTER


def _feature(
    name: str,
    description: str,
    unit: str,
    direction: Direction,
    reason_code: str,
    numerator: Measure,
    *,
    numerator_plus: int = 0,
    denominator: Measure | None = None,
    denominator_plus: int = 0,
    scale: int = 1,
    missing_means: str = "0: no such invoice",
) -> Feature:
    return Feature(
        name=name,
        description=description,
        group=FeatureGroup.PAYMENT_HISTORY,
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


def _late_by_more_than(days: int, window_days: int) -> Measure:
    return Measure(
        fact=FactKind.INVOICE,
        enters="due_at",
        enters_after_ms=days * DAY_MS,
        leaves="leaves_from",
        leaves_after_ms=window_days * DAY_MS,
        above_column="lateness_ms",
        above=days * DAY_MS,
    )


def _due(window_days: int, value: str, runs: str | None = None) -> Measure:
    return Measure(
        fact=FactKind.INVOICE,
        value=value,
        runs=runs,
        enters="late_from",
        leaves="leaves_from",
        leaves_after_ms=window_days * DAY_MS,
    )


def _overdue_share(days: int) -> Measure:
    return Measure(
        fact=FactKind.INVOICE,
        value="owed_share_bps",
        enters="due_at",
        enters_after_ms=days * DAY_MS,
        above_column="lateness_ms",
        above=days * DAY_MS,
    )


PAYMENT_HISTORY_FEATURES: tuple[Feature, ...] = (
    *(
        _feature(
            f"late_payment_over_{late}d_count_{days}d",
            f"invoices that are more than {late} days late, and those due in the last {days} days that were",
            "count",
            _WORSE,
            "late_payments",
            _late_by_more_than(late, days),
        )
        for late, days in ((7, 180), (14, 365), (30, 365), (60, 730))
    ),
    *(
        _feature(
            f"late_payment_days_sum_{days}d",
            f"days of lateness beyond the grace, added up over the invoices that are owed and those due in "
            f"the last {days} days",
            "days",
            _WORSE,
            "late_payments",
            _due(days, "late_ms", "late_runs"),
            scale=DAY_MS,
        )
        for days in (90, 180, 365, 730)
    ),
    *(
        _feature(
            f"late_payment_days_per_on_time_payment_{days}d",
            f"days of lateness beyond the grace of the invoices that are owed and those due in the last "
            f"{days} days, for each one of 20.00 or more that was paid on time and two more",
            "days",
            _WORSE,
            "late_payments",
            _due(days, "late_ms", "late_runs"),
            denominator=_due(days, "counted_on_time"),
            denominator_plus=2,
            scale=DAY_MS,
        )
        for days in (90, 365)
    ),
    *(
        _feature(
            f"on_time_payment_count_{days}d",
            f"invoices due in the last {days} days of which 20.00 or more were paid, on time",
            "count",
            _BETTER,
            "short_payment_history",
            _due(days, "counted_on_time"),
        )
        for days in (365, 730)
    ),
    *(
        _feature(
            f"on_time_payment_ratio_{days}d",
            f"share of the amounts that are overdue or were due in the last {days} days which was paid on "
            f"time, counted with 50.00 of 100.00 more",
            "ratio",
            _BETTER,
            "late_payments",
            _due(days, "on_time_cents"),
            numerator_plus=5_000,
            denominator=_due(days, "due_cents"),
            denominator_plus=10_000,
            missing_means="0.5: no invoice was due",
        )
        for days in (180, 730)
    ),
    _feature(
        "unpaid_share_sum_last",
        "unpaid shares of the invoices that are owed beyond the grace, added up: 1.3 where one is wholly "
        "unpaid and three tenths of another",
        "invoices",
        _WORSE,
        "unpaid_balances",
        Measure(fact=FactKind.INVOICE, value="owed_share_bps", enters="late_from"),
        scale=10_000,
    ),
    *(
        _feature(
            f"unpaid_share_over_{days}d_sum_last",
            f"unpaid shares of the invoices that are more than {days} days late, added up",
            "invoices",
            _WORSE,
            "unpaid_balances",
            _overdue_share(days),
            scale=10_000,
        )
        for days in (30, 60, 90, 180)
    ),
    *(
        _feature(
            f"on_time_cents_sum_{days}d",
            f"money received on time for invoices of the last {days} days, 20.00 or more each",
            "cents",
            _BETTER,
            "short_payment_history",
            in_window(FactKind.INVOICE, "issued_at", days, value="on_time_cents"),
        )
        for days in (35, 65, 95, 185)
    ),
    _feature(
        "overdue_cents_last",
        "principal that is overdue beyond the grace now and not paused",
        "cents",
        _WORSE,
        "open_overdue",
        Measure(fact=FactKind.INVOICE, value="overdue_cents", enters="late_from"),
    ),
    _feature(
        "overdue_invoice_count_last",
        "invoices that are overdue beyond the grace now and not paused",
        "count",
        _WORSE,
        "open_overdue",
        Measure(fact=FactKind.INVOICE, value="overdue", enters="late_from"),
    ),
    _feature(
        "overdue_days_sum_last",
        "days overdue beyond the grace, added up over the invoices that are overdue now and not paused",
        "days",
        _WORSE,
        "open_overdue",
        Measure(fact=FactKind.INVOICE, value="overdue_ms", runs="overdue", enters="late_from"),
        scale=DAY_MS,
    ),
    _feature(
        "outstanding_cents_last",
        "principal owed on all invoices now, due or not",
        "cents",
        _WORSE,
        "unpaid_balances",
        Measure(fact=FactKind.INVOICE, value="owed_cents"),
    ),
    _feature(
        "outstanding_to_on_time_ratio_365d",
        "principal owed now, over what was received on time for invoices of the last 365 days, 20.00 or more "
        "each, and 10.00",
        "ratio",
        _WORSE,
        "unpaid_balances",
        Measure(fact=FactKind.INVOICE, value="owed_cents"),
        denominator=in_window(FactKind.INVOICE, "issued_at", 365, value="on_time_cents"),
        denominator_plus=1000,
    ),
    *(
        _feature(
            f"reminder_count_{days}d",
            f"reminders sent in the last {days} days",
            "count",
            _WORSE,
            "late_payments",
            in_window(FactKind.REMINDER, "occurred_at", days),
            missing_means="0: no reminder",
        )
        for days in (365,)
    ),
)
