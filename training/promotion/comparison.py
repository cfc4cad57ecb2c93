"""Champion and challenger on the same later decisions: labelled, and after all that either was trained on."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_contracts.instants import iso_instant
from data_contracts.ledger_folder import LABELS_FILE
from data_contracts.progress import Progress, no_progress
from evidence.intervals import Interval
from evidence.stability import population_stability_index
from features.decisions import Decisions
from features.feature_sets import FeatureSet
from features.instants import Float64Array
from features.offline import build_features
from training.data_fingerprint import data_fingerprint
from training.errors import TrainingError
from training.evaluation import (
    CUT_OFF_SHARE,
    Evaluation,
    auc_difference,
    average_precision_difference,
    evaluate,
)
from training.gates.leaks import FeatureBuilder
from training.labels import file_labels, ledger_end_ms
from training.promotion.registered_pair import Pair, RegisteredModel, registered_pair
from training.registry.registered_versions import VersionChangedError
from training.registry.registry import ModelRegistry
from training.splits import MINIMUM_BADS
from training.tasks import TASKS
from training.training_task import TrainingTask

SHOWN_FIGURES = (
    "auc",
    "average_precision",
    "ks",
    "brier",
    "calibration_error",
    "recall_at_1pct_fpr",
    "recall_at_5pct_fpr",
)


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
class LaterDecisions:
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
    pair = registered_pair(registry, model_name, version, champion)
    if isinstance(pair.no_champion, VersionChangedError):
        raise pair.no_champion
    evidence = later_decisions(directory, pair, build=feature_builder(progress))
    return comparison_of(model_name, directory, pair, evidence, seed=seed)


def feature_builder(progress: Progress) -> FeatureBuilder:
    """Features as a version is trained on them, with a bar for a person who waits."""
    return lambda directory, decisions, feature_set: (
        build_features(directory, decisions, feature_set, progress).values
    )


def later_decisions(
    directory: Path,
    pair: Pair,
    *,
    build: FeatureBuilder,
) -> LaterDecisions:
    """The labelled decisions of a folder from when both models had been trained, and what both say of them.

    Raises TrainingError where they are too few.
    """
    starts_ms = max(model.trained_until_ms for model in pair.models)
    feature_set = pair.challenger.feature_set
    decisions, label = _labelled(TASKS[feature_set.name], directory, feature_set)
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
    return LaterDecisions(
        decisions=decisions,
        label=label,
        values=values,
        champion=None if pair.champion is None else pair.champion.model.probability(values),
        challenger=pair.challenger.model.probability(values),
    )


def _labelled(
    task: TrainingTask, directory: Path, feature_set: FeatureSet
) -> tuple[Decisions, NDArray[np.int8]]:
    """All labelled decisions of a folder, oldest first."""
    labels = (
        file_labels(directory)
        if task.takes_given_labels and (directory / LABELS_FILE).exists()
        else task.labels(directory, ledger_end_ms(directory), feature_set.terms)
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


def comparison_of(
    model_name: str,
    directory: Path,
    pair: Pair,
    evidence: LaterDecisions,
    *,
    seed: int,
) -> Comparison:
    """The figures of both models on the later decisions, and of one against the other."""
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


def _judged(
    model: RegisteredModel, probability: Float64Array, evidence: LaterDecisions, seed: int
) -> JudgedModel:
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
