"""What may enter the ledger: one declaration per kind of row, and everything derived from it."""
