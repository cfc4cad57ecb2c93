"""Champion and challenger as the registry has them: which two are compared, or why there is only one."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from data_contracts.instants import instant_ms
from features.feature_sets import FeatureSet
from features.model_columns import columns_from
from features.model_files import ModelFiles
from training.candidates.model_artifact import CalibratedModel, read_model
from training.errors import TrainingError
from training.registry.registry import ModelRegistry
from training.tasks import TASKS


@dataclass(frozen=True, kw_only=True)
class RegisteredModel:
    """A registered version as it was read. features: what the model itself reads, by name."""

    version: str
    feature_set: FeatureSet
    files: ModelFiles
    model: CalibratedModel
    features: tuple[str, ...]
    trained_until_ms: int


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Champion and challenger. no_champion: why there is none to compare with."""

    champion: RegisteredModel | None
    challenger: RegisteredModel
    no_champion: TrainingError | None = None

    @property
    def models(self) -> tuple[RegisteredModel, ...]:
        """One or both of them."""
        return (self.challenger,) if self.champion is None else (self.champion, self.challenger)


def registered_pair(registry: ModelRegistry, model_name: str, version: str, champion: str | None) -> Pair:
    """What is compared. A champion that the service cannot use has decided about nobody: it is left out."""
    registry.refuse_unless_served(model_name, version)
    challenger = _registered(registry, model_name, version)
    if champion is None:
        return Pair(champion=None, challenger=challenger, no_champion=TrainingError(f"{model_name} has none"))
    not_served = registry.why_champion_is_not_served(model_name)
    if not_served is not None:
        return Pair(champion=None, challenger=challenger, no_champion=not_served)
    in_force = _registered(registry, model_name, champion)
    if in_force.feature_set.terms != challenger.feature_set.terms:
        other = TrainingError(
            f"champion {champion} learned from other terms of settlement (an invoice is "
            f"{in_force.feature_set.terms.in_words()}) than version {version} "
            f"({challenger.feature_set.terms.in_words()}): they answer different questions"
        )
        return Pair(champion=None, challenger=challenger, no_champion=other)
    return Pair(champion=in_force, challenger=challenger)


def _registered(registry: ModelRegistry, model_name: str, version: str) -> RegisteredModel:
    files = registry.verified_files(model_name, version)
    document = files.document()
    return RegisteredModel(
        version=version,
        feature_set=TASKS[model_name].feature_set_of(document),
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
