"""The risk analyst's loop: compare a challenger with the champion, promote it through gates, roll it back.

Both models answer for the same later decisions: labelled ones after everything that either was trained
on. The gates themselves are pure functions in `gates/gates.py`; here is where their evidence comes from.
"""

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from data_contracts.instants import instant_ms, iso_instant
from data_contracts.ledger_folder import LABELS_FILE
from data_contracts.progress import Progress, no_progress
from features.decisions import Decisions
from features.declarations import Purpose
from features.feature_sets import FEATURE_SETS, LINKED_CUSTOMERS_MAXIMUM, FeatureSet
from features.instants import Float64Array
from features.model_columns import columns_from
from features.model_files import ModelFiles
from features.offline import build_features
from features.settlement_terms import terms_of_model
from training import order_risk
from training.candidates.model_artifact import CalibratedModel, read_model
from training.errors import TrainingError
from training.evaluation import (
    CUT_OFF_SHARE,
    Evaluation,
    Interval,
    auc_difference,
    average_precision_difference,
    evaluate,
)
from training.gates.direction_probes import direction_probes
from training.gates.gates import (
    MEAN_PROBABILITY_FACTOR,
    Gate,
    calibration_gate,
    directions_gate,
    discrimination_gate,
    feature_directions_gate,
    speed_gate,
    stability_gate,
)
from training.gates.leaks import FeatureBuilder, LabelledFeatures, gates_without_rival
from training.labels import file_labels, ledger_end_ms, order_labels
from training.order_risk_labels import order_risk_labels
from training.registry.alias_history import version_now
from training.registry.champion_history import ChampionChange, ChangeKind, version_before
from training.registry.registry import ModelRegistry, VersionChangedError, data_fingerprint
from training.splits import MINIMUM_BADS
from training.stability import STABILITY_BINS, population_stability_index

SHOWN_FIGURES = (
    "auc",
    "average_precision",
    "ks",
    "brier",
    "calibration_error",
    "recall_at_1pct_fpr",
    "recall_at_5pct_fpr",
)
TIMED_ROWS = 200
TIMED_ROUNDS = 15


class ScoredRow(Protocol):
    """What the service's model says about one row."""

    @property
    def probability_of_default(self) -> float:
        """The calibrated probability of not being paid."""
        ...


SingleRowScorer = Callable[[Sequence[float]], ScoredRow]
ScorerLoader = Callable[[ModelFiles, str], SingleRowScorer]
"""Loads the files of a version as the service does, and gives what the service calls for one row."""


@dataclass(frozen=True, kw_only=True)
class JudgedModel:
    """One model's figures on the later data.

    trained_until: ISO instant; nothing recorded from then on was trained on.
    stability_index: of the scores, between the two halves of the data by time.
    """

    version: str
    kind: str
    trained_until: str
    evaluation: Evaluation
    stability_index: float


@dataclass(frozen=True, kw_only=True)
class ChangedDecisions:
    """What a swap changes at the policy-free cut-off, where each model refuses the same share.

    refused_only_by_champion, refused_only_by_challenger: decisions; `_bads`: how many of them went bad.
    """

    refused_share: float
    refused_by_both: int
    refused_only_by_champion: int
    refused_only_by_champion_bads: int
    refused_only_by_challenger: int
    refused_only_by_challenger_bads: int


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Champion and challenger on the same later decisions.

    champion and the four figures that need one are None where no champion decides about anybody;
    no_champion then says why.
    auc_difference, average_precision_difference: challenger minus champion, paired by customer.
    score_stability_index: of the challenger's scores against the champion's.
    """

    model_name: str
    data_fingerprint: str
    first_decision: str
    last_decision: str
    champion: JudgedModel | None
    challenger: JudgedModel
    auc_difference: Interval | None
    average_precision_difference: Interval | None
    score_stability_index: float | None
    changed: ChangedDecisions | None
    no_champion: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The comparison as JSON values."""
        return asdict(self)

    def to_text(self) -> str:
        """The comparison as a table for a person."""
        judged = [model for model in (self.champion, self.challenger) if model is not None]
        roles = ["challenger"] if self.champion is None else ["champion", "challenger"]
        size = self.challenger.evaluation
        title = (
            f"{self.model_name}: {size.decisions:,} labelled decisions from {self.first_decision} to "
            f"{self.last_decision}, {size.bads:,} bad ({size.bad_rate:.2%})"
        )
        lines = [
            title,
            _row("", roles),
            _row("version", [f"{model.version} ({model.kind})" for model in judged]),
            _row("trained until", [model.trained_until[:10] for model in judged]),
            *(
                _row(figure.replace("_", " "), [str(getattr(model.evaluation, figure)) for model in judged])
                for figure in SHOWN_FIGURES
            ),
            _row(
                "mean probability / bad rate",
                [f"{model.evaluation.mean_probability / model.evaluation.bad_rate:.2f}" for model in judged],
            ),
            _row("stability index", [f"{model.stability_index:.3f}" for model in judged]),
        ]
        if self.changed is None:
            return "\n".join([*lines, f"no champion to compare with: {self.no_champion}"])
        both = (
            f"where each refuses the riskiest {self.changed.refused_share:.0%}: "
            f"{self.changed.refused_by_both:,} by both,"
        )
        either = (
            f"  {self.changed.refused_only_by_champion:,} only by the champion "
            f"({self.changed.refused_only_by_champion_bads:,} bad), "
            f"{self.changed.refused_only_by_challenger:,} only by the challenger "
            f"({self.changed.refused_only_by_challenger_bads:,} bad)"
        )
        lines += [
            "challenger minus champion, paired, 95 % interval:",
            f"  AUC               {self.auc_difference}",
            f"  average precision {self.average_precision_difference}",
            f"stability index of the challenger's scores to the champion's: {self.score_stability_index:.3f}",
            both,
            either,
        ]
        return "\n".join(lines)


