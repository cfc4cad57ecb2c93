"""The queue of the service desk: disputes by tabs, the work items in the order of their due time."""

from collections.abc import Mapping
from types import MappingProxyType

from starlette.responses import Response

from serving.console import dispute_words
from serving.console.page_request import ConsoleRoute, PageRequest
from serving.disputes import service_desk
from serving.domain.console_user import ConsoleRole
from serving.domain.dispute import EXPIRING, WORK_ITEMS, DisputeState

SEEING_DISPUTES = frozenset({ConsoleRole.SERVICE, ConsoleRole.ADMIN})
LIST_MAXIMUM = 500
OPEN, MINE = "open", "mine"

TABS: Mapping[str, tuple[str, frozenset[DisputeState]]] = MappingProxyType(
    {
        OPEN: ("To do", WORK_ITEMS),
        MINE: ("Mine", WORK_ITEMS),
        "complaints": ("Complaints", frozenset({DisputeState.COMPLAINT, DisputeState.REFERRED})),
        "waiting": ("Waiting", EXPIRING | {DisputeState.WITH_FRAUD_TEAM}),
        "closed": ("Closed", frozenset({DisputeState.CLOSED})),
    }
)
"""By their name in the address: what each is called, and which states it shows."""


async def show_disputes(page: PageRequest) -> Response:
    """One tab of the queue; an unknown one counts as the first."""
    asked = page.request.query_params.get("show", OPEN)
    shown = asked if asked in TABS else OPEN
    states = TABS[shown][1]
    found = await page.access.read_beside(
        lambda: service_desk.queue(page.scope.cases, limit=LIST_MAXIMUM, states=states)
    )
    disputes = found.disputes
    if shown == MINE:
        disputes = tuple(one for one in disputes if one.claimed_by == page.user.name)
    return page.render(
        "disputes.html",
        tabs=[
            (name, title, None if name == MINE else sum(found.counts[state.value] for state in wanted))
            for name, (title, wanted) in TABS.items()
        ],
        shown=shown,
        disputes=disputes,
        is_cut=len(found.disputes) >= LIST_MAXIMUM,
        list_maximum=LIST_MAXIMUM,
        words=dispute_words,
    )


ROUTES = (
    ConsoleRoute(path="/disputes", method="GET", roles=SEEING_DISPUTES, page=show_disputes, title="Disputes"),
)
