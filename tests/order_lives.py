"""Hypothesis strategy for whole lives of a customer's orders: amended, in parts, returned, disputed, decided.

The rows are those that a live ledger would have; they arrive late, out of order and are corrected.
"""

from typing import Any

from hypothesis import strategies as st

from tests.builders import (
    DAY,
    Row,
    a_customer,
    a_pause,
    a_payment,
    a_row,
    an_adjustment,
    an_invoice,
    an_order,
)
from tests.histories import CREDIT_CONTRACT_NAMES, HOUR, START, History, delays, moments

ORDER_CONTRACT_NAMES = ("orders", "order_events", "order_outcomes")
LIFE_CONTRACT_NAMES = (*CREDIT_CONTRACT_NAMES, *ORDER_CONTRACT_NAMES)

ordered = st.sampled_from([400, 1_000, 9_999, 10_000, 25_001])
quarters = st.integers(0, 30 * 4).map(lambda quarter: quarter * 6 * HOUR)


class _Rows:
    """Rows as they come in; no two arrive at one instant: the ledger's clock sees to that."""

    def __init__(self, draw: st.DrawFn, customer_id: str) -> None:
        self.history: History = {name: [] for name in LIFE_CONTRACT_NAMES}
        self._draw = draw
        self._prefix = customer_id
        self._arrived: set[int] = set()
        self._numbers = iter(range(10_000))

    def unique(self, kind: str) -> str:
        return f"{self._prefix}-{kind}-{next(self._numbers)}"

    def add(self, contract: str, row: Row, **corrected: st.SearchStrategy[Any]) -> None:
        """A row, late; now and then corrected in one of its columns."""
        row = {**row, "event_id": self.unique(contract)}
        row["recorded_at"] = row["occurred_at"] + self._draw(delays)
        self._arrive(contract, row)
        if corrected and self._draw(st.integers(0, 9)) == 0:
            name = self._draw(st.sampled_from(sorted(corrected)))
            self._arrive(
                contract,
                {
                    **row,
                    name: self._draw(corrected[name]),
                    "event_id": self.unique(contract),
                    "corrects": row["event_id"],
                    "recorded_at": row["recorded_at"] + 1 + self._draw(delays),
                },
            )

    def _arrive(self, contract: str, row: Row) -> None:
        while row["recorded_at"] in self._arrived:
            row["recorded_at"] += 1
        self._arrived.add(row["recorded_at"])
        self.history[contract].append(row)


@st.composite
def order_lives(draw: st.DrawFn, customer_id: str = "c1") -> History:
    """The rows of up to three orders of one customer and of all that became of them."""
    rows = _Rows(draw, customer_id)
    rows.add("customers", a_customer(customer_id, at=START - 100 * DAY, registered_at=START - 200 * DAY))
    for _ in range(draw(st.integers(1, 3))):
        _add_order(draw, rows, customer_id)
    return rows.history


