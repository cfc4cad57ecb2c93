import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from serving.in_force.policy_activation import POLICY_FILE
from serving.process.server import running_server
from serving.process.settings import Settings
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


@pytest.fixture(scope="module")
def bare_shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A service whose registry is empty."""
    home = tmp_path_factory.mktemp("bare")
    settings = Settings.from_env({"BONITAS_HOME": str(home), "BONITAS_MODEL_POLL_SECONDS": "0.2"})
    keys = prepared(settings)
    with running_server(settings, port=free_port(), log_file=home / "server.log") as server:
        shop = opened(server, settings, keys)
        yield shop
        shop.client.close()


def test_without_a_model_nobody_is_judged_but_a_minor_is_declined_until_a_champion_appears(
    bare_shop: Shop, tmp_path: Path
) -> None:
    assert missing_parts(bare_shop.client) == ["no_model"]
    assert bare_shop.client.get("/livez").status_code == 200
    bare_shop.customer("adult")
    bare_shop.customer("minor", birth_date="2020-01-01")
    answer = bare_shop.post("/v1/score", order_body("o-a", "adult"), Idempotency_Key="k").json()
    assert answer["outcome"] == "unavailable"
    assert answer["decision_id"] is None
    assert [reason["group"] for reason in answer["reasons"]] == ["technical"]
    assert "card" in answer["alternatives"]
    assert bare_shop.get("/v1/orders/o-a").status_code == 404
    minor = bare_shop.score("o-m", "minor")
    assert (minor["outcome"], minor["reasons"][0]["code"]) == ("declined", "under_age")

    unusable = a_model_document("scorecard", feature_set={"name": "invoice-eligibility", "version": "old"})
    register_champion(bare_shop.settings, write_model(tmp_path / "old", unusable))
    assert bare_shop.score("o-a", "adult")["outcome"] == "unavailable"

    right = a_model_document("scorecard")
    file = write_model(tmp_path / "new", right) / "model.json"
    register_champion(bare_shop.settings, file.parent, before_it_is_champion=lambda: file.write_text("{}"))
    eventually(lambda: '"model_file_differs"' in (bare_shop.settings.home / "server.log").read_text())
    for number in range(3):
        refused = bare_shop.score(f"o-{number}", "adult")
        assert (refused["outcome"], refused["reasons"][0]["code"]) == ("unavailable", "no_model")
    assert 'bonitas_model_not_usable{model="invoice-eligibility"} 1.0' in metrics(bare_shop)
    assert 'bonitas_model_not_usable{model="order-risk"} 1.0' in metrics(bare_shop)
    write_model(file.parent, right)
    eventually(lambda: bare_shop.score("o-again", "adult")["outcome"] != "unavailable")
    approved = bare_shop.post("/v1/score", order_body("o-a", "adult"), Idempotency_Key="k").json()
    assert approved["outcome"] == "approved"
    assert approved["model"]["version"] == "2"
    assert missing_parts(bare_shop.client) == []
    assert 'bonitas_model_not_usable{model="invoice-eligibility"} 0.0' in metrics(bare_shop)


def metrics(shop: Shop) -> str:
    return shop.client.get("/metrics").text


def eventually(found: Callable[[], bool]) -> None:
    """Until it is so; what never happens fails the test."""
    deadline = time.monotonic() + 60
    while not found():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.1)


def missing_parts(client: httpx.Client) -> list[str]:
    """What the server says that it lacks to decide."""
    answer = client.get("/readyz")
    if answer.status_code == 200:
        return []
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert document["type"] == "urn:bonitas:problem:not-ready"
    assert all(part["reason"] for part in document["missing"])
    return [part["code"] for part in document["missing"]]


def wait_until_missing(client: httpx.Client, codes: list[str]) -> None:
    deadline = time.monotonic() + 30
    while missing_parts(client) != codes:
        assert time.monotonic() < deadline, missing_parts(client)
        time.sleep(0.02)


def test_without_store_policy_and_model_it_starts_and_each_is_taken_once_it_is_there(
    tmp_path: Path,
) -> None:
    file = tmp_path / "store" / "x.db"
    policy_file = tmp_path / "policy.toml"
    policy_file.write_bytes(b"\xff is no policy")
    settings = Settings.from_env(
        {
            "BONITAS_HOME": str(tmp_path),
            "BONITAS_DATABASE_URL": f"sqlite:///{file}",
            "BONITAS_POLICY": str(policy_file),
            "BONITAS_MODEL_POLL_SECONDS": "0.2",
        }
    )
    with (
        running_server(settings, port=free_port(), log_file=tmp_path / "server.log") as server,
        httpx.Client(base_url=server.url, headers={"Authorization": "Bearer any"}) as client,
    ):
        assert missing_parts(client) == ["no_store", "no_policy", "no_model"]
        assert [part.split(":")[0] for part in server.missing_parts()] == missing_parts(client)
        assert reason_of(client) == "no_store"
        assert client.post("/v1/score", json={}).status_code == 422
        assert client.get("/v1/orders/o").status_code == 503
        # A registry that is not there is not made anew, empty: no model would stand in it.
        assert not (tmp_path / "mlflow.db").exists()

        file.parent.mkdir()
        key = prepared(settings)[0]
        client.headers["Authorization"] = f"Bearer {key}"
        wait_until_missing(client, ["no_policy", "no_model"])
        assert reason_of(client) == "no_policy"
        policy_file.write_text(POLICY_FILE.read_text())
        wait_until_missing(client, ["no_model"])
        assert client.get("/v1/orders/o").status_code == 404

        # What was moved away is not the store any more, though SQLite would go on writing to it.
        moved = file.parent.rename(tmp_path / "moved")
        wait_until_missing(client, ["no_store", "no_model"])
        assert client.get("/v1/orders/o").status_code == 503
        assert reason_of(client) == "no_store"
        moved.rename(file.parent)
        wait_until_missing(client, ["no_model"])
        assert client.get("/v1/orders/o").status_code == 404


def reason_of(client: httpx.Client) -> str:
    answer = client.post("/v1/score", json=order_body("o", "c"))
    assert (answer.status_code, answer.json()["outcome"]) == (200, "unavailable")
    return str(answer.json()["reasons"][0]["code"])
