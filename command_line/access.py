"""Who may get in: `bonitas keys` for callers, `users` for the console, `merchants` for webhook secrets."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from command_line.state import migrated, now_in, opened_store, read_settings
from command_line.terminal import CommandFailed, id_table, json_option, print_result, wide_console
from data_contracts.instants import DAY_MS, HOUR_MS, instant_ms

if TYPE_CHECKING:
    from serving.store.store import Store


DAY_DIGITS = 5
"""What is longer is no number of days."""


@click.group()
def keys() -> None:
    """Manage the API keys of callers."""


class _Expiry(click.ParamType[int]):
    """A date, the last day on which a key works, or for how many days from now; milliseconds."""

    name = "DATE|DAYS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Milliseconds since 1970 UTC: the first instant at which the key opens nothing."""
        import datetime as dt

        if isinstance(value, int):
            return value
        if value.isascii() and value.isdigit() and 1 <= len(value) <= DAY_DIGITS:
            migrated(read_settings())
            with opened_store() as store:
                return now_in(store) + int(value) * DAY_MS
        try:
            next_day = dt.date.fromisoformat(value) + dt.timedelta(days=1)
        except OverflowError:
            self.fail(f"{value} lies too far ahead", param, ctx)
        except ValueError:
            self.fail(f"{value} is neither a date such as 2027-03-31 nor a number of days", param, ctx)
        return instant_ms(dt.datetime.combine(next_day, dt.time(), dt.UTC))


expires_option = click.option(
    "--expires",
    "expires_at_ms",
    type=_Expiry(),
    help="The last day on which the key works (UTC), or for how many days it works from now.",
)


@contextmanager
def _api_keys() -> Iterator["Store"]:
    """The migrated store; a key that cannot be as asked ends the command."""
    from serving.store.errors import ApiKeyError

    migrated(read_settings())
    with opened_store() as store:
        try:
            yield store
        except ApiKeyError as problem:
            raise CommandFailed(str(problem)) from problem


@keys.command("create")
@click.argument("name")
@click.option(
    "--role",
    required=True,
    type=click.Choice(["checkout", "merchant", "ledger", "portal", "fraud", "admin"]),
    help="checkout: scores orders and tells what happened to them. merchant: sees outcomes of its own "
    "orders, answers stop requests. ledger: the provider's back office, feeds the book. portal: the "
    "provider's customer app and service desk, acts for a named customer. fraud: the fraud team's "
    "tools. admin: reads metrics.",
)
@click.option(
    "--merchant", "merchant_id", help="Required for the role merchant: whose orders the key may see."
)
@expires_option
@json_option
def create_key(
    name: str, role: str, merchant_id: str | None, expires_at_ms: int | None, as_json: bool
) -> None:
    """Create an API key and print it; it is not stored and cannot be shown again."""
    from serving.store.api_keys import create_key as create_api_key

    with _api_keys() as store:
        secret = create_api_key(
            store,
            name=name,
            role=role,
            merchant_id=merchant_id,
            now_ms=now_in(store),
            expires_at_ms=expires_at_ms,
        )
    figures = {"name": name, "role": role, "key": secret, "expires_at": _instant_text(expires_at_ms)}
    print_result(figures, as_json, lambda: click.echo(secret))


@keys.command("list")
@json_option
def list_keys(as_json: bool) -> None:
    """List the API keys: whose they are, until when they work, when they were last used."""
    from serving.store.api_keys import list_keys as list_api_keys

    with _api_keys() as store:
        now = now_in(store)
        rows = [
            {
                "name": key.name,
                "role": key.role.value,
                "merchant_id": key.merchant_id,
                "state": key.state(now),
                "created_at": _instant_text(key.created_at_ms),
                "expires_at": _instant_text(key.expires_at_ms),
                "last_used_at": _instant_text(key.last_used_at_ms),
                "replaced_until": _instant_text(
                    key.replaced_until_ms if (key.replaced_until_ms or 0) > now else None
                ),
                "revoked_at": _instant_text(key.revoked_at_ms),
            }
            for key in list_api_keys(store)
        ]

    def render() -> None:
        columns = ("name", "role", "merchant_id", "state", "last_used_at", "expires_at", "replaced_until")
        table = id_table(
            *("merchant" if name == "merchant_id" else name.replace("_", " ") for name in columns)
        )
        for row in rows:
            words = {**row, "last_used_at": row["last_used_at"] or "never"}
            table.add_row(*((words[name] or "").removesuffix(".000Z") for name in columns))
        wide_console().print(table)

    print_result({"keys": rows}, as_json, render)


