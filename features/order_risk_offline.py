"""Risk features of any number of orders, from a folder of Parquet: the trainer's evaluator.

An order's facts cross customers, so the folder is taken as a whole. The facts are those of
`features.order_risk_online`; tests hold the two equal to the bit.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_contracts.contract import Contract
from data_contracts.customers import CUSTOMERS
from data_contracts.order_events import ORDER_EVENTS
from data_contracts.order_outcomes import FRAUD_OUTCOMES, ORDER_OUTCOMES
from data_contracts.orders import ORDERS
from data_contracts.parquet_ledger import empty_table, has_table, read_table
from data_contracts.progress import Progress, no_progress
from data_contracts.sent_instants import HAPPENED_AT
from features.decisions import Decisions, NoDecisionsError
from features.declarations import FACT_COLUMNS, FRAUD_FACT_OF, LINKING, ORDER_FACT_OF, EntityKind, FactKind
from features.fact_tables import FactTable
from features.feature_sets import FeatureSet
from features.instants import NEVER, Float64Array
from features.intervals import DecisionAxis
from features.measures import evaluated
from features.order_links import (
    Keys,
    address_keys,
    change_attributes,
    delivery_key,
    order_keys,
    own_attributes,
    shared_attributes,
)
from features.supersession import (
    SeenInterval,
    Version,
    counted_milliseconds,
    happened_milliseconds,
    intervals_of_one_thing,
    needed_columns,
    seen_rows,
)

_STEPS = 4
MOVES = ("address_changed", "delivery_redirected")
CHANGES = (*MOVES, "shipment_booked")
_ORDER_COLUMNS = (
    "order_id",
    "customer_id",
    "merchant_id",
    "amount_cents",
    "kind",
    "item_category",
    *(
        f"{prefix}_{part}"
        for prefix in ("delivery", "billing")
        for part in ("name", "street", "house_number", "postal_code", "country")
    ),
    "contact_email",
    "contact_phone",
    "device_id",
    "ip_address",
)
_EVENT_COLUMNS = (
    "order_id",
    "kind",
    *(f"new_delivery_{part}" for part in ("street", "house_number", "postal_code", "country")),
)


def approval_decisions(directory: Path) -> Decisions:
    """One decision per order, as soon as the order is known.

    Raises NoDecisionsError if the folder holds no orders.
    """
    orders = _rows(directory, ORDERS, ("order_id", "customer_id"))
    first: dict[str, dict[str, Any]] = {}
    for row in sorted(orders, key=_recorded):
        first.setdefault(row["order_id"], row)
    if not first:
        raise NoDecisionsError(f"{directory} holds no orders; simulate or import a ledger first")
    return _decisions([(row, row["seen_from"] + 1) for row in first.values()])


def change_decisions(directory: Path) -> Decisions:
    """One decision per change of an order's delivery, as soon as the change is known."""
    orders: dict[str, dict[str, Any]] = {}
    for row in sorted(_rows(directory, ORDERS, ("order_id", "customer_id")), key=_recorded):
        orders.setdefault(row["order_id"], row)
    moments = []
    for event in _rows(directory, ORDER_EVENTS, ("order_id", "kind"), kinds=MOVES):
        order = orders.get(event["order_id"])
        if order is not None:
            moments.append((order, max(event["seen_from"], order["seen_from"]) + 1))
    return _decisions(moments)


def _decisions(moments: Sequence[tuple[dict[str, Any], int]]) -> Decisions:
    return Decisions(
        decision_id=np.array([row["order_id"] for row, _ in moments], dtype=object),
        customer_id=np.array([row["customer_id"] for row, _ in moments], dtype=object),
        as_of_ms=np.array([as_of_ms for _, as_of_ms in moments], dtype=np.int64),
    )


def _recorded(row: dict[str, Any]) -> tuple[int, str]:
    return row["recorded_at"], row["event_id"]


def _happened(row: dict[str, Any]) -> tuple[int, int, str]:
    return row[HAPPENED_AT], row["recorded_at"], row["event_id"]


