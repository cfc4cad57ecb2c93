"""`/readyz`: whether this process can decide, and what it lacks where it cannot.

A thread looks at the store every second; a probe only reads what was found, so that probes cost no query.
"""

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import msgspec
from starlette.responses import Response

from serving.in_force.model_watch import ModelInForce
from serving.in_force.policy_watch import PolicyInForce
from serving.process.regular_look import RegularLook
from serving.requests.request_patience import LOCK_WAIT_S
from serving.requests.request_scope import StoreDoor
from serving.store.errors import StoreBusy, StoreError, StoreLost, StoreNotMigrated
from serving.store.running_processes import Registration
from serving.store.store import Store

LOG = logging.getLogger("bonitas.store")
LOOK_SECONDS = 1.0
SILENT_SECONDS = 5.0
"""A look that takes longer has found a store that does not answer."""
BUSY_PAUSE_SECONDS = 0.02


@dataclass(frozen=True, kw_only=True)
class MissingPart:
    """What a process needs to decide and has not. code: as in the reasons of an `unavailable` answer."""

    code: str
    reason: str


class StoreWatch:
    """Looks every second whether the store can be used; a store that is lost is given up.

    registration: says in the store that this process runs; None where that is not said.

    A lock of another process is trouble once a request could not outwait it.
    """

    def __init__(
        self,
        door: StoreDoor,
        *,
        registration: Registration | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._door = door
        self._registration = registration
        self._monotonic = monotonic
        self._problem: str | None = "the store was not looked at yet"
        self._looked_at = monotonic()
        self._looking = RegularLook(self.look, name="store-watch", every_seconds=LOOK_SECONDS)

    @property
    def problem(self) -> str | None:
        """Why the store cannot be used now, None where it can. Costs nothing."""
        silent_seconds = self._monotonic() - self._looked_at
        if silent_seconds > SILENT_SECONDS:
            return f"the store has not answered for {silent_seconds:.0f} s"
        return self._problem

    def start(self) -> None:
        """Look once, here and now, and go on in the background."""
        self._looking.start()

    def stop(self) -> None:
        """End the looking; returns when it has ended."""
        self._looking.stop()
        if self._registration is not None:
            try:
                self._registration.end(self._door.open())
            except StoreError as problem:
                LOG.info("not_written", extra={"reason": str(problem)})

    def look(self) -> None:
        """Look once."""
        try:
            self._check()
        except StoreBusy as busy:
            self._found("the store is locked by another process", logged=str(busy))
        except StoreError as problem:
            told = isinstance(problem, StoreLost | StoreNotMigrated) or isinstance(
                problem.__cause__, StoreLost | StoreNotMigrated
            )
            # Anybody may ask: a database's own message can hold its address and its user.
            self._found(str(problem) if told else "the store cannot be reached", logged=str(problem))
        except Exception as unexpected:  # one look that fails must not end the looking
            LOG.exception("store_look_failed")
            self._found(f"looking at the store failed: {type(unexpected).__name__}")
        else:
            self._found(None)

    def _check(self) -> None:
        patient_until = self._monotonic() + LOCK_WAIT_S
        while True:
            try:
                store = self._door.open()
                try:
                    store.check()
                    self._stay_registered(store)
                except (StoreLost, StoreNotMigrated):
                    self._door.forget(store)
                    raise
            except StoreBusy:
                if self._monotonic() > patient_until:
                    raise
                time.sleep(BUSY_PAUSE_SECONDS)
            else:
                return

    def _stay_registered(self, store: Store) -> None:
        if self._registration is None:
            return
        # That another process writes just now was found out before, and this is worth no wait.
        with suppress(StoreBusy):
            self._registration.renew(store)

    def _found(self, problem: str | None, *, logged: str | None = None) -> None:
        if problem is None and self._problem is not None:
            LOG.info("store_usable")
        elif problem != self._problem:
            LOG.warning("store_not_usable", extra={"reason": problem, "detail": logged})
        self._problem = problem
        self._looked_at = self._monotonic()


class Readiness:
    """What `/readyz` answers. Starts with the service; until then nothing is ready."""

    def __init__(self) -> None:
        self._missing: Callable[[], tuple[MissingPart, ...]] | None = None
        self._is_ending = False

    def start(
        self,
        store: StoreWatch,
        *,
        policy_now: Callable[[], PolicyInForce],
        model_now: Callable[[], ModelInForce],
    ) -> None:
        """Begin to answer, from what three watches have found last."""
        self._missing = lambda: missing_parts(store.problem, policy_now(), model_now())

    def end(self) -> None:
        """The process ends: what may still be decided is for those who are connected already."""
        self._is_ending = True

    def response(self) -> Response:
        """200 where this process can decide; 503 with a problem document that names what it lacks."""
        missing = (
            (MissingPart(code="starting", reason="the service is starting"),)
            if self._missing is None
            else self._missing()
        )
        if self._is_ending:
            missing = (MissingPart(code="ending", reason="the service is ending"),)
        headers = {"Cache-Control": "no-store"}
        if not missing:
            return Response(b'{"status":"ready"}', headers=headers, media_type="application/json")
        document = {
            "type": "urn:bonitas:problem:not-ready",
            "title": "This process cannot decide",
            "status": 503,
            "missing": missing,
        }
        return Response(
            msgspec.json.encode(document),
            status_code=503,
            headers=headers,
            media_type="application/problem+json",
        )


def missing_parts(
    store_problem: str | None, policy: PolicyInForce, model: ModelInForce
) -> tuple[MissingPart, ...]:
    """What keeps a process from deciding, empty where nothing does."""
    found = (
        ("no_store", store_problem),
        ("no_policy", policy.technical_reason),
        ("no_model", None if model.model is not None else model.technical_reason or "there is none"),
    )
    return tuple(MissingPart(code=code, reason=reason) for code, reason in found if reason is not None)
