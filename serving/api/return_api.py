"""The HTTP edge of returns: announced for a customer, confirmed and booked by the merchant."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from serving.checkout.checkout_answers import OrderParameters
from serving.domain.errors import (
    CreditAboveInvoiced,
    OrderNotInvoiced,
    ParametersInvalid,
    ReturnAboveInvoiced,
    UnknownOrder,
    UnknownReturn,
)
from serving.domain.field_errors import FieldError
from serving.domain.goods_return import ReturnClosed, ReturnState
from serving.in_force.policy_watch import NoPolicyInForce
from serving.requests.http_requests import (
    authenticated,
    id_in_path,
    idempotency_key,
    json_answer,
    json_body,
)
from serving.requests.order_in_path import order_in_path
from serving.requests.route_declaration import DECIDING, ORDER_BODY_BYTES, Example, RouteDeclaration
from serving.requests.store_access import StoreAccess
from serving.requests.typed_fields import typed_fields_of
from serving.returns import returning
from serving.returns.return_answers import (
    AnnouncedReturn,
    BookingBody,
    CustomerReturns,
    MerchantReturn,
    MerchantReturnList,
    ReturnBody,
    ReturnList,
    ReturnParameters,
    ReturnsParameters,
)
from serving.store.api_keys import Role

FOR_CUSTOMERS = frozenset({Role.PORTAL})
TOLD_OF_GOODS = DECIDING | {Role.LEDGER}
EXAMPLE_RETURN = {"return_id": "ret_1f0c2b7a9d3e4f506172"}


class ReturnApi:
    """The handlers."""

    def __init__(self, access: StoreAccess) -> None:
        self._access = access

    def routes(self) -> tuple[RouteDeclaration, ...]:
        """A return, from its announcement to its booking."""
        return (
            RouteDeclaration(
                method="POST",
                path="/v1/orders/{order_id}/returns",
                roles=FOR_CUSTOMERS,
                body_maximum_bytes=ORDER_BODY_BYTES,
                handler=self._announce,
                name="announceReturn",
                summary="The customer sends goods back: what is unpaid of them is paused",
                query=OrderParameters,
                body=ReturnBody,
                answers=(AnnouncedReturn,),
                is_idempotent=True,
                problems=(UnknownOrder, OrderNotInvoiced, ReturnAboveInvoiced, NoPolicyInForce),
                example=Example(
                    path={"order_id": "order-1001"},
                    body={
                        "customer_id": "customer-1",
                        "amount_cents": 1_500,
                        "carrier": "PostNord",
                        "tracking_number": "SE00340434161094049999",
                    },
                ),
            ),
            RouteDeclaration(
                method="GET",
                path="/v1/customers/{customer_id}/returns",
                roles=FOR_CUSTOMERS,
                handler=self._of_customer,
                name="customerReturns",
                summary="All returns of a customer",
                answers=(CustomerReturns,),
                problems=(UnknownReturn,),
                example=Example(path={"customer_id": "customer-1"}),
            ),
            RouteDeclaration(
                method="GET",
                path="/v1/returns",
                roles=DECIDING,
                handler=self._in_state,
                name="goodsReturns",
                summary="Returns in one state, the earliest announced first; a merchant sees its own",
                query=ReturnsParameters,
                answers=(ReturnList, MerchantReturnList),
                example=Example(query={"state": ReturnState.NOT_BOOKED.value}),
            ),
            RouteDeclaration(
                method="GET",
                path="/v1/returns/{return_id}",
                roles=DECIDING | FOR_CUSTOMERS,
                handler=self._show,
                name="goodsReturn",
                summary="One return; a portal names the customer",
                query=ReturnParameters,
                answers=(AnnouncedReturn, MerchantReturn),
                problems=(UnknownReturn,),
                example=Example(path=EXAMPLE_RETURN),
            ),
            RouteDeclaration(
                method="POST",
                path="/v1/returns/{return_id}/confirm",
                roles=TOLD_OF_GOODS,
                body_maximum_bytes=ORDER_BODY_BYTES,
                handler=self._confirm,
                name="confirmReturn",
                summary="Merchant or carrier confirms the goods: an invoice that was due is paused too",
                answers=(AnnouncedReturn, MerchantReturn),
                is_idempotent=True,
                problems=(UnknownReturn, NoPolicyInForce),
                example=Example(path=EXAMPLE_RETURN),
            ),
            RouteDeclaration(
                method="POST",
                path="/v1/returns/{return_id}/book",
                roles=DECIDING,
                body_maximum_bytes=ORDER_BODY_BYTES,
                handler=self._book,
                name="bookReturn",
                summary="The goods are back: what came back is credited, and its pauses end",
                body=BookingBody,
                body_is_optional=True,
                answers=(AnnouncedReturn, MerchantReturn),
                is_idempotent=True,
                problems=(UnknownReturn, ReturnClosed, CreditAboveInvoiced, NoPolicyInForce),
                example=Example(path=EXAMPLE_RETURN, body={"return_fee_cents": 395}),
            ),
        )

    async def _announce(self, request: Request) -> Response:
        scope, caller = authenticated(request)
        key, address = idempotency_key(request), order_in_path(request, caller)
        given = typed_fields_of(json_body(request), ReturnBody)
        return json_answer(
            await self._access.write(
                lambda: returning.announce(scope, address, given, caller=caller, idempotency_key=key)
            )
        )

    async def _of_customer(self, request: Request) -> Response:
        scope, _ = authenticated(request)
        customer_id = id_in_path(request, "customer_id", UnknownReturn)
        return json_answer(await self._access.read(lambda: returning.of_customer(scope, customer_id)))

    async def _in_state(self, request: Request) -> Response:
        scope, caller = authenticated(request)
        state = _state(request)
        return json_answer(await self._access.read(lambda: returning.in_state(scope, state, caller=caller)))

    async def _show(self, request: Request) -> Response:
        scope, caller = authenticated(request)
        return_id = id_in_path(request, "return_id", UnknownReturn)
        customer_id = request.query_params.get("customer_id")
        return json_answer(
            await self._access.read(
                lambda: returning.view(scope, return_id, caller=caller, customer_id=customer_id)
            )
        )

    async def _confirm(self, request: Request) -> Response:
        scope, caller = authenticated(request)
        key, return_id = idempotency_key(request), id_in_path(request, "return_id", UnknownReturn)
        return json_answer(
            await self._access.write(
                lambda: returning.confirm(scope, return_id, caller=caller, idempotency_key=key)
            )
        )

    async def _book(self, request: Request) -> Response:
        scope, caller = authenticated(request)
        key, return_id = idempotency_key(request), id_in_path(request, "return_id", UnknownReturn)
        given = typed_fields_of(json_body(request, optional=True), BookingBody)
        return json_answer(
            await self._access.write(
                lambda: returning.book(scope, return_id, given, caller=caller, idempotency_key=key)
            )
        )


def _state(request: Request) -> ReturnState:
    """The state that the query names. Raises ParametersInvalid."""
    sent = request.query_params.get("state")
    try:
        return msgspec.convert(sent, ReturnState)
    except msgspec.ValidationError as problem:
        states = ", ".join(ReturnState)
        detail = f"state must be one of {states}"
        raise ParametersInvalid([FieldError(pointer="/state", detail=detail)]) from problem
