"""The worker follows the store's policy while it runs."""

import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from serving import worker
from serving.in_force.model_watch import ModelRegistry
from serving.in_force.policy_activation import activate
from serving.in_force.scorer import ChampionModel
from serving.process.settings import Settings
from serving.store.store import Store, now_ms
from tests.builders import DAY, a_customer, a_merchant
from tests.serving.policy_versions import a_policy_file
from tests.serving.screening.test_order_review import HOUR, Team, a_model

WITHIN_SECONDS = 30.0


class OneRiskModel(ModelRegistry):
    """A registry with one model for order risk."""

    def version_under(self, model_name: str, alias: str) -> str | None:
        return "7" if (model_name, alias) == ("order-risk", "champion") else None

    def load(self, model_name: str, version: str) -> ChampionModel:  # noqa: ARG002 - it knows one
        return a_model()


def looks(store: Store) -> list[tuple[str, str]]:
    """Policy version and outcome of every look that the worker took."""
    with store.reading() as tx:
        rows = tx.execute("SELECT policy_version, outcome FROM screenings")
    return [(str(version), str(outcome)) for version, outcome in rows]


def wait_for_a_look_under(team: Team, version: str) -> None:
    """Until an order of ours was looked at under the version."""
    deadline = time.monotonic() + WITHIN_SECONDS
    number = 0
    while version not in {seen for seen, _ in looks(team.store)}:
        if time.monotonic() > deadline:
            pytest.fail(f"the worker did not take over policy {version}")
        team.now = now_ms()
        team.approved(f"o-{version}-{number}", "c1", device_id=f"device-{number}")
        number += 1
        time.sleep(0.1)


def test_the_worker_flags_by_the_policy_that_was_put_in_force_while_it_ran(
    store: Store, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "ModelRegistry", OneRiskModel)
    lenient = a_policy_file("lenient", flag_from_per_mille=1000, sample_per_mille=0)
    strict = a_policy_file("strict", flag_from_per_mille=1, sample_per_mille=0)
    activate(store, lenient, by="Ann", reason="a test", clock=now_ms)
    settings = replace(
        Settings.from_env({"BONITAS_HOME": str(tmp_path)}),
        database_url=database_url,
        model_poll_seconds=0.05,
    )
    team = Team(store, lenient.policy, now=now_ms() - HOUR)
    team.event("merchants", a_merchant(at=team.now - 500 * DAY))
    team.event("customers", a_customer("c1", at=team.now - 400 * DAY))
    stopped = threading.Event()
    running = threading.Thread(target=worker.work, args=(settings, stopped))
    running.start()
    try:
        wait_for_a_look_under(team, "lenient")
        activate(store, strict, by="Ann", reason="a test", clock=now_ms)
        wait_for_a_look_under(team, "strict")
    finally:
        stopped.set()
        running.join()
    assert set(looks(store)) == {("lenient", "clear"), ("strict", "flagged")}
    assert team.open_cases()
