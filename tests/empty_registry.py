"""An empty model registry, so that only the first test of a process waits for MLflow's migrations."""

import tempfile
from functools import cache
from pathlib import Path


@cache
def empty_registry_database() -> bytes:
    """The content of a registry's database that holds nothing."""
    from training.registry.registry import ModelRegistry

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "mlflow.db"
        ModelRegistry(f"sqlite:///{file}", Path(folder) / "artifacts").versions("any-model")
        return file.read_bytes()


def with_empty_registry(home: Path) -> Path:
    """The folder, with an empty registry in it where it has none."""
    home.mkdir(parents=True, exist_ok=True)
    file = home / "mlflow.db"
    if not file.exists():
        file.write_bytes(empty_registry_database())
    return home
