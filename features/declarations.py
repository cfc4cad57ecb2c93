"""How a feature is declared: one quotient of sums over the intervals that cover the moment of decision.

A *fact* is something known about a customer during an interval of knowledge: an invoice and its
state, a statement, an inquiry. It is a row of integers: `seen_from`, `seen_until` and the fact's
own columns. A *measure* adds up one column over the facts that count at `as_of`; a *feature* is a
quotient of two measures. Everything up to the quotient is exact integer arithmetic, so that a
million decisions offline and one decision online come to the same bits.
"""

import enum
from collections.abc import Iterator
from dataclasses import dataclass

from data_contracts.instants import DAY_MS, HOUR_MS
from features.account_facts import AccountFact, PortfolioFact
from features.entities import EntityKind
from features.invoice_facts import InvoiceFact
from features.order_facts import FindingFact, OrderChangeFact, OrderFact, ThisOrderFact
from features.single_row_facts import InquiryFact, RegistrationFact, ReminderFact
from features.statement_facts import StatementFact


class FeatureGroup(enum.Enum):
    """The criteria that a score may rest on."""

    PAYMENT_HISTORY = "payment_history"
    CREDIT_INQUIRIES = "credit_inquiries"
    BALANCES = "balances"
    ACCOUNT_AGE = "account_age"
    ORDER_CONTEXT = "order_context"
    ORDER_HISTORY = "order_history"
    VELOCITY = "velocity"
    CONFIRMED_FRAUD = "confirmed_fraud"
    AFTER_APPROVAL = "after_approval"


class Purpose(enum.Enum):
    """What a feature was declared for: credit and fraud are two systems."""

    CREDIT = "credit"
    FRAUD = "fraud"


class Direction(enum.Enum):
    """The direction that a model must never contradict."""

    HIGHER_IS_WORSE = "higher_is_worse"
    HIGHER_IS_BETTER = "higher_is_better"
    NONE = "none"
    """No direction; such a feature must not change when a history gets worse (see `reason_code`)."""


class FactKind(enum.Enum):
    """The kinds of fact that are derived from the ledger."""

    INVOICE = "invoice"
    REMINDER = "reminder"
    INQUIRY = "inquiry"
    STATEMENT = "statement"
    ACCOUNT = "account"
    PORTFOLIO = "portfolio"
    REGISTRATION = "registration"
    THIS_ORDER = "this_order"
    ORDER_CHANGE = "order_change"
    ORDER_OF_CUSTOMER = "order_of_customer"
    ORDER_ON_DEVICE = "order_on_device"
    ORDER_TO_ADDRESS = "order_to_address"
    ORDER_FROM_MAILBOX = "order_from_mailbox"
    ORDER_WITH_PHONE = "order_with_phone"
    ORDER_FROM_EMAIL_DOMAIN = "order_from_email_domain"
    ORDER_FROM_IP_PREFIX = "order_from_ip_prefix"
    ORDER_AT_MERCHANT = "order_at_merchant"
    ORDER_OF_CUSTOMER_ON_DEVICE = "order_of_customer_on_device"
    ORDER_OF_CUSTOMER_TO_ADDRESS = "order_of_customer_to_address"
    FRAUD_OF_CUSTOMER = "fraud_of_customer"
    FRAUD_ON_DEVICE = "fraud_on_device"
    FRAUD_TO_ADDRESS = "fraud_to_address"
    FRAUD_FROM_MAILBOX = "fraud_from_mailbox"
    FRAUD_WITH_PHONE = "fraud_with_phone"
    FRAUD_FROM_EMAIL_DOMAIN = "fraud_from_email_domain"
    FRAUD_FROM_IP_PREFIX = "fraud_from_ip_prefix"
    FRAUD_AT_MERCHANT = "fraud_at_merchant"


ORDER_FACT_OF: dict[EntityKind, FactKind] = {
    EntityKind.CUSTOMER: FactKind.ORDER_OF_CUSTOMER,
    EntityKind.DEVICE: FactKind.ORDER_ON_DEVICE,
    EntityKind.DELIVERY_ADDRESS: FactKind.ORDER_TO_ADDRESS,
    EntityKind.MAILBOX: FactKind.ORDER_FROM_MAILBOX,
    EntityKind.PHONE: FactKind.ORDER_WITH_PHONE,
    EntityKind.EMAIL_DOMAIN: FactKind.ORDER_FROM_EMAIL_DOMAIN,
    EntityKind.IP_PREFIX: FactKind.ORDER_FROM_IP_PREFIX,
    EntityKind.MERCHANT: FactKind.ORDER_AT_MERCHANT,
    EntityKind.CUSTOMER_DEVICE: FactKind.ORDER_OF_CUSTOMER_ON_DEVICE,
    EntityKind.CUSTOMER_ADDRESS: FactKind.ORDER_OF_CUSTOMER_TO_ADDRESS,
}
"""The kind of fact that an order is for each entity that it shares with other orders."""

