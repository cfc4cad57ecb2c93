"""The worker's chores, each for itself."""

import threading

import pytest

from serving import worker
from serving.process.settings import Settings
from serving.store.errors import StoreUnavailable
from serving.worker import _Chore, _deliveries, _repeat


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

    assert names("0") == ["tell_of_contact_changes"]
    assert names("1") == ["tell_of_contact_changes", "send_fallbacks", "deliver"]


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
