"""What is answered about an invoice."""

import msgspec
from msgspec import UNSET, UnsetType

from features.invoice_phase import InvoicePhase
from serving.requests.answer_fields import Cents, Instant


class InvoiceNotice(msgspec.Struct, frozen=True, kw_only=True):
    """What the customer is told of next. kind and level as in `invoice_charges`."""

    kind: str
    level: int
    at: Instant


class InvoiceEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened to an invoice.

    name: `issued`, `paid`, `credit_note`, `refund`, `paused`, `resumed`, or a kind of `invoice_charges`.
    known_at: when it was recorded. amount_cents: of the movement or fee. due_at: as it stood from then on.
    """

    at: Instant
    known_at: Instant
    name: str
    amount_cents: Cents | UnsetType = UNSET
    due_at: Instant | UnsetType = UNSET
    reason: str | UnsetType = UNSET
    level: int | UnsetType = UNSET


class InvoiceLife(msgspec.Struct, frozen=True, kw_only=True):
    """An invoice as it stands, and what became of it.

    amount_cents: as issued. received_cents: money that was kept for it. asked_cents: what the customer is to
    pay, paused or not; less than what is outstanding where other money covers it or too little is left.
    due_at: as issued. moved_due_at: as its pauses have moved it; null while a pause holds it back, and where
    nothing is to be paid. fees_cents: owed beside the invoice. days_past_due: paused days left out.
    """

    invoice_id: str
    order_id: str
    customer_id: str
    currency: str
    phase: InvoicePhase
    amount_cents: Cents
    received_cents: Cents
    credited_cents: Cents
    charged_back_cents: Cents
    outstanding_cents: Cents
    overpaid_cents: Cents
    covered_cents: Cents
    asked_cents: Cents
    fees_cents: Cents
    issued_at: Instant
    due_at: Instant
    moved_due_at: Instant | None
    days_past_due: int
    next_notice: InvoiceNotice | None
    timeline: tuple[InvoiceEvent, ...]


class DueInvoice(msgspec.Struct, frozen=True, kw_only=True):
    """An invoice that the customer is asked to pay. asked_cents, due_at: as its pauses have moved it."""

    invoice_id: str
    customer_id: str
    currency: str
    phase: InvoicePhase
    asked_cents: Cents
    due_at: Instant
    days_past_due: int
    next_notice: InvoiceNotice | None
