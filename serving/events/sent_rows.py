"""The ledger rows of a body as they were sent, before any is judged."""

from dataclasses import dataclass

from serving.domain.errors import FieldsInvalid
from serving.domain.field_errors import FieldError, pointer
from serving.events.event_answers import ROWS_MAXIMUM
from serving.requests.problem_details import ERRORS_MAXIMUM

VALUES_MAXIMUM = 100_000
"""Of a body: several times what as many rows of the widest contract hold."""


@dataclass(frozen=True, kw_only=True)
class SentRow:
    """One row as it was sent. where: the JSON pointer to it in the body."""

    where: str
    value: object


def rows_of(body: object) -> list[SentRow]:
    """The rows of a body: one object, or `{"events": [...]}`. Raises FieldsInvalid."""
    if not isinstance(body, dict):
        raise FieldsInvalid([FieldError(pointer="", detail="the body is a JSON object")])
    if "events" not in body:
        return [SentRow(where="", value=body)]
    unknown = [name for name in body if name != "events"]
    errors = [
        FieldError(pointer=pointer(name), detail="there is no such field")
        for name in unknown[:ERRORS_MAXIMUM]
    ]
    events = body["events"]
    if not isinstance(events, list):
        errors.append(FieldError(pointer="/events", detail="events must be a list"))
    elif len(events) > ROWS_MAXIMUM:
        errors.append(FieldError(pointer="/events", detail=f"at most {ROWS_MAXIMUM} rows at a time"))
    if errors:
        raise FieldsInvalid(errors, not_listed=max(len(unknown) - ERRORS_MAXIMUM, 0))
    return [SentRow(where=pointer("events", index), value=event) for index, event in enumerate(events)]
