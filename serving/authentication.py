"""Who calls: API keys as bearer tokens, their roles, and what a role may see."""

import hashlib
import time
from collections.abc import Callable, Mapping
from typing import Any, assert_never

from serving.problem_details import ProblemError
from serving.store.api_keys import Caller, Role

REMEMBERED_SECONDS = 10.0
"""A key that was found good is not looked up again for so long; a revoked one works on for at most that."""

MERCHANT_SEES = ("decision_id", "order_id", "merchant_order_number", "outcome", "alternatives")
"""The fields of a decision that a merchant's key gets to see."""


def may_see_order_of(caller: Caller, merchant_id: str) -> bool:
    """Whether orders of this merchant are the caller's business."""
    return caller.role in {Role.CHECKOUT, Role.FRAUD} or caller.merchant_id == merchant_id


def view_for(caller: Caller, answer: Mapping[str, Any]) -> dict[str, Any]:
    """The part of an answer that the caller may see."""
    match caller.role:
        case Role.CHECKOUT | Role.FRAUD:
            return dict(answer)
        case Role.MERCHANT:
            return {name: answer[name] for name in MERCHANT_SEES if name in answer}
        case Role.LEDGER | Role.ADMIN:
            return {}
        case _:
            assert_never(caller.role)


KeyLookup = Callable[[str], Caller | None]
"""Finds the caller of a secret in the store; None when there is none."""


class Authentication:
    """Verifies bearer tokens; remembers good keys by their SHA-256 for a few seconds."""

    def __init__(self, lookup: KeyLookup, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._lookup = lookup
        self._monotonic = monotonic
        self._known: dict[bytes, tuple[Caller, float]] = {}

    def caller(self, authorization: str | None) -> Caller:
        """The caller of a request by its Authorization header. Raises ProblemError (401)."""
        scheme, _, secret = (authorization or "").partition(" ")
        secret = secret.strip()
        if scheme.lower() != "bearer" or not secret:
            raise _unauthenticated("send the API key as `Authorization: Bearer KEY`")
        digest = hashlib.sha256(secret.encode()).digest()
        known = self._known.get(digest)
        if known is not None and known[1] > self._monotonic():
            return known[0]
        caller = self._lookup(secret)
        if caller is None:
            self._known.pop(digest, None)
            raise _unauthenticated("the API key is not known or was revoked")
        self._known[digest] = (caller, self._monotonic() + REMEMBERED_SECONDS)
        return caller


def _unauthenticated(detail: str) -> ProblemError:
    return ProblemError(
        401,
        "Authentication is needed",
        kind="unauthenticated",
        detail=detail,
        headers={"WWW-Authenticate": "Bearer"},
    )


def forbidden(detail: str) -> ProblemError:
    """403: the key is good, but not for this."""
    return ProblemError(403, "The API key does not allow this", kind="forbidden", detail=detail)
