"""A model whose files are not those that were registered decides about nobody, and says so, everywhere."""

import hashlib
import json
import logging
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mlflow import MlflowClient

import bonitas
from features.feature_sets import INVOICE_ELIGIBILITY
from features.model_files import ModelFiles, local_folder
from serving.in_force.champion_notice import champion_notices
from serving.in_force.model_watch import (
    CHAMPION,
    LOG,
    SHADOW,
    ModelRegistry,
    ModelWatch,
    RegistryUnreachableError,
)
from serving.in_force.policy_activation import POLICY_FILE
from serving.in_force.scorer import ChampionModel, ModelFilesDifferError, ModelNotUsableError
from serving.process.settings import Settings
from tests.serving.http.conftest import a_model_document, write_model
from tests.serving.shadow_desk import KnownModels
from training.errors import TrainingError
from training.promotion.comparison import compare
from training.promotion.promotion import roll_back
from training.registry.alias_history import HistoryDamagedError
from training.registry.champion_history import ChampionChange, ChangeKind
from training.registry.registered_versions import VersionChangedError, VersionOutdatedError
from training.registry.registry import ModelRegistry as TrainingRegistry
from training.registry.shadowing import start_shadow

MODEL = INVOICE_ELIGIBILITY.name
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
Document = dict[str, Any]


@dataclass(frozen=True)
class Workshop:
    """A home with a registry, as training writes it and as the service reads it."""

    home: Path
    training: TrainingRegistry
    serving: ModelRegistry

    @property
    def client(self) -> MlflowClient:
        uri = f"sqlite:///{self.home / 'mlflow.db'}"
        return MlflowClient(tracking_uri=uri, registry_uri=uri)

    @property
    def settings(self) -> Settings:
        return Settings.from_env({"BONITAS_HOME": str(self.home)})

    def register(self, kind: str, *, hours: int = 0, reads: str = INVOICE_ELIGIBILITY.version) -> str:
        shutil.rmtree(self.home / "run", ignore_errors=True)
        document = a_model_document(kind, trained_until="2026-05-01T00:00:00+00:00")
        write_model(self.home / "run" / "model", document)
        for name in ("validation_report.html", "validation_report.json"):
            (self.home / "run" / name).write_text("{}")
        return self.training.register(
            MODEL,
            self.home / "run",
            parameters={},
            metrics={},
            tags={"feature_set_version": reads},
            now_ms=round((NOON + timedelta(hours=hours)).timestamp() * 1000),
            may_become_champion=True,
        ).version

    def folder(self, version: str) -> Path:
        folder = local_folder(self.client.get_model_version(MODEL, version).source, self.home / "mlartifacts")
        assert folder is not None
        return folder

    def promote(self, version: str, *, hours: int = 1) -> ChampionChange:
        change = ChampionChange(
            version=version,
            kind=ChangeKind.PROMOTED,
            by="Ann",
            reason="x",
            at=NOON + timedelta(hours=hours),
        )
        return self.training.put_champion(MODEL, change, instead_of=self.training.champion_version(MODEL))

    def watch(self, alias: str = CHAMPION) -> ModelWatch:
        watch = ModelWatch(self.serving, MODEL, alias=alias, poll_seconds=3600.0, on_change=lambda: None)
        watch.look()
        return watch

    def history_file(self, alias: str = "champions") -> Path:
        return self.home / "mlartifacts" / alias / f"{MODEL}.jsonl"

    def without_tags(self, version: str) -> None:
        for tag in ("model_files", "model_files_sha256"):
            self.client.delete_model_version_tag(MODEL, version, tag)


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory, empty_mlflow_database: Path) -> Workshop:
    """Version 1, a booster, is champion; version 2 is a scorecard. Who changes a file restores it."""
    return a_workshop(tmp_path_factory.mktemp("workshop"), empty_mlflow_database)


@pytest.fixture
def workshop(tmp_path: Path, empty_mlflow_database: Path) -> Workshop:
    """The same, for one test."""
    return a_workshop(tmp_path, empty_mlflow_database)


