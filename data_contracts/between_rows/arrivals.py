"""Rows that arrive one by one: each is let in, held or refused, and lets in what waited for it.

The one order of these steps, for the ledger in SQL and for the batch check, which replays the arrivals of a
folder: they differ in the `Book` alone.
"""

import enum
import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import msgspec
from msgspec import structs

from data_contracts.between_rows.book import Arrival, Book, Held
from data_contracts.between_rows.ended_waits import brings
from data_contracts.between_rows.key_rules import circle_of, repeated_transfer
from data_contracts.between_rows.known_rows import LedgerRow
from data_contracts.between_rows.rules_between_rows import breaks_for_good, contradiction, still_unfit
from data_contracts.between_rows.supposition import Supposition
from data_contracts.between_rows.waits import FREED_VALUES, MADE_TO_FIT_BY_OTHERS, Broken, Wait, WaitKind
from data_contracts.contract import Contract
from data_contracts.invoice_adjustments import INVOICE_ADJUSTMENTS
from data_contracts.rules import Rule

WAITING_MAXIMUM = 100
"""So many rows wait for one credit note, payment, invoice of an order or dispute: what may be it judges them
all again. As many of the rows that name one are looked at to see whether it fits together with them, and as
many refused ones are judged again when what they rest on changes."""


SUPPOSED_MAXIMUM = 10
"""So many rows are looked at to see whether they make one of those fit that would make a row fit."""


class AppendStatus(enum.Enum):
    """What became of a row."""

    ACCEPTED = "accepted"
    REPEATED = "repeated"
    """The same content stands, or waits, under this event_id or bank reference already; nothing changed."""
    HELD = "held"
    """Something that has not arrived yet makes it break a rule; it enters by itself once that is there."""
    REFUSED = "refused"


class AppendResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one row, and which held rows it let in or showed to be wrong.

    rule, column, message: for a refused row, the rule that it breaks; for a held one, the rule that it breaks
        as long as what it waits for is not there; message also for a transfer that is repeated.
    """

    event_id: str
    contract: str
    status: AppendStatus
    recorded_at_ms: int | None = None
    rule: Rule | None = None
    column: str | None = None
    message: str | None = None
    wait: Wait | None = None
    readmitted: tuple["AppendResult", ...] = ()


def take(book: Book, arrival: Arrival, clock_tolerance_ms: int) -> AppendResult:
    """Let one row in, hold or refuse it; then let in what waited for it."""
    intake = _Intake(book, clock_tolerance_ms)
    known = book.content_under(arrival.event_id)
    as_sent, arrival = arrival, intake.naming_what_stands(arrival)
    if known is not None:
        return intake.sent_before(arrival, same=known in (as_sent.content, arrival.content))
    refused_before = book.waiting_under(arrival.event_id)
    if refused_before is not None:
        # What was sent last under an event_id is what counts.
        book.release(refused_before)
    first = repeated_transfer(arrival.contract, arrival.row, book)
    if first is not None:
        readmitted = intake.let_in(intake.repeat(arrival, first))
        return structs.replace(_repeated(arrival, first), readmitted=tuple(readmitted))
    broken, with_it = intake.judged(arrival)
    if broken is not None and broken.wait is not None and book.may_be_on_its_way(broken.wait):
        broken, with_it = intake.judged(arrival)
    if broken is None:
        (own, *others), brought = intake.enter(arrival, with_it)
        return structs.replace(own, readmitted=(*others, *intake.let_in(brought)))
    broken = intake.unless_crowded(broken)
    if broken.wait is None:
        result = _result(arrival, AppendStatus.REFUSED, broken)
        members = intake.refuse_circle(arrival, broken)
        stirred = intake.keep_refused(arrival, broken)
    else:
        result = _result(arrival, AppendStatus.HELD, broken)
        members = []
        book.hold(arrival, broken)
        stirred = intake.stirred_by(arrival, broken.wait)
    # What waits beside it may have lacked just this row: an invoice its credit note.
    readmitted = [*members, *intake.let_in(stirred)]
    for other in readmitted:
        result = other if other.event_id == arrival.event_id else result
    beside = [other for other in readmitted if other.event_id != arrival.event_id]
    return structs.replace(result, readmitted=tuple(beside))


def take_again(book: Book, waiting: Iterable[Held], clock_tolerance_ms: int) -> list[AppendResult]:
    """Judge held rows again, where their references may have come by another way; and what waits for them."""
    return _Intake(book, clock_tolerance_ms).let_in(waiting)


def let_in_after(
    book: Book, contract: Contract, row: LedgerRow, clock_tolerance_ms: int
) -> list[AppendResult]:
    """Let in what waited for a row that stands since a moment ago."""
    arrival = Arrival(contract=contract, row=row, content=None)
    intake = _Intake(book, clock_tolerance_ms)
    return intake.let_in(intake.brought_by(arrival))


def _result(
    arrival: Arrival,
    status: AppendStatus,
    broken: Broken | None = None,
    *,
    recorded_at_ms: int | None = None,
) -> AppendResult:
    return AppendResult(
        event_id=arrival.event_id,
        contract=arrival.contract.name,
        status=status,
        recorded_at_ms=recorded_at_ms,
        rule=None if broken is None else broken.rule,
        column=None if broken is None else broken.column,
        message=None if broken is None else broken.message,
        wait=None if broken is None else broken.wait,
    )


def _sent_before(arrival: Arrival, *, same: bool) -> AppendResult:
    if same:
        return _result(arrival, AppendStatus.REPEATED)
    message = "the event_id stands for other content"
    broken = Broken(rule=Rule.EVENT_ID_REUSED, column="event_id", message=message)
    return _result(arrival, AppendStatus.REFUSED, broken)


def _repeated(arrival: Arrival, first_event_id: str) -> AppendResult:
    message = f"the same transfer came as event {first_event_id}: it counts once"
    return structs.replace(
        _result(arrival, AppendStatus.REPEATED), column=arrival.contract.unique, message=message
    )


@dataclass(frozen=True)
class _Intake:
    """suppose: how deep rows that break a rule for what is missing may be let in with what waits for them.

    An invoice may need its correction, and this one a credit note: deeper than that nobody looks.
    """

    book: Book
    clock_tolerance_ms: int
    suppose: int = 2

    def naming_what_stands(self, arrival: Arrival) -> Arrival:
        """The arrival, correcting the transfer that stands where it names one that was only a repetition."""
        corrects = arrival.row.get("corrects")
        first = None if corrects is None else self.book.first_of(corrects)
        return arrival if first is None else self.book.correcting(arrival, first)

    def sent_before(self, arrival: Arrival, *, same: bool) -> AppendResult:
        """What becomes of a row whose event_id is taken."""
        first = self.book.first_of(arrival.event_id) if same else None
        return _sent_before(arrival, same=same) if first is None else _repeated(arrival, first)

    def repeat(self, arrival: Arrival, first_event_id: str) -> Sequence[Held]:
        """Note a transfer that stands already; the held rows that may enter now."""
        self.book.keep_repeated(arrival, first_event_id)
        return self.book.waiting_for([Wait(kind=WaitKind.EVENT, id=arrival.event_id)])

    def keep_refused(
        self, arrival: Arrival, broken: Broken, arrived: tuple[int, str] | None = None
    ) -> Sequence[Held]:
        """Keep a refused row to judge it again where that may help; the rows that it may make fit."""
        if broken.mended_by is None:
            return []
        others = [held for held in self.book.waiting_for([broken.mended_by]) if held.is_refused]
        if len(others) >= WAITING_MAXIMUM:
            return []
        self.book.keep_refused(arrival, broken.mended_by, arrived)
        return self.stirred_by(arrival, broken.mended_by)

    def judged(self, arrival: Arrival) -> tuple[Broken | None, Sequence[Held]]:
        """The rule that a row breaks, None where it can enter; and the held rows that must enter with it."""
        broken = contradiction(arrival.contract, arrival.row, self.book, self.clock_tolerance_ms)
        if (
            self.suppose
            and broken is not None
            and (
                broken.mended_by is not None
                if broken.wait is None
                else broken.wait.kind in MADE_TO_FIT_BY_OTHERS
            )
        ):
            with_it = self._fits_with(arrival)
            return (None, with_it) if with_it else (broken, ())
        return broken, ()

    def _fits_with(self, arrival: Arrival) -> list[Held]:
        """The held rows that make a row fit once they are in too, in the order of their entry; else none.

        An invoice is too much for its order; its credit note came first and waits for the invoice: let in
        one after the other they fit. So does a refund, or a credit note above its invoice, with the
        correction that lowers it.
        """
        if breaks_for_good(arrival.contract, arrival.row, self.book, self.clock_tolerance_ms) is not None:
            return []
        naming = [held for held in self.brought_by(arrival) if held.wait.kind not in MADE_TO_FIT_BY_OTHERS]
        if not naming:
            return []
        supposed = Supposition(self.book)
        waiting_itself = self.book.waiting_under(arrival.event_id)
        if waiting_itself is not None:
            supposed.release(waiting_itself)
        supposed.accept(arrival)
        intake = _Intake(supposed, self.clock_tolerance_ms, suppose=self.suppose - 1)
        entered = [
            self.book.waiting_under(result.event_id)
            for result in intake.let_in(naming[: WAITING_MAXIMUM if self.suppose > 1 else SUPPOSED_MAXIMUM])
            if result.status is AppendStatus.ACCEPTED
        ]
        newest = arrival.row
        while (correction := supposed.correction_of(newest["event_id"])) is not None:
            newest = correction
        if still_unfit(arrival.contract, newest, supposed, self.clock_tolerance_ms) is not None:
            return []
        return [held for held in entered if held is not None]

    def unless_crowded(self, broken: Broken) -> Broken:
        """The rule that a row breaks; it is refused for it where too many wait already for what it lacks."""
        if broken.wait is None or broken.wait.kind not in MADE_TO_FIT_BY_OTHERS:
            return broken
        waiting = [held for held in self.book.waiting_for([broken.wait]) if not held.is_refused]
        if len(waiting) < WAITING_MAXIMUM:
            return broken
        message = f"{broken.message}, as {WAITING_MAXIMUM} rows do already"
        return replace(broken, wait=None, message=message)

    def brought_by(self, arrival: Arrival) -> list[Held]:
        """The held rows that may enter now that this one has, in the order in which they arrived."""
        waiting = self.book.waiting_for(brings(arrival.contract, arrival.row, self.book))
        return sorted(waiting, key=lambda held: held.arrived)

    def enter(self, arrival: Arrival, with_it: Sequence[Held]) -> tuple[list[AppendResult], list[Held]]:
        """Let a row in and those that must enter with it; and the held rows that may enter after them.

        In between nobody is judged: an order has no room there.
        """
        recorded_at_ms = self.book.accept(arrival)
        if recorded_at_ms is None:
            same = self.book.content_under(arrival.event_id) == arrival.content
            return [_sent_before(arrival, same=same)], []
        results = [_result(arrival, AppendStatus.ACCEPTED, recorded_at_ms=recorded_at_ms)]
        for held in with_it:
            self.book.release(held)
            recorded_at_ms = self.book.accept(held.arrival)
            results.append(_result(held.arrival, AppendStatus.ACCEPTED, recorded_at_ms=recorded_at_ms))
        entered = [arrival, *(held.arrival for held in with_it)]
        return results, [held for one in entered for held in self.brought_by(one)]

    def let_in(self, candidates: Iterable[Held]) -> list[AppendResult]:
        """Judge held rows again in the order in which they arrived, and all that their entry concerns."""
        results: list[AppendResult] = []
        queue = [(held.arrived, number, held) for number, held in enumerate(candidates)]
        if not queue:
            return results
        heapq.heapify(queue)
        pushed = len(queue)
        while queue:
            held = heapq.heappop(queue)[-1]
            if not self.book.claim(held):
                continue
            judged, further = self._judged_again(held)
            results += judged
            for other in further:
                heapq.heappush(queue, (other.arrived, pushed, other))
                pushed += 1
        return results

    def _judged_again(self, held: Held) -> tuple[list[AppendResult], Sequence[Held]]:
        """What becomes of a held or refused row; and the held rows that may enter after it."""
        arrival = self.naming_what_stands(held.arrival)
        first = repeated_transfer(arrival.contract, arrival.row, self.book)
        if first is not None:
            self.book.release(held)
            return [_repeated(arrival, first)], self.repeat(arrival, first)
        broken, with_it = self.judged(arrival)
        if broken is None:
            self.book.release(held)
            return self.enter(arrival, with_it)
        if held.is_refused or broken.wait != held.wait:
            broken = self.unless_crowded(broken)
        if broken.wait is None:
            return self._refused_again(held, arrival, broken)
        if broken.wait == held.wait and not held.is_refused:
            return [], ()
        self.book.wait_on(held, broken)
        results = [_result(arrival, AppendStatus.HELD, broken)] if held.is_refused else []
        return results, self.stirred_by(arrival, broken.wait)

    def _refused_again(
        self, held: Held, arrival: Arrival, broken: Broken
    ) -> tuple[list[AppendResult], Sequence[Held]]:
        if held.is_refused:
            if broken.mended_by != held.wait:
                self.book.rest_on(held, broken.mended_by)
            return [], ()
        self.book.refuse(held, broken)
        results = [_result(arrival, AppendStatus.REFUSED, broken), *self.refuse_circle(arrival, broken)]
        return results, self.keep_refused(arrival, broken, held.arrived)

    def stirred_by(self, arrival: Arrival, wait: Wait) -> list[Held]:
        """The rows that one which now waits, or was refused, may make fit: what it waits for, and so on.

        Only a credit note, or a correction, makes another row fit by what it says.
        """
        if arrival.contract is not INVOICE_ADJUSTMENTS and arrival.row.get("corrects") is None:
            return []
        found: list[Held] = []
        seen = {wait}
        waits = [wait]
        while waits:
            sought = waits.pop()
            for held in self._that_would_bring(sought):
                if held.is_refused or held.wait.kind in MADE_TO_FIT_BY_OTHERS:
                    found.append(held)
                elif held.wait not in seen:
                    seen.add(held.wait)
                    waits.append(held.wait)
        return found

    def _that_would_bring(self, wait: Wait) -> Sequence[Held]:
        if wait.kind is WaitKind.EVENT:
            held = self.book.waiting_under(wait.id)
            return () if held is None else (held,)
        if wait.kind in MADE_TO_FIT_BY_OTHERS or wait.kind in FREED_VALUES:
            return ()
        return self.book.waiting_about(wait.kind.value, wait.id)

    def refuse_circle(self, arrival: Arrival, broken: Broken) -> list[AppendResult]:
        """Refuse the rows that would wait for ever for a row which closes their circle."""
        if broken.rule is not Rule.CORRECTS_ITSELF:
            return []
        results = []
        for event_id in circle_of(arrival.row, self.book)[1:]:
            held = self.book.waiting_under(event_id)
            if held is not None and not held.is_refused and self.book.claim(held):
                self.book.refuse(held, broken)
                results.append(_result(held.arrival, AppendStatus.REFUSED, broken))
        return results
