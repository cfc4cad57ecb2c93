"""The HTTP edge of what happens to an order after checkout: it leaves the merchant, and it is credited."""

from starlette.requests import Request
from starlette.responses import Response

from serving.checkout.checkout_answers import OrderParameters
from serving.checkout.order_credit import CreditBody, MerchantOrderCredit, OrderCredit, credit
from serving.checkout.order_shipment import (
    MerchantShippedOrderState,
    ShipmentBody,
    ShippedOrderState,
    ship,
)
from serving.domain.errors import (
    CreditAboveInvoiced,
    LiabilityNotAccepted,
    OrderAlreadyClosed,
    OrderNotApproved,
    OrderNotInvoiced,
    OrderStopRequested,
    UnknownOrder,
)
from serving.in_force.policy_watch import NoPolicyInForce
from serving.requests.http_requests import authenticated, idempotency_key, json_answer, json_body
from serving.requests.order_in_path import order_in_path
from serving.requests.route_declaration import DECIDING, ORDER_BODY_BYTES, Example, RouteDeclaration
from serving.requests.store_access import StoreAccess
from serving.requests.typed_fields import typed_fields_of

EXAMPLE_PATH = {"order_id": "order-1001"}


class FulfilmentApi:
    """The handlers."""

    def __init__(self, access: StoreAccess) -> None:
        self._access = access

    def routes(self) -> tuple[RouteDeclaration, ...]:
        """A parcel that leaves, and a credit."""
        return (
            RouteDeclaration(
                method="POST",
                path="/v1/orders/{order_id}/ship",
                roles=DECIDING,
                body_maximum_bytes=ORDER_BODY_BYTES,
                handler=self._ship,
                name="ship",
                summary="A parcel of the order has left; without tracking number at the merchant's own risk",
                query=OrderParameters,
                body=ShipmentBody,
                answers=(ShippedOrderState, MerchantShippedOrderState),
                is_idempotent=True,
                problems=(
                    UnknownOrder,
                    OrderNotApproved,
                    OrderAlreadyClosed,
                    OrderStopRequested,
                    LiabilityNotAccepted,
                    NoPolicyInForce,
                ),
                example=Example(
                    path=EXAMPLE_PATH,
                    body={"carrier": "PostNord", "tracking_number": "SE00340434161094042557"},
                ),
            ),
            RouteDeclaration(
                method="POST",
                path="/v1/orders/{order_id}/credit",
                roles=DECIDING,
                body_maximum_bytes=ORDER_BODY_BYTES,
                handler=self._credit,
                name="credit",
                summary="Credit what is invoiced of the order, whole or in part; what was paid goes back",
                query=OrderParameters,
                body=CreditBody,
                answers=(OrderCredit, MerchantOrderCredit),
                is_idempotent=True,
                problems=(UnknownOrder, OrderNotInvoiced, CreditAboveInvoiced, NoPolicyInForce),
                example=Example(
                    path=EXAMPLE_PATH,
                    body={"reason": "return", "amount_cents": 2_000, "return_fee_cents": 395},
                ),
            ),
        )

    async def _ship(self, request: Request) -> Response:
        scope, caller = authenticated(request)
        key, address = idempotency_key(request), order_in_path(request, caller)
        body = json_body(request)
        return json_answer(
            await self._access.write(lambda: ship(scope, address, body, caller=caller, idempotency_key=key))
        )

    async def _credit(self, request: Request) -> Response:
        scope, caller = authenticated(request)
        key, address = idempotency_key(request), order_in_path(request, caller)
        given = typed_fields_of(json_body(request), CreditBody)
        return json_answer(
            await self._access.write(
                lambda: credit(scope, address, given, caller=caller, idempotency_key=key)
            )
        )