def a_workshop(home: Path, empty_mlflow_database: Path) -> Workshop:
    uri = f"sqlite:///{home / 'mlflow.db'}"
    shutil.copyfile(empty_mlflow_database, home / "mlflow.db")
    workshop = Workshop(
        home, TrainingRegistry(uri, home / "mlartifacts"), ModelRegistry(uri, home / "mlartifacts")
    )
    assert workshop.register("lightgbm") == "1"
    assert workshop.register("scorecard") == "2"
    return workshop


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    LOG.addHandler(caplog.handler)
    with caplog.at_level(logging.INFO, logger=LOG.name):
        yield caplog
    LOG.removeHandler(caplog.handler)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_one_byte_that_flipped_in_any_file_of_the_folder_is_found_by_service_and_training(
    registered: Workshop, data: st.DataObject
) -> None:
    version = data.draw(st.sampled_from(("1", "2")))
    file = data.draw(st.sampled_from(sorted(registered.folder(version).iterdir())))
    content = file.read_bytes()
    place = data.draw(st.integers(0, len(content) - 1))
    changed = content[place] ^ data.draw(st.integers(1, 255))
    file.write_bytes(content[:place] + bytes([changed]) + content[place + 1 :])
    try:
        found = rf"{MODEL} {version} is not what was registered: {file.name} was changed"
        with pytest.raises(ModelFilesDifferError, match=found):
            registered.serving.load(MODEL, version)
        with pytest.raises(VersionChangedError, match=found):
            registered.training.verified_files(MODEL, version)
    finally:
        file.write_bytes(content)
    assert registered.serving.load(MODEL, version).version == version


def another_intercept(document: Document) -> None:
    document["scorecard"]["intercept"] -= 6.0


def another_calibration(document: Document) -> None:
    document["calibration"]["log_odds"][0] = -9.0


def another_scale(document: Document) -> None:
    document["score_scale"]["reference_points"] = 900


def another_usual_value(document: Document) -> None:
    document["typical_values"]["account_age_days_max"] = 9.0


@pytest.mark.parametrize(
    "change", [another_intercept, another_calibration, another_scale, another_usual_value]
)
def test_a_changed_champion_decides_about_nobody_until_its_file_is_restored(
    registered: Workshop, logged: pytest.LogCaptureFixture, change: Callable[[Document], None]
) -> None:
    registered.promote("2") if registered.training.champion_version(MODEL) == "1" else None
    holding = registered.watch()
    file = registered.folder("2") / "model.json"
    content = file.read_bytes()
    document = json.loads(content)
    change(document)
    file.write_text(json.dumps(document))
    try:
        holding.look()
        assert isinstance(holding.in_force.model, ChampionModel), "who has the right model keeps it"
        starting = registered.watch()
        starting.look()
        assert starting.in_force.model is None
        assert starting.in_force.version == "2"
        assert starting.in_force.technical_reason == (
            f"{MODEL} 2 is not what was registered: model.json was changed (says the registry); restore "
            f"{file.parent} from a backup, or train a new version: bonitas train {MODEL} DIR"
        )
        alarms = [record for record in logged.records if record.message == "model_file_differs"]
        assert {record.levelname for record in alarms} == {"ERROR"}
        assert len({id(record) for record in alarms}) == 1, "it is said once, not at every look"
        (notice,) = (
            notice
            for notice in champion_notices(registered.settings, registered.serving)
            if notice.startswith(f"{MODEL} 2 is not")
        )
        assert "Until then every checkout is answered `unavailable` (no_model)." in notice
    finally:
        file.write_bytes(content)
    starting.look()
    assert starting.in_force.model is not None


def test_a_file_that_is_missing_added_or_renamed_and_a_folder_that_is_gone_are_found(
    workshop: Workshop,
) -> None:
    folder = workshop.folder("1")
    (folder / "notes.txt").write_text("")
    assert "notes.txt was added" in refusal(workshop)
    (folder / "notes.txt").unlink()
    (folder / "booster.txt").rename(folder / "booster2.txt")
    assert "booster.txt is missing, booster2.txt was added" in refusal(workshop)
    (folder / "model.json").unlink()
    assert "model.json is missing" in refusal(workshop)
    shutil.rmtree(folder)
    assert "its folder is gone" in refusal(workshop)
    with pytest.raises(VersionChangedError, match="its folder is gone"):
        workshop.training.verified_files(MODEL, "1")


def refusal(workshop: Workshop, version: str = "1") -> str:
    with pytest.raises(ModelFilesDifferError) as refused:
        workshop.serving.load(MODEL, version)
    return str(refused.value)


