"""Use case: everything about one case that its page shows, as one state of the store.

Of a customer's personal data it holds what the work needs: the name, the addresses, and the contact details
that were verified before the order; of any other detail only whether it is the account's.
"""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from data_contracts.customers import CUSTOMERS
from data_contracts.instants import timestamp_ms
from data_contracts.merchants import MERCHANTS
from data_contracts.order_events import ORDER_EVENTS
from data_contracts.order_outcomes import ORDER_OUTCOMES
from data_contracts.orders import ORDERS
from data_contracts.text_form import plain_letters
from features.contact_keys import mailbox_key, phone_key
from features.entities import EntityKind
from features.online import visible_rows
from features.order_links import Keys, delivery_key
from features.order_risk_online import keys_at
from features.supersession import latest_of, seeing_all
from serving.cases.case_settlement import liability_document
from serving.cases.investigating import investigation_document
from serving.cases.possible_steps import Step, contacts_of, possible_steps
from serving.domain.answer_consequences import Consequence, consequences
from serving.domain.errors import UnknownOrder
from serving.domain.review_case import CaseOrigin, ReviewCase
from serving.domain.stop_request import StopRequest, StopRequestState
from serving.domain.verified_contacts import CustomerContact, NoVerifiedContact, verified_contacts
from serving.requests.case_scope import CaseScope
from serving.stop_requests.merchant_notices import stop_request_preview, words_for
from serving.stop_requests.sending_again import is_overtaken
from serving.store.case_queue import (
    HistoryEntry,
    Screening,
    StoredCase,
    history_of,
    known_case,
    screenings_of,
)
from serving.store.case_search import (
    SharingOrder,
    case_ids_about,
    confirmed_among,
    count_orders_of_customer,
    orders_sharing,
    standing_orders,
)
from serving.store.deliveries import (
    WAITING,
    Delivery,
    DeliveryAttempt,
    attempts_of,
    deliveries_of,
)
from serving.store.investigations import settlement_rows
from serving.store.order_links import crowded_entities, order_rows
from serving.store.standing_rows import standing_row
from serving.store.stop_requests import RecallTask, recall_task_of, stop_requests_of_case
from serving.store.store import Transaction
from serving.webhooks.mailbox import EmailMessageText

LINKED_MAXIMUM = 20

_ADDRESS_PARTS = ("street", "house_number", "postal_code", "city", "country")

Row = Mapping[str, Any]


class SharedBy(enum.Enum):
    """What two orders can have in common."""

    DEVICE = "device"
    DELIVERY_ADDRESS = "delivery_address"
    EMAIL = "email"
    PHONE = "phone"


class TimelineSource(enum.Enum):
    """Where an entry of the timeline comes from."""

    ORDER = "order"
    ORDER_EVENT = "order_event"
    SCREENING = "screening"
    CASE = "case"
    OUTCOME = "outcome"


@dataclass(frozen=True, kw_only=True)
class Address:
    """A place as lines of text. name: of the recipient, None for a residence."""

    name: str | None
    lines: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class OrderFacts:
    """The order as it stands in the ledger now.

    delivery: where the parcel goes now. first_delivery: where it was to go at checkout, None where that is
        the same. billing: None where it is the same as at checkout.
    carrier, tracking_number: of the newest shipment, None where none is recorded.
    merchant_order_number: the merchant's own, None where it has none.
    """

    ordered_at_ms: int
    amount_cents: int
    currency: str
    kind: str
    item_category: str
    delivery: Address
    first_delivery: Address | None
    billing: Address | None
    carrier: str | None
    tracking_number: str | None
    merchant_order_number: str | None


@dataclass(frozen=True, kw_only=True)
class ContactChannel:
    """One way to reach the customer.

    value: None unless it may be used: verified before the order. given_with_order: None where none was given.
    """

    channel: str
    verified_at_ms: int | None
    value: str | None
    is_given_with_order: bool | None


@dataclass(frozen=True, kw_only=True)
class CustomerFacts:
    """The customer as the work on the case needs it. order_count: in the ledger, this one too."""

    name: str
    residence: Address
    registered_at_ms: int
    identity_status: str
    language: str
    channels: tuple[ContactChannel, ...]
    order_count: int


@dataclass(frozen=True, kw_only=True)
class MerchantFacts:
    """The merchant. language: in which it is written to."""

    name: str
    country: str
    category: str
    handover_cutoff_local_time: str
    language: str
    email: str
    has_endpoint: bool


