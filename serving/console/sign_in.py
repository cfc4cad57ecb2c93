"""Signing in and out, and who may: users, passwords, sessions and the lock after failed tries.

Clock and random values are arguments. Hashing takes tens of milliseconds and tens of megabytes on purpose;
`is_right_password` is therefore apart from the steps that touch the store.
"""

import secrets
from dataclasses import dataclass
from functools import lru_cache

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from data_contracts.instants import MINUTE_MS
from serving.domain.console_user import (
    ConsoleRole,
    SignedInUser,
    UserInvalid,
    checked_password,
    checked_role,
    checked_user_name,
    locked_until_ms,
    session_has_ended,
)
from serving.store import console_users
from serving.store.console_users import StoredUser
from serving.store.store import Store

FIRST_USER_NAME = "fraud-team"
TOUCH_INTERVAL_MS = MINUTE_MS
"""The use of a session is noted this often at most, so that reading a page rarely writes."""

_HASHER = PasswordHasher(time_cost=2, memory_cost=32 * 1024, parallelism=1)


class SignInLocked(Exception):
    """The name is locked after too many failed tries. until_ms: when that ends."""

    def __init__(self, until_ms: int) -> None:
        super().__init__(f"locked until {until_ms}")
        self.until_ms = until_ms


@dataclass(frozen=True, kw_only=True)
class SignInTry:
    """A try that counts as failed until it is finished. password_hash: None where nobody can sign in so."""

    name: str
    password_hash: str | None


@dataclass(frozen=True, kw_only=True)
class Session:
    """A session in force. notice: for the next page. is_due: its use is to be noted."""

    user: SignedInUser
    notice: str | None
    is_due: bool


def new_secret() -> str:
    """A session's cookie, or what a sign-in form is tied to: 32 random bytes."""
    return secrets.token_urlsafe(32)


def random_password() -> str:
    """A password of 120 random bits."""
    return secrets.token_urlsafe(15)


def is_right_password(tried: SignInTry, password: str) -> bool:
    """Whether a password is right; costs the same for a name that does not exist. Slow on purpose."""
    try:
        _HASHER.verify(tried.password_hash or _nobodys_hash(), password)
    except VerifyMismatchError:
        return False
    return tried.password_hash is not None


@lru_cache(maxsize=1)
def _nobodys_hash() -> str:
    return _HASHER.hash(random_password())


def begin_try(store: Store, *, name: str, try_id: str, now_ms: int) -> SignInTry:
    """Count a try as failed before its password is looked at, so that a hundred at once are no hundred tries.

    Raises SignInLocked.
    """
    with store.writing(f"console-user-{name}") as tx:
        until_ms = locked_until_ms(console_users.failures_of(tx, name))
        if until_ms is not None and now_ms < until_ms:
            raise SignInLocked(until_ms)
        console_users.insert_failure(tx, name=name, try_id=try_id, now_ms=now_ms)
        user = console_users.user_of(tx, name)
    can_sign_in = user is not None and user.disabled_at_ms is None
    return SignInTry(name=name, password_hash=user.password_hash if user and can_sign_in else None)


def sign_in(
    store: Store, tried: SignInTry, *, session_secret: str, old_secret: str | None, now_ms: int
) -> SignedInUser | None:
    """Begin a session after a right password; None if the user was changed meanwhile.

    old_secret: of the browser's session before, which ends.
    """
    with store.writing(f"console-user-{tried.name}") as tx:
        user = console_users.user_of(tx, tried.name)
        if user is None or user.disabled_at_ms is not None or user.password_hash != tried.password_hash:
            return None
        console_users.delete_failures_of(tx, tried.name)
        if old_secret is not None:
            console_users.delete_session(tx, old_secret)
        console_users.insert_session(tx, secret=session_secret, user_name=user.name, now_ms=now_ms)
    return SignedInUser(name=user.name, role=user.role)


def sign_out(store: Store, secret: str) -> None:
    """End a session."""
    with store.writing("console-session") as tx:
        console_users.delete_session(tx, secret)


def session(store: Store, secret: str, *, now_ms: int) -> Session | None:
    """The session of a cookie, None without one in force."""
    with store.reading() as tx:
        stored = console_users.session_of(tx, secret)
    if stored is None or session_has_ended(
        created_at_ms=stored.created_at_ms, last_used_at_ms=stored.last_used_at_ms, now_ms=now_ms
    ):
        return None
    return Session(
        user=SignedInUser(name=stored.user_name, role=stored.role),
        notice=stored.notice,
        is_due=now_ms >= stored.last_used_at_ms + TOUCH_INTERVAL_MS,
    )


def add_user(store: Store, *, name: str, role: str, password: str, now_ms: int) -> SignedInUser:
    """Add a user.

    Raises UserInvalid, also for the name of a disabled user: it stands in the history of cases.
    """
    user = SignedInUser(name=checked_user_name(name), role=checked_role(role))
    password_hash = _HASHER.hash(checked_password(password))
    with store.writing(f"console-user-{name}") as tx:
        if console_users.user_of(tx, name) is not None:
            raise UserInvalid(f"name: there is or was a user called {name}")
        console_users.insert_user(
            tx, name=user.name, role=user.role, password_hash=password_hash, now_ms=now_ms
        )
    return user


def first_user(store: Store, now_ms: int) -> str | None:
    """Add a user of the role fraud where there is none yet, and return the password; None otherwise."""
    with store.reading() as tx:
        if console_users.all_users(tx):
            return None
    password = random_password()
    password_hash = _HASHER.hash(password)
    with store.writing(f"console-user-{FIRST_USER_NAME}") as tx:
        if console_users.all_users(tx):
            return None
        console_users.insert_user(
            tx, name=FIRST_USER_NAME, role=ConsoleRole.FRAUD, password_hash=password_hash, now_ms=now_ms
        )
    return password


def set_password(store: Store, *, name: str, password: str, now_ms: int) -> None:
    """Give a user another password: sessions end, and a lock is lifted. Raises UserInvalid."""
    password_hash = _HASHER.hash(checked_password(password))
    with store.writing(f"console-user-{name}") as tx:
        _enabled(console_users.user_of(tx, name), name)
        console_users.set_password_hash(tx, name=name, password_hash=password_hash, now_ms=now_ms)
        console_users.delete_sessions_of(tx, name)
        console_users.delete_failures_of(tx, name)


def disable_user(store: Store, *, name: str, now_ms: int) -> None:
    """Keep a user from signing in and end all sessions. Raises UserInvalid."""
    with store.writing(f"console-user-{name}") as tx:
        _enabled(console_users.user_of(tx, name), name)
        console_users.set_disabled(tx, name=name, now_ms=now_ms)
        console_users.delete_sessions_of(tx, name)


def users(store: Store) -> list[StoredUser]:
    """Every user, by name."""
    with store.reading() as tx:
        return console_users.all_users(tx)


def _enabled(user: StoredUser | None, name: str) -> None:
    if user is None or user.disabled_at_ms is not None:
        raise UserInvalid(f"name: there is no user called {name} who may sign in")
