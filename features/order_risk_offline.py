"""Risk features of any number of orders, from a folder of Parquet: the trainer's evaluator.

An order's facts cross customers, so the folder is taken as a whole. The facts are those of
`features.order_risk_online`; tests hold the two equal to the bit.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from data_contracts.customers import CUSTOMERS
from data_contracts.order_events import AMENDED, ORDER_EVENTS
from data_contracts.order_outcomes import FRAUD_OUTCOMES, ORDER_OUTCOMES
from data_contracts.orders import ORDERS
from data_contracts.parquet_ledger import empty_table, has_table, read_table
from data_contracts.progress import Progress, no_progress
from features.amended_rows import with_amendments
from features.decisions import Decisions, NoDecisionsError
from features.declarations import FRAUD_FACT_OF, ORDER_FACT_OF, FactKind
from features.entities import LINKING, EntityKind
from features.fact_tables import FactTable, fact_table, table_of_facts
from features.feature_sets import FeatureSet
from features.instants import NEVER, Float64Array, Int64Array
from features.intervals import DecisionAxis
from features.link_columns import OrderLinks, StandingRows, places_in, standing_rows_of
from features.measures import evaluated
from features.order_facts import (
    CHANGES_OF_PLACE,
    COUNTED_CHANGES,
    OWN_COLUMNS,
    FindingFact,
    OrderAttributes,
    ThisOrderFact,
    finding_fact,
    order_change_facts,
    order_fact,
    this_order_fact,
)
from features.order_links import LINK_COLUMNS, MOVE_COLUMNS
from features.single_row_facts import registration_fact
from features.supersession import (
    SeenInterval,
    Version,
    counted_milliseconds,
    intervals_of_one_thing,
    needed_columns,
    seen_rows,
)

_STEPS = 4
_ORDER_COLUMNS = tuple(dict.fromkeys((*LINK_COLUMNS, *OWN_COLUMNS)))


def approval_decisions(directory: Path) -> Decisions:
    """One decision per order, as soon as the order is known.

    Raises NoDecisionsError if the folder holds no orders.
    """
    orders = standing_rows_of(directory, ORDERS, ("order_id", "customer_id")).as_recorded()
    if len(orders) == 0:
        raise NoDecisionsError(f"{directory} holds no orders; simulate or import a ledger first")
    first = np.sort(_first_of_each(orders.texts("order_id")))
    return _decisions(orders, first, orders.seen_from[first] + 1)


def change_decisions(directory: Path) -> Decisions:
    """One decision per change of an order's delivery, as soon as the change is known."""
    orders = standing_rows_of(directory, ORDERS, ("order_id", "customer_id")).as_recorded()
    events = standing_rows_of(directory, ORDER_EVENTS, ("order_id", "kind"), kinds=CHANGES_OF_PLACE)
    first = _first_of_each(orders.texts("order_id"))
    order = places_in(events.table["order_id"], orders.table["order_id"].take(pa.array(first)))
    is_known = order >= 0
    of_event = first[order[is_known]]
    known_from = np.maximum(events.seen_from[is_known], orders.seen_from[of_event])
    return _decisions(orders, of_event, known_from + 1)


def _first_of_each(texts: NDArray[np.object_]) -> NDArray[np.intp]:
    """The places at which each distinct text comes first."""
    return np.unique(texts.astype(str), return_index=True)[1]


def _decisions(orders: StandingRows, places: NDArray[np.intp], as_of_ms: Int64Array) -> Decisions:
    return Decisions(
        decision_id=orders.texts("order_id")[places],
        customer_id=orders.texts("customer_id")[places],
        as_of_ms=as_of_ms,
    )


def build_order_risk_features(
    directory: Path, decisions: Decisions, feature_set: FeatureSet, progress: Progress = no_progress
) -> Float64Array:
    """The features of orders (decision_id is the order_id) at their moments.

    Returns shape (n_decisions, n_features). Raises NoDecisionsError for an order that is not known at
    its moment.
    """
    step = f"features of {len(decisions):,} orders"
    progress(step, done=0, total=_STEPS)
    amendments = standing_rows_of(
        directory, ORDER_EVENTS, ("order_id", "new_amount_cents", "kind"), kinds=(AMENDED,)
    )
    ordered = standing_rows_of(directory, ORDERS, _ORDER_COLUMNS)
    orders = with_amendments(ordered, amendments).as_recorded()
    events = standing_rows_of(directory, ORDER_EVENTS, MOVE_COLUMNS, kinds=COUNTED_CHANGES).as_recorded()
    progress(step, done=1, total=_STEPS)
    links = OrderLinks(orders, events)
    progress(step, done=2, total=_STEPS)
    codes = _codes(links, decisions, feature_set.linked_customers_maximum)
    facts = {kind: _order_facts(links, codes[entity]) for entity, kind in ORDER_FACT_OF.items()}
    outcomes = standing_rows_of(directory, ORDER_OUTCOMES, ("order_id", "kind"), kinds=tuple(FRAUD_OUTCOMES))
    facts |= _fraud_facts(outcomes, links, codes)
    facts |= _own_facts(orders, events, links, codes[EntityKind.ORDER])
    facts[FactKind.REGISTRATION] = _registrations(directory, links, codes[EntityKind.CUSTOMER])
    progress(step, done=3, total=_STEPS)
    axes = {entity: DecisionAxis.of(code.of_decision, decisions.as_of_ms) for entity, code in codes.items()}
    values = evaluated(feature_set, facts, axes, decisions.as_of_ms)
    progress(step, done=_STEPS, total=_STEPS)
    return values


