"""PostgreSQL under locks that stay and behind a network that swallows: who is told what, and what is kept."""

import asyncio
import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

import psycopg
import pytest

from serving.requests.request_scope import StoreDoor
from serving.requests.store_access import StoreAccess
from serving.store.errors import CommitUnknown, StoreBusy, StoreUnavailable
from serving.store.migrate import migrate
from serving.store.policies import keep_policy
from serving.store.postgresql_store import PostgresqlStore
from serving.store.store import BESIDE_REQUESTS, Transaction
from tests.serving.conftest import fresh_postgresql_url
from tests.serving.requests.test_lock_waits import some_turns, started, with_patience

pytestmark = pytest.mark.postgresql

THREADS = 4


@dataclass
class Shop:
    """The service's way to a database, and what was kept through it."""

    url: str
    door: StoreDoor
    access: StoreAccess

    def keeping(
        self, version: str, *, lock: str = "", before: Callable[[Transaction], object] = lambda _tx: None
    ) -> Callable[[], None]:
        """Work that keeps one row. before: is done in its transaction, just before the commit."""

        def work() -> None:
            with self.door.open().writing(lock or version) as tx:
                keep_policy(tx, version=version, content="text", now_ms=1)
                before(tx)

        return work

    def kept(self) -> list[str]:
        with psycopg.connect(self.url) as reader:
            return [version for (version,) in reader.execute("SELECT version FROM policies ORDER BY version")]

    async def read(self) -> int:
        def count() -> int:
            with self.door.open().reading() as tx:
                return int(tx.execute("SELECT COUNT(*) FROM policies")[0][0])

        return await self.access.read(count)


@pytest.fixture(scope="module")
def url(postgresql_server: str) -> str:
    made = fresh_postgresql_url(postgresql_server)
    migrate(made)
    return made


@contextmanager
def shop_at(url: str, database_url: str | None = None) -> Iterator[Shop]:
    """A shop on an empty database. database_url: where the service finds it, if not there."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DELETE FROM policies")
    access = StoreAccess()
    door = started(access, database_url or url, threads=THREADS)
    yield Shop(url, door, access)
    access.stop()
    door.close()


@pytest.fixture
def shop(url: str) -> Iterator[Shop]:
    with shop_at(url) as opened:
        yield opened


@contextmanager
def hung_transaction(url: str, *statements: str) -> Iterator["psycopg.Connection[tuple[object, ...]]"]:
    """Another client's transaction that holds what it took until it is rolled back."""
    with psycopg.connect(url) as other:
        for statement in statements:
            other.execute(statement.encode())
        yield other
        other.rollback()


LOCK_OF_CUSTOMER = "SELECT pg_advisory_xact_lock(hashtextextended('c1', 0))"
LOCK_OF_ROW = "INSERT INTO policies VALUES ('row', '', '', 1)"
LOCK_OF_TABLE = "LOCK TABLE policies IN EXCLUSIVE MODE"


def test_many_who_wait_for_one_lock_leave_threads_to_those_who_do_not(shop: Shop) -> None:
    async def day() -> None:
        with hung_transaction(shop.url, LOCK_OF_CUSTOMER) as other:
            waiting = [
                asyncio.create_task(shop.access.write(shop.keeping(f"c1 {n}", lock="c1")))
                for n in range(5 * THREADS)
            ]
            await shop.access.write(shop.keeping("c2"))
            assert await shop.read() == 1
            assert not any(task.done() for task in waiting)
            other.rollback()
            await asyncio.gather(*waiting)

    asyncio.run(day())
    assert shop.kept() == sorted(["c2", *(f"c1 {n}" for n in range(5 * THREADS))])


@pytest.mark.parametrize("held", [LOCK_OF_CUSTOMER, LOCK_OF_ROW, LOCK_OF_TABLE])
def test_a_lock_that_stays_ends_in_an_answer_and_nothing_is_kept(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, held: str
) -> None:
    with_patience(monkeypatch, 0.1)

    async def day() -> None:
        with hung_transaction(shop.url, held):
            with pytest.raises(StoreBusy):
                await shop.access.write(shop.keeping("row", lock="c1"))
            assert await shop.read() == 0
        await some_turns()
        assert shop.kept() == []
        await shop.access.write(shop.keeping("row", lock="c1"))

    asyncio.run(day())
    assert shop.kept() == ["row"]


def test_of_two_transactions_that_wait_for_each_other_both_are_done_in_the_end(shop: Shop) -> None:
    both_hold_one = threading.Barrier(2, timeout=20)
    tries = dict.fromkeys("ab", 0)

    def crossing(own: str, others: str) -> Callable[[], None]:
        def work() -> None:
            tries[own] += 1
            with shop.door.open().writing(f"lock-{own}") as tx:
                keep_policy(tx, version=own, content="text", now_ms=1)
                if tries[own] == 1:
                    both_hold_one.wait()
                tx.lock(f"lock-{others}")

        return work

    async def day() -> None:
        # The one that is rolled back may have to be so again, until the other has ended.
        await asyncio.gather(shop.access.write(crossing("a", "b")), shop.access.write(crossing("b", "a")))

    asyncio.run(day())
    assert shop.kept() == ["a", "b"]
    assert sum(tries.values()) > 2


