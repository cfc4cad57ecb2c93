"""Which policy is in force, from when, who put it there, and the way back: on both databases."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

import bonitas
from serving.domain.errors import PolicyInvalid
from serving.domain.policy_history import (
    NO_LINE,
    ActivationKind,
    PolicyActivation,
    PolicyChangeRefused,
    PolicyHasChanged,
    PolicyHistoryDamaged,
    PolicyNotUsable,
    text_sha256,
    version_before,
)
from serving.in_force.policy_activation import (
    PolicyFile,
    activate,
    active_policy,
    history,
    kept_text,
    notice_about_file,
    roll_back,
)
from serving.store.policy_activations import policy_activations
from serving.store.store import Store
from tests.builders import ms
from tests.serving.policy_versions import a_policy_file, a_policy_of_newer_code, a_policy_text

NOW = ms("2026-06-01")


def an_activation(number: int, version: str, **changes: Any) -> PolicyActivation:
    values = {
        "policy_sha256": "",
        "kind": ActivationKind.ACTIVATED,
        "by": "Ann",
        "reason": "why",
        "at_ms": NOW,
        "line_before": NO_LINE,
    }
    return PolicyActivation(number=number, version=version, **{**values, **changes})


def put(store: Store, file: PolicyFile, *, by: str = "Ann", reason: str = "fewer losses") -> PolicyActivation:
    return activate(store, file, by=by, reason=reason, clock=lambda: NOW)


def back(store: Store) -> PolicyActivation:
    return roll_back(store, by="Bob", reason="complaints", clock=lambda: NOW)


def in_force(store: Store) -> str:
    return active_policy(store, lambda: a_policy_file("of-the-file"), now_ms=NOW).policy.version


def test_the_first_start_puts_the_file_in_force_and_later_ones_change_nothing(store: Store) -> None:
    first = active_policy(store, lambda: a_policy_file("1"), now_ms=NOW)
    assert first.policy.version == "1"
    assert (first.activation.kind, first.activation.by) == (ActivationKind.FIRST, "system")
    assert "/policies/1.toml" in first.activation.reason
    again = active_policy(store, lambda: a_policy_file("2"), now_ms=NOW + 1)
    assert again.activations == first.activations
    assert again.policy == first.policy
    assert history(store) == first.activations


def test_a_store_that_has_a_policy_asks_for_no_file(tmp_path: Path, empty_sqlite: bytes) -> None:
    def command(*arguments: str, **more: str) -> Result:
        home = {"BONITAS_HOME": str(tmp_path), "BONITAS_DATABASE_URL": None, "BONITAS_POLICY": None}
        return CliRunner().invoke(bonitas.main, arguments, env={**home, **more})

    (tmp_path / "bonitas.db").write_bytes(empty_sqlite)
    gone = {"BONITAS_POLICY": str(tmp_path / "gone.toml")}
    first = command("cases", "list", **gone)
    assert (first.exit_code, "gone.toml cannot be read" in first.stderr) == (1, True), first.output
    assert command("cases", "list").exit_code == 0
    later = command("cases", "list", **gone)
    assert later.exit_code == 0, later.output


def test_services_that_start_at_once_put_one_policy_in_force(store: Store) -> None:
    together = threading.Barrier(4)

    def start(version: str) -> str:
        together.wait(20)
        return active_policy(store, lambda: a_policy_file(version), now_ms=NOW).policy.version

    with ThreadPoolExecutor(4) as threads:
        found = set(threads.map(start, ("1", "2", "3", "4")))
    (first,) = history(store)
    assert found == {first.version}


def test_an_activation_says_who_why_and_when_and_keeps_the_text(store: Store) -> None:
    active_policy(store, lambda: a_policy_file("1"), now_ms=NOW)
    put(store, a_policy_file("2", cut_off_known=600))
    (_, second) = history(store)
    assert second.to_json() == {
        "number": 2,
        "version": "2",
        "policy_sha256": second.policy_sha256,
        "kind": "activated",
        "by": "Ann",
        "reason": "fewer losses",
        "at": "2026-06-01T00:00:00.000Z",
    }
    assert in_force(store) == "2"
    assert kept_text(store, None) == (second, a_policy_text("2", cut_off_known=600))
    assert kept_text(store, "1")[1] == a_policy_text("1")


def test_a_policy_can_be_put_in_force_by_name_before_the_first_start(store: Store) -> None:
    assert put(store, a_policy_file("7")).kind is ActivationKind.FIRST
    assert in_force(store) == "7"


def test_the_version_in_force_is_not_put_in_force_again(store: Store) -> None:
    put(store, a_policy_file("1"))
    with pytest.raises(PolicyChangeRefused, match="1 is in force already"):
        put(store, a_policy_file("1"))
    with pytest.raises(PolicyChangeRefused, match="give the changed one its own version"):
        put(store, a_policy_file("1", cut_off_known=600))
    assert len(history(store)) == 1


def test_a_version_that_was_in_force_stands_for_its_text_for_ever(store: Store) -> None:
    put(store, a_policy_file("1"))
    put(store, a_policy_file("2"))
    with pytest.raises(PolicyChangeRefused, match="give the changed one its own version"):
        put(store, a_policy_file("1", cut_off_known=600))
    assert in_force(store) == "2"
    put(store, a_policy_file("1"))
    assert in_force(store) == "1"


def test_a_change_without_a_name_or_a_reason_is_refused(store: Store) -> None:
    put(store, a_policy_file("1"))
    put(store, a_policy_file("2"))
    for by, reason in (("", "why"), (" ", "why"), ("Ann", ""), ("Ann", "\n")):
        with pytest.raises(PolicyChangeRefused, match="--by NAME and --reason TEXT"):
            put(store, a_policy_file("3"), by=by, reason=reason)
        with pytest.raises(PolicyChangeRefused, match="--by NAME and --reason TEXT"):
            roll_back(store, by=by, reason=reason, clock=lambda: NOW)
    assert len(history(store)) == 2


def test_nobody_changes_the_policy_in_the_name_of_the_system(store: Store) -> None:
    with pytest.raises(PolicyChangeRefused, match="system"):
        put(store, a_policy_file("1"), by="system")


def test_of_two_activations_at_once_one_fails_and_says_which_policy_is_in_force(store: Store) -> None:
    put(store, a_policy_file("1"))
    both_have_read = threading.Barrier(2)

    def clock() -> int:
        both_have_read.wait(20)
        return NOW

    def change(version: str) -> str:
        try:
            activate(store, a_policy_file(version), by=f"analyst {version}", reason="why", clock=clock)
        except PolicyHasChanged as refused:
            return str(refused)
        return version

    with ThreadPoolExecutor(2) as threads:
        answers = set(threads.map(change, ("2", "3")))
    winner = in_force(store)
    assert winner in {"2", "3"}
    (refusal,) = answers - {winner}
    assert f"policy {winner} is in force by now, put there by analyst {winner}, and not policy 1" in refusal
    assert [activation.version for activation in history(store)] == ["1", winner]


def test_a_rollback_takes_its_change_back_and_the_next_one_goes_a_step_further(store: Store) -> None:
    for version in ("1", "2", "3"):
        put(store, a_policy_file(version))
    assert [back(store).version for _ in range(2)] == ["2", "1"]
    with pytest.raises(PolicyChangeRefused, match="no earlier policy"):
        back(store)
    put(store, a_policy_file("4"))
    assert back(store).version == "1"
    kinds = [activation.kind.value for activation in history(store)]
    assert kinds == [
        "first",
        "activated",
        "activated",
        "rolled_back",
        "rolled_back",
        "activated",
        "rolled_back",
    ]


@given(st.lists(st.sampled_from(["a", "b", "c", "roll back"]), max_size=30))
def test_a_rollback_undoes_as_a_stack_does(steps: list[str]) -> None:
    stack: list[str] = []
    activations: list[PolicyActivation] = []
    for step in steps:
        if step == "roll back":
            restored = version_before(activations)
            assert restored == (stack[-2] if len(stack) > 1 else None)
            if restored is None:
                continue
            stack.pop()
            kind, version = ActivationKind.ROLLED_BACK, restored
        elif stack and stack[-1] == step:
            continue
        else:
            stack.append(step)
            kind, version = ActivationKind.ACTIVATED, step
        activations.append(an_activation(len(activations) + 1, version, kind=kind))
        assert activations[-1].version == stack[-1]


def test_a_policy_that_this_code_cannot_read_is_neither_used_nor_gone_back_to(store: Store) -> None:
    put(store, a_policy_of_newer_code("new"))
    with pytest.raises(PolicyNotUsable, match=r"policy new .*waiting_days: .*bonitas policy activate"):
        in_force(store)
    put(store, a_policy_file("2"))
    assert in_force(store) == "2"
    with pytest.raises(PolicyChangeRefused, match="policy new was in force before, but"):
        back(store)
    assert in_force(store) == "2"


DAMAGES = {
    "another reason": "UPDATE policy_activations SET reason = 'because' WHERE number = 2",
    "another name": "UPDATE policy_activations SET actor = 'Eve' WHERE number = 1",
    "another time": "UPDATE policy_activations SET at_ms = at_ms - 1 WHERE number = 3",
    "another version": "UPDATE policy_activations SET version = '1' WHERE number = 3",
    "another kind": "UPDATE policy_activations SET kind = 'moved' WHERE number = 3",
    "the first line gone": "DELETE FROM policy_activations WHERE number = 1",
    "a line gone in between": "DELETE FROM policy_activations WHERE number = 2",
    "the newest line gone": "DELETE FROM policy_activations WHERE number = 3",
    "all lines gone": "DELETE FROM policy_activations",
    "another text": "UPDATE policies SET content = content || '# ' WHERE version = '2'",
    "a text gone": "DELETE FROM policies WHERE version = '1'",
}


class UndoneError(Exception):
    """Rolls a damage back."""


def test_what_is_changed_or_missing_in_the_history_is_noticed(store: Store) -> None:
    for version in ("1", "2", "3"):
        put(store, a_policy_file(version))
    noticed = []
    for damage, statement in DAMAGES.items():
        with suppress(UndoneError), store.writing() as tx:
            tx.execute(statement)
            with suppress(PolicyHistoryDamaged):
                policy_activations(tx)
                continue
            noticed.append(damage)
            raise UndoneError
    assert noticed == list(DAMAGES)
    assert [activation.version for activation in history(store)] == ["1", "2", "3"]


def test_nothing_is_read_from_or_added_to_a_damaged_history(store: Store) -> None:
    put(store, a_policy_file("1"))
    put(store, a_policy_file("2"))
    with store.writing() as tx:
        tx.execute("UPDATE policy_activations SET reason = 'because' WHERE number = 1")
    for ask in (history, in_force, back, lambda store: put(store, a_policy_file("3"))):
        with pytest.raises(PolicyHistoryDamaged, match=r"line 1 was changed; restore the store"):
            ask(store)


def test_asking_for_a_policy_that_was_never_in_force_names_those_that_were(store: Store) -> None:
    with pytest.raises(PolicyChangeRefused, match="first start of the service"):
        kept_text(store, None)
    put(store, a_policy_file("1"))
    put(store, a_policy_file("2"))
    with pytest.raises(PolicyChangeRefused, match="these were: 1, 2"):
        kept_text(store, "3")


HOW = "bonitas policy activate"


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (a_policy_file("2"), None),
        (a_policy_file("2", is_own=False), None),
        (a_policy_file("3"), f"/policies/3.toml (policy 3) is not in force: policy 2 is, since .*{HOW}"),
        (a_policy_file("1"), f"/policies/1.toml (policy 1) is not in force: policy 2 is, since .*{HOW}"),
        (a_policy_file("2", cut_off_known=700), f"version 2 stands for another text.*{HOW}"),
        (a_policy_file("1", cut_off_known=700), f"version 1 stands for another text.*{HOW}"),
        (
            a_policy_file("3", is_own=False),
            f"policy 3, which comes with this code, was never.*{HOW}",
        ),
        (a_policy_file("1", is_own=False), None),
    ],
    ids=[
        "own, in force",
        "shipped, in force",
        "own, never in force",
        "own, rolled back or replaced",
        "own, edited without another version",
        "own, an older one edited",
        "shipped, came with an upgrade",
        "shipped, left behind on purpose",
    ],
)
def test_a_start_speaks_of_a_file_that_changes_nothing(file: PolicyFile, expected: str | None) -> None:
    activations = [
        an_activation(number, str(number), policy_sha256=text_sha256(a_policy_text(str(number))))
        for number in (1, 2)
    ]
    notice = notice_about_file(file, activations)
    if expected is None:
        assert notice is None
    else:
        assert notice is not None
        for part in expected.split(".*"):
            assert part in notice
        assert "by Ann" in notice


def test_a_policy_file_is_read_with_its_text_or_refused_with_every_mistake(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(a_policy_text("9"), encoding="utf-8")
    read = PolicyFile.read(path)
    assert (read.policy.version, read.text, read.is_own) == ("9", a_policy_text("9"), True)
    assert not PolicyFile.read(None).is_own
    path.write_text("version = 1\n")
    with pytest.raises(PolicyInvalid):
        PolicyFile.read(path)
