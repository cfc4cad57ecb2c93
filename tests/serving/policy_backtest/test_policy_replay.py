"""A replay decides what the checkout would have decided, from the same rows, bit for bit."""

from collections import defaultdict
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from data_contracts.customers import CUSTOMERS
from data_contracts.order_outcomes import ORDER_OUTCOMES
from data_contracts.orders import ORDERS
from data_contracts.parquet_ledger import has_table, ledger_rows, read_table, write_table
from data_contracts.simulation.portfolio import simulate_portfolio
from features.model_files import ModelFiles
from features.online import CREDIT_CONTRACTS
from features.settlement_terms import USUAL_TERMS
from serving.checkout.checkout_judgement import judge
from serving.checkout.decision_inputs import inputs_at, rows_of_other_accounts
from serving.domain.credit_limit import credit_terms, without_limit_growth
from serving.domain.decision import Outcome
from serving.domain.policy_reader import parse_policy
from serving.in_force.policy_activation import POLICY_FILE
from serving.in_force.scorer import ChampionModel, load_model
from serving.policy_backtest import policy_replay
from serving.policy_backtest.policy_replay import NothingToReplayError, OrderSelection, replay_orders
from tests.builders import a_customer, a_document_hmac, a_merchant, an_order, ms, write_ledger
from tests.serving.http.conftest import a_model_document, write_model

POLICY = parse_policy(POLICY_FILE.read_text())
STRICT = replace(POLICY, version="strict", cut_off_stranger=700, cut_off_known=690)


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("replayed")
    simulate_portfolio(folder, customers=400, months=10, seed=8, ends_on=date(2026, 6, 1))
    customers = read_table(folder, CUSTOMERS)
    # Of every five customers the first three are one person, once their document was checked.
    documents = [
        document
        if document is None or int(customer[4:]) % 5 > 2
        else a_document_hmac(other_account(customer, 0))
        for customer, document in zip(
            customers["customer_id"].to_pylist(), customers["identity_document_hmac"].to_pylist(), strict=True
        )
    ]
    place = customers.column_names.index("identity_document_hmac")
    write_table(folder, CUSTOMERS, customers.set_column(place, "identity_document_hmac", pa.array(documents)))
    return folder


def other_account(customer_id: str, place: int) -> str:
    """The account at a place among the five that `customer_id` is one of."""
    return f"cus-{int(customer_id[4:]) // 5 * 5 + place:06d}"


def a_model(folder: Path, kind: str) -> ChampionModel:
    return load_model(
        ModelFiles.read(write_model(folder, a_model_document(kind))), name="invoice-eligibility", version="1"
    )


