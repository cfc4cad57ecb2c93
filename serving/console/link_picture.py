"""The picture of linked orders: this order, what it shares, and the orders that share it, as places."""

from dataclasses import dataclass

from serving.cases.linked_orders import LinkedOrder, LinkedOrders, SharedBy

ROW_HEIGHT = 30
WIDTH = 860
_TOP = 20
_SHARED_X = 250
_ORDER_X = 520


@dataclass(frozen=True, kw_only=True)
class PlacedShare:
    """Something that is shared, at its place in the picture."""

    shared: SharedBy
    y: int


@dataclass(frozen=True, kw_only=True)
class PlacedOrder:
    """A linked order at its place in the picture."""

    order: LinkedOrder
    y: int


@dataclass(frozen=True, kw_only=True)
class PlacedLine:
    """A line from something that is shared to an order that shares it."""

    from_y: int
    to_y: int


@dataclass(frozen=True, kw_only=True)
class LinkPicture:
    """Where everything stands, in units of the picture: one row for each linked order."""

    width: int
    height: int
    shared_x: int
    order_x: int
    own_y: int
    shares: tuple[PlacedShare, ...]
    orders: tuple[PlacedOrder, ...]
    lines: tuple[PlacedLine, ...]


def link_picture(links: LinkedOrders) -> LinkPicture | None:
    """Place the linked orders below each other, and what they share between them and this order.

    None where nothing is linked.
    """
    if not links.orders:
        return None
    shared = [by for by in SharedBy if any(by in order.shared for order in links.orders)]
    rows = max(len(links.orders), len(shared))
    middle = _TOP + (rows - 1) * ROW_HEIGHT // 2
    y_of_share = {
        by: middle + round((number - (len(shared) - 1) / 2) * rows * ROW_HEIGHT / len(shared))
        for number, by in enumerate(shared)
    }
    first_order_y = middle - (len(links.orders) - 1) * ROW_HEIGHT // 2
    orders = tuple(
        PlacedOrder(order=order, y=first_order_y + number * ROW_HEIGHT)
        for number, order in enumerate(links.orders)
    )
    return LinkPicture(
        width=WIDTH,
        height=rows * ROW_HEIGHT + 2 * _TOP - ROW_HEIGHT,
        shared_x=_SHARED_X,
        order_x=_ORDER_X,
        own_y=middle,
        shares=tuple(PlacedShare(shared=by, y=y) for by, y in y_of_share.items()),
        orders=orders,
        lines=tuple(
            PlacedLine(from_y=y_of_share[by], to_y=placed.y)
            for placed in orders
            for by in placed.order.shared
        ),
    )
