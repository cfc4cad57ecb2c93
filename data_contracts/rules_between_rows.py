"""The rules between the rows of a ledger, stated once: which rows fit what they refer to, and what follows.

`RULES` is the statement. Both engines judge by it: the ledger row by row as they arrive, the batch check of
`data_contracts.cross_table_rules` over a whole folder, in the order in which its rows were recorded. A row
that breaks a rule is refused at once, or held where only something that has not arrived yet makes it break:
`data_contracts.arrivals` says how held rows come in.
"""

import enum
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from data_contracts.contract import Contract
from data_contracts.invoice_adjustments import INVOICE_ADJUSTMENTS, REASON_RETURNED_DEBIT
from data_contracts.invoice_charges import INVOICE_CHARGES
from data_contracts.invoice_pauses import INVOICE_PAUSES
from data_contracts.invoice_payments import INVOICE_PAYMENTS
from data_contracts.invoices import INVOICES
from data_contracts.ledger_contracts import CONTRACTS
from data_contracts.order_events import ORDER_EVENTS
from data_contracts.order_outcomes import ORDER_OUTCOMES
from data_contracts.orders import ORDERS
from data_contracts.rules import Rule
from data_contracts.sent_instants import may_stand_for_up_to_ms

LedgerRow = Mapping[str, Any]
"""A row in ledger row form: instants in ms since 1970 UTC, amounts in whole minor units, nulls left out."""

TIMED_REFERENCES = frozenset({"orders", "invoices"})
"""A row must not happen before the order or invoice that it names. Customers, merchants and accounts may
become known to us after something about them happened."""

MAY_COME_BEFORE = frozenset({"invoice_payments"})
"""Money may come before the invoice that it pays, by any time."""

CURRENCY_REFERENCES = frozenset({"orders", "invoices", "credit_accounts"})

DISPUTE = "dispute"
DISPUTE_DECISIONS = ("dispute_decided_for_customer", "dispute_decided_for_merchant")


class WaitKind(enum.Enum):
    """What a held row waits for, or what may make a refused one fit.

    The first five are the contracts of the row that it names.
    """

    MERCHANT = "merchants"
    CUSTOMER = "customers"
    CREDIT_ACCOUNT = "credit_accounts"
    ORDER = "orders"
    INVOICE = "invoices"
    EVENT = "event"
    """The row that it corrects."""
    CREDIT_NOTE = "credit_note"
    """Room on an order: a credit note of one of its invoices, or a correction that makes room."""
    PAYMENT = "payment"
    """A payment of an invoice."""
    INVOICE_OF_ORDER = "invoice_of_order"
    """Any invoice of an order."""
    DISPUTE = "dispute"
    """A dispute about an invoice of an order."""
    BANK_REFERENCE = "bank_reference"
    """That no other row has a bank's reference any more."""
    MERCHANT_ORDER_NUMBER = "merchant_order_number"
    """That no other order has its merchant's number any more."""


WAITS_IN_WORDS: Mapping[WaitKind, str] = {
    WaitKind.MERCHANT: "merchant {id}",
    WaitKind.CUSTOMER: "customer {id}",
    WaitKind.CREDIT_ACCOUNT: "credit account {id}",
    WaitKind.ORDER: "order {id}",
    WaitKind.INVOICE: "invoice {id}",
    WaitKind.EVENT: "event {id}, which it corrects",
    WaitKind.CREDIT_NOTE: "a credit note that makes room on order {id}",
    WaitKind.PAYMENT: "a payment of invoice {id}",
    WaitKind.INVOICE_OF_ORDER: "an invoice of order {id}",
    WaitKind.DISPUTE: "a dispute about an invoice of order {id} that began before its decision",
    WaitKind.BANK_REFERENCE: "a correction that frees the bank reference {id}",
    WaitKind.MERCHANT_ORDER_NUMBER: "a correction that frees the merchant's number {id}",
}

_NAMED_BY_REFERENCE = {kind.value: kind for kind in WaitKind if kind.value in CONTRACTS}

