"""The HTML report of a validation: one file without outside parts, readable in light and dark."""

from collections.abc import Mapping, Sequence
from typing import Any

from data_contracts.contract import Contract
from data_contracts.ledger_contracts import CONTRACTS
from data_contracts.validation.quarantine import MASK, QuarantinedRow

_TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Ledger validation: {{ verdict }}</title>
<style>
:root { --ink: #1d2430; --soft: #5d6878; --page: #f6f7f9; --card: #ffffff; --line: #dfe4ea;
  --good: #2f8f5b; --bad: #c8442f; --again: #c79a1e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --soft: #98a3b3; --page: #12161c;
  --card: #1b212a; --line: #2c3541; --good: #4fbf84; --bad: #ef6f5b; --again: #e0b94a; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 32px 20px 64px; }
h1 { font-size: 24px; margin: 0 0 4px; } h2 { font-size: 17px; margin: 36px 0 10px; }
p { margin: 0 0 12px; } .soft { color: var(--soft); }
.tiles { display: grid; gap: 12px; margin: 24px 0;
  grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 14px 16px; }
.tile b { display: block; font-size: 24px; font-variant-numeric: tabular-nums; }
.good { color: var(--good); } .bad { color: var(--bad); } .again { color: var(--again); }
.wide { overflow-x: auto; background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th, td { text-align: left; padding: 8px 12px; border-top: 1px solid var(--line); vertical-align: top; }
thead th { border-top: 0; color: var(--soft); font-weight: 600; white-space: nowrap; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
code { font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; overflow-wrap: anywhere; }
svg { display: block; border-radius: 4px; } rect.g { fill: var(--good); } rect.b { fill: var(--bad); }
rect.a { fill: var(--again); } rect.n { fill: var(--line); }
details { margin: 10px 0; } summary { cursor: pointer; font-weight: 600; padding: 4px 0; }
</style>
</head>
<body><main>
<h1>Ledger validation: <span class="{{ 'bad' if s.quarantined else 'good' }}">{{ verdict }}</span></h1>
<p class="soft"><code>{{ s.directory }}</code>, {{ s.validated_at }}, {{ "%.1f"|format(s.seconds) }} s</p>
<div class="tiles">
<div class="tile">read<b>{{ "{:,}".format(s.read) }}</b></div>
<div class="tile">accepted<b class="good">{{ "{:,}".format(s.accepted) }}</b></div>
<div class="tile">quarantined
<b class="{{ 'bad' if s.quarantined }}">{{ "{:,}".format(s.quarantined) }}</b></div>
<div class="tile">repeated<b class="{{ 'again' if s.repeated }}">{{ "{:,}".format(s.repeated) }}</b></div>
</div>
<p class="soft">Read = accepted + quarantined + repeated. A repeated row says again, under the same event_id
or bank reference, what another row says. Quarantined rows lie whole in
<code>quarantine/&lt;contract&gt;.jsonl</code> beside this page; the validated folder is as it was.</p>
{% if s.refused_invoices %}<p class="bad">{{ "{:,}".format(s.refused_invoices) }} invoices were refused:
each may hide a real debt, so look at them first.</p>{% endif %}
{% if s.not_read %}<p class="bad">Not read, and so not validated:</p><ul>
{% for one in s.not_read %}<li><code>{{ one.path }}</code>: {{ one.reason }}</li>{% endfor %}</ul>{% endif %}
<h2>Contracts</h2>
<div class="wide"><table>
<thead><tr><th>contract</th><th class="number">read</th><th class="number">accepted</th>
<th class="number">quarantined</th><th class="number">of them for another row</th>
<th class="number">repeated</th><th>share</th></tr></thead>
<tbody>{% for name, c in s.contracts.items() %}
<tr><td>{{ name }}</td><td class="number">{{ "{:,}".format(c.read) }}</td>
<td class="number">{{ "{:,}".format(c.accepted) }}</td>
<td class="number {{ 'bad' if c.quarantined }}">{{ "{:,}".format(c.quarantined) }}</td>
<td class="number">{{ "{:,}".format(c.consequences) }}</td>
<td class="number {{ 'again' if c.repeated }}">{{ "{:,}".format(c.repeated) }}</td>
<td>{{ bar(c) }}</td></tr>{% endfor %}
</tbody></table></div>
<h2>Rules broken</h2>
{% if rules %}<div class="wide"><table>
<thead><tr><th>contract</th><th>column</th><th>rule</th><th class="number">rows</th>
<th class="number">of them for another row</th><th>for example</th><th></th></tr></thead>
<tbody>{% for r in rules %}
<tr><td>{{ r.contract }}</td><td><code>{{ r.column }}</code></td><td><code>{{ r.rule }}</code></td>
<td class="number">{{ "{:,}".format(r.rows) }}</td>
<td class="number">{{ "{:,}".format(r.consequences) }}</td>
<td><code>{{ r.example.event_id }}</code>: {{ r.message }}</td><td><svg width="160" height="10" role="img"
aria-label="{{ r.rows }} rows"><rect class="b" width="{{ r.width }}" height="10"/></svg></td></tr>{% endfor %}
</tbody></table></div>{% else %}<p class="good">None.</p>{% endif %}
{% if samples %}<h2>Examples</h2>
<p class="soft">The first refused rows of each contract; personal values are shown as {{ mask }}.</p>
{% for name, rows in samples.items() %}
<details{{ ' open' if loop.first }}><summary>{{ name }} ({{ rows|length }})</summary><div class="wide"><table>
<thead><tr><th>event_id</th><th>column</th><th>rule</th><th>value</th><th>what is wrong</th>
<th>follows from</th></tr></thead>
<tbody>{% for row in rows %}{% for v in row.violations %}
<tr><td>{% if loop.first %}<code>{{ row.event_id }}</code>{% endif %}</td><td><code>{{ v.column }}</code></td>
<td><code>{{ v.rule }}</code></td><td><code>{{ v.value }}</code></td><td>{{ v.message }}</td>
<td>{% if v.cause %}<code>{{ v.cause }}</code>{% endif %}</td></tr>
{% endfor %}{% endfor %}</tbody></table></div></details>{% endfor %}{% endif %}
</main></body></html>
"""


def render(summary: Mapping[str, Any], samples: Mapping[str, Sequence[QuarantinedRow]]) -> str:
    """The report as one HTML page.

    summary: `ValidationResult.to_json()`.
    samples: a few refused rows per contract; their personal values do not reach the page.
    """
    from jinja2 import Environment  # noqa: PLC0415 only the report needs it
    from markupsafe import Markup  # noqa: PLC0415 as above

    def bar(counts: Mapping[str, int]) -> Markup:
        return Markup(_bar(counts))  # noqa: S704 built from numbers alone

    rules = [
        {"contract": name, **broken}
        for name, counts in summary["contracts"].items()
        for broken in counts["broken_rules"]
    ]
    rules.sort(key=lambda broken: -int(broken["rows"]))
    most = max((int(broken["rows"]) for broken in rules), default=1)
    for broken in rules:
        broken["width"] = max(2, round(160 * broken["rows"] / most))
    quarantined = summary["quarantined"]
    verdict = "every row is good" if not quarantined else f"{quarantined:,} rows in quarantine"
    template = Environment(autoescape=True, trim_blocks=True).from_string(_TEMPLATE)
    return template.render(
        s=summary,
        verdict=verdict,
        rules=rules,
        bar=bar,
        mask=MASK,
        samples={
            name: [_masked(CONTRACTS[name], row) for row in rows] for name, rows in samples.items() if rows
        },
    )


def _bar(counts: Mapping[str, int]) -> str:
    width = 160
    read = counts["read"]
    if not read:
        return f'<svg width="{width}" height="10"><rect class="n" width="{width}" height="10"/></svg>'
    # A single bad row among millions must still be seen.
    bad = max(3, round(width * counts["quarantined"] / read)) if counts["quarantined"] else 0
    again = max(3, round(width * counts["repeated"] / read)) if counts["repeated"] else 0
    good = max(0, width - bad - again)
    return (
        f'<svg width="{width}" height="10" role="img" aria-label="{counts["accepted"]} of {read} accepted">'
        f'<rect class="g" width="{good}" height="10"/><rect class="b" x="{good}" width="{bad}" height="10"/>'
        f'<rect class="a" x="{good + bad}" width="{again}" height="10"/></svg>'
    )


def _masked(contract: Contract, row: QuarantinedRow) -> dict[str, Any]:
    public = {column.name for column in contract.columns if not column.personal}
    causes = row.causes or (None,) * len(row.violations)
    return {
        "event_id": row.event_id_shown,
        "violations": [
            {
                "column": violation.column,
                "rule": violation.rule.value,
                "value": violation.value_repr if violation.column in public else MASK,
                "message": violation.message,
                "cause": cause,
            }
            for violation, cause in zip(row.violations, causes, strict=True)
        ],
    }
