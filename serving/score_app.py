"""The HTTP edge at /v1: reads requests, calls one use case each, writes answers. It does not judge."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route

from serving import case_review, held_events, order_confirmation, order_views, stop_requesting
from serving.authentication import forbidden, may_see_order_of, view_for
from serving.case_api import CaseApi
from serving.checkout_scoring import (
    CheckoutAnswer,
    answer_without_store,
    answered_before,
    count_precheck,
    precheck,
    score,
)
from serving.domain import investigation
from serving.domain.errors import (
    IdempotencyConflict,
    OrderAlreadyClosed,
    OrderAlreadyConfirmed,
    OrderNotApproved,
    OrderNumberTaken,
    OrderOfAnotherCustomer,
    RiskError,
    UnknownDecision,
    UnknownOrder,
)
from serving.domain.order_numbers import OrderAddress
from serving.domain.review_case import ReasonMissing
from serving.domain.stop_request import AnswerInvalid
from serving.event_api import EventApi
from serving.http_requests import (
    Handler,
    accepted_language,
    authenticated,
    idempotency_key,
    json_answer,
    json_body,
)
from serving.observability import ANSWER_SECONDS, DECISIONS, MeasuredRequests
from serving.openapi import openapi_document
from serving.order_body import OrderBody, order_body
from serving.policy_watch import NoPolicyInForce
from serving.problem_details import FieldError, ProblemError, invalid_body, not_found, pointer
from serving.request_scope import RequestScope
from serving.store.api_keys import Caller, Role
from serving.store.errors import CommitUnknown, StoreUnavailable
from serving.store_access import StoreAccess

LOG = logging.getLogger("bonitas.store")
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
    OrderNumberTaken: (409, "The merchant's number belongs to another order", "order-already-decided"),
    OrderOfAnotherCustomer: (409, "The order id belongs to another order", "order-already-decided"),
    UnknownOrder: (404, "Not found", None),
    UnknownDecision: (404, "Not found", None),
    held_events.UnknownHeldEvent: (404, "Not found", None),
    held_events.EndInvalid: (422, "The row cannot be ended so", "invalid-body"),
    held_events.NoSuchPage: (422, "There is no such page", "invalid-body"),
    case_review.UnknownCase: (404, "Not found", None),
    case_review.StepInvalid: (422, "The step cannot be taken so", "invalid-body"),
    stop_requesting.UnknownStopRequest: (404, "Not found", None),
    stop_requesting.UnknownDelivery: (404, "Not found", None),
    stop_requesting.NoticeOvertaken: (409, "The notice is not true any more", None),
    investigation.UnknownInvestigation: (404, "Not found", None),
    investigation.QuestionInvalid: (422, "The question cannot be asked so", "invalid-body"),
    investigation.FindingInvalid: (422, "The finding is none", "invalid-body"),
    ReasonMissing: (422, "A reason is needed", "invalid-body"),
    stop_requesting.RecallStepInvalid: (422, "The result cannot be recorded so", "invalid-body"),
    stop_requesting.AnswerContradicts: (
        409,
        "The answer contradicts an earlier one",
        "contradicting-answer",
    ),
}

NAMES_A_FIELD = frozenset(
    {
        case_review.StepInvalid,
        held_events.EndInvalid,
        held_events.NoSuchPage,
        investigation.FindingInvalid,
        investigation.QuestionInvalid,
        stop_requesting.RecallStepInvalid,
    }
)
"""Errors whose message begins with the field that they are about."""


class ScoreApi:
    """The handlers."""

    def __init__(self, access: StoreAccess) -> None:
        self._access = access
        self._openapi: bytes | None = None

    def app(self) -> Starlette:
        """The application to mount at /v1."""
        routes: list[tuple[str, str, Handler]] = [
            ("/score", "POST", self._score),
            ("/precheck", "POST", self._precheck),
            ("/orders/{order_id}", "GET", self._show_order),
            ("/orders/{order_id}/confirm", "POST", self._confirm),
            ("/orders/{order_id}/cancel", "POST", self._cancel),
            ("/decisions/{decision_id}", "GET", self._show_decision),
            ("/decisions/{decision_id}/review-request", "POST", self._request_review),
            *EventApi(self._access).routes(),
            *CaseApi(self._access).routes(),
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
                CommitUnknown: _unknown_outcome,
                HTTPException: _http_problem,
            },
        )

    async def score_document(
        self, authorization: str | None, body: object, *, idempotency_key: str | None, language: str | None
    ) -> dict[str, Any]:
        """Score a decoded body: what POST /v1/score and BentoML's own client both come to."""
        began = time.perf_counter()
        scope = self._access.ready_scope()
        order = caller = None
        try:
            caller = await self._access.caller(scope, authorization)
            order = order_body(body, now_ms=scope.now_ms(), is_merchants_own=caller.role is Role.MERCHANT)
            _refuse_order_of_others(caller, order.row["merchant_id"])
            _deciding_only(caller)
            well_formed, known = order, caller
            answer = await self._access.write(
                lambda: score(
                    scope,
                    well_formed,
                    caller=known,
                    idempotency_key=idempotency_key,
                    accepted_language=language,
                )
            )
            document = view_for(caller, answer.document)
        except StoreUnavailable as problem:
            # A checkout goes on without us. Without the store nobody is judged, so nobody needs to be known.
            order = order or order_body(body, now_ms=scope.now_ms())
            earlier = await self._answered_before(scope, order, caller, idempotency_key)
            answer = earlier or answer_without_store(
                scope, order, accepted_language=language, problem=problem
            )
            document = answer.document if caller is None else view_for(caller, answer.document)
        ANSWER_SECONDS.observe(time.perf_counter() - began)
        if not answer.replayed:
            DECISIONS.labels(answer.document["outcome"]).inc()
        return document

    async def _answered_before(
        self, scope: RequestScope, order: OrderBody, caller: Caller | None, idempotency_key: str | None
    ) -> CheckoutAnswer | None:
        """The answer that stands under the key, which can be read where nothing can be written."""
        if caller is None or idempotency_key is None:
            return None
        try:
            return await self._access.read(
                lambda: answered_before(scope, order, caller=caller, idempotency_key=idempotency_key)
            )
        except StoreUnavailable:
            # Told already, by the failure that led here.
            return None

    async def _score(self, request: Request) -> Response:
        body = await json_body(request)
        return json_answer(
            await self.score_document(
                request.headers.get("authorization"),
                body,
                idempotency_key=idempotency_key(request),
                language=accepted_language(request),
            )
        )

    async def _precheck(self, request: Request) -> Response:
        scope, caller = await authenticated(self._access, request)
        _deciding_only(caller)
        order = order_body(
            await json_body(request), now_ms=scope.now_ms(), is_merchants_own=caller.role is Role.MERCHANT
        )
        _refuse_order_of_others(caller, order.row["merchant_id"])
        if caller.role is Role.MERCHANT:
            await self._access.write(lambda: count_precheck(scope, order, caller=caller))
        language = accepted_language(request)
        document = await self._access.read(
            lambda: precheck(scope, order, caller=caller, accepted_language=language)
        )
        return json_answer(view_for(caller, document))

    async def _show_order(self, request: Request) -> Response:
        scope, caller = await authenticated(self._access, request)
        address = _address(request, caller)
        return json_answer(
            await self._access.read(lambda: order_views.order_view(scope, address, caller=caller))
        )

    async def _show_decision(self, request: Request) -> Response:
        scope, caller = await authenticated(self._access, request)
        decision_id = request.path_params["decision_id"]
        return json_answer(
            await self._access.read(lambda: order_views.decision_view(scope, decision_id, caller=caller))
        )

    async def _confirm(self, request: Request) -> Response:
        return await self._step(request, order_confirmation.confirm)

    async def _cancel(self, request: Request) -> Response:
        return await self._step(request, order_confirmation.cancel)

    async def _step(self, request: Request, step: Callable[..., dict[str, Any]]) -> Response:
        scope, caller = await authenticated(self._access, request)
        _deciding_only(caller)
        key = idempotency_key(request)
        address = _address(request, caller)
        return json_answer(
            await self._access.write(lambda: step(scope, address, caller=caller, idempotency_key=key))
        )

    async def _request_review(self, request: Request) -> Response:
        scope, caller = await authenticated(self._access, request)
        _checkout_only(caller)
        body = await json_body(request, optional=True)
        note = _note(body)
        key = idempotency_key(request)
        decision_id = request.path_params["decision_id"]
        document = await self._access.write(
            lambda: order_confirmation.request_review(
                scope, decision_id, note=note, caller=caller, idempotency_key=key
            )
        )
        return json_answer(document, status=202)

    async def _show_openapi(self, _request: Request) -> Response:
        if self._openapi is None:
            self._openapi = msgspec.json.encode(openapi_document())
        return Response(self._openapi, media_type="application/json")


