"""Where the service finds its store, its models and its policy: one frozen object, read once."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

DEFAULT_HOME = ".bonitas"
DEFAULT_PUBLIC_URL = "http://127.0.0.1:3000"
LONGEST_HEAD_SECONDS = 60.0
LONGEST_BODY_SECONDS = 3.5
"""Work that begins later would not be done before the server gives up on the request."""


class SettingsInvalid(Exception):
    """One or more environment variables cannot be used; the message names each of them."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All that the service is told from outside.

    home: the state folder.
    database_url: sqlite:///... or postgresql://...; may hold a password, so it is never shown.
    mlflow_uri: of the tracking server with the model registry.
    policy_file: is put in force where the store has no policy yet; None for the one that comes with the code.
    model_name: the registered model whose champion decides.
    order_risk_model_name: the registered model whose champion screens approved orders.
    workers: service processes.
    model_poll_seconds: how often the registry is asked for a new champion, and the store for a new policy.
    public_url: under which merchants reach the service, for links; None for the address that it serves at.
    mail_url: smtp:// or smtps:// of the server that takes e-mails; None puts them into `mail_folder`.
    mail_sender: whom e-mails come from.
    allow_private_endpoints: send webhooks to private and loopback addresses too.
    head_seconds: within which a connection must bring the head of a request.
    body_seconds: within which a request must bring its body.
    benchmark: serve the empty endpoint that the benchmark compares with.
    """

    home: Path
    database_url: str = field(repr=False)
    mlflow_uri: str = field(repr=False)
    policy_file: Path | None = None
    model_name: str = "invoice-eligibility"
    order_risk_model_name: str = "order-risk"
    workers: int = 1
    model_poll_seconds: float = 3.0
    public_url: str | None = None
    mail_url: str | None = field(default=None, repr=False)
    mail_sender: str = "bonitas@localhost"
    allow_private_endpoints: bool = False
    head_seconds: float = 10.0
    body_seconds: float = 3.0
    benchmark: bool = False

    @property
    def mail_folder(self) -> Path:
        """Where e-mails are put while there is no mail server."""
        return self.home / "mail"

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
        public_url = (environ.get("BONITAS_PUBLIC_URL") or "").rstrip("/") or None
        if public_url is not None and not public_url.startswith(("http://", "https://")):
            problems.append("BONITAS_PUBLIC_URL must begin with https:// or http://")
        mail_url = environ.get("BONITAS_MAIL_URL") or None
        if mail_url is not None and not mail_url.startswith(("smtp://", "smtps://")):
            problems.append("BONITAS_MAIL_URL must begin with smtp:// or smtps://")
        mail_sender = environ.get("BONITAS_MAIL_SENDER") or "bonitas@localhost"
        if mail_sender.count("@") != 1:
            problems.append("BONITAS_MAIL_SENDER must be an e-mail address")
        head_seconds = _number(environ, "BONITAS_HEAD_SECONDS", 10.0, problems)
        if not 0 < head_seconds <= LONGEST_HEAD_SECONDS:
            problems.append(f"BONITAS_HEAD_SECONDS must be above 0, at most {LONGEST_HEAD_SECONDS:g}")
        body_seconds = _number(environ, "BONITAS_BODY_SECONDS", 3.0, problems)
        if not 0 < body_seconds <= LONGEST_BODY_SECONDS:
            problems.append(f"BONITAS_BODY_SECONDS must be above 0, at most {LONGEST_BODY_SECONDS:g}")
        benchmark = _flag(environ, "BONITAS_BENCHMARK", problems)
        allow_private_endpoints = _flag(environ, "BONITAS_ALLOW_PRIVATE_ENDPOINTS", problems)
        if problems:
            raise SettingsInvalid("; ".join(problems))
        return cls(
            home=home,
            database_url=database_url,
            mlflow_uri=environ.get("BONITAS_MLFLOW_URI") or f"sqlite:///{home / 'mlflow.db'}",
            policy_file=policy_file,
            model_name=environ.get("BONITAS_MODEL") or "invoice-eligibility",
            order_risk_model_name=environ.get("BONITAS_ORDER_RISK_MODEL") or "order-risk",
            workers=int(workers),
            model_poll_seconds=model_poll_seconds,
            public_url=public_url,
            mail_url=mail_url,
            mail_sender=mail_sender,
            allow_private_endpoints=allow_private_endpoints,
            head_seconds=head_seconds,
            body_seconds=body_seconds,
            benchmark=benchmark,
        )

    def as_environ(self) -> dict[str, str]:
        """The variables that make `from_env` read these settings again, for a child process."""
        environ = {
            "BONITAS_HOME": str(self.home),
            "BONITAS_DATABASE_URL": self.database_url,
            "BONITAS_MLFLOW_URI": self.mlflow_uri,
            "BONITAS_MODEL": self.model_name,
            "BONITAS_ORDER_RISK_MODEL": self.order_risk_model_name,
            "BONITAS_WORKERS": str(self.workers),
            "BONITAS_MODEL_POLL_SECONDS": repr(self.model_poll_seconds),
            "BONITAS_MAIL_SENDER": self.mail_sender,
            "BONITAS_ALLOW_PRIVATE_ENDPOINTS": "1" if self.allow_private_endpoints else "0",
            "BONITAS_HEAD_SECONDS": repr(self.head_seconds),
            "BONITAS_BODY_SECONDS": repr(self.body_seconds),
            "BONITAS_BENCHMARK": "1" if self.benchmark else "0",
        }
        if self.public_url is not None:
            environ["BONITAS_PUBLIC_URL"] = self.public_url
        if self.mail_url is not None:
            environ["BONITAS_MAIL_URL"] = self.mail_url
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


def _flag(environ: Mapping[str, str], name: str, problems: list[str]) -> bool:
    text = environ.get(name) or "0"
    if text not in {"0", "1"}:
        problems.append(f"{name} must be 0 or 1")
    return text == "1"
