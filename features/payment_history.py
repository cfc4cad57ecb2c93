"""Payment history: how a customer paid the invoices that fell due, and what is open now.

Every windowed feature counts *invoices by their due date* (moved by pauses), never payments by
theirs: a sum of recent payments would grow when a payment comes late. So each feature can only get
worse when a payment comes later, on whole histories and not only feature by feature.
"""

from collections.abc import Iterable, Sequence

from features.declarations import Direction, FactKind, Feature, FeatureGroup, Measure, in_window
from features.instants import DAY_MS, NEVER
from features.invoice_state import InvoiceState, invoice_state

InvoiceRow = tuple[int, int, int, int, int]
"""seen_from, seen_until, issued_at, due_at, amount_cents"""
MovementRow = tuple[int, int, int, int, int]
"""seen_from, seen_until, occurred_at, cents (signed change of what is owed), credited cents (credit notes)"""
PauseRow = tuple[int, int, int, int]
"""seen_from, seen_until, started_at, ended_at (NEVER while it lasts)"""


def known_invoice_state(
    invoice: InvoiceRow, movements: Iterable[MovementRow], pauses: Iterable[PauseRow]
) -> InvoiceState:
    """The state of an invoice from rows that are all known."""
    moved: list[tuple[int, int]] = []
    credited_cents = 0
    for movement in movements:
        moved.append((movement[2], movement[3]))
        credited_cents += movement[4]
    return invoice_state(
        issued_at=invoice[2],
        due_at=invoice[3],
        amount_cents=invoice[4],
        movements=moved,
        credited_cents=credited_cents,
        pauses=[(pause[2], pause[3]) for pause in pauses],
    )


def adjustment_cents(is_credit_note: bool, amount_cents: int) -> tuple[int, int]:
    """What an adjustment changes: (signed change of what is owed, the part that is a credit note)."""
    return (-amount_cents, amount_cents) if is_credit_note else (amount_cents, 0)


def invoice_fact(seen_from: int, seen_until: int, state: InvoiceState) -> tuple[int, ...]:
    """An invoice's state as the integers of `FactKind.INVOICE`."""
    due_at = state.due_at
    lateness = state.lateness_ms
    net = 0 if state.cancelled else state.net_amount_cents
    outstanding = state.outstanding_cents
    is_owed = outstanding > 0 and not state.paused
    if due_at == NEVER:
        timing = (0, 0, 0, 0, 0, 0)
    elif lateness is None:
        timing = (NEVER, -due_at, 1, -due_at, 1, 0)
    else:
        paid_on_time = 1 if state.paid_at is not None and lateness <= 0 else 0
        timing = (lateness, lateness, 0, max(lateness, 0), 0, paid_on_time)
    return (
        seen_from,
        seen_until,
        state.issued_at,
        due_at,
        *timing,
        net,
        max(net - outstanding, 0),
        outstanding,
        outstanding if is_owed else 0,
        -due_at if is_owed and due_at != NEVER else 0,
        1 if is_owed else 0,
    )


def invoice_facts(
    invoices: Sequence[InvoiceRow], movements: Sequence[MovementRow], pauses: Sequence[PauseRow]
) -> list[tuple[int, ...]]:
    """Every state that one invoice went through in our knowledge, one fact for each.

    invoices: the rows of one invoice_id (more than one only by correction).
    """
    instants = {row[0] for rows in (invoices, movements, pauses) for row in rows}
    instants |= {row[1] for rows in (invoices, movements, pauses) for row in rows if row[1] != NEVER}
    starts = sorted(instants)
    facts = []
    for seen_from, seen_until in zip(starts, [*starts[1:], NEVER], strict=True):
        known = [row for row in invoices if row[0] <= seen_from < row[1]]
        if known:
            state = known_invoice_state(
                known[-1],
                [row for row in movements if row[0] <= seen_from < row[1]],
                [row for row in pauses if row[0] <= seen_from < row[1]],
            )
            facts.append(invoice_fact(seen_from, seen_until, state))
    return facts


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
        leaves="due_at",
        leaves_after_ms=window_days * DAY_MS,
        above_column="lateness_ms",
        above=days * DAY_MS,
    )


def _due(window_days: int, value: str | None = None, runs: str | None = None) -> Measure:
    return in_window(FactKind.INVOICE, "due_at", window_days, value=value, runs=runs)


