"""A worker that is killed at any moment, again and again: no stop request is lost, none is made twice."""

import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from data_contracts.between_rows.arrivals import AppendStatus
from data_contracts.ledger_contracts import CONTRACTS
from serving.cases.case_review import take_step
from serving.cases.possible_steps import Step
from serving.domain.policy import Policy
from serving.domain.policy_reader import parse_policy
from serving.in_force.policy_activation import POLICY_FILE
from serving.store.case_queue import history_of
from serving.store.deliveries import DELIVERED, deliveries_of
from serving.store.ledger import append
from serving.store.stop_requests import stop_requests_of_case
from serving.store.store import Store, now_ms
from tests.builders import a_merchant
from tests.measured_proofs import SIZE
from tests.proof_size import IS_LONG
from tests.serving.stop_requests.test_stop_requesting import Desk
from tests.serving.webhooks.test_dispatch import Merchant, merchant

pytestmark = pytest.mark.long_proof
__all__ = ["merchant"]  # the fixture is used by its name

REPOSITORY = Path(__file__).parents[3]
KILLS = 60 if IS_LONG else 6
CASES = 4 * KILLS

WORKER = """
import random, sys, time
from dataclasses import replace
from pathlib import Path
from serving.requests.case_scope import CaseScope
from serving.domain.policy_reader import parse_policy
from serving.stop_requests.sending_again import fallback_text
from serving.stop_requests.stop_requesting import expire_due, reached, request_due
from serving.store.open_store import open_store
from serving.store.store import now_ms
from serving.webhooks.dispatch import DispatchScope, dispatch_due, send_fallbacks
from serving.webhooks.mailbox import FileMailbox

url, policy_file, mails = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
scope = CaseScope(
    store=open_store(url), policy=parse_policy(policy_file.read_text()), now_ms=now_ms,
    public_url="https://pay.example",
)
dispatch = DispatchScope(
    store=scope.store, now_ms=now_ms, resolve=lambda host, port: ["127.0.0.1"],
    allow_private_addresses=True, timeout_seconds=0.5, lease_ms=700, jitter=random.random,
    mailbox=FileMailbox(mails), on_delivered=lambda tx, id, at_ms: reached(tx, scope, id, at_ms),
    fallback_email=lambda tx, webhook: fallback_text(tx, scope, webhook),
)
print("ready", flush=True)
sys.stdin.readline()
while True:
    request_due(scope, limit=2)
    dispatch_due(dispatch, limit=2)
    send_fallbacks(dispatch)
    expire_due(scope)
    time.sleep(0.005)
"""


def policy_without_undo(tmp_path: Path) -> Path:
    file = tmp_path / "policy.toml"
    file.write_text(POLICY_FILE.read_text().replace("undo_seconds = 30", "undo_seconds = 0"))
    return file


def a_desk(store: Store, policy: Policy, merchant: Merchant) -> Desk:
    desk = Desk(store, policy, now=now_ms())
    with store.writing() as tx:
        row = a_merchant("m1", event_id="m1-1", at=desk.now - 1_000, endpoint_url=merchant.url)
        del row["recorded_at"]
        assert append(tx, CONTRACTS["merchants"], row, desk.now).status is AppendStatus.ACCEPTED
    return desk


@pytest.mark.slow
def test_no_stop_request_is_lost_or_made_twice_when_workers_are_killed_at_any_moment(
    store: Store,
    database_url: str,
    merchant: Merchant,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    record_property(SIZE, f"{KILLS} kills")
    policy_file = policy_without_undo(tmp_path)
    desk = a_desk(store, parse_policy(policy_file.read_text()), merchant)
    merchant.answer_seconds = 0.03
    moments = random.Random(11)
    case_ids = [f"case-{number}" for number in range(CASES)]
    for kill in range(KILLS + 1):
        # Verdicts are given all the while, also while a worker is up.
        for case_id in case_ids[kill * CASES // KILLS : (kill + 1) * CASES // KILLS]:
            desk.open_case(case_id, f"order-{case_id}")
            take_step(desk.scope, case_id, Step.CLAIM, reviewer="ann")
            take_step(desk.scope, case_id, Step.STOP, reviewer="ann")
        worker = subprocess.Popen(
            [sys.executable, "-c", WORKER, database_url, str(policy_file), str(tmp_path / "mails")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
        )
        with worker:
            assert worker.stdin is not None
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
            worker.stdin.write("go\n")
            worker.stdin.flush()
            if kill < KILLS:
                if kill % 2:
                    wait_for_one_more(merchant)
                time.sleep(moments.uniform(0, 0.02 if kill % 2 else 0.25))
            else:
                wait_until_delivered(desk, case_ids)
            worker.kill()
            worker.wait(20)
            with suppress(BrokenPipeError):
                worker.stdin.close()
    told = Counter(merchant.ids())
    with store.reading() as tx:
        for case_id in case_ids:
            (stored,) = stop_requests_of_case(tx, case_id)
            assert stored.request.first_delivered_at_ms is not None
            assert told[f"{stored.request.stop_request_id}-created"] >= 1
            actions = [entry.action for entry in history_of(tx, case_id)]
            assert actions.count("stop_requested") == 1
    assert len(told) == CASES
    assert sum(told.values()) > CASES  # some died between the merchant's answer and its record


def wait_for_one_more(merchant: Merchant) -> None:
    """Wait until the merchant has read a request, some hundredths of a second before its answer."""
    end = time.monotonic() + 20
    told = len(merchant.ids())
    while len(merchant.ids()) == told:
        assert time.monotonic() < end
        time.sleep(0.001)


def wait_until_delivered(desk: Desk, case_ids: list[str]) -> None:
    end = time.monotonic() + 60
    while True:
        with desk.store.reading() as tx:
            asked = [stored for case_id in case_ids for stored in stop_requests_of_case(tx, case_id)]
            states = [
                delivery.state
                for stored in asked
                for delivery in deliveries_of(tx, stored.request.stop_request_id)
            ]
        if states.count(DELIVERED) == CASES == len(states):
            return
        assert time.monotonic() < end, Counter(states)
        time.sleep(0.05)


def test_two_workers_make_one_request_of_one_verdict(
    store: Store, merchant: Merchant, tmp_path: Path
) -> None:
    from serving.stop_requests.stop_requesting import request_due

    policy = parse_policy(policy_without_undo(tmp_path).read_text())
    desk = a_desk(store, policy, merchant)
    desk.open_case("case1", "o1")
    take_step(desk.scope, "case1", Step.CLAIM, reviewer="ann")
    take_step(desk.scope, "case1", Step.STOP, reviewer="ann")
    assert request_due(replace(desk.scope)) == 1
    assert request_due(desk.scope) == 0
    with store.reading() as tx:
        assert len(stop_requests_of_case(tx, "case1")) == 1
