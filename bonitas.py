"""The command line of Bonitas: data, features, training, serving, and `run`, which does it all."""

import errno

import click

from command_line.access import keys, merchants, users
from command_line.backups import backup, restore
from command_line.benchmarks import benchmark
from command_line.cases import cases
from command_line.data import data
from command_line.decisions import decisions
from command_line.events import events
from command_line.features import features
from command_line.invoices import invoices
from command_line.monitoring import monitor
from command_line.policies import policy
from command_line.sandbox import clock
from command_line.service import migrate, serve, worker
from command_line.settlement import settlement
from command_line.shadow import shadow
from command_line.stop_requests import stop_requests
from command_line.terminal import CommandFailed
from command_line.training import compare, history, promote, report, rollback, train
from command_line.whole_way import run
from data_contracts.ledger_folder_error import LedgerFolderError
from data_contracts.private_files import keep_new_files_private

_NOT_TO_BE_USED = frozenset(
    {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR, errno.EISDIR}
)
"""What a file system says where somebody may not read or write, or there is no room."""


class _Commands(click.Group):
    """All commands; whichever of them meets a file or folder that cannot be used says so in a line."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except LedgerFolderError as problem:
            raise CommandFailed(str(problem)) from problem
        except OSError as problem:
            # A file that is not there, or a pipe that nobody reads, says more by its own name.
            if problem.errno not in _NOT_TO_BE_USED:
                raise
            named = "" if problem.filename is None else f"{problem.filename}: "
            raise CommandFailed(f"{named}{problem.strerror}") from problem


@click.group(
    cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(package_name="bonitas")
def main() -> None:
    """Credit and fraud risk scoring for pay-by-invoice.

    State lies below $BONITAS_HOME (default ./.bonitas). `bonitas run` goes from an empty folder to
    served decisions; every other command is one step of it. What commands write, only its owner can read.
    """
    keep_new_files_private()


for command in (
    backup,
    benchmark,
    cases,
    clock,
    compare,
    data,
    decisions,
    events,
    features,
    history,
    invoices,
    keys,
    merchants,
    migrate,
    monitor,
    policy,
    promote,
    report,
    restore,
    rollback,
    run,
    serve,
    settlement,
    shadow,
    stop_requests,
    train,
    users,
    worker,
):
    main.add_command(command)


if __name__ == "__main__":
    main()
