"""What a merchant can answer to a stop request, and how it is read from the texts of a form.

All instants are milliseconds since 1970-01-01 UTC.
"""

import enum
import unicodedata
from dataclasses import dataclass

from data_contracts.text_form import in_one_form, is_blank
from serving.domain.errors import RiskError

MAXIMUM_CARRIER_CHARACTERS = 100
MAXIMUM_TRACKING_NUMBER_CHARACTERS = 100
MAXIMUM_NOTE_CHARACTERS = 2_000
_NOT_ON_A_LINE = frozenset({"Cc", "Zl", "Zp"})


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
    carrier, tracking_number, note = _copied_line(carrier), _copied_line(tracking_number), text_or_none(note)
    known_kind = next((known for known in AnswerKind if known.value == text_or_none(kind)), None)
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


def facts_of(answer: MerchantAnswer) -> tuple[AnswerKind, str, str]:
    """What an answer says, however it is spelled: kind, carrier, tracking number; empty where not given."""
    return answer.kind, comparable_carrier(answer.carrier or ""), text_or_none(answer.tracking_number) or ""


def comparable_carrier(carrier: str) -> str:
    """A carrier's name as it is compared with others: in its one form, in any case."""
    return in_one_form(carrier).casefold()


def _copied_line(text: str | None) -> str | None:
    """A text that was copied from a page, without the signs there that nobody sees; None for a blank one.

    One with a line break or a control character stays as it is, and is refused.
    """
    known = text_or_none(text)
    is_one_line = known is not None and not _NOT_ON_A_LINE.intersection(map(unicodedata.category, known))
    return in_one_form(known) if known is not None and is_one_line else known


def text_or_none(text: str | None) -> str | None:
    """A text without blanks around it; None for one of which nobody sees anything: it counts as left out."""
    return None if text is None or is_blank(text) else text.strip()
