"""Faults of a service on SQLite under load: whatever breaks, each client is told what stands."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from serving.in_force.policy_activation import activate
from serving.store.open_store import open_store
from serving.store.store import now_ms
from tests.proof_size import IS_LONG
from tests.serving.chaos.faults import (
    killed,
    moved_away,
    sqlite_locked,
    written_no_further,
)
from tests.serving.chaos.run_under_load import ServedShop, run_under_load
from tests.serving.policy_versions import a_policy_file, a_policy_of_newer_code

pytestmark = [
    pytest.mark.long_proof,
    pytest.mark.skipif(not IS_LONG, reason="minutes; `test_faults_in_short.py` shows the same in short"),
]

PER_SECOND = 20.0
Record = Callable[[str, object], None]


@pytest.mark.parametrize("seconds", [8, 30])
def test_a_store_that_another_process_locks(
    sqlite_shop: ServedShop, tmp_path: Path, record_property: Record, seconds: int
) -> None:
    with run_under_load(
        sqlite_shop, f"lock{seconds}", tmp_path, record_property, per_second=PER_SECOND
    ) as run:
        run.usual()
        with sqlite_locked(sqlite_shop.store_url):
            time.sleep(seconds)
            assert set(run.outcomes_since_mark()) == {"no_store"}
        run.wait_until_decided_again()
        run.judge()


def test_the_process_that_answers_is_killed(
    sqlite_shop: ServedShop, tmp_path: Path, record_property: Record
) -> None:
    with run_under_load(sqlite_shop, "killapi", tmp_path, record_property, per_second=PER_SECOND) as run:
        run.usual()
        killed(*sqlite_shop.service.api_processes())
        run.wait_until_decided_again()
        run.judge(longest_outage_s=20)


def test_the_worker_is_killed(sqlite_shop: ServedShop, tmp_path: Path, record_property: Record) -> None:
    with run_under_load(sqlite_shop, "killworker", tmp_path, record_property, per_second=PER_SECOND) as run:
        run.usual()
        for _ in range(3):
            worker = sqlite_shop.service.worker_process()
            assert worker is not None
            killed(worker)
            while sqlite_shop.service.worker_process() is None:
                time.sleep(0.05)
            time.sleep(4)
        run.wait_until_decided_again()
        run.judge()


@pytest.mark.parametrize("whose", ["supervisor", "command"])
def test_a_parent_of_the_processes_is_killed_and_the_service_is_started_anew(
    sqlite_shop: ServedShop, tmp_path: Path, record_property: Record, whose: str
) -> None:
    service = sqlite_shop.service
    with run_under_load(sqlite_shop, f"kill{whose}", tmp_path, record_property, per_second=PER_SECOND) as run:
        run.usual()
        started = service.processes()
        assert service.process is not None
        killed(service.supervisor_process() if whose == "supervisor" else service.process.pid)
        # As whatever keeps services running does: once the command has ended, and at once.
        service.process.wait(30)
        service.start()
        service.wait_until_up()
        run.wait_until_decided_again()
        assert not set(started) & set(service.left_behind())
        run.judge(longest_outage_s=30)


def test_it_is_told_to_end_under_load_and_started_again(
    sqlite_shop: ServedShop, tmp_path: Path, record_property: Record
) -> None:
    service = sqlite_shop.service
    with run_under_load(sqlite_shop, "sigterm", tmp_path, record_property, per_second=PER_SECOND) as run:
        run.usual()
        assert service.process is not None
        os.kill(service.process.pid, signal.SIGTERM)
        service.wait_until_ended()
        service.start()
        service.wait_until_up()
        run.wait_until_decided_again()
        # Who connects while the next one starts waits for it; nobody whom the one before had is broken off.
        run.judge(longest_outage_s=30, unanswered={"refused", "answered late"})


def test_no_file_can_be_written_further(
    sqlite_shop: ServedShop, tmp_path: Path, record_property: Record
) -> None:
    service = sqlite_shop.service
    with run_under_load(sqlite_shop, "quota", tmp_path, record_property, per_second=PER_SECOND) as run:
        run.usual()
        worker = service.worker_process()
        assert worker is not None
        before = [*service.api_processes(), worker]
        with written_no_further(*before):
            run.mark("full")
            time.sleep(8)
            assert set(run.outcomes_since_mark()) == {"no_store"}
        run.wait_until_decided_again()
        assert before == [*service.api_processes(), service.worker_process()]
        run.judge()


def test_the_registry_is_gone_while_it_runs_and_when_a_process_starts(
    sqlite_shop: ServedShop, tmp_path: Path, record_property: Record
) -> None:
    service = sqlite_shop.service
    with run_under_load(sqlite_shop, "registry", tmp_path, record_property, per_second=PER_SECOND) as run:
        run.usual()
        with moved_away(service.settings.home / "mlflow.db") as registry:
            time.sleep(4)
            assert run.outcomes_since_mark().keys() == {"approved", "declined"}
            killed(*service.api_processes())
            while service.missing() != ["no_model"]:
                time.sleep(0.1)
            run.mark("without a model")
            time.sleep(4)
            # Who is too young needs no model to be declined.
            assert run.outcomes_since_mark().keys() == {"no_model", "declined"}
            assert not registry.exists(), "nobody makes it anew, empty"
        run.wait_until_decided_again()
        run.judge(longest_outage_s=20)


def test_the_policy_in_force_cannot_be_read_while_it_runs_and_when_a_process_starts(
    sqlite_shop: ServedShop, tmp_path: Path, record_property: Record
) -> None:
    service = sqlite_shop.service
    with (
        run_under_load(sqlite_shop, "policy", tmp_path, record_property, per_second=PER_SECOND) as run,
        closing(open_store(sqlite_shop.store_url)) as store,
    ):
        run.usual()
        activate(store, a_policy_of_newer_code("newer"), by="Ann", reason="a test", clock=now_ms)
        time.sleep(4)
        assert run.outcomes_since_mark().keys() == {"approved", "declined"}
        killed(*service.api_processes())
        while service.missing() != ["no_policy"]:
            time.sleep(0.1)
        run.mark("without a policy")
        time.sleep(4)
        assert run.outcomes_since_mark().keys() == {"no_policy"}
        activate(store, a_policy_file("readable"), by="Ann", reason="a test", clock=now_ms)
        run.wait_until_decided_again()
        run.judge(longest_outage_s=20)
