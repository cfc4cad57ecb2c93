"""The oracle: every feature by the words of its description, slowly, for one customer at one moment.

It shares no code with `features/`: it filters the rows that are visible, walks through each
invoice's life, and counts.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from tests.builders import DAY

Rows = list[dict[str, Any]]


GRACE_DAYS = 3
MATERIAL_ABOVE = 500
COUNTED_FROM = 2_000


def counted(row: dict[str, Any]) -> dict[str, Any]:
    """A clock that ran ahead: what is said to have happened later than recorded counts from the record.

    A date may be written before what it cannot precede: it counts as that. sent: by what states rank; such a
    date ranks just after what it cannot precede, and a clock is not ahead by more than an hour.
    """
    sent = row["occurred_at"]
    for begun in ("started_at", "opened_at"):
        if begun in row and sent < row[begun]:
            sent = row[begun] + 1
    if sent - row["recorded_at"] > 3_600_000:
        sent = row["recorded_at"]
    passed = ("occurred_at", "registered_at", "started_at", "ended_at", "opened_at", "closed_at")
    moved = {
        name: min(value, row["recorded_at"]) if name in passed and value is not None else value
        for name, value in row.items()
    }
    for begun, ended in (("started_at", "ended_at"), ("opened_at", "closed_at")):
        if moved.get(ended) is not None:
            moved[ended] = max(moved[ended], moved[begun])
    return {**moved, "sent": sent}


def visible(rows: Rows, as_of: int, key: str | None = None) -> Rows:
    known = [counted(r) for r in rows if r["recorded_at"] < as_of]
    replaced = {r["corrects"] for r in known if r.get("corrects")}
    standing = [r for r in known if r["event_id"] not in replaced]
    if key is None:
        return standing

    def beats(one: dict[str, Any], other: dict[str, Any]) -> bool:
        if one["sent"] != other["sent"]:
            return one["sent"] > other["sent"]
        return one["recorded_at"] > other["recorded_at"]

    return [r for r in standing if not any(o[key] == r[key] and beats(o, r) for o in standing)]


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


class Account:
    """What is owed on an invoice after all that happened until some moment."""

    def __init__(self, row: dict[str, Any], payments: Rows, adjustments: Rows) -> None:
        self.amount, self.payments = row["amount_cents"], payments
        refunds = [r for r in adjustments if r["kind"] == "refund"]
        self.notes = [r for r in adjustments if r["kind"] == "credit_note"]
        self.returned = [r for r in refunds if r["reason"] == "returned_debit"]
        self.overpaid = [r for r in refunds if r["reason"] == "overpayment"]
        self.with_credit = [r for r in refunds if r["reason"] not in ("overpayment", "returned_debit")]
        self.moments = sorted({r["occurred_at"] for r in payments + adjustments})

    def at(self, moment: int) -> tuple[int, int, int]:
        """What is left of the invoice, what was credited, and the money that was kept."""

        def total(rows: Rows) -> int:
            return sum(r["amount_cents"] for r in rows if r["occurred_at"] <= moment)

        paid, back, notes = total(self.payments), total(self.with_credit), total(self.notes)
        returned, overpaid = total(self.returned), total(self.overpaid)
        plain = self.amount - paid - notes + overpaid + returned
        # A refund out of what was over-paid or over-credited uses that up; any other lowers what is owed. A
        # debit that came back later changes nothing of that: when the refund was made, it had been paid.
        most = max((self.kept_at(m) for m in self.moments if m <= moment), default=0)
        once_paid = max(paid - returned, min(self.amount, most))
        refunded = min(back, paid)
        from_surplus = min(refunded, max(once_paid + notes - overpaid - self.amount, 0))
        credited = notes + refunded - from_surplus
        return plain + from_surplus, credited, paid - overpaid - returned - back

    def kept_at(self, moment: int) -> int:
        """The payments until a moment without the debits that were returned before it."""
        paid = sum(r["amount_cents"] for r in self.payments if r["occurred_at"] <= moment)
        return int(paid - sum(r["amount_cents"] for r in self.returned if r["occurred_at"] < moment))

    def noted(self) -> int:
        """The invoice without its credit notes."""
        return int(self.amount - sum(r["amount_cents"] for r in self.notes))


class Invoice:
    def __init__(self, row: dict[str, Any], history: dict[str, Rows], as_of: int) -> None:
        def mine(name: str, key: str | None = None) -> Rows:
            return [r for r in visible(history[name], as_of, key) if r["invoice_id"] == row["invoice_id"]]

        self.issued_at = row["occurred_at"]
        self.settle(Account(row, mine("invoice_payments"), mine("invoice_adjustments")))
        pauses = mine("invoice_pauses", "pause_id")
        for pause in pauses:
            # A dispute may begin before the invoice; no time before it is paused.
            pause["started_at"] = max(pause["started_at"], self.issued_at)
            if pause.get("ended_at") is not None:
                pause["ended_at"] = max(pause["ended_at"], self.issued_at)
        self.time(row, pauses, as_of)

    def settle(self, account: Account) -> None:
        left, credited, kept = account.at(10**15)
        net = max(account.amount - credited, 0)
        outstanding = max(left, 0)
        self.cancelled = credited >= account.amount and outstanding == 0
        self.owed = outstanding if outstanding > MATERIAL_ABOVE else 0
        enough = min(MATERIAL_ABOVE, account.amount - 1)
        self.paid_at: int | None = None
        if left <= enough:
            short = [m for m in account.moments if account.at(m)[0] > enough]
            since = min(m for m in account.moments if not short or m > max(short))
            self.paid_at = max(since, self.issued_at)
        self.received = min(kept, net)
        self.paid = self.paid_at is not None and not self.cancelled and kept > 0
        self.judged = bool(self.owed) or (self.paid and account.noted() > MATERIAL_ABOVE)
        self.net = net
        self.owed_share_bps = int(10_000 * self.owed / max(net, self.owed)) if self.owed else 0

    def time(self, row: dict[str, Any], pauses: Rows, as_of: int) -> None:
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
        grace = GRACE_DAYS * DAY
        self.is_late_possible = self.due_at is not None and self.due_at + grace < as_of
        self.late_ms = 0
        if self.is_late_possible and self.judged:
            self.late_ms = max(self.lateness - grace, 0)
        is_on_time = self.paid and (self.due_at is None or self.lateness <= grace)
        is_too_little = is_on_time and self.received < COUNTED_FROM
        self.on_time_cents = self.received if is_on_time and not is_too_little else 0
        self.due_cents = self.net if self.judged and not is_too_little else self.on_time_cents
        self.overdue = self.is_late_possible and self.owed > 0 and not self.paused

    def late_more_than(self, days: int, as_of: int) -> bool:
        """Late by more than so many days, and known to be: that many days have passed since it was due."""
        if self.due_at is None or not self.judged:
            return False
        return self.lateness > days * DAY and self.due_at + days * DAY < as_of

    def due_since(self, days: int, as_of: int) -> bool:
        """What is owed is never too long ago."""
        return self.due_at is not None and (self.owed > 0 or self.due_at >= as_of - days * DAY)

    def due_within(self, days: int, as_of: int) -> bool:
        """Due in the window, and the grace is over."""
        return self.is_late_possible and self.due_since(days, as_of)

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

    def at_will(statement: dict[str, Any]) -> bool:
        """Whether the account is one whose limit can be used."""
        own = [a for a in accounts if a["account_id"] == statement.get("account_id")]
        return not any(a["kind"] in ("instalment", "loan") for a in own)

    def use(statement: dict[str, Any]) -> int:
        limit = statement["limit_cents"]
        return min(owed(statement) * 10_000 // limit, 20_000) if limit else 0

    def newest(account: dict[str, Any]) -> dict[str, Any]:
        own = [s for s in statements if s["account_id"] == account["account_id"]]
        nothing = {"balance_cents": 0, "limit_cents": 0, "days_past_due": 0}

        def rank(s: dict[str, Any]) -> tuple[Any, ...]:
            paid = -1 if s.get("paid_cents") is None else s["paid_cents"]
            past_due = -1 if s.get("days_past_due") is None else s["days_past_due"]
            figures = (s["balance_cents"], s["limit_cents"], paid, past_due)
            return (s["sent"], s["recorded_at"], figures)

        return max(own, key=rank, default=nothing)

    def ratio(above: float, below: float, empty: float = 0.0) -> float:
        return above / below if below else empty

    last = [newest(a) for a in open_accounts]
    f: dict[str, Callable[[], float]] = {}
    for late in (30, 60, 90, 180):
        f[f"unpaid_share_over_{late}d_sum_last"] = lambda late=late: (
            sum(i.owed_share_bps for i in invoices if i.late_more_than(late, as_of)) / 10_000
        )
    for late, d in ((7, 180), (14, 365), (30, 365), (60, 730)):
        f[f"late_payment_over_{late}d_count_{d}d"] = lambda late=late, d=d: sum(
            i.late_more_than(late, as_of) and i.due_since(d, as_of) for i in invoices
        )
    for d in (30, 35, 65, 90, 95, 180, 185, 365, 730):
        due = [i for i in invoices if i.due_within(d, as_of)]
        issued = [i for i in invoices if i.issued_within(d, as_of)]
        shown = within(statements, d)
        drawn = [s for s in shown if at_will(s)]
        limited = [s for s in drawn if s["limit_cents"] > 0]
        paying = [s for s in shown if s.get("paid_cents") is not None]
        values = {
            f"late_payment_days_sum_{d}d": sum(i.late_ms for i in due) / DAY,
            f"late_payment_days_per_on_time_payment_{d}d": sum(i.late_ms for i in due)
            / ((sum(i.on_time_cents > 0 for i in due) + 2) * DAY),
            f"on_time_payment_count_{d}d": sum(i.on_time_cents > 0 for i in due),
            f"on_time_payment_ratio_{d}d": (sum(i.on_time_cents for i in due) + 5_000)
            / (sum(i.due_cents for i in due) + 10_000),
            f"on_time_cents_sum_{d}d": sum(i.on_time_cents for i in issued),
            f"outstanding_to_on_time_ratio_{d}d": sum(i.owed for i in invoices)
            / (sum(i.on_time_cents for i in issued) + 1000),
            f"reminder_count_{d}d": len(within(reminders, d)),
            f"credit_inquiry_count_{d}d": len(within(inquiries, d)),
            f"credit_seeking_inquiry_count_{d}d": sum(
                r["purpose"] in ("credit_card", "instalment", "loan") for r in within(inquiries, d)
            ),
            f"limit_utilisation_ratio_mean_{d}d": ratio(
                sum(map(owed, drawn)), sum(s["limit_cents"] for s in drawn)
            ),
            f"limit_utilisation_square_mean_{d}d": ratio(
                sum(use(s) ** 2 for s in limited), len(limited) * 100_000_000
            ),
            f"statement_paid_cents_sum_{d}d": sum(s["paid_cents"] for s in paying),
            f"statement_paid_ratio_{d}d": (sum(s["paid_cents"] for s in paying) + 1000)
            / (sum(owed(s) + s["paid_cents"] for s in paying) + 1000),
            f"statement_days_past_due_sum_{d}d": sum(s.get("days_past_due") or 0 for s in shown),
            f"opened_account_count_{d}d": len(within(accounts, d, "opened_at")),
            f"instalment_opened_count_{d}d": sum(
                a["kind"] == "instalment" for a in within(accounts, d, "opened_at")
            ),
        }
        for percent in (50, 80, 95):
            values[f"limit_utilisation_over_{percent}pct_count_{d}d"] = sum(
                use(s) > percent * 100 for s in drawn
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
        "overdue_cents_last": sum(i.owed for i in overdue),
        "overdue_invoice_count_last": len(overdue),
        "overdue_days_sum_last": sum(as_of - i.due_at - GRACE_DAYS * DAY for i in overdue) / DAY,
        "unpaid_share_sum_last": sum(i.owed_share_bps for i in invoices if i.is_late_possible) / 10_000,
        "outstanding_cents_last": sum(i.owed for i in invoices),
        "limit_utilisation_ratio_last": ratio(
            sum(owed(s) for s in last if at_will(s)), sum(s["limit_cents"] for s in last if at_will(s))
        ),
        "credit_limit_cents_sum_last": sum(s["limit_cents"] for s in last if at_will(s)),
        "plan_balance_cents_sum_last": sum(owed(s) for s in last if not at_will(s)),
        "account_days_past_due_sum_last": sum(s.get("days_past_due") or 0 for s in last),
        "registration_age_days": sum(as_of - c["registered_at"] for c in customer) / DAY,
        "account_age_days_max": max(ages, default=0) / DAY,
        "account_age_days_min": min(ages, default=0) / DAY,
        "account_age_days_mean": ratio(sum(ages), len(ages) * DAY),
        "open_instalment_count_last": sum(a["kind"] == "instalment" for a in open_accounts),
    }
    return {name: float(value()) for name, value in f.items()} | {n: float(v) for n, v in now.items()}
