"""Which orders share a device, an address, a network, a merchant: the index that a screening reads.

What an order shares with its customer's other orders is indexed where these are many; few are read together.
"""

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from data_contracts.contract import Contract
from data_contracts.customers import CUSTOMERS
from data_contracts.order_events import AMENDED, ORDER_EVENTS
from data_contracts.order_outcomes import FRAUD_OUTCOMES, ORDER_OUTCOMES
from data_contracts.orders import ORDERS
from features.declarations import FRAUD_FACT_OF, ORDER_FACT_OF
from features.entities import LINKING, EntityKind
from features.feature_sets import FeatureSet
from features.instants import NEVER
from features.order_facts import order_attributes
from features.order_links import Keys, address_keys, delivery_key, order_keys
from features.plain_orders import PlainOrders, counted_orders
from serving.store.id_lists import lists_of_ids
from serving.store.ledger_rows import LedgerRow, decode_row
from serving.store.order_sums import (
    SETTLED_AFTER_MS,
    WAITING,
    Entity,
    Totals,
    keep_sums,
    summed_but_not_plain,
    summed_columns,
    summed_entities,
    summed_firsts,
    totals_since,
    with_kept,
)
from serving.store.store import Row, Transaction

INDEXED = (
    EntityKind.MERCHANT,
    EntityKind.DEVICE,
    EntityKind.DELIVERY_ADDRESS,
    EntityKind.MAILBOX,
    EntityKind.PHONE,
    EntityKind.IP_PREFIX,
    EntityKind.EMAIL_DOMAIN,
)
"""In the order in which an order's links are written, so that no two writers wait for each other: first the
merchant's, which tells of all, and the own links last."""
OWN = (EntityKind.CUSTOMER, EntityKind.CUSTOMER_DEVICE, EntityKind.CUSTOMER_ADDRESS)
"""What an order shares with its customer's others: linked only where these are very many to read."""
OWN_LINKED_FROM = 8
"""So many plain orders of a customer are read; more are counted by links of their own."""
_KEY = "entity_kind, entity_key, is_finding, occurred_at_ms, event_id"
_COLUMNS = f"{_KEY}, order_id, customer_id"
INSERT_LINK = f"INSERT INTO order_links ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"  # noqa: S608 - constants
"""As the tables of an earlier release take it."""
_INSERT_LINK_BESIDE = (
    f"INSERT INTO order_links ({_COLUMNS}, own_links) VALUES (?, ?, ?, ?, ?, ?, ?, 2) "  # noqa: S608 - constants
    f"ON CONFLICT ({_KEY}) DO UPDATE SET own_links = 2 WHERE order_links.own_links = -1"
)
_INSERT_LINK_TO_READ = (
    f"INSERT INTO order_links ({_COLUMNS}, own_links) VALUES (?, ?, ?, ?, ?, ?, ?, ?) "  # noqa: S608 - constants
    f"ON CONFLICT ({_KEY}) DO UPDATE SET is_plain = 0, own_links = excluded.own_links"
)
_INSERT_PLAIN_LINK = (
    f"INSERT INTO order_links ({_COLUMNS}, own_links, recorded_at_ms, is_plain) "  # noqa: S608 - constants
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 1) "
    # What an older release has linked is known by this one from now on, and otherwise as it was.
    f"ON CONFLICT ({_KEY}) DO UPDATE SET own_links = excluded.own_links WHERE order_links.own_links = -1"
)
_INSERT_OWN_LINK = (
    f"INSERT INTO order_links ({_COLUMNS}, own_links, recorded_at_ms, is_plain, amount_cents, night, "  # noqa: S608 - constants
    "resellable) VALUES (?, ?, ?, ?, ?, ?, ?, 2, ?, 1, ?, ?, ?) ON CONFLICT DO NOTHING"
)
_READ_OWN_LINK = (
    "UPDATE order_links SET is_plain = 0 WHERE entity_kind = ? AND entity_key = ? AND is_finding = ? "
    "AND occurred_at_ms = ? AND event_id = ? AND is_plain = 1"
)
_READ_BY_ITSELF = "entity_kind = 'merchant' AND (own_links < 1 OR (own_links = 1 AND is_plain = 0))"
_OF_OLDER_RELEASE = "(own_links = -1 OR (own_links = 1 AND is_plain = 0))"
_NOT_LINKED_YET, _ELSEWHERE = 0, 2
"""Of a link's own_links: at the merchant, whose link each order has, and elsewhere."""
_NEWS_CONTRACTS = (ORDER_EVENTS.name, ORDER_OUTCOMES.name)
OWN_LINKED_AT_ONCE = 500
_NO_SUMS = (None, None, None)
LINKS_FOR_EACH_ORDER = 2
"""So many links are read for an order that is wanted: refused orders are linked too, and moved ones twice."""


