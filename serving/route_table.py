"""Every route of the service, in one list: what the door lets in, and a test walks.

The rows of the API stand beside their handlers, those of the console beside its pages. Here they come
together with what BentoML mounts by itself: what of that is not named here, or is closed, is not reachable.
"""

import functools
from collections.abc import Callable

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from serving.api.case_api import CaseApi
from serving.api.dispute_api import DisputeApi
from serving.api.event_api import EventApi
from serving.api.fulfilment_api import FulfilmentApi
from serving.api.investigation_api import InvestigationApi
from serving.api.invoice_api import InvoiceApi
from serving.api.open_items_api import OpenItemsApi
from serving.api.openapi import openapi_document
from serving.api.return_api import ReturnApi
from serving.api.score_app import ScoreApi
from serving.api.settlement_api import SettlementApi
from serving.api.stop_request_api import StopRequestApi
from serving.api.topic_api import TopicApi
from serving.console.all_routes import ALL_ROUTES
from serving.console.console_app import console_routes
from serving.merchant_form.dispute_form_app import DISPUTE_FORM_ROUTES
from serving.merchant_form.form_app import FORM_ROUTES
from serving.merchant_form.open_items_app import OPEN_ITEMS_ROUTES
from serving.requests.answer_fields import NamedSchema
from serving.requests.route_declaration import (
    EVERY_ROLE,
    ORDER_BODY_BYTES,
    DoorKind,
    Example,
    Handler,
    RouteDeclaration,
)
from serving.requests.store_access import StoreAccess
from serving.store.api_keys import Role

CONTRACT = NamedSchema(
    name="Contract", schema=lambda: {"type": "object", "description": "a document of OpenAPI 3.1"}
)


def route_table(
    access: StoreAccess, *, ready: Callable[[], Response], metrics: Handler
) -> tuple[RouteDeclaration, ...]:
    """All declarations. ready: what `/readyz` answers now."""

    @functools.cache
    def contract() -> bytes:
        return msgspec.json.encode(openapi_document(routes))

    async def show_contract(_request: Request) -> Response:
        return Response(contract(), media_type="application/json")

    routes = (
        *ScoreApi(access).routes(),
        RouteDeclaration(
            method="GET",
            path="/v1/openapi.json",
            door=DoorKind.OPEN,
            handler=show_contract,
            name="openapi",
            summary="This document",
            answers=(CONTRACT,),
            example=Example(),
        ),
        *FulfilmentApi(access).routes(),
        *ReturnApi(access).routes(),
        *EventApi(access).routes(),
        *InvoiceApi(access).routes(),
        *CaseApi(access).routes(),
        *InvestigationApi(access).routes(),
        *StopRequestApi(access).routes(),
        *SettlementApi(access).routes(),
        *DisputeApi(access).routes(),
        *OpenItemsApi(access).routes(),
        *TopicApi(access).routes(),
        *console_routes(ALL_ROUTES),
        *FORM_ROUTES,
        *DISPUTE_FORM_ROUTES,
        *OPEN_ITEMS_ROUTES,
        *_service_routes(ready, metrics),
        *BENTOML_ROUTES,
    )
    return routes


def _service_routes(ready: Callable[[], Response], metrics: Handler) -> tuple[RouteDeclaration, ...]:
    """What is asked of the process itself. Three of them BentoML would answer otherwise.

    Its page at `/` loads scripts from elsewhere; its `/readyz` says only that the process runs, as `/livez`
    does; its `/metrics` go by the path, which holds ids.
    """

    async def readyz(_request: Request) -> Response:
        return ready()

    async def front_page(_request: Request) -> Response:
        return RedirectResponse("/console/")

    return (
        RouteDeclaration(method="GET", path="/", door=DoorKind.OPEN, handler=front_page),
        RouteDeclaration(method="GET", path="/readyz", door=DoorKind.OPEN, handler=readyz),
        RouteDeclaration(
            method="GET",
            path="/metrics",
            door=DoorKind.API_KEY_OR_LOOPBACK,
            roles=frozenset({Role.ADMIN}),
            handler=metrics,
        ),
    )


BENTOML_ROUTES = (
    RouteDeclaration(method="GET", path="/livez", door=DoorKind.OPEN),
    RouteDeclaration(method="GET", path="/healthz", door=DoorKind.OPEN),
    # BentoML's own client reads the schema when it starts, with its token, and then calls `score`.
    RouteDeclaration(method="GET", path="/schema.json", roles=EVERY_ROLE, is_answered_without_store=True),
    RouteDeclaration(method="POST", path="/score", body_maximum_bytes=ORDER_BODY_BYTES, same_as="/v1/score"),
    # The API has its own contract, /v1/openapi.json; BentoML's knows only `score`, and its pages load
    # scripts.
    RouteDeclaration(method="GET", path="/docs.json", door=DoorKind.CLOSED),
    RouteDeclaration(method="GET", path="/static_content/{rest:path}", door=DoorKind.CLOSED),
)
"""What BentoML mounts by itself, but for what `_service_routes` answers in its stead."""


def routes_page() -> str:
    """The table of all routes for readers, in Markdown (docs/routes.md)."""

    async def metrics(_request: Request) -> Response:
        return Response()

    # Of a service that is never started: only what is declared is read.
    routes = route_table(StoreAccess(), ready=Response, metrics=metrics)
    return "\n".join(
        [
            "# Every route, who is let in, and with how much",
            "",
            "Written by `make docs` from the declarations; a test holds both to what the service mounts.",
            "What is not named here is not there. HEAD is answered where GET is.",
            "",
            "| route | let in by | roles | body at most |",
            "|---|---|---|---|",
            *(_row(route) for route in routes),
            "",
        ]
    )


def _row(route: RouteDeclaration) -> str:
    roles = ", ".join(sorted(role.value for role in route.roles)) or "-"
    maximum = f"{route.body_maximum_bytes // 1024} KiB" if route.body_maximum_bytes else "-"
    door = route.door.value if route.same_as is None else f"as {route.same_as}"
    return f"| `{route.method} {route.path}` | {door} | {roles} | {maximum} |"
