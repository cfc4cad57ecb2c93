"""Rows that arrive one by one: each is let in, held or refused, and lets in what waited for it.

The one order of these steps, for the ledger in SQL and for the batch check, which replays the arrivals of a
folder: they differ in the `Book` alone.
"""

import enum
import heapq
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from data_contracts.between_rows.ended_waits import brings
from data_contracts.between_rows.key_rules import circle_of, repeated_transfer
from data_contracts.between_rows.known_rows import KnownRows, LedgerRow
from data_contracts.between_rows.waits import FREED_VALUES, MADE_TO_FIT_BY_OTHERS, Broken, Wait, WaitKind
from data_contracts.contract import Contract
from data_contracts.invoice_adjustments import INVOICE_ADJUSTMENTS
from data_contracts.rules import Rule
from data_contracts.rules_between_rows import breaks_for_good, contradiction, still_unfit

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


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """A row that keeps its contract, as it arrives.

    content: equals that of another row exactly where both say the same, `recorded_at` aside.
    """

    contract: Contract
    row: LedgerRow
    content: object

    @property
    def event_id(self) -> str:
        """The key of the row."""
        return str(self.row["event_id"])


@dataclass(frozen=True, kw_only=True)
class Held:
    """A row that waits, or a refused one that is judged again when what it rests on changes.

    wait: what it waits for, or rests on. arrived: held rows come in in this order, as far as what they wait
        for allows it. is_refused: then nothing stands or waits under its event_id.
    """

    arrival: Arrival
    wait: Wait
    arrived: tuple[int, str]
    is_refused: bool = False


@dataclass(frozen=True, kw_only=True)
class AppendResult:
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


class Book(KnownRows, Protocol):
    """The rows that stand and those that wait, and what a row that arrives does to them."""

    def content_under(self, event_id: str) -> object | None:
        """The content that stands, waits or was a repetition under an event_id; None where there is none."""
        ...

    def first_of(self, event_id: str) -> str | None:
        """The event_id under which a transfer stands that was repeated under this one; None for others."""
        ...

    def correcting(self, arrival: Arrival, event_id: str) -> Arrival:
        """The arrival as a correction of the row under another event_id."""
        ...

    def waiting_for(self, waits: Collection[Wait]) -> Sequence[Held]:
        """The held rows that wait for any of these, and the refused ones that rest on them."""
        ...

    def waiting_under(self, event_id: str) -> Held | None:
        """The row that waits, or was refused, under an event_id."""
        ...

    def waiting_about(self, contract_name: str, subject_id: str) -> Sequence[Held]:
        """The held and refused rows of a contract with this key."""
        ...

    def may_be_on_its_way(self, wait: Wait) -> bool:
        """Whether another writer may just be bringing what is missing; returns when that has ended."""
        ...

    def accept(self, arrival: Arrival) -> int | None:
        """Let a row in: its `recorded_at` in ms, None where another writer was faster with its event_id."""
        ...

    def keep_repeated(self, arrival: Arrival, first_event_id: str) -> None:
        """Remember under which event_id the same transfer stands: a correction may name this one."""
        ...

    def hold(self, arrival: Arrival, broken: Broken) -> None:
        """Let a row wait."""
        ...

    def claim(self, held: Held) -> bool:
        """Keep other writers from a held or refused row; False where it is that no more."""
        ...

    def wait_on(self, held: Held, broken: Broken) -> None:
        """Let a held or refused row wait for something else, in its old place."""
        ...

    def release(self, held: Held) -> None:
        """Take a row out of those that wait, or take its refusal back."""
        ...

    def refuse(self, held: Held, broken: Broken) -> None:
        """Keep a row that was held, and turned out wrong, with the reason; it waits no more."""
        ...

    def keep_refused(self, arrival: Arrival, wait: Wait, arrived: tuple[int, str] | None) -> None:
        """Keep a refused row to judge it again. arrived: its place among those that waited, if it did."""
        ...

    def rest_on(self, held: Held, wait: Wait | None) -> None:
        """Judge a refused row again when something else changes; never more for None."""
        ...


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
        return replace(_repeated(arrival, first), readmitted=tuple(readmitted))
    broken, with_it = intake.judged(arrival)
    if broken is not None and broken.wait is not None and book.may_be_on_its_way(broken.wait):
        broken, with_it = intake.judged(arrival)
    if broken is None:
        (own, *others), brought = intake.enter(arrival, with_it)
        return replace(own, readmitted=(*others, *intake.let_in(brought)))
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
    return replace(result, readmitted=tuple(beside))


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
    return replace(_result(arrival, AppendStatus.REPEATED), column=arrival.contract.unique, message=message)


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