def link_decided_orders(tx: Transaction, order_ids: Sequence[str]) -> set[str]:
    """Index orders that were decided, and sum up what many name; returns those that the ledger has."""
    linked = link_orders(tx, order_ids)
    own = link_to_customers(tx, sorted({row["customer_id"] for row in linked.plain}))
    newest_ms = max((row["recorded_at"] for row in linked.plain), default=0)
    links = [
        (entity.value, keys[entity], event_id)
        for kinds, named in ((INDEXED, _named(linked.plain)), (OWN, _named(own)))
        for entity in kinds
        for keys, event_id in named
        if entity in keys
    ]
    keep_sums(tx, links, newest_ms - SETTLED_AFTER_MS)
    return linked.order_ids


def _named(rows: Sequence[LedgerRow]) -> list[tuple[Keys, str]]:
    """What each order row names, and its event id."""
    return [(order_keys(row), row["event_id"]) for row in rows]


class LinkedOrders(NamedTuple):
    """Orders that were indexed. plain: the rows of those that are counted by their links alone."""

    order_ids: set[str]
    plain: list[LedgerRow]


def link_orders(tx: Transaction, order_ids: Sequence[str]) -> LinkedOrders:
    """Index orders by all that the ledger has about them; again changes nothing.

    One of which the ledger has a single row, no move, no amendment and no finding is plain: it is counted by
    its links alone. Whoever writes more about it indexes it again, and from then on it is read.
    """
    versions: dict[str, list[LedgerRow]] = {}
    for row in _orders(tx, order_ids):
        versions.setdefault(row["order_id"], []).append(row)
    told: dict[str, list[LedgerRow]] = {}
    customer_of = {order_id: rows[0]["customer_id"] for order_id, rows in versions.items()}
    for row in news_of_orders(tx, customer_of):
        if _is_linked(row):
            told.setdefault(row["order_id"], []).append(row)
    plain: list[LedgerRow] = []
    to_read: list[LedgerRow] = []
    for order_id, rows in sorted(versions.items()):
        (row, *more) = rows
        if more or order_id in told or row["occurred_at"] > row["recorded_at"]:
            to_read += rows
        else:
            plain.append(row)
    tx.execute_many(
        _INSERT_PLAIN_LINK,
        [(*values, row["recorded_at"]) for row in plain for values in _order_link_parameters(row)],
    )
    _link_to_read(tx, to_read)
    for order_id, news in sorted(told.items()):
        tx.execute_many(_INSERT_LINK_BESIDE, _news_link_parameters(versions[order_id], news))
    return LinkedOrders(set(versions), plain)


def _link_to_read(tx: Transaction, rows: Sequence[LedgerRow]) -> None:
    """Index order rows that are read, whatever links of them were plain so far."""
    tx.execute_many(_INSERT_LINK_TO_READ, [values for row in rows for values in _order_link_parameters(row)])
    # Behind the link to the merchant, which whoever makes own links holds until they are there.
    tx.execute_many(
        _READ_OWN_LINK,
        [values[:5] for row in rows for values in link_parameters(order_keys(row), row, OWN)],
    )


def _is_linked(news: Mapping[str, Any]) -> bool:
    """Whether an event or outcome is indexed: a move, an amendment, a confirmed fraud."""
    return (
        news["kind"] in FRAUD_OUTCOMES
        or news["kind"] == AMENDED
        or delivery_key(news, "new_delivery") is not None
    )


