"""Small charts as inline SVG: no script, no outside part, colours from the page's style, words beside them.

Series differ by colour and by dash, so they can be told apart in print; every chart has a label in words.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape

from evidence.intervals import Interval

WIDTH, HEIGHT = 460, 300
LEFT, RIGHT, TOP, BOTTOM = 54, 24, 26, 40
ROW_HEIGHT = 21
ROWS_TOP = 14
NAME_WIDTH = 215


@dataclass(frozen=True, kw_only=True)
class Series:
    """One line. low, high: a band around it, or empty. place: which of the page's colours and dashes."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    place: int = 0
    with_markers: bool = False


@dataclass(frozen=True, kw_only=True)
class Axis:
    """An axis: what it shows, from where to where, and its ticks with their words."""

    label: str
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]

    def share_of(self, value: float) -> float:
        """Where a value lies between low (0) and high (1), held within."""
        return min(max((value - self.low) / (self.high - self.low), 0.0), 1.0)


@dataclass(frozen=True, kw_only=True)
class ChartRow:
    """One row of a row chart: an interval, and optionally a second value to compare it with.

    is_flagged: drawn in the colour of a warning, with a mark beside the name.
    """

    name: str
    interval: Interval
    compared: float | None = None
    is_flagged: bool = False


def percent_axis(label: str, high: float = 1.0, *, low: float = 0.0) -> Axis:
    """An axis of shares from low to about high, with round ticks."""
    return number_axis(label, low, high, per_cent=True)


def number_axis(label: str, low: float, high: float, *, per_cent: bool = False) -> Axis:
    """An axis from about low to about high, with four or five round ticks.

    >>> [text for _, text in number_axis("x", 0, 0.043, per_cent=True).ticks]
    ['0 %', '1 %', '2 %', '3 %', '4 %', '5 %']
    """
    span = high - low if high > low else max(abs(high), 1.0)
    raw = span / 4
    magnitude = 10.0 ** np.floor(np.log10(raw))
    step = float(magnitude * next(factor for factor in (1, 2, 2.5, 5, 10) if factor * magnitude >= raw * 0.8))
    first, last = int(np.floor(low / step + 1e-9)), int(np.ceil(high / step - 1e-9))
    last = max(last, first + 1)
    ticks = tuple((place * step, _number(place * step, per_cent)) for place in range(first, last + 1))
    return Axis(label=label, low=first * step, high=last * step, ticks=ticks)


def _number(value: float, per_cent: bool) -> str:
    if per_cent:
        return f"{value * 100:.4g} %"
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.4g}{letter}"
    return f"{value:.4g}"


def line_chart(
    title: str,
    series: Sequence[Series],
    x_axis: Axis,
    y_axis: Axis,
    *,
    said: str,
    with_diagonal: bool = False,
) -> Markup:
    """Lines with bands. said: the chart in words, for who cannot see it."""

    def at(x: float, y: float) -> str:
        across = LEFT + x_axis.share_of(x) * (WIDTH - LEFT - RIGHT)
        down = HEIGHT - BOTTOM - y_axis.share_of(y) * (HEIGHT - TOP - BOTTOM)
        return f"{across:.1f},{down:.1f}"

    parts = [_axes(x_axis, y_axis, at)]
    if with_diagonal:
        low, high = max(x_axis.low, y_axis.low), min(x_axis.high, y_axis.high)
        parts.append(f'<polyline class="ref" points="{at(low, low)} {at(high, high)}"/>')
    for line in series:
        if line.low:
            there = [at(x, y) for x, y in zip(line.x, line.high, strict=True)]
            back = [at(x, y) for x, y in zip(line.x, line.low, strict=True)]
            outline = " ".join([*there, *reversed(back)])
            parts.append(f'<polygon class="band c{line.place}" points="{outline}"/>')
    for line in series:
        points = [at(x, y) for x, y in zip(line.x, line.y, strict=True)]
        parts.append(f'<polyline class="line c{line.place}" points="{" ".join(points)}"/>')
        if line.with_markers:
            for point in points:
                across, down = point.split(",")
                parts.append(f'<circle class="dot c{line.place}" cx="{across}" cy="{down}" r="3"/>')
    if len(series) > 1:
        parts.append(_legend(series))
    return _svg(title, said, HEIGHT, parts)


