"""The queue: the cases in the order of work, who holds each, and the next one for whoever is free."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from serving.cases.case_review import CaseMoved, claim_next
from serving.console import case_words
from serving.console.page_request import DECIDING, ConsoleRoute, PageRequest
from serving.domain.review_case import CaseOrigin, CaseState
from serving.requests.case_scope import CaseScope
from serving.store.case_queue import StoredCase
from serving.store.case_search import (
    LOOKED_AT_MAXIMUM,
    UNFINISHED,
    CaseCount,
    QueueFilter,
    QueuePage,
    QueuePlace,
    cases_named,
    count_cases,
    queue_page,
)

PAGE_SIZE = 50
REFRESH_SECONDS = 15
SEARCH_MAXIMUM = 100


@dataclass(frozen=True, kw_only=True)
class QueueQuery:
    """What the address of the page asks for; what cannot be read counts as not asked for.

    state: None for every case that is not closed. after: None for the first page.
    """

    state: CaseState | None
    origin: CaseOrigin | None
    merchant_id: str
    holder: str
    searched: str
    after: QueuePlace | None

    @classmethod
    def read(cls, page: PageRequest) -> "QueueQuery":
        """From the query string."""
        asked = page.request.query_params
        state = next((known for known in CaseState if known.value == asked.get("state")), None)
        wanted = UNFINISHED if state is None else (state,)
        after = _place(asked.get("after", ""))
        return cls(
            state=state,
            origin=next((known for known in CaseOrigin if known.value == asked.get("origin")), None),
            merchant_id=_text(asked.get("merchant", "")),
            holder=_text(asked.get("holder", "")),
            searched=_text(asked.get("search", "")),
            after=after if after is not None and after.state in wanted else None,
        )

    @property
    def filter(self) -> QueueFilter:
        """Which cases are wanted."""
        return QueueFilter(
            states=UNFINISHED if self.state is None else (self.state,),
            origin=self.origin,
            merchant_id=self.merchant_id or None,
            reviewer=self.holder or None,
        )

    def link(self, path: str = "/", **changes: str) -> str:
        """The address of this query; changes: fields that differ, empty for none. A search has no filter."""
        fields = (
            {"search": self.searched}
            if self.searched
            else {
                "state": "" if self.state is None else self.state.value,
                "origin": "" if self.origin is None else self.origin.value,
                "merchant": self.merchant_id,
                "holder": self.holder,
                "after": "" if self.after is None else place_text(self.after),
            }
        )
        query = urlencode({name: value for name, value in {**fields, **changes}.items() if value})
        return f"{path}?{query}" if query else path


def _text(asked: str) -> str:
    """What was typed, without what no id has and PostgreSQL cannot take."""
    return "".join(filter(str.isprintable, asked)).strip()[:SEARCH_MAXIMUM]


def place_text(place: QueuePlace) -> str:
    """A place in the queue as it stands in an address.

    >>> place_text(QueuePlace(priority=120, state=CaseState.OPEN, case_id="case_1.2"))
    '120.open.case_1.2'
    """
    return f"{place.priority}.{place.state.value}.{place.case_id}"


def _place(text: str) -> QueuePlace | None:
    priority, _, rest = text.partition(".")
    state_text, _, case_id = rest.partition(".")
    state = next((known for known in CaseState if known.value == state_text), None)
    is_number = priority.isascii() and priority.isdigit() and len(priority) <= 18
    if not is_number or state is None or not case_id or not case_id.isprintable():
        return None
    return QueuePlace(priority=int(priority), state=state, case_id=case_id)


@dataclass(frozen=True, kw_only=True)
class QueueView:
    """What the list shows. is_exhausted: that a filter gave up after many cases that it did not want."""

    cases: tuple[StoredCase, ...]
    after: QueuePlace | None
    counts: dict[CaseState, CaseCount]

    @property
    def is_exhausted(self) -> bool:
        """Whether so many cases were looked at that the list ends early."""
        return self.after is not None and len(self.cases) < PAGE_SIZE


def _view(scope: CaseScope, query: QueueQuery) -> QueueView:
    with scope.store.reading() as tx:
        found = (
            QueuePage(cases=tuple(cases_named(tx, query.searched)), after=None)
            if query.searched
            else queue_page(tx, query.filter, after=query.after, limit=PAGE_SIZE)
        )
        return QueueView(cases=found.cases, after=found.after, counts=count_cases(tx))


def _values(page: PageRequest, query: QueueQuery, view: QueueView) -> dict[str, Any]:
    return {
        "query": query,
        "view": view,
        "words": case_words,
        "states": tuple(CaseState),
        "unfinished_states": UNFINISHED,
        "origins": tuple(CaseOrigin),
        "next_link": None if view.after is None else query.link(after=place_text(view.after)),
        "looked_at_maximum": LOOKED_AT_MAXIMUM,
        "refresh_seconds": REFRESH_SECONDS,
        "now_ms": page.locale.now_ms,
    }


async def show_queue(page: PageRequest) -> Response:
    """The queue, or what a search found."""
    return await _shown(page, "queue.html")


async def show_rows(page: PageRequest) -> Response:
    """The list alone, for a page that fetches it anew."""
    return await _shown(page, "queue_rows.html")


async def show_counts(page: PageRequest) -> Response:
    """How many cases wait, as one sentence, for a page that fetches it anew."""
    return await _shown(page, "queue_counts.html")


async def _shown(page: PageRequest, template: str) -> Response:
    query = QueueQuery.read(page)
    view = await page.access.read_beside(lambda: _view(page.scope.cases, query))
    return page.render(template, **_values(page, query, view))


async def take_next(page: PageRequest) -> Response:
    """Claim the case that loses most by waiting, and go to it."""
    try:
        case = await page.access.write(lambda: claim_next(page.scope.cases, page.user.name))
    except CaseMoved:
        return page.redirect("/", notice="Others were faster again and again. Try again.")
    if case is None:
        return page.redirect("/", notice="No case is waiting.")
    return page.redirect(f"/cases/{case.case_id}", notice="The case is yours.")


ROUTES = (
    ConsoleRoute(path="/", method="GET", roles=DECIDING, page=show_queue, title="Queue"),
    ConsoleRoute(path="/queue/rows", method="GET", roles=DECIDING, page=show_rows),
    ConsoleRoute(path="/queue/counts", method="GET", roles=DECIDING, page=show_counts),
    ConsoleRoute(path="/queue/claim-next", method="POST", roles=DECIDING, page=take_next),
)
