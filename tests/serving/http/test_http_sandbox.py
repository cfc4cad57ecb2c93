"""A sandbox over real HTTP: deadlines pass in seconds, for the service, its worker and the commands alike."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result

import bonitas
from data_contracts.instants import DAY_MS, SECOND_MS, instant_ms
from serving.process.settings import Settings
from serving.store.open_store import open_store
from serving.store.schema_revisions import THIS_CODE
from serving.store.store import now_ms
from tests.serving.http.conftest import Row, Shop
from tests.serving.http.test_http_stop_requests import Desk, opened_desk

WITHIN_SECONDS = 30.0


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with opened_desk(tmp_path_factory.mktemp("sandbox"), is_sandbox=True, processes=2) as desk:
        yield desk


def command(settings: Settings, *arguments: str) -> Result:
    return CliRunner().invoke(bonitas.main, list(arguments), env={"BONITAS_HOME": str(settings.home)})


def advanced(desk: Desk, duration: str) -> Row:
    moved = command(desk.shop.settings, "clock", "advance", duration, "--json")
    assert moved.exit_code == 0, moved.output
    figures: Row = json.loads(moved.stdout)
    return figures


def ahead_ms(instant: str) -> int:
    """How far an instant that somebody stamped is ahead of this machine's clock."""
    return instant_ms(datetime.fromisoformat(instant)) - now_ms()


def seen(look: Callable[[], object], wanted: object) -> object:
    """What a look has come to, once it is what is wanted or too much time has passed."""
    deadline = time.monotonic() + WITHIN_SECONDS
    while (found := look()) != wanted and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def decided_ahead_ms(shop: Shop, order_id: str, customer_id: str) -> int:
    # A connection of its own each time: any of the processes may answer.
    with httpx.Client(base_url=shop.server.url, timeout=20) as client:
        return ahead_ms(replace(shop, client=client).score(order_id, customer_id)["decided_at"])


def test_a_reservation_ends_when_the_clock_has_passed_it(sandbox: Desk) -> None:
    shop = sandbox.shop
    shop.customer("held")
    first = shop.score("o-held", "held")
    assert first["outcome"] == "approved"
    again = shop.score("o-held-2", "held")
    assert again["available_cents"] == first["available_cents"] - 5_000
    advanced(sandbox, "1d")
    # Both orders were to be confirmed within a day.
    assert shop.score("o-held-3", "held")["available_cents"] == first["available_cents"]
    assert shop.post("/v1/orders/o-held/confirm").status_code == 409


def test_every_process_goes_by_the_same_clock_within_a_second(sandbox: Desk) -> None:
    shop = sandbox.shop
    shop.customer("apart")
    before = ahead_ms(json.loads(command(shop.settings, "clock", "show", "--json").stdout)["now"])
    moved = advanced(sandbox, "36h")
    told = [ahead_ms(moved["now"]), *(decided_ahead_ms(shop, f"o-apart-{n}", "apart") for n in range(12))]
    assert all(abs(ahead - before - 36 * 3_600_000) < 60_000 for ahead in told), (before, told)
    # The worker stamps by it too: what it sums up, looks at and sends.
    _, notice = sandbox.stopped("apart")
    stop_request = sandbox.shown(notice["data"]["stop_request_id"], sandbox.team_key).json()
    assert abs(ahead_ms(stop_request["requested_at"]) - told[0]) < 60_000


def test_a_stop_request_ends_unanswered_when_the_clock_has_passed_its_deadline(sandbox: Desk) -> None:
    # The notice carries the machine's time: the merchant's library would take no other.
    advanced(sandbox, "21d")
    _, notice = sandbox.stopped("late")
    stop_request_id = notice["data"]["stop_request_id"]
    assert sandbox.delivery(stop_request_id)["state"] == "delivered"

    def state() -> object:
        return sandbox.shown(stop_request_id, sandbox.team_key).json()["state"]

    assert state() == "requested"
    page = httpx.get(notice["data"]["answer_url"], params={"lang": "en"}, timeout=20)
    assert page.status_code == 200
    assert "Sandbox: nothing here is real." in page.text
    advanced(sandbox, "25h")
    assert seen(state, "expired") == "expired"


def test_the_console_says_that_it_is_a_sandbox_and_what_time_it_is(sandbox: Desk) -> None:
    page = httpx.get(f"{sandbox.shop.server.url}/console/sign-in", timeout=20).text
    assert "<strong>Sandbox</strong>: nothing here is real." in page
    stamped = page.split('role="note"')[1].split('datetime="')[1].split('"')[0]
    shown = json.loads(command(sandbox.shop.settings, "clock", "show", "--json").stdout)
    assert abs(ahead_ms(stamped) - ahead_ms(shown["now"])) < 60_000
    assert f'data-ahead-ms="{shown["ahead_seconds"] * SECOND_MS}"' in page


def test_a_clock_that_was_moved_is_no_clock_that_was_wrong(sandbox: Desk) -> None:
    log = (sandbox.shop.settings.home / "server.log").read_text()
    assert "sandbox_clock" in log
    assert "clock_was_ahead" not in log


def test_in_a_real_store_nothing_moves_the_clock(tmp_path: Path, empty_sqlite: bytes) -> None:
    settings = Settings.from_env({"BONITAS_HOME": str(tmp_path)})
    (tmp_path / "bonitas.db").write_bytes(empty_sqlite)
    made = command(settings, "users", "add", "eva", "--role", "fraud")
    assert made.exit_code == 0, made.output
    for refused, said in (
        (("clock", "advance", "1d"), "the store is no sandbox"),
        (("migrate", "--sandbox"), "the store holds rows (in console_users)"),
        (("clock", "advance", "yesterday"), "yesterday is no duration such as 21d"),
        (("clock", "advance", "--", "-1d"), "-1d is no duration such as 21d"),
        (("clock", "advance", "0d"), "moved forward"),
    ):
        result = command(settings, *refused)
        assert result.exit_code != 0
        assert said in result.output, result.output
    shown = json.loads(command(settings, "clock", "show", "--json").stdout)
    assert (shown["is_sandbox"], shown["ahead_seconds"]) == (False, 0)
    assert abs(ahead_ms(shown["now"])) < DAY_MS
    with closing(open_store(settings.database_url)) as store, store.reading() as tx:
        assert tx.execute("SELECT * FROM sandbox_clock_steps") == []


def test_a_key_for_so_many_days_is_for_days_in_the_sandbox(tmp_path: Path) -> None:
    settings = Settings.from_env({"BONITAS_HOME": str(tmp_path)})
    assert (
        command(settings, "migrate", "--sandbox").output == f"store at revision {THIS_CODE.own}, a sandbox\n"
    )
    assert command(settings, "clock", "advance", "30d").exit_code == 0
    made = command(settings, "keys", "create", "shop", "--role", "checkout", "--expires", "10", "--json")
    assert abs(ahead_ms(json.loads(made.stdout)["expires_at"]) - 40 * DAY_MS) < 60_000
    assert command(settings, "clock", "advance", "10d").exit_code == 0
    (key,) = json.loads(command(settings, "keys", "list", "--json").stdout)["keys"]
    assert key["state"] == "expired"
