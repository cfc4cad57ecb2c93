"""Versions of models: what is kept of each, and which is champion or shadow."""
