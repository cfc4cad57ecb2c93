"""Kept sums of the plain orders at what very many orders name: how many in each stretch of time, and whose.

The sums hold what the links say that are marked as summed, at every moment and in one transaction with the
mark. A link is made without it, by this release or by one that knows nothing of sums, and is counted by
itself until `sum_up` comes to it: so a look is right however far the sums have come. A link that must not be
counted any more keeps its mark until `sum_up` takes it out; whoever reads the sums takes it off until then.
"""

import zlib
from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from data_contracts.instants import SECOND_MS
from features.entities import LINKING, EntityKind
from features.plain_orders import SUMMED_VALUES
from serving.store.store import Row, Transaction

WIDTHS_MS = tuple(1 << bits for bits in (13, 17, 21, 25, 29))
"""The stretches that are summed: 8 seconds, each 16 times as long as the one before, up to 6 days.

From any moment on, at most 15 of each width and the links of eight seconds have to be added up; of the
widest as many as the window holds.
"""
SUMMED_FROM = 32
"""So many links wait to be summed before it is worth the writing; fewer are counted one by one."""
SUMMED_AT_ONCE = 2_000
SETTLED_AFTER_MS = 10 * SECOND_MS
"""What was recorded within so short a time is not summed yet: a look that began before must not see it."""
ORDER_SUMS = "order-sums"
"""The lock of whoever writes sums."""
WHOSE_FIRST = (*LINKING, EntityKind.CUSTOMER_DEVICE, EntityKind.CUSTOMER_ADDRESS)
"""At these it is kept when each customer's first order happened."""
_ASKED_ONCE_IN = 8

AT_ENTITY = "entity_kind = ? AND entity_key = ? AND is_finding = 0"
_BY_FEW = "lower(entity_kind) = ? AND entity_key = ? AND is_finding = 0"
"""Through the index of the few links that are meant, never through all of the entity's."""
WAITING = f"{_BY_FEW} AND is_plain = 1 AND is_summed = 0"
_WAITING = f"{_BY_FEW} AND is_plain = 1 AND is_summed = 0 AND recorded_at_ms < ?"
_SUMMED = "occurred_at_ms, recorded_at_ms, customer_id, amount_cents, night, resellable"

Entity = tuple[EntityKind, str]


class Stretch(NamedTuple):
    """Time from `start_ms` to before `end_ms`, in whole stretches of a width; None for no end."""

    width_ms: int
    start_ms: int
    end_ms: int | None


class SummedLink(NamedTuple):
    """A link as the sums take it in. The last three are 0 except at the customer."""

    occurred_at_ms: int
    recorded_at_ms: int
    customer_id: str
    amount_cents: int = 0
    night: int = 0
    resellable: int = 0


Totals = tuple[int, ...]
"""How many orders and, at the customer, the sums of SUMMED_VALUES."""


def summed_columns(kind: EntityKind) -> tuple[str, ...]:
    """What is added up besides the number of orders, at an entity of a kind."""
    return SUMMED_VALUES if kind is EntityKind.CUSTOMER else ()