def _row(name: str, cells: Sequence[str]) -> str:
    return "  ".join([f"{name:<28}", *(f"{cell:<26}" for cell in cells)]).rstrip()


@dataclass(frozen=True, kw_only=True)
class Promotion:
    """What came of an attempt to promote. change: None where a gate failed and nothing was changed."""

    model_name: str
    version: str
    replaced_version: str | None
    gates: tuple[Gate, ...]
    change: ChampionChange | None
    comparison: Comparison

    def to_json(self) -> dict[str, Any]:
        """The attempt as JSON values."""
        return {
            "model_name": self.model_name,
            "version": self.version,
            "replaced_version": self.replaced_version,
            "promoted": self.change is not None,
            "gates": [asdict(gate) for gate in self.gates],
            "change": None if self.change is None else self.change.to_json(),
            "comparison": self.comparison.to_json(),
        }

    def to_text(self) -> str:
        """The attempt in a few lines for a person."""
        lines = [
            f"gate {gate.name}: {'passed' if gate.passed else 'FAILED'} ({gate.finding})"
            for gate in self.gates
        ]
        if self.change is None:
            lines.append(f"not promoted: version {self.replaced_version} of {self.model_name} stays champion")
        else:
            lines.append(f"version {self.version} of {self.model_name} is champion now, by {self.change.by}")
        return "\n".join(lines)


@dataclass(frozen=True, kw_only=True)
class _Registered:
    version: str
    feature_set: FeatureSet
    files: ModelFiles
    model: CalibratedModel
    features: tuple[str, ...]
    trained_until_ms: int


@dataclass(frozen=True, kw_only=True)
class _Pair:
    """Champion and challenger. no_champion: why there is none to compare with."""

    champion: _Registered | None
    challenger: _Registered
    no_champion: TrainingError | None = None

    @property
    def models(self) -> tuple[_Registered, ...]:
        """One or both of them."""
        return (self.challenger,) if self.champion is None else (self.champion, self.challenger)


@dataclass(frozen=True, kw_only=True)
class _Evidence:
    """Later decisions with their labels and features, and what both models say of them."""

    decisions: Decisions
    label: NDArray[np.int8]
    values: Float64Array
    champion: Float64Array | None
    challenger: Float64Array


def compare(
    model_name: str,
    directory: Path,
    *,
    registry: ModelRegistry,
    version: str | None = None,
    seed: int = 0,
    progress: Progress = no_progress,
) -> Comparison:
    """Show champion and challenger on the labelled decisions after both models' training.

    version: the challenger, by default the newest version that is not champion. Raises TrainingError
    where there is nothing to compare, or too few labelled decisions are late enough, and VersionChangedError
    where the files of one of them are not those that were registered.
    """
    champion = registry.champion_version(model_name)
    if version is None:
        rivals = [name for name in registry.versions(model_name) if name != champion]
        if not rivals:
            there_is = "no version" if champion is None else f"only version {champion}, its champion"
            raise TrainingError(f"{model_name} has {there_is}: run bonitas train {model_name} DIR")
        version = rivals[-1]
    if version == champion:
        raise TrainingError(f"version {version} of {model_name} is the champion: name another to compare")
    pair = _pair(registry, model_name, version, champion)
    if isinstance(pair.no_champion, VersionChangedError):
        raise pair.no_champion
    evidence = _evidence(directory, pair, build=_build(progress))
    return _comparison(model_name, directory, pair, evidence, seed=seed)


