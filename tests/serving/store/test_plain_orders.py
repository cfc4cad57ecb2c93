"""Orders that are counted by their links give the features that reading all of them gives, bit for bit."""

import enum
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from alembic import command
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine, text

from data_contracts.ledger_contracts import CONTRACTS
from data_contracts.order_events import AMENDED
from data_contracts.order_outcomes import FRAUD_OUTCOMES
from features.entities import LINKING, EntityKind
from features.feature_sets import ORDER_RISK
from features.order_links import address_keys, delivery_key, order_keys
from features.order_risk_online import keys_at, order_risk_features
from features.plain_orders import (
    CountedOrders,
    PlainOrders,
    SumWithin,
    counted_orders,
    sums_of_plain_orders,
)
from serving.benchmarks.look_benchmark import BEGINNING_MS, PLACES, PopularBook
from serving.store import loading
from serving.store.ledger_rows import content_sha256, insert_event
from serving.store.migrate import alembic_config, migrate, sqlalchemy_url
from serving.store.open_store import open_store
from serving.store.order_links import (
    INDEXED,
    INSERT_LINK,
    OWN,
    OWN_LINKED_AT_ONCE,
    OWN_LINKED_FROM,
    crowded_entities,
    link_as_this_release,
    link_decided_orders,
    link_orders,
    link_parameters,
    link_row,
    link_to_customers,
    news_of_orders,
    order_rows,
    orders_of_older_release,
    own_orders,
    plain_orders,
    related_rows,
    rows_about,
)
from serving.store.order_sums import WHOSE_FIRST, WIDTHS_MS, stretches_since, sum_up
from serving.store.store import Row, Store, Transaction
from tests.features.test_order_risk_features import FEW, MANY, Question, World, moments, questions
from tests.proof_size import examples
from tests.serving.conftest import fresh_postgresql_url


class Step(enum.Enum):
    """What becomes of the links after a row has arrived."""

    NOTHING = "nothing"
    LINKED_LATER = "linked later"
    BY_OLDER_RELEASE = "by older release"
    SUMMED = "summed"
    OWN_LINKS = "own links"


STEPS = st.lists(st.sampled_from([*[Step.SUMMED, Step.OWN_LINKS] * 2, *Step]), min_size=1, max_size=9)


@pytest.mark.long_proof
@examples(1_000)
@given(questions(), st.lists(moments, max_size=3), STEPS, st.sampled_from([FEW, MANY]))
def test_counted_orders_come_to_the_same_features_as_orders_that_are_read(
    store: Store, question: Question, more: list[int], steps: list[Step], maximum: int
) -> None:
    world, _, as_of = question
    world = as_the_ledger_lets_it_in(world)
    feature_set = ORDER_RISK.linking(maximum)
    with store.writing("world") as tx:
        for table in ("ledger_events", "order_links", "order_sums", "order_sum_customers"):
            tx.execute(f"DELETE FROM {table}")
        enter(tx, world, steps)
        assert not orders_of_older_release(tx, 1)
    order_ids = sorted({row["order_id"] for row in world["orders"]})
    with store.reading() as tx:
        assert kept_sums(tx) == sums_of_links(tx)
        for order_id in order_ids:
            for moment in (as_of, *more):
                expected = order_risk_features(order_id, world, moment, feature_set)
                assert counted(tx, order_id, moment, maximum) == expected


def kept_sums(tx: Transaction) -> tuple[list[Row], list[Row]]:
    """What is kept of each stretch of time and of each customer, where anything is."""
    sums = tx.execute(
        "SELECT entity_kind, entity_key, width_ms, start_ms, orders, amount_cents, night, resellable "
        "FROM order_sums WHERE orders <> 0 OR amount_cents <> 0 OR night <> 0 OR resellable <> 0"
    )
    customers = tx.execute(
        "SELECT entity_kind, entity_key, customer_id, first_at_ms, first_recorded_ms, known_from_ms "
        "FROM order_sum_customers"
    )
    return sorted(sums), sorted(customers)


