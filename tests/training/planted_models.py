"""Evidence for a report with a known truth: labels drawn from a line, probabilities that are that line's."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data_contracts.instants import DAY_MS
from evidence.intervals import Interval
from features.decisions import Decisions
from features.feature_sets import INVOICE_ELIGIBILITY, FeatureSet
from features.instants import Float64Array
from training.candidates.boosted_trees import CONSTRAINT_OF
from training.candidates.calibration import Calibration
from training.candidates.model_artifact import CalibratedModel
from training.candidates.scorecard import Scorecard
from training.evaluation import auc_difference, evaluate
from training.gates.gates import Gate
from training.validation.ablation import AblationData
from training.validation.evidence import ValidationEvidence, Wording
from training.validation.label_maturity import LabelledDecisions
from training.validation.model_card import eligibility_card
from training.validation.population_shift import training_rows
from training.validation.segment_attributes import SegmentAttributes

TEST_ROWS, TRAINING_ROWS, CUSTOMERS = 6000, 3000, 2400
START_MS = 20_000 * DAY_MS


@dataclass(frozen=True, kw_only=True)
class Line(Scorecard):
    """A line in the place of a scorecard; weights: shape (n_features,)."""

    weights: Float64Array

    def raw_log_odds(self, values: Float64Array) -> Float64Array:
        return np.asarray(values @ self.weights + self.intercept)

    def contributions(self, values: Float64Array) -> Float64Array:
        return np.asarray(values * self.weights)


def line_of(weights: Float64Array) -> CalibratedModel:
    """The line with a calibration that changes nothing."""
    ends = (-50.0, 50.0)
    return CalibratedModel(
        estimator=Line(intercept=-3.0, features=(), weights=weights),
        calibration=Calibration(raw_log_odds=ends, log_odds=ends),
    )


def planted_evidence(weights: Mapping[str, float] | None = None) -> ValidationEvidence:
    """A sound model's evidence; weights: overrides of single features' weights, to plant a fault."""
    generator = np.random.default_rng(5)
    feature_set = INVOICE_ELIGIBILITY
    count = len(feature_set.features)
    signs = np.array([CONSTRAINT_OF[feature.direction] for feature in feature_set.features], dtype=float)
    given = np.where(np.arange(count) % 4 == 0, 0.45, 0.02) * np.where(signs == 0, 0.3, signs)
    for name, weight in (weights or {}).items():
        given[feature_set.names.index(name)] = weight
    model = line_of(given)

    def drawn(rows: int) -> tuple[Float64Array, NDArray[np.int8]]:
        values = generator.normal(size=(rows, count))
        return values, (generator.random(rows) < model.probability(values)).astype(np.int8)

    values, label = drawn(TEST_ROWS)
    training_values, training_label = drawn(TRAINING_ROWS)
    customer = np.array(
        [f"c{number}" for number in generator.integers(0, CUSTOMERS, TEST_ROWS)], dtype=object
    )
    test = Decisions(
        decision_id=np.array([f"o{number}" for number in range(TEST_ROWS)], dtype=object),
        customer_id=customer,
        as_of_ms=START_MS + generator.integers(0, 90 * DAY_MS, TEST_ROWS),
    )
    training = Decisions(
        decision_id=np.array([f"t{number}" for number in range(TRAINING_ROWS)], dtype=object),
        customer_id=np.array([f"t{number}" for number in range(TRAINING_ROWS)], dtype=object),
        as_of_ms=START_MS - generator.integers(60 * DAY_MS, 200 * DAY_MS, TRAINING_ROWS),
    )
    evaluations = {"scorecard": evaluate(label, model.probability(values), customer, rounds=40)}
    nothing = Interval(value=0.0, low=-0.01, high=0.01)
    facts = {"trained_at": "2026-01-01T00:00:00+00:00", "data_fingerprint": "0123456789abcdef"}
    gates = (Gate(name="discrimination", passed=True, finding="as planted"),)

    def refitted(
        rows: Float64Array, _: NDArray[np.int8], __: NDArray[np.bool_], features: FeatureSet
    ) -> CalibratedModel:
        kept = [feature_set.names.index(name) for name in features.names]
        assert rows.shape[1] == len(kept)
        return line_of(given[kept])

    return ValidationEvidence(
        feature_set=feature_set,
        model=model,
        wording=Wording(
            bad="not paid", good="paid", ranking_figure="auc", refused_share=0.05, refused="refuses"
        ),
        card=eligibility_card(
            feature_set=feature_set,
            kind="scorecard",
            evaluations=evaluations,
            difference=nothing,
            direction_cost=nothing,
            gates=gates,
            facts=facts,
        ),
        facts=facts,
        gates=gates,
        evaluations=evaluations,
        test=test,
        test_label=label,
        test_values=values,
        test_probability={"scorecard": model.probability(values)},
        attributes=SegmentAttributes(
            merchant_id=np.array([f"mer-{n}" for n in generator.integers(0, 5, TEST_ROWS)], dtype=object),
            is_repeat=generator.random(TEST_ROWS) < 0.5,
            country=np.where(generator.random(TEST_ROWS) < 0.7, "DE", "AT").astype(object),
            age_years=generator.integers(18, 80, TEST_ROWS).astype(float),
            sex=np.where(generator.random(TEST_ROWS) < 0.5, "female", "male").astype(object),
        ),
        training=training_rows(model, training_values, training),
        labelled=LabelledDecisions(as_of_ms=test.as_of_ms, label=label, known_at_ms=None),
        ablation=AblationData(
            values=training_values,
            label=training_label,
            calibration=np.arange(TRAINING_ROWS) % 4 == 0,
            customer_id=training.customer_id,
            test_values=values,
            test_label=label,
            test_customer_id=customer,
        ),
        fit=refitted,
        difference=auc_difference,
        seed=1,
    )
