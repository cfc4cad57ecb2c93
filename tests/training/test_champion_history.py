"""The history of champions: only added to, true after any crash, and one champion at a time."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.empty_registry import with_empty_registry
from tests.training.conftest import TrainedBook
from training.errors import TrainingError
from training.promotion.promotion import roll_back
from training.registry.alias_history import HistoryDamagedError, version_now
from training.registry.champion_history import ChampionChange, ChampionHistory, ChangeKind, version_before
from training.registry.registry import ChampionHasChangedError, ModelRegistry

MODEL = "invoice-eligibility"
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def a_change(version: str | None, kind: ChangeKind = ChangeKind.PROMOTED, hours: int = 0) -> ChampionChange:
    return ChampionChange(
        version=version,
        kind=kind,
        by="Ann",
        reason=f"[version] {version}, größer",
        at=NOON + timedelta(hours=hours),
    )


def written(history: ChampionHistory, *changes: ChampionChange) -> None:
    with history.writing(MODEL) as writer:
        for change in changes:
            writer.announce(change)
            writer.settle(took_effect=True)


def history_file(home: Path) -> Path:
    return home / "artifacts" / "champions" / f"{MODEL}.jsonl"


@pytest.fixture
def registry(tmp_path: Path, empty_mlflow_database: Path) -> ModelRegistry:
    """Three registered versions; the first became champion when it was trained."""
    (tmp_path / "mlflow.db").write_bytes(empty_mlflow_database.read_bytes())
    registry = ModelRegistry(f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path / "artifacts")
    for _ in range(3):
        registered(registry, tmp_path)
    return registry


def registered(registry: ModelRegistry, home: Path, feature_set_version: str | None = None) -> bool:
    from features.feature_sets import INVOICE_ELIGIBILITY

    folder = home / "run" / "model"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.json").write_text("{}")
    return registry.register(
        MODEL,
        folder.parent,
        parameters={},
        metrics={},
        tags={"feature_set_version": feature_set_version or INVOICE_ELIGIBILITY.version},
        now_ms=round(NOON.timestamp() * 1000),
        may_become_champion=True,
    ).became_champion


def mlflow_client(home: Path) -> MlflowClient:
    uri = f"sqlite:///{home / 'mlflow.db'}"
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def test_the_first_champion_is_recorded_when_it_is_trained(registry: ModelRegistry) -> None:
    (change,) = registry.champion_changes(MODEL, now=NOON)
    assert (change.version, change.kind, change.by) == ("1", ChangeKind.TRAINED, "bonitas train")
    assert change.reason == "the first version that passed every gate"
    assert change.at == NOON
    assert registry.versions(MODEL) == ("1", "2", "3")


def test_a_champion_whose_features_are_computed_no_more_is_replaced_on_the_record(
    registry: ModelRegistry, tmp_path: Path
) -> None:
    assert registered(registry, tmp_path, feature_set_version="newer")
    assert registry.champion_version(MODEL) == "4"
    assert "version 1 reads features" in registry.champion_changes(MODEL, now=NOON)[-1].reason


def test_a_change_names_version_kind_person_reason_time_and_what_it_passed_over(tmp_path: Path) -> None:
    history = ChampionHistory(tmp_path)
    change = ChampionChange(
        version="7",
        kind=ChangeKind.PROMOTED,
        by="Ann",
        reason="a \n reason",
        at=NOON,
        failed_gates=("calibration: off",),
    )
    written(history, change)
    assert history.changes(MODEL) == (change,)
    assert ChampionHistory(tmp_path).changes("order-risk") == ()


def test_the_history_is_read_without_any_database(registry: ModelRegistry, tmp_path: Path) -> None:
    registry.put_champion(MODEL, a_change("2"), instead_of="1")
    (tmp_path / "mlflow.db").unlink()
    changes = ChampionHistory(history_file(tmp_path).parent).changes(MODEL)
    assert [change.version for change in changes] == ["1", "2"]


def test_lines_are_only_added(registry: ModelRegistry, tmp_path: Path) -> None:
    before = history_file(tmp_path).read_bytes()
    registry.put_champion(MODEL, a_change("2"), instead_of="1")
    registry.put_champion(MODEL, a_change("3"), instead_of="2")
    assert history_file(tmp_path).read_bytes().startswith(before)


@pytest.mark.parametrize("damage", ["change", "remove", "garble"])
def test_a_line_that_was_tampered_with_is_noticed_and_nothing_is_added(tmp_path: Path, damage: str) -> None:
    history = ChampionHistory(tmp_path)
    written(history, a_change("1"), a_change("2"))
    file = tmp_path / f"{MODEL}.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    if damage == "change":
        lines[0] = lines[0].replace(b"Ann", b"Bob")
    elif damage == "remove":
        del lines[1]
    else:
        lines[1] = b"no JSON\n"
    file.write_bytes(b"".join(lines))
    with pytest.raises(HistoryDamagedError, match=r"line 2"):
        history.changes(MODEL)
    with pytest.raises(HistoryDamagedError), history.writing(MODEL):
        pass
    assert file.read_bytes() == b"".join(lines)


def test_a_line_that_was_cut_off_by_a_crash_counts_for_nothing(tmp_path: Path) -> None:
    history = ChampionHistory(tmp_path)
    written(history, a_change("1"))
    file = tmp_path / f"{MODEL}.jsonl"
    whole = file.read_bytes()
    file.write_bytes(whole + b'{"line": "announced", "ver')
    assert version_now(history.changes(MODEL)) == "1"
    written(history, a_change("2"))
    assert [change.version for change in history.changes(MODEL)] == ["1", "2"]
    assert file.read_bytes().startswith(whole)


@pytest.mark.parametrize("alias_was_moved", [True, False])
def test_a_change_that_died_half_way_is_settled_by_where_the_alias_points(
    registry: ModelRegistry, tmp_path: Path, alias_was_moved: bool
) -> None:
    with ChampionHistory(history_file(tmp_path).parent).writing(MODEL) as writer:
        writer.announce(a_change("2"))
    if alias_was_moved:
        mlflow_client(tmp_path).set_registered_model_alias(MODEL, "champion", "2")
    changes = registry.champion_changes(MODEL, now=NOON)
    assert [change.version for change in changes] == (["1", "2"] if alias_was_moved else ["1"])
    assert ChangeKind.FOUND not in {change.kind for change in changes}
    registry.put_champion(MODEL, a_change("3"), instead_of=version_now(changes))
    assert registry.champion_version(MODEL) == "3"


def test_an_alias_moved_or_deleted_by_other_means_is_noted_when_it_is_noticed(
    registry: ModelRegistry, tmp_path: Path
) -> None:
    client = mlflow_client(tmp_path)
    client.set_registered_model_alias(MODEL, "champion", "3")
    found = registry.champion_changes(MODEL, now=NOON + timedelta(days=1))[-1]
    assert (found.version, found.kind, found.by) == ("3", ChangeKind.FOUND, "unknown")
    assert found.at == NOON + timedelta(days=1)
    client.delete_registered_model_alias(MODEL, "champion")
    assert registry.champion_changes(MODEL, now=NOON)[-1].version is None
    assert len(registry.champion_changes(MODEL, now=NOON)) == 3
    restored = roll_back(MODEL, registry=registry, by="Ann", reason="the alias was gone", now=NOON)
    assert restored.version == registry.champion_version(MODEL) == "3"


def test_a_change_prepared_against_an_older_champion_is_refused(registry: ModelRegistry) -> None:
    registry.put_champion(MODEL, a_change("2"), instead_of="1")
    with pytest.raises(ChampionHasChangedError, match="is version 2 by now, not 1"):
        registry.put_champion(MODEL, a_change("3"), instead_of="1")
    assert registry.champion_version(MODEL) == "2"


@pytest.mark.parametrize(
    ("changes", "earlier"),
    [
        ("", None),
        ("1", None),
        ("1 2", "1"),
        ("1 2 3", "2"),
        ("1 2 3 back2", "1"),
        ("1 2 3 back2 back1", None),
        ("1 2 back1 3", "1"),
        ("1 2 1", "2"),
        ("1 2 1 back2", "1"),
        ("1 2 none", "2"),
        ("1 2 none 3", "2"),
    ],
)
def test_a_rollback_takes_back_the_latest_change_that_still_stands(changes: str, earlier: str | None) -> None:
    history = tuple(
        a_change(word.removeprefix("back"), ChangeKind.ROLLED_BACK)
        if word.startswith("back")
        else a_change(None if word == "none" else word)
        for word in changes.split()
    )
    assert version_before(history) == earlier


def test_rolling_back_twice_goes_two_champions_back_and_no_further_than_the_first(
    registry: ModelRegistry,
) -> None:
    registry.put_champion(MODEL, a_change("2"), instead_of="1")
    registry.put_champion(MODEL, a_change("3"), instead_of="2")
    for expected in ("2", "1"):
        roll_back(MODEL, registry=registry, by="Bob", reason="complaints", now=NOON)
        assert registry.champion_version(MODEL) == expected
    with pytest.raises(TrainingError, match="no earlier champion"):
        roll_back(MODEL, registry=registry, by="Bob", reason="complaints", now=NOON)
    changes = registry.champion_changes(MODEL, now=NOON)
    assert [change.version for change in changes] == ["1", "2", "3", "2", "1"]
    assert [(change.kind, change.by, change.reason) for change in changes[3:]] == [
        (ChangeKind.ROLLED_BACK, "Bob", "complaints")
    ] * 2


def test_a_rollback_needs_a_name_a_reason_and_a_version_that_can_serve(
    registry: ModelRegistry, tmp_path: Path
) -> None:
    for by, reason in (("", "why"), ("Bob", " ")):
        with pytest.raises(TrainingError, match="--by NAME and --reason TEXT"):
            roll_back(MODEL, registry=registry, by=by, reason=reason, now=NOON)
    registered(registry, tmp_path, feature_set_version="older")
    registry.put_champion(MODEL, a_change("3"), instead_of="4")
    with pytest.raises(TrainingError, match="reads version older of its features"):
        roll_back(MODEL, registry=registry, by="Bob", reason="why", now=NOON)
    assert registry.champion_version(MODEL) == "3"


ANALYST = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from training.registry.champion_history import ChampionChange, ChangeKind
from training.registry.registry import ChampionHasChangedError, ModelRegistry
home, name, changes = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
registry = ModelRegistry(f"sqlite:///{home / 'mlflow.db'}", home / "artifacts")
made = []
while len(made) < changes:
    champion = registry.champion_version("invoice-eligibility")
    version = str(int(champion) % 3 + 1)
    change = ChampionChange(
        version=version, kind=ChangeKind.PROMOTED, by=name, reason=champion, at=datetime.now(UTC)
    )
    try:
        registry.put_champion("invoice-eligibility", change, instead_of=champion)
    except ChampionHasChangedError:
        continue
    made.append(version)
print(",".join(made))
"""


