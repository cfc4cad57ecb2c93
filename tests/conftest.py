"""What tests of several packages share."""

from pathlib import Path

import pytest

import training  # noqa: F401 - sets how threads wait, before any test loads OpenMP
from data_contracts.public.uci_taiwan import fetch


@pytest.fixture(scope="session")
def uci_taiwan_file(request: pytest.FixtureRequest) -> Path:
    """The published file, fetched once and kept in pytest's cache."""
    return fetch(request.config.cache.mkdir("uci-taiwan"))
