"""`bonitas invoices`: what falls due, and the life of one invoice."""

from collections import Counter
from typing import TYPE_CHECKING

import click

from command_line.state import case_scope
from command_line.terminal import id_table, json_option, print_result, progress_bars, wide_console
from data_contracts.currencies import amount_figure
from data_contracts.instants import rfc3339

if TYPE_CHECKING:
    from serving.invoices.invoice_answers import DueInvoice, InvoiceLife, InvoiceNotice

WITHIN_DAYS_MAXIMUM = 3660


@click.group()
def invoices() -> None:
    """Show what falls due, and the life of one invoice."""


@invoices.command("due")
@click.option(
    "--within",
    "within_days",
    type=click.IntRange(0, WITHIN_DAYS_MAXIMUM),
    default=0,
    show_default=True,
    metavar="DAYS",
    help="Also what falls due within so many days.",
)
@click.option(
    "--limit",
    type=click.IntRange(1, 1_000_000),
    default=100,
    show_default=True,
    help="So many are listed; all are counted.",
)
@json_option
def list_due(within_days: int, limit: int, as_json: bool) -> None:
    """List the invoices that are past their due date and asked for, the longest first.

    Paused invoices are not asked for, nor is what money on the customer's other invoices covers.
    """
    from serving.invoices.invoice_life import due_invoices
    from serving.requests.wire_form import in_plain_values

    with case_scope() as scope, progress_bars() as progress:
        found = due_invoices(scope, within_days, progress)
    asked = Counter[str]()
    for due in found:
        asked[due.currency] += due.asked_cents
    answer = {"due": len(found), "asked_cents": dict(asked), "invoices": in_plain_values(found[:limit])}
    print_result(answer, as_json, lambda: _print_due(found, limit, asked))


def _print_due(found: "list[DueInvoice]", limit: int, asked: Counter[str]) -> None:
    table = id_table("invoice", "customer", "phase", "due", "days past due", "asked", "told next")
    for due in found[:limit]:
        table.add_row(
            due.invoice_id,
            due.customer_id,
            due.phase.value,
            _minute(due.due_at),
            str(due.days_past_due),
            f"{amount_figure(due.asked_cents, due.currency)} {due.currency}",
            _notice(due.next_notice),
        )
    wide_console().print(table)
    sums = ", ".join(f"{amount_figure(cents, currency)} {currency}" for currency, cents in asked.items())
    listed = "" if len(found) <= limit else f", {limit} listed"
    click.echo(f"{len(found)} invoices{listed}{': ' if sums else ''}{sums}")


@invoices.command("show")
@click.argument("invoice_id")
@json_option
def show_invoice(invoice_id: str, as_json: bool) -> None:
    """Show how an invoice stands, and what became of it since it was issued."""
    from serving.invoices.invoice_life import shown_invoice
    from serving.requests.wire_form import in_plain_values

    with case_scope() as scope:
        life = shown_invoice(scope, invoice_id)
    print_result(in_plain_values(life), as_json, lambda: _print_life(life))


def _print_life(life: "InvoiceLife") -> None:
    def amount(cents: int) -> str:
        return f"{amount_figure(cents, life.currency)} {life.currency}"

    due = "nothing falls due" if life.moved_due_at is None else f"due {_minute(life.moved_due_at)}"
    click.echo(f"{life.invoice_id} of order {life.order_id}, customer {life.customer_id}: {life.phase.value}")
    click.echo(f"{amount(life.asked_cents)} to be paid of {amount(life.amount_cents)}, {due}")
    sums = {
        "outstanding": life.outstanding_cents,
        "received": life.received_cents,
        "credited": life.credited_cents,
        "charged back": life.charged_back_cents,
        "paid too much": life.overpaid_cents,
        "covered by other money": life.covered_cents,
        "fees": life.fees_cents,
    }
    said = [f"{name} {amount(cents)}" for name, cents in sums.items() if cents]
    if life.days_past_due:
        said.append(f"{life.days_past_due} days past due")
    if life.next_notice is not None:
        said.append(f"told next: {_notice(life.next_notice)}")
    if said:
        click.echo("; ".join(said))
    table = id_table("at", "what", "amount", "due date", "known at")
    for event in life.timeline:
        words = [event.name]
        if isinstance(event.level, int):
            words.append(str(event.level))
        if isinstance(event.reason, str):
            words.append(f"({event.reason})")
        table.add_row(
            _minute(event.at),
            " ".join(words),
            amount(event.amount_cents) if isinstance(event.amount_cents, int) else "",
            _minute(event.due_at) if isinstance(event.due_at, int) else "",
            _minute(event.known_at),
        )
    wide_console().print(table)


def _minute(instant: int) -> str:
    return rfc3339(instant)[:16].replace("T", " ")


def _notice(notice: "InvoiceNotice | None") -> str:
    return "" if notice is None else f"{notice.kind} {notice.level}, {_minute(notice.at)}"