def _news_link_parameters(
    versions: Sequence[LedgerRow], news: Sequence[LedgerRow]
) -> list[tuple[object, ...]]:
    """The index rows of an order's moves, and of its findings under everything that it has ever named."""
    parameters: list[tuple[object, ...]] = []
    named = {name for row in versions for name in order_keys(row).items()}
    for row in news:
        address = delivery_key(row, "new_delivery")
        if address is not None:
            keys = address_keys(row["customer_id"], address)
            named |= set(keys.items())
            parameters += link_parameters(keys, row)
    for row in news:
        if row["kind"] in FRAUD_OUTCOMES:
            for entity, key in sorted(named):
                parameters += link_parameters({entity: key}, row, is_finding=True)
    return parameters


def link_to_customers(
    tx: Transaction, customer_ids: Sequence[str], many_from: int = OWN_LINKED_FROM
) -> list[LedgerRow]:
    """Make the own links of plain orders of customers who have `many_from` without; returns the orders."""
    many = [
        customer_id
        for customer_id in customer_ids
        if len(
            tx.execute(
                f"SELECT 1 FROM order_links WHERE {_READ_BY_ITSELF} "  # noqa: S608 - constants
                "AND customer_id = ? AND is_plain = 1 LIMIT ?",
                (customer_id, many_from),
            )
        )
        == many_from
    ]
    order_ids = [
        str(order_id)
        for customer_id in many
        for (order_id,) in tx.execute(
            f"SELECT order_id FROM order_links WHERE {_READ_BY_ITSELF} "  # noqa: S608 - constants
            "AND customer_id = ? AND is_plain = 1 ORDER BY order_id LIMIT ?",
            (customer_id, OWN_LINKED_AT_ONCE),
        )
    ]
    linked: list[LedgerRow] = []
    for row in _orders(tx, order_ids):
        keys = order_keys(row)
        # First of all its mark, for which whoever tells more of the order waits: or the own links stay plain.
        is_marked = tx.execute(
            "UPDATE order_links SET own_links = 1 WHERE entity_kind = 'merchant' AND entity_key = ? "
            "AND is_finding = 0 AND occurred_at_ms = ? AND event_id = ? AND is_plain = 1 RETURNING 1",
            (keys[EntityKind.MERCHANT], row["occurred_at"], row["event_id"]),
        )
        if is_marked:
            linked.append(row)
    tx.execute_many(
        _INSERT_OWN_LINK,
        [
            (*values, row["recorded_at"], *(order_attributes(row) if values[0] == "customer" else _NO_SUMS))
            for row in linked
            for values in link_parameters(order_keys(row), row, OWN)
        ],
    )
    return linked


def customers_to_link(tx: Transaction) -> list[str]:
    """The customers of whom `link_to_customers` would make own links; goes through all orders without."""
    return [
        str(customer_id)
        for (customer_id,) in tx.execute(
            f"SELECT customer_id FROM order_links WHERE {_READ_BY_ITSELF} AND is_plain = 1 "  # noqa: S608 - constants
            "GROUP BY customer_id HAVING count(*) >= ? ORDER BY customer_id",
            (OWN_LINKED_FROM,),
        )
    ]


def link_as_this_release(tx: Transaction, limit: int) -> int:
    """Index anew the orders that a release before this one has linked since, or to which it has added.

    Returns how many there were, at most `limit`: none, where all services are of this release.
    """
    order_ids = [str(order_id) for (order_id,) in orders_of_older_release(tx, limit)]
    if order_ids:
        link_decided_orders(tx, order_ids)
        # What that release has linked of their moves and findings stays as it is.
        tx.execute_many(
            "UPDATE order_links SET own_links = 2 WHERE own_links = -1 AND order_id = ?",
            [(order_id,) for order_id in order_ids],
        )
        # That release reads orders with any news, also those that are plain here: they go on being read.
        flipped = [
            str(order_id)
            for marks, ids in lists_of_ids(order_ids)
            for (order_id,) in tx.execute(
                f"SELECT DISTINCT order_id FROM order_links WHERE {_OF_OLDER_RELEASE} "  # noqa: S608 - constants and placeholders
                f"AND order_id IN ({marks})",
                ids,
            )
        ]
        _link_to_read(tx, _orders(tx, flipped))
    return len(order_ids)


