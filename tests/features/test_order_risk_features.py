"""The fraud features against the oracle, offline against online, and what must never change them."""

import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_contracts.contract import ColumnType
from data_contracts.ledger_contracts import CONTRACTS
from data_contracts.parquet_ledger import read_table
from data_contracts.simulation.portfolio import simulate_portfolio
from features.decisions import Decisions, NoDecisionsError
from features.declarations import Feature, Purpose
from features.feature_sets import INVOICE_ELIGIBILITY, ORDER_RISK, FeatureSet, NotAllowedFeatureError
from features.offline import build_features
from features.order_risk_offline import approval_decisions, change_decisions
from features.order_risk_online import order_risk_features
from tests.builders import DAY, Row, a_customer, a_row, an_order, ms, write_ledger
from tests.naive_order_risk import FINDINGS, all_ties, naive_order_risk
from tests.proof_size import examples

World = dict[str, list[Row]]
Question = tuple[World, str, int]
CONTRACT_NAMES = ("customers", "orders", "order_events", "order_outcomes")
START = ms("2024-01-01")
END_OF_TIME = ms("3000-01-01")
HALF_HOUR = 1_800_000

pytestmark = pytest.mark.long_proof
thorough = examples(6_000)
with_files = examples(1_500)

# Few moments, apart by the windows' lengths and a millisecond: collisions are where windows go wrong.
moments = st.builds(
    lambda day, half_hour, more: START + day * DAY + half_hour * HALF_HOUR + more,
    st.sampled_from([0] * 12 + [1, 6, 7, 8, 29, 30, 31, 90, 365]),
    st.sampled_from([0, 1, 2, 3, 0, 1, 2, 3, 9, 10, 11, 47]),
    st.sampled_from([0, 0, 0, 1]),
)
delays = st.sampled_from([0] * 6 + [1, HALF_HOUR, DAY, 30 * DAY])
PLACES = (
    ("Heidestraße", "17", "51147", "DE"),
    ("HEIDE-STRASSE", " 17", "D-51 147", "DE"),
    ("Heidestr. 17", None, "51147", "DE"),
    ("Heidestraße", "1/7", "51147", "DE"),
    ("Rue de l'Église", "3 bis", "75001", "FR"),
    ("rue de l`église", "3BIS", "75 001", "FR"),
    ("Packstation", "17", "51147", "DE"),
)
NETWORKS = {
    "": (
        *("203.0.113.7", "203.0.113.99:8080", "203.0.114.7, 10.0.0.1", "10.0.0.1", "fd00::1"),
        *("2001:db8:1:2::7", "[2001:0DB8:0001::1]:443"),
    ),
    "other-": ("198.51.100.7", "2001:db8:9::1"),
}
DOMAINS = {"": ("example.com", "Example.COM ", "gmail.com", "googlemail.com"), "other-": ("example.net",)}
MAILBOXES = ("erika", "e.rika+shop", "max")
PHONES = {
    "": ("+49 30 1234567", "+49(0)30/123 45 67", "0049 30 1234567", "+49 30 7654321"),
    "other-": ("+49 40 1234567",),
}
# Few share so much that it says nothing: of three customers, all of them.
FEW, MANY = 2, 50
amended_cents = st.sampled_from([1, 4_000, 10_001, 60_000])
OUTCOME_KINDS = (*FINDINGS * 3, *CONTRACTS["order_outcomes"].column("kind").allowed)


@st.composite
def order_columns(draw: st.DrawFn, prefix: str) -> Row:
    """What an order says, where orders of a world meet; the prefix keeps two worlds apart."""
    columns: Row = {
        "merchant_id": prefix + draw(st.sampled_from(["m1", "m2"])),
        "amount_cents": draw(st.sampled_from([1, 4_999, 10_000, 25_001])),
        "kind": draw(st.sampled_from(["goods", "service"])),
        "item_category": draw(
            st.sampled_from(["clothing", "computers_phones", "gift_cards", "jewellery", "media_software"])
        ),
        "contact_email": f"{draw(st.sampled_from(MAILBOXES))}@{draw(st.sampled_from(DOMAINS[prefix]))}",
        "contact_phone": draw(st.sampled_from([None, *PHONES[prefix]])),
        "ip_address": draw(st.sampled_from([*NETWORKS[prefix], None])),
        "device_id": draw(
            st.sampled_from([None, "unknown", "00-00", *(f"{prefix}d{number}" for number in range(3))])
        ),
        "delivery_name": draw(st.sampled_from(["Erika Mustermann", "ERIKA MUSTERMANN", "Max Muster"])),
    }
    return columns | draw(places(prefix, "delivery")) | draw(places(prefix, "billing"))


