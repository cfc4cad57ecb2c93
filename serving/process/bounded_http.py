"""uvicorn's HTTP protocol with an end to everything that a client can leave open.

uvicorn on httptools bounds nothing before a request's head is complete: half a head, a header without an
end, a trailer after a body, an answer that nobody reads are kept for as long as the client likes. Each has a
bound here, in bytes and in seconds. The body of a request is bounded by the door, which knows the route.

On the way of a request that arrives whole this costs a comparison or two, and no timer.
"""

import asyncio
import itertools
from operator import itemgetter
from typing import ClassVar

import msgspec
from uvicorn.protocols.http.flow_control import CLOSE_HEADER
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

HEAD_MAXIMUM_BYTES = 64 * 1024
"""Of request line and headers together; also of a body's trailer."""
HEADERS_MAXIMUM = 200
PIPELINED_MAXIMUM = 16
"""Requests that one connection may send ahead of the answer to its first."""
CONNECTIONS_MAXIMUM = 1_000
"""Of one process: each may hold a head, part of a body and part of an answer. Whoever comes then takes the
place of the one that has been silent the longest."""
LINGER_SECONDS = 1.0
LINGER_MAXIMUM_BYTES = 1024 * 1024
"""What is read and thrown away of a body that was answered before it had come: a client that is still sending
would not see the answer if the connection ended at once."""
GRACE_SECONDS = 0.05
UNREAD_SECONDS = 30.0
"""So long an answer may wait for a client that does not read it."""


