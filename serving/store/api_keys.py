"""API keys of callers: who holds which, until when, and when it was used; only their SHA-256 is stored."""

import enum
import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from data_contracts.instants import MINUTE_MS
from data_contracts.merchants import MERCHANTS
from serving.store.errors import ApiKeyError
from serving.store.standing_rows import standing_row
from serving.store.store import Store, Transaction

USE_NOTED_EVERY_MS = MINUTE_MS
"""The last use of a key is kept to the minute: no request waits for it, and few write it."""


class Role(enum.Enum):
    """What a key is for."""

    CHECKOUT = "checkout"
    """Scores, confirms and cancels, sees the whole answer, and tells what happened to its orders."""
    MERCHANT = "merchant"
    """Outcome and alternatives of its own orders only."""
    LEDGER = "ledger"
    """The provider's back office: feeds the book, but not what the fraud team decides."""
    PORTAL = "portal"
    """The provider's customer app and service desk: acts for a customer whom each request names."""
    FRAUD = "fraud"
    """The fraud team: review cases and findings, and nothing else that decides or records orders."""
    ADMIN = "admin"
    """Reads how the service is doing: metrics, and nothing about anybody."""


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who holds a key.

    merchant_id: whose orders a merchant key may see, None for the other roles. expires_at_ms: from when on
    the secret that was shown opens nothing, None where it is good until it is revoked.
    """

    name: str
    role: Role
    merchant_id: str | None
    expires_at_ms: int | None = None

    def has_expired(self, now_ms: int) -> bool:
        """Whether the secret opens nothing any more."""
        return self.expires_at_ms is not None and now_ms >= self.expires_at_ms


@dataclass(frozen=True, kw_only=True)
class ApiKey:
    """A key as its list shows it; instants are None for what has not happened or never will.

    last_used_at_ms: to the minute. replaced_until_ms: how long the secret before the present one works on.
    """

    name: str
    role: Role
    merchant_id: str | None
    created_at_ms: int
    expires_at_ms: int | None
    revoked_at_ms: int | None
    last_used_at_ms: int | None
    replaced_until_ms: int | None

    def state(self, now_ms: int) -> str:
        """In one word: revoked, expired, or in force."""
        if self.revoked_at_ms is not None:
            return "revoked"
        has_expired = self.expires_at_ms is not None and now_ms >= self.expires_at_ms
        return "expired" if has_expired else "in force"


def create_key(
    store: Store,
    *,
    name: str,
    role: str,
    merchant_id: str | None,
    now_ms: int,
    expires_at_ms: int | None = None,
) -> str:
    """Create a key and return its secret, which is not stored.

    expires_at_ms: None for a key that works until it is revoked.
    Raises ApiKeyError for a name that is taken or odd, a merchant key without a merchant that the ledger
    knows, or an expiry that has passed.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,39}", name):
        raise ApiKeyError("name: lower-case letters, digits and hyphens, at most 40")
    if role not in {known.value for known in Role}:
        raise ApiKeyError(f"role: must be one of {', '.join(known.value for known in Role)}")
    if (role == Role.MERCHANT.value) != (merchant_id is not None):
        raise ApiKeyError("merchant: a key of the role merchant, and only such a key, names its merchant")
    _require_future(expires_at_ms, now_ms)
    secret = _new_secret(name)
    with store.writing(f"api-key-{name}") as tx:
        if merchant_id is not None and standing_row(tx, MERCHANTS, merchant_id) is None:
            raise ApiKeyError(f"merchant: the ledger knows no merchant {merchant_id}")
        if tx.execute("SELECT 1 FROM api_keys WHERE name = ?", (name,)):
            raise ApiKeyError(f"name: there is a key called {name} already")
        tx.execute(
            "INSERT INTO api_keys (key_sha256, name, role, merchant_id, created_at_ms, expires_at_ms) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (_sha256(secret), name, role, merchant_id, now_ms, expires_at_ms),
        )
    return secret


