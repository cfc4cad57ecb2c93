"""A keep-alive HTTP/1.1 client on bare asyncio sockets: light enough not to be what a benchmark measures."""

import asyncio
from dataclasses import dataclass

import httptools


@dataclass(frozen=True, kw_only=True)
class HttpAnswer:
    """Status and body of one answer."""

    status: int
    body: bytes


class ConnectionEndedError(Exception):
    """The server closed the connection before the answer was complete."""


class KeepAliveConnection:
    """One connection, one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, host: str, port: int) -> "KeepAliveConnection":
        """Connect. Raises OSError where nobody listens."""
        return cls(*await asyncio.open_connection(host, port))

    async def post(self, request: bytes) -> HttpAnswer:
        """Send a prepared request (see `prepared_post`) and wait for the whole answer."""
        self._writer.write(request)
        collected = _Collected()
        parser = httptools.HttpResponseParser(collected)
        while not collected.complete:
            data = await self._reader.read(65_536)
            if not data:
                raise ConnectionEndedError
            parser.feed_data(data)
        return HttpAnswer(status=parser.get_status_code(), body=b"".join(collected.parts))

    async def close(self) -> None:
        """Close the connection."""
        self._writer.close()
        await self._writer.wait_closed()


class _Collected:
    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.complete = False

    def on_body(self, body: bytes) -> None:
        self.parts.append(body)

    def on_message_complete(self) -> None:
        self.complete = True


def prepared_post(path: str, body: bytes, *, host: str, headers: dict[str, str]) -> bytes:
    """The bytes of one POST with a JSON body."""
    lines = [
        f"POST {path} HTTP/1.1",
        f"Host: {host}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
