"""The HTTP edge of what happens after approval, at /v1: review cases, stop requests and their answers."""

from starlette.requests import Request
from starlette.responses import Response

from data_contracts.instants import rfc3339
from serving.cases import case_review, investigating
from serving.cases.possible_steps import TEXT_FIELD, Step
from serving.domain.review_case import CaseState
from serving.requests.authentication import forbidden
from serving.requests.http_requests import authenticated, idempotency_key, json_answer, json_body
from serving.requests.problem_details import FieldError, invalid_body, not_found, pointer
from serving.requests.route_declaration import RouteDeclaration, shown, taken
from serving.requests.store_access import StoreAccess
from serving.stop_requests import stop_requesting
from serving.store.api_keys import Caller, Role

CASES_MAXIMUM = 500
LIMIT_DIGITS = 6
ANSWER_FIELDS = ("kind", "carrier", "tracking_number", "note")
REVIEWING = frozenset({Role.FRAUD})
ASKED_TO_STOP = frozenset({Role.FRAUD, Role.MERCHANT})
ANSWERING = frozenset({Role.MERCHANT})


class CaseApi:
    """The handlers."""

    def __init__(self, access: StoreAccess) -> None:
        self._access = access

    def routes(self) -> tuple[RouteDeclaration, ...]:
        """What the fraud team does with a case, and what a merchant is asked and answers."""
        return (
            shown("/v1/cases", self._cases, REVIEWING),
            taken("/v1/cases/claim-next", self._claim_next, REVIEWING),
            shown("/v1/cases/{case_id}", self._show_case, REVIEWING),
            taken("/v1/cases/{case_id}/investigation", self._investigate, REVIEWING),
            taken("/v1/cases/{case_id}/investigation/question", self._ask_merchant, REVIEWING),
            taken("/v1/cases/{case_id}/investigation/finding", self._conclude, REVIEWING),
            taken("/v1/cases/{case_id}/{step}", self._case_step, REVIEWING),
            shown("/v1/stop-requests/{stop_request_id}", self._show_stop_request, ASKED_TO_STOP),
            taken("/v1/stop-requests/{stop_request_id}/answer", self._answer, ANSWERING),
            taken("/v1/stop-requests/{stop_request_id}/recall-result", self._recall_result, REVIEWING),
            taken("/v1/deliveries/{delivery_id}/resend", self._resend, REVIEWING),
        )

    async def _cases(self, request: Request) -> Response:
        scope, _ = authenticated(request)
        state, limit = _queue_parameters(request)
        return json_answer(
            await self._access.read(lambda: case_review.queue(scope.cases, state=state, limit=limit))
        )

    async def _show_case(self, request: Request) -> Response:
        scope, _ = authenticated(request)
        case_id = _id(request, "case_id")
        return json_answer(await self._access.read(lambda: case_review.case_view(scope.cases, case_id)))

    async def _claim_next(self, request: Request) -> Response:
        scope, caller = authenticated(request)
        case = await self._access.write(lambda: case_review.claim_next(scope.cases, caller.name))
        return Response(status_code=204) if case is None else json_answer(case)

    async def _case_step(self, request: Request) -> Response:
        scope, caller = authenticated(request)
        try:
            step = Step(request.path_params["step"])
        except ValueError as problem:
            raise not_found(f"there is no step {request.path_params['step']}") from problem
        body = json_body(request, optional=True)
        text = _step_text(step, body)
        case_id = _id(request, "case_id")
        key = idempotency_key(request)
        document = await self._access.write(
            lambda: case_review.take_step(
                scope.cases,
                case_id,
                step,
                reviewer=caller.name,
                role=caller.role.value,
                text=text,
                caller=caller,
                idempotency_key=key,
            )
        )
        return json_answer(document)

    async def _investigate(self, request: Request) -> Response:
        scope, caller = authenticated(request)
        reason = _text_field(json_body(request), "reason")
        case_id = _id(request, "case_id")
        return json_answer(
            await self._access.write(
                lambda: investigating.open_by_hand(scope.cases, case_id, reason=reason, by=caller.name)
            )
        )

    async def _ask_merchant(self, request: Request) -> Response:
        scope, caller = authenticated(request)
        question = _text_field(json_body(request), "question")
        case_id = _id(request, "case_id")
        asked = await self._access.write(
            lambda: investigating.ask_merchant(scope.cases, case_id, question, caller.name)
        )
        return json_answer({"question": asked.text, "asked_at": rfc3339(asked.asked_at_ms)})

    async def _conclude(self, request: Request) -> Response:
        scope, caller = authenticated(request)
        finding = _text_field(json_body(request), "finding")
        case_id = _id(request, "case_id")
        return json_answer(
            await self._access.write(
                lambda: investigating.conclude(scope.cases, case_id, finding, caller.name)
            )
        )

    async def _show_stop_request(self, request: Request) -> Response:
        scope, caller = authenticated(request)
        merchant_id = _merchant_of(caller)
        stop_request_id = _id(request, "stop_request_id")
        return json_answer(
            await self._access.read(
                lambda: stop_requesting.view(scope.cases, stop_request_id, merchant_id=merchant_id)
            )
        )

    async def _answer(self, request: Request) -> Response:
        scope, caller = authenticated(request)
        if caller.merchant_id is None:
            raise forbidden("a stop request is answered with the merchant's key, or by the form")
        given = _answer_fields(json_body(request))
        merchant_id, stop_request_id = caller.merchant_id, _id(request, "stop_request_id")
        return json_answer(
            await self._access.write(
                lambda: stop_requesting.answer(scope.cases, stop_request_id, merchant_id=merchant_id, **given)
            )
        )

    async def _recall_result(self, request: Request) -> Response:
        scope, caller = authenticated(request)
        result = _text_field(json_body(request), "result")
        stop_request_id = _id(request, "stop_request_id")
        return json_answer(
            await self._access.write(
                lambda: stop_requesting.finish_recall(scope.cases, stop_request_id, result, caller.name)
            )
        )

    async def _resend(self, request: Request) -> Response:
        scope, caller = authenticated(request)
        delivery_id = _id(request, "delivery_id")
        return json_answer(
            await self._access.write(
                lambda: stop_requesting.send_again(scope.cases, delivery_id, caller.name)
            )
        )