def of_kind(drawn: tuple[str, int]) -> Row:
    """An event of another kind; only an amendment has an amount."""
    kind, cents = drawn
    return {"kind": kind, "new_amount_cents": cents if kind == "amended" else None}


def places(prefix: str, column: str) -> st.SearchStrategy[Row]:
    parts = [f"{column}_{part}" for part in ("street", "house_number", "postal_code", "country")]
    return st.sampled_from(PLACES).map(
        lambda written: dict(zip(parts, (prefix + written[0], *written[1:]), strict=True))
    )


@st.composite
def worlds(draw: st.DrawFn, prefix: str = "") -> World:
    """Orders of three customers that share devices, places and networks, and what became of them."""
    world: World = {name: [] for name in CONTRACT_NAMES}
    # Ids are drawn, so that among rows of one moment any may come first.
    numbers = iter(draw(st.permutations(range(100))))

    def unique() -> str:
        return f"{prefix}event-{next(numbers):02}"

    # No two rows of a customer arrive at one instant: the ledger's clock sees to that.
    arrived: set[int] = set()

    def arrives(row: Row) -> Row:
        recorded_at = row["recorded_at"] - draw(st.sampled_from([0] * 19 + [200_000]))
        while recorded_at in arrived:
            recorded_at += 1
        arrived.add(recorded_at)
        return {**row, "recorded_at": recorded_at}

    def add(contract: str, row: Row, changes: st.SearchStrategy[Row]) -> None:
        row = arrives(row)
        world[contract].append(row)
        while draw(st.integers(0, 4)) == 0 and len(world[contract]) < 20:
            recorded_at = max(row["recorded_at"], draw(moments)) + draw(delays)
            row = {
                **row,
                **draw(changes),
                "event_id": unique(),
                "corrects": row["event_id"],
                "recorded_at": recorded_at + 200_000,
            }
            row = arrives(row)
            world[contract].append(row)

    customers = [f"{prefix}c{number}" for number in range(3)]
    for customer in customers:
        for _ in range(draw(st.integers(0, 2))):
            at = draw(moments)
            registered_at = START - draw(st.integers(0, 400)) * DAY - draw(st.integers(0, 1))
            state = a_customer(
                customer, event_id=unique(), at=at, registered_at=registered_at, recorded_at=at + draw(delays)
            )
            world["customers"].append(arrives(state))
    for order_number in range(draw(st.integers(1, 8))):
        at = draw(moments)
        order = an_order(
            f"{prefix}o{order_number}",
            draw(st.sampled_from(customers)),
            event_id=unique(),
            at=at,
            **draw(order_columns(prefix)),
        )
        order["recorded_at"] = at + draw(delays)
        add("orders", order, order_columns(prefix) | moments.map(lambda moment: {"occurred_at": moment}))
        of_order = {"order_id": order["order_id"], "customer_id": order["customer_id"]}
        new_places = st.one_of(st.just({}), places(prefix, "new_delivery"))
        for _ in range(draw(st.integers(0, 2))):
            happened = draw(moments)
            kinds = st.sampled_from(
                ["address_changed", "amended", "delivery_redirected", "shipment_booked", "shipped"]
            )
            kind = draw(kinds)
            event = a_row(
                "order_events",
                unique(),
                happened,
                happened + draw(delays),
                kind=kind,
                new_amount_cents=draw(amended_cents) if kind == "amended" else None,
                **of_order,
                **draw(new_places),
            )
            add("order_events", event, new_places | st.tuples(kinds, amended_cents).map(of_kind))
        for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
            found = draw(moments)
            kinds = st.sampled_from(OUTCOME_KINDS)
            outcome = a_row(
                "order_outcomes", unique(), found, found + draw(delays), kind=draw(kinds), **of_order
            )
            add("order_outcomes", outcome, kinds.map(lambda kind: {"kind": kind}))
    return world


@st.composite
def questions(draw: st.DrawFn) -> Question:
    """A world, one of its orders and a moment: often just when something was recorded, or a window later."""
    world = draw(worlds())
    order_id = draw(st.sampled_from(world["orders"]))["order_id"]
    recorded = draw(st.sampled_from(world["orders"] + world["order_events"] + world["order_outcomes"]))
    since = draw(st.sampled_from([0, 1, 1, 1, HALF_HOUR, 2 * HALF_HOUR, DAY, 7 * DAY, 30 * DAY, 90 * DAY]))
    moment = draw(st.one_of(moments, st.just(recorded["recorded_at"]), st.just(recorded["occurred_at"])))
    return world, order_id, moment + since


