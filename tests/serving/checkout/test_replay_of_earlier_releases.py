"""Decisions outlive the release that made them: they are judged again as they were, under any revision."""

import json
import math
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace as changed

from features import feature_sets
from features.declarations import FeatureGroup
from features.feature_sets import FEATURE_SETS, INVOICE_ELIGIBILITY, FeatureSet
from features.model_columns import UnknownColumnError, columns_from, columns_of
from features.model_files import ModelFiles
from serving.checkout import decision_inputs
from serving.checkout.checkout_judgement import answer_to_checkout, judge
from serving.checkout.decision_inputs import DecisionInputs
from serving.checkout.replay import replay
from serving.domain.reasons import REASON_CODES
from serving.in_force.scorer import (
    ChampionModel,
    ModelNotUsableError,
    ReplayModel,
    load_model,
    load_replay_model,
)
from serving.screening.order_screening import fraud_reasons
from serving.store.decision_log import LoggedDecision, append_decision, decision_of
from serving.store.migrate import migrate
from serving.store.open_store import open_store
from serving.store.policies import keep_policy
from serving.store.store import Store
from tests.builders import DAY, a_customer, a_payment, an_invoice, an_order
from tests.serving.shadow_desk import MODEL, START, KnownModels, ShadowDesk, a_model, a_scorecard, sqlite_url

EARLIER = Path(__file__).parent / "earlier_release"
"""Decisions of the release before model folders described their columns, with their model and policy.

They were made by the code of commit 9ceae6d and are never made anew: what was answered must come out again.
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    migrate(sqlite_url(tmp_path))
    opened = open_store(sqlite_url(tmp_path))
    yield opened
    opened.close()


@dataclass
class FolderModels(KnownModels):
    """A registry that reads one folder for replays, as the service does."""

    def __init__(self, folder: Path, *models: ChampionModel) -> None:
        super().__init__(*models)
        self.folder = folder

    def load_for_replay(self, model_name: str, version: str) -> ReplayModel:
        return load_replay_model(ModelFiles.read(self.folder), name=model_name, version=version)


def decisions_of_the_earlier_release() -> list[tuple[str, LoggedDecision]]:
    found = []
    for line in (EARLIER / "decisions.jsonl").read_text().splitlines():
        document = json.loads(line)
        case = document.pop("case")
        values = document.pop("features")
        features = None if values is None else tuple(math.nan if value is None else value for value in values)
        found.append((case, LoggedDecision(**document, features=features)))
    return found


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    """The folder of the earlier release's model, alone in its folder as the registry keeps it."""
    folder = tmp_path / "model"
    folder.mkdir()
    shutil.copy(EARLIER / "model.json", folder)
    return folder


def test_decisions_of_the_earlier_release_come_out_as_they_were_answered(
    store: Store, model_folder: Path
) -> None:
    with store.writing("test") as tx:
        text = (EARLIER / "policy.toml").read_text()
        keep_policy(tx, version="2026-11-3", content=text, now_ms=START)
        for _, decision in decisions_of_the_earlier_release():
            append_decision(tx, decision)
    registry = FolderModels(model_folder)
    for case, decision in decisions_of_the_earlier_release():
        result = replay(store, registry, decision.decision_id)
        assert result.differences == (), f"{case}: {result.to_json()}"
        # What an answer says today beside that, it said nothing of then.
        assert result.recomputed == {"limit_basis": None, "merchant_order_number": None} | result.answered
    reasons = {
        case: [reason["code"] for reason in decision.record["answer"]["reasons"]]
        for case, decision in decisions_of_the_earlier_release()
    }
    assert reasons["declined_by_score"][:3] == ["late_payments", "unpaid_balances", "many_credit_inquiries"]


def renamed(feature_set: FeatureSet) -> FeatureSet:
    """The features of another release: fewer, in another order, one under another name and reason."""
    kept = [
        feature if feature.name != "credit_inquiry_count_90d" else replace(feature, name="inquiries_of_old")
        for feature in reversed(feature_set.features)
        if feature.group is not FeatureGroup.BALANCES
    ]
    return FeatureSet(name=feature_set.name, purpose=feature_set.purpose, features=tuple(kept))


@contextmanager
def an_earlier_release(monkeypatch: pytest.MonkeyPatch, older: FeatureSet) -> Iterator[None]:
    """Everything of the feature engine that has a version is that of another release."""
    # Asked before: a set keeps its version once it is asked, and these are not of another release.
    ours = {known.version for known in FEATURE_SETS.values()}
    with monkeypatch.context() as patch:
        patch.setattr(feature_sets, "ENGINE_REVISION", 0)
        patch.setattr(feature_sets, "FEATURE_SETS", {older.name: older})
        assert older.version not in ours
        yield


