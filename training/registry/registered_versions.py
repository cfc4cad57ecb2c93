"""What is registered: versions of models, what each reads, and whether its files are still those."""

import logging
import shutil
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from data_contracts.instants import instant_ms
from data_contracts.private_files import private_file
from features.alias_lines import (
    CHAMPIONS_FOLDER,
    LineDamagedError,
    recorded_fingerprints,
    why_not_registered,
)
from features.feature_sets import FEATURE_SETS
from features.model_files import (
    FilesFingerprint,
    ModelFiles,
    RecordedFingerprint,
    local_folder,
    not_as_registered,
    record_unreadable,
    registered_without_hash,
)
from training.errors import TrainingError
from training.registry.alias_history import HistoryDamagedError

CHAMPION = "champion"
SHADOW = "shadow"


class VersionNotServedError(TrainingError):
    """The service could not use this version; the message says why and what to do."""


class VersionOutdatedError(VersionNotServedError):
    """An earlier release made the version: its features are computed no more, or nobody kept its hash."""


class VersionChangedError(VersionNotServedError):
    """The files of the version are not those that were registered, or the record of that is gone; the message
    names them.
    """


def _refuse_to_make_anew(file: Path, artifact_root: Path) -> None:
    """An empty registry in the place of one that was lost would take the champion from every service."""
    histories = artifact_root / CHAMPIONS_FOLDER
    is_there = file.exists() and file.stat().st_size > 0
    if is_there or not histories.is_dir() or not any(histories.iterdir()):
        return
    raise TrainingError(
        f"the model registry {file} is gone, though {histories} knows of its models: is BONITAS_MLFLOW_URI "
        f"right? Restore it from a backup; to begin a new one, move {artifact_root} away first"
    )


