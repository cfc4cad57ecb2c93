"""Use cases of settlement: who bears the loss of a case's order by the ledger, and what is posted for it.

Postings are never changed. Where the ledger comes to say something else, what stands is reversed and
posted anew, in one transaction; so the sum of all postings is always what is demanded now.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data_contracts.amended_orders import amended_order
from data_contracts.instants import DAY_MS
from data_contracts.invoice_adjustments import INVOICE_ADJUSTMENTS
from data_contracts.invoice_pauses import INVOICE_PAUSES
from data_contracts.invoices import INVOICES
from data_contracts.order_events import ORDER_EVENTS
from data_contracts.order_outcomes import FRAUD_OUTCOMES, ORDER_OUTCOMES
from data_contracts.orders import ORDERS
from features.invoice_state import InvoiceState
from features.online import invoice_states, visible_rows
from features.settlement_terms import SettlementTerms
from features.supersession import latest_of, seeing_all
from serving.cases.case_answers import (
    LiabilityAnswer,
    PostingAnswer,
    SettlementAnswer,
    SettlementLineAnswer,
)
from serving.domain.errors import UnknownOrder
from serving.domain.investigation import InvestigationAction
from serving.domain.liability import (
    Account,
    FactsInvalid,
    Liability,
    RiskFacts,
    SettlementLine,
    SettlementText,
    Shipment,
    TakenBack,
    liability_of,
    settlement_lines,
)
from serving.domain.policy import Policy
from serving.requests.answer_fields import Instant
from serving.requests.case_scope import CaseScope
from serving.store.case_queue import SYSTEM, StoredCase, append_history, known_case
from serving.store.investigations import StoredPosting, append_postings, postings_of_case, settlement_rows
from serving.store.stop_requests import stop_requests_of_case
from serving.store.store import Transaction

DISPUTED = "dispute"
FRAUD = "fraud"
DECIDED_FOR_CUSTOMER = "dispute_decided_for_customer"

_LEFT = frozenset({"shipped", "delivered"})
_CARRIED = frozenset({"shipment_booked", "shipped", "delivered"})
_TAKEN_BACK = frozenset(event.value for event in TakenBack)

Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class OrderRecord:
    """What the ledger says now about the order of a case.

    outcomes: the findings that stand. own_outcomes: all rows that were written for this case, also those
        that were corrected since.
    taken_back: the event by which the whole order came back or was cancelled, None while none stands.
    is_disputed: by a dispute that is open, or was decided for the customer.
    invoices: their states, cancelled ones too. claimed: the same without what the victim of a fraud was
        relieved of, which is the loss that somebody bears.
    """

    order: Row
    shipment: Shipment
    taken_back: TakenBack | None
    outcomes: tuple[Row, ...]
    own_outcomes: tuple[Row, ...]
    is_disputed: bool
    invoices: tuple[InvoiceState, ...]
    claimed: tuple[InvoiceState, ...]
    now_ms: int

    @property
    def is_confirmed_fraud(self) -> bool:
        """Whether a finding of fraud stands."""
        return any(row["kind"] in FRAUD_OUTCOMES for row in self.outcomes)

    @property
    def invoiced_cents(self) -> int | None:
        """What is invoiced less credit notes, None without any invoice; payments leave it as it is."""
        return sum(state.net_amount_cents for state in self.claimed) if self.claimed else None

    def is_invoice_unpaid(self, unpaid_days: int) -> bool:
        """Whether an invoice that is not paused is this many days past due, paused days left out."""
        return any(
            state.owed_cents > 0
            and not state.paused
            and state.lateness_at(self.now_ms) >= unpaid_days * DAY_MS
            for state in self.invoices
        )


@dataclass(frozen=True, kw_only=True)
class _Judged:
    facts: RiskFacts
    liability: Liability
    lines: tuple[SettlementLine, ...]


@dataclass(frozen=True, kw_only=True)
class _PostedLine:
    """One line as it is posted, or is to be: the text, its currency, and the amount on each account."""

    text: SettlementText
    currency: str
    amounts: tuple[tuple[Account, int], ...]


def outcome_prefix(case_id: str) -> str:
    """How the event_id of every outcome begins that was written for a case."""
    return f"outcome-{case_id}-"


def order_record(tx: Transaction, stored: StoredCase, now_ms: int, terms: SettlementTerms) -> OrderRecord:
    """What the ledger says about the order of a case. Raises UnknownOrder where it does not hold it."""
    order_id = stored.case.order_id
    rows = settlement_rows(tx, stored.case.customer_id)
    as_of_ms = seeing_all(now_ms, *rows.values())
    mine = _rows_of_order(rows, order_id, as_of_ms)
    orders = visible_rows(ORDERS, mine, as_of_ms)
    if not orders:
        raise UnknownOrder(f"order {order_id} is not in the ledger")
    events = visible_rows(ORDER_EVENTS, mine, as_of_ms)
    outcomes = visible_rows(ORDER_OUTCOMES, mine, as_of_ms)
    has_open_dispute = any(
        pause["reason"] == DISPUTED and pause.get("ended_at") is None
        for pause in visible_rows(INVOICE_PAUSES, mine, as_of_ms)
    )
    prefix = outcome_prefix(stored.case.case_id)
    return OrderRecord(
        order=amended_order(orders[-1], events),
        shipment=_shipment(events),
        taken_back=_taken_back(events),
        outcomes=tuple(outcomes),
        own_outcomes=tuple(row for row in mine[ORDER_OUTCOMES.name] if row["event_id"].startswith(prefix)),
        is_disputed=has_open_dispute or any(row["kind"] == DECIDED_FOR_CUSTOMER for row in outcomes),
        invoices=tuple(invoice_states(mine, as_of_ms, terms).values()),
        claimed=tuple(invoice_states(_without_relief(mine), as_of_ms, terms).values()),
        now_ms=now_ms,
    )


def _rows_of_order(
    rows: Mapping[str, Sequence[Row]], order_id: str, as_of_ms: int
) -> defaultdict[str, list[Row]]:
    """The rows about one order and its invoices, those that were corrected too."""
    own_invoices = {
        row["invoice_id"] for row in visible_rows(INVOICES, rows, as_of_ms) if row["order_id"] == order_id
    }
    mine: defaultdict[str, list[Row]] = defaultdict(list)
    for contract, kept in rows.items():
        mine[contract] = [
            row
            for row in kept
            if (row["invoice_id"] in own_invoices if "invoice_id" in row else row["order_id"] == order_id)
        ]
    return mine


def _without_relief(mine: Mapping[str, Sequence[Row]]) -> dict[str, Sequence[Row]]:
    """The rows of an order without the adjustments that relieved a victim of a fraud."""
    kept = [row for row in mine.get(INVOICE_ADJUSTMENTS.name, ()) if row["reason"] != FRAUD]
    return {**mine, INVOICE_ADJUSTMENTS.name: kept}


def _shipment(events: Sequence[Row]) -> Shipment:
    if not any(event["kind"] in _LEFT for event in events):
        return Shipment.NOT_SHIPPED
    is_tracked = any(event["kind"] in _CARRIED and event.get("tracking_number") for event in events)
    return Shipment.WITH_TRACKING if is_tracked else Shipment.WITHOUT_TRACKING


def _taken_back(events: Sequence[Row]) -> TakenBack | None:
    """The newest event that says where the goods are, if it says that they came back or never left."""
    moves = [event for event in events if event["kind"] in _LEFT | _TAKEN_BACK]
    newest = latest_of(ORDER_EVENTS, moves)
    return TakenBack(newest["kind"]) if newest is not None and newest["kind"] in _TAKEN_BACK else None


def risk_facts(tx: Transaction, policy: Policy, stored: StoredCase, now_ms: int) -> RiskFacts:
    """The facts that liability rests on, by the ledger and the newest stop request of the case.

    Raises FactsInvalid, UnknownOrder.
    """
    return _facts(tx, policy, stored, order_record(tx, stored, now_ms, policy.settlement_terms))


def _facts(tx: Transaction, policy: Policy, stored: StoredCase, record: OrderRecord) -> RiskFacts:
    requests = stop_requests_of_case(tx, stored.case.case_id)
    return RiskFacts(
        amount_cents=record.order["amount_cents"],
        vat_cents=record.order["vat_cents"],
        invoiced_cents=record.invoiced_cents,
        currency=record.order["currency"],
        is_service=record.order["kind"] == "service",
        shipment=record.shipment,
        taken_back=record.taken_back,
        stop_request=requests[-1].request if requests else None,
        is_confirmed_fraud=record.is_confirmed_fraud,
        is_disputed=record.is_disputed,
        is_invoice_unpaid=record.is_invoice_unpaid(policy.investigation.unpaid_days),
    )


def _judge(tx: Transaction, policy: Policy, stored: StoredCase, record: OrderRecord) -> _Judged:
    facts = _facts(tx, policy, stored, record)
    liability = liability_of(facts, policy.stop_requests)
    return _Judged(facts=facts, liability=liability, lines=settlement_lines(facts, liability))


def settle(tx: Transaction, scope: CaseScope, case_id: str) -> bool:
    """Make what is posted about a case equal to what is demanded now; returns whether anything was posted.

    tx: a writing transaction. Raises FactsInvalid, before anything is posted, and UnknownOrder.
    """
    tx.lock(f"case-{case_id}")
    stored = known_case(tx, case_id)
    now_ms = scope.now_ms()
    record = order_record(tx, stored, now_ms, scope.policy.settlement_terms)
    judged = _judge(tx, scope.policy, stored, record)
    posted = postings_of_case(tx, case_id)
    standing = _standing_lines(posted)
    demanded = _demanded_lines(judged.lines)
    if standing == demanded:
        return False
    settlement_id = f"set-{case_id}-{len({posting.settlement_id for posting in posted}) + 1:04d}"
    lines = [*(_reversed(line) for line in standing), *demanded]
    append_postings(
        tx,
        [
            StoredPosting(
                settlement_id=settlement_id,
                line=number,
                side=side,
                case_id=case_id,
                order_id=stored.case.order_id,
                merchant_id=stored.case.merchant_id,
                text=line.text,
                account=account,
                amount_cents=amount_cents,
                currency=line.currency,
                posted_at_ms=now_ms,
            )
            for number, line in enumerate(lines, start=1)
            for side, (account, amount_cents) in enumerate(line.amounts, start=1)
        ],
    )
    append_history(
        tx,
        case_id,
        at_ms=now_ms,
        actor=SYSTEM,
        action=InvestigationAction.SETTLED,
        detail={
            "settlement_id": settlement_id,
            "bearer": judged.liability.bearer.value,
            "reversed_lines": len(standing),
            "new_lines": len(demanded),
        },
    )
    return True


def _standing_lines(posted: Sequence[StoredPosting]) -> list[_PostedLine]:
    """The lines that were posted and not reversed since, in the order of the settlement note."""
    totals: defaultdict[tuple[SettlementText, str], dict[Account, int]] = defaultdict(dict)
    for posting in posted:
        amounts = totals[posting.text, posting.currency]
        amounts[posting.account] = amounts.get(posting.account, 0) + posting.amount_cents
    return _in_order(
        _PostedLine(text=text, currency=currency, amounts=_sorted(amounts))
        for (text, currency), amounts in totals.items()
        if any(amounts.values())
    )


def _demanded_lines(lines: Sequence[SettlementLine]) -> list[_PostedLine]:
    return _in_order(
        _PostedLine(
            text=line.text,
            currency=line.currency,
            amounts=_sorted({posting.account: posting.amount_cents for posting in line.postings}),
        )
        for line in lines
    )


def _sorted(amounts: Mapping[Account, int]) -> tuple[tuple[Account, int], ...]:
    return tuple((account, amounts[account]) for account in Account if amounts.get(account))


def _in_order(lines: Iterable[_PostedLine]) -> list[_PostedLine]:
    order = list(SettlementText)
    return sorted(lines, key=lambda line: (order.index(line.text), line.currency))


def _reversed(line: _PostedLine) -> _PostedLine:
    amounts = tuple((account, -amount_cents) for account, amount_cents in line.amounts)
    return _PostedLine(text=line.text, currency=line.currency, amounts=amounts)


def liability_answer(tx: Transaction, scope: CaseScope, case_id: str) -> LiabilityAnswer:
    """Who bears the loss of a case's order and why, what is demanded for it, and all that was posted.

    Raises UnknownOrder.
    """
    stored = known_case(tx, case_id)
    posted = postings_of_case(tx, case_id)
    record = order_record(tx, stored, scope.now_ms(), scope.policy.settlement_terms)
    settlements = _settlements(posted)
    try:
        judged = _judge(tx, scope.policy, stored, record)
    except FactsInvalid as problem:
        return LiabilityAnswer(
            bearer=None,
            reasons=(),
            lines=(),
            mistakes=tuple(problem.mistakes),
            is_settled=False,
            settlements=settlements,
        )
    demanded = _demanded_lines(judged.lines)
    return LiabilityAnswer(
        bearer=judged.liability.bearer,
        reasons=tuple(judged.liability.reasons),
        lines=tuple(_line_answer(line) for line in demanded),
        mistakes=(),
        is_settled=_standing_lines(posted) == demanded,
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
                    _PostedLine(
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


def _line_answer(line: _PostedLine) -> SettlementLineAnswer:
    """A line with its double entry: what is owed to the merchant is a credit, and so negative there."""
    amounts = dict(line.amounts)
    return SettlementLineAnswer(
        text=line.text,
        amount_cents=-amounts.get(Account.MERCHANT_PAYABLE, 0),
        currency=line.currency,
        postings=tuple(
            PostingAnswer(account=account, amount_cents=amount_cents)
            for account, amount_cents in line.amounts
        ),
    )
