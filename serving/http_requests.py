"""Reading requests and writing answers: bodies, headers and callers, the same for every route."""

from collections.abc import Awaitable, Callable

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from serving.problem_details import FieldError, ProblemError, invalid_body
from serving.request_scope import RequestScope
from serving.store.api_keys import Caller
from serving.store_access import StoreAccess

MAXIMUM_BODY_BYTES = 64 * 1024
IDEMPOTENCY_KEY_MAXIMUM = 255

Handler = Callable[[Request], Awaitable[Response]]


async def authenticated(access: StoreAccess, request: Request) -> tuple[RequestScope, Caller]:
    """The scope, and who calls. Raises ProblemError (401, or 503 while the service is starting)."""
    scope = access.ready_scope()
    return scope, await access.caller(scope, request.headers.get("authorization"))


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


async def json_body(request: Request, maximum: int = MAXIMUM_BODY_BYTES, *, optional: bool = False) -> object:
    """The decoded JSON body; None for an empty one where it is optional.

    Raises ProblemError (413, 415, 422). maximum: in bytes.
    """
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > maximum:
        raise _too_large(maximum)
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > maximum:
            raise _too_large(maximum)
        parts.append(part)
    body = b"".join(parts)
    if optional and not body:
        return None
    content_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if content_type != "application/json":
        raise ProblemError(415, "Unsupported media type", detail="send application/json")
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise invalid_body([FieldError(pointer="", detail=f"the body is not JSON: {error}")]) from error


def _too_large(maximum: int) -> ProblemError:
    return ProblemError(413, "The body is too large", detail=f"at most {maximum} bytes are allowed")


def json_answer(document: object, *, status: int = 200) -> Response:
    """An answer in JSON."""
    return Response(msgspec.json.encode(document), status_code=status, media_type="application/json")
