"""Charts as inline SVG: numbers and names in, markup out, without scripts, styles or outside parts.

Colours come from the page's style sheet by class (`c0`, `c1`, `c2`, `warn`); none carries a meaning alone:
series also differ by dash, and flagged rows carry a mark. Every chart has a text in its place for whoever
cannot see it. A name is any text: it is cut first and escaped once, when it enters the markup.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from evidence.axes import Axis, round_maximum

WIDTH, HEIGHT, WIDE = 460, 300, 640
LONGEST_NAME = 30
"""Characters of a row's name in a chart of WIDTH; the whole name is the tooltip of a longer one."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 54, 24, 26, 40
_ROW_HEIGHT, _ROWS_TOP, _NAME_WIDTH = 21, 14, 215
_LEGEND_HEIGHT = 20
# About the width at which columns are shown: text in a chart grows and shrinks with it.
_COLUMNS_WIDTH, _COLUMNS_HEIGHT = 380, 170
_COLUMNS_LEFT, _COLUMNS_RIGHT, _COLUMNS_TOP, _COLUMNS_BOTTOM = 58, 4, 12, 26
_BAR_HEIGHT, _BAR_NAME_WIDTH, _BAR_VALUE_WIDTH, _LONGEST_BAR_NAME = 26, 190, 90, 26
_EMPTY = "There is nothing to show yet."


