"""The page of one case: what is known, what can be done now, and what became of it."""

from collections.abc import Callable
from typing import Any

from starlette.responses import Response

from serving.cases import case_review, investigating
from serving.cases.case_dossier import CaseDossier, case_dossier
from serving.cases.possible_steps import NOTE_MAXIMUM, TEXT_FIELD, Step, StepInvalid
from serving.console import case_words
from serving.console.link_picture import link_picture
from serving.console.page_request import DECIDING, ConsoleRoute, PageRequest
from serving.domain.errors import RiskError, UnknownCase
from serving.domain.investigation import (
    MAXIMUM_QUESTION_CHARACTERS,
    Finding,
    FindingInvalid,
    QuestionInvalid,
)
from serving.domain.review_case import ContactOutcome, ReasonMissing
from serving.domain.stop_request import RecallResult
from serving.requests.case_scope import CaseScope
from serving.stop_requests import recalls, sending_again
from serving.store.investigations import InvestigationMovedError

_DONE = {
    Step.CLAIM: "The case is yours.",
    Step.GIVE_BACK: "The case is back in the queue.",
    Step.NOTE: "The note is kept.",
    Step.CONTACT: "The customer is being contacted. Record here what came of it.",
    Step.CONTACT_OUTCOME: "What the customer said is recorded.",
    Step.RELEASE: "The order is released.",
    Step.STOP: "The order is stopped. You can undo that for a moment.",
    Step.UNDO: "The stop is undone. The case is yours again.",
    Step.WITHDRAW: "The stop is withdrawn, and the order released.",
    Step.REOPEN: "The case is open again.",
}
# What the reviewer typed breaks a rule; anything else that is refused has to do with the case's state.
_MISTAKES = (StepInvalid, ReasonMissing, QuestionInvalid, FindingInvalid, recalls.RecallStepInvalid)


def _case_id(page: PageRequest) -> str:
    case_id: str = page.request.path_params["case_id"]
    if not case_id.isprintable():
        raise UnknownCase("there is no such case")
    return case_id


async def _dossier(page: PageRequest) -> CaseDossier:
    case_id = _case_id(page)
    return await page.access.read_beside(
        lambda: case_dossier(page.scope.cases, case_id, reviewer=page.user.name, role=page.user.role.value)
    )


def _rendered(
    page: PageRequest,
    template: str,
    dossier: CaseDossier,
    *,
    status: int = 200,
    problem: str | None = None,
    given: dict[str, str] | None = None,
) -> Response:
    values: dict[str, Any] = {
        "dossier": dossier,
        "case": dossier.case,
        "stakes": dossier.stored.stakes,
        "steps": {step.value for step in dossier.steps},
        "words": case_words,
        "picture": link_picture(dossier.links),
        "contact_outcomes": tuple(ContactOutcome),
        "recall_results": tuple(RecallResult),
        "findings": tuple(Finding),
        "note_maximum": NOTE_MAXIMUM,
        "question_maximum": MAXIMUM_QUESTION_CHARACTERS,
        "undo_seconds": page.scope.policy.review.undo_seconds,
        "problem": problem,
        "given": given or {},
    }
    return page.render(template, status=status, **values)


async def show_case(page: PageRequest) -> Response:
    """The case. Raises UnknownCase."""
    return _rendered(page, "case.html", await _dossier(page))


async def ask_before_stop(page: PageRequest) -> Response:
    """What the merchant will get, before the order is stopped. Raises UnknownCase."""
    dossier = await _dossier(page)
    if Step.STOP not in dossier.steps:
        return _rendered(
            page, "case.html", dossier, status=409, problem="You cannot stop this order now: see below."
        )
    return _rendered(page, "case_stop.html", dossier)


