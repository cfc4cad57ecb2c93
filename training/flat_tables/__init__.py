"""Benchmarks on flat tables: columns declared in TOML, the same estimators."""
