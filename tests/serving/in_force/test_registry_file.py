"""A registry in a SQLite file is read without MLflow, and says what MLflow says."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from features.alias_lines import CHAMPIONS_FOLDER
from serving.in_force.model_watch import ModelRegistry, ModelWatch, RegistryUnreachableError
from serving.in_force.registry_file import (
    KNOWN_REVISION,
    NotReadableHereError,
    RegisteredVersion,
    RegistryFile,
)
from tests.empty_registry import with_empty_registry

NAMES = ("order-risk", "invoice-eligibility", "empty", "unheard-of", "", "a/b")


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return with_empty_registry(tmp_path) / "mlflow.db"


@pytest.fixture
def client(database: Path) -> Iterator[Any]:
    from mlflow import MlflowClient

    uri = f"sqlite:///{database}"
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def execute(database: Path, statement: str) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(statement)


def test_the_file_answers_what_mlflow_answers(database: Path, client: Any) -> None:
    from mlflow.exceptions import MlflowException

    for name in ("order-risk", "invoice-eligibility", "empty"):
        client.create_registered_model(name)
    for number, name in enumerate(["order-risk", "order-risk", "order-risk", "invoice-eligibility"]):
        client.create_model_version(
            name, source=f"mlflow-artifacts:/{number}", tags={"a": str(number), "ß": ""}
        )
    client.set_registered_model_alias("order-risk", "champion", "2")
    client.set_registered_model_alias("order-risk", "shadow", "3")
    client.set_registered_model_alias("invoice-eligibility", "champion", "1")
    client.delete_model_version("order-risk", "3")
    execute(database, "UPDATE model_versions SET current_stage = 'Deleted_Internal' WHERE source LIKE '%3'")

    def said(question: Any, *asked: str) -> Any:
        try:
            return question(*asked)
        except MlflowException:
            return None

    file = RegistryFile(database)
    for name in NAMES:
        for alias in ("champion", "shadow", "none", ""):
            mlflow_says = said(client.get_model_version_by_alias, name, alias)
            assert file.version_under(name, alias) == (mlflow_says and str(mlflow_says.version))
        for version in ("1", "2", "3", "4", "one"):
            mlflow_says = said(client.get_model_version, name, version)
            assert file.version(name, version) == (
                mlflow_says and RegisteredVersion(source=mlflow_says.source, tags=mlflow_says.tags)
            )
    assert file.version_under("order-risk", "champion") == "2"
    assert file.version_under("invoice-eligibility", "champion") is None


def test_the_known_tables_are_those_of_the_mlflow_that_is_installed() -> None:
    from mlflow.store.db.utils import _get_latest_schema_revision

    # Where another MLflow makes other tables, look at them, and only then name them as known.
    assert _get_latest_schema_revision() == KNOWN_REVISION


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE alembic_version SET version_num = '0123456789ab'",
        "DELETE FROM alembic_version",
        "INSERT INTO registered_models (workspace, name) VALUES ('other', 'order-risk')",
    ],
)
def test_tables_that_are_not_known_are_left_to_mlflow(database: Path, change: str) -> None:
    file = RegistryFile(database)
    assert file.version_under("order-risk", "champion") is None
    execute(database, change)
    with pytest.raises(NotReadableHereError):
        file.version_under("order-risk", "champion")
    with pytest.raises(NotReadableHereError):
        RegistryFile(database).version("order-risk", "1")


LOSSES: dict[str, Callable[[Path], object]] = {
    "gone": Path.unlink,
    "emptied": lambda file: file.write_bytes(b""),
    "overwritten": lambda file: file.write_bytes(b"no database" * 1000),
    "without its tables' revision": lambda file: execute(file, "DROP TABLE alembic_version"),
}


@pytest.mark.parametrize("lose", LOSSES.values(), ids=LOSSES.keys())
@pytest.mark.parametrize("asked_before", ["never", "before"])
def test_a_registry_that_is_lost_is_never_made_anew_and_named(
    database: Path, lose: Callable[[Path], object], asked_before: str
) -> None:
    registry = ModelRegistry(f"sqlite:///{database}", database.parent / "mlartifacts")
    if asked_before != "never":
        assert registry.version_under("order-risk", "champion") is None
    lose(database)
    left = database.read_bytes() if database.exists() else None
    for _ in range(2):
        with pytest.raises(RegistryUnreachableError):
            registry.version_under("order-risk", "champion")
    assert (database.read_bytes() if database.exists() else None) == left


def test_a_lost_registry_is_logged_by_name_once_and_the_model_in_memory_serves_on(
    database: Path, caplog: pytest.LogCaptureFixture
) -> None:
    watch = ModelWatch(
        ModelRegistry(f"sqlite:///{database}", database.parent / "mlartifacts"),
        "order-risk",
        poll_seconds=60,
        on_change=lambda: None,
    )
    database.unlink()
    watch.look()
    watch.look()
    assert watch.in_force.technical_reason is not None
    assert str(database) in watch.in_force.technical_reason
    (line,) = [one for one in caplog.records if one.msg == "model_registry_unreachable"]
    assert str(database) in line.reason


def test_training_makes_no_new_registry_for_a_history_that_knows_of_models(database: Path) -> None:
    from training.errors import TrainingError
    from training.registry.registry import ModelRegistry as TrainedModels

    champions = database.parent / "mlartifacts" / CHAMPIONS_FOLDER
    champions.mkdir(parents=True)
    (champions / "order-risk.jsonl").write_text("{}\n")
    database.unlink()
    with pytest.raises(TrainingError, match="Restore it from a backup"):
        TrainedModels(f"sqlite:///{database}", champions.parent)
    assert not database.exists()


def test_what_is_wrong_with_tables_that_are_not_known_mlflow_says(database: Path) -> None:
    execute(database, "UPDATE alembic_version SET version_num = '0123456789ab'")
    registry = ModelRegistry(f"sqlite:///{database}", database.parent / "mlartifacts")
    with pytest.raises(RegistryUnreachableError, match="out-of-date database schema"):
        registry.version_under("order-risk", "champion")
