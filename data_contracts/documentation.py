"""The contracts as Markdown tables, for people who send or read ledger rows."""

from collections.abc import Sequence
from typing import assert_never

from data_contracts.between_rows.rules_between_rows import rules_markdown
from data_contracts.contract import (
    After,
    Column,
    Contract,
    NotAbove,
    NotBefore,
    NotBeforeDate,
    Passed,
    PassedDate,
    RequiredWhen,
    RowRule,
    WithinCountry,
)
from data_contracts.ledger_contracts import ALL_CONTRACTS


def contract_markdown(contract: Contract) -> str:
    """One contract as a heading, its rules between columns and a table of its columns."""
    lines = [f"## {contract.name}", "", contract.description, ""]
    key = ", ".join(f"`{name}`" for name in contract.key)
    states = "; a later row with the same key replaces the earlier" if contract.rows_are_states else ""
    lines += [f"Key: {key}{states}. Sorted by `{contract.entity}`, then `recorded_at`.", ""]
    lines += ["| column | type | unit | missing | values | key, reference | personal | meaning |"]
    lines += ["|---|---|---|---|---|---|---|---|"]
    lines += [_column_line(contract, column) for column in contract.columns]
    lines += ["", "Rules:", "", *(f"- {_sentence(rule)}" for rule in contract.row_rules), ""]
    return "\n".join(lines)


def contracts_markdown(contracts: Sequence[Contract] = ALL_CONTRACTS) -> str:
    """All contracts as one Markdown document, in the order in which they refer to each other."""
    parts = ["# Ledger contracts\n", *(contract_markdown(contract) for contract in contracts)]
    return "\n".join([*parts, f"#{rules_between_rows_page()}"])


def rules_between_rows_page() -> str:
    """The rules between rows as a page of their own: what they have in common, and their table."""
    return f"""# Rules between rows

A row that keeps its contract is judged against the rows before it: by `POST /v1/events` and `bonitas data
validate` alike, there in the order of `recorded_at`. *Refused* rows go to quarantine. *Held* rows break the
rule only as long as something has not arrived; they enter by themselves once it has, in the order in which
they arrived, and a held row enters together with those that wait for it where that makes it fit (an invoice
with its credit note). At most 100 rows wait for one credit note, payment, invoice of an order or dispute; a
further one is refused. What is still held when a folder ends is refused there. Of a thing's rows those stand
that no other row corrects; a correction is judged with the row that it replaces left out.

*Refused, until a correction makes it fit*: the row is refused and alarmed at once, since it may hide a
mistake. But a correction of what it rests on (the order's amount, time or currency, the invoice, its
credit notes, the payment that has its bank reference) may still be on its way. Once one is let in, such
rows are judged again, at most 100 for one thing; one that fits by then enters, recorded at that moment,
is named among `readmitted`, and counts as refused no more. A refused row and a correction that waits for
it enter together where that makes both fit. Nothing is taken under a refused row's event_id: what was
sent last under it is what counts, and whoever means the row no more sends the right one under the same
event_id. Rows that fit only with more than two others at once may have to be sent again.

A transfer that is `repeated` under a second event_id stands under the first: a correction that names the
second corrects the row that stands (a folder is rewritten so), and the second event_id is taken.

{rules_markdown()}
"""


def _column_line(contract: Contract, column: Column) -> str:
    key = ["key"] if column.name in contract.key or column.name == "event_id" else []
    reference = column.reference
    if reference is not None:
        key.append(f"`{reference.contract}.{reference.column}`")
    cells = (
        f"`{column.name}`",
        column.type.value,
        column.unit or "",
        "required" if column.missing_means is None else f"allowed: {column.missing_means}",
        _values(column),
        ", ".join(key),
        "yes" if column.personal else "",
        column.description,
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _values(column: Column) -> str:
    if column.allowed is not None:
        return ", ".join(f"`{value}`" for value in column.allowed)
    if column.minimum is not None or column.maximum is not None:
        low = "" if column.minimum is None else f"{column.minimum:,}"
        high = "" if column.maximum is None else f"{column.maximum:,}"
        return f"{low} to {high}"
    if column.type.value != "string":
        return ""
    length = f"at most {column.max_length} characters"
    return length if column.pattern is None else f"`{column.pattern}`, {length}"


def _sentence(rule: RowRule) -> str:
    match rule:
        case Passed(column=column):
            return (
                f"`{column}` does not lie after `recorded_at`, but for the tolerance between clocks; a date "
                "without a time may be 14 hours ahead"
            )
        case PassedDate(column=column, by=by):
            return f"`{column}` is not after the date of `{by}` in the zone farthest ahead, UTC+14"
        case NotBefore(later=later, earlier=earlier, moves=moves):
            return (
                f"`{later}` does not lie before `{earlier}`, but for the tolerance between clocks; a date "
                f"without a time {'counts as it' if moves else 'may stand for it'}"
            )
        case NotBeforeDate(later=later, earlier=earlier):
            return f"`{later}` does not lie before `{earlier}`"
        case After(later=later, earlier=earlier):
            return f"`{later}` lies after `{earlier}`"
        case NotAbove(smaller=smaller, larger=larger):
            return f"`{smaller}` does not exceed `{larger}`"
        case RequiredWhen(column=column, when_column=when_column, equals=equals):
            return f"`{column}` is required when `{when_column}` is `{equals}`"
        case WithinCountry(column=column, country=country):
            return f"`{column}` is a part of `{country}`"
        case _:
            assert_never(rule)