@lru_cache(maxsize=256)
def stretches_since(since_ms: int, widths_ms: tuple[int, ...] = WIDTHS_MS) -> tuple[Stretch, ...]:
    """All time from `since_ms` on: milliseconds first, then each width up to where the next one begins.

    >>> stretches_since(61, (10, 80))
    (Stretch(width_ms=1, start_ms=61, end_ms=70), Stretch(width_ms=10, start_ms=70, end_ms=80), \
Stretch(width_ms=80, start_ms=80, end_ms=None))
    """
    stretches: list[Stretch] = []
    start_ms = since_ms
    for width_ms, wider_ms in zip((1, *widths_ms[:-1]), widths_ms, strict=True):
        end_ms = -(-start_ms // wider_ms) * wider_ms
        stretches.append(Stretch(width_ms, start_ms, end_ms))
        start_ms = end_ms
    return (*stretches, Stretch(widths_ms[-1], start_ms, None))


def summed_entities(tx: Transaction, entities: Sequence[Entity]) -> dict[EntityKind, bool]:
    """The entities of which there are sums, and whether these hold what must not be counted any more."""
    if not entities:
        return {}
    # One row is enough to know, and the widest stretches are the fewest.
    found = tx.execute(
        " UNION ALL ".join([_SUMMED_ENTITY] * len(entities)),
        [value for entity, key in entities for value in (entity.value, key) * 2],
    )
    return {EntityKind(kind): bool(holds) for kind, holds in found}


_SUMMED_ENTITY = (
    "SELECT * FROM (SELECT entity_kind, (SELECT count(*) FROM (SELECT 1 FROM order_links "  # noqa: S608 - constants
    f"WHERE is_plain = 0 AND {_BY_FEW} AND is_summed = 1 LIMIT 1) AS one) FROM order_sums "
    f"WHERE {AT_ENTITY} AND width_ms = {WIDTHS_MS[-1]} LIMIT 1) AS found"
)


def totals_since(
    tx: Transaction, entity: Entity, starts_ms: Sequence[int], recorded_before_ms: int
) -> list[Totals]:
    """What the summed orders at an entity come to that happened from each moment on, as known at
    `recorded_before_ms`.
    """
    columns = summed_columns(entity[0])
    before = (recorded_before_ms,) * (1 + len(columns))
    values: list[object] = []
    asked = [stretches_since(start_ms) for start_ms in starts_ms]
    for singly, *stretches in asked:
        values += [entity[0].value, entity[1], *_ends(singly), recorded_before_ms]
        for stretch in stretches:
            values += [*before, entity[0].value, entity[1], stretch.width_ms, *_ends(stretch)]
    totals: list[Totals] = [(0,) * (1 + len(columns))] * len(starts_ms)
    for number, recorded_to_ms, *sums in tx.execute(_totals_question(columns, len(starts_ms)), values):
        place, level = divmod(number, 1 + len(WIDTHS_MS))
        if sums[0]:
            totals[place] = _plus(totals[place], sums)
        if recorded_to_ms is not None and recorded_to_ms >= recorded_before_ms:
            stretch = asked[place][level]
            totals[place] = _plus(totals[place], _known_within(tx, entity, stretch, recorded_before_ms))
    return totals


@lru_cache(maxsize=32)
def _totals_question(columns: tuple[str, ...], starts: int) -> str:
    """One question for all stretches since all starts: its number, the last record in it, and its sums."""
    parts = []
    for number, stretch in enumerate(stretch for _ in range(starts) for stretch in stretches_since(0)):
        if stretch.width_ms == 1:
            parts.append(f"SELECT {number}, 0, {_sums_of_links(columns)}")
        else:
            parts.append(f"SELECT {number}, max(recorded_to_ms), {_sums_of_sums(columns, stretch)}")
    return " UNION ALL ".join(parts)


def _sums_of_links(columns: Sequence[str]) -> str:
    sums = "".join(f", sum({column})" for column in columns)
    return (
        f"count(*){sums} FROM order_links WHERE {AT_ENTITY} AND occurred_at_ms >= ? "
        "AND occurred_at_ms < ? AND is_summed = 1 AND recorded_at_ms < ?"
    )


def _sums_of_sums(columns: Sequence[str], stretch: Stretch) -> str:
    sums = ", ".join(
        f"sum(CASE WHEN recorded_to_ms < ? THEN {column} ELSE 0 END)" for column in ("orders", *columns)
    )
    return f"{sums} FROM order_sums WHERE {AT_ENTITY} AND width_ms = ? AND {_between(stretch)}"


def _between(stretch: Stretch) -> str:
    return "start_ms >= ?" if stretch.end_ms is None else "start_ms >= ? AND start_ms < ?"


def _ends(stretch: Stretch) -> tuple[int, ...]:
    return (stretch.start_ms,) if stretch.end_ms is None else (stretch.start_ms, stretch.end_ms)


def _plus(totals: Totals, more: Sequence[int | None]) -> Totals:
    return tuple(int(one) + int(other or 0) for one, other in zip(totals, more, strict=True))


def with_kept(single: Totals, together: Totals, taken_out: Iterable[SummedLink]) -> Totals:
    """What links by themselves and summed ones come to, without those that must not be counted."""
    totals = _plus(single, together)
    for link in taken_out:
        totals = tuple(one - other for one, other in zip(totals, _totals_of(link), strict=False))
    return totals


def _totals_of(link: SummedLink) -> Totals:
    return 1, link.amount_cents, link.night, link.resellable


def _known_within(tx: Transaction, entity: Entity, stretch: Stretch, recorded_before_ms: int) -> Totals:
    """What was known at a moment of those sums of a stretch to which something was added that was not."""
    at = (entity[0].value, entity[1])
    columns = summed_columns(entity[0])
    later = tx.execute(
        f"SELECT start_ms FROM order_sums WHERE {AT_ENTITY} AND width_ms = ? AND {_between(stretch)} "  # noqa: S608 - constants
        "AND recorded_to_ms >= ?",
        (*at, stretch.width_ms, *_ends(stretch), recorded_before_ms),
    )
    level = WIDTHS_MS.index(stretch.width_ms)
    known: Totals = (0,) * (1 + len(columns))
    for start_ms, end_ms in ((int(start), int(start) + stretch.width_ms) for (start,) in later):
        if level == 0:
            (sums,) = tx.execute(
                f"SELECT {_sums_of_links(columns)}", (*at, start_ms, end_ms, recorded_before_ms)
            )
            known = _plus(known, sums)
            continue
        within = Stretch(WIDTHS_MS[level - 1], start_ms, end_ms)
        (sums,) = tx.execute(
            f"SELECT {_sums_of_sums(columns, within)}",
            (*[recorded_before_ms] * (1 + len(columns)), *at, within.width_ms, *_ends(within)),
        )
        known = _plus(_plus(known, sums), _known_within(tx, entity, within, recorded_before_ms))
    return known


def summed_firsts(
    tx: Transaction, entity: Entity, taken_out: Iterable[SummedLink], recorded_before_ms: int
) -> dict[str, int]:
    """When the first summed order of each customer happened at an entity, as known at `recorded_before_ms`.

    taken_out: the links that are still summed and must not be counted.
    """
    at = (entity[0].value, entity[1])
    not_first = {(link.customer_id, link.occurred_at_ms) for link in taken_out}
    first_at_ms: dict[str, int] = {}
    for customer_id, kept_ms, recorded_at_ms in tx.execute(
        "SELECT customer_id, first_at_ms, first_recorded_ms FROM order_sum_customers "
        "WHERE entity_kind = ? AND entity_key = ?",
        at,
    ):
        if recorded_at_ms < recorded_before_ms and (customer_id, kept_ms) not in not_first:
            first_at_ms[customer_id] = int(kept_ms)
            continue
        ((found_ms,),) = tx.execute(
            f"SELECT min(occurred_at_ms) FROM order_links WHERE {AT_ENTITY} AND is_plain = 1 "  # noqa: S608 - constants
            "AND is_summed = 1 AND recorded_at_ms < ? AND customer_id = ?",
            (*at, recorded_before_ms, customer_id),
        )
        if found_ms is not None:
            first_at_ms[customer_id] = int(found_ms)
    return first_at_ms


def keep_sums(tx: Transaction, links: Iterable[tuple[str, str, str]], recorded_before_ms: int) -> None:
    """Sum up where many links wait for it, among the entities of links that were made now.

    links: entity kind, key, and the ledger row that made the link; kinds in the order in which an order's
    links are written. Not every link leads to the question: of an entity that many orders name, one soon
    does.
    """
    for kind, key in dict.fromkeys((kind, key) for kind, key, event_id in links if _is_asked(kind, event_id)):
        waiting = tx.execute(
            f"SELECT 1 FROM order_links WHERE {_WAITING} LIMIT ?",  # noqa: S608 - constants
            (kind, key, recorded_before_ms, SUMMED_FROM),
        )
        if len(waiting) == SUMMED_FROM:
            sum_up(tx, (EntityKind(kind), key), recorded_before_ms)


def _is_asked(kind: str, event_id: str) -> bool:
    return zlib.crc32(f"{kind} {event_id}".encode()) % _ASKED_ONCE_IN == 0


def entities_to_sum(tx: Transaction) -> list[Entity]:
    """Every entity at which many links wait to be summed; goes through all of them that do."""
    return [
        (EntityKind(kind), key)
        for kind, key in tx.execute(
            "SELECT entity_kind, entity_key FROM order_links WHERE is_plain = 1 AND is_summed = 0 "
            "AND is_finding = 0 GROUP BY entity_kind, entity_key HAVING count(*) >= ?",
            (SUMMED_FROM,),
        )
    ]


def sum_up(tx: Transaction, entity: Entity, recorded_before_ms: int, limit: int = SUMMED_AT_ONCE) -> int:
    """Add an entity's oldest waiting links to its sums and take those out that must not be counted any more.

    Returns how many were added: about `limit` while more wait.
    """
    tx.lock(ORDER_SUMS)
    at = (entity[0].value, entity[1])
    removed = links_of_rows(
        tx.execute(
            f"UPDATE order_links SET is_summed = 0 WHERE is_plain = 0 AND {_BY_FEW} AND is_summed = 1 "  # noqa: S608 - constants
            f"RETURNING {_SUMMED}",
            at,
        )
    )
    ((to_ms,),) = tx.execute(
        f"SELECT max(occurred_at_ms) FROM (SELECT occurred_at_ms FROM order_links WHERE {_WAITING} "  # noqa: S608 - constants
        "ORDER BY occurred_at_ms LIMIT ?) AS oldest",
        (*at, recorded_before_ms, limit),
    )
    added: list[SummedLink] = []
    if to_ms is not None:
        added = links_of_rows(
            tx.execute(
                f"UPDATE order_links SET is_summed = 1 WHERE {_WAITING} AND occurred_at_ms <= ? "  # noqa: S608 - constants
                f"RETURNING {_SUMMED}",
                (*at, recorded_before_ms, to_ms),
            )
        )
    _add(tx, entity, added, 1)
    _add(tx, entity, removed, -1)
    if entity[0] in WHOSE_FIRST:
        _keep_customers(tx, entity, added, removed)
    return len(added)


def links_of_rows(rows: Iterable[Row]) -> list[SummedLink]:
    """Links by what order_links says of them, in the order of SummedLink."""
    return [
        SummedLink(int(occurred), int(recorded), customer, *(int(value or 0) for value in values))
        for occurred, recorded, customer, *values in rows
    ]


def summed_but_not_plain(
    tx: Transaction, entity: Entity, since_ms: int, recorded_before_ms: int
) -> list[SummedLink]:
    """Links that must not be counted and were not taken out of the sums yet."""
    return links_of_rows(
        tx.execute(
            f"SELECT {_SUMMED} FROM order_links WHERE is_plain = 0 AND {_BY_FEW} "  # noqa: S608 - constants
            "AND occurred_at_ms >= ? AND is_summed = 1 AND recorded_at_ms < ?",
            (entity[0].value, entity[1], since_ms, recorded_before_ms),
        )
    )


def _add(tx: Transaction, entity: Entity, links: Collection[SummedLink], sign: int) -> None:
    totals: dict[tuple[int, int], Totals] = {}
    recorded_to_ms: dict[tuple[int, int], int] = {}
    for link in links:
        one = tuple(sign * value for value in _totals_of(link))
        for width_ms in WIDTHS_MS:
            place = width_ms, link.occurred_at_ms // width_ms * width_ms
            totals[place] = _plus(totals[place], one) if place in totals else one
            recorded_to_ms[place] = max(recorded_to_ms.get(place, 0), link.recorded_at_ms)
    tx.execute_many(
        "INSERT INTO order_sums (entity_kind, entity_key, is_finding, width_ms, start_ms, orders, "
        "amount_cents, night, resellable, recorded_to_ms) VALUES (?, ?, 0, ?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (entity_kind, entity_key, is_finding, width_ms, start_ms) DO UPDATE SET "
        "orders = order_sums.orders + excluded.orders, "
        "amount_cents = order_sums.amount_cents + excluded.amount_cents, "
        "night = order_sums.night + excluded.night, "
        "resellable = order_sums.resellable + excluded.resellable, "
        "recorded_to_ms = CASE WHEN excluded.recorded_to_ms > order_sums.recorded_to_ms "
        "THEN excluded.recorded_to_ms ELSE order_sums.recorded_to_ms END",
        [
            (entity[0].value, entity[1], *place, *sums, recorded_to_ms[place])
            for place, sums in sorted(totals.items())
        ],
    )


def _keep_customers(
    tx: Transaction, entity: Entity, added: Sequence[SummedLink], removed: Sequence[SummedLink]
) -> None:
    at = (entity[0].value, entity[1])
    links_of: dict[str, list[SummedLink]] = {}
    for link in added:
        links_of.setdefault(link.customer_id, []).append(link)
    anew = sorted({link.customer_id for link in removed})
    for customer_id in anew:
        # Which was the first without those that were taken out, only the links themselves can tell.
        links_of[customer_id] = links_of_rows(
            tx.execute(
                f"SELECT {_SUMMED} FROM order_links WHERE {AT_ENTITY} AND is_summed = 1 AND customer_id = ?",  # noqa: S608 - constants
                (*at, customer_id),
            )
        )
    tx.execute_many(
        "DELETE FROM order_sum_customers WHERE entity_kind = ? AND entity_key = ? AND customer_id = ?",
        [(*at, customer_id) for customer_id in anew],
    )
    is_earlier = (
        "excluded.first_at_ms < order_sum_customers.first_at_ms OR (excluded.first_at_ms = "
        "order_sum_customers.first_at_ms AND excluded.first_recorded_ms < "
        "order_sum_customers.first_recorded_ms)"
    )
    tx.execute_many(
        "INSERT INTO order_sum_customers (entity_kind, entity_key, customer_id, first_at_ms, "  # noqa: S608 - constants
        "first_recorded_ms, known_from_ms) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (entity_kind, entity_key, customer_id) DO UPDATE SET "
        f"first_at_ms = CASE WHEN {is_earlier} THEN excluded.first_at_ms "
        "ELSE order_sum_customers.first_at_ms END, "
        f"first_recorded_ms = CASE WHEN {is_earlier} THEN excluded.first_recorded_ms "
        "ELSE order_sum_customers.first_recorded_ms END, "
        "known_from_ms = CASE WHEN excluded.known_from_ms < order_sum_customers.known_from_ms "
        "THEN excluded.known_from_ms ELSE order_sum_customers.known_from_ms END",
        [
            (*at, customer_id, *min(links)[:2], min(link.recorded_at_ms for link in links))
            for customer_id, links in sorted(links_of.items())
            if links
        ],
    )