@dataclass(frozen=True, kw_only=True)
class _Codes:
    """Numbers 0, 1, 2, ... for the entities of a kind that a decision has: facts of others are not asked for.

    entities: as the links number them, ascending. of_decision, of_link: one code for each decision and link;
    a decision that has none gets a number of its own, a link -1.
    """

    entities: Int64Array
    of_decision: Int64Array
    of_link: Int64Array


def _codes(links: OrderLinks, decisions: Decisions, customers_maximum: int) -> dict[EntityKind, _Codes]:
    named = links.entities_of(decisions)
    for kind in LINKING:
        crowded_from = links.crowded_from(kind, customers_maximum)
        named[kind] = np.where(decisions.as_of_ms > crowded_from[named[kind]], -1, named[kind])
    codes = {}
    for kind, entity in named.items():
        entities = np.unique(entity[entity >= 0])
        code = _places_of(entities, entity)
        codes[kind] = _Codes(
            entities=entities,
            of_decision=np.where(code < 0, len(entities), code),
            of_link=_places_of(entities, links.entity[kind]),
        )
    return codes


def _places_of(entities: Int64Array, wanted: Int64Array) -> Int64Array:
    """Where each wanted number stands among ascending ones; -1 where it does not."""
    if len(entities) == 0:
        return np.full(len(wanted), -1, dtype=np.int64)
    place = np.minimum(np.searchsorted(entities, wanted), len(entities) - 1)
    return np.where(entities[place] == wanted, place, -1)


def _order_facts(links: OrderLinks, codes: _Codes) -> FactTable:
    """An order that names an entity twice counts once, by the first row that still stands."""
    asked = np.flatnonzero(codes.of_link >= 0)
    code = codes.of_link[asked]
    seen = links.seen_from[asked], links.seen_until[asked]
    of_order = _while_first(code * len(links.order_ids) + links.order[asked], *seen)
    of_customer = _while_first(code * len(links.customer_ids) + links.customer[asked], *seen)
    cut = _cut_where_first(of_order, of_customer)
    at = asked[cut.standing.place]
    facts = order_fact(
        cut.standing.seen_from,
        cut.standing.seen_until,
        occurred_at=links.occurred_at[at],
        attributes=OrderAttributes(*(column[at] for column in links.attributes)),
        is_first_of_customer=cut.is_first,
    )
    return fact_table(code[cut.standing.place], facts)


class _Standing(NamedTuple):
    """Places with the intervals in which they stand; all of shape (n_intervals,)."""

    place: Int64Array
    seen_from: Int64Array
    seen_until: Int64Array


class _CutIntervals(NamedTuple):
    """Intervals that were cut; is_first: 1 where the place is its customer's first. Shapes (n_intervals,)."""

    standing: _Standing
    is_first: Int64Array


def _while_first(group: Int64Array, seen_from: Int64Array, seen_until: Int64Array) -> _Standing:
    """When each row is the first of its group among those that stand; rows by when they happened."""
    if len(group) == 0:
        return _Standing(group, seen_from, seen_until)
    order = np.argsort(group, kind="stable")
    start = np.flatnonzero(np.concatenate([[True], np.diff(group[order]) != 0]))
    size = np.diff(np.append(start, len(group)))
    first = order[start]
    # Known before all others and never corrected, a first row stays first: so it is in nearly every group.
    earliest = np.minimum.reduceat(seen_from[order], start)
    is_plain = (size == 1) | ((seen_until[first] == NEVER) & (seen_from[first] == earliest))
    changing: list[tuple[int, int, int]] = []
    for begin, count in zip(start[~is_plain].tolist(), size[~is_plain].tolist(), strict=True):
        versions = [
            Version((-place,), int(seen_from[place]), int(seen_until[place]), place)
            for place in order[begin : begin + count].tolist()
        ]
        changing += [(place, *interval) for place, interval in intervals_of_one_thing(versions)]
    others = np.array(changing, dtype=np.int64).reshape(len(changing), 3)
    plain = first[is_plain]
    return _Standing(
        place=np.concatenate([plain, others[:, 0]]),
        seen_from=np.concatenate([seen_from[plain], others[:, 1]]),
        seen_until=np.concatenate([seen_until[plain], others[:, 2]]),
    )


