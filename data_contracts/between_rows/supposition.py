"""A book as it would be with some rows more; the book itself stays."""

from collections.abc import Collection, Mapping, Sequence

from data_contracts.between_rows.book import Arrival, Book, Held
from data_contracts.between_rows.book_in_memory import BookInMemory
from data_contracts.between_rows.known_rows import LedgerRow
from data_contracts.between_rows.waits import MADE_TO_FIT_BY_OTHERS, Broken, Wait
from data_contracts.contract import Contract


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
