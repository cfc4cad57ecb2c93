"""What the service tells about itself: Prometheus metrics and structured logs, ids only, never people."""

import json
import logging
import os
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.route_declaration import ROUTE, Handler, RouteDeclaration

DECISIONS = Counter("bonitas_decisions", "Checkout decisions by outcome", ["outcome"])
ANSWER_SECONDS = Histogram(
    "bonitas_score_seconds",
    "Time from a decoded body to an answer, in seconds",
    buckets=(0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0),
)
HELD_EVENTS = Counter("bonitas_held_events", "Ledger rows that arrived before what they refer to")
POLICY_NOT_USABLE = Gauge(
    "bonitas_policy_not_usable",
    "1 where a process cannot use the newest policy of the store and goes on with the one before, else 0",
    multiprocess_mode="livemax",
)
MODEL_NOT_USABLE = Gauge(
    "bonitas_model_not_usable",
    "1 where no champion of a model can decide: none is there, it reads features that are computed no more, "
    "or its files are not those that were registered; else 0",
    ["model"],
    multiprocess_mode="livemax",
)

REQUESTS = Counter("bonitas_requests", "Requests by route and status", ["method", "route", "status"])
REQUEST_SECONDS = Histogram(
    "bonitas_request_seconds",
    "Time from a request's headers to the end of its answer, in seconds",
    ["method", "route"],
    buckets=(0.001, 0.002, 0.005, 0.01, 0.05, 0.2, 1.0, 5.0),
)

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    """One JSON object a line: when, level, logger, the constant event, and the fields given as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """The line for one record."""
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        line |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def log_as_json_lines() -> None:
    """Send the loggers below `bonitas` to stderr as JSON lines."""
    logger = logging.getLogger("bonitas")
    if not logger.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(JsonLines())
        logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False


class MeasuredRequests:
    """Counts and times requests by the route that the door found for them.

    By the route, not by the path: a path holds an order's id, and a time series for each order would
    fill the memory. That is also why BentoML's own request metrics, which go by the path, are off.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            route = scope.get(ROUTE)
            path = route.path if isinstance(route, RouteDeclaration) else "none"
            # Anybody may invent a method, and each would be a time series of its own.
            method = scope["method"] if scope["method"] in METHODS else "other"
            REQUESTS.labels(method, path, status).inc()
            REQUEST_SECONDS.labels(method, path).observe(time.perf_counter() - began)


def metrics_page(more: Callable[[], Awaitable[bytes]]) -> Handler:
    """The page `/metrics`. more: figures that no process of the service counts, in Prometheus's text form."""

    async def metrics(_request: Request) -> Response:
        registry = REGISTRY
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            # Each worker keeps its own figures in a file; together they are the service's.
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # the library has no types here
        content = generate_latest(registry) + await more()
        return Response(content, media_type="text/plain; version=0.0.4; charset=utf-8")

    return metrics
