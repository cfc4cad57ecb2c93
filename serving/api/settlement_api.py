"""The HTTP edge of settlement, at /v1/settlement-notes: a merchant's note for a month, as JSON or CSV."""

from typing import Literal

from starlette.requests import Request
from starlette.responses import Response

from serving.domain.errors import ParametersInvalid
from serving.domain.field_errors import FieldError, pointer
from serving.domain.settlement_period import Period, PeriodInvalid
from serving.in_force.policy_watch import NoPolicyInForce
from serving.requests.http_requests import authenticated, json_answer
from serving.requests.route_declaration import Example, RouteDeclaration
from serving.requests.store_access import StoreAccess
from serving.settlement.note_answers import LINES_MAXIMUM, LINES_USUAL, NoteParameters, SettlementNote
from serving.settlement.note_csv import CSV_TYPE, csv_file
from serving.settlement.notes import PlaceInvalid, UnknownMerchant, place_of, settlement_note, whole_note
from serving.store.api_keys import Caller, Role

READERS = frozenset({Role.LEDGER, Role.ADMIN, Role.MERCHANT})
LIMIT_DIGITS = 6
MERCHANT_ID_MAXIMUM = 200


class SettlementApi:
    """The handler."""

    def __init__(self, access: StoreAccess) -> None:
        self._access = access

    def routes(self) -> tuple[RouteDeclaration, ...]:
        """The notes."""
        return (
            RouteDeclaration(
                method="GET",
                path="/v1/settlement-notes",
                roles=READERS,
                handler=self._note,
                name="settlementNote",
                summary="What was posted to a merchant in a month: lines, sums and balances; also as CSV",
                query=NoteParameters,
                answers=(SettlementNote,),
                also_as=(CSV_TYPE,),
                problems=(ParametersInvalid, UnknownMerchant, NoPolicyInForce),
                example=Example(query={"merchant_id": "merchant-1", "period": "2026-11", "limit": 200}),
            ),
        )

    async def _note(self, request: Request) -> Response:
        scope, caller = authenticated(request)
        cases = scope.cases
        given, period = _parameters(request, caller)
        merchant_id = given.merchant_id or ""
        if given.format == "csv":

            def file() -> Response:
                with whole_note(cases, merchant_id, period) as (note, lines):
                    return csv_file(note, lines)

            return await self._access.read_beside(file)
        return json_answer(
            await self._access.read_beside(
                lambda: settlement_note(cases, merchant_id, period, limit=given.limit, after=given.after)
            )
        )


def _parameters(request: Request, caller: Caller) -> tuple[NoteParameters, Period]:
    """What was asked for. Raises ParametersInvalid, and UnknownMerchant for another merchant's notes."""
    given = dict(request.query_params)
    known = NoteParameters.__struct_fields__
    errors = [
        FieldError(pointer=pointer(name), detail="there is no such parameter")
        for name in given
        if name not in known
    ]
    period = Period(year=2000, month=1)
    try:
        period = Period.parse(given.get("period", ""))
    except PeriodInvalid as problem:
        errors.append(FieldError(pointer="/period", detail=str(problem)))
    merchant_id = given.get("merchant_id", caller.merchant_id)
    if merchant_id is None or not 1 <= len(merchant_id) <= MERCHANT_ID_MAXIMUM:
        errors.append(FieldError(pointer="/merchant_id", detail="merchant_id: say whose note"))
    asked = given.get("format", "csv" if _prefers_csv(request.headers.get("accept", "")) else "json")
    form: Literal["json", "csv"] = "csv" if asked == "csv" else "json"
    if asked != form:
        errors.append(FieldError(pointer="/format", detail="format must be one of json, csv"))
    limit = given.get("limit", str(LINES_USUAL))
    is_number = limit.isascii() and limit.isdigit() and len(limit) <= LIMIT_DIGITS
    if not is_number or not 1 <= int(limit) <= LINES_MAXIMUM:
        errors.append(FieldError(pointer="/limit", detail=f"limit must be from 1 to {LINES_MAXIMUM}"))
    after = given.get("after")
    try:
        if after is not None:
            place_of(after)
    except PlaceInvalid as problem:
        errors.append(FieldError(pointer="/after", detail=str(problem)))
    if errors:
        raise ParametersInvalid(errors)
    if caller.role is Role.MERCHANT and merchant_id != caller.merchant_id:
        raise UnknownMerchant(f"there is no merchant {merchant_id}")
    if merchant_id is None or not merchant_id.isprintable():
        raise UnknownMerchant("there is no such merchant")
    read = NoteParameters(
        period=period.text, merchant_id=merchant_id, format=form, limit=int(limit), after=after
    )
    return read, period


def _prefers_csv(accept: str) -> bool:
    """Whether an Accept header wants CSV rather than JSON.

    >>> asked = ("text/csv", "*/*", "application/json, text/csv;q=0.5", "text/csv, */*;q=0.1")
    >>> [_prefers_csv(accept) for accept in asked]
    [True, False, False, True]
    """
    weights: dict[str, float] = {}
    for part in accept[:1000].split(","):
        kind, *parameters = (word.strip().lower() for word in part.split(";"))
        weight = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip() == "q":
                digits = value.strip()
                is_number = digits.isascii() and digits.replace(".", "", 1).isdecimal()
                weight = float(digits) if is_number else 0.0
        weights[kind] = max(weights.get(kind, 0.0), weight)
    csv = weights.get("text/csv", 0.0)
    json = max(weights.get(kind, 0.0) for kind in ("application/json", "application/*", "*/*"))
    return csv > json
