"""The slow, obvious twin of an order's life: cents in three heaps, and a walk from instant to instant."""

from dataclasses import dataclass, field
from itertools import pairwise

IMMATERIAL_CENTS = 500
STATES = {
    "reserved": {"reserved", "confirmed", "partly_invoiced", "invoiced", "cancelled"},
    "confirmed": {"confirmed", "partly_invoiced", "invoiced", "cancelled"},
    "partly_invoiced": {"partly_invoiced", "invoiced"},
    "invoiced": {"invoiced", "partly_invoiced"},
    "cancelled": {"cancelled"},
}
"""Into which state an order may go from which; an invoiced one is amended under its credit notes."""


@dataclass
class NaiveInvoice:
    """movements: when the money moved and how much of the debt it took away (negative: gave back).

    pauses: from when to when, None while one lasts.
    """

    order_id: str
    issued_at: int
    due_at: int
    cents: int
    credited_cents: int = 0
    movements: list[tuple[int, int]] = field(default_factory=list)
    pauses: list[tuple[int, int | None]] = field(default_factory=list)

    def left_cents(self) -> int:
        return self.cents - sum(cents for _, cents in self.movements)

    def outstanding_cents(self) -> int:
        return max(self.left_cents(), 0)

    def paid_at(self) -> int | None:
        """When what was left last fell to what is immaterial, None while more is left."""
        immaterial, left, paid_at = min(IMMATERIAL_CENTS, self.cents - 1), self.cents, None
        for at, cents in sorted(self.movements):
            before, left = left, left - cents
            if left <= immaterial < before:
                paid_at = max(at, self.issued_at)
        return paid_at if left <= immaterial else None

    def late_ms(self, now: int) -> int:
        """Unpaused time beyond the term, from the invoice until it was paid, or until now.

        Walked from one instant to the next: each stretch counts if no pause lies over it.
        """
        until = self.paid_at() or now
        spans = [(start, now if end is None else end) for start, end in self.pauses]
        instants = sorted({self.issued_at, until, *(one for span in spans for one in span)})
        counted = 0
        for start, end in pairwise(instants):
            if self.issued_at <= start < until and not any(a <= start < b for a, b in spans):
                counted += end - start
        return max(counted - (self.due_at - self.issued_at), 0)


@dataclass
class NaiveOrder:
    """An approved order's cents: in the heap `rest` they are still to be invoiced, in `invoiced` they are,
    and in `gone` they came back or will not be.
    """

    rest: int
    until: int
    invoiced: int = 0
    gone: int = 0
    state: str = "reserved"
    is_released: bool = False

    @property
    def total(self) -> int:
        return self.rest + self.invoiced + self.gone

    def held_cents(self, now: int) -> int:
        return self.rest if self.state != "cancelled" and self.until > now else 0

    def _take(self, cents: int) -> None:
        """What is gone goes first: an invoice that is issued anew takes nothing twice."""
        from_gone = min(cents, self.gone)
        self.gone -= from_gone
        self.rest -= cents - from_gone

    def _follow(self) -> None:
        if self.state != "cancelled":
            self.state = "partly_invoiced" if self.rest else "invoiced"

    def invoice(self, cents: int) -> None:
        self._take(cents)
        self.invoiced += cents
        self._follow()

    def credit(self, cents: int) -> None:
        self.invoiced -= cents
        self.gone += cents
        self._follow()

    def release(self) -> None:
        self.gone, self.rest, self.is_released = self.gone + self.rest, 0, True
        self._follow()

    def amend(self, cents: int) -> None:
        added = cents - self.total
        if added < 0:
            self._take(-added)
        elif self.is_released:
            self.gone += added
        else:
            self.rest += added
        if self.state in {"partly_invoiced", "invoiced"}:
            self._follow()
