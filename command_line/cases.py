"""`bonitas cases`: the review queue, every step on a case, and investigations."""

from pathlib import Path

import click
import msgspec

from command_line.state import case_scope
from command_line.terminal import id_table, json_option, print_answer, print_result, wide_console
from data_contracts.currencies import amount_figure
from data_contracts.instants import rfc3339
from data_contracts.private_files import write_private_text


@click.group()
def cases() -> None:
    """Review flagged orders: the queue, and every step on a case."""


@cases.command("list")
@click.option(
    "--state",
    type=click.Choice(["open", "claimed", "contacting_customer", "closed"]),
    default="open",
    show_default=True,
)
@click.option("--limit", type=click.IntRange(1, 500), default=20, show_default=True)
@json_option
def list_cases(state: str, limit: int, as_json: bool) -> None:
    """List cases in the order of work: what loses most by waiting comes first."""
    from serving.cases import case_review
    from serving.domain.review_case import CaseState
    from serving.requests.wire_form import in_plain_values

    with case_scope() as scope:
        queue = case_review.queue(scope, state=CaseState(state), limit=limit)

    def render() -> None:
        table = id_table("case", "order", "amount", "fraud", "lost per hour", "hand-over", "held by", "why")
        for case in queue.cases:
            table.add_row(
                case.case_id,
                case.order_id,
                f"{amount_figure(case.amount_cents, case.currency)} {case.currency}",
                f"{case.probability_of_fraud:.1%}",
                amount_figure(round(case.saving_lost_per_hour_cents), case.currency),
                "has left" if case.left else rfc3339(case.handover_at)[:16].replace("T", " "),
                case.reviewer or "",
                "; ".join(reason.text for reason in case.reasons[:2]),
            )
        wide_console().print(table)
        click.echo(", ".join(f"{count} {name}" for name, count in queue.counts.items()))

    print_result(in_plain_values(queue), as_json, render)


@cases.command("show")
@click.argument("case_id")
def show_case(case_id: str) -> None:
    """Show everything about a case, as JSON."""
    from serving.cases import case_review

    with case_scope() as scope:
        print_answer(case_review.case_view(scope, case_id))


@cases.command("export")
@click.argument("case_id")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The file to write, for its owner alone.",
)
def export_case(case_id: str, out: Path) -> None:
    """Write all that is kept about a case into one JSON file, for the police.

    It holds personal data. Files of evidence are named with their SHA-256; they lie in evidence/ of the home.
    """
    from serving.disputes.case_export import export_case as exported
    from serving.requests.wire_form import encoded

    with case_scope() as scope:
        document = encoded(exported(scope, case_id))
    write_private_text(out, msgspec.json.format(document, indent=2).decode() + "\n")
    click.echo(f"{out}: {out.stat().st_size} bytes, readable by you alone")


@cases.command("next")
@click.option("--as", "reviewer", required=True, help="Who takes the case.")
def claim_next_case(reviewer: str) -> None:
    """Claim the open case that loses most by waiting, and show it."""
    from serving.cases import case_review

    with case_scope() as scope:
        case = case_review.claim_next(scope, reviewer)
    if case is None:
        click.echo("no case is open")
    else:
        print_answer(case)


@cases.command("step")
@click.argument("case_id")
@click.argument(
    "step",
    type=click.Choice(
        [
            "claim",
            "give-back",
            "note",
            "contact",
            "contact-outcome",
            "release",
            "stop",
            "undo",
            "withdraw",
            "reopen",
        ]
    ),
)
@click.option("--as", "reviewer", required=True, help="Who does it.")
@click.option("--role", default="fraud", show_default=True, help="In which role; counts for withdraw.")
@click.option("--text", help="The note, the reason of a re-opening, or the outcome of a contact.")
def case_step(case_id: str, step: str, reviewer: str, role: str, text: str | None) -> None:
    """Take a step on a case and show it afterwards."""
    from serving.cases import case_review
    from serving.cases.possible_steps import Step

    with case_scope() as scope:
        case = case_review.take_step(scope, case_id, Step(step), reviewer=reviewer, role=role, text=text)
    print_answer(case)


@cases.command("investigations")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@json_option
def list_investigations(limit: int, as_json: bool) -> None:
    """List the investigations that wait for a finding, the longest open first."""
    from serving.cases import investigating
    from serving.requests.wire_form import in_plain_values

    with case_scope() as scope:
        waiting = investigating.open_investigations(scope, limit)

    def render() -> None:
        table = id_table("case", "because", "since", "questions asked")
        for known in waiting:
            table.add_row(
                known.case_id, known.trigger.value, rfc3339(known.opened_at), str(len(known.questions))
            )
        wide_console().print(table)

    print_result(in_plain_values({"investigations": waiting}), as_json, render)


@cases.command("investigate")
@click.argument("case_id")
@click.option("--as", "reviewer", required=True, help="Who does it.")
@click.option("--reason", required=True, help="Why.")
def investigate_case(case_id: str, reviewer: str, reason: str) -> None:
    """Open an investigation by hand; a dispute or an unpaid invoice opens one by itself."""
    from serving.cases import investigating

    with case_scope() as scope:
        found = investigating.open_by_hand(scope, case_id, reason=reason, by=reviewer)
    print_answer(found)


@cases.command("ask-merchant")
@click.argument("case_id")
@click.argument("question")
@click.option("--as", "reviewer", required=True, help="Who asks.")
def ask_merchant(case_id: str, question: str, reviewer: str) -> None:
    """Ask the merchant for more during an investigation; the reply comes by the form, as a note."""
    from serving.cases import investigating

    with case_scope() as scope:
        asked = investigating.ask_merchant(scope, case_id, question, reviewer)
    click.echo(f"asked: {asked.question}")


@cases.command("conclude")
@click.argument("case_id")
@click.argument("finding", type=click.Choice(["fraud_confirmed", "not_fraud"]))
@click.option("--as", "reviewer", required=True, help="Who found it.")
def conclude_investigation(case_id: str, finding: str, reviewer: str) -> None:
    """Close an investigation with a finding; the ledger's outcome and the settlement follow."""
    from serving.cases import investigating

    with case_scope() as scope:
        found = investigating.conclude(scope, case_id, finding, reviewer)
    print_answer(found)
