"""The HTTP edge of disputes: what the portal does for a customer, and what a merchant sees and answers."""

from dataclasses import dataclass

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from serving.disputes import customer_steps, evidence, kept_step, ledger_effects, merchant_steps, opening
from serving.disputes.dispute_answers import (
    LIST_MAXIMUM,
    CustomerDispute,
    CustomerDisputes,
    CustomerNamed,
    CustomerParameters,
    CustomerText,
    DisputeAnswerBody,
    DisputeFileAnswer,
    DisputeListParameters,
    FileParameters,
    GiveInBody,
    MerchantDispute,
    MerchantDisputes,
    NewDispute,
)
from serving.domain import dispute_steps
from serving.domain.dispute import Party
from serving.domain.dispute_policy import LARGEST_EVIDENCE_BYTES
from serving.domain.errors import FieldsInvalid, OrderNotInvoiced, ParametersInvalid, UnknownOrder
from serving.domain.field_errors import FieldError, pointer
from serving.in_force.policy_watch import NoPolicyInForce
from serving.requests.answer_fields import NamedSchema
from serving.requests.authentication import forbidden
from serving.requests.http_requests import (
    admission,
    authenticated,
    fields_of,
    id_in_path,
    idempotency_key,
    json_answer,
    json_body,
)
from serving.requests.problem_details import UNSUPPORTED_MEDIA_TYPE, ProblemError
from serving.requests.route_declaration import ORDER_BODY_BYTES, Example, RouteDeclaration
from serving.requests.store_access import StoreAccess
from serving.store.api_keys import Caller, Role

FOR_CUSTOMERS = frozenset({Role.PORTAL})
FOR_MERCHANTS = frozenset({Role.MERCHANT})
BOTH_SIDES = FOR_CUSTOMERS | FOR_MERCHANTS

EXAMPLE_DISPUTE = {"dispute_id": "dsp_4be1a7c2f0d95e336814"}
EXAMPLE_CUSTOMER = {"customer_id": "customer-1"}
EVIDENCE = NamedSchema(
    name="Evidence",
    schema=lambda: {
        "type": "string",
        "format": "binary",
        "description": "what the file holds: PDF, PNG, JPEG, or plain text in UTF-8",
    },
    media_type=evidence.OCTETS,
)
"""Sent and given out as it is, not as JSON."""
_STEP_PROBLEMS = (
    kept_step.UnknownDispute,
    kept_step.DisputeMoved,
    dispute_steps.DisputeStepImpossible,
    ledger_effects.DisputeRowRefused,
    NoPolicyInForce,
)


@dataclass(frozen=True, kw_only=True)
class _Side:
    """For whom a file is handed in or asked for. merchant_id, customer_id: one of them."""

    party: Party
    merchant_id: str | None
    customer_id: str | None


