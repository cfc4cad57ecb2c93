"""Labels of the eligibility model: was the order's invoice paid?

Bad (1): an invoice of the order more than 60 days past due, paused days excluded, not paid by then. What is
immaterial is not owed, as in features and arrears: an invoice of 89.90 with 86.40 paid in time is paid.
Nor is what was covered in time by money that the customer paid too much elsewhere, as in arrears.
Only matured orders are labelled: all of their invoices have been due for more than 60 days at the
cut-off, the paid ones too, or early payers would crowd the young vintages. A dispute decided for the
customer, and not decided otherwise since, is no default (0). Confirmed fraud is no credit default and a
wholly cancelled invoice was never owed: both are left unlabelled. Nothing recorded at or after the
cut-off is seen.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data_contracts.contract import Contract
from data_contracts.instants import DAY_MS
from data_contracts.invoice_adjustments import INVOICE_ADJUSTMENTS
from data_contracts.invoice_pauses import INVOICE_PAUSES
from data_contracts.invoice_payments import INVOICE_PAYMENTS
from data_contracts.invoices import INVOICES
from data_contracts.ledger_contracts import ALL_CONTRACTS
from data_contracts.ledger_folder import LABELS_FILE
from data_contracts.order_outcomes import FRAUD_OUTCOMES, ORDER_OUTCOMES
from data_contracts.parquet_ledger import empty_table, has_table, read_parquet_file, read_table
from features.decisions import Decisions, order_decisions
from features.instants import NEVER, Int64Array
from features.invoice_rows import adjustment_kind
from features.invoice_state import InvoiceState, Movement, MovementKind, invoice_state
from features.overpayments import StandingInvoice, covered_by_overpayments
from features.settlement_terms import USUAL_TERMS, SettlementTerms
from features.supersession import (
    counted_milliseconds,
    milliseconds,
    needed_columns,
    seen_rows,
    whole_numbers,
)

UNLABELLED = -1
"""The label of a decision of which nothing is known yet: not yet known is not good."""
LABEL_HORIZON_DAYS = 60
SETTLED_FOR_CUSTOMER = "dispute_decided_for_customer"


@dataclass(frozen=True, kw_only=True)
class KnownInvoice:
    """One invoice by the rows known at a cut-off, in the form that `invoice_state` takes."""

    invoice_id: str
    customer_id: str
    currency: str
    issued_at: int
    due_at: int
    amount_cents: int
    movements: Sequence[Movement]
    pauses: Sequence[tuple[int, int]]
    terms: SettlementTerms

    def state(self) -> InvoiceState:
        """The invoice as it stands."""
        return self._state(self.movements)

    def state_at(self, at_ms: int) -> InvoiceState:
        """The invoice as it stood at an instant, without the money that moved later."""
        return self._state([movement for movement in self.movements if movement.occurred_at <= at_ms])

    def owed_at_horizon_cents(self) -> int:
        """What was still owed when the label's horizon was reached; later payments are recoveries."""
        return self.state_at(self.state().due_at + LABEL_HORIZON_DAYS * DAY_MS).outstanding_cents

    def _state(self, movements: Sequence[Movement]) -> InvoiceState:
        return invoice_state(
            issued_at=self.issued_at,
            due_at=self.due_at,
            amount_cents=self.amount_cents,
            movements=movements,
            pauses=self.pauses,
            terms=self.terms,
        )


@dataclass(frozen=True, kw_only=True)
class Labels:
    """Labelled decisions. label: shape (n,), int8, 1 is bad; known_at_ms: since when the label was known."""

    decisions: Decisions
    label: NDArray[np.int8]
    known_at_ms: Int64Array

    def __len__(self) -> int:
        return len(self.label)

    def by_decision(self) -> dict[str, int]:
        """The label of each decision by its id."""
        return dict(zip(self.decisions.decision_id.tolist(), self.label.tolist(), strict=True))

    def where(self, mask: NDArray[np.bool_]) -> "Labels":
        """The labelled decisions that `mask` picks."""
        return Labels(
            decisions=self.decisions.where(mask),
            label=self.label[mask],
            known_at_ms=self.known_at_ms[mask],
        )


def label_from_states(
    states: Sequence[InvoiceState], cut_off_ms: int, covered: Collection[int] = ()
) -> tuple[int, int] | None:
    """The label of an order by the states of its invoices, and since when it was known.

    covered: places of the states of invoices that were paid by money on others. None where the order is not
    matured, or nothing was owed.
    """
    horizon_ms = LABEL_HORIZON_DAYS * DAY_MS
    owed = [(place, state) for place, state in enumerate(states) if not state.cancelled]
    if not owed or any(state.due_at + horizon_ms >= cut_off_ms for _, state in owed):
        return None
    is_bad = any(_is_late(state, cut_off_ms) and place not in covered for place, state in owed)
    return int(is_bad), max(state.due_at for _, state in owed) + horizon_ms


