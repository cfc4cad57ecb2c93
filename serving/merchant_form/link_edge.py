"""What every page behind a signed link shares at its HTTP edge: problems, languages, headers and bodies.

The token in the address is itself the secret that allows an answer, and no cookie is used: a page of
somebody else has nothing to forge a request with, so there is no further token against that.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from serving.disputes.kept_step import UnknownDispute
from serving.domain.errors import UnknownCase
from serving.merchant_form.form_body import FormUnreadable
from serving.merchant_form.form_language import page_language
from serving.merchant_form.form_pages import SECURITY_HEADERS, problem_page
from serving.requests.door import is_coded
from serving.requests.problem_details import ProblemError
from serving.stop_requests.form_link import LinkExpired, LinkInvalid
from serving.stop_requests.locked_stop_request import UnknownStopRequest
from serving.store.errors import CommitUnknown, StoreUnavailable

RETRY_AFTER_SECONDS = 5


class Problem(NamedTuple):
    """A page without a form. heading, text: codes of texts."""

    status: int
    heading: str
    text: str
    has_way_back: bool


_NOTHING_HERE = Problem(404, "form.problem_heading", "error.link_invalid", False)
_EXPIRED = Problem(410, "form.problem_heading", "error.link_expired", False)
_TRY_AGAIN = Problem(503, "form.problem_heading", "error.try_again", True)
_BROKEN = Problem(500, "form.problem_heading", "error.try_again", True)
OTHER_SITE = Problem(403, "form.not_sent_heading", "error.other_site", True)
_OTHER_METHOD = Problem(405, "form.not_sent_heading", "error.form_unreadable", True)
_TOO_LARGE = Problem(413, "form.not_sent_heading", "error.form_too_large", True)
UPLOAD_TOO_LARGE = Problem(413, "form.not_sent_heading", "error.upload_too_large", True)
_NO_FORM = Problem(415, "form.not_sent_heading", "error.form_unreadable", True)
_TOO_SLOW = Problem(408, "form.not_sent_heading", "error.try_again", True)
_UNREADABLE = Problem(422, "form.not_sent_heading", "error.form_unreadable", True)

_PROBLEM_OF: Mapping[type[Exception], Problem] = {
    # A link that is not ours and one about nothing look the same, so that nobody learns from trying.
    LinkInvalid: _NOTHING_HERE,
    UnknownStopRequest: _NOTHING_HERE,
    UnknownDispute: _NOTHING_HERE,
    UnknownCase: _NOTHING_HERE,
    LinkExpired: _EXPIRED,
    StoreUnavailable: _TRY_AGAIN,
    # The same answer again is harmless where this one was kept.
    CommitUnknown: _TRY_AGAIN,
    ProblemError: _TRY_AGAIN,
    FormUnreadable: _UNREADABLE,
    Exception: _BROKEN,
}
_PROBLEM_OF_STATUS: Mapping[int, Problem] = {404: _NOTHING_HERE, 405: _OTHER_METHOD}


class FormRefused(Exception):
    """The request is none that the form sends, so its content was not looked at."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.text)
        self.problem = problem


def link_app(routes: Sequence[BaseRoute]) -> Starlette:
    """An application whose every problem is a page."""
    app = Starlette(
        routes=routes,
        exception_handlers={
            **dict.fromkeys(_PROBLEM_OF, _problem_answer),
            FormRefused: _problem_answer,
            HTTPException: _problem_answer,
        },
    )
    # A redirect of the router's own would be an answer without our headers.
    app.router.redirect_slashes = False
    return app


def language_for(request: Request, merchant_language: str | None) -> str:
    """The language of an answer. merchant_language: None where the merchant is not known."""
    return page_language(
        chosen=request.query_params.get("lang"),
        accept_language=request.headers.get("accept-language"),
        merchant_language=merchant_language,
    )


def page_answer(
    html: str, language: str, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """A page with the headers that every answer carries."""
    return Response(
        html,
        status_code=status,
        headers={**SECURITY_HEADERS, "Content-Language": language, **(headers or {})},
        media_type="text/html",
    )


async def _problem_answer(request: Request, error: Exception) -> Response:
    problem = _problem_of(error)
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    if problem is _TRY_AGAIN:
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    # The merchant is not known here, or not to be told apart from one that does not exist.
    language = language_for(request, None)
    html = problem_page(
        language, heading=problem.heading, text=problem.text, has_way_back=problem.has_way_back
    )
    return page_answer(html, language, status=problem.status, headers=headers)


def _problem_of(error: Exception) -> Problem:
    if isinstance(error, FormRefused):
        return error.problem
    if isinstance(error, HTTPException):
        return _PROBLEM_OF_STATUS.get(error.status_code, _BROKEN)
    if isinstance(error, ProblemError) and error.status == _TOO_SLOW.status:
        return _TOO_SLOW
    # By the nearest class: a store that is locked is one that is unavailable.
    return next(_PROBLEM_OF[kind] for kind in type(error).__mro__ if kind in _PROBLEM_OF)


def refuse_other_sites(request: Request, public_url: str) -> None:
    """Raises FormRefused (403) for what a page of somebody else sends."""
    origin = request.headers.get("origin", "null").lower()
    # Under our own Referrer-Policy a browser names the origin of our own form `null`.
    own = {request.headers.get("host", "").lower(), public_url.partition("://")[2].partition("/")[0].lower()}
    if origin != "null" and origin.partition("://")[2] not in own:
        raise FormRefused(OTHER_SITE)


def refuse_large(request: Request, maximum_bytes: int, problem: Problem = _TOO_LARGE) -> None:
    """Raises FormRefused (413) for a body whose declared length is above the bound; nothing of it is read."""
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > maximum_bytes:
        raise FormRefused(problem)


async def bounded_body(
    request: Request, content_type: str, maximum_bytes: int, too_large: Problem = _TOO_LARGE
) -> bytes:
    """The body, sent as it is and of this type. Raises FormRefused (413, 415)."""
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given != content_type or is_coded(request):
        raise FormRefused(_NO_FORM)
    refuse_large(request, maximum_bytes, too_large)
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > maximum_bytes:
            raise FormRefused(too_large)
    return bytes(body)
