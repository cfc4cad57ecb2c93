"""A clock that can be moved: in a sandbox alone, forward alone, for every process at once and for good."""

from contextlib import nullcontext
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

import serving.store.migrate
from data_contracts.instants import DAY_MS, HOUR_MS, moment
from serving.backup.backup import back_up
from serving.backup.restore import RestoreTarget, restore
from serving.process.settings import Settings
from serving.requests.request_scope import StoreDoor
from serving.store.api_keys import create_key
from serving.store.clock_watch import ClockWatch
from serving.store.errors import StoreUnavailable
from serving.store.migrate import sqlalchemy_url
from serving.store.open_store import open_store
from serving.store.policies import keep_policy
from serving.store.running_processes import ProcessKind, Registration
from serving.store.sandbox_clock import (
    EFFECTIVE_AFTER_MS,
    LONGEST_STEP_MS,
    SANDBOX_REVISION,
    ClockStep,
    NoSandbox,
    NotEmpty,
    SandboxClock,
    StepRefused,
    advance,
    clock_of,
    clock_steps,
    mark_as_sandbox,
    sandbox_of,
)
from serving.store.schema_revisions import CodeRevisions, revisions_of, why_not_usable
from serving.store.store import now_ms
from tests.serving.conftest import fresh_postgresql_url

MACHINE_MS = 1_790_000_000_000
VERSIONS = Path(serving.store.migrate.__file__).parent / "migrations" / "versions"


class Machine:
    """A machine's clock that goes when it is told to."""

    def __init__(self):
        self.at_ms = MACHINE_MS

    def now_ms(self):
        return self.at_ms


def steps_in(store):
    with store.reading() as tx:
        return clock_steps(tx)


def test_a_store_goes_by_the_machines_clock_until_it_is_made_a_sandbox(store):
    assert sandbox_of(store) is None
    assert clock_of(store) is now_ms
    mark_as_sandbox(store)
    assert sandbox_of(store).ahead_ms() == 0
    mark_as_sandbox(store)
    assert len(steps_in(store)) == 1


def test_only_a_sandbox_is_moved(store):
    with pytest.raises(NoSandbox, match="no sandbox"):
        advance(store, DAY_MS)
    assert steps_in(store) == ()


def a_key(store):
    create_key(store, name="shop", role="checkout", merchant_id=None, now_ms=now_ms())


def a_policy(store):
    with store.writing() as tx:
        keep_policy(tx, version="1", content="version = '1'", now_ms=now_ms())


def a_process(store):
    Registration(ProcessKind.SERVICE, now_ms=now_ms).renew(store)


@pytest.mark.parametrize("kept", [a_key, a_policy, a_process])
def test_a_store_that_holds_a_row_is_never_made_a_sandbox(store, kept):
    kept(store)
    with pytest.raises(NotEmpty, match="only a new and empty one becomes a sandbox"):
        mark_as_sandbox(store)
    assert sandbox_of(store) is None


@pytest.mark.parametrize("by_ms", [0, -1, -DAY_MS, LONGEST_STEP_MS + 1])
def test_a_sandbox_is_moved_forward_and_not_beyond_reason(store, by_ms):
    mark_as_sandbox(store)
    with pytest.raises(StepRefused, match="moved forward"):
        advance(store, by_ms)
    assert len(steps_in(store)) == 1


def test_all_processes_change_at_the_instant_that_a_step_names(store, database_url):
    machine = Machine()
    mark_as_sandbox(store, machine_now_ms=machine.now_ms)
    clocks = [SandboxClock(steps_in(store), machine_now_ms=machine.now_ms) for _ in range(2)]
    assert {clock.now_ms() for clock in clocks} == {MACHINE_MS}
    step = advance(store, 21 * DAY_MS, machine_now_ms=machine.now_ms)
    assert step == ClockStep(effective_at_ms=MACHINE_MS + EFFECTIVE_AFTER_MS, ahead_ms=21 * DAY_MS)
    other = open_store(database_url)
    # One looks at once and one a little later: until the step counts nobody goes by it, from then on both do.
    clocks[0].look(store)
    machine.at_ms += EFFECTIVE_AFTER_MS - 1
    clocks[1].look(other)
    assert {clock.now_ms() for clock in clocks} == {machine.at_ms}
    machine.at_ms += 1
    assert {clock.now_ms() for clock in clocks} == {machine.at_ms + 21 * DAY_MS}
    other.close()


def test_steps_add_up_and_none_takes_another_back(store):
    machine = Machine()
    mark_as_sandbox(store, machine_now_ms=machine.now_ms)
    advance(store, DAY_MS, machine_now_ms=machine.now_ms)
    # Of a machine whose clock is behind the other's.
    machine.at_ms -= 500
    advance(store, HOUR_MS, machine_now_ms=machine.now_ms)
    steps = steps_in(store)
    assert [step.ahead_ms for step in steps] == [0, DAY_MS, DAY_MS + HOUR_MS]
    assert [step.effective_at_ms for step in steps] == sorted(step.effective_at_ms for step in steps)
    clock = SandboxClock(steps, machine_now_ms=machine.now_ms)
    told = []
    for machine.at_ms in range(MACHINE_MS, MACHINE_MS + 3 * EFFECTIVE_AFTER_MS, 10):
        told.append(clock.now_ms())
    assert told == sorted(told)
    assert told[-1] == machine.at_ms + DAY_MS + HOUR_MS


