"""What a request needs to be answered: built once when a worker starts, shared by all requests."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from features.feature_sets import FeatureSet
from serving.authentication import Authentication
from serving.case_scope import CaseScope
from serving.domain.policy import Policy, parse_policy
from serving.model_watch import ModelInForce, ModelWatch
from serving.settings import DEFAULT_PUBLIC_URL, Settings
from serving.store.api_keys import Caller, caller_of
from serving.store.errors import PolicyVersionReused, StoreNotMigrated, StoreUnavailable
from serving.store.policies import keep_policy
from serving.store.store import Store, now_ms, open_store

LOG = logging.getLogger("bonitas.store")
RETRY_SECONDS = 1.0
POLICY_FILE = Path(__file__).parent / "policy.toml"


class StoreDoor:
    """Opens the store when it is first needed, and again after it could not be opened."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self._store: Store | None = None
        self._lock = threading.Lock()
        self._not_before = 0.0
        self._reason = ""

    def open(self) -> Store:
        """The store. Raises StoreUnavailable; asks the database at most once a second while it is down."""
        if self._store is not None:
            return self._store
        with self._lock:
            if self._store is None:
                if time.monotonic() < self._not_before:
                    raise StoreUnavailable(self._reason)
                try:
                    self._store = open_store(self._database_url)
                except (StoreNotMigrated, StoreUnavailable) as problem:
                    LOG.exception("store_cannot_be_opened")
                    self._not_before = time.monotonic() + RETRY_SECONDS
                    self._reason = str(problem)
                    raise StoreUnavailable(str(problem)) from problem
            return self._store

    def close(self) -> None:
        """Close the store if it was opened."""
        with self._lock:
            if self._store is not None:
                self._store.close()
                self._store = None


@dataclass(frozen=True, kw_only=True)
class PolicyInForce:
    """The policy and the text that it was read from, which the store keeps for replay."""

    policy: Policy
    text: str

    @classmethod
    def read(cls, file: Path | None) -> "PolicyInForce":
        """Read a policy file, by default the one beside the code. Raises PolicyInvalid or OSError."""
        text = (file or POLICY_FILE).read_text(encoding="utf-8")
        return cls(policy=parse_policy(text), text=text)


@dataclass(frozen=True, kw_only=True)
class RequestScope:
    """Store, model, policy, keys and clock.

    public_url: under which merchants reach the service, without a slash at its end.
    now_ms: the clock at the rim, milliseconds since 1970 UTC.
    """

    door: StoreDoor
    watch: ModelWatch
    policy_in_force: PolicyInForce
    public_url: str = DEFAULT_PUBLIC_URL
    now_ms: Callable[[], int] = now_ms
    authentication: Authentication = field(init=False)
    _policy_is_kept: threading.Event = field(init=False, default_factory=threading.Event)

    def __post_init__(self) -> None:
        object.__setattr__(self, "authentication", Authentication(self._caller_of))

    @property
    def store(self) -> Store:
        """Raises StoreUnavailable."""
        return self.door.open()

    @property
    def model(self) -> ModelInForce:
        """The champion now, or why there is none."""
        return self.watch.in_force

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        return self.policy_in_force.policy

    @property
    def cases(self) -> CaseScope:
        """What the fraud team's use cases need. Raises StoreUnavailable."""
        return CaseScope(store=self.store, policy=self.policy, now_ms=self.now_ms, public_url=self.public_url)

    @property
    def feature_set(self) -> FeatureSet | None:
        """The feature set of the champion, None without one."""
        model = self.model.model
        return None if model is None else model.feature_set

    def keep_policy(self) -> None:
        """Keep the policy's text in the store, so that its decisions can be replayed; once is enough.

        Raises StoreUnavailable, also when another text has the policy's version: a decision under it
        could not be recomputed, so none is made.
        """
        if self._policy_is_kept.is_set():
            return
        try:
            keep_policy(
                self.store,
                version=self.policy.version,
                content=self.policy_in_force.text,
                now_ms=self.now_ms(),
            )
        except PolicyVersionReused as problem:
            raise StoreUnavailable(str(problem)) from problem
        self._policy_is_kept.set()

    def _caller_of(self, secret: str) -> Caller | None:
        with self.store.reading() as tx:
            return caller_of(tx, secret)


def scope_from_settings(settings: Settings, watch: ModelWatch) -> RequestScope:
    """The scope of a worker. Raises PolicyInvalid; a store that is down is met by the requests."""
    return RequestScope(
        door=StoreDoor(settings.database_url),
        watch=watch,
        policy_in_force=PolicyInForce.read(settings.policy_file),
        public_url=settings.public_url or DEFAULT_PUBLIC_URL,
    )
