"""Sends orders at a steady rate and asks `/livez` beside them; runs as its own process, until its input ends.

python -m tests.serving.chaos.checkout_load < plan.json

The first line of the input is the plan; the end of the input ends the load. An order comes at its moment
whether or not those before it were answered, and is sent once: what came of it is written as it came.
"""

import asyncio
import json
import sys
import time
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

import httptools
import msgspec

ANSWERED, REFUSED, BROKEN, SILENT = "answered", "refused", "broken", "silent"
"""What came of a request: an answer; no connection, so that it was never sent; a connection that ended
without an answer; nothing at all for `patience_s`."""
IDLE_S = 3.0
"""So long a connection is used again: the server ends idle ones after five seconds."""
OWN_CONNECTION_EVERY = 5
"""Every fifth order comes over a connection of its own, as from a client that keeps none."""

SHARED_EVERY = 10


class LoadPlan(msgspec.Struct, kw_only=True, frozen=True):
    """What to send. told: the file that takes what came of each request, a line of JSON for each.

    body: of an order, of which each gets its own copy. customer_ids: order by turns. run: begins the name of
    every order.
    """

    host: str
    port: int
    key: str
    run: str
    body: dict[str, Any]
    customer_ids: list[str]
    per_second: float
    told: str
    livez_every_s: float = 0.05
    patience_s: float = 12.0


class Told(msgspec.Struct, kw_only=True, frozen=True):
    """What came of one request. at: the machine's monotonic clock when it was sent. seconds: until then.

    order_id: None for `/livez`. status, answer: None where there was none.
    """

    order_id: str | None
    at: float
    seconds: float
    came: str
    status: int | None = None
    answer: dict[str, Any] | None = None

    @property
    def is_answered(self) -> bool:
        """Whether there was an answer, whatever it said."""
        return self.came == ANSWERED

    @property
    def outcome(self) -> str | None:
        """The outcome of a checkout's answer, None for every other."""
        return None if self.status != 200 or self.answer is None else self.answer.get("outcome")

    @property
    def is_decided(self) -> bool:
        """Whether a decision was told."""
        return self.outcome in {"approved", "declined"}


def order_of(plan: LoadPlan, number: int) -> dict[str, Any]:
    """The order with this number: the same one whenever it is asked for.

    A tenth of a customer's orders have place, device and mailbox in common, others nothing but the merchant:
    each look at one asks for looks at those like it, and what is to be tried here are faults.
    """
    run, customer = plan.run, number % len(plan.customer_ids)
    own = f"{customer}" if number % SHARED_EVERY == 0 else f"{number}n"
    own_place = {"street": f"Straße der {run} {own}", "house_number": "1"}
    return {
        **plan.body,
        "order_id": f"{run}-{number:06}",
        "customer_id": plan.customer_ids[customer],
        "amount_cents": 1_000 + number % 700,
        "vat_cents": 0,
        "device_id": f"device-{run}-{own}",
        "ip_address": f"11.{zlib.crc32(f'{run} {own}'.encode()) % 65_536 // 256}.{number % 250}.7",
        "contact": {"email": f"mail@{run}{own}.example.com", "phone": f"+4930{100_000 + number}"},
        "delivery": {**plan.body["delivery"], **own_place},
        "billing": {**plan.body["billing"], **own_place},
    }


class _Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.used_at = time.monotonic()

    @property
    def is_fresh(self) -> bool:
        return not self._reader.at_eof() and time.monotonic() - self.used_at < IDLE_S

    async def ask(self, request: bytes) -> tuple[int, bytes, bool]:
        """Status, body, and whether the connection may be used again. Raises OSError, EOFError."""
        self._writer.write(request)
        answer = _Answer()
        parser = httptools.HttpResponseParser(answer)
        while not answer.is_whole:
            data = await self._reader.read(65_536)
            if not data:
                raise EOFError
            parser.feed_data(data)
        self.used_at = time.monotonic()
        return parser.get_status_code(), b"".join(answer.parts), parser.should_keep_alive()

    def close(self) -> None:
        self._writer.close()


