"""Models from training to champion: `train`, `report`, `compare`, `promote`, `history`, `rollback`."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from command_line.clock import midnight_ms, today
from command_line.state import (
    asked_policy,
    later_decisions_folder,
    model_registry,
    read_settings,
)
from command_line.terminal import (
    MODELS,
    CommandFailed,
    id_table,
    json_option,
    ledger_folder,
    optional_ledger_folder,
    print_result,
    progress_bars,
    require_writable,
    terms_option,
    wide_console,
)


@click.command()
@click.argument("model", type=click.Choice(MODELS))
@ledger_folder
@click.option(
    "--as-of",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="DATE",
    help="See only what was recorded before this day, 0:00 UTC.  [default: everything]",
)
@click.option(
    "--tune",
    "tuning_trials",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Choose hyper-parameters by N trials for each candidate, on time-ordered folds inside the training "
    "period.  [default: 0, the usual ones]",
)
@click.option("--seed", default=0, show_default=True, help="The same data and seed give the same model.")
@terms_option
@click.option(
    "--orders-per-day",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="order-risk: how many orders the fraud team can review a day.",
)
@json_option
def train(
    model: str,
    directory: Path,
    as_of: datetime | None,
    tuning_trials: int,
    seed: int,
    policy_path: Path | None,
    orders_per_day: int,
    as_json: bool,
) -> None:
    """Train MODEL on a ledger folder, compare the candidates, register the winner.

    The candidates are a scorecard and LightGBM on the declared features; the better one on later decisions
    wins, the scorecard where they cannot be told apart. The first good version becomes the champion, and so
    does one that finds a champion which cannot decide (its features are computed no more, or its files were
    changed); others stay challengers until promoted.
    """
    from features.decisions import NoDecisionsError
    from training.errors import TrainingError
    from training.tasks import TASKS
    from training.train import train as train_model
    from training.training_task import TrainingRequest

    settings = read_settings()
    if as_of is not None and as_of.date() > today():
        raise CommandFailed(f"--as-of {as_of:%Y-%m-%d} lies in the future: nothing was recorded by then")
    policy = asked_policy(policy_path)
    request = TrainingRequest(
        directory=directory,
        tracking_uri=settings.mlflow_uri,
        artifact_root=settings.artifact_root,
        seed=seed,
        as_of_ms=None if as_of is None else midnight_ms(as_of),
        tuning_trials=tuning_trials,
        terms=policy.settlement_terms,
        linked_customers_maximum=policy.order_risk.linked_customers_maximum,
        orders_per_day=orders_per_day,
    )
    try:
        with progress_bars() as progress:
            result = train_model(TASKS[model], request, progress=progress)
    except (TrainingError, NoDecisionsError) as problem:
        raise CommandFailed(str(problem)) from problem
    figures = result.to_json()
    print_result(figures, as_json, lambda: click.echo(result.to_text()))


@click.command()
@click.argument("model", type=click.Choice(MODELS))
@click.option("--version", help="The version whose report it is.  [default: the newest version]")
@click.option(
    "--out",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.html",
    help="Page to write; its figures are written beside it as FILE.json.",
)
@json_option
def report(model: str, version: str | None, out: Path, as_json: bool) -> None:
    """Fetch the validation report of a version of MODEL, as it was written when the version was trained.

    One HTML page without outside parts: the verdict, how well the model ranks, whether its probabilities are
    true, where it fails, and its model card. With --json its figures are printed as well.
    """
    import shutil
    import tempfile

    from training.validation.report import REPORT_HTML, REPORT_JSON

    if out.suffix != ".html":
        raise CommandFailed(f"--out {out}: the page is HTML, so the name must end in .html")
    require_writable(out)
    with model_registry() as registry, tempfile.TemporaryDirectory() as scratch:
        found, page = registry.run_file(model, version, REPORT_HTML, Path(scratch))
        # A report says nothing of a model that is not the one it was written about.
        registry.verified_files(model, found)
        _, figures_file = registry.run_file(model, found, REPORT_JSON, Path(scratch))
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(page, out)
        shutil.copyfile(figures_file, out.with_suffix(".json"))
    figures = json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))
    judged = figures["verdict"]
    points = [judged["ranking"], judged["probabilities"], *judged["suspicious"]]
    lines = [
        f"{model} version {found}: {judged['headline']}",
        *(f"  {point['weight']}: {point['sentence']}" for point in points),
        f"{out} and {out.with_suffix('.json')} written",
    ]
    print_result({"version": found, **figures}, as_json, lambda: click.echo("\n".join(lines)))


@click.command()
@click.argument("model", type=click.Choice(MODELS))
@optional_ledger_folder
@click.option("--version", help="The challenger.  [default: the newest version that is not champion]")
@json_option
def compare(model: str, directory: Path | None, version: str | None, as_json: bool) -> None:
    """Compare champion and challenger of MODEL on the same later decisions of a ledger folder.

    Later means: labelled, and made when both models had been trained. Differences come with paired
    bootstrap intervals. Without DIR it is the book that `bonitas run` made.
    """
    from training.promotion import comparison as models

    directory = later_decisions_folder(directory)

    with model_registry() as registry, progress_bars() as progress:
        comparison = models.compare(model, directory, registry=registry, version=version, progress=progress)
    print_result(comparison.to_json(), as_json, lambda: click.echo(comparison.to_text()))


@click.command()
@click.argument("model", type=click.Choice(MODELS))
@click.argument("version")
@optional_ledger_folder
@click.option("--by", required=True, metavar="NAME", help="Who promotes; kept in the history.")
@click.option("--reason", metavar="TEXT", help="Why; kept in the history. An override needs it.")
@click.option("--override", is_flag=True, help="Promote although gates fail; they are kept in the history.")
@json_option
def promote(
    model: str,
    version: str,
    directory: Path | None,
    by: str,
    reason: str | None,
    override: bool,
    as_json: bool,
) -> None:
    """Make VERSION the champion of MODEL if it passes every gate on later decisions of a ledger folder.

    A running service takes it over by itself. Exit status 1 when a gate failed and nothing was changed.
    Without DIR it is the book that `bonitas run` made.
    """
    from serving.in_force.scorer import load_model
    from training.promotion import promotion

    directory = later_decisions_folder(directory)

    with model_registry() as registry, progress_bars() as progress:
        attempt = promotion.promote(
            model,
            version,
            directory,
            registry=registry,
            load_scorer=lambda folder, of_version: load_model(folder, name=model, version=of_version).score,
            by=by,
            clock=lambda: datetime.now(UTC),
            reason=reason,
            override=override,
            progress=progress,
        )
    print_result(attempt.to_json(), as_json, lambda: click.echo(attempt.to_text()))
    if attempt.change is None:
        sys.exit(1)


@click.command()
@click.argument("model", type=click.Choice(MODELS))
@json_option
def history(model: str, as_json: bool) -> None:
    """Show which version of MODEL was champion from when, who put it there and why.

    Says so where the champion cannot decide.
    """
    from rich.markup import escape

    from training.errors import TrainingError

    with model_registry() as registry:
        changes = registry.champion_changes(model, now=datetime.now(UTC))
        try:
            not_served = registry.why_champion_is_not_served(model)
            problem = None if not_served is None else str(not_served)
        except TrainingError as unknown:
            # The history itself can be read, so it is shown.
            problem = str(unknown)

    def render() -> None:
        table = id_table("from", "version", "how", "by", "why", title=f"Champions of {model}")
        for change in changes:
            despite = [gate.partition(":")[0] for gate in change.failed_gates]
            why = f"{change.reason} (despite {', '.join(despite)})" if despite else change.reason
            at = f"{change.at:%Y-%m-%d %H:%M:%S}Z"
            table.add_row(at, change.version or "none", change.kind.value, escape(change.by), escape(why))
        wide_console().print(table)
        if problem is not None:
            click.echo(f"the champion decides about nobody: {problem}")

    figures = {
        "model": model,
        "champion_not_usable": problem,
        "changes": [change.to_json() for change in changes],
    }
    print_result(figures, as_json, render)


@click.command()
@click.argument("model", type=click.Choice(MODELS))
@click.option("--by", required=True, metavar="NAME", help="Who rolls back; kept in the history.")
@click.option("--reason", required=True, metavar="TEXT", help="Why; kept in the history.")
@json_option
def rollback(model: str, by: str, reason: str, as_json: bool) -> None:
    """Put the champion before the present one back in its place, at once and without gates."""
    from training.promotion import promotion

    with model_registry() as registry:
        change = promotion.roll_back(model, registry=registry, by=by, reason=reason, now=datetime.now(UTC))
    print_result(
        {"model": model, "change": change.to_json()},
        as_json,
        lambda: click.echo(f"version {change.version} of {model} is champion again, by {change.by}"),
    )
