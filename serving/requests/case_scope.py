"""What every use case of the fraud team needs, as one frozen object."""

from collections.abc import Callable
from dataclasses import dataclass

from serving.domain.policy import Policy
from serving.store.store import Store


@dataclass(frozen=True, kw_only=True)
class CaseScope:
    """Store, policy and clock.

    now_ms: the clock of the store, milliseconds since 1970 UTC.
    public_url: under which merchants reach the service, without a slash at its end.
    is_sandbox: whether the store is one, which pages for merchants say.
    """

    store: Store
    policy: Policy
    now_ms: Callable[[], int]
    public_url: str
    is_sandbox: bool = False
