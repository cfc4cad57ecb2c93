"""Keys from the first day to the last: made, used, replaced with an overlap, expired, revoked."""

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import bonitas
from command_line import access
from data_contracts.merchants import MERCHANTS
from serving.requests.authentication import REMEMBERED_SECONDS, Authentication
from serving.requests.problem_details import ProblemError
from serving.store.api_keys import (
    USE_NOTED_EVERY_MS,
    Caller,
    Role,
    caller_of,
    create_key,
    list_keys,
    note_use,
    revoke_key,
    rotate_key,
)
from serving.store.errors import ApiKeyError
from serving.store.ledger import append
from serving.store.open_store import open_store
from serving.store.store import Store, now_ms
from tests.builders import DAY, a_merchant

NOW = 1_900_000_000_000
HOUR = 3_600_000


def made(store: Store, name: str = "shop", expires_at_ms: int | None = None) -> str:
    return create_key(
        store, name=name, role="checkout", merchant_id=None, now_ms=NOW, expires_at_ms=expires_at_ms
    )


def opens(store: Store, secret: str, at: int) -> bool:
    with store.reading() as tx:
        caller = caller_of(tx, secret)
    return caller is not None and not caller.has_expired(at)


def test_a_key_that_expires_works_until_that_instant(store: Store) -> None:
    secret = made(store, expires_at_ms=NOW + DAY)
    assert (opens(store, secret, NOW + DAY - 1), opens(store, secret, NOW + DAY)) == (True, False)
    with pytest.raises(ApiKeyError, match="future"):
        made(store, name="late", expires_at_ms=NOW)


def test_a_replaced_secret_works_beside_the_new_one_until_the_overlap_ends(store: Store) -> None:
    first = made(store)
    second = rotate_key(store, name="shop", now_ms=NOW + DAY, overlap_ms=HOUR)
    third = rotate_key(store, name="shop", now_ms=NOW + DAY + 1, overlap_ms=2 * HOUR)
    ends = {first: NOW + DAY + HOUR, second: NOW + DAY + 1 + 2 * HOUR}
    for secret, end in ends.items():
        assert (opens(store, secret, end - 1), opens(store, secret, end)) == (True, False)
    assert opens(store, third, NOW + 10_000 * DAY)
    with store.reading() as tx:
        assert {caller.name for caller in (caller_of(tx, first), caller_of(tx, third)) if caller} == {"shop"}
        rows = tx.execute("SELECT * FROM replaced_api_keys")
        assert all(secret not in str(row) for row in rows for secret in (first, second, third))
    revoke_key(store, name="shop", now_ms=NOW + DAY + 2)
    assert not any(opens(store, secret, NOW + DAY + 3) for secret in (first, second, third))
    with pytest.raises(ApiKeyError, match="no key in force"):
        rotate_key(store, name="shop", now_ms=NOW + 2 * DAY, overlap_ms=HOUR)


def test_a_rotation_lengthens_the_life_of_no_secret_and_of_no_key_unless_it_says_so(store: Store) -> None:
    first = made(store, expires_at_ms=NOW + HOUR)
    second = rotate_key(store, name="shop", now_ms=NOW, overlap_ms=DAY)
    assert [opens(store, secret, NOW + HOUR) for secret in (first, second)] == [False, False]
    with pytest.raises(ApiKeyError, match="has expired"):
        rotate_key(store, name="shop", now_ms=NOW + HOUR, overlap_ms=DAY)
    third = rotate_key(store, name="shop", now_ms=NOW + HOUR, overlap_ms=DAY, expires_at_ms=NOW + DAY)
    assert [opens(store, secret, NOW + HOUR) for secret in (first, second, third)] == [False, False, True]
    assert not opens(store, third, NOW + DAY)


def test_the_list_says_whose_a_key_is_until_when_it_works_and_when_it_was_used(store: Store) -> None:
    for name in ("a", "b", "c"):
        made(store, name=name, expires_at_ms=NOW + DAY if name == "b" else None)
    revoke_key(store, name="c", now_ms=NOW)
    rotate_key(store, name="a", now_ms=NOW, overlap_ms=HOUR)
    # Who notes more often than once a minute writes nothing.
    for at in (NOW, NOW + USE_NOTED_EVERY_MS - 1, NOW + USE_NOTED_EVERY_MS, NOW + USE_NOTED_EVERY_MS + 1):
        note_use(store, name="a", now_ms=at)
    keys = list_keys(store)
    assert [(key.name, key.state(NOW + DAY)) for key in keys] == [
        ("a", "in force"), ("b", "expired"), ("c", "revoked"),
    ]  # fmt: skip
    assert [key.last_used_at_ms for key in keys] == [NOW + USE_NOTED_EVERY_MS, None, None]
    assert [key.replaced_until_ms for key in keys] == [NOW + HOUR, None, None]


