"""How a route is declared: once, with all that must hold before its handler sees a request.

Routing, the door and the pages about the API read the same declaration; nothing else lists a route.
"""

import enum
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from serving.domain.console_user import ConsoleRole
from serving.store.api_keys import Role

ROUTE = "bonitas.route"
"""Under this name a request's ASGI scope has its declaration, once it is found."""

ORDER_BODY_BYTES = 64 * 1024
"""An order, a step, a note: all that is sent but ledger rows."""
EVENTS_BODY_BYTES = 4 * 1024 * 1024
FORM_BODY_BYTES = 64 * 1024
MERCHANT_FORM_BODY_BYTES = 16 * 1024

EVERY_ROLE = frozenset(Role)
DECIDING = frozenset({Role.CHECKOUT, Role.MERCHANT})
"""Who has an order decided, confirms it and cancels it."""
ORDER_VIEWERS = frozenset({Role.CHECKOUT, Role.MERCHANT, Role.FRAUD})

Handler = Callable[[Request], Awaitable[Response]]


class DoorKind(enum.Enum):
    """What lets a request in."""

    OPEN = "open"
    """Anybody may ask; what is answered tells of nobody."""
    API_KEY = "API key"
    """A bearer token of one of the route's roles."""
    API_KEY_OR_LOOPBACK = "API key, or from this machine"
    SESSION = "session"
    """The console's own: sign-in, role, a token in each form. No roles: what comes before the sign-in."""
    SIGNED_LINK = "signed link"
    """The merchant form's own: the token in the address is the secret."""
    CLOSED = "closed"
    """BentoML has the route, and here there is none."""


@dataclass(frozen=True, kw_only=True)
class RouteDeclaration:
    """One route.

    method: GET stands for HEAD too.
    path: the whole, with its parameters in braces; `{rest:path}` takes slashes.
    roles: of API keys, or of people where the door is the console's.
    body_maximum_bytes: 0 where no body is taken: what is sent all the same is not read.
    is_answered_without_store: also while no key can be looked up, to whoever brings one.
    same_as: the path of the route that answers in this one's stead, None for its own handler.
    handler: None where an application behind the door has the route: console, form, BentoML.
    """

    method: str
    path: str
    door: DoorKind = DoorKind.API_KEY
    roles: frozenset[Role] | frozenset[ConsoleRole] = frozenset()
    body_maximum_bytes: int = 0
    is_answered_without_store: bool = False
    same_as: str | None = None
    handler: Handler | None = None

    @property
    def methods(self) -> tuple[str, ...]:
        """As HTTP names them."""
        return ("GET", "HEAD") if self.method == "GET" else (self.method,)


def shown(path: str, handler: Handler, roles: frozenset[Role]) -> RouteDeclaration:
    """A GET for keys of these roles."""
    return RouteDeclaration(method="GET", path=path, roles=roles, handler=handler)


def taken(
    path: str,
    handler: Handler,
    roles: frozenset[Role],
    *,
    body_maximum_bytes: int = ORDER_BODY_BYTES,
    is_answered_without_store: bool = False,
) -> RouteDeclaration:
    """A POST for keys of these roles."""
    return RouteDeclaration(
        method="POST",
        path=path,
        roles=roles,
        body_maximum_bytes=body_maximum_bytes,
        is_answered_without_store=is_answered_without_store,
        handler=handler,
    )
