import json
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from click.testing import CliRunner, Result
from starlette.responses import Response

import bonitas
from serving.console import sign_in
from serving.console.cookies import SESSION_COOKIE
from serving.console.page_request import EVERYONE, ConsoleRoute, PageRequest
from serving.console.sign_in import SignInLocked, begin_try
from serving.domain.console_user import (
    ABSOLUTE_MS,
    FAILURES_ALLOWED,
    IDLE_MS,
    LOCK_MS,
    ConsoleRole,
    UserInvalid,
)
from serving.store.store import Store
from tests.serving.conftest import written_by_another
from tests.serving.console_browser import MINUTE, ORIGIN, PASSWORD, START, Browser, ConsoleServer

NAME = "kim.larsen"
ANOTHER_PASSWORD = PASSWORD[::-1]


async def show_start(page: PageRequest) -> Response:
    return page.render("error.html", title="Start", detail=page.user.name, link_href="/", link_text="x")


async def take_note(page: PageRequest) -> Response:
    fields = await page.form()
    return page.redirect("/", notice=f"Noted: {fields['text']}")


ROUTES = (
    ConsoleRoute(path="/", method="GET", roles=EVERYONE, page=show_start, title="Start"),
    ConsoleRoute(
        path="/admin", method="GET", roles=frozenset({ConsoleRole.ADMIN}), page=show_start, title="Admin"
    ),
    ConsoleRoute(path="/note", method="POST", roles=EVERYONE, page=take_note),
)


@pytest.fixture
def server(database_url: str) -> Iterator[ConsoleServer]:
    with ConsoleServer(database_url, routes=ROUTES) as started:
        started.add_user(NAME, ConsoleRole.FRAUD)
        yield started


@pytest.fixture
def browser(server: ConsoleServer) -> Browser:
    return server.browser()


def session_cookie(answer_headers: list[str]) -> str:
    return next(one for one in answer_headers if one.startswith(f"{SESSION_COOKIE}="))


def test_who_signs_in_comes_to_the_page_that_was_asked_for(server: ConsoleServer, browser: Browser) -> None:
    asked = browser.get("/cases/1?tab=orders&x=a%20b")
    assert asked.status_code == 404  # no such route here; a known one leads to the sign-in page
    asked = browser.get("/?tab=orders")
    assert asked.status_code == 303
    form = browser.get(asked.headers["location"].removeprefix("/console"))
    next_path = re.search(r'name="next" value="([^"]*)"', form.text)
    assert next_path
    answer = browser.sign_in(NAME, next=next_path.group(1))
    assert answer.status_code == 303
    assert answer.headers["location"] == "/console/?tab=orders"
    page = browser.get("/")
    assert page.status_code == 200
    assert NAME in page.text


def test_the_session_cookie_is_kept_from_scripts_from_other_paths_and_from_plain_http(
    server: ConsoleServer, browser: Browser
) -> None:
    cookie = session_cookie(browser.sign_in(NAME).headers.get_list("set-cookie")).lower()
    for part in ("httponly", "secure", "samesite=lax", "path=/console", f"max-age={ABSOLUTE_MS // 1000}"):
        assert part in cookie


def test_only_the_hash_of_a_session_is_stored(server: ConsoleServer, browser: Browser) -> None:
    browser.sign_in(NAME)
    secret = browser.cookies[SESSION_COOKIE]
    assert len(secret) >= 43
    assert secret not in repr(server.rows())
    assert PASSWORD not in repr(server.rows())


def test_a_sign_in_renews_the_session_and_ends_the_one_before(
    server: ConsoleServer, browser: Browser
) -> None:
    browser.sign_in(NAME)
    before = browser.cookies[SESSION_COOKIE]
    with server.scope.store.writing("x") as tx:
        tx.execute("UPDATE console_sessions SET last_used_at_ms = 0")
    browser.sign_in(NAME)
    assert browser.cookies[SESSION_COOKIE] != before
    assert len(server.rows()["console_sessions"]) == 1


@pytest.mark.parametrize("name", [NAME, "nobody", "a\x7fb", "x" * 200])
def test_a_wrong_password_and_an_unknown_name_get_the_same_answer(
    server: ConsoleServer, browser: Browser, name: str
) -> None:
    answer = browser.sign_in(name, "wrong wrong wrong")
    assert answer.status_code == 422
    assert "User name or password are not right." in answer.text
    assert SESSION_COOKIE not in browser.cookies
    assert "wrong wrong" not in answer.text


