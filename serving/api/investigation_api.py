"""The HTTP edge of investigations, at /v1/cases/{case_id}/investigation."""

from starlette.requests import Request
from starlette.responses import Response

from serving.api.case_api import EXAMPLE_CASE
from serving.cases import case_outcomes, investigating
from serving.cases.case_answers import (
    AskedQuestion,
    InvestigationAnswer,
    InvestigationFinding,
    InvestigationReason,
    MerchantQuestionText,
)
from serving.domain import investigation, review_case
from serving.domain.errors import UnknownCase, UnknownOrder
from serving.domain.liability import FactsInvalid
from serving.in_force.policy_watch import NoPolicyInForce
from serving.requests.http_requests import authenticated, fields_of, id_in_path, json_answer, json_body
from serving.requests.route_declaration import ORDER_BODY_BYTES, REVIEWING, Example, RouteDeclaration
from serving.requests.store_access import StoreAccess
from serving.stop_requests import locked_stop_request


class InvestigationApi:
    """The handlers."""

    def __init__(self, access: StoreAccess) -> None:
        self._access = access

    def routes(self) -> tuple[RouteDeclaration, ...]:
        """What opens an investigation, asks the merchant for more, and closes it with a finding."""
        return (
            RouteDeclaration(
                method="POST",
                path="/v1/cases/{case_id}/investigation",
                roles=REVIEWING,
                body_maximum_bytes=ORDER_BODY_BYTES,
                handler=self._investigate,
                name="investigate",
                summary="Investigate a case, with a reason; disputes and unpaid invoices do so by themselves",
                body=InvestigationReason,
                answers=(InvestigationAnswer,),
                problems=(
                    UnknownCase,
                    review_case.ReasonMissing,
                    NoPolicyInForce,
                ),
                example=Example(path=EXAMPLE_CASE, body={"reason": "The customer called us."}),
            ),
            RouteDeclaration(
                method="POST",
                path="/v1/cases/{case_id}/investigation/question",
                roles=REVIEWING,
                body_maximum_bytes=ORDER_BODY_BYTES,
                handler=self._ask_merchant,
                name="askMerchant",
                summary="Ask the merchant of the order for more; the answer comes by the form, as a note",
                body=MerchantQuestionText,
                answers=(AskedQuestion,),
                problems=(
                    investigation.UnknownInvestigation,
                    investigation.InvestigationClosed,
                    locked_stop_request.UnknownStopRequest,
                    NoPolicyInForce,
                ),
                example=Example(path=EXAMPLE_CASE, body={"question": "Who took the parcel?"}),
            ),
            RouteDeclaration(
                method="POST",
                path="/v1/cases/{case_id}/investigation/finding",
                roles=REVIEWING,
                body_maximum_bytes=ORDER_BODY_BYTES,
                handler=self._conclude,
                name="concludeInvestigation",
                summary="Close the investigation with a finding; ledger and settlement follow",
                body=InvestigationFinding,
                answers=(InvestigationAnswer,),
                problems=(
                    investigation.UnknownInvestigation,
                    investigation.InvestigationClosed,
                    investigation.CaseUndecided,
                    case_outcomes.OutcomeRefused,
                    FactsInvalid,
                    UnknownOrder,
                    NoPolicyInForce,
                ),
                example=Example(path=EXAMPLE_CASE, body={"finding": "fraud_confirmed"}),
            ),
        )

    async def _investigate(self, request: Request) -> Response:
        scope, caller = authenticated(request)
        reason = fields_of(json_body(request), InvestigationReason).reason
        case_id = id_in_path(request, "case_id", UnknownCase)
        return json_answer(
            await self._access.write(
                lambda: investigating.open_by_hand(scope.cases, case_id, reason=reason, by=caller.name)
            )
        )

    async def _ask_merchant(self, request: Request) -> Response:
        scope, caller = authenticated(request)
        question = fields_of(json_body(request), MerchantQuestionText).question
        case_id = id_in_path(request, "case_id", investigation.UnknownInvestigation)
        return json_answer(
            await self._access.write(
                lambda: investigating.ask_merchant(scope.cases, case_id, question, caller.name)
            )
        )

    async def _conclude(self, request: Request) -> Response:
        scope, caller = authenticated(request)
        finding = fields_of(json_body(request), InvestigationFinding).finding
        case_id = id_in_path(request, "case_id", investigation.UnknownInvestigation)
        return json_answer(
            await self._access.write(
                lambda: investigating.conclude(scope.cases, case_id, finding, caller.name)
            )
        )
