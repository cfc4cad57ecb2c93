"""Whether a model ever rewards a worse history: probed on whole ledger rows of real customers.

Each probe takes a decision, changes the customer's rows for the worse (`worse_histories`), computes
the features of both histories as the checkout does, and asks the model about both. A feature moved by itself
would be no history that anybody can have: one more open invoice moves a dozen features at once.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_contracts.instants import DAY_MS
from data_contracts.parquet_ledger import has_table, ledger_rows, read_table
from features.account_rows import PAID_BACK_BY_PLAN
from features.decisions import Decisions
from features.feature_sets import FeatureSet
from features.instants import Float64Array
from features.invoice_state import InvoiceState
from features.online import CREDIT_CONTRACTS, features_at, invoice_states
from training.gates.worse_histories import (
    History,
    with_a_higher_balance,
    with_a_larger_invoice,
    with_a_late_payment,
    with_a_later_payment,
    with_a_shorter_payment,
    with_a_statement_no_better,
    with_an_inquiry,
    with_an_unpaid_invoice,
    with_more_days_past_due,
    with_one_more_loan,
    without_row,
)

PROBED_DECISIONS = 100
PROBED_CENTS = (1_000, 8_990, 899_000)

ProbabilityOfRows = Callable[[Float64Array], Float64Array]
"""Probability of not being paid of rows of features, shape (n, n_features) to (n,)."""


@dataclass(frozen=True, kw_only=True)
class DirectionProbes:
    """What came of the probes, by the name of the change: how many were tried, and how many scored better."""

    tried: Mapping[str, int]
    violated: Mapping[str, int]

    @property
    def violations(self) -> int:
        """How many changes for the worse scored better."""
        return sum(self.violated.values())

    def finding(self) -> str:
        """The outcome in a sentence."""
        tried = sum(self.tried.values())
        if not tried:
            return "no customer has rows to change"
        named = ", ".join(f"{count} x {name}" for name, count in self.violated.items() if count)
        found = f"{self.violations} of {tried} histories score better after rows got worse"
        return f"{found}: {named}" if named else found


@dataclass(frozen=True, kw_only=True)
class _Case:
    """One decision about a customer, and what the probes draw from. histories: only what was known then."""

    history: History
    customer_id: str
    as_of_ms: int
    feature_set: FeatureSet
    chance: np.random.Generator

    def place(
        self, contract: str, wanted: Callable[[Mapping[str, Any]], bool] = lambda _: True
    ) -> int | None:
        """The place of one row of a contract, of those that nobody corrected; None where there is none."""
        rows = self.history.get(contract, ())
        corrected = {row.get("corrects") for row in rows}
        found = [
            place
            for place, row in enumerate(rows)
            if row.get("corrects") is None and row["event_id"] not in corrected and wanted(row)
        ]
        return found[int(self.chance.integers(len(found)))] if found else None

    def unpaid(self, days_ago: int, amount_cents: int) -> History:
        """The history with one unpaid invoice more, due 14 days after it was issued."""
        issued_at = self.as_of_ms - days_ago * DAY_MS
        return with_an_unpaid_invoice(
            self.history,
            customer_id=self.customer_id,
            issued_at=issued_at,
            due_at=issued_at + 14 * DAY_MS,
            amount_cents=amount_cents,
            currency="EUR",
        )

    def paid_late(self, days_ago: int, late_days: int, amount_cents: int) -> History:
        """The history with one invoice more that was due so long ago and paid so many days late."""
        due_at = self.as_of_ms - days_ago * DAY_MS
        return with_a_late_payment(
            self.history,
            customer_id=self.customer_id,
            issued_at=due_at - 14 * DAY_MS,
            due_at=due_at,
            paid_at=due_at + late_days * DAY_MS,
            amount_cents=amount_cents,
            currency="EUR",
        )

    @cached_property
    def states(self) -> Mapping[str, InvoiceState]:
        """The state of each of the customer's invoices at the decision, by invoice_id."""
        return invoice_states(self.history, self.as_of_ms, self.feature_set.terms)

    def is_open(self, invoice: Mapping[str, Any]) -> bool:
        """Whether an invoice is owed at the decision."""
        state = self.states.get(invoice["invoice_id"])
        return state is not None and state.owed_cents > 0

    @property
    def refunded(self) -> set[str]:
        """Invoices with refunds: those credit by what the other amounts are, so they are no clean cases."""
        rows = self.history.get("invoice_adjustments", ())
        return {row["invoice_id"] for row in rows if row["kind"] == "refund"}

    def is_overpaid(self, invoice: Mapping[str, Any]) -> bool:
        """Whether more was paid than invoiced: more would be kept of it if the invoice were larger."""
        payments = self.history.get("invoice_payments", ())
        paid = (row["amount_cents"] for row in payments if row["invoice_id"] == invoice["invoice_id"])
        return bool(sum(paid) > invoice["amount_cents"])


Pair = tuple[str, History, History]
"""The name of a change, the better history and the worse one."""


def _invoice_pairs(case: _Case) -> Iterator[Pair]:
    for name, days_ago in (("open invoice", 5), ("overdue invoice", 60)):
        smaller = case.history
        for cents in PROBED_CENTS:
            larger = case.unpaid(days_ago, cents)
            yield f"one more {name}", case.history, larger
            if smaller is not case.history:
                yield f"a larger {name}", smaller, larger
            smaller = larger
    grace_days = case.feature_set.terms.grace_days
    for days_ago, late_days in ((60, grace_days + 1), (120, 40), (500, 100)):
        yield "one more invoice paid late", case.history, case.paid_late(days_ago, late_days, 8_990)
    for older_days in (120, 800):
        yield "an older debt", case.unpaid(60, 8_990), case.unpaid(older_days, 8_990)
    refunded = case.refunded
    place = case.place(
        "invoices", lambda row: row["invoice_id"] not in refunded and not case.is_overpaid(row)
    )
    if place is not None:
        for cents in (300, *PROBED_CENTS):
            yield "a larger invoice", case.history, with_a_larger_invoice(case.history, place, cents)
    place = case.place("invoices", case.is_open)
    if place is not None:
        for cents in PROBED_CENTS:
            yield "a larger open invoice", case.history, with_a_larger_invoice(case.history, place, cents)
        yield "an open invoice taken away", without_row(case.history, "invoices", place), case.history


