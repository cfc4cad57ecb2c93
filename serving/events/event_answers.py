"""What the use cases of ledger rows answer, and what they are sent."""

import enum
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from data_contracts.between_rows.waits import WaitKind
from data_contracts.json_schema import json_schema
from data_contracts.ledger_contracts import ALL_CONTRACTS, CONTRACTS
from serving.requests.answer_fields import Instant, NamedSchema, one_of

ROWS_MAXIMUM = 1000
"""Of one body."""
PAGE_MAXIMUM = 500
"""Of held rows."""
REASON_CHARACTERS_MAXIMUM = 2000

ContractName = Annotated[str, one_of(CONTRACTS)]


class RowStatus(enum.StrEnum):
    """What became of a row that was sent."""

    ACCEPTED = "accepted"
    REPEATED = "repeated"
    HELD = "held"
    REJECTED = "rejected"


class RowError(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with one field; pointer: into the body that was sent."""

    pointer: str
    detail: str


class WaitsFor(msgspec.Struct, frozen=True, kw_only=True):
    """What a row waits for before it can enter the ledger."""

    kind: WaitKind
    id: str


class EventResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one row. event_id and contract are null where the row names none."""

    event_id: str | None
    contract: ContractName | None
    status: RowStatus
    errors: tuple[RowError, ...] | UnsetType = UNSET
    errors_not_listed: (
        Annotated[int, Meta(ge=1, description="how many more errors the row has")] | UnsetType
    ) = UNSET
    detail: Annotated[str, Meta(description="as which event a transfer came before")] | UnsetType = UNSET
    waits_for: WaitsFor | UnsetType = UNSET
    readmitted: (
        Annotated[tuple[str, ...], Meta(description="event_ids of held rows that entered with this one")]
        | UnsetType
    ) = UNSET


class EventResults(msgspec.Struct, frozen=True, kw_only=True):
    """One result for each row, in the order in which they were sent, and how many there are of each kind."""

    accepted: int
    repeated: int
    held: int
    rejected: int
    results: tuple[EventResult, ...]


class HeldFor(msgspec.Struct, frozen=True, kw_only=True):
    """What a held row waits for, in words too."""

    kind: WaitKind
    id: str
    text: str


class HeldEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A row that waits. A merchant's own row names its merchant, every other its customer."""

    event_id: str
    contract: ContractName
    customer_id: str | UnsetType = UNSET
    merchant_id: str | UnsetType = UNSET
    ids: dict[str, str]
    waits_for: HeldFor
    since: Instant


class HeldEvents(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that wait, in the order of their arrival, and how many wait for what in all."""

    held: tuple[HeldEvent, ...]
    next: Annotated[str | None, Meta(description="the parameter `after` of the next page; null on the last")]
    counts: dict[str, int]


class HeldParameters(msgspec.Struct, frozen=True, kw_only=True):
    """Which rows that wait are listed."""

    limit: Annotated[int, Meta(ge=1, le=PAGE_MAXIMUM)] = 100
    after: Annotated[str, Meta(description="`next` of the page before")] | UnsetType = UNSET
    contract: ContractName | UnsetType = UNSET
    customer_id: str | UnsetType = UNSET


class EndReason(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why nobody waits any longer for what a row needs."""

    reason: Annotated[str, Meta(min_length=1, max_length=REASON_CHARACTERS_MAXIMUM, pattern=r"\S")]


class EndedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A row that waited and is in quarantine now."""

    event_id: str
    contract: ContractName
    ended_at: Instant
    ended_by: str
    reason: str


def _row_of(name: str) -> NamedSchema:
    def schema() -> dict[str, object]:
        found = {key: value for key, value in json_schema(CONTRACTS[name]).items() if key != "$schema"}
        found["properties"] = {"contract": {"type": "string", "const": name}, **found["properties"]}
        found["required"] = ["contract", *found["required"]]
        return found

    return NamedSchema(name=f"event_{name}", schema=schema)


_ROWS = tuple(_row_of(contract.name) for contract in ALL_CONTRACTS)

EVENT = NamedSchema(
    name="Event",
    schema=lambda: {
        "oneOf": [{"$ref": f"#/components/schemas/{row.name}"} for row in _ROWS],
        "discriminator": {
            "propertyName": "contract",
            "mapping": {
                contract.name: f"#/components/schemas/event_{contract.name}" for contract in ALL_CONTRACTS
            },
        },
    },
    refers_to=_ROWS,
)
"""One ledger row of any contract."""

EVENTS = NamedSchema(
    name="Events",
    schema=lambda: {
        "oneOf": [
            {"$ref": "#/components/schemas/Event"},
            {
                "type": "object",
                "properties": {
                    "events": {
                        "type": "array",
                        "items": {"$ref": "#/components/schemas/Event"},
                        "maxItems": ROWS_MAXIMUM,
                    }
                },
                "required": ["events"],
                "additionalProperties": False,
            },
        ]
    },
    refers_to=(EVENT,),
)
"""One row, or many."""
