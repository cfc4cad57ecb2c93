"""Which orders share a device, an address, a network, a merchant: the index that a screening reads.

What an order shares with its customer's other orders needs no index: a customer's rows lie together.
"""

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from data_contracts.contract import Contract
from data_contracts.customers import CUSTOMERS
from data_contracts.order_events import ORDER_EVENTS
from data_contracts.order_outcomes import FRAUD_OUTCOMES, ORDER_OUTCOMES
from data_contracts.orders import ORDERS
from features.declarations import FRAUD_FACT_OF, ORDER_FACT_OF
from features.entities import LINKING, EntityKind
from features.feature_sets import FeatureSet
from features.order_links import Keys, address_keys, delivery_key, order_keys
from features.plain_orders import PlainOrders, counted_orders
from serving.store.id_lists import lists_of_ids
from serving.store.ledger_rows import LedgerRow, decode_row
from serving.store.store import Transaction

INDEXED = (
    EntityKind.DEVICE,
    EntityKind.DELIVERY_ADDRESS,
    EntityKind.MAILBOX,
    EntityKind.PHONE,
    EntityKind.IP_PREFIX,
    EntityKind.EMAIL_DOMAIN,
    EntityKind.MERCHANT,
)
_KEY = "entity_kind, entity_key, is_finding, occurred_at_ms, event_id"
_COLUMNS = f"{_KEY}, order_id, customer_id"
_INSERT = f"INSERT INTO order_links ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - constants
INSERT_LINK = f"{_INSERT} ON CONFLICT DO NOTHING"
_INSERT_LINK_TO_READ = f"{_INSERT} ON CONFLICT ({_KEY}) DO UPDATE SET is_plain = 0"
_INSERT_PLAIN_LINK = (
    f"INSERT INTO order_links ({_COLUMNS}, recorded_at_ms, is_plain) "  # noqa: S608 - constants
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1) ON CONFLICT DO NOTHING"
)
_CUSTOMER_CONTRACTS = (CUSTOMERS.name, ORDERS.name, ORDER_EVENTS.name, ORDER_OUTCOMES.name)
_NEWS_CONTRACTS = (ORDER_EVENTS.name, ORDER_OUTCOMES.name)
LINKS_FOR_EACH_ORDER = 4
"""So many links are read for an order that is wanted: refused orders are linked too, and moved ones twice."""


def link_order(tx: Transaction, row: Mapping[str, Any]) -> None:
    """Index a row of the orders contract, to be read whenever it counts; again changes nothing."""
    tx.execute_many(_INSERT_LINK_TO_READ, order_link_parameters(row))


def link_decided_orders(tx: Transaction, order_ids: Sequence[str]) -> set[str]:
    """Index orders that were decided; returns those that the ledger has.

    One of which the ledger has a single row, no move and no finding is plain: it is counted by its links
    alone. Whoever writes more about it writes its links again, and from then on it is read.
    """
    versions: dict[str, list[LedgerRow]] = {}
    for row in _orders(tx, order_ids):
        versions.setdefault(row["order_id"], []).append(row)
    customers = sorted({row["customer_id"] for rows in versions.values() for row in rows})
    told = {
        row["order_id"] for rows in customers_rows(tx, customers, _NEWS_CONTRACTS).values() for row in rows
    }
    plain: list[tuple[object, ...]] = []
    changed: list[tuple[object, ...]] = []
    for order_id, rows in sorted(versions.items()):
        (row, *more) = rows
        if more or order_id in told or row["occurred_at"] > row["recorded_at"]:
            changed += [values for row in rows for values in order_link_parameters(row)]
        else:
            plain += [(*values, row["recorded_at"]) for values in order_link_parameters(row)]
    tx.execute_many(_INSERT_PLAIN_LINK, plain)
    tx.execute_many(_INSERT_LINK_TO_READ, changed)
    return set(versions)


def order_link_parameters(row: Mapping[str, Any]) -> list[tuple[object, ...]]:
    """The index rows of an order."""
    return link_parameters(order_keys(row), row, is_finding=False)


def link_parameters(keys: Keys, row: Mapping[str, Any], *, is_finding: bool) -> list[tuple[object, ...]]:
    """The index rows of what a ledger row names."""
    return [
        (
            entity.value,
            keys[entity],
            int(is_finding),
            row["occurred_at"],
            row["event_id"],
            row["order_id"],
            row["customer_id"],
        )
        for entity in INDEXED
        if entity in keys
    ]


def link_event(tx: Transaction, row: Mapping[str, Any]) -> None:
    """Index an order event that moves the parcel to another place."""
    address = delivery_key(row, "new_delivery")
    if address is not None:
        for order in _orders(tx, [row["order_id"]]):
            link_order(tx, order)
        tx.execute_many(
            INSERT_LINK, link_parameters(address_keys(row["customer_id"], address), row, is_finding=False)
        )
        for outcome in customers_rows(tx, [row["customer_id"]]).get(ORDER_OUTCOMES.name, []):
            if outcome["order_id"] == row["order_id"]:
                link_outcome(tx, outcome)


