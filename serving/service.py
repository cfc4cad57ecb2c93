"""The BentoML service: what a worker runs. Importing this module reads the settings; nothing else does."""

import gc
import os
from functools import partial
from typing import Any

import bentoml
import msgspec
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from data_contracts.private_files import keep_new_files_private
from serving.console.all_routes import ALL_ROUTES
from serving.console.console_app import console_app
from serving.domain.errors import RiskError
from serving.merchant_form.form_app import merchant_form_app
from serving.model_watch import ModelInForce, ModelRegistry, ModelWatch
from serving.observability import MODEL_NOT_USABLE, POLICY_NOT_USABLE, log_as_json_lines, metrics_app
from serving.policy_activation import PolicyFile
from serving.policy_watch import PolicyWatch
from serving.problem_details import ProblemError
from serving.readiness import Readiness, StoreWatch
from serving.request_patience import SERVER_TIMEOUT_S, PatientRequests
from serving.request_scope import StoreDoor, scope_from_settings
from serving.score_app import ScoreApi, problem_of, unknown_outcome
from serving.settings import Settings
from serving.store.errors import CommitUnknown
from serving.store.store import now_ms
from serving.store_access import StoreAccess
from serving.store_metrics import store_metrics

# Whoever starts BentoML directly gets private files too.
keep_new_files_private()
SETTINGS = Settings.from_env(os.environ)
POSTGRESQL_THREADS = 8

ACCESS = StoreAccess()
READINESS = Readiness()
API = ScoreApi(ACCESS)
APP = API.app()


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


if SETTINGS.benchmark:

    async def _echo(request: Any) -> Response:
        return Response(
            msgspec.json.encode(msgspec.json.decode(await request.body())), media_type="application/json"
        )

    APP.router.routes.insert(0, Route("/echo", _echo, methods=["POST"]))


@bentoml.service(
    name="bonitas",
    workers=SETTINGS.workers,
    traffic={"timeout": SERVER_TIMEOUT_S},
    logging={"access": {"enabled": False}},
    metrics={"enabled": False},
    tracing={"excluded_urls": "v1/.*,stop/.*,console/.*"},
)
@bentoml.asgi_app(APP, path="/v1")
@bentoml.asgi_app(merchant_form_app(ACCESS), path="/stop")
@bentoml.asgi_app(console_app(ACCESS, ALL_ROUTES), path="/console")
@bentoml.asgi_app(metrics_app(partial(store_metrics, ACCESS)), path="/")
class CreditService:
    """The API at /v1, the merchant's form at /stop, the console at /console, and BentoML's `score`."""

    def __init__(self) -> None:
        log_as_json_lines()
        self._watch = _watch(SETTINGS.model_name)
        # The worker screens orders and has no port: what it can use is told here.
        self._order_risk_watch = _watch(SETTINGS.order_risk_model_name)
        door = StoreDoor(SETTINGS.database_url)
        self._policies = PolicyWatch(
            door.open,
            PolicyFile.read(SETTINGS.policy_file),
            poll_seconds=SETTINGS.model_poll_seconds,
            now_ms=now_ms,
            on_look=lambda problem: POLICY_NOT_USABLE.set(problem is not None),
        )
        self._store_watch = StoreWatch(door)
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
    async def score(self, order: dict[str, Any], /, ctx: bentoml.Context) -> dict[str, Any]:
        """What POST /v1/score answers, for `bentoml.SyncHTTPClient(url, token=API_KEY).score(order)`."""
        headers = ctx.request.headers
        try:
            return await API.score_document(
                headers.get("authorization"),
                order,
                idempotency_key=headers.get("idempotency-key"),
                language=headers.get("accept-language"),
            )
        except RiskError as error:
            problem = problem_of(error)
        except ProblemError as error:
            problem = error
        except CommitUnknown:
            problem = unknown_outcome()
        ctx.response.status_code = problem.status
        return msgspec.json.decode(problem.response().body, type=dict[str, Any])

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]  # as above
    def end(self) -> None:
        """Finish what was begun, stop polling and close the store."""
        self._store_watch.stop()
        self._watch.stop()
        self._order_risk_watch.stop()
        self._policies.stop()
        ACCESS.stop()
        if ACCESS.scope is not None:
            ACCESS.scope.door.close()


class _OwnPages:
    """Answers two paths in BentoML's stead.

    `/` leads to the console, because BentoML's page there loads scripts from elsewhere. `/readyz` tells
    whether this process can decide; BentoML's says only that it runs, as `/livez` does.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"] if scope["type"] == "http" else None
        if path == "/":
            await RedirectResponse("/console/")(scope, receive, send)
        elif path == "/readyz" and scope["method"] in {"GET", "HEAD"}:
            await READINESS.response()(scope, receive, send)
        else:
            await self._app(scope, receive, send)


CreditService.add_asgi_middleware(_OwnPages)  # type: ignore[attr-defined]  # BentoML has no types
CreditService.add_asgi_middleware(PatientRequests)  # type: ignore[attr-defined]  # as above
