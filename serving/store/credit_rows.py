"""The rows of one customer that credit features and rules read."""

from collections import defaultdict
from collections.abc import Collection
from typing import Any

import msgspec

from data_contracts.ledger_contracts import CONTRACTS
from data_contracts.order_outcomes import ORDER_OUTCOMES
from features.online import CREDIT_CONTRACTS
from serving.store.id_lists import lists_of_ids
from serving.store.ledger_rows import LedgerRow, decode_row
from serving.store.store import Transaction

_CREDIT_CONTRACT_NAMES = tuple(contract.name for contract in (*CREDIT_CONTRACTS, ORDER_OUTCOMES))

_OF_CREDIT_CONTRACTS = f"contract IN ({', '.join('?' for _ in _CREDIT_CONTRACT_NAMES)})"

_LAST_NAME = max(_CREDIT_CONTRACT_NAMES)
_OTHER_NAMES = sorted(CONTRACTS.keys() - set(_CREDIT_CONTRACT_NAMES))
# One stretch of the table's key, and not a list of names: for that SQLite makes a table and fills it, each
# time. That, and one text for all rows of a kind, which is decoded in one go, halves what the rows cost.
_CREDIT_ROWS = (
    "SELECT contract, {texts} FROM ledger_events "  # noqa: S608 - constants
    f"WHERE entity_id = ? AND contract <= '{_LAST_NAME}'"
    + "".join(f" AND contract <> '{name}'" for name in _OTHER_NAMES)
    + " GROUP BY contract"
)
_decode_rows = msgspec.json.Decoder(list[dict[str, Any]]).decode


def credit_rows(tx: Transaction, customer_id: str) -> dict[str, list[LedgerRow]]:
    """All rows of one customer that credit features and rules read, by contract, in one query.

    Outcomes of orders too: what was confirmed fraud is not owed.
    """
    return {
        contract_name: _decode_rows(f"[{bodies}]")
        for contract_name, bodies in tx.execute(
            _CREDIT_ROWS.format(texts=tx.with_commas("body")), (customer_id,)
        )
    }


def credit_rows_of(tx: Transaction, customer_ids: Collection[str]) -> dict[str, dict[str, list[LedgerRow]]]:
    """`credit_rows` of each of many customers, in a few queries."""
    rows: dict[str, defaultdict[str, list[LedgerRow]]] = {one: defaultdict(list) for one in customer_ids}
    for marks, ids in lists_of_ids(list(rows)):
        found = tx.execute(
            "SELECT entity_id, contract, body FROM ledger_events "  # noqa: S608 - constants
            f"WHERE entity_id IN ({marks}) AND {_OF_CREDIT_CONTRACTS}",
            (*ids, *_CREDIT_CONTRACT_NAMES),
        )
        for customer_id, contract_name, body in found:
            rows[customer_id][contract_name].append(decode_row(body))
    return dict(rows)
