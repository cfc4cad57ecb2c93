"""The model card: what a model is for, what it rests on, how good it is, and what it must not be used for.

One source for two readers: `model_card.md` beside the model, and the card in the validation report.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from evidence.intervals import Interval
from features.feature_sets import FeatureSet
from training.capacity import CapacityFigures
from training.evaluation import Evaluation
from training.gates.gates import Gate

SHOWN_FIGURES = (
    "auc",
    "gini",
    "ks",
    "average_precision",
    "brier",
    "calibration_error",
    "recall_at_1pct_fpr",
    "recall_at_5pct_fpr",
)

LEANING = (
    "The winner was chosen on these test decisions, so its figures lean a little to the good side. Among "
    "candidates that chance may have told apart, the scorecard wins."
)
DIRECTIONS_KEPT = (
    "Every directed feature can only move the score its way, on whole histories: a payment made later, one "
    "more inquiry or a higher balance at the same limit never scores higher, an older account never lower."
)
UNLABELLED_AT_CAPACITY = (
    "Orders without a finding count as no fraud in the figures at capacity, so the truth is no lower."
)


@dataclass(frozen=True, kw_only=True)
class CardSection:
    """One section: paragraphs, then points, then a table whose first row is its head; each may be empty."""

    heading: str
    paragraphs: tuple[str, ...] = ()
    points: tuple[str, ...] = ()
    table: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """A card. purpose: what the model is for, and what not."""

    title: str
    purpose: str
    sections: tuple[CardSection, ...]

    def to_markdown(self) -> str:
        """The card as Markdown."""
        blocks = [f"# {self.title}", self.purpose]
        for section in self.sections:
            blocks.append(f"## {section.heading}")
            blocks += section.paragraphs
            if section.points:
                blocks.append("\n".join(f"- {point}" for point in section.points))
            if section.table:
                head, *rows = section.table
                lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
                blocks.append("\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)]))
        return "\n\n".join(blocks) + "\n"


def eligibility_card(
    *,
    feature_set: FeatureSet,
    kind: str,
    evaluations: dict[str, Evaluation],
    difference: Interval,
    direction_cost: Interval,
    gates: tuple[Gate, ...],
    facts: dict[str, Any],
) -> ModelCard:
    """The card of the eligibility model. facts: how data were split and labelled, with their sizes."""
    rates = next(iter(evaluations.values())).bad_rate_by_approval_rate
    by_rate = tuple(
        (
            f"bad rate at {rate} approved",
            *(str(evaluation.bad_rate_by_approval_rate[rate]) for evaluation in evaluations.values()),
        )
        for rate in rates
    )
    return ModelCard(
        title=feature_set.name,
        purpose=f"A {kind} that estimates the probability that an invoice is not paid in full 60 days "
        "after due. It decides, with the policy, whether an order may be paid by invoice. It is not made for "
        "fraud, marketing or employment, and reads no protected attribute.",
        sections=(
            _data(feature_set, facts),
            CardSection(
                heading="Figures on the test decisions, with 95 % intervals (bootstrap by customer)",
                paragraphs=(
                    f"AUC of lightgbm minus scorecard, paired: {difference}.",
                    f"Directions cost LightGBM in AUC (without minus with), paired: {direction_cost}.",
                    LEANING,
                ),
                table=(*_figures(evaluations), *by_rate),
            ),
            _gates(gates),
            CardSection(
                heading="Directions",
                paragraphs=(DIRECTIONS_KEPT,),
            ),
        ),
    )


def order_risk_card(
    *,
    feature_set: FeatureSet,
    kind: str,
    evaluations: dict[str, Evaluation],
    capacity: CapacityFigures,
    gates: tuple[Gate, ...],
    facts: dict[str, Any],
) -> ModelCard:
    """The card of the order-risk model. capacity: the winner's figures at the team's daily capacity."""
    return ModelCard(
        title=feature_set.name,
        purpose=f"A {kind} that estimates the probability that an approved order is fraud. It decides which "
        "orders the fraud team looks at; a person decides what follows. It is not made for credit: no credit "
        "score reads it.",
        sections=(
            _data(feature_set, facts),
            CardSection(
                heading="Figures on the test orders, with 95 % intervals (bootstrap by customer)",
                paragraphs=(LEANING,),
                table=_figures(evaluations),
            ),
            CardSection(
                heading="Figures at the team's capacity, with 95 % intervals (bootstrap by day)",
                paragraphs=(UNLABELLED_AT_CAPACITY,),
                points=(
                    f"at {capacity.orders_per_day} orders a day: precision {capacity.precision}",
                    f"recall at that capacity: {capacity.recall}",
                    f"saved a day, in cents: {capacity.saved_cents_per_day}",
                    f"saved share of what fraud took: {capacity.saved_share}",
                ),
            ),
            _gates(gates),
        ),
    )


def _data(feature_set: FeatureSet, facts: dict[str, Any]) -> CardSection:
    groups = Counter(feature.group.value for feature in feature_set.features)
    by_group = ", ".join(f"{group} {count}" for group, count in groups.items())
    features = f"features: {len(feature_set.features)} ({by_group}), version {feature_set.version}"
    return CardSection(
        heading="Data", points=(*(f"{name}: {value}" for name, value in facts.items()), features)
    )


def _figures(evaluations: dict[str, Evaluation]) -> tuple[tuple[str, ...], ...]:
    rows = (
        (figure, *(str(getattr(evaluation, figure)) for evaluation in evaluations.values()))
        for figure in SHOWN_FIGURES
    )
    base_rate = ("base rate", *(f"{evaluation.bad_rate:.4f}" for evaluation in evaluations.values()))
    return (("figure", *evaluations), base_rate, *rows)


def _gates(gates: tuple[Gate, ...]) -> CardSection:
    return CardSection(
        heading="Gates",
        points=tuple(
            f"{gate.name}: {'passed' if gate.passed else 'FAILED'} ({gate.finding})" for gate in gates
        ),
    )
