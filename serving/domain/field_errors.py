"""What is wrong with a field of what was sent, and where in it the field stands."""

from dataclasses import dataclass

NAME_CHARACTERS_MAXIMUM = 100
"""Of a field's name in a pointer: the sender knows the rest."""


@dataclass(frozen=True, kw_only=True)
class FieldError:
    """What is wrong with one field; `pointer` is a JSON pointer (RFC 6901) to it."""

    pointer: str
    detail: str


def pointer(*parts: str | int) -> str:
    """A JSON pointer; of a very long name its beginning.

    >>> pointer("events", 3, "a/b")
    '/events/3/a~1b'
    """
    return "".join("/" + cut_name(str(part)).replace("~", "~0").replace("/", "~1") for part in parts)


def cut_name(name: str) -> str:
    """What somebody else named, short enough to be told back to them."""
    return name if len(name) <= NAME_CHARACTERS_MAXIMUM else name[:NAME_CHARACTERS_MAXIMUM] + "…"
