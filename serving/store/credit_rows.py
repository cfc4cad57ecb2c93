"""The rows of one customer that credit features and rules read."""

from collections import defaultdict

from data_contracts.order_outcomes import ORDER_OUTCOMES
from features.online import CREDIT_CONTRACTS
from serving.store.ledger_rows import LedgerRow, decode_row
from serving.store.store import Transaction

_CREDIT_CONTRACT_NAMES = tuple(contract.name for contract in (*CREDIT_CONTRACTS, ORDER_OUTCOMES))

_CREDIT_ROWS = (
    "SELECT contract, body FROM ledger_events WHERE entity_id = ? "  # noqa: S608 - constants
    f"AND contract IN ({', '.join('?' for _ in _CREDIT_CONTRACT_NAMES)})"
)


def credit_rows(tx: Transaction, customer_id: str) -> dict[str, list[LedgerRow]]:
    """All rows of one customer that credit features and rules read, by contract, in one query.

    Outcomes of orders too: what was confirmed fraud is not owed.
    """
    rows: defaultdict[str, list[LedgerRow]] = defaultdict(list)
    for contract_name, body in tx.execute(_CREDIT_ROWS, (customer_id, *_CREDIT_CONTRACT_NAMES)):
        rows[contract_name].append(decode_row(body))
    return rows
