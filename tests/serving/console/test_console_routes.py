"""Walks the console's route table, so that no new route can be forgotten."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.responses import Response
from starlette.routing import Route

from data_contracts.merchants import MERCHANTS
from serving.console.all_routes import ALL_ROUTES
from serving.console.answer_headers import CONTENT_SECURITY_POLICY
from serving.console.cookies import SESSION_COOKIE
from serving.console.page_request import EVERYONE, ConsoleRoute, PageRequest
from serving.console.templating import STATIC_FILES, static_url
from serving.domain.console_user import ConsoleRole
from serving.store.api_keys import Role, create_key
from serving.store.ledger import append
from serving.store.migrate import migrate
from tests.builders import a_merchant
from tests.serving.console_browser import Browser, ConsoleServer

WITHOUT_SESSION = {
    ("/sign-in", "GET"),
    ("/sign-in", "POST"),
    ("/sign-out", "POST"),
    ("/static/{name}", "GET"),
}
"""Routes of the frame itself; test_console_sign_in looks at them one by one."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleServer]:
    url = f"sqlite:///{tmp_path_factory.mktemp('console') / 'bonitas.db'}"
    migrate(url)
    with ConsoleServer(url) as started:
        yield started


@pytest.fixture(scope="module")
def browsers(server: ConsoleServer) -> dict[ConsoleRole, Browser]:
    return {role: server.signed_in(role) for role in ConsoleRole}


def some_path(route: ConsoleRoute) -> str:
    """A path of the route that names nothing that exists."""
    return re.sub(r"\{\w+(:\w+)?\}", "no-such-thing", route.path)


def ask(browser: Browser, route: ConsoleRoute, **options: Any) -> httpx.Response:
    if route.method == "GET":
        options.pop("token", None)
        return browser.get(some_path(route), **options)
    return browser.post(some_path(route), {"text": "x"}, **options)


def assert_headers(answer: httpx.Response) -> None:
    assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert answer.headers["cache-control"] == "no-store"


def each_route(route: ConsoleRoute) -> str:
    return f"{route.method} {route.path}"


