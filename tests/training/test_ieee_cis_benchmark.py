"""The benchmark on real card orders, and its protocol on a small table of made-up ones."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from data_contracts.public.ieee_cis import ARCHIVE, NEEDED_COLUMNS, CardOrderTable, fetch
from training.flat_tables import ieee_cis_benchmark
from training.flat_tables.ieee_cis_benchmark import HISTORY_GROUPS, benchmark, card_orders, run


def a_table(rows=4000, seed=0):
    generator = np.random.default_rng(seed)
    names = tuple(
        dict.fromkeys(
            name for name in NEEDED_COLUMNS if name not in {"isFraud", "TransactionID", "TransactionDT"}
        )
    )
    values = generator.integers(0, 20, (rows, len(names))).astype(np.float32)
    fraud = generator.random(rows) < np.where(values[:, names.index("card3")] > 15, 0.5, 0.05)
    return CardOrderTable(
        order_number=np.arange(rows),
        occurred_ms=np.sort(generator.integers(0, 10**10, rows)),
        amount_mills=np.rint(values[:, names.index("TransactionAmt")] * 1000).astype(np.int64),
        is_fraud=fraud.astype(np.int8),
        names=names,
        values=values,
    )


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(ieee_cis_benchmark, "SELECTION_TREES", 10)
    monkeypatch.setattr(ieee_cis_benchmark, "REFERENCE_TREES", 10)
    monkeypatch.setattr(ieee_cis_benchmark, "TREES_TRIED", (5, 10))


def test_the_labels_of_a_period_that_is_judged_are_never_findings():
    orders = card_orders(a_table(rows=100), findings_until=80)
    assert set(orders.finding[:80].tolist()) <= {0, 1}
    assert set(orders.finding[80:].tolist()) == {-1}


@pytest.mark.slow
def test_the_result_tells_every_group_and_the_same_seed_tells_the_same(quick):
    first = benchmark(a_table(), seed=3)
    assert [trial.group for trial in first.trials] == [group.name for group in HISTORY_GROUPS]
    assert set(first.kept) == {trial.group for trial in first.trials if trial.is_kept}
    assert first.training_orders == 3200
    assert first.evaluations["bonitas"].decisions == first.test_orders == 800
    assert all(group.name in first.to_text() for group in HISTORY_GROUPS)
    assert json.loads(json.dumps(first.to_json()))["seed"] == 3
    again = benchmark(a_table(), seed=3)
    assert again.trials == first.trials
    assert again.evaluations == first.evaluations


@pytest.mark.slow
def test_labels_of_the_test_period_decide_nothing_but_the_figures(quick):
    table = a_table()
    one = benchmark(table)
    table.is_fraud[3200:] = 1 - table.is_fraud[3200:]
    other = benchmark(table)
    assert (other.trials, other.trees, other.base) == (one.trials, one.trees, one.base)
    assert other.evaluations["bonitas"].auc.value == pytest.approx(1 - one.evaluations["bonitas"].auc.value)


@pytest.mark.real_data
def test_on_real_card_orders_the_estimator_beats_six_hundred_trees_without_history():
    folder = Path(os.environ.get("BONITAS_HOME", ".bonitas")) / "public" / "ieee-cis"
    if not (folder / ARCHIVE.file_name).exists():
        pytest.skip(
            "no data: run `bonitas data fetch ieee-cis` (87 MB), then this test with its BONITAS_HOME"
        )
    result = run(fetch(folder))
    assert result.evaluations["bonitas"].auc.value >= 0.907
    assert result.evaluations["bonitas"].average_precision.value >= 0.537
