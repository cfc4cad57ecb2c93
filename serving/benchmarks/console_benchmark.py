"""How much slower the queue page gets with many open cases: pages of two stores in turn, in one process."""

import asyncio
import re
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.routing import Mount

from data_contracts.instants import HOUR_MS, MINUTE_MS, SECOND_MS
from data_contracts.progress import Progress
from serving.console.all_routes import ALL_ROUTES
from serving.console.console_app import console_app
from serving.console.sign_in import add_user
from serving.domain.case_stakes import CaseStakes
from serving.domain.console_user import ConsoleRole
from serving.domain.order_of_work import priority_of
from serving.domain.review_case import CaseOrigin, open_case
from serving.in_force.model_watch import ModelRegistry, ModelWatch
from serving.in_force.policy_activation import PolicyFile
from serving.in_force.policy_watch import PolicyInForce
from serving.requests.request_scope import RequestScope, StoreDoor
from serving.requests.store_access import StoreAccess
from serving.store.case_queue import StoredCase, insert_case
from serving.store.migrate import migrate
from serving.store.store import now_ms

FEW_CASES = 10
_NAME = "benchmark"
_PASSWORD = "only for the length of a benchmark"  # noqa: S105 - of a store that is thrown away
_STEP = "fill the queue"


def benchmark_console(cases: int, rounds: int, progress: Progress) -> dict[str, Any]:
    """Median milliseconds of the first queue page with ten open cases and with many, and their ratio.

    cases: how many are many. rounds: of both pages in turn; the first two warm up and are not counted.
    """
    with TemporaryDirectory() as folder:
        few, many = (_Console(Path(folder) / f"{count}.db", count, progress) for count in (FEW_CASES, cases))
        with asyncio.Runner() as runner:
            times = runner.run(_measured(few, many, rounds))
        for console in (few, many):
            console.close()
    few_ms, many_ms = (1_000 * median(taken[2:]) for taken in times)
    return {
        "cases": cases,
        "rounds": rounds,
        f"page_with_{FEW_CASES}_cases_ms": round(few_ms, 2),
        f"page_with_{cases}_cases_ms": round(many_ms, 2),
        "ratio": round(many_ms / few_ms, 2),
    }


class _Console:
    """The console on a store of its own with so many open cases."""

    def __init__(self, file: Path, cases: int, progress: Progress) -> None:
        url = f"sqlite:///{file}"
        migrate(url)
        self._scope = RequestScope(
            door=StoreDoor(url),
            watch=ModelWatch(
                ModelRegistry(url, file.parent),
                "invoice-eligibility",
                poll_seconds=60.0,
                on_change=lambda: None,
            ),
            policy_in_force=PolicyInForce(policy=PolicyFile.read(None).policy),
        )
        _fill(self._scope, cases, progress)
        add_user(
            self._scope.store,
            name=_NAME,
            role=ConsoleRole.FRAUD.value,
            password=_PASSWORD,
            now_ms=now_ms(),
        )

    async def open(self) -> Callable[[], Any]:
        """Sign in; what is returned loads the queue page."""
        self._access = StoreAccess()
        self._access.start(self._scope, threads=0)
        app = Starlette(routes=[Mount("/console", console_app(self._access, ALL_ROUTES))])
        self._client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="https://console.example"
        )
        page = await self._client.get("/console/sign-in")
        token = re.search(r'name="csrf_token" value="([0-9a-f]+)"', page.text)
        fields = {"name": _NAME, "password": _PASSWORD, "csrf_token": token.group(1) if token else ""}
        await self._client.post("/console/sign-in", data=fields)
        return lambda: self._client.get("/console/")

    async def leave(self) -> None:
        """Give back what `open` took."""
        await self._client.aclose()
        self._access.stop()

    def close(self) -> None:
        """Close the store."""
        self._scope.door.close()


async def _measured(few: _Console, many: _Console, rounds: int) -> tuple[list[float], list[float]]:
    loads = [await console.open() for console in (few, many)]
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds + 2):
        for load, taken in zip(loads, times, strict=True):
            began = time.perf_counter()
            answer = await load()
            taken.append(time.perf_counter() - began)
            answer.raise_for_status()
    for console in (few, many):
        await console.leave()
    return times


def _fill(scope: RequestScope, cases: int, progress: Progress) -> None:
    at_ms = now_ms()
    for start in range(0, cases, 1_000):
        with scope.store.writing("benchmark") as tx:
            for number in range(start, min(start + 1_000, cases)):
                case = open_case(
                    case_id=f"case_{number:020x}",
                    order_id=f"order-{number}",
                    customer_id=f"customer-{number % 997}",
                    merchant_id=f"merchant-{number % 50}",
                    origin=CaseOrigin.FLAGGED,
                    now_ms=at_ms - number * SECOND_MS,
                    policy=scope.policy.review,
                )
                stakes = CaseStakes(
                    probability=0.05 + number % 90 / 100,
                    amount_cents=5_000 + number * 37 % 90_000,
                    currency="EUR",
                    ordered_at_ms=at_ms - number * SECOND_MS - MINUTE_MS,
                    handover_at_ms=at_ms + (number % 40 - 5) * HOUR_MS,
                    left=number % 11 == 0,
                    recallable=number % 3 > 0,
                    is_service=False,
                )
                priority = priority_of(case, stakes, at_ms, scope.policy.review)
                insert_case(tx, StoredCase(case=case, stakes=stakes, priority=priority, reasons=()))
        progress(_STEP, done=min(start + 1_000, cases), total=cases)
