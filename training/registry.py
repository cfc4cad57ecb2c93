"""Where trained models are kept: MLflow on a database, its files in a local folder."""

import hashlib
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException

CHAMPION = "champion"


@dataclass(frozen=True, kw_only=True)
class RegisteredVersion:
    """A registered model version."""

    model_name: str
    version: str
    run_id: str
    became_champion: bool


class ModelRegistry:
    """The registry at one tracking URI (sqlite:///... or postgresql://...)."""

    def __init__(self, tracking_uri: str, artifact_root: Path) -> None:
        if tracking_uri.startswith("sqlite:///"):
            Path(tracking_uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        # The first use of a database runs dozens of migrations, each of which would be a line of log.
        logging.getLogger("alembic").setLevel(logging.WARNING)
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        self._client = MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)
        self._tracking_uri = tracking_uri
        self._artifact_root = artifact_root

    def champion_version(self, model_name: str) -> str | None:
        """The version under the alias `champion`, None if there is none."""
        try:
            return str(self._client.get_model_version_by_alias(model_name, CHAMPION).version)
        except MlflowException as problem:
            if problem.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
                return None
            raise

    def champion_feature_set_version(self, model_name: str) -> str | None:
        """The feature set that the champion reads, None if there is no champion."""
        version = self.champion_version(model_name)
        if version is None:
            return None
        return str(self._client.get_model_version(model_name, version).tags.get("feature_set_version"))

    def register(
        self,
        model_name: str,
        folder: Path,
        *,
        parameters: dict[str, Any],
        metrics: dict[str, float],
        tags: dict[str, str],
        now_ms: int,
        may_become_champion: bool,
    ) -> RegisteredVersion:
        """Log a run with the files of `folder` (its `model/` is the model) and register the model.

        The version becomes champion if it may and there is none yet, or only one that reads another
        feature set than this code computes: such a champion can decide about nobody.
        """
        run = self._client.create_run(self._experiment_id(model_name), run_name=tags.get("data_fingerprint"))
        run_id = run.info.run_id
        self._client.log_batch(
            run_id,
            metrics=[Metric(name, value, now_ms, 0) for name, value in metrics.items()],
            params=[Param(name, str(value)) for name, value in parameters.items()],
            tags=[RunTag(name, value) for name, value in tags.items()],
        )
        self._client.log_artifacts(run_id, str(folder))
        self._client.set_terminated(run_id)
        if not self._client.search_registered_models(f"name = '{model_name}'"):
            self._client.create_registered_model(model_name)
        source = f"{self._client.get_run(run_id).info.artifact_uri}/model"
        version = self._client.create_model_version(model_name, source, run_id, tags=tags).version
        served = self.champion_feature_set_version(model_name) == tags.get("feature_set_version")
        becomes_champion = may_become_champion and not served
        if becomes_champion:
            self._client.set_registered_model_alias(model_name, CHAMPION, version)
        return RegisteredVersion(
            model_name=model_name,
            version=str(version),
            run_id=run_id,
            became_champion=becomes_champion,
        )

    def model_folder(self, model_name: str, version: str, destination: Path) -> Path:
        """Bring the files of a version into a local folder and say where they are."""
        found = self._client.get_model_version(model_name, version)
        mlflow.set_tracking_uri(self._tracking_uri)
        return Path(mlflow.artifacts.download_artifacts(found.source, dst_path=str(destination)))

    def _experiment_id(self, model_name: str) -> str:
        experiment = self._client.get_experiment_by_name(model_name)
        if experiment is not None:
            return str(experiment.experiment_id)
        self._artifact_root.mkdir(parents=True, exist_ok=True)
        location = (self._artifact_root.absolute() / model_name).as_uri()
        return str(self._client.create_experiment(model_name, artifact_location=location))


def flat_metrics(figures: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Figures by candidate as MLflow takes them: one number under one dotted name."""
    metrics = {}
    for candidate, values in figures.items():
        for name, value in values.items():
            if isinstance(value, dict) and "value" in value:
                for part in ("value", "low", "high"):
                    metrics[f"{candidate}.{name}.{part}"] = value[part]
            elif isinstance(value, int | float):
                metrics[f"{candidate}.{name}"] = float(value)
    return metrics


def data_fingerprint(directory: Path) -> str:
    """SHA-256 over the names and contents of a ledger folder's Parquet and TOML files."""
    digest = hashlib.sha256()
    files = [*directory.glob("*/*.parquet"), *directory.glob("*.parquet"), *directory.glob("*.toml")]
    for file in sorted(files):
        digest.update(file.relative_to(directory).as_posix().encode())
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]
