"""The oracle of the eligibility model's labels: by their words, slowly, for one order at one cut-off.

It shares no code with `training/`: an invoice's life is that of `tests.naive_features`.
"""

from typing import Any

from tests.builders import DAY
from tests.naive_features import Invoice, Rows, visible

HORIZON = 60 * DAY
FRAUD = ("fraud_chargeback", "identity_misuse_upheld", "stop_request_upheld")


def naive_label(order_id: str, history: dict[str, Rows], cut_off: int) -> tuple[int, int] | None:
    """The label and since when it was known; None for an order that has none."""
    rows = [row for row in visible(history["invoices"], cut_off) if row["order_id"] == order_id]
    invoices = [Invoice(row, history, cut_off) for row in rows]
    owed = [invoice for invoice in invoices if not invoice.cancelled]
    if not owed or any(invoice.due_at is None or invoice.due_at + HORIZON >= cut_off for invoice in owed):
        return None
    found = [row for row in visible(history["order_outcomes"], cut_off) if row["order_id"] == order_id]
    if any(row["kind"] in FRAUD for row in found):
        return None
    known_at = max(invoice.due_at or 0 for invoice in owed) + HORIZON
    if last_decision(found) == "dispute_decided_for_customer":
        return 0, known_at
    is_bad = any(invoice.late_more_than(60, cut_off) for invoice in owed)
    return int(is_bad), known_at


def last_decision(found: list[dict[str, Any]]) -> str | None:
    """How the dispute was decided last, whichever decision arrived last."""
    decided = [row for row in found if row["kind"].startswith("dispute_decided")]
    if not decided:
        return None
    return str(max(decided, key=lambda row: (row["sent"], row["recorded_at"]))["kind"])