def _rows(
    directory: Path, contract: Contract, names: Sequence[str], kinds: Sequence[str] | None = None
) -> list[dict[str, Any]]:
    """The rows of a contract, or those of some kinds, once for each interval in which they stand.

    Instants in ms.
    """
    wanted = list(dict.fromkeys([*needed_columns(contract), *contract.key, *names]))
    table = (
        read_table(directory, contract, wanted)
        if has_table(directory, contract)
        else empty_table(contract).select(wanted)
    )
    seen = seen_rows(contract, table)
    instants = {name: counted_milliseconds(contract, table, name) for name in ("occurred_at", "recorded_at")}
    instants[HAPPENED_AT] = happened_milliseconds(contract, table)
    if kinds is not None:
        is_wanted = pc.is_in(table["kind"], value_set=pa.array(kinds))
        if "new_delivery_street" in table.column_names:
            # Whatever an event is called, one that names another place moves the parcel.
            is_wanted = pc.or_(is_wanted, pc.is_valid(table["new_delivery_street"]))
        seen = seen.where(is_wanted.to_numpy()[seen.place])
    rows: list[dict[str, Any]] = (
        table.drop_columns(["occurred_at", "recorded_at"]).take(pa.array(seen.place)).to_pylist()
    )
    for row, place, start, end in zip(
        rows, seen.place.tolist(), seen.seen_from.tolist(), seen.seen_until.tolist(), strict=True
    ):
        row |= {"seen_from": start, "seen_until": end}
        row |= {name: int(values[place]) for name, values in instants.items()}
    return rows


def build_order_risk_features(
    directory: Path, decisions: Decisions, feature_set: FeatureSet, progress: Progress = no_progress
) -> Float64Array:
    """The features of orders (decision_id is the order_id) at their moments.

    Returns shape (n_decisions, n_features). Raises NoDecisionsError for an order that is not known at
    its moment.
    """
    step = f"features of {len(decisions):,} orders"
    progress(step, done=0, total=_STEPS)
    orders = sorted(_rows(directory, ORDERS, _ORDER_COLUMNS), key=_recorded)
    events = sorted(_rows(directory, ORDER_EVENTS, _EVENT_COLUMNS, kinds=CHANGES), key=_recorded)
    progress(step, done=1, total=_STEPS)
    links = _Links(orders, events)
    progress(step, done=2, total=_STEPS)
    crowded_from = links.crowded_from(feature_set.linked_customers_maximum)
    keys = [
        {kind: key for kind, key in own.items() if as_of_ms <= crowded_from.get((kind, key), NEVER)}
        for own, as_of_ms in zip(links.keys_of(decisions), decisions.as_of_ms.tolist(), strict=True)
    ]
    codes = {entity: _codes(keys, entity) for entity in EntityKind}
    facts = _order_facts(links, codes)
    facts |= _fraud_facts(_rows(directory, ORDER_OUTCOMES, ("order_id", "kind")), links, codes)
    facts |= _own_facts(orders, events, codes[EntityKind.ORDER])
    facts[FactKind.REGISTRATION] = _registrations(directory, codes[EntityKind.CUSTOMER])
    progress(step, done=3, total=_STEPS)
    axes = {
        entity: DecisionAxis.of(
            np.array([code.get(key.get(entity), len(code)) for key in keys], dtype=np.int64),
            decisions.as_of_ms,
        )
        for entity, code in codes.items()
    }
    values = evaluated(feature_set, facts, axes, decisions.as_of_ms)
    progress(step, done=_STEPS, total=_STEPS)
    return values


