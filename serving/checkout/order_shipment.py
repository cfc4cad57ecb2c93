"""Use case: goods of an order leave the merchant, with proof or at the merchant's own risk."""

import enum
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from data_contracts.between_rows.arrivals import AppendStatus
from data_contracts.instants import rfc3339
from data_contracts.merchants import MERCHANTS
from data_contracts.order_events import ORDER_EVENTS
from data_contracts.orders import ORDERS
from data_contracts.row_check import check_row
from serving.checkout.checkout_answers import MerchantOrderState, OrderState
from serving.checkout.order_steps import name_in_fingerprint, newest_decision, order_state
from serving.domain.errors import FieldsInvalid, LiabilityNotAccepted, OrderStopRequested, UnknownOrder
from serving.domain.field_errors import FieldError, pointer
from serving.domain.merchant_answer import AnswerKind
from serving.domain.merchant_texts import merchant_text
from serving.domain.order_numbers import OrderAddress
from serving.domain.order_step import OrderStep, is_to_be_taken
from serving.domain.stop_request import StopRequest, StopRequestState
from serving.domain.text_files import FALLBACK_LANGUAGE, text_language
from serving.requests.answer_fields import InstantText
from serving.requests.idempotent_requests import earlier_answer, fingerprint, remember_answer
from serving.requests.request_scope import RequestScope
from serving.requests.typed_fields import typed_fields_of
from serving.store.api_keys import Caller, Role
from serving.store.decision_log import LoggedDecision
from serving.store.ledger import append
from serving.store.reservations import reservation_of
from serving.store.standing_rows import standing_row
from serving.store.stop_requests import stop_requests_of_order
from serving.store.store import Transaction
from serving.store.uninvoiced_rest import events_of_order

_HELD_BACK = frozenset({AnswerKind.STOPPED_BEFORE_SHIPPING, AnswerKind.SERVICE_CUT})
"""Answers to a stop request after which the order is not to leave any more."""


class ShipmentBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A parcel that leaves, or has left. Carrier and tracking number go together."""

    carrier: Annotated[str | None, Meta(description="null or left out for a parcel without tracking")] = None
    tracking_number: Annotated[str | None, Meta(description="as the carrier writes it; with `carrier`")] = (
        None
    )
    shipped_at: Annotated[InstantText | None, Meta(description="when it left; null or left out for now")] = (
        None
    )
    accept_liability: Annotated[
        bool,
        Meta(
            description="needed without carrier and tracking number: liability for the order is the "
            "merchant's then"
        ),
    ] = False


class WarningCode(enum.StrEnum):
    """What a merchant is warned of."""

    LIABILITY_IS_MERCHANTS = "liability_is_merchants"


class ShipmentWarning(msgspec.Struct, frozen=True, kw_only=True):
    """What follows from a shipment, in the language of the merchant."""

    code: WarningCode
    text: str


class Shipment(msgspec.Struct, frozen=True, kw_only=True):
    """One parcel of an order."""

    carrier: str | None
    tracking_number: str | None
    shipped_at: InstantText


Warnings = Annotated[
    tuple[ShipmentWarning, ...],
    Meta(description="that liability is the merchant's, while no parcel has a tracking number; else empty"),
]


class ShippedOrderState(OrderState, frozen=True, kw_only=True):
    """An order of which goods have left, with all its parcels, the earliest first."""

    shipments: tuple[Shipment, ...]
    warnings: Warnings


class MerchantShippedOrderState(MerchantOrderState, frozen=True, kw_only=True):
    """What a merchant's own key sees of an order of which goods have left."""

    shipments: tuple[Shipment, ...]
    warnings: Warnings


ShippedAnswer = ShippedOrderState | MerchantShippedOrderState


@dataclass(frozen=True, kw_only=True)
class _Parcel:
    """columns: carrier and tracking number as the ledger keeps them, none where there is none."""

    columns: Mapping[str, Any]
    shipped_at_ms: int
    is_risk_accepted: bool

    @property
    def is_tracked(self) -> bool:
        return "tracking_number" in self.columns

    def is_in(self, event: Mapping[str, Any]) -> bool:
        """Whether a row of the ledger is about this parcel: told again, it changes nothing."""
        return event["kind"] == OrderStep.SHIPPED and event.get("tracking_number") == self.columns.get(
            "tracking_number"
        )