@dataclass(frozen=True, kw_only=True)
class Series:
    """One line, or a band alone where y is empty.

    low, high: the band around it, or empty. place: which of the page's colours and dashes, 0 to 2.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float] = ()
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    place: int = 0
    with_markers: bool = False


@dataclass(frozen=True, kw_only=True)
class Upright:
    """A line across the chart at a value of the x axis. place: as in `Series`."""

    value: float
    place: int


def line_chart(
    title: str,
    series: Sequence[Series],
    x_axis: Axis,
    y_axis: Axis,
    *,
    said: str,
    with_diagonal: bool = False,
    uprights: Sequence[Upright] = (),
    shaded_until: float | None = None,
    width: int = WIDTH,
) -> Markup:
    """Lines with bands. said: the chart in words, for who cannot see it.

    shaded_until: from the low end to this value of the x axis the ground is shaded: nothing is known there.
    """

    def across(x: float) -> float:
        return _LEFT + x_axis.share_of(x) * (width - _LEFT - _RIGHT)

    def down(y: float) -> float:
        return HEIGHT - _BOTTOM - y_axis.share_of(y) * (HEIGHT - _TOP - _BOTTOM)

    def path(x: Sequence[float], y: Sequence[float]) -> list[str]:
        return [f"{across(one):.1f},{down(other):.1f}" for one, other in zip(x, y, strict=True)]

    content = Markup("")
    if shaded_until is not None and shaded_until > x_axis.low:
        content += Markup('<rect class="shade" x="{}" y="{}" width="{:.1f}" height="{}"/>').format(
            _LEFT, _TOP, across(shaded_until) - _LEFT, HEIGHT - _TOP - _BOTTOM
        )
    content += _grid(x_axis, y_axis, across, down, width)
    if with_diagonal:
        low, high = max(x_axis.low, y_axis.low), min(x_axis.high, y_axis.high)
        content += Markup('<polyline class="ref" points="{}"/>').format(
            " ".join(path([low, high], [low, high]))
        )
    for line in series:
        if line.low:
            outline = [*path(line.x, line.high), *reversed(path(line.x, line.low))]
            content += Markup('<polygon class="band c{}" points="{}"/>').format(line.place, " ".join(outline))
    for upright in uprights:
        content += Markup('<line class="line c{}" x1="{x:.1f}" x2="{x:.1f}" y1="{}" y2="{}"/>').format(
            upright.place, _TOP, HEIGHT - _BOTTOM, x=across(upright.value)
        )
    for line in series:
        if not line.y:
            continue
        points = path(line.x, line.y)
        content += Markup('<polyline class="line c{}" points="{}"/>').format(line.place, " ".join(points))
        if line.with_markers:
            for point in points:
                content += Markup('<circle class="dot c{}" cx="{}" cy="{}" r="3"/>').format(
                    line.place, *point.split(",")
                )
    if len(series) > 1:
        content += _legend(
            [("line" if line.y else "band", f"c{line.place}", line.name) for line in series], width
        )
    return _svg(title, said, (width, HEIGHT), content)


def _grid(
    x_axis: Axis, y_axis: Axis, across: Callable[[float], float], down: Callable[[float], float], width: int
) -> Markup:
    lines = Markup("")
    for value, text in x_axis.ticks:
        lines += Markup(
            '<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{}" y2="{}"/>'
            '<text x="{x:.1f}" y="{}" text-anchor="middle">{}</text>'
        ).format(_TOP, HEIGHT - _BOTTOM, HEIGHT - _BOTTOM + 15, text, x=across(value))
    for value, text in y_axis.ticks:
        lines += Markup(
            '<line class="grid" x1="{}" x2="{}" y1="{y:.1f}" y2="{y:.1f}"/>'
            '<text x="{}" y="{:.1f}" text-anchor="end">{}</text>'
        ).format(_LEFT, width - _RIGHT, _LEFT - 6, down(value) + 4, text, y=down(value))
    return lines + Markup(
        '<text class="axis" x="{}" y="{}" text-anchor="middle">{}</text>'
        '<text class="axis" x="4" y="14">{}</text>'
    ).format((_LEFT + width - _RIGHT) / 2, HEIGHT - 6, x_axis.label, y_axis.label)


@dataclass(frozen=True, kw_only=True)
class ChartRow:
    """One row of a row chart. low, high: the ends of its interval, None where it has none.

    compared, limit: values to hold it against, drawn as a ring and as an upright stroke; None for none.
    place: which of the page's colours, 0 to 2. is_flagged: in the colour of a warning, with a mark beside
        the name.
    """

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    compared: float | None = None
    limit: float | None = None
    place: int = 0
    is_flagged: bool = False


def row_chart(
    title: str,
    rows: Sequence[ChartRow],
    axis: Axis,
    *,
    said: str,
    with_bars: bool = False,
    uprights: Sequence[float] = (),
    legend: Sequence[tuple[str, str]] = (),
    width: int = WIDTH,
) -> Markup:
    """One line per row: a dot or a bar with its interval, and what it is compared with.

    uprights: values of the axis with a dotted line through all rows. legend: what each kind of mark
    is, of `fill`, `ring` and `stroke`.
    """
    name_width = _NAME_WIDTH + (width - WIDTH) // 3
    top = _ROWS_TOP + (_LEGEND_HEIGHT if legend else 0)
    height = top + _ROW_HEIGHT * len(rows) + _BOTTOM

    def across(value: float) -> float:
        return name_width + axis.share_of(value) * (width - name_width - _RIGHT)

    def upright(kind: str, value: float) -> Markup:
        return Markup('<line class="{}" x1="{x:.1f}" x2="{x:.1f}" y1="{}" y2="{}"/>').format(
            kind, top - 8, height - _BOTTOM, x=across(value)
        )

    content = _legend([(mark, "c0", words) for mark, words in legend], width)
    for value, text in axis.ticks:
        content += upright("grid", value) + Markup(
            '<text x="{:.1f}" y="{}" text-anchor="middle">{}</text>'
        ).format(across(value), height - _BOTTOM + 15, text)
    if axis.low < 0 < axis.high:
        content += upright("zero", 0.0)
    for value in uprights:
        content += upright("ref", value)
    for place, row in enumerate(rows):
        middle = top + _ROW_HEIGHT * place + 4
        content += _name(
            f"⚠ {row.name}" if row.is_flagged else row.name,
            LONGEST_NAME * name_width // _NAME_WIDTH,
            name_width - 8,
            middle + 4,
        )
        content += _marks(row, across, middle, with_bars=with_bars)
    content += Markup('<text class="axis" x="{}" y="{}" text-anchor="middle">{}</text>').format(
        (name_width + width - _RIGHT) / 2, height - 6, axis.label
    )
    return _svg(title, said, (width, height), content)


def _marks(row: ChartRow, across: Callable[[float], float], middle: int, *, with_bars: bool) -> Markup:
    colour = "warn" if row.is_flagged else f"c{row.place}"
    marks = Markup("")
    if with_bars:
        marks += Markup('<rect class="fill {}" x="{:.1f}" y="{}" width="{:.1f}" height="10"/>').format(
            colour, across(0), middle - 5, max(across(row.value) - across(0), 0.5)
        )
    if row.low is not None and row.high is not None:
        marks += Markup('<line class="whisker {}" x1="{:.1f}" x2="{:.1f}" y1="{y}" y2="{y}"/>').format(
            colour, across(row.low), across(row.high), y=middle
        )
    if not with_bars:
        marks += Markup('<circle class="dot {}" cx="{:.1f}" cy="{}" r="4"/>').format(
            colour, across(row.value), middle
        )
    if row.limit is not None:
        marks += Markup('<line class="stroke" x1="{x:.1f}" x2="{x:.1f}" y1="{}" y2="{}"/>').format(
            middle - 8, middle + 8, x=across(row.limit)
        )
    if row.compared is not None:
        marks += Markup('<circle class="ring" cx="{:.1f}" cy="{}" r="5"/>').format(
            across(row.compared), middle
        )
    return marks


@dataclass(frozen=True, kw_only=True)
class ChartPoint:
    """One bar. value: at least 0, None where there is none. label, text: local forms of both."""

    label: str
    value: float | None
    text: str


def column_chart(
    title: str,
    points: Sequence[ChartPoint],
    *,
    axis_text: Callable[[float], str],
    maximum: float | None = None,
    name: str | None = None,
) -> Markup:
    """Upright bars, from left to right in the order of time.

    axis_text: the local form of a value on the axis. maximum: the end of the axis, such as 1 for shares.
    name: unique in its page, for ids; with it the chart's title and description are elements of their own.
    """
    end = maximum or round_maximum(max((point.value or 0 for point in points), default=0))
    base = _COLUMNS_HEIGHT - _COLUMNS_BOTTOM
    width, height = _COLUMNS_WIDTH - _COLUMNS_LEFT - _COLUMNS_RIGHT, base - _COLUMNS_TOP
    step = width / max(len(points), 1)
    bars = Markup("").join(
        _bar(
            point,
            x=_COLUMNS_LEFT + place * step + step * 0.1,
            y=_COLUMNS_TOP + height * (1 - min(point.value / end, 1)),
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
        left=_COLUMNS_LEFT,
        right=_COLUMNS_WIDTH - _COLUMNS_RIGHT,
        top=_COLUMNS_TOP,
        base=base,
        beside=_COLUMNS_LEFT - 6,
        below_top=_COLUMNS_TOP + 9,
        nothing=axis_text(0),
        end=axis_text(end),
    )
    labels = Markup("")
    if points:
        # The first and the last label: more would not stand side by side in every local form.
        labels = Markup(
            '<text x="{left}" y="{below}">{first}</text>'
            '<text x="{right}" y="{below}" text-anchor="end">{last}</text>'
        ).format(
            left=_COLUMNS_LEFT,
            right=_COLUMNS_WIDTH - _COLUMNS_RIGHT,
            below=_COLUMNS_HEIGHT - 8,
            first=points[0].label,
            last=points[-1].label,
        )
    return _svg(title, _described(points), (_COLUMNS_WIDTH, _COLUMNS_HEIGHT), axis + bars + labels, name)


def bar_chart(
    title: str, points: Sequence[ChartPoint], *, said: str | None = None, name: str | None = None
) -> Markup:
    """Bars that lie below each other, each with its label before and its value behind it.

    said: the chart in words, else its highest and lowest bar. name: as in `column_chart`.
    """
    end = max((point.value or 0 for point in points), default=0) or 1
    rows = Markup("")
    for place, point in enumerate(points):
        y = place * _BAR_HEIGHT
        length = (WIDE - _BAR_NAME_WIDTH - _BAR_VALUE_WIDTH) * (point.value or 0) / end
        rows += _name(point.label, _LONGEST_BAR_NAME, _BAR_NAME_WIDTH - 8, y + 17)
        if point.value:
            rows += _bar(point, x=_BAR_NAME_WIDTH, y=y + 4, width=length, height=_BAR_HEIGHT - 8)
        rows += Markup('<text x="{}" y="{}">{}</text>').format(
            _coordinate(_BAR_NAME_WIDTH + length + 6), y + 17, point.text
        )
    size = (WIDE, max(len(points), 1) * _BAR_HEIGHT)
    return _svg(title, _described(points) if said is None else said, size, rows, name)


def _bar(point: ChartPoint, *, x: float, y: float, width: float, height: float) -> Markup:
    return Markup(
        '<rect class="bar-for" x="{}" y="{}" width="{}" height="{}"><title>{}: {}</title></rect>'
    ).format(_coordinate(x), _coordinate(y), _coordinate(width), _coordinate(height), point.label, point.text)


def _name(name: str, longest: int, x: float, y: float) -> Markup:
    """A row's name that ends at x, cut to its longest; the whole of a cut one is its tooltip."""
    whole, shown = Markup(""), name
    if len(name) > longest:
        whole, shown = Markup("<title>{}</title>").format(name), f"{name[: longest - 1]}…"
    return Markup('<text x="{}" y="{}" text-anchor="end">{}{}</text>').format(x, y, whole, shown)


