"""Risk features of one order at one moment, from the rows that it is linked to: the screening's evaluator.

The same facts as `features.order_risk_offline` derives for a whole folder, row by row in plain Python.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data_contracts.amended_orders import ordered_cents
from data_contracts.customers import CUSTOMERS
from data_contracts.order_events import AMENDED, ORDER_EVENTS
from data_contracts.order_outcomes import FRAUD_OUTCOMES, ORDER_OUTCOMES
from data_contracts.orders import ORDERS
from features.declarations import FRAUD_FACT_OF, ORDER_FACT_OF, FactKind
from features.entities import LINKING, EntityKind
from features.feature_sets import FeatureSet
from features.instants import NEVER
from features.online import Fact, LedgerRows, evaluated, visible_rows
from features.order_facts import (
    OrderAttributes,
    finding_fact,
    known_changes,
    order_attributes,
    order_fact,
    this_order_fact,
)
from features.order_links import (
    Keys,
    address_keys,
    delivery_key,
    order_keys,
)
from features.plain_orders import PlainOrders, is_first, sums_of_plain_orders
from features.single_row_facts import known_registrations
from features.supersession import as_counted, rank_of

NO_PLAIN_ORDERS: Mapping[EntityKind, PlainOrders] = {}
"""Every order is read."""


@dataclass(frozen=True, kw_only=True)
class _Link:
    """One row that ties an order to entities.

    stands: it was not corrected. rank: when it happened, then when it was known.
    """

    keys: Keys
    order_id: str
    customer_id: str
    rank: tuple[int, int, str]
    occurred_at_ms: int
    attributes: OrderAttributes[int]
    stands: bool


def keys_at(order_id: str, rows: LedgerRows, as_of_ms: int) -> Keys | None:
    """The entities of an order as known at `as_of_ms`; None where the order is not known then.

    rows: at least the rows of that order, of the orders contract and its events.
    """
    standing = [row for row in visible_rows(ORDERS, rows, as_of_ms) if row["order_id"] == order_id]
    if not standing:
        return None
    moves = [
        (rank_of(ORDER_EVENTS, event), address)
        for event in visible_rows(ORDER_EVENTS, rows, as_of_ms)
        if event["order_id"] == order_id and (address := delivery_key(event, "new_delivery")) is not None
    ]
    # The parcel goes where it was sent last, whichever message of that arrived last.
    return order_keys(standing[-1], max(moves)[1] if moves else None)


def order_risk_features(
    order_id: str,
    rows: LedgerRows,
    as_of_ms: int,
    feature_set: FeatureSet,
    crowded: Collection[EntityKind] = (),
    plain: Mapping[EntityKind, PlainOrders] = NO_PLAIN_ORDERS,
) -> list[float] | None:
    """The features of an order at `as_of_ms`, in the order of the feature set; None for an unknown order.

    crowded: entities of the order that too many customers are known to share; their rows may be missing.
    rows: of the order, of those that share an entity with it, with their events and outcomes, and of its
        customer; rows of other orders change nothing, and neither does what is recorded later.
    plain: the orders that are counted; they need not be among the rows.
    """
    keys = keys_at(order_id, rows, as_of_ms)
    if keys is None:
        return None
    keys = {kind: key for kind, key in keys.items() if kind not in crowded}
    plain = {kind: orders for kind, orders in plain.items() if kind in keys}
    facts, first_read_at_ms = order_risk_facts(
        order_id, keys, rows, as_of_ms, feature_set.linked_customers_maximum, plain
    )
    sums = sums_of_plain_orders(feature_set, plain, first_read_at_ms, as_of_ms)
    return evaluated(feature_set, facts, as_of_ms, sums)


def order_risk_facts(
    order_id: str,
    keys: Keys,
    rows: LedgerRows,
    as_of_ms: int,
    linked_customers_maximum: int,
    plain: Mapping[EntityKind, PlainOrders],
) -> tuple[dict[FactKind, Sequence[Fact]], dict[EntityKind, dict[str, int]]]:
    """The facts about the entities of an order that are known at `as_of_ms`, and when the first order of each
    customer happened at each entity, both among the rows.

    An entity that more than `linked_customers_maximum` customers have named by then has none.
    """
    orders = visible_rows(ORDERS, rows, as_of_ms)
    events = visible_rows(ORDER_EVENTS, rows, as_of_ms)
    amended_cents = _amended_cents(orders, events)
    links = _links(rows, as_of_ms, _ids(orders), _ids(events), amended_cents)
    links_of = _links_by_entity(links, keys)
    for entity in LINKING:
        if len({link.customer_id for link in links_of[entity]}) > linked_customers_maximum:
            links_of[entity] = []
    facts: dict[FactKind, Sequence[Fact]] = {}
    sharing: dict[EntityKind, set[str]] = {}
    first_read_at_ms: dict[EntityKind, dict[str, int]] = {}
    for entity, kind in ORDER_FACT_OF.items():
        shared = links_of[entity]
        sharing[entity] = {link.order_id for link in shared}
        counted = plain.get(entity)
        if counted is not None and counted.read_too:
            shared = [link for link in shared if link.order_id not in counted.read_too]
        first: dict[str, _Link] = {}
        for link in shared:
            if link.stands:
                first.setdefault(link.customer_id, link)
        first_read_at_ms[entity] = {customer: link.occurred_at_ms for customer, link in first.items()}
        first_order_of = {
            customer: link.order_id
            for customer, link in first.items()
            if counted is None or not is_first(counted, customer, link.occurred_at_ms)
        }
        facts[kind] = [
            order_fact(
                0,
                NEVER,
                occurred_at=link.occurred_at_ms,
                attributes=link.attributes,
                is_first_of_customer=int(first_order_of.get(link.customer_id) == link.order_id),
            )
            for link in _one_for_each_order(shared)
        ]
    findings = [row for row in visible_rows(ORDER_OUTCOMES, rows, as_of_ms) if row["kind"] in FRAUD_OUTCOMES]
    for entity, kind in FRAUD_FACT_OF.items():
        facts[kind] = [
            finding_fact(0, NEVER, occurred_at=row["occurred_at"])
            for row in findings
            if row["order_id"] in sharing[entity]
        ]
    facts[FactKind.THIS_ORDER] = [
        this_order_fact(0, NEVER, {**row, "amount_cents": amended_cents.get(order_id, row["amount_cents"])})
        for row in orders
        if row["order_id"] == order_id
    ]
    facts[FactKind.ORDER_CHANGE] = known_changes(row for row in events if row["order_id"] == order_id)
    facts[FactKind.REGISTRATION] = known_registrations(
        row
        for row in visible_rows(CUSTOMERS, rows, as_of_ms)
        if row["customer_id"] == keys[EntityKind.CUSTOMER]
    )
    return facts, first_read_at_ms


def _links_by_entity(links: Sequence[_Link], keys: Keys) -> dict[EntityKind, list[_Link]]:
    """The links that name the same entities, in their order; also those by a row that was corrected since."""
    links_of: dict[EntityKind, list[_Link]] = {entity: [] for entity in EntityKind}
    for link in links:
        for entity, key in link.keys.items():
            if keys.get(entity) == key:
                links_of[entity].append(link)
    return links_of


def _one_for_each_order(links: Sequence[_Link]) -> list[_Link]:
    """The first that happened and still stands: an order that names an entity twice counts once."""
    first: dict[str, _Link] = {}
    for link in links:
        if link.stands:
            first.setdefault(link.order_id, link)
    return list(first.values())


def _amended_cents(
    orders: Sequence[Mapping[str, Any]], events: Sequence[Mapping[str, Any]]
) -> dict[str, int]:
    """What each amended order comes to; orders and events that stand. Orders never amended are left out."""
    events_of: dict[str, list[Mapping[str, Any]]] = {}
    for event in events:
        if event["kind"] == AMENDED:
            events_of.setdefault(event["order_id"], []).append(event)
    if not events_of:
        return {}
    return {
        order["order_id"]: ordered_cents(order, events_of[order["order_id"]])
        for order in orders
        if order["order_id"] in events_of
    }


def _links(
    rows: LedgerRows,
    as_of_ms: int,
    standing_orders: Collection[str],
    standing_events: Collection[str],
    amended_cents: Mapping[str, int],
) -> list[_Link]:
    """The links that are known, in the order in which they happened. standing_*: ids of rows that stand."""
    known = [as_counted(ORDERS, row) for row in rows.get(ORDERS.name, ()) if row["recorded_at"] < as_of_ms]
    links = [
        _Link(
            keys=order_keys(row),
            order_id=row["order_id"],
            customer_id=row["customer_id"],
            rank=rank_of(ORDERS, row),
            occurred_at_ms=row["occurred_at"],
            attributes=_attributes(row, amended_cents),
            stands=row["event_id"] in standing_orders,
        )
        for row in known
    ]
    first_known: dict[str, Mapping[str, Any]] = {}
    for row in sorted(known, key=lambda row: (row["recorded_at"], row["event_id"])):
        first_known.setdefault(row["order_id"], row)
    for sent in rows.get(ORDER_EVENTS.name, ()):
        if sent["recorded_at"] >= as_of_ms or sent["order_id"] not in first_known:
            continue
        address = delivery_key(sent, "new_delivery")
        if address is None:
            continue
        event = as_counted(ORDER_EVENTS, sent)
        order = first_known[event["order_id"]]
        links.append(
            _Link(
                keys=address_keys(order["customer_id"], address),
                order_id=event["order_id"],
                customer_id=order["customer_id"],
                rank=rank_of(ORDER_EVENTS, event),
                occurred_at_ms=event["occurred_at"],
                attributes=_attributes(order, amended_cents),
                stands=event["event_id"] in standing_events,
            )
        )
    return sorted(links, key=lambda link: link.rank)


def _attributes(order: Mapping[str, Any], amended_cents: Mapping[str, int]) -> OrderAttributes[int]:
    attributes = order_attributes(order)
    amount_cents = amended_cents.get(order["order_id"])
    return attributes if amount_cents is None else attributes._replace(amount_cents=amount_cents)


def _ids(rows: Sequence[Mapping[str, Any]]) -> set[str]:
    return {row["event_id"] for row in rows}
