"""More connections than a process may hold: who has been silent the longest goes, who asks is answered."""

import http.client
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import uvicorn
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from serving.process.bounded_http import bounded_http

CONNECTIONS = 6
REPOSITORY = Path(__file__).parents[3]


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("ok")(scope, receive, send)


@pytest.fixture
def port() -> Iterator[int]:
    listening = socket.create_server(("127.0.0.1", 0), backlog=100)
    protocol = bounded_http(head_seconds=30, connections_maximum=CONNECTIONS)
    server = uvicorn.Server(uvicorn.Config(app, http=protocol, lifespan="off", log_config=None))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    yield listening.getsockname()[1]
    server.should_exit = server.force_exit = True
    thread.join(10)


def connected(port: int, stack: ExitStack) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.connect()
    stack.callback(connection.close)
    return connection


def is_answered(connection: http.client.HTTPConnection) -> bool:
    try:
        connection.request("GET", "/livez")
        return connection.getresponse().read() == b"ok"
    except (ConnectionError, http.client.HTTPException):
        return False


def test_who_asks_is_answered_in_place_of_who_has_been_silent_the_longest(port: int) -> None:
    with ExitStack() as stack:
        silent = [connected(port, stack) for _ in range(CONNECTIONS)]
        for _ in range(2):
            assert is_answered(connected(port, stack))
        assert not any(is_answered(one) for one in silent[:2])
        assert all(is_answered(one) for one in silent[2:])


def test_half_a_head_gives_way_as_silence_does(port: int) -> None:
    with ExitStack() as stack:
        slow = [connected(port, stack) for _ in range(CONNECTIONS)]
        for one in slow:
            assert one.sock is not None
            one.sock.sendall(b"GET /livez HT")
        for _ in range(3 * CONNECTIONS):
            assert is_answered(connected(port, stack))


def test_clients_that_were_answered_and_keep_their_connection_give_way_too(port: int) -> None:
    with ExitStack() as stack:
        kept = []
        for _ in range(CONNECTIONS):
            kept.append(connected(port, stack))
            assert is_answered(kept[-1])
            time.sleep(0.01)
        assert is_answered(connected(port, stack))
        assert not is_answered(kept[0])
        assert is_answered(kept[-1])


def test_whoever_has_just_connected_is_not_ended_before_one_that_was_idle_longer(port: int) -> None:
    with ExitStack() as stack:
        kept = [connected(port, stack) for _ in range(CONNECTIONS)]
        for one in kept:
            assert is_answered(one)
            # The event loop's clock counts milliseconds.
            time.sleep(0.01)
        just_connected = [connected(port, stack) for _ in range(CONNECTIONS // 2)]
        time.sleep(0.05)
        assert all(is_answered(one) for one in just_connected)
        assert [is_answered(one) for one in kept] == [False] * 3 + [True] * 3


@pytest.mark.parametrize(
    ("descriptors", "connections"), [(40, 8), (164, 100), (1_100, 1_000), (9_000, 1_000)]
)
def test_a_process_takes_no_more_connections_than_it_has_descriptors_for(
    descriptors: int, connections: int
) -> None:
    code = (
        "import resource\n"
        "from serving.process.descriptors import connections_within_descriptors as within\n"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({min(descriptors, 64)}, {descriptors}))\n"
        "print(within(1000), resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    )
    if descriptors > resource.getrlimit(resource.RLIMIT_NOFILE)[1]:
        pytest.skip("this machine gives processes fewer descriptors")
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY
    ).stdout.split()
    assert told == [str(connections), str(min(descriptors, 3_112))]
