"""The frame of the console at /console: sessions, roles, CSRF, and what every answer carries.

A page is reached only through `_answer`, which lets in whoever has a session and a role of the route. Its
changes are let in only from our own forms.
"""

import asyncio
import hmac
import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from http import HTTPStatus
from urllib.parse import quote, unquote, urlsplit
from zoneinfo import ZoneInfo

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from data_contracts.instants import MINUTE_MS
from serving.api.domain_problems import problem_of
from serving.console import sign_in
from serving.console.form_body import form_fields
from serving.console.locale_forms import Locale, language_of
from serving.console.page_request import (
    ConsoleRoute,
    NavigationEntry,
    Notice,
    NoticeRedirect,
    PageRequest,
    route_path,
)
from serving.console.sign_in import Session, SignInLocked
from serving.console.templating import MOUNTED_AT, STATIC_FILES, console_path, rendered
from serving.domain.console_user import ABSOLUTE_MS, SignedInUser
from serving.domain.errors import RiskError
from serving.in_force.policy_watch import NoPolicyInForce
from serving.requests.problem_details import ProblemError
from serving.requests.request_scope import RequestScope
from serving.requests.route_declaration import FORM_BODY_BYTES, DoorKind, RouteDeclaration
from serving.requests.store_access import StoreAccess
from serving.store import console_users
from serving.store.errors import CommitUnknown, StoreError, StoreUnavailable

LOG = logging.getLogger("bonitas.console")

SESSION_COOKIE = "bonitas_session"
FORM_COOKIE = "bonitas_sign_in"
COOKIE_MAXIMUM = 200
CSRF_FIELD = "csrf_token"
REFRESH_HEADER = "bonitas-refresh"
"""Sent by what asks by itself: a page left open must not keep its session alive."""
NEXT_MAXIMUM = 2_000
START = f"{MOUNTED_AT}/"
HASHING_AT_ONCE = 2
"""Each takes memory and a core: more at once would only make each slower."""
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
"""On every answer."""

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


