"""Reading requests and writing answers: bodies, headers and callers, the same for every route."""

from dataclasses import dataclass

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from serving.requests.problem_details import FieldError, ProblemError, invalid_body
from serving.requests.request_scope import RequestScope
from serving.store.api_keys import Caller
from serving.store.errors import StoreUnavailable

IDEMPOTENCY_KEY_MAXIMUM = 255
ADMISSION = "bonitas.admission"


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


def idempotency_key(request: Request) -> str | None:
    """The Idempotency-Key, None without one. Raises ProblemError (400) where it is not valid."""
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if not 1 <= len(key) <= IDEMPOTENCY_KEY_MAXIMUM or not key.isprintable():
        raise ProblemError(
            400, "The Idempotency-Key is not valid", detail="1 to 255 printable characters are allowed"
        )
    return key


def accepted_language(request: Request) -> str | None:
    """The first language tag of Accept-Language; its order says enough for texts in a few languages."""
    first = request.headers.get("accept-language", "").split(",")[0].split(";")[0].strip()
    return None if first in {"", "*"} else first


def json_body(request: Request, *, optional: bool = False, values_maximum: int | None = None) -> object:
    """The decoded JSON body; None for an empty one where it is optional. Raises ProblemError (415, 422).

    values_maximum: how many values it may hold, by its commas, which are cheap to count: to decode millions
        takes the process from everybody else. None where the bound of the body is bound enough.
    """
    body = admission(request).body
    if optional and not body:
        return None
    require_json(request)
    if values_maximum is not None and body.count(b",") > values_maximum:
        raise invalid_body([FieldError(pointer="", detail=f"at most {values_maximum} values at a time")])
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise invalid_body([FieldError(pointer="", detail=f"the body is not JSON: {error}")]) from error


def require_json(request: Request) -> None:
    """Raise ProblemError (415) where the body says that it is something else."""
    content_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if content_type != "application/json":
        raise ProblemError(415, "Unsupported media type", detail="send application/json")


def json_answer(document: object, *, status: int = 200) -> Response:
    """An answer in JSON."""
    return Response(msgspec.json.encode(document), status_code=status, media_type="application/json")