async def _changed(
    page: PageRequest, work: Callable[[CaseScope], object], *, notice: str, back_to: str | None = None
) -> Response:
    """Do something and go back to the case; what was refused is told on the case's page, with the reason.

    Raises UnknownCase.
    """
    case_id = _case_id(page)
    try:
        await page.access.write(lambda: work(page.scope.cases))
    except UnknownCase:
        raise
    except (RiskError, InvestigationMovedError) as problem:
        status = 422 if isinstance(problem, _MISTAKES) else 409
        return _rendered(
            page,
            "case.html",
            await _dossier(page),
            status=status,
            problem=str(problem),
            given=await page.form(),
        )
    return page.redirect(back_to or f"/cases/{case_id}", notice=notice)


def _step_page(step: Step) -> ConsoleRoute:
    async def take(page: PageRequest) -> Response:
        form = await page.form()
        case_id, text = _case_id(page), form.get(TEXT_FIELD.get(step, ""))
        return await _changed(
            page,
            lambda scope: case_review.take_step(
                scope,
                case_id,
                step,
                reviewer=page.user.name,
                role=page.user.role.value,
                text=text,
            ),
            notice=_DONE[step],
            back_to="/" if form.get("from") == "queue" else None,
        )

    return ConsoleRoute(path=f"/cases/{{case_id}}/{step.value}", method="POST", roles=DECIDING, page=take)


async def record_recall(page: PageRequest) -> Response:
    """What came of recalling a parcel."""
    form, stop_request_id = await page.form(), page.request.path_params["stop_request_id"]
    return await _changed(
        page,
        lambda scope: recalls.finish_recall(scope, stop_request_id, form.get("result", ""), page.user.name),
        notice="The result of the recall is recorded.",
    )


async def send_notice_again(page: PageRequest) -> Response:
    """Send a notice to the merchant once more."""
    delivery_id = page.request.path_params["delivery_id"]
    return await _changed(
        page,
        lambda scope: sending_again.send_again(scope, delivery_id, page.user.name),
        notice="The notice is being sent again.",
    )


async def open_investigation(page: PageRequest) -> Response:
    """Investigate the case, with a reason."""
    form, case_id = await page.form(), _case_id(page)
    return await _changed(
        page,
        lambda scope: investigating.open_by_hand(
            scope, case_id, reason=form.get("investigation_reason", ""), by=page.user.name
        ),
        notice="The case is being investigated.",
    )


async def ask_merchant(page: PageRequest) -> Response:
    """Send the merchant a question."""
    form, case_id = await page.form(), _case_id(page)
    return await _changed(
        page,
        lambda scope: investigating.ask_merchant(scope, case_id, form.get("question", ""), page.user.name),
        notice="The question is on its way to the merchant.",
    )


async def conclude_investigation(page: PageRequest) -> Response:
    """Close the investigation with a finding."""
    form, case_id = await page.form(), _case_id(page)
    return await _changed(
        page,
        lambda scope: investigating.conclude(scope, case_id, form.get("finding", ""), page.user.name),
        notice="The investigation is concluded.",
    )


ROUTES = (
    ConsoleRoute(path="/cases/{case_id}", method="GET", roles=DECIDING, page=show_case),
    ConsoleRoute(path="/cases/{case_id}/stop", method="GET", roles=DECIDING, page=ask_before_stop),
    *(_step_page(step) for step in Step),
    ConsoleRoute(
        path="/cases/{case_id}/stop-requests/{stop_request_id}/recall-result",
        method="POST",
        roles=DECIDING,
        page=record_recall,
    ),
    ConsoleRoute(
        path="/cases/{case_id}/deliveries/{delivery_id}/resend",
        method="POST",
        roles=DECIDING,
        page=send_notice_again,
    ),
    ConsoleRoute(
        path="/cases/{case_id}/investigation/open", method="POST", roles=DECIDING, page=open_investigation
    ),
    ConsoleRoute(
        path="/cases/{case_id}/investigation/question", method="POST", roles=DECIDING, page=ask_merchant
    ),
    ConsoleRoute(
        path="/cases/{case_id}/investigation/conclude",
        method="POST",
        roles=DECIDING,
        page=conclude_investigation,
    ),
)
