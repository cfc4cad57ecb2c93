"""The oracle: every feature by the words of its description, slowly, for one customer at one moment.

It shares no code with `features/`: it filters the rows that are visible, walks through each
invoice's life, and counts.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from tests.builders import DAY

Rows = list[dict[str, Any]]


def visible(rows: Rows, as_of: int, key: str | None = None) -> Rows:
    known = sorted(
        (r for r in rows if r["recorded_at"] < as_of), key=lambda r: (r["recorded_at"], r["event_id"])
    )
    replaced = {r["corrects"] for r in known if r.get("corrects")}
    standing = [r for r in known if r["event_id"] not in replaced]
    if key is None:
        return standing
    latest = {r[key]: r["event_id"] for r in known}
    return [r for r in standing if latest[r[key]] == r["event_id"]]


def paused_before(moment: int, pauses: Rows) -> int:
    edges = sorted(
        {moment, *(p["started_at"] for p in pauses), *(p.get("ended_at") or moment for p in pauses)}
    )
    total = 0
    for a, b in pairwise(edges):
        is_paused = any(
            p["started_at"] <= a and (p.get("ended_at") is None or b <= p["ended_at"]) for p in pauses
        )
        if b <= moment and is_paused:
            total += b - a
    return total


class Invoice:
    def __init__(self, row: dict[str, Any], history: dict[str, Rows], as_of: int) -> None:
        def mine(name: str, key: str | None = None) -> Rows:
            return [r for r in visible(history[name], as_of, key) if r["invoice_id"] == row["invoice_id"]]

        payments, adjustments = mine("invoice_payments"), mine("invoice_adjustments")
        pauses = mine("invoice_pauses", "pause_id")
        credited = sum(r["amount_cents"] for r in adjustments if r["kind"] == "credit_note")
        changes = [(r["occurred_at"], -r["amount_cents"]) for r in payments]
        changes += [
            (r["occurred_at"], -r["amount_cents"] if r["kind"] == "credit_note" else r["amount_cents"])
            for r in adjustments
        ]

        def owed_after(moment: int, *, including: bool = True) -> int:
            return row["amount_cents"] + sum(
                c for t, c in changes if t < moment or (including and t == moment)
            )

        self.issued_at = row["occurred_at"]
        self.cancelled = credited >= row["amount_cents"]
        self.outstanding = max(owed_after(as_of + 10**12), 0)
        self.net = 0 if self.cancelled else row["amount_cents"] - credited
        self.paid_cents = max(self.net - self.outstanding, 0)
        self.paid_at: int | None = None
        if self.outstanding == 0:
            owing = [t for t, _ in changes if owed_after(t) > 0]
            after_last_owing = [t for t, _ in changes if not owing or t > max(owing)]
            self.paid_at = max(min(after_last_owing), self.issued_at)
        still_paused = [p for p in pauses if p.get("ended_at") is None]
        self.paused = bool(still_paused)
        # A pause that lasts swallows the ended ones that overlap it; only those before it moved the date.
        begins = min((p["started_at"] for p in still_paused), default=None)
        while begins is not None:
            touching = [
                p for p in pauses if p["started_at"] < begins and (p.get("ended_at") or begins) >= begins
            ]
            if not touching:
                break
            begins = min(p["started_at"] for p in touching)
        horizon = as_of + 10**12 if begins is None else begins
        self.due_at: int | None = row["due_at"] + paused_before(horizon, pauses)
        if (begins is not None and begins < self.due_at) or self.cancelled:
            self.due_at = None
        if self.due_at is None:
            self.lateness = None
        elif self.paid_at is not None:
            self.lateness = self.paid_at - row["due_at"] - paused_before(self.paid_at, pauses)
        elif begins is not None:
            self.lateness = begins - self.due_at
        else:
            self.lateness = as_of - self.due_at
        self.is_due = self.due_at is not None and self.due_at < as_of
        self.on_time = self.is_due and self.paid_at is not None and self.lateness <= 0
        self.overdue = self.is_due and self.outstanding > 0 and not self.paused

    def late_more_than(self, days: int, as_of: int) -> bool:
        """Late by more than so many days, and known to be: that many days have passed since it was due."""
        return self.is_due and self.lateness > days * DAY and self.due_at + days * DAY < as_of

    def due_within(self, days: int, as_of: int) -> bool:
        return self.is_due and self.due_at >= as_of - days * DAY

    def issued_within(self, days: int, as_of: int) -> bool:
        return as_of - days * DAY <= self.issued_at < as_of


def naive_features(history: dict[str, Rows], as_of: int) -> dict[str, float]:
    invoices = [Invoice(row, history, as_of) for row in visible(history["invoices"], as_of)]
    reminders = [r for r in visible(history["invoice_charges"], as_of) if r["kind"] == "reminder"]
    inquiries = visible(history["credit_inquiries"], as_of)
    accounts = visible(history["credit_accounts"], as_of, "account_id")
    open_accounts = [a for a in accounts if a.get("closed_at") is None]
    statements = visible(history["account_balances"], as_of)
    customer = visible(history["customers"], as_of, "customer_id")

    def within(rows: Rows, days: int, column: str = "occurred_at") -> Rows:
        return [r for r in rows if as_of - days * DAY <= r[column] < as_of]

    def owed(statement: dict[str, Any]) -> int:
        return max(statement["balance_cents"], 0)

    def use(statement: dict[str, Any]) -> int:
        limit = statement["limit_cents"]
        return min(owed(statement) * 10_000 // limit, 20_000) if limit else 0

    def newest(account: dict[str, Any]) -> dict[str, Any]:
        own = [s for s in statements if s["account_id"] == account["account_id"]]
        nothing = {"balance_cents": 0, "limit_cents": 0, "days_past_due": 0}

        def rank(s: dict[str, Any]) -> tuple[Any, ...]:
            paid = -1 if s.get("paid_cents") is None else s["paid_cents"]
            figures = (s["balance_cents"], s["limit_cents"], paid, s.get("days_past_due") or 0)
            return (s["occurred_at"], s["recorded_at"], figures)

        return max(own, key=rank, default=nothing)

    def ratio(above: float, below: float, empty: float = 0.0) -> float:
        return above / below if below else empty

    last = [newest(a) for a in open_accounts]
    f: dict[str, Callable[[], float]] = {}
    for d in (30, 90, 180, 365, 730):
        f[f"late_payment_count_{d}d"] = lambda d=d: sum(
            i.late_more_than(0, as_of) and i.due_within(d, as_of) for i in invoices
        )
    for late, d in ((7, 180), (14, 365), (30, 365), (60, 730)):
        f[f"late_payment_over_{late}d_count_{d}d"] = lambda late=late, d=d: sum(
            i.late_more_than(late, as_of) and i.due_within(d, as_of) for i in invoices
        )
    for d in (30, 35, 65, 90, 95, 180, 185, 365, 730):
        due = [i for i in invoices if i.due_within(d, as_of)]
        issued = [i for i in invoices if i.issued_within(d, as_of)]
        shown = within(statements, d)
        limited = [s for s in shown if s["limit_cents"] > 0]
        paying = [s for s in shown if s.get("paid_cents") is not None]
        values = {
            f"late_payment_days_sum_{d}d": sum(max(i.lateness, 0) for i in due) / DAY,
            f"payment_delay_days_mean_{d}d": sum(i.lateness for i in due) / ((len(due) + 2) * DAY),
            f"on_time_payment_count_{d}d": sum(i.on_time for i in due),
            f"on_time_payment_ratio_{d}d": (sum(i.on_time for i in due) + 1) / (len(due) + 2),
            f"paid_ratio_{d}d": (sum(i.paid_cents for i in due) + 1000) / (sum(i.net for i in due) + 1000),
            f"due_invoice_count_{d}d": len(due),
            f"invoiced_cents_sum_{d}d": sum(i.net for i in issued),
            f"invoice_count_{d}d": len(issued),
            f"outstanding_ratio_{d}d": sum(i.outstanding for i in issued)
            / (sum(i.net for i in issued) + 1000),
            f"reminder_count_{d}d": len(within(reminders, d)),
            f"credit_inquiry_count_{d}d": len(within(inquiries, d)),
            f"credit_seeking_inquiry_count_{d}d": sum(
                r["purpose"] in ("credit_card", "instalment", "loan") for r in within(inquiries, d)
            ),
            f"limit_utilisation_ratio_mean_{d}d": ratio(
                sum(map(owed, shown)), sum(s["limit_cents"] for s in shown)
            ),
            f"limit_utilisation_square_mean_{d}d": ratio(
                sum(use(s) ** 2 for s in limited), len(limited) * 100_000_000
            ),
            f"statement_paid_ratio_{d}d": (sum(s["paid_cents"] for s in paying) + 1000)
            / (sum(owed(s) + s["paid_cents"] for s in paying) + 1000),
            f"statement_days_past_due_mean_{d}d": ratio(
                sum(s.get("days_past_due") or 0 for s in shown), len(shown)
            ),
            f"opened_account_count_{d}d": len(within(accounts, d, "opened_at")),
            f"instalment_opened_count_{d}d": sum(
                a["kind"] == "instalment" for a in within(accounts, d, "opened_at")
            ),
        }
        for percent in (50, 80, 95):
            values[f"limit_utilisation_over_{percent}pct_count_{d}d"] = sum(
                use(s) > percent * 100 for s in shown
            )
        for past in (0, 30, 60):
            values[f"statement_past_due_over_{past}d_count_{d}d"] = sum(
                (s.get("days_past_due") or 0) > past for s in shown
            )
        for name, value in values.items():
            f[name] = lambda value=value: value
    overdue = [i for i in invoices if i.overdue]
    ages = [as_of - a["opened_at"] for a in open_accounts]
    now = {
        "overdue_cents_last": sum(i.outstanding for i in overdue),
        "overdue_invoice_count_last": len(overdue),
        "overdue_days_sum_last": sum(as_of - i.due_at for i in overdue) / DAY,
        "outstanding_cents_last": sum(i.outstanding for i in invoices),
        "limit_utilisation_ratio_last": ratio(
            sum(max(s["balance_cents"], 0) for s in last), sum(s["limit_cents"] for s in last)
        ),
        "credit_limit_cents_sum_last": sum(s["limit_cents"] for s in last),
        "account_balance_cents_sum_last": sum(max(s["balance_cents"], 0) for s in last),
        "account_days_past_due_sum_last": sum(s.get("days_past_due") or 0 for s in last),
        "registration_age_days": sum(as_of - c["registered_at"] for c in customer) / DAY,
        "account_age_days_max": max(ages, default=0) / DAY,
        "account_age_days_min": min(ages, default=0) / DAY,
        "account_age_days_mean": ratio(sum(ages), len(ages) * DAY),
        "open_account_count_last": len(open_accounts),
        "open_instalment_count_last": sum(a["kind"] == "instalment" for a in open_accounts),
    }
    return {name: float(value()) for name, value in f.items()} | {n: float(v) for n, v in now.items()}
