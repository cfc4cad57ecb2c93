"""Requests that meet somebody else's lock: what they hold up, what they are answered, and what is kept."""

import asyncio
import shutil
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from serving.in_force.model_watch import ModelRegistry, ModelWatch
from serving.in_force.policy_activation import PolicyFile
from serving.in_force.policy_watch import PolicyInForce
from serving.requests.lock_line import CALLED_AT_ONCE, LockLine
from serving.requests.request_patience import (
    ANSWER_S,
    LOCK_WAIT_S,
    SERVER_TIMEOUT_S,
    WORK_S,
    PatientRequests,
    RequestPatience,
    current_patience,
)
from serving.requests.request_scope import RequestScope, StoreDoor
from serving.requests.store_access import StoreAccess
from serving.store.errors import StoreBusy
from serving.store.migrate import migrate
from serving.store.open_store import open_store
from serving.store.policies import keep_policy

Message = dict[str, object]


@dataclass
class Shop:
    """The service's way to a store, and what was kept through it."""

    file: Path
    door: StoreDoor
    access: StoreAccess

    def keeping(self, version: str) -> Callable[[], None]:
        """Work that keeps one row."""

        def work() -> None:
            with self.door.open().writing(version) as tx:
                keep_policy(tx, version=version, content="text", now_ms=1)

        return work

    def kept(self) -> list[str]:
        with closing(sqlite3.connect(self.file)) as reader:
            return [version for (version,) in reader.execute("SELECT version FROM policies ORDER BY version")]

    async def read(self) -> int:
        return await self.access.read(self._count)

    async def read_beside(self) -> int:
        return await self.access.read_beside(self._count)

    async def look_up(self) -> int:
        return await self.access.look_up(self._count)

    def _count(self) -> int:
        with self.door.open().reading() as tx:
            return int(tx.execute("SELECT COUNT(*) FROM policies")[0][0])


def started(access: StoreAccess, database_url: str, *, threads: int = 0) -> StoreDoor:
    door = StoreDoor(database_url)
    models = ModelWatch(
        ModelRegistry("unused", Path("unused")), "credit", poll_seconds=60, on_change=lambda: None
    )
    policy = PolicyInForce(policy=PolicyFile.read(None).policy)
    access.start(RequestScope(door=door, watch=models, policy_in_force=policy), threads=threads)
    return door


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("store") / "bonitas.db"
    migrate(f"sqlite:///{file}")
    # As `bonitas serve` leaves it: with the log that lets others read beside a writer.
    open_store(f"sqlite:///{file}").close()
    return file


@pytest.fixture
def shop(empty_store: Path, tmp_path: Path) -> Iterator[Shop]:
    file = Path(shutil.copy(empty_store, tmp_path))
    access = StoreAccess()
    door = started(access, f"sqlite:///{file}")
    yield Shop(file, door, access)
    access.stop()
    door.close()


@contextmanager
def other_writer(file: Path) -> Iterator[sqlite3.Connection]:
    """Another process's connection that has the lock of the writer; its rollback ends that."""
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other


async def some_turns() -> None:
    """Long enough for whoever looks whether a lock has gone to look more than once."""
    for _ in range(10):
        await asyncio.sleep(0.005)


