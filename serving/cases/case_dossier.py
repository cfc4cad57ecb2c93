"""Use case: everything about one case that its page shows, as one state of the store."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from data_contracts.customers import CUSTOMERS
from data_contracts.merchants import MERCHANTS
from data_contracts.order_events import ORDER_EVENTS
from data_contracts.order_outcomes import ORDER_OUTCOMES
from features.online import visible_rows
from features.supersession import seeing_all
from serving.cases.case_answers import InvestigationAnswer, LiabilityAnswer
from serving.cases.case_settlement import liability_answer
from serving.cases.flag_reasons import WeighedReason, weighed_reasons
from serving.cases.investigating import investigation_answer
from serving.cases.linked_orders import LinkedOrders, linked_orders
from serving.cases.order_facts import OrderFacts, Row, order_facts
from serving.cases.party_facts import CustomerFacts, MerchantFacts, customer_facts, merchant_facts
from serving.cases.possible_steps import Step, contacts_of, possible_steps
from serving.cases.timeline import TimelineEntry, timeline_of
from serving.domain.errors import UnknownOrder
from serving.domain.review_case import CaseOrigin, ReviewCase
from serving.domain.stop_request import StopRequestState
from serving.requests.case_scope import CaseScope
from serving.stop_requests.merchant_notices import stop_request_preview, words_for
from serving.stop_requests.sending_again import is_overtaken
from serving.stop_requests.stop_request_answers import TeamStopRequest
from serving.stop_requests.stop_requesting import team_view
from serving.store.case_queue import (
    HistoryEntry,
    Screening,
    StoredCase,
    history_of,
    known_case,
    screenings_of,
)
from serving.store.deliveries import WAITING, deliveries_of
from serving.store.investigations import settlement_rows
from serving.store.order_links import order_rows
from serving.store.standing_rows import standing_row
from serving.store.stop_requests import recall_task_of, stop_requests_of_case
from serving.store.store import Transaction
from serving.webhooks.mailbox import EmailMessageText


@dataclass(frozen=True, kw_only=True)
class StopRequestFile:
    """A stop request as the fraud team sees it, and what its page asks besides.

    resendable: the ids of the notices that can be sent again by hand, since nothing more is tried.
    recalled_by: who noted what came of the recall, None while it is open or where there is none.
    """

    request: TeamStopRequest
    resendable: frozenset[str]
    recalled_by: str | None


@dataclass(frozen=True, kw_only=True)
class NoticePreview:
    """What the merchant will get when the order is stopped. language: in which it is written."""

    text: EmailMessageText
    language: str


@dataclass(frozen=True, kw_only=True)
class CaseDossier:
    """One case with all that belongs to it.

    order, customer, merchant: None where the ledger does not hold them.
    steps: what this reviewer can do with the case now.
    can_ask_merchant: whether a stop request stands that a question can refer to.
    liability: None where the ledger does not hold the order.
    investigation: None where there never was one.
    preview: None where a stop asks no merchant.
    """

    stored: StoredCase
    now_ms: int
    order: OrderFacts | None
    customer: CustomerFacts | None
    merchant: MerchantFacts | None
    reasons: tuple[WeighedReason, ...]
    screening: Screening | None
    links: LinkedOrders
    timeline: tuple[TimelineEntry, ...]
    notes: tuple[HistoryEntry, ...]
    stop_requests: tuple[StopRequestFile, ...]
    can_ask_merchant: bool
    liability: LiabilityAnswer | None
    investigation: InvestigationAnswer | None
    steps: frozenset[Step]
    preview: NoticePreview | None

    @property
    def case(self) -> ReviewCase:
        """The case itself."""
        return self.stored.case

    @property
    def is_stop_in_effect(self) -> bool:
        """Whether the stop of the order can no longer be undone."""
        return self.case.is_stop_in_effect(self.now_ms)


def case_dossier(scope: CaseScope, case_id: str, *, reviewer: str, role: str) -> CaseDossier:
    """Everything about a case, for one reviewer, in one reading transaction. Raises UnknownCase."""
    now_ms = scope.now_ms()
    with scope.store.reading() as tx:
        stored = known_case(tx, case_id)
        case = stored.case
        rows = settlement_rows(tx, case.customer_id)
        versions = order_rows(tx, case.order_id)
        as_of_ms = seeing_all(now_ms, *rows.values())
        events = _of_order(visible_rows(ORDER_EVENTS, rows, as_of_ms), case.order_id)
        outcomes = _of_order(visible_rows(ORDER_OUTCOMES, rows, as_of_ms), case.order_id)
        customer_row = standing_row(tx, CUSTOMERS, case.customer_id)
        merchant_row = standing_row(tx, MERCHANTS, case.merchant_id)
        contacts = contacts_of(customer_row)
        history = history_of(tx, case_id)
        screenings = screenings_of(tx, case.order_id)
        stop_requests = tuple(_stop_request_files(tx, scope, case_id))
        return CaseDossier(
            stored=stored,
            now_ms=now_ms,
            order=order_facts(versions, events),
            customer=(
                None if customer_row is None else customer_facts(tx, stored, customer_row, versions, contacts)
            ),
            merchant=None if merchant_row is None else merchant_facts(tx, scope, case, merchant_row),
            reasons=weighed_reasons(stored.reasons),
            screening=screenings[0] if screenings else None,
            links=linked_orders(
                tx, case, versions, events, as_of_ms, scope.policy.order_risk.linked_customers_maximum
            ),
            timeline=timeline_of(versions, events, outcomes, screenings, history),
            notes=tuple(entry for entry in history if entry.action == "note_added"),
            stop_requests=stop_requests,
            can_ask_merchant=bool(stop_requests)
            and stop_requests[-1].request.state is not StopRequestState.WITHDRAWN,
            liability=_liability(tx, scope, case_id),
            investigation=investigation_answer(tx, case_id),
            steps=possible_steps(
                stored, contacts, reviewer=reviewer, role=role, now_ms=now_ms, policy=scope.policy.review
            ),
            preview=_preview(tx, scope, stored, now_ms),
        )


def _of_order(rows: Sequence[Row], order_id: str) -> list[Row]:
    return [row for row in rows if row["order_id"] == order_id]


def _stop_request_files(tx: Transaction, scope: CaseScope, case_id: str) -> Iterator[StopRequestFile]:
    for stored in stop_requests_of_case(tx, case_id):
        request = team_view(tx, scope, stored)
        is_recall_done = request.recall is not None and request.recall.result is not None
        task = recall_task_of(tx, request.stop_request_id) if is_recall_done else None
        yield StopRequestFile(
            request=request,
            resendable=frozenset(
                delivery.delivery_id
                for delivery in deliveries_of(tx, request.stop_request_id)
                if delivery.state != WAITING and not is_overtaken(tx, delivery)
            ),
            recalled_by=None if task is None else task.done_by,
        )


def _liability(tx: Transaction, scope: CaseScope, case_id: str) -> LiabilityAnswer | None:
    try:
        return liability_answer(tx, scope, case_id)
    except UnknownOrder:
        return None


def _preview(tx: Transaction, scope: CaseScope, stored: StoredCase, now_ms: int) -> NoticePreview | None:
    case = stored.case
    if case.origin is CaseOrigin.REVIEW_REQUESTED:
        return None
    return NoticePreview(
        text=stop_request_preview(
            tx,
            scope.policy,
            order_id=case.order_id,
            merchant_id=case.merchant_id,
            stakes=stored.stakes,
            now_ms=now_ms,
        ),
        language=words_for(tx, scope.policy, case.merchant_id).language,
    )
