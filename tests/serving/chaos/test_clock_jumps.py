"""The wall clock of all processes jumps and comes back under load: each order is looked at once."""

import os
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from data_contracts.instants import DAY_MS, HOUR_MS
from tests.proof_size import IS_LONG
from tests.serving.chaos.conftest import home_settings, served, with_models
from tests.serving.chaos.run_under_load import ServedShop, run_under_load
from tests.serving.chaos.service_processes import REPOSITORY, Service

pytestmark = [
    pytest.mark.long_proof,
    pytest.mark.skipif(
        not IS_LONG, reason="minutes; `test_clock_jumps.py` of the store shows the same in short"
    ),
]

SHIFTED = """
import mmap, os, struct, time

with open(os.environ["SHIFTED_CLOCK_FILE"], "rb") as file:
    ahead = mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ)
time_ns = time.time_ns
time.time_ns = lambda: time_ns() + struct.unpack("<q", ahead)[0]
time.time = lambda: time.time_ns() / 1e9
"""
"""Python runs it at its start where it lies on its path as `sitecustomize`: there is no other way into a
process that is started as an operator starts it. The file holds how many nanoseconds the clock is ahead. The
clock that only moves on is left alone, as a jump of the machine's clock leaves it."""


@pytest.fixture(scope="module")
def shifted_shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ServedShop, Path]]:
    """A service whose clock is as far ahead as a file says, and that file."""
    folder = tmp_path_factory.mktemp("shifted")
    clock = folder / "clock"
    clock.write_bytes(bytes(8))
    settings = home_settings(folder / "home")
    (folder / "site").mkdir()
    (folder / "site" / "sitecustomize.py").write_text(SHIFTED)
    path = os.pathsep.join([str(folder / "site"), str(REPOSITORY)])
    environ = {"PYTHONPATH": path, "SHIFTED_CLOCK_FILE": str(clock)}
    with served(Service(settings, environ=environ), with_models(settings, folder / "models")) as shop:
        yield shop, clock


def jump(clock: Path, ahead_ms: int) -> None:
    """In place: the processes have the file in their memory."""
    with clock.open("r+b") as file:
        file.write(struct.pack("<q", ahead_ms * 1_000_000))


@pytest.mark.parametrize(
    ("name", "ahead_ms"), [("back1h", -HOUR_MS), ("ahead1h", HOUR_MS), ("ahead3d", 3 * DAY_MS)]
)
def test_the_clock_jumps_and_comes_back(
    shifted_shop: tuple[ServedShop, Path],
    tmp_path: Path,
    record_property: Callable[[str, object], None],
    name: str,
    ahead_ms: int,
) -> None:
    shop, clock = shifted_shop
    with run_under_load(shop, name, tmp_path, record_property, per_second=20) as run:
        run.usual()
        jump(clock, ahead_ms)
        time.sleep(10)
        assert run.outcomes_since_mark().keys() == {"approved", "declined"}
        jump(clock, 0)
        run.wait_until_decided_again()
        run.judge()
