"""One champion in a window of time: its features and score, what it promises, and what came true."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data_contracts.instants import DAY_MS, instant_ms, iso_instant
from data_contracts.orders import ORDERS
from data_contracts.parquet_ledger import read_table
from data_contracts.progress import Progress
from evidence.drift import LEAST_DECISIONS, Drift, binned_numbers, drift
from evidence.intervals import Interval
from features.contact_keys import email_domain
from features.decisions import Decisions
from features.declarations import FACT_ENTITY, Feature
from features.entities import EntityKind
from features.feature_sets import FeatureSet
from features.instants import Float64Array, Int64Array
from features.offline import build_features
from features.order_links import ip_prefix
from training.candidates.model_artifact import CalibratedModel, read_model
from training.labels import UNLABELLED
from training.monitoring.checks import Candidate, Level, Section
from training.monitoring.estimated_performance import (
    EstimatedPerformance,
    estimated_performance,
    expected_auc,
    expected_auc_change,
    mean_change,
)
from training.monitoring.monitored_folder import numbers_of, were_recorded_before
from training.monitoring.period import Period
from training.monitoring.realised_performance import RealisedPerformance, realised_performance
from training.monitoring.watched_figures import (
    LEAST_EXPECTED_BADS,
    champion_candidate,
    drift_candidate,
    estimated_candidates,
    realised_candidates,
    unwatched_candidate,
)
from training.registry.registry import ModelRegistry
from training.tasks import TASKS
from training.training_task import TrainingTask

TREND_DAYS = 365


@dataclass(frozen=True, kw_only=True)
class VintageFigures:
    """One calendar month of decisions: what the champion expected, and what came of it so far.

    labelled: decisions whose label is known by the end of the window; the figures after it are of those,
    None where there are too few. expected_bad_rate: with what the probabilities allow in 95 %.
    trained_on: how many of those labelled the champion was trained on; the figures flatter it there.
    """

    month: str
    decisions: int
    labelled: int
    bads: int
    mean_probability: float
    expected_bad_rate: Interval | None
    bad_rate: float | None
    observed_to_expected: Interval | None
    auc: Interval | None
    expected_auc: float | None
    trained_on: int


@dataclass(frozen=True, kw_only=True)
class ModelWatch:
    """Everything about one champion. score: the drift of its probabilities, None where there is no champion.

    realised: of the decisions whose labels became known in the window and that the champion was not trained
        on, None where there are none. trained_on: how many it was trained on and are left out there.
    """

    model: str
    version: str | None
    note: str
    window_decisions: int = 0
    reference_decisions: int = 0
    score: Drift | None = None
    features: tuple[Drift, ...] = ()
    estimated: EstimatedPerformance | None = None
    estimated_reference: EstimatedPerformance | None = None
    realised: RealisedPerformance | None = None
    trained_on: int = 0
    vintages: tuple[VintageFigures, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ScoredDecisions:
    """Decisions with a champion's features and probabilities, and the labels known at the window's end.

    values: shape (n, n_features). probability, label, matured_at_ms: shape (n,); the label is -1 and the
    instant is -1 where it is not known. customer: a number for each decision's customer.
    shared: numbers for what decisions of several customers have in common, such as the merchant, by kind.
    """

    as_of_ms: Int64Array
    customer: Int64Array
    values: Float64Array
    probability: Float64Array
    label: NDArray[np.int8]
    matured_at_ms: Int64Array
    shared: Mapping[EntityKind, Int64Array] = field(default_factory=dict)

    def where(self, mask: NDArray[np.bool_]) -> "ScoredDecisions":
        """The decisions that `mask` picks."""
        return ScoredDecisions(
            as_of_ms=self.as_of_ms[mask],
            customer=self.customer[mask],
            values=self.values[mask],
            probability=self.probability[mask],
            label=self.label[mask],
            matured_at_ms=self.matured_at_ms[mask],
            shared={kind: numbers[mask] for kind, numbers in self.shared.items()},
        )

    def is_trained_on(self, trained_until_ms: int | None) -> NDArray[np.bool_]:
        """Which decisions a model was trained on: those whose label had matured by then. None: not known."""
        if trained_until_ms is None:
            return np.zeros(len(self.label), dtype=bool)
        return np.asarray((self.label != UNLABELLED) & (self.matured_at_ms < trained_until_ms))

    def unit(self, feature: Feature) -> Int64Array:
        """What stands or falls together in a feature: a merchant's orders share what counts its orders."""
        for measure in feature.measures():
            kind = FACT_ENTITY[measure.fact]
            if kind in self.shared:
                return self.shared[kind]
        return self.customer