MADE_TO_FIT_BY_OTHERS = frozenset(
    {WaitKind.CREDIT_NOTE, WaitKind.PAYMENT, WaitKind.INVOICE_OF_ORDER, WaitKind.DISPUTE}
)
"""Rows that wait for these name rows that are there; what waits for them in turn may make them fit."""


class Wait(NamedTuple):
    """What a held row waits for: an id of the kind."""

    kind: WaitKind
    id: str

    @property
    def in_words(self) -> str:
        """For people.

        >>> Wait(kind=WaitKind.PAYMENT, id="i1").in_words
        'a payment of invoice i1'
        """
        return WAITS_IN_WORDS[self.kind].format(id=self.id)


@dataclass(frozen=True, kw_only=True)
class Broken:
    """A rule that a row breaks.

    wait: what may still arrive and make the row fit; None where the row is refused.
    mended_by: what a refused row rests on, a change of which may make it fit all the same; None where
        nothing can.
    """

    rule: Rule
    column: str
    message: str
    wait: Wait | None = None
    mended_by: Wait | None = None


class KnownRows(Protocol):
    """What the rules ask of the rows that stand in a ledger."""

    def is_known(self, contract: Contract, subject_id: str) -> bool:
        """Whether any row of the contract has this key."""
        ...

    def about(self, contract: Contract, subject_id: str) -> Sequence[LedgerRow]:
        """Every row of the contract with this key, corrected ones too."""
        ...

    def standing(self, contract: Contract, customer_id: str, column: str, value: str) -> Sequence[LedgerRow]:
        """The customer's rows of the contract with this value, without those that another row corrects."""
        ...

    def event(self, event_id: str) -> tuple[Contract, LedgerRow] | None:
        """The row under an event_id."""
        ...

    def is_corrected(self, event_id: str) -> bool:
        """Whether a row corrects the row under this event_id."""
        ...

    def with_unique(self, contract: Contract, value: str) -> Sequence[LedgerRow]:
        """Every row of the contract with this value in its `unique` column, corrected ones too."""
        ...

    def corrects_of_waiting(self, event_id: str) -> str | None:
        """What the row that waits under this event_id corrects; None where none waits, or it is none."""
        ...


_Check = Callable[[Contract, LedgerRow, KnownRows, int], Broken | None]
"""Takes contract, row, what is known and the tolerance between clocks in ms."""


@dataclass(frozen=True, kw_only=True)
class RuleBetweenRows:
    """One line of the table of rules.

    contracts: whose rows it judges; () for those of every contract.
    says: what must hold.
    otherwise: what becomes of a row for which it does not.
    check: says whether a row that arrives breaks it; None where an engine sees to it, because the rule is
        about the arrival itself or about files alone.
    """

    rule: Rule
    contracts: tuple[str, ...] = ()
    says: str
    otherwise: str
    check: _Check | None = None


def contradiction(
    contract: Contract, row: LedgerRow, known: KnownRows, clock_tolerance_ms: int
) -> Broken | None:
    """The first rule that a row breaks which arrives now; None where it fits.

    A correction is judged with the row that it replaces left out.
    """
    for check in _CHECKS[contract.name]:
        broken = check(contract, row, known, clock_tolerance_ms)
        if broken is not None:
            return broken
    return None


def breaks_for_good(
    contract: Contract, row: LedgerRow, known: KnownRows, clock_tolerance_ms: int
) -> Broken | None:
    """The first rule that a row which arrives now breaks, of those that no other row can mend."""
    for check in _CHECKS_ON_ITSELF[contract.name]:
        broken = check(contract, row, known, clock_tolerance_ms)
        if broken is not None:
            return broken
    return None


def still_unfit(
    contract: Contract, row: LedgerRow, known: KnownRows, clock_tolerance_ms: int
) -> Broken | None:
    """The first rule that a row which is among the known breaks, of those that other rows can mend."""
    for check in _CHECKS_ON_OTHERS[contract.name]:
        broken = check(contract, row, known, clock_tolerance_ms)
        if broken is not None:
            return broken
    return None