def online(world: World, order_id: str, as_of: int, maximum: int = MANY) -> dict[str, float] | None:
    values = order_risk_features(order_id, world, as_of, ORDER_RISK.linking(maximum))
    return None if values is None else dict(zip(ORDER_RISK.names, values, strict=True))


def decisions(asked: list[tuple[str, int]]) -> Decisions:
    return Decisions(
        decision_id=np.array([order_id for order_id, _ in asked], dtype=object),
        customer_id=np.array(["not read"] * len(asked), dtype=object),
        as_of_ms=np.array([as_of for _, as_of in asked], dtype=np.int64),
    )


def offline(world: World, asked: list[tuple[str, int]], maximum: int = MANY) -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        write_ledger(Path(folder), world)
        return build_features(Path(folder), decisions(asked), ORDER_RISK.linking(maximum)).values


def both(one: World, other: World) -> World:
    return {name: one[name] + other[name] for name in CONTRACT_NAMES}


@thorough
@given(questions(), st.sampled_from([FEW, MANY]))
def test_every_feature_is_what_its_description_says(question: Question, maximum: int) -> None:
    world, order_id, as_of = question
    expected = naive_order_risk(order_id, world, as_of, maximum)
    if expected is not None:
        expected = {name: expected[name] for name in ORDER_RISK.names}
    assert online(world, order_id, as_of, maximum) == expected


@with_files
@given(questions(), st.lists(moments, max_size=6), st.sampled_from([FEW, MANY]))
def test_an_offline_row_equals_the_online_row_bit_for_bit(
    question: Question, more: list[int], maximum: int
) -> None:
    world, _, as_of = question
    order_ids = sorted({row["order_id"] for row in world["orders"]})
    rows = {
        (order_id, moment): values
        for order_id in order_ids
        for moment in (as_of, *more)
        if (values := order_risk_features(order_id, world, moment, ORDER_RISK.linking(maximum))) is not None
    }
    for (asked, values), row in zip(rows.items(), offline(world, list(rows), maximum), strict=True):
        assert np.array(values).tobytes() == row.tobytes(), asked


@thorough
@given(questions())
def test_what_is_recorded_at_or_after_the_decision_changes_nothing(question: Question) -> None:
    world, order_id, as_of = question
    known = {name: [row for row in rows if row["recorded_at"] < as_of] for name, rows in world.items()}
    assert online(world, order_id, as_of) == online(known, order_id, as_of)


@with_files
@given(questions())
def test_what_is_recorded_at_or_after_the_decision_changes_no_offline_row(question: Question) -> None:
    world, order_id, as_of = question
    known = {name: [row for row in rows if row["recorded_at"] < as_of] for name, rows in world.items()}
    if online(known, order_id, as_of) is not None:
        asked = [(order_id, as_of)]
        assert offline(world, asked).tobytes() == offline(known, asked).tobytes()


@thorough
@given(questions(), worlds("other-"))
def test_orders_that_share_nothing_change_nothing(question: Question, other: World) -> None:
    world, order_id, as_of = question
    assert online(both(world, other), order_id, as_of) == online(world, order_id, as_of)


@with_files
@given(questions(), worlds("other-"))
def test_orders_that_share_nothing_change_no_offline_row(question: Question, other: World) -> None:
    world, order_id, as_of = question
    if online(world, order_id, as_of) is not None:
        asked = [(order_id, as_of)]
        assert offline(both(world, other), asked).tobytes() == offline(world, asked).tobytes()


