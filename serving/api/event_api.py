"""The HTTP edge of ledger rows, at /v1: rows come in, those that wait are listed, and one can be ended."""

import asyncio
import re
import time
from collections.abc import Iterator
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import Response

from data_contracts.contract import IDENTIFIER_PATTERN
from serving.domain.errors import ParametersInvalid
from serving.domain.field_errors import FieldError, pointer
from serving.events import event_intake, held_events
from serving.events.event_answers import (
    EVENTS,
    PAGE_MAXIMUM,
    EndedEvent,
    EndReason,
    EventResults,
    HeldEvents,
    HeldParameters,
)
from serving.events.event_permissions import SENDERS
from serving.events.sent_rows import VALUES_MAXIMUM, rows_of
from serving.process.observability import HELD_EVENTS
from serving.requests.http_requests import authenticated, fields_of, json_answer, json_body
from serving.requests.list_parameters import unknown_parameters, wrong_limit
from serving.requests.route_declaration import (
    EVENTS_BODY_BYTES,
    ORDER_BODY_BYTES,
    Example,
    RouteDeclaration,
)
from serving.requests.store_access import StoreAccess
from serving.store.api_keys import Role

BACK_OFFICE = frozenset({Role.LEDGER})
TURN_SECONDS = 0.01
HELD_PARAMETERS = HeldParameters.__struct_fields__
EXAMPLE_PAYMENT = {
    "contract": "invoice_payments",
    "event_id": "payment-1001",
    "occurred_at": "2026-03-01T09:30:00Z",
    "customer_id": "customer-1",
    "invoice_id": "invoice-1001",
    "amount_cents": 4_990,
    "currency": "EUR",
    "method": "bank_transfer",
}


Done = TypeVar("Done")


class EventApi:
    """The handlers."""

    def __init__(self, access: StoreAccess) -> None:
        self._access = access

    def routes(self) -> tuple[RouteDeclaration, ...]:
        """What is sent to the ledger, and what waits there."""
        return (
            RouteDeclaration(
                method="POST",
                path="/v1/events",
                roles=SENDERS,
                body_maximum_bytes=EVENTS_BODY_BYTES,
                handler=self._events,
                name="events",
                summary="Ledger rows, one or many; each is judged for itself",
                body=EVENTS,
                answers=(EventResults,),
                example=Example(body={"events": [EXAMPLE_PAYMENT]}),
            ),
            RouteDeclaration(
                method="GET",
                path="/v1/events/held",
                roles=BACK_OFFICE,
                handler=self._held,
                name="heldEvents",
                summary="Rows that wait for something that has not arrived, in the order of their arrival",
                query=HeldParameters,
                answers=(HeldEvents,),
                problems=(ParametersInvalid,),
                example=Example(query={"limit": 100, "contract": "invoice_payments"}),
            ),
            RouteDeclaration(
                method="POST",
                path="/v1/events/held/{event_id}/end",
                roles=BACK_OFFICE,
                body_maximum_bytes=ORDER_BODY_BYTES,
                handler=self._end,
                name="endHeldEvent",
                summary="Move a row that waits to quarantine; twice is harmless, and it can be sent again",
                body=EndReason,
                answers=(EndedEvent,),
                problems=(held_events.UnknownHeldEvent,),
                example=Example(
                    path={"event_id": str(EXAMPLE_PAYMENT["event_id"])},
                    body={"reason": "booked for another shop"},
                ),
            ),
        )

    async def _events(self, request: Request) -> Response:
        scope, caller = authenticated(request)
        rows = rows_of(json_body(request, values_maximum=VALUES_MAXIMUM))
        event_intake.require_any_permitted(caller, rows)
        judged = await _in_turns(event_intake.judged(scope, rows, caller=caller))
        taken = await self._access.write(lambda: event_intake.take_in(scope, judged, caller=caller))
        HELD_EVENTS.inc(taken.held)
        return json_answer(taken)

    async def _held(self, request: Request) -> Response:
        scope, _ = authenticated(request)
        given = _held_parameters(request)
        return json_answer(
            await self._access.read(
                lambda: held_events.held_page(
                    scope.store,
                    limit=int(given.get("limit", 100)),
                    after=given.get("after"),
                    contract_name=given.get("contract"),
                    customer_id=given.get("customer_id"),
                )
            )
        )

    async def _end(self, request: Request) -> Response:
        scope, caller = authenticated(request)
        event_id = str(request.path_params["event_id"])
        if re.fullmatch(IDENTIFIER_PATTERN, event_id) is None:
            raise held_events.UnknownHeldEvent("there is no such thing")
        reason = fields_of(json_body(request), EndReason).reason
        return json_answer(
            await self._access.write(
                lambda: held_events.end_held(
                    scope.store, event_id, reason=reason, by=caller.name, now_ms=scope.now_ms()
                )
            )
        )


async def _in_turns(work: Iterator[Done]) -> list[Done]:
    """All of it, in turns with the other requests of this process."""
    done: list[Done] = []
    turn_ends_at = time.monotonic() + TURN_SECONDS
    for piece in work:
        done.append(piece)
        if time.monotonic() > turn_ends_at:
            await asyncio.sleep(0)
            turn_ends_at = time.monotonic() + TURN_SECONDS
    return done


def _held_parameters(request: Request) -> dict[str, str]:
    """The parameters that were given. Raises ParametersInvalid for what is none, or not valid."""
    given = dict(request.query_params)
    errors = unknown_parameters(request, HELD_PARAMETERS) + wrong_limit(request, PAGE_MAXIMUM)
    wrong = held_events.wrong_filters(
        contract_name=given.get("contract"), customer_id=given.get("customer_id")
    )
    errors += [FieldError(pointer=pointer(name), detail=detail) for name, detail in wrong.items()]
    if "after" in given and not given["after"].isprintable():
        errors.append(FieldError(pointer="/after", detail="after is none that a page named as next"))
    if errors:
        raise ParametersInvalid(errors)
    return given
