"""Public data sets, fetched by checksum and unrolled into ledger rows."""
