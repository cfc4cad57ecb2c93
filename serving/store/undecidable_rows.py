"""Rows of a folder of which nobody could tell whether they, or others of folder or ledger, stand."""

from collections import defaultdict
from typing import Any

import msgspec

from data_contracts.contract import Contract
from data_contracts.sent_instants import happened_at
from serving.store.ledger_rows import LedgerRow
from serving.store.store import Transaction


def undecidable_rows(tx: Transaction, contract: Contract, rows: list[LedgerRow]) -> dict[str, str]:
    """The rows of which nobody could tell whether they or another stands, each with that other's event_id.

    Another has the same thing, the same two instants and other content, in the folder or in the ledger.
    """
    if not contract.has_states or not rows:
        return {}
    entities = sorted({row[contract.entity] for row in rows})
    marks = ", ".join("?" * len(entities))
    known = tx.execute(
        f"SELECT body FROM ledger_events WHERE contract = ? AND entity_id IN ({marks})",  # noqa: S608 - placeholders only
        (contract.name, *entities),
    )
    together: defaultdict[tuple[Any, ...], list[LedgerRow]] = defaultdict(list)
    for row in [*(msgspec.json.decode(body) for (body,) in known), *rows]:
        thing = contract.thing_of(row)
        if thing is not None:
            together[*thing, happened_at(contract, row), row["recorded_at"]].append(row)
    fresh = {row["event_id"] for row in rows}
    undecidable = {}
    for group in together.values():
        corrected = {row.get("corrects") for row in group}
        standing = [row for row in group if row["event_id"] not in corrected]
        # What the ledger holds stays; what the folder alone says in two ways stays out in both.
        before = [row for row in standing if row["event_id"] not in fresh] or standing
        for row in standing:
            others = [other["event_id"] for other in before if contract.says(other) != contract.says(row)]
            if others and row["event_id"] in fresh:
                undecidable[row["event_id"]] = others[0]
    return undecidable
