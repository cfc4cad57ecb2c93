"""A run under load with a fault: starts the load, marks what happens when, waits for recovery, and judges."""

import json
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import msgspec

from serving.requests.request_patience import SERVER_TIMEOUT_S
from serving.store.log_cursors import ORDER_LINKS, cursor_of
from serving.store.open_store import open_store
from serving.store.store import Transaction, now_ms
from tests.builders import DAY, a_customer
from tests.measured_proofs import SIZE
from tests.serving.chaos.checkout_load import ANSWERED, BROKEN, REFUSED, SILENT, LoadPlan, Told, order_of
from tests.serving.chaos.invariants import (
    Kept,
    StoredDecision,
    approved_without_basis,
    effects_differ,
    exposure_differs,
    told_otherwise,
)
from tests.serving.chaos.service_processes import REPOSITORY, Service
from tests.serving.http.conftest import Keys, as_event, order_body

ANSWERED_WITHIN_S = SERVER_TIMEOUT_S + 1.0
"""The server's own time-out, and a second for a client that has to share two cores with it."""
LATE = "answered late"
UNANSWERED = (REFUSED, BROKEN, SILENT, LATE)
EFFECTS_WITHIN_S = 180.0
CUSTOMERS = 100
TOO_YOUNG_EVERY = 10
FEWEST_LINK_KINDS = 3


@dataclass(frozen=True, kw_only=True)
class ServedShop:
    """A service with what its clients need."""

    service: Service
    keys: Keys
    store_url: str
    """Of the store itself, where the service comes to it by another way."""

    def register(self, run: str) -> list[str]:
        """Customers of a run's own, a tenth of them too young; their ids."""
        at = now_ms() - 400 * DAY
        events, ids = [], []
        for number in range(CUSTOMERS):
            customer_id = f"{run}-c{number}"
            row = a_customer(customer_id, event_id=f"e-{customer_id}", at=at)
            row["personal_data_confirmed_at"] = now_ms() - 10 * DAY
            # Namesakes who live together may be one person, whom too many accounts make undecidable.
            row["family_name"] = f"Muster{run}{number}"
            if number % TOO_YOUNG_EVERY == 0:
                row["birth_date"] = "2020-01-01"
            events.append(as_event("customers", row))
            ids.append(customer_id)
        answer = httpx.post(
            f"{self.service.url}/v1/events",
            json={"events": events},
            headers={"Authorization": f"Bearer {self.keys[3]}"},
            timeout=30,
        )
        assert answer.status_code == 200, answer.text
        assert {one["status"] for one in answer.json()["results"]} == {"accepted"}
        return ids


