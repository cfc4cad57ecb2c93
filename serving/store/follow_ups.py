"""What a new ledger row causes, in its own transaction: exposure ends, links arise, orders wait for a look or
to be settled.
"""

from collections.abc import Mapping
from typing import Any

from data_contracts.contract import Contract
from data_contracts.order_outcomes import FRAUD_OUTCOMES
from serving.store.contact_changes import note_contact_change
from serving.store.disputes import is_order_disputed
from serving.store.goods_returns import look_at_returns_of
from serving.store.investigations import has_case, order_of_invoice
from serving.store.invoice_looks import ask_for_invoice_look, concerns_invoices
from serving.store.merchant_orders import keep_number
from serving.store.order_links import link_row
from serving.store.orders_to_settle import ask_to_settle_what_a_row_concerns
from serving.store.outbox import ask_for_case_check, tell_of_disputed_invoice, tell_of_fraud
from serving.store.person_accounts import keep_person_keys
from serving.store.reservations import end_by_cancellation
from serving.store.store import Transaction
from serving.store.topic_choices import note_topic
from serving.store.uninvoiced_rest import keep_uninvoiced_rest
from serving.store.waiting_looks import ask_for_look

LOOK_AGAIN_AT = frozenset(
    {"address_changed", "amended", "delivery_redirected", "shipment_booked", "shipped", "delivered"}
)
SETTLED_BY_EVENTS = frozenset({"amended", "shipment_booked", "shipped", "delivered", "returned", "cancelled"})


def follow_up(tx: Transaction, contract: Contract, row: Mapping[str, Any], now_ms: int) -> None:
    """Everything that a row causes that arrives as news."""
    keep_in_step(tx, contract, row, now_ms)
    ask_to_settle_what_a_row_concerns(tx, contract, row, now_ms)
    if contract.name == "merchants":
        note_contact_change(tx, row, now_ms)
    if contract.name == "order_events" and row["kind"] in LOOK_AGAIN_AT:
        ask_for_look(tx, row["order_id"], row["kind"], now_ms)
    elif contract.name == "order_outcomes" and row["kind"] in FRAUD_OUTCOMES:
        tell_of_fraud(tx, row["order_id"], now_ms)
    elif contract.name == "invoices" and is_order_disputed(tx, row["order_id"]):
        tell_of_disputed_invoice(tx, row["order_id"], row["customer_id"], now_ms)
    order_of_goods = _order_whose_goods_came_back(tx, contract, row)
    if order_of_goods is not None:
        look_at_returns_of(tx, order_of_goods, now_ms)
    note_topic(tx, contract, row, now_ms)
    why = _why_to_check(contract, row)
    if why is not None:
        order_id = row["order_id"] if "order_id" in row else order_of_invoice(tx, row["invoice_id"])
        if order_id is not None and has_case(tx, order_id):
            ask_for_case_check(tx, order_id, why, now_ms)


def _order_whose_goods_came_back(tx: Transaction, contract: Contract, row: Mapping[str, Any]) -> str | None:
    """The order of which a row says that goods are back, or were credited as returned; None of others."""
    if contract.name == "order_events" and row["kind"] == "returned":
        return str(row["order_id"])
    if contract.name == "invoice_adjustments" and row["reason"] == "return":
        return order_of_invoice(tx, row["invoice_id"])
    return None


def _why_to_check(contract: Contract, row: Mapping[str, Any]) -> str | None:
    """What about a row concerns the case of its order; None where it does not."""
    match contract.name:
        case "order_outcomes":
            return str(row["kind"])
        case "order_events" if row["kind"] in SETTLED_BY_EVENTS or row.get("corrects") is not None:
            return str(row["kind"])
        case "invoices":
            return "invoiced"
        case "invoice_adjustments":
            return "invoice_adjusted"
        case "invoice_pauses" if row["reason"] == "dispute" and row.get("ended_at") is None:
            return "disputed"
        case "orders" if row.get("corrects") is not None:
            return "order_corrected"
        case _:
            return None


def keep_in_step(
    tx: Transaction, contract: Contract, row: Mapping[str, Any], now_ms: int, *, is_linked: bool = False
) -> None:
    """Do what a row causes even when it is years old and loaded from history, so that the indexes are right.

    An invoice takes its amount over from its order's reservation, and a cancellation ends that; orders are
    linked by what they share and found by their merchants' numbers; accounts are found by whose they are. A
    customer's invoices are looked at again.
    What only a new row causes is not done here: loading the invoices of 2019 asks for no screening.

    is_linked: the caller has linked the row together with others.
    """
    if not is_linked:
        link_row(tx, contract, row)
    if contract.name == "customers":
        keep_person_keys(tx, [row])
    elif contract.name == "orders" and row.get("merchant_order_number") is not None:
        keep_number(
            tx,
            merchant_id=row["merchant_id"],
            number=row["merchant_order_number"],
            order_id=row["order_id"],
        )
    if concerns_invoices(contract):
        ask_for_invoice_look(tx, row["customer_id"])
    if contract.name == "order_events" and row["kind"] == "cancelled":
        end_by_cancellation(tx, customer_id=row["customer_id"], order_id=row["order_id"], now_ms=now_ms)
    else:
        keep_uninvoiced_rest(tx, contract, row, now_ms)
