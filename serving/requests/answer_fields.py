"""What the fields of answers and bodies of the API have in common; the published contract is made of it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import Meta

Instant = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
"""RFC 3339 in UTC, to the millisecond."""
Cents = Annotated[int, Meta(description="minor units of the currency")]
OwnNumber = Annotated[str | None, Meta(description="the merchant's own number; null without one")]


def one_of(codes: Iterable[str]) -> Meta:
    """Of a text: the closed list that it is of, where that is the keys of a table and no enumeration."""
    return Meta(extra_json_schema={"enum": sorted(codes)})


@dataclass(frozen=True, kw_only=True)
class NamedSchema:
    """A body or an answer that no Struct describes, since its JSON Schema has another home.

    schema: JSON Schema 2020-12; references go to the other named schemas, by `#/components/schemas/NAME`.
    """

    name: str
    schema: Callable[[], dict[str, Any]]
    refers_to: "tuple[NamedSchema, ...]" = ()


Described = type[msgspec.Struct] | NamedSchema
"""What the published contract says of a body or an answer."""
