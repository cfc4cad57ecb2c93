"""A registered model as the checkout uses it: log-odds, calibration, points and what each feature adds.

A model is a folder with `model.json` and, for LightGBM, the booster's text. It holds no class of ours,
no pickle, and needs neither scikit-learn nor pandas.

There are two types. A `ReplayModel` judges rows of features that were stored, whichever release computed
them. Only a `ChampionModel`, whose features this code computes, can be put in force or answer as shadow.
"""

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import accumulate
from typing import Any, Protocol

import msgspec

from features.feature_sets import FEATURE_SETS, FeatureSet, version_under_terms
from features.model_columns import ModelColumn, columns_from
from features.model_files import MODEL_FILE, ModelFiles
from features.settlement_terms import USUAL_TERMS, SettlementTerms, terms_of_model

FORMAT = 1
POINTS_MINIMUM = 100
POINTS_MAXIMUM = 999


class ModelNotUsableError(Exception):
    """A registered model cannot serve; the message is the technical reason, without personal data."""


class ModelFilesDifferError(ModelNotUsableError):
    """A model's files are not those that were registered; the message names them and says what to do."""


class RawModel(Protocol):
    """What stands behind the calibration: raw log-odds of not being paid for one row of features."""

    def raw_score(self, values: Sequence[float]) -> float:
        """Log-odds of bad before calibration."""
        ...

    def contributions(self, values: Sequence[float]) -> list[float]:
        """What each feature adds to the raw log-odds, against the average decision; the average last."""
        ...


@dataclass(frozen=True, kw_only=True)
class ScorecardFeature:
    """One feature's steps: x adds every step weight whose cut point lies below x, NaN the missing weight."""

    cut_points: tuple[float, ...]
    step_weights: tuple[float, ...]
    missing_weight: float
    mean_contribution: float

    def contribution(self, value: float) -> float:
        """What `value` adds to the log-odds."""
        if math.isnan(value):
            return self.missing_weight
        return self.by_step[bisect_left(self.cut_points, value)]

    @cached_property
    def by_step(self) -> tuple[float, ...]:
        """The contribution below all cut points, beyond the first, beyond two, and so on."""
        return tuple(accumulate(self.step_weights, initial=0.0))


