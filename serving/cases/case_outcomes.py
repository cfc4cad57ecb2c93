"""What a case found, as outcomes of its order in the ledger: from findings, and from verdicts as labels.

By the stated table of `label_of` they reach labels, features and settlement by the way of every other row.
"""

from typing import Any

from data_contracts.between_rows.arrivals import AppendStatus
from data_contracts.order_outcomes import ORDER_OUTCOMES
from serving.cases.order_record import order_record, outcome_prefix
from serving.domain.case_label import OrderOutcomeKind, label_of
from serving.domain.errors import RiskError
from serving.domain.investigation import InvestigationAction
from serving.domain.review_case import ReviewCase, Verdict
from serving.requests.case_scope import CaseScope
from serving.store.case_queue import SYSTEM, append_history, known_case
from serving.store.ledger import append
from serving.store.store import Transaction


class OutcomeRefused(RiskError):
    """The ledger did not take an outcome; the message names the rule that it breaks."""


def record_outcome(
    tx: Transaction, scope: CaseScope, case: ReviewCase, kind: OrderOutcomeKind, *, by: str
) -> bool:
    """Append to the ledger what a case found; returns whether that was new.

    Where an earlier outcome of the case stands, this one corrects it; the same again changes nothing.
    `finding_withdrawn` takes back what stands of the case, and is nothing where nothing does.

    A correction by somebody else holds until the case is re-opened. Say case7 wrote
    `outcome-case7-0-stop_request_upheld`, and the back office corrected that row. To record that the stop
    request was upheld once more then changes nothing. Once case7 was re-opened, its outcomes are called
    `outcome-case7-1-...`: they are news, and are appended.

    tx: a writing transaction that holds the lock of the case. Raises OutcomeRefused, UnknownOrder.
    """
    # The same order as in every intake: nobody who holds a customer waits for a case.
    tx.lock(case.customer_id)
    now_ms = scope.now_ms()
    record = order_record(tx, known_case(tx, case.case_id), now_ms, scope.policy.settlement_terms)
    own_ids = {row["event_id"] for row in record.own_outcomes}
    standing = [row for row in record.outcomes if row["event_id"] in own_ids]
    is_nothing_to_take_back = kind is OrderOutcomeKind.FINDING_WITHDRAWN and not standing
    if is_nothing_to_take_back or any(row["kind"] == kind.value for row in standing):
        return False
    event_id = f"{outcome_prefix(case.case_id)}{case.reopened_count}-{kind.value}"
    said_before = [known for known in own_ids if known == event_id or known.startswith(f"{event_id}-")]
    if said_before and not standing:
        return False
    row: dict[str, Any] = {
        "event_id": f"{event_id}-{len(said_before) + 1}" if said_before else event_id,
        # A decision may run a few milliseconds ahead of the clock; what is found about it comes after it.
        "occurred_at": max(now_ms, record.order["occurred_at"]),
        "order_id": case.order_id,
        "customer_id": case.customer_id,
        "kind": kind.value,
    }
    if standing:
        row["corrects"] = standing[-1]["event_id"]
    result = append(tx, ORDER_OUTCOMES, row, now_ms, clock_tolerance_ms=scope.policy.clock_tolerance_ms)
    if result.status is not AppendStatus.ACCEPTED:
        raise OutcomeRefused(f"{row['event_id']} was {result.status.value}: {result.message}")
    append_history(
        tx,
        case.case_id,
        at_ms=now_ms,
        actor=by,
        action=InvestigationAction.OUTCOME_RECORDED,
        detail={"event_id": row["event_id"], "kind": kind.value, "corrects": row.get("corrects")},
    )
    return True


def label_release(tx: Transaction, scope: CaseScope, case: ReviewCase) -> OrderOutcomeKind | None:
    """Record what the release of a case means for the labels; None where it means nothing.

    case: after its release, or after its stop was withdrawn.
    tx: a writing transaction that holds the lock of the case. Raises OutcomeRefused, UnknownOrder.
    """
    if case.verdict is not Verdict.RELEASED:
        return None
    return _label(tx, scope, case)


def label_stop_in_effect(tx: Transaction, scope: CaseScope, case: ReviewCase) -> OrderOutcomeKind | None:
    """Record what a stop means for the labels before anything else is known; None where it means nothing.

    None also while the stop can still be undone.
    tx: a writing transaction that holds the lock of the case. Raises OutcomeRefused, UnknownOrder.
    """
    if case.verdict is not Verdict.STOP or not case.is_stop_in_effect(scope.now_ms()):
        return None
    return _label(tx, scope, case)


def _label(tx: Transaction, scope: CaseScope, case: ReviewCase) -> OrderOutcomeKind | None:
    """What the verdict adds; what an earlier verdict of the case added does not outlive it."""
    label = label_of(
        origin=case.origin,
        verdict=case.verdict,
        contact=case.contact_outcome,
        merchant_answer_upheld=None,
        policy=scope.policy.review,
    )
    kind = None if label is None else label.kind
    record_outcome(tx, scope, case, kind or OrderOutcomeKind.FINDING_WITHDRAWN, by=case.reviewer or SYSTEM)
    return kind