def test_a_changed_file_with_a_changed_tag_is_found_by_the_history(workshop: Workshop) -> None:
    folder = workshop.folder("2")
    document = json.loads((folder / "model.json").read_text())
    another_intercept(document)
    (folder / "model.json").write_text(json.dumps(document))
    for tag, value in ModelFiles.read(folder).fingerprint.to_tags().items():
        workshop.client.set_model_version_tag(MODEL, "2", tag, value)
    registration = f"says {workshop.history_file()}, line "
    assert "model.json was changed (" + registration in refusal(workshop, "2")
    workshop.without_tags("2")
    assert registration in refusal(workshop, "2")
    # Whoever changes the line too breaks the chain of the lines after it.
    assert workshop.register("scorecard", hours=1) == "3"
    kept = json.dumps(registered_files(workshop, "2"))
    now = json.dumps(ModelFiles.read(folder).fingerprint.to_json())
    history = workshop.history_file().read_text()
    assert kept in history
    workshop.history_file().write_text(history.replace(kept, now))
    assert "the record of its files was changed" in refusal(workshop, "2")
    with pytest.raises(HistoryDamagedError):
        workshop.training.verified_files(MODEL, "2")


def test_a_version_that_nobody_kept_a_hash_of_judges_what_was_stored_and_serves_nothing(
    workshop: Workshop,
) -> None:
    workshop.without_tags("1")
    workshop.history_file().unlink()
    with pytest.raises(ModelNotUsableError, match="registered by an older release, which kept no hash"):
        workshop.serving.load(MODEL, "1")
    assert not isinstance(workshop.serving.load_for_replay(MODEL, "1"), ChampionModel)
    with pytest.raises(VersionOutdatedError, match="train a new version: bonitas train"):
        workshop.training.refuse_unless_served(MODEL, "1")
    assert workshop.register("scorecard", hours=1) == "3"
    assert workshop.training.champion_version(MODEL) == "3"
    assert workshop.watch().in_force.model is not None


def test_an_alias_moved_with_edited_tags_leaves_nothing_wrong_in_the_history(workshop: Workshop) -> None:
    tags = workshop.client.get_model_version(MODEL, "2").tags
    for tag, value in ModelFiles(contents={"model.json": b"{}"}).fingerprint.to_tags().items():
        workshop.client.set_model_version_tag(MODEL, "2", tag, value)
    workshop.client.set_registered_model_alias(MODEL, CHAMPION, "2")
    found = workshop.training.champion_changes(MODEL, now=NOON)[-1]
    assert (found.kind, found.files) == (ChangeKind.FOUND, ModelFiles.read(workshop.folder("2")).fingerprint)
    assert "(says the registry)" in refusal(workshop, "2")
    for tag in ("model_files", "model_files_sha256"):
        workshop.client.set_model_version_tag(MODEL, "2", tag, tags[tag])
    assert workshop.serving.load(MODEL, "2").version == "2"


def test_every_line_that_registers_a_version_or_puts_it_in_place_names_its_hash(workshop: Workshop) -> None:
    hashes = {version: registered_files(workshop, version)["sha256"] for version in "12"}
    workshop.promote("2")
    begun: list[str] = []
    started = start_shadow(
        MODEL,
        "1",
        registry=workshop.training,
        by="Ann",
        reason="x",
        now=NOON,
        answers_from=NOON,
        begin=lambda: begun.append("1"),
    )
    assert started.files is not None
    assert started.files.sha256 == hashes["1"]
    found = [
        (line["line"], line["version"], line["model_files"]["sha256"])
        for alias in ("champions", "shadows")
        for line in map(json.loads, workshop.history_file(alias).read_text().splitlines())
        if line["line"] != "outcome"
    ]
    assert found == [
        ("registered", "1", hashes["1"]),
        ("announced", "1", hashes["1"]),
        ("registered", "2", hashes["2"]),
        ("announced", "2", hashes["2"]),
        ("announced", "1", hashes["1"]),
    ]
    change = workshop.training.champion_changes(MODEL, now=NOON)[-1]
    assert change.files is not None
    assert change.files.sha256 == hashes["2"]
    assert workshop.watch(SHADOW).in_force.version == "1"


def registered_files(workshop: Workshop, version: str) -> Document:
    """What the history says of a version where it was registered."""
    lines = map(json.loads, workshop.history_file().read_text().splitlines())
    files: Document = next(
        line["model_files"]
        for line in lines
        if (line["line"], line.get("version")) == ("registered", version)
    )
    return files


