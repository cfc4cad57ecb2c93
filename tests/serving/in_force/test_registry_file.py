"""A registry in a SQLite file is read without MLflow, and says what MLflow says."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from serving.in_force.model_watch import ModelRegistry, RegistryUnreachableError
from serving.in_force.registry_file import (
    KNOWN_REVISION,
    NotReadableHereError,
    RegisteredVersion,
    RegistryFile,
    RegistryFileError,
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
        "DROP TABLE alembic_version",
        "INSERT INTO registered_models (workspace, name) VALUES ('other', 'order-risk')",
    ],
)
def test_tables_that_are_not_known_are_left_to_mlflow(database: Path, change: str) -> None:
    file = RegistryFile(database)
    assert file.version_under("order-risk", "champion") is None
    execute(database, change)
    with pytest.raises((NotReadableHereError, RegistryFileError)):
        file.version_under("order-risk", "champion")
    with pytest.raises(NotReadableHereError):
        RegistryFile(database).version("order-risk", "1")


def test_a_file_that_is_gone_is_not_made_anew(database: Path) -> None:
    file = RegistryFile(database)
    assert file.version("order-risk", "1") is None
    database.unlink()
    with pytest.raises(RegistryFileError):
        file.version("order-risk", "1")
    assert not database.exists()


def test_what_is_wrong_with_tables_that_are_not_known_mlflow_says(database: Path) -> None:
    execute(database, "UPDATE alembic_version SET version_num = '0123456789ab'")
    registry = ModelRegistry(f"sqlite:///{database}", database.parent / "mlartifacts")
    with pytest.raises(RegistryUnreachableError, match="out-of-date database schema"):
        registry.version_under("order-risk", "champion")
