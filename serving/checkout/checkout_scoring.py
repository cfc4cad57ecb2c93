"""Use case: one order in, one decision out, and all that the decision causes in one transaction."""

import logging
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from data_contracts.between_rows.arrivals import AppendStatus
from data_contracts.customers import CUSTOMERS
from data_contracts.instants import HOUR_MS, MINUTE_MS
from data_contracts.orders import ORDERS
from data_contracts.rules import Rule
from data_contracts.text_form import primary_language
from features.online import LedgerRows
from features.supersession import latest_of
from serving.checkout.checkout_judgement import (
    DecisionInputs,
    Judgement,
    answer_to_checkout,
    inputs_at,
    judge,
    orders_of_fraud,
    rows_of_other_accounts,
    unavailable,
)
from serving.checkout.order_body import OrderBody
from serving.domain.decision import Outcome, TechnicalFailure
from serving.domain.errors import (
    AskedTooOften,
    FieldsInvalid,
    OrderAlreadyClosed,
    OrderAlreadyConfirmed,
    OrderNumberTaken,
    OrderOfAnotherCustomer,
)
from serving.domain.field_errors import FieldError
from serving.domain.merchant_keys import MerchantKeyPolicy, QuestionKind
from serving.domain.policy import Policy
from serving.domain.reservation import ReservationState
from serving.domain.text_files import FALLBACK_LANGUAGE
from serving.in_force.model_watch import ModelInForce
from serving.in_force.policy_watch import NoPolicyInForce
from serving.requests.idempotent_requests import earlier_answer, fingerprint, remember_answer
from serving.requests.request_scope import RequestScope
from serving.store.api_keys import Caller, Role
from serving.store.credit_rows import credit_rows
from serving.store.customer_clocks import next_common_as_of_ms
from serving.store.decision_log import LoggedDecision, append_decision, decisions_about
from serving.store.errors import StoreUnavailable
from serving.store.ledger import append_decided_order
from serving.store.merchant_orders import keep_number, lock_of_number, order_under
from serving.store.merchant_questions import count_question, lock_of_questions
from serving.store.outbox import LINK_ORDER, append_message
from serving.store.person_accounts import candidate_accounts
from serving.store.reservations import (
    Reservation,
    held_by_merchants_keys,
    release,
    reservation_of,
    reserve,
    reserved_cents,
)
from serving.store.standing_rows import standing_row
from serving.store.store import Transaction

LOG = logging.getLogger("bonitas.checkout")


@dataclass(frozen=True, kw_only=True)
class CheckoutAnswer:
    """The whole answer, as a checkout sees it. replayed: it was given before, under the same key."""

    document: dict[str, Any]
    replayed: bool = False


class _MoreAccountsToLock(Exception):
    """Rolls back what was begun without the locks of all the person's accounts."""

    def __init__(self, accounts: Iterable[str]) -> None:
        super().__init__()
        self.accounts = frozenset(accounts)


class _OtherOrderToLock(Exception):
    """Rolls back what was begun under the lock of another order than the merchant's number stands for."""

    def __init__(self, order_id: str) -> None:
        super().__init__()
        self.order_id = order_id


class _NothingKept(Exception):
    """Rolls back what was begun for an answer that leaves no trace."""

    def __init__(self, answer: dict[str, Any]) -> None:
        super().__init__()
        self.answer = answer


def score(
    scope: RequestScope,
    order: OrderBody,
    *,
    caller: Caller,
    idempotency_key: str | None,
    accepted_language: str | None,
) -> CheckoutAnswer:
    """Decide an order and reserve its amount.

    What other accounts of the person owe counts, so their locks are held too: all are taken in one order,
    and where a look shows more of them than were locked, the whole begins again with these. Who only has a
    namesake waits for nobody: an account is looked at without its lock until it is the person's.
    A merchant's own key is bounded in how often it asks and in what its orders hold, by the policy.
    Raises StoreUnavailable, IdempotencyConflict, OrderAlreadyConfirmed, OrderAlreadyClosed,
    OrderOfAnotherCustomer, OrderNumberTaken, FieldsInvalid for a merchant that nobody knows, and
    AskedTooOften. `unavailable` is an answer that leaves no trace.
    """
    row = order.row
    customer_id, order_id = row["customer_id"], row["order_id"]
    request = "" if idempotency_key is None else _fingerprint(order)
    locked = frozenset({customer_id})
    beside = [*_locks_of_questions(caller, row), *_locks_of_number(row)]
    while True:
        try:
            with scope.store.writing(*locked, f"order-{order_id}", *beside) as tx:
                earlier = earlier_answer(tx, caller=caller, key=idempotency_key, request=request)
                if earlier is not None:
                    return CheckoutAnswer(document=earlier, replayed=True)
                _count_question(scope, tx, QuestionKind.ORDER, row, caller)
                named = _under_its_number(tx, order)
                _require_lock(named, order_id)
                answer = _decide_and_keep(scope, tx, named, accepted_language, caller=caller, locked=locked)
                remember_answer(
                    tx,
                    answer,
                    caller=caller,
                    key=idempotency_key,
                    request=request,
                    now_ms=scope.now_ms(),
                )
        except _MoreAccountsToLock as more:
            locked |= more.accounts
        except _OtherOrderToLock as other:
            order_id = other.order_id
        except _NothingKept as nothing:
            return CheckoutAnswer(document=nothing.answer)
        else:
            return CheckoutAnswer(document=answer)


