"""What the service is told from outside: every setting in one table, read once into one frozen object."""

import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any

DEFAULT_PUBLIC_URL = "http://127.0.0.1:3000"
EVIDENCE_FOLDER = "evidence"
"""Within the home."""
LONGEST_HEAD_SECONDS = 60.0
LONGEST_BODY_SECONDS = 3.5
"""Work that begins later would not be done before the server gives up on the request."""

_IN_HOME = "$BONITAS_HOME/"


class SettingsInvalid(Exception):
    """One or more environment variables cannot be used; the message names each of them."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One environment variable that the service reads.

    name: of the variable. field: of `Settings`. meaning: what it is for. rule: what its value must be, in
        words. read: its value from the text; raises ValueError where the text breaks the rule.
    default: as the variable would say it, `$BONITAS_HOME/` standing for the home; "" for the field's own.
    """

    name: str
    field: str
    meaning: str
    rule: str
    read: Callable[[str], object]
    default: str = ""

    def of_settings(self) -> "Field[Any]":
        """Its field of `Settings`; one that may hold a password is not shown."""
        return next(one for one in fields(Settings) if one.name == self.field)

    def default_text(self) -> str:
        """The default as the variable would say it; "" where there is none."""
        own = self.of_settings().default
        return self.default or ("" if own is MISSING or own is None else _written(own))


def _text(text: str) -> str:
    return text


def _path(text: str) -> Path:
    return Path(text).absolute()


