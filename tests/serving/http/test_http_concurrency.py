import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

import httpx
import psycopg
import pytest

from serving.checkout.replay import replay
from serving.in_force.model_watch import ModelRegistry
from serving.process.server import running_server
from serving.process.settings import Settings
from serving.store.open_store import open_store
from serving.store.reservations import reserved_cents
from serving.store.store import now_ms
from tests.builders import a_document_hmac, a_merchant, an_invoice
from tests.proof_size import whole_or_fiftieth
from tests.serving.checkout.naive_order_life import NaiveOrder
from tests.serving.conftest import fresh_postgresql_url
from tests.serving.http.conftest import Shop, as_event, free_port, opened, order_body, prepared

CLIENT = """
import http.client, json, sys
plan = json.load(sys.stdin)
connection = http.client.HTTPConnection(plan["host"], plan["port"], timeout=30)
outcomes = []
for body in plan["bodies"]:
    headers = {"Authorization": "Bearer " + plan["key"], "Content-Type": "application/json"}
    connection.request("POST", "/v1/score", json.dumps(body), headers)
    outcomes.append(json.loads(connection.getresponse().read())["outcome"])
print(json.dumps(outcomes))
"""


@pytest.fixture(scope="module")
def postgresql_shop(
    shop: Shop, settings: Settings, postgresql_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shop]:
    """A second server on PostgreSQL with two worker processes and the same model registry."""
    home = tmp_path_factory.mktemp("postgresql-home")
    own = replace(settings, database_url=fresh_postgresql_url(postgresql_server), home=home, workers=2)
    # Who shares a registry shares the histories of its models.
    own.artifact_root.symlink_to(settings.artifact_root, target_is_directory=True)
    keys = prepared(own)
    with running_server(own, port=free_port(), workers=2, log_file=home / "server.log") as server:
        opened_shop = opened(server, own, keys)
        yield opened_shop
        opened_shop.client.close()


