"""Decisions: find any checkout decision, by what was typed into the search form."""

from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from serving.console.decision_page import OUTCOMES, ROLES, typed_text
from serving.console.page_request import ConsoleRoute, PageRequest
from serving.domain.decision import Outcome
from serving.figures.flow_overview import start_of
from serving.store.decision_search import DecisionFilter, find_decisions

PAGE_SIZE = 50

FIRST_YEAR, LAST_YEAR = 2000, 2500


@dataclass(frozen=True, kw_only=True)
class SearchForm:
    """What was asked for, as it was typed. mistake: of the day, None where it can be used."""

    name: str
    outcome: str
    merchant: str
    day: str
    is_thorough: bool
    before: str
    mistake: str | None = None

    @property
    def is_filtered(self) -> bool:
        """Whether anything was asked for."""
        return bool(self.name or self.outcome or self.merchant or self.day)

    def query(self, before: str) -> str:
        """The query of a link to a page of the same search; before: where it begins, empty for the first."""
        given = {
            "q": self.name,
            "outcome": self.outcome,
            "merchant": self.merchant,
            "day": self.day,
            "thorough": "1" if self.is_thorough else "",
            "before": before,
        }
        return urlencode({key: value for key, value in given.items() if value})


async def search_page(page: PageRequest) -> Response:
    """The decisions that were asked for, the newest first, in pages."""
    form = _search_form(page)
    wanted = None if form.mistake else _filter(form, page)
    found = None
    if wanted is not None:
        before = form.before or None

        def find() -> Any:
            with page.scope.store.reading() as tx:
                return find_decisions(tx, wanted, before=before, limit=PAGE_SIZE)

        found = await page.access.read_beside(find)
    return page.render(
        "decisions.html",
        status=422 if form.mistake else 200,
        form=form,
        found=found,
        next_query=None if found is None or found.next_before is None else form.query(found.next_before),
        first_query=form.query(""),
        outcomes=[(outcome.value, OUTCOMES[outcome][0]) for outcome in OUTCOMES if _is_kept(outcome)],
        outcome_forms=OUTCOMES,
    )


def _is_kept(outcome: Outcome) -> bool:
    return outcome is not Outcome.UNAVAILABLE


def _search_form(page: PageRequest) -> SearchForm:
    given = page.request.query_params
    form = SearchForm(
        name=typed_text(given.get("q", "")),
        outcome=given.get("outcome", "") if given.get("outcome") in {one.value for one in Outcome} else "",
        merchant=typed_text(given.get("merchant", "")),
        day=typed_text(given.get("day", "")),
        is_thorough=given.get("thorough") == "1",
        before=typed_text(given.get("before", "")),
    )
    if form.day and _day(form.day) is None:
        return replace(form, mistake="Day: give a date such as 2026-03-01.")
    return form


def _day(text: str) -> date | None:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if FIRST_YEAR <= day.year <= LAST_YEAR else None


def _filter(form: SearchForm, page: PageRequest) -> DecisionFilter:
    day = _day(form.day) if form.day else None
    zone = page.locale.zone
    return DecisionFilter(
        name=form.name if form.name and not form.is_thorough else None,
        customer_id=form.name if form.name and form.is_thorough else None,
        outcome=Outcome(form.outcome) if form.outcome else None,
        merchant_id=form.merchant or None,
        from_ms=None if day is None else start_of(day, zone),
        until_ms=None if day is None else start_of(day + timedelta(days=1), zone),
    )


ROUTES: tuple[ConsoleRoute, ...] = (
    ConsoleRoute(path="/decisions", method="GET", roles=ROLES, page=search_page, title="Decisions"),
)
