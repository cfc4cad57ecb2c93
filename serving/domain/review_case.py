"""A review case: a person looks at one order, and either releases it or has it stopped.

    open -> claimed                 claim
    claimed -> claimed              renew_claim
    claimed -> contacting_customer  start_contact
    contacting_customer -> claimed  record_contact
    contacting_customer -> open     expire_contact
    claimed -> open                 expire_claim
    claimed, contacting -> open     give_back
    claimed, contacting -> closed   decide
    closed -> claimed               undo_stop, while the stop is held
    closed -> closed                withdraw_stop, by the roles that the policy names
    closed -> open                  reopen, reopen_linked

Every step raises `version` by one, so a store can refuse a step on a case that has moved meanwhile.
That an order has one case only is the store's to keep. All instants are milliseconds since 1970-01-01
UTC; a deadline has passed at its very instant. No sentence here says anything about a person.
"""

import enum
from dataclasses import dataclass, replace

from data_contracts.instants import HOUR_MS, MINUTE_MS, SECOND_MS
from data_contracts.text_form import is_blank
from serving.domain.errors import RiskError
from serving.domain.review_policy import ReviewPolicy

LINKED_ORDER_CONFIRMED = "An order that is linked to this one was confirmed as a fraud."


class CaseState(enum.Enum):
    """The closed list of states of a review case."""

    OPEN = "open"
    CLAIMED = "claimed"
    CONTACTING_CUSTOMER = "contacting_customer"
    CLOSED = "closed"


class Verdict(enum.Enum):
    """The closed list of what a reviewer can decide."""

    RELEASED = "released"
    STOP = "stop"


class CaseOrigin(enum.Enum):
    """Why an order came to be reviewed.

    SAMPLED: drawn at random among the orders that were not flagged. REVIEW_REQUESTED: the customer
    asked for a person to look at a refusal; `stop` then leaves it refused, and no merchant is asked.
    """

    FLAGGED = "flagged"
    SAMPLED = "sampled"
    REVIEW_REQUESTED = "review_requested"


class ContactOutcome(enum.Enum):
    """What came of contacting the customer: they know the order, they do not, or nobody answered."""

    CONFIRMED = "confirmed"
    DENIED = "denied"
    UNREACHABLE = "unreachable"


class Action(enum.Enum):
    """The closed list of what the history of a case can tell."""

    OPENED = "opened"
    CLAIMED = "claimed"
    GIVEN_BACK = "given_back"
    CLAIM_EXPIRED = "claim_expired"
    NOTE_ADDED = "note_added"
    CONTACT_STARTED = "contact_started"
    CONTACT_RECORDED = "contact_recorded"
    CONTACT_EXPIRED = "contact_expired"
    RELEASED = "released"
    STOP_DECIDED = "stop_decided"
    STOP_UNDONE = "stop_undone"
    STOP_WITHDRAWN = "stop_withdrawn"
    REOPENED = "reopened"


class CaseHeldByAnother(RiskError):
    """Another reviewer holds the case, or gave the verdict that is to be undone."""


class CaseClosed(RiskError):
    """The case has its verdict and takes no such step."""


class CaseNotClosed(RiskError):
    """Only a closed case can be re-opened."""


class CaseNotHeld(RiskError):
    """Nobody holds the case, so nobody can work on it."""


class NoContactUnderWay(RiskError):
    """An outcome came while the customer was not being contacted."""


class ContactAlreadyUnderWay(RiskError):
    """The customer is being contacted already."""


class NoStopToTakeBack(RiskError):
    """The case has no verdict `stop` that could be undone or withdrawn."""


class StopStillHeld(RiskError):
    """A stop that is still held is undone or withdrawn; re-opening its case would do neither."""


class UndoTooLate(RiskError):
    """The stop has taken effect and can no longer be undone."""


class WithdrawalNotAllowed(RiskError):
    """The policy does not let this role withdraw a stop."""


class ReasonMissing(RiskError):
    """A case is re-opened with a reason only."""


