"""Which order the path of a request names."""

from starlette.requests import Request

from serving.domain.errors import UnknownOrder
from serving.domain.order_numbers import OrderAddress
from serving.store.api_keys import Caller


def order_in_path(request: Request, caller: Caller) -> OrderAddress:
    """By its order_id, or by its merchant's own number where the query names the merchant.

    A merchant's key names its orders by its numbers alone. Raises UnknownOrder.
    """
    name = str(request.path_params["order_id"])
    merchant_id = request.query_params.get("merchant_id", caller.merchant_id)
    if not name.isprintable() or not (merchant_id or "").isprintable():
        raise UnknownOrder("there is no such order")
    if caller.merchant_id not in {None, merchant_id}:
        raise UnknownOrder(f"no decision was made about order {name}")
    return OrderAddress(name=name, merchant_id=merchant_id)
