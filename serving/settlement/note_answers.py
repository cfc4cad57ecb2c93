"""The answers about settlement notes: the shapes that the API, the console and the commands share."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from serving.domain.settlement import SettlementText
from serving.requests.answer_fields import Cents, Instant, OwnNumber

LINES_MAXIMUM = 1_000
LINES_USUAL = 200


class NoteLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a note. amount_cents: what the merchant receives; negative: what it pays.

    is_reversal: it takes back a line that was posted before, in this period or an earlier one.
    invoice_id: null for what is about the whole order.
    """

    posted_at: Instant
    settlement_id: str
    line: int
    text: SettlementText
    is_reversal: bool
    order_id: str
    merchant_order_number: OwnNumber
    invoice_id: str | None
    amount_cents: Cents
    currency: str


class NoteSum(msgspec.Struct, frozen=True, kw_only=True):
    """What the lines of one text come to in the whole period, reversals included."""

    text: SettlementText
    line_count: int
    amount_cents: Cents
    currency: str


class NoteBalance(msgspec.Struct, frozen=True, kw_only=True):
    """The merchant's account in one currency. Positive: it is owed so much; negative: it owes so much.

    closing_cents: opening_cents and posted_cents together, and the opening balance of the next period.
    """

    currency: str
    opening_cents: Cents
    posted_cents: Cents
    closing_cents: Cents


class SettlementNote(msgspec.Struct, frozen=True, kw_only=True):
    """What was posted to a merchant in a period: from `starts_at` until just before `ends_at`.

    is_closed: nothing can be added any more. sums, balances: of the whole period, also where `lines` is a
        page. next: what `after` is to be for the next page of lines; null on the last one.
    """

    merchant_id: str
    period: str
    time_zone: str
    starts_at: Instant
    ends_at: Instant
    is_closed: bool
    balances: tuple[NoteBalance, ...]
    sums: tuple[NoteSum, ...]
    lines: tuple[NoteLine, ...]
    next: str | None


class NoteParameters(msgspec.Struct, frozen=True, kw_only=True):
    """Which note is asked for, in which form, and which page of its lines."""

    period: Annotated[str, Meta(pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])$", description="a month such as 2026-11")]
    merchant_id: Annotated[
        str | None, Meta(description="required, but for a merchant's own key: that has its own notes")
    ] = None
    format: Annotated[Literal["json", "csv"], Meta(description="left out, Accept decides")] = "json"
    limit: Annotated[int, Meta(ge=1, le=LINES_MAXIMUM)] = LINES_USUAL
    after: Annotated[str | None, Meta(description="what the page before named as next")] = None
