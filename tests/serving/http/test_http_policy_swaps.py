"""Policies come and go under load: no request fails, and each decision was made under the policy it names."""

import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from serving.checkout.replay import replay
from serving.in_force.model_watch import ModelRegistry
from serving.in_force.policy_activation import activate, history, roll_back
from serving.process.server import running_server
from serving.process.settings import Settings
from serving.store.open_store import open_store
from serving.store.store import Store, now_ms
from tests.serving.http.conftest import (
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
from tests.serving.policy_versions import a_policy_file, a_policy_of_newer_code, a_policy_text

SWAPS = 20
CLIENTS = 2
LENIENT = {"cut_off_known": 100, "cut_off_stranger": 100, "minimum_order_cents": 1}
STRICT = {**LENIENT, "cut_off_known": 999, "cut_off_stranger": 999}
WITHIN_SECONDS = 30.0


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Shop, Store]]:
    """A shop that began under a lenient policy, and its store."""
    home = tmp_path_factory.mktemp("policies")
    policy_file = home / "lenient.toml"
    policy_file.write_text(a_policy_text("lenient", **LENIENT))
    settings = Settings.from_env(
        {
            "BONITAS_HOME": str(home),
            "BONITAS_MODEL_POLL_SECONDS": "0.05",
            "BONITAS_POLICY": str(policy_file),
        }
    )
    keys = prepared(settings)
    store = open_store(settings.database_url)
    register_champion(settings, write_model(home / "credit", a_model_document("scorecard")))
    with running_server(settings, port=free_port(), log_file=home / "server.log") as server:
        shop = opened(server, settings, keys)
        shop.customer("regular")
        yield shop, store
        shop.client.close()
    store.close()


def put(store: Store, version: str, **numbers: int) -> None:
    activate(store, a_policy_file(version, **numbers), by="Ann", reason="a test", clock=now_ms)


def wait_until_decided_under(shop: Shop, version: str, label: str) -> None:
    """Until a decision of our own names the version; a service that never takes it over fails the test."""
    deadline = time.monotonic() + WITHIN_SECONDS
    attempt = 0
    while time.monotonic() < deadline:
        answer = shop.score(f"o-{label}-{attempt}", "regular", amount_cents=1, vat_cents=0)
        if answer["policy_version"] == version:
            return
        attempt += 1
        time.sleep(0.01)
    pytest.fail(f"the service did not take over policy {version}")


@pytest.mark.slow
def test_twenty_policies_under_load_fail_no_request_and_each_explains_the_decisions_that_name_it(
    followed: tuple[Shop, Store], tmp_path: Path
) -> None:
    shop, store = followed
    wait_until_decided_under(shop, "lenient", "first")
    body = order_body("any", "regular", amount_cents=1, vat_cents=0)
    with score_load(shop, tmp_path, clients=CLIENTS, body=body) as load:
        for swap in range(SWAPS):
            if swap % 2 == 0:
                version = f"strict-{swap}"
                put(store, version, **STRICT)
            else:
                version = roll_back(store, by="Bob", reason="a test", clock=now_ms).version
            wait_until_decided_under(shop, version, f"swap-{swap}")
    versions = [activation.version for activation in history(store)]
    assert versions[:4] == ["lenient", "strict-0", "lenient", "strict-2"]
    assert len(versions) == SWAPS + 1
    answers = [answer for answered in load.answers_by_client for answer in answered]
    assert {answer["status"] for answer in answers} == {200}
    for answer in answers:
        expected = "approved" if answer["policy_version"] == "lenient" else "declined"
        assert answer["outcome"] == expected, answer
        assert 100 <= answer["score"] < 999, "the cut-off alone explains the outcome"
    for answered in load.answers_by_client:
        named = [answer["policy_version"] for answer in answered]
        # Each client saw the policies in the order of the history, though perhaps not every one of them.
        seen = [named[0], *(other for one, other in pairwise(named) if one != other)]
        later = iter(versions)
        assert all(version in later for version in seen), seen
        assert len(seen) > SWAPS // 2, "the load ran across the swaps"
    registry = ModelRegistry(shop.settings.mlflow_uri, shop.settings.artifact_root)
    replayed = {answer["policy_version"]: answer["decision_id"] for answer in answers}
    assert len(replayed) > SWAPS // 4
    for decision_id in replayed.values():
        assert replay(store, registry, decision_id).is_identical
    assert "bonitas_policy_not_usable 0.0" in shop.get("/metrics").text


def test_under_a_policy_that_this_code_cannot_read_nobody_is_judged_until_another_is_in_force(
    tmp_path: Path,
) -> None:
    settings = Settings.from_env({"BONITAS_HOME": str(tmp_path), "BONITAS_MODEL_POLL_SECONDS": "0.1"})
    keys = prepared(settings)
    store = open_store(settings.database_url)
    activate(store, a_policy_of_newer_code("new"), by="Ann", reason="a test", clock=now_ms)
    with running_server(settings, port=free_port(), log_file=tmp_path / "server.log") as server:
        shop = opened(server, settings, keys)
        shop.customer("minor", birth_date="2020-01-01")
        answer = shop.score("o-1", "minor")
        assert (answer["outcome"], answer["decision_id"]) == ("unavailable", None)
        assert "card" in answer["alternatives"]
        assert shop.post("/v1/precheck", order_body("o-1", "minor")).status_code == 503
        assert "bonitas_policy_not_usable 1.0" in shop.get("/metrics").text
        put(store, "good")
        deadline = time.monotonic() + WITHIN_SECONDS
        while answer["outcome"] == "unavailable" and time.monotonic() < deadline:
            answer = shop.score("o-1", "minor")
        assert (answer["outcome"], answer["policy_version"]) == ("declined", "good")
        shop.client.close()
    store.close()
    assert "policy new is in force, but this code cannot read it" in (tmp_path / "server.log").read_text()
