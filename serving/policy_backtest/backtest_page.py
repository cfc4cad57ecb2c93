"""The HTML report of a backtest: one file without outside parts, readable on a telephone, light and dark."""

from collections.abc import Callable, Sequence
from functools import partial

from markupsafe import Markup

from data_contracts.currencies import amount_figure, major_units
from evidence.axes import Axis, number_axis
from evidence.charts import WIDE, ChartPoint, ChartRow, Series, Upright, bar_chart, line_chart, row_chart
from evidence.intervals import AmountInterval, Interval
from evidence.report_page import report_template
from serving.policy_backtest.backtest_figures import Backtest, Change, Money, PolicyFigures, SegmentChange
from serving.policy_backtest.backtest_text import amount_text, rate_text, span_text, verdict
from serving.policy_backtest.cut_off_curve import CurvePoint, CutOffCurve

_TICK_POINTS = 50


def backtest_page(result: Backtest) -> str:
    """The report as HTML."""
    return report_template("serving.policy_backtest", "backtest.html").render(
        r=result,
        verdict=verdict(result),
        tiles=_tiles(result),
        comparison=_comparison(result),
        curves=[(curve, _curve_charts(curve, result)) for curve in result.curves],
        changes=[
            ("Newly declined", result.newly_declined, _rule_chart(result.newly_declined)),
            ("Newly approved", result.newly_approved, _rule_chart(result.newly_approved)),
        ],
        band_chart=_band_chart(result.segments["score band"]),
        rate=rate_text,
        amount=partial(amount_text, currency=result.currency),
        figure=partial(amount_figure, currency=result.currency),
    )


def _tiles(result: Backtest) -> list[tuple[str, str, str]]:
    change, currency = result.difference, result.currency
    texts = [
        ("Approvals", rate_text(change.approval_rate, signed=True)),
        ("Bad rate, known outcomes", rate_text(change.bad_rate, signed=True)),
        ("Net, realised", amount_text(change.realised_net, currency, signed=True)),
        ("Loss, realised", amount_text(change.realised_loss, currency, signed=True)),
    ]
    tiles = []
    for name, text in texts:
        value, bracket, interval = text.partition(" [")
        tiles.append((name, value, f"95 %: {interval.removesuffix(']')}" if bracket else "not known"))
    return tiles


def _comparison(result: Backtest) -> list[tuple[str, str, str, str]]:
    before, after, change = result.before, result.after, result.difference
    currency = result.currency

    def money(part: Money | None, name: str) -> str:
        return amount_text(None if part is None else getattr(part, name), currency)

    def approved(figures: PolicyFigures) -> str:
        return f"{figures.approved:,}"

    return [
        ("approved orders", approved(before), approved(after), f"{after.approved - before.approved:+,}"),
        (
            "approval rate",
            rate_text(before.approval_rate),
            rate_text(after.approval_rate),
            rate_text(change.approval_rate, signed=True),
        ),
        (
            "bad rate, known outcomes",
            rate_text(before.bad_rate),
            rate_text(after.bad_rate),
            rate_text(change.bad_rate, signed=True),
        ),
        (
            "bad rate, inferred range",
            span_text(before.bad_rate_inferred, currency),
            span_text(after.bad_rate_inferred, currency),
            "",
        ),
        (
            "bad rate, bounds",
            span_text(before.bad_rate_bounds, currency),
            span_text(after.bad_rate_bounds, currency),
            "",
        ),
        (
            "margin, realised",
            money(before.realised, "margin"),
            money(after.realised, "margin"),
            amount_text(change.realised_margin, currency, signed=True),
        ),
        (
            "loss, realised",
            money(before.realised, "loss"),
            money(after.realised, "loss"),
            amount_text(change.realised_loss, currency, signed=True),
        ),
        (
            "net, realised",
            money(before.realised, "net"),
            money(after.realised, "net"),
            amount_text(change.realised_net, currency, signed=True),
        ),
        (
            "net, expected of young invoices",
            money(before.expected, "net"),
            money(after.expected, "net"),
            amount_text(change.expected_net, currency, signed=True),
        ),
        (
            "net of all, inferred range",
            span_text(before.net_inferred, currency),
            span_text(after.net_inferred, currency),
            span_text(change.net_inferred, currency, signed=True),
        ),
        (
            "net of all, bounds",
            span_text(before.net_bounds, currency),
            span_text(after.net_bounds, currency),
            span_text(change.net_bounds, currency, signed=True),
        ),
        *(
            (
                f"approved, {kind.replace('_', ' ')}",
                f"{count.orders:,} ({count.share:.1%})",
                f"{after.evidence[kind].orders:,} ({after.evidence[kind].share:.1%})",
                f"{after.evidence[kind].orders - count.orders:+,}",
            )
            for kind, count in before.evidence.items()
        ),
    ]