@dataclass(frozen=True, kw_only=True)
class FlagReason:
    """One reason why the order was flagged.

    usual: the value of an ordinary order, None where that is not known.
    contribution: what it adds to the log-odds of fraud. share: of the largest contribution, from 0 to 1.
    """

    code: str
    text: str
    unit: str
    value: float | None
    usual: float | None
    contribution: float
    share: float


@dataclass(frozen=True, kw_only=True)
class LinkedOrder:
    """Another order that has something in common with this one. case_id: None where it has no case."""

    order_id: str
    ordered_at_ms: int
    amount_cents: int
    currency: str
    is_same_customer: bool
    is_confirmed_fraud: bool
    shared: tuple[SharedBy, ...]
    case_id: str | None


@dataclass(frozen=True, kw_only=True)
class LinkedOrders:
    """The linked orders, confirmed frauds first. is_more: whether there are others that are not named."""

    orders: tuple[LinkedOrder, ...]
    is_more: bool


@dataclass(frozen=True, kw_only=True)
class TimelineEntry:
    """One thing that happened. name: of its kind, as the source names it. actor: None for ledger rows."""

    at_ms: int
    source: TimelineSource
    name: str
    actor: str | None
    detail: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class NoticeFile:
    """A notice to the merchant and its attempts. can_be_resent: by hand, since nothing more is tried."""

    delivery: Delivery
    attempts: tuple[DeliveryAttempt, ...]
    can_be_resent: bool


@dataclass(frozen=True, kw_only=True)
class StopRequestFile:
    """A stop request with everything that became of it."""

    request: StopRequest
    consequences: tuple[Consequence, ...]
    notices: tuple[NoticeFile, ...]
    recall: RecallTask | None


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
    liability: the document of `case_settlement`, None where the ledger does not hold the order.
    investigation: the document of `investigating`, None where there never was one.
    preview: None where a stop asks no merchant.
    """

    stored: StoredCase
    now_ms: int
    order: OrderFacts | None
    customer: CustomerFacts | None
    merchant: MerchantFacts | None
    reasons: tuple[FlagReason, ...]
    screening: Screening | None
    links: LinkedOrders
    timeline: tuple[TimelineEntry, ...]
    notes: tuple[HistoryEntry, ...]
    stop_requests: tuple[StopRequestFile, ...]
    can_ask_merchant: bool
    liability: Mapping[str, Any] | None
    investigation: Mapping[str, Any] | None
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
            order=_order_facts(versions, events),
            customer=(
                None
                if customer_row is None
                else _customer_facts(tx, stored, customer_row, versions, contacts)
            ),
            merchant=None if merchant_row is None else _merchant_facts(tx, scope, case, merchant_row),
            reasons=_reasons(stored.reasons),
            screening=screenings[0] if screenings else None,
            links=_linked_orders(
                tx, case, versions, events, as_of_ms, scope.policy.order_risk.linked_customers_maximum
            ),
            timeline=_timeline(versions, events, outcomes, screenings, history),
            notes=tuple(entry for entry in history if entry.action == "note_added"),
            stop_requests=stop_requests,
            can_ask_merchant=bool(stop_requests)
            and stop_requests[-1].request.state is not StopRequestState.WITHDRAWN,
            liability=_liability(tx, scope, case_id),
            investigation=_investigation(tx, case_id),
            steps=possible_steps(
                stored, contacts, reviewer=reviewer, role=role, now_ms=now_ms, policy=scope.policy.review
            ),
            preview=_preview(tx, scope, stored, now_ms),
        )


def _of_order(rows: Sequence[Row], order_id: str) -> list[Row]:
    return [row for row in rows if row["order_id"] == order_id]


def _address(row: Row, prefix: str) -> Address:
    part = {name: row.get(f"{prefix}_{name}") for name in _ADDRESS_PARTS}
    lines = (
        " ".join(text for text in (part["street"], part["house_number"]) if text),
        " ".join(text for text in (part["postal_code"], part["city"]) if text),
        part["country"] or "",
    )
    return Address(name=row.get(f"{prefix}_name"), lines=tuple(line for line in lines if line))


def _order_facts(versions: Sequence[Row], events: Sequence[Row]) -> OrderFacts | None:
    row = latest_of(ORDERS, versions)
    if row is None:
        return None
    first = _address(row, "delivery")
    moves = [event for event in events if delivery_key(event, "new_delivery") is not None]
    delivery = first
    move = latest_of(ORDER_EVENTS, moves)
    if move is not None:
        moved = _address(move, "new_delivery")
        # An event that changes the place may leave the recipient as it was.
        delivery = moved if moved.name is not None else replace(moved, name=first.name)
    billing = _address(row, "billing")
    shipments = [event for event in events if event.get("carrier") or event.get("tracking_number")]
    shipment = latest_of(ORDER_EVENTS, shipments) or {}
    return OrderFacts(
        ordered_at_ms=row["occurred_at"],
        amount_cents=row["amount_cents"],
        currency=row["currency"],
        kind=row["kind"],
        item_category=row["item_category"],
        delivery=delivery,
        first_delivery=None if first == delivery else first,
        billing=None if billing == first else billing,
        carrier=shipment.get("carrier"),
        tracking_number=shipment.get("tracking_number"),
        merchant_order_number=row.get("merchant_order_number"),
    )


def _customer_facts(
    tx: Transaction,
    stored: StoredCase,
    row: Row,
    versions: Sequence[Row],
    contacts: Sequence[CustomerContact],
) -> CustomerFacts:
    try:
        usable = verified_contacts(contacts, stored.stakes)
    except NoVerifiedContact:
        usable = ()
    order = latest_of(ORDERS, versions) or {}
    return CustomerFacts(
        name=f"{row['given_name']} {row['family_name']}",
        residence=_address(row, "residence"),
        registered_at_ms=row["registered_at"],
        identity_status=row["identity_status"],
        language=row["language"],
        channels=tuple(
            ContactChannel(
                channel=contact.channel,
                verified_at_ms=contact.verified_at_ms,
                value=row[contact.channel] if contact in usable else None,
                is_given_with_order=_is_same(contact.channel, order, row),
            )
            for contact in contacts
        ),
        order_count=count_orders_of_customer(tx, stored.case.customer_id),
    )


def _is_same(channel: str, order: Row, customer: Row) -> bool | None:
    """Whether the detail given with the order is the account's, however written; None where none was."""
    given, known = order.get(f"contact_{channel}"), customer[channel]
    if given is None:
        return None
    if channel == "email":
        keys = mailbox_key(given), mailbox_key(known)
    else:
        keys = (
            phone_key(given, order["billing_country"]),
            phone_key(known, customer.get("residence_country")),
        )
    return plain_letters(given) == plain_letters(known) if None in keys else keys[0] == keys[1]


