"""What a row waits for, or what may make a refused one fit; and the rule that it breaks meanwhile."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from data_contracts.contract import Contract
from data_contracts.orders import ORDERS
from data_contracts.rules import Rule


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
    """Room on an order: a credit note of one of its invoices, or what else makes room."""
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


FREED_VALUES = frozenset({WaitKind.BANK_REFERENCE, WaitKind.MERCHANT_ORDER_NUMBER})
"""What a refused row rests on that lacks a value which another row has."""


def freed_value(contract: Contract, value: str) -> Wait:
    """What waits for a bank's reference, or a merchant's number, that no other row has any more."""
    if contract is ORDERS:
        return Wait(kind=WaitKind.MERCHANT_ORDER_NUMBER, id=value)
    return Wait(kind=WaitKind.BANK_REFERENCE, id=f"{contract.name} {value}")


def held_for(column: str, wait: Wait) -> Broken:
    """The rule that a row breaks as long as the row that it names in a column is not there."""
    message = f"waits for {wait.in_words}"
    return Broken(rule=Rule.UNKNOWN_REFERENCE, column=column, message=message, wait=wait)
