"""The worker's chores, each for itself."""

import threading

import pytest

from data_contracts.instants import DAY_MS
from serving import worker
from serving.in_force.policy_activation import PolicyFile
from serving.process.settings import Settings
from serving.requests.case_scope import CaseScope
from serving.store.console_users import insert_session
from serving.store.errors import StoreUnavailable
from serving.store.sandbox_clock import SandboxClock, clock_steps, mark_as_sandbox
from serving.store.store import Store, now_ms
from serving.worker import _after_clock_jumps, _Chore, _deliveries, _repeat


def test_a_chore_that_fails_holds_up_none_of_the_others_and_is_tried_again() -> None:
    stopped = threading.Event()
    rounds: list[str] = []

    def fails() -> int:
        rounds.append("fails")
        raise ZeroDivisionError

    def is_cut_off() -> int:
        rounds.append("is cut off")
        raise StoreUnavailable("the store is down")

    def works() -> int:
        rounds.append("works")
        if rounds.count("works") == 3:
            stopped.set()
        return 1

    _repeat([_Chore("fails", fails), _Chore("is cut off", is_cut_off), _Chore("works", works)], stopped)
    assert rounds == ["fails", "is cut off", "works", "works", "works"]


def test_a_chore_of_now_and_then_is_not_done_before_its_time() -> None:
    done: list[int] = []

    def work() -> int:
        done.append(1)
        return 1

    chore = _Chore("seldom", work, every_seconds=3_600)
    assert chore.do()
    assert not chore.do()
    assert done == [1]


def test_a_worker_that_may_send_nothing_has_no_chore_that_sends() -> None:
    def names(said: str) -> list[str]:
        settings = Settings.from_env({"BONITAS_HOME": "/nowhere", "BONITAS_DELIVERIES": said})
        return [chore._name for chore in _deliveries(lambda: pytest.fail("not asked"), settings)]

    notices = ["tell_of_contact_changes", "tell_of_topics", "tell_of_settlements"]
    assert names("0") == notices
    assert names("1") == [*notices, "send_fallbacks", "deliver"]


def test_what_a_chore_waits_for_is_told_once_and_again_after_it_worked(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "RETRY_SECONDS", 0.0)
    reasons = ["down", "down", "no policy", None, "down"]

    def work() -> int:
        reason = reasons.pop(0)
        if reason is not None:
            raise StoreUnavailable(reason)
        return 1

    chore = _Chore("waits", work)
    while reasons:
        chore.do()
    told = [record.reason for record in caplog.records if record.msg == "chore_waits"]
    assert told == ["down", "no policy", "down"]


@pytest.mark.parametrize("was_moved", [True, False])
def test_what_a_moved_clock_has_stamped_is_not_set_back_by_a_worker_that_has_not_seen_the_move(
    store: Store, was_moved: bool
) -> None:
    mark_as_sandbox(store)
    with store.reading() as tx:
        sandbox = SandboxClock(clock_steps(tx))
    began_ms = now_ms() + DAY_MS
    with store.writing() as tx:
        if was_moved:
            tx.execute("INSERT INTO sandbox_clock_steps VALUES (1, ?, ?, ?)", (0, now_ms(), DAY_MS))
        insert_session(tx, secret="secret", user_name="eva", now_ms=began_ms)  # noqa: S106

    def scope_now() -> CaseScope:
        return CaseScope(
            store=store, policy=PolicyFile.usable(None).policy, now_ms=sandbox.now_ms, public_url=""
        )

    for chore in _after_clock_jumps(scope_now, sandbox):
        chore.do()
    with store.reading() as tx:
        ((created_at_ms,),) = tx.execute("SELECT created_at_ms FROM console_sessions")
    # A clock that really was ahead is found out in a sandbox as anywhere.
    assert (created_at_ms == began_ms) is was_moved
