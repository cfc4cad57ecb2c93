"""What a merchant can answer to a dispute, and how it is read from the texts of a form or a body.

All instants are milliseconds since 1970-01-01 UTC.
"""

import enum
from dataclasses import dataclass

from serving.domain.merchant_answer import (
    MAXIMUM_CARRIER_CHARACTERS,
    MAXIMUM_NOTE_CHARACTERS,
    MAXIMUM_TRACKING_NUMBER_CHARACTERS,
    AnswerInvalid,
    FieldMistake,
    MistakeCode,
    comparable_carrier,
    text_or_none,
)


class DisputeAnswerKind(enum.Enum):
    """The closed list of what a merchant can answer. To give in is a step of its own, not an answer."""

    SHIPPED_WITH_TRACKING = "shipped_with_tracking"
    SHIPPED_WITHOUT_TRACKING = "shipped_without_tracking"
    REPLACEMENT_SENT = "replacement_sent"
    RETURN_NOT_RECEIVED = "return_not_received"
    GOODS_AS_DESCRIBED = "goods_as_described"
    AMOUNT_IS_RIGHT = "amount_is_right"
    NOT_CANCELLED_IN_TIME = "not_cancelled_in_time"
    SERVICE_PROVIDED = "service_provided"
    AGREED_WITH_CUSTOMER = "agreed_with_customer"
    OTHER = "other"


NEED_TRACKING = frozenset({DisputeAnswerKind.SHIPPED_WITH_TRACKING, DisputeAnswerKind.REPLACEMENT_SENT})
NEED_TEXT = frozenset({DisputeAnswerKind.AGREED_WITH_CUSTOMER, DisputeAnswerKind.OTHER})


@dataclass(frozen=True, kw_only=True)
class DisputeAnswer:
    """One answer of the merchant. carrier, tracking_number: None except for kinds of `NEED_TRACKING`."""

    kind: DisputeAnswerKind
    text: str | None
    carrier: str | None
    tracking_number: str | None
    answered_at_ms: int

    @property
    def content(self) -> tuple[DisputeAnswerKind, str, str, str]:
        """All that it says, however the carrier is spelled: the same again changes nothing."""
        return self.kind, self.text or "", comparable_carrier(self.carrier or ""), self.tracking_number or ""


def parse_dispute_answer(
    *,
    kind: str | None,
    text: str | None,
    carrier: str | None,
    tracking_number: str | None,
    answered_at_ms: int,
) -> DisputeAnswer:
    """Read an answer from texts; blank ones count as left out. Raises AnswerInvalid with every mistake.

    >>> parse_dispute_answer(
    ...     kind="other", text=" ", carrier=None, tracking_number=None, answered_at_ms=0
    ... )
    Traceback (most recent call last):
    serving.domain.merchant_answer.AnswerInvalid: text: is required for other
    """
    known_kind = next((known for known in DisputeAnswerKind if known.value == text_or_none(kind)), None)
    text, carrier, tracking_number = (text_or_none(given) for given in (text, carrier, tracking_number))
    mistakes: list[FieldMistake] = []
    if known_kind is None:
        rule = f"must be one of {', '.join(known.value for known in DisputeAnswerKind)}"
        mistakes.append(FieldMistake(field="kind", code=MistakeCode.ANSWER_REQUIRED, rule=rule))
    for field, given, needed, maximum in (
        ("text", text, NEED_TEXT, MAXIMUM_NOTE_CHARACTERS),
        ("carrier", carrier, NEED_TRACKING, MAXIMUM_CARRIER_CHARACTERS),
        ("tracking_number", tracking_number, NEED_TRACKING, MAXIMUM_TRACKING_NUMBER_CHARACTERS),
    ):
        mistake = _mistake(field, given, known_kind, needed, maximum)
        if mistake is not None:
            mistakes.append(mistake)
    if known_kind is None or mistakes:
        raise AnswerInvalid(tuple(mistakes))
    return DisputeAnswer(
        kind=known_kind,
        text=text,
        carrier=carrier,
        tracking_number=tracking_number,
        answered_at_ms=answered_at_ms,
    )


def _mistake(
    field: str,
    given: str | None,
    kind: DisputeAnswerKind | None,
    needed: frozenset[DisputeAnswerKind],
    maximum: int,
) -> FieldMistake | None:
    if given is None:
        if kind not in needed:
            return None
        rule = f"is required for {kind.value}" if kind is not None else "is required"
        return FieldMistake(field=field, code=MistakeCode.FIELD_REQUIRED, rule=rule)
    if field != "text" and kind is not None and kind not in needed:
        kinds = " or ".join(sorted(known.value for known in needed))
        rule = f"must be left out unless the kind is {kinds}"
        return FieldMistake(field=field, code=MistakeCode.FIELD_NOT_WANTED, rule=rule)
    if len(given) > maximum:
        rule = f"must have at most {maximum} characters"
        return FieldMistake(field=field, code=MistakeCode.FIELD_TOO_LONG, rule=rule, maximum=maximum)
    if field != "text" and not given.isprintable():
        rule = "must be one line of printable characters"
        return FieldMistake(field=field, code=MistakeCode.FIELD_NOT_ONE_LINE, rule=rule)
    return None
