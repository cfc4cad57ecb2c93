"""The service that decides at checkout, and the store behind it."""
