"""The HTTP edge of a merchant's open items: what waits for it, and a signed page of the same."""

from starlette.requests import Request
from starlette.responses import Response

from serving.disputes.open_items import OpenItems, open_items
from serving.in_force.policy_watch import NoPolicyInForce
from serving.requests.authentication import forbidden
from serving.requests.http_requests import authenticated, json_answer
from serving.requests.route_declaration import Example, RouteDeclaration
from serving.requests.store_access import StoreAccess
from serving.store.api_keys import Role

ASKING = frozenset({Role.MERCHANT})


class OpenItemsApi:
    """The handler."""

    def __init__(self, access: StoreAccess) -> None:
        self._access = access

    def routes(self) -> tuple[RouteDeclaration, ...]:
        """The list."""
        return (
            RouteDeclaration(
                method="GET",
                path="/v1/open-items",
                roles=ASKING,
                handler=self._list,
                name="openItems",
                summary="What waits for the merchant with its deadlines, and a signed page of the same",
                answers=(OpenItems,),
                problems=(NoPolicyInForce,),
                example=Example(),
            ),
        )

    async def _list(self, request: Request) -> Response:
        scope, caller = authenticated(request)
        if caller.merchant_id is None:
            raise forbidden("this is the merchant's, with the merchant's key")
        merchant_id = caller.merchant_id
        # The first link makes the key that signs it.
        return json_answer(await self._access.write(lambda: open_items(scope.cases, merchant_id)))
