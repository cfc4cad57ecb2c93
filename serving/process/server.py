"""Starts BentoML's HTTP server as a child process, waits until it answers and ends it cleanly."""

import errno
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from data_contracts.private_files import private_file, private_folder
from serving.process.parent_watch import as_parent
from serving.process.settings import Settings
from serving.process.supervisor import MODULE as SUPERVISOR

SERVICE = "serving.service:CreditService"
UP_WITHIN_SECONDS = 90.0
FREE_WITHIN_SECONDS = 5.0
"""So long a port is waited for: who had it may just be ending, as after its parent was killed."""
END_WITHIN_SECONDS = 15.0
WORKER_LOOK_SECONDS = 1.0


class ServerDidNotStart(Exception):
    """The server ended, or did not answer in time; the message says where its output is."""


class RunningServer:
    """A server process of ours."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        *,
        host: str,
        port: int,
        start_worker: Callable[[], subprocess.Popen[bytes]] | None = None,
    ) -> None:
        self._process = process
        self._start_worker = start_worker
        self._worker = None if start_worker is None else start_worker()
        self.host = host
        self.port = port

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://{self.host}:{self.port}"

    @property
    def process_id(self) -> int:
        """Of the supervising process."""
        return self._process.pid

    @property
    def worker_process_id(self) -> int | None:
        """Of the worker, None where none was started."""
        return None if self._worker is None else self._worker.pid

    def asked(self, path: str) -> tuple[int, bytes]:
        """Status and body of a GET. Raises OSError, http.client.HTTPException."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=2)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def missing_parts(self) -> list[str]:
        """What the server needs to decide and has not, each as "code: reason"; empty where it can.

        Of one of its processes: each looks for itself, a second or so apart. Raises OSError,
        http.client.HTTPException.
        """
        status, body = self.asked("/readyz")
        if status == 200:
            return []
        return [f"{part['code']}: {part['reason']}" for part in json.loads(body)["missing"]]

    def wait(self) -> int:
        """Block until the server ends by itself; its exit status. A worker that ends is started anew."""
        while True:
            try:
                return self._process.wait(WORKER_LOOK_SECONDS)
            except subprocess.TimeoutExpired:
                self.keep_worker()

    def keep_worker(self) -> None:
        """Start the worker anew where it has ended: what it left undone is still in the outbox."""
        if self._worker is None or self._start_worker is None or self._worker.poll() is None:
            return
        sys.stderr.write(f"the worker ended with status {self._worker.returncode}; it is started anew\n")
        self._worker = self._start_worker()

    def stop(self) -> None:
        """Let running requests finish, then end, the worker too; kills what takes too long."""
        try:
            self._stop_server()
        finally:
            # Also where a second Ctrl-C cuts the first short.
            if self._worker is not None:
                _end_worker(self._worker)

    def _stop_server(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(END_WITHIN_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


@contextmanager
def running_server(
    settings: Settings,
    *,
    port: int,
    host: str = "127.0.0.1",
    workers: int = 1,
    log_file: Path | None = None,
    with_worker: bool = False,
) -> Iterator[RunningServer]:
    """A server that answers, for the time of the block. Raises ServerDidNotStart.

    It may lack what it needs to decide: `RunningServer.missing_parts` tells.

    log_file: where its output goes, None for this process's own stderr.
    with_worker: also start the worker, which does all that happens after approval.
    """
    settings = replace(settings, public_url=settings.public_url or f"http://{host}:{port}")
    # A session of its own for each: Ctrl-C reaches only us, so that both end once and in order.
    process = _start(_command(port=port, host=host), settings, workers, settings.home, log_file)
    start_worker = partial(
        _start,
        [sys.executable, "-m", "serving.worker"],
        settings,
        workers,
        Path(__file__).resolve().parents[2],
        log_file,
    )
    server = RunningServer(process, host=host, port=port, start_worker=start_worker if with_worker else None)
    try:
        _wait_until_up(process, server, log_file)
        yield server
    finally:
        server.stop()


def _start(
    command: list[str], settings: Settings, workers: int, folder: Path, log_file: Path | None
) -> subprocess.Popen[bytes]:
    if log_file is not None:
        private_file(log_file)
    output = log_file.open("ab") if log_file is not None else None
    try:
        return subprocess.Popen(  # noqa: S603 our own interpreter and module
            command,
            env=environ_of(settings, workers),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output if output is not None else sys.stderr.fileno(),
            stderr=subprocess.STDOUT if output is not None else None,
            start_new_session=True,
        )
    finally:
        if output is not None:
            output.close()


def _end_worker(worker: subprocess.Popen[bytes]) -> None:
    """Let it finish what it has in hand; whatever it leaves undone is still in the outbox."""
    if worker.poll() is None:
        worker.send_signal(signal.SIGTERM)
    try:
        worker.wait(END_WITHIN_SECONDS)
    except subprocess.TimeoutExpired:
        worker.kill()
        worker.wait()


def serve(settings: Settings, *, port: int, host: str = "127.0.0.1", workers: int = 1) -> None:
    """Serve until Ctrl-C or SIGTERM. Raises ServerDidNotStart, also when the server ends by itself."""
    _require_free(host, port)
    try:
        with (
            sigterm_as_ctrl_c(),
            running_server(settings, port=port, host=host, workers=workers, with_worker=True) as server,
        ):
            sys.stderr.write(f"Bonitas answers at {server.url} (Ctrl-C ends it)\n")
            _tell_what_is_missing(server)
            status = server.wait()
            raise ServerDidNotStart(f"the server ended with status {status}")
    except KeyboardInterrupt:
        return


def _tell_what_is_missing(server: RunningServer) -> None:
    try:
        missing = server.missing_parts()
    except (OSError, http.client.HTTPException) as problem:
        sys.stderr.write(f"whether it can decide is not known: {problem}\n")
        return
    if missing:
        reasons = "".join(f"\n  {part}" for part in missing)
        sys.stderr.write(
            f"but it CANNOT DECIDE now, and answers checkouts `unavailable` until it can:{reasons}\n"
            f"{server.url}/readyz tells when it can\n"
        )


@contextmanager
def sigterm_as_ctrl_c() -> Iterator[None]:
    """Let SIGTERM end the block as Ctrl-C does, so that no child process is left behind."""
    previous = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _require_free(host: str, port: int) -> None:
    until = time.monotonic() + FREE_WITHIN_SECONDS
    while True:
        problem = _why_not_free(host, port)
        if problem is None:
            return
        if problem.errno != errno.EADDRINUSE or time.monotonic() > until:
            raise ServerDidNotStart(f"port {port} of {host} cannot be used: {problem.strerror}") from problem
        time.sleep(0.1)


def _why_not_free(host: str, port: int) -> OSError | None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as problem:
            return problem
    return None


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _command(*, port: int, host: str) -> list[str]:
    root = Path(__file__).resolve().parents[2]
    return [
        sys.executable,
        "-m",
        SUPERVISOR,
        "serve",
        SERVICE,
        "--working-dir",
        str(root),
        "--host",
        host,
        "--port",
        str(port),
    ]


def environ_of(settings: Settings, workers: int) -> dict[str, str]:
    """The environment of a process of ours with these settings. workers: how many processes serve."""
    private_folder(settings.home)
    return {
        **os.environ,
        **settings.as_environ(),
        "BONITAS_WORKERS": str(workers),
        "BENTOML_HOME": str(settings.home / "bentoml"),
        "BENTOML_DO_NOT_TRACK": "True",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PYTHONUNBUFFERED": "1",
        **as_parent(),
    }


def _wait_until_up(process: subprocess.Popen[bytes], server: RunningServer, log_file: Path | None) -> None:
    where = f"its output is in {log_file}" if log_file is not None else "see its output above"
    deadline = time.monotonic() + UP_WITHIN_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise ServerDidNotStart(f"the server ended with status {process.returncode}; {where}")
        if _is_up(server):
            return
        time.sleep(0.1)
    raise ServerDidNotStart(f"the server did not answer within {UP_WITHIN_SECONDS:.0f} s; {where}")


def _is_up(server: RunningServer) -> bool:
    try:
        return server.asked("/livez")[0] == 200
    except (OSError, http.client.HTTPException):
        return False
