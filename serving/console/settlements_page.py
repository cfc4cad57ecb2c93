"""Settlements: a merchant's note for a month on a page, and as a file for its bookkeepers."""

from dataclasses import dataclass
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from starlette.exceptions import HTTPException
from starlette.responses import Response

from serving.console.case_words import SETTLEMENT_LINE, words_of
from serving.console.decision_page import typed_text
from serving.console.page_request import ConsoleRoute, PageRequest
from serving.domain.console_user import ConsoleRole
from serving.domain.settlement_period import Period, PeriodInvalid
from serving.settlement.note_answers import SettlementNote
from serving.settlement.note_csv import csv_file
from serving.settlement.notes import PlaceInvalid, UnknownMerchant, place_of, settlement_note, whole_note

ROLES = frozenset({ConsoleRole.FRAUD, ConsoleRole.ANALYST, ConsoleRole.ADMIN})
PAGE_SIZE = 100


@dataclass(frozen=True, kw_only=True)
class NoteForm:
    """What was asked for, as it was typed."""

    merchant: str
    period: str
    after: str

    def query(self, after: str = "") -> str:
        """The query of a link to the same note. after: where its page of lines begins."""
        given = {"merchant": self.merchant, "period": self.period, "after": after}
        return urlencode({key: value for key, value in given.items() if value})


async def settlements_page(page: PageRequest) -> Response:
    """The form, and the note that was asked for."""
    form = _form(page)
    note: SettlementNote | None = None
    mistake = None
    if form.merchant:
        try:
            note = await _note(page, form)
        except (PeriodInvalid, PlaceInvalid) as problem:
            mistake = f"{str(problem)[0].upper()}{str(problem)[1:]}."
        except UnknownMerchant:
            mistake = "There is no such merchant."
    return page.render(
        "settlements.html",
        status=422 if mistake else 200,
        form=form,
        mistake=mistake,
        note=note,
        words=lambda text: words_of(SETTLEMENT_LINE, text.value),
        next_query=None if note is None or note.next is None else form.query(note.next),
    )


async def settlement_file(page: PageRequest) -> Response:
    """The same note, whole, as CSV."""
    scope = page.scope.cases
    merchant_id = typed_text(page.request.path_params["merchant_id"])
    try:
        period = Period.parse(page.request.path_params["period"])
    except PeriodInvalid as problem:
        raise HTTPException(404, "There is no such month.") from problem

    def file() -> Response:
        with whole_note(scope, merchant_id, period) as (note, lines):
            return csv_file(note, lines)

    try:
        return await page.access.read_beside(file)
    except UnknownMerchant as problem:
        raise HTTPException(404, "There is no such merchant.") from problem


async def _note(page: PageRequest, form: NoteForm) -> SettlementNote:
    """Raises PeriodInvalid, PlaceInvalid, UnknownMerchant."""
    scope, period = page.scope.cases, Period.parse(form.period)
    after = form.after or None
    if after is not None:
        place_of(after)
    return await page.access.read_beside(
        lambda: settlement_note(scope, form.merchant, period, limit=PAGE_SIZE, after=after)
    )


def _form(page: PageRequest) -> NoteForm:
    given = page.request.query_params
    zone = ZoneInfo(page.scope.policy.order_risk.default_time_zone)
    return NoteForm(
        merchant=typed_text(given.get("merchant", "")),
        period=typed_text(given.get("period", "")) or Period.at(page.locale.now_ms, zone).text,
        after=typed_text(given.get("after", "")),
    )


ROUTES: tuple[ConsoleRoute, ...] = (
    ConsoleRoute(path="/settlements", method="GET", roles=ROLES, page=settlements_page, title="Settlements"),
    ConsoleRoute(
        path="/settlements/{merchant_id}/{period}/csv", method="GET", roles=ROLES, page=settlement_file
    ),
)
