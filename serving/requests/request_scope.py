"""What a request needs to be answered: built once when a worker starts, shared by all requests."""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from features.feature_sets import FeatureSet
from serving.domain.policy import Policy
from serving.in_force.champion_notice import other_terms
from serving.in_force.model_watch import ModelInForce, ModelWatch
from serving.in_force.policy_watch import PolicyInForce
from serving.process.settings import DEFAULT_PUBLIC_URL, EVIDENCE_FOLDER, Settings
from serving.requests.authentication import Authentication
from serving.requests.case_scope import CaseScope
from serving.store.api_keys import Caller, caller_of
from serving.store.errors import StoreBusy, StoreNotMigrated, StoreUnavailable
from serving.store.open_store import open_store
from serving.store.sandbox_clock import Clock, SandboxClock, sandbox_of
from serving.store.store import IN_REQUESTS, Store, now_ms

LOG = logging.getLogger("bonitas.store")
RETRY_SECONDS = 1.0
DEFAULT_EVIDENCE_FOLDER = Path(EVIDENCE_FOLDER)


class StoreDoor:
    """Opens the store when it is first needed, and again after it could not be opened."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self._store: Store | None = None
        self._lost: list[Store] = []
        self._lock = threading.Lock()
        self._not_before = 0.0
        self._problem: Exception | None = None
        self._was_opened = False
        self._sandbox: SandboxClock | None = None

    @property
    def sandbox(self) -> SandboxClock | None:
        """The clock of a sandbox; None in a real store, and until the store was opened first."""
        return self._sandbox

    @property
    def is_real(self) -> bool:
        """Whether the store is known to be no sandbox."""
        return self._was_opened and self._sandbox is None

    @property
    def clock(self) -> Clock:
        """By which the store goes, as far as is known now."""
        if not self._was_opened:
            return self.now_ms
        return now_ms if self._sandbox is None else self._sandbox.now_ms

    def now_ms(self) -> int:
        """By the clock of the store; the machine's until the store was opened first."""
        return now_ms() if self._sandbox is None else self._sandbox.now_ms()

    def open(self) -> Store:
        """The store. Raises StoreUnavailable; asks the database at most once a second while it is down.

        Raises StoreBusy where a lock keeps it from being opened; then it may be tried again at once.
        """
        if self._store is not None:
            return self._store
        if not self._lock.acquire(blocking=False):
            # To open it takes as long as it takes, and the event loop may wait for nothing.
            raise StoreBusy("the store is just being opened")
        try:
            if self._store is None:
                if time.monotonic() < self._not_before:
                    raise StoreUnavailable(str(self._problem)) from self._problem
                try:
                    self._store = self._opened()
                except StoreBusy:
                    raise
                except (StoreNotMigrated, StoreUnavailable) as problem:
                    LOG.exception("store_cannot_be_opened")
                    self._not_before = time.monotonic() + RETRY_SECONDS
                    self._problem = problem
                    raise StoreUnavailable(str(problem)) from problem
            return self._store
        finally:
            self._lock.release()

    def _opened(self) -> Store:
        """Raises StoreUnavailable where a sandbox lies in place of a real store, or the other way round."""
        store = open_store(self._database_url, IN_REQUESTS)
        with ExitStack() as on_failure:
            on_failure.callback(store.close)
            sandbox = sandbox_of(store)
            if self._was_opened and (sandbox is None) is not (self._sandbox is None):
                raise StoreUnavailable(
                    "another kind of store lies in the place of the first, a sandbox or a real one: start "
                    "the process anew"
                )
            if self._sandbox is None:
                self._sandbox = sandbox
            else:
                self._sandbox.look(store)
            self._was_opened = True
            on_failure.pop_all()
        return store

    def forget(self, store: Store) -> None:
        """Give up a lost store: who comes next opens what is in its place. Whoever has it may still end."""
        with self._lock:
            if self._store is store:
                self._lost.append(store)
                self._store = None

    def close(self) -> None:
        """Close the store if it was opened."""
        with self._lock:
            if self._store is not None:
                self._lost.append(self._store)
                self._store = None
            for store in self._lost:
                store.close()
            self._lost.clear()


@dataclass(frozen=True, kw_only=True)
class RequestScope:
    """Store, model, policy, keys and clock.

    policy_in_force: one for the whole of a request, which has a scope of its own once the policy changes.
    public_url: under which merchants reach the service, without a slash at its end.
    evidence_folder: where files about disputes lie.
    now_ms: the clock of the store, milliseconds since 1970 UTC.
    """

    door: StoreDoor
    watch: ModelWatch
    policy_in_force: PolicyInForce
    public_url: str = DEFAULT_PUBLIC_URL
    evidence_folder: Path = DEFAULT_EVIDENCE_FOLDER
    now_ms: Callable[[], int] = now_ms
    authentication: Authentication = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "authentication", Authentication(self._caller_of, now_ms=self.now_ms))

    @property
    def store(self) -> Store:
        """Raises StoreUnavailable."""
        return self.door.open()

    @property
    def model(self) -> ModelInForce:
        """The champion now, or why there is none; none that learned other terms than the policy's."""
        in_force = self.watch.in_force
        if in_force.model is None or self.policy_in_force.technical_reason is not None:
            return in_force
        problem = other_terms(in_force.model, self.policy_in_force.judging)
        return in_force if problem is None else ModelInForce(model=None, technical_reason=problem)

    @property
    def policy(self) -> Policy:
        """The policy in force. Raises NoPolicyInForce while none was read from the store."""
        return self.policy_in_force.judging

    @property
    def cases(self) -> CaseScope:
        """What the fraud team's use cases need. Raises StoreUnavailable."""
        return CaseScope(
            store=self.store,
            policy=self.policy,
            now_ms=self.now_ms,
            public_url=self.public_url,
            is_sandbox=self.door.sandbox is not None,
        )

    @property
    def sandbox_ahead_ms(self) -> int | None:
        """How far the clock of a sandbox is ahead of the machine's; None where the store is none."""
        return None if self.door.sandbox is None else self.door.sandbox.ahead_ms()

    @property
    def feature_set(self) -> FeatureSet | None:
        """The feature set of the champion, None without one."""
        model = self.model.model
        return None if model is None else model.feature_set

    def _caller_of(self, secret: str) -> Caller | None:
        with self.store.reading() as tx:
            return caller_of(tx, secret)


def scope_from_settings(
    settings: Settings, *, door: StoreDoor, watch: ModelWatch, policy_in_force: PolicyInForce
) -> RequestScope:
    """The scope of a service process; a store that is down is met by the requests."""
    return RequestScope(
        door=door,
        watch=watch,
        policy_in_force=policy_in_force,
        public_url=settings.public_url or DEFAULT_PUBLIC_URL,
        now_ms=door.clock,
        evidence_folder=settings.evidence_folder,
    )
