"""What `bonitas run` shows of the lives of two orders: their steps, and the merchant's settlement notes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from command_line.state import policy_in_force, served_models
from data_contracts.currencies import amount_figure
from data_contracts.instants import rfc3339
from serving.process.settings import Settings

if TYPE_CHECKING:
    from rich.console import Console

    from serving.first_look.order_life import LifeStep, OrderLife
    from serving.settlement.note_answers import SettlementNote

WIDTH_COLUMNS = 80


def show_order_lives(settings: Settings) -> None:
    """Let two orders live in the sandbox of the home, and print their steps and the notes.

    Where the sandbox cannot be used, or the champion does not approve the sample orders, that is said on
    stderr: the service that runs beside it goes on.
    """
    from serving.domain.errors import RiskError
    from serving.first_look.life_sandbox import SANDBOX_FILE, life_sandbox
    from serving.first_look.order_life import NoOrderLifeError, order_life
    from serving.in_force.policy_activation import PolicyFile
    from serving.store.errors import StoreError

    click.echo("let two orders live from their decision to settlement, in a sandbox ...", err=True)
    policy, text = policy_in_force()
    file = PolicyFile(path=settings.home / "policy of the store", text=text, policy=policy, is_own=True)
    try:
        with life_sandbox(settings, file, served_models()) as sandbox:
            life = order_life(sandbox)
    except (NoOrderLifeError, RiskError, StoreError) as problem:
        place = settings.home / SANDBOX_FILE
        click.echo(f"no lives of orders are shown, in the sandbox {place}: {problem}", err=True)
        return
    print_order_life(life, f"sqlite:///{settings.home / SANDBOX_FILE}")


def print_order_life(life: "OrderLife", sandbox_url: str) -> None:
    """Print both lives and the notes, in 80 columns."""
    from rich.console import Console

    console = Console()
    console.width = max(console.width, WIDTH_COLUMNS)
    titles = {
        life.returned_order_id: "An order amended, invoiced, returned in part and paid",
        life.disputed_order_id: "An order disputed, of which the merchant says nothing",
    }
    for order_id, title in titles.items():
        steps = [step for step in life.steps if step.order_id == order_id]
        _print_steps(console, f"{title}: {order_id}", steps, life.currency)
    for note in life.notes:
        _print_note(console, note)
    last = life.notes[-1]
    click.echo("Both lived in a sandbox, whose clock was moved on. To see the note again:\n")
    click.echo(f"  BONITAS_DATABASE_URL={sandbox_url} \\")
    click.echo("    bonitas settlement notes \\")
    click.echo(f"    --merchant {life.merchant_id} --period {last.period}\n")


def _print_steps(console: "Console", title: str, steps: "Sequence[LifeStep]", currency: str) -> None:
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("day", no_wrap=True)
    table.add_column("what happened")
    table.add_column("holds", justify="right", no_wrap=True)
    table.add_column("owes", justify="right", no_wrap=True)
    table.add_column("until", no_wrap=True)
    for step in steps:
        day = "" if step.until_at is None else f" {step.until_at[:10]}"
        table.add_row(
            step.at[:10],
            step.what,
            amount_figure(step.held_cents, currency),
            amount_figure(step.owed_cents, currency),
            f"{step.until.value}{day}",
        )
    console.print(table)


def _print_note(console: "Console", note: "SettlementNote") -> None:
    from rich import box
    from rich.table import Table

    table = Table(
        title=f"Settlement note of {note.merchant_id}, {note.period}",
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("day", no_wrap=True)
    table.add_column("line")
    table.add_column("order")
    table.add_column("to the merchant", justify="right", no_wrap=True)
    for balance in note.balances:
        table.add_row("", "opening", "", _figure(balance.opening_cents, balance.currency))
        for line in note.lines:
            if line.currency == balance.currency:
                table.add_row(
                    rfc3339(line.posted_at)[:10],
                    f"{line.text.value}{' (reversed)' if line.is_reversal else ''}",
                    line.order_id,
                    _figure(line.amount_cents, line.currency),
                )
        table.add_row("", "closing", "", _figure(balance.closing_cents, balance.currency))
    if note.balances:
        console.print(table)
    else:
        console.print(f"{table.title}: nothing was posted")


def _figure(cents: int, currency: str) -> str:
    return f"{amount_figure(cents, currency)} {currency}"
