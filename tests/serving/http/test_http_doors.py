"""Every route of the running service from outside: who is let in, with how much, and for how long."""

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from starlette.responses import Response

from serving.api.openapi import openapi_document
from serving.requests.door import READ_ONCE, Routes
from serving.requests.route_declaration import (
    EVENTS_BODY_BYTES,
    ORDER_BODY_BYTES,
    DoorKind,
    RouteDeclaration,
)
from serving.requests.store_access import StoreAccess
from serving.route_table import route_table, routes_page
from serving.store.api_keys import Role, create_key
from serving.store.open_store import open_store
from serving.store.store import now_ms
from tests.serving.http.conftest import Shop, order_body

ROOT = Path(__file__).parent.parent.parent.parent
HEAD_SECONDS = BODY_SECONDS = 1.5
"""As in the settings of the shared service."""


async def _nothing(_request: Any) -> Response:
    return Response()


TABLE = route_table(StoreAccess(), ready=Response, metrics=_nothing)
BY_KEY = [
    route
    for route in TABLE
    if route.door in {DoorKind.API_KEY, DoorKind.API_KEY_OR_LOOPBACK} and route.same_as is None
]
ALIASES = [route for route in TABLE if route.same_as is not None]


def a_path(route: RouteDeclaration) -> str:
    """A path of the route, about nothing that exists."""
    path = route.path
    while "{" in path:
        before, _, rest = path.partition("{")
        path = f"{before}none{rest.partition('}')[2]}"
    return path


def as_declared(route: RouteDeclaration) -> RouteDeclaration:
    return next((other for other in TABLE if other.path == route.same_as), route)


@pytest.fixture(scope="module")
def keys(shop: Shop) -> dict[Role, str]:
    """A key of every role."""
    store = open_store(shop.settings.database_url)
    try:
        return {
            role: create_key(
                store,
                name=f"door-{role.value}",
                role=role.value,
                merchant_id="m1" if role is Role.MERCHANT else None,
                now_ms=now_ms(),
            )
            for role in Role
        }
    finally:
        store.close()


