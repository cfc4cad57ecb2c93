"""The lives of two orders that a first run shows: real use cases in a real sandbox, to the cent."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from command_line.order_lives import print_order_life
from data_contracts.instants import rfc3339
from serving.domain.dispute import DisputeOutcome, DisputeState, OutcomeGround
from serving.domain.policy_reader import parse_policy
from serving.first_look.life_sandbox import SANDBOX_FILE, life_sandbox
from serving.first_look.order_life import NoOrderLifeError, OrderLife, Until, order_life
from serving.in_force.model_watch import CHAMPION
from serving.in_force.policy_activation import PolicyFile
from serving.process.settings import Settings
from serving.store.api_keys import create_key
from serving.store.disputes import dispute_of
from serving.store.errors import StoreError
from serving.store.open_store import open_store
from serving.store.sandbox_clock import clock_of
from serving.store.settlement_postings import postings_of_order
from tests.serving.policy_versions import a_policy_text
from tests.serving.shadow_desk import KnownModels, a_model, declining

TEXT = a_policy_text("life", settles_from="2020-01-01")
POLICY = PolicyFile(path=Path("policy.toml"), text=TEXT, policy=parse_policy(TEXT), is_own=True)


@dataclass
class Home:
    """A home with a sandbox in which nothing has happened yet."""

    folder: Path
    registry: KnownModels

    @property
    def url(self) -> str:
        return f"sqlite:///{self.folder / SANDBOX_FILE}"

    def life(self) -> OrderLife:
        settings = Settings.from_env({"BONITAS_HOME": str(self.folder)})
        with life_sandbox(settings, POLICY, self.registry) as sandbox:
            return order_life(sandbox)


def a_home(folder: Path, registry: KnownModels, empty_sqlite: bytes) -> Home:
    (folder / SANDBOX_FILE).write_bytes(empty_sqlite)
    registry.aliases[CHAMPION] = "1"
    return Home(folder, registry)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, empty_sqlite: bytes) -> Home:
    return a_home(tmp_path_factory.mktemp("home"), KnownModels(a_model("1")), empty_sqlite)


@pytest.fixture(scope="module")
def lives(home: Home) -> tuple[OrderLife, OrderLife]:
    """Two runs in one home."""
    return home.life(), home.life()


def standing(life: OrderLife, order_id: str) -> list[tuple[int, int, Until]]:
    return [
        (step.held_cents, step.owed_cents, step.until) for step in life.steps if step.order_id == order_id
    ]


def test_an_amended_order_that_comes_back_in_part_holds_and_owes_to_the_cent(
    lives: tuple[OrderLife, OrderLife],
) -> None:
    for life in lives:
        assert standing(life, life.returned_order_id) == [
            (8_990, 0, Until.HELD),
            (8_990, 0, Until.HELD),
            (10_990, 0, Until.HELD),
            (10_990, 0, Until.HELD),
            (0, 10_990, Until.DUE),
            (0, 10_990, Until.PAUSED),
            (0, 10_990 - (3_000 - 295), Until.DUE),
            (0, 0, Until.NOTHING_OWED),
        ]
        due = [step.until_at for step in life.steps if step.until is Until.DUE]
        assert due[0] is not None
        assert due[1] is not None
        assert due[0] < due[1], "the paused days move the due date"


def test_a_disputed_order_is_charged_back_once_the_merchants_time_is_over(
    home: Home, lives: tuple[OrderLife, OrderLife]
) -> None:
    store = open_store(home.url)
    try:
        for life in lives:
            assert standing(life, life.disputed_order_id) == [
                (3_990, 0, Until.HELD),
                (3_990, 0, Until.HELD),
                (3_990, 0, Until.HELD),
                (0, 3_990, Until.DUE),
                (0, 3_990, Until.MERCHANT_ANSWERS),
                (0, 0, Until.NOTHING_OWED),
            ]
            with store.reading() as tx:
                dispute = dispute_of(tx, life.dispute_id)
            assert dispute is not None
            assert dispute.state is DisputeState.CLOSED
            assert dispute.outcome is DisputeOutcome.FOR_CUSTOMER
            assert dispute.ground is OutcomeGround.NO_ANSWER
            assert dispute.merchant_due_at_ms is not None
            opened, closed = life.steps[-2:]
            assert opened.until_at == rfc3339(dispute.merchant_due_at_ms)
            assert opened.at < opened.until_at < closed.at
    finally:
        store.close()


def test_the_notes_come_to_what_was_posted_of_both_orders(
    home: Home, lives: tuple[OrderLife, OrderLife]
) -> None:
    # 4 % of each invoice, and nothing of that back.
    of_returned, of_disputed = 10_990 - 440 - (3_000 - 295), 3_990 - 160 - 3_990
    store = open_store(home.url)
    try:
        for life in lives:
            lines = [line for note in life.notes for line in note.lines]
            by_order = {
                order_id: sum(line.amount_cents for line in lines if line.order_id == order_id)
                for order_id in (life.returned_order_id, life.disputed_order_id)
            }
            assert by_order == {life.returned_order_id: of_returned, life.disputed_order_id: of_disputed}
            assert {line.text.value for line in lines} == {"payout", "fee", "return", "chargeback"}
            carried = 0
            for note in life.notes:
                (balance,) = note.balances
                assert balance.opening_cents == carried
                carried = balance.closing_cents
            assert carried == of_returned + of_disputed == sum(line.amount_cents for line in lines)
            with store.reading() as tx:
                for order_id in by_order:
                    assert sum(posting.amount_cents for posting in postings_of_order(tx, order_id)) == 0
    finally:
        store.close()


def test_a_second_run_goes_on_where_the_clock_of_the_first_stood(
    home: Home, lives: tuple[OrderLife, OrderLife]
) -> None:
    first, second = lives
    assert first.steps[-1].at < second.steps[0].at
    assert first.merchant_id != second.merchant_id
    store = open_store(home.url)
    try:
        assert second.steps[-1].at <= rfc3339(clock_of(store)())
    finally:
        store.close()


def test_both_lives_and_the_notes_are_printed_in_80_columns(
    lives: tuple[OrderLife, OrderLife], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    print_order_life(lives[0], "sqlite:///sandbox.db")
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 80
    assert "…" not in printed
    for shown in ("109.90", "82.85", "answer by", "chargeback", "-39.90 EUR", "76.85 EUR"):
        assert shown in printed, shown


def test_an_order_that_the_champion_declines_has_no_life_to_show(tmp_path: Path, empty_sqlite: bytes) -> None:
    home = a_home(tmp_path, KnownModels(declining("1")), empty_sqlite)
    with pytest.raises(NoOrderLifeError, match="the sample order is declined"):
        home.life()


def test_a_store_that_is_no_sandbox_is_left_as_it_is(tmp_path: Path, empty_sqlite: bytes) -> None:
    """A real store that somebody put under the sandbox's name, say."""
    home = a_home(tmp_path, KnownModels(a_model("1")), empty_sqlite)
    store = open_store(home.url)
    try:
        create_key(store, name="checkout", role="checkout", merchant_id=None, now_ms=1_700_000_000_000)
        with pytest.raises(StoreError, match="only a new and empty one becomes a sandbox"):
            home.life()
        with store.reading() as tx:
            assert not tx.execute("SELECT 1 FROM ledger_events LIMIT 1")
    finally:
        store.close()
