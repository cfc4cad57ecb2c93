"""The whole way on real data: the published file, unrolled into a ledger, through features and training."""

from pathlib import Path

import pytest

from data_contracts.public.uci_taiwan import import_ledger
from training.invoice_eligibility import train


@pytest.mark.real_data
def test_from_events_and_without_protected_columns_the_model_matches_what_is_published(
    uci_taiwan_file: Path, tmp_path: Path
) -> None:
    book = tmp_path / "book"
    import_ledger(uci_taiwan_file, book)
    result = train(
        book, tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}", artifact_root=tmp_path / "artifacts"
    )
    folds = result.fold_auc["lightgbm"]
    assert len(folds) == 5
    assert sum(folds) / 5 >= 0.782
    assert result.direction_cost_auc.high < 0.003
