"""What is known of a decision besides its features, by two clocks, against a slow twin."""

from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_contracts.customers import CUSTOMERS
from data_contracts.ledger_folder import PROTECTED_ATTRIBUTES_FILE
from data_contracts.orders import ORDERS
from data_contracts.parquet_ledger import read_table
from features.decisions import Decisions, order_decisions
from features.supersession import milliseconds
from training.validation.segment_attributes import segment_attributes, whole_years


def test_attributes_are_those_known_at_the_decision_as_a_slow_twin_finds_them(small_book: Path) -> None:
    everything = order_decisions(small_book)
    picked = np.zeros(len(everything), dtype=bool)
    picked[np.random.default_rng(0).choice(len(everything), 250, replace=False)] = True
    decisions = everything.where(picked)
    found = segment_attributes(small_book, decisions)
    assert found.merchant_id is not None
    assert found.is_repeat is not None
    assert found.country is not None
    assert found.age_years is not None
    orders = read_table(small_book, ORDERS)
    customers = read_table(small_book, CUSTOMERS)
    recorded = {
        name: milliseconds(table["recorded_at"]).tolist()
        for name, table in (("orders", orders), ("customers", customers))
    }
    order_rows = orders.select(["order_id", "customer_id", "merchant_id", "corrects"]).to_pylist()
    states = customers.select(["customer_id", "event_id", "residence_country", "birth_date"]).to_pylist()
    for place in range(len(decisions)):
        as_of_ms, customer = int(decisions.as_of_ms[place]), decisions.customer_id[place]
        own = next(r for r in order_rows if r["order_id"] == decisions.decision_id[place])
        assert found.merchant_id[place] == own["merchant_id"]
        earlier = [
            row
            for row, at in zip(order_rows, recorded["orders"], strict=True)
            if row["customer_id"] == customer
            and row["corrects"] is None
            and row["order_id"] != own["order_id"]
            and at < as_of_ms
        ]
        assert found.is_repeat[place] == bool(earlier)
        known = [
            (at, row["event_id"], row)
            for row, at in zip(states, recorded["customers"], strict=True)
            if row["customer_id"] == customer and at < as_of_ms
        ]
        if not known:
            assert found.country[place] == "unknown"
            assert np.isnan(found.age_years[place])
            continue
        newest = max(known, key=lambda entry: entry[:2])[2]
        assert found.country[place] == (newest["residence_country"] or "unknown")
        born, day = newest["birth_date"], datetime.fromtimestamp(as_of_ms / 1000, UTC).date()
        years = day.year - born.year - ((day.month, day.day) < (born.month, born.day))
        assert found.age_years[place] == years


@pytest.mark.parametrize(
    ("born", "day", "years"),
    [
        (date(2000, 2, 29), date(2018, 2, 28), 17),
        (date(2000, 2, 29), date(2018, 3, 1), 18),
        (date(1990, 12, 31), date(2020, 12, 31), 30),
        (date(1960, 6, 1), date(2020, 5, 31), 59),
    ],
)
def test_years_are_complete_on_the_birthday(born: date, day: date, years: int) -> None:
    as_of_ms = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)
    assert whole_years(np.array([born], dtype="datetime64[D]"), np.array([as_of_ms])).tolist() == [years]


def test_a_folder_without_orders_and_customers_has_no_attributes_but_may_name_protected_ones(
    tmp_path: Path,
) -> None:
    decisions = Decisions(
        decision_id=np.array(["d1", "d2"], dtype=object),
        customer_id=np.array(["c1", "c2"], dtype=object),
        as_of_ms=np.array([1, 2]),
    )
    nothing = segment_attributes(tmp_path, decisions)
    assert nothing.merchant_id is nothing.is_repeat is nothing.country is None
    assert nothing.age_years is nothing.sex is None
    table = pa.table({"customer_id": ["c2"], "sex": ["female"], "age_years": [33]})
    pq.write_table(table, tmp_path / PROTECTED_ATTRIBUTES_FILE)
    given = segment_attributes(tmp_path, decisions)
    assert given.sex is not None
    assert given.age_years is not None
    assert given.sex.tolist() == ["unknown", "female"]
    assert np.isnan(given.age_years[0])
    assert given.age_years[1] == 33


def test_labels_of_a_data_set_that_are_not_of_orders_have_no_merchant(small_book: Path) -> None:
    of_orders = order_decisions(small_book)
    first = np.arange(len(of_orders)) < 3
    renamed = Decisions(
        decision_id=np.array(["x1", "x2", "x3"], dtype=object),
        customer_id=of_orders.where(first).customer_id,
        as_of_ms=of_orders.where(first).as_of_ms,
    )
    found = segment_attributes(small_book, renamed)
    assert found.merchant_id is None
    assert found.is_repeat is None
    assert found.country is not None
