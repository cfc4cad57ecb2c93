"""The worker beside the service: screens orders, keeps the queue, settles, and tells merchants what to do.

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
from functools import partial
from types import FrameType

from serving.cases.case_review import CaseMoved, renew_queue
from serving.cases.cases_ahead import set_back_cases_ahead
from serving.cases.investigating import check_cases
from serving.cases.settling_orders import give_periods, settle_due
from serving.disputes.dispute_notices import EVENT_TYPES as DISPUTE_EVENTS
from serving.disputes.dispute_notices import fallback_text as dispute_fallback_text
from serving.disputes.identity_claims import bring_claims_to_cases, follow_cases
from serving.disputes.kept_step import DisputeMoved
from serving.disputes.passed_deadlines import (
    expire_due_disputes,
    pause_late_invoices,
    raise_overdue_disputes,
)
from serving.disputes.returns_not_booked import dispute_return
from serving.figures.flow_overview import sum_up_orders
from serving.in_force.model_watch import SHADOW, ModelInForce, ModelRegistry, ModelWatch
from serving.in_force.policy_activation import PolicyFile
from serving.in_force.policy_watch import PolicyWatch
from serving.invoices.reminding import look_at_due_invoices
from serving.process.observability import log_as_json_lines
from serving.process.parent_watch import end_with_parent
from serving.process.settings import DEFAULT_PUBLIC_URL, Settings
from serving.process.slim_process import leave_out_data_frames
from serving.requests.case_scope import CaseScope
from serving.returns.looking_at_returns import look_at_returns
from serving.screening.messages_of_before import take_over_messages_of_before
from serving.screening.order_screening import ScreeningScope, work_off
from serving.shadow.scoring import ShadowScope, answer_checkouts, answer_screenings
from serving.stop_requests.locked_stop_request import StopRequestMoved
from serving.stop_requests.merchant_notices import tell_of_contact_changes
from serving.stop_requests.sending_again import fallback_text
from serving.stop_requests.stop_requesting import expire_due, reached, request_due
from serving.store.case_queue import CaseMovedError
from serving.store.clock_jumps import make_due_what_a_clock_left_ahead
from serving.store.clock_watch import ClockWatch
from serving.store.deliveries import Delivery
from serving.store.errors import StoreError, StoreNotMigrated, StoreUnavailable
from serving.store.instants_ahead import treat_instants_ahead_as_now
from serving.store.open_store import open_store
from serving.store.running_processes import ProcessKind, Registration
from serving.store.sandbox_clock import Clock, SandboxClock, sandbox_of
from serving.store.store import IN_WORKER, Store, Transaction, now_ms
from serving.topics.telling import tell_of_topics
from serving.topics.telling_of_settlements import tell_of_settlements
from serving.webhooks.dispatch import Dispatcher, DispatchScope, send_fallbacks
from serving.webhooks.endpoint_url import system_resolver
from serving.webhooks.mailbox import EmailMessageText, FileMailbox, Mailbox, SmtpMailbox

LOG = logging.getLogger("bonitas.worker")
IDLE_SECONDS = 0.2
RENEW_SECONDS = 60.0
FALLBACK_SECONDS = 10.0
SUM_UP_SECONDS = 10.0
SHADOW_SECONDS = 1.0
INVOICES_SECONDS = 1.0
RETURNS_SECONDS = 1.0
DISPUTE_SECONDS = 1.0
REGISTERED_SECONDS = 5.0
MESSAGES_OF_BEFORE_SECONDS = 5.0
RETRY_SECONDS = 2.0

ScopeNow = Callable[[], CaseScope]
"""What the use cases need, with the policy that is in force now; one call for each piece of work."""


def work(settings: Settings, stopped: threading.Event) -> None:
    """Work until told to stop. A store that fails is tried again; what was begun rolls back by itself.

    A new champion and a new policy are taken over between two pieces of work. A store that cannot be opened
    yet is waited for.
    """
    watch = ModelWatch(
        ModelRegistry(settings.mlflow_uri, settings.artifact_root),
        settings.order_risk_model_name,
        poll_seconds=settings.model_poll_seconds,
        on_change=lambda: None,
    )
    stores: list[Store] = []

    def opened() -> Store:
        # A store for each thread: a delivery that waits for a merchant holds up no screening.
        stores.append(_opened_when_it_can_be(settings.database_url, stopped))
        return stores[-1]

    def scope_now(store: Store) -> ScopeNow:
        return lambda: CaseScope(
            store=store,
            policy=policies.in_force.judging,
            now_ms=clock,
            public_url=settings.public_url or DEFAULT_PUBLIC_URL,
        )

    try:
        policy_store = opened()
        sandbox = sandbox_of(policy_store)
    except StoreError as problem:
        LOG.info("ended_without_store", extra={"reason": str(problem)})
        return
    clock = now_ms if sandbox is None else sandbox.now_ms
    clock_watch = ClockWatch(lambda: policy_store, sandbox=lambda: sandbox, is_real=lambda: sandbox is None)
    policies = PolicyWatch(
        lambda: policy_store,
        partial(PolicyFile.usable, settings.policy_file),
        poll_seconds=settings.model_poll_seconds,
        now_ms=clock,
    )
    try:
        chores = {
            "screening": [*_screening(scope_now(opened()), watch), _messages_of_before(policy_store, clock)],
            "deliveries": _deliveries(scope_now(opened()), settings),
            "cases": [
                *_cases(scope_now(opened())),
                *_after_clock_jumps(scope_now(opened()), sandbox),
                _registered(policy_store, stopped),
            ],
            "shadows": _shadows(opened(), settings, clock),
        }
        clock_watch.start()
        watch.start()
        policies.start()
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
        policies.stop()
        clock_watch.stop()
        for store in stores:
            store.close()


def _opened_when_it_can_be(database_url: str, stopped: threading.Event) -> Store:
    """Wait here for the store: to end and be started anew would cost the imports each time."""
    while True:
        try:
            return open_store(database_url, IN_WORKER)
        except StoreError as problem:
            LOG.warning("store_cannot_be_opened", extra={"reason": str(problem)})
            if stopped.wait(RETRY_SECONDS):
                raise


def _repeat(chores: Sequence["_Chore"], stopped: threading.Event) -> None:
    while not stopped.is_set():
        # All of them each time: any() would leave out those after the first that had something to do.
        if not sum(chore.do() for chore in chores):
            stopped.wait(IDLE_SECONDS)
    for chore in chores:
        chore.end()


class _Chore:
    """Something to do again and again; `every_seconds` apart, and at once while there is more of it.

    at_the_end: done once when the worker ends.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[], int],
        every_seconds: float = 0.0,
        at_the_end: Callable[[], None] | None = None,
    ) -> None:
        self._at_the_end = at_the_end
        self._waits_for: str | None = None
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
            self._waits_for = None
        except (CaseMoved, CaseMovedError, StopRequestMoved, DisputeMoved):
            # A person was faster with what we were about to touch: the next round sees it.
            LOG.info("moved_meanwhile", extra={"chore": self._name})
        except StoreUnavailable as problem:
            # Told once and not at each try: it may last, and the log lies on the same disk.
            if str(problem) != self._waits_for:
                self._waits_for = str(problem)
                LOG.warning("chore_waits", extra={"chore": self._name, "reason": self._waits_for})
            pause_seconds = max(pause_seconds, RETRY_SECONDS)
        except Exception:  # what stops one chore must not stop the others, nor itself for ever
            LOG.exception("chore_failed", extra={"chore": self._name})
            pause_seconds = max(pause_seconds, RETRY_SECONDS)
        self._due_at = time.monotonic() + pause_seconds
        return done > 0

    def end(self) -> None:
        """Finish what is in hand. What fails is logged: it is done again by the next worker."""
        if self._at_the_end is None:
            return
        try:
            self._at_the_end()
        except Exception:  # the worker ends all the same
            LOG.exception("chore_failed", extra={"chore": self._name})


