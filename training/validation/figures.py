"""All figures of a validation report, computed from its evidence."""

import math
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from data_contracts.progress import Progress, no_progress
from evidence.customer_bootstrap import CustomerBootstrap, customer_bootstrap
from features.decisions import Decisions
from features.instants import Float64Array
from training.evaluation import BOOTSTRAP_ROUNDS, Evaluation
from training.gates.gates import Gate
from training.validation.ablation import Ablation, ablate
from training.validation.curves import (
    RankingCurves,
    ScoreDistribution,
    log_odds,
    ranking_curves,
    score_distribution,
)
from training.validation.evidence import ValidationEvidence, Wording
from training.validation.fairness import FairnessTable, fairness_table, protected_partitions
from training.validation.feature_behaviour import FeatureBehaviour, feature_behaviours
from training.validation.label_maturity import LabelMaturity, label_maturity
from training.validation.population_shift import Shift, population_shifts
from training.validation.segment_attributes import SegmentAttributes
from training.validation.segment_results import (
    Partition,
    SegmentResult,
    largest_segments,
    partition_by,
    partition_by_edges,
    partition_by_month,
    partition_by_rank,
    segment_results,
)

STEP = "validation report"
STEPS = 7
CALIBRATION_PARTS = 10
BAND_EDGES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)


@dataclass(frozen=True, kw_only=True)
class SegmentTable:
    """The results by one attribute. absent: why there are none, empty where there are."""

    title: str
    rows: tuple[SegmentResult, ...]
    absent: str = ""