def answered_before(
    scope: RequestScope, order: OrderBody, *, caller: Caller, idempotency_key: str
) -> CheckoutAnswer | None:
    """What `score` answered under this key, None where nothing; only reads.

    Raises StoreUnavailable, IdempotencyConflict.
    """
    with scope.store.reading() as tx:
        earlier = earlier_answer(tx, caller=caller, key=idempotency_key, request=_fingerprint(order))
    return None if earlier is None else CheckoutAnswer(document=earlier, replayed=True)


def _require_lock(order: OrderBody, locked_order_id: str) -> None:
    if order.row["order_id"] != locked_order_id:
        raise _OtherOrderToLock(order.row["order_id"])


def _locks_of_number(row: Mapping[str, Any]) -> list[str]:
    """What is locked while a merchant's number is given to an order; nothing where there is none."""
    number = row.get("merchant_order_number")
    return [] if number is None else [lock_of_number(row["merchant_id"], number)]


def _under_its_number(tx: Transaction, order: OrderBody) -> OrderBody:
    """The order with the order_id that its merchant's number stands for. Raises OrderNumberTaken."""
    row = order.row
    number = row.get("merchant_order_number")
    if number is None:
        return order
    known = order_under(tx, row["merchant_id"], number)
    if known is None or known == row["order_id"]:
        return order
    if not order.is_named_by_number:
        raise OrderNumberTaken(f"merchant_order_number {number} stands for another order of the merchant")
    return replace(order, row={**row, "order_id": known})


def _fingerprint(order: OrderBody) -> str:
    return fingerprint("POST /v1/score", {"order": order.row, "language": order.language})


def _decide_and_keep(
    scope: RequestScope,
    tx: Transaction,
    order: OrderBody,
    accepted_language: str | None,
    *,
    caller: Caller,
    locked: frozenset[str],
) -> dict[str, Any]:
    row = order.row
    model = scope.model
    corrects = _row_to_correct(tx, row)
    customer_id = row["customer_id"]
    as_of_ms = next_common_as_of_ms(tx, customer_id, sorted(locked - {customer_id}), scope.now_ms())
    rows = credit_rows(tx, customer_id)
    others = rows_of_other_accounts(rows, _candidate_rows(tx, customer_id), as_of_ms)
    if not locked.issuperset(others):
        raise _MoreAccountsToLock(others)
    inputs = _inputs(
        tx,
        row,
        rows,
        others,
        model=model,
        as_of_ms=as_of_ms,
        policy=scope.policy,
        caller=caller,
    )
    judgement = _judged(scope, inputs, model, as_of_ms)
    outcome = judgement.decision.outcome
    language = _language(order, accepted_language, rows)
    decision_id = None if outcome is Outcome.UNAVAILABLE else _new_decision_id(as_of_ms)
    answer = answer_to_checkout(
        judgement.decision,
        decision_id=decision_id,
        order_id=row["order_id"],
        merchant_order_number=row.get("merchant_order_number"),
        model=_model_identity(model),
        as_of_ms=as_of_ms,
        language=language,
    )
    if decision_id is None:
        raise _NothingKept(answer)
    if row.get("merchant_order_number") is not None:
        keep_number(
            tx,
            merchant_id=row["merchant_id"],
            number=row["merchant_order_number"],
            order_id=row["order_id"],
        )
    if outcome is Outcome.APPROVED:
        # Before the order lets in what waited for it: an invoice, or a cancellation, ends what it reserves.
        _reserve(scope, tx, row, caller=caller, decision_id=decision_id, as_of_ms=as_of_ms)
    if inputs.applicant is not None:
        # An order of nobody whom the ledger knows stays out of it; the decision log has it whole.
        _append_order(tx, row, corrects, decision_id=decision_id, as_of_ms=as_of_ms)
    append_decision(
        tx,
        LoggedDecision(
            decision_id=decision_id,
            order_id=row["order_id"],
            customer_id=row["customer_id"],
            merchant_id=row["merchant_id"],
            outcome=outcome.value,
            as_of_ms=as_of_ms,
            model_name=None if model.model is None else model.model.name,
            model_version=None if model.model is None else model.model.version,
            feature_set_version=None if model.model is None else model.model.version_under_terms,
            policy_version=scope.policy.version,
            features=None if model.model is None else inputs.features,
            record={
                **inputs.to_record(),
                "raw_log_odds": judgement.raw_log_odds,
                "technical_reason": model.technical_reason,
                "language": language,
                "answer": answer,
            },
        ),
    )
    if inputs.applicant is not None:
        # What an order shares with others counts there, also where it was refused.
        append_message(
            tx,
            message_id=f"link-{decision_id}",
            kind=LINK_ORDER,
            payload={"order_id": row["order_id"], "approved": outcome is Outcome.APPROVED},
            now_ms=as_of_ms,
        )
    if outcome is not Outcome.APPROVED and corrects is not None:
        release(tx, customer_id=row["customer_id"], order_id=row["order_id"], now_ms=as_of_ms)
    return answer


