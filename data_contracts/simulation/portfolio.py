"""The simulated portfolio: draws the whole book from one seed and writes it as a ledger folder."""

import dataclasses
import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_contracts.account_balances import ACCOUNT_BALANCES
from data_contracts.contract import Contract
from data_contracts.credit_accounts import CREDIT_ACCOUNTS
from data_contracts.credit_inquiries import CREDIT_INQUIRIES
from data_contracts.customers import CUSTOMERS
from data_contracts.instants import DAY_MS, HOUR_MS
from data_contracts.invoice_adjustments import INVOICE_ADJUSTMENTS
from data_contracts.invoice_charges import INVOICE_CHARGES
from data_contracts.invoice_pauses import INVOICE_PAUSES
from data_contracts.invoice_payments import INVOICE_PAYMENTS
from data_contracts.invoices import INVOICES
from data_contracts.merchants import MERCHANTS
from data_contracts.order_events import ORDER_EVENTS
from data_contracts.order_outcomes import ORDER_OUTCOMES
from data_contracts.orders import ORDERS
from data_contracts.parquet_ledger import empty_table, write_table
from data_contracts.progress import Progress, no_progress
from data_contracts.simulation.book_calendar import BookCalendar, book_calendar
from data_contracts.simulation.bureau import account_rows, balance_rows, draw_accounts, inquiry_rows
from data_contracts.simulation.fraud_findings import (
    NEVER_FOUND,
    STOPPED,
    FraudFindings,
    draw_findings,
    later_dispute_rows,
    order_outcome_rows,
)
from data_contracts.simulation.fraud_rings import draw_fraud
from data_contracts.simulation.fulfilment import Fulfilment, draw_fulfilment, order_event_rows
from data_contracts.simulation.invoice_rows import BilledOrders, InvoiceRows, invoice_rows
from data_contracts.simulation.merchants_book import Merchants, draw_merchants, merchant_rows
from data_contracts.simulation.order_changes import (
    OrderChanges,
    draw_order_changes,
    fulfilment_of_rest,
    order_change_rows,
)
from data_contracts.simulation.orders_book import Orders, draw_orders, in_time_order, order_rows
from data_contracts.simulation.people import People, customer_rows, draw_people
from data_contracts.simulation.repayment import (
    BAD_AFTER_DAYS,
    NEVER,
    Repayment,
    draw_repayment,
    orders_in_arrears,
)
from data_contracts.simulation.returned_debits import with_returned_debits
from data_contracts.simulation.temperament import Temperament, draw_temperament
from data_contracts.simulation.text_columns import numbered, stacked, text_where

_STEP = "simulate the portfolio"
_STEPS = 16
_CANCELLED_RATE = 0.045
_BLOCKED_KEPT_AS_CANCELLED = 0.12


@dataclass(frozen=True, kw_only=True)
class PortfolioSummary:
    """What was written.

    rows: number of rows by contract.
    bad_rate: share of the invoices that are old enough to tell, fraud aside, that were not paid in full
        when they were 60 unpaused days past due.
    fraud_rate: share of all orders that truly are fraud, found or not: more than the ledger tells.
    """

    customers: int
    orders: int
    rows: Mapping[str, int]
    bad_rate: float
    fraud_rate: float

    def to_json(self) -> dict[str, Any]:
        """A JSON object for the command line."""
        return {**dataclasses.asdict(self), "rows": dict(self.rows), "rows_total": sum(self.rows.values())}


class _Writer:
    """Writes contracts, gives event ids, and leaves out what is recorded after the end of the book."""

    def __init__(self, out: Path, calendar: BookCalendar, progress: Progress) -> None:
        self._out = out
        self._calendar = calendar
        self._progress = progress
        self.done = 0
        self.rows: dict[str, int] = {}

    def step_done(self) -> None:
        self.done += 1
        self._progress(_STEP, done=self.done, total=_STEPS)

    def write(
        self,
        contract: Contract,
        prefix: str,
        columns: dict[str, Any],
        corrects: NDArray[np.int64] | None = None,
    ) -> None:
        kept = np.flatnonzero(columns["recorded_at"] < self._calendar.end_ms)
        size = len(columns["recorded_at"])
        columns["event_id"] = numbered(f"{prefix}-", np.arange(1, size + 1), width=9)
        if corrects is not None:
            columns["corrects"] = text_where(
                corrects >= 0, numbered(f"{prefix}-", np.maximum(corrects, 0) + 1, width=9)
            )
        if len(kept):
            if len(kept) < size:
                columns = {name: values.take(kept) for name, values in columns.items()}
            self.rows[contract.name] = write_table(self._out, contract, columns)
        else:
            self.rows[contract.name] = write_table(self._out, contract, empty_table(contract))
        self.step_done()


@dataclass(frozen=True, kw_only=True)
class _Book:
    """The orders that are in the book, and what becomes of each; one position each."""

    orders: Orders
    changes: OrderChanges
    fulfilment: Fulfilment
    repayment: Repayment
    findings: FraudFindings