def _is_late(state: InvoiceState, cut_off_ms: int) -> bool:
    return state.is_material and state.lateness_at(cut_off_ms) > LABEL_HORIZON_DAYS * DAY_MS


def covered_in_time(invoices: Iterable[KnownInvoice], terms: SettlementTerms, cut_off_ms: int) -> set[str]:
    """The invoice_ids of late invoices that over-payments on others covered when the horizon was reached.

    invoices: all that their customers owe. What was paid back since without the invoice being paid covers it
    no more.
    """
    by_customer: defaultdict[str, list[KnownInvoice]] = defaultdict(list)
    for invoice in invoices:
        by_customer[invoice.customer_id].append(invoice)
    found = set()
    for own in by_customer.values():
        late = (
            [(invoice, state) for invoice in own if _is_late(state := invoice.state(), cut_off_ms)]
            if len(own) > 1
            else []
        )
        for invoice, state in late:
            horizon_at = state.due_at + LABEL_HORIZON_DAYS * DAY_MS
            if _is_covered(invoice, own, terms, horizon_at) and (
                state.paid_at is not None or _is_covered(invoice, own, terms, cut_off_ms)
            ):
                found.add(invoice.invoice_id)
    return found


def _is_covered(
    invoice: KnownInvoice, of_customer: Iterable[KnownInvoice], terms: SettlementTerms, at_ms: int
) -> bool:
    standing = [
        StandingInvoice(one.invoice_id, one.currency, one.state_at(at_ms))
        for one in of_customer
        if one.issued_at <= at_ms
    ]
    covered = covered_by_overpayments(standing, at_ms).get(invoice.invoice_id, 0)
    return covered > 0 and invoice.state_at(at_ms).outstanding_cents - covered <= terms.materiality_cents


def order_labels(directory: Path, cut_off_ms: int, terms: SettlementTerms = USUAL_TERMS) -> Labels:
    """Label the orders of a ledger folder as they were known at the cut-off."""
    invoices = invoices_by_order(directory, cut_off_ms, terms)
    outcomes = standing_table(directory, ORDER_OUTCOMES, ["order_id", "kind"], cut_off_ms)
    fraud: set[str] = set()
    settled: set[str] = set()
    for order_id, kind in zip(outcomes["order_id"].to_pylist(), outcomes["kind"].to_pylist(), strict=True):
        if kind in FRAUD_OUTCOMES:
            fraud.add(order_id)
        elif kind == SETTLED_FOR_CUSTOMER:
            settled.add(order_id)
    owed = (one for order_id, own in invoices.items() if order_id not in fraud for one in own)
    covered = covered_in_time(owed, terms, cut_off_ms)
    decisions = order_decisions(directory)
    places: list[int] = []
    labels: list[int] = []
    known_at: list[int] = []
    for place, order_id in enumerate(decisions.decision_id.tolist()):
        if order_id not in invoices or order_id in fraud:
            continue
        own = invoices[order_id]
        of_order = {at for at, one in enumerate(own) if one.invoice_id in covered} if covered else ()
        judged = label_from_states([one.state() for one in own], cut_off_ms, of_order)
        if judged is None:
            continue
        places.append(place)
        labels.append(0 if order_id in settled else judged[0])
        known_at.append(judged[1])
    return Labels(
        decisions=Decisions(
            decision_id=decisions.decision_id[places],
            customer_id=decisions.customer_id[places],
            as_of_ms=decisions.as_of_ms[places],
        ),
        label=np.array(labels, dtype=np.int8),
        known_at_ms=np.array(known_at, dtype=np.int64),
    )


def states_by_order(
    directory: Path, cut_off_ms: int, terms: SettlementTerms = USUAL_TERMS
) -> dict[str, list[InvoiceState]]:
    """The states of each order's invoices as they were known at the cut-off."""
    return {
        order_id: [invoice.state() for invoice in invoices]
        for order_id, invoices in invoices_by_order(directory, cut_off_ms, terms).items()
    }


