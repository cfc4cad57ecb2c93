"""The HTTP edge at /v1: reads requests, calls one use case each, writes answers. It does not judge."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route

from serving import event_intake, order_confirmation, order_views
from serving.authentication import forbidden, may_see_order_of, view_for
from serving.checkout_scoring import answer_without_store, precheck, score
from serving.domain.errors import (
    IdempotencyConflict,
    OrderAlreadyClosed,
    OrderAlreadyConfirmed,
    OrderNotApproved,
    OrderOfAnotherCustomer,
    RiskError,
    UnknownDecision,
    UnknownOrder,
)
from serving.group_commit import GroupCommit
from serving.observability import ANSWER_SECONDS, DECISIONS, HELD_EVENTS, MeasuredRequests
from serving.openapi import openapi_document
from serving.order_body import order_body
from serving.problem_details import FieldError, ProblemError, invalid_body, not_found
from serving.request_scope import RequestScope
from serving.store.api_keys import Caller, Role
from serving.store.errors import StoreUnavailable
from serving.store.store import SqliteStore

MAXIMUM_BODY_BYTES = 64 * 1024
MAXIMUM_EVENTS_BODY_BYTES = 4 * 1024 * 1024
IDEMPOTENCY_KEY_MAXIMUM = 255
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

STATUS_OF: Mapping[type[RiskError], tuple[int, str, str | None]] = {
    IdempotencyConflict: (422, "The Idempotency-Key was used with another body", "idempotency-key-reused"),
    OrderAlreadyConfirmed: (
        409,
        "The order is confirmed and cannot be scored again",
        "order-already-decided",
    ),
    OrderAlreadyClosed: (409, "The order is invoiced or cancelled", "order-already-decided"),
    OrderNotApproved: (409, "The order is not approved", "order-already-decided"),
    OrderOfAnotherCustomer: (409, "The order id belongs to another order", "order-already-decided"),
    UnknownOrder: (404, "Not found", None),
    UnknownDecision: (404, "Not found", None),
}

Result = TypeVar("Result")
Handler = Callable[[Request], Awaitable[Response]]


class ScoreApi:
    """The handlers. `scope` is set when the worker starts; until then every request waits at /readyz."""

    def __init__(self) -> None:
        self.scope: RequestScope | None = None
        self._threads: ThreadPoolExecutor | None = None
        self._writer: GroupCommit | None = None
        self._openapi: bytes | None = None

    def start(self, scope: RequestScope, *, threads: int) -> None:
        """Begin to answer.

        threads: that wait for a database across the network. 0 for SQLite: short reads run in the event
            loop itself, and writes that are ready together share a commit there.
        """
        if threads:
            self._threads = ThreadPoolExecutor(threads, thread_name_prefix="request")
        else:
            self._writer = GroupCommit(lambda: _committing_together(scope))
        self.scope = scope

    def stop(self) -> None:
        """Finish what was begun."""
        if self._writer is not None:
            self._writer.stop()
        if self._threads is not None:
            self._threads.shutdown()

    def app(self) -> Starlette:
        """The application to mount at /v1."""
        routes: list[tuple[str, str, Handler]] = [
            ("/score", "POST", self._score),
            ("/precheck", "POST", self._precheck),
            ("/events", "POST", self._events),
            ("/orders/{order_id}", "GET", self._show_order),
            ("/orders/{order_id}/confirm", "POST", self._confirm),
            ("/orders/{order_id}/cancel", "POST", self._cancel),
            ("/decisions/{decision_id}", "GET", self._show_decision),
            ("/decisions/{decision_id}/review-request", "POST", self._request_review),
            ("/openapi.json", "GET", self._show_openapi),
        ]
        known = [Route(path, handler, methods=[method]) for path, method, handler in routes]
        return Starlette(
            routes=[*known, Route("/{rest:path}", _nothing_here(known), methods=list(METHODS))],
            middleware=[Middleware(MeasuredRequests)],
            exception_handlers={
                ProblemError: _problem,
                RiskError: _domain_problem,
                StoreUnavailable: _store_problem,
                HTTPException: _http_problem,
            },
        )

    async def score_document(
        self, authorization: str | None, body: object, *, idempotency_key: str | None, language: str | None
    ) -> dict[str, Any]:
        """Score a decoded body: what POST /v1/score and BentoML's own client both come to."""
        began = time.perf_counter()
        scope = self._ready_scope()
        order = None
        try:
            caller = await self._look_up(lambda: scope.authentication.caller(authorization))
            order = order_body(body, now_ms=scope.now_ms())
            _refuse_order_of_others(caller, order.row["merchant_id"])
            well_formed = order
            answer = await self._write(
                lambda: score(
                    scope,
                    well_formed,
                    caller=caller,
                    idempotency_key=idempotency_key,
                    accepted_language=language,
                )
            )
            document = view_for(caller, answer.document)
        except StoreUnavailable as problem:
            # A checkout goes on without us. Without the store nobody is judged, so nobody needs to be known.
            order = order or order_body(body, now_ms=scope.now_ms())
            answer = answer_without_store(scope, order, accepted_language=language, reason=str(problem))
            document = answer.document
        ANSWER_SECONDS.observe(time.perf_counter() - began)
        if not answer.replayed:
            DECISIONS.labels(answer.document["outcome"]).inc()
        return document

    async def _score(self, request: Request) -> Response:
        body = await _json_body(request, MAXIMUM_BODY_BYTES)
        return _json(
            await self.score_document(
                request.headers.get("authorization"),
                body,
                idempotency_key=_idempotency_key(request),
                language=_accepted_language(request),
            )
        )

    async def _precheck(self, request: Request) -> Response:
        scope, caller = await self._caller(request)
        order = order_body(await _json_body(request, MAXIMUM_BODY_BYTES), now_ms=scope.now_ms())
        _refuse_order_of_others(caller, order.row["merchant_id"])
        document = await self._read(
            lambda: precheck(scope, order, accepted_language=_accepted_language(request))
        )
        return _json(view_for(caller, document))

    async def _events(self, request: Request) -> Response:
        scope, caller = await self._caller(request)
        _checkout_only(caller)
        body = await _json_body(request, MAXIMUM_EVENTS_BODY_BYTES)
        rows = event_intake.rows_of(body)
        results = await self._write(lambda: event_intake.take_in(scope, rows))
        HELD_EVENTS.inc(sum(result["status"] == "held" for result in results))
        counts = {
            status: sum(result["status"] == status for result in results) for status in event_intake.STATUSES
        }
        return _json({**counts, "results": results})

    async def _show_order(self, request: Request) -> Response:
        scope, caller = await self._caller(request)
        order_id = request.path_params["order_id"]
        return _json(await self._read(lambda: order_views.order_view(scope, order_id, caller=caller)))

    async def _show_decision(self, request: Request) -> Response:
        scope, caller = await self._caller(request)
        decision_id = request.path_params["decision_id"]
        return _json(await self._read(lambda: order_views.decision_view(scope, decision_id, caller=caller)))

    async def _confirm(self, request: Request) -> Response:
        return await self._step(request, order_confirmation.confirm)

    async def _cancel(self, request: Request) -> Response:
        return await self._step(request, order_confirmation.cancel)

    async def _step(self, request: Request, step: Callable[..., dict[str, Any]]) -> Response:
        scope, caller = await self._caller(request)
        key = _idempotency_key(request)
        order_id = request.path_params["order_id"]
        return _json(await self._write(lambda: step(scope, order_id, caller=caller, idempotency_key=key)))

    async def _request_review(self, request: Request) -> Response:
        scope, caller = await self._caller(request)
        _checkout_only(caller)
        body = await _json_body(request, MAXIMUM_BODY_BYTES, optional=True)
        note = _note(body)
        key = _idempotency_key(request)
        decision_id = request.path_params["decision_id"]
        document = await self._write(
            lambda: order_confirmation.request_review(
                scope, decision_id, note=note, caller=caller, idempotency_key=key
            )
        )
        return _json(document, status=202)

    async def _show_openapi(self, _request: Request) -> Response:
        if self._openapi is None:
            self._openapi = msgspec.json.encode(openapi_document())
        return Response(self._openapi, media_type="application/json")

    async def _caller(self, request: Request) -> tuple[RequestScope, Caller]:
        scope = self._ready_scope()
        authorization = request.headers.get("authorization")
        return scope, await self._look_up(lambda: scope.authentication.caller(authorization))

    def _ready_scope(self) -> RequestScope:
        if self.scope is None:
            raise ProblemError(503, "The service is starting")
        return self.scope

    async def _read(self, work: Callable[[], Result]) -> Result:
        if self._writer is not None:
            # The reader shares the writer's connection, and would see what is not durable yet.
            await self._writer.settled()
        return await self._look_up(work)

    async def _look_up(self, work: Callable[[], Result]) -> Result:
        """Read what requests do not write, such as keys."""
        if self._threads is None:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def _write(self, work: Callable[[], Result]) -> Result:
        if self._writer is None:
            return await self._read(work)
        return await self._writer.run(work)


