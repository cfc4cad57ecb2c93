"""The history of shadows: who started and ended which when, for ever, and true after any crash."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from mlflow import MlflowClient

from features.feature_sets import INVOICE_ELIGIBILITY
from training.errors import TrainingError
from training.registry.alias_history import HistoryDamagedError
from training.registry.registry import ModelRegistry
from training.registry.shadow_history import ShadowChange, ShadowChangeKind, ShadowHistory
from training.registry.shadowing import start_shadow, stop_shadow

MODEL = "invoice-eligibility"
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.fixture
def registry(tmp_path: Path, empty_mlflow_database: Path) -> ModelRegistry:
    """Three versions that read today's features, the first of them champion, and one of yesterday's."""
    (tmp_path / "mlflow.db").write_bytes(empty_mlflow_database.read_bytes())
    registry = ModelRegistry(f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path / "artifacts")
    folder = tmp_path / "run" / "model"
    folder.mkdir(parents=True)
    (folder / "model.json").write_text("{}")
    for reads in (*[INVOICE_ELIGIBILITY.version] * 3, "yesterday's"):
        registry.register(
            MODEL,
            folder.parent,
            parameters={},
            metrics={},
            tags={"feature_set_version": reads},
            now_ms=round(NOON.timestamp() * 1000),
            may_become_champion=reads == INVOICE_ELIGIBILITY.version,
        )
    return registry


def client_of(home: Path) -> MlflowClient:
    uri = f"sqlite:///{home / 'mlflow.db'}"
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def started(
    registry: ModelRegistry,
    version: str,
    hours: int = 0,
    *,
    begun: list[str] | None = None,
    by: str = "Ann",
    reason: str = "größer, [newer]",
) -> ShadowChange:
    at = NOON + timedelta(hours=hours)
    return start_shadow(
        MODEL,
        version,
        registry=registry,
        by=by,
        reason=reason,
        now=at,
        answers_from=at - timedelta(days=2),
        begin=lambda: (begun if begun is not None else []).append(version),
    )


def test_who_started_and_ended_which_shadow_when_and_why_is_kept_for_ever(
    registry: ModelRegistry, tmp_path: Path
) -> None:
    begun: list[str] = []
    changes = [started(registry, "2", begun=begun), started(registry, "3", 1, begun=begun)]
    changes.append(
        stop_shadow(MODEL, registry=registry, by="Bob", reason="seen enough", now=NOON + timedelta(hours=2))
    )
    assert begun == ["2", "3"]
    assert registry.shadow_changes(MODEL, now=NOON) == tuple(changes)
    assert [change.version for change in changes] == ["2", "3", None]
    assert changes[0].answers_from == NOON - timedelta(days=2)
    assert registry.shadow_version(MODEL) is None
    assert registry.champion_version(MODEL) == "1"
    file = tmp_path / "artifacts" / "shadows" / f"{MODEL}.jsonl"
    assert ShadowHistory(file.parent).changes(MODEL) == tuple(changes)
    first = json.loads(file.read_text().splitlines()[0])
    assert (first["by"], first["reason"], first["kind"]) == ("Ann", "größer, [newer]", "started")


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("1", "is the champion of invoice-eligibility"),
        ("4", "reads version yesterday's of its features"),
        ("9", "has no version 9; registered: 1, 2, 3, 4"),
    ],
)
def test_a_version_that_decides_already_or_can_answer_for_nothing_is_refused(
    registry: ModelRegistry, version: str, message: str
) -> None:
    begun: list[str] = []
    with pytest.raises(TrainingError, match=message):
        started(registry, version, begun=begun)
    assert begun == []
    assert registry.shadow_changes(MODEL, now=NOON) == ()


@pytest.mark.parametrize(("by", "reason"), [(" ", "why"), ("Ann", " ")])
def test_neither_start_nor_stop_goes_without_a_name_and_a_reason(
    registry: ModelRegistry, by: str, reason: str
) -> None:
    with pytest.raises(TrainingError, match="--by NAME and --reason TEXT"):
        started(registry, "2", by=by, reason=reason)
    started(registry, "2")
    with pytest.raises(TrainingError, match="--by NAME and --reason TEXT"):
        stop_shadow(MODEL, registry=registry, by=by, reason=reason, now=NOON)
    assert registry.shadow_version(MODEL) == "2"


def test_a_shadow_is_not_started_twice_and_none_is_not_stopped(registry: ModelRegistry) -> None:
    with pytest.raises(TrainingError, match="has no shadow"):
        stop_shadow(MODEL, registry=registry, by="Ann", reason="x", now=NOON)
    started(registry, "2")
    with pytest.raises(TrainingError, match="is the shadow of invoice-eligibility already"):
        started(registry, "2", 1)
    assert len(registry.shadow_changes(MODEL, now=NOON)) == 1


def test_a_start_that_breaks_off_before_the_alias_moved_took_no_effect_and_can_be_repeated(
    registry: ModelRegistry,
) -> None:
    def breaks_off() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        start_shadow(
            MODEL,
            "2",
            registry=registry,
            by="Ann",
            reason="x",
            now=NOON,
            answers_from=NOON,
            begin=breaks_off,
        )
    assert registry.shadow_version(MODEL) is None
    assert registry.shadow_changes(MODEL, now=NOON) == ()
    change = started(registry, "2", 1)
    assert registry.shadow_changes(MODEL, now=NOON) == (change,)


def test_an_alias_moved_without_us_is_written_down_as_found_and_can_be_stopped(
    registry: ModelRegistry, tmp_path: Path
) -> None:
    client_of(tmp_path).set_registered_model_alias(MODEL, "shadow", "3")
    (found,) = registry.shadow_changes(MODEL, now=NOON)
    assert (found.version, found.kind, found.answers_from) == ("3", ShadowChangeKind.FOUND, None)
    stop_shadow(MODEL, registry=registry, by="Bob", reason="not ours", now=NOON)
    assert registry.shadow_version(MODEL) is None


def test_a_tampered_history_takes_nothing_more(registry: ModelRegistry, tmp_path: Path) -> None:
    started(registry, "2")
    file = tmp_path / "artifacts" / "shadows" / f"{MODEL}.jsonl"
    file.write_text(file.read_text().replace("Ann", "Eve"))
    with pytest.raises(HistoryDamagedError, match="the line before it was changed"):
        started(registry, "3", 1)
    assert registry.shadow_version(MODEL) == "2"


def test_an_empty_registry_under_a_mistyped_address_ends_no_shadow(
    registry: ModelRegistry, tmp_path: Path, empty_mlflow_database: Path
) -> None:
    started(registry, "2")
    before = registry.shadow_changes(MODEL, now=NOON)
    (tmp_path / "other.db").write_bytes(empty_mlflow_database.read_bytes())
    mistyped = ModelRegistry(f"sqlite:///{tmp_path / 'other.db'}", tmp_path / "artifacts")
    with pytest.raises(TrainingError, match="is BONITAS_MLFLOW_URI right"):
        stop_shadow(MODEL, registry=mistyped, by="Bob", reason="seen enough", now=NOON)
    assert registry.shadow_changes(MODEL, now=NOON) == before
