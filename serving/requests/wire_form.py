"""What an answer looks like once it leaves: JSON with each instant as text, made here and once.

Inside, answers are Structs with instants in milliseconds.
"""

from typing import Any, TypeVar

import msgspec

from data_contracts.instants import rfc3339, timestamp_ms
from serving.requests.answer_fields import Instant

Answer = TypeVar("Answer")


def encoded(answer: object) -> bytes:
    """An answer as JSON.

    >>> encoded({"at": Instant(1767225600123)})
    b'{"at":"2026-01-01T00:00:00.123Z"}'
    """
    return _encode(answer)


def decoded(text: str | bytes, answer: type[Answer]) -> Answer:
    """The answer that was encoded. Raises msgspec.ValidationError for what is none of its type.

    >>> decoded(b'"2026-01-01T00:00:00.123Z"', Instant)
    1767225600123
    """
    return msgspec.json.decode(text, type=answer, dec_hook=_from_text)


def in_plain_values(answer: object) -> Any:
    """An answer as dicts, lists, texts and numbers, as `encoded` would write them."""
    return msgspec.to_builtins(answer, enc_hook=_as_text)


def _as_text(value: object) -> str:
    if isinstance(value, Instant):
        return rfc3339(value)
    raise NotImplementedError(f"an answer holds no {type(value).__name__}")


# Made once: every answer of the checkout passes here.
_encode = msgspec.json.Encoder(enc_hook=_as_text).encode


def _from_text(kind: type, value: object) -> Instant:
    at_ms = timestamp_ms(value) if kind is Instant and isinstance(value, str) else None
    if at_ms is None:
        raise ValueError(f"{value!r} is no {kind.__name__}")
    return Instant(at_ms)
