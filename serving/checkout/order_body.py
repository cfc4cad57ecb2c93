"""The body of an order as a checkout sends it, checked field by field against the contract of orders."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from data_contracts.contract import ColumnType, portable_pattern
from data_contracts.json_schema import json_schema
from data_contracts.orders import ORDERS
from data_contracts.row_check import CheckedRow, TimestampForm, check_row
from serving.domain.errors import FieldsInvalid
from serving.domain.field_errors import FieldError, pointer
from serving.domain.order_numbers import MADE_ORDER_ID_PREFIX, is_made_for_another, order_id_for
from serving.requests.answer_fields import NamedSchema

ADDRESS_FIELDS = ("name", "street", "house_number", "postal_code", "city", "country")
CONTACT_FIELDS = ("email", "phone")
NESTED = {"delivery": ADDRESS_FIELDS, "billing": ADDRESS_FIELDS, "contact": CONTACT_FIELDS}
PLAIN_FIELDS = (
    "order_id",
    "customer_id",
    "merchant_id",
    "merchant_order_number",
    "amount_cents",
    "vat_cents",
    "currency",
    "kind",
    "item_category",
    "device_id",
    "ip_address",
)
LANGUAGE_PATTERN = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{1,8})*([.@][A-Za-z0-9_-]{1,16})?")
"""A language tag, or the name of a locale as systems write it: de, de-AT, de_DE, de_DE.UTF-8."""

POINTER_OF_COLUMN: Mapping[str, str] = {
    **{name: pointer(name) for name in PLAIN_FIELDS},
    **{f"{group}_{name}": pointer(group, name) for group, names in NESTED.items() for name in names},
}
"""Where each column of the contract stands in the body."""

_NULLABLE_TEXTS = frozenset(
    column.name for column in ORDERS.columns if column.nullable and column.type is ColumnType.STRING
)
_OPTIONAL_TEXTS = _NULLABLE_TEXTS | {"order_id"}
"""What a body may leave out. The contract wants an order_id, which we make where none is given."""
_NESTED_COLUMNS = {group: {name: f"{group}_{name}" for name in names} for group, names in NESTED.items()}
_PLAIN = frozenset(PLAIN_FIELDS)


class OrderBody(msgspec.Struct, frozen=True, kw_only=True):
    """A well-formed order.

    row: its columns of the orders contract, without the envelope; what was not given is left out.
    language: the language tag that the body asks for, None where it says nothing.
    is_named_by_number: the body names the order by its merchant's own number alone; the row's `order_id` is
        the one that we make for it, unless the number stands for another order already.
    """

    row: dict[str, Any]
    language: str | None
    is_named_by_number: bool = False


def order_body(body: object, *, now_ms: int, is_merchants_own: bool = False) -> OrderBody:
    """Check a decoded body. Raises FieldsInvalid that points to every bad field.

    An optional text that is blank or null counts as not given: a form sends "" for a field left blank.
    is_merchants_own: a merchant's own key sends it. Such a key names an order by the merchant's own number,
        and so what it sends as `order_id`, as it did before there were such numbers, is that number.
    """
    if not isinstance(body, dict):
        raise FieldsInvalid([FieldError(pointer="", detail="the body is a JSON object")])
    row, language, errors = _taken_apart(body)
    for name in _OPTIONAL_TEXTS:
        if name in row and (row[name] is None or (isinstance(row[name], str) and not row[name].strip())):
            del row[name]
    is_named_by_number, numbered_as = _name_by_number(row, errors, is_merchants_own=is_merchants_own)
    broken_groups = {error.pointer for error in errors}
    missing_groups = [group for group in NESTED if group not in body]
    errors.extend(
        FieldError(pointer=pointer(group), detail=f"{group} is required") for group in missing_groups
    )
    checked = _checked(row, now_ms)
    for violation in checked.violations:
        where = POINTER_OF_COLUMN[violation.column]
        if violation.column == "merchant_order_number":
            where = pointer(numbered_as)
        group = where.split("/")[1]
        if group in missing_groups or pointer(group) in broken_groups:
            continue
        field = where.rsplit("/", 1)[1]
        detail = violation.message.replace(violation.column, field)
        errors.append(FieldError(pointer=where, detail=detail))
    if errors or checked.row is None:
        raise FieldsInvalid(errors)
    accepted = checked.row
    for name in _ENVELOPE:
        del accepted[name]
    return OrderBody(row=accepted, language=language, is_named_by_number=is_named_by_number)


def _name_by_number(
    row: dict[str, Any], errors: list[FieldError], *, is_merchants_own: bool
) -> tuple[bool, str]:
    """Give the row the order_id that its merchant's number stands for, where it is named by that alone.

    Returns whether it is, and in which field of the body the number stands.
    """
    number_field = "merchant_order_number"
    if is_merchants_own:
        if row.get(number_field) is None and "order_id" in row:
            number_field = "order_id"
            row["merchant_order_number"] = row.pop("order_id")
        elif "order_id" in row and row["order_id"] == row.get(number_field):
            del row["order_id"]
    order_id, number = row.get("order_id"), row.get("merchant_order_number")
    merchant_id = str(row.get("merchant_id"))
    if order_id is None:
        if number is None and is_merchants_own:
            errors.append(FieldError(pointer=pointer(number_field), detail=f"{number_field} is required"))
        if number is not None or is_merchants_own:
            row["order_id"] = order_id_for(merchant_id, str(number))
            return True, number_field
        return False, number_field
    if is_merchants_own and order_id != order_id_for(merchant_id, str(number)):
        detail = "order_id must be left out: a merchant's key names its order by merchant_order_number"
        errors.append(FieldError(pointer="/order_id", detail=detail))
    elif is_made_for_another(row):
        detail = (
            f"order_id must not begin with {MADE_ORDER_ID_PREFIX}, which stands for a merchant_order_number, "
            "unless the body names that number"
        )
        errors.append(FieldError(pointer="/order_id", detail=detail))
    return is_merchants_own, number_field


def _taken_apart(body: dict[str, Any]) -> tuple[dict[str, Any], str | None, list[FieldError]]:
    """The body's fields by the contract's columns, its language, and the fields that have no place."""
    errors: list[FieldError] = []
    row: dict[str, Any] = {}
    language: str | None = None
    for name, value in body.items():
        if name in _PLAIN:
            row[name] = value
        elif name in _NESTED_COLUMNS:
            if isinstance(value, dict):
                _take_group(name, value, row, errors)
            else:
                errors.append(FieldError(pointer=pointer(name), detail=f"{name} must be an object"))
        elif name == "language":
            if isinstance(value, str) and not value.strip():
                continue
            if value is None or (isinstance(value, str) and LANGUAGE_PATTERN.fullmatch(value)):
                language = value
            else:
                errors.append(
                    FieldError(
                        pointer="/language", detail="language must be a language tag such as de or de-AT"
                    )
                )
        else:
            errors.append(FieldError(pointer=pointer(name), detail="there is no such field"))
    return row, language, errors


_ENVELOPE = ("event_id", "occurred_at", "recorded_at")


def _checked(row: dict[str, Any], now_ms: int) -> CheckedRow:
    return check_row(
        ORDERS,
        {"event_id": "checkout", "occurred_at": now_ms, **row},
        timestamps=TimestampForm.MILLISECONDS,
        recorded_at_ms=now_ms,
        clock_tolerance_ms=0,  # both instants are the service's own
    )


def _take_group(group: str, value: dict[str, Any], row: dict[str, Any], errors: list[FieldError]) -> None:
    columns = _NESTED_COLUMNS[group]
    for name, inner in value.items():
        column = columns.get(name)
        if column is None:
            errors.append(FieldError(pointer=pointer(group, name), detail="there is no such field"))
        else:
            row[column] = inner


def order_body_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of the body, from the contract's columns."""
    columns: dict[str, Any] = json_schema(ORDERS)["properties"]
    properties: dict[str, Any] = {name: _as_sent(columns[name]) for name in PLAIN_FIELDS}
    nullable = {column.name for column in ORDERS.columns if column.nullable}
    for group, names in NESTED.items():
        properties[group] = {
            "type": "object",
            "properties": {name: _as_sent(columns[f"{group}_{name}"]) for name in names},
            "required": [name for name in names if f"{group}_{name}" not in nullable],
            "additionalProperties": False,
        }
    properties["order_id"] = _or_blank({**properties["order_id"], "type": ["string", "null"]})
    properties["language"] = _or_blank(
        {
            "type": ["string", "null"],
            "description": "language of the texts to the customer; else Accept-Language, else the customer's "
            "own",
            "pattern": f"^(?:{portable_pattern(LANGUAGE_PATTERN.pattern)})$",
        }
    )
    required = [name for name in PLAIN_FIELDS if name not in nullable and name != "order_id"]
    return {
        "type": "object",
        "description": "A merchant's own key names the order by merchant_order_number; a checkout's by "
        "order_id, or by merchant_order_number and merchant_id. We make the order_id where none is given. "
        "An optional text that is blank or null counts as not given.",
        "properties": properties,
        "required": [*required, *NESTED],
        # Said so, and not as one of two, generators of clients make one type of it.
        "if": {"not": _given("order_id")},
        "then": _given("merchant_order_number"),
        "additionalProperties": False,
    }


