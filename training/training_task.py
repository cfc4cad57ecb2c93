"""What a model is to training: its labels, its split, its ranking figure, its gates and its words.

Everything else is one way for all models (`train.py`, `promotion/`, `monitoring/`). A third model is one more
file like `invoice_eligibility.py` or `order_risk.py`, its features, and its line in `tasks.py`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_contracts.instants import iso_instant
from evidence.intervals import Interval
from features.decisions import Decisions
from features.feature_sets import FEATURE_SETS, LINKED_CUSTOMERS_MAXIMUM, FeatureSet
from features.instants import Float64Array
from features.settlement_terms import USUAL_TERMS, SettlementTerms, terms_of_model
from training.candidates.candidates import HyperParameters
from training.candidates.model_artifact import CalibratedModel
from training.capacity import DEFAULT_ORDERS_PER_DAY, CapacityFigures
from training.data_fingerprint import data_fingerprint
from training.evaluation import Evaluation
from training.gates.gates import Gate
from training.labels import UNLABELLED, Labels
from training.validation.ablation import AblationData, Difference
from training.validation.evidence import Wording
from training.validation.label_maturity import LabelledDecisions
from training.validation.model_card import ModelCard


@dataclass(frozen=True, kw_only=True)
class TrainingRequest:
    """What a person asks of a training run.

    tracking_uri, artifact_root: of the registry. seed: of everything that is drawn. as_of_ms: only rows
    recorded before it are seen, None for all. tuning_trials: hyper-parameters are chosen by so many trials
    for each candidate, inside the training decisions; 0 takes the usual ones. terms: when an invoice counts
    as paid and as late, for features and labels: the policy's under which the model is to decide.
    linked_customers_maximum: what more customers share links nobody. orders_per_day: how many orders the
    fraud team can review.
    """

    directory: Path
    tracking_uri: str
    artifact_root: Path
    seed: int = 0
    as_of_ms: int | None = None
    tuning_trials: int = 0
    terms: SettlementTerms = USUAL_TERMS
    linked_customers_maximum: int = LINKED_CUSTOMERS_MAXIMUM
    orders_per_day: int = DEFAULT_ORDERS_PER_DAY

    def facts(self, *, trained_at: datetime) -> dict[str, Any]:
        """What the model says of its making."""
        return {
            "as_of": None if self.as_of_ms is None else iso_instant(self.as_of_ms),
            "tuning_trials": self.tuning_trials,
            "settlement_terms": self.terms.to_json(),
            "data_fingerprint": data_fingerprint(self.directory),
            "trained_at": trained_at.astimezone(UTC).isoformat(timespec="seconds"),
            "seed": self.seed,
        }


@dataclass(frozen=True, kw_only=True)
class TimeSplit:
    """Decisions before a day to train on, decisions from that day on to test with.

    training, label, calibration: shape (n,); labels as they were known when the test period began;
        calibration is True for the latest part, which sets the number of trees and the calibration.
    first_looks: the first so many training rows are comparable with test rows. An order that is screened
        again after a change of its delivery is a further training row, and no test row is such a one.
    test, test_label: shape (m,); label -1 where none is known yet.
    labelled: all decisions of the data with what is known of them, for the figure on label maturity.
    labels_known_at: the labels by decision as they were known at an instant in ms.
    facts: what the model card says of split and labels.
    """

    test_starts_ms: int
    training: Decisions
    label: NDArray[np.int8]
    calibration: NDArray[np.bool_]
    first_looks: int
    test: Decisions
    test_label: NDArray[np.int8]
    labelled: LabelledDecisions
    labels_known_at: Callable[[int], Mapping[str, int]]
    facts: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class FittedCandidates:
    """The candidates as they will be registered, and what they say of the test decisions.

    values, label: what they were fitted on, shape (n, n_features) and (n,). first_looks: the decisions of the
        first of those rows, for the figure on shift; None where the test decisions are the training ones.
    test, test_label, test_values, test_probability: all test decisions, label -1 where none is known.
    unconstrained_probability: of LightGBM without directions, None where their cost is not asked for.
    fold_auc: AUC of each fold by candidate, empty for a split by time. ablation: rows of one split, to fit
        without a group of features again.
    """

    models: Mapping[str, CalibratedModel]
    chosen: HyperParameters
    values: Float64Array
    label: NDArray[np.int8]
    first_looks: Decisions | None
    test: Decisions
    test_label: NDArray[np.int8]
    test_values: Float64Array
    test_probability: Mapping[str, Float64Array]
    unconstrained_probability: Float64Array | None
    fold_auc: Mapping[str, tuple[float, ...]]
    labelled: LabelledDecisions
    ablation: AblationData
    facts: Mapping[str, Any]

    @property
    def is_labelled(self) -> NDArray[np.bool_]:
        """Which test decisions have a label, shape (m,)."""
        return np.asarray(self.test_label != UNLABELLED)


@dataclass(frozen=True, kw_only=True)
class JudgedCandidates:
    """Both candidates with their figures on the test decisions, the winner with its gates.

    difference: of LightGBM minus scorecard in the task's ranking figure, paired. direction_cost: what the
    directions cost LightGBM in it, None where that is not asked for. capacity: figures of a daily review by
    candidate, None where nobody reviews.
    """

    feature_set: FeatureSet
    winner: str
    evaluations: dict[str, Evaluation]
    fold_auc: dict[str, tuple[float, ...]]
    difference: Interval
    direction_cost: Interval | None
    capacity: dict[str, CapacityFigures] | None
    gates: tuple[Gate, ...]
    facts: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """The figure by which candidates are compared.

    figure: a field of `Evaluation`, and in `Comparison` that name with `_difference`. word: for a person.
    of: the figure from label and probability. difference: paired, with its interval.
    """

    figure: str
    word: str
    of: Callable[[NDArray[np.int8], Float64Array], float]
    difference: Difference


@dataclass(frozen=True, kw_only=True)
class DirectionEvidence:
    """A model and the decisions on which its directions are probed.

    values: the features of the decisions, shape (n, n_features). probability: what is asked about changed
    rows; in a promotion the model as the service loads it.
    """

    directory: Path
    decisions: Decisions
    feature_set: FeatureSet
    values: Float64Array
    model: CalibratedModel
    probability: Callable[[Float64Array], Float64Array]
    seed: int


@dataclass(frozen=True, kw_only=True)
class TrainingResult(ABC):
    """What one training run came to. evaluations: figures on the labelled test decisions by candidate."""

    model_name: str
    version: str
    run_id: str
    winner: str
    became_champion: bool
    evaluations: dict[str, Evaluation]
    gates: tuple[Gate, ...]
    facts: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The result as JSON values."""
        return asdict(self)

    @abstractmethod
    def candidate_lines(self) -> list[str]:
        """What a person reads of each candidate, and of the two compared."""

    def to_text(self) -> str:
        """The result in a few lines for a person."""
        return "\n".join(
            [
                f"{self.model_name} version {self.version}: {self.winner}",
                *self.candidate_lines(),
                *(
                    f"  gate {gate.name}: {'passed' if gate.passed else 'FAILED'} ({gate.finding})"
                    for gate in self.gates
                ),
                "  now champion" if self.became_champion else "  registered as a challenger",
            ]
        )


