"""Which rows fit the customer, order, invoice or account that they name."""

from data_contracts.between_rows.known_rows import KnownRows, LedgerRow, standing_about
from data_contracts.between_rows.waits import Broken, Wait, WaitKind, held_for
from data_contracts.contract import Contract
from data_contracts.invoice_adjustments import INVOICE_ADJUSTMENTS
from data_contracts.invoice_charges import INVOICE_CHARGES
from data_contracts.invoice_pauses import DISPUTE, INVOICE_PAUSES
from data_contracts.invoice_payments import INVOICE_PAYMENTS
from data_contracts.invoices import INVOICES
from data_contracts.ledger_contracts import CONTRACTS
from data_contracts.orders import ORDERS
from data_contracts.rules import Rule
from data_contracts.sent_instants import may_stand_for_up_to_ms

TIMED_REFERENCES = frozenset({"orders", "invoices"})
"""A row must not happen before the order or invoice that it names. Customers, merchants and accounts may
become known to us after something about them happened."""

MAY_COME_BEFORE = frozenset({"invoice_payments"})
"""Money may come before the invoice that it pays, by any time."""
CURRENCY_REFERENCES = frozenset({"orders", "invoices", "credit_accounts"})


def reference_is_known(
    contract: Contract, row: LedgerRow, known: KnownRows, _clock_tolerance_ms: int
) -> Broken | None:
    """The row that each reference names is there."""
    for column, reference in contract.references():
        if not known.is_known(CONTRACTS[reference.contract], row[column.name]):
            return held_for(column.name, Wait(kind=WaitKind(reference.contract), id=row[column.name]))
    return None


def belongs_to_the_same_customer(
    contract: Contract, row: LedgerRow, known: KnownRows, _clock_tolerance_ms: int
) -> Broken | None:
    """What a row names is its customer's, and so are all states of one account or pause."""
    for column, reference in contract.references():
        if reference.contract not in CURRENCY_REFERENCES:
            continue
        for other in known.about(CONTRACTS[reference.contract], row[column.name]):
            if other["customer_id"] != row["customer_id"]:
                message = f"{reference.contract} {row[column.name]} belongs to another customer"
                return Broken(rule=Rule.CUSTOMER_DIFFERS, column="customer_id", message=message)
    if contract.rows_are_states and contract.entity not in contract.key:
        key = contract.key[0]
        if any(other[contract.entity] != row[contract.entity] for other in known.about(contract, row[key])):
            message = f"{key} {row[key]} belongs to another customer"
            return Broken(rule=Rule.CUSTOMER_DIFFERS, column=contract.entity, message=message)
    return None


def is_about_the_same_invoice(
    contract: Contract, row: LedgerRow, known: KnownRows, _clock_tolerance_ms: int
) -> Broken | None:
    """All states of one pause are about one invoice; only a correction moves it to another."""
    if row.get("corrects") is not None:
        return None
    (key,) = contract.key
    states = standing_about(contract, row[key], known)
    if not states or any(state["invoice_id"] == row["invoice_id"] for state in states):
        return None
    message = f"{key} {row[key]} is about invoice {states[0]['invoice_id']}; a correction moves it"
    return Broken(rule=Rule.INVOICE_DIFFERS, column="invoice_id", message=message)


def is_in_the_same_currency(
    contract: Contract, row: LedgerRow, known: KnownRows, _clock_tolerance_ms: int
) -> Broken | None:
    """A row has the currency of the order, invoice or account that it names, as that stands."""
    if "currency" not in row:
        return None
    for column, reference in contract.references():
        if reference.contract not in CURRENCY_REFERENCES:
            continue
        referred = standing_about(CONTRACTS[reference.contract], row[column.name], known)
        if all(other["currency"] != row["currency"] for other in referred):
            message = f"{reference.contract} {row[column.name]} is in {referred[0]['currency']}"
            named = Wait(kind=WaitKind(reference.contract), id=row[column.name])
            return Broken(rule=Rule.CURRENCY_DIFFERS, column="currency", message=message, mended_by=named)
    return None


def keeps_the_currency_of_what_refers_to_it(
    contract: Contract, row: LedgerRow, known: KnownRows, _clock_tolerance_ms: int
) -> Broken | None:
    """A correction keeps the currency of the rows that name it."""
    corrected = None if row.get("corrects") is None else known.event(row["corrects"])
    if corrected is None or corrected[1]["currency"] == row["currency"]:
        return None
    (key,) = contract.key
    referring = (
        (INVOICES,) if contract is ORDERS else (INVOICE_PAYMENTS, INVOICE_ADJUSTMENTS, INVOICE_CHARGES)
    )
    for other_contract in referring:
        for other in known.standing(other_contract, row["customer_id"], key, row[key]):
            if other["currency"] != row["currency"]:
                message = f"{other_contract.name} {other['event_id']} of it is in {other['currency']}"
                kind = WaitKind.CREDIT_NOTE if contract is ORDERS else WaitKind.INVOICE
                return Broken(
                    rule=Rule.CURRENCY_DIFFERS,
                    column="currency",
                    message=message,
                    mended_by=Wait(kind=kind, id=row[key]),
                )
    return None


def happened_after_what_it_names(
    contract: Contract, row: LedgerRow, known: KnownRows, clock_tolerance_ms: int
) -> Broken | None:
    """A row happens no earlier than the order or invoice that it names, up to the clocks' tolerance."""
    if contract.name in MAY_COME_BEFORE:
        return None
    for column, reference in contract.references():
        if reference.contract in TIMED_REFERENCES:
            referred = known.about(CONTRACTS[reference.contract], row[column.name])
            what = f"{reference.contract} {row[column.name]}"
            if contract is INVOICE_PAUSES and row["reason"] == DISPUTE:
                # A dispute is opened on an order, perhaps before that is invoiced.
                order_ids = {invoice["order_id"] for invoice in referred}
                referred = [order for order_id in order_ids for order in known.about(ORDERS, order_id)]
                what = f"the order of {what}"
            earliest = min(other["occurred_at"] for other in referred)
            for name in contract.past_columns:
                written = row.get(name)
                if written is None:
                    continue
                if written + may_stand_for_up_to_ms(written) + clock_tolerance_ms < earliest:
                    message = f"{name} lies before {what}"
                    named = Wait(kind=WaitKind(reference.contract), id=row[column.name])
                    return Broken(rule=Rule.BEFORE_REFERENCE, column=name, message=message, mended_by=named)
    return None