def repeated_transfer(contract: Contract, row: LedgerRow, known: KnownRows) -> str | None:
    """The event_id under which the same transfer came before, with the same content; None where it is new."""
    value = contract.unique_value(row)
    if value is None or contract.key != ("event_id",) or row.get("corrects") is not None:
        return None
    for other in known.with_unique(contract, value):
        if other["event_id"] != row["event_id"] and _content(other) == _content(row):
            return str(other["event_id"])
    return None


def _content(row: LedgerRow) -> dict[str, Any]:
    envelope = {"event_id", "corrects", "recorded_at"}
    return {name: value for name, value in row.items() if name not in envelope and value is not None}


def brings(contract: Contract, row: LedgerRow, known: KnownRows) -> list[Wait]:
    """What rows may have waited for, or been refused without, that is there once this row is."""
    waits = [Wait(kind=WaitKind.EVENT, id=row["event_id"])]
    named = _NAMED_BY_REFERENCE.get(contract.name)
    if named is not None:
        waits.append(Wait(kind=named, id=row[contract.key[0]]))
    if contract in _NAMING_INVOICES:
        waits += _brought_to_invoice(contract, row, known)
    elif contract is ORDERS and row.get("corrects") is not None:
        waits.append(Wait(kind=WaitKind.CREDIT_NOTE, id=row["order_id"]))
    elif contract is INVOICES:
        waits += [
            Wait(kind=kind, id=row["order_id"]) for kind in (WaitKind.INVOICE_OF_ORDER, WaitKind.DISPUTE)
        ]
        # A lower amount makes room, and so does an invoice that turns out to be another order's.
        waits += [Wait(kind=WaitKind.CREDIT_NOTE, id=one["order_id"]) for one in _versions(row, known)]
    if contract.unique is not None:
        freed = [contract.unique_value(one) for one in _versions(row, known)]
        waits += [_free_value(contract, value) for value in freed if value]
    return list(dict.fromkeys(waits))


FREED_VALUES = frozenset({WaitKind.BANK_REFERENCE, WaitKind.MERCHANT_ORDER_NUMBER})
"""What a refused row rests on that lacks a value which another row has."""


def _free_value(contract: Contract, value: str) -> Wait:
    if contract is ORDERS:
        return Wait(kind=WaitKind.MERCHANT_ORDER_NUMBER, id=value)
    return Wait(kind=WaitKind.BANK_REFERENCE, id=f"{contract.name} {value}")


_NAMING_INVOICES = (INVOICE_ADJUSTMENTS, INVOICE_CHARGES, INVOICE_PAUSES, INVOICE_PAYMENTS)


def _brought_to_invoice(contract: Contract, row: LedgerRow, known: KnownRows) -> list[Wait]:
    corrections = _versions(row, known)
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
            for invoice in _standing_about(INVOICES, one["invoice_id"], known)
        ]
    return waits


def _versions(row: LedgerRow, known: KnownRows) -> list[LedgerRow]:
    """The row that this one corrects, and this one; nothing for a row that corrects none."""
    if row.get("corrects") is None:
        return []
    corrected = known.event(row["corrects"])
    return [row] if corrected is None else [row, corrected[1]]


def _standing_about(contract: Contract, subject_id: str, known: KnownRows) -> list[LedgerRow]:
    rows = known.about(contract, subject_id)
    corrected = {row["corrects"] for row in rows if row.get("corrects") is not None}
    return [row for row in rows if row["event_id"] not in corrected]


# References


def _waits(column: str, wait: Wait) -> Broken:
    message = f"waits for {wait.in_words}"
    return Broken(rule=Rule.UNKNOWN_REFERENCE, column=column, message=message, wait=wait)


def _reference_is_known(
    contract: Contract, row: LedgerRow, known: KnownRows, _clock_tolerance_ms: int
) -> Broken | None:
    for column, reference in contract.references():
        if not known.is_known(CONTRACTS[reference.contract], row[column.name]):
            return _waits(column.name, Wait(kind=WaitKind(reference.contract), id=row[column.name]))
    return None


def _belongs_to_the_same_customer(
    contract: Contract, row: LedgerRow, known: KnownRows, _clock_tolerance_ms: int
) -> Broken | None:
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


