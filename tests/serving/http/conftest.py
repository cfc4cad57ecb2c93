"""A real server process on a port of its own, with a small real model in a real registry."""

import json
import re
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from data_contracts.merchants import MERCHANTS
from features.alias_lines import CHAMPIONS_FOLDER
from features.feature_sets import INVOICE_ELIGIBILITY
from features.model_files import ModelFiles
from serving.process.server import RunningServer, running_server
from serving.process.settings import Settings
from serving.store.api_keys import create_key
from serving.store.ledger import append
from serving.store.migrate import migrate
from serving.store.open_store import open_store
from serving.store.store import now_ms
from tests.builders import DAY, a_customer, a_merchant
from tests.empty_registry import with_empty_registry
from tests.serving.http.published_contract import PublishedContract
from training.registry.champion_history import ChampionHistory

Row = dict[str, Any]

SHORT_BOUNDS = {"BONITAS_HEAD_SECONDS": "1.5", "BONITAS_BODY_SECONDS": "1.5"}
"""What a test of a slow client waits for."""

ONLY_FOR_TRAINING = {"matplotlib", "optuna", "pandas", "sklearn", "sqlalchemy"}
"""Packages that take seconds to load. MLflow has no library of its own, but comes with SQLAlchemy's."""


def a_booster_text() -> str:
    """Log-odds that rise with late payments; all other features hardly matter."""
    import lightgbm

    random = np.random.default_rng(7)
    names = INVOICE_ELIGIBILITY.names
    values = random.integers(0, 4, size=(2000, len(names))).astype(np.float64)
    late = values[:, names.index("late_payment_days_sum_730d")]
    label = (late + random.normal(0, 0.3, len(late)) > 0.5).astype(int)
    booster = lightgbm.train(
        {
            "objective": "binary",
            "verbosity": -1,
            "num_leaves": 8,
            "seed": 1,
            "num_threads": 1,
            "deterministic": True,
        },
        lightgbm.Dataset(values, label),
        num_boost_round=30,
    )
    return str(booster.model_to_string())


def a_model_document(kind: str = "lightgbm", **changes: Any) -> Row:
    names = INVOICE_ELIGIBILITY.names
    document: Row = {
        "format": 1,
        "model_name": "invoice-eligibility",
        "kind": kind,
        "feature_set": {"name": "invoice-eligibility", "version": INVOICE_ELIGIBILITY.version},
        "features": list(names),
        "calibration": {"raw_log_odds": [-3.0, 0.0, 3.0], "log_odds": [-5.0, -2.0, 1.0]},
        "score_scale": {"reference_points": 600, "reference_odds": 30, "points_to_double_odds": 40},
        "typical_values": dict.fromkeys(names, 0.0),
    }
    if kind == "lightgbm":
        document["booster_file"] = "booster.txt"
    else:
        document["scorecard"] = {
            "intercept": -2.5,
            "features": [
                {
                    "name": name,
                    "cut_points": [0.0, 2.0] if name == "late_payment_days_sum_730d" else [],
                    "step_weights": [3.0, 1.0] if name == "late_payment_days_sum_730d" else [],
                    "missing_weight": 0.25,
                    "mean_contribution": 0.1,
                }
                for name in names
            ],
        }
    return {**document, **changes}


def write_model(directory: Path, document: Row) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "model.json").write_text(json.dumps(document))
    if document["kind"] == "lightgbm":
        (directory / "booster.txt").write_text(a_booster_text())
    return directory


def register_champion(
    settings: Settings, model_directory: Path, *, before_it_is_champion: Callable[[], object] = lambda: None
) -> str:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    client = MlflowClient(tracking_uri=settings.mlflow_uri, registry_uri=settings.mlflow_uri)
    try:
        client.create_registered_model(settings.model_name)
    except MlflowException:
        assert client.get_registered_model(settings.model_name)
    version = register_version(settings, model_directory)
    before_it_is_champion()
    client.set_registered_model_alias(settings.model_name, "champion", version)
    return version


def register_version(settings: Settings, model_directory: Path, **tags: str) -> str:
    """A version of a registered model, with the tags and the line that every registration leaves."""
    from mlflow import MlflowClient

    files = ModelFiles.read(model_directory).fingerprint
    client = MlflowClient(tracking_uri=settings.mlflow_uri, registry_uri=settings.mlflow_uri)
    version = client.create_model_version(
        settings.model_name, source=model_directory.as_uri(), tags={**tags, **files.to_tags()}
    ).version
    with ChampionHistory(settings.artifact_root / CHAMPIONS_FOLDER).writing(settings.model_name) as history:
        history.note_registered(str(version), files, datetime.now(UTC))
    return str(version)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def processes_below(process_id: int) -> list[int]:
    """A process and all that it started, as Linux lists them."""
    below = [process_id]
    for parent in below:
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        below += [int(child) for child in children]
    return below


def is_running(process_id: int) -> bool:
    """Whether a process lives; one that only waits to be noticed does not."""
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def packages_with_libraries(process_id: int) -> set[str]:
    """Of which installed packages a process has loaded a compiled library, as Linux lists its memory."""
    loaded = Path(f"/proc/{process_id}/maps").read_text()
    return set(re.findall(r"/site-packages/(\w+)/", loaded))


