"""Which model stands under an alias of the registry, looked up beside the requests and swapped in one move.

The champion decides; the shadow answers for the same decisions with no effect. What is loaded is compared
with every hash that was kept of it: in the registry, and in the histories below the artefact root.
"""

import logging
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from features.alias_lines import LineDamagedError, recorded_fingerprints, why_not_registered
from features.model_files import (
    ModelFiles,
    RecordedFingerprint,
    local_folder,
    not_as_registered,
    record_unreadable,
    registered_without_hash,
)
from serving.in_force.registry_file import (
    NotReadableHereError,
    RegisteredVersion,
    RegistryFile,
    RegistryFileError,
)
from serving.in_force.scorer import (
    ChampionModel,
    ModelFilesDifferError,
    ModelNotUsableError,
    ReplayModel,
    load_model,
    load_replay_model,
)
from serving.process.regular_look import RegularLook

Answer = TypeVar("Answer")
LOG = logging.getLogger("bonitas.models")
CHAMPION = "champion"
SHADOW = "shadow"
UNREACHABLE = "the model registry is unreachable"


class RegistryUnreachableError(Exception):
    """The model registry did not answer; nothing is known about its aliases."""


class ModelRegistry:
    """MLflow's registry, read only: versions, aliases and the models' folders.

    artifact_root: below which training keeps the histories of champions and shadows: what is registered there
        serves, and nothing else.
    A registry in a SQLite file is read as such. For any other, MLflow is imported on first use, because it
    takes longer to import than the rest of the service.
    """

    def __init__(self, tracking_uri: str, artifact_root: Path) -> None:
        self._tracking_uri = tracking_uri
        self._artifact_root = artifact_root
        self._file = RegistryFile.at(tracking_uri)
        self._client: Any = None

    def version_under(self, model_name: str, alias: str) -> str | None:
        """The version that an alias names; None when there is no such model or alias.

        Raises RegistryUnreachableError.
        """
        return self._ask(
            lambda file: file.version_under(model_name, alias),
            lambda client: str(client.get_model_version_by_alias(model_name, alias).version),
        )

    def load(self, model_name: str, version: str) -> ChampionModel:
        """Read a registered version that is to serve.

        Raises ModelNotUsableError, also for a version of which no hash was kept; ModelFilesDifferError where
        its files are not those that were registered, or where the record of that is gone or cannot be read;
        RegistryUnreachableError.
        """
        files, recorded = self._verified(model_name, version)
        model = load_model(files, name=model_name, version=version)
        if not recorded:
            raise ModelNotUsableError(registered_without_hash(model_name, version))
        return model

    def load_for_replay(self, model_name: str, version: str) -> ReplayModel:
        """Read a registered version that is to judge stored features; it may be of any release.

        Raises ModelNotUsableError, ModelFilesDifferError and RegistryUnreachableError.
        """
        files, _ = self._verified(model_name, version)
        return load_replay_model(files, name=model_name, version=version)

    def _verified(self, model_name: str, version: str) -> tuple[ModelFiles, Sequence[RecordedFingerprint]]:
        """The files of a version, read once, and what was kept of them, which they agree with."""
        found = self._ask(
            lambda file: file.version(model_name, version),
            lambda client: _registered(client.get_model_version(model_name, version)),
        )
        if found is None:
            raise ModelNotUsableError(f"{model_name} {version} is not in the registry")
        recorded = self._recorded(model_name, version, found.tags)
        folder = local_folder(found.source, self._artifact_root)
        where = str(folder or found.source)
        if folder is not None and not folder.is_dir():
            raise ModelFilesDifferError(not_as_registered(model_name, version, "its folder is gone", where))
        files = self._files(model_name, version, found.source, folder)
        reason = why_not_registered(
            files,
            recorded,
            artifact_root=self._artifact_root,
            model_name=model_name,
            version=version,
            where=where,
        )
        if reason is not None:
            raise ModelFilesDifferError(reason)
        return files, recorded

    def _recorded(
        self, model_name: str, version: str, tags: Mapping[str, str]
    ) -> Sequence[RecordedFingerprint]:
        try:
            return recorded_fingerprints(self._artifact_root, model_name, version, tags)
        except LineDamagedError as damaged:
            # Whoever changed a model's files may have changed what was kept of them, too.
            raise ModelFilesDifferError(
                f"{model_name} {version}: the record of its files was changed: {damaged}"
            ) from damaged
        except OSError as problem:
            raise ModelFilesDifferError(record_unreadable(model_name, version, problem)) from problem

    def _ask(
        self, of_file: Callable[[RegistryFile], Answer | None], of_mlflow: Callable[[Any], Answer]
    ) -> Answer | None:
        """The answer to one question, in the words of the file and of MLflow's client."""
        try:
            if self._file is None:
                return self._ask_mlflow(of_mlflow)
            if self._client is None:
                return of_file(self._file)
            self._file.require_there()
            return self._ask_mlflow(of_mlflow)
        except RegistryFileError as error:
            raise RegistryUnreachableError(str(error)) from error
        except NotReadableHereError as reason:
            LOG.info("model_registry_asked_through_mlflow", extra={"reason": str(reason)})
            return self._ask_mlflow(of_mlflow)

    def _ask_mlflow(self, question: Callable[[Any], Answer]) -> Answer | None:
        from mlflow.exceptions import MlflowException  # noqa: PLC0415 see the class
        from mlflow.protos.databricks_pb2 import (  # noqa: PLC0415 see the class
            INVALID_PARAMETER_VALUE,
            RESOURCE_DOES_NOT_EXIST,
            ErrorCode,
        )
        from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415 MLflow's database store lets it through

        # A few small files need no progress bars between the lines of a log.
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        try:
            if self._client is None:
                from mlflow import MlflowClient  # noqa: PLC0415 see the class

                self._client = MlflowClient(tracking_uri=self._tracking_uri, registry_uri=self._tracking_uri)
            return question(self._client)
        except MlflowException as error:
            unknown = {ErrorCode.Name(RESOURCE_DOES_NOT_EXIST), ErrorCode.Name(INVALID_PARAMETER_VALUE)}
            if error.error_code in unknown:
                return None
            raise RegistryUnreachableError(str(error)) from error
        except (SQLAlchemyError, OSError) as error:
            raise RegistryUnreachableError(type(error).__name__) from error

    def _files(self, model_name: str, version: str, uri: str, folder: Path | None) -> ModelFiles:
        try:
            return self._files_from_elsewhere(uri) if folder is None else ModelFiles.read(folder)
        except OSError as error:
            raise ModelNotUsableError(
                f"{model_name} {version}: its folder {folder or uri} cannot be read: {error}"
            ) from error

    def _files_from_elsewhere(self, uri: str) -> ModelFiles:
        """The files of a folder that MLflow brings. Raises OSError."""
        import mlflow.artifacts  # noqa: PLC0415 see the class
        from mlflow.exceptions import MlflowException  # noqa: PLC0415 see the class

        with tempfile.TemporaryDirectory() as scratch:
            try:
                brought = mlflow.artifacts.download_artifacts(
                    artifact_uri=uri, dst_path=scratch, tracking_uri=self._tracking_uri
                )
            except MlflowException as error:
                raise OSError(str(error)) from error
            return ModelFiles.read(Path(brought))


