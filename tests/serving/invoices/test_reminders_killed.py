"""Workers that are killed at any moment, and two at once: every customer is told, and nobody twice."""

import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from data_contracts.between_rows.arrivals import AppendStatus
from data_contracts.ledger_contracts import CONTRACTS
from serving.store.ledger import append
from serving.store.store import Store
from tests.builders import DAY, Row, a_customer, a_merchant, an_invoice, an_order, ms

REPOSITORY = Path(__file__).parents[3]
T0 = ms("2026-01-01")
NOW = T0 + 12 * DAY
CUSTOMERS = 60

WORKER = """
import sys
from dataclasses import replace
from serving.domain.policy_reader import parse_policy
from serving.domain.reminders import ReminderWriter
from serving.in_force.policy_activation import POLICY_FILE
from serving.invoices.reminding import look_at_due_invoices
from serving.requests.case_scope import CaseScope
from serving.store.open_store import open_store

policy = parse_policy(POLICY_FILE.read_text())
policy = replace(policy, reminders=replace(policy.reminders, writer=ReminderWriter.WORKER))
scope = CaseScope(
    store=open_store(sys.argv[1]), policy=policy, now_ms=lambda: int(sys.argv[2]), public_url="https://pay.example"
)
print("ready", flush=True)
sys.stdin.readline()
while look_at_due_invoices(scope, limit=2):
    pass
"""


def started(database_url: str) -> "subprocess.Popen[str]":
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, database_url, str(NOW)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    )
    assert worker.stdout is not None
    assert worker.stdout.readline() == "ready\n"
    return worker


def go(worker: "subprocess.Popen[str]") -> None:
    assert worker.stdin is not None
    worker.stdin.write("go\n")
    worker.stdin.flush()


def told(store: Store) -> Counter[str]:
    with store.reading() as tx:
        return Counter(
            customer_id
            for (customer_id,) in tx.execute(
                "SELECT entity_id FROM ledger_events WHERE contract = 'invoice_charges'"
            )
        )


def test_every_customer_is_told_once_whoever_is_killed_and_whoever_looks_at_once(
    store: Store, database_url: str
) -> None:
    customers = [f"c{number}" for number in range(CUSTOMERS)]
    with store.writing(*customers, "m1") as tx:

        def arrive(contract: str, row: Row) -> None:
            stamped = {
                name: value for name, value in row.items() if value is not None and name != "recorded_at"
            }
            assert append(tx, CONTRACTS[contract], stamped, NOW).status is AppendStatus.ACCEPTED

        arrive("merchants", a_merchant(at=T0))
        for one in customers:
            arrive("customers", a_customer(one, event_id=f"customer-{one}", at=T0))
            arrive("orders", an_order(f"o-{one}", one, at=T0))
            arrive("invoices", an_invoice(f"i-{one}", one, at=T0, order_id=f"o-{one}"))
    with started(database_url) as killed:
        go(killed)
        time.sleep(random.Random(7).uniform(0.005, 0.03))
        killed.kill()
    assert max(told(store).values(), default=0) <= 1
    with started(database_url) as first, started(database_url) as second:
        for worker in (first, second):
            go(worker)
        assert [first.wait(60), second.wait(60)] == [0, 0]
    assert told(store) == Counter(customers)
