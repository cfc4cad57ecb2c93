"""`bonitas benchmark serving`: the full decision beside an empty endpoint of the same service, in one run.

Works on a copy of the store, so that what it decides leaves no trace in it.
"""

import json
import platform
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import msgspec

from data_contracts.merchants import MERCHANTS
from data_contracts.progress import Progress, no_progress
from serving.backup.home_files import copy_database, sqlite_file
from serving.benchmarks.load_generator import NUMBER_PLACE, LoadPlan, LoadResult
from serving.benchmarks.stage_figures import StageTimes, stage_rows, stage_times_of, times_between
from serving.checkout.score_stages import Stage
from serving.process.server import RunningServer, running_server
from serving.process.settings import Settings
from serving.store.api_keys import create_key
from serving.store.migrate import migrate
from serving.store.open_store import open_store
from serving.store.store import Store, now_ms

CONNECTIONS = (1, 8)
CUSTOMERS_TRIED = 600
CUSTOMERS_WANTED = 200
AMOUNT_CENTS = 500


class NothingToMeasureError(Exception):
    """The store holds no customers, or none whose orders are approved; the message says what to do."""


@dataclass(frozen=True, kw_only=True)
class _Target:
    name: str
    path: str
    bodies: Sequence[str]
    expected: str


@dataclass(frozen=True, kw_only=True)
class _Measured:
    load: LoadResult
    stages: Mapping[Stage, StageTimes]


def benchmark_serving(
    settings: Settings, *, seconds: float = 1.5, rounds: int = 4, progress: Progress = no_progress
) -> dict[str, Any]:
    """Measure requests/s, p50 and p99 in ms, at 1 and 8 connections, in interleaved rounds.

    Approved orders of many customers, small enough to stay within their limits; orders declined by
    score, with their reasons worked out, beside them where the book has such customers; and an endpoint
    that only decodes and encodes the same bodies. Commits are durable. Figures are medians of the rounds;
    those of a decision's stages are over all rounds, as the service counts them at /metrics.

    Raises NothingToMeasureError.
    """
    with home_for_benchmark(settings) as home:
        measured_settings = replace(
            settings,
            home=home,
            database_url=copied_store(settings, home),
            benchmark=True,
        )
        store = open_store(measured_settings.database_url)
        try:
            key = create_key(store, name="benchmark", role="checkout", merchant_id=None, now_ms=now_ms())
            bodies = order_bodies(store)
        finally:
            store.close()
        with running_server(measured_settings, port=free_port(), log_file=home / "server.log") as server:
            targets = _targets(server, key, bodies)
            measured = _rounds(server, key, targets, seconds=seconds, rounds=rounds, progress=progress)
    return {
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "seconds_per_measurement": seconds,
        "rounds": rounds,
        "durable_commits": True,
        "customers": {target.name: len(target.bodies) for target in targets},
        "endpoints": _figures(
            {place: [one.load for one in all_rounds] for place, all_rounds in measured.items()}
        ),
        "stages": [
            row
            for (name, connections), all_rounds in measured.items()
            for row in stage_rows(name, connections, [one.stages for one in all_rounds])
        ],
    }


@contextmanager
def home_for_benchmark(settings: Settings) -> Iterator[Path]:
    """A home of its own, in which a service finds the models of another; it is removed at the end."""
    with tempfile.TemporaryDirectory(prefix="bonitas-benchmark-") as folder:
        home = Path(folder)
        # The histories beside the models say what their files are: without them no model is served.
        settings.artifact_root.mkdir(parents=True, exist_ok=True)
        (home / settings.artifact_root.name).symlink_to(settings.artifact_root.resolve())
        yield home


def copied_store(settings: Settings, home: Path) -> str:
    """The URL of a copy of the SQLite store in another home. Raises NothingToMeasureError."""
    source = sqlite_file(settings.database_url)
    if source is None:
        raise NothingToMeasureError("the benchmark copies the store, which must be SQLite")
    if not source.exists():
        raise NothingToMeasureError(f"{source} does not exist: run `bonitas run --once` first")
    target = home / "bonitas.db"
    copy_database(source, target)
    url = f"sqlite:///{target}"
    migrate(url)
    return url


def order_bodies(store: Store) -> list[str]:
    """A small order for each of the newest customers, as JSON. Raises NothingToMeasureError."""
    with store.reading() as tx:
        customers = [
            json.loads(body)
            for (body,) in tx.execute(
                "SELECT body FROM ledger_events WHERE contract = 'customers' AND corrects IS NULL "
                "ORDER BY recorded_at_ms DESC LIMIT ?",
                (CUSTOMERS_TRIED,),
            )
        ]
        merchants = tx.execute(
            "SELECT subject_id FROM ledger_events WHERE contract = ? LIMIT 1", (MERCHANTS.name,)
        )
    if not customers or not merchants:
        raise NothingToMeasureError("the store holds no customers: run `bonitas run --once` first")
    newest = {customer["customer_id"]: customer for customer in reversed(customers)}
    return [json.dumps(_order(customer, merchants[0][0])) for customer in newest.values()]


