"""A backup holds every row as of one moment, and comes back whole on either database or not at all."""

import json
import math
import os
import random
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import BigInteger, Column, Identity, MetaData, Table, Text, create_engine, text

import bonitas
from serving.backup import store_rows
from serving.backup.backup import BackupMade, back_up
from serving.backup.backup_file import (
    FORMAT,
    BackupDamagedError,
    BackupError,
    opened_backup,
    written_backup,
)
from serving.backup.restore import Restored, RestoreTarget
from serving.backup.restore import restore as restore_backup
from serving.backup.store_rows import (
    BINARY,
    DOUBLE,
    INTEGER,
    TEXT,
    columns_of,
    last_number,
    lines_of,
    quoted,
    read_rows,
    write_rows,
)
from serving.backup.store_target import go_on_numbering, insert_rows
from serving.process.settings import Settings
from serving.store.deliveries import WEBHOOK, enqueue
from serving.store.migrate import HEAD_REVISION, migrate, sqlalchemy_url
from serving.store.open_store import open_store
from serving.store.postgresql_store import PostgresqlStore
from serving.store.sqlite_store import SqliteStore
from serving.store.store import Store, now_ms
from serving.store.tables import metadata
from tests.serving.conftest import drop_postgresql, fresh_postgresql_url

NOW = datetime(2026, 11, 28, 9, 30, tzinfo=UTC)
AWKWARD = ("", "a", "B", "É", "a-b", "aB", "Ab", "ß", "名", "x'\"\\\t\n", "\\N", "null", "_", "zz" * 500)


def a_value(kind: str, number: int, chance: random.Random) -> Any:
    if kind == BINARY:
        return chance.randbytes(chance.choice((0, 1, 400)))
    if kind == DOUBLE:
        return chance.choice((0.1, -0.0, 1e-300, math.inf, -math.inf, chance.random()))
    if kind == INTEGER:
        return chance.choice((0, -1, 2**63 - 1, -(2**63))) if number < 0 else number
    return f"{AWKWARD[number % len(AWKWARD)]}{number if number >= len(AWKWARD) else ''}"


def fill(store: Store, rows_of_each: int = 20) -> None:
    """Rows of all kinds of values in every table, whichever columns it has."""
    chance = random.Random(7)
    for table in metadata.sorted_tables:
        kinds = columns_of(table)
        rows = []
        for number in range(rows_of_each):
            row = []
            for name, kind in kinds.items():
                column = table.c[name]
                in_unique_index = any(index.unique and name in index.columns for index in table.indexes)
                is_one_of_its_kind = column.primary_key or column.unique or in_unique_index
                value = a_value(kind, number if is_one_of_its_kind or kind == TEXT else -1, chance)
                if column.nullable and not in_unique_index and chance.random() < 0.3:
                    value = None
                row.append(value)
            rows.append(row)
        names = ", ".join(f'"{name}"' for name in kinds)
        marks = ", ".join("?" for _ in kinds)
        with store.writing("test") as tx:
            tx.execute_many(f'INSERT INTO "{table.name}" ({names}) VALUES ({marks})', rows)


def all_rows(store: Store) -> dict[str, list[str]]:
    """Every row of every table, in an order that no database's collation changes."""
    with store.reading() as tx:
        return {
            table.name: sorted(
                repr(row)
                for row in tx.execute(
                    f"SELECT {', '.join(map(quoted, columns_of(table)))} FROM {quoted(table.name)}"
                )
            )
            for table in metadata.sorted_tables
        }


def settings_of(home: Path, database_url: str | None = None) -> Settings:
    found = {"BONITAS_HOME": str(home)}
    if database_url is not None:
        found["BONITAS_DATABASE_URL"] = database_url
    return Settings.from_env(found)


def backed_up(home: Path, file: Path, database_url: str | None = None) -> BackupMade:
    return back_up(settings_of(home, database_url), file, made_at=NOW)


def restored(file: Path, target: str, home: Path, *, store_only: bool = False, **more: bool) -> Restored:
    named = RestoreTarget.named(target, home=home, store_only=store_only)
    return restore_backup(file, named, without_deliveries=more.get("without_deliveries", False))


