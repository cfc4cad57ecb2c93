"""What monitoring leaves behind: a page for people, JSON for programs, metrics for Prometheus."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from data_contracts.instants import moment
from data_contracts.private_files import private_folder, write_private_text
from evidence.drift import Drift
from evidence.report_page import report_template
from training.monitoring.checks import FAMILY_WISE_CHANCE, Check, Level, Section
from training.monitoring.monitored_model import ModelWatch
from training.monitoring.plots import distribution, stability_bars, vintage_trend, weekly_answers
from training.monitoring.portfolio_watch import MonitoringReport

PAGE, DOCUMENT, METRICS = "monitor.html", "monitor.json", "monitor.prom"
_PREFIX = "bonitas_monitor"


def write_report(report: MonitoringReport, out: Path) -> None:
    """Write page, JSON and metrics into a folder; each file is replaced as a whole.

    A collector that reads while this writes finds the old file or the new one, never half of one. The metrics
    are readable for all, since collectors run as users of their own; page and JSON are their owner's.
    """
    private_folder(out)
    _replace(out / PAGE, page(report))
    _replace(out / DOCUMENT, json.dumps(report.to_json(), indent=1, allow_nan=False))
    _replace(out / METRICS, metrics(report), rights=0o644)


def _replace(file: Path, content: str, *, rights: int = 0o600) -> None:
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    write_private_text(beside, content)
    beside.chmod(rights)
    beside.replace(file)


@dataclass(frozen=True, kw_only=True)
class _Pictured:
    """A model's part of the page with its pictures, None where there is nothing to show."""

    watch: ModelWatch
    features: Markup | None
    score: Markup | None
    vintages: Markup | None


def page(report: MonitoringReport) -> str:
    """The report as one HTML page without any outside resource: the verdict, then why."""
    filters = {
        "day": lambda instant_ms: f"{moment(instant_ms):%d %b %Y}",
        "pct": lambda share: f"{share:.2%}",
    }
    tested = sum(check.adjusted_p_value is not None for check in report.checks)
    return report_template("training.monitoring", "monitoring.html", filters).render(
        report=report,
        alarms=report.checks_at(Level.ALARM),
        notices=report.checks_at(Level.NOTICE),
        quiet=report.checks_at(Level.QUIET),
        tested=tested,
        not_judged=[check for check in report.checks if not check.is_judged],
        rates=_checks_of_section(report, Section.RATES),
        contracts=_checks_of_section(report, Section.CONTRACTS),
        consistency=_checks_of_section(report, Section.CONSISTENCY),
        champions=_checks_of_section(report, Section.CHAMPION),
        inputs=_bars(report, Section.INPUTS, None, report.inputs),
        reasons=None if report.reasons is None else distribution(report.reasons, "Main reason of refusals"),
        weeks=weekly_answers(report.weeks) if len(report.weeks) > 1 else None,
        models=[_pictured(report, watch) for watch in report.models],
        chance=FAMILY_WISE_CHANCE,
    )


def _checks_of_section(report: MonitoringReport, section: Section) -> list[Check]:
    return [check for check in report.checks if check.section is section]


def _pictured(report: MonitoringReport, watch: ModelWatch) -> _Pictured:
    return _Pictured(
        watch=watch,
        features=_bars(report, Section.FEATURES, watch.model, watch.features),
        score=None if watch.score is None else distribution(watch.score, f"Probability of {watch.model}"),
        vintages=vintage_trend(watch.vintages) if watch.vintages else None,
    )


def _bars(
    report: MonitoringReport, section: Section, model: str | None, found: Sequence[Drift]
) -> Markup | None:
    if not found:
        return None
    levels = {
        check.name: check.level for check in _checks_of_section(report, section) if check.model == model
    }
    alone = FAMILY_WISE_CHANCE / 2 / max(sum(one.test is not None for one in found), 1)
    return stability_bars(found, levels, alone)


def metrics(report: MonitoringReport) -> str:
    """The report in Prometheus' text format, for a collector of text files.

    Levels are 0 quiet, 1 notice, 2 alarm.
    """
    lines: list[str] = []

    def gauge(name: str, described: str, samples: Sequence[tuple[dict[str, str], float]]) -> None:
        if samples:
            lines.append(f"# HELP {_PREFIX}_{name} {described}")
            lines.append(f"# TYPE {_PREFIX}_{name} gauge")
            lines.extend(f"{_PREFIX}_{name}{_labels(labels)} {value!r}" for labels, value in samples)

    gauge("level", "Worst level of all checks: 0 quiet, 1 notice, 2 alarm.", [({}, report.level.rank)])
    gauge("alarms", "Checks that raise an alarm.", [({}, len(report.checks_at(Level.ALARM)))])
    gauge("notices", "Checks that raise a notice.", [({}, len(report.checks_at(Level.NOTICE)))])
    gauge("run_timestamp_seconds", "When the monitor ran.", [({}, report.run_at.timestamp())])
    until_seconds = report.period.window_until_ms / 1000
    gauge("window_end_timestamp_seconds", "End of the window watched.", [({}, until_seconds)])
    gauge(
        "check_level",
        "Level of one check: 0 quiet, 1 notice, 2 alarm.",
        [
            (
                {"section": check.section.value, "model": check.model or "", "name": check.name},
                check.level.rank,
            )
            for check in report.checks
        ],
    )
    moved = [("inputs", "", one) for one in report.inputs]
    moved += [] if report.reasons is None else [("reasons", "", report.reasons)]
    for watch in report.models:
        moved += [("features", watch.model, one) for one in watch.features]
        moved += [] if watch.score is None else [("score", watch.model, watch.score)]
    gauge(
        "stability_index",
        "Population stability index of the window against the reference.",
        [
            ({"section": section, "model": model, "name": one.name}, one.stability_index)
            for section, model, one in moved
        ],
    )
    estimated = [(watch.model, watch.estimated) for watch in report.models if watch.estimated is not None]
    realised = [(watch.model, watch.realised) for watch in report.models if watch.realised is not None]
    gauge(
        "expected_auc_ratio",
        "Expected area under the ROC curve of the window, before its labels arrive.",
        [({"model": model}, one.auc.value) for model, one in estimated],
    )
    gauge(
        "expected_bad_ratio",
        "Expected share of bad decisions in the window, before its labels arrive.",
        [({"model": model}, one.bad_rate.value) for model, one in estimated],
    )
    gauge(
        "realised_auc_ratio",
        "Area under the ROC curve of the decisions whose labels arrived in the window.",
        [({"model": model}, one.auc.value) for model, one in realised if one.auc is not None],
    )
    gauge(
        "realised_bad_ratio",
        "Share of bad ones among the decisions whose labels arrived in the window.",
        [({"model": model}, one.bad_rate) for model, one in realised],
    )
    gauge(
        "observed_to_expected_ratio",
        "Bad decisions over the number that the probabilities promised.",
        [({"model": model}, one.observed_to_expected.value) for model, one in realised],
    )
    gauge(
        "rebuilt_decisions",
        "Logged decisions whose features were rebuilt offline.",
        [({"model": one.model}, one.compared) for one in report.comparisons],
    )
    gauge(
        "feature_differences",
        "Features that came out differently when they were rebuilt offline.",
        [({"model": one.model}, len(one.differences)) for one in report.comparisons],
    )
    return "\n".join(lines) + "\n"


def _labels(labels: dict[str, str]) -> str:
    if not labels:
        return ""
    inner = ",".join(
        '{}="{}"'.format(name, value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n"))
        for name, value in labels.items()
    )
    return "{" + inner + "}"