def _address(*beginnings: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if not text.startswith(beginnings):
            raise ValueError(text)
        return text

    return read


def _mail_address(text: str) -> str:
    if text.count("@") != 1:
        raise ValueError(text)
    return text


def _whole_number(text: str) -> int:
    """From 1 on; "2.0" is one, too."""
    number = _seconds(math.inf)(text)
    if number != int(number):
        raise ValueError(text)
    return int(number)


def _seconds(most: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        number = float(text)
        if not (math.isfinite(number) and 0 < number <= most):
            raise ValueError(text)
        return number

    return read


def _flag(text: str) -> bool:
    if text not in {"0", "1"}:
        raise ValueError(text)
    return text == "1"


def _written(value: object) -> str:
    """A value as the variable says it."""
    return str(int(value)) if isinstance(value, bool) else str(value)


SETTINGS: tuple[Setting, ...] = (
    Setting(
        name="BONITAS_HOME",
        field="home",
        meaning="the folder where all state lies",
        rule="must be a folder's path",
        read=_path,
        default=".bonitas",
    ),
    Setting(
        name="BONITAS_DATABASE_URL",
        field="database_url",
        meaning="the store with ledger, decisions and cases; it may hold a password and is never shown",
        rule="must begin with sqlite:/// or postgresql://",
        read=_address("sqlite:///", "postgresql://"),
        default=f"sqlite:///{_IN_HOME}bonitas.db",
    ),
    Setting(
        name="BONITAS_MLFLOW_URI",
        field="mlflow_uri",
        meaning=(
            "the tracking server with the model registry; "
            "who shares it shares `$BONITAS_HOME/mlartifacts` too"
        ),
        rule="must be an address that MLflow knows",
        read=_text,
        default=f"sqlite:///{_IN_HOME}mlflow.db",
    ),
    Setting(
        name="BONITAS_POLICY",
        field="policy_file",
        meaning=(
            "the policy file that is put in force in a store that has none yet; "
            "without it, the one that comes with the code"
        ),
        rule="must be a file's path",
        read=_path,
    ),
    Setting(
        name="BONITAS_MODEL",
        field="model_name",
        meaning="the registered model whose champion decides",
        rule="must be a model's name",
        read=_text,
    ),
    Setting(
        name="BONITAS_ORDER_RISK_MODEL",
        field="order_risk_model_name",
        meaning="the registered model whose champion screens approved orders",
        rule="must be a model's name",
        read=_text,
    ),
    Setting(
        name="BONITAS_WORKERS",
        field="workers",
        meaning="how many processes serve",
        rule="must be a whole number from 1 on",
        read=_whole_number,
    ),
    Setting(
        name="BONITAS_MODEL_POLL_SECONDS",
        field="model_poll_seconds",
        meaning="how often the registry is asked for a new champion, and the store for a new policy",
        rule="must be a number above 0",
        read=_seconds(math.inf),
    ),
    Setting(
        name="BONITAS_PUBLIC_URL",
        field="public_url",
        meaning=(
            "under which merchants reach the service, for the links; "
            "without it, the address that it serves at"
        ),
        rule="must begin with https:// or http://",
        read=lambda text: _address("https://", "http://")(text).rstrip("/"),
    ),
    Setting(
        name="BONITAS_MAIL_URL",
        field="mail_url",
        meaning=(
            "the server that takes e-mails, `smtp://user:password@host:port`, never shown; "
            "without it, e-mails are files in `$BONITAS_HOME/mail`"
        ),
        rule="must begin with smtp:// or smtps://",
        read=_address("smtp://", "smtps://"),
    ),
    Setting(
        name="BONITAS_MAIL_SENDER",
        field="mail_sender",
        meaning="whom e-mails come from",
        rule="must be an e-mail address",
        read=_mail_address,
    ),
    Setting(
        name="BONITAS_DELIVERIES",
        field="deliveries",
        meaning="0 where nothing is sent to merchants: messages wait, as in a restored copy beside the first",
        rule="must be 0 or 1",
        read=_flag,
    ),
    Setting(
        name="BONITAS_ALLOW_PRIVATE_ENDPOINTS",
        field="allow_private_endpoints",
        meaning="1 where webhooks may go to private and loopback addresses too",
        rule="must be 0 or 1",
        read=_flag,
    ),
    Setting(
        name="BONITAS_HEAD_SECONDS",
        field="head_seconds",
        meaning="within which a connection must bring the head of a request",
        rule=f"must be a number above 0, at most {LONGEST_HEAD_SECONDS:g}",
        read=_seconds(LONGEST_HEAD_SECONDS),
    ),
    Setting(
        name="BONITAS_BODY_SECONDS",
        field="body_seconds",
        meaning="within which a request must bring its body",
        rule=f"must be a number above 0, at most {LONGEST_BODY_SECONDS:g}",
        read=_seconds(LONGEST_BODY_SECONDS),
    ),
    Setting(
        name="BONITAS_BENCHMARK",
        field="benchmark",
        meaning="1 to serve the empty endpoint that the benchmark compares with",
        rule="must be 0 or 1",
        read=_flag,
    ),
)
"""Every variable, the home first: the defaults of others lie in it. What is empty counts as not set."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All that the service is told from outside; `SETTINGS` says what each field means.

    policy_file, public_url, mail_url: None where they are not set.
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
    deliveries: bool = True
    allow_private_endpoints: bool = False
    head_seconds: float = 10.0
    body_seconds: float = 3.0
    benchmark: bool = False

    @property
    def mail_folder(self) -> Path:
        """Where e-mails are put while there is no mail server."""
        return self.home / "mail"

    @property
    def evidence_folder(self) -> Path:
        """Where files about disputes lie."""
        return self.home / EVIDENCE_FOLDER

    @property
    def artifact_root(self) -> Path:
        """Where MLflow keeps the artefacts of local runs."""
        return self.home / "mlartifacts"

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "Settings":
        """Read the variables of `SETTINGS`. Raises SettingsInvalid naming every one that is wrong.

        >>> Settings.from_env({"BONITAS_HOME": "/srv/bonitas"}).database_url
        'sqlite:////srv/bonitas/bonitas.db'
        >>> Settings.from_env({"BONITAS_WORKERS": "none"})
        Traceback (most recent call last):
        serving.process.settings.SettingsInvalid: BONITAS_WORKERS must be a whole number from 1 on, not 'none'
        """
        values: dict[str, Any] = {}
        problems: list[str] = []
        for setting in SETTINGS:
            default = setting.default.replace(_IN_HOME, f"{values.get('home', '')}/")
            text = environ.get(setting.name) or default
            if not text:
                continue
            try:
                values[setting.field] = setting.read(text)
            except ValueError:
                told = f", not {text!r}" if setting.of_settings().repr else ""
                problems.append(f"{setting.name} {setting.rule}{told}")
        if problems:
            raise SettingsInvalid("; ".join(problems))
        return cls(**values)

    def as_environ(self) -> dict[str, str]:
        """The variables that make `from_env` read these settings again, for a child process."""
        values = {setting.name: getattr(self, setting.field) for setting in SETTINGS}
        return {name: _written(value) for name, value in values.items() if value is not None}


def settings_page() -> str:
    """docs/settings.md: every setting with its meaning, its default and its rule."""
    rows = "\n".join(
        f"| `{setting.name}` | {setting.meaning} | "
        f"{f'`{setting.default_text()}`' if setting.default_text() else 'none'} | "
        f"{setting.rule.removeprefix('must ')} |"
        for setting in SETTINGS
    )
    return f"""# Settings

Written by `make docs` from the table that the service reads; a test holds them together. Settings are
environment variables. One that is empty counts as not set. Wrong ones are all named at once, and nothing
starts.

| variable | what it says | default | must |
|---|---|---|---|
{rows}
"""
