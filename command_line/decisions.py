"""`bonitas decisions`: show a logged decision, and recompute it."""

import sys

import click

from command_line.state import opened_store, served_models
from command_line.terminal import CommandFailed, json_option, print_result


@click.group()
def decisions() -> None:
    """Look at decisions and recompute them."""


@decisions.command("show")
@click.argument("decision_id")
def show_decision(decision_id: str) -> None:
    """Print everything that is stored about one decision, as JSON."""
    from dataclasses import asdict

    from serving.store.decision_log import decision_of

    with opened_store() as store, store.reading() as tx:
        logged = decision_of(tx, decision_id)
    if logged is None:
        raise CommandFailed(f"there is no decision {decision_id}")
    print_result(asdict(logged), True, lambda: None)


@decisions.command("replay")
@click.argument("decision_id")
@json_option
def replay_decision(decision_id: str, as_json: bool) -> None:
    """Recompute a decision from what was stored; exit status 1 unless it comes out bit for bit the same.

    The stored features are judged again whichever release computed them. What the ledger gives for that
    moment is compared only where this release computes features as that one did; else the answer says so.
    """
    from serving.checkout.replay import replay
    from serving.domain.errors import UnknownDecision
    from serving.in_force.model_watch import RegistryUnreachableError
    from serving.in_force.scorer import ModelNotUsableError

    try:
        with opened_store() as store:
            result = replay(store, served_models(), decision_id)
    except (UnknownDecision, ModelNotUsableError, RegistryUnreachableError) as problem:
        raise CommandFailed(str(problem)) from problem

    def render() -> None:
        if result.is_identical:
            answer = result.recomputed
            click.echo(
                f"identical, bit for bit: {answer['outcome']}, score {answer['score']}, "
                f"probability of default {answer['probability_of_default']}"
            )
        for name in (*result.differences, *result.ledger_differences):
            click.echo(f"differs: {name}")
        if result.ledger_not_compared is not None:
            click.echo(result.ledger_not_compared)

    print_result(result.to_json(), as_json, render)
    if not result.is_identical:
        sys.exit(1)
