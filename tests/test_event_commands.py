"""`bonitas events` as the back office meets it."""

import json
from pathlib import Path

from click.testing import CliRunner, Result

import bonitas
from data_contracts.ledger_contracts import CONTRACTS
from serving.process.settings import Settings
from serving.store.ledger import append
from serving.store.migrate import migrate
from serving.store.open_store import open_store
from tests.builders import a_payment, ms

AT = ms("2026-05-01")


def run(home: Path, *arguments: str) -> Result:
    environment = {"BONITAS_HOME": str(home), "BONITAS_DATABASE_URL": None}
    return CliRunner().invoke(bonitas.main, list(arguments), env=environment)


def test_rows_that_wait_are_listed_and_ended(tmp_path: Path) -> None:
    settings = Settings.from_env({"BONITAS_HOME": str(tmp_path)})
    migrate(settings.database_url)
    store = open_store(settings.database_url)
    payment = {name: value for name, value in a_payment(at=AT).items() if name != "recorded_at"}
    with store.writing("c1") as tx:
        append(tx, CONTRACTS["invoice_payments"], payment, AT)
    store.close()
    listed = json.loads(run(tmp_path, "events", "held", "--json").stdout)
    (row,) = listed["held"]
    assert (row["event_id"], row["waits_for"]["text"]) == (payment["event_id"], "invoice i1")
    assert "invoice i1" in run(tmp_path, "events", "held").stdout
    ending = ("events", "end", payment["event_id"], "--reason", "not ours", "--by", "ann")
    assert "ended by ann" in run(tmp_path, *ending).stdout
    assert run(tmp_path, *ending).exit_code == 0
    assert json.loads(run(tmp_path, "events", "held", "--json").stdout)["held"] == []
    for wrong in (("--contract", "nope"), ("--customer", "no such id")):
        refused = run(tmp_path, "events", "held", *wrong)
        assert refused.exit_code != 0
        assert refused.stdout == ""
    assert "invoice_payments" in run(tmp_path, "events", "held", "--contract", "nope").stderr
    nobody = run(tmp_path, "events", "end", "nobody", "--reason", "x", "--by", "ann")
    assert (nobody.exit_code, "no row waits" in nobody.stderr) == (1, True)
