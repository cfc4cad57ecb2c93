"""`bonitas settlement`: the same notes at a terminal, and history that is asked to be settled."""

import csv
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import bonitas
from serving.process.settings import Settings
from serving.store.migrate import migrate
from serving.store.open_store import open_store
from serving.store.orders_to_settle import due_to_settle
from tests.builders import an_invoice
from tests.serving.cases.settling import a_settling_desk


def run(home: Path, *arguments: str) -> Result:
    environment = {"BONITAS_HOME": str(home), "BONITAS_DATABASE_URL": None}
    return CliRunner().invoke(bonitas.main, ["settlement", *arguments], env=environment)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home whose merchant m1 was paid an invoice of 100.00 in June 2026."""
    url = Settings.from_env({"BONITAS_HOME": str(tmp_path)}).database_url
    migrate(url)
    store = open_store(url)
    desk = a_settling_desk(store)
    desk.row("invoices", an_invoice(at=desk.now))
    desk.settle_all()
    store.close()
    return tmp_path


def test_a_note_is_shown_for_people_for_programs_and_as_a_file(home: Path) -> None:
    asked = ["notes", "--merchant", "m1", "--period", "2026-06"]
    shown = run(home, *asked)
    assert shown.exit_code == 0, shown.output
    assert "payout" in shown.stdout
    assert "96.00" in shown.stdout
    note = json.loads(run(home, *asked, "--json").stdout)
    assert [(line["text"], line["amount_cents"]) for line in note["lines"]] == [
        ("payout", 10_000),
        ("fee", -400),
    ]
    file = home / "note.csv"
    assert run(home, *asked, "--csv", str(file)).exit_code == 0
    with file.open(newline="") as lines:
        assert [row["text"] for row in csv.DictReader(lines)] == [
            "opening balance",
            "payout",
            "fee",
            "closing balance",
        ]
    paged = json.loads(run(home, *asked, "--limit", "1", "--json").stdout)
    rest = json.loads(run(home, *asked, "--after", paged["next"], "--json").stdout)
    assert [line["text"] for line in rest["lines"]] == ["fee"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--merchant", "m9", "--period", "2026-06"], "there is no merchant m9"),
        (["--merchant", "m1", "--period", "June"], "must be a month such as 2026-11"),
        (["--merchant", "m1", "--period", "2026-06", "--after", "x"], "none that a page named as next"),
    ],
)
def test_what_cannot_be_shown_is_said_in_a_line(home: Path, arguments: list[str], said: str) -> None:
    result = run(home, "notes", *arguments)
    assert result.exit_code != 0
    assert said in result.output


def test_catching_up_leaves_every_order_to_the_worker(home: Path) -> None:
    result = run(home, "catch-up", "--json")
    assert json.loads(result.stdout) == {"asked": 1}
    store = open_store(Settings.from_env({"BONITAS_HOME": str(home)}).database_url)
    with store.reading() as tx:
        [waiting] = due_to_settle(tx, 10, now_ms=2**53)
    store.close()
    assert (waiting.order_id, waiting.customer_id) == ("o1", "c1")
