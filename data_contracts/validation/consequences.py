"""Which refused rows are refused because of another refused row: mend that one, and they come in with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from data_contracts.contract import Contract
from data_contracts.rules import Rule

LACKED: Mapping[Rule, tuple[str, ...]] = {
    Rule.REFUNDED_ABOVE_PAID: ("invoice_payments",),
    Rule.NOT_INVOICED: ("invoices",),
    Rule.NOT_DISPUTED: ("invoice_pauses", "invoices"),
    Rule.ABOVE_ORDER: ("orders",),
    Rule.SUM_ABOVE_ORDER: ("orders", "invoice_adjustments"),
    Rule.ORDER_BELOW_INVOICED: ("invoice_adjustments", "invoices"),
    Rule.CREDITED_ABOVE_INVOICE: ("invoices",),
    Rule.INVOICE_BELOW_CREDITED: ("invoice_adjustments",),
}
"""Rules that a row may break only because rows of these contracts about the same order were refused."""


@dataclass(frozen=True, kw_only=True)
class RefusedOf:
    """The refused rows of one contract.

    columns: `ledger_columns.needed_columns` of all its rows. rules: by position of each refused row, in
    file order, every (column, rule) that it breaks. own: positions of those that break a rule of their own
    contract.
    """

    contract: Contract
    columns: pa.Table
    rules: Mapping[int, Sequence[tuple[str, Rule]]]
    own: frozenset[int]


class RefusedRows:
    """All refused rows of a ledger, to look up the one that another follows from."""

    def __init__(self, refused: Mapping[str, RefusedOf]) -> None:
        self._rows = {
            name: dict(
                zip(one.rules, one.columns.take(pa.array(one.rules, pa.int64())).to_pylist(), strict=True)
            )
            for name, one in refused.items()
        }
        self._contracts = {name: one.contract for name, one in refused.items()}
        self._order_of = _orders_of_invoices(refused.get("invoices"), self._rows)
        self._about: dict[tuple[str, str], str] = {}
        self._under: dict[str, str] = {}
        self._lacking: dict[tuple[str, str], str] = {}
        for name, rows in self._rows.items():
            key = self._contracts[name].key[0]
            for position, row in rows.items():
                named = f"{name} {row['event_id']}"
                if row[key] is not None:
                    self._about.setdefault((name, row[key]), named)
                if row["event_id"] is not None:
                    self._under.setdefault(row["event_id"], named)
                order_id = self._order(row)
                # What is refused for want of this row must not count as the reason for it in turn.
                if order_id is not None and (position in refused[name].own or name == "invoices"):
                    self._lacking.setdefault((name, order_id), named)

    def cause(self, contract_name: str, position: int, column: str, rule: Rule) -> str | None:
        """The refused row, by contract and event_id, from which a violation follows; None for one of its own.

        position: of a refused row in its contract.
        """
        contract, row = self._contracts[contract_name], self._rows[contract_name][position]
        found = None
        if rule is Rule.REFERENCE_QUARANTINED:
            named = str(row[column])
            if column == "corrects":
                found = self._under.get(named)
            else:
                for reference_column, reference in contract.references():
                    if reference_column.name == column:
                        found = self._about.get((reference.contract, named))
            return found or "a refused row"
        order_id = self._order(row)
        if order_id is not None:
            lacked = (self._lacking.get((name, order_id)) for name in LACKED.get(rule, ()))
            found = next((one for one in lacked if one is not None), None)
        return None if found == f"{contract_name} {row['event_id']}" else found

    def _order(self, row: Mapping[str, object]) -> str | None:
        order_id = row.get("order_id")
        if order_id is None:
            order_id = self._order_of.get(str(row.get("invoice_id")))
        return None if order_id is None else str(order_id)


def _orders_of_invoices(
    invoices: RefusedOf | None, rows: Mapping[str, Mapping[int, Mapping[str, object]]]
) -> dict[str, str]:
    """The order of each invoice that a refused row names."""
    named = {row.get("invoice_id") for of_contract in rows.values() for row in of_contract.values()} - {None}
    if invoices is None or not named:
        return {}
    ids = pa.array(sorted(named, key=str), pa.string())
    known = invoices.columns.filter(pc.is_in(invoices.columns["invoice_id"], ids))
    pairs = zip(known["invoice_id"].to_pylist(), known["order_id"].to_pylist(), strict=True)
    return {invoice_id: order_id for invoice_id, order_id in pairs if order_id is not None}
