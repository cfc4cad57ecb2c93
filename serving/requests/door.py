"""The one door of the service: every request passes it, by the declaration of its route.

What is not declared is not there, whatever BentoML has mounted. For an API key's routes the order is fixed:
the key, then its role, then the bound of the body, then the body itself within its time, and only then the
handler. So nobody without a key makes the process read, let alone parse. The console and the merchant's form
have doors of their own, with pages of their own; here only the time for their bodies ends.
"""

import asyncio
import ipaddress
import logging
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect, Request
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.domain.errors import ParametersInvalid
from serving.domain.field_errors import FieldError, pointer
from serving.requests.authentication import forbidden
from serving.requests.http_requests import ADMISSION, Admission
from serving.requests.problem_details import (
    BODY_TOO_LARGE,
    BODY_TOO_SLOW,
    HEADER_REPEATED,
    METHOD_NOT_ALLOWED,
    NO_SUCH_ROUTE,
    UNEXPECTED,
    UNSUPPORTED_MEDIA_TYPE,
    ProblemError,
)
from serving.requests.request_scope import RequestScope
from serving.requests.route_declaration import ROUTE, DoorKind, RouteDeclaration
from serving.requests.store_access import StoreAccess
from serving.store.api_keys import Caller
from serving.store.errors import StoreUnavailable

LOG = logging.getLogger("bonitas.door")
OWN_DOORS = frozenset({DoorKind.SESSION, DoorKind.SIGNED_LINK})
"""Of applications behind this one: they let in by themselves, and refuse with pages of their own."""
CONSOLE = "/console"
"""Below it the console answers what no route declares, within the frame for whoever is signed in."""
READ_ONCE = frozenset(
    {
        b"authorization",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"cookie",
        b"host",
        b"idempotency-key",
        b"origin",
        b"sec-fetch-site",
        b"transfer-encoding",
    }
)
"""Headers of which one value counts: with two, a proxy before us may have judged another one than we do."""
AS_IT_IS = frozenset({b"", b"identity"})
AS_IT_IS_TRANSFERRED = AS_IT_IS | {b"chunked"}
"""Codings that leave a body as it is. We undo no other: a few bytes could stand for gigabytes."""
FORWARDING_HEADERS = frozenset({b"forwarded", b"x-forwarded-for", b"x-real-ip", b"via"})

ProblemOf = Callable[[Exception], ProblemError | None]
_Methods = Mapping[str, RouteDeclaration]


class Routes:
    """Finds the declarations of a path."""

    def __init__(self, routes: Sequence[RouteDeclaration]) -> None:
        by_path: dict[str, dict[str, RouteDeclaration]] = {}
        for route in routes:
            methods = by_path.setdefault(route.path, {})
            for method in route.methods:
                if method in methods:
                    raise ValueError(f"{method} {route.path} is declared twice")
                methods[method] = route
        self._whole: dict[str, _Methods] = {path: found for path, found in by_path.items() if "{" not in path}
        self._patterns: list[tuple[re.Pattern[str], _Methods]] = [
            (compile_path(path)[0], found) for path, found in by_path.items() if "{" in path
        ]

    def at(self, path: str) -> tuple[_Methods, dict[str, str]] | None:
        """What is declared for a path, by method, and the parameters in it; None where nothing is.

        A path without parameters goes before one with: `/v1/cases/claim-next` is no case.
        """
        found = self._whole.get(path)
        if found is not None:
            return found, {}
        for pattern, methods in self._patterns:
            match = pattern.match(path)
            if match is not None:
                return methods, match.groupdict()
        return None


@dataclass(frozen=True, slots=True)
class _Head:
    """What the door reads of a request's headers.

    length: None where none is declared. coding: of the body, "" for one that is as it is.
    """

    authorization: str | None
    length: int | None
    is_chunked: bool
    is_forwarded: bool
    coding: str

    @classmethod
    def of(cls, scope: Scope) -> "_Head":
        """Of a request. Raises ProblemError (400) where one of `READ_ONCE` comes twice."""
        authorization: str | None = None
        length: int | None = None
        is_chunked = is_forwarded = False
        coding = b""
        read: list[bytes] = []
        for name, value in scope["headers"]:
            if name in READ_ONCE:
                read.append(name)
                if name == b"authorization":
                    authorization = value.decode("latin-1")
                elif name == b"content-length":
                    length = int(value) if value.isdigit() else None
                elif name == b"transfer-encoding":
                    is_chunked = True
                    coding = coding or _coding(value, AS_IT_IS_TRANSFERRED)
                elif name == b"content-encoding":
                    coding = coding or _coding(value, AS_IT_IS)
            elif name in FORWARDING_HEADERS:
                is_forwarded = True
        if len(set(read)) < len(read):
            raise _header_repeated([name.decode() for name, times in Counter(read).items() if times > 1])
        return cls(authorization, length, is_chunked, is_forwarded, coding.decode("latin-1"))

    @property
    def has_body(self) -> bool:
        """Whether a body is to come."""
        return bool(self.length) or self.is_chunked


