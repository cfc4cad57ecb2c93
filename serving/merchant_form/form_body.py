"""Reading what a browser sends from the merchant's form, and nothing else."""

from dataclasses import dataclass
from urllib.parse import parse_qsl

FIELDS = ("kind", "carrier", "tracking_number", "note")


class FormUnreadable(Exception):
    """The body is not what the form sends."""


@dataclass(frozen=True, kw_only=True)
class EnteredAnswer:
    """The texts as they were entered, not judged yet; None for a field that was not sent."""

    kind: str | None = None
    carrier: str | None = None
    tracking_number: str | None = None
    note: str | None = None


def parse_form(content: bytes) -> EnteredAnswer:
    r"""Read an `application/x-www-form-urlencoded` body.

    Raises FormUnreadable for one that is malformed, not UTF-8, or has an unknown or repeated field.

    >>> parse_form(b"kind=service_cut&note=a%0D%0Ab").note
    'a\nb'
    """
    try:
        pairs = parse_qsl(
            content.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(content),
            errors="strict",
            max_num_fields=len(FIELDS),
        )
    except ValueError as error:
        raise FormUnreadable(f"the body is not a form: {error}") from error
    texts = dict(pairs)
    if len(texts) != len(pairs):
        raise FormUnreadable("a field was sent twice")
    if not texts.keys() <= set(FIELDS):
        raise FormUnreadable("there is no such field")
    # A browser sends CRLF for every line break, whichever the text had when it was first sent.
    return EnteredAnswer(**{name: text.replace("\r\n", "\n") for name, text in texts.items()})
