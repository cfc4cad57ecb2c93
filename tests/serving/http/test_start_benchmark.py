"""How soon the service decides after its start is measured by a real start, on a copy of the store."""

from pathlib import Path

import pytest

from data_contracts.ledger_contracts import CONTRACTS
from data_contracts.progress import no_progress
from serving.benchmarks.serving_benchmark import NothingToMeasureError
from serving.benchmarks.start_benchmark import benchmark_start
from serving.process.settings import Settings
from serving.store.ledger import append
from serving.store.open_store import open_store
from serving.store.store import now_ms
from tests.builders import DAY, a_customer
from tests.proof_size import IS_LONG
from tests.serving.http.conftest import a_model_document, prepared, register_champion, write_model


def test_a_store_without_customers_has_nothing_to_measure(tmp_path: Path) -> None:
    settings = Settings.from_env({"BONITAS_HOME": str(tmp_path)})
    prepared(settings)
    with pytest.raises(NothingToMeasureError, match="holds no customers"):
        benchmark_start(settings, rounds=1, progress=no_progress)


@pytest.mark.slow
@pytest.mark.skipif(not IS_LONG, reason="a start of the service; part of `make test-long`")
@pytest.mark.long_proof
def test_a_start_is_measured_by_the_clock_and_in_cpu_and_leaves_nothing(tmp_path: Path) -> None:
    settings = Settings.from_env({"BONITAS_HOME": str(tmp_path)})
    prepared(settings)
    register_champion(settings, write_model(tmp_path / "model", a_model_document()))
    store = open_store(settings.database_url)
    row = a_customer(at=now_ms() - 400 * DAY)
    del row["recorded_at"]
    with store.writing("c1") as tx:
        append(tx, CONTRACTS["customers"], row, now_ms())
    figures = benchmark_start(settings, rounds=1, progress=no_progress)
    assert 0.5 < figures["service_cpu_seconds"] < 20
    assert 0.1 < figures["supervisor_cpu_seconds"] < 20
    with store.reading() as tx:
        assert tx.execute("SELECT count(*) FROM decisions") == [(0,)]
    store.close()
