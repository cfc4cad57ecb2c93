"""`bonitas features`: compute features offline, and list the declared ones."""

from pathlib import Path

import click

from command_line.state import asked_policy
from command_line.terminal import (
    MODELS,
    CommandFailed,
    json_option,
    ledger_folder,
    print_figures,
    print_result,
    progress_bars,
    terms_option,
)


@click.group()
def features() -> None:
    """Compute features."""


@features.command()
@ledger_folder
@click.option("--for", "model", required=True, type=click.Choice(MODELS))
@click.option(
    "--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="Parquet file to write."
)
@click.option(
    "--sample", type=click.IntRange(min=1), help="This many random decisions instead of one per order."
)
@click.option("--seed", default=0, show_default=True, help="Seed of --sample.")
@terms_option
@json_option
def build(
    directory: Path,
    model: str,
    out: Path,
    sample: int | None,
    seed: int,
    policy_path: Path | None,
    as_json: bool,
) -> None:
    """Compute the features of every order (or of the label file's decisions) to a Parquet file.

    They are those that a model reads which is trained under the same policy.
    """
    import resource
    import time

    from data_contracts.parquet_ledger import NoSuchLedgerTable
    from features.decisions import NoDecisionsError, folder_decisions, sampled_decisions
    from features.feature_sets import FEATURE_SETS
    from features.offline import write_features
    from features.order_risk_offline import approval_decisions

    if sample is not None and FEATURE_SETS[model].crosses_customers:
        raise click.BadOptionUsage("sample", "--sample is for credit features: it draws customers")
    policy = asked_policy(policy_path)
    feature_set = FEATURE_SETS[model].under(policy.settlement_terms)
    feature_set = feature_set.linking(policy.order_risk.linked_customers_maximum)
    try:
        if sample is not None:
            decisions = sampled_decisions(directory, sample, seed)
        elif feature_set.crosses_customers:
            decisions = approval_decisions(directory)
        else:
            decisions = folder_decisions(directory)
        began = time.perf_counter()
        with progress_bars() as progress:
            rows = write_features(directory, decisions, feature_set, out, progress)
    except (NoSuchLedgerTable, NoDecisionsError) as problem:
        raise CommandFailed(str(problem)) from problem
    figures = {
        "file": str(out),
        "rows": rows,
        "features": len(feature_set.features),
        "feature_set_version": feature_set.version_under_terms,
        "seconds": round(time.perf_counter() - began, 2),
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    print_result(figures, as_json, lambda: print_figures("Features", figures))


@features.command("list")
@click.option("--for", "model", default=MODELS[0], type=click.Choice(MODELS), show_default=True)
@json_option
def list_features(model: str, as_json: bool) -> None:
    """List the declared features with group, unit, direction and what missing means."""
    from rich.console import Console
    from rich.table import Table

    from features.feature_sets import FEATURE_SETS

    declared = FEATURE_SETS[model].features
    rows = [
        {
            "name": feature.name,
            "group": feature.group.value,
            "unit": feature.unit,
            "direction": feature.direction.value,
            "missing_means": feature.missing_means,
            "description": feature.description,
        }
        for feature in declared
    ]

    def render() -> None:
        table = Table("name", "unit", "direction", "description", title=f"{len(rows)} features of {model}")
        for row in rows:
            table.add_row(row["name"], row["unit"], row["direction"], row["description"])
        Console().print(table)

    print_result({"model": model, "version": FEATURE_SETS[model].version, "features": rows}, as_json, render)