def _coding(value: bytes, harmless: frozenset[bytes]) -> bytes:
    """The first coding of a list that changes the body; empty without one."""
    codings = (one.strip().lower() for one in value.split(b","))
    return next((one for one in codings if one not in harmless), b"")


def is_coded(request: Request) -> bool:
    """Whether a body is compressed, or changed in another way: applications behind this door undo none."""
    return bool(_coding(request.headers.get("content-encoding", "").encode("latin-1"), AS_IT_IS))


class Door:
    """ASGI middleware.

    app: what is behind, for the routes without a handler.
    problem_of: the problem document of an error that a handler raises, None for one that nobody expects.
    body_seconds: within which a body must have come.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        access: StoreAccess,
        routes: Sequence[RouteDeclaration],
        problem_of: ProblemOf,
        body_seconds: float,
    ) -> None:
        self._app = app
        self._access = access
        self._routes = Routes(routes)
        self._problem_of = problem_of
        self._body_seconds = body_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request in, or say why not."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            # Nothing here speaks anything else; to close before it is opened refuses it.
            await send({"type": "websocket.close", "code": 1008})
            return
        try:
            answer, receive = await self._answer(scope, _Head.of(scope), receive)
        except ClientDisconnect:
            return
        except Exception as error:
            answer = self._problem_or_failure(error, scope).response()
        await answer(scope, receive, send)

    async def _answer(self, scope: Scope, head: _Head, receive: Receive) -> tuple[ASGIApp, Receive]:
        """What answers, and how it receives what is still to come. Raises what a handler does."""
        path, method = scope["path"], scope["method"]
        found = self._routes.at(path)
        route = None if found is None else found[0].get(method)
        if found is None or route is None:
            if found is None:
                has_own_page = path.startswith(CONSOLE)
            else:
                has_own_page = any(declared.door in OWN_DOORS for declared in found[0].values())
            if has_own_page:
                return self._app, _InTime(receive, self._body_seconds)
            raise _nothing_here(method, path, () if found is None else found[0])
        if route.same_as is not None:
            scope["path"] = route.same_as
            return await self._answer(scope, head, receive)
        scope[ROUTE] = route
        if route.door is DoorKind.CLOSED:
            raise _nothing_here(method, path, ())
        if route.door in OWN_DOORS:
            return self._app, _InTime(receive, self._body_seconds)
        admitted = await self._admitted(route, scope, head, receive)
        if route.handler is None:
            return self._app, receive
        scope[ADMISSION] = admitted
        scope["path_params"] = found[1]
        return await route.handler(Request(scope, receive)), receive

    def _problem_or_failure(self, error: Exception, scope: Scope) -> ProblemError:
        problem = self._problem_of(error)
        if problem is not None:
            return problem
        LOG.error("request_failed", extra={"path": scope["path"][:200]}, exc_info=error)
        return ProblemError(UNEXPECTED, detail="the error was noted")

    async def _admitted(
        self, route: RouteDeclaration, scope: Scope, head: _Head, receive: Receive
    ) -> Admission | None:
        """Who asks and with what. Raises ProblemError (401, 403, 408, 413, 415, 503), StoreUnavailable."""
        caller: Caller | None = None
        store_problem: StoreUnavailable | None = None
        if route.door is DoorKind.API_KEY or (
            route.door is DoorKind.API_KEY_OR_LOOPBACK and not _is_from_here(scope, head)
        ):
            request_scope = self._access.ready_scope()
            try:
                caller = await self._caller(request_scope, route, head.authorization)
            except StoreUnavailable as problem:
                if not route.is_answered_without_store:
                    raise
                store_problem = problem
        elif route.handler is None or route.body_maximum_bytes == 0:
            return None
        else:
            request_scope = self._access.ready_scope()
        if route.query is not None and scope["query_string"]:
            _refuse_parameters_given_twice(scope["query_string"])
        body = b""
        if route.body_maximum_bytes and head.has_body:
            if head.coding:
                raise body_coded(head.coding)
            body = await _whole_body(receive, route.body_maximum_bytes, head.length, self._body_seconds)
        return Admission(scope=request_scope, caller=caller, body=body, store_problem=store_problem)

    async def _caller(
        self, scope: RequestScope, route: RouteDeclaration, authorization: str | None
    ) -> Caller:
        """Who asks, with a role of the route. Raises ProblemError (401, 403), StoreUnavailable."""
        caller = await self._access.caller(scope, authorization)
        if caller.role not in route.roles:
            allowed = ", ".join(sorted(role.value for role in route.roles))
            raise forbidden(f"the key has the role {caller.role.value}; this takes {allowed}")
        return caller


class _InTime:
    """An application's `receive` until the body is whole. Raises ProblemError (408) when its time is over."""

    def __init__(self, receive: Receive, seconds: float) -> None:
        self._receive = receive
        self._seconds = seconds
        self._ends_at: float | None = None
        self._is_whole = False

    async def __call__(self) -> Message:
        """The next message."""
        if self._is_whole:
            return await self._receive()
        if self._ends_at is None:
            self._ends_at = asyncio.get_running_loop().time() + self._seconds
        try:
            async with asyncio.timeout_at(self._ends_at):
                message = await self._receive()
        except TimeoutError as late:
            raise body_too_slow(self._seconds) from late
        self._is_whole = not message.get("more_body", False)
        return message


