"""Compare and promote on a small simulated book: each gate is passed by a sound model and caught by name."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner
from mlflow import MlflowClient

import bonitas
from data_contracts.contract import MAXIMUM_CLOCK_TOLERANCE_MS
from data_contracts.credit_inquiries import CREDIT_INQUIRIES
from data_contracts.instants import DAY_MS, iso_instant
from data_contracts.invoice_payments import INVOICE_PAYMENTS
from data_contracts.parquet_ledger import read_table, write_table
from evidence.intervals import Interval
from evidence.stability import chance_stability_index, population_stability_index
from features.decisions import Decisions
from features.declarations import Direction
from features.feature_sets import INVOICE_ELIGIBILITY, ORDER_RISK, FeatureSet
from features.instants import Float64Array
from features.model_files import ModelFiles, local_folder
from features.offline import build_features
from serving.in_force.scorer import load_model
from tests.empty_registry import with_empty_registry
from training.candidates.calibration import fit_calibration
from training.candidates.model_artifact import CalibratedModel, write_model
from training.candidates.scorecard import Scorecard, fit_scorecard
from training.errors import TrainingError
from training.gates.gates import (
    HIGHEST_STABILITY_INDEX,
    Gate,
    calibration_gate,
    clocks_gate,
    discrimination_gate,
    protected_gate,
    single_feature_gate,
    speed_gate,
    stability_gate,
)
from training.gates.leaks import rows_known_too_early, single_feature_auc
from training.invoice_eligibility import INVOICE_ELIGIBILITY_TASK
from training.labels import ledger_end_ms, order_labels
from training.order_risk_labels import order_risk_labels
from training.promotion.comparison import changed_decisions, compare
from training.promotion.promotion import Promotion, promote
from training.promotion.single_row_speed import single_row_time_ratio
from training.registry.champion_history import ChampionChange, ChangeKind
from training.registry.registry import ChampionHasChangedError, ModelRegistry
from training.splits import OutOfTimeSplit, out_of_time_split
from training.train import train
from training.training_task import TrainingRequest

MODEL = "invoice-eligibility"
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def clock() -> datetime:
    return NOON


def load_scorer(files: ModelFiles, version: str) -> Callable[[Any], object]:
    return load_model(files, name="any", version=version).score


def fitted(book: Path, split: OutOfTimeSplit) -> CalibratedModel:
    """A calibrated scorecard: quick to fit, and a sound model."""
    values = build_features(book, split.training.decisions, INVOICE_ELIGIBILITY).values
    label, late = split.training.label, split.calibration
    card = fit_scorecard(values[~late], label[~late], INVOICE_ELIGIBILITY)
    return CalibratedModel(
        estimator=card, calibration=fit_calibration(card.raw_log_odds(values[late]), label[late])
    )


@dataclass(frozen=True)
class Workshop:
    """A registry in the default place below a home, with a sound champion, version 1."""

    home: Path
    book: Path
    registry: ModelRegistry
    sound: CalibratedModel
    trained_until_ms: int

    def add(
        self,
        model: CalibratedModel,
        *,
        feature_set: FeatureSet = INVOICE_ELIGIBILITY,
        trained_until_ms: int | None = None,
        **facts: Any,
    ) -> str:
        folder = self.home / "run"
        shutil.rmtree(folder, ignore_errors=True)
        write_model(
            folder / "model",
            model,
            feature_set,
            typical=np.zeros(len(feature_set.features)),
            facts={"trained_until": iso_instant(trained_until_ms or self.trained_until_ms), **facts},
        )
        return self.registry.register(
            feature_set.name,
            folder,
            parameters={},
            metrics={},
            tags={"feature_set_version": feature_set.version},
            now_ms=round(NOON.timestamp() * 1000),
            may_become_champion=True,
        ).version

    def promote(self, version: str, **changes: Any) -> Promotion:
        arguments = {
            "registry": self.registry,
            "load_scorer": load_scorer,
            "by": "Ann",
            "clock": clock,
            **changes,
        }
        return promote(MODEL, version, arguments.pop("book", self.book), **arguments)

    def reset(self) -> None:
        """Version 1 is champion again."""
        champion = self.registry.champion_version(MODEL)
        if champion != "1":
            back = ChampionChange(
                version="1", kind=ChangeKind.PROMOTED, by="a test", reason="starts anew", at=NOON
            )
            self.registry.put_champion(MODEL, back, instead_of=champion)


@pytest.fixture(scope="module")
def split(small_book: Path) -> OutOfTimeSplit:
    return out_of_time_split(small_book)


@pytest.fixture(scope="module")
def filled_workshop(
    small_book: Path, split: OutOfTimeSplit, tmp_path_factory: pytest.TempPathFactory
) -> Workshop:
    home = tmp_path_factory.mktemp("workshop")
    registry = ModelRegistry(f"sqlite:///{home / 'mlflow.db'}", home / "mlartifacts")
    workshop = Workshop(home, small_book, registry, fitted(small_book, split), split.test_starts_ms)
    assert workshop.add(workshop.sound) == "1"
    return workshop


@pytest.fixture
def workshop(filled_workshop: Workshop) -> Workshop:
    filled_workshop.reset()
    return filled_workshop


def card_of(model: CalibratedModel) -> Scorecard:
    assert isinstance(model.estimator, Scorecard)
    return model.estimator


def dulled(model: CalibratedModel) -> CalibratedModel:
    """The model after it forgot all that it knew of payments."""
    card = card_of(model)
    features = tuple(
        replace(feature, step_weights=(0.0,) * len(feature.step_weights))
        if "pay" in feature.name or "due" in feature.name
        else feature
        for feature in card.features
    )
    return replace(model, estimator=replace(card, features=features))


def turned_round(model: CalibratedModel) -> CalibratedModel:
    """The model with one directed feature's steps the wrong way round."""
    card = card_of(model)
    directed = {
        feature.name for feature in INVOICE_ELIGIBILITY.features if feature.direction is not Direction.NONE
    }
    strongest = max(
        (feature for feature in card.features if feature.name in directed),
        key=lambda feature: abs(sum(feature.step_weights)),
    )
    wrong = replace(strongest, step_weights=tuple(-weight for weight in strongest.step_weights))
    features = tuple(wrong if feature is strongest else feature for feature in card.features)
    return replace(model, estimator=replace(card, features=features))