@dataclass(frozen=True, kw_only=True)
class _Rest:
    """What was shipped and billed later, one position for each order in parts.

    order: its position among the orders. orders: with the rest as their amount.
    """

    order: NDArray[np.int64]
    orders: Orders
    fulfilment: Fulfilment
    repayment: Repayment


def _draw_book(
    random: np.random.Generator,
    calendar: BookCalendar,
    *,
    people: People,
    merchants: Merchants,
    temperament: Temperament,
    of_changes: np.random.Generator,
    of_returns: np.random.Generator,
) -> _Book:
    honest = draw_orders(random, calendar, people=people, merchants=merchants, temperament=temperament)
    fraud = draw_fraud(random, calendar, people=people, merchants=merchants, honest=honest)
    orders = in_time_order([honest, *fraud])
    # Repayment is drawn for every order that is wished for; those that meet arrears then fall away.
    fulfilment = draw_fulfilment(random, orders=orders, merchants=merchants)
    changes = draw_order_changes(of_changes, orders=orders, merchants=merchants, fulfilment=fulfilment)
    repayment = draw_repayment(
        random,
        calendar,
        orders=orders,
        people=people,
        merchants=merchants,
        temperament=temperament,
        fulfilment=fulfilment,
        invoiced_cents=changes.first_cents,
        of_returns=of_returns,
    )
    findings = draw_findings(random, orders=orders)
    stopped = (orders.fraud > 0) & findings.stopped_early
    called_off = (random.random(len(orders)) < _CANCELLED_RATE) | stopped
    blocked = orders_in_arrears(random, orders=orders, repayment=repayment, called_off=called_off)
    kept = ~blocked | (random.random(len(orders)) < _BLOCKED_KEPT_AS_CANCELLED)
    fulfilment = dataclasses.replace(fulfilment, cancelled=called_off | blocked)
    # A debit that came back late in the book stops no order: the checkout did not know of it either.
    repayment = with_returned_debits(of_returns, orders=orders, repayment=repayment)
    return _Book(
        orders=orders.take(kept),
        changes=changes.take(kept),
        fulfilment=fulfilment.take(kept),
        repayment=repayment.take(kept),
        findings=findings.take(kept),
    )


def _draw_rest(
    random: np.random.Generator,
    of_returns: np.random.Generator,
    calendar: BookCalendar,
    *,
    book: _Book,
    people: People,
    merchants: Merchants,
    temperament: Temperament,
) -> _Rest:
    """Draw what becomes of second invoices: each is paid, returned or disputed by itself."""
    order = book.changes.second_invoices(book.fulfilment)
    rest_cents = book.changes.rest_cents[order]
    orders = dataclasses.replace(book.orders.take(order), amount_cents=rest_cents)
    fulfilment = fulfilment_of_rest(book.fulfilment, book.changes, order)
    repayment = draw_repayment(
        random,
        calendar,
        orders=orders,
        people=people,
        merchants=merchants,
        temperament=temperament,
        fulfilment=fulfilment,
        invoiced_cents=rest_cents,
        of_returns=of_returns,
    )
    return _Rest(order=order, orders=orders, fulfilment=fulfilment, repayment=repayment)


def _rows_of_invoices(
    random: np.random.Generator,
    of_rest: np.random.Generator,
    of_returns: np.random.Generator,
    *,
    book: _Book,
    rest: _Rest,
    written_off: NDArray[np.int64],
) -> InvoiceRows:
    every = np.arange(len(book.orders))
    whole = dataclasses.replace(book.orders, amount_cents=book.changes.first_cents)
    first = invoice_rows(
        random,
        of_returns,
        bills=BilledOrders(orders=whole, order=every, invoice=every),
        fulfilment=book.fulfilment,
        repayment=book.repayment,
        fraud_written_off=written_off,
    )
    second = invoice_rows(
        of_rest,
        of_returns,
        bills=BilledOrders(
            orders=rest.orders, order=rest.order, invoice=len(every) + np.arange(len(rest.order))
        ),
        fulfilment=rest.fulfilment,
        repayment=rest.repayment,
        fraud_written_off=np.full(len(rest.order), -1),
    )
    return first.and_below(second)