def _axes(x_axis: Axis, y_axis: Axis, at: Callable[[float, float], str]) -> str:
    parts = []
    for value, text in x_axis.ticks:
        across = at(value, y_axis.low).split(",")[0]
        parts.append(
            f'<line class="grid" x1="{across}" x2="{across}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
            f'<text x="{across}" y="{HEIGHT - BOTTOM + 15}" text-anchor="middle">{escape(text)}</text>'
        )
    for value, text in y_axis.ticks:
        down = at(x_axis.low, value).split(",")[1]
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{down}" y2="{down}"/>'
            f'<text x="{LEFT - 6}" y="{float(down) + 4:.1f}" text-anchor="end">{escape(text)}</text>'
        )
    parts.append(
        f'<text class="axis" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 6}" text-anchor="middle">'
        f'{escape(x_axis.label)}</text><text class="axis" x="4" y="14">{escape(y_axis.label)}</text>'
    )
    return "".join(parts)


def _legend(series: Sequence[Series]) -> str:
    parts = []
    across = float(WIDTH - RIGHT)
    for line in reversed(series):
        across -= 6.4 * len(line.name) + 34
        parts.append(
            f'<line class="line c{line.place}" x1="{across:.0f}" x2="{across + 22:.0f}" y1="10" y2="10"/>'
            f'<text x="{across + 26:.0f}" y="14">{escape(line.name)}</text>'
        )
    return "".join(parts)


def row_chart(
    title: str, rows: Sequence[ChartRow], axis: Axis, *, said: str, with_bars: bool = False
) -> Markup:
    """One line per row: a dot or a bar with its interval, and a ring for what it is compared with."""
    height = ROWS_TOP + ROW_HEIGHT * len(rows) + BOTTOM

    def across(value: float) -> float:
        return NAME_WIDTH + axis.share_of(value) * (WIDTH - NAME_WIDTH - RIGHT)

    def upright(kind: str, value: float) -> str:
        x = f"{across(value):.1f}"
        return f'<line class="{kind}" x1="{x}" x2="{x}" y1="{ROWS_TOP - 8}" y2="{height - BOTTOM}"/>'

    parts = []
    for value, text in axis.ticks:
        below = f'<text x="{across(value):.1f}" y="{height - BOTTOM + 15}" text-anchor="middle">'
        parts.append(f"{upright('grid', value)}{below}{escape(text)}</text>")
    if axis.low < 0 < axis.high:
        parts.append(upright("zero", 0.0))
    for place, row in enumerate(rows):
        middle = ROWS_TOP + ROW_HEIGHT * place + 4
        colour = "warn" if row.is_flagged else "c0"
        name = escape(_short(f"⚠ {row.name}" if row.is_flagged else row.name))
        parts.append(
            f'<text x="{NAME_WIDTH - 8}" y="{middle + 4}" text-anchor="end">{escape(_short(name))}</text>'
        )
        if with_bars:
            start = across(0)
            parts.append(
                f'<rect class="fill {colour}" x="{start:.1f}" y="{middle - 5}" '
                f'width="{max(across(row.interval.value) - start, 0.5):.1f}" height="10"/>'
            )
        parts.append(
            f'<line class="whisker {colour}" x1="{across(row.interval.low):.1f}" '
            f'x2="{across(row.interval.high):.1f}" y1="{middle}" y2="{middle}"/>'
        )
        if not with_bars:
            parts.append(
                f'<circle class="dot {colour}" cx="{across(row.interval.value):.1f}" cy="{middle}" r="4"/>'
            )
        if row.compared is not None:
            parts.append(f'<circle class="ring" cx="{across(row.compared):.1f}" cy="{middle}" r="5"/>')
    parts.append(
        f'<text class="axis" x="{(NAME_WIDTH + WIDTH - RIGHT) / 2}" y="{height - 6}" text-anchor="middle">'
        f"{escape(axis.label)}</text>"
    )
    return _svg(title, said, height, parts)


def _short(name: str) -> str:
    return name if len(name) <= 30 else f"{name[:29]}…"


def _svg(title: str, said: str, height: int, parts: Sequence[str]) -> Markup:
    label = escape(f"{title}. {said}")
    # Everything inside is made of numbers and escaped words.
    return Markup(  # noqa: S704 see the line above
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{label}">{"".join(parts)}</svg>'
    )
