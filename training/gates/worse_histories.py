"""What no score may reward: changes of a customer's ledger rows after which nobody can be judged better.

Whole rows are added, changed and removed, not features moved: one open invoice more, a larger one, an overdue
one, a payment that came later, came short or never came, an inquiry, a statement that shows more owed. The
promotion gate and the tests of the features probe with the same changes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from data_contracts.credit_accounts import CREDIT_ACCOUNTS
from data_contracts.instants import DAY_MS
from features.online import visible_rows

Row = dict[str, Any]
History = Mapping[str, Sequence[Mapping[str, Any]]]
"""One customer's rows by contract name, in ledger row form."""

ADDED = "probe"
"""What the ids of added rows begin with."""


def with_row(history: History, contract: str, row: Mapping[str, Any]) -> History:
    """The history with one row more."""
    return {**history, contract: [*history.get(contract, ()), row]}


def _with_changed(history: History, contract: str, place: int, **changes: Any) -> History:
    rows = [dict(row) for row in history[contract]]
    rows[place] |= changes
    return {**history, contract: rows}


def without_row(history: History, contract: str, place: int) -> History:
    """The history without row number `place` of a contract."""
    rows = list(history[contract])
    del rows[place]
    return {**history, contract: rows}


def with_an_unpaid_invoice(
    history: History, *, customer_id: str, issued_at: int, due_at: int, amount_cents: int, currency: str
) -> History:
    """One invoice more, of which nothing was paid; known as soon as it was issued."""
    invoice = {
        "event_id": f"{ADDED}-invoice",
        "invoice_id": f"{ADDED}-invoice",
        "order_id": f"{ADDED}-order",
        "customer_id": customer_id,
        "occurred_at": issued_at,
        "recorded_at": issued_at,
        "due_at": due_at,
        "amount_cents": amount_cents,
        "currency": currency,
    }
    return with_row(history, "invoices", invoice)


def with_a_late_payment(
    history: History,
    *,
    customer_id: str,
    issued_at: int,
    due_at: int,
    paid_at: int,
    amount_cents: int,
    currency: str,
) -> History:
    """One invoice more, paid in full and late; all known as it happened."""
    payment = {
        "event_id": f"{ADDED}-payment",
        "payment_id": f"{ADDED}-payment",
        "invoice_id": f"{ADDED}-invoice",
        "customer_id": customer_id,
        "occurred_at": paid_at,
        "recorded_at": paid_at,
        "amount_cents": amount_cents,
        "method": "bank_transfer",
    }
    unpaid = with_an_unpaid_invoice(
        history,
        customer_id=customer_id,
        issued_at=issued_at,
        due_at=due_at,
        amount_cents=amount_cents,
        currency=currency,
    )
    return with_row(unpaid, "invoice_payments", payment)


def with_a_pause_from(history: History, *, customer_id: str, at: int) -> History:
    """The added invoice is paused from then on, known at once."""
    pause = {
        "event_id": f"{ADDED}-pause",
        "pause_id": f"{ADDED}-pause",
        "invoice_id": f"{ADDED}-invoice",
        "customer_id": customer_id,
        "occurred_at": at,
        "recorded_at": at,
        "started_at": at,
        "ended_at": None,
        "reason": "dispute",
    }
    return with_row(history, "invoice_pauses", pause)


def with_an_inquiry(history: History, *, customer_id: str, at: int, purpose: str = "loan") -> History:
    """Another lender asked a bureau about the customer."""
    inquiry = {
        "event_id": f"{ADDED}-inquiry",
        "customer_id": customer_id,
        "occurred_at": at,
        "recorded_at": at,
        "purpose": purpose,
        "bureau": ADDED,
    }
    return with_row(history, "credit_inquiries", inquiry)


def with_a_later_payment(history: History, place: int, later_ms: int) -> History:
    """Payment number `place` is made and booked so much later."""
    payment = history["invoice_payments"][place]
    moved = {name: payment[name] + later_ms for name in ("occurred_at", "recorded_at")}
    return _with_changed(history, "invoice_payments", place, **moved)


def with_a_shorter_payment(history: History, place: int, cents: int) -> History:
    """Payment number `place` brings so many cents less, at least none."""
    left = max(history["invoice_payments"][place]["amount_cents"] - cents, 0)
    return _with_changed(history, "invoice_payments", place, amount_cents=left)


