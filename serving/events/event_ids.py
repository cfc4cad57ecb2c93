"""Whose an event_id is: the book's feed keeps its ids, rows of every other key are kept under the key's name.

The ledger, its files and all that reads them know a row by its event_id alone, so the ids that are kept stay
unique over the whole book. What the back office sends, by `POST /v1/events` or in files, is one namespace,
because the same row may come both ways and then is one. Another key's `evt-1` is kept as `key:NAME:evt-1`:
whoever else sends an `evt-1` neither keeps it out nor is told of it.
"""

import hashlib
import re
from dataclasses import dataclass

from serving.store.api_keys import Caller, Role

KEPT_PREFIX = "key:"
LONGEST_EVENT_ID = 64

_OF_THE_SERVICE = re.compile(
    "|".join(
        (
            r"(order|confirmed|cancelled|released|extended|amended)-dec_.*",
            r"shipped-[0-9a-f]{24}-[0-9]+",
            r"(credit_note|refund)-[0-9a-f]{24}",
            r"(dsp|ret|return-ret)_[0-9a-f]{20}-.*",
            r"stopped-.+-start",
            r"told-[0-9a-f]{32}(-void)?",
        )
    )
)
"""The event_ids of rows that the service writes: about a decision, a step of an order, a dispute or a return,
to pause what came after a stop, or to tell of an invoice."""


@dataclass(frozen=True, kw_only=True)
class EventIdScope:
    """Under which ids the rows of one caller are kept. key_name: None for the book's feed, whose ids stay."""

    key_name: str | None

    @classmethod
    def of(cls, caller: Caller) -> "EventIdScope":
        """The scope of whoever calls."""
        return cls(key_name=None if caller.role is Role.LEDGER else caller.name)

    @property
    def _prefix(self) -> str:
        return "" if self.key_name is None else f"{KEPT_PREFIX}{self.key_name}:"

    def kept(self, event_id: str) -> str:
        """The id under which a row is kept; a long one gives its hash, which is as much one id's.

        >>> EventIdScope(key_name="shop").kept("evt-1")
        'key:shop:evt-1'
        """
        kept = f"{self._prefix}{event_id}"
        if self.key_name is None or len(kept) <= LONGEST_EVENT_ID:
            return kept
        digest = hashlib.sha256(event_id.encode()).hexdigest()
        return f"{self._prefix}{digest}"[:LONGEST_EVENT_ID]

    def sent(self, text: str) -> str:
        """A text that may name kept ids, with the ids as the caller sent them."""
        return text.replace(self._prefix, "") if self._prefix else text

    def is_own(self, kept: str) -> bool:
        """Whether a kept id may be told to the caller: the feed sees all, another key its own."""
        return kept.startswith(self._prefix)

    def mistake(self, event_id: str) -> str | None:
        """What is wrong with an event_id that the caller gives its row; None where nothing is.

        >>> EventIdScope(key_name=None).mistake("dsp_4be1a7c2f0d95e336814-outcome-2-dispute")
        "event_id begins like those of other keys' rows, or of the service's own"
        """
        if self.key_name is None and (
            event_id.startswith(KEPT_PREFIX) or _OF_THE_SERVICE.fullmatch(event_id) is not None
        ):
            return "event_id begins like those of other keys' rows, or of the service's own"
        return None
