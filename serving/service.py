"""The BentoML service: what a worker runs. Importing this module reads the settings; nothing else does."""

import gc
import os
from functools import partial
from typing import Any

import bentoml
import msgspec
import uvicorn.config
from bentoml.exceptions import NotFound
from starlette.requests import Request
from starlette.responses import Response

from data_contracts.private_files import keep_new_files_private
from serving.api.domain_problems import problem_of_any
from serving.api.readiness import Readiness, StoreWatch
from serving.api.store_metrics import metrics_page, store_metrics
from serving.console.all_routes import ALL_ROUTES
from serving.console.console_app import console_app
from serving.in_force.model_watch import ModelInForce, ModelRegistry, ModelWatch
from serving.in_force.policy_activation import PolicyFile
from serving.in_force.policy_watch import PolicyWatch
from serving.merchant_form.form_app import merchant_form_app
from serving.process.bounded_http import bounded_http
from serving.process.draining import Draining
from serving.process.metric_files import MetricFiles
from serving.process.observability import (
    MODEL_NOT_USABLE,
    POLICY_NOT_USABLE,
    log_as_json_lines,
)
from serving.process.process_manager import close_control_ports
from serving.process.settings import Settings
from serving.process.slim_process import leave_out_data_frames
from serving.requests.door import Door
from serving.requests.http_requests import admission
from serving.requests.measured_requests import MeasuredRequests
from serving.requests.request_patience import SERVER_TIMEOUT_S, PatientRequests
from serving.requests.request_scope import StoreDoor, scope_from_settings
from serving.requests.route_declaration import ORDER_BODY_BYTES, DoorKind, RouteDeclaration
from serving.requests.store_access import StoreAccess
from serving.route_table import route_table
from serving.store.store import now_ms

leave_out_data_frames()
# Whoever starts BentoML directly gets private files too.
keep_new_files_private()
SETTINGS = Settings.from_env(os.environ)
POSTGRESQL_THREADS = 8

ACCESS = StoreAccess()
READINESS = Readiness()
ROUTES = route_table(ACCESS, ready=READINESS.response, metrics=metrics_page(partial(store_metrics, ACCESS)))

# Here and not where our command starts the server, so that `bentoml serve` has the same bounds.
close_control_ports()
Draining(on_ending=READINESS.end).install()
# BentoML makes uvicorn's configuration itself and passes no protocol on; this is where uvicorn looks it up.
uvicorn.config.HTTP_PROTOCOLS["auto"] = bounded_http(head_seconds=SETTINGS.head_seconds)  # type: ignore[assignment]  # a class is taken as it is


def _quiet_collector() -> None:
    """Keep what is loaded out of garbage collection: the slowest answers wait for full collections."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)


def _watch(model_name: str) -> ModelWatch:
    def tell(now: ModelInForce) -> None:
        MODEL_NOT_USABLE.labels(model_name).set(now.model is None)

    return ModelWatch(
        ModelRegistry(SETTINGS.mlflow_uri, SETTINGS.artifact_root),
        model_name,
        poll_seconds=SETTINGS.model_poll_seconds,
        on_change=_quiet_collector,
        on_look=tell,
    )


async def _echo(request: Request) -> Response:
    """The empty endpoint that the benchmark compares with."""
    return Response(
        msgspec.json.encode(msgspec.json.decode(admission(request).body)), media_type="application/json"
    )


if SETTINGS.benchmark:
    ROUTES += (
        RouteDeclaration(
            method="POST",
            path="/v1/echo",
            door=DoorKind.OPEN,
            body_maximum_bytes=ORDER_BODY_BYTES,
            handler=_echo,
        ),
    )


@bentoml.service(
    name="bonitas",
    workers=SETTINGS.workers,
    traffic={"timeout": SERVER_TIMEOUT_S},
    logging={"access": {"enabled": False}},
    metrics={"enabled": False},
    tracing={"excluded_urls": "v1/.*,stop/.*,console/.*"},
)
@bentoml.asgi_app(merchant_form_app(ACCESS), path="/stop")
@bentoml.asgi_app(console_app(ACCESS, ALL_ROUTES), path="/console")
class CreditService:
    """The API at /v1 and BentoML's `score` by the door; behind it the merchant's form and the console."""

    def __init__(self) -> None:
        log_as_json_lines()
        self._watch = _watch(SETTINGS.model_name)
        # The worker screens orders and has no port: what it can use is told here.
        self._order_risk_watch = _watch(SETTINGS.order_risk_model_name)
        door = StoreDoor(SETTINGS.database_url)
        self._policies = PolicyWatch(
            door.open,
            partial(PolicyFile.usable, SETTINGS.policy_file),
            poll_seconds=SETTINGS.model_poll_seconds,
            now_ms=now_ms,
            on_look=lambda problem: POLICY_NOT_USABLE.set(problem is not None),
        )
        self._store_watch = StoreWatch(door)
        self._metric_files = MetricFiles()
        self._metric_files.start()
        self._store_watch.start()
        self._watch.start()
        self._order_risk_watch.start()
        self._policies.start()
        scope = scope_from_settings(
            SETTINGS, door=door, watch=self._watch, policy_in_force=self._policies.in_force
        )
        is_postgresql = SETTINGS.database_url.startswith("postgresql")
        ACCESS.start(
            scope,
            threads=POSTGRESQL_THREADS if is_postgresql else 0,
            policy_now=lambda: self._policies.in_force,
        )
        READINESS.start(
            self._store_watch,
            policy_now=lambda: self._policies.in_force,
            model_now=lambda: ACCESS.ready_scope().model,
        )
        _quiet_collector()

    @bentoml.api(route="/score")  # type: ignore[untyped-decorator]  # BentoML has no types
    async def score(self, order: dict[str, Any], /) -> dict[str, Any]:  # noqa: ARG002 for the schema
        """What POST /v1/score answers, for `bentoml.SyncHTTPClient(url, token=API_KEY).score(order)`.

        Only declared here, for the schema that BentoML's client reads. POST /score is answered by the handler
        of /v1/score: BentoML would parse the body of whoever sends one, before anybody asks for a key.
        """
        raise NotFound("POST /score is answered at the door")

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]  # as above
    def end(self) -> None:
        """Finish what was begun, stop polling and close the store."""
        self._store_watch.stop()
        self._watch.stop()
        self._order_risk_watch.stop()
        self._policies.stop()
        self._metric_files.stop()
        ACCESS.stop()
        if ACCESS.scope is not None:
            ACCESS.scope.door.close()


CreditService.add_asgi_middleware(MeasuredRequests)  # type: ignore[attr-defined]  # BentoML has no types
CreditService.add_asgi_middleware(PatientRequests)  # type: ignore[attr-defined]  # as above
CreditService.add_asgi_middleware(  # type: ignore[attr-defined]  # as above
    Door,
    access=ACCESS,
    routes=ROUTES,
    problem_of=problem_of_any,
    body_seconds=SETTINGS.body_seconds,
)
