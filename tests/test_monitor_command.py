"""`bonitas monitor` as a scheduler meets it: exit status, files, and what it says when it cannot run."""

import json
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import bonitas
from data_contracts.instants import DAY_MS
from data_contracts.orders import ORDERS
from data_contracts.parquet_ledger import read_table, write_table
from data_contracts.simulation.portfolio import simulate_portfolio
from features.supersession import milliseconds
from serving.store.migrate import migrate
from tests.test_changed_models import a_workshop


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("monitored") / "book"
    simulate_portfolio(directory, customers=400, months=8, seed=1, ends_on=date(2026, 6, 1))
    return directory


def run(home: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Result:
    monkeypatch.setenv("BONITAS_HOME", str(home))
    return CliRunner().invoke(bonitas.main, ["monitor", *arguments])


def test_a_quiet_month_ends_with_0_and_a_drifted_one_with_2(
    book: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, out = tmp_path / "home", tmp_path / "report"
    quiet = run(home, monkeypatch, str(book), "--out", str(out), "--as-of", "2026-05-20", "--json")
    assert quiet.exit_code == 0, quiet.output
    document = json.loads(quiet.stdout, parse_constant=pytest.fail)
    assert document["level"] in {"quiet", "notice"}
    assert "no store yet" in document["live_note"]
    assert {model["note"] for model in document["models"]} == {"no champion: nothing is watched"}
    assert sorted(file.name for file in out.iterdir()) == ["monitor.html", "monitor.json", "monitor.prom"]

    orders = read_table(book, ORDERS)
    ordered_at = milliseconds(orders["occurred_at"])
    late = ordered_at >= ordered_at.max() - 30 * DAY_MS
    cents = orders["amount_cents"].to_numpy()
    place = orders.column_names.index("amount_cents")
    dearer = orders.set_column(place, orders.schema.field(place), [np.where(late, cents * 3, cents)])
    write_table(book, ORDERS, dearer)
    migrate(f"sqlite:///{home / 'bonitas.db'}")
    drifted = run(home, monkeypatch, str(book), "--out", str(out))
    assert drifted.exit_code == 2, drifted.output
    assert "ALARM" in drifted.stdout
    assert "amount_cents" in drifted.stdout
    assert "0 in the window" in drifted.stdout
    assert "bonitas_monitor_level 2" in (out / "monitor.prom").read_text()


def test_a_champion_whose_file_was_changed_is_an_alarm_and_no_failure(
    book: Path, tmp_path: Path, empty_mlflow_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop = a_workshop(tmp_path, empty_mlflow_database)
    (workshop.folder("1") / "booster.txt").write_text("")
    told = run(tmp_path, monkeypatch, str(book), "--out", str(tmp_path / "report"))
    assert told.exit_code == 2, told.output
    assert "alarm: champion invoice-eligibility: not watched: champion 1 decides about nobody" in told.stdout
    assert "booster.txt was changed" in told.stdout
    assert "bonitas_monitor_level 2" in (tmp_path / "report" / "monitor.prom").read_text()


def test_what_cannot_run_ends_with_1_and_writes_nothing(
    book: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "report"
    empty = tmp_path / "empty"
    empty.mkdir()
    nothing = run(tmp_path, monkeypatch, str(empty), "--out", str(out))
    assert nothing.exit_code == 1
    assert "no orders" in nothing.stderr
    too_early = run(tmp_path, monkeypatch, str(book), "--out", str(out), "--as-of", "2020-01-01")
    assert too_early.exit_code == 1
    assert "no order in the window" in too_early.stderr
    (tmp_path / "bonitas.db").write_bytes(b"")
    unreadable = run(tmp_path, monkeypatch, str(book), "--out", str(out))
    assert unreadable.exit_code == 1
    assert "bonitas migrate" in unreadable.stderr
    assert not out.exists()
