"""A stop request: the merchant is asked not to fulfil an order, answers, and something follows.

The request is about the order, never about a person, so no text here names a person or says why the
order was judged a risk. All instants are milliseconds since 1970-01-01 UTC. An answer is in time when
it was given before `answer_due_at_ms`; at that instant it is late.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, replace

from data_contracts.instants import HOUR_MS
from serving.domain.errors import RiskError
from serving.domain.merchant_answer import AnswerKind, MerchantAnswer, facts_of, text_or_none


class StopRequestState(enum.Enum):
    """The closed list of states of a stop request."""

    REQUESTED = "requested"
    ANSWERED = "answered"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"


class AnswerEffect(enum.Enum):
    """What an answer did to its stop request.

    REPEATED and CONTRADICTED leave the request as it was: the first is harmless, the second refused.
    """

    NEW = "new"
    REPEATED = "repeated"
    CONTRADICTED = "contradicted"


# A withdrawn request takes no step: the merchant was told that it may ship.
NEXT_STATES: Mapping[StopRequestState, frozenset[StopRequestState]] = {
    StopRequestState.REQUESTED: frozenset(
        {StopRequestState.ANSWERED, StopRequestState.EXPIRED, StopRequestState.WITHDRAWN}
    ),
    StopRequestState.EXPIRED: frozenset({StopRequestState.ANSWERED, StopRequestState.WITHDRAWN}),
    StopRequestState.ANSWERED: frozenset(),
    StopRequestState.WITHDRAWN: frozenset(),
}

# Goods come back, a tracking number is found, access is cut after all; any other second answer would
# take back what others may have acted on.
LATER_ANSWERS: Mapping[AnswerKind, frozenset[AnswerKind]] = {
    AnswerKind.STOPPED_BEFORE_SHIPPING: frozenset(),
    AnswerKind.SHIPPED_WITH_TRACKING: frozenset({AnswerKind.PARCEL_RETURNED}),
    AnswerKind.SHIPPED_WITHOUT_TRACKING: frozenset(
        {AnswerKind.SHIPPED_WITH_TRACKING, AnswerKind.PARCEL_RETURNED}
    ),
    AnswerKind.SERVICE_CUT: frozenset(),
    AnswerKind.SERVICE_CANNOT_BE_CUT: frozenset({AnswerKind.SERVICE_CUT}),
    AnswerKind.PARCEL_RETURNED: frozenset(),
}


class StopRequestWithdrawn(RiskError):
    """A withdrawn stop request takes no answer."""


class StopRequestNotWithdrawable(RiskError):
    """The merchant has answered the stop request, and acted on it."""


DEFAULT_CONTACT_CHANGE_HOURS = 72
"""Where a policy does not say."""


@dataclass(frozen=True, kw_only=True)
class StopRequestPolicy:
    """What the policy says about stop requests.

    answer_hours: from the first delivery to the merchant. recallable_carriers: names, in any case.
    no_answer_moves_liability: whether the merchant bears the loss when it did not answer in time.
    link_days: how long the link to the form works. contact_change_hours: so long after a merchant is
        reached elsewhere, notices about stop requests also go to the mailbox that it had before.
    """

    answer_hours: int
    recallable_carriers: frozenset[str]
    no_answer_moves_liability: bool
    link_days: int
    contact_change_hours: int = DEFAULT_CONTACT_CHANGE_HOURS


class StopAction(enum.Enum):
    """What the history of a case can tell about its stop requests."""

    REQUESTED = "stop_requested"
    ANSWERED = "stop_answered"
    CONTRADICTED = "stop_answer_contradicted"
    EXPIRED = "stop_expired"
    WITHDRAWN = "stop_request_withdrawn"
    SENT_AGAIN = "notice_sent_again"
    RECALL_FINISHED = "recall_finished"


class RecallResult(enum.Enum):
    """What came of recalling a parcel."""

    RECALLED = "recalled"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class StopRequest:
    """One request to stop one order. answers: in the order in which they came; the last one counts.

    merchant_order_number: the merchant's own number of the order; None where it has none.
    first_delivered_at_ms, answer_due_at_ms: None until the merchant was reached.
    """

    stop_request_id: str
    order_id: str
    merchant_id: str
    state: StopRequestState
    requested_at_ms: int
    first_delivered_at_ms: int | None
    answer_due_at_ms: int | None
    answers: tuple[MerchantAnswer, ...]
    merchant_order_number: str | None = None

    @property
    def order_name(self) -> str:
        """The order as its merchant knows it."""
        return self.merchant_order_number or self.order_id

    @property
    def current_answer(self) -> MerchantAnswer | None:
        """The answer that counts, None before the first one."""
        return self.answers[-1] if self.answers else None

    def is_late(self, answer: MerchantAnswer) -> bool:
        """Whether an answer came when it was already due; never before the merchant was reached."""
        return self.answer_due_at_ms is not None and answer.answered_at_ms >= self.answer_due_at_ms

    @property
    def has_missed_deadline(self) -> bool:
        """Whether the first answer came late, or the request expired without one.

        A later answer that adds to one given in time is not late: the merchant had reacted.
        """
        if self.answers:
            return self.is_late(self.answers[0])
        return self.state is StopRequestState.EXPIRED


def record_delivery(request: StopRequest, delivered_at_ms: int, policy: StopRequestPolicy) -> StopRequest:
    """The request once it has reached the merchant; only the first delivery starts the deadline."""
    if request.first_delivered_at_ms is not None:
        return request
    return replace(
        request,
        first_delivered_at_ms=delivered_at_ms,
        answer_due_at_ms=delivered_at_ms + policy.answer_hours * HOUR_MS,
    )


def take_answer(
    request: StopRequest,
    answer: MerchantAnswer,
    policy: StopRequestPolicy,  # noqa: ARG001 # one signature for every step that a policy may come to govern
) -> tuple[StopRequest, AnswerEffect]:
    """The request with an answer taken in, and what the answer did.

    The same facts with another note are new information and are kept. An answer after the deadline is
    taken too; `StopRequest.is_late` tells.

    Raises StopRequestWithdrawn.
    """
    if request.state is StopRequestState.WITHDRAWN:
        raise StopRequestWithdrawn(
            f"stop request {request.stop_request_id} was withdrawn and takes no answer"
        )
    current = request.current_answer
    if current is not None and facts_of(answer) == facts_of(current):
        note = text_or_none(answer.note)
        same_facts = [given for given in request.answers if facts_of(given) == facts_of(current)]
        if note is None or note in {text_or_none(given.note) for given in same_facts}:
            return request, AnswerEffect.REPEATED
    elif current is not None and answer.kind not in LATER_ANSWERS[current.kind]:
        return request, AnswerEffect.CONTRADICTED
    answered = replace(request, state=StopRequestState.ANSWERED, answers=(*request.answers, answer))
    return answered, AnswerEffect.NEW


def expire(request: StopRequest, now_ms: int) -> StopRequest:
    """The request as expired when it waits for an answer that is due; otherwise as it was."""
    is_waiting = StopRequestState.EXPIRED in NEXT_STATES[request.state]
    if not is_waiting or request.answer_due_at_ms is None or now_ms < request.answer_due_at_ms:
        return request
    return replace(request, state=StopRequestState.EXPIRED)


def withdraw(request: StopRequest) -> StopRequest:
    """The request as withdrawn, so that the merchant may fulfil the order; a second time is harmless.

    Also once it has expired: what was to follow from the silence then does not.

    Raises StopRequestNotWithdrawable once it was answered: the merchant has acted on it.
    """
    if request.state is StopRequestState.WITHDRAWN:
        return request
    if StopRequestState.WITHDRAWN not in NEXT_STATES[request.state]:
        raise StopRequestNotWithdrawable(
            f"stop request {request.stop_request_id} is {request.state.value} and cannot be withdrawn"
        )
    return replace(request, state=StopRequestState.WITHDRAWN)