def invoices_by_order(
    directory: Path, cut_off_ms: int, terms: SettlementTerms = USUAL_TERMS
) -> dict[str, list[KnownInvoice]]:
    """Each order's invoices by the rows that were known at the cut-off."""
    movements: defaultdict[str, list[Movement]] = defaultdict(list)
    payments = standing_table(directory, INVOICE_PAYMENTS, ["invoice_id", "amount_cents"], cut_off_ms)
    for invoice_id, occurred_at, cents in zip(
        payments["invoice_id"].to_pylist(),
        counted_milliseconds(INVOICE_PAYMENTS, payments, "occurred_at").tolist(),
        whole_numbers(payments["amount_cents"]).tolist(),
        strict=True,
    ):
        movements[invoice_id].append(Movement(occurred_at, MovementKind.PAYMENT, cents))
    adjustments = standing_table(
        directory, INVOICE_ADJUSTMENTS, ["invoice_id", "kind", "reason", "amount_cents"], cut_off_ms
    )
    for invoice_id, occurred_at, kind, reason, cents in zip(
        adjustments["invoice_id"].to_pylist(),
        counted_milliseconds(INVOICE_ADJUSTMENTS, adjustments, "occurred_at").tolist(),
        adjustments["kind"].to_pylist(),
        adjustments["reason"].to_pylist(),
        whole_numbers(adjustments["amount_cents"]).tolist(),
        strict=True,
    ):
        movements[invoice_id].append(Movement(occurred_at, adjustment_kind(kind, reason), cents))
    pauses: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    paused = standing_table(directory, INVOICE_PAUSES, ["invoice_id", "started_at", "ended_at"], cut_off_ms)
    for invoice_id, started_at, ended_at in zip(
        paused["invoice_id"].to_pylist(),
        counted_milliseconds(INVOICE_PAUSES, paused, "started_at").tolist(),
        counted_milliseconds(INVOICE_PAUSES, paused, "ended_at").tolist(),
        strict=True,
    ):
        pauses[invoice_id].append((started_at, ended_at))
    known: defaultdict[str, list[KnownInvoice]] = defaultdict(list)
    invoices = standing_table(
        directory,
        INVOICES,
        ["invoice_id", "order_id", "customer_id", "currency", "due_at", "amount_cents"],
        cut_off_ms,
    )
    for invoice_id, order_id, customer_id, currency, issued_at, due_at, cents in zip(
        *(invoices[name].to_pylist() for name in ("invoice_id", "order_id", "customer_id", "currency")),
        counted_milliseconds(INVOICES, invoices, "occurred_at").tolist(),
        milliseconds(invoices["due_at"]).tolist(),
        whole_numbers(invoices["amount_cents"]).tolist(),
        strict=True,
    ):
        known[order_id].append(
            KnownInvoice(
                invoice_id=invoice_id,
                customer_id=customer_id,
                currency=currency,
                issued_at=issued_at,
                due_at=due_at,
                amount_cents=cents,
                movements=movements.get(invoice_id, ()),
                pauses=pauses.get(invoice_id, ()),
                terms=terms,
            )
        )
    return known


def standing_table(directory: Path, contract: Contract, names: list[str], cut_off_ms: int) -> pa.Table:
    """The rows of a contract that stand at the cut-off."""
    wanted = list(dict.fromkeys([*needed_columns(contract), *contract.key, *names]))
    table = (
        read_table(directory, contract, wanted)
        if has_table(directory, contract)
        else empty_table(contract).select(wanted)
    )
    return table.take(pa.array(seen_rows(contract, table).stand_at(cut_off_ms)))


def file_labels(directory: Path) -> Labels:
    """The labels that came with a data set (DIR/labels.parquet)."""
    columns = ["decision_id", "customer_id", "as_of", "label", "known_at"]
    table = read_parquet_file(directory / LABELS_FILE, columns)
    return Labels(
        decisions=Decisions(
            decision_id=table["decision_id"].to_numpy(zero_copy_only=False),
            customer_id=table["customer_id"].to_numpy(zero_copy_only=False),
            as_of_ms=milliseconds(table["as_of"]),
        ),
        label=table["label"].to_numpy().astype(np.int8),
        known_at_ms=milliseconds(table["known_at"]),
    )


def ledger_end_ms(directory: Path) -> int:
    """Just after the last row of a ledger folder was recorded: the latest possible cut-off."""
    latest = [
        pc.max(pc.cast(read_table(directory, contract, ["recorded_at"])["recorded_at"], pa.int64())).as_py()
        for contract in ALL_CONTRACTS
        if has_table(directory, contract)
    ]
    return max((instant for instant in latest if instant is not None), default=-NEVER) + 1


def seen_until_ms(directory: Path, as_of_ms: int | None) -> int:
    """The cut-off of a training run: as asked for, but no later than the folder's last row."""
    end_ms = ledger_end_ms(directory)
    return end_ms if as_of_ms is None else min(as_of_ms, end_ms)