class _Headers:
    """Puts the headers on every answer; what names no caching of its own is not kept anywhere."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                _add_headers(MutableHeaders(scope=message))
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)


def _add_headers(headers: MutableHeaders) -> None:
    for name, value in HEADERS.items():
        headers[name] = value
    headers.setdefault("cache-control", "no-store")


class _Console:
    def __init__(self, access: StoreAccess, routes: Sequence[ConsoleRoute]) -> None:
        self._access = access
        self._routes = tuple(routes)
        self._hashing = asyncio.Semaphore(HASHING_AT_ONCE)

    def app(self) -> Starlette:
        frame = (self._show_sign_in, self._sign_in, self._sign_out, _static)
        known = [
            *(
                Route(declared.path.removeprefix(MOUNTED_AT), handler, methods=[declared.method])
                for declared, handler in zip(FRAME_ROUTES, frame, strict=True)
            ),
            *(Route(route.path, self._guarded(route), methods=[route.method]) for route in self._routes),
        ]
        return Starlette(
            routes=[*known, Route("/{rest:path}", self._nothing_here(known), methods=list(METHODS))],
            middleware=[Middleware(_Headers)],
            exception_handlers={
                HTTPException: _error_answer,
                ProblemError: _error_answer,
                RiskError: _error_answer,
                StoreUnavailable: _error_answer,
                CommitUnknown: _error_answer,
                Exception: _failure,
            },
        )

    def _guarded(self, route: ConsoleRoute) -> Handler:
        async def answer(request: Request) -> Response:
            return await self._answer(request, route)

        return answer

    async def _answer(self, request: Request, route: ConsoleRoute) -> Response:
        scope = self._access.ready_scope()
        now_ms = scope.now_ms()
        secret, session = await self._session(request, scope, now_ms)
        if session is None or secret is None:
            return _without_session(request)
        notice = Notice(session.notice)
        navigation = self._navigation(request, session.user)
        token = sign_in.csrf_token(secret)
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
            response = _error_page(
                error, user=session.user, csrf_token=token, locale=locale, navigation=navigation
            )
        await self._keep_notice(
            request, response, scope, secret=secret, session=session, notice=notice, now_ms=now_ms
        )
        return response

    async def _session(
        self, request: Request, scope: RequestScope, now_ms: int
    ) -> tuple[str | None, Session | None]:
        secret = request.cookies.get(SESSION_COOKIE)
        if not secret or len(secret) > COOKIE_MAXIMUM:
            return None, None
        return secret, await self._access.read(lambda: sign_in.session(scope.store, secret, now_ms=now_ms))

    async def _keep_notice(
        self,
        request: Request,
        response: Response,
        scope: RequestScope,
        *,
        secret: str,
        session: Session,
        notice: Notice,
        now_ms: int,
    ) -> None:
        """Note what the request changed about its session, if anything."""
        is_due = session.is_due and REFRESH_HEADER not in request.headers
        next_notice = response.notice if isinstance(response, NoticeRedirect) else None
        was_read = notice.was_shown and request.method != "HEAD"
        if not is_due and not was_read and next_notice is None:
            return

        def work() -> None:
            with scope.store.writing("console-session") as tx:
                if is_due:
                    console_users.touch_session(tx, secret=secret, now_ms=now_ms)
                if was_read or next_notice is not None:
                    console_users.set_notice(tx, secret=secret, notice=next_notice)

        if next_notice is None:
            await self._access.write_if_free(work)
            return
        try:
            await self._access.write(work)
        except StoreError:
            # What the notice tells of was done; to say now that nothing was changed would be wrong.
            LOG.warning("console_notice_lost", exc_info=True)

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
            secret, session = await self._session(request, scope, now_ms)
            if session is None or secret is None:
                return _error_page(error)
            return _error_page(
                error,
                user=session.user,
                csrf_token=sign_in.csrf_token(secret),
                locale=_locale(request, scope, now_ms),
                navigation=self._navigation(request, session.user),
            )

        return answer

    async def _show_sign_in(self, request: Request) -> Response:
        scope = self._access.ready_scope()
        next_path = page_to_return_to(request.query_params.get("next", ""))
        _, session = await self._session(request, scope, scope.now_ms())
        if session is not None:
            return RedirectResponse(self._start_for(session.user, next_path), status_code=303)
        return _sign_in_page(request, scope, next_path=next_path)

    async def _sign_in(self, request: Request) -> Response:
        scope = self._access.ready_scope()
        now_ms = scope.now_ms()
        fields = await form_fields(request)
        next_path = page_to_return_to(fields.get("next", ""))
        name, password = fields.get("name", "").strip().lower(), fields.get("password", "")
        form_secret = request.cookies.get(FORM_COOKIE, "")
        if not _is_from_here(request, scope) or not _is_token_of(form_secret, fields.get(CSRF_FIELD, "")):
            return _sign_in_page(
                request,
                scope,
                next_path=next_path,
                status=403,
                mistake="The form was out of date. Try again.",
            )
        try:
            tried = await self._access.write(
                lambda: sign_in.begin_try(scope.store, name=name, try_id=secrets.token_hex(8), now_ms=now_ms)
            )
        except SignInLocked as locked:
            minutes = -(-(locked.until_ms - now_ms) // MINUTE_MS)
            response = _sign_in_page(
                request,
                scope,
                next_path=next_path,
                name=name,
                status=429,
                mistake=f"Too many failed tries. Try again in {minutes} min.",
            )
            response.headers["retry-after"] = str(minutes * 60)
            return response
        async with self._hashing:
            is_right = await asyncio.to_thread(sign_in.is_right_password, tried, password)
        secret = sign_in.new_secret()
        old_secret = request.cookies.get(SESSION_COOKIE)
        user = None
        if is_right:
            user = await self._access.write(
                lambda: sign_in.sign_in(
                    scope.store, tried, session_secret=secret, old_secret=old_secret, now_ms=now_ms
                )
            )
        if user is None:
            LOG.info("sign_in_failed")
            return _sign_in_page(
                request,
                scope,
                next_path=next_path,
                name=name,
                status=422,
                mistake="User name or password are not right.",
            )
        response = RedirectResponse(self._start_for(user, next_path), status_code=303)
        _set_cookie(request, scope, response, SESSION_COOKIE, secret, max_age_s=ABSOLUTE_MS // 1_000)
        response.delete_cookie(FORM_COOKIE, path=MOUNTED_AT)
        return response

    def _start_for(self, user: SignedInUser, next_path: str) -> str:
        """Where a sign-in leads: the page that was asked for, else the first that the role may see."""
        if next_path != START:
            return next_path
        open_to = (route for route in self._routes if route.title is not None and user.role in route.roles)
        return next((console_path(route.path) for route in open_to), START)

    async def _sign_out(self, request: Request) -> Response:
        scope = self._access.ready_scope()
        secret, session = await self._session(request, scope, scope.now_ms())
        if session is None or secret is None:
            return _without_session(request)
        fields = await form_fields(request)
        _refuse_forged(request, scope, sign_in.csrf_token(secret), fields)
        await self._access.write(lambda: sign_in.sign_out(scope.store, secret))
        response = RedirectResponse(console_path("/sign-in"), status_code=303)
        response.delete_cookie(SESSION_COOKIE, path=MOUNTED_AT)
        return response


async def _page_answer(route: ConsoleRoute, page: PageRequest) -> Response:
    """The page's answer, once role, origin and token are good. Raises HTTPException (403)."""
    if page.user.role not in route.roles:
        raise HTTPException(403, f"The role {page.user.role.value} does not allow this.")
    if route.method == "GET":
        return await route.page(page)
    fields = await form_fields(page.request)
    _refuse_forged(page.request, page.scope, page.csrf_token, fields)
    del fields[CSRF_FIELD]
    return await route.page(replace(page, fields=fields))