def _is_about_the_same_invoice(
    contract: Contract, row: LedgerRow, known: KnownRows, _clock_tolerance_ms: int
) -> Broken | None:
    if row.get("corrects") is not None:
        return None
    (key,) = contract.key
    states = _standing_about(contract, row[key], known)
    if not states or any(state["invoice_id"] == row["invoice_id"] for state in states):
        return None
    message = f"{key} {row[key]} is about invoice {states[0]['invoice_id']}; a correction moves it"
    return Broken(rule=Rule.INVOICE_DIFFERS, column="invoice_id", message=message)


def _is_in_the_same_currency(
    contract: Contract, row: LedgerRow, known: KnownRows, _clock_tolerance_ms: int
) -> Broken | None:
    if "currency" not in row:
        return None
    for column, reference in contract.references():
        if reference.contract not in CURRENCY_REFERENCES:
            continue
        referred = _standing_about(CONTRACTS[reference.contract], row[column.name], known)
        if all(other["currency"] != row["currency"] for other in referred):
            message = f"{reference.contract} {row[column.name]} is in {referred[0]['currency']}"
            named = Wait(kind=WaitKind(reference.contract), id=row[column.name])
            return Broken(rule=Rule.CURRENCY_DIFFERS, column="currency", message=message, mended_by=named)
    return None


def _keeps_the_currency_of_what_refers_to_it(
    contract: Contract, row: LedgerRow, known: KnownRows, _clock_tolerance_ms: int
) -> Broken | None:
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


def _happened_after_what_it_names(
    contract: Contract, row: LedgerRow, known: KnownRows, clock_tolerance_ms: int
) -> Broken | None:
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


# Keys and corrections


def _key_is_new(
    contract: Contract, row: LedgerRow, known: KnownRows, _clock_tolerance_ms: int
) -> Broken | None:
    if row.get("corrects") is not None or contract.rows_are_states or contract.key == ("event_id",):
        return None
    key = contract.key[0]
    if not known.is_known(contract, row[key]):
        return None
    message = f"{key} {row[key]} exists; a change of it names the row it corrects"
    return Broken(rule=Rule.KEY_REUSED, column=key, message=message)


def _corrects_no_circle(
    _contract: Contract, row: LedgerRow, known: KnownRows, _clock_tolerance_ms: int
) -> Broken | None:
    members = circle_of(row, known)
    if not members:
        return None
    message = "the row corrects itself" if len(members) == 1 else f"corrects itself by way of {members[1]}"
    return Broken(rule=Rule.CORRECTS_ITSELF, column="corrects", message=message)


def circle_of(row: LedgerRow, known: KnownRows) -> list[str]:
    """The event_ids of the rows that correct each other in a circle with this one, itself first; or nothing.

    All but this one wait: a row that corrects one of them is the last of the circle to arrive.
    """
    members: dict[str, None] = {row["event_id"]: None}
    corrected = row.get("corrects")
    while corrected is not None and corrected not in members:
        members[corrected] = None
        corrected = known.corrects_of_waiting(corrected)
    return list(members) if corrected == row["event_id"] else []


def _correction_has_its_row(
    contract: Contract, row: LedgerRow, known: KnownRows, _clock_tolerance_ms: int
) -> Broken | None:
    corrects = row.get("corrects")
    if corrects is None:
        return None
    found = known.event(corrects)
    if found is None:
        return _waits("corrects", Wait(kind=WaitKind.EVENT, id=corrects))
    corrected_contract, corrected = found
    same = (contract.entity, *(name for name in contract.key if name != "event_id"))
    if corrected_contract is not contract or any(corrected[name] != row[name] for name in same):
        message = f"{corrects} is a row of another contract, customer or key"
        return Broken(rule=Rule.CORRECTS_OTHER_KEY, column="corrects", message=message)
    if known.is_corrected(corrects):
        message = f"{corrects} was corrected already; correct its correction"
        return Broken(rule=Rule.CORRECTED_TWICE, column="corrects", message=message)
    return None


