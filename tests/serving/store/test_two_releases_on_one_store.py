"""Older code goes on with a store that newer code only added to, and ends before anything is taken away."""

import re
import shutil
import sqlite3
from pathlib import Path

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.screening.messages_of_before import take_over_messages_of_before
from serving.store import migrate as migrating
from serving.store.deliveries import WEBHOOK, due, enqueue
from serving.store.errors import StoreBusy, StoreNotMigrated, StoreUnavailable
from serving.store.log_cursors import ORDER_LINKS
from serving.store.migrate import HEAD_REVISION, migrate, migrate_in_steps
from serving.store.open_store import open_store
from serving.store.outbox import append_message
from serving.store.running_processes import (
    RUNNING_MS,
    ProcessKind,
    Registration,
    RunningProcess,
    running_processes,
    say_that_it_runs,
)
from serving.store.schema_revisions import THIS_CODE, CodeRevisions, StoreRevisions, why_not_usable
from serving.store.store import Store, now_ms
from serving.store.waiting_looks import APPROVED, LINKED_ORDER, take_looks
from serving.store.waiting_work import due_work

VERSIONS = Path(migrating.__file__).parent / "migrations" / "versions"
NEXT = CodeRevisions(own="9001", needs="9001")
AFTER_NEXT = CodeRevisions(own="9002", needs="9001")
T0 = 1_700_000_000_000


def a_migration(revision: str, after: str, *, works_with_code_since: str, upgrade: str) -> str:
    return f"""
from alembic import op

revision, down_revision, branch_labels, depends_on = "{revision}", "{after}", None, None
works_with_code_since = "{works_with_code_since}"


def upgrade() -> None:
    {upgrade}
"""