def link_outcome(tx: Transaction, row: Mapping[str, Any]) -> None:
    """Index a finding of fraud under everything that its order has named."""
    if row["kind"] not in FRAUD_OUTCOMES:
        return
    named: set[tuple[EntityKind, str]] = set()
    for order in _orders(tx, [row["order_id"]]):
        link_order(tx, order)
        named |= set(order_keys(order).items())
    for event in customers_rows(tx, [row["customer_id"]]).get(ORDER_EVENTS.name, []):
        address = delivery_key(event, "new_delivery")
        if event["order_id"] == row["order_id"] and address is not None:
            named |= set(address_keys(row["customer_id"], address).items())
    for entity, key in named:
        tx.execute_many(INSERT_LINK, link_parameters({entity: key}, row, is_finding=True))


def link_row(tx: Transaction, contract: Contract, row: Mapping[str, Any]) -> None:
    """Index a ledger row of any contract, as far as it links orders."""
    if contract is ORDERS:
        link_order(tx, row)
    elif contract is ORDER_EVENTS:
        link_event(tx, row)
    elif contract is ORDER_OUTCOMES:
        link_outcome(tx, row)


@lru_cache(maxsize=8)
def windows_ms(feature_set: FeatureSet) -> dict[tuple[EntityKind, bool], int | None]:
    """How far back a feature set looks, by entity and whether at findings; None for all the way."""
    windows: dict[tuple[EntityKind, bool], int | None] = {}
    for is_finding, kinds in ((False, ORDER_FACT_OF), (True, FRAUD_FACT_OF)):
        for entity, fact in kinds.items():
            measures = [measure for measure in feature_set.distinct_measures() if measure.fact is fact]
            if not measures:
                continue
            # Who was first can only be told from everything.
            is_bounded = all(
                measure.leaves is not None and measure.value != "is_first_of_customer" for measure in measures
            )
            windows[entity, is_finding] = (
                max(measure.leaves_after_ms for measure in measures) if is_bounded else None
            )
    return windows


def crowded_entities(
    tx: Transaction, keys: Keys, customers_maximum: int, as_of_ms: int
) -> frozenset[EntityKind]:
    """Which of an order's entities more customers than that have named, in rows recorded before `as_of_ms`.

    They link nobody. An order that was corrected since counts too.
    """
    return frozenset(
        entity
        for entity in LINKING
        if entity in keys
        # One more is enough to know, however many there are.
        and len(
            tx.execute(
                "SELECT DISTINCT l.customer_id FROM order_links l WHERE l.entity_kind = ? "
                "AND l.entity_key = ? AND l.is_finding = 0 AND (l.recorded_at_ms < ? "
                "OR (l.recorded_at_ms IS NULL AND EXISTS (SELECT 1 FROM ledger_events e "
                "WHERE e.event_id = l.event_id AND e.recorded_at_ms < ?))) LIMIT ?",
                (entity.value, keys[entity], as_of_ms, as_of_ms, customers_maximum + 1),
            )
        )
        > customers_maximum
    )


def related_rows(
    tx: Transaction,
    order_id: str,
    keys: Keys,
    feature_set: FeatureSet,
    as_of_ms: int,
    own_rows: Mapping[str, Sequence[LedgerRow]],
    counted: Collection[EntityKind] = (),
) -> dict[str, list[LedgerRow]]:
    """The ledger rows that an order's risk features can depend on, by contract.

    keys: the order's entities. Whole histories of a device or an address; of a merchant, a network or an
    e-mail domain only as far back as a feature looks. own_rows: of the order's customer, with the order.
    counted: entities whose plain orders are not read, since `plain_orders` counts them.
    """
    order_ids = {order_id}
    others: set[str] = set()
    for linked_id, customer_id, with_their_news in _linked(tx, keys, feature_set, as_of_ms, counted):
        order_ids.add(linked_id)
        if with_their_news:
            others.add(customer_id)
    rows = {contract: list(own) for contract, own in own_rows.items()}
    own_orders = {row["order_id"] for row in rows.get(ORDERS.name, ())}
    rows.setdefault(ORDERS.name, []).extend(_orders(tx, sorted(order_ids - own_orders)))
    others.discard(keys[EntityKind.CUSTOMER])
    for contract, linked in customers_rows(tx, sorted(others), _NEWS_CONTRACTS).items():
        rows.setdefault(contract, []).extend(linked)
    return rows


def _linked(
    tx: Transaction, keys: Keys, feature_set: FeatureSet, as_of_ms: int, counted: Collection[EntityKind]
) -> Iterator[tuple[str, str, bool]]:
    """Order and customer of each link that a feature looks at, and whether their events and findings count
    too, not only that they were made: all in one question.
    """
    parts: list[str] = []
    values: list[object] = []
    for (entity, is_finding), window_ms in windows_ms(feature_set).items():
        if entity in INDEXED and entity in keys:
            with_their_news = is_finding or window_ms is None
            parts.append(
                f"SELECT order_id, customer_id, {int(with_their_news)} FROM order_links "  # noqa: S608 - placeholders only
                "WHERE entity_kind = ? AND entity_key = ? AND is_finding = ? AND occurred_at_ms >= ?"
                f"{' AND is_plain = 0' if entity in counted else ''}"
            )
            since_ms = 0 if window_ms is None else as_of_ms - window_ms
            values += [entity.value, keys[entity], int(is_finding), since_ms]
    if parts:
        for order_id, customer_id, with_their_news in tx.execute(" UNION ALL ".join(parts), values):
            yield order_id, customer_id, bool(with_their_news)


