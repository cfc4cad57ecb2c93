"""`bonitas backup` and `restore`: all state in one file, and from it."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from command_line.state import home_folder, read_settings
from command_line.terminal import CommandFailed, figure_text, json_option, print_result, progress_bars

if TYPE_CHECKING:
    from serving.backup.restore import Restored


@click.command()
@click.option(
    "--to",
    "file",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The backup; an older one of that name is replaced once the new one is whole.",
)
@json_option
def backup(file: Path, as_json: bool) -> None:
    """Write everything that matters into one file, while the service goes on.

    The store as it is at one moment, the model registry, the models' files with their histories, and the keys
    and policy files of the home. What the file does not hold is named on stderr.

    The file holds personal data and secrets: it is made for its owner alone (0600) and is not encrypted.
    """
    from serving.backup.backup import back_up
    from serving.backup.backup_file import BackupError
    from serving.process.server import sigterm_as_ctrl_c
    from serving.store.errors import StoreError

    settings = read_settings()
    try:
        with sigterm_as_ctrl_c(), progress_bars() as progress:
            made = back_up(settings, file.absolute(), made_at=datetime.now(UTC), progress=progress)
    except (BackupError, StoreError) as problem:
        raise CommandFailed(str(problem)) from problem
    except OSError as problem:
        raise CommandFailed(f"the backup cannot be made: {problem}") from problem
    for one in made.left_out:
        click.echo(f"not in the backup: {one}", err=True)

    def render() -> None:
        click.echo(
            f"{made.file}: {figure_text(sum(made.rows.values()))} rows of {len(made.rows)} tables and "
            f"{figure_text(made.files)} files in {figure_text(made.size_bytes)} bytes"
        )

    result = {
        "file": str(made.file),
        "size_bytes": made.size_bytes,
        "rows": made.rows,
        "files": made.files,
        "left_out": list(made.left_out),
    }
    print_result(result, as_json, render)


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--to",
    "target",
    required=True,
    metavar="HOME|DATABASE_URL",
    help="A folder that is empty or not there yet; or an empty database, with the files in $BONITAS_HOME.",
)
@click.option("--store-only", is_flag=True, help="With a DATABASE_URL: no files, the store alone.")
@click.option(
    "--without-deliveries",
    is_flag=True,
    help="Drop the messages to merchants that wait: the store that was backed up sends them itself.",
)
@json_option
def restore(file: Path, target: str, store_only: bool, without_deliveries: bool, as_json: bool) -> None:
    """Restore a backup where nothing is yet, compare every table's count and say it.

    Nothing is written before the whole FILE was verified. What an older release made is migrated.

    A restored store sends to merchants what waits, as the first one does: where both run, restore with
    --without-deliveries and run the copy with BONITAS_DELIVERIES=0.
    """
    from serving.backup.backup_file import BackupError
    from serving.backup.restore import RestoreTarget
    from serving.backup.restore import restore as restore_backup
    from serving.process.server import sigterm_as_ctrl_c
    from serving.store.errors import StoreError

    try:
        named = RestoreTarget.named(target, home=home_folder(), store_only=store_only)
        with sigterm_as_ctrl_c(), progress_bars() as progress:
            restored = restore_backup(file, named, without_deliveries=without_deliveries, progress=progress)
    except (BackupError, StoreError) as problem:
        raise CommandFailed(str(problem)) from problem
    except OSError as problem:
        raise CommandFailed(f"the backup cannot be restored: {problem}") from problem
    for one in restored.left_out:
        click.echo(f"not in the backup: {one}", err=True)
    print_result(_result(restored), as_json, lambda: _tell(restored))


def _result(restored: "Restored") -> dict[str, object]:
    from serving.backup.store_target import shown

    return {
        "made_at": restored.made_at,
        "database": shown(restored.target.database_url),
        "home": None if restored.target.home is None else str(restored.target.home),
        "schema_revision": restored.schema_revision,
        "rows": restored.rows,
        "files": restored.files,
        "dropped_deliveries": restored.dropped_deliveries,
        "left_out": restored.left_out,
    }


def _tell(restored: "Restored") -> None:
    from serving.backup.store_target import shown

    for name, count in restored.rows.items():
        if count:
            click.echo(f"{name}: {figure_text(count)}")
    rows = f"{figure_text(sum(restored.rows.values()))} rows of {len(restored.rows)} tables"
    place = f"{shown(restored.target.database_url)} (revision {restored.schema_revision})"
    click.echo(f"as it was at {restored.made_at}, every count equal: {rows} in {place}")
    if restored.target.home is not None:
        click.echo(f"{figure_text(restored.files)} files in {restored.target.home}")
    if restored.dropped_deliveries:
        click.echo(f"messages that waited and are dropped: {figure_text(restored.dropped_deliveries)}")
