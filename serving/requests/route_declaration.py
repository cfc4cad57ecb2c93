"""How a route is declared: once, with all that must hold before its handler sees a request.

Routing, the door and the pages about the API read the same declaration; nothing else lists a route.
"""

import enum
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from serving.domain.console_user import ConsoleRole
from serving.requests.answer_fields import Described
from serving.store.api_keys import Role

ROUTE = "bonitas.route"
"""Under this name a request's ASGI scope has its declaration, once it is found."""

ORDER_BODY_BYTES = 64 * 1024
"""An order, a step, a note: all that is sent but ledger rows."""
EVENTS_BODY_BYTES = 4 * 1024 * 1024
FORM_BODY_BYTES = 64 * 1024
MERCHANT_FORM_BODY_BYTES = 16 * 1024
DISPUTE_FORM_BODY_BYTES = 10 * 1024 * 1024
"""Twice the largest file that is taken: one that is a little too large is told at its field."""

EVERY_ROLE = frozenset(Role)
DECIDING = frozenset({Role.CHECKOUT, Role.MERCHANT})
"""Who has an order decided, confirms it and cancels it."""
ORDER_VIEWERS = frozenset({Role.CHECKOUT, Role.MERCHANT, Role.FRAUD})
REVIEWING = frozenset({Role.FRAUD})
"""Who decides cases, investigates them and follows their stop requests."""

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
class Example:
    """One request as the published contract shows it, and as a test sends it.

    path: by the names of its parameters; ids that we make are only shown. body: None where none is sent.
    """

    path: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str | int] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None


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

    What the published contract says besides:

    name: of the operation; "" for a route that is not part of the contract.
    body, answers: None and empty where there is none. Of several answers the caller's role decides.
    also_as: media types in which the good answer comes too, as text, for whoever asks for it so.
    query: a Struct of the parameters, None where the route reads none.
    status: of a good answer. empty: what 204 stands for, None where there is always an answer.
    is_idempotent: takes an Idempotency-Key.
    problems: the errors that the handler can raise; those of the door and the body follow from the rest.
    """

    method: str
    path: str
    door: DoorKind = DoorKind.API_KEY
    roles: frozenset[Role] | frozenset[ConsoleRole] = frozenset()
    body_maximum_bytes: int = 0
    is_answered_without_store: bool = False
    same_as: str | None = None
    handler: Handler | None = None
    name: str = ""
    summary: str = ""
    body: Described | None = None
    body_is_optional: bool = False
    query: type[msgspec.Struct] | None = None
    answers: tuple[Described, ...] = ()
    also_as: tuple[str, ...] = ()
    status: int = 200
    empty: str | None = None
    is_idempotent: bool = False
    problems: tuple[type[Exception], ...] = ()
    example: Example | None = None

    @property
    def methods(self) -> tuple[str, ...]:
        """As HTTP names them."""
        return ("GET", "HEAD") if self.method == "GET" else (self.method,)
