"""Watching a portfolio and its champions after promotion: `bonitas monitor`."""
