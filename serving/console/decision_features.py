"""The features of a decision by name, with what was usual when its model was trained."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from features.feature_sets import FEATURE_SETS
from features.model_columns import ModelColumn, columns_of
from serving.console.page_request import PageRequest
from serving.in_force.model_watch import ModelRegistry, RegistryUnreachableError
from serving.in_force.scorer import ModelNotUsableError, ReplayModel
from serving.store.decision_log import LoggedDecision


@dataclass(frozen=True, kw_only=True)
class ShownFeature:
    """A feature as it went into the model. value, usual: None where it was missing."""

    name: str
    description: str
    unit: str
    group: str
    value: float | None
    missing_means: str
    usual: float | None


@dataclass(frozen=True, kw_only=True)
class ShownFeatures:
    """All features. remark: why names or usual values are not there, None where they are."""

    features: tuple[ShownFeature, ...]
    remark: str | None


async def features_of(page: PageRequest, logged: LoggedDecision) -> ShownFeatures:
    """The features by name, with what was usual among customers who paid when the model was trained."""
    if logged.features is None or logged.model_name is None or logged.model_version is None:
        return ShownFeatures(features=(), remark="No model took part in this decision.")
    columns = next(
        (
            columns_of(feature_set.features)
            for feature_set in FEATURE_SETS.values()
            if (logged.feature_set_version or "").split("-")[0] == feature_set.version
        ),
        None,
    )
    remarks = []
    if columns is None:
        remarks.append(f"Feature set {logged.feature_set_version} is not the one that this release computes.")
    usual: Mapping[str, float | None] = {}
    try:
        model = await _model(page, logged.model_name, logged.model_version)
    except ModelNotUsableError as problem:
        remarks.append(f"What is usual is not known: {problem}")
    except RegistryUnreachableError:
        remarks.append("What is usual is not known: the model registry cannot be reached now.")
    else:
        usual, columns = model.typical_values, model.columns
    if columns is None or len(columns) != len(logged.features):
        remarks.append("The names of its features are not known; their values are shown in their order.")
        features = tuple(_unnamed(place, value) for place, value in enumerate(logged.features, 1))
    else:
        features = tuple(
            _shown_feature(column, value, usual.get(column.name))
            for column, value in zip(columns, logged.features, strict=True)
        )
    return ShownFeatures(features=features, remark=" ".join(remarks) or None)


def _shown_feature(column: ModelColumn, value: float, usual: float | None) -> ShownFeature:
    return ShownFeature(
        name=column.name,
        description=column.description,
        unit=column.unit,
        group=column.group,
        value=None if math.isnan(value) else value,
        missing_means=column.missing_means,
        usual=usual,
    )


def _unnamed(place: int, value: float) -> ShownFeature:
    return ShownFeature(
        name=f"feature {place}",
        description="",
        unit="",
        group="",
        value=None if math.isnan(value) else value,
        missing_means="",
        usual=None,
    )


async def _model(page: PageRequest, name: str, version: str) -> ReplayModel:
    """A model's version: the one in force, or from the registry. Raises as `load_for_replay`."""
    in_force = page.scope.model.model
    if in_force is not None and (in_force.name, in_force.version) == (name, version):
        return in_force
    registry = page.scope.watch.registry
    return await page.access.read_beside(lambda: _earlier_model(registry, name, version))


@lru_cache(maxsize=4)
def _earlier_model(registry: ModelRegistry, name: str, version: str) -> ReplayModel:
    """A version never changes, so one reading serves all who look at its decisions."""
    return registry.load_for_replay(name, version)
