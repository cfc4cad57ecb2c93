"""Orders as integers: the facts that features of order risk count, one by one and as arrays.

A new column is a field of its fact, a line in the function below it and, where that has one, in its array
twin. A column of `OrderAttributes` speaks to all orders that share an entity with the order, a column of
`ThisOrderFact` of the order alone.
"""

from collections.abc import Iterable
from typing import Generic, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data_contracts.instants import DAY_MS, HOUR_MS
from data_contracts.text_form import plain_letters
from features.fact_tables import Whole
from features.instants import NEVER, Int64Array
from features.order_links import PLACE_PARTS, delivery_key, device_key
from features.supersession import LedgerRow, whole_numbers

NIGHT_ENDS_HOUR_UTC = 5
RESELLABLE_CATEGORIES = frozenset(
    {"computers_phones", "gift_cards", "jewellery", "media_software", "tickets_travel"}
)

OWN_COLUMNS = (
    "amount_cents",
    "kind",
    "item_category",
    *(
        f"{prefix}_{part}"
        for prefix in ("delivery", "billing")
        for part in ("name", "street", "house_number", "postal_code", "country")
    ),
    "contact_phone",
    "device_id",
)
"""The columns of an order, besides its instants, that its facts are made of."""

_PARTS_OF_PLACES = tuple((f"delivery_{part}", f"billing_{part}") for part in PLACE_PARTS)

CHANGES_OF_PLACE = ("address_changed", "delivery_redirected")
"""The kinds of order event that say where the parcel goes now."""

SHIPMENT_BOOKED = "shipment_booked"

COUNTED_CHANGES = (*CHANGES_OF_PLACE, SHIPMENT_BOOKED)
"""The kinds of order event that are facts."""


def hour_utc(instant_ms: Whole) -> Whole:
    """The hour of the day in UTC, 0 to 23; of one instant or of many."""
    return instant_ms % DAY_MS // HOUR_MS


class OrderAttributes(NamedTuple, Generic[Whole]):
    """What an order adds to its entities.

    night: 1 where it came before NIGHT_ENDS_HOUR_UTC; resellable: 1 for goods that sell again easily; else 0.
    """

    amount_cents: Whole
    night: Whole
    resellable: Whole


def order_attributes(order: LedgerRow) -> OrderAttributes[int]:
    """What an order adds to its entities, by its row."""
    # Not by calling the type, which takes twice as long for names: of each linked order it is asked.
    return OrderAttributes.__new__(
        OrderAttributes,
        amount_cents=order["amount_cents"],
        night=int(hour_utc(order["occurred_at"]) < NIGHT_ENDS_HOUR_UTC),
        resellable=int(order["item_category"] in RESELLABLE_CATEGORIES),
    )


def attributes_of_orders(orders: pa.Table, occurred_at: Int64Array) -> OrderAttributes[Int64Array]:
    """`order_attributes` of many orders. orders: with OWN_COLUMNS; occurred_at: shape (n_orders,)."""
    resells = pc.is_in(orders["item_category"], value_set=pa.array(sorted(RESELLABLE_CATEGORIES)))
    return OrderAttributes(
        amount_cents=whole_numbers(orders["amount_cents"]),
        night=(hour_utc(occurred_at) < NIGHT_ENDS_HOUR_UTC).astype(np.int64),
        resellable=resells.to_numpy().astype(np.int64),
    )


class OrderFact(NamedTuple, Generic[Whole]):
    """The columns of each kind in `ORDER_FACT_OF`: an order that names an entity, as the entity sees it.

    minus_occurred_at: in ms, negative, so that an age runs. is_first_of_customer: 1 for the first order by
    which its customer named the entity, else 0.
    """

    seen_from: Whole
    seen_until: Whole
    occurred_at: Whole
    minus_occurred_at: Whole
    amount_cents: Whole
    night: Whole
    resellable: Whole
    is_first_of_customer: Whole


def order_fact(
    seen_from: Whole,
    seen_until: Whole,
    *,
    occurred_at: Whole,
    attributes: OrderAttributes[Whole],
    is_first_of_customer: Whole,
) -> OrderFact[Whole]:
    """An order, or many as arrays, under one entity."""
    return OrderFact.__new__(
        OrderFact,
        seen_from=seen_from,
        seen_until=seen_until,
        occurred_at=occurred_at,
        minus_occurred_at=-occurred_at,
        amount_cents=attributes.amount_cents,
        night=attributes.night,
        resellable=attributes.resellable,
        is_first_of_customer=is_first_of_customer,
    )