def _merchant_facts(tx: Transaction, scope: CaseScope, case: ReviewCase, row: Row) -> MerchantFacts:
    return MerchantFacts(
        name=row["name"],
        country=row["country"],
        category=row["category"],
        handover_cutoff_local_time=row["handover_cutoff_local_time"],
        language=words_for(tx, scope.policy, case.merchant_id).language,
        email=row["email"],
        has_endpoint=row.get("endpoint_url") is not None,
    )


def _reasons(stored: Sequence[Mapping[str, Any]]) -> tuple[FlagReason, ...]:
    largest = max((float(reason.get("contribution", 0.0)) for reason in stored), default=0.0)
    return tuple(
        FlagReason(
            code=reason["code"],
            text=reason["text"],
            unit=reason.get("unit", ""),
            value=reason.get("value"),
            usual=reason.get("usual"),
            contribution=float(reason.get("contribution", 0.0)),
            share=max(0.0, float(reason.get("contribution", 0.0)) / largest) if largest > 0 else 0.0,
        )
        for reason in stored
    )


def _linked_orders(
    tx: Transaction,
    case: ReviewCase,
    versions: Sequence[Row],
    events: Sequence[Row],
    as_of_ms: int,
    customers_maximum: int,
) -> LinkedOrders:
    keys = keys_at(case.order_id, {ORDERS.name: versions, ORDER_EVENTS.name: events}, as_of_ms) or {}
    crowded = crowded_entities(tx, keys, customers_maximum, as_of_ms)
    shared: dict[str, set[SharedBy]] = {}
    known: dict[str, SharingOrder] = {}
    is_more = False
    keys = {entity: key for entity, key in keys.items() if entity not in crowded}
    for entity, by in (
        (EntityKind.DEVICE, SharedBy.DEVICE),
        (EntityKind.DELIVERY_ADDRESS, SharedBy.DELIVERY_ADDRESS),
        (EntityKind.MAILBOX, SharedBy.EMAIL),
        (EntityKind.PHONE, SharedBy.PHONE),
    ):
        newest = _sharing(tx, keys, entity, LINKED_MAXIMUM + 2)
        is_more = is_more or len(newest) == LINKED_MAXIMUM + 2
        for order in [*_sharing(tx, keys, entity, LINKED_MAXIMUM, confirmed=True), *newest]:
            shared.setdefault(order.order_id, set()).add(by)
            known.setdefault(order.order_id, order)
    bodies = standing_orders(tx, sorted(known))
    known.pop(case.order_id, None)
    confirmed = confirmed_among(tx, known.values(), as_of_ms)
    cases = case_ids_about(tx, sorted(known))
    orders = [
        LinkedOrder(
            order_id=order.order_id,
            ordered_at_ms=bodies[order.order_id]["occurred_at"],
            amount_cents=bodies[order.order_id]["amount_cents"],
            currency=bodies[order.order_id]["currency"],
            is_same_customer=bodies[order.order_id]["customer_id"] == case.customer_id,
            is_confirmed_fraud=order.order_id in confirmed,
            shared=tuple(by for by in SharedBy if by in shared[order.order_id]),
            case_id=cases.get(order.order_id),
        )
        for order in known.values()
        if order.order_id in bodies
    ]
    orders.sort(key=lambda order: order.order_id)
    orders.sort(key=lambda order: order.ordered_at_ms, reverse=True)
    orders.sort(key=lambda order: (not order.is_confirmed_fraud, -len(order.shared)))
    return LinkedOrders(
        orders=tuple(orders[:LINKED_MAXIMUM]), is_more=is_more or len(orders) > LINKED_MAXIMUM
    )


