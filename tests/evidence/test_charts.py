"""Charts: any name comes through once escaped and cut before it is, and each says in words what it shows."""

from collections.abc import Callable
from html.parser import HTMLParser

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markupsafe import Markup

from evidence.axes import Axis, name_axis, number_axis, percent_axis
from evidence.charts import (
    LONGEST_NAME,
    ChartPoint,
    ChartRow,
    Series,
    Upright,
    bar_chart,
    column_chart,
    line_chart,
    row_chart,
)
from evidence.share_bar import LEAST, WIDTH, share_bar

names = st.text(min_size=1, max_size=2 * LONGEST_NAME).filter(str.strip)


class Drawing(HTMLParser):
    """Reads a drawing strictly: every element is closed in turn; notes its attributes and its texts."""

    def __init__(self, drawn: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.tooltips: list[str] = []
        self.feed(drawn)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.open.append(tag)
        if tag == "text":
            self.texts.append("")
        if tag == "title":
            self.tooltips.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1] == "text":
            self.texts[-1] += data
        if self.open[-1] == "title":
            self.tooltips[-1] += data


def lines(title: str, said: str, name: str) -> Markup:
    series = [Series(name=name, x=[0, 1], y=[0.1, 0.2], low=[0, 0], high=[1, 1]), Series(name="b", x=[0, 1])]
    return line_chart(title, series, name_axis(name, [name, "b"]), percent_axis(name), said=said)


def rows(title: str, said: str, name: str) -> Markup:
    return row_chart(title, [ChartRow(name=name, value=0.5)], number_axis(name, 0, 1), said=said)


def flagged_rows(title: str, said: str, name: str) -> Markup:
    row = ChartRow(name=name, value=0.5, low=0.1, high=0.7, compared=0.4, limit=0.2, is_flagged=True)
    legend = [("fill", name), ("ring", name), ("stroke", name)]
    return row_chart(title, [row], percent_axis(name), said=said, with_bars=True, legend=legend)


def bars(title: str, said: str, name: str) -> Markup:
    return bar_chart(title, [ChartPoint(label=name, value=3, text=name)], said=said)


def columns(title: str, said: str, name: str) -> Markup:
    points = [ChartPoint(label=name, value=3, text=said), ChartPoint(label="b", value=None, text=name)]
    return column_chart(title, points, axis_text=lambda value: f"{name} {value}")


CHARTS = (lines, rows, flagged_rows, bars, columns)
Chart = Callable[[str, str, str], Markup]


@pytest.mark.parametrize("chart", CHARTS)
@given(title=names, said=names, name=names)
@example(title="a & b", said='"', name="a & b")
@example(title="<b>", said="&amp;", name="&" * (LONGEST_NAME + 1))
@example(title="'", said="</svg>", name=f"{'x' * (LONGEST_NAME - 2)}&lt;b")
def test_any_text_is_shown_as_it_is_and_breaks_out_of_nothing(
    chart: Chart, title: str, said: str, name: str
) -> None:
    title, said, name = (text.replace("\r", " ").replace("\0", " ") for text in (title, said, name))
    drawing = Drawing(chart(title, said, name))
    tag, attributes = drawing.tags[0]
    assert (tag, attributes["role"], attributes["class"]) == ("svg", "img", "chart")
    assert (attributes["aria-label"] or "").startswith(f"{title}. ")
    assert said in (attributes["aria-label"] or "")
    shown = "\n".join(drawing.texts)
    assert name in shown or (name in "\n".join(drawing.tooltips) and f"{name[:20]}" in shown)
    allowed = {"svg", "text", "title", "line", "rect", "circle", "polyline", "polygon"}
    assert {tag for tag, _ in drawing.tags} <= allowed


@given(name=st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), min_size=LONGEST_NAME + 1))
@example(name="a & b " * 8)
def test_a_long_name_is_cut_before_it_is_escaped_and_its_whole_is_the_tooltip(name: str) -> None:
    drawing = Drawing(rows("t", "s", name))
    assert f"{name[: LONGEST_NAME - 1]}…" in drawing.texts
    assert name in drawing.tooltips


@given(
    st.dictionaries(st.sampled_from(("good", "bad", "watch")), st.integers(0, 10**9), min_size=1),
    names.filter(lambda name: not {"\r", "\0"} & set(name)),
)
@example(parts={"good": 0, "bad": 0, "watch": 0}, said="0 of 0")
@example(parts={"good": 10**9, "bad": 1, "watch": 1}, said='a & "b"')
def test_the_parts_of_a_bar_lie_beside_each_other_and_the_rarest_is_seen(
    parts: dict[str, int], said: str
) -> None:
    drawing = Drawing(share_bar(parts, whole=sum(parts.values()), said=said))
    assert drawing.tags[0][1]["aria-label"] == said
    bars = [attributes for tag, attributes in drawing.tags if tag == "rect"][1:]
    end = 0
    for count, bar in zip(parts.values(), bars, strict=True):
        assert int(bar["x"] or 0) == end
        end += int(bar["width"] or 0)
        assert (int(bar["width"] or 0) >= LEAST) is (count > 0)
    assert end <= WIDTH


def test_a_chart_with_a_name_has_its_title_and_its_description_as_elements_of_their_own() -> None:
    points = [ChartPoint(label="1 May", value=3, text="3"), ChartPoint(label="2 May", value=5, text="5")]
    drawn = column_chart("Orders & more", points, axis_text=str, name="orders")
    assert 'aria-labelledby="orders-title orders-description"' in drawn
    assert '<title id="orders-title">Orders &amp; more</title>' in drawn
    assert '<desc id="orders-description">From 1 May to 2 May. Highest: 5, 2 May.' in drawn
    nothing = column_chart("Orders", [], axis_text=str, name="orders")
    assert "There is nothing to show yet." in nothing


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6))
def test_an_axis_holds_both_ends_and_its_ticks_are_round(low: float, span: float) -> None:
    axis = number_axis("x", low, low + span)
    allowed = 1e-6 * max(abs(low), abs(low + span), 1)
    assert axis.low <= low + allowed
    assert axis.high >= low + span - allowed
    assert 2 <= len(axis.ticks) <= 9
    assert axis.ticks[0][0] == pytest.approx(axis.low)


def test_the_ground_is_shaded_up_to_where_something_is_known_and_uprights_stand_at_their_values() -> None:
    axis = Axis(label="cut-off", low=400, high=500, ticks=())
    line = Series(name="net", x=[400, 500], y=[0.2, 0.4])
    drawn = Drawing(
        line_chart(
            "Net",
            [line],
            axis,
            percent_axis(""),
            said="",
            uprights=[Upright(value=450, place=1)],
            shaded_until=425,
        )
    )
    (shade,) = [attributes for tag, attributes in drawn.tags if attributes.get("class") == "shade"]
    (upright,) = [attributes for tag, attributes in drawn.tags if attributes.get("class") == "line c1"]
    (polyline,) = [attributes for tag, attributes in drawn.tags if tag == "polyline"]
    first, last = [float(point.split(",")[0]) for point in (polyline["points"] or "").split()]
    assert float(upright["x1"] or 0) == pytest.approx((first + last) / 2, abs=0.1)
    assert float(shade["width"] or 0) == pytest.approx((last - first) / 4, abs=0.1)