def _screening(scope_now: ScopeNow, watch: ModelWatch) -> list[_Chore]:
    def screen() -> int:
        scope = scope_now()
        return work_off(
            ScreeningScope(
                store=scope.store,
                model=lambda: watch.in_force.model,
                policy=scope.policy,
                now_ms=scope.now_ms,
            )
        )

    return [_Chore("screen", screen)]


def _messages_of_before(store: Store, clock: Clock) -> _Chore:
    return _Chore(
        "take_over_messages_of_before",
        lambda: take_over_messages_of_before(store, clock()),
        MESSAGES_OF_BEFORE_SECONDS,
    )


def _cases(scope_now: ScopeNow) -> list[_Chore]:
    return [
        _Chore("renew_queue", lambda: renew_queue(scope_now()), RENEW_SECONDS),
        _Chore("sum_up_orders", lambda: sum_up_orders(scope_now()), SUM_UP_SECONDS),
        _Chore("request_stops", lambda: request_due(scope_now())),
        _Chore("expire_stop_requests", lambda: expire_due(scope_now())),
        _Chore("look_at_returns", lambda: look_at_returns(scope_now(), dispute_return), RETURNS_SECONDS),
        _Chore("check_cases", lambda: check_cases(scope_now())),
        _Chore("settle_orders", lambda: settle_due(scope_now())),
        _Chore("give_postings_their_periods", lambda: give_periods(scope_now()), RENEW_SECONDS),
        _Chore("look_at_invoices", lambda: look_at_due_invoices(scope_now()), INVOICES_SECONDS),
        *_disputes(scope_now),
    ]