@dataclass(frozen=True, kw_only=True)
class Watched:
    """Drifts and figures of one model with the checks that they lead to."""

    watch: ModelWatch
    candidates: list[Candidate] = field(default_factory=list)


def watch_model(
    directory: Path,
    model: str,
    period: Period,
    registry: ModelRegistry,
    *,
    now: datetime,
    seed: int,
    progress: Progress,
) -> Watched:
    """Watch the champion of a model, if there is one that this code can compute.

    Raises NoDecisionsError if the folder holds no orders.
    """
    version = registry.champion_version(model)
    if version is None:
        note = "no champion: nothing is watched"
        return Watched(
            watch=ModelWatch(model=model, version=None, note=note),
            candidates=[unwatched_candidate(model, f"{note}; is BONITAS_HOME right?", Level.NOTICE)],
        )
    task = TASKS[model]
    not_served = registry.why_champion_is_not_served(model)
    if not_served is not None:
        note = f"champion {version} decides about nobody: {not_served}"
        return Watched(
            watch=ModelWatch(model=model, version=version, note=note),
            candidates=[unwatched_candidate(model, note, Level.ALARM)],
        )
    changes = [
        champion_candidate(model, change)
        for change in registry.champion_changes(model, now=now)
        if period.window_from_ms <= instant_ms(change.at) < period.window_until_ms
    ]
    trained_until_ms = registry.trained_until_ms(model, version)
    files = registry.verified_files(model, version)
    champion = read_model(files)
    feature_set = task.feature_set_of(files.document())
    scored = _scored(directory, task, feature_set, period, champion, progress)
    found = watch_scored(
        scored,
        period,
        model=model,
        features=feature_set.features,
        bad_rate_factor=task.mean_probability_factor,
        trained_until_ms=trained_until_ms,
        seed=seed,
    )
    if trained_until_ms is None:
        trained_until = "a day it does not say, so that realised figures may be of decisions it has seen"
    else:
        trained_until = iso_instant(trained_until_ms)[:10]
    watch = replace(
        found.watch,
        version=version,
        note=f"champion {version}, trained until {trained_until}; {found.watch.note}",
        vintages=_vintages(scored, trained_until_ms, seed),
    )
    return Watched(watch=watch, candidates=[*found.candidates, *changes])


def _scored(
    directory: Path,
    task: TrainingTask,
    feature_set: FeatureSet,
    period: Period,
    champion: CalibratedModel,
    progress: Progress,
) -> ScoredDecisions:
    """The decisions of a year, or since the reference began, with all that is known at the window's end."""
    decisions = task.decisions(directory)
    starts_ms = min(period.reference_from_ms, period.window_until_ms - TREND_DAYS * DAY_MS)
    decisions = decisions.where(
        (decisions.as_of_ms >= starts_ms) & (decisions.as_of_ms < period.window_until_ms)
    )
    known_then = were_recorded_before(directory, decisions.decision_id, period.window_until_ms)
    decisions = decisions.where(known_then)
    values = build_features(directory, decisions, feature_set, progress).values
    labels = task.labels(directory, period.window_until_ms, feature_set.terms)
    label_of = {
        decision: (label, known_at)
        for decision, label, known_at in zip(
            labels.decisions.decision_id.tolist(),
            labels.label.tolist(),
            labels.known_at_ms.tolist(),
            strict=True,
        )
    }
    unknown = (UNLABELLED, -1)
    both = [label_of.get(decision, unknown) for decision in decisions.decision_id.tolist()]
    return ScoredDecisions(
        as_of_ms=decisions.as_of_ms,
        customer=numbers_of(decisions.customer_id),
        values=values,
        probability=champion.probability(values) if len(values) else np.empty(0),
        label=np.array([label for label, _ in both], dtype=np.int8),
        matured_at_ms=np.array([known_at for _, known_at in both], dtype=np.int64),
        shared=_shared(directory, decisions) if feature_set.crosses_customers else {},
    )


