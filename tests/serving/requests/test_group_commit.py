import asyncio
import sqlite3
from contextlib import suppress
from itertools import product
from pathlib import Path

from serving.requests.group_commit import GroupCommit
from serving.store.migrate import migrate
from serving.store.policies import keep_policy, policy_text
from serving.store.sqlite_store import SqliteStore
from serving.store.store import IN_REQUESTS


class RefusedHalfwayError(Exception):
    pass


def test_what_commits_together_still_rolls_back_for_itself(tmp_path: Path) -> None:
    migrate(f"sqlite:///{tmp_path / 'b.db'}")
    store = SqliteStore(tmp_path / "b.db")
    writer = GroupCommit(store.committing_together)

    def good(version: str) -> str:
        with store.writing() as tx:
            keep_policy(tx, version=version, content=version, now_ms=1)
        return version

    def bad(version: str) -> str:
        with store.writing() as tx:
            tx.execute(
                "INSERT INTO policies (version, sha256, content, first_used_at_ms) VALUES (?, '', '', 1)",
                (version,),
            )
            raise RefusedHalfwayError

    async def all_at_once() -> list[str | BaseException]:
        return await asyncio.gather(
            *(writer.run(lambda n=n: (bad if n % 3 == 0 else good)(f"v{n}")) for n in range(30)),
            return_exceptions=True,
        )

    results = asyncio.run(all_at_once())
    writer.stop()
    for n, result in enumerate(results):
        with store.reading() as tx:
            kept = policy_text(tx, f"v{n}")
        if n % 3 == 0:
            assert isinstance(result, RefusedHalfwayError)
            assert kept is None
        else:
            assert result == kept == f"v{n}"
    store.close()


def test_what_is_answered_was_committed(tmp_path: Path) -> None:
    migrate(f"sqlite:///{tmp_path / 'b.db'}")
    store, reader = SqliteStore(tmp_path / "b.db"), SqliteStore(tmp_path / "b.db")
    writer = GroupCommit(store.committing_together)

    def write(version: str) -> None:
        with store.writing() as tx:
            keep_policy(tx, version=version, content="text", now_ms=1)

    async def write_and_look(number: int) -> str | None:
        await writer.run(lambda: write(f"w{number}"))
        with reader.reading() as tx:
            return policy_text(tx, f"w{number}")

    async def many() -> list[str | None]:
        return await asyncio.gather(*(write_and_look(number) for number in range(20)))

    assert asyncio.run(many()) == ["text"] * 20
    writer.stop()
    store.close()
    reader.close()


def test_who_follows_a_rollback_waits_for_whoever_took_the_lock_meanwhile(tmp_path: Path) -> None:
    migrate(f"sqlite:///{tmp_path / 'b.db'}")
    store = SqliteStore(tmp_path / "b.db", IN_REQUESTS)
    other = sqlite3.connect(tmp_path / "b.db", isolation_level=None)
    writer = GroupCommit(store.committing_together)
    begun: list[str] = []

    def bad() -> None:
        try:
            with store.writing() as tx:
                keep_policy(tx, version="bad", content="text", now_ms=1)
                raise RefusedHalfwayError
        finally:
            other.execute("BEGIN IMMEDIATE")

    def good(version: str) -> None:
        begun.append(version)
        with store.writing() as tx:
            keep_policy(tx, version=version, content="text", now_ms=1)

    async def all_at_once() -> list[BaseException | None]:
        asyncio.get_running_loop().call_later(0.02, other.execute, "ROLLBACK")
        work = (bad, lambda: good("a"), lambda: good("b"))
        return await asyncio.gather(*(writer.run(one) for one in work), return_exceptions=True)

    refused, *kept = asyncio.run(all_at_once())
    writer.stop()
    assert isinstance(refused, RefusedHalfwayError)
    assert kept == [None, None]
    assert begun == ["a", "b", "a", "b"]
    with store.reading() as tx:
        assert [policy_text(tx, version) for version in ("bad", "a", "b")] == [None, "text", "text"]
    other.close()
    store.close()


def test_what_the_first_kept_outlives_the_rollbacks_after_it(tmp_path: Path) -> None:
    migrate(f"sqlite:///{tmp_path / 'b.db'}")
    store = SqliteStore(tmp_path / "b.db")

    def keep(version: str, *, fails: bool) -> None:
        with suppress(RefusedHalfwayError), store.writing() as tx:
            keep_policy(tx, version=version, content="text", now_ms=1)
            if fails:
                raise RefusedHalfwayError

    for outcomes in product((True, False), repeat=4):
        versions = [f"{outcomes}-{place}" for place in range(4)]
        with store.committing_together():
            for version, fails in zip(versions, outcomes, strict=True):
                keep(version, fails=fails)
        with store.reading() as tx:
            found = [policy_text(tx, version) is None for version in versions]
        assert found == list(outcomes)
    store.close()