@thorough
@given(questions(), st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(question: Question, random: Any) -> None:
    world, order_id, as_of = question
    shuffled = {name: sorted(rows, key=lambda _: random.random()) for name, rows in world.items()}
    assert online(shuffled, order_id, as_of) == online(world, order_id, as_of)


@thorough
@given(questions(), st.integers(-2000, 2000))
def test_a_shift_of_all_times_by_whole_days_changes_nothing(question: Question, days: int) -> None:
    world, order_id, as_of = question
    instants = ("occurred_at", "recorded_at", "registered_at")
    shifted = {
        name: [{k: v + days * DAY if k in instants else v for k, v in row.items()} for row in rows]
        for name, rows in world.items()
    }
    assert online(shifted, order_id, as_of + days * DAY) == online(world, order_id, as_of)


@with_files
@given(questions())
def test_an_order_that_is_not_known_yet_has_no_features(question: Question) -> None:
    world, order_id, _ = question
    recorded_at = min(row["recorded_at"] for row in world["orders"] if row["order_id"] == order_id)
    assert online(world, order_id, recorded_at) is None
    assert online(world, order_id, recorded_at + 1) is not None
    assert online(world, "never heard of", recorded_at + 1) is None
    for asked in ((order_id, recorded_at), ("never heard of", recorded_at + 1)):
        with pytest.raises(NoDecisionsError, match=asked[0]):
            offline(world, [asked])


@pytest.mark.parametrize("feature", ORDER_RISK.features, ids=lambda feature: feature.name)
def test_the_credit_score_refuses_every_fraud_feature(feature: Feature) -> None:
    with pytest.raises(NotAllowedFeatureError, match=feature.name):
        FeatureSet(name="credit", purpose=Purpose.CREDIT, features=(*INVOICE_ELIGIBILITY.features, feature))


def an_order_that_moves(**event: Any) -> World:
    """An order to place 0 whose parcel is sent to place 4 an hour later."""
    order = an_order(event_id="order-1", at=START, **at_place(0, "delivery"))
    moved = an_event("event-1", START + 2 * HALF_HOUR, 4, **event)
    return {"customers": [], "orders": [order], "order_events": [moved], "order_outcomes": []}


def an_event(event_id: str, at: int, place: int, **more: Any) -> Row:
    columns = {"order_id": "o1", "customer_id": "c1", "kind": "address_changed", **more}
    return a_row("order_events", event_id, at, None, **columns, **at_place(place, "new_delivery"))


def at_place(place: int, column: str) -> Row:
    parts = (f"{column}_{part}" for part in ("street", "house_number", "postal_code", "country"))
    return dict(zip(parts, PLACES[place], strict=True))


def orders_to_the_place(world: World) -> tuple[float, float]:
    """Orders to the place where the order goes in the end: of all customers, and of its own."""
    as_of = START + DAY
    features = online(world, "o1", as_of)
    assert features is not None
    row = offline(world, [("o1", as_of)])[0]
    assert row.tobytes() == np.array(list(features.values())).tobytes()
    return features["address_order_count_7d"], features["own_order_count_on_address_ever"]


def test_an_order_that_moves_is_one_order_to_its_new_place() -> None:
    assert orders_to_the_place(an_order_that_moves()) == (1, 1)


def test_an_order_that_moves_away_and_back_is_one_order_to_its_place() -> None:
    world = an_order_that_moves()
    world["order_events"].append(an_event("event-2", START + 3 * HALF_HOUR, 0))
    assert orders_to_the_place(world) == (1, 1)


def test_a_move_that_is_corrected_without_changing_the_place_still_ties_the_order_to_it() -> None:
    world = an_order_that_moves()
    correction = an_event("event-2", START + 3 * HALF_HOUR, 4, corrects="event-1", kind="delivery_redirected")
    world["order_events"].append(correction)
    assert orders_to_the_place(world) == (1, 1)


def test_a_move_back_to_the_place_of_a_replaced_version_ties_the_order_to_it() -> None:
    world = an_order_that_moves()
    first = world["orders"][0]
    replaced_at = START + 3 * HALF_HOUR
    second = {**first, "event_id": "order-2", "corrects": "order-1", "recorded_at": replaced_at}
    world["orders"].append({**second, **at_place(4, "delivery")})
    world["order_events"].append(an_event("event-2", START + 4 * HALF_HOUR, 0))
    assert orders_to_the_place(world) == (1, 1)


def test_a_finding_counts_at_a_place_that_the_order_moved_to_before_it_was_corrected_to_it() -> None:
    world = an_order_that_moves()
    first = world["orders"][0]
    second = {**first, "event_id": "order-2", "corrects": "order-1", "recorded_at": START + 9 * DAY}
    world["orders"].append({**second, **at_place(4, "delivery")})
    of_order = {"order_id": "o1", "customer_id": "c1"}
    world["order_outcomes"].append(
        a_row("order_outcomes", "found", START, None, kind="fraud_chargeback", **of_order)
    )
    row = dict(zip(ORDER_RISK.names, offline(world, [("o1", START + DAY)])[0].tolist(), strict=True))
    assert row == online(world, "o1", START + DAY)
    assert row["address_fraud_finding_count_365d"] == 1


def test_an_order_that_moves_and_is_then_ordered_anew_to_that_place_is_one_order() -> None:
    world = an_order_that_moves()
    first = world["orders"][0]
    replaced_at = START + 3 * HALF_HOUR
    second = {**first, "event_id": "order-2", "corrects": "order-1", "recorded_at": replaced_at}
    world["orders"].append({**second, **at_place(4, "delivery")})
    assert orders_to_the_place(world) == (1, 1)


@pytest.mark.parametrize("kind", ["address_changed", "delivery_redirected", "shipment_booked", "shipped"])
def test_a_new_place_counts_whatever_kind_of_event_tells_it(kind: str) -> None:
    world = an_order_that_moves(kind=kind)
    neighbour = an_order("o2", "c2", at=START, **at_place(4, "delivery"))
    world["orders"].append(neighbour)
    assert orders_to_the_place(world) == (2, 1)


def test_a_finding_counts_at_a_place_from_when_it_was_first_known_there_not_first_named() -> None:
    world = an_order_that_moves()
    # An event about the first place happened before the order, and is known only days later.
    early = {**an_event("event-0", START - HALF_HOUR, 0), "recorded_at": START + 9 * DAY}
    world["order_events"] = [early]
    of_order = {"order_id": "o1", "customer_id": "c1", "kind": "fraud_chargeback"}
    world["order_outcomes"].append(a_row("order_outcomes", "found", START + DAY, None, **of_order))
    world["orders"].append(an_order("o2", "c2", at=START, **at_place(0, "delivery")))
    as_of = START + 2 * DAY
    features = online(world, "o2", as_of)
    assert features is not None
    assert features["address_fraud_finding_count_365d"] == 1
    assert offline(world, [("o2", as_of)])[0].tobytes() == np.array(list(features.values())).tobytes()


def test_a_change_is_decided_on_when_it_is_known_though_the_order_is_replaced_later(tmp_path: Path) -> None:
    world = an_order_that_moves()
    first = world["orders"][0]
    second = {**first, "event_id": "order-2", "corrects": "order-1", "recorded_at": START + DAY}
    world["orders"].append(second)
    write_ledger(tmp_path, world)
    assert change_decisions(tmp_path).as_of_ms.tolist() == [world["order_events"][0]["recorded_at"] + 1]


@pytest.fixture(scope="module")
def little_book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    book = tmp_path_factory.mktemp("little-book")
    simulate_portfolio(book, customers=300, months=6, seed=5, ends_on=date(2026, 6, 1))
    return book


def rows_of(book: Path, name: str) -> list[Row]:
    contract = CONTRACTS[name]
    table = read_table(book, contract)
    for place, column in enumerate(contract.columns):
        if column.type is ColumnType.TIMESTAMP:
            table = table.set_column(place, column.name, table[column.name].cast(pa.int64()))
    rows: list[Row] = table.to_pylist()
    return rows


def entities_of_orders(world: World) -> dict[str, set[object]]:
    """Everything that each order ever had to do with."""
    named: dict[str, set[object]] = {}
    for tie in all_ties(world, END_OF_TIME):
        named.setdefault(tie.order_id, set()).add((tie.entity, tie.key))
    return named


def related(world: World, order_id: str, named: dict[str, set[object]]) -> World:
    """The rows of the orders that ever had an entity in common with an order, and of their customers."""
    order_ids = {other for other, entities in named.items() if entities & named[order_id]}
    rows = {
        name: [row for row in world[name] if row["order_id"] in order_ids]
        for name in CONTRACT_NAMES
        if name != "customers"
    }
    customers = {row["customer_id"] for row in rows["orders"]}
    rows["customers"] = [row for row in world["customers"] if row["customer_id"] in customers]
    return rows


@pytest.mark.parametrize("moments_of", [approval_decisions, change_decisions])
def test_a_whole_book_offline_equals_the_rows_of_related_orders_online(
    little_book: Path, moments_of: Any
) -> None:
    every = moments_of(little_book)
    places = np.random.default_rng(1).permutation(len(every))[:200]
    assert len(places) == 200 or moments_of is change_decisions
    mask = np.isin(np.arange(len(every)), places)
    sample = every.where(mask)
    values = build_features(little_book, sample, ORDER_RISK).values
    world = {name: rows_of(little_book, name) for name in CONTRACT_NAMES}
    named = entities_of_orders(world)
    for order_id, as_of, row in zip(sample.decision_id, sample.as_of_ms.tolist(), values, strict=True):
        expected = order_risk_features(order_id, related(world, order_id, named), as_of, ORDER_RISK)
        assert np.array(expected).tobytes() == row.tobytes(), order_id
