"""Whose invoices are to be looked at, and when: at most one row for a customer.

A row of the ledger about invoices only asks for a look, which costs the same however much the customer has.
The look itself reads the customer's rows, tells of what is due, and says when to look again. So the ledger is
never searched for what falls due.
"""

from data_contracts.contract import Contract
from data_contracts.instants import DAY_MS
from data_contracts.invoice_adjustments import INVOICE_ADJUSTMENTS
from data_contracts.invoice_charges import INVOICE_CHARGES
from data_contracts.invoice_pauses import INVOICE_PAUSES
from data_contracts.invoice_payments import INVOICE_PAYMENTS
from data_contracts.invoices import INVOICES
from data_contracts.order_outcomes import ORDER_OUTCOMES
from serving.store.store import Transaction

LONGEST_MS = DAY_MS
"""Nobody's invoices wait longer for the next look: what a clock ahead has set further is due at once."""

_CONCERNED = frozenset(
    contract.name
    for contract in (
        INVOICES,
        INVOICE_PAYMENTS,
        INVOICE_ADJUSTMENTS,
        INVOICE_CHARGES,
        INVOICE_PAUSES,
        # What is confirmed fraud is not owed.
        ORDER_OUTCOMES,
    )
)

_IS_DUE = "(look_at_ms <= ? OR look_at_ms > ?)"


def _due(now_ms: int) -> tuple[int, int]:
    return now_ms, now_ms + LONGEST_MS


def concerns_invoices(contract: Contract) -> bool:
    """Whether rows of a contract may change what a customer owes, or is to be told of."""
    return contract.name in _CONCERNED


def ask_for_invoice_look(tx: Transaction, customer_id: str) -> None:
    """See to it that a customer's invoices are looked at soon; asked for twice, it is one look."""
    tx.execute(
        "INSERT INTO invoice_looks (customer_id, look_at_ms) VALUES (?, 0) "
        "ON CONFLICT (customer_id) DO UPDATE SET look_at_ms = 0 WHERE invoice_looks.look_at_ms <> 0",
        (customer_id,),
    )


def customers_to_look_at(tx: Transaction, limit: int, *, now_ms: int) -> list[str]:
    """Customers whose look is due, who wait longest first."""
    rows = tx.execute(
        f"SELECT customer_id FROM invoice_looks WHERE {_IS_DUE} ORDER BY look_at_ms, customer_id LIMIT ?",  # noqa: S608 - constants
        (*_due(now_ms), limit),
    )
    return [str(customer_id) for (customer_id,) in rows]


def is_look_due(tx: Transaction, customer_id: str, *, now_ms: int) -> bool:
    """Whether it still is, asked by whoever holds the customer's lock."""
    return bool(
        tx.execute(
            f"SELECT 1 FROM invoice_looks WHERE customer_id = ? AND {_IS_DUE}",  # noqa: S608 - constants
            (customer_id, *_due(now_ms)),
        )
    )


def keep_next_look(
    tx: Transaction, customer_id: str, *, look_at_ms: int | None, due_at_ms: int | None
) -> None:
    """The look was taken. look_at_ms: of the next one; None where nothing but news leads to another."""
    if look_at_ms is None:
        tx.execute("DELETE FROM invoice_looks WHERE customer_id = ?", (customer_id,))
        return
    tx.execute(
        "UPDATE invoice_looks SET look_at_ms = ?, due_at_ms = ? WHERE customer_id = ?",
        (look_at_ms, due_at_ms, customer_id),
    )


def customers_with_due_invoices(tx: Transaction, until_ms: int, *, now_ms: int) -> list[str]:
    """Customers of whom something owed falls due until then, or may do so by news that nobody looked at."""
    rows = tx.execute(
        "SELECT customer_id FROM invoice_looks WHERE due_at_ms <= ? "  # noqa: S608 - constants
        f"UNION SELECT customer_id FROM invoice_looks WHERE {_IS_DUE} ORDER BY customer_id",
        (until_ms, *_due(now_ms)),
    )
    return [str(customer_id) for (customer_id,) in rows]
