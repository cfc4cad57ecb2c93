"""The HTML report of a backtest: one file without outside parts, readable on a telephone, light and dark."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from markupsafe import Markup

from data_contracts.currencies import amount_figure, major_units
from evidence.intervals import AmountInterval, Interval
from serving.policy_backtest.backtest import Backtest, Change, Money, PolicyFigures, SegmentChange
from serving.policy_backtest.backtest_text import amount_text, rate_text, span_text, verdict
from serving.policy_backtest.cut_off_curve import CurvePoint, CutOffCurve

_WIDTH, _HEIGHT = 360, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 10, 10, 34
_TICKS = 4
_TICK_POINTS = 50

_TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Backtest of policy {{ r.after.policy_version }}</title>
<style>
:root { --ink: #1d2430; --soft: #5a6575; --page: #f6f7f9; --card: #ffffff; --line: #dfe4ea;
  --one: #2b6cb0; --two: #b4541a; --band: #2b6cb033; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --soft: #a3aebd; --page: #12161c;
  --card: #1b212a; --line: #2c3541; --one: #6cb2f5; --two: #f0965a; --band: #6cb2f533; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1100px; margin: 0 auto; padding: 32px 20px 64px; }
h1 { font-size: 24px; margin: 0 0 4px; } h2 { font-size: 18px; margin: 36px 0 8px; }
h3 { font-size: 15px; margin: 20px 0 6px; }
p { margin: 0 0 12px; } .soft { color: var(--soft); } .verdict { font-size: 18px; }
ul { margin: 0 0 12px; padding-left: 20px; }
.tiles { display: grid; gap: 12px; margin: 20px 0;
  grid-template-columns: repeat(auto-fit, minmax(200px, 1fr)); }
.tile, .card, .wide { background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
.tile { padding: 14px 16px; } .tile b { display: block; font-size: 21px; } .card { padding: 12px; }
.charts { display: grid; gap: 12px; grid-template-columns: repeat(auto-fit, minmax(300px, 1fr)); }
.wide { overflow-x: auto; } figure { margin: 0; } figcaption { font-weight: 600; margin-bottom: 4px; }
table { border-collapse: collapse; width: 100%; font-size: 14px; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 7px 12px; border-top: 1px solid var(--line); vertical-align: top; }
thead th { border-top: 0; color: var(--soft); font-weight: 600; } tbody th { font-weight: 500; }
.number { text-align: right; white-space: nowrap; }
code { font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; overflow-wrap: anywhere; }
svg { display: block; width: 100%; max-width: 660px; height: auto; }
svg text { fill: var(--soft); font-size: 11px; }
.axis { stroke: var(--line); stroke-width: 1; } .curve { stroke: var(--one); stroke-width: 2; fill: none; }
.band { fill: var(--band); } .old { stroke: var(--soft); stroke-width: 1.5; stroke-dasharray: 2 3; }
.new { stroke: var(--two); stroke-width: 1.5; stroke-dasharray: 6 3; } .unseen { fill: var(--line); }
.before { fill: var(--soft); } .after { fill: var(--two); }
details { margin: 10px 0; } summary { cursor: pointer; font-weight: 600; padding: 4px 0; }
</style>
</head>
<body><main>
<h1>Policy {{ r.after.policy_version }} beside {{ r.before.policy_version }}</h1>
<p class="soft">{{ "{:,}".format(r.orders) }} orders of {{ "{:,}".format(r.customers) }} customers,
{{ r.first_order_at[:10] }} to {{ r.last_order_at[:10] }}; outcomes as known on {{ r.outcomes_until[:10] }};
model {{ r.model }}; amounts in {{ r.currency }}, intervals 95 % by customer
{%- if r.orders < r.selected_from %}; a sample of {{ "{:,}".format(r.selected_from) }} orders{% endif %}.</p>
<p class="verdict">{{ verdict }}.</p>
{% if r.warnings %}<ul>{% for warning in r.warnings %}<li>{{ warning }}</li>{% endfor %}</ul>{% endif %}
<div class="tiles">{% for name, value, more in tiles %}
<div class="tile">{{ name }}<b>{{ value }}</b><span class="soft">{{ more }}</span></div>{% endfor %}</div>

<h2>Before and after</h2>
<div class="wide"><table><thead><tr><th scope="col">figure</th>
<th scope="col" class="number">{{ r.before.policy_version }}</th>
<th scope="col" class="number">{{ r.after.policy_version }}</th>
<th scope="col" class="number">difference, paired</th></tr></thead><tbody>
{% for row in comparison %}<tr><th scope="row">{{ row[0] }}</th>{% for cell in row[1:] %}
<td class="number">{{ cell }}</td>{% endfor %}</tr>{% endfor %}</tbody></table></div>
<p class="soft">Realised: the outcome is known. Expected: invoices that are too young, by the calibrated
probability. Orders that were never invoiced (declined, cancelled or too young) have no outcome: inferred
takes them to be {{ "%g"|format(r.reject_factors[0]) }} to {{ "%g"|format(r.reject_factors[1]) }} times as
likely not to be paid as the model says, bounds take none to all of them not to be paid. Confirmed fraud is
counted, and no part of these amounts.</p>

{% if r.limit_growth %}{% set g = r.limit_growth %}<h2>Growth of limits with what was repaid</h2>
<p class="soft">The section [limit_growth] of {{ g.policy_version }} alone: the same policy beside itself
without it, on the same orders.</p>
<div class="wide"><table><thead><tr><th scope="col">figure</th>
<th scope="col" class="number">with the section, less without</th></tr></thead><tbody>
<tr><th scope="row">declined by it alone</th><td class="number">{{ "{:,}".format(g.declined) }} orders,
{{ r.currency }} {{ figure(g.declined_cents, decimals=0) }}</td></tr>
<tr><th scope="row">of the approvals</th><td class="number">{{ rate(g.lost) }}</td></tr>
<tr><th scope="row">approved by it alone</th><td class="number">{{ "{:,}".format(g.approved) }} orders,
{{ r.currency }} {{ figure(g.approved_cents, decimals=0) }}</td></tr>
<tr><th scope="row">approval rate</th><td class="number">{{ rate(g.approval_rate, signed=True) }}</td></tr>
<tr><th scope="row">net, realised</th><td class="number">{{ amount(g.realised_net, signed=True) }}</td></tr>
<tr><th scope="row">net, expected of young invoices</th>
<td class="number">{{ amount(g.expected_net, signed=True) }}</td></tr></tbody></table></div>{% endif %}

{% if r.curves %}<h2>Other cut-offs</h2>
<p class="soft">All else as in {{ r.after.policy_version }}. Dotted: the cut-off before; dashed: after. Grey:
too few outcomes are known there to say anything.</p>
{% for curve, charts in curves %}<h3>{{ curve.group|capitalize }} customers, {{ "{:,}".format(curve.orders) }}
orders, cut-off {{ curve.cut_off }}</h3>
<div class="charts">{% for title, svg in charts %}<figure class="card"><figcaption>{{ title }}</figcaption>
{{ svg }}</figure>{% endfor %}</div>
<details><summary>The figures</summary><div class="wide"><table><thead><tr><th scope="col">cut-off</th>
<th scope="col" class="number">approved</th><th scope="col" class="number">bad rate</th>
<th scope="col" class="number">net</th></tr></thead><tbody>{% for point in curve.points %}
<tr><th scope="row">{{ point.cut_off }}</th><td class="number">{{ rate(point.approval_rate) }}</td>
<td class="number">{{ rate(point.bad_rate) }}</td>
<td class="number">{{ amount(point.net) }}</td></tr>{% endfor %}
</tbody></table></div></details>{% endfor %}{% endif %}

{% for title, change, rule_chart in changes %}<h2>{{ title }}: {{ "{:,}".format(change.orders) }} orders,
{{ r.currency }} {{ figure(change.amount_cents, decimals=0) }}</h2>
{% if change.orders %}<p>{{ "{:,}".format(change.known) }} have a known outcome,
{{ "{:,}".format(change.bads) }} of them were not paid ({{ rate(change.bad_rate) }});
{{ "{:,}".format(change.unknown) }} were never invoiced; {{ "{:,}".format(change.fraud) }} were confirmed
fraud. Net of what is known: {{ amount(change.realised_net) }}; expected of the young:
{{ amount(change.expected_net) }}.</p>
<figure class="card"><figcaption>Rules that failed</figcaption>{{ rule_chart }}</figure>
<details><summary>The first {{ change.examples|length }} orders</summary><div class="wide"><table><thead><tr>
<th scope="col">order</th><th scope="col">day</th><th scope="col" class="number">amount</th>
<th scope="col" class="number">score</th><th scope="col">customer</th><th scope="col">rules that failed</th>
<th scope="col">main reasons</th><th scope="col">outcome</th></tr></thead><tbody>
{% for e in change.examples %}<tr><th scope="row"><code>{{ e.order_id }}</code></th>
<td>{{ e.ordered_at[:10] }}</td><td class="number">{{ figure(e.amount_cents) }}</td>
<td class="number">{{ e.score }}</td><td>{{ e.standing }}, {{ e.country }}</td>
<td>{{ e.rules|join(", ") }}</td>
<td>{{ e.reasons|join(", ") }}</td><td>{{ e.outcome|replace("_", " ") }}</td></tr>{% endfor %}
</tbody></table></div></details>{% endif %}{% endfor %}

<h2>Where it changes</h2>
<figure class="card"><figcaption>Approved orders by score band, before (grey) and after</figcaption>
{{ band_chart }}</figure>
{% for title, rows in r.segments.items() %}<h3>By {{ title }}</h3>
<div class="wide"><table><thead><tr><th scope="col">{{ title }}</th><th scope="col" class="number">orders</th>
<th scope="col" class="number">approved before</th><th scope="col" class="number">after</th>
<th scope="col" class="number">newly declined</th>
<th scope="col" class="number">newly approved</th></tr></thead><tbody>{% for row in rows %}
<tr><th scope="row">{{ row.name }}</th>
<td class="number">{{ "{:,}".format(row.orders) }}</td>
<td class="number">{{ "{:,}".format(row.approved_before) }}</td>
<td class="number">{{ "{:,}".format(row.approved_after) }}</td>
<td class="number">{{ "{:,}".format(row.newly_declined) }}</td>
<td class="number">{{ "{:,}".format(row.newly_approved) }}</td></tr>{% endfor %}
</tbody></table></div>{% endfor %}

<h2>What this cannot say</h2>
<ul><li>History stays as it happened: an order that is declined here is still invoiced and paid in what comes
after it, and a customer's later orders do not change.</li>
<li>A ledger has no reservations: an order approved and not yet invoiced does not narrow the next one's
limit.</li>
<li>Customers may behave otherwise under another policy; nothing here measures that.</li></ul>
</main></body></html>
"""


