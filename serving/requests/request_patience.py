"""How long a request waits for the store, and whether its client still waits for the answer.

The server gives up on a request after SERVER_TIMEOUT_S and tells its client so. By then the work must either
be done or never begin: a wait ends after LOCK_WAIT_S, and no work begins later than WORK_S before that.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.store.errors import StoreBusy

SERVER_TIMEOUT_S = 5
"""After this the server answers 504 by itself and cancels the request."""
LOCK_WAIT_S = 2.0
"""So long one request waits for locks of others, all its waits together."""
WORK_S = 1.5
"""So long the work of a request may take once it has begun, its commit included."""
ANSWER_S = 0.5
"""So long before the server's end an answer is given, where the database gives none."""


class RequestPatience:
    """Of one request. receive: the server's, None where no client is behind it. clock: monotonic, seconds."""

    def __init__(self, receive: Receive | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._receive = receive
        self._clock = clock
        self._arrived = clock()
        self._waited_s = 0.0
        self._early: Message | None = None

    def begins_within_s(self) -> float:
        """Seconds that are left to begin with work, if the wait for it begins now; 0 or less for none."""
        now = self._clock()
        return min(LOCK_WAIT_S - self._waited_s, self._arrived + SERVER_TIMEOUT_S - WORK_S - now)

    def ends_within_s(self) -> float:
        """Seconds until the client must have been answered."""
        return self._arrived + SERVER_TIMEOUT_S - ANSWER_S - self._clock()

    def require_time_for_work(self) -> None:
        """Raise StoreBusy where it is too late to begin: the server might give up before the end."""
        if self._clock() > self._arrived + SERVER_TIMEOUT_S - WORK_S:
            raise StoreBusy("the request came too slowly, or waited too long, to be begun in time")

    async def wait(self, turn: "asyncio.Future[None]") -> None:
        """Wait for the turn. Raises StoreBusy when patience ends, or the client has gone, before it comes."""
        loop = asyncio.get_running_loop()
        began = self._clock()
        too_late = StoreBusy(f"the store was locked for longer than {LOCK_WAIT_S:g} s")
        timer = loop.call_later(max(self.begins_within_s(), 0.0), _fail, turn, too_late)
        watch = None if self._receive is None else loop.create_task(self._watch_client(turn, self._receive))
        try:
            await turn
        finally:
            timer.cancel()
            if watch is not None:
                watch.cancel()
            self._waited_s += self._clock() - began

    @asynccontextmanager
    async def bounded(self) -> AsyncIterator[None]:
        """A block that only waits, such as for a place. Raises StoreBusy when patience ends in it."""
        began = self._clock()
        try:
            async with asyncio.timeout(max(self.begins_within_s(), 0.0)):
                yield
        except TimeoutError as problem:
            raise StoreBusy(f"the store was locked for longer than {LOCK_WAIT_S:g} s") from problem
        finally:
            self._waited_s += self._clock() - began

    async def pause(self, seconds: float) -> None:
        """Wait a while. Raises StoreBusy as `wait` does."""
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        timer = loop.call_later(seconds, _give, turn)
        try:
            await self.wait(turn)
        finally:
            timer.cancel()

    async def receive(self) -> Message:
        """The server's next message about this request, for the application."""
        if self._receive is None:
            raise RuntimeError("there is no client to receive from")
        if self._early is not None:
            message, self._early = self._early, None
            return message
        return await self._receive()

    async def _watch_client(self, turn: "asyncio.Future[None]", receive: Receive) -> None:
        """Fail the turn once the client hangs up."""
        # One message is kept for the application. Behind it may come a long body, which is not ours to read.
        if self._early is not None and self._early.get("more_body"):
            return
        message = await receive()
        if message["type"] != "http.disconnect" and self._early is None:
            self._early = message
            if message.get("more_body"):
                return
            message = await receive()
        if message["type"] == "http.disconnect":
            _fail(turn, StoreBusy("the client hung up while it waited for the store"))


def _fail(turn: "asyncio.Future[None]", problem: Exception) -> None:
    if not turn.done():
        turn.set_exception(problem)


def _give(turn: "asyncio.Future[None]") -> None:
    if not turn.done():
        turn.set_result(None)


_CURRENT: ContextVar[RequestPatience | None] = ContextVar("request_patience", default=None)


def current_patience() -> RequestPatience:
    """Of the request that is being answered; a fresh one outside of any."""
    return _CURRENT.get() or RequestPatience()


class PatientRequests:
    """Gives each request its patience from when it arrived; `current_patience` finds it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, in the task that the server made for it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        patience = RequestPatience(receive)
        _CURRENT.set(patience)
        await self._app(scope, patience.receive, send)