def _as_sent(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a column as a checkout sends it."""
    is_nullable_text = schema["type"] == ["string", "null"]
    return _or_blank(schema) if is_nullable_text else schema


def _given(name: str) -> dict[str, Any]:
    """The schema of a body in which a text stands."""
    return {"properties": {name: {"type": "string", "pattern": r"\S"}}, "required": [name]}


def _or_blank(schema: dict[str, Any]) -> dict[str, Any]:
    description = schema.pop("description")
    return {"description": description, "anyOf": [schema, {"type": "string", "pattern": r"^\s*$"}]}


ORDER = NamedSchema(name="Order", schema=order_body_schema)

_EXAMPLE_ADDRESS = {
    "name": "Erika Mustermann",
    "street": "Heidestraße",
    "house_number": "17",
    "postal_code": "51147",
    "city": "Köln",
    "country": "DE",
}
EXAMPLE_ORDER: Mapping[str, Any] = {
    "order_id": "order-1001",
    "customer_id": "customer-1",
    "merchant_id": "merchant-1",
    "amount_cents": 4_990,
    "vat_cents": 797,
    "currency": "EUR",
    "kind": "goods",
    "item_category": "clothing",
    "delivery": _EXAMPLE_ADDRESS,
    "billing": _EXAMPLE_ADDRESS,
    "contact": {"email": "erika@example.com", "phone": "+49 30 1234567"},
    "language": "de",
}
"""What the published contract shows, and a test sends."""