def test_two_processes_that_change_champions_at_once_keep_one_champion_and_a_true_history(
    registry: ModelRegistry, tmp_path: Path
) -> None:
    processes = {
        name: subprocess.Popen(
            [sys.executable, "-c", ANALYST, str(tmp_path), name, "15"],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        for name in ("Ann", "Bob")
    }
    made = {name: process.communicate(timeout=120)[0].strip() for name, process in processes.items()}
    assert [process.returncode for process in processes.values()] == [0, 0]
    changes = registry.champion_changes(MODEL, now=NOON)
    assert len(changes) == 31
    assert registry.champion_version(MODEL) == changes[-1].version
    for before, change in pairwise(changes):
        assert change.reason == before.version, "each was made against the champion that the history names"
    for name, versions in made.items():
        assert ",".join(str(change.version) for change in changes if change.by == name) == versions


def test_every_line_is_json_with_the_hash_of_the_line_before_it(
    registry: ModelRegistry, tmp_path: Path
) -> None:
    import hashlib

    registry.put_champion(MODEL, a_change("2"), instead_of="1")
    line_before = "0" * 64
    for line in history_file(tmp_path).read_bytes().splitlines(keepends=True):
        assert json.loads(line)["line_before"] == line_before
        line_before = hashlib.sha256(line).hexdigest()


def test_a_champion_that_was_gone_for_a_while_is_no_earlier_champion() -> None:
    assert version_before((a_change("1"), a_change(None), a_change("1"))) is None
    assert version_before((a_change("1"), a_change("2"), a_change(None), a_change("2"))) == "1"
    assert version_before((a_change("1"), a_change(None))) == "1"


def test_an_empty_registry_under_a_mistyped_address_adds_no_line_to_the_history(
    trained: TrainedBook, tmp_path: Path
) -> None:
    registry = ModelRegistry(trained.tracking_uri, trained.artifact_root)
    before = registry.champion_changes(MODEL, now=NOON)
    other = with_empty_registry(tmp_path / "other") / "mlflow.db"
    mistyped = ModelRegistry(f"sqlite:///{other}", trained.artifact_root)
    with pytest.raises(TrainingError, match="is BONITAS_MLFLOW_URI right"):
        mistyped.champion_changes(MODEL, now=NOON)
    assert registry.champion_changes(MODEL, now=NOON) == before
