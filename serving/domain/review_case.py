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
import zoneinfo
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta

from data_contracts.instants import HOUR_MS, MINUTE_MS, SECOND_MS, moment
from serving.domain.errors import RiskError

LINKED_ORDER_CONFIRMED = "An order that is linked to this one was confirmed as a fraud."

# Of what a stop could still save, this much counts for each hour of waiting even where the next hour
# costs no chance. Small against the fall in the last hours before the hand-over, so it never decides
# there; far from it, and after it, it orders by what is at stake.
REMAINING_SHARE_PER_HOUR = 0.01


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


class OrderOutcomeKind(enum.Enum):
    """The kinds of the ledger's order outcomes that a review case can lead to."""

    REVIEW_RELEASED = "review_released"
    STOP_REQUEST_UPHELD = "stop_request_upheld"
    STOP_REQUEST_REJECTED = "stop_request_rejected"
    IDENTITY_MISUSE_UPHELD = "identity_misuse_upheld"
    FINDING_WITHDRAWN = "finding_withdrawn"


class EstablishedBy(enum.Enum):
    """On whose word an outcome rests."""

    REVIEWER = "reviewer"
    CUSTOMER = "customer"
    MERCHANT = "merchant"


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
class ReviewPolicy:
    """What the policy says about review cases.

    claim_minutes: after which a claim that nobody worked on ends.
    contact_hours: how long a customer has to answer.
    undo_seconds: how long a stop is held before it takes effect.
    case_hours: until when a case should have its verdict.
    half_chance_hours: a stop sent this long before the last moment works in half of the cases; above 0.
    handover_delay_hours: how long after the planned hand-over an order may still be there while nobody
        recorded that it left; at least 0. The planned hand-over and this together are the last moment.
    recall_chance, service_stop_chance: that goods which left are called back, or that access to a service
        which began is cut; from 0 to below 1.
    withdraw_roles: who may withdraw a stop once it cannot be undone any more.
    sample_share: of the orders that were not flagged, how many are reviewed; from 0 to 1.
    sample_worth_cents: what an hour's delay of a sampled case counts when it is due.
    """

    claim_minutes: int
    contact_hours: int
    undo_seconds: int
    case_hours: int
    half_chance_hours: float
    handover_delay_hours: float
    recall_chance: float
    service_stop_chance: float
    withdraw_roles: frozenset[str]
    sample_share: float
    sample_worth_cents: int


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


@dataclass(frozen=True, kw_only=True)
class CaseLabel:
    """What a case adds to the ledger, and what it means for the labels.

    represented_orders: for how many orders like this one it stands when recall is estimated.
    """

    kind: OrderOutcomeKind
    is_high_risk: bool
    established_by: EstablishedBy
    represented_orders: float


def is_sampled(draw: float, policy: ReviewPolicy) -> bool:
    """Whether an order that was not flagged is reviewed; draw: uniform in [0, 1), one for each order.

    Little is at stake in most of these, so their priority alone would leave them unseen, and recall would
    be estimated from the suspicious ones. Their deadline has to bring them to a reviewer.
    """
    return draw < policy.sample_share


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
    if not reason.strip():
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


def stop_chance(
    *,
    now_ms: int,
    handover_at_ms: int,
    left: bool,
    recallable: bool,
    policy: ReviewPolicy,
    is_service: bool = False,
) -> float:
    """The chance, from 0 to below 1, that a stop sent now still works.

    With u the hours until the last moment (the planned hand-over and `handover_delay_hours`) and h
    `half_chance_hours`, the chance is r + (1 - r) * u² / (u² + h²), and r from the last moment on. r is
    what a recall can bring; for a service, what cutting its access can. It never rises with time.

    handover_at_ms: when the order is planned to leave, or the service to begin; also when that is past.
    left: whether it is recorded to have left or begun.
    recallable: whether it can be called back, or cut, after that; False once the parcel was received.
    """
    afterwards = (policy.service_stop_chance if is_service else policy.recall_chance) if recallable else 0.0
    hours = (handover_at_ms - now_ms) / HOUR_MS + policy.handover_delay_hours
    if left or hours <= 0:
        return afterwards
    half_squared = policy.half_chance_hours * policy.half_chance_hours
    # One minus the complement: each operation is monotone in floating point, so the chance is too.
    return afterwards + (1 - afterwards) * (1 - half_squared / (half_squared + hours * hours))