class _Links:
    """The rows that tie orders to entities, in the order in which they happened."""

    def __init__(self, orders: Sequence[dict[str, Any]], events: Sequence[dict[str, Any]]) -> None:
        self.versions: defaultdict[str, list[tuple[dict[str, Any], Keys]]] = defaultdict(list)
        self.moves: defaultdict[str, list[tuple[dict[str, Any], str]]] = defaultdict(list)
        self.rows: list[tuple[dict[str, Any], Keys, tuple[int, int, int], str]] = []
        for row in orders:
            keys = order_keys(row)
            self.versions[row["order_id"]].append((row, keys))
            self.rows.append((row, keys, shared_attributes(row), row["customer_id"]))
        for event in events:
            address = delivery_key(event, "new_delivery")
            if address is None or event["order_id"] not in self.versions:
                continue
            order, _ = self.versions[event["order_id"]][0]
            self.moves[event["order_id"]].append((event, address))
            # Before its order is known, nothing can be said about whose parcel was moved.
            known = {**event, "seen_from": max(event["seen_from"], order["seen_from"])}
            customer = order["customer_id"]
            self.rows.append((known, address_keys(customer, address), shared_attributes(order), customer))
        self.rows.sort(key=lambda link: _happened(link[0]))
        for moves in self.moves.values():
            moves.sort(key=lambda move: _happened(move[0]))

    def crowded_from(self, customers_maximum: int) -> dict[tuple[EntityKind, str], int]:
        """From when on more customers than that are known to have named an entity, corrected or not.

        An entity that is never so has no entry.
        """
        first_known: defaultdict[tuple[EntityKind, str], dict[str, int]] = defaultdict(dict)
        for row, keys, _, customer in self.rows:
            for kind in LINKING:
                if kind in keys:
                    known_from_of = first_known[kind, keys[kind]]
                    known_from_of[customer] = min(row["seen_from"], known_from_of.get(customer, NEVER))
        return {
            entity: sorted(known_from_of.values())[customers_maximum]
            for entity, known_from_of in first_known.items()
            if len(known_from_of) > customers_maximum
        }

    def keys_of(self, decisions: Decisions) -> list[Keys]:
        """The entities of each decision's order as known at its moment."""
        return [
            self._keys_at(order_id, as_of_ms)
            for order_id, as_of_ms in zip(
                decisions.decision_id.tolist(), decisions.as_of_ms.tolist(), strict=True
            )
        ]

    def _keys_at(self, order_id: str, as_of_ms: int) -> Keys:
        seen = [
            (row, keys)
            for row, keys in self.versions.get(order_id, ())
            if row["seen_from"] < as_of_ms <= row["seen_until"]
        ]
        if not seen:
            raise NoDecisionsError(f"order {order_id} is not known at the moment of its decision")
        row, keys = seen[-1]
        moved = [
            address
            for event, address in self.moves.get(order_id, ())
            if event["seen_from"] < as_of_ms <= event["seen_until"]
        ]
        return order_keys(row, moved[-1]) if moved else keys


Codes = dict[str | None, int]


def _codes(keys: Sequence[Keys], entity: EntityKind) -> Codes:
    """A number for each key of an entity that a decision has: facts of others are not asked for."""
    code: Codes = {}
    for own in keys:
        if entity in own:
            code.setdefault(own[entity], len(code))
    return code


def _table(kind: FactKind, facts: Sequence[tuple[int, ...]]) -> FactTable:
    """Facts given as tuples of the entity's code and the kind's columns."""
    names = ("entity", *FACT_COLUMNS[kind])
    columns = np.array(facts, dtype=np.int64).reshape(len(facts), len(names))
    return {name: np.ascontiguousarray(columns[:, index]) for index, name in enumerate(names)}


def _order_facts(links: _Links, codes: dict[EntityKind, Codes]) -> dict[FactKind, FactTable]:
    tables = {}
    for entity, kind in ORDER_FACT_OF.items():
        of_order: defaultdict[tuple[int, str], list[int]] = defaultdict(list)
        of_customer: defaultdict[tuple[int, str], list[int]] = defaultdict(list)
        for place, (row, keys, _, customer) in enumerate(links.rows):
            code = codes[entity].get(keys.get(entity))
            if code is not None:
                of_order[code, row["order_id"]].append(place)
                of_customer[code, customer].append(place)
        firsts: defaultdict[int, list[SeenInterval]] = defaultdict(list)
        for places in of_customer.values():
            for place, interval in _while_first(links, places):
                firsts[place].append(interval)
        facts = []
        for (code, _), places in of_order.items():
            # An order that names an entity twice counts once, by the first row that still stands.
            for place, interval in _while_first(links, places):
                row, _, attributes, _ = links.rows[place]
                when = row["occurred_at"]
                for seen_from, seen_until, is_first in _parts(interval, firsts[place]):
                    facts.append((code, seen_from, seen_until, when, -when, *attributes, is_first))
        tables[kind] = _table(kind, facts)
    return tables


