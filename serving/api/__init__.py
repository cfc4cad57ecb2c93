"""The API for machines: its handlers and the pages that describe it."""