FRAUD_FACT_OF: dict[EntityKind, FactKind] = {
    EntityKind.CUSTOMER: FactKind.FRAUD_OF_CUSTOMER,
    EntityKind.DEVICE: FactKind.FRAUD_ON_DEVICE,
    EntityKind.DELIVERY_ADDRESS: FactKind.FRAUD_TO_ADDRESS,
    EntityKind.MAILBOX: FactKind.FRAUD_FROM_MAILBOX,
    EntityKind.PHONE: FactKind.FRAUD_WITH_PHONE,
    EntityKind.EMAIL_DOMAIN: FactKind.FRAUD_FROM_EMAIL_DOMAIN,
    EntityKind.IP_PREFIX: FactKind.FRAUD_FROM_IP_PREFIX,
    EntityKind.MERCHANT: FactKind.FRAUD_AT_MERCHANT,
}
"""The kind of fact that a finding of fraud about an order is for each entity of that order."""

FACT_COLUMNS: dict[FactKind, tuple[str, ...]] = {
    FactKind.INVOICE: InvoiceFact._fields,
    FactKind.REMINDER: ReminderFact._fields,
    FactKind.INQUIRY: InquiryFact._fields,
    FactKind.STATEMENT: StatementFact._fields,
    FactKind.ACCOUNT: AccountFact._fields,
    FactKind.PORTFOLIO: PortfolioFact._fields,
    FactKind.REGISTRATION: RegistrationFact._fields,
    FactKind.THIS_ORDER: ThisOrderFact._fields,
    FactKind.ORDER_CHANGE: OrderChangeFact._fields,
    **dict.fromkeys(ORDER_FACT_OF.values(), OrderFact._fields),
    **dict.fromkeys(FRAUD_FACT_OF.values(), FindingFact._fields),
}
"""The integer columns of each kind of fact; instants are milliseconds since 1970 UTC."""

FACT_ENTITY: dict[FactKind, EntityKind] = {
    **dict.fromkeys(FactKind, EntityKind.CUSTOMER),
    FactKind.THIS_ORDER: EntityKind.ORDER,
    FactKind.ORDER_CHANGE: EntityKind.ORDER,
    **{kind: entity for entity, kind in ORDER_FACT_OF.items()},
    **{kind: entity for entity, kind in FRAUD_FACT_OF.items()},
}
"""The entity that each kind of fact is about."""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A sum over the facts that count at `as_of`.

    A fact counts when it is known (`seen_from < as_of <= seen_until`) and, where given,
    `enters + enters_after_ms < as_of <= leaves + leaves_after_ms` and `above_column > above`.
    It adds `value` (1 when None) plus, when `runs` names a column, that column times `as_of`
    in milliseconds: so a duration that is still running is minus its start, plus `as_of`.
    """

    fact: FactKind
    value: str | None = None
    runs: str | None = None
    enters: str | None = None
    enters_after_ms: int = 0
    leaves: str | None = None
    leaves_after_ms: int = 0
    above_column: str | None = None
    above: int = 0

    def __post_init__(self) -> None:
        columns = FACT_COLUMNS[self.fact]
        for name in (self.value, self.runs, self.enters, self.leaves, self.above_column):
            if name is not None and name not in columns:
                raise ValueError(f"a fact of kind {self.fact.value} has no column {name}")


@dataclass(frozen=True, kw_only=True)
class Feature:
    """One declared feature: (numerator + numerator_plus) / ((denominator + denominator_plus) * scale).

    unit: of the quotient, e.g. "count", "cents", "days", "ratio".
    when_empty: the value when the denominator is 0, that is when there is nothing to speak of.
    missing_means: what the feature is for a customer without such history, in words.
    direction: what a model must keep; a directed feature is never missing.
    reason_code: the reason that this feature speaks for when it counts against a customer.
    """

    name: str
    description: str
    group: FeatureGroup
    unit: str
    purpose: Purpose = Purpose.CREDIT
    direction: Direction
    reason_code: str
    missing_means: str
    numerator: Measure
    numerator_plus: int = 0
    denominator: Measure | None = None
    denominator_plus: int = 0
    scale: int = 1
    when_empty: float = 0.0

    def __post_init__(self) -> None:
        if self.denominator is None and self.denominator_plus == 0:
            object.__setattr__(self, "denominator_plus", 1)

    def measures(self) -> Iterator[Measure]:
        """The one or two measures that the feature needs."""
        yield self.numerator
        if self.denominator is not None:
            yield self.denominator


def in_window(
    fact: FactKind,
    anchor: str,
    window_days: int,
    *,
    window_hours: int = 0,
    value: str | None = None,
    runs: str | None = None,
) -> Measure:
    """The sum over the facts whose `anchor` lies in [as_of - window, as_of)."""
    return Measure(
        fact=fact,
        value=value,
        runs=runs,
        enters=anchor,
        leaves=anchor,
        leaves_after_ms=window_days * DAY_MS + window_hours * HOUR_MS,
    )


PROTECTED_SOURCES = frozenset(
    {
        "birth_date",
        "sex",
        "nationality",
        "religion",
        "health",
        "given_name",
        "family_name",
        "residence_postal_code",
        "residence_city",
        "residence_street",
        "delivery_postal_code",
        "billing_postal_code",
        "age_years",
        "education",
        "marriage",
        "identity_document_hmac",
    }
)
"""Protected attributes and plain proxies: no credit feature may be named after or read one of them."""