def _unique_value_is_free(
    contract: Contract, row: LedgerRow, known: KnownRows, _clock_tolerance_ms: int
) -> Broken | None:
    value = contract.unique_value(row)
    if value is None or contract.unique is None:
        return None
    for other in known.with_unique(contract, value):
        own = other["event_id"] in {row["event_id"], row.get("corrects")}
        if not own and not known.is_corrected(other["event_id"]):
            rule, message = _value_is_taken(contract, other)
            mended_by = _free_value(contract, value)
            return Broken(rule=rule, column=contract.unique, message=message, mended_by=mended_by)
    return None


def _value_is_taken(contract: Contract, other: LedgerRow) -> tuple[Rule, str]:
    if contract is ORDERS:
        message = f"order {other['order_id']} of the merchant has this number"
        return Rule.MERCHANT_ORDER_NUMBER_REUSED, message
    message = (
        f"event {other['event_id']} has this bank reference, with other content; number the parts of one "
        "transfer that pays several invoices: REF/1, REF/2"
    )
    return Rule.BANK_REFERENCE_REUSED, message


# Amounts


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


def _is_within_the_order(
    _contract: Contract, row: LedgerRow, known: KnownRows, _clock_tolerance_ms: int
) -> Broken | None:
    # An order that was corrected downwards may have been invoiced before: there a credit note belongs to it.
    order_cents = max(order["amount_cents"] for order in known.about(ORDERS, row["order_id"]))
    if row["amount_cents"] <= order_cents:
        return None
    message = f"{row['amount_cents']} is above the {order_cents} of order {row['order_id']}"
    return _refused(Rule.ABOVE_ORDER, message, WaitKind.CREDIT_NOTE, row["order_id"])


def _refused(rule: Rule, message: str, kind: WaitKind, subject_id: str) -> Broken:
    mended_by = Wait(kind=kind, id=subject_id)
    return Broken(rule=rule, column="amount_cents", message=message, mended_by=mended_by)


def _amounts_about(contract: Contract, subject_id: str, known: KnownRows) -> list[int]:
    return [row["amount_cents"] for row in _standing_about(contract, subject_id, known)]


def _sum_is_within_the_order(
    contract: Contract, row: LedgerRow, known: KnownRows, _clock_tolerance_ms: int
) -> Broken | None:
    order_ids = [row["order_id"]] if contract is INVOICES else _orders_that_lose_room(row, known)
    for order_id in order_ids:
        invoiced_cents = _invoiced_cents(row, order_id, known, more=(row,))
        order_cents = max(_amounts_about(ORDERS, order_id, known))
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
    for sign, one in zip((-1, 1), _versions(row, known), strict=False):
        if one["kind"] == "credit_note":
            for invoice in _standing_about(INVOICES, one["invoice_id"], known):
                lost[invoice["order_id"]] = lost.get(invoice["order_id"], 0) + sign * one["amount_cents"]
    return [order_id for order_id, cents in lost.items() if cents > 0]


def _order_is_not_corrected_below_its_invoices(
    _contract: Contract, row: LedgerRow, known: KnownRows, _clock_tolerance_ms: int
) -> Broken | None:
    if row.get("corrects") is None:
        return None
    invoiced_cents = _invoiced_cents(row, row["order_id"], known, more=())
    if invoiced_cents <= row["amount_cents"]:
        return None
    message = f"{invoiced_cents} are invoiced, credit notes taken off: more than {row['amount_cents']}"
    return _refused(Rule.ORDER_BELOW_INVOICED, message, WaitKind.CREDIT_NOTE, row["order_id"])


def _credit_notes_are_within_the_invoice(
    _contract: Contract, row: LedgerRow, known: KnownRows, _clock_tolerance_ms: int
) -> Broken | None:
    if row["kind"] != "credit_note":
        return None
    invoice_id = row["invoice_id"]
    credited_cents = row["amount_cents"] + _cents(_adjustments("credit_note", row, invoice_id, known))
    invoice_cents = max(_amounts_about(INVOICES, invoice_id, known))
    if credited_cents <= invoice_cents:
        return None
    message = f"the credit notes of invoice {invoice_id} would come to {credited_cents} of {invoice_cents}"
    return _refused(Rule.CREDITED_ABOVE_INVOICE, message, WaitKind.INVOICE, invoice_id)


