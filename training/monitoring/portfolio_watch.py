"""Watches a portfolio and its champions: one window of time against a reference before it.

What the ledger folder tells is read here; what only the service knows is passed in.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from data_contracts.instants import iso_instant
from data_contracts.json_values import json_values
from data_contracts.progress import Progress, no_progress
from evidence.drift import Drift
from training.monitoring.checks import FAMILY_WISE_CHANCE, Candidate, Check, Level, Section, judged
from training.monitoring.monitored_folder import input_drifts, row_counts
from training.monitoring.monitored_model import ModelWatch, watch_model
from training.monitoring.monitored_service import (
    FeatureComparison,
    LiveRecord,
    WeekOfDecisions,
    live_checks,
    weeks_of,
)
from training.monitoring.period import Period
from training.monitoring.watched_figures import contract_candidate, drift_candidate
from training.registry.registry import ModelRegistry


@dataclass(frozen=True, kw_only=True)
class MonitoringReport:
    """What one run of the monitor found."""

    directory: str
    period: Period
    run_at: datetime
    checks: tuple[Check, ...]
    inputs: tuple[Drift, ...]
    reasons: Drift | None
    models: tuple[ModelWatch, ...]
    comparisons: tuple[FeatureComparison, ...]
    weeks: tuple[WeekOfDecisions, ...]
    live_note: str

    @property
    def level(self) -> Level:
        """The worst of all checks."""
        return max((check.level for check in self.checks), key=lambda level: level.rank, default=Level.QUIET)

    @property
    def has_alarm(self) -> bool:
        """Whether somebody must look."""
        return self.level is Level.ALARM

    def checks_at(self, level: Level) -> tuple[Check, ...]:
        """The checks of one level."""
        return tuple(check for check in self.checks if check.level is level)

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values; null is a feature that was missing, or a figure there is none of."""
        document = {
            "level": self.level.value,
            "directory": self.directory,
            "run_at": self.run_at.isoformat(timespec="seconds"),
            "reference_from": iso_instant(self.period.reference_from_ms),
            "window_from": iso_instant(self.period.window_from_ms),
            "window_until": iso_instant(self.period.window_until_ms),
            "family_wise_chance": FAMILY_WISE_CHANCE,
            "checks": [check.to_json() for check in self.checks],
            "inputs": [asdict(found) for found in self.inputs],
            "reasons": None if self.reasons is None else asdict(self.reasons),
            "models": [asdict(watch) for watch in self.models],
            "consistency": [asdict(comparison) for comparison in self.comparisons],
            "weeks": [asdict(week) for week in self.weeks],
            "live_note": self.live_note,
        }
        return dict(json_values(document))

    def to_text(self) -> str:
        """The verdict in a few lines for a person."""
        first, start, end = (
            iso_instant(instant)[:10]
            for instant in (
                self.period.reference_from_ms,
                self.period.window_from_ms,
                self.period.window_until_ms,
            )
        )
        verdict = self.level.value.upper()
        lines = [f"{verdict}: {start} to {end}, compared with {first} to {start}; {len(self.checks)} checks"]
        for level in (Level.ALARM, Level.NOTICE):
            for check in self.checks_at(level):
                about = check.section.value if check.model is None else f"{check.section.value} {check.model}"
                lines.append(f"  {level.value}: {about}: {check.name}: {check.finding}")
                if level is Level.ALARM:
                    lines.append(f"    next: {check.next_step}")
        lines.append(f"  live decisions: {self.live_note}")
        lines += [f"  {watch.model}: {watch.note}" for watch in self.models]
        lines += [
            f"  {one.model}: {one.not_comparable:,} decisions read another version of the features and were "
            "not rebuilt"
            for one in self.comparisons
            if one.not_comparable
        ]
        return "\n".join(lines)


def monitor(
    directory: Path,
    period: Period,
    *,
    registry: ModelRegistry,
    models: Sequence[str],
    live: LiveRecord | None,
    live_note: str,
    now: datetime,
    seed: int = 0,
    progress: Progress = no_progress,
) -> MonitoringReport:
    """Watch a ledger folder, and what the service logged, in one window of time.

    live: None where the store cannot be read; live_note then says why.
    Raises NoDecisionsError if the folder holds no orders, TrainingError if none lies in the window or in
    the reference.
    """
    step = "monitor"
    total = 3 + len(models)
    progress(step, done=0, total=total)
    candidates: list[Candidate] = []
    for name, counts in row_counts(directory, period).items():
        candidates.append(contract_candidate(name, **asdict(counts)))
    progress(step, done=1, total=total)
    inputs = input_drifts(directory, period)
    candidates += [drift_candidate(Section.INPUTS, None, found) for found in inputs]
    progress(step, done=2, total=total)
    watches = []
    for place, model in enumerate(models):
        watched = watch_model(directory, model, period, registry, now=now, seed=seed, progress=progress)
        watches.append(watched.watch)
        candidates += watched.candidates
        progress(step, done=3 + place, total=total)
    reasons = None
    weeks: tuple[WeekOfDecisions, ...] = ()
    if live is not None:
        reasons, from_log = live_checks(live, period)
        candidates += from_log
        weeks = weeks_of(live.decisions)
        in_window = int(period.is_window(live.decisions.as_of_ms).sum())
        live_note = f"{in_window:,} in the window, {len(live.decisions.as_of_ms) - in_window:,} before it"
    progress(step, done=total, total=total)
    return MonitoringReport(
        directory=str(directory),
        period=period,
        run_at=now,
        checks=judged(candidates),
        inputs=inputs,
        reasons=reasons,
        models=tuple(watches),
        comparisons=() if live is None else live.comparisons,
        weeks=weeks,
        live_note=live_note,
    )
