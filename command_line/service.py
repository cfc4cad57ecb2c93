"""`bonitas serve`, `worker` and `migrate`: the processes of the service, and its tables."""

import click

from command_line.sandbox import mark_sandbox
from command_line.state import lost_store_put_aside, migrated, read_settings, tell_before_start
from command_line.terminal import CommandFailed


@click.command()
@click.option("--port", type=click.IntRange(1, 65_535), default=3000, show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True)
def serve(port: int, host: str, workers: int) -> None:
    """Serve the API until Ctrl-C: POST /v1/score and the rest (GET /v1/openapi.json).

    The policy in force is the store's (`bonitas policy history`). Only a store without one takes the file of
    $BONITAS_POLICY, or the policy that comes with the code. A model whose champion cannot decide, after an
    upgrade say, is named with the command that mends it.

    Without a model, a policy or the store checkouts are answered `unavailable`; GET /readyz names what is
    missing.
    """
    from serving.process.full_log import lose_what_cannot_be_logged
    from serving.process.server import ServerDidNotStart
    from serving.process.server import serve as serve_until_interrupted
    from serving.process.slim_process import leave_out_data_frames

    lose_what_cannot_be_logged()
    # The champions are looked at before the start.
    leave_out_data_frames()
    settings = read_settings()
    tell_before_start(settings)
    try:
        serve_until_interrupted(settings, host=host, port=port, workers=workers)
    except ServerDidNotStart as problem:
        raise CommandFailed(str(problem)) from problem


@click.command()
def worker() -> None:
    """Run a worker on its own: it screens approved orders and keeps the review queue in order.

    `bonitas serve` starts one; more of them, on other machines too, share the work.
    """
    import threading

    from serving import worker as review_worker
    from serving.process.full_log import lose_what_cannot_be_logged
    from serving.process.slim_process import leave_out_data_frames

    lose_what_cannot_be_logged()
    leave_out_data_frames()
    settings = read_settings()
    tell_before_start(settings)
    try:
        review_worker.work(settings, threading.Event())
    except KeyboardInterrupt:
        click.echo("ended", err=True)


@click.command()
@click.option(
    "--contract", is_flag=True, help="Also take away what only earlier releases need, once none of them runs."
)
@click.option("--new-store", is_flag=True, help="Begin anew on purpose where the store is lost.")
@click.option(
    "--sandbox",
    is_flag=True,
    help="Mark a new store for good as a sandbox, whose clock can be moved.",
)
def migrate(*, contract: bool, new_store: bool, sandbox: bool) -> None:
    """Create or upgrade the store's tables (SQLite or PostgreSQL, by $BONITAS_DATABASE_URL).

    Without an option only what adds: services and workers of the release before go on meanwhile, and each
    start does as much by itself. What takes something away is named and left for --contract, which is refused
    while a service or worker runs that needs it.

    A store that was there and is gone, empty or damaged is not made anew by itself: bring it back
    (bonitas restore), or begin anew by --new-store, which keeps what is left of it beside.

    --sandbox makes the store a sandbox, in which deadlines are seen passing (`bonitas clock`). One that holds
    a single row is refused, and a sandbox never becomes a real store.
    """
    settings = read_settings()
    if new_store:
        for left in lost_store_put_aside(settings):
            click.echo(f"what is left of the store lies in {left}", err=True)
    done = migrated(settings, contract=contract)
    if sandbox:
        mark_sandbox()
    click.echo(f"store at revision {done.schema}{', a sandbox' if sandbox else ''}")
    if done.left is not None:
        click.echo(
            f"revision {done.left} takes away what earlier releases need: once none of them runs, "
            "bonitas migrate --contract",
            err=True,
        )