@dataclass(frozen=True, kw_only=True)
class ReviewCase:
    """The review of one order.

    reviewer: who holds the case, or who gave the verdict; None while it is open.
    verdict, closed_at_ms: None unless it is closed.
    due_at_ms: until when it should be decided.
    claim_due_at_ms: when the claim ends unless it is worked on; None unless it is claimed.
    contact_due_at_ms: until when the customer can answer; None unless the customer is being contacted.
    contact_outcome: what came of the last contact, also of one before the case was re-opened; None where
        none has ended.
    stop_takes_effect_at_ms: until when the stop can be undone; None without a verdict `stop`.
    """

    case_id: str
    order_id: str
    customer_id: str
    merchant_id: str
    state: CaseState
    origin: CaseOrigin
    reviewer: str | None
    verdict: Verdict | None
    opened_at_ms: int
    due_at_ms: int
    claim_due_at_ms: int | None
    contact_due_at_ms: int | None
    contact_outcome: ContactOutcome | None
    stop_takes_effect_at_ms: int | None
    closed_at_ms: int | None
    reopened_count: int
    version: int

    def is_overdue(self, now_ms: int) -> bool:
        """Whether the case should have had its verdict by now."""
        return self.state is not CaseState.CLOSED and now_ms >= self.due_at_ms

    def is_stop_in_effect(self, now_ms: int) -> bool:
        """Whether the merchant may be asked to stop the order: not while the stop can be undone."""
        return self.stop_takes_effect_at_ms is not None and now_ms >= self.stop_takes_effect_at_ms


def open_case(
    *,
    case_id: str,
    order_id: str,
    customer_id: str,
    merchant_id: str,
    origin: CaseOrigin,
    now_ms: int,
    policy: ReviewPolicy,
) -> ReviewCase:
    """A new case, waiting for a reviewer."""
    return ReviewCase(
        case_id=case_id,
        order_id=order_id,
        customer_id=customer_id,
        merchant_id=merchant_id,
        state=CaseState.OPEN,
        origin=origin,
        reviewer=None,
        verdict=None,
        opened_at_ms=now_ms,
        due_at_ms=now_ms + policy.case_hours * HOUR_MS,
        claim_due_at_ms=None,
        contact_due_at_ms=None,
        contact_outcome=None,
        stop_takes_effect_at_ms=None,
        closed_at_ms=None,
        reopened_count=0,
        version=1,
    )


def claim(case: ReviewCase, reviewer: str, now_ms: int, policy: ReviewPolicy) -> ReviewCase:
    """The case in the hands of a reviewer; a second claim by the same one renews it.

    Raises CaseClosed, CaseHeldByAnother.
    """
    if case.state is CaseState.OPEN:
        return _claimed(case, reviewer, now_ms, policy)
    return renew_claim(case, reviewer, now_ms, policy)


def renew_claim(case: ReviewCase, reviewer: str, now_ms: int, policy: ReviewPolicy) -> ReviewCase:
    """The case with its claim counted from now, because its holder worked on it, such as by a note.

    While the customer is being contacted no claim runs, and only the version rises.

    Raises CaseClosed, CaseNotHeld, CaseHeldByAnother.
    """
    _require_holder(case, reviewer)
    if case.state is CaseState.CONTACTING_CUSTOMER:
        return replace(case, version=case.version + 1)
    return _claimed(case, reviewer, now_ms, policy)


def give_back(case: ReviewCase, reviewer: str) -> ReviewCase:
    """The case back in the queue; a contact under way is given up with it.

    Raises CaseClosed, CaseNotHeld, CaseHeldByAnother.
    """
    _require_holder(case, reviewer)
    return _moved(case, CaseState.OPEN)


def start_contact(case: ReviewCase, reviewer: str, now_ms: int, policy: ReviewPolicy) -> ReviewCase:
    """The case while the customer is asked, by one of `verified_contacts` and no other.

    Raises CaseClosed, CaseNotHeld, CaseHeldByAnother, ContactAlreadyUnderWay.
    """
    _require_holder(case, reviewer)
    if case.state is CaseState.CONTACTING_CUSTOMER:
        raise ContactAlreadyUnderWay(
            "The customer is being contacted already; record what came of it before you try again."
        )
    due_at_ms = now_ms + policy.contact_hours * HOUR_MS
    return _moved(case, CaseState.CONTACTING_CUSTOMER, reviewer=reviewer, contact_due_at_ms=due_at_ms)


