"""A shadow beside a real service: started, answering, reported, stopped, and never seen by a checkout."""

import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from mlflow import MlflowClient

import bonitas
from features.feature_sets import INVOICE_ELIGIBILITY
from serving.process.server import running_server
from serving.process.settings import Settings
from tests.serving.http.conftest import (
    Row,
    Shop,
    a_model_document,
    free_port,
    opened,
    prepared,
    register_version,
    write_model,
)

MODEL = "invoice-eligibility"


@dataclass(frozen=True)
class Analyst:
    """A shop on a service with a worker, and the command line on the same home."""

    shop: Shop
    home: Path

    def bonitas(self, *arguments: str) -> Result:
        return CliRunner(env={"BONITAS_HOME": str(self.home)}).invoke(bonitas.main, ["shadow", *arguments])

    def json(self, *arguments: str) -> Row:
        result = self.bonitas(*arguments, "--json")
        assert result.exit_code == 0, result.output
        document: Row = json.loads(result.stdout)
        return document


def odds_moved(by: float) -> Row:
    """The model's document with all log-odds of not being paid moved."""
    document = a_model_document("scorecard")
    calibration = document["calibration"]
    moved = [odds + by for odds in calibration["log_odds"]]
    return {**document, "calibration": {**calibration, "log_odds": moved}}


@pytest.fixture(scope="module")
def analyst(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Analyst]:
    """Version 1 approves and is champion, 2 declines everybody, 3 reads features of yesterday."""
    home = tmp_path_factory.mktemp("shadow") / "home"
    home.mkdir()
    settings = replace(Settings.from_env({"BONITAS_HOME": str(home)}), model_poll_seconds=0.1)
    keys = prepared(settings)
    client = MlflowClient(tracking_uri=settings.mlflow_uri, registry_uri=settings.mlflow_uri)
    client.create_registered_model(MODEL)
    for number, by in enumerate((-1.0, 9.0, 0.0), start=1):
        folder = write_model(home / f"model-{number}", odds_moved(by))
        reads = "yesterday's" if number == 3 else INVOICE_ELIGIBILITY.version
        register_version(settings, folder, feature_set_version=reads)
    client.set_registered_model_alias(MODEL, "champion", "1")
    with running_server(settings, port=free_port(), log_file=home / "server.log", with_worker=True) as server:
        shop = opened(server, settings, keys)
        yield Analyst(shop, home)
        shop.client.close()


def eventually(found: Callable[[], bool]) -> None:
    """Until it is so; what never happens fails the test."""
    deadline = time.monotonic() + 60
    while not found():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.1)


@pytest.mark.slow
def test_a_shadow_answers_live_orders_unseen_and_its_report_compares_them(analyst: Analyst) -> None:
    shop = analyst.shop
    for number in range(6):
        shop.customer(f"c{number}")
    before = shop.score("o-before", "c0", amount_cents=1_000)

    for arguments, message in (
        (("start", MODEL, "1", "--by", "Ann", "--reason", "x"), "is the champion of"),
        (("start", MODEL, "3", "--by", "Ann", "--reason", "x"), "reads version yesterday's"),
        (
            ("start", MODEL, "9", "--by", "Ann", "--reason", "x"),
            "invoice-eligibility 9 is not in the registry",
        ),
        (("start", MODEL, "2", "--by", " ", "--reason", "x"), "--by NAME and --reason TEXT"),
        (("start", MODEL, "2", "--by", "Ann"), "--reason"),
        (("stop", MODEL, "--by", "Ann", "--reason", "x"), "has no shadow"),
        (("report", MODEL), "never had a shadow"),
    ):
        refused = analyst.bonitas(*arguments)
        assert refused.exit_code != 0
        assert message in refused.output
    started = analyst.json("start", MODEL, "2", "--by", "Ann", "--reason", "newer data")
    assert (started["change"]["version"], started["change"]["kind"]) == ("2", "started")

    answers = [shop.score(f"o-{number}", f"c{number}", amount_cents=1_000) for number in range(6)]
    assert {answer["outcome"] for answer in (before, *answers)} == {"approved"}
    assert {answer["model"]["version"] for answer in answers} == {"1"}
    assert {answer["score"] for answer in answers} == {before["score"]}
    eventually(lambda: analyst.json("report", MODEL)["compared"] == len(answers))

    report = analyst.json("report", MODEL, "--differences", "2")
    assert report["outcomes"] == [{"champion": "approved", "challenger": "declined", "decisions": 6}]
    assert (report["made"], report["waiting"], report["failed"]) == (6, 0, 0)
    assert report["conclusion"].startswith("Too few to tell: 6 decisions answered by both")
    assert [one["subject_id"] for one in report["differing"]] == [
        answer["decision_id"] for answer in reversed(answers[-2:])
    ]
    assert report["amounts"] == [
        {"currency": "EUR", "only_champion_cents": 6_000, "only_challenger_cents": 0}
    ]
    shown = analyst.bonitas("report", MODEL)
    assert "version 2 as shadow of champion 1" in shown.output
    assert "approved only by champion: 6, only by challenger: 0" in shown.output

    metrics = shop.client.get("/metrics").text
    labels = r'\{model="invoice-eligibility",version="2"\}'
    for name, value in (("decisions", 6), ("differing", 6), ("failed", 0)):
        assert re.search(rf"^bonitas_shadow_{name}_total{labels} {value}\.0$", metrics, re.MULTILINE)
    assert re.search(rf"^bonitas_shadow_not_usable{labels} 0\.0$", metrics, re.MULTILINE)

    again = analyst.json("stop", MODEL, "--by", "Bob", "--reason", "seen enough")
    assert again["change"]["version"] is None
    status = analyst.json("status", MODEL)
    assert status["is_champion"] is False
    assert (status["shadow"], [change["by"] for change in status["changes"]]) == (None, ["Ann", "Bob"])
    assert "seen enough" in analyst.bonitas("status", MODEL).output

    backfilled = analyst.json("start", MODEL, "2", "--by", "Ann", "--reason", "all", "--backfill", "1")
    assert backfilled["change"]["answers_from"] < started["change"]["answers_from"]
    eventually(lambda: analyst.json("report", MODEL)["compared"] == len(answers) + 1)
    status = analyst.json("status", MODEL)
    assert (status["answered"], status["is_champion"]) == (len(answers) + 1, False)
    assert "is the champion by now" not in analyst.bonitas("status", MODEL).output

    uri = shop.settings.mlflow_uri
    MlflowClient(tracking_uri=uri, registry_uri=uri).set_registered_model_alias(MODEL, "champion", "2")
    assert analyst.json("status", MODEL)["is_champion"] is True
    shown = " ".join(analyst.bonitas("status", MODEL).output.split())
    assert "version 2 is the champion by now, so nothing more is compared: bonitas shadow stop" in shown