def ship(
    scope: RequestScope,
    address: OrderAddress,
    body: object,
    *,
    caller: Caller,
    idempotency_key: str | None,
) -> ShippedAnswer:
    """Keep that a parcel of an order has left. The same parcel again changes nothing.

    Without carrier and tracking number the merchant bears the loss of the order: it has to accept that, so
    that nobody learns of it when it is too late. An order that its merchant was asked to stop does not
    leave. Raises FieldsInvalid, UnknownOrder, LiabilityNotAccepted, OrderStopRequested, and what
    `is_to_be_taken` raises.
    """
    parcel = _parcel(body, now_ms=scope.now_ms(), clock_tolerance_ms=scope.policy.clock_tolerance_ms)
    request = fingerprint(
        f"POST order {OrderStep.SHIPPED}", {"order": name_in_fingerprint(address, caller), "body": body}
    )
    shown: type[ShippedAnswer] = (
        MerchantShippedOrderState if caller.role is Role.MERCHANT else ShippedOrderState
    )
    with scope.store.reading() as tx:
        before = newest_decision(tx, address, caller)
    with scope.store.writing(before.customer_id, f"order-{before.order_id}") as tx:
        earlier = earlier_answer(tx, shown, caller=caller, key=idempotency_key, request=request)
        if earlier is not None:
            return earlier
        decision = newest_decision(tx, address, caller)
        words = _Words.of(tx, decision)
        if not any(parcel.is_in(event) for event in _events(tx, decision)):
            _require_allowed(tx, decision, parcel, address, words)
            _keep(scope, tx, decision, parcel)
        answer = _shown(scope, tx, decision, caller, words)
        remember_answer(
            tx, answer, caller=caller, key=idempotency_key, request=request, now_ms=scope.now_ms()
        )
    return answer


def _parcel(body: object, *, now_ms: int, clock_tolerance_ms: int) -> _Parcel:
    given = typed_fields_of(body, ShipmentBody)
    carrier, tracking_number = (
        text if text is not None and text.strip() else None for text in (given.carrier, given.tracking_number)
    )
    errors = []
    if (carrier is None) != (tracking_number is None):
        missing = "carrier" if carrier is None else "tracking_number"
        errors.append(
            FieldError(pointer=pointer(missing), detail=f"{missing}: carrier and tracking number go together")
        )
    columns = {"carrier": carrier, "tracking_number": tracking_number}
    checked = check_row(
        ORDER_EVENTS,
        {
            "event_id": "shipment",
            "occurred_at": rfc3339(now_ms) if given.shipped_at is None else given.shipped_at,
            "order_id": "order",
            "customer_id": "customer",
            "kind": OrderStep.SHIPPED.value,
            **columns,
        },
        recorded_at_ms=now_ms,
        clock_tolerance_ms=clock_tolerance_ms,
    )
    for violation in checked.violations:
        field = "shipped_at" if violation.column == "occurred_at" else violation.column
        errors.append(
            FieldError(pointer=pointer(field), detail=violation.message.replace(violation.column, field))
        )
    if errors or checked.row is None:
        raise FieldsInvalid(errors)
    row: Mapping[str, Any] = checked.row
    return _Parcel(
        columns={name: row[name] for name in columns if row.get(name) is not None},
        shipped_at_ms=row["occurred_at"],
        is_risk_accepted=given.accept_liability,
    )


@dataclass(frozen=True, kw_only=True)
class _Words:
    """In which language a merchant reads of an order, and by which name."""

    language: str
    order_name: str

    @classmethod
    def of(cls, tx: Transaction, decision: LoggedDecision) -> "_Words":
        merchant = standing_row(tx, MERCHANTS, decision.merchant_id) or {}
        return cls(
            language=text_language(merchant.get("language", FALLBACK_LANGUAGE)),
            order_name=decision.merchant_order_number or decision.order_id,
        )

    def text(self, code: str) -> str:
        return merchant_text(f"shipment.{code}", self.language, order_id=self.order_name)