def _registered(found: Any) -> RegisteredVersion:
    return RegisteredVersion(source=found.source, tags=found.tags)


@dataclass(frozen=True, kw_only=True)
class ModelInForce:
    """The model under an alias as it was last seen, or why there is none.

    technical_reason: says in one sentence, for logs and for the checkout, why `model` is None.
    version: that the alias names, also where it cannot be used; None where that is not known.
    """

    model: ChampionModel | None
    technical_reason: str | None
    version: str | None = None


class ModelWatch:
    """Keeps the champion of one model at hand; a thread asks the registry every few seconds.

    An unreachable registry changes nothing: the last champion stays in force. A champion that this
    service cannot serve leaves no model: an older one would decide against the alias.
    alias: the shadow, say, instead of the champion. on_change: called when another version was looked at.
    on_look: called after every look with what is in force then.
    """

    def __init__(
        self,
        registry: ModelRegistry,
        model_name: str,
        *,
        alias: str = CHAMPION,
        poll_seconds: float,
        on_change: Callable[[], None],
        on_look: Callable[[ModelInForce], None] = lambda _: None,
    ) -> None:
        self._registry = registry
        self._model_name = model_name
        self._alias = alias
        self._on_change = on_change
        self._on_look = on_look
        self._version: str | None = None
        self._unreachable: str | None = None
        self._in_force = ModelInForce(model=None, technical_reason="the model registry was not read yet")
        self._looking = RegularLook(self.look, name="model-watch", every_seconds=poll_seconds)

    @property
    def registry(self) -> ModelRegistry:
        """Where every version can be had, also those that decide no more."""
        return self._registry

    @property
    def in_force(self) -> ModelInForce:
        """What stands under the alias now; one read, so a request sees one model throughout."""
        return self._in_force

    def start(self) -> None:
        """Look once, here and now, and go on in the background."""
        self._looking.start()

    def stop(self) -> None:
        """End the looking; returns when it has ended."""
        self._looking.stop()

    def look(self) -> None:
        """Ask the registry once and swap the model if the alias moved; what fails is tried again."""
        self._swap_if_alias_moved()
        self._on_look(self._in_force)

    def _swap_if_alias_moved(self) -> None:
        version: str | None = None
        level, event = logging.INFO, "model_in_force"
        try:
            version = self._registry.version_under(self._model_name, self._alias)
            if version is None:
                found = ModelInForce(
                    model=None, technical_reason=f"{self._model_name} has no version that is {self._alias}"
                )
            elif version == self._version:
                self._unreachable = None
                return
            else:
                found = ModelInForce(
                    model=self._registry.load(self._model_name, version),
                    technical_reason=None,
                    version=version,
                )
        except RegistryUnreachableError as error:
            self._is_unreachable(error)
            return
        except ModelNotUsableError as error:
            found = ModelInForce(model=None, technical_reason=str(error), version=version)
            if isinstance(error, ModelFilesDifferError):
                level, event = logging.ERROR, "model_file_differs"
        except Exception as unexpected:  # one look that fails must not end the looking, or this model stays
            LOG.exception(
                "model_look_failed",
                extra={"model": self._model_name, "alias": self._alias, "version": version},
            )
            failed = type(unexpected).__name__
            if version is None:
                if self._in_force.model is None:
                    self._in_force = ModelInForce(
                        model=None, technical_reason=f"looking into the model registry failed: {failed}"
                    )
                return
            found = ModelInForce(
                model=None,
                technical_reason=f"{self._model_name} {version} cannot be read: {failed}",
                version=version,
            )
        self._unreachable = None
        # A version that could not be read is tried again: its folder may still be on its way.
        self._version = version if found.model is not None else None
        if found != self._in_force:
            LOG.log(
                level,
                event,
                extra={
                    "model": self._model_name,
                    "alias": self._alias,
                    "version": found.version,
                    "reason": found.technical_reason,
                },
            )
        self._in_force = found
        self._on_change()

    def _is_unreachable(self, error: RegistryUnreachableError) -> None:
        """The model in memory serves on; without one, the reason is told where it names no server of ours."""
        if str(error) != self._unreachable:
            self._unreachable = str(error)
            serves_on = self._in_force.version if self._in_force.model is not None else None
            LOG.warning(
                "model_registry_unreachable",
                extra={"model": self._model_name, "reason": str(error), "version_that_serves_on": serves_on},
            )
        if self._in_force.model is None:
            told = f": {error}" if isinstance(error.__cause__, RegistryFileError) else ""
            self._in_force = ModelInForce(model=None, technical_reason=f"{UNREACHABLE}{told}")
