"""Use case: one order in, one decision out, and all that the decision causes in one transaction."""

import logging
import secrets
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from data_contracts.between_rows.arrivals import AppendStatus
from data_contracts.customers import CUSTOMERS
from data_contracts.orders import ORDERS
from data_contracts.rules import Rule
from data_contracts.text_form import primary_language
from features.online import LedgerRows
from features.supersession import latest_of
from serving.checkout.checkout_answers import DecisionAnswer
from serving.checkout.checkout_judgement import (
    Judgement,
    answer_to_checkout,
    judge,
    reserved_until_ms,
    unavailable,
)
from serving.checkout.decision_inputs import DecisionInputs, rows_of_other_accounts
from serving.checkout.inputs_in_store import candidate_rows_of, inputs_in_store
from serving.checkout.merchant_key_bounds import count_question_of, locks_of_questions_by
from serving.checkout.order_body import OrderBody
from serving.checkout.order_under_its_number import locks_of_number, under_its_number
from serving.checkout.score_stages import Stage, StageClock
from serving.domain.decision import Outcome, TechnicalFailure
from serving.domain.errors import (
    FieldsInvalid,
    OrderAlreadyClosed,
    OrderAlreadyConfirmed,
    OrderOfAnotherCustomer,
)
from serving.domain.field_errors import FieldError
from serving.domain.merchant_keys import QuestionKind
from serving.domain.reservation import ReservationState
from serving.domain.text_files import FALLBACK_LANGUAGE
from serving.in_force.model_watch import ModelInForce
from serving.in_force.policy_watch import NoPolicyInForce
from serving.requests.idempotent_requests import earlier_answer, fingerprint, remember_answer
from serving.requests.request_scope import RequestScope
from serving.store.api_keys import Caller
from serving.store.credit_rows import credit_rows
from serving.store.customer_clocks import next_common_as_of_ms
from serving.store.decision_log import LoggedDecision, append_decision, decisions_about
from serving.store.errors import StoreUnavailable
from serving.store.ledger import append_decided_order
from serving.store.merchant_orders import keep_number
from serving.store.reservations import Reservation, may_be_known, release, reservation_of, reserve
from serving.store.standing_rows import standing_row
from serving.store.store import Transaction

LOG = logging.getLogger("bonitas.checkout")
UNKNOWN_MERCHANT = FieldError(pointer="/merchant_id", detail="names no merchant that we know")


class CheckoutAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The whole answer, as a checkout sees it. replayed: it was given before, under the same key."""

    document: DecisionAnswer
    replayed: bool = False


class MoreAccountsToLock(Exception):
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

    def __init__(self, answer: DecisionAnswer) -> None:
        super().__init__()
        self.answer = answer


def score(
    scope: RequestScope,
    order: OrderBody,
    *,
    caller: Caller,
    idempotency_key: str | None,
    accepted_language: str | None,
    stages: StageClock | None = None,
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
    stages = stages or StageClock.stopped()
    row = order.row
    customer_id, order_id = row["customer_id"], row["order_id"]
    request = "" if idempotency_key is None else _fingerprint(order)
    locked = frozenset({customer_id})
    beside = [*locks_of_questions_by(caller, row), *locks_of_number(row)]
    while True:
        try:
            with scope.store.writing(*locked, f"order-{order_id}", *beside) as tx:
                earlier = earlier_answer(
                    tx, DecisionAnswer, caller=caller, key=idempotency_key, request=request
                )
                stages.ended(Stage.TURN)
                if earlier is not None:
                    return CheckoutAnswer(document=earlier, replayed=True)
                count_question_of(scope, tx, QuestionKind.ORDER, row, caller)
                named = under_its_number(tx, order)
                _require_lock(named, order_id)
                answer = _decide_and_keep(
                    scope, tx, named, accepted_language, caller=caller, locked=locked, stages=stages
                )
                remember_answer(
                    tx,
                    answer,
                    caller=caller,
                    key=idempotency_key,
                    request=request,
                    now_ms=scope.now_ms(),
                )
                stages.ended(Stage.KEEP)
        except MoreAccountsToLock as more:
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
        earlier = earlier_answer(
            tx, DecisionAnswer, caller=caller, key=idempotency_key, request=_fingerprint(order)
        )
    return None if earlier is None else CheckoutAnswer(document=earlier, replayed=True)


def _require_lock(order: OrderBody, locked_order_id: str) -> None:
    if order.row["order_id"] != locked_order_id:
        raise _OtherOrderToLock(order.row["order_id"])


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
    stages: StageClock,
) -> DecisionAnswer:
    row = order.row
    model = scope.model
    corrects = _row_to_correct(tx, row)
    read = read_for_decision(scope, tx, row, model, caller=caller, locked=locked)
    inputs, as_of_ms = read.inputs, read.as_of_ms
    stages.ended(Stage.READ)
    judgement = judged(scope, inputs, model, as_of_ms)
    outcome = judgement.decision.outcome
    language = language_of_texts(order, accepted_language, read.rows)
    decision_id = None if outcome is Outcome.UNAVAILABLE else new_decision_id(as_of_ms)
    expires_at_ms = reserved_until_ms(
        outcome, scope.policy, is_bounded_key=inputs.merchant_key is not None, as_of_ms=as_of_ms
    )
    answer = answer_to_checkout(
        judgement.decision,
        decision_id=decision_id,
        order_id=row["order_id"],
        merchant_order_number=row.get("merchant_order_number"),
        model=model_identity(model),
        as_of_ms=as_of_ms,
        reserved_until_ms=expires_at_ms,
        language=language,
    )
    stages.ended(Stage.JUDGE)
    if decision_id is None:
        raise _NothingKept(answer)
    if row.get("merchant_order_number") is not None:
        keep_number(
            tx,
            merchant_id=row["merchant_id"],
            number=row["merchant_order_number"],
            order_id=row["order_id"],
        )
    if expires_at_ms is not None:
        # Before the order lets in what waited for it: an invoice, or a cancellation, ends what it reserves.
        _reserve(
            tx, row, caller=caller, decision_id=decision_id, as_of_ms=as_of_ms, expires_at_ms=expires_at_ms
        )
    if inputs.applicant is not None:
        # An order of nobody whom the ledger knows stays out of it; the decision log has it whole.
        _append_order(scope, tx, row, corrects, decision_id=decision_id, as_of_ms=as_of_ms)
    keep_decision(scope, tx, row, read, judgement, model, answer, decision_id=decision_id, language=language)
    if outcome is not Outcome.APPROVED and corrects is not None:
        release(tx, customer_id=row["customer_id"], order_id=row["order_id"], now_ms=as_of_ms)
    return answer


class ReadForDecision(msgspec.Struct, frozen=True, kw_only=True):
    """What a decision at `as_of_ms` rests on, and the customer's rows that it was read from."""

    inputs: DecisionInputs
    rows: LedgerRows
    as_of_ms: int


def read_for_decision(
    scope: RequestScope,
    tx: Transaction,
    row: Mapping[str, Any],
    model: ModelInForce,
    *,
    caller: Caller,
    locked: frozenset[str],
    invoiced_of_order_cents: int = 0,
) -> ReadForDecision:
    """Read what a decision about an order rests on, at its moment.

    locked: the accounts whose locks are held. invoiced_of_order_cents: see `inputs_in_store`.
    Raises MoreAccountsToLock where the person has others.
    """
    customer_id = row["customer_id"]
    as_of_ms = next_common_as_of_ms(tx, customer_id, sorted(locked - {customer_id}), scope.now_ms())
    rows = credit_rows(tx, customer_id)
    others = rows_of_other_accounts(rows, candidate_rows_of(tx, customer_id), as_of_ms)
    if not locked.issuperset(others):
        raise MoreAccountsToLock(others)
    inputs = inputs_in_store(
        tx,
        row,
        rows,
        others,
        model=model,
        as_of_ms=as_of_ms,
        policy=scope.policy,
        caller=caller,
        invoiced_of_order_cents=invoiced_of_order_cents,
    )
    return ReadForDecision(inputs=inputs, rows=rows, as_of_ms=as_of_ms)


