"""`bonitas benchmark`: one command for each part of the product, measured on this machine."""

from pathlib import Path

import click

from command_line.public_data_sets import GMSC, IEEE_CIS, UCI_TAIWAN, fetched
from command_line.state import read_settings
from command_line.terminal import (
    CommandFailed,
    json_option,
    print_figures,
    print_result,
    print_rows,
    progress_bars,
)


@click.group()
def benchmark() -> None:
    """Measure on this machine; figures are ratios within one run."""


@benchmark.command("serving")
@click.option("--seconds", default=1.5, show_default=True, help="Length of each measurement.")
@click.option("--rounds", default=4, show_default=True, help="Interleaved rounds; figures are medians.")
@json_option
def benchmark_serving(seconds: float, rounds: int, as_json: bool) -> None:
    """Full decisions beside an empty endpoint of the same service, at 1 and 8 connections."""
    from serving.benchmarks.serving_benchmark import NothingToMeasureError
    from serving.benchmarks.serving_benchmark import benchmark_serving as measure

    try:
        with progress_bars() as progress:
            figures = measure(read_settings(), seconds=seconds, rounds=rounds, progress=progress)
    except NothingToMeasureError as problem:
        raise CommandFailed(str(problem)) from problem

    def render() -> None:
        print_rows("Answers", figures["endpoints"])
        print_rows("Stages of an answer, as /metrics has them", figures["stages"])

    print_result(figures, as_json, render)


@benchmark.command("start")
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(min=1))
@json_option
def benchmark_start(rounds: int, as_json: bool) -> None:
    """From a service's start to its first decision: CPU, beside BentoML's own imports, and by the clock."""
    from serving.benchmarks.serving_benchmark import NothingToMeasureError
    from serving.benchmarks.start_benchmark import benchmark_start as measure

    try:
        with progress_bars() as progress:
            figures = measure(read_settings(), rounds=rounds, progress=progress)
    except NothingToMeasureError as problem:
        raise CommandFailed(str(problem)) from problem
    print_result(figures, as_json, lambda: print_figures("Start", figures))


@benchmark.command("console")
@click.option("--cases", default=10_000, show_default=True, type=click.IntRange(min=100))
@click.option("--rounds", default=40, show_default=True, type=click.IntRange(min=5))
@json_option
def benchmark_console(cases: int, rounds: int, as_json: bool) -> None:
    """The queue page with many open cases beside the page with ten."""
    from serving.benchmarks.console_benchmark import benchmark_console as measure

    with progress_bars() as progress:
        figures = measure(cases, rounds, progress)
    print_result(figures, as_json, lambda: print_figures("Console", figures))


@benchmark.command("worker")
@click.option(
    "--per-second", default=50, show_default=True, type=click.IntRange(min=1), help="Orders offered."
)
@click.option("--seconds", default=60.0, show_default=True, type=click.FloatRange(min=1))
@click.option(
    "--popular-share",
    default=0.33,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="Share of the orders that go to one address, from one network.",
)
@click.option("--workers", default=1, show_default=True, type=click.IntRange(min=1))
@click.option(
    "--services",
    default=1,
    show_default=True,
    type=click.IntRange(min=1, max=16),
    help="Services that the orders are sent to in turn.",
)
@click.option(
    "--database-url",
    help="Decide there, such as in a restored copy on PostgreSQL; else in a copy of the home's SQLite store.",
)
@json_option
def benchmark_worker(
    per_second: int,
    seconds: float,
    popular_share: float,
    workers: int,
    services: int,
    database_url: str | None,
    as_json: bool,
) -> None:
    """How soon approved orders are looked at while checkouts arrive at a steady rate."""
    from serving.benchmarks.serving_benchmark import NothingToMeasureError
    from serving.benchmarks.worker_benchmark import benchmark_worker as measure
    from serving.store.errors import StoreError

    named = {} if database_url is None else {"BONITAS_DATABASE_URL": database_url}
    try:
        with progress_bars() as progress:
            figures = measure(
                read_settings(**named),
                per_second=per_second,
                seconds=seconds,
                popular_share=popular_share,
                workers=workers,
                services=services,
                in_a_copy=database_url is None,
                progress=progress,
            )
    except (NothingToMeasureError, StoreError) as problem:
        raise CommandFailed(str(problem)) from problem
    print_result(figures, as_json, lambda: print_figures("Worker", figures))