def _add_order(draw: st.DrawFn, rows: _Rows, customer_id: str) -> None:
    at, cents = draw(moments), draw(ordered)
    order_id = rows.unique("order")
    of_order = {"order_id": order_id, "customer_id": customer_id}
    rows.add("orders", an_order(order_id, customer_id, at=at, amount_cents=cents), amount_cents=ordered)
    for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
        at += draw(quarters)
        cents = max(cents * draw(st.sampled_from([30, 99, 101, 150])) // 100, 1)
        event = a_row("order_events", "", at, None, kind="amended", new_amount_cents=cents, **of_order)
        rows.add("order_events", event, new_amount_cents=ordered)
    shares = draw(st.sampled_from([(100,), (100,), (60, 40), (60,), (30, 30, 40), (30, 30)]))
    for share in shares:
        at += draw(quarters)
        _add_invoice(draw, rows, of_order, at, max(cents * share // 100, 1))
    if sum(shares) < 100 and draw(st.booleans()):
        rows.add("order_events", a_row("order_events", "", at + DAY, None, kind="released", **of_order))


def _add_invoice(draw: st.DrawFn, rows: _Rows, of_order: Row, at: int, cents: int) -> None:
    invoice_id, customer_id = rows.unique("invoice"), of_order["customer_id"]
    invoice = an_invoice(invoice_id, customer_id, at=at, due_at=at + 14 * DAY, amount_cents=cents)
    rows.add("invoices", {**invoice, "order_id": of_order["order_id"]}, amount_cents=ordered)

    def pause(reason: str, begins: int, ends: int | None) -> None:
        pause_id = rows.unique("pause")
        about = {"reason": reason, "pause_id": pause_id, "started_at": begins}
        about |= {"tracking_number": "RET1" if reason == "return" else None}
        rows.add("invoice_pauses", a_pause(invoice_id, customer_id, **about))
        if ends is not None:
            ended = a_pause(invoice_id, customer_id, ended_at=ends, **about)
            rows.add("invoice_pauses", ended, ended_at=st.just(begins))

    def give_back(when: int, amount: int, reason: str, *, paid: bool) -> None:
        _adjust(rows, (invoice_id, customer_id), when, "credit_note", reason, amount)
        if paid:
            _adjust(rows, (invoice_id, customer_id), when + draw(quarters), "refund", reason, amount)

    pays = draw(st.sampled_from(["all", "all", "part", "more", "nothing"]))
    paid_at = at + draw(st.integers(0, 90 * 4)) * 6 * HOUR
    _add_payments(draw, rows, (invoice_id, customer_id), pays, paid_at, cents)
    life = draw(
        st.sampled_from(
            ["calm", "calm", "returned", "part returned", "never booked", "handed over", "dispute", "lasting"]
        )
    )
    if life == "calm":
        return
    begins = at + draw(quarters)
    ends = begins + draw(quarters)
    if life in ("returned", "part returned"):
        pause("return", begins, ends)
        amount = cents if life == "returned" else cents // 3 + 1
        give_back(ends, amount, "return", paid=pays == "all" and paid_at <= ends)
    elif life in ("never booked", "lasting"):
        pause(draw(st.sampled_from(["return", "dispute"])), begins, None if life == "lasting" else ends)
    else:
        if life == "handed over":
            pause("return", begins, ends)
            begins, ends = ends, ends + draw(quarters)
        pause("dispute", begins, ends)
        _add_decisions(draw, rows, of_order, ends)
        if draw(st.booleans()):
            reason = draw(st.sampled_from(["dispute", "chargeback"]))
            give_back(ends, cents, reason, paid=pays == "all" and paid_at <= ends)


def _adjust(rows: _Rows, of_invoice: tuple[str, str], when: int, kind: str, reason: str, amount: int) -> None:
    row = an_adjustment(*of_invoice, at=when, kind=kind, reason=reason, amount_cents=amount)
    # No more of a debit comes back than was paid: the ledger refuses that.
    changes = {} if reason == "returned_debit" else {"amount_cents": ordered}
    rows.add("invoice_adjustments", row, **changes)


def _add_payments(
    draw: st.DrawFn, rows: _Rows, of_invoice: tuple[str, str], pays: str, paid_at: int, cents: int
) -> None:
    if pays == "nothing":
        return
    amount = {"all": cents, "part": cents // 2 + 1, "more": cents + 700}[pays]
    is_returned = draw(st.integers(0, 5)) == 0
    paid = a_payment(*of_invoice, at=paid_at, amount_cents=amount)
    rows.add("invoice_payments", paid, **({} if is_returned else {"amount_cents": ordered}))
    if pays == "more" and not is_returned and draw(st.booleans()):
        _adjust(rows, of_invoice, paid_at + draw(quarters), "refund", "overpayment", 700)
    if is_returned:
        _adjust(rows, of_invoice, paid_at + draw(quarters), "refund", "returned_debit", amount)
        if draw(st.booleans()):
            again = a_payment(*of_invoice, at=paid_at + 20 * DAY, amount_cents=amount)
            rows.add("invoice_payments", again)


def _add_decisions(draw: st.DrawFn, rows: _Rows, of_order: Row, at: int) -> None:
    """A dispute is decided, now and then twice; a claim of misuse may be upheld, and taken back."""
    decisions = st.sampled_from(["dispute_decided_for_customer", "dispute_decided_for_merchant"])
    for _ in range(draw(st.sampled_from([1, 1, 2]))):
        at += draw(quarters)
        outcome = a_row("order_outcomes", "", at, None, kind=draw(decisions), **of_order)
        rows.add("order_outcomes", outcome, kind=decisions)
    if draw(st.integers(0, 5)) == 0:
        outcome = a_row("order_outcomes", "", at, None, kind="identity_misuse_upheld", **of_order)
        rows.add("order_outcomes", outcome, kind=st.just("finding_withdrawn"))
