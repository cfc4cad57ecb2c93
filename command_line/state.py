"""What commands work on: settings, store, policy and models; one that cannot be used ends the command."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from command_line.terminal import CommandFailed, tell_of_ledger_folder
from serving.process.settings import DEFAULT_PUBLIC_URL, Settings, SettingsInvalid

if TYPE_CHECKING:
    from serving.domain.policy import Policy
    from serving.in_force.model_watch import ModelRegistry as ServedModels
    from serving.in_force.policy_activation import PolicyFile
    from serving.requests.case_scope import CaseScope
    from serving.store.migrate import Migrated
    from serving.store.store import Store
    from training.registry.registry import ModelRegistry


REGISTRY_PATIENCE_SECONDS = 30.0


def read_settings(**instead: str) -> Settings:
    """What the BONITAS_* variables say; one that cannot be used ends the command.

    instead: variables that an option of the command gives.
    """
    try:
        return Settings.from_env({**os.environ, **instead})
    except SettingsInvalid as problem:
        raise CommandFailed(str(problem)) from problem


def home_folder() -> Path:
    """What BONITAS_HOME says; the other variables may name what is not there yet."""
    return Settings.from_env({"BONITAS_HOME": os.environ.get("BONITAS_HOME", "")}).home


def book_folder(settings: Settings) -> Path:
    """Where `bonitas run` keeps its book."""
    return settings.home / "book"


def later_decisions_folder(directory: Path | None) -> Path:
    """The ledger folder that was named, else the book of `bonitas run`; without either the command ends."""
    if directory is not None:
        return directory
    folder = book_folder(read_settings())
    if not folder.is_dir():
        raise CommandFailed(f"name the ledger folder, DIR: there is no book of `bonitas run` in {folder}")
    tell_of_ledger_folder(folder)
    return folder


@contextmanager
def opened_store() -> Iterator["Store"]:
    """The store of the settings, closed at the end; one that cannot be used ends the command."""
    from serving.store.errors import StoreError, StoreUnavailable
    from serving.store.open_store import open_store

    url = read_settings().database_url
    try:
        store = open_store(url)
    except StoreUnavailable as problem:
        raise _store_unavailable(url, problem) from problem
    except StoreError as problem:
        raise CommandFailed(str(problem)) from problem
    try:
        yield store
    finally:
        store.close()


def now_in(store: "Store") -> int:
    """The present instant by the store's clock, which is moved in a sandbox; milliseconds since 1970 UTC."""
    from serving.store.sandbox_clock import clock_of

    return clock_of(store)()


def _store_unavailable(url: str, problem: Exception) -> CommandFailed:
    # The address of a server may hold its password.
    named = f" {url}" if url.startswith("sqlite") else ""
    return CommandFailed(f"the store{named} cannot be used: {problem}")


def migrated(settings: Settings, *, contract: bool = False) -> "Migrated":
    """The revision of the store, whose tables are there afterwards. contract: as of `bonitas migrate`.

    A store that was there and is gone is not made anew: that ends the command.
    """
    from serving.store.errors import StoreError
    from serving.store.known_stores import refuse_lost_store, remember_store
    from serving.store.migrate import migrate_in_steps

    if settings.home.exists() and not settings.home.is_dir():
        raise CommandFailed(f"BONITAS_HOME is no folder: {settings.home}")
    try:
        refuse_lost_store(settings.home, settings.database_url)
        done = migrate_in_steps(settings.database_url, contract=contract)
        remember_store(settings.home, settings.database_url)
    except StoreError as problem:
        raise CommandFailed(f"the store cannot be used: {problem}") from problem
    return done


def lost_store_put_aside(settings: Settings) -> list[Path]:
    """What is left of a lost store, out of the way of a new one; where none is, that ends the command."""
    from serving.store.errors import StoreError
    from serving.store.known_stores import forget_store, put_lost_store_aside

    try:
        aside = put_lost_store_aside(settings.home, settings.database_url)
        forget_store(settings.home, settings.database_url)
    except StoreError as problem:
        raise CommandFailed(str(problem)) from problem
    return aside


def read_policy(path: Path | None) -> "PolicyFile":
    """The policy in a file, by default the one that comes with the code; every mistake in it is named."""
    from serving.domain.errors import PolicyInvalid
    from serving.in_force.policy_activation import POLICY_FILE, PolicyFile

    name = path or POLICY_FILE
    try:
        return PolicyFile.read(path)
    except PolicyInvalid as problem:
        raise CommandFailed("\n".join([f"{name} is no policy:", *problem.mistakes])) from problem
    except UnicodeDecodeError as problem:
        raise CommandFailed(f"{name} is no policy: it is not UTF-8 text") from problem
    except OSError as problem:
        raise CommandFailed(f"{name} cannot be read: {problem}") from problem


def policy_file(settings: Settings) -> "PolicyFile":
    """The policy file of the settings; fails at once, and with every mistake, where it is none."""
    return read_policy(settings.policy_file)


@contextmanager
def policy_store() -> Iterator["Store"]:
    """The store with the history of the policy; what is wrong with either ends the command."""
    from serving.domain.errors import RiskError
    from serving.store.errors import StoreError

    with opened_store() as store:
        try:
            yield store
        except (RiskError, StoreError) as problem:
            raise CommandFailed(str(problem)) from problem