class DisputeApi:
    """The handlers."""

    def __init__(self, access: StoreAccess) -> None:
        self._access = access

    def routes(self) -> tuple[RouteDeclaration, ...]:
        """A dispute from its opening to its end, from both sides."""
        return (*self._customer_routes(), *self._merchant_routes(), *self._file_routes())

    def _customer_routes(self) -> tuple[RouteDeclaration, ...]:
        return (
            RouteDeclaration(
                method="POST",
                path="/v1/orders/{order_id}/disputes",
                roles=FOR_CUSTOMERS,
                body_maximum_bytes=ORDER_BODY_BYTES,
                handler=self._open,
                name="openDispute",
                summary="A customer disputes an order, or a part of it; its invoices pause at once",
                body=NewDispute,
                answers=(CustomerDispute,),
                status=201,
                is_idempotent=True,
                problems=(
                    UnknownOrder,
                    OrderNotInvoiced,
                    opening.OrderDisputedBefore,
                    ledger_effects.DisputeRowRefused,
                    NoPolicyInForce,
                ),
                example=Example(
                    path={"order_id": "order-1001"},
                    body={
                        **EXAMPLE_CUSTOMER,
                        "reason": "not_received",
                        "text": "The parcel never came.",
                        "amount_cents": 4_990,
                    },
                ),
            ),
            RouteDeclaration(
                method="GET",
                path="/v1/customers/{customer_id}/disputes",
                roles=FOR_CUSTOMERS,
                handler=self._of_customer,
                name="customerDisputes",
                summary="A customer's disputes, the latest first",
                answers=(CustomerDisputes,),
                problems=(UnknownOrder, NoPolicyInForce),
                example=Example(path=EXAMPLE_CUSTOMER),
            ),
            RouteDeclaration(
                method="POST",
                path="/v1/disputes/{dispute_id}/statement",
                roles=FOR_CUSTOMERS,
                body_maximum_bytes=ORDER_BODY_BYTES,
                handler=self._state,
                name="stateReason",
                summary="The customer says what is wrong; after the merchant's answer it goes to our desk",
                body=CustomerText,
                answers=(CustomerDispute,),
                is_idempotent=True,
                problems=_STEP_PROBLEMS,
                example=Example(
                    path=EXAMPLE_DISPUTE, body={**EXAMPLE_CUSTOMER, "text": "Nobody rang the bell."}
                ),
            ),
            RouteDeclaration(
                method="POST",
                path="/v1/disputes/{dispute_id}/withdraw",
                roles=FOR_CUSTOMERS,
                body_maximum_bytes=ORDER_BODY_BYTES,
                handler=self._withdraw,
                name="withdrawDispute",
                summary="The customer takes a dispute or its complaint back; twice is harmless",
                body=CustomerNamed,
                answers=(CustomerDispute,),
                is_idempotent=True,
                problems=_STEP_PROBLEMS,
                example=Example(path=EXAMPLE_DISPUTE, body=EXAMPLE_CUSTOMER),
            ),
            RouteDeclaration(
                method="POST",
                path="/v1/disputes/{dispute_id}/complaint",
                roles=FOR_CUSTOMERS,
                body_maximum_bytes=ORDER_BODY_BYTES,
                handler=self._complain,
                name="complain",
                summary="The customer complains about the outcome; somebody else looks a second time",
                body=CustomerText,
                answers=(CustomerDispute,),
                is_idempotent=True,
                problems=(
                    *_STEP_PROBLEMS,
                    dispute_steps.ComplaintMadeBefore,
                    dispute_steps.ComplaintTooLate,
                ),
                example=Example(
                    path=EXAMPLE_DISPUTE, body={**EXAMPLE_CUSTOMER, "text": "The signature is not mine."}
                ),
            ),
        )

    def _merchant_routes(self) -> tuple[RouteDeclaration, ...]:
        return (
            RouteDeclaration(
                method="GET",
                path="/v1/disputes",
                roles=FOR_MERCHANTS,
                handler=self._of_merchant,
                name="merchantDisputes",
                summary="The merchant's own disputes with their deadlines, the most urgent first",
                query=DisputeListParameters,
                answers=(MerchantDisputes,),
                problems=(ParametersInvalid, NoPolicyInForce),
                example=Example(query={"state": "open"}),
            ),
            RouteDeclaration(
                method="GET",
                path="/v1/disputes/{dispute_id}",
                roles=BOTH_SIDES,
                handler=self._show,
                name="dispute",
                summary="A dispute as its merchant sees it, or as its customer does for the portal",
                query=CustomerParameters,
                answers=(MerchantDispute, CustomerDispute),
                problems=(ParametersInvalid, kept_step.UnknownDispute, NoPolicyInForce),
                example=Example(path=EXAMPLE_DISPUTE),
            ),
            RouteDeclaration(
                method="POST",
                path="/v1/disputes/{dispute_id}/answer",
                roles=FOR_MERCHANTS,
                body_maximum_bytes=ORDER_BODY_BYTES,
                handler=self._answer,
                name="answerDispute",
                summary="The merchant answers, before its deadline; the same answer again is harmless",
                body=DisputeAnswerBody,
                answers=(MerchantDispute,),
                is_idempotent=True,
                problems=(*_STEP_PROBLEMS, dispute_steps.DisputeAnswerTooLate),
                example=Example(
                    path=EXAMPLE_DISPUTE,
                    body={
                        "kind": "shipped_with_tracking",
                        "carrier": "PostNord",
                        "tracking_number": "SE00340434161094042557",
                    },
                ),
            ),
            RouteDeclaration(
                method="POST",
                path="/v1/disputes/{dispute_id}/give-in",
                roles=FOR_MERCHANTS,
                body_maximum_bytes=ORDER_BODY_BYTES,
                handler=self._give_in,
                name="giveIn",
                summary="The merchant gives in, by what is disputed or by the whole order; twice is harmless",
                body=GiveInBody,
                body_is_optional=True,
                answers=(MerchantDispute,),
                is_idempotent=True,
                problems=_STEP_PROBLEMS,
                example=Example(path=EXAMPLE_DISPUTE, body={"part": "disputed_part"}),
            ),
        )

    def _file_routes(self) -> tuple[RouteDeclaration, ...]:
        return (
            RouteDeclaration(
                method="POST",
                path="/v1/disputes/{dispute_id}/files",
                roles=BOTH_SIDES,
                body_maximum_bytes=LARGEST_EVIDENCE_BYTES,
                handler=self._add_file,
                name="addDisputeFile",
                summary="One file of evidence as the body; what it is, is judged by what it holds",
                query=FileParameters,
                body=EVIDENCE,
                answers=(DisputeFileAnswer,),
                status=201,
                problems=(
                    ParametersInvalid,
                    FieldsInvalid,
                    kept_step.UnknownDispute,
                    dispute_steps.DisputeStepImpossible,
                    NoPolicyInForce,
                ),
                example=Example(path=EXAMPLE_DISPUTE, query={"name": "parcel.jpg"}),
            ),
            RouteDeclaration(
                method="GET",
                path="/v1/disputes/{dispute_id}/files/{file_id}",
                roles=BOTH_SIDES,
                handler=self._file,
                name="disputeFile",
                summary="A file that the caller's side handed in, as a download",
                query=CustomerParameters,
                answers=(EVIDENCE,),
                problems=(
                    ParametersInvalid,
                    kept_step.UnknownDispute,
                    evidence.UnknownDisputeFile,
                    evidence.EvidenceLost,
                    NoPolicyInForce,
                ),
                example=Example(path={**EXAMPLE_DISPUTE, "file_id": "fil_90c3e1f5a7b2d4680e13"}),
            ),
        )

    async def _open(self, request: Request) -> Response:
        scope, caller = authenticated(request)
        key = idempotency_key(request)
        order_id = id_in_path(request, "order_id", UnknownOrder)
        given = _decoded(json_body(request), NewDispute)
        opened = await self._access.write(
            lambda: opening.open_by_customer(
                scope.cases,
                order_id,
                customer_id=given.customer_id,
                reason=given.reason,
                text=given.text,
                amount_cents=given.amount_cents,
                police_report=given.police_report,
                caller=caller,
                idempotency_key=key,
            )
        )
        return json_answer(opened, status=201)

    async def _of_customer(self, request: Request) -> Response:
        scope, _ = authenticated(request)
        customer_id = id_in_path(request, "customer_id", UnknownOrder)
        return json_answer(
            await self._access.read(lambda: customer_steps.disputes_of(scope.cases, customer_id))
        )

    async def _state(self, request: Request) -> Response:
        scope, caller = authenticated(request)
        key, dispute_id = idempotency_key(request), _dispute_id(request)
        given = fields_of(json_body(request), CustomerText)
        return json_answer(
            await self._access.write(
                lambda: customer_steps.make_statement(
                    scope.cases,
                    dispute_id,
                    customer_id=given.customer_id,
                    text=given.text,
                    caller=caller,
                    idempotency_key=key,
                )
            )
        )

    async def _withdraw(self, request: Request) -> Response:
        scope, caller = authenticated(request)
        key, dispute_id = idempotency_key(request), _dispute_id(request)
        given = fields_of(json_body(request), CustomerNamed)
        return json_answer(
            await self._access.write(
                lambda: customer_steps.withdraw_dispute(
                    scope.cases,
                    dispute_id,
                    customer_id=given.customer_id,
                    caller=caller,
                    idempotency_key=key,
                )
            )
        )

    async def _complain(self, request: Request) -> Response:
        scope, caller = authenticated(request)
        key, dispute_id = idempotency_key(request), _dispute_id(request)
        given = fields_of(json_body(request), CustomerText)
        return json_answer(
            await self._access.write(
                lambda: customer_steps.make_complaint(
                    scope.cases,
                    dispute_id,
                    customer_id=given.customer_id,
                    text=given.text,
                    caller=caller,
                    idempotency_key=key,
                )
            )
        )

    async def _of_merchant(self, request: Request) -> Response:
        scope, caller = authenticated(request)
        merchant_id = _merchant_of(caller)
        asked = _parameters(request, DisputeListParameters)
        state, limit = asked.get("state", "open"), asked.get("limit", str(LIST_MAXIMUM))
        errors = []
        if state not in {"open", "closed"}:
            errors.append(FieldError(pointer=pointer("state"), detail="state must be open or closed"))
        if not (limit.isascii() and limit.isdigit() and 1 <= int(limit[:6]) <= LIST_MAXIMUM):
            errors.append(
                FieldError(pointer=pointer("limit"), detail=f"limit must be from 1 to {LIST_MAXIMUM}")
            )
        if errors:
            raise ParametersInvalid(errors)
        return json_answer(
            await self._access.read(
                lambda: merchant_steps.disputes_of(
                    scope.cases, merchant_id, is_open=state == "open", limit=int(limit)
                )
            )
        )

    async def _show(self, request: Request) -> Response:
        scope, caller = authenticated(request)
        dispute_id = _dispute_id(request)
        side = _side(caller, _parameters(request, CustomerParameters))
        if side.customer_id is not None:
            customer_id = side.customer_id
            return json_answer(
                await self._access.read(
                    lambda: customer_steps.customer_view(scope.cases, dispute_id, customer_id)
                )
            )
        return json_answer(
            await self._access.read(
                lambda: merchant_steps.merchant_view(scope.cases, dispute_id, side.merchant_id)
            )
        )

    async def _answer(self, request: Request) -> Response:
        scope, caller = authenticated(request)
        key, dispute_id, merchant_id = idempotency_key(request), _dispute_id(request), _merchant_of(caller)
        given = fields_of(json_body(request), DisputeAnswerBody)
        return json_answer(
            await self._access.write(
                lambda: merchant_steps.answer_dispute(
                    scope.cases,
                    dispute_id,
                    merchant_id=merchant_id,
                    kind=given.kind,
                    text=given.text,
                    carrier=given.carrier,
                    tracking_number=given.tracking_number,
                    caller=caller,
                    idempotency_key=key,
                )
            )
        )

    async def _give_in(self, request: Request) -> Response:
        scope, caller = authenticated(request)
        key, dispute_id, merchant_id = idempotency_key(request), _dispute_id(request), _merchant_of(caller)
        given = fields_of(json_body(request, optional=True), GiveInBody)
        return json_answer(
            await self._access.write(
                lambda: merchant_steps.give_in_dispute(
                    scope.cases,
                    dispute_id,
                    merchant_id=merchant_id,
                    part=given.part,
                    caller=caller,
                    idempotency_key=key,
                )
            )
        )

    async def _add_file(self, request: Request) -> Response:
        scope, caller = authenticated(request)
        cases, dispute_id = scope.cases, _dispute_id(request)
        asked = _parameters(request, FileParameters)
        side = _side(caller, asked)
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != evidence.OCTETS:
            detail = f"send the file as the body, as Content-Type: {evidence.OCTETS}"
            raise ProblemError(UNSUPPORTED_MEDIA_TYPE, detail=detail)
        content = admission(request).body
        # The disk is waited for beside the event loop; the store is told once the file is there.
        stored = await self._access.read_beside(
            lambda: evidence.store_evidence(
                cases,
                scope.evidence_folder,
                dispute_id,
                party=side.party,
                name=asked.get("name", ""),
                content=content,
                merchant_id=side.merchant_id,
                customer_id=side.customer_id,
            )
        )
        noted = await self._access.write(lambda: evidence.note_evidence(cases, stored, by=caller.name))
        return json_answer(noted, status=201)

    async def _file(self, request: Request) -> Response:
        scope, caller = authenticated(request)
        dispute_id = _dispute_id(request)
        file_id = id_in_path(request, "file_id", evidence.UnknownDisputeFile)
        side = _side(caller, _parameters(request, CustomerParameters))
        file, content = await self._access.read_beside(
            lambda: evidence.read_file(
                scope.cases,
                scope.evidence_folder,
                dispute_id,
                file_id,
                party=side.party,
                merchant_id=side.merchant_id,
                customer_id=side.customer_id,
            )
        )
        return Response(content, headers=evidence.download_headers(file))