@dataclass
class BookInMemory:
    """A book of rows held in dicts, for the replay of a folder and for what is only supposed.

    Rows of an entity are not told apart by it: a book holds the rows of few orders.
    """

    accepted: dict[str, Arrival] = field(default_factory=dict)
    held: dict[str, tuple[Held, Broken]] = field(default_factory=dict)
    repeated: dict[str, tuple[str, Arrival]] = field(default_factory=dict)
    refused: list[tuple[Arrival, Broken]] = field(default_factory=list)
    _judged_again: dict[str, Held] = field(default_factory=dict)
    _arrived: int = 0
    _about: defaultdict[tuple[str, str, str], list[LedgerRow]] = field(
        default_factory=lambda: defaultdict(list)
    )
    _corrections: dict[str, LedgerRow] = field(default_factory=dict)
    _waiting: defaultdict[Wait, dict[str, Held]] = field(default_factory=lambda: defaultdict(dict))
    _waiting_about: defaultdict[tuple[str, str], dict[str, Held]] = field(
        default_factory=lambda: defaultdict(dict)
    )

    def is_known(self, contract: Contract, subject_id: str) -> bool:
        """See KnownRows."""
        return bool(self.about(contract, subject_id))

    def about(self, contract: Contract, subject_id: str) -> Sequence[LedgerRow]:
        """See KnownRows."""
        return self._about.get((contract.name, contract.key[0], subject_id), ())

    def standing(self, contract: Contract, customer_id: str, column: str, value: str) -> Sequence[LedgerRow]:
        """See KnownRows."""
        return [
            row
            for row in self._about.get((contract.name, column, value), ())
            if row["customer_id"] == customer_id and row["event_id"] not in self._corrections
        ]

    def event(self, event_id: str) -> tuple[Contract, LedgerRow] | None:
        """See KnownRows."""
        arrival = self.accepted.get(event_id)
        return None if arrival is None else (arrival.contract, arrival.row)

    def is_corrected(self, event_id: str) -> bool:
        """See KnownRows."""
        return event_id in self._corrections

    def correction_of(self, event_id: str) -> LedgerRow | None:
        """The row that corrects the row under an event_id."""
        return self._corrections.get(event_id)

    def with_unique(self, contract: Contract, value: str) -> Sequence[LedgerRow]:
        """See KnownRows."""
        return self._about.get((contract.name, contract.unique or "", value), ())

    def corrects_of_waiting(self, event_id: str) -> str | None:
        """See KnownRows."""
        entry = self.held.get(event_id)
        return None if entry is None else entry[0].arrival.row.get("corrects")

    def content_under(self, event_id: str) -> object | None:
        """See Book."""
        if event_id in self.accepted:
            return self.accepted[event_id].content
        if event_id in self.repeated:
            return self.repeated[event_id][1].content
        return self.held[event_id][0].arrival.content if event_id in self.held else None

    def first_of(self, event_id: str) -> str | None:
        """See Book."""
        return self.repeated[event_id][0] if event_id in self.repeated else None

    def correcting(self, arrival: Arrival, event_id: str) -> Arrival:
        """See Book; a content that is compared holds the name of the contract and what the row says."""
        content = arrival.content
        if isinstance(content, tuple) and isinstance(content[1], Mapping):
            content = content[0], {**content[1], "corrects": event_id}
        return replace(arrival, row={**arrival.row, "corrects": event_id}, content=content)

    def waiting_for(self, waits: Collection[Wait]) -> Sequence[Held]:
        """See Book."""
        return [held for wait in waits for held in self._waiting.get(wait, {}).values()]

    def waiting_under(self, event_id: str) -> Held | None:
        """See Book."""
        return self.held[event_id][0] if event_id in self.held else self._judged_again.get(event_id)

    def waiting_about(self, contract_name: str, subject_id: str) -> Sequence[Held]:
        """See Book."""
        return list(self._waiting_about.get((contract_name, subject_id), {}).values())

    def may_be_on_its_way(self, wait: Wait) -> bool:  # noqa: ARG002 - nobody else writes
        """See Book."""
        return False

    def accept(self, arrival: Arrival) -> int | None:
        """See Book; here rows keep the `recorded_at` that they carry."""
        row, contract = arrival.row, arrival.contract
        self.accepted[arrival.event_id] = arrival
        columns = {*contract.key, *(column.name for column, _ in contract.references())}
        for name in columns:
            if row.get(name) is not None:
                self._about[contract.name, name, row[name]].append(row)
        unique_value = contract.unique_value(row)
        if unique_value is not None:
            self._about[contract.name, contract.unique or "", unique_value].append(row)
        if row.get("corrects") is not None:
            self._corrections[row["corrects"]] = row
        return int(row.get("recorded_at", 0))

    def keep_repeated(self, arrival: Arrival, first_event_id: str) -> None:
        """See Book."""
        self.repeated[arrival.event_id] = first_event_id, arrival

    def hold(self, arrival: Arrival, broken: Broken) -> None:
        """See Book."""
        self.keep_waiting(arrival, broken, self._next_place())

    def _next_place(self) -> tuple[int, str]:
        self._arrived += 1
        return self._arrived, ""

    def keep_waiting(self, arrival: Arrival, broken: Broken, arrived: tuple[int, str]) -> None:
        """Let a row wait in a place of its own."""
        if broken.wait is None:
            raise ValueError("a row that is refused does not wait")
        held = Held(arrival=arrival, wait=broken.wait, arrived=arrived)
        self.held[arrival.event_id] = (held, broken)
        self._find_by(held)

    def _find_by(self, held: Held) -> None:
        self._waiting[held.wait][held.arrival.event_id] = held
        self._waiting_about[_subject(held.arrival)][held.arrival.event_id] = held

    def claim(self, held: Held) -> bool:
        """See Book."""
        return held.arrival.event_id in (self._judged_again if held.is_refused else self.held)

    def wait_on(self, held: Held, broken: Broken) -> None:
        """See Book."""
        self.release(held)
        self.keep_waiting(held.arrival, broken, held.arrived)

    def release(self, held: Held) -> None:
        """See Book."""
        event_id = held.arrival.event_id
        standing = self._judged_again.pop(event_id) if held.is_refused else self.held.pop(event_id)[0]
        del self._waiting[standing.wait][event_id]
        del self._waiting_about[_subject(held.arrival)][event_id]

    def refuse(self, held: Held, broken: Broken) -> None:
        """See Book."""
        self.release(held)
        self.refused.append((held.arrival, broken))

    def keep_refused(self, arrival: Arrival, wait: Wait, arrived: tuple[int, str] | None) -> None:
        """See Book."""
        place = arrived or self._next_place()
        held = Held(arrival=arrival, wait=wait, arrived=place, is_refused=True)
        self._judged_again[arrival.event_id] = held
        self._find_by(held)

    def rest_on(self, held: Held, wait: Wait | None) -> None:
        """See Book."""
        self.release(held)
        if wait is not None:
            self.keep_refused(held.arrival, wait, held.arrived)


