"""After the clock was ahead: an instant that lies further ahead than its rule sets one is treated as now.

What was stamped while the clock was a day ahead would count for that day once the clock is right again: a
session, a lock after wrong passwords, a merchant's questions. A cursor by time would pass over whatever is
decided in that day. Messages and attempts that wait are seen to by `clock_jumps`, looks and running processes
where they are taken, and cases by `serving/cases/cases_ahead.py`.
"""

from dataclasses import dataclass

from data_contracts.instants import DAY_MS
from serving.store.clock_jumps import CLOCKS_APART_MS
from serving.store.decision_search import first_id_at
from serving.store.store import Store, Transaction


@dataclass(frozen=True, kw_only=True)
class _Stamp:
    """A column that holds the instant of its writing. where: limits the search to what an index finds."""

    table: str
    column: str
    where: str = "1 = 1"


STAMPS = (
    _Stamp(table="api_keys", column="last_used_at_ms"),
    _Stamp(table="console_sessions", column="created_at_ms"),
    _Stamp(table="console_sessions", column="last_used_at_ms"),
    _Stamp(table="sign_in_failures", column="at_ms"),
    _Stamp(table="merchant_questions", column="asked_at_ms"),
    # Until then the endpoint that a merchant named after it would count as the one that has ended.
    _Stamp(table="webhook_endpoints", column="ended_at_ms"),
    # An e-mail goes in its place once it is old enough.
    _Stamp(table="deliveries", column="created_at_ms", where="next_attempt_at_ms IS NOT NULL"),
)
_REPLACED_KEYS = "replaced_at_ms"


def treat_instants_ahead_as_now(store: Store, now_ms: int) -> int:
    """Set back what a clock that was ahead has stamped; returns how many rows.

    Looks first without the lock of a writer. Raises StoreUnavailable.
    """
    with store.reading() as tx:
        stamps = [stamp for stamp in STAMPS if _is_any_ahead(tx, stamp, now_ms)]
        is_any_key = _is_any_ahead(tx, _Stamp(table="replaced_api_keys", column=_REPLACED_KEYS), now_ms)
        shadows = _shadows_ahead(tx, now_ms)
        zones = [zone for zone, counted_to in _flow_progress(tx) if _is_ahead(counted_to, now_ms)]
    done = 0
    if stamps or is_any_key:
        with store.writing("instants-ahead") as tx:
            done += sum(_set_back(tx, stamp, now_ms) for stamp in stamps)
            done += _end_replaced_keys_in_time(tx, now_ms)
    if shadows:
        with store.writing(*(f"shadow-{model_name}" for model_name, *_ in shadows)) as tx:
            done += _let_shadows_look_back(tx, now_ms)
    for zone in zones:
        with store.writing("daily-flow") as tx:
            done += _count_anew(tx, zone, now_ms)
    return done


def _latest_ms(now_ms: int) -> int:
    return now_ms + CLOCKS_APART_MS


def _is_any_ahead(tx: Transaction, stamp: _Stamp, now_ms: int) -> bool:
    return bool(
        tx.execute(
            f"SELECT 1 FROM {stamp.table} WHERE {stamp.column} > ? AND {stamp.where} LIMIT 1",  # noqa: S608 - constants
            (_latest_ms(now_ms),),
        )
    )


def _set_back(tx: Transaction, stamp: _Stamp, now_ms: int) -> int:
    return len(
        tx.execute(
            f"UPDATE {stamp.table} SET {stamp.column} = ? WHERE {stamp.column} > ? AND {stamp.where} "  # noqa: S608 - constants
            f"RETURNING {stamp.column}",
            (now_ms, _latest_ms(now_ms)),
        )
    )


def _end_replaced_keys_in_time(tx: Transaction, now_ms: int) -> int:
    """The secret before works on for as long as it was meant to, from now on."""
    return len(
        tx.execute(
            "UPDATE replaced_api_keys SET ends_at_ms = ends_at_ms - (replaced_at_ms - ?), replaced_at_ms = ? "
            "WHERE replaced_at_ms > ? RETURNING name",
            (now_ms, now_ms, _latest_ms(now_ms)),
        )
    )


def _is_ahead(identifier: str, now_ms: int) -> bool:
    """Whether an id that grows with time is of an instant ahead of now."""
    prefix = identifier[: identifier.index("_") + 1] if "_" in identifier else ""
    return identifier > first_id_at(_latest_ms(now_ms), prefix=prefix)


def _shadows_ahead(tx: Transaction, now_ms: int) -> list[tuple[str, str, int, str]]:
    rows = tx.execute("SELECT model_name, model_version, answers_from_ms, answered_to FROM shadow_progress")
    return [
        (model_name, version, int(from_ms), answered_to)
        for model_name, version, from_ms, answered_to in rows
        if _is_ahead(answered_to, now_ms)
    ]


def _let_shadows_look_back(tx: Transaction, now_ms: int) -> int:
    """A day back: what was answered already is answered once all the same."""
    ahead = _shadows_ahead(tx, now_ms)
    for model_name, version, from_ms, answered_to in ahead:
        prefix = answered_to[: answered_to.index("_") + 1]
        back_ms = max(min(from_ms, now_ms), now_ms - DAY_MS)
        tx.execute(
            "UPDATE shadow_progress SET answered_to = ?, answers_from_ms = ? "
            "WHERE model_name = ? AND model_version = ?",
            (first_id_at(back_ms, prefix=prefix), min(from_ms, now_ms), model_name, version),
        )
    return len(ahead)


def _flow_progress(tx: Transaction) -> list[tuple[str, str]]:
    return [
        (zone, counted_to)
        for zone, counted_to in tx.execute("SELECT time_zone, counted_to FROM flow_progress")
    ]


def _count_anew(tx: Transaction, zone: str, now_ms: int) -> int:
    """From the first decision on, in the worker's steps: time does not tell which of them are counted."""
    if not any(_is_ahead(counted_to, now_ms) for known, counted_to in _flow_progress(tx) if known == zone):
        # Another worker has begun.
        return 0
    tx.execute("DELETE FROM daily_flow WHERE time_zone = ?", (zone,))
    tx.execute("DELETE FROM flow_progress WHERE time_zone = ?", (zone,))
    return 1
