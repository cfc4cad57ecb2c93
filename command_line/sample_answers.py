"""What `bonitas run` shows of its sample orders: decisions, flagged orders, and a stop with its answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from command_line.state import now_in, policy_file, policy_store, read_settings
from data_contracts.currencies import amount_figure

if TYPE_CHECKING:
    from serving.first_look.sample_merchant import SampleMerchant
    from serving.first_look.sample_orders import DecidedSample, SampleKeys

FLAGGED_WITHIN_SECONDS = 15.0
NOTICE_WITHIN_SECONDS = 20.0


def flagged_cases(url: str, key: str, order_ids: Sequence[str]) -> list[dict[str, Any]]:
    """The cases that the worker opened for these orders; waits a little while it looks at them."""
    import time

    import httpx

    deadline = time.monotonic() + FLAGGED_WITHIN_SECONDS
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=30.0) as client:
        while True:
            cases = client.get("/v1/cases", params={"state": "open", "limit": 500}).json()["cases"]
            flagged = [case for case in cases if case["order_id"] in order_ids]
            if len(flagged) >= len(order_ids) or time.monotonic() > deadline:
                return flagged
            time.sleep(0.2)


def print_flagged(cases: Sequence[dict[str, Any]]) -> None:
    """Print the cases as a table for people, or that there are none."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(
        title="What the fraud team would look at", title_justify="left", box=box.SIMPLE_HEAD, show_lines=True
    )
    table.add_column("order", no_wrap=True)
    table.add_column("amount", justify="right", no_wrap=True)
    table.add_column("fraud", justify="right")
    table.add_column("lost per hour", justify="right")
    table.add_column("why")
    for case in cases:
        table.add_row(
            case["order_id"],
            amount_figure(case["amount_cents"], case["currency"]),
            f"{case['probability_of_fraud']:.0%}",
            amount_figure(round(case["saving_lost_per_hour_cents"]), case["currency"]),
            "\n".join(
                f"{reason['text']}: {reason['value']:,.4g}, usually {reason['usual'] or 0:,.4g}"
                for reason in case["reasons"][:2]
            ),
        )
    console = Console()
    console.width = max(console.width, 110)
    console.print(table if cases else "No order was flagged.")


def show_stop(url: str, key: str, case: dict[str, Any], merchant: "SampleMerchant") -> None:
    """Stop the order of one case, let the merchant answer, and print what follows."""
    import httpx

    from serving.first_look.sample_merchant import SAMPLE_MERCHANT_ID
    from serving.in_force.policy_activation import active_policy
    from serving.store.deliveries import current_secrets

    with policy_store() as store:
        now_ms = now_in(store)
        policy = active_policy(store, lambda: policy_file(read_settings()), now_ms=now_ms).policy
        with store.writing("webhook-secret") as tx:
            secret = current_secrets(tx, SAMPLE_MERCHANT_ID, now_ms)[0]
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=30.0) as client:
        for step in ("claim", "stop"):
            client.post(f"/v1/cases/{case['case_id']}/{step}").raise_for_status()
        held = policy.review.undo_seconds
        click.echo(f"wait {held} s, in which the stop of {case['order_id']} can be undone ...", err=True)
        notice = merchant.next_notice(secret, within_seconds=held + NOTICE_WITHIN_SECONDS)
        asked = notice["data"]
        merchant.answer_by_form(
            asked["answer_url"],
            kind="shipped_with_tracking",
            carrier=min(policy.stop_requests.recallable_carriers),
            tracking_number="00370730254738259018",
        )
        shown = client.get(f"/v1/stop-requests/{asked['stop_request_id']}").raise_for_status().json()
    click.echo("What a stop leads to\n")
    click.echo(f"  the fraud team   stopped {case['order_id']}; held {held} s for undo")
    click.echo(f"  the merchant     got {notice['type']} as a signed webhook, and verified it")
    for given in shown["answers"]:
        what = f"{given['kind']}, {given['carrier']} {given['tracking_number']}"
        click.echo(f"  its answer       {what}, by the form behind the link")
    for follows in shown["consequences"]:
        click.echo(f"  what follows     {follows['text']}")
    click.echo(f"\nTo see all of it: bonitas stop-requests show {shown['stop_request_id']}\n")


def print_decisions(decided: Sequence["DecidedSample"]) -> None:
    """Print what the service answered to each sample order, with reasons and recourse."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(
        title="What the service answered",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_lines=True,
    )
    table.add_column("order", no_wrap=True)
    table.add_column("amount", justify="right", no_wrap=True)
    table.add_column("outcome", no_wrap=True)
    table.add_column("score", justify="right")
    table.add_column("risk", justify="right")
    table.add_column("limit", justify="right", no_wrap=True)
    table.add_column("why, and what would change it")
    colours = {"approved": "green", "declined": "red", "unavailable": "yellow"}
    for sample in decided:
        answer = sample.answer
        currency = sample.order.body["currency"]
        risk, limit = answer["probability_of_default"], answer["limit_cents"]
        words = [reason["text"] for reason in answer["reasons"]]
        words += [f"-> {step['text']}" for step in answer["recourse"]]
        table.add_row(
            sample.order.title,
            amount_figure(sample.order.body["amount_cents"], currency),
            f"[{colours[answer['outcome']]}]{answer['outcome']}[/]",
            "" if answer["score"] is None else str(answer["score"]),
            "" if risk is None else f"{risk:.1%}",
            "" if limit is None else amount_figure(limit, currency, decimals=0),
            "\n".join(words),
        )
    console = Console()
    console = console if console.is_terminal else Console(width=140)
    console.print(table)


@dataclass(frozen=True, kw_only=True)
class HowToGoOn:
    """What to try by hand: an order to score, a ledger row to send, a decision to recompute."""

    order_file: Path
    event_file: Path
    decision_id: str


def print_how_to_go_on(url: str, keys: "SampleKeys", samples: HowToGoOn, *, once: bool) -> None:
    """Print how to ask the service by hand for a decision, feed its ledger and recompute a decision."""
    if once:
        click.echo("That was it; the service has ended. `bonitas serve` starts it again, at port 3000.\n")
        url = "http://127.0.0.1:3000"
    answers = "will answer" if once else "answers"
    click.echo(f"The service {answers} at {url} (GET {url}/v1/openapi.json). To ask it yourself:\n")
    click.echo(f"  curl -s {url}/v1/score -H 'Authorization: Bearer {keys.checkout}' \\")
    click.echo(f"    -H 'Content-Type: application/json' -d @{samples.order_file}\n")
    click.echo("To feed its ledger, as the provider's back office does with a key of its own:\n")
    click.echo(f"  curl -s {url}/v1/events -H 'Authorization: Bearer {keys.ledger}' \\")
    click.echo(f"    -H 'Content-Type: application/json' -d @{samples.event_file}\n")
    click.echo(f"To recompute a decision: bonitas decisions replay {samples.decision_id}")


def print_console(url: str, password: str | None) -> None:
    """Print where the console is, and how to sign in; `password` is None where there are users."""
    from serving.console.sign_in import FIRST_USER_NAME

    click.echo(f"\nThe fraud team's console: {url}/console/")
    if password is not None:
        click.echo(f"  sign in as {FIRST_USER_NAME} with {password} (shown this once)")
    else:
        click.echo(
            "  bonitas users add NAME --role fraud adds a user; users password NAME sets a new password"
        )
