"""What groups of features are worth, and whom a model treats otherwise."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from evidence.customer_bootstrap import customer_bootstrap
from features.feature_sets import INVOICE_ELIGIBILITY, FeatureSet
from tests.training.planted_models import planted_evidence
from training.errors import TrainingError
from training.validation import ablation
from training.validation.ablation import ablate
from training.validation.fairness import AGE_BANDS, age_bands, fairness_table
from training.validation.segment_results import ProbabilityFinding, partition_by

ROWS = 8000


def ablation_of(evidence, fit=None):
    return ablate(
        evidence.feature_set,
        evidence.ablation,
        fit or evidence.fit,
        evidence.difference,
        figure="auc",
        seed=0,
    )


def test_the_cost_of_a_group_is_the_auc_with_all_minus_the_auc_without_it() -> None:
    evidence = planted_evidence()
    found = ablation_of(evidence)
    assert {group.group for group in found.groups} == {f.group.value for f in INVOICE_ELIGIBILITY.features}
    assert sum(group.features for group in found.groups) == len(INVOICE_ELIGIBILITY.features)
    data = evidence.ablation
    everything = roc_auc_score(data.test_label, evidence.model.probability(data.test_values))
    for group in found.groups:
        without = data.test_values.copy()
        for index, feature in enumerate(INVOICE_ELIGIBILITY.features):
            if feature.group.value == group.group:
                without[:, index] = 0.0
        rest = roc_auc_score(data.test_label, evidence.model.probability(without))
        assert group.cost is not None
        assert group.cost.value == pytest.approx(everything - rest, abs=1e-9)
    costs = [group.cost.value for group in found.groups if group.cost]
    assert costs == sorted(costs, reverse=True)


def test_a_group_without_which_nothing_can_be_fitted_says_why() -> None:
    evidence = planted_evidence()

    def fit(values, label, calibration, features: FeatureSet):
        if "balances" not in {feature.group.value for feature in features.features}:
            raise TrainingError("the score does not rise with the risk")
        return evidence.fit(values, label, calibration, features)

    by_group = {group.group: group for group in ablation_of(evidence, fit).groups}
    assert by_group["balances"].cost is None
    assert by_group["balances"].problem == "the score does not rise with the risk"
    assert by_group["payment_history"].cost is not None


def test_many_rows_are_sampled_by_customer_and_keep_every_bad_one(monkeypatch: pytest.MonkeyPatch) -> None:
    evidence = planted_evidence()
    data = evidence.ablation
    monkeypatch.setattr(ablation, "MOST_TRAINING_ROWS", 1500)
    seen = []

    def fit(values, label, calibration, features: FeatureSet):
        seen.append((values, label))
        return evidence.fit(values, label, calibration, features)

    found = ablation_of(evidence, fit)
    assert found.training_rows == 1500
    assert all(len(label) == 1500 for _, label in seen)
    assert all(label.sum() == data.label.sum() for _, label in seen)
    assert found.groups[0].cost is not None
    assert found.groups[0].cost.low > 0


def groups_of(seed: int):
    generator = np.random.default_rng(seed)
    sex = np.where(generator.random(ROWS) < 0.4, "female", "male").astype(object)
    probability = generator.beta(1, 12, ROWS)
    label = (generator.random(ROWS) < probability).astype(np.int8)
    customers = np.array([f"c{n}" for n in generator.integers(0, ROWS // 2, ROWS)], dtype=object)
    return sex, probability, label, customer_bootstrap(customers, seed=0, rounds=60)


def test_equal_treatment_is_not_accused() -> None:
    accused = 0
    for seed in range(12):
        sex, probability, label, bootstrap = groups_of(seed)
        table = fairness_table("sex", partition_by(sex), label, probability, bootstrap, refused_share=0.05)
        accused += bool(table.differences)
    assert accused <= 2


def test_a_group_that_is_refused_for_risk_it_has_not_is_wronged_and_its_figures_are_plain_counts() -> None:
    sex, probability, label, bootstrap = groups_of(1)
    given = np.where(sex == "female", np.minimum(probability * 2, 0.99), probability)
    table = fairness_table("sex", partition_by(sex), label, given, bootstrap, refused_share=0.05)
    wronged = [difference for difference in table.differences if difference.is_wronged]
    assert [difference.group for difference in wronged] == ["female"]
    approved = given < np.quantile(given, 0.95)
    for group in table.groups:
        mine = sex == group.result.name
        assert group.approved_share.value == pytest.approx(approved[mine].mean())
        assert group.approved_share_of_good is not None
        assert group.approved_share_of_good.value == pytest.approx(approved[mine & (label == 0)].mean())
        assert group.approval_gap is not None
        assert group.approval_gap.value == pytest.approx(approved[mine].mean() - approved[~mine].mean())
    female, male = table.groups
    assert female.result.probability_finding is ProbabilityFinding.TOO_HIGH
    assert male.result.probability_finding is ProbabilityFinding.TRUE
    assert female.good_approval_differs
    assert any("against all others" in difference.sentence for difference in table.differences)


def test_a_riskier_group_with_true_probabilities_differs_but_is_not_wronged() -> None:
    sex, probability, _, bootstrap = groups_of(2)
    risk = np.where(sex == "female", np.minimum(probability * 2, 0.99), probability)
    label = (np.random.default_rng(9).random(ROWS) < risk).astype(np.int8)
    table = fairness_table("sex", partition_by(sex), label, risk, bootstrap, refused_share=0.05)
    assert table.differences
    assert not any(difference.is_wronged for difference in table.differences)


def test_age_bands_are_half_open_and_an_unknown_age_is_in_none() -> None:
    found = age_bands(np.array([18.0, 24.0, 25.0, 64.0, 65.0, np.nan]))
    names = [AGE_BANDS[place] if place >= 0 else None for place in found.place.tolist()]
    assert names == ["under 25", "under 25", "25 to 34", "55 to 64", "65 and over", None]