def _committing_together(scope: RequestScope) -> AbstractContextManager[None]:
    store = scope.store
    return store.committing_together() if isinstance(store, SqliteStore) else nullcontext()


def _checkout_only(caller: Caller) -> None:
    if caller.role is not Role.CHECKOUT:
        raise forbidden("only a checkout's key may do this")


def _refuse_order_of_others(caller: Caller, merchant_id: str) -> None:
    if not may_see_order_of(caller, merchant_id):
        raise forbidden("the order is another merchant's")


def _idempotency_key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if not 1 <= len(key) <= IDEMPOTENCY_KEY_MAXIMUM or not key.isprintable():
        raise ProblemError(
            400, "The Idempotency-Key is not valid", detail="1 to 255 printable characters are allowed"
        )
    return key


def _accepted_language(request: Request) -> str | None:
    """The first language tag of Accept-Language; its order says enough for texts in a few languages."""
    first = request.headers.get("accept-language", "").split(",")[0].split(";")[0].strip()
    return None if first in {"", "*"} else first


def _note(body: object) -> str | None:
    if body is None:
        return None
    if not isinstance(body, dict):
        raise invalid_body([FieldError(pointer="", detail="the body is a JSON object")])
    errors = [
        FieldError(pointer=f"/{name}", detail="there is no such field") for name in body if name != "note"
    ]
    note = body.get("note")
    if note is not None and (not isinstance(note, str) or len(note) > 2000):
        errors.append(FieldError(pointer="/note", detail="note must be a text of at most 2000 characters"))
    if errors:
        raise invalid_body(errors)
    return note