def _address(request: Request, caller: Caller) -> OrderAddress:
    """Which order the path names: by its order_id, or by its merchant's own number where the query names the
    merchant. A merchant's key names its orders by its numbers alone.
    """
    name = str(request.path_params["order_id"])
    merchant_id = request.query_params.get("merchant_id", caller.merchant_id)
    if not name.isprintable() or not (merchant_id or "").isprintable():
        raise not_found("there is no such order")
    if caller.merchant_id not in {None, merchant_id}:
        raise not_found(f"no decision was made about order {name}")
    return OrderAddress(name=name, merchant_id=merchant_id)


def _deciding_only(caller: Caller) -> None:
    if caller.role not in {Role.CHECKOUT, Role.MERCHANT}:
        raise forbidden(f"a key of the role {caller.role.value} does not decide orders")


def _checkout_only(caller: Caller) -> None:
    if caller.role is not Role.CHECKOUT:
        raise forbidden("only a checkout's key may do this")


def _refuse_order_of_others(caller: Caller, merchant_id: str) -> None:
    if not may_see_order_of(caller, merchant_id):
        raise forbidden("the order is another merchant's")


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


async def _problem(_request: Request, error: Exception) -> Response:
    if not isinstance(error, ProblemError):
        raise error
    return error.response()


def problem_of(error: RiskError) -> ProblemError:
    """The problem document of a domain error."""
    if isinstance(error, AnswerInvalid):
        return invalid_body(
            [
                FieldError(pointer=pointer(mistake.field), detail=f"{mistake.field} {mistake.rule}")
                for mistake in error.mistakes
            ]
        )
    field, colon, rule = str(error).partition(": ")
    if type(error) in NAMES_A_FIELD and colon and field.isidentifier():
        return invalid_body([FieldError(pointer=pointer(field), detail=f"{field} {rule}")])
    status, title, kind = STATUS_OF.get(type(error), (409, "The request conflicts with what is stored", None))
    if status == 404:
        return not_found(str(error) or "there is no such thing")
    return ProblemError(status, title, kind=kind, detail=str(error) or None)


async def _domain_problem(_request: Request, error: Exception) -> Response:
    if not isinstance(error, RiskError):
        raise error
    return problem_of(error).response()


async def _store_problem(_request: Request, error: Exception) -> Response:
    if isinstance(error, NoPolicyInForce):
        return ProblemError(
            503,
            "No policy is in force",
            kind="no-policy",
            detail="nothing was changed; try again",
            headers={"Retry-After": "1"},
        ).response()
    return ProblemError(
        503,
        "The store is unavailable",
        kind="store-unavailable",
        detail="nothing was changed; try again",
        headers={"Retry-After": "1"},
    ).response()


def unknown_outcome() -> ProblemError:
    """504: what was asked may have been done or not."""
    return ProblemError(
        504,
        "The outcome is not known",
        kind="outcome-unknown",
        detail="it may have been done or not: the same request again, with the same Idempotency-Key, tells",
        headers={"Retry-After": "1"},
    )


async def _unknown_outcome(_request: Request, error: Exception) -> Response:
    LOG.error("commit_unknown", extra={"reason": str(error)})
    return unknown_outcome().response()


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
