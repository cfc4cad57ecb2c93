"""Where the service finds its store, its models and its policy: one frozen object, read once."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

DEFAULT_HOME = ".bonitas"


class SettingsInvalid(Exception):
    """One or more environment variables cannot be used; the message names each of them."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All that the service is told from outside.

    home: the state folder.
    database_url: sqlite:///... or postgresql://...; may hold a password, so it is never shown.
    mlflow_uri: of the tracking server with the model registry.
    policy_file: the policy in force, None for the one that comes with the code.
    model_name: the registered model whose champion decides.
    workers: service processes.
    model_poll_seconds: how often the registry is asked for a new champion.
    benchmark: serve the empty endpoint that the benchmark compares with.
    """

    home: Path
    database_url: str = field(repr=False)
    mlflow_uri: str = field(repr=False)
    policy_file: Path | None = None
    model_name: str = "invoice-eligibility"
    workers: int = 1
    model_poll_seconds: float = 3.0
    benchmark: bool = False

    @property
    def artifact_root(self) -> Path:
        """Where MLflow keeps the artefacts of local runs."""
        return self.home / "mlartifacts"

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "Settings":
        """Read the BONITAS_* variables. Raises SettingsInvalid naming every one that is wrong.

        >>> Settings.from_env({"BONITAS_HOME": "/srv/bonitas"}).database_url
        'sqlite:////srv/bonitas/bonitas.db'
        """
        problems: list[str] = []
        home = Path(environ.get("BONITAS_HOME") or DEFAULT_HOME).absolute()
        database_url = environ.get("BONITAS_DATABASE_URL") or f"sqlite:///{home / 'bonitas.db'}"
        if not database_url.startswith(("sqlite:///", "postgresql://")):
            problems.append("BONITAS_DATABASE_URL must begin with sqlite:/// or postgresql://")
        policy_file = Path(environ["BONITAS_POLICY"]).absolute() if environ.get("BONITAS_POLICY") else None
        if policy_file is not None and not policy_file.is_file():
            problems.append(f"BONITAS_POLICY names a file that does not exist: {policy_file}")
        workers = _number(environ, "BONITAS_WORKERS", 1.0, problems)
        if workers < 1 or workers != int(workers):
            problems.append("BONITAS_WORKERS must be a whole number from 1 on")
        model_poll_seconds = _number(environ, "BONITAS_MODEL_POLL_SECONDS", 3.0, problems)
        if model_poll_seconds <= 0:
            problems.append("BONITAS_MODEL_POLL_SECONDS must be above 0")
        benchmark = environ.get("BONITAS_BENCHMARK", "0")
        if benchmark not in {"0", "1"}:
            problems.append("BONITAS_BENCHMARK must be 0 or 1")
        if problems:
            raise SettingsInvalid("; ".join(problems))
        return cls(
            home=home,
            database_url=database_url,
            mlflow_uri=environ.get("BONITAS_MLFLOW_URI") or f"sqlite:///{home / 'mlflow.db'}",
            policy_file=policy_file,
            model_name=environ.get("BONITAS_MODEL") or "invoice-eligibility",
            workers=int(workers),
            model_poll_seconds=model_poll_seconds,
            benchmark=benchmark == "1",
        )

    def as_environ(self) -> dict[str, str]:
        """The variables that make `from_env` read these settings again, for a child process."""
        environ = {
            "BONITAS_HOME": str(self.home),
            "BONITAS_DATABASE_URL": self.database_url,
            "BONITAS_MLFLOW_URI": self.mlflow_uri,
            "BONITAS_MODEL": self.model_name,
            "BONITAS_WORKERS": str(self.workers),
            "BONITAS_MODEL_POLL_SECONDS": repr(self.model_poll_seconds),
            "BONITAS_BENCHMARK": "1" if self.benchmark else "0",
        }
        if self.policy_file is not None:
            environ["BONITAS_POLICY"] = str(self.policy_file)
        return environ


def _number(environ: Mapping[str, str], name: str, default: float, problems: list[str]) -> float:
    text = environ.get(name)
    if not text:
        return default
    try:
        return float(text)
    except ValueError:
        problems.append(f"{name} must be a number")
        return default
