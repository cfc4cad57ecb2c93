"""A small merchant on loopback for a first look: takes webhooks, verifies them, and answers."""

import json
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
from standardwebhooks import Webhook, WebhookVerificationError

SAMPLE_MERCHANT_ID = "sample-shop"


class NoticeNotReceivedError(Exception):
    """No notice arrived in time."""


@dataclass(frozen=True, kw_only=True)
class Received:
    """One webhook as it came: lower-case header names, and the body to the byte."""

    headers: dict[str, str]
    body: bytes


class _Receiver(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.received: queue.Queue[Received] = queue.Queue()


class _Handler(BaseHTTPRequestHandler):
    server: _Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): text for name, text in self.headers.items()}
        self.server.received.put(Received(headers=headers, body=body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002  as http.server names it
        """Write nothing: what was received is shown by whoever asked for it."""


class SampleMerchant:
    """Listens while the block of `sample_merchant` runs."""

    def __init__(self, receiver: _Receiver) -> None:
        self._receiver = receiver

    @property
    def endpoint_url(self) -> str:
        """Where it takes webhooks."""
        return f"http://127.0.0.1:{self._receiver.server_address[1]}/webhooks"

    def account_event(self, now: datetime) -> dict[str, Any]:
        """The ledger row that says where this merchant is reached, for POST /v1/events."""
        stamp = now.astimezone(UTC).isoformat(timespec="milliseconds")
        return {
            "contract": "merchants",
            "event_id": f"{SAMPLE_MERCHANT_ID}-{now:%Y%m%d%H%M%S%f}",
            "occurred_at": stamp,
            "merchant_id": SAMPLE_MERCHANT_ID,
            "name": "Sample Shop",
            "country": "DE",
            "language": "en",
            "email": "orders@shop.example",
            "endpoint_url": self.endpoint_url,
            "has_portal_account": False,
            "category": "electronics",
            "handover_cutoff_local_time": "17:00",
        }

    def next_notice(self, secret: str, *, within_seconds: float) -> dict[str, Any]:
        """The next webhook's body, verified with the merchant's secret by the reference library.

        Raises NoticeNotReceivedError, also for one whose signature does not verify.
        """
        try:
            received = self._receiver.received.get(timeout=within_seconds)
        except queue.Empty:
            raise NoticeNotReceivedError(f"no webhook arrived within {within_seconds:.0f} s") from None
        try:
            verified = Webhook(secret).verify(received.body, received.headers)
        except WebhookVerificationError as problem:
            raise NoticeNotReceivedError(f"the webhook's signature does not verify: {problem}") from problem
        if not isinstance(verified, dict):
            raise NoticeNotReceivedError(f"the webhook holds no object: {json.dumps(verified)}")
        return verified

    def answer_by_form(self, answer_url: str, **fields: str) -> None:
        """Fill in the form behind the link. Raises httpx.HTTPStatusError where it is not taken."""
        httpx.post(answer_url, data=fields, timeout=30.0, follow_redirects=True).raise_for_status()


@contextmanager
def sample_merchant() -> Iterator[SampleMerchant]:
    """A merchant that listens on a free port of this machine."""
    receiver = _Receiver()
    thread = threading.Thread(target=receiver.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield SampleMerchant(receiver)
    finally:
        receiver.shutdown()
        receiver.server_close()
        thread.join()
