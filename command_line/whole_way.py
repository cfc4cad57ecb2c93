"""`bonitas run`: from an empty folder to served decisions; every other command is one step of it."""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from command_line.clock import today
from command_line.order_lives import show_order_lives
from command_line.sample_answers import (
    HowToGoOn,
    flagged_cases,
    print_console,
    print_decisions,
    print_flagged,
    print_how_to_go_on,
    show_stop,
)
from command_line.state import (
    book_folder,
    clock_tolerance_in_force_ms,
    migrated,
    now_in,
    opened_store,
    policy_file,
    policy_in_force,
    read_settings,
    tell_of_policy,
)
from command_line.terminal import CommandFailed, progress_bars
from data_contracts.instants import moment
from data_contracts.private_files import private_folder, write_private_text
from serving.process.settings import DEFAULT_PUBLIC_URL, Settings

if TYPE_CHECKING:
    from serving.first_look.sample_orders import DecidedSample


@click.command()
@click.option(
    "--once", is_flag=True, help="Show the sample orders, a stop request, the lives of two orders, and end."
)
@click.option("--port", default=3000, show_default=True, type=click.IntRange(1, 65_535))
@click.option("--customers", default=6_000, show_default=True, type=click.IntRange(min=500))
@click.option("--months", default=24, show_default=True, type=click.IntRange(min=9, max=120))
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0))
def run(once: bool, port: int, customers: int, months: int, seed: int) -> None:
    """From an empty folder to served decisions: the main job.

    Simulates, validates, loads and trains what is not there yet, serves, sends itself a handful of
    telling orders and prints what came back. Two orders live on to the settlement note in a sandbox beside
    it. Stays up until Ctrl-C.
    """
    import httpx

    from serving.first_look.sample_merchant import NoticeNotReceivedError, sample_merchant
    from serving.first_look.sample_orders import (
        NoSampleCustomersError,
        SampleKeys,
        SampleRefusedError,
        end_sample_merchant,
        send_ring,
        send_sample_orders,
    )
    from serving.process.server import ServerDidNotStart, running_server, sigterm_as_ctrl_c

    # The sample merchant listens on this machine, which webhooks to real merchants must never reach.
    settings = replace(read_settings(), allow_private_endpoints=True)
    file = policy_file(settings)
    private_folder(settings.home)
    book = book_folder(settings)
    _require_own_store(settings, book)
    _prepare_book(settings, book, customers=customers, months=months, seed=seed)
    _prepare_ledger(settings, book)
    tell_of_policy(file)
    screens = _prepare_champions(settings, book)
    keys = SampleKeys(checkout=_run_key(settings, "checkout"), ledger=_run_key(settings, "ledger"))
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
            now = _now()
            decided = send_sample_orders(server.url, keys, book, now=now)
            print_decisions(decided)
            if screens:
                with sample_merchant() as merchant:
                    ring = send_ring(server.url, keys, merchant.account_event(now), now=now)
                    flagged = flagged_cases(server.url, fraud_key, ring)
                    print_flagged(flagged)
                    if flagged:
                        show_stop(server.url, fraud_key, flagged[0], merchant)
                # It stops listening: from now on this merchant is reached by e-mail.
                end_sample_merchant(server.url, keys, merchant.account_event(_now()))
            show_order_lives(settings)
            order_file = settings.home / "order.json"
            write_private_text(order_file, json.dumps(decided[0].order.body, indent=1))
            event_file = settings.home / "event.json"
            write_private_text(event_file, json.dumps(_sample_event(decided), indent=1))
            print_how_to_go_on(
                server.url,
                keys,
                HowToGoOn(
                    order_file=order_file,
                    event_file=event_file,
                    decision_id=decided[0].answer["decision_id"],
                ),
                once=once,
            )
            # Made only now: whatever ended the run before this line would end it with a password nobody saw.
            print_console(DEFAULT_PUBLIC_URL if once else server.url, _first_user())
            if not once:
                click.echo("Ctrl-C ends the service.", err=True)
                server.wait()
                raise CommandFailed(
                    f"the server ended by itself; its output is in {settings.home / 'server.log'}"
                )
    except KeyboardInterrupt:
        click.echo("ended", err=True)
    except (
        ServerDidNotStart,
        NoSampleCustomersError,
        SampleRefusedError,
        NoticeNotReceivedError,
        httpx.HTTPError,
    ) as problem:
        raise CommandFailed(str(problem)) from problem


def _prepare_book(settings: Settings, book: Path, *, customers: int, months: int, seed: int) -> None:
    """Simulate and validate the book, unless this home holds one."""
    from data_contracts.simulation.portfolio import simulate_portfolio
    from data_contracts.validation.folder_check import validate_folder, validation_folder

    finished = settings.home / "book.json"
    if finished.exists():
        return
    with progress_bars() as progress, tempfile.TemporaryDirectory(dir=settings.home) as simulated:
        summary = simulate_portfolio(
            Path(simulated),
            customers=customers,
            months=months,
            seed=seed,
            ends_on=today(),
            progress=progress,
        )
        result = validate_folder(
            Path(simulated),
            report_directory=validation_folder(settings.home, book),
            accepted_directory=book,
            progress=progress,
            now=datetime.now(UTC),
            clock_tolerance_ms=clock_tolerance_in_force_ms(),
        )
    if result.quarantined:
        raise CommandFailed(
            f"{result.quarantined} simulated rows broke their contracts: see {result.report_file}"
        )
    write_private_text(finished, json.dumps(summary.to_json()))


