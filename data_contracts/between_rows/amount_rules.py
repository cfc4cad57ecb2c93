"""Which amounts fit together: order, invoices, credit notes, payments and refunds."""

from collections.abc import Collection, Iterator, Sequence

from data_contracts.amended_orders import ordered_cents
from data_contracts.between_rows.known_rows import KnownRows, LedgerRow, standing_about, versions_of
from data_contracts.between_rows.waits import Broken, Wait, WaitKind
from data_contracts.contract import Contract
from data_contracts.invoice_adjustments import INVOICE_ADJUSTMENTS, REASON_RETURNED_DEBIT
from data_contracts.invoice_payments import INVOICE_PAYMENTS
from data_contracts.invoices import INVOICES
from data_contracts.order_events import AMENDED, ORDER_EVENTS
from data_contracts.orders import ORDERS
from data_contracts.rules import Rule


def _others(rows: Sequence[LedgerRow], row: LedgerRow) -> list[LedgerRow]:
    """Rows without this one and the one that it replaces."""
    return [other for other in rows if other["event_id"] not in {row["event_id"], row.get("corrects")}]


def _cents(rows: Sequence[LedgerRow]) -> int:
    return sum(row["amount_cents"] for row in rows)


def _adjustments(kind: str, row: LedgerRow, invoice_id: str, known: KnownRows) -> list[LedgerRow]:
    """The standing credit notes or refunds of an invoice, without `row` and the one that it replaces."""
    rows = known.standing(INVOICE_ADJUSTMENTS, row["customer_id"], "invoice_id", invoice_id)
    return [other for other in _others(rows, row) if other["kind"] == kind]


def _invoiced_cents(row: LedgerRow, order_id: str, known: KnownRows, *, more: Collection[LedgerRow]) -> int:
    """What an order's invoices come to, their credit notes taken off.

    row: the row that is judged: neither it nor the one that it replaces is counted.
    more: rows that are counted beside those that stand.
    """
    invoices = _others(known.standing(INVOICES, row["customer_id"], "order_id", order_id), row)
    invoices += [other for other in more if "order_id" in other]
    invoice_ids = {invoice["invoice_id"] for invoice in invoices}
    credit_notes = [other for other in more if other.get("kind") == "credit_note"]
    credit_notes += [
        note for invoice_id in invoice_ids for note in _adjustments("credit_note", row, invoice_id, known)
    ]
    return _cents(invoices) - _cents([note for note in credit_notes if note["invoice_id"] in invoice_ids])


def is_within_the_order(
    _contract: Contract, row: LedgerRow, known: KnownRows, _clock_tolerance_ms: int
) -> Broken | None:
    """An invoice alone does not come to more than its order ever did."""
    # An order that became smaller may have been invoiced before: there a credit note belongs to it.
    order_cents = max(_amounts_ever(row, known))
    if row["amount_cents"] <= order_cents:
        return None
    message = f"{row['amount_cents']} is above the {order_cents} of order {row['order_id']}"
    return _refused(Rule.ABOVE_ORDER, message, WaitKind.CREDIT_NOTE, row["order_id"])


def _amounts_ever(row: LedgerRow, known: KnownRows) -> Iterator[int]:
    """What the order that a row names came to at any time."""
    for order in known.about(ORDERS, row["order_id"]):
        yield order["amount_cents"]
    for event in _events(row, known):
        version: LedgerRow | None = event
        while version is not None:
            if version["kind"] == AMENDED:
                yield version["new_amount_cents"]
            corrected = None if version.get("corrects") is None else known.event(version["corrects"])
            version = None if corrected is None else corrected[1]


def _events(row: LedgerRow, known: KnownRows) -> Sequence[LedgerRow]:
    """The standing events of the order that a row names."""
    return known.standing(ORDER_EVENTS, row["customer_id"], "order_id", row["order_id"])


def _refused(rule: Rule, message: str, kind: WaitKind, subject_id: str) -> Broken:
    mended_by = Wait(kind=kind, id=subject_id)
    return Broken(rule=rule, column="amount_cents", message=message, mended_by=mended_by)


def _amounts_about(contract: Contract, subject_id: str, known: KnownRows) -> list[int]:
    return [row["amount_cents"] for row in standing_about(contract, subject_id, known)]


def sum_is_within_the_order(
    contract: Contract, row: LedgerRow, known: KnownRows, _clock_tolerance_ms: int
) -> Broken | None:
    """The invoices of an order, credit notes taken off, do not come to more than the order."""
    order_ids = [row["order_id"]] if contract is INVOICES else _orders_that_lose_room(row, known)
    for order_id in order_ids:
        invoiced_cents = _invoiced_cents(row, order_id, known, more=(row,))
        events = known.standing(ORDER_EVENTS, row["customer_id"], "order_id", order_id)
        order_cents = max(ordered_cents(order, events) for order in standing_about(ORDERS, order_id, known))
        if invoiced_cents > order_cents:
            wait = Wait(kind=WaitKind.CREDIT_NOTE, id=order_id)
            message = (
                f"with this row the invoices of order {order_id}, credit notes taken off, come to "
                f"{invoiced_cents} of {order_cents}; waits for {wait.in_words}"
            )
            return Broken(rule=Rule.SUM_ABOVE_ORDER, column="amount_cents", message=message, wait=wait)
    return None


