"""What a page of the console gets, and how it declares itself: a route with the roles that may use it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from serving.console.locale_forms import Locale
from serving.console.templating import console_path, rendered
from serving.domain.console_user import ConsoleRole, SignedInUser
from serving.requests.request_scope import RequestScope
from serving.requests.store_access import StoreAccess

EVERYONE = frozenset(ConsoleRole)
"""Every role that can sign in."""
DECIDING = frozenset({ConsoleRole.FRAUD, ConsoleRole.ADMIN})
"""The roles that decide cases."""


class Notice:
    """One sentence for the next page that is shown, such as "The case is claimed"."""

    def __init__(self, text: str | None) -> None:
        self._text = text
        self.was_shown = False

    def show(self) -> str | None:
        """The sentence, None without one. The layout calls it; a fragment does not, and leaves it there."""
        self.was_shown = self._text is not None
        return self._text


class NoticeRedirect(RedirectResponse):
    """A redirect whose notice waits in the session for the next page."""

    def __init__(self, location: str, notice: str | None) -> None:
        super().__init__(location, status_code=303)
        self.notice = notice


@dataclass(frozen=True, kw_only=True)
class NavigationEntry:
    """A link in the head of every page."""

    title: str
    href: str
    is_current: bool


@dataclass(frozen=True, kw_only=True)
class PageRequest:
    """A request that was let in: session, role, origin and CSRF token are good."""

    request: Request
    scope: RequestScope
    access: StoreAccess
    user: SignedInUser
    csrf_token: str
    locale: Locale
    navigation: Sequence[NavigationEntry] = ()
    notice: Notice = field(default_factory=lambda: Notice(None))
    fields: Mapping[str, str] = field(default_factory=dict)

    async def form(self) -> dict[str, str]:
        """The fields of a POST, without the CSRF token; each occurs once."""
        return dict(self.fields)

    def render(self, template: str, *, status: int = 200, **values: object) -> Response:
        """A page from a template.

        The template sees `values`, and user, csrf_token, locale, path (as in the routes), navigation, notice;
        the functions url('/cases/1') and static_url('console.css'); and the filters of locale_forms.
        """
        return rendered(
            template,
            status=status,
            user=self.user,
            csrf_token=self.csrf_token,
            locale=self.locale,
            path=self.path,
            navigation=self.navigation,
            notice=self.notice,
            **values,
        )

    def redirect(self, path: str, *, notice: str | None = None) -> Response:
        """Go to another page of the console (303).

        path: as in the routes, such as /cases/1. notice: shown once, on the next page.
        """
        return NoticeRedirect(console_path(path), notice)

    @property
    def path(self) -> str:
        """The path as in the routes, without /console."""
        return route_path(self.request)


@dataclass(frozen=True, kw_only=True)
class ConsoleRoute:
    """One page or action.

    path: relative to /console. roles: who may use it. title: of its entry in the navigation, None for none.
    """

    path: str
    method: str
    roles: frozenset[ConsoleRole]
    page: Callable[[PageRequest], Awaitable[Response]]
    title: str | None = None


def route_path(request: Request) -> str:
    """The path of a request as in the routes."""
    path: str = request.scope["path"]
    return path.removeprefix(request.scope.get("root_path", "")) or "/"
