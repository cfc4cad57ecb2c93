"""The steps of a dispute: one state machine, pure.

    (new) -> opened              open_dispute; -> with_fraud_team for `not_my_order`
    opened -> answered           answer, before the deadline
    opened -> closed             expire: no answer, so for the customer
    answered -> awaiting_customer  expire: not settled in time, so the customer is asked
    answered, awaiting_customer -> deciding   state_reason; expire of the customer's time
    deciding -> awaiting_customer, awaiting_merchant   ask_customer, ask_merchant
    awaiting_merchant -> deciding  answer; expire
    with_fraud_team -> closed, deciding   conclude_case: a fraud, or not
    deciding -> closed           decide
    every open state -> closed   give_in by the merchant, withdraw by the customer
    closed -> complaint          complain, once
    complaint -> closed          decide_complaint, by somebody else than who decided
    complaint -> referred        refer_to_committee; referred -> closed  take_committee_result

Every step raises `version` by one, so a store can refuse a step on a dispute that has moved meanwhile. All
instants are milliseconds since 1970-01-01 UTC, and amounts minor units. A deadline has passed at its very
instant. Deadlines are counted elsewhere and passed in: a dispute keeps the instants and never counts anew.
"""

from dataclasses import replace

from serving.domain.dispute import (
    EXPIRING,
    WORK_ITEMS,
    Complaint,
    Dispute,
    DisputeOutcome,
    DisputeQuestion,
    DisputeState,
    OutcomeGround,
    Party,
    Statement,
)
from serving.domain.dispute_answer import DisputeAnswer
from serving.domain.errors import RiskError

_BEFORE_DECISION = EXPIRING | {DisputeState.DECIDING}
_DECIDED_GROUNDS = frozenset(OutcomeGround) - {OutcomeGround.WITHDRAWN, OutcomeGround.GAVE_IN}


class DisputeStepImpossible(RiskError):
    """The state of the dispute takes no such step; the message names the state."""


class DisputeAnswerTooLate(RiskError):
    """The merchant's time is over: the dispute is decided for the customer."""


class DisputeHeldByAnother(RiskError):
    """Somebody else works on the dispute."""


class DisputeNotHeld(RiskError):
    """Who decides about a dispute, or asks, claims it first."""


class SecondLookBySamePerson(RiskError):
    """A complaint is looked at by somebody else than who decided."""


class ComplaintTooLate(RiskError):
    """The time to complain about the outcome is over."""


class ComplaintMadeBefore(RiskError):
    """An outcome is complained about once."""


class OutcomeWorseForCustomer(RiskError):
    """A complaint of the customer leaves nobody worse off who complained."""


def answer(dispute: Dispute, given: DisputeAnswer, *, decision_due_at_ms: int) -> Dispute:
    """The dispute with a merchant's answer; the same content again changes nothing.

    Raises DisputeAnswerTooLate for a first answer at or after the deadline, DisputeStepImpossible.
    """
    _require_state(dispute, _BEFORE_DECISION, "takes no answer")
    if any(given.content == earlier.content for earlier in dispute.answers[-1:]):
        return dispute
    if dispute.state is DisputeState.OPENED and dispute.has_passed(given.answered_at_ms):
        raise DisputeAnswerTooLate(
            f"the time to answer dispute {dispute.dispute_id} is over; it is decided for the customer"
        )
    answered = replace(dispute, answers=(*dispute.answers, given))
    match dispute.state:
        case DisputeState.OPENED:
            return _moved(answered, DisputeState.ANSWERED, due_at_ms=dispute.due_at_ms)
        case DisputeState.AWAITING_MERCHANT:
            return _moved(answered, DisputeState.DECIDING, due_at_ms=decision_due_at_ms)
        case _:
            return replace(answered, version=dispute.version + 1)