def orders_of_older_release(tx: Transaction, limit: int) -> list[Row]:
    """The ids of orders that `link_as_this_release` would index."""
    return tx.execute(
        f"SELECT DISTINCT order_id FROM order_links WHERE {_OF_OLDER_RELEASE} LIMIT ?",  # noqa: S608 - constants
        (limit,),
    )


def _order_link_parameters(row: LedgerRow) -> list[tuple[object, ...]]:
    """The index rows of an order, each with its `own_links`."""
    return [
        (*values, _NOT_LINKED_YET if values[0] == EntityKind.MERCHANT.value else _ELSEWHERE)
        for values in link_parameters(order_keys(row), row)
    ]


def link_parameters(
    keys: Keys,
    row: Mapping[str, Any],
    kinds: Sequence[EntityKind] = INDEXED,
    *,
    is_finding: bool = False,
) -> list[tuple[object, ...]]:
    """The index rows of what a ledger row names of some kinds."""
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
        for entity in kinds
        if entity in keys
    ]


def link_row(tx: Transaction, contract: Contract, row: Mapping[str, Any]) -> None:
    """Index the order that a ledger row is about anew, where the row changes what it is linked by."""
    if contract is ORDERS or (contract in (ORDER_EVENTS, ORDER_OUTCOMES) and _is_linked(row)):
        link_orders(tx, [row["order_id"]])


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
    # One more is enough to know, however many there are.
    enough = customers_maximum + 1
    return frozenset(
        entity
        for entity in LINKING
        if entity in keys
        and len(
            tx.execute(
                _NAMING_CUSTOMERS,
                (entity.value, keys[entity], as_of_ms, enough) * 3,
            )
        )
        > customers_maximum
    )


_NAMING_CUSTOMERS = (
    "SELECT * FROM (SELECT customer_id FROM order_sum_customers WHERE entity_kind = ? AND entity_key = ? "  # noqa: S608 - constants
    "AND known_from_ms < ? LIMIT ?) AS of_summed "
    f"UNION SELECT * FROM (SELECT DISTINCT customer_id FROM order_links WHERE {WAITING} "
    "AND recorded_at_ms < ? LIMIT ?) AS of_plain "
    "UNION SELECT * FROM (SELECT DISTINCT customer_id FROM order_links l WHERE is_plain = 0 "
    "AND entity_kind = ? AND entity_key = ? AND is_finding = 0 AND EXISTS (SELECT 1 FROM ledger_events e "
    "WHERE e.event_id = l.event_id AND e.recorded_at_ms < ?) LIMIT ?) AS of_read"
)


@dataclass(frozen=True, kw_only=True)
class OwnOrders:
    """The orders of a look's customer that are read one by one.

    plain: those of them that are counted by what they share with other customers' orders; by_own_links: those
    that are counted by own links too. others: those that are not counted.
    """

    plain: frozenset[str]
    by_own_links: frozenset[str]
    others: frozenset[str]

    def read_too(self, entity: EntityKind) -> frozenset[str]:
        """Those that are counted at an entity of a kind."""
        return self.by_own_links if entity in OWN else self.plain


def own_orders(tx: Transaction, versions: Sequence[LedgerRow]) -> OwnOrders:
    """The order of a look and those of its customer that own links do not count. versions: of the order."""
    order_id, customer_id = versions[0]["order_id"], versions[0]["customer_id"]
    is_plain_of: dict[str, bool] = {
        str(own_id): bool(is_plain)
        for own_id, is_plain in tx.execute(
            f"SELECT order_id, min(is_plain) FROM order_links WHERE {_READ_BY_ITSELF} "  # noqa: S608 - constants
            "AND customer_id = ? GROUP BY order_id",
            (customer_id,),
        )
    }
    by_own_links: set[str] = set()
    if order_id not in is_plain_of:
        # Either own links count it, or nobody has linked it yet.
        is_plain_of[order_id] = bool(
            tx.execute(
                "SELECT 1 FROM order_links WHERE entity_kind = 'merchant' AND entity_key = ? "
                "AND is_finding = 0 AND occurred_at_ms = ? AND event_id = ?",
                (versions[0]["merchant_id"], versions[0]["occurred_at"], versions[0]["event_id"]),
            )
        )
        by_own_links = {order_id} if is_plain_of[order_id] else set()
    return OwnOrders(
        plain=frozenset(own_id for own_id, is_plain in is_plain_of.items() if is_plain),
        by_own_links=frozenset(by_own_links),
        others=frozenset(own_id for own_id, is_plain in is_plain_of.items() if not is_plain),
    )