def _dispute_id(request: Request) -> str:
    return id_in_path(request, "dispute_id", kept_step.UnknownDispute)


def _merchant_of(caller: Caller) -> str:
    if caller.merchant_id is None:
        raise forbidden("this is the merchant's, with the merchant's key")
    return caller.merchant_id


def _side(caller: Caller, asked: dict[str, str]) -> _Side:
    """For whom the caller acts. Raises ParametersInvalid where the portal names no customer, or a merchant
    names one.
    """
    customer_id = asked.get("customer_id")
    if caller.role is Role.MERCHANT:
        if customer_id is not None:
            rule = "customer_id must be left out with a merchant's key"
            raise ParametersInvalid([FieldError(pointer=pointer("customer_id"), detail=rule)])
        return _Side(party=Party.MERCHANT, merchant_id=_merchant_of(caller), customer_id=None)
    if not customer_id or not customer_id.isprintable():
        raise ParametersInvalid(
            [FieldError(pointer=pointer("customer_id"), detail="customer_id is required")]
        )
    return _Side(party=Party.CUSTOMER, merchant_id=None, customer_id=customer_id)


def _parameters(request: Request, known: type[msgspec.Struct]) -> dict[str, str]:
    """The parameters of a question as texts. Raises ParametersInvalid for one that there is not."""
    asked = dict(request.query_params)
    unknown = [
        FieldError(pointer=pointer(name), detail="there is no such parameter")
        for name in asked
        if name not in known.__struct_fields__
    ]
    if unknown:
        raise ParametersInvalid(unknown)
    return asked


def _decoded(body: object, fields: type[NewDispute]) -> NewDispute:
    """A body with an amount in it, which `fields_of` does not take. Raises FieldsInvalid."""
    given = dict(body) if isinstance(body, dict) else body
    amount = given.pop("amount_cents", None) if isinstance(given, dict) else None
    read = fields_of(given, fields)
    if amount is None:
        return read
    if not isinstance(amount, int) or isinstance(amount, bool):
        rule = "amount_cents must be a whole number"
        raise FieldsInvalid([FieldError(pointer=pointer("amount_cents"), detail=rule)])
    return msgspec.structs.replace(read, amount_cents=amount)