def _sharing(
    tx: Transaction, keys: Keys, entity: EntityKind, limit: int, *, confirmed: bool = False
) -> list[SharingOrder]:
    key = keys.get(entity)
    return [] if key is None else orders_sharing(tx, entity, key, limit=limit, confirmed=confirmed)


def _timeline(
    versions: Sequence[Row],
    events: Sequence[Row],
    outcomes: Sequence[Row],
    screenings: Sequence[Screening],
    history: Sequence[HistoryEntry],
) -> tuple[TimelineEntry, ...]:
    entries = [
        TimelineEntry(
            at_ms=row["occurred_at"],
            source=TimelineSource.ORDER,
            name="ordered" if number == 0 else "order_corrected",
            actor=None,
            detail={},
        )
        for number, row in enumerate(versions)
    ]
    entries += [
        TimelineEntry(
            at_ms=row["occurred_at"],
            source=source,
            name=row["kind"],
            actor=None,
            detail={name: row[name] for name in ("carrier", "tracking_number") if row.get(name) is not None},
        )
        for source, rows in ((TimelineSource.ORDER_EVENT, events), (TimelineSource.OUTCOME, outcomes))
        for row in rows
    ]
    entries += [
        TimelineEntry(
            at_ms=screening.as_of_ms,
            source=TimelineSource.SCREENING,
            name=screening.outcome,
            actor=None,
            detail={
                "probability": screening.record["probability"],
                "trigger": screening.trigger,
                "model": f"{screening.model_name} {screening.model_version}",
            },
        )
        for screening in reversed(screenings)
    ]
    entries += [
        TimelineEntry(
            at_ms=entry.at_ms,
            source=TimelineSource.CASE,
            name=entry.action,
            actor=entry.actor,
            detail=entry.detail,
        )
        for entry in history
    ]
    # The sort is stable: what happened at one instant stays in its order.
    return tuple(sorted(entries, key=lambda entry: entry.at_ms))


def _stop_request_files(tx: Transaction, scope: CaseScope, case_id: str) -> list[StopRequestFile]:
    return [
        StopRequestFile(
            request=stored.request,
            consequences=consequences(stored.request, scope.policy.stop_requests),
            notices=tuple(
                NoticeFile(
                    delivery=delivery,
                    attempts=tuple(attempts_of(tx, delivery.delivery_id)),
                    can_be_resent=delivery.state != WAITING and not is_overtaken(tx, delivery),
                )
                for delivery in deliveries_of(tx, stored.request.stop_request_id)
            ),
            recall=recall_task_of(tx, stored.request.stop_request_id),
        )
        for stored in stop_requests_of_case(tx, case_id)
    ]


def _liability(tx: Transaction, scope: CaseScope, case_id: str) -> dict[str, Any] | None:
    try:
        return _with_instants(liability_document(tx, scope, case_id))
    except UnknownOrder:
        return None


def _investigation(tx: Transaction, case_id: str) -> dict[str, Any] | None:
    document = investigation_document(tx, case_id)
    return None if document is None else _with_instants(document)


def _with_instants(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document with every `..._at` text as an instant `..._at_ms`, for a page in the reader's zone."""
    changed: dict[str, Any] = {}
    for name, value in document.items():
        if name.endswith("_at"):
            changed[f"{name}_ms"] = None if value is None else timestamp_ms(value)
        elif isinstance(value, list):
            changed[name] = [_with_instants(item) if isinstance(item, dict) else item for item in value]
        else:
            changed[name] = value
    return changed


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