def rfc3339(ms: int) -> str:
    from data_contracts.instants import rfc3339 as as_text

    return as_text(ms)


def as_event(contract: str, row: Row) -> Row:
    """A built row as POST /v1/events takes it."""
    instants = {
        name
        for name, value in row.items()
        if name.endswith("_at") and isinstance(value, int) and name != "recorded_at"
    }
    event = {name: rfc3339(value) if name in instants else value for name, value in row.items()}
    del event["recorded_at"]
    return {"contract": contract, **event}


def order_body(order_id: str, customer_id: str, **changes: Any) -> Row:
    address = {
        "name": "Erika Mustermann",
        "street": "Heidestraße",
        "house_number": "17",
        "postal_code": "51147",
        "city": "Köln",
        "country": "DE",
    }
    return {
        "order_id": order_id,
        "customer_id": customer_id,
        "merchant_id": "m1",
        "amount_cents": 5_000,
        "vat_cents": 798,
        "currency": "EUR",
        "kind": "goods",
        "item_category": "clothing",
        "delivery": dict(address),
        "billing": dict(address),
        "contact": {"email": "erika@example.com", "phone": "+49 30 1234567"},
        **changes,
    }


@dataclass(frozen=True)
class Shop:
    """Speaks to a running service as a checkout, as two merchants and as the back office."""

    server: RunningServer
    settings: Settings
    checkout_key: str
    merchant_key: str
    other_merchant_key: str
    ledger_key: str
    client: httpx.Client

    def usual_key(self, path: str) -> str:
        """The back office feeds the ledger, a checkout does the rest."""
        return self.ledger_key if path.startswith("/v1/events") else self.checkout_key

    def post(self, path: str, body: Any = None, *, key: str | None = None, **headers: str) -> httpx.Response:
        return self.client.post(
            path,
            json=body,
            headers={
                "Authorization": f"Bearer {key or self.usual_key(path)}",
                **{name.replace("_", "-"): value for name, value in headers.items()},
            },
        )

    def get(self, path: str, *, key: str | None = None) -> httpx.Response:
        return self.client.get(path, headers={"Authorization": f"Bearer {key or self.usual_key(path)}"})

    def customer(self, customer_id: str, **changes: Any) -> None:
        at = now_ms() - 400 * DAY
        row = a_customer(customer_id, event_id=f"customer-{customer_id}", at=at, **changes)
        row["personal_data_confirmed_at"] = now_ms() - 10 * DAY
        self.events(as_event("customers", row))

    def events(self, *events: Row, key: str | None = None) -> list[Row]:
        answer = self.post("/v1/events", {"events": list(events)}, key=key)
        assert answer.status_code == 200, answer.text
        results: list[Row] = answer.json()["results"]
        assert all(result["status"] in {"accepted", "repeated"} for result in results), results
        return results

    def score(self, order_id: str, customer_id: str, **changes: Any) -> Row:
        answer = self.post("/v1/score", order_body(order_id, customer_id, **changes))
        assert answer.status_code == 200, answer.text
        document: Row = answer.json()
        return document


Keys = tuple[str, str, str, str]
"""Of a checkout, two merchants and the back office."""


def prepared(settings: Settings) -> Keys:
    """Tables, two merchants, four keys and an empty registry."""
    with_empty_registry(settings.home)
    migrate(settings.database_url)
    store = open_store(settings.database_url)
    at = now_ms() - 500 * DAY
    try:
        for name in ("m1", "m2"):
            row = a_merchant(name, event_id=f"merchant-{name}", at=at)
            del row["recorded_at"]
            with store.writing(name) as tx:
                append(tx, MERCHANTS, row, now_ms())
        keys = (
            create_key(store, name="shop", role="checkout", merchant_id=None, now_ms=now_ms()),
            create_key(store, name="m-one", role="merchant", merchant_id="m1", now_ms=now_ms()),
            create_key(store, name="m-two", role="merchant", merchant_id="m2", now_ms=now_ms()),
            create_key(store, name="back-office", role="ledger", merchant_id=None, now_ms=now_ms()),
        )
    finally:
        store.close()
    return keys


def opened(server: RunningServer, settings: Settings, keys: Keys) -> Shop:
    client = httpx.Client(
        base_url=server.url, timeout=20, event_hooks={"response": [PublishedContract().check]}
    )
    return Shop(server, settings, *keys, client)


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    home = tmp_path_factory.mktemp("home")
    return Settings.from_env({"BONITAS_HOME": str(home), "BONITAS_MODEL_POLL_SECONDS": "0.3", **SHORT_BOUNDS})


@pytest.fixture(scope="session")
def champion_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"), a_model_document())


@pytest.fixture(scope="session")
def shop(settings: Settings, champion_folder: Path) -> Iterator[Shop]:
    keys = prepared(settings)
    register_champion(settings, champion_folder)
    log_file = settings.home / "server.log"
    with running_server(settings, port=free_port(), log_file=log_file) as server:
        shop = opened(server, settings, keys)
        yield shop
        shop.client.close()