@pytest.mark.parametrize(
    "statement", ["DELETE FROM sandbox_clock_steps", "UPDATE sandbox_clock_steps SET ahead_ms = 0"]
)
def test_the_mark_and_the_steps_stay_whoever_tries_to_take_them_away(store, database_url, statement):
    mark_as_sandbox(store)
    advance(store, DAY_MS)
    engine = create_engine(sqlalchemy_url(database_url))
    with pytest.raises(Exception, match="a sandbox stays one"), engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()
    assert [step.ahead_ms for step in steps_in(store)] == [0, DAY_MS]


def test_a_release_that_knows_no_sandbox_does_not_work_on_one(store):
    before = CodeRevisions(own="0014", needs="0014")
    assert why_not_usable(revisions_of(store), before) is None
    mark_as_sandbox(store)
    assert revisions_of(store).works_with_code_since == SANDBOX_REVISION
    assert "start a newer release" in why_not_usable(revisions_of(store), before)


@pytest.mark.postgresql
def test_a_restored_sandbox_is_one_at_the_same_distance_and_keeps_older_code_out(
    tmp_path, empty_sqlite, postgresql_server
):
    home = tmp_path / "home"
    home.mkdir()
    (home / "bonitas.db").write_bytes(empty_sqlite)
    first = open_store(f"sqlite:///{home / 'bonitas.db'}")
    mark_as_sandbox(first)
    advance(first, 21 * DAY_MS)
    kept = steps_in(first)
    first.close()
    file = tmp_path / "backup.zip"
    back_up(Settings.from_env({"BONITAS_HOME": str(home)}), file, made_at=moment(MACHINE_MS))
    for url in (f"sqlite:///{tmp_path / 'again.db'}", fresh_postgresql_url(postgresql_server)):
        target = RestoreTarget.named(url, home=home, store_only=True)
        restore(file, target, without_deliveries=False)
        again = open_store(url)
        assert steps_in(again) == kept
        assert revisions_of(again).works_with_code_since == SANDBOX_REVISION
        advance(again, HOUR_MS)
        with pytest.raises(StoreUnavailable, match="a sandbox stays one"), again.writing() as tx:
            tx.execute("DELETE FROM sandbox_clock_steps")
        again.close()


def test_the_revision_that_older_code_lacks_is_that_which_makes_the_table():
    (made_in,) = [file for file in VERSIONS.glob("*.py") if '"sandbox_clock_steps"' in file.read_text()]
    assert made_in.name.startswith(f"{SANDBOX_REVISION}_")


def test_a_service_goes_by_the_clock_of_the_store_that_it_opens(database_url, store):
    mark_as_sandbox(store)
    machine_ms = now_ms()
    engine = create_engine(sqlalchemy_url(database_url))
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO sandbox_clock_steps VALUES (1, :at, :at, :ahead)"),
            {"at": machine_ms, "ahead": DAY_MS},
        )
    engine.dispose()
    door = StoreDoor(database_url)
    early = door.clock
    assert early() < now_ms() + HOUR_MS
    door.open()
    assert (door.is_real, door.sandbox.ahead_ms()) == (False, DAY_MS)
    # Who asked before the store was opened goes by it too.
    for clock in (early, door.clock, door.now_ms):
        assert machine_ms + DAY_MS <= clock() < machine_ms + DAY_MS + HOUR_MS
    door.close()


def test_a_service_of_a_real_store_goes_by_the_machines_clock_itself_and_never_looks(database_url):
    door = StoreDoor(database_url)
    door.open()
    assert door.is_real
    assert door.clock is now_ms
    watch = ClockWatch(_never, sandbox=lambda: door.sandbox, is_real=lambda: door.is_real)
    watch.start()
    assert watch._looking is None
    watch.stop()
    door.close()


def _never():
    raise AssertionError("nobody looks")


def test_a_sandbox_is_not_taken_for_the_real_store_in_whose_place_it_lies(database_url, store):
    door = StoreDoor(database_url)
    door.forget(door.open())
    mark_as_sandbox(store)
    with pytest.raises(StoreUnavailable, match="another kind of store lies in the place of the first"):
        door.open()
    assert door.clock is now_ms
    door.close()


def test_a_look_that_fails_leaves_the_clock_where_it_was(store, caplog):
    mark_as_sandbox(store)
    sandbox = SandboxClock(steps_in(store))
    with pytest.raises(StoreUnavailable, match="is none now"):
        SandboxClock(steps_in(store)).look(_Emptied())

    def lost():
        raise StoreUnavailable("the store cannot be reached")

    watch = ClockWatch(lost, sandbox=lambda: sandbox, is_real=lambda: False)
    for _ in range(3):
        watch.look()
    assert [record.getMessage() for record in caplog.records] == ["sandbox_clock_not_read"]
    assert sandbox.ahead_ms() == 0


class _Emptied:
    """A store whose steps somebody has taken away with all their guards."""

    def reading(self):
        return nullcontext(self)

    def execute(self, _sql):
        return []