def rows_about(tx: Transaction, versions: Sequence[LedgerRow]) -> dict[str, list[LedgerRow]]:
    """An order's own rows by contract, its events and outcomes, and its customer. versions: of the order."""
    order_id, customer_id = versions[0]["order_id"], versions[0]["customer_id"]
    rows = customers_rows(tx, [customer_id], (CUSTOMERS.name,))
    rows[ORDERS.name] = list(versions)
    for contract, news in _news_by_contract(tx, {order_id: customer_id}).items():
        rows[contract] = news
    return rows


def related_rows(
    tx: Transaction,
    keys: Keys,
    feature_set: FeatureSet,
    as_of_ms: int,
    about: Mapping[str, Sequence[LedgerRow]],
    own: OwnOrders,
    counted: Collection[EntityKind],
) -> dict[str, list[LedgerRow]]:
    """The ledger rows that an order's risk features can depend on, by contract, besides counted orders.

    keys: the order's entities. Whole histories of a device or an address; of a merchant, a network or an
    e-mail domain only as far back as a feature looks. about: the order's own rows. own: its customer's.
    counted: entities whose plain orders are not read, since `plain_orders` counts them.
    """
    customer_of = dict.fromkeys(own.plain | own.others, keys[EntityKind.CUSTOMER])
    news_of = dict.fromkeys(own.others, keys[EntityKind.CUSTOMER])
    for linked_id, customer_id, with_their_news in _linked(tx, keys, feature_set, as_of_ms, counted):
        customer_of[linked_id] = customer_id
        if with_their_news:
            news_of[linked_id] = customer_id
    rows = {contract: list(own_rows) for contract, own_rows in about.items()}
    for read in (customer_of, news_of):
        read.pop(keys[EntityKind.ORDER], None)
    rows.setdefault(ORDERS.name, []).extend(_orders(tx, sorted(customer_of)))
    for contract, news in _news_by_contract(tx, news_of).items():
        rows.setdefault(contract, []).extend(news)
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
        if entity not in INDEXED or entity not in keys:
            continue
        with_their_news = is_finding or window_ms is None
        parts.append(
            f"SELECT order_id, customer_id, {int(with_their_news)} FROM order_links "  # noqa: S608 - placeholders only
            "WHERE entity_kind = ? AND entity_key = ? AND is_finding = ? AND occurred_at_ms >= ?"
            f"{' AND is_plain = 0' if entity in counted and not is_finding else ''}"
        )
        since_ms = 0 if window_ms is None else as_of_ms - window_ms
        values += [entity.value, keys[entity], int(is_finding), since_ms]
    if parts:
        for order_id, customer_id, with_their_news in tx.execute(" UNION ALL ".join(parts), values):
            yield order_id, customer_id, bool(with_their_news)


