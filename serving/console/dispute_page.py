"""The page of one dispute: both sides, what can be done now, and what was done."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from starlette.responses import Response

from serving.console import dispute_words
from serving.console.dispute_queue_page import SEEING_DISPUTES
from serving.console.page_request import ConsoleRoute, PageRequest
from serving.disputes import evidence, service_desk
from serving.disputes.dispute_answers import DeskDispute
from serving.disputes.disputed_order import DisputedOrderView, disputed_order
from serving.disputes.kept_step import UnknownDispute
from serving.domain.console_user import ConsoleRole
from serving.domain.dispute import MAXIMUM_TEXT_CHARACTERS, WORK_ITEMS, DisputeState, Party
from serving.domain.errors import FieldsInvalid, RiskError
from serving.domain.field_errors import FieldError, pointer
from serving.domain.typed_amounts import AmountUnreadable, typed_cents
from serving.requests.case_scope import CaseScope

DECIDING_DISPUTES = frozenset({ConsoleRole.SERVICE})
"""Who takes a step; whoever else sees disputes reads."""

_Work = Callable[[CaseScope, str, str, Mapping[str, str], int | None], object]


@dataclass(frozen=True, kw_only=True)
class _Step:
    """A form of the page. work: of scope, dispute, person, fields and the typed amount in minor units."""

    done: str
    work: _Work


def _asking(use_case: Callable[..., DeskDispute]) -> _Work:
    return lambda scope, dispute_id, by, form, _cents: use_case(
        scope, dispute_id, text=form.get("text", ""), by=by
    )


def _ending(use_case: Callable[..., DeskDispute]) -> _Work:
    return lambda scope, dispute_id, by, form, cents: use_case(
        scope,
        dispute_id,
        outcome=form.get("outcome", ""),
        award_cents=cents,
        text=form.get("text", ""),
        by=by,
    )


STEPS: Mapping[str, _Step] = {
    "claim": _Step(
        done="The dispute is yours.",
        work=lambda scope, dispute_id, by, _form, _cents: service_desk.claim_dispute(
            scope, dispute_id, by=by
        ),
    ),
    "give-back": _Step(
        done="The dispute is back in the queue.",
        work=lambda scope, dispute_id, by, _form, _cents: service_desk.give_back_dispute(
            scope, dispute_id, by=by
        ),
    ),
    "ask-customer": _Step(done="The customer is asked.", work=_asking(service_desk.ask_customer)),
    "ask-merchant": _Step(done="The merchant is asked.", work=_asking(service_desk.ask_merchant)),
    "decide": _Step(done="The dispute is decided.", work=_ending(service_desk.decide_dispute)),
    "second-look": _Step(done="The complaint is decided.", work=_ending(service_desk.decide_second_look)),
    "refer": _Step(
        done="The complaint is with the committee.",
        work=lambda scope, dispute_id, by, form, _cents: service_desk.refer_complaint(
            scope, dispute_id, committee=form.get("committee", ""), by=by
        ),
    ),
    "committee-result": _Step(
        done="The committee's result is entered.", work=_ending(service_desk.enter_committee_result)
    ),
}
"""By the end of the address."""


@dataclass(frozen=True, kw_only=True)
class _Refused:
    """A form that was not taken. mistakes: by field, empty where the state of the dispute forbids it."""

    step: str
    status: int
    problem: str
    mistakes: Mapping[str, str]
    given: Mapping[str, str]


def _dispute_id(page: PageRequest) -> str:
    dispute_id: str = page.request.path_params["dispute_id"]
    if not dispute_id.isprintable():
        raise UnknownDispute("there is no such dispute")
    return dispute_id


async def show_dispute(page: PageRequest) -> Response:
    """The dispute. Raises UnknownDispute."""
    return await _rendered(page)


async def _rendered(page: PageRequest, refused: _Refused | None = None) -> Response:
    dispute_id, scope = _dispute_id(page), page.scope.cases

    def read() -> tuple[DeskDispute, DisputedOrderView]:
        return service_desk.desk_view(scope, dispute_id), disputed_order(scope, dispute_id)

    dispute, order = await page.access.read_beside(read)
    return page.render(
        "dispute.html",
        status=200 if refused is None else refused.status,
        dispute=dispute,
        order=order,
        steps=_offered(page, dispute),
        is_second_look_refused=_is_second_look_refused(page, dispute),
        sides=(Party.CUSTOMER, Party.MERCHANT),
        refused=refused,
        words=dispute_words,
        details=partial(dispute_words.history_details, dispute=dispute, locale=page.locale),
        text_maximum=MAXIMUM_TEXT_CHARACTERS,
        committee_maximum=service_desk.COMMITTEE_NAME_MAXIMUM,
    )


def _is_second_look_refused(page: PageRequest, dispute: DeskDispute) -> bool:
    is_again = dispute.state in {DisputeState.COMPLAINT, DisputeState.REFERRED}
    return is_again and dispute.decided_by == page.user.name


def _offered(page: PageRequest, dispute: DeskDispute) -> frozenset[str]:
    """The steps that this person can try now; the use cases refuse what others did meanwhile."""
    is_mine = dispute.claimed_by == page.user.name
    if page.user.role not in DECIDING_DISPUTES or dispute.state not in WORK_ITEMS:
        return frozenset()
    if _is_second_look_refused(page, dispute):
        return frozenset({"give-back"}) if is_mine else frozenset()
    if not is_mine:
        return frozenset({"claim"})
    match dispute.state:
        case DisputeState.DECIDING:
            return frozenset({"give-back", "ask-customer", "ask-merchant", "decide"})
        case DisputeState.COMPLAINT:
            return frozenset({"give-back", "second-look", "refer"})
        case _:
            return frozenset({"give-back", "committee-result"})


def _step_route(name: str, step: _Step) -> ConsoleRoute:
    async def take(page: PageRequest) -> Response:
        dispute_id, form = _dispute_id(page), await page.form()
        try:
            cents = await _award_cents(page, dispute_id, form)
            await page.access.write(
                lambda: step.work(page.scope.cases, dispute_id, page.user.name, form, cents)
            )
        except UnknownDispute:
            raise
        except FieldsInvalid as problem:
            mistakes = {error.pointer.lstrip("/"): error.detail for error in problem.errors}
            return await _rendered(
                page,
                _Refused(
                    step=name,
                    status=422,
                    problem="Nothing was changed: see what is marked.",
                    mistakes=mistakes,
                    given=form,
                ),
            )
        except RiskError as problem:
            return await _rendered(
                page, _Refused(step=name, status=409, problem=str(problem), mistakes={}, given=form)
            )
        return page.redirect(f"/disputes/{dispute_id}", notice=step.done)

    return ConsoleRoute(
        path=f"/disputes/{{dispute_id}}/{name}", method="POST", roles=DECIDING_DISPUTES, page=take
    )


async def _award_cents(page: PageRequest, dispute_id: str, form: Mapping[str, Any]) -> int | None:
    """The typed amount, None where none was typed. Raises FieldsInvalid, UnknownDispute."""
    typed = form.get("award_cents", "").strip()
    if not typed:
        return None
    dispute = await page.access.read(lambda: service_desk.desk_view(page.scope.cases, dispute_id))
    try:
        return typed_cents(typed, dispute.currency)
    except AmountUnreadable as problem:
        rule = f"the amount {problem}"
        raise FieldsInvalid([FieldError(pointer=pointer("award_cents"), detail=rule)]) from problem


async def download_file(page: PageRequest) -> Response:
    """A file of either side, as a download and never as a page. Raises UnknownDispute, UnknownDisputeFile."""
    dispute_id: str = _dispute_id(page)
    file_id: str = page.request.path_params["file_id"]
    if not file_id.isprintable():
        raise evidence.UnknownDisputeFile("there is no such file")
    file, content = await page.access.read_beside(
        lambda: evidence.read_file(
            page.scope.cases, page.scope.evidence_folder, dispute_id, file_id, party=None
        )
    )
    return Response(content, headers=evidence.download_headers(file))


ROUTES = (
    ConsoleRoute(path="/disputes/{dispute_id}", method="GET", roles=SEEING_DISPUTES, page=show_dispute),
    ConsoleRoute(
        path="/disputes/{dispute_id}/files/{file_id}",
        method="GET",
        roles=SEEING_DISPUTES,
        page=download_file,
    ),
    *(_step_route(name, step) for name, step in STEPS.items()),
)
