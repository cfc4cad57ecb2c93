"""One small simulated book and one training run on it, shared by the tests that look at them."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest

from data_contracts.progress import no_progress
from data_contracts.simulation.portfolio import simulate_portfolio
from tests.empty_registry import with_empty_registry
from training.invoice_eligibility import INVOICE_ELIGIBILITY_TASK, EligibilityResult
from training.train import train
from training.training_task import TrainingRequest


@dataclass(frozen=True)
class TrainedBook:
    """Where a book and the registry of the model trained on it lie."""

    book: Path
    tracking_uri: str
    artifact_root: Path
    result: EligibilityResult


@pytest.fixture(scope="session")
def small_book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    book = tmp_path_factory.mktemp("book")
    simulate_portfolio(
        book, customers=3000, months=18, seed=3, ends_on=date(2026, 6, 1), progress=no_progress
    )
    return book


@pytest.fixture(scope="session")
def trained(small_book: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainedBook:
    home = with_empty_registry(tmp_path_factory.mktemp("mlflow"))
    uri = f"sqlite:///{home / 'mlflow.db'}"
    request = TrainingRequest(
        directory=small_book, tracking_uri=uri, artifact_root=home / "artifacts", seed=1
    )
    result = train(INVOICE_ELIGIBILITY_TASK, request)
    assert isinstance(result, EligibilityResult)
    return TrainedBook(small_book, uri, home / "artifacts", result)
