"""`bonitas policy backtest` and `propose`, from a book and a registered model to a report and a policy."""

import json
from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import bonitas
from data_contracts.simulation.portfolio import simulate_portfolio
from serving.domain.policy_reader import parse_policy
from serving.in_force.policy_activation import POLICY_FILE
from serving.process.settings import Settings
from tests.serving.http.conftest import a_model_document, register_champion, write_model


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a champion whose probabilities follow late payments, and a book beside it."""
    folder = tmp_path_factory.mktemp("home")
    simulate_portfolio(folder / "book", customers=400, months=12, seed=2, ends_on=date(2026, 6, 1))
    settings = Settings.from_env({"BONITAS_HOME": str(folder)})
    register_champion(settings, write_model(folder / "model", a_model_document("scorecard")))
    return folder


def run(home: Path, *arguments: str) -> Result:
    environment = {"BONITAS_HOME": str(home), "BONITAS_POLICY": None, "BONITAS_DATABASE_URL": None}
    return CliRunner().invoke(bonitas.main, ["policy", *arguments], env=environment)


def a_policy(folder: Path, **values: int | str) -> Path:
    text = POLICY_FILE.read_text()
    for name, value in values.items():
        lines = [
            f"{name} = {json.dumps(value)}" if line.startswith(f"{name} =") else line
            for line in text.splitlines()
        ]
        text = "\n".join(lines)
    file = folder / "changed.toml"
    file.write_text(text)
    return file


def test_a_backtest_says_what_a_policy_would_have_done(home: Path, tmp_path: Path) -> None:
    file = a_policy(tmp_path, version="tighter", cut_off_stranger=700)
    page = tmp_path / "report.html"
    done = run(home, "backtest", str(file), str(home / "book"), "--report", str(page), "--json")
    assert done.exit_code == 0, done.stderr
    figures = json.loads(done.stdout)
    assert (figures["before"]["policy_version"], figures["after"]["policy_version"]) == (
        parse_policy(POLICY_FILE.read_text()).version,
        "tighter",
    )
    assert figures["newly_declined"]["orders"] > 0
    assert figures["newly_declined"]["orders"] == figures["before"]["approved"] - figures["after"]["approved"]
    assert set(figures["newly_declined"]["by_rule"]) == {"score_below_cut_off"}
    assert page.read_text().startswith("<!doctype html>")
    back = run(home, "backtest", str(POLICY_FILE), str(home / "book"), "--against", str(file))
    assert back.exit_code == 0, back.stderr
    assert f"newly approved: {figures['newly_declined']['orders']:,} orders" in back.stdout


def test_where_nothing_better_is_found_no_policy_is_written(home: Path, tmp_path: Path) -> None:
    best = tmp_path / "best.toml"
    first = run(home, "propose", str(home / "book"), "--out", str(best), "--version", "best", "--json")
    assert first.exit_code == 0, first.stderr
    again = tmp_path / "again.toml"
    arguments = ("propose", str(home / "book"), "--from", str(best), "--out", str(again))
    done = run(home, *arguments)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith("no better than the present cut-offs")
    assert "nothing to change in policy best" in done.stderr
    assert not again.exists()
    said = json.loads(run(home, *arguments, "--json").stdout)
    assert (said["version"], said["file"], said["cut_offs"]["changes"]) == ("best", None, False)


def test_a_proposal_is_the_policy_with_other_numbers(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "proposed.toml"
    done = run(home, "propose", str(home / "book"), "--out", str(out), "--version", "spring", "--json")
    assert done.exit_code == 0, done.stderr
    said = json.loads(done.stdout)
    written = parse_policy(out.read_text())
    by_group = {cut_off["group"]: cut_off["proposed"] for cut_off in said["cut_offs"]["cut_offs"]}
    assert (written.version, written.cut_off_stranger, written.cut_off_known) == (
        "spring",
        by_group["stranger"],
        by_group["known"],
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("backtest", "{policy}", "{home}/book", "--model-version", "9"), "has no version 9"),
        (("backtest", "{policy}", "{home}/book", "--reject-factor", "3", "1"), "lower factor first"),
        (("backtest", "{policy}", "{home}/book", "--since", "2030-01-01"), "no order in the period"),
        (("backtest", "{policy}", "{home}/model"), "holds no orders"),
        (("propose", "{home}/book", "--highest-bad-rate", "0", "--lowest-approval-rate", "1"), "no pair"),
        (("propose", "{home}/book", "--reviews-per-day", "5"), "order-risk has no champion"),
    ],
)
def test_what_cannot_be_done_is_said(home: Path, arguments: tuple[str, ...], message: str) -> None:
    done = run(home, *(part.format(home=home, policy=POLICY_FILE) for part in arguments))
    assert done.exit_code != 0
    assert message in done.stderr
