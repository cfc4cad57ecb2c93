"""A stop request: the merchant is asked not to fulfil an order, answers, and something follows.

The request is about the order, never about a person, so no text here names a person or says why the
order was judged a risk. All instants are milliseconds since 1970-01-01 UTC. An answer is in time when
it was given before `answer_due_at_ms`; at that instant it is late.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import assert_never

from data_contracts.instants import HOUR_MS
from serving.domain.errors import RiskError

MAXIMUM_CARRIER_CHARACTERS = 100
MAXIMUM_TRACKING_NUMBER_CHARACTERS = 100
MAXIMUM_NOTE_CHARACTERS = 2_000


class StopRequestState(enum.Enum):
    """The closed list of states of a stop request."""

    REQUESTED = "requested"
    ANSWERED = "answered"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"


class AnswerKind(enum.Enum):
    """The closed list of what a merchant can answer."""

    STOPPED_BEFORE_SHIPPING = "stopped_before_shipping"
    SHIPPED_WITH_TRACKING = "shipped_with_tracking"
    SHIPPED_WITHOUT_TRACKING = "shipped_without_tracking"
    SERVICE_CUT = "service_cut"
    SERVICE_CANNOT_BE_CUT = "service_cannot_be_cut"
    PARCEL_RETURNED = "parcel_returned"


SERVICE_ANSWERS = frozenset({AnswerKind.SERVICE_CUT, AnswerKind.SERVICE_CANNOT_BE_CUT})
GOODS_ANSWERS = frozenset(AnswerKind) - SERVICE_ANSWERS


class AnswerEffect(enum.Enum):
    """What an answer did to its stop request.

    REPEATED and CONTRADICTED leave the request as it was: the first is harmless, the second refused.
    """

    NEW = "new"
    REPEATED = "repeated"
    CONTRADICTED = "contradicted"


class ConsequenceCode(enum.Enum):
    """The closed list of what can follow from an answer, or from none."""

    INVOICE_CANCELLED = "invoice_cancelled"
    PROVIDER_RECALLS_PARCEL = "provider_recalls_parcel"
    MERCHANT_RECALLS_PARCEL = "merchant_recalls_parcel"
    LIABILITY_MOVES_TO_MERCHANT = "liability_moves_to_merchant"
    SERVICE_CUT = "service_cut"
    WAIT_FOR_DISPUTE = "wait_for_dispute"
    ORDER_RETURNED = "order_returned"


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


class MistakeCode(enum.Enum):
    """The closed list of what can be wrong with a field of an answer; each has a text for merchants."""

    ANSWER_REQUIRED = "answer_required"
    FIELD_REQUIRED = "field_required"
    FIELD_NOT_WANTED = "field_not_wanted"
    FIELD_TOO_LONG = "field_too_long"
    FIELD_NOT_ONE_LINE = "field_not_one_line"


@dataclass(frozen=True, kw_only=True)
class FieldMistake:
    """What is wrong with one field of an answer, as a code and as a rule that the field must meet.

    maximum: in characters, for `field_too_long`.
    """

    field: str
    code: MistakeCode
    rule: str
    maximum: int | None = None


class AnswerInvalid(RiskError):
    """A merchant's answer breaks rules; `mistakes` names every field."""

    def __init__(self, mistakes: tuple[FieldMistake, ...]) -> None:
        super().__init__("; ".join(f"{mistake.field}: {mistake.rule}" for mistake in mistakes))
        self.mistakes = mistakes


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
class MerchantAnswer:
    """One answer of the merchant.

    carrier, tracking_number: None except for `shipped_with_tracking`, which has both.
    """

    kind: AnswerKind
    carrier: str | None
    tracking_number: str | None
    answered_at_ms: int
    note: str | None


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


@dataclass(frozen=True, kw_only=True)
class Consequence:
    """One thing that follows, with a sentence for the merchant and the fraud team."""

    code: ConsequenceCode
    sentence: str


def parse_answer(
    *,
    kind: str | None,
    carrier: str | None,
    tracking_number: str | None,
    note: str | None,
    answered_at_ms: int,
) -> MerchantAnswer:
    """Read a merchant's answer from the texts of a form; blank texts count as left out.

    Raises AnswerInvalid with every mistake.
    """
    mistakes: list[FieldMistake] = []
    carrier, tracking_number, note = _stripped(carrier), _stripped(tracking_number), _stripped(note)
    known_kind = next((known for known in AnswerKind if known.value == _stripped(kind)), None)
    if known_kind is None:
        kinds = ", ".join(known.value for known in AnswerKind)
        rule = f"must be one of {kinds}"
        mistakes.append(FieldMistake(field="kind", code=MistakeCode.ANSWER_REQUIRED, rule=rule))
    for field, text, maximum in (
        ("carrier", carrier, MAXIMUM_CARRIER_CHARACTERS),
        ("tracking_number", tracking_number, MAXIMUM_TRACKING_NUMBER_CHARACTERS),
    ):
        if known_kind is AnswerKind.SHIPPED_WITH_TRACKING and text is None:
            rule = f"is required for {known_kind.value}"
            mistakes.append(FieldMistake(field=field, code=MistakeCode.FIELD_REQUIRED, rule=rule))
        elif known_kind not in {None, AnswerKind.SHIPPED_WITH_TRACKING} and text is not None:
            rule = f"must be left out unless the kind is {AnswerKind.SHIPPED_WITH_TRACKING.value}"
            mistakes.append(FieldMistake(field=field, code=MistakeCode.FIELD_NOT_WANTED, rule=rule))
        elif text is not None and len(text) > maximum:
            mistakes.append(_too_long(field, maximum))
        elif text is not None and not text.isprintable():
            rule = "must be one line of printable characters"
            mistakes.append(FieldMistake(field=field, code=MistakeCode.FIELD_NOT_ONE_LINE, rule=rule))
    if note is not None and len(note) > MAXIMUM_NOTE_CHARACTERS:
        mistakes.append(_too_long("note", MAXIMUM_NOTE_CHARACTERS))
    if known_kind is None or mistakes:
        raise AnswerInvalid(tuple(mistakes))
    return MerchantAnswer(
        kind=known_kind,
        carrier=carrier,
        tracking_number=tracking_number,
        answered_at_ms=answered_at_ms,
        note=note,
    )


