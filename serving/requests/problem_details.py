"""Errors as the API tells them: application/problem+json (RFC 9457), with a pointer to each bad field."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType
from starlette.responses import Response

from serving.domain.field_errors import FieldError


@dataclass(frozen=True, kw_only=True)
class ProblemType:
    """One cause why a request is not answered as it was asked. kind: the end of its `type`, "" for a status
    that says it all. meaning: for whoever reads the contract.
    """

    kind: str
    status: int
    title: str
    meaning: str

    @property
    def uri(self) -> str:
        """The `type` of a problem document."""
        return f"urn:bonitas:problem:{self.kind}" if self.kind else "about:blank"


IDEMPOTENCY_KEY_INVALID = ProblemType(
    kind="idempotency-key-invalid",
    status=400,
    title="The Idempotency-Key is not valid",
    meaning="the Idempotency-Key is empty, too long or not printable",
)
HEADER_REPEATED = ProblemType(
    kind="header-repeated",
    status=400,
    title="A header is there more than once",
    meaning="a header of which one value counts, such as Authorization, was sent more than once",
)
UNAUTHENTICATED = ProblemType(
    kind="unauthenticated",
    status=401,
    title="Authentication is needed",
    meaning="the API key is missing, not known or revoked",
)
KEY_EXPIRED = ProblemType(
    kind="key-expired",
    status=401,
    title="The API key has expired",
    meaning="the API key was good until an instant that has passed",
)
FORBIDDEN = ProblemType(
    kind="forbidden",
    status=403,
    title="The API key does not allow this",
    meaning="the API key's role or merchant does not allow it",
)
NO_SUCH_ROUTE = ProblemType(kind="", status=404, title="Not found", meaning="there is no such route")
METHOD_NOT_ALLOWED = ProblemType(
    kind="", status=405, title="Method not allowed", meaning="the route takes other methods"
)
BODY_TOO_SLOW = ProblemType(
    kind="body-too-slow",
    status=408,
    title="The body came too slowly",
    meaning="the body did not come in time; nothing was begun",
)
BODY_TOO_LARGE = ProblemType(
    kind="body-too-large",
    status=413,
    title="The body is too large",
    meaning="the body is larger than the route takes",
)
UNSUPPORTED_MEDIA_TYPE = ProblemType(
    kind="unsupported-media-type",
    status=415,
    title="Unsupported media type",
    meaning="the body is not application/json in UTF-8, or it is compressed",
)
INVALID_BODY = ProblemType(
    kind="invalid-body",
    status=422,
    title="The body is not valid",
    meaning="one or more fields of the body are malformed; each is named",
)
INVALID_PARAMETERS = ProblemType(
    kind="invalid-parameters",
    status=422,
    title="The parameters are not valid",
    meaning="one or more parameters of the query are malformed; each is named",
)
UNEXPECTED = ProblemType(
    kind="", status=500, title="Something went wrong", meaning="nobody expected this; it was noted"
)
STARTING = ProblemType(
    kind="starting",
    status=503,
    title="The service is starting",
    meaning="the process has begun a moment ago; nothing was done, try again",
)
ERRORS_MAXIMUM = 50
"""So many are listed: whoever sends a thousand wrong fields learns no more from the last of them."""


class FieldMistake(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with one field; pointer: a JSON pointer (RFC 6901) to it."""

    pointer: str
    detail: str


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """A problem document (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str | UnsetType = UNSET
    errors: Annotated[tuple[FieldMistake, ...], Meta(max_length=ERRORS_MAXIMUM)] | UnsetType = UNSET
    errors_not_listed: (
        Annotated[int, Meta(ge=1, description="how many more errors there are")] | UnsetType
    ) = UNSET


class ProblemError(Exception):
    """Ends a request with a problem document. Of many errors the first are listed, and the others counted.

    title: where it says more than that of the type.
    """

    def __init__(
        self,
        problem: ProblemType,
        *,
        title: str | None = None,
        detail: str | None = None,
        errors: Sequence[FieldError] = (),
        errors_not_listed: int = 0,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(title or problem.title)
        self.status = problem.status
        self.title = title or problem.title
        self.type = problem.uri
        self.detail = detail
        self.errors = tuple(errors[:ERRORS_MAXIMUM])
        self.errors_not_listed = errors_not_listed + len(errors) - len(self.errors)
        self.headers = headers

    def response(self) -> Response:
        """The HTTP answer."""
        document = Problem(
            type=self.type,
            title=self.title,
            status=self.status,
            detail=UNSET if self.detail is None else self.detail,
            errors=tuple(FieldMistake(pointer=one.pointer, detail=one.detail) for one in self.errors)
            or UNSET,
            errors_not_listed=self.errors_not_listed or UNSET,
        )
        return Response(
            msgspec.json.encode(document),
            status_code=self.status,
            headers=self.headers,
            media_type="application/problem+json",
        )