def record_contact(
    case: ReviewCase, reviewer: str, outcome: ContactOutcome, now_ms: int, policy: ReviewPolicy
) -> ReviewCase:
    """The case back with its reviewer once the contact has an outcome.

    Also after a clear answer a person decides. One that comes after the deadline and before
    `expire_contact` is taken.

    Raises CaseClosed, CaseNotHeld, CaseHeldByAnother, NoContactUnderWay.
    """
    _require_holder(case, reviewer)
    if case.state is not CaseState.CONTACTING_CUSTOMER:
        raise NoContactUnderWay("The customer is not being contacted; start a contact first.")
    return replace(_claimed(case, reviewer, now_ms, policy), contact_outcome=outcome)


def expire_contact(case: ReviewCase, now_ms: int) -> ReviewCase:
    """The case back in the queue when the customer's time to answer is over; otherwise as it was.

    The customer then counts as unreachable. Whoever is free decides: the holder may be gone by then.
    """
    if case.contact_due_at_ms is None or now_ms < case.contact_due_at_ms:
        return case
    return replace(_moved(case, CaseState.OPEN), contact_outcome=ContactOutcome.UNREACHABLE)


def expire_claim(case: ReviewCase, now_ms: int) -> ReviewCase:
    """The case back in the queue when nobody worked on its claim for too long; otherwise as it was."""
    if case.claim_due_at_ms is None or now_ms < case.claim_due_at_ms:
        return case
    return _moved(case, CaseState.OPEN)


def decide(
    case: ReviewCase, reviewer: str, verdict: Verdict, now_ms: int, policy: ReviewPolicy
) -> ReviewCase:
    """The case closed with a verdict; a stop is held for `undo_seconds` before it takes effect.

    Possible also while the customer is being contacted: an order that is about to leave cannot wait.

    Raises CaseClosed, CaseNotHeld, CaseHeldByAnother.
    """
    _require_holder(case, reviewer)
    held_until_ms = now_ms + policy.undo_seconds * SECOND_MS
    return _moved(
        case,
        CaseState.CLOSED,
        reviewer=reviewer,
        verdict=verdict,
        closed_at_ms=now_ms,
        stop_takes_effect_at_ms=held_until_ms if verdict is Verdict.STOP else None,
    )


def undo_stop(case: ReviewCase, reviewer: str, now_ms: int, policy: ReviewPolicy) -> ReviewCase:
    """The case back with the reviewer who stopped the order, as if nothing had been decided.

    Raises NoStopToTakeBack, CaseHeldByAnother, and UndoTooLate once the stop has taken effect.
    """
    _require_stop(case)
    if case.reviewer != reviewer:
        raise CaseHeldByAnother(f"{case.reviewer} stopped this order, and only they can undo it.")
    if case.is_stop_in_effect(now_ms):
        raise UndoTooLate(
            f"A stop can be undone for {policy.undo_seconds} seconds; this one has taken effect."
            " It can only be withdrawn now."
        )
    return _claimed(case, reviewer, now_ms, policy)


def withdraw_stop(
    case: ReviewCase, reviewer: str, now_ms: int, policy: ReviewPolicy, *, role: str
) -> ReviewCase:
    """The case closed as released after all, by someone whose role may do that; at any time.

    Raises NoStopToTakeBack, WithdrawalNotAllowed.
    """
    _require_stop(case)
    if role not in policy.withdraw_roles:
        allowed = ", ".join(sorted(policy.withdraw_roles)) or "nobody"
        raise WithdrawalNotAllowed(f"A stop can be withdrawn by {allowed}, not with the role {role}.")
    return _moved(case, CaseState.CLOSED, reviewer=reviewer, verdict=Verdict.RELEASED, closed_at_ms=now_ms)


