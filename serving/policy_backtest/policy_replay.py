"""Decides the orders of a ledger folder again, under any policies, exactly as the checkout would have.

Each order is judged by what was known at its moment: the applicant and the standing by `inputs_at`, the
features by the offline evaluator, the answer by `judge` and so by the same `decide()`. History stays as it
happened: an order that is declined here is still invoiced and paid in what comes after it. A ledger folder
knows no reservations, so an order approved and not yet invoiced does not narrow the limit of the next.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec.structs import replace
from numpy.typing import NDArray

from data_contracts.contract import Contract
from data_contracts.customers import CUSTOMERS
from data_contracts.instants import DAY_MS, moment
from data_contracts.invoice_adjustments import INVOICE_ADJUSTMENTS
from data_contracts.invoice_pauses import INVOICE_PAUSES
from data_contracts.invoice_payments import INVOICE_PAYMENTS
from data_contracts.invoices import INVOICES
from data_contracts.order_outcomes import ORDER_OUTCOMES
from data_contracts.orders import ORDERS
from data_contracts.parquet_ledger import has_table, ledger_rows, read_table
from data_contracts.progress import Progress, no_progress
from features.decisions import Decisions
from features.instants import Float64Array, Int64Array
from features.offline import build_features
from features.settlement_terms import SettlementTerms
from features.supersession import milliseconds
from serving.checkout.checkout_judgement import decided_without_limit_growth, judge
from serving.checkout.decision_inputs import DecisionInputs, inputs_at, rows_of_other_accounts
from serving.domain.credit_limit import Familiarity, credit_terms
from serving.domain.decision import Decision, Outcome
from serving.domain.policy import Policy
from serving.domain.policy_rules import currency_of_limits
from serving.domain.same_person import person_keys
from serving.in_force.champion_notice import other_terms
from serving.in_force.scorer import ChampionModel
from serving.store.person_accounts import ACCOUNTS_MAXIMUM

CUSTOMERS_PER_BLOCK = 2_000
ROWS_PER_BLOCK = 10_000
NO_RESIDENCE = "none"
STANDING_CONTRACTS: tuple[Contract, ...] = (
    CUSTOMERS,
    INVOICES,
    INVOICE_PAYMENTS,
    INVOICE_ADJUSTMENTS,
    INVOICE_PAUSES,
    ORDER_OUTCOMES,
)
"""The contracts whose rows applicant and standing are read from."""

CustomerRows = Mapping[str, list[dict[str, Any]]]


class NothingToReplayError(Exception):
    """No order of the folder is to be decided again; the message says why."""


@dataclass(frozen=True, kw_only=True)
class OrderSelection:
    """Which orders are decided again. since_ms, until_ms: half-open, None for no bound.

    sample: so many of them at random, by `seed`; None for all.
    """

    since_ms: int | None = None
    until_ms: int | None = None
    sample: int | None = None
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class ReplayedOrders:
    """The orders that were decided again, by customer and time. All shapes (n_orders,).

    country: of the applicant's residence, "none" where none is known. score: points of the model.
    selected_from: how many orders there were to choose from.
    """

    order_id: NDArray[np.object_]
    customer_id: NDArray[np.object_]
    merchant_id: NDArray[np.object_]
    country: NDArray[np.object_]
    as_of_ms: Int64Array
    amount_cents: Int64Array
    score: Int64Array
    probability_of_default: Float64Array
    currency: str
    selected_from: int

    def __len__(self) -> int:
        return len(self.as_of_ms)


@dataclass(frozen=True, kw_only=True)
class PolicyDecisions:
    """What one policy decides about the replayed orders, in their order.

    approved: shape (n_orders,). approved_without_growth: what the policy would approve without its
        [limit_growth]; `approved` where it has none.
    familiarity: of each customer at the order, by the policy's numbers: values of Familiarity.
    failed_rules: codes of the rules that failed, each once. reasons: codes of the main reasons.
    """

    policy: Policy
    approved: NDArray[np.bool_]
    approved_without_growth: NDArray[np.bool_]
    familiarity: NDArray[np.object_]
    failed_rules: tuple[tuple[str, ...], ...]
    reasons: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Replay:
    """Orders, and what each policy decides about them."""

    orders: ReplayedOrders
    decisions: tuple[PolicyDecisions, ...]


def replay_orders(
    directory: Path,
    model: ChampionModel,
    policies: Sequence[Policy],
    selection: OrderSelection,
    progress: Progress = no_progress,
) -> Replay:
    """Decide the selected orders of a ledger folder under each policy.

    Raises NothingToReplayError where there are none, amounts of several currencies, or a policy under which
    the model could not decide.
    """
    for policy in policies:
        problem = other_terms(model, policy)
        if problem is not None:
            raise NothingToReplayError(problem)
    table, selected_from = _selected(directory, selection)
    customer_id = table["customer_id"].to_numpy(zero_copy_only=False)
    as_of_ms = milliseconds(table["occurred_at"])
    decisions = Decisions(
        decision_id=table["order_id"].to_numpy(zero_copy_only=False),
        customer_id=customer_id,
        as_of_ms=as_of_ms,
    )
    features = build_features(directory, decisions, model.feature_set, progress).values
    facts: list[tuple[int, float, str]] = []
    judged: list[list[_Judged]] = [[] for _ in policies]
    step = f"decide {len(decisions):,} orders again"
    for inputs, moment_ms in _inputs(directory, table, features, model.terms):
        for policy, answers in zip(policies, judged, strict=True):
            answers.append(_judged(inputs, model, policy, moment_ms))
        decision = judged[0][-1].decision
        if decision.score is None or decision.probability_of_default is None:
            raise AssertionError("a decision with a model has a score")
        country = inputs.applicant.residence_country if inputs.applicant else None
        facts.append(
            (
                decision.score,
                decision.probability_of_default,
                country or NO_RESIDENCE,
            )
        )
        if len(facts) % 1_000 == 0 or len(facts) == len(decisions):
            progress(step, done=len(facts), total=len(decisions))
    return Replay(
        orders=ReplayedOrders(
            order_id=decisions.decision_id,
            customer_id=customer_id,
            merchant_id=table["merchant_id"].to_numpy(zero_copy_only=False),
            country=np.array([fact[2] for fact in facts], dtype=object),
            as_of_ms=as_of_ms,
            amount_cents=table["amount_cents"].to_numpy().astype(np.int64),
            score=np.array([fact[0] for fact in facts], dtype=np.int64),
            probability_of_default=np.array([fact[1] for fact in facts], dtype=np.float64),
            currency=str(table["currency"][0].as_py()),
            selected_from=selected_from,
        ),
        decisions=tuple(
            PolicyDecisions(
                policy=policy,
                approved=np.array([answer.is_approved for answer in answers], dtype=bool),
                approved_without_growth=np.array(
                    [answer.is_approved_without_growth for answer in answers], dtype=bool
                ),
                familiarity=np.array([answer.familiarity.value for answer in answers], dtype=object),
                failed_rules=tuple(
                    tuple(dict.fromkeys(failure.code for failure in answer.decision.failed_rules))
                    for answer in answers
                ),
                reasons=tuple(
                    tuple(dict.fromkeys(reason.code for reason in answer.decision.reasons))
                    for answer in answers
                ),
            )
            for policy, answers in zip(policies, judged, strict=True)
        ),
    )


@dataclass(frozen=True, kw_only=True)
class _Judged:
    decision: Decision
    familiarity: Familiarity
    is_approved_without_growth: bool

    @property
    def is_approved(self) -> bool:
        return self.decision.outcome is Outcome.APPROVED


def _judged(inputs: DecisionInputs, model: ChampionModel, policy: Policy, as_of_ms: int) -> _Judged:
    decision = judge(inputs, model, policy, as_of_ms=as_of_ms).decision
    if decision.score is None:
        raise AssertionError("a decision with a model has a score")
    without_growth = decision
    if policy.limit_growth is not None:
        without_growth = decided_without_limit_growth(inputs, decision, policy, as_of_ms=as_of_ms)
    return _Judged(
        decision=decision,
        familiarity=credit_terms(
            decision.score,
            inputs.standing,
            policy,
            currency=currency_of_limits(inputs.order_row["currency"], inputs.applicant, policy),
        ).familiarity,
        is_approved_without_growth=without_growth.outcome is Outcome.APPROVED,
    )


def _selected(directory: Path, selection: OrderSelection) -> tuple[pa.Table, int]:
    """The rows of the selected orders, as first given, by customer and time; and out of how many."""
    if not has_table(directory, ORDERS):
        raise NothingToReplayError(f"{directory} holds no orders; simulate or export a ledger first")
    table = read_table(directory, ORDERS)
    is_wanted = np.asarray(pc.is_null(table["corrects"]).to_numpy(zero_copy_only=False))
    as_of_ms = milliseconds(table["occurred_at"])
    if selection.since_ms is not None:
        is_wanted &= as_of_ms >= selection.since_ms
    if selection.until_ms is not None:
        is_wanted &= as_of_ms < selection.until_ms
    places = np.flatnonzero(is_wanted)
    if len(places) == 0:
        raise NothingToReplayError(f"{directory} holds no order in the period asked for")
    selected_from = len(places)
    if selection.sample is not None and selection.sample < len(places):
        generator = np.random.default_rng(selection.seed)
        places = np.sort(generator.choice(places, selection.sample, replace=False))
    table = table.take(pa.array(places)).sort_by(
        [("customer_id", "ascending"), ("occurred_at", "ascending"), ("order_id", "ascending")]
    )
    currencies = sorted(pc.unique(table["currency"]).to_pylist())
    if len(currencies) > 1:
        raise NothingToReplayError(
            f"orders in {', '.join(currencies)}: amounts of several currencies cannot be added up"
        )
    return table, selected_from


def _inputs(
    directory: Path, table: pa.Table, features: Float64Array, terms: SettlementTerms
) -> Iterator[tuple[DecisionInputs, int]]:
    """What each order's decision rests on and its moment, order by order; `table` is sorted by customer."""
    ids = table["customer_id"].to_numpy(zero_copy_only=False).astype(str)
    customers, first_order = np.unique(ids, return_index=True)
    candidates = _candidate_accounts(directory, set(customers.tolist()))
    others = np.unique(np.array([other for found in candidates.values() for other in found], dtype=str))
    standing: list[tuple[Contract, _ByCustomer]] = []
    standing_of_others: list[tuple[Contract, _ByCustomer]] = []
    for contract in STANDING_CONTRACTS:
        if has_table(directory, contract):
            rows = read_table(directory, contract)
            standing.append((contract, _by_customer(rows, customers)))
            if len(others):
                standing_of_others.append((contract, _by_customer(rows, others)))
    rows_of_others = _rows_by_customer(standing_of_others, 0, len(others))
    for start in range(0, len(customers), CUSTOMERS_PER_BLOCK):
        stop = min(start + CUSTOMERS_PER_BLOCK, len(customers))
        rows_of = _rows_by_customer(standing, start, stop)
        low = int(first_order[start])
        high = int(first_order[stop]) if stop < len(customers) else table.num_rows
        for place, row in enumerate(ledger_rows(ORDERS, table.slice(low, high - low)), start=low):
            own_rows = rows_of.get(row["customer_id"], {})
            candidate_rows = {
                other: rows_of_others.get(other, {}) for other in candidates.get(row["customer_id"], ())
            }
            inputs = inputs_at(
                own_rows,
                row,
                reserved_cents=0,
                as_of_ms=row["occurred_at"],
                feature_set=None,
                terms=terms,
                other_accounts=rows_of_other_accounts(own_rows, candidate_rows, row["occurred_at"]),
            )
            yield replace(inputs, features=tuple(features[place].tolist())), row["occurred_at"]


