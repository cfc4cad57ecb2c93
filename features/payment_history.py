"""Payment history: how a customer paid the invoices that fell due, and what is open now.

Every windowed feature counts *invoices by their due date* (moved by pauses), never payments by
theirs: a sum of recent payments would grow when a payment comes late. So each feature can only get
worse when a payment comes later, on whole histories and not only feature by feature.

**Nothing unpaid helps.** Counts, sums and shares that speak for a customer take settled invoices only, and so
do the denominators of what speaks against: one more open invoice would dilute a late share. What is counted
for a customer has a floor of amount, or is weighed by it: five invoices of 1.00 prove nothing.

An invoice enters a window once its grace is over, so that a transfer that is under way is not held
against anybody. Lateness begins there, with nothing, and grows with the days.
"""

from collections.abc import Iterable, Sequence

from data_contracts.invoice_adjustments import REASON_RETURNED_DEBIT, REASONS_OWED_ANEW
from features.declarations import Direction, FactKind, Feature, FeatureGroup, Measure, in_window
from features.instants import DAY_MS, NEVER
from features.invoice_state import InvoiceState, Movement, MovementKind, invoice_state
from features.settlement_terms import SettlementTerms

COUNTED_FROM_CENTS = 1_000
"""A settled invoice below 10.00 counts for nobody; as amounts, all count."""

InvoiceRow = tuple[int, int, int, int, int]
"""seen_from, seen_until, issued_at, due_at, amount_cents"""
MovementRow = tuple[int, int, Movement]
"""seen_from, seen_until, the movement"""
PauseRow = tuple[int, int, int, int]
"""seen_from, seen_until, started_at, ended_at (NEVER while it lasts)"""


def known_invoice_state(
    invoice: InvoiceRow,
    movements: Iterable[MovementRow],
    pauses: Iterable[PauseRow],
    terms: SettlementTerms,
) -> InvoiceState:
    """The state of an invoice from rows that are all known."""
    return invoice_state(
        issued_at=invoice[2],
        due_at=invoice[3],
        amount_cents=invoice[4],
        movements=[movement for _, _, movement in movements],
        pauses=[(pause[2], pause[3]) for pause in pauses],
        terms=terms,
    )


def adjustment_kind(kind: str, reason: str) -> MovementKind:
    """What an adjustment does to what is owed, by the contract's kind and reason."""
    if kind == "credit_note":
        return MovementKind.CREDIT_NOTE
    if reason == REASON_RETURNED_DEBIT:
        return MovementKind.RETURNED_DEBIT
    return MovementKind.MONEY_BACK if reason in REASONS_OWED_ANEW else MovementKind.CREDITED_REFUND


def invoice_fact(seen_from: int, seen_until: int, state: InvoiceState) -> tuple[int, ...]:
    """An invoice's state as the integers of `FactKind.INVOICE`.

    An invoice is settled, or owed, or neither: cancelled, or too small to be owed. What is neither counts
    nowhere.
    """
    owed = state.owed_cents
    settled = state.net_amount_cents if state.is_settled else 0
    on_time = settled if state.is_paid_on_time else 0
    is_pressing = 1 if owed > 0 and not state.paused else 0
    lateness, late, late_runs = 0, 0, 0
    if state.due_at != NEVER and (owed or settled):
        if state.lateness_ms is None:
            lateness, late, late_runs = NEVER, -state.late_from, 1
        else:
            lateness = state.lateness_ms
            late = max(lateness - (state.late_from - state.due_at), 0)
    return (
        seen_from,
        seen_until,
        state.issued_at,
        state.due_at,
        state.late_from,
        lateness,
        late,
        late_runs,
        1 if settled >= COUNTED_FROM_CENTS else 0,
        1 if on_time >= COUNTED_FROM_CENTS else 0,
        settled,
        on_time,
        state.net_amount_cents if owed else settled,
        owed * 10_000 // max(state.net_amount_cents, owed) if owed else 0,
        owed,
        owed * is_pressing,
        -state.late_from * is_pressing,
        is_pressing,
    )


def invoice_facts(
    invoices: Sequence[InvoiceRow],
    movements: Sequence[MovementRow],
    pauses: Sequence[PauseRow],
    terms: SettlementTerms,
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
                terms,
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


def _due(window_days: int, value: str, runs: str | None = None) -> Measure:
    return Measure(
        fact=FactKind.INVOICE,
        value=value,
        runs=runs,
        enters="late_from",
        leaves="due_at",
        leaves_after_ms=window_days * DAY_MS,
    )


PAYMENT_HISTORY_FEATURES: tuple[Feature, ...] = (
    *(
        _feature(
            f"late_payment_over_{late}d_count_{days}d",
            f"invoices due in the last {days} days that were or are more than {late} days late",
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
            f"days of lateness beyond the grace, added up over the invoices due in the last {days} days",
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
            f"late_payment_days_mean_{days}d",
            f"days of lateness beyond the grace of the invoices due in the last {days} days, for each one of "
            f"10.00 or more that was settled and two more",
            "days",
            _WORSE,
            "late_payments",
            _due(days, "late_ms", "late_runs"),
            denominator=_due(days, "counted"),
            denominator_plus=2,
            scale=DAY_MS,
        )
        for days in (90, 365)
    ),
    *(
        _feature(
            f"on_time_payment_count_{days}d",
            f"invoices of 10.00 or more due in the last {days} days that were paid on time",
            "count",
            _BETTER,
            "short_payment_history",
            _due(days, "counted_on_time"),
        )
        for days in (730,)
    ),
    *(
        _feature(
            f"on_time_payment_ratio_{days}d",
            f"share of the amounts due in the last {days} days that was paid on time, counted with 50.00 of "
            f"100.00 more",
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
    *(
        _feature(
            f"unpaid_share_sum_{days}d",
            f"unpaid shares of the invoices due in the last {days} days, added up: 1.3 where one is wholly "
            f"unpaid and three tenths of another",
            "invoices",
            _WORSE,
            "unpaid_balances",
            _due(days, "owed_share_bps"),
            scale=10_000,
        )
        for days in (35, 65, 95, 185, 365)
    ),
    _feature(
        "settled_invoice_count_365d",
        "invoices of 10.00 or more due in the last 365 days that were settled, however late",
        "count",
        _BETTER,
        "short_payment_history",
        _due(365, "counted"),
    ),
    *(
        _feature(
            f"settled_cents_sum_{days}d",
            f"amounts invoiced in the last {days} days that were settled",
            "cents",
            _BETTER,
            "short_payment_history",
            in_window(FactKind.INVOICE, "issued_at", days, value="settled_cents"),
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
        "outstanding_to_settled_ratio_365d",
        "principal owed now on invoices of the last 365 days, over those of them that were settled and 10.00",
        "ratio",
        _WORSE,
        "unpaid_balances",
        in_window(FactKind.INVOICE, "issued_at", 365, value="owed_cents"),
        denominator=in_window(FactKind.INVOICE, "issued_at", 365, value="settled_cents"),
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
