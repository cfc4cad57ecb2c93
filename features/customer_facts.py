"""The facts of many customers, derived from a Parquet ledger: what credit features count."""

from pathlib import Path

import pyarrow as pa

from features.account_facts import account_table, portfolio_table
from features.account_rows import ACCOUNT_COLUMNS
from features.declarations import FactKind
from features.fact_tables import FactTable
from features.invoice_facts import invoice_table
from features.invoice_rows import INVOICE_COLUMNS
from features.ledger_columns import LedgerColumns
from features.settlement_terms import SettlementTerms
from features.single_row_facts import (
    SINGLE_ROW_COLUMNS,
    inquiry_table,
    registration_table,
    reminder_table,
)
from features.statement_facts import statement_table


class LedgerByCustomer:
    """The credit rows of a ledger folder as integers, restricted to some customers.

    customers: ascending customer ids; a customer's code is its place among them.
    terms: by which invoices are judged.
    """

    def __init__(self, directory: Path, customers: pa.Array, terms: SettlementTerms) -> None:
        self._terms = terms
        columns = LedgerColumns(directory, customers)
        self._rows = {
            contract.name: columns.read(contract, names)
            for contract, names in (*SINGLE_ROW_COLUMNS, *ACCOUNT_COLUMNS, *INVOICE_COLUMNS)
        }

    def facts(self, start: int, stop: int) -> dict[FactKind, FactTable]:
        """The facts of the customers coded start..stop-1, coded anew from 0."""
        rows = {name: rows.of_entities(start, stop) for name, rows in self._rows.items()}
        return {
            FactKind.INVOICE: invoice_table(rows, self._terms),
            FactKind.REMINDER: reminder_table(rows),
            FactKind.INQUIRY: inquiry_table(rows),
            FactKind.STATEMENT: statement_table(rows),
            FactKind.ACCOUNT: account_table(rows),
            FactKind.PORTFOLIO: portfolio_table(rows),
            FactKind.REGISTRATION: registration_table(rows),
        }