def _disputes(scope_now: ScopeNow) -> list[_Chore]:
    return [
        _Chore("expire_disputes", lambda: expire_due_disputes(scope_now()), DISPUTE_SECONDS),
        _Chore("pause_late_invoices", lambda: pause_late_invoices(scope_now())),
        _Chore("bring_claims_to_cases", lambda: bring_claims_to_cases(scope_now())),
        _Chore("follow_cases_of_claims", lambda: follow_cases(scope_now()), FALLBACK_SECONDS),
        _Chore("raise_overdue_disputes", lambda: raise_overdue_disputes(scope_now()), RENEW_SECONDS),
    ]


def _registered(store: Store, stopped: threading.Event) -> _Chore:
    """Says that this worker runs; it ends where its code may not work on the store any more."""
    registration = Registration(ProcessKind.WORKER, now_ms=now_ms)

    def renew() -> int:
        try:
            registration.renew(store)
        except StoreNotMigrated as problem:
            LOG.error("ended_beside_newer_store", extra={"reason": str(problem)})  # noqa: TRY400 - no fault of the code
            stopped.set()
        return 0

    return _Chore("say_that_it_runs", renew, REGISTERED_SECONDS, at_the_end=lambda: registration.end(store))


def _after_clock_jumps(scope_now: ScopeNow, sandbox: SandboxClock | None) -> list[_Chore]:
    """What undoes an instant ahead of now. In a sandbox now is read anew: what others stamped by a clock that
    was moved on since is no mistake.
    """

    def scope_as_of_now() -> CaseScope:
        scope = scope_now()
        if sandbox is not None:
            sandbox.look(scope.store)
        return scope

    return [
        _Chore("make_due_what_a_clock_left_ahead", lambda: _made_due(scope_as_of_now()), FALLBACK_SECONDS),
        _Chore("set_back_cases_ahead", lambda: set_back_cases_ahead(scope_as_of_now()), RENEW_SECONDS),
        _Chore("treat_instants_ahead_as_now", lambda: _instants_ahead(scope_as_of_now()), RENEW_SECONDS),
    ]


def _instants_ahead(scope: CaseScope) -> int:
    rows = treat_instants_ahead_as_now(scope.store, scope.now_ms())
    if rows:
        LOG.warning("clock_was_ahead", extra={"set_back": rows})
    return 0


