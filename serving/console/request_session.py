"""The session of a request: found by its cookie, kept in use, or missing."""

import logging
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from serving.console import sign_in
from serving.console.cookies import COOKIE_MAXIMUM, SESSION_COOKIE
from serving.console.error_pages import error_page
from serving.console.page_request import Notice, NoticeRedirect, route_path
from serving.console.sign_in import Session
from serving.console.templating import console_path
from serving.requests.request_scope import RequestScope
from serving.requests.store_access import StoreAccess
from serving.store import console_users
from serving.store.errors import StoreError

LOG = logging.getLogger("bonitas.console")

REFRESH_HEADER = "bonitas-refresh"
"""Sent by what asks by itself: a page left open must not keep its session alive."""


async def session_of(
    access: StoreAccess, request: Request, scope: RequestScope, now_ms: int
) -> tuple[str | None, Session | None]:
    """The secret in a request's cookie, and its session; None for what there is not, or not any more."""
    secret = request.cookies.get(SESSION_COOKIE)
    if not secret or len(secret) > COOKIE_MAXIMUM:
        return None, None
    return secret, await access.read(lambda: sign_in.session(scope.store, secret, now_ms=now_ms))


async def keep_session(
    access: StoreAccess,
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
        await access.write_if_free(work)
        return
    try:
        await access.write(work)
    except StoreError:
        # What the notice tells of was done; to say now that nothing was changed would be wrong.
        LOG.warning("console_notice_lost", exc_info=True)


def answer_without_session(request: Request) -> Response:
    """To the sign-in page, and back from there; what would change something is not repeated by itself."""
    path = console_path(route_path(request))
    if request.method not in {"GET", "HEAD"}:
        return error_page(HTTPException(403, "Your session has ended, and nothing was changed."))
    if REFRESH_HEADER in request.headers:
        return error_page(HTTPException(403, "Your session has ended."))
    if request.url.query:
        path = f"{path}?{request.url.query}"
    return RedirectResponse(console_path(f"/sign-in?next={quote(path, safe='/')}"), status_code=303)
