"""What `/readyz` is made of: the last look at the store, and what a process lacks to decide."""

from pathlib import Path

import msgspec
import psycopg
import pytest

from serving.api.readiness import SILENT_SECONDS, Readiness, StoreWatch
from serving.in_force.model_watch import ModelInForce
from serving.in_force.policy_activation import PolicyFile
from serving.in_force.policy_watch import PolicyInForce
from serving.requests.request_scope import StoreDoor
from serving.store.migrate import migrate
from tests.serving.conftest import drop_postgresql, fresh_postgresql_url

NO_MODEL = ModelInForce(model=None, technical_reason="there is no champion")
POLICY = PolicyFile.read(None).policy


def test_a_look_that_does_not_come_back_has_found_a_store_that_does_not_answer(database_url: str) -> None:
    now = 100.0
    door = StoreDoor(database_url)
    watch = StoreWatch(door, monotonic=lambda: now)
    assert watch.problem == "the store was not looked at yet"
    watch.look()
    assert watch.problem is None
    now += SILENT_SECONDS + 1
    assert watch.problem == "the store has not answered for 6 s"
    watch.look()
    assert watch.problem is None
    door.close()


@pytest.mark.postgresql
def test_a_database_that_answers_but_takes_no_writes_is_no_store(
    postgresql_server: str, empty_postgresql: str
) -> None:
    url = fresh_postgresql_url(postgresql_server, template=f"test_{empty_postgresql}")
    door = StoreDoor(url)
    watch = StoreWatch(door)
    watch.look()
    assert watch.problem is None
    with psycopg.connect(url, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'.encode())
        connection.execute(
            b"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
            b"AND pid <> pg_backend_pid()"
        )
    watch.look()
    assert watch.problem == "the store cannot be reached"
    door.close()
    drop_postgresql(postgresql_server, url)


@pytest.mark.parametrize("address", ["postgresql://secret@127.0.0.1:1/none", "sqlite:////nowhere/x.db"])
def test_whoever_asks_learns_what_to_do_but_not_where_the_database_is_and_as_whom(address: str) -> None:
    watch = StoreWatch(StoreDoor(address))
    for _ in range(2):
        # Soon after a failure the database is not asked again, and the reason is the same.
        watch.look()
        assert watch.problem in {
            "the store cannot be reached",
            "/nowhere/x.db does not exist: run `bonitas migrate`",
        }


def test_every_missing_part_is_named_with_its_reason(tmp_path: Path) -> None:
    readiness = Readiness()
    assert readiness.response().status_code == 503, "the service is still starting"
    migrate(f"sqlite:///{tmp_path / 'b.db'}")
    door = StoreDoor(f"sqlite:///{tmp_path / 'b.db'}")
    watch = StoreWatch(door)
    policy = PolicyInForce(policy=POLICY, technical_reason="not read yet")
    readiness.start(watch, policy_now=lambda: policy, model_now=lambda: NO_MODEL)
    watch.look()
    document = msgspec.json.decode(readiness.response().body)
    assert document["missing"] == [
        {"code": "no_policy", "reason": "not read yet"},
        {"code": "no_model", "reason": "there is no champion"},
    ]
    policy = PolicyInForce(policy=POLICY)
    document = msgspec.json.decode(readiness.response().body)
    assert [part["code"] for part in document["missing"]] == ["no_model"]
    door.close()
