"""A fact's array form against its one-by-one form, and which columns of the ledger facts are made of."""

from pathlib import Path

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from data_contracts.credit_inquiries import CREDIT_INQUIRIES
from data_contracts.order_events import ORDER_EVENTS
from data_contracts.orders import ORDERS
from features.account_rows import ACCOUNT_COLUMNS
from features.feature_sets import FEATURE_SETS
from features.invoice_rows import INVOICE_COLUMNS
from features.ledger_columns import code_of, values_of
from features.online import CREDIT_CONTRACTS
from features.order_facts import (
    OWN_COLUMNS,
    OrderAttributes,
    OrderChangeFact,
    attributes_of_orders,
    order_attributes,
    order_change_fact,
    order_change_facts,
)
from features.single_row_facts import SINGLE_ROW_COLUMNS, InquiryFact, inquiry_fact, inquiry_facts

CREDIT_COLUMNS = (*SINGLE_ROW_COLUMNS, *ACCOUNT_COLUMNS, *INVOICE_COLUMNS)


def test_the_checkout_reads_the_contracts_that_the_facts_are_made_of() -> None:
    assert {read.contract.name for read in CREDIT_COLUMNS} == {contract.name for contract in CREDIT_CONTRACTS}


def test_each_contract_is_read_once_after_the_one_that_owns_its_ids() -> None:
    names = [read.contract.name for read in CREDIT_COLUMNS]
    assert len(set(names)) == len(names)
    assert names.index("credit_accounts") < names.index("account_balances")
    owned = [names.index("invoices")]
    owned += [names.index(f"invoice_{what}") for what in ("payments", "adjustments", "pauses")]
    assert owned == sorted(owned)


instants = st.integers(0, 10_000)
inquiries = st.tuples(instants, instants, instants, st.sampled_from(values_of(CREDIT_INQUIRIES, "purpose")))


@given(st.lists(inquiries, max_size=5))
def test_many_inquiries_are_each_what_one_is(rows: list[tuple[int, int, int, str]]) -> None:
    one_by_one = [
        inquiry_fact(seen_from, seen_until, occurred_at=occurred_at, purpose=purpose)
        for seen_from, seen_until, occurred_at, purpose in rows
    ]
    codes = [(*instants, code_of(CREDIT_INQUIRIES, "purpose", purpose)) for *instants, purpose in rows]
    seen_from, seen_until, occurred_at, purpose = np.array(codes, dtype=np.int64).reshape(len(rows), 4).T
    many = inquiry_facts(seen_from, seen_until, occurred_at=occurred_at, purpose=purpose)
    assert [InquiryFact(*fact) for fact in zip(*(column.tolist() for column in many), strict=True)] == (
        one_by_one
    )


orders = st.fixed_dictionaries(
    {
        "amount_cents": st.integers(1, 1_000_000),
        "occurred_at": st.integers(0, 2**41),
        "item_category": st.sampled_from(values_of(ORDERS, "item_category")),
    }
)


@given(st.lists(orders, max_size=5))
def test_many_orders_say_to_others_what_each_says(rows: list[dict[str, int]]) -> None:
    schema = pa.schema([("amount_cents", pa.int64()), ("item_category", pa.string())])
    occurred_at = np.array([row["occurred_at"] for row in rows], dtype=np.int64)
    many = attributes_of_orders(pa.Table.from_pylist(rows, schema=schema), occurred_at)
    assert [OrderAttributes(*one) for one in zip(*(column.tolist() for column in many), strict=True)] == [
        order_attributes(row) for row in rows
    ]


def test_many_events_are_each_what_one_is() -> None:
    kinds = values_of(ORDER_EVENTS, "kind")
    instants = np.arange(len(kinds), dtype=np.int64)
    many = order_change_facts(instants, instants + 1, np.array(kinds, dtype=object))
    assert [OrderChangeFact(*one) for one in zip(*(column.tolist() for column in many), strict=True)] == [
        order_change_fact(place, place + 1, kind) for place, kind in enumerate(kinds)
    ]


def test_an_order_reads_only_columns_of_its_contract() -> None:
    assert set(OWN_COLUMNS) <= {column.name for column in ORDERS.columns}


def test_the_page_on_a_new_feature_names_the_file_of_each_fact_and_of_each_group() -> None:
    root = Path(__file__).parents[2]
    page = (
        (root / "docs" / "analysts.md").read_text().partition("### A new feature\n")[2].partition("\n### ")[0]
    )
    texts = {path: path.read_text() for path in sorted((root / "features").glob("*.py"))}
    facts = {path.name for path, text in texts.items() if "Fact(NamedTuple" in text}
    groups = {path.name for path, text in texts.items() if "_FEATURES: tuple[Feature, ...]" in text}
    assert len(facts) == 5
    assert len(groups) >= len(FEATURE_SETS)
    assert {name for name in facts | groups if f"`features/{name}`" not in page} == set()
