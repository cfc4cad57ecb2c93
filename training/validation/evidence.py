"""What a validation report is made from: one winner, its test decisions, and what it was trained on."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.decisions import Decisions
from features.feature_sets import FeatureSet
from features.instants import Float64Array
from training.candidates.model_artifact import CalibratedModel
from training.evaluation import Evaluation
from training.gates.gates import Gate
from training.validation.ablation import AblationData, Difference, Fit
from training.validation.label_maturity import LabelledDecisions
from training.validation.model_card import ModelCard
from training.validation.population_shift import TrainingRows
from training.validation.segment_attributes import SegmentAttributes


@dataclass(frozen=True, kw_only=True)
class Wording:
    """What the two kinds of decision are called in one model's report, and which figure judges it.

    bad, good: of orders, e.g. "not paid". ranking_figure: the name of a figure of `Evaluation`.
    refused_share: the riskiest share that a cut-off refuses or flags. refused: what happens to it.
    """

    bad: str
    good: str
    ranking_figure: str
    refused_share: float
    refused: str


@dataclass(frozen=True, kw_only=True)
class ValidationEvidence:
    """Test decisions are labelled ones; their arrays have the shape (n,) or (n, n_features).

    test_probability: by candidate, the winner's under `model.kind`. training: None where the test decisions
        are the training decisions, judged by models that did not see them: then nothing can have shifted.
    """

    feature_set: FeatureSet
    model: CalibratedModel
    wording: Wording
    card: ModelCard
    facts: dict[str, Any]
    gates: tuple[Gate, ...]
    evaluations: dict[str, Evaluation]
    test: Decisions
    test_label: NDArray[np.int8]
    test_values: Float64Array
    test_probability: dict[str, Float64Array]
    attributes: SegmentAttributes
    training: TrainingRows | None
    labelled: LabelledDecisions
    ablation: AblationData
    fit: Fit
    difference: Difference
    seed: int

    def __post_init__(self) -> None:
        if self.model.kind not in self.test_probability or self.model.kind not in self.evaluations:
            raise ValueError(f"{self.model.kind} won but has no test probabilities or no figures")
        if not len(self.test) == len(self.test_label) == len(self.test_values):
            raise ValueError("test decisions, labels and features differ in number")

    @property
    def probability(self) -> Float64Array:
        """The winner's probabilities of bad on the test decisions, shape (n,)."""
        return self.test_probability[self.model.kind]
