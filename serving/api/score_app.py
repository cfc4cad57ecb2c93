"""The HTTP edge at /v1: reads requests, calls one use case each, writes answers. It does not judge."""

import time
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from serving.checkout import order_views, review_request
from serving.checkout.amendment_body import AMENDMENT, EXAMPLE_AMENDMENT, amendment_body
from serving.checkout.checkout_answers import (
    AmendedOrderState,
    DecisionAnswer,
    MerchantAmendedOrderState,
    MerchantDecisionAnswer,
    MerchantOrderState,
    OrderParameters,
    OrderState,
    OrderViewParameters,
    OwnOrder,
    ReviewRequest,
    ReviewRequested,
    seen_by,
)
from serving.checkout.checkout_scoring import CheckoutAnswer, answer_without_store, answered_before, score
from serving.checkout.order_amendment import amend
from serving.checkout.order_body import EXAMPLE_ORDER, ORDER, OrderBody, order_body
from serving.checkout.order_steps import take_step
from serving.checkout.precheck import count_precheck, precheck
from serving.checkout.score_stages import Stage, StageClock
from serving.domain.errors import (
    AskedTooOften,
    NothingToReview,
    OrderAlreadyClosed,
    OrderAlreadyConfirmed,
    OrderBelowInvoiced,
    OrderNotApproved,
    OrderNotConfirmed,
    OrderNotInvoiced,
    OrderNumberTaken,
    OrderOfAnotherCustomer,
    RiskError,
    UnknownDecision,
    UnknownOrder,
)
from serving.domain.order_step import OrderStep
from serving.in_force.policy_watch import NoPolicyInForce
from serving.process.observability import ANSWER_SECONDS, DECISIONS, STAGE_SECONDS
from serving.requests.authentication import forbidden, may_see_order_of
from serving.requests.http_requests import (
    Admission,
    accepted_language,
    admission,
    authenticated,
    fields_of,
    idempotency_key,
    json_answer,
    json_body,
)
from serving.requests.order_in_path import order_in_path
from serving.requests.request_scope import RequestScope
from serving.requests.route_declaration import (
    DECIDING,
    ORDER_BODY_BYTES,
    ORDER_VIEWERS,
    Example,
    RouteDeclaration,
)
from serving.requests.store_access import StoreAccess
from serving.store.api_keys import Caller, Role
from serving.store.errors import StoreUnavailable

EXAMPLE_PATH = {"order_id": "order-1001"}
EXAMPLE_DECISION = {"decision_id": "dec_0199a3b1c2d0123456789abcdef"}


