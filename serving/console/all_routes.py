"""Every page and action of the console, in the order of the navigation."""

from serving.console import (
    case_page,
    decision_page,
    decision_search_page,
    dispute_page,
    dispute_queue_page,
    overview_page,
    queue_page,
    settlements_page,
)
from serving.console.page_request import ConsoleRoute

ALL_ROUTES: tuple[ConsoleRoute, ...] = (
    *queue_page.ROUTES,
    *case_page.ROUTES,
    *decision_search_page.ROUTES,
    *decision_page.ROUTES,
    *dispute_queue_page.ROUTES,
    *dispute_page.ROUTES,
    *settlements_page.ROUTES,
    *overview_page.ROUTES,
)
