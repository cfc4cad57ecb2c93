"""What monitoring reads of the store: answers, logged features and refused events of a span of time.

Spans are half-open, in milliseconds since 1970 UTC. Ids of decisions and screenings grow with time, so a
span of time is a range of ids. Each page is a transaction of its own: a long one would keep SQLite from
starting its write-ahead log anew. What is written meanwhile into the part already read is not seen.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from serving.store.decision_log import unpacked
from serving.store.decision_search import first_id_at
from serving.store.store import Store, Transaction

PAGE = 5_000
_SCREENING_PREFIX = "scr_"


class _Reason(msgspec.Struct):
    code: str


class _Answer(msgspec.Struct):
    reasons: tuple[_Reason, ...]


class _Record(msgspec.Struct):
    answer: _Answer


_decode = msgspec.json.Decoder(_Record).decode


@dataclass(frozen=True, kw_only=True)
class AnswerInLog:
    """One checkout decision, as far as monitoring needs it.

    main_reason: code of the first reason, None where there is none.
    """

    customer_id: str
    as_of_ms: int
    outcome: str
    main_reason: str | None


@dataclass(frozen=True, kw_only=True)
class FeaturesInLog:
    """The features that one decision or screening was made with.

    log_id: of the decision or screening. order_id: what it was about.
    """

    log_id: str
    order_id: str
    customer_id: str
    as_of_ms: int
    values: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class FeatureLog:
    """A random sample of logged features. not_comparable: how many read another version of the features."""

    logged: tuple[FeaturesInLog, ...]
    not_comparable: int


@dataclass(frozen=True, kw_only=True)
class EventCounts:
    """Events of one contract. None as contract: it could not be told."""

    contract: str | None
    accepted: int
    refused: int


def newest_decision_ms(tx: Transaction) -> int | None:
    """The moment of the newest decision, None where there is none."""
    rows = tx.execute("SELECT as_of_ms FROM decisions ORDER BY decision_id DESC LIMIT 1")
    return int(rows[0][0]) if rows else None


def answers_between(store: Store, from_ms: int, until_ms: int) -> Iterator[list[AnswerInLog]]:
    """The decisions about orders of a span in pages of at most PAGE, the earliest first; amendments of
    orders that stand are none.
    """
    statement = (
        "SELECT decision_id, customer_id, as_of_ms, outcome, record FROM decisions "
        "WHERE decision_id > ? AND decision_id < ? AND amends = 0 ORDER BY decision_id LIMIT ?"
    )
    for rows in _pages(store, statement, first_id_at(from_ms), first_id_at(until_ms)):
        yield [_answer(row) for row in rows]


def _pages(store: Store, statement: str, after: str, end: str) -> Iterator[Sequence[tuple[Any, ...]]]:
    """The rows of a statement that takes (after, end, limit), in the order of the id that comes first."""
    while True:
        with store.reading() as tx:
            rows = tx.execute(statement, (after, end, PAGE))
        yield rows
        if len(rows) < PAGE:
            return
        after = rows[-1][0]


def _answer(row: Sequence[Any]) -> AnswerInLog:
    _, customer_id, as_of_ms, outcome, record = row
    reasons = _decode(record).answer.reasons
    return AnswerInLog(
        customer_id=customer_id,
        as_of_ms=int(as_of_ms),
        outcome=outcome,
        main_reason=reasons[0].code if reasons else None,
    )


def checkout_features(
    store: Store, from_ms: int, until_ms: int, *, feature_set_version: str, sample: int, seed: int
) -> FeatureLog:
    """The features of at most `sample` decisions of a span, drawn at random."""
    pages = _pages(
        store,
        "SELECT decision_id, feature_set_version FROM decisions "
        "WHERE decision_id > ? AND decision_id < ? AND features IS NOT NULL ORDER BY decision_id LIMIT ?",
        first_id_at(from_ms),
        first_id_at(until_ms),
    )
    one_by_id = (
        "SELECT decision_id, order_id, customer_id, as_of_ms, features FROM decisions WHERE decision_id = ?"
    )
    return _drawn(store, pages, one_by_id, feature_set_version, sample, seed)


def screening_features(
    store: Store, from_ms: int, until_ms: int, *, feature_set_version: str, sample: int, seed: int
) -> FeatureLog:
    """The features of at most `sample` screenings of a span, drawn at random."""
    pages = _pages(
        store,
        "SELECT screening_id, feature_set_version FROM screenings "
        "WHERE screening_id > ? AND screening_id < ? ORDER BY screening_id LIMIT ?",
        first_id_at(from_ms, _SCREENING_PREFIX),
        first_id_at(until_ms, _SCREENING_PREFIX),
    )
    one_by_id = (
        "SELECT screenings.screening_id, screenings.order_id, decisions.customer_id, "
        "screenings.as_of_ms, screenings.features FROM screenings "
        "JOIN decisions ON decisions.order_id = screenings.order_id "
        "WHERE screenings.screening_id = ? LIMIT 1"
    )
    return _drawn(store, pages, one_by_id, feature_set_version, sample, seed)


def _drawn(
    store: Store,
    pages: Iterator[Sequence[tuple[Any, ...]]],
    one_by_id: str,
    feature_set_version: str,
    sample: int,
    seed: int,
) -> FeatureLog:
    """A random sample of what pages of (id, version) list, read with `one`; in the order of the ids.

    Vitter's reservoir (algorithm R): after n ids each of them is in the sample with chance sample / n, and
    no more than the sample is ever held.
    """
    chance = random.Random(seed)  # noqa: S311 - a sample for a check, nothing secret
    drawn: list[str] = []
    comparable = others = 0
    for rows in pages:
        for log_id, version in rows:
            if version != feature_set_version:
                others += 1
                continue
            comparable += 1
            place = len(drawn) if len(drawn) < sample else chance.randrange(comparable)
            if place < sample:
                drawn[place : place + 1] = [str(log_id)]
    with store.reading() as tx:
        logged = [_features(row) for log_id in sorted(drawn) for row in tx.execute(one_by_id, (log_id,))]
    return FeatureLog(logged=tuple(logged), not_comparable=others)


def _features(row: Sequence[Any]) -> FeaturesInLog:
    return FeaturesInLog(
        log_id=row[0],
        order_id=row[1],
        customer_id=row[2],
        as_of_ms=int(row[3]),
        values=unpacked(bytes(row[4])),
    )


def event_counts(tx: Transaction, from_ms: int, until_ms: int) -> list[EventCounts]:
    """Ledger rows that entered and events that were refused in a span, by contract."""
    accepted: dict[str | None, int] = dict(
        tx.execute(
            "SELECT contract, count(*) FROM ledger_events "
            "WHERE recorded_at_ms >= ? AND recorded_at_ms < ? GROUP BY contract",
            (from_ms, until_ms),
        )
    )
    refused: dict[str | None, int] = dict(
        tx.execute(
            "SELECT contract, count(*) FROM quarantined_events "
            "WHERE received_at_ms >= ? AND received_at_ms < ? AND taken_back_at_ms IS NULL GROUP BY contract",
            (from_ms, until_ms),
        )
    )
    return [
        EventCounts(
            contract=contract,
            accepted=int(accepted.get(contract, 0)),
            refused=int(refused.get(contract, 0)),
        )
        for contract in sorted({**accepted, **refused}, key=str)
    ]
