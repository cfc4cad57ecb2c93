"""Figures of what happened: the flow of orders, and what monitoring compares."""