def test_a_history_of_an_older_release_is_read_verified_and_continued(workshop: Workshop) -> None:
    older = []
    line_before = "0" * 64
    for raw in workshop.history_file().read_bytes().splitlines():
        line = json.loads(raw)
        if line["line"] != "registered":
            line.pop("model_files", None)
            older.append(json.dumps({**line, "line_before": line_before}).encode() + b"\n")
            line_before = hashlib.sha256(older[-1]).hexdigest()
    workshop.history_file().write_bytes(b"".join(older))
    workshop.without_tags("1")
    (change,) = workshop.training.champion_changes(MODEL, now=NOON)
    assert (change.version, change.files) == ("1", None)
    assert workshop.register("scorecard", hours=1) == "3"
    assert [change.version for change in workshop.training.champion_changes(MODEL, now=NOON)] == ["1", "3"]
    assert workshop.serving.load(MODEL, "3").version == "3"
    content = workshop.history_file().read_bytes()
    assert content.startswith(b"".join(older))
    workshop.history_file().write_bytes(content.replace(b"passed", b"missed", 1))
    assert "line 2: the line before it was changed or removed" in refusal(workshop, "3")


def without_history(workshop: Workshop) -> None:
    shutil.rmtree(workshop.history_file().parent)


def with_an_empty_history(workshop: Workshop) -> None:
    workshop.history_file().write_bytes(b"")


def with_a_history_cut_short(workshop: Workshop) -> None:
    lines = workshop.history_file().read_bytes().splitlines(keepends=True)
    before = next(place for place, line in enumerate(lines) if json.loads(line).get("version") == "2")
    workshop.history_file().write_bytes(b"".join(lines[:before]))


def with_a_folder_for_a_history(workshop: Workshop) -> None:
    workshop.history_file().unlink()
    workshop.history_file().mkdir()


@pytest.mark.parametrize(
    "lose", [without_history, with_an_empty_history, with_a_history_cut_short, with_a_folder_for_a_history]
)
def test_a_changed_model_whose_record_was_lost_with_its_tags_edited_decides_about_nobody(
    workshop: Workshop, logged: pytest.LogCaptureFixture, lose: Callable[[Workshop], None]
) -> None:
    folder = workshop.folder("2")
    document = json.loads((folder / "model.json").read_text())
    another_intercept(document)
    (folder / "model.json").write_text(json.dumps(document))
    for tag, value in ModelFiles.read(folder).fingerprint.to_tags().items():
        workshop.client.set_model_version_tag(MODEL, "2", tag, value)
    lose(workshop)
    workshop.client.set_registered_model_alias(MODEL, CHAMPION, "2")
    assert f"nobody can tell whether {MODEL} 2 is what was registered" in refusal(workshop, "2")
    with pytest.raises(ModelFilesDifferError):
        workshop.serving.load_for_replay(MODEL, "2")
    found = workshop.watch().in_force
    assert (found.model, found.version) == (None, "2")
    alarms = {record.levelname for record in logged.records if record.message == "model_file_differs"}
    assert alarms == {"ERROR"}
    if workshop.history_file().is_dir():
        with pytest.raises(HistoryDamagedError, match="cannot be read"):
            workshop.training.champion_changes(MODEL, now=NOON)
        workshop.history_file().rmdir()
    with pytest.raises(VersionChangedError, match="nobody can tell"):
        workshop.training.refuse_unless_served(MODEL, "2")
    # That the alias is noted in a new history vouches for nothing; a new version does.
    assert workshop.training.champion_changes(MODEL, now=NOON)[-1].version == "2"
    assert f"{workshop.history_file()} does not say so" in refusal(workshop, "2")
    assert workshop.register("scorecard", hours=1) == "3"
    assert workshop.watch().in_force.version == "3"
    assert workshop.watch().in_force.model is not None


def test_a_version_of_a_registry_that_begins_anew_is_not_taken_for_one_of_the_old(
    workshop: Workshop, empty_mlflow_database: Path
) -> None:
    workshop.promote("2")
    shutil.copyfile(empty_mlflow_database, workshop.home / "mlflow.db")
    anew = Workshop(
        workshop.home,
        TrainingRegistry(f"sqlite:///{workshop.home / 'mlflow.db'}", workshop.home / "mlartifacts"),
        ModelRegistry(f"sqlite:///{workshop.home / 'mlflow.db'}", workshop.home / "mlartifacts"),
    )
    assert anew.register("scorecard", hours=2) == "1"
    assert anew.register("lightgbm", hours=3) == "2"
    for version in "12":
        assert anew.serving.load(MODEL, version).version == version
        anew.training.refuse_unless_served(MODEL, version)
    assert anew.training.champion_version(MODEL) == "1"


