"""The body of an amendment as a checkout sends it, checked field by field against the contract of its row."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from data_contracts.json_schema import json_schema
from data_contracts.order_events import AMENDED, ORDER_EVENTS
from data_contracts.row_check import TimestampForm, check_row
from serving.checkout.order_body import ADDRESS_FIELDS, LANGUAGE_PATTERN, order_body_schema
from serving.domain.errors import FieldsInvalid
from serving.domain.field_errors import FieldError, pointer
from serving.requests.answer_fields import NamedSchema

AMOUNT_FIELD = "new_amount_cents"
_COLUMN_OF = {name: f"new_delivery_{name}" for name in ADDRESS_FIELDS}
_MAY_BE_MISSING = frozenset({"house_number"})


@dataclass(frozen=True, kw_only=True)
class AmendmentBody:
    """What an order shall be from now on.

    new_amount_cents: of the whole order, in minor units; None where it stays.
    delivery: the whole new address by the names of ADDRESS_FIELDS, what is not given left out; None where
        it stays.
    language: as in an order.
    """

    new_amount_cents: int | None
    delivery: Mapping[str, str] | None
    language: str | None

    def columns(self, *, amount_cents: int) -> dict[str, Any]:
        """The columns of the ledger row that keeps it. amount_cents: what the whole order comes to then."""
        moved = {_COLUMN_OF[name]: text for name, text in (self.delivery or {}).items()}
        return {"kind": AMENDED, AMOUNT_FIELD: amount_cents, **moved}


def amendment_body(body: object, *, now_ms: int) -> AmendmentBody:
    """Check a decoded body. Raises FieldsInvalid that points to every bad field."""
    if not isinstance(body, dict):
        raise FieldsInvalid([FieldError(pointer="", detail="the body is a JSON object")])
    known = {AMOUNT_FIELD, "delivery", "language"}
    errors = [
        FieldError(pointer=pointer(name), detail="there is no such field")
        for name in body
        if name not in known
    ]
    amount_cents, delivery, language = body.get(AMOUNT_FIELD), body.get("delivery"), body.get("language")
    if amount_cents is None and delivery is None:
        detail = f"{AMOUNT_FIELD} or delivery is required: what shall change"
        errors.append(FieldError(pointer=pointer(AMOUNT_FIELD), detail=detail))
    if isinstance(language, str) and not language.strip():
        language = None
    if language is not None and not (isinstance(language, str) and LANGUAGE_PATTERN.fullmatch(language)):
        detail = "language must be a language tag such as de or de-AT"
        errors.append(FieldError(pointer="/language", detail=detail))
    sent = {} if delivery is None else _address_as_sent(delivery, errors)
    accepted = _checked(1 if amount_cents is None else amount_cents, sent, errors, now_ms)
    if errors:
        raise FieldsInvalid(errors)
    return AmendmentBody(
        new_amount_cents=amount_cents,
        delivery=None
        if delivery is None
        else {name: accepted[column] for name, column in _COLUMN_OF.items() if column in accepted},
        language=language,
    )


def _address_as_sent(delivery: object, errors: list[FieldError]) -> dict[str, object]:
    if not isinstance(delivery, dict):
        errors.append(FieldError(pointer="/delivery", detail="delivery must be an object"))
        return {}
    errors += [
        FieldError(pointer=pointer("delivery", name), detail="there is no such field")
        for name in delivery
        if name not in _COLUMN_OF
    ]
    sent = {name: delivery.get(name) for name in ADDRESS_FIELDS}
    for name, text in sent.items():
        if isinstance(text, str) and not text.strip():
            sent[name] = None
        if name not in _MAY_BE_MISSING and sent[name] is None:
            detail = f"{name} is required: a new address is sent whole"
            errors.append(FieldError(pointer=pointer("delivery", name), detail=detail))
    return {_COLUMN_OF[name]: value for name, value in sent.items() if value is not None}


def _checked(
    amount_cents: object, address: Mapping[str, object], errors: list[FieldError], now_ms: int
) -> Mapping[str, Any]:
    """The columns as the ledger keeps them; what breaks a rule is added to the errors."""
    envelope = {
        "event_id": "amendment",
        "occurred_at": now_ms,
        "order_id": "order",
        "customer_id": "customer",
    }
    checked = check_row(
        ORDER_EVENTS,
        {**envelope, "kind": AMENDED, AMOUNT_FIELD: amount_cents, **address},
        timestamps=TimestampForm.MILLISECONDS,
        recorded_at_ms=now_ms,
        clock_tolerance_ms=0,  # both instants are the service's own
    )
    field_of = {column: name for name, column in _COLUMN_OF.items()}
    for violation in checked.violations:
        column = violation.column
        field = field_of.get(column, column)
        where = pointer("delivery", field) if column in field_of else pointer(field)
        errors.append(FieldError(pointer=where, detail=violation.message.replace(column, field)))
    return checked.row or {}


def amendment_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of the body, from the contract's columns and from the body of an order."""
    of_order: dict[str, Any] = order_body_schema()["properties"]
    amount = dict(json_schema(ORDER_EVENTS)["properties"][AMOUNT_FIELD])
    amount["description"] = "what the whole order comes to, including VAT; null or left out where that stays"
    return {
        "type": "object",
        "description": "The new amount, the new delivery address, or both.",
        "properties": {
            AMOUNT_FIELD: amount,
            "delivery": {
                **of_order["delivery"],
                "type": ["object", "null"],
                "description": "the whole new address; null or left out where that stays",
            },
            "language": of_order["language"],
        },
        # Said so, and not as one of two, generators of clients make one type of it.
        "if": {"not": {"required": [AMOUNT_FIELD], "properties": {AMOUNT_FIELD: {"type": "integer"}}}},
        "then": {"required": ["delivery"], "properties": {"delivery": {"type": "object"}}},
        "additionalProperties": False,
    }


AMENDMENT = NamedSchema(name="Amendment", schema=amendment_schema)
EXAMPLE_AMENDMENT: Mapping[str, Any] = {"new_amount_cents": 3_990}
"""What the published contract shows, and a test sends."""