def plain_orders(
    tx: Transaction, keys: Keys, feature_set: FeatureSet, as_of_ms: int, own: OwnOrders
) -> dict[EntityKind, PlainOrders]:
    """The orders that are counted by their links alone, by entity, as of `as_of_ms`.

    own: the customer's orders that are read all the same.
    """
    asked = {
        entity: counted
        for entity in (*INDEXED, *OWN)
        if entity in keys and (counted := counted_orders(feature_set, entity)) is not None
    }
    summed = summed_entities(tx, [(entity, keys[entity]) for entity in asked])
    plain: dict[EntityKind, PlainOrders] = {}
    for entity, counted in asked.items():
        at = (entity, keys[entity])
        windows = sorted({one.window_ms for one in counted.sums}, key=lambda one: one or NEVER)
        starts_ms = [0 if window_ms is None else as_of_ms - window_ms for window_ms in windows]
        totals, first_at_ms = _counted_singly(tx, at, starts_ms, as_of_ms, by_customer=counted.by_customer)
        if entity in summed:
            # Who was first can only be told from everything.
            since_ms = 0 if counted.by_customer else min(starts_ms, default=as_of_ms)
            taken_out = summed_but_not_plain(tx, at, since_ms, as_of_ms) if summed[entity] else []
            kept = totals_since(tx, at, starts_ms, as_of_ms)
            totals = [
                with_kept(single, together, [link for link in taken_out if link.occurred_at_ms >= start_ms])
                for single, together, start_ms in zip(totals, kept, starts_ms, strict=True)
            ]
            if counted.by_customer:
                for customer, at_ms in summed_firsts(tx, at, taken_out, as_of_ms).items():
                    first_at_ms[customer] = min(at_ms, first_at_ms.get(customer, at_ms))
        place = {None: 0} | {column: 1 + number for number, column in enumerate(summed_columns(entity))}
        plain[entity] = PlainOrders(
            sums={one: totals[windows.index(one.window_ms)][place[one.value]] for one in counted.sums},
            first_at_ms=first_at_ms,
            read_too=own.read_too(entity),
        )
    return plain


def _counted_singly(
    tx: Transaction, at: Entity, starts_ms: Sequence[int], as_of_ms: int, *, by_customer: bool
) -> tuple[list[Totals], dict[str, int]]:
    """What the links that are not summed come to from each start on, and when customers' first happened."""
    columns = ("1", *summed_columns(at[0]))
    sums = "".join(
        f", sum(CASE WHEN occurred_at_ms >= ? THEN {column} ELSE 0 END)"
        for _ in starts_ms
        for column in columns
    )
    what, grouped = (
        ("customer_id, min(occurred_at_ms)", " GROUP BY customer_id") if by_customer else ("1, 0", "")
    )
    rows = tx.execute(
        f"SELECT {what}{sums} FROM order_links WHERE {WAITING} "  # noqa: S608 - placeholders only
        f"AND occurred_at_ms >= ? AND recorded_at_ms < ?{grouped}",
        (
            *(start_ms for start_ms in starts_ms for _ in columns),
            at[0].value,
            at[1],
            0 if by_customer else min(starts_ms, default=as_of_ms),
            as_of_ms,
        ),
    )
    first_at_ms = (
        {customer: int(occurred_at_ms) for customer, occurred_at_ms, *_ in rows} if by_customer else {}
    )
    of_all = [sum(int(row[2 + place] or 0) for row in rows) for place in range(len(starts_ms) * len(columns))]
    totals = [tuple(of_all[start : start + len(columns)]) for start in range(0, len(of_all), len(columns))]
    return totals, first_at_ms


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
    tx: Transaction, customer_ids: Sequence[str], contracts: Sequence[str]
) -> dict[str, list[LedgerRow]]:
    """The ledger rows of some customers of some contracts, by contract."""
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


def news_of_orders(tx: Transaction, customer_of: Mapping[str, str]) -> Iterator[LedgerRow]:
    """The events and outcomes of some orders. customer_of: by order_id."""
    for rows in _news_by_contract(tx, customer_of).values():
        yield from rows


def _news_by_contract(tx: Transaction, customer_of: Mapping[str, str]) -> dict[str, list[LedgerRow]]:
    found = customers_rows(tx, sorted(set(customer_of.values())), _NEWS_CONTRACTS)
    return {
        contract: [row for row in rows if row["order_id"] in customer_of] for contract, rows in found.items()
    }


def linked_orders(tx: Transaction, keys: Keys, since_ms: int, limit: int) -> dict[str, int]:
    """The orders since a moment that share device, address, mailbox or telephone and were looked at before,
    the newest first, each with the moment of the last look.

    One may tell of another, and of the newest most can still be stopped. limit: of orders, and of the newest
    links at each entity twice as many: that bounds the work, however many there are.
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