def test_a_changed_version_is_neither_promoted_nor_rolled_back_to_nor_made_a_shadow_nor_compared(
    workshop: Workshop, tmp_path: Path
) -> None:
    workshop.promote("2")
    file = workshop.folder("1") / "booster.txt"
    content = file.read_bytes()
    file.write_bytes(content[:-1])
    before = workshop.history_file().read_bytes()
    with pytest.raises(VersionChangedError, match=r"1 is not what was registered: booster\.txt was changed"):
        workshop.promote("1")
    with pytest.raises(VersionChangedError, match=r"booster\.txt was changed"):
        roll_back(MODEL, registry=workshop.training, by="Bob", reason="x", now=NOON)
    with pytest.raises(VersionChangedError, match=r"booster\.txt was changed"):
        start_shadow(
            MODEL,
            "1",
            registry=workshop.training,
            by="Ann",
            reason="x",
            now=NOON,
            answers_from=NOON,
            begin=lambda: None,
        )
    with pytest.raises(VersionChangedError, match=r"booster\.txt was changed"):
        compare(MODEL, tmp_path, registry=workshop.training, version="1")
    assert workshop.training.champion_version(MODEL) == "2"
    assert workshop.training.shadow_version(MODEL) is None
    assert workshop.history_file().read_bytes() == before
    file.write_bytes(content)
    assert roll_back(MODEL, registry=workshop.training, by="Bob", reason="x", now=NOON).version == "1"


@pytest.mark.parametrize(
    "command",
    [
        "compare MODEL DIR --version 2",
        "promote MODEL 1 DIR --by Ann",
        "report MODEL --version 1 --out DIR/report.html",
        "rollback MODEL --by Ann --reason x",
        "shadow start MODEL 1 --by Ann --reason x",
        "policy backtest POLICY DIR --model-version 1",
        "policy propose DIR --model-version 1",
    ],
)
def test_every_command_that_loads_a_changed_version_names_its_file_and_what_to_do(
    registered: Workshop, tmp_path: Path, command: str
) -> None:
    champion = "1" if command.startswith("compare") else "2"
    if registered.training.champion_version(MODEL) != champion:
        registered.promote(champion)
    (tmp_path / "DIR").mkdir()
    file = registered.folder("1") / "booster.txt"
    content = file.read_bytes()
    file.write_bytes(content + b"\n")
    names = {"MODEL": MODEL, "DIR": str(tmp_path / "DIR"), "POLICY": str(POLICY_FILE)}
    try:
        result = CliRunner(env={"BONITAS_HOME": str(registered.home)}).invoke(
            bonitas.main, [names.get(word, word) for word in command.split()]
        )
    finally:
        file.write_bytes(content)
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert f"{MODEL} 1 is not what was registered: booster.txt was changed" in result.stderr
    assert "from a backup, or train a new version: bonitas train" in result.stderr


def test_the_history_says_of_a_champion_that_it_decides_about_nobody(registered: Workshop) -> None:
    registered.promote("1") if registered.training.champion_version(MODEL) != "1" else None
    file = registered.folder("1") / "booster.txt"
    content = file.read_bytes()
    runner = CliRunner(env={"BONITAS_HOME": str(registered.home)})
    quiet = json.loads(runner.invoke(bonitas.main, ["history", MODEL, "--json"]).stdout)
    file.write_bytes(b"")
    try:
        told = runner.invoke(bonitas.main, ["history", MODEL])
    finally:
        file.write_bytes(content)
    assert quiet["champion_not_usable"] is None
    assert f"the champion decides about nobody: {MODEL} 1 is not what was registered" in told.stdout


