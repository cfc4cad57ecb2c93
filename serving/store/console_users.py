"""Users of the console, their sessions and failed tries to sign in. Passwords and sessions only as hashes."""

import hashlib
from dataclasses import dataclass

from serving.domain.console_user import (
    ABSOLUTE_MS,
    FAILURE_WINDOW_MS,
    FAILURES_ALLOWED,
    IDLE_MS,
    LOCK_MS,
    ConsoleRole,
)
from serving.store.store import Row, Transaction

_USER_COLUMNS = "name, role, password_hash, created_at_ms, password_set_at_ms, disabled_at_ms"


@dataclass(frozen=True, kw_only=True)
class StoredUser:
    """A user as stored. Instants are milliseconds since 1970 UTC."""

    name: str
    role: ConsoleRole
    password_hash: str
    created_at_ms: int
    password_set_at_ms: int
    disabled_at_ms: int | None


@dataclass(frozen=True, kw_only=True)
class StoredSession:
    """A session with the role that its user has now. notice: for the next page that is shown."""

    user_name: str
    role: ConsoleRole
    created_at_ms: int
    last_used_at_ms: int
    notice: str | None


def user_of(tx: Transaction, name: str) -> StoredUser | None:
    """The user of a name, disabled ones too."""
    rows = tx.execute(f"SELECT {_USER_COLUMNS} FROM console_users WHERE name = ?", (name,))  # noqa: S608 - constant
    return _user(rows[0]) if rows else None


def all_users(tx: Transaction) -> list[StoredUser]:
    """Every user, by name."""
    rows = tx.execute(f"SELECT {_USER_COLUMNS} FROM console_users ORDER BY name")  # noqa: S608 - constant
    return [_user(row) for row in rows]


def insert_user(tx: Transaction, *, name: str, role: ConsoleRole, password_hash: str, now_ms: int) -> None:
    """Add a user."""
    tx.execute(
        "INSERT INTO console_users (name, role, password_hash, created_at_ms, password_set_at_ms) "
        "VALUES (?, ?, ?, ?, ?)",
        (name, role.value, password_hash, now_ms, now_ms),
    )


def set_password_hash(tx: Transaction, *, name: str, password_hash: str, now_ms: int) -> None:
    """Give a user another password."""
    tx.execute(
        "UPDATE console_users SET password_hash = ?, password_set_at_ms = ? WHERE name = ?",
        (password_hash, now_ms, name),
    )


def set_disabled(tx: Transaction, *, name: str, now_ms: int) -> None:
    """Keep a user from signing in."""
    tx.execute("UPDATE console_users SET disabled_at_ms = ? WHERE name = ?", (now_ms, name))


def insert_session(tx: Transaction, *, secret: str, user_name: str, now_ms: int) -> None:
    """Begin a session, and forget those that ended long ago."""
    tx.execute(
        "DELETE FROM console_sessions WHERE created_at_ms <= ? OR last_used_at_ms <= ?",
        (now_ms - ABSOLUTE_MS, now_ms - IDLE_MS),
    )
    tx.execute(
        "INSERT INTO console_sessions (session_sha256, user_name, created_at_ms, last_used_at_ms) "
        "VALUES (?, ?, ?, ?)",
        (_sha256(secret), user_name, now_ms, now_ms),
    )


def session_of(tx: Transaction, secret: str) -> StoredSession | None:
    """The session of a cookie whose user is not disabled; whether it has ended is not looked at."""
    rows = tx.execute(
        "SELECT user_name, role, console_sessions.created_at_ms, last_used_at_ms, notice "
        "FROM console_sessions JOIN console_users ON name = user_name "
        "WHERE session_sha256 = ? AND disabled_at_ms IS NULL",
        (_sha256(secret),),
    )
    if not rows:
        return None
    user_name, role, created_at_ms, last_used_at_ms, notice = rows[0]
    return StoredSession(
        user_name=user_name,
        role=ConsoleRole(role),
        created_at_ms=created_at_ms,
        last_used_at_ms=last_used_at_ms,
        notice=notice,
    )


def touch_session(tx: Transaction, *, secret: str, now_ms: int) -> None:
    """Note that a session was used."""
    tx.execute(
        "UPDATE console_sessions SET last_used_at_ms = ? WHERE session_sha256 = ? AND last_used_at_ms < ?",
        (now_ms, _sha256(secret), now_ms),
    )


def set_notice(tx: Transaction, *, secret: str, notice: str | None) -> None:
    """Keep a sentence for the next page, or forget it."""
    tx.execute("UPDATE console_sessions SET notice = ? WHERE session_sha256 = ?", (notice, _sha256(secret)))


def delete_session(tx: Transaction, secret: str) -> None:
    """End a session."""
    tx.execute("DELETE FROM console_sessions WHERE session_sha256 = ?", (_sha256(secret),))


def delete_sessions_of(tx: Transaction, user_name: str) -> None:
    """End every session of a user."""
    tx.execute("DELETE FROM console_sessions WHERE user_name = ?", (user_name,))


def failures_of(tx: Transaction, name: str) -> list[int]:
    """When the newest tries under a name failed, as many as count."""
    rows = tx.execute(
        "SELECT at_ms FROM sign_in_failures WHERE name_sha256 = ? ORDER BY at_ms DESC LIMIT ?",
        (_sha256(name), FAILURES_ALLOWED),
    )
    return [row[0] for row in rows]


def insert_failure(tx: Transaction, *, name: str, try_id: str, now_ms: int) -> None:
    """Note a failed try, and forget those that count no more."""
    tx.execute("DELETE FROM sign_in_failures WHERE at_ms <= ?", (now_ms - FAILURE_WINDOW_MS - LOCK_MS,))
    tx.execute(
        "INSERT INTO sign_in_failures (name_sha256, at_ms, try_id) VALUES (?, ?, ?)",
        (_sha256(name), now_ms, try_id),
    )


def delete_failures_of(tx: Transaction, name: str) -> None:
    """Forget the failed tries under a name."""
    tx.execute("DELETE FROM sign_in_failures WHERE name_sha256 = ?", (_sha256(name),))


def _user(row: Row) -> StoredUser:
    name, role, password_hash, created_at_ms, password_set_at_ms, disabled_at_ms = row
    return StoredUser(
        name=name,
        role=ConsoleRole(role),
        password_hash=password_hash,
        created_at_ms=created_at_ms,
        password_set_at_ms=password_set_at_ms,
        disabled_at_ms=disabled_at_ms,
    )


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