def test_a_name_that_does_not_exist_costs_the_same_work(
    server: ConsoleServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified = []

    class CountingHasher:
        def verify(self, password_hash: str, _password: str) -> bool:
            verified.append(password_hash.split("$")[:4])
            return True

    known = begin_try(server.scope.store, name=NAME, try_id="1", now_ms=START)
    unknown = begin_try(server.scope.store, name="nobody", try_id="1", now_ms=START)
    assert not sign_in.is_right_password(unknown, "whatever")
    monkeypatch.setattr(sign_in, "_HASHER", CountingHasher())
    assert sign_in.is_right_password(known, PASSWORD)
    assert not sign_in.is_right_password(unknown, PASSWORD)
    assert verified[0] == verified[1], "the same algorithm with the same parameters"
    assert verified[0][1] == "argon2id"


@pytest.mark.parametrize("name", [NAME, "nobody"])
def test_five_failed_tries_lock_a_name_for_a_quarter_of_an_hour(
    server: ConsoleServer, browser: Browser, name: str
) -> None:
    for _ in range(FAILURES_ALLOWED):
        assert browser.sign_in(name, "wrong wrong wrong").status_code == 422
        server.clock.now += MINUTE
    locked = browser.sign_in(name)
    assert locked.status_code == 429
    assert "Try again in 14 min." in locked.text
    assert locked.headers["retry-after"] == str(14 * 60)
    # What is tried while it is locked does not make it last longer.
    server.clock.now += LOCK_MS - MINUTE - 1
    assert browser.sign_in(name).status_code == 429
    server.clock.now += 1
    assert browser.sign_in(name).status_code == (303 if name == NAME else 422)


def test_five_failed_tries_over_a_longer_time_lock_nothing(server: ConsoleServer, browser: Browser) -> None:
    for _ in range(FAILURES_ALLOWED):
        assert browser.sign_in(NAME, "wrong wrong wrong").status_code == 422
        server.clock.now += 4 * MINUTE
    assert browser.sign_in(NAME).status_code == 303


def test_a_success_forgets_the_failures_before(server: ConsoleServer, browser: Browser) -> None:
    for _ in range(3):
        for _ in range(FAILURES_ALLOWED - 1):
            assert server.browser().sign_in(NAME, "wrong wrong wrong").status_code == 422
        assert server.browser().sign_in(NAME).status_code == 303


def test_the_lock_of_one_name_is_not_the_lock_of_another(server: ConsoleServer, browser: Browser) -> None:
    for _ in range(FAILURES_ALLOWED):
        browser.sign_in("nobody", "wrong wrong wrong")
    assert browser.sign_in(NAME).status_code == 303


def test_many_tries_at_once_are_still_only_five(store: Store) -> None:
    ready = threading.Barrier(8)

    def try_once(number: int) -> bool:
        ready.wait()
        try:
            begin_try(store, name=NAME, try_id=str(number), now_ms=START)
        except SignInLocked:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(try_once, range(8))) == FAILURES_ALLOWED


def test_failed_names_are_not_stored_because_passwords_are_typed_there(
    server: ConsoleServer, browser: Browser
) -> None:
    browser.sign_in("my-secret-password", "wrong wrong wrong")
    assert "my-secret-password" not in repr(server.rows())
    server.clock.now += 2 * LOCK_MS
    browser.sign_in("another", "wrong wrong wrong")
    assert len(server.rows()["sign_in_failures"]) == 1


def test_a_session_ends_after_half_an_hour_of_rest(server: ConsoleServer, browser: Browser) -> None:
    browser.sign_in(NAME)
    server.clock.now += IDLE_MS - 1
    assert browser.get("/").status_code == 200
    server.clock.now += IDLE_MS - 1
    assert browser.get("/").status_code == 200
    server.clock.now += IDLE_MS
    assert browser.get("/").status_code == 303


