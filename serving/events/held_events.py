"""Use cases: which ledger rows wait and for what; and to end the waiting of one that waits in vain."""

import logging
import re

from msgspec import UNSET

from data_contracts.contract import IDENTIFIER_PATTERN
from data_contracts.ledger_contracts import CONTRACTS
from data_contracts.merchants import MERCHANTS
from serving.domain.errors import RiskError
from serving.events.event_answers import (
    REASON_CHARACTERS_MAXIMUM,
    EndedEvent,
    HeldEvent,
    HeldEvents,
    HeldFor,
)
from serving.requests.answer_fields import Instant
from serving.store.held_rows import (
    HeldRow,
    end_waiting,
    ended_row,
    entity_of_held,
    held_counts,
    held_rows,
)
from serving.store.store import Store

LOG = logging.getLogger("bonitas.ledger")


class UnknownHeldEvent(RiskError):
    """No row waits under this event_id, and none was ended."""


class EndInvalid(RiskError):
    """The waiting of a row cannot be ended so; the message begins with the field."""


class FilterInvalid(RiskError):
    """No row has such a contract or customer; the message begins with the field."""


class NoSuchPage(RiskError):
    """`after` is none that a page named."""


def wrong_filters(*, contract_name: str | None, customer_id: str | None) -> dict[str, str]:
    """What is wrong with the filters of a list of held rows, by field; empty where nothing is."""
    wrong = {}
    if contract_name is not None and contract_name not in CONTRACTS:
        wrong["contract"] = f"contract must be one of {', '.join(CONTRACTS)}"
    if customer_id is not None and re.fullmatch(IDENTIFIER_PATTERN, customer_id) is None:
        wrong["customer_id"] = "customer_id must be an id"
    return wrong


def held_page(
    store: Store,
    *,
    limit: int = 100,
    after: str | None = None,
    contract_name: str | None = None,
    customer_id: str | None = None,
) -> HeldEvents:
    """Held rows in the order of their arrival, what each waits for, and how many wait for what.

    after: what the page before named as `next`. Raises FilterInvalid, NoSuchPage, StoreUnavailable.
    """
    wrong = wrong_filters(contract_name=contract_name, customer_id=customer_id)
    if wrong:
        raise FilterInvalid("; ".join(wrong.values()))
    place = None if after is None else _place(after)
    with store.reading() as tx:
        rows = held_rows(
            tx, limit=limit + 1, after=place, contract_name=contract_name, customer_id=customer_id
        )
        counts = held_counts(tx)
    page = rows[:limit]
    return HeldEvents(
        held=tuple(_held(row) for row in page),
        next=f"{page[-1].since_ms}.{page[-1].entity_id}" if len(rows) > limit else None,
        counts={kind.value: count for kind, count in counts.items() if count},
    )


def _place(after: str) -> tuple[int, str]:
    since_ms, dot, entity_id = after.partition(".")
    if not (dot and since_ms.isascii() and since_ms.isdigit() and len(since_ms) <= 15):
        raise NoSuchPage("after: is none that a page named as next")
    return int(since_ms), entity_id


def _held(row: HeldRow) -> HeldEvent:
    is_merchants_own = row.contract == MERCHANTS.name
    return HeldEvent(
        event_id=row.event_id,
        contract=row.contract,
        customer_id=UNSET if is_merchants_own else row.entity_id,
        merchant_id=row.entity_id if is_merchants_own else UNSET,
        ids=dict(row.ids),
        waits_for=HeldFor(kind=row.wait.kind, id=row.wait.id, text=row.wait.in_words),
        since=Instant(row.since_ms),
    )


def end_held(store: Store, event_id: str, *, reason: str, by: str, now_ms: int) -> EndedEvent:
    """Move a held row to quarantine. Ending it twice changes nothing; afterwards it can be sent again.

    Raises UnknownHeldEvent, EndInvalid for a missing or overlong reason or name, StoreUnavailable.
    """
    for field, text in (("reason", reason), ("by", by)):
        if not text.strip() or len(text) > REASON_CHARACTERS_MAXIMUM:
            raise EndInvalid(f"{field}: must be a text of 1 to {REASON_CHARACTERS_MAXIMUM} characters")
        if not text.isprintable():
            raise EndInvalid(f"{field}: must hold no control characters")
    with store.reading() as tx:
        entity_id = entity_of_held(tx, event_id)
    with store.writing(*([] if entity_id is None else [entity_id])) as tx:
        ended = end_waiting(tx, event_id, reason=reason, by=by, now_ms=now_ms)
        is_new = ended is not None
        ended = ended or ended_row(tx, event_id)
    if ended is None:
        raise UnknownHeldEvent(f"no row waits under the event_id {event_id}")
    if is_new:
        LOG.info("held_row_ended", extra={"event_id": event_id, "contract": ended.contract, "by": by})
    return EndedEvent(
        event_id=ended.event_id,
        contract=ended.contract,
        ended_at=Instant(ended.ended_at_ms),
        ended_by=ended.ended_by,
        reason=ended.reason,
    )