def _loaded_marks(settings: Settings) -> tuple[Path, Path]:
    """The files of which one says that the book is in this store; earlier releases left the second."""
    import hashlib

    # A home that is copied takes its store with it, so a store inside it is named from there.
    place = settings.database_url.replace(f"sqlite:///{settings.home}/", "sqlite:///", 1)
    of_now, of_earlier_releases = (
        settings.home / f"loaded-{hashlib.sha256(name.encode()).hexdigest()[:12]}"
        for name in (place, settings.database_url)
    )
    return of_now, of_earlier_releases


def _require_own_store(settings: Settings, book: Path) -> None:
    """End the command where the store holds another ledger, which simulated rows must never get into."""
    from serving.store.loading import holds_another_ledger

    migrated(settings)
    if any(mark.exists() for mark in _loaded_marks(settings)):
        return
    with opened_store() as store:
        if holds_another_ledger(store, book):
            raise CommandFailed(
                "the store holds a ledger that is not the book of this home, and simulated rows would get "
                "into it: bonitas serve serves what is there; with another BONITAS_DATABASE_URL the first "
                "run has a store of its own"
            )


def _prepare_ledger(settings: Settings, book: Path) -> None:
    """Load the book into the store, unless it was loaded into this store before."""
    from serving.store.loading import load_folder

    marks = _loaded_marks(settings)
    if any(mark.exists() for mark in marks):
        return
    with opened_store() as store, progress_bars() as progress:
        result = load_folder(
            store, book, progress, now_ms=now_in(store), clock_tolerance_ms=clock_tolerance_in_force_ms()
        )
    if result.refused_count:
        raise CommandFailed(f"{result.refused_count} rows were refused, the first: {result.refused[0]}")
    marks[0].touch()


def _prepare_champions(settings: Settings, book: Path) -> bool:
    """Train each model unless a champion is there that this code can serve.

    A champion of an earlier release is replaced; one whose files were changed is a person's to look at.
    Returns whether there is one for order risk: a small book has too little fraud to learn from.
    """
    from features.feature_sets import INVOICE_ELIGIBILITY, ORDER_RISK
    from training.errors import TrainingError
    from training.registry.registered_versions import VersionChangedError
    from training.registry.registry import ModelRegistry
    from training.tasks import TASKS
    from training.train import train
    from training.training_task import TrainingRequest

    registry = ModelRegistry(settings.mlflow_uri, settings.artifact_root)
    is_served = {}
    for model in (INVOICE_ELIGIBILITY.name, ORDER_RISK.name):
        try:
            not_served = registry.why_champion_is_not_served(model)
            is_served[model] = not_served is None and registry.champion_version(model) is not None
        except TrainingError as problem:
            raise CommandFailed(str(problem)) from problem
        if isinstance(not_served, VersionChangedError):
            raise CommandFailed(f"{not_served}\n(DIR of this home is {book})")
        if not_served is not None:
            click.echo(f"the champion of {model} is of an earlier release: it is trained anew", err=True)
    policy = policy_in_force()[0]
    request = TrainingRequest(
        directory=book,
        tracking_uri=settings.mlflow_uri,
        artifact_root=settings.artifact_root,
        terms=policy.settlement_terms,
        linked_customers_maximum=policy.order_risk.linked_customers_maximum,
    )
    if not is_served[INVOICE_ELIGIBILITY.name]:
        try:
            with progress_bars() as progress:
                eligibility = train(TASKS[INVOICE_ELIGIBILITY.name], request, progress=progress)
        except TrainingError as problem:
            raise CommandFailed(str(problem)) from problem
        click.echo(eligibility.to_text(), err=True)
        if not eligibility.became_champion:
            raise CommandFailed("the model did not pass its gates: simulate a larger book (--customers)")
    tried = settings.home / f"order-risk-{ORDER_RISK.version}.txt"
    if is_served[ORDER_RISK.name]:
        return True
    if not tried.exists():
        try:
            with progress_bars() as progress:
                risk = train(TASKS[ORDER_RISK.name], request, progress=progress)
        except TrainingError as problem:
            tried.write_text(str(problem))
        else:
            click.echo(risk.to_text(), err=True)
            if risk.became_champion:
                return True
            tried.write_text("the model did not pass its gates: use a larger book (--customers)")
    click.echo(f"approved orders wait for an order-risk model: {tried.read_text()}", err=True)
    return False


def _now() -> datetime:
    """The present instant by the store's clock."""
    with opened_store() as store:
        return moment(now_in(store))


def _first_user() -> str | None:
    """The password of the console's first user, made once; None where there are users."""
    from serving.console.sign_in import first_user

    with opened_store() as store:
        return first_user(store, now_in(store))


def _run_key(settings: Settings, role: str) -> str:
    """A key of `bonitas run`, made once and kept in a file that only its owner reads."""
    from serving.store.api_keys import caller_of
    from serving.store.api_keys import create_key as create_api_key

    file = settings.home / f"{role}.key"
    with opened_store() as store:
        if file.exists():
            secret = file.read_text().strip()
            with store.reading() as tx:
                if caller_of(tx, secret) is not None:
                    return secret
        now_ms = now_in(store)
        secret = create_api_key(
            store, name=f"run-{role}-{now_ms}", role=role, merchant_id=None, now_ms=now_ms
        )
    write_private_text(file, secret)
    return secret


def _sample_event(decided: Sequence["DecidedSample"]) -> dict[str, Any]:
    """A ledger row of the samples to send by hand: the first customer who was new to the book."""
    return next(event for sample in decided for event in sample.order.events)


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
    raise CommandFailed("no port is free on 127.0.0.1")