def _candidate_accounts(directory: Path, wanted: set[str]) -> dict[str, list[str]]:
    """The other accounts that share a person's key with a wanted customer, by customer_id.

    Raises NothingToReplayError where one key is shared by more accounts than anybody has.
    """
    first: dict[str, str] = {}
    shared: dict[str, set[str]] = {}
    if has_table(directory, CUSTOMERS):
        table = read_table(directory, CUSTOMERS)
        for start in range(0, table.num_rows, ROWS_PER_BLOCK):
            for row in ledger_rows(CUSTOMERS, table.slice(start, ROWS_PER_BLOCK)):
                for key in person_keys(row):
                    customer_id = row["customer_id"]
                    if first.setdefault(key, customer_id) != customer_id:
                        shared.setdefault(key, {first[key]}).add(customer_id)
    found: defaultdict[str, set[str]] = defaultdict(set)
    for accounts in shared.values():
        for customer_id in accounts & wanted:
            found[customer_id] |= accounts - {customer_id}
            if len(found[customer_id]) >= ACCOUNTS_MAXIMUM:
                raise NothingToReplayError(
                    f"customer {customer_id} shares a document, or name, birth date and residence, with "
                    f"{len(found[customer_id]):,} accounts: nobody has so many"
                )
    return {customer_id: sorted(others) for customer_id, others in found.items()}