def _payment_pairs(case: _Case) -> Iterator[Pair]:
    refunded = case.refunded
    place = case.place("invoice_payments", lambda row: row["invoice_id"] not in refunded)
    if place is None:
        return
    for days in (1, 5, 40, 400):
        yield "a later payment", case.history, with_a_later_payment(case.history, place, days * DAY_MS)
    for cents in (3, 501, 5_000):
        yield "a shorter payment", case.history, with_a_shorter_payment(case.history, place, cents)
    yield "a payment never made", case.history, without_row(case.history, "invoice_payments", place)


def _inquiry_pairs(case: _Case) -> Iterator[Pair]:
    asked = with_an_inquiry(
        case.history,
        customer_id=case.customer_id,
        at=case.as_of_ms - int(case.chance.integers(1, 200)) * DAY_MS,
    )
    yield "one more inquiry", case.history, asked
    place = case.place("credit_inquiries")
    if place is not None:
        yield "an inquiry taken away", without_row(case.history, "credit_inquiries", place), case.history


def _statement_pairs(case: _Case) -> Iterator[Pair]:
    opened_at = case.as_of_ms - 60 * DAY_MS
    for kind in PAID_BACK_BY_PLAN:
        borrowed = with_one_more_loan(
            case.history,
            case.as_of_ms,
            customer_id=case.customer_id,
            kind=kind,
            opened_at=opened_at,
            left_cents=400_000,
        )
        if borrowed is not None:
            yield f"one more {kind}", case.history, borrowed
    place = case.place("account_balances")
    if place is None:
        return
    for cents in (5_000, 500_000):
        yield "a higher balance", case.history, with_a_higher_balance(case.history, place, cents)
    in_arrears = with_more_days_past_due(case.history, place, 31)
    if in_arrears is not None:
        yield "a statement in arrears", case.history, in_arrears
    worse = with_a_statement_no_better(case.history, place, at=case.as_of_ms - DAY_MS)
    if worse is not None:
        yield "a statement as bad as any", case.history, worse


def direction_probes(
    directory: Path,
    decisions: Decisions,
    feature_set: FeatureSet,
    probability_of: ProbabilityOfRows,
    *,
    seed: int,
) -> DirectionProbes:
    """Probe a model on PROBED_DECISIONS of the decisions, drawn by the seed, by the rows of a ledger folder.

    feature_set: that the model reads, of credit features.
    """
    chance = np.random.default_rng(seed)
    places = np.sort(chance.permutation(len(decisions))[:PROBED_DECISIONS])
    customers = decisions.customer_id[places].tolist()
    rows_of = _rows_by_customer(directory, customers)
    names: list[str] = []
    moments: list[int] = []
    histories: list[History] = []
    for customer_id, as_of_ms in zip(customers, decisions.as_of_ms[places].tolist(), strict=True):
        known = {
            contract: [row for row in rows if row["recorded_at"] < as_of_ms]
            for contract, rows in rows_of[customer_id].items()
        }
        case = _Case(
            history=known,
            customer_id=customer_id,
            as_of_ms=as_of_ms,
            feature_set=feature_set,
            chance=chance,
        )
        for pairs in (_invoice_pairs, _payment_pairs, _inquiry_pairs, _statement_pairs):
            for name, better, worse in pairs(case):
                names.append(name)
                moments += [as_of_ms, as_of_ms]
                histories += [better, worse]
    if not names:
        return DirectionProbes(tried={}, violated={})
    values = _features_of_each(histories, moments, feature_set)
    probability = probability_of(values).reshape(-1, 2)
    rewarded = (probability[:, 1] < probability[:, 0]).tolist()
    tried = Counter(names)
    violated = Counter(name for name, is_rewarded in zip(names, rewarded, strict=True) if is_rewarded)
    return DirectionProbes(tried=dict(tried), violated={name: violated[name] for name in tried})


def _features_of_each(
    histories: Sequence[History], moments: Sequence[int], feature_set: FeatureSet
) -> Float64Array:
    """The features of each history at its moment, shape (n, n_features).

    Half of the histories are the customer's own, once for each change: the same object is computed once.
    """
    rows: dict[tuple[int, int], tuple[float, ...]] = {}
    for history, as_of_ms in zip(histories, moments, strict=True):
        key = (id(history), as_of_ms)
        if key not in rows:
            rows[key] = tuple(features_at(history, as_of_ms, feature_set))
    return np.array(
        [rows[id(history), as_of_ms] for history, as_of_ms in zip(histories, moments, strict=True)]
    )


def _rows_by_customer(
    directory: Path, customers: Sequence[str]
) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """The credit rows of some customers in ledger row form, by customer and contract."""
    wanted = pa.array(sorted(set(customers)), pa.string())
    rows_of: dict[str, dict[str, list[dict[str, Any]]]] = {
        customer: defaultdict(list) for customer in customers
    }
    for contract in CREDIT_CONTRACTS:
        if has_table(directory, contract):
            table = read_table(directory, contract)
            table = table.filter(pc.is_in(table["customer_id"], value_set=wanted))
            for row in ledger_rows(contract, table):
                rows_of[row["customer_id"]][contract.name].append(row)
    return rows_of
