"""A full disk ends no process: the checkout goes on without us until there is room."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from serving.process.server import running_server
from serving.process.settings import Settings
from tests.proof_size import IS_LONG
from tests.serving.http.conftest import (
    Shop,
    a_model_document,
    free_port,
    opened,
    prepared,
    processes_below,
    register_champion,
    write_model,
)
from tests.serving.http.test_http_unavailable import wait_until_missing

DISK_BYTES = 24 * 1024 * 1024
TIMEOUT_S = 5.0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(disk)]
    try:
        mounted = subprocess.run(mounting, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no `mount` here")
    if mounted.returncode != 0:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    try:
        yield disk
    finally:
        unmounting = ["umount", "--lazy", str(disk)]
        subprocess.run(unmounting, check=True)


def fill(disk: Path) -> Path:
    """Leave no byte free."""
    filler = disk / "filler"
    with filler.open("ab", buffering=0) as file:
        for size in (64 * 1024, 4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return filler


def answered(shop: Shop, order_id: str) -> str:
    """The outcome, or the code of why there is none; within the server's own time-out."""
    began = time.monotonic()
    document = shop.score(order_id, "adult")
    assert time.monotonic() - began < TIMEOUT_S
    outcome: str = document["outcome"]
    return outcome if outcome != "unavailable" else document["reasons"][0]["code"]


def serving_process(shop: Shop) -> int:
    """Of the process that answers."""
    return next(
        child
        for child in processes_below(shop.server.process_id)
        if b"_bentoml_impl.worker.service" in Path(f"/proc/{child}/cmdline").read_bytes()
    )


def wait_until_up(shop: Shop, *, other_than: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if serving_process(shop) != other_than and shop.client.get("/livez").status_code == 200:
                return
        except (httpx.TransportError, StopIteration, FileNotFoundError):
            pass
        time.sleep(0.1)
    pytest.fail("it did not start again")


@pytest.mark.long_proof
def test_on_a_full_disk_the_service_lives_starts_again_and_decides_once_there_is_room(
    small_disk: Path, tmp_path: Path
) -> None:
    home = small_disk / "home"
    home.mkdir()
    settings = Settings.from_env({"BONITAS_HOME": str(home), "BONITAS_MODEL_POLL_SECONDS": "0.3"})
    keys = prepared(settings)
    register_champion(settings, write_model(tmp_path / "model", a_model_document("scorecard")))
    with running_server(
        settings, port=free_port(), log_file=small_disk / "server.log", with_worker=True
    ) as server:
        shop = opened(server, settings, keys)
        shop.customer("adult")
        assert answered(shop, "before") == "approved"
        process, worker = serving_process(shop), server.worker_process_id
        filler = fill(small_disk)
        answers = {answered(shop, f"full-{number}") for number in range(50)}
        assert answers <= {"approved", "no_store"}
        assert "no_store" in answers
        for method in ("GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "POST"):
            # Each is a new series of the metrics, and has another status on another path.
            for path in ("/livez", "/readyz", "/metrics", "/v1/openapi.json", "/none", "/console/sign-in"):
                shop.client.request(method, path)
        assert shop.client.get("/livez").status_code == 200
        wait_until_missing(shop.client, ["no_store"])
        assert "bonitas_requests_total" in shop.client.get("/metrics").text
        assert serving_process(shop) == process
        if IS_LONG:
            os.kill(process, signal.SIGKILL)
            wait_until_up(shop, other_than=process)
            process = serving_process(shop)
            assert answered(shop, "started-on-a-full-disk") == "no_store"
        filler.unlink()
        deadline = time.monotonic() + 30
        while answered(shop, f"room-{time.monotonic_ns()}") != "approved":
            assert time.monotonic() < deadline, "it did not go on"
            time.sleep(0.2)
        wait_until_missing(shop.client, [])
        assert serving_process(shop) == process
        assert server.worker_process_id == worker
        shop.client.close()
