"""`bonitas shadow`: a challenger answers for live traffic, and training's labels say who was right."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from command_line.clock import midnight_ms
from command_line.state import (
    migrated,
    model_registry,
    now_in,
    opened_store,
    policy_in_force,
    read_settings,
    served_models,
)
from command_line.terminal import (
    MODELS,
    CommandFailed,
    id_table,
    json_option,
    print_result,
    progress_bars,
    wide_console,
)
from data_contracts.instants import DAY_MS, instant_ms, moment

if TYPE_CHECKING:
    from data_contracts.progress import Progress
    from serving.shadow.question import Question
    from serving.store.shadow_decisions import ShadowDecision
    from serving.store.store import Store

SHADOW_PAGE = 10_000
CUSTOMERS_PER_EXPORT = 5_000


@click.group()
def shadow() -> None:
    """Let a challenger answer for live traffic with no effect, and compare it with the champion."""


@shadow.command("start")
@click.argument("model", type=click.Choice(MODELS))
@click.argument("version")
@click.option("--by", required=True, metavar="NAME", help="Who starts it; kept in the history.")
@click.option("--reason", required=True, metavar="TEXT", help="Why; kept in the history.")
@click.option(
    "--backfill",
    "backfill_days",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="DAYS",
    help="Answer for the decisions of so many days before now, too.",
)
@json_option
def start_shadow(model: str, version: str, by: str, reason: str, backfill_days: int, as_json: bool) -> None:
    """Make VERSION the shadow of MODEL: the worker lets it answer for every decision from now on.

    Nobody sees its answers but `bonitas shadow report`. The champion cannot be its own shadow.
    """
    from serving.in_force.model_watch import RegistryUnreachableError
    from serving.in_force.scorer import ModelNotUsableError
    from serving.store.made_in_window import made_since
    from serving.store.shadow_progress import begin_shadow
    from training.registry import shadowing

    settings = read_settings()
    migrated(settings)
    with model_registry() as registry, opened_store() as store:
        # The registry's lines are stamped by the machine's clock, decisions by the store's.
        answers_from = moment(now_in(store)) - timedelta(days=backfill_days)
        try:
            reads = served_models().load(model, version).version_under_terms
        except (ModelNotUsableError, RegistryUnreachableError) as problem:
            raise CommandFailed(str(problem)) from problem

        def begin() -> None:
            with store.writing(f"shadow-{model}") as tx:
                begin_shadow(
                    tx,
                    model_name=model,
                    model_version=version,
                    subject=question_of(model).subject,
                    answers_from_ms=instant_ms(answers_from),
                )

        change = shadowing.start_shadow(
            model,
            version,
            registry=registry,
            by=by,
            reason=reason,
            now=datetime.now(UTC),
            answers_from=answers_from,
            begin=begin,
        )
        with store.reading() as tx:
            others = made_since(
                tx,
                question_of(model).subject,
                model_name=model,
                model_version=version,
                feature_set_version=reads,
                after=question_of(model).subject.first_id_at(instant_ms(answers_from)),
            ).other_features

    def render() -> None:
        click.echo(
            f"version {version} of {model} is the shadow now; it answers for decisions from "
            f"{answers_from:%Y-%m-%d %H:%M:%S}Z on"
        )
        if others:
            click.echo(
                f"but not for {others:,} of them, which were made with another version of the features"
            )

    print_result({"model": model, "change": change.to_json(), "other_features": others}, as_json, render)


def question_of(model: str) -> "Question":
    """What the shadow of a model answers: whether to approve an order, or whether it is fraud."""
    from serving.shadow.question import QUESTIONS

    return QUESTIONS[model]


@shadow.command("stop")
@click.argument("model", type=click.Choice(MODELS))
@click.option("--by", required=True, metavar="NAME", help="Who ends it; kept in the history.")
@click.option("--reason", required=True, metavar="TEXT", help="Why; kept in the history.")
@json_option
def stop_shadow(model: str, by: str, reason: str, as_json: bool) -> None:
    """End the shadow of MODEL; its answers stay, and `bonitas shadow report` still compares them."""
    from training.registry import shadowing

    with model_registry() as registry:
        change = shadowing.stop_shadow(model, registry=registry, by=by, reason=reason, now=datetime.now(UTC))
    print_result(
        {"model": model, "change": change.to_json()},
        as_json,
        lambda: click.echo(f"{model} has no shadow now"),
    )


@shadow.command("status")
@click.argument("model", type=click.Choice(MODELS))
@json_option
def shadow_status(model: str, as_json: bool) -> None:
    """Show which version is the shadow of MODEL and how far it has come, and every shadow there was."""
    from rich.markup import escape

    from serving.store.shadow_progress import progress_of

    with model_registry() as registry:
        changes = registry.shadow_changes(model, now=datetime.now(UTC))
        champion = registry.champion_version(model)
    version = changes[-1].version if changes else None
    progress = None
    if version is not None:
        with opened_store() as store, store.reading() as tx:
            progress = progress_of(tx, model, version)
    problem = None if progress is None else progress.problem
    if version is not None and progress is None:
        problem = "its alias was not set by bonitas shadow start"
    is_champion = version is not None and version == champion
    figures = {
        "model": model,
        "shadow": version,
        "is_champion": is_champion,
        "answered": 0 if progress is None else progress.answered,
        "differing": 0 if progress is None else progress.differing,
        "failed": 0 if progress is None else progress.failed,
        "problem": problem,
        "changes": [change.to_json() for change in changes],
    }

    def render() -> None:
        click.echo(f"shadow of {model}: {version or 'none'}")
        if version is not None:
            click.echo(
                f"{figures['answered']:,} answered, {figures['differing']:,} differ from the champion, "
                f"{figures['failed']:,} failed"
            )
        if is_champion:
            click.echo(
                f"version {version} is the champion by now, so nothing more is compared: "
                f"bonitas shadow stop {model} --by NAME --reason TEXT"
            )
        if problem is not None:
            click.echo(f"it cannot answer now: {problem}")
        table = id_table("at", "shadow", "how", "by", "why", title=f"Shadows of {model}")
        for change in changes:
            at = f"{change.at:%Y-%m-%d %H:%M:%S}Z"
            shown = change.version or "none"
            table.add_row(at, shown, change.kind.value, escape(change.by), escape(change.reason))
        wide_console().print(table)

    print_result(figures, as_json, render)


@shadow.command("report")
@click.argument("model", type=click.Choice(MODELS))
@click.option("--version", help="Which challenger.  [default: the shadow now, else the last there was]")
@click.option(
    "--since",
    type=click.DateTime(["%Y-%m-%d"]),
    help="Only decisions from this day on, in UTC.  [default: from when the shadow answers]",
)
@click.option(
    "--differences",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="List the newest N decisions on which the two differ.",
)
@json_option
def report_shadow(
    model: str, version: str | None, since: datetime | None, differences: int, as_json: bool
) -> None:
    """Compare what a shadow answered with what the champion decided, for the same traffic.

    What became of the orders is taken from the ledger, by the same labels as in training.
    """
    from features.feature_sets import FEATURE_SETS
    from serving.shadow.report import shadow_report
    from serving.shadow.report_text import report_text
    from serving.store.made_in_window import answered_feature_set, made_since
    from serving.store.shadow_progress import progress_of

    if version is None:
        with model_registry() as registry:
            changes = registry.shadow_changes(model, now=datetime.now(UTC))
        shadows = [change.version for change in changes if change.version is not None]
        if not shadows:
            raise CommandFailed(
                f"{model} never had a shadow; bonitas shadow start {model} VERSION starts one"
            )
        version = shadows[-1]
    question = question_of(model)
    with opened_store() as store, progress_bars() as progress:
        with store.reading() as tx:
            known = progress_of(tx, model, version)
            if known is None:
                raise CommandFailed(f"version {version} of {model} was never started as shadow")
            since_ms = known.answers_from_ms
            if since is not None:
                since_ms = midnight_ms(since)
            after = question.subject.first_id_at(since_ms)
            # What the version reads, not what this release computes: it may be a shadow of last year.
            reads = answered_feature_set(tx, question.subject, model, version) or FEATURE_SETS[model].version
            made, made_since_start = (
                made_since(
                    tx,
                    question.subject,
                    model_name=model,
                    model_version=version,
                    feature_set_version=reads,
                    after=question.subject.first_id_at(from_ms),
                )
                for from_ms in (since_ms, max(since_ms, known.answers_from_ms))
            )
        answers = _shadow_answers(store, model, version, after)
        report = shadow_report(
            answers,
            model_name=model,
            version=version,
            question=question,
            since_ms=since_ms,
            answers_from_ms=known.answers_from_ms,
            made=made,
            made_since_start=made_since_start,
            labels=_known_labels(store, model, answers, now_in(store), progress),
            differences=differences,
        )
    print_result(report.to_json(), as_json, lambda: click.echo(report_text(report)))


def _shadow_answers(store: "Store", model: str, version: str, after: str) -> "list[ShadowDecision]":
    """All answers of a version beyond an id, read in pages."""
    from serving.store.shadow_decisions import shadow_decisions_after

    answers: list[ShadowDecision] = []
    while True:
        with store.reading() as tx:
            page = shadow_decisions_after(
                tx, model_name=model, model_version=version, after=after, limit=SHADOW_PAGE
            )
        if not page:
            return answers
        answers += page
        after = page[-1].subject_id


def _known_labels(
    store: "Store", model: str, answers: "Sequence[ShadowDecision]", now_ms: int, progress: "Progress"
) -> dict[str, int]:
    """What is known by now of the orders that are old enough: 1 bad, 0 not, by order id."""
    from tempfile import TemporaryDirectory

    from serving.store.export import export_customers
    from training.labels import LABEL_HORIZON_DAYS
    from training.tasks import TASKS

    terms = policy_in_force()[0].settlement_terms
    # No younger order has an outcome, so nothing is read while a shadow is young.
    old_ms = now_ms - LABEL_HORIZON_DAYS * DAY_MS
    customers = sorted({answer.customer_id for answer in answers if answer.as_of_ms < old_ms})
    labels: dict[str, int] = {}
    for start in range(0, len(customers), CUSTOMERS_PER_EXPORT):
        with TemporaryDirectory() as scratch:
            if "orders" in export_customers(
                store, Path(scratch), customers[start : start + CUSTOMERS_PER_EXPORT]
            ):
                labels |= TASKS[model].labels(Path(scratch), now_ms, terms).by_decision()
        progress(
            "look up what became of the orders",
            done=min(start + CUSTOMERS_PER_EXPORT, len(customers)),
            total=len(customers),
        )
    return labels
