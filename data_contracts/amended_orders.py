"""What an order comes to: what was ordered, and what its amendments made of that, by both clocks."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from data_contracts.contract import Contract
from data_contracts.order_events import AMENDED, ORDER_EVENTS
from data_contracts.orders import ORDERS
from data_contracts.sent_instants import happened_at

LedgerRow = Mapping[str, Any]

_LAST_RECORDED_MS = 2**63 - 1


@dataclass(frozen=True, kw_only=True, order=True)
class Amendment:
    """An order's new amount. at_ms: when it happened, then when it was recorded; event_id parts the rest."""

    at_ms: tuple[int, int]
    event_id: str
    amount_cents: int


def amendments_of(order: LedgerRow, events: Iterable[LedgerRow]) -> list[Amendment]:
    """The amendments that changed an order, the earliest first.

    order: the row that stands. events: rows of its events that stand; what else they tell is passed over.
    A row that is only about to be recorded counts as recorded last. An amendment from before the order was
    decided anew is not among them.
    """
    return sorted(
        Amendment(
            at_ms=_rank(ORDER_EVENTS, event),
            event_id=event["event_id"],
            amount_cents=event["new_amount_cents"],
        )
        for event in since_decided(order, events)
        if event["kind"] == AMENDED
    )


def since_decided(order: LedgerRow, events: Iterable[LedgerRow]) -> Iterator[LedgerRow]:
    """The events that are about an order as it stands.

    Those from before it was decided anew are not: the new decision was about the whole of it. What a clock
    ahead has stamped happened when it was recorded, at the latest.
    """
    decided_at_ms = _counted_rank(ORDERS, order)
    for event in events:
        # Else it belongs to this order however early its clock, or its date without a time, has it.
        if order.get("corrects") is None or _counted_rank(ORDER_EVENTS, event) >= decided_at_ms:
            yield event


def ordered_cents(order: LedgerRow, events: Iterable[LedgerRow]) -> int:
    """What an order comes to, in minor units; the rows as in `amendments_of`.

    Of the rows that were known at a moment it tells what was known then. The amendment that happened last
    stands, whenever it arrived.

    >>> order = {"occurred_at": 1, "recorded_at": 1, "amount_cents": 100}
    >>> amended = {"kind": "amended", "event_id": "e"}
    >>> late = {**amended, "occurred_at": 2, "recorded_at": 9, "new_amount_cents": 60}
    >>> last = {**amended, "occurred_at": 3, "recorded_at": 3, "new_amount_cents": 80}
    >>> ordered_cents(order, []), ordered_cents(order, [late]), ordered_cents(order, [last, late])
    (100, 60, 80)
    """
    amendments = amendments_of(order, events)
    amount_cents: int = amendments[-1].amount_cents if amendments else order["amount_cents"]
    return amount_cents


def amended_order(order: LedgerRow, events: Iterable[LedgerRow]) -> LedgerRow:
    """The order's row with what it comes to now; its VAT in proportion, rounded down."""
    amount_cents = ordered_cents(order, events)
    if amount_cents == order["amount_cents"]:
        return order
    vat_cents = order["vat_cents"] * amount_cents // order["amount_cents"]
    return {**order, "amount_cents": amount_cents, "vat_cents": vat_cents}


def _rank(contract: Contract, row: LedgerRow) -> tuple[int, int]:
    recorded_at = row.get("recorded_at")
    if recorded_at is None:
        return row["occurred_at"], _LAST_RECORDED_MS
    return happened_at(contract, row), recorded_at


def _counted_rank(contract: Contract, row: LedgerRow) -> tuple[int, int]:
    happened_at_ms, recorded_at_ms = _rank(contract, row)
    return min(happened_at_ms, recorded_at_ms), recorded_at_ms
