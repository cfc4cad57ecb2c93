"""The HTTP edge of the form about a dispute at /dispute: shows it, takes answers, files and giving in."""

from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serving.disputes import evidence, merchant_steps
from serving.disputes.dispute_answers import GivenUpPart
from serving.disputes.evidence import StoredEvidence
from serving.disputes.kept_step import DisputeMoved
from serving.disputes.ledger_effects import DisputeRowRefused
from serving.domain.dispute import Party
from serving.domain.dispute_answer import parse_dispute_answer
from serving.domain.dispute_steps import DisputeAnswerTooLate, DisputeStepImpossible
from serving.domain.errors import RiskError
from serving.domain.evidence_file import EvidenceRefused, checked_evidence
from serving.domain.merchant_answer import AnswerInvalid, FieldMistake
from serving.merchant_form.dispute_form_body import MULTIPART, EnteredDisputeAnswer, parse_dispute_form
from serving.merchant_form.dispute_form_pages import (
    FILE_NAME,
    FILE_REFUSED,
    PART_REQUIRED,
    dispute_form_page,
)
from serving.merchant_form.dispute_form_view import DisputeFormView, dispute_form_view
from serving.merchant_form.form_body import FormUnreadable
from serving.merchant_form.form_pages import SECURITY_HEADERS
from serving.merchant_form.link_edge import (
    UPLOAD_TOO_LARGE,
    bounded_body,
    language_for,
    link_app,
    page_answer,
    refuse_large,
    refuse_other_sites,
)
from serving.requests.case_scope import CaseScope
from serving.requests.route_declaration import DISPUTE_FORM_BODY_BYTES, DoorKind, RouteDeclaration
from serving.requests.store_access import StoreAccess

MOUNTED_AT = "/dispute"
DISPUTE_FORM_ROUTES = (
    RouteDeclaration(method="GET", path=f"{MOUNTED_AT}/{{token}}", door=DoorKind.SIGNED_LINK),
    RouteDeclaration(
        method="POST",
        path=f"{MOUNTED_AT}/{{token}}",
        door=DoorKind.SIGNED_LINK,
        body_maximum_bytes=DISPUTE_FORM_BODY_BYTES,
    ),
)
ANSWER, GIVE_IN = "answer", "give_in"

_REFUSALS: dict[type[RiskError], str] = {
    DisputeAnswerTooLate: "error.dispute_too_late",
    DisputeStepImpossible: "error.dispute_ended",
    DisputeMoved: "error.changed_meanwhile",
    DisputeRowRefused: "error.changed_meanwhile",
}
_SENT = {"new": "form.thanks_heading", "again": "error.already_answered"}


class _Mistakes(Exception):
    """What was entered breaks rules: of fields, and field with code for a file or for giving in."""

    def __init__(self, of_answer: tuple[FieldMistake, ...], own: tuple[tuple[str, str], ...]) -> None:
        super().__init__("what was entered breaks rules")
        self.of_answer = of_answer
        self.own = own


def dispute_form_app(access: StoreAccess) -> Starlette:
    """The application to mount at /dispute."""
    form = _DisputeForm(access)
    methods = [declared.method for declared in DISPUTE_FORM_ROUTES]
    return link_app([Route("/{token}", form.answer, methods=methods)])