def test_a_session_ends_after_twelve_hours_of_work(server: ConsoleServer, browser: Browser) -> None:
    browser.sign_in(NAME)
    for _ in range(ABSOLUTE_MS // (20 * MINUTE) - 1):
        server.clock.now += 20 * MINUTE
        assert browser.get("/").status_code == 200
    server.clock.now += 20 * MINUTE
    assert browser.get("/").status_code == 303


def test_a_page_left_open_that_refreshes_itself_does_not_keep_its_session_alive(
    server: ConsoleServer, browser: Browser
) -> None:
    browser.sign_in(NAME)
    for _ in range(2):
        server.clock.now += IDLE_MS // 2 - 1
        assert browser.get("/", headers={"Bonitas-Refresh": "1"}).status_code == 200
    server.clock.now += 2
    refreshed = browser.get("/", headers={"Bonitas-Refresh": "1"})
    assert refreshed.status_code == 403, "a fragment is not replaced by the sign-in page"


def test_signing_out_ends_the_session_for_whoever_has_the_cookie(
    server: ConsoleServer, browser: Browser
) -> None:
    browser.sign_in(NAME)
    thief = server.browser()
    thief.cookies.set(SESSION_COOKIE, browser.cookies[SESSION_COOKIE], domain="console.test", path="/console")
    assert thief.get("/").status_code == 200
    answer = browser.post("/sign-out")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/console/sign-in"
    assert SESSION_COOKIE not in browser.cookies
    assert thief.get("/").status_code == 303


def test_a_forged_sign_out_changes_nothing(server: ConsoleServer, browser: Browser) -> None:
    browser.sign_in(NAME)
    assert browser.post("/sign-out", token=None).status_code == 403
    assert browser.post("/sign-out", token="0" * 64).status_code == 403
    assert browser.get("/").status_code == 200


def test_another_password_ends_the_sessions_and_lifts_the_lock(
    server: ConsoleServer, browser: Browser
) -> None:
    browser.sign_in(NAME)
    for _ in range(FAILURES_ALLOWED):
        server.browser().sign_in(NAME, "wrong wrong wrong")
    sign_in.set_password(server.scope.store, name=NAME, password=ANOTHER_PASSWORD, now_ms=server.clock.now)
    assert browser.get("/").status_code == 303
    assert browser.sign_in(NAME).status_code == 422
    assert browser.sign_in(NAME, ANOTHER_PASSWORD).status_code == 303


def test_a_disabled_user_is_out_at_once_and_stays_out(server: ConsoleServer, browser: Browser) -> None:
    browser.sign_in(NAME)
    sign_in.disable_user(server.scope.store, name=NAME, now_ms=server.clock.now)
    assert browser.get("/").status_code == 303
    assert browser.sign_in(NAME).status_code == 422
    with pytest.raises(UserInvalid):
        sign_in.set_password(server.scope.store, name=NAME, password="x" * 20, now_ms=START)
    with pytest.raises(UserInvalid, match="there is or was"):
        server.add_user(NAME, ConsoleRole.ADMIN)


def test_a_password_changed_while_the_old_one_was_verified_lets_nobody_in(server: ConsoleServer) -> None:
    store = server.scope.store
    tried = begin_try(store, name=NAME, try_id="1", now_ms=START)
    assert sign_in.is_right_password(tried, PASSWORD)
    sign_in.set_password(store, name=NAME, password=ANOTHER_PASSWORD, now_ms=START)
    secret = sign_in.new_secret()
    assert not sign_in.sign_in(store, tried, session_secret=secret, old_secret=None, now_ms=START)
    assert sign_in.session(store, secret, now_ms=START) is None


@pytest.mark.parametrize(
    ("name", "role", "password"),
    [
        ("Kim Larsen", "fraud", PASSWORD),
        ("", "fraud", PASSWORD),
        ("x" * 41, "fraud", PASSWORD),
        ("kim", "root", PASSWORD),
        ("kim", "fraud", "elevenchars"),
        ("kim", "fraud", "x" * 1001),
    ],
)
def test_an_odd_name_an_unknown_role_and_a_short_password_are_refused(
    store: Store, name: str, role: str, password: str
) -> None:
    with pytest.raises(UserInvalid):
        sign_in.add_user(store, name=name, role=role, password=password, now_ms=START)
    assert sign_in.users(store) == []


def test_the_first_user_is_made_once_and_can_sign_in(database_url: str) -> None:
    with ConsoleServer(database_url, routes=ROUTES) as server:
        password = sign_in.first_user(server.scope.store, START)
        assert password is not None
        assert sign_in.first_user(server.scope.store, START) is None
        assert server.browser().sign_in(sign_in.FIRST_USER_NAME, password).status_code == 303


def test_a_sign_in_form_of_another_browser_is_refused(server: ConsoleServer, browser: Browser) -> None:
    stranger = server.browser().token()
    refused = browser.post("/sign-in", {"name": NAME, "password": PASSWORD}, token=stranger)
    assert refused.status_code == 403
    assert browser.post("/sign-in", {"name": NAME, "password": PASSWORD}, token=None).status_code == 403
    assert SESSION_COOKIE not in browser.cookies
    assert server.rows()["sign_in_failures"] == []
    # The form that comes with the refusal works, so that nobody is stuck.
    assert browser.sign_in(NAME).status_code == 303


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_form_sent_from_another_site_is_refused_even_with_the_token(
    server: ConsoleServer, browser: Browser, headers: dict[str, str]
) -> None:
    browser.sign_in(NAME)
    assert browser.post("/note", {"text": "x"}, headers=headers).status_code == 403
    token = server.browser().token()
    other = server.browser().post(
        "/sign-in", {"name": NAME, "password": PASSWORD}, token=token, headers=headers
    )
    assert other.status_code == 403


@pytest.mark.parametrize("origin", [ORIGIN, "https://pay.example"])
def test_a_form_sent_from_our_own_pages_is_taken(
    server: ConsoleServer, browser: Browser, origin: str
) -> None:
    browser.sign_in(NAME)
    headers = {"Origin": origin, "Sec-Fetch-Site": "same-origin"}
    assert browser.post("/note", {"text": "x"}, headers=headers).status_code == 303


def test_a_token_counts_for_its_own_session_only(server: ConsoleServer, browser: Browser) -> None:
    browser.sign_in(NAME)
    other = server.browser()
    other.sign_in(NAME)
    assert browser.post("/note", {"text": "x"}, token=other.token()).status_code == 403
    assert browser.post("/note", {"text": "x"}, token=None).status_code == 403
    beyond_ascii = "ü"
    assert browser.post("/note", {"text": "x"}, token=beyond_ascii).status_code == 403
    assert browser.post("/note", {"text": "x"}).status_code == 303


def test_a_form_may_not_be_large_repeated_binary_or_of_another_kind(
    server: ConsoleServer, browser: Browser
) -> None:
    browser.sign_in(NAME)
    token = browser.token()
    form = {"Content-Type": "application/x-www-form-urlencoded"}

    def status(body: bytes, headers: dict[str, str] = form) -> int:
        return server.ask(browser.cookies, "POST", "/console/note", content=body, headers=headers).status_code

    good = f"csrf_token={token}&text=".encode()
    assert status(good + b"a%0Db") == 303
    assert status(good + b"x&text=y") == 400
    assert status(good + b"a%00b") == 400
    assert status(good + b"%ff") == 400
    assert status(good + "ü".encode()) == 400
    assert status(good + b"x" * 65_536) == 413
    assert status(good + b"x", {"Content-Type": "text/plain"}) == 415
    assert status(good + b"x", {}) == 415
    assert status(good + b"x", {**form, "Content-Encoding": "identity, gzip"}) == 415


def test_a_notice_is_shown_once_on_the_next_page_and_is_no_markup(
    server: ConsoleServer, browser: Browser
) -> None:
    browser.sign_in(NAME)
    browser.post("/note", {"text": "<b>bold</b>"})
    browser.head("/")
    page = browser.get("/")
    assert "Noted: &lt;b&gt;bold&lt;/b&gt;" in page.text
    assert "Noted" not in browser.get("/").text


def test_the_navigation_shows_what_the_role_may_see_and_where_one_is(server: ConsoleServer) -> None:
    page = server.signed_in(ConsoleRole.ANALYST).get("/")
    assert "Admin</a>" not in page.text
    assert 'href="/console/" aria-current="page">Start</a>' in page.text
    page = server.signed_in(ConsoleRole.ADMIN).get("/admin")
    assert 'href="/console/admin" aria-current="page">Admin</a>' in page.text


@pytest.mark.parametrize("role", ConsoleRole)
def test_a_page_is_for_its_roles_only(server: ConsoleServer, role: ConsoleRole) -> None:
    browser = server.signed_in(role)
    assert browser.get("/").status_code == 200
    assert browser.get("/admin").status_code == (200 if role is ConsoleRole.ADMIN else 403)


def test_a_role_that_may_not_see_the_first_page_begins_at_its_own(database_url: str) -> None:
    routes = (
        ConsoleRoute(
            path="/", method="GET", roles=frozenset({ConsoleRole.FRAUD}), page=show_start, title="Queue"
        ),
        ConsoleRoute(path="/decisions", method="GET", roles=EVERYONE, page=show_start, title="Decisions"),
    )
    with ConsoleServer(database_url, routes=routes) as server:
        server.add_user(NAME, ConsoleRole.ANALYST)
        browser = server.browser()
        assert browser.sign_in(NAME).headers["location"] == "/console/decisions"
        assert browser.get("/sign-in").headers["location"] == "/console/decisions"
        assert 'class="brand" href="/console/decisions"' in browser.get("/decisions").text


@pytest.mark.parametrize(
    "wanted",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "/console/\\evil",
        "/console//evil.example",
        "/console/../v1/orders",
        "/console/%2e%2e/v1",
        "/console/sign-out",
        "javascript:alert(1)",
        "/consolexyz",
        "/console/\nx",
        "/v1/score",
    ],
)
def test_a_sign_in_leads_nowhere_but_to_the_console(
    server: ConsoleServer, browser: Browser, wanted: str
) -> None:
    assert browser.sign_in(NAME, next=wanted).headers["location"] == "/console/"
    assert browser.get("/sign-in", params={"next": wanted}).headers["location"] == "/console/"


