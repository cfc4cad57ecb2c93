"""The risk analyst's loop: promote a version through gates, or roll the champion back.

The gates themselves are pure functions in `gates/gates.py`; here is where their evidence comes from.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from data_contracts.progress import Progress, no_progress
from data_contracts.text_form import is_blank
from evidence.stability import STABILITY_BINS
from training.errors import TrainingError
from training.gates.gates import Gate, calibration_gate, discrimination_gate, speed_gate, stability_gate
from training.gates.leaks import FeatureBuilder, LabelledFeatures, gates_without_rival
from training.promotion.comparison import (
    Comparison,
    LaterDecisions,
    comparison_of,
    feature_builder,
    later_decisions,
)
from training.promotion.registered_pair import Pair, registered_pair
from training.promotion.single_row_speed import TIMED_ROWS, ScorerLoader, single_row_time_ratio
from training.registry.alias_history import version_now
from training.registry.champion_history import ChampionChange, ChangeKind, version_before
from training.registry.registry import ModelRegistry
from training.tasks import TASKS
from training.training_task import DirectionEvidence


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
    if is_blank(by):
        raise TrainingError("who promotes? --by NAME is kept in the history")
    if override and is_blank(reason or ""):
        raise TrainingError("an override needs a reason, which is kept in the history: --reason TEXT")
    champion = registry.champion_version(model_name)
    if champion == version:
        raise TrainingError(f"version {version} of {model_name} is champion already")
    build = build or feature_builder(progress)
    pair = registered_pair(registry, model_name, version, champion)
    evidence = later_decisions(directory, pair, build=build)
    comparison = comparison_of(model_name, directory, pair, evidence, seed=seed)
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
    if is_blank(by) or is_blank(reason):
        raise TrainingError("a rollback needs --by NAME and --reason TEXT, which are kept in the history")
    changes = registry.champion_changes(model_name, now=now)
    earlier = version_before(changes)
    if earlier is None:
        raise TrainingError(f"the history of {model_name} has no earlier champion to go back to")
    registry.refuse_unless_served(model_name, earlier)
    change = ChampionChange(version=earlier, kind=ChangeKind.ROLLED_BACK, by=by, reason=reason, at=now)
    return registry.put_champion(model_name, change, instead_of=version_now(changes))


def _judge(
    directory: Path,
    pair: Pair,
    evidence: LaterDecisions,
    comparison: Comparison,
    load_scorer: ScorerLoader,
    *,
    build: FeatureBuilder,
    seed: int,
) -> tuple[Gate, ...]:
    feature_set = pair.challenger.feature_set
    task = TASKS[feature_set.name]
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
            task.ranking.word,
            getattr(comparison, f"{task.ranking.figure}_difference"),
            evaluation,
        ),
        calibration_gate(evaluation, task.mean_probability_factor),
        stability_gate(
            comparison.challenger.stability_index,
            bins=STABILITY_BINS,
            earlier=half,
            later=len(evidence.label) - half,
        ),
        task.directions(
            DirectionEvidence(
                directory=directory,
                decisions=evidence.decisions,
                feature_set=feature_set,
                values=evidence.values,
                model=challenger.model,
                probability=lambda values: np.array(
                    [served(row).probability_of_default for row in values.tolist()]
                ),
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
