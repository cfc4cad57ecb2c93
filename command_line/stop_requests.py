"""`bonitas stop-requests`: what merchants were asked, recalls, and notices sent again."""

import click

from command_line.state import case_scope, read_settings
from command_line.terminal import id_table, json_option, print_answer, print_result, wide_console
from data_contracts.instants import rfc3339
from serving.process.settings import DEFAULT_PUBLIC_URL


@click.group("stop-requests")
def stop_requests() -> None:
    """Look after what merchants were asked: answers, recalls and notices."""


@stop_requests.command("show")
@click.argument("stop_request_id")
def show_stop_request(stop_request_id: str) -> None:
    """Show a stop request with its answers, what follows and every delivery attempt, as JSON."""
    from serving.stop_requests import stop_requesting

    with case_scope() as scope:
        print_answer(stop_requesting.view(scope, stop_request_id, merchant_id=None))


@stop_requests.command("link")
@click.argument("stop_request_id")
def link_of_stop_request(stop_request_id: str) -> None:
    """Print a fresh link to the merchant's form, for a merchant who has lost it."""
    from serving.stop_requests import form_link, stop_requesting

    if read_settings().public_url is None:
        click.echo(f"links begin with {DEFAULT_PUBLIC_URL}: set BONITAS_PUBLIC_URL for another", err=True)
    with case_scope() as scope:
        stop_requesting.view(scope, stop_request_id, merchant_id=None)
        with scope.store.writing("stop-request-link") as tx:
            click.echo(form_link.link(tx, scope, stop_request_id))


@stop_requests.command("recall-result")
@click.argument("stop_request_id")
@click.argument("result", type=click.Choice(["recalled", "failed"]))
@click.option("--as", "reviewer", required=True, help="Who found out.")
def recall_result(stop_request_id: str, result: str, reviewer: str) -> None:
    """Record what came of a parcel that we recalled from the carrier."""
    from serving.stop_requests import recalls

    with case_scope() as scope:
        print_answer(recalls.finish_recall(scope, stop_request_id, result, reviewer))


@stop_requests.command("recalls")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@json_option
def open_recalls(limit: int, as_json: bool) -> None:
    """List the parcels that we are to recall and that nobody has finished, the oldest first."""
    from serving.requests.wire_form import in_plain_values
    from serving.stop_requests import recalls

    with case_scope() as scope:
        waiting = recalls.open_recalls(scope, limit)

    def render() -> None:
        table = id_table("stop request", "carrier", "tracking number", "since")
        for task in waiting:
            table.add_row(task.stop_request_id, task.carrier, task.tracking_number, rfc3339(task.opened_at))
        wide_console().print(table)

    print_result(in_plain_values({"recalls": waiting}), as_json, render)


@stop_requests.command("resend")
@click.argument("delivery_id")
@click.option("--as", "reviewer", required=True, help="Who wants it.")
def resend_delivery(delivery_id: str, reviewer: str) -> None:
    """Send a notice again that was delivered, refused or given up; the worker takes it at once."""
    from serving.stop_requests import sending_again

    with case_scope() as scope:
        print_answer(sending_again.send_again(scope, delivery_id, reviewer))