@benchmark.command("look")
@click.option(
    "--rounds", default=40, show_default=True, type=click.IntRange(min=3), help="Looks at each size."
)
@click.option(
    "--database-url",
    help="A PostgreSQL server: measured in databases that are made on it and dropped. Else SQLite.",
)
@json_option
def benchmark_look(rounds: int, database_url: str | None, as_json: bool) -> None:
    """A look at an order that shares something with 10, 1,000 and 10,000 others; the home is not read."""
    from serving.benchmarks.look_benchmark import benchmark_look as measure
    from serving.benchmarks.serving_benchmark import NothingToMeasureError
    from serving.store.errors import StoreError

    try:
        with progress_bars() as progress:
            figures = measure(rounds=rounds, database_url=database_url, progress=progress)
    except (NothingToMeasureError, StoreError) as problem:
        raise CommandFailed(str(problem)) from problem

    def render() -> None:
        for row in figures:
            place = str(row["shared"])
            print_figures(place[0].upper() + place[1:], {k: v for k, v in row.items() if k != "shared"})

    print_result({"looks": figures}, as_json, render)


@benchmark.command("replay")
@click.option("--decisions", default=300, show_default=True, type=click.IntRange(min=1))
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(min=1))
@json_option
def benchmark_replay(decisions: int, rounds: int, as_json: bool) -> None:
    """The newest decisions of the store replayed together, beside each one alone; the store is only read."""
    from serving.benchmarks.replay_benchmark import benchmark_replay as measure
    from serving.benchmarks.serving_benchmark import NothingToMeasureError
    from serving.in_force.model_watch import RegistryUnreachableError
    from serving.in_force.scorer import ModelNotUsableError
    from serving.store.errors import StoreError

    try:
        with progress_bars() as progress:
            figures = measure(read_settings(), decisions=decisions, rounds=rounds, progress=progress)
    except (NothingToMeasureError, StoreError, ModelNotUsableError, RegistryUnreachableError) as problem:
        raise CommandFailed(str(problem)) from problem
    print_result(figures, as_json, lambda: print_figures("Replay", figures))


@benchmark.command("validation")
@click.option("--rows", default=1_000_000, show_default=True, type=click.IntRange(min=1000))
@json_option
def benchmark_validation(rows: int, as_json: bool) -> None:
    """Validate so many rows, beside reading them."""
    from data_contracts.validation.validation_benchmark import run as measure

    with progress_bars() as progress:
        figures = measure(rows, progress)
    print_result(figures, as_json, lambda: print_figures("Validation", figures))


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
    from training.errors import TrainingError
    from training.flat_tables import ieee_cis_benchmark, table_benchmark
    from training.flat_tables.table_result import TableBenchmark
    from training.flat_tables.table_schema_reader import TableSchemaInvalid

    if (name is None) is (table is None) or (table is None) is not (schema is None):
        raise click.UsageError("name a public data set, or give --table together with --schema")
    if table is not None and file is not None:
        raise click.UsageError("--file is a copy of a public data set; with --table there is none")
    if name == IEEE_CIS and with_protected:
        raise click.UsageError("ieee-cis has no protected columns")
    result: ieee_cis_benchmark.BenchmarkResult | TableBenchmark
    try:
        with progress_bars() as progress:
            if table is not None and schema is not None:
                result = table_benchmark.run_file(
                    table, schema, with_protected=with_protected, seed=seed, progress=progress
                )
            elif name == IEEE_CIS:
                source = fetched(name, file, progress)
                result = ieee_cis_benchmark.run(source, seed=seed, progress=progress)
            elif name is not None:
                source = fetched(name, file, progress)
                result = table_benchmark.run_public(
                    name, source, with_protected=with_protected, seed=seed, progress=progress
                )
    except TableSchemaInvalid as problem:
        raise CommandFailed(
            "\n".join([f"{schema} is no declaration of a table:", *problem.mistakes])
        ) from problem
    except (FetchFailed, TrainingError) as problem:
        raise CommandFailed(str(problem)) from problem
    print_result(result.to_json(), as_json, lambda: click.echo(result.to_text()))
