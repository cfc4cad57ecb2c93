"""The HTTP edge of stop requests: what a merchant was asked, its answers, a recall, a notice sent again."""

from msgspec import UNSET
from starlette.requests import Request
from starlette.responses import Response

from serving.domain.errors import ParametersInvalid
from serving.domain.field_errors import FieldError
from serving.domain.stop_request import StopRequestState, StopRequestWithdrawn
from serving.in_force.policy_watch import NoPolicyInForce
from serving.requests.authentication import forbidden
from serving.requests.http_requests import authenticated, fields_of, id_in_path, json_answer, json_body
from serving.requests.list_parameters import unknown_parameters, wrong_limit
from serving.requests.route_declaration import ORDER_BODY_BYTES, REVIEWING, Example, RouteDeclaration
from serving.requests.store_access import StoreAccess
from serving.stop_requests import answering, locked_stop_request, recalls, sending_again, stop_requesting
from serving.stop_requests.stop_request_answers import (
    STOP_REQUESTS_MAXIMUM,
    DeliveryAnswer,
    RecalledStopRequest,
    RecallOutcome,
    StopAnswer,
    StopRequestAnswer,
    StopRequestList,
    StopRequestParameters,
    TeamStopRequest,
    TeamStopRequestList,
)
from serving.stop_requests.stop_request_list import stop_request_list
from serving.store.api_keys import Caller, Role

ASKED_TO_STOP = frozenset({Role.FRAUD, Role.MERCHANT})
ANSWERING = frozenset({Role.MERCHANT})

EXAMPLE_STOP_REQUEST = {"stop_request_id": "stp_1f0c2b7a9d3e4f5061"}


