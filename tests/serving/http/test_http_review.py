"""The fraud team over HTTP: who may see cases, and that a worker beside the service opens them."""

import os
import signal
import time
from collections.abc import Iterator

import pytest

from features.feature_sets import ORDER_RISK
from serving.process.server import running_server
from serving.process.settings import Settings
from serving.store.api_keys import create_key
from serving.store.open_store import open_store
from serving.store.store import now_ms
from tests.builders import an_order
from tests.serving.http.conftest import (
    ONLY_FOR_TRAINING,
    Shop,
    a_model_document,
    as_event,
    free_port,
    opened,
    packages_with_libraries,
    prepared,
    register_champion,
    write_model,
)

SECONDS_TO_SCREEN = 30.0


def a_risk_model_document() -> dict:
    """Fraud is likely where several customers share a device."""
    names = ORDER_RISK.names
    shared = "device_customer_count_ever"
    return {
        "format": 1,
        "model_name": "order-risk",
        "kind": "scorecard",
        "feature_set": {"name": "order-risk", "version": ORDER_RISK.version},
        "features": list(names),
        "calibration": {"raw_log_odds": [-9.0, 9.0], "log_odds": [-9.0, 9.0]},
        "score_scale": {"reference_points": 600, "reference_odds": 30, "points_to_double_odds": 40},
        "typical_values": dict.fromkeys(names, 0.0),
        "scorecard": {
            "intercept": -5.0,
            "features": [
                {
                    "name": name,
                    "cut_points": [1.0] if name == shared else [],
                    "step_weights": [6.0] if name == shared else [],
                    "missing_weight": 0.0,
                    "mean_contribution": 0.0,
                }
                for name in names
            ],
        },
    }


@pytest.fixture(scope="module")
def reviewed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Shop, str]]:
    """A shop with a worker beside it, and the fraud team's key."""
    home = tmp_path_factory.mktemp("review")
    settings = Settings.from_env({"BONITAS_HOME": str(home), "BONITAS_MODEL_POLL_SECONDS": "0.3"})
    keys = prepared(settings)
    store = open_store(settings.database_url)
    fraud_key = create_key(store, name="team", role="fraud", merchant_id=None, now_ms=now_ms())
    store.close()
    register_champion(settings, write_model(home / "credit", a_model_document("scorecard")))
    risk = Settings.from_env({"BONITAS_HOME": str(home), "BONITAS_MODEL": "order-risk"})
    register_champion(risk, write_model(home / "risk", a_risk_model_document()))
    with running_server(settings, port=free_port(), log_file=home / "server.log", with_worker=True) as server:
        shop = opened(server, settings, keys)
        yield shop, fraud_key
        shop.client.close()


def cases_about(shop: Shop, key: str, order_ids: set[str]) -> dict[str, dict]:
    deadline = time.monotonic() + SECONDS_TO_SCREEN
    while True:
        cases = shop.get("/v1/cases?limit=500", key=key).json()["cases"]
        found = {case["order_id"]: case for case in cases if case["order_id"] in order_ids}
        if set(found) == order_ids or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def test_an_approved_ring_reaches_the_queue_and_a_reviewer_stops_it(reviewed: tuple[Shop, str]) -> None:
    shop, key = reviewed
    for name in ("one", "two"):
        shop.customer(name)
        assert shop.score(f"o-{name}", name, device_id="ring")["outcome"] == "approved"
    cases = cases_about(shop, key, {"o-one", "o-two"})
    assert set(cases) == {"o-one", "o-two"}
    claimed = shop.post("/v1/cases/claim-next", key=key).json()
    assert (claimed["state"], claimed["reviewer"]) == ("claimed", "team")
    path = f"/v1/cases/{claimed['case_id']}"
    assert shop.post(f"{path}/note", {"note": "one device"}, key=key).status_code == 200
    stopped = shop.post(f"{path}/stop", key=key).json()
    assert (stopped["state"], stopped["verdict"]) == ("closed", "stop")
    assert shop.post(f"{path}/undo", key=key).json()["state"] == "claimed"
    shown = shop.get(path, key=key).json()
    assert [entry["action"] for entry in shown["history"]][-1] == "stop_undone"
    assert shown["screenings"][0]["outcome"] == "flagged"


def test_the_worker_has_loaded_nothing_that_only_training_needs(reviewed: tuple[Shop, str]) -> None:
    worker = reviewed[0].server.worker_process_id
    assert worker is not None
    assert not packages_with_libraries(worker) & ONLY_FOR_TRAINING


def test_a_worker_that_was_killed_is_started_anew_and_goes_on(reviewed: tuple[Shop, str]) -> None:
    shop, key = reviewed
    killed = shop.server.worker_process_id
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    deadline = time.monotonic() + SECONDS_TO_SCREEN
    while shop.server.worker_process_id == killed and time.monotonic() < deadline:
        shop.server.keep_worker()
        time.sleep(0.05)
    assert shop.server.worker_process_id != killed
    for name in ("four", "five"):
        shop.customer(name)
        shop.score(f"o-{name}", name, device_id="another-ring")
    assert set(cases_about(shop, key, {"o-four", "o-five"})) == {"o-four", "o-five"}


def test_nonsense_gets_a_problem_that_names_it(reviewed: tuple[Shop, str]) -> None:
    shop, key = reviewed
    assert shop.get("/v1/cases/case_nothing", key=key).status_code == 404
    assert shop.get("/v1/cases?state=lost&limit=0&colour=red", key=key).json()["errors"] == [
        {"pointer": "/colour", "detail": "there is no such parameter"},
        {"pointer": "/state", "detail": "state must be one of open, claimed, contacting_customer, closed"},
        {"pointer": "/limit", "detail": "limit must be from 1 to 500"},
    ]
    assert shop.post("/v1/cases/case_nothing/explode", key=key).status_code == 404
    assert shop.post("/v1/cases/case_nothing/claim", key=key).status_code == 404
    wrong = shop.post("/v1/cases/case_nothing/note", {"text": "x"}, key=key)
    assert (wrong.status_code, len(wrong.json()["errors"])) == (422, 2)


def test_checkouts_and_merchants_see_no_cases_and_the_fraud_team_decides_no_orders(
    reviewed: tuple[Shop, str],
) -> None:
    shop, key = reviewed
    for other in (shop.checkout_key, shop.merchant_key):
        assert shop.get("/v1/cases", key=other).status_code == 403
        assert shop.post("/v1/cases/claim-next", key=other).status_code == 403
    order = {"order_id": "o-x"}
    row = as_event("orders", an_order("o-y", "one", at=0))
    assert shop.post("/v1/events", row, key=key).status_code == 403
    assert shop.post("/v1/orders/o-one/confirm", key=key).status_code == 403
    shop.customer("three")
    from tests.serving.http.conftest import order_body

    assert shop.post("/v1/score", order_body("o-three", "three"), key=key).status_code == 403
    # The role is asked before the body is looked at.
    assert shop.post("/v1/score", order, key=key).status_code == 403
