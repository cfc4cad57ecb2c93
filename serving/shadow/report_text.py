"""A shadow report in lines for a person at a terminal."""

from data_contracts.currencies import amount_figure
from data_contracts.instants import iso_instant
from serving.shadow.report import QUANTILES, ShadowReport


def report_text(report: ShadowReport) -> str:
    """The report in the order in which a person needs it: the conclusion, few figures, then the rest."""
    champions = ", ".join(report.champion_versions) or "none"
    since = iso_instant(report.since_ms)[:16]
    head = f"{report.model_name}: version {report.version} as shadow of champion {champions}, since {since}Z"
    counts = (
        f"{report.made:,} made: {report.compared:,} compared, {report.waiting:,} wait for an answer, "
        f"{report.failed:,} where the challenger failed, {report.not_comparable:,} that it cannot answer"
    )
    if report.other_features:
        counts += f" ({report.other_features:,} of them were made with another version of the features)"
    if report.before_start:
        counts += f", {report.before_start:,} made before the shadow began"
    lines = [head, report.conclusion, "", counts]
    for part in (
        _outcome_lines,
        _rate_lines,
        _score_lines,
        _ground_lines,
        _realised_lines,
        _differing_lines,
    ):
        lines += part(report)
    return "\n".join(lines)


def _outcome_lines(report: ShadowReport) -> list[str]:
    if not report.outcomes:
        return []
    lines = ["", f"{'champion':<14}{'challenger':<14}{'decisions':>10}"]
    return lines + [
        f"{cell.champion:<14}{cell.challenger:<14}{cell.decisions:>10,}" for cell in report.outcomes
    ]


def _rate_lines(report: ShadowReport) -> list[str]:
    rates, yes = report.rates, report.question.yes
    if rates is None:
        return []
    interval = f"[{rates.difference_low:+.1%}, {rates.difference_high:+.1%}]"
    p_value = f"p {rates.sign_flip_p_value:.2g}"
    customers = f"{rates.differing_customers:,} of {rates.customers:,}"
    lines = [
        "",
        f"{yes}, champion    {rates.champion}",
        f"{yes}, challenger  {rates.challenger}",
        f"difference {rates.difference:+.1%} {interval}, sign-flip test by customer, exact: {p_value}",
        f"{yes} only by champion: {rates.only_champion:,}, only by challenger: {rates.only_challenger:,}",
    ]
    lines.extend(
        f"  in {amount.currency}: {amount_figure(amount.only_champion_cents, amount.currency)} and "
        f"{amount_figure(amount.only_challenger_cents, amount.currency)}"
        for amount in report.amounts
    )
    return [*lines, f"customers with a decision of that kind: {customers}"]


def _score_lines(report: ShadowReport) -> list[str]:
    if report.scores is None:
        return []
    spread = ", ".join(
        f"{quantile:.0%}: {value:+,.1f}"
        for quantile, value in zip(QUANTILES, report.scores.quantiles, strict=True)
    )
    index = report.scores.stability_index
    moved = "too few decisions" if index is None else f"{index:.3f}"
    return [
        "",
        f"score, challenger minus champion, in {report.scores.unit}, at quantiles: {spread}",
        f"stability index of the challenger's probabilities to the champion's: {moved}",
    ]


def _ground_lines(report: ShadowReport) -> list[str]:
    if not report.grounds:
        return []
    lines = ["", f"{'named for one and not for the other':<44}{'champion':>10}{'challenger':>12}"]
    return lines + [
        f"{ground.kind + ' ' + ground.code:<44}{ground.only_champion:>10,}{ground.only_challenger:>12,}"
        for ground in report.grounds
    ]


def _realised_lines(report: ShadowReport) -> list[str]:
    if not report.realised:
        return []
    lines = ["", f"what became of the orders ({report.question.bad}), as far as it is known"]
    for cell in report.realised:
        if cell.champion == report.question.no and not report.question.judged_when_no:
            known = "the champion refused them: nobody knows"
        elif cell.bad is None:
            known = "no outcome is known yet"
        else:
            known = f"{cell.bad.count:,} of {cell.bad.of:,} known: {cell.bad}"
        lines.append(f"{cell.champion:<14}{cell.challenger:<14}{cell.orders:>10,} orders; {known}")
    return lines


def _differing_lines(report: ShadowReport) -> list[str]:
    if not report.differing:
        return []
    lines = ["", "the newest that differ"]
    for one in report.differing:
        amount = f"{amount_figure(one.amount_cents, one.currency)} {one.currency}"
        lines.append(
            f"{one.subject_id}  {iso_instant(one.as_of_ms)[:19]}Z  {amount:>14}  "
            f"{one.champion.outcome} {_score(one.champion.points, one.champion.probability)} -> "
            f"{one.challenger.outcome} {_score(one.challenger.points, one.challenger.probability)}"
        )
    return lines


def _score(points: int | None, probability: float | None) -> str:
    if points is not None:
        return f"({points})"
    return "" if probability is None else f"({probability:.2%})"