def promote(
    model_name: str,
    version: str,
    directory: Path,
    *,
    registry: ModelRegistry,
    load_scorer: ScorerLoader,
    by: str,
    clock: Callable[[], datetime],
    reason: str | None = None,
    override: bool = False,
    seed: int = 0,
    build: FeatureBuilder | None = None,
    progress: Progress = no_progress,
) -> Promotion:
    """Make a version the champion if it passes every gate, or if a named person overrides with a reason.

    clock: read once, when the change is made. build: how features are computed; for tests that plant a
        leak there.
    Raises TrainingError without a name, for an override without a reason, for a version that is champion
    already or that this code cannot serve, and where the later data do not suffice; VersionChangedError for a
    version whose files are not those that were registered (a champion of that kind gives way);
    ChampionHasChangedError if another champion was put in place meanwhile.
    """
    if not by.strip():
        raise TrainingError("who promotes? --by NAME is kept in the history")
    if override and not (reason or "").strip():
        raise TrainingError("an override needs a reason, which is kept in the history: --reason TEXT")
    champion = registry.champion_version(model_name)
    if champion == version:
        raise TrainingError(f"version {version} of {model_name} is champion already")
    build = build or _build(progress)
    pair = _pair(registry, model_name, version, champion)
    evidence = _evidence(directory, pair, build=build)
    comparison = _comparison(model_name, directory, pair, evidence, seed=seed)
    judged = _judge(directory, pair, evidence, comparison, load_scorer, build=build, seed=seed)
    failed = tuple(f"{gate.name}: {gate.finding}" for gate in judged if not gate.passed)
    change = None
    if override or not failed:
        change = ChampionChange(
            version=version,
            kind=ChangeKind.PROMOTED,
            by=by,
            reason=reason or "passed every gate",
            at=clock(),
            failed_gates=failed,
        )
        change = registry.put_champion(model_name, change, instead_of=champion)
    return Promotion(
        model_name=model_name,
        version=version,
        replaced_version=champion,
        gates=judged,
        change=change,
        comparison=comparison,
    )


def roll_back(
    model_name: str, *, registry: ModelRegistry, by: str, reason: str, now: datetime
) -> ChampionChange:
    """Put the champion before the present one back in its place; no gate stands in the way.

    Raises TrainingError without a name or a reason, where no earlier champion is in the history, or where
    the service could not use it; ChampionHasChangedError if another was faster.
    """
    if not by.strip() or not reason.strip():
        raise TrainingError("a rollback needs --by NAME and --reason TEXT, which are kept in the history")
    changes = registry.champion_changes(model_name, now=now)
    earlier = version_before(changes)
    if earlier is None:
        raise TrainingError(f"the history of {model_name} has no earlier champion to go back to")
    registry.refuse_unless_served(model_name, earlier)
    change = ChampionChange(version=earlier, kind=ChangeKind.ROLLED_BACK, by=by, reason=reason, at=now)
    return registry.put_champion(model_name, change, instead_of=version_now(changes))


def _pair(registry: ModelRegistry, model_name: str, version: str, champion: str | None) -> _Pair:
    """What is compared. A champion that the service cannot use has decided about nobody: it is left out."""
    registry.refuse_unless_served(model_name, version)
    challenger = _registered(registry, model_name, version)
    if champion is None:
        return _Pair(
            champion=None, challenger=challenger, no_champion=TrainingError(f"{model_name} has none")
        )
    not_served = registry.why_champion_is_not_served(model_name)
    if not_served is not None:
        return _Pair(champion=None, challenger=challenger, no_champion=not_served)
    in_force = _registered(registry, model_name, champion)
    if in_force.feature_set.terms != challenger.feature_set.terms:
        other = TrainingError(
            f"champion {champion} learned from other terms of settlement (an invoice is "
            f"{in_force.feature_set.terms.in_words()}) than version {version} "
            f"({challenger.feature_set.terms.in_words()}): they answer different questions"
        )
        return _Pair(champion=None, challenger=challenger, no_champion=other)
    return _Pair(champion=in_force, challenger=challenger)


