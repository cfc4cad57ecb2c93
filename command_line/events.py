"""`bonitas events`: ledger rows that wait for something that has not arrived."""

from typing import TYPE_CHECKING

import click

from command_line.state import now_in, opened_store
from command_line.terminal import CommandFailed, id_table, json_option, print_result, wide_console
from data_contracts.instants import rfc3339
from data_contracts.ledger_contracts import CONTRACTS

if TYPE_CHECKING:
    from serving.events.event_answers import HeldEvents


@click.group()
def events() -> None:
    """List and end ledger rows that wait for something that has not arrived."""


@events.command("held")
@click.option("--limit", type=click.IntRange(1, 500), default=100, show_default=True)
@click.option("--after", help="What the page before named as next.")
@click.option(
    "--contract", "contract_name", type=click.Choice(list(CONTRACTS)), help="Only rows of this contract."
)
@click.option("--customer", "customer_id", help="Only rows of this customer.")
@json_option
def list_held(
    limit: int, after: str | None, contract_name: str | None, customer_id: str | None, as_json: bool
) -> None:
    """List the rows that wait, in the order of their arrival, and what each waits for."""
    from serving.domain.errors import RiskError
    from serving.events.held_events import held_page
    from serving.requests.wire_form import in_plain_values
    from serving.store.errors import StoreError

    try:
        with opened_store() as store:
            page = held_page(
                store, limit=limit, after=after, contract_name=contract_name, customer_id=customer_id
            )
    except (RiskError, StoreError) as problem:
        raise CommandFailed(str(problem)) from problem
    print_result(in_plain_values(page), as_json, lambda: _print_page(page))


def _print_page(page: "HeldEvents") -> None:
    table = id_table("event", "contract", "since", "waits for", "its ids")
    for row in page.held:
        ids = ", ".join(f"{name} {value}" for name, value in row.ids.items())
        table.add_row(
            row.event_id,
            row.contract,
            rfc3339(row.since)[:19].replace("T", " "),
            row.waits_for.text,
            ids,
        )
    wide_console().print(table)
    waiting = ", ".join(f"{count:,} for {kind}" for kind, count in page.counts.items())
    click.echo(f"waiting: {waiting or 'nothing'}")
    if page.next is not None:
        click.echo(f"more with --after {page.next}")


@events.command("end")
@click.argument("event_id")
@click.option("--reason", required=True, help="Why nothing will come for it.")
@click.option("--by", required=True, help="Who ends it.")
@json_option
def end_held_row(event_id: str, reason: str, by: str, as_json: bool) -> None:
    """Move a row that waits to quarantine; it can be sent again. Ending it twice changes nothing."""
    from serving.domain.errors import RiskError
    from serving.events.held_events import end_held
    from serving.requests.wire_form import in_plain_values
    from serving.store.errors import StoreError

    try:
        with opened_store() as store:
            ended = end_held(store, event_id, reason=reason, by=by, now_ms=now_in(store))
    except (RiskError, StoreError) as problem:
        raise CommandFailed(str(problem)) from problem
    print_result(
        in_plain_values(ended),
        as_json,
        lambda: click.echo(f"{event_id} is in quarantine, ended by {ended.ended_by}"),
    )