class Client:
    """A raw connection, to send what no well-behaved client would."""

    def __init__(self, shop: Shop) -> None:
        self.socket = socket.create_connection((shop.server.host, shop.server.port), timeout=10)

    def send(self, *parts: str | bytes) -> None:
        self.socket.sendall(b"".join(part.encode() if isinstance(part, str) else part for part in parts))

    def send_until_ended(self, part: bytes, times: int, *, pause_seconds: float = 0.0) -> None:
        """Send the same again and again until the server ends the connection; fail where it takes it all."""
        try:
            for _ in range(times):
                self.socket.sendall(part)
                time.sleep(pause_seconds)
        except ConnectionError:
            return
        pytest.fail(f"the server took {times} times {len(part)} bytes")

    def request(self, method: str, path: str, *headers: str, key: str | None = None) -> None:
        lines = [f"{method} {path} HTTP/1.1", "Host: x", "Content-Type: application/json", *headers]
        # Through a proxy, so that nobody takes it for a client of this machine.
        lines.append("X-Forwarded-For: 203.0.113.7")
        if key is not None:
            lines.append(f"Authorization: Bearer {key}")
        self.send("\r\n".join(lines), "\r\n\r\n")

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of one answer; raises ConnectionError where none comes."""
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._some()
        head, _, body = data.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])
        }
        while len(body) < int(headers.get("content-length", 0)):
            body += self._some()
        return int(lines[0].split()[1]), headers, body

    def problem(self) -> int:
        """The status of an answer that is a problem document."""
        status, headers, body = self.answer()
        assert headers["content-type"] == "application/problem+json", (status, headers, body)
        assert json.loads(body)["status"] == status
        return status

    def is_ended(self) -> bool:
        """Wait for the end of the connection; False where it stays open."""
        try:
            while self.socket.recv(65_536):
                pass
        except TimeoutError:
            return False
        except ConnectionError:
            pass
        return True

    def _some(self) -> bytes:
        data = self.socket.recv(65_536)
        if not data:
            raise ConnectionError("the server ended the connection")
        return data


@contextmanager
def connected(shop: Shop) -> Iterator[Client]:
    client = Client(shop)
    try:
        yield client
    finally:
        client.socket.close()


def names(routes: list[RouteDeclaration]) -> list[str]:
    return [f"{route.method} {route.path}" for route in routes]


def test_every_route_that_is_mounted_is_declared() -> None:
    """BentoML's own among them; what it mounts some day and nobody declares is refused all the same."""
    script = (
        "import json\n"
        "from serving.service import PROCESS, CreditService\n"
        "app = CreditService.to_asgi(is_main=True)\n"
        "walked = []\n"
        "def walk(routes, mount):\n"
        "    for route in routes:\n"
        "        inner = getattr(getattr(route, 'app', None), 'routes', None)\n"
        "        if inner:\n"
        "            walk(inner, mount + route.path)\n"
        "        else:\n"
        "            methods = getattr(route, 'methods', None) or {'GET'}\n"
        "            walked.append([mount + route.path, sorted(methods)])\n"
        "walk(app.routes, '')\n"
        "print(json.dumps([walked, [[r.path, r.method] for r in PROCESS.routes]]))\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    walked, declared = json.loads(finished.stdout.splitlines()[-1])
    assert sorted(map(tuple, declared)) == sorted((route.path, route.method) for route in TABLE)
    known = {(route.path, method) for route in TABLE for method in route.methods}
    for path, methods in walked:
        if path == "/console/{rest:path}":
            continue  # the console's page about what is not there
        declared_path = "/static_content/{rest:path}" if path == "/static_content" else path
        for method in methods:
            assert (declared_path, method) in known, f"{method} {path} is mounted and not declared"
    assert {"/score", "/schema.json", "/livez", "/docs.json"} <= {path for path, _ in walked}


def test_the_page_about_the_routes_is_as_the_code_declares_them() -> None:
    assert (ROOT / "docs" / "routes.md").read_text() == routes_page(), "run `make docs`"


def test_the_published_contract_has_the_routes_of_the_table() -> None:
    routes = Routes(TABLE)
    reached = set()
    for path, operations in openapi_document(TABLE)["paths"].items():
        for method in operations:
            found = routes.at(path.replace("{", "").replace("}", ""))
            assert found is not None, path
            reached.add(found[0][method.upper()].path)
    published = {route.path for route in TABLE if route.path.startswith("/v1/")}
    assert reached == published


@pytest.mark.parametrize("route", [*BY_KEY, *ALIASES], ids=names([*BY_KEY, *ALIASES]))
def test_a_route_asks_for_the_key_then_its_role_then_the_size_of_the_body(
    shop: Shop, keys: dict[Role, str], route: RouteDeclaration
) -> None:
    path, declared = a_path(route), as_declared(route)
    hundred_megabytes = "Content-Length: 100000000"
    for wrong in (None, "nobody"):
        with connected(shop) as client:
            # The answer comes while the body has not: nobody reads it.
            client.request(route.method, path, hundred_megabytes, key=wrong)
            assert client.problem() == 401
            client.send(b"{" * 10_000)
    for role in set(Role) - declared.roles:
        with connected(shop) as client:
            client.request(route.method, path, hundred_megabytes, key=keys[role])
            assert client.problem() == 403
    if not declared.body_maximum_bytes:
        return
    key = keys[min(declared.roles, key=lambda role: role.value)]
    with connected(shop) as client:
        client.request(route.method, path, hundred_megabytes, key=key)
        assert client.problem() == 413
    with connected(shop) as client:
        client.request(route.method, path, "Transfer-Encoding: chunked", key=key)
        chunk = b"%x\r\n%b\r\n" % (ORDER_BODY_BYTES, b" " * ORDER_BODY_BYTES)
        for _ in range(declared.body_maximum_bytes // ORDER_BODY_BYTES + 1):
            client.send(chunk)
        assert client.problem() == 413


BROKEN = [
    b"{",
    b"[]",
    b"null",
    b'"x"',
    b"\xff\xfe",
    b"[" * 30_000,
    b'{"a":"\\ud800"}',
    b'{"contract":{}}',
    b"{}",
]


@pytest.mark.parametrize("route", [*BY_KEY, *ALIASES], ids=names([*BY_KEY, *ALIASES]))
def test_no_body_and_no_path_breaks_the_service(
    shop: Shop, keys: dict[Role, str], route: RouteDeclaration
) -> None:
    path, declared = a_path(route), as_declared(route)
    headers = {"Content-Type": "application/json"}
    for role in sorted(declared.roles, key=lambda role: role.value):
        headers["Authorization"] = f"Bearer {keys[role]}"
        for body in BROKEN if declared.body_maximum_bytes else [b""]:
            answer = shop.client.request(route.method, path, content=body, headers=headers)
            assert answer.status_code < 500, (role, body, answer.text)
            if answer.status_code >= 400:
                assert answer.headers["content-type"] == "application/problem+json", (body, answer.text)
        for odd in ("%00", "%ff", "..%2f", "x" * 5_000, "%F0%9F%98%80"):
            answer = shop.client.request(
                route.method, path.replace("none", odd), content=b"{}", headers=headers
            )
            assert answer.status_code < 500, (role, odd, answer.text)


@pytest.mark.parametrize("name", sorted(header.decode() for header in READ_ONCE))
def test_a_header_of_which_one_counts_is_refused_twice_before_the_body_is_read(shop: Shop, name: str) -> None:
    given = {"content-length": "104857600", "authorization": f"Bearer {shop.checkout_key}"}
    value = given.get(name, "x")
    for path in ("/v1/score", "/score", "/console/sign-in", "/stop/none"):
        with connected(shop) as client:
            lines = [f"POST {path} HTTP/1.1", *([] if name == "host" else ["Host: x"])]
            lines += [] if name in {"content-length", "transfer-encoding"} else ["Content-Length: 104857600"]
            lines += [f"{name.title()}: {value}", f"{name}: {value}"]
            client.send("\r\n".join(lines), "\r\n\r\n")
            assert client.problem() == 400, path


def test_two_authorizations_or_idempotency_keys_are_a_declared_problem(shop: Shop) -> None:
    for route in BY_KEY:
        one = ("Authorization", f"Bearer {shop.checkout_key}")
        twice = [one, ("Authorization", "Bearer other")], [one, *[("Idempotency-Key", "k")] * 2]
        for headers in twice:
            answer = shop.client.request(
                route.method, a_path(route), headers=[*headers, ("X-Forwarded-For", "203.0.113.7")]
            )
            assert answer.status_code == 400, route.path
            assert answer.json()["type"] == "urn:bonitas:problem:header-repeated"
            assert headers[-1][0].lower() in answer.json()["detail"]


def test_a_parameter_of_a_query_counts_once(shop: Shop, keys: dict[Role, str]) -> None:
    for route in BY_KEY:
        if route.query is not None and route.method == "GET":
            name = next(iter(route.query.__struct_fields__))
            role = min(route.roles, key=lambda role: role.value)
            answer = shop.client.get(
                f"{a_path(route)}?{name}=1&{name}=2", headers={"Authorization": f"Bearer {keys[role]}"}
            )
            assert answer.status_code == 422, route.path
            assert {"pointer": f"/{name}", "detail": "is given more than once"} in answer.json()["errors"]


@pytest.mark.parametrize(
    ("header", "rule"),
    [
        (("Content-Encoding", "gzip"), "without a coding such as 'gzip'"),
        (("Content-Encoding", "identity, br"), "without a coding such as 'br'"),
        (("Content-Type", "text/plain"), "application/json"),
        (("Content-Type", "application/json, text/plain"), "application/json"),
        (("Content-Type", "application/json; charset=latin-1"), "UTF-8"),
        (("Content-Type", ""), "application/json"),
    ],
)
def test_a_body_in_another_form_is_415_with_the_rule(shop: Shop, header: tuple[str, str], rule: str) -> None:
    headers = {"Authorization": f"Bearer {shop.checkout_key}", "Content-Type": "application/json"}
    headers |= dict([header])
    for path in ("/v1/score", "/score", "/v1/precheck", "/v1/events"):
        answer = shop.client.post(path, content=iter([b"{}"]), headers=headers)
        assert answer.status_code == 415, (path, answer.text)
        assert rule in answer.json()["detail"]


def test_a_body_with_a_coding_on_its_way_is_415(shop: Shop) -> None:
    with connected(shop) as client:
        client.request("POST", "/v1/score", "Transfer-Encoding: gzip, chunked", key=shop.checkout_key)
        client.send(b"2\r\n{}\r\n0\r\n\r\n")
        assert client.problem() == 415


def test_a_body_that_is_not_changed_by_its_coding_is_taken(shop: Shop) -> None:
    usual = {"Content-Type": "application/json", "Authorization": f"Bearer {shop.checkout_key}"}
    for headers in (
        {"Content-Encoding": "identity"},
        {"Content-Type": 'application/json; charset="UTF-8"'},
        {"Content-Type": "Application/JSON;charset=utf-8"},
    ):
        answer = shop.client.post("/v1/precheck", content=b"{}", headers={**usual, **headers})
        assert answer.status_code == 422


def test_what_nobody_declared_is_not_there_and_says_so_in_a_problem(shop: Shop) -> None:
    for path in (
        "/docs.json",
        "/static_content/swagger-ui.css",
        "/v1/nothing",
        "/v1/score/",
        "/hello",
        "/stop",
    ):
        for key in (None, shop.checkout_key):
            with connected(shop) as client:
                client.request("GET", path, key=key)
                assert client.problem() == 404, path
    with connected(shop) as client:
        client.request("DELETE", "/v1/score")
        assert client.problem() == 405
    with connected(shop) as client:
        upgrade = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
        client.request("GET", "/v1/score", *upgrade, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
        assert client.problem() == 405


def test_pages_with_doors_of_their_own_bound_what_they_read(shop: Shop) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for route in TABLE:
        if route.door in {DoorKind.SESSION, DoorKind.SIGNED_LINK}:
            path = a_path(route)
            answer = shop.client.request(
                route.method, path, content=b"a=" + b"x" * route.body_maximum_bytes, headers=form
            )
            assert answer.status_code < 500, path
            if route.door is DoorKind.SIGNED_LINK and route.method == "POST":
                assert answer.status_code == 413, path
            elif route.roles:
                assert answer.status_code in {303, 403}, path


def test_metrics_are_for_an_admin_s_key_and_for_this_machine(shop: Shop, keys: dict[Role, str]) -> None:
    assert shop.client.get("/metrics").status_code == 200
    forwarded = {"X-Forwarded-For": "127.0.0.1"}
    assert shop.client.get("/metrics", headers=forwarded).status_code == 401
    admin = {**forwarded, "Authorization": f"Bearer {keys[Role.ADMIN]}"}
    assert "bonitas_requests_total" in shop.client.get("/metrics", headers=admin).text
    for header in ("Forwarded", "Via", "X-Real-IP"):
        assert shop.client.get("/metrics", headers={header: "for=127.0.0.1"}).status_code == 401


CLIENT = """
import json, sys
import bentoml
from bentoml.exceptions import BentoMLException

url, token, order = json.loads(sys.argv[1])
with bentoml.SyncHTTPClient(url, token=token) as client:
    answer = client.score(order)
    try:
        client.score({"order_id": 7})
    except BentoMLException as refusal:
        refused = str(refusal)
try:
    bentoml.SyncHTTPClient(url)
except BentoMLException as problem:
    without_token = str(problem)
print(json.dumps([answer, refused, without_token]))
"""


def test_bentoml_s_client_reads_the_schema_and_scores_with_its_token(shop: Shop) -> None:
    shop.customer("bento-client")
    asked = [shop.server.url, shop.checkout_key, order_body("o-bento-client", "bento-client")]
    # In a process of its own: BentoML's client warns of itself, and cleans up only when its process ends.
    finished = subprocess.run(
        [sys.executable, "-c", CLIENT, json.dumps(asked)], capture_output=True, text=True, check=True
    )
    answer, refused, without_token = json.loads(finished.stdout)
    assert answer["outcome"] == "approved"
    assert shop.get(f"/v1/decisions/{answer['decision_id']}").json() == answer
    assert "/order_id" in refused
    assert "schema" in without_token


def test_the_service_listens_on_its_port_and_on_no_other(shop: Shop) -> None:
    """A process manager that took orders on a port of loopback would run whatever anybody here likes."""
    parent = psutil.Process(shop.server.process_id)
    processes = [parent, *parent.children(recursive=True)]
    assert len(processes) > 1
    listening = {
        connection.laddr.port
        for process in processes
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN or connection.type == socket.SOCK_DGRAM
    }
    assert listening == {shop.server.port}


def test_half_a_head_is_closed_after_its_time_and_nobody_waits_meanwhile(shop: Shop) -> None:
    half = b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Half: "
    began = time.monotonic()
    clients = [Client(shop) for _ in range(100)]
    for number, client in enumerate(clients):
        # Some say nothing at all, some begin a second request after a first.
        client.send(b"", half, b"x" * (number % 50))
    silent = Client(shop)
    second = Client(shop)
    second.request("GET", "/livez")
    assert second.answer()[0] == 200
    second.send(half)
    assert shop.client.get("/livez").status_code == 200
    assert clients[0].problem() == 408
    for client in [*clients[1:], second]:
        assert client.is_ended()
    assert silent.is_ended()
    assert HEAD_SECONDS <= time.monotonic() - began < HEAD_SECONDS + 5
    for client in [*clients, silent, second]:
        client.socket.close()


def test_a_head_that_drips_is_closed_after_its_time_too(shop: Shop) -> None:
    began = time.monotonic()
    with connected(shop) as client:
        client.send("GET /livez HTTP/1.1\r\n")
        client.send_until_ended(b"X: y\r\n", 80, pause_seconds=0.1)
    assert time.monotonic() - began < HEAD_SECONDS + 2


@pytest.mark.parametrize(
    "head",
    [
        b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Large: " + b"x" * 100_000 + b"\r\n\r\n",
        b"GET /livez?" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /livez HTTP/1.1\r\n" + b"X: y\r\n" * 1_000 + b"\r\n",
        b"GET /livez HTTP/1.1\r\n" + b"X-Some-Header: with a value\r\n" * 150 + b"\r\n",
    ],
    ids=["long header", "long path", "many headers", "within bounds"],
)
def test_a_head_beyond_its_bounds_is_refused(shop: Shop, head: bytes) -> None:
    with connected(shop) as client:
        client.send(head)
        assert client.answer()[0] == (200 if b"with a value" in head else 431)


@pytest.mark.parametrize("where", ["header", "trailer"])
def test_a_header_without_an_end_is_not_kept(shop: Shop, where: str) -> None:
    (worker,) = psutil.Process(shop.server.process_id).children()
    before = worker.memory_info().rss
    with connected(shop) as client:
        if where == "header":
            client.send(b"POST /v1/score HTTP/1.1\r\nHost: x\r\nX-Large: ")
        else:
            client.request("POST", "/v1/score", "Transfer-Encoding: chunked", key=shop.checkout_key)
            client.send(b"2\r\n{}\r\n0\r\nX-Large: ")
        client.send_until_ended(b"x" * 1_000_000, 20)
    assert worker.memory_info().rss - before < 20_000_000


def test_a_body_that_drips_ends_with_408_and_holds_no_lock(shop: Shop) -> None:
    shop.customer("in-between")
    paths = ("/v1/events", "/v1/score", "/console/sign-in", "/stop/none")
    clients = [Client(shop) for _ in paths]
    began = time.monotonic()
    for client, path in zip(clients, paths, strict=True):
        form = (
            "application/x-www-form-urlencoded"
            if path.startswith(("/console", "/stop"))
            else "application/json"
        )
        client.send(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {form}\r\n")
        client.send(f"Authorization: Bearer {shop.checkout_key}\r\nContent-Length: 1000\r\n\r\n")
    while time.monotonic() - began < BODY_SECONDS - 0.3:
        for client in clients:
            client.send(" ")
        asked = time.monotonic()
        assert shop.score("o-in-between", "in-between")["outcome"] == "approved"
        assert time.monotonic() - asked < 1
        time.sleep(0.2)
    for client in clients:
        assert client.answer()[0] == 408
        client.socket.close()
    assert time.monotonic() - began < BODY_SECONDS + 3


def test_what_is_still_being_sent_after_the_answer_is_not_read_for_long(shop: Shop) -> None:
    with connected(shop) as client:
        client.request("POST", "/v1/score", "Content-Length: 100000000")
        assert client.problem() == 401
        client.send_until_ended(b"x" * 1_000_000, 20)
    with connected(shop) as client:
        # A small body that came with its head is thrown away, and the connection goes on.
        client.request("POST", "/v1/score", "Content-Length: 2")
        client.send(b"{}")
        assert client.problem() == 401
        client.request("GET", "/livez")
        assert client.answer()[0] == 200


def test_a_body_at_the_bound_is_read(shop: Shop) -> None:
    for path, maximum in (("/v1/score", ORDER_BODY_BYTES), ("/v1/events", EVENTS_BODY_BYTES)):
        headers = {"Authorization": f"Bearer {shop.checkout_key}", "Content-Type": "application/json"}
        content = b"{}" + b" " * (maximum - 2)
        answers = [shop.client.post(path, content=content + more, headers=headers) for more in (b"", b" ")]
        assert answers[0].status_code in {200, 422}
        assert answers[1].status_code == 413


def test_answers_of_the_door_are_counted_by_their_route(shop: Shop) -> None:
    assert httpx.post(f"{shop.server.url}/score", content=b"{").status_code == 401
    text = shop.client.get("/metrics").text
    assert 'bonitas_requests_total{method="POST",route="/v1/score",status="401"}' in text


def a_lot(shop: Shop, body: bytes) -> tuple[httpx.Response, float]:
    """The answer to a body of ledger rows, and the longest that somebody else waited, in seconds."""
    headers = {"Authorization": f"Bearer {shop.ledger_key}", "Content-Type": "application/json"}
    waits = [0.0]
    is_over = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=shop.server.url) as other:
            while not is_over.is_set():
                began = time.monotonic()
                other.get("/livez")
                waits.append(time.monotonic() - began)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        answer = shop.client.post("/v1/events", content=body, headers=headers)
    finally:
        is_over.set()
        asking.join()
    return answer, max(waits)


def test_unknown_fields_by_the_hundred_thousand_cost_neither_time_nor_an_answer_as_long(shop: Shop) -> None:
    one_row = {"contract": "orders", **{f"field-{number}": number for number in range(90_000)}}
    rows = [{"contract": "invoices", **{f"f{n}": n for n in range(90)}} for _ in range(1_000)]
    for body, listed in ((one_row, 20), ({"events": [one_row]}, 20), ({"events": rows}, 20)):
        answer, waited_seconds = a_lot(shop, json.dumps(body).encode())
        assert answer.status_code == 200, answer.text[:300]
        assert len(answer.content) < 1_000_000
        results = answer.json()["results"]
        first = results[0]
        named = [error for error in first["errors"] if "no such column" in error["detail"]]
        assert len(named) == listed
        whole = len(body["events"][0] if "events" in body else body) - 1
        assert first["errors_not_listed"] == whole - listed
        assert all(result["errors"] for result in results)
        assert waited_seconds < 2
    too_many = b'{"contract":"orders",' + b",".join(b'"f%d":1' % n for n in range(250_000)) + b"}"
    answer, waited_seconds = a_lot(shop, too_many)
    assert (answer.status_code, len(answer.content) < 1_000) == (422, True)
    assert waited_seconds < 1
    beside = {"events": [], **{f"field-{number}": number for number in range(90_000)}}
    answer, _ = a_lot(shop, json.dumps(beside).encode())
    assert (answer.status_code, len(answer.json()["errors"])) == (422, 50)
    assert answer.json()["errors_not_listed"] == 90_000 - 50


def test_long_names_and_values_are_not_told_back_whole(shop: Shop) -> None:
    long = "x" * 500_000
    for row in (
        {"contract": "orders", long: 1},
        {"contract": long},
        {"contract": "orders", "event_id": long},
    ):
        answer, _ = a_lot(shop, json.dumps(row).encode())
        assert answer.json()["rejected"] == 1
        assert len(answer.content) < 10_000
    order = shop.post("/v1/score", {**order_body("o-long", "c"), "y" * 50_000: 1})
    assert (order.status_code, len(order.content) < 1_000) == (422, True)
    many = shop.post("/v1/score", {f"f{number}": 1 for number in range(4_000)})
    assert (many.status_code, len(many.json()["errors"])) == (422, 50)
    assert many.json()["errors_not_listed"] > 3_900


def test_what_is_nested_as_deeply_as_can_be_read_is_refused_and_breaks_nothing(shop: Shop) -> None:
    for path in ("/v1/events", "/v1/score"):
        headers = {
            "Authorization": f"Bearer {shop.usual_key(path)}",
            "Content-Type": "application/json",
        }
        for depth in range(800, 1_010, 10):
            value = "[" * depth + "]" * depth
            body = f'{{"contract":"orders","amount_cents":{value},"event_id":{value}}}'
            answer = shop.client.post(path, content=body, headers=headers)
            assert answer.status_code in {200, 422}, (depth, answer.text[:300])
