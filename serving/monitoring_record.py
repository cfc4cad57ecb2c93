"""What the service's store tells monitoring of a window and the reference before it, as plain arrays.

Logged features are rebuilt here by the offline engine from the store's own ledger: the second evaluator,
which shares neither code path nor row order with the one that answered the checkout.
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
    AnswerInLog,
    answers_between,
    checkout_features,
    event_counts,
    screening_features,
)
from serving.store.flow_figures import judged_orders
from serving.store.loading import export_customers, export_folder
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
    with store.reading() as tx:
        answers = list(answers_between(tx, reference_from_ms, window_until_ms))
        verdicts = judged_orders(tx, reference_from_ms, window_until_ms)
        before = event_counts(tx, reference_from_ms, window_from_ms)
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
        customer_id=np.array([answer.customer_id for answer in answers], dtype=object),
        as_of_ms=np.array([answer.as_of_ms for answer in answers], dtype=np.int64),
        outcome=np.array([answer.outcome for answer in answers], dtype=object),
        main_reason=_reasons(answers),
        verdict_at_ms=np.array([verdict.at_ms for verdict in verdicts], dtype=np.int64),
        verdict_merchant_id=np.array([verdict.merchant_id for verdict in verdicts], dtype=object),
        verdict_is_released=np.array([verdict.is_released for verdict in verdicts], dtype=bool),
        events=events,
        rebuilt=rebuilt,
    )


def _reasons(answers: Sequence[AnswerInLog]) -> NDArray[np.object_]:
    return np.array([answer.main_reason for answer in answers], dtype=object)


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
    with store.reading() as tx:
        log = read_log(
            tx, from_ms, until_ms, feature_set_version=feature_set.version, sample=sample, seed=seed
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
