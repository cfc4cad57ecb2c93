"""The validation report of a training run: one HTML page without outside parts, and its figures as JSON."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from jinja2 import Template
from markupsafe import Markup

from data_contracts.progress import Progress, no_progress
from evidence.axes import Axis, name_axis, number_axis, percent_axis
from evidence.charts import ChartRow, Series, line_chart, row_chart
from evidence.intervals import Interval
from evidence.percentages import per_cent, points, share
from evidence.report_page import report_template
from training.validation.curves import Curve, ScoreDistribution
from training.validation.evidence import ValidationEvidence
from training.validation.feature_behaviour import FeatureBehaviour, Trend
from training.validation.figures import ValidationFigures, validation_figures
from training.validation.model_card import ModelCard
from training.validation.segment_results import ProbabilityFinding, SegmentResult
from training.validation.verdict import Verdict, verdict

REPORT_HTML = "validation_report.html"
REPORT_JSON = "validation_report.json"
SHOWN_CONTRIBUTIONS = 15
SHOWN_SHIFTS = 15
PROBABILITY_TICKS = (0.0001, 0.001, 0.01, 0.1, 0.5, 0.9, 0.99)


def write_validation_report(
    folder: Path, evidence: ValidationEvidence, progress: Progress = no_progress
) -> Verdict:
    """Compute and write REPORT_HTML and REPORT_JSON into an existing folder."""
    figures = validation_figures(evidence, progress)
    judged = verdict(figures)
    (folder / REPORT_HTML).write_text(render(figures, judged, evidence.card), encoding="utf-8")
    document = report_json(figures, judged)
    (folder / REPORT_JSON).write_text(json.dumps(document, indent=1, allow_nan=False), encoding="utf-8")
    return judged


def report_json(figures: ValidationFigures, judged: Verdict) -> dict[str, Any]:
    """The verdict and all figures as JSON values."""
    return {"verdict": asdict(judged), **figures.to_json()}


def render(figures: ValidationFigures, judged: Verdict, card: ModelCard) -> str:
    """The page."""
    page = _template().render(
        f=figures,
        verdict=judged,
        card=card,
        charts=_charts(figures),
        shown_features=figures.features[:SHOWN_CONTRIBUTIONS],
        other_features=figures.features[SHOWN_CONTRIBUTIONS:],
        dependence=[
            (feature, _dependence_chart(feature)) for feature in figures.features if feature.dependence
        ],
        shown_shifts=figures.shifts[:SHOWN_SHIFTS],
        other_shifts=figures.shifts[SHOWN_SHIFTS:],
    )
    # A number does not part with its sign at the end of a line.
    return page.replace(" %", "\u00a0%")


@cache
def _template() -> Template:
    filters: dict[str, Callable[..., str]] = {
        "share": share,
        "per_cent": per_cent,
        "points": points,
        "figure": _figure,
    }
    return report_template("training.validation", "validation_report.html", filters)


def _figure(interval: Interval) -> str:
    return f"{interval.value:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def _charts(figures: ValidationFigures) -> dict[str, Markup]:
    words, evaluation, ranking = figures.wording, figures.evaluation, figures.ranking
    return {
        "roc": line_chart(
            "ROC curve",
            [_line(figures.kind, ranking.roc)],
            percent_axis(f"share of all orders {words.good} at or above the threshold"),
            percent_axis(f"share of all orders {words.bad} at or above it"),
            said=f"AUC {evaluation.auc}.",
            with_diagonal=True,
        ),
        "precision_recall": line_chart(
            "Precision and recall",
            [_line(figures.kind, ranking.precision_recall)],
            percent_axis(f"recall: share of all orders {words.bad} found"),
            percent_axis(f"precision: share {words.bad} among those picked"),
            said=f"Average precision {evaluation.average_precision}, base rate {share(evaluation.bad_rate)}.",
        ),
        "ks": line_chart(
            "Kolmogorov-Smirnov plot",
            [_line(words.bad, ranking.bad_found), _line(words.good, ranking.good_found, place=1)],
            percent_axis("riskiest share of all orders"),
            percent_axis("share found"),
            said=f"The curves are at most {evaluation.ks} apart.",
        ),
        "lift": row_chart(
            "Lift",
            [_row(f"riskiest {share(capture.riskiest_share)}", capture.lift) for capture in ranking.captures],
            number_axis(
                f"times as many {words.bad} as in all orders",
                0.0,
                max(capture.lift.high for capture in ranking.captures),
            ),
            said="The riskiest orders hold the most.",
            with_bars=True,
        ),
        "calibration": _calibration_chart(figures.calibration),
        "distribution": _distribution_chart(figures.distribution, bad=words.bad, good=words.good),
        "bands": _rate_chart("Bad rate by band of probability", figures.bands),
        "approval": _approval_chart(figures),
        "contributions": row_chart(
            "Mean contribution of the strongest features",
            [
                _row(feature.name, feature.mean_contribution, is_flagged=feature.contradicts_direction)
                for feature in figures.features[:SHOWN_CONTRIBUTIONS]
            ],
            number_axis(
                "mean absolute contribution, log-odds",
                0.0,
                max(feature.mean_contribution.high for feature in figures.features),
            ),
            said=f"The strongest is {figures.features[0].name}.",
            with_bars=True,
        ),
        "ablation": _ablation_chart(figures),
        "maturity": line_chart(
            "Labelled share by month",
            [
                Series(
                    name="labelled",
                    x=range(len(figures.maturity.months)),
                    y=[month.labelled / month.decisions for month in figures.maturity.months],
                    with_markers=True,
                )
            ],
            name_axis("month of the order (UTC)", [month.month for month in figures.maturity.months]),
            percent_axis("share of the month's orders that has a label"),
            said=f"{share(figures.maturity.labelled_share)} of all orders are labelled.",
        ),
        **{
            f"segment {table.title}": _rate_chart(f"Bad rate by {table.title.lower()}", table.rows)
            for table in figures.segments
            if table.rows
        },
    }


def _row(
    name: str, interval: Interval, *, compared: float | None = None, is_flagged: bool = False
) -> ChartRow:
    return ChartRow(
        name=name,
        value=interval.value,
        low=interval.low,
        high=interval.high,
        compared=compared,
        is_flagged=is_flagged,
    )


def _line(name: str, curve: Curve, place: int = 0) -> Series:
    return Series(name=name, x=curve.x, y=curve.y, low=curve.low, high=curve.high, place=place)


def _calibration_chart(parts: Sequence[SegmentResult]) -> Markup:
    highest = max(max(part.bad_rate.high, part.mean_probability) for part in parts)
    said = [part.mean_probability for part in parts]
    observed = Series(
        name="observed",
        x=said,
        y=[part.bad_rate.value for part in parts],
        low=[part.bad_rate.low for part in parts],
        high=[part.bad_rate.high for part in parts],
        with_markers=True,
    )
    wrong = sum(_is_wrong(part) for part in parts)
    return line_chart(
        "Calibration curve",
        [observed],
        percent_axis("mean probability of the group", highest),
        percent_axis("bad rate observed", highest),
        said=f"{wrong} of {len(parts)} groups are off beyond chance.",
        with_diagonal=True,
    )


def _distribution_chart(found: ScoreDistribution, *, bad: str, good: str) -> Markup:
    edges = found.log_odds_edges
    middles = [(low + high) / 2 for low, high in pairwise(edges)]
    series = [
        Series(name=good, x=middles, y=found.good_share, place=1),
        Series(name=bad, x=middles, y=found.bad_share, place=0),
    ]
    if found.training_share:
        series.append(Series(name="training", x=middles, y=found.training_share, place=2))
    ticks = tuple(
        (math.log(p / (1 - p)), share(p))
        for p in PROBABILITY_TICKS
        if edges[0] <= math.log(p / (1 - p)) <= edges[-1]
    )
    return line_chart(
        "Score distribution",
        series,
        Axis(label="probability (on the scale of log-odds)", low=edges[0], high=edges[-1], ticks=ticks),
        percent_axis("share of each kind", max(max(line.y) for line in series)),
        said="The further the curves are apart, the better the model tells the kinds apart.",
    )


def _rate_chart(title: str, rows: Sequence[SegmentResult]) -> Markup:
    highest = max(max(row.bad_rate.high, row.mean_probability) for row in rows)
    return row_chart(
        title,
        [
            _row(
                row.name,
                row.bad_rate,
                compared=row.mean_probability,
                is_flagged=_is_wrong(row) or row.ranks_worse,
            )
            for row in rows
        ],
        percent_axis("bad rate with interval (dot); mean probability (ring)", highest),
        said=f"{sum(_is_wrong(row) for row in rows)} of {len(rows)} have wrong probabilities.",
    )


def _approval_chart(figures: ValidationFigures) -> Markup:
    rates = figures.evaluation.bad_rate_by_approval_rate
    highest = max(interval.high for interval in rates.values())
    return row_chart(
        "Bad rate by approval rate",
        [_row(f"best {rate} of orders", interval) for rate, interval in rates.items()],
        percent_axis(f"share {figures.wording.bad} among them", highest),
        said="The fewer are approved, the fewer of them are bad.",
    )


def _ablation_chart(figures: ValidationFigures) -> Markup:
    fitted = [(group.group, group.cost) for group in figures.ablation.groups if group.cost is not None]
    low = min([0.0, *(cost.low for _, cost in fitted)])
    high = max([0.001, *(cost.high for _, cost in fitted)])
    return row_chart(
        "Cost of leaving a group out",
        [_row(f"without {name}", cost) for name, cost in fitted],
        number_axis(f"loss of {figures.ablation.figure.replace('_', ' ')}", low, high),
        said="Right of zero, the model is worse without the group.",
    )


def _dependence_chart(feature: FeatureBehaviour) -> Markup:
    points = feature.dependence
    values = [point.feature_value for point in points]
    highest = max(point.probability.high for point in points)
    chart_of = Series(
        name=feature.name,
        x=values,
        y=[point.probability.value for point in points],
        low=[point.probability.low for point in points],
        high=[point.probability.high for point in points],
        with_markers=True,
    )
    verb = "is unused" if feature.trend is Trend.UNUSED else feature.trend.value
    return line_chart(
        feature.name,
        [chart_of],
        number_axis(f"{feature.name}, {feature.unit}", values[0], values[-1]),
        percent_axis("mean probability if all orders had this value", highest),
        said=f"The estimate {verb} with it.",
    )


def _is_wrong(row: SegmentResult) -> bool:
    return row.probability_finding in (ProbabilityFinding.TOO_HIGH, ProbabilityFinding.TOO_LOW)