@dataclass
class RunUnderLoad:
    """One run. marks: when what began, on the machine's monotonic clock."""

    shop: ServedShop
    plan: LoadPlan
    record_property: Callable[[str, object], None]
    marks: list[tuple[str, float]] = field(default_factory=list)
    _process: "subprocess.Popen[bytes] | None" = None

    def mark(self, name: str) -> None:
        """What happens from now on has this name."""
        self.marks.append((name, time.monotonic()))

    def usual(self, seconds: float = 4.0) -> None:
        """Some seconds without a fault, from when the load has begun."""
        self._wait_for_answers()
        self.mark("usual")
        time.sleep(seconds)
        self.mark("fault")

    def _wait_for_answers(self) -> None:
        deadline = time.monotonic() + 30
        while not any(one.order_id is not None for one in self._told_so_far()):
            assert time.monotonic() < deadline, "no order was answered"
            time.sleep(0.05)

    def _told_so_far(self) -> list[Told]:
        file = Path(self.plan.told)
        if not file.exists():
            return []
        lines = file.read_bytes().split(b"\n")[:-1]
        return [msgspec.json.decode(line, type=Told) for line in lines]

    def outcomes_since_mark(self) -> Counter[str]:
        """What checkouts were told of orders that were sent since the last mark, reasons of `unavailable`."""
        since = self.marks[-1][1]
        return Counter(_outcome(one) for one in self._told_so_far() if one.order_id and one.at >= since)

    def wait_until_decided_again(self, within_s: float = 60.0) -> None:
        """Until the service is ready and an order that was sent from now on is decided."""
        self.shop.service.wait_until_ready(within_s)
        self.mark("after")
        deadline = time.monotonic() + within_s
        while not self.outcomes_since_mark().keys() & {"approved", "declined"}:
            assert time.monotonic() < deadline, f"nothing is decided: {self.outcomes_since_mark()}"
            time.sleep(0.05)
        time.sleep(1.0)

    def end_load(self) -> list[Told]:
        """End it; what was told about everything that was sent."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert self._process.wait(self.plan.patience_s + 20) == 0
        return self._told_so_far()

    def judge(
        self,
        *,
        longest_outage_s: float = 0.0,
        statuses: Sequence[int] = (200,),
        unanswered: Collection[str] = UNANSWERED,
    ) -> None:
        """End the load, ask for every order again, wait for the effects, and hold all of it together.

        longest_outage_s: 0 where somebody answers throughout, so that each checkout has its answer in time.
            Otherwise the stretch in which nobody may be there to answer.
        statuses: what a checkout may be answered with. unanswered: what may come of a request instead.
        """
        told = self.end_load()
        orders = [one for one in told if one.order_id is not None]
        livez = [one for one in told if one.order_id is None]
        outage_s = _outage_s(told)
        missed = Counter(_outcome(one) for one in told if not _is_in_time(one))
        assert outage_s <= longest_outage_s, f"not answered in time for {outage_s:.1f} s: {missed}"
        assert missed.keys() <= set(unanswered), missed
        answered_s = max(one.seconds for one in orders if _is_in_time(one))
        seen = {one.status for one in orders if one.is_answered}
        assert seen <= set(statuses), Counter(one.status for one in orders)
        assert {one.status for one in livez if one.is_answered} == {200}
        # Before anything is asked for again: what stands now is what clients were told.
        self._require("told otherwise", told_otherwise(orders, self.kept()))
        again = self._asked_again(len(orders))
        for before in orders:
            after = again[before.order_id or ""]
            assert after.is_decided, (before, after)
            assert not before.is_decided or before.answer == after.answer, (before, after)
        kept = self._kept_once_all_is_done()
        self._require("told otherwise", told_otherwise(again.values(), kept))
        self._require("approved without model or policy", approved_without_basis(kept))
        amounts = {one["order_id"]: one["amount_cents"] for one in map(self._order, range(len(orders)))}
        self._require("exposure", exposure_differs(kept, amounts))
        kinds = frozenset(Counter(tuple(sorted(one)) for one in kept.links.values()).most_common(1)[0][0])
        assert len(kinds) >= FEWEST_LINK_KINDS, kinds
        self._require("effects", effects_differ(kept, kinds))
        assert len(kept.decisions) == len(orders)
        self._record(orders, livez, outage_s, answered_s)

    def _order(self, number: int) -> dict[str, Any]:
        return order_of(self.plan, number)

    def _require(self, what: str, found: list[str]) -> None:
        assert not found, f"{what}: {len(found)}, such as {found[:3]}"

    def _asked_again(self, count: int) -> dict[str, Told]:
        """Every order, under the key that it was sent with."""
        headers = {"Authorization": f"Bearer {self.plan.key}"}
        with httpx.Client(base_url=self.shop.service.url, headers=headers, timeout=20) as client:

            def ask(number: int) -> Told:
                body = self._order(number)
                began = time.monotonic()
                answer = client.post("/v1/score", json=body, headers={"Idempotency-Key": body["order_id"]})
                return Told(
                    order_id=body["order_id"],
                    at=began,
                    seconds=time.monotonic() - began,
                    came=ANSWERED,
                    status=answer.status_code,
                    answer=answer.json(),
                )

            with ThreadPoolExecutor(4) as clients:
                found = list(clients.map(ask, range(count)))
        return {one.order_id: one for one in found if one.order_id is not None}

    def _kept_once_all_is_done(self) -> Kept:
        """What is kept once every decision was followed and no look waits."""
        deadline = time.monotonic() + EFFECTS_WITHIN_S
        with closing(open_store(self.shop.store_url)) as store:
            while True:
                with store.reading() as tx:
                    ((last,),) = tx.execute("SELECT max(position) FROM decisions")
                    followed = cursor_of(tx, ORDER_LINKS).position
                    ((waiting,),) = tx.execute("SELECT count(*) FROM waiting_looks")
                if followed == last and not waiting:
                    return self.kept()
                assert time.monotonic() < deadline, f"{last - followed} not followed, {waiting} looks wait"
                time.sleep(0.2)

    def kept(self) -> Kept:
        """What the store holds about this run's orders now."""
        with closing(open_store(self.shop.store_url)) as store, store.reading() as tx:
            return _kept(tx, f"{self.plan.run}-%")

    def _record(
        self, orders: Sequence[Told], livez: Sequence[Told], outage_s: float, answered_s: float
    ) -> None:
        usual_to = dict(self.marks)["fault"]
        usual = sorted(one.seconds for one in livez if one.at < usual_to)
        since = [one.seconds for one in livez if one.at >= usual_to and one.is_answered]
        outcomes = Counter(_outcome(one) for one in orders)
        self.record_property(SIZE, f"{len(orders):,} orders: {_in_words(outcomes)}")
        self.record_property(
            "answers lost, told otherwise, approved without basis, effects amiss", "0, 0, 0, 0"
        )
        self.record_property("longest checkout", f"{answered_s:.2f} s")
        self.record_property(
            "longest /livez",
            f"{max(since) * 1000:.0f} ms, without the fault {usual[-1] * 1000:.0f} ms "
            f"(p99 {usual[int(len(usual) * 0.99)] * 1000:.0f} ms)",
        )
        if outage_s:
            self.record_property("nobody answered for", f"{outage_s:.1f} s")


