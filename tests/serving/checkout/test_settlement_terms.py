"""Materiality and grace are policy, and a model decides only under those that it learned from."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from features.feature_sets import INVOICE_ELIGIBILITY
from features.model_files import ModelFiles
from features.settlement_terms import USUAL_TERMS, SettlementTerms
from serving.domain.errors import PolicyInvalid
from serving.domain.policy_reader import parse_policy
from serving.in_force.champion_notice import other_terms
from serving.in_force.model_watch import ModelInForce
from serving.in_force.policy_watch import PolicyInForce
from serving.in_force.scorer import load_model
from serving.policy_backtest.policy_replay import NothingToReplayError, OrderSelection, replay_orders
from serving.requests.request_scope import RequestScope, StoreDoor
from tests.serving.policy_versions import a_policy_text
from tests.serving.shadow_desk import a_model
from training.candidates.boosted_trees import BoostedTrees
from training.candidates.calibration import Calibration
from training.candidates.model_artifact import CalibratedModel, write_model
from training.candidates.scorecard import Scorecard

STRICT = SettlementTerms(materiality_cents=0, grace_days=0)
STRICT_POLICY = parse_policy(a_policy_text("strict", materiality_cents=0, grace_days=0))
SHIPPED = parse_policy(a_policy_text("shipped"))


class Standing:
    """Keeps one model in force."""

    def __init__(self, model: Any) -> None:
        self.in_force = ModelInForce(model=model, technical_reason=None, version="1")


def in_force(model: Any, policy: Any) -> ModelInForce:
    scope = RequestScope(
        door=StoreDoor("sqlite:///none.db"),
        watch=Standing(model),  # type: ignore[arg-type]  # a watch that never looks
        policy_in_force=PolicyInForce(policy=policy),
    )
    return scope.model


def test_a_policy_from_before_says_its_materiality_by_its_earlier_name_and_has_the_usual_grace() -> None:
    text = a_policy_text("earlier")
    earlier = "\n".join(
        line.replace("materiality_cents", "arrears_tolerance_cents")
        for line in text.splitlines()
        if not line.startswith("grace_days")
    )
    assert parse_policy(earlier).settlement_terms == USUAL_TERMS
    with pytest.raises(PolicyInvalid) as caught:
        parse_policy(f"arrears_tolerance_cents = 500\n{text}")
    assert caught.value.mistakes == ["arrears_tolerance_cents: is no field of a policy"]


def test_a_model_decides_only_under_the_terms_that_it_learned_from() -> None:
    model = a_model("1")
    assert in_force(model, SHIPPED).model is model
    refused = in_force(model, STRICT_POLICY)
    assert refused.model is None
    assert refused.technical_reason == (
        "invoice-eligibility 1 learned that an invoice is paid where at most 5.00 are left, late after 3 "
        "days; under policy strict it is paid where at most 0.00 are left, late after 0 days: bonitas train "
        "invoice-eligibility DIR, then promote the new version"
    )
    strict = replace(model, terms=STRICT, feature_set=INVOICE_ELIGIBILITY.under(STRICT))
    assert in_force(strict, STRICT_POLICY).model is strict
    assert other_terms(strict, SHIPPED) is not None


def test_a_backtest_asks_no_model_about_what_it_did_not_learn(tmp_path: Path) -> None:
    with pytest.raises(NothingToReplayError, match="learned that an invoice is paid"):
        replay_orders(tmp_path, a_model("1"), [SHIPPED, STRICT_POLICY], OrderSelection())


def test_a_model_keeps_its_terms_and_its_decisions_name_them(tmp_path: Path) -> None:
    card: Scorecard | BoostedTrees = Scorecard(intercept=-3.0, features=())
    calibrated = CalibratedModel(
        estimator=card, calibration=Calibration(raw_log_odds=(-9.0, 9.0), log_odds=(-9.0, 9.0))
    )
    feature_set = INVOICE_ELIGIBILITY.under(STRICT)
    write_model(tmp_path, calibrated, feature_set, typical=np.zeros(len(feature_set.features)), facts={})
    model = load_model(ModelFiles.read(tmp_path), name="invoice-eligibility", version="1")
    assert (model.terms, model.feature_set.terms) == (STRICT, STRICT)
    assert model.version_under_terms == f"{INVOICE_ELIGIBILITY.version}-0c-0d"
    assert a_model("1").version_under_terms == INVOICE_ELIGIBILITY.version
