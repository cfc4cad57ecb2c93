"""Who may get in: `bonitas keys` for callers, `users` for the console, `merchants` for webhook secrets."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from command_line.clock import now_ms
from command_line.state import migrated, opened_store, read_settings
from command_line.terminal import CommandFailed, json_option, print_result

if TYPE_CHECKING:
    from serving.store.store import Store


@click.group()
def keys() -> None:
    """Manage the API keys of callers."""


@keys.command("create")
@click.argument("name")
@click.option(
    "--role", required=True, type=click.Choice(["checkout", "merchant", "ledger", "fraud", "admin"])
)
@click.option(
    "--merchant", "merchant_id", help="Required for the role merchant: whose orders the key may see."
)
@json_option
def create_key(name: str, role: str, merchant_id: str | None, as_json: bool) -> None:
    """Create an API key and print it; it is not stored and cannot be shown again."""
    from serving.store.api_keys import create_key as create_api_key
    from serving.store.errors import ApiKeyError

    migrated(read_settings())
    with opened_store() as store:
        try:
            secret = create_api_key(store, name=name, role=role, merchant_id=merchant_id, now_ms=now_ms())
        except ApiKeyError as problem:
            raise CommandFailed(str(problem)) from problem
    print_result({"name": name, "role": role, "key": secret}, as_json, lambda: click.echo(secret))


@contextmanager
def _console_users() -> Iterator["Store"]:
    """The migrated store; a user that cannot be as asked ends the command."""
    from serving.domain.console_user import UserInvalid

    migrated(read_settings())
    with opened_store() as store:
        try:
            yield store
        except UserInvalid as problem:
            raise CommandFailed(str(problem)) from problem


def _password(from_stdin: bool) -> str:
    """The first line of stdin, or a random password."""
    from serving.console.sign_in import random_password

    return sys.stdin.readline().rstrip("\r\n") if from_stdin else random_password()


password_stdin_option = click.option(
    "--password-stdin", is_flag=True, help="Read the password from stdin instead of making and printing one."
)


@click.group()
def users() -> None:
    """Manage who may sign in to the console."""


@users.command("add")
@click.argument("name")
@click.option("--role", required=True, type=click.Choice(["fraud", "analyst", "admin"]))
@password_stdin_option
@json_option
def add_console_user(name: str, role: str, password_stdin: bool, as_json: bool) -> None:
    """Add a user; a password that is made is printed once and cannot be shown again."""
    from serving.console.sign_in import add_user

    password = _password(password_stdin)
    with _console_users() as store:
        add_user(store, name=name, role=role, password=password, now_ms=now_ms())
    _print_user({"name": name, "role": role}, password, password_stdin, as_json)


@users.command("list")
@json_option
def list_console_users(as_json: bool) -> None:
    """List the users with their roles."""
    from serving.console.sign_in import users as all_users

    with _console_users() as store:
        rows = [
            {"name": user.name, "role": user.role.value, "disabled": user.disabled_at_ms is not None}
            for user in all_users(store)
        ]

    def render() -> None:
        from rich.console import Console
        from rich.table import Table

        table = Table("name", "role", "")
        for row in rows:
            table.add_row(str(row["name"]), str(row["role"]), "disabled" if row["disabled"] else "")
        Console().print(table)

    print_result({"users": rows}, as_json, render)


@users.command("disable")
@click.argument("name")
def disable_console_user(name: str) -> None:
    """Keep a user from signing in and end all sessions at once."""
    from serving.console.sign_in import disable_user

    with _console_users() as store:
        disable_user(store, name=name, now_ms=now_ms())
    click.echo(f"{name} is disabled")


@users.command("password")
@click.argument("name")
@password_stdin_option
@json_option
def set_console_password(name: str, password_stdin: bool, as_json: bool) -> None:
    """Give a user another password: sessions end, and a lock after failed tries is lifted."""
    from serving.console.sign_in import set_password

    password = _password(password_stdin)
    with _console_users() as store:
        set_password(store, name=name, password=password, now_ms=now_ms())
    _print_user({"name": name}, password, password_stdin, as_json)


def _print_user(user: dict[str, str], password: str, was_given: bool, as_json: bool) -> None:
    """Print a password that was made; one that was given is known already."""
    figures = user if was_given else {**user, "password": password}
    print_result(
        figures, as_json, lambda: click.echo(f"{user['name']} can sign in" if was_given else password)
    )


@click.group()
def merchants() -> None:
    """Merchants' webhook secrets."""


@merchants.command("secret")
@click.argument("merchant_id")
@click.option("--rotate", is_flag=True, help="Make a new one; those before it sign as well for a while.")
@click.option(
    "--overlap-hours",
    type=click.IntRange(0, 24 * 30),
    default=24,
    show_default=True,
    help="How long the secrets before a new one still sign.",
)
def merchant_secret(merchant_id: str, rotate: bool, overlap_hours: int) -> None:
    """Print the secret by which a merchant verifies our webhooks (Standard Webhooks)."""
    from data_contracts.merchants import MERCHANTS
    from serving.store.deliveries import current_secrets, rotate_secret
    from serving.store.standing_rows import standing_row

    with opened_store() as store, store.writing("webhook-secret") as tx:
        if standing_row(tx, MERCHANTS, merchant_id) is None:
            raise CommandFailed(f"there is no merchant {merchant_id}")
        if rotate:
            click.echo(rotate_secret(tx, merchant_id, now_ms(), overlap_hours * 3_600_000))
        else:
            click.echo(current_secrets(tx, merchant_id, now_ms())[0])