def state_reason(dispute: Dispute, text: str, *, at_ms: int, decision_due_at_ms: int) -> Dispute:
    """The dispute with what the customer says; the same text again changes nothing.

    Once the merchant has answered, it says that nothing was settled: the service desk decides then.
    Raises DisputeStepImpossible.
    """
    _require_state(dispute, _BEFORE_DECISION | {DisputeState.WITH_FRAUD_TEAM}, "takes no statement")
    if any(text == earlier.text for earlier in dispute.statements[-1:]):
        return dispute
    stated = replace(dispute, statements=(*dispute.statements, Statement(text=text, stated_at_ms=at_ms)))
    if dispute.state in {DisputeState.ANSWERED, DisputeState.AWAITING_CUSTOMER}:
        return _moved(stated, DisputeState.DECIDING, due_at_ms=decision_due_at_ms)
    return replace(stated, version=dispute.version + 1)


def give_in(dispute: Dispute, *, is_whole_order: bool, by: str, at_ms: int) -> Dispute:
    """The dispute settled by its merchant, at any time before the end: also while a complaint is open.

    is_whole_order: all of the order is given up, not only what is disputed of it. A second time is harmless.
    Raises DisputeStepImpossible.
    """
    if dispute.is_closed and dispute.outcome is DisputeOutcome.SETTLED_BY_MERCHANT:
        return dispute
    allowed = _BEFORE_DECISION | {DisputeState.COMPLAINT, DisputeState.REFERRED}
    _require_state(dispute, allowed, "has ended")
    settled = replace(dispute, disputed_cents=None if is_whole_order else dispute.disputed_cents)
    return _closed(settled, DisputeOutcome.SETTLED_BY_MERCHANT, OutcomeGround.GAVE_IN, None, by, at_ms)


def withdraw(dispute: Dispute, *, by: str, at_ms: int) -> Dispute:
    """The dispute withdrawn by its customer; of one with a complaint the complaint, and its outcome stands.

    A second time is harmless. Raises DisputeStepImpossible.
    """
    if dispute.is_closed and dispute.outcome is DisputeOutcome.WITHDRAWN:
        return dispute
    if dispute.complaint is not None and not dispute.is_closed:
        return replace(_moved(dispute, DisputeState.CLOSED), closed_at_ms=at_ms)
    _require_state(dispute, frozenset(DisputeState) - {DisputeState.CLOSED}, "has ended")
    return _closed(dispute, DisputeOutcome.WITHDRAWN, OutcomeGround.WITHDRAWN, 0, by, at_ms)


def expire(
    dispute: Dispute, *, by: str, at_ms: int, customer_due_at_ms: int, decision_due_at_ms: int
) -> Dispute:
    """What follows where a deadline has passed; otherwise the dispute as it was."""
    if dispute.state not in EXPIRING or not dispute.has_passed(at_ms):
        return dispute
    match dispute.state:
        case DisputeState.OPENED:
            return _closed(dispute, DisputeOutcome.FOR_CUSTOMER, OutcomeGround.NO_ANSWER, None, by, at_ms)
        case DisputeState.ANSWERED:
            return _moved(dispute, DisputeState.AWAITING_CUSTOMER, due_at_ms=customer_due_at_ms)
        case _:
            return _moved(dispute, DisputeState.DECIDING, due_at_ms=decision_due_at_ms)


def conclude_case(
    dispute: Dispute, *, is_fraud: bool, by: str, at_ms: int, decision_due_at_ms: int
) -> Dispute:
    """The dispute after the fraud team: closed for the customer where the order was a fraud.

    Otherwise it goes on to the service desk, and its merchant may be asked. Raises DisputeStepImpossible.
    """
    _require_state(dispute, frozenset({DisputeState.WITH_FRAUD_TEAM}), "is not with the fraud team")
    if is_fraud:
        return _closed(dispute, DisputeOutcome.FOR_CUSTOMER, OutcomeGround.FRAUD, None, by, at_ms)
    shown = replace(dispute, is_shown_to_merchant=True)
    return _moved(shown, DisputeState.DECIDING, due_at_ms=decision_due_at_ms)


def claim(dispute: Dispute, *, by: str, at_ms: int, claim_minutes: int) -> Dispute:
    """The work item in somebody's hands; a second claim renews it, and one that rested may be taken over.

    Raises DisputeStepImpossible, DisputeHeldByAnother, SecondLookBySamePerson.
    """
    _require_state(dispute, WORK_ITEMS, "is no work item")
    if dispute.is_held_by_another(by, at_ms, claim_minutes):
        raise DisputeHeldByAnother(f"{dispute.claimed_by} works on this dispute.")
    _require_other_person(dispute, by)
    return replace(dispute, claimed_by=by, claimed_at_ms=at_ms, version=dispute.version + 1)