def _id(request: Request, name: str) -> str:
    """An id of the path. Raises ProblemError (404) for what is none: PostgreSQL takes no zero byte."""
    value = str(request.path_params[name])
    if not value.isprintable():
        raise not_found("there is no such thing")
    return value


def _merchant_of(caller: Caller) -> str | None:
    """Whose stop requests a caller may see: a merchant its own, the fraud team all."""
    if caller.role is Role.FRAUD:
        return None
    if caller.merchant_id is None:
        raise forbidden("stop requests are for the fraud team and for the merchant of the order")
    return caller.merchant_id


def _answer_fields(body: object) -> dict[str, str | None]:
    """The fields of a merchant's answer. Raises ProblemError (422) where they are no texts, or unknown."""
    if not isinstance(body, dict):
        raise invalid_body([FieldError(pointer="", detail="the body is a JSON object")])
    errors = [
        FieldError(pointer=pointer(name), detail="there is no such field")
        for name in body
        if name not in ANSWER_FIELDS
    ]
    errors += [
        FieldError(pointer=pointer(name), detail=f"{name} must be a text")
        for name in ANSWER_FIELDS
        if not isinstance(body.get(name), str | None)
    ]
    if errors:
        raise invalid_body(errors)
    return {name: body.get(name) for name in ANSWER_FIELDS}


def _text_field(body: object, field: str) -> str:
    if not isinstance(body, dict):
        raise invalid_body([FieldError(pointer="", detail="the body is a JSON object")])
    errors = [
        FieldError(pointer=pointer(name), detail="there is no such field") for name in body if name != field
    ]
    text = body.get(field)
    if not isinstance(text, str):
        errors.append(FieldError(pointer=pointer(field), detail=f"{field} is required, as a text"))
    if errors or not isinstance(text, str):
        raise invalid_body(errors)
    return text


def _queue_parameters(request: Request) -> tuple[CaseState, int]:
    errors = [
        FieldError(pointer=pointer(name), detail="there is no such parameter")
        for name in request.query_params
        if name not in {"state", "limit"}
    ]
    state, limit = request.query_params.get("state", "open"), request.query_params.get("limit", "50")
    if state not in {known.value for known in CaseState}:
        allowed = ", ".join(known.value for known in CaseState)
        errors.append(FieldError(pointer="/state", detail=f"state must be one of {allowed}"))
    is_number = limit.isascii() and limit.isdigit() and len(limit) <= LIMIT_DIGITS
    if not is_number or not 1 <= int(limit) <= CASES_MAXIMUM:
        errors.append(FieldError(pointer="/limit", detail=f"limit must be from 1 to {CASES_MAXIMUM}"))
    if errors:
        raise invalid_body(errors)
    return CaseState(state), int(limit)


def _step_text(step: Step, body: object) -> str | None:
    """The one text that some steps take. Raises ProblemError (422) for anything else in the body."""
    field = TEXT_FIELD.get(step)
    if body is None:
        body = {}
    if not isinstance(body, dict):
        raise invalid_body([FieldError(pointer="", detail="the body is a JSON object")])
    errors = [
        FieldError(pointer=pointer(name), detail="there is no such field") for name in body if name != field
    ]
    text = body.get(field) if field is not None else None
    if field is not None and not isinstance(text, str):
        errors.append(FieldError(pointer=pointer(field), detail=f"{field} is required, as a text"))
    if errors:
        raise invalid_body(errors)
    return text