def plain_orders(
    tx: Transaction, keys: Keys, feature_set: FeatureSet, as_of_ms: int
) -> dict[EntityKind, PlainOrders]:
    """The orders of other customers that are counted by their links alone, by entity, as of `as_of_ms`."""
    own = keys[EntityKind.CUSTOMER]
    plain: dict[EntityKind, PlainOrders] = {}
    for entity in INDEXED:
        counted = counted_orders(feature_set, entity) if entity in keys else None
        if counted is None:
            continue
        starts = [as_of_ms - window_ms for window_ms in counted.windows_ms]
        sums = "".join(", sum(CASE WHEN occurred_at_ms >= ? THEN 1 ELSE 0 END)" for _ in starts)
        where = (
            "entity_kind = ? AND entity_key = ? AND is_finding = 0 AND occurred_at_ms >= ? "
            "AND occurred_at_ms < ? AND is_plain = 1 AND recorded_at_ms < ? AND customer_id <> ?"
        )
        by_customer = ("customer_id, min(occurred_at_ms)", " GROUP BY customer_id")
        what, grouped = by_customer if counted.by_customer else ("1, 0", "")
        # Who was first can only be told from everything.
        since_ms = 0 if counted.by_customer else min(starts, default=as_of_ms)
        rows = tx.execute(
            f"SELECT {what}{sums} FROM order_links WHERE {where}{grouped}",  # noqa: S608 - placeholders only
            (*starts, entity.value, keys[entity], since_ms, as_of_ms, as_of_ms, own),
        )
        plain[entity] = PlainOrders(
            count_within={
                window_ms: sum(int(row[2 + place] or 0) for row in rows)
                for place, window_ms in enumerate(counted.windows_ms)
            },
            first_at_ms={row[0]: int(row[1]) for row in rows} if counted.by_customer else {},
        )
    return plain


def order_rows(tx: Transaction, order_id: str) -> list[LedgerRow]:
    """All rows about an order, earlier versions too, in the order in which they were recorded."""
    rows = _orders(tx, [order_id])
    return sorted(rows, key=lambda row: (row["recorded_at"], row["event_id"]))


def _orders(tx: Transaction, order_ids: Sequence[str]) -> list[LedgerRow]:
    return [
        decode_row(body)
        for marks, ids in lists_of_ids(order_ids)
        for (body,) in tx.execute(
            f"SELECT body FROM ledger_events WHERE contract = ? AND subject_id IN ({marks})",  # noqa: S608 - placeholders only
            (ORDERS.name, *ids),
        )
    ]


def customers_rows(
    tx: Transaction, customer_ids: Sequence[str], contracts: Sequence[str] = _CUSTOMER_CONTRACTS
) -> dict[str, list[LedgerRow]]:
    """The ledger rows of some customers, by contract, as far as order risk looks at them."""
    rows: dict[str, list[LedgerRow]] = {}
    kinds = ", ".join("?" * len(contracts))
    for marks, ids in lists_of_ids(customer_ids):
        for contract, body in tx.execute(
            f"SELECT contract, body FROM ledger_events WHERE entity_id IN ({marks}) "  # noqa: S608 - placeholders only
            f"AND contract IN ({kinds})",
            (*ids, *contracts),
        ):
            rows.setdefault(contract, []).append(decode_row(body))
    return rows


def linked_orders(tx: Transaction, keys: Keys, since_ms: int, limit: int) -> dict[str, int]:
    """The orders since a moment that share device, address, mailbox or telephone and were looked at before,
    the newest first, each with the moment of the last look.

    One may tell of another, and of the newest most can still be stopped. limit: of orders, and of the newest
    links at each entity four times as many: that bounds the work, however many there are.
    """
    entities = [entity for entity in LINKING if entity in keys]
    if not entities:
        return {}
    newest = " UNION ALL ".join(
        "SELECT * FROM (SELECT order_id, occurred_at_ms FROM order_links WHERE entity_kind = ? "
        "AND entity_key = ? AND is_finding = 0 AND occurred_at_ms >= ? "
        "ORDER BY occurred_at_ms DESC LIMIT ?) AS newest"
        for _ in entities
    )
    found = tx.execute(
        "SELECT order_id, (SELECT max(as_of_ms) FROM screenings WHERE screenings.order_id = linked.order_id) "  # noqa: S608 - placeholders only
        f"FROM ({newest}) AS linked GROUP BY order_id ORDER BY max(occurred_at_ms) DESC, order_id",
        [
            value
            for entity in entities
            for value in (entity.value, keys[entity], since_ms, LINKS_FOR_EACH_ORDER * limit)
        ],
    )
    looked_at = ((order_id, int(at_ms)) for order_id, at_ms in found if at_ms is not None)
    return dict(itertools.islice(looked_at, limit))
