"""Users of the fraud team's console: roles, names, passwords, and how long a session or a lock lasts."""

import enum
import re
from collections.abc import Sequence
from dataclasses import dataclass

from data_contracts.instants import HOUR_MS, MINUTE_MS
from serving.domain.errors import RiskError

IDLE_MS = 30 * MINUTE_MS
"""A session ends when nothing was asked for so long."""
ABSOLUTE_MS = 12 * HOUR_MS
"""A session ends so long after the sign-in, whatever was asked."""
FAILURES_ALLOWED = 5
FAILURE_WINDOW_MS = 15 * MINUTE_MS
LOCK_MS = 15 * MINUTE_MS
PASSWORD_MINIMUM = 12
PASSWORD_MAXIMUM = 1_000
"""Longer ones would only cost work."""

_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,39}")


class ConsoleRole(enum.Enum):
    """What a user of the console may see and do."""

    FRAUD = "fraud"
    """Reviews orders and decides cases."""
    ANALYST = "analyst"
    """Reads; decides nothing."""
    SERVICE = "service"
    """Decides disputes; sees nothing of the fraud team's."""
    ADMIN = "admin"
    """All of it, and what only few should do."""


@dataclass(frozen=True, kw_only=True)
class SignedInUser:
    """Who asks for a page."""

    name: str
    role: ConsoleRole


class UserInvalid(RiskError):
    """A user or password cannot be as asked; the message says why."""


def checked_user_name(name: str) -> str:
    """The name. Raises UserInvalid.

    >>> checked_user_name("kim.larsen")
    'kim.larsen'
    """
    if not _NAME.fullmatch(name):
        raise UserInvalid("name: lower-case letters, digits, dots and hyphens, at most 40")
    return name


def checked_role(role: str) -> ConsoleRole:
    """The role. Raises UserInvalid."""
    known = {one.value: one for one in ConsoleRole}
    if role not in known:
        raise UserInvalid(f"role: must be one of {', '.join(known)}")
    return known[role]


def checked_password(password: str) -> str:
    """The password. Raises UserInvalid: length is what protects, so nothing else is asked of it."""
    if not PASSWORD_MINIMUM <= len(password) <= PASSWORD_MAXIMUM:
        raise UserInvalid(f"password: from {PASSWORD_MINIMUM} to {PASSWORD_MAXIMUM} characters")
    return password


def session_has_ended(*, created_at_ms: int, last_used_at_ms: int, now_ms: int) -> bool:
    """Whether a session is over, by rest or by age.

    >>> session_has_ended(created_at_ms=0, last_used_at_ms=0, now_ms=IDLE_MS)
    True
    """
    return now_ms >= last_used_at_ms + IDLE_MS or now_ms >= created_at_ms + ABSOLUTE_MS


def locked_until_ms(failures_at_ms: Sequence[int]) -> int | None:
    """Until when a name is locked after these failed tries; None where they are too few or too far apart.

    The end may lie in the past. failures_at_ms: the newest of them at least, in any order.

    >>> locked_until_ms([0, 1, 2, 3]), locked_until_ms([0, 1, 2, 3, 4]) == 4 + LOCK_MS
    (None, True)
    >>> locked_until_ms([0, 1, 2, 3, FAILURE_WINDOW_MS])
    """
    newest = sorted(failures_at_ms)[-FAILURES_ALLOWED:]
    if len(newest) < FAILURES_ALLOWED or newest[-1] - newest[0] >= FAILURE_WINDOW_MS:
        return None
    return newest[-1] + LOCK_MS
