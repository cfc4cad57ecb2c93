"""The HTTP edge of ledger rows, at /v1: rows come in, those that wait are listed, and one can be ended."""

import asyncio
import re
import time
from collections.abc import Iterator
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import Response

from data_contracts.contract import IDENTIFIER_PATTERN
from serving.events import event_intake, held_events
from serving.events.event_permissions import SENDERS
from serving.process.observability import HELD_EVENTS
from serving.requests.http_requests import authenticated, json_answer, json_body
from serving.requests.problem_details import FieldError, invalid_body, not_found, pointer
from serving.requests.route_declaration import EVENTS_BODY_BYTES, RouteDeclaration, shown, taken
from serving.requests.store_access import StoreAccess
from serving.store.api_keys import Role

BACK_OFFICE = frozenset({Role.LEDGER})
TURN_SECONDS = 0.01
LIMIT_DIGITS = 6
HELD_PARAMETERS = ("limit", "after", "contract", "customer_id")


Done = TypeVar("Done")


class EventApi:
    """The handlers."""

    def __init__(self, access: StoreAccess) -> None:
        self._access = access

    def routes(self) -> tuple[RouteDeclaration, ...]:
        """What is sent to the ledger, and what waits there."""
        return (
            taken("/v1/events", self._events, SENDERS, body_maximum_bytes=EVENTS_BODY_BYTES),
            shown("/v1/events/held", self._held, BACK_OFFICE),
            taken("/v1/events/held/{event_id}/end", self._end, BACK_OFFICE),
        )

    async def _events(self, request: Request) -> Response:
        scope, caller = authenticated(request)
        rows = event_intake.rows_of(json_body(request, values_maximum=event_intake.VALUES_MAXIMUM))
        event_intake.require_any_permitted(caller, rows)
        judged = await _in_turns(event_intake.judged(scope, rows, caller=caller))
        results = await self._access.write(lambda: event_intake.take_in(scope, judged, caller=caller))
        HELD_EVENTS.inc(sum(result["status"] == "held" for result in results))
        counts = {
            status: sum(result["status"] == status for result in results) for status in event_intake.STATUSES
        }
        return json_answer({**counts, "results": results})

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
            raise not_found("there is no such thing")
        reason = _reason(json_body(request))
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
    """The parameters that were given. Raises ProblemError (422) for what is none, or not valid."""
    given = dict(request.query_params)
    errors = [
        FieldError(pointer=pointer(name), detail="there is no such parameter")
        for name in given
        if name not in HELD_PARAMETERS
    ]
    limit = given.get("limit", "100")
    is_number = limit.isascii() and limit.isdigit() and len(limit) <= LIMIT_DIGITS
    if not is_number or not 1 <= int(limit) <= held_events.PAGE_MAXIMUM:
        maximum = held_events.PAGE_MAXIMUM
        errors.append(FieldError(pointer="/limit", detail=f"limit must be from 1 to {maximum}"))
    wrong = held_events.wrong_filters(
        contract_name=given.get("contract"), customer_id=given.get("customer_id")
    )
    errors += [FieldError(pointer=pointer(name), detail=detail) for name, detail in wrong.items()]
    if "after" in given and not given["after"].isprintable():
        errors.append(FieldError(pointer="/after", detail="after is none that a page named as next"))
    if errors:
        raise invalid_body(errors)
    return given


def _reason(body: object) -> str:
    if not isinstance(body, dict):
        raise invalid_body([FieldError(pointer="", detail="the body is a JSON object")])
    errors = [
        FieldError(pointer=pointer(name), detail="there is no such field")
        for name in body
        if name != "reason"
    ]
    reason = body.get("reason")
    if not isinstance(reason, str):
        errors.append(FieldError(pointer="/reason", detail="reason is required, as a text"))
    if errors or not isinstance(reason, str):
        raise invalid_body(errors)
    return reason
