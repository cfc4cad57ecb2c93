"""The two candidates, their calibration and their figures, beside the libraries' own."""

import numpy as np
import pytest
from scipy.stats import ks_2samp
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from features.declarations import Direction
from features.feature_sets import INVOICE_ELIGIBILITY
from training.candidates.boosted_trees import fit_boosted_trees
from training.candidates.calibration import fit_calibration
from training.candidates.model_artifact import CalibratedModel
from training.candidates.scorecard import fit_scorecard
from training.errors import TrainingError
from training.evaluation import auc_difference, evaluate
from training.gates.gates import violations_by_feature

SIGNS = np.array(
    [
        {Direction.HIGHER_IS_WORSE: 1, Direction.HIGHER_IS_BETTER: -1, Direction.NONE: 0}[feature.direction]
        for feature in INVOICE_ELIGIBILITY.features
    ]
)


def noisy_rows(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows in which half of the directed features matter, against their direction now and then."""
    generator = np.random.default_rng(seed)
    values = generator.exponential(size=(n, len(SIGNS))).round(1)
    effect = SIGNS * np.where(np.arange(len(SIGNS)) % 5 == 0, -0.15, 0.25) * (np.arange(len(SIGNS)) % 2 == 0)
    log_odds = values @ effect
    log_odds = log_odds - np.quantile(log_odds, 0.9)
    return values, (generator.random(n) < 1 / (1 + np.exp(-log_odds))).astype(np.int8)


@pytest.fixture(scope="module")
def rows() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    values, label = noisy_rows(6000, 0)
    return values, label, np.arange(6000) >= 4500


@pytest.fixture(scope="module", params=["lightgbm", "scorecard"])
def model(request: pytest.FixtureRequest, rows: tuple[np.ndarray, np.ndarray, np.ndarray]) -> CalibratedModel:
    values, label, late = rows
    if request.param == "lightgbm":
        estimator = fit_boosted_trees(values, label, late, INVOICE_ELIGIBILITY, seed=0)
    else:
        estimator = fit_scorecard(values[~late], label[~late], INVOICE_ELIGIBILITY)
    calibration = fit_calibration(estimator.raw_log_odds(values[late]), label[late])
    return CalibratedModel(estimator=estimator, calibration=calibration)


def test_a_worse_value_of_a_directed_feature_never_lowers_the_risk(model: CalibratedModel) -> None:
    values, _ = noisy_rows(2000, 1)
    assert sum(violations_by_feature(model, INVOICE_ELIGIBILITY, values, seed=0).values()) == 0


def test_the_probe_finds_a_model_that_ignores_the_directions(
    rows: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    values, label, late = rows
    free = fit_boosted_trees(values, label, late, INVOICE_ELIGIBILITY, seed=0, with_directions=False)
    calibration = fit_calibration(free.raw_log_odds(values[late]), label[late])
    wild = CalibratedModel(estimator=free, calibration=calibration)
    assert sum(violations_by_feature(wild, INVOICE_ELIGIBILITY, values, seed=0).values()) > 0


def test_probabilities_mean_what_they_say_on_new_rows(model: CalibratedModel) -> None:
    values, label = noisy_rows(6000, 2)
    probability = model.probability(values)
    assert roc_auc_score(label, probability) > 0.65
    evaluation = evaluate(label, probability, np.arange(6000).astype(object), rounds=20)
    assert evaluation.calibration_error.value < 0.06


def test_contributions_and_their_average_add_up_to_the_raw_score(model: CalibratedModel) -> None:
    values, _ = noisy_rows(200, 3)
    rest = model.estimator.raw_log_odds(values) - model.estimator.contributions(values).sum(axis=1)
    assert np.allclose(rest, rest[0])


def test_the_same_data_and_seed_give_the_same_model(rows: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    values, label, late = rows
    texts = {
        fit_boosted_trees(values, label, late, INVOICE_ELIGIBILITY, seed=5).booster.model_to_string()
        for _ in range(2)
    }
    assert len(texts) == 1
    cards = [fit_scorecard(values[~late], label[~late], INVOICE_ELIGIBILITY) for _ in range(2)]
    assert cards[0] == cards[1]


def test_a_score_that_falls_with_the_risk_is_refused_by_the_calibration() -> None:
    raw = np.linspace(-2, 2, 200)
    with pytest.raises(TrainingError, match="does not rise"):
        fit_calibration(raw, (raw < 0).astype(np.int8))


def test_our_figures_are_the_libraries_figures() -> None:
    generator = np.random.default_rng(4)
    probability = generator.random(3000).round(2)  # rounded, so that ties occur
    label = (generator.random(3000) < probability * 0.4).astype(np.int8)
    evaluation = evaluate(label, probability, np.arange(3000).astype(object), rounds=10)
    assert evaluation.auc.value == pytest.approx(roc_auc_score(label, probability))
    assert evaluation.gini.value == pytest.approx(2 * roc_auc_score(label, probability) - 1)
    assert evaluation.average_precision.value == pytest.approx(average_precision_score(label, probability))
    assert evaluation.brier.value == pytest.approx(brier_score_loss(label, probability))
    expected = ks_2samp(probability[label == 1], probability[label == 0]).statistic
    assert evaluation.ks.value == pytest.approx(expected)
    at_all = evaluation.bad_rate_by_approval_rate["50%"].value
    best_half = np.argsort(probability, kind="stable")[:1500]
    assert at_all == pytest.approx(label[best_half].mean(), abs=0.01)


def test_intervals_are_wider_when_few_customers_have_many_orders() -> None:
    generator = np.random.default_rng(5)
    risk = np.repeat(generator.random(150), 20)
    label = np.repeat(generator.random(150) < risk[::20] * 0.5, 20).astype(np.int8)
    alone = evaluate(label, risk, np.arange(3000).astype(object)).auc
    clustered = evaluate(label, risk, np.repeat(np.arange(150), 20).astype(object)).auc
    assert clustered.high - clustered.low > 2 * (alone.high - alone.low)
    assert alone.low < alone.value < alone.high


def test_a_model_does_not_differ_from_itself_and_beats_noise() -> None:
    generator = np.random.default_rng(6)
    probability = generator.random(2000)
    label = (generator.random(2000) < probability * 0.4).astype(np.int8)
    who = np.arange(2000).astype(object)
    same = auc_difference(label, probability, probability, who)
    assert (same.low, same.value, same.high) == (0, 0, 0)
    assert auc_difference(label, probability, generator.random(2000), who).low > 0