def _refuse_forged(request: Request, scope: RequestScope, token: str, fields: dict[str, str]) -> None:
    """Raises HTTPException (403) for what does not come from a form of this session."""
    given = fields.get(CSRF_FIELD, "")
    if not _is_from_here(request, scope) or not hmac.compare_digest(given.encode(), token.encode()):
        raise HTTPException(
            403, "The form was not from this session. Go back, reload the page and try again."
        )


def _is_token_of(secret: str, given: str) -> bool:
    return bool(secret) and hmac.compare_digest(given.encode(), sign_in.csrf_token(secret).encode())


def _is_from_here(request: Request, scope: RequestScope) -> bool:
    """Whether the browser says that the form was ours; old ones say nothing, and the token decides."""
    if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        return False
    origin = request.headers.get("origin")
    if origin is None:
        return True
    # A proxy in front may speak https with the browser and http with us: the host is what counts.
    return urlsplit(origin).netloc in {request.headers.get("host", ""), urlsplit(scope.public_url).netloc}


def page_to_return_to(wanted: str) -> str:
    """Where a sign-in leads: to a page of the console, whatever is asked for.

    >>> page_to_return_to("/console/cases/1?tab=orders"), page_to_return_to("https://evil.example/console/")
    ('/console/cases/1?tab=orders', '/console/')
    >>> page_to_return_to("//evil.example"), page_to_return_to("/console/../v1"), page_to_return_to("")
    ('/console/', '/console/', '/console/')
    """
    path = unquote(wanted.partition("?")[0])
    is_ours = (
        wanted.startswith(START)
        and len(wanted) <= NEXT_MAXIMUM
        and wanted.isascii()
        and wanted.isprintable()
        and "\\" not in path
        and "//" not in path
        and not {".", ".."} & set(path.split("/"))
        and not path.startswith((f"{MOUNTED_AT}/sign-", f"{MOUNTED_AT}/static/"))
    )
    return wanted if is_ours else START


def _without_session(request: Request) -> Response:
    """To the sign-in page, and back from there; what would change something is not repeated by itself."""
    path = console_path(route_path(request))
    if request.method not in {"GET", "HEAD"}:
        return _error_page(HTTPException(403, "Your session has ended, and nothing was changed."))
    if REFRESH_HEADER in request.headers:
        return _error_page(HTTPException(403, "Your session has ended."))
    if request.url.query:
        path = f"{path}?{request.url.query}"
    return RedirectResponse(console_path(f"/sign-in?next={quote(path, safe='/')}"), status_code=303)


