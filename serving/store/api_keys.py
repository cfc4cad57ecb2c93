"""API keys of callers: only their SHA-256 is stored."""

import enum
import hashlib
import re
import secrets
from dataclasses import dataclass

from serving.store.errors import ApiKeyError
from serving.store.store import Store, Transaction


class Role(enum.Enum):
    """What a key is for."""

    CHECKOUT = "checkout"
    """Scores, confirms and cancels, sees the whole answer, and tells what happened to its orders."""
    MERCHANT = "merchant"
    """Outcome and alternatives of its own orders only."""
    LEDGER = "ledger"
    """The provider's back office: feeds the book, but not what the fraud team decides."""
    FRAUD = "fraud"
    """The fraud team: review cases and findings, and nothing else that decides or records orders."""
    ADMIN = "admin"
    """Reads how the service is doing: metrics, and nothing about anybody."""


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who holds a key. merchant_id: whose orders a merchant key may see, None for the other roles."""

    name: str
    role: Role
    merchant_id: str | None


def create_key(store: Store, *, name: str, role: str, merchant_id: str | None, now_ms: int) -> str:
    """Create a key and return its secret, which is not stored.

    Raises ApiKeyError for a name that is taken or odd, or a merchant key without merchant.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,39}", name):
        raise ApiKeyError("name: lower-case letters, digits and hyphens, at most 40")
    if role not in {known.value for known in Role}:
        raise ApiKeyError(f"role: must be one of {', '.join(known.value for known in Role)}")
    if (role == Role.MERCHANT.value) != (merchant_id is not None):
        raise ApiKeyError("merchant: a key of the role merchant, and only such a key, names its merchant")
    secret = f"bk_{name}_{secrets.token_urlsafe(32)}"
    with store.writing(f"api-key-{name}") as tx:
        if tx.execute("SELECT 1 FROM api_keys WHERE name = ?", (name,)):
            raise ApiKeyError(f"name: there is a key called {name} already")
        tx.execute(
            "INSERT INTO api_keys (key_sha256, name, role, merchant_id, created_at_ms) "
            "VALUES (?, ?, ?, ?, ?)",
            (_sha256(secret), name, role, merchant_id, now_ms),
        )
    return secret


def revoke_key(store: Store, *, name: str, now_ms: int) -> None:
    """End a key. Raises ApiKeyError if there is none of that name, or it was revoked before."""
    with store.writing(f"api-key-{name}") as tx:
        if not tx.execute("SELECT 1 FROM api_keys WHERE name = ? AND revoked_at_ms IS NULL", (name,)):
            raise ApiKeyError(f"name: there is no key in force called {name}")
        tx.execute("UPDATE api_keys SET revoked_at_ms = ? WHERE name = ?", (now_ms, name))


def caller_of(tx: Transaction, secret: str) -> Caller | None:
    """Who holds this key; None for an unknown or revoked one."""
    rows = tx.execute(
        "SELECT name, role, merchant_id FROM api_keys WHERE key_sha256 = ? AND revoked_at_ms IS NULL",
        (_sha256(secret),),
    )
    return Caller(name=rows[0][0], role=Role(rows[0][1]), merchant_id=rows[0][2]) if rows else None


def _sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
