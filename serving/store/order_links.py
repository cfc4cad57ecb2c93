"""Which orders share a device, an address, a network, a merchant: the index that a screening reads.

What an order shares with its customer's other orders needs no index: a customer's rows lie together.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from data_contracts.contract import Contract
from data_contracts.customers import CUSTOMERS
from data_contracts.order_events import ORDER_EVENTS
from data_contracts.order_outcomes import FRAUD_OUTCOMES, ORDER_OUTCOMES
from data_contracts.orders import ORDERS
from features.declarations import FRAUD_FACT_OF, ORDER_FACT_OF
from features.entities import LINKING, EntityKind
from features.feature_sets import FeatureSet
from features.order_links import Keys, address_keys, delivery_key, order_keys
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
INSERT_LINK = (
    "INSERT INTO order_links (entity_kind, entity_key, is_finding, occurred_at_ms, event_id, order_id, "
    "customer_id) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
)
_CUSTOMER_CONTRACTS = (CUSTOMERS.name, ORDERS.name, ORDER_EVENTS.name, ORDER_OUTCOMES.name)

LedgerRow = dict[str, Any]
_decode = msgspec.json.Decoder(LedgerRow).decode


def link_order(tx: Transaction, row: Mapping[str, Any]) -> None:
    """Index a row of the orders contract; doing it again changes nothing."""
    tx.execute_many(INSERT_LINK, order_link_parameters(row))


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
        tx.execute_many(
            INSERT_LINK, link_parameters(address_keys(row["customer_id"], address), row, is_finding=False)
        )
        for outcome in _customer_rows(tx, row["customer_id"]).get(ORDER_OUTCOMES.name, []):
            if outcome["order_id"] == row["order_id"]:
                link_outcome(tx, outcome)


def link_outcome(tx: Transaction, row: Mapping[str, Any]) -> None:
    """Index a finding of fraud under everything that its order has named."""
    if row["kind"] not in FRAUD_OUTCOMES:
        return
    named: set[tuple[EntityKind, str]] = set()
    for order in _orders(tx, [row["order_id"]]):
        named |= set(order_keys(order).items())
    for event in _customer_rows(tx, row["customer_id"]).get(ORDER_EVENTS.name, []):
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
                "SELECT DISTINCT l.customer_id FROM order_links l JOIN ledger_events e "
                "ON e.event_id = l.event_id WHERE l.entity_kind = ? AND l.entity_key = ? "
                "AND l.is_finding = 0 AND e.recorded_at_ms < ? LIMIT ?",
                (entity.value, keys[entity], as_of_ms, customers_maximum + 1),
            )
        )
        > customers_maximum
    )


def related_rows(
    tx: Transaction, order_id: str, keys: Keys, feature_set: FeatureSet, as_of_ms: int
) -> dict[str, list[LedgerRow]]:
    """The ledger rows that an order's risk features can depend on, by contract.

    keys: the order's entities. Whole histories of a device or an address; of a merchant, a network or an
    e-mail domain only as far back as a feature looks.
    """
    order_ids = {order_id}
    others: set[str] = set()
    for (entity, is_finding), window_ms in windows_ms(feature_set).items():
        if entity not in INDEXED or entity not in keys:
            continue
        since_ms = 0 if window_ms is None else as_of_ms - window_ms
        found = tx.execute(
            "SELECT order_id, customer_id FROM order_links WHERE entity_kind = ? AND entity_key = ? "
            "AND is_finding = ? AND occurred_at_ms >= ?",
            (entity.value, keys[entity], int(is_finding), since_ms),
        )
        order_ids.update(row[0] for row in found)
        if is_finding or window_ms is None:
            # Their events and findings count too, not only that they were made.
            others.update(row[1] for row in found)
    own = keys[EntityKind.CUSTOMER]
    rows = _customer_rows(tx, own)
    own_orders = {row["order_id"] for row in rows.get(ORDERS.name, ())}
    rows.setdefault(ORDERS.name, []).extend(_orders(tx, sorted(order_ids - own_orders)))
    for customer_id in sorted(others - {own}):
        for contract, linked in _customer_rows(tx, customer_id).items():
            if contract in {ORDER_EVENTS.name, ORDER_OUTCOMES.name}:
                rows.setdefault(contract, []).extend(linked)
    return rows


def order_rows(tx: Transaction, order_id: str) -> list[LedgerRow]:
    """All rows about an order, earlier versions too, in the order in which they were recorded."""
    rows = _orders(tx, [order_id])
    return sorted(rows, key=lambda row: (row["recorded_at"], row["event_id"]))


def _orders(tx: Transaction, order_ids: Iterable[str]) -> list[LedgerRow]:
    rows: list[LedgerRow] = []
    for order_id in order_ids:
        rows += [
            _decode(body)
            for (body,) in tx.execute(
                "SELECT body FROM ledger_events WHERE contract = ? AND subject_id = ?",
                (ORDERS.name, order_id),
            )
        ]
    return rows


def _customer_rows(tx: Transaction, customer_id: str) -> dict[str, list[LedgerRow]]:
    rows: dict[str, list[LedgerRow]] = {}
    marks = ", ".join("?" * len(_CUSTOMER_CONTRACTS))
    for contract, body in tx.execute(
        f"SELECT contract, body FROM ledger_events WHERE entity_id = ? AND contract IN ({marks})",  # noqa: S608 - placeholders only
        (customer_id, *_CUSTOMER_CONTRACTS),
    ):
        rows.setdefault(contract, []).append(_decode(body))
    return rows


def linked_order_ids(tx: Transaction, keys: Keys, since_ms: int) -> list[str]:
    """The orders since a moment that share device, address, mailbox or telephone, the newest first.

    One may tell of another, and of the newest most can still be stopped.
    """
    found: dict[str, int] = {}
    for entity in LINKING:
        if entity in keys:
            for order_id, occurred_at_ms in tx.execute(
                "SELECT order_id, max(occurred_at_ms) FROM order_links WHERE entity_kind = ? "
                "AND entity_key = ? AND is_finding = 0 AND occurred_at_ms >= ? GROUP BY order_id",
                (entity.value, keys[entity], since_ms),
            ):
                found[order_id] = max(found.get(order_id, 0), int(occurred_at_ms))
    return sorted(found, key=lambda order_id: (-found[order_id], order_id))
