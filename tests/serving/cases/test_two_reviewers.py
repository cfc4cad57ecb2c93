"""Two reviewers in two processes and one queue."""

import json
import subprocess
import sys
from pathlib import Path

from serving.domain.policy_reader import parse_policy
from serving.domain.review_case import CaseState
from serving.in_force.policy_activation import POLICY_FILE
from serving.store.case_queue import cases_in_order_of_work
from serving.store.store import Store
from tests.serving.stop_requests.test_stop_requesting import Desk

REPOSITORY = Path(__file__).parents[3]
CASES = 100

REVIEWER = """
import json, sys, time
from pathlib import Path
from serving.cases.case_review import CaseMoved, claim_next
from serving.requests.case_scope import CaseScope
from serving.domain.policy_reader import parse_policy
from serving.store.open_store import open_store
from serving.store.store import now_ms

url, policy_file, reviewer = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
scope = CaseScope(
    store=open_store(url), policy=parse_policy(policy_file.read_text()), now_ms=now_ms,
    public_url="https://pay.example",
)
print("ready", flush=True)
sys.stdin.readline()
claimed = []
while True:
    try:
        case = claim_next(scope, reviewer)
    except CaseMoved:  # the other was faster again and again; a person would try again
        continue
    if case is None:
        break
    claimed.append(case.case_id)
    time.sleep(0.003)  # a glance at it; without one, one process may keep the other from the database
print(json.dumps(claimed))
"""


def test_of_one_hundred_cases_claimed_from_two_processes_each_is_claimed_once(
    store: Store, database_url: str
) -> None:
    desk = Desk(store, parse_policy(POLICY_FILE.read_text()))
    for number in range(CASES):
        desk.open_case(f"case-{number}", f"order-{number}")
    reviewers = [
        subprocess.Popen(
            [sys.executable, "-c", REVIEWER, database_url, str(POLICY_FILE), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
        )
        for name in ("ann", "bob")
    ]
    for reviewer in reviewers:
        assert reviewer.stdout is not None
        assert reviewer.stdout.readline() == "ready\n"
    answers = []
    for reviewer in reviewers:
        assert reviewer.stdin is not None
        reviewer.stdin.write("go\n")
        reviewer.stdin.flush()
    for reviewer in reviewers:
        answers.append(json.loads(reviewer.communicate(timeout=60)[0]))
        assert reviewer.returncode == 0
    by_ann, by_bob = answers
    assert len(by_ann) + len(by_bob) == CASES
    assert set(by_ann) | set(by_bob) == {f"case-{number}" for number in range(CASES)}
    assert by_ann
    assert by_bob
    with store.reading() as tx:
        holders = {
            stored.case.case_id: stored.case.reviewer
            for stored in cases_in_order_of_work(tx, CaseState.CLAIMED, CASES)
        }
    assert holders == {**dict.fromkeys(by_ann, "ann"), **dict.fromkeys(by_bob, "bob")}
