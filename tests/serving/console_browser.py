"""A browser in front of the console: cookies, the forms' tokens, and a clock that stands still until told."""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import httpx
from starlette.applications import Starlette
from starlette.routing import Mount

from serving.console.all_routes import ALL_ROUTES
from serving.console.console_app import console_app
from serving.console.page_request import ConsoleRoute
from serving.console.sign_in import add_user
from serving.domain.console_user import ConsoleRole
from serving.in_force.model_watch import ModelWatch
from serving.in_force.policy_activation import PolicyFile, active_policy
from serving.in_force.policy_watch import PolicyInForce
from serving.requests.request_scope import RequestScope, StoreDoor
from serving.requests.store_access import StoreAccess
from tests.builders import ms
from tests.serving.shadow_desk import KnownModels

START = ms("2026-06-01T10:00:00")
MINUTE = 60_000
PASSWORD = "correct horse battery"  # noqa: S105 - of users of the tests
ORIGIN = "https://console.test"


@dataclass
class Clock:
    now: int = START

    def __call__(self) -> int:
        return self.now


@dataclass
class ConsoleServer:
    """The console on a migrated store, in this process. Use as a context manager."""

    database_url: str
    routes: Sequence[ConsoleRoute] = ALL_ROUTES
    clock: Clock = field(default_factory=Clock)
    public_url: str = "https://pay.example"

    def __enter__(self) -> Self:
        self._runner = asyncio.Runner()
        door = StoreDoor(self.database_url)
        active = active_policy(door.open(), lambda: PolicyFile.read(None), now_ms=self.clock())
        self.scope = RequestScope(
            door=door,
            watch=ModelWatch(
                KnownModels(),
                "invoice-eligibility",
                poll_seconds=60.0,
                on_change=lambda: None,
            ),
            policy_in_force=PolicyInForce(policy=active.policy),
            public_url=self.public_url,
            now_ms=self.clock,
        )
        self.access = StoreAccess()
        self.access.start(self.scope, threads=2 if self.database_url.startswith("postgresql") else 0)
        self.app = console_app(self.access, self.routes)
        self._mounted = Starlette(routes=[Mount("/console", self.app)])
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.access.stop()
        self._runner.close()
        self.scope.door.close()

    def add_user(self, name: str, role: ConsoleRole) -> None:
        add_user(self.scope.store, name=name, role=role.value, password=PASSWORD, now_ms=self.clock())

    def browser(self) -> "Browser":
        return Browser(self)

    def signed_in(self, role: ConsoleRole) -> "Browser":
        """A browser signed in as a user of this role, who is added where needed."""
        name = f"{role.value}-user"
        with self.scope.store.reading() as tx:
            known = tx.execute("SELECT 1 FROM console_users WHERE name = ?", (name,))
        if not known:
            self.add_user(name, role)
        browser = self.browser()
        answer = browser.sign_in(name)
        assert answer.status_code == 303, answer.text
        return browser

    def rows(self) -> dict[str, list[tuple[Any, ...]]]:
        """Everything in the store, but for when sessions were last used."""
        from serving.store.tables import metadata

        with self.scope.store.reading() as tx:
            return {
                table.name: sorted(
                    tx.execute(
                        f"SELECT {', '.join(c.name for c in table.columns if c.name != 'last_used_at_ms')} "
                        f"FROM {table.name}"
                    ),
                    key=repr,
                )
                for table in metadata.sorted_tables
            }

    def ask(
        self, cookies: httpx.Cookies, method: str, path: str, *, failing: bool = False, **options: Any
    ) -> httpx.Response:
        """One request. failing: an exception of the page is expected, and its answer wanted."""

        async def answer() -> httpx.Response:
            transport = httpx.ASGITransport(self._mounted, raise_app_exceptions=not failing)
            async with httpx.AsyncClient(transport=transport, base_url=ORIGIN, cookies=cookies) as client:
                response = await client.request(method, path, **options)
                # The cookies come back as they are after the answer, expired ones gone.
                cookies.jar.clear()
                for cookie in client.cookies.jar:
                    cookies.jar.set_cookie(cookie)
                return response

        return self._runner.run(answer())


class Browser:
    """Keeps cookies and follows no redirect."""

    def __init__(self, server: ConsoleServer) -> None:
        self._server = server
        self.cookies = httpx.Cookies()

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self._server.ask(self.cookies, "GET", f"/console{path}", **options)

    def head(self, path: str) -> httpx.Response:
        return self._server.ask(self.cookies, "HEAD", f"/console{path}")

    def post(
        self, path: str, fields: dict[str, str] | None = None, *, token: str | None = "", **options: Any
    ) -> httpx.Response:
        """Send a form. token: the session's own by default; None for a form without one."""
        data = dict(fields or {})
        if token is not None:
            data["csrf_token"] = token or self.token()
        return self._server.ask(self.cookies, "POST", f"/console{path}", data=data, **options)

    def token(self) -> str:
        """The CSRF token in the forms that the console shows to this browser."""
        page = self.get("/sign-in")
        if page.status_code == 303:
            page = self.get("/no-such-page-but-the-frame")
        return token_in(page.text)

    def sign_in(self, name: str, password: str = PASSWORD, **fields: str) -> httpx.Response:
        token = token_in(self.get("/sign-in").text)
        return self.post("/sign-in", {"name": name, "password": password, **fields}, token=token)


def token_in(html: str) -> str:
    found = re.search(r'name="csrf_token" value="([0-9a-f]{64})"', html)
    assert found, html
    return found.group(1)
