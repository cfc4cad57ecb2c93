"""One step of a dispute, kept with all that it causes, under the lock of its customer.

The step, its rows in the ledger, its line of the history and the notices to the merchant are one transaction.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from data_contracts.orders import ORDERS
from serving.disputes.dispute_notices import tell_of_step
from serving.disputes.ledger_effects import (
    end_pauses,
    give_relief,
    is_invoiced,
    pause_invoices,
    write_outcome,
)
from serving.domain.dispute import Dispute, DisputeAction, DisputeOutcome, DisputeState, OutcomeGround
from serving.domain.errors import RiskError
from serving.requests.case_scope import CaseScope
from serving.store.disputes import DisputeMovedError, append_dispute_history, dispute_of, update_dispute
from serving.store.standing_rows import standing_row
from serving.store.store import Transaction

SYSTEM = "system"
"""Who does in the history of a dispute what no person did."""

_REASON_OF = {OutcomeGround.GAVE_IN: "dispute", OutcomeGround.FRAUD: "fraud"}
"""Why the ledger's adjustments were made; all that was decided against a merchant is a chargeback."""
_IN_FAVOUR_OF_CUSTOMER = frozenset({DisputeOutcome.FOR_CUSTOMER, DisputeOutcome.SETTLED_BY_MERCHANT})


class UnknownDispute(RiskError):
    """There is no such dispute, or it is another's."""


class DisputeMoved(RiskError):
    """Somebody else changed the dispute at the same moment; look again."""


def known_dispute(
    tx: Transaction, dispute_id: str, *, merchant_id: str | None = None, customer_id: str | None = None
) -> Dispute:
    """A dispute as it is now.

    merchant_id, customer_id: whose it must be; both None for the service desk. A merchant sees none that the
    fraud team has or has found to be a fraud. Raises UnknownDispute.
    """
    dispute = dispute_of(tx, dispute_id)
    is_found = (
        dispute is not None
        and merchant_id in {None, dispute.merchant_id}
        and customer_id in {None, dispute.customer_id}
        and (merchant_id is None or dispute.is_shown_to_merchant)
    )
    if dispute is None or not is_found:
        raise UnknownDispute(f"there is no dispute {dispute_id}")
    return dispute


@contextmanager
def changing(
    scope: CaseScope, dispute_id: str, *, merchant_id: str | None = None, customer_id: str | None = None
) -> Iterator[tuple[Transaction, Dispute]]:
    """A transaction that holds the lock of the dispute's customer, and the dispute as it then is.

    Raises UnknownDispute.
    """
    with scope.store.reading() as tx:
        found = known_dispute(tx, dispute_id, merchant_id=merchant_id, customer_id=customer_id)
    with scope.store.writing(found.customer_id) as tx:
        yield tx, known_dispute(tx, dispute_id, merchant_id=merchant_id, customer_id=customer_id)


def keep_step(
    tx: Transaction,
    scope: CaseScope,
    before: Dispute,
    after: Dispute,
    *,
    by: str,
    action: DisputeAction,
    detail: dict[str, Any],
) -> Dispute:
    """Keep a dispute as it is after a step, with what follows from it; returns it as kept.

    One that the step left alone is not written. tx: holds the lock of the dispute's customer.
    Raises DisputeMoved, DisputeRowRefused.
    """
    if after is before:
        return before
    kept = after
    if after.pause_round != before.pause_round:
        pause_invoices(tx, scope, after)
    if after.is_closed and not before.is_closed:
        kept = _ended(tx, scope, before, after)
        detail = {
            **detail,
            "outcome": None if kept.outcome is None else kept.outcome.value,
            "ground": None if kept.ground is None else kept.ground.value,
            "credited_cents": kept.credited_cents,
            "refunded_cents": kept.refunded_cents,
        }
    try:
        update_dispute(tx, kept, version_before=before.version)
    except DisputeMovedError as problem:
        raise DisputeMoved(str(problem)) from problem
    append_dispute_history(
        tx,
        kept.dispute_id,
        at_ms=scope.now_ms(),
        actor=by,
        action=action,
        detail={"state": kept.state.value, **detail},
    )
    tell_of_step(tx, scope, before, kept)
    return kept


def _ended(tx: Transaction, scope: CaseScope, before: Dispute, after: Dispute) -> Dispute:
    """The end of a dispute, or of its complaint, in the ledger: money first, then the pauses end."""
    is_ended_anew = before.state not in {DisputeState.COMPLAINT, DisputeState.REFERRED} or (
        after.decided_by != before.decided_by or after.ground is not before.ground
    )
    if not is_ended_anew or after.outcome is DisputeOutcome.WITHDRAWN or after.ground is None:
        end_pauses(tx, scope, after)
        return after
    if is_invoiced(tx, scope, after):
        # An invoice that came a moment ago may not be paused yet, and the ledger has no dispute then.
        pause_invoices(tx, scope, after)
    credited_cents = refunded_cents = 0
    if after.outcome in _IN_FAVOUR_OF_CUSTOMER:
        reason = _REASON_OF.get(after.ground, "chargeback")
        relief = give_relief(tx, scope, after, _still_wanted_cents(after), reason)
        credited_cents, refunded_cents = relief.credited_cents, relief.refunded_cents
    _write_findings(tx, scope, after)
    end_pauses(tx, scope, after)
    return replace(
        after,
        credited_cents=after.credited_cents + credited_cents,
        refunded_cents=after.refunded_cents + refunded_cents,
    )


def _still_wanted_cents(dispute: Dispute) -> int | None:
    """What is to be taken off besides what an earlier decision took off; None for all that is left."""
    wanted = dispute.disputed_cents if dispute.award_cents is None else dispute.award_cents
    if wanted is None:
        return None
    return max(wanted - dispute.credited_cents - dispute.refunded_cents, 0)


def _write_findings(tx: Transaction, scope: CaseScope, dispute: Dispute) -> None:
    order = standing_row(tx, ORDERS, dispute.order_id) or {}
    at_ms = max(scope.now_ms(), order.get("occurred_at", 0))
    if is_invoiced(tx, scope, dispute):
        in_favour = "customer" if dispute.outcome in _IN_FAVOUR_OF_CUSTOMER else "merchant"
        write_outcome(tx, scope, dispute, f"dispute_decided_for_{in_favour}", at_ms)
    if dispute.ground is OutcomeGround.FRAUD:
        write_outcome(tx, scope, dispute, "identity_misuse_upheld", at_ms)
