"""Orders that are counted by their links give the features that reading all of them gives, bit for bit."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_contracts.ledger_contracts import CONTRACTS
from features.entities import LINKING, EntityKind
from features.feature_sets import ORDER_RISK
from features.order_risk_online import keys_at, order_risk_features
from features.plain_orders import CountedOrders, PlainOrders, counted_orders, sums_of_plain_orders
from serving.store.ledger_rows import content_sha256, insert_event
from serving.store.order_links import (
    INDEXED,
    crowded_entities,
    customers_rows,
    link_decided_orders,
    link_row,
    order_rows,
    plain_orders,
    related_rows,
)
from serving.store.store import Store, Transaction
from tests.features.test_order_risk_features import FEW, MANY, Question, World, moments, questions
from tests.proof_size import examples

LINKED_LATER = st.lists(st.booleans(), min_size=1, max_size=9)


@pytest.mark.long_proof
@examples(1_000)
@given(questions(), st.lists(moments, max_size=3), LINKED_LATER, st.sampled_from([FEW, MANY]))
def test_counted_orders_come_to_the_same_features_as_orders_that_are_read(
    store: Store, question: Question, more: list[int], linked_later: list[bool], maximum: int
) -> None:
    world, _, as_of = question
    world = as_the_ledger_lets_it_in(world)
    feature_set = ORDER_RISK.linking(maximum)
    with store.writing("world") as tx:
        tx.execute("DELETE FROM ledger_events")
        tx.execute("DELETE FROM order_links")
        enter(tx, world, linked_later)
    order_ids = sorted({row["order_id"] for row in world["orders"]})
    with store.reading() as tx:
        for order_id in order_ids:
            for moment in (as_of, *more):
                expected = order_risk_features(order_id, world, moment, feature_set)
                assert counted(tx, order_id, moment, maximum) == expected


def as_the_ledger_lets_it_in(world: World) -> World:
    """What tells of an order waits for it, and is recorded after it."""
    known_from: dict[str, int] = {}
    for row in world["orders"]:
        order_id = row["order_id"]
        known_from[order_id] = min(known_from.get(order_id, row["recorded_at"]), row["recorded_at"])
    return world | {
        name: [
            {**row, "recorded_at": max(row["recorded_at"], known_from[row["order_id"]] + 1)}
            for row in world[name]
        ]
        for name in ("order_events", "order_outcomes")
    }


def enter(tx: Transaction, world: World, linked_later: list[bool]) -> None:
    """All rows in the order of their arrival; some orders are followed at once, some when all has arrived."""
    arrivals = sorted(
        (row["recorded_at"], name != "orders", number, name)
        for name, rows in world.items()
        for number, row in enumerate(rows)
    )
    waiting: list[str] = []
    for place, (_, _, number, name) in enumerate(arrivals):
        row = world[name][number]
        contract = CONTRACTS[name]
        insert_event(tx, contract, row, content_sha256(contract, row), row["recorded_at"])
        if name != "orders":
            link_row(tx, contract, row)
        elif linked_later[place % len(linked_later)]:
            waiting.append(row["order_id"])
        else:
            link_decided_orders(tx, [row["order_id"]])
    link_decided_orders(tx, sorted(set(waiting)))


def counted(tx: Transaction, order_id: str, as_of: int, maximum: int) -> list[float] | None:
    feature_set = ORDER_RISK.linking(maximum)
    own: dict[str, Any] = customers_rows(tx, [order_rows(tx, order_id)[0]["customer_id"]])
    keys = keys_at(order_id, own, as_of)
    if keys is None:
        return None
    crowded = crowded_entities(tx, keys, maximum, as_of)
    keys = {entity: key for entity, key in keys.items() if entity not in crowded}
    plain = plain_orders(tx, keys, feature_set, as_of)
    rows = related_rows(tx, order_id, keys, feature_set, as_of, own, plain)
    return order_risk_features(order_id, rows, as_of, feature_set, crowded, plain)


def test_only_numbers_of_orders_and_customers_are_counted() -> None:
    hour, day = 3_600_000, 86_400_000
    assert counted_orders(ORDER_RISK, EntityKind.MERCHANT) == CountedOrders(
        windows_ms=(hour, day), by_customer=False
    )
    assert counted_orders(ORDER_RISK, EntityKind.DEVICE) == CountedOrders(
        windows_ms=(hour, day, 7 * day, 30 * day), by_customer=True
    )
    assert counted_orders(ORDER_RISK, EntityKind.CUSTOMER) is None, "amounts are added up there"
    assert all(counted_orders(ORDER_RISK, entity) is not None for entity in INDEXED)


def test_a_customer_counts_once_where_one_order_was_read_and_another_counted() -> None:
    """Counted first at 5 and 50; read first at 7 and 40: one of both customers has a plain first order."""
    plain = {
        entity: PlainOrders(
            count_within=dict.fromkeys(counted.windows_ms, 2), first_at_ms={"c1": 5, "c2": 50}
        )
        for entity in LINKING
        if (counted := counted_orders(ORDER_RISK, entity)) is not None
    }
    read = {entity: {"c1": 7, "c2": 40} for entity in LINKING}
    sums = sums_of_plain_orders(ORDER_RISK, plain, read, as_of_ms=100)
    assert {value for measure, value in sums.items() if measure.value is None} == {2}
    assert {value for measure, value in sums.items() if measure.value is not None} == {1}