def backtest_page(result: Backtest) -> str:
    """The report as HTML."""
    import jinja2  # noqa: PLC0415 - only whoever asks for a page pays for its import

    environment = jinja2.Environment(autoescape=True, trim_blocks=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(_TEMPLATE).render(
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


@dataclass(frozen=True, kw_only=True)
class _Axis:
    """A straight scale from values to places in the chart."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + min(max(share, 0.0), 1.0) * (self.end - self.start), 1)

    def ticks(self) -> list[float]:
        return [self.low + (self.high - self.low) * place / _TICKS for place in range(_TICKS + 1)]


Ends = tuple[float, float, float]


def _curve_charts(curve: CutOffCurve, result: Backtest) -> list[tuple[str, Markup]]:
    before = next(
        (cut_off for group, cut_off in result.cut_offs_before if group == curve.group), curve.cut_off
    )

    def of_rate(rate: Interval | None) -> Ends | None:
        return None if rate is None else (rate.value * 100, rate.low * 100, rate.high * 100)

    def units(cents: int) -> float:
        return major_units(cents, result.currency)

    def of_amount(net: AmountInterval | None) -> Ends | None:
        if net is None:
            return None
        if net.low_cents is None or net.high_cents is None:
            # No order adds anything above the cut-off: a point of the line without a band.
            return units(net.cents), units(net.cents), units(net.cents)
        return units(net.cents), units(net.low_cents), units(net.high_cents)

    def per_cent(value: float) -> str:
        return f"{value:.1f} %"

    def whole(value: float) -> str:
        return f"{value:,.0f}"

    charts: list[tuple[str, Callable[[CurvePoint], Ends | None], Callable[[float], str]]] = [
        (f"Net, {result.currency}", lambda point: of_amount(point.net), whole),
        ("Approved of the group", lambda point: of_rate(point.approval_rate), per_cent),
        ("Bad rate, known outcomes", lambda point: of_rate(point.bad_rate), per_cent),
    ]
    found = []
    for title, ends_of, words in charts:
        given = [(point.cut_off, ends) for point in curve.points if (ends := ends_of(point)) is not None]
        if given:
            found.append((title, _line_chart(title, given, words, curve=curve, cut_off_before=before)))
    return found


def _line_chart(
    title: str,
    given: Sequence[tuple[int, Ends]],
    words: Callable[[float], str],
    *,
    curve: CutOffCurve,
    cut_off_before: int,
) -> Markup:
    """A line with its interval as a band, over the cut-offs."""
    points = curve.points
    across = _Axis(
        low=points[0].cut_off,
        high=max(points[-1].cut_off, points[0].cut_off + 1),
        start=_LEFT,
        end=_WIDTH - _RIGHT,
    )
    low, high = _end_values([ends for _, ends in given])
    up = _Axis(low=low, high=high, start=_HEIGHT - _BOTTOM, end=_TOP)
    parts = Markup("")
    unseen_until = curve.evidence_from if curve.evidence_from is not None else points[-1].cut_off
    if unseen_until > points[0].cut_off:
        parts += Markup('<rect class="unseen" x="{}" y="{}" width="{}" height="{}"/>').format(
            _LEFT, _TOP, round(across(unseen_until) - _LEFT, 1), _HEIGHT - _TOP - _BOTTOM
        )
    for tick in up.ticks():
        parts += Markup(
            '<line class="axis" x1="{}" x2="{}" y1="{y}" y2="{y}"/>'
            '<text x="{}" y="{}" text-anchor="end">{}</text>'
        ).format(_LEFT, _WIDTH - _RIGHT, _LEFT - 5, up(tick) + 4, words(tick), y=up(tick))
    first = -(-points[0].cut_off // _TICK_POINTS) * _TICK_POINTS
    for tick in range(first, points[-1].cut_off + 1, _TICK_POINTS):
        parts += Markup('<text x="{}" y="{}" text-anchor="middle">{}</text>').format(
            across(tick), _HEIGHT - _BOTTOM + 15, tick
        )
    parts += Markup('<text x="{}" y="{}" text-anchor="middle">cut-off, points</text>').format(
        (_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 4
    )
    upper = [f"{across(cut_off)},{up(ends[2])}" for cut_off, ends in given]
    lower = [f"{across(cut_off)},{up(ends[1])}" for cut_off, ends in reversed(given)]
    parts += Markup('<polygon class="band" points="{}"/>').format(" ".join([*upper, *lower]))
    line = " ".join(f"{across(cut_off)},{up(ends[0])}" for cut_off, ends in given)
    parts += Markup('<polyline class="curve" points="{}"/>').format(line)
    for name, cut_off in (("old", cut_off_before), ("new", curve.cut_off)):
        parts += Markup('<line class="{}" x1="{x}" x2="{x}" y1="{}" y2="{}"/>').format(
            name, _TOP, _HEIGHT - _BOTTOM, x=across(cut_off)
        )
    best = max(given, key=lambda pair: pair[1][0])
    described = (
        f"{title} of {curve.group} customers by cut-off, {points[0].cut_off} to {points[-1].cut_off}; "
        f"highest {words(best[1][0])} at {best[0]}; cut-off {cut_off_before} before, {curve.cut_off} after"
    )
    return _svg(described, _WIDTH, _HEIGHT, parts)


def _end_values(ends: Sequence[Ends]) -> tuple[float, float]:
    """The ends of an axis that shows every point, and as much of the bands as leaves the points readable."""
    values = [value for value, _, _ in ends]
    spread = max(max(values) - min(values), abs(max(values)) * 0.05, 1e-9)
    low = max(min(end[1] for end in ends), min(values) - 0.5 * spread)
    high = min(max(end[2] for end in ends), max(values) + 0.5 * spread)
    return low, max(high, low + spread)


def _rule_chart(change: Change) -> Markup:
    """One bar for each rule that failed."""
    rows = list(change.by_rule.items())
    most = max((count for _, count in rows), default=1)
    parts = Markup("")
    for place, (code, count) in enumerate(rows):
        y = place * 26
        length = round(330 * count / most, 1)
        parts += Markup(
            '<text x="190" y="{}" text-anchor="end">{}</text>'
            '<rect class="after" x="198" y="{}" width="{}" height="16"/>'
            '<text x="{}" y="{}">{:,}</text>'
        ).format(y + 17, code.replace("_", " "), y + 5, length, 204 + length, y + 17, count)
    described = "; ".join(f"{code.replace('_', ' ')}: {count:,} orders" for code, count in rows)
    return _svg(described or "no rule", 600, max(len(rows), 1) * 26 + 4, parts)


def _band_chart(rows: Sequence[SegmentChange]) -> Markup:
    """Two bars for each score band in which anybody is approved: orders before and after."""
    rows = [row for row in rows if row.approved_before or row.approved_after]
    width, height, base = 640, 220, 180
    most = max((max(row.approved_before, row.approved_after) for row in rows), default=0) or 1
    step = (width - 20) / max(len(rows), 1)
    parts = Markup('<line class="axis" x1="10" x2="{}" y1="{y}" y2="{y}"/>').format(width - 10, y=base)
    for place, row in enumerate(rows):
        for side, (name, count) in enumerate(
            (("before", row.approved_before), ("after", row.approved_after))
        ):
            tall = round((base - 20) * count / most, 1)
            parts += Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}"/>').format(
                name,
                round(10 + step * (place + 0.12 + 0.38 * side), 1),
                round(base - tall, 1),
                round(step * 0.36, 1),
                tall,
            )
        parts += Markup('<text x="{}" y="{}" text-anchor="middle">{}</text>').format(
            round(10 + step * (place + 0.5), 1), base + 16, row.name[:3]
        )
    parts += Markup('<text x="{}" y="{}" text-anchor="middle">score from</text>').format(
        width / 2, height - 6
    )
    described = "; ".join(
        f"{row.name}: {row.approved_before:,} before, {row.approved_after:,} after" for row in rows
    )
    return _svg(f"approved orders by score band: {described}", width, height, parts)


def _svg(described: str, width: int, height: int, parts: Markup) -> Markup:
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        width, height, described, parts
    )