@keys.command("revoke")
@click.argument("name")
def revoke_key(name: str) -> None:
    """End an API key, with the secrets before its present one; services refuse it within ten seconds."""
    from serving.store.api_keys import revoke_key as revoke_api_key

    with _api_keys() as store:
        revoke_api_key(store, name=name, now_ms=now_in(store))
    click.echo(f"{name} is revoked")


@keys.command("rotate")
@click.argument("name")
@click.option(
    "--overlap-hours",
    type=click.IntRange(0, 24 * 30),
    default=24,
    show_default=True,
    help="How long the secret before works as well.",
)
@expires_option
@json_option
def rotate_key(name: str, overlap_hours: int, expires_at_ms: int | None, as_json: bool) -> None:
    """Give an API key another secret and print it; the one before works on for a while.

    Without --expires the new secret expires when the key would have.
    """
    from serving.store.api_keys import rotate_key as rotate_api_key

    with _api_keys() as store:
        secret = rotate_api_key(
            store,
            name=name,
            now_ms=now_in(store),
            overlap_ms=overlap_hours * HOUR_MS,
            expires_at_ms=expires_at_ms,
        )
    print_result(
        {"name": name, "key": secret, "overlap_hours": overlap_hours}, as_json, lambda: click.echo(secret)
    )


def _instant_text(at_ms: int | None) -> str | None:
    from data_contracts.instants import rfc3339

    return None if at_ms is None else rfc3339(at_ms)


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
@click.option("--role", required=True, type=click.Choice(["fraud", "analyst", "service", "admin"]))
@password_stdin_option
@json_option
def add_console_user(name: str, role: str, password_stdin: bool, as_json: bool) -> None:
    """Add a user; a password that is made is printed once and cannot be shown again."""
    from serving.console.sign_in import add_user

    password = _password(password_stdin)
    with _console_users() as store:
        add_user(store, name=name, role=role, password=password, now_ms=now_in(store))
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
        table = id_table("name", "role", "")
        for row in rows:
            table.add_row(str(row["name"]), str(row["role"]), "disabled" if row["disabled"] else "")
        wide_console().print(table)

    print_result({"users": rows}, as_json, render)


@users.command("disable")
@click.argument("name")
def disable_console_user(name: str) -> None:
    """Keep a user from signing in and end all sessions at once."""
    from serving.console.sign_in import disable_user

    with _console_users() as store:
        disable_user(store, name=name, now_ms=now_in(store))
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
        set_password(store, name=name, password=password, now_ms=now_in(store))
    _print_user({"name": name}, password, password_stdin, as_json)


def _print_user(user: dict[str, str], password: str, was_given: bool, as_json: bool) -> None:
    """Print a password that was made; one that was given is known already."""
    figures = user if was_given else {**user, "password": password}
    print_result(
        figures, as_json, lambda: click.echo(f"{user['name']} can sign in" if was_given else password)
    )


@click.group()
def merchants() -> None:
    """Merchants' webhook secrets, changes of where merchants are reached, and what they are told of."""


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

    with opened_store() as store:
        now_ms = now_in(store)
        with store.writing("webhook-secret") as tx:
            if standing_row(tx, MERCHANTS, merchant_id) is None:
                raise CommandFailed(f"there is no merchant {merchant_id}")
            if rotate:
                click.echo(rotate_secret(tx, merchant_id, now_ms, overlap_hours * HOUR_MS))
            else:
                click.echo(current_secrets(tx, merchant_id, now_ms)[0])