def simulate_portfolio(
    out: Path,
    *,
    customers: int,
    months: int,
    seed: int,
    ends_on: dt.date,
    progress: Progress = no_progress,
) -> PortfolioSummary:
    """Write the book of `customers` customers over `months` months up to `ends_on` (00:00 UTC) to `out`.

    The same arguments give the same files, whenever and wherever. Replaces a ledger that is there.
    Raises ValueError for a book without customers or months, or a negative seed.
    """
    if customers < 1 or months < 1 or seed < 0:
        raise ValueError("a book needs at least one customer, one month and a seed that is not negative")
    calendar = book_calendar(months=months, ends_on=ends_on)
    writer = _Writer(out, calendar, progress)
    spawned = np.random.SeedSequence(seed).spawn(32)
    streams = iter(spawned[:24])
    # What was added to an order's life has streams of its own, so that all else is as it was.
    of_changes, of_returns, of_rest, of_later = (np.random.default_rng(one) for one in spawned[24:28])

    def random() -> np.random.Generator:
        # Every step has its own stream, so that a change in one step leaves the others as they were.
        return np.random.default_rng(next(streams))

    people = draw_people(random(), calendar, customers=customers)
    temperament = draw_temperament(random(), calendar, customers=customers, registered=people.registered)
    merchants = draw_merchants(random(), customers=customers)
    writer.step_done()
    book = _draw_book(
        random(),
        calendar,
        people=people,
        merchants=merchants,
        temperament=temperament,
        of_changes=of_changes,
        of_returns=of_returns,
    )
    rest = _draw_rest(
        of_rest,
        of_returns,
        calendar,
        book=book,
        people=people,
        merchants=merchants,
        temperament=temperament,
    )
    orders, fulfilment, repayment, findings = book.orders, book.fulfilment, book.repayment, book.findings
    writer.step_done()

    writer.write(MERCHANTS, "mer-ev", merchant_rows(random(), calendar, merchants))
    writer.write(CUSTOMERS, "cus-ev", customer_rows(random(), calendar, people))
    accounts = draw_accounts(random(), calendar, people=people, temperament=temperament)
    writer.write(CREDIT_ACCOUNTS, "acc-ev", account_rows(random(), accounts=accounts, people=people))
    last_order = np.full(customers, -1)
    np.maximum.at(last_order, orders.customer, orders.occurred)
    balances, balance_corrects = balance_rows(
        random(),
        calendar,
        accounts=accounts,
        people=people,
        temperament=temperament,
        last_order=last_order,
    )
    writer.step_done()
    writer.write(ACCOUNT_BALANCES, "bal-ev", balances, balance_corrects)
    writer.write(
        CREDIT_INQUIRIES,
        "inq-ev",
        inquiry_rows(random(), calendar, people=people, temperament=temperament),
    )
    device_codes = random().permutation(4 * customers) * 7_919 + 100_003
    writer.write(
        ORDERS,
        "ord-ev",
        order_rows(random(), orders=orders, people=people, merchants=merchants, device_codes=device_codes),
    )
    is_found = (orders.fraud > 0) & (findings.finding != NEVER_FOUND)
    written_off = np.where(
        is_found & ~fulfilment.cancelled, np.maximum(findings.found, fulfilment.issued) + DAY_MS, -1
    )
    invoiced = _rows_of_invoices(random(), of_rest, of_returns, book=book, rest=rest, written_off=written_off)
    writer.write(INVOICES, "inv-ev", invoiced.invoices)
    writer.write(INVOICE_PAYMENTS, "pay-ev", invoiced.payments, invoiced.payment_corrects)
    writer.write(INVOICE_ADJUSTMENTS, "adj-ev", invoiced.adjustments)
    writer.write(INVOICE_CHARGES, "chg-ev", invoiced.charges)
    writer.write(INVOICE_PAUSES, "pau-ev", invoiced.pauses)
    came_back = np.where(repayment.is_booked, repayment.pause_end - 6 * HOUR_MS, -1)
    recalled = is_found & (findings.finding == STOPPED) & ~fulfilment.cancelled
    came_back = np.where(recalled, np.maximum(written_off, fulfilment.delivered + DAY_MS), came_back)
    events = order_event_rows(
        random(),
        orders=orders,
        merchants=merchants,
        people=people,
        fulfilment=fulfilment,
        returned=came_back,
    )
    changed = order_change_rows(of_later, orders=orders, fulfilment=fulfilment, changes=book.changes)
    writer.write(ORDER_EVENTS, "oev-ev", stacked([events, changed]))
    outcomes = order_outcome_rows(
        random(), orders=orders, fulfilment=fulfilment, repayment=repayment, findings=findings
    )
    unbooked = np.flatnonzero((repayment.became_dispute_at < NEVER) & ~fulfilment.cancelled)
    of_unbooked, of_rests = (
        later_dispute_rows(of_later, orders=orders, order=order, repayment=of_invoice)
        for order, of_invoice in ((unbooked, repayment.take(unbooked)), (rest.order, rest.repayment))
    )
    writer.write(ORDER_OUTCOMES, "out-ev", stacked([outcomes, of_unbooked, of_rests]))
    placed = orders.occurred < calendar.end_ms
    return PortfolioSummary(
        customers=customers,
        orders=writer.rows[ORDERS.name],
        rows=writer.rows,
        bad_rate=_bad_rate(calendar, book, rest),
        fraud_rate=float((orders.fraud[placed] > 0).mean()) if placed.any() else 0.0,
    )


def _bad_rate(calendar: BookCalendar, book: _Book, rest: _Rest) -> float:
    parts = [(book.orders, book.fulfilment, book.repayment), (rest.orders, rest.fulfilment, rest.repayment)]
    defaulted = []
    for orders, fulfilment, repayment in parts:
        matured = repayment.real_due + BAD_AFTER_DAYS * DAY_MS < calendar.end_ms
        counted = matured & ~fulfilment.cancelled & (orders.fraud == 0)
        defaulted.append(repayment.defaulted[counted])
    every = np.concatenate(defaulted)
    return float(every.mean()) if len(every) else 0.0
