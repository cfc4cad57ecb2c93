"""Use cases of settlement in a case: who bears the loss of its order, and what is posted for that."""

from collections.abc import Sequence

from serving.cases.case_answers import (
    LiabilityAnswer,
    PostingAnswer,
    SettlementAnswer,
    SettlementLineAnswer,
)
from serving.cases.order_settlement import (
    PostedLine,
    Settled,
    demanded_as_posted,
    judged_order,
    settle_order,
    standing_lines,
)
from serving.domain.investigation import InvestigationAction
from serving.domain.liability import FactsInvalid
from serving.requests.answer_fields import Instant
from serving.requests.case_scope import CaseScope
from serving.store.case_queue import SYSTEM, append_history, known_case
from serving.store.settlement_postings import StoredPosting, postings_of_order
from serving.store.store import Transaction


def settle(tx: Transaction, scope: CaseScope, case_id: str) -> bool:
    """Make what is posted for a case's order equal to what is demanded now; whether anything was posted.

    tx: a writing transaction. Raises FactsInvalid, before anything is posted, UnknownOrder, PolicyNotUsable.
    """
    tx.lock(f"case-{case_id}")
    stored = known_case(tx, case_id)
    case = stored.case
    _, settled = settle_order(tx, scope, case.order_id, case.customer_id, stored)
    if settled is not None:
        note_settlement(tx, scope, case_id, settled)
    return settled is not None


def note_settlement(tx: Transaction, scope: CaseScope, case_id: str, settled: Settled) -> None:
    """Note in the history of a case what was posted for its order."""
    append_history(
        tx,
        case_id,
        at_ms=scope.now_ms(),
        actor=SYSTEM,
        action=InvestigationAction.SETTLED,
        detail={
            "settlement_id": settled.settlement_id,
            "bearer": None if settled.bearer is None else settled.bearer.value,
            "reversed_lines": settled.reversed_lines,
            "new_lines": settled.new_lines,
        },
    )


def liability_answer(tx: Transaction, scope: CaseScope, case_id: str) -> LiabilityAnswer:
    """Who bears the loss of a case's order and why, what is demanded for it, and all that was posted.

    Raises UnknownOrder, PolicyNotUsable.
    """
    stored = known_case(tx, case_id)
    case = stored.case
    posted = postings_of_order(tx, case.order_id)
    settlements = _settlements(posted)
    try:
        judged = judged_order(tx, scope, case.order_id, case.customer_id, stored)
    except FactsInvalid as problem:
        return LiabilityAnswer(
            bearer=None,
            reasons=(),
            lines=(),
            mistakes=tuple(problem.mistakes),
            is_settled=False,
            settlements=settlements,
        )
    demanded = demanded_as_posted(judged)
    return LiabilityAnswer(
        bearer=None if judged.liability is None else judged.liability.bearer,
        reasons=() if judged.liability is None else judged.liability.reasons,
        lines=tuple(_line_answer(line) for line in demanded),
        mistakes=(),
        is_settled=standing_lines(posted) == demanded,
        settlements=settlements,
    )


def _settlements(posted: Sequence[StoredPosting]) -> tuple[SettlementAnswer, ...]:
    lines: dict[str, dict[int, list[StoredPosting]]] = {}
    for posting in posted:
        lines.setdefault(posting.settlement_id, {}).setdefault(posting.line, []).append(posting)
    return tuple(
        SettlementAnswer(
            settlement_id=settlement_id,
            posted_at=Instant(next(iter(numbered.values()))[0].posted_at_ms),
            lines=tuple(
                _line_answer(
                    PostedLine(
                        merchant_id=sides[0].merchant_id,
                        invoice_id=sides[0].invoice_id,
                        text=sides[0].text,
                        currency=sides[0].currency,
                        amounts=tuple((side.account, side.amount_cents) for side in sides),
                    )
                )
                for _, sides in sorted(numbered.items())
            ),
        )
        for settlement_id, numbered in lines.items()
    )


def _line_answer(line: PostedLine) -> SettlementLineAnswer:
    return SettlementLineAnswer(
        text=line.text,
        invoice_id=line.invoice_id,
        amount_cents=line.amount_cents,
        currency=line.currency,
        postings=tuple(
            PostingAnswer(account=account, amount_cents=amount_cents)
            for account, amount_cents in line.amounts
        ),
    )