def _registered(registry: ModelRegistry, model_name: str, version: str) -> _Registered:
    files = registry.verified_files(model_name, version)
    document = files.document()
    return _Registered(
        version=version,
        feature_set=FEATURE_SETS[model_name]
        .under(terms_of_model(document))
        .linking(document.get("linked_customers_maximum", LINKED_CUSTOMERS_MAXIMUM)),
        files=files,
        model=read_model(files),
        features=tuple(column.name for column in columns_from(document["features"])),
        trained_until_ms=_trained_until_ms(document, model_name, version),
    )


def _trained_until_ms(document: dict[str, Any], model_name: str, version: str) -> int:
    if "trained_until" in document:
        instant = datetime.fromisoformat(document["trained_until"])
    elif "test_starts" in document:
        # Versions from before `trained_until` was kept know the day only; the day after it is safe.
        day = date.fromisoformat(document["test_starts"]) + timedelta(days=1)
        instant = datetime(day.year, day.month, day.day, tzinfo=UTC)
    else:
        raise TrainingError(
            f"version {version} of {model_name} does not say until when it was trained: train a new one"
        )
    return instant_ms(instant)


def _build(progress: Progress) -> FeatureBuilder:
    return lambda directory, decisions, feature_set: (
        build_features(directory, decisions, feature_set, progress).values
    )


def _evidence(
    directory: Path,
    pair: _Pair,
    *,
    build: FeatureBuilder,
) -> _Evidence:
    starts_ms = max(model.trained_until_ms for model in pair.models)
    feature_set = pair.challenger.feature_set
    decisions, label = _labelled(feature_set, directory)
    later = decisions.as_of_ms >= starts_ms
    decisions, label = decisions.where(later), label[later]
    bads = int(label.sum())
    if not MINIMUM_BADS <= bads <= len(label) - MINIMUM_BADS:
        raise TrainingError(
            f"{directory} has {bads} bad among {len(label)} labelled decisions from {iso_instant(starts_ms)} "
            f"on, when both models had been trained; at least {MINIMUM_BADS} of each kind are needed: use a "
            "folder that goes on for longer"
        )
    values = build(directory, decisions, feature_set)
    return _Evidence(
        decisions=decisions,
        label=label,
        values=values,
        champion=None if pair.champion is None else pair.champion.model.probability(values),
        challenger=pair.challenger.model.probability(values),
    )


def _labelled(feature_set: FeatureSet, directory: Path) -> tuple[Decisions, NDArray[np.int8]]:
    """All labelled decisions of a folder, oldest first."""
    if feature_set.purpose is Purpose.FRAUD:
        orders = order_risk_labels(directory, ledger_end_ms(directory), feature_set.terms)
        decisions, label = orders.decisions.where(orders.is_known), orders.label[orders.is_known]
    else:
        labels = (
            file_labels(directory)
            if (directory / LABELS_FILE).exists()
            else order_labels(directory, ledger_end_ms(directory), feature_set.terms)
        )
        decisions, label = labels.decisions, labels.label
    order = np.argsort(decisions.as_of_ms, kind="stable")
    return (
        Decisions(
            decision_id=decisions.decision_id[order],
            customer_id=decisions.customer_id[order],
            as_of_ms=decisions.as_of_ms[order],
        ),
        label[order],
    )


def _comparison(
    model_name: str,
    directory: Path,
    pair: _Pair,
    evidence: _Evidence,
    *,
    seed: int,
) -> Comparison:
    customers = evidence.decisions.customer_id
    before = after = index = changed = None
    if evidence.champion is not None:
        both = (evidence.label, evidence.challenger, evidence.champion, customers)
        before = auc_difference(*both, seed=seed)
        after = average_precision_difference(*both, seed=seed)
        index = population_stability_index(evidence.champion, evidence.challenger)
        changed = changed_decisions(evidence.label, evidence.champion, evidence.challenger)
    return Comparison(
        model_name=model_name,
        data_fingerprint=data_fingerprint(directory),
        first_decision=iso_instant(int(evidence.decisions.as_of_ms[0]))[:10],
        last_decision=iso_instant(int(evidence.decisions.as_of_ms[-1]))[:10],
        champion=None
        if pair.champion is None or evidence.champion is None
        else _judged(pair.champion, evidence.champion, evidence, seed),
        challenger=_judged(pair.challenger, evidence.challenger, evidence, seed),
        auc_difference=before,
        average_precision_difference=after,
        score_stability_index=index,
        changed=changed,
        no_champion=None if pair.no_champion is None else str(pair.no_champion),
    )


