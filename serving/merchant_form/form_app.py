"""The HTTP edge of the merchant's form at /stop: opens pages, takes answers, and judges nothing.

The token in the address is itself the secret that allows an answer, and no cookie is used: a page of
somebody else has nothing to forge a request with, so there is no further token against that.
"""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serving.domain.merchant_answer import AnswerInvalid, FieldMistake
from serving.domain.stop_request import StopRequestWithdrawn
from serving.merchant_form.form_body import EnteredAnswer, parse_form
from serving.merchant_form.form_pages import SECURITY_HEADERS, form_page
from serving.merchant_form.form_view import FormView, form_view
from serving.merchant_form.link_edge import (
    bounded_body,
    language_for,
    link_app,
    page_answer,
    refuse_other_sites,
)
from serving.requests.case_scope import CaseScope
from serving.requests.request_scope import RequestScope
from serving.requests.route_declaration import MERCHANT_FORM_BODY_BYTES, DoorKind, RouteDeclaration
from serving.requests.store_access import StoreAccess
from serving.stop_requests.answering import AnswerContradicts, answer
from serving.stop_requests.locked_stop_request import StopRequestMoved
from serving.stop_requests.stop_request_answers import StopRequestAnswer

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
FORM_TYPE = "application/x-www-form-urlencoded"


def merchant_form_app(access: StoreAccess) -> Starlette:
    """The application to mount at /stop."""
    form = _MerchantForm(access)
    return link_app(
        [
            Route(
                FORM_ROUTES[0].path.removeprefix(MOUNTED_AT),
                form.answer,
                methods=[declared.method for declared in FORM_ROUTES],
            )
        ]
    )


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
        language = language_for(request, view.language)
        return page_answer(form_page(view, language, is_repeated=is_repeated), language)

    async def take(self, request: Request) -> Response:
        """POST: take the answer, then send the browser to the page, so that a reload repeats nothing."""
        scope = self._access.ready_scope()
        refuse_other_sites(request, scope.public_url)
        entered = parse_form(await bounded_body(request, FORM_TYPE, MERCHANT_FORM_BODY_BYTES))
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
        location = f"?lang={language_for(request, view.language)}{again}"
        return Response(status_code=303, headers={**SECURITY_HEADERS, "Location": location})

    async def _view(self, request: Request) -> FormView:
        scope = self._access.ready_scope()
        token = request.path_params["token"]
        return await self._access.read(lambda: form_view(stop_scope(scope), token))

    async def _refused(self, request: Request, entered: EnteredAnswer, refusal: str) -> Response:
        view = await self._view(request)
        language = language_for(request, view.language)
        return page_answer(form_page(view, language, entered=entered, refusal=refusal), language, status=409)


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
    language = language_for(request, view.language)
    return page_answer(form_page(view, language, entered=entered, mistakes=mistakes), language, status=422)