@pytest.fixture(scope="module")
def newer_versions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The migrations of a release after the next: one adds a column, the other takes a table away."""
    folder = tmp_path_factory.mktemp("versions")
    for file in VERSIONS.glob("*.py"):
        shutil.copy(file, folder)
    (folder / "9001_adds.py").write_text(
        a_migration(
            "9001",
            HEAD_REVISION,
            works_with_code_since="0010",
            upgrade="op.execute('ALTER TABLE outbox ADD COLUMN of_tomorrow BIGINT NOT NULL DEFAULT 7')",
        )
    )
    (folder / "9002_takes_away.py").write_text(
        a_migration("9002", "9001", works_with_code_since="9001", upgrade="op.drop_table('review_requests')")
    )
    return folder


def test_code_of_before_goes_on_beside_what_was_only_added_and_not_beyond(
    database_url: str, newer_versions: Path
) -> None:
    assert migrate_in_steps(database_url, code=NEXT, versions=newer_versions).schema == "9001"
    assert migrate(database_url) == "9001"
    store = open_store(database_url)
    registration = Registration(ProcessKind.SERVICE, now_ms=now_ms, monotonic=lambda: float(now_ms()))
    registration.renew(store)
    with store.writing("x") as tx:
        append_message(tx, message_id="m", kind="check_case", payload={}, now_ms=1)
        assert tx.execute("SELECT of_tomorrow FROM outbox") == [(7,)]
    # The step that takes something away is not done by itself, and not while this code runs.
    later = migrate_in_steps(database_url, code=AFTER_NEXT, versions=newer_versions)
    assert (later.schema, later.left) == ("9001", "9002")
    with pytest.raises(StoreNotMigrated, match=rf"service \d+ on \S+ \(code of revision {THIS_CODE.own}\)"):
        migrate_in_steps(database_url, contract=True, code=AFTER_NEXT, versions=newer_versions)
    registration.end(store)
    contracted = migrate_in_steps(database_url, contract=True, code=AFTER_NEXT, versions=newer_versions)
    assert (contracted.schema, contracted.left) == ("9002", None)
    refused = f"needs code since revision 9001, this code is of {THIS_CODE.own}: start a newer release"
    for attempt in (
        lambda: open_store(database_url),
        lambda: migrate(database_url),
        lambda: registration.renew(store),
    ):
        with pytest.raises(StoreNotMigrated, match=refused):
            attempt()
    store.close()


def test_a_new_store_has_both_steps_and_one_that_code_needs_and_may_not_do_is_named(
    tmp_path: Path, newer_versions: Path
) -> None:
    new = f"sqlite:///{tmp_path / 'new.db'}"
    assert migrate_in_steps(new, code=AFTER_NEXT, versions=newer_versions).schema == "9002"
    before = f"sqlite:///{tmp_path / 'before.db'}"
    migrate(before)
    hasty = CodeRevisions(own="9002", needs="9002")
    with pytest.raises(StoreNotMigrated, match=r"9002, .* `bonitas migrate --contract`"):
        migrate_in_steps(before, code=hasty, versions=newer_versions)


def test_the_release_before_this_one_is_let_on_by_the_table_that_it_reads(store: Store) -> None:
    with store.reading() as tx:
        # That release asks for exactly this.
        assert tx.execute("SELECT version_num FROM alembic_version") == [("0010",)]


def test_every_migration_since_says_which_code_goes_on_and_none_lets_older_code_in_again() -> None:
    said = {}
    for file in sorted(VERSIONS.glob("*.py")):
        found = re.search(r'^works_with_code_since = "(\d{4})"$', file.read_text(), re.MULTILINE)
        said[file.name[:4]] = found[1] if found else None
    assert [revision for revision, oldest in said.items() if oldest is None] == sorted(said)[:10]
    declared = [oldest for oldest in said.values() if oldest is not None]
    assert declared == sorted(declared)
    assert all(oldest < revision for revision, oldest in said.items() if oldest is not None)
    assert max(said) == THIS_CODE.own


revisions = st.integers(1, 30).map("{:04d}".format)


@given(own=revisions, back=st.integers(0, 3), schema=revisions, oldest=revisions)
def test_code_works_where_all_that_it_needs_is_there_and_nothing_that_it_needs_is_gone(
    own: str, back: int, schema: str, oldest: str
) -> None:
    code = CodeRevisions(own=own, needs=f"{max(int(own) - back, 1):04d}")
    store = StoreRevisions(schema=schema, works_with_code_since=min(oldest, schema))
    slow = int(schema) >= int(code.needs) and (
        int(schema) <= int(own) or int(own) >= int(store.works_with_code_since)
    )
    assert (why_not_usable(store, code) is None) == slow


def test_a_migration_of_a_sqlite_store_is_done_whole_or_not_at_all(
    tmp_path: Path, newer_versions: Path
) -> None:
    broken = tmp_path / "versions"
    shutil.copytree(newer_versions, broken)
    (broken / "9002_takes_away.py").unlink()
    (broken / "9002_breaks.py").write_text(
        a_migration(
            "9002",
            "9001",
            works_with_code_since="0010",
            upgrade="op.drop_table('review_requests'); op.execute('SELECT no_such_function()')",
        )
    )
    file = tmp_path / "b.db"
    migrate(f"sqlite:///{file}")
    with pytest.raises(StoreUnavailable, match="no_such_function"):
        migrate_in_steps(f"sqlite:///{file}", code=NEXT, versions=broken)
    with sqlite3.connect(file) as connection:
        assert connection.execute("SELECT version_num FROM schema_revision").fetchall() == [(HEAD_REVISION,)]
        assert connection.execute("SELECT count(*) FROM review_requests").fetchone() == (0,)
    connection.close()
    with pytest.raises(StoreUnavailable, match="no_such_function"):
        migrate_in_steps(f"sqlite:///{tmp_path / 'new.db'}", code=NEXT, versions=broken)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["b.db", "versions"]


@pytest.mark.postgresql
def test_a_migration_on_postgresql_gives_way_to_whoever_has_a_table_and_keeps_nobody_waiting_behind_it(
    postgresql_server: str, newer_versions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.serving.conftest import fresh_postgresql_url

    monkeypatch.setattr(migrating, "LOCK_SECONDS", 0.05)
    monkeypatch.setattr(migrating, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(migrating, "TRY_FOR_SECONDS", 0.1)
    url = fresh_postgresql_url(postgresql_server)
    migrate(url)
    with psycopg.connect(url) as reader:
        reader.execute("SELECT count(*) FROM outbox")
        with pytest.raises(StoreBusy, match="others hold"):
            migrate_in_steps(url, code=NEXT, versions=newer_versions)
    assert migrate_in_steps(url, code=NEXT, versions=newer_versions).schema == "9001"


def test_who_was_killed_runs_no_more_after_a_minute_also_where_its_clock_was_ahead(store: Store) -> None:
    killed = RunningProcess.this(ProcessKind.WORKER, T0)
    ahead = RunningProcess.this(ProcessKind.SERVICE, T0)
    other = RunningProcess.this(ProcessKind.SERVICE, T0)
    with store.writing() as tx:
        say_that_it_runs(tx, killed, T0)
        say_that_it_runs(tx, ahead, T0 + 86_400_000)
        assert len(running_processes(tx, T0 + 1)) == 2
        say_that_it_runs(tx, other, T0 + RUNNING_MS)
        found = {one.process_id for one in running_processes(tx, T0 + RUNNING_MS)}
        assert found == {ahead.process_id, other.process_id}
        assert running_processes(tx, T0 + 2 * RUNNING_MS) == []


def test_what_services_of_before_leave_as_messages_is_looked_at(store: Store) -> None:
    with store.writing("x") as tx:
        for number, (kind, payload) in enumerate(
            (
                ("link_order", {"order_id": "o1", "approved": True}),
                ("screen_order", {"order_id": "o1", "trigger": LINKED_ORDER}),
                ("screen_order", {"order_id": "o2"}),
                ("of_tomorrow", {"order_id": "o3"}),
            )
        ):
            append_message(tx, message_id=f"m{number}", kind=kind, payload=payload, now_ms=T0)
    assert take_over_messages_of_before(store, T0) == 3
    assert take_over_messages_of_before(store, T0) == 0
    with store.writing(ORDER_LINKS) as tx:
        looks = take_looks(tx, 9, now_ms=T0)
        assert [(look.order_id, look.triggers) for look in looks] == [
            ("o2", (APPROVED,)),
            ("o1", (LINKED_ORDER,)),
        ]
        # What this code does not know waits for the release that left it, and is counted.
        assert tx.execute("SELECT kind FROM outbox") == [("of_tomorrow",)]
        assert due_work(tx, T0)["of_tomorrow"].count == 1


def test_what_a_newer_release_sends_by_another_channel_is_not_sent_as_a_webhook(store: Store) -> None:
    with store.writing("x") as tx:
        for number in range(2):
            enqueue(
                tx,
                delivery_id=f"d{number}",
                merchant_id="m1",
                stop_request_id=None,
                event_type="chargeback.created",
                channel=WEBHOOK,
                body="{}",
                now_ms=T0,
            )
        tx.execute("UPDATE deliveries SET channel = 'portal' WHERE delivery_id = 'd1'")
        tx.execute(
            "INSERT INTO waiting_looks (order_id, trigger, rank, due_at_ms, ask_id) "
            "VALUES ('o', 't', 7, 1, 'a')"
        )
        assert [delivery.delivery_id for delivery in due(tx, T0, 9)] == ["d0"]
        assert due_work(tx, T0)["look_linked"].count == 1
