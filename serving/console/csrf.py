"""Only our own forms change anything: what a form must carry, and where it must come from."""

import hashlib
import hmac
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request

from serving.requests.request_scope import RequestScope

CSRF_FIELD = "csrf_token"


def csrf_token(secret: str) -> str:
    """The token that the forms of a session carry; it tells nothing about the session's secret."""
    return hmac.new(secret.encode(), b"csrf", hashlib.sha256).hexdigest()


def refuse_forged(request: Request, scope: RequestScope, token: str, fields: dict[str, str]) -> None:
    """Raises HTTPException (403) for what does not come from a form of this session."""
    given = fields.get(CSRF_FIELD, "")
    if not is_from_here(request, scope) or not hmac.compare_digest(given.encode(), token.encode()):
        raise HTTPException(
            403, "The form was not from this session. Go back, reload the page and try again."
        )


def is_token_of(secret: str, given: str) -> bool:
    """Whether a form carries the token of this secret; an empty secret has none."""
    return bool(secret) and hmac.compare_digest(given.encode(), csrf_token(secret).encode())


def is_from_here(request: Request, scope: RequestScope) -> bool:
    """Whether the browser says that the form was ours; old ones say nothing, and the token decides."""
    if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        return False
    origin = request.headers.get("origin")
    if origin is None:
        return True
    # A proxy in front may speak https with the browser and http with us: the host is what counts.
    return urlsplit(origin).netloc in {request.headers.get("host", ""), urlsplit(scope.public_url).netloc}