class _DisputeForm:
    def __init__(self, access: StoreAccess) -> None:
        self._access = access

    async def answer(self, request: Request) -> Response:
        """Any request to a link."""
        return await (self.take(request) if request.method == "POST" else self.show(request))

    async def show(self, request: Request) -> Response:
        """GET and HEAD: mail programs open links by themselves, so this writes nothing."""
        view = await self._view(request)
        language = language_for(request, view.language)
        sent = _SENT.get(request.query_params.get("sent", ""))
        return page_answer(dispute_form_page(view, language, sent=sent), language)

    async def take(self, request: Request) -> Response:
        """POST: take what was sent, then send the browser to the page, so that a reload repeats nothing."""
        scope = self._access.ready_scope()
        refuse_large(request, DISPUTE_FORM_BODY_BYTES, UPLOAD_TOO_LARGE)
        refuse_other_sites(request, scope.public_url)
        # Megabytes are read only for a link that is good.
        view = await self._view(request)
        body = await bounded_body(request, MULTIPART, DISPUTE_FORM_BODY_BYTES, UPLOAD_TOO_LARGE)
        entered = await parse_dispute_form(request.headers["content-type"], body)
        language = language_for(request, view.language)
        try:
            if entered.step == GIVE_IN:
                await self._give_in(scope.cases, view, entered)
            elif entered.step == ANSWER:
                await self._answer(scope.cases, scope.evidence_folder, view, entered)
            else:
                raise FormUnreadable("there is no such form")
        except _Mistakes as wrong:
            shown = dispute_form_page(
                view, language, entered=entered, mistakes=wrong.of_answer, own_mistakes=wrong.own
            )
            return page_answer(shown, language, status=422)
        except tuple(_REFUSALS) as problem:
            now = await self._view(request)
            refusal = next(text for kind, text in _REFUSALS.items() if isinstance(problem, kind))
            shown = dispute_form_page(now, language, entered=entered, refusal=refusal)
            return page_answer(shown, language, status=409)
        now = await self._view(request)
        is_new = now.dispute.version != view.dispute.version or now.files != view.files
        # Relative, so that it holds behind any proxy and under any mount.
        location = f"?lang={language}&sent={'new' if is_new else 'again'}"
        return Response(status_code=303, headers={**SECURITY_HEADERS, "Location": location})

    async def _give_in(self, scope: CaseScope, view: DisputeFormView, entered: EnteredDisputeAnswer) -> None:
        """Raises _Mistakes, and what `_REFUSALS` names."""
        part, dispute = entered.part, view.dispute
        if part not in {known.value for known in GivenUpPart}:
            raise _Mistakes((), (("part", PART_REQUIRED),))
        await self._access.write(
            lambda: merchant_steps.give_in_dispute(
                scope, dispute.dispute_id, merchant_id=dispute.merchant_id, part=part
            )
        )

    async def _answer(
        self, scope: CaseScope, folder: Path, view: DisputeFormView, entered: EnteredDisputeAnswer
    ) -> None:
        """Take an answer with its file, both or neither being right. Raises as `_give_in`."""
        dispute = view.dispute
        if not view.takes_answer:
            raise (
                DisputeAnswerTooLate("it has run out")
                if view.has_run_out
                else DisputeStepImpossible(f"dispute {dispute.dispute_id} takes no answer")
            )
        of_answer: tuple[FieldMistake, ...] = ()
        try:
            parse_dispute_answer(
                kind=entered.kind,
                text=entered.text,
                carrier=entered.carrier,
                tracking_number=entered.tracking_number,
                answered_at_ms=view.now_ms,
            )
        except AnswerInvalid as invalid:
            of_answer = invalid.mistakes
        stored: StoredEvidence | None = None
        own: tuple[tuple[str, str], ...] = ()
        try:
            stored = await self._stored(scope, folder, view, entered, is_answer_good=not of_answer)
        except EvidenceRefused as refused:
            is_name = refused.errors[0].pointer == "/name"
            own = (("file", FILE_NAME if is_name else FILE_REFUSED),)
        if of_answer or own:
            raise _Mistakes(of_answer, own)

        def keep() -> None:
            if stored is not None:
                evidence.note_evidence(scope, stored, by=merchant_steps.MERCHANT)
            merchant_steps.answer_dispute(
                scope,
                dispute.dispute_id,
                merchant_id=dispute.merchant_id,
                kind=entered.kind,
                text=entered.text,
                carrier=entered.carrier,
                tracking_number=entered.tracking_number,
            )

        await self._access.write(keep)

    async def _stored(
        self,
        scope: CaseScope,
        folder: Path,
        view: DisputeFormView,
        entered: EnteredDisputeAnswer,
        *,
        is_answer_good: bool,
    ) -> StoredEvidence | None:
        """The file in its place, None without one; where the answer is wrong it is only checked."""
        file, dispute = entered.file, view.dispute
        if file is None:
            return None
        if not is_answer_good:
            checked_evidence(file.name, file.content, maximum_bytes=scope.policy.disputes.evidence_file_bytes)
            return None
        # The disk is waited for beside the event loop.
        return await self._access.read_beside(
            lambda: evidence.store_evidence(
                scope,
                folder,
                dispute.dispute_id,
                party=Party.MERCHANT,
                name=file.name,
                content=file.content,
                merchant_id=dispute.merchant_id,
            )
        )

    async def _view(self, request: Request) -> DisputeFormView:
        scope = self._access.ready_scope()
        token = request.path_params["token"]
        return await self._access.read(lambda: dispute_form_view(scope.cases, token))