def _order(customer: Mapping[str, Any], merchant_id: str) -> dict[str, Any]:
    address = {
        "name": f"{customer['given_name']} {customer['family_name']}",
        "street": customer["residence_street"],
        "house_number": customer["residence_house_number"],
        "postal_code": customer["residence_postal_code"],
        "city": customer["residence_city"],
        "country": customer.get("residence_country", "DE"),
    }
    return {
        "order_id": f"benchmark-{NUMBER_PLACE.decode()}",
        "customer_id": customer["customer_id"],
        "merchant_id": merchant_id,
        "amount_cents": AMOUNT_CENTS,
        "vat_cents": 80,
        "currency": "EUR",
        "kind": "goods",
        "item_category": "clothing",
        "delivery": address,
        "billing": address,
        "contact": {"email": customer["email"], "phone": customer["phone"]},
    }


def _targets(server: RunningServer, key: str, bodies: Sequence[str]) -> list[_Target]:
    """Who is approved and who is declined by score, as the pre-check says."""
    approved: list[str] = []
    declined: list[str] = []
    with httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {key}"}) as client:
        for body in bodies:
            answer = client.post(
                "/v1/precheck", content=body, headers={"Content-Type": "application/json"}
            ).json()
            if answer.get("outcome") == "approved":
                approved.append(body)
            elif any(rule["group"] == "score" for rule in answer.get("failed_rules", [])):
                declined.append(body)
            if len(approved) >= CUSTOMERS_WANTED and len(declined) >= CUSTOMERS_WANTED:
                break
    if not approved:
        raise NothingToMeasureError("no customer of the store gets invoice; is there a champion model?")
    targets = [
        _Target(name="empty", path="/v1/echo", bodies=approved, expected="order_id"),
        _Target(name="approved", path="/v1/score", bodies=approved, expected='"outcome":"approved"'),
    ]
    if declined:
        expected = '"outcome":"declined"'
        targets.append(_Target(name="declined", path="/v1/score", bodies=declined, expected=expected))
    return targets


def _rounds(
    server: RunningServer,
    key: str,
    targets: Sequence[_Target],
    *,
    seconds: float,
    rounds: int,
    progress: Progress,
) -> dict[tuple[str, int], list[_Measured]]:
    results: dict[tuple[str, int], list[_Measured]] = {}
    number = 1
    done = 0
    # The first round warms caches and threads up and is not counted.
    for round_number in range(rounds + 1):
        for connections in CONNECTIONS:
            for target in targets:
                plan = LoadPlan(
                    host=server.host,
                    port=server.port,
                    path=target.path,
                    headers={"Authorization": f"Bearer {key}"},
                    bodies=list(target.bodies),
                    expected=target.expected,
                    connections=connections,
                    seconds=seconds if round_number else min(seconds, 0.5),
                    first_number=number,
                )
                before = stage_times_of(server.url)
                result = _measured(plan)
                stages = times_between(before, stage_times_of(server.url))
                number = result.next_number
                if round_number:
                    results.setdefault((target.name, connections), []).append(
                        _Measured(load=result, stages=stages)
                    )
                done += 1
                progress("measure", done=done, total=(rounds + 1) * len(CONNECTIONS) * len(targets))
    return results


def _measured(plan: LoadPlan) -> LoadResult:
    finished = subprocess.run(
        [sys.executable, "-m", "serving.benchmarks.load_generator"],
        input=msgspec.json.encode(plan),
        stdout=subprocess.PIPE,
        check=True,
        cwd=Path(__file__).resolve().parents[2],
    )
    return msgspec.json.decode(finished.stdout, type=LoadResult)


def _figures(results: Mapping[tuple[str, int], Sequence[LoadResult]]) -> list[dict[str, Any]]:
    figures = []
    for (name, connections), measured in results.items():
        empty = results["empty", connections]
        p50 = median(_quantile(result, 0.5) for result in measured)
        p99 = median(_quantile(result, 0.99) for result in measured)
        answers = sum(len(result.latencies_seconds) for result in measured)
        figures.append(
            {
                "endpoint": name,
                "connections": connections,
                "requests_per_second": round(
                    median(len(result.latencies_seconds) / result.elapsed_seconds for result in measured)
                ),
                "p50_ms": round(p50 * 1000, 3),
                "p99_ms": round(p99 * 1000, 3),
                "p50_ratio_to_empty": round(p50 / median(_quantile(result, 0.5) for result in empty), 2),
                "answers": answers,
                "as_expected_share": round(sum(result.expected_count for result in measured) / answers, 4),
            }
        )
    return figures


def _quantile(result: LoadResult, share: float) -> float:
    latencies = result.latencies_seconds
    return latencies[min(int(len(latencies) * share), len(latencies) - 1)]


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