def older_model(folder: Path, older: FeatureSet) -> ChampionModel:
    """Declines who asked for credit; its folder says what its columns mean."""
    card = a_scorecard(older, -5.0, inquiries_of_old=9.0)
    document = {
        "format": 1,
        "kind": "scorecard",
        "feature_set": {"name": older.name, "version": older.version},
        "features": [column.to_json() for column in columns_of(older.features)],
        "calibration": {"raw_log_odds": [-9.0, 9.0], "log_odds": [-9.0, 9.0]},
        "score_scale": {"reference_points": 600, "reference_odds": 30, "points_to_double_odds": 40},
        "scorecard": {
            "intercept": card.intercept,
            "features": [
                {
                    "name": name,
                    "cut_points": feature.cut_points,
                    "step_weights": feature.step_weights,
                    "missing_weight": 0.0,
                    "mean_contribution": 0.0,
                }
                for name, feature in zip(older.names, card.features, strict=True)
            ],
        },
    }
    folder.mkdir(exist_ok=True)
    (folder / "model.json").write_text(json.dumps(document))
    return a_model("1", card, older)


@pytest.fixture
def decided(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[ShadowDesk, list[str]]:
    """An approval, a refusal by score and one without a model, all of another release."""
    older = renamed(INVOICE_ELIGIBILITY)
    with an_earlier_release(monkeypatch, older):
        registry = FolderModels(tmp_path / "older", older_model(tmp_path / "older", older))
        desk = ShadowDesk(store, sqlite_url(tmp_path), registry)
        for customer_id in ("good", "asking"):
            desk.customer(customer_id)
        desk.row("orders", an_order("o-g", "good", at=START - 60 * DAY))
        desk.row("invoices", an_invoice("i-g", "good", at=START - 60 * DAY, order_id="o-g"))
        desk.row("invoice_payments", a_payment("i-g", "good", at=START - 50 * DAY))
        desk.row("credit_inquiries", an_inquiry_row("asking"))
        ids = [desk.decide("d1", "good"), desk.decide("d2", "asking")]
        minor = a_customer("minor", event_id="minor", at=START - 400 * DAY, birth_date="2015-01-01")
        desk.row("customers", minor)
        desk.registry.aliases.clear()
        desk.watch.look()
        ids.append(desk.decide("d3", "minor"))
    return desk, ids


def an_inquiry_row(customer_id: str) -> dict[str, Any]:
    from tests.builders import an_inquiry

    return an_inquiry(customer_id, at=START - 20 * DAY)


def test_a_decision_of_another_revision_is_judged_again_and_the_ledger_is_not_asked(
    decided: tuple[ShadowDesk, list[str]],
) -> None:
    desk, ids = decided
    results = [replay(desk.store, desk.registry, decision_id) for decision_id in ids]
    assert [result.answered["outcome"] for result in results] == ["approved", "declined", "declined"]
    assert results[1].answered["reasons"][0]["code"] == "many_credit_inquiries"
    for result in results:
        assert result.differences == ()
        document = result.to_json()
        assert (document["identical"], document["ledger_compared"]) == (True, False)
    with desk.store.reading() as tx:
        logged = decision_of(tx, ids[0])
    assert logged is not None
    assert results[0].ledger_not_compared == (
        f"The decision was made under feature set {logged.feature_set_version}, which this release does not "
        "compute: what was stored was judged again, and the ledger was not compared."
    )
    assert "under engine revision 0," in str(results[2].ledger_not_compared)


def test_a_tampered_input_of_another_revision_is_still_found(decided: tuple[ShadowDesk, list[str]]) -> None:
    desk, ids = decided
    with desk.store.writing("test") as tx:
        tx.execute("UPDATE decisions SET record = replace(record, ?, ?)", ('"score":', '"score":1'))
    assert "score" in replay(desk.store, desk.registry, ids[1]).differences


def test_a_model_of_another_revision_can_be_replayed_and_never_serve(
    decided: tuple[ShadowDesk, list[str]], tmp_path: Path
) -> None:
    files = ModelFiles.read(tmp_path / "older")
    model = load_replay_model(files, name=MODEL, version="1")
    assert not isinstance(model, ChampionModel)
    with pytest.raises(
        ModelNotUsableError, match="train a new version: bonitas train invoice-eligibility DIR"
    ):
        load_model(files, name=MODEL, version="1")


def test_features_that_are_not_those_of_the_model_are_refused_and_not_judged(
    decided: tuple[ShadowDesk, list[str]],
) -> None:
    desk, ids = decided
    with desk.store.writing("test") as tx:
        tx.execute("UPDATE decisions SET feature_set_version = 'another' WHERE decision_id = ?", (ids[0],))
        tx.execute("UPDATE decisions SET features = substr(features, 9) WHERE decision_id = ?", (ids[1],))
    for decision_id in ids[:2]:
        with pytest.raises(ModelNotUsableError, match=f"decision {decision_id} has"):
            replay(desk.store, desk.registry, decision_id)


def test_a_decision_of_this_release_is_compared_with_the_ledger(store: Store, tmp_path: Path) -> None:
    desk = ShadowDesk(store, sqlite_url(tmp_path), KnownModels(a_model("1")))
    desk.customer("c1")
    with_model = desk.decide("d1", "c1")
    desk.registry.aliases.clear()
    desk.watch.look()
    desk.row("customers", a_customer("minor", event_id="minor", at=START - 9 * DAY, birth_date="2015-01-01"))
    without_model = desk.decide("d2", "minor")
    with store.writing("test") as tx:
        tx.execute("UPDATE ledger_events SET body = replace(body, 'DE', 'AT')")
    for decision_id in (with_model, without_model):
        result = replay(store, desk.registry, decision_id)
        assert (result.ledger_not_compared, result.ledger_differences) == (None, ("applicant",))


def test_a_shadow_answers_for_no_decision_of_another_revision_and_says_how_many(
    decided: tuple[ShadowDesk, list[str]],
) -> None:
    from serving.store.made_in_window import made_since
    from serving.store.shadow_progress import Subject

    desk, _ = decided
    desk.registry.models["2"] = a_model("2")
    desk.start("2", days_back=30)
    assert desk.answer() == 0
    with desk.store.reading() as tx:
        window = made_since(
            tx,
            Subject.DECISION,
            model_name=MODEL,
            model_version="2",
            feature_set_version=INVOICE_ELIGIBILITY.version,
            after="",
        )
    assert (window.made, window.not_comparable, window.other_features) == (3, 3, 2)


def test_every_column_that_a_model_ever_named_has_a_reason_with_words() -> None:
    document = json.loads((EARLIER / "model.json").read_text())
    of_old = columns_from(document["features"])
    assert [column.name for column in of_old] == document["features"]
    for column in (*of_old, *columns_of(INVOICE_ELIGIBILITY.features)):
        assert column.reason_code in REASON_CODES
    with pytest.raises(UnknownColumnError, match="nothing is known of its feature never_heard_of_90d"):
        columns_from(["never_heard_of_90d"])


@pytest.mark.parametrize("feature_set", FEATURE_SETS.values(), ids=lambda one: one.name)
def test_a_column_is_read_back_from_a_model_file_as_it_was_written(feature_set: FeatureSet) -> None:
    columns = columns_of(feature_set.features)
    assert columns_from(json.loads(json.dumps([column.to_json() for column in columns]))) == columns


def test_reasons_of_fraud_are_worded_by_the_model_that_names_them() -> None:
    order_risk = FEATURE_SETS["order-risk"]
    name = order_risk.names[0]
    model = a_model("1", a_scorecard(order_risk, -1.0, **{name: 2.0}), order_risk)
    told = replace(model.columns[0], description="as it was worded then", reason_code="of_old")
    (reason,) = fraud_reasons(
        replace(model, columns=(told, *model.columns[1:])), [1.0, *[0.0] * (len(model.columns) - 1)]
    )
    assert (reason.text, reason.code, reason.feature) == ("as it was worded then", "of_old", name)


def test_what_was_judged_of_a_text_is_an_input_and_no_new_rule_judges_it_again(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = ShadowDesk(store, sqlite_url(tmp_path), KnownModels(a_model("1")))
    desk.customer("c1")
    refused, approved = desk.decide("d1", "c1", delivery_name="Te5ter"), desk.decide("d2", "c1")
    for verdict in ((), ("/billing/street",)):
        monkeypatch.setattr(decision_inputs, "implausible_fields", lambda _order, found=verdict: found)
        for decision_id, outcome in ((refused, "declined"), (approved, "approved")):
            result = replay(store, desk.registry, decision_id)
            assert (result.is_identical, result.answered["outcome"]) == (True, outcome)


def test_a_decision_that_did_not_keep_what_was_judged_of_its_texts_comes_out_as_it_was_answered(
    store: Store, tmp_path: Path
) -> None:
    """Judgement revision 3: a single name was implausible, and so was an address in Finland."""
    desk = ShadowDesk(store, sqlite_url(tmp_path), KnownModels(a_model("1")))
    desk.customer("c1")
    decision_id = desk.decide("d1", "c1", delivery_name="Erika", delivery_country="FI")
    with store.reading() as tx:
        now = decision_of(tx, decision_id)
    assert now is not None
    assert [rule["code"] for rule in now.record["answer"]["failed_rules"]] == ["order_country_not_offered"]
    inputs = changed(
        DecisionInputs.restored(now.record, now.features),
        revision=3,
        implausible_fields=("/delivery/name", "/delivery/country"),
    )
    model = desk.registry.models["1"]
    judged = judge(inputs, model, desk.scope(None).policy, as_of_ms=now.as_of_ms)
    identity = now.model_name or "", now.model_version or ""
    answer = answer_to_checkout(
        judged.decision,
        decision_id="then",
        order_id="d1",
        merchant_order_number=None,
        model=identity,
        as_of_ms=now.as_of_ms,
        reserved_until_ms=None,
        language="en",
    )
    assert [rule.field for rule in answer.failed_rules] == list(inputs.implausible_fields)
    record = {**now.record, **inputs.to_record(), "answer": answer}
    del record["implausible_fields"]
    with store.writing("test") as tx:
        append_decision(tx, changed(now, decision_id="then", record=record))
    result = replay(store, desk.registry, "then")
    assert (result.differences, result.recomputed) == ((), msgspec.json.decode(msgspec.json.encode(answer)))
