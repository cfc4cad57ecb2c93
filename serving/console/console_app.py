"""The frame of the console at /console: which page answers, for whom, and within what.

A page is reached only through `_answer`, which lets in whoever has a session and a role of the route. Its
changes are let in only from our own forms.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from zoneinfo import ZoneInfo

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route

from serving.console.answer_headers import AnswerHeaders
from serving.console.csrf import CSRF_FIELD, csrf_token, refuse_forged
from serving.console.error_pages import error_answer, error_page, failure_answer
from serving.console.form_body import form_fields
from serving.console.locale_forms import Locale, language_of
from serving.console.page_request import ConsoleRoute, NavigationEntry, Notice, PageRequest, route_path
from serving.console.request_session import answer_without_session, keep_session, session_of
from serving.console.sign_in_pages import SignInPages
from serving.console.templating import MOUNTED_AT, STATIC_FILES, console_path
from serving.domain.console_user import SignedInUser
from serving.domain.errors import RiskError
from serving.requests.problem_details import ProblemError
from serving.requests.request_scope import RequestScope
from serving.requests.route_declaration import FORM_BODY_BYTES, DoorKind, RouteDeclaration
from serving.requests.store_access import StoreAccess
from serving.store.errors import CommitUnknown, StoreUnavailable

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

Handler = Callable[[Request], Awaitable[Response]]

FRAME_ROUTES = (
    RouteDeclaration(method="GET", path=f"{MOUNTED_AT}/sign-in", door=DoorKind.SESSION),
    RouteDeclaration(
        method="POST",
        path=f"{MOUNTED_AT}/sign-in",
        door=DoorKind.SESSION,
        body_maximum_bytes=FORM_BODY_BYTES,
    ),
    RouteDeclaration(
        method="POST",
        path=f"{MOUNTED_AT}/sign-out",
        door=DoorKind.SESSION,
        body_maximum_bytes=FORM_BODY_BYTES,
    ),
    RouteDeclaration(method="GET", path=f"{MOUNTED_AT}/static/{{name}}", door=DoorKind.SESSION),
)
"""What the console answers besides its pages, also to who has not signed in yet."""


def console_routes(pages: Sequence[ConsoleRoute]) -> tuple[RouteDeclaration, ...]:
    """What the console answers, pages and frame, as the door knows it."""
    return (
        *FRAME_ROUTES,
        *(
            RouteDeclaration(
                method=page.method,
                path=f"{MOUNTED_AT}{page.path}",
                door=DoorKind.SESSION,
                roles=page.roles,
                body_maximum_bytes=0 if page.method == "GET" else FORM_BODY_BYTES,
            )
            for page in pages
        ),
    )


def console_app(access: StoreAccess, routes: Sequence[ConsoleRoute]) -> Starlette:
    """The application to mount at /console."""
    return _Console(access, routes).app()


class _Console:
    def __init__(self, access: StoreAccess, routes: Sequence[ConsoleRoute]) -> None:
        self._access = access
        self._routes = tuple(routes)
        self._sign_in_pages = SignInPages(access, routes)

    def app(self) -> Starlette:
        frame = (self._sign_in_pages.show, self._sign_in_pages.sign_in, self._sign_in_pages.sign_out, _static)
        known = [
            *(
                Route(declared.path.removeprefix(MOUNTED_AT), handler, methods=[declared.method])
                for declared, handler in zip(FRAME_ROUTES, frame, strict=True)
            ),
            *(Route(route.path, self._guarded(route), methods=[route.method]) for route in self._routes),
        ]
        return Starlette(
            routes=[*known, Route("/{rest:path}", self._nothing_here(known), methods=list(METHODS))],
            middleware=[Middleware(AnswerHeaders)],
            exception_handlers={
                HTTPException: error_answer,
                ProblemError: error_answer,
                RiskError: error_answer,
                StoreUnavailable: error_answer,
                CommitUnknown: error_answer,
                Exception: failure_answer,
            },
        )

    def _guarded(self, route: ConsoleRoute) -> Handler:
        async def answer(request: Request) -> Response:
            return await self._answer(request, route)

        return answer

    async def _answer(self, request: Request, route: ConsoleRoute) -> Response:
        scope = self._access.ready_scope()
        now_ms = scope.now_ms()
        secret, session = await session_of(self._access, request, scope, now_ms)
        if session is None or secret is None:
            return answer_without_session(request)
        notice = Notice(session.notice)
        navigation = self._navigation(request, session.user)
        token = csrf_token(secret)
        locale = _locale(request, scope, now_ms)
        page = PageRequest(
            request=request,
            scope=scope,
            access=self._access,
            user=session.user,
            csrf_token=token,
            locale=locale,
            navigation=navigation,
            notice=notice,
        )
        try:
            response = await _page_answer(route, page)
        except (HTTPException, ProblemError, RiskError) as error:
            response = error_page(
                error, user=session.user, csrf_token=token, locale=locale, navigation=navigation
            )
        await keep_session(
            self._access,
            request,
            response,
            scope,
            secret=secret,
            session=session,
            notice=notice,
            now_ms=now_ms,
        )
        return response

    def _navigation(self, request: Request, user: SignedInUser) -> tuple[NavigationEntry, ...]:
        path = route_path(request)
        return tuple(
            NavigationEntry(
                title=route.title,
                href=console_path(route.path),
                is_current=path == route.path or (route.path != "/" and path.startswith(f"{route.path}/")),
            )
            for route in self._routes
            if route.title is not None and user.role in route.roles
        )

    def _nothing_here(self, known: Sequence[Route]) -> Handler:
        """Answers what no route does, within the frame for whoever is signed in."""

        async def answer(request: Request) -> Response:
            allowed = {
                method
                for route in known
                if route.matches(request.scope)[0] is Match.PARTIAL
                for method in route.methods or ()
            }
            error = (
                HTTPException(405, headers={"Allow": ", ".join(sorted(allowed))})
                if allowed
                else HTTPException(404)
            )
            scope = self._access.ready_scope()
            now_ms = scope.now_ms()
            secret, session = await session_of(self._access, request, scope, now_ms)
            if session is None or secret is None:
                return error_page(error)
            return error_page(
                error,
                user=session.user,
                csrf_token=csrf_token(secret),
                locale=_locale(request, scope, now_ms),
                navigation=self._navigation(request, session.user),
            )

        return answer


async def _page_answer(route: ConsoleRoute, page: PageRequest) -> Response:
    """The page's answer, once role, origin and token are good. Raises HTTPException (403)."""
    if page.user.role not in route.roles:
        raise HTTPException(403, f"The role {page.user.role.value} does not allow this.")
    if route.method == "GET":
        return await route.page(page)
    fields = await form_fields(page.request)
    refuse_forged(page.request, page.scope, page.csrf_token, fields)
    del fields[CSRF_FIELD]
    return await route.page(replace(page, fields=fields))


def _locale(request: Request, scope: RequestScope, now_ms: int) -> Locale:
    return Locale(
        language=language_of(request.headers.get("accept-language", "")),
        zone=ZoneInfo(scope.policy.order_risk.default_time_zone),
        now_ms=now_ms,
        sandbox_ahead_ms=scope.sandbox_ahead_ms,
    )


async def _static(request: Request) -> Response:
    file = STATIC_FILES.get(request.path_params["name"])
    if file is None:
        raise HTTPException(404)
    return Response(
        file.content,
        media_type=file.media_type,
        headers={"cache-control": "public, max-age=31536000, immutable"},
    )