def gloomy(model: CalibratedModel) -> CalibratedModel:
    """The model, saying twice the odds and more of everybody."""
    calibration = model.calibration
    raised = replace(calibration, log_odds=tuple(odds + 1.0 for odds in calibration.log_odds))
    return replace(model, calibration=raised)


def failed_gates(attempt: Promotion) -> set[str]:
    return {gate.name for gate in attempt.gates if not gate.passed}


def finding(attempt: Promotion, name: str) -> str:
    return next(gate.finding for gate in attempt.gates if gate.name == name)


def test_both_models_answer_for_the_same_decisions_after_either_was_trained(workshop: Workshop) -> None:
    later_ms = workshop.trained_until_ms + 20 * DAY_MS
    version = workshop.add(dulled(workshop.sound), trained_until_ms=later_ms)
    comparison = compare(MODEL, workshop.book, registry=workshop.registry)
    assert comparison.challenger.version == version, "the newest by default"
    assert comparison.champion is not None
    assert comparison.champion.version == "1"
    assert comparison.first_decision >= iso_instant(later_ms)[:10]
    assert comparison.champion.evaluation.decisions == comparison.challenger.evaluation.decisions
    assert comparison.champion.evaluation.bads == comparison.challenger.evaluation.bads
    assert comparison.auc_difference is not None
    assert comparison.auc_difference.value == pytest.approx(
        comparison.challenger.evaluation.auc.value - comparison.champion.evaluation.auc.value
    )
    assert comparison.auc_difference.low < 0
    text = comparison.to_text()
    for part in ("champion", "challenger", "auc", "average precision", "stability index", "refuses"):
        assert part in text
    assert json.loads(json.dumps(comparison.to_json()))["challenger"]["version"] == version


def test_a_copy_of_the_champion_differs_in_nothing(workshop: Workshop) -> None:
    version = workshop.add(workshop.sound)
    comparison = compare(MODEL, workshop.book, registry=workshop.registry, version=version)
    assert comparison.auc_difference == Interval(value=0.0, low=0.0, high=0.0)
    assert comparison.score_stability_index == 0.0
    assert comparison.changed is not None
    assert comparison.changed.refused_only_by_champion == comparison.changed.refused_only_by_challenger == 0
    assert comparison.changed.refused_by_both == round(comparison.challenger.evaluation.decisions / 20)


def test_too_little_later_data_is_refused_with_the_numbers(workshop: Workshop) -> None:
    end_ms = ledger_end_ms(workshop.book)
    version = workshop.add(workshop.sound, trained_until_ms=end_ms)
    with pytest.raises(TrainingError, match="has 0 bad among 0 labelled decisions"):
        compare(MODEL, workshop.book, registry=workshop.registry, version=version)


