"""The HTTP edge of the merchant's form at /stop: opens pages, takes answers, and judges nothing.

The token in the address is itself the secret that allows an answer, and no cookie is used: a page of
somebody else has nothing to forge a request with, so there is no further token against that.
"""

from collections.abc import Mapping
from typing import NamedTuple

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serving.domain.errors import UnknownCase
from serving.domain.merchant_answer import AnswerInvalid, FieldMistake
from serving.domain.stop_request import StopRequestWithdrawn
from serving.merchant_form.form_body import EnteredAnswer, FormUnreadable, parse_form
from serving.merchant_form.form_language import page_language
from serving.merchant_form.form_pages import SECURITY_HEADERS, form_page, problem_page
from serving.merchant_form.form_view import FormView, form_view
from serving.requests.case_scope import CaseScope
from serving.requests.door import is_coded
from serving.requests.problem_details import ProblemError
from serving.requests.request_scope import RequestScope
from serving.requests.route_declaration import MERCHANT_FORM_BODY_BYTES, DoorKind, RouteDeclaration
from serving.requests.store_access import StoreAccess
from serving.stop_requests.answering import AnswerContradicts, answer
from serving.stop_requests.form_link import LinkExpired, LinkInvalid
from serving.stop_requests.locked_stop_request import StopRequestMoved, UnknownStopRequest
from serving.stop_requests.stop_request_answers import StopRequestAnswer
from serving.store.errors import CommitUnknown, StoreUnavailable

MOUNTED_AT = "/stop"
FORM_ROUTES = (
    RouteDeclaration(method="GET", path=f"{MOUNTED_AT}/{{token}}", door=DoorKind.SIGNED_LINK),
    RouteDeclaration(
        method="POST",
        path=f"{MOUNTED_AT}/{{token}}",
        door=DoorKind.SIGNED_LINK,
        body_maximum_bytes=MERCHANT_FORM_BODY_BYTES,
    ),
)
RETRY_AFTER_SECONDS = 5
FORM_TYPE = "application/x-www-form-urlencoded"


class _Problem(NamedTuple):
    """A page without a form. heading, text: codes of texts."""

    status: int
    heading: str
    text: str
    has_way_back: bool


_NOTHING_HERE = _Problem(404, "form.problem_heading", "error.link_invalid", False)
_EXPIRED = _Problem(410, "form.problem_heading", "error.link_expired", False)
_TRY_AGAIN = _Problem(503, "form.problem_heading", "error.try_again", True)
_BROKEN = _Problem(500, "form.problem_heading", "error.try_again", True)
_OTHER_SITE = _Problem(403, "form.not_sent_heading", "error.other_site", True)
_OTHER_METHOD = _Problem(405, "form.not_sent_heading", "error.form_unreadable", True)
_TOO_LARGE = _Problem(413, "form.not_sent_heading", "error.form_too_large", True)
_NO_FORM = _Problem(415, "form.not_sent_heading", "error.form_unreadable", True)
_TOO_SLOW = _Problem(408, "form.not_sent_heading", "error.try_again", True)
_UNREADABLE = _Problem(422, "form.not_sent_heading", "error.form_unreadable", True)

_PROBLEM_OF: Mapping[type[Exception], _Problem] = {
    # A link that is not ours and one about nothing look the same, so that nobody learns from trying.
    LinkInvalid: _NOTHING_HERE,
    UnknownStopRequest: _NOTHING_HERE,
    UnknownCase: _NOTHING_HERE,
    LinkExpired: _EXPIRED,
    StoreUnavailable: _TRY_AGAIN,
    # The same answer again is harmless where this one was kept.
    CommitUnknown: _TRY_AGAIN,
    ProblemError: _TRY_AGAIN,
    FormUnreadable: _UNREADABLE,
    Exception: _BROKEN,
}
_PROBLEM_OF_STATUS: Mapping[int, _Problem] = {404: _NOTHING_HERE, 405: _OTHER_METHOD}


class FormRefused(Exception):
    """The request is none that the form sends, so its content was not looked at."""

    def __init__(self, problem: _Problem) -> None:
        super().__init__(problem.text)
        self.problem = problem


def merchant_form_app(access: StoreAccess) -> Starlette:
    """The application to mount at /stop."""
    form = _MerchantForm(access)
    app = Starlette(
        routes=[
            Route(
                FORM_ROUTES[0].path.removeprefix(MOUNTED_AT),
                form.answer,
                methods=[declared.method for declared in FORM_ROUTES],
            ),
        ],
        exception_handlers={
            **dict.fromkeys(_PROBLEM_OF, _problem_answer),
            FormRefused: _problem_answer,
            HTTPException: _problem_answer,
        },
    )
    # A redirect of the router's own would be an answer without our headers.
    app.router.redirect_slashes = False
    return app


