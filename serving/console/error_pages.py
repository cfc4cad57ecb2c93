"""The page that says what went wrong, and leads on; status and words of each kind of error."""

import logging
from collections.abc import Sequence
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from serving.api.domain_problems import problem_of
from serving.console.answer_headers import add_headers
from serving.console.locale_forms import Locale
from serving.console.page_request import NavigationEntry, Notice
from serving.console.templating import START, rendered
from serving.domain.console_user import SignedInUser
from serving.domain.errors import RiskError
from serving.in_force.policy_watch import NoPolicyInForce
from serving.requests.problem_details import ProblemError
from serving.store.errors import CommitUnknown, StoreUnavailable

LOG = logging.getLogger("bonitas.console")


def error_page(
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


async def error_answer(_request: Request, error: Exception) -> Response:
    """The page of an error that is foreseen, without the frame of a session."""
    return error_page(error)


async def failure_answer(request: Request, error: Exception) -> Response:
    """The page of an error that nobody foresaw; it is logged without what it may hold of a person."""
    LOG.error("console_page_failed", extra={"path": request.url.path, "exception_type": type(error).__name__})
    response = error_page(error)
    # This answer is sent outside of the middleware.
    add_headers(response.headers)
    return response
