"""The release before this one and this one side by side on one store, migrated under it: nobody notices."""

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving.process.settings import Settings
from serving.store.open_store import open_store
from serving.store.schema_revisions import THIS_CODE
from serving.store.store import Store, now_ms
from serving.store.waiting_work import decisions_not_followed, due_work
from tests.measured_proofs import SIZE
from tests.proof_size import IS_LONG
from tests.serving.conftest import drop_postgresql, fresh_postgresql_url
from tests.serving.http.conftest import free_port, order_body

ROOT = Path(__file__).parents[3]
RELEASE_BEFORE = "60a4d0afebec588526e2796d7a6e9869b40860df"
"""The last commit whose code demands exactly revision 0010."""
SECONDS = 60.0
UP_WITHIN_SECONDS = 90.0
DONE_WITHIN_SECONDS = 60.0
PAUSE_SECONDS = 0.05

PREPARE = """
import json, os
from pathlib import Path
from serving.process.settings import Settings
from tests.serving.http.conftest import (
    a_model_document, as_event, prepared, register_champion, write_model,
)
from tests.serving.http.test_http_review import a_risk_model_document

settings = Settings.from_env(os.environ)
keys = prepared(settings)
register_champion(settings, write_model(settings.home / "credit", a_model_document("scorecard")))
risk = Settings.from_env({**os.environ, "BONITAS_MODEL": "order-risk"})
register_champion(risk, write_model(settings.home / "risk", a_risk_model_document()))
print(json.dumps(keys))
"""


