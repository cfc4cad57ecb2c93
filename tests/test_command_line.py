"""The command line as its user meets it: help, clear errors, and each step from a book to a model."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from mlflow import MlflowClient

import bonitas
from features.feature_sets import INVOICE_ELIGIBILITY
from features.model_files import local_folder
from serving.domain.policy_reader import parse_policy
from serving.in_force.policy_activation import POLICY_FILE, PolicyFile, active_policy
from serving.store.loading import holds_another_ledger
from serving.store.open_store import open_store
from tests.builders import (
    DAY,
    a_customer,
    a_merchant,
    a_payment,
    an_invoice,
    an_order,
    ms,
    write_ledger,
)
from tests.serving.policy_versions import a_policy_text

ROOT = Path(__file__).parent.parent


def all_commands() -> list[list[str]]:
    found: list[list[str]] = []

    def walk(command: object, path: list[str]) -> None:
        found.append(path)
        for name, inner in getattr(command, "commands", {}).items():
            walk(inner, [*path, name])

    walk(bonitas.main, [])
    return found


def run_bonitas(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "bonitas.py"), *arguments],
        env={**os.environ, "BONITAS_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        umask=0o022,
    )


@pytest.mark.parametrize("path", all_commands(), ids=" ".join)
def test_every_command_explains_itself(path: list[str]) -> None:
    result = CliRunner().invoke(bonitas.main, [*path, "--help"])
    assert result.exit_code == 0
    assert len(result.output.splitlines()) > 3


def test_a_book_goes_from_simulation_to_features_step_by_step(tmp_path: Path) -> None:
    book, home = tmp_path / "book", tmp_path / "home"
    made = run_bonitas(
        home,
        "data",
        "simulate",
        "--out",
        str(book),
        "--customers",
        "200",
        "--months",
        "6",
        "--seed",
        "1",
        "--json",
    )
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["customers"] == 200
    simulated, book = book, tmp_path / "accepted"
    checked = run_bonitas(home, "data", "validate", str(simulated), "--out", str(book), "--json")
    assert checked.returncode == 0, checked.stderr
    assert Path(json.loads(checked.stdout)["report"]).exists()
    assert not (simulated / "validation").exists()
    loaded = run_bonitas(home, "data", "load", str(book), "--json")
    assert loaded.returncode == 0, loaded.stderr
    assert "not" not in loaded.stderr
    assert json.loads(loaded.stdout)["loaded"]["customers"] > 0
    out = tmp_path / "features.parquet"
    built = run_bonitas(
        home, "features", "build", str(book), "--for", "invoice-eligibility", "--out", str(out), "--json"
    )
    assert built.returncode == 0, built.stderr
    table = pq.read_table(out)
    assert table.num_rows == json.loads(built.stdout)["rows"]
    assert set(INVOICE_ELIGIBILITY.names) < set(table.column_names)


def test_features_are_built_by_what_the_policy_in_force_calls_paid_and_late(tmp_path: Path) -> None:
    at = ms("2026-01-01")
    book = write_ledger(
        tmp_path / "book",
        {
            "customers": [a_customer(at=at)],
            "merchants": [a_merchant(at=at)],
            "orders": [an_order("o1", at=at), an_order("o2", at=at + 40 * DAY)],
            "invoices": [an_invoice("i1", order_id="o1", at=at, amount_cents=9_000)],
            # 3.50 short: paid under the usual terms.
            "invoice_payments": [a_payment("i1", at=at + 3 * DAY, amount_cents=8_650)],
        },
    )
    strict = tmp_path / "strict.toml"
    strict.write_text(a_policy_text("strict", materiality_cents=0, grace_days=0))
    home = {"BONITAS_HOME": str(tmp_path / "home"), "BONITAS_POLICY": None, "BONITAS_DATABASE_URL": None}

    def ran(*arguments: str) -> str:
        done = CliRunner().invoke(bonitas.main, arguments, env=home)
        assert done.exit_code == 0, done.output
        return done.stdout

    def overdue_after(*options: str) -> tuple[float, str]:
        out = tmp_path / "features.parquet"
        command = ("features", "build", str(book), "--for", "invoice-eligibility", "--out", str(out))
        version = json.loads(ran(*command, *options, "--json"))["feature_set_version"]
        overdue = pq.read_table(out).sort_by("as_of")["overdue_invoice_count_last"].to_pylist()
        return overdue[1], version

    usual, strictly = (0.0, INVOICE_ELIGIBILITY.version), (1.0, f"{INVOICE_ELIGIBILITY.version}-0c-0d")
    assert overdue_after() == usual
    assert overdue_after("--policy", str(strict)) == strictly
    ran("migrate")
    store = open_store(f"sqlite:///{tmp_path / 'home' / 'bonitas.db'}")
    active_policy(store, lambda: PolicyFile.read(strict), now_ms=at)
    store.close()
    assert overdue_after() == strictly
    assert overdue_after("--policy", str(POLICY_FILE)) == usual


def test_a_quarantined_row_makes_validate_fail_and_is_kept_with_its_reason(tmp_path: Path) -> None:
    book = write_ledger(
        tmp_path / "book",
        {"customers": [a_customer()], "invoice_payments": [a_payment("no-such-invoice", at=86_400_000)]},
    )
    result = run_bonitas(tmp_path / "home", "data", "validate", str(book))
    assert result.returncode == 1
    (file,) = (tmp_path / "home" / "validation").glob("book-*/quarantine/invoice_payments.jsonl")
    kept = json.loads(file.read_text())
    assert kept["violations"][0]["rule"] == "unknown_reference"
    assert kept["violations"][0]["column"] == "invoice_id"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["keys", "create", "Shop!", "--role", "checkout"], "lower-case letters"),
        (["keys", "create", "shop", "--role", "merchant"], "names its merchant"),
        (["decisions", "show", "dec_none"], "bonitas migrate"),
        (["decisions", "replay", "dec_none"], "bonitas migrate"),
        (["train", "invoice-eligibility", "{tmp}"], "holds no orders"),
        (
            ["features", "build", "{tmp}", "--for", "invoice-eligibility", "--out", "{tmp}/f"],
            "holds no orders",
        ),
        (["data", "validate", "{tmp}/nowhere"], "does not exist"),
        (["benchmark", "serving"], "bonitas"),
        (
            ["benchmark", "worker", "--database-url", "nonsense"],
            "must begin with sqlite:/// or postgresql://",
        ),
    ],
)
def test_bad_input_gets_a_message_and_no_traceback(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    result = run_bonitas(tmp_path / "home", *(part.format(tmp=tmp_path) for part in arguments))
    assert result.returncode != 0
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_wrong_settings_are_all_named_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BONITAS_DATABASE_URL", "mysql://x")
    monkeypatch.setenv("BONITAS_WORKERS", "many")
    result = run_bonitas(tmp_path, "migrate")
    assert result.returncode != 0
    assert "BONITAS_DATABASE_URL" in result.stderr
    assert "BONITAS_WORKERS" in result.stderr


def test_the_default_policy_is_valid_and_a_broken_one_is_explained(tmp_path: Path) -> None:
    runner = CliRunner()
    good = runner.invoke(
        bonitas.main, ["policy", "check", str(ROOT / "serving" / "in_force" / "policy.toml")]
    )
    assert good.exit_code == 0
    broken = tmp_path / "policy.toml"
    broken.write_text('version = "1"\nfancy = 1\n')
    bad = runner.invoke(bonitas.main, ["policy", "check", str(broken)])
    assert bad.exit_code != 0
    assert "fancy: is no field of a policy" in bad.output


def test_a_policy_with_a_byte_order_mark_is_read_and_kept_without_it(tmp_path: Path) -> None:
    marked = tmp_path / "policy.toml"
    marked.write_bytes(b"\xef\xbb\xbf" + a_policy_text("marked").encode())
    checked = CliRunner().invoke(bonitas.main, ["policy", "check", str(marked)])
    assert checked.exit_code == 0, checked.output
    assert PolicyFile.read(marked).text == a_policy_text("marked")


@pytest.mark.parametrize("code", ["XXX", "XAU", "DEM", "ABC", "CHW", "eur"])
def test_a_currency_that_no_order_can_carry_is_a_mistake_in_a_new_policy(tmp_path: Path, code: str) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(a_policy_text("strange").replace('currency = "EUR"', f'currency = "{code}"', 1))
    checked = CliRunner().invoke(bonitas.main, ["policy", "check", str(file)])
    assert checked.exit_code == 1
    assert "currency: must be the ISO 4217 code of a currency that an order can carry" in checked.output


def test_a_policy_of_the_history_keeps_a_currency_that_was_withdrawn_since() -> None:
    text = a_policy_text("old").replace('currency = "EUR"', 'currency = "BGN"', 1)
    assert "BGN" in {country.currency for country in parse_policy(text).countries.values()}


def open_to_others(home: Path) -> list[str]:
    """Everything below a home that somebody else than its owner may read or write."""
    return [
        str(one.relative_to(home))
        for one in (home, *home.rglob("*"))
        if not one.is_symlink() and one.stat().st_mode & 0o077
    ]


def test_a_home_that_cannot_be_used_is_named_in_a_line(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    (tmp_path / "home" / "mlflow.db").mkdir(parents=True)
    for home, named, command in (
        (file / "home", file / "home", ("keys", "list")),
        (file / "home", file / "home", ("history", "order-risk")),
        (tmp_path / "home", tmp_path / "home" / "mlflow.db", ("history", "order-risk")),
    ):
        done = CliRunner().invoke(bonitas.main, command, env={"BONITAS_HOME": str(home)})
        assert (done.exit_code, isinstance(done.exception, SystemExit)) == (1, True), command
        (line,) = done.stderr.splitlines()
        assert line.startswith("Error: "), line
        assert str(named) in line


def test_what_a_person_copies_from_a_list_is_never_cut(tmp_path: Path) -> None:
    name = "back-office-of-the-northern-warehouse-7b"

    def said(*command: str, expected: int = 0) -> str:
        done = CliRunner().invoke(bonitas.main, command, env={"BONITAS_HOME": str(tmp_path), "COLUMNS": "60"})
        assert done.exit_code == expected, done.output
        return done.output

    far = said("keys", "create", name, "--role", "ledger", "--expires", "9999-12-31", expected=2)
    assert "9999-12-31 lies too far ahead" in far
    said("keys", "create", name, "--role", "ledger", "--expires", "9999-12-30")
    said("users", "add", name, "--role", "analyst")
    policy = tmp_path / "policy.toml"
    policy.write_text(a_policy_text(name))
    said("policy", "activate", str(policy), "--by", name, "--reason", "a reason")
    for listing in (("keys", "list"), ("users", "list"), ("policy", "history")):
        assert name in said(*listing), listing


def test_the_first_run_puts_no_simulated_row_into_another_ledger(tmp_path: Path) -> None:
    book = write_ledger(tmp_path / "mine", {"customers": [a_customer(at=ms("2026-01-05"))]})
    home = tmp_path / "home"
    environment = {"BONITAS_HOME": str(home)}
    assert CliRunner().invoke(bonitas.main, ["data", "load", str(book)], env=environment).exit_code == 0
    for other in (home, tmp_path / "second"):
        environment = {"BONITAS_HOME": str(other), "BONITAS_DATABASE_URL": f"sqlite:///{home / 'bonitas.db'}"}
        done = CliRunner().invoke(bonitas.main, ["run", "--once"], env=environment)
        assert (done.exit_code, "a ledger that is not the book of this home" in done.stderr) == (1, True)
        assert not (other / "book").exists()
    store = open_store(f"sqlite:///{home / 'bonitas.db'}")
    try:
        assert holds_another_ledger(store, tmp_path / "nothing")
        assert not holds_another_ledger(store, book), "a load that was interrupted goes on"
        changed = write_ledger(
            tmp_path / "b", {"customers": [a_customer(at=ms("2026-01-05"), language="sv")]}
        )
        assert holds_another_ledger(store, changed)
    finally:
        store.close()


@pytest.mark.slow
def test_run_once_goes_from_an_empty_folder_to_decisions_and_a_copied_home_goes_on_without_the_first(
    tmp_path: Path,
) -> None:
    size = ("--customers", "2000", "--months", "12", "--seed", "3", "--port", "3917")
    first = run_bonitas(tmp_path / "home", "run", "--once", *size)
    assert first.returncode == 0, first.stderr
    for title in ("good customer", "stranger, verified", "overdue invoice", "a minor", "over the limit"):
        assert title in first.stdout
    assert "approved" in first.stdout
    assert "declined" in first.stdout
    assert "unavailable" not in first.stdout
    assert "Settlement note of life-shop-" in first.stdout
    assert "no lives of orders are shown" not in first.stderr
    decision_id = first.stdout.rsplit("bonitas decisions replay ", 1)[1].split()[0]
    replayed = run_bonitas(tmp_path / "home", "decisions", "replay", decision_id)
    assert replayed.returncode == 0, replayed.stderr
    assert "identical, bit for bit" in replayed.stdout
    assert "(shown this once)" in first.stdout
    assert open_to_others(tmp_path / "home") == []

    home = shutil.copytree(tmp_path / "home", tmp_path / "elsewhere" / "home")
    shutil.rmtree(tmp_path / "home")
    second = run_bonitas(home, "run", "--once", *size)
    assert second.returncode == 0, second.stderr
    for step in ("simulate", "train", "load"):
        assert step not in second.stderr
    assert "unavailable" not in second.stdout
    assert "shown this once" not in second.stdout
    assert "Settlement note of life-shop-" in second.stdout
    replayed = run_bonitas(home, "decisions", "replay", decision_id)
    assert replayed.returncode == 0, replayed.stderr
    trained = run_bonitas(home, "train", "invoice-eligibility", str(home / "book"), "--json")
    assert trained.returncode == 0, trained.stderr
    assert "nobody judged" not in trained.stderr
    for version in ("1", "2"):
        page = tmp_path / f"report-{version}.html"
        reported = run_bonitas(
            home, "report", "invoice-eligibility", "--version", version, "--out", str(page)
        )
        assert reported.returncode == 0, reported.stderr
    assert not (tmp_path / "home").exists()
    assert open_to_others(home) == []

    champion = MlflowClient(f"sqlite:///{home / 'mlflow.db'}").get_model_version("invoice-eligibility", "1")
    folder = local_folder(champion.source, home / "mlartifacts")
    assert folder is not None
    model = folder / "model.json"
    document = json.loads(model.read_text())
    document["score_scale"]["reference_points"] = 900
    model.write_text(json.dumps(document))
    changed = run_bonitas(home, "run", "--once", *size)
    assert changed.returncode == 1
    assert "Traceback" not in changed.stderr
    assert "invoice-eligibility 1 is not what was registered: model.json was changed" in changed.stderr
    assert f"restore {model.parent} from a backup, or train a new version: bonitas train" in changed.stderr
    assert f"(DIR of this home is {home / 'book'})" in changed.stderr