def test_a_cancelled_request_is_not_kept_where_its_thread_was_at_work(shop: Shop) -> None:
    at_work, go_on = threading.Event(), threading.Event()

    def wait(_tx: Transaction) -> None:
        at_work.set()
        assert go_on.wait(20)

    async def day() -> None:
        request = asyncio.create_task(shop.access.write(shop.keeping("gone", before=wait)))
        await asyncio.to_thread(at_work.wait, 20)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        go_on.set()

    asyncio.run(day())
    shop.access.stop()
    assert shop.kept() == []


class SwallowingProxy:
    """A network in front of the database; it may swallow all that is sent, or all that is answered."""

    def __init__(self, database_url: str) -> None:
        parts = urlsplit(database_url)
        folder = parse_qs(parts.query)["host"][0]
        self._database = f"{folder}/.s.PGSQL.{parts.port or 5432}"
        self._listening = socket.create_server(("127.0.0.1", 0))
        port = self._listening.getsockname()[1]
        self.url = f"postgresql://{unquote(parts.username or '')}@127.0.0.1:{port}{parts.path}"
        self.swallows_requests = threading.Event()
        self.swallows_answers = threading.Event()
        self._closing = threading.Event()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while not self._closing.is_set():
            if select.select([self._listening], [], [], 0.05)[0]:
                client, _ = self._listening.accept()
                pipe = threading.Thread(target=self._pipe, args=(client,))
                pipe.start()
                self._threads.append(pipe)

    def _pipe(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server:
            server.connect(self._database)
            while not self._closing.is_set():
                for source in select.select([client, server], [], [], 0.05)[0]:
                    data = source.recv(65_536)
                    if not data:
                        return
                    is_request = source is client
                    swallows = self.swallows_requests if is_request else self.swallows_answers
                    if not swallows.is_set():
                        (server if is_request else client).sendall(data)

    def close(self) -> None:
        self._closing.set()
        for thread in self._threads:
            thread.join()
        self._listening.close()


@pytest.fixture
def network(url: str) -> Iterator[SwallowingProxy]:
    proxy = SwallowingProxy(url)
    yield proxy
    proxy.close()


def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that gives up after two seconds: an answer comes after one and a half."""
    monkeypatch.setattr("serving.requests.request_patience.SERVER_TIMEOUT_S", 2.0)
    monkeypatch.setattr("serving.requests.request_patience.WORK_S", 1.0)


def test_a_database_that_hangs_in_a_transaction_is_told_of_and_nothing_is_kept(
    url: str, network: SwallowingProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    soon(monkeypatch)
    with shop_at(url, network.url) as shop:

        def hang(_tx: Transaction) -> None:
            network.swallows_requests.set()

        def hang_and_go_on(tx: Transaction) -> None:
            hang(tx)
            tx.execute("SELECT 1")

        with pytest.raises(StoreUnavailable, match="did not answer in time"):
            asyncio.run(shop.access.write(shop.keeping("a", before=hang_and_go_on)))
        network.swallows_requests.clear()
        # The thread was freed, and its connection is a new one.
        asyncio.run(shop.access.write(shop.keeping("b")))
        assert shop.kept() == ["b"]


def test_a_database_that_hangs_in_a_commit_leaves_the_outcome_open_and_nobody_says_otherwise(
    url: str, network: SwallowingProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    soon(monkeypatch)
    with shop_at(url, network.url) as shop:
        with pytest.raises(CommitUnknown):
            asyncio.run(
                shop.access.write(shop.keeping("a", before=lambda _tx: network.swallows_answers.set()))
            )
        network.swallows_answers.clear()
        assert shop.kept() == ["a"]


def test_a_database_that_takes_connections_and_never_answers_is_told_of(
    url: str, network: SwallowingProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    soon(monkeypatch)
    network.swallows_requests.set()
    with shop_at(url, network.url) as shop:

        async def asked_by_many() -> list[object]:
            requests = (shop.access.write(shop.keeping(f"{n}")) for n in range(3 * THREADS))
            return await asyncio.gather(*requests, return_exceptions=True)

        answers = asyncio.run(asked_by_many())
        assert all(isinstance(answer, StoreUnavailable) for answer in answers)
        network.swallows_requests.clear()
    assert shop.kept() == []


def test_a_connection_that_breaks_in_a_commit_leaves_the_outcome_open_for_commands_too(
    url: str, network: SwallowingProxy
) -> None:
    store = PostgresqlStore(network.url, BESIDE_REQUESTS)

    def broken_in_its_commit() -> None:
        with store.writing("a") as tx:
            pid = int(tx.execute("SELECT pg_backend_pid()")[0][0])
            network.swallows_requests.set()
            with psycopg.connect(url, autocommit=True) as admin:
                admin.execute("SELECT pg_terminate_backend(%s)", (pid,))

    with pytest.raises(CommitUnknown):
        broken_in_its_commit()
    store.close()