def _outcome(told: Told) -> str:
    """What came of a request, in a word."""
    if not _is_in_time(told):
        return LATE if told.is_answered else told.came
    if told.outcome == "unavailable":
        assert told.answer is not None
        return str(told.answer["reasons"][0]["code"])
    return told.outcome or str(told.status)


def _in_words(outcomes: Counter[str]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in sorted(outcomes.items()))


def _is_in_time(told: Told) -> bool:
    return told.is_answered and told.seconds <= ANSWERED_WITHIN_S


def _outage_s(told: Sequence[Told]) -> float:
    """From when the first request was sent that got no answer in time, to the end of the last of them."""
    missed = [one for one in told if not _is_in_time(one)]
    return max((one.at + one.seconds for one in missed), default=0) - min(
        (one.at for one in missed), default=0
    )


def _kept(tx: Transaction, pattern: str) -> Kept:
    decisions = []
    for decision_id, order_id, outcome, model, policy, record in tx.execute(
        "SELECT decision_id, order_id, outcome, model_version, policy_version, record FROM decisions "
        "WHERE order_id LIKE ? ORDER BY position",
        (pattern,),
    ):
        decisions.append(
            StoredDecision(
                decision_id=decision_id,
                order_id=order_id,
                outcome=outcome,
                answer=json.loads(record)["answer"],
                has_model=model is not None,
                has_policy=bool(policy),
            )
        )
    reserved = tx.execute(
        "SELECT order_id, amount_cents FROM reservations WHERE order_id LIKE ? "
        "AND state IN ('reserved', 'confirmed')",
        (pattern,),
    )
    looks = tx.execute(
        "SELECT order_id, count(*) FROM screenings WHERE order_id LIKE ? AND trigger = 'order_approved' "
        "GROUP BY order_id",
        (pattern,),
    )
    links: dict[str, Counter[str]] = {}
    for order_id, kind in tx.execute(
        "SELECT order_id, entity_kind FROM order_links WHERE order_id LIKE ?", (pattern,)
    ):
        links.setdefault(order_id, Counter())[kind] += 1
    return Kept(
        decisions=decisions,
        reserved_cents={order_id: int(cents) for order_id, cents in reserved},
        first_looks={order_id: int(count) for order_id, count in looks},
        links=links,
    )


@contextmanager
def run_under_load(
    shop: ServedShop,
    name: str,
    folder: Path,
    record_property: Callable[[str, object], None],
    *,
    per_second: float,
) -> Iterator[RunUnderLoad]:
    """Load on a service for the time of the block. name: of the run, a word of its own for each."""
    assert re.fullmatch(r"[a-z0-9]+", name)
    plan = LoadPlan(
        host="127.0.0.1",
        port=shop.service.port,
        key=shop.keys[0],
        run=name,
        body=order_body("", ""),
        customer_ids=shop.register(name),
        per_second=per_second,
        told=str(folder / f"{name}.jsonl"),
    )
    run = RunUnderLoad(shop, plan, record_property)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.serving.chaos.checkout_load"], stdin=subprocess.PIPE, cwd=REPOSITORY
    )
    run._process = process
    assert process.stdin is not None
    process.stdin.write(msgspec.json.encode(plan) + b"\n")
    process.stdin.flush()
    try:
        yield run
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        if not process.stdin.closed:
            process.stdin.close()
