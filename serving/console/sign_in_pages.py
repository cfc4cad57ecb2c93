"""Signing in and out by the browser: the form, what becomes of it, and where it leads."""

import asyncio
import logging
import secrets
from collections.abc import Sequence
from urllib.parse import unquote
from zoneinfo import ZoneInfo

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from data_contracts.instants import MINUTE_MS
from serving.console import sign_in
from serving.console.cookies import COOKIE_MAXIMUM, FORM_COOKIE, SESSION_COOKIE, set_cookie
from serving.console.csrf import CSRF_FIELD, csrf_token, is_from_here, is_token_of, refuse_forged
from serving.console.form_body import form_fields
from serving.console.locale_forms import Locale, language_of
from serving.console.page_request import ConsoleRoute, Notice
from serving.console.request_session import answer_without_session, session_of
from serving.console.sign_in import SignInLocked
from serving.console.templating import MOUNTED_AT, START, console_path, rendered
from serving.domain.console_user import ABSOLUTE_MS, SignedInUser
from serving.requests.request_scope import RequestScope
from serving.requests.store_access import StoreAccess

LOG = logging.getLogger("bonitas.console")

NEXT_MAXIMUM = 2_000
HASHING_AT_ONCE = 2
"""Each takes memory and a core: more at once would only make each slower."""


class SignInPages:
    """The handlers of the sign-in form and of signing out."""

    def __init__(self, access: StoreAccess, routes: Sequence[ConsoleRoute]) -> None:
        self._access = access
        self._routes = tuple(routes)
        self._hashing = asyncio.Semaphore(HASHING_AT_ONCE)

    async def show(self, request: Request) -> Response:
        """The form; whoever is signed in already is led on."""
        scope = self._access.ready_scope()
        next_path = page_to_return_to(request.query_params.get("next", ""))
        _, session = await session_of(self._access, request, scope, scope.now_ms())
        if session is not None:
            return RedirectResponse(self._start_for(session.user, next_path), status_code=303)
        return _sign_in_page(request, scope, next_path=next_path)

    async def sign_in(self, request: Request) -> Response:
        """A session after a right password; else the form again, with what was wrong."""
        scope = self._access.ready_scope()
        now_ms = scope.now_ms()
        fields = await form_fields(request)
        next_path = page_to_return_to(fields.get("next", ""))
        name, password = fields.get("name", "").strip().lower(), fields.get("password", "")
        form_secret = request.cookies.get(FORM_COOKIE, "")
        if not is_from_here(request, scope) or not is_token_of(form_secret, fields.get(CSRF_FIELD, "")):
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
        set_cookie(request, scope, response, SESSION_COOKIE, secret, max_age_s=ABSOLUTE_MS // 1_000)
        response.delete_cookie(FORM_COOKIE, path=MOUNTED_AT)
        return response

    def _start_for(self, user: SignedInUser, next_path: str) -> str:
        """Where a sign-in leads: the page that was asked for, else the first that the role may see."""
        if next_path != START:
            return next_path
        open_to = (route for route in self._routes if route.title is not None and user.role in route.roles)
        return next((console_path(route.path) for route in open_to), START)

    async def sign_out(self, request: Request) -> Response:
        """The end of the session, and the form."""
        scope = self._access.ready_scope()
        secret, session = await session_of(self._access, request, scope, scope.now_ms())
        if session is None or secret is None:
            return answer_without_session(request)
        fields = await form_fields(request)
        refuse_forged(request, scope, csrf_token(secret), fields)
        await self._access.write(lambda: sign_in.sign_out(scope.store, secret))
        response = RedirectResponse(console_path("/sign-in"), status_code=303)
        response.delete_cookie(SESSION_COOKIE, path=MOUNTED_AT)
        return response


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
        csrf_token=csrf_token(secret),
        locale=Locale(
            language=language_of(request.headers.get("accept-language", "")),
            # Whoever has not signed in is told the time of a sandbox, also while no policy names a zone.
            zone=ZoneInfo("UTC"),
            now_ms=scope.now_ms(),
            sandbox_ahead_ms=scope.sandbox_ahead_ms,
        ),
        notice=Notice(None),
        next_path=next_path,
        name=name,
        mistake=mistake,
    )
    if is_new:
        set_cookie(request, scope, response, FORM_COOKIE, secret, max_age_s=None)
    return response
