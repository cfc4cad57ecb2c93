"""What tests of several packages share."""

from pathlib import Path

import pytest
from hypothesis import settings

import training  # noqa: F401 - sets how threads wait, before any test loads OpenMP
from data_contracts.public.uci_taiwan import fetch
from tests.empty_registry import with_empty_registry

# How long an example takes depends on what else the machine does, so it fails no test.
settings.register_profile("bonitas", deadline=None)
settings.load_profile("bonitas")


@pytest.fixture(scope="session")
def uci_taiwan_file(request: pytest.FixtureRequest) -> Path:
    """The published file, fetched once and kept in pytest's cache."""
    return fetch(request.config.cache.mkdir("uci-taiwan"))


@pytest.fixture(scope="session")
def empty_mlflow_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry's database after its migrations, which take seconds."""
    return with_empty_registry(tmp_path_factory.mktemp("empty")) / "mlflow.db"