class BoundedHttp(HttpToolsProtocol):
    """One connection. head_seconds: within which the head of a request must have come.

    connections_maximum: at once. awaited: those of which a head is awaited, the one that has waited longest
    first, and since when by the event loop's clock; each process has its own.
    """

    head_seconds: ClassVar[float] = 10.0
    connections_maximum: ClassVar[int] = CONNECTIONS_MAXIMUM
    awaited: "ClassVar[dict[BoundedHttp, float]]" = {}  # noqa: RUF012 - said in the text, as it names itself
    is_draining: ClassVar[bool] = False
    """Whether the process ends: each answer is its connection's last."""

    # What a connection holds besides uvicorn's own:
    _fed_bytes = 0
    """Since something was complete: a head, a part of a body, a whole request."""
    _was_told = False
    """Whether the bytes that were fed last completed anything."""
    _awaits_head = True
    """Whether no request is in progress: the next head may begin, or has begun."""
    _refusal: tuple[int, str] = (400, "The request is not HTTP")
    _head_timer: asyncio.TimerHandle | None = None
    _linger_timer: asyncio.TimerHandle | None = None
    _unread_timer: asyncio.TimerHandle | None = None
    _lingered_bytes = 0
    _answered_at_s = 0.0
    """When it last ended an answer, by the event loop's clock."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Begin to wait for a request; where there is one connection too many, one that is idle is ended."""
        super().connection_made(transport)
        if len(self.connections) > self.connections_maximum and not self._has_taken_a_place():
            transport.abort()
            return
        self._await_head()

    def _has_taken_a_place(self) -> bool:
        """End the connection that has been silent the longest; False where all are at work."""
        # Of two since the same millisecond the one that never asked comes first.
        silent = [(since_s, waiting) for waiting, since_s in itertools.islice(self.awaited.items(), 1)]
        silent += [
            (one._answered_at_s, one)
            for one in self.connections
            if isinstance(one, BoundedHttp)
            and one.timeout_keep_alive_task is not None
            and not one.transport.is_closing()
        ]
        if not silent:
            return False
        _, longest = min(silent, key=itemgetter(0))
        # It leaves the others only once it is closed, which is later.
        self.awaited.pop(longest, None)
        longest.transport.abort()
        return True

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(self.head_seconds, self._head_is_late)
        self.awaited[self] = self.loop.time()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget what was awaited."""
        super().connection_lost(exc)
        self.awaited.pop(self, None)
        for timer in (self._head_timer, self._linger_timer, self._unread_timer):
            if timer is not None:
                timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Read on, as far as the bounds go."""
        if self.transport.is_closing():
            return
        self._fed_bytes += len(data)
        self._was_told = False
        super().data_received(data)
        if self._was_told:
            self._fed_bytes = 0
        elif self._fed_bytes > HEAD_MAXIMUM_BYTES:
            self._refuse(431, "The head of the request is too large")
        if self._head_timer is None and self._awaits_head and not self._is_answering:
            # Part of a head, or what may come before one; uvicorn's own timer ended as it came.
            self._await_head()
        elif self._linger_timer is not None:
            self._lingered_bytes += len(data)
            if self._lingered_bytes > LINGER_MAXIMUM_BYTES:
                self.transport.abort()

    def on_headers_complete(self) -> None:
        """Begin to answer, unless the head is beyond its bounds."""
        self._was_told = True
        self._awaits_head = False
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
            self.awaited.pop(self, None)
        if len(self.headers) > HEADERS_MAXIMUM or (
            # Fewer bytes have come: fewer are in it.
            self._fed_bytes > HEAD_MAXIMUM_BYTES and self._head_bytes() > HEAD_MAXIMUM_BYTES
        ):
            self._refusal = (431, "The head of the request is too large")
            raise _BeyondBoundsError
        if len(self.pipeline) >= PIPELINED_MAXIMUM:
            self._refusal = (429, "Too many requests were sent ahead of their answers")
            raise _BeyondBoundsError
        super().on_headers_complete()
        if self.is_draining:
            self._close_after(self.cycle)

    def drain(self) -> None:
        """Let the answer to the last request that has come be the last, and say so in it."""
        if self._is_answering:
            self._close_after(self.pipeline[0][0] if self.pipeline else self.cycle)

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        self._was_told = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request: the next may begin."""
        self._was_told = True
        self._awaits_head = True
        if self._linger_timer is not None:
            self._linger_timer.cancel()
            self._linger_timer = None
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Wait for the next request, or for the rest of a body that was answered before it had come."""
        self._answered_at_s = self.loop.time()
        super().on_response_complete()
        if self.transport.is_closing():
            self._give_up_unread()
        elif not self._awaits_head and not self.pipeline and self._linger_timer is None:
            self._lingered_bytes = 0
            self._linger_timer = self.loop.call_later(LINGER_SECONDS, self.transport.abort)

    def pause_writing(self) -> None:
        """The client does not read: it has a while."""
        super().pause_writing()
        self._give_up_unread()

    def resume_writing(self) -> None:
        """The client reads again."""
        super().resume_writing()
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None

    def timeout_keep_alive_handler(self) -> None:
        """End an idle connection, also one whose client does not read the rest."""
        super().timeout_keep_alive_handler()
        self._give_up_unread()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 uvicorn says the same of every mistake
        """Refuse what the parser cannot read, or a callback above would not."""
        self._refuse(*self._refusal)

    def _should_upgrade_to_ws(self) -> bool:
        return False

    def _unsupported_upgrade_warning(self) -> None:
        """Not a line in the log for every client that asks."""

    @staticmethod
    def _close_after(cycle: RequestResponseCycle) -> None:
        cycle.keep_alive = False
        if not cycle.response_started and CLOSE_HEADER not in cycle.scope["headers"]:
            cycle.default_headers = [*cycle.default_headers, CLOSE_HEADER]

    @property
    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _head_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _head_is_late(self) -> None:
        # A process that was busy for long runs its timers before it reads what has come meanwhile.
        self._head_timer = self.loop.call_later(GRACE_SECONDS, self._head_did_not_come)

    def _head_did_not_come(self) -> None:
        self._head_timer = None
        if self.transport.is_closing():
            return
        if self._fed_bytes:
            self._refuse(408, f"The head of the request did not come within {self.head_seconds:g} s")
        else:
            self.transport.close()

    def _refuse(self, status: int, title: str) -> None:
        """Say what is wrong, unless it would pass for the answer to another request; end the connection."""
        if self.transport.is_closing():
            return
        if self._is_answering and (self.pipeline or self.cycle.response_started or not self.cycle.more_body):
            self.transport.abort()
            return
        problem = msgspec.json.encode({"type": "about:blank", "title": title, "status": status})
        self.transport.write(
            b"%bcontent-type: application/problem+json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b"
            % (STATUS_LINE[status], len(problem), problem)
        )
        self.transport.close()
        self._give_up_unread()

    def _give_up_unread(self) -> None:
        if self._unread_timer is None:
            self._unread_timer = self.loop.call_later(UNREAD_SECONDS, self.transport.abort)


class _BeyondBoundsError(Exception):
    """Ends the reading of a request; the parser turns it into an error of its own."""


def bounded_http(*, head_seconds: float, connections_maximum: int = CONNECTIONS_MAXIMUM) -> type[BoundedHttp]:
    """The protocol with these bounds."""
    own = {"head_seconds": head_seconds, "connections_maximum": connections_maximum, "awaited": {}}
    return type("BoundedHttp", (BoundedHttp,), own)
