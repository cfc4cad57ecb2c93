"""The faults that tell most, one after the other under one load; `make test-chaos` has each, and more."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.serving.chaos.faults import killed, sqlite_locked, written_no_further
from tests.serving.chaos.run_under_load import ServedShop, run_under_load


@pytest.mark.slow
def test_whatever_is_killed_locked_or_full_each_client_is_told_what_stands(
    sqlite_shop: ServedShop, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    service = sqlite_shop.service
    with run_under_load(sqlite_shop, "short", tmp_path, record_property, per_second=10) as run:
        run.usual(1)
        worker = service.worker_process()
        assert worker is not None
        killed(worker)
        with sqlite_locked(sqlite_shop.store_url):
            time.sleep(2.5)
            assert set(run.outcomes_since_mark()) <= {"no_store", "approved", "declined"}
        with written_no_further(*service.api_processes()):
            run.mark("full")
            time.sleep(0.5)
            assert run.outcomes_since_mark().keys() == {"no_store"}
        killed(*service.api_processes())
        run.wait_until_decided_again()
        run.judge(longest_outage_s=20)