def _shared(directory: Path, decisions: Decisions) -> dict[EntityKind, Int64Array]:
    """The merchant, e-mail domain and network of each order; its customer where it names none."""
    orders = read_table(directory, ORDERS, ["order_id", "merchant_id", "contact_email", "ip_address"])
    place = pc.index_in(pa.array(decisions.decision_id, pa.string()), value_set=orders["order_id"])
    rows = orders.take(place)
    own = decisions.customer_id.tolist()
    merchants = rows["merchant_id"].to_pylist()
    domains = [email_domain(email) for email in rows["contact_email"].to_pylist()]
    networks = [
        ip_prefix(address) or customer
        for address, customer in zip(rows["ip_address"].to_pylist(), own, strict=True)
    ]
    return {
        EntityKind.MERCHANT: numbers_of(np.array(merchants, dtype=object)),
        EntityKind.EMAIL_DOMAIN: numbers_of(np.array(domains, dtype=object)),
        EntityKind.IP_PREFIX: numbers_of(np.array(networks, dtype=object)),
    }


def watch_scored(
    scored: ScoredDecisions,
    period: Period,
    *,
    model: str,
    features: Sequence[Feature],
    bad_rate_factor: float,
    trained_until_ms: int | None = None,
    seed: int = 0,
) -> Watched:
    """Judge a champion by its decisions in window and reference, and by the labels that matured.

    bad_rate_factor: from which factor on an expected or realised bad rate is an alarm. trained_until_ms:
        labels that had matured by then were trained on and say nothing of how the champion does; None
        where that is not known.
    """
    before = scored.where(period.is_reference(scored.as_of_ms))
    now = scored.where(period.is_window(scored.as_of_ms))
    candidates: list[Candidate] = []
    watch = ModelWatch(
        model=model,
        version=None,
        note=f"{len(now.label):,} decisions in the window, {len(before.label):,} in the reference",
        window_decisions=len(now.label),
        reference_decisions=len(before.label),
    )
    if len(now.label) and len(before.label):
        months = period.month_of(before.as_of_ms)
        moved = tuple(
            drift(
                feature.name,
                binned_numbers(before.values[:, place], now.values[:, place]),
                before.unit(feature),
                now.unit(feature),
                months,
            )
            for place, feature in enumerate(features)
        )
        score = drift(
            "probability",
            binned_numbers(before.probability, now.probability),
            before.customer,
            now.customer,
            months,
        )
        candidates += [drift_candidate(Section.FEATURES, model, found) for found in moved]
        candidates.append(drift_candidate(Section.SCORE, model, score))
        watch = replace(watch, features=moved, score=score)
        if min(len(now.label), len(before.label)) >= LEAST_DECISIONS:
            sides = (before.probability, now.probability, before.customer, now.customer)
            candidates += estimated_candidates(
                model, expected_auc_change(*sides), mean_change(*sides), bad_rate_factor
            )
            watch = replace(
                watch,
                estimated=estimated_performance(now.probability, seed=seed),
                estimated_reference=estimated_performance(before.probability, seed=seed),
            )
    matured = period.is_window(scored.matured_at_ms) & (scored.label != UNLABELLED)
    trained_on = scored.is_trained_on(trained_until_ms)
    watch = replace(watch, trained_on=int((matured & trained_on).sum()))
    vintage = scored.where(matured & ~trained_on)
    if len(vintage.label):
        realised = realised_performance(vintage.label, vintage.probability, vintage.customer)
        watch = replace(watch, realised=realised)
        candidates += realised_candidates(
            model, realised, expected_auc(vintage.probability), bad_rate_factor, watch.trained_on
        )
    return Watched(watch=watch, candidates=candidates)


def _vintages(scored: ScoredDecisions, trained_until_ms: int | None, seed: int) -> tuple[VintageFigures, ...]:
    """Figures by calendar month of the decision, in UTC, the earliest first."""
    months = scored.as_of_ms.astype("datetime64[ms]").astype("datetime64[M]")
    figures = []
    for month in np.unique(months):
        inside = scored.where(months == month)
        known = inside.where(inside.label != UNLABELLED)
        is_judged = len(known.label) >= LEAST_DECISIONS
        found = realised_performance(known.label, known.probability, known.customer) if is_judged else None
        ranks = found is not None and found.bads >= LEAST_EXPECTED_BADS
        promised = estimated_performance(known.probability, seed=seed).bad_rate if found is not None else None
        figures.append(
            VintageFigures(
                month=str(month),
                decisions=len(inside.label),
                labelled=len(known.label),
                bads=int((known.label == 1).sum()),
                mean_probability=float(inside.probability.mean()),
                expected_bad_rate=promised,
                bad_rate=None if found is None else found.bad_rate,
                observed_to_expected=None if found is None else found.observed_to_expected,
                auc=found.auc if found is not None and ranks else None,
                expected_auc=expected_auc(known.probability) if ranks else None,
                trained_on=int(known.is_trained_on(trained_until_ms).sum()),
            )
        )
    return tuple(figures)
