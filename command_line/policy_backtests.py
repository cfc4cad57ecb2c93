"""`bonitas policy backtest` and `propose`: serving's replay of orders with training's outcomes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from command_line.clock import midnight_ms
from command_line.state import (
    asked_policy,
    model_registry,
    policy_in_force,
    read_policy,
    served_models,
)
from command_line.terminal import (
    MODELS,
    CommandFailed,
    json_option,
    ledger_folder,
    print_result,
    progress_bars,
    require_writable,
    write_text,
)

if TYPE_CHECKING:
    from data_contracts.progress import Progress
    from features.settlement_terms import SettlementTerms
    from serving.domain.policy import Policy
    from serving.in_force.scorer import ChampionModel
    from serving.policy_backtest.order_evidence import OrderOutcomes
    from serving.policy_backtest.policy_replay import OrderSelection, Replay
    from serving.policy_backtest.review_capacity import FlagProposal


@contextmanager
def _replaying() -> Iterator[None]:
    """What a replay of history cannot do ends the command."""
    from data_contracts.parquet_ledger import NoSuchLedgerTable
    from features.decisions import NoDecisionsError
    from serving.in_force.model_watch import RegistryUnreachableError
    from serving.in_force.scorer import ModelNotUsableError
    from serving.policy_backtest.cut_off_proposal import NoProposalError
    from serving.policy_backtest.policy_replay import NothingToReplayError

    try:
        yield
    except (
        NoSuchLedgerTable,
        NoDecisionsError,
        NoProposalError,
        NothingToReplayError,
        ModelNotUsableError,
        RegistryUnreachableError,
    ) as problem:
        raise CommandFailed(str(problem)) from problem


def _model_to_replay(model_name: str, version: str | None) -> "tuple[ChampionModel, int | None]":
    """A registered version, by default the champion, and until when it was trained."""
    with model_registry() as registry:
        wanted = version or registry.champion_version(model_name)
        if wanted is None:
            raise CommandFailed(f"{model_name} has no champion: `bonitas train {model_name} DIR` makes one")
        registry.feature_set_version(model_name, wanted)
        trained_until_ms = registry.trained_until_ms(model_name, wanted)
    with _replaying():
        return served_models().load(model_name, wanted), trained_until_ms


def _known_outcomes(directory: Path, cut_off_ms: int, terms: "SettlementTerms") -> "OrderOutcomes":
    """Training's labels and amounts as the plain data that serving's replay takes."""
    from serving.policy_backtest.order_evidence import OrderOutcomes
    from training.realised_outcomes import realised_outcomes

    found = realised_outcomes(directory, cut_off_ms, terms)
    return OrderOutcomes(
        order_id=found.order_id,
        label=found.label,
        is_fraud=found.is_fraud,
        is_invoiced=found.is_invoiced,
        owed_cents=found.owed_cents,
        lost_cents=found.lost_cents,
    )


def _replay_options(command: Callable[..., None]) -> Callable[..., None]:
    """Which orders are decided again, and with which model."""
    for option in (
        click.option("--seed", default=0, show_default=True, help="Seed of --sample and of the intervals."),
        click.option("--sample", type=click.IntRange(min=1), help="Only so many orders, at random."),
        click.option("--until", type=click.DateTime(["%Y-%m-%d"]), help="Only orders before this day, UTC."),
        click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="Only orders from this day on, UTC."),
        click.option("--model-version", metavar="V", help="The model's version.  [default: the champion]"),
    ):
        command = option(command)
    return command


def _selection(
    since: datetime | None, until: datetime | None, sample: int | None, seed: int
) -> "OrderSelection":
    from serving.policy_backtest.policy_replay import OrderSelection

    return OrderSelection(
        since_ms=None if since is None else midnight_ms(since),
        until_ms=None if until is None else midnight_ms(until),
        sample=sample,
        seed=seed,
    )


@click.command("backtest")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="NEW.toml")
@ledger_folder
@click.option(
    "--against",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="OLD.toml",
    help="The policy to compare with.  [default: the one in force]",
)
@_replay_options
@click.option(
    "--reject-factor",
    nargs=2,
    type=click.FloatRange(min=0, max=100),
    default=(1.0, 3.0),
    show_default=True,
    metavar="LOW HIGH",
    help="An order that was never invoiced is so many times as likely not to be paid as the model says.",
)
@click.option(
    "--report", type=click.Path(dir_okay=False, path_type=Path), help="Write an HTML page to this file."
)
@json_option
def backtest_policy(
    file: Path,
    directory: Path,
    against: Path | None,
    model_version: str | None,
    since: datetime | None,
    until: datetime | None,
    sample: int | None,
    seed: int,
    reject_factor: tuple[float, float],
    report: Path | None,
    as_json: bool,
) -> None:
    """Say what NEW.toml would have done to the orders of a ledger folder, and what it would have brought.

    Every order is decided again as the checkout would have, with what was known at its moment, under both
    policies. Amounts rest on [costs]: realised where the outcome is known, expected where an invoice is too
    young, and a range for orders that were never invoiced. History stays as it happened: what is declined
    here is still invoiced and paid in what comes after it, and a ledger has no reservations.
    """
    from serving.policy_backtest.backtest import backtest
    from serving.policy_backtest.backtest_page import backtest_page
    from serving.policy_backtest.backtest_text import backtest_text
    from serving.policy_backtest.policy_replay import replay_orders
    from training.labels import ledger_end_ms

    if reject_factor[0] > reject_factor[1]:
        raise click.BadOptionUsage("reject_factor", "--reject-factor takes the lower factor first")
    if report is not None:
        require_writable(report)
    new = read_policy(file).policy
    old = asked_policy(against)
    model, trained_until_ms = _model_to_replay(MODELS[0], model_version)
    with _replaying(), progress_bars() as progress:
        replay = replay_orders(directory, model, [old, new], _selection(since, until, sample, seed), progress)
        end_ms = ledger_end_ms(directory)
        result = backtest(
            replay,
            _known_outcomes(directory, end_ms, model.terms),
            model=f"{model.name} {model.version}",
            outcomes_until_ms=end_ms,
            trained_until_ms=trained_until_ms,
            reject_factors=reject_factor,
            seed=seed,
        )
    if report is not None:
        write_text(report, backtest_page(result))
        click.echo(f"report: {report}", err=True)
    print_result(result.to_json(), as_json, lambda: click.echo(backtest_text(result)))


@click.command("propose")
@ledger_folder
@click.option(
    "--from",
    "base",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="POLICY.toml",
    help="The policy to start from.  [default: the one in force]",
)
@_replay_options
@click.option(
    "--reviews-per-day", type=click.IntRange(min=1), help="Also propose order_risk.flag_from_per_mille."
)
@click.option("--lowest-approval-rate", type=click.FloatRange(0, 1), help="Of all orders, from 0 to 1.")
@click.option(
    "--highest-bad-rate", type=click.FloatRange(0, 1), help="Among approved orders with a known outcome."
)
@click.option(
    "--extrapolate",
    type=click.FloatRange(min=1, max=100),
    metavar="FACTOR",
    help="Look also where no outcomes are known; orders never invoiced count as so many times as risky as "
    "the model says.",
)
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="Write the changed policy to this file."
)
@click.option(
    "--version", "new_version", metavar="TEXT", help="Its version.  [default: the present one-proposed]"
)
@json_option
def propose_policy(
    directory: Path,
    base: Path | None,
    model_version: str | None,
    since: datetime | None,
    until: datetime | None,
    sample: int | None,
    seed: int,
    reviews_per_day: int | None,
    lowest_approval_rate: float | None,
    highest_bad_rate: float | None,
    extrapolate: float | None,
    out: Path | None,
    new_version: str | None,
    as_json: bool,
) -> None:
    """Propose cut-offs from [costs], and the flagging threshold from the team's capacity.

    The cut-offs are the pair that would have left most of the orders of a ledger folder, the present pair
    among them; no cut-off is lowered beyond where outcomes end, unless --extrapolate says so. The file is the
    present policy with those numbers and a version of its own: backtest it before anything else. Where
    nothing better than the present numbers is found, no file is written.
    """
    from dataclasses import replace as replaced

    from serving.domain.errors import PolicyInvalid
    from serving.policy_backtest.backtest_text import proposal_text
    from serving.policy_backtest.cut_off_proposal import ProposalConstraints, propose_cut_offs
    from serving.policy_backtest.policy_replay import replay_orders
    from serving.policy_backtest.policy_text import with_values
    from training.labels import ledger_end_ms

    if base is not None:
        file = read_policy(base)
        present, text = file.policy, file.text
    else:
        present, text = policy_in_force()
    if new_version == present.version:
        raise CommandFailed(f"--version {new_version} is the present policy: give the new one its own")
    if out is not None:
        require_writable(out)
    model, trained_until_ms = _model_to_replay(MODELS[0], model_version)
    with _replaying(), progress_bars() as progress:
        replay = replay_orders(directory, model, [present], _selection(since, until, sample, seed), progress)
        outcomes = _known_outcomes(directory, ledger_end_ms(directory), model.terms)
        proposal = propose_cut_offs(
            replay,
            outcomes,
            ProposalConstraints(
                lowest_approval_rate=lowest_approval_rate,
                highest_bad_rate=highest_bad_rate,
                extrapolate_factor=extrapolate,
            ),
            trained_until_ms=trained_until_ms,
            seed=seed,
        )
        flag = None
        proposed = replaced(
            present,
            version=new_version or f"{present.version}-proposed",
            cut_off_stranger=proposal.proposed("stranger"),
            cut_off_known=proposal.proposed("known"),
        )
        if reviews_per_day is not None:
            flag = _flag_proposal(directory, replay, outcomes, proposed, reviews_per_day, seed, progress)
            probability = flag.proposed / 1000
            proposed = replaced(
                proposed, order_risk=replaced(proposed.order_risk, flag_probability=probability)
            )
    is_changed = proposal.changes or (flag is not None and flag.proposed != flag.present)
    if out is not None and not is_changed:
        click.echo(f"nothing to change in policy {present.version}: {out} is not written", err=True)
    elif out is not None:
        values: dict[str, int | str] = {
            "version": proposed.version,
            "cut_off_stranger": proposed.cut_off_stranger,
            "cut_off_known": proposed.cut_off_known,
        }
        if flag is not None:
            values["flag_from_per_mille"] = flag.proposed
        try:
            write_text(out, with_values(text, values, proposed))
        except PolicyInvalid as problem:
            raise CommandFailed("\n".join(problem.mistakes)) from problem
        click.echo(f"policy {proposed.version} is in {out}", err=True)
    print_result(
        {
            "version": proposed.version if is_changed else present.version,
            "cut_offs": proposal.to_json(),
            "flag": None if flag is None else flag.to_json(),
            "file": None if out is None or not is_changed else str(out),
        },
        as_json,
        lambda: click.echo(proposal_text(proposal, flag)),
    )


def _flag_proposal(
    directory: Path,
    replay: "Replay",
    outcomes: "OrderOutcomes",
    proposed: "Policy",
    reviews_per_day: int,
    seed: int,
    progress: "Progress",
) -> "FlagProposal":
    """Score the orders that the proposed cut-offs approve with the order-risk champion, at approval."""
    import numpy as np

    from features.feature_sets import ORDER_RISK
    from features.offline import build_features
    from features.order_risk_offline import approval_decisions
    from serving.policy_backtest.cut_off_curve import approved_at
    from serving.policy_backtest.review_capacity import propose_flag

    orders = replay.orders
    if len(orders) < orders.selected_from:
        raise click.BadOptionUsage(
            "sample", "--reviews-per-day needs every order of a day: leave out --sample"
        )
    risk_model, _ = _model_to_replay(ORDER_RISK.name, None)
    is_approved = approved_at(orders, replay.decisions[0], proposed)
    wanted = {order_id for order_id, kept in zip(orders.order_id.tolist(), is_approved, strict=True) if kept}
    amount_of = dict(zip(orders.order_id.tolist(), orders.amount_cents.tolist(), strict=True))
    decisions = approval_decisions(directory)
    decisions = decisions.where(
        np.array([key in wanted for key in decisions.decision_id.tolist()], dtype=bool)
    )
    if len(decisions) == 0:
        raise CommandFailed("the proposed cut-offs approve no order, so none is to be flagged")
    values = build_features(directory, decisions, ORDER_RISK, progress).values
    fraud = set(outcomes.order_id[outcomes.is_fraud].tolist())
    return propose_flag(
        np.array([risk_model.score(row).probability_of_default for row in values.tolist()]),
        decisions.as_of_ms,
        np.array([amount_of[key] for key in decisions.decision_id.tolist()], dtype=np.int64),
        np.array([key in fraud for key in decisions.decision_id.tolist()], dtype=bool),
        present=round(proposed.order_risk.flag_probability * 1000),
        reviews_per_day=reviews_per_day,
        sample_share=proposed.review.sample_share,
        review_cents=None if proposed.costs is None else proposed.costs.review_cents,
        seed=seed,
    )