def _made_due(scope: CaseScope) -> int:
    made_due = make_due_what_a_clock_left_ahead(scope.store, scope.now_ms())
    if made_due:
        LOG.warning("clock_was_ahead", extra={"made_due": made_due})
    return made_due


def _shadows(store: Store, settings: Settings, clock: Clock) -> list[_Chore]:
    """Challengers that answer with no effect; in a thread of their own, so that they hold up nothing."""
    registry = ModelRegistry(settings.mlflow_uri, settings.artifact_root)
    answer = {settings.model_name: answer_checkouts, settings.order_risk_model_name: answer_screenings}
    chores = []
    for model_name, work in answer.items():
        watch = ModelWatch(
            registry,
            model_name,
            alias=SHADOW,
            poll_seconds=settings.model_poll_seconds,
            on_change=lambda: None,
        )
        scope = ShadowScope(
            store=store, model_name=model_name, challenger=partial(_in_force, watch), now_ms=clock
        )
        # Looked up here and not in a thread of its own: whatever a challenger does, only this thread sees it.
        chores += [
            _Chore(
                f"look_for_shadow_of_{model_name}",
                partial(_look_for_model, watch),
                settings.model_poll_seconds,
            ),
            _Chore(f"shadow_{model_name}", partial(work, scope), SHADOW_SECONDS),
        ]
    return chores


def _in_force(watch: ModelWatch) -> ModelInForce:
    return watch.in_force


def _look_for_model(watch: ModelWatch) -> int:
    watch.look()
    return 0


def _deliveries(scope_now: ScopeNow, settings: Settings) -> list[_Chore]:
    notices = [
        _Chore("tell_of_contact_changes", lambda: tell_of_contact_changes(scope_now())),
        _Chore("tell_of_topics", lambda: tell_of_topics(scope_now())),
        _Chore("tell_of_settlements", lambda: tell_of_settlements(scope_now())),
    ]
    if not settings.deliveries:
        # Messages are kept as ever and wait: whoever lets this store send again sends them.
        LOG.warning("deliveries_held_back")
        return notices
    mailbox = _mailbox(settings)
    dispatcher = Dispatcher()

    def dispatch() -> DispatchScope:
        return _dispatch_scope(scope_now(), settings, mailbox)

    return [
        *notices,
        _Chore("send_fallbacks", lambda: send_fallbacks(dispatch()), FALLBACK_SECONDS),
        _Chore("deliver", lambda: dispatcher.turn(dispatch()), at_the_end=lambda: dispatcher.end(dispatch())),
    ]


def _dispatch_scope(scope: CaseScope, settings: Settings, mailbox: Mailbox) -> DispatchScope:
    def on_delivered(tx: Transaction, stop_request_id: str, at_ms: int) -> None:
        reached(tx, scope, stop_request_id, at_ms)

    def fallback_email(tx: Transaction, webhook: Delivery) -> EmailMessageText | None:
        if webhook.event_type in DISPUTE_EVENTS:
            return dispute_fallback_text(tx, webhook)
        return fallback_text(tx, scope, webhook)

    return DispatchScope(
        store=scope.store,
        now_ms=scope.now_ms,
        receivers_now_ms=now_ms,
        resolve=system_resolver,
        allow_private_addresses=settings.allow_private_endpoints,
        jitter=random.random,
        mailbox=mailbox,
        on_delivered=on_delivered,
        fallback_email=fallback_email,
    )


def _mailbox(settings: Settings) -> Mailbox:
    if settings.mail_url is None:
        return FileMailbox(settings.mail_folder, settings.mail_sender)
    return SmtpMailbox(settings.mail_url, settings.mail_sender)


def main() -> None:
    """Work until SIGTERM or Ctrl-C, with settings from the environment."""
    leave_out_data_frames()
    log_as_json_lines()
    stopped = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        stopped.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    end_with_parent(os.environ, stopped.set)
    work(Settings.from_env(os.environ), stopped)


if __name__ == "__main__":
    main()
