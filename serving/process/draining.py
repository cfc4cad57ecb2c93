"""Ends a serving process without breaking off a client.

uvicorn closes what is idle at once: whoever sends its next request in that moment meets a reset, and so does
whoever connects before the port is closed. Here every answer says `Connection: close` for a while, new
connections are still served, then the port is closed, and last what is still being answered is waited for.
"""

import asyncio
import os
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import uvicorn

from serving.process.bounded_http import BoundedHttp

DRAIN_SECONDS = 1.0
"""So long connections in use are ended by an answer; one that was idle all that time is just closed."""
IN_FLIGHT_SECONDS = 6
"""So long what is being answered is waited for: longer than a request may take."""
LOOK_SECONDS = 0.05

ALL_END_SIGNAL = signal.SIGUSR2
"""Told to a process before it is told to end, where the whole service ends: the port may be closed."""


class Draining:
    """How this process ends. on_ending: called when it begins to."""

    def __init__(self, on_ending: Callable[[], None]) -> None:
        self._on_ending = on_ending
        self._all_end = False

    def install(self) -> None:
        """Let the server of this process end so: BentoML makes it, and asks nobody how it ends."""
        signal.signal(ALL_END_SIGNAL, self._note_that_all_end)
        close = uvicorn.Server.shutdown

        async def shutdown(server: uvicorn.Server, sockets: "list[socket.socket] | None" = None) -> None:
            await self._drain(server, sockets or [])
            server.config.timeout_graceful_shutdown = IN_FLIGHT_SECONDS
            await close(server, sockets)

        uvicorn.Server.shutdown = shutdown  # type: ignore[method-assign,assignment]  # see above

    def end_all(self) -> None:
        """End this process as one of a service that ends as a whole; from any thread."""
        self._all_end = True
        os.kill(os.getpid(), signal.SIGTERM)

    def _note_that_all_end(self, _signal: int, _frame: object) -> None:
        self._all_end = True

    async def _drain(self, server: uvicorn.Server, sockets: "list[socket.socket]") -> None:
        """Answer what comes for a while, then close the port where no other process answers on it."""
        self._on_ending()
        BoundedHttp.is_draining = True
        connections: set[Any] = server.server_state.connections
        for connection in tuple(connections):
            connection.drain()
        loop = asyncio.get_running_loop()
        until = loop.time() + DRAIN_SECONDS
        while connections and loop.time() < until and not server.force_exit:
            await asyncio.sleep(LOOK_SECONDS)
        if self._all_end:
            for connected in [one for listening in sockets for one in _last_of(listening)]:
                await loop.connect_accepted_socket(partial(_protocol, server), connected)


def _last_of(listening: socket.socket) -> list[socket.socket]:
    """Close the port for all processes that share it; who had connected by then.

    Whoever connects between the last of them and the end of listening is broken off: some microseconds.
    """
    last: list[socket.socket] = []
    # Another process of the service may have been faster.
    with suppress(OSError), listening.dup() as port:
        port.setblocking(False)
        try:
            while True:
                last.append(port.accept()[0])
        except BlockingIOError:
            port.shutdown(socket.SHUT_RD)
    return last


def _protocol(server: uvicorn.Server) -> asyncio.Protocol:
    """What answers a connection, as the server makes it."""
    kind: Callable[..., asyncio.Protocol] = server.config.http_protocol_class
    return kind(config=server.config, server_state=server.server_state, app_state=server.lifespan.state)


def tell_that_all_end(process_ids: "list[int]") -> None:
    """Tell the serving processes that the whole service ends; each is told to end next."""
    for process_id in process_ids:
        with suppress(ProcessLookupError):  # it has ended already
            os.kill(process_id, ALL_END_SIGNAL)