def test_without_its_store_the_console_says_so(
    server: ConsoleServer, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    from serving.requests.request_scope import StoreDoor
    from serving.store.errors import StoreUnavailable

    def closed(_door: StoreDoor) -> Store:
        raise StoreUnavailable("down")

    browser.sign_in(NAME)
    monkeypatch.setattr(StoreDoor, "open", closed)
    answer = browser.get("/")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert "The store is unavailable" in answer.text


def test_while_another_process_writes_pages_are_shown_at_once_and_changes_are_told_as_not_done(
    server: ConsoleServer, browser: Browser, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser.sign_in(NAME)
    token = browser.token()
    server.clock.now += 2 * MINUTE
    before = server.rows()
    with written_by_another(database_url, "console_sessions"):
        # Its use of the session is due to be noted, and not worth a wait.
        assert browser.get("/").status_code == 200
        monkeypatch.setattr("serving.requests.request_patience.LOCK_WAIT_S", 0.1)
        refused = browser.post("/sign-out", token=token)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert "Nothing was changed." in refused.text
    assert server.rows() == before
    assert browser.get("/").status_code == 200


def test_what_was_done_is_not_told_as_undone_where_its_notice_cannot_be_kept(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.requests.request_patience.LOCK_WAIT_S", 0.1)
    with ExitStack() as locks:

        async def done_before_a_lock(page: PageRequest) -> Response:
            locks.enter_context(written_by_another(database_url, "console_sessions"))
            return page.redirect("/", notice="Done")

        routes = (
            *ROUTES,
            ConsoleRoute(path="/do", method="POST", roles=EVERYONE, page=done_before_a_lock),
        )
        with ConsoleServer(database_url, routes=routes) as server:
            browser = server.signed_in(ConsoleRole.FRAUD)
            assert browser.post("/do").headers["location"] == "/console/"
            locks.close()
            assert "Done" not in browser.get("/").text


def test_the_command_line_prints_a_password_that_it_makes_and_none_that_it_is_given(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BONITAS_DATABASE_URL", database_url)

    def run(*arguments: str, typed: str | None = None) -> Result:
        return CliRunner().invoke(bonitas.main, ["users", *arguments], input=typed)

    made = run("add", "kim", "--role", "fraud").stdout.strip()
    given = run("add", "lee", "--role", "admin", "--password-stdin", typed=f"{PASSWORD}\n")
    assert given.exit_code == 0
    assert PASSWORD not in given.output
    assert run("add", "kim", "--role", "admin").exit_code == 1
    assert run("add", "bo", "--role", "admin", "--password-stdin", typed="short\n").exit_code == 1
    with ConsoleServer(database_url, routes=ROUTES) as server:
        assert server.browser().sign_in("kim", made).status_code == 303
        assert server.browser().sign_in("lee").status_code == 303
        assert run("disable", "lee").exit_code == 0
        assert server.browser().sign_in("lee").status_code == 422
        renewed = json.loads(run("password", "kim", "--json").stdout)["password"]
        assert server.browser().sign_in("kim", made).status_code == 422
        assert server.browser().sign_in("kim", renewed).status_code == 303
    assert json.loads(run("list", "--json").stdout)["users"] == [
        {"name": "kim", "role": "fraud", "disabled": False},
        {"name": "lee", "role": "admin", "disabled": True},
    ]