def test_a_version_that_is_not_there_is_refused_with_those_that_are(workshop: Workshop) -> None:
    with pytest.raises(TrainingError, match=r"no version 999; registered: 1"):
        compare(MODEL, workshop.book, registry=workshop.registry, version="999")
    with pytest.raises(TrainingError, match="order-risk has no version: run bonitas train order-risk"):
        compare("order-risk", workshop.book, registry=workshop.registry)


def test_a_sound_challenger_passes_every_gate_and_becomes_champion(workshop: Workshop) -> None:
    version = workshop.add(workshop.sound)
    attempt = workshop.promote(version)
    assert failed_gates(attempt) == set()
    assert [gate.name for gate in attempt.gates] == [
        "discrimination",
        "calibration",
        "stability",
        "directions",
        "protected_features",
        "leak_future_rows",
        "leak_clocks",
        "leak_single_feature",
        "speed",
    ]
    assert "200 decisions" in finding(attempt, "leak_future_rows")
    assert workshop.registry.champion_version(MODEL) == version
    change = workshop.registry.champion_changes(MODEL, now=NOON)[-1]
    assert change == attempt.change
    assert (change.by, change.reason, change.failed_gates) == ("Ann", "passed every gate", ())
    with pytest.raises(TrainingError, match="is champion already"):
        workshop.promote(version)


@pytest.mark.parametrize(
    ("spoiled", "gate"),
    [(dulled, "discrimination"), (turned_round, "directions"), (gloomy, "calibration")],
)
def test_a_spoiled_challenger_is_caught_by_the_gate_of_that_name(
    workshop: Workshop, spoiled: Callable[[CalibratedModel], CalibratedModel], gate: str
) -> None:
    before = workshop.registry.champion_changes(MODEL, now=NOON)
    attempt = workshop.promote(workshop.add(spoiled(workshop.sound)))
    assert gate in failed_gates(attempt)
    assert attempt.change is None
    assert f"gate {gate}: FAILED" in attempt.to_text()
    assert workshop.registry.champion_version(MODEL) == "1"
    assert workshop.registry.champion_changes(MODEL, now=NOON) == before


def test_an_override_needs_a_name_and_a_reason_and_keeps_both_with_the_failed_gates(
    workshop: Workshop,
) -> None:
    version = workshop.add(gloomy(workshop.sound))
    for by, reason in (("", "why"), ("Ann", None), ("Ann", " ")):
        with pytest.raises(TrainingError, match=r"--by NAME|--reason TEXT"):
            workshop.promote(version, by=by, reason=reason, override=True)
    assert workshop.registry.champion_version(MODEL) == "1"
    attempt = workshop.promote(version, by="Ann", reason="a bad winter is near", override=True)
    assert workshop.registry.champion_version(MODEL) == version
    change = workshop.registry.champion_changes(MODEL, now=NOON)[-1]
    assert (change.by, change.reason, change.at) == ("Ann", "a bad winter is near", NOON)
    assert [gate.partition(":")[0] for gate in change.failed_gates] == sorted(failed_gates(attempt))
    assert "calibration" in failed_gates(attempt)


def test_a_sound_version_replaces_a_champion_whose_files_were_changed_without_comparing_them(
    workshop: Workshop,
) -> None:
    version = workshop.add(workshop.sound)
    uri = f"sqlite:///{workshop.home / 'mlflow.db'}"
    source = MlflowClient(tracking_uri=uri, registry_uri=uri).get_model_version(MODEL, "1").source
    folder = local_folder(source, workshop.home / "mlartifacts")
    assert folder is not None
    file = folder / "model.json"
    content = file.read_bytes()
    file.write_bytes(content.replace(b"600.0", b"900.0"))
    try:
        attempt = workshop.promote(version)
    finally:
        file.write_bytes(content)
    assert attempt.change is not None
    assert attempt.comparison.champion is None
    assert "no champion to compare with: invoice-eligibility 1 is not what was registered" in (
        attempt.comparison.to_text()
    )