@dataclass(frozen=True, kw_only=True)
class ValidationFigures:
    """What the report says, section by section.

    rivals: the other candidates' evaluations by kind. fairness_absent, shift_absent: why a section is empty.
    """

    model_name: str
    kind: str
    wording: Wording
    facts: dict[str, Any]
    gates: tuple[Gate, ...]
    evaluation: Evaluation
    rivals: dict[str, Evaluation]
    customers: int
    ranking: RankingCurves
    distribution: ScoreDistribution
    calibration: tuple[SegmentResult, ...]
    bands: tuple[SegmentResult, ...]
    segments: tuple[SegmentTable, ...]
    maturity: LabelMaturity
    shifts: tuple[Shift, ...]
    shift_absent: str
    features: tuple[FeatureBehaviour, ...]
    ablation: Ablation
    fairness: tuple[FairnessTable, ...]
    fairness_absent: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The figures as JSON values; what is not a number is null."""
        document: dict[str, Any] = _plain(asdict(self))
        return document


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def validation_figures(evidence: ValidationEvidence, progress: Progress = no_progress) -> ValidationFigures:
    """Compute everything; takes some seconds, most of them for the ablation."""
    label, probability = evidence.test_label, evidence.probability
    bootstrap = customer_bootstrap(evidence.test.customer_id, seed=evidence.seed, rounds=BOOTSTRAP_ROUNDS)
    progress(STEP, done=0, total=STEPS)
    ranking = ranking_curves(label, probability, bootstrap)
    distribution = score_distribution(
        label, probability, None if evidence.training is None else _probability(evidence.training.score)
    )
    progress(STEP, done=1, total=STEPS)
    calibration = segment_results(
        partition_by_rank(probability, CALIBRATION_PARTS), label, probability, bootstrap, with_auc=False
    )
    bands = segment_results(probability_bands(probability), label, probability, bootstrap, with_auc=False)
    segments = _segments(evidence, bootstrap)
    progress(STEP, done=2, total=STEPS)
    features = feature_behaviours(
        evidence.model, evidence.feature_set, evidence.test_values, bootstrap, seed=evidence.seed
    )
    progress(STEP, done=3, total=STEPS)
    fairness, absent = _fairness(evidence, bootstrap)
    progress(STEP, done=4, total=STEPS)
    shifts = () if evidence.training is None else _shifts(evidence)
    progress(STEP, done=5, total=STEPS)
    ablation = ablate(
        evidence.feature_set,
        evidence.ablation,
        evidence.fit,
        evidence.difference,
        figure=evidence.wording.ranking_figure,
        seed=evidence.seed,
        progress=progress,
    )
    progress(STEP, done=6, total=STEPS)
    kind = evidence.model.kind
    figures = ValidationFigures(
        model_name=evidence.feature_set.name,
        kind=kind,
        wording=evidence.wording,
        facts=evidence.facts,
        gates=evidence.gates,
        evaluation=evidence.evaluations[kind],
        rivals={name: found for name, found in evidence.evaluations.items() if name != kind},
        customers=int(bootstrap.customer.max()) + 1,
        ranking=ranking,
        distribution=distribution,
        calibration=calibration,
        bands=bands,
        segments=segments,
        maturity=label_maturity(evidence.labelled),
        shifts=shifts,
        shift_absent=""
        if shifts
        else "The test decisions are the training decisions, each judged by models that did not see it, so "
        "nothing can have shifted between them.",
        features=features,
        ablation=ablation,
        fairness=fairness,
        fairness_absent=absent,
    )
    progress(STEP, done=STEPS, total=STEPS)
    return figures


def probability_bands(probability: Float64Array) -> Partition:
    """Fixed bands of probability, half-open, in which versions can be compared; names in per cent."""
    percent = [f"{edge:.1%}".replace(".0%", "%").replace("%", " %") for edge in BAND_EDGES]
    names = [
        f"below {percent[0]}",
        *(f"{low} to {high}" for low, high in pairwise(percent)),
        f"{percent[-1]} and more",
    ]
    return partition_by_edges(probability, BAND_EDGES, names)


def _probability(score: Float64Array) -> Float64Array:
    return np.asarray(1 / (1 + np.exp(-score)), dtype=np.float64)


def _segments(evidence: ValidationEvidence, bootstrap: CustomerBootstrap) -> tuple[SegmentTable, ...]:
    label, probability = evidence.test_label, evidence.probability
    attributes = evidence.attributes

    def table(title: str, partition: Partition | None, absent: str) -> SegmentTable:
        if partition is None:
            return SegmentTable(title=title, rows=(), absent=absent)
        if len(partition.names) == 1:
            only = f"All test decisions are of one kind: {partition.names[0]}."
            return SegmentTable(title=title, rows=(), absent=only)
        rows = largest_segments(partition, label, probability, bootstrap)
        return SegmentTable(title=title, rows=rows)

    months = partition_by_month(evidence.test.as_of_ms)
    by_month = segment_results(months, label, probability, bootstrap)
    no_orders = "The test decisions are not orders of the ledger, so this is not known of them."
    return (
        SegmentTable(title="Month of the decision", rows=by_month)
        if len(by_month) > 1
        else table("Month of the decision", months, ""),
        table("Merchant", _texts(attributes.merchant_id), no_orders),
        table("First and repeat orders", _first_or_repeat(attributes), no_orders),
        table("Country of residence", _texts(attributes.country), "The data hold no customers."),
    )


def _texts(values: Any) -> Partition | None:
    return None if values is None else partition_by(values)


def _first_or_repeat(attributes: SegmentAttributes) -> Partition | None:
    if attributes.is_repeat is None:
        return None
    return partition_by(np.where(attributes.is_repeat, "repeat order", "first order").astype(object))


def _fairness(
    evidence: ValidationEvidence, bootstrap: CustomerBootstrap
) -> tuple[tuple[FairnessTable, ...], tuple[str, ...]]:
    partitions = protected_partitions(evidence.attributes)
    tables = tuple(
        fairness_table(
            name,
            partition,
            evidence.test_label,
            evidence.probability,
            bootstrap,
            refused_share=evidence.wording.refused_share,
        )
        for name, partition in partitions.items()
    )
    given = {"age": evidence.attributes.age_years, "sex": evidence.attributes.sex}
    absent = tuple(
        f"By {name}: the data do not hold it."
        if values is None
        else f"By {name}: all test decisions are of one group, so there is nothing to compare."
        for name, values in given.items()
        if name not in partitions
    )
    return tables, absent


def _shifts(evidence: ValidationEvidence) -> tuple[Shift, ...]:
    if evidence.training is None:
        return ()
    test: Decisions = evidence.test
    return population_shifts(
        evidence.training,
        evidence.feature_set.names,
        test_values=evidence.test_values,
        test_score=log_odds(evidence.probability),
        test_customer_id=test.customer_id,
    )