def _cut_where_first(standing: _Standing, firsts: _Standing) -> _CutIntervals:
    """Intervals cut where a row begins and ends to be its customer's first."""
    place, seen_from, seen_until = standing
    firsts_of: defaultdict[int, list[SeenInterval]] = defaultdict(list)
    count = np.zeros(
        max((int(one.max()) + 1 for one in (place, firsts.place) if len(one)), default=0), np.int64
    )
    np.add.at(count, firsts.place, 1)
    from_of, until_of = np.full(len(count), NEVER), np.full(len(count), NEVER)
    from_of[firsts.place], until_of[firsts.place] = firsts.seen_from, firsts.seen_until
    is_never = count[place] == 0
    is_always = (count[place] == 1) & (from_of[place] <= seen_from) & (seen_until <= until_of[place])
    is_cut = ~is_never & ~is_always
    wanted = np.isin(firsts.place, place[is_cut])
    for own, begin, end in zip(*(column[wanted].tolist() for column in firsts), strict=True):
        firsts_of[own].append(SeenInterval(begin, end))
    parts = [
        (own, *part)
        for own, begin, end in zip(*(column[is_cut].tolist() for column in standing), strict=True)
        for part in _parts(SeenInterval(begin, end), firsts_of[own])
    ]
    cut = np.array(parts, dtype=np.int64).reshape(len(parts), 4)
    whole = ~is_cut
    return _CutIntervals(
        standing=_Standing(
            place=np.concatenate([place[whole], cut[:, 0]]),
            seen_from=np.concatenate([seen_from[whole], cut[:, 1]]),
            seen_until=np.concatenate([seen_until[whole], cut[:, 2]]),
        ),
        is_first=np.concatenate([is_always[whole].astype(np.int64), cut[:, 3]]),
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
    findings: StandingRows, links: OrderLinks, codes: Mapping[EntityKind, _Codes]
) -> dict[FactKind, FactTable]:
    """A finding counts for every entity that the order has named, from when both were known."""
    order = places_in(findings.table["order_id"], links.order_ids)
    is_found = np.isin(links.order, order[order >= 0])
    tables = {}
    for entity, kind in FRAUD_FACT_OF.items():
        # The links come in the order in which they happened, not in which they became known.
        known_from: defaultdict[int, dict[int, int]] = defaultdict(dict)
        asked = np.flatnonzero(is_found & (codes[entity].of_link >= 0))
        for of_order, code, seen_from in zip(
            links.order[asked].tolist(),
            codes[entity].of_link[asked].tolist(),
            links.seen_from[asked].tolist(),
            strict=True,
        ):
            known_from[of_order][code] = min(seen_from, known_from[of_order].get(code, NEVER))
        found = [
            (code, finding_fact(max(seen_from, known), seen_until, occurred_at=occurred_at))
            for of_order, seen_from, seen_until, occurred_at in zip(
                order.tolist(),
                findings.seen_from.tolist(),
                findings.seen_until.tolist(),
                findings.occurred_at.tolist(),
                strict=True,
            )
            if of_order in known_from
            for code, known in known_from[of_order].items()
        ]
        tables[kind] = table_of_facts(FindingFact, [code for code, _ in found], [fact for _, fact in found])
    return tables


def _own_facts(
    orders: StandingRows, events: StandingRows, links: OrderLinks, codes: _Codes
) -> dict[FactKind, FactTable]:
    code = _places_of(codes.entities, links.order_of_row)
    asked = np.flatnonzero(code >= 0)
    rows = orders.table.select(OWN_COLUMNS).take(pa.array(asked)).to_pylist()
    own = [
        this_order_fact(seen_from, seen_until, {**row, "occurred_at": occurred_at})
        for row, seen_from, seen_until, occurred_at in zip(
            rows,
            orders.seen_from[asked].tolist(),
            orders.seen_until[asked].tolist(),
            orders.occurred_at[asked].tolist(),
            strict=True,
        )
    ]
    changed = _places_of(codes.entities, places_in(events.table["order_id"], links.order_ids))
    kinds = events.texts("kind")
    counts = np.flatnonzero((changed >= 0) & np.isin(kinds.astype(str), COUNTED_CHANGES))
    changes = order_change_facts(events.seen_from[counts], events.seen_until[counts], kinds[counts])
    return {
        FactKind.THIS_ORDER: table_of_facts(ThisOrderFact, code[asked].tolist(), own),
        FactKind.ORDER_CHANGE: fact_table(changed[counts], changes),
    }


def _registrations(directory: Path, links: OrderLinks, codes: _Codes) -> FactTable:
    wanted = [*needed_columns(CUSTOMERS), "registered_at"]
    table = (
        read_table(directory, CUSTOMERS, wanted)
        if has_table(directory, CUSTOMERS)
        else empty_table(CUSTOMERS).select(wanted)
    )
    seen = seen_rows(CUSTOMERS, table)
    customers = links.customer_ids.take(pa.array(codes.entities))
    entity = places_in(table["customer_id"], customers)[seen.place]
    known = entity >= 0
    registered_at = counted_milliseconds(CUSTOMERS, table, "registered_at")[seen.place]
    facts = registration_fact(
        seen.seen_from[known], seen.seen_until[known], registered_at=registered_at[known]
    )
    return fact_table(entity[known], facts)