def test_a_changed_champion_gives_way_to_the_next_good_version_and_an_unreachable_one_does_not(
    workshop: Workshop,
) -> None:
    assert workshop.register("scorecard", hours=1) == "3"
    assert workshop.training.champion_version(MODEL) == "1"
    folder = workshop.folder("1")
    (folder / "model.json").chmod(0o000)
    if not can_be_read(folder / "model.json"):
        with pytest.raises(TrainingError, match="cannot be read"):
            workshop.register("scorecard", hours=2)
        assert workshop.training.champion_version(MODEL) == "1"
    (folder / "model.json").chmod(0o644)
    (folder / "model.json").write_text("{}")
    version = workshop.register("scorecard", hours=3)
    assert workshop.training.champion_version(MODEL) == version
    change = workshop.training.champion_changes(MODEL, now=NOON)[-1]
    assert change.reason == "passed every gate, and version 1 is not what was registered"


def can_be_read(file: Path) -> bool:
    """Root reads everything."""
    try:
        file.read_bytes()
    except PermissionError:
        return False
    return True


def test_a_start_names_each_champion_that_cannot_decide_and_how_to_mend_it(workshop: Workshop) -> None:
    assert champion_notices(workshop.settings, workshop.serving) == (
        "order-risk has no champion: bonitas train order-risk DIR. Until then approved orders wait for it.",
    )
    older = a_model_document("scorecard", feature_set={"name": MODEL, "version": "older"})
    workshop.client.set_registered_model_alias(MODEL, CHAMPION, an_older_version(workshop, older))
    first, _ = champion_notices(workshop.settings, workshop.serving)
    assert first == (
        f"{MODEL} 3 reads version older of {MODEL}, this release computes {INVOICE_ELIGIBILITY.version}: "
        f"train a new version: bonitas train {MODEL} DIR. Until then every checkout is answered "
        "`unavailable` (no_model)."
    )
    for notice in champion_notices(workshop.settings, Away()):
        assert notice.startswith("the model registry cannot be read now (down). Until it can, ")


class Away(KnownModels):
    """A registry that does not answer; MLflow's own takes minutes to give up."""

    def version_under(self, model_name: str, alias: str) -> str | None:  # noqa: ARG002 - it never answers
        raise RegistryUnreachableError("down")


def an_older_version(workshop: Workshop, document: Document) -> str:
    """A version as the first releases registered it: no hash anywhere."""
    folder = write_model(workshop.home / "older", document)
    tags = {"feature_set_version": document["feature_set"]["version"]}
    return str(workshop.client.create_model_version(MODEL, source=folder.as_uri(), tags=tags).version)


def named_as_by_an_earlier_release(home: Path) -> None:
    """Name every folder in the registry by its whole path, as releases did that knew no other way."""
    root = (home / "mlartifacts").as_uri()
    with closing(sqlite3.connect(home / "mlflow.db")) as database, database:
        for table, column in (
            ("experiments", "artifact_location"),
            ("runs", "artifact_uri"),
            ("model_versions", "source"),
            ("model_versions", "storage_location"),
        ):
            database.execute(
                f"UPDATE {table} SET {column} = replace({column}, 'mlflow-artifacts:', '{root}')"
            )


@pytest.mark.parametrize("release", ["this", "earlier"])
def test_a_home_that_was_moved_serves_trains_and_reports_with_the_first_one_gone(
    workshop: Workshop, release: str
) -> None:
    first = workshop.home
    if release == "earlier":
        named_as_by_an_earlier_release(first)
        assert workshop.serving.load(MODEL, "1").version == "1"
    second = shutil.copytree(first, first.with_name(f"{first.name}-copy"))
    shutil.rmtree(first)
    uri = f"sqlite:///{second / 'mlflow.db'}"
    moved = Workshop(
        second, TrainingRegistry(uri, second / "mlartifacts"), ModelRegistry(uri, second / "mlartifacts")
    )
    assert moved.serving.load(MODEL, "1").version == "1"
    assert moved.register("scorecard", hours=5) == "3"
    assert moved.client.get_model_version(MODEL, "3").source.startswith(f"mlflow-artifacts:/{MODEL}/")
    assert moved.folder("3").is_relative_to(second)
    assert moved.promote("3", hours=6).version == "3"
    assert moved.watch().in_force.version == "3"
    for version in ("2", "3"):
        found, page = moved.training.run_file(MODEL, version, "validation_report.html", second)
        assert (found, page.read_text()) == (version, "{}")
    (moved.folder("1") / "model.json").unlink()
    with pytest.raises(ModelNotUsableError, match=r"model\.json is missing.*restore .*-copy/mlartifacts"):
        moved.serving.load(MODEL, "1")
    assert not first.exists()
