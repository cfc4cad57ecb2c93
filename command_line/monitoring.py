"""`bonitas monitor`: training's watch over a ledger folder, with what serving logged beside it."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from command_line.clock import midnight_ms
from command_line.state import model_registry, opened_store, policy_in_force, read_settings
from command_line.terminal import (
    MODELS,
    CommandFailed,
    json_option,
    ledger_folder,
    print_result,
    progress_bars,
    require_writable,
)

if TYPE_CHECKING:
    from data_contracts.progress import Progress
    from serving.store.store import Store
    from training.monitoring.monitored_service import LiveRecord
    from training.monitoring.period import Period


@click.command()
@ledger_folder
@click.option(
    "--out",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for monitor.html, monitor.json and monitor.prom.",
)
@click.option("--model", type=click.Choice(MODELS), help="Only this model.  [default: all]")
@click.option(
    "--as-of",
    type=click.DateTime(["%Y-%m-%d"]),
    help="Day before which the window ends.  [default: after the last row or decision]",
)
@click.option("--days", type=click.IntRange(1, 366), default=30, show_default=True, help="The window.")
@click.option(
    "--reference-days",
    type=click.IntRange(1, 3660),
    default=180,
    show_default=True,
    help="What the window is compared with: so many days before it.",
)
@click.option("--seed", default=0, show_default=True, help="Of samples and drawn labels.")
@json_option
def monitor(
    directory: Path,
    out: Path,
    model: str | None,
    as_of: datetime | None,
    days: int,
    reference_days: int,
    seed: int,
    as_json: bool,
) -> None:
    """Watch a ledger folder and the service's decisions: drift, performance, rates and consistency.

    Checks contracts, inputs, features, score, reasons, approval and release rates, expected and realised
    performance, calibration, and logged features against features rebuilt offline. Writes a page, JSON
    and Prometheus metrics. Exit status 0: nothing to do, or notices only. 2: at least one alarm. 1: the
    monitor could not run; nothing was written.
    """
    from training.labels import ledger_end_ms
    from training.monitoring.period import period_until
    from training.monitoring.portfolio_watch import monitor as watch
    from training.monitoring.report import PAGE, write_report

    models = MODELS if model is None else (model,)
    require_writable(out / PAGE)
    with model_registry() as registry, progress_bars() as progress:
        until_ms = ledger_end_ms(directory) if as_of is None else midnight_ms(as_of)
        with _store_if_there() as (store, why_not):
            if store is not None and as_of is None:
                until_ms = max(until_ms, _after_newest_decision_ms(store))
            period = period_until(until_ms, days=days, reference_days=reference_days)
            live = None if store is None else _live_record(store, models, period, seed, progress)
        report = watch(
            directory,
            period,
            registry=registry,
            models=models,
            live=live,
            live_note=why_not or "",
            now=datetime.now(UTC),
            seed=seed,
            progress=progress,
        )
        write_report(report, out)
    print_result(
        report.to_json(), as_json, lambda: click.echo(f"{report.to_text()}\nreport: {out}/monitor.html")
    )
    if report.has_alarm:
        sys.exit(2)


@contextmanager
def _store_if_there() -> Iterator[tuple["Store | None", str | None]]:
    """The service's store, or why there is none: a ledger can be watched before anything was served."""
    from serving.store.open_store import SQLITE_PREFIX

    url = read_settings().database_url
    if url.startswith(SQLITE_PREFIX) and not Path(url.removeprefix(SQLITE_PREFIX)).exists():
        if os.environ.get("BONITAS_DATABASE_URL"):
            raise CommandFailed("BONITAS_DATABASE_URL names a store that does not exist: run bonitas migrate")
        yield None, "there is no store yet, so nothing is known of live decisions"
        return
    with opened_store() as store:
        yield store, None


def _after_newest_decision_ms(store: "Store") -> int:
    from serving.store.decision_window import newest_decision_ms

    with store.reading() as tx:
        return (newest_decision_ms(tx) or 0) + 1


def _live_record(
    store: "Store", models: Sequence[str], period: "Period", seed: int, progress: "Progress"
) -> "LiveRecord":
    """What serving reads of its store, as the arrays that training watches."""
    from features.feature_sets import FEATURE_SETS
    from serving.figures.monitoring_record import read_record
    from training.monitoring.monitored_folder import RowCounts
    from training.monitoring.monitored_service import FeatureComparison, LiveRecord, LoggedDecisions, Verdicts

    terms = policy_in_force()[0].settlement_terms
    record = read_record(
        store,
        [FEATURE_SETS[model].under(terms) for model in models],
        reference_from_ms=period.reference_from_ms,
        window_from_ms=period.window_from_ms,
        window_until_ms=period.window_until_ms,
        seed=seed,
        progress=progress,
    )
    return LiveRecord(
        decisions=LoggedDecisions(
            customer_id=record.customer_id,
            as_of_ms=record.as_of_ms,
            outcome=record.outcome,
            main_reason=record.main_reason,
        ),
        verdicts=Verdicts(
            at_ms=record.verdict_at_ms,
            merchant_id=record.verdict_merchant_id,
            is_released=record.verdict_is_released,
        ),
        events={name: RowCounts(**asdict(counts)) for name, counts in record.events.items()},
        comparisons=tuple(FeatureComparison(**asdict(found)) for found in record.rebuilt),
    )