@dataclass(frozen=True, kw_only=True)
class Scorecard:
    """An additive model of steps, in plain Python."""

    intercept: float
    features: tuple[ScorecardFeature, ...]

    def raw_score(self, values: Sequence[float]) -> float:
        """Intercept plus every feature's contribution, added in the order of the features."""
        total = self.intercept
        for place, cut_points, by_step, missing_weight in self._in_use:
            value = values[place]
            total += by_step[bisect_left(cut_points, value)] if value == value else missing_weight  # noqa: PLR0124 - NaN
        return total

    @cached_property
    def _in_use(self) -> tuple[tuple[int, tuple[float, ...], tuple[float, ...], float], ...]:
        """The features that can add anything: place, cut points, sum at each step, weight of missing."""
        return tuple(
            (place, feature.cut_points, feature.by_step, feature.missing_weight)
            for place, feature in enumerate(self.features)
            if feature.cut_points or feature.missing_weight
        )

    def contributions(self, values: Sequence[float]) -> list[float]:
        """Each feature's contribution minus its mean among the training rows; the mean score last."""
        parts = [
            feature.contribution(value) - feature.mean_contribution
            for feature, value in zip(self.features, values, strict=True)
        ]
        average = self.intercept
        for feature in self.features:
            average += feature.mean_contribution
        return [*parts, average]


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Raw log-odds to calibrated log-odds: straight lines between knots, level outside them."""

    raw_log_odds: tuple[float, ...]
    log_odds: tuple[float, ...]

    def __call__(self, raw: float) -> float:
        """The calibrated log-odds.

        >>> calibration = Calibration(raw_log_odds=(-1.0, 1.0), log_odds=(-2.0, 0.0))
        >>> calibration(-3.0), calibration(0.0), calibration(9.0)
        (-2.0, -1.0, 0.0)
        """
        knots = self.raw_log_odds
        if raw <= knots[0]:
            return self.log_odds[0]
        if raw >= knots[-1]:
            return self.log_odds[-1]
        right = bisect_left(knots, raw)
        left = right - 1
        share = (raw - knots[left]) / (knots[right] - knots[left])
        return self.log_odds[left] + share * (self.log_odds[right] - self.log_odds[left])


@dataclass(frozen=True, kw_only=True)
class ScoreScale:
    """How odds (good to bad) become points: so many at the reference odds, so many more when they double."""

    reference_points: float = 600.0
    reference_odds: float = 30.0
    points_to_double_odds: float = 40.0

    def points(self, log_odds_of_bad: float) -> int:
        """Points from 100 to 999, higher is better.

        >>> ScoreScale().points(-math.log(30)), ScoreScale().points(-math.log(60))
        (600, 640)
        """
        above = (-log_odds_of_bad - math.log(self.reference_odds)) / math.log(2)
        points = round(self.reference_points + self.points_to_double_odds * above)
        return min(max(points, POINTS_MINIMUM), POINTS_MAXIMUM)


class ModelScore(msgspec.Struct, frozen=True, kw_only=True):
    """What the model says about one row of features."""

    raw_log_odds: float
    probability_of_default: float
    points: int


@dataclass(frozen=True, kw_only=True)
class ReplayModel:
    """One version of a registered model: judges rows of its features that were stored, and explains them.

    Never changes, so threads may share it. It can serve nothing: see `ChampionModel`.
    feature_set_name, feature_set_version: what it was trained on. columns: what it reads, in order.
    typical_values: the median of each feature among customers who paid, None where it was missing.
    terms: when an invoice counted as paid and as late, for the features and the labels that it learned from.
    files_sha256: of its folder's files; None where it was read from none.
    """

    name: str
    version: str
    feature_set_name: str
    feature_set_version: str
    columns: tuple[ModelColumn, ...]
    raw_model: RawModel
    calibration: Calibration
    scale: ScoreScale
    typical_values: Mapping[str, float | None]
    terms: SettlementTerms = USUAL_TERMS
    files_sha256: str | None = None

    @property
    def version_under_terms(self) -> str:
        """Of the feature set, with the terms: what the decisions of this model name."""
        return version_under_terms(self.feature_set_version, self.terms)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The names of the model's columns, in order."""
        return tuple(column.name for column in self.columns)

    def score(self, values: Sequence[float]) -> ModelScore:
        """Judge one row in the order of `feature_names`, NaN where missing."""
        raw = self.raw_model.raw_score(values)
        log_odds = self.calibration(raw)
        return ModelScore(
            raw_log_odds=raw,
            probability_of_default=1.0 / (1.0 + math.exp(-log_odds)),
            points=self.scale.points(log_odds),
        )

    def contributions(self, values: Sequence[float]) -> tuple[float, ...]:
        """What each feature adds to the raw log-odds of not being paid, against the average decision."""
        return tuple(self.raw_model.contributions(values)[:-1])


@dataclass(frozen=True, kw_only=True)
class ChampionModel(ReplayModel):
    """A model whose features this code computes, ready to serve. feature_set: how they are computed."""

    feature_set: FeatureSet


def load_model(files: ModelFiles, *, name: str, version: str) -> ChampionModel:
    """The model in a folder's files. Raises ModelNotUsableError when this code cannot serve it."""
    model = load_replay_model(files, name=name, version=version)
    feature_set = FEATURE_SETS.get(model.feature_set_name)
    if feature_set is None:
        raise ModelNotUsableError(f"{name} {version}: no feature set is called {model.feature_set_name}")
    if model.feature_set_version != feature_set.version:
        raise ModelNotUsableError(
            f"{name} {version} reads version {model.feature_set_version} of {feature_set.name}, this release "
            f"computes {feature_set.version}: train a new version: bonitas train {name} DIR"
        )
    if model.feature_names != feature_set.names:
        raise ModelNotUsableError(f"{name} {version}: its columns are not those of {feature_set.name}")
    return ChampionModel(
        **{field.name: getattr(model, field.name) for field in fields(model)},
        feature_set=feature_set.under(model.terms),
    )