def test_every_route_that_answers_is_declared_with_its_roles(server: ConsoleServer) -> None:
    answering = {
        (route.path, method)
        for route in server.app.routes
        if isinstance(route, Route) and route.path != "/{rest:path}"
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert answering == {(route.path, route.method) for route in ALL_ROUTES} | WITHOUT_SESSION


def test_no_route_is_declared_twice_or_with_an_odd_method() -> None:
    declared = [(route.path, route.method) for route in ALL_ROUTES]
    assert len(declared) == len(set(declared))
    assert {route.method for route in ALL_ROUTES} <= {"GET", "POST"}
    assert all(route.roles for route in ALL_ROUTES)


@pytest.mark.parametrize("route", ALL_ROUTES, ids=each_route)
def test_without_a_session_nothing_is_shown_or_done(server: ConsoleServer, route: ConsoleRoute) -> None:
    before = server.rows()
    for cookie in (None, "made-up", "x" * 10_000):
        browser = server.browser()
        if cookie is not None:
            browser.cookies.set(SESSION_COOKIE, cookie, domain="console.test", path="/console")
        answer = ask(browser, route, token="0" * 64)
        if route.method == "GET":
            assert answer.status_code == 303
            assert answer.headers["location"].startswith("/console/sign-in?next=/console/")
        else:
            assert answer.status_code == 403
        assert_headers(answer)
    assert server.rows() == before


@pytest.mark.parametrize("role", Role)
def test_an_api_key_opens_no_page_of_the_console(server: ConsoleServer, role: Role) -> None:
    merchant_id = "m1" if role is Role.MERCHANT else None
    if merchant_id is not None:
        row = {name: value for name, value in a_merchant(merchant_id).items() if value is not None}
        with server.scope.store.writing(merchant_id) as tx:
            append(tx, MERCHANTS, row, server.clock.now)
    key = create_key(
        server.scope.store, name=role.value, role=role.value, merchant_id=merchant_id, now_ms=server.clock.now
    )
    before = server.rows()
    for route in ALL_ROUTES:
        answer = ask(server.browser(), route, token="0" * 64, headers={"Authorization": f"Bearer {key}"})
        assert answer.status_code == (303 if route.method == "GET" else 403)
    assert server.rows() == before


@pytest.mark.parametrize("route", ALL_ROUTES, ids=each_route)
def test_a_role_that_is_not_the_routes_is_refused(
    server: ConsoleServer, browsers: dict[ConsoleRole, Browser], route: ConsoleRoute
) -> None:
    before = server.rows()
    for role in set(ConsoleRole) - route.roles:
        answer = ask(browsers[role], route)
        assert answer.status_code == 403
        assert f"The role {role.value} does not allow this." in answer.text
        assert_headers(answer)
    assert server.rows() == before


@pytest.mark.parametrize("route", [one for one in ALL_ROUTES if one.method != "GET"], ids=each_route)
def test_a_form_without_the_sessions_own_token_is_refused(
    server: ConsoleServer, browsers: dict[ConsoleRole, Browser], route: ConsoleRoute
) -> None:
    other = server.signed_in(min(route.roles, key=lambda role: role.value)).token()
    before = server.rows()
    for role in route.roles:
        for token in (None, "forged", "0" * 64, other):
            answer = ask(browsers[role], route, token=token)
            assert answer.status_code == 403
            assert "The form was not from this session." in answer.text
            assert_headers(answer)
    assert server.rows() == before


@pytest.mark.parametrize("route", [one for one in ALL_ROUTES if one.method == "GET"], ids=each_route)
def test_a_page_answers_its_roles_and_head_as_get(
    browsers: dict[ConsoleRole, Browser], route: ConsoleRoute
) -> None:
    for role in route.roles:
        answer = ask(browsers[role], route)
        assert answer.status_code == (404 if "{" in route.path else 200), answer.text
        assert_headers(answer)
        assert browsers[role].head(some_path(route)).status_code == answer.status_code


@pytest.mark.parametrize("route", [one for one in ALL_ROUTES if one.method == "GET"], ids=each_route)
def test_no_page_needs_what_the_content_security_policy_forbids(
    browsers: dict[ConsoleRole, Browser], route: ConsoleRoute
) -> None:
    for role in route.roles:
        html = ask(browsers[role], route).text
        assert not re.search(r"\sstyle\s*=|<style|\son[a-z]+\s*=|javascript:|<script(?![^>]*\ssrc=)", html)
        for address in re.findall(r'(?:src|href|action)="([^"]*)"', html):
            assert address.startswith(("/console/", "#", "data:,", "?")), address


def test_an_unknown_path_and_a_wrong_method_get_a_page_of_the_console(
    server: ConsoleServer, browsers: dict[ConsoleRole, Browser]
) -> None:
    for browser in (server.browser(), browsers[ConsoleRole.ADMIN]):
        missing = browser.get("/no/such/page")
        assert missing.status_code == 404
        assert "Not Found" in missing.text
        wrong = browser.get("/sign-out")
        assert wrong.status_code == 405
        assert wrong.headers["allow"] == "POST"
        assert_headers(missing)
        assert_headers(wrong)


def test_a_page_that_fails_says_so_without_telling_why(server: ConsoleServer) -> None:
    async def fail(_page: PageRequest) -> Response:
        raise RuntimeError("a secret in a message")

    route = ConsoleRoute(path="/", method="GET", roles=EVERYONE, page=fail)
    with ConsoleServer(server.database_url, routes=(route,)) as failing:
        browser = failing.signed_in(ConsoleRole.FRAUD)
        answer = browser.get("/", failing=True)
    assert answer.status_code == 500
    assert "a secret" not in answer.text
    assert_headers(answer)


def test_static_files_are_a_closed_list_and_never_go_stale(server: ConsoleServer) -> None:
    browser = server.browser()
    for name in ("console.css", "console.js"):
        answer = browser.get(static_url(name).removeprefix("/console"))
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
        assert answer.headers["content-type"].startswith(("text/css", "text/javascript"))
    folder = Path(__file__).parents[3] / "serving" / "console" / "static"
    assert len(STATIC_FILES) == len(list(folder.iterdir()))
    for path in ("/static/console.css", "/static/..%2fconsole_app.py", "/static/console-0.css"):
        assert browser.get(path).status_code == 404


LIGHT_AND_DARK = (
    ("text", "page"),
    ("text", "surface"),
    ("text", "raised"),
    ("quiet", "page"),
    ("quiet", "surface"),
    ("quiet", "raised"),
    ("accent", "page"),
    ("accent", "surface"),
    ("accent", "info-surface"),
    ("accent-strong", "page"),
    ("on-accent", "accent"),
    ("on-accent", "accent-strong"),
    ("danger", "surface"),
    ("danger", "page"),
    ("danger", "danger-surface"),
    ("on-danger", "danger"),
    ("on-danger", "danger-strong"),
    ("good", "good-surface"),
    ("warning", "warning-surface"),
    ("text", "danger-surface"),
    ("text", "warning-surface"),
    ("text", "info-surface"),
    ("quiet", "info-surface"),
)
"""Every pair of text and ground in console.css."""


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_text_can_be_read_in_light_and_in_dark() -> None:
    css = next(file.content for file in STATIC_FILES.values() if file.media_type == "text/css").decode()
    light, dark = css.split("prefers-color-scheme: dark", 1)
    for scheme in (light, dark):
        colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", scheme))
        for text, ground in LIGHT_AND_DARK:
            assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
        for line in ("control", "accent"):
            for ground in ("page", "surface"):
                assert contrast(colours[line], colours[ground]) >= 3.0, (line, ground)
