import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from serving.server import running_server
from serving.settings import Settings
from tests.builders import a_document_hmac
from tests.serving.conftest import fresh_postgresql_url
from tests.serving.http.conftest import Shop, free_port, opened, order_body, prepared

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


@pytest.fixture
def postgresql_shop(shop: Shop, settings: Settings, postgresql_server: str, tmp_path: Path) -> Iterator[Shop]:
    """A second server on PostgreSQL with two worker processes and the same model registry."""
    own = replace(settings, database_url=fresh_postgresql_url(postgresql_server), home=tmp_path, workers=2)
    keys = prepared(own)
    with running_server(own, port=free_port(), workers=2, log_file=tmp_path / "server.log") as server:
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