def _candidate_rows(tx: Transaction, customer_id: str) -> dict[str, LedgerRows]:
    """The rows of the accounts that may be the same person's, by customer_id."""
    return {candidate: credit_rows(tx, candidate) for candidate in candidate_accounts(tx, customer_id)}


def _inputs(
    tx: Transaction,
    row: Mapping[str, Any],
    rows: LedgerRows,
    others: Mapping[str, LedgerRows],
    *,
    model: ModelInForce,
    as_of_ms: int,
    policy: Policy,
    caller: Caller,
) -> DecisionInputs:
    """What the decision rests on. others: rows of the person's other accounts."""
    customer_id, order_id, other_accounts = row["customer_id"], row["order_id"], tuple(others)
    not_owed = tuple(
        of_fraud
        for of_account in (rows, *others.values())
        for of_fraud in orders_of_fraud(of_account, as_of_ms)
    )
    merchant_key = None
    if _bounds_of(caller, policy) is not None:
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
        ),
        as_of_ms=as_of_ms,
        feature_set=None if model.model is None else model.model.feature_set,
        terms=policy.settlement_terms,
        other_accounts=others,
        merchant_key=merchant_key,
    )


def _bounds_of(caller: Caller, policy: Policy) -> MerchantKeyPolicy | None:
    """What bounds a caller; None for all but merchants' own keys."""
    return policy.merchant_keys if caller.role is Role.MERCHANT else None


def _locks_of_questions(caller: Caller, row: Mapping[str, Any]) -> list[str]:
    """What is locked while a caller's question is counted; nothing for those whose questions are not."""
    if caller.role is not Role.MERCHANT:
        return []
    return [lock_of_questions(row["merchant_id"], row["customer_id"])]