def give_back(dispute: Dispute, *, by: str) -> Dispute:
    """The work item for whoever comes next. Raises DisputeStepImpossible, DisputeNotHeld."""
    _require_holder(dispute, by, WORK_ITEMS)
    return replace(dispute, claimed_by=None, claimed_at_ms=None, version=dispute.version + 1)


def ask(dispute: Dispute, to: Party, text: str, *, by: str, at_ms: int, due_at_ms: int) -> Dispute:
    """The dispute waiting for one of the two who was asked, by its holder.

    Raises DisputeStepImpossible, DisputeNotHeld.
    """
    _require_holder(dispute, by, frozenset({DisputeState.DECIDING}))
    question = DisputeQuestion(to=to, text=text, asked_by=by, asked_at_ms=at_ms)
    state = DisputeState.AWAITING_CUSTOMER if to is Party.CUSTOMER else DisputeState.AWAITING_MERCHANT
    asked = replace(dispute, questions=(*dispute.questions, question))
    return _moved(asked, state, due_at_ms=due_at_ms)


def decide(
    dispute: Dispute, outcome: DisputeOutcome, *, award_cents: int | None, text: str, by: str, at_ms: int
) -> Dispute:
    """The dispute decided by its holder, with reasons.

    outcome: for the customer or for the merchant. award_cents: of what is disputed, None for all of it.
    Raises DisputeStepImpossible, DisputeNotHeld.
    """
    _require_holder(dispute, by, frozenset({DisputeState.DECIDING}))
    return _decided(dispute, outcome, OutcomeGround.DECIDED, award_cents, text, by, at_ms)


def complain(dispute: Dispute, text: str, *, at_ms: int, due_at_ms: int, until_ms: int) -> Dispute:
    """The customer complains about the outcome. until_ms: a complaint at that instant is too late.

    Raises DisputeStepImpossible, ComplaintMadeBefore, ComplaintTooLate.
    """
    if dispute.complaint is not None and dispute.complaint.text == text:
        return dispute
    if dispute.complaint is not None:
        raise ComplaintMadeBefore(f"dispute {dispute.dispute_id} was complained about before")
    _require_state(dispute, frozenset({DisputeState.CLOSED}), "has no outcome yet")
    if dispute.outcome is None or dispute.ground not in _DECIDED_GROUNDS:
        raise DisputeStepImpossible(f"dispute {dispute.dispute_id} was not decided by anybody")
    if at_ms >= until_ms:
        raise ComplaintTooLate(f"the time to complain about dispute {dispute.dispute_id} is over")
    made = Complaint(text=text, made_at_ms=at_ms, due_at_ms=due_at_ms, outcome_before=dispute.outcome)
    # What is owed on the ground of the outcome rests while somebody looks again.
    is_paused_anew = dispute.outcome is DisputeOutcome.FOR_MERCHANT
    complained = replace(
        dispute, complaint=made, pause_round=dispute.pause_round + is_paused_anew, closed_at_ms=None
    )
    return _moved(complained, DisputeState.COMPLAINT, due_at_ms=due_at_ms)


def decide_complaint(
    dispute: Dispute, outcome: DisputeOutcome, *, award_cents: int | None, text: str, by: str, at_ms: int
) -> Dispute:
    """The complaint decided by its holder, who is not who decided before.

    Raises DisputeStepImpossible, DisputeNotHeld, SecondLookBySamePerson, OutcomeWorseForCustomer.
    """
    _require_holder(dispute, by, frozenset({DisputeState.COMPLAINT}))
    _require_other_person(dispute, by)
    _require_not_worse(dispute, outcome, award_cents)
    return _decided(dispute, outcome, OutcomeGround.SECOND_LOOK, award_cents, text, by, at_ms)


def refer_to_committee(dispute: Dispute, committee: str, *, by: str, at_ms: int) -> Dispute:
    """The complaint with an independent committee, which has no time set by us.

    Raises DisputeStepImpossible, DisputeNotHeld, SecondLookBySamePerson.
    """
    _require_holder(dispute, by, frozenset({DisputeState.COMPLAINT}))
    _require_other_person(dispute, by)
    if dispute.complaint is None:
        raise DisputeStepImpossible(f"dispute {dispute.dispute_id} has no complaint")
    referred = replace(dispute.complaint, committee=committee, referred_at_ms=at_ms)
    return _moved(replace(dispute, complaint=referred), DisputeState.REFERRED)


