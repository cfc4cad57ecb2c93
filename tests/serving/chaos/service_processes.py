"""The whole service as an operator starts it (`bonitas serve`), with the ids of its processes."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from serving.process.server import environ_of
from serving.process.settings import Settings
from tests.serving.http.conftest import free_port, is_running, processes_below

REPOSITORY = Path(__file__).parents[3]
UP_WITHIN_S = 90.0
ENDS_WITHIN_S = 30.0
LOOK_S = 0.05


def command_of(process_id: int) -> str:
    """The words of a process, "" where it has ended."""
    try:
        return Path(f"/proc/{process_id}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


@dataclass
class Service:
    """One home's service. seen: every process that it ever had, so that none is left behind.

    environ: what its processes find in their environment besides the settings. descriptors: that each may
    have, None for as many as this process.
    """

    settings: Settings
    workers: int = 1
    port: int = field(default_factory=free_port)
    environ: dict[str, str] = field(default_factory=dict)
    descriptors: int | None = None
    seen: set[int] = field(default_factory=set)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log_file(self) -> Path:
        return self.settings.home.parent / f"{self.settings.home.name}.log"

    def start(self) -> None:
        """Start it; returns before it answers."""
        words = ["serve", "--port", str(self.port), "--workers", str(self.workers)]
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "bonitas", *words],
                env={**environ_of(self.settings, self.workers), **self.environ},
                cwd=REPOSITORY,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if self.descriptors is not None:
            # It has just begun: whatever it starts has the same bound.
            bound = (self.descriptors, self.descriptors)
            psutil.Process(self.process.pid).rlimit(psutil.RLIMIT_NOFILE, bound)

    def wait_until_up(self) -> None:
        """Until `/livez` answers and worker and API are seen."""
        deadline = time.monotonic() + UP_WITHIN_S
        while time.monotonic() < deadline:
            assert self.process is not None
            assert self.process.poll() is None, f"it ended: {self.log_text()[-2000:]}"
            if self.is_alive() and self.api_processes() and self.worker_process():
                return
            time.sleep(LOOK_S)
        raise AssertionError(f"it did not start: {self.log_text()[-2000:]}")

    def is_alive(self) -> bool:
        """Whether `/livez` says 200."""
        try:
            return httpx.get(f"{self.url}/livez", timeout=1).status_code == 200
        except httpx.TransportError:
            return False

    def missing(self) -> list[str]:
        """The codes of what `/readyz` lacks; "nothing answers" where nobody does."""
        try:
            answer = httpx.get(f"{self.url}/readyz", timeout=2)
        except httpx.TransportError:
            return ["nothing answers"]
        return [part["code"] for part in answer.json().get("missing", [])]

    def wait_until_ready(self, within_s: float = 60.0) -> None:
        """Until it can decide, twice in a row: two processes may answer in turn."""
        deadline = time.monotonic() + within_s
        in_a_row = 0
        while in_a_row < 2 * self.workers:
            in_a_row = 0 if self.missing() else in_a_row + 1
            assert time.monotonic() < deadline, f"it cannot decide: {self.missing()}"
            time.sleep(LOOK_S)

    def processes(self) -> list[int]:
        """All that live now, the command's own first."""
        if self.process is None or self.process.poll() is not None:
            return []
        try:
            found = processes_below(self.process.pid)
        except OSError:
            return self.processes()
        self.seen.update(found)
        return found

    def _running(self, words: str) -> list[int]:
        return [one for one in self.processes() if words in command_of(one)]

    def supervisor_process(self) -> int:
        """BentoML's parent of those that answer."""
        return self._running("serving.process.supervisor")[0]

    def api_processes(self) -> list[int]:
        """Those that answer."""
        return self._running("_bentoml_impl.worker.service")

    def worker_process(self) -> int | None:
        """Our worker."""
        return next(iter(self._running("serving.worker")), None)

    def left_behind(self) -> list[int]:
        """Of all that it ever had, what still runs though the command has ended."""
        ours = str(self.settings.home).encode()
        return [one for one in sorted(self.seen) if is_running(one) and _has_in_environ(one, ours)]

    def wait_until_ended(self) -> None:
        """Until the command and all that it started have ended."""
        deadline = time.monotonic() + ENDS_WITHIN_S
        assert self.process is not None
        self.process.wait(ENDS_WITHIN_S)
        while self.left_behind():
            told = [command_of(one)[-80:] for one in self.left_behind()]
            assert time.monotonic() < deadline, f"left behind: {told}"
            time.sleep(LOOK_S)

    def end(self) -> None:
        """End it as an operator does, and whatever is left of it by force."""
        self.processes()
        if self.process is not None:
            if self.process.poll() is None:
                self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(ENDS_WITHIN_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for one in self.left_behind():
            os.kill(one, signal.SIGKILL)

    def log_text(self) -> str:
        return self.log_file.read_text(errors="replace")


def _has_in_environ(process_id: int, text: bytes) -> bool:
    """Whether a process has a text in its environment: a number is given out again after its process."""
    try:
        return text in Path(f"/proc/{process_id}/environ").read_bytes()
    except OSError:
        return False
