"""A whole training run of the fraud model on a small book, and what is registered by it."""

import json
import math
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import training.fitting
from data_contracts.progress import no_progress
from data_contracts.simulation.portfolio import simulate_portfolio
from features.decisions import Decisions
from features.declarations import Purpose
from features.feature_sets import FEATURE_SETS, INVOICE_ELIGIBILITY, ORDER_RISK
from features.instants import Float64Array
from features.model_files import ModelFiles
from features.offline import build_features
from features.order_risk_offline import change_decisions
from serving.in_force.scorer import ChampionModel, load_model
from tests.empty_registry import with_empty_registry
from training.candidates.model_artifact import CalibratedModel, write_model
from training.capacity import at_daily_capacity
from training.data_fingerprint import data_fingerprint
from training.errors import TrainingError
from training.evaluation import evaluate
from training.order_risk import LOWEST_LIFT, ORDER_RISK_TASK, OrderRiskResult
from training.order_risk_labels import RiskSplit, delayed_split
from training.registry.registry import ModelRegistry
from training.train import train
from training.training_task import TrainingRequest

SEED = 1
CAPACITY = 4


@dataclass(frozen=True)
class RiskBook:
    """A book, what a training run on it registered and returned, and what it fitted on the way."""

    book: Path
    tracking_uri: str
    artifact_root: Path
    result: OrderRiskResult
    candidates: dict[str, CalibratedModel]
    training_decisions: Decisions

    @property
    def run_folder(self) -> Path:
        """Where the files of the run lie."""
        return next(self.artifact_root.rglob("model_card.md")).parent

    def registered(self) -> ModelFiles:
        """The model's files as the registry hands them out."""
        registry = ModelRegistry(self.tracking_uri, self.artifact_root)
        return registry.verified_files("order-risk", self.result.version)


def run(book: Path, home: Path) -> OrderRiskResult:
    request = TrainingRequest(
        directory=book,
        tracking_uri=f"sqlite:///{with_empty_registry(home) / 'mlflow.db'}",
        artifact_root=home / "artifacts",
        seed=SEED,
        orders_per_day=CAPACITY,
    )
    result = train(ORDER_RISK_TASK, request)
    assert isinstance(result, OrderRiskResult)
    return result


@pytest.fixture(scope="session")
def risk_book(tmp_path_factory: pytest.TempPathFactory) -> RiskBook:
    book = tmp_path_factory.mktemp("risk-book")
    home = tmp_path_factory.mktemp("risk-mlflow")
    simulate_portfolio(
        book, customers=3000, months=15, seed=8, ends_on=date(2026, 6, 1), progress=no_progress
    )
    candidates: dict[str, CalibratedModel] = {}
    built: list[Decisions] = []

    def fitted(*arguments: Any) -> dict[str, CalibratedModel]:
        candidates.update(fit(*arguments))
        return candidates

    def remembered(directory: Path, decisions: Decisions, *more: Any) -> Any:
        built.append(decisions)
        return build_features(directory, decisions, *more)

    fit = training.fitting.fit_candidates
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.fitting, "fit_candidates", fitted)
        patch.setattr(training.fitting, "build_features", remembered)
        result = run(book, home)
    return RiskBook(
        book=book,
        tracking_uri=f"sqlite:///{home / 'mlflow.db'}",
        artifact_root=home / "artifacts",
        result=result,
        candidates=candidates,
        training_decisions=built[0],
    )


@pytest.fixture(scope="session")
def split(risk_book: RiskBook) -> RiskSplit:
    return delayed_split(risk_book.book)


@pytest.fixture(scope="session")
def values_at_approval(risk_book: RiskBook, split: RiskSplit) -> Float64Array:
    return build_features(risk_book.book, split.test.decisions, ORDER_RISK).values


def served_probabilities(model: ChampionModel, values: Float64Array) -> Float64Array:
    return np.array([model.score(row.tolist()).probability_of_default for row in values])


def test_the_book_holds_enough_fraud_for_its_figures_to_mean_something(split: RiskSplit) -> None:
    assert (split.training.label == 1).sum() >= 50
    assert (split.test.label == 1).sum() >= 30
    assert (split.test.label == -1).sum() >= 30


def test_the_registered_model_gives_the_trainers_probabilities_to_the_bit(
    risk_book: RiskBook, values_at_approval: Float64Array, tmp_path: Path
) -> None:
    served = load_model(risk_book.registered(), name="order-risk", version="1")
    trained = risk_book.candidates[risk_book.result.winner]
    rows = values_at_approval[:1000]
    raw = trained.estimator.raw_log_odds(rows)
    assert [served.score(row.tolist()).raw_log_odds for row in rows] == raw.tolist()
    assert [served.calibration(one) for one in raw.tolist()] == trained.calibration.log_odds_of(raw).tolist()
    assert served_probabilities(served, rows).tolist() == trained.probability(rows).tolist()


