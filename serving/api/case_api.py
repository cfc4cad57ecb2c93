"""The HTTP edge of review cases, at /v1/cases: the order of work, one case, and the steps on it."""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from serving.cases import case_review
from serving.cases.case_answers import (
    CASES_MAXIMUM,
    CaseAnswer,
    CaseNote,
    CaseQueue,
    ContactOutcomeGiven,
    NoFields,
    QueueParameters,
    ReopenReason,
    WholeCase,
)
from serving.cases.possible_steps import Step
from serving.domain import review_case
from serving.domain.errors import ParametersInvalid, RiskError, UnknownCase, UnknownOrder
from serving.domain.field_errors import FieldError
from serving.domain.review_case import CaseState
from serving.domain.verified_contacts import NoVerifiedContact
from serving.in_force.policy_watch import NoPolicyInForce
from serving.requests.http_requests import (
    authenticated,
    fields_of,
    id_in_path,
    idempotency_key,
    json_answer,
    json_body,
)
from serving.requests.list_parameters import unknown_parameters, wrong_limit
from serving.requests.route_declaration import ORDER_BODY_BYTES, REVIEWING, Example, RouteDeclaration
from serving.requests.store_access import StoreAccess

EXAMPLE_CASE = {"case_id": "case_1f0c2b7a9d3e4f5061"}


@dataclass(frozen=True, kw_only=True)
class _OfStep:
    """What a step on a case takes. text_field: the one text in its body, None where it takes none."""

    summary: str
    body: type[msgspec.Struct] = NoFields
    text_field: str | None = None
    example: Mapping[str, str] | None = None
    problems: tuple[type[RiskError], ...]


_HELD_BY_CALLER = (review_case.CaseClosed, review_case.CaseNotHeld, review_case.CaseHeldByAnother)

STEPS: Mapping[Step, _OfStep] = {
    Step.CLAIM: _OfStep(
        summary="Take a case in hand; again, to hold it longer",
        problems=(review_case.CaseClosed, review_case.CaseHeldByAnother),
    ),
    Step.GIVE_BACK: _OfStep(summary="Give a case back to the queue", problems=_HELD_BY_CALLER),
    Step.NOTE: _OfStep(
        summary="Note something about a case",
        body=CaseNote,
        text_field="note",
        example={"note": "The name at the door is another."},
        problems=_HELD_BY_CALLER,
    ),
    Step.CONTACT: _OfStep(
        summary="Begin to contact the customer, by what was verified before the order",
        problems=(
            *_HELD_BY_CALLER,
            review_case.ContactAlreadyUnderWay,
            NoVerifiedContact,
        ),
    ),
    Step.CONTACT_OUTCOME: _OfStep(
        summary="What the customer said",
        body=ContactOutcomeGiven,
        text_field="outcome",
        example={"outcome": "denied"},
        problems=(*_HELD_BY_CALLER, review_case.NoContactUnderWay),
    ),
    Step.RELEASE: _OfStep(
        summary="Let the order go",
        problems=_HELD_BY_CALLER,
    ),
    Step.STOP: _OfStep(
        summary="Stop the order; the merchant is asked once this cannot be undone any more",
        problems=_HELD_BY_CALLER,
    ),
    Step.UNDO: _OfStep(
        summary="Undo a stop that has not taken effect",
        problems=(
            review_case.NoStopToTakeBack,
            review_case.CaseHeldByAnother,
            review_case.UndoTooLate,
        ),
    ),
    Step.WITHDRAW: _OfStep(
        summary="Withdraw a stop that has taken effect",
        problems=(
            review_case.NoStopToTakeBack,
            review_case.WithdrawalNotAllowed,
        ),
    ),
    Step.REOPEN: _OfStep(
        summary="Open a closed case again",
        body=ReopenReason,
        text_field="reason",
        example={"reason": "The customer called back."},
        problems=(review_case.CaseNotClosed, review_case.StopStillHeld),
    ),
}
"""What each step takes and what it can be refused for."""


