"""The API behind its door in this process, on a store of its own, and what its answers were."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

import httpx
from starlette.responses import Response

from serving.api.domain_problems import problem_of_any
from serving.domain.policy_reader import parse_policy
from serving.in_force.policy_watch import PolicyInForce
from serving.requests.door import Door
from serving.requests.route_declaration import RouteDeclaration
from serving.requests.store_access import StoreAccess
from serving.route_table import route_table
from serving.store.api_keys import Role, create_key
from serving.store.case_queue import update_case
from serving.store.errors import CommitUnknown, StoreUnavailable
from serving.store.idempotency import StoredAnswer, keep_answer
from serving.store.open_store import open_store
from tests.builders import DAY, a_customer, a_merchant
from tests.serving.case_desk import START, CaseDesk
from tests.serving.http.published_contract import PublishedContract
from tests.serving.shadow_desk import POLICY_TEXT, KnownModels, ShadowDesk, a_model

SECOND = 1_000
BODY_SECONDS = 0.02
KEY_OF_ANOTHER_REQUEST = "was-used-for-another-request"
NOT_THERE = {
    "order_id": "nothing",
    "decision_id": "nothing",
    "return_id": "nothing",
    "event_id": "nothing",
    "case_id": "nothing",
    "stop_request_id": "nothing",
    "delivery_id": "nothing",
    "dispute_id": "nothing",
}


async def _nothing(_request: Any) -> Response:
    return Response()


class _Failing:
    """A way to the store on which nothing is looked up, or no commit is confirmed."""

    def __init__(self, way: Any, *, looks_up: bool) -> None:
        self._way, self._looks_up = way, looks_up

    async def read(self, work: Callable[[], Any]) -> Any:
        return await self._way.read(work)

    async def look_up(self, work: Callable[[], Any]) -> Any:
        if not self._looks_up:
            raise StoreUnavailable("it is down")
        return await self._way.look_up(work)

    async def read_beside(self, work: Callable[[], Any]) -> Any:
        return await self._way.read_beside(work)

    async def write(self, work: Callable[[], Any], *, waits: bool = True) -> Any:  # noqa: ARG002 - as the real one
        raise CommitUnknown("the connection broke")


class ProblemProbe:
    """Sends requests, and keeps which problem each route answered. Use as a context manager.

    seen: name of the route, and kind of the problem.
    """

    def __init__(self, database_url: str) -> None:
        self.seen: set[tuple[str, str]] = set()
        self._contract = PublishedContract()
        self._database_url = database_url

    def __enter__(self) -> Self:
        self._runner = asyncio.Runner()
        self.store = open_store(self._database_url)
        self.checkout = ShadowDesk(self.store, self._database_url, KnownModels(a_model("1")), now=START)
        self.cases = CaseDesk(self.store, parse_policy(POLICY_TEXT), now=START)
        example = a_merchant("merchant-1", event_id="merchant-of-examples", at=START - 500 * DAY)
        self.checkout.row("merchants", example)
        self.customer("customer-1")
        self._keys = {
            role: self._key(role.value, role, "merchant-1" if role is Role.MERCHANT else None)
            for role in Role
        }
        self.second_reviewer = self._key("second-reviewer", Role.FRAUD)
        self.expired = self._key("expired", Role.CHECKOUT, expires_at_ms=self.now + 1)
        with self.store.writing("test") as tx:
            for role in Role:
                kept = StoredAnswer(request_sha256="another's", status=200, answer="{}")
                keep_answer(tx, caller=role.value, key=KEY_OF_ANOTHER_REQUEST, answer=kept, now_ms=self.now)
        self.access = StoreAccess()
        self.access.start(self.checkout.scope(), threads=0)
        self._door, self.routes = self._behind_a_door(self.access)
        self._closed_door, _ = self._behind_a_door(StoreAccess())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.access.stop()
        self._runner.close()
        self.store.close()

    def _key(self, name: str, role: Role, merchant_id: str | None = None, **more: Any) -> str:
        return create_key(
            self.store, name=name, role=role.value, merchant_id=merchant_id, now_ms=self.now, **more
        )

    def _behind_a_door(self, access: StoreAccess) -> tuple[Door, dict[str, RouteDeclaration]]:
        routes = route_table(access, ready=Response, metrics=_nothing)

        async def behind(_scope: Any, _receive: Any, _send: Any) -> None:
            raise AssertionError("every route of the API has its handler")

        door = Door(
            behind, access=access, routes=routes, problem_of=problem_of_any, body_seconds=BODY_SECONDS
        )
        return door, {route.name: route for route in routes if route.name}

    @property
    def now(self) -> int:
        return max(self.checkout.now, self.cases.now)

    def later(self, milliseconds: int = SECOND) -> None:
        self.checkout.now = self.cases.now = self.now + milliseconds

    def customer(self, customer_id: str) -> None:
        row = a_customer(customer_id, event_id=f"customer-{customer_id}", at=START - 400 * DAY)
        self.checkout.row("customers", {**row, "personal_data_confirmed_at": START - 10 * DAY})

    def usual_key(self, route: RouteDeclaration) -> str:
        usual = (Role.LEDGER, Role.CHECKOUT, Role.FRAUD, Role.MERCHANT, Role.PORTAL)
        return self._keys[next(role for role in usual if role in route.roles)]

    def key_of(self, role: Role) -> str:
        return self._keys[role]

    def merchant_key(self, merchant_id: str) -> str:
        return self._key(f"key-of-{merchant_id}", Role.MERCHANT, merchant_id)

    def send(
        self,
        name: str,
        *,
        key: str | None = None,
        body: Any = None,
        content: bytes | AsyncIterator[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | list[tuple[str, str]] | None = None,
        is_started: bool = True,
        twice: str | None = None,
        **ids: str,
    ) -> httpx.Response:
        """The example of a route, but for what is given. key: "" for none; twice: a header to send so."""
        route = self.routes[name]
        assert route.example is not None
        path = route.path.format(**{**route.example.path, **ids})
        sent = dict(headers or {})
        key = self.usual_key(route) if key is None else key
        if key:
            sent.setdefault("Authorization", f"Bearer {key}")
        if content is None:
            body = route.example.body if body is None else body
        else:
            sent.setdefault("Content-Type", "application/json")
        again = [] if twice is None else [(twice, "one"), (twice, "another")]
        self.later()
        door = self._door if is_started else self._closed_door

        async def answer() -> httpx.Response:
            transport = httpx.ASGITransport(door)
            async with httpx.AsyncClient(transport=transport, base_url="http://probe") as client:
                return await client.request(
                    route.method,
                    path,
                    params=query,
                    headers=[*sent.items(), *again],
                    json=body,
                    content=content,
                )

        response = self._runner.run(answer())
        self._contract.check(response)
        if response.headers["content-type"].startswith("application/problem"):
            self.seen.add((name, response.json()["type"].rpartition(":")[2]))
        return response

    def done(self, name: str, **options: Any) -> httpx.Response:
        """A request that leads to what is asked for next."""
        response = self.send(name, **options)
        assert response.status_code < 300, f"{name}: {response.text}"
        return response

    @contextmanager
    def failing(self, *, looks_up: bool) -> Iterator[None]:
        """A store where no key is looked up, or no commit is confirmed."""
        way = self.access._way
        self.access._way = _Failing(way, looks_up=looks_up)
        # A fresh scope remembers no key.
        self._under(self._policy_in_force())
        try:
            yield
        finally:
            self.access._way = way

    @contextmanager
    def under_policy(self, changes: Mapping[str, str]) -> Iterator[None]:
        """Another policy in force. changes: texts in the policy's file, and what stands there instead."""
        text = POLICY_TEXT
        for before, after in changes.items():
            assert before in text
            text = text.replace(before, after)
        usual = self._policy_in_force()
        self._under(PolicyInForce(policy=parse_policy(text)))
        yield
        self._under(usual)

    @contextmanager
    def under_no_policy(self) -> Iterator[None]:
        usual = self._policy_in_force()
        self._under(replace(usual, technical_reason="it cannot be read"))
        yield
        self._under(usual)

    def _policy_in_force(self) -> PolicyInForce:
        assert self.access.scope is not None
        return self.access.scope.policy_in_force

    def _under(self, policy: PolicyInForce) -> None:
        assert self.access.scope is not None
        self.access.scope = replace(self.access.scope, policy_in_force=policy)

    def case(self, number: str) -> str:
        """A case about a new order that nobody has looked at."""
        self.later()
        self.cases.order(number)
        self.later(0)
        return f"case{number}"

    def unreachable_case(self, number: str) -> str:
        """A case whose order was placed before anything about its customer was verified."""
        case_id = self.case(number)
        stored = self.cases.stored(case_id)
        moved = replace(
            stored,
            stakes=replace(stored.stakes, ordered_at_ms=0),
            case=replace(stored.case, version=stored.case.version + 1),
        )
        with self.store.writing("test") as tx:
            update_case(tx, moved, version_before=stored.case.version)
        return case_id
