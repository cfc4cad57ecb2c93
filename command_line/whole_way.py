"""`bonitas run`: from an empty folder to served decisions; every other command is one step of it."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from command_line.clock import now_ms, today
from command_line.sample_answers import (
    flagged_cases,
    print_console,
    print_decisions,
    print_flagged,
    print_how_to_go_on,
    show_stop,
)
from command_line.state import (
    book_folder,
    migrated,
    opened_store,
    policy_file,
    policy_in_force,
    read_settings,
    tell_of_policy,
)
from command_line.terminal import CommandFailed, progress_bars
from serving.settings import DEFAULT_PUBLIC_URL, Settings


@click.command()
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
    settings = replace(read_settings(), allow_private_endpoints=True)
    file = policy_file(settings)
    settings.home.mkdir(parents=True, exist_ok=True)
    book = book_folder(settings)
    _prepare_book(settings, book, customers=customers, months=months, seed=seed)
    _prepare_ledger(settings, book)
    tell_of_policy(file)
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
            print_decisions(decided)
            if screens:
                with sample_merchant() as merchant:
                    ring = send_ring(server.url, key, merchant.account_event(now), now=now)
                    flagged = flagged_cases(server.url, fraud_key, ring)
                    print_flagged(flagged)
                    if flagged:
                        show_stop(server.url, fraud_key, flagged[0], merchant)
                # It stops listening: from now on this merchant is reached by e-mail.
                end_sample_merchant(server.url, key, merchant.account_event(datetime.now(UTC)))
            order_file = settings.home / "order.json"
            order_file.write_text(json.dumps(decided[0].order.body, indent=1))
            print_how_to_go_on(server.url, key, order_file, decided[0].answer["decision_id"], once=once)
            print_console(DEFAULT_PUBLIC_URL if once else server.url, password)
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
    from data_contracts.validation import validate_folder

    finished = settings.home / "book.json"
    if finished.exists():
        return
    with progress_bars() as progress:
        summary = simulate_portfolio(
            book, customers=customers, months=months, seed=seed, ends_on=today(), progress=progress
        )
        result = validate_folder(
            book, report_directory=settings.home / "validation", progress=progress, now=datetime.now(UTC)
        )
    if result.quarantined:
        raise CommandFailed(
            f"{result.quarantined} simulated rows broke their contracts: see {result.report_file}"
        )
    finished.write_text(json.dumps(summary.to_json()))


def _prepare_ledger(settings: Settings, book: Path) -> None:
    """Load the book into the store, unless it was loaded into this store before."""
    import hashlib

    from serving.store.loading import load_folder

    migrated(settings)
    finished = settings.home / f"loaded-{hashlib.sha256(settings.database_url.encode()).hexdigest()[:12]}"
    if finished.exists():
        return
    with opened_store() as store, progress_bars() as progress:
        result = load_folder(store, book, progress, now_ms=now_ms())
    if result.refused_count:
        raise CommandFailed(f"{result.refused_count} rows were refused, the first: {result.refused[0]}")
    finished.touch()


def _prepare_champions(settings: Settings, book: Path) -> bool:
    """Train each model unless a champion is there that this code can serve.

    A champion of an earlier release is replaced; one whose files were changed is a person's to look at.
    Returns whether there is one for order risk: a small book has too little fraud to learn from.
    """
    from features.feature_sets import INVOICE_ELIGIBILITY, ORDER_RISK
    from training import invoice_eligibility, order_risk
    from training.errors import TrainingError
    from training.registry import ModelRegistry, VersionChangedError

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
    where: dict[str, Any] = {
        "tracking_uri": settings.mlflow_uri,
        "artifact_root": settings.artifact_root,
        "terms": policy.settlement_terms,
    }
    linked_customers_maximum = policy.order_risk.linked_customers_maximum
    if not is_served[INVOICE_ELIGIBILITY.name]:
        try:
            with progress_bars() as progress:
                eligibility = invoice_eligibility.train(book, **where, progress=progress)
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
                risk = order_risk.train(
                    book, linked_customers_maximum=linked_customers_maximum, **where, progress=progress
                )
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

    with opened_store() as store:
        return first_user(store, now_ms())


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
        secret = create_api_key(
            store, name=f"run-{role}-{now_ms()}", role=role, merchant_id=None, now_ms=now_ms()
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
    raise CommandFailed("no port is free on 127.0.0.1")