@pytest.fixture
def home(tmp_path: Path, empty_sqlite: bytes) -> Path:
    """A home with an empty store, a registry that is no real one, and files."""
    home = tmp_path / "home"
    (home / "mlartifacts" / "champions").mkdir(parents=True)
    (home / "bonitas.db").write_bytes(empty_sqlite)
    (home / "mlartifacts" / "champions" / "m.jsonl").write_text("{}\n")
    (home / "evidence" / "dsp_1").mkdir(parents=True)
    (home / "evidence" / "dsp_1" / "5e3f").write_bytes(b"%PDF-1.7")
    (home / "checkout.key").write_text("a secret")
    (home / "server.log").write_text("a log")
    with closing(sqlite3.connect(home / "mlflow.db")) as registry, registry:
        registry.execute("CREATE TABLE model_versions (name, version, source, current_stage)")
        registry.execute("INSERT INTO model_versions VALUES ('m', 1, 'file:///elsewhere/model', 'None')")
    return home


@pytest.mark.postgresql
def test_every_row_comes_back_on_postgresql_and_from_there_on_sqlite(
    home: Path, tmp_path: Path, postgresql_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_rows, "PAGE", 7)
    url = f"sqlite:///{home / 'bonitas.db'}"
    first = open_store(url)
    fill(first)
    before = all_rows(first)
    first.close()
    made = backed_up(home, tmp_path / "one.backup")
    assert made.rows == {table.name: 20 for table in metadata.sorted_tables}
    postgresql_url = fresh_postgresql_url(postgresql_server)
    migrate(postgresql_url)  # tables that are there and empty are no data
    second_home = tmp_path / "second"
    moved = restored(tmp_path / "one.backup", postgresql_url, second_home)
    assert moved.rows == made.rows
    second = open_store(postgresql_url)
    with second.reading() as tx:
        ((counted,),) = tx.execute("SELECT reltuples FROM pg_class WHERE relname = ?", ("ledger_events",))
    assert counted == moved.rows["ledger_events"]
    assert all_rows(second) == before
    second.close()
    back = backed_up(second_home, tmp_path / "two.backup", postgresql_url)
    with pytest.raises(BackupError, match="holds data"):
        restored(tmp_path / "two.backup", postgresql_url, tmp_path / "third")
    assert not (tmp_path / "third").exists()
    assert restored(tmp_path / "two.backup", str(tmp_path / "third"), home).rows == back.rows == made.rows
    third = open_store(f"sqlite:///{tmp_path / 'third' / 'bonitas.db'}")
    assert all_rows(third) == before
    third.close()
    drop_postgresql(postgresql_server, postgresql_url)
    for one in (second_home, tmp_path / "third"):
        assert (one / "checkout.key").read_text() == "a secret"
        assert (one / "mlartifacts" / "champions" / "m.jsonl").read_text() == "{}\n"
        assert (one / "evidence" / "dsp_1" / "5e3f").read_bytes() == b"%PDF-1.7"
        assert {file.stat().st_mode & 0o77 for file in one.rglob("*")} == {0}
        assert not (one / "server.log").exists()


@given(
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
            st.one_of(st.none(), st.floats(allow_nan=False)),
            st.one_of(st.none(), st.text(st.characters(exclude_categories=("Cs",)))),
            st.one_of(st.none(), st.binary()),
        )
    )
)
def test_what_is_written_as_lines_is_read_back_to_the_bit(rows: list[tuple[Any, ...]]) -> None:
    kinds = [INTEGER, DOUBLE, TEXT, BINARY]
    lines = BytesIO(lines_of(rows, kinds))
    read = [tuple(row) for page in read_rows(lines, kinds) for row in page]
    assert [repr(row) for row in read] == [repr(row) for row in rows]


def test_all_tables_are_of_one_moment_while_others_write(
    store: Store, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_rows, "PAGE", 50)
    pair = (
        "INSERT INTO merchant_orders (merchant_id, merchant_order_number, order_id) VALUES ('m', ?, 'o')",
        "INSERT INTO review_requests (decision_id, requested_at_ms, note) VALUES (?, 1, '')",
    )
    stopped, written = threading.Event(), threading.Event()

    def write() -> None:
        number = 0
        while not stopped.is_set():
            # Each transaction writes one row into either table.
            with store.writing("test") as tx:
                for sql in pair:
                    tx.execute(sql, (f"{number:06}",))
            number += 1
            if number > 200:
                written.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert written.wait(60)
        made = [
            backed_up(tmp_path / "home", tmp_path / f"{number}.backup", database_url) for number in range(3)
        ]
    finally:
        stopped.set()
        writer.join()
    counts = [one.rows["merchant_orders"] for one in made]
    assert counts == [one.rows["review_requests"] for one in made]
    assert 200 < counts[0] <= counts[1] <= counts[2]


