"""Reading requests and writing answers: bodies, headers and callers, the same for every route."""

import json
import re
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from serving.domain.errors import FieldsInvalid, RiskError
from serving.domain.field_errors import FieldError, pointer
from serving.requests.problem_details import (
    IDEMPOTENCY_KEY_INVALID,
    UNSUPPORTED_MEDIA_TYPE,
    ProblemError,
)
from serving.requests.request_scope import RequestScope
from serving.requests.wire_form import encoded
from serving.store.api_keys import Caller
from serving.store.errors import StoreUnavailable

IDEMPOTENCY_KEY_MAXIMUM = 255
ADMISSION = "bonitas.admission"
UTF_8 = frozenset({"utf-8", "utf8", "us-ascii"})
"""The character sets that a body may name; ASCII is a part of it."""
_AFTER_NAME = re.compile(rb'"[ \t\r\n]*:')
"""Once after every name of a document, and where a text holds such signs."""

Body = TypeVar("Body", bound=msgspec.Struct)


@dataclass(frozen=True, kw_only=True, slots=True)
class Admission:
    """What the door found out about a request that it let in. A handler sees no request without one.

    caller: None where nobody needs to be known, or while no key can be looked up.
    store_problem: why no key could be looked up, None where one was.
    body: the whole of it, within the route's bound; empty where the route takes none.
    """

    scope: RequestScope
    caller: Caller | None
    body: bytes
    store_problem: StoreUnavailable | None = None


def admission(request: Request) -> Admission:
    """Of a request that came through the door."""
    found = request.scope[ADMISSION]
    if not isinstance(found, Admission):
        raise TypeError("the request did not come through the door")
    return found


def authenticated(request: Request) -> tuple[RequestScope, Caller]:
    """The scope, and who calls, with a role that the route lets in. Raises StoreUnavailable."""
    admitted = admission(request)
    if admitted.caller is None:
        raise admitted.store_problem or StoreUnavailable("nobody was looked up")
    return admitted.scope, admitted.caller


def id_in_path(request: Request, name: str, unknown: type[RiskError]) -> str:
    """An id of the path. Raises `unknown` for what is none: PostgreSQL takes no zero byte."""
    value = str(request.path_params[name])
    if not value.isprintable():
        raise unknown("there is no such thing")
    return value


def idempotency_key(request: Request) -> str | None:
    """The Idempotency-Key, None without one. Raises ProblemError (400) where it is not valid."""
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if not 1 <= len(key) <= IDEMPOTENCY_KEY_MAXIMUM or not key.isprintable():
        raise ProblemError(IDEMPOTENCY_KEY_INVALID, detail="1 to 255 printable characters are allowed")
    return key


def accepted_language(request: Request) -> str | None:
    """The first language tag of Accept-Language; its order says enough for texts in a few languages."""
    first = request.headers.get("accept-language", "").split(",")[0].split(";")[0].strip()
    return None if first in {"", "*"} else first


def json_body(request: Request, *, optional: bool = False, values_maximum: int | None = None) -> object:
    """The decoded JSON body; None for an empty one where it is optional.

    Raises ProblemError (415), FieldsInvalid.

    values_maximum: how many values it may hold, by its commas, which are cheap to count: to decode millions
        takes the process from everybody else. None where the bound of the body is bound enough.
    """
    body = admission(request).body
    if optional and not body:
        return None
    require_json(request)
    if values_maximum is not None and body.count(b",") > values_maximum:
        raise FieldsInvalid([FieldError(pointer="", detail=f"at most {values_maximum} values at a time")])
    return decoded_json(body)


def decoded_json(body: bytes) -> object:
    """A JSON document. Raises FieldsInvalid for what is none, or gives a name twice in one object."""
    try:
        document = msgspec.json.decode(body)
        twice = names_given_twice(body) if _may_have_names_twice(body, _names_in(document)) else []
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FieldsInvalid([FieldError(pointer="", detail=f"the body is not JSON: {error}")]) from error
    if twice:
        raise FieldsInvalid([FieldError(pointer=where, detail="is given more than once") for where in twice])
    return document


def _may_have_names_twice(body: bytes, names_count: int) -> bool:
    """Whether more colons follow quotes than there are names: in a text, or because a name comes twice."""
    return body.count(b":") > names_count and len(_AFTER_NAME.findall(body)) > names_count


def _names_in(value: object) -> int:
    """How many names the objects of a decoded document have."""
    inner: Iterable[object]
    if isinstance(value, dict):
        inner, names = value.values(), len(value)
    elif isinstance(value, list):
        inner, names = value, 0
    else:
        return 0
    for one in inner:
        # Of exact types, because each order passes here: a decoder makes no others.
        if type(one) is dict or type(one) is list:
            names += _names_in(one)
    return names


class _NamedTwice(dict[str, object]):
    """An object of a document. twice: the names that it has more than once."""

    def __init__(self, pairs: list[tuple[str, object]]) -> None:
        super().__init__(pairs)
        uses = Counter(name for name, _ in pairs)
        self.twice = [name for name, times in uses.items() if times > 1]


def names_given_twice(body: bytes) -> list[str]:
    """JSON pointers to the names that an object of a document has more than once.

    Readers differ in which of two values counts, so what one of them checked another may never see.

    >>> names_given_twice(b'{"a": [{"b": 1, "b": 2}], "c": "d", "c": "e"}')
    ['/c', '/a/0/b']
    """
    twice: list[str] = []
    to_see: deque[tuple[tuple[str | int, ...], object]] = deque()
    to_see.append(((), json.loads(body, object_pairs_hook=_NamedTwice)))
    while to_see:
        path, value = to_see.popleft()
        if isinstance(value, _NamedTwice):
            twice += [pointer(*path, name) for name in value.twice]
            to_see.extend(((*path, name), one) for name, one in value.items() if _is_open(one))
        elif isinstance(value, list):
            to_see.extend(((*path, place), one) for place, one in enumerate(value) if _is_open(one))
    return twice


def _is_open(value: object) -> bool:
    return isinstance(value, dict | list)


def fields_of(body: object, fields: type[Body]) -> Body:
    """The fields of a small JSON object, all of them texts or null. Raises FieldsInvalid that names each
    that is none, is missing or does not belong there; what else a text must be, the use case says.

    fields: a Struct; what has no default there is required. None stands for an empty object.
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
    for name, field in known.items():
        text = body.get(name)
        if field.required and not isinstance(text, str):
            errors.append(FieldError(pointer=pointer(name), detail=f"{name} is required, as a text"))
        elif not isinstance(text, str | None):
            errors.append(FieldError(pointer=pointer(name), detail=f"{name} must be a text"))
    if errors:
        raise FieldsInvalid(errors)
    return fields(**body)


def require_json(request: Request) -> None:
    """Raise ProblemError (415) where the body says that it is something else."""
    media_type, _, parameters = request.headers.get("content-type", "").partition(";")
    if media_type.strip().lower() != "application/json":
        raise ProblemError(UNSUPPORTED_MEDIA_TYPE, detail="send it as Content-Type: application/json")
    for parameter in parameters.split(";") if parameters else ():
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset" and value.strip(' "\t').lower() not in UTF_8:
            raise ProblemError(UNSUPPORTED_MEDIA_TYPE, detail="send it in UTF-8, as JSON is")


def json_answer(document: object, *, status: int = 200) -> Response:
    """An answer in JSON."""
    return Response(encoded(document), status_code=status, media_type="application/json")
