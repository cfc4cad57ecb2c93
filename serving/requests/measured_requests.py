"""How often each route is asked, how it answers and how long that takes."""

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.process.metric_files import Counter, Histogram
from serving.requests.route_declaration import ROUTE, RouteDeclaration

REQUESTS = Counter("bonitas_requests", "Requests by route and status", ["method", "route", "status"])
REQUEST_SECONDS = Histogram(
    "bonitas_request_seconds",
    "Time from a request's headers to the end of its answer, in seconds",
    ["method", "route"],
    buckets=(0.001, 0.002, 0.005, 0.01, 0.05, 0.2, 1.0, 5.0),
)

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


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
