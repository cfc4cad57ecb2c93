"""What every command shares at the terminal: failures, progress bars, figures and tables, common options."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from data_contracts.json_values import json_values
from data_contracts.text_form import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from data_contracts.progress import Progress

MODELS = ("invoice-eligibility", "order-risk")

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
terms_option = click.option(
    "--policy",
    "policy_path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="POLICY.toml",
    help="Whose materiality and grace say when an invoice is paid and late.  [default: the policy in force]",
)

NOT_READ_SHOWN = 20
NAME_SHOWN = 100


class CommandFailed(click.ClickException):
    """A message that says what to do, and exit status 1. It may name what others named."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


def tell_what_is_not_read(directory: Path, *, are_rows_judged: bool) -> None:
    """Say on stderr what lies in a ledger folder and is not read, columns too.

    Ends the command where something of it is meant to be read, and where a file of rows is no Parquet.
    are_rows_judged: the command judges every row by its contract, which has no room for unknown columns.
    """
    from data_contracts.ledger_folder import refuse_left_out_rows, unknown_columns, what_is_not_read

    not_read = what_is_not_read(directory)
    refuse_left_out_rows(directory, not_read)
    for one in not_read[:NOT_READ_SHOWN]:
        click.echo(f"not read: {one}", err=True)
    if len(not_read) > NOT_READ_SHOWN:
        click.echo(f"not read: {len(not_read) - NOT_READ_SHOWN} more", err=True)
    unknown = unknown_columns(directory)
    what_becomes = "a row that has a value there is refused" if are_rows_judged else "it is not read"
    for (contract, column), files in list(unknown.items())[:NOT_READ_SHOWN]:
        more = f" and {len(files) - 1} more" if len(files) > 1 else ""
        where = f"{contract}/{files[0]}{more}"
        click.echo(f"unknown column: {contract}.{shown_name(column)} in {where}; {what_becomes}", err=True)
    if len(unknown) > NOT_READ_SHOWN:
        click.echo(f"unknown column: {len(unknown) - NOT_READ_SHOWN} more; {what_becomes}", err=True)


def shown_name(name: str) -> str:
    r"""A name that somebody made up, for the terminal: cut, and without signs that steer it.

    >>> shown_name("loyalty_points"), shown_name("a\x1b[31m"), len(shown_name("x" * 1_000_000))
    ('loyalty_points', 'a\\x1b[31m', 101)
    """
    cut = name if len(name) <= NAME_SHOWN else f"{name[:NAME_SHOWN]}…"
    return printable(cut).replace("\n", r"\n")


def tell_of_ledger_folder(directory: Path) -> None:
    """Say on stderr what lies in a ledger folder and is not read, and whether what is read was judged.

    For commands that judge no rows themselves.
    """
    from data_contracts.validation.accepted_folder import read_accepted_file, why_not_vouched_for

    tell_what_is_not_read(directory, are_rows_judged=False)
    accepted = read_accepted_file(directory)
    if accepted is None:
        click.echo(
            f"nobody judged the rows of {directory}: bonitas data validate DIR --out ACCEPTED does, and "
            "writes a folder that says so",
            err=True,
        )
        return
    changes = why_not_vouched_for(directory, accepted, clock_tolerance_ms=None)
    if changes:
        click.echo(
            f"{directory} is not what bonitas data validate accepted at {accepted.validated_at}: "
            f"{', '.join(changes)}; validate it again",
            err=True,
        )


def _told_of(_context: click.Context, _parameter: click.Parameter, directory: Path | None) -> Path | None:
    if directory is not None:
        tell_of_ledger_folder(directory)
    return directory


_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
ledger_folder = click.argument("directory", type=_FOLDER, metavar="DIR", callback=_told_of)
optional_ledger_folder = click.argument(
    "directory", required=False, type=_FOLDER, metavar="[DIR]", callback=_told_of
)
folder_to_judge = click.argument("directory", type=_FOLDER, metavar="DIR")


@contextmanager
def progress_bars() -> Iterator["Progress"]:
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


def print_result(result: Any, as_json: bool, render: Callable[[], None]) -> None:
    """Print one JSON object on stdout where --json asked for it, else call `render`.

    What is missing (NaN) is null there.
    """
    if as_json:
        plain = json_values(result)
        click.echo(json.dumps(plain, indent=2, sort_keys=True, default=str, allow_nan=False))
    else:
        render()


def print_answer(answer: object) -> None:
    """Print what a use case answered as indented JSON, in the form that the API gives it."""
    from serving.requests.wire_form import in_plain_values

    click.echo(json.dumps(in_plain_values(answer), indent=1))


def print_rows(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows with the same names as a table that 80 columns hold: long names take several lines."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name, value in rows[0].items():
        words = name.split("_")
        table.add_column(
            " ".join(words),
            justify="left" if isinstance(value, str) else "right",
            min_width=max(len(word) for word in words),
        )
    for row in rows:
        table.add_row(*(figure_text(value) for value in row.values()))
    Console().print(table)


def wide_console() -> "Console":
    """A console for tables with ids and sentences: they are unreadable in 80 columns."""
    from rich.console import Console

    console = Console()
    console.width = max(console.width, 130)
    return console


def id_table(*headings: str, title: str | None = None) -> "Table":
    """A table of ids, names and sentences: they are copied from it, and so never cut."""
    from rich.table import Table

    table = Table(title=title)
    for place, heading in enumerate(headings):
        table.add_column(heading, no_wrap=place == 0, overflow="fold")
    return table


def print_figures(title: str, figures: dict[str, Any]) -> None:
    """Print named figures as a table; a dict within them gives one row for each of its keys."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", show_header=False)
    for name, value in figures.items():
        if isinstance(value, dict):
            for key, inner in value.items():
                table.add_row(f"{name}.{key}", figure_text(inner))
        else:
            table.add_row(name, figure_text(value))
    Console().print(table)


def figure_text(value: Any) -> str:
    """A figure for people: thousands set apart, four decimals; anything else as its own text."""
    if isinstance(value, bool) or value is None:
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.4f}"
    return str(value)


def require_writable(file: Path) -> None:
    """End the command now if a file cannot be written after long work; nothing is left behind by asking."""
    missing = [folder for folder in file.parents if not folder.exists()]
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        is_new = not file.exists()
        file.open("ab").close()
        if is_new:
            file.unlink()
        for folder in missing:
            folder.rmdir()
    except OSError as problem:
        raise CommandFailed(f"{file} cannot be written: {problem.strerror}") from problem


def write_text(file: Path, text: str) -> None:
    """Write a file, in a folder that is made where it is missing."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
