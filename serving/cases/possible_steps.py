"""The steps that a reviewer can take on a case: how each is taken, and which are possible now.

What the page offers is what the step itself says when it is tried, so that the two cannot disagree.
"""

import enum
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from data_contracts.text_form import holds_control_signs, is_blank
from serving.domain.errors import RiskError
from serving.domain.review_case import (
    Action,
    CaseState,
    ContactOutcome,
    ReviewCase,
    Verdict,
    claim,
    decide,
    give_back,
    record_contact,
    renew_claim,
    reopen,
    start_contact,
    undo_stop,
    withdraw_stop,
)
from serving.domain.review_policy import ReviewPolicy
from serving.domain.verified_contacts import CustomerContact, verified_contacts
from serving.store.case_queue import StoredCase

NOTE_MAXIMUM = 4000

_CHANNELS = ("email", "phone")


class StepInvalid(RiskError):
    """What was sent with the step cannot be used; the message names the field and the rule."""


class Step(enum.StrEnum):
    """What a reviewer can do with a case."""

    CLAIM = "claim"
    GIVE_BACK = "give-back"
    NOTE = "note"
    CONTACT = "contact"
    CONTACT_OUTCOME = "contact-outcome"
    RELEASE = "release"
    STOP = "stop"
    UNDO = "undo"
    WITHDRAW = "withdraw"
    REOPEN = "reopen"


TEXT_FIELD: Mapping[Step, str] = MappingProxyType(
    {Step.NOTE: "note", Step.CONTACT_OUTCOME: "outcome", Step.REOPEN: "reason"}
)
"""How the one text is called that some steps take; the others take none."""

# A text that each step takes, where it takes one: what is possible is asked before anything is written.
_ANY_TEXT: Mapping[Step, str] = MappingProxyType(
    {
        Step.NOTE: "a note",
        Step.CONTACT_OUTCOME: ContactOutcome.UNREACHABLE.value,
        Step.REOPEN: "a reason",
    }
)


def contacts_of(customer: Mapping[str, Any] | None) -> tuple[CustomerContact, ...]:
    """The ways to reach a customer. customer: the newest row about it, None where the ledger holds none."""
    if customer is None:
        return ()
    return tuple(
        CustomerContact(channel=channel, verified_at_ms=customer.get(f"{channel}_confirmed_at"))
        for channel in _CHANNELS
    )


def after_step(
    stored: StoredCase,
    step: Step,
    *,
    contacts: Iterable[CustomerContact],
    reviewer: str,
    role: str,
    text: str | None,
    now_ms: int,
    policy: ReviewPolicy,
) -> tuple[ReviewCase, Action, dict[str, Any]]:
    """The case after a step, what its history says of it, and the detail of that; nothing is kept.

    contacts: the ways to reach the customer, verified or not.
    text: the note, the reason of a re-opening, or the outcome of a contact; None for every other step.

    Raises StepInvalid, NoVerifiedContact and the errors of `serving.domain.review_case`.
    """
    case = stored.case
    match step:
        case Step.CLAIM:
            return claim(case, reviewer, now_ms, policy), Action.CLAIMED, {}
        case Step.GIVE_BACK:
            return give_back(case, reviewer), Action.GIVEN_BACK, {}
        case Step.NOTE:
            note = _text(text, "note")
            return renew_claim(case, reviewer, now_ms, policy), Action.NOTE_ADDED, {"note": note}
        case Step.CONTACT:
            channels = [contact.channel for contact in verified_contacts(contacts, stored.stakes)]
            started = start_contact(case, reviewer, now_ms, policy)
            return started, Action.CONTACT_STARTED, {"verified_channels": channels}
        case Step.CONTACT_OUTCOME:
            outcome = _outcome(text)
            recorded = record_contact(case, reviewer, outcome, now_ms, policy)
            return recorded, Action.CONTACT_RECORDED, {"outcome": outcome.value}
        case Step.RELEASE:
            return decide(case, reviewer, Verdict.RELEASED, now_ms, policy), Action.RELEASED, {}
        case Step.STOP:
            stopped = decide(case, reviewer, Verdict.STOP, now_ms, policy)
            return stopped, Action.STOP_DECIDED, {"takes_effect_at_ms": stopped.stop_takes_effect_at_ms}
        case Step.UNDO:
            return undo_stop(case, reviewer, now_ms, policy), Action.STOP_UNDONE, {}
        case Step.WITHDRAW:
            return withdraw_stop(case, reviewer, now_ms, policy, role=role), Action.STOP_WITHDRAWN, {}
        case Step.REOPEN:
            reason = _text(text, "reason")
            return reopen(case, reason, now_ms, policy), Action.REOPENED, {"reason": reason}


def possible_steps(
    stored: StoredCase,
    contacts: Iterable[CustomerContact],
    *,
    reviewer: str,
    role: str,
    now_ms: int,
    policy: ReviewPolicy,
) -> frozenset[Step]:
    """What a reviewer can do with a case now: each step is tried on the case itself, which is never changed.

    A claim that would only renew an own one is left out.
    """

    def is_possible(step: Step) -> bool:
        try:
            after_step(
                stored,
                step,
                contacts=contacts,
                reviewer=reviewer,
                role=role,
                text=_ANY_TEXT.get(step),
                now_ms=now_ms,
                policy=policy,
            )
        except RiskError:
            return False
        return True

    possible = {step for step in Step if is_possible(step)}
    if stored.case.state is not CaseState.OPEN:
        possible.discard(Step.CLAIM)
    return frozenset(possible)


def _text(text: str | None, name: str) -> str:
    if text is None or is_blank(text):
        raise StepInvalid(f"{name}: is required")
    if len(text) > NOTE_MAXIMUM:
        raise StepInvalid(f"{name}: at most {NOTE_MAXIMUM} characters")
    if holds_control_signs(text):
        raise StepInvalid(f"{name}: must hold no control characters")
    return text.strip()


def _outcome(text: str | None) -> ContactOutcome:
    try:
        return ContactOutcome(text)
    except ValueError as problem:
        allowed = ", ".join(outcome.value for outcome in ContactOutcome)
        raise StepInvalid(f"outcome: must be one of {allowed}") from problem