def keep_decision(
    scope: RequestScope,
    tx: Transaction,
    row: Mapping[str, Any],
    read: ReadForDecision,
    judgement: Judgement,
    model: ModelInForce,
    answer: DecisionAnswer,
    *,
    decision_id: str,
    language: str,
    amendment: Mapping[str, Any] | None = None,
) -> None:
    """Write a decision with all that a replay needs. amendment: see `LoggedDecision.record`."""
    append_decision(
        tx,
        LoggedDecision(
            decision_id=decision_id,
            order_id=row["order_id"],
            customer_id=row["customer_id"],
            merchant_id=row["merchant_id"],
            outcome=judgement.decision.outcome.value,
            as_of_ms=read.as_of_ms,
            model_name=None if model.model is None else model.model.name,
            model_version=None if model.model is None else model.model.version,
            feature_set_version=None if model.model is None else model.model.version_under_terms,
            policy_version=scope.policy.version,
            features=None if model.model is None else read.inputs.features,
            record={
                **read.inputs.to_record(),
                "raw_log_odds": judgement.raw_log_odds,
                "technical_reason": model.technical_reason,
                "model_files_sha256": None if model.model is None else model.model.files_sha256,
                "language": language,
                "answer": answer,
                **({} if amendment is None else {"amendment": amendment}),
            },
        ),
    )


def new_decision_id(as_of_ms: int) -> str:
    """An id that nobody can guess and that grows with time: neighbours share a page of every index."""
    return f"dec_{as_of_ms:011x}{secrets.token_hex(8)}"


def judged(scope: RequestScope, inputs: DecisionInputs, model: ModelInForce, as_of_ms: int) -> Judgement:
    """The judgement by the model and the policy in force; `model` is the one that read the features."""
    return judge(
        inputs, model.model, scope.policy, as_of_ms=as_of_ms, technical_reason=model.technical_reason
    )


def model_identity(model: ModelInForce) -> tuple[str, str] | None:
    """Name and version of the model in force, None while there is none."""
    return None if model.model is None else (model.model.name, model.model.version)


def _row_to_correct(tx: Transaction, row: Mapping[str, Any]) -> str | None:
    """The order's newest ledger row, when the order is scored again; None for a new order."""
    if not may_be_known(tx, row["customer_id"], row["order_id"]):
        return None
    reservation = reservation_of(tx, row["customer_id"], row["order_id"])
    if reservation is not None:
        if reservation.state is ReservationState.CONFIRMED:
            raise OrderAlreadyConfirmed
        if reservation.is_invoiced or reservation.state is ReservationState.CANCELLED:
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
    scope: RequestScope,
    tx: Transaction,
    row: Mapping[str, Any],
    corrects: str | None,
    *,
    decision_id: str,
    as_of_ms: int,
) -> None:
    ledger_row = {**row, "event_id": f"order-{decision_id}", "occurred_at": as_of_ms}
    if corrects is not None:
        ledger_row["corrects"] = corrects
    result = append_decided_order(
        tx,
        ledger_row,
        recorded_at_ms=as_of_ms,
        now_ms=as_of_ms,
        clock_tolerance_ms=scope.policy.clock_tolerance_ms,
    )
    if result.rule is Rule.UNKNOWN_REFERENCE:
        raise FieldsInvalid([UNKNOWN_MERCHANT])
    if result.status is not AppendStatus.ACCEPTED:
        # It was invoiced without ever having been approved here; what the invoices rest on stays.
        raise OrderAlreadyClosed(f"the order is invoiced: {result.message}")


def _reserve(
    tx: Transaction,
    row: Mapping[str, Any],
    *,
    caller: Caller,
    decision_id: str,
    as_of_ms: int,
    expires_at_ms: int,
) -> None:
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
            expires_at_ms=expires_at_ms,
            placed_by=caller.role,
        ),
        as_of_ms,
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
        reserved_until_ms=None,
        language=language_of_texts(order, accepted_language, {}),
    )
    return CheckoutAnswer(document=document)


def language_of_texts(order: OrderBody, accepted_language: str | None, rows: Mapping[str, Any]) -> str:
    """Of the texts: as the order asks, else as the browser does, else the customer's own."""
    tag = order.language or accepted_language
    if tag is not None:
        return primary_language(tag)
    customer = latest_of(CUSTOMERS, rows.get(CUSTOMERS.name, ()))
    return FALLBACK_LANGUAGE if customer is None else str(customer["language"])