def _sign_in_page(
    request: Request,
    scope: RequestScope,
    *,
    next_path: str,
    name: str = "",
    status: int = 200,
    mistake: str | None = None,
) -> Response:
    """The sign-in form, tied to this browser by a cookie: nobody else can sign it in under another name."""
    secret = request.cookies.get(FORM_COOKIE, "")
    is_new = not 0 < len(secret) <= COOKIE_MAXIMUM
    secret = sign_in.new_secret() if is_new else secret
    response = rendered(
        "sign_in.html",
        status=status,
        user=None,
        csrf_token=sign_in.csrf_token(secret),
        notice=Notice(None),
        next_path=next_path,
        name=name,
        mistake=mistake,
    )
    if is_new:
        _set_cookie(request, scope, response, FORM_COOKIE, secret, max_age_s=None)
    return response


def _set_cookie(
    request: Request, scope: RequestScope, response: Response, name: str, value: str, *, max_age_s: int | None
) -> None:
    """A cookie for the console alone. Lax: a link in an e-mail leads whoever is signed in to the page."""
    response.set_cookie(
        name,
        value,
        max_age=max_age_s,
        path=MOUNTED_AT,
        secure=request.url.scheme == "https" or scope.public_url.startswith("https://"),
        httponly=True,
        samesite="lax",
    )


def _locale(request: Request, scope: RequestScope, now_ms: int) -> Locale:
    return Locale(
        language=language_of(request.headers.get("accept-language", "")),
        zone=ZoneInfo(scope.policy.order_risk.default_time_zone),
        now_ms=now_ms,
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


def _error_page(
    error: Exception,
    *,
    user: SignedInUser | None = None,
    csrf_token: str = "",
    locale: Locale | None = None,
    navigation: Sequence[NavigationEntry] = (),
) -> Response:
    """The page that says what went wrong, and leads on."""
    status, title, detail, headers = _shown_error(error)
    response = rendered(
        "error.html",
        status=status,
        user=user,
        csrf_token=csrf_token,
        locale=locale,
        navigation=navigation,
        notice=Notice(None),
        title=title,
        detail=detail,
        link_href=navigation[0].href if navigation else START,
        link_text="Sign in" if user is None and status == 403 else "To the start page",
    )
    response.headers.update(headers)
    return response


def _shown_error(error: Exception) -> tuple[int, str, str | None, dict[str, str]]:
    """Status, title, detail and headers."""
    if isinstance(error, RiskError):
        error = problem_of(error)
    if isinstance(error, ProblemError):
        details = [error.detail, *(f"{one.pointer.lstrip('/')}: {one.detail}" for one in error.errors)]
        detail = "; ".join(part for part in details if part) or None
        return error.status, error.title, detail, error.headers or {}
    if isinstance(error, NoPolicyInForce):
        return 503, "No policy is in force", "Nothing was changed. Try again.", {"Retry-After": "1"}
    if isinstance(error, StoreUnavailable):
        return 503, "The store is unavailable", "Nothing was changed. Try again.", {"Retry-After": "1"}
    if isinstance(error, CommitUnknown):
        detail = "The database did not say whether it kept the change. Reload the page and look."
        return 504, "The outcome is not known", detail, {}
    if isinstance(error, HTTPException):
        phrase = HTTPStatus(error.status_code).phrase
        detail = None if error.detail == phrase else error.detail
        return error.status_code, phrase, detail, dict(error.headers or {})
    return 500, "Something went wrong", "The error was noted. Nothing was changed by this page.", {}


async def _error_answer(_request: Request, error: Exception) -> Response:
    return _error_page(error)


async def _failure(request: Request, error: Exception) -> Response:
    LOG.error("console_page_failed", extra={"path": request.url.path, "exception_type": type(error).__name__})
    response = _error_page(error)
    # This answer is sent outside of the middleware.
    _add_headers(response.headers)
    return response
