"""A checkout decision: what goes in, what comes out, and `decide()` between them.

`decide` is total and pure and fails closed: the same inputs give the same decision, a knock-out rule
needs no model, and without model or history the answer is `unavailable`, never an approval.

Those of which every decision makes some are Structs: a frozen dataclass takes six times as long to be made.
"""

import enum
from collections.abc import Sequence
from datetime import date, datetime
from typing import NamedTuple

import msgspec


class Outcome(enum.Enum):
    """The closed list of answers at checkout."""

    APPROVED = "approved"
    DECLINED = "declined"
    UNAVAILABLE = "unavailable"


class LimitBasis(enum.Enum):
    """The closed list of what a credit limit rests on: of all that bounds it, what was tightest."""

    FIRST_ORDERS = "first_orders"
    """What the score grants to whoever has not repaid enough for more."""
    SCORE_AND_HISTORY = "score_and_history"
    """The amount of the score band for a customer who is known or established."""
    LARGEST_INVOICE_PAID = "largest_invoice_paid"
    SUM_REPAID = "sum_repaid"


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """A postal address as checkout sent it; None where it was left out."""

    name: str
    street: str
    house_number: str | None
    postal_code: str
    city: str
    country: str


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What checkout asked about."""

    order_id: str
    customer_id: str
    merchant_id: str
    amount_cents: int
    currency: str
    delivery: Address
    billing: Address
    contact_email: str
    contact_phone: str | None


class Applicant(msgspec.Struct, frozen=True, kw_only=True):
    """The customer's account as the ledger knows it at the moment of decision."""

    birth_date: date
    residence_country: str | None
    identity_status: str
    identity_document_expires_on: date | None
    email_confirmed: bool
    phone_confirmed: bool
    personal_data_confirmed_at: datetime | None


class OverdueInvoice(msgspec.Struct, frozen=True, kw_only=True):
    """An invoice past its due date.

    days_past_due: paused days left out. currency: None in the records of decisions that did not keep it.
    """

    invoice_id: str
    outstanding_cents: int
    days_past_due: int
    paused: bool
    currency: str | None = None


class RepaidInvoice(NamedTuple):
    """An invoice that was paid in full, with money and not only with credit notes.

    A tuple, because every decision makes one for each invoice and keeps it.

    repaid_cents: the money that stayed with us, so at most the invoice after its credit notes.
    days_since_paid: whole days since it was paid in full. on_time: whether that was in time.
    currency: None in the records of decisions that did not keep it.
    """

    repaid_cents: int
    days_since_paid: int
    on_time: bool
    currency: str | None = None


class AccountStanding(msgspec.Struct, frozen=True, kw_only=True):
    """What the customer owes us now, and what they paid. Amounts in minor units.

    What is owed counts in full whatever its currency: amounts are not converted, and only restrict.

    reserved_cents: other orders that were approved and are not yet invoiced.
    paid_invoice_count: invoices paid in full, each once, however small and however fresh.
    repaid_invoices: what a limit grows with; empty in the records of decisions that did not keep them.
    """

    outstanding_cents: int
    reserved_cents: int
    overdue_invoices: tuple[OverdueInvoice, ...]
    paid_invoice_count: int
    repaid_invoices: tuple[RepaidInvoice, ...] = ()

    @property
    def exposure_cents(self) -> int:
        """Open invoices and reservations together."""
        return self.outstanding_cents + self.reserved_cents


class FeatureContribution(msgspec.Struct, frozen=True, kw_only=True):
    """What one feature added to the log-odds of not being paid, against the average decision."""

    feature: str
    reason_code: str
    group: str
    value: float
    contribution: float


class CreditAssessment(msgspec.Struct, frozen=True, kw_only=True):
    """What the model says. contributions may be empty where nobody will read them."""

    probability_of_default: float
    score: int
    contributions: tuple[FeatureContribution, ...] = ()


class TechnicalFailure(msgspec.Struct, frozen=True, kw_only=True):
    """Why an assessment or a standing is not there; never anything about the person."""

    code: str
    detail: str


class RuleFailure(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that was not met.

    field: JSON pointer into the request ("/delivery/house_number") or name of the account's field.
    data: what the text and the recourse need, such as amounts and ids.
    """

    code: str
    group: str
    field: str | None
    data: tuple[tuple[str, str | int], ...] = ()


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """One main reason, to be worded for the customer."""

    code: str
    group: str
    field: str | None = None
    data: tuple[tuple[str, str | int], ...] = ()


class Recourse(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that the customer can do; together they are `sufficient` when they change the answer."""

    code: str
    field: str | None = None
    data: tuple[tuple[str, str | int], ...] = ()
    sufficient: bool = False


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to one order.

    limit_cents, available_cents: None when no limit was computed. available_cents is what is left of
        the limit before this order.
    limit_basis: None when no limit was computed, and under a policy whose limits do not grow with what was
        repaid.
    failed_rules: every rule that failed; reasons: at most four, the most decisive first.
    degraded: the answer was given without everything that normally takes part in it.
    """

    outcome: Outcome
    score: int | None
    probability_of_default: float | None
    limit_cents: int | None
    available_cents: int | None
    limit_basis: LimitBasis | None
    reasons: tuple[Reason, ...]
    failed_rules: tuple[RuleFailure, ...]
    alternatives: tuple[str, ...]
    recourse: tuple[Recourse, ...]
    policy_version: str
    degraded: bool


def most_decisive(failures: Sequence[RuleFailure], limit: int = 4) -> tuple[Reason, ...]:
    """The main reasons among failed rules, in the order of the rules."""
    return tuple(
        Reason(code=failure.code, group=failure.group, field=failure.field, data=failure.data)
        for failure in failures[:limit]
    )
