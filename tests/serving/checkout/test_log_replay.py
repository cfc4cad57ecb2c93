"""All decisions of the log replayed in one go: as each alone, whatever is wrong with some of them."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import bonitas
from serving.checkout import log_replay
from serving.checkout.log_replay import LogReplaySummary, ReplayOfLogged, replay_log
from serving.checkout.replay import DecisionDamagedError, replay
from serving.in_force.model_watch import RegistryUnreachableError
from serving.in_force.scorer import ChampionModel, ModelNotUsableError
from serving.store.store import Store
from tests.builders import DAY, a_customer, a_payment, an_invoice, an_order
from tests.serving.policy_versions import a_policy_text
from tests.serving.shadow_desk import START, KnownModels, ShadowDesk, a_model, declining, sqlite_url


class CountingModels(KnownModels):
    """A registry that notes what was read from it."""

    def __init__(self, *models: ChampionModel) -> None:
        super().__init__(*models)
        self.read: list[str] = []

    def load_for_replay(self, model_name: str, version: str) -> ChampionModel:
        self.read.append(version)
        return self.load(model_name, version)


Busy = tuple[ShadowDesk, list[str]]


@pytest.fixture
def busy(store: Store, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Busy:
    """Two models, two policies, a customer with invoices, and one decided while there was no model."""
    monkeypatch.setattr(log_replay, "PAGE", 2)
    desk = ShadowDesk(
        store, database_url, CountingModels(replace(a_model("1"), files_sha256="a" * 64), declining("2"))
    )
    ids = desk.decided(2)
    desk.row("orders", an_order("o-i", "c1", at=START - 60 * DAY))
    desk.row("invoices", an_invoice("i1", "c1", at=START - 60 * DAY, order_id="o-i"))
    desk.row("invoice_payments", a_payment("i1", "c1", at=START - 50 * DAY))
    ids.append(desk.decide("later", "c1"))
    desk.under(a_policy_text("another"))
    desk.registry.aliases["champion"] = "2"
    desk.watch.look()
    ids += desk.decided(2, first=3)
    desk.registry.aliases.clear()
    desk.watch.look()
    minor = a_customer("minor", event_id="minor", at=START - 400 * DAY, birth_date="2015-01-01")
    desk.row("customers", minor)
    ids.append(desk.decide("by-a-child", "minor"))
    return desk, ids


def replayed(desk: ShadowDesk, since_ms: int | None = None) -> dict[str, ReplayOfLogged]:
    return {one.decision_id: one for one in replay_log(desk.store, desk.registry, since_ms=since_ms)}


def summed_up(desk: ShadowDesk) -> LogReplaySummary:
    summary = LogReplaySummary()
    for one in replayed(desk).values():
        summary.add(one)
    return summary


def change(desk: ShadowDesk, sql: str, *values: object) -> None:
    with desk.store.writing("test") as tx:
        tx.execute(sql, values)


def test_all_together_come_out_as_each_alone_and_each_model_is_read_once(busy: Busy) -> None:
    desk, ids = busy
    together = replayed(desk)
    assert list(together) == ids
    assert isinstance(desk.registry, CountingModels)
    assert desk.registry.read == ["1", "2"]
    assert {name: one.result for name, one in together.items()} == {
        name: replay(desk.store, desk.registry, name) for name in ids
    }
    assert summed_up(desk).to_json() == {
        "replayed": 6,
        "equal": 6,
        "ledger_not_compared": 0,
        "different": 0,
        "different_by_part": {},
        "not_replayable": 0,
        "not_replayable_because": {},
        "not_equal": [],
        "not_equal_not_listed": 0,
    }


def test_what_was_decided_before_the_instant_is_left_out(busy: Busy) -> None:
    desk, ids = busy
    with desk.store.reading() as tx:
        ((at_ms,),) = tx.execute("SELECT as_of_ms FROM decisions WHERE decision_id = ?", (ids[3],))
    assert list(replayed(desk, at_ms)) == ids[3:]
    assert list(replayed(desk, at_ms + 1)) == ids[4:]
    assert replayed(desk, START + 400 * DAY) == {}


def test_each_fault_is_named_with_its_part_or_reason_and_the_others_go_on(
    busy: Busy, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, ids = busy
    changed = "UPDATE decisions SET record = replace(record, ?, ?) WHERE decision_id = ?"
    change(desk, changed, '"score":', '"score":1', ids[0])
    change(desk, changed, '{"order"', '{"order', ids[1])
    change(desk, "UPDATE ledger_events SET body = replace(body, 'DE', 'AT') WHERE entity_id = 'c1'")
    change(desk, changed, '"standing"', '"other_accounts":[7],"of_old"', ids[3])
    change(desk, changed, '"language"', '"tongue"', ids[4])
    change(desk, "UPDATE decisions SET policy_version = 'gone' WHERE decision_id = ?", ids[5])
    monkeypatch.setattr(log_replay, "LISTED_MAXIMUM", 5)
    found = summed_up(desk).to_json()
    listed = {one["decision_id"]: one for one in found["not_equal"]}
    assert listed[ids[0]]["different"] == ["score", "ledger: applicant"]
    assert listed[ids[2]]["different"] == ["ledger: applicant"]
    assert "cannot be read: DecodeError" in listed[ids[1]]["not_replayable"]
    assert "cannot be judged" in listed[ids[4]]["not_replayable"]
    assert (found["replayed"], found["equal"], found["different"], found["not_replayable"]) == (6, 0, 2, 4)
    assert found["different_by_part"] == {"ledger: applicant": 2, "score": 1}
    assert found["not_replayable_because"]["policy gone was not kept"] == 1
    assert found["not_equal_not_listed"] == 1


def test_a_damaged_decision_replayed_alone_is_named_as_among_all(busy: Busy) -> None:
    desk, ids = busy
    changed = "UPDATE decisions SET record = replace(record, ?, ?) WHERE decision_id = ?"
    change(desk, changed, '{"order"', '{"order', ids[0])
    change(desk, changed, '"standing"', '"other_accounts":[7],"of_old"', ids[1])
    change(desk, changed, '"language"', '"tongue"', ids[2])
    change(desk, "UPDATE policies SET content = 'none' WHERE version = 'another'")
    together = replayed(desk)
    for name in ids[:5]:
        with pytest.raises(DecisionDamagedError) as alone:
            replay(desk.store, desk.registry, name)
        assert str(alone.value) == together[name].not_replayable


def test_a_model_that_is_gone_is_the_reason_of_its_decisions_alone(busy: Busy) -> None:
    desk, ids = busy
    del desk.registry.models["1"]
    change(desk, "UPDATE decisions SET feature_set_version = 'other' WHERE decision_id = ?", ids[3])
    reasons = {name: one.not_replayable for name, one in replayed(desk).items()}
    assert [reasons[name] for name in ids[:3]] == ["invoice-eligibility 1 cannot be read"] * 3
    assert "features of feature set other, invoice-eligibility 2 reads" in str(reasons[ids[3]])
    assert [reasons[name] for name in ids[4:]] == [None, None]


def test_a_version_of_another_registry_under_the_same_number_is_no_difference_of_the_decision(
    busy: Busy,
) -> None:
    desk, ids = busy
    desk.registry.models["1"] = replace(declining("1"), files_sha256="b" * 64)
    together = replayed(desk)
    for name in ids[:3]:
        assert "was made by another invoice-eligibility 1" in str(together[name].not_replayable)
        with pytest.raises(ModelNotUsableError, match="are not of one home"):
            replay(desk.store, desk.registry, name)
    assert [together[name].not_replayable for name in ids[3:]] == [None, None, None]


def test_a_registry_that_does_not_answer_ends_the_replay_and_is_no_decisions_fault(busy: Busy) -> None:
    desk, _ = busy

    def unreachable(_name: str, _version: str) -> ChampionModel:
        raise RegistryUnreachableError("away")

    desk.registry.load_for_replay = unreachable  # type: ignore[method-assign] # a registry that went away
    with pytest.raises(RegistryUnreachableError):
        replayed(desk)


def test_a_decision_that_comes_meanwhile_is_not_waited_for(busy: Busy) -> None:
    desk, ids = busy
    steps = replay_log(desk.store, desk.registry)
    assert next(steps).decision_id == ids[0]
    newest = desk.decide("meanwhile", "minor")
    assert [one.decision_id for one in steps] == ids[1:]
    assert newest in replayed(desk)


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., Result]:
    def run(*arguments: str) -> Result:
        home = {"BONITAS_HOME": str(tmp_path), "BONITAS_DATABASE_URL": None}
        return CliRunner().invoke(bonitas.main, ["decisions", "replay", *arguments], env=home)

    return run


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "name one decision, or give --all"),
        (("dec_1", "--all"), "name one decision, or give --all"),
        (("dec_1", "--since", "2026-01-01"), "--since goes with --all"),
        (("--all", "--since", "yesterday"), "yesterday is neither a date nor an instant"),
    ],
)
def test_what_cannot_be_asked_is_a_usage_error(
    command: Callable[..., Result], arguments: tuple[str, ...], message: str
) -> None:
    result = command(*arguments)
    assert (result.exit_code, message in result.stderr) == (2, True), result.output


def test_the_command_ends_with_1_where_something_differs(
    command: Callable[..., Result], tmp_path: Path, empty_sqlite: bytes
) -> None:
    from serving.store.open_store import open_store

    (tmp_path / "bonitas.db").write_bytes(empty_sqlite)
    store = open_store(sqlite_url(tmp_path))
    desk = ShadowDesk(store, sqlite_url(tmp_path), KnownModels())
    desk.row("customers", a_customer("minor", event_id="minor", at=START - 9 * DAY, birth_date="2015-01-01"))
    first, second = desk.decide("o1", "minor"), desk.decide("o2", "minor")
    equal = command("--all", "--since", "2020-01-01T00:00:00+01:00")
    assert (equal.exit_code, "equal, bit for bit: 2" in equal.stdout) == (0, True), equal.output
    change(
        desk, "UPDATE decisions SET record = replace(record, 'declined', 'approved') WHERE order_id = 'o2'"
    )
    store.close()
    told = command("--all")
    assert told.exit_code == 1
    assert f"{second} differs: outcome" in told.stdout
    assert first not in told.stdout
    summary = json.loads(command("--all", "--json").stdout)
    assert (summary["equal"], summary["different_by_part"]) == (1, {"outcome": 1})