def priority(
    *,
    probability: float,
    amount_cents: int,
    now_ms: int,
    handover_at_ms: int,
    left: bool,
    recallable: bool,
    policy: ReviewPolicy,
    is_service: bool = False,
) -> int:
    """The saving that an hour of waiting loses, in whole cents per hour; the highest is worked on first.

    probability * amount_cents * (chance now - chance in an hour + REMAINING_SHARE_PER_HOUR * chance now),
    with the chance from `stop_chance`. The last term keeps orders far from their hand-over in the order
    of what is at stake, and orders that left at what a recall can still bring.

    probability: that the order is a fraud, calibrated, from 0 to 1. amount_cents: at stake, at least 0.

    Raises ValueError where they are not.
    """
    if not 0 <= probability <= 1:
        raise ValueError(f"probability: must be from 0 to 1, is {probability}")
    if amount_cents < 0:
        raise ValueError(f"amount_cents: must not be negative, is {amount_cents}")
    chance, chance_in_an_hour = (
        stop_chance(
            now_ms=instant,
            handover_at_ms=handover_at_ms,
            left=left,
            recallable=recallable,
            policy=policy,
            is_service=is_service,
        )
        for instant in (now_ms, now_ms + HOUR_MS)
    )
    lost_share = chance - chance_in_an_hour + REMAINING_SHARE_PER_HOUR * chance
    return round(probability * lost_share * amount_cents)


def sample_priority(case: ReviewCase, now_ms: int, policy: ReviewPolicy) -> int:
    """What a sampled case counts in the order of work, in cents per hour; 0 for any other case.

    sample_worth_cents * the part of its time that has passed: it rises past the due time without end, so
    every sampled case comes to a reviewer, however suspicious the others are.
    """
    if case.origin is not CaseOrigin.SAMPLED:
        return 0
    waited_ms = max(0, now_ms - case.opened_at_ms)
    return policy.sample_worth_cents * waited_ms // max(1, case.due_at_ms - case.opened_at_ms)


def next_handover_ms(now_ms: int, cutoff_local_time: str, time_zone: str, first_possible_ms: int) -> int:
    """The merchant's first daily hand-over, neither before now nor before the order could be packed.

    Taken once, when the case is opened: asked again after a hand-over that nobody recorded, it would
    name the next day's. The local time is that of the day: where clocks are turned forward over it, the
    hand-over moves forward by as much; where they are turned back over it, the first of the two counts.

    cutoff_local_time: "HH:MM" in time_zone, an IANA name.

    Raises ValueError for what is no time, zoneinfo.ZoneInfoNotFoundError for an unknown zone.

    >>> noon_utc_ms = 1_781_524_800_000  # 2026-06-15 12:00 UTC, 14:00 in Berlin
    >>> (next_handover_ms(noon_utc_ms, "17:00", "Europe/Berlin", noon_utc_ms) - noon_utc_ms) // 3_600_000
    3
    """
    zone = zoneinfo.ZoneInfo(time_zone)
    cutoff = time.fromisoformat(cutoff_local_time)
    from_ms = max(now_ms, first_possible_ms)
    today = moment(from_ms).astimezone(zone).date()
    # The hand-over of the day before may have moved over midnight, and of two equal local times the
    # first may be over, so a day on each side is looked at too.
    days = (today + timedelta(days=shift) for shift in range(-1, 3))
    handovers = (int(datetime.combine(day, cutoff, zone).timestamp()) * SECOND_MS for day in days)
    return next(handover for handover in handovers if handover >= from_ms)


