"""Homes and services for runs under load."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from serving.process.settings import Settings
from tests.serving.chaos.run_under_load import ServedShop
from tests.serving.chaos.service_processes import Service
from tests.serving.http.conftest import Keys, a_model_document, prepared, register_champion, write_model
from tests.serving.http.test_http_review import a_risk_model_document


def home_settings(home: Path, **environ: str) -> Settings:
    """The settings of a home that follows changes quickly."""
    return Settings.from_env(
        {
            "BONITAS_HOME": str(home),
            "BONITAS_MODEL_POLL_SECONDS": "0.5",
            "BONITAS_ALLOW_PRIVATE_ENDPOINTS": "1",
            **environ,
        }
    )


def with_models(settings: Settings, models: Path) -> Keys:
    """Tables, keys, a champion that decides and one that looks. models: the folder for their files."""
    keys = prepared(settings)
    register_champion(settings, write_model(models / "credit", a_model_document("scorecard")))
    risk = replace(settings, model_name=settings.order_risk_model_name)
    register_champion(risk, write_model(models / "risk", a_risk_model_document()))
    return keys


@contextmanager
def served(service: Service, keys: Keys, *, store_url: str | None = None) -> Iterator[ServedShop]:
    """The service, ready to decide, for the time of the block."""
    service.start()
    try:
        service.wait_until_up()
        service.wait_until_ready()
        yield ServedShop(service=service, keys=keys, store_url=store_url or service.settings.database_url)
    finally:
        service.end()


@pytest.fixture(scope="module")
def sqlite_shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedShop]:
    """One process that answers, and a worker, on SQLite."""
    folder = tmp_path_factory.mktemp("sqlite")
    settings = home_settings(folder / "home")
    with served(Service(settings), with_models(settings, folder / "models")) as shop:
        yield shop
