"""Use case: all that is kept about a case in one document, for the police where a report was made.

It holds personal data: whoever writes it keeps it for those who asked for it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from data_contracts.contract import ColumnType, Contract
from data_contracts.instants import rfc3339
from data_contracts.invoices import INVOICES
from data_contracts.ledger_contracts import CONTRACTS
from serving.cases.case_answers import WholeCase
from serving.cases.case_review import case_view
from serving.disputes.dispute_answers import DeskDispute
from serving.disputes.service_desk import desk_view
from serving.requests.answer_fields import Instant
from serving.requests.case_scope import CaseScope
from serving.store.case_queue import known_case
from serving.store.decision_log import decisions_about
from serving.store.disputes import disputes_of_order
from serving.store.investigations import settlement_rows
from serving.store.order_links import order_rows, rows_about

Row = Mapping[str, Any]


class CaseExport(msgspec.Struct, frozen=True, kw_only=True):
    """All about a case. disputes: with references of police reports, and the SHA-256 of each file.

    ledger: the rows about the order, its invoices and its customer by contract, as they are kept, each
    instant in RFC 3339; rows that were corrected too. decisions: as they were logged.
    """

    case_id: str
    exported_at: Instant
    case: WholeCase
    disputes: tuple[DeskDispute, ...]
    decisions: tuple[dict[str, Any], ...]
    ledger: dict[str, list[dict[str, Any]]]


def export_case(scope: CaseScope, case_id: str) -> CaseExport:
    """The whole of a case. Raises UnknownCase, UnknownOrder."""
    whole = case_view(scope, case_id)
    with scope.store.reading() as tx:
        case = known_case(tx, case_id).case
        disputes = disputes_of_order(tx, case.order_id)
        decisions = tuple(logged.record for logged in decisions_about(tx, case.order_id))
        rows = settlement_rows(tx, case.customer_id)
        about = rows_about(tx, order_rows(tx, case.order_id))
    return CaseExport(
        case_id=case_id,
        exported_at=Instant(scope.now_ms()),
        case=whole,
        disputes=tuple(desk_view(scope, dispute.dispute_id) for dispute in disputes),
        decisions=decisions,
        ledger=_about_order(case.order_id, {**rows, **about}),
    )


def _about_order(order_id: str, rows: Mapping[str, Sequence[Row]]) -> dict[str, list[dict[str, Any]]]:
    """Of a customer's rows those about one order and its invoices, and those about the customer."""
    invoice_ids = {row["invoice_id"] for row in rows.get(INVOICES.name, ()) if row["order_id"] == order_id}

    def is_about(row: Row) -> bool:
        if "invoice_id" in row:
            return row["invoice_id"] in invoice_ids
        return bool(row.get("order_id", order_id) == order_id)

    return {
        name: [_in_words(CONTRACTS[name], row) for row in kept if is_about(row)]
        for name, kept in sorted(rows.items())
    }


def _in_words(contract: Contract, row: Row) -> dict[str, Any]:
    instants = {column.name for column in contract.columns if column.type is ColumnType.TIMESTAMP}
    return {
        name: rfc3339(value) if name in instants and value is not None else value
        for name, value in row.items()
    }
