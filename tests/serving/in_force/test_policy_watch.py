"""A service follows the store's policy: in one move, never mid-request, and never on a guess."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from starlette.responses import Response

from data_contracts.contract import DEFAULT_CLOCK_TOLERANCE_MS
from serving.api.domain_problems import problem_of_any
from serving.api.score_app import ScoreApi
from serving.checkout.checkout_judgement import unavailable
from serving.checkout.order_body import order_body as order_body_of
from serving.domain.decision import TechnicalFailure
from serving.domain.policy_history import PolicyNotUsable
from serving.in_force.model_watch import ModelWatch
from serving.in_force.policy_activation import PolicyFile, activate, active_policy, history, roll_back
from serving.in_force.policy_watch import LOG, NoPolicyInForce, PolicyInForce, PolicyWatch
from serving.process.observability import JsonLines
from serving.requests.door import Door
from serving.requests.request_scope import RequestScope, StoreDoor
from serving.requests.store_access import StoreAccess
from serving.store.api_keys import create_key
from serving.store.errors import StoreUnavailable
from serving.store.store import Store
from tests.builders import ms
from tests.serving.http.conftest import order_body
from tests.serving.policy_versions import a_policy_file, a_policy_of_newer_code
from tests.serving.shadow_desk import KnownModels

NOW = ms("2026-06-01")


def put(store: Store, version: str, **numbers: int) -> None:
    activate(store, a_policy_file(version, **numbers), by="Ann", reason="why", clock=lambda: NOW)


def back(store: Store) -> None:
    roll_back(store, by="Ann", reason="why", clock=lambda: NOW)


@dataclass
class Told:
    """What a watch tells: the problem after each look."""

    problems: list[str | None] = field(default_factory=list)


def a_watch(
    open_store: Callable[[], Store],
    *,
    file: PolicyFile | None = None,
    read_file: Callable[[], PolicyFile] | None = None,
    told: Told | None = None,
    poll_seconds: float = 60.0,
) -> PolicyWatch:
    return PolicyWatch(
        open_store,
        read_file or (lambda: file or a_policy_file("1")),
        poll_seconds=poll_seconds,
        now_ms=lambda: NOW,
        on_look=(told or Told()).problems.append,
    )


def looked(store: Store, **options: object) -> PolicyWatch:
    watch = a_watch(lambda: store, **options)
    watch.look()
    return watch


@dataclass
class BreakableStore:
    """Opens a store, unless it is down."""

    store: Store
    is_up: bool = True

    def open(self) -> Store:
        if not self.is_up:
            raise StoreUnavailable("the database is down")
        return self.store


@pytest.fixture
def log_lines() -> Iterator[Callable[[str], list[dict]]]:
    """The log lines of an event, as the service would write them."""
    import logging

    lines: list[dict] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(json.loads(JsonLines().format(record)))

    handler, level = Kept(), LOG.level
    LOG.addHandler(handler)
    LOG.setLevel(logging.INFO)
    yield lambda event: [line for line in lines if line["event"] == event]
    LOG.removeHandler(handler)
    LOG.setLevel(level)


def test_an_activation_and_a_rollback_are_taken_over_at_the_next_look(store: Store) -> None:
    watch = looked(store)
    assert watch.in_force.judging.version == "1"
    put(store, "2", cut_off_known=640)
    assert watch.in_force.judging.version == "1"
    watch.look()
    assert (watch.in_force.judging.version, watch.in_force.judging.cut_off_known) == ("2", 640)
    back(store)
    watch.look()
    assert watch.in_force.judging.version == "1"


def test_a_look_at_an_unchanged_history_swaps_nothing(store: Store) -> None:
    watch = looked(store)
    before = watch.in_force
    watch.look()
    assert watch.in_force is before


def test_a_request_that_began_under_a_policy_ends_under_it(database_url: str, store: Store) -> None:
    watch = looked(store)
    access = StoreAccess()
    door = StoreDoor(database_url)
    models = ModelWatch(KnownModels(), "credit", poll_seconds=60, on_change=lambda: None)
    access.start(
        RequestScope(door=door, watch=models, policy_in_force=watch.in_force),
        threads=2 if database_url.startswith("postgresql") else 0,
        policy_now=lambda: watch.in_force,
    )

    async def one_request() -> tuple[str, str]:
        scope = access.ready_scope()
        began = await access.read(lambda: scope.policy.version)
        put(store, "2")
        watch.look()
        return began, await access.read(lambda: scope.cases.policy.version)

    assert asyncio.run(one_request()) == ("1", "1")
    assert access.ready_scope().policy.version == "2"
    assert access.ready_scope() is access.ready_scope()
    access.stop()
    door.close()


def test_an_unreachable_store_changes_nothing(store: Store) -> None:
    door = BreakableStore(store)
    told = Told()
    watch = a_watch(door.open, told=told)
    watch.look()
    put(store, "2")
    door.is_up = False
    watch.look()
    assert watch.in_force.judging.version == "1"
    door.is_up = True
    watch.look()
    assert watch.in_force.judging.version == "2"
    assert told.problems == [None, None, None]


def test_until_the_store_was_read_nobody_is_judged_under_the_file(store: Store) -> None:
    put(store, "2")
    door = BreakableStore(store, is_up=False)
    watch = a_watch(door.open)
    watch.look()
    with pytest.raises(StoreUnavailable, match="was not read from the store yet"):
        assert watch.in_force.judging
    assert watch.in_force.policy.version == "1", "it still names the other ways to pay"
    door.is_up = True
    watch.look()
    assert watch.in_force.judging.version == "2"


def test_a_policy_that_this_code_cannot_read_leaves_the_last_good_one_and_is_told(
    store: Store, log_lines: Callable[[str], list[dict]]
) -> None:
    told = Told()
    watch = looked(store, told=told)
    activate(store, a_policy_of_newer_code("new"), by="Ann", reason="why", clock=lambda: NOW)
    watch.look()
    watch.look()
    assert watch.in_force.judging.version == "1"
    assert watch.problem is not None
    assert "policy new is in force, but this code cannot read it" in watch.problem
    (line,) = log_lines("policy_not_usable")
    assert (line["level"], line["reason"]) == ("error", watch.problem)
    back(store)
    watch.look()
    assert told.problems == [None, line["reason"], line["reason"], None]
    assert watch.in_force.judging.version == "1"


def test_a_start_under_a_policy_that_this_code_cannot_read_judges_nobody_until_another_is_put_there(
    store: Store,
) -> None:
    activate(store, a_policy_of_newer_code("new"), by="Ann", reason="why", clock=lambda: NOW)
    watch = looked(store)
    with pytest.raises(StoreUnavailable, match="policy new is in force, but this code cannot read it"):
        assert watch.in_force.judging
    put(store, "2")
    watch.look()
    assert (watch.in_force, watch.problem) == (PolicyInForce(policy=a_policy_file("2").policy), None)


def test_a_newest_line_that_was_seen_and_is_gone_is_noticed(store: Store) -> None:
    put(store, "1")
    put(store, "2")
    back(store)
    watch = looked(store)
    with store.writing() as tx:
        tx.execute("DELETE FROM policy_activations WHERE number = 3")
    assert active_policy(store, lambda: a_policy_file("1"), now_ms=NOW).policy.version == "2"
    watch.look()
    assert watch.in_force.judging.version == "1"
    assert watch.problem is not None
    assert "line 3, which was there, is gone" in watch.problem


def test_a_changed_line_is_noticed_with_the_next_activation_and_the_last_good_policy_stays(
    store: Store,
) -> None:
    watch = looked(store)
    put(store, "2")
    with store.writing() as tx:
        tx.execute("UPDATE policy_activations SET actor = 'Eve' WHERE number = 2")
    watch.look()
    assert watch.in_force.judging.version == "1"
    assert watch.problem is not None
    assert "line 2 was changed" in watch.problem
    with store.writing() as tx:
        tx.execute("UPDATE policy_activations SET actor = 'Ann' WHERE number = 2")
    watch.look()
    assert (watch.in_force.judging.version, watch.problem) == ("2", None)


@pytest.mark.parametrize(("is_own", "level"), [(True, "warning"), (False, "info")])
def test_a_start_logs_the_command_for_a_file_that_is_not_in_force_once(
    store: Store, is_own: bool, level: str, log_lines: Callable[[str], list[dict]]
) -> None:
    put(store, "1")
    watch = looked(store, file=a_policy_file("3", is_own=is_own))
    watch.look()
    put(store, "2")
    watch.look()
    (line,) = log_lines("policy_file_not_in_force")
    assert line["level"] == level
    assert "bonitas policy activate /policies/3.toml --by NAME --reason TEXT" in line["reason"]
    assert [line["version"] for line in log_lines("policy_in_force")] == ["1", "2"]


def test_the_watch_goes_on_by_itself(store: Store) -> None:
    seen = threading.Event()

    def on_look(_problem: str | None) -> None:
        if watch.in_force.policy.version == "2":
            seen.set()

    watch = PolicyWatch(
        lambda: store, lambda: a_policy_file("1"), poll_seconds=0.01, now_ms=lambda: NOW, on_look=on_look
    )
    watch.start()
    assert [activation.version for activation in history(store)] == ["1"]
    put(store, "2")
    assert seen.wait(20)
    watch.stop()


def test_a_look_that_fails_in_any_way_is_told_and_does_not_end_the_looking(
    store: Store, log_lines: Callable[[str], list[dict]]
) -> None:
    seen = threading.Event()
    told: list[str | None] = []
    is_broken = threading.Event()

    def opened() -> Store:
        if is_broken.is_set():
            raise ZeroDivisionError("a bug")
        return store

    def on_look(problem: str | None) -> None:
        told.append(problem)
        if problem is not None:
            is_broken.clear()
        if watch.in_force.policy.version == "2":
            seen.set()

    watch = PolicyWatch(
        opened, lambda: a_policy_file("1"), poll_seconds=0.01, now_ms=lambda: NOW, on_look=on_look
    )
    watch.look()
    put(store, "2")
    is_broken.set()
    watch.start()
    assert seen.wait(20)
    watch.stop()
    assert told[:2] == [None, "looking for the policy in force failed: ZeroDivisionError"]
    assert (watch.problem, watch.in_force.judging.version) == (None, "2")
    (line,) = log_lines("policy_look_failed")
    assert line["level"] == "error"


def test_a_checkout_without_a_policy_in_force_is_told_that_and_not_that_the_store_is_down(
    database_url: str, store: Store
) -> None:
    activate(store, a_policy_of_newer_code("new"), by="Ann", reason="why", clock=lambda: NOW)
    key = create_key(store, name="shop", role="checkout", merchant_id=None, now_ms=NOW)
    watch = looked(store)
    access = StoreAccess()
    door = StoreDoor(database_url)
    models = ModelWatch(KnownModels(), "credit", poll_seconds=60, on_change=lambda: None)
    scope = RequestScope(door=door, watch=models, policy_in_force=watch.in_force, now_ms=lambda: NOW)
    access.start(
        scope,
        threads=2 if database_url.startswith("postgresql") else 0,
        policy_now=lambda: watch.in_force,
    )
    body = order_body("o1", "c1")

    async def asked() -> tuple[dict, httpx.Response]:
        door = Door(
            Response(status_code=404),
            access=access,
            routes=ScoreApi(access).routes(),
            problem_of=problem_of_any,
            body_seconds=1.0,
        )
        headers = {"Authorization": f"Bearer {key}", "Accept-Language": "en"}
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app=door), base_url="http://test", headers=headers
        ) as client:
            answer = await client.post("/v1/score", json=body)
            return answer.json(), await client.post("/v1/precheck", json=body)

    try:
        answer, prechecked = asyncio.run(asked())
    finally:
        access.stop()
        door.close()
    (reason,) = answer["reasons"]
    assert (answer["outcome"], reason["code"], reason["group"]) == ("unavailable", "no_policy", "technical")
    assert reason["text"].startswith("Invoice cannot be offered right now for technical reasons.")
    assert answer["decision_id"] is None
    assert prechecked.status_code == 503
    assert prechecked.json()["type"] == "urn:bonitas:problem:no-policy"


def unreadable() -> PolicyFile:
    raise PolicyNotUsable("the policy file /p.toml cannot be read: it is not UTF-8 text")


def test_a_file_that_cannot_be_read_judges_nobody_and_counts_once_it_is_mended(store: Store) -> None:
    files = [unreadable]

    def newest() -> PolicyFile:
        return files[-1]()

    watch = looked(store, read_file=newest)
    assert watch.problem is not None
    assert "not UTF-8" in watch.problem
    with pytest.raises(NoPolicyInForce, match="not UTF-8"):
        _ = watch.in_force.judging
    # The policy that comes with the code names the other ways to pay meanwhile; it is not put in force.
    assert watch.in_force.policy is not None
    assert not history(store)
    files.append(lambda: a_policy_file("1"))
    watch.look()
    assert (watch.problem, watch.in_force.judging.version) == (None, "1")


def test_a_file_that_cannot_be_read_matters_to_no_store_that_has_a_policy(
    store: Store, log_lines: Callable[[str], list[dict]]
) -> None:
    put(store, "2")
    watch = looked(store, read_file=unreadable)
    assert (watch.problem, watch.in_force.judging.version) == (None, "2")
    (line, *_) = log_lines("policy_file_not_readable")
    assert "/p.toml" in line["reason"]


def test_where_no_file_at_all_can_be_read_facts_are_taken_with_the_usual_tolerance(
    store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("serving.in_force.policy_activation.POLICY_FILE", tmp_path / "gone.toml")
    watch = looked(store, read_file=unreadable)
    assert watch.in_force.policy is None
    assert watch.in_force.clock_tolerance_ms == DEFAULT_CLOCK_TOLERANCE_MS
    order = order_body_of(order_body("o1", "c1"), now_ms=NOW)
    failure = TechnicalFailure(code="no_policy", detail="gone")
    document = unavailable(order.row, None, failure)
    assert (document.alternatives, document.policy_version) == ((), "none")