Ends = tuple[float, float, float]


def _curve_charts(curve: CutOffCurve, result: Backtest) -> list[tuple[str, Markup]]:
    before = next(
        (cut_off for group, cut_off in result.cut_offs_before if group == curve.group), curve.cut_off
    )

    def of_rate(rate: Interval | None) -> Ends | None:
        return None if rate is None else (rate.value, rate.low, rate.high)

    def units(cents: int) -> float:
        return major_units(cents, result.currency)

    def of_amount(net: AmountInterval | None) -> Ends | None:
        if net is None:
            return None
        if net.low_cents is None or net.high_cents is None:
            # No order adds anything above the cut-off: a point of the line without a band.
            return units(net.cents), units(net.cents), units(net.cents)
        return units(net.cents), units(net.low_cents), units(net.high_cents)

    charts: list[tuple[str, Callable[[CurvePoint], Ends | None], bool]] = [
        (f"Net, {result.currency}", lambda point: of_amount(point.net), False),
        ("Approved of the group", lambda point: of_rate(point.approval_rate), True),
        ("Bad rate, known outcomes", lambda point: of_rate(point.bad_rate), True),
    ]
    found = []
    for title, ends_of, is_share in charts:
        given = [(point.cut_off, ends) for point in curve.points if (ends := ends_of(point)) is not None]
        if given:
            found.append((title, _curve_chart(title, given, curve, cut_off_before=before, is_share=is_share)))
    return found


def _curve_chart(
    title: str,
    given: Sequence[tuple[int, Ends]],
    curve: CutOffCurve,
    *,
    cut_off_before: int,
    is_share: bool,
) -> Markup:
    """A line with its interval as a band, over the cut-offs."""
    lowest, highest = curve.points[0].cut_off, max(curve.points[-1].cut_off, curve.points[0].cut_off + 1)
    first_tick = -(-lowest // _TICK_POINTS) * _TICK_POINTS
    ticks = tuple((float(tick), str(tick)) for tick in range(first_tick, highest + 1, _TICK_POINTS))
    low, high = _end_values([ends for _, ends in given])
    best_at, best = max(given, key=lambda pair: pair[1][0])
    best_text = f"{best[0] * 100:.1f} %" if is_share else f"{best[0]:,.0f}"
    return line_chart(
        title,
        [
            Series(
                name=title,
                x=[cut_off for cut_off, _ in given],
                y=[ends[0] for _, ends in given],
                low=[ends[1] for _, ends in given],
                high=[ends[2] for _, ends in given],
            )
        ],
        Axis(label="cut-off, points", low=lowest, high=highest, ticks=ticks),
        number_axis("", low, high, per_cent=is_share),
        said=(
            f"{title} of {curve.group} customers by cut-off, {lowest} to {curve.points[-1].cut_off}; "
            f"highest {best_text} at {best_at}; cut-off {cut_off_before} before, {curve.cut_off} after"
        ),
        uprights=[Upright(value=cut_off_before, place=2), Upright(value=curve.cut_off, place=1)],
        shaded_until=curve.evidence_from if curve.evidence_from is not None else curve.points[-1].cut_off,
    )


def _end_values(ends: Sequence[Ends]) -> tuple[float, float]:
    """The ends of an axis that shows every point, and as much of the bands as leaves the points readable."""
    values = [value for value, _, _ in ends]
    spread = max(max(values) - min(values), abs(max(values)) * 0.05, 1e-9)
    low = max(min(end[1] for end in ends), min(values) - 0.5 * spread)
    high = min(max(end[2] for end in ends), max(values) + 0.5 * spread)
    return low, max(high, low + spread)


def _rule_chart(change: Change) -> Markup:
    """One bar for each rule that failed."""
    rules = {code.replace("_", " "): count for code, count in change.by_rule.items()}
    return bar_chart(
        "Rules that failed",
        [ChartPoint(label=rule, value=count, text=f"{count:,}") for rule, count in rules.items()],
        said="; ".join(f"{rule}: {count:,} orders" for rule, count in rules.items()) or "no rule",
    )


def _band_chart(rows: Sequence[SegmentChange]) -> Markup:
    """One row for each score band in which anybody is approved: a bar for after, a ring for before."""
    rows = [row for row in rows if row.approved_before or row.approved_after]
    most = max((max(row.approved_before, row.approved_after) for row in rows), default=0)
    return row_chart(
        "Approved orders by score band",
        [ChartRow(name=row.name, value=row.approved_after, compared=row.approved_before) for row in rows],
        number_axis("approved orders", 0, most),
        said="; ".join(
            f"{row.name}: {row.approved_before:,} before, {row.approved_after:,} after" for row in rows
        ),
        with_bars=True,
        legend=[("fill", "after"), ("ring", "before")],
        width=WIDE,
    )
