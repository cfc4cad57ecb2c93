"""Checkouts that ask for one decision after the other, as processes of their own."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.serving.http.conftest import Row, Shop

_CLIENT = """
import http.client, json, sys
from pathlib import Path
plan = json.loads(sys.stdin.readline())
connection = http.client.HTTPConnection(plan["host"], plan["port"], timeout=30)
headers = {"Authorization": "Bearer " + plan["key"], "Content-Type": "application/json"}
number = 0
while not Path(plan["stop"]).exists():
    body = {**plan["body"], "order_id": f"o-{plan['client']}-{number}"}
    connection.request("POST", "/v1/score", json.dumps(body), headers)
    response = connection.getresponse()
    answer = json.loads(response.read())
    print(json.dumps({"status": response.status, **answer}))
    number += 1
"""


class ScoreLoad:
    """The answers of each client, in the order in which it got them; complete after the block."""

    def __init__(self, outputs: list[Path]) -> None:
        self._outputs = outputs

    @property
    def answers_by_client(self) -> list[list[dict[str, Any]]]:
        """Each with the HTTP status as `status`."""
        return [[json.loads(line) for line in output.read_text().splitlines()] for output in self._outputs]


@contextmanager
def score_load(shop: Shop, folder: Path, *, clients: int, body: Row) -> Iterator[ScoreLoad]:
    """Load on the service for the time of the block; every client must end by itself, without an error."""
    stop = folder / "stop"
    # Answers go to files: a full pipe would silently end the load.
    outputs = [folder / f"answers-{client}.jsonl" for client in range(clients)]
    processes = [_started(shop, stop, output, client, body) for client, output in enumerate(outputs)]
    try:
        yield ScoreLoad(outputs)
    finally:
        stop.touch()
        for process in processes:
            process.wait(timeout=30)
    assert [process.returncode for process in processes] == [0] * clients


def _started(shop: Shop, stop: Path, output: Path, client: int, body: Row) -> "subprocess.Popen[str]":
    plan = {
        "host": shop.server.host,
        "port": shop.server.port,
        "key": shop.checkout_key,
        "client": client,
        "stop": str(stop),
        "body": body,
    }
    with output.open("w") as answers:
        process = subprocess.Popen(
            [sys.executable, "-c", _CLIENT], stdin=subprocess.PIPE, stdout=answers, text=True
        )
    assert process.stdin is not None
    process.stdin.write(json.dumps(plan) + "\n")
    process.stdin.close()
    return process
