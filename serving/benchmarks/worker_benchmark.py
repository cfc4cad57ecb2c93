"""`bonitas benchmark worker`: how soon approved orders are looked at while checkouts arrive at a steady rate.

Orders come at their moments whether or not the service keeps up. A part of them goes to one address at one
merchant, from one network: what a look at them costs must not grow with their number.
"""

import json
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import psutil

from data_contracts.instants import MINUTE_MS
from data_contracts.progress import Progress, no_progress
from serving.benchmarks.serving_benchmark import (
    NothingToMeasureError,
    copied_store,
    free_port,
    home_for_benchmark,
    order_bodies,
)
from serving.process.server import environ_of, running_server
from serving.process.settings import Settings
from serving.store.api_keys import create_key
from serving.store.migrate import migrate
from serving.store.open_store import open_store
from serving.store.store import Store, now_ms
from serving.store.waiting_looks import APPROVED, waiting_look_count
from serving.store.waiting_work import DELIVERY, decisions_not_followed, due_work

CLIENTS = 16
UNMEASURED = frozenset({DELIVERY})
"""Nothing is delivered from a copied store: its merchants are real."""
LOOK_SECONDS = 0.25
EMPTIED_WITHIN_SECONDS = 120.0
POPULAR_PLACE = {
    "street": "Am Sammelplatz",
    "house_number": "1",
    "postal_code": "10115",
    "city": "Berlin",
    "country": "DE",
}


@dataclass
class _Told:
    """What the clients were told. approved_at: by order_id, on this process's clock."""

    approved_at: dict[str, float] = field(default_factory=dict)
    outcomes: dict[str, int] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


