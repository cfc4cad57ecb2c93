"""Champions come and go under load: no request fails, and each decision was made by the model it names."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import pytest
from mlflow import MlflowClient

from features.model_files import ModelFiles
from serving.checkout.replay import replay
from serving.in_force.model_watch import ModelRegistry
from serving.in_force.scorer import load_model
from serving.process.server import running_server
from serving.process.settings import Settings
from serving.store.decision_log import decision_of
from serving.store.open_store import open_store
from tests.serving.http.conftest import (
    Row,
    Shop,
    a_model_document,
    free_port,
    opened,
    order_body,
    prepared,
    register_champion,
    write_model,
)
from tests.serving.http.score_load import score_load

SWAPS = 50
CLIENTS = 3
POLL_SECONDS = 0.05


@dataclass(frozen=True)
class SwappingShop:
    """A shop on a server of its own, and two registered versions with the points that each gives."""

    shop: Shop
    points: dict[str, int]

    def make_champion(self, version: str) -> None:
        settings = self.shop.settings
        client = MlflowClient(tracking_uri=settings.mlflow_uri, registry_uri=settings.mlflow_uri)
        client.set_registered_model_alias(settings.model_name, "champion", version)


def shifted(by: float) -> Row:
    """The model's document with all log-odds moved, so that every customer gets other points."""
    document = a_model_document("scorecard")
    calibration = document["calibration"]
    return {
        **document,
        "calibration": {**calibration, "log_odds": [odds + by for odds in calibration["log_odds"]]},
    }


@pytest.fixture
def swapping_shop(tmp_path: Path) -> Iterator[SwappingShop]:
    home = tmp_path / "home"
    settings = replace(
        Settings.from_env({"BONITAS_HOME": str(home)}), model_poll_seconds=POLL_SECONDS, workers=1
    )
    home.mkdir()
    keys = prepared(settings)
    folders = [write_model(tmp_path / f"model-{by}", shifted(by)) for by in (-1.0, 0.0)]
    versions = [register_champion(settings, folder) for folder in folders]
    with running_server(settings, port=free_port(), log_file=home / "server.log") as server:
        shop = opened(server, settings, keys)
        shop.customer("regular")
        answer = shop.score("o-first", "regular")
        assert answer["model"]["version"] == versions[-1]
        store = open_store(settings.database_url)
        try:
            with store.reading() as tx:
                logged = decision_of(tx, answer["decision_id"])
        finally:
            store.close()
        assert logged is not None
        assert logged.features is not None
        points = {
            version: load_model(ModelFiles.read(folder), name=settings.model_name, version=version)
            .score(list(logged.features))
            .points
            for version, folder in zip(versions, folders, strict=True)
        }
        assert answer["score"] == points[versions[-1]]
        assert len(set(points.values())) == 2
        yield SwappingShop(shop, points)
        shop.client.close()


def wait_until_decided_by(shop: Shop, version: str, label: str) -> None:
    """Until a decision of our own names the version; a service that never takes it over fails the test."""
    deadline = time.monotonic() + 20
    attempt = 0
    while time.monotonic() < deadline:
        answer = shop.score(f"o-{label}-{attempt}", "regular", amount_cents=1, vat_cents=0)
        if answer["model"]["version"] == version:
            return
        attempt += 1
        time.sleep(0.01)
    pytest.fail(f"the service did not take over version {version}")


@pytest.mark.slow
def test_fifty_swaps_under_load_fail_no_request_and_every_decision_names_the_model_that_scored_it(
    swapping_shop: SwappingShop, tmp_path: Path
) -> None:
    shop, points = swapping_shop.shop, swapping_shop.points
    versions = list(points)
    # So small that the limit is never the reason for an answer.
    body = order_body("any", "regular", amount_cents=1, vat_cents=0)
    with score_load(shop, tmp_path, clients=CLIENTS, body=body) as load:
        for swap in range(SWAPS):
            version = versions[swap % 2]
            swapping_shop.make_champion(version)
            wait_until_decided_by(shop, version, f"swap-{swap}")
    answers = [answer for answered in load.answers_by_client for answer in answered]
    assert len(answers) > 5 * SWAPS
    assert {answer["status"] for answer in answers} == {200}
    assert {answer["outcome"] for answer in answers} <= {"approved", "declined"}
    for answered in load.answers_by_client:
        named = [answer["model"]["version"] for answer in answered]
        changes = sum(one != other for one, other in pairwise(named))
        assert changes >= SWAPS // 2, "the load ran across the swaps"
    for answer in answers:
        assert answer["score"] == points[answer["model"]["version"]], answer
    store = open_store(shop.settings.database_url)
    try:
        registry = ModelRegistry(shop.settings.mlflow_uri, shop.settings.artifact_root)
        for answer in answers[:: max(1, len(answers) // 20)]:
            assert replay(store, registry, answer["decision_id"]).is_identical
    finally:
        store.close()
