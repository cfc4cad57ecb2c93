"""The served model on whole histories: a worse one never scores higher."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.feature_sets import INVOICE_ELIGIBILITY
from features.model_files import ModelFiles
from features.offline import build_features
from features.online import features_at
from serving.in_force.scorer import ChampionModel, load_model
from tests.builders import DAY
from tests.histories import History, as_of_moments, histories
from tests.proof_size import examples
from training.candidates.boosted_trees import fit_boosted_trees
from training.candidates.calibration import fit_calibration
from training.candidates.model_artifact import CalibratedModel, write_model
from training.candidates.scorecard import fit_scorecard
from training.gates.direction_probes import direction_probes
from training.gates.gates import directions_gate
from training.gates.worse_histories import (
    with_a_higher_balance,
    with_a_later_payment,
    with_a_shorter_payment,
    with_an_earlier_account,
    with_an_earlier_registration,
    with_an_inquiry,
    with_an_unpaid_invoice,
    without_row,
)
from training.splits import OutOfTimeSplit, out_of_time_split

pytestmark = pytest.mark.long_proof
plain_histories = histories(corrections=False)


@pytest.fixture(scope="module")
def split(small_book: Path) -> OutOfTimeSplit:
    return out_of_time_split(small_book)


def candidate(
    kind: str, book: Path, split: OutOfTimeSplit, *, with_directions: bool = True
) -> CalibratedModel:
    values = build_features(book, split.training.decisions, INVOICE_ELIGIBILITY).values
    label, late = split.training.label, split.calibration
    if kind == "lightgbm":
        estimator: Any = fit_boosted_trees(
            values, label, late, INVOICE_ELIGIBILITY, seed=0, with_directions=with_directions
        )
    else:
        estimator = fit_scorecard(values[~late], label[~late], INVOICE_ELIGIBILITY)
    calibration = fit_calibration(estimator.raw_log_odds(values[late]), label[late])
    return CalibratedModel(estimator=estimator, calibration=calibration)


@pytest.fixture(scope="module")
def served(
    small_book: Path, split: OutOfTimeSplit, tmp_path_factory: pytest.TempPathFactory
) -> list[ChampionModel]:
    """Both candidates, trained on the simulated book and loaded as the service loads them."""
    models = []
    for kind in ("lightgbm", "scorecard"):
        folder = tmp_path_factory.mktemp(kind)
        write_model(
            folder,
            candidate(kind, small_book, split),
            INVOICE_ELIGIBILITY,
            typical=np.zeros(len(INVOICE_ELIGIBILITY.features)),
            facts={},
        )
        models.append(load_model(ModelFiles.read(folder), name="invoice-eligibility", version="1"))
    return models


def worse_histories(history: History, as_of: int, data: Any) -> list[History]:
    """The history changed for the worse, one row at a time."""
    issued_at = as_of - data.draw(st.integers(1, 400)) * DAY
    worse = [
        with_an_inquiry(history, customer_id="c1", at=as_of - data.draw(st.integers(1, 800)) * DAY),
        with_an_unpaid_invoice(
            history,
            customer_id="c1",
            issued_at=issued_at,
            due_at=issued_at + 14 * DAY,
            amount_cents=data.draw(st.sampled_from([1, 501, 8_990, 899_000])),
            currency="EUR",
        ),
    ]
    # Of a refund that brings its own credit, what was paid too much is used up first.
    refunded = {row["invoice_id"] for row in history["invoice_adjustments"] if row["kind"] == "refund"}
    places = [
        place for place, row in enumerate(history["invoice_payments"]) if row["invoice_id"] not in refunded
    ]
    if places:
        place = data.draw(st.sampled_from(places))
        worse += [
            with_a_later_payment(history, place, data.draw(st.integers(1, 200)) * DAY),
            with_a_shorter_payment(history, place, data.draw(st.sampled_from([3, 501, 9_000]))),
            without_row(history, "invoice_payments", place),
        ]
    moments = {
        (row["account_id"], row["occurred_at"], row["recorded_at"]) for row in history["account_balances"]
    }
    # Statements of one account and one instant contradict each other: their figures decide which is last.
    if history["account_balances"] and len(moments) == len(history["account_balances"]):
        place = data.draw(st.integers(0, len(history["account_balances"]) - 1))
        worse.append(with_a_higher_balance(history, place, data.draw(st.integers(1, 200_000))))
    return worse


@examples(5_000)
@given(history=plain_histories, as_of=as_of_moments, data=st.data())
def test_rows_that_got_worse_never_score_higher(
    served: list[ChampionModel], history: History, as_of: int, data: Any
) -> None:
    before = features_at(history, as_of, INVOICE_ELIGIBILITY)
    for worse in worse_histories(history, as_of, data):
        after = features_at(worse, as_of, INVOICE_ELIGIBILITY)
        for model in served:
            was, now = model.score(before), model.score(after)
            assert now.probability_of_default >= was.probability_of_default
            assert now.points <= was.points


@examples(5_000)
@given(history=plain_histories, as_of=as_of_moments, data=st.data())
def test_accounts_opened_earlier_never_score_lower(
    served: list[ChampionModel], history: History, as_of: int, data: Any
) -> None:
    earlier_ms = data.draw(st.integers(1, 2000)) * DAY
    older = [with_an_earlier_registration(history, earlier_ms)]
    accounts = sorted({row["account_id"] for row in history["credit_accounts"]})
    if accounts:
        older.append(with_an_earlier_account(history, data.draw(st.sampled_from(accounts)), earlier_ms))
    before = features_at(history, as_of, INVOICE_ELIGIBILITY)
    for better in older:
        after = features_at(better, as_of, INVOICE_ELIGIBILITY)
        for model in served:
            now, was = model.score(after), model.score(before)
            assert now.probability_of_default <= was.probability_of_default


@pytest.mark.parametrize("with_directions", [True, False])
def test_the_gate_probes_whole_rows_and_finds_a_model_that_ignores_the_directions(
    small_book: Path, split: OutOfTimeSplit, with_directions: bool
) -> None:
    model = candidate("lightgbm", small_book, split, with_directions=with_directions)
    probes = direction_probes(
        small_book, split.test.decisions, INVOICE_ELIGIBILITY, model.probability, seed=0
    )
    assert directions_gate(probes).passed is with_directions
    assert probes.tried.keys() >= {
        "one more open invoice",
        "a larger open invoice",
        "one more overdue invoice",
        "one more invoice paid late",
        "an older debt",
        "a larger invoice",
        "one more loan",
        "a later payment",
        "a shorter payment",
        "a payment never made",
        "one more inquiry",
        "an inquiry taken away",
        "a higher balance",
        "a statement as bad as any",
    }


def test_the_gate_names_the_change_that_a_model_rewards(small_book: Path, split: OutOfTimeSplit) -> None:
    owed = INVOICE_ELIGIBILITY.names.index("outstanding_cents_last")
    probes = direction_probes(
        small_book,
        split.test.decisions,
        INVOICE_ELIGIBILITY,
        lambda values: 1 / (2 + values[:, owed]),
        seed=0,
    )
    gate = directions_gate(probes)
    assert not gate.passed
    assert "x one more open invoice" in gate.finding
    assert probes.violated["one more inquiry"] == 0