def _while_first(links: _Links, places: Sequence[int]) -> list[tuple[int, SeenInterval]]:
    """Of links at ascending places: when each is the first that happened among those that stand."""
    rows = [links.rows[place][0] for place in places]
    if len(rows) == 1:
        return [(places[0], SeenInterval(rows[0]["seen_from"], rows[0]["seen_until"]))]
    return intervals_of_one_thing(
        [
            Version((-place,), row["seen_from"], row["seen_until"], place)
            for place, row in zip(places, rows, strict=True)
        ]
    )


def _parts(interval: SeenInterval, firsts: Sequence[SeenInterval]) -> Iterator[tuple[int, int, int]]:
    """An interval cut where a link begins and ends to be its customer's first: from, until, is_first.

    firsts: disjoint, by time.
    """
    start = interval.seen_from
    for first in firsts:
        low, high = max(first.seen_from, start), min(first.seen_until, interval.seen_until)
        if low < high:
            if start < low:
                yield start, low, 0
            yield low, high, 1
            start = high
    if start < interval.seen_until:
        yield start, interval.seen_until, 0


def _fraud_facts(
    outcomes: Sequence[dict[str, Any]], links: _Links, codes: dict[EntityKind, Codes]
) -> dict[FactKind, FactTable]:
    """A finding counts for every entity that the order has named, from when both were known."""
    findings = [row for row in outcomes if row["kind"] in FRAUD_OUTCOMES]
    found = {row["order_id"] for row in findings}
    named: defaultdict[str, dict[tuple[EntityKind, str], int]] = defaultdict(dict)
    for row, keys, _, _ in links.rows:
        if row["order_id"] in found:
            known_from_of = named[row["order_id"]]
            for entity, key in keys.items():
                # The links come in the order in which they happened, not in which they became known.
                earlier = known_from_of.get((entity, key), NEVER)
                known_from_of[entity, key] = min(row["seen_from"], earlier)
    facts: defaultdict[FactKind, list[tuple[int, ...]]] = defaultdict(list)
    for row in findings:
        for (entity, key), known_from in named[row["order_id"]].items():
            kind, code = FRAUD_FACT_OF.get(entity), codes[entity].get(key)
            if kind is not None and code is not None:
                seen_from = max(row["seen_from"], known_from)
                facts[kind].append((code, seen_from, row["seen_until"], row["occurred_at"]))
    return {kind: _table(kind, facts[kind]) for kind in FRAUD_FACT_OF.values()}


def _own_facts(
    orders: Sequence[dict[str, Any]], events: Sequence[dict[str, Any]], code: Codes
) -> dict[FactKind, FactTable]:
    this_order = [
        (code[row["order_id"]], row["seen_from"], row["seen_until"], *own_attributes(row))
        for row in orders
        if row["order_id"] in code
    ]
    changes = [
        (code[row["order_id"]], row["seen_from"], row["seen_until"], *changed)
        for row in events
        if row["order_id"] in code and (changed := change_attributes(row)) is not None
    ]
    return {
        FactKind.THIS_ORDER: _table(FactKind.THIS_ORDER, this_order),
        FactKind.ORDER_CHANGE: _table(FactKind.ORDER_CHANGE, changes),
    }


def _registrations(directory: Path, code: Codes) -> FactTable:
    wanted = [*needed_columns(CUSTOMERS), "registered_at"]
    table = (
        read_table(directory, CUSTOMERS, wanted)
        if has_table(directory, CUSTOMERS)
        else empty_table(CUSTOMERS).select(wanted)
    )
    seen = seen_rows(CUSTOMERS, table)
    place = pc.index_in(table["customer_id"], value_set=pa.array([key for key in code if key is not None]))
    entity = pc.fill_null(place, -1).to_numpy().astype(np.int64)[seen.place]
    known = entity >= 0
    registered_at = counted_milliseconds(CUSTOMERS, table, "registered_at")[seen.place]
    columns = (
        entity[known],
        seen.seen_from[known],
        seen.seen_until[known],
        np.ones(int(known.sum()), dtype=np.int64),
        -registered_at[known],
    )
    return dict(zip(("entity", *FACT_COLUMNS[FactKind.REGISTRATION]), columns, strict=True))