async def _whole_body(receive: Receive, maximum: int, length: int | None, seconds: float) -> bytes:
    """The body. Raises ProblemError (408, 413), ClientDisconnect."""
    if length is not None and length > maximum:
        raise body_too_large(maximum)
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(seconds):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                part = message.get("body", b"")
                size += len(part)
                if size > maximum:
                    raise body_too_large(maximum)
                parts.append(part)
                if not message.get("more_body", False):
                    return parts[0] if len(parts) == 1 else b"".join(parts)
    except TimeoutError as late:
        raise body_too_slow(seconds) from late


def body_too_large(maximum: int) -> ProblemError:
    """413: the route takes no such body. maximum: in bytes."""
    return ProblemError(BODY_TOO_LARGE, detail=f"at most {maximum} bytes are allowed")


def body_too_slow(seconds: float) -> ProblemError:
    """408: the body did not come in time; nothing was begun."""
    return ProblemError(BODY_TOO_SLOW, detail=f"it must have come within {seconds:g} s; nothing was begun")


def body_coded(coding: str) -> ProblemError:
    """415: the body is compressed, or changed in another way."""
    return ProblemError(
        UNSUPPORTED_MEDIA_TYPE,
        detail=f"send the body as it is, without a coding such as {coding[:40]!r}",
        headers={"Accept-Encoding": "identity"},
    )


def _header_repeated(names: Sequence[str]) -> ProblemError:
    return ProblemError(
        HEADER_REPEATED, detail=f"send each of these once: {', '.join(names)}; nothing was begun"
    )


def _refuse_parameters_given_twice(query: bytes) -> None:
    names = Counter(name for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True))
    twice = [name for name, times in names.items() if times > 1]
    if twice:
        raise ParametersInvalid(
            [FieldError(pointer=pointer(name), detail="is given more than once") for name in twice]
        )


def _nothing_here(method: str, path: str, allowed: Sequence[str] | _Methods) -> ProblemError:
    detail = f"{method} {path[:200]}"
    if not allowed:
        return ProblemError(NO_SUCH_ROUTE, detail=detail)
    return ProblemError(METHOD_NOT_ALLOWED, detail=detail, headers={"Allow": ", ".join(sorted(allowed))})


def _is_from_here(scope: Scope, head: _Head) -> bool:
    """Whether the client is on this machine, and speaks for itself: a proxy here speaks for others."""
    client = scope.get("client")
    if client is None or head.is_forwarded:
        return False
    try:
        return ipaddress.ip_address(client[0]).is_loopback
    except ValueError:
        return False
