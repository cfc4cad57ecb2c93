"""When a customer is told of an invoice: a notice before the due date, then reminders with their fees.

Who writes them is policy, one writer per book. The worker tells of one level a day and invoice at most: after
a week in which none ran, what is due is made up for day by day and not in one burst, and nothing is skipped
but a notice whose due date has passed.
"""

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from data_contracts.instants import DAY_MS
from data_contracts.invoice_charges import COLLECTION_NOTICE, DUE_NOTICE, REMINDER


class ReminderWriter(enum.Enum):
    """Who writes reminders and their fees: one writer per book."""

    WORKER = "worker"
    LEDGER = "ledger"


@dataclass(frozen=True, kw_only=True)
class ReminderLevel:
    """One level of reminders.

    days_after_due: whole days after the due date, as pauses have moved it.
    fees_cents: by currency, in its minor units; without a fee in any other.
    """

    days_after_due: int
    fees_cents: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class ReminderPolicy:
    """notice_days: so many days before the due date a friendly notice goes out, without a fee; 0 for none.

    levels: the first reminder, the second and so on, each later than the one before.
    """

    writer: ReminderWriter
    notice_days: int
    levels: tuple[ReminderLevel, ...]

    @property
    def is_written_here(self) -> bool:
        """Whether the worker writes them, so that nobody else may."""
        return self.writer is ReminderWriter.WORKER


LEFT_TO_THE_LEDGER = ReminderPolicy(writer=ReminderWriter.LEDGER, notice_days=0, levels=())
"""What a policy means that says nothing of reminders."""


class Notice(NamedTuple):
    """A notice or reminder of an invoice.

    kind, level: as in the contract. at_ms: when it was sent, or is due.
    """

    kind: str
    level: int
    at_ms: int


def next_notice(
    policy: ReminderPolicy, *, issued_at_ms: int, due_at_ms: int, sent: Iterable[Notice], now_ms: int
) -> Notice | None:
    """What an unpaid, unpaused invoice is to be told of next, and from when on; None where of nothing more.

    Whoever has handed it over to collection is done with reminding.

    due_at_ms: as moved by its pauses. sent: what it was told of, by whoever.

    Due on day 14, a notice 3 days before, reminders 7 and 17 days after. A worker that comes back on day 40
    sends the first at once and the second a day later:

    >>> levels = tuple(ReminderLevel(days_after_due=days, fees_cents={}) for days in (7, 17))
    >>> policy = ReminderPolicy(writer=ReminderWriter.WORKER, notice_days=3, levels=levels)
    >>> def told(now, *sent):
    ...     notice = next_notice(policy, issued_at_ms=0, due_at_ms=14 * DAY_MS, now_ms=now * DAY_MS,
    ...         sent=[Notice(kind, level, day * DAY_MS) for kind, level, day in sent])
    ...     return notice and (notice.kind, notice.level, notice.at_ms // DAY_MS)
    >>> told(5), told(12, (DUE_NOTICE, 1, 11)), told(40)
    (('due_notice', 1, 11), ('reminder', 1, 21), ('reminder', 1, 21))
    >>> told(40, (REMINDER, 1, 40)), told(50, (REMINDER, 1, 40), (REMINDER, 2, 41))
    (('reminder', 2, 41), None)
    """
    told = list(sent)
    if any(one.kind == COLLECTION_NOTICE for one in told):
        return None
    reminders = [one for one in told if one.kind == REMINDER]
    if policy.notice_days and not told and now_ms <= due_at_ms:
        return Notice(DUE_NOTICE, 1, max(due_at_ms - policy.notice_days * DAY_MS, issued_at_ms))
    level = max((one.level for one in reminders), default=0) + 1
    if level > len(policy.levels):
        return None
    at_ms = due_at_ms + policy.levels[level - 1].days_after_due * DAY_MS
    if reminders:
        at_ms = max(at_ms, max(one.at_ms for one in reminders) + DAY_MS)
    return Notice(REMINDER, level, at_ms)


def fee_cents(policy: ReminderPolicy, notice: Notice, currency: str) -> int:
    """The fee of a notice in a currency; 0 for a friendly one, and where the policy names none."""
    return 0 if notice.kind != REMINDER else policy.levels[notice.level - 1].fees_cents.get(currency, 0)
