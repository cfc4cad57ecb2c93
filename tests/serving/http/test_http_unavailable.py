from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.server import running_server
from serving.settings import Settings
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
    register_champion(bare_shop.settings, write_model(tmp_path / "new", a_model_document("scorecard")))
    for _ in range(200):
        approved = bare_shop.post("/v1/score", order_body("o-a", "adult"), Idempotency_Key="k").json()
        if approved["outcome"] != "unavailable":
            break
    assert approved["outcome"] == "approved"
    assert approved["model"]["version"] == "2"


def test_without_a_store_the_answer_is_unavailable_and_other_endpoints_say_so(tmp_path: Path) -> None:
    settings = Settings.from_env(
        {"BONITAS_HOME": str(tmp_path), "BONITAS_DATABASE_URL": f"sqlite:///{tmp_path}/nowhere/x.db"}
    )
    with running_server(settings, port=free_port(), log_file=tmp_path / "server.log") as server:
        import httpx

        with httpx.Client(base_url=server.url, headers={"Authorization": "Bearer any"}) as client:
            answer = client.post("/v1/score", json=order_body("o", "c"))
            assert (answer.status_code, answer.json()["outcome"]) == (200, "unavailable")
            assert answer.json()["reasons"][0]["code"] == "no_store"
            assert client.post("/v1/score", json={}).status_code == 422
            assert client.get("/v1/orders/o").status_code == 503
