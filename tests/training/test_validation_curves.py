"""The curves of the report against scikit-learn's."""

import numpy as np
import pytest
from scipy.special import logit
from sklearn.calibration import calibration_curve
from sklearn.metrics import precision_recall_curve, roc_curve

from evidence.customer_bootstrap import customer_bootstrap
from training.evaluation import evaluate
from training.validation.curves import log_odds, ranking_curves, score_distribution
from training.validation.segment_results import partition_by_rank, segment_results

ROWS = 1500


@pytest.fixture(scope="module", params=["distinct", "tied"])
def scored(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(1)
    probability = generator.beta(1, 6, ROWS)
    label = (generator.random(ROWS) < probability).astype(np.int8)
    if request.param == "tied":
        probability = np.round(probability, 2)
    customer = np.array([f"c{number}" for number in generator.integers(0, 500, ROWS)], dtype=object)
    return label, probability, customer


def test_the_roc_curve_is_that_of_scikit_learn(scored) -> None:
    label, probability, customer = scored
    curves = ranking_curves(label, probability, customer_bootstrap(customer, seed=0, rounds=30))
    false_positive, true_positive, _ = roc_curve(label, probability, drop_intermediate=False)
    for x, y, low, high in zip(curves.roc.x, curves.roc.y, curves.roc.low, curves.roc.high, strict=True):
        at = false_positive == x
        expected = true_positive[at].max() if at.any() else np.interp(x, false_positive, true_positive)
        assert y == pytest.approx(expected, abs=1e-9)
        assert low - 0.05 <= y <= high + 0.05


def test_precision_at_each_recall_is_that_of_scikit_learn(scored) -> None:
    label, probability, customer = scored
    curves = ranking_curves(label, probability, customer_bootstrap(customer, seed=0, rounds=30))
    precision, recall, thresholds = precision_recall_curve(label, probability)
    for x, y in zip(curves.precision_recall.x, curves.precision_recall.y, strict=True):
        if x == 0:
            continue
        highest_threshold_that_reaches = max(np.flatnonzero(recall[: len(thresholds)] >= x - 1e-12))
        assert y == pytest.approx(precision[highest_threshold_that_reaches])


def test_the_largest_distance_of_the_ks_plot_is_at_most_the_ks_figure(scored) -> None:
    label, probability, customer = scored
    curves = ranking_curves(label, probability, customer_bootstrap(customer, seed=0, rounds=30))
    ks = evaluate(label, probability, customer, rounds=5).ks.value
    apart = np.subtract(curves.bad_found.y, curves.good_found.y).max()
    assert ks - 0.03 <= apart <= ks + 1e-9


def test_what_the_riskiest_hold_is_counted_from_the_top(scored) -> None:
    label, probability, customer = scored
    captures = ranking_curves(label, probability, customer_bootstrap(customer, seed=0, rounds=30)).captures
    order = np.argsort(-probability, kind="stable")
    for capture in captures:
        top = order[: round(capture.riskiest_share * ROWS)]
        edge = probability == probability[top[-1]]
        # Among equal scores nobody knows who comes first.
        sure, possible = label[probability > probability[top[-1]]].sum(), label[edge].sum()
        assert sure / label.sum() <= capture.captured_share.value + 1e-9
        assert capture.captured_share.value <= (sure + possible) / label.sum() + 1e-9
        assert capture.lift.value == pytest.approx(capture.captured_share.value / capture.riskiest_share)


def test_calibration_groups_are_those_of_scikit_learn_where_no_score_is_tied() -> None:
    generator = np.random.default_rng(3)
    probability = generator.random(ROWS)
    label = (generator.random(ROWS) < probability).astype(np.int8)
    draws = customer_bootstrap(np.arange(ROWS).astype(str).astype(object), seed=0, rounds=10)
    groups = segment_results(partition_by_rank(probability, 10), label, probability, draws, with_auc=False)
    observed, predicted = calibration_curve(label, probability, n_bins=10, strategy="quantile")
    assert [group.bad_rate.value for group in groups] == pytest.approx(observed.tolist(), abs=0.011)
    assert [group.mean_probability for group in groups] == pytest.approx(predicted.tolist(), abs=0.002)


def test_every_decision_is_in_one_bin_of_the_distribution(scored) -> None:
    label, probability, _ = scored
    found = score_distribution(label, probability, probability[:100])
    for shares in (found.good_share, found.bad_share, found.training_share):
        assert sum(shares) == pytest.approx(1.0)
        assert len(shares) == len(found.log_odds_edges) - 1
    assert score_distribution(label, probability, None).training_share == ()


def test_log_odds_are_finite_at_both_ends() -> None:
    assert np.isfinite(log_odds(np.array([0.0, 1.0]))).all()
    inner = np.array([0.01, 0.5, 0.7])
    assert log_odds(inner) == pytest.approx(logit(inner))
