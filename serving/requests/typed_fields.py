"""The fields of a body whose values are more than texts: each judged by its type, each mistake named."""

import re
from typing import Any, TypeVar, get_type_hints

import msgspec

from serving.domain.errors import FieldsInvalid
from serving.domain.field_errors import FieldError, pointer

Body = TypeVar("Body", bound=msgspec.Struct)

_PLACE = re.compile(r"\[(\d+)\]|\.(\w+)")


def typed_fields_of(body: object, fields: type[Body]) -> Body:
    """The fields of a JSON object by the types of a Struct. None stands for an empty object.

    Raises FieldsInvalid that names every field which breaks its type, is missing, or does not belong there.

    >>> class Sent(msgspec.Struct):
    ...     cents: int
    >>> typed_fields_of({"cents": "1", "colour": "red"}, Sent)
    Traceback (most recent call last):
    serving.domain.errors.FieldsInvalid: there is no such field; cents: Expected `int`, got `str`
    """
    if body is None:
        body = {}
    if not isinstance(body, dict):
        raise FieldsInvalid([FieldError(pointer="", detail="the body is a JSON object")])
    known = {field.name: field for field in msgspec.structs.fields(fields)}
    errors = [
        FieldError(pointer=pointer(name), detail="there is no such field")
        for name in body
        if name not in known
    ]
    types = get_type_hints(fields, include_extras=True)
    values: dict[str, Any] = {}
    for name, field in known.items():
        if name not in body:
            if field.required:
                errors.append(FieldError(pointer=pointer(name), detail=f"{name} is required"))
            continue
        try:
            values[name] = msgspec.convert(body[name], types[name])
        except msgspec.ValidationError as problem:
            errors.append(_error_at(name, str(problem)))
    if errors:
        raise FieldsInvalid(errors)
    return fields(**values)


def _error_at(name: str, message: str) -> FieldError:
    rule, _, place = message.partition(" - at `$")
    inner = [int(index) if index else key for index, key in _PLACE.findall(place)]
    return FieldError(pointer=pointer(name, *inner), detail=f"{name}: {rule}")
