"""What the ledger says now about one order, as liability and settlement need it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data_contracts.amended_orders import amended_order
from data_contracts.contract import Contract
from data_contracts.instants import DAY_MS
from data_contracts.invoice_adjustments import INVOICE_ADJUSTMENTS
from data_contracts.invoice_pauses import DISPUTE, INVOICE_PAUSES
from data_contracts.invoice_payments import INVOICE_PAYMENTS
from data_contracts.invoices import INVOICES
from data_contracts.order_events import ORDER_EVENTS
from data_contracts.order_outcomes import FRAUD_OUTCOMES, ORDER_OUTCOMES
from data_contracts.orders import ORDERS
from features.invoice_rows import known_invoice_states
from features.invoice_state import InvoiceState
from features.online import visible_rows
from features.settlement_terms import SettlementTerms
from features.supersession import latest_of, seeing_all
from serving.domain.errors import UnknownOrder
from serving.domain.liability import Shipment, TakenBack
from serving.store.case_queue import StoredCase
from serving.store.investigations import settlement_rows
from serving.store.store import Transaction

DECIDED_FOR_CUSTOMER = "dispute_decided_for_customer"
CHARGED_BACK = frozenset({"chargeback", "dispute", "fraud"})
"""Reasons of credits that somebody decided; those for a return or of goodwill the merchant gave itself."""

_LEFT = frozenset({"shipped", "delivered"})
_CARRIED = frozenset({"shipment_booked", "shipped", "delivered"})
_TAKEN_BACK = frozenset(event.value for event in TakenBack)

Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Credits:
    """What was credited of an invoice, in minor units: by the merchant itself, and by a decision."""

    returned_cents: int
    charged_back_cents: int


@dataclass(frozen=True, kw_only=True)
class OrderRecord:
    """What the ledger says now about an order.

    outcomes: the findings that stand. own_outcomes: all rows that were written for its case, also those that
        were corrected since; empty without a case.
    taken_back: the event by which the whole order came back or was cancelled, None while none stands.
    is_disputed: by a dispute that is open, or was decided for the customer.
    invoice_rows, payments, adjustments: those that stand, cancelled invoices too.
    states: of the invoices by invoice_id. arrived_at_ms: when each was first recorded.
    """

    order: Row
    shipment: Shipment
    taken_back: TakenBack | None
    outcomes: tuple[Row, ...]
    own_outcomes: tuple[Row, ...]
    is_disputed: bool
    invoice_rows: tuple[Row, ...]
    payments: tuple[Row, ...]
    adjustments: tuple[Row, ...]
    states: Mapping[str, InvoiceState]
    arrived_at_ms: Mapping[str, int]
    terms: SettlementTerms
    now_ms: int

    @property
    def invoices(self) -> tuple[InvoiceState, ...]:
        """The states of the invoices."""
        return tuple(self.states.values())

    @property
    def is_confirmed_fraud(self) -> bool:
        """Whether a finding of fraud stands."""
        return self.found_fraud_at_ms is not None

    @property
    def found_fraud_at_ms(self) -> int | None:
        """When fraud was last found by the findings that stand, None where none does."""
        found = [row["occurred_at"] for row in self.outcomes if row["kind"] in FRAUD_OUTCOMES]
        return max(found, default=None)

    @property
    def is_decided_for_customer(self) -> bool:
        """Whether a dispute stands decided for the customer."""
        return any(row["kind"] == DECIDED_FOR_CUSTOMER for row in self.outcomes)

    def is_invoice_unpaid(self, unpaid_days: int) -> bool:
        """Whether an invoice that is not paused is this many days past due, paused days left out."""
        return any(
            state.owed_cents > 0
            and not state.paused
            and state.lateness_at(self.now_ms) >= unpaid_days * DAY_MS
            for state in self.invoices
        )

    def credits_since(self, since_ms: int | None) -> dict[str, Credits]:
        """What was credited of each invoice from an instant on; None for all that ever was.

        A refund that only pays back what a credit note credited counts once. Where both kinds come to more
        than the invoice, what the merchant gave itself goes first.
        """
        before = [row for row in self.adjustments if since_ms is not None and row["occurred_at"] < since_ms]
        before_ids = {row["event_id"] for row in before}
        own = [
            row
            for row in self.adjustments
            if row["event_id"] in before_ids or row["reason"] not in CHARGED_BACK
        ]
        credited_before, credited_own = self._credited(before), self._credited(own)
        credited = {
            row["invoice_id"]: row["amount_cents"] - self.states[row["invoice_id"]].net_amount_cents
            for row in self.invoice_rows
        }
        return {
            invoice_id: Credits(
                returned_cents=max(credited_own[invoice_id] - credited_before[invoice_id], 0),
                charged_back_cents=max(cents - credited_own[invoice_id], 0),
            )
            for invoice_id, cents in credited.items()
        }

    def _credited(self, adjustments: Sequence[Row]) -> dict[str, int]:
        """What some adjustments alone credit of each invoice."""
        states = known_invoice_states(
            invoices=self.invoice_rows,
            payments=self.payments,
            adjustments=adjustments,
            pauses=(),
            terms=self.terms,
        )
        return {
            row["invoice_id"]: row["amount_cents"] - states[row["invoice_id"]].net_amount_cents
            for row in self.invoice_rows
        }


def outcome_prefix(case_id: str) -> str:
    """How the event_id of every outcome begins that was written for a case."""
    return f"outcome-{case_id}-"


def order_record(tx: Transaction, stored: StoredCase, now_ms: int, terms: SettlementTerms) -> OrderRecord:
    """What the ledger says about the order of a case. Raises UnknownOrder where it does not hold it."""
    case = stored.case
    return record_of_order(tx, case.order_id, case.customer_id, now_ms, terms, case_id=case.case_id)


def record_of_order(
    tx: Transaction,
    order_id: str,
    customer_id: str,
    now_ms: int,
    terms: SettlementTerms,
    *,
    case_id: str | None,
) -> OrderRecord:
    """What the ledger says about an order. case_id: None without a case. Raises UnknownOrder."""
    rows = settlement_rows(tx, customer_id)
    as_of_ms = seeing_all(now_ms, *rows.values())

    def standing(contract: Contract) -> list[Row]:
        # Among all of the customer's rows: a correction may have moved a row to another order.
        return visible_rows(contract, rows, as_of_ms)

    def of_order(contract: Contract) -> list[Row]:
        return [row for row in standing(contract) if row["order_id"] == order_id]

    orders, events, outcomes = of_order(ORDERS), of_order(ORDER_EVENTS), of_order(ORDER_OUTCOMES)
    if not orders:
        raise UnknownOrder(f"order {order_id} is not in the ledger")
    invoices = of_order(INVOICES)
    own_invoices = {row["invoice_id"] for row in invoices}

    def of_invoices(contract: Contract) -> list[Row]:
        return [row for row in standing(contract) if row["invoice_id"] in own_invoices]

    payments, adjustments = of_invoices(INVOICE_PAYMENTS), of_invoices(INVOICE_ADJUSTMENTS)
    pauses = of_invoices(INVOICE_PAUSES)
    has_open_dispute = any(pause["reason"] == DISPUTE and pause.get("ended_at") is None for pause in pauses)
    prefix = None if case_id is None else outcome_prefix(case_id)
    return OrderRecord(
        order=amended_order(orders[-1], events),
        shipment=_shipment(events),
        taken_back=_taken_back(events),
        outcomes=tuple(outcomes),
        own_outcomes=tuple(
            row
            for row in rows.get(ORDER_OUTCOMES.name, ())
            if prefix is not None and row["event_id"].startswith(prefix) and row["order_id"] == order_id
        ),
        is_disputed=has_open_dispute or any(row["kind"] == DECIDED_FOR_CUSTOMER for row in outcomes),
        invoice_rows=tuple(invoices),
        payments=tuple(payments),
        adjustments=tuple(adjustments),
        states=known_invoice_states(
            invoices=invoices, payments=payments, adjustments=adjustments, pauses=pauses, terms=terms
        ),
        arrived_at_ms=_arrivals(rows.get(INVOICES.name, ())),
        terms=terms,
        now_ms=now_ms,
    )


def _arrivals(invoices: Sequence[Row]) -> dict[str, int]:
    arrived_at_ms: dict[str, int] = {}
    for row in invoices:
        known_ms = arrived_at_ms.get(row["invoice_id"], row["recorded_at"])
        arrived_at_ms[row["invoice_id"]] = min(known_ms, row["recorded_at"])
    return arrived_at_ms


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