PAYMENT_HISTORY_FEATURES: tuple[Feature, ...] = (
    *(
        _feature(
            f"late_payment_count_{days}d",
            f"invoices due in the last {days} days that were or are paid late",
            "count",
            _WORSE,
            "late_payments",
            _late_by_more_than(0, days),
        )
        for days in (90, 180, 365, 730)
    ),
    *(
        _feature(
            f"late_payment_over_{late}d_count_{days}d",
            f"invoices due in the last {days} days that were or are more than {late} days late",
            "count",
            _WORSE,
            "late_payments",
            _late_by_more_than(late, days),
        )
        for late, days in ((14, 365), (30, 365), (60, 730))
    ),
    *(
        _feature(
            f"late_payment_days_sum_{days}d",
            f"days of lateness, added up over the invoices due in the last {days} days",
            "days",
            _WORSE,
            "late_payments",
            _due(days, "late_ms", "late_runs"),
            scale=DAY_MS,
        )
        for days in (90, 365)
    ),
    *(
        _feature(
            f"payment_delay_days_mean_{days}d",
            f"mean days between due date and payment (negative: paid early) over the invoices due in the "
            f"last {days} days, drawn to 0 as by two invoices paid on the day",
            "days",
            _WORSE,
            "late_payments",
            _due(days, "delay_ms", "delay_runs"),
            denominator=_due(days),
            denominator_plus=2,
            scale=DAY_MS,
        )
        for days in (90, 365)
    ),
    *(
        _feature(
            f"on_time_payment_count_{days}d",
            f"invoices due in the last {days} days that were paid on time",
            "count",
            _BETTER,
            "short_payment_history",
            _due(days, "paid_on_time"),
        )
        for days in (730,)
    ),
    *(
        _feature(
            f"on_time_payment_ratio_{days}d",
            f"share of the invoices due in the last {days} days that were paid on time, counted with one "
            f"paid and one unpaid invoice more",
            "ratio",
            _BETTER,
            "late_payments",
            _due(days, "paid_on_time"),
            numerator_plus=1,
            denominator=_due(days),
            denominator_plus=2,
            missing_means="0.5: no invoice was due",
        )
        for days in (180, 730)
    ),
    *(
        _feature(
            f"paid_ratio_{days}d",
            f"share of the amounts due in the last {days} days that has been paid, counted with 10.00 paid "
            f"of 10.00 more",
            "ratio",
            _BETTER,
            "unpaid_balances",
            _due(days, "paid_cents"),
            numerator_plus=1000,
            denominator=_due(days, "amount_cents"),
            denominator_plus=1000,
            missing_means="1.0: nothing was due",
        )
        for days in (35, 65, 95, 185, 365)
    ),
    _feature(
        "due_invoice_count_365d",
        "invoices that fell due in the last 365 days, however they were paid",
        "count",
        Direction.NONE,
        "short_payment_history",
        _due(365),
    ),
    *(
        _feature(
            f"invoiced_cents_sum_{days}d",
            f"amounts invoiced in the last {days} days",
            "cents",
            Direction.NONE,
            "short_payment_history",
            in_window(FactKind.INVOICE, "issued_at", days, value="amount_cents"),
        )
        for days in (35, 65, 95, 185)
    ),
    _feature(
        "overdue_cents_last",
        "principal that is overdue now and not paused",
        "cents",
        _WORSE,
        "open_overdue",
        Measure(fact=FactKind.INVOICE, value="overdue_cents", enters="due_at"),
    ),
    _feature(
        "overdue_invoice_count_last",
        "invoices that are overdue now and not paused",
        "count",
        _WORSE,
        "open_overdue",
        Measure(fact=FactKind.INVOICE, value="overdue", enters="due_at"),
    ),
    _feature(
        "overdue_days_sum_last",
        "days overdue, added up over the invoices that are overdue now and not paused",
        "days",
        _WORSE,
        "open_overdue",
        Measure(fact=FactKind.INVOICE, value="overdue_ms", runs="overdue", enters="due_at"),
        scale=DAY_MS,
    ),
    _feature(
        "outstanding_cents_last",
        "principal owed on all invoices now, due or not",
        "cents",
        _WORSE,
        "unpaid_balances",
        Measure(fact=FactKind.INVOICE, value="outstanding_cents"),
    ),
    _feature(
        "outstanding_ratio_365d",
        "share of the amounts invoiced in the last 365 days that is owed now, with 10.00 more invoiced",
        "ratio",
        _WORSE,
        "unpaid_balances",
        in_window(FactKind.INVOICE, "issued_at", 365, value="outstanding_cents"),
        denominator=in_window(FactKind.INVOICE, "issued_at", 365, value="amount_cents"),
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