def take_committee_result(
    dispute: Dispute, outcome: DisputeOutcome, *, award_cents: int | None, text: str, by: str, at_ms: int
) -> Dispute:
    """The complaint ended by what the committee found, entered by its holder.

    Raises DisputeStepImpossible, DisputeNotHeld, SecondLookBySamePerson, OutcomeWorseForCustomer.
    """
    _require_holder(dispute, by, frozenset({DisputeState.REFERRED}))
    _require_other_person(dispute, by)
    _require_not_worse(dispute, outcome, award_cents)
    return _decided(dispute, outcome, OutcomeGround.COMMITTEE, award_cents, text, by, at_ms)


def raise_overdue(dispute: Dispute, at_ms: int) -> Dispute:
    """The work item noted as overdue, once for each time it comes to the desk; else as it was."""
    is_due = dispute.state in WORK_ITEMS and dispute.has_passed(at_ms)
    if not is_due or dispute.overdue_raised_at_ms is not None:
        return dispute
    return replace(dispute, overdue_raised_at_ms=at_ms, version=dispute.version + 1)


def _require_state(dispute: Dispute, allowed: frozenset[DisputeState], otherwise: str) -> None:
    if dispute.state not in allowed:
        raise DisputeStepImpossible(f"dispute {dispute.dispute_id} is {dispute.state.value}: it {otherwise}")


def _require_holder(dispute: Dispute, by: str, allowed: frozenset[DisputeState]) -> None:
    _require_state(dispute, allowed, "takes no such step now")
    if dispute.claimed_by != by:
        holder = "Nobody" if dispute.claimed_by is None else dispute.claimed_by
        raise DisputeNotHeld(f"{holder} works on this dispute. Claim it first.")


def _require_other_person(dispute: Dispute, by: str) -> None:
    if dispute.complaint is not None and dispute.decided_by == by:
        raise SecondLookBySamePerson(f"{by} decided about this dispute; somebody else looks a second time.")


def _require_not_worse(dispute: Dispute, outcome: DisputeOutcome, award_cents: int | None) -> None:
    if dispute.outcome is not DisputeOutcome.FOR_CUSTOMER:
        return
    had_all, had_cents = dispute.award_cents is None, dispute.award_cents or 0
    is_less = award_cents is not None and (had_all or award_cents < had_cents)
    if outcome is not DisputeOutcome.FOR_CUSTOMER or is_less:
        raise OutcomeWorseForCustomer("The customer complained, and keeps at least what was decided before.")


def _decided(
    dispute: Dispute,
    outcome: DisputeOutcome,
    ground: OutcomeGround,
    award_cents: int | None,
    text: str,
    by: str,
    at_ms: int,
) -> Dispute:
    if outcome not in {DisputeOutcome.FOR_CUSTOMER, DisputeOutcome.FOR_MERCHANT}:
        raise DisputeStepImpossible("a decision is for the customer or for the merchant")
    award = award_cents if outcome is DisputeOutcome.FOR_CUSTOMER else 0
    return replace(_closed(dispute, outcome, ground, award, by, at_ms), decision_text=text)


def _closed(
    dispute: Dispute,
    outcome: DisputeOutcome,
    ground: OutcomeGround,
    award_cents: int | None,
    by: str,
    at_ms: int,
) -> Dispute:
    moved = _moved(dispute, DisputeState.CLOSED)
    return replace(
        moved, outcome=outcome, ground=ground, award_cents=award_cents, decided_by=by, closed_at_ms=at_ms
    )


def _moved(dispute: Dispute, state: DisputeState, *, due_at_ms: int | None = None) -> Dispute:
    """The dispute one step on, in nobody's hands; without the time of the state before."""
    return replace(
        dispute,
        state=state,
        due_at_ms=due_at_ms,
        claimed_by=None,
        claimed_at_ms=None,
        overdue_raised_at_ms=None,
        version=dispute.version + 1,
    )
