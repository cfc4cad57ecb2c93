"""Hyper-parameters chosen inside the training period, the same ones every time."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from data_contracts.instants import iso_instant
from data_contracts.ledger_contracts import ALL_CONTRACTS
from data_contracts.parquet_ledger import has_table, read_table, write_table
from features.decisions import Decisions
from features.declarations import Purpose
from features.feature_sets import INVOICE_ELIGIBILITY, FeatureSet
from features.supersession import milliseconds
from tests.builders import DAY
from tests.empty_registry import with_empty_registry
from training.candidates.boosted_trees import PARAMETERS
from training.candidates.model_artifact import read_model
from training.candidates.scorecard import ScorecardShape
from training.candidates.tuning import Tuned, TuningFold, tune
from training.errors import TrainingError
from training.invoice_eligibility import INVOICE_ELIGIBILITY_TASK, EligibilityResult
from training.labels import ledger_end_ms
from training.registry.registry import ModelRegistry
from training.splits import (
    FEWEST_OF_EACH_KIND,
    out_of_time_split,
    stratified_fold_places,
    time_ordered_folds,
)
from training.train import train
from training.training_task import TrainingRequest

FEW = FeatureSet(name="few", purpose=Purpose.CREDIT, features=INVOICE_ELIGIBILITY.features[:5])


def auc(label: np.ndarray, probability: np.ndarray) -> float:
    return float(roc_auc_score(label, probability))


def weak_rows(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows in which one feature matters a little and all others are noise."""
    generator = np.random.default_rng(seed)
    values = generator.exponential(size=(rows, len(FEW.features))).round(2)
    label = generator.random(rows) < 1 / (1 + np.exp(1.5 - 0.4 * values[:, 0]))
    return values, label.astype(np.int8)


@pytest.fixture(scope="module")
def folds() -> list[TuningFold]:
    made = []
    for seed in range(2):
        values, label = weak_rows(1200, seed)
        later_values, later_label = weak_rows(600, seed + 100)
        made.append(
            TuningFold(
                values=values,
                label=label,
                calibration=np.arange(1200) >= 900,
                later_values=later_values,
                later_label=later_label,
            )
        )
    return made


@pytest.fixture(scope="module")
def tuned(folds: list[TuningFold]) -> Tuned:
    return tune(folds, FEW, ranking=auc, trials=4, seed=3)


def test_the_same_folds_and_seed_choose_the_same(folds: list[TuningFold], tuned: Tuned) -> None:
    again = tune(folds, FEW, ranking=auc, trials=4, seed=3)
    assert again.chosen.to_json() == tuned.chosen.to_json()
    assert again.chosen_figure == tuned.chosen_figure


def test_another_seed_tries_others(folds: list[TuningFold], tuned: Tuned) -> None:
    other = tune(folds, FEW, ranking=auc, trials=4, seed=4)
    assert other.chosen_figure != tuned.chosen_figure
    assert other.usual_figure["scorecard"] == tuned.usual_figure["scorecard"]


def test_a_choice_is_never_worse_on_the_folds_than_what_is_usual(tuned: Tuned) -> None:
    for kind, figure in tuned.usual_figure.items():
        assert tuned.chosen_figure[kind] >= figure


def test_one_trial_is_what_is_usual(folds: list[TuningFold]) -> None:
    once = tune(folds, FEW, ranking=auc, trials=1, seed=0)
    assert {**PARAMETERS, **once.chosen.trees} == PARAMETERS
    assert once.chosen.scorecard == ScorecardShape()
    assert once.usual_figure == once.chosen_figure


def test_every_trial_is_told_once(folds: list[TuningFold]) -> None:
    told: list[tuple[int, int]] = []

    def progress(step: str, *, done: int, total: int) -> None:
        assert step == "tune"
        told.append((done, total))

    tune(folds, FEW, ranking=auc, trials=2, seed=0, progress=progress)
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def decisions_at(as_of_ms: np.ndarray) -> Decisions:
    names = np.array([f"o{place}" for place in range(len(as_of_ms))], dtype=object)
    return Decisions(decision_id=names, customer_id=names, as_of_ms=as_of_ms)


@given(
    delays=st.lists(st.integers(1, 120), min_size=200, max_size=200),
    seed=st.integers(0, 50),
)
def test_a_fold_trains_on_nothing_that_was_learnt_after_its_block_began(delays: list[int], seed: int) -> None:
    generator = np.random.default_rng(seed)
    as_of = np.sort(generator.integers(0, 720, 200)) * DAY
    known_at = as_of + np.array(delays) * DAY
    label = np.tile([0, 1], 100).astype(np.int8)
    changes = generator.random(200) < 0.1

    def labels_known_at(instant: int) -> dict[str, int]:
        """Every tenth label is another one until a year has passed."""
        return {
            f"o{place}": int(label[place] ^ (changes[place] and instant < as_of[place] + 365 * DAY))
            for place in range(200)
            if known_at[place] < instant
        }

    seen: set[int] = set()
    for fold in time_ordered_folds(decisions_at(as_of), label, labels_known_at):
        begins = int(as_of[fold.later].min())
        known = labels_known_at(begins)
        assert {f"o{place}" for place in fold.training.tolist()} == set(known)
        assert fold.label.tolist() == [known[f"o{place}"] for place in fold.training.tolist()]
        latest_fitted = as_of[fold.training][~fold.calibration].max()
        assert latest_fitted <= as_of[fold.training][fold.calibration].min()
        assert not set(fold.training) & set(fold.later)
        assert not seen & set(fold.later.tolist())
        seen |= set(fold.later.tolist())
        for part in (fold.label[fold.calibration], fold.label[~fold.calibration], label[fold.later]):
            assert np.bincount(part).min() >= FEWEST_OF_EACH_KIND


