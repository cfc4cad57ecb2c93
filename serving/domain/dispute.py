"""A dispute: a customer does not agree to an order's invoice, and somebody has to say who is right.

What is known of one dispute; `dispute_steps.py` says which steps it takes. All instants are milliseconds
since 1970-01-01 UTC, and amounts minor units. A deadline has passed at its very instant. Deadlines are
counted elsewhere: a dispute keeps the instants, which are never counted anew.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from data_contracts.instants import MINUTE_MS
from serving.domain.dispute_answer import DisputeAnswer

MAXIMUM_TEXT_CHARACTERS = 4_000


class DisputeReason(enum.Enum):
    """The closed list of why a customer disputes an order. `other` needs a text."""

    NOT_RECEIVED = "not_received"
    RETURN_NOT_BOOKED = "return_not_booked"
    DAMAGED_OR_WRONG = "damaged_or_wrong"
    NOT_AS_DESCRIBED = "not_as_described"
    AMOUNT_WRONG = "amount_wrong"
    PAID_ALREADY = "paid_already"
    CANCELLED_BEFORE_SHIPPING = "cancelled_before_shipping"
    NOT_MY_ORDER = "not_my_order"
    """Somebody else ordered in the customer's name: the fraud team's, and nothing that a merchant is told."""
    OTHER = "other"


class DisputeState(enum.Enum):
    """The closed list of states."""

    OPENED = "opened"
    ANSWERED = "answered"
    AWAITING_CUSTOMER = "awaiting_customer"
    AWAITING_MERCHANT = "awaiting_merchant"
    WITH_FRAUD_TEAM = "with_fraud_team"
    DECIDING = "deciding"
    CLOSED = "closed"
    COMPLAINT = "complaint"
    REFERRED = "referred"


class DisputeOutcome(enum.Enum):
    """How a dispute ended."""

    FOR_CUSTOMER = "for_customer"
    FOR_MERCHANT = "for_merchant"
    SETTLED_BY_MERCHANT = "settled_by_merchant"
    WITHDRAWN = "withdrawn"


class OutcomeGround(enum.Enum):
    """On what an outcome rests."""

    NO_ANSWER = "no_answer"
    GAVE_IN = "gave_in"
    WITHDRAWN = "withdrawn"
    FRAUD = "fraud"
    DECIDED = "decided"
    SECOND_LOOK = "second_look"
    COMMITTEE = "committee"


class Party(enum.Enum):
    """Who does something, or is waited for."""

    CUSTOMER = "customer"
    MERCHANT = "merchant"
    SERVICE = "service"
    FRAUD_TEAM = "fraud_team"
    COMMITTEE = "committee"


class DisputeAction(enum.Enum):
    """The closed list of what the history of a dispute can tell."""

    OPENED = "opened"
    ANSWERED = "answered"
    STATED = "stated"
    GAVE_IN = "gave_in"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    CLAIMED = "claimed"
    GIVEN_BACK = "given_back"
    CUSTOMER_ASKED = "customer_asked"
    MERCHANT_ASKED = "merchant_asked"
    DECIDED = "decided"
    CASE_CONCLUDED = "case_concluded"
    COMPLAINED = "complained"
    COMPLAINT_DECIDED = "complaint_decided"
    REFERRED = "referred_to_committee"
    COMMITTEE_RESULT = "committee_result"
    OVERDUE = "overdue"
    FILE_ADDED = "file_added"
    INVOICES_PAUSED = "invoices_paused"


WAITS_FOR: Mapping[DisputeState, Party | None] = {
    DisputeState.OPENED: Party.MERCHANT,
    DisputeState.ANSWERED: Party.MERCHANT,
    DisputeState.AWAITING_CUSTOMER: Party.CUSTOMER,
    DisputeState.AWAITING_MERCHANT: Party.MERCHANT,
    DisputeState.WITH_FRAUD_TEAM: Party.FRAUD_TEAM,
    DisputeState.DECIDING: Party.SERVICE,
    DisputeState.CLOSED: None,
    DisputeState.COMPLAINT: Party.SERVICE,
    DisputeState.REFERRED: Party.COMMITTEE,
}
EXPIRING = frozenset(
    {
        DisputeState.OPENED,
        DisputeState.ANSWERED,
        DisputeState.AWAITING_CUSTOMER,
        DisputeState.AWAITING_MERCHANT,
    }
)
"""Where something follows from a deadline by itself."""
WORK_ITEMS = frozenset({DisputeState.DECIDING, DisputeState.COMPLAINT, DisputeState.REFERRED})
"""What the role `service` works on."""


@dataclass(frozen=True, kw_only=True)
class Statement:
    """What the customer said after the opening."""

    text: str
    stated_at_ms: int


@dataclass(frozen=True, kw_only=True)
class DisputeQuestion:
    """What the service desk asked one of the two."""

    to: Party
    text: str
    asked_by: str
    asked_at_ms: int


@dataclass(frozen=True, kw_only=True)
class Complaint:
    """A complaint about the outcome. committee, referred_at_ms: None unless it went to a committee."""

    text: str
    made_at_ms: int
    due_at_ms: int
    outcome_before: DisputeOutcome
    committee: str | None = None
    referred_at_ms: int | None = None


@dataclass(frozen=True, kw_only=True)
class Dispute:
    """One dispute about one order.

    disputed_cents: None for the whole order, whatever is invoiced of it.
    police_report: the reference of a report to the police, None without one.
    policy_version: of the policy that set its first deadline.
    due_at_ms: until when the one it waits for has time; None where no time is set, as with the fraud team.
    merchant_due_at_ms: the merchant's window as set at the opening; None where the merchant is not asked.
    is_shown_to_merchant: not before the fraud team has found that the order is no misuse.
    outcome, ground, decided_by, decision_text: None until there is one; what a complaint is about stays.
    award_cents: what the customer is to have of the order; None for all that is disputed, 0 where nothing.
    credited_cents, refunded_cents: what the ledger took off and paid back in the end.
    pause_round: how often its invoices were paused: once more with a complaint.
    """

    dispute_id: str
    order_id: str
    customer_id: str
    merchant_id: str
    merchant_order_number: str | None
    currency: str
    reason: DisputeReason
    text: str | None
    disputed_cents: int | None
    police_report: str | None
    state: DisputeState
    opened_at_ms: int
    opened_by: str
    policy_version: str
    merchant_due_at_ms: int | None
    due_at_ms: int | None
    is_shown_to_merchant: bool
    answers: tuple[DisputeAnswer, ...] = ()
    statements: tuple[Statement, ...] = ()
    questions: tuple[DisputeQuestion, ...] = ()
    claimed_by: str | None = None
    claimed_at_ms: int | None = None
    outcome: DisputeOutcome | None = None
    ground: OutcomeGround | None = None
    award_cents: int | None = None
    decision_text: str | None = None
    decided_by: str | None = None
    closed_at_ms: int | None = None
    complaint: Complaint | None = None
    credited_cents: int = 0
    refunded_cents: int = 0
    pause_round: int = 1
    overdue_raised_at_ms: int | None = None
    version: int = 1

    @property
    def is_closed(self) -> bool:
        """Whether nothing is open, a complaint neither."""
        return self.state is DisputeState.CLOSED

    @property
    def order_name(self) -> str:
        """The order as its merchant knows it."""
        return self.merchant_order_number or self.order_id

    def has_passed(self, at_ms: int) -> bool:
        """Whether the time of the one that it waits for is over."""
        return self.due_at_ms is not None and at_ms >= self.due_at_ms

    def is_held_by_another(self, by: str, at_ms: int, claim_minutes: int) -> bool:
        """Whether somebody else holds it, and has done something with it within the claim's time."""
        is_fresh = self.claimed_at_ms is not None and at_ms < self.claimed_at_ms + claim_minutes * MINUTE_MS
        return self.claimed_by is not None and self.claimed_by != by and is_fresh
