"""One delivery attempt over HTTP."""

import asyncio
import enum
import functools
import http.client
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import httpx

from serving.webhooks.endpoint_url import CheckedEndpoint
from serving.webhooks.retry_schedule import retry_after

TIMEOUT_SECONDS = 15.0
MOST_ANSWER_BYTES = 64 * 1024
MOST_ADDRESSES_TRIED = 3


class DeliveryKind(enum.Enum):
    """What an attempt means for the message: done, never again to this endpoint, or once more."""

    DELIVERED = "delivered"
    GONE = "gone"
    RETRY = "retry"


@dataclass(frozen=True, kw_only=True)
class DeliveryResult:
    """What came of one attempt.

    status: None where no answer came.
    detail: one short line in our own words.
    retry_after_seconds: what the receiver asked for, at most a day; for RETRY only.
    answer: the beginning of the answer's body, written by the receiver: not to be trusted.
    was_answered: for a mail server, which answers without a status; also where it refused.
    """

    kind: DeliveryKind
    status: int | None
    detail: str
    retry_after_seconds: int | None = None
    answer: bytes = b""
    was_answered: bool = False


def send(
    endpoint: CheckedEndpoint,
    headers: Mapping[str, str],
    body: bytes,
    *,
    timeout_seconds: float = TIMEOUT_SECONDS,
    tls: ssl.SSLContext | None = None,
) -> DeliveryResult:
    """POST once and wait; as `send_async`, for a thread without an event loop (RuntimeError in one)."""
    return asyncio.run(send_async(endpoint, headers, body, timeout_seconds=timeout_seconds, tls=tls))


async def send_async(
    endpoint: CheckedEndpoint,
    headers: Mapping[str, str],
    body: bytes,
    *,
    timeout_seconds: float = TIMEOUT_SECONDS,
    tls: ssl.SSLContext | None = None,
) -> DeliveryResult:
    """POST once to the checked addresses. Raises httpx.LocalProtocolError for headers that HTTP forbids.

    Whatever network or receiver do is a result, not an error.

    timeout_seconds: for the whole attempt, from connecting to the last byte that is read.
    tls: whom to trust; None for the public authorities, or those that SSL_CERT_FILE names.
    """
    answer = _Answer()
    failure: str | None = None
    try:
        async with asyncio.timeout(timeout_seconds):
            await _exchange(endpoint, headers, body, tls or _public_authorities(), timeout_seconds, answer)
    except TimeoutError:
        failure = f"no complete answer within {timeout_seconds:g} s"
    except (httpx.NetworkError, httpx.TimeoutException, httpx.RemoteProtocolError, OSError) as error:
        failure = f"{type(error).__name__}: {error}"[:200]
    if answer.status is None:
        return DeliveryResult(kind=DeliveryKind.RETRY, status=None, detail=failure or "no answer")
    # The receiver has spoken with the status; a body that breaks off or drags on takes nothing back.
    return _judged(answer, answer.status, failure)


@dataclass
class _Answer:
    status: int | None = None
    retry_after: str | None = None
    body: bytearray = field(default_factory=bytearray)


async def _exchange(
    endpoint: CheckedEndpoint,
    headers: Mapping[str, str],
    body: bytes,
    tls: ssl.SSLContext,
    timeout_seconds: float,
    answer: _Answer,
) -> None:
    addresses = endpoint.addresses[:MOST_ADDRESSES_TRIED]
    # One address that swallows packets must leave time for the next.
    timeout = httpx.Timeout(None, connect=timeout_seconds / len(addresses))
    all_headers = httpx.Headers({"content-type": "application/json", "user-agent": "Bonitas-Webhooks"})
    all_headers.update(headers)
    # Uncompressed: the limit on what is read then holds for what it would become, too.
    all_headers.update({"host": endpoint.authority, "accept-encoding": "identity", "connection": "close"})
    # Without the environment: a proxy named there would look the host up once more.
    async with httpx.AsyncClient(
        verify=tls, timeout=timeout, trust_env=False, follow_redirects=False
    ) as client:
        for address in addresses:
            try:
                async with client.stream(
                    "POST",
                    httpx.URL(
                        scheme=endpoint.scheme,
                        host=address,
                        port=endpoint.port,
                        raw_path=endpoint.target.encode("ascii"),
                    ),
                    headers=all_headers,
                    content=body,
                    extensions={"sni_hostname": endpoint.host},
                ) as response:
                    answer.status = response.status_code
                    answer.retry_after = response.headers.get("retry-after")
                    await _read_beginning(response, answer.body)
                    return
            except (httpx.ConnectError, httpx.ConnectTimeout):
                # Nothing was sent yet, so another address cannot deliver the message twice.
                if address == addresses[-1]:
                    raise


async def _read_beginning(response: httpx.Response, body: bytearray) -> None:
    async for part in response.aiter_raw():
        body += part[: MOST_ANSWER_BYTES - len(body)]
        if len(body) == MOST_ANSWER_BYTES:
            return


def _judged(answer: _Answer, status: int, failure: str | None) -> DeliveryResult:
    detail = f"{status} {_phrase(status)}".strip()
    if 300 <= status < 400:
        detail += "; redirects are not followed"
    if failure is not None:
        detail += f"; {failure}"
    if len(answer.body) == MOST_ANSWER_BYTES:
        detail += f"; answer read up to {MOST_ANSWER_BYTES} bytes"
    if 200 <= status < 300:
        kind = DeliveryKind.DELIVERED
    elif status == http.HTTPStatus.GONE:
        kind = DeliveryKind.GONE
    else:
        kind = DeliveryKind.RETRY
    return DeliveryResult(
        kind=kind,
        status=status,
        detail=detail,
        retry_after_seconds=(
            retry_after(answer.retry_after, datetime.now(UTC)) if kind is DeliveryKind.RETRY else None
        ),
        answer=bytes(answer.body),
    )


def _phrase(status: int) -> str:
    # Ours, not the receiver's: what it wrote there ends up in logs and pages.
    return http.client.responses.get(status, "")


@functools.cache
def _public_authorities() -> ssl.SSLContext:
    return httpx.create_ssl_context()
