"""`bonitas settlement`: the merchants' notes, and orders that were never asked to be settled."""

from pathlib import Path

import click

from command_line.state import case_scope
from command_line.terminal import id_table, json_option, print_result, wide_console
from data_contracts.currencies import amount_figure
from data_contracts.instants import rfc3339


@click.group()
def settlement() -> None:
    """Settle with the merchants: notes by month, and history that is to be settled."""


@settlement.command("notes")
@click.option("--merchant", "merchant_id", required=True, help="Whose note.")
@click.option("--period", required=True, metavar="YYYY-MM", help="Which month, such as 2026-11.")
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=200, show_default=True, help="Lines of a page."
)
@click.option("--after", help="What the page before named as next.")
@click.option(
    "--csv", "file", type=click.Path(dir_okay=False, path_type=Path), help="Write all lines to this file."
)
@json_option
def show_notes(
    merchant_id: str, period: str, limit: int, after: str | None, file: Path | None, as_json: bool
) -> None:
    """Show the note of a merchant for a month: balances, sums and lines."""
    from serving.domain.settlement_period import Period
    from serving.requests.wire_form import in_plain_values
    from serving.settlement.note_csv import csv_text
    from serving.settlement.notes import settlement_note, whole_note

    with case_scope() as scope:
        month = Period.parse(period)
        note = settlement_note(scope, merchant_id, month, limit=limit, after=after)
        if file is not None:
            with whole_note(scope, merchant_id, month) as (whole, lines), file.open("w", newline="") as out:
                out.writelines(csv_text(whole, lines))

    def render() -> None:
        balances = id_table("currency", "opening", "posted", "closing")
        for balance in note.balances:
            amounts = (balance.opening_cents, balance.posted_cents, balance.closing_cents)
            balances.add_row(balance.currency, *(amount_figure(cents, balance.currency) for cents in amounts))
        wide_console().print(balances)
        lines = id_table("posted", "line", "order", "invoice", "to the merchant")
        for line in note.lines:
            lines.add_row(
                rfc3339(line.posted_at)[:16].replace("T", " "),
                f"{line.text.value}{' (reversed)' if line.is_reversal else ''}",
                line.order_id,
                line.invoice_id or "",
                f"{amount_figure(line.amount_cents, line.currency)} {line.currency}",
            )
        wide_console().print(lines)
        if note.next is not None:
            click.echo(f"more lines: --after {note.next}")
        if not note.is_closed:
            click.echo("the month is open: more may be posted")

    print_result(in_plain_values(note), as_json, render)


@settlement.command("catch-up")
@json_option
def catch_up(as_json: bool) -> None:
    """Have the worker settle every order of the ledger, such as history that was loaded.

    What happened before the policy's `settles_from` stays as it is, and so does what is settled already.
    """
    from serving.cases import settling_orders

    with case_scope() as scope:
        asked = settling_orders.catch_up(scope)
    print_result({"asked": asked}, as_json, lambda: click.echo(f"{asked} orders wait to be settled"))
