"""The disk of a whole home fills up under load and is emptied again."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.proof_size import IS_LONG
from tests.serving.chaos.conftest import home_settings, served, with_models
from tests.serving.chaos.run_under_load import run_under_load
from tests.serving.chaos.service_processes import Service
from tests.serving.faults.test_full_disk import fill, small_disk

__all__ = ["small_disk"]  # the fixture is used by its name

pytestmark = [
    pytest.mark.long_proof,
    pytest.mark.skipif(not IS_LONG, reason="a minute; `faults/test_full_disk.py` shows the same in short"),
]


def test_the_disk_is_full(
    small_disk: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    settings = home_settings(small_disk / "home")
    service = Service(settings)
    with (
        served(service, with_models(settings, tmp_path / "models")) as shop,
        run_under_load(shop, "full", tmp_path, record_property, per_second=20) as run,
    ):
        run.usual()
        processes = set(service.processes())
        filler = fill(small_disk)
        time.sleep(8)
        assert run.outcomes_since_mark()["no_store"]
        filler.unlink()
        run.wait_until_decided_again()
        assert processes == set(service.processes())
        run.judge()