def reopen(case: ReviewCase, reason: str, now_ms: int, policy: ReviewPolicy) -> ReviewCase:
    """The closed case back in the queue with a new deadline; the history keeps the reason.

    Raises CaseNotClosed, ReasonMissing, and StopStillHeld, or re-opening would be an undo by anyone.
    """
    if case.state is not CaseState.CLOSED:
        raise CaseNotClosed("This case is not closed, so it cannot be re-opened.")
    if is_blank(reason):
        raise ReasonMissing("Say why the case is re-opened.")
    if case.stop_takes_effect_at_ms is not None and not case.is_stop_in_effect(now_ms):
        raise StopStillHeld("The stop of this order can still be undone; undo it instead of re-opening.")
    reopened = _moved(case, CaseState.OPEN)
    due_at_ms = now_ms + policy.case_hours * HOUR_MS
    return replace(reopened, due_at_ms=due_at_ms, reopened_count=case.reopened_count + 1)


def reopen_linked(case: ReviewCase, now_ms: int, policy: ReviewPolicy) -> ReviewCase:
    """The case of an order that is linked to a confirmed one: re-opened if it was released.

    Otherwise as it was: it is in the queue or in someone's hands, or its order is stopped already. Only
    for orders that are still open, where something can be saved.
    """
    if case.verdict is not Verdict.RELEASED:
        return case
    return reopen(case, LINKED_ORDER_CONFIRMED, now_ms, policy)


def as_if_done_by(case: ReviewCase, now_ms: int, policy: ReviewPolicy) -> ReviewCase:
    """The case as it would be had its last step been now: for one that a clock ahead of now has stamped.

    No deadline lies further ahead than a step now would set it; what is not ahead stays.
    """

    def by(instant_ms: int | None, latest_ms: int) -> int | None:
        return None if instant_ms is None else min(instant_ms, latest_ms)

    return replace(
        case,
        opened_at_ms=min(case.opened_at_ms, now_ms),
        due_at_ms=min(case.due_at_ms, now_ms + policy.case_hours * HOUR_MS),
        claim_due_at_ms=by(case.claim_due_at_ms, now_ms + policy.claim_minutes * MINUTE_MS),
        contact_due_at_ms=by(case.contact_due_at_ms, now_ms + policy.contact_hours * HOUR_MS),
        stop_takes_effect_at_ms=by(case.stop_takes_effect_at_ms, now_ms + policy.undo_seconds * SECOND_MS),
        closed_at_ms=by(case.closed_at_ms, now_ms),
    )


def _require_holder(case: ReviewCase, reviewer: str) -> None:
    if case.state is CaseState.CLOSED:
        raise CaseClosed("This case is closed. It can be re-opened, with the reason.")
    if case.reviewer is None:
        raise CaseNotHeld("Nobody holds this case. Claim it first.")
    if case.reviewer != reviewer:
        raise CaseHeldByAnother(f"{case.reviewer} holds this case.")


def _require_stop(case: ReviewCase) -> None:
    if case.verdict is not Verdict.STOP:
        raise NoStopToTakeBack("This order was not stopped, so there is no stop to take back.")


def _claimed(case: ReviewCase, reviewer: str, now_ms: int, policy: ReviewPolicy) -> ReviewCase:
    due_at_ms = now_ms + policy.claim_minutes * MINUTE_MS
    return _moved(case, CaseState.CLAIMED, reviewer=reviewer, claim_due_at_ms=due_at_ms)


def _moved(
    case: ReviewCase,
    state: CaseState,
    *,
    reviewer: str | None = None,
    verdict: Verdict | None = None,
    claim_due_at_ms: int | None = None,
    contact_due_at_ms: int | None = None,
    stop_takes_effect_at_ms: int | None = None,
    closed_at_ms: int | None = None,
) -> ReviewCase:
    """The case one step on; what the new state was not given, it does not have."""
    return replace(
        case,
        state=state,
        reviewer=reviewer,
        verdict=verdict,
        claim_due_at_ms=claim_due_at_ms,
        contact_due_at_ms=contact_due_at_ms,
        stop_takes_effect_at_ms=stop_takes_effect_at_ms,
        closed_at_ms=closed_at_ms,
        version=case.version + 1,
    )