def test_a_row_after_the_block_began_trains_nothing_though_its_order_has_a_label() -> None:
    as_of = np.arange(400, dtype=np.int64) * DAY
    ids = np.array([f"o{place % 200}" for place in range(400)], dtype=object)
    label = np.tile([0, 1], 200).astype(np.int8)
    decisions = Decisions(decision_id=ids, customer_id=ids, as_of_ms=as_of)
    known = {f"o{place}": int(label[place]) for place in range(200)}
    for fold in time_ordered_folds(decisions, label, lambda _: known):
        assert as_of[fold.training].max() < as_of[fold.later].min()


def test_a_training_period_in_which_no_label_was_known_early_is_refused() -> None:
    as_of = np.arange(300, dtype=np.int64) * DAY
    with pytest.raises(TrainingError, match=r"too short to tune in.*without --tune"):
        time_ordered_folds(decisions_at(as_of), np.tile([0, 1], 150).astype(np.int8), lambda _: {})


def test_without_time_every_row_is_judged_once() -> None:
    label = (np.arange(300) % 5 == 0).astype(np.int8)
    folds = stratified_fold_places(label, seed=1)
    judged = np.concatenate([fold.later for fold in folds])
    assert sorted(judged.tolist()) == list(range(300))
    for fold in folds:
        assert not set(fold.training) & set(fold.later)
        assert len(fold.calibration) == len(fold.training)


def registered(result: EligibilityResult, home: Path) -> tuple[dict[str, Any], bytes]:
    """The model's document without what differs by the hour, and its booster's text."""
    registry = ModelRegistry(f"sqlite:///{home / 'mlflow.db'}", home / "artifacts")
    files = registry.verified_files(result.model_name, result.version)
    document = files.document()
    for name in ("trained_at", "data_fingerprint"):
        del document[name]
    return document, files.contents.get("booster.txt", b"")


def trained_in(book: Path, home: Path, **asked: Any) -> EligibilityResult:
    with_empty_registry(home)
    request = TrainingRequest(
        directory=book,
        tracking_uri=f"sqlite:///{home / 'mlflow.db'}",
        artifact_root=home / "artifacts",
        **asked,
    )
    result = train(INVOICE_ELIGIBILITY_TASK, request)
    assert isinstance(result, EligibilityResult)
    return result


@pytest.mark.slow
def test_the_same_data_seed_day_and_budget_give_the_same_model(small_book: Path, tmp_path: Path) -> None:
    as_of_ms = ledger_end_ms(small_book) - 150 * DAY
    runs = []
    for home in (tmp_path / "one", tmp_path / "other"):
        result = trained_in(small_book, home, seed=5, tuning_trials=2, as_of_ms=as_of_ms)
        runs.append(registered(result, home))
        assert set(result.facts["tuning"]) == {"lightgbm", "scorecard"}
        assert "tuned inside the training period, AUC" in result.to_text()
        assert result.facts["as_of"] == iso_instant(as_of_ms)
    assert runs[0] == runs[1]


def test_a_split_as_of_a_day_is_the_split_of_a_ledger_that_ended_there(
    small_book: Path, tmp_path: Path
) -> None:
    as_of_ms = ledger_end_ms(small_book) - 90 * DAY
    for contract in ALL_CONTRACTS:
        if has_table(small_book, contract):
            table = read_table(small_book, contract)
            before = pa.array(milliseconds(table["recorded_at"]) < as_of_ms)
            write_table(tmp_path, contract, table.filter(before))
    asked, ended = out_of_time_split(small_book, as_of_ms), out_of_time_split(tmp_path)
    assert asked.test_starts_ms == ended.test_starts_ms < out_of_time_split(small_book).test_starts_ms
    for one, other in ((asked.training, ended.training), (asked.test, ended.test)):
        assert one.decisions.decision_id.tolist() == other.decisions.decision_id.tolist()
        assert one.label.tolist() == other.label.tolist()


def test_a_day_before_anything_matured_is_refused(small_book: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="train as of a later day"):
        trained_in(small_book, tmp_path, as_of_ms=DAY)


def test_a_registered_model_reads_back_as_it_was(trained: Any) -> None:
    registry = ModelRegistry(trained.tracking_uri, trained.artifact_root)
    files = registry.verified_files("invoice-eligibility", "1")
    assert read_model(files).kind == files.document()["kind"] == trained.result.winner