class StopRequestApi:
    """The handlers."""

    def __init__(self, access: StoreAccess) -> None:
        self._access = access

    def routes(self) -> tuple[RouteDeclaration, ...]:
        """What a merchant was asked and answers, what came of a recall, and a notice sent again."""
        return (
            RouteDeclaration(
                method="GET",
                path="/v1/stop-requests",
                roles=ASKED_TO_STOP,
                handler=self._stop_requests,
                name="stopRequests",
                summary="Stop requests in one state, the first to be answered first; a merchant sees its own",
                query=StopRequestParameters,
                answers=(TeamStopRequestList, StopRequestList),
                problems=(ParametersInvalid, NoPolicyInForce),
                example=Example(query={"state": "requested", "limit": 50}),
            ),
            RouteDeclaration(
                method="GET",
                path="/v1/stop-requests/{stop_request_id}",
                roles=ASKED_TO_STOP,
                handler=self._show_stop_request,
                name="stopRequest",
                summary="A stop request, its answers and what follows; a merchant sees its own",
                answers=(TeamStopRequest, StopRequestAnswer),
                problems=(locked_stop_request.UnknownStopRequest, NoPolicyInForce),
                example=Example(path=EXAMPLE_STOP_REQUEST),
            ),
            RouteDeclaration(
                method="POST",
                path="/v1/stop-requests/{stop_request_id}/answer",
                roles=ANSWERING,
                body_maximum_bytes=ORDER_BODY_BYTES,
                handler=self._answer,
                name="answerStopRequest",
                summary="The merchant says where the order stands; the same answer again is harmless",
                body=StopAnswer,
                answers=(StopRequestAnswer,),
                problems=(
                    locked_stop_request.UnknownStopRequest,
                    answering.AnswerContradicts,
                    StopRequestWithdrawn,
                    NoPolicyInForce,
                ),
                example=Example(
                    path=EXAMPLE_STOP_REQUEST,
                    body={
                        "kind": "shipped_with_tracking",
                        "carrier": "PostNord",
                        "tracking_number": "SE00340434161094042557",
                    },
                ),
            ),
            RouteDeclaration(
                method="POST",
                path="/v1/stop-requests/{stop_request_id}/recall-result",
                roles=REVIEWING,
                body_maximum_bytes=ORDER_BODY_BYTES,
                handler=self._recall_result,
                name="finishRecall",
                summary="What came of a parcel that the provider recalled",
                body=RecallOutcome,
                answers=(RecalledStopRequest,),
                problems=(
                    locked_stop_request.UnknownStopRequest,
                    recalls.RecallStepInvalid,
                    NoPolicyInForce,
                ),
                example=Example(path=EXAMPLE_STOP_REQUEST, body={"result": "recalled"}),
            ),
            RouteDeclaration(
                method="POST",
                path="/v1/deliveries/{delivery_id}/resend",
                roles=REVIEWING,
                body_maximum_bytes=ORDER_BODY_BYTES,
                handler=self._resend,
                name="resendDelivery",
                summary="Send a notice to a merchant again",
                answers=(DeliveryAnswer,),
                problems=(
                    sending_again.UnknownDelivery,
                    sending_again.NoticeOvertaken,
                    NoPolicyInForce,
                ),
                example=Example(path={"delivery_id": "stp_1f0c2b7a9d3e4f5061-created"}),
            ),
        )

    async def _stop_requests(self, request: Request) -> Response:
        scope, caller = authenticated(request)
        merchant_id = _merchant_of(caller)
        given = _list_parameters(request)
        return json_answer(
            await self._access.read(
                lambda: stop_request_list(
                    scope.cases,
                    merchant_id=merchant_id,
                    state=given.state,
                    limit=given.limit,
                    after=None if given.after is UNSET else given.after,
                )
            )
        )

    async def _show_stop_request(self, request: Request) -> Response:
        scope, caller = authenticated(request)
        merchant_id = _merchant_of(caller)
        stop_request_id = id_in_path(request, "stop_request_id", locked_stop_request.UnknownStopRequest)
        return json_answer(
            await self._access.read(
                lambda: stop_requesting.view(scope.cases, stop_request_id, merchant_id=merchant_id)
            )
        )

    async def _answer(self, request: Request) -> Response:
        scope, caller = authenticated(request)
        if caller.merchant_id is None:
            raise forbidden("a stop request is answered with the merchant's key, or by the form")
        given = fields_of(json_body(request), StopAnswer)
        merchant_id, stop_request_id = (
            caller.merchant_id,
            id_in_path(request, "stop_request_id", locked_stop_request.UnknownStopRequest),
        )
        return json_answer(
            await self._access.write(
                lambda: answering.answer(
                    scope.cases,
                    stop_request_id,
                    merchant_id=merchant_id,
                    kind=given.kind,
                    carrier=given.carrier,
                    tracking_number=given.tracking_number,
                    note=given.note,
                )
            )
        )

    async def _recall_result(self, request: Request) -> Response:
        scope, caller = authenticated(request)
        result = fields_of(json_body(request), RecallOutcome).result
        stop_request_id = id_in_path(request, "stop_request_id", locked_stop_request.UnknownStopRequest)
        return json_answer(
            await self._access.write(
                lambda: recalls.finish_recall(scope.cases, stop_request_id, result, caller.name)
            )
        )

    async def _resend(self, request: Request) -> Response:
        scope, caller = authenticated(request)
        delivery_id = id_in_path(request, "delivery_id", sending_again.UnknownDelivery)
        return json_answer(
            await self._access.write(lambda: sending_again.send_again(scope.cases, delivery_id, caller.name))
        )


def _list_parameters(request: Request) -> StopRequestParameters:
    """The parameters that were given. Raises ParametersInvalid for what is none, or not valid."""
    given = request.query_params
    errors = unknown_parameters(request, StopRequestParameters.__struct_fields__)
    state = given.get("state", StopRequestState.REQUESTED.value)
    allowed = [known.value for known in StopRequestState]
    if state not in allowed:
        errors.append(FieldError(pointer="/state", detail=f"state must be one of {', '.join(allowed)}"))
    errors += wrong_limit(request, STOP_REQUESTS_MAXIMUM)
    if errors:
        raise ParametersInvalid(errors)
    return StopRequestParameters(
        state=StopRequestState(state), limit=int(given.get("limit", "50")), after=given.get("after", UNSET)
    )


def _merchant_of(caller: Caller) -> str | None:
    """Whose stop requests a caller may see: a merchant its own, the fraud team all."""
    if caller.role is Role.FRAUD:
        return None
    if caller.merchant_id is None:
        raise forbidden("stop requests are for the fraud team and for the merchant of the order")
    return caller.merchant_id