@pytest.mark.parametrize("kind", ["lightgbm", "scorecard"])
def test_either_candidate_is_served_as_it_was_trained(
    risk_book: RiskBook, values_at_approval: Float64Array, tmp_path: Path, kind: str
) -> None:
    trained = risk_book.candidates[kind]
    write_model(tmp_path, trained, ORDER_RISK, typical=np.median(values_at_approval, axis=0), facts={})
    served = load_model(ModelFiles.read(tmp_path), name="order-risk", version="1")
    rows = values_at_approval[:300]
    raw, parts = trained.estimator.raw_log_odds(rows), trained.estimator.contributions(rows)
    assert [served.score(row.tolist()).raw_log_odds for row in rows] == raw.tolist()
    assert served_probabilities(served, rows).tolist() == trained.probability(rows).tolist()
    for row, expected in zip(rows, parts, strict=True):
        assert served.contributions(row.tolist()) == pytest.approx(expected.tolist(), abs=1e-9)
    booster = {"booster.txt"} if kind == "lightgbm" else set()
    assert {file.name for file in tmp_path.iterdir()} == {"model.json"} | booster


def test_the_figures_are_those_of_the_registered_model(
    risk_book: RiskBook, split: RiskSplit, values_at_approval: Float64Array, tmp_path: Path
) -> None:
    served = load_model(risk_book.registered(), name="order-risk", version="1")
    probability = served_probabilities(served, values_at_approval)
    known = split.test.label >= 0
    winner = risk_book.result.winner
    amount = values_at_approval[:, ORDER_RISK.names.index("order_amount_cents_last")].astype(np.int64)
    assert risk_book.result.evaluations[winner] == evaluate(
        split.test.label[known],
        probability[known],
        split.test.decisions.customer_id[known],
        seed=SEED,
    )
    assert risk_book.result.capacity[winner] == at_daily_capacity(
        split.test.label,
        probability,
        amount,
        split.test.decisions.as_of_ms,
        orders_per_day=CAPACITY,
        seed=SEED,
    )


def test_it_reads_no_credit_feature_and_the_credit_model_reads_none_of_fraud(
    risk_book: RiskBook, tmp_path: Path
) -> None:
    document = risk_book.registered().document()
    assert document["feature_set"] == {"name": "order-risk", "version": ORDER_RISK.version}
    purpose_of = {
        feature.name: feature.purpose
        for feature_set in FEATURE_SETS.values()
        for feature in feature_set.features
    }
    names = [feature["name"] for feature in document["features"]]
    assert {purpose_of[name] for name in names} == {Purpose.FRAUD}
    # A credit model is served only with exactly these columns.
    assert {purpose_of[name] for name in INVOICE_ELIGIBILITY.names} == {Purpose.CREDIT}
    assert not set(names) & set(INVOICE_ELIGIBILITY.names)


@pytest.mark.parametrize("kind", ["lightgbm", "scorecard"])
def test_either_candidate_ranks_fraud_far_better_than_chance(risk_book: RiskBook, kind: str) -> None:
    evaluation = risk_book.result.evaluations[kind]
    assert evaluation.average_precision.low > 3 * evaluation.bad_rate
    assert evaluation.auc.low > 0.6


@pytest.mark.parametrize("kind", ["lightgbm", "scorecard"])
def test_a_review_at_capacity_finds_more_fraud_than_orders_drawn_by_lot(
    risk_book: RiskBook, split: RiskSplit, kind: str
) -> None:
    at = risk_book.result.capacity[kind]
    assert at.orders_per_day == CAPACITY
    assert at.precision.low > (split.test.label == 1).mean()
    assert at.recall.low > CAPACITY * at.days / len(split.test)
    assert at.saved_cents_per_day.low > 0


def test_the_winner_is_the_scorecard_unless_the_trees_are_better_beyond_chance(risk_book: RiskBook) -> None:
    result = risk_book.result
    one, other = (result.evaluations[kind].average_precision.value for kind in ("lightgbm", "scorecard"))
    assert result.average_precision_difference.value == pytest.approx(one - other, abs=1e-12)
    better = result.average_precision_difference.low > 0
    assert result.winner == ("lightgbm" if better else "scorecard")


def test_it_becomes_champion_exactly_if_it_passes_every_gate(risk_book: RiskBook) -> None:
    result = risk_book.result
    gates = {gate.name: gate.passed for gate in result.gates}
    evaluation = result.evaluations[result.winner]
    assert gates["ranking"] == (evaluation.average_precision.low >= LOWEST_LIFT * evaluation.bad_rate)
    assert gates["directions"]
    assert result.became_champion == all(gates.values())
    registry = ModelRegistry(risk_book.tracking_uri, risk_book.artifact_root)
    assert registry.champion_version("order-risk") == ("1" if result.became_champion else None)


