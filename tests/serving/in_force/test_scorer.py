import math
import threading
from pathlib import Path

import numpy as np
import pytest

from features.feature_sets import INVOICE_ELIGIBILITY
from features.model_files import ModelFiles
from serving.in_force.fast_booster import FastBooster
from serving.in_force.scorer import ChampionModel, ModelNotUsableError, load_model
from tests.serving.http.conftest import Row, a_booster_text, a_model_document, write_model

WIDTH = len(INVOICE_ELIGIBILITY.names)


def loaded(folder: Path, document: Row) -> ChampionModel:
    return load_model(ModelFiles.read(write_model(folder, document)), name="m", version="1")


def rows(count: int) -> list[list[float]]:
    random = np.random.default_rng(3)
    values = random.normal(1, 2, size=(count, WIDTH))
    values[random.random(values.shape) < 0.1] = math.nan
    return [list(map(float, row)) for row in values]


def test_the_single_row_interface_gives_the_bits_of_booster_predict() -> None:
    text = a_booster_text()
    fast, slow = FastBooster(text), FastBooster(text, force_booster_predict=True)
    assert fast.uses_c_interface
    assert not slow.uses_c_interface
    for row in rows(50):
        assert fast.raw_score(row) == slow.raw_score(row)
        assert fast.contributions(row) == slow.contributions(row)


def test_threads_share_a_booster() -> None:
    fast = FastBooster(a_booster_text())
    cases = rows(40)
    expected = [fast.raw_score(row) for row in cases]
    found: list[list[float]] = []

    def predict() -> None:
        found.append([fast.raw_score(row) for row in cases])

    threads = [threading.Thread(target=predict) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 4


@pytest.mark.parametrize("kind", ["lightgbm", "scorecard"])
def test_contributions_add_up_to_the_raw_score(kind: str, tmp_path: Path) -> None:
    model = loaded(tmp_path, a_model_document(kind))
    for row in rows(10):
        whole = model.raw_model.contributions(row)
        assert sum(whole) == pytest.approx(model.score(row).raw_log_odds, abs=1e-9)
        assert model.contributions(row) == tuple(whole[:-1])


def test_a_scorecard_adds_the_steps_below_a_value(tmp_path: Path) -> None:
    model = load_model(
        ModelFiles.read(write_model(tmp_path, a_model_document("scorecard"))), name="m", version="1"
    )
    place = INVOICE_ELIGIBILITY.names.index("late_payment_days_sum_730d")
    for value, raw in ((0.0, -2.5), (0.5, 0.5), (2.0, 0.5), (3.0, 1.5), (math.nan, -2.25)):
        row = [0.0] * WIDTH
        row[place] = value
        assert model.score(row).raw_log_odds == raw


def test_a_worse_raw_score_never_gives_more_points(tmp_path: Path) -> None:
    model = load_model(
        ModelFiles.read(write_model(tmp_path, a_model_document("scorecard"))), name="m", version="1"
    )
    place = INVOICE_ELIGIBILITY.names.index("late_payment_days_sum_730d")
    scores = []
    for value in (0.0, 1.0, 3.0):
        row = [0.0] * WIDTH
        row[place] = value
        scores.append(model.score(row))
    assert [s.points for s in scores] == sorted((s.points for s in scores), reverse=True)
    assert all(0 < s.probability_of_default < 1 for s in scores)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"format": 2}, "format 2"),
        (
            {"feature_set": {"name": "invoice-eligibility", "version": "older"}},
            "bonitas train m DIR",
        ),
        ({"feature_set": {"name": "unheard", "version": "1"}}, "unheard"),
        ({"features": ["other"]}, "nothing is known of its feature other"),
        ({"features": ["account_age_days_max"]}, "its columns are not those"),
        ({"kind": "oracle"}, "oracle"),
        ({"calibration": {"raw_log_odds": [], "log_odds": []}}, "calibration"),
    ],
)
def test_a_model_that_cannot_serve_says_why(changes: dict[str, object], reason: str, tmp_path: Path) -> None:
    document = a_model_document("scorecard") | changes
    with pytest.raises(ModelNotUsableError, match=reason):
        loaded(tmp_path, document)


def test_a_missing_or_broken_model_folder_says_why(tmp_path: Path) -> None:
    with pytest.raises(ModelNotUsableError, match=r"model\.json"):
        load_model(ModelFiles.read(tmp_path), name="m", version="1")
    write_model(tmp_path, a_model_document())
    (tmp_path / "booster.txt").write_text("no model")
    with pytest.raises(ModelNotUsableError):
        load_model(ModelFiles.read(tmp_path), name="m", version="1")
