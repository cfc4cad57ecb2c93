"""The sandbox of a first run: a second store of the home, whose clock is moved to see deadlines pass."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from serving.in_force.model_watch import ModelRegistry, ModelWatch
from serving.in_force.policy_activation import PolicyFile, activate, policy_of_store
from serving.in_force.policy_watch import PolicyInForce
from serving.process.settings import Settings
from serving.requests.request_scope import RequestScope, StoreDoor, scope_from_settings
from serving.store.errors import StoreUnavailable
from serving.store.migrate import migrate
from serving.store.open_store import open_store
from serving.store.sandbox_clock import advance, mark_as_sandbox, wait_until_effective

SANDBOX_FILE = "sandbox.db"


@dataclass(frozen=True, kw_only=True)
class LifeSandbox:
    """What the use cases take, and how time passes: `advance_by_ms` returns once the clock was moved on."""

    scope: RequestScope
    advance_by_ms: Callable[[int], None]


@contextmanager
def life_sandbox(settings: Settings, policy: PolicyFile, registry: ModelRegistry) -> Iterator[LifeSandbox]:
    """The sandbox of a home, made where there is none, under the registry's champion and this policy.

    settings: of the home, whose own store is left alone. Raises NotEmpty where a store lies there that is no
    sandbox, and what `activate`, `migrate` and `open_store` raise.
    """
    url = f"sqlite:///{settings.home / SANDBOX_FILE}"
    migrate(url)
    store = open_store(url)
    try:
        mark_as_sandbox(store)
    finally:
        store.close()
    watch = ModelWatch(
        registry, settings.model_name, poll_seconds=settings.model_poll_seconds, on_change=lambda: None
    )
    watch.look()
    door = StoreDoor(url)
    try:
        store = door.open()
        active = policy_of_store(store)
        if active is None or active.policy.version != policy.policy.version:
            reason = "the policy in force in the store beside the sandbox"
            activate(store, policy, by="bonitas run", reason=reason, clock=door.clock)
        scope = scope_from_settings(
            replace(settings, database_url=url),
            door=door,
            watch=watch,
            policy_in_force=PolicyInForce(policy=policy.policy),
        )
        yield LifeSandbox(scope=scope, advance_by_ms=lambda by_ms: _advance(door, by_ms))
    finally:
        door.close()


def _advance(door: StoreDoor, by_ms: int) -> None:
    """Move the clock of an open sandbox on, and have whoever goes by this door see that.

    Raises NoSandbox, StepRefused, StoreUnavailable.
    """
    store = door.open()
    wait_until_effective(advance(store, by_ms))
    if door.sandbox is None:
        raise StoreUnavailable("the store is no sandbox")
    door.sandbox.look(store)