def test_a_promotion_judged_against_a_champion_that_was_replaced_meanwhile_is_refused(
    workshop: Workshop,
) -> None:
    mine, other = workshop.add(workshop.sound), workshop.add(workshop.sound)

    def while_another_promotes(files: ModelFiles, version: str) -> Callable[[Any], object]:
        if workshop.registry.champion_version(MODEL) == "1":
            assert workshop.promote(other, by="Bob").change is not None
        return load_scorer(files, version)

    with pytest.raises(ChampionHasChangedError, match=f"is version {other} by now, not 1"):
        workshop.promote(mine, load_scorer=while_another_promotes)
    assert workshop.registry.champion_version(MODEL) == other
    assert workshop.registry.champion_changes(MODEL, now=NOON)[-1].by == "Bob"


@pytest.fixture(scope="module")
def book_with_the_label_in_it(small_book: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The label itself with noise: inquiries just before orders, 90 % of the bad and 5 % of the good."""
    book = tmp_path_factory.mktemp("leaking") / "book"
    shutil.copytree(small_book, book)
    labels = order_labels(book, ledger_end_ms(book))
    random = np.random.default_rng(5)
    told = np.flatnonzero(random.random(len(labels)) < np.where(labels.label == 1, 0.9, 0.05))
    inquiries = read_table(book, CREDIT_INQUIRIES)
    planted = inquiries.take(pa.array(np.zeros(len(told) * 25, dtype=np.int64)))
    moments = np.repeat(labels.decisions.as_of_ms[told] - 60_000, 25)
    columns: dict[str, Any] = {
        "event_id": [f"planted-{number}" for number in range(len(moments))],
        "customer_id": np.repeat(labels.decisions.customer_id[told], 25).tolist(),
        "occurred_at": moments,
        "recorded_at": moments,
    }
    if "inquiry_id" in planted.column_names:
        columns["inquiry_id"] = columns["event_id"]
    for name, values in columns.items():
        place = planted.column_names.index(name)
        kind = planted.schema.field(name)
        planted = planted.set_column(place, kind, pa.array(values).cast(kind.type))
    write_table(book, CREDIT_INQUIRIES, pa.concat_tables([inquiries, planted]))
    return book


def test_the_label_with_noise_planted_in_the_data_is_caught(
    workshop: Workshop, book_with_the_label_in_it: Path
) -> None:
    book = book_with_the_label_in_it
    leaked = fitted(book, out_of_time_split(book))
    attempt = workshop.promote(workshop.add(leaked), book=book)
    assert "leak_single_feature" in failed_gates(attempt)
    assert "credit_inquiry_count_30d" in finding(attempt, "leak_single_feature")
    assert attempt.change is None


@pytest.mark.slow
def test_a_leak_keeps_the_first_version_from_becoming_champion(
    tmp_path: Path, book_with_the_label_in_it: Path
) -> None:
    request = TrainingRequest(
        directory=book_with_the_label_in_it,
        tracking_uri=f"sqlite:///{with_empty_registry(tmp_path) / 'mlflow.db'}",
        artifact_root=tmp_path / "artifacts",
    )
    result = train(INVOICE_ELIGIBILITY_TASK, request)
    assert {gate.name for gate in result.gates if not gate.passed} == {"leak_single_feature"}
    assert not result.became_champion


def test_a_feature_that_reads_payments_recorded_after_the_decision_is_caught(workshop: Workshop) -> None:
    leaking = INVOICE_ELIGIBILITY.names.index("on_time_payment_count_730d")

    def with_later_payments(book: Path, decisions: Decisions, feature_set: FeatureSet) -> Float64Array:
        values = build_features(book, decisions, feature_set).values
        payments = read_table(book, INVOICE_PAYMENTS, ["customer_id"])
        customers, counts = np.unique(
            payments["customer_id"].to_numpy(zero_copy_only=False).astype(str), return_counts=True
        )
        all_payments = dict(zip(customers.tolist(), counts.tolist(), strict=True))
        values[:, leaking] = [all_payments.get(customer, 0) for customer in decisions.customer_id]
        return values

    attempt = workshop.promote(workshop.add(workshop.sound), build=with_later_payments)
    assert "leak_future_rows" in failed_gates(attempt)
    assert finding(attempt, "leak_future_rows") == (
        "on_time_payment_count_730d: read rows recorded at or after the decision"
    )


def test_a_payment_that_was_recorded_before_it_was_made_is_caught(small_book: Path, tmp_path: Path) -> None:
    payments = read_table(small_book, INVOICE_PAYMENTS)
    assert set(rows_known_too_early(small_book).values()) == {0}
    place = payments.column_names.index("recorded_at")
    field = payments.schema.field("recorded_at")
    occurred_at = payments["occurred_at"].cast(pa.int64()).to_numpy()

    def known_too_early(ahead_ms: int) -> dict[str, int]:
        early = pa.array(occurred_at - ahead_ms)
        write_table(tmp_path, INVOICE_PAYMENTS, payments.set_column(place, field, early.cast(field.type)))
        return rows_known_too_early(tmp_path)

    # A sender's clock may be ahead by so much; such a payment counts from when it was recorded.
    assert known_too_early(MAXIMUM_CLOCK_TOLERANCE_MS) == {"invoice_payments": 0}
    counts = known_too_early(MAXIMUM_CLOCK_TOLERANCE_MS + 1)
    assert counts == {"invoice_payments": payments.num_rows}
    gate = clocks_gate(counts)
    assert (gate.name, gate.passed) == ("leak_clocks", False)
    assert f"{payments.num_rows} invoice_payments" in gate.finding


@pytest.mark.parametrize(
    ("auc", "others", "model", "passed"),
    [
        (0.76, 0.70, 0.85, True),
        (0.96, 0.95, 0.99, False),
        (0.88, 0.75, 0.90, False),
        (0.88, 0.86, 0.90, True),
        (0.85, 0.70, 0.99, True),
    ],
)
def test_a_feature_is_suspect_when_it_carries_the_model_alone(
    auc: float, others: float, model: float, passed: bool
) -> None:
    feature_auc = np.full(len(INVOICE_ELIGIBILITY.features), others)
    feature_auc[0] = auc
    assert single_feature_gate(INVOICE_ELIGIBILITY, feature_auc, model).passed is passed


def test_a_leak_by_missingness_or_in_the_other_direction_counts_too() -> None:
    label = np.array([0, 0, 0, 1, 1], dtype=np.int8)
    values = np.array(
        [[1.0, 5.0, 2.0], [2.0, 4.0, 2.0], [3.0, 3.0, 2.0], [np.nan, 2.0, 2.0], [np.nan, 1.0, 2.0]]
    )
    assert single_feature_auc(label, values).tolist() == [1.0, 1.0, 0.5]


def test_a_feature_that_is_protected_or_of_another_purpose_is_caught() -> None:
    names = INVOICE_ELIGIBILITY.names
    assert protected_gate(INVOICE_ELIGIBILITY, names).passed
    for wrong in ("age_years", ORDER_RISK.names[0]):
        gate = protected_gate(INVOICE_ELIGIBILITY, (*names, wrong))
        assert not gate.passed
        assert wrong in gate.finding


def test_a_champion_is_not_compared_with_itself(workshop: Workshop) -> None:
    with pytest.raises(TrainingError, match="is the champion: name another"):
        compare(MODEL, workshop.book, registry=workshop.registry, version="1")


def test_the_limit_of_a_gate_is_the_last_value_that_passes(workshop: Workshop) -> None:
    twin = workshop.add(workshop.sound)
    compared = compare(MODEL, workshop.book, registry=workshop.registry, version=twin)
    evaluation = compared.challenger.evaluation

    def not_worse(low: float) -> Gate:
        return discrimination_gate("AUC", Interval(value=0.0, low=low, high=0.01), evaluation)

    assert not_worse(-0.005).passed
    assert not not_worse(-0.0051).passed
    assert discrimination_gate("AUC", None, evaluation).passed
    twice = replace(evaluation, mean_probability=evaluation.bad_rate * 2)
    assert calibration_gate(twice, 2.0).passed
    assert not calibration_gate(twice, 1.9).passed
    assert (speed_gate(1.5).passed, speed_gate(1.51).passed, speed_gate(None).passed) == (True, False, True)


def test_few_decisions_are_not_called_unstable_for_what_chance_does() -> None:
    random = np.random.default_rng(1)
    limit = chance_stability_index(bins=10, earlier=60, later=60)
    assert limit > HIGHEST_STABILITY_INDEX
    drawn = [population_stability_index(random.random(60), random.random(60)) for _ in range(400)]
    assert np.mean(np.array(drawn) > HIGHEST_STABILITY_INDEX) > 0.2
    assert np.mean(np.array(drawn) > limit) < 0.05
    assert stability_gate(0.5, bins=10, earlier=60, later=60).passed
    assert not stability_gate(0.5, bins=10, earlier=5000, later=5000).passed


def test_the_stability_index_sees_scores_that_moved_and_survives_empty_bins() -> None:
    scores = np.random.default_rng(2).normal(size=4000)
    assert population_stability_index(scores, scores) == 0.0
    assert population_stability_index(scores, scores + 0.05) < 0.1
    assert population_stability_index(scores, scores + 1.0) > 0.25
    assert np.isfinite(population_stability_index(scores, scores + 100))
    assert population_stability_index(np.ones(10), np.ones(30)) == 0.0
    with pytest.raises(ValueError, match="both sides"):
        population_stability_index(scores, scores[:0])


def test_changed_decisions_are_counted_where_both_refuse_the_same_share() -> None:
    label = np.zeros(40, dtype=np.int8)
    label[[0, 2]] = 1
    champion, challenger = np.zeros(40), np.zeros(40)
    champion[[0, 1]] = 0.9
    challenger[[0, 2]] = 0.9
    changed = changed_decisions(label, champion, challenger)
    assert changed.refused_by_both == 1
    assert (changed.refused_only_by_champion, changed.refused_only_by_champion_bads) == (1, 0)
    assert (changed.refused_only_by_challenger, changed.refused_only_by_challenger_bads) == (1, 1)


def test_a_slower_challenger_is_told_from_one_as_fast_in_one_run() -> None:
    def work(times: int) -> Callable[[Any], object]:
        return lambda row: [sum(row) for _ in range(times)]

    rows = np.ones((50, 60))
    assert single_row_time_ratio(work(10), work(10), rows) == pytest.approx(1.0, abs=0.3)
    assert single_row_time_ratio(work(10), work(30), rows) > 2.0


def test_the_fraud_model_goes_through_the_same_gates(workshop: Workshop) -> None:
    labelled = order_risk_labels(workshop.book, ledger_end_ms(workshop.book))
    labelled = labelled.where(labelled.is_known)
    starts_ms = int(np.quantile(labelled.decisions.as_of_ms, 0.3))
    early = labelled.where(labelled.decisions.as_of_ms < starts_ms)
    values = build_features(workshop.book, early.decisions, ORDER_RISK).values
    card = fit_scorecard(values, early.label, ORDER_RISK)
    model = CalibratedModel(
        estimator=card, calibration=fit_calibration(card.raw_log_odds(values), early.label)
    )
    for _ in range(2):
        version = workshop.add(model, feature_set=ORDER_RISK, trained_until_ms=starts_ms)
    attempt = promote(
        "order-risk",
        version,
        workshop.book,
        registry=workshop.registry,
        load_scorer=load_scorer,
        by="Ann",
        clock=clock,
        reason="a trial",
        override=True,
    )
    leaks_and_more = {"leak_future_rows", "leak_clocks", "leak_single_feature", "protected_features"}
    assert failed_gates(attempt).isdisjoint({*leaks_and_more, "discrimination", "directions", "speed"})
    assert finding(attempt, "discrimination").startswith("average precision")
    assert "6 decisions" in finding(attempt, "leak_future_rows")
    assert workshop.registry.champion_version("order-risk") == version


def test_the_analysts_commands_compare_promote_show_and_roll_back(workshop: Workshop) -> None:
    def run(*arguments: str) -> Any:
        return CliRunner().invoke(bonitas.main, arguments, env={"BONITAS_HOME": str(workshop.home)})

    book = str(workshop.book)
    good, bad = workshop.add(workshop.sound), workshop.add(gloomy(workshop.sound))
    compared = run("compare", MODEL, book, "--version", good, "--json")
    assert compared.exit_code == 0, compared.output
    assert json.loads(compared.stdout)["auc_difference"]["value"] == 0.0
    refused = run("promote", MODEL, bad, book, "--by", "Ann")
    assert refused.exit_code == 1
    assert "gate calibration: FAILED" in refused.stdout
    no_reason = run("promote", MODEL, bad, book, "--by", "Ann", "--override")
    assert no_reason.exit_code == 1
    assert "--reason TEXT" in no_reason.stderr
    promoted = run("promote", MODEL, good, book, "--by", "Ann", "--json")
    assert promoted.exit_code == 0, promoted.output
    assert json.loads(promoted.stdout)["promoted"] is True
    back = run("rollback", MODEL, "--by", "Bob", "--reason", "complaints [urgent]")
    assert back.exit_code == 0, back.output
    changes = json.loads(run("history", MODEL, "--json").stdout)["changes"]
    assert [(change["version"], change["by"]) for change in changes[-2:]] == [(good, "Ann"), ("1", "Bob")]
    shown = run("history", MODEL)
    assert "[urgent]" in shown.stdout
    assert run("history", "order-risk", "--json").exit_code == 0
