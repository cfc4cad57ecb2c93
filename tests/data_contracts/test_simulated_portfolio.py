import datetime as dt
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from data_contracts.contract import Contract
from data_contracts.invoice_payments import INVOICE_PAYMENTS
from data_contracts.invoices import INVOICES
from data_contracts.ledger_contracts import ALL_CONTRACTS
from data_contracts.order_events import ORDER_EVENTS
from data_contracts.order_outcomes import ORDER_OUTCOMES
from data_contracts.orders import ORDERS
from data_contracts.parquet_ledger import read_table
from data_contracts.simulation.portfolio import PortfolioSummary, simulate_portfolio
from data_contracts.validation.folder_check import validate_folder

ENDS_ON = dt.date(2026, 3, 1)
SECOND_SEED = 8


def simulate(out: Path, *, customers: int = 300, months: int = 9, seed: int = 7) -> PortfolioSummary:
    return simulate_portfolio(out, customers=customers, months=months, seed=seed, ends_on=ENDS_ON)


def contents(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes() for path in sorted(directory.rglob("*.parquet"))
    }


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("book")
    simulate(out, customers=2_500, months=24)
    return out


def column(directory: Path, contract: Contract, name: str) -> list[object]:
    values: list[object] = read_table(directory, contract, [name])[name].to_pylist()
    return values


def test_the_same_seed_writes_the_same_bytes_whatever_the_hash_seed(tmp_path: Path) -> None:
    simulate(tmp_path / "here")
    program = (
        "import datetime as dt, pathlib, sys\n"
        "from data_contracts.simulation.portfolio import simulate_portfolio\n"
        "simulate_portfolio(pathlib.Path(sys.argv[1]), customers=300, months=9, seed=7,"
        " ends_on=dt.date(2026, 3, 1))\n"
    )
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONHASHSEED": "4711", "PYTHONPATH": str(root), "TZ": "Asia/Tokyo"}
    subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "there")], check=True, env=environment, cwd=tmp_path
    )
    assert contents(tmp_path / "here") == contents(tmp_path / "there")


def test_another_seed_writes_another_book(tmp_path: Path) -> None:
    simulate(tmp_path / "one")
    simulate(tmp_path / "two", seed=SECOND_SEED)
    one, two = contents(tmp_path / "one"), contents(tmp_path / "two")
    assert one.keys() == two.keys()
    assert all(one[name] != two[name] for name in one)


def test_validation_finds_nothing_to_quarantine(book: Path, tmp_path: Path) -> None:
    result = validate_folder(book, report_directory=tmp_path).to_json()
    assert result["quarantined"] == 0
    assert result["repeated"] == 0
    assert result["accepted"] == result["read"] > 0


@pytest.mark.parametrize(("customers", "months"), [(1, 1), (3, 2), (40, 1)])
def test_a_tiny_book_is_valid_too(customers: int, months: int, tmp_path: Path) -> None:
    summary = simulate(tmp_path / "book", customers=customers, months=months)
    assert summary.rows["customers"] >= 1
    result = validate_folder(tmp_path / "book", report_directory=tmp_path / "report").to_json()
    assert result["quarantined"] == 0


@pytest.mark.parametrize(("customers", "months", "seed"), [(0, 3, 1), (3, 0, 1), (3, 3, -1)])
def test_an_empty_book_is_refused(customers: int, months: int, seed: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one customer"):
        simulate(tmp_path, customers=customers, months=months, seed=seed)


def test_every_contract_has_rows_and_the_summary_counts_them(tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []

    def note(step: str, *, done: int, total: int) -> None:
        assert step == "simulate the portfolio"
        steps.append((done, total))

    summary = simulate_portfolio(tmp_path, customers=900, months=12, seed=1, ends_on=ENDS_ON, progress=note)
    for contract in ALL_CONTRACTS:
        assert summary.rows[contract.name] == read_table(tmp_path, contract).num_rows > 0
    as_json = summary.to_json()
    assert as_json["rows_total"] == sum(summary.rows.values())
    assert as_json["orders"] == summary.rows["orders"]
    assert steps[-1][0] == steps[-1][1] == len(steps)


def test_nothing_is_recorded_after_the_end_of_the_book(book: Path) -> None:
    end = dt.datetime(ENDS_ON.year, ENDS_ON.month, ENDS_ON.day, tzinfo=dt.UTC)
    for contract in ALL_CONTRACTS:
        latest = pc.max(read_table(book, contract, ["recorded_at"])["recorded_at"]).as_py()
        assert latest < end


def test_rates_are_those_of_a_pay_by_invoice_book(tmp_path: Path) -> None:
    summary = simulate(tmp_path, customers=6_000, months=24)
    assert 0.022 <= summary.bad_rate <= 0.038
    assert 0.0045 <= summary.fraud_rate <= 0.0105
    assert 4 <= summary.orders / summary.customers <= 9


def test_due_dates_end_at_local_midnight_also_across_the_change_of_clocks(book: Path) -> None:
    offsets = {
        due.astimezone(dt.UTC).strftime("%H:%M")  # type: ignore[attr-defined]
        for due in column(book, INVOICES, "due_at")
    }
    # Berlin, Vienna and Amsterdam in summer and winter; Helsinki an hour earlier.
    assert {"22:00", "23:00"} <= offsets <= {"21:00", "22:00", "23:00"}


def test_payments_are_late_recorded_and_some_are_corrected(book: Path) -> None:
    payments = read_table(book, INVOICE_PAYMENTS)
    delay = pc.subtract(
        payments["recorded_at"].cast("int64"), payments["occurred_at"].cast("int64")
    ).to_numpy()
    assert np.median(delay) > 3_600_000
    corrections = payments.filter(pc.is_valid(payments["corrects"]))
    assert 0 < corrections.num_rows < payments.num_rows / 50


def test_a_cancelled_order_has_no_invoice(book: Path) -> None:
    events = read_table(book, ORDER_EVENTS, ["order_id", "kind"])
    cancelled = set(events.filter(pc.equal(events["kind"], "cancelled"))["order_id"].to_pylist())
    assert cancelled
    assert cancelled.isdisjoint(column(book, INVOICES, "order_id"))
    assert cancelled <= set(column(book, ORDERS, "order_id"))


def test_no_single_sign_tells_fraud_from_honest_orders(book: Path) -> None:
    outcomes = read_table(book, ORDER_OUTCOMES, ["order_id", "kind"])
    findings = ["stop_request_upheld", "identity_misuse_upheld", "fraud_chargeback"]
    of_fraud = pc.is_in(outcomes["kind"], value_set=pa.array(findings))
    fraud = set(outcomes.filter(of_fraud)["order_id"].to_pylist())
    orders = read_table(book, ORDERS).to_pandas()
    is_fraud = orders.order_id.isin(fraud)
    users = orders.groupby("device_id").customer_id.nunique()
    signs = {
        "shared device": orders.device_id.map(users).fillna(1) > 1,
        "delivered elsewhere": orders.delivery_street != orders.billing_street,
        "another recipient": orders.delivery_name != orders.billing_name,
        "at night": orders.occurred_at.dt.hour < 4,
        "resellable": orders.item_category.isin(["computers_phones", "gift_cards", "tickets_travel"]),
        "above 300 euros": orders.amount_cents > 30_000,
    }
    assert is_fraud.sum() > 20
    for sign, shown in signs.items():
        assert is_fraud[shown].mean() < 0.25, sign
        assert shown[is_fraud].mean() < 0.9, sign
        assert shown[~is_fraud].mean() > 0.01, sign
        assert shown[is_fraud].mean() > shown[~is_fraud].mean(), sign