def _judged(model: _Registered, probability: Float64Array, evidence: _Evidence, seed: int) -> JudgedModel:
    half = len(probability) // 2
    return JudgedModel(
        version=model.version,
        kind=model.model.kind,
        trained_until=iso_instant(model.trained_until_ms),
        evaluation=evaluate(evidence.label, probability, evidence.decisions.customer_id, seed=seed),
        stability_index=population_stability_index(probability[:half], probability[half:]),
    )


def changed_decisions(
    label: NDArray[np.int8], champion: Float64Array, challenger: Float64Array
) -> ChangedDecisions:
    """Count what a swap changes where each model refuses CUT_OFF_SHARE of the decisions, riskiest first.

    All arrays of shape (n,); label 1 is bad. Among equal probabilities the earlier decision is refused.
    """
    count = max(1, round(len(label) * CUT_OFF_SHARE))
    refused = []
    for probability in (champion, challenger):
        mask = np.zeros(len(label), dtype=bool)
        mask[np.argsort(-probability, kind="stable")[:count]] = True
        refused.append(mask)
    only_champion, only_challenger = refused[0] & ~refused[1], refused[1] & ~refused[0]
    return ChangedDecisions(
        refused_share=CUT_OFF_SHARE,
        refused_by_both=int((refused[0] & refused[1]).sum()),
        refused_only_by_champion=int(only_champion.sum()),
        refused_only_by_champion_bads=int(label[only_champion].sum()),
        refused_only_by_challenger=int(only_challenger.sum()),
        refused_only_by_challenger_bads=int(label[only_challenger].sum()),
    )


def _judge(
    directory: Path,
    pair: _Pair,
    evidence: _Evidence,
    comparison: Comparison,
    load_scorer: ScorerLoader,
    *,
    build: FeatureBuilder,
    seed: int,
) -> tuple[Gate, ...]:
    feature_set = pair.challenger.feature_set
    is_fraud = feature_set.purpose is Purpose.FRAUD
    evaluation = comparison.challenger.evaluation
    ratio = None
    challenger = pair.challenger
    served = load_scorer(challenger.files, challenger.version)
    if pair.champion is not None:
        ratio = single_row_time_ratio(
            load_scorer(pair.champion.files, pair.champion.version),
            served,
            evidence.values[np.random.default_rng(seed).integers(0, len(evidence.values), TIMED_ROWS)],
        )
    half = len(evidence.label) // 2
    return (
        discrimination_gate(
            "average precision" if is_fraud else "AUC",
            comparison.average_precision_difference if is_fraud else comparison.auc_difference,
            evaluation,
        ),
        calibration_gate(
            evaluation, order_risk.MEAN_PROBABILITY_FACTOR if is_fraud else MEAN_PROBABILITY_FACTOR
        ),
        stability_gate(
            comparison.challenger.stability_index,
            bins=STABILITY_BINS,
            earlier=half,
            later=len(evidence.label) - half,
        ),
        feature_directions_gate(challenger.model, feature_set, evidence.values, seed=seed)
        if is_fraud
        else directions_gate(
            direction_probes(
                directory,
                evidence.decisions,
                feature_set,
                lambda values: np.array([served(row).probability_of_default for row in values.tolist()]),
                seed=seed,
            )
        ),
        *gates_without_rival(
            feature_set,
            challenger.features,
            LabelledFeatures(
                directory=directory,
                decisions=evidence.decisions,
                label=evidence.label,
                values=evidence.values,
            ),
            model_auc=evaluation.auc.value,
            build=build,
            seed=seed,
        ),
        speed_gate(ratio),
    )


def single_row_time_ratio(
    champion: SingleRowScorer, challenger: SingleRowScorer, values: Float64Array
) -> float:
    """Median time of one prediction by the challenger over the champion's.

    values: rows to predict, shape (n, n_features). The two take turns row by row, and who goes first
    changes, so that a busy machine slows both alike.
    """
    rows = values.tolist()
    taken: tuple[list[int], list[int]] = ([], [])
    pair = (champion, challenger)
    for scorer in pair:
        for row in rows:
            scorer(row)
    collects = gc.isenabled()
    gc.disable()
    try:
        for turn in range(TIMED_ROUNDS):
            for row in rows:
                for which in (turn % 2, 1 - turn % 2):
                    began = time.perf_counter_ns()
                    pair[which](row)
                    taken[which].append(time.perf_counter_ns() - began)
    finally:
        if collects:
            gc.enable()
    return float(np.median(taken[1]) / np.median(taken[0]))