def rows_of_every_customer(folder: Path) -> dict[str, dict[str, list[dict[str, Any]]]]:
    found: defaultdict[str, defaultdict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for contract in (*CREDIT_CONTRACTS, ORDER_OUTCOMES):
        if has_table(folder, contract):
            for row in ledger_rows(contract, read_table(folder, contract)):
                found[row["customer_id"]][contract.name].append(row)
    return {customer: dict(rows) for customer, rows in found.items()}


@pytest.mark.parametrize("kind", ["lightgbm", "scorecard"])
def test_a_replay_gives_the_bits_of_the_checkout(
    book: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Several blocks, and a last one that is not full.
    monkeypatch.setattr(policy_replay, "CUSTOMERS_PER_BLOCK", 7)
    model = a_model(tmp_path, kind)
    replay = replay_orders(book, model, [POLICY, STRICT], OrderSelection(sample=150, seed=4))
    rows = rows_of_every_customer(book)
    order_rows = {row["order_id"]: row for row in ledger_rows(ORDERS, read_table(book, ORDERS))}
    assert len(replay.orders) == 150
    seen = set()
    with_others = 0
    for place, order_id in enumerate(replay.orders.order_id.tolist()):
        row = order_rows[order_id]
        own = rows.get(row["customer_id"], {})
        accounts = {other_account(row["customer_id"], place) for place in range(5)} - {row["customer_id"]}
        found = rows_of_other_accounts(own, {one: rows.get(one, {}) for one in accounts}, row["occurred_at"])
        inputs = inputs_at(
            own,
            row,
            reserved_cents=0,
            as_of_ms=row["occurred_at"],
            feature_set=model.feature_set,
            terms=USUAL_TERMS,
            other_accounts=found,
        )
        with_others += bool(found)
        for decided in replay.decisions:
            decision = judge(inputs, model, decided.policy, as_of_ms=row["occurred_at"]).decision
            assert bool(decided.approved[place]) is (decision.outcome is Outcome.APPROVED)
            assert set(decided.failed_rules[place]) == {failure.code for failure in decision.failed_rules}
            assert decided.reasons[place] == tuple(dict.fromkeys(reason.code for reason in decision.reasons))
            assert replay.orders.score[place] == decision.score
            assert replay.orders.probability_of_default[place] == decision.probability_of_default
            seen |= set(decided.failed_rules[place]) | {decision.outcome}
            ungrown = without_limit_growth(decided.policy)
            judged = judge(inputs, model, ungrown, as_of_ms=row["occurred_at"]).decision
            assert bool(decided.approved_without_growth[place]) is (judged.outcome is Outcome.APPROVED)
            terms = credit_terms(int(replay.orders.score[place]), inputs.standing, decided.policy)
            assert decided.familiarity[place] == terms.familiarity.value
    assert {Outcome.APPROVED, Outcome.DECLINED, "score_below_cut_off", "open_arrears"} <= seen
    assert with_others > 20


def test_a_period_is_half_open_and_a_sample_is_drawn_by_its_seed(tmp_path: Path) -> None:
    days = ("2026-01-01", "2026-01-02", "2026-01-03", "2026-01-04")
    orders = [an_order(f"o{place}", at=ms(day)) for place, day in enumerate(days)]
    folder = write_ledger(
        tmp_path / "book",
        {"customers": [a_customer(at=ms("2025-01-01"))], "merchants": [a_merchant()], "orders": orders},
    )
    model = a_model(tmp_path / "model", "scorecard")
    period = OrderSelection(since_ms=ms("2026-01-02"), until_ms=ms("2026-01-04"))
    assert replay_orders(folder, model, [POLICY], period).orders.order_id.tolist() == ["o1", "o2"]
    sample = replay_orders(folder, model, [POLICY], OrderSelection(sample=2, seed=1)).orders
    again = replay_orders(folder, model, [POLICY], OrderSelection(sample=2, seed=1)).orders
    assert sample.order_id.tolist() == again.order_id.tolist()
    assert (len(sample), sample.selected_from) == (2, 4)


def test_an_order_scored_again_counts_once_as_it_was_first_given(tmp_path: Path) -> None:
    at = ms("2026-01-02")
    again = an_order("o1", at=at + 60_000, event_id="again", corrects="order-o1", amount_cents=99)
    folder = write_ledger(
        tmp_path / "book",
        {"customers": [a_customer(at=0)], "merchants": [a_merchant()], "orders": [an_order(at=at), again]},
    )
    orders = replay_orders(folder, a_model(tmp_path / "m", "scorecard"), [POLICY], OrderSelection()).orders
    assert orders.amount_cents.tolist() == [10_000]
    assert orders.as_of_ms.tolist() == [at]


def test_a_folder_without_orders_or_with_two_currencies_says_so(tmp_path: Path) -> None:
    model = a_model(tmp_path / "model", "scorecard")
    with pytest.raises(NothingToReplayError, match="holds no orders"):
        replay_orders(tmp_path, model, [POLICY], OrderSelection())
    orders = [an_order("o1", at=1), an_order("o2", at=2, currency="SEK")]
    folder = write_ledger(tmp_path / "book", {"orders": orders})
    with pytest.raises(NothingToReplayError, match="EUR, SEK"):
        replay_orders(folder, model, [POLICY], OrderSelection())
    with pytest.raises(NothingToReplayError, match="period"):
        replay_orders(folder, model, [POLICY], OrderSelection(since_ms=5))


def test_the_simulated_book_has_orders_on_both_sides_of_every_answer(book: Path, tmp_path: Path) -> None:
    replay = replay_orders(book, a_model(tmp_path, "lightgbm"), [POLICY], OrderSelection())
    assert 0 < np.mean(replay.decisions[0].approved) < 1