def load_replay_model(files: ModelFiles, *, name: str, version: str) -> ReplayModel:
    """The model in a folder's files, of any feature set. Raises ModelNotUsableError when it is no model."""
    if MODEL_FILE not in files.contents:
        raise ModelNotUsableError(f"{name} {version}: its folder has no {MODEL_FILE}")
    try:
        return _from_document(files.document(), files, name=name, version=version)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ModelNotUsableError(f"{name} {version}: {MODEL_FILE} is not complete: {error!r}") from error


def _from_document(document: Any, files: ModelFiles, *, name: str, version: str) -> ReplayModel:
    if document["format"] != FORMAT:
        raise ModelNotUsableError(
            f"{name} {version}: format {document['format']} is not known, only {FORMAT}"
        )
    columns = columns_from(document["features"])
    knots = document["calibration"]
    calibration = Calibration(
        raw_log_odds=_floats(knots["raw_log_odds"]), log_odds=_floats(knots["log_odds"])
    )
    if not calibration.raw_log_odds or len(calibration.raw_log_odds) != len(calibration.log_odds):
        raise ModelNotUsableError(f"{name} {version}: the calibration has no pairs of knots")
    return ReplayModel(
        name=name,
        version=version,
        feature_set_name=str(document["feature_set"]["name"]),
        feature_set_version=str(document["feature_set"]["version"]),
        columns=columns,
        raw_model=_raw_model(document, files, columns, name=name, version=version),
        calibration=calibration,
        scale=ScoreScale(**{key: float(value) for key, value in document["score_scale"].items()}),
        typical_values={
            key: None if value is None else float(value)
            for key, value in document.get("typical_values", {}).items()
        },
        terms=terms_of_model(document),
        files_sha256=files.fingerprint.sha256,
    )


def _raw_model(
    document: Any, files: ModelFiles, columns: Sequence[ModelColumn], *, name: str, version: str
) -> RawModel:
    match document["kind"]:
        case "lightgbm":
            # LightGBM brings scikit-learn with it: a process that serves scorecards starts seconds sooner.
            from lightgbm.basic import LightGBMError  # noqa: PLC0415

            from serving.in_force.fast_booster import FastBooster  # noqa: PLC0415

            try:
                booster = FastBooster(files.text(document["booster_file"]))
            except LightGBMError as error:
                raise ModelNotUsableError(f"{name} {version}: {error}") from error
            if len(booster.feature_names) != len(columns):
                raise ModelNotUsableError(f"{name} {version}: the booster has other columns")
            return booster
        case "scorecard":
            by_name = {feature["name"]: feature for feature in document["scorecard"]["features"]}
            return Scorecard(
                intercept=float(document["scorecard"]["intercept"]),
                features=tuple(_scorecard_feature(by_name.get(column.name)) for column in columns),
            )
        case kind:
            raise ModelNotUsableError(f"{name} {version}: kind {kind!r} is not known")


def _scorecard_feature(document: Any | None) -> ScorecardFeature:
    """A feature that the scorecard leaves out adds nothing."""
    if document is None:
        return ScorecardFeature(cut_points=(), step_weights=(), missing_weight=0.0, mean_contribution=0.0)
    feature = ScorecardFeature(
        cut_points=_floats(document["cut_points"]),
        step_weights=_floats(document["step_weights"]),
        missing_weight=float(document["missing_weight"]),
        mean_contribution=float(document["mean_contribution"]),
    )
    if len(feature.cut_points) != len(feature.step_weights):
        raise ValueError(f"{document['name']} has not one weight for each cut point")
    return feature


def _floats(values: Sequence[Any]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