class CaseApi:
    """The handlers."""

    def __init__(self, access: StoreAccess) -> None:
        self._access = access

    def routes(self) -> tuple[RouteDeclaration, ...]:
        """What the fraud team does with a case."""
        return (
            RouteDeclaration(
                method="GET",
                path="/v1/cases",
                roles=REVIEWING,
                handler=self._cases,
                name="cases",
                summary="Flagged orders in the order of work",
                query=QueueParameters,
                answers=(CaseQueue,),
                problems=(ParametersInvalid, NoPolicyInForce),
                example=Example(query={"state": "open", "limit": 50}),
            ),
            RouteDeclaration(
                method="POST",
                path="/v1/cases/claim-next",
                roles=REVIEWING,
                body_maximum_bytes=ORDER_BODY_BYTES,
                handler=self._claim_next,
                name="claimNextCase",
                summary="Take the case that loses most by waiting",
                answers=(CaseAnswer,),
                empty="no case is open",
                problems=(case_review.CaseMoved, NoPolicyInForce),
                example=Example(),
            ),
            RouteDeclaration(
                method="GET",
                path="/v1/cases/{case_id}",
                roles=REVIEWING,
                handler=self._show_case,
                name="case",
                summary="All about a case",
                answers=(WholeCase,),
                problems=(UnknownCase, UnknownOrder, NoPolicyInForce),
                example=Example(path=EXAMPLE_CASE),
            ),
            *(self._step_route(step) for step in Step),
        )

    def _step_route(self, step: Step) -> RouteDeclaration:
        of_step = STEPS[step]

        async def take(request: Request) -> Response:
            return await self._case_step(request, step, of_step)

        return RouteDeclaration(
            method="POST",
            path=f"/v1/cases/{{case_id}}/{step.value}",
            roles=REVIEWING,
            body_maximum_bytes=ORDER_BODY_BYTES,
            handler=take,
            name=f"case_{step.name.lower()}",
            summary=of_step.summary,
            body=of_step.body,
            body_is_optional=of_step.text_field is None,
            answers=(CaseAnswer,),
            is_idempotent=True,
            problems=(
                UnknownCase,
                case_review.CaseMoved,
                NoPolicyInForce,
                *of_step.problems,
            ),
            example=Example(path=EXAMPLE_CASE, body=of_step.example),
        )

    async def _cases(self, request: Request) -> Response:
        scope, _ = authenticated(request)
        given = _queue_parameters(request)
        return json_answer(
            await self._access.read(
                lambda: case_review.queue(scope.cases, state=given.state, limit=given.limit)
            )
        )

    async def _show_case(self, request: Request) -> Response:
        scope, _ = authenticated(request)
        case_id = id_in_path(request, "case_id", UnknownCase)
        return json_answer(await self._access.read(lambda: case_review.case_view(scope.cases, case_id)))

    async def _claim_next(self, request: Request) -> Response:
        scope, caller = authenticated(request)
        case = await self._access.write(lambda: case_review.claim_next(scope.cases, caller.name))
        return Response(status_code=204) if case is None else json_answer(case)

    async def _case_step(self, request: Request, step: Step, of_step: "_OfStep") -> Response:
        scope, caller = authenticated(request)
        given = fields_of(json_body(request, optional=True), of_step.body)
        text = None if of_step.text_field is None else getattr(given, of_step.text_field)
        case_id = id_in_path(request, "case_id", UnknownCase)
        key = idempotency_key(request)
        case = await self._access.write(
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
        return json_answer(case)


def _queue_parameters(request: Request) -> QueueParameters:
    """The parameters that were given. Raises ParametersInvalid for what is none, or not valid."""
    errors = unknown_parameters(request, {"state", "limit"})
    state = request.query_params.get("state", "open")
    if state not in {known.value for known in CaseState}:
        allowed = ", ".join(known.value for known in CaseState)
        errors.append(FieldError(pointer="/state", detail=f"state must be one of {allowed}"))
    errors += wrong_limit(request, CASES_MAXIMUM)
    if errors:
        raise ParametersInvalid(errors)
    return QueueParameters(state=CaseState(state), limit=int(request.query_params.get("limit", "50")))
