"""The changes of a history that may never improve a score, each as a function from history to history."""

from tests.histories import History


def with_a_later_payment(history: History, place: int, later_ms: int) -> History:
    """Payment number `place` is made and booked so much later."""
    payments = list(history["invoice_payments"])
    payment = payments[place]
    payments[place] = {
        **payment,
        "occurred_at": payment["occurred_at"] + later_ms,
        "recorded_at": payment["recorded_at"] + later_ms,
    }
    return {**history, "invoice_payments": payments}


def with_a_higher_balance(history: History, place: int, cents: int) -> History:
    """Statement number `place` shows so much more owed at the same limit."""
    statements = list(history["account_balances"])
    statements[place] = {**statements[place], "balance_cents": statements[place]["balance_cents"] + cents}
    return {**history, "account_balances": statements}


def with_an_earlier_account(history: History, account_id: str, earlier_ms: int) -> History:
    """The account was opened so much earlier; when we came to know of it stays."""

    def moved(row: dict[str, object]) -> dict[str, object]:
        if row["account_id"] != account_id:
            return row
        changed = {**row, "opened_at": row["opened_at"] - earlier_ms}  # type: ignore[operator]  # a row's values are untyped
        if row.get("closed_at") is None:
            changed["occurred_at"] = changed["opened_at"]
        return changed

    return {**history, "credit_accounts": [moved(row) for row in history["credit_accounts"]]}


def with_an_earlier_registration(history: History, earlier_ms: int) -> History:
    """The customer registered so much earlier; when we came to know of it stays."""
    moved = [{**row, "registered_at": row["registered_at"] - earlier_ms} for row in history["customers"]]
    return {**history, "customers": moved}
