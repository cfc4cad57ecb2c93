"""The worker beside the service: screens orders, keeps the queue, and brings merchants what they are asked.

`bonitas serve` starts one; `bonitas worker` runs one on its own. Any number may run: each message, case and
delivery is taken by one of them. `python -m serving.worker` reads its settings from the environment.
"""

import logging
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Sequence
from types import FrameType

from serving.case_review import CaseMoved, renew_queue
from serving.case_scope import CaseScope
from serving.flow_overview import sum_up_orders
from serving.investigating import check_cases
from serving.model_watch import ModelRegistry, ModelWatch
from serving.observability import log_as_json_lines
from serving.order_screening import ScreeningScope, work_off
from serving.request_scope import PolicyInForce
from serving.settings import DEFAULT_PUBLIC_URL, Settings
from serving.stop_requesting import (
    StopRequestMoved,
    expire_due,
    fallback_text,
    reached,
    request_due,
)
from serving.store.case_queue import CaseMovedError
from serving.store.errors import StoreUnavailable
from serving.store.policies import keep_policy
from serving.store.store import Store, Transaction, now_ms, open_store
from serving.webhooks.dispatch import DispatchScope, dispatch_due, send_fallbacks
from serving.webhooks.endpoint_url import system_resolver
from serving.webhooks.mailbox import FileMailbox, Mailbox, SmtpMailbox

LOG = logging.getLogger("bonitas.worker")
IDLE_SECONDS = 0.2
RENEW_SECONDS = 60.0
FALLBACK_SECONDS = 10.0
SUM_UP_SECONDS = 10.0
RETRY_SECONDS = 2.0


def work(settings: Settings, stopped: threading.Event) -> None:
    """Work until told to stop. A store that fails is tried again; what was begun rolls back by itself.

    Raises StoreNotMigrated, StoreUnavailable where the store cannot be opened at all, PolicyInvalid.
    """
    in_force = PolicyInForce.read(settings.policy_file)
    watch = ModelWatch(
        ModelRegistry(settings.mlflow_uri),
        settings.order_risk_model_name,
        poll_seconds=settings.model_poll_seconds,
        on_change=lambda: None,
    )
    stores: list[Store] = []

    def scope() -> CaseScope:
        # A store for each thread: a delivery that waits for a merchant holds up no screening.
        stores.append(open_store(settings.database_url))
        return CaseScope(
            store=stores[-1],
            policy=in_force.policy,
            now_ms=now_ms,
            public_url=settings.public_url or DEFAULT_PUBLIC_URL,
        )

    try:
        cases = scope()
        keep_policy(cases.store, version=in_force.policy.version, content=in_force.text, now_ms=now_ms())
        chores = {
            "screening": _screening(scope(), watch),
            "deliveries": _deliveries(scope(), settings),
            "cases": _cases(cases),
        }
        watch.start()
        threads = [
            threading.Thread(target=_repeat, args=(together, stopped), name=name)
            for name, together in chores.items()
        ]
        for thread in threads:
            thread.start()
        try:
            stopped.wait()
        finally:
            stopped.set()
            for thread in threads:
                thread.join()
    finally:
        watch.stop()
        for store in stores:
            store.close()


def _repeat(chores: Sequence["_Chore"], stopped: threading.Event) -> None:
    while not stopped.is_set():
        # All of them each time: any() would leave out those after the first that had something to do.
        if not sum(chore.do() for chore in chores):
            stopped.wait(IDLE_SECONDS)


class _Chore:
    """Something to do again and again; `every_seconds` apart, and at once while there is more of it."""

    def __init__(self, name: str, work: Callable[[], int], every_seconds: float = 0.0) -> None:
        self._name = name
        self._work = work
        self._every_seconds = every_seconds
        self._due_at = time.monotonic()

    def do(self) -> bool:
        """Do what is due; True where there may be more at once. What fails is logged and tried again."""
        if time.monotonic() < self._due_at:
            return False
        pause_seconds, done = self._every_seconds, 0
        try:
            done = self._work()
        except (CaseMoved, CaseMovedError, StopRequestMoved):
            # A person was faster with what we were about to touch: the next round sees it.
            LOG.info("moved_meanwhile", extra={"chore": self._name})
        except StoreUnavailable:
            LOG.exception("store_unavailable", extra={"chore": self._name})
            pause_seconds = max(pause_seconds, RETRY_SECONDS)
        except Exception:  # what stops one chore must not stop the others, nor itself for ever
            LOG.exception("chore_failed", extra={"chore": self._name})
            pause_seconds = max(pause_seconds, RETRY_SECONDS)
        self._due_at = time.monotonic() + pause_seconds
        return done > 0


def _screening(scope: CaseScope, watch: ModelWatch) -> list[_Chore]:
    screening = ScreeningScope(
        store=scope.store, model=lambda: watch.in_force.model, policy=scope.policy, now_ms=scope.now_ms
    )
    return [_Chore("screen", lambda: work_off(screening))]


def _cases(scope: CaseScope) -> list[_Chore]:
    return [
        _Chore("renew_queue", lambda: renew_queue(scope), RENEW_SECONDS),
        _Chore("sum_up_orders", lambda: sum_up_orders(scope), SUM_UP_SECONDS),
        _Chore("request_stops", lambda: request_due(scope)),
        _Chore("expire_stop_requests", lambda: expire_due(scope)),
        _Chore("check_cases", lambda: check_cases(scope)),
    ]


def _deliveries(scope: CaseScope, settings: Settings) -> list[_Chore]:
    dispatch = dispatch_scope(scope, settings)
    return [
        _Chore("send_fallbacks", lambda: send_fallbacks(dispatch), FALLBACK_SECONDS),
        _Chore("deliver", lambda: dispatch_due(dispatch)),
    ]


def dispatch_scope(scope: CaseScope, settings: Settings) -> DispatchScope:
    """What sending to merchants needs, by the settings."""

    def on_delivered(tx: Transaction, stop_request_id: str, at_ms: int) -> None:
        reached(tx, scope, stop_request_id, at_ms)

    return DispatchScope(
        store=scope.store,
        now_ms=scope.now_ms,
        resolve=system_resolver,
        allow_private_addresses=settings.allow_private_endpoints,
        jitter=random.random,
        mailbox=_mailbox(settings),
        on_delivered=on_delivered,
        fallback_email=lambda tx, webhook: fallback_text(tx, scope, webhook),
    )


def _mailbox(settings: Settings) -> Mailbox:
    if settings.mail_url is None:
        return FileMailbox(settings.mail_folder, settings.mail_sender)
    return SmtpMailbox(settings.mail_url, settings.mail_sender)


def main() -> None:
    """Work until SIGTERM or Ctrl-C, with settings from the environment."""
    log_as_json_lines()
    stopped = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        stopped.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    work(Settings.from_env(os.environ), stopped)


if __name__ == "__main__":
    main()
