"""A whole training run on a small book, and what is registered by it."""

from datetime import date
from pathlib import Path

import numpy as np
import pytest

from data_contracts.order_outcomes import ORDER_OUTCOMES
from data_contracts.parquet_ledger import read_table
from data_contracts.progress import no_progress
from data_contracts.simulation.portfolio import simulate_portfolio
from features.feature_sets import INVOICE_ELIGIBILITY
from features.model_files import ModelFiles
from features.offline import build_features
from serving.in_force.scorer import load_model
from tests.builders import write_ledger
from training.candidates.model_artifact import CalibratedModel, write_model
from training.data_fingerprint import data_fingerprint
from training.errors import TrainingError
from training.invoice_eligibility import INVOICE_ELIGIBILITY_TASK
from training.labels import FRAUD_OUTCOMES, ledger_end_ms, order_labels
from training.registry.registry import ModelRegistry
from training.splits import out_of_time_split
from training.train import train
from training.training_task import TrainingRequest


def test_the_first_good_version_becomes_champion_and_the_second_stays_a_challenger(trained) -> None:
    assert trained.result.became_champion
    assert trained.result.version == "1"
    registry = ModelRegistry(trained.tracking_uri, trained.artifact_root)
    again = train(
        INVOICE_ELIGIBILITY_TASK,
        TrainingRequest(
            directory=trained.book,
            tracking_uri=trained.tracking_uri,
            artifact_root=trained.artifact_root,
            seed=1,
        ),
    )
    assert (again.version, again.became_champion) == ("2", False)
    assert registry.champion_version("invoice-eligibility") == "1"
    assert again.evaluations == trained.result.evaluations


def test_the_registered_files_explain_the_model(trained) -> None:
    registry = ModelRegistry(trained.tracking_uri, trained.artifact_root)
    document = registry.verified_files("invoice-eligibility", "1").document()
    assert document["feature_set"]["version"] == INVOICE_ELIGIBILITY.version
    assert document["data_fingerprint"] == data_fingerprint(trained.book)
    run_folder = next(trained.artifact_root.rglob("model_card.md")).parent
    assert {file.name for file in run_folder.iterdir()} == {
        "evaluation.json",
        "model",
        "model_card.md",
        "validation_report.html",
        "validation_report.json",
    }
    card = (run_folder / "model_card.md").read_text()
    for part in ("## Data", "## Figures", "## Gates", "## Directions", "auc"):
        assert part in card


def test_a_registered_model_holds_no_pickle_and_no_class_of_ours(trained) -> None:
    registry = ModelRegistry(trained.tracking_uri, trained.artifact_root)
    assert set(registry.verified_files("invoice-eligibility", "1").contents) <= {"model.json", "booster.txt"}


@pytest.mark.parametrize("kind", ["lightgbm", "scorecard"])
def test_the_service_scores_what_training_measured_bit_for_bit(trained, tmp_path: Path, kind: str) -> None:
    from training.candidates.boosted_trees import fit_boosted_trees
    from training.candidates.calibration import fit_calibration
    from training.candidates.scorecard import fit_scorecard

    split = out_of_time_split(trained.book)
    values = build_features(trained.book, split.training.decisions, INVOICE_ELIGIBILITY).values
    label, late = split.training.label, split.calibration
    if kind == "lightgbm":
        estimator = fit_boosted_trees(values, label, late, INVOICE_ELIGIBILITY, seed=0)
    else:
        estimator = fit_scorecard(values[~late], label[~late], INVOICE_ELIGIBILITY)
    calibration = fit_calibration(estimator.raw_log_odds(values[late]), label[late])
    model = CalibratedModel(estimator=estimator, calibration=calibration)
    write_model(tmp_path, model, INVOICE_ELIGIBILITY, typical=np.median(values, axis=0), facts={})
    served = load_model(ModelFiles.read(tmp_path), name="invoice-eligibility", version="1")
    raw = estimator.raw_log_odds(values[:300])
    log_odds = calibration.log_odds_of(raw)
    contributions = estimator.contributions(values[:300])
    for row, expected_raw, expected, parts in zip(values[:300], raw, log_odds, contributions, strict=True):
        score = served.score(row.tolist())
        assert score.raw_log_odds == expected_raw
        assert score.probability_of_default == pytest.approx(1 / (1 + np.exp(-expected)), rel=1e-12)
        assert served.raw_model.contributions(row.tolist())[:-1] == pytest.approx(parts.tolist(), abs=1e-9)


def test_training_sees_nothing_recorded_after_the_test_period_began(trained) -> None:
    split = out_of_time_split(trained.book)
    assert split.training.known_at_ms.max() < split.test_starts_ms <= split.test.decisions.as_of_ms.min()
    horizon = split.test_starts_ms - split.training.decisions.as_of_ms.max()
    assert horizon > 60 * 86_400_000


def test_a_label_once_known_goes_away_only_when_fraud_is_found(trained) -> None:
    split = out_of_time_split(trained.book)
    later = order_labels(trained.book, ledger_end_ms(trained.book))
    gone = set(split.training.decisions.decision_id) - set(later.decisions.decision_id)
    outcomes = read_table(trained.book, ORDER_OUTCOMES)
    fraud = {
        order_id
        for order_id, kind in zip(outcomes["order_id"].to_pylist(), outcomes["kind"].to_pylist(), strict=True)
        if kind in FRAUD_OUTCOMES
    }
    assert gone <= fraud


def test_too_little_data_is_refused_with_the_numbers(tmp_path: Path) -> None:
    simulate_portfolio(
        tmp_path / "tiny", customers=30, months=6, seed=0, ends_on=date(2026, 1, 1), progress=no_progress
    )
    with pytest.raises(TrainingError, match=r"bad among|has matured"):
        train(
            INVOICE_ELIGIBILITY_TASK,
            TrainingRequest(
                directory=tmp_path / "tiny", tracking_uri=f"sqlite:///{tmp_path}/m.db", artifact_root=tmp_path
            ),
        )


def test_a_folder_without_orders_is_refused(tmp_path: Path) -> None:
    from features.decisions import NoDecisionsError
    from tests.builders import a_merchant

    write_ledger(tmp_path / "book", {"merchants": [a_merchant()]})
    with pytest.raises(NoDecisionsError, match="holds no orders"):
        train(
            INVOICE_ELIGIBILITY_TASK,
            TrainingRequest(
                directory=tmp_path / "book", tracking_uri=f"sqlite:///{tmp_path}/m.db", artifact_root=tmp_path
            ),
        )


def test_the_fingerprint_changes_with_the_data(trained, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(trained.book, copy)
    assert data_fingerprint(copy) == data_fingerprint(trained.book)
    file = next((copy / "orders").glob("*.parquet"))
    file.write_bytes(file.read_bytes() + b"x")
    assert data_fingerprint(copy) != data_fingerprint(trained.book)
