"""Errors as the API tells them: application/problem+json (RFC 9457), with a pointer to each bad field."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from starlette.responses import Response

PROBLEM_TYPES = {
    "about:blank": "the HTTP status says it all",
    "urn:bonitas:problem:invalid-body": "one or more fields of the body are malformed",
    "urn:bonitas:problem:unauthenticated": "the API key is missing or not known",
    "urn:bonitas:problem:key-expired": "the API key was good until an instant that has passed",
    "urn:bonitas:problem:forbidden": "the API key's role does not allow it",
    "urn:bonitas:problem:idempotency-key-reused": "the Idempotency-Key came before, with another body",
    "urn:bonitas:problem:order-already-decided": "the order cannot be changed any more",
    "urn:bonitas:problem:too-many-questions": "a merchant's key asked too often; "
    "Retry-After says how long to wait",
    "urn:bonitas:problem:contradicting-answer": "the merchant answered before, and cannot take it back here",
    "urn:bonitas:problem:store-unavailable": "the store did not answer; nothing was changed",
    "urn:bonitas:problem:outcome-unknown": "the database did not say whether it kept the change; "
    "the same request with the same Idempotency-Key tells",
    "urn:bonitas:problem:not-ready": "the process is up, but cannot decide; `missing` names what it has not",
    "urn:bonitas:problem:no-policy": "the policy in force cannot be read; nothing was changed",
}


ERRORS_MAXIMUM = 50
"""So many are listed: whoever sends a thousand wrong fields learns no more from the last of them."""
NAME_CHARACTERS_MAXIMUM = 100
"""Of a field's name in a pointer: the sender knows the rest."""


@dataclass(frozen=True, kw_only=True)
class FieldError:
    """What is wrong with one field; `pointer` is a JSON pointer (RFC 6901) into the body."""

    pointer: str
    detail: str


class ProblemError(Exception):
    """Ends a request with a problem document. Of many errors the first are listed, and the others counted."""

    def __init__(
        self,
        status: int,
        title: str,
        *,
        kind: str | None = None,
        detail: str | None = None,
        errors: Sequence[FieldError] = (),
        errors_not_listed: int = 0,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(title)
        self.status = status
        self.title = title
        self.type = "about:blank" if kind is None else f"urn:bonitas:problem:{kind}"
        self.detail = detail
        self.errors = tuple(errors[:ERRORS_MAXIMUM])
        self.errors_not_listed = errors_not_listed + len(errors) - len(self.errors)
        self.headers = headers

    def response(self) -> Response:
        """The HTTP answer."""
        document: dict[str, object] = {"type": self.type, "title": self.title, "status": self.status}
        if self.detail is not None:
            document["detail"] = self.detail
        if self.errors:
            document["errors"] = [{"pointer": error.pointer, "detail": error.detail} for error in self.errors]
        if self.errors_not_listed:
            document["errors_not_listed"] = self.errors_not_listed
        return Response(
            msgspec.json.encode(document),
            status_code=self.status,
            headers=self.headers,
            media_type="application/problem+json",
        )


def invalid_body(errors: Sequence[FieldError], *, errors_not_listed: int = 0) -> ProblemError:
    """422: the body is JSON, but these fields are malformed. errors_not_listed: how many more there are."""
    return ProblemError(
        422,
        "The body is not valid",
        kind="invalid-body",
        errors=errors,
        errors_not_listed=errors_not_listed,
    )


def too_many_questions(*, retry_after_s: int) -> ProblemError:
    """429: a merchant's key asked as often as the policy allows. retry_after_s: whole seconds, at least 1."""
    return ProblemError(
        429,
        "Asked too often",
        kind="too-many-questions",
        detail="the key asked as often as it may for now; nothing was decided",
        headers={"Retry-After": str(retry_after_s)},
    )


def not_found(detail: str) -> ProblemError:
    """404: there is no such thing, or it is not the caller's to see."""
    return ProblemError(404, "Not found", detail=detail)


def pointer(*parts: str | int) -> str:
    """A JSON pointer; of a very long name its beginning.

    >>> pointer("events", 3, "a/b")
    '/events/3/a~1b'
    """
    return "".join("/" + cut_name(str(part)).replace("~", "~0").replace("/", "~1") for part in parts)


def cut_name(name: str) -> str:
    """What somebody else named, short enough to be told back to them."""
    return name if len(name) <= NAME_CHARACTERS_MAXIMUM else name[:NAME_CHARACTERS_MAXIMUM] + "…"