async def _json_body(request: Request, maximum: int, *, optional: bool = False) -> object:
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


def _json(document: object, *, status: int = 200) -> Response:
    return Response(msgspec.json.encode(document), status_code=status, media_type="application/json")


async def _problem(_request: Request, error: Exception) -> Response:
    if not isinstance(error, ProblemError):
        raise error
    return error.response()


def problem_of(error: RiskError) -> ProblemError:
    """The problem document of a domain error."""
    status, title, kind = STATUS_OF.get(type(error), (409, "The request conflicts with what is stored", None))
    if status == 404:
        return not_found(str(error) or "there is no such thing")
    return ProblemError(status, title, kind=kind, detail=str(error) or None)


async def _domain_problem(_request: Request, error: Exception) -> Response:
    if not isinstance(error, RiskError):
        raise error
    return problem_of(error).response()


async def _store_problem(_request: Request, _error: Exception) -> Response:
    return ProblemError(
        503,
        "The store is unavailable",
        kind="store-unavailable",
        detail="nothing was changed; try again",
        headers={"Retry-After": "1"},
    ).response()


def _nothing_here(known: Sequence[Route]) -> Handler:
    """Answers what no route does, so that also this is a problem document."""

    async def answer(request: Request) -> Response:
        allowed = {
            method
            for route in known
            if route.matches(request.scope)[0] is Match.PARTIAL
            for method in route.methods or ()
        }
        if allowed:
            raise HTTPException(405, headers={"Allow": ", ".join(sorted(allowed))})
        raise HTTPException(404)

    return answer


async def _http_problem(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    titles = {404: "Not found", 405: "Method not allowed"}
    detail = f"{request.method} {request.url.path}"
    headers = dict(error.headers) if error.headers else None
    return ProblemError(
        error.status_code, titles.get(error.status_code, error.detail), detail=detail, headers=headers
    ).response()