class ScoreApi:
    """The handlers."""

    def __init__(self, access: StoreAccess) -> None:
        self._access = access

    def routes(self) -> tuple[RouteDeclaration, ...]:
        """What is asked about an order, from its decision to its end."""
        return (
            RouteDeclaration(
                method="POST",
                path="/v1/score",
                roles=DECIDING,
                body_maximum_bytes=ORDER_BODY_BYTES,
                is_answered_without_store=True,
                handler=self._score,
                name="score",
                summary="Decide one order and reserve its amount",
                body=ORDER,
                answers=(DecisionAnswer, MerchantDecisionAnswer),
                is_idempotent=True,
                problems=(
                    OrderAlreadyConfirmed,
                    OrderAlreadyClosed,
                    OrderNumberTaken,
                    OrderOfAnotherCustomer,
                    AskedTooOften,
                ),
                example=Example(body=EXAMPLE_ORDER),
            ),
            RouteDeclaration(
                method="POST",
                path="/v1/precheck",
                roles=DECIDING,
                body_maximum_bytes=ORDER_BODY_BYTES,
                handler=self._precheck,
                name="precheck",
                summary="What the answer would be; nothing is kept",
                body=ORDER,
                answers=(DecisionAnswer, MerchantDecisionAnswer),
                problems=(OrderNumberTaken, AskedTooOften, NoPolicyInForce),
                example=Example(body=EXAMPLE_ORDER),
            ),
            RouteDeclaration(
                method="GET",
                path="/v1/orders/{order_id}",
                roles=ORDER_VIEWERS | {Role.PORTAL},
                handler=self._show_order,
                name="order",
                summary="The newest decision about an order; for its customer, what is owed and paused",
                query=OrderViewParameters,
                answers=(OrderState, MerchantOrderState, OwnOrder),
                problems=(UnknownOrder, NoPolicyInForce),
                example=Example(path=EXAMPLE_PATH),
            ),
            self._step_route(
                OrderStep.CONFIRMED,
                name="confirm",
                summary="The customer has ordered: the reservation stays until the invoice",
            ),
            self._step_route(
                OrderStep.CANCELLED, name="cancel", summary="The order will not be: its reservation ends"
            ),
            self._step_route(
                OrderStep.RELEASED,
                name="release",
                summary="What of the order is not invoiced will not be: the rest of its reservation ends",
                problem=OrderNotInvoiced,
            ),
            self._step_route(
                OrderStep.EXTENDED,
                name="extend",
                summary="The order takes longer: its reservation is held anew, up to the policy's maximum",
                problem=OrderNotConfirmed,
            ),
            RouteDeclaration(
                method="POST",
                path="/v1/orders/{order_id}/amend",
                roles=DECIDING,
                body_maximum_bytes=ORDER_BODY_BYTES,
                handler=self._amend,
                name="amend",
                summary="The order comes to another amount or goes elsewhere, judged where larger or moved",
                query=OrderParameters,
                body=AMENDMENT,
                answers=(AmendedOrderState, MerchantAmendedOrderState),
                is_idempotent=True,
                problems=(
                    UnknownOrder,
                    OrderNotApproved,
                    OrderBelowInvoiced,
                    OrderAlreadyClosed,
                    AskedTooOften,
                    NoPolicyInForce,
                ),
                example=Example(path=EXAMPLE_PATH, body=EXAMPLE_AMENDMENT),
            ),
            RouteDeclaration(
                method="GET",
                path="/v1/decisions/{decision_id}",
                roles=ORDER_VIEWERS,
                handler=self._show_decision,
                name="decision",
                summary="One decision as it was given",
                answers=(DecisionAnswer, MerchantDecisionAnswer),
                problems=(UnknownDecision,),
                example=Example(path=EXAMPLE_DECISION),
            ),
            RouteDeclaration(
                method="POST",
                path="/v1/decisions/{decision_id}/review-request",
                roles=frozenset({Role.CHECKOUT, Role.PORTAL}),
                body_maximum_bytes=ORDER_BODY_BYTES,
                handler=self._request_review,
                name="requestReview",
                summary="A person shall look at an automated refusal",
                body=ReviewRequest,
                body_is_optional=True,
                answers=(ReviewRequested,),
                status=202,
                is_idempotent=True,
                problems=(UnknownDecision, NothingToReview),
                example=Example(path=EXAMPLE_DECISION, body={"note": "I paid that invoice last week."}),
            ),
        )

    def _step_route(
        self, step: OrderStep, *, name: str, summary: str, problem: type[RiskError] | None = None
    ) -> RouteDeclaration:
        """A step that an order takes without a body. problem: of this step alone."""
        return RouteDeclaration(
            method="POST",
            path=f"/v1/orders/{{order_id}}/{name}",
            roles=DECIDING,
            body_maximum_bytes=ORDER_BODY_BYTES,
            handler=partial(self._step, step=step),
            name=name,
            summary=summary,
            query=OrderParameters,
            answers=(OrderState, MerchantOrderState),
            is_idempotent=True,
            problems=(
                UnknownOrder,
                OrderNotApproved,
                *(() if problem is None else (problem,)),
                OrderAlreadyClosed,
                NoPolicyInForce,
            ),
            example=Example(path=EXAMPLE_PATH),
        )

    async def _score_document(
        self, admitted: Admission, request: Request
    ) -> DecisionAnswer | MerchantDecisionAnswer:
        """Score a body: what POST /v1/score and BentoML's own client both come to."""
        key, language = idempotency_key(request), accepted_language(request)
        body = json_body(request)
        began = time.perf_counter()
        stages = StageClock(time.perf_counter)
        scope, caller = admitted.scope, admitted.caller
        is_merchants_own = caller is not None and caller.role is Role.MERCHANT
        order = order_body(body, now_ms=scope.now_ms(), is_merchants_own=is_merchants_own)
        stages.ended(Stage.BODY)
        try:
            if caller is None:
                raise admitted.store_problem or StoreUnavailable("nobody was looked up")
            known = caller
            _refuse_order_of_others(known, order.row["merchant_id"])
            answer = await self._access.write(
                lambda: score(
                    scope,
                    order,
                    caller=known,
                    idempotency_key=key,
                    accepted_language=language,
                    stages=stages,
                )
            )
            stages.ended(Stage.COMMIT)
            document = seen_by(known, answer.document)
        except StoreUnavailable as problem:
            # A checkout goes on without us. Without the store nobody is judged, so nobody needs to be known.
            earlier = await self._answered_before(scope, order, caller, key)
            answer = earlier or answer_without_store(
                scope, order, accepted_language=language, problem=problem
            )
            document = answer.document if caller is None else seen_by(caller, answer.document)
        ANSWER_SECONDS.observe(time.perf_counter() - began)
        for stage, seconds in stages.seconds.items():
            STAGE_SECONDS.observe(seconds, stage.value)
        if not answer.replayed:
            DECISIONS.count(answer.document.outcome.value)
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
        return json_answer(seen_by(caller, document))

    async def _show_order(self, request: Request) -> Response:
        scope, caller = authenticated(request)
        address = order_in_path(request, caller)
        if caller.role is Role.PORTAL:
            customer_id = request.query_params.get("customer_id")
            return json_answer(
                await self._access.read(
                    lambda: order_views.own_order_view(scope, address, customer_id=customer_id)
                )
            )
        return json_answer(
            await self._access.read(lambda: order_views.order_view(scope, address, caller=caller))
        )

    async def _show_decision(self, request: Request) -> Response:
        scope, caller = authenticated(request)
        decision_id = request.path_params["decision_id"]
        return json_answer(
            await self._access.read(lambda: order_views.decision_view(scope, decision_id, caller=caller))
        )

    async def _step(self, request: Request, step: OrderStep) -> Response:
        scope, caller = authenticated(request)
        key = idempotency_key(request)
        address = order_in_path(request, caller)
        return json_answer(
            await self._access.write(
                lambda: take_step(scope, address, step, caller=caller, idempotency_key=key)
            )
        )

    async def _amend(self, request: Request) -> Response:
        scope, caller = authenticated(request)
        key, language = idempotency_key(request), accepted_language(request)
        address = order_in_path(request, caller)
        amendment = amendment_body(json_body(request), now_ms=scope.now_ms())
        return json_answer(
            await self._access.write(
                lambda: amend(
                    scope,
                    address,
                    amendment,
                    caller=caller,
                    idempotency_key=key,
                    accepted_language=language,
                )
            )
        )

    async def _request_review(self, request: Request) -> Response:
        scope, caller = authenticated(request)
        given = fields_of(json_body(request, optional=True), ReviewRequest)
        key = idempotency_key(request)
        decision_id = request.path_params["decision_id"]
        document = await self._access.write(
            lambda: review_request.request_review(
                scope,
                decision_id,
                note=given.note,
                customer_id=given.customer_id,
                caller=caller,
                idempotency_key=key,
            )
        )
        return json_answer(document, status=202)


def _refuse_order_of_others(caller: Caller, merchant_id: str) -> None:
    if not may_see_order_of(caller, merchant_id):
        raise forbidden("the order is another merchant's")
