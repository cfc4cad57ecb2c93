"""The embedded or PostgreSQL store: ledger, decisions, reservations, keys."""
