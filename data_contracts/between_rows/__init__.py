"""The rules between the rows of a ledger, and what becomes of a row that arrives."""
