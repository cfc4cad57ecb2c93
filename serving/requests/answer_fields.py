"""What the fields of answers and bodies of the API have in common; the published contract is made of it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import Meta

_DATE_TIME = {"format": "date-time"}


class Instant(int):
    """Milliseconds since 1970 UTC. On the wire it is RFC 3339 in UTC, to the millisecond: see `wire_form`."""

    __slots__ = ()


def instant_or_none(milliseconds: int | None) -> Instant | None:
    """An instant of an answer, None where there is none."""
    return None if milliseconds is None else Instant(milliseconds)


def schema_of_field(kind: type) -> dict[str, str]:
    """JSON Schema of a type that only answers have; msgspec knows all others."""
    if kind is Instant:
        return {**_DATE_TIME, "type": "string"}
    raise NotImplementedError(f"an answer holds no {kind.__name__}")


InstantText = Annotated[str, Meta(extra_json_schema=_DATE_TIME)]
"""The same as text already: of a decision, whose answer is kept word for word as it was given."""
Cents = Annotated[int, Meta(description="minor units of the currency")]
OwnNumber = Annotated[str | None, Meta(description="the merchant's own number; null without one")]


def one_of(codes: Iterable[str]) -> Meta:
    """Of a text: the closed list that it is of, where that is the keys of a table and no enumeration."""
    return Meta(extra_json_schema={"enum": sorted(codes)})


@dataclass(frozen=True, kw_only=True)
class NamedSchema:
    """A body or an answer that no Struct describes, since its JSON Schema has another home.

    schema: JSON Schema 2020-12; references go to the other named schemas, by `#/components/schemas/NAME`.
    media_type: of what is sent or answered.
    """

    name: str
    schema: Callable[[], dict[str, Any]]
    refers_to: "tuple[NamedSchema, ...]" = ()
    media_type: str = "application/json"


Described = type[msgspec.Struct] | NamedSchema
"""What the published contract says of a body or an answer."""