def stop_scope(scope: RequestScope) -> CaseScope:
    """What the use cases of stop requests need. Raises StoreUnavailable."""
    return scope.cases


class _MerchantForm:
    def __init__(self, access: StoreAccess) -> None:
        self._access = access

    async def answer(self, request: Request) -> Response:
        """Any request to a link."""
        return await (self.take(request) if request.method == "POST" else self.show(request))

    async def show(self, request: Request) -> Response:
        """GET and HEAD: mail programs open links by themselves, so this writes nothing."""
        view = await self._view(request)
        is_repeated = "again" in request.query_params and bool(view.request.answers)
        language = _language(request, view)
        return _page(form_page(view, language, is_repeated=is_repeated), language)

    async def take(self, request: Request) -> Response:
        """POST: take the answer, then send the browser to the page, so that a reload repeats nothing."""
        scope = self._access.ready_scope()
        _refuse_other_sites(request, scope.public_url)
        entered = parse_form(await _form_body(request))
        view = await self._view(request)
        if view.is_withdrawn:
            return await self._refused(request, entered, "error.request_withdrawn")
        entered = view.completed(entered)
        try:
            answered = await self._access.write(lambda: _give(stop_scope(scope), view, entered))
        except AnswerInvalid as invalid:
            return _invalid(request, view, entered, invalid.mistakes)
        except AnswerContradicts:
            return await self._refused(request, entered, "error.contradicting_answer")
        except (StopRequestMoved, StopRequestWithdrawn):
            return await self._refused(request, entered, "error.changed_meanwhile")
        again = "&again=1" if len(answered.answers) == len(view.request.answers) else ""
        # Relative, so that it holds behind any proxy and under any mount.
        location = f"?lang={_language(request, view)}{again}"
        return Response(status_code=303, headers={**SECURITY_HEADERS, "Location": location})

    async def _view(self, request: Request) -> FormView:
        scope = self._access.ready_scope()
        token = request.path_params["token"]
        return await self._access.read(lambda: form_view(stop_scope(scope), token))

    async def _refused(self, request: Request, entered: EnteredAnswer, refusal: str) -> Response:
        view = await self._view(request)
        language = _language(request, view)
        return _page(form_page(view, language, entered=entered, refusal=refusal), language, status=409)


def _give(scope: CaseScope, view: FormView, entered: EnteredAnswer) -> StopRequestAnswer:
    return answer(
        scope,
        view.request.stop_request_id,
        merchant_id=view.request.merchant_id,
        kind=entered.kind,
        carrier=entered.carrier,
        tracking_number=entered.tracking_number,
        note=entered.note,
    )


def _invalid(
    request: Request, view: FormView, entered: EnteredAnswer, mistakes: tuple[FieldMistake, ...]
) -> Response:
    language = _language(request, view)
    return _page(form_page(view, language, entered=entered, mistakes=mistakes), language, status=422)


def _language(request: Request, view: FormView | None) -> str:
    return page_language(
        chosen=request.query_params.get("lang"),
        accept_language=request.headers.get("accept-language"),
        merchant_language=None if view is None else view.language,
    )


def _page(
    html: str, language: str, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
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
    language = _language(request, None)
    html = problem_page(
        language, heading=problem.heading, text=problem.text, has_way_back=problem.has_way_back
    )
    return _page(html, language, status=problem.status, headers=headers)


def _problem_of(error: Exception) -> _Problem:
    if isinstance(error, FormRefused):
        return error.problem
    if isinstance(error, HTTPException):
        return _PROBLEM_OF_STATUS.get(error.status_code, _BROKEN)
    if isinstance(error, ProblemError) and error.status == _TOO_SLOW.status:
        return _TOO_SLOW
    # By the nearest class: a store that is locked is one that is unavailable.
    return next(_PROBLEM_OF[kind] for kind in type(error).__mro__ if kind in _PROBLEM_OF)


def _refuse_other_sites(request: Request, public_url: str) -> None:
    origin = request.headers.get("origin", "null").lower()
    # Under our own Referrer-Policy a browser names the origin of our own form `null`.
    own = {request.headers.get("host", "").lower(), public_url.partition("://")[2].partition("/")[0].lower()}
    if origin != "null" and origin.partition("://")[2] not in own:
        raise FormRefused(_OTHER_SITE)


async def _form_body(request: Request) -> bytes:
    """The body. Raises FormRefused (413, 415)."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != FORM_TYPE or is_coded(request):
        raise FormRefused(_NO_FORM)
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > MERCHANT_FORM_BODY_BYTES:
        raise FormRefused(_TOO_LARGE)
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MERCHANT_FORM_BODY_BYTES:
            raise FormRefused(_TOO_LARGE)
    return bytes(body)
