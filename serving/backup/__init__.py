"""One file that holds all state of a home: made beside a running service, and restored elsewhere."""