def _legend(entries: Sequence[tuple[str, str, str]], width: int) -> Markup:
    """Samples of marks with their words, flush right above the chart. entries: (kind, colour, words)."""
    samples = {
        "line": '<line class="line {}" x1="{:.0f}" x2="{:.0f}" y1="10" y2="10"/>',
        "band": '<rect class="band {}" x="{:.0f}" y="5" width="22" height="10"/>',
        "fill": '<rect class="fill {}" x="{:.0f}" y="5" width="22" height="10"/>',
        "ring": '<circle class="ring {}" cx="{middle:.0f}" cy="10" r="5"/>',
        "stroke": '<line class="stroke {}" x1="{middle:.0f}" x2="{middle:.0f}" y1="2" y2="18"/>',
    }
    drawn = Markup("")
    across = float(width - _RIGHT)
    for kind, colour, words in reversed(entries):
        across -= 6.4 * len(words) + 34
        drawn += Markup(samples[kind]).format(colour, across, across + 22, middle=across + 15)  # noqa: S704 - from the lines above
        drawn += Markup('<text x="{:.0f}" y="14">{}</text>').format(across + 26, words)
    return drawn


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


def _svg(title: str, said: str, size: tuple[int, int], content: Markup, name: str | None = None) -> Markup:
    """The frame of every chart: its role, its title and its text for who cannot see it."""
    if name is None:
        label = Markup('aria-label="{}. {}"').format(title, said)
    else:
        label = Markup('aria-labelledby="{name}-title {name}-description"').format(name=name)
        words = '<title id="{name}-title">{}</title><desc id="{name}-description">{}</desc>'
        content = Markup(words).format(title, said, name=name) + content  # noqa: S704 - from the line above
    return Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" {}>{}</svg>').format(
        *size, label, content
    )


def _coordinate(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