def _invoice_is_not_corrected_below_its_credit_notes(
    _contract: Contract, row: LedgerRow, known: KnownRows, _clock_tolerance_ms: int
) -> Broken | None:
    if row.get("corrects") is None:
        return None
    credited_cents = _cents(_adjustments("credit_note", row, row["invoice_id"], known))
    if credited_cents <= row["amount_cents"]:
        return None
    message = f"credit notes over {credited_cents} stand on it: more than {row['amount_cents']}"
    return _refused(Rule.INVOICE_BELOW_CREDITED, message, WaitKind.INVOICE, row["invoice_id"])


def _refunds_are_within_the_payments(
    _contract: Contract, row: LedgerRow, known: KnownRows, _clock_tolerance_ms: int
) -> Broken | None:
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


# Outcomes


def _order_is_invoiced(
    _contract: Contract, row: LedgerRow, known: KnownRows, _clock_tolerance_ms: int
) -> Broken | None:
    if row["kind"] not in DISPUTE_DECISIONS or known.standing(
        INVOICES, row["customer_id"], "order_id", row["order_id"]
    ):
        return None
    wait = Wait(kind=WaitKind.INVOICE_OF_ORDER, id=row["order_id"])
    return Broken(rule=Rule.NOT_INVOICED, column="kind", message=f"waits for {wait.in_words}", wait=wait)


def _order_is_disputed(
    _contract: Contract, row: LedgerRow, known: KnownRows, clock_tolerance_ms: int
) -> Broken | None:
    if row["kind"] not in DISPUTE_DECISIONS:
        return None
    decided_at = row["occurred_at"]
    latest_ms = decided_at + may_stand_for_up_to_ms(decided_at) + clock_tolerance_ms
    for invoice in known.standing(INVOICES, row["customer_id"], "order_id", row["order_id"]):
        pauses = known.standing(INVOICE_PAUSES, row["customer_id"], "invoice_id", invoice["invoice_id"])
        if any(pause["reason"] == DISPUTE and pause["started_at"] <= latest_ms for pause in pauses):
            return None
    wait = Wait(kind=WaitKind.DISPUTE, id=row["order_id"])
    return Broken(rule=Rule.NOT_DISPUTED, column="kind", message=f"waits for {wait.in_words}", wait=wait)


_REFUSED = "refused"
_REFUSED_FOR_NOW = "refused, until a correction makes it fit"