def _too_long(field: str, maximum: int) -> FieldMistake:
    return FieldMistake(
        field=field,
        code=MistakeCode.FIELD_TOO_LONG,
        rule=f"must have at most {maximum} characters",
        maximum=maximum,
    )


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
    if current is not None and _facts_of(answer) == _facts_of(current):
        note = _stripped(answer.note)
        same_facts = [given for given in request.answers if _facts_of(given) == _facts_of(current)]
        if note is None or note in {_stripped(given.note) for given in same_facts}:
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


def consequences(request: StopRequest, policy: StopRequestPolicy) -> tuple[Consequence, ...]:
    """What follows from the answer that counts, or from none in time; empty while nothing does.

    Where the goods were held or came back, or access was cut, a late answer costs the merchant nothing.
    """
    if request.state is StopRequestState.WITHDRAWN:
        return ()
    answer = request.current_answer
    if answer is None:
        return _after_missed_deadline(request, policy)
    match answer.kind:
        case AnswerKind.STOPPED_BEFORE_SHIPPING:
            return (
                Consequence(
                    code=ConsequenceCode.INVOICE_CANCELLED,
                    sentence=(
                        "The merchant removes the invoice, or registers the whole order as returned,"
                        " and confirms it."
                    ),
                ),
            )
        case AnswerKind.SHIPPED_WITH_TRACKING:
            return (_recall(answer, policy), *_after_missed_deadline(request, policy))
        case AnswerKind.SHIPPED_WITHOUT_TRACKING:
            return (
                Consequence(
                    code=ConsequenceCode.LIABILITY_MOVES_TO_MERCHANT,
                    sentence=(
                        "Shipping without a tracking number is a breach of the agreement,"
                        " so the merchant becomes liable for the order."
                    ),
                ),
            )
        case AnswerKind.SERVICE_CUT:
            return (
                Consequence(
                    code=ConsequenceCode.SERVICE_CUT,
                    sentence="Access to the service is cut and confirmed as stopped.",
                ),
                Consequence(
                    code=ConsequenceCode.INVOICE_CANCELLED,
                    sentence="The merchant removes the invoice, and no further invoices follow.",
                ),
            )
        case AnswerKind.SERVICE_CANNOT_BE_CUT:
            waiting = Consequence(
                code=ConsequenceCode.WAIT_FOR_DISPUTE,
                sentence="The service runs on, and nothing happens unless the claim is disputed.",
            )
            return (waiting, *_after_missed_deadline(request, policy))
        case AnswerKind.PARCEL_RETURNED:
            return (
                Consequence(
                    code=ConsequenceCode.ORDER_RETURNED,
                    sentence="The parcel came back, and the merchant registers the order as returned.",
                ),
            )
    assert_never(answer.kind)


def _after_missed_deadline(request: StopRequest, policy: StopRequestPolicy) -> tuple[Consequence, ...]:
    if not (request.has_missed_deadline and policy.no_answer_moves_liability):
        return ()
    sentence = "The merchant did not answer in time, so the merchant becomes liable for the order."
    return (Consequence(code=ConsequenceCode.LIABILITY_MOVES_TO_MERCHANT, sentence=sentence),)


def _recall(answer: MerchantAnswer, policy: StopRequestPolicy) -> Consequence:
    recallable = {_comparable(carrier) for carrier in policy.recallable_carriers}
    if answer.carrier is not None and _comparable(answer.carrier) in recallable:
        return Consequence(
            code=ConsequenceCode.PROVIDER_RECALLS_PARCEL,
            sentence="The provider can recall the parcel from this carrier for the merchant.",
        )
    return Consequence(
        code=ConsequenceCode.MERCHANT_RECALLS_PARCEL,
        sentence="The provider cannot recall parcels from this carrier, so the merchant recalls it itself.",
    )


def _facts_of(answer: MerchantAnswer) -> tuple[AnswerKind, str, str]:
    return answer.kind, _comparable(answer.carrier or ""), _stripped(answer.tracking_number) or ""


def _comparable(carrier: str) -> str:
    return carrier.strip().casefold()


def _stripped(text: str | None) -> str | None:
    return (text or "").strip() or None
