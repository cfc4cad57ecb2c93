"""Where trained models are kept: MLflow on a database, its files in a local folder."""

import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from data_contracts.instants import instant_ms, moment

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# Two small files need no progress bars of their own between the lines of a command's answer.
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from data_contracts.private_files import private_file, private_folder
from data_contracts.validation.accepted_folder import files_that_count
from features.alias_lines import (
    CHAMPIONS_FOLDER,
    SHADOWS_FOLDER,
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
    uri_below_the_artifact_root,
)
from training.errors import TrainingError
from training.registry.alias_history import Change, HistoryDamagedError, HistoryWriter, version_now
from training.registry.champion_history import ChampionChange, ChampionHistory, ChangeKind
from training.registry.shadow_history import ShadowChange, ShadowChangeKind, ShadowHistory

CHAMPION = "champion"
SHADOW = "shadow"
MOVED_ELSEWHERE = "the alias was moved without bonitas, some time before this was noticed"


class ChampionHasChangedError(TrainingError):
    """Another champion was put in place since this change was prepared."""


class VersionNotServedError(TrainingError):
    """The service could not use this version; the message says why and what to do."""


class VersionOutdatedError(VersionNotServedError):
    """An earlier release made the version: its features are computed no more, or nobody kept its hash."""


class VersionChangedError(VersionNotServedError):
    """The files of the version are not those that were registered, or the record of that is gone; the message
    names them.
    """


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
            private_file(Path(tracking_uri.removeprefix("sqlite:///")))
        # The first use of a database runs dozens of migrations, each of which would be a line of log.
        logging.getLogger("alembic").setLevel(logging.WARNING)
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        self._client = MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)
        self._tracking_uri = tracking_uri
        self._artifact_root = artifact_root
        self._history = ChampionHistory(artifact_root / CHAMPIONS_FOLDER)
        self._shadows = ShadowHistory(artifact_root / SHADOWS_FOLDER)

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
        if self._vouched_fingerprint(model_name, version) is None:
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

    def _vouched_fingerprint(self, model_name: str, version: str) -> FilesFingerprint | None:
        """Of the files as they are now, which are those registered; None where no hash of them was kept."""
        files, recorded = self._verified(model_name, version)
        return files.fingerprint if recorded else None

    def _verified(self, model_name: str, version: str) -> tuple[ModelFiles, tuple[RecordedFingerprint, ...]]:
        recorded = self._recorded(model_name, version)
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

    def _recorded(self, model_name: str, version: str) -> tuple[RecordedFingerprint, ...]:
        """What the registry and the histories keep of a version's files, the registry's first."""
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

    def champion_changes(self, model_name: str, *, now: datetime) -> tuple[ChampionChange, ...]:
        """Every champion there was, oldest first; an alias moved by other means is noted as of `now`.

        Raises HistoryDamagedError, and TrainingError where this registry is not the history's.
        """
        with self._history.writing(model_name) as history:
            self._catch_up(history, model_name, now)
            return history.changes

    def put_champion(
        self, model_name: str, change: ChampionChange, *, instead_of: str | None
    ) -> ChampionChange:
        """Move the alias and write it into the history, as one change at a time; the change as written.

        instead_of: the champion that the caller knows. Raises ChampionHasChangedError if it is another
        by now, VersionChangedError for a version whose files are not those that were registered,
        HistoryDamagedError, and TrainingError where this registry is not the history's.
        """
        with self._history.writing(model_name) as history:
            self._catch_up(history, model_name, change.at)
            found = version_now(history.changes)
            if found != instead_of:
                raise ChampionHasChangedError(
                    f"the champion of {model_name} is version {found} by now, not {instead_of}: "
                    "compare with that one and try again"
                )
            return self._move(history, model_name, change)

    def _move(
        self, history: HistoryWriter[ChampionChange], model_name: str, change: ChampionChange
    ) -> ChampionChange:
        if change.version is not None:
            change = replace(change, files=self._vouched_fingerprint(model_name, change.version))
        history.announce(change)
        self._client.set_registered_model_alias(model_name, CHAMPION, change.version)
        history.settle(took_effect=True)
        return change

    def _catch_up(
        self,
        history: HistoryWriter[ChampionChange],
        model_name: str,
        now: datetime,
        *,
        may_be_another_registry: bool = False,
    ) -> None:
        version = self.champion_version(model_name)
        if not may_be_another_registry:
            self._refuse_another_registry(history, model_name, version)
        self._settle_what_was_left(
            history,
            version,
            lambda version: ChampionChange(
                version=version,
                kind=ChangeKind.FOUND,
                by="unknown",
                reason=MOVED_ELSEWHERE,
                at=now,
                files=self._found_fingerprint(model_name, version),
            ),
        )

    def _found_fingerprint(self, model_name: str, version: str | None) -> FilesFingerprint | None:
        """What was kept of a version that was put in place by other means; its files were not looked at.

        The history's own word goes before the registry's, whose tags whoever moved the alias could edit.
        """
        recorded = () if version is None else self._recorded(model_name, version)
        return recorded[-1].fingerprint if recorded else None

    def _refuse_another_registry(
        self, history: HistoryWriter[Change], model_name: str, version: str | None
    ) -> None:
        """An empty registry under a mistyped address must not pass for an alias that was taken away."""
        known = version_now(history.changes)
        if known not in {None, version} and known not in self.versions(model_name):
            raise TrainingError(
                f"the history says that version {known} of {model_name} stands under the alias, but this "
                "registry has no such version: is BONITAS_MLFLOW_URI right?"
            )

    @staticmethod
    def _settle_what_was_left(
        history: HistoryWriter[Change], version: str | None, found: Callable[[str | None], Change]
    ) -> None:
        """Write what became of an unfinished change, and of an alias that was moved by other means."""
        if history.pending is not None:
            history.settle(took_effect=history.pending.version == version)
        if version_now(history.changes) != version:
            history.announce(found(version))
            history.settle(took_effect=True)

    def shadow_changes(self, model_name: str, *, now: datetime) -> tuple[ShadowChange, ...]:
        """Every shadow there was, oldest first; an alias moved by other means is noted as of `now`.

        Raises HistoryDamagedError, and TrainingError where this registry is not the history's.
        """
        with self._shadows.writing(model_name) as history:
            self._catch_up_with_shadow(history, model_name, now)
            return history.changes

    def put_shadow(self, model_name: str, change: ShadowChange, *, begin: Callable[[], None]) -> ShadowChange:
        """Move the alias `shadow` and write it into the history; `begin` is called before it moves.

        Returns the change as written. Raises TrainingError for the champion, for what is the shadow already
        and where this registry is not the history's, VersionChangedError for a version whose files are not
        those that were registered, and HistoryDamagedError.
        """
        with self._shadows.writing(model_name) as history:
            self._catch_up_with_shadow(history, model_name, change.at)
            if change.version == self.champion_version(model_name):
                raise TrainingError(
                    f"version {change.version} is the champion of {model_name}: its answers have an effect"
                )
            if change.version == version_now(history.changes):
                raise TrainingError(
                    f"version {change.version} is the shadow of {model_name} already; to start it anew, "
                    f"first run bonitas shadow stop {model_name}"
                )
            if change.version is not None:
                change = replace(change, files=self._vouched_fingerprint(model_name, change.version))
            history.announce(change)
            begin()
            self._client.set_registered_model_alias(model_name, SHADOW, change.version)
            history.settle(took_effect=True)
            return change

    def remove_shadow(self, model_name: str, change: ShadowChange) -> None:
        """Take the alias `shadow` away and write it into the history.

        Raises TrainingError where there is no shadow or this registry is not the history's, and
        HistoryDamagedError.
        """
        with self._shadows.writing(model_name) as history:
            self._catch_up_with_shadow(history, model_name, change.at)
            if version_now(history.changes) is None:
                raise TrainingError(f"{model_name} has no shadow")
            history.announce(change)
            self._client.delete_registered_model_alias(model_name, SHADOW)
            history.settle(took_effect=True)

    def _catch_up_with_shadow(
        self, history: HistoryWriter[ShadowChange], model_name: str, now: datetime
    ) -> None:
        version = self.shadow_version(model_name)
        self._refuse_another_registry(history, model_name, version)
        self._settle_what_was_left(
            history,
            version,
            lambda version: ShadowChange(
                version=version,
                kind=ShadowChangeKind.FOUND,
                by="unknown",
                reason=MOVED_ELSEWHERE,
                at=now,
                files=self._found_fingerprint(model_name, version),
            ),
        )

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

        The fingerprint of all files in the folder's `model` is kept as tags of the version and in the history
        of champions. The version becomes champion if it may and there is none yet, or only one that the
        service cannot use (it reads another feature set than this one, has no hash, or its files were
        changed): such a champion decides about nobody.
        """
        files = ModelFiles.read(folder / "model").fingerprint
        run = self._client.create_run(self._experiment_id(model_name), run_name=tags.get("data_fingerprint"))
        run_id = run.info.run_id
        self._client.log_batch(
            run_id,
            metrics=[Metric(name, value, now_ms, 0) for name, value in metrics.items()],
            params=[Param(name, str(value)) for name, value in parameters.items()],
            tags=[RunTag(name, value) for name, value in tags.items()],
        )
        source = f"{self._keep_artifacts(run_id, folder)}/model"
        self._client.set_terminated(run_id)
        if not self._client.search_registered_models(f"name = '{model_name}'"):
            self._client.create_registered_model(model_name)
        version = self._client.create_model_version(
            model_name, source, run_id, tags={**tags, **files.to_tags()}
        ).version
        now = moment(now_ms)
        with self._history.writing(model_name) as history:
            history.note_registered(str(version), files, now)
        becomes_champion = may_become_champion and self._put_first_champion(
            model_name, str(version), tags.get("feature_set_version"), now
        )
        return RegisteredVersion(
            model_name=model_name,
            version=str(version),
            run_id=run_id,
            became_champion=becomes_champion,
        )

    def _keep_artifacts(self, run_id: str, folder: Path) -> str:
        """Copy a folder to where the artefacts of a run lie: in this home wherever its experiment was made.

        Returns that place as it is registered.
        """
        uri = str(self._client.get_run(run_id).info.artifact_uri)
        place = local_folder(uri, self._artifact_root)
        if place is None:
            self._client.log_artifacts(run_id, str(folder))
            return uri
        for file in sorted(one for one in folder.rglob("*") if one.is_file()):
            kept = place / file.relative_to(folder)
            private_file(kept)
            shutil.copyfile(file, kept)
        root = self._artifact_root.absolute()
        if not place.absolute().is_relative_to(root):
            return uri
        return uri_below_the_artifact_root(place.absolute().relative_to(root).as_posix())

    def _put_first_champion(
        self, model_name: str, version: str, feature_set_version: str | None, now: datetime
    ) -> bool:
        with self._history.writing(model_name) as history:
            # Whoever trains into a new registry means it, though the history is of an older one.
            self._catch_up(history, model_name, now, may_be_another_registry=True)
            found = version_now(history.changes)
            reason = "the first version that passed every gate"
            if found is not None:
                why = self._why_replaced(model_name, found, feature_set_version)
                if why is None:
                    return False
                reason = f"passed every gate, and version {found} {why}"
            change = ChampionChange(
                version=version, kind=ChangeKind.TRAINED, by="bonitas train", reason=reason, at=now
            )
            self._move(history, model_name, change)
        return True

    def _why_replaced(self, model_name: str, version: str, feature_set_version: str | None) -> str | None:
        """Why a champion gives way to any good version that reads this feature set; None where it stays."""
        if self.feature_set_version(model_name, version) != feature_set_version:
            return "reads features that are computed no more"
        try:
            vouched = self._vouched_fingerprint(model_name, version)
        except VersionChangedError:
            return "is not what was registered"
        return "has no hash of its files" if vouched is None else None

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

    def _experiment_id(self, model_name: str) -> str:
        experiment = self._client.get_experiment_by_name(model_name)
        if experiment is not None:
            return str(experiment.experiment_id)
        private_folder(self._artifact_root)
        location = uri_below_the_artifact_root(model_name)
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
    """SHA-256 over the names and contents of the files of a ledger folder that are read."""
    digest = hashlib.sha256()
    for name, file in files_that_count(directory).items():
        digest.update(name.encode())
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]
