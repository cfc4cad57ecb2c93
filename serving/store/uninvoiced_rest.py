"""What of an approved order is not invoiced yet, kept in its reservation as the ledger's rows come in."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from data_contracts.amended_orders import amendments_of, ordered_cents, since_decided
from data_contracts.contract import Contract
from data_contracts.invoice_adjustments import INVOICE_ADJUSTMENTS
from data_contracts.invoices import INVOICES
from data_contracts.order_events import AMENDED, ORDER_EVENTS
from data_contracts.orders import ORDERS
from data_contracts.sent_instants import happened_at
from serving.domain.reservation import FOLLOWED_BY_INVOICES, RestStep, RestStepKind, uninvoiced_cents
from serving.store.ledger_rows import LedgerRow, with_corrected
from serving.store.reservations import hold_amended, hold_rest, reservation_of
from serving.store.standing_rows import bodies_not_corrected, rows_that_name, standing_row
from serving.store.store import Transaction

CREDIT_NOTE = "credit_note"
RELEASED = "released"
"""The kind of an order's event: what is not invoiced of it will not be."""

_FOLLOWED = frozenset({INVOICES.name, INVOICE_ADJUSTMENTS.name, ORDERS.name, ORDER_EVENTS.name})


def keep_uninvoiced_rest(tx: Transaction, contract: Contract, row: Mapping[str, Any], now_ms: int) -> None:
    """Let the orders that a new row of the ledger is about hold what of them is not invoiced yet.

    A row that corrects another may have taken an invoice away from that one's order.
    """
    if contract.name not in _FOLLOWED:
        return
    for order_id in sorted(_orders_of(tx, contract, row)):
        _keep_rest_of(tx, row["customer_id"], order_id, now_ms)


def _orders_of(tx: Transaction, contract: Contract, row: Mapping[str, Any]) -> set[str]:
    versions = with_corrected(tx, row)
    match contract.name:
        case INVOICES.name:
            return {version["order_id"] for version in versions}
        case ORDER_EVENTS.name:
            return {version["order_id"] for version in versions if version["kind"] in {AMENDED, RELEASED}}
        case ORDERS.name:
            return {row["order_id"]} if row.get("corrects") is not None else set()
        case _:
            noted = {version["invoice_id"] for version in versions if version["kind"] == CREDIT_NOTE}
            invoices = [standing_row(tx, INVOICES, invoice_id) for invoice_id in noted]
            return {invoice["order_id"] for invoice in invoices if invoice is not None}


def _keep_rest_of(tx: Transaction, customer_id: str, order_id: str, now_ms: int) -> None:
    reservation = reservation_of(tx, customer_id, order_id)
    if reservation is None or reservation.state not in FOLLOWED_BY_INVOICES:
        return
    order = standing_row(tx, ORDERS, order_id)
    if order is None:
        return
    events = events_of_order(tx, customer_id, order_id)
    steps = _steps(tx, order, events)
    if steps or reservation.is_invoiced:
        rest_cents = _rest_cents(order, events, steps)
        hold_rest(tx, customer_id=customer_id, order_id=order_id, rest_cents=rest_cents, now_ms=now_ms)
    else:
        amount_cents = ordered_cents(order, events)
        hold_amended(tx, customer_id=customer_id, order_id=order_id, amount_cents=amount_cents, now_ms=now_ms)


def events_of_order(tx: Transaction, customer_id: str, order_id: str) -> list[LedgerRow]:
    """The events of an order that were not corrected."""
    return list(_standing(tx, ORDER_EVENTS, customer_id, "order_id", {order_id}))


def rest_to_invoice(tx: Transaction, order: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> int:
    """What of an order is not invoiced yet, in minor units, by its row and its events that stand.

    events: those of the store, or others that are supposed.
    """
    return _rest_cents(order, events, _steps(tx, order, events))


def _rest_cents(
    order: Mapping[str, Any], events: Sequence[Mapping[str, Any]], steps: Sequence[RestStep]
) -> int:
    amended = [
        RestStep(kind=RestStepKind.AMENDED, at_ms=one.at_ms, cents=one.amount_cents)
        for one in amendments_of(order, events)
    ]
    return uninvoiced_cents(order["amount_cents"], [*amended, *steps])


def _steps(tx: Transaction, order: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> list[RestStep]:
    """The order's steps without its amendments."""
    invoiced = _invoice_steps(tx, order["customer_id"], order["order_id"])
    return [*invoiced, *_releases(since_decided(order, events))]


def _releases(events: Iterable[Mapping[str, Any]]) -> Iterator[RestStep]:
    for event in events:
        if event["kind"] == RELEASED:
            at_ms = (happened_at(ORDER_EVENTS, event), event["recorded_at"])
            yield RestStep(kind=RestStepKind.RELEASED, at_ms=at_ms)


def _invoice_steps(tx: Transaction, customer_id: str, order_id: str) -> Iterator[RestStep]:
    invoiced_at = {}
    for invoice in _standing(tx, INVOICES, customer_id, "order_id", {order_id}):
        at_ms = (happened_at(INVOICES, invoice), invoice["recorded_at"])
        invoiced_at[invoice["invoice_id"]] = at_ms
        yield RestStep(kind=RestStepKind.INVOICED, at_ms=at_ms, cents=invoice["amount_cents"])
    for note in _standing(tx, INVOICE_ADJUSTMENTS, customer_id, "invoice_id", invoiced_at.keys()):
        if note["kind"] == CREDIT_NOTE:
            # A credit note that has a date only may seem to come before its invoice.
            at_ms = max(
                (happened_at(INVOICE_ADJUSTMENTS, note), note["recorded_at"]), invoiced_at[note["invoice_id"]]
            )
            yield RestStep(kind=RestStepKind.CREDITED, at_ms=at_ms, cents=note["amount_cents"])


def _standing(
    tx: Transaction, contract: Contract, customer_id: str, column: str, values: Collection[str]
) -> Iterator[LedgerRow]:
    """The customer's rows that name one of the values in a column and were not corrected."""
    if not values:
        return iter(())
    return rows_that_name(bodies_not_corrected(tx, contract, customer_id), column, values)
