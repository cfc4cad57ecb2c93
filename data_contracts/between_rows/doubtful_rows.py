"""Which rows of a whole ledger may break a rule between rows, in some order of arrival."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data_contracts.between_rows.ledger_columns import Mask
from data_contracts.between_rows.reference_rules import CURRENCY_REFERENCES, MAY_COME_BEFORE, TIMED_REFERENCES
from data_contracts.between_rows.sifted_rows import LARGEST, NumberedThings, Positions, SiftedRows, mask_of
from data_contracts.contract import Column, Reference
from data_contracts.order_outcomes import DISPUTE_DECISIONS
from data_contracts.sent_instants import may_stand_for_up_to_ms


@dataclass(frozen=True)
class Doubts:
    """The search for rows that may break a rule, by arithmetic over whole columns.

    tables: by contract name; their `doubtful` is what it marks.
    things: by contract name, what others refer to.
    named: by contract and column, shape (n_rows,), the number of the thing that each row names; -1 for none.
    """

    tables: Mapping[str, SiftedRows]
    things: Mapping[str, NumberedThings]
    named: Mapping[tuple[str, str], Positions]
    clock_tolerance_ms: int

    def find(self) -> None:
        """Mark the doubtful rows, and those that name what is in doubt."""
        for table in self.tables.values():
            self._doubt_corrections(table)
            self._doubt_keys(table)
            for column, reference in table.contract.references():
                self._doubt_reference(table, column, reference)
        self._doubt_amounts()
        self._doubt_dispute_decisions()
        # A row that names what is in doubt is in doubt itself; contracts stand in the order of reference.
        for table in self.tables.values():
            for column, reference in table.contract.references():
                things = self.things[reference.contract]
                doubted: Mask = np.zeros(len(things.keys) + 1, dtype=np.bool_)
                doubted[things.code[things.table.doubtful & (things.code >= 0)]] = True
                table.doubtful |= doubted[self.named[table.contract.name, column.name]]

    @staticmethod
    def _doubt_corrections(table: SiftedRows) -> None:
        rows = np.flatnonzero(table.first & table.is_present("corrects"))
        if not len(rows):
            return
        candidates = np.flatnonzero(table.first)
        corrects = table.strings("corrects").take(pa.array(rows))
        found = pc.index_in(corrects, value_set=table.strings("event_id").take(pa.array(candidates)))
        place: Positions = pc.fill_null(found.cast(pa.int64()), -1).to_numpy(zero_copy_only=False)
        doubtful = place < 0
        corrected = candidates[np.maximum(place, 0)]
        for name in dict.fromkeys((*table.contract.key, table.contract.entity)):
            if name != "event_id":
                values = table.strings(name)
                differs = pc.not_equal(values.take(pa.array(rows)), values.take(pa.array(corrected)))
                doubtful |= pc.fill_null(differs, True).to_numpy(zero_copy_only=False)
        doubtful |= np.bincount(corrected, minlength=len(table.accepted))[corrected] > 1
        # Following the corrections back, a row that comes to no first row is in a circle.
        back = np.arange(len(table.accepted))
        back[rows] = corrected
        for _ in range(max(1, len(rows).bit_length())):
            back = back[back]
        is_correction = mask_of(len(table.accepted), rows)
        doubtful |= is_correction[back[rows]]
        table.doubtful[rows[doubtful]] = True

    @staticmethod
    def _doubt_keys(table: SiftedRows) -> None:
        contract = table.contract
        if contract.unique is not None:
            _doubt_shared_values(table)
        if contract.key == ("event_id",):
            return
        (key,) = contract.key
        if not contract.rows_are_states:
            _doubt_duplicates(table, key, table.first & ~table.is_present("corrects"))
        elif contract.entity != key:
            things = NumberedThings.of(table, key)
            for name in (contract.entity, "invoice_id"):
                if name in table:
                    mixed = np.append(things.mixed(name), False)
                    table.doubtful |= mixed[things.code]

    def _doubt_reference(self, table: SiftedRows, column: Column, reference: Reference) -> None:
        if reference.contract not in CURRENCY_REFERENCES:
            return
        things = self.things[reference.contract]
        named = self.named[table.contract.name, column.name]
        rows = np.flatnonzero(named >= 0)
        code = named[rows]
        for name in ("customer_id", "currency"):
            if name in table and name in things.table and name != column.name:
                own = table.strings(name).take(pa.array(rows))
                theirs = things.table.strings(name).take(pa.array(things.first_row[code]))
                differs = pc.fill_null(pc.not_equal(own, theirs), True).to_numpy(zero_copy_only=False)
                table.doubtful[rows[differs | things.mixed(name)[code]]] = True
        if reference.contract in TIMED_REFERENCES and table.contract.name not in MAY_COME_BEFORE:
            earliest = things.highest(things.table.occurred_at)[code]
            for name in table.contract.past_columns:
                written = table.integers(name)[rows]
                latest = written + may_stand_for_up_to_ms(written) + self.clock_tolerance_ms
                table.doubtful[rows[(latest < earliest) & table.is_present(name)[rows]]] = True

    def _doubt_amounts(self) -> None:
        invoices, orders = self.tables["invoices"], self.things["orders"]
        order_of_invoice = self.named["invoices", "order_id"]
        amounts = invoices.integers("amount_cents")
        invoiced = orders.sums(order_of_invoice, amounts, invoices.first)
        events, amended = self.tables["order_events"], self.named["order_events", "order_id"]
        changes = np.flatnonzero(events.first & events.is_present("new_amount_cents") & (amended >= 0))
        lowest = orders.lowest(orders.table.integers("amount_cents"))
        np.minimum.at(lowest, amended[changes], events.integers("new_amount_cents")[changes])
        above = np.append(invoiced > lowest, False)
        invoices.doubtful |= above[order_of_invoice]
        adjustments, payments = self.tables["invoice_adjustments"], self.tables["invoice_payments"]
        things = self.things["invoices"]
        named = self.named["invoice_adjustments", "invoice_id"]
        cents = adjustments.integers("amount_cents")
        is_credit_note = adjustments.equals("kind", "credit_note")
        credited = things.sums(named, cents, adjustments.first & is_credit_note)
        refunded = things.sums(named, cents, adjustments.first & ~is_credit_note)
        standing = payments.first & ~self._is_corrected(payments)
        named_by_payment = self.named["invoice_payments", "invoice_id"]
        paid = things.sums(named_by_payment, payments.integers("amount_cents"), standing)
        too_much = np.append((credited > things.lowest(amounts)) | (refunded > paid), False)
        adjustments.doubtful |= too_much[named]

    @staticmethod
    def _is_corrected(table: SiftedRows) -> Mask:
        corrects = table.strings("corrects").filter(pa.array(table.first))
        found = pc.is_in(table.strings("event_id"), value_set=corrects, skip_nulls=True)
        corrected: Mask = found.to_numpy(zero_copy_only=False)
        return corrected

    def _doubt_dispute_decisions(self) -> None:
        outcomes, pauses = self.tables["order_outcomes"], self.tables["invoice_pauses"]
        things = self.things["invoices"]
        disputed_at = np.full(len(self.things["orders"].keys) + 1, LARGEST, dtype=np.int64)
        certain = pauses.first & pauses.equals("reason", "dispute") & ~self._is_corrected(pauses)
        named = self.named["invoice_pauses", "invoice_id"]
        # An invoice of several rows may have been another order's: that is left to the replay.
        certain &= (named >= 0) & ~np.append(things.several, True)[named]
        orders = self.named["invoices", "order_id"][things.first_row[named[certain]]]
        np.minimum.at(disputed_at, orders, pauses.integers("started_at")[certain])
        disputed_at[-1] = LARGEST
        kinds = outcomes.strings("kind")
        decides = pc.is_in(kinds, value_set=pa.array(DISPUTE_DECISIONS), skip_nulls=True)
        latest = outcomes.occurred_at + may_stand_for_up_to_ms(outcomes.occurred_at) + self.clock_tolerance_ms
        unfounded = disputed_at[self.named["order_outcomes", "order_id"]] > latest
        outcomes.doubtful |= outcomes.first & decides.to_numpy(zero_copy_only=False) & unfounded


def _doubt_shared_values(table: SiftedRows) -> None:
    """Doubt the rows whose unique value rows of several things have; versions of one thing may share it."""
    values = table.unique_values()
    rows = np.flatnonzero(table.first & values.is_valid().to_numpy(zero_copy_only=False))
    if not len(rows):
        return
    codes = values.take(pa.array(rows)).dictionary_encode().indices.to_numpy(zero_copy_only=False)
    things = table.strings(table.contract.key[0]).take(pa.array(rows)).dictionary_encode().indices
    thing = things.to_numpy(zero_copy_only=False)
    first_thing = np.zeros(codes.max() + 1, dtype=thing.dtype)
    first_thing[codes[::-1]] = thing[::-1]
    is_shared = np.zeros(len(first_thing), dtype=np.bool_)
    is_shared[codes[thing != first_thing[codes]]] = True
    table.doubtful[rows[is_shared[codes]]] = True


def _doubt_duplicates(table: SiftedRows, column: str, mask: Mask) -> None:
    rows = np.flatnonzero(mask)
    values = table.strings(column).take(pa.array(rows))
    if pc.count_distinct(values).as_py() == len(rows):
        return
    codes = values.dictionary_encode().indices.to_numpy(zero_copy_only=False)
    table.doubtful[rows[np.bincount(codes)[codes] > 1]] = True