def _count_question(
    scope: RequestScope, tx: Transaction, kind: QuestionKind, row: Mapping[str, Any], caller: Caller
) -> None:
    """Count what a merchant's key asks. Raises AskedTooOften."""
    bounds = _bounds_of(caller, scope.policy)
    if bounds is None:
        return
    wait_ms = count_question(
        tx,
        kind,
        merchant_id=row["merchant_id"],
        customer_id=row["customer_id"],
        policy=bounds,
        now_ms=scope.now_ms(),
    )
    if wait_ms is not None:
        raise AskedTooOften(-(-wait_ms // 1000))


def _new_decision_id(as_of_ms: int) -> str:
    """An id that nobody can guess and that grows with time: neighbours share a page of every index."""
    return f"dec_{as_of_ms:011x}{secrets.token_hex(8)}"


def _judged(scope: RequestScope, inputs: DecisionInputs, model: ModelInForce, as_of_ms: int) -> Judgement:
    return judge(
        inputs, model.model, scope.policy, as_of_ms=as_of_ms, technical_reason=model.technical_reason
    )


def _model_identity(model: ModelInForce) -> tuple[str, str] | None:
    return None if model.model is None else (model.model.name, model.model.version)


def _row_to_correct(tx: Transaction, row: Mapping[str, Any]) -> str | None:
    """The order's newest ledger row, when the order is scored again; None for a new order."""
    reservation = reservation_of(tx, row["customer_id"], row["order_id"])
    if reservation is not None:
        if reservation.state is ReservationState.CONFIRMED:
            raise OrderAlreadyConfirmed
        if reservation.state in {ReservationState.INVOICED, ReservationState.CANCELLED}:
            raise OrderAlreadyClosed
    known = standing_row(tx, ORDERS, row["order_id"])
    if known is None:
        return None
    if (known["customer_id"], known["merchant_id"]) != (row["customer_id"], row["merchant_id"]):
        raise OrderOfAnotherCustomer
    if reservation is None and not decisions_about(tx, row["order_id"]):
        # The ledger has the order from elsewhere: it was decided and maybe invoiced before our time.
        raise OrderAlreadyClosed
    return str(known["event_id"])


def _append_order(
    tx: Transaction, row: Mapping[str, Any], corrects: str | None, *, decision_id: str, as_of_ms: int
) -> None:
    ledger_row = {**row, "event_id": f"order-{decision_id}", "occurred_at": as_of_ms}
    if corrects is not None:
        ledger_row["corrects"] = corrects
    result = append_decided_order(tx, ledger_row, recorded_at_ms=as_of_ms, now_ms=as_of_ms)
    if result.rule is Rule.UNKNOWN_REFERENCE:
        raise FieldsInvalid([FieldError(pointer="/merchant_id", detail="names no merchant that we know")])
    if result.status is not AppendStatus.ACCEPTED:
        # It was invoiced without ever having been approved here; what the invoices rest on stays.
        raise OrderAlreadyClosed(f"the order is invoiced: {result.message}")


def _reserve(
    scope: RequestScope,
    tx: Transaction,
    row: Mapping[str, Any],
    *,
    caller: Caller,
    decision_id: str,
    as_of_ms: int,
) -> None:
    bounds = _bounds_of(caller, scope.policy)
    held_ms = scope.policy.reservation_hours_unconfirmed * HOUR_MS
    if bounds is not None:
        held_ms = min(held_ms, bounds.unconfirmed_minutes * MINUTE_MS)
    reserve(
        tx,
        Reservation(
            order_id=row["order_id"],
            customer_id=row["customer_id"],
            merchant_id=row["merchant_id"],
            decision_id=decision_id,
            amount_cents=row["amount_cents"],
            currency=row["currency"],
            state=ReservationState.RESERVED,
            expires_at_ms=as_of_ms + held_ms,
            placed_by=caller.role,
        ),
        as_of_ms,
    )


def count_precheck(scope: RequestScope, order: OrderBody, *, caller: Caller) -> None:
    """Count a merchant's pre-check. Raises StoreUnavailable, AskedTooOften."""
    with scope.store.writing(*_locks_of_questions(caller, order.row)) as tx:
        _count_question(scope, tx, QuestionKind.PRECHECK, order.row, caller)


def precheck(
    scope: RequestScope, order: OrderBody, *, caller: Caller, accepted_language: str | None
) -> dict[str, Any]:
    """What the answer would be now; nothing is reserved, nothing is kept.

    A merchant's pre-check is counted first, by `count_precheck`. Raises StoreUnavailable, OrderNumberTaken.
    """
    model = scope.model
    with scope.store.reading() as tx:
        row = _under_its_number(tx, order).row
        rows = credit_rows(tx, row["customer_id"])
        candidate_rows = _candidate_rows(tx, row["customer_id"])
        now_ms = scope.now_ms()
        newest_ms = max(
            (
                known["recorded_at"]
                for of_account in (rows, *candidate_rows.values())
                for kind in of_account.values()
                for known in kind
            ),
            default=0,
        )
        as_of_ms = max(now_ms, newest_ms + 1)
        inputs = _inputs(
            tx,
            row,
            rows,
            rows_of_other_accounts(rows, candidate_rows, as_of_ms),
            model=model,
            as_of_ms=as_of_ms,
            policy=scope.policy,
            caller=caller,
        )
    return answer_to_checkout(
        _judged(scope, inputs, model, as_of_ms).decision,
        decision_id=None,
        order_id=row["order_id"],
        merchant_order_number=row.get("merchant_order_number"),
        model=_model_identity(model),
        as_of_ms=as_of_ms,
        language=_language(order, accepted_language, rows),
    )


def answer_without_store(
    scope: RequestScope, order: OrderBody, *, accepted_language: str | None, problem: StoreUnavailable
) -> CheckoutAnswer:
    """`unavailable`: the store, or the policy in it, cannot be read. Says nothing about anyone."""
    if isinstance(problem, NoPolicyInForce):
        event, failure = "no_policy_in_force", TechnicalFailure(code="no_policy", detail=str(problem))
    else:
        event = "store_unavailable"
        failure = TechnicalFailure(code="no_store", detail="the store is unavailable")
    LOG.warning(event, extra={"order_id": order.row["order_id"], "reason": str(problem)})
    document = answer_to_checkout(
        unavailable(order.row, scope.policy_in_force.policy, failure),
        decision_id=None,
        order_id=order.row["order_id"],
        merchant_order_number=order.row.get("merchant_order_number"),
        model=None,
        as_of_ms=scope.now_ms(),
        language=_language(order, accepted_language, {}),
    )
    return CheckoutAnswer(document=document)


def _language(order: OrderBody, accepted_language: str | None, rows: Mapping[str, Any]) -> str:
    """Of the texts: as the order asks, else as the browser does, else the customer's own."""
    tag = order.language or accepted_language
    if tag is not None:
        return primary_language(tag)
    customer = latest_of(CUSTOMERS, rows.get(CUSTOMERS.name, ()))
    return FALLBACK_LANGUAGE if customer is None else str(customer["language"])
