"""The pictures of a monitoring report, as SVG that goes into the page."""

import io
import re
from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evidence.drift import Drift
from training.monitoring.checks import ALARM_INDEX, NOTICE_INDEX, Level
from training.monitoring.monitored_model import VintageFigures
from training.monitoring.monitored_service import WeekOfDecisions

mpl.use("Agg")
BLUE, ORANGE, GREY, RED = "#3b7dd8", "#d9822b", "#888888", "#d64545"
MOST_BARS = 15
_INK = "#123456"
"""Stands for the colour of the page's text until the page has one."""


def stability_bars(found: Sequence[Drift], levels: dict[str, Level], chance: float) -> str:
    """The quantities that moved most: their index, what chance explains, and the reference's own months.

    levels: by name, of what is no longer quiet. chance: of a single test, for the line of chance.
    """
    shown = sorted(found, key=lambda one: one.stability_index)[-MOST_BARS:]
    figure, axes = _figure(0.7 + 0.3 * len(shown))
    colours = [
        {Level.ALARM: RED, Level.NOTICE: ORANGE}.get(levels.get(one.name, Level.QUIET), BLUE) for one in shown
    ]
    places = np.arange(len(shown))
    axes.barh(places, [one.stability_index for one in shown], color=colours, height=0.6)
    limits = [0.0 if one.test is None else one.test.chance_stability_index(chance) for one in shown]
    axes.plot(limits, places, "|", color=_INK, markersize=13, markeredgewidth=2, label="chance")
    usual = [one.usual_index or 0.0 for one in shown]
    axes.plot(usual, places, "D", color=GREY, markersize=5, label="months before")
    for threshold in (NOTICE_INDEX, ALARM_INDEX):
        axes.axvline(threshold, color=GREY, linewidth=0.8, linestyle=":")
    axes.set_yticks(places, [one.name for one in shown])
    axes.set_xlim(0, max(1.1 * ALARM_INDEX, min(1.5, 1.05 * max(one.stability_index for one in shown))))
    axes.set_xlabel("population stability index")
    _legend_above(axes)
    return _svg(figure, "Stability index by quantity, with the limit of chance and of the months before")


def distribution(found: Drift, title: str) -> str:
    """The shares of the bins, reference against window."""
    figure, axes = _figure(3.0)
    places = np.arange(len(found.bins))
    axes.bar(places - 0.2, np.multiply(found.reference_share, 100), width=0.4, color=GREY, label="reference")
    axes.bar(places + 0.2, np.multiply(found.window_share, 100), width=0.4, color=BLUE, label="window")
    axes.set_xticks(places, list(found.bins), rotation=35, ha="right")
    axes.set_ylabel("share, %")
    _legend_above(axes)
    return _svg(figure, f"{title}: share of each bin in the reference and in the window")


def vintage_trend(vintages: Sequence[VintageFigures]) -> str:
    """Expected and realised bad rate by month of the decision."""
    figure, axes = _figure(3.0)
    places = np.arange(len(vintages))
    axes.plot(places, [100 * one.mean_probability for one in vintages], color=GREY, label="expected, all")
    known = [
        (place, one.bad_rate, one.expected_bad_rate)
        for place, one in enumerate(vintages)
        if one.bad_rate is not None and one.expected_bad_rate is not None
    ]
    if known:
        at = [place for place, _, _ in known]
        low = [100 * expected.low for _, _, expected in known]
        high = [100 * expected.high for _, _, expected in known]
        axes.fill_between(at, low, high, color=GREY, alpha=0.25, label="95 % of what was expected")
        axes.plot(at, [100 * rate for _, rate, _ in known], "o-", color=BLUE, label="realised")
    axes.set_xticks(places, [one.month for one in vintages], rotation=35, ha="right")
    axes.set_ylabel("bad rate, %")
    axes.set_ylim(bottom=0)
    _legend_above(axes)
    return _svg(figure, "Expected and realised bad rate by month of the decision")


def weekly_answers(weeks: Sequence[WeekOfDecisions]) -> str:
    """Approval rate by week; unavailable answers are left out of it."""
    figure, axes = _figure(2.4)
    answered = [(week.week, week.approved, week.approved + week.declined) for week in weeks]
    shown = [(name, 100 * approved / total) for name, approved, total in answered if total]
    axes.plot(np.arange(len(shown)), [rate for _, rate in shown], "o-", color=BLUE)
    axes.set_xticks(np.arange(len(shown)), [name for name, _ in shown], rotation=35, ha="right")
    axes.set_ylim(0, 105)
    axes.set_ylabel("approved, %")
    return _svg(figure, "Approval rate by week")


def _figure(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(8, height), layout="constrained")
    figure.patch.set_alpha(0)
    axes = figure.subplots()
    axes.patch.set_alpha(0)
    axes.tick_params(colors=_INK, labelsize=8)
    axes.xaxis.label.set_color(_INK)
    axes.yaxis.label.set_color(_INK)
    for side, spine in axes.spines.items():
        spine.set_color(GREY)
        spine.set_visible(side in {"left", "bottom"})
    return figure, axes


def _legend_above(axes: Axes) -> None:
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False, labelcolor=_INK, fontsize=8)


def _svg(figure: Figure, described: str) -> str:
    """The figure as an SVG element with text as text, in the page's own colour.

    The ids that matplotlib draws from chance are made from the description: the same report, the same
    bytes, and no two pictures of a page with the same id.
    """
    buffer = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": described}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    drawn = buffer.getvalue()
    drawn = drawn[drawn.index("<svg") :].replace(_INK, "currentColor")
    drawn = re.sub(r"<metadata>.*?</metadata>", "", drawn, flags=re.DOTALL)
    slug = re.sub(r"\W+", "-", described.lower())
    drawn = re.sub(r'(id="|url\(#|href="#)', rf"\g<1>{slug}-", drawn)
    drawn = re.sub(r' (width|height)="[\d.]+pt"', "", drawn, count=2)
    return drawn.replace("<svg ", f'<svg role="img" aria-label="{described}" ', 1)