def test_the_file_is_its_owners_alone_and_says_what_it_holds_and_what_not(home: Path, tmp_path: Path) -> None:
    file = home / "b.backup"
    for _ in range(2):
        made = backed_up(home, file)
        assert list(made.left_out) == [
            "the files of m 1, which lie at file:///elsewhere/model",
            "server.log of the home",
        ]
    assert file.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in home.iterdir() if "unfinished" in one.name] == []
    with opened_backup(file) as backup:
        manifest = backup.manifest
        with backup.part("home/checkout.key") as key:
            assert key.read() == b"a secret"
    assert (manifest.format, manifest.schema_revision) == (FORMAT, HEAD_REVISION)
    assert set(manifest.tables) == set(metadata.tables)
    assert {name.split("/")[0] for name in manifest.parts} == {"store", "home"}
    taken = tmp_path / "notes.txt"
    taken.write_text("mine")
    with pytest.raises(BackupError, match="is no backup"):
        backed_up(home, taken)
    assert taken.read_text() == "mine"


def test_the_policy_file_of_the_settings_comes_along_from_elsewhere(home: Path, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text("a policy")
    settings = Settings.from_env({"BONITAS_HOME": str(home), "BONITAS_POLICY": str(tmp_path / "own.toml")})
    back_up(settings, tmp_path / "b.backup", made_at=NOW)
    restored(tmp_path / "b.backup", str(tmp_path / "copy"), home)
    assert (tmp_path / "copy" / "own.toml").read_text() == "a policy"


def test_a_registry_whose_address_is_more_than_a_files_name_is_named_as_left_out(
    home: Path, tmp_path: Path
) -> None:
    elsewhere = (home / "mlflow.db").rename(tmp_path / "registry.db")
    settings = Settings.from_env(
        {"BONITAS_HOME": str(home), "BONITAS_MLFLOW_URI": f"sqlite:///{elsewhere}?timeout=30"}
    )
    made = back_up(settings, tmp_path / "b.backup", made_at=NOW)
    assert any("the model registry" in one for one in made.left_out), made.left_out


@pytest.fixture
def small(home: Path, tmp_path: Path) -> bytes:
    backed_up(home, tmp_path / "small.backup")
    return (tmp_path / "small.backup").read_bytes()


def test_a_file_that_was_cut_or_changed_anywhere_is_refused_by_name_and_nothing_is_written(
    small: bytes, tmp_path: Path
) -> None:
    file, chance = tmp_path / "hurt.backup", random.Random(3)
    for place in {*range(0, len(small), len(small) // 60), len(small) - 1, len(small) - 70}:
        changed = bytearray(small)
        changed[place] ^= 1 << chance.randrange(8)
        for hurt in (bytes(changed), small[:place]):
            file.write_bytes(hurt)
            with pytest.raises(BackupDamagedError, match=r"hurt\.backup"):
                restored(file, str(tmp_path / "copy"), tmp_path)
            assert not (tmp_path / "copy").exists()


def test_a_backup_that_is_cut_short_leaves_the_one_before_it_and_nothing_else(
    home: Path, small: bytes, tmp_path: Path
) -> None:
    def is_stopped(step: str, *, done: int, total: int) -> None:
        if step == "files" and done == total:
            raise KeyboardInterrupt

    before = sorted(tmp_path.iterdir())
    with pytest.raises(KeyboardInterrupt):
        back_up(settings_of(home), tmp_path / "small.backup", made_at=NOW, progress=is_stopped)
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "small.backup").read_bytes() == small


def test_what_a_killed_backup_has_left_is_not_in_the_way_of_a_process_of_its_number(
    home: Path, tmp_path: Path
) -> None:
    """In a container every process may have the same number."""
    left = tmp_path / f".b.backup.{os.getpid()}.unfinished"
    left.write_bytes(b"cut off")
    backed_up(home, tmp_path / "b.backup")
    assert (tmp_path / "b.backup").exists()
    assert left.read_bytes() == b"cut off"


def changed_manifest(file: Path, out: Path, **changes: Any) -> Path:
    """The same backup, whole, with another manifest."""
    with opened_backup(file) as backup, written_backup(out) as writer:
        for name in backup.manifest.parts:
            with writer.part(name) as sink, backup.part(name) as source:
                sink.write(source.read())
        writer.finish(msgspec.structs.replace(backup.manifest, **changes))
    return out


def test_what_a_newer_release_made_is_refused_before_anything_is_written(
    small: bytes, tmp_path: Path
) -> None:
    assert small
    for number, (changes, message) in enumerate(
        (
            ({"format": FORMAT + 1}, f"format {FORMAT + 1}, this release reads {FORMAT}"),
            ({"schema_revision": "9999"}, f"revision 9999, this release knows them up to {HEAD_REVISION}"),
        )
    ):
        newer = changed_manifest(tmp_path / "small.backup", tmp_path / f"newer{number}.backup", **changes)
        with pytest.raises(BackupError, match=message):
            restored(newer, str(tmp_path / "copy"), tmp_path)
        assert not (tmp_path / "copy").exists()


def test_where_a_row_is_missing_in_the_end_nothing_is_left(
    small: bytes, tmp_path: Path, database_url: str
) -> None:
    with opened_backup(tmp_path / "small.backup") as backup:
        tables = dict(backup.manifest.tables)
    tables["decisions"] = msgspec.structs.replace(tables["decisions"], rows=1)
    lying = changed_manifest(tmp_path / "small.backup", tmp_path / "lying.backup", tables=tables)
    for target in (str(tmp_path / "copy"), database_url):
        with pytest.raises(BackupError, match="decisions has 0 instead of 1"):
            restored(lying, target, tmp_path / "copy")
        assert list((tmp_path / "copy").iterdir()) == []
    open_store(database_url).close()
    assert small


def test_a_target_that_holds_something_is_refused_and_stays_as_it_is(
    home: Path, small: bytes, tmp_path: Path, empty_sqlite: bytes
) -> None:
    file, other = tmp_path / "small.backup", tmp_path / "other"
    assert small
    with pytest.raises(
        BackupError, match=r"holds checkout.key, evidence, mlartifacts, mlflow.db, server.log"
    ):
        restored(file, str(home), tmp_path)
    other.mkdir()
    with closing(sqlite3.connect(other / "foreign.db")) as foreign, foreign:
        foreign.execute("CREATE TABLE theirs (x)")
    (other / "data.db").write_bytes(empty_sqlite)
    with closing(sqlite3.connect(other / "data.db")) as data, data:
        data.execute("INSERT INTO signing_keys VALUES ('a', 'b', 1)")
    for name, message in (("foreign", "something else .theirs."), ("data", "holds data .in signing_keys.")):
        with pytest.raises(BackupError, match=message):
            restored(file, f"sqlite:///{other / name}.db", tmp_path / "copy")
    (other / ".unfinished-restore").mkdir()
    with pytest.raises(BackupError, match="did not end"):
        restored(file, str(other), tmp_path)
    assert not (tmp_path / "copy").exists()
    # An empty store is no data, nor is what a file system puts into a new volume.
    volume = tmp_path / "volume"
    (volume / "lost+found").mkdir(parents=True)
    (volume / "bonitas.db").write_bytes(empty_sqlite)
    assert restored(file, str(volume), tmp_path).files == 4


def test_the_store_alone_goes_into_a_database_beside_a_home_that_stays(
    home: Path, small: bytes, tmp_path: Path
) -> None:
    assert small
    target = f"sqlite:///{tmp_path / 'alone' / 'store.db'}"
    assert restored(tmp_path / "small.backup", target, home, store_only=True).files == 0
    assert [file.name for file in (tmp_path / "alone").iterdir()] == ["store.db"]
    with pytest.raises(BackupError, match="the store alone goes into a database"):
        restored(tmp_path / "small.backup", str(tmp_path / "folder"), home, store_only=True)
    with pytest.raises(BackupError, match="a database is named by"):
        restored(tmp_path / "small.backup", "mysql://x", home)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def numbering_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'numbers.db'}"
        return
    server = request.getfixturevalue("postgresql_server")
    url = fresh_postgresql_url(server)
    yield url
    drop_postgresql(server, url)


@pytest.mark.parametrize("is_emptied", [False, True])
def test_rows_that_a_database_numbers_keep_their_numbers_and_no_number_is_given_twice(
    numbering_url: str, tmp_path: Path, *, is_emptied: bool
) -> None:
    """The newest rows are gone at the time of the backup: a reader has gone on from their numbers."""
    is_postgresql = numbering_url.startswith("postgresql")
    numbers = Table(
        "numbers",
        MetaData(),
        Column("number", BigInteger, Identity(always=True), primary_key=True),
        Column("text", Text, nullable=False),
    )
    create = (
        "CREATE TABLE numbers (number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, text TEXT NOT NULL)"
        if is_postgresql
        else "CREATE TABLE numbers (number INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT NOT NULL)"
    )
    if not is_postgresql:
        with closing(sqlite3.connect(tmp_path / "numbers.db")) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
    store = PostgresqlStore(numbering_url) if is_postgresql else SqliteStore(tmp_path / "numbers.db")
    add = "INSERT INTO numbers (text) VALUES ('x') RETURNING number"
    with store.writing("test") as tx:
        tx.execute(create)
        assert [tx.execute(add)[0][0] for _ in range(9)] == list(range(1, 10))
        tx.execute(f"DELETE FROM numbers WHERE number > {0 if is_emptied else 4}")
    lines = BytesIO()
    with store.reading() as tx:
        kept = write_rows(tx, numbers, lines, lambda _: None, is_postgresql=is_postgresql)
        assert kept.last_number == last_number(tx, numbers, is_postgresql=is_postgresql) == 9
    with store.writing("test") as tx:
        tx.execute("DROP TABLE numbers")
        tx.execute(create)
    store.close()
    engine = create_engine(sqlalchemy_url(numbering_url))
    with engine.begin() as connection:
        lines.seek(0)
        for page in read_rows(lines, list(kept.columns.values())):
            insert_rows(connection, "numbers", kept, page)
        go_on_numbering(connection, "numbers", kept)
        there = connection.execute(text("SELECT number FROM numbers ORDER BY number")).scalars().all()
        assert there == ([] if is_emptied else [1, 2, 3, 4])
        assert connection.execute(text(add)).scalar_one() == 10
    engine.dispose()


def test_messages_that_wait_are_dropped_where_the_first_store_sends_them(home: Path, tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{home / 'bonitas.db'}")
    with store.writing("test") as tx:
        for name in ("a", "b"):
            enqueue(
                tx,
                delivery_id=name,
                merchant_id="m1",
                stop_request_id=None,
                event_type="x",
                channel=WEBHOOK,
                body="",
                now_ms=now_ms(),
            )
        tx.execute(
            "UPDATE deliveries SET state = 'delivered', next_attempt_at_ms = NULL WHERE delivery_id = 'b'"
        )
    store.close()
    backed_up(home, tmp_path / "b.backup")
    for name, options, states in (
        ("with", {}, [("a", "waiting", True), ("b", "delivered", False)]),
        ("without", {"without_deliveries": True}, [("a", "dropped", False), ("b", "delivered", False)]),
    ):
        come = restored(tmp_path / "b.backup", str(tmp_path / name), home, **options)
        assert come.dropped_deliveries == len(options)
        with closing(sqlite3.connect(tmp_path / name / "bonitas.db")) as copy:
            rows = copy.execute("SELECT delivery_id, state, next_attempt_at_ms IS NOT NULL FROM deliveries")
            assert [(one, state, bool(due)) for one, state, due in rows] == states


def test_the_commands_tell_counts_and_faults_in_a_line(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ran(*arguments: str, home: Path) -> Result:
        return CliRunner().invoke(
            bonitas.main, arguments, env={"BONITAS_HOME": str(home), "BONITAS_DATABASE_URL": None}
        )

    store = open_store(f"sqlite:///{home / 'bonitas.db'}")
    fill(store, 3)
    store.close()
    file, copy = str(tmp_path / "b.backup"), str(tmp_path / "copy")
    made = ran("backup", "--to", file, "--json", home=home)
    assert made.exit_code == 0, made.output
    assert "not in the backup: server.log of the home" in made.stderr
    assert json.loads(made.stdout)["rows"]["decisions"] == 3
    # On a new machine the settings may name what the backup is to bring.
    monkeypatch.setenv("BONITAS_POLICY", str(tmp_path / "not-there-yet.toml"))
    told = ran("restore", file, "--to", copy, home=tmp_path / "nowhere")
    assert told.exit_code == 0, told.output
    assert "every count equal" in told.stdout
    assert "decisions: 3\n" in told.stdout
    again = ran("restore", file, "--to", copy, home=tmp_path / "nowhere")
    assert (again.exit_code, "holds" in again.stderr) == (1, True)
    monkeypatch.delenv("BONITAS_POLICY")
    nothing = ran("backup", "--to", file, home=tmp_path / "nowhere")
    assert (nothing.exit_code, "bonitas migrate" in nothing.stderr) == (1, True)
    unwritable = ran("backup", "--to", str(tmp_path / "no" / "folder"), home=home)
    assert (unwritable.exit_code, "cannot be made" in unwritable.stderr) == (1, True)
