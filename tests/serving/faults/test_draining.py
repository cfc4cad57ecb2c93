"""A service that is told to end breaks off nobody: whoever has sent a request reads its answer."""

import http.client
import os
import signal
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from serving.process.server import RunningServer, running_server
from serving.process.settings import Settings
from tests.proof_size import whole_or_fiftieth
from tests.serving.http.conftest import free_port, packages_with_libraries, prepared

CLIENTS = 8
BROKEN = (ConnectionResetError, BrokenPipeError, http.client.BadStatusLine, http.client.IncompleteRead)


@dataclass
class Clients:
    """Ask again and again until they are refused. seen: how often what came of a request."""

    server: RunningServer
    seen: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def ask(self, *, keeps_alive: bool) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=10)
        headers = {} if keeps_alive else {"Connection": "close"}
        while True:
            try:
                connection.request("GET", "/livez", headers=headers)
                answer = connection.getresponse()
                answer.read()
                came = "last" if keeps_alive and answer.getheader("Connection") == "close" else "answered"
            except BROKEN as problem:
                came = f"broken off: {type(problem).__name__}"
                connection.close()
            except ConnectionRefusedError:
                came = "refused"
            with self.lock:
                self.seen[came] += 1
            if came == "refused":
                return


@pytest.mark.long_proof
@pytest.mark.parametrize("number", range(whole_or_fiftieth(5)))
def test_who_has_sent_a_request_reads_its_answer_while_the_service_ends(tmp_path: Path, number: int) -> None:
    settings = Settings.from_env({"BONITAS_HOME": str(tmp_path)})
    prepared(settings)
    with running_server(settings, port=free_port(), log_file=tmp_path / "server.log") as server:
        # What answers is built in the processes that answer, not once more in the one that supervises them.
        assert not packages_with_libraries(server.process_id) & {"numpy", "psycopg_binary", "pyarrow"}
        clients = Clients(server)
        threads = [
            threading.Thread(target=clients.ask, kwargs={"keeps_alive": place % 4 != 0})
            for place in range(CLIENTS)
        ]
        for thread in threads:
            thread.start()
        time.sleep(0.5 + number / 20)
        began = time.monotonic()
        os.kill(server.process_id, signal.SIGTERM)
        for thread in threads:
            thread.join(30)
        assert not any(thread.is_alive() for thread in threads)
        while os.waitid(os.P_PID, server.process_id, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            assert time.monotonic() - began < 15, "it did not end"
            time.sleep(0.05)
    assert clients.seen["answered"] > CLIENTS
    assert clients.seen["last"] >= CLIENTS // 2
    assert set(clients.seen) == {"answered", "last", "refused"}, clients.seen
