"""Who calls: API keys as bearer tokens, their roles, and what a role may see."""

import hashlib
import time
from collections.abc import Callable

from data_contracts.instants import rfc3339
from serving.requests.problem_details import (
    FORBIDDEN,
    KEY_EXPIRED,
    UNAUTHENTICATED,
    ProblemError,
    ProblemType,
)
from serving.store.api_keys import USE_NOTED_EVERY_MS, Caller, Role

REMEMBERED_SECONDS = 10.0
"""A key that was found good is not looked up again for so long; a revoked one works on for at most that."""


def may_see_order_of(caller: Caller, merchant_id: str) -> bool:
    """Whether orders of this merchant are the caller's business."""
    return caller.role in {Role.CHECKOUT, Role.FRAUD} or caller.merchant_id == merchant_id


KeyLookup = Callable[[str], Caller | None]
"""Finds the caller of a secret in the store; None when there is none."""


class Authentication:
    """Verifies bearer tokens; remembers good keys by their SHA-256 for a few seconds.

    now_ms: the clock by which a key expires, to the millisecond also while it is remembered.
    """

    def __init__(
        self,
        lookup: KeyLookup,
        *,
        now_ms: Callable[[], int],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lookup = lookup
        self._now_ms = now_ms
        self._monotonic = monotonic
        self._known: dict[bytes, tuple[Caller, float]] = {}
        self._noted_until: dict[str, float] = {}

    def caller(self, authorization: str | None) -> Caller:
        """The caller of a request by its Authorization header. Raises ProblemError (401)."""
        scheme, _, secret = (authorization or "").partition(" ")
        secret = secret.strip()
        if scheme.lower() != "bearer" or not secret:
            raise _unauthenticated("send the API key as `Authorization: Bearer KEY`")
        digest = hashlib.sha256(secret.encode()).digest()
        known = self._known.get(digest)
        if known is not None and known[1] > self._monotonic():
            return self._unexpired(known[0])
        caller = self._lookup(secret)
        if caller is None:
            self._known.pop(digest, None)
            raise _unauthenticated("the API key is not known or was revoked")
        self._known[digest] = (caller, self._monotonic() + REMEMBERED_SECONDS)
        return self._unexpired(caller)

    def is_use_to_be_noted(self, caller: Caller) -> bool:
        """Whether to keep that the key was used; True at most once a minute for each key."""
        now = self._monotonic()
        if self._noted_until.get(caller.name, 0.0) > now:
            return False
        self._noted_until[caller.name] = now + USE_NOTED_EVERY_MS / 1_000
        return True

    def _unexpired(self, caller: Caller) -> Caller:
        if caller.expires_at_ms is not None and caller.has_expired(self._now_ms()):
            raise _unauthenticated(
                f"the key expired at {rfc3339(caller.expires_at_ms)}; ask for another",
                problem=KEY_EXPIRED,
            )
        return caller


def _unauthenticated(detail: str, *, problem: ProblemType = UNAUTHENTICATED) -> ProblemError:
    return ProblemError(problem, detail=detail, headers={"WWW-Authenticate": "Bearer"})


def forbidden(detail: str) -> ProblemError:
    """403: the key is good, but not for this."""
    return ProblemError(FORBIDDEN, detail=detail)
