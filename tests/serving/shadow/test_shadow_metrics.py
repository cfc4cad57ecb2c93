"""The shadows' figures on `/metrics`: read beside the event loop, which answers checkouts meanwhile."""

import asyncio
import threading

from serving.in_force.model_watch import ModelWatch
from serving.in_force.policy_activation import POLICY_FILE, PolicyFile
from serving.in_force.policy_watch import PolicyInForce
from serving.requests.request_scope import RequestScope, StoreDoor
from serving.requests.store_access import StoreAccess
from serving.shadow.metrics import shadow_metrics
from serving.store.errors import StoreUnavailable
from serving.store.shadow_progress import Subject, begin_shadow
from serving.store.store import Store
from tests.serving.shadow_desk import KnownModels


class WatchedDoor(StoreDoor):
    """Opens the test's own store, or none, and notes in which thread."""

    def __init__(self, store: Store | None) -> None:
        super().__init__("sqlite:///not-opened.db")
        self._own = store
        self.opened_in: list[int] = []

    def open(self) -> Store:
        self.opened_in.append(threading.get_ident())
        if self._own is None:
            raise StoreUnavailable("the database is down")
        return self._own


def metrics_through(door: StoreDoor) -> tuple[bytes, int]:
    """The figures, and the thread of the event loop."""
    access = StoreAccess()
    models = ModelWatch(KnownModels(), "credit", poll_seconds=60, on_change=lambda: None)
    policy = PolicyInForce(policy=PolicyFile.read(POLICY_FILE).policy)
    access.start(RequestScope(door=door, watch=models, policy_in_force=policy), threads=1)

    async def asked() -> tuple[bytes, int]:
        return await shadow_metrics(access), threading.get_ident()

    try:
        return asyncio.run(asked())
    finally:
        access.stop()


def test_a_database_across_the_network_is_never_opened_in_the_event_loop(store: Store) -> None:
    with store.writing("test") as tx:
        begin_shadow(
            tx,
            model_name="order-risk",
            model_version="2",
            subject=Subject.SCREENING,
            answers_from_ms=0,
        )
    door = WatchedDoor(store)
    found, event_loop = metrics_through(door)
    assert b'bonitas_shadow_decisions_total{model="order-risk",version="2"} 0.0' in found
    assert door.opened_in
    assert event_loop not in door.opened_in


def test_while_the_store_is_down_there_are_no_figures_of_shadows_and_no_error() -> None:
    door = WatchedDoor(None)
    found, event_loop = metrics_through(door)
    assert found == b""
    assert door.opened_in
    assert event_loop not in door.opened_in