def benchmark_worker(
    settings: Settings,
    *,
    per_second: int,
    seconds: float,
    popular_share: float,
    workers: int,
    services: int = 1,
    in_a_copy: bool = True,
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Measure waits for the first look in seconds, how long the queue lasts, and what each process takes.

    services: so many, each at a port of its own, asked in turn.
    in_a_copy: of the SQLite store, so that nothing is left in it; else in the store itself, such as one that
    was restored to PostgreSQL. Raises NothingToMeasureError.
    """
    with home_for_benchmark(settings) as home, ExitStack() as stack:
        url = copied_store(settings, home) if in_a_copy else settings.database_url
        migrate(url)
        measured = replace(settings, home=home, database_url=url, deliveries=False)
        store = open_store(url)
        stack.callback(store.close)
        name = f"benchmark-{secrets.token_hex(4)}"
        key = create_key(store, name=name, role="checkout", merchant_id=None, now_ms=now_ms())
        bodies = [json.loads(body) for body in order_bodies(store)]
        processes = {}
        urls = []
        for number in range(services):
            server = stack.enter_context(
                running_server(measured, port=free_port(), log_file=home / f"server-{number}.log")
            )
            urls.append(server.url)
            processes[f"service {number + 1}"] = psutil.Process(server.process_id)
        for number in range(workers):
            worker = stack.enter_context(_worker(measured, home / f"worker-{number}.log"))
            processes[f"worker {number + 1}"] = psutil.Process(worker.pid)
        ended, looked_at = threading.Event(), _FirstLooks(store)
        _wait_for_worker(urls[0], key, bodies, looked_at, ended)
        told, looked_at = _Told(), _FirstLooks(store)
        before = {name: _cpu_seconds(process) for name, process in processes.items()}
        generated_from = time.process_time()
        clients = [
            threading.Thread(
                target=_client,
                args=(urls[number % services], key, bodies, told, number, per_second, seconds, popular_share),
            )
            for number in range(CLIENTS)
        ]
        began = time.monotonic()
        for client in clients:
            client.start()
        while any(client.is_alive() for client in clients):
            looked_at.look()
            progress("orders", done=min(int(time.monotonic() - began), int(seconds)), total=int(seconds))
            ended.wait(LOOK_SECONDS)
        last = time.monotonic()
        while time.monotonic() - last < EMPTIED_WITHIN_SECONDS and not looked_at.is_done(told):
            looked_at.look()
            ended.wait(LOOK_SECONDS)
        done = time.monotonic()
        waits = sorted(
            looked_at.seen_at[order_id] - at
            for order_id, at in told.approved_at.items()
            if order_id in looked_at.seen_at
        )
        cpu_seconds = {name: _cpu_seconds(process) - before[name] for name, process in processes.items()}
        cpu_seconds["generator"] = time.process_time() - generated_from
        return {
            "database": url.partition(":")[0],
            "orders": len(told.seconds),
            "per_second": round(len(told.seconds) / (last - began), 1),
            "popular_share": popular_share,
            "outcomes": told.outcomes,
            "answer_p50_ms": round(_quantile(sorted(told.seconds), 0.5) * 1000, 2),
            "answer_p99_ms": round(_quantile(sorted(told.seconds), 0.99) * 1000, 2),
            "first_looks_missing": len(told.approved_at) - len(waits),
            "first_look_p50_seconds": round(_quantile(waits, 0.5), 2),
            "first_look_p99_seconds": round(_quantile(waits, 0.99), 2),
            "all_done_seconds_after_end": round(done - last, 2),
            "waiting_looks": looked_at.waiting,
            "other_work_waiting": looked_at.other_work,
            "looks": looked_at.looks,
            "cpu_percent_of_a_core": {
                name: round(100 * seconds / (done - began)) for name, seconds in cpu_seconds.items()
            },
            "cpu_seconds": {name: round(seconds, 1) for name, seconds in cpu_seconds.items()},
        }


class _FirstLooks:
    """When the first look at each order was seen in the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._from = f"scr_{now_ms() - MINUTE_MS:011x}"
        self.seen_at: dict[str, float] = {}
        self.waiting = 0
        self.other_work = 0
        self.looks = 0

    def look(self) -> None:
        with self._store.reading() as tx:
            rows = tx.execute(
                "SELECT order_id, trigger FROM screenings WHERE screening_id > ?", (self._from,)
            )
            self.waiting = waiting_look_count(tx)
            self.other_work = decisions_not_followed(tx) + sum(
                work.count for kind, work in due_work(tx, now_ms()).items() if kind not in UNMEASURED
            )
        now = time.monotonic()
        self.looks = len(rows)
        for order_id, trigger in rows:
            if trigger == APPROVED:
                self.seen_at.setdefault(order_id, now)

    def is_done(self, told: _Told) -> bool:
        return not self.waiting and not self.other_work and told.approved_at.keys() <= self.seen_at.keys()


def _wait_for_worker(
    url: str, key: str, bodies: Sequence[dict[str, Any]], looked_at: _FirstLooks, ended: threading.Event
) -> None:
    """Until an order has been looked at: what a start takes is not measured here."""
    told = _Told()
    _client(url, key, bodies, told, 0, CLIENTS, 2.0, 0.0)
    began = time.monotonic()
    while not looked_at.is_done(told):
        if time.monotonic() - began > EMPTIED_WITHIN_SECONDS:
            raise NothingToMeasureError("the worker looks at no order; is there a model of order risk?")
        looked_at.look()
        ended.wait(LOOK_SECONDS)


@contextmanager
def _worker(settings: Settings, log_file: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log_file.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "serving.worker"],
            cwd=Path(__file__).resolve().parents[2],
            env=environ_of(settings, workers=1),
            stdout=log,
            stderr=log,
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def _client(
    url: str,
    key: str,
    bodies: Sequence[dict[str, Any]],
    told: _Told,
    number: int,
    per_second: int,
    seconds: float,
    popular_share: float,
) -> None:
    """Every CLIENTS-th order of the run, each at its moment; late ones follow at once."""
    run = secrets.token_hex(4)
    began = time.monotonic()
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=30.0) as client:
        for place in range(number, int(per_second * seconds), CLIENTS):
            time.sleep(max(0.0, began + place / per_second - time.monotonic()))
            body = _body(bodies[place % len(bodies)], f"{run}-{place}", place, popular_share)
            asked = time.monotonic()
            answer = client.post("/v1/score", json=body)
            done = time.monotonic()
            outcome = answer.json()["outcome"] if answer.status_code == 200 else str(answer.status_code)
            with told.lock:
                told.seconds.append(done - asked)
                told.outcomes[outcome] = told.outcomes.get(outcome, 0) + 1
                if outcome == "approved":
                    told.approved_at[body["order_id"]] = done


def _body(body: dict[str, Any], order_id: str, place: int, popular_share: float) -> dict[str, Any]:
    is_popular = (place * 0.6180339887) % 1.0 < popular_share
    network = "9.9.9.9" if is_popular else f"11.{place % 223}.{place % 199}.7"
    delivery = {**body["delivery"], **POPULAR_PLACE} if is_popular else body["delivery"]
    return {
        **body,
        "order_id": f"benchmark-{order_id}",
        "delivery": delivery,
        "ip_address": network,
        "device_id": f"device-{place % 997:06}-{place % 7}",
    }


def _cpu_seconds(process: psutil.Process) -> float:
    family = [process, *process.children(recursive=True)]
    return float(sum(times.user + times.system for times in (one.cpu_times() for one in family)))


def _quantile(ascending: Sequence[float], share: float) -> float:
    return ascending[min(int(len(ascending) * share), len(ascending) - 1)] if ascending else 0.0