RULES: tuple[RuleBetweenRows, ...] = (
    RuleBetweenRows(
        rule=Rule.EVENT_ID_REUSED,
        says="an event_id names one row of the whole ledger; the same content again is `repeated`",
        otherwise=_REFUSED,
    ),
    RuleBetweenRows(
        rule=Rule.CORRECTS_ITSELF,
        says="no row corrects itself, and no rows correct each other in a circle",
        otherwise="refused, all rows of the circle",
        check=_corrects_no_circle,
    ),
    RuleBetweenRows(
        rule=Rule.UNKNOWN_REFERENCE,
        says="the row that a reference names is there",
        otherwise="held until it arrives; in a file refused where it is not among the rows",
        check=_reference_is_known,
    ),
    RuleBetweenRows(
        rule=Rule.REFERENCE_QUARANTINED,
        says="in a file: the row that a reference names is not refused itself",
        otherwise=_REFUSED,
    ),
    RuleBetweenRows(
        rule=Rule.CUSTOMER_DIFFERS,
        says=(
            "an order, invoice or account that a row names belongs to the row's customer, and so do all "
            "states of one account or pause"
        ),
        otherwise=_REFUSED,
        check=_belongs_to_the_same_customer,
    ),
    RuleBetweenRows(
        rule=Rule.INVOICE_DIFFERS,
        contracts=(INVOICE_PAUSES.name,),
        says="all states of one pause are about one invoice; only a correction moves it to another",
        otherwise=_REFUSED,
        check=_is_about_the_same_invoice,
    ),
    RuleBetweenRows(
        rule=Rule.CURRENCY_DIFFERS,
        says="a row has the currency of the order, invoice or account that it names, as that stands",
        otherwise=_REFUSED_FOR_NOW,
        check=_is_in_the_same_currency,
    ),
    RuleBetweenRows(
        rule=Rule.BEFORE_REFERENCE,
        contracts=(
            INVOICES.name,
            INVOICE_ADJUSTMENTS.name,
            INVOICE_CHARGES.name,
            INVOICE_PAUSES.name,
            ORDER_EVENTS.name,
            ORDER_OUTCOMES.name,
        ),
        says=(
            "a row happens, and a pause begins, no earlier than the order or invoice that it names, but for "
            "the tolerance between clocks; a dispute may begin from the order of its invoice on; a whole "
            "quarter of an hour may be the midnight of a date without a time, and lie 38 hours before; "
            "payments may come before their invoice by any time"
        ),
        otherwise=_REFUSED_FOR_NOW,
        check=_happened_after_what_it_names,
    ),
    RuleBetweenRows(
        rule=Rule.KEY_REUSED,
        contracts=(ORDERS.name, INVOICES.name),
        says="a second row with the key of another corrects it",
        otherwise=_REFUSED,
        check=_key_is_new,
    ),
    RuleBetweenRows(
        rule=Rule.CORRECTS_OTHER_KEY,
        says="a correction keeps contract, key and customer of the row that it corrects",
        otherwise="refused; held while the row that it corrects is not there",
        check=_correction_has_its_row,
    ),
    RuleBetweenRows(
        rule=Rule.CORRECTED_TWICE,
        says="a row is corrected once; a further correction names the newest row",
        otherwise=_REFUSED,
    ),
    RuleBetweenRows(
        rule=Rule.CURRENCY_DIFFERS,
        contracts=(ORDERS.name, INVOICES.name),
        says="a correction keeps the currency of the rows that name it",
        otherwise=_REFUSED_FOR_NOW,
        check=_keeps_the_currency_of_what_refers_to_it,
    ),
    RuleBetweenRows(
        rule=Rule.BANK_REFERENCE_REUSED,
        contracts=(INVOICE_PAYMENTS.name, INVOICE_ADJUSTMENTS.name),
        says=(
            "no two standing payments have one bank reference, nor two adjustments; the same transfer with "
            "the same content under another event_id is `repeated` and counts once; a correction may carry "
            "the reference of its row, and a returned debit that of its payment; the parts of one transfer "
            "that pays several invoices are numbered: REF/1, REF/2"
        ),
        otherwise=_REFUSED_FOR_NOW,
        check=_unique_value_is_free,
    ),
    RuleBetweenRows(
        rule=Rule.MERCHANT_ORDER_NUMBER_REUSED,
        contracts=(ORDERS.name,),
        says=(
            "no two standing orders of one merchant have one number of that merchant's; a correction may "
            "carry the number of its row"
        ),
        otherwise=_REFUSED_FOR_NOW,
        check=_unique_value_is_free,
    ),
    RuleBetweenRows(
        rule=Rule.ABOVE_ORDER,
        contracts=(INVOICES.name,),
        says="an invoice alone does not come to more than its order ever did",
        otherwise=_REFUSED_FOR_NOW,
        check=_is_within_the_order,
    ),
    RuleBetweenRows(
        rule=Rule.ORDER_BELOW_INVOICED,
        contracts=(ORDERS.name,),
        says="an order is not corrected below what its invoices come to, credit notes taken off",
        otherwise=_REFUSED_FOR_NOW,
        check=_order_is_not_corrected_below_its_invoices,
    ),
    RuleBetweenRows(
        rule=Rule.CREDITED_ABOVE_INVOICE,
        contracts=(INVOICE_ADJUSTMENTS.name,),
        says="the credit notes of an invoice do not come to more than the invoice",
        otherwise=_REFUSED_FOR_NOW,
        check=_credit_notes_are_within_the_invoice,
    ),
    RuleBetweenRows(
        rule=Rule.INVOICE_BELOW_CREDITED,
        contracts=(INVOICES.name,),
        says="an invoice is not corrected below its credit notes",
        otherwise=_REFUSED_FOR_NOW,
        check=_invoice_is_not_corrected_below_its_credit_notes,
    ),
    RuleBetweenRows(
        rule=Rule.SUM_ABOVE_ORDER,
        contracts=(INVOICES.name, INVOICE_ADJUSTMENTS.name),
        says=(
            "the invoices of an order, credit notes taken off, do not come to more than the order; a "
            "correction of a credit note does not take back the room that a later invoice has used"
        ),
        otherwise="held until a credit note or a correction makes room",
        check=_sum_is_within_the_order,
    ),
    RuleBetweenRows(
        rule=Rule.REFUNDED_ABOVE_PAID,
        contracts=(INVOICE_ADJUSTMENTS.name,),
        says=(
            "the returned debits of an invoice do not come to more than its payments, nor do its other "
            "refunds; a payment that is corrected below a refund is taken all the same, because the money is "
            "gone"
        ),
        otherwise="held until a payment arrives",
        check=_refunds_are_within_the_payments,
    ),
    RuleBetweenRows(
        rule=Rule.NOT_INVOICED,
        contracts=(ORDER_OUTCOMES.name,),
        says="a dispute is decided about an order that has an invoice",
        otherwise="held until one arrives",
        check=_order_is_invoiced,
    ),
    RuleBetweenRows(
        rule=Rule.NOT_DISPUTED,
        contracts=(ORDER_OUTCOMES.name,),
        says=(
            "a dispute is decided about an order of which an invoice was paused for a dispute by then, but "
            "for the tolerance between clocks and a date without a time"
        ),
        otherwise="held until one arrives",
        check=_order_is_disputed,
    ),
    RuleBetweenRows(
        rule=Rule.UNDECIDABLE,
        contracts=tuple(contract.name for contract in CONTRACTS.values() if contract.has_states),
        says=(
            "in a file: no two rows of one thing have the same two instants and other content, and no two "
            "events of one order send it to different places"
        ),
        otherwise="refused, each of them: nobody can tell which stands",
    ),
    RuleBetweenRows(
        rule=Rule.RECORDED_IN_FUTURE,
        says="in a file: no row was recorded after the moment of the check",
        otherwise=_REFUSED,
    ),
)
"""The table of the rules between rows, in the order in which a row that arrives is judged by them."""