def _subject(arrival: Arrival) -> tuple[str, str]:
    return arrival.contract.name, str(arrival.row[arrival.contract.key[0]])


class Supposition:
    """A book as it would be with some rows more, and some waiting no longer; the book itself stays."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._added = BookInMemory()
        # Rows of the book's that wait no more, or for something else.
        self._moved: set[str] = set()

    def is_known(self, contract: Contract, subject_id: str) -> bool:
        """See KnownRows."""
        return self._added.is_known(contract, subject_id) or self._book.is_known(contract, subject_id)

    def about(self, contract: Contract, subject_id: str) -> Sequence[LedgerRow]:
        """See KnownRows."""
        return [*self._book.about(contract, subject_id), *self._added.about(contract, subject_id)]

    def standing(self, contract: Contract, customer_id: str, column: str, value: str) -> Sequence[LedgerRow]:
        """See KnownRows."""
        before = self._book.standing(contract, customer_id, column, value)
        return [
            *(row for row in before if not self._added.is_corrected(row["event_id"])),
            *self._added.standing(contract, customer_id, column, value),
        ]

    def event(self, event_id: str) -> tuple[Contract, LedgerRow] | None:
        """See KnownRows."""
        return self._added.event(event_id) or self._book.event(event_id)

    def is_corrected(self, event_id: str) -> bool:
        """See KnownRows."""
        return self._added.is_corrected(event_id) or self._book.is_corrected(event_id)

    def correction_of(self, event_id: str) -> LedgerRow | None:
        """The supposed row that corrects the row under an event_id."""
        return self._added.correction_of(event_id)

    @property
    def let_in(self) -> Mapping[str, Arrival]:
        """The supposed rows that were let in, by event_id."""
        return self._added.accepted

    @property
    def repeated(self) -> Mapping[str, tuple[str, Arrival]]:
        """The supposed repetitions of transfers, by event_id, each with the event_id of what stands."""
        return self._added.repeated

    def with_unique(self, contract: Contract, value: str) -> Sequence[LedgerRow]:
        """See KnownRows."""
        return [*self._book.with_unique(contract, value), *self._added.with_unique(contract, value)]

    def corrects_of_waiting(self, event_id: str) -> str | None:
        """See KnownRows."""
        held = self.waiting_under(event_id)
        return None if held is None or held.is_refused else held.arrival.row.get("corrects")

    def content_under(self, event_id: str) -> object | None:
        """See Book."""
        own = self._added.content_under(event_id)
        return own if own is not None or event_id in self._moved else self._book.content_under(event_id)

    def first_of(self, event_id: str) -> str | None:
        """See Book."""
        return self._added.first_of(event_id) or self._book.first_of(event_id)

    def correcting(self, arrival: Arrival, event_id: str) -> Arrival:
        """See Book."""
        return self._book.correcting(arrival, event_id)

    def waiting_for(self, waits: Collection[Wait]) -> Sequence[Held]:
        """See Book; without the rows that lack what others may bring already: none makes a row fit."""
        naming = [wait for wait in waits if wait.kind not in MADE_TO_FIT_BY_OTHERS]
        return [*self._unmoved(self._book.waiting_for(naming)), *self._added.waiting_for(waits)]

    def waiting_under(self, event_id: str) -> Held | None:
        """See Book."""
        own = self._added.waiting_under(event_id)
        if own is not None or event_id in self._moved:
            return own
        return self._book.waiting_under(event_id)

    def waiting_about(self, contract_name: str, subject_id: str) -> Sequence[Held]:
        """See Book."""
        return [
            *self._unmoved(self._book.waiting_about(contract_name, subject_id)),
            *self._added.waiting_about(contract_name, subject_id),
        ]

    def _unmoved(self, waiting: Sequence[Held]) -> list[Held]:
        return [held for held in waiting if held.arrival.event_id not in self._moved]

    def may_be_on_its_way(self, wait: Wait) -> bool:  # noqa: ARG002 - what is supposed writes nothing
        """See Book."""
        return False

    def accept(self, arrival: Arrival) -> int | None:
        """See Book."""
        return self._added.accept(arrival)

    def keep_repeated(self, arrival: Arrival, first_event_id: str) -> None:
        """See Book."""
        self._added.keep_repeated(arrival, first_event_id)

    def hold(self, arrival: Arrival, broken: Broken) -> None:
        """See Book."""
        self._added.hold(arrival, broken)

    def claim(self, held: Held) -> bool:
        """See Book."""
        standing = self.waiting_under(held.arrival.event_id)
        return standing is not None and standing.is_refused == held.is_refused

    def wait_on(self, held: Held, broken: Broken) -> None:
        """See Book."""
        self.release(held)
        self._added.keep_waiting(held.arrival, broken, held.arrived)

    def release(self, held: Held) -> None:
        """See Book."""
        if self._added.waiting_under(held.arrival.event_id) is not None:
            self._added.release(held)
        self._moved.add(held.arrival.event_id)

    def refuse(self, held: Held, broken: Broken) -> None:  # noqa: ARG002 - the book itself will say why
        """See Book."""
        self.release(held)

    def keep_refused(self, arrival: Arrival, wait: Wait, arrived: tuple[int, str] | None) -> None:
        """See Book."""
        self._added.keep_refused(arrival, wait, arrived)

    def rest_on(self, held: Held, wait: Wait | None) -> None:
        """See Book."""
        self.release(held)
        if wait is not None:
            self._added.keep_refused(held.arrival, wait, held.arrived)