ResultOf = Callable[[JudgedCandidates, Mapping[str, Any]], TrainingResult]
"""The result from what was judged and the fields that every result has."""


@dataclass(frozen=True, kw_only=True)
class TrainingTask:
    """One model's part of training.

    name: of the registered model and of its features.
    labels: the labels of a ledger folder as they were known at an instant in ms, each with since when.
    takes_given_labels: labels that came with a data set (`labels.parquet`) are labels of this task.
    decisions: when the model is asked in a ledger folder, labelled or not.
    split: training and test decisions of a request; raises TrainingError where the data do not suffice.
    says_cost_of_directions: LightGBM is fitted without directions too, to say what they cost.
    figure_gates: a candidate judged by its figures, when it is trained. directions: whether a worse history
    ever scores better. mean_probability_factor: by how much the mean probability may miss the bad rate,
    either way, in promotion and monitoring. capacity: the figures of a daily review by candidate.
    """

    name: str
    wording: Wording
    ranking: Ranking
    labels: Callable[[Path, int, SettlementTerms], Labels]
    takes_given_labels: bool
    decisions: Callable[[Path], Decisions]
    split: Callable[[TrainingRequest], TimeSplit]
    says_cost_of_directions: bool
    figure_gates: Callable[[Evaluation], tuple[Gate, ...]]
    directions: Callable[[DirectionEvidence], Gate]
    mean_probability_factor: float
    capacity: Callable[[FittedCandidates, FeatureSet, TrainingRequest], dict[str, CapacityFigures]] | None
    card: Callable[[JudgedCandidates], ModelCard]
    result: ResultOf

    def feature_set(
        self, terms: SettlementTerms, linked_customers_maximum: int = LINKED_CUSTOMERS_MAXIMUM
    ) -> FeatureSet:
        """The task's features under terms of settlement and a bound on what links customers."""
        return FEATURE_SETS[self.name].under(terms).linking(linked_customers_maximum)

    def feature_set_of(self, document: Mapping[str, Any]) -> FeatureSet:
        """The features as a registered version learned them. document: its `model.json`."""
        return self.feature_set(
            terms_of_model(document), document.get("linked_customers_maximum", LINKED_CUSTOMERS_MAXIMUM)
        )
