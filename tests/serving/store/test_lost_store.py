"""A store that is gone is missed: nothing empty is made in its place until somebody asks for it."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner

import bonitas
from serving.api.readiness import StoreWatch
from serving.domain.policy_history import PolicyHistoryDamaged
from serving.in_force.policy_activation import PolicyFile, activate, active_policy
from serving.requests.request_scope import StoreDoor
from serving.store.errors import StoreLost, StoreUnavailable
from serving.store.known_stores import FILE, refuse_lost_store, remember_store
from serving.store.migrate import migrate
from serving.store.open_store import open_store
from serving.store.store import Store
from tests.serving.conftest import fresh_postgresql_url


def without_tables(file: Path) -> None:
    file.unlink()
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE something_else (a)")
    connection.close()


def only_its_log_left(file: Path) -> None:
    (file.parent / FILE).unlink()
    file.rename(file.with_name(file.name + "-wal"))


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "deleted": (Path.unlink, "is gone"),
    "deleted, in a home of an earlier release": (only_its_log_left, "is gone"),
    "empty": (lambda file: file.write_bytes(b""), "is an empty file"),
    "overwritten": (lambda file: file.write_bytes(b"this is no database" * 100), "is no database"),
    "another database": (without_tables, "holds no tables of it"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_lost_store_is_named_and_made_anew_on_purpose_only(damage: str, tmp_path: Path) -> None:
    do_damage, told = DAMAGES[damage]
    home, file = tmp_path / "home", tmp_path / "home" / "bonitas.db"
    environ = {"BONITAS_HOME": str(home), "BONITAS_DATABASE_URL": ""}

    def ran(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(bonitas.main, arguments, env=environ)
        return result.exit_code, result.output

    assert ran("migrate")[0] == 0
    assert ran("migrate", "--new-store")[0] == 1
    do_damage(file)
    before = file.read_bytes() if file.exists() else None
    for command in (("migrate",), ("keys", "create", "shop", "--role", "checkout")):
        status, said = ran(*command)
        assert (status, told in said) == (1, True)
        assert "bonitas restore" in said
        assert "--new-store" in said
    assert (file.read_bytes() if file.exists() else None) == before
    # What serves opens it by its address alone.
    watch = StoreWatch(StoreDoor(f"sqlite:///{file}"))
    watch.look()
    assert "bonitas migrate" in str(watch.problem)
    status, said = ran("migrate", "--new-store")
    assert status == 0, said
    assert ran("migrate")[0] == 0
    assert len(list(home.glob("bonitas.db.lost-*"))) == (damage != "deleted")
    open_store(f"sqlite:///{file}").close()


def test_a_home_that_was_moved_misses_its_store_there(tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    migrate(f"sqlite:///{before / 'bonitas.db'}")
    remember_store(before, f"sqlite:///{before / 'bonitas.db'}")
    before.rename(after)
    refuse_lost_store(after, f"sqlite:///{after / 'bonitas.db'}")
    refuse_lost_store(after, f"sqlite:///{tmp_path / 'another.db'}")
    (after / "bonitas.db").unlink()
    with pytest.raises(StoreLost, match="is gone"):
        refuse_lost_store(after, f"sqlite:///{after / 'bonitas.db'}")


@pytest.mark.postgresql
def test_an_emptied_database_of_a_server_is_not_filled_anew(postgresql_server: str, tmp_path: Path) -> None:
    url = fresh_postgresql_url(postgresql_server)
    refuse_lost_store(tmp_path, url)
    migrate(url)
    remember_store(tmp_path, url)
    refuse_lost_store(tmp_path, url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    with pytest.raises(StoreLost, match="holds no tables of it"):
        refuse_lost_store(tmp_path, url)
    stopped = "postgresql://nobody:secret@127.0.0.1:1/none"
    remember_store(tmp_path, stopped)
    assert (tmp_path / FILE).read_text().splitlines()[-1] == "postgresql://127.0.0.1:1/none"
    with pytest.raises(StoreUnavailable):
        refuse_lost_store(tmp_path, stopped)


def test_where_decisions_were_made_and_no_policy_is_known_a_person_puts_one_in_force(store: Store) -> None:
    def file() -> PolicyFile:
        return PolicyFile.read(None)

    with store.writing("c1") as tx:
        tx.execute(
            "INSERT INTO decisions (decision_id, order_id, customer_id, merchant_id, outcome, as_of_ms, "
            "policy_version, record) VALUES ('d1', 'o1', 'c1', 'm1', 'approved', 1, '2026-1', '{}')"
        )
    with pytest.raises(PolicyHistoryDamaged, match="bonitas policy activate"):
        active_policy(store, file, now_ms=1)
    activate(store, file(), by="ann", reason="restored by hand", clock=lambda: 2)
    assert active_policy(store, file, now_ms=3).activation.by == "ann"
