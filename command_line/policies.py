"""`bonitas policy`: check policy files, put them in force, show and roll back their history."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from command_line.policy_backtests import backtest_policy, propose_policy
from command_line.state import (
    migrated,
    now_in,
    policy_in_force,
    policy_store,
    read_policy,
    read_settings,
    tell_of_champions,
)
from command_line.terminal import (
    id_table,
    json_option,
    print_result,
    require_writable,
    wide_console,
    write_text,
)

if TYPE_CHECKING:
    from serving.domain.policy import Policy

policy_file_argument = click.argument(
    "file", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="POLICY.toml"
)


@click.group()
def policy() -> None:
    """Check policies, put them in force, roll them back.

    The policy in force is kept in the store with its whole history, and running services and workers follow
    it within seconds. A policy file counts once: in a store that never had a policy, the first start puts the
    file of $BONITAS_POLICY, or the policy that comes with the code, in force. After that a changed file or an
    upgrade changes nothing until `bonitas policy activate`; a start says so.
    """


policy.add_command(backtest_policy)
policy.add_command(propose_policy)


@policy.command("check")
@policy_file_argument
def check_policy(file: Path) -> None:
    """Validate a policy file and name every mistake in it."""
    checked = read_policy(file).policy
    click.echo(f"{file} is policy {checked.version}")


@policy.command("activate")
@policy_file_argument
@click.option("--by", required=True, metavar="NAME", help="Who puts it in force; kept in the history.")
@click.option("--reason", required=True, metavar="TEXT", help="Why; kept in the history.")
@json_option
def activate_policy(file: Path, by: str, reason: str, as_json: bool) -> None:
    """Put a policy file in force; running services and workers take it over by themselves, within seconds.

    Where its materiality or grace is another one, checkouts are answered `unavailable` until a model that was
    trained under it is promoted: train one first (bonitas train MODEL DIR --policy POLICY.toml).

    A version stands for one text for ever: a changed file needs a version of its own. Fails where the version
    is in force already, or where somebody else changed the policy at the same time.
    """
    from serving.in_force.policy_activation import activate

    read = read_policy(file)
    migrated(read_settings())
    before = policy_in_force()[0]
    with policy_store() as store:
        activation = activate(store, read, by=by, reason=reason, clock=partial(now_in, store))
    _tell_of_other_terms(before)
    print_result(
        {"activation": activation.to_json()},
        as_json,
        lambda: click.echo(f"policy {activation.version} is in force, by {activation.by}"),
    )


def _tell_of_other_terms(before: "Policy") -> None:
    """Say whether the champion can still decide, where the policy says otherwise when an invoice is paid."""
    if policy_in_force()[0].settlement_terms != before.settlement_terms:
        tell_of_champions(read_settings())


@policy.command("history")
@json_option
def show_policy_history(as_json: bool) -> None:
    """Show which version of the policy was in force from when, who put it there and why.

    Lines are only ever added, each with the hash of the one before. Exit status 1 where a line or a policy's
    text was changed or is missing.
    """
    from serving.in_force import policy_activation

    with policy_store() as store:
        activations = policy_activation.history(store)

    def render() -> None:
        from rich.markup import escape

        table = id_table("from", "version", "how", "by", "why", title="Policies in force")
        for activation in activations:
            line = activation.to_json()
            at = f"{line['at'][:19].replace('T', ' ')}Z"
            table.add_row(at, *(escape(line[name]) for name in ("version", "kind", "by", "reason")))
        wide_console().print(table)

    result = {
        "in_force": activations[-1].version if activations else None,
        "activations": [activation.to_json() for activation in activations],
    }
    print_result(result, as_json, render)


@policy.command("rollback")
@click.option("--by", required=True, metavar="NAME", help="Who rolls back; kept in the history.")
@click.option("--reason", required=True, metavar="TEXT", help="Why; kept in the history.")
@json_option
def roll_back_policy(by: str, reason: str, as_json: bool) -> None:
    """Put the policy before the present one back in force, at once; once more goes a step further."""
    from serving.in_force.policy_activation import roll_back

    before = policy_in_force()[0]
    with policy_store() as store:
        activation = roll_back(store, by=by, reason=reason, clock=partial(now_in, store))
    _tell_of_other_terms(before)
    print_result(
        {"activation": activation.to_json()},
        as_json,
        lambda: click.echo(f"policy {activation.version} is in force again, by {activation.by}"),
    )


@policy.command("show")
@click.argument("version", required=False)
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="Write the text to this file instead."
)
@json_option
def show_policy(version: str | None, out: Path | None, as_json: bool) -> None:
    """Print the policy file of VERSION as it was put in force, by default of the one in force now."""
    from serving.in_force.policy_activation import kept_text

    if out is not None:
        require_writable(out)
    with policy_store() as store:
        activation, text = kept_text(store, version)
    figures = {**activation.to_json(), "text": text}
    if out is not None:
        write_text(out, text)
        figures["file"] = str(out)
    shown = f"policy {activation.version} is in {out}" if out is not None else text.removesuffix("\n")
    print_result(figures, as_json, lambda: click.echo(shown))