def sums_of_links(tx: Transaction) -> tuple[list[Row], list[Row]]:
    """The same, counted link by link."""
    sums: dict[tuple[str, str, int, int], list[int]] = {}
    customers: dict[tuple[str, str, str], list[tuple[int, int]]] = {}
    for kind, key, at_ms, recorded_ms, customer_id, *added in tx.execute(
        "SELECT entity_kind, entity_key, occurred_at_ms, recorded_at_ms, customer_id, 1, amount_cents, "
        "night, resellable FROM order_links WHERE is_summed = 1"
    ):
        for width_ms in WIDTHS_MS:
            so_far = sums.setdefault((kind, key, width_ms, at_ms // width_ms * width_ms), [0, 0, 0, 0])
            so_far[:] = [one + (other or 0) for one, other in zip(so_far, added, strict=True)]
        if kind in WHOSE_FIRST:
            customers.setdefault((kind, key, customer_id), []).append((at_ms, recorded_ms))
    return (
        sorted((*place, *added) for place, added in sums.items()),
        sorted(
            (*who, *min(found), min(recorded for _, recorded in found)) for who, found in customers.items()
        ),
    )


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


def enter(tx: Transaction, world: World, steps: list[Step]) -> None:
    """All rows in the order of their arrival, with what becomes of the links meanwhile."""
    arrivals = sorted(
        (row["recorded_at"], name != "orders", number, name)
        for name, rows in world.items()
        for number, row in enumerate(rows)
    )
    waiting: list[str] = []
    for place, (recorded_at, _, number, name) in enumerate(arrivals):
        row = world[name][number]
        contract = CONTRACTS[name]
        insert_event(tx, contract, row, content_sha256(contract, row), row["recorded_at"])
        step = steps[place % len(steps)]
        # That release takes no amendment: the kind is not among those that it knows.
        if step is Step.BY_OLDER_RELEASE and name != "customers" and row.get("kind") != AMENDED:
            link_as_the_release_before(tx, name, row)
        elif name != "orders":
            link_row(tx, contract, row)
        elif step is Step.LINKED_LATER:
            waiting.append(row["order_id"])
        else:
            link_decided_orders(tx, [row["order_id"]])
        if step is Step.SUMMED:
            for kind, key in tx.execute("SELECT DISTINCT entity_kind, entity_key FROM order_links"):
                sum_up(tx, (EntityKind(kind), key), recorded_at + place % 2)
        if step is Step.OWN_LINKS:
            link_as_this_release(tx, 100)
            link_to_customers(tx, sorted({row["customer_id"] for row in world["orders"]}), 1)
    link_decided_orders(tx, sorted(set(waiting)))
    link_as_this_release(tx, 100)


def link_as_the_release_before(tx: Transaction, name: str, row: dict[str, Any]) -> None:
    """As the release did that knew neither sums nor own links."""
    columns = "entity_kind, entity_key, is_finding, occurred_at_ms, event_id, order_id, customer_id"
    to_read = (
        f"INSERT INTO order_links ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT "
        "(entity_kind, entity_key, is_finding, occurred_at_ms, event_id) DO UPDATE SET is_plain = 0"
    )
    plain = (
        f"INSERT INTO order_links ({columns}, recorded_at_ms, is_plain) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1) ON CONFLICT DO NOTHING"
    )
    versions = order_rows(tx, row["order_id"])
    is_single = len(versions) == 1 and row["occurred_at"] <= row["recorded_at"]
    if name == "orders" and is_single:
        tx.execute_many(plain, [(*one, row["recorded_at"]) for one in link_parameters(order_keys(row), row)])
        return
    moved_to = delivery_key(row, "new_delivery")
    if name == "orders" or moved_to is not None or row["kind"] in FRAUD_OUTCOMES:
        for version in versions:
            tx.execute_many(to_read, link_parameters(order_keys(version), version))
    named: set[tuple[EntityKind, str]] = set()
    if moved_to is not None:
        tx.execute_many(INSERT_LINK, link_parameters(address_keys(row["customer_id"], moved_to), row))
        named = set(address_keys(row["customer_id"], moved_to).items())
    news = list(news_of_orders(tx, {row["order_id"]: row["customer_id"]}))
    findings = [one for one in news if one["kind"] in FRAUD_OUTCOMES]
    if name == "order_outcomes" and row["kind"] in FRAUD_OUTCOMES:
        for version in versions:
            named |= set(order_keys(version).items())
        for one in news:
            if (address := delivery_key(one, "new_delivery")) is not None:
                named |= set(address_keys(row["customer_id"], address).items())
        findings = [row]
    for finding in findings:
        for entity, key in named:
            tx.execute_many(INSERT_LINK, link_parameters({entity: key}, finding, is_finding=True))


@pytest.mark.parametrize("how_many", [1, 40])
def test_an_order_that_the_release_before_reads_for_a_shipment_is_linked_anew_once(
    store: Store, how_many: int
) -> None:
    """That release reads an order with any news; here it stays plain unless the parcel goes elsewhere."""
    book = PopularBook(store, PLACES[-1], how_many)
    book.link_orders()
    with store.writing() as tx:
        ((customer_id,),) = tx.execute("SELECT DISTINCT customer_id FROM order_links WHERE order_id = 'o0'")
        link_to_customers(tx, [customer_id], 1)
        before = counted(tx, "o0", BEGINNING_MS + 1, MANY)
        tx.execute(
            "UPDATE order_links SET is_plain = 0 WHERE order_id = 'o0' "
            "AND entity_kind NOT IN ('customer', 'customer_device', 'customer_address')"
        )
        assert orders_of_older_release(tx, 2) == [("o0",)]
        assert link_as_this_release(tx, 100) == 1
        assert link_as_this_release(tx, 100) == 0
        assert counted(tx, "o0", BEGINNING_MS + 1, MANY) == before


def counted(tx: Transaction, order_id: str, as_of: int, maximum: int) -> list[float] | None:
    feature_set = ORDER_RISK.linking(maximum)
    versions = order_rows(tx, order_id)
    about = rows_about(tx, versions)
    keys = keys_at(order_id, about, as_of)
    if keys is None:
        return None
    crowded = crowded_entities(tx, keys, maximum, as_of)
    keys = {entity: key for entity, key in keys.items() if entity not in crowded}
    own = own_orders(tx, versions)
    plain = plain_orders(tx, keys, feature_set, as_of, own)
    rows = related_rows(tx, keys, feature_set, as_of, about, own, plain)
    return order_risk_features(order_id, rows, as_of, feature_set, crowded, plain)


def test_only_sums_and_first_orders_are_counted() -> None:
    hour, day = 3_600_000, 86_400_000
    assert counted_orders(ORDER_RISK, EntityKind.MERCHANT) == CountedOrders(
        sums=(SumWithin(None, hour), SumWithin(None, day)), by_customer=False
    )
    assert counted_orders(ORDER_RISK, EntityKind.DEVICE) == CountedOrders(
        sums=tuple(SumWithin(None, window) for window in (hour, day, 7 * day, 30 * day)), by_customer=True
    )
    assert counted_orders(ORDER_RISK, EntityKind.CUSTOMER_DEVICE) == CountedOrders(
        sums=(SumWithin(None, None),), by_customer=True
    )
    of_customer = counted_orders(ORDER_RISK, EntityKind.CUSTOMER)
    assert of_customer is not None
    assert SumWithin("amount_cents", 365 * day) in of_customer.sums
    assert all(counted_orders(ORDER_RISK, entity) is not None for entity in (*INDEXED, *OWN))


def test_a_customer_counts_once_where_one_order_was_read_and_another_counted() -> None:
    """Counted first at 5 and 50; read first at 7 and 40: one of both customers has a plain first order."""
    plain = {
        entity: PlainOrders(sums=dict.fromkeys(counted.sums, 2), first_at_ms={"c1": 5, "c2": 50})
        for entity in LINKING
        if (counted := counted_orders(ORDER_RISK, entity)) is not None
    }
    read = {entity: {"c1": 7, "c2": 40} for entity in LINKING}
    sums = sums_of_plain_orders(ORDER_RISK, plain, read, as_of_ms=100)
    assert {value for measure, value in sums.items() if measure.value is None} == {2}
    assert {value for measure, value in sums.items() if measure.value is not None} == {1}


@examples(200)
@given(st.integers(0, 2**41), st.integers(0, 2**41))
def test_each_moment_lies_in_one_of_the_stretches_since_another(since_ms: int, at_ms: int) -> None:
    stretches = stretches_since(since_ms)
    holding = [
        stretch
        for stretch in stretches
        if stretch.start_ms <= at_ms and (stretch.end_ms is None or at_ms < stretch.end_ms)
    ]
    assert len(holding) == (at_ms >= since_ms)
    for stretch in stretches:
        assert stretch.start_ms % stretch.width_ms == 0
        assert stretch.end_ms is None or (stretch.end_ms - stretch.start_ms) // stretch.width_ms < 8_192


def test_a_store_of_the_release_before_gets_its_sums(database_url: str) -> None:
    opened = open_store(database_url)
    book = PopularBook(opened, PLACES[-1], 100)
    book.link_orders()
    with opened.reading() as tx:
        before = features_of(tx, "o99")
    opened.close()
    engine = create_engine(sqlalchemy_url(database_url))
    with engine.begin() as connection:
        command.downgrade(alembic_config(connection), "0010")
        # As a ledger folder was loaded by then.
        loaded = "UPDATE order_links SET is_plain = 0, recorded_at_ms = NULL WHERE order_id IN ('o7', 'o8')"
        connection.execute(text(loaded))
    engine.dispose()
    migrate(database_url)
    opened = open_store(database_url)
    with opened.reading() as tx:
        kept = kept_sums(tx)
        assert kept == sums_of_links(tx)
        assert {row[0] for row in kept[0]} == {kind.value for kind in INDEXED}
        assert ("merchant", "m0", 100) in {(kind, key, orders) for kind, key, _, _, orders, *_ in kept[0]}
        assert not orders_of_older_release(tx, 1)
        assert features_of(tx, "o99") == before
    opened.close()


def test_after_a_load_no_order_of_a_customer_with_very_many_is_read_by_itself(store: Store) -> None:
    size = OWN_LINKED_AT_ONCE + 3 * OWN_LINKED_FROM
    book = PopularBook(store, replace(PLACES[-1], customers=1), size)
    with store.writing() as tx:
        link_orders(tx, [f"o{number}" for number in range(size)])
    loading._sum_up_orders(store, book.now_ms + 1)
    with store.reading() as tx:
        assert own_orders(tx, order_rows(tx, "o0")).plain == {"o0"}


@pytest.mark.postgresql
@pytest.mark.parametrize(("customers", "held"), [(None, "device"), (1, "mailbox")])
def test_who_corrects_an_order_and_who_sums_it_up_do_not_wait_for_each_other(
    postgresql_server: str, customers: int | None, held: str
) -> None:
    """Both come to the same links of one order, of which a third holds one at first."""
    database_url = fresh_postgresql_url(postgresql_server)
    migrate(database_url)
    store = open_store(database_url)
    book = PopularBook(store, replace(PLACES[-1], customers=customers), 100)
    with store.writing() as tx:
        link_orders(tx, [f"o{number}" for number in range(100)])
        (row,) = order_rows(tx, "o5")
        insert_event(tx, CONTRACTS["orders"], row | {"event_id": "corrected"}, "0" * 64, book.now_ms)

    def do(work: Callable[[Transaction, list[str]], object], order_ids: list[str]) -> None:
        with store.writing() as tx:
            work(tx, order_ids)

    with ThreadPoolExecutor() as pool:
        with store.writing() as tx:
            tx.execute(
                "SELECT 1 FROM order_links WHERE order_id = 'o5' AND entity_kind = ? FOR UPDATE", (held,)
            )
            working = [pool.submit(do, link_orders, ["o5"])]
            time.sleep(0.3)
            working.append(pool.submit(do, link_decided_orders, [f"o{number}" for number in range(50, 100)]))
            time.sleep(0.3)
        for one in working:
            one.result(20)
    with store.reading() as tx:
        assert kept_sums(tx)[0]
        assert kept_sums(tx) == sums_of_links(tx)
    store.close()


def features_of(tx: Transaction, order_id: str) -> list[float] | None:
    return counted(tx, order_id, BEGINNING_MS + 1, MANY)