def test_it_is_fitted_on_orders_at_approval_and_at_changes_before_the_test_period(
    risk_book: RiskBook, split: RiskSplit
) -> None:
    decisions, labelled = risk_book.training_decisions, split.training.decisions
    approvals = len(labelled)
    assert decisions.decision_id[:approvals].tolist() == labelled.decision_id.tolist()
    assert decisions.as_of_ms[:approvals].tolist() == labelled.as_of_ms.tolist()
    assert decisions.as_of_ms.max() < split.test_starts_ms
    of_training = set(labelled.decision_id.tolist())
    changes = change_decisions(risk_book.book)
    expected = [
        (order_id, as_of_ms)
        for order_id, as_of_ms in zip(changes.decision_id.tolist(), changes.as_of_ms.tolist(), strict=True)
        if order_id in of_training and as_of_ms < split.test_starts_ms
    ]
    found = zip(
        decisions.decision_id[approvals:].tolist(), decisions.as_of_ms[approvals:].tolist(), strict=True
    )
    assert list(found) == expected
    assert expected
    assert risk_book.result.facts["training_screenings"] == len(decisions)


def test_the_registered_model_holds_no_pickle_and_no_class_of_ours(
    risk_book: RiskBook, tmp_path: Path
) -> None:
    files = risk_book.registered()
    document = files.document()
    names = set(files.contents)
    if risk_book.result.winner == "lightgbm":
        assert names == {"model.json", "booster.txt"}
        assert files.text("booster.txt").startswith("tree\n")
    else:
        assert names == {"model.json"}
        assert math.isfinite(document["scorecard"]["intercept"])
        assert document["scorecard"]["features"]
    suffixes = {file.suffix for file in risk_book.run_folder.rglob("*") if file.is_file()}
    assert suffixes <= {".json", ".txt", ".md", ".html"}


def test_the_registered_files_say_what_the_model_was_trained_on(risk_book: RiskBook, tmp_path: Path) -> None:
    document = risk_book.registered().document()
    winner = risk_book.result.winner
    assert document["data_fingerprint"] == data_fingerprint(risk_book.book)
    assert document["kind"] == winner
    assert document["metrics"]["recall"] == risk_book.result.to_json()["capacity"][winner]["recall"]
    written = json.loads((risk_book.run_folder / "evaluation.json").read_text())
    assert set(written) == {"lightgbm", "scorecard"}
    for kind, figures in written.items():
        assert figures["average_precision"]["value"] == (
            risk_book.result.evaluations[kind].average_precision.value
        )
        assert figures["orders_per_day"] == CAPACITY


def test_the_model_card_names_the_figures_at_capacity(risk_book: RiskBook) -> None:
    card = (risk_book.run_folder / "model_card.md").read_text()
    at = risk_book.result.capacity[risk_book.result.winner]
    assert f"at {CAPACITY} orders a day" in card
    for figure in (at.precision, at.recall, at.saved_cents_per_day, at.saved_share):
        assert str(figure) in card
    for gate in risk_book.result.gates:
        assert gate.finding in card
    for part in ("## Data", "## Figures", "## Gates", "a person decides", "no credit score"):
        assert part in card


def test_the_text_for_a_person_names_both_candidates_and_the_capacity(risk_book: RiskBook) -> None:
    text = risk_book.result.to_text()
    for kind in ("lightgbm", "scorecard"):
        assert f"  {kind}\n" in text
        assert str(risk_book.result.capacity[kind].precision) in text
        assert str(risk_book.result.capacity[kind].recall) in text
    assert text.count(f"{CAPACITY} orders a day") == 2


@pytest.mark.slow
def test_the_same_seed_gives_the_same_model_and_evaluations_again(
    risk_book: RiskBook, tmp_path: Path
) -> None:
    again = run(risk_book.book, tmp_path)
    assert again.evaluations == risk_book.result.evaluations
    assert again.capacity == risk_book.result.capacity
    assert again.average_precision_difference == risk_book.result.average_precision_difference
    assert (again.winner, again.gates) == (risk_book.result.winner, risk_book.result.gates)
    registry = ModelRegistry(f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path / "artifacts")
    one = risk_book.registered().document()
    other = registry.verified_files("order-risk", again.version).document()
    assert {**one, "trained_at": None} == {**other, "trained_at": None}


def test_too_little_data_is_refused_with_the_numbers(tmp_path: Path) -> None:
    book = tmp_path / "tiny"
    simulate_portfolio(book, customers=30, months=6, seed=0, ends_on=date(2026, 1, 1), progress=no_progress)
    with pytest.raises(TrainingError, match=r"confirmed frauds among \d+ orders; at least 20 are needed"):
        run(book, tmp_path)
