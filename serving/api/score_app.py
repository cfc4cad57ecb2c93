"""The HTTP edge at /v1: reads requests, calls one use case each, writes answers. It does not judge."""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from serving.api.openapi import openapi_document
from serving.cases.possible_steps import StepInvalid
from serving.checkout import order_confirmation, order_views
from serving.checkout.checkout_scoring import (
    CheckoutAnswer,
    answer_without_store,
    answered_before,
    count_precheck,
    precheck,
    score,
)
from serving.checkout.order_body import OrderBody, order_body
from serving.domain import investigation
from serving.domain.errors import (
    IdempotencyConflict,
    OrderAlreadyClosed,
    OrderAlreadyConfirmed,
    OrderNotApproved,
    OrderNumberTaken,
    OrderOfAnotherCustomer,
    RiskError,
    UnknownCase,
    UnknownDecision,
    UnknownOrder,
)
from serving.domain.order_numbers import OrderAddress
from serving.domain.review_case import ReasonMissing
from serving.domain.stop_request import AnswerInvalid
from serving.events import held_events
from serving.in_force.policy_watch import NoPolicyInForce
from serving.process.observability import ANSWER_SECONDS, DECISIONS
from serving.requests.authentication import forbidden, may_see_order_of, view_for
from serving.requests.http_requests import (
    Admission,
    accepted_language,
    admission,
    authenticated,
    idempotency_key,
    json_answer,
    json_body,
)
from serving.requests.problem_details import FieldError, ProblemError, invalid_body, not_found, pointer
from serving.requests.request_scope import RequestScope
from serving.requests.route_declaration import (
    DECIDING,
    ORDER_VIEWERS,
    DoorKind,
    RouteDeclaration,
    shown,
    taken,
)
from serving.requests.store_access import StoreAccess
from serving.stop_requests import stop_requesting
from serving.store.api_keys import Caller, Role
from serving.store.errors import CommitUnknown, StoreUnavailable

LOG = logging.getLogger("bonitas.store")

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
    UnknownCase: (404, "Not found", None),
    StepInvalid: (422, "The step cannot be taken so", "invalid-body"),
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
        StepInvalid,
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

    def routes(self) -> tuple[RouteDeclaration, ...]:
        """What is asked about an order, from its decision to its end; and the contract of the API."""
        return (
            taken("/v1/score", self._score, DECIDING, is_answered_without_store=True),
            taken("/v1/precheck", self._precheck, DECIDING),
            shown("/v1/orders/{order_id}", self._show_order, ORDER_VIEWERS),
            taken("/v1/orders/{order_id}/confirm", self._confirm, DECIDING),
            taken("/v1/orders/{order_id}/cancel", self._cancel, DECIDING),
            shown("/v1/decisions/{decision_id}", self._show_decision, ORDER_VIEWERS),
            taken(
                "/v1/decisions/{decision_id}/review-request", self._request_review, frozenset({Role.CHECKOUT})
            ),
            RouteDeclaration(
                method="GET", path="/v1/openapi.json", door=DoorKind.OPEN, handler=self._show_openapi
            ),
        )

    async def _score_document(self, admitted: Admission, request: Request) -> dict[str, Any]:
        """Score a body: what POST /v1/score and BentoML's own client both come to."""
        key, language = idempotency_key(request), accepted_language(request)
        body = json_body(request)
        began = time.perf_counter()
        scope, caller = admitted.scope, admitted.caller
        is_merchants_own = caller is not None and caller.role is Role.MERCHANT
        order = order_body(body, now_ms=scope.now_ms(), is_merchants_own=is_merchants_own)
        try:
            if caller is None:
                raise admitted.store_problem or StoreUnavailable("nobody was looked up")
            known = caller
            _refuse_order_of_others(known, order.row["merchant_id"])
            answer = await self._access.write(
                lambda: score(scope, order, caller=known, idempotency_key=key, accepted_language=language)
            )
            document = view_for(known, answer.document)
        except StoreUnavailable as problem:
            # A checkout goes on without us. Without the store nobody is judged, so nobody needs to be known.
            earlier = await self._answered_before(scope, order, caller, key)
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
        return json_answer(await self._score_document(admission(request), request))

    async def _precheck(self, request: Request) -> Response:
        scope, caller = authenticated(request)
        order = order_body(
            json_body(request), now_ms=scope.now_ms(), is_merchants_own=caller.role is Role.MERCHANT
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
        scope, caller = authenticated(request)
        address = _address(request, caller)
        return json_answer(
            await self._access.read(lambda: order_views.order_view(scope, address, caller=caller))
        )

    async def _show_decision(self, request: Request) -> Response:
        scope, caller = authenticated(request)
        decision_id = request.path_params["decision_id"]
        return json_answer(
            await self._access.read(lambda: order_views.decision_view(scope, decision_id, caller=caller))
        )

    async def _confirm(self, request: Request) -> Response:
        return await self._step(request, order_confirmation.confirm)

    async def _cancel(self, request: Request) -> Response:
        return await self._step(request, order_confirmation.cancel)

    async def _step(self, request: Request, step: Callable[..., dict[str, Any]]) -> Response:
        scope, caller = authenticated(request)
        key = idempotency_key(request)
        address = _address(request, caller)
        return json_answer(
            await self._access.write(lambda: step(scope, address, caller=caller, idempotency_key=key))
        )

    async def _request_review(self, request: Request) -> Response:
        scope, caller = authenticated(request)
        note = _note(json_body(request, optional=True))
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


def problem_of_any(error: Exception) -> ProblemError | None:
    """The problem document of an error of a handler or of the door; None for one that nobody expects."""
    match error:
        case ProblemError():
            return error
        case RiskError():
            return problem_of(error)
        case RecursionError():
            # What can just be decoded may be too deep for what comes after.
            return invalid_body([FieldError(pointer="", detail="the body is nested too deeply")])
        case NoPolicyInForce():
            return ProblemError(
                503,
                "No policy is in force",
                kind="no-policy",
                detail="nothing was changed; try again",
                headers={"Retry-After": "1"},
            )
        case StoreUnavailable():
            return ProblemError(
                503,
                "The store is unavailable",
                kind="store-unavailable",
                detail="nothing was changed; try again",
                headers={"Retry-After": "1"},
            )
        case CommitUnknown():
            LOG.error("commit_unknown", extra={"reason": str(error)})
            return ProblemError(
                504,
                "The outcome is not known",
                kind="outcome-unknown",
                detail="it may have been done or not: the same request again, with the same Idempotency-Key, "
                "tells",
                headers={"Retry-After": "1"},
            )
        case _:
            return None