def asked_policy(path: Path | None) -> "Policy":
    """The policy in a file, or the one in force where no file is asked for."""
    return policy_in_force()[0] if path is None else read_policy(path).policy


def policy_in_force() -> "tuple[Policy, str]":
    """The policy in force and its text: the store's, or the file's where no store had one yet."""
    in_store = _policy_of_store()
    if in_store is not None:
        return in_store
    file = policy_file(read_settings())
    click.echo(f"no policy was put in force in a store yet: {file.path} stands for it", err=True)
    return file.policy, file.text


def clock_tolerance_in_force_ms() -> int:
    """How far two machines' clocks may be apart where rows are judged, by `policy_in_force`."""
    in_store = _policy_of_store()
    policy = policy_file(read_settings()).policy if in_store is None else in_store[0]
    return policy.clock_tolerance_ms


def _policy_of_store() -> "tuple[Policy, str] | None":
    """The store's policy and its text, None where no store had one yet."""
    from serving.domain.policy_reader import parse_policy
    from serving.in_force.policy_activation import history as policy_history
    from serving.in_force.policy_activation import kept_text
    from serving.store.errors import StoreNotMigrated, StoreUnavailable
    from serving.store.open_store import open_store

    settings = read_settings()
    try:
        open_store(settings.database_url).close()
    except StoreNotMigrated:
        pass
    except StoreUnavailable as problem:
        raise _store_unavailable(settings.database_url, problem) from problem
    else:
        with policy_store() as store:
            if policy_history(store):
                text = kept_text(store, None)[1]
                return parse_policy(text), text
    return None


def tell_before_start(settings: Settings) -> None:
    """Bring the store up to date and say on stderr what decides, and what is missing.

    What may come back by itself keeps nothing from starting: a database that cannot be reached, a policy
    that cannot be read. Checkouts are answered `unavailable` meanwhile, instead of meeting a closed port.
    """
    from serving.store.errors import StoreUnavailable

    try:
        migrated(settings)
    except CommandFailed as problem:
        if not isinstance(problem.__cause__, StoreUnavailable):
            raise
        click.echo(f"{problem.message}\nthe start does not wait for it", err=True)
        return
    try:
        tell_of_policy(policy_file(settings))
    except CommandFailed as problem:
        click.echo(problem.message, err=True)
        if not _has_policy():
            click.echo(
                "nobody is judged until there is a policy: checkouts are answered unavailable", err=True
            )
            return
    tell_of_champions(settings)


def _has_policy() -> bool:
    """Whether the store has a policy in force that this code can read."""
    from serving.domain.errors import RiskError
    from serving.in_force.policy_activation import policy_of_store

    with opened_store() as store:
        try:
            return policy_of_store(store) is not None
        except RiskError:
            return False


def tell_of_policy(file: "PolicyFile") -> None:
    """Put the file in force where the store has no policy yet, and say on stderr which one is."""
    from serving.in_force.policy_activation import active_policy, notice_about_file

    with policy_store() as store:
        active = active_policy(store, lambda: file, now_ms=now_in(store))
    click.echo(f"policy {active.policy.version} is in force", err=True)
    notice = notice_about_file(file, active.activations)
    if notice is not None:
        click.echo(notice, err=True)


def tell_of_champions(settings: Settings) -> None:
    """Say on stderr which champions cannot decide, what that means, and what to do.

    A registry that does not answer holds up no start: what it says later is printed later.
    """
    from serving.in_force.champion_notice import champion_notices

    policy = policy_in_force()[0]

    def tell() -> None:
        for notice in champion_notices(settings, served_models(), policy):
            click.echo(notice, err=True)

    telling = threading.Thread(target=tell, daemon=True)
    telling.start()
    telling.join(REGISTRY_PATIENCE_SECONDS)
    if telling.is_alive():
        click.echo("the model registry has not answered yet; the start does not wait for it", err=True)


@contextmanager
def model_registry() -> Iterator["ModelRegistry"]:
    """The registry and its history of champions; what training cannot do ends the command."""
    from data_contracts.parquet_ledger import NoSuchLedgerTable
    from features.decisions import NoDecisionsError
    from training.errors import TrainingError
    from training.registry.registry import ModelRegistry

    settings = read_settings()
    try:
        yield ModelRegistry(settings.mlflow_uri, settings.artifact_root)
    except (TrainingError, NoDecisionsError, NoSuchLedgerTable) as problem:
        raise CommandFailed(str(problem)) from problem


def served_models() -> "ServedModels":
    """The registry as the service reads it: versions that it could use, or judge stored features with."""
    from serving.in_force.model_watch import ModelRegistry as ServedModels

    settings = read_settings()
    return ServedModels(settings.mlflow_uri, settings.artifact_root)


@contextmanager
def case_scope() -> Iterator["CaseScope"]:
    """What the use cases of the fraud team need; a step that is not possible ends the command."""
    from serving.domain.errors import RiskError
    from serving.in_force.policy_activation import active_policy
    from serving.requests.case_scope import CaseScope
    from serving.store.sandbox_clock import clock_of

    settings = read_settings()
    with opened_store() as store:
        try:
            yield CaseScope(
                store=store,
                policy=active_policy(store, lambda: policy_file(settings), now_ms=now_in(store)).policy,
                now_ms=clock_of(store),
                public_url=settings.public_url or DEFAULT_PUBLIC_URL,
            )
        except RiskError as problem:
            raise CommandFailed(str(problem)) from problem