def _require_allowed(
    tx: Transaction, decision: LoggedDecision, parcel: _Parcel, address: OrderAddress, words: _Words
) -> None:
    reservation = reservation_of(tx, decision.customer_id, decision.order_id)
    is_to_be_taken(
        OrderStep.SHIPPED,
        None if reservation is None else reservation.state,
        # What left while the order still held its amount may be told later.
        has_expired=reservation is not None and reservation.expires_at_ms <= parcel.shipped_at_ms,
        order=address.in_words,
    )
    asked = stop_requests_of_order(tx, decision.order_id)
    if any(_is_to_be_held_back(stored.request) for stored in asked):
        raise OrderStopRequested(words.text("stop_requested"))
    if not parcel.is_tracked and not parcel.is_risk_accepted and _is_goods(tx, decision):
        raise LiabilityNotAccepted(words.text("liability_not_accepted"))


def _is_to_be_held_back(request: StopRequest) -> bool:
    if request.state in {StopRequestState.REQUESTED, StopRequestState.EXPIRED}:
        return True
    answer = request.current_answer
    return request.state is StopRequestState.ANSWERED and answer is not None and answer.kind in _HELD_BACK


def _is_goods(tx: Transaction, decision: LoggedDecision) -> bool:
    """A service needs no tracking number."""
    order = standing_row(tx, ORDERS, decision.order_id)
    return order is None or order["kind"] != "service"


def _events(tx: Transaction, decision: LoggedDecision) -> list[dict[str, Any]]:
    return events_of_order(tx, decision.customer_id, decision.order_id)


def _keep(scope: RequestScope, tx: Transaction, decision: LoggedDecision, parcel: _Parcel) -> None:
    order = standing_row(tx, ORDERS, decision.order_id)
    if order is None:
        raise UnknownOrder(f"order {decision.order_id} is not in the ledger")
    number = parcel.columns.get("tracking_number", "")
    mark = hashlib.sha256(f"{decision.order_id} {number}".encode()).hexdigest()[:24]
    result = append(
        tx,
        ORDER_EVENTS,
        {
            "event_id": f"shipped-{mark}-{scope.now_ms()}",
            # A decision may run a few milliseconds ahead of the clock; its order's events come after it.
            "occurred_at": (
                max(parcel.shipped_at_ms, order["occurred_at"])
                if parcel.shipped_at_ms >= scope.now_ms() - scope.policy.clock_tolerance_ms
                else parcel.shipped_at_ms
            ),
            "order_id": decision.order_id,
            "customer_id": decision.customer_id,
            "kind": OrderStep.SHIPPED.value,
            **parcel.columns,
        },
        scope.now_ms(),
        clock_tolerance_ms=scope.policy.clock_tolerance_ms,
    )
    if result.status is not AppendStatus.ACCEPTED:
        detail = f"shipped_at: {result.message}"
        raise FieldsInvalid([FieldError(pointer="/shipped_at", detail=detail)])


def _shown(
    scope: RequestScope, tx: Transaction, decision: LoggedDecision, caller: Caller, words: _Words
) -> ShippedAnswer:
    state = order_state(tx, decision, caller, scope.now_ms())
    shipped = sorted(
        (event for event in _events(tx, decision) if event["kind"] == OrderStep.SHIPPED),
        key=lambda event: (event["occurred_at"], event["recorded_at"]),
    )
    is_at_risk = _is_goods(tx, decision) and not any(event.get("tracking_number") for event in shipped)
    code = WarningCode.LIABILITY_IS_MERCHANTS
    seen = {
        **msgspec.structs.asdict(state),
        "shipments": tuple(
            Shipment(
                carrier=event.get("carrier"),
                tracking_number=event.get("tracking_number"),
                shipped_at=rfc3339(event["occurred_at"]),
            )
            for event in shipped
        ),
        "warnings": (ShipmentWarning(code=code, text=words.text(code)),) if is_at_risk else (),
    }
    if caller.role is Role.MERCHANT:
        return MerchantShippedOrderState(**seen)
    return ShippedOrderState(**seen)
