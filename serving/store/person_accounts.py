"""Which accounts may be one person's: an index over the ledger's customers, kept in step with it.

The index is derived from the rows of the contract `customers`, and only ever added to: a key says that a row
with it was once recorded. Whether two accounts really are one person's at a moment is judged from the rows.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from serving.domain.same_person import person_keys
from serving.store.errors import TooManyAccountsOfOnePerson
from serving.store.store import Transaction

ACCOUNTS_MAXIMUM = 100
"""Nobody has so many accounts: a key that more share stands for no person, and reading them all would hold
up every other decision."""

INSERT_PERSON_KEY = (
    "INSERT INTO person_keys (person_key, customer_id) VALUES (?, ?) "
    "ON CONFLICT (person_key, customer_id) DO NOTHING"
)
_CANDIDATES = (
    "SELECT {} other.customer_id FROM person_keys own "
    "JOIN person_keys other ON other.person_key = own.person_key AND other.customer_id <> own.customer_id "
    "WHERE own.customer_id = ? LIMIT ?"
)
_EACH_KEY, _EACH_ACCOUNT = _CANDIDATES.format("ALL"), _CANDIDATES.format("DISTINCT")


def keep_person_keys(tx: Transaction, rows: Iterable[Mapping[str, Any]]) -> None:
    """Enter rows of the contract `customers` into the index. Entering a row again changes nothing."""
    tx.execute_many(
        INSERT_PERSON_KEY, sorted({(key, row["customer_id"]) for row in rows for key in person_keys(row)})
    )


def candidate_accounts(tx: Transaction, customer_id: str) -> list[str]:
    """The other accounts that have, or had, a key in common with this one, in the order of their ids.

    Raises TooManyAccountsOfOnePerson.
    """
    rows = tx.execute(_EACH_KEY, (customer_id, ACCOUNTS_MAXIMUM))
    if len(rows) >= ACCOUNTS_MAXIMUM:
        # Accounts that share several keys may be all of these. Only then: for DISTINCT, SQLite makes a table.
        rows = tx.execute(_EACH_ACCOUNT, (customer_id, ACCOUNTS_MAXIMUM))
    found = sorted({row[0] for row in rows})
    if len(found) >= ACCOUNTS_MAXIMUM:
        raise TooManyAccountsOfOnePerson(
            f"customer {customer_id} shares a document, or name, birth date and residence, with "
            f"{ACCOUNTS_MAXIMUM} accounts or more"
        )
    return found
