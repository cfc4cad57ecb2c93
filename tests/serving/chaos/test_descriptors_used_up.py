"""More clients than a process has descriptors for: whoever says something is answered all the same."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.proof_size import IS_LONG
from tests.serving.chaos.conftest import home_settings, served, with_models
from tests.serving.chaos.faults import idle_connections
from tests.serving.chaos.run_under_load import run_under_load
from tests.serving.chaos.service_processes import Service

pytestmark = [
    pytest.mark.long_proof,
    pytest.mark.skipif(not IS_LONG, reason="a minute; `test_idle_connections.py` shows the same in short"),
]

DESCRIPTORS = 128


def test_idle_clients_use_up_all_connections_and_who_asks_is_answered(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    settings = home_settings(tmp_path / "home")
    service = Service(settings, descriptors=DESCRIPTORS)
    with (
        served(service, with_models(settings, tmp_path / "models")) as shop,
        run_under_load(shop, "idle", tmp_path, record_property, per_second=20) as run,
    ):
        run.usual()
        with idle_connections(service.port, 4 * DESCRIPTORS):
            run.mark("crowded")
            time.sleep(20)
            assert run.outcomes_since_mark().keys() == {"approved", "declined"}
        run.wait_until_decided_again()
        run.judge()