def rotate_key(
    store: Store, *, name: str, now_ms: int, overlap_ms: int, expires_at_ms: int | None = None
) -> str:
    """Give a key another secret and return it; the one before works on for `overlap_ms`, and no longer.

    Name, role and all that goes by the name stay. A secret from an earlier rotation keeps its own end.
    expires_at_ms: of the new secret; None for that of the key as it is.
    Raises ApiKeyError where there is no key in force of that name, or for an expiry that has passed.
    """
    _require_future(expires_at_ms, now_ms)
    secret = _new_secret(name)
    with store.writing(f"api-key-{name}") as tx:
        rows = tx.execute(
            "SELECT key_sha256, expires_at_ms FROM api_keys WHERE name = ? AND revoked_at_ms IS NULL",
            (name,),
        )
        if not rows:
            raise ApiKeyError(f"name: there is no key in force called {name}")
        before_sha256, expired_at_ms = rows[0][0], _whole(rows[0][1])
        if expires_at_ms is None and expired_at_ms is not None and expired_at_ms <= now_ms:
            raise ApiKeyError(f"expires: {name} has expired; say until when the new secret works")
        ends_at_ms = now_ms + overlap_ms if expired_at_ms is None else min(now_ms + overlap_ms, expired_at_ms)
        tx.execute(
            "INSERT INTO replaced_api_keys (key_sha256, name, replaced_at_ms, ends_at_ms) "
            "VALUES (?, ?, ?, ?)",
            (before_sha256, name, now_ms, ends_at_ms),
        )
        tx.execute(
            "UPDATE api_keys SET key_sha256 = ?, expires_at_ms = coalesce(?, expires_at_ms) WHERE name = ?",
            (_sha256(secret), expires_at_ms, name),
        )
    return secret


def revoke_key(store: Store, *, name: str, now_ms: int) -> None:
    """End a key with all of its secrets. Raises ApiKeyError if there is none of that name, or it was revoked
    before.
    """
    with store.writing(f"api-key-{name}") as tx:
        if not tx.execute("SELECT 1 FROM api_keys WHERE name = ? AND revoked_at_ms IS NULL", (name,)):
            raise ApiKeyError(f"name: there is no key in force called {name}")
        tx.execute("UPDATE api_keys SET revoked_at_ms = ? WHERE name = ?", (now_ms, name))


def list_keys(store: Store) -> list[ApiKey]:
    """Every key that there ever was, by name."""
    with store.reading() as tx:
        rows = tx.execute(
            "SELECT name, role, merchant_id, created_at_ms, expires_at_ms, revoked_at_ms, last_used_at_ms, "
            "(SELECT max(ends_at_ms) FROM replaced_api_keys WHERE replaced_api_keys.name = api_keys.name) "
            "FROM api_keys ORDER BY name"
        )
    return [
        ApiKey(
            name=row[0],
            role=Role(row[1]),
            merchant_id=row[2],
            created_at_ms=int(row[3]),
            expires_at_ms=_whole(row[4]),
            revoked_at_ms=_whole(row[5]),
            last_used_at_ms=_whole(row[6]),
            replaced_until_ms=_whole(row[7]),
        )
        for row in rows
    ]


def note_use(store: Store, *, name: str, now_ms: int) -> None:
    """Keep that a key was used, unless that was kept within the last minute."""
    with store.writing(f"api-key-{name}") as tx:
        tx.execute(
            "UPDATE api_keys SET last_used_at_ms = ? "
            "WHERE name = ? AND (last_used_at_ms IS NULL OR last_used_at_ms <= ?)",
            (now_ms, name, now_ms - USE_NOTED_EVERY_MS),
        )


def caller_of(tx: Transaction, secret: str) -> Caller | None:
    """Who holds this key; None for an unknown or revoked one. An expired one has its holder, and says so."""
    sha256 = _sha256(secret)
    rows = tx.execute(
        "SELECT name, role, merchant_id, expires_at_ms, NULL FROM api_keys "
        "WHERE key_sha256 = ? AND revoked_at_ms IS NULL",
        (sha256,),
    ) or tx.execute(
        "SELECT api_keys.name, role, merchant_id, expires_at_ms, ends_at_ms FROM replaced_api_keys "
        "JOIN api_keys ON api_keys.name = replaced_api_keys.name "
        "WHERE replaced_api_keys.key_sha256 = ? AND revoked_at_ms IS NULL",
        (sha256,),
    )
    return _caller(rows[0]) if rows else None


def _caller(row: Sequence[Any]) -> Caller:
    ends = [end for end in (_whole(row[3]), _whole(row[4])) if end is not None]
    return Caller(
        name=row[0], role=Role(row[1]), merchant_id=row[2], expires_at_ms=min(ends) if ends else None
    )


def _whole(value: Any) -> int | None:
    return None if value is None else int(value)


def _require_future(expires_at_ms: int | None, now_ms: int) -> None:
    if expires_at_ms is not None and expires_at_ms <= now_ms:
        raise ApiKeyError("expires: must lie in the future")


def _new_secret(name: str) -> str:
    return f"bk_{name}_{secrets.token_urlsafe(32)}"


def _sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
