"""The rows of one customer that credit features and rules read."""

from collections import defaultdict
from collections.abc import Collection

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


_CUSTOMERS_AT_ONCE = 100
_CREDIT_ROWS_OF_MANY = (
    "SELECT entity_id, contract, body FROM ledger_events "  # noqa: S608 - constants
    f"WHERE entity_id IN ({', '.join('?' for _ in range(_CUSTOMERS_AT_ONCE))}) "
    f"AND contract IN ({', '.join('?' for _ in _CREDIT_CONTRACT_NAMES)})"
)


def credit_rows_of(
    tx: Transaction, customer_ids: Collection[str]
) -> dict[str, defaultdict[str, list[LedgerRow]]]:
    """`credit_rows` of each of many customers, in a few queries."""
    rows: dict[str, defaultdict[str, list[LedgerRow]]] = {
        customer_id: defaultdict(list) for customer_id in customer_ids
    }
    ids = list(rows)
    for start in range(0, len(ids), _CUSTOMERS_AT_ONCE):
        part = ids[start : start + _CUSTOMERS_AT_ONCE]
        # Filled up with one of them: the query has one text, which a database prepares once.
        filled = [*part, *part[:1] * (_CUSTOMERS_AT_ONCE - len(part))]
        for customer_id, contract_name, body in tx.execute(
            _CREDIT_ROWS_OF_MANY, (*filled, *_CREDIT_CONTRACT_NAMES)
        ):
            rows[customer_id][contract_name].append(decode_row(body))
    return rows