def fifty_concurrent_orders(shop: Shop) -> list[str]:
    """By turns from two accounts of one person, from five client processes; each order takes a tenth of the
    limit.
    """
    accounts = ("crowd-1", "crowd-2")
    for account in accounts:
        shop.customer(account, identity_document_hmac=a_document_hmac("crowd"))
    limit = shop.post("/v1/precheck", order_body("o-crowd", accounts[0])).json()["limit_cents"]
    assert limit % 10 == 0
    clients = []
    for client in range(5):
        plan = {
            "host": shop.server.host,
            "port": shop.server.port,
            "key": shop.checkout_key,
            "bodies": [
                order_body(
                    f"o-crowd-{client}-{number}",
                    accounts[(client + number) % 2],
                    amount_cents=limit // 10,
                    vat_cents=0,
                )
                for number in range(10)
            ],
        }
        process = subprocess.Popen(
            [sys.executable, "-c", CLIENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdin is not None
        process.stdin.write(json.dumps(plan))
        process.stdin.close()
        clients.append(process)
    outcomes: list[str] = []
    for process in clients:
        assert process.stdout is not None
        outcomes += json.loads(process.stdout.read())
        process.stdout.close()
        assert process.wait() == 0
    return outcomes


def test_of_fifty_concurrent_orders_of_two_accounts_with_room_for_ten_exactly_ten_are_approved(
    shop: Shop,
) -> None:
    outcomes = fifty_concurrent_orders(shop)
    assert (outcomes.count("approved"), outcomes.count("declined")) == (10, 40)


@pytest.mark.postgresql
def test_of_fifty_concurrent_orders_exactly_ten_are_approved_by_two_workers_on_postgresql(
    postgresql_shop: Shop,
) -> None:
    outcomes = fifty_concurrent_orders(postgresql_shop)
    assert (outcomes.count("approved"), outcomes.count("declined")) == (10, 40)


def many_writers_on_one_customer(shop: Shop, run: int) -> None:
    """Fifty at once score, amend, confirm, extend, invoice, release and cancel orders of one customer.

    Whatever order they come in: what the customer owes and what approved orders may still be invoiced is
    what the ledger's rows come to, to the cent, and within the limit.
    """
    customer = f"busy-{run}"
    shop.customer(customer, identity_document_hmac=a_document_hmac(customer))
    limit = shop.post("/v1/precheck", order_body("o-busy", customer)).json()["limit_cents"]
    share = limit // 20
    stand = [f"o-{customer}-stands-{number}" for number in range(6)]
    goes = [f"o-{customer}-goes-{number}" for number in range(3)]
    for order_id in (*stand, *goes):
        assert shop.score(order_id, customer, amount_cents=2 * share, vat_cents=0)["outcome"] == "approved"

    def write(number: int) -> int:
        kind, order_id = number % 10, stand[number // 10]
        step = f"/v1/orders/{order_id}"
        match kind:
            case 0 | 1:
                body = order_body(
                    f"o-{customer}-new-{number}", customer, amount_cents=share + number, vat_cents=0
                )
                return shop.post("/v1/score", body).status_code
            case 2 | 3:
                cents = share * (1 if kind == 2 else 5) + number
                return shop.post(f"{step}/amend", {"new_amount_cents": cents}).status_code
            case 4:
                return shop.post(f"{step}/confirm").status_code
            case 5 | 6 | 7:
                row = an_invoice(
                    f"i-{customer}-{number}",
                    customer,
                    at=now_ms(),
                    amount_cents=share // 3 + number,
                    order_id=order_id,
                )
                return shop.post("/v1/events", as_event("invoices", row), key=shop.ledger_key).status_code
            case 8:
                return shop.post(f"{step}/{'release' if number % 20 == 8 else 'extend'}").status_code
            case _:
                return shop.post(f"/v1/orders/{goes[number % 3]}/cancel").status_code

    with ThreadPoolExecutor(50) as writers:
        statuses = set(writers.map(write, range(50)))
    assert statuses <= {200, 201, 409}, statuses
    held, owed, decisions = exposure_by_the_ledger(shop, customer)
    store = open_store(shop.settings.database_url)
    with store.reading() as tx:
        assert reserved_cents(tx, customer, now_ms(), excluding_order_id="") == held
    asked = shop.post("/v1/precheck", order_body("o-busy", customer)).json()
    assert asked["available_cents"] == limit - held - owed >= 0
    registry = ModelRegistry(shop.settings.mlflow_uri, shop.settings.artifact_root)
    for decision_id in decisions:
        replayed = replay(store, registry, decision_id)
        assert replayed.is_identical, (replayed.differences, replayed.ledger_differences)
    store.close()


def exposure_by_the_ledger(shop: Shop, customer: str) -> tuple[int, int, list[str]]:
    """What approved orders may still be invoiced, what is owed, and the ids of all decisions.

    Told from the ledger's rows in the order in which they were recorded, row by row.
    """
    store = open_store(shop.settings.database_url)
    with store.reading() as tx:
        bodies = tx.execute(
            "SELECT contract, body FROM ledger_events WHERE entity_id = ? ORDER BY recorded_at_ms, event_id",
            (customer,),
        )
        decided = tx.execute("SELECT decision_id, outcome FROM decisions WHERE customer_id = ?", (customer,))
        approved = tx.execute("SELECT order_id FROM reservations WHERE customer_id = ?", (customer,))
    store.close()
    orders = {order_id: NaiveOrder(rest=0, until=0) for (order_id,) in approved}
    owed = 0
    for contract, body in bodies:
        row = json.loads(body)
        order = orders.get(row.get("order_id"))
        if order is None:
            continue
        if contract == "orders":
            order.rest = row["amount_cents"]
        elif contract == "invoices":
            order.invoice(row["amount_cents"])
            owed += row["amount_cents"]
        elif row["kind"] == "amended":
            order.amend(row["new_amount_cents"])
        elif row["kind"] == "released":
            order.release()
        elif row["kind"] == "cancelled":
            order.rest = 0
    return sum(order.rest for order in orders.values()), owed, [one for one, _ in decided]


@pytest.mark.long_proof
def test_fifty_who_write_about_one_customer_at_once_lose_no_cent_and_pass_no_limit(shop: Shop) -> None:
    for run in range(whole_or_fiftieth(20)):
        many_writers_on_one_customer(shop, run)


@pytest.mark.long_proof
@pytest.mark.postgresql
def test_fifty_who_write_about_one_customer_at_once_lose_no_cent_in_two_processes_on_postgresql(
    postgresql_shop: Shop,
) -> None:
    for run in range(whole_or_fiftieth(20)):
        many_writers_on_one_customer(postgresql_shop, run)


def connected(shop: Shop) -> sqlite3.Connection:
    return sqlite3.connect(shop.settings.database_url.removeprefix("sqlite:///"), isolation_level=None)


@contextmanager
def lock_of_the_writer(shop: Shop) -> Iterator[sqlite3.Connection]:
    """Another process (this one) that writes; its rollback ends that."""
    with closing(connected(shop)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other


def rows_of_every_table(shop: Shop) -> dict[str, int]:
    with closing(connected(shop)) as reader:
        tables = reader.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        return {name: reader.execute(f"SELECT COUNT(*) FROM {name}").fetchone()[0] for (name,) in tables}


def missing_parts(shop: Shop) -> list[str]:
    answer = shop.client.get("/readyz")
    assert answer.status_code == (503 if "missing" in answer.json() else 200)
    return [part["code"] for part in answer.json().get("missing", [])]


def wait_until_missing(shop: Shop, codes: list[str]) -> None:
    while missing_parts(shop) != codes:
        pass


def test_an_order_that_meets_a_lock_is_decided_when_it_goes_and_nobody_else_waits(shop: Shop) -> None:
    shop.customer("patient")
    with ThreadPoolExecutor(1) as checkout, lock_of_the_writer(shop) as other:
        answer = checkout.submit(shop.score, "o-patient", "patient")
        assert shop.client.get("/livez").status_code == 200
        assert shop.get("/v1/orders/o-patient").status_code == 404
        assert shop.post("/v1/precheck", order_body("o-other", "patient")).json()["outcome"] == "approved"
        assert not answer.done()
        other.execute("ROLLBACK")
        assert answer.result()["outcome"] == "approved"


def test_under_a_lock_that_stays_all_are_told_in_time_nothing_is_kept_and_afterwards_all_is_well(
    shop: Shop,
) -> None:
    shop.customer("unlucky")
    standing = order_body("o-standing", "unlucky")
    approved = shop.post("/v1/score", standing, Idempotency_Key="standing").json()
    assert approved["outcome"] == "approved"
    event = as_event("merchants", a_merchant("m-late", event_id="merchant-late", at=now_ms() - 1000))
    body = order_body("o-unlucky", "unlucky")
    before = rows_of_every_table(shop)
    with ThreadPoolExecutor(5) as clients, lock_of_the_writer(shop):
        score = clients.submit(shop.post, "/v1/score", body, Idempotency_Key="unlucky")
        again = clients.submit(shop.post, "/v1/score", standing, Idempotency_Key="standing")
        others = [
            clients.submit(shop.post, "/v1/events", event),
            clients.submit(shop.post, "/v1/orders/o-standing/confirm", Idempotency_Key="unlucky-too"),
            clients.submit(shop.post, "/v1/orders/o-standing/cancel"),
        ]
        answer: dict[str, Any] = score.result().json()
        assert (score.result().status_code, answer["outcome"]) == (200, "unavailable")
        assert (answer["reasons"][0]["code"], answer["decision_id"]) == ("no_store", None)
        assert again.result().json() == approved, "what was answered before stands and can be read"
        for other in others:
            assert other.result().status_code == 503
            assert other.result().headers["retry-after"] == "1"
            assert other.result().json()["type"] == "urn:bonitas:problem:store-unavailable"
        wait_until_missing(shop, ["no_store"])
        assert shop.client.get("/livez").status_code == 200
    assert shop.post("/v1/score", order_body("o-next", "unlucky")).json()["outcome"] == "approved"
    wait_until_missing(shop, [])
    after = rows_of_every_table(shop)
    # One order was decided, the one after the lock; whatever waited has left nothing anywhere.
    of_one_decision = dict.fromkeys(("decisions", "reservations", "ledger_events"), 1)
    after = rows_of_every_table(shop)
    assert {
        name: after[name] - rows for name, rows in before.items() if after[name] != rows
    } == of_one_decision
    assert shop.get("/v1/orders/o-unlucky").status_code == 404
    assert shop.get("/v1/orders/o-standing").json()["state"] == "reserved"
    decided = shop.post("/v1/score", body, Idempotency_Key="unlucky").json()
    assert (decided["order_id"], decided["outcome"]) == ("o-unlucky", "approved")


def test_an_order_whose_client_hung_up_during_a_lock_is_never_decided(shop: Shop) -> None:
    shop.customer("hung-up")
    with lock_of_the_writer(shop):
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(
                f"{shop.server.url}/v1/score",
                json=order_body("o-hung-up", "hung-up"),
                headers={"Authorization": f"Bearer {shop.checkout_key}"},
                timeout=0.2,
            )
        for _ in range(3):
            assert shop.client.get("/livez").status_code == 200
    assert shop.score("o-after-hung-up", "hung-up")["outcome"] == "approved"
    assert shop.get("/v1/orders/o-hung-up").status_code == 404


@pytest.mark.postgresql
def test_on_postgresql_those_who_wait_for_a_hung_customer_hold_up_no_other(postgresql_shop: Shop) -> None:
    shop = postgresql_shop
    # Namesakes who live together, and two people all the same: each has an identity document of their own.
    for customer in ("hung", "free"):
        shop.customer(customer, identity_document_hmac=a_document_hmac(customer))
    with (
        ThreadPoolExecutor(30) as checkouts,
        psycopg.connect(shop.settings.database_url) as other,
    ):
        other.execute("SELECT pg_advisory_xact_lock(hashtextextended('hung', 0))")
        waiting = [checkouts.submit(shop.score, f"o-hung-{n}", "hung") for n in range(30)]
        assert shop.score("o-free", "free")["outcome"] == "approved"
        assert not any(answer.done() for answer in waiting)
        assert {answer.result()["outcome"] for answer in waiting} == {"unavailable"}
        other.rollback()
        for table in ("decisions", "reservations"):
            kept = other.execute(f"SELECT order_id FROM {table} WHERE customer_id IN ('hung', 'free')")
            assert kept.fetchall() == [("o-free",)]
    assert shop.score("o-hung-0", "hung")["outcome"] == "approved"