class _Answer:
    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.is_whole = False

    def on_body(self, body: bytes) -> None:
        self.parts.append(body)

    def on_message_complete(self) -> None:
        self.is_whole = True


class CheckoutLoad:
    """The requests of one plan."""

    def __init__(self, plan: LoadPlan, told: TextIO) -> None:
        self._plan = plan
        self._told = told
        self._idle: list[_Connection] = []

    async def run(self, ended: asyncio.Event) -> None:
        """Send until told to end, then wait for what is on its way."""
        probing = asyncio.create_task(self._probe(ended))
        began, number = time.monotonic(), 0
        asking: set[asyncio.Task[None]] = set()
        while not ended.is_set():
            task = asyncio.create_task(self._order(number))
            asking.add(task)
            task.add_done_callback(asking.discard)
            number += 1
            with suppress(TimeoutError):
                wait = began + number / self._plan.per_second - time.monotonic()
                await asyncio.wait_for(ended.wait(), max(wait, 0.0))
        await asyncio.gather(*asking)
        await probing

    async def _probe(self, ended: asyncio.Event) -> None:
        """Ask `/livez` again and again, over a connection of its own."""
        head = self._head("GET", "/livez")
        while not ended.is_set():
            await self._ask(None, head, is_own=True)
            with suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), self._plan.livez_every_s)

    async def _order(self, number: int) -> None:
        body = order_of(self._plan, number)
        order_id = body["order_id"]
        content = json.dumps(body).encode()
        head = self._head(
            "POST",
            "/v1/score",
            f"Authorization: Bearer {self._plan.key}",
            "Content-Type: application/json",
            f"Idempotency-Key: {order_id}",
            f"Content-Length: {len(content)}",
        )
        await self._ask(order_id, head + content, is_own=number % OWN_CONNECTION_EVERY == 0)

    def _head(self, method: str, path: str, *headers: str) -> bytes:
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self._plan.host}", *headers]
        return "\r\n".join(lines).encode() + b"\r\n\r\n"

    async def _ask(self, order_id: str | None, request: bytes, *, is_own: bool) -> None:
        began = time.monotonic()
        status, answer = None, None
        try:
            async with asyncio.timeout(self._plan.patience_s):
                status, body = await self._asked(request, is_own=is_own)
            came = ANSWERED
            answer = json.loads(body) if order_id is not None and body else None
        except TimeoutError:
            came = SILENT
        except ConnectionRefusedError:
            came = REFUSED
        except (OSError, EOFError):
            came = BROKEN
        told = Told(
            order_id=order_id,
            at=began,
            seconds=time.monotonic() - began,
            came=came,
            status=status,
            answer=answer,
        )
        self._told.write(msgspec.json.encode(told).decode() + "\n")

    async def _asked(self, request: bytes, *, is_own: bool) -> tuple[int, bytes]:
        connection = None if is_own else self._idle_connection()
        if connection is None:
            connection = _Connection(*await asyncio.open_connection(self._plan.host, self._plan.port))
        keeps = False
        try:
            status, body, keeps = await connection.ask(request)
        finally:
            if keeps and not is_own:
                self._idle.append(connection)
            else:
                connection.close()
        return status, body

    def _idle_connection(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_fresh:
                return connection
            connection.close()
        return None


async def _main() -> None:
    plan = msgspec.json.decode(sys.stdin.buffer.readline(), type=LoadPlan)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()

    def read() -> None:
        if not sys.stdin.buffer.read1(1):
            loop.remove_reader(sys.stdin.fileno())
            ended.set()

    loop.add_reader(sys.stdin.fileno(), read)
    with Path(plan.told).open("w", buffering=1) as told:
        await CheckoutLoad(plan, told).run(ended)


if __name__ == "__main__":
    asyncio.run(_main())
