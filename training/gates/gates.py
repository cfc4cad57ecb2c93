"""Named gates that a version passes before it may decide about anybody, and before it replaces another.

`gates` judges a version by itself when it is trained; the functions below it, one gate each, judge a
challenger against the champion on later data before it is promoted.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evidence.intervals import Interval
from evidence.stability import chance_stability_index
from features.declarations import Direction
from features.feature_sets import FeatureSet, NotAllowedFeatureError
from features.instants import Float64Array
from training.candidates.model_artifact import CalibratedModel
from training.evaluation import Evaluation
from training.gates.direction_probes import DirectionProbes

LOWEST_AUC = 0.55
MEAN_PROBABILITY_FACTOR = 1.5
PROBED_ROWS = 300
LOWEST_DIFFERENCE = -0.005
"""Of challenger minus champion at the lower end of the paired interval, in AUC or average precision."""
HIGHEST_STABILITY_INDEX = 0.25
HIGHEST_FEATURE_AUC = 0.95
SUSPECT_FEATURE_AUC = 0.8
SUSPECT_GINI_SHARE = 0.85
SUSPECT_LEAD_AUC = 0.05
HIGHEST_SPEED_RATIO = 1.5


@dataclass(frozen=True, kw_only=True)
class Gate:
    """One gate: its name, whether it was passed, and the figure behind that."""

    name: str
    passed: bool
    finding: str


def figure_gates(evaluation: Evaluation) -> tuple[Gate, ...]:
    """Judge a candidate by its figures alone."""
    factor = evaluation.mean_probability / evaluation.bad_rate
    return (
        Gate(
            name="discrimination",
            passed=evaluation.auc.low >= LOWEST_AUC,
            finding=f"AUC {evaluation.auc}, its interval must begin at {LOWEST_AUC} or above",
        ),
        Gate(
            name="calibration",
            passed=1 / MEAN_PROBABILITY_FACTOR <= factor <= MEAN_PROBABILITY_FACTOR,
            finding=f"mean probability is {factor:.2f} times the bad rate",
        ),
    )


def violations_by_feature(
    model: CalibratedModel, feature_set: FeatureSet, values: Float64Array, *, seed: int
) -> dict[str, int]:
    """How many of PROBED_ROWS probes of each directed feature score better after it got worse.

    Each probe takes a row and gives one of its directed features the value of another row.
    """
    generator = np.random.default_rng(seed)
    rows = values[generator.integers(0, len(values), PROBED_ROWS)]
    donors = values[generator.integers(0, len(values), PROBED_ROWS)]
    before = model.probability(rows)
    violations: dict[str, int] = {}
    for index, feature in enumerate(feature_set.features):
        if feature.direction is Direction.NONE:
            continue
        worse = rows.copy()
        pick = np.maximum if feature.direction is Direction.HIGHER_IS_WORSE else np.minimum
        worse[:, index] = pick(rows[:, index], donors[:, index])
        violations[feature.name] = int(np.sum(model.probability(worse) < before))
    return violations


def discrimination_gate(figure: str, difference: Interval | None, evaluation: Evaluation) -> Gate:
    """Not worse than the champion: the paired difference's interval begins at LOWEST_DIFFERENCE or above.

    figure: what the difference is in. difference: challenger minus champion, None where there is no
    champion; then the challenger needs the AUC that `figure_gates` asks of every version.
    """
    if difference is None:
        return Gate(
            name="discrimination",
            passed=evaluation.auc.low >= LOWEST_AUC,
            finding=f"no champion to compare with; AUC {evaluation.auc}, its interval must begin at "
            f"{LOWEST_AUC} or above",
        )
    return Gate(
        name="discrimination",
        passed=difference.low >= LOWEST_DIFFERENCE,
        finding=f"{figure} of challenger minus champion, paired: {difference}; the interval must begin at "
        f"{LOWEST_DIFFERENCE} or above",
    )


def calibration_gate(evaluation: Evaluation, highest_factor: float) -> Gate:
    """The mean probability is the bad rate, up to a factor either way."""
    factor = evaluation.mean_probability / evaluation.bad_rate
    return Gate(
        name="calibration",
        passed=1 / highest_factor <= factor <= highest_factor,
        finding=f"mean probability is {factor:.2f} times the bad rate, {1 / highest_factor:.2f} to "
        f"{highest_factor:.2f} is allowed",
    )


def stability_gate(index: float, *, bins: int, earlier: int, later: int) -> Gate:
    """Scores in the later half of the data lie as in the earlier one.

    index: population stability index between the halves, over `bins` bins. The limit is
    HIGHEST_STABILITY_INDEX, or what chance alone exceeds once in a thousand times where few decisions
    make that more: see `chance_stability_index`.
    """
    limit = max(HIGHEST_STABILITY_INDEX, chance_stability_index(bins=bins, earlier=earlier, later=later))
    return Gate(
        name="stability",
        passed=index < limit,
        finding=f"stability index of the scores between {earlier} earlier and {later} later decisions is "
        f"{index:.3f}, it must be below {limit:.3f}",
    )


def directions_gate(probes: DirectionProbes) -> Gate:
    """A worse history never scores better; a model that nothing could be probed on does not pass."""
    return Gate(
        name="directions",
        passed=bool(probes.tried) and probes.violations == 0,
        finding=probes.finding(),
    )


def feature_directions_gate(
    model: CalibratedModel, feature_set: FeatureSet, values: Float64Array, *, seed: int
) -> Gate:
    """A worse value of a directed feature never scores better; for models of features across customers.

    values: rows to probe, shape (n, n_features).
    """
    violations = sum(violations_by_feature(model, feature_set, values, seed=seed).values())
    return Gate(
        name="directions",
        passed=violations == 0,
        finding=f"{violations} of the probed rows score better after a feature got worse",
    )


def protected_gate(feature_set: FeatureSet, model_features: Sequence[str]) -> Gate:
    """Every feature that the model reads is declared for its purpose, and none reads what is protected."""
    declared = {feature.name: feature for feature in feature_set.features}
    unknown = [name for name in model_features if name not in declared]
    refused = ""
    try:
        FeatureSet(
            name=feature_set.name,
            purpose=feature_set.purpose,
            features=tuple(declared[name] for name in model_features if name in declared),
        )
    except NotAllowedFeatureError as problem:
        refused = str(problem)
    if unknown:
        refused = f"{', '.join(unknown)}: not declared for {feature_set.purpose.value}"
    return Gate(
        name="protected_features",
        passed=not refused,
        finding=refused or f"all {len(model_features)} features are declared for {feature_set.purpose.value}",
    )


def future_rows_gate(changed: Sequence[str], *, recomputed: int) -> Gate:
    """Features stay the same when all that was recorded at or after the decision is taken away.

    changed: names of the features that did not, over `recomputed` decisions.
    """
    names = ", ".join(changed)
    return Gate(
        name="leak_future_rows",
        passed=recomputed > 0 and not changed,
        finding=f"{names}: read rows recorded at or after the decision"
        if changed
        else f"{recomputed} decisions have the same features without the rows recorded at or after them",
    )


def clocks_gate(impossible: dict[str, int]) -> Gate:
    """Nothing was recorded before it happened: such a row tells a decision its future.

    impossible: how many such rows there are, by contract.
    """
    counts = ", ".join(f"{count} {name}" for name, count in impossible.items() if count)
    return Gate(
        name="leak_clocks",
        passed=not counts,
        finding=f"recorded before they happened: {counts}" if counts else "no row was known too early",
    )


def single_feature_gate(feature_set: FeatureSet, feature_auc: Float64Array, model_auc: float) -> Gate:
    """No feature knows the answer by itself.

    feature_auc: AUC of each feature alone on the later data, in its better direction, shape
        (n_features,).
    A feature is too good above HIGHEST_FEATURE_AUC. It is suspect, as a label with noise on it would be,
    when it reaches SUSPECT_FEATURE_AUC, carries SUSPECT_GINI_SHARE of the model's Gini coefficient, and is
    SUSPECT_LEAD_AUC better than the best feature of every other group: honest features share their
    strength with others and leave the model much to add.
    """
    best = int(np.argmax(feature_auc))
    feature = feature_set.features[best]
    auc = float(feature_auc[best])
    others = [
        float(value)
        for value, other in zip(feature_auc, feature_set.features, strict=True)
        if other.group is not feature.group
    ]
    lead = auc - max(others, default=0.5)
    share = (2 * auc - 1) / (2 * model_auc - 1) if model_auc > 0.5 else np.inf
    suspect = auc >= SUSPECT_FEATURE_AUC and share >= SUSPECT_GINI_SHARE and lead >= SUSPECT_LEAD_AUC
    return Gate(
        name="leak_single_feature",
        passed=auc <= HIGHEST_FEATURE_AUC and not suspect,
        finding=f"the strongest feature is {feature.name}: AUC {auc:.3f} alone, {share:.0%} of the model's "
        f"Gini, {lead:+.3f} against the best of other groups",
    )


def speed_gate(ratio: float | None) -> Gate:
    """A single prediction takes no longer than HIGHEST_SPEED_RATIO times the champion's.

    ratio: of the medians in one run, None where there is no champion to compare with.
    """
    return Gate(
        name="speed",
        passed=ratio is None or ratio <= HIGHEST_SPEED_RATIO,
        finding="no champion to compare with"
        if ratio is None
        else f"a single prediction takes {ratio:.2f} times the champion's, {HIGHEST_SPEED_RATIO} is allowed",
    )
