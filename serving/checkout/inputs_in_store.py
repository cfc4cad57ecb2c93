"""What a decision rests on, gathered from the store: the ledger's rows and what is reserved."""

from collections.abc import Mapping
from typing import Any

from features.online import LedgerRows
from serving.checkout.decision_inputs import DecisionInputs, inputs_at, orders_of_fraud
from serving.checkout.merchant_key_bounds import bounds_of
from serving.domain.policy import Policy
from serving.in_force.model_watch import ModelInForce
from serving.store.api_keys import Caller
from serving.store.credit_rows import credit_rows
from serving.store.person_accounts import candidate_accounts
from serving.store.reservations import held_by_merchants_keys, reserved_cents
from serving.store.store import Transaction


def candidate_rows_of(tx: Transaction, customer_id: str) -> dict[str, LedgerRows]:
    """The rows of the accounts that may be the same person's, by customer_id."""
    return {candidate: credit_rows(tx, candidate) for candidate in candidate_accounts(tx, customer_id)}


def inputs_in_store(
    tx: Transaction,
    row: Mapping[str, Any],
    rows: LedgerRows,
    others: Mapping[str, LedgerRows],
    *,
    model: ModelInForce,
    as_of_ms: int,
    policy: Policy,
    caller: Caller,
    invoiced_of_order_cents: int = 0,
) -> DecisionInputs:
    """What the decision rests on.

    others: rows of the person's other accounts.
    invoiced_of_order_cents: what of this order, whose whole amount is judged, its invoices stand for; they
        are outstanding as far as they are unpaid, and must not count twice.
    """
    customer_id, order_id, other_accounts = row["customer_id"], row["order_id"], tuple(others)
    not_owed = tuple(
        of_fraud
        for of_account in (rows, *others.values())
        for of_fraud in orders_of_fraud(of_account, as_of_ms)
    )
    merchant_key = None
    if bounds_of(caller, policy) is not None:
        merchant_key = held_by_merchants_keys(
            tx,
            customer_id,
            as_of_ms,
            merchant_id=row["merchant_id"],
            excluding_order_id=order_id,
            other_accounts=other_accounts,
            not_owed=not_owed,
        )
    return inputs_at(
        rows,
        row,
        reserved_cents=reserved_cents(
            tx,
            customer_id,
            as_of_ms,
            excluding_order_id=order_id,
            other_accounts=other_accounts,
            not_owed=not_owed,
        )
        - invoiced_of_order_cents,
        as_of_ms=as_of_ms,
        feature_set=None if model.model is None else model.model.feature_set,
        terms=policy.settlement_terms,
        other_accounts=others,
        merchant_key=merchant_key,
    )
