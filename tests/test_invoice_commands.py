"""`bonitas invoices` as the back office meets it."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import bonitas
from data_contracts.instants import rfc3339
from data_contracts.ledger_contracts import CONTRACTS
from serving.process.settings import Settings
from serving.store.ledger import append
from serving.store.migrate import migrate
from serving.store.open_store import open_store
from serving.store.store import now_ms
from tests.builders import (
    DAY,
    a_charge,
    a_customer,
    a_merchant,
    a_pause,
    a_payment,
    an_adjustment,
    an_invoice,
    an_order,
)

NOW = now_ms() // DAY * DAY
OLD = NOW - 60 * DAY


def run(home: Path, *arguments: str) -> Result:
    environment = {"BONITAS_HOME": str(home), "BONITAS_DATABASE_URL": None, "BONITAS_POLICY": None}
    return CliRunner().invoke(bonitas.main, list(arguments), env=environment)


def answered(home: Path, *arguments: str) -> Any:
    result = run(home, *arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with four invoices: one overdue after a pause, one paid, one paused, one due in five days."""
    folder = tmp_path_factory.mktemp("home")
    settings = Settings.from_env({"BONITAS_HOME": str(folder)})
    migrate(settings.database_url)
    store = open_store(settings.database_url)
    rows = [
        ("merchants", a_merchant(at=OLD)),
        ("customers", a_customer(at=OLD)),
        *(("orders", an_order(f"o{number}", at=OLD)) for number in range(1, 5)),
        ("invoices", an_invoice("i1", at=OLD)),
        ("invoices", an_invoice("i2", at=OLD, order_id="o2")),
        ("invoices", an_invoice("i3", at=OLD, order_id="o3")),
        ("invoices", an_invoice("i4", at=NOW - 9 * DAY, order_id="o4")),
        ("invoice_pauses", a_pause("i1", started_at=OLD + 2 * DAY, ended_at=OLD + 12 * DAY)),
        ("invoice_payments", a_payment("i1", at=OLD + 20 * DAY, amount_cents=2_000)),
        ("invoice_adjustments", an_adjustment("i1", at=OLD + 21 * DAY, amount_cents=1_000)),
        ("invoice_charges", a_charge("i1", at=OLD + 40 * DAY, amount_cents=250)),
        ("invoice_payments", a_payment("i2", at=OLD + DAY)),
        ("invoice_pauses", a_pause("i3", started_at=OLD + 2 * DAY)),
    ]
    with store.writing("c1", "m1") as tx:
        for contract, row in rows:
            stamped = {
                name: value for name, value in row.items() if value is not None and name != "recorded_at"
            }
            append(tx, CONTRACTS[contract], stamped, NOW)
    store.close()
    return folder


def test_what_is_due_is_listed_with_what_falls_due_soon(home: Path) -> None:
    due = answered(home, "invoices", "due")
    (overdue,) = due["invoices"]
    assert (due["due"], due["asked_cents"]) == (1, {"EUR": 7_000})
    moved = OLD + 24 * DAY
    assert (overdue["invoice_id"], overdue["phase"], overdue["due_at"]) == ("i1", "overdue", rfc3339(moved))
    assert overdue["days_past_due"] == 36
    soon = answered(home, "invoices", "due", "--within", "6")
    assert [one["invoice_id"] for one in soon["invoices"]] == ["i1", "i4"]
    assert [one["invoice_id"] for one in answered(home, "invoices", "due", "--within", "3")["invoices"]] == [
        "i1"
    ]
    limited = answered(home, "invoices", "due", "--within", "6", "--limit", "1")
    assert (limited["due"], len(limited["invoices"])) == (2, 1)
    text = run(home, "invoices", "due", "--within", "6", "--limit", "1").stdout
    assert "2 invoices, 1 listed: 170.00 EUR" in text
    assert "i4" not in text


def test_the_life_of_an_invoice_is_told_with_its_amounts_and_instants(home: Path) -> None:
    life = answered(home, "invoices", "show", "i1")
    assert [(one["name"], one["at"]) for one in life["timeline"]] == [
        (name, rfc3339(OLD + day * DAY))
        for name, day in (
            ("issued", 0),
            ("paused", 2),
            ("resumed", 12),
            ("paid", 20),
            ("credit_note", 21),
            ("reminder", 40),
        )
    ]
    assert life["timeline"][0]["due_at"] == rfc3339(OLD + 14 * DAY)
    assert life["timeline"][2]["due_at"] == life["moved_due_at"] == rfc3339(OLD + 24 * DAY)
    assert life["phase"] == "overdue"
    assert {name: life[f"{name}_cents"] for name in ("amount", "received", "credited", "asked", "fees")} == {
        "amount": 10_000,
        "received": 2_000,
        "credited": 1_000,
        "asked": 7_000,
        "fees": 250,
    }
    text = run(home, "invoices", "show", "i1").stdout
    for part in ("70.00 EUR to be paid of 100.00 EUR", "paused (dispute)", "reminder 1", "2.50 EUR"):
        assert part in text
    paused = answered(home, "invoices", "show", "i3")
    assert (paused["phase"], paused["moved_due_at"], paused["next_notice"]) == ("paused", None, None)
    assert answered(home, "invoices", "show", "i2")["phase"] == "paid"


def test_what_is_no_invoice_is_refused_by_name(home: Path) -> None:
    unknown = run(home, "invoices", "show", "i9")
    assert (unknown.exit_code, "there is no invoice i9" in unknown.stderr) == (1, True)
    wrong = run(home, "invoices", "due", "--within", "-1")
    assert wrong.exit_code != 0
    assert "--within" in wrong.stderr
    assert "Usage" in run(home, "invoices", "due", "--help").stdout
