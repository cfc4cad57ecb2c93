"""What the service's store tells monitoring of a window and the reference before it, as plain arrays.

Logged features are rebuilt here by the offline engine from the store's own ledger: the second evaluator,
which shares neither code path nor row order with the one that answered the checkout.

What it costs: the answers of window and reference stay in memory as arrays, some tens of bytes for each and
each customer id once. For the eligibility model only the sampled customers' rows are exported. For the
order-risk model the whole ledger is written into a temporary folder, since what orders share crosses
customers: time and disk grow with the ledger, not with the sample.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data_contracts.progress import Progress, no_progress
from features.consistency import rebuilt_differences
from features.decisions import Decisions
from features.declarations import Purpose
from features.feature_sets import FeatureSet
from features.instants import Int64Array
from serving.store.decision_window import (
    answers_between,
    checkout_features,
    event_counts,
    screening_features,
)
from serving.store.export import export_customers, export_folder
from serving.store.flow_figures import judged_orders
from serving.store.store import Store

REBUILT_SAMPLE = 200


@dataclass(frozen=True, kw_only=True)
class RebuiltFeatures:
    """Logged features of one model against the same rebuilt offline.

    not_comparable: decisions that read another version of the feature set. differences: decision or
    screening id, feature, logged and rebuilt value.
    """

    model: str
    compared: int
    not_comparable: int
    differences: tuple[tuple[str, str, float, float], ...]


@dataclass(frozen=True, kw_only=True)
class EventsThatCame:
    """Rows of one contract, before the window and in it."""

    refused_before: int = 0
    accepted_before: int = 0
    refused: int = 0
    accepted: int = 0


@dataclass(frozen=True, kw_only=True)
class ServiceRecord:
    """What the store tells; the arrays of checkout decisions and those of verdicts have one length each."""

    customer_id: NDArray[np.object_]
    as_of_ms: Int64Array
    outcome: NDArray[np.object_]
    main_reason: NDArray[np.object_]
    verdict_at_ms: Int64Array
    verdict_merchant_id: NDArray[np.object_]
    verdict_is_released: NDArray[np.bool_]
    events: dict[str, EventsThatCame]
    rebuilt: tuple[RebuiltFeatures, ...]


def read_record(
    store: Store,
    feature_sets: Sequence[FeatureSet],
    *,
    reference_from_ms: int,
    window_from_ms: int,
    window_until_ms: int,
    sample: int = REBUILT_SAMPLE,
    seed: int = 0,
    progress: Progress = no_progress,
) -> ServiceRecord:
    """Read the store's record of [reference_from_ms, window_until_ms).

    sample: how many decisions of the window are rebuilt for each feature set. Raises StoreUnavailable.
    """
    answers = _answers(store, reference_from_ms, window_until_ms)
    with store.reading() as tx:
        verdicts = judged_orders(tx, reference_from_ms, window_until_ms)
    with store.reading() as tx:
        before = event_counts(tx, reference_from_ms, window_from_ms)
    with store.reading() as tx:
        now = event_counts(tx, window_from_ms, window_until_ms)
    events: dict[str, EventsThatCame] = {}
    for counts in before:
        events[counts.contract or "unknown"] = EventsThatCame(
            refused_before=counts.refused, accepted_before=counts.accepted
        )
    for counts in now:
        name = counts.contract or "unknown"
        events[name] = replace(
            events.get(name, EventsThatCame()), refused=counts.refused, accepted=counts.accepted
        )
    rebuilt = tuple(
        _rebuilt(store, feature_set, window_from_ms, window_until_ms, sample, seed, progress)
        for feature_set in feature_sets
    )
    return ServiceRecord(
        customer_id=answers.customer_id,
        as_of_ms=answers.as_of_ms,
        outcome=answers.outcome,
        main_reason=answers.main_reason,
        verdict_at_ms=np.array([verdict.at_ms for verdict in verdicts], dtype=np.int64),
        verdict_merchant_id=np.array([verdict.merchant_id for verdict in verdicts], dtype=object),
        verdict_is_released=np.array([verdict.is_released for verdict in verdicts], dtype=bool),
        events=events,
        rebuilt=rebuilt,
    )


@dataclass(frozen=True, kw_only=True)
class _Answers:
    customer_id: NDArray[np.object_]
    as_of_ms: Int64Array
    outcome: NDArray[np.object_]
    main_reason: NDArray[np.object_]


def _answers(store: Store, from_ms: int, until_ms: int) -> _Answers:
    """The answers of a span, page by page; texts that come again are held once."""
    held: dict[str | None, str | None] = {}
    texts: list[NDArray[np.object_]] = []
    as_of_ms: list[Int64Array] = []
    for page in answers_between(store, from_ms, until_ms):
        rows = [(answer.customer_id, answer.outcome, answer.main_reason) for answer in page]
        columns = np.empty((3, len(rows)), dtype=object)
        for place, row in enumerate(rows):
            columns[:, place] = [held.setdefault(text, text) for text in row]
        texts.append(columns)
        as_of_ms.append(np.array([answer.as_of_ms for answer in page], dtype=np.int64))
    customer_id, outcome, main_reason = np.concatenate(texts, axis=1)
    return _Answers(
        customer_id=customer_id,
        as_of_ms=np.concatenate(as_of_ms),
        outcome=outcome,
        main_reason=main_reason,
    )


def _rebuilt(
    store: Store,
    feature_set: FeatureSet,
    from_ms: int,
    until_ms: int,
    sample: int,
    seed: int,
    progress: Progress,
) -> RebuiltFeatures:
    is_credit = feature_set.purpose is Purpose.CREDIT
    read_log = checkout_features if is_credit else screening_features
    log = read_log(
        store,
        from_ms,
        until_ms,
        feature_set_version=feature_set.version_under_terms,
        sample=sample,
        seed=seed,
    )
    if not log.logged:
        return RebuiltFeatures(
            model=feature_set.name, compared=0, not_comparable=log.not_comparable, differences=()
        )
    customers = [logged.customer_id for logged in log.logged]
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        if is_credit:
            export_customers(store, directory, sorted(set(customers)))
        else:
            # What orders share crosses customers, so that everybody's rows are needed.
            export_folder(store, directory, progress)
        decisions = Decisions(
            decision_id=np.array([logged.order_id for logged in log.logged], dtype=object),
            customer_id=np.array(customers, dtype=object),
            as_of_ms=np.array([logged.as_of_ms for logged in log.logged], dtype=np.int64),
        )
        values = np.array([logged.values for logged in log.logged], dtype=np.float64)
        found = rebuilt_differences(directory, decisions, values, feature_set, progress)
    return RebuiltFeatures(
        model=feature_set.name,
        compared=len(log.logged),
        not_comparable=log.not_comparable,
        differences=tuple(
            (log.logged[one.place].log_id, one.feature, one.logged, one.rebuilt) for one in found
        ),
    )