@dataclass(frozen=True, kw_only=True)
class _ByCustomer:
    """The rows of one contract, one customer after another, each one's in file order.

    first_row: where the rows of each wanted customer begin, and at the end where those of the last one end.
    """

    table: pa.Table
    first_row: Int64Array


def _by_customer(table: pa.Table, customers: NDArray[np.str_]) -> _ByCustomer:
    """The rows of the wanted customers, who are given in ascending order, each once."""
    ids = table["customer_id"].to_numpy(zero_copy_only=False).astype(str)
    place = np.searchsorted(customers, ids)
    is_wanted = customers[np.minimum(place, len(customers) - 1)] == ids
    rows = np.flatnonzero(is_wanted)
    # Stable, because rows of one customer are read in file order at the checkout as well.
    rows = rows[np.argsort(place[rows], kind="stable")]
    first_row = np.searchsorted(place[rows], np.arange(len(customers) + 1))
    return _ByCustomer(table=table.take(pa.array(rows)), first_row=first_row.astype(np.int64))


def _rows_by_customer(
    standing: Sequence[tuple[Contract, _ByCustomer]], start: int, stop: int
) -> dict[str, CustomerRows]:
    """The rows of the wanted customers from place `start` up to `stop`."""
    found: defaultdict[str, defaultdict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for contract, own in standing:
        low, high = int(own.first_row[start]), int(own.first_row[stop])
        for row in ledger_rows(contract, own.table.slice(low, high - low)):
            found[row["customer_id"]][contract.name].append(row)
    return dict(found)


def training_warnings(orders: ReplayedOrders, trained_until_ms: int | None) -> list[str]:
    """What to know when a model judges orders that it may have been trained on."""
    if trained_until_ms is None:
        return [
            "the model does not say until when it was trained; on orders that it has seen it looks better"
        ]
    seen = int((orders.as_of_ms < trained_until_ms).sum())
    if seen == 0:
        return []
    # The first midnight at or after it.
    day = moment(-(-trained_until_ms // DAY_MS) * DAY_MS).date().isoformat()
    share = f"{seen:,} of the {len(orders):,} orders were placed before the model's training data ended"
    return [f"{share}; it looks better on them than on new ones: --since {day} leaves them out"]
