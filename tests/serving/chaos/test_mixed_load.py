"""Minutes of mixed load without a fault: no error, nothing that grows, nothing that gets slower."""

import itertools
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import psutil
import pytest

from serving.store.store import now_ms
from tests.builders import DAY, a_customer
from tests.measured_proofs import SIZE
from tests.serving.chaos.run_under_load import RunUnderLoad, ServedShop, run_under_load
from tests.serving.chaos.service_processes import command_of
from tests.serving.http.conftest import as_event, order_body

MINUTES = float(os.environ.get("BONITAS_SOAK_MINUTES", "0"))
GROWTH = 1.03
"""From the second third of the time on. In the first third all is built that is built at its first use, and
each connection has filled what it keeps of the store's pages (64 MiB): that takes ten minutes of this load,
so fewer than thirty minutes in all say nothing."""
PER_SECOND = 20
LOOK_S = 5.0


@pytest.mark.skipif(not MINUTES, reason="half an hour; part of `make test-chaos`")
def test_after_minutes_of_mixed_load_memory_and_answers_are_as_before(
    sqlite_shop: ServedShop, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    service = sqlite_shop.service
    with run_under_load(sqlite_shop, "mixed", tmp_path, record_property, per_second=PER_SECOND) as run:
        run.usual(1)
        ended = threading.Event()
        statuses: Counter[tuple[str, int]] = Counter()
        beside = threading.Thread(target=beside_checkouts, args=(sqlite_shop, run, ended, statuses))
        beside.start()
        memory: dict[int, list[tuple[float, int]]] = {}
        store_file = Path(sqlite_shop.store_url.removeprefix("sqlite:///"))
        store_bytes: list[tuple[float, int]] = []
        began = time.monotonic()
        try:
            while time.monotonic() - began < MINUTES * 60:
                time.sleep(LOOK_S)
                at = time.monotonic() - began
                store_bytes.append((at, store_file.stat().st_size))
                for process_id in service.processes():
                    with suppress(psutil.NoSuchProcess):
                        held = psutil.Process(process_id).memory_full_info().uss
                        memory.setdefault(process_id, []).append((at, held))
        finally:
            ended.set()
            beside.join()
        assert {status for _, status in statuses} <= {200, 201, 202}, statuses
        told = [one for one in run._told_so_far() if one.order_id is not None]
        third = MINUTES * 20
        early, late = (
            sorted(one.seconds for one in told if low <= one.at - began < low + third)
            for low in (third, 2 * third)
        )
        growth, grown = {}, {}
        store_grew = last_of(store_bytes, third) - warm_of(store_bytes, third)
        for process_id, held in memory.items():
            warm, last = warm_of(held, third), last_of(held, third)
            name = name_of(command_of(process_id))
            growth[name] = f"{last / 2**20:.1f} MiB, {(last - warm) / 2**20:+.1f} MiB"
            if last > warm * GROWTH:
                grown[name] = [size // 2**10 for _, size in held][:: max(len(held) // 24, 1)]
        assert not grown, (growth, f"KiB in the course of time: {grown}")
        assert median(late) < 1.5 * median(early), (median(early), median(late))
        run.wait_until_decided_again()
        run.judge()
    record_property("beside checkouts", f"{statuses.total():,} requests")
    record_property("memory of its own", ", ".join(f"{name} {told}" for name, told in growth.items()))
    record_property("the store's file grew by", f"{store_grew / 2**20:.1f} MiB")
    record_property(
        "median answer", f"{median(early) * 1000:.1f} ms, in the last third {median(late) * 1000:.1f} ms"
    )
    record_property(SIZE, f"{MINUTES:g} minutes, {len(told):,} orders")


def warm_of(held: Sequence[tuple[float, int]], third: float) -> float:
    """Bytes when the second third of the time began."""
    return median(size for at, size in held if third <= at < 1.5 * third)


def last_of(held: Sequence[tuple[float, int]], third: float) -> float:
    """Bytes at the end."""
    return median(size for at, size in held if at >= 2.5 * third)


def name_of(command: str) -> str:
    """Which process of the service a command is."""
    names = {"_bentoml_impl.worker": "API", "supervisor": "its parent", "serving.worker": "worker"}
    return next((name for part, name in names.items() if part in command), "command")


def beside_checkouts(
    shop: ServedShop, run: RunUnderLoad, ended: threading.Event, statuses: Counter[tuple[str, int]]
) -> None:
    """Everything else that clients ask for, again and again, a request every tenth of a second."""
    checkout, merchant, _, ledger = shop.keys
    numbers = itertools.count()

    def customer(number: int) -> dict[str, Any]:
        row = a_customer(f"mixed-{number}", event_id=f"e-mixed-{number}", at=now_ms() - 400 * DAY)
        row["personal_data_confirmed_at"] = now_ms() - 10 * DAY
        row["family_name"] = f"Muster{number}"
        return {"events": [as_event("customers", row)]}

    with httpx.Client(base_url=shop.service.url, timeout=20) as client:

        def ask(method: str, path: str, key: str, body: Any = None) -> None:
            answer = client.request(method, path, json=body, headers={"Authorization": f"Bearer {key}"})
            statuses[path.rsplit("/", maxsplit=1)[-1].split("?", maxsplit=1)[0][:12], answer.status_code] += 1

        while not ended.wait(0.1):
            number = next(numbers)
            order_id = f"beside-{number // 7}"
            match number % 7:
                case 0:
                    ask("POST", "/v1/events", ledger, customer(number))
                case 1:
                    ask("POST", "/v1/precheck", checkout, order_body(order_id, run.plan.customer_ids[9]))
                case 2:
                    body = order_body(order_id, f"mixed-{number - 2}", amount_cents=2_000, vat_cents=0)
                    ask("POST", "/v1/score", checkout, body)
                case 3:
                    ask("POST", f"/v1/orders/{order_id}/confirm", checkout)
                case 4:
                    ask("GET", f"/v1/orders/{order_id}", merchant)
                case 5:
                    ask("POST", f"/v1/orders/{order_id}/cancel", checkout)
                case _:
                    ask("GET", "/readyz", checkout)
                    ask("GET", "/metrics", checkout)