@merchants.command("contacts")
@click.argument("merchant_id")
@json_option
def merchant_contacts(merchant_id: str, as_json: bool) -> None:
    """List the changes of a merchant's endpoint and mailbox, and how the contact before was told of them."""
    from data_contracts.merchants import MERCHANTS
    from serving.store.contact_changes import contact_changes
    from serving.store.deliveries import notices_of_account
    from serving.store.standing_rows import standing_row

    migrated(read_settings())
    with opened_store() as store, store.reading() as tx:
        if standing_row(tx, MERCHANTS, merchant_id) is None:
            raise CommandFailed(f"there is no merchant {merchant_id}")
        changes = contact_changes(tx, merchant_id)
        notices = notices_of_account(tx, merchant_id)
    figures = {
        "merchant_id": merchant_id,
        "changes": [
            {
                "changed_at": _instant_text(change.at_ms),
                "event_id": change.event_id,
                "email": {"before": change.before.email, "after": change.after.email},
                "endpoint_url": {"before": change.before.endpoint_url, "after": change.after.endpoint_url},
            }
            for change in changes
        ],
        "notices": [
            {
                "delivery_id": notice.delivery_id,
                "channel": notice.channel,
                "sent_to": notice.sent_to,
                "state": notice.state,
                "created_at": _instant_text(notice.created_at_ms),
                "attempts": notice.attempts,
            }
            for notice in notices
        ],
    }

    def render() -> None:
        for change in changes:
            click.echo(f"{_instant_text(change.at_ms)}  by ledger row {change.event_id}")
            for is_new, what, before, after in (
                (change.is_new_email, "e-mail", change.before.email, change.after.email),
                (change.is_new_endpoint, "endpoint", change.before.endpoint_url, change.after.endpoint_url),
            ):
                if is_new:
                    click.echo(f"  {what}: {before or 'none'} -> {after or 'none'}")
        for notice in notices:
            click.echo(f"told by {notice.channel} to {notice.sent_to}: {notice.state}")
        if not changes:
            click.echo("no change is on record")

    print_result(figures, as_json, render)


@merchants.command("topics")
@click.argument("merchant_id")
@click.option("--set", "choice", help="TOPIC=webhook|email|off, such as order.amended=webhook.")
@json_option
def merchant_topics(merchant_id: str, choice: str | None, as_json: bool) -> None:
    """List of what a merchant is told and by which channel, or choose another one for a topic."""
    from data_contracts.merchants import MERCHANTS
    from serving.domain.errors import FieldsInvalid
    from serving.domain.merchant_topics import OPTIONAL, TopicIsMandatory, UnknownTopic, checked_choice
    from serving.store.standing_rows import standing_row
    from serving.store.topic_choices import choose_channel, chosen_channels

    migrated(read_settings())
    with opened_store() as store, store.writing(f"topics-{merchant_id}") as tx:
        if standing_row(tx, MERCHANTS, merchant_id) is None:
            raise CommandFailed(f"there is no merchant {merchant_id}")
        if choice is not None:
            name, _, channel = choice.partition("=")
            try:
                topic, by_channel = checked_choice(name, channel)
            except (UnknownTopic, TopicIsMandatory, FieldsInvalid) as problem:
                raise CommandFailed(f"--set: {problem}") from problem
            choose_channel(
                tx,
                merchant_id=merchant_id,
                topic=topic,
                channel=by_channel,
                by="command line",
                now_ms=now_in(store),
            )
        chosen = chosen_channels(tx, merchant_id)
    topics = [
        {"topic": topic.value, "channel": channel.value, "can_be_switched_off": topic in OPTIONAL}
        for topic, channel in chosen.items()
    ]

    def render() -> None:
        for topic, channel in chosen.items():
            click.echo(f"{topic:38} {channel}{'' if topic in OPTIONAL else '  (mandatory)'}")

    print_result({"merchant_id": merchant_id, "topics": topics}, as_json, render)
