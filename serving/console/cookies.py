"""The cookies of the console: the session's, and the one that ties a sign-in form to its browser."""

from starlette.requests import Request
from starlette.responses import Response

from serving.console.templating import MOUNTED_AT
from serving.requests.request_scope import RequestScope

SESSION_COOKIE = "bonitas_session"
FORM_COOKIE = "bonitas_sign_in"
COOKIE_MAXIMUM = 200


def set_cookie(
    request: Request, scope: RequestScope, response: Response, name: str, value: str, *, max_age_s: int | None
) -> None:
    """A cookie for the console alone. Lax: a link in an e-mail leads whoever is signed in to the page."""
    response.set_cookie(
        name,
        value,
        max_age=max_age_s,
        path=MOUNTED_AT,
        secure=request.url.scheme == "https" or scope.public_url.startswith("https://"),
        httponly=True,
        samesite="lax",
    )
