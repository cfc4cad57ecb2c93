"""The model card: what a model is for, what it rests on, how good it is, and what it must not be used for."""

from collections import Counter
from typing import Any

from features.feature_sets import FeatureSet
from training.evaluation import Evaluation, Interval
from training.gates import Gate


def model_card(
    *,
    feature_set: FeatureSet,
    kind: str,
    evaluations: dict[str, Evaluation],
    difference: Interval,
    direction_cost: Interval,
    gates: tuple[Gate, ...],
    facts: dict[str, Any],
) -> str:
    """The card as Markdown. facts: how data were split and labelled, with their sizes."""
    groups = Counter(feature.group.value for feature in feature_set.features)
    lines = [
        f"# {feature_set.name}",
        "",
        f"A {kind} that estimates the probability that an invoice is not paid in full 60 days after due.",
        "It decides, with the policy, whether an order may be paid by invoice. It is not made for fraud,",
        "marketing or employment, and reads no protected attribute.",
        "",
        "## Data",
        "",
        *(f"- {name}: {value}" for name, value in facts.items()),
        f"- features: {len(feature_set.features)} ("
        + ", ".join(f"{group} {count}" for group, count in groups.items())
        + f"), version {feature_set.version}",
        "",
        "## Figures on the test decisions, with 95 % intervals (bootstrap by customer)",
        "",
        "| figure | " + " | ".join(evaluations) + " |",
        "|---|" + "---|" * len(evaluations),
    ]
    for figure in (
        "auc",
        "gini",
        "ks",
        "average_precision",
        "brier",
        "calibration_error",
        "recall_at_1pct_fpr",
        "recall_at_5pct_fpr",
    ):
        cells = " | ".join(str(getattr(evaluation, figure)) for evaluation in evaluations.values())
        lines.append(f"| {figure} | {cells} |")
    rates = next(iter(evaluations.values())).bad_rate_by_approval_rate
    for rate in rates:
        cells = " | ".join(
            str(evaluation.bad_rate_by_approval_rate[rate]) for evaluation in evaluations.values()
        )
        lines.append(f"| bad rate at {rate} approved | {cells} |")
    lines += [
        "",
        f"AUC of lightgbm minus scorecard, paired: {difference}.",
        f"What the directions cost LightGBM in AUC (without minus with), paired: {direction_cost}.",
        "The winner was chosen on these test decisions, so its figures lean a little to the good side.",
        "",
        "## Gates",
        "",
        *(f"- {gate.name}: {'passed' if gate.passed else 'FAILED'} ({gate.finding})" for gate in gates),
        "",
        "## Directions",
        "",
        "Every directed feature can only move the score its way, on whole histories: a payment made later,",
        "one more inquiry or a higher balance at the same limit never scores higher, an older account",
        "never lower.",
        "",
    ]
    return "\n".join(lines)
