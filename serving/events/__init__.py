"""Ledger rows that others send: who may, what is let in, what waits."""