class FindingFact(NamedTuple, Generic[Whole]):
    """The columns of each kind in `FRAUD_FACT_OF`: a finding of fraud about an order of the entity."""

    seen_from: Whole
    seen_until: Whole
    occurred_at: Whole


def finding_fact(seen_from: Whole, seen_until: Whole, *, occurred_at: Whole) -> FindingFact[Whole]:
    """A finding, or many as arrays."""
    return FindingFact(seen_from=seen_from, seen_until=seen_until, occurred_at=occurred_at)


class ThisOrderFact(NamedTuple):
    """The columns of `FactKind.THIS_ORDER`: what an order says of itself. Flags are 0 or 1.

    address_differs, recipient_differs: delivered elsewhere, or to another name, than billed.
    """

    seen_from: int
    seen_until: int
    amount_cents: int
    hour_utc: int
    night: int
    resellable: int
    service: int
    computers_phones: int
    gift_cards: int
    jewellery: int
    media_software: int
    address_differs: int
    recipient_differs: int
    device_missing: int
    phone_missing: int


def this_order_fact(seen_from: int, seen_until: int, order: LedgerRow) -> ThisOrderFact:
    """An order, by its row with what it comes to by then; of many one by one too, for no two are alike."""
    attributes = order_attributes(order)
    category = order["item_category"]
    return ThisOrderFact.__new__(
        ThisOrderFact,
        seen_from=seen_from,
        seen_until=seen_until,
        amount_cents=attributes.amount_cents,
        hour_utc=hour_utc(order["occurred_at"]),
        night=attributes.night,
        resellable=attributes.resellable,
        service=int(order["kind"] == "service"),
        computers_phones=int(category == "computers_phones"),
        gift_cards=int(category == "gift_cards"),
        jewellery=int(category == "jewellery"),
        media_software=int(category == "media_software"),
        address_differs=int(_goes_elsewhere(order)),
        recipient_differs=int(_goes_to_another(order["delivery_name"], order["billing_name"])),
        device_missing=int(device_key(order.get("device_id")) is None),
        phone_missing=int(order.get("contact_phone") is None),
    )


def _goes_elsewhere(order: LedgerRow) -> bool:
    # What is written alike is one place: so most orders need no key of theirs.
    return any(order.get(delivery) != order.get(billing) for delivery, billing in _PARTS_OF_PLACES) and (
        delivery_key(order) != delivery_key(order, "billing")
    )


def _goes_to_another(recipient: str, payer: str) -> bool:
    return recipient != payer and plain_letters(recipient) != plain_letters(payer)


class OrderChangeFact(NamedTuple, Generic[Whole]):
    """The columns of `FactKind.ORDER_CHANGE`: an event of an order since, each 1 for its kind of event."""

    seen_from: Whole
    seen_until: Whole
    address_changed: Whole
    redirected: Whole
    booked: Whole


def order_change_fact(seen_from: int, seen_until: int, kind: str) -> OrderChangeFact[int]:
    """An event of an order. kind: one of COUNTED_CHANGES."""
    return OrderChangeFact(
        seen_from=seen_from,
        seen_until=seen_until,
        address_changed=int(kind == "address_changed"),
        redirected=int(kind == "delivery_redirected"),
        booked=int(kind == SHIPMENT_BOOKED),
    )


def order_change_facts(
    seen_from: Int64Array, seen_until: Int64Array, kind: NDArray[np.object_]
) -> OrderChangeFact[Int64Array]:
    """`order_change_fact` of many events; all of shape (n_events,)."""
    return OrderChangeFact(
        seen_from=seen_from,
        seen_until=seen_until,
        address_changed=(kind == "address_changed").astype(np.int64),
        redirected=(kind == "delivery_redirected").astype(np.int64),
        booked=(kind == SHIPMENT_BOOKED).astype(np.int64),
    )


def known_changes(events: Iterable[LedgerRow]) -> list[OrderChangeFact[int]]:
    """The facts of events that all stand; an event of another kind is none."""
    return [
        order_change_fact(0, NEVER, event["kind"]) for event in events if event["kind"] in COUNTED_CHANGES
    ]
