"""What a process needs that answers: routes and apps, the door before them, and what they rest on."""

import gc
import os
from functools import partial
from typing import Any

import msgspec
import uvicorn.config
from starlette.requests import Request
from starlette.responses import Response

from serving.api.domain_problems import problem_of_any
from serving.api.readiness import Readiness, StoreWatch
from serving.api.store_metrics import metrics_page, store_metrics
from serving.console.all_routes import ALL_ROUTES
from serving.console.console_app import console_app
from serving.in_force.model_watch import ModelInForce, ModelRegistry, ModelWatch
from serving.in_force.policy_activation import PolicyFile
from serving.in_force.policy_watch import PolicyWatch
from serving.merchant_form.dispute_form_app import dispute_form_app
from serving.merchant_form.form_app import merchant_form_app
from serving.merchant_form.open_items_app import open_items_app
from serving.process.bounded_http import CONNECTIONS_MAXIMUM, bounded_http
from serving.process.descriptors import connections_within_descriptors
from serving.process.draining import Draining
from serving.process.metric_files import MetricFiles
from serving.process.observability import (
    MODEL_NOT_USABLE,
    POLICY_NOT_USABLE,
    log_as_json_lines,
)
from serving.process.parent_watch import end_with_parent
from serving.process.settings import Settings
from serving.requests.door import Door
from serving.requests.http_requests import admission
from serving.requests.measured_requests import MeasuredRequests
from serving.requests.request_patience import PatientRequests
from serving.requests.request_scope import StoreDoor, scope_from_settings
from serving.requests.route_declaration import ORDER_BODY_BYTES, DoorKind, RouteDeclaration
from serving.requests.store_access import StoreAccess
from serving.route_table import route_table
from serving.store.clock_watch import ClockWatch
from serving.store.running_processes import ProcessKind, Registration
from serving.store.store import now_ms

POSTGRESQL_THREADS = 8


async def _echo(request: Request) -> Response:
    """The empty endpoint that the benchmark compares with."""
    return Response(
        msgspec.json.encode(msgspec.json.decode(admission(request).body)), media_type="application/json"
    )


ECHO = RouteDeclaration(
    method="POST",
    path="/v1/echo",
    door=DoorKind.OPEN,
    body_maximum_bytes=ORDER_BODY_BYTES,
    handler=_echo,
)


class ServingProcess:
    """One for each process that answers. `routes`: all that is answered at the door."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._access = StoreAccess()
        self._readiness = Readiness()
        self.routes = route_table(
            self._access,
            ready=self._readiness.response,
            metrics=metrics_page(partial(store_metrics, self._access)),
        )
        if settings.benchmark:
            self.routes += (ECHO,)
        # BentoML makes uvicorn's configuration and passes no protocol on; this is where uvicorn looks it up.
        uvicorn.config.HTTP_PROTOCOLS["auto"] = bounded_http(  # type: ignore[assignment]  # a class is taken as it is
            head_seconds=settings.head_seconds,
            connections_maximum=connections_within_descriptors(CONNECTIONS_MAXIMUM),
        )
        draining = Draining(on_ending=self._readiness.end)
        draining.install()
        end_with_parent(os.environ, draining.end_all)

    def answer_for(self, service: Any) -> None:
        """Put the apps into BentoML's service, and the door before all of them."""
        service.mount_asgi_app(console_app(self._access, ALL_ROUTES), path="/console")
        service.mount_asgi_app(merchant_form_app(self._access), path="/stop")
        service.mount_asgi_app(dispute_form_app(self._access), path="/dispute")
        service.mount_asgi_app(open_items_app(self._access), path="/open-items")
        service.add_asgi_middleware(MeasuredRequests)
        service.add_asgi_middleware(PatientRequests)
        service.add_asgi_middleware(
            Door,
            access=self._access,
            routes=self.routes,
            problem_of=problem_of_any,
            body_seconds=self._settings.body_seconds,
        )

    def start(self) -> None:
        """Look at store, policy and models, and begin to answer."""
        log_as_json_lines()
        settings = self._settings
        self._watch = self._model_watch(settings.model_name)
        # The worker screens orders and has no port: what it can use is told here.
        self._order_risk_watch = self._model_watch(settings.order_risk_model_name)
        door = StoreDoor(settings.database_url)
        self._policies = PolicyWatch(
            door.open,
            partial(PolicyFile.usable, settings.policy_file),
            poll_seconds=settings.model_poll_seconds,
            now_ms=door.now_ms,
            on_look=lambda problem: POLICY_NOT_USABLE.set(problem is not None),
        )
        self._store_watch = StoreWatch(door, registration=Registration(ProcessKind.SERVICE, now_ms=now_ms))
        self._clock_watch = ClockWatch(door.open, sandbox=lambda: door.sandbox, is_real=lambda: door.is_real)
        self._metric_files = MetricFiles()
        self._metric_files.start()
        self._store_watch.start()
        self._clock_watch.start()
        self._watch.start()
        self._order_risk_watch.start()
        self._policies.start()
        scope = scope_from_settings(
            settings, door=door, watch=self._watch, policy_in_force=self._policies.in_force
        )
        is_postgresql = settings.database_url.startswith("postgresql")
        self._access.start(
            scope,
            threads=POSTGRESQL_THREADS if is_postgresql else 0,
            policy_now=lambda: self._policies.in_force,
            clock_now=lambda: door.clock,
        )
        self._readiness.start(
            self._store_watch,
            policy_now=lambda: self._policies.in_force,
            model_now=lambda: self._access.ready_scope().model,
        )
        _quiet_collector()

    def end(self) -> None:
        """Finish what was begun, stop polling and close the store."""
        self._store_watch.stop()
        self._clock_watch.stop()
        self._watch.stop()
        self._order_risk_watch.stop()
        self._policies.stop()
        self._metric_files.stop()
        self._access.stop()
        if self._access.scope is not None:
            self._access.scope.door.close()

    def _model_watch(self, model_name: str) -> ModelWatch:
        def tell(now: ModelInForce) -> None:
            MODEL_NOT_USABLE.labels(model_name).set(now.model is None)

        return ModelWatch(
            ModelRegistry(self._settings.mlflow_uri, self._settings.artifact_root),
            model_name,
            poll_seconds=self._settings.model_poll_seconds,
            on_change=_quiet_collector,
            on_look=tell,
        )


def _quiet_collector() -> None:
    """Keep what is loaded out of garbage collection: the slowest answers wait for full collections."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)