def with_a_larger_invoice(history: History, place: int, cents: int) -> History:
    """Invoice number `place` is larger by so much, and nothing more is paid."""
    amount = history["invoices"][place]["amount_cents"] + cents
    return _with_changed(history, "invoices", place, amount_cents=amount)


def with_a_higher_balance(history: History, place: int, cents: int) -> History:
    """Statement number `place` shows so much more owed at the same limit."""
    balance = history["account_balances"][place]["balance_cents"] + cents
    return _with_changed(history, "account_balances", place, balance_cents=balance)


def with_more_days_past_due(history: History, place: int, days: int) -> History | None:
    """Statement number `place` is so many days more in arrears; None where it does not report them."""
    past_due = history["account_balances"][place].get("days_past_due")
    if past_due is None:
        return None
    return _with_changed(history, "account_balances", place, days_past_due=past_due + days)


def with_a_statement_no_better(history: History, place: int, *, at: int) -> History | None:
    """One statement more, of the account of statement number `place`, known at once.

    It shows the limit of that one, wholly used, nothing paid, and as many days past due as any statement of
    the customer did; None where the account has no limit, where that statement is not its newest, or where
    utilisation was beyond a limit already.
    """
    statements = history["account_balances"]
    one = statements[place]
    own = [row for row in statements if row["account_id"] == one["account_id"]]
    newest = max(own, key=lambda row: (row["occurred_at"], row["recorded_at"]))
    is_later = all(row["occurred_at"] < at and row["recorded_at"] < at for row in own)
    is_beyond = any(row["balance_cents"] > row["limit_cents"] for row in statements)
    if newest is not one or not one["limit_cents"] or not is_later or is_beyond:
        return None
    arrears = [row["days_past_due"] for row in statements if row.get("days_past_due") is not None]
    statement = {
        **one,
        "event_id": f"{ADDED}-statement",
        "corrects": None,
        "occurred_at": at,
        "recorded_at": at,
        "balance_cents": one["limit_cents"],
        "paid_cents": 0,
        "days_past_due": max(arrears, default=0),
    }
    return with_row(history, "account_balances", statement)


def with_one_more_loan(
    history: History, as_of_ms: int, *, customer_id: str, kind: str, opened_at: int, left_cents: int
) -> History | None:
    """One more credit that is paid back by plan, with a statement of a day later; both known at once.

    Of 10,000.00 that were lent so much is left. None where it is not the newest of several open accounts: it
    would make the others older, or its customer known.
    """
    accounts = visible_rows(CREDIT_ACCOUNTS, history, as_of_ms)
    opened = [row["opened_at"] for row in accounts if row.get("closed_at") is None]
    if not opened or max(opened) >= opened_at:
        return None
    account = {
        "event_id": f"{ADDED}-account",
        "account_id": f"{ADDED}-account",
        "customer_id": customer_id,
        "occurred_at": opened_at,
        "recorded_at": opened_at,
        "kind": kind,
        "opened_at": opened_at,
        "closed_at": None,
    }
    statement = {
        "event_id": f"{ADDED}-account-statement",
        "account_id": f"{ADDED}-account",
        "customer_id": customer_id,
        "occurred_at": opened_at + DAY_MS,
        "recorded_at": opened_at + DAY_MS,
        "balance_cents": left_cents,
        "limit_cents": 1_000_000,
        "paid_cents": None,
        "days_past_due": 0,
    }
    return with_row(with_row(history, "credit_accounts", account), "account_balances", statement)


def with_an_earlier_account(history: History, account_id: str, earlier_ms: int) -> History:
    """The account was opened so much earlier; when we came to know of it stays."""

    def moved(row: Mapping[str, Any]) -> Mapping[str, Any]:
        if row["account_id"] != account_id:
            return row
        return {**row, "opened_at": row["opened_at"] - earlier_ms}

    return {**history, "credit_accounts": [moved(row) for row in history["credit_accounts"]]}


def with_an_earlier_registration(history: History, earlier_ms: int) -> History:
    """The customer registered so much earlier; when we came to know of it stays."""
    moved = [{**row, "registered_at": row["registered_at"] - earlier_ms} for row in history["customers"]]
    return {**history, "customers": moved}