@pytest.fixture(scope="module")
def release_before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code of the release before, as it was committed."""
    packed = subprocess.run(
        ["git", "-C", str(ROOT), "archive", RELEASE_BEFORE],  # noqa: S607 - where a person's git lies
        capture_output=True,
        check=False,
    )
    if packed.returncode:
        pytest.skip(f"the history here does not hold {RELEASE_BEFORE[:12]}: fetch it whole")
    folder = tmp_path_factory.mktemp("release-before")
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def environ_of(code: Path, settings: Settings) -> dict[str, str]:
    return {**os.environ, **settings.as_environ(), "PYTHONPATH": str(code)}


def ran(code: Path, settings: Settings, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        env=environ_of(code, settings),
        cwd=code,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def serving(code: Path, settings: Settings, log_file: Path) -> Iterator[str]:
    """`bonitas serve` of a release, service and worker, ended as an operator ends it."""
    port = free_port()
    with log_file.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "bonitas", "serve", "--port", str(port)],
            env=environ_of(code, settings),
            cwd=code,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until(lambda: is_ready(port), UP_WITHIN_SECONDS, f"ready: see {log_file}")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def wait_until(is_so: Callable[[], bool], within_seconds: float, what: str) -> None:
    until = time.monotonic() + within_seconds
    while not is_so():
        assert time.monotonic() < until, f"not {what}"
        time.sleep(0.1)


@dataclass
class Load:
    """A checkout that orders again and again, each time for another customer. wrong: what went wrong."""

    key: str
    ledger_key: str
    name: str
    outcomes: dict[str, str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    @contextmanager
    def at(self, url: str) -> Iterator[None]:
        ended = threading.Event()
        ordering = threading.Thread(target=self._order, args=(url, ended))
        ordering.start()
        try:
            yield
        finally:
            ended.set()
            ordering.join()

    def _order(self, url: str, ended: threading.Event) -> None:
        with httpx.Client(base_url=url, timeout=20) as client:
            while not ended.wait(PAUSE_SECONDS):
                name = f"{self.name}-{len(self.outcomes)}"
                try:
                    self._take(client, "/v1/events", self.ledger_key, {"events": [a_customer_event(name)]})
                    answer = self._take(
                        client, "/v1/score", self.key, order_body(f"order-{name}", name, device_id=name)
                    )
                except (httpx.HTTPError, AssertionError) as problem:
                    self.wrong.append(f"{name}: {problem!r}")
                    return
                self.outcomes[f"order-{name}"] = answer["outcome"]

    def _take(self, client: httpx.Client, path: str, key: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = client.post(path, json=body, headers={"Authorization": f"Bearer {key}"})
        document: dict[str, Any] = answer.json()
        assert answer.status_code == 200, document
        assert document.get("outcome") != "unavailable", document
        results = document.get("results", [])
        assert all(result["status"] == "accepted" for result in results), document
        return document


def a_customer_event(customer_id: str) -> dict[str, Any]:
    from tests.builders import DAY, a_customer
    from tests.serving.http.conftest import as_event

    row = a_customer(customer_id, event_id=f"customer-{customer_id}", at=now_ms() - 400 * DAY)
    # Else all of them would be one person, who shares one limit.
    row["family_name"] = "M" + "".join(
        chr(ord("a") + int(one)) if one.isdigit() else one for one in customer_id if one.isalnum()
    )
    row["personal_data_confirmed_at"] = now_ms() - 10 * DAY
    return as_event("customers", row)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def url_of_new_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'home' / 'bonitas.db'}"
        return
    server_url = request.getfixturevalue("postgresql_server")
    url = fresh_postgresql_url(server_url)
    yield url
    drop_postgresql(server_url, url)


@pytest.mark.slow
@pytest.mark.long_proof
@pytest.mark.skipif(not IS_LONG, reason="two minutes; part of `make test-long`")
def test_the_release_before_and_this_one_serve_one_store_side_by_side(
    release_before: Path,
    url_of_new_store: str,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    settings = Settings.from_env(
        {
            "BONITAS_HOME": str(tmp_path / "home"),
            "BONITAS_DATABASE_URL": url_of_new_store,
            "BONITAS_MODEL_POLL_SECONDS": "1",
        }
    )
    checkout, _, _, ledger = json.loads(ran(release_before, settings, "-c", PREPARE).splitlines()[-1])
    old, new = (Load(checkout, ledger, name) for name in ("old", "new"))
    logs = tmp_path / "logs"
    logs.mkdir()
    with serving(release_before, settings, logs / "old") as old_url, old.at(old_url):
        time.sleep(2)
        # Under the service and the worker of before, while they work.
        assert THIS_CODE.own in ran(ROOT, settings, "-m", "bonitas", "migrate")
        with serving(ROOT, settings, logs / "new") as new_url, new.at(new_url):
            time.sleep(SECONDS)
    with serving(ROOT, settings, logs / "new") as new_url, new.at(new_url):
        # Whoever has to go back for a while starts the release before on the store as it is now.
        with serving(release_before, settings, logs / "old") as old_url, old.at(old_url):
            time.sleep(SECONDS / 10)
        store = open_store(url_of_new_store)
        approved = [
            order_id
            for order_id, outcome in {**old.outcomes, **new.outcomes}.items()
            if outcome == "approved"
        ]
        try:
            wait_until(lambda: is_all_looked_at(store, set(approved)), DONE_WITHIN_SECONDS, "all looked at")
        finally:
            store.close()
    assert (old.wrong, new.wrong) == ([], [])
    store = open_store(url_of_new_store)
    with store.reading() as tx:
        kept = tx.execute("SELECT order_id, outcome FROM decisions")
        reserved = tx.execute("SELECT order_id FROM reservations")
        assert sorted(kept) == sorted({**old.outcomes, **new.outcomes}.items())
        assert sorted(order_id for (order_id,) in reserved) == sorted(approved_of(kept))
        assert tx.execute("SELECT kind, count(*) FROM outbox GROUP BY kind") == []
    store.close()
    assert Counter(old.outcomes.values())["approved"] > 0
    assert Counter(new.outcomes.values())["approved"] > 0
    for log in logs.iterdir():
        told = log.read_text()
        assert "Traceback" not in told, told
    record_property(
        SIZE, f"{len(old.outcomes)} orders to the release before, {len(new.outcomes)} to this one"
    )


def approved_of(kept: list[tuple[str, str]]) -> list[str]:
    return [order_id for order_id, outcome in kept if outcome == "approved"]


def is_all_looked_at(store: Store, order_ids: set[str]) -> bool:
    with store.reading() as tx:
        seen = {order_id for (order_id,) in tx.execute("SELECT order_id FROM screenings")}
        work = due_work(tx, now_ms())
        return order_ids <= seen and decisions_not_followed(tx) == 0 and work["look_first"].count == 0
