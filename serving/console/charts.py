"""Charts as inline SVG: numbers in, markup out, without scripts or styles of their own.

Every chart has a title and a description, every mark its value as text; the page puts the same figures
into a table beside it. Colours come from the console's style sheet, and none carries a meaning alone.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

# About the width at which each is shown: text in a chart grows and shrinks with it.
_WIDTH, _HEIGHT = 380, 170
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 4, 12, 26
_ROWS_WIDTH = 640
_ROW_HEIGHT, _ROW_LABEL_WIDTH, _ROW_VALUE_WIDTH = 26, 190, 90
_ROW_LABEL_MAXIMUM = 26
_EMPTY = "There is nothing to show yet."


@dataclass(frozen=True, kw_only=True)
class ChartPoint:
    """One bar. value: at least 0, None where there is none. label, text: local forms of both."""

    label: str
    value: float | None
    text: str


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A chart and what stands in the table beside it. name: unique in its page, for ids."""

    name: str
    title: str
    label_heading: str
    value_heading: str
    points: tuple[ChartPoint, ...]
    svg: Markup


def round_maximum(value: float) -> float:
    """The end of an axis: the next 1, 2 or 5 with zeros that is not below; 1 for nothing.

    >>> [round_maximum(value) for value in (0, 0.07, 1, 3, 61, 1_200)]
    [1.0, 0.1, 1.0, 5.0, 100.0, 2000.0]
    """
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next((step * power for step in (1, 2, 5) if step * power >= value), 10 * power)


def column_chart(
    name: str,
    title: str,
    points: Sequence[ChartPoint],
    *,
    axis_text: Callable[[float], str],
    label_heading: str,
    value_heading: str,
    maximum: float | None = None,
) -> Chart:
    """Upright bars, from left to right in the order of time.

    axis_text: the local form of a value on the axis. maximum: the end of the axis, such as 1 for shares.
    """
    end = maximum or round_maximum(max((point.value or 0 for point in points), default=0))
    width, height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
    step = width / max(len(points), 1)
    marks = Markup("").join(
        _bar(
            point,
            x=_LEFT + place * step + step * 0.1,
            y=_TOP + height * (1 - min(point.value / end, 1)),
            width=step * 0.8,
            height=height * min(point.value / end, 1),
        )
        for place, point in enumerate(points)
        if point.value
    )
    axis = Markup(
        '<line class="chart-axis" x1="{left}" y1="{base}" x2="{right}" y2="{base}"/>'
        '<line class="chart-axis" x1="{left}" y1="{top}" x2="{left}" y2="{base}"/>'
        '<text x="{beside}" y="{base}" text-anchor="end">{nothing}</text>'
        '<text x="{beside}" y="{below_top}" text-anchor="end">{end}</text>'
    ).format(
        left=_LEFT,
        right=_WIDTH - _RIGHT,
        top=_TOP,
        base=_TOP + height,
        beside=_LEFT - 6,
        below_top=_TOP + 9,
        nothing=axis_text(0),
        end=axis_text(end),
    )
    svg = _svg(name, title, _described(points), (_WIDTH, _HEIGHT), axis + marks + _labels_below(points))
    return Chart(
        name=name,
        title=title,
        label_heading=label_heading,
        value_heading=value_heading,
        points=tuple(points),
        svg=svg,
    )


def row_chart(
    name: str, title: str, points: Sequence[ChartPoint], *, label_heading: str, value_heading: str
) -> Chart:
    """Bars that lie below each other, each with its label before and its value behind it."""
    end = max((point.value or 0 for point in points), default=0) or 1
    width = _ROWS_WIDTH - _ROW_LABEL_WIDTH - _ROW_VALUE_WIDTH
    rows = Markup("")
    for place, point in enumerate(points):
        y = place * _ROW_HEIGHT
        length = width * (point.value or 0) / end
        rows += Markup('<text x="{}" y="{}" text-anchor="end">{}</text>').format(
            _ROW_LABEL_WIDTH - 8, y + 17, _shortened(point.label)
        )
        if point.value:
            rows += _bar(point, x=_ROW_LABEL_WIDTH, y=y + 4, width=length, height=_ROW_HEIGHT - 8)
        rows += Markup('<text x="{}" y="{}">{}</text>').format(
            _coordinate(_ROW_LABEL_WIDTH + length + 6), y + 17, point.text
        )
    height = max(len(points), 1) * _ROW_HEIGHT
    return Chart(
        name=name,
        title=title,
        label_heading=label_heading,
        value_heading=value_heading,
        points=tuple(points),
        svg=_svg(name, title, _described(points), (_ROWS_WIDTH, height), rows),
    )


def _svg(name: str, title: str, description: str, size: tuple[int, int], content: Markup) -> Markup:
    return Markup(
        '<svg class="chart" viewBox="0 0 {width} {height}" role="img" '
        'aria-labelledby="{name}-title {name}-description">'
        '<title id="{name}-title">{title}</title><desc id="{name}-description">{description}</desc>'
        "{content}</svg>"
    ).format(width=size[0], height=size[1], name=name, title=title, description=description, content=content)


def _bar(point: ChartPoint, *, x: float, y: float, width: float, height: float) -> Markup:
    return Markup(
        '<rect class="bar-for" x="{}" y="{}" width="{}" height="{}"><title>{}: {}</title></rect>'
    ).format(_coordinate(x), _coordinate(y), _coordinate(width), _coordinate(height), point.label, point.text)


def _labels_below(points: Sequence[ChartPoint]) -> Markup:
    """The first and the last label: more would not stand side by side in every local form."""
    if not points:
        return Markup("")
    return Markup(
        '<text x="{left}" y="{below}">{first}</text>'
        '<text x="{right}" y="{below}" text-anchor="end">{last}</text>'
    ).format(
        left=_LEFT, right=_WIDTH - _RIGHT, below=_HEIGHT - 8, first=points[0].label, last=points[-1].label
    )


def _described(points: Sequence[ChartPoint]) -> str:
    known = [point for point in points if point.value is not None]
    if not known:
        return _EMPTY
    highest = max(known, key=lambda point: point.value or 0)
    lowest = min(known, key=lambda point: point.value or 0)
    return (
        f"From {points[0].label} to {points[-1].label}. "
        f"Highest: {highest.text}, {highest.label}. Lowest: {lowest.text}, {lowest.label}."
    )


def _shortened(label: str) -> str:
    return label if len(label) <= _ROW_LABEL_MAXIMUM else f"{label[: _ROW_LABEL_MAXIMUM - 1]}…"


def _coordinate(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