def label_of(
    *,
    origin: CaseOrigin,
    verdict: Verdict | None,
    contact: ContactOutcome | None,
    merchant_answer_upheld: bool | None,
    policy: ReviewPolicy,
) -> CaseLabel | None:
    """What a verdict adds to the ledger's order outcomes; None while, or where, it adds nothing.

    A reviewer's stop alone proves nothing, or the model would learn from its own flags: the customer or
    the merchant has to uphold it. Where they contradict each other, a later finding decides (an
    identity-misuse claim, a chargeback), and so it does against any release.

    | verdict  | customer        | merchant's answer | outcome               | high risk | established by |
    |----------|-----------------|-------------------|-----------------------|-----------|----------------|
    | none     | any             | any               | none                  |           |                |
    | released | confirmed       | any               | review_released       | no        | customer       |
    | released | not asked, unr. | any               | review_released       | no        | reviewer       |
    | released | denied          | any               | none                  |           |                |
    | stop     | denied          | upheld or none    | stop_request_upheld   | yes       | customer       |
    | stop     | denied          | rejected          | none                  |           |                |
    | stop     | not asked, unr. | upheld            | stop_request_upheld   | yes       | merchant       |
    | stop     | confirmed       | upheld            | none                  |           |                |
    | stop     | not denied      | rejected          | stop_request_rejected | no        | merchant       |
    | stop     | not denied      | none              | none                  |           |                |

    By origin: a flagged order stands for itself. A sampled one was drawn among the orders that were not
    flagged and stands for 1 / sample_share of them: its `released` says that the model was right to let
    that many pass, its upheld stop that so many frauds were missed. Recall is then the flagged orders
    that were upheld, divided by all that were upheld, each counted by what it stands for. A requested
    review adds nothing: its order was refused, so it could not turn out a fraud.

    contact: the case's `contact_outcome`, None where the customer was not asked; "unr." above is unreachable.
    merchant_answer_upheld: whether the stop request was upheld in the end, None while that is open.
    policy: the one under which the case was opened. For a stop: once it has taken effect.
    """
    if verdict is None or origin is CaseOrigin.REVIEW_REQUESTED:
        return None
    judged = (
        _label_of_release(contact)
        if verdict is Verdict.RELEASED
        else _label_of_stop(contact, merchant_answer_upheld)
    )
    if judged is None:
        return None
    kind, established_by = judged
    return CaseLabel(
        kind=kind,
        is_high_risk=kind is OrderOutcomeKind.STOP_REQUEST_UPHELD,
        established_by=established_by,
        represented_orders=1 / policy.sample_share if origin is CaseOrigin.SAMPLED else 1.0,
    )


def _label_of_release(contact: ContactOutcome | None) -> tuple[OrderOutcomeKind, EstablishedBy] | None:
    if contact is ContactOutcome.DENIED:
        return None
    is_confirmed = contact is ContactOutcome.CONFIRMED
    return (
        OrderOutcomeKind.REVIEW_RELEASED,
        EstablishedBy.CUSTOMER if is_confirmed else EstablishedBy.REVIEWER,
    )


def _label_of_stop(
    contact: ContactOutcome | None, merchant_answer_upheld: bool | None
) -> tuple[OrderOutcomeKind, EstablishedBy] | None:
    if contact is ContactOutcome.DENIED:
        if merchant_answer_upheld is False:
            return None
        return OrderOutcomeKind.STOP_REQUEST_UPHELD, EstablishedBy.CUSTOMER
    if merchant_answer_upheld is False:
        return OrderOutcomeKind.STOP_REQUEST_REJECTED, EstablishedBy.MERCHANT
    if merchant_answer_upheld and contact is not ContactOutcome.CONFIRMED:
        return OrderOutcomeKind.STOP_REQUEST_UPHELD, EstablishedBy.MERCHANT
    return None


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
