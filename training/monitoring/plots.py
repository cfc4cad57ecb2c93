"""The pictures of a monitoring report."""

from collections.abc import Sequence

from markupsafe import Markup

from evidence.axes import name_axis, number_axis, percent_axis
from evidence.charts import WIDE, ChartRow, Series, line_chart, row_chart
from evidence.drift import Drift
from training.monitoring.checks import Level
from training.monitoring.monitored_model import VintageFigures
from training.monitoring.monitored_service import WeekOfDecisions
from training.monitoring.watched_figures import ALARM_INDEX, NOTICE_INDEX

MOST_BARS = 15


def stability_bars(found: Sequence[Drift], levels: dict[str, Level], chance: float) -> Markup:
    """The quantities that moved most: their index, what chance explains, and the reference's own months.

    levels: by name, of what is no longer quiet. chance: of a single test, for the stroke of chance.
    """
    shown = sorted(found, key=lambda one: -one.stability_index)[:MOST_BARS]
    rows = [
        ChartRow(
            name=one.name,
            value=one.stability_index,
            compared=one.usual_index or 0.0,
            limit=0.0 if one.test is None else one.test.chance_stability_index(chance),
            place=1 if levels.get(one.name) is Level.NOTICE else 0,
            is_flagged=levels.get(one.name) is Level.ALARM,
        )
        for one in shown
    ]
    end = max(1.1 * ALARM_INDEX, min(1.5, 1.05 * shown[0].stability_index))
    return row_chart(
        "Stability index by quantity, with the limit of chance and of the months before",
        rows,
        number_axis("population stability index", 0.0, end),
        said=f"The farthest is {shown[0].name}: {shown[0].stability_index:.3f}.",
        with_bars=True,
        uprights=(NOTICE_INDEX, ALARM_INDEX),
        legend=[("fill", "index"), ("stroke", "chance"), ("ring", "months before")],
        width=WIDE,
    )


def distribution(found: Drift, title: str) -> Markup:
    """The shares of the bins, reference against window."""
    rows = [
        ChartRow(name=name, value=now, compared=before)
        for name, before, now in zip(found.bins, found.reference_share, found.window_share, strict=True)
    ]
    return row_chart(
        title,
        rows,
        percent_axis("share", max(*found.reference_share, *found.window_share)),
        said=f"Share of each bin in the reference and in the window. Most changed: {found.largest_change}.",
        with_bars=True,
        legend=[("fill", "window"), ("ring", "reference")],
        width=WIDE,
    )


def vintage_trend(vintages: Sequence[VintageFigures]) -> Markup:
    """Expected and realised bad rate by month of the decision."""
    expected = [one.mean_probability for one in vintages]
    known = [
        (place, one.bad_rate, one.expected_bad_rate)
        for place, one in enumerate(vintages)
        if one.bad_rate is not None and one.expected_bad_rate is not None
    ]
    series = [Series(name="expected, all", x=range(len(vintages)), y=expected, place=2)]
    if known:
        at = [place for place, _, _ in known]
        low, high = [ends.low for _, _, ends in known], [ends.high for _, _, ends in known]
        series += [
            Series(name="95 % of what was expected", x=at, low=low, high=high, place=2),
            Series(name="realised", x=at, y=[rate for _, rate, _ in known], with_markers=True),
        ]
    highest = max([*expected, *(max(rate, ends.high) for _, rate, ends in known)])
    newest = f" The newest that is known: {known[-1][1]:.2%}." if known else ""
    return line_chart(
        "Expected and realised bad rate by month of the decision",
        series,
        name_axis("month of the decision", [one.month for one in vintages]),
        percent_axis("bad rate", highest),
        said=f"{len(known)} of {len(vintages)} months have labels.{newest}",
        width=WIDE,
    )


def weekly_answers(weeks: Sequence[WeekOfDecisions]) -> Markup:
    """Approval rate by week; unavailable answers are left out of it."""
    answered = [(week.week, week.approved, week.approved + week.declined) for week in weeks]
    shown = [(name, approved / total) for name, approved, total in answered if total]
    rates = [rate for _, rate in shown]
    said = f"From {min(rates):.0%} to {max(rates):.0%}." if rates else "Nothing was answered."
    return line_chart(
        "Approval rate by week",
        [Series(name="approved", x=range(len(shown)), y=rates, with_markers=True)],
        name_axis("week", [name for name, _ in shown]),
        percent_axis("approved"),
        said=said,
        width=WIDE,
    )
