"""The clocks of customers and merchants: no two of their moments are equal."""

from collections.abc import Sequence

from serving.store.store import Transaction


def next_as_of_ms(tx: Transaction, customer_id: str, now_ms: int) -> int:
    """The next moment of a customer (or merchant): now, but after every moment that it gave before.

    Decisions, records and arrivals share this clock: each is later than the one before, so that no two rows
    of a customer are recorded at once, and none at the moment of a decision.
    """
    rows = tx.execute(
        "INSERT INTO customer_clocks (entity_id, last_ms) VALUES (?, ?) ON CONFLICT (entity_id) DO UPDATE "
        "SET last_ms = CASE WHEN excluded.last_ms > customer_clocks.last_ms THEN excluded.last_ms "
        "ELSE customer_clocks.last_ms + 1 END RETURNING last_ms",
        (customer_id, now_ms),
    )
    return int(rows[0][0])


def next_common_as_of_ms(tx: Transaction, customer_id: str, candidates: Sequence[str], now_ms: int) -> int:
    """The moment of a decision that looks at several accounts: after every row of theirs that is recorded
    already, and before every one that comes.
    """
    as_of_ms = next_as_of_ms(tx, customer_id, now_ms)
    for candidate in candidates:
        as_of_ms = next_as_of_ms(tx, candidate, as_of_ms)
    # Whose clock stood still while the others' moved on is set as well.
    for earlier in (customer_id, *candidates)[: len(candidates)]:
        next_as_of_ms(tx, earlier, as_of_ms)
    return as_of_ms
