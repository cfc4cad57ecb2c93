"""`bonitas decisions`: show a logged decision, and recompute it."""

import sys
import time
from typing import Any

import click

from command_line.state import opened_store, served_models
from command_line.terminal import CommandFailed, figure_text, json_option, print_result, progress_bars
from data_contracts.instants import instant_ms, timestamp_ms


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


class _Instant(click.ParamType[int]):
    """An instant of RFC 3339, or a date, which begins at midnight UTC; milliseconds."""

    name = "INSTANT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Milliseconds since 1970 UTC."""
        import datetime as dt

        if isinstance(value, int):
            return value
        at = timestamp_ms(value)
        if at is not None:
            return at
        try:
            return instant_ms(dt.datetime.combine(dt.date.fromisoformat(value), dt.time(), dt.UTC))
        except ValueError:
            self.fail(f"{value} is neither a date nor an instant such as 2026-11-28T09:30:00Z", param, ctx)


@decisions.command("replay")
@click.argument("decision_id", required=False)
@click.option("--all", "replay_all", is_flag=True, help="Replay every decision of the log.")
@click.option(
    "--since", "since_ms", type=_Instant(), help="With --all: only decisions made at or after this instant."
)
@json_option
def replay_decision(decision_id: str | None, replay_all: bool, since_ms: int | None, as_json: bool) -> None:
    """Recompute a decision from what was stored; exit status 1 unless it comes out bit for bit the same.

    The stored features are judged again whichever release computed them. What the ledger gives for that
    moment is compared only where this release computes features as that one did; else the answer says so.

    With --all every decision is recomputed, beside a service that runs: exit status 1 unless each comes out
    the same. What differs is named with its parts, what cannot be replayed with the reason.
    """
    from serving.checkout.replay import DecisionDamagedError
    from serving.domain.errors import UnknownDecision
    from serving.in_force.model_watch import RegistryUnreachableError
    from serving.in_force.scorer import ModelNotUsableError
    from serving.store.errors import StoreError

    if replay_all is (decision_id is not None):
        raise click.UsageError("name one decision, or give --all")
    if since_ms is not None and not replay_all:
        raise click.UsageError("--since goes with --all")
    try:
        is_same = _replay_all(since_ms, as_json) if decision_id is None else _replay_one(decision_id, as_json)
    except (
        UnknownDecision,
        DecisionDamagedError,
        ModelNotUsableError,
        RegistryUnreachableError,
        StoreError,
    ) as problem:
        raise CommandFailed(str(problem)) from problem
    if not is_same:
        sys.exit(1)


def _replay_one(decision_id: str, as_json: bool) -> bool:
    from serving.checkout.replay import replay

    with opened_store() as store:
        result = replay(store, served_models(), decision_id)

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
    return result.is_identical


def _replay_all(since_ms: int | None, as_json: bool) -> bool:
    from serving.checkout.log_replay import LogReplaySummary, replay_log

    summary = LogReplaySummary()
    with opened_store() as store, progress_bars() as progress:
        began = time.monotonic()
        for one in replay_log(store, served_models(), since_ms=since_ms, progress=progress):
            summary.add(one)
            # Each is told at once, so that nothing is lost of which a summary lists the first only.
            if not as_json and one.not_replayable is not None:
                click.echo(f"{one.decision_id} cannot be replayed: {one.not_replayable}")
            elif not as_json and one.different_parts:
                click.echo(f"{one.decision_id} differs: {', '.join(one.different_parts)}")
        seconds = time.monotonic() - began

    def render() -> None:
        click.echo(f"{figure_text(summary.replayed)} decisions in {seconds:.1f} s")
        click.echo(f"equal, bit for bit: {figure_text(summary.equal)}")
        if summary.ledger_not_compared:
            click.echo(
                f"  of {figure_text(summary.ledger_not_compared)} of them the ledger was not compared: "
                "another release computed their features"
            )
        click.echo(f"different: {figure_text(summary.different)}")
        for part, count in summary.different_by_part.most_common():
            click.echo(f"  {part}: {figure_text(count)}")
        click.echo(f"not replayable: {figure_text(summary.not_replayable)}")
        for reason, count in summary.reasons.most_common():
            click.echo(f"  {reason}: {figure_text(count)}")

    print_result({**summary.to_json(), "seconds": round(seconds, 3)}, as_json, render)
    return summary.all_equal
