"""Use case: the settlement note of a merchant and a period."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from zoneinfo import ZoneInfo

from data_contracts.instants import HOUR_MS
from data_contracts.merchants import MERCHANTS
from serving.domain.errors import RiskError
from serving.domain.settlement_period import Period
from serving.requests.answer_fields import Instant
from serving.requests.case_scope import CaseScope
from serving.settlement.note_answers import LINES_MAXIMUM, NoteBalance, NoteLine, NoteSum, SettlementNote
from serving.store.merchant_orders import numbers_of_orders
from serving.store.settlement_postings import (
    LinePlace,
    StoredPosting,
    balances_before,
    lines_of_note,
    sums_of_note,
)
from serving.store.standing_rows import standing_row
from serving.store.store import Transaction

CLOSED_AFTER_MS = HOUR_MS
"""What was begun before the end of a period is posted by then."""
_PLACE = re.compile(r"([0-9]{1,15})\.([0-9]{1,9})\.([^\x00-\x1f]{1,400})")


class UnknownMerchant(RiskError):
    """There is no such merchant, or it is not the caller's."""


class PlaceInvalid(RiskError):
    """What was given as `after` is no place that a page named as next."""


def settlement_note(
    scope: CaseScope, merchant_id: str, period: Period, *, limit: int, after: str | None = None
) -> SettlementNote:
    """The note, with a page of its lines in the order in which they were posted.

    after: the `next` of the page before, None for the first. Raises UnknownMerchant, PlaceInvalid.
    """
    place = None if after is None else place_of(after)
    with scope.store.reading() as tx:
        return _note(tx, scope, merchant_id, period, limit=limit, after=place)


@contextmanager
def whole_note(
    scope: CaseScope, merchant_id: str, period: Period
) -> "Iterator[tuple[SettlementNote, Iterator[NoteLine]]]":
    """The note and all of its lines, read a page at a time from one state of the store.

    Raises UnknownMerchant.
    """
    with scope.store.reading() as tx:
        first = _note(tx, scope, merchant_id, period, limit=LINES_MAXIMUM, after=None)
        yield first, _all_lines(tx, merchant_id, period, first)


def _all_lines(
    tx: Transaction, merchant_id: str, period: Period, first: SettlementNote
) -> Iterator[NoteLine]:
    yield from first.lines
    following = first.next
    while following is not None:
        lines, following = _lines(tx, merchant_id, period, limit=LINES_MAXIMUM, after=place_of(following))
        yield from lines


def _note(
    tx: Transaction,
    scope: CaseScope,
    merchant_id: str,
    period: Period,
    *,
    limit: int,
    after: LinePlace | None,
) -> SettlementNote:
    if standing_row(tx, MERCHANTS, merchant_id) is None:
        raise UnknownMerchant(f"there is no merchant {merchant_id}")
    zone = ZoneInfo(scope.policy.order_risk.default_time_zone)
    ends_at_ms = period.next.starts_at_ms(zone)
    sums = sums_of_note(tx, merchant_id, period.text)
    opening = balances_before(tx, merchant_id, period.text)
    posted = dict.fromkeys((*opening, *(one.currency for one in sums)), 0)
    for one in sums:
        posted[one.currency] += one.amount_cents
    lines, following = _lines(tx, merchant_id, period, limit=limit, after=after)
    return SettlementNote(
        merchant_id=merchant_id,
        period=period.text,
        time_zone=zone.key,
        starts_at=Instant(period.starts_at_ms(zone)),
        ends_at=Instant(ends_at_ms),
        is_closed=scope.now_ms() >= ends_at_ms + CLOSED_AFTER_MS,
        balances=tuple(
            NoteBalance(
                currency=currency,
                opening_cents=opening.get(currency, 0),
                posted_cents=posted[currency],
                closing_cents=opening.get(currency, 0) + posted[currency],
            )
            for currency in sorted(posted)
        ),
        sums=tuple(
            NoteSum(
                text=one.text,
                line_count=one.line_count,
                amount_cents=one.amount_cents,
                currency=one.currency,
            )
            for one in sums
        ),
        lines=lines,
        next=following,
    )


def _lines(
    tx: Transaction, merchant_id: str, period: Period, *, limit: int, after: LinePlace | None
) -> tuple[tuple[NoteLine, ...], str | None]:
    # One more than a page tells whether there is another.
    posted = lines_of_note(tx, merchant_id, period.text, after=after, limit=limit + 1)
    page = posted[:limit]
    numbers = numbers_of_orders(tx, sorted({posting.order_id for posting in page}))
    lines = tuple(_line(posting, numbers.get(posting.order_id)) for posting in page)
    return lines, _named(page[-1]) if len(posted) > limit else None


def _line(posting: StoredPosting, number: str | None) -> NoteLine:
    return NoteLine(
        posted_at=Instant(posting.posted_at_ms),
        settlement_id=posting.settlement_id,
        line=posting.line,
        text=posting.text,
        is_reversal=posting.is_reversal,
        order_id=posting.order_id,
        merchant_order_number=number,
        invoice_id=posting.invoice_id,
        # What is owed to the merchant is a credit, and so negative on its account.
        amount_cents=-posting.amount_cents,
        currency=posting.currency,
    )


def _named(posting: StoredPosting) -> str:
    return f"{posting.posted_at_ms}.{posting.line}.{posting.settlement_id}"


def place_of(text: str) -> LinePlace:
    """The place that a page named as next. Raises PlaceInvalid.

    >>> place_of("1793487600000.2.set-o1-0001")
    LinePlace(posted_at_ms=1793487600000, settlement_id='set-o1-0001', line=2)
    """
    match = _PLACE.fullmatch(text)
    if match is None:
        raise PlaceInvalid("after: is none that a page named as next")
    return LinePlace(posted_at_ms=int(match[1]), settlement_id=match[3], line=int(match[2]))
