"""Facts that are one row of the ledger: a registration, a reminder, an inquiry.

Each is known as long as its row stands. A new column is a field of the fact and a line in the function below
it; an inquiry has one for one row and one for many, because a purpose is a word there and a code here.
"""

from collections.abc import Iterable
from typing import Generic, NamedTuple

import numpy as np

from data_contracts.credit_inquiries import CREDIT_INQUIRIES
from data_contracts.customers import CUSTOMERS
from data_contracts.invoice_charges import INVOICE_CHARGES
from features.fact_tables import FactTable, Whole, fact_table
from features.instants import NEVER, Int64Array
from features.ledger_columns import ColumnsRead, RowsRead, code_of
from features.supersession import LedgerRow

CREDIT_SEEKING_PURPOSES = ("credit_card", "instalment", "loan")
"""Purposes of an inquiry by which somebody asks for credit."""

SINGLE_ROW_COLUMNS = (
    ColumnsRead(CUSTOMERS, ("registered_at",)),
    ColumnsRead(INVOICE_CHARGES, ("occurred_at", "kind")),
    ColumnsRead(CREDIT_INQUIRIES, ("occurred_at", "purpose")),
)
"""What the facts of this file are made of."""


class RegistrationFact(NamedTuple, Generic[Whole]):
    """The columns of `FactKind.REGISTRATION`: a customer's account with the provider.

    one: 1, by which an age runs. minus_registered_at: in ms, negative.
    """

    seen_from: Whole
    seen_until: Whole
    one: Whole
    minus_registered_at: Whole


def registration_fact(
    seen_from: Whole, seen_until: Whole, *, registered_at: Whole
) -> RegistrationFact[Whole]:
    """A registration, or many as arrays."""
    return RegistrationFact(
        seen_from=seen_from,
        seen_until=seen_until,
        one=registered_at * 0 + 1,
        minus_registered_at=-registered_at,
    )


def known_registrations(rows: Iterable[LedgerRow]) -> list[RegistrationFact[int]]:
    """The facts of customer rows that all stand."""
    return [registration_fact(0, NEVER, registered_at=row["registered_at"]) for row in rows]


def registration_table(rows: RowsRead) -> FactTable:
    """The facts of many customers."""
    customers = rows[CUSTOMERS.name]
    facts = registration_fact(
        customers["seen_from"], customers["seen_until"], registered_at=customers["registered_at"]
    )
    return fact_table(customers.entity, facts)


class ReminderFact(NamedTuple, Generic[Whole]):
    """The columns of `FactKind.REMINDER`: an invoice charge that reminds of the invoice."""

    seen_from: Whole
    seen_until: Whole
    occurred_at: Whole


def reminder_fact(seen_from: Whole, seen_until: Whole, *, occurred_at: Whole) -> ReminderFact[Whole]:
    """A reminder, or many as arrays."""
    return ReminderFact(seen_from=seen_from, seen_until=seen_until, occurred_at=occurred_at)


def known_reminders(rows: Iterable[LedgerRow]) -> list[ReminderFact[int]]:
    """The facts of invoice charges that all stand; a charge of another kind is none."""
    return [
        reminder_fact(0, NEVER, occurred_at=row["occurred_at"]) for row in rows if row["kind"] == "reminder"
    ]


def reminder_table(rows: RowsRead) -> FactTable:
    """The facts of the charges of many customers."""
    charges = rows[INVOICE_CHARGES.name]
    reminders = charges.where(charges["kind"] == code_of(INVOICE_CHARGES, "kind", "reminder"))
    facts = reminder_fact(
        reminders["seen_from"], reminders["seen_until"], occurred_at=reminders["occurred_at"]
    )
    return fact_table(reminders.entity, facts)


class InquiryFact(NamedTuple, Generic[Whole]):
    """The columns of `FactKind.INQUIRY`. seeks_credit: 1 for CREDIT_SEEKING_PURPOSES, else 0."""

    seen_from: Whole
    seen_until: Whole
    occurred_at: Whole
    seeks_credit: Whole


def inquiry_fact(seen_from: int, seen_until: int, *, occurred_at: int, purpose: str) -> tuple[int, ...]:
    """An inquiry, in the order of the fields of `InquiryFact`. purpose: as the contract names it."""
    return seen_from, seen_until, occurred_at, 1 if purpose in CREDIT_SEEKING_PURPOSES else 0


def inquiry_facts(
    seen_from: Int64Array, seen_until: Int64Array, *, occurred_at: Int64Array, purpose: Int64Array
) -> InquiryFact[Int64Array]:
    """`inquiry_fact` of many inquiries. purpose: codes of the column. All of shape (n_inquiries,)."""
    seeking = [code_of(CREDIT_INQUIRIES, "purpose", name) for name in CREDIT_SEEKING_PURPOSES]
    return InquiryFact(
        seen_from=seen_from,
        seen_until=seen_until,
        occurred_at=occurred_at,
        seeks_credit=np.isin(purpose, seeking).astype(np.int64),
    )


def known_inquiries(rows: Iterable[LedgerRow]) -> list[tuple[int, ...]]:
    """The facts of inquiries that all stand."""
    return [inquiry_fact(0, NEVER, occurred_at=row["occurred_at"], purpose=row["purpose"]) for row in rows]


def inquiry_table(rows: RowsRead) -> FactTable:
    """The facts of the inquiries about many customers."""
    inquiries = rows[CREDIT_INQUIRIES.name]
    facts = inquiry_facts(
        inquiries["seen_from"],
        inquiries["seen_until"],
        occurred_at=inquiries["occurred_at"],
        purpose=inquiries["purpose"],
    )
    return fact_table(inquiries.entity, facts)
