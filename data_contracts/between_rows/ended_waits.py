"""What a row that is let in brings to others: which of those that wait, or were refused, are judged again."""

from data_contracts.between_rows.known_rows import KnownRows, LedgerRow, standing_about, versions_of
from data_contracts.between_rows.waits import Wait, WaitKind, freed_value
from data_contracts.contract import Contract
from data_contracts.invoice_adjustments import INVOICE_ADJUSTMENTS
from data_contracts.invoice_charges import INVOICE_CHARGES
from data_contracts.invoice_pauses import DISPUTE, INVOICE_PAUSES
from data_contracts.invoice_payments import INVOICE_PAYMENTS
from data_contracts.invoices import INVOICES
from data_contracts.ledger_contracts import CONTRACTS
from data_contracts.order_events import AMENDED, ORDER_EVENTS
from data_contracts.orders import ORDERS

_NAMED_BY_REFERENCE = {kind.value: kind for kind in WaitKind if kind.value in CONTRACTS}


def brings(contract: Contract, row: LedgerRow, known: KnownRows) -> list[Wait]:
    """What rows may have waited for, or been refused without, that is there once this row is."""
    waits = [Wait(kind=WaitKind.EVENT, id=row["event_id"])]
    named = _NAMED_BY_REFERENCE.get(contract.name)
    if named is not None:
        waits.append(Wait(kind=named, id=row[contract.key[0]]))
    if contract in _NAMING_INVOICES:
        waits += _brought_to_invoice(contract, row, known)
    elif (contract is ORDERS and row.get("corrects") is not None) or (
        contract is ORDER_EVENTS and any(one["kind"] == AMENDED for one in (row, *versions_of(row, known)))
    ):
        waits.append(Wait(kind=WaitKind.CREDIT_NOTE, id=row["order_id"]))
    elif contract is INVOICES:
        waits += [
            Wait(kind=kind, id=row["order_id"]) for kind in (WaitKind.INVOICE_OF_ORDER, WaitKind.DISPUTE)
        ]
        # A lower amount makes room, and so does an invoice that turns out to be another order's.
        waits += [Wait(kind=WaitKind.CREDIT_NOTE, id=one["order_id"]) for one in versions_of(row, known)]
    if contract.unique is not None:
        freed = [contract.unique_value(one) for one in versions_of(row, known)]
        waits += [freed_value(contract, value) for value in freed if value]
    return list(dict.fromkeys(waits))


_NAMING_INVOICES = (INVOICE_ADJUSTMENTS, INVOICE_CHARGES, INVOICE_PAUSES, INVOICE_PAYMENTS)


def _brought_to_invoice(contract: Contract, row: LedgerRow, known: KnownRows) -> list[Wait]:
    corrections = versions_of(row, known)
    versions = [row, *corrections]
    # What an invoice, or a credit note of it, was refused for may be changed by a correction.
    waits = [Wait(kind=WaitKind.INVOICE, id=one["invoice_id"]) for one in corrections]
    if contract is INVOICE_PAYMENTS:
        return waits + [Wait(kind=WaitKind.PAYMENT, id=one["invoice_id"]) for one in versions]
    for one in versions:
        if contract is INVOICE_ADJUSTMENTS and one["kind"] == "refund":
            # A refund by itself only takes; one that is corrected may leave something for another.
            if corrections:
                waits.append(Wait(kind=WaitKind.PAYMENT, id=one["invoice_id"]))
            continue
        if contract is INVOICE_CHARGES or (contract is INVOICE_PAUSES and one["reason"] != DISPUTE):
            continue
        kind = WaitKind.DISPUTE if contract is INVOICE_PAUSES else WaitKind.CREDIT_NOTE
        waits += [
            Wait(kind=kind, id=invoice["order_id"])
            for invoice in standing_about(INVOICES, one["invoice_id"], known)
        ]
    return waits
