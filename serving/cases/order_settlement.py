"""Use case: make what is posted for an order equal to what the ledger demands for it now.

Postings are never changed. Where the ledger comes to say something else, the lines that no longer hold are
reversed and the new ones posted, in one transaction and in the period of that moment; so the sum of all
postings is always what is demanded now, and a period that is over stays as it was.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

from serving.cases.order_record import OrderRecord, record_of_order
from serving.domain.liability import Bearer, Liability, RiskFacts, liability_of
from serving.domain.merchant_answer import AnswerKind
from serving.domain.settlement import (
    Account,
    SettledInvoice,
    SettlementLine,
    SettlementText,
    demanded_lines,
    fraud_lines,
)
from serving.domain.settlement_period import Period
from serving.domain.settlement_policy import fee_terms_at, settles_from_ms
from serving.domain.stop_request import StopRequest, StopRequestState
from serving.in_force.policies_before import PolicySince, policies_since, policy_at, settlement_terms_of
from serving.requests.case_scope import CaseScope
from serving.store.case_queue import StoredCase
from serving.store.settlement_postings import StoredPosting, append_postings, postings_of_order
from serving.store.stop_requests import stop_requests_of_order
from serving.store.store import Transaction
from serving.store.topic_choices import note_settlement

NOT_TO_BE_INVOICED = frozenset({AnswerKind.STOPPED_BEFORE_SHIPPING, AnswerKind.SERVICE_CUT})
"""Answers after which no invoice may come: the merchant stopped the order, or cut the service."""
_ABOUT_FRAUD = frozenset({SettlementText.RETURN_FRAUD, SettlementText.FRAUD_POLICY})


@dataclass(frozen=True, kw_only=True)
class JudgedOrder:
    """What the ledger demands for an order, and why.

    facts, liability: of an order that has a case, or turned out a fraud; None where nobody needs to judge it.
    withheld: invoices that came after the merchant had said that it stopped the order.
    """

    record: OrderRecord
    facts: RiskFacts | None
    liability: Liability | None
    withheld: tuple[str, ...]
    lines: tuple[SettlementLine, ...]


@dataclass(frozen=True, kw_only=True)
class PostedLine:
    """One line as it is posted, or is to be: for which merchant, and the amount on each account."""

    merchant_id: str
    text: SettlementText
    invoice_id: str | None
    currency: str
    amounts: tuple[tuple[Account, int], ...]

    @property
    def amount_cents(self) -> int:
        """What the merchant receives: what is owed to it is a credit, and so negative on its account."""
        return -dict(self.amounts).get(Account.MERCHANT_PAYABLE, 0)

    @property
    def reversed(self) -> "PostedLine":
        """The line that takes this one back."""
        amounts = tuple((account, -amount_cents) for account, amount_cents in self.amounts)
        return replace(self, amounts=amounts)


@dataclass(frozen=True, kw_only=True)
class Settled:
    """What a settlement did. bearer: None where nobody needed to be judged."""

    settlement_id: str
    bearer: Bearer | None
    reversed_lines: int
    new_lines: int


def judged_order(
    tx: Transaction, scope: CaseScope, order_id: str, customer_id: str, case: StoredCase | None
) -> JudgedOrder:
    """What the ledger demands for an order now; the policies are those of then, not today's.

    An invoice keeps the fee of the policy under which it was issued. Whether a merchant's silence moves the
    loss is said by the policy under which it was asked.

    case: of the order, None without one. Raises FactsInvalid, UnknownOrder, PolicyNotUsable.
    """
    case_id = None if case is None else case.case.case_id
    terms = scope.policy.settlement_terms
    record = record_of_order(tx, order_id, customer_id, scope.now_ms(), terms, case_id=case_id)
    history = policies_since(tx, scope.policy)
    requests = [stored.request for stored in stop_requests_of_order(tx, order_id)]
    request = requests[-1] if requests else None
    invoices = _settled_invoices(record, history, request)
    facts, liability = None, None
    for_fraud: tuple[SettlementLine, ...] = ()
    if case is not None or _is_fraud_settled(record, history):
        facts = _risk_facts(scope, record, invoices, request, history)
        asked_at_ms = record.now_ms if request is None else request.requested_at_ms
        liability = liability_of(facts, policy_at(history, asked_at_ms).stop_requests)
        for_fraud = fraud_lines(facts, liability)
    return JudgedOrder(
        record=record,
        facts=facts,
        liability=liability,
        withheld=tuple(invoice.invoice_id for invoice in invoices if invoice.is_withheld),
        lines=demanded_lines(invoices, for_fraud),
    )


def _settled_invoices(
    record: OrderRecord, history: Sequence[PolicySince], request: StopRequest | None
) -> list[SettledInvoice]:
    terms = settlement_terms_of(history)
    from_ms = settles_from_ms(terms)
    stopped_at_ms = _stopped_at_ms(request)
    credited = record.credits_since(from_ms)
    return [
        SettledInvoice(
            invoice_id=(invoice_id := row["invoice_id"]),
            amount_cents=row["amount_cents"],
            currency=row["currency"],
            returned_cents=0 if from_ms is None else credited[invoice_id].returned_cents,
            charged_back_cents=0 if from_ms is None else credited[invoice_id].charged_back_cents,
            is_paid_out=from_ms is not None and row["occurred_at"] >= from_ms,
            is_withheld=stopped_at_ms is not None and record.arrived_at_ms[invoice_id] > stopped_at_ms,
            fee=fee_terms_at(terms, row["occurred_at"]),
        )
        for row in record.invoice_rows
    ]


def _stopped_at_ms(request: StopRequest | None) -> int | None:
    """When the merchant first said what it still says: that it stopped the order. None where it does not."""
    if request is None or request.state is StopRequestState.WITHDRAWN or not request.answers:
        return None
    kind = request.answers[-1].kind
    if kind not in NOT_TO_BE_INVOICED:
        return None
    return min(given.answered_at_ms for given in request.answers if given.kind is kind)


def _risk_facts(
    scope: CaseScope,
    record: OrderRecord,
    invoices: Sequence[SettledInvoice],
    request: StopRequest | None,
    history: Sequence[PolicySince],
) -> RiskFacts:
    """The facts that liability rests on. Raises FactsInvalid."""
    credited = record.credits_since(None)
    claimed_cents = {
        invoice.invoice_id: invoice.amount_cents - credited[invoice.invoice_id].returned_cents
        for invoice in invoices
    }
    withheld = [invoice.invoice_id for invoice in invoices if invoice.is_withheld]
    withheld_cents = sum(claimed_cents[invoice_id] for invoice_id in withheld)
    if not invoices and _is_fraud_settled(record, history):
        # What was never invoiced was never paid out.
        withheld_cents = record.order["amount_cents"]
    return RiskFacts(
        amount_cents=record.order["amount_cents"],
        vat_cents=record.order["vat_cents"],
        invoiced_cents=sum(claimed_cents.values()) if invoices else None,
        currency=record.order["currency"],
        is_service=record.order["kind"] == "service",
        shipment=record.shipment,
        taken_back=record.taken_back,
        stop_request=request,
        is_confirmed_fraud=record.is_confirmed_fraud,
        is_disputed=record.is_disputed,
        is_invoice_unpaid=record.is_invoice_unpaid(scope.policy.investigation.unpaid_days),
        is_decided_for_customer=record.is_decided_for_customer,
        charged_back_cents=sum(
            credited[invoice.invoice_id].charged_back_cents for invoice in invoices if not invoice.is_withheld
        ),
        withheld_cents=withheld_cents,
    )


def _is_fraud_settled(record: OrderRecord, history: Sequence[PolicySince]) -> bool:
    """Whether a fraud was found since settlement began; loaded history was settled elsewhere."""
    from_ms = settles_from_ms(settlement_terms_of(history))
    found_at_ms = record.found_fraud_at_ms
    return from_ms is not None and found_at_ms is not None and found_at_ms >= from_ms


def settle_order(
    tx: Transaction, scope: CaseScope, order_id: str, customer_id: str, case: StoredCase | None
) -> tuple[JudgedOrder, Settled | None]:
    """Make what is posted for an order equal to what is demanded now; None where nothing had to be posted.

    tx: a writing transaction. Raises FactsInvalid, before anything is posted, UnknownOrder, PolicyNotUsable.
    """
    tx.lock(f"settlement-{order_id}")
    judged = judged_order(tx, scope, order_id, customer_id, case)
    posted = postings_of_order(tx, order_id)
    standing = standing_lines(posted)
    demanded = demanded_as_posted(judged)
    taken_back = [line for line in standing if line not in demanded]
    added = [line for line in demanded if line not in standing]
    if not taken_back and not added:
        return judged, None
    now_ms = judged.record.now_ms
    number = len({posting.settlement_id for posting in posted}) + 1
    settlement_id = f"set-{order_id}-{number:04d}"
    zone = ZoneInfo(scope.policy.order_risk.default_time_zone)
    lines = [*((line.reversed, True) for line in taken_back), *((line, False) for line in added)]
    postings = [
        StoredPosting(
            settlement_id=settlement_id,
            line=place,
            side=side,
            case_id=case.case.case_id if case is not None and line.text in _ABOUT_FRAUD else None,
            order_id=order_id,
            merchant_id=line.merchant_id,
            text=line.text,
            account=account,
            amount_cents=amount_cents,
            currency=line.currency,
            posted_at_ms=now_ms,
            invoice_id=line.invoice_id,
            period=Period.at(now_ms, zone).text,
            is_reversal=is_reversal,
        )
        for place, (line, is_reversal) in enumerate(lines, start=1)
        for side, (account, amount_cents) in enumerate(line.amounts, start=1)
    ]
    append_postings(tx, postings)
    note_settlement(tx, postings, now_ms)
    return judged, Settled(
        settlement_id=settlement_id,
        bearer=None if judged.liability is None else judged.liability.bearer,
        reversed_lines=len(taken_back),
        new_lines=len(added),
    )


_LineKey = tuple[str, str | None, SettlementText, str]


def standing_lines(posted: Sequence[StoredPosting]) -> list[PostedLine]:
    """The lines that were posted and not reversed since, in the order of the settlement note."""
    totals: defaultdict[_LineKey, dict[Account, int]] = defaultdict(dict)
    for posting in posted:
        amounts = totals[posting.merchant_id, posting.invoice_id, posting.text, posting.currency]
        amounts[posting.account] = amounts.get(posting.account, 0) + posting.amount_cents
    return _in_order(
        PostedLine(
            merchant_id=merchant_id,
            invoice_id=invoice_id,
            text=text,
            currency=currency,
            amounts=_sorted(amounts),
        )
        for (merchant_id, invoice_id, text, currency), amounts in totals.items()
        if any(amounts.values())
    )


def demanded_as_posted(judged: JudgedOrder) -> list[PostedLine]:
    """The lines that are demanded now, as they would be posted."""
    merchant_id = judged.record.order["merchant_id"]
    return _in_order(
        PostedLine(
            merchant_id=merchant_id,
            invoice_id=line.invoice_id,
            text=line.text,
            currency=line.currency,
            amounts=_sorted({posting.account: posting.amount_cents for posting in line.postings}),
        )
        for line in judged.lines
    )


def _sorted(amounts: dict[Account, int]) -> tuple[tuple[Account, int], ...]:
    return tuple((account, amounts[account]) for account in Account if amounts.get(account))


def _in_order(lines: Iterable[PostedLine]) -> list[PostedLine]:
    order = list(SettlementText)
    return sorted(
        lines,
        key=lambda line: (
            line.merchant_id,
            line.invoice_id is None,
            line.invoice_id or "",
            order.index(line.text),
            line.currency,
        ),
    )
