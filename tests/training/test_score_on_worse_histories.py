"""The served model on whole histories: a worse one never scores higher."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from features.feature_sets import INVOICE_ELIGIBILITY
from features.offline import build_features
from features.online import features_at
from serving.scorer import ChampionModel, load_model
from tests.builders import DAY, an_inquiry
from tests.histories import History, as_of_moments, histories
from tests.worse_histories import (
    with_a_higher_balance,
    with_a_later_payment,
    with_an_earlier_account,
    with_an_earlier_registration,
)
from training.boosted_trees import fit_boosted_trees
from training.calibration import fit_calibration
from training.model_artifact import CalibratedModel, write_model
from training.scorecard import fit_scorecard
from training.splits import out_of_time_split

thorough = settings(
    max_examples=150,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.filter_too_much,
        HealthCheck.function_scoped_fixture,
    ],
)
plain_histories = histories(corrections=False)


@pytest.fixture(scope="module", params=["lightgbm", "scorecard"])
def served(
    request: pytest.FixtureRequest, small_book: Path, tmp_path_factory: pytest.TempPathFactory
) -> ChampionModel:
    """Either candidate, trained on the simulated book and loaded as the service loads it."""
    split = out_of_time_split(small_book)
    values = build_features(small_book, split.training.decisions, INVOICE_ELIGIBILITY).values
    label, late = split.training.label, split.calibration
    if request.param == "lightgbm":
        estimator = fit_boosted_trees(values, label, late, INVOICE_ELIGIBILITY, seed=0)
    else:
        estimator = fit_scorecard(values[~late], label[~late], INVOICE_ELIGIBILITY)
    calibration = fit_calibration(estimator.raw_log_odds(values[late]), label[late])
    folder = tmp_path_factory.mktemp("model")
    write_model(
        folder,
        CalibratedModel(estimator=estimator, calibration=calibration),
        INVOICE_ELIGIBILITY,
        typical=values[0],
        facts={},
    )
    return load_model(folder, name="invoice-eligibility", version="1")


def assert_never_better(model: ChampionModel, before: History, worse: History, as_of: int) -> None:
    was = model.score(features_at(before, as_of, INVOICE_ELIGIBILITY))
    now = model.score(features_at(worse, as_of, INVOICE_ELIGIBILITY))
    assert now.probability_of_default >= was.probability_of_default
    assert now.points <= was.points


@thorough
@given(history=plain_histories, as_of=as_of_moments, data=st.data())
def test_a_payment_turned_late_or_later_still_never_scores_higher(
    served: ChampionModel, history: History, as_of: int, data: Any
) -> None:
    assume(history["invoice_payments"])
    place = data.draw(st.integers(0, len(history["invoice_payments"]) - 1))
    worse = with_a_later_payment(history, place, data.draw(st.integers(1, 200)) * DAY)
    assert_never_better(served, history, worse, as_of)


@thorough
@given(history=plain_histories, as_of=as_of_moments, days_before=st.integers(1, 800))
def test_one_more_inquiry_never_scores_higher(
    served: ChampionModel, history: History, as_of: int, days_before: int
) -> None:
    inquiry = an_inquiry(at=as_of - days_before * DAY, event_id="one-more")
    worse = {**history, "credit_inquiries": [*history["credit_inquiries"], inquiry]}
    assert_never_better(served, history, worse, as_of)


@thorough
@given(history=plain_histories, as_of=as_of_moments, data=st.data())
def test_a_higher_balance_at_the_same_limit_never_scores_higher(
    served: ChampionModel, history: History, as_of: int, data: Any
) -> None:
    assume(history["account_balances"])
    place = data.draw(st.integers(0, len(history["account_balances"]) - 1))
    worse = with_a_higher_balance(history, place, data.draw(st.integers(1, 200_000)))
    assert_never_better(served, history, worse, as_of)


@thorough
@given(history=plain_histories, as_of=as_of_moments, data=st.data())
def test_an_account_opened_earlier_never_scores_lower(
    served: ChampionModel, history: History, as_of: int, data: Any
) -> None:
    assume(history["credit_accounts"])
    accounts = sorted({row["account_id"] for row in history["credit_accounts"]})
    older = with_an_earlier_account(
        history, data.draw(st.sampled_from(accounts)), data.draw(st.integers(1, 2000)) * DAY
    )
    assert_never_better(served, older, history, as_of)


@thorough
@given(history=plain_histories, as_of=as_of_moments, days=st.integers(1, 2000))
def test_an_earlier_registration_never_scores_lower(
    served: ChampionModel, history: History, as_of: int, days: int
) -> None:
    assert_never_better(served, with_an_earlier_registration(history, days * DAY), history, as_of)