class RegisteredVersions:
    """The versions at one tracking URI (sqlite:///... or postgresql://...), as they can be read.

    Raises TrainingError where the file of a registry is gone whose champions the history knows.
    """

    def __init__(self, tracking_uri: str, artifact_root: Path) -> None:
        if tracking_uri.startswith("sqlite:///"):
            file = Path(tracking_uri.removeprefix("sqlite:///"))
            _refuse_to_make_anew(file, artifact_root)
            private_file(file)
        # The first use of a database runs dozens of migrations, each of which would be a line of log.
        logging.getLogger("alembic").setLevel(logging.WARNING)
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        self._client = MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)
        self._tracking_uri = tracking_uri
        self._artifact_root = artifact_root

    def champion_version(self, model_name: str) -> str | None:
        """The version under the alias `champion`, None if there is none."""
        return self._version_under(model_name, CHAMPION)

    def shadow_version(self, model_name: str) -> str | None:
        """The version under the alias `shadow`, None if there is none."""
        return self._version_under(model_name, SHADOW)

    def _version_under(self, model_name: str, alias: str) -> str | None:
        try:
            return str(self._client.get_model_version_by_alias(model_name, alias).version)
        except MlflowException as problem:
            if problem.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
                return None
            raise

    def feature_set_version(self, model_name: str, version: str) -> str:
        """The feature set that a version reads.

        Raises TrainingError, naming the versions there are, if there is no such version.
        """
        return str(self._version(model_name, version).tags.get("feature_set_version"))

    def _version(self, model_name: str, version: str) -> Any:
        known = self.versions(model_name)
        if version not in known:
            raise TrainingError(
                f"{model_name} has no version {version}; registered: {', '.join(known) or 'none'}"
            )
        return self._client.get_model_version(model_name, version)

    def refuse_unless_served(self, model_name: str, version: str) -> None:
        """Raise VersionNotServedError for a version that the service would not use.

        VersionOutdatedError: its features are computed no more, or an older release kept no hash of its
        files. VersionChangedError: its files are not those that were registered. Raises TrainingError if
        there is no such version.
        """
        read, computed = self.feature_set_version(model_name, version), FEATURE_SETS[model_name].version
        if read != computed:
            raise VersionOutdatedError(
                f"version {version} of {model_name} reads version {read} of its features, this code computes "
                f"{computed}: the service could not use it; train a new version: "
                f"bonitas train {model_name} DIR"
            )
        if self.vouched_fingerprint(model_name, version) is None:
            raise VersionOutdatedError(registered_without_hash(model_name, version))

    def why_champion_is_not_served(self, model_name: str) -> VersionNotServedError | None:
        """Why the champion decides about nobody; None where it does, or where there is none."""
        version = self.champion_version(model_name)
        if version is None:
            return None
        try:
            self.refuse_unless_served(model_name, version)
        except VersionNotServedError as problem:
            return problem
        return None

    def verified_files(self, model_name: str, version: str) -> ModelFiles:
        """The files of a version, read once and compared with every hash that was kept of them.

        A version that was registered before hashes were kept passes. Raises VersionChangedError naming the
        files that differ, HistoryDamagedError, and TrainingError where the folder cannot be read or there is
        no such version.
        """
        return self._verified(model_name, version)[0]

    def vouched_fingerprint(self, model_name: str, version: str) -> FilesFingerprint | None:
        """Of the files as they are now, which are those registered; None where no hash of them was kept.

        Raises what `verified_files` raises.
        """
        files, recorded = self._verified(model_name, version)
        return files.fingerprint if recorded else None

    def _verified(self, model_name: str, version: str) -> tuple[ModelFiles, tuple[RecordedFingerprint, ...]]:
        recorded = self.kept_fingerprints(model_name, version)
        source = str(self._version(model_name, version).source)
        folder = local_folder(source, self._artifact_root)
        where = str(folder or source)
        if folder is not None and not folder.is_dir():
            raise VersionChangedError(not_as_registered(model_name, version, "its folder is gone", where))
        try:
            if folder is not None:
                files = ModelFiles.read(folder)
            else:
                with tempfile.TemporaryDirectory() as scratch:
                    mlflow.set_tracking_uri(self._tracking_uri)
                    brought = mlflow.artifacts.download_artifacts(source, dst_path=scratch)
                    files = ModelFiles.read(Path(brought))
        except (MlflowException, OSError) as problem:
            raise TrainingError(
                f"{model_name} {version}: its folder {where} cannot be read: {problem}"
            ) from problem
        reason = why_not_registered(
            files,
            recorded,
            artifact_root=self._artifact_root,
            model_name=model_name,
            version=version,
            where=where,
        )
        if reason is not None:
            raise VersionChangedError(reason)
        return files, recorded

    def kept_fingerprints(self, model_name: str, version: str) -> tuple[RecordedFingerprint, ...]:
        """What the registry and the histories keep of a version's files, the registry's first.

        Raises HistoryDamagedError, and TrainingError if there is no such version.
        """
        tags = self._version(model_name, version).tags
        try:
            return recorded_fingerprints(self._artifact_root, model_name, version, tags)
        except LineDamagedError as damaged:
            raise HistoryDamagedError(str(damaged)) from damaged
        except OSError as problem:
            raise HistoryDamagedError(record_unreadable(model_name, version, problem)) from problem

    def trained_until_ms(self, model_name: str, version: str) -> int | None:
        """Up to when rows were trained on, in ms since 1970 UTC; None for a version that does not say."""
        said = self._client.get_model_version(model_name, version).tags.get("trained_until")
        return None if said is None else instant_ms(datetime.fromisoformat(said))

    def versions(self, model_name: str) -> tuple[str, ...]:
        """All registered versions, oldest first; none where there is no such model."""
        found = self._client.search_model_versions(f"name = '{model_name}'")
        return tuple(sorted((str(version.version) for version in found), key=int))

    def run_file(
        self, model_name: str, version: str | None, name: str, destination: Path
    ) -> tuple[str, Path]:
        """Bring one file of the run that made a version into a local folder: the version, and where it is.

        version: the newest where None. Raises TrainingError if there is no such version, or if its run left
        no such file.
        """
        known = self.versions(model_name)
        wanted = version if version is not None else known[-1] if known else None
        if wanted is None or wanted not in known:
            there_is = ", ".join(known) or "none; run bonitas train first"
            asked = "no version" if wanted is None else f"no version {wanted}"
            raise TrainingError(f"{model_name} has {asked}; registered: {there_is}")
        run_id = self._client.get_model_version(model_name, wanted).run_id
        without = TrainingError(
            f"version {wanted} of {model_name} was trained without a {name}: train a new version"
        )
        place = local_folder(str(self._client.get_run(run_id).info.artifact_uri), self._artifact_root)
        if place is not None:
            if not (place / name).is_file():
                raise without
            return wanted, Path(shutil.copyfile(place / name, destination / name))
        if name not in {file.path for file in self._client.list_artifacts(run_id)}:
            raise without
        return wanted, Path(self._client.download_artifacts(run_id, name, str(destination)))