def _orders_that_lose_room(row: LedgerRow, known: KnownRows) -> list[str]:
    """The orders of which a correction takes back a credit note, or a part of it."""
    lost: dict[str, int] = {}
    for sign, one in zip((-1, 1), versions_of(row, known), strict=False):
        if one["kind"] == "credit_note":
            for invoice in standing_about(INVOICES, one["invoice_id"], known):
                lost[invoice["order_id"]] = lost.get(invoice["order_id"], 0) + sign * one["amount_cents"]
    return [order_id for order_id, cents in lost.items() if cents > 0]


def order_is_not_corrected_below_its_invoices(
    _contract: Contract, row: LedgerRow, known: KnownRows, _clock_tolerance_ms: int
) -> Broken | None:
    """An order is not corrected below what its invoices come to, credit notes taken off."""
    if row.get("corrects") is None:
        return None
    order_cents = ordered_cents(row, _events(row, known))
    return _below_invoiced(row, order_cents, known, "amount_cents")


def order_is_not_amended_below_its_invoices(
    _contract: Contract, row: LedgerRow, known: KnownRows, _clock_tolerance_ms: int
) -> Broken | None:
    """An order is not amended below what its invoices come to, credit notes taken off.

    Nor is an amendment corrected so: also not one that was refused and now comes with its correction. One
    that came late, and that another amendment has overtaken since, changes nothing.
    """
    versions = versions_of(row, known) or [row]
    if all(version["kind"] != AMENDED for version in versions):
        return None
    others = _others(_events(row, known), row)
    orders = standing_about(ORDERS, row["order_id"], known)
    after_cents = max(ordered_cents(order, [*others, row]) for order in orders)
    return _below_invoiced(row, after_cents, known, "new_amount_cents")


def _below_invoiced(row: LedgerRow, order_cents: int, known: KnownRows, column: str) -> Broken | None:
    invoiced_cents = _invoiced_cents(row, row["order_id"], known, more=())
    if invoiced_cents <= order_cents:
        return None
    message = f"{invoiced_cents} are invoiced, credit notes taken off: more than {order_cents}"
    mended_by = Wait(kind=WaitKind.CREDIT_NOTE, id=row["order_id"])
    return Broken(rule=Rule.ORDER_BELOW_INVOICED, column=column, message=message, mended_by=mended_by)


def credit_notes_are_within_the_invoice(
    _contract: Contract, row: LedgerRow, known: KnownRows, _clock_tolerance_ms: int
) -> Broken | None:
    """The credit notes of an invoice do not come to more than the invoice."""
    if row["kind"] != "credit_note":
        return None
    invoice_id = row["invoice_id"]
    credited_cents = row["amount_cents"] + _cents(_adjustments("credit_note", row, invoice_id, known))
    invoice_cents = max(_amounts_about(INVOICES, invoice_id, known))
    if credited_cents <= invoice_cents:
        return None
    message = f"the credit notes of invoice {invoice_id} would come to {credited_cents} of {invoice_cents}"
    return _refused(Rule.CREDITED_ABOVE_INVOICE, message, WaitKind.INVOICE, invoice_id)


def invoice_is_not_corrected_below_its_credit_notes(
    _contract: Contract, row: LedgerRow, known: KnownRows, _clock_tolerance_ms: int
) -> Broken | None:
    """An invoice is not corrected below its credit notes."""
    if row.get("corrects") is None:
        return None
    credited_cents = _cents(_adjustments("credit_note", row, row["invoice_id"], known))
    if credited_cents <= row["amount_cents"]:
        return None
    message = f"credit notes over {credited_cents} stand on it: more than {row['amount_cents']}"
    return _refused(Rule.INVOICE_BELOW_CREDITED, message, WaitKind.INVOICE, row["invoice_id"])


def refunds_are_within_the_payments(
    _contract: Contract, row: LedgerRow, known: KnownRows, _clock_tolerance_ms: int
) -> Broken | None:
    """Returned debits do not come to more than the invoice's payments, nor do its other refunds."""
    if row["kind"] != "refund":
        return None
    invoice_id = row["invoice_id"]
    # The bank takes back a payment whole, whatever of it was refunded before.
    is_returned = row["reason"] == REASON_RETURNED_DEBIT
    alike = [
        other
        for other in _adjustments("refund", row, invoice_id, known)
        if (other["reason"] == REASON_RETURNED_DEBIT) == is_returned
    ]
    refunded_cents = row["amount_cents"] + _cents(alike)
    paid = known.standing(INVOICE_PAYMENTS, row["customer_id"], "invoice_id", invoice_id)
    if refunded_cents <= _cents(paid):
        return None
    wait = Wait(kind=WaitKind.PAYMENT, id=invoice_id)
    message = (
        f"the {'returned debits' if is_returned else 'refunds'} of invoice {invoice_id} would come to "
        f"{refunded_cents}, paid are {_cents(paid)}; waits for {wait.in_words}"
    )
    return Broken(rule=Rule.REFUNDED_ABOVE_PAID, column="amount_cents", message=message, wait=wait)
