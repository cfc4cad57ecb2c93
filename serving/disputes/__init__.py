"""Disputes: what customers and merchants do with one, and what the service desk decides."""