class Clock:
    def __init__(self) -> None:
        self.seconds = 1_000.0

    def ms(self) -> int:
        return int(self.seconds * 1_000)


def test_a_remembered_key_expires_on_time_with_a_problem_of_its_own() -> None:
    clock, looked_up = Clock(), []

    def lookup(secret: str) -> Caller:
        looked_up.append(secret)
        return Caller(name="shop", role=Role.CHECKOUT, merchant_id=None, expires_at_ms=1_003_000)

    authentication = Authentication(lookup, now_ms=clock.ms, monotonic=lambda: clock.seconds)
    for clock.seconds in (1_000.0, 1_002.999):
        assert authentication.caller("Bearer x").name == "shop"
    clock.seconds = 1_003.0
    for _ in range(2):
        with pytest.raises(ProblemError) as refused:
            authentication.caller("Bearer x")
        assert (refused.value.status, refused.value.type) == (401, "urn:bonitas:problem:key-expired")
        clock.seconds += REMEMBERED_SECONDS
    assert len(looked_up) == 2


def test_the_use_of_a_key_is_noted_once_a_minute_and_for_each_key() -> None:
    clock = Clock()
    authentication = Authentication(lambda _: None, now_ms=clock.ms, monotonic=lambda: clock.seconds)
    shop, team = (Caller(name=name, role=Role.FRAUD, merchant_id=None) for name in ("shop", "team"))
    assert [authentication.is_use_to_be_noted(caller) for caller in (shop, shop, team)] == [True, False, True]
    clock.seconds += USE_NOTED_EVERY_MS / 1_000
    assert authentication.is_use_to_be_noted(shop)


def run(home: Path, *arguments: str, fails: bool = False) -> str:
    result = CliRunner(env={"BONITAS_HOME": str(home)}).invoke(bonitas.main, ["keys", *arguments])
    assert (result.exit_code != 0) is fails, result.output
    return result.output


def test_the_commands_make_list_replace_and_end_keys(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert "knows no merchant m1" in run(
        home, "create", "m-one", "--role", "merchant", "--merchant", "m1", fails=True
    )
    store = open_store(f"sqlite:///{home / 'bonitas.db'}")
    row = {name: value for name, value in a_merchant("m1").items() if value is not None}
    with store.writing("m1") as tx:
        append(tx, MERCHANTS, row, now_ms())
    made_key = json.loads(
        run(home, "create", "m-one", "--role", "merchant", "--merchant", "m1", "--expires", "90", "--json")
    )
    last_day = json.loads(
        run(home, "create", "feed", "--role", "ledger", "--expires", "2999-12-31", "--json")
    )
    assert last_day["expires_at"] == "3000-01-01T00:00:00.000Z"
    another = run(home, "rotate", "m-one", "--overlap-hours", "1").strip()
    run(home, "revoke", "feed")
    assert "no key in force called feed" in run(home, "revoke", "feed", fails=True)
    assert "must lie in the future" in run(home, "rotate", "m-one", "--expires", "2020-01-01", fails=True)
    for wrong in ("tomorrow", "0", "-3", "9999-12-31", "1" * 40):
        assert "expires" in run(home, "create", "x", "--role", "admin", f"--expires={wrong}", fails=True)
    listed = {key["name"]: key for key in json.loads(run(home, "list", "--json"))["keys"]}
    assert [(name, key["role"], key["state"]) for name, key in listed.items()] == [
        ("feed", "ledger", "revoked"), ("m-one", "merchant", "in force"),
    ]  # fmt: skip
    assert listed["m-one"]["expires_at"] == made_key["expires_at"]
    assert listed["m-one"]["last_used_at"] is None
    assert listed["m-one"]["replaced_until"] is not None
    assert "never" in run(home, "list")
    assert all(opens(store, secret, now_ms()) for secret in (made_key["key"], another))
    store.close()


def test_the_command_offers_the_roles_that_there_are() -> None:
    (role,) = [option for option in access.create_key.params if option.name == "role"]
    assert isinstance(role.type, click.Choice)
    assert list(role.type.choices) == [known.value for known in Role]