_ON_OTHERS = frozenset(
    {
        Rule.CURRENCY_DIFFERS,
        Rule.BEFORE_REFERENCE,
        Rule.BANK_REFERENCE_REUSED,
        Rule.ABOVE_ORDER,
        Rule.ORDER_BELOW_INVOICED,
        Rule.CREDITED_ABOVE_INVOICE,
        Rule.INVOICE_BELOW_CREDITED,
        Rule.SUM_ABOVE_ORDER,
        Rule.REFUNDED_ABOVE_PAID,
        Rule.NOT_INVOICED,
        Rule.NOT_DISPUTED,
    }
)
"""What a row breaks of these, rows that come after it can mend."""


def _checks(contract: Contract, among: Collection[Rule]) -> tuple[_Check, ...]:
    return tuple(
        line.check
        for line in RULES
        if line.check is not None
        and line.rule in among
        and (not line.contracts or contract.name in line.contracts)
    )


_CHECKS = {contract.name: _checks(contract, frozenset(Rule)) for contract in CONTRACTS.values()}
_CHECKS_ON_OTHERS = {contract.name: _checks(contract, _ON_OTHERS) for contract in CONTRACTS.values()}
_CHECKS_ON_ITSELF = {
    contract.name: _checks(contract, frozenset(Rule) - _ON_OTHERS) for contract in CONTRACTS.values()
}


def rules_markdown() -> str:
    """The table as Markdown, for people who send ledger rows."""
    lines = [
        "| rule | rows of | what must hold | otherwise |",
        "|---|---|---|---|",
    ]
    for line in RULES:
        contracts = ", ".join(f"`{name}`" for name in line.contracts) or "every contract"
        lines.append(f"| `{line.rule.value}` | {contracts} | {line.says} | {line.otherwise} |")
    return "\n".join(lines)
