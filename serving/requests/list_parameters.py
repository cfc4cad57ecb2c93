"""What the parameters of a list have in common: none that is unknown, and how many entries at most."""

from collections.abc import Collection

from starlette.requests import Request

from serving.domain.field_errors import FieldError, pointer

_LIMIT_DIGITS = 6


def unknown_parameters(request: Request, known: Collection[str]) -> list[FieldError]:
    """Each parameter that there is not."""
    return [
        FieldError(pointer=pointer(name), detail="there is no such parameter")
        for name in request.query_params
        if name not in known
    ]


def wrong_limit(request: Request, maximum: int) -> list[FieldError]:
    """A `limit` that is no number from 1 to the maximum; nothing where none was given."""
    limit = request.query_params.get("limit", "1")
    is_number = limit.isascii() and limit.isdigit() and len(limit) <= _LIMIT_DIGITS
    if is_number and 1 <= int(limit) <= maximum:
        return []
    return [FieldError(pointer="/limit", detail=f"limit must be from 1 to {maximum}")]