def with_patience(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    monkeypatch.setattr("serving.requests.request_patience.LOCK_WAIT_S", seconds)


def test_a_wait_and_the_work_after_it_end_before_the_server_gives_up() -> None:
    assert LOCK_WAIT_S + WORK_S < SERVER_TIMEOUT_S
    assert ANSWER_S < WORK_S


def test_while_a_write_waits_for_another_process_others_read_and_it_is_done_once_that_ends(
    shop: Shop,
) -> None:
    async def day() -> None:
        with other_writer(shop.file) as other:
            writing = asyncio.create_task(shop.access.write(shop.keeping("a")))
            assert [await shop.read(), await shop.look_up(), await shop.read_beside()] == [0, 0, 0]
            await some_turns()
            assert not writing.done()
            other.execute("ROLLBACK")
            await writing
        assert shop.kept() == ["a"]

    asyncio.run(day())


def test_a_write_whose_patience_ends_is_never_done_and_those_after_it_are(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def day() -> None:
        with other_writer(shop.file) as other:
            with_patience(monkeypatch, 0.02)
            with pytest.raises(StoreBusy, match=r"locked for longer than 0\.02 s"):
                await shop.access.write(shop.keeping("too late"))
            with_patience(monkeypatch, 60)
            later = [asyncio.create_task(shop.access.write(shop.keeping(f"later {n}"))) for n in range(40)]
            await some_turns()
            other.execute("ROLLBACK")
            await asyncio.gather(*later)
        await shop.access.write(shop.keeping("after"))
        assert shop.kept() == sorted(["after", *(f"later {n}" for n in range(40))])

    asyncio.run(day())


def test_what_is_worth_no_wait_is_left_undone_at_once(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    with_patience(monkeypatch, 600)
    with other_writer(shop.file):
        asyncio.run(shop.access.write_if_free(shop.keeping("a")))
    asyncio.run(shop.access.write_if_free(shop.keeping("b")))
    assert shop.kept() == ["b"]


def test_a_request_that_is_cancelled_while_it_waits_is_never_done(shop: Shop) -> None:
    async def day() -> None:
        with other_writer(shop.file) as other:
            gone = asyncio.create_task(shop.access.write(shop.keeping("gone")))
            stays = asyncio.create_task(shop.access.write(shop.keeping("stays")))
            await some_turns()
            gone.cancel()
            other.execute("ROLLBACK")
            await stays
        with pytest.raises(asyncio.CancelledError):
            await gone

    asyncio.run(day())
    assert shop.kept() == ["stays"]


async def asked(
    app: Callable[[Callable[[], Awaitable[Message]]], Awaitable[None]],
    client: "asyncio.Queue[Message]",
) -> None:
    """One request to an application behind the middleware. client: what the server hears from it."""

    async def behind(_scope: object, receive: Callable[[], Awaitable[Message]], _send: object) -> None:
        await app(receive)

    await PatientRequests(behind)({"type": "http"}, client.get, None)  # type: ignore[arg-type]


def test_a_client_that_hangs_up_while_it_waits_ends_the_wait(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_patience(monkeypatch, 600)
    monkeypatch.setattr("serving.requests.request_patience.SERVER_TIMEOUT_S", 600)

    async def day() -> None:
        client: asyncio.Queue[Message] = asyncio.Queue()

        async def write(receive: Callable[[], Awaitable[Message]]) -> None:
            assert await receive() == {"type": "http.request", "body": b"{}", "more_body": False}
            await shop.access.write(shop.keeping("gone"))

        with other_writer(shop.file):
            client.put_nowait({"type": "http.request", "body": b"{}", "more_body": False})
            request = asyncio.create_task(asked(write, client))
            await some_turns()
            client.put_nowait({"type": "http.disconnect"})
            with pytest.raises(StoreBusy, match="hung up"):
                await request
        await shop.access.write(shop.keeping("another"))

    asyncio.run(day())
    assert shop.kept() == ["another"]


@pytest.mark.parametrize("parts", [[b""], [b"all"], [b"one", b"two", b"three"]])
def test_a_body_that_comes_during_a_wait_is_the_application_s_in_order(
    shop: Shop, parts: list[bytes]
) -> None:
    bodies: list[bytes] = []

    async def day() -> None:
        client: asyncio.Queue[Message] = asyncio.Queue()

        async def wait_and_read(receive: Callable[[], Awaitable[Message]]) -> None:
            for _ in range(2):
                await current_patience().pause(0.01)
            more = True
            while more:
                message = await receive()
                bodies.append(message["body"])  # type: ignore[arg-type]
                more = bool(message["more_body"])
            await current_patience().pause(0.01)

        for number, part in enumerate(parts, start=1):
            client.put_nowait({"type": "http.request", "body": part, "more_body": number < len(parts)})
        await asked(wait_and_read, client)

    asyncio.run(day())
    assert bodies == parts


def test_waits_of_one_request_share_its_patience_and_a_late_body_leaves_no_time_for_work() -> None:
    now = 100.0
    patience = RequestPatience(clock=lambda: now)

    async def waits(seconds: float) -> None:
        nonlocal now
        async with patience.bounded():
            now += seconds

    assert patience.begins_within_s() == LOCK_WAIT_S
    asyncio.run(waits(0.75 * LOCK_WAIT_S))
    assert patience.begins_within_s() == pytest.approx(0.25 * LOCK_WAIT_S)
    now = 100.0 + SERVER_TIMEOUT_S - WORK_S
    assert patience.begins_within_s() == pytest.approx(0)
    patience.require_time_for_work()
    now += 0.001
    with pytest.raises(StoreBusy, match="too slowly"):
        patience.require_time_for_work()


def test_those_who_wait_together_share_the_looks_and_are_called_in_order_some_at_a_time() -> None:
    looks: list[bool] = []
    called: list[object] = []

    def try_lock() -> None:
        looks.append(len(looks) >= 3)
        if not looks[-1]:
            raise StoreBusy("held")
        asyncio.get_running_loop().call_soon(called.append, "another request")

    async def day() -> None:
        line = LockLine(try_lock)

        async def one(number: int) -> None:
            await line.wait(RequestPatience())
            called.append(number)

        await asyncio.gather(*(one(number) for number in range(3 * CALLED_AT_ONCE)))

    asyncio.run(day())
    assert looks == [False] * 3 + [True] * 3
    assert [number for number in called if number != "another request"] == list(range(3 * CALLED_AT_ONCE))
    others = [place for place, one in enumerate(called) if one == "another request"]
    assert max(after - before for before, after in pairwise(others)) <= CALLED_AT_ONCE + 1


def test_what_a_look_fails_with_is_told_to_all_who_wait() -> None:
    def broken() -> None:
        raise ZeroDivisionError

    async def day() -> list[BaseException | None]:
        line = LockLine(broken)
        return await asyncio.gather(*(line.wait(RequestPatience()) for _ in range(3)), return_exceptions=True)

    assert [type(problem) for problem in asyncio.run(day())] == [ZeroDivisionError] * 3


def test_a_store_that_another_process_holds_for_itself_is_waited_for_by_readers_too(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def day() -> None:
        with closing(sqlite3.connect(shop.file, isolation_level=None)) as other:
            other.execute("PRAGMA locking_mode=EXCLUSIVE")
            other.execute("DELETE FROM policies")
            with_patience(monkeypatch, 0.02)
            for impatient in (shop.read, shop.look_up, shop.read_beside):
                with pytest.raises(StoreBusy):
                    await impatient()
            with pytest.raises(StoreBusy):
                await shop.access.write(shop.keeping("too late"))
            with_patience(monkeypatch, 60)
            patient = [
                asyncio.create_task(work)
                for work in (
                    shop.read(),
                    shop.look_up(),
                    shop.read_beside(),
                    shop.access.write(shop.keeping("a")),
                )
            ]
            await some_turns()
            assert not any(task.done() for task in patient)
        await asyncio.gather(*patient)

    asyncio.run(day())
    assert shop.kept() == ["a"]


def test_a_store_in_the_old_journal_mode_is_opened_once_its_reader_has_ended(shop: Shop) -> None:
    async def day() -> None:
        with closing(sqlite3.connect(shop.file, isolation_level=None)) as other:
            other.execute("PRAGMA journal_mode=DELETE")
            other.execute("BEGIN")
            other.execute("SELECT * FROM policies").fetchall()
            writing = asyncio.create_task(shop.access.write(shop.keeping("a")))
            await some_turns()
            assert not writing.done()
            other.execute("ROLLBACK")
            await writing

    asyncio.run(day())
    assert shop.kept() == ["a"]
