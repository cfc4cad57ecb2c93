"""Processes that are killed: whoever they started ends, and whoever started them notices at once."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from serving.process import server
from serving.process.process_manager import RESPAWN_PAUSE_SECONDS, Respawning
from tests.serving.http.conftest import is_running

REPOSITORY = Path(__file__).parents[3]

CHILD = """
import os, time
from serving.process.parent_watch import end_with_parent
end_with_parent(os.environ)
time.sleep(60)
"""
PARENT = """
import os, subprocess, sys, time
from serving.process.parent_watch import as_parent
environ = {**os.environ, **(as_parent() if sys.argv[2] == "ours" else {})}
print(subprocess.Popen([sys.executable, "-c", sys.argv[1]], env=environ).pid, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("whose", ["ours", "a shell's"])
def test_a_process_ends_with_the_one_of_ours_that_started_it_and_with_no_other(whose: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, CHILD, whose], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        time.sleep(0.5)
        assert is_running(child)
        parent.kill()
    deadline = time.monotonic() + (10 if whose == "ours" else 1.5)
    while is_running(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert is_running(child) == (whose != "ours")
    if whose != "ours":
        os.kill(child, signal.SIGKILL)


class Arbiter:
    """Stands for BentoML's manager of processes: tells what it was asked for."""

    _stopping = False
    _exclusive_running_command: str | None = None

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self.watchers = [SimpleNamespace(processes={process.pid: process})]
        self.looks = 0

    async def manage_watchers(self) -> None:
        self.looks += 1


def test_what_has_ended_is_started_anew_at_once_and_what_ends_again_soon_after_a_pause() -> None:
    now = 100.0
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    arbiter = Arbiter(process)
    respawning = Respawning(arbiter, lambda: now)

    def looks() -> int:
        asyncio.run(respawning.look())
        return arbiter.looks

    assert looks() == 0
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    arbiter._exclusive_running_command = "manage_watchers"
    assert looks() == 0
    arbiter._exclusive_running_command = None
    assert looks() == 1
    now += RESPAWN_PAUSE_SECONDS - 1
    assert looks() == 1
    now += 1
    assert looks() == 2
    process.wait()
    now += RESPAWN_PAUSE_SECONDS
    arbiter._stopping = True
    assert looks() == 2


def test_a_start_waits_for_a_port_whose_holder_just_ends_and_names_one_that_stays_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        ending = threading.Timer(0.3, held.close)
        ending.start()
        server._require_free("127.0.0.1", port)
        ending.join()
    monkeypatch.setattr(server, "FREE_WITHIN_SECONDS", 0.2)
    with (
        socket.create_server(("127.0.0.1", 0)) as held,
        pytest.raises(server.ServerDidNotStart, match=f"port {held.getsockname()[1]} of 127"),
    ):
        server._require_free("127.0.0.1", held.getsockname()[1])
